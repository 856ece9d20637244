"""The comparison table and the scores in every format."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from denoisebench.reports import writers
from denoisebench.reports.cost import cost_of, parameters_of
from denoisebench.reports.grid import Block, Grid, Head, Row, cell_of
from denoisebench.reports.layout import NARROW, WIDE, Layout, grid_of, title_of
from denoisebench.reports.markup import csv_text
from denoisebench.reports.paper.published import beside
from denoisebench.reports.table import Table
from denoisebench.results.store import StoredCell
from denoisebench.results.summary import column_of, flag_symbol

if TYPE_CHECKING:
    from rich.console import RenderableType

SCORE_COLUMNS = (
    "method", "noise", "dataset", "image", "repeat", "psnr", "ssim", "seconds",
    "level", "estimate", "steps", "told", "training", "training_noise", "protocol", "cell",
    "parameters", "multiply_adds", "memory",
)  # fmt: skip
TABLE_COLUMNS = (
    "method", "label", "told", "training", "noise", "dataset", "protocol", "images", "trainings", "psnr", "psnr_spread",
    "ssim", "psnr_mark", "ssim_mark", "flag", "seconds",
)  # fmt: skip
BESIDE_NOTE = "Wang et al. 2022, as printed; dB; clean-trained is the network that saw clean images"


def text_of(table: Table, form: str, layout: Layout | None = None, page: str = "page") -> str:
    """The table in one of `denoisebench.reports.writers.FORMATS`."""
    form, layout = writers.format_of(form), layout or Layout()
    if form == "csv":
        return table_csv(table, layout)
    if form == "markdown":
        return markdown(table, layout)
    return writers.write(grid_of(table, layout, WIDE if form == "html" else NARROW), form, page) + (
        _beside(table, layout, form, page) if form == "html" else ""
    )


def markdown(table: Table, layout: Layout | None = None) -> str:
    """The table and its notes in Markdown, best bold, second underlined, and the published values beside it."""
    layout = layout or Layout()
    return writers.markdown(grid_of(table, layout, WIDE)) + _beside(table, layout, "markdown")


def latex(table: Table, layout: Layout | None = None, page: str = "page") -> str:
    """The table as booktabs tables that fit a page."""
    return text_of(table, "latex", layout, page)


def html(table: Table, layout: Layout | None = None) -> str:
    """The table and its notes in HTML, as notebooks show it; best bold, second underlined."""
    return text_of(table, "html", layout)


def terminal(table: Table, layout: Layout | None = None) -> RenderableType:
    """The table for a terminal, as wide as that is."""
    from denoisebench.reports.screen import Screen

    return Screen(grid_of(table, layout or Layout(), NARROW))


def terminal_beside(table: Table, layout: Layout | None = None) -> RenderableType | None:
    """Measured and published values for a terminal; None where the paper has none."""
    from denoisebench.reports.screen import Screen

    found = beside_grid(table, layout or Layout())
    # The training is in the footnotes of the table above.
    return None if found is None else Screen(replace(found, blocks=[_without(found.blocks[0], "Training")]))


def _without(block: Block, text: str) -> Block:
    places = [place for place, head in enumerate(block.heads) if head.text != text]
    rows = [replace(row, cells=[row.cells[place] for place in places]) for row in block.rows]
    return Block([block.heads[place] for place in places], rows)


def _beside(table: Table, layout: Layout, form: str, page: str = "page") -> str:
    """Measured and published values side by side; empty where the paper has none."""
    found = beside_grid(table, layout)
    return "" if found is None else "\n" + writers.write(found, form, page)


def beside_grid(table: Table, layout: Layout) -> Grid | None:
    """Every score that the paper reports too, beside its value and the gaps to clean training; None without any."""
    rows = [
        Row([
            cell_of(title_of(b.line, layout.labels)),
            cell_of(b.line.training),
            cell_of(f"{b.score.psnr:.2f}/{b.score.ssim:.3f}{flag_symbol(b.score)}"),
            cell_of(f"{b.paper.psnr:.2f}/{b.paper.ssim:.3f}" + (" (odd)" if b.paper.odd else "")),
            cell_of(f"{b.score.psnr - b.paper.psnr:+.2f}"),
            cell_of("" if b.gap is None else f"{b.gap:+.2f}"),
            cell_of("" if b.paper_gap is None else f"{b.paper_gap:+.2f}"),
        ], table.titles[b.column])
        for b in beside(table)
    ]  # fmt: skip
    if not rows:
        return None
    numbers = ("Measured", "Paper", "Difference", "To clean-trained", "Same, paper")
    heads = [Head("Method"), Head("Training"), *(Head(text, "r") for text in numbers)]
    return Grid(cell_of(f"Beside the paper ({BESIDE_NOTE})"), [Block(heads, rows)], section="Data")


def table_csv(table: Table, layout: Layout | None = None) -> str:
    """One line per score of the table, with its marks."""

    layout = layout or Layout()
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(TABLE_COLUMNS)
    for (line, column), score in sorted(
        table.scores.items(), key=lambda item: (table.columns.index(item[0][1]), table.lines.index(item[0][0]))
    ):
        texts = (line.method, title_of(line, layout.labels), line.told, line.training, column.noise, column.dataset)
        writer.writerow([
            *map(csv_text, texts), column.protocol, score.rows, score.trainings, f"{score.psnr:.4f}",
            f"{score.spread:.4f}" if score.trainings > 1 else "", f"{score.ssim:.5f}", score.psnr_mark,
            score.ssim_mark, score.flag, f"{cost_of(table.cells[line, column]).seconds:.4f}",
        ])  # fmt: skip
    return out.getvalue()


def scores_csv(cells: Sequence[StoredCell], quoted: bool = True) -> str:
    """One line per (method, noise, data set, image, repeat), in the order of cells and rows.

    Parameters
    ----------
    cells : Sequence[StoredCell]
        What is listed.
    quoted : bool
        Have spreadsheets take names for text, see `csv_text`.
    """
    show = csv_text if quoted else str
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(SCORE_COLUMNS)
    for cell in cells:
        about, protocol = cell.about, cell.identity["protocol"]
        parameters = parameters_of([cell])
        place = (show(about["text"]), show(protocol["noise"]), show(protocol["dataset"]))
        origin = (
            show("; ".join(about["told"])), show(about["training"]),
            show(about.get("training_record", {}).get("draws", "")), column_of(cell).protocol, cell.key,
            "" if parameters is None else parameters,
        )  # fmt: skip
        for row in cell.rows.values():
            writer.writerow(
                (
                    *place, show(row.image), row.repeat,
                    f"{row.psnr:.6f}", f"{row.ssim:.8f}", f"{row.seconds:.4f}",
                    "" if row.level is None else f"{row.level:.8g}",
                    "" if row.estimate is None else f"{row.estimate:.8g}",
                    row.steps or "", *origin,
                    "" if row.multiply_adds is None else f"{row.multiply_adds:.2f}",
                    "" if row.memory is None else row.memory,
                )
            )  # fmt: skip
    return out.getvalue()
