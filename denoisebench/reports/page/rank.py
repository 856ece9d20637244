"""One page of a ranking without clean images: what was scored, what each method made of it and took away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from markupsafe import Markup

from denoisebench import __version__
from denoisebench.core.files import make_folder
from denoisebench.core.ownfiles import write_own
from denoisebench.core.text import plain
from denoisebench.own.rank import INPUT, Ranking, ranking_cells
from denoisebench.protocol.images import FloatImage, to_uint8
from denoisebench.reports.figures.comparison import Crop
from denoisebench.reports.page.pictures import window
from denoisebench.reports.page.shell import ROOM, asset, data_url, policy, template

# Side of what is shown of an image, and how many standard deviations of the noise are white in what was removed.
_SIDE, _DEVIATIONS = 192, 4.0
_LOW, _HIGH = 0.5, 99.5


@dataclass(frozen=True)
class Shown:
    """A method on one image.

    Parameters
    ----------
    method : str
        Its text.
    caption : str
        Its score in words.
    image, removed : str
        Data URLs of a part of its result and of image minus result; '' for the latter of the noisy image.
    """

    method: str
    caption: str
    image: str
    removed: str


@dataclass(frozen=True)
class Sheet:
    """What the page says of one file; every text on one line.

    Parameters
    ----------
    name, noise, by, verdict : str
        The file, its noise in words, what it was scored by, and what to take.
    heads : sequence of str
        Of the table.
    rows : sequence of sequences of str
        Its cells.
    doubts, problems : sequence of str
        What speaks against the order, and why methods have no score.
    shown : sequence of Shown
        Pictures, the best first.
    said : str
        Where the part lies that they show, or why there are none.
    """

    name: str
    noise: str
    by: str
    verdict: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    doubts: Sequence[str]
    problems: Sequence[str]
    shown: Sequence[Shown]
    said: str

    @property
    def size(self) -> int:
        """Characters of its pictures."""
        return sum(len(one.image) + len(one.removed) for one in self.shown)


def sheet_of(name: str, told: Ranking, room: int = ROOM) -> Sheet:
    """The sheet of one ranking.

    Parameters
    ----------
    name : str
        Of the file.
    told : Ranking
        With its images.
    room : int
        Characters that its pictures may have.
    """
    heads, rows = ranking_cells(told)
    problems = [f"{one.text}: no score: {one.problem}" for one in told.methods if one.estimate is None]
    shown, said = _pictures(told)
    cells = [[plain(cell) for cell in row] for row in rows]
    sheet = Sheet(
        plain(name), plain(told.noise), told.by, plain(told.verdict), heads, cells,
        [plain(text) for text in told.doubts], [plain(text) for text in problems], shown, said,
    )  # fmt: skip
    if sheet.size <= room:
        return sheet
    said = "There is no room for its pictures in this page; rank it by itself to see them."
    return replace(sheet, shown=(), said=said)


def _pictures(told: Ranking) -> tuple[list[Shown], str]:
    """The part where results differ most, of each method, all on one scale of brightness."""
    noisy = told.noisy
    scored = [(one, one.result) for one in told.methods if one.result is not None and one.estimate is not None]
    if noisy is None or not scored:
        return [], "There are no pictures of it."
    height, width = noisy.shape[:2]
    crop = window([result for one, result in scored if one.text != INPUT] or [noisy], _SIDE)
    black, white = np.percentile(_cut(noisy, crop), (_LOW, _HIGH))
    scale = 1 / max(float(white - black), 1e-12)
    deviation = max(told.deviation, 1e-12)
    shown = []
    for one, result in scored:
        assert one.estimate is not None
        image = (_cut(result, crop) - black) * scale
        removed = 0.5 + (_cut(noisy, crop) - _cut(result, crop)) / (2 * _DEVIATIONS * deviation)
        text = "" if one.text == INPUT else data_url(_pixels(removed))
        shown.append(Shown(plain(one.text), _decibels(one.estimate.told[0]), data_url(_pixels(image)), text))
    return shown, (
        f"{crop.width}x{crop.height} pixels where results differ most, at ({crop.x}, {crop.y}) of the part of "
        f"{width}x{height} that was scored; brightness stretched alike for all. Below: image minus result, gray where "
        f"nothing was removed, white and black at {_DEVIATIONS:.0f} standard deviations of the noise: it should look "
        "like noise alone."
    )


def _decibels(told: str) -> str:
    return told if told[-1].isalpha() else f"{told} dB"


def _cut(image: FloatImage, crop: Crop) -> FloatImage:
    return image[crop.y : crop.y + crop.height, crop.x : crop.x + crop.width]


def _pixels(image: FloatImage) -> np.ndarray:
    """8 bits, (H, W, 3) or (H, W); the mean where channels are no colours."""
    shown = image if image.shape[2] in (1, 3) else image.mean(axis=2, keepdims=True)
    pixels = to_uint8(np.clip(shown, 0, 1).astype(np.float32))
    return pixels if pixels.shape[2] == 3 else pixels[:, :, 0]


def rank_page(sheets: Sequence[Sheet]) -> str:
    """The HTML of some sheets: one file, without script, every text of a stranger escaped."""
    style = asset("assets/page.css") + asset("assets/rank.css")
    return template("rank.html.j2").render(
        sheets=sheets, style=Markup(style), policy=policy(style), version=__version__
    )  # fmt: skip


class RankPage:
    """The page, file by file: of each only its sheet is kept.

    Parameters
    ----------
    path : Path
        Of the page; a file that somebody else wrote there is kept under another name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        #: What it says of each file.
        self.sheets: list[Sheet] = []

    def add(self, name: str, told: Ranking) -> None:
        """Add the ranking of a file; pictures as long as there is room for them."""
        self.sheets.append(sheet_of(name, told, ROOM - sum(sheet.size for sheet in self.sheets)))

    def write(self) -> list[str]:
        """Write it; returns what `write_own` says.

        Raises
        ------
        CannotWrite
            The folder cannot be written to.
        """
        make_folder(self.path.parent)
        return write_own(self.path.parent, {self.path.name: rank_page(self.sheets).encode()})
