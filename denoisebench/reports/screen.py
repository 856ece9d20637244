"""Grids on a terminal of any width: wrapped by column and by word, never a digit less."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.text import Text

from denoisebench.core.text import plain
from denoisebench.reports.grid import Block, Cell, Grid, Head, Line, Mark, Row, fitted, widths_within
from denoisebench.reports.markup import spaced

if TYPE_CHECKING:
    from rich.align import AlignMethod
    from rich.console import Console, ConsoleOptions

_GAP = 2
_ALIGN: Mapping[str, AlignMethod] = {"l": "left", "c": "center", "r": "right"}
_STYLES: Mapping[Mark, str] = {"": "", "best": "bold", "second": "underline", "raised": ""}


class Screen:
    """A grid that rich prints as wide as the terminal is.

    Parameters
    ----------
    grid : Grid
        Not yet fitted.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        width = options.max_width
        narrow = fitted(self.grid, width, size, _GAP)
        title = _cell_text(self.grid.title)
        if title:
            title.stylize("bold")
            yield from title.wrap(console, width)
            yield Text("")
        for number, block in enumerate(narrow.blocks):
            if number:
                yield Text("")
            yield from _lines(console, block, width)
        notes = [*self.grid.notes, *self.grid.remarks]
        if notes:
            yield Text("")
        for note in notes:
            wrapped = _cell_text(note).wrap(console, max(width - 2, 8), overflow="fold")
            for place, part in enumerate(wrapped):
                part.rstrip()
                yield Text("- " if place == 0 else "  ") + part


def size(line: Line) -> float:
    """Characters that a line of a cell takes, wide ones counted twice."""
    return _line_text(line).cell_len


def _line_text(line: Line) -> Text:
    found = Text()
    for span in line:
        text = spaced(span.text, plain)
        if span.mark == "raised":
            text = f"{' ' if found else ''}({text})"
        found.append(text, _STYLES[span.mark] or None)
    return found


def _cell_text(found: Cell) -> Text:
    return Text(" ").join(_line_text(line) for line in found)


def _lines(console: Console, block: Block, width: int) -> Iterator[Text]:
    widths = [int(found) for found in widths_within(block, width, size, _GAP)]
    rule = Text("─" * (sum(widths) + _GAP * (len(widths) - 1)), "dim")
    if any(head.group for head in block.heads):
        yield from _groups(console, block, widths)
    heads = [[Text(plain(head.text), "bold")] for head in block.heads]
    yield from _placed(console, block, heads, widths, bottom=True)
    yield rule
    last = ""
    for row in block.rows:
        if row.section != last:
            if last:
                yield rule
            yield Text(plain(row.section), "italic")
            last = row.section
        yield from _row(console, block, row, widths)


def _groups(console: Console, block: Block, widths: Sequence[int]) -> Iterator[Text]:
    """The headings of groups, each above its columns."""
    heads, texts, rooms, place = [], [], [], 0
    for group, found in groupby(block.heads, lambda head: head.group):
        count = len(list(found))
        heads.append(Head(group, "c"))
        texts.append([Text(plain(group), "bold")])
        rooms.append(sum(widths[place : place + count]) + _GAP * (count - 1))
        place += count
    yield from _placed(console, Block(heads, []), texts, rooms, bottom=True)


def _row(console: Console, block: Block, row: Row, widths: Sequence[int]) -> Iterator[Text]:
    yield from _placed(console, block, [[_line_text(line) for line in found] for found in row.cells], widths)


def _placed(
    console: Console, block: Block, cells: Sequence[Sequence[Text]], widths: Sequence[int], bottom: bool = False
) -> Iterator[Text]:
    """Cells in their columns, on as many lines as the tallest needs."""
    columns = []
    for texts, width in zip(cells, widths, strict=True):
        broken = [Text(" ").join(_pieces(text)) if text.cell_len > width else text for text in texts]
        columns.append([part for text in broken for part in text.wrap(console, max(width, 1), overflow="fold")])
    tall = max(map(len, columns), default=0)
    for number in range(tall):
        line = Text()
        for place, (head, column) in enumerate(zip(block.heads, columns, strict=True)):
            index = number - (tall - len(column)) if bottom else number
            part = column[index].copy() if 0 <= index < len(column) else Text()
            part.rstrip()
            part.align(_ALIGN[head.align], widths[place])
            line.append_text(part)
            if place < len(widths) - 1:
                line.append(" " * _GAP)
        line.rstrip()
        yield line


def _pieces(text: Text) -> list[Text]:
    """A text in parts, after each comma within a word, so that it may be broken there."""
    cuts = [found.end() for found in re.finditer(r",(?=[^\s\d])", text.plain)]
    return list(text.divide(cuts))
