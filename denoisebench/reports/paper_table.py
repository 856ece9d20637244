"""A published table in its own layout, with the measured values beside it.

Rows and columns are those of the publication, in its order: a line per noise and method (or variant), a column group
per test set. A cell that was not measured has no measured value; a published value never stands in for one.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from denoisebench.config import PaperPart
from denoisebench.errors import UserError
from denoisebench.reports.published import is_odd, names_of, rows_of
from denoisebench.results import StoredCell

#: Published digits have two decimals, and draws of noise differ by less than this over whole sets.
TOLERANCE = 0.1
LEGEND = (
    "PSNR in dB / SSIM. = within 0.1 dB of the paper, < below, > above. Blank: not measured, or not printed in the "
    "paper. The training of each measured line is stated: a short one explains a lower value."
)
CSV_COLUMNS = (
    "table", "noise", "method", "dataset", "paper_psnr", "paper_ssim", "flag", "ours", "training", "told", "images",
    "psnr", "ssim", "difference", "verdict", "protocol",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One cell: what is printed, and what was measured.

    Parameters
    ----------
    noise, method, dataset : as published
    psnr, ssim : as published; None where the paper prints no number
    flag : what is remarkable about the printed cell
    ours : the method that stands for it, as text
    measured : the stored cell, or None
    """

    noise: str
    method: str
    dataset: str
    psnr: float | None
    ssim: float | None
    flag: str
    ours: str
    measured: StoredCell | None

    @property
    def mean(self) -> tuple[float, float] | None:
        """Measured means of PSNR and SSIM."""
        if self.measured is None:
            return None
        rows = self.measured.rows.values()
        return fmean(row.psnr for row in rows), fmean(row.ssim for row in rows)

    @property
    def difference(self) -> float | None:
        """Measured minus published PSNR, from the digits that are printed."""
        mean = self.mean
        return None if mean is None or self.psnr is None else round(mean[0], 2) - self.psnr

    @property
    def verdict(self) -> str:
        """'=', '<' or '>', see `LEGEND`; '' where there is nothing to compare."""
        difference = self.difference
        if difference is None:
            return ""
        return "=" if abs(difference) <= TOLERANCE + 1e-9 else "<" if difference < 0 else ">"


@dataclass(frozen=True)
class PaperTable:
    """All entries of a published table, in its order, and the notes below it."""

    number: int
    title: str
    entries: Sequence[Entry]
    notes: Sequence[str]


def paper_table(part: PaperPart, title: str, cells: Sequence[StoredCell], notes: Sequence[str] = ()) -> PaperTable:
    """Set stored cells beside a published table.

    Parameters
    ----------
    part : which table, and its variants
    title : heading
    cells : measurements; of several for one entry the newest counts
    notes : sentences to add below
    """
    newest: dict[tuple[str, str, str], StoredCell] = {}
    for cell in sorted(cells, key=lambda cell: str(cell.about["written"])):
        protocol = cell.identity["protocol"]
        newest[cell.about["text"], protocol["noise"], protocol["dataset"]] = cell
    found = []
    for row in rows_of(f"table{part.table}.csv"):
        method = row["variant"] if part.variants else row["method"]
        measured, ours = _measured(part, row, method, newest)
        psnr, ssim = (float(row[key]) if row[key] else None for key in ("psnr", "ssim"))
        found.append(Entry(row["noise"], method, row["dataset"], psnr, ssim, row["flag"], ours, measured))
    unknown_variants = set(part.variants) - {entry.method for entry in found}
    if unknown_variants:
        raise UserError(f"Table {part.table} has no variant {', '.join(sorted(unknown_variants))}.")
    return PaperTable(part.table, title, found, notes)


def _measured(
    part: PaperPart, row: Mapping[str, str], method: str, cells: Mapping[tuple[str, str, str], StoredCell]
) -> tuple[StoredCell | None, str]:
    """The cell of a printed row, and the text of its method; settings may differ if only one such cell was measured."""
    texts = [part.variants[method]] if method in part.variants else names_of("method", row.get("method", ""))
    for noise in names_of("noise", row["noise"]):
        for dataset in names_of("dataset", row["dataset"]):
            for text in texts:
                if (text, noise, dataset) in cells:
                    return cells[text, noise, dataset], text
            bare = [key for key in cells if key[0].partition("[")[0] in texts and key[1:] == (noise, dataset)]
            if not part.variants and len(bare) == 1:
                return cells[bare[0]], bare[0][0]
    return None, ", ".join(texts)


def grid(table: PaperTable) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the layout."""
    datasets = list(dict.fromkeys(entry.dataset for entry in table.entries))
    heads = ["Noise", "Method", *(f"{name} {what}" for name in datasets for what in ("paper", "measured", "diff"))]
    lines: dict[tuple[str, str], dict[str, Entry]] = {}
    for entry in table.entries:
        lines.setdefault((entry.noise, entry.method), {})[entry.dataset] = entry
    rows = []
    for (noise, method), entries in lines.items():
        ours = {entry.ours for entry in entries.values() if entry.measured is not None and "[" in entry.ours}
        row = [_noise_title(noise), " ".join([method, *(f"({text})" for text in sorted(ours))])]
        for name in datasets:
            row += _texts(entries.get(name))
        trainings = {e.measured.about["training"] or "none" for e in entries.values() if e.measured is not None}
        rows.append([*row, "; ".join(sorted(trainings))])
    return [*heads, "Training"], rows


def _texts(entry: Entry | None) -> list[str]:
    if entry is None:
        return ["", "", ""]
    paper = "" if entry.psnr is None else f"{entry.psnr:.2f}/{entry.ssim:.3f}" + ("*" if is_odd(entry.flag) else "")
    if entry.mean is None:
        return [paper, "", ""]
    difference = "" if entry.difference is None else f"{entry.difference:+.2f} {entry.verdict}"
    return [paper, f"{entry.mean[0]:.2f}/{entry.mean[1]:.3f}", difference]


def _noise_title(noise: str) -> str:
    from denoisebench.noise import parse_noise

    ours = names_of("noise", noise)
    return parse_noise(ours[0]).title if ours else noise


def notes_of(table: PaperTable) -> list[str]:
    """Everything to be said below a table."""
    told = [LEGEND]
    odd = [entry for entry in table.entries if is_odd(entry.flag)]
    told += [f"* {entry.method}, {entry.dataset}, {_noise_title(entry.noise)}: {entry.flag}" for entry in odd]
    protocols: dict[str, set[str]] = {}
    for entry in table.entries:
        if entry.measured is not None:
            protocol = entry.measured.identity["protocol"]
            text = f"{len(entry.measured.rows)} images, draws {protocol['draws']}, padding {protocol['padding']}"
            protocols.setdefault(protocol["dataset"], set()).add(text)
    told += [f"{name}: {' or '.join(sorted(texts))}" for name, texts in protocols.items()]
    return [*told, *table.notes]


def markdown(table: PaperTable) -> str:
    """The layout as Markdown."""
    from tabulate import tabulate

    heads, rows = grid(table)
    text = tabulate(rows, heads, tablefmt="github", disable_numparse=True)
    notes = "\n".join(f"- {note}" for note in notes_of(table))
    return f"## {table.title}\n\n{text}\n\n{notes}\n"


def latex(table: PaperTable) -> str:
    """The layout as a booktabs tabular: a rule between noises."""
    from denoisebench.reports.render import tex

    heads, rows = grid(table)
    lines = ["% \\usepackage{booktabs}", f"% {table.title}", *(f"% {note}" for note in notes_of(table))]
    lines += [rf"\begin{{tabular}}{{ll{'c' * (len(heads) - 3)}l}}", r"\toprule"]
    lines += [" & ".join(map(tex, heads)) + r" \\"]
    last = None
    for row in rows:
        if row[0] != last:
            lines.append(r"\midrule")
        shown = [row[0] if row[0] != last else "", *row[1:]]
        lines.append(" & ".join(map(tex, shown)) + r" \\")
        last = row[0]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def csv_text(table: PaperTable) -> str:
    """One line per entry; empty where nothing was printed or measured."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for entry in table.entries:
        cell, mean = entry.measured, entry.mean
        measured = ["", "", "", "", "", "", "", ""]
        if cell is not None and mean is not None:
            difference = "" if entry.difference is None else f"{entry.difference:.2f}"
            measured = [
                cell.about["training"], "; ".join(cell.about["told"]), str(len(cell.rows)), f"{mean[0]:.4f}",
                f"{mean[1]:.5f}", difference, entry.verdict, cell.about["protocol"],
            ]  # fmt: skip
        paper = ["" if value is None else value for value in (entry.psnr, entry.ssim)]
        place = [table.number, entry.noise, entry.method, entry.dataset]
        writer.writerow([*place, *paper, entry.flag, entry.ours, *measured])
    return out.getvalue()
