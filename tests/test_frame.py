"""The pandas view of stored cells."""

from __future__ import annotations

import pytest

from denoisebench.protocol.protocol import Row
from denoisebench.reports.frame import frame_of
from denoisebench.results.store import StoredCell


def cell(text: str) -> StoredCell:
    about = {
        "text": text, "label": "Toy", "told": [], "training": "", "protocol": "abc", "written": "2026",
        "baseline": False, "noise_title": "Gaussian", "dataset_title": "Samples", "warnings": [],
    }  # fmt: skip
    protocol = {"noise": "gauss25", "dataset": "samples", "draws": "counter-0", "padding": "side"}
    found = StoredCell({"method": text, "protocol": protocol, "device": "cpu"}, about)
    found.rows = {("x", r): Row("x", r, 30.0 + r, 0.9, 0.5, 25 / 255) for r in range(2)}
    return found


def test_the_frame_has_one_line_per_image_and_repeat_with_its_types() -> None:
    frame = frame_of([cell("toy[a=1]")])
    assert list(frame.method) == ["toy[a=1]"] * 2
    assert list(frame.repeat) == [0, 1]
    assert frame.psnr.mean() == pytest.approx(30.5)
    assert list(frame.told) == ["", ""]


def test_the_frame_has_the_cost_of_every_score() -> None:
    made = cell("a")
    record = {"steps": 9, "images_seen": 36, "seconds": 2.5, "parameters": 7, "draws": "fresh"}
    made.about |= {"training_record": record, "machine": {"processor": "X9", "cores": 8}}
    frame = frame_of([made, cell("b")])
    costly = frame[frame.method == "a"].iloc[0]
    assert (costly.parameters, costly.training_images, costly.training_seconds) == (7, 36, 2.5)
    assert (costly.device, costly.machine) == ("cpu", "X9 (8 cores)")
    assert frame[frame.method == "b"].parameters.isna().all()
