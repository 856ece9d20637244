"""From options to what the rooms below work with: experiments, cells of a run, executors.

What is wrong with the options is collected in a `Mistakes`, so that all of it is told at once, before any work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from denoisebench.commands.options import (
    DEFAULT_BUDGET,
    ExecutionOptions,
    ProtocolOptions,
    SavingOptions,
    Selection,
    SourceOptions,
    TrainingOptions,
)
from denoisebench.core.errors import Mistakes, UserError

if TYPE_CHECKING:
    from denoisebench.audit.subject import CellFilter
    from denoisebench.execution.executors import Executor
    from denoisebench.experiment.cells import Experiment, Start
    from denoisebench.results.pictures import Saving
    from denoisebench.training.recipe import Recipe
    from denoisebench.training.weights import Shelf


def make_experiment(
    selection: Selection,
    training: TrainingOptions,
    sources: SourceOptions,
    device: str,
    mistakes: Mistakes,
    protocol: ProtocolOptions | None = None,
    saving: SavingOptions | None = None,
    *,
    shipped: bool = False,
    scored: bool = True,
) -> Experiment:
    """The experiment that options describe.

    Parameters
    ----------
    selection : Selection
        Methods, noises and test sets.
    training : TrainingOptions
        How networks are trained.
    sources : SourceOptions
        Where data are.
    device : str
        As `make_device` gives it.
    mistakes : Mistakes
        What was found to be wrong so far.
    protocol : ProtocolOptions or None
        How noisy images are made and scored; None for the usual way.
    saving : SavingOptions or None
        Which images are kept; None for none.
    shipped : bool
        Whether trained networks are used where they fit, unless an option of training asks for new ones.
    scored : bool
        See `denoisebench.experiment.cells.Experiment`.

    Raises
    ------
    UserError
        Something is wrong with these options, or was with those before.
    """
    from denoisebench.data.dataset import data_roots
    from denoisebench.experiment import options
    from denoisebench.experiment.cells import Experiment
    from denoisebench.plugins import lookup

    protocol = protocol or ProtocolOptions()
    roots = data_roots(_folder(sources.data_root, mistakes))
    shelf = _shelf(training, mistakes) if shipped else None
    _check_image_budget(training.image_budget, mistakes)
    listed, images, unusual = selection.datasets, training.train_data, _unusual(sources, mistakes)
    try:
        experiment = Experiment(
            methods=mistakes.read([], lookup.parse_methods, selection.methods, selection.network),
            noises=mistakes.read([], options.parse_noises, selection.noise),
            datasets=[] if listed is None else mistakes.read([], lookup.parse_datasets, listed, roots, unusual),
            recipe=_recipe(training, device, mistakes),
            image_budget=training.image_budget or training.budget,
            image_precision="float32" if training.precision == "auto" else training.precision,
            repeats=mistakes.read(1, options.parse_repeats, protocol.repeats),
            start=None if training.start is None else mistakes.read(None, _start, training),
            train_data=None if images == "auto" else mistakes.read(None, lookup.find_dataset, images, roots, unusual),
            limit=protocol.limit,
            draws=protocol.noise_draws,
            seed=training.seed,
            trainings=training.trainings,
            padding=protocol.padding,
            tile=mistakes.read(None, options.parse_tile, protocol.tile),
            device=device,
            roots=roots,
            shelf=shelf,
            scored=scored,
            saving=_saving(saving, mistakes),
        )
    except UserError as error:
        mistakes.note(error)
    mistakes.check()
    return experiment


def make_device(text: str, mistakes: Mistakes) -> str:
    """The kind of device that ``--device`` names."""
    from denoisebench.experiment.options import resolve_device

    return mistakes.read("cpu", resolve_device, text)


def make_executor(execution: ExecutionOptions, device: str, mistakes: Mistakes) -> Executor | None:
    """Where tasks run; None if that cannot be said, and a mistake is noted."""
    from denoisebench.core.limits import parse_memory_limit, parse_time_limit
    from denoisebench.execution import executors

    time_limit, memory_limit = execution.time_limit, execution.memory_limit
    options = executors.Options(
        device=device,
        threads=execution.threads or executors.default_threads(),
        workers=execution.workers,
        time_limit=None if time_limit is None else mistakes.read(None, parse_time_limit, time_limit),
        memory_limit=None if memory_limit is None else mistakes.read(None, parse_memory_limit, memory_limit),
        address=execution.address,
    )
    return mistakes.read(None, executors.make_executor, execution.executor, options)


def make_filter(
    methods: str | None,
    noise: str | None,
    datasets: str | None,
    weights: Sequence[Path] | None,
    device: str | None,
    sources: SourceOptions,
    mistakes: Mistakes,
) -> CellFilter:
    """The cells of a finished run that options name."""
    from denoisebench.audit.subject import CellFilter
    from denoisebench.data.dataset import data_roots
    from denoisebench.experiment import options
    from denoisebench.plugins import lookup
    from denoisebench.training.weights import Shelf, weights_folders

    roots, unusual = data_roots(_folder(sources.data_root, mistakes)), _unusual(sources, mistakes)
    texts = mistakes.read([], lookup.split_list, methods) if methods else []
    for text in texts:
        # Whoever names a network of his own here lets it be run; the run's own settings may be a stranger's.
        if ".py:" in text:
            mistakes.read(None, lookup.parse_method, text)
    return CellFilter(
        methods=texts,
        noises=[found.id for found in mistakes.read([], options.parse_noises, noise)] if noise else [],
        datasets=mistakes.read([], lookup.parse_datasets, datasets, roots, unusual) if datasets else [],
        roots=roots,
        shelf=Shelf(weights_folders(weights or [])),
        device=make_device(device, mistakes) if device else None,
    )


def check_channels(channels: int, mistakes: Mistakes) -> None:
    """Note channels that are neither gray nor colour."""
    if channels not in (1, 3):
        mistakes.note(UserError(f"--channels {channels}: allowed are 1 (gray) and 3 (colour)."))


def load_plugins(files: Sequence[Path] | None) -> None:
    """Make the methods and data sets of plugin files known.

    Raises
    ------
    UserError
        Files that hold neither. It is told apart from other mistakes, as names of methods are unknown without them.
    """
    from denoisebench.plugins.registry import DATASETS, METHODS, TOML

    mistakes = Mistakes()
    for path in files or []:
        mistakes.read("", DATASETS.add_file if path.suffix == TOML else METHODS.add_file, path)
    mistakes.check()


def _shelf(training: TrainingOptions, mistakes: Mistakes) -> Shelf | None:
    """The trained networks to use; None where the options ask for new ones."""
    from denoisebench.training.weights import Shelf, weights_folders

    if not _asks_for_training(training):
        return Shelf(weights_folders(training.weights or []))
    if training.weights:
        text = "--weights names trained networks, and the options of training ask for new ones; drop one."
        mistakes.note(UserError(text))
    return None


def _start(training: TrainingOptions) -> Start:
    from denoisebench.experiment.cells import Start
    from denoisebench.protocol.noise import parse_noise
    from denoisebench.training.weights import Shelf, weights_folders

    return Start(parse_noise(str(training.start)), Shelf(weights_folders(training.weights or [])))


def _asks_for_training(training: TrainingOptions) -> bool:
    """Whether any option asks for a new training rather than saying what it applies to."""
    neutral = ("seed", "weights", "image_budget")
    return any(getattr(training, f.name) != f.default for f in fields(TrainingOptions) if f.name not in neutral)


def _saving(given: SavingOptions | None, mistakes: Mistakes) -> Saving | None:
    from denoisebench.results.pictures import parse_saving

    if given is None:
        return None
    if given.save_images is None:
        if given.image_format != "auto":
            mistakes.note(UserError(f"--image-format {given.image_format} is about kept images: give --save-images."))
        return None
    return mistakes.read(None, parse_saving, given.save_images, given.image_format)


def _check_image_budget(text: str | None, mistakes: Mistakes) -> None:
    from denoisebench.training.recipe import parse_budget

    if text in (None, "paper"):
        return
    budget = mistakes.read(None, parse_budget, str(text))
    if budget is not None and budget.unit == "epochs":
        message = f"--image-budget {text}: one image has no epochs; allowed are steps, min and paper."
        mistakes.note(UserError(message))


def _recipe(training: TrainingOptions, device: str, mistakes: Mistakes) -> Recipe:
    """The recipe of a training; if it cannot be made, every option that is wrong by itself is noted."""
    from denoisebench.training.recipe import recipe_from, usual_precision

    usual: dict[str, Any] = {
        "budget": DEFAULT_BUDGET, "recipe": None, "batch": None, "devices": 1, "crop": None, "lr": None,
        "draws": "fresh", "precision": "float32", "seed": training.seed,
    }  # fmt: skip
    given = {
        **usual,
        "budget": training.budget or DEFAULT_BUDGET,
        "recipe": training.recipe,
        "batch": training.batch,
        "devices": training.devices,
        "crop": training.crop,
        "lr": training.lr,
        "draws": training.training_noise,
        "precision": usual_precision(device) if training.precision == "auto" else training.precision,
    }
    try:
        return recipe_from(**given)
    except UserError as error:
        for names in (["budget"], ["recipe"], ["batch", "devices"], ["crop"], ["lr"], ["draws"], ["precision"]):
            mistakes.read(None, recipe_from, **{**usual, **{name: given[name] for name in names}})
        mistakes.note(error)
        return recipe_from(**usual)


def _unusual(sources: SourceOptions, mistakes: Mistakes) -> str:
    """What is done with unusual images of folders."""
    from denoisebench.data.unusual import check_choice

    # With a way that does not exist, what is wrong with images is no matter yet.
    return mistakes.read("skip", check_choice, sources.on_unusual)


def _folder(data_root: Path | None, mistakes: Mistakes) -> Path | None:
    """The folder of ``--data-root``, if it is one."""
    if data_root is None or data_root.is_dir():
        return data_root
    mistakes.note(UserError(f"--data-root {data_root} is not a folder."))
    return None
