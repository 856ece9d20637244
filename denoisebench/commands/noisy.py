"""The part of ``denoisebench run --noise real`` that is about folders of noisy images without clean ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from denoisebench.commands.grouping import OptionGroup, flag_of, options_of
from denoisebench.commands.options import (
    DEFAULT_BUDGET,
    LimitedExecution,
    OutputOptions,
    ProtocolOptions,
    RunSelection,
    RunTraining,
    SourceOptions,
)
from denoisebench.commands.output import resumable, say_all
from denoisebench.core.errors import Mistakes, UserError
from denoisebench.core.printing import document, line, message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from denoisebench.own.denoise import Request
    from denoisebench.own.unreferenced import NoisyFolder

# Side of the piece in the middle of each image that is scored.
_SIDE = 512
# Options that have an effect on noisy images alone; any other is refused there.
_COUNT = frozenset({
    "budget", "image_budget", "seed", "limit", "tile", "device", "workers", "time_limit", "out", "plan",
})  # fmt: skip


def split_noisy(
    selection: RunSelection,
    protocol: ProtocolOptions,
    training: RunTraining,
    others: Sequence[OptionGroup],
    mistakes: Mistakes,
) -> tuple[RunSelection, list[NoisyFolder]]:
    """Take the folders of noisy images alone out of a selection with real noise; the rest, and these."""
    from denoisebench.own.unreferenced import folders_without_references
    from denoisebench.plugins.lookup import split_datasets
    from denoisebench.plugins.registry import DATASETS

    if selection.noise.strip() != "real":
        if selection.captures is not None:
            mistakes.note(UserError("--captures is of folders of noisy images: give --noise real with it."))
        return selection, []
    texts = mistakes.read([], split_datasets, selection.datasets)
    folders, rest = folders_without_references(texts, DATASETS.names(), selection.captures, protocol.limit, mistakes)
    if not rest and not folders:
        # Without any data set left there is nothing more to say than why.
        mistakes.check()
    if folders:
        _check_effect(folders[0], training, [] if rest else [protocol, *others], mistakes)
    return replace(selection, datasets=",".join(rest)), folders


def _check_effect(
    folder: NoisyFolder, training: RunTraining, others: Sequence[OptionGroup], mistakes: Mistakes
) -> None:
    """Refuse options that change nothing for such folders; ``others`` only where there is no other data set."""
    given = [
        flag_of(option)
        for group in (training, *others)
        for option in options_of(type(group))
        if option.name not in _COUNT and getattr(group, option.name) != option.default
    ]
    if given:
        mistakes.note(
            UserError(
                f"Folder {folder.path} holds noisy images alone: networks are trained on them once, in the usual way, "
                f"and scores are estimates. Drop {', '.join(given)}, which would change nothing there, or give clean "
                "images in a folder clean/ beside noisy/."
            )
        )


def noisy_request(
    protocol: ProtocolOptions,
    training: RunTraining,
    execution: LimitedExecution,
    sources: SourceOptions,
    output: OutputOptions,
    device: str,
    mistakes: Mistakes,
) -> Request:
    """How images of such folders are denoised."""
    from denoisebench.core.limits import parse_time_limit
    from denoisebench.experiment.options import parse_tile
    from denoisebench.own.denoise import Request
    from denoisebench.plugins.lookup import parse_method
    from denoisebench.training.weights import Shelf, weights_folders

    limit = execution.time_limit
    return Request(
        method=parse_method("identity"),
        out=output.out,
        shelf=Shelf(mistakes.read([], weights_folders, training.weights or [])),
        budget=training.budget or DEFAULT_BUDGET,
        image_budget=training.image_budget or training.budget,
        seed=training.seed,
        device=device,
        tile=mistakes.read(None, parse_tile, protocol.tile),
        limit=None if limit is None else mistakes.read(None, parse_time_limit, limit),
        convert=sources.on_unusual == "convert",
    )


def run_noisy(
    folders: Sequence[NoisyFolder],
    selection: RunSelection,
    request: Request,
    execution: LimitedExecution,
    sources: SourceOptions,
    output: OutputOptions,
    mistakes: Mistakes,
) -> None:
    """Denoise and score them, and print what can be said; exit code 1 if something failed."""
    from denoisebench.core.progress import for_stderr
    from denoisebench.data.unusual import check_choice
    from denoisebench.own.unreferenced import STEM, markdown, run_unreferenced, usual_images, write_scores
    from denoisebench.plugins.lookup import parse_methods
    from denoisebench.training.recipe import recipe_from

    methods = mistakes.read([], parse_methods, selection.methods, selection.network)
    mistakes.read(None, recipe_from, request.budget or DEFAULT_BUDGET, None, None, None, "fresh", request.seed)
    mistakes.read("stop", check_choice, sources.on_unusual)
    mistakes.check()
    folders = [mistakes.read(folder, usual_images, folder, sources.on_unusual) for folder in folders]
    mistakes.check()
    say_all(folder.text for folder in folders)
    if output.plan:
        line(
            f"Would be denoised by each of {', '.join(method.text for method in methods if not method.info.baseline)}."
        )
        return
    outcomes = []
    with resumable(f"What was computed is in {output.out}"):
        for folder in folders:
            outcomes.append(run_unreferenced(folder, methods, request, _SIDE, for_stderr(), execution.workers or 1))
    say_all(write_scores(outcomes, output.out))
    for outcome in outcomes:
        say_all(outcome.said)
        document(markdown(outcome))
    line("")
    line(f"Results are in {output.out / 'denoised'}, scores in {STEM}.csv and {STEM}.md of {output.out}.")
    failed = [problem for outcome in outcomes for problem in outcome.failed]
    for title, reason in failed:
        message(f"{title}: {reason}")
    if failed or not any(outcome.scores or outcome.reasons for outcome in outcomes):
        raise typer.Exit(1)
