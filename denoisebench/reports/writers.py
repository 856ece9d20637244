"""Grids as Markdown, LaTeX (booktabs), HTML and Typst: one writer per format, which escapes every text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from denoisebench.core.errors import unknown
from denoisebench.reports import latex as tex_writer
from denoisebench.reports import typst as typst_writer
from denoisebench.reports.grid import Cell, Grid, Head, Line, Mark, Row, cell_of
from denoisebench.reports.markup import escaped, md, spaced

#: Formats of a table, by the names that options have for them; CSV is written from the data, not from a grid.
FORMATS = ("markdown", "md", "latex", "tex", "csv", "html", "typst")
_SHORT = {"md": "markdown", "tex": "latex"}
_MARKDOWN: Mapping[Mark, str] = {"": "{}", "best": "**{}**", "second": "<u>{}</u>", "raised": "<sup>{}</sup>"}
_HTML: Mapping[Mark, str] = {"": "{}", "best": "<b>{}</b>", "second": "<u>{}</u>", "raised": "<sup>{}</sup>"}
_ALIGN = {"l": "left", "c": "center", "r": "right"}


def format_of(text: str) -> str:
    """The whole name of a format.

    Raises
    ------
    UserError
        There is no such format.
    """
    if text not in FORMATS:
        raise unknown("format", text, FORMATS)
    return _SHORT.get(text, text)


def write(grid: Grid, form: str, page: str = "page") -> str:
    """The grid in a format.

    Parameters
    ----------
    form : str
        One of markdown, latex, html or typst.
    page : str
        One of `denoisebench.reports.latex.PAGES`, for what is printed on one.
    """
    if form in ("latex", "typst"):
        return (tex_writer.latex if form == "latex" else typst_writer.typst)(grid, page)
    return {"markdown": markdown, "html": html}[form](grid)


def markdown(grid: Grid) -> str:
    """The grid in Markdown, its title bold above and its notes as a list below."""
    from tabulate import tabulate

    tables = []
    for block in grid.blocks:
        heads, rows = _flat(grid, block.heads, block.rows)
        align = [{"c": "left", "l": "left", "r": "right"}[head.align] for head in heads]
        tables.append(
            tabulate(
                [[_lines(one, _MARKDOWN, md, "<br>") for one in row] for row in rows],
                [md(head.flat or head.text) for head in heads],
                tablefmt="github",
                disable_numparse=True,
                colalign=align if rows else None,
            )
        )
    title = _lines(grid.title, _MARKDOWN, md, " ")
    notes = "".join(f"- {_lines(note, _MARKDOWN, md, ' ')}\n" for note in [*grid.notes, *grid.remarks])
    above = f"**{title}**\n\n" if title else ""
    return above + "\n\n".join(tables) + "\n" + (f"\n{notes}" if notes else "")


def html(grid: Grid) -> str:
    """The grid in HTML, as notebooks show it, with its title as caption and its notes as a list."""
    title = _lines(grid.title, _HTML, escaped, " ")
    tables = []
    for block in grid.blocks:
        heads, rows = _flat(grid, block.heads, block.rows)
        top = "".join(_th(head) for head in heads)
        lines = (
            "".join(
                f'<td style="text-align:{_ALIGN[head.align]}">{_lines(one, _HTML, escaped, "<br>")}</td>'
                for head, one in zip(heads, row, strict=True)
            )
            for row in rows
        )
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        caption = f"<caption>{title}</caption>" if title else ""
        tables.append(f"<table>{caption}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>")
    notes = "".join(f"<li>{_lines(note, _HTML, escaped, ' ')}</li>" for note in [*grid.notes, *grid.remarks])
    return "".join(tables) + (f"<ul>{notes}</ul>" if notes else "")


def _th(head: Head) -> str:
    return f'<th style="text-align:{_ALIGN[head.align]}">{escaped(head.flat or head.text)}</th>'


def _flat(grid: Grid, heads: Sequence[Head], rows: Sequence[Row]) -> tuple[Sequence[Head], list[Sequence[Cell]]]:
    """Columns and cells with the sections as a column of their own."""
    if not grid.section:
        return heads, [row.cells for row in rows]
    return [Head(grid.section), *heads], [[cell_of(row.section), *row.cells] for row in rows]


def _lines(found: Cell, marks: Mapping[Mark, str], escape: Callable[[str], str], between: str) -> str:
    return between.join(_line(line, marks, escape) for line in found)


def _line(line: Line, marks: Mapping[Mark, str], escape: Callable[[str], str]) -> str:
    return "".join(marks[span.mark].format(spaced(span.text, escape)) for span in line)
