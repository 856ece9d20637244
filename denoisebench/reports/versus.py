"""Paired differences to a reference as tables: one per column, with the groups that cannot be told apart."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence

from denoisebench.core.text import counted
from denoisebench.reports.grid import Block, Grid, Head, Row, cell_of
from denoisebench.reports.markup import csv_text as quoted
from denoisebench.reports.statistics import FEWEST, Difference, Group, Interval, alike, too_few
from denoisebench.results.summary import Column

HEADS = (
    Head("Method"),
    Head("dB", "r", "dB (95 % interval)", role="score", stack=True),
    Head("95 % interval", "c", "dB (95 % interval)", role="score", stack=True),
    Head("SSIM", "r", "SSIM (95 % interval)", role="score", stack=True),
    Head("95 % interval of SSIM", "c", "SSIM (95 % interval)", role="score", stack=True),
    Head("Images won", "r", role="score"),
    Head("p (Holm)", "r", role="score"),
    Head("Detectable", "c", role="score"),
)
CSV_COLUMNS = (
    "noise", "dataset", "protocol", "method", "training", "reference", "psnr", "psnr_low", "psnr_high", "ssim",
    "ssim_low", "ssim_high", "images", "rows", "trainings", "reference_trainings", "won", "p", "p_holm", "detectable",
)  # fmt: skip
# Every pair costs two intervals, some 30 ms on one core; of more pairs than this in all columns none is compared.
_MOST_PAIRS = 2000


def grids(differences: Sequence[Difference], groups: Mapping[Column, Sequence[Group]]) -> list[Grid]:
    """One table per reference and column.

    Parameters
    ----------
    differences : Sequence[Difference]
        Of `denoisebench.reports.statistics.against`.
    groups : Mapping[Column, Sequence[Group]]
        All lines of the columns, for those that cannot be told apart.
    """
    columns: dict[Column, list[Difference]] = {}
    for found in differences:
        columns.setdefault(found.one.column, []).append(found)
    tables = []
    sizes = [len(lines) + 1 for lines in columns.values()]
    paired = sum(size * (size - 1) // 2 for size in sizes) <= _MOST_PAIRS
    for column, lines in columns.items():
        lines = sorted(lines, key=lambda d: -d.psnr if math.isfinite(d.psnr) else math.inf)
        other = lines[0].other
        compared = {d.one.line for d in lines} | {other.line}
        members = [group for group in groups[column] if group.line in compared]
        tables.append(
            Grid(
                cell_of(f"{other.title}: minus {other.name}"),
                [Block(HEADS, [_row(d) for d in lines])],
                notes=[cell_of(note) for note in _notes(lines, members, paired)],
            )
        )
    return tables


def _row(found: Difference) -> Row:
    finite = math.isfinite(found.psnr)
    texts = [
        found.one.name,
        f"{found.psnr:+.2f}" if finite else "none",
        interval_text(found.psnr_interval, 2),
        f"{found.ssim:+.4f}",
        interval_text(found.ssim_interval, 4),
        f"{found.won * found.images:g} of {found.images}" if not found.left_out else f"{100 * found.won:.0f} %",
        p_text(found.p_holm),
        "yes" if found.detectable else "no",
    ]
    return Row([cell_of(text) for text in texts])


def csv_text(differences: Sequence[Difference]) -> str:
    """One line per difference, with more digits."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for d in differences:
        column = d.one.column
        ends = [
            [f"{end:.6f}" for end in interval] if interval else ["", ""]
            for interval in (d.psnr_interval, d.ssim_interval)
        ]
        texts = (
            column.noise,
            column.dataset,
            column.protocol,
            d.one.line.method,
            d.one.line.training,
            d.other.line.method,
        )
        psnr = f"{d.psnr:.6f}" if math.isfinite(d.psnr) else ""
        writer.writerow([
            *map(quoted, texts), psnr, *ends[0], f"{d.ssim:.8f}", *ends[1], d.images, d.rows, len(d.one.cells),
            len(d.other.cells), f"{d.won:.6f}", f"{d.p:.6g}", f"{d.p_holm:.6g}", int(d.detectable),
        ])  # fmt: skip
    return out.getvalue()


def interval_text(interval: Interval | None, digits: int) -> str:
    """An interval with its signs, or '' for none."""
    return "" if interval is None else f"{interval[0]:+.{digits}f} to {interval[1]:+.{digits}f}"


def p_text(p: float) -> str:
    """A p-value with two digits that count."""
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def _notes(lines: Sequence[Difference], members: Sequence[Group], paired: bool) -> list[str]:
    other = lines[0].other
    notes = [
        f"Paired with {other.name} on the same noisy images; {_counts(lines)}. Interval: bootstrap over images, "
        "repeats of an image kept together; p: Wilcoxon signed-rank over images, corrected by Holm for the lines above."
    ]
    trainings = sorted({len(group.cells) for d in lines for group in (d.one, d.other)})
    if trainings[-1] > 1:
        notes.append("Trainings from several seeds are a second level of the bootstrap; p is of their mean.")
        single = [g.name for g in members if len(g.cells) == 1 and g.line.training != "none"]
        if single:
            notes.append(f"Trained once, so its interval holds for that network: {', '.join(single)}.")
    elif any(group.line.training != "none" for group in members):
        notes.append("One training of each method: intervals hold for these networks, not for another training.")
    named = [", ".join(group.name for group in run) for run in alike(members)] if paired else []
    if not paired:
        notes.append("Other pairs are not compared, because there are so many here; name fewer methods or columns.")
    notes += [f"No detectable difference where every pair is compared: {names}." for names in named]
    if lines[0].images < FEWEST:
        notes.append(too_few(lines[0].images))
    notes += [
        f"{d.one.name}: {d.left_out} of {d.rows} rows equal their reference (infinite PSNR) and are in no dB here."
        for d in lines
        if d.left_out
    ]
    notes += [
        f"{d.one.name}: {counted(d.missing, 'row')} left out, which only one of the two has."
        for d in lines
        if d.missing
    ]
    twins = {d.other.line.training for d in lines} | {
        g.line.training for d in lines for g in (d.one,) if g.line.method == other.line.method
    }
    if len(twins) > 1:
        notes.append(f"{other.name} is here in several trainings; the reference is that of {other.line.training}.")
    return notes


def _counts(lines: Sequence[Difference]) -> str:
    images, rows = sorted({d.images for d in lines}), sorted({d.rows for d in lines})
    said = f"{_range(images)} image{'' if images == [1] else 's'}"
    return said if images == rows else f"{said}, {_range(rows)} noisy"


def _range(counts: Sequence[int]) -> str:
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
