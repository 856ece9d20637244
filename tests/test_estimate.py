"""What a plan says a cell will cost: from the nearest measurement, its source named, nothing invented."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from denoisebench.core.errors import UserError
from denoisebench.execution import forecast as estimate
from denoisebench.execution.forecast import (
    COSTS,
    HERE,
    OTHER,
    RECORDS,
    REFERENCE,
    Timed,
    Timings,
    megapixels,
    plan_lines,
)
from denoisebench.experiment.cells import Experiment
from denoisebench.experiment.options import parse_noises
from denoisebench.plugins.lookup import find_dataset, parse_method
from denoisebench.protocol.protocol import Row
from denoisebench.results.store import Store, StoredCell
from denoisebench.training.recipe import recipe_from


def experiment(*methods: str, noise: str = "gauss25", datasets: tuple[Any, ...] = (), **changes: Any) -> Experiment:
    recipe = recipe_from(changes.pop("budget", "100steps"), None, None, None, "fresh", 0, "float32", 1)
    sets = list(datasets) or [find_dataset("samples", ())]
    return Experiment([parse_method(text) for text in methods], parse_noises(noise), sets, recipe, **changes)


def lines(made: Experiment, folder: Path) -> tuple[list[dict[str, str]], str]:
    heads, rows, notes = plan_lines(made, Store(folder))
    return [dict(zip(heads, row, strict=True)) for row in rows], "\n".join(notes)


def stored(made: Experiment, folder: Path, seconds: float, images: int | None = None) -> None:
    """Rows for every cell of an experiment, each timed alike."""
    for cell in made.cells():
        about = {
            "text": cell.method.text, "label": "", "told": [], "baseline": False, "training": "", "warnings": [],
            "protocol": "p", "noise_title": "", "dataset_title": "", "written": "2026-01-01T00:00:00.000000Z",
        }  # fmt: skip
        rows = {pair: Row(*pair, 30.0, 0.9, seconds, 0.1) for pair in cell.wanted[:images]}
        Store(folder).write(StoredCell(dict(cell.identity), about, rows))


def test_the_nearest_size_counts_and_is_scaled_by_pixels() -> None:
    known = Timings()
    nlm, bm3d = parse_method("nlm"), parse_method("bm3d")
    known.add(Timed("nlm", "", "image", 0.1, 1.0), "cpu", REFERENCE)
    known.add(Timed("nlm", "", "image", 1.0, 4.0), "cpu", REFERENCE)
    for size, seconds in ((0.2, 2.0), (2.0, 8.0)):
        assert known.seconds(nlm, "image", size, "cpu") == pytest.approx((seconds, REFERENCE))
    assert known.seconds(nlm, "image", 2.0, "cuda") is None
    assert known.seconds(bm3d, "image", 2.0, "cpu") is None


def test_what_was_measured_here_wins_over_records_and_other_settings_are_named() -> None:
    known = Timings()
    method = parse_method("b2u[stride=2]")
    known.add(Timed("b2u", "[stride=2]", "train", 1.0, 9.0), "cpu", REFERENCE)
    known.add(Timed("b2u", "", "train", 1.0, 5.0), "cpu", RECORDS)
    assert known.seconds(method, "train", 1.0, "cpu") == (5.0, RECORDS + OTHER)
    known.add(Timed("b2u", "[stride=2]", "train", 1.0, 7.0), "cpu", HERE)
    assert known.seconds(method, "train", 1.0, "cpu") == (7.0, HERE)


def test_a_cell_is_foretold_from_its_own_rows(tmp_path: Path) -> None:
    made = experiment("nlm", repeats=3)
    stored(made, tmp_path, seconds=2.0, images=4)
    (line,), notes = lines(made, tmp_path)
    # 2 s an image, and 0.35 s a megapixel to read, add noise and score: 8 of 512x512.
    assert (line["images"], line["time"], line["timed"]) == ("8", "17 s", HERE)
    assert "8 images to denoise, 0 networks to train" in notes
    assert "About 17 s one cell after the other" in notes


def test_a_training_is_paid_once_and_not_again_when_stored(tmp_path: Path) -> None:
    kodak = find_dataset("kodak", [tmp_path])
    made = experiment("n2c", datasets=(find_dataset("samples", ()), kodak), budget="1000steps", roots=[tmp_path])
    first, second = lines(made, tmp_path / "out")[0]
    assert (first["training steps"], second["training steps"]) == ("1,000", "")
    assert first["timed"] == f"{RECORDS}, {REFERENCE}"
    (job,) = {cell.job.key: cell.job for cell in made.cells() if cell.job is not None}.values()
    models = Store(tmp_path / "out").models
    models.mkdir()
    for ending in ("json", "safetensors"):
        (models / f"{job.stem}.{ending}").write_text("{}", encoding="utf-8")
    assert [line["training steps"] for line in lines(made, tmp_path / "out")[0]] == ["", ""]


def test_minutes_and_epochs_are_understood(tmp_path: Path) -> None:
    (line,), _ = lines(experiment("n2c", budget="3min", roots=[tmp_path]), tmp_path)
    assert line["training steps"] == "by time"
    assert line["time"].startswith("3 min")
    assert line["timed"].startswith("budget")
    (line,), notes = lines(experiment("n2c", budget="4epochs", roots=[tmp_path]), tmp_path)
    assert line["training steps"] == "4", "an epoch of 5 images is one batch of 4"
    assert "Trained on samples_train, 5 images" in notes


def test_data_that_are_not_here_are_planned_from_their_manifest_and_named(tmp_path: Path) -> None:
    sets = (find_dataset("kodak", [tmp_path]), find_dataset("urban100", [tmp_path]))
    (kodak, urban), notes = lines(experiment("nlm", datasets=sets, repeats=None), tmp_path)
    assert (kodak["images"], kodak["state"], kodak["timed"]) == ("240", "data missing", REFERENCE)
    assert (urban["images"], urban["state"], urban["time"]) == ("100", "data missing", "?")
    assert "1 cell of unknown time" in notes
    assert "Missing: Data set 'kodak' (24 images) is not on this machine" in notes
    assert "denoisebench data fetch kodak" in notes
    assert "Missing: Data set 'urban100'" in notes


def test_an_unknown_method_has_no_invented_time(
    tmp_path: Path, plugin_file: Callable[..., Path], fresh_registry: object
) -> None:
    from denoisebench.plugins.registry import METHODS

    made = experiment(METHODS.add_file(plugin_file("strange")))
    (line,), notes = lines(made, tmp_path)
    assert (line["time"], line["timed"]) == ("?", "never timed")
    assert "1 cell of unknown time" in notes


def test_a_fit_is_scaled_by_its_steps(tmp_path: Path) -> None:
    short, long = (lines(experiment("dip", image_budget=f"{n}steps"), tmp_path)[0][0] for n in (100, 1000))
    costs = {row["kind"]: row for row in csv.DictReader(COSTS.open(encoding="utf-8")) if row["name"] == "dip"}
    sizes = megapixels(find_dataset("samples", ()), find_dataset("samples", ()).images)
    seconds = float(costs["fit"]["seconds"]) / float(costs["fit"]["megapixels"]) * sum(sizes)
    scoring = estimate.BESIDE * sum(sizes)
    assert short["time"] == estimate._duration(100 * seconds + scoring)
    assert long["time"] == estimate._duration(1000 * seconds + scoring)


def test_sizes_are_those_that_are_loaded(tmp_path: Path) -> None:
    crops = find_dataset("kodak_crops", [tmp_path])
    assert megapixels(crops, crops.images) == []
    samples = find_dataset("samples", ())
    shapes = [samples.load(image).shape for image in samples.images]
    assert megapixels(samples, samples.images) == [pytest.approx(h * w / 1e6) for h, w, _ in shapes]


def test_the_reference_table_holds_plausible_numbers() -> None:
    with COSTS.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["kind"] for row in rows} == {"image", "fit", "train"}
    assert all(0 < float(row["megapixels"]) < 1 and 0 < float(row["seconds"]) < 600 for row in rows)


def test_a_plan_computes_nothing_and_data_may_be_absent(command: Callable[..., Any], tmp_path: Path) -> None:
    ran = command("table", "1", "--plan", "--out", tmp_path, "--noise", "gauss25", "--methods", "bm3d")
    assert ran.code == 0
    assert ran.out.count("data missing") == 6
    assert "Missing: Data set 'set14'" in ran.out
    with pytest.raises(UserError):
        find_dataset("kodak", [tmp_path]).verify()
    assert list(tmp_path.iterdir()) == []
