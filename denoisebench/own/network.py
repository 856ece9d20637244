"""Which trained network suits images of a noise level that no network was trained for.

A network for one level meets another one by scaling the image: y' = f y has noise of f sigma, and with f = level of the
network / sigma that is the level it knows. U-Nets with ReLU nearly commute with this (biases aside): with networks for
sigma 25, images of sigma 5 come out 4 to 5 dB better than unscaled, those of sigma 40 2 dB (docs/own-images.md). A
network for a range of levels is not scaled within it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from denoisebench.core.errors import UserError
from denoisebench.plugins.method import LearnedMethod
from denoisebench.protocol.images import CHANNEL_KINDS
from denoisebench.protocol.noise import Noise, parse_noise
from denoisebench.training.weights import Shelf, Weights

# Colour networks know noise that differs between channels; of such noise of level 1 the mean of three channels has
# this much. A gray image in three equal channels has its noise there.
_GRAY_FACTOR = 1 / math.sqrt(3)
#: Where networks see what is black. Photographs hold next to nothing below 0, so networks return 0 with noise as 0.02
#: to 0.04, which is 2 to 4 dB on a microscope's dark ground; on four held-out photographs 0.2 changes 0.1 dB at most.
DARK = 0.2
# Networks for sigma 25 were tried down to sigma 5. Far below, the noise is not what they remove.
_LARGEST_FACTOR = 8.0
# Factors of an image with which a network for one level is as good as one for a range that holds the level, or better:
# on held-out photographs by up to 0.6 dB (tools/scaled_networks.py).
_NEAR = (0.6, 2.5)


@dataclass(frozen=True)
class Choice:
    """A network for one image.

    Parameters
    ----------
    weights : Weights
        Its file.
    noise : Noise
        What it was trained for.
    factor : float
        What the image is multiplied by before, and divided by after.
    level : float
        Standard deviation of the noise in the multiplied image, 0..1 scale.
    repeat : int
        How many equal channels a gray image is given to it as; 1 for what it is.
    """

    weights: Weights
    noise: Noise
    factor: float
    level: float
    repeat: int

    @property
    def shift(self) -> float:
        """What is added after multiplying: an image that is made darker goes to the middle of what networks saw.

        All of them go up by `DARK` at least, less where they are stretched, for networks lift what lies near 0.
        """
        return max(DARK / max(1.0, self.factor), (1 - self.factor) / 2)

    @property
    def text(self) -> str:
        """How it is used, in words."""
        parts = [f"network {self.weights.path.stem}"]
        if abs(math.log(self.factor)) > 1e-6:
            parts.append(f"image multiplied by {self.factor:.3g} to have the noise that it was trained for")
        if self.repeat > 1:
            parts.append(f"gray given as {self.repeat} equal channels")
        return ", ".join(parts)


def choose(method: LearnedMethod, level: float, channels: int, shelf: Shelf, name: str | None = None) -> Choice:
    """The trained network for an image.

    Parameters
    ----------
    method : LearnedMethod
        Whose network.
    level : float
        Standard deviation of the noise, 0..1 scale.
    channels : int
        Of the image.
    shelf : Shelf
        Where to look.
    name : str or None
        The network to take, as ``weights list`` has it.

    Raises
    ------
    UserError
        There is none, or the one that was named does not fit.
    """
    fitting = [weights for weights in shelf.all() if _fits(weights, method, channels)]
    if name is not None:
        fitting = [weights for weights in fitting if weights.path.stem == name]
    candidates = [_choice(weights, level, channels) for weights in fitting]
    if not candidates:
        raise _none(method, channels, shelf.all(), name)
    best = min(candidates, key=_cost)
    if best.factor > _LARGEST_FACTOR:
        raise UserError(
            f"its noise has a standard deviation of {level:.2g} of the range of its values, {best.factor:.0f} times "
            f"less than {best.weights.path.stem} was trained for, too little for it. If that estimate cannot be right "
            "(JPEG and smoothing hide noise from it), give --sigma."
        )
    return best


def _fits(weights: Weights, method: LearnedMethod, channels: int) -> bool:
    record = weights.record
    same = record["method"] == method.name and record["settings"] == method.settings(training_only=True)
    return same and record["channels"] in (channels, 3 if channels == 1 else channels) and _family(weights) == "gauss"


def _family(weights: Weights) -> str:
    return parse_noise(str(weights.record["noise"])).family


def _choice(weights: Weights, level: float, channels: int) -> Choice:
    noise = parse_noise(str(weights.record["noise"]))
    repeat = int(weights.record["channels"]) // channels
    seen = level if repeat == 1 else level / _GRAY_FACTOR
    nearest = min(max(255 * seen, noise.low), noise.high) / 255
    return Choice(weights, noise, nearest / seen, nearest, repeat)


def _cost(choice: Choice) -> tuple[int, bool, bool, float, bool]:
    """Channels of its own first, then one level near enough, then the least scaling, then one level before a range.

    A network for a range of levels judges the level itself, and takes noise that is equal in all channels for
    structure: a gray image goes to one for a single level. It also is a little worse at each of its levels.
    """
    ranged, (least, most) = choice.noise.ranged, _NEAR
    near = not ranged and least <= choice.factor <= most
    return choice.repeat, ranged and choice.repeat > 1, not near, round(abs(math.log(choice.factor)), 6), ranged


def _none(method: LearnedMethod, channels: int, every: Sequence[Weights], name: str | None) -> UserError:
    named = next((weights for weights in every if weights.path.stem == name), None)
    if named is not None and named.record["method"] != method.name:
        return UserError(
            f"the network {name} does not fit {method.text}: give --method {named.record['method']} with it."
        )
    fitting = sorted(weights.path.stem for weights in every if _fits(weights, method, channels))
    if fitting:
        what = f"the network {name} does not fit" if named else f"there is no network {name}"
        return UserError(f"{what}; of {method.text} these fit: {', '.join(fitting)}.")
    stems = sorted({weights.path.stem for weights in every})
    kind = CHANNEL_KINDS.get(channels, f"{channels}-channel")
    what = f"the network {name} does not fit" if name else "there is no trained network of"
    train = f"denoisebench weights train --methods '{method.text}' --noise gauss5_50 --channels {channels}"
    return UserError(
        f"{what} {method.text} for Gaussian noise on {kind} images. Trained networks: {', '.join(stems) or 'none'}. "
        f"Train one with `{train}` and name its folder with --weights, or take a method that needs none, such as nlm, "
        "bm3d or zsn2n."
    )
