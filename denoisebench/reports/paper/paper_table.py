"""A published table in its own layout, with the measured values beside it.

Rows and columns are those of the publication, in its order: a line per noise and method (or variant), a column group
per test set. A cell that was not measured has no measured value; a published value never stands in for one.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from denoisebench.core.errors import UserError
from denoisebench.core.text import plain
from denoisebench.experiment.file import PaperPart
from denoisebench.plugins.identity import set_name
from denoisebench.reports.paper.published import is_odd, literature, names_of, rows_of
from denoisebench.reports.stale import stale_notes
from denoisebench.results.store import StoredCell
from denoisebench.results.summary import (
    Column,
    Line,
    Score,
    column_of,
    current,
    flag_notes,
    flag_of,
    flag_symbol,
    line_of,
    noisy_cells,
    perfect_note,
    score_of,
    scoring_text,
)

if TYPE_CHECKING:
    import rich.table

#: Published digits have two decimals, and draws of noise differ by less than this over whole sets.
TOLERANCE = 0.1
LEGEND = (
    "PSNR in dB / SSIM. = within 0.1 dB of the paper, < below, > above. Blank: not measured, or not printed in the "
    "paper. The training of each measured line is stated: a short one explains a lower value."
)
#: What a reader of a row must know that its name does not say, by table.
_ROW_NOTES = {
    3: {
        "BM3D": "each of the four planes on its own, sigma estimated.",
        "Laine19": "noise model assumed, level learned; mu is the mean of the prior of the same network.",
    },
    4: {
        "BM3D": "between a generalised Anscombe transform and its inverse, as in the benchmark of the data set; "
        "whether the paper's row was taken from there or measured anew is not stated.",
        "Laine19": "noise model assumed, level learned; mu is the mean of the prior of the same network.",
    },
}
_Measured = dict[tuple[str, str, str], list[StoredCell]]
CSV_COLUMNS = (
    "table", "noise", "method", "dataset", "paper_psnr", "paper_ssim", "flag", "ours", "training", "told", "images",
    "trainings", "psnr", "psnr_spread", "ssim", "difference", "verdict", "protocol", "evidence", "source",
)  # fmt: skip
LITERATURE_LEGEND = (
    "[V] and [2] are values of other publications under this protocol: V was read in a primary document, 2 only in a "
    "secondary one and is no more than a hint. None of them was measured here, and no verdict is passed on them."
)


@dataclass(frozen=True)
class Entry:
    """One cell: what is printed, and what was measured.

    Parameters
    ----------
    noise, method, dataset : str
        As published.
    psnr, ssim : float | None
        As published; None where the paper prints no number.
    flag : str
        What is remarkable about the printed cell.
    ours : str
        The method that stands for it, as text.
    measured : Sequence[StoredCell]
        The stored cells, one of each training; empty if there is none.
    printed : str
        The published digits.
    evidence, source : str
        Of a value that is not the paper's own.
    flagged : str
        See `Score.flag`.
    """

    noise: str
    method: str
    dataset: str
    psnr: float | None
    ssim: float | None
    flag: str
    ours: str
    measured: Sequence[StoredCell]
    printed: str = ""
    evidence: str = ""
    source: str = ""
    flagged: str = ""

    @property
    def score(self) -> Score | None:
        """Measured means of PSNR and SSIM."""
        return replace(score_of(self.measured), flag=self.flagged) if self.measured else None

    @property
    def difference(self) -> float | None:
        """Measured minus published PSNR, from the digits that are printed; None beside other literature."""
        score = self.score
        return None if score is None or self.psnr is None or self.evidence else round(score.psnr, 2) - self.psnr

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


def paper_table(
    part: PaperPart,
    title: str,
    cells: Sequence[StoredCell],
    notes: Sequence[str] = (),
    with_literature: bool = False,
) -> PaperTable:
    """Set stored cells beside a published table.

    Parameters
    ----------
    part : PaperPart
        Which table, and its variants.
    title : str
        Heading.
    cells : Sequence[StoredCell]
        Measurements; of several for one entry the newest counts, with other trainings of its kind.
    notes : Sequence[str]
        Sentences to add below.
    with_literature : bool
        Add the values of other publications under the same protocol, after the paper's of each noise.
    """
    newest = _newest(cells)
    found = _entries(part, rows_of(f"table{part.table}.csv"), newest)
    if with_literature:
        found += _entries(part, literature(part.table), newest)
    added, outside = _others(found, newest)
    found += added
    noisy = noisy_cells(current(cells)[0])
    found = [
        replace(e, flagged=flag_of(e.measured, noisy.get(column_of(e.measured[0])))) if e.measured else e for e in found
    ]
    noises = list(dict.fromkeys(entry.noise for entry in found))
    found.sort(key=lambda entry: noises.index(entry.noise))
    unknown_variants = set(part.variants) - {entry.method for entry in found}
    if unknown_variants:
        raise UserError(f"Table {part.table} has no variant {', '.join(sorted(unknown_variants))}.")
    said = []
    if added:
        said.append(f"Not in the paper: {', '.join(dict.fromkeys(entry.method for entry in added))}")
    if outside:
        said.append(f"Measured, but no column or line of this table: {'; '.join(outside)}")
    return PaperTable(part.table, title, found, [*said, *notes])


def _newest(cells: Sequence[StoredCell]) -> _Measured:
    """By method with settings, noise and data set: the newest cell with those of the other seeds of its training."""
    newest: _Measured = {}
    kinds: dict[tuple[Line, Column], list[StoredCell]] = {}
    for cell in sorted(current(cells)[0], key=lambda cell: str(cell.about["written"])):
        kind = kinds.setdefault((line_of(cell), column_of(cell)), [])
        kind.append(cell)
        newest[_place(cell)] = kind
    return newest


def _place(cell: StoredCell) -> tuple[str, str, str]:
    return cell.about["text"], cell.identity["protocol"]["noise"], set_name(cell)


def _entries(part: PaperPart, rows: Sequence[Mapping[str, str]], newest: _Measured) -> list[Entry]:
    """Published rows, of the paper or of other literature, with what was measured of them."""
    found = []
    for row in rows:
        method = row["variant"] if part.variants else row["method"]
        measured, ours = _measured(part, row, method, newest)
        psnr, ssim = (float(row[key]) if row[key] else None for key in ("psnr", "ssim"))
        printed = "/".join(row[key] for key in ("psnr", "ssim") if row[key])
        evidence, source = (row.get(key, "") for key in ("evidence", "source"))
        source = "; ".join([source, *([row["network"]] if evidence and row["network"] else [])])
        found.append(
            Entry(
                row["noise"], method, row["dataset"], psnr, ssim, row["flag"], ours, measured, printed, evidence, source
            )
        )
    return found


def _others(entries: Sequence[Entry], newest: _Measured) -> tuple[list[Entry], list[str]]:
    """Lines for methods that the paper does not have, in its columns, and the names of what is not in the layout."""
    used = {_place(cell) for entry in entries for cell in entry.measured}
    columns: dict[tuple[str, str], Entry] = {}
    for entry in (entry for entry in entries if not entry.evidence):
        for noise in names_of("noise", entry.noise):
            columns |= {(noise, dataset): entry for dataset in names_of("dataset", entry.dataset)}
    taken = {(entry.noise, entry.dataset, entry.ours) for entry in entries if entry.measured}
    added, outside = [], []
    for place, kind in newest.items():
        text, noise, dataset = place
        column, title = columns.get((noise, dataset)), line_of(kind[0]).title
        if place in used:
            continue
        if column is None or (column.noise, column.dataset, text) in taken:
            outside.append(f"{title}, {noise}, {dataset}")
        else:
            added.append(Entry(column.noise, title, column.dataset, None, None, "", text, kind))
    return added, outside


def _measured(
    part: PaperPart, row: Mapping[str, str], method: str, cells: _Measured
) -> tuple[Sequence[StoredCell], str]:
    """The cells of a printed row, and its method; with other settings it is another method, below the paper's."""
    named = names_of("method", row.get("method", ""), row["table"])
    texts = [part.variants[method]] if method in part.variants else named
    for noise in names_of("noise", row["noise"]):
        for dataset in names_of("dataset", row["dataset"]):
            for text in texts:
                if (text, noise, dataset) in cells:
                    return cells[text, noise, dataset], text
    return (), ", ".join(texts)


def grid(table: PaperTable) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the layout."""
    datasets = _datasets(table)
    others = any(entry.evidence for entry in table.entries)
    parts = ("published" if others else "paper", "measured", "diff")
    heads = ["Noise", "Method", *(f"{name} {what}" for name in datasets for what in parts)]
    lines: dict[tuple[str, str], dict[str, Entry]] = {}
    for entry in table.entries:
        if entry.dataset in datasets:
            mark = f" [{entry.evidence}]" if entry.evidence else ""
            lines.setdefault((entry.noise, entry.method + mark), {})[entry.dataset] = entry
    rows = []
    for (noise, method), entries in lines.items():
        measured = [(entry, line_of(entry.measured[0])) for entry in entries.values() if entry.measured]
        # A published name does not tell our settings; other publications are there for comparison only.
        ours = {e.ours for e, line in measured if line.settings and e.method != line.title and not e.evidence}
        row = [_noise_title(noise), " ".join([method, *(f"({text})" for text in sorted(ours))])]
        for name in datasets:
            row += _texts(entries.get(name))
        trainings = {line_of(cell).training for entry in entries.values() for cell in entry.measured}
        rows.append([*row, "; ".join(sorted(trainings))])
    return [*heads, "Training"], rows


def _datasets(table: PaperTable) -> list[str]:
    """The test sets of the paper's table, in its order."""
    return list(dict.fromkeys(entry.dataset for entry in table.entries if not entry.evidence))


def _texts(entry: Entry | None) -> list[str]:
    if entry is None:
        return ["", "", ""]
    paper = entry.printed + ("*" if is_odd(entry.flag) and not entry.evidence else "")
    if entry.score is None:
        return [paper, "", ""]
    spread = f" ± {entry.score.spread:.2f}" if entry.score.trainings > 1 else ""
    difference = "" if entry.difference is None else f"{entry.difference:+.2f} {entry.verdict}"
    return [paper, f"{entry.score.psnr:.2f}{spread}/{entry.score.ssim:.3f}{flag_symbol(entry.score)}", difference]


def _noise_title(noise: str) -> str:
    from denoisebench.protocol.noise import parse_noise

    ours = names_of("noise", noise)
    return parse_noise(ours[0]).title if ours else noise


def notes_of(table: PaperTable) -> list[str]:
    """Everything to be said below a table."""
    told = [LEGEND]
    told += [f"{name}: {text}" for name, text in _ROW_NOTES.get(table.number, {}).items()]
    odd: dict[tuple[str, str, str], list[str]] = {}
    for entry in table.entries:
        if is_odd(entry.flag) and not entry.evidence:
            odd.setdefault((entry.method, entry.noise, entry.flag), []).append(entry.dataset)
    told += [
        f"* {method}, {', '.join(datasets)}, {_noise_title(noise)}: {flag}"
        for (method, noise, flag), datasets in odd.items()
    ]
    told += _literature_notes(table)
    told += _protocol_notes(table)
    told += stale_notes(cell for entry in table.entries for cell in entry.measured)
    several = sorted({entry.score.trainings for entry in table.entries if entry.score is not None} - {1})
    if several:
        count = " or ".join(map(str, several))
        told.append(f"± is the standard deviation over {count} trainings that differ in their seed")
    told += flag_notes(
        (f"{e.method} on {e.dataset}, {_noise_title(e.noise)}", e.score) for e in table.entries if e.score is not None
    )
    scores = [(entry, entry.score) for entry in table.entries if entry.score is not None]
    told += filter(None, (perfect_note(f"{e.method}, {e.dataset}, {_noise_title(e.noise)}", s) for e, s in scores))
    return [*told, *table.notes]


def _protocol_notes(table: PaperTable) -> list[str]:
    """How each test set was measured, and which levels were drawn where a noise has a range of them."""
    from denoisebench.protocol.noise import parse_noise

    notes: dict[str, dict[str, None]] = {}
    for cell in (cell for entry in table.entries for cell in entry.measured):
        protocol = cell.identity["protocol"]
        try:
            noise = parse_noise(protocol["noise"])
        except UserError:  # of a version to come, or of a stranger
            continue
        images, copies = len({image for image, _ in cell.rows}), len(cell.rows)
        text = f"{images} images{f' ({copies:,} noisy)' if copies > images else ''}, draws {protocol['draws']}"
        text += f", padding {protocol['padding']}, {scoring_text(protocol)}"
        notes.setdefault(protocol["dataset"], {})[text] = None
        levels = [row.level for row in cell.rows.values() if row.level is not None]
        if noise.ranged and not noise.real and levels:
            mean = sum(levels) / len(levels) * (255.0 if noise.family == "gauss" else 1.0)
            middle = (noise.low + noise.high) / 2
            text = f"{len(levels):,} levels drawn, their mean {mean:.1f}, that of the range {middle:.1f}"
            notes.setdefault(f"{protocol['dataset']}, {noise.title}", {})[text] = None
    return [f"{place}: {' or '.join(texts)}" for place, texts in notes.items()]


def _literature_notes(table: PaperTable) -> list[str]:
    """What the evidence marks mean, where each value is from, and those of other test sets."""
    entries = [entry for entry in table.entries if entry.evidence]
    if not entries:
        return []
    sources: dict[tuple[str, str, str], list[str]] = {}
    for entry in entries:
        methods = sources.setdefault((entry.evidence, entry.source, entry.flag), [])
        methods += [entry.method] * (entry.method not in methods)
    notes = [LITERATURE_LEGEND]
    notes += [
        f"[{evidence}] {'; '.join(methods)}: {source}{f' ({flag})' if flag else ''}"
        for (evidence, source, flag), methods in sources.items()
    ]
    other: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        if entry.dataset not in _datasets(table):
            other.setdefault((entry.dataset, entry.noise), []).append(
                f"{entry.method} [{entry.evidence}] {entry.printed}"
            )
    notes += [
        f"{dataset}, {_noise_title(noise)}, no column of this table: {'; '.join(texts)}"
        for (dataset, noise), texts in other.items()
    ]
    return notes


def markdown(table: PaperTable) -> str:
    """The layout as Markdown."""
    from tabulate import tabulate

    from denoisebench.reports.markup import md

    heads, rows = grid(table)
    heads = [md(head) for head in heads]
    # What lies between is our own: numbers and their marks.
    rows = [[md(row[0]), md(row[1]), *row[2:-1], md(row[-1])] for row in rows]
    text = tabulate(rows, heads, tablefmt="github", disable_numparse=True)
    notes = "\n".join(f"- {md(note)}" for note in notes_of(table))
    return f"## {md(table.title)}\n\n{text}\n\n{notes}\n"


def terminal(table: PaperTable) -> rich.table.Table:
    """The layout for a terminal: a section per noise, in each cell the published value above the measured one."""
    from rich.markup import escape
    from rich.table import Table as Grid

    heads, rows = grid(table)
    rows = [[plain(text) for text in row] for row in rows]
    datasets = _datasets(table)
    notes = escape("\n".join(map(plain, notes_of(table))))
    title = escape(plain(f"{table.title} (published above, measured below)"))
    view = Grid(title=title, caption=notes, title_justify="left", caption_justify="left")
    for head in (heads[0], heads[1], *datasets, heads[-1]):
        view.add_column(escape(head), no_wrap=head in datasets)
    last = None
    for row in rows:
        if last not in (None, row[0]):
            view.add_section()
        cells = []
        for place in range(2, len(row) - 1, 3):
            published, measured, difference = map(escape, row[place : place + 3])
            cells.append(f"{published}\n[bold]{measured}[/bold] {difference}" if measured else published)
        view.add_row(escape(row[0]) if row[0] != last else "", escape(row[1]), *cells, escape(row[-1]))
        last = row[0]
    return view


def latex(table: PaperTable) -> str:
    """The layout as a booktabs tabular: a rule between noises."""
    from denoisebench.reports.markup import tex

    heads, rows = grid(table)
    lines = ["% \\usepackage{booktabs}", f"% {plain(table.title)}", *(f"% {plain(note)}" for note in notes_of(table))]
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
    from denoisebench.reports.markup import csv_text as quoted

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for entry in table.entries:
        score = entry.score
        measured = [""] * 10
        if score is not None:
            cell = entry.measured[0]
            difference = "" if entry.difference is None else f"{entry.difference:.2f}"
            measured = [
                quoted(line_of(cell).training), quoted("; ".join(cell.about["told"])), str(score.rows),
                str(score.trainings),
                f"{score.psnr:.4f}", f"{score.spread:.4f}" if score.trainings > 1 else "", f"{score.ssim:.5f}",
                difference, entry.verdict, column_of(cell).protocol,
            ]  # fmt: skip
        paper = ["" if value is None else value for value in (entry.psnr, entry.ssim)]
        place = [table.number, *map(quoted, (entry.noise, entry.method, entry.dataset))]
        texts = map(quoted, (entry.flag, entry.ours)), map(quoted, (entry.evidence, entry.source))
        writer.writerow([*place, *paper, *texts[0], *measured, *texts[1]])
    return out.getvalue()
