"""All cells of an experiment, one after the other: stored ones are read, missing ones computed, failed ones noted."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from denoisebench.dataset import DataSet, FolderSet
from denoisebench.errors import ContractError, TrainingFailed, UserError
from denoisebench.evaluation import Fitting, evaluate
from denoisebench.experiment import Cell, Experiment
from denoisebench.fitting import Report, fit_text
from denoisebench.images import UIntImage, to_channels
from denoisebench.method import LearnedMethod, PerImageMethod
from denoisebench.noise import Draws
from denoisebench.progress import Progress, duration
from denoisebench.provenance import machine
from denoisebench.registry import DATASETS
from denoisebench.results import Store, StoredCell
from denoisebench.training import (
    Budget,
    OutOfTime,
    Recipe,
    Trained,
    TrainingImages,
    TrainingJob,
    load_trained,
    record_of,
    train,
)
from denoisebench.weights import Weights

SAVE_SECONDS = 1.0
# So long the first fit of a cell runs before its duration is foretold.
ETA_SECONDS = 3.0


@dataclass
class Outcome:
    """What a run did.

    Parameters
    ----------
    cells : the stored cell of every planned cell that has rows, in order
    skipped, failed : title and reason
    computed : rows that were computed now
    """

    cells: list[StoredCell] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    computed: int = 0


def run(experiment: Experiment, store: Store, progress: Progress) -> Outcome:
    """Run every cell of an experiment and store it; stored rows are not computed again.

    Raises
    ------
    UserError
        The data of a set are missing or damaged; raised before any work starts.
    """
    for dataset in experiment.datasets:
        dataset.verify()
    planned = plan(experiment, store)
    outcome = Outcome()
    _announce(planned, store, progress)
    draws: Draws | None = None
    networks = _Networks(experiment, store, progress)
    for number, cell in enumerate((entry.cell for entry in planned), 1):
        if cell.skip:
            outcome.skipped.append((cell.title, cell.skip))
            progress.say(f"skipped: {cell.title}: {cell.skip}")
            continue
        stored = store.read(cell.identity)
        missing = [pair for pair in cell.wanted if pair not in stored.rows]
        if missing:
            draws = draws or experiment.draws_source()
            progress.say(f"[{number}/{len(planned)}] {cell.title}: {len(missing)} images")
            before = len(stored.rows)
            try:
                _compute(cell, stored, missing, draws, networks, store, progress)
            except Exception as error:
                # A plugin may raise anything, and must not cost the others their results; its own rows are kept.
                reason = _reason(error, cell, store)
                outcome.failed.append((cell.title, reason))
                progress.say(f"FAILED: {cell.title}: {reason}")
            outcome.computed += len(stored.rows) - before
        if stored.rows:
            outcome.cells.append(stored)
    return outcome


def _reason(error: Exception, cell: Cell, store: Store) -> str:
    """One sentence for a failed cell; an error that nobody foresaw leaves its traceback in the results folder."""
    if isinstance(error, ContractError | TrainingFailed | UserError):
        return str(error)
    path = store.folder / f"error-{cell.method.name}-{StoredCell(dict(cell.identity)).key}.txt"
    path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    return f"{type(error).__name__}: {' '.join(str(error).split())} (traceback in {path})"


@dataclass(frozen=True)
class Planned:
    """What a run will do for one cell.

    Parameters
    ----------
    cell : the cell
    missing : (image, repeat) pairs to compute
    """

    cell: Cell
    missing: Sequence[tuple[str, int]]

    @property
    def state(self) -> str:
        """One phrase: stored, skipped, or what is to be computed, and with which network."""
        cell = self.cell
        if cell.skip:
            return f"skipped: {cell.skip}"
        if not self.missing:
            return "stored"
        images = f"{len(self.missing)} of {len(cell.wanted)} images"
        if cell.weights is not None:
            return f"{images}, trained network {cell.weights.path.stem}"
        if cell.fit is not None and isinstance(cell.method, PerImageMethod):
            return f"{images}, {fit_text(cell.method, cell.fit)}"
        return f"{images}, training {cell.job.recipe.text}" if cell.job is not None else images


def plan(experiment: Experiment, store: Store) -> list[Planned]:
    """Every cell of an experiment and what is missing of it; computes nothing."""
    planned = []
    for cell in experiment.cells():
        rows = store.read(cell.identity).rows if not cell.skip else {}
        missing = [] if cell.skip else [pair for pair in cell.wanted if pair not in rows]
        planned.append(Planned(cell, missing))
    return planned


def _announce(planned: Sequence[Planned], store: Store, progress: Progress) -> None:
    jobs: dict[str, TrainingJob] = {}
    used: dict[str, Weights] = {}
    to_compute = [entry.cell for entry in planned if entry.missing]
    for cell in to_compute:
        if cell.weights is not None:
            used.setdefault(cell.weights.path.name, cell.weights)
        if cell.job is not None and record_of(cell.job, store.models) is None:
            jobs.setdefault(cell.job.key, cell.job)
    progress.say(
        f"{len(planned)} cells: {len(to_compute)} to compute, {len(planned) - len(to_compute)} stored or skipped. "
        f"Results go to {store.folder}"
    )
    for weights in used.values():
        progress.say(f"trained network: {weights.path.name}, {weights.text}; give --budget to train anew")
    for job in jobs.values():
        progress.say(
            f"no trained network for {job.method.text} on {job.noise.id}: training it now, {job.recipe.text}, "
            f"learning rate {job.recipe.lr:g}, on {job.data['name']} (change with --budget and --train-data; "
            "the paper trains 1.1 million steps)"
        )


class _Networks:
    """Trained networks of a run, each trained or loaded once."""

    def __init__(self, experiment: Experiment, store: Store, progress: Progress) -> None:
        self._experiment, self._store, self._progress = experiment, store, progress
        self._latest: tuple[str, Trained] | None = None
        self._images: dict[str, list[UIntImage]] = {}

    def of(self, cell: Cell) -> Trained | None:
        """The network of a cell; None for a method without one."""
        if cell.weights is None:
            return self.get(cell.job) if cell.job else None
        if self._latest is None or self._latest[0] != cell.weights.sha256:
            assert isinstance(cell.method, LearnedMethod)
            network = cell.weights.load(cell.method, cell.dataset.channels, self._experiment.device)
            self._latest = (cell.weights.sha256, Trained(network, cell.weights.record))
        return self._latest[1]

    def get(self, job: TrainingJob, until: float | None = None) -> Trained:
        """The network of a training, loaded if it is stored, trained now if not."""
        if self._latest is None or self._latest[0] != job.key:
            device = self._experiment.device
            trained = load_trained(job, self._store.models, device)
            if trained is None:
                trained = train(job, self._training_images(job), self._store.models, device, self._progress, until)
                self._progress.say(
                    f"trained {job.method.text} on {job.noise.id}: {trained.record['steps']} steps in "
                    f"{duration(trained.record['seconds'])}"
                )
                for warning in trained.record["warnings"]:
                    self._progress.say(f"WARNING: {job.method.text} on {job.noise.id}: {warning}")
            self._latest = (job.key, trained)
        return self._latest[1]

    def training_set(self, trained: Trained) -> DataSet | None:
        """The images a network was trained on, if they are a data set of this machine."""
        name = trained.record.get("data", {}).get("name")
        own = self._experiment.train_data
        known = name in DATASETS.names() or (own is not None and own.name == name)
        return self._experiment.training_data(name) if known else None

    def _training_images(self, job: TrainingJob) -> TrainingImages:
        data = self._experiment.training_data(job.data["name"])
        if job.noise.real:
            data.verify()
            return data
        key = f"{data.name}-{job.channels}"
        if key not in self._images:
            data.verify()
            self._images[key] = [to_channels(data.load(image), job.channels) for image in data.images]
        return self._images[key]


def _compute(
    cell: Cell,
    stored: StoredCell,
    missing: Sequence[tuple[str, int]],
    draws: Draws,
    networks: _Networks,
    store: Store,
    progress: Progress,
) -> None:
    trained = networks.of(cell)
    stored.about = _about(cell, trained)
    if trained is not None:
        shared = shared_images(networks.training_set(trained), cell.dataset)
        if shared:
            stored.about["warnings"].append(f"trained on {shared} images of the test set")
    network = trained.network if trained else None
    count = 0
    with progress.task(f"denoise {cell.title}") as task:

        def report(inside: float, text: str) -> None:
            task.update((count + inside) / len(missing), f"{count}/{len(missing)} {text}")

        rows = evaluate(
            cell.method, network, cell.dataset, cell.noise, draws, missing,
            padding=cell.protocol.padding, seed=cell.seed, device=str(cell.identity["device"]),
            fitting=_fitting(cell, stored, len(missing), report, store, progress),
        )  # fmt: skip
        saved = time.monotonic()
        try:
            for row in rows:
                count += 1
                stored.rows[row.image, row.repeat] = row
                if time.monotonic() - saved > SAVE_SECONDS:
                    store.write(stored)
                    saved = time.monotonic()
                mean = sum(r.psnr for r in stored.rows.values()) / len(stored.rows)
                report(0.0, f"mean {mean:.2f} dB")
        finally:
            if stored.rows:
                store.write(stored)


def _fitting(
    cell: Cell, stored: StoredCell, images: int, report: Report, store: Store, progress: Progress
) -> Fitting | None:
    """How the images of a cell are fitted; says how long that will take, from the first steps of the first one."""
    if cell.fit is None:
        return None
    first: tuple[float, float] | None = None
    said = False

    def watch(fraction: float, text: str) -> None:
        nonlocal first, said
        now = time.monotonic()
        # The first step also pays for what every process does once.
        first = first or (now, fraction)
        if not said and first[1] < fraction < 1 and now - first[0] >= ETA_SECONDS:
            said = True
            each = (now - first[0]) / (fraction - first[1])
            text_each, text_all = duration(each), duration(each * images)
            progress.say(f"{cell.title}: about {text_each} per image like the first, {text_all} in all")
        report(fraction, text)

    return Fitting(cell.fit, store.folder / "fits" / stored.key, watch)


def _about(cell: Cell, trained: Trained | None) -> dict[str, Any]:
    method = cell.method
    about: dict[str, Any] = {
        "text": method.text,
        "label": method.info.label,
        "told": method.told_in_words(cell.noise),
        "baseline": method.info.baseline,
        "protocol": cell.protocol.fingerprint,
        "noise_title": cell.noise.title,
        "dataset_title": cell.dataset.title,
        "training": "",
        "warnings": [cell.dataset.note.rstrip(".")] if cell.dataset.note else [],
        "machine": machine(),
        # Reports list cells in this order, so cells of one second must differ.
        "written": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    if cell.fit is not None and isinstance(method, PerImageMethod):
        about["training"] = fit_text(method, cell.fit)
    if trained is not None:
        about["training"] = cell.weights.text if cell.weights else training_text(trained.record)
        about["training_record"] = {
            name: trained.record[name]
            for name in ("steps", "images_seen", "seconds", "parameters")
            if name in trained.record
        }
        about["training_record"]["draws"] = trained.record.get("recipe", {}).get("draws", "")
        about["warnings"] += trained.record.get("warnings", [])
    return about


def training_text(record: Mapping[str, Any]) -> str:
    """One phrase for a table: length, crops and data, and what differs from the usual recipe."""
    values = dict(record["recipe"])
    recipe = Recipe(**{**values, "budget": Budget(**values["budget"])})
    usual = Recipe(recipe.budget)
    data = record["data"]
    parts = [recipe.text, data["name"] + (f" ({data['extent']})" if data.get("extent") else "")]
    parts += [f"lr {recipe.lr:g}"] if recipe.lr != usual.lr else []
    parts += [f"seed {recipe.seed}"] if recipe.seed != usual.seed else []
    return ", ".join(parts)


def shared_images(training: DataSet | None, test: DataSet) -> int:
    """How many images two data sets have in common, by pixels."""
    if not isinstance(training, FolderSet) or not isinstance(test, FolderSet):
        return 0
    # A set that is listed without being decoded has no pixel hashes.
    return len({entry.pixels for entry in training.entries} & {entry.pixels for entry in test.entries} - {""})


def train_only(
    experiment: Experiment, channels: int, store: Store, progress: Progress, until: float | None = None
) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Train every learned method of an experiment for its noises, without evaluating.

    Returns
    -------
    weights file by title, and (title, reason) of those that failed or ran out of time at ``until``
    """
    networks = _Networks(experiment, store, progress)
    done: dict[str, str] = {}
    if experiment.train_data is not None and experiment.train_data.real:
        channels = experiment.train_data.channels
    failed: list[tuple[str, str]] = []
    for noise in experiment.noises:
        for method in experiment.methods:
            if not isinstance(method, LearnedMethod):
                continue
            job = experiment.job(method, noise, channels)
            title = f"{method.text} on {noise.id}"
            try:
                networks.get(job, until)
                done[title] = str(store.models / f"{job.stem}.safetensors")
            except (TrainingFailed, OutOfTime) as error:
                failed.append((title, str(error)))
    return done, failed
