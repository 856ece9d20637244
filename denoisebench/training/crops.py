"""Training images and the crops of every step: clean ones whose noise is drawn, or real captures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from denoisebench.core.lazy import torch
from denoisebench.data.dataset import DataSet
from denoisebench.plugins.method import Need
from denoisebench.protocol.images import AnyImage, FloatImage, UIntImage, checked, to_channels, to_float
from denoisebench.protocol.noise import Noise, add_noise
from denoisebench.protocol.seeds import generator_from
from denoisebench.training.recipe import Recipe

#: What networks are trained on: clean images in the order of their data set, or a data set of real captures.
TrainingImages = Sequence[UIntImage] | DataSet


class Crops:
    """Training images, and the crops of every step.

    Parameters
    ----------
    count : int
        Of what one epoch takes a crop of.
    recipe : Recipe
        Batch, crop and seed.
    """

    def __init__(self, count: int, recipe: Recipe) -> None:
        self.count, self._recipe = count, recipe

    def take(
        self, step: int, device: str, told: frozenset[Need]
    ) -> tuple[torch.Tensor | None, list[tuple[torch.Tensor, torch.Tensor | None]]]:
        """What a method may be told of one step.

        Returns
        -------
        tuple[torch.Tensor | None, list[tuple[torch.Tensor, torch.Tensor | None]]]
            Clean crops (N, C, H, W), None where no noise is drawn and nobody asked for them. Noisy crops with their
            levels (N, 1, 1, 1) or None: none if noise is still to be drawn, else as many as needed.
        """
        raise NotImplementedError

    def whole(self, number: int) -> tuple[FloatImage, float | None]:
        """A training image with its noise, and the level, which of captures nobody knows."""
        raise NotImplementedError

    def _chosen(self, step: int, get: Callable[[int], AnyImage]) -> tuple[list[int], int]:
        """The images of one step, by number, and the side of its crops.

        A step that is due to be wide is one only if its images are large enough.
        """
        recipe, chosen = self._recipe, self._choose(step)
        few, side = chosen[: recipe.wide_batch], 2 * recipe.crop
        due = recipe.wide > 0 and step % recipe.wide == recipe.wide - 1
        if due and all(min(get(number).shape[:2]) >= side for number in few):
            return few, side
        return chosen, recipe.crop

    def _window(self, rng: np.random.Generator, image: AnyImage, side: int) -> tuple[slice, slice]:
        height, width = image.shape[:2]
        top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        return slice(top, top + side), slice(left, left + side)

    def _choose(self, step: int) -> list[int]:
        """Images of one step: a fresh permutation per epoch, incomplete batches dropped."""
        count, batch = self.count, self._recipe.batch
        if count < batch:
            rng = generator_from("choice", self._recipe.seed, step)
            return [int(i) for i in rng.integers(count, size=batch)]
        epoch, position = divmod(step, count // batch)
        order = generator_from("epoch", self._recipe.seed, epoch).permutation(count)
        return [int(i) for i in order[position * batch : (position + 1) * batch]]


class DrawnCrops(Crops):
    """Clean images, whose noise is drawn."""

    def __init__(self, images: Sequence[UIntImage], recipe: Recipe, noise: Noise) -> None:
        super().__init__(len(images), recipe)
        self._noise = noise
        self._images = [_at_least(image, recipe.crop) for image in images]
        self._fixed: dict[tuple[int, int], tuple[np.ndarray, float]] = {}

    def take(
        self, step: int, device: str, told: frozenset[Need]
    ) -> tuple[torch.Tensor | None, list[tuple[torch.Tensor, torch.Tensor | None]]]:
        rng = generator_from("crops", self._recipe.seed, step)
        chosen, side = self._chosen(step, self._images.__getitem__)
        windows = [(index, self._window(rng, self._images[index], side)) for index in chosen]
        clean = np.stack([self._images[index][window] for index, window in windows])
        x = _to_tensor(clean, device).float() / 255
        if self._recipe.draws == "fresh":
            return x, []
        noisy: list[tuple[torch.Tensor, torch.Tensor | None]] = []
        for copy in range(1 + (Need.SECOND in told)):
            drawn = [self._fixed_copy(index, copy) for index, _ in windows]
            crops = np.stack([whole[window] for (whole, _), (_, window) in zip(drawn, windows, strict=True)])
            levels = torch.tensor([level for _, level in drawn], device=device).view(-1, 1, 1, 1)
            noisy.append((_to_tensor(crops, device), levels))
        return x, noisy

    def whole(self, number: int) -> tuple[FloatImage, float | None]:
        draw = add_noise(self._images[number], self._noise, generator_from("whole", self._noise.id, number))
        return draw.noisy, draw.level

    def _fixed_copy(self, index: int, copy: int) -> tuple[np.ndarray, float]:
        if (index, copy) not in self._fixed:
            rng = generator_from("fixed", self._recipe.seed, self._noise.id, index, copy)
            draw = add_noise(self._images[index], self._noise, rng)
            assert draw.level is not None
            self._fixed[index, copy] = (draw.noisy, draw.level)
        return self._fixed[index, copy]


class CapturedCrops(Crops):
    """Real captures: one epoch takes a crop of each; references are looked at only for who is told clean images.

    Images are kept as they are loaded; a data set too large for that returns images that read only what is sliced.
    """

    def __init__(self, data: DataSet, recipe: Recipe) -> None:
        self._captures = [(image, index) for image in data.images for index in range(data.captures(image))]
        super().__init__(len(self._captures), recipe)
        self._data = data
        self._kept: dict[tuple[str, str, int], AnyImage] = {}

    def take(
        self, step: int, device: str, told: frozenset[Need]
    ) -> tuple[torch.Tensor | None, list[tuple[torch.Tensor, torch.Tensor | None]]]:
        rng = generator_from("crops", self._recipe.seed, step)
        clean, first, second = [], [], []
        chosen, side = self._chosen(step, lambda number: self._get("capture", *self._captures[number]))
        for image, index in (self._captures[number] for number in chosen):
            noisy = self._get("capture", image, index)
            window = self._window(rng, noisy, side)
            first.append(to_float(noisy[window]))
            # Drawn for every method, so that all see the same crops.
            other = int(rng.integers(max(1, self._data.captures(image) - 1)))
            if Need.SECOND in told:
                second.append(to_float(self._get("capture", image, other + (other >= index))[window]))
            if Need.CLEAN in told:
                clean.append(to_float(self._get("reference", image, index)[window]))
        copies: list[tuple[torch.Tensor, torch.Tensor | None]] = [
            (_to_tensor(np.stack(crops), device), None) for crops in (first, second) if crops
        ]
        return _to_tensor(np.stack(clean), device) if clean else None, copies

    def whole(self, number: int) -> tuple[FloatImage, float | None]:
        return to_float(self._get("capture", *self._captures[number])[:, :]), None

    def _get(self, what: str, image: str, index: int) -> AnyImage:
        if (what, image, index) not in self._kept:
            found = getattr(self._data, what)(image, index)
            # What is read only where it is sliced checks what it reads.
            if isinstance(found, np.ndarray):
                checked(found, f"Image {image!r} of data set {self._data.name!r}, {what} {index + 1},")
            small = min(found.shape[:2]) < self._recipe.crop
            self._kept[what, image, index] = _at_least(found[:, :], self._recipe.crop) if small else found
        return self._kept[what, image, index]


def _at_least(image: AnyImage, side: int) -> AnyImage:
    missing = [max(0, side - size) for size in image.shape[:2]]
    return np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="reflect") if any(missing) else image


def _to_tensor(stack: np.ndarray, device: str) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(stack.transpose(0, 3, 1, 2))).to(device)


def decoded(data: DataSet, channels: int) -> list[UIntImage]:
    """All images of a clean training set, checked, in colour or gray."""
    data.verify()
    what = f"of data set {data.name!r}"
    return [to_channels(checked(data.load(image), f"Image {image!r} {what}"), channels) for image in data.images]
