"""Where a difference comes from: ``denoisebench audit``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from denoisebench.commands.grouping import OptionGroup, grouped
from denoisebench.commands.making import load_plugins, make_filter
from denoisebench.commands.options import SourceOptions, WeightFolders
from denoisebench.commands.output import print_ledgers, resumable, say_all
from denoisebench.core.errors import Mistakes
from denoisebench.core.printing import line


@dataclass(frozen=True, kw_only=True, eq=False)
class CellOptions(OptionGroup):
    """Which cells of a run."""

    panel: ClassVar[str] = "What"

    methods: Annotated[str | None, typer.Option(help="Only these methods of the run; all if none is named.")] = None
    noise: Annotated[str | None, typer.Option("--noise", help="Only these noises of the run.")] = None
    datasets: Annotated[
        str | None, typer.Option(help="Only these test sets of the run; a folder of one's own by its path.")
    ] = None
    images: Annotated[str, typer.Option(help="Images per test set, the same for every detail, or all.")] = "4"


@dataclass(frozen=True, kw_only=True, eq=False)
class DetailOptions(OptionGroup):
    """Which details are toggled."""

    panel: ClassVar[str] = "Details"

    setting: Annotated[
        list[str] | None, typer.Option(help="Try this too: a setting that acts on a trained network, name=value.")
    ] = None
    detail: Annotated[
        list[str] | None, typer.Option(help="Only this line of the ledger: a detail, or detail=alternative.")
    ] = None
    retrain: Annotated[
        str | None, typer.Option(help="Train anew with the other training noise, another seed: noise,seed.")
    ] = None
    paper: Annotated[bool, typer.Option("--paper", help="Set the effects beside the gap to the paper.")] = False


@grouped
def audit(
    results: Annotated[Path, typer.Argument(help="A results folder.", metavar="RUN")],
    cells: CellOptions,
    details: DetailOptions,
    sources: SourceOptions,
    weights: WeightFolders = None,
    device: Annotated[
        str | None,
        typer.Option(help="auto, cpu, cuda or mps; that of the run if not given.", rich_help_panel="Execution"),
    ] = None,
) -> None:
    """Say what details of the protocol are worth in dB.

    Each is toggled on a finished run, one at a time.

    Scores are computed again from images denoised again; what is stored in audit/ is not computed twice.
    """
    from denoisebench.audit.measure import FOLDER
    from denoisebench.audit.measure import audit as audit_cells
    from denoisebench.audit.subject import subjects
    from denoisebench.audit.toggles import AuditRequest, parse_images, parse_retrain, parse_settings
    from denoisebench.core.memory import keep_freed_memory
    from denoisebench.core.progress import for_stderr
    from denoisebench.reports.ledger import write_ledgers
    from denoisebench.results.store import Store

    keep_freed_memory()
    load_plugins(sources.plugin)
    mistakes = Mistakes()
    choice = make_filter(cells.methods, cells.noise, cells.datasets, weights, device, sources, mistakes)
    order = AuditRequest(
        images=mistakes.read(None, parse_images, cells.images),
        settings=mistakes.read([], parse_settings, details.setting or []),
        retrain=mistakes.read([], parse_retrain, details.retrain),
        roots=choice.roots,
        details=details.detail or [],
    )
    mistakes.check()
    store = Store(results, create=False)
    with resumable(f"What was computed is in {results / FOLDER}"):
        found = audit_cells(store, subjects(store, choice), order, for_stderr())
    say_all(write_ledgers(found, results / FOLDER, details.paper))
    print_ledgers(found, details.paper)
    line("")
    line(f"audit.md, audit.csv and audit.tex: {results / FOLDER}")
    if found.failed:
        raise typer.Exit(1)
