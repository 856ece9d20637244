"""Training alone, and files for servers: ``denoisebench train`` and ``submit``."""

from __future__ import annotations

from dataclasses import replace

import typer

from denoisebench.commands.options import (
    DEFAULT_OUT,
    Address,
    Batch,
    BudgetText,
    Channels,
    Crop,
    DataRoot,
    Datasets,
    Device,
    Devices,
    ExecutorName,
    ImageBudget,
    LearningRate,
    Methods,
    Network,
    Noises,
    Out,
    PluginFile,
    Precision,
    RecipeName,
    Seed,
    Threads,
    TrainData,
    TrainingNoise,
    WeightFolders,
    Workers,
    check_channels,
    load_plugins,
)
from denoisebench.core.errors import UserError
from denoisebench.core.printing import document, line, message
from denoisebench.core.text import one_line
from denoisebench.execution.choose import find_executor
from denoisebench.experiment.build import TrainingOptions, make_experiment


def train(
    methods: Methods,
    network: Network = None,
    noise: Noises = "gauss25",
    channels: Channels = 3,
    train_data: TrainData = "auto",
    budget: BudgetText = None,
    batch: Batch = None,
    crop: Crop = None,
    lr: LearningRate = None,
    training_noise: TrainingNoise = "fresh",
    precision: Precision = "auto",
    recipe: RecipeName = None,
    devices: Devices = 1,
    seed: Seed = 0,
    device: Device = "auto",
    executor: ExecutorName = "auto",
    workers: Workers = None,
    threads: Threads = None,
    address: Address = None,
    out: Out = DEFAULT_OUT,
    plugin: PluginFile = None,
    data_root: DataRoot = None,
) -> None:
    """Train learned methods into a results folder; `run` with the same settings then finds them there."""
    from denoisebench.core.progress import for_stderr
    from denoisebench.execution.runner import train_only
    from denoisebench.results.store import Store

    check_channels(channels)
    load_plugins(plugin)
    training = TrainingOptions(
        budget, batch, crop, lr, train_data, training_noise, precision, devices, seed, recipe=recipe
    )
    experiment = make_experiment(methods, noise, None, training, data_root, device, network=network)
    where = find_executor(executor, workers, threads, None, None, address, experiment.device)
    store = Store(out)
    try:
        done, failed = train_only(experiment, channels, store, for_stderr(), executor=where)
    except KeyboardInterrupt:
        message(f"Stopped. The checkpoint is in {out}; the same command goes on there.")
        raise typer.Exit(130) from None
    for title, path in done.items():
        line(f"{title}: {path}")
    for title, reason in failed:
        message(f"FAILED: {title}: {reason}")
    if failed:
        raise typer.Exit(1)
    if not done:
        raise UserError(f"Nothing to train: none of {methods!r} is a learned method.")


def submit(
    methods: Methods,
    datasets: Datasets = "sidd_raw_benchmark",
    weights: WeightFolders = None,
    train_data: TrainData = "auto",
    budget: BudgetText = None,
    image_budget: ImageBudget = None,
    batch: Batch = None,
    crop: Crop = None,
    lr: LearningRate = None,
    precision: Precision = "auto",
    recipe: RecipeName = None,
    devices: Devices = 1,
    seed: Seed = 0,
    device: Device = "auto",
    out: Out = DEFAULT_OUT,
    plugin: PluginFile = None,
    data_root: DataRoot = None,
) -> None:
    """Denoise a test set without public references and write the file that its server takes."""
    from denoisebench.core.progress import for_stderr
    from denoisebench.publishing.submission import write_submissions
    from denoisebench.results.store import Store

    load_plugins(plugin)
    training = TrainingOptions(budget, batch, crop, lr, train_data, "fresh", precision, devices, seed, recipe=recipe)
    experiment = make_experiment(
        methods, "real", datasets, training, data_root, device, weights=weights or [], image_budget=image_budget
    )
    try:
        written, refused = write_submissions(replace(experiment, scored=False), Store(out), for_stderr())
    except KeyboardInterrupt:
        message(f"Stopped. What was computed is in {out}; the same command goes on there.")
        raise typer.Exit(130) from None
    document("\n".join(one_line(str(path)) for path in written))
    for title, reason in refused:
        message(f"{title}: {reason}")
    if not written:
        raise typer.Exit(1)
