"""One image through one method, the same way wherever that happens; a cell is such images, scored one by one."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from denoisebench.core.errors import ContractError, UserError
from denoisebench.core.isolation import ALONE, isolated
from denoisebench.core.lazy import torch
from denoisebench.core.limits import limited
from denoisebench.data.dataset import DataSet
from denoisebench.evaluation.counting import Costs
from denoisebench.evaluation.fit import FitRecipe, Report, fit
from denoisebench.plugins.method import (
    LearnedMethod,
    Method,
    NoiseInfo,
    PerImageMethod,
    PlainMethod,
    known_of,
    returned,
    returned_batch,
)
from denoisebench.protocol.draws import Draws
from denoisebench.protocol.images import AnyImage, FloatImage, checked, pad, to_float
from denoisebench.protocol.metrics import SCORINGS
from denoisebench.protocol.noise import Draw, Noise
from denoisebench.protocol.protocol import Row
from denoisebench.protocol.seeds import generator_from, torch_generator_from

# The U-Net needs about 1 kB per pixel; images of more pixels than this are given to a network in tiles.
WHOLE = 2048 * 2048
TILES = (1024, 512, 256)


#: Is shown a clean, a noisy and a denoised image.
Look = Callable[[AnyImage, AnyImage, AnyImage], None]


@dataclass
class Clock:
    """Seconds spent on some images: in the method with its network, and in scoring."""

    method: float = 0.0
    metrics: float = 0.0


@dataclass(frozen=True)
class Fitting:
    """How the images of a per-image method are fitted.

    Parameters
    ----------
    recipe : FitRecipe
        How long.
    checkpoint : Path | None
        Where a long fit leaves its state, or None; `of` makes one path per image of it.
    report : Report
        Is told the finished fraction of the image at hand.
    """

    recipe: FitRecipe
    checkpoint: Path | None = None
    report: Report = lambda fraction, text: None

    def of(self, image: str, repeat: int) -> Fitting:
        """With a checkpoint of that image's own."""
        if self.checkpoint is None:
            return self
        name = hashlib.sha256(f"{image}/{repeat}".encode()).hexdigest()[:16]
        return replace(self, checkpoint=self.checkpoint.with_name(f"{self.checkpoint.name}-{name}.ckpt"))


@dataclass(frozen=True)
class Route:
    """How images go through a method: of runs, audits, submissions, checks of the contract and the public `denoise`.

    Parameters
    ----------
    method : Method
        What denoises.
    network : torch.nn.Module or None
        Of a learned method, in evaluation mode; else None.
    noise : Noise
        What the noisy images are told to have.
    padding : str
        As in `Protocol`.
    seed : int
        Of the method's own draws while denoising.
    device : str
        Torch device of the network.
    fitting : Fitting or None
        Of a per-image method, else None.
    tile : int or None
        Side of the tiles a network is given, 0 for whole images, None for tiles where an image is large.
    limit : float or None
        Seconds the method may take per image.
    costs : Costs or None
        Measures what else an image costs.
    """

    method: Method
    network: torch.nn.Module | None
    noise: Noise
    padding: str = "side"
    seed: int = 0
    device: str = "cpu"
    fitting: Fitting | None = None
    tile: int | None = None
    limit: float | None = None
    costs: Costs | None = None


class Place(NamedTuple):
    """Which noisy image it is; with the seed and the noise it decides the method's own draws."""

    dataset: str
    image: str
    repeat: int


@dataclass(frozen=True)
class Denoised:
    """A denoised image and what it took.

    Parameters
    ----------
    image : (H, W, C) float
        Not clipped.
    steps : int
        Of its fit, 0 where nothing is fitted.
    tile : int
        Side of its tiles, 0 where there are none.
    seconds : float
        In the method and its network.
    estimate : float or None
        Level of the noise that the method estimated and used, if it noted one.
    multiply_adds, memory : int or None
        Of the passes through its network, and bytes at its peak, where they were measured.
    """

    image: FloatImage
    steps: int
    tile: int
    seconds: float
    estimate: float | None = None
    multiply_adds: int | None = None
    memory: int | None = None


def evaluate(
    route: Route,
    dataset: DataSet,
    draws: Draws,
    wanted: Sequence[tuple[str, int]],
    clock: Clock | None = None,
    look: Look | None = None,
) -> Iterator[Row]:
    """Denoise and score the wanted (image, repeat) pairs, in the order given.

    Parameters
    ----------
    route : Route
        The method and how images go through it.
    dataset : DataSet
        Where the images are from.
    draws : Draws
        Makes them noisy; not asked for real noise.
    wanted : sequence of (str, int)
        Image id and repeat.
    clock : Clock or None
        Is added to.
    look : callable or None
        Is given the clean, the noisy and the denoised image of every pair before its row is yielded.

    Yields
    ------
    Row
        One per pair, as soon as it is scored.

    Raises
    ------
    TimeLimit
        An image took longer than the route allows.
    """
    scoring = SCORINGS[dataset.scoring]
    for image, repeat, clean, draw in _noisy_images(dataset, route.noise, draws, wanted):
        done = denoise(route, draw, Place(dataset.name, image, repeat))
        start = time.perf_counter()
        psnr, ssim = scoring.score(done.image, clean)
        if clock is not None:
            clock.method += done.seconds
            clock.metrics += time.perf_counter() - start
        if look is not None:
            look(clean, draw.noisy, done.image)
        pixels = clean.shape[0] * clean.shape[1]
        adds = None if done.multiply_adds is None else done.multiply_adds / pixels
        yield Row(
            image, repeat, psnr, ssim, done.seconds, draw.level, done.steps, done.tile, done.estimate, adds, done.memory
        )


def _noisy_images(
    dataset: DataSet, noise: Noise, draws: Draws, wanted: Sequence[tuple[str, int]]
) -> Iterator[tuple[str, int, AnyImage, Draw]]:
    """Image, repeat, reference and noisy image of every wanted pair; the clean image is loaded once for its repeats."""
    image_loaded, clean = "", np.zeros((0, 0, 0), np.uint8)
    for image, repeat in wanted:
        if noise.real:
            which = f"capture {repeat + 1} of image {image!r} of data set {dataset.name!r}"
            clean = checked(dataset.reference(image, repeat), f"The reference of {which}")
            noisy = checked(dataset.capture(image, repeat), f"C{which[1:]}")
            if noisy.shape != clean.shape:
                raise UserError(f"C{which[1:]} has the shape {noisy.shape}, its reference {clean.shape}.")
            if noisy.dtype.kind == clean.dtype.kind == "u" and noisy.dtype != clean.dtype:
                raise UserError(
                    f"C{which[1:]} is {noisy.dtype}, its reference {clean.dtype}, and the largest value of each is "
                    "white; give both in one type, or as floats with white = 1.0."
                )
            yield image, repeat, clean, Draw(to_float(noisy), None)
            continue
        if image != image_loaded:
            clean = checked(dataset.load(image), f"Image {image!r} of data set {dataset.name!r}")
            image_loaded = image
        yield image, repeat, clean, draws.draw(dataset.name, image, repeat, clean, noise)


def denoise(route: Route, draw: Draw, place: Place) -> Denoised:
    """One noisy image through a method: tell it what it declared, pad, denoise, crop.

    Parameters
    ----------
    route : Route
        The method and how images go through it.
    draw : Draw
        The noisy image (H, W, C) and its level, None where nobody knows it.
    place : Place
        Which image it is.

    Returns
    -------
    Denoised

    Raises
    ------
    ContractError
        The method returned another shape, or values that are not finite.
    TimeLimit
        It took longer than the route allows.
    """
    # What another thread takes is no part of this image's time.
    with ALONE, limited(route.limit, (place.image, place.repeat)), _measuring(route, draw):
        start = time.perf_counter()
        done = _denoise(route, draw, place)
        seconds = time.perf_counter() - start
    adds, memory = route.costs.found() if route.costs else (None, None)
    return replace(done, seconds=seconds, multiply_adds=adds, memory=memory)


def _measuring(route: Route, draw: Draw) -> AbstractContextManager[None]:
    return route.costs.measuring(draw.noisy.shape) if route.costs else nullcontext()


def _denoise(route: Route, draw: Draw, place: Place) -> Denoised:
    """The image and how it came about; its seconds are not counted here."""
    method = route.method
    height, width = draw.noisy.shape[:2]
    padded = draw.noisy
    if method.info.multiple > 1:
        padded = pad(padded, method.info.multiple, route.padding == "square")
    padded.flags.writeable = False
    with isolated():
        done = _through_method(route, padded, draw.level, place)
    result = done.image
    if result.shape != padded.shape:
        raise ContractError(f"method {method.name!r} returned shape {result.shape} for input {padded.shape}")
    if result.dtype.kind != "f":
        raise ContractError(f"method {method.name!r} returned {result.dtype} values; white is 1.0, as a float")
    result = result[:height, :width]
    with np.errstate(over="ignore"):
        # What single precision cannot hold overflows when it is squared.
        finite = np.isfinite(result.astype(np.float32, copy=False)).all()
    if not finite:
        raise ContractError(f"method {method.name!r} returned values that are not finite")
    return replace(done, image=result)


def _through_method(route: Route, padded: FloatImage, level: float | None, place: Place) -> Denoised:
    """The padded image through the method's own code."""
    method, network, device = route.method, route.network, route.device
    known = known_of(method, route.noise, level)
    axes = ("denoising", route.seed, *place, route.noise.id)
    steps = used = 0
    if isinstance(method, LearnedMethod):
        assert network is not None
        result, used = _through_network(method, network, padded, known, axes, device, route.tile)
    elif isinstance(method, PlainMethod):
        result = np.asarray(returned(method, method.denoise(padded, known, generator_from(*axes))))
    elif isinstance(method, PerImageMethod):
        assert route.fitting is not None
        fitting = route.fitting.of(place.image, place.repeat)
        result, steps = fit(
            method, padded, known, fitting.recipe, axes, device, fitting.checkpoint, fitting.report
        )  # fmt: skip
    else:
        raise ContractError(f"method {method.name!r} is neither a PlainMethod, a LearnedMethod nor a PerImageMethod")
    return Denoised(result, steps, used, 0.0, known.noted)


def _through_network(
    method: LearnedMethod,
    network: torch.nn.Module,
    noisy: FloatImage,
    known: NoiseInfo,
    axes: Sequence[object],
    device: str,
    tile: int | None,
) -> tuple[FloatImage, int]:
    """The result, and the side of the tiles it was computed in: smaller ones, if need be, until memory suffices."""
    from denoisebench.networks.tiled import in_tiles, out_of_memory

    sides = _sides(network, noisy, tile)
    for side in sides:
        try:
            tiles = in_tiles(network, side) if side else network
            return _one_pass(method, tiles, noisy, known, axes, device), side
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        if device.startswith("cuda"):
            torch.cuda.empty_cache()
    height, width = noisy.shape[:2]
    tried = ", ".join(f"in tiles of {side}" if side else "at once" for side in sides)
    raise ContractError(
        f"an image of {width}x{height} pixels does not fit into the memory of {device} (tried {tried}); "
        "give --tile auto or a smaller number, use another --device, or cut the image. Tiles need a network that "
        "declares its reach."
    )


def _sides(network: torch.nn.Module, noisy: FloatImage, tile: int | None) -> list[int]:
    """Sides of tiles to try, in this order; 0 is the whole image. By the size alone, so that machines agree."""
    from denoisebench.networks.tiled import is_tileable

    height, width = noisy.shape[:2]
    if tile == 0 or not is_tileable(network):
        return [0]
    if tile is not None:
        return [tile if tile < max(height, width) else 0]
    sides = [side for side in TILES if side < max(height, width)]
    return sides if height * width > WHOLE and sides else [0, *sides]


def _one_pass(
    method: LearnedMethod,
    network: torch.nn.Module,
    noisy: FloatImage,
    known: NoiseInfo,
    axes: Sequence[object],
    device: str,
) -> FloatImage:
    with torch.inference_mode():
        # The copy gives torch memory of its own: the noisy image itself is read-only.
        tensor = torch.from_numpy(noisy.copy()).to(device).permute(2, 0, 1)[None]
        generator = torch_generator_from(*axes, device=device)
        result = returned_batch(method, method.denoise(network, tensor, known, generator))
        return np.asarray(result[0].permute(1, 2, 0).float().cpu().numpy())
