"""One cell: a method on the noisy images of one test set, scored image by image."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from denoisebench.core.errors import ContractError, UserError
from denoisebench.core.isolation import isolated
from denoisebench.core.lazy import torch
from denoisebench.core.limits import limited
from denoisebench.data.dataset import DataSet
from denoisebench.evaluation.fit import FitRecipe, Report, fit
from denoisebench.plugins.method import LearnedMethod, Method, Need, NoiseInfo, PerImageMethod, PlainMethod
from denoisebench.protocol.draws import Draws
from denoisebench.protocol.images import AnyImage, FloatImage, checked, pad, to_float
from denoisebench.protocol.metrics import SCORINGS
from denoisebench.protocol.noise import Draw, Noise
from denoisebench.protocol.protocol import Row
from denoisebench.protocol.seeds import generator_from, torch_generator_from

# The U-Net needs about 1 kB per pixel; images of more pixels than this are given to a network in tiles.
WHOLE = 2048 * 2048
TILES = (1024, 512, 256)


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
    recipe : how long
    checkpoint : where a long fit leaves its state, or None; `of` makes one path per image of it
    report : is told the finished fraction of the image at hand
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


def evaluate(
    method: Method,
    network: torch.nn.Module | None,
    dataset: DataSet,
    noise: Noise,
    draws: Draws,
    wanted: Sequence[tuple[str, int]],
    *,
    padding: str = "side",
    seed: int = 0,
    device: str = "cpu",
    fitting: Fitting | None = None,
    tile: int | None = None,
    clock: Clock | None = None,
    limit: float | None = None,
) -> Iterator[Row]:
    """Denoise and score the wanted (image, repeat) pairs, in the order given.

    Parameters
    ----------
    method, network : what to evaluate; the network of a learned method, else None
    dataset, noise, draws : what makes the noisy images
    wanted : (image id, repeat) pairs
    padding : see `Protocol`
    seed : of a method's own draws while denoising
    device : torch device of the network
    fitting : for a per-image method
    tile : side of the tiles a network is given, 0 for whole images, None for tiles where an image is large
    clock : is added to
    limit : seconds the method may take per image; raises `TimeLimit`

    Yields
    ------
    Row per pair, as soon as it is scored
    """
    scoring = SCORINGS[dataset.scoring]
    for image, repeat, clean, draw in _noisy_images(dataset, noise, draws, wanted):
        known = known_of(method, noise, draw)
        axes = ("denoising", seed, dataset.name, image, repeat, noise.id)
        start = time.perf_counter()
        one = fitting.of(image, repeat) if fitting else None
        with limited(limit, (image, repeat)):
            result, steps, used = denoise(method, network, draw, known, padding, axes, device, one, tile)
        seconds = time.perf_counter() - start
        psnr, ssim = scoring.score(result, clean)
        if clock is not None:
            clock.method += seconds
            clock.metrics += time.perf_counter() - start - seconds
        yield Row(image, repeat, psnr, ssim, seconds, draw.level, steps, used)


def known_of(method: Method, noise: Noise, draw: Draw) -> NoiseInfo:
    """What a method is told of a noisy image: what it declared, as far as anybody knows it."""
    facts: dict[Need, Any] = {Need.FAMILY: noise.family, Need.RANGED: noise.ranged}
    facts |= {} if draw.level is None else {Need.LEVEL: draw.level}
    return NoiseInfo(method.name, method.told(noise.family), facts)


def _noisy_images(
    dataset: DataSet, noise: Noise, draws: Draws, wanted: Sequence[tuple[str, int]]
) -> Iterator[tuple[str, int, AnyImage, Draw]]:
    """Image, repeat, reference and noisy image of every wanted pair; the clean image is loaded once for its repeats."""
    image_loaded, clean = "", np.zeros((0, 0, 0), np.uint8)
    for image, repeat in wanted:
        if noise.real:
            which = f"capture {repeat + 1} of image {image!r} of data set {dataset.name!r}"
            clean = checked(dataset.reference(image, repeat), f"The reference of {which}")
            noisy = to_float(checked(dataset.capture(image, repeat), f"C{which[1:]}"))
            if noisy.shape != clean.shape:
                raise UserError(f"C{which[1:]} has the shape {noisy.shape}, its reference {clean.shape}.")
            yield image, repeat, clean, Draw(noisy, None)
            continue
        if image != image_loaded:
            clean = checked(dataset.load(image), f"Image {image!r} of data set {dataset.name!r}")
            image_loaded = image
        yield image, repeat, clean, draws.draw(dataset.name, image, repeat, clean, noise)


def denoise(
    method: Method,
    network: torch.nn.Module | None,
    draw: Draw,
    known: NoiseInfo,
    padding: str,
    axes: Sequence[object],
    device: str = "cpu",
    fitting: Fitting | None = None,
    tile: int | None = None,
) -> tuple[FloatImage, int, int]:
    """One noisy image through a method: pad, denoise, crop; (H, W, C) in and out, not clipped.

    Returns
    -------
    The image, the steps of its fit (0 where nothing is fitted), and the side of its tiles (0 where there are none)

    Raises
    ------
    ContractError
        The method returned another shape, or values that are not finite.
    """
    height, width = draw.noisy.shape[:2]
    padded = draw.noisy
    if method.info.multiple > 1:
        padded = pad(padded, method.info.multiple, padding == "square")
    padded.flags.writeable = False
    with isolated():
        result, steps, used = _denoised(method, network, padded, known, axes, device, fitting, tile)
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
    return result, steps, used


def _denoised(
    method: Method,
    network: torch.nn.Module | None,
    padded: FloatImage,
    known: NoiseInfo,
    axes: Sequence[object],
    device: str,
    fitting: Fitting | None,
    tile: int | None,
) -> tuple[FloatImage, int, int]:
    """The padded image through the method's own code."""
    steps = used = 0
    if isinstance(method, LearnedMethod):
        assert network is not None
        result, used = _through_network(method, network, padded, known, axes, device, tile)
    elif isinstance(method, PlainMethod):
        result = np.asarray(method.denoise(padded, known, generator_from(*axes)))
    elif isinstance(method, PerImageMethod):
        assert fitting is not None
        result, steps = fit(
            method, padded, known, fitting.recipe, axes, device, fitting.checkpoint, fitting.report
        )  # fmt: skip
    else:
        raise ContractError(f"method {method.name!r} is neither a PlainMethod, a LearnedMethod nor a PerImageMethod")
    return result, steps, used


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
        result = method.denoise(network, tensor, known, generator)
        return np.asarray(result[0].permute(1, 2, 0).float().cpu().numpy())
