"""Large experiments: 10,000 cells planned and read back, and a report over 100,000 rows.

Run with ``pytest tests/benchmarks/test_bench_store.py``. Goals: 2 s for planning and reading, 5 s for the report.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from denoisebench.data.dataset import data_roots
from denoisebench.execution.plan import plan
from denoisebench.experiment.cells import Experiment
from denoisebench.experiment.options import parse_noises
from denoisebench.plugins.lookup import find_dataset, parse_methods
from denoisebench.protocol.protocol import Row
from denoisebench.reports.files import write_reports
from denoisebench.results.store import Store, StoredCell
from denoisebench.training.recipe import recipe_from

CELLS, ROWS = 10_000, 100_000


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    """Settings of a learned method and many noise levels; its data set has ten rows per cell."""
    methods = [
        method for method in parse_methods(",".join(f"b2u[eta={n}]" for n in range(100))) if method.name == "b2u"
    ]
    noises = parse_noises(",".join(f"gauss{n}" for n in range(1, 101)))
    recipe = recipe_from("600steps", None, None, None, "fresh", 0, "float32", 1)
    made = Experiment(methods, noises, [find_dataset("samples", ())], recipe, repeats=3, roots=data_roots())
    assert len(made.cells()) == CELLS
    return made


@pytest.fixture(scope="module")
def full(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("large"))
    for cell in experiment.cells():
        rows = {pair: Row(*pair, 20.125 + pair[1] / 3, 0.8123456789, 0.5, 25 / 255) for pair in cell.wanted[:10]}
        about = {
            "text": cell.method.text, "label": "B2U", "told": [], "baseline": False, "training": "600 steps",
            "protocol": cell.protocol.fingerprint, "noise_title": cell.noise.title, "dataset_title": "Samples",
            "warnings": [], "written": "2026-01-01T00:00:00.000000Z",
        }  # fmt: skip
        store.write(StoredCell(dict(cell.identity), about, rows))
    return store


def test_plan_nothing_stored(benchmark: BenchmarkFixture, experiment: Experiment, tmp_path: Path) -> None:
    planned = benchmark.pedantic(plan, (experiment, Store(tmp_path)), rounds=3)
    assert sum(len(entry.missing) for entry in planned) == 12 * CELLS


def test_plan_stored(benchmark: BenchmarkFixture, experiment: Experiment, full: Store) -> None:
    planned = benchmark.pedantic(plan, (experiment, full), rounds=3)
    assert sum(len(entry.missing) for entry in planned) == 2 * CELLS


def test_read_back(benchmark: BenchmarkFixture, full: Store) -> None:
    assert len(benchmark.pedantic(full.all, rounds=3)) == CELLS


def test_report(benchmark: BenchmarkFixture, full: Store) -> None:
    benchmark.pedantic(write_reports, (full,), rounds=3)
    with (full.folder / "scores.csv").open(encoding="utf-8") as lines:
        assert sum(1 for _ in lines) == ROWS + 1
