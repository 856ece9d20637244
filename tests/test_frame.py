"""The pandas view of stored cells."""

from __future__ import annotations

import pytest

from denoisebench.protocol.protocol import Row
from denoisebench.reports.frame import frame_of
from denoisebench.results.store import StoredCell


def test_the_frame_has_one_line_per_image_and_repeat_with_its_types() -> None:
    about = {
        "text": "toy[a=1]", "label": "Toy", "told": [], "training": "", "protocol": "abc", "written": "2026",
        "baseline": False, "noise_title": "Gaussian", "dataset_title": "Samples", "warnings": [],
    }  # fmt: skip
    identity = {"protocol": {"noise": "gauss25", "dataset": "samples", "draws": "counter-0", "padding": "side"}}
    cell = StoredCell(identity, about)
    cell.rows = {("x", r): Row("x", r, 30.0 + r, 0.9, 0.5, 25 / 255) for r in range(2)}
    frame = frame_of([cell])
    assert list(frame.method) == ["toy[a=1]"] * 2
    assert list(frame.repeat) == [0, 1]
    assert frame.psnr.mean() == pytest.approx(30.5)
    assert list(frame.told) == ["", ""]
