"""A plain table of texts as Markdown, as LaTeX (booktabs), and for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from denoisebench.core.text import plain
from denoisebench.reports.markup import md, tex

if TYPE_CHECKING:
    import rich.table


@dataclass(frozen=True)
class Grid:
    """A table of texts, as they are; every format escapes what it has to.

    Parameters
    ----------
    title : str
        Above it.
    heads, rows : Sequence[str] or Sequence[Sequence[str]]
        Texts.
    right : Sequence[int]
        Columns that are aligned to the right.
    notes : Sequence[str]
        Sentences below it.
    """

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[int] = ()
    notes: Sequence[str] = ()


def markdown(grid: Grid) -> str:
    """The grid in Markdown, its title bold above and its notes as a list below."""
    from tabulate import tabulate

    align = ["right" if place in grid.right else "left" for place in range(len(grid.heads))]
    rows = [[md(text) for text in row] for row in grid.rows]
    table = tabulate(
        rows, [*map(md, grid.heads)], tablefmt="github", disable_numparse=True, colalign=align if rows else None
    )
    notes = "".join(f"- {md(note)}\n" for note in grid.notes)
    return f"**{md(grid.title)}**\n\n{table}\n" + (f"\n{notes}" if notes else "")


def latex(grid: Grid) -> str:
    """The grid as a booktabs tabular, title and notes as comments."""
    align = "".join("r" if place in grid.right else "l" for place in range(len(grid.heads)))
    lines = ["% \\usepackage{booktabs}", f"% {plain(grid.title)}", *(f"% {plain(note)}" for note in grid.notes)]
    lines += [rf"\begin{{tabular}}{{{align}}}", r"\toprule", " & ".join(map(tex, grid.heads)) + r" \\", r"\midrule"]
    lines += [" & ".join(map(tex, row)) + r" \\" for row in grid.rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def terminal(grid: Grid) -> rich.table.Table:
    """The grid for a terminal."""
    from rich.markup import escape
    from rich.table import Table as View

    notes = "\n".join(map(plain, grid.notes))
    view = View(
        title=escape(plain(grid.title)), caption=escape(notes), title_justify="left", caption_justify="left"
    )  # fmt: skip
    for place, head in enumerate(grid.heads):
        view.add_column(escape(plain(head)), justify="right" if place in grid.right else "left")
    for row in grid.rows:
        view.add_row(*(escape(plain(text)) for text in row))
    return view
