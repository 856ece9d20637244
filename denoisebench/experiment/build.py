"""From options, as the command line and Python give them, to an experiment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from denoisebench.core import limits
from denoisebench.core.errors import UserError

if TYPE_CHECKING:
    from denoisebench.experiment.cells import Experiment

DEFAULT_BUDGET = "600steps"
#: Several texts: with commas between them, or as a list.
Texts = str | Sequence[str]
# Options of training that are whole numbers, and their bounds.
_BOUNDS = {
    "batch": (1, limits.BATCH),
    "crop": (32, limits.CROP),
    "devices": (1, limits.DEVICES),
    "seed": (0, limits.SEED),
    "trainings": (1, limits.TRAININGS),
}


@dataclass(frozen=True)
class TrainingOptions:
    """The options of training, as given; the names are those of the command line."""

    budget: str | None = None
    batch: int | None = None
    crop: int | None = None
    lr: float | None = None
    data: str = "auto"
    noise: str = "fresh"
    precision: str = "auto"
    devices: int = 1
    seed: int = 0
    trainings: int = 1
    recipe: str | None = None


def make_experiment(
    methods: Texts,
    noise: Texts,
    datasets: Texts | None,
    training: TrainingOptions,
    data_root: Path | None,
    device: str,
    repeats: str = "1",
    draws: str = "counter",
    padding: str = "side",
    weights: Sequence[Path] | None = None,
    image_budget: str | None = None,
    tile: str = "auto",
    network: str | None = None,
) -> Experiment:
    """The experiment that some options describe.

    Parameters
    ----------
    methods, noise, datasets : str or sequence of str
        One text with commas, or one text for each.
    training : TrainingOptions
        Options of training.
    weights : sequence of Path or None
        Folders of trained networks, searched before the shipped ones; None to train every learned method.

    Raises
    ------
    UserError
        An option is not allowed, or two do not go together.
    """
    from denoisebench.data.dataset import data_roots
    from denoisebench.experiment import options
    from denoisebench.experiment.cells import Experiment
    from denoisebench.plugins import lookup
    from denoisebench.training.recipe import parse_budget, recipe_from, usual_precision
    from denoisebench.training.weights import Shelf, weights_folders

    check_root(data_root)
    _check_numbers(training)
    roots = data_roots(data_root)
    device = options.resolve_device(device)
    own = weights is None or replace(training, seed=0) != TrainingOptions()
    if own and weights:
        raise UserError("--weights names trained networks, and the options of training ask for new ones; drop one.")
    if image_budget not in (None, "paper") and parse_budget(str(image_budget)).unit == "epochs":
        raise UserError(f"--image-budget {image_budget}: one image has no epochs; allowed are steps, min and paper.")
    return Experiment(
        methods=lookup.parse_methods(methods, network),
        noises=options.parse_noises(noise),
        datasets=lookup.parse_datasets(datasets, roots) if datasets is not None else [],
        recipe=recipe_from(
            training.budget or DEFAULT_BUDGET,
            training.batch,
            training.crop,
            training.lr,
            training.noise,
            training.seed,
            usual_precision(device) if training.precision == "auto" else training.precision,
            training.devices,
            training.recipe,
        ),
        image_budget=image_budget or training.budget,
        image_precision="float32" if training.precision == "auto" else training.precision,
        repeats=options.parse_repeats(repeats),
        train_data=None if training.data == "auto" else lookup.find_dataset(training.data, roots),
        draws=draws,
        seed=training.seed,
        trainings=training.trainings,
        padding=padding,
        tile=options.parse_tile(tile),
        device=device,
        roots=roots,
        shelf=None if own else Shelf(weights_folders(weights or ())),
    )


def _check_numbers(training: TrainingOptions) -> None:
    for name, (low, high) in _BOUNDS.items():
        value = getattr(training, name)
        if value is not None:
            limits.whole_number(f"--{name}", str(value), low, high)


def check_root(data_root: Path | None) -> None:
    """Raise `UserError` if there is no such folder of data sets."""
    if data_root is not None and not data_root.is_dir():
        raise UserError(f"--data-root {data_root} is not a folder.")
