"""Stored cells as the lines and columns of a table: which cell is the newest of a place, and its mean scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, Literal, NamedTuple

from denoisebench.core.errors import UserError, unknown
from denoisebench.core.text import counted
from denoisebench.protocol.metrics import SCORINGS, UINT8
from denoisebench.protocol.noise import parse_noise
from denoisebench.results.store import StoredCell

Place = Literal["", "best", "second"]
#: Image and repeat of scores.
Rows = frozenset[tuple[str, int]]
#: Image and level of its noise.
Contents = frozenset[tuple[str, float | None]]

#: Scores that mislead where they stand among others: symbol of the footnote, and what it says.
FLAGS = {
    "below": ("†", "below the noisy input in PSNR; not ranked"),
    "below in SSIM": ("§", "below the noisy input in SSIM; not ranked by it"),
    "unchanged": ("‡", "within 0.05 dB of the noisy input on every image, so the input came back; not ranked"),
    "fewer": ("¶", "mean without some images or levels of its column; compared with other lines on what both have"),
    "some below": ("‖", "the mean hides images on which it scores below the noisy input in PSNR"),
}
_SAME_DB = 0.05


class Column(NamedTuple):
    """Heading of one column; the whole digest of its protocol, because the fingerprint is a part of it."""

    noise: str
    dataset: str
    protocol: str
    digest: str


class Line(NamedTuple):
    """What distinguishes one line from another.

    Parameters
    ----------
    method : str
        The method with its settings, as on the command line.
    label : str
        Its printed name.
    told, training : str
        What it is told of an image, and how it was trained.
    name, settings : str
        The two parts of ``method``; ``settings`` in brackets, or '' where all are at their defaults.
    """

    method: str
    label: str
    told: str
    training: str
    name: str
    settings: str

    @property
    def title(self) -> str:
        """The label, with the settings in brackets when they are not the defaults."""
        return f"{self.label} {self.settings}".rstrip()


@dataclass(frozen=True)
class Score:
    """Means of the trainings of one method; the marks are '', 'best' or 'second'.

    Parameters
    ----------
    psnr, ssim : float
        Mean over trainings of the mean over images; PSNR without images that equal their reference.
    rows : int
        Scored images of each training.
    trainings : int
        How many, 1 for a method that is not trained.
    spread : float
        Standard deviation of PSNR over trainings in dB, 0 for one.
    perfect : frozenset[tuple[str, int]]
        Image and repeat of what equals its reference, in one training at least.
    flag : str
        A key of `FLAGS` where the score misleads, else ''.
    """

    psnr: float
    ssim: float
    rows: int
    trainings: int = 1
    spread: float = 0.0
    perfect: frozenset[tuple[str, int]] = frozenset()
    psnr_mark: Place = ""
    ssim_mark: Place = ""
    flag: str = ""


def place_of(cell: StoredCell) -> tuple[Line, Column, int]:
    """Where a cell stands in a table: line, column and seed; of several at one place the newest is shown."""
    return line_of(cell), column_of(cell), training_seed(cell)


def current(cells: Sequence[StoredCell]) -> tuple[list[StoredCell], int]:
    """The newest cell of each (line, column, seed), in order of appearance, and how many older ones were left out."""
    newest: dict[tuple[Line, Column, int], StoredCell] = {}
    for cell in cells:
        place = place_of(cell)
        if place not in newest or cell.about["written"] > newest[place].about["written"]:
            newest[place] = cell
    return list(newest.values()), len(cells) - len(newest)


def score_of(trainings: Sequence[StoredCell], on: Rows | None = None) -> Score:
    """Means over the trainings of a method and over the images that each of them has, or the part of these in ``on``.

    An image that equals its reference has an infinite PSNR. The mean is over the others. All trainings have a mean over
    the same images, so that the spread is not one between images.
    """
    places = shared_rows(trainings)
    if on is not None:
        places &= on
    rows = [[row for place, row in cell.rows.items() if place in places or not places] for cell in trainings]
    perfect = frozenset((row.image, row.repeat) for part in rows for row in part if not math.isfinite(row.psnr))
    levels = [
        fmean([row.psnr for row in part if (row.image, row.repeat) not in perfect] or [math.inf]) for part in rows
    ]
    ssim = fmean(fmean(row.ssim for row in part) for part in rows)
    spread = stdev(levels) if len(levels) > 1 and math.isfinite(sum(levels)) else 0.0
    return Score(fmean(levels), ssim, min(map(len, rows)), len(rows), spread, perfect)


def shared_rows(cells: Iterable[StoredCell]) -> Rows:
    """Image and repeat of what all of these cells have scores of."""
    return frozenset.intersection(*(frozenset(cell.rows) for cell in cells))


def contents(trainings: Sequence[StoredCell]) -> Contents:
    """Images, and the levels of their noise, of what all of these cells have scores of.

    Another draw of the same level changes a mean over images by next to nothing, another level does not.
    """
    return frozenset((place[0], trainings[0].rows[place].level) for place in shared_rows(trainings))


def contents_of_columns(cells: Iterable[StoredCell]) -> dict[Column, Contents]:
    """Images, and the levels of their noise, of everything that any cell of a column has a score of."""
    found: dict[Column, Contents] = {}
    for cell in cells:
        column = column_of(cell)
        found[column] = found.get(column, frozenset()) | contents([cell])
    return found


def perfect_note(what: str, score: Score) -> str:
    """A sentence on images that equal their reference, or ''."""
    if not score.perfect:
        return ""
    where = " in one training at least" if score.trainings > 1 else ""
    left = "" if math.isfinite(score.psnr) else "; as none is left, it is infinite"
    return (
        f"{what}: {len(score.perfect)} of {score.rows} scored images equal their reference{where}; their PSNR is "
        f"infinite and not in the mean{left}."
    )


def noisy_cells(cells: Sequence[StoredCell]) -> dict[Column, StoredCell]:
    """The noisy input's own cell of every column that has one."""
    return {column_of(cell): cell for cell in cells if cell.about.get("baseline")}


def flag_of(trainings: Sequence[StoredCell], noisy: StoredCell | None, column: Contents) -> str:
    """The key of `FLAGS` of a score; '' for none.

    Parameters
    ----------
    trainings : Sequence[StoredCell]
        The cells behind the score.
    noisy : StoredCell or None
        The noisy input of the column; what it is compared with, on the images of both.
    column : Contents
        Images and levels that any line of the column has a score of.
    """
    flag = _beside_noisy(trainings, noisy)
    # A mean that is compared with another's needs its footnote most.
    return "fewer" if flag in ("", "some below") and contents(trainings) != column else flag


def _beside_noisy(trainings: Sequence[StoredCell], noisy: StoredCell | None) -> str:
    if noisy is None or any(cell.about.get("baseline") for cell in trainings):
        return ""
    pairs = [(row, noisy.rows[place]) for cell in trainings for place, row in cell.rows.items() if place in noisy.rows]
    if not pairs:
        return ""
    if all(row.psnr == base.psnr or abs(row.psnr - base.psnr) <= _SAME_DB for row, base in pairs):
        return "unchanged"
    rated = [(row.psnr, base.psnr) for row, base in pairs if math.isfinite(row.psnr) and math.isfinite(base.psnr)]
    if rated and fmean(psnr for psnr, _ in rated) < fmean(base for _, base in rated):
        return "below"
    if fmean(row.ssim for row, _ in pairs) < fmean(base.ssim for _, base in pairs):
        return "below in SSIM"
    return "some below" if any(row.psnr < base.psnr - _SAME_DB for row, base in pairs) else ""


def flag_symbol(score: Score) -> str:
    """The symbol of the footnote of a score, or ''."""
    return FLAGS[score.flag][0] if score.flag else ""


def flag_notes(flagged: Iterable[tuple[str, str, Score]]) -> list[str]:
    """Footnotes of flagged scores, one per symbol.

    Parameters
    ----------
    flagged : Iterable[tuple[str, str, Score]]
        Method, title of the column, and score; methods of several columns are named once.
    """
    methods: dict[tuple[str, str], list[str]] = {}
    for method, column, score in flagged:
        methods.setdefault((score.flag, column), []).append(method)
    columns: dict[tuple[str, str], list[str]] = {}
    for (flag, column), names in methods.items():
        columns.setdefault((flag, ", ".join(names)), []).append(column)
    told: dict[str, list[str]] = {}
    for (flag, listed), titles in columns.items():
        told.setdefault(flag, []).append(f"{listed} on {' and on '.join(titles)}")
    return [f"{symbol} {'; '.join(told[flag])}: {text}." for flag, (symbol, text) in FLAGS.items() if flag in told]


def training_seed(cell: StoredCell) -> int:
    """The seed of the training behind a cell; 0 where nothing was trained for it."""
    return int(((cell.identity.get("training") or {}).get("recipe") or {}).get("seed", 0))


def method_of(cell: StoredCell) -> str:
    """The name of a cell's method, without its settings."""
    return str(cell.identity.get("method", cell.about["text"]))


def changed_settings(cell: StoredCell) -> Mapping[str, Any]:
    """The settings of a cell's method that are not at their defaults."""
    if "changed" in cell.about:
        return dict(cell.about["changed"])
    # Version 0.1 wrote them into the text alone.
    shown, settings = line_of(cell).settings, cell.identity.get("settings", {})
    return {name: value for name, value in settings.items() if f"[{name}=" in shown or f",{name}=" in shown}


def line_of(cell: StoredCell) -> Line:
    """The line a cell belongs to."""
    about = cell.about
    told = ", ".join(about["told"]) or "nothing"
    training = about["training"].removesuffix(f", seed {training_seed(cell)}")
    text, name = about["text"], method_of(cell)
    return Line(text, about["label"], told, training or "none", name, text.removeprefix(name))


def lines_named(lines: Sequence[Line], name: str) -> list[Line]:
    """The lines of a method: ``b2u[stride=2]`` or a label, or ``b2u`` for every ``b2u`` there is.

    Raises
    ------
    UserError
        No line has that name.
    """
    exact = [line for line in lines if name in (line.method, line.label)]
    matching = exact or [line for line in lines if line.name == name]
    if not matching:
        raise unknown("method of this run", name, {line.method for line in lines})
    return matching


def column_of(cell: StoredCell) -> Column:
    """The column a cell belongs to."""
    protocol, digest = cell.identity["protocol"], cell.protocol_digest
    return Column(protocol["noise"], protocol["dataset"], digest[:12], digest)


def levels_text(cell: StoredCell) -> str:
    """How many levels a range of them drew, and how their mean differs from its own; '' for a single level."""
    try:
        noise = parse_noise(cell.identity["protocol"]["noise"])
    except UserError:  # of a version to come, or of a stranger
        return ""
    levels = [row.level for row in cell.rows.values() if row.level is not None]
    if not noise.ranged or noise.real or not levels:
        return ""
    mean = fmean(levels) * (255.0 if noise.family == "gauss" else 1.0)
    middle = (noise.low + noise.high) / 2
    drawn = f"{counted(len(levels), 'level')} drawn, {'their' if len(levels) > 1 else 'its'} mean {mean:.1f}"
    return f"{drawn}, that of the range {middle:.1f}"


def scoring_text(protocol: Mapping[str, Any]) -> str:
    """How results were scored, in words."""
    rounding = protocol.get("rounding", UINT8.rounding)
    return next((s.text for s in SCORINGS.values() if s.rounding == rounding), str(rounding))
