"""The paper's values beside measured ones: difference, and distance to the network trained on clean images.

The values are data (``results/paper``), never results: a cell without a measurement is not shown here.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import denoisebench
from denoisebench.method import Need
from denoisebench.reports.table import Column, Line, Score, Table

TABLES = ("table1.csv", "table2.csv", "table3.csv", "table4.csv")


class Key(NamedTuple):
    """What a published value is of, in this package's names."""

    method: str
    noise: str
    dataset: str


@dataclass(frozen=True)
class Value:
    """A published value as printed: PSNR in dB, SSIM, and what is remarkable about the cell."""

    psnr: float
    ssim: float
    flag: str

    @property
    def odd(self) -> bool:
        """Whether it looks like a misprint or an outlier, rather than only being printed in an odd place."""
        return self.flag.lower().startswith(("odd", "outlier", "suspect"))


@dataclass(frozen=True)
class Beside:
    """One measured score with its published counterpart.

    Parameters
    ----------
    line, column, score : the measurement
    paper : the published value
    gap, paper_gap : dB above the network trained on clean images, in the same column; None without one
    """

    line: Line
    column: Column
    score: Score
    paper: Value
    gap: float | None
    paper_gap: float | None


def published_folder() -> Path | None:
    """Where the published tables are, or None."""
    for root in denoisebench.__path__:
        for folder in (Path(root) / "paper", Path(root) / "results" / "paper"):
            if (folder / "names.csv").is_file():
                return folder
    return None


def rows_of(name: str) -> list[dict[str, str]]:
    """The lines of a published file, empty if it is not here."""
    folder = published_folder()
    return _rows(folder / name) if folder is not None else []


@cache
def _names() -> Mapping[tuple[str, str, str], list[str]]:
    names: dict[tuple[str, str, str], list[str]] = {}
    for row in rows_of("names.csv"):
        names.setdefault((row["kind"], row["published"], row["table"]), []).append(row["ours"])
    return names


def names_of(kind: str, published_name: str, table: str = "") -> list[str]:
    """This package's names of a published method, noise or data set; empty if it has none.

    One name may stand for different things in different tables: what is said of that ``table`` alone comes first.
    """
    found = _names()
    return found.get((kind, published_name, table)) or found.get((kind, published_name, ""), [])


@cache
def published() -> Mapping[Key, Value]:
    """Every published mean over a test set."""
    values = {}
    for table in TABLES:
        for row in rows_of(table):
            value = Value(float(row["psnr"]), float(row["ssim"]), row["flag"])
            for dataset in names_of("dataset", row["dataset"]):
                for method in names_of("method", row["method"], row["table"]):
                    for noise in names_of("noise", row["noise"]):
                        values[Key(method, noise, dataset)] = value
    return values


def beside(table: Table) -> list[Beside]:
    """Every score of a table that the paper reports too, data set by data set."""
    values = published()
    found = []
    for column in table.columns:
        clean = next((line for line in table.lines if _clean(line) and (line, column) in table.scores), None)
        for line in table.lines:
            score, paper = table.scores.get((line, column)), values.get(_key(line, column))
            if score is None or paper is None:
                continue
            gap = paper_gap = None
            if clean is not None:
                gap = score.psnr - table.scores[clean, column].psnr
                top = values.get(_key(clean, column))
                paper_gap = paper.psnr - top.psnr if top else None
            found.append(Beside(line, column, score, paper, gap, paper_gap))
    return found


def _clean(line: Line) -> bool:
    return Need.CLEAN.value in line.told.split(", ")


def _key(line: Line, column: Column) -> Key:
    # Some rows are of a method with settings; of the others the settings may differ.
    exact = Key(line.method, column.noise, column.dataset)
    return exact if exact in published() else exact._replace(method=line.method.partition("[")[0])


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
