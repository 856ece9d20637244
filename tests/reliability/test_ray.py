"""A Ray cluster of several nodes loses a worker and a node in the middle of a run; DENOISEBENCH_LONG=1 runs this."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from denoisebench.core.progress import Quiet
from denoisebench.data.dataset import AnyFolder
from denoisebench.execution.executors import Options, make_executor
from denoisebench.execution.runner import Outcome, run
from denoisebench.experiment.cells import Experiment
from denoisebench.experiment.options import parse_noises
from denoisebench.plugins.lookup import parse_methods
from denoisebench.plugins.registry import METHODS
from denoisebench.results.store import Store
from denoisebench.training.recipe import Budget, Recipe

pytestmark = [
    pytest.mark.skipif(not os.environ.get("DENOISEBENCH_LONG"), reason="set DENOISEBENCH_LONG=1"),
    pytest.mark.usefixtures("no_data", "fresh_registry"),
]

BODY = """
import os, time
with open({log!r}, "a") as log:
    log.write(f"{{os.getpid()}} {{os.environ.get('RAY_NODE_ID', '')}}\\n")
time.sleep(0.3)
return noisy + rng.normal(0, 0.01, noisy.shape)
"""


class Log(Quiet):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head without cores and three nodes of one core each."""
    pytest.importorskip("ray")
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [made.add_node(num_cpus=1) for _ in range(3)]
    made.wait_for_nodes()
    yield made, nodes
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def experiment(image_folder: Callable[..., Path], plugin_file: Callable[..., Path], tmp_path: Path) -> Experiment:
    """A network, a fit, and a plugin of a file that tells which process it runs in."""
    log = tmp_path / "log.txt"
    METHODS.add_file(plugin_file("toy", BODY.format(log=str(log))))
    net = tmp_path / "net.py"
    net.write_text(
        "import torch\n\n\nclass Net(torch.nn.Sequential):\n    def __init__(self, i, o):\n"
        "        conv = torch.nn.Conv2d\n        super().__init__(conv(i, 8, 3, padding=1), conv(8, o, 3, padding=1))\n"
    )
    return Experiment(
        methods=parse_methods(f"toy,n2c[network={net}:Net],zsn2n"),
        noises=parse_noises("gauss25"),
        datasets=[AnyFolder(image_folder(count=4))],
        recipe=Recipe(Budget(20, "steps"), crop=32),
        image_budget="5steps",
        repeats=6,
        train_data=AnyFolder(image_folder("training", size=(41, 40))),
    )


def scores(outcome: Outcome) -> list[tuple[Any, ...]]:
    return [
        (cell.key, [(r.image, r.repeat, r.psnr, r.ssim, r.level, r.steps) for r in cell.rows.values()])
        for cell in outcome.cells
    ]


def when(condition: Callable[[], bool], action: Callable[[], None]) -> threading.Thread:
    """Do something in the middle of what follows."""

    def watch() -> None:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            if condition():
                action()
                return
            time.sleep(0.05)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_a_lost_worker_and_a_lost_node_change_nothing(
    cluster: Any, experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    made, nodes = cluster
    log = tmp_path / "log.txt"

    def lines() -> list[str]:
        return log.read_text(encoding="utf-8").splitlines() if log.is_file() else []

    lost: list[str] = []

    def kill_worker() -> None:
        pid = int(lines()[-1].split()[0])
        lost.append(f"worker {pid}")
        os.kill(pid, signal.SIGKILL)

    def kill_node() -> None:
        lost.append("node")
        # On one machine the run itself is attached to any of the nodes; without that one it is no run.
        own = ray.get_runtime_context().get_node_id()
        made.remove_node(next(node for node in nodes if node.node_id != own), allow_graceful=False)

    threads = [when(lambda: len(lines()) >= 4, kill_worker), when(lambda: len(lines()) >= 10, kill_node)]
    said = Log()
    store = Store(tmp_path / "ray")
    outcome = run(experiment, store, said, make_executor("ray", Options(address=made.address)))
    for thread in threads:
        thread.join()
    assert len(lost) == 2
    assert outcome.failed == []
    assert any("trying again" in line for line in said.lines)
    computed_by_toy = len(lines())
    alone = run(experiment, Store(tmp_path / "serial"), Quiet())
    assert scores(outcome) == scores(alone)
    networks = [
        sorted(p.read_bytes() for p in (tmp_path / n / "models").glob("*.safetensors")) for n in ("ray", "serial")
    ]
    assert networks[0] == networks[1]
    # Of the plugin's 24 images only those at hand were computed again: one of each loss.
    assert 24 < computed_by_toy <= 24 + 2
    print(*said.lines, sep="\n")


def test_limits_hold_on_a_cluster(cluster: Any, experiment: Experiment, tmp_path: Path, plugin_file: Any) -> None:
    made, _ = cluster
    METHODS.add_file(plugin_file("hangs", "import time\nwhile True:\n    time.sleep(1)"))
    METHODS.add_file(plugin_file("aborts", "import os; os.abort()"))
    mixed = replace(experiment, methods=parse_methods("hangs,aborts,identity"), repeats=1)
    options = Options(address=made.address, time_limit=1.0)
    outcome = run(mixed, Store(tmp_path / "o"), Quiet(), make_executor("ray", options))
    reasons = {title.split()[0]: reason for title, reason in outcome.failed}
    assert set(reasons) == {"hangs", "aborts"}
    assert "time limit of 1 s" in reasons["hangs"]
    assert "4 times" in reasons["aborts"]
    assert [len(cell.rows) for cell in outcome.cells] == [4]
