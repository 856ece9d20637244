"""The paper's values beside measured ones: difference, and distance to the network trained on clean images.

The values are data (``results/paper``), never results: a cell without a measurement is not shown here.
"""

from __future__ import annotations

import csv
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from denoisebench.core.errors import UserError
from denoisebench.core.places import package_places
from denoisebench.experiment.file import TABLES, table_file
from denoisebench.plugins.method import Need
from denoisebench.reports.table import Table
from denoisebench.results.summary import Column, Line, Score

#: Columns that every published table has, and the two of which it has one.
COLUMNS = ("table", "noise", "dataset", "psnr", "ssim", "flag")
SUBJECTS = ("method", "variant")
#: What a value of the literature is known from: a primary document, or a secondary one.
EVIDENCE = ("V", "2")
_LITERATURE = "literature.csv"
_RANGES = {"psnr": (0.0, 100.0), "ssim": (-1.0, 1.0)}


class Key(NamedTuple):
    """What a published value is of, in this package's names; the method with its settings, as on the command line."""

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
        return is_odd(self.flag)


def is_odd(flag: str) -> bool:
    """Whether a flag doubts the printed value; others only say where it is printed, or why there is none."""
    return bool(flag) and not flag.startswith(("printed after", "cannot converge"))


@dataclass(frozen=True)
class Beside:
    """One measured score with its published counterpart.

    Parameters
    ----------
    line, column, score : Line or Column or Score
        The measurement.
    paper : Value
        The published value.
    gap, paper_gap : float | None
        How far in dB above the network trained on clean images, in the same column; None without one.
    """

    line: Line
    column: Column
    score: Score
    paper: Value
    gap: float | None
    paper_gap: float | None


def published_folder() -> Path | None:
    """Where the published tables are, or None."""
    for root in package_places():
        for folder in (root / "paper", root / "results" / "paper"):
            if (folder / "names.csv").is_file():
                return folder
    return None


def rows_of(name: str) -> list[dict[str, str]]:
    """The lines of a published file, empty if it is not here."""
    folder = published_folder()
    return _rows(folder / name) if folder is not None else []


def literature(number: int) -> list[dict[str, str]]:
    """Values of other publications under the protocol of a table, and how each is known."""
    return [row for row in rows_of(_LITERATURE) if row["table"] == str(number)]


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
    """Every published mean over a test set, by exactly what it is of: a method with other settings has none."""
    values: dict[Key, Value] = {}
    for number in TABLES:
        variants = _variants(number)
        for row in rows_of(f"table{number}.csv"):
            if not (row["psnr"] and row["ssim"]):
                continue
            value = Value(float(row["psnr"]), float(row["ssim"]), row["flag"])
            texts = [variants[row["variant"]]] if "variant" in row else names_of("method", row["method"], row["table"])
            for dataset in names_of("dataset", row["dataset"]):
                for text in texts:
                    for noise in names_of("noise", row["noise"]):
                        # Tables 5 to 8 repeat values of Table 1.
                        values.setdefault(Key(text, noise, dataset), value)
    return values


def _variants(number: int) -> Mapping[str, str]:
    """The method that each variant of an ablation is."""
    paper = tomllib.loads(table_file(str(number)).read_text(encoding="utf-8")).get("paper", {})
    return dict(paper.get("variants", {}))


def beside(table: Table) -> list[Beside]:
    """Every score of a table that the paper reports too, data set by data set."""
    values = published()
    found = []
    for column in (column for column in table.columns if column in table.registered):
        clean = next((line for line in table.lines if _clean(line) and (line, column) in table.scores), None)
        for line in table.lines:
            score, paper = table.scores.get((line, column)), values.get(_key(line, column))
            if score is None or paper is None:
                continue
            gap = paper_gap = None
            if clean is not None:
                trained = table.scores[clean, column].psnr
                gap = score.psnr - trained if math.isfinite(trained) else None
                top = values.get(_key(clean, column))
                paper_gap = paper.psnr - top.psnr if top else None
            found.append(Beside(line, column, score, paper, gap, paper_gap))
    return found


def _clean(line: Line) -> bool:
    return Need.CLEAN.value in line.told.split(", ")


def _key(line: Line, column: Column) -> Key:
    return Key(line.method, column.noise, column.dataset)


def _rows(path: Path) -> list[dict[str, str]]:
    """The lines of a CSV file, checked where they are of a published table.

    Raises
    ------
    UserError
        Naming file, line and column of the first value that cannot be right.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            heads = list(reader.fieldnames or ())
            rows = []
            for row in reader:
                _check_length(path, reader.line_num, heads, row)
                rows.append((reader.line_num, row))
    except OSError as error:
        raise UserError(f"Published values {path} cannot be read ({error.strerror}).") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"Published values {path} are no CSV file in UTF-8: {error}.") from None
    if path.name == _LITERATURE:
        _check_table(path, (*COLUMNS, "evidence", "source"), heads, rows)
    elif path.stem.removeprefix("table").isdecimal():
        _check_table(path, COLUMNS, heads, rows)
    return [row for _, row in rows]


def _check_length(path: Path, line: int, heads: Sequence[str], row: Mapping[str | None, object]) -> None:
    found = sum(value is not None for key, value in row.items() if key is not None)
    rest = row.get(None)
    found += len(rest) if isinstance(rest, list) else 0
    if found != len(heads):
        raise UserError(f"{path}, line {line}: {found} values instead of {len(heads)} ({', '.join(heads)}).")


def _check_table(
    path: Path, columns: Sequence[str], heads: Sequence[str], rows: Sequence[tuple[int, Mapping[str, str]]]
) -> None:
    subject = next((name for name in SUBJECTS if name in heads), None)
    missing = [name for name in columns if name not in heads] + ([] if subject else [" or ".join(SUBJECTS)])
    if missing or subject is None:
        raise UserError(f"{path}, line 1: no column {', '.join(missing)}. It has {', '.join(heads)}.")
    own = path.stem.removeprefix("table")
    tables = [own] if own.isdecimal() else list("12345678")
    seen: dict[tuple[str, ...], int] = {}
    for line, row in rows:
        where = f"{path}, line {line}"
        for name in ("noise", subject, "dataset", *(name for name in ("source",) if name in columns)):
            if not row[name]:
                raise UserError(f"{where}: {name} is empty.")
        if row["table"] not in tables:
            raise UserError(f"{where}: table is {row['table']!r} instead of {' or '.join(tables)}.")
        if "evidence" in columns and row["evidence"] not in EVIDENCE:
            raise UserError(f"{where}: evidence is {row['evidence']!r} instead of {' or '.join(EVIDENCE)}.")
        for name in _RANGES:
            check_score(where, name, row[name])
        place = (row["table"], row["noise"], row[subject], row["dataset"])
        if place in seen:
            raise UserError(f"{where}: {', '.join(place[1:])} is in line {seen[place]} already.")
        seen[place] = line


def check_score(where: str, name: str, text: str) -> None:
    """Raise a `UserError` unless a text is a possible PSNR or SSIM, or empty."""
    low, high = _RANGES[name]
    try:
        value = float(text or low)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise UserError(
            f"{where}: {name} {text!r} is no number from {low:g} to {high:g}. Give what is printed, or nothing."
        )
