"""Where evaluation noise comes from: a stream per image and repeat, or the single stream of the released tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from denoisebench.core.errors import UserError
from denoisebench.protocol.noise import Draw, Noise, UIntImage, add_noise
from denoisebench.protocol.seeds import generator_from, seed_from


class Draws(Protocol):
    """A source of evaluation noise."""

    @property
    def id(self) -> str:
        """Text that, with the noise id, fixes every noisy image."""
        ...

    def draw(self, dataset: str, image: str, repeat: int, clean: UIntImage, noise: Noise) -> Draw:
        """The noisy image of one (image, repeat)."""
        ...


@dataclass(frozen=True)
class CounterDraws:
    """Random-access noise: a stream of its own for every (seed, data set, image, repeat, noise)."""

    seed: int = 0

    @property
    def id(self) -> str:
        return f"counter-{self.seed}"

    def draw(self, dataset: str, image: str, repeat: int, clean: UIntImage, noise: Noise) -> Draw:
        rng = generator_from("evaluation", self.seed, dataset, image, repeat, noise.id)
        return add_noise(clean, noise, rng)


@dataclass(frozen=True)
class StratifiedDraws:
    """Noise as `CounterDraws` makes it, but with the levels of a range spread evenly over the images of a set.

    Of N images each repeat gives one of the levels low + (k + 1/2) (high - low) / N, k = 0 to N - 1, to each, in an
    order drawn anew for every repeat: their mean is that of the range, however few images there are.

    Parameters
    ----------
    seed : int
        Of noise and order.
    images : Mapping[str, Sequence[str]]
        The images that are scored, by data set.
    """

    seed: int
    images: Mapping[str, Sequence[str]]

    @property
    def id(self) -> str:
        return f"stratified-{self.seed}"

    def draw(self, dataset: str, image: str, repeat: int, clean: UIntImage, noise: Noise) -> Draw:
        if not noise.ranged:
            return CounterDraws(self.seed).draw(dataset, image, repeat, clean, noise)
        order = sorted(
            self.images[dataset], key=lambda name: seed_from("stratum", self.seed, dataset, name, repeat, noise.id)
        )
        level = noise.low + (noise.high - noise.low) * (order.index(image) + 0.5) / len(order)
        rng = generator_from("evaluation", self.seed, dataset, image, repeat, noise.id)
        return add_noise(clean, replace(noise, low=level, high=level), rng)


def _add_noise_legacy(clean: UIntImage, noise: Noise, rng: np.random.RandomState) -> Draw:
    # Precision follows the released tests: float32 image, float64 noise, float32 result.
    x = clean.astype(np.float32) / np.float32(255.0)
    if noise.family == "gauss":
        level = rng.uniform(noise.low / 255.0, noise.high / 255.0) if noise.ranged else noise.low / 255.0
        noisy = x + rng.normal(size=x.shape) * level
    else:
        level = rng.uniform(noise.low, noise.high) if noise.ranged else noise.low
        scaled = np.float64(level) * x.astype(np.float64) if noise.ranged else np.float32(level) * x
        noisy = rng.poisson(scaled) / level
    return Draw(noise.finish(noisy), float(level))


@dataclass(frozen=True)
class LegacySet:
    """One test set of the legacy stream: its name, repeats, image ids in order, and how to load one."""

    name: str
    repeats: int
    images: Sequence[str]
    load: Callable[[str], UIntImage]


class LegacyDraws:
    """The seed-101 stream of the released tests, as one long sequence.

    Order: test sets as given, then repeats, then images by file name. Reaching an image means drawing the
    noise of all images before it; the generator's state at the start of every (set, repeat) is remembered.

    Parameters
    ----------
    sets : Sequence[LegacySet]
        The official sequence (kodak x 10, bsd300 x 3, set14 x 20).
    """

    id = "legacy-101"
    #: Families of noise that the released tests have.
    families = ("gauss", "poisson")

    def __init__(self, sets: Sequence[LegacySet]) -> None:
        self._sets = list(sets)
        self._starts: dict[tuple[str, int, int], Any] = {}
        self._rng = np.random.RandomState(101)
        self._noise: str | None = None
        self._next = (0, 0, 0)

    def draw(self, dataset: str, image: str, repeat: int, clean: UIntImage, noise: Noise) -> Draw:
        self.check(noise)
        target = self._position(dataset, image, repeat)
        self._seek(target, noise)
        while self._next < target:
            index, _, position = self._next
            skipped = self._sets[index]
            self._step(skipped.load(skipped.images[position]), noise)
        return self._step(clean, noise)

    @classmethod
    def check(cls, noise: Noise) -> None:
        """Raise a `UserError` for noise that the released tests do not have."""
        if noise.family not in cls.families:
            raise UserError(
                f"Legacy draws are defined for {' and '.join(cls.families)} noise, not for {noise.id}. "
                "Use --noise-draws counter there."
            )

    def _position(self, dataset: str, image: str, repeat: int) -> tuple[int, int, int]:
        for index, candidate in enumerate(self._sets):
            if candidate.name == dataset:
                if repeat >= candidate.repeats:
                    raise UserError(
                        f"Legacy draws hold {candidate.repeats} repeats of {dataset}; repeat {repeat + 1} "
                        "does not exist. Lower --repeats or use --noise-draws counter."
                    )
                if image not in candidate.images:
                    raise UserError(
                        f"Legacy draws of {dataset} hold {len(candidate.images)} images, but none called "
                        f"{image!r}. Use --noise-draws counter for changed test sets."
                    )
                return index, repeat, list(candidate.images).index(image)
        names = ", ".join(candidate.name for candidate in self._sets)
        raise UserError(f"Legacy draws are defined for {names}, not for {dataset!r}. Use --noise-draws counter there.")

    def _seek(self, target: tuple[int, int, int], noise: Noise) -> None:
        """Move to the last place at or before the target whose generator state is known."""
        begun = [key[1:] for key in self._starts if key[0] == noise.id and (*key[1:], 0) <= target]
        start = (*max(begun, default=(0, 0)), 0)
        if self._noise == noise.id and start <= self._next <= target:
            return
        self._noise, self._next = noise.id, start
        self._rng = np.random.RandomState(101)
        if begun:
            self._rng.set_state(self._starts[(noise.id, *start[:2])])

    def _step(self, clean: UIntImage, noise: Noise) -> Draw:
        index, repeat, position = self._next
        if position == 0:
            self._starts[(noise.id, index, repeat)] = self._rng.get_state()
        draw = _add_noise_legacy(clean, noise, self._rng)
        current = self._sets[index]
        if position + 1 < len(current.images):
            self._next = (index, repeat, position + 1)
        elif repeat + 1 < current.repeats:
            self._next = (index, repeat + 1, 0)
        else:
            self._next = (index + 1, 0, 0)
        return draw
