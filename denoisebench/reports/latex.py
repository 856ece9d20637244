"""Grids as LaTeX that fits: booktabs tables as narrow as a page or a column of it, several where one is too long."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from math import ceil
from typing import NamedTuple

from denoisebench.core.errors import unknown
from denoisebench.core.text import plain
from denoisebench.reports.grid import (
    NARROWEST,
    Block,
    Cell,
    Grid,
    Head,
    Line,
    Mark,
    Row,
    Span,
    Width,
    breakable,
    fitted,
    head_parts,
    least,
    narrowest,
    plain_text,
    shared_out,
)
from denoisebench.reports.markup import spaced, tex


class Page(NamedTuple):
    """Where a table is printed.

    Parameters
    ----------
    width : float
        Points that there are, in the papers of the field with the least.
    lines : int
        Lines of a table that leave room for its caption and notes.
    begin, end : str
        Around the table.
    """

    width: float
    lines: int
    begin: str
    end: str


#: One page of an article, one column of two, both of them, a page on its side.
PAGES: Mapping[str, Page] = {
    "page": Page(345.0, 40, r"\begin{table}", r"\end{table}"),
    "column": Page(237.0, 44, r"\begin{table}", r"\end{table}"),
    "wide": Page(487.0, 44, r"\begin{table*}", r"\end{table*}"),
    "landscape": Page(540.0, 20, "\\begin{landscape}\n\\begin{table}", "\\end{table}\n\\end{landscape}"),
}
#: Points between two columns.
GAP = 6.0
_MARKS: Mapping[Mark, str] = {
    "": "{}", "best": r"\textbf{{{}}}", "second": r"\underline{{{}}}", "raised": r"\textsuperscript{{{}}}",
}  # fmt: skip
# Points of a character in 8 point type.
_WIDTHS = {
    **dict.fromkeys(".,:;'|ijl", 2.4), **dict.fromkeys(" -()[]tfrI", 3.3), **dict.fromkeys("mMW", 7.8),
    **dict.fromkeys("+=<>±∈×−w", 6.9), **dict.fromkeys("0123456789/", 4.3),
}  # fmt: skip
_FACTORS: Mapping[Mark, float] = {"": 1.0, "best": 1.16, "second": 1.0, "raised": 0.8}


def page_of(name: str) -> Page:
    """A page by its name.

    Raises
    ------
    UserError
        There is no such page.
    """
    if name not in PAGES:
        raise unknown("page", name, PAGES)
    return PAGES[name]


def size(line: Line) -> float:
    """Points that a line of a cell takes, in 8 point type."""
    return sum(_FACTORS[span.mark] * _text_width(span.text) for span in line)


@lru_cache(maxsize=4096)
def _text_width(text: str) -> float:
    return sum(map(_width, text))


def _width(letter: str) -> float:
    return _WIDTHS.get(letter) or (6.4 if letter.isupper() else 4.6 if letter.isascii() else 6.0)


def latex(grid: Grid, name: str = "page") -> str:
    """The grid as a float of booktabs tables with its title as caption; remarks are comments."""
    page = page_of(name)
    narrow = fitted(grid, page.width, size, GAP)
    packages = ["array", "booktabs", *(["pdflscape"] if name == "landscape" else [])]
    lines = [f"% {''.join(f'{chr(92)}usepackage{{{package}}}' for package in packages)}"]
    lines += [f"% {plain(plain_text(remark))}" for remark in grid.remarks]
    floats = _floats(narrow.blocks, page)
    for number, blocks in enumerate(floats):
        title = cell_text(grid.title)
        caption = f"{title} (continued)" if number and title else title
        lines += [page.begin, r"\centering\footnotesize\setlength{\tabcolsep}{3pt}"]
        lines += [rf"\caption{{{caption}}}"] if caption else []
        for place, part in enumerate(_tables(blocks, page.width)):
            lines += [r"\par\medskip"] * (place > 0) + _tabular(part, page.width)
        if number == len(floats) - 1 and grid.notes:
            notes = [rf"{cell_text(note)}\par" for note in grid.notes]
            lines += [r"\par\smallskip", r"{\scriptsize\raggedright\sloppy", *notes, "}"]
        lines.append(page.end)
    return "\n".join(lines) + "\n"


def cell_text(found: Cell) -> str:
    """A cell on one line of LaTeX."""
    return " ".join(_line(line) for line in found)


def _line(line: Line) -> str:
    return "".join(_MARKS[span.mark].format(span.latex or _breaking(span.text)) for span in line)


def _breaking(text: str) -> str:
    """Escaped text that may be broken behind a comma within a word."""
    return "\\allowbreak{}".join(spaced(part, tex) for part in breakable(text, "\n").split("\n"))


def _floats(blocks: Sequence[Block], page: Page) -> list[list[Block]]:
    """Blocks as long as a page: broken between blocks or sections, and within one where it is longer than a page."""
    found: list[list[Block]] = [[]]
    left = page.lines
    for block in blocks:
        left -= 2
        kept: list[Row] = []
        points = _points([block], page.width)
        for _, section in groupby(block.rows, lambda row: row.section):
            lines = [(row, _height(row, points)) for row in section]
            need = sum(tall for _, tall in lines) + 1
            if need > left and left < page.lines - 2:
                left = _turn(found, block, kept, page)
            for row, tall in lines:
                if tall > left and kept:
                    left = _turn(found, block, kept, page)
                kept.append(row)
                left -= tall
            left -= 1
        found[-1] += [Block(block.heads, list(kept))] if kept else []
    return [part for part in found if part]


def _turn(found: list[list[Block]], block: Block, rows: list[Row], page: Page) -> int:
    """Begin another float, and return what it has room for."""
    if rows:
        found[-1].append(Block(block.heads, list(rows)))
        rows.clear()
    found.append([])
    return page.lines - 2


def _height(row: Row, points: Sequence[float]) -> int:
    """Lines of text that a row takes in columns of some width."""
    return max(
        sum(max(1, ceil(1.1 * size(line) / max(width, 1.0)) if size(line) > width else 1) for line in found)
        for found, width in zip(row.cells, points, strict=True)
    )


def _tables(blocks: Sequence[Block], width: float) -> list[Sequence[Block]]:
    """The blocks that stand in one tabular, so that their columns are aligned: all, if that is narrow enough."""
    joined = _joined(blocks)
    alike = len({tuple(head.align for head in block.heads) for block in joined}) == 1
    wide = sum(_most(joined, narrowest(size, 0))) if alike else width
    return [blocks] if wide + GAP * (len(joined[0].heads) - 1) <= width else [[block] for block in blocks]


def _joined(blocks: Sequence[Block]) -> list[Block]:
    """Blocks with equally many columns: empty ones behind the last column of scores."""
    counts = [sum(head.role == "score" for head in block.heads) for block in blocks]
    found = []
    for block, count in zip(blocks, counts, strict=True):
        last = max((place for place, head in enumerate(block.heads) if head.role == "score"), default=-1) + 1
        spare = max(counts) - count
        empty: list[Cell] = [((),)] * spare
        rows = [Row([*row.cells[:last], *empty, *row.cells[last:]], row.section) for row in block.rows]
        heads = [*block.heads[:last], *[Head("", "c", role="score")] * spare, *block.heads[last:]]
        found.append(Block(heads, rows))
    return found


def _tabular(blocks: Sequence[Block], width: float) -> list[str]:
    joined = _joined(blocks)
    columns = _columns(joined, width)
    lines = [rf"\begin{{tabular}}{{@{{}}{''.join(columns)}@{{}}}}", r"\toprule"]
    for number, block in enumerate(joined):
        lines += [r"\midrule"] * (number > 0) + [*_heads(block), r"\midrule"]
        last = ""
        for row in block.rows:
            if row.section != last:
                lines += [r"\addlinespace"] * bool(last)
                lines.append(rf"\multicolumn{{{len(columns)}}}{{@{{}}l}}{{\textit{{{tex(row.section)}}}}} \\")
                last = row.section
            lines += _rows(row)
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _columns(blocks: Sequence[Block], width: float) -> list[str]:
    """How each column is set: texts are broken into lines where all of them are too wide together."""
    heads = blocks[0].heads
    columns = []
    for head, whole, part in zip(heads, _most(blocks, _whole), _points(blocks, width), strict=True):
        setting = rf">{{\raggedright\arraybackslash\hangindent=1em\hspace{{0pt}}}}p{{{int(part)}pt}}"
        columns.append(setting if head.align == "l" and whole > part else head.align)
    return columns


def _points(blocks: Sequence[Block], width: float) -> list[float]:
    """The width of each column: what it takes, or less where all are too wide together."""
    usual, needed = (_most(blocks, narrowest(size, letters)) for letters in (NARROWEST, 0))
    natural = _most(blocks, _whole)
    room = width - GAP * (len(natural) - 1)
    return shared_out(natural, usual if sum(usual) <= room else needed, room)


def _most(blocks: Sequence[Block], narrow: Width) -> list[float]:
    return [max(values) for values in zip(*(least(block, narrow) for block in blocks), strict=True)]


def _whole(head: Head, cells: Iterable[Cell]) -> float:
    """The width of a column whose texts are not broken, its heading at its narrowest."""
    heading = max((size((Span(part),)) for part in head_parts(head)), default=0.0)
    return max([heading, *(size(line) for found in cells for line in found)])


def _heads(block: Block) -> list[str]:
    """The headings: those of the groups with a rule below each, and those of the columns, broken if they are wider."""
    lines = []
    contents = least(block, lambda _, cells: max((size(line) for found in cells for line in found), default=0.0))
    if any(head.group for head in block.heads):
        texts, rules, place = [], [], 0
        for group, found in groupby(block.heads, lambda head: head.group):
            count = len(list(found))
            room = sum(contents[place : place + count]) + GAP * (count - 1)
            shown = _heading(group, [tex(word) for word in group.split()], "c", room)
            texts += [rf"\multicolumn{{{count}}}{{c}}{{{shown}}}"] if group else [""] * count
            rules += [rf"\cmidrule(lr){{{place + 1}-{place + count}}}"] if group else []
            place += count
        lines += [" & ".join(texts) + r" \\", "".join(rules)]
    texts = []
    for head, room in zip(block.heads, contents, strict=True):
        # A formula stays whole.
        words = head.latex.split(" ", 1) if head.latex else [tex(word) for word in head.text.split()]
        texts.append(_heading(head.text, words, head.align, room))
    return [*lines, " & ".join(texts) + r" \\"]


def _heading(text: str, words: Sequence[str], align: str, room: float) -> str:
    """A heading on one line, or a word a line where it is wider than what is below it."""
    if len(words) < 2 or size((Span(text),)) <= room:
        return " ".join(words)
    return rf"\begin{{tabular}}[b]{{@{{}}{align}@{{}}}}" + r" \\ ".join(words) + r"\end{tabular}"


def _rows(row: Row) -> list[str]:
    """The lines of a row; what stands above each other is in lines of its own."""
    tall = max(map(len, row.cells))
    lines = []
    for number in range(tall):
        texts = [_line(found[number]) if number < len(found) else "" for found in row.cells]
        lines.append(" & ".join(texts) + r" \\" + ("*[-0.2ex]" if number < tall - 1 else ""))
    return lines
