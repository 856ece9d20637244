"""What a planned cell will cost, foretold from what others cost; nothing here is a measurement.

A cost is seconds for so many megapixels: one image, one step of a fit to an image, or one training step's crops. It is
taken from this results folder where it holds such a measurement, else from the records of weights, else from
``costs.csv``, measured on two cores of an AMD EPYC processor (see ``tools/make_costs.py``), and scaled by pixels and
steps from the record of the nearest size. Another machine may be several times faster or slower.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from denoisebench.core.errors import UserError
from denoisebench.core.progress import duration
from denoisebench.core.systemfiles import own_entries
from denoisebench.core.text import counted
from denoisebench.data.dataset import DataSet, FolderSet
from denoisebench.execution.plan import Planned, plan
from denoisebench.experiment.cells import Cell, Experiment
from denoisebench.experiment.preparation import FitToEachImage
from denoisebench.plugins.method import Method
from denoisebench.results.store import Store, StoredCell
from denoisebench.results.summary import line_of
from denoisebench.training.job import TrainingJob, own_seconds
from denoisebench.training.recipe import Budget
from denoisebench.training.weights import read_folder, weights_folders

COSTS = Path(__file__).with_name("costs.csv")
COSTS_COLUMNS = ("name", "settings", "kind", "megapixels", "seconds")
#: Columns of `plan_lines`.
PLAN_HEADS = ("method", "noise", "data", "images", "training steps", "time", "timed", "state")
HERE, RECORDS, REFERENCE = "here", "weights", "reference"
#: Marks a time that was taken with other settings of the method.
OTHER = "*"
#: What can be timed: an image, a step of a fit to an image, a training step.
IMAGE, FIT, TRAIN = "image", "fit", "train"
#: Seconds per megapixel of what a cell does beside denoising: an image is read, noise is added, the result is scored.
BESIDE = 0.35


class Timed(NamedTuple):
    """What something took.

    Parameters
    ----------
    name, settings : str
        The method, and its settings in brackets, '' where all are at their defaults.
    kind : str
        What was timed: `IMAGE`, `FIT` or `TRAIN`.
    megapixels, seconds : float
        Its size and its duration.
    """

    name: str
    settings: str
    kind: str
    megapixels: float
    seconds: float


@dataclass(frozen=True)
class Cost:
    """What one cell will cost.

    Parameters
    ----------
    images : int
        To denoise.
    trains : bool
        Whether it needs a training that no earlier cell pays for.
    steps : int
        Of that training; 0 for one that is limited by time.
    seconds : float | None
        Of training and denoising together; None where nothing comparable was ever timed.
    source : str
        What the seconds are taken from.
    training : float
        Seconds of the training among them.
    """

    images: int
    trains: bool
    steps: int
    seconds: float | None
    source: str
    training: float = 0.0


class Timings:
    """Known costs, searched for the nearest one."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str, str], list[tuple[float, float]]] = {}
        self._rates: dict[tuple[str, str, str, str, float], float] = {}

    def add(self, found: Timed, device: str, source: str) -> None:
        """Learn what something took."""
        self._rates.clear()
        for text in dict.fromkeys((found.name + found.settings, found.name)):
            self._known.setdefault((source, text, found.kind, device), []).append((found.megapixels, found.seconds))

    def seconds(self, method: Method, kind: str, megapixels: float, device: str) -> tuple[float, str] | None:
        """Seconds for ``megapixels``, and where that is from; the same settings first, then the method with others."""
        own = method.text
        for source in (HERE, RECORDS, REFERENCE):
            for text in dict.fromkeys((own, method.name)):
                if (source, text, kind, device) in self._known:
                    rate = self._rate(source, text, kind, device, megapixels)
                    return rate * megapixels, source + (OTHER if text != own else "")
        return None

    def _rate(self, source: str, name: str, kind: str, device: str, megapixels: float) -> float:
        """Seconds per megapixel at the nearest size."""
        key = (source, name, kind, device, megapixels)
        if key not in self._rates:
            found = self._known[source, name, kind, device]
            nearest = min(abs(math.log(size / megapixels)) for size, _ in found)
            rates = [took / size for size, took in found if abs(math.log(size / megapixels)) <= nearest]
            self._rates[key] = median(rates)
        return self._rates[key]


def measured(cell: StoredCell, dataset: DataSet) -> Iterator[Timed]:
    """What a stored cell shows: its images, and its training if it had one."""
    rows = list(cell.rows.values())
    sizes = megapixels(dataset, [row.image for row in rows]) if rows else []
    size = sum(sizes) / len(rows) if rows and len(sizes) == len(rows) else 0.0
    line = line_of(cell)
    if size:
        fitted = [row.seconds / row.steps for row in rows if row.steps]
        if fitted:
            yield Timed(line.name, line.settings, FIT, size, sum(fitted) / len(fitted))
        elif (took := sum(row.seconds for row in rows)) > 0:
            yield Timed(line.name, line.settings, IMAGE, size, took / len(rows))
    training = cell.identity.get("training") or {}
    if "recipe" in training and "training_record" in cell.about:
        yield from trained({**cell.about["training_record"], **training})


def trained(record: Mapping[str, Any]) -> Iterator[Timed]:
    """What the record of a training shows."""
    recipe, steps = record.get("recipe", {}), record.get("steps")
    if steps and record.get("seconds") and {"batch", "crop"} <= recipe.keys() and "method" in record:
        size = recipe["batch"] * recipe["crop"] ** 2 / 1e6
        yield Timed(record["method"], "", TRAIN, size, own_seconds(record) / steps)


def megapixels(dataset: DataSet, images: Sequence[str]) -> list[float]:
    """Sizes of images, from the manifest where it has them, so that they need not be here; empty if unknown."""
    if isinstance(dataset, FolderSet) and type(dataset).load is FolderSet.load:
        sizes = {entry.image: entry.width * entry.height / 1e6 for entry in dataset.entries}
        return [sizes[image] for image in images if image in sizes]
    try:
        shape = dataset.load(images[0]).shape
    except UserError:
        return []
    return [shape[0] * shape[1] / 1e6] * len(images)


def timings(planned: Sequence[Planned], store: Store) -> Timings:
    """What is known about costs: this results folder, weights, the reference machine."""
    known = Timings()
    datasets = {(entry.cell.dataset.name, entry.cell.protocol.data_hash): entry.cell.dataset for entry in planned}
    for cell in store.all():
        protocol = cell.identity["protocol"]
        dataset = datasets.get((protocol["dataset"], protocol.get("data_hash", "")))
        if dataset is not None:
            for facts in measured(cell, dataset):
                known.add(facts, device=cell.identity.get("device", "cpu"), source=HERE)
    for folder in weights_folders():
        for weights in read_folder(folder).values():
            for facts in trained(weights.record):
                known.add(facts, device=weights.record.get("device", "cpu"), source=RECORDS)
    with COSTS.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            size, took = float(row["megapixels"]), float(row["seconds"])
            known.add(Timed(row["name"], row["settings"], row["kind"], size, took), "cpu", REFERENCE)
    return known


def estimate(planned: Sequence[Planned], store: Store, training_images: Mapping[str, int]) -> list[Cost]:
    """The cost of every planned cell, in order.

    Parameters
    ----------
    planned : Sequence[Planned]
        What is to be done.
    store : Store
        The results folder.
    training_images : Mapping[str, int]
        Number of training images (or captures) by the name of their data set, for budgets in epochs.
    """
    if not any(entry.missing for entry in planned):
        return [Cost(0, False, 0, 0.0, "") for _ in planned]
    known = timings(planned, store)
    # The file name of a trained network ends with the key of its training.
    records = [path for path in own_entries(store.models, "*.json") if path.with_suffix(".safetensors").is_file()]
    paid = {path.stem.rpartition("-")[2] for path in records}
    sizes: dict[str, Mapping[str, float]] = {}
    costs = []
    for entry in planned:
        cell, images = entry.cell, [image for image, _ in entry.missing]
        if not images:
            costs.append(Cost(0, False, 0, 0.0, ""))
            continue
        name = cell.dataset.name
        if name not in sizes:
            every = list(dict.fromkeys(image for image, _ in cell.wanted))
            # Shorter where sizes are unknown.
            sizes[name] = dict(zip(every, megapixels(cell.dataset, every), strict=False))
        denoising = _denoising(cell, [sizes[name].get(image, 0.0) for image in images], known)
        steps, parts = 0, [denoising]
        trains = False
        if cell.job is not None and (key := cell.job.key) not in paid:
            steps, training = _training(cell.job, known, training_images[cell.job.data["name"]])
            paid.add(key)
            trains, parts = True, [training, denoising]
        complete = [part for part in parts if part is not None]
        seconds = sum(took for took, _ in complete) if len(complete) == len(parts) else None
        sources = dict.fromkeys(source for _, source in complete)
        source = ", ".join(sources) if seconds is not None else "never timed"
        spent = 0.0 if seconds is None or denoising is None else seconds - denoising[0]
        costs.append(Cost(len(images), trains, steps, seconds, source, spent))
    return costs


def _denoising(cell: Cell, sizes: Sequence[float], known: Timings) -> tuple[float, str] | None:
    """Seconds of all images of a cell, scoring included, and what they are taken from; None if never timed."""
    found = _method_alone(cell, sizes, known)
    return (found[0] + BESIDE * sum(sizes), found[1]) if found else None


def _method_alone(cell: Cell, sizes: Sequence[float], known: Timings) -> tuple[float, str] | None:
    size, device = sum(sizes) / len(sizes), str(cell.identity["device"])
    if not size:
        return None
    if isinstance(cell.preparation, FitToEachImage):
        budget = cell.preparation.recipe.budget
        steps = budget.steps(1, 1)
        if steps is None:
            return 60 * budget.amount * len(sizes), "budget"
        found = known.seconds(cell.method, FIT, size, device)
        return (found[0] * steps * len(sizes), found[1]) if found else None
    found = known.seconds(cell.method, IMAGE, size, device)
    return (found[0] * len(sizes), found[1]) if found else None


def _training(job: TrainingJob, known: Timings, images: int) -> tuple[int, tuple[float, str] | None]:
    budget: Budget = job.recipe.budget
    steps = budget.steps(images, job.recipe.batch)
    if steps is None:
        return 0, (60 * budget.amount, "budget")
    found = known.seconds(job.method, TRAIN, job.recipe.batch * job.recipe.crop**2 / 1e6, job.device)
    return steps, (found[0] * steps, found[1]) if found else None


def plan_lines(experiment: Experiment, store: Store) -> tuple[Sequence[str], list[list[str]], list[str]]:
    """Headings, lines and notes of a plan, data that are not on this machine included."""
    listed, absent = _listed(experiment.datasets)
    planned = plan(replace(experiment, datasets=listed), store) if listed else []
    training = dict.fromkeys(entry.cell.job.data["name"] for entry in planned if entry.cell.job is not None)
    sets = {name: experiment.training_data(name) for name in training}
    counts_of = {name: sum(map(data.captures, data.images)) or len(data.images) for name, data in sets.items()}
    costs = estimate(planned, store, counts_of)
    lines = []
    for entry, cost in zip(planned, costs, strict=True):
        cell = entry.cell
        state = "data missing" if cell.dataset.name in absent and entry.missing else entry.state
        time = "" if not cost.images else "?" if cost.seconds is None else _duration(cost.seconds)
        counts = [
            f"{cost.images:,}" if cost.images else "",
            f"{cost.steps:,}" if cost.steps else "by time" * cost.trains,
        ]
        lines.append([cell.method.text, cell.noise.id, cell.dataset.name, *counts, time, cost.source, state])
    for dataset in experiment.datasets:
        if dataset not in listed:
            repeats = dataset.paper_repeats if experiment.repeats is None else experiment.repeats
            images = f"{getattr(dataset, 'count', 0) * repeats:,}"
            lines += [
                [method.text, noise.id, dataset.name, images, "", "?", "sizes unknown", "data missing"]
                for noise in experiment.noises
                for method in experiment.methods
            ]
    notes = _totals(costs, len(lines) - len(planned))
    notes += [
        f"Trained on {name}, {count} {'captures' if sets[name].real else 'images'}."
        for name, count in counts_of.items()
        if any(cost.trains for cost in costs)
    ]
    return PLAN_HEADS, lines, notes + [f"Missing: {reason}" for reason in absent.values()]


def _listed(datasets: Sequence[DataSet]) -> tuple[list[DataSet], dict[str, str]]:
    """The data sets whose images are known by name, and by name why some are not on this machine."""
    listed, absent = [], {}
    for dataset in datasets:
        try:
            dataset.verify()
        except UserError as error:
            absent[dataset.name] = str(error)
        try:
            _ = dataset.images, dataset.data_hash
            listed.append(dataset)
        except UserError as error:
            absent.setdefault(dataset.name, str(error))
    return listed, absent


def _totals(costs: Sequence[Cost], unlisted: int) -> list[str]:
    images, steps = sum(cost.images for cost in costs), sum(cost.steps for cost in costs)
    seconds = sum(cost.seconds or 0.0 for cost in costs)
    unknown = unlisted + sum(cost.seconds is None for cost in costs)
    networks = sum(cost.trains for cost in costs)
    length = f" ({steps:,} steps)" if steps else ""
    notes = [f"{counted(images, 'image')} to denoise, {counted(networks, 'network')} to train{length}."]
    if seconds or unknown:
        end = datetime.now() + timedelta(seconds=seconds)
        text = f"About {_duration(seconds)} one cell after the other, until {end:%Y-%m-%d %H:%M} if started now"
        notes.append(text + (f"; {counted(unknown, 'cell')} of unknown time on top." if unknown else "."))
        notes.append(
            f"Times are estimates, scaled by pixels and steps from what was timed: {HERE}, in this results folder; "
            f"{RECORDS}, in the records of trained networks; {REFERENCE}, on two cores of an AMD EPYC with other work "
            f"running, so that another machine may be several times faster or slower; {OTHER}: with other settings."
        )
    return notes


def _duration(seconds: float) -> str:
    days, rest = divmod(round(seconds), 86_400)
    return f"{days:,} d {rest // 3600} h" if days else duration(seconds)
