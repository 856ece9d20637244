"""What makes scores comparable: how images are made noisy, padded and scored, and the row that is kept of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from denoisebench.core.provenance import fingerprint
from denoisebench.protocol.metrics import UINT8

PADDINGS = ("side", "square")


@dataclass(frozen=True)
class Protocol:
    """How images are made noisy, padded and scored; rows are comparable only under equal protocols.

    Parameters
    ----------
    dataset, data_hash : str
        The images.
    noise : str
        Noise id.
    draws : str
        Id of the source of noise; 'captures' for real noise.
    padding : str
        'side' pads each side for a network, 'square' both to one square, as the released tests do.
    rounding, metrics : str
        Ids of how results become 8-bit and are scored.
    limit : int | None
        Only so many images are scored, the first of the list; None for all of them.
    """

    dataset: str
    data_hash: str
    noise: str
    draws: str
    padding: str = "side"
    rounding: str = UINT8.rounding
    metrics: str = UINT8.metrics
    limit: int | None = None

    @property
    def fingerprint(self) -> str:
        """12 hex digits that go with every row."""
        return fingerprint(self.described())

    def described(self) -> dict[str, Any]:
        """Its fields as they are stored: a limit only where there is one, as in protocols of before."""
        return {name: value for name, value in asdict(self).items() if name != "limit" or value is not None}


class Row(NamedTuple):
    """The score of one (image, repeat): PSNR in dB, SSIM, seconds of denoising, level (None: unknown), fit's steps.

    ``tile`` is the side of the tiles that the network was given, 0 for the whole image at once; ``estimate`` is the
    level that the method estimated and used, on the scale of ``level``, None for none. ``multiply_adds`` are those of
    the passes through its network, per pixel of the image, ``memory`` bytes at the peak, both None where not measured.
    """

    image: str
    repeat: int
    psnr: float
    ssim: float
    seconds: float
    level: float | None
    steps: int = 0
    tile: int = 0
    estimate: float | None = None
    multiply_adds: float | None = None
    memory: int | None = None


def row_of(values: Mapping[str, Any]) -> Row:
    """A row read back from storage."""
    return Row(**values)
