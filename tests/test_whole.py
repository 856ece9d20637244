"""How far a whole run is: cells weigh what they are foretold to take."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from denoisebench.execution.cellprogress import CellProgress
from denoisebench.execution.forecast import REFERENCE, Cost
from denoisebench.execution.whole import Whole, in_all


def work(number: int, images: int, key: str = "") -> CellProgress:
    cell = SimpleNamespace(job=SimpleNamespace(key=key) if key else None)
    entry: Any = SimpleNamespace(cell=cell, stored=None, missing=[(f"im{n}", 0) for n in range(images)])
    return CellProgress(number, 2, entry)


def test_a_cell_weighs_what_it_takes() -> None:
    slow, quick = work(1, 4), work(2, 4)
    whole = Whole([slow, quick], [Cost(4, False, 0, 90.0, "here"), Cost(4, False, 0, 10.0, "here")])
    assert (whole.images, whole.done, whole.fraction({}, {})) == (8, 0, 0)
    quick.computed = 4
    assert whole.fraction({}, {}) == pytest.approx(0.1)
    slow.computed = 2
    assert whole.fraction({}, {1: 0.5}) == pytest.approx(0.1 + 0.9 * 2.5 / 4)
    slow.failure = "it cannot"
    assert (whole.done, whole.fraction({}, {})) == (6, 1)


def test_a_training_is_a_part_of_its_cell() -> None:
    learned = work(1, 2, key="k")
    whole = Whole([learned], [Cost(2, True, 100, 50.0, "here", training=40.0)])
    assert whole.fraction({"k": 0.5}, {}) == pytest.approx(0.4)
    learned.computed = 1  # so it is trained, by whomever
    assert whole.fraction({}, {}) == pytest.approx(0.9)


def test_what_was_never_timed_takes_as_long_as_other_images() -> None:
    known, unknown = work(1, 1), work(2, 3)
    whole = Whole([known, unknown], [Cost(1, False, 0, 2.0, "here"), Cost(3, False, 0, None, "never timed")])
    known.computed = 1
    assert whole.fraction({}, {}) == pytest.approx(2 / 8)
    assert in_all([Cost(1, False, 0, 2.0, "here"), Cost(3, False, 0, None, "never timed")]) is None


def test_all_of_it_names_seconds_of_another_machine() -> None:
    here, elsewhere = Cost(1, False, 0, 2.0, "here"), Cost(1, False, 0, 3.0, REFERENCE)
    assert in_all([here, here]) == (4.0, False)
    assert in_all([here, elsewhere]) == (5.0, True)
    assert Whole([], []).fraction({}, {}) == 1
