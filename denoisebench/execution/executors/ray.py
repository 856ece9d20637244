"""Ray: the processes of a cluster, each task with its need of cores, GPUs and memory.

Ray starts a task where there is room for it. Rows travel through a small actor on the node of this run, so they are
stored as they come; a task whose worker or node is lost is told to the runner, which tries what is missing of it
again. Data, plugins and the results folder are given by path, so every node must see them under the same one.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from denoisebench.core.errors import ContractError, UserError
from denoisebench.core.limits import time_text
from denoisebench.execution.executors import Executor, Handle, Options, process_environment
from denoisebench.execution.tasks import Bench, Done, Event, Failed, Lost, Started, Task, attempt, throttled
from denoisebench.plugins.parcel import PluginPickle

# Seconds a task may take beyond its own alarm before it is ended, and a training has to save its state.
GRACE, SAVING = 10.0, 15.0
# So long a mailbox that does not answer is asked again.
PATIENCE = 60.0
_BENCHES: dict[str, Bench] = {}


@dataclass
class _InHand:
    number: int
    reference: Any
    pair: tuple[str, int] | None = None
    since: float = 0.0
    stopped: str = ""


class Mailbox:
    """An actor that keeps events until they have arrived: a call or its answer may get lost when a node does."""

    def __init__(self) -> None:
        self._events: list[tuple[int, Event]] = []
        self._dropped = 0
        self._last: dict[str, int] = {}

    def put(self, number: int, event: Event, sender: str, place: int) -> None:
        """Leave one event, the one at ``place`` among those of its sender; the same one again changes nothing."""
        if self._last.get(sender, -1) < place:
            self._last[sender] = place
            self._events.append((number, event))

    def take(self, arrived: int) -> list[tuple[int, Event]]:
        """All events after the first ``arrived`` ones, which are dropped."""
        del self._events[: arrived - self._dropped]
        self._dropped = arrived
        return self._events


def patiently(call: Callable[[], Any]) -> Any:
    """What an actor answers; while it cannot be reached, it is asked again."""
    import ray

    until = time.monotonic() + PATIENCE
    while True:
        try:
            return ray.get(call())
        except ray.exceptions.ActorUnavailableError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def do_task(number: int, parcel: PluginPickle, mailbox: Any, run: str, folder: str) -> None:
    """A task on some node; everything it has to say is in the mailbox when it returns."""
    from denoisebench.core.memory import keep_freed_memory

    if run not in _BENCHES:
        # Worker processes outlive a run.
        _BENCHES.clear()
        keep_freed_memory()
    if os.path.isdir(folder):
        os.chdir(folder)

    sender, places = uuid.uuid4().hex, count()

    def tell(event: Event) -> None:
        place = next(places)
        patiently(lambda: mailbox.put.remote(number, event, sender, place))

    try:
        task = parcel.open()
    except Exception as error:
        tell(Failed(f"the task does not reach a worker: {type(error).__name__}: {error}"))
        return
    attempt(task, _BENCHES.setdefault(run, Bench()), throttled(tell))


class OnRay(Executor):
    """Tasks of a Ray cluster, one of its own on this machine if no address is given."""

    name = "ray"
    # A node takes all its tasks with it, whatever the image at hand.
    tries = 4

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        try:
            import ray
        except ImportError:
            raise UserError(
                "--executor ray needs Ray, which is not installed: pip install 'denoisebench[ray]'."
            ) from None
        self._ray = ray
        self._run = uuid.uuid4().hex
        self._ours = False
        self._in_hand: dict[Any, _InHand] = {}
        self._refused: list[tuple[int, Event]] = []
        self._mailbox: Any = None
        self._arrived = 0
        self._remote: Any = None

    @property
    def slots(self) -> int:
        """As many tasks as the nodes that are alive have room for, and one more for each that comes."""
        self._connect()
        if self.options.workers:
            return self.options.workers
        total = self._ray.cluster_resources()
        room = total.get("GPU", 0) if self.options.device == "cuda" else total.get("CPU", 0) // self.options.threads
        return max(1, int(room))

    def submit(self, number: int, task: Task) -> None:
        self._connect()
        try:
            parcel = PluginPickle.of(task)
        except ContractError as error:
            self._refused.append((number, Failed(str(error))))
            return
        arguments = (number, parcel, self._mailbox, self._run, os.getcwd())
        reference = self._remote.remote(*arguments)
        self._in_hand[reference] = _InHand(number, reference, since=time.monotonic())

    def wait(self, handle: Handle, seconds: float) -> None:
        while self._refused:
            handle(*self._refused.pop())
        if not self._in_hand:
            return
        done, _ = self._ray.wait(list(self._in_hand), num_returns=1, timeout=min(seconds, 0.25))
        # What is done has put its last event before: the order matters.
        self._deliver(handle)
        for reference in done:
            self._settle(reference, handle)
        self._watch()

    def close(self) -> None:
        if self._mailbox is None:
            return
        for entry in self._in_hand.values():
            self._ray.cancel(entry.reference)
        if self._in_hand:
            self._ray.wait(list(self._in_hand), num_returns=len(self._in_hand), timeout=SAVING)
        for entry in self._in_hand.values():
            self._ray.cancel(entry.reference, force=True)
        self._in_hand.clear()
        self._ray.kill(self._mailbox)
        self._mailbox = None
        if self._ours:
            self._ray.shutdown()

    def _connect(self) -> None:
        if self._mailbox is not None:
            return
        ray, options = self._ray, self.options
        if not ray.is_initialized():
            self._ours = True
            try:
                ray.init(address=options.address, log_to_driver=False, logging_level="error", include_dashboard=False
                         if options.address is None else None)  # fmt: skip
            except ConnectionError as error:
                raise UserError(f"No Ray cluster answers at --address {options.address}: {error}") from None
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        self._arrived = 0
        self._mailbox = ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=here).remote()
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        environment = {**process_environment(options.threads), "PYTHONPATH": path}
        self._remote = ray.remote(do_task).options(
            num_cpus=options.threads,
            num_gpus=1 if options.device == "cuda" else 0,
            memory=options.memory_limit,
            max_retries=0,
            scheduling_strategy="SPREAD",
            runtime_env={"env_vars": environment},
        )

    def _deliver(self, handle: Handle) -> None:
        entries = {entry.number: entry for entry in self._in_hand.values()}
        for number, event in patiently(lambda: self._mailbox.take.remote(self._arrived)):
            self._arrived += 1
            entry = entries.get(number)
            if entry is None:
                continue
            if isinstance(event, Started):
                entry.pair, entry.since = event.pair, time.monotonic()
            if isinstance(event, Done | Failed | Lost):
                del self._in_hand[entry.reference], entries[number]
            handle(number, event)

    def _settle(self, reference: Any, handle: Handle) -> None:
        """A task that ended without saying so was lost."""
        entry = self._in_hand.pop(reference, None)
        if entry is None:
            return
        reason = "it ended without a word"
        try:
            self._ray.get(reference)
        except Exception as error:
            reason = f"{type(error).__name__.removesuffix('Error')} on Ray"
        handle(entry.number, Failed(entry.stopped) if entry.stopped else Lost(reason))

    def _watch(self) -> None:
        limit, now = self.options.time_limit, time.monotonic()
        for entry in self._in_hand.values():
            if limit and entry.pair and not entry.stopped and now - entry.since > limit * 1.1 + GRACE:
                entry.stopped = time_text(limit, entry.pair)
                self._ray.cancel(entry.reference, force=True)
