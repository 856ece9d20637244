"""A table as a figure: the grid that every writer takes, set as text between rules, as narrow as a page.

All places are in points from the upper left corner; what a text takes is measured with the font that draws it, so that
nothing is cut off or covers something else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

from denoisebench.core.text import one_line
from denoisebench.reports.figures import style
from denoisebench.reports.grid import (
    Block,
    Cell,
    Grid,
    Line,
    Span,
    breakable,
    fitted,
    plain_text,
    widths_within,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEXT, SMALL = 8.0, style.SMALL
#: Notes are not set narrower than this many points.
NOTES = 300.0
_GAP, _MARGIN = 9.0, 6.0
_RAISED = 0.72
# Of a line of text: its height, and how far its baseline is below its upper edge.
_LINE, _BASE = 1.32, 0.98
_HEAVY, _LIGHT = 0.9, 0.45


@dataclass(frozen=True)
class _Text:
    """A piece of text: left end and baseline."""

    x: float
    y: float
    text: str
    size: float
    bold: bool = False
    italic: bool = False


@dataclass
class _Sheet:
    """What is drawn, in points from the upper left corner, and how far down it has come."""

    texts: list[_Text] = field(default_factory=list)
    rules: list[tuple[float, float, float, float]] = field(default_factory=list)
    y: float = 0.0

    def line(self, line: Line, x: float, top: float, size: float = TEXT, italic: bool = False) -> None:
        """Set a line of a cell with its marks."""
        base = top + _BASE * size
        for mark, spans in groupby(line, lambda span: span.mark):
            text, bold, raised = _shown("".join(span.text for span in spans)), mark == "best", mark == "raised"
            letters = _RAISED * size if raised else size
            wide = _advance(text, letters, bold)
            if text.strip():
                self.texts.append(_Text(x, base - 0.34 * size * raised, text, letters, bold, italic))
            if mark == "second":
                self.rules.append((x, x + wide, base + 0.17 * size, 0.06 * size))
            x += wide

    def rule(self, start: float, end: float, thick: float) -> None:
        """Set a rule, with some room around it."""
        self.rules.append((start, end, self.y + 1.5, thick))
        self.y += 3.5


def draw(grid: Grid, width: float) -> Figure:
    """A figure of a table, as large as the table is.

    Parameters
    ----------
    grid : Grid
        Of one block. Its notes stand below; its remarks, on how it came about, do not, as in LaTeX.
    width : float
        Points that its columns are to fit into, by standing in blocks below each other if need be.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    with style.styled():
        sheet, wide = _sheet(fitted(grid, width, size, _GAP), width)
        across, down = wide + 2 * _MARGIN, sheet.y + 2 * _MARGIN
        figure = Figure(figsize=(across / 72, down / 72))
        for found in sheet.texts:
            options: dict[str, Any] = {"weight": "bold"} if found.bold else {}
            options |= {"style": "italic"} if found.italic else {}
            figure.text(
                (found.x + _MARGIN) / across, 1 - (found.y + _MARGIN) / down, found.text, fontsize=found.size,
                ha="left", va="baseline", **options,
            )  # fmt: skip
        for start, end, y, thick in sheet.rules:
            ys = [1 - (y + _MARGIN) / down] * 2
            xs = [(x + _MARGIN) / across for x in (start, end)]
            figure.add_artist(Line2D(xs, ys, color="black", linewidth=thick, solid_capstyle="butt"))
    return figure


def size(line: Line) -> float:
    """Points that a line of a cell takes."""
    return sum(_advance(_shown(s.text), _RAISED * TEXT if s.mark == "raised" else TEXT, s.mark == "best") for s in line)


def _sheet(grid: Grid, width: float) -> tuple[_Sheet, float]:
    """Everything in its place, and how wide it is."""
    columns = [widths_within(block, width, size, _GAP) for block in grid.blocks]
    wide = max((sum(found) + _GAP * (len(found) - 1) for found in columns), default=0.0)
    # Narrow tables have narrow notes, but not so narrow that nobody reads them.
    room = max(wide, min(NOTES, width)) if grid.notes or plain_text(grid.title) else wide
    sheet = _Sheet()
    if plain_text(grid.title):
        _paragraph(sheet, _bold(grid.title), room, TEXT)
        sheet.y += 2
    for number, (block, found) in enumerate(zip(grid.blocks, columns, strict=True)):
        sheet.y += 8 if number else 0
        _block(sheet, block, found)
    sheet.y += 3 if grid.notes else 0
    for note in grid.notes:
        _paragraph(sheet, note, room, SMALL)
    return sheet, room


def _bold(title: Cell) -> Cell:
    return tuple(tuple(Span(span.text, "best") for span in line) for line in title)


def _paragraph(sheet: _Sheet, found: Cell, width: float, letters: float) -> None:
    for line in found:
        for part in wrapped(line, width * TEXT / letters):
            sheet.line(part, 0.0, sheet.y, letters)
            sheet.y += _LINE * letters


def _block(sheet: _Sheet, block: Block, columns: Sequence[float]) -> None:
    lefts = [sum(columns[:place]) + _GAP * place for place in range(len(columns))]
    end = lefts[-1] + columns[-1]
    sheet.rule(0.0, end, _HEAVY)
    if any(head.group for head in block.heads):
        _groups(sheet, block, lefts, columns)
    heads = [((Span(head.text),),) for head in block.heads]
    _cells(sheet, block, heads, lefts, columns, bottom=True)
    sheet.rule(0.0, end, _LIGHT)
    last = ""
    for row in block.rows:
        if row.section != last:
            if last:
                sheet.rule(0.0, end, _LIGHT)
            sheet.line((Span(row.section),), 0.0, sheet.y, italic=True)
            sheet.y += _LINE * TEXT
            last = row.section
        _cells(sheet, block, row.cells, lefts, columns)
    sheet.rule(0.0, end, _HEAVY)


def _groups(sheet: _Sheet, block: Block, lefts: Sequence[float], columns: Sequence[float]) -> None:
    """The headings of groups, each above a rule over its columns."""
    found: list[tuple[list[Line], float, float]] = []
    for group, places in groupby(range(len(block.heads)), lambda place: block.heads[place].group):
        members = list(places)
        if group:
            start, end = lefts[members[0]], lefts[members[-1]] + columns[members[-1]]
            found.append((list(wrapped((Span(group),), end - start)), start, end))
    tall = max(len(lines) for lines, _, _ in found)
    for lines, start, end in found:
        for number, line in enumerate(lines, tall - len(lines)):
            sheet.line(line, start + (end - start - size(line)) / 2, sheet.y + number * _LINE * TEXT)
        sheet.rules.append((start, end, sheet.y + tall * _LINE * TEXT + 1, _LIGHT))
    sheet.y += tall * _LINE * TEXT + 2.5


def _cells(
    sheet: _Sheet, block: Block, cells: Sequence[Cell], lefts: Sequence[float], columns: Sequence[float],
    bottom: bool = False,
) -> None:  # fmt: skip
    """Cells in their columns, on as many lines as the tallest needs."""
    lines = [[part for line in found for part in wrapped(line, w)] for found, w in zip(cells, columns, strict=True)]
    tall = max(map(len, lines), default=0)
    for head, found, left, width in zip(block.heads, lines, lefts, columns, strict=True):
        for number, line in enumerate(found, tall - len(found) if bottom else 0):
            spare = width - size(line)
            shift = {"l": 0.0, "c": spare / 2, "r": spare}[head.align]
            sheet.line(line, left + shift, sheet.y + number * _LINE * TEXT)
    sheet.y += tall * _LINE * TEXT


def wrapped(line: Line, width: float) -> Iterator[Line]:
    """A line of a cell as lines that fit, broken at spaces and behind commas within words; one without text is none."""
    done: list[Span] = []
    for word in _words(line):
        if done and size((*done, *word)) > width + 0.01:
            yield tuple(done)
            done = []
        # A space does not begin a line.
        done += word if done or not word[0].text.startswith(" ") else [Span(word[0].text[1:], word[0].mark), *word[1:]]
    if any(span.text for span in done):
        yield tuple(done)


def _words(line: Line) -> Iterator[list[Span]]:
    """What is not broken: spans and parts of spans, each with the space before it."""
    word: list[Span] = []
    for span in line:
        for place, part in enumerate(breakable(_shown(span.text), "\n").replace(" ", "\n ").split("\n")):
            if place and word:
                yield word
                word = []
            if part:
                word.append(Span(part, span.mark))
    if word:
        yield word


def _shown(text: str) -> str:
    """Text of a stranger: on one line, without characters that steer."""
    return one_line(text)


@lru_cache(maxsize=4096)
def _advance(text: str, points: float, bold: bool) -> float:
    """Points that a text takes, its spaces at the ends too."""
    return points * sum(_letter(letter, bold) for letter in text)


@lru_cache(maxsize=4096)
def _letter(letter: str, bold: bool) -> float:
    """Width of a letter over the size of the font."""
    font = _font(bold)
    # Number 0 is the box that stands for a letter which the font lacks.
    glyph = font.load_glyph(font.get_char_index(ord(letter)), flags=_no_hinting())
    return float(glyph.linearHoriAdvance) / 65536 / 100


@lru_cache(maxsize=2)
def _font(bold: bool) -> Any:
    from matplotlib.font_manager import FontProperties, findfont
    from matplotlib.ft2font import FT2Font

    font = FT2Font(findfont(FontProperties(family=style.FONT, weight="bold" if bold else "normal")))
    font.set_size(100, 72)
    return font


def _no_hinting() -> Any:
    from matplotlib.ft2font import LoadFlags

    return LoadFlags.NO_HINTING
