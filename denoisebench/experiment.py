"""From the text of an experiment to its cells: what is to be run, and under which content address."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from denoisebench.captures import AnyPairs
from denoisebench.dataset import AnyFolder, DataSet, FolderSet, MissingData, data_roots
from denoisebench.errors import UserError, unknown
from denoisebench.evaluation import PADDINGS, Protocol
from denoisebench.fitting import FitRecipe, fit_recipe
from denoisebench.method import LearnedMethod, Method, Need, PerImageMethod, PlainMethod
from denoisebench.metrics import SCORINGS
from denoisebench.networks import check_network, user_network
from denoisebench.noise import CounterDraws, Draws, LegacyDraws, LegacySet, Noise, parse_noise
from denoisebench.provenance import (
    EVALUATION,
    FITTING,
    NETWORKS,
    TRAINING,
    code_digest,
    plugin_digest,
    source_digest,
    versions,
)
from denoisebench.registry import DATASETS, METHODS
from denoisebench.training import Recipe, TrainingJob
from denoisebench.weights import Shelf, Weights

DRAWS = ("counter", "legacy")
#: Official order of the legacy stream.
LEGACY_ORDER = ("kodak", "bsd300", "set14")
#: Data set on which trainings are measured.
HELD_OUT = "heldout"
#: Training sets tried in turn under ``--train-data auto``; the last is inside scikit-image's wheel.
AUTO_TRAINING = {3: ("bsd400_color", "samples_train"), 1: ("bsd400", "samples_train")}
#: Every method that a list does not name itself.
ALL = "all"
_METHOD = re.compile(r"([A-Za-z_][\w-]*)(?:\[(.*)\])?", re.DOTALL)


@dataclass(frozen=True)
class Cell:
    """One (method with its settings, noise, test set): the unit of work, of storage and of resuming.

    Parameters
    ----------
    method, noise, dataset : what is run
    protocol : how it is scored
    job : the training of a learned method that has no weights yet, else None
    weights : the trained network of a learned method, if there is one already
    fit : how a per-image method is fitted
    seed : of the method's own draws while denoising
    tile : side of the tiles for its network, see `denoisebench.evaluation.evaluate`
    wanted : (image, repeat) pairs
    identity : everything that decides the rows
    skip : why this cell cannot run, or ''
    """

    method: Method
    noise: Noise
    dataset: DataSet
    protocol: Protocol
    job: TrainingJob | None
    weights: Weights | None
    fit: FitRecipe | None
    seed: int
    wanted: Sequence[tuple[str, int]]
    identity: Mapping[str, Any]
    skip: str = ""
    tile: int | None = None

    @property
    def title(self) -> str:
        """One phrase for messages."""
        text = f"{self.method.text} on {self.dataset.name} with {self.noise.id}"
        seed = self.job.recipe.seed if self.job else self.seed
        return text if seed == self.seed else f"{text}, trained from seed {seed}"


@dataclass(frozen=True)
class _Network:
    """What stands behind a method under a noise: a training, weights or a fit, its description, why there is none."""

    job: TrainingJob | None
    weights: Weights | None
    fit: FitRecipe | None
    training: Mapping[str, Any] | None
    skip: str


@dataclass(frozen=True)
class Experiment:
    """A whole experiment, as the command line gives it.

    Parameters
    ----------
    methods, noises, datasets : every combination is a cell
    repeats : draws of noise per image; None for the paper's number of each set
    recipe : training of the learned methods
    image_budget, image_precision : of the per-image methods, as `denoisebench.fitting.fit_recipe` reads them
    train_data : the training images, or None to choose by `AUTO_TRAINING`
    draws : 'counter' or 'legacy'
    seed : of noise, training and methods
    trainings : of each learned method that has no weights, from seeds ``seed``, ``seed + 1`` and so on
    padding : 'side' or 'square'
    device : 'cpu', 'cuda' or 'mps'
    roots : folders searched for data
    tile : side of the tiles large images are denoised in, 0 for none, None to choose by size
    shelf : weights that are used where they fit; None to train every learned method by `recipe`
    scored : results are compared with references; not so for a file that is sent to a server
    """

    methods: Sequence[Method]
    noises: Sequence[Noise]
    datasets: Sequence[DataSet]
    recipe: Recipe
    image_budget: str | None = None
    image_precision: str = "float32"
    repeats: int | None = 1
    train_data: DataSet | None = None
    draws: str = "counter"
    seed: int = 0
    trainings: int = 1
    padding: str = "side"
    device: str = "cpu"
    roots: Sequence[Path] = ()
    shelf: Shelf | None = None
    scored: bool = True
    tile: int | None = None
    # Every cell asks for them, and finding them reads manifests.
    _training_sets: dict[int | str, DataSet] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.draws not in DRAWS:
            raise unknown("source of noise", self.draws, DRAWS)
        if self.padding not in PADDINGS:
            raise unknown("padding", self.padding, PADDINGS)
        if self.repeats is not None and self.repeats < 1:
            raise UserError(f"--repeats {self.repeats}: allowed are whole numbers from 1, or paper.")
        if self.recipe.draws == "fixed" and any(noise.real for noise in self.noises):
            raise UserError("--training-noise fixed: the captures of real noise are what they are; leave it out.")
        if self.draws == "legacy":
            self._check_legacy()

    def _check_legacy(self) -> None:
        for dataset in self.datasets:
            if dataset.name not in LEGACY_ORDER:
                raise UserError(
                    f"Legacy draws are defined for {', '.join(LEGACY_ORDER)}, not for {dataset.name!r}. "
                    "Use --noise-draws counter there."
                )
            if (self.repeats or 0) > dataset.paper_repeats:
                raise UserError(
                    f"Legacy draws hold {dataset.paper_repeats} repeats of {dataset.name}, not {self.repeats}. "
                    "Lower --repeats or use --noise-draws counter."
                )

    def draws_source(self) -> Draws:
        """The source of evaluation noise."""
        if self.draws == "counter":
            return CounterDraws(self.seed)
        sets = [find_dataset(name, self.roots) for name in LEGACY_ORDER]
        return LegacyDraws([LegacySet(s.name, s.paper_repeats, s.images, s.load) for s in sets])

    def training_set(self, channels: int, noise: Noise, test: DataSet | None = None) -> DataSet:
        """The images that learned methods are trained on.

        Parameters
        ----------
        channels : of a set for synthetic noise
        noise : real noise needs a set with captures
        test : a test set of real captures may name the one that belongs to it

        Raises
        ------
        UserError
            The set that was asked for does not go with the noise, or none is known.
        """
        if self.train_data is not None:
            if self.train_data.real != noise.real:
                raise UserError(f"--train-data {self.train_data.name} {_mismatch(noise, self.train_data)}.")
            return self.train_data
        if noise.real and (test is None or not test.training):
            known = f" for {test.name}" if test else ""
            raise UserError(f"no training set of real captures is known{known}; name one with --train-data")
        key = test.training if noise.real and test is not None else channels
        if key not in self._training_sets:
            found = find_dataset(key, self.roots) if isinstance(key, str) else self._find_training_set(key)
            self._training_sets[key] = found
        return self._training_sets[key]

    def training_data(self, name: str) -> DataSet:
        """The training set of that name: the one given, or a built-in one."""
        own = self.train_data
        return own if own is not None and own.name == name else find_dataset(name, self.roots)

    def heldout(self, job: TrainingJob) -> DataSet | None:
        """The photographs that a training is measured on, if they are on this machine and of its kind."""
        if job.noise.real or job.channels not in (1, 3):
            return None
        found = find_dataset(HELD_OUT, self.roots)
        try:
            return found if isinstance(found, FolderSet) and found.folder else None
        except MissingData:
            return None

    def _find_training_set(self, channels: int) -> DataSet:
        *preferred, embedded = AUTO_TRAINING[channels]
        for name in preferred:
            candidate = find_dataset(name, self.roots)
            try:
                if isinstance(candidate, FolderSet) and candidate.folder:
                    return candidate
            except MissingData:
                continue
        return find_dataset(embedded, self.roots)

    def cells(self) -> list[Cell]:
        """Every cell, data set by data set, noise by noise, methods in the order given."""
        known: dict[tuple[int, str, int, str], list[_Network]] = {}
        cells = []
        for dataset in self.datasets:
            count = dataset.paper_repeats if self.repeats is None else self.repeats
            images = dataset.images
            wanted = [(image, repeat) for repeat in range(count) for image in images]
            for noise in self.noises:
                protocol = self._protocol(noise, dataset)
                described = asdict(protocol)
                unfit = _mismatch(noise, dataset, count, self.scored)
                for place, method in enumerate(self.methods):
                    # Networks for real noise belong to a test set, others serve all of them.
                    key = (place, noise.id, dataset.channels, dataset.name if dataset.real else "")
                    if key not in known and not unfit:
                        known[key] = self._networks(method, noise, dataset)
                    for network in [_Network(None, None, None, None, unfit)] if unfit else known[key]:
                        cells.append(self._cell(method, noise, dataset, protocol, described, wanted, network))
        return cells

    def job(
        self, method: LearnedMethod, noise: Noise, channels: int, number: int = 0, test: DataSet | None = None
    ) -> TrainingJob:
        """The training a learned method needs for a noise and a channel count, the first one or a later one."""
        data = self.training_set(channels, noise, test)
        code = {
            "training": code_digest(TRAINING),
            "plugin": plugin_digest(source_of(method)),
            **versions(("torch", "numpy")),
        }
        own = user_network(method.network)
        if own is not None:
            code["network"] = source_digest(own)
        described = {"name": data.name, "sha256": data.data_hash}
        described |= {"extent": data.extent} if data.extent else {}
        recipe = replace(self.recipe, seed=self.recipe.seed + number)
        return TrainingJob(method, noise, recipe, channels, described, code, self.device)

    def _protocol(self, noise: Noise, dataset: DataSet) -> Protocol:
        draws_id = f"counter-{self.seed}" if self.draws == "counter" else LegacyDraws.id
        scoring = SCORINGS[dataset.scoring]
        return Protocol(
            dataset.name, dataset.data_hash, noise.id, "captures" if noise.real else draws_id, self.padding,
            scoring.rounding, scoring.metrics,
        )  # fmt: skip

    def _networks(self, method: Method, noise: Noise, dataset: DataSet) -> list[_Network]:
        first = self._network(method, noise, dataset)
        if first.job is None or first.skip:
            return [first]
        assert isinstance(method, LearnedMethod)
        jobs = [self.job(method, noise, dataset.channels, number, dataset) for number in range(1, self.trainings)]
        return [first, *(replace(first, job=job, training=job.identity) for job in jobs)]

    def _network(self, method: Method, noise: Noise, dataset: DataSet) -> _Network:
        job, weights, fit, training = None, None, None, None
        skip = _reason_to_skip(method, noise, dataset.channels)
        if isinstance(method, LearnedMethod) and not (skip and noise.real):
            try:
                weights, job = self._trained(method, noise, dataset)
                training = job.identity if job else {"weights": weights.sha256, "networks": code_digest(NETWORKS)}  # type: ignore[union-attr]
            except _Unsuited as error:
                skip = str(error)
        elif isinstance(method, PerImageMethod):
            try:
                fit = fit_recipe(method, self.image_budget, self.image_precision)
                training = {"fit": asdict(fit), "code": code_digest(FITTING), "networks": code_digest(NETWORKS)}
            except UserError as error:
                skip = skip or str(error)
        return _Network(job, weights, fit, training, skip)

    def _trained(
        self, method: LearnedMethod, noise: Noise, dataset: DataSet
    ) -> tuple[Weights, None] | tuple[None, TrainingJob]:
        """The weights of a learned method that fit a test set, or else the training that it needs."""
        if not noise.real:
            weights = self.shelf.find(method, noise.id, dataset.channels) if self.shelf else None
            return (weights, None) if weights else (None, self.job(method, noise, dataset.channels))
        try:
            # Real noise is that of its data set: a network is no use beyond it, and its images may not be here.
            data = self.training_set(dataset.channels, noise, dataset)
            weights = self.shelf.find(method, noise.id, dataset.channels, data.name) if self.shelf else None
            if weights:
                return weights, None
            if data.channels != dataset.channels:
                raise UserError(f"{data.name} has {data.channels} channels, {dataset.name} {dataset.channels}")
            if Need.SECOND in method.told(noise.family) and min(map(data.captures, data.images)) < 2:
                raise UserError(f"needs two captures of one view, and {data.name} has views with only one")
            return None, self.job(method, noise, dataset.channels, test=dataset)
        except UserError as error:
            raise _Unsuited(str(error)) from None

    def _cell(
        self,
        method: Method,
        noise: Noise,
        dataset: DataSet,
        protocol: Protocol,
        described: Mapping[str, Any],
        wanted: Sequence[tuple[str, int]],
        network: _Network,
    ) -> Cell:
        plain = isinstance(method, PlainMethod)
        identity = {
            "method": method.name,
            "settings": method.settings(),
            "protocol": dict(described),
            "training": network.training,
            "code": {"evaluation": code_digest(EVALUATION), "plugin": plugin_digest(source_of(method))},
            "versions": versions(("numpy", *(() if plain else ("torch",)), *method.info.packages)),
            "device": "cpu" if plain else self.device,
            "seed": self.seed,
        }
        return Cell(
            method, noise, dataset, protocol, network.job, network.weights, network.fit, self.seed, wanted, identity,
            network.skip, self.tile,
        )  # fmt: skip


class _Unsuited(Exception):  # noqa: N818 - a reason to skip a cell
    """Nothing that this learned method could be trained on for real noise."""


def _mismatch(noise: Noise, dataset: DataSet, count: int = 1, scored: bool = True) -> str:
    """Why a data set cannot be used with a noise, or ''."""
    if noise.real and not dataset.real:
        return "holds clean images only; the noise 'real' needs a set of real captures"
    if dataset.real and not noise.real:
        return "holds real noisy captures, which go with --noise real only"
    if scored and not dataset.referenced:
        return "has no public references, so nothing can be scored here; denoisebench submit writes the file to send"
    fewest = min(dataset.images, key=dataset.captures) if noise.real else ""
    if noise.real and dataset.captures(fewest) < count:
        return f"holds {dataset.captures(fewest)} captures of image {fewest}, and --repeats asks for {count}"
    return ""


def _reason_to_skip(method: Method, noise: Noise, channels: int) -> str:
    try:
        return method.unsuitable(noise, channels) or ""
    except Exception as error:  # a plugin may raise anything, and must not cost the others their results
        return f"its unsuitable() raised {type(error).__name__}: {error}"


# Finding the file of a class walks through modules.
_file_of_class: Callable[[type], str] = cache(inspect.getfile)


def source_of(method: Method) -> Path:
    """The plugin file of a method."""
    return Path(_file_of_class(type(method)))


def split_list(text: str) -> list[str]:
    """Split at commas that are not inside brackets: ``b2u[a=1,b=2],n2v`` has two parts."""
    parts, depth = [""], 0
    for character in text:
        depth += {"[": 1, "]": -1}.get(character, 0)
        if depth not in (0, 1):
            raise UserError(f"Brackets do not match in {text!r}. Write settings as name[key=value,key=value].")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    if depth:
        raise UserError(f"A bracket is not closed in {text!r}. Write settings as name[key=value,key=value].")
    parts = [part.strip() for part in parts]
    if not all(parts):
        raise UserError(f"There is an empty entry in {text!r}; separate names with single commas.")
    return parts


def parse_method(text: str, network: str | None = None) -> Method:
    """Read ``name`` or ``name[key=value,...]``.

    Parameters
    ----------
    text : with or without settings
    network : of a learned method that names none and has none of its own, such as a blind-spot network
    """
    match = _METHOD.fullmatch(text)
    if match is None:
        raise UserError(f"Method {text!r} cannot be read. Write name or name[key=value,key=value].")
    name, inside = match.groups()
    settings: dict[str, str] = {}
    for part in split_list(inside) if inside else []:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value:
            raise UserError(f"Setting {part!r} of {name} cannot be read. Write key=value.")
        if key in settings:
            raise UserError(f"Setting {key!r} of {name} is given twice.")
        settings[key] = value
    plugin = METHODS.get(name)
    if network is not None and issubclass(plugin, LearnedMethod) and plugin.network == LearnedMethod.network:
        settings.setdefault("network", network)
    method = plugin.from_settings(settings)
    if isinstance(method, LearnedMethod):
        check_network(method.network)
    return method


def parse_methods(text: str, network: str | None = None) -> list[Method]:
    """Read a list of methods; those that are in every table (the noisy input) come first.

    Parameters
    ----------
    text : ``all`` stands for every method that the list does not name itself: ``all,r2r[passes=2]`` has R2R once
    network : see `parse_method`
    """
    if network is not None:
        check_network(network)
    parts = split_list(text)
    named = {part.partition("[")[0].strip() for part in parts}
    if ALL not in METHODS.names():
        others = [name for name in METHODS.names() if name not in named]
        parts = [name for part in parts for name in (others if part == ALL else [part])]
    given = [parse_method(part, network) for part in parts]
    baselines = [METHODS.get(name)() for name in METHODS.names() if is_baseline(name)]
    return list(dict.fromkeys([*baselines, *given]))


def is_baseline(name: str) -> bool:
    """Whether a built-in method belongs into every table."""
    return METHODS.origin(name) == "built in" and METHODS.get(name).info.baseline


def parse_noises(text: str) -> list[Noise]:
    """Read a list of noise ids."""
    return list(dict.fromkeys(parse_noise(part) for part in split_list(text)))


def find_dataset(text: str, roots: Sequence[Path]) -> DataSet:
    """A data set by name, or any folder of images by path."""
    if text in DATASETS.names():
        plugin = DATASETS.get(text)
        return plugin(list(roots) or data_roots()) if issubclass(plugin, FolderSet) else plugin()
    path = Path(text).expanduser()
    if path.is_dir():
        return AnyPairs(path) if AnyPairs.fits(path) else AnyFolder(path)
    if path.is_file():
        raise UserError(f"Data set {text!r} is a file; give the folder that holds the images.")
    raise unknown("data set", text, DATASETS.names(), "Or give the path of a folder of images.")


def parse_datasets(text: str, roots: Sequence[Path]) -> list[DataSet]:
    """Read a list of data sets and folders."""
    found = [find_dataset(part, roots) for part in dict.fromkeys(split_list(text))]
    names = [dataset.name for dataset in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"Two data sets are named {twice!r}; rename one of the folders.")
    return found


def parse_repeats(text: str) -> int | None:
    """Read ``--repeats``: a number from 1, or ``paper`` (None) for the paper's number of each set."""
    if text == "paper":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"--repeats {text!r}: allowed are whole numbers from 1, or paper (10/3/20).")
    return int(text)


def parse_tile(text: str) -> int | None:
    """Read ``--tile``: ``auto`` (None), ``none`` (0), or the side of a tile, a multiple of 32."""
    if text in ("auto", "none"):
        return None if text == "auto" else 0
    if not (text.isdecimal() and text.isascii()) or int(text) < 32 or int(text) % 32:
        raise UserError(f"--tile {text!r}: allowed are auto, none and multiples of 32 from 32.")
    return int(text)


def resolve_device(text: str) -> str:
    """The kind of device for ``auto``, ``cpu``, ``cuda`` or ``mps``."""
    if text == "cpu":
        return text
    if text == "auto":
        # Asking torch costs seconds; without a device node or a Mac there is nothing to ask about.
        import sys

        if not Path("/dev/nvidiactl").exists() and sys.platform == "linux":
            return "cpu"
    elif text not in ("cuda", "mps"):
        raise unknown("device", text, ("auto", "cpu", "cuda", "mps"))
    from denoisebench.lazy import torch

    usable = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if text == "auto":
        return next((kind for kind, works in usable.items() if works), "cpu")
    if not usable[text]:
        raise UserError(f"Device {text!r} is not available to torch on this machine; use --device cpu.")
    return text
