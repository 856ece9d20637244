"""Stored cells as the lines and columns of a table: which cell is the newest of a place, and its mean scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, NamedTuple

from denoisebench.core.provenance import full_digest
from denoisebench.protocol.metrics import SCORINGS, UINT8
from denoisebench.results.store import StoredCell


class Column(NamedTuple):
    """Heading of one column; the whole digest of its protocol, because the fingerprint is a part of it."""

    noise: str
    dataset: str
    protocol: str
    digest: str


class Line(NamedTuple):
    """What distinguishes one line from another."""

    method: str
    label: str
    told: str
    training: str


@dataclass(frozen=True)
class Score:
    """Means of the trainings of one method; the marks are '', 'best' or 'second'.

    Parameters
    ----------
    psnr, ssim : mean over trainings of the mean over images; PSNR without images that equal their reference
    rows : scored images of each training
    trainings : how many, 1 for a method that is not trained
    spread : standard deviation of PSNR over trainings in dB, 0 for one
    perfect : image and repeat of what equals its reference, in one training at least
    """

    psnr: float
    ssim: float
    rows: int
    trainings: int = 1
    spread: float = 0.0
    perfect: frozenset[tuple[str, int]] = frozenset()
    psnr_mark: str = ""
    ssim_mark: str = ""


def current(cells: Sequence[StoredCell]) -> tuple[list[StoredCell], int]:
    """The newest cell of each (line, column, seed), in order of appearance, and how many older ones were left out."""
    newest: dict[tuple[Line, Column, int], StoredCell] = {}
    for cell in cells:
        place = (line_of(cell), column_of(cell), training_seed(cell))
        if place not in newest or cell.about["written"] > newest[place].about["written"]:
            newest[place] = cell
    return list(newest.values()), len(cells) - len(newest)


def score_of(trainings: Sequence[StoredCell]) -> Score:
    """Means over the trainings of a method and over the images of each.

    An image that equals its reference has an infinite PSNR. The mean is over the others, the same in every training, so
    that the spread is not one between images.
    """
    rows = [list(cell.rows.values()) for cell in trainings]
    perfect = frozenset((row.image, row.repeat) for part in rows for row in part if not math.isfinite(row.psnr))
    levels = [
        fmean([row.psnr for row in part if (row.image, row.repeat) not in perfect] or [math.inf]) for part in rows
    ]
    ssim = fmean(fmean(row.ssim for row in part) for part in rows)
    spread = stdev(levels) if len(levels) > 1 and math.isfinite(sum(levels)) else 0.0
    return Score(fmean(levels), ssim, min(map(len, rows)), len(rows), spread, perfect)


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


def training_seed(cell: StoredCell) -> int:
    """The seed of the training behind a cell; 0 where nothing was trained for it."""
    return int(((cell.identity.get("training") or {}).get("recipe") or {}).get("seed", 0))


def line_of(cell: StoredCell) -> Line:
    """The line a cell belongs to."""
    about = cell.about
    told = ", ".join(about["told"]) or "nothing"
    training = about["training"].removesuffix(f", seed {training_seed(cell)}")
    return Line(about["text"], about["label"], told, training or "none")


def column_of(cell: StoredCell) -> Column:
    """The column a cell belongs to."""
    protocol = cell.identity["protocol"]
    # Of what was stored, not the fingerprint that was stored beside it.
    digest = full_digest(protocol)
    return Column(protocol["noise"], protocol["dataset"], digest[:12], digest)


def scoring_text(protocol: Mapping[str, Any]) -> str:
    """How results were scored, in words."""
    rounding = protocol.get("rounding", UINT8.rounding)
    return next((s.text for s in SCORINGS.values() if s.rounding == rounding), str(rounding))
