"""A table of texts with marks, before any format: and how it is made to fit a page or a terminal.

A grid is laid out as wide as it is. `fitted` stacks what may stand above each other, then breaks columns of scores into
blocks below each other, until it is as narrow as asked; no text is shortened.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

Mark = Literal["", "best", "second", "raised"]
#: A text column is not made narrower than this many characters, unless all of its texts are.
NARROWEST = 16


@dataclass(frozen=True)
class Span:
    """A piece of text, as it is; every format escapes what it has to.

    Parameters
    ----------
    text : str
        Plain.
    mark : str
        '', 'best', 'second', or 'raised' for the letter of a footnote.
    latex : str
        LaTeX that stands for ``text``, where it is not the escaped text.
    """

    text: str
    mark: Mark = ""
    latex: str = ""


#: The spans of a line of a cell; a cell has one or more of them, one above the other.
Line = tuple[Span, ...]
Cell = tuple[Line, ...]


def cell_of(*spans: Span | str) -> Cell:
    """A cell of one line; empty without any text."""
    line = tuple(Span(span) if isinstance(span, str) else span for span in spans)
    return (tuple(span for span in line if span.text),)


def plain_text(found: Cell) -> str:
    """The text of a cell without its marks, on one line."""
    return " ".join("".join(span.text for span in line) for line in found if line)


@dataclass(frozen=True)
class Head:
    """A column.

    Parameters
    ----------
    text : str
        Heading, below the one of its group if it has one.
    align : str
        'l', 'c' or 'r'; texts of 'l' may be broken into lines, numbers never are.
    group : str
        Common heading of neighbours.
    flat : str
        Heading where there is no room for a group; the text if not given.
    role : str
        'lead' names the line, 'info' is about the whole line, 'score' may go into another block.
    stack : bool
        Whether the columns of its group may stand above each other: the first above the others.
    latex : str
        LaTeX that stands for ``text``, where it is not the escaped text.
    """

    text: str
    align: Literal["l", "c", "r"] = "l"
    group: str = ""
    flat: str = ""
    role: Literal["lead", "info", "score"] = "lead"
    stack: bool = False
    latex: str = ""


@dataclass(frozen=True)
class Row:
    """A line of a block, and the section that it is in: lines of one section are neighbours."""

    cells: Sequence[Cell]
    section: str = ""


@dataclass(frozen=True)
class Block:
    """Columns and their lines."""

    heads: Sequence[Head]
    rows: Sequence[Row]


@dataclass(frozen=True)
class Grid:
    """A table.

    Parameters
    ----------
    title : Cell
        Above it.
    blocks : Sequence[Block]
        One, until it is `fitted`.
    section : str
        Heading of the sections, where they are a column.
    notes, remarks : Sequence[Cell]
        Sentences below it: what a reader of the table needs, and how it came about (a comment in LaTeX and Typst).
    """

    title: Cell
    blocks: Sequence[Block]
    section: str = ""
    notes: Sequence[Cell] = ()
    remarks: Sequence[Cell] = ()


#: Width of a line, in the unit of a format.
Size = Callable[[Line], float]
#: Width that a column needs, by its heading and its cells.
Width = Callable[[Head, Iterable[Cell]], float]


def fitted(grid: Grid, width: float, size: Size, gap: float) -> Grid:
    """A grid whose columns are no wider together than asked, if that can be without cutting a number.

    Parameters
    ----------
    grid : Grid
        Of one block.
    width : float
        What there is.
    size : Size
        How wide a line of a cell is, in the same unit.
    gap : float
        What lies between two columns.
    """
    blocks = list(grid.blocks)

    def too_wide(narrow: Width) -> bool:
        return any(sum(least(block, narrow)) + gap * (len(block.heads) - 1) > width for block in blocks)

    usual, words = narrowest(size), narrowest(size, 0)
    if too_wide(usual):
        blocks = [stacked(block) for block in blocks]
    if too_wide(usual):
        blocks = [part for block in blocks for part in _broken(block, width, usual, gap)]
    if too_wide(words):
        # What is about whole lines gets a block of its own, which all the others are narrower for.
        about = _kept(grid.blocks, "info", width, words, gap)
        blocks = [*about, *_kept(grid.blocks, "score", width, words, gap)] if about else blocks
    return replace(grid, blocks=blocks)


def _kept(blocks: Sequence[Block], role: str, width: float, narrow: Width, gap: float) -> list[Block]:
    """Blocks of the columns that name lines and of those of one role, as narrow as asked."""
    found = []
    for block in map(stacked, blocks):
        places = [place for place, head in enumerate(block.heads) if head.role in ("lead", role)]
        if len(places) > sum(head.role == "lead" for head in block.heads):
            heads = [block.heads[p] if block.heads[p].role == "lead" else _loose(block.heads[p]) for p in places]
            rows = [replace(row, cells=[row.cells[p] for p in places]) for row in block.rows]
            found += _broken(Block(heads, rows), width, narrow, gap)
    return found


def _loose(head: Head) -> Head:
    return replace(head, role="score")


def stacked(block: Block) -> Block:
    """The columns of each group that allow it in one column: the first above, the others side by side below it."""
    heads: list[Head] = []
    places: list[list[int]] = []
    for key, found in groupby(enumerate(block.heads), lambda item: (item[1].stack and item[1].group) or item[0]):
        numbered = list(found)
        first = numbered[0][1]
        several = isinstance(key, str) and len(numbered) > 1
        heads.append(replace(first, text=first.group, group="", flat="", align="c", stack=False) if several else first)
        places.append([place for place, _ in numbered])
    rows = [replace(row, cells=[_piled([row.cells[p] for p in group]) for group in places]) for row in block.rows]
    return Block(heads, rows)


def _piled(cells: Sequence[Cell]) -> Cell:
    if len(cells) == 1:
        return cells[0]
    top, rest = cells[0], [cell for cell in cells[1:] if plain_text(cell)]
    if not rest:
        return top
    below: list[Span] = []
    for lines in rest:
        below += [Span(" ")] * bool(below) + [span for line in lines for span in line]
    return (*top, tuple(below))


def narrowest(size: Size, letters: int = NARROWEST) -> Width:
    """How wide a column has to be: a number is not broken, a text is between its words.

    Parameters
    ----------
    letters : int
        What a text column has at least, unless all its texts are shorter.
    """
    room = letters * size((Span("x"),))

    def width(head: Head, cells: Iterable[Cell]) -> float:
        lines = [line for cell in cells for line in cell]
        heading = max((size((Span(part),)) for part in head_parts(head)), default=0.0)
        whole = max(map(size, lines), default=0.0)
        if head.align != "l":
            return max(heading, whole)
        words = max((size((Span(word),)) for line in lines for word in pieces(line)), default=0.0)
        return max(heading, min(whole, max(words, room)))

    return width


def head_parts(head: Head) -> list[str]:
    """The lines of a heading that is as narrow as can be; a formula stays whole."""
    return head.text.split(" ", 1) if head.latex else head.text.split()


def pieces(line: Line) -> list[str]:
    """The parts of a text between which it may be broken: at spaces, and behind commas."""
    return breakable("".join(span.text for span in line)).split()


def breakable(text: str, gap: str = " ") -> str:
    """A text with a gap behind each comma within a word, but not within a number."""
    return re.sub(r",(?=[^\s\d])", f",{gap}", text)


def least(block: Block, narrow: Width) -> list[float]:
    """The widths that the columns of a block need at least."""
    return [narrow(head, (row.cells[place] for row in block.rows)) for place, head in enumerate(block.heads)]


def widths_within(block: Block, width: float, size: Size, gap: float) -> list[float]:
    """What each column gets: as much as it takes, or less for texts where all are too wide together.

    Parameters
    ----------
    block : Block
        Of a `fitted` grid.
    width : float
        What there is.
    size : Size
        How wide a line of a cell is, in the same unit.
    gap : float
        What lies between two columns.
    """
    room = width - gap * (len(block.heads) - 1)
    usual = least(block, narrowest(size))
    needed = usual if sum(usual) <= room else least(block, narrowest(size, 0))
    natural = [
        max([need, *(size(line) for row in block.rows for line in row.cells[place])])
        for place, need in enumerate(needed)
    ]
    return shared_out(natural, needed, room)


def shared_out(natural: Sequence[float], needed: Sequence[float], room: float) -> list[float]:
    """The widths of columns: what they take, or as much less as there is too little room, each by what it can spare."""
    over, slack = sum(natural) - room, sum(natural) - sum(needed)
    share = min(1.0, over / slack) if over > 0 and slack > 0 else 0.0
    return [whole - share * (whole - part) for whole, part in zip(natural, needed, strict=True)]


def _broken(block: Block, width: float, narrow: Width, gap: float) -> list[Block]:
    """A block as several, each with some of the columns of scores: whole groups where they fit."""
    widths = least(block, narrow)
    scores = [place for place, head in enumerate(block.heads) if head.role == "score"]
    fixed = sum(size + gap for place, size in enumerate(widths) if place not in scores) - gap
    parts: list[list[int]] = []
    used = width
    for _, found in groupby(scores, lambda place: block.heads[place].group):
        group = list(found)
        need = sum(widths[place] + gap for place in group)
        if parts and used + need > width and fixed + need <= width:
            parts.append([])
            used = fixed
        for place in group:
            if not parts or used + widths[place] + gap > width:
                parts.append([])
                used = fixed
            parts[-1].append(place)
            used += widths[place] + gap
    return [_part(block, scores, chosen) for chosen in parts] or [block]


def _part(block: Block, scores: Sequence[int], chosen: Sequence[int]) -> Block:
    places = [place for place in range(len(block.heads)) if place not in scores or place in chosen]
    rows = [
        replace(row, cells=[row.cells[place] for place in places])
        for row in block.rows
        if any(plain_text(row.cells[place]) for place in chosen)
    ]
    return Block([block.heads[place] for place in places], rows)


def footnote_letter(number: int) -> str:
    """The letter of a footnote: a to z, then aa, bb."""
    return "abcdefghijklmnopqrstuvwxyz"[number % 26] * (number // 26 + 1)


def marked_legend(before: str, after: str) -> Cell:
    """A sentence that shows what the marks of a table mean: 'best' and 'second' between two texts."""
    return cell_of(before, Span("Best", "best"), " and ", Span("second", "second"), after)
