"""Figures by their content: axes, labels, artists and files; what is wrong is said in a sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.lines import Line2D
from matplotlib.text import Text
from PIL import Image

from denoisebench.core.errors import UserError
from denoisebench.core.files import sealed
from denoisebench.protocol.protocol import Protocol, Row
from denoisebench.reports.figures import comparison, curves, paired, quality, style
from denoisebench.reports.statistics import against, groups_of
from denoisebench.results.store import Store, StoredCell
from denoisebench.training.records import FORMAT

Command = Callable[..., Any]


def cell(
    text: str,
    psnr: Sequence[float],
    *,
    levels: Sequence[float] | None = None,
    noise: str = "gauss25",
    told: Sequence[str] = (),
    baseline: bool = False,
    record: dict[str, Any] | None = None,
    seconds: float = 0.5,
    label: str = "",
    **protocol: Any,
) -> StoredCell:
    settled = Protocol(protocol.pop("dataset", "kodak"), "hash", noise, "counter-0", **protocol)
    about = {
        "text": text, "label": label or text.upper(), "told": list(told), "baseline": baseline,
        "protocol": settled.fingerprint, "noise_title": noise, "dataset_title": settled.dataset.title(),
        "training": "9 steps" if record else "", "warnings": [], "written": text,
        "machine": {"processor": "X9", "cores": 4}, "training_record": record or {},
    }  # fmt: skip
    known = levels or [0.1] * len(psnr)
    rows = [Row(f"im{i}", 0, v, 0.8, seconds, s) for i, (v, s) in enumerate(zip(psnr, known, strict=True))]
    identity = {"method": text, "protocol": settled.described(), "training": None, "device": "cpu"}
    return StoredCell(identity, about, {(row.image, row.repeat): row for row in rows})


def xs(line: Line2D) -> list[float]:
    return list(np.asarray(line.get_xdata()))


def ys(line: Line2D) -> list[float]:
    return list(np.asarray(line.get_ydata()))


def texts(figure: Any) -> str:
    return "\n".join(found.get_text() for found in figure.findobj(Text))


def record(
    method: str, points: Sequence[dict[str, float]] | None, noise: str = "gauss25", seed: int = 0
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "method": method, "settings": {}, "noise": noise, "channels": 3, "recipe": {"seed": seed},
        "summary": "9 steps",
    }  # fmt: skip
    return found | ({} if points is None else {"heldout": {"data": {"sha256": "a"}, "points": list(points)}})


def point(step: int, **values: float) -> dict[str, float]:
    return {"step": step, "images": 4 * step, "seconds": 2.0 * step, "noisy": 20.0, **values}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Records of weights, and one of a training beside them under models/."""
    folder = tmp_path / "weights"
    folder.mkdir()
    two = [point(10, exp=25.0, dn=22.0, mid=24.0), point(100, exp=27.0, dn=24.0, mid=28.0)]
    for name, made in {
        "b2u": record("b2u", two),
        "n2c": record("n2c", [point(10, psnr=26.0), point(100, psnr=29.0)]),
        "old": record("n2v", None),
    }.items():
        (folder / f"{name}.json").write_text(json.dumps(made), encoding="utf-8")
    return folder


# --- curves ---


def test_a_method_has_one_name_and_look_in_all_panels_and_its_training_where_two_share_one() -> None:
    def curve(noise: str, training: str) -> curves.Curve:
        return curves.Curve("N2C", "", (noise, 3, "h"), training, 0, [])

    assert curves.names([curve("gauss25", "7 steps"), curve("poisson30", "2 steps")]) == ["N2C", "N2C"]
    apart = curves.names([curve("gauss25", "7 steps"), curve("gauss25", "9 steps"), curve("poisson30", "2 steps")])
    assert apart == ["N2C, 7 steps", "N2C, 9 steps", "N2C"]


def test_curves_have_a_line_per_method_with_the_output_it_scores(weights: Path) -> None:
    found, said, damaged = curves.read_curves([weights])
    assert [(curve.label, curve.output) for curve in found] == [("B2U", "exp"), ("N2C", "")]
    assert said == ["old.json has no scores on held-out images, as trainings of older versions."]
    assert damaged == []
    figure = curves.draw(found)
    (axes,) = figure.axes
    assert [ys(line)[-1] for line in axes.lines] == [27.0, 29.0]
    assert [xs(line)[-1] for line in axes.lines] == [400, 400]
    assert axes.get_xlabel() == "Training crops seen"
    assert axes.get_ylabel() == "PSNR on held-out photographs, dB"
    assert axes.get_xscale() == "log"
    shown = texts(figure)
    assert "B2U (exp)" in shown
    assert "Gaussian σ=25, colour" in shown
    assert "noisy input 20.00 dB" in shown
    every, _, _ = curves.read_curves([weights], every_output=True)
    assert len(curves.draw(every, "seconds").axes[0].lines) == 4


def test_other_noise_is_another_panel_and_seeds_share_a_look(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    points = [point(1, psnr=20.0), point(2, psnr=21.0)]
    for name, made in {
        "a": record("n2c", points), "b": record("n2c", points, seed=1), "c": record("n2c", points, "gauss50"),
    }.items():  # fmt: skip
        (models / f"{name}.json").write_text(sealed(made, FORMAT), encoding="utf-8")
    figure = curves.draw(curves.read_curves([tmp_path])[0], "steps")
    assert [len(axes.lines) for axes in figure.axes] == [2, 1]
    assert len({line.get_color() for axes in figure.axes for line in axes.lines}) == 1


def test_a_training_that_went_on_from_another_is_one_line_with_it(tmp_path: Path) -> None:
    def stage(first: int, steps: int, psnr: float, start: int = 0, noise: str = "gauss25") -> dict[str, Any]:
        points = [point(start + 1, psnr=psnr), point(start + steps, psnr=psnr + 1)]
        begun = {"weights": "w", "noise": noise, "images_seen": 4 * first, "seconds": 2.0 * first + 0.04}
        made = record("n2c", [{**found, "step": found["step"] - start} for found in points])
        return made | ({"start": begun} if first else {})

    # The last one is read first.
    (tmp_path / "a.json").write_text(json.dumps(stage(30, 5, 24.0, start=30)), encoding="utf-8")
    (tmp_path / "b.json").write_text(json.dumps(stage(10, 20, 22.0, start=10)), encoding="utf-8")
    (tmp_path / "c.json").write_text(json.dumps(stage(0, 10, 20.0)), encoding="utf-8")
    (tmp_path / "d.json").write_text(json.dumps(stage(10, 7, 21.5, start=10)), encoding="utf-8")
    (tmp_path / "e.json").write_text(json.dumps(stage(10, 3, 27.0, start=10, noise="gauss50")), encoding="utf-8")
    found, _, _ = curves.read_curves([tmp_path])
    assert [curve.psnr for curve in found] == [[20, 21, 22, 23, 24, 25], [20, 21, 21.5, 22.5], [27, 28]]
    assert found[0].values("step") == [1, 10, 11, 30, 31, 35]
    assert found[0].values("images") == [4, 40, 44, 120, 124, 140]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is damaged"),
        (json.dumps(record("n2c", None)), "no scores on held-out images"),
        (json.dumps({**record("n2c", None), "heldout": {"points": [1]}}), "not what a training writes"),
        (json.dumps(record("n2c", [point(1, psnr=1.0), {"step": 2}])), "not what a training writes"),
        (json.dumps({"heldout": 3}), "no scores on held-out images"),
        ("", "is damaged"),
    ],
)
def test_a_folder_without_curves_says_why(content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=words):
        curves.read_curves([tmp_path])


# --- quality ---


def some() -> list[StoredCell]:
    trained = {"parameters": 1000, "images_seen": 40, "seconds": 3.0}
    return [
        cell("identity", [20.0, 20.5, 21.0], baseline=True, label="Noisy input"),
        cell("n2c", [30.0, 31.0, 33.0], told=["clean images"], record=trained, seconds=0.25),
        cell("b2u", [29.0, 30.5, 31.0], record=trained, seconds=0.4),
        cell("bm3d", [29.5, 31.0, 31.5], seconds=9.0, label="$x_1 <b> =1"),
    ]


@pytest.mark.parametrize(("against_cost", "first"), [("seconds", 0.25), ("parameters", 1000), ("training-images", 40)])
def test_pareto_shows_every_method_but_the_noisy_input(against_cost: str, first: float) -> None:
    figure = quality.pareto(groups_of(some()), against_cost)
    (axes,) = figure.axes
    *points, front = axes.lines
    assert xs(points[0])[0] == first
    assert [line.get_fillstyle() for line in points] == ["none", "full", "full"]
    assert axes.get_xlabel() == quality.COSTS[against_cost]
    assert "$x_1 <b> =1" in texts(figure), "a name is no formula"
    assert ("none" in texts(figure)) == (against_cost != "seconds"), "BM3D trained nothing"
    assert ("X9 (4 cores)" in texts(figure)) == (against_cost == "seconds")
    assert len(xs(front)) >= 1


def test_nobody_on_the_front_is_beaten_in_both() -> None:
    figure = quality.pareto(groups_of(some()))
    front = figure.axes[0].lines[-1]
    assert xs(front) == [0.25], "the clean-trained network is the fastest and the best"


def test_levels_of_a_range_are_averaged_in_parts() -> None:
    levels = np.linspace(5, 50, 24) / 255
    ranged = cell("a", list(40 - 60 * levels), levels=levels.tolist(), noise="gauss5_50")
    figure = quality.noise_levels(groups_of([ranged]))
    dots, means = figure.axes[0].lines
    assert len(xs(dots)) == 24
    assert len(xs(means)) == 6
    assert ys(means) == sorted(ys(means), reverse=True)
    assert "8-bit units" in figure.axes[0].get_xlabel()


def test_fixed_levels_of_one_protocol_make_a_line_and_other_protocols_another_panel() -> None:
    cells = [cell("a", [30.0], noise="gauss15"), cell("a", [28.0], noise="gauss25"), cell("a", [25.0], noise="gauss50")]
    other = [cell("a", [20.0], noise=noise, padding="square") for noise in ("gauss15", "gauss25")]
    figure = quality.noise_levels(groups_of([*cells, *other]))
    assert [xs(axes.lines[0]) for axes in figure.axes] == [[15.0, 25.0, 50.0], [15.0, 25.0]]
    with pytest.raises(UserError, match="two noise levels"):
        quality.noise_levels(groups_of(some()))


# --- pairs ---


def test_a_scatter_has_a_point_per_image_and_says_the_difference() -> None:
    figure = paired.scatter(groups_of(some()), "b2u", "n2c")
    (axes,) = figure.axes
    assert np.asarray(axes.collections[0].get_offsets()).tolist() == [[29.0, 30.0], [30.5, 31.0], [31.0, 33.0]]
    assert "N2C minus B2U" in texts(figure)
    assert "+1.17 dB" in texts(figure)
    assert "higher on 3 of 3 images" in texts(figure)
    with pytest.raises(UserError, match="under one protocol"):
        paired.scatter(groups_of([cell("a", [1.0]), cell("b", [1.0], padding="square")]), "a", "b")


def test_a_forest_has_a_line_per_method_without_the_noisy_input() -> None:
    groups = groups_of(some())
    figure = paired.forest(against(groups, [], "b2u"), groups)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["$x_1 <b> =1", "N2C"]
    assert "+1.17  [" in texts(figure)
    only = groups_of(some()[:1] + some()[2:3])
    with pytest.raises(UserError, match="nothing to draw"):
        paired.forest(against(only, [], "b2u"), only)


# --- comparison ---


def test_the_telling_crop_is_where_results_differ() -> None:
    one = np.full((200, 300, 3), 0.5, np.float32)
    other = one.copy()
    other[120:150, 200:230] = 0.9
    crop = comparison.telling_crop([one, other])
    assert crop.width == crop.height == 48
    assert crop.x <= 200
    assert crop.x + 48 >= 230
    assert crop.y <= 120
    assert crop.y + 48 >= 150
    assert comparison.telling_crop([one]) == (126, 76, 48, 48)
    assert comparison.telling_crop([one[:20, :30], one[:20, :30]])[2:] == (20, 20)


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d", "-1,0,9,9", "0,0,4,9", "0;0;9;9", "0,0,9999999,9"])
def test_a_bad_crop_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--crop"):
        comparison.parse_crop(text)
    with pytest.raises(UserError, match="which is 30x20 pixels"):
        comparison.check_crop(comparison.Crop(0, 0, 31, 10), np.zeros((20, 30, 3)))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_comparison_has_a_tile_per_picture_and_crop(channels: int) -> None:
    image = np.random.default_rng(0).random((40, 60, channels), dtype=np.float32)
    pictures = [comparison.Picture(name, image, 20.0, 0.5) for name in ("Noisy input", "A_$1", "B")]
    crops = [comparison.Crop(0, 0, 10, 10), comparison.Crop(20, 10, 20, 10)]
    figure = comparison.draw(comparison.Picture("Clean", image), pictures, crops, "im0")
    assert len(figure.axes) == 1 + 2 * 4
    assert len(figure.axes[0].patches) == 2
    assert texts(figure).count("20.00 / 0.500") == 6
    assert np.asarray(figure.axes[5].images[0].get_array()).shape[:2] == (10, 20)


@pytest.mark.parametrize("channels", [1, 3])
def test_errors_follow_each_crop_on_one_scale(channels: int) -> None:
    clean = np.full((40, 60, channels), 0.5, np.float32)
    shifts = (0.4, 8 / 255, -20 / 255)
    pictures = [comparison.Picture(str(shift), clean + np.float32(shift), 20.0, 0.5) for shift in shifts]
    maps = comparison.error_maps([picture.image for picture in pictures], clean)
    assert [error.shape for error in maps] == [(40, 60)] * 3
    assert [float(error.mean()) for error in maps] == pytest.approx([102.0, 8.0, 20.0], abs=1.0)
    crops = [comparison.Crop(0, 0, 10, 10), comparison.Crop(20, 10, 20, 10)]
    figure = comparison.draw(comparison.Picture("Clean", clean), pictures, crops, "im0", errors=True)
    assert len(figure.axes) == 1 + 2 * (4 + 3)
    scales = {axes.images[0].get_clim() for axes in figure.axes[5:8]}
    assert scales == {(0.0, float(maps[2].max()))}, "the noisy input does not darken the others"
    assert texts(figure).count(f"error, 0 to {maps[2].max():.0f} of 255") == 2


def test_a_run_is_denoised_again_to_the_bit(command: Command, image_folder: Any, tmp_path: Path) -> None:
    folder, out, file = image_folder(count=2), tmp_path / "out", tmp_path / "figures" / "f.png"
    assert command("run", "--methods", "nlm,bm3d", "--datasets", folder, "--out", out).code == 0
    ran = command("figure", "comparison", out, "--datasets", folder, "--image", "im1", "--out", file)
    assert ran.code == 0, ran.err
    assert "differs from the stored" not in ran.err
    with Image.open(file) as image:
        assert image.info["Software"] == style.CREATOR
    assert "say where it is with --datasets" in command("figure", "comparison", out, "--out", file).err
    ran = command("figure", "comparison", out, "--datasets", folder, "--image", "im9", "--out", file)
    assert ran.code == 2
    assert "Unknown image of this run 'im9'. Did you mean" in ran.err
    ran = command("figure", "comparison", out, "--datasets", folder, "--repeat", 3, "--out", file)
    assert ran.code == 2
    ran = command("figure", "comparison", out, "--datasets", folder, "--crop", "0,0,9000,9", "--out", file)
    assert (ran.code, "leaves the image" in ran.err, "[2/2]" in ran.err) == (2, True, False)
    (folder / "im1.png").unlink()
    ran = command("figure", "comparison", out, "--datasets", folder, "--out", file)
    assert (ran.code, ran.err.count("Traceback")) == (2, 0)


# --- files and looks ---


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")])
def test_a_figure_is_written_as_its_suffix_says_the_same_every_time(suffix: str, start: bytes, tmp_path: Path) -> None:
    file = tmp_path / "new" / f"f{suffix}"
    contents = []
    for _ in range(2):
        style.save(quality.pareto(groups_of(some())), style.check_out(file))
        contents.append(file.read_bytes())
    assert contents[0].startswith(start)
    assert contents[0] == contents[1]


def test_only_a_figure_is_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "mine.png"
    file.write_bytes(b"holiday")
    for path, words in ((file, "is not a figure of denoisebench"), (tmp_path / "f.jpg", "a figure ends in")):
        with pytest.raises(UserError, match=words):
            style.check_out(path)
    assert file.read_bytes() == b"holiday"


def test_looks_differ_for_many_methods() -> None:
    found = style.looks(map(str, range(28)))
    assert len({(look.colour, look.marker) for look in found.values()}) == 28


def test_small_print_is_as_wide_as_its_figure() -> None:
    figure, _ = style.panels(1)
    style.note(figure, "seconds measured on AMD EPYC (2 cores, 1 thread); hollow: trained on clean images " * 2)
    figure.canvas.draw()
    (printed,) = [text for text in figure.findobj(Text) if "hollow" in text.get_text()]
    box = printed.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width


@pytest.mark.parametrize(("low", "high"), [(10_000, 14_000), (28_000, 36_000), (1, 4), (1, 20), (1e3, 4e7)])
def test_a_logarithmic_axis_has_several_numbers_over_any_range(low: float, high: float) -> None:
    figure, (panel,) = style.panels(1)
    panel.plot([low, high], [1, 2])
    style.log_axis(panel)
    panel.set_xlim(low, high)
    figure.canvas.draw()
    shown = [tick for tick in panel.get_xticks() if low <= tick <= high]
    assert 2 <= len(shown) <= 9


def test_labels_are_moved_apart_and_stay_in_order() -> None:
    wanted = [1.0, 1.01, 5.0, 1.02, 0.99]
    placed = style.spread(wanted, 0.5)
    assert placed[2] == 5.0
    order = sorted(range(5), key=wanted.__getitem__)
    gaps = np.diff([placed[place] for place in order])
    assert gaps.min() >= 0.5 - 1e-9
    assert style.spread([], 1.0) == []


# --- the command ---


@pytest.fixture
def results(tmp_path: Path) -> Path:
    store = Store(tmp_path / "results")
    for made in some():
        store.write(made)
    return store.folder


@pytest.mark.parametrize(
    "arguments",
    [
        ["pareto"],
        ["pareto", "--x", "parameters"],
        ["forest", "--reference", "b2u"],
        ["scatter", "b2u", "n2c"],
        ["table"],
        ["table", "--methods", "n2c,b2u", "--columns", "told,kodak", "--label", "b2u=<b>", "--page", "column"],
        ["table", "--table", "1"],
    ],
)
def test_the_commands_write_files(arguments: list[str], command: Command, results: Path, tmp_path: Path) -> None:
    kind, *rest = arguments
    file = tmp_path / "f.svg"
    ran = command("figure", kind, results, *rest, "--out", file)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"{file}\n"
    assert b"<svg" in file.read_bytes()


def test_what_cannot_be_drawn_is_said_in_one_sentence(command: Command, results: Path, tmp_path: Path) -> None:
    file, empty = tmp_path / "f.png", tmp_path / "empty"
    Store(empty)
    for arguments, words in (
        (["pareto", empty], "holds no finished results"),
        (["pareto", tmp_path / "none"], "holds no results"),
        (["pareto", results, "--x", "money"], "Unknown cost 'money'"),
        (["pareto", results, "--methods", "b2v"], "Did you mean 'b2u'"),
        (["pareto", results, "--methods", "identity"], "No method of these results"),
        (["noise", results], "two noise levels"),
        (["forest", results, "--reference", "b2u", "--methods", "b2u"], "nothing to compare"),
        (["scatter", results, "b2u", "b2u"], "nothing to compare 'b2u' with: name two methods"),
        (["table", results, "--table", "9"], "'9'"),
        (["table", results, "--page", "a4"], "Unknown page 'a4'"),
        (["table", results, "--methods", "b2v"], "Did you mean 'b2u'"),
        (["curves", results], "holds no records of trained networks"),
        (["comparison", results, "--crop", "1,2"], "four whole numbers"),
    ):
        ran = command("figure", *arguments, "--out", file)
        assert ran.code == 2, arguments
        assert words in ran.err, arguments
        assert ran.err.count("\n") == 1
    assert not file.exists()


def test_a_damaged_cell_is_named_and_the_rest_is_drawn(command: Command, results: Path, tmp_path: Path) -> None:
    next((results / "cells").glob("*.json")).write_text("{", encoding="utf-8")
    for kind in ("pareto", "table"):
        out = tmp_path / f"{kind}.png"
        ran = command("figure", kind, results, "--out", out)
        assert ran.code == 1, "as report and compare end"
        assert "is damaged" in ran.err
        assert out.exists()


def test_damaged_records_are_named_and_the_other_curves_are_drawn(
    command: Command, weights: Path, tmp_path: Path
) -> None:
    (weights / "torn.json").write_text("{", encoding="utf-8")
    out = tmp_path / "curves.png"
    ran = command("figure", "curves", weights, "--out", out)
    assert ran.code == 1
    assert "torn.json is damaged" in ran.err
    assert out.exists()


def test_a_backend_that_does_not_exist_is_no_matter(results: Path, tmp_path: Path) -> None:
    arguments = [
        sys.executable,
        "-m",
        "denoisebench",
        "figure",
        "table",
        str(results),
        "--out",
        str(tmp_path / "f.svg"),
    ]
    found = subprocess.run(arguments, env={**os.environ, "MPLBACKEND": "none"}, capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "")
