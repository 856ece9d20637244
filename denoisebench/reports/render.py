"""Tables as Markdown, LaTeX (booktabs), text for a terminal, and scores as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from denoisebench.core.text import plain
from denoisebench.reports.paper.published import beside
from denoisebench.reports.ranking import RULE
from denoisebench.reports.table import Table
from denoisebench.results.store import StoredCell
from denoisebench.results.summary import Line, Score, column_of, flag_symbol

if TYPE_CHECKING:
    import rich.table
from denoisebench.reports.markup import TEX_FLAGS, csv_text, escaped, md, tex

SCORE_COLUMNS = (
    "method", "noise", "dataset", "image", "repeat", "psnr", "ssim", "seconds",
    "level", "estimate", "steps", "told", "training", "training_noise", "protocol", "cell",
)  # fmt: skip
BESIDE_HEADS = (
    "Data", "Method", "Training", "Measured", "Paper", "Difference", "To clean-trained", "Same, paper",
)  # fmt: skip
BESIDE_NOTE = "Wang et al. 2022, as printed; dB; clean-trained is the network that saw clean images"
_FIXED = ("Method", "Told", "Training")
_MARKDOWN = {"": "{}", "best": "**{}**", "second": "<u>{}</u>"}
_HTML = {"": "{}", "best": "<b>{}</b>", "second": "<u>{}</u>"}
_LATEX = {"": "{}", "best": r"\textbf{{{}}}", "second": r"\underline{{{}}}"}
_RICH = {"": "{}", "best": "[bold]{}[/bold]", "second": "[underline]{}[/underline]"}


def markdown(table: Table) -> str:
    """The table and its notes in Markdown; best bold, second underlined."""
    from tabulate import tabulate

    heads = [*_FIXED, *(md(table.titles[c]) for c in table.columns), "s/image"]
    body = []
    for line in table.lines:
        texts = [md(line.title), md(line.told), md(line.training)]
        body.append([*texts, *_cells(table, line, _MARKDOWN), f"{table.seconds[line]:.2f}"])
    text = tabulate(body, heads, tablefmt="github", disable_numparse=True)
    legend = f"PSNR in dB / SSIM. **Best** and <u>second</u> {RULE}."
    notes = [f"- {md(note)}" for note in table.notes]
    return "\n".join([text, "", legend, "", *notes]) + "\n" + _beside_markdown(table)


def _beside_markdown(table: Table) -> str:
    """Measured and published values side by side; empty where the paper has none."""
    from tabulate import tabulate

    rows = [[md(text) for text in row] for row in beside_rows(table)]
    if not rows:
        return ""
    text = tabulate(
        rows, BESIDE_HEADS, tablefmt="github", disable_numparse=True, colalign=("left",) * 3 + ("right",) * 5
    )
    return f"\nBeside the paper ({BESIDE_NOTE})\n\n{text}\n"


def beside_rows(table: Table) -> list[list[str]]:
    """Texts of `BESIDE_HEADS` for every score that the paper reports too."""
    return [
        [
            table.titles[b.column],
            b.line.title,
            b.line.training,
            f"{b.score.psnr:.2f}/{b.score.ssim:.3f}{flag_symbol(b.score)}",
            f"{b.paper.psnr:.2f}/{b.paper.ssim:.3f}" + (" (odd)" if b.paper.odd else ""),
            f"{b.score.psnr - b.paper.psnr:+.2f}",
            "" if b.gap is None else f"{b.gap:+.2f}",
            "" if b.paper_gap is None else f"{b.paper_gap:+.2f}",
        ]
        for b in beside(table)
    ]


def html(table: Table) -> str:
    """The table and its notes in HTML, as notebooks show it; best bold, second underlined."""
    heads = [*_FIXED, *(table.titles[column] for column in table.columns), "s/image"]
    body = []
    for line in table.lines:
        texts = [escaped(text) for text in (line.title, line.told, line.training)]
        body.append([*texts, *_cells(table, line, _HTML), f"{table.seconds[line]:.2f}"])
    notes = "".join(f"<li>{escaped(note)}</li>" for note in table.notes)
    legend = f"PSNR in dB / SSIM. <b>Best</b> and <u>second</u> {RULE}."
    rows = [[escaped(text) for text in row] for row in beside_rows(table)]
    beside = f"<p>Beside the paper ({BESIDE_NOTE})</p>{_html_grid(BESIDE_HEADS, rows)}" if rows else ""
    return f"{_html_grid(heads, body)}<p>{legend}</p><ul>{notes}</ul>{beside}"


def _html_grid(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    top = "".join(f"<th>{escaped(head)}</th>" for head in heads)
    lines = ("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def latex(table: Table) -> str:
    """The table as a booktabs tabular, notes as comments."""
    heads = [*_FIXED, *(table.titles[column] for column in table.columns), "s/image"]
    lines = [
        "% \\usepackage{booktabs}",
        *(f"% {plain(note)}" for note in table.notes),
        rf"\begin{{tabular}}{{lll{'c' * len(table.columns)}r}}",
        r"\toprule",
        " & ".join(tex(head) for head in heads) + r" \\",
        r"\midrule",
    ]
    for line in table.lines:
        texts = [tex(line.title), tex(line.told), tex(line.training)]
        texts += [*(cell.translate(TEX_FLAGS) for cell in _cells(table, line, _LATEX)), f"{table.seconds[line]:.2f}"]
        lines.append(" & ".join(texts) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def terminal(table: Table) -> rich.table.Table:
    """The table for a terminal, as rich draws it."""
    from rich.markup import escape
    from rich.table import Table as Grid

    grid = Grid(caption=escape("\n".join(map(plain, table.notes))), caption_justify="left")
    for head in _FIXED:
        grid.add_column(head)
    for column in table.columns:
        grid.add_column(escape(plain(table.titles[column])), justify="center")
    grid.add_column("s/image", justify="right")
    for line in table.lines:
        seconds = f"{table.seconds[line]:.2f}"
        texts = (escape(plain(text)) for text in (line.title, line.told, line.training))
        grid.add_row(*texts, *_cells(table, line, _RICH), seconds)
    return grid


def terminal_beside(table: Table) -> rich.table.Table | None:
    """Measured and published values for a terminal; None where the paper has none."""
    from rich.markup import escape
    from rich.table import Table as Grid

    rows = beside_rows(table)
    if not rows:
        return None
    grid = Grid(*BESIDE_HEADS, title="Beside the paper", caption=BESIDE_NOTE, title_justify="left")
    for row in rows:
        grid.add_row(*(escape(plain(text)) for text in row))
    return grid


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
        about, protocol, key = cell.about, cell.identity["protocol"], cell.key
        told = "; ".join(about["told"])
        training_noise = about.get("training_record", {}).get("draws", "")
        for row in cell.rows.values():
            writer.writerow(
                (
                    show(about["text"]), show(protocol["noise"]), show(protocol["dataset"]), show(row.image),
                    row.repeat,
                    f"{row.psnr:.6f}", f"{row.ssim:.8f}", f"{row.seconds:.4f}",
                    "" if row.level is None else f"{row.level:.8g}",
                    "" if row.estimate is None else f"{row.estimate:.8g}",
                    row.steps or "", show(told), show(about["training"]), show(training_noise),
                    column_of(cell).protocol, key,
                )
            )  # fmt: skip
    return out.getvalue()


def _cells(table: Table, line: Line, marks: dict[str, str]) -> list[str]:
    return [_cell(table.scores.get((line, column)), marks) for column in table.columns]


def _cell(score: Score | None, marks: dict[str, str]) -> str:
    if score is None:
        return ""
    spread = f" ± {score.spread:.2f}" if score.trainings > 1 else ""
    psnr = marks[score.psnr_mark].format(f"{score.psnr:.2f}") + spread
    ssim = marks[score.ssim_mark].format(f"{score.ssim:.3f}")
    return f"{psnr}/{ssim}{flag_symbol(score)}"
