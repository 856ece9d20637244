"""The paper's own tables, rebuilt from its published values: no measurement in them.

Bold and underlined cells are not in the text of the paper that the values come from, or not reliably, so they follow
its caption: best and second among methods that saw no clean or second image. A cell is ranked as a whole, by PSNR: the
paper underlines 30.88/0.850 (Table 1, Poisson 5 to 50) where another method has the second SSIM. Cells of one PSNR are
both best, and then there is no second, as in its BSD300 column at Poisson 30.
"""

from __future__ import annotations

import csv
import io
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from denoisebench.core.errors import UserError, unknown
from denoisebench.reports import writers
from denoisebench.reports.grid import Block, Grid, Head, Mark, Row, Span, cell_of
from denoisebench.reports.grid import Cell as Text
from denoisebench.reports.layout import Layout
from denoisebench.reports.paper.published import is_odd, names_of, published_folder, rows_of

if TYPE_CHECKING:
    from rich.console import RenderableType

SOURCE = "Wang, Liu, Li, Han, Blind2Unblind, CVPR 2022"
_CSV = ("table", "noise", "method", "dataset", "psnr", "ssim", "mark", "flag")


@dataclass(frozen=True)
class Cell:
    """One printed score.

    Parameters
    ----------
    row : Mapping[str, str]
        The published line.
    text : str
        As printed.
    mark : str
        '', 'best' or 'second'.
    """

    row: Mapping[str, str]
    text: str
    mark: Mark

    @property
    def subject(self) -> str:
        """The method or the variant."""
        return self.row.get("method") or self.row["variant"]


@dataclass(frozen=True)
class Printed:
    """A table as the paper prints it.

    Parameters
    ----------
    number, caption : int or str
        Of the table; the caption is LaTeX.
    heads : Sequence[str]
        Of the columns that say what a line is of, then of the scores.
    lines : Sequence[tuple[Sequence[str], Sequence[Cell | None]]]
        Keys of a line, and its cells by column; None where nothing is printed.
    notes : Sequence[str]
        Below the table.
    labels : Mapping[str, Sequence[str]]
        Printed form of a key, plain and in LaTeX.
    """

    number: int
    caption: str
    heads: Sequence[str]
    columns: Sequence[str]
    lines: Sequence[tuple[Sequence[str], Sequence[Cell | None]]]
    notes: Sequence[str]
    labels: Mapping[str, Sequence[str]]

    def label(self, key: str) -> Span:
        """The printed form of a key."""
        return Span(key) if key not in self.labels else Span(self.labels[key][0], latex=self.labels[key][1])


def printed_table(text: str) -> Printed:
    """A table of the paper, by its number.

    Raises
    ------
    UserError
        There is no such table, or its file has a bad line.
    """
    folder = published_folder()
    if folder is None:
        raise UserError("The published values are not installed; reinstall denoisebench.")
    layouts = tomllib.loads((folder / "tables.toml").read_text(encoding="utf-8"))
    numbers = [name.removeprefix("table") for name in layouts if name.startswith("table")]
    if text not in numbers:
        raise unknown("table of the paper", text, numbers)
    layout, rows = layouts[f"table{text}"], rows_of(f"table{text}.csv")
    cells = _cells(layout, rows)
    columns = list(dict.fromkeys(row[layout["columns"]] for row in rows))
    lines: dict[tuple[str, ...], dict[str, Cell]] = {}
    for cell in cells:
        lines.setdefault(tuple(cell.row[key] for key in layout["rows"]), {})[cell.row[layout["columns"]]] = cell
    found = [(keys, [entries.get(column) for column in columns]) for keys, entries in lines.items()]
    notes = _notes(int(text), cells, bool(layout.get("ranked")), layouts["labels"])
    return Printed(int(text), layout["caption"], layout["heads"], columns, found, notes, layouts["labels"])


def _cells(layout: Mapping[str, Any], rows: Sequence[Mapping[str, str]]) -> list[Cell]:
    places: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if layout.get("ranked") and row["psnr"] and row["method"] not in layout["supervised"]:
            places.setdefault((row["noise"], row["dataset"]), []).append(float(row["psnr"]))
    cells = []
    for row in rows:
        mark: Mark = ""
        if layout.get("ranked") and row["psnr"] and row["method"] not in layout["supervised"]:
            above = sum(other > float(row["psnr"]) for other in places[row["noise"], row["dataset"]])
            mark = "best" if above == 0 else "second" if above == 1 else ""
        text = f"{row['psnr']}/{row['ssim']}" if row["psnr"] else row.get("cell_as_printed", "")
        cells.append(Cell(row, text, mark))
    return cells


def _notes(number: int, cells: Sequence[Cell], ranked: bool, labels: Mapping[str, Sequence[str]]) -> list[str]:
    notes = [f"Published values ({SOURCE}), as printed; nothing here was measured by denoisebench."]
    doubts: dict[str, list[Cell]] = {}
    for cell in cells:
        if is_odd(cell.row["flag"]):
            doubts.setdefault(cell.row["flag"], []).append(cell)
    notes += [f"* {_places(found, labels)}: {flag}." for flag, found in doubts.items()]
    if ranked:
        rule = "" if number == 1 else ", as the caption of Table 1 says; this table's own says nothing about it"
        notes.append(
            "Best and second are among methods that saw neither clean images nor a second noisy copy, cells ranked by "
            f"PSNR{rule}."
        )
        other = [cell for cell in cells if cell.row["underlined_in_source"] == "yes" and cell.mark != "second"]
        if other:
            notes.append(f"Underlined in the text of the paper, but not second by that rule: {_places(other, labels)}.")
    return notes


def _places(cells: Sequence[Cell], labels: Mapping[str, Sequence[str]]) -> str:
    found: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        found.setdefault((cell.subject, cell.row["noise"]), []).append(cell.row["dataset"])
    texts = []
    for (subject, noise), datasets in found.items():
        # Real noise has no printed name.
        places = [noise] * (noise in labels) + datasets
        texts.append(", ".join([subject, *(labels.get(place, (place,))[0] for place in places)]))
    return "; ".join(texts)


def text_of(table: Printed, form: str, layout: Layout | None = None, page: str = "page") -> str:
    """The table in one of `denoisebench.reports.writers.FORMATS`."""
    form = writers.format_of(form)
    if form == "csv":
        return csv_text(table)
    return writers.write(grid_of(table, layout, numbered=form in ("markdown", "html")), form, page)


def terminal(table: Printed, layout: Layout | None = None) -> RenderableType:
    """The table for a terminal, as wide as that is."""
    from denoisebench.reports.screen import Screen

    return Screen(grid_of(table, layout))


def grid_of(table: Printed, layout: Layout | None = None, numbered: bool = True) -> Grid:
    """The table as a grid; a section per noise where lines of several are in it.

    Parameters
    ----------
    layout : Layout | None
        Columns are published or registered names of test sets, or names of the other columns.
    numbered : bool
        Whether the title begins with the number; LaTeX and Typst count on their own.
    """
    layout = layout or Layout()
    known = {name for _, cells in table.lines for name in _names(table, cells)}
    for name in layout.labels:
        if name not in known:
            raise unknown(f"method of table {table.number}", name, known)
    grouped = len(table.heads) > 1 and table.lines[0][0][0] in table.labels
    first = 1 if grouped else 0
    shown, chosen = _chosen(table, layout, first)
    rows = []
    for keys, cells in table.lines:
        names = [table.label(key) for key in keys]
        asked = [label for name, label in layout.labels.items() if name in _names(table, cells)]
        if asked:
            names[first] = Span(asked[0])
        scores = [_score(cells[place], layout.metric) for place in chosen]
        rows.append(Row([*(cell_of(names[place]) for place in shown), *scores], names[0].text if grouped else ""))
    labels = [table.label(table.columns[place]) for place in chosen]
    heads = [
        *(Head(table.heads[place]) for place in shown),
        *(Head(label.text, "c", role="score", latex=label.latex) for label in labels),
    ]
    title = cell_of(layout.caption) if layout.caption else cell_of(Span(_plain(table.caption), latex=table.caption))
    if numbered and not layout.caption:
        title = ((Span(f"Table {table.number}. "), *title[0]),)
    return Grid(title, [Block(heads, rows)], table.heads[0] if grouped else "", [cell_of(note) for note in table.notes])


def only(table: Printed, methods: Sequence[str]) -> Printed:
    """The table with the cells of some methods or variants, by their printed names or those on the command line.

    Raises
    ------
    UserError
        It has none of a name.
    """
    subjects = dict.fromkeys(found.subject for _, line in table.lines for found in line if found is not None)
    known = {name: subject for subject in subjects for name in (subject, *_ours(table, subject))}
    for name in methods:
        if name not in known:
            raise unknown(f"method of table {table.number}", name, known)
    wanted = {known[name] for name in methods}
    lines = [(keys, [f if f is not None and f.subject in wanted else None for f in line]) for keys, line in table.lines]
    lines = [(keys, line) for keys, line in lines if any(line)]
    places = [place for place in range(len(table.columns)) if any(line[place] for _, line in lines)]
    columns = [table.columns[place] for place in places]
    return replace(table, columns=columns, lines=[(keys, [line[p] for p in places]) for keys, line in lines])


def _ours(table: Printed, subject: str) -> list[str]:
    """Names on the command line of a published method."""
    return names_of("method", subject, str(table.number))


def _names(table: Printed, cells: Sequence[Cell | None]) -> set[str]:
    """Published names of the methods of a line, and those on the command line."""
    subjects = {found.row["method"] for found in cells if found is not None and "method" in found.row}
    return subjects | {name for subject in subjects for name in _ours(table, subject)}


def _chosen(table: Printed, layout: Layout, first: int) -> tuple[list[int], list[int]]:
    """Which columns of names, and which of scores."""
    heads = {head.lower(): place for place, head in enumerate(table.heads) if place >= first}
    scores = {
        name: place for place, column in enumerate(table.columns) for name in (column, *names_of("dataset", column))
    }
    if layout.columns is None:
        return list(heads.values()), list(range(len(table.columns)))
    for name in layout.columns:
        if name not in heads and name not in scores:
            raise unknown(f"column of table {table.number}", name, [*heads, *scores])
    wanted = sorted({scores[name] for name in layout.columns if name in scores})
    named = sorted({first, *(heads[name] for name in layout.columns if name in heads)})
    return named, wanted or list(range(len(table.columns)))


def _score(found: Cell | None, metric: str) -> Text:
    if found is None:
        return cell_of()
    psnr, ssim = found.row["psnr"], found.row["ssim"]
    text = {"both": found.text, "psnr": psnr or found.text, "ssim": ssim or found.text}[metric]
    star = [Span("*", latex="$^*$")] if is_odd(found.row["flag"]) else []
    return cell_of(Span(text, found.mark), *star)


def _plain(caption: str) -> str:
    """A caption in LaTeX as plain text."""
    return re.sub(r"\\mathcal\{(\w)\}", r"\1", caption).replace("$", "").replace(r"\eta", "η").replace(r"\lambda", "λ")


def csv_text(table: Printed) -> str:
    """One line per cell, with its mark and flag."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_CSV)
    for _, cells in table.lines:
        for cell in cells:
            if cell is not None:
                row = cell.row
                writer.writerow(
                    (table.number, row["noise"], cell.subject, row["dataset"], row["psnr"], row["ssim"], cell.mark,
                     row["flag"])
                )  # fmt: skip
    return out.getvalue()
