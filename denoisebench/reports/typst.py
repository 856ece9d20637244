"""Grids as Typst: a figure with a table, every text a string."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from denoisebench.core.text import plain
from denoisebench.reports.grid import Block, Cell, Grid, Line, Mark, fitted, plain_text
from denoisebench.reports.latex import GAP, page_of, size
from denoisebench.reports.markup import spaced
from denoisebench.reports.markup import typst as quoted

_MARKS: Mapping[Mark, str] = {
    "": "text({})", "best": "strong({})", "second": "underline({})", "raised": "super({})"
}  # fmt: skip
_ALIGN = {"l": "left", "c": "center", "r": "right"}


def typst(grid: Grid, name: str = "page") -> str:
    """The grid as a figure with its title as caption and its notes below; remarks are comments."""
    page = page_of(name)
    narrow = fitted(grid, page.width, size, GAP)
    lines = [f"// {plain(plain_text(remark))}" for remark in grid.remarks]
    start, end = ("#page(flipped: true)[", "]") if name == "landscape" else ("", "")
    scope = ', placement: auto, scope: "parent"' if name == "wide" else ""
    lines += [start] if start else []
    lines += ["#figure({", "  set text(size: 8pt)", "  show table: set block(breakable: true)"]
    for block in narrow.blocks:
        lines += _table(block)
    notes = [f"  block(align(left, text(size: 7pt, {_cell(note)})))" for note in grid.notes]
    caption = f", caption: {_cell(grid.title)}" if plain_text(grid.title) else ""
    return "\n".join([*lines, *notes, f"}}{caption}{scope}, kind: table)", *([end] if end else [])]) + "\n"


def _cell(found: Cell) -> str:
    return " + linebreak() + ".join(_line(line) for line in found if line) or '""'


def _line(line: Line) -> str:
    return " + ".join(_MARKS[span.mark].format(_string(span.text)) for span in line)


def _string(text: str) -> str:
    inner = spaced(text, quoted)
    if not inner.strip(" "):
        return f'"{inner}"'
    before, after = inner.startswith(" "), inner.endswith(" ")
    return '"' + " " * before + inner.strip(" ")[1:-1] + " " * after + '"'


def _table(block: Block) -> list[str]:
    heads = block.heads
    align = ", ".join(_ALIGN[head.align] for head in heads)
    lines = [
        "  table(",
        f"    columns: {len(heads)}, stroke: none, inset: (x: 3pt, y: 2pt), align: ({align},),",
        "    table.hline(),",
        "    table.header(",
    ]
    if any(head.group for head in heads):
        groups = [(group, len(list(found))) for group, found in groupby(heads, lambda head: head.group)]
        lines += [f"      {', '.join(f'table.cell(colspan: {n}, align: center, {quoted(g)})' for g, n in groups)},"]
    lines += [f"      {', '.join(quoted(head.text) for head in heads)},", "    ),", "    table.hline(stroke: 0.5pt),"]
    last = ""
    for row in block.rows:
        if row.section != last:
            lines.append(f"    table.cell(colspan: {len(heads)}, emph({quoted(row.section)})),")
            last = row.section
        lines.append(f"    {', '.join(_cell(one) for one in row.cells)},")
    return [*lines, "    table.hline(),", "  )"]
