"""Training alone, and files for servers: ``denoisebench train`` and ``submit``."""

from __future__ import annotations

import typer

from denoisebench.commands.grouping import grouped
from denoisebench.commands.making import check_channels, load_plugins, make_device, make_executor, make_experiment
from denoisebench.commands.options import (
    DEFAULT_OUT,
    Channels,
    Device,
    ExecutionOptions,
    NetworkTraining,
    NoiseSelection,
    Out,
    SourceOptions,
    SubmitSelection,
    SubmitTraining,
)
from denoisebench.commands.output import resumable
from denoisebench.core.errors import Mistakes
from denoisebench.core.printing import document, line, message
from denoisebench.core.text import one_line


@grouped
def train(
    selection: NoiseSelection,
    training: NetworkTraining,
    execution: ExecutionOptions,
    sources: SourceOptions,
    channels: Channels = 3,
    out: Out = DEFAULT_OUT,
) -> None:
    """Train learned methods into a results folder.

    `run` with the same settings then finds the networks there.
    """
    from denoisebench.core.progress import for_stderr
    from denoisebench.execution.runner import train_only
    from denoisebench.results.store import Store

    load_plugins(sources.plugin)
    mistakes = Mistakes()
    check_channels(channels, mistakes)
    device = make_device(execution.device, mistakes)
    where = make_executor(execution, device, mistakes)
    experiment = make_experiment(selection, training, sources, device, mistakes)
    with resumable(f"The checkpoint is in {out}"):
        done, failed = train_only(experiment, channels, Store(out), for_stderr(), executor=where)
    for title, path in done.items():
        line(f"{title}: {path}")
    for title, reason in failed:
        message(f"FAILED: {title}: {reason}")
    if failed:
        raise typer.Exit(1)


@grouped
def submit(
    selection: SubmitSelection,
    training: SubmitTraining,
    sources: SourceOptions,
    device: Device = "auto",
    out: Out = DEFAULT_OUT,
) -> None:
    """Write the file that the server of a test set takes.

    It holds the denoised images of a test set whose references are not public.
    """
    from denoisebench.core.progress import for_stderr
    from denoisebench.publishing.submission import write_submissions
    from denoisebench.results.store import Store

    load_plugins(sources.plugin)
    mistakes = Mistakes()
    device = make_device(device, mistakes)
    experiment = make_experiment(selection, training, sources, device, mistakes, shipped=True, scored=False)
    with resumable(f"What was computed is in {out}"):
        written, refused = write_submissions(experiment, Store(out), for_stderr())
    document("\n".join(one_line(str(path)) for path in written))
    for title, reason in refused:
        message(f"{title}: {reason}")
    if not written:
        raise typer.Exit(1)
