"""Files of the user's own through a method, one by one or shared out to processes, with a log beside the results."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

from denoisebench.core.files import clear_stale, make_folder
from denoisebench.core.lazy import torch
from denoisebench.core.progress import Progress, Quiet, Task
from denoisebench.core.text import readable
from denoisebench.own.denoise import Problem, Request, Result, Runner, attempt, check_one_level, check_range, for_files
from denoisebench.own.record import Entry, add_entry
from denoisebench.plugins.parcel import PluginPickle

# Of a process: what denoises.
_RUNNER: list[Runner] = []


@dataclass
class Outcome:
    """What became of the files.

    Parameters
    ----------
    done : list of Entry
        Denoised now.
    present : list of str
        Results that were there already.
    problems : list of Problem
        What was not denoised.
    said : list of str
        What the user should know.
    """

    done: list[Entry] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def denoise_files(
    files: Sequence[tuple[Path, Path]],
    request: Request,
    progress: Progress,
    views: Sequence[Sequence[Path]] = (),
    workers: int = 1,
) -> Outcome:
    """Denoise files one by one; what is wrong with one costs no other its result.

    Parameters
    ----------
    files : sequence of (Path, Path)
        Each file, and the path of its result below ``request.out``.
    request : Request
        How.
    progress : Progress
        Is told of every plane.
    views : sequence of sequences of Path
        The same files, those together that are captures of one view; each alone where nothing is given.
    workers : int
        Processes that share the files; results are the same.

    Returns
    -------
    Outcome

    Raises
    ------
    CannotWrite
        The folder of the results cannot be made.
    """
    check_one_level(request)
    check_range(request, bool(views) and min(map(len, views)) > 1)
    make_folder(request.out)
    clear_stale(request.out)
    request = for_files(request, files, views)
    outcome, runner = Outcome(), Runner(request, views or [[source] for source, _ in files], progress)
    workers = min(workers, len(files))
    with progress.task(f"denoise {len(files)} files" if len(files) > 1 else f"denoise {files[0][0].name}") as task:
        every = _in_turn(runner, files, task) if workers < 2 else _in_processes(runner, files, workers, task)
        found: dict[int, Result] = {}
        for number, result in every:
            found[number] = result
            if result.entry is not None:
                # At once, so that a stop finds it there.
                outcome.said += [text for text in add_entry(request.out, result.entry) if text]
    for _, result in sorted(found.items()):
        outcome.done += [] if result.entry is None else [result.entry]
        outcome.present += [] if result.present is None else [result.present]
        outcome.problems += [] if result.problem is None else [result.problem]
    return outcome


@dataclass(frozen=True)
class _Part:
    """The part of the work that one file is."""

    task: Task
    number: int
    count: int
    name: str

    def update(self, fraction: float, text: str = "") -> None:
        done = f"{self.number + 1}/{self.count} {readable(self.name)}" if self.count > 1 else ""
        self.task.update((self.number + fraction) / self.count, f"{done} {text}".strip())


def _in_turn(runner: Runner, files: Sequence[tuple[Path, Path]], task: Task) -> Iterator[tuple[int, Result]]:
    for number, (source, target) in enumerate(files):
        part = _Part(task, number, len(files), source.name)
        yield number, attempt(runner, source, target, part.update)
        part.update(1.0)


def _in_processes(
    runner: Runner, files: Sequence[tuple[Path, Path]], workers: int, task: Task
) -> Iterator[tuple[int, Result]]:
    """Denoise files in several processes.

    A process has as many torch threads as this one, for results depend on them in their last bits.

    Parameters
    ----------
    runner : Runner
        How; what must be trained is trained here, once.
    files : sequence of (Path, Path)
        Each file, and the path of its result.
    workers : int
        Processes.
    task : Task
        Is told of every file.

    Yields
    ------
    (int, Result)
        The number of a file, and what became of it, as soon as it is done.
    """
    runner.prepare()
    parcel = PluginPickle.of((runner.request, dict(runner.own)))
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (parcel, torch.get_num_threads()))
    asked: dict[Future[list[Result]], list[int]] = {}
    # Files whose results may have one name go to one process, in their order: the second finds that of the first.
    units: dict[Path, list[int]] = {}
    for number, (_, target) in enumerate(files):
        units.setdefault(target.with_suffix(""), []).append(number)
    try:
        for numbers in units.values():
            asked[pool.submit(_some, [files[number] for number in numbers])] = numbers
        count = 0
        for future in as_completed(asked):
            numbers = asked[future]
            try:
                results = future.result()
            except BrokenProcessPool:
                reason = "its process was ended from outside (out of memory?); give fewer --workers."
                lost = [Problem(str(files[number][0]), reason, mistake=False) for number in numbers]
                results = [Result(problem=problem) for problem in lost]
            for number, result in zip(numbers, results, strict=True):
                count += 1
                task.update(count / len(files), f"{count}/{len(files)} {readable(files[number][0].name)}")
                yield number, result
    except BaseException:
        # A stop: what is done is kept, what is begun goes on with the next call.
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(parcel: PluginPickle, threads: int) -> None:
    from denoisebench.core.memory import keep_freed_memory

    # The terminal's interrupt is the parent's business, which ends its processes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_freed_memory()
    torch.set_num_threads(threads)
    request, own = parcel.open()
    runner = Runner(request, [], Quiet())
    runner.own.update(own)
    _RUNNER[:] = [runner]


def _some(files: Sequence[tuple[Path, Path]]) -> list[Result]:
    return [attempt(_RUNNER[0], source, target, lambda fraction, text: None) for source, target in files]
