"""Ledgers of an audit as Markdown, LaTeX, CSV and text for a terminal, and beside the paper's value."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from denoisebench.audit.measure import Audit, Change, Effect, Ledger
from denoisebench.core.ownfiles import write_own
from denoisebench.core.text import counted, plain
from denoisebench.plugins.identity import is_registered_cell
from denoisebench.reports import writers
from denoisebench.reports.grid import Block, Grid, Head, Row, cell_of
from denoisebench.reports.markup import csv_text as quoted
from denoisebench.reports.markup import md
from denoisebench.reports.paper.published import Key, Value, published

if TYPE_CHECKING:
    from rich.console import RenderableType

HEADS = (
    Head("Detail"), Head("As run"), Head("Alternative"), Head("dB", "r"), Head("SSIM", "r"), Head("Images", "r"),
    Head("How"), Head("s", "r"),
)  # fmt: skip
PAPER_HEADS = (Head("Detail"), Head("Alternative"), Head("dB", "r"), Head("SSIM", "r"), Head("Paper does so"))
COLUMNS = (
    "method", "noise", "dataset", "detail", "run", "alternative", "source", "psnr", "psnr_interval", "ssim",
    "ssim_interval", "images", "how", "seconds", "note", "cell",
)  # fmt: skip
LEGEND = (
    "Alternative minus as run: mean over the same images, and half the 95 % interval of that mean (paired, Student's "
    "t). One detail at a time, the noise the same unless the line says otherwise; effects need not add up."
)


def write_ledgers(audit: Audit, folder: Path, paper: bool) -> list[str]:
    """Write audit.md, audit.csv and audit.tex into a folder; see `write_own` for what is returned."""
    texts = {"audit.md": markdown(audit, paper), "audit.csv": csv_text(audit), "audit.tex": latex(audit)}
    return write_own(folder, {name: text.encode() for name, text in texts.items()})


def markdown(audit: Audit, paper: bool = False) -> str:
    """All ledgers in Markdown, with their notes."""
    failed = "".join(f"\nFAILED: {md(title)}: {md(reason)}" for title, reason in audit.failed)
    return "\n".join(map(writers.markdown, grids(audit, paper))) + f"\n{LEGEND}\n{failed}" + "\n" * bool(failed)


def grids(audit: Audit, paper: bool = False) -> list[Grid]:
    """A table per ledger, and one beside the paper's value if that is asked for."""
    found = []
    for ledger in audit.ledgers:
        title = cell_of(ledger.subject.title)
        body = [Row([cell_of(text) for text in row]) for row in rows(ledger)]
        found.append(Grid(title, [Block(HEADS, body)], notes=[cell_of(note) for note in notes_of(ledger)]))
        if paper:
            lines, said = beside_paper(ledger)
            body = [Row([cell_of(text) for text in row]) for row in lines]
            blocks = [Block(PAPER_HEADS, body)] if body else []
            found.append(Grid(cell_of("Beside the paper"), blocks, notes=[cell_of(text) for text in said]))
    return found


def rows(ledger: Ledger) -> list[list[str]]:
    """Texts of `HEADS`, line by line."""
    return [_row(effect) for effect in ledger.effects]


def _row(effect: Effect) -> list[str]:
    how = ", ".join(text for text in (effect.how, effect.note) if text)
    return [
        effect.detail, effect.run, effect.alternative, change_text(effect.psnr, 3), change_text(effect.ssim, 4),
        effect.images, how, f"{effect.seconds:.1f}" if effect.how else "",
    ]  # fmt: skip


def change_text(change: Change | None, digits: int) -> str:
    """A difference with its sign and interval; 0 where nothing changed at all."""
    if change is None:
        return ""
    if change.mean == 0 and not change.half:
        return "0"
    interval = "" if change.half is None else f" ± {_digits(change.half, digits)}"
    return f"{'+' if change.mean >= 0 else '-'}{_digits(abs(change.mean), digits)}{interval}"


def _digits(value: float, digits: int) -> str:
    """So many decimals, or the power of ten of what would be all zeros."""
    return f"{value:.{digits}f}" if value == 0 or value >= 0.5 * 10**-digits else f"{value:.0e}"


def notes_of(ledger: Ledger) -> list[str]:
    """Sentences below a ledger."""
    subject = ledger.subject
    images = counted(ledger.rows, "scored image")
    notes = [f"Stored: {ledger.psnr:.2f} dB / {ledger.ssim:.3f}, {images}; {_training(ledger)}."]
    if ledger.perfect:
        notes.append(f"{ledger.perfect} of {ledger.rows} stored images equal their reference and are in no mean of dB.")
    if ledger.redraw is not None:
        notes.append(
            f"Yardstick: another draw of the noise moves the mean of "
            f"{counted(int(ledger.effects[0].images), 'image')} by {ledger.redraw:.3f} dB (one standard deviation)."
        )
    notes += [f"WARNING: {change}." for change in subject.changes]
    if not ledger.reproduced:
        notes.append("WARNING: the run's own scores were not reproduced; effects are against those computed again.")
    return notes


def _mean(change: Change | None) -> float:
    return change.mean if change else 0.0


def _training(ledger: Ledger) -> str:
    return str(ledger.subject.stored.about["training"]) or "no training"


def paper_value(ledger: Ledger) -> Value | None:
    """What the paper prints for this method, noise and test set, or None."""
    subject = ledger.subject
    if not is_registered_cell(subject.stored):
        return None
    return published().get(Key(subject.method.text, subject.noise.id, subject.dataset.name))


def beside_paper(ledger: Ledger) -> tuple[list[list[str]], list[str]]:
    """Effects in order of size, and sentences about the gap to the paper; no lines where the paper has no value."""
    paper = paper_value(ledger)
    if paper is None:
        return [], ["The paper has no value for this method, noise and test set."]
    if not math.isfinite(ledger.psnr):
        return [], ["Every image equals its reference, so there is no gap to the paper's value."]
    gap = paper.psnr - ledger.psnr
    measured = [effect for effect in ledger.effects[1:] if _mean(effect.psnr) or _mean(effect.ssim)]
    measured.sort(key=lambda effect: -abs(_mean(effect.psnr)))
    lines = [
        [e.detail, e.alternative, change_text(e.psnr, 3), change_text(e.ssim, 4), e.paper] for e in measured
    ]  # fmt: skip
    # Of several alternatives to one detail at most one can be the paper's.
    known = {e.detail: _mean(e.psnr) for e in measured if e.paper == "yes"}
    sign = 1 if gap > 0 else -1
    best: dict[str, float] = {}
    for effect in measured:
        if effect.paper == "open":
            best[effect.detail] = max(best.get(effect.detail, 0.0), sign * _mean(effect.psnr))
    most = sum(best.values())
    left = abs(gap) - max(0.0, sign * sum(known.values())) - most
    said = [
        f"Measured {ledger.psnr:.2f} dB / {ledger.ssim:.3f}, paper {paper.psnr:.2f} / {paper.ssim:.3f}"
        f"{' (odd: ' + paper.flag + ')' if paper.odd else ''}: a gap of {gap:+.2f} dB / "
        f"{paper.ssim - ledger.ssim:+.3f}.",
        f"Where the paper's released tests do otherwise than the run, their way gives {sum(known.values()):+.3f} dB. "
        f"Details on which paper and code are not clear give at most {most:.3f} dB towards the paper.",
    ]
    if left > 0:
        trained = f"the training ({_training(ledger)}) and " if ledger.subject.stored.about["training"] else ""
        said.append(
            f"So at least {left:.2f} dB of {abs(gap):.2f} come from no detail marked yes or open: what is left is "
            f"{trained}the method itself{_as_large(measured, sign * left)}."
        )
    absent = [f"{e.detail} ({e.alternative}): {e.note}." for e in ledger.effects if e.note.startswith("not measured")]
    said += [" ".join(absent)] if absent else []
    return lines, said


def _as_large(measured: Sequence[Effect], left: float) -> str:
    """Where a detail that the paper's tests do not share would give half of what is left or more: which."""
    found = [e for e in measured if e.paper == "no" and _mean(e.psnr) / left >= 0.5]
    texts = [f"{e.detail}, {e.alternative} ({change_text(e.psnr, 3)} dB)" for e in found]
    return f", or one marked no after all, if the row was made otherwise: {'; '.join(texts)}" if texts else ""


def latex(audit: Audit) -> str:
    """One table per ledger."""
    return f"% {LEGEND}\n" + "\n".join(writers.write(grid, "latex") for grid in grids(audit))


def csv_text(audit: Audit) -> str:
    """One line per effect; empty where nothing was measured."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for ledger in audit.ledgers:
        subject = ledger.subject
        for effect in ledger.effects:
            psnr, ssim = _values(effect.psnr, 6), _values(effect.ssim, 8)
            writer.writerow(
                (
                    *map(quoted, (subject.stored.about["text"], subject.noise.id, subject.dataset.name)),
                    *map(quoted, (effect.detail, effect.run, effect.alternative, effect.source)),
                    *psnr, *ssim, effect.images, effect.how, f"{effect.seconds:.4f}" if effect.how else "",
                    quoted(effect.note), subject.stored.key,
                )
            )  # fmt: skip
    return out.getvalue()


def _values(change: Change | None, digits: int) -> tuple[str, str]:
    if change is None:
        return "", ""
    return f"{change.mean:.{digits}f}", "" if change.half is None else f"{change.half:.{digits}f}"


def terminal(audit: Audit, paper: bool = False) -> list[RenderableType]:
    """Everything for a terminal, as wide as that is."""
    from rich.markup import escape

    from denoisebench.reports.screen import Screen

    found: list[RenderableType] = []
    for grid in grids(audit, paper):
        found += [Screen(grid), ""]
    return [*found, LEGEND, *(escape(plain(f"FAILED: {title}: {reason}")) for title, reason in audit.failed)]
