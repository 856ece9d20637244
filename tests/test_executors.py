"""Where tasks run changes nothing but the time: same numbers, failed cells apart, everything stored as it comes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from denoisebench.core import limits
from denoisebench.core.errors import UserError
from denoisebench.core.progress import Quiet
from denoisebench.data.dataset import AnyFolder
from denoisebench.execution.executors import EXECUTORS, Executor, Handle, Options, make_executor
from denoisebench.execution.executors.serial import Serial
from denoisebench.execution.runner import Outcome, run
from denoisebench.execution.tasks import Evaluation, Event, Lost, Scored, Task
from denoisebench.experiment.cells import Experiment
from denoisebench.experiment.options import parse_noises
from denoisebench.plugins.lookup import parse_methods
from denoisebench.results.store import Store
from denoisebench.training.recipe import Budget, Recipe

pytestmark = pytest.mark.usefixtures("no_data", "fresh_registry")
MakeFolder = Callable[..., Path]

MISBEHAVIOUR = {
    "fine": "return noisy",
    "prints": "print('x' * 10_000_000); return noisy",
    "raises": "raise RuntimeError('boom')",
    "shape": "return noisy[:-1]",
    "type": "return (noisy * 255).astype(np.uint8)",
    "nan": "return noisy * np.nan",
    "mutates": "noisy += 1; return noisy",
    "exits": "raise SystemExit(3)",
    "aborts": "import os; os.abort()",
    "hangs": """
        import time
        while True:
            try:
                time.sleep(9)
            except BaseException:
                pass
    """,
    "eats": """
        kept = []
        while True:
            kept.append(np.ones(10_000_000))
    """,
}


class Log(Quiet):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def base(image_folder: MakeFolder) -> Experiment:
    """identity on three pictures."""
    return Experiment(
        methods=parse_methods("identity"),
        noises=parse_noises("gauss25"),
        datasets=[AnyFolder(image_folder(count=3))],
        recipe=Recipe(Budget(3, "steps"), crop=32),
        train_data=AnyFolder(image_folder("training", size=(41, 40))),
    )


@pytest.fixture
def small_network(tmp_path: Path) -> str:
    """A network of two layers, as a setting."""
    path = tmp_path / "net.py"
    path.write_text(
        "import torch\n\n\nclass Net(torch.nn.Sequential):\n    def __init__(self, i, o):\n"
        "        conv = torch.nn.Conv2d\n        super().__init__(conv(i, 8, 3, padding=1), conv(8, o, 3, padding=1))\n"
    )
    return f"{path}:Net"


def scores(outcome: Outcome) -> list[tuple[Any, ...]]:
    """Everything that must not depend on where and in which order it was computed."""
    return [
        (cell.key, [(r.image, r.repeat, r.psnr, r.ssim, r.level, r.steps) for r in cell.rows.values()])
        for cell in outcome.cells
    ]


def networks(store: Store) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.models.glob("*.safetensors")}


# --- the same numbers everywhere ---


@pytest.mark.slow
def test_two_processes_give_what_one_gives(base: Experiment, tmp_path: Path, small_network: str) -> None:
    """Learned, fitted and plain methods, in another order, images in parts."""
    methods = f"nlm,n2c[network={small_network}],zsn2n,identity"
    experiment = replace(base, methods=parse_methods(methods), repeats=2, image_budget="1steps")
    options = Options(workers=2)
    one, two = Store(tmp_path / "1"), Store(tmp_path / "2")
    alone = run(experiment, one, Quiet(), make_executor("serial", Options()))
    shuffled = replace(experiment, methods=list(reversed(experiment.methods)), repeats=1)
    run(shuffled, two, Quiet(), make_executor("serial", Options()))
    (next(iter(two.models.glob("*.safetensors")))).unlink()
    log = Log()
    both = run(experiment, two, log, make_executor("local", options))
    assert not both.failed
    assert both.computed == 3 * 4
    assert scores(alone) == scores(both)
    assert networks(one) == networks(two)
    assert {cell.about["machine"]["threads"] for cell in both.cells} == {1}
    assert any("images/s" in line and "by 2 workers" in line for line in log.lines)


def test_threads_are_set_for_a_task_and_put_back(base: Experiment, tmp_path: Path, small_network: str) -> None:
    import torch

    before = torch.get_num_threads()
    experiment = replace(base, methods=parse_methods(f"n2c[network={small_network}]"))
    outcome = run(experiment, Store(tmp_path / "o"), Quiet(), make_executor("serial", Options(threads=before + 1)))
    assert torch.get_num_threads() == before
    record = json.loads(next((tmp_path / "o" / "models").glob("*.json")).read_text())
    assert record["machine"]["threads"] == before + 1
    assert outcome.cells[1].about["machine"]["threads"] == before + 1


# --- plugins that misbehave ---


@pytest.mark.slow
def test_a_plugin_can_fail_only_its_own_cell(
    command: Callable[..., Any], plugin_file: Callable[..., Path], image_folder: MakeFolder, tmp_path: Path
) -> None:
    plugins = [part for how, body in MISBEHAVIOUR.items() for part in ("--plugin", plugin_file(how, body))]
    ran = command(
        "run", *plugins, "--methods", ",".join(MISBEHAVIOUR), "--datasets", image_folder(), "--out", tmp_path / "o",
        "--workers", 2, "--time-limit", "1s", "--memory-limit", "500MB",
    )  # fmt: skip
    assert ran.code == 1
    failed = {line.split()[2]: line for line in ran.out.splitlines() if line.startswith("- FAILED")}
    assert set(failed) == set(MISBEHAVIOUR) - {"fine", "prints"}
    for how, reason in {
        "raises": "RuntimeError: boom at image im0, repeat 0 (traceback in",
        "shape": "returned shape (39, 48, 3)",
        "type": "returned uint8 values",
        "nan": "not finite",
        "mutates": "read-only",
        "exits": "tried to end the program",
        "aborts": "ended by SIGABRT at image im",
        "hangs": "not done within the time limit of 1 s at image im",
        "eats": "limit",
    }.items():
        assert reason in failed[how]
    complete = [len(cell.rows) for cell in Store(tmp_path / "o").all()]
    assert complete == [2, 2, 2], "identity, fine, prints"
    assert "x" * 100 not in ran.out + ran.err


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise SystemExit(3)", "tried to end the program (SystemExit: 3) at image im0, repeat 0"),
        ("return noisy * np.nan", "returned values that are not finite at image im0, repeat 0"),
        ("import time; time.sleep(30); return noisy", "not done within the time limit of 0.2 s at image im0, repeat 0"),
        ("print('unasked'); return noisy", ""),
    ],
)
def test_in_this_process_what_is_possible(
    body: str,
    reason: str,
    command: Callable[..., Any],
    plugin_file: Callable[..., Path],
    image_folder: MakeFolder,
    tmp_path: Path,
) -> None:
    ran = command(
        "run", "--plugin", plugin_file("toy", body), "--methods", "toy", "--datasets", image_folder(),
        "--out", tmp_path / "o", "--executor", "serial", "--time-limit", "0.2s",
    )  # fmt: skip
    assert ran.code == (1 if reason else 0)
    assert reason in ran.out
    assert "unasked" not in ran.out, "standard output is for the table"


def test_limits_and_names_that_cannot_be_are_refused(command: Callable[..., Any]) -> None:
    for arguments, sentence in {
        ("--executor", "locl"): "Did you mean 'local'?",
        ("--executor", "serial", "--workers", 2): "needs processes: use --executor local",
        ("--executor", "serial", "--memory-limit", "1GB"): "use --executor local",
        ("--workers", 0): "--workers 0",
        ("--time-limit", "10"): "Allowed: 30s, 10min, 2h",
        ("--time-limit", "0s"): "Allowed: 30s, 10min, 2h",
        ("--memory-limit", "lots"): "Allowed: 800MB, 4GB",
    }.items():
        ran = command("run", *arguments)
        assert (ran.code, sentence in ran.err) == (2, True), ran.err


def test_the_time_of_all_trainings_has_units_or_is_minutes(command: Callable[..., Any]) -> None:
    assert [limits.parse_total_time(text) for text in ("0", "1.5", "90s", "90min", "12 h")] == [0, 90, 90, 5400, 43200]
    for text in ("soon", "-1", "1e3", "5days", "inf"):
        ran = command("weights", "train", "--methods", "n2c", "--time-limit", text)
        assert (ran.code, "Allowed: 30s, 90min, 12h" in ran.err) == (2, True), ran.err


def test_processes_are_used_where_something_needs_them() -> None:
    names = {
        make_executor("auto", options).name
        for options in (Options(workers=2), Options(time_limit=1.0), Options(memory_limit=10**9))
    }
    assert names == {"local"}
    assert make_executor("auto", Options()).name == "serial"
    assert {"serial", "local", "ray"} <= set(EXECUTORS.names())


# --- tasks that are lost ---


class Unlucky(Serial):
    """Loses the process of a task at every image whose turn is in ``losses``."""

    losses: tuple[int, ...] = ()
    slots = 3

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.turn = 0
        self.sizes: list[int] = []

    def submit(self, number: int, task: Task) -> None:
        assert len(self._queue) < self.slots
        if isinstance(task, Evaluation):
            self.sizes.append(len(task.pairs))
        super().submit(number, task)

    def wait(self, handle: Handle, seconds: float) -> None:
        lost: list[int] = []

        def tell(number: int, event: Event) -> None:
            if number in lost:
                return
            self.turn += isinstance(event, Scored)
            if isinstance(event, Scored) and self.turn in self.losses:
                lost.append(number)
                event = Lost("the power failed")
            handle(number, event)

        super().wait(tell, seconds)


def unlucky(*losses: int) -> Unlucky:
    executor = Unlucky(Options())
    executor.losses = losses
    return executor


def test_a_lost_task_is_tried_again_from_the_image_it_had(base: Experiment, tmp_path: Path) -> None:
    experiment, log = replace(base, repeats=4), Log()
    executor = unlucky(3, 7)
    outcome = run(experiment, Store(tmp_path / "o"), log, executor)
    assert not outcome.failed
    assert outcome.computed == 12
    assert executor.turn == 12 + 2, "nothing that was scored is computed twice"
    assert executor.sizes[0] < 12, "images are handed out in parts"
    assert scores(outcome) == scores(run(experiment, Store(tmp_path / "p"), Quiet()))
    assert sum("the power failed at image" in line and "trying again" in line for line in log.lines) == 2


def test_a_task_is_given_up_when_one_image_loses_it_again(base: Experiment, tmp_path: Path) -> None:
    outcome = run(base, Store(tmp_path / "o"), Quiet(), unlucky(1, 2, 3, 4, 5, 6))
    ((title, reason),) = outcome.failed
    assert title == "identity on pictures with gauss25"
    assert reason.startswith("the power failed at image im")
    assert reason.endswith("2 times")


def test_an_executor_can_be_a_plugin(base: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    class Mine(Serial):
        name = "mine"

    module = type(sys)("their_executor")
    vars(module)["Mine"] = Mine
    monkeypatch.setitem(sys.modules, "their_executor", module)
    point = EntryPoint("mine", "their_executor:Mine", "denoisebench.executors")
    points = {point.group: [point]}
    monkeypatch.setattr("denoisebench.plugins.registry.entry_points", lambda group: points.get(group, []))
    monkeypatch.setattr(EXECUTORS, "_loaders", None)
    monkeypatch.setattr(EXECUTORS, "_origins", {})
    executor = make_executor("mine", Options())
    assert isinstance(executor, Executor)
    assert run(base, Store(tmp_path / "o"), Quiet(), executor).computed == 3


def test_a_worker_that_cannot_start_says_why(base: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'no libc here' >&2\nexit 5\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(UserError, match="does not start: its process ended with code 5: no libc here"):
        run(base, Store(tmp_path / "o"), Quiet(), make_executor("local", Options(workers=1)))


# --- two runs, and the end of one ---

COUNTING = """
import os, time
with open({log!r}, "a") as log:
    log.write(f"{{os.getpid()}} {{noisy.sum()}}\\n")
time.sleep({seconds})
return noisy
"""


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Interrupts as in a terminal: a test run in the background ignores them, and so do the processes it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def start(tmp_path: Path, image_folder: MakeFolder, plugin_file: Callable[..., Path]) -> Iterator[Any]:
    """Start the command in a process of its own on a plugin that writes a line per image."""
    log, pictures = tmp_path / "log.txt", image_folder()
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: object, seconds: float, method: str = "toy") -> subprocess.Popen[str]:
        plugin = plugin_file("toy", COUNTING.format(log=str(log), seconds=seconds))
        process = subprocess.Popen(
            [
                sys.executable, "-m", "denoisebench", "run", "--plugin", str(plugin), "--methods", method,
                "--datasets", str(pictures), "--out", str(tmp_path / "o"), *map(str, arguments),
            ],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_two_runs_on_one_folder_compute_every_image_once(start: Any, tmp_path: Path) -> None:
    noises = "gauss5,gauss10,gauss15,gauss20"
    runs = [start("--noise", noises, "--workers", 1, seconds=0.1) for _ in range(2)]
    ends = [process.communicate(timeout=120) for process in runs]
    assert [process.returncode for process in runs] == [0, 0], ends
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert len(lines) == 4 * 2
    assert len({line.split()[1] for line in lines}) == 4 * 2, "each noisy image once"
    tables = [[line for line in out.splitlines() if line.startswith("| toy")] for out, _ in ends]
    assert tables[0] == tables[1]
    assert tables[0][0].count("/") >= 4, "each run prints all columns"
    assert not list((tmp_path / "o" / "claims").glob("*.json"))


@pytest.mark.slow
@pytest.mark.usefixtures("interruptible")
def test_one_interrupt_stops_everything_and_keeps_what_is_done(start: Any, tmp_path: Path) -> None:
    import psutil

    process = start("--workers", 2, "--repeats", 30, seconds=0.3)
    log = tmp_path / "log.txt"
    end = time.monotonic() + 60
    while time.monotonic() < end and not (log.is_file() and len(log.read_text().splitlines()) >= 4):
        time.sleep(0.05)
    workers = psutil.Process(process.pid).children(recursive=True)
    assert len(workers) == 2
    process.send_signal(2)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped." in err
    assert "Traceback" not in err
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert not alive
    stored = sum(len(cell.rows) for cell in Store(tmp_path / "o").all() if cell.about["text"] == "toy")
    assert stored >= len(log.read_text().splitlines()) - 2, "but for the image at hand of each worker"


@pytest.mark.usefixtures("interruptible")
def test_a_trained_step_is_whole_when_a_run_is_interrupted() -> None:
    from denoisebench.core.interrupts import deferred_interrupts

    steps = []
    with deferred_interrupts() as stopped:
        os.kill(os.getpid(), signal.SIGINT)
        steps.append("whole")
    assert stopped.asked
    assert steps == ["whole"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def impatient() -> None:
        with deferred_interrupts():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        impatient()
