"""A published table in its own layout, with the measured values beside it.

Rows and columns are those of the publication, in its order: a line per noise and method (or variant), a column group
per test set. A cell that was not measured has no measured value; a published value never stands in for one.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from denoisebench.core.errors import UserError, unknown
from denoisebench.core.text import counted
from denoisebench.experiment.file import PaperPart
from denoisebench.plugins.identity import set_name
from denoisebench.reports import writers
from denoisebench.reports.grid import Block, Grid, Head, Row, Span, cell_of, footnote_letter
from denoisebench.reports.layout import Layout, score_spans, split_notes
from denoisebench.reports.paper.published import is_odd, literature, names_of, rows_of
from denoisebench.reports.stale import stale_notes
from denoisebench.results.store import StoredCell
from denoisebench.results.summary import (
    Column,
    Line,
    Score,
    column_of,
    contents_of_columns,
    current,
    flag_notes,
    flag_of,
    levels_text,
    line_of,
    noisy_cells,
    perfect_note,
    score_of,
    scoring_text,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

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
    """Entries of a published table, in its order, the notes below it, and a sentence on what is left out of it."""

    number: int
    title: str
    entries: Sequence[Entry]
    notes: Sequence[str]
    left_out: str = ""


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
    chosen = current(cells)[0]
    noisy, every = noisy_cells(chosen), contents_of_columns(chosen)
    for place, entry in enumerate(found):
        if entry.measured:
            column = column_of(entry.measured[0])
            found[place] = replace(entry, flagged=flag_of(entry.measured, noisy.get(column), every[column]))
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


def measured_part(table: PaperTable) -> PaperTable:
    """The lines and test sets of which anything was measured, and in one sentence which were not; all if nothing was.

    Values of other publications stay where their noise was measured.
    """
    measured = [entry for entry in table.entries if entry.measured]
    if not measured:
        return table
    noises, datasets = {entry.noise for entry in measured}, {entry.dataset for entry in measured}
    lines = {(entry.noise, entry.method, entry.evidence) for entry in measured}
    kept: list[Entry] = []
    dropped: list[Entry] = []
    for entry in table.entries:
        known = (entry.noise, entry.method, entry.evidence) in lines or (entry.evidence and entry.noise in noises)
        (kept if known and (entry.dataset in datasets or entry.evidence) else dropped).append(entry)
    parts = [name for name in _datasets(table) if name not in datasets]
    methods: dict[str, list[str]] = {}
    for entry in dropped:
        if (entry.noise, entry.method, entry.evidence) not in lines and not entry.evidence:
            methods.setdefault(entry.noise, []).append(entry.method)
    for noise, names in methods.items():
        names = list(dict.fromkeys(names))
        parts.append(_noise_title(noise) + (f" ({', '.join(names)})" if noise in noises else ""))
    left_out = f"Not measured, so left out: {'; '.join(parts)}." if parts else ""
    return replace(table, entries=kept, left_out=left_out)


def check_columns(part: PaperPart, layout: Layout, datasets: Collection[str]) -> None:
    """Refuse columns that the table of a run on some data sets will not have, before anything is computed.

    Raises
    ------
    UserError
        A column is none of the table's, or of a test set that is not measured.
    """
    table = paper_table(part, "", [])
    measured = [e for e in table.entries if {e.dataset, *names_of("dataset", e.dataset)} & set(datasets)]
    _chosen(replace(table, entries=measured or table.entries), layout, True)


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


def grid_of(table: PaperTable, layout: Layout | None = None, wide: bool = True) -> Grid:
    """The layout as a grid: a section per noise, for each test set the published and the measured value.

    Parameters
    ----------
    layout : Layout | None
        Names of methods as in the table or as on the command line, test sets by their published or registered names.
    wide : bool
        Whether the training of a line has a column, or is in the footnotes.
    """
    layout = layout or Layout()
    datasets, training = _chosen(table, layout, wide)
    lines: dict[tuple[str, str], dict[str, Entry]] = {}
    for entry in table.entries:
        if entry.dataset in datasets:
            mark = f" [{entry.evidence}]" if entry.evidence else ""
            lines.setdefault((entry.noise, entry.method + mark), {})[entry.dataset] = entry
    letters: dict[str, str] = {}
    rows = []
    for (noise, method), entries in lines.items():
        texts = [text for name in datasets for text in _texts(entries.get(name), layout.metric)]
        said = "; ".join(sorted({line_of(c).training for entry in entries.values() for c in entry.measured}))
        title = _title(method, list(entries.values()), layout)
        if said not in ("", "none") and not training:
            letter = letters.setdefault(said, footnote_letter(len(letters)))
            first = cell_of(title, Span(letter, "raised"))
        else:
            first = cell_of(title)
        rows.append(Row([first, *map(cell_of, texts), *([cell_of(said)] if training else [])], _noise_title(noise)))
    others = any(entry.evidence for entry in table.entries)
    parts = ("published" if others else "paper", "measured", "diff")
    heads = [
        Head("Method"),
        *(Head(part, "c", name, f"{name} {part}", "score", stack=True) for name in datasets for part in parts),
        *([Head("Training", role="info")] if training else []),
    ]
    notes = [cell_of(Span(letter, "raised"), f" trained {text}.") for text, letter in letters.items()]
    legend, *more = notes_of(table)
    footnotes, remarks = split_notes(more)
    legend += "" if wide else " Of two values above each other the upper is the published one."
    return Grid(
        cell_of(layout.caption or table.title), [Block(heads, rows)], "Noise",
        [*(cell_of(text) for text in (legend, table.left_out) if text), *notes, *footnotes], remarks,
    )  # fmt: skip


def _chosen(table: PaperTable, layout: Layout, wide: bool) -> tuple[list[str], bool]:
    """The test sets that are shown, and whether the training is."""
    datasets = _datasets(table)
    if layout.columns is None:
        return datasets, wide
    names = {name: dataset for dataset in datasets for name in (dataset, *names_of("dataset", dataset))}
    for name in layout.columns:
        if name != "training" and name not in names:
            raise unknown(f"column of table {table.number}", name, ["training", *names])
    wanted = {names[name] for name in layout.columns if name in names}
    return [name for name in datasets if not wanted or name in wanted], "training" in layout.columns


def _title(method: str, entries: Sequence[Entry], layout: Layout) -> str:
    """A published name, with our settings where it does not tell them; or the name that was asked for."""
    measured = [(entry, line_of(entry.measured[0])) for entry in entries if entry.measured]
    for name in (method, *(line.method for _, line in measured), *(line.name for _, line in measured)):
        if name in layout.labels:
            return layout.labels[name]
    # A published name does not tell our settings; other publications are there for comparison only.
    ours = {e.ours for e, line in measured if line.settings and e.method != line.title and not e.evidence}
    return " ".join([method, *(f"({text})" for text in sorted(ours))])


def _datasets(table: PaperTable) -> list[str]:
    """The test sets of the paper's table, in its order."""
    return list(dict.fromkeys(entry.dataset for entry in table.entries if not entry.evidence))


def _texts(entry: Entry | None, metric: str) -> list[str]:
    """What is printed of an entry: published, measured, difference."""
    if entry is None:
        return ["", "", ""]
    psnr, _, ssim = entry.printed.partition("/")
    printed = {"both": entry.printed, "psnr": psnr, "ssim": ssim}[metric]
    paper = printed + ("*" if is_odd(entry.flag) and not entry.evidence else "")
    if entry.score is None:
        return [paper, "", ""]
    measured = "".join(span.text for span in score_spans(entry.score, metric))
    difference = "" if entry.difference is None or metric == "ssim" else f"{entry.difference:+.2f} {entry.verdict}"
    return [paper, measured, difference]


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
        (e.method, f"{e.dataset}, {_noise_title(e.noise)}", e.score) for e in table.entries if e.score is not None
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
        text = (
            f"{counted(images, 'image')}{f' ({copies:,} noisy)' if copies > images else ''}, draws {protocol['draws']}"
        )
        text += f", padding {protocol['padding']}, {scoring_text(protocol)}"
        notes.setdefault(protocol["dataset"], {})[text] = None
        levels = levels_text(cell)
        if levels:
            notes.setdefault(f"{protocol['dataset']}, {noise.title}", {})[levels] = None
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


def text_of(table: PaperTable, form: str, layout: Layout | None = None, page: str = "page") -> str:
    """The layout in one of `denoisebench.reports.writers.FORMATS`."""
    form = writers.format_of(form)
    if form == "csv":
        return csv_text(table)
    if form in ("latex", "typst"):
        # These number a table themselves.
        title = table.title.removeprefix(f"Table {table.number}: ")
        table = replace(table, title=title[:1].upper() + title[1:])
    return writers.write(grid_of(table, layout, wide=form in ("markdown", "html")), form, page)


def terminal(table: PaperTable, layout: Layout | None = None) -> RenderableType:
    """The layout for a terminal, as wide as that is."""
    from denoisebench.reports.screen import Screen

    return Screen(grid_of(table, layout, wide=False))


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
