"""All cells of an experiment: stored ones are read, missing ones handed to an executor, failed ones noted."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from denoisebench.core.errors import UserError
from denoisebench.core.files import CannotWrite
from denoisebench.core.progress import Progress, duration
from denoisebench.core.text import counted
from denoisebench.data.dataset import OwnFolder
from denoisebench.execution.cellprogress import CellProgress, TrainingProgress
from denoisebench.execution.claims import Claims
from denoisebench.execution.describe import WRITTEN
from denoisebench.execution.executors import Executor, Options, default_threads, make_executor
from denoisebench.execution.forecast import Cost
from denoisebench.execution.plan import Planned, plan
from denoisebench.execution.scheduler import Scheduler
from denoisebench.execution.whole import foretold, in_all
from denoisebench.experiment.cells import Experiment, reason_to_skip
from denoisebench.experiment.preparation import TrainedNetwork
from denoisebench.plugins.method import LearnedMethod
from denoisebench.results.store import Store, StoredCell, report_flaw
from denoisebench.results.summary import Column, Line, place_of
from denoisebench.training.job import TrainingJob
from denoisebench.training.records import record_of
from denoisebench.training.weights import Weights


@dataclass
class Outcome:
    """What a run did.

    Parameters
    ----------
    cells : list[StoredCell]
        The stored cell of every planned cell that has rows, in order.
    skipped, failed : list[tuple[str, str]]
        Title and reason.
    computed : int
        Rows that were computed now.
    """

    cells: list[StoredCell] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    computed: int = 0

    @property
    def notes(self) -> list[str]:
        """A sentence for every cell that has no result."""
        return [
            *(f"Skipped: {title}: {reason.removesuffix('.')}." for title, reason in self.skipped),
            *(f"FAILED: {title}: {reason.removesuffix('.')}." for title, reason in self.failed),
        ]


def run(experiment: Experiment, store: Store, progress: Progress, executor: Executor | None = None) -> Outcome:
    """Run every cell of an experiment and store it; stored rows are not computed again.

    Parameters
    ----------
    executor : Executor | None
        Where tasks run; this process by default. It is closed at the end.

    Raises
    ------
    UserError
        The data of a set are missing or damaged; raised before any work starts.
    """
    for dataset in experiment.datasets:
        dataset.verify()
    planned = plan(experiment, store)
    for moved in store.moved:
        progress.say(moved)
    costs = foretold(planned, experiment, store)
    _announce(planned, costs, store, progress)
    works = [CellProgress(number, len(planned), entry) for number, entry in enumerate(planned, 1)]
    for work in works:
        if work.cell.skip:
            progress.say(f"skipped: {work.cell.title}: {work.cell.skip}")
    if any(entry.missing for entry in planned):
        with _executor(executor, experiment) as ready:
            due = [(work, cost) for work, cost in zip(works, costs, strict=True) if work.missing]
            Scheduler(experiment, store, progress, ready).all([work for work, _ in due], [cost for _, cost in due])
    outcome = _outcome(works)
    _keep_failures(works, outcome, store)
    computed = {work.stored.key for work in works if work.computed}
    _make_newest(outcome.cells, computed, store)
    return outcome


def _keep_failures(works: Sequence[CellProgress], outcome: Outcome, store: Store) -> None:
    """Let reports that are made later say what this run says of cells that failed."""
    reasons = dict(outcome.failed)
    with suppress(CannotWrite):  # the results are stored, and this run says it all
        for work in works:
            store.note_failure(work.cell.title, reasons.get(work.cell.title, ""))


def _make_newest(cells: Sequence[StoredCell], computed: Collection[str], store: Store) -> None:
    """Let what a run found stored count as the newest of its place, as after a plugin's change was taken back.

    Reports show the newest cell of a place, and must not show another one than the run that was made last.
    """
    keys = {cell.key for cell in cells}
    found = [cell for cell in cells if cell.key not in computed]  # what was computed is the newest as it is
    if not found or len(store.files()) <= len(keys):
        return
    latest: dict[tuple[Line, Column, int], str] = {}
    for other in store.all(without=keys):
        place = place_of(other)
        latest[place] = max(latest.get(place, ""), other.about["written"])
    behind = [cell for cell in found if cell.about["written"] < latest.get(place_of(cell), "")]
    with closing(Claims(store.folder / "claims")) as claims:
        for number, cell in enumerate(behind):
            if claims.take(cell.key) is not None:
                continue  # another run is writing it, and so makes it the newest
            fresh = store.read(cell.identity)  # it may have more rows by now
            if fresh.rows:
                written = datetime.now(UTC) + timedelta(microseconds=number)
                fresh.about["written"] = written.strftime(WRITTEN)
                store.write(fresh)
            claims.release(cell.key)


def _outcome(works: Sequence[CellProgress]) -> Outcome:
    """What came of the cells of a run."""
    outcome = Outcome(computed=sum(work.computed for work in works))
    for work in works:
        if work.cell.skip:
            outcome.skipped.append((work.cell.title, work.cell.skip))
        if work.failure:
            outcome.failed.append((work.cell.title, work.failure))
        if work.stored.rows and (flaw := report_flaw(work.stored)):
            outcome.failed.append((work.cell.title, f"what is stored of it cannot be shown: {flaw}"))
        elif work.stored.rows:
            outcome.cells.append(work.stored)
    return outcome


def _executor(executor: Executor | None, experiment: Experiment) -> Executor:
    return executor or make_executor("serial", Options(experiment.device, default_threads()))


def _announce(planned: Sequence[Planned], costs: Sequence[Cost], store: Store, progress: Progress) -> None:
    jobs: dict[str, TrainingJob] = {}
    used: dict[str, Weights] = {}
    to_compute = [entry.cell for entry in planned if entry.missing]
    for cell in to_compute:
        if isinstance(cell.preparation, TrainedNetwork):
            weights = cell.preparation.weights
            used.setdefault(weights.path.name, weights)
        if cell.job is not None and record_of(cell.job, store.models, progress.say) is None:
            jobs.setdefault(cell.job.key, cell.job)
    images = sum(len(entry.missing) for entry in planned)
    work = f" ({counted(images, 'image')}{_time(costs)})" if images else ""
    progress.say(
        f"{counted(len(planned), 'cell')}: {len(to_compute)} to compute{work}, {len(planned) - len(to_compute)} "
        f"stored or skipped. Results go to {store.folder}"
    )
    for weights in used.values():
        progress.say(f"trained network: {weights.path.name}, {weights.text}; give --budget to train anew")
    for job in jobs.values():
        progress.say(
            f"no trained network for {job.method.text} on {job.noise.id}: training it now, {job.recipe.text}, "
            f"learning rate {job.recipe.lr:g}, on {job.data['name']} (change with --budget and --train-data; "
            "the paper trains 1.1 million steps)"
        )


def _time(costs: Sequence[Cost]) -> str:
    """How long it is foretold to take, as a part of a sentence; '' where nothing comparable was ever timed."""
    found = in_all(costs)
    if found is None:
        return ""
    seconds, elsewhere = found
    return f", about {duration(seconds)}{' on the reference machine' if elsewhere else ''}"


def train_only(
    experiment: Experiment,
    channels: int,
    store: Store,
    progress: Progress,
    until: float | None = None,
    executor: Executor | None = None,
) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Train every learned method of an experiment for its noises, without evaluating.

    Returns
    -------
    tuple[dict[str, str], list[tuple[str, str]]]
        Weights file by title, and (title, reason) of those that failed or ran out of time at ``until``. A method that
        cannot do a noise is not among them, and said to be left out.

    Raises
    ------
    UserError
        None of the methods is trained, or none can do any of the noises.
    """
    if experiment.train_data is not None and experiment.train_data.real:
        channels = experiment.train_data.channels
    untrained = [
        method.text
        for method in experiment.methods
        if not isinstance(method, LearnedMethod) and not method.info.baseline
    ]
    wanted = [
        (f"{method.text} on {noise.id}", method, noise)
        for noise in experiment.noises
        for method in experiment.methods
        if isinstance(method, LearnedMethod)
    ]
    reasons = {title: reason_to_skip(method, noise, channels) for title, method, noise in wanted}
    skipped = [f"{title}: it {reason}" for title, reason in reasons.items() if reason]
    if not wanted:
        names = untrained or [method.text for method in experiment.methods]
        raise UserError(f"Nothing to train: none of {', '.join(names)} is a learned method.")
    if len(skipped) == len(wanted):
        raise UserError(f"Nothing to train: {'; '.join(skipped)}.")
    if untrained:
        progress.say(f"Not trained, for they are no learned methods: {', '.join(untrained)}.")
    for text in skipped:
        progress.say(f"Not trained: {text}.")
    jobs = {title: experiment.job(method, noise, channels) for title, method, noise in wanted if not reasons[title]}
    if isinstance(experiment.train_data, OwnFolder) and experiment.train_data.note:
        progress.say(f"WARNING: {experiment.train_data.note}")
    if all(record_of(job, store.models, progress.say) for job in jobs.values()):
        nets = [TrainingProgress(job) for job in jobs.values()]
    else:
        with _executor(executor, experiment) as ready:
            scheduler = Scheduler(experiment, store, progress, ready, until, measured=True)
            nets = scheduler.train(list(jobs.values()))
    done: dict[str, str] = {}
    failed: list[tuple[str, str]] = []
    for title, net in zip(jobs, nets, strict=True):
        if net.failure:
            failed.append((title, net.failure))
        else:
            done[title] = str(Path(store.models) / f"{net.job.stem}.safetensors")
    return done, failed
