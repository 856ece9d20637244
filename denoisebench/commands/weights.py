"""Trained networks as files: ``denoisebench weights`` and its commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from denoisebench.commands.grouping import GroupedCommand, grouped
from denoisebench.commands.making import check_channels, load_plugins, make_device, make_experiment
from denoisebench.commands.options import (
    DEFAULT_WEIGHTS,
    Channels,
    Device,
    NoiseSelection,
    Selection,
    SourceOptions,
    TrainingOptions,
    WeightFolders,
    WeightsOut,
    WeightsTraining,
)
from denoisebench.commands.output import resumable
from denoisebench.core.errors import Mistakes, UserError
from denoisebench.core.limits import parse_total_time
from denoisebench.core.printing import document, line, message
from denoisebench.core.systemfiles import own_entries
from denoisebench.core.text import one_line

weights_app = typer.Typer(help="Trained networks as verified files.", no_args_is_help=True, rich_markup_mode=None)


@weights_app.command("list", cls=GroupedCommand)
def weights_list(weights: WeightFolders = None) -> None:
    """List trained networks: what for, how trained, scores."""
    from denoisebench.commands import listing

    document(listing.weights_text(weights or []))


@weights_app.command("verify", cls=GroupedCommand)
def weights_verify(weights: WeightFolders = None) -> None:
    """Compare every file with its listed SHA-256."""
    from denoisebench.training.weights import verify_folder, weights_folders

    bad = 0
    for folder in weights_folders(weights or []):
        for name, verdict in verify_folder(folder):
            bad += verdict != "intact"
            line(f"{verdict:>8}  {folder / name}")
    if bad:
        raise typer.Exit(1)


@weights_app.command("train", cls=GroupedCommand)
@grouped
def weights_train(
    selection: NoiseSelection,
    training: WeightsTraining,
    sources: SourceOptions,
    channels: Channels = 3,
    device: Device = "auto",
    time_limit: Annotated[
        str | None,
        typer.Option(help="For all of them: 90min, 12h; a later call goes on.", rich_help_panel="Execution"),
    ] = None,
    out: WeightsOut = DEFAULT_WEIGHTS,
) -> None:
    """Train networks and write them as weights.

    One after the other: noise by noise, methods in the order given.
    """
    from denoisebench.core.memory import keep_freed_memory
    from denoisebench.core.progress import for_stderr
    from denoisebench.publishing.weights import train_weights

    keep_freed_memory()
    load_plugins(sources.plugin)
    mistakes = Mistakes()
    check_channels(channels, mistakes)
    limit = None if time_limit is None else mistakes.read(None, parse_total_time, time_limit)
    device = make_device(device, mistakes)
    experiment = make_experiment(selection, training, sources, device, mistakes)
    with resumable(f"Checkpoints are in {out}"):
        done, unfinished = train_weights(experiment, channels, out, limit, for_stderr())
    for title, weights in done.items():
        line(f"{title}: {weights.path}")
    for title, reason in unfinished:
        message(f"not finished: {title}: {reason}")
    if unfinished:
        raise typer.Exit(1)


@weights_app.command("export", cls=GroupedCommand)
@grouped
def weights_export(
    results: Annotated[Path, typer.Argument(help="A results folder with trained networks in models/.")],
    sources: SourceOptions,
    out: WeightsOut = DEFAULT_WEIGHTS,
) -> None:
    """Turn trainings of a results folder into weights."""
    from denoisebench.core.progress import for_stderr
    from denoisebench.publishing.weights import export

    load_plugins(sources.plugin)
    records = list(own_entries(results / "models", "*.json"))
    if not records:
        raise UserError(f"Folder {results} holds no finished trainings (no models/*.json in it).")
    experiment = make_experiment(Selection(methods="identity"), TrainingOptions(), sources, "cpu", Mistakes())
    for record in records:
        line(export(record, out, experiment, for_stderr()).path)


@weights_app.command("score", cls=GroupedCommand)
def weights_score(
    results: Annotated[Path, typer.Argument(help="A results folder made with these weights.")],
    out: WeightsOut = DEFAULT_WEIGHTS,
) -> None:
    """Copy mean scores into the records of weights.

    The scores of a results folder go to the weights that made them.
    """
    from denoisebench.publishing.weights import record_scores

    said = record_scores(out, results, message)
    if not said:
        raise UserError(f"No score in {results} was made with weights of {out}.")
    document("\n".join(map(one_line, said)))


@weights_app.command("import", cls=GroupedCommand)
def weights_import(
    file: Annotated[Path, typer.Argument(help="A .pth of the released Blind2Unblind or Neighbor2Neighbor code.")],
    method: Annotated[str, typer.Option(help="What it was trained as, e.g. 'b2u[stride=4]'.")],
    noise: Annotated[str, typer.Option(help="Noise id it was trained for.")],
    train_data: Annotated[str, typer.Option(help="For --noise real: the data set it was trained on.")] = "",
    out: WeightsOut = DEFAULT_WEIGHTS,
) -> None:
    """Turn a released checkpoint into weights.

    Nothing is unpickled but tensors.
    """
    from denoisebench.plugins.lookup import parse_method
    from denoisebench.plugins.method import LearnedMethod
    from denoisebench.publishing.released import import_released
    from denoisebench.training.weights import settings_text

    found = parse_method(method)
    if not isinstance(found, LearnedMethod):
        raise UserError(f"Method {method!r} is not trained, so it has no weights.")
    weights = import_released(file, found, noise, out, train_data, message)
    line(weights.path)
    line(f"Use it with --weights {out} --methods '{settings_text(weights)}'.")
