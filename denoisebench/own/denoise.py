"""A file of the user's own through a method, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from denoisebench import __version__
from denoisebench.core.errors import ContractError, TrainingFailed, UserError, explain
from denoisebench.core.files import CannotWrite, file_sha256, make_folder, temporary_beside
from denoisebench.core.lazy import torch
from denoisebench.core.limits import TimeLimit
from denoisebench.core.progress import Progress
from denoisebench.core.provenance import full_digest
from denoisebench.core.resumable import resumable_array
from denoisebench.evaluation.evaluate import Denoised, Fitting, Place, Route, denoise
from denoisebench.evaluation.fit import Report, fit_recipe
from denoisebench.experiment.revisions import PROTOCOL_VERSION, plugin_digest
from denoisebench.own.model import MODELS, Camera, Detector, camera_from, camera_of, wrong_level
from denoisebench.own.network import DARK, Choice, choose
from denoisebench.own.reading import read_stack, read_view
from denoisebench.own.record import Entry, is_done
from denoisebench.own.risk import Filter, FloatArray
from denoisebench.own.scale import NAN, Scale, finite, parse_range, scale_of
from denoisebench.own.stack import Array, Channels, Index, Layout, Stack, layout_of
from denoisebench.own.training import BUDGET, OwnNetwork, check_trainable, train_on
from denoisebench.plugins.method import LearnedMethod, Method, Need, PerImageMethod
from denoisebench.protocol.images import BEYOND, FloatImage, overshoot, some
from denoisebench.protocol.noise import REAL, Draw, Noise
from denoisebench.toolbox.estimation import estimate_level
from denoisebench.training.recipe import recipe_from, usual_precision
from denoisebench.training.weights import Shelf

# Networks get larger images in tiles of this side: less memory, the same result.
_TILE = 1024
# Planes of a stack whose noise is estimated; it is one microscope.
_ESTIMATED = 5


@dataclass(frozen=True, kw_only=True)
class Request:
    """How files are denoised.

    Parameters
    ----------
    method : Method
        What denoises.
    out : Path
        Folder of the results.
    shelf : Shelf
        Trained networks.
    sigma : float or None
        Standard deviation of the noise in the values of the files; None to estimate it in each.
    noise : str
        One of `denoisebench.own.model.MODELS`; 'auto' is 'camera' where noise clearly grows with the signal.
    detector : Detector or None
        A camera's noise where it is known; nothing is estimated then.
    range : str
        See `denoisebench.own.scale.parse_range`.
    axes : str or None
        Names of the axes of every file.
    channels : str
        'auto', 'together' or 'apart', see `denoisebench.own.stack.layout_of`.
    nan : str
        See `denoisebench.own.scale.finite`: what happens to values that are NaN or infinite.
    convert, overwrite : bool
        Whether colours may be converted, and results replaced that are there.
    network : str or None
        The trained network to take, by name.
    image_budget : str or None
        Of a method that is fitted to each image.
    seed : int
        Of the method's own draws.
    device : str
        Torch device.
    tile : int or None
        Side of the tiles, 0 for none.
    limit : float or None
        Seconds per plane.
    train : bool
        Whether the network is trained on the files themselves.
    budget : str or None
        Length of that training.
    trained_on : str
        Digest of all files, where the result of each depends on the others.
    """

    method: Method
    out: Path
    shelf: Shelf
    sigma: float | None = None
    noise: str = "auto"
    detector: Detector | None = None
    range: str = "auto"
    axes: str | None = None
    channels: Channels = "auto"
    nan: str = "refuse"
    convert: bool = False
    overwrite: bool = False
    network: str | None = None
    image_budget: str | None = None
    seed: int = 0
    device: str = "cpu"
    tile: int | None = None
    limit: float | None = None
    train: bool = False
    budget: str | None = None
    trained_on: str = ""

    def key(self, source_sha256: str, output: str) -> str:
        """Digest of all that decides a result but the network, which is chosen by these."""
        method, kind = self.method, type(self.method)
        # Absent where it is not given, so that results of before stay what they are.
        known = {} if self.detector is None else {"detector": asdict(self.detector)}
        return full_digest(
            {
                **known,
                "source": source_sha256, "output": output, "method": method.name, "settings": method.settings(),
                "code": [PROTOCOL_VERSION, plugin_digest(kind), __version__], "sigma": self.sigma, "range": self.range,
                "noise": self.noise,
                "axes": self.axes, "channels": self.channels, "nan": self.nan, "convert": self.convert,
                "network": self.network, "dark": DARK, "weights": [weights.sha256 for weights in self.shelf.all()],
                "train": [self.train, self.budget, self.trained_on],
                "image_budget": self.image_budget, "seed": self.seed, "tile": self.tile, "device": self.device,
            }
        )  # fmt: skip


@dataclass(frozen=True)
class Problem:
    """Why a file was not denoised.

    Parameters
    ----------
    source : str
        The file.
    reason : str
        In one sentence.
    mistake : bool
        Whether what was given cannot be done; else the method or the machine failed at it.
    """

    source: str
    reason: str
    mistake: bool


@dataclass(frozen=True)
class Result:
    """What became of one file: it was denoised, was there already, or could not be done."""

    entry: Entry | None = None
    present: str | None = None
    problem: Problem | None = None


def attempt(runner: Runner, source: Path, target: Path, report: Callable[[float, str], None]) -> Result:
    """Denoise one file; whatever goes wrong with it is told, not raised.

    Parameters
    ----------
    runner : Runner
        How.
    source, target : Path
        The file, and the path of its result below the folder of results.
    report : callable
        Is told the finished fraction and a text.
    """
    try:
        return runner.one(source, target, report)
    except UserError as error:
        return Result(problem=Problem(str(source), str(error), mistake=True))
    except (ContractError, TrainingFailed, TimeLimit) as error:
        return Result(problem=Problem(str(source), str(error), mistake=False))
    except MemoryError:
        reason = "it does not fit into memory; cut it, or give --tile 256."
    except Exception as error:  # a plugin may raise anything
        reason = f"{runner.request.method.text} failed: {explain(error)}"
    return Result(problem=Problem(str(source), reason, mistake=False))


@dataclass(frozen=True)
class NoiseModel:
    """Variance of the noise of a file, gain * signal + offset by channel; black = 0 and white = 1.

    Parameters
    ----------
    gain, offset : (C,) float64
        Gain 0 for noise of one level.
    text : str
        The same in words.
    uncertainty : float
        Standard error of the variance at the mean of the image, as a share of it; 0 where it was given.
    doubt : str
        What speaks against what was given.
    """

    gain: FloatArray
    offset: FloatArray
    text: str
    uncertainty: float = 0.0
    doubt: str = ""

    @property
    def grows(self) -> bool:
        """Whether it grows with the signal."""
        return bool(self.gain.any())

    def variance(self, image: FloatImage) -> FloatArray:
        """In every pixel, told from the noisy pixel itself: of the right mean, and below 0 where noise made it dark."""
        return self.gain * np.asarray(image, np.float64) + self.offset


def noise_model(stack: Stack, layout: Layout, scale: Scale, request: Request) -> NoiseModel:
    """The noise of a file: as the request says, or as it is found in some planes."""
    samples = _samples(stack, layout, scale)
    camera = _camera(request, stack, samples, scale) if request.sigma is None else None
    if camera is not None:
        lines = np.array([(one.gain, one.offset) for one in camera.channels]).T
        return NoiseModel(lines[0], lines[1], camera.text, camera.uncertainty, camera.doubt)
    white = scale.white - scale.black
    none = np.zeros(layout.channels)
    if request.sigma:
        doubt = _level_doubt(request.sigma, samples, scale)
        return NoiseModel(none, none + (request.sigma / white) ** 2, f"sigma {request.sigma:.4g}", doubt=doubt)
    levels = [estimate_level(one) for one in samples]
    found, error = (float(np.median([getattr(one, part) for one in levels])) for part in ("sigma", "error"))
    return NoiseModel(none, none + found**2, f"sigma {found * white:.4g}", uncertainty=2 * error)


def _level_doubt(sigma: float, samples: Sequence[FloatImage], scale: Scale) -> str:
    """What speaks against a level that was given; '' for nothing, as where an image is too small to tell."""
    try:
        found = float(np.median([estimate_level(one).sigma for one in samples]))
    except UserError:
        return ""
    return wrong_level(sigma, found * (scale.white - scale.black))


def for_files(request: Request, files: Sequence[tuple[Path, Path]], views: Sequence[Sequence[Path]] = ()) -> Request:
    """The request that knows what its network is trained on: all files that can be read, by their content."""
    if not request.train:
        return request
    found: dict[str, Any] = {"files": sorted(filter(None, (_digest(source) for source, _ in files)))}
    if any(len(paths) > 1 for paths in views):
        found["views"] = sorted(sorted(map(_digest, paths)) for paths in views)
    return replace(request, trained_on=full_digest(found))


def _digest(path: Path) -> str:
    """Of the content of a file; '' of one that cannot be read."""
    try:
        return file_sha256(path)
    except UserError:
        return ""


def check_one_level(request: Request) -> None:
    """Raise `UserError` for a method that says the noise level itself where another is given, too."""
    found = {"--sigma": request.sigma is not None, "--gain": request.detector is not None}
    found["--noise camera"] = request.noise == "camera"
    for option, given in found.items():
        if given and request.method.says_the_level:
            raise UserError(
                f"method {request.method.text!r} says the noise level in brackets (white = 255), and {option} says "
                "another; drop one."
            )


def check_range(request: Request, several: bool = False) -> None:
    """Raise `UserError` for a range or a word that is not known, before any file is read.

    Parameters
    ----------
    request : Request
        What was asked for.
    several : bool
        Whether there are several captures of every view.
    """
    parse_range(request.range)
    if request.nan not in NAN:
        raise UserError(f"--nan {request.nan!r}: allowed are {', '.join(NAN)}.")
    if request.train:
        check_trainable(request.method, several)
        recipe_from(request.budget or BUDGET, None, None, None, "fresh", request.seed)
        if request.sigma is not None or request.network is not None:
            raise UserError("--train self trains a network that is told no level; drop --sigma and --network.")
    elif request.budget is not None:
        raise UserError("--budget is of a training: give --train self with it, or --image-budget for a fit to each.")
    if request.noise not in MODELS:
        raise UserError(f"--noise {request.noise!r}: allowed are {', '.join(MODELS)}.")
    if request.sigma is not None and request.noise == "camera":
        raise UserError("--sigma is of noise of one level, and --noise camera of noise that grows; drop one.")
    if request.detector is not None and (request.sigma is not None or request.noise == "gauss"):
        one = "--sigma" if request.sigma is not None else "--noise gauss"
        raise UserError(f"{one} is of noise of one level, and --gain of noise that grows; drop one.")
    if request.sigma is not None and not 0 < request.sigma < float("inf"):
        raise UserError(f"--sigma {request.sigma:g}: the standard deviation of noise is above 0.")


@dataclass(frozen=True)
class _Opened:
    """A file that was read, and how it is given to the method."""

    stack: Stack
    clean: Stack
    notes: list[str]
    layout: Layout
    scale: Scale
    told: _Told

    def plane(self, index: Index) -> FloatImage:
        """A plane as the method sees it."""
        noisy = self.scale.apply(self.layout.view(self.clean.data, index))
        return noisy if self.told.camera is None else self.told.camera.forward(noisy)

    def restored(self, image: FloatImage) -> Array:
        """A denoised plane in the values of the file."""
        return self.scale.undo(image if self.told.camera is None else self.told.camera.inverse(image), self.kind)

    @property
    def kind(self) -> np.dtype[Any]:
        """Type of the values of the file."""
        return self.stack.data.dtype


def _open(stack: Stack, request: Request) -> _Opened:
    clean, notes = finite(stack, request.nan)
    if clean.data.min() == clean.data.max():
        raise UserError(f"it is constant (every value is {clean.data.flat[0]:g}); there is nothing to denoise.")
    layout = layout_of(stack, request.channels)
    scale = scale_of(clean, parse_range(request.range))
    told = _told(request, clean, layout, scale)
    doubt = "" if told.camera is None else told.camera.doubt
    if told.source == "given" and told.camera is None and request.sigma:
        doubt = _level_doubt(request.sigma, _samples(clean, layout, scale), scale)
    notes += [doubt] if doubt else []
    return _Opened(stack, clean, notes, layout, scale, told)


class Runner:
    """Denoises files; keeps the network from one to the next.

    Parameters
    ----------
    request : Request
        How.
    views : sequence of sequences of Path
        The files that a network is trained on where the request says so, captures of one view together.
    progress : Progress
        Of that training.
    """

    def __init__(self, request: Request, views: Sequence[Sequence[Path]], progress: Progress) -> None:
        self.request, self._views, self._progress = request, views, progress
        self._network: tuple[str, torch.nn.Module] | None = None
        #: The networks that were trained on the files, by their number of channels.
        self.own: dict[int, OwnNetwork] = {}
        # Results of this command, and what each is of: p.jpg and p.png both give p.png.
        self._made: dict[Path, Path] = {}

    def one(self, source: Path, target: Path, report: Callable[[float, str], None]) -> Result:
        """One file, from reading to writing; its row in the log is left to others."""
        request = self.request
        stack = read_stack(source, request.axes, request.convert)
        target = target.with_suffix(stack.suffix)
        path, output = request.out / target, target.as_posix()
        sha256 = file_sha256(source)
        key = request.key(sha256, output)
        taken = self._made.get(target, source)
        if taken != source:
            raise UserError(
                f"its result would have the name of that of {taken}, {path}; denoise it by itself, with another --out."
            )
        if os.path.lexists(path):
            if is_done(request.out, output, key):
                self._made[target] = source
                return Result(present=output)
            if path.resolve() == source.resolve():
                raise UserError(
                    f"its result would replace it; --out must be another folder than {request.out.resolve()}."
                )
            if not request.overwrite:
                raise UserError(f"{path} is there already; give --overwrite to replace it, or another --out.")
        file = _open(stack, request)
        route, choice, network = self._route(file)
        make_folder(path.parent)
        partial = path.with_name(f".denoisebench-{key[:16]}")
        result, costs = self._planes(file, route, choice, partial, report)
        failed = _failed_planes(file.layout, costs)
        scale, told = file.scale, file.told
        if request.nan == "keep" and stack.data.dtype.kind == "f":
            result = np.where(np.isfinite(stack.data), result, stack.data)
        _write(stack, path, np.asarray(result))
        self._made[target] = source
        for left in (partial.with_suffix(".npy"), partial.with_suffix(".state.npy")):
            left.unlink(missing_ok=True)
        entry = Entry(
            output, str(source), "x".join(map(str, stack.data.shape)), stack.axes, str(stack.data.dtype),
            scale.black, scale.white, scale.source, request.method.text, *network, told.sigma(scale), told.source,
            len(file.layout.planes), int(costs[:, 1].max()), int(costs[:, 2].max()), round(float(costs[:, 0].sum()), 3),
            "; ".join([*stack.notes, *file.notes, *failed]),
            __version__, key, sha256, file_sha256(path),
        )  # fmt: skip
        return Result(entry=entry)

    def filter(self, stack: Stack, layout: Layout, scale: Scale) -> Filter:
        """The method with its network and all it is told of one image, of images with black = 0 and white = 1.

        Parameters
        ----------
        stack : Stack
            What the noise is looked at in.
        layout : Layout
            Its planes.
        scale : Scale
            Black and white.

        Raises
        ------
        UserError
            The method cannot denoise it.
        """
        file = _Opened(stack, stack, [], layout, scale, _told(self.request, stack, layout, scale))
        route, choice, _ = self._route(file)
        camera, level = file.told.camera, file.told.level

        def apply(image: FloatImage) -> FloatImage:
            seen = image.copy() if camera is None else camera.forward(image)
            try:
                done = _denoised(route, seen, level, choice, Place("", "", 0), lambda fraction, text: None).image
            except (ContractError, TrainingFailed, TimeLimit) as error:
                raise UserError(f"{self.request.method.text} failed: {error}") from error
            return done if camera is None else camera.inverse(done)

        return apply

    def prepare(self) -> None:
        """Train the networks that all files need, so that copies of this need not."""
        if not self.request.train:
            return
        for paths in self._views:
            with contextlib.suppress(UserError):
                stack = read_stack(paths[0], self.request.axes, self.request.convert)
                self._own_network(layout_of(stack, self.request.channels).channels)

    def _own_network(self, channels: int) -> OwnNetwork:
        """The network that is trained on all files of that many channels; what cannot be read is told of later."""
        if channels not in self.own:
            views: list[list[FloatImage]] = []
            for paths in self._views:
                with contextlib.suppress(UserError):
                    file = _open(read_view(paths, self.request.axes, self.request.convert), self.request)
                    if file.layout.channels == channels:
                        planes = [file.plane(index) for index in file.layout.planes]
                        # Captures lie along the first axis.
                        apart = len(planes) // len(paths)
                        views += [planes[number::apart] for number in range(apart)]
            request = self.request
            assert isinstance(request.method, LearnedMethod)
            if not views:
                raise UserError(f"there is no image of {channels} channels to train {request.method.text} on.")
            self.own[channels] = train_on(
                views, request.method, request.budget, request.seed, request.device, request.out / "models",
                self._progress,
            )  # fmt: skip
        return self.own[channels]

    def _route(self, file: _Opened) -> tuple[Route, Choice | None, tuple[str, str]]:
        """The way of every plane, and the network that it goes through, with its description and hash."""
        request, told = self.request, file.told
        method, noise, network, choice = told.method, told.noise, None, None
        described = "", ""
        if request.train:
            assert isinstance(method, LearnedMethod)
            own = self._own_network(file.layout.channels)
            described = own.text, own.sha256
            if self._network is None or self._network[0] != own.sha256:
                self._network = own.sha256, own.load(method, file.layout.channels, request.device)
            network = self._network[1]
        elif isinstance(method, LearnedMethod):
            assert told.level is not None
            choice = choose(method, told.level, file.layout.channels, request.shelf, request.network)
            noise, described = choice.noise, (choice.text, choice.weights.sha256)
            if self._network is None or self._network[0] != choice.weights.sha256:
                channels = int(choice.weights.record["channels"])
                self._network = choice.weights.sha256, choice.weights.load(method, channels, request.device)
            network = self._network[1]
        fitting = None
        if isinstance(method, PerImageMethod):
            fitting = Fitting(fit_recipe(method, request.image_budget, usual_precision(request.device)))
        tile = _TILE if request.tile is None else request.tile
        route = Route(
            method, network, noise, seed=request.seed, device=request.device, fitting=fitting, tile=tile,
            limit=request.limit,
        )  # fmt: skip
        return route, choice, described

    def _planes(
        self, file: _Opened, route: Route, choice: Choice | None, partial: Path, tell: Callable[[float, str], None]
    ) -> tuple[Array, FloatArray]:
        """All planes, and seconds, steps, tile and `overshoot` of each; an earlier call's from its files."""
        planes, layout = file.layout.planes, file.layout
        results, states = partial.with_suffix(".npy"), partial.with_suffix(".state.npy")
        try:
            if not results.exists():
                states.unlink(missing_ok=True)
        except OSError as error:
            raise CannotWrite(f"Cannot write in {partial.parent} ({error.strerror or error}).") from None
        result = resumable_array(results, file.stack.data.shape, file.kind)
        state = resumable_array(states, (len(planes), 4), np.dtype(np.float64))
        start = int(np.count_nonzero(~np.isnan(state[:, 0])))
        for number in range(start, len(planes)):
            name = layout.name(planes[number])

            def report(fraction: float, text: str, number: int = number, name: str = name) -> None:
                tell((number + fraction) / len(planes), f"{name} {text}".strip())

            noisy = file.plane(planes[number])
            done = _denoised(route, noisy, file.told.level, choice, Place("", name, 0), report)
            layout.view(result, planes[number])[...] = file.restored(done.image)
            # Last, because it marks the plane as done.
            state[number] = done.seconds, done.steps, done.tile, overshoot(done.image, noisy)
            tell((number + 1) / len(planes), name)
        return result, np.array(state)


def _failed_planes(layout: Layout, costs: FloatArray) -> list[str]:
    """Which planes hold values that no denoiser gives; a note or none. A file keeps them cut to its range."""
    failed = np.flatnonzero(costs[:, 3] > BEYOND)
    if not failed.size:
        return []
    names = [layout.name(layout.planes[number]) for number in failed]
    where = f" in {some(names)}" if len(layout.planes) > 1 else ""
    return [
        f"WARNING: the method failed in a part of it{where}: values lie beyond the noisy ones by up to "
        f"{costs[failed, 3].max():.2g} times their range; look at it, and take another method or network"
    ]


@dataclass(frozen=True)
class _Told:
    """What the method is told of the noise of a file; the level on the scale of what it is given."""

    method: Method
    noise: Noise
    level: float | None
    source: str
    camera: Camera | None = None

    def sigma(self, scale: Scale) -> str:
        """The level in the values of the file, in words; of a camera's noise its model."""
        if self.camera is not None:
            return self.camera.text
        return "" if self.level is None else f"{self.level * (scale.white - scale.black):.6g}"


def _told(request: Request, stack: Stack, layout: Layout, scale: Scale) -> _Told:
    """Gaussian noise of the given or estimated level, a camera's made so, or real noise for who is told no level."""
    method, channels = request.method.told_the_level(), layout.channels
    if request.train:
        reason = request.method.unsuitable(REAL, channels)
        if reason:
            raise UserError(f"method {method.text!r} cannot denoise it: it {reason}.")
        camera = _camera(request, stack, _samples(stack, layout, scale), scale)
        source = "" if camera is None else "fitted" if request.detector is None else "given"
        return _Told(request.method, REAL, None, source, camera)
    # A level in brackets is that of the image as it is; what is given besides is what `rank` scores by.
    if request.detector is not None and not method.says_the_level:
        return _told_by_detector(request, stack, layout, scale)
    given = None if request.sigma is None else request.sigma / (scale.white - scale.black)
    if request.method.measures_noise and given is None:
        # Its correlation hides a part of it from any estimate for white noise, and with it how it grows.
        camera = _camera(request, stack, _samples(stack, layout, scale), scale) if request.noise == "camera" else None
        return _Told(request.method, REAL, None, "" if camera is None else "fitted", camera)
    guess = _gauss(given or 0.1)
    wanted = isinstance(method, LearnedMethod) or Need.LEVEL in method.told(guess.family)
    if method.unsuitable(guess, channels) or not wanted:
        # It takes the noise as it finds it in the image.
        noise = guess if not method.unsuitable(guess, channels) and given else REAL
        reason = request.method.unsuitable(noise, channels)
        if reason:
            raise UserError(f"method {method.text!r} cannot denoise it: it {reason}.")
        return _Told(request.method, noise, given if noise is guess else None, "given" if noise is guess else "")
    if given is not None:
        return _Told(method, guess, given, "given")
    samples = _samples(stack, layout, scale)
    camera = _camera(request, stack, samples, scale)
    if camera is not None:
        return _Told(method, _gauss(camera.level), camera.level, "fitted", camera)
    found = [estimate_level(sample) for sample in samples]
    level = float(np.median([one.sigma for one in found]))
    if not level > 0:
        raise UserError("no noise was found in it; if there is some, give its standard deviation with --sigma.")
    source = "estimated" if all(one.settled for one in found) else "guessed"
    return _Told(method, _gauss(level), level, source)


def _told_by_detector(request: Request, stack: Stack, layout: Layout, scale: Scale) -> _Told:
    """Gaussian noise of one level, made of a camera's that is known: for methods that take no level, too."""
    method = request.method.told_the_level()
    camera = _camera(request, stack, _samples(stack, layout, scale), scale)
    assert camera is not None
    noise = _gauss(camera.level)
    reason = method.unsuitable(noise, layout.channels)
    if reason:
        raise UserError(f"--gain makes its noise Gaussian, so method {method.text!r} cannot denoise it: it {reason}.")
    return _Told(method, noise, camera.level, "given", camera)


def _camera(request: Request, stack: Stack, samples: Sequence[FloatImage], scale: Scale) -> Camera | None:
    """The camera's noise in some planes: as it was given, or found where the request allows for it."""
    if request.detector is not None:
        return camera_from(request.detector.line(stack.levels), samples, scale.black, scale.white)
    return None if request.noise == "gauss" else camera_of(samples, request.noise == "camera")


def _samples(stack: Stack, layout: Layout, scale: Scale) -> list[FloatImage]:
    """A few planes."""
    planes = layout.planes
    chosen = planes[:: max(1, len(planes) // _ESTIMATED)][:_ESTIMATED]
    return [scale.apply(layout.view(stack.data, index)) for index in chosen]


def _gauss(level: float) -> Noise:
    return Noise("gauss", 255 * level, 255 * level)


def _denoised(
    route: Route, noisy: FloatImage, level: float | None, choice: Choice | None, place: Place, report: Report
) -> Denoised:
    """A plane through the route, scaled and repeated for a network that was trained for another level or for colour."""
    fitting = None if route.fitting is None else replace(route.fitting, report=report)
    route = replace(route, fitting=fitting)
    if choice is None:
        return denoise(route, Draw(noisy, level), place)
    factor, shift = np.float32(choice.factor), np.float32(choice.shift)
    seen = np.repeat(noisy, choice.repeat, axis=2) * factor + shift
    done = denoise(route, Draw(seen, choice.level), place)
    image = (done.image - shift) / factor
    return replace(done, image=image.mean(axis=2, keepdims=True) if choice.repeat > 1 else image)


def _write(stack: Stack, path: Path, data: Array) -> None:
    """A result under its name, when it is whole."""
    temporary = temporary_beside(path)
    try:
        stack.write(temporary, data)
        temporary.replace(path)
    except OSError as error:
        raise CannotWrite(
            f"Cannot write {path} ({error.strerror or error}); make room or give another --out."
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
