"""What a process can be asked to do: train one network, or evaluate some images of one cell.

A task is a plain value that can be pickled; a `Bench` is what a process keeps from one task to the next (the last
network, the training images, the state of the noise streams). `perform` is all there is to computing: every executor
calls it, in this process or in another, so where a task runs cannot change its numbers.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from denoisebench.core.errors import ContractError, TrainingFailed, UserError, explain
from denoisebench.core.isolation import isolated
from denoisebench.core.lazy import torch
from denoisebench.core.limits import TimeLimit, at_image
from denoisebench.core.progress import Task as ProgressTask
from denoisebench.core.provenance import machine
from denoisebench.data.dataset import DataSet
from denoisebench.evaluation.counting import Costs
from denoisebench.evaluation.evaluate import Clock, Fitting, Route, evaluate
from denoisebench.experiment.preparation import (
    FitToEachImage,
    NetworkToTrain,
    NothingToPrepare,
    Preparation,
    TrainedNetwork,
)
from denoisebench.plugins.method import Method
from denoisebench.protocol.draws import Draws
from denoisebench.protocol.images import AnyImage, UIntImage
from denoisebench.protocol.noise import Noise
from denoisebench.protocol.protocol import Row
from denoisebench.results.pictures import CLEAN, NOISY, RESULT, encoded
from denoisebench.training.crops import TrainingImages, decoded
from denoisebench.training.heldout import HeldOut
from denoisebench.training.job import TrainingJob
from denoisebench.training.loop import OutOfTime
from denoisebench.training.records import load_trained
from denoisebench.training.train import train

ADVANCE_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What is denoised, and how; see `denoisebench.evaluation.evaluate.Route`."""

    method: Method
    noise: Noise
    dataset: DataSet
    draws: Draws
    padding: str
    seed: int
    device: str
    tile: int | None


@dataclass(frozen=True, kw_only=True)
class CellOrder:
    """Everything a process must know to evaluate images of a cell.

    Parameters
    ----------
    key : str
        Key of the cell.
    title : str
        Its name in messages.
    preparation : Preparation
        What the method needs first.
    conditions : Conditions
        What is denoised, and how.
    models, fits : Path
        Folders of the networks that this run trains, and of the checkpoints of long fits.
    """

    key: str
    title: str
    preparation: Preparation
    conditions: Conditions
    models: Path
    fits: Path


@dataclass(frozen=True)
class Evaluation:
    """Evaluate some (image, repeat) pairs of a cell.

    Parameters
    ----------
    limit : float or None
        Seconds per image.
    keep, form : Mapping[tuple[str, int], Sequence[str]] or str
        Kinds of pictures that are sent with the scores of a pair, and their format; see
        `denoisebench.results.pictures`.
    """

    order: CellOrder
    pairs: tuple[tuple[str, int], ...]
    threads: int
    limit: float | None = None
    keep: Mapping[tuple[str, int], Sequence[str]] = field(default_factory=dict)
    form: str = ""

    @property
    def title(self) -> str:
        """One phrase for messages."""
        return self.order.title


@dataclass(frozen=True)
class Training:
    """Train one network and store it in ``models``.

    Parameters
    ----------
    until : float or None
        Value of ``time.monotonic()`` at which to stop.
    heldout : DataSet or None
        Photographs on which the training is measured.
    """

    job: TrainingJob
    images: DataSet
    models: Path
    threads: int
    until: float | None = None
    heldout: DataSet | None = None

    @property
    def title(self) -> str:
        """One phrase for messages."""
        return f"{self.job.method.text} on {self.job.noise.id}"


Task = Evaluation | Training


@dataclass(frozen=True)
class Begun:
    """A process begins a task; what it runs on, threads included."""

    machine: dict[str, Any]


@dataclass(frozen=True)
class Started:
    """An image is begun."""

    pair: tuple[str, int]


@dataclass(frozen=True)
class Scored:
    """An image is done; pictures of it that are kept, by kind, as the bytes of files."""

    row: Row
    pictures: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Advance:
    """How far the training, or the fit of the image at hand, is."""

    fraction: float
    text: str


@dataclass(frozen=True)
class Done:
    """A task is done.

    Parameters
    ----------
    busy, method, metrics : float
        Seconds in all, in method and network (or training), in scoring.
    """

    busy: float
    method: float
    metrics: float


@dataclass(frozen=True)
class Failed:
    """A task went wrong, and would again.

    Parameters
    ----------
    reason : str
        One sentence.
    trace : str
        The traceback of what nobody foresaw.
    broken : bool
        The process was interrupted anywhere, in an import say, and should do nothing else.
    """

    reason: str
    trace: str = ""
    broken: bool = False


@dataclass(frozen=True)
class Lost:
    """The process that had a task is gone; another may have more luck."""

    reason: str


Event = Begun | Started | Scored | Advance | Done | Failed | Lost
Tell = Callable[[Event], None]


@dataclass
class Bench:
    """What a process keeps from task to task."""

    network: tuple[object, torch.nn.Module] | None = None
    images: dict[str, list[UIntImage]] = field(default_factory=dict)
    draws: dict[str, Draws] = field(default_factory=dict)
    costs: tuple[str, Costs] | None = None

    def network_of(self, order: CellOrder) -> torch.nn.Module | None:
        """The network of a cell, loaded once for tasks in a row; None for a method without one."""
        device = order.conditions.device
        match order.preparation:
            case NetworkToTrain(job):
                key: object = job.key
            case TrainedNetwork(weights=weights):
                key = (weights.sha256, device)
            case FitToEachImage() | NothingToPrepare():
                return None
        if self.network is None or self.network[0] != key:
            self.network = (key, _load(order.preparation, order.conditions.dataset.channels, device, order.models))
        return self.network[1]

    def costs_of(self, order: CellOrder, network: torch.nn.Module | None) -> Costs:
        """What measures the images of a cell, one for all tasks of it here."""
        if self.costs is None or self.costs[0] != order.key:
            self.costs = (order.key, Costs(network, order.conditions.device))
        return self.costs[1]

    def training_images(self, data: DataSet, job: TrainingJob) -> TrainingImages:
        """The images of a training set, checked and decoded once; for real noise the set itself."""
        channels = job.channels
        if job.noise.real:
            data.verify()
            return data
        key = f"{data.name}-{channels}"
        if key not in self.images:
            self.images[key] = decoded(data, channels)
        return self.images[key]

    def draws_of(self, order: CellOrder) -> Draws:
        """The source of noise; one for all cells, because a long stream remembers where it is."""
        draws = order.conditions.draws
        return self.draws.setdefault(draws.id, draws)


def _load(needed: NetworkToTrain | TrainedNetwork, channels: int, device: str, models: Path) -> torch.nn.Module:
    """A network from its file.

    Raises
    ------
    UserError
        The network that was trained is not in ``models``.
    """
    if isinstance(needed, TrainedNetwork):
        return needed.weights.load(needed.method, channels, device)
    trained = load_trained(needed.job, models, device)
    if trained is None:
        raise UserError(f"No network {needed.job.stem} in {models}: deleted, or on another machine?")
    return trained.network


def attempt(task: Task, bench: Bench, tell: Tell) -> None:
    """`perform`, with whatever a plugin may raise turned into `Failed`; only an interrupt passes through."""
    named = where = ""

    def told(event: Event) -> None:
        nonlocal named, where
        if isinstance(event, Started):
            named, where = event.pair[0], at_image(event.pair)
        tell(event)

    try:
        tell(perform(task, bench, told))
    except (OutOfTime, TimeLimit) as error:
        tell(Failed(str(error), broken=isinstance(error, TimeLimit)))
    except UserError as error:
        # Whole sentences: one on a file or an image names it.
        tell(Failed(str(error) if named in str(error) else f"{where.lstrip()}: {error}"))
    except (ContractError, TrainingFailed) as error:
        tell(Failed(f"{error}{where}"))
    except SystemExit as error:
        tell(Failed(f"it tried to end the program (SystemExit: {error.code}){where}"))
    except MemoryError as error:
        tell(Failed(f"out of memory{where}{f': {error}' if str(error) else ''}", broken=True))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        tell(Failed(f"{explain(error)}{where}", "".join(traceback.format_exception(error))))


def perform(task: Task, bench: Bench, tell: Tell) -> Done:
    """Do a task here, telling of every image and step."""
    start = time.perf_counter()
    clock = Clock()
    with _threads(task):
        device = task.job.device if isinstance(task, Training) else task.order.conditions.device
        tell(Begun(environment(device, task.threads)))
        if isinstance(task, Training):
            inner = _Teller(tell)
            images = bench.training_images(task.images, task.job)
            heldout = HeldOut.of(task.heldout, task.job.channels) if task.heldout else None
            begun = time.perf_counter()
            with isolated():
                trained = train(task.job, images, task.models, device, inner, task.until, heldout)
            bench.network = (task.job.key, trained.network)
            clock.method = time.perf_counter() - begun
        else:
            _evaluate(task, bench, tell, clock)
    return Done(time.perf_counter() - start, clock.method, clock.metrics)


def _evaluate(task: Evaluation, bench: Bench, tell: Tell, clock: Clock) -> None:
    order = task.order
    with isolated():
        network = bench.network_of(order)
    how = order.conditions
    fitting = None
    if isinstance(order.preparation, FitToEachImage):
        fitting = Fitting(order.preparation.recipe, order.fits / order.key, _Teller(tell).update)
    route = Route(
        how.method, network, how.noise, how.padding, how.seed, how.device, fitting, how.tile, task.limit,
        bench.costs_of(order, network),
    )  # fmt: skip
    shown: dict[str, AnyImage] = {}

    def look(clean: AnyImage, noisy: AnyImage, result: AnyImage) -> None:
        shown.update({CLEAN: clean, NOISY: noisy, RESULT: result})

    rows = evaluate(route, how.dataset, bench.draws_of(order), task.pairs, clock, look if task.keep else None)
    for pair in task.pairs:
        tell(Started(pair))
        row = next(rows)
        tell(Scored(row, {kind: encoded(shown[kind], task.form) for kind in task.keep.get(pair, ())}))


@contextmanager
def _threads(task: Task) -> Iterator[None]:
    """Have torch use so many threads as the run says: sums depend on it in the last digits."""
    plain = isinstance(task, Evaluation) and isinstance(task.order.preparation, NothingToPrepare)
    if plain and "torch" not in sys.modules:
        # Enough for a plugin that imports torch now, and costs nothing for one that does not.
        before_text = os.environ.get("OMP_NUM_THREADS")
        os.environ["OMP_NUM_THREADS"] = str(task.threads)
        try:
            yield
        finally:
            if before_text is None:
                del os.environ["OMP_NUM_THREADS"]
            else:
                os.environ["OMP_NUM_THREADS"] = before_text
        return
    before = torch.get_num_threads()
    torch.set_num_threads(task.threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def environment(device: str, threads: int) -> dict[str, Any]:
    """What numbers depend on beyond the code: machine, threads, GPU."""
    found = {**machine(), "threads": threads}
    if device == "cuda":
        found |= {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
    return found


class _Teller:
    """Progress of a training or a fit as events."""

    several = True

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def say(self, text: str) -> None:
        """Nothing is said below a task's own progress."""

    def task(self, title: str) -> contextlib.AbstractContextManager[ProgressTask]:
        """Everything is one piece of work."""
        return contextlib.nullcontext(self)

    def update(self, fraction: float, text: str = "") -> None:
        """Report the finished fraction."""
        self._tell(Advance(fraction, text))


def throttled(tell: Tell) -> Tell:
    """The same, but of all reports of progress only some each second: for events that travel."""
    last = 0.0

    def told(event: Event) -> None:
        nonlocal last
        if isinstance(event, Advance):
            now = time.monotonic()
            if now - last < ADVANCE_SECONDS:
                return
            last = now
        tell(event)

    return told
