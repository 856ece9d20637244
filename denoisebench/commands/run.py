"""Run methods on test sets: ``denoisebench run``."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from denoisebench.commands.options import (
    DEFAULT_OUT,
    Address,
    Batch,
    BudgetText,
    ConfigFile,
    Crop,
    DataRoot,
    Datasets,
    Device,
    Devices,
    ExecutorName,
    ImageBudget,
    LearningRate,
    Literature,
    MemoryLimit,
    Methods,
    Network,
    Noises,
    Out,
    PluginFile,
    Precision,
    RecipeName,
    Seed,
    Threads,
    TimeLimit,
    TrainData,
    TrainingNoise,
    WeightFolders,
    Workers,
    load_plugins,
)
from denoisebench.commands.output import print_paper_table, print_plan, print_table, say_all
from denoisebench.core import limits
from denoisebench.core.errors import UserError
from denoisebench.core.printing import line, message
from denoisebench.execution.choose import find_executor
from denoisebench.experiment.build import TrainingOptions, make_experiment

if TYPE_CHECKING:
    from denoisebench.experiment.cells import Experiment
    from denoisebench.experiment.file import ExperimentFile


def run(
    config: ConfigFile = None,
    methods: Methods = "b2u,nbr2nbr",
    network: Network = None,
    noise: Noises = "gauss25",
    datasets: Datasets = "samples",
    repeats: Annotated[str, typer.Option(help="Noise draws (or captures) per image, or paper (10/3/20/50).")] = "1",
    weights: WeightFolders = None,
    train_data: TrainData = "auto",
    budget: BudgetText = None,
    image_budget: ImageBudget = None,
    batch: Batch = None,
    crop: Crop = None,
    lr: LearningRate = None,
    training_noise: TrainingNoise = "fresh",
    precision: Precision = "auto",
    recipe: RecipeName = None,
    devices: Devices = 1,
    noise_draws: Annotated[str, typer.Option(help="counter, or legacy (the released tests' stream).")] = "counter",
    padding: Annotated[str, typer.Option(help="side, or square as in the released tests.")] = "side",
    tile: Annotated[
        str, typer.Option(help="Side of the tiles that networks get of large images: auto, none, or a number.")
    ] = "auto",
    seed: Seed = 0,
    trainings: Annotated[
        int,
        typer.Option(
            min=1,
            max=limits.TRAININGS,
            help="Trainings of each learned method, from seeds one apart; shown as mean ± spread.",
        ),
    ] = 1,
    device: Device = "auto",
    out: Out = DEFAULT_OUT,
    executor: ExecutorName = "auto",
    workers: Workers = None,
    threads: Threads = None,
    time_limit: TimeLimit = None,
    memory_limit: MemoryLimit = None,
    address: Address = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would be computed.")] = False,
    literature: Literature = False,
    plugin: PluginFile = None,
    data_root: DataRoot = None,
) -> None:
    """Run methods on test sets with synthetic or real noise and print a table.

    Learned methods use trained networks that fit; any option of training makes them train anew.
    """
    from denoisebench.core.memory import keep_freed_memory
    from denoisebench.core.progress import for_stderr
    from denoisebench.execution.runner import run as run_cells
    from denoisebench.reports.files import outdated, write_reports
    from denoisebench.results.store import Store

    keep_freed_memory()
    load_plugins(plugin)
    training = TrainingOptions(
        budget, batch, crop, lr, train_data, training_noise, precision, devices, seed, trainings, recipe
    )
    experiment = make_experiment(
        methods, noise, datasets, training, data_root, device,
        repeats=repeats, draws=noise_draws, padding=padding, weights=weights or [], image_budget=image_budget,
        tile=tile, network=network,
    )  # fmt: skip
    asked = published_experiment(config)
    if literature and (asked is None or asked.paper is None):
        raise UserError("--literature goes with a table of the paper: denoisebench table N --literature.")
    absent: list[str] = []
    if plan:
        print_plan(experiment, out)
        return
    if asked is not None and asked.paper is not None:
        experiment, absent = _present(experiment)
    where = find_executor(executor, workers, threads, time_limit, memory_limit, address, experiment.device)
    store = Store(out)
    try:
        outcome = run_cells(experiment, store, for_stderr(), where)
    except KeyboardInterrupt:
        message(f"Stopped. What was computed is in {out}; the same command goes on there.")
        raise typer.Exit(130) from None
    if outcome.cells or absent:
        if outcome.cells and (outcome.computed or outdated(store)):
            say_all(write_reports(store)[1])
        notes = absent + outcome.notes
        if asked is None or asked.paper is None:
            print_table(outcome.cells, notes)
            line("")
            line(f"Scores, table.md and table.tex: {out}")
        else:
            print_paper_table(asked, outcome.cells, notes, store, literature)
    if outcome.failed or not outcome.cells:
        for title, reason in [*outcome.failed, *outcome.skipped]:
            message(f"{title}: {reason}")
        raise typer.Exit(1)


def published_experiment(config: Path | None) -> ExperimentFile | None:
    from denoisebench.experiment.file import read_experiment

    names = list(inspect.signature(run).parameters)
    return None if config is None else read_experiment(config, names)


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
