"""Run methods on test sets: ``denoisebench run``, and what ``denoisebench table`` shares with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from denoisebench.commands.grouping import grouped, options_of
from denoisebench.commands.making import load_plugins, make_device, make_executor, make_experiment
from denoisebench.commands.noisy import noisy_request, run_noisy, split_noisy
from denoisebench.commands.options import (
    LimitedExecution,
    OutputOptions,
    ProtocolOptions,
    RunSelection,
    RunTraining,
    SourceOptions,
    TableOptions,
)
from denoisebench.commands.output import layout_of, print_paper_table, print_plan, print_table, resumable, say_all
from denoisebench.core.errors import Mistakes, UserError, unknown
from denoisebench.core.printing import line, message

if TYPE_CHECKING:
    from denoisebench.execution.runner import Outcome
    from denoisebench.experiment.cells import Experiment
    from denoisebench.experiment.file import ExperimentFile
    from denoisebench.reports.layout import Layout
    from denoisebench.results.store import Store

#: The groups of options of `run`.
GROUPS = (RunSelection, ProtocolOptions, RunTraining, LimitedExecution, SourceOptions, OutputOptions)
# Options that an experiment file cannot hold.
_FLAGS = ("plan", "literature")


def file_options() -> list[str]:
    """Names of the options that an experiment file can hold."""
    return [option.name for group in GROUPS for option in options_of(group) if option.name not in _FLAGS]


def read_config(context: typer.Context, value: Path | None) -> Path | None:
    """Make the options of an experiment file the defaults of the command line."""
    if value is not None:
        context.default_map = dict(experiment_file(value).options)
    return value


def experiment_file(path: Path) -> ExperimentFile:
    """An experiment file, read."""
    from denoisebench.experiment.file import read_experiment

    return read_experiment(path, file_options())


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        callback=read_config,
        is_eager=True,
        help="Experiment file (TOML); options win over it.",
        rich_help_panel=RunSelection.panel,
    ),
]


@grouped
def run(
    selection: RunSelection,
    protocol: ProtocolOptions,
    training: RunTraining,
    execution: LimitedExecution,
    sources: SourceOptions,
    output: OutputOptions,
    table: TableOptions,
    config: ConfigFile = None,
) -> None:
    """Run methods on test sets and print a table.

    Noise is synthetic, or real in data sets of captures. Learned methods use trained networks that fit; any option of
    training makes them train anew.
    """
    asked = None if config is None else experiment_file(config)
    measure(selection, protocol, training, execution, sources, output, table, asked)


def measure(
    selection: RunSelection,
    protocol: ProtocolOptions,
    training: RunTraining,
    execution: LimitedExecution,
    sources: SourceOptions,
    output: OutputOptions,
    table: TableOptions,
    asked: ExperimentFile | None,
) -> None:
    """Run an experiment and print its table, beside the published one if ``asked`` names one."""
    from denoisebench.core.memory import keep_freed_memory
    from denoisebench.core.progress import for_stderr
    from denoisebench.execution.runner import run as run_cells
    from denoisebench.results.store import Store

    keep_freed_memory()
    load_plugins(sources.plugin)
    mistakes = Mistakes()
    published = asked is not None and asked.paper is not None
    if output.literature and not published:
        mistakes.note(UserError("--literature goes with a table of the paper: denoisebench table N --literature."))
    layout = mistakes.read(None, layout_of, table)
    device = make_device(execution.device, mistakes)
    where = None if output.plan else make_executor(execution, device, mistakes)
    selection, noisy = split_noisy(selection, protocol, training, [execution, output, table], mistakes)
    if noisy:
        request = noisy_request(protocol, training, execution, sources, output, device, mistakes)
        run_noisy(noisy, selection, request, execution, sources, output, mistakes)
        if not selection.datasets:
            return
    experiment = make_experiment(selection, training, sources, device, mistakes, protocol, output, shipped=True)
    _check_names(layout, experiment, asked)
    if output.plan:
        print_plan(experiment, output.out)
        return
    absent: list[str] = []
    if published:
        experiment, absent = _present(experiment)
    say_all(text for dataset in experiment.datasets for text in dataset.advice.splitlines())
    store = Store(output.out)
    with resumable(f"What was computed is in {output.out}"):
        outcome = run_cells(experiment, store, for_stderr(), where)
    _show(outcome, absent, store, asked, output, table)


def _check_names(layout: Layout | None, experiment: Experiment, asked: ExperimentFile | None) -> None:
    """Refuse columns and labels that the table will not have, before anything is computed."""
    from denoisebench.reports.layout import INFO

    columns = [*INFO, *(noise.id for noise in experiment.noises), *(found.name for found in experiment.datasets)]
    methods = ["identity", *(text for method in experiment.methods for text in (method.text, method.name))]
    mistakes = Mistakes()
    if layout is not None and asked is not None and asked.paper is not None:
        from denoisebench.reports.paper.paper_table import check_columns

        mistakes.read(None, check_columns, asked.paper, layout, [found.name for found in experiment.datasets])
    else:
        for name in (layout.columns if layout else None) or ():
            if name not in columns:
                mistakes.note(unknown("column of this table", name, columns))
    for name in layout.labels if layout else ():
        if name not in methods:
            mistakes.note(unknown("method of this table", name, methods))
    mistakes.check()


def _show(
    outcome: Outcome,
    absent: list[str],
    store: Store,
    asked: ExperimentFile | None,
    output: OutputOptions,
    table: TableOptions,
) -> None:
    """Write and print what a run found; exit code 1 if something of it failed."""
    from denoisebench.reports.files import outdated, write_reports

    if outcome.cells or absent:
        notes = absent + outcome.notes
        paper = asked if asked is not None and asked.paper is not None else None
        if paper is None:
            print_table(outcome.cells, notes, table)
        else:
            print_paper_table(paper, outcome.cells, notes, store, output.literature, table)
        # After the table, which may have taken days and is shown even where nothing can be written.
        if outcome.cells and (outcome.computed or outdated(store)):
            say_all(write_reports(store)[1])
        if paper is None and table.form is None:
            line("")
            line(f"Scores, table.md and table.tex: {output.out}")
    if outcome.failed or not outcome.cells:
        for title, reason in [*outcome.failed, *outcome.skipped]:
            message(f"{title}: {reason}")
        raise typer.Exit(1)


def _present(experiment: Experiment) -> tuple[Experiment, list[str]]:
    """The experiment without the data sets that are not here, whose columns stay blank, and why each is not."""
    from denoisebench.data.dataset import MissingData

    present, reasons = [], []
    for dataset in experiment.datasets:
        try:
            dataset.verify()
            if not dataset.referenced:
                raise UserError("its references are not public; denoisebench submit writes the file for its server.")
            present.append(dataset)
        except MissingData as error:
            message(f"Not measured: {dataset.title}: {error}")
            reasons.append(
                f"Not measured: {dataset.title}: its data are not on this machine, see denoisebench data status "
                f"{dataset.name}"
            )
        except UserError as error:
            reasons.append(f"Not measured: {dataset.title}: {error}")
    return replace(experiment, datasets=present), reasons
