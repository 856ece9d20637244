"""The pandas view of a results folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from denoisebench.core.errors import UserError
from denoisebench.protocol.protocol import Row
from denoisebench.reports.frame import scores_frame
from denoisebench.results.store import Store, StoredCell


def test_the_frame_has_one_line_per_image_and_repeat_with_its_types(tmp_path: Path) -> None:
    about = {
        "text": "toy[a=1]", "label": "Toy", "told": [], "training": "", "protocol": "abc", "written": "2026",
        "baseline": False, "noise_title": "Gaussian", "dataset_title": "Samples", "warnings": [],
    }  # fmt: skip
    identity = {"protocol": {"noise": "gauss25", "dataset": "samples", "draws": "counter-0", "padding": "side"}}
    cell = StoredCell(identity, about)
    cell.rows = {("x", r): Row("x", r, 30.0 + r, 0.9, 0.5, 25 / 255) for r in range(2)}
    Store(tmp_path).write(cell)
    frame = scores_frame(tmp_path)
    assert list(frame.method) == ["toy[a=1]"] * 2
    assert list(frame.repeat) == [0, 1]
    assert frame.psnr.mean() == pytest.approx(30.5)
    assert list(frame.told) == ["", ""]


def test_a_folder_without_results_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no results"):
        scores_frame(tmp_path / "nothing")
