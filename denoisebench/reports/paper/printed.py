"""The paper's own tables, rebuilt from its published values: no measurement in them.

Bold and underlined cells are not in the text of the paper that the values come from, or not reliably, so they follow
its caption: best and second among methods that saw no clean or second image. A cell is ranked as a whole, by PSNR: the
paper underlines 30.88/0.850 (Table 1, Poisson 5 to 50) where another method has the second SSIM. Cells of one PSNR are
both best, and then there is no second, as in its BSD300 column at Poisson 30.
"""

from __future__ import annotations

import csv
import io
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from denoisebench.core.errors import UserError, unknown
from denoisebench.reports.paper.published import is_odd, published_folder, rows_of

SOURCE = "Wang, Liu, Li, Han, Blind2Unblind, CVPR 2022"
FORMATS = ("markdown", "latex", "csv")
_MARKDOWN = {"": "{}", "best": "**{}**", "second": "<u>{}</u>"}
_LATEX = {"": "{}", "best": r"\textbf{{{}}}", "second": r"\underline{{{}}}"}
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
    mark: str

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

    def label(self, key: str, latex: bool) -> str:
        """The printed form of a key."""
        from denoisebench.reports.markup import tex

        plain, special = self.labels.get(key, (key, None))
        return (special or tex(plain)) if latex else plain


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
        mark = ""
        if layout.get("ranked") and row["psnr"] and row["method"] not in layout["supervised"]:
            above = sum(other > float(row["psnr"]) for other in places[row["noise"], row["dataset"]])
            mark = {0: "best", 1: "second"}.get(above, "")
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


def text_of(table: Printed, form: str) -> str:
    """The table as 'markdown', 'latex' or 'csv'."""
    forms = {"markdown": markdown, "latex": latex, "csv": csv_text}
    if form not in forms:
        raise unknown("format", form, FORMATS)
    return forms[form](table)


def _score(cell: Cell | None, marks: Mapping[str, str], star: str) -> str:
    if cell is None:
        return ""
    return marks[cell.mark].format(cell.text) + (star if is_odd(cell.row["flag"]) else "")


def markdown(table: Printed) -> str:
    """The layout as Markdown."""
    from tabulate import tabulate

    heads = [*table.heads, *(table.label(column, latex=False) for column in table.columns)]
    rows = [
        [*(table.label(key, latex=False) for key in keys), *(_score(cell, _MARKDOWN, r"\*") for cell in cells)]
        for keys, cells in table.lines
    ]
    text = tabulate(rows, heads, tablefmt="github", disable_numparse=True)
    notes = "\n".join(f"- {note}" if not note.startswith("*") else rf"- \{note}" for note in table.notes)
    return f"**Table {table.number}.** {table.caption}\n\n{text}\n\n{notes}\n"


def latex(table: Printed) -> str:
    """The layout as a booktabs table: a rule between noises, each named once."""
    from denoisebench.reports.markup import tex

    grouped = len(table.heads) > 1 and table.lines[0][0][0] in table.labels
    heads = [*map(tex, table.heads), *(table.label(column, latex=True) for column in table.columns)]
    lines = [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{table.caption}}}",
        rf"\begin{{tabular}}{{{'l' * len(table.heads)}{'c' * len(table.columns)}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
    ]
    last = None
    for keys, cells in table.lines:
        names = [table.label(key, latex=True) for key in keys]
        if last is None or (grouped and keys[0] != last):
            lines.append(r"\midrule")
        elif grouped:
            names[0] = ""
        lines.append(" & ".join([*names, *(_score(cell, _LATEX, "$^*$") for cell in cells)]) + r" \\")
        last = keys[0]
    notes = [rf"\par{{\footnotesize {tex(note)}\par}}" for note in table.notes]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *notes, r"\end{table}"]) + "\n"


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
