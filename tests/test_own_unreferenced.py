"""``denoisebench run --noise real`` on noisy images alone: what is taken for what, results, estimates, and reasons."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.ndimage import gaussian_filter

from denoisebench.core.errors import UserError
from denoisebench.core.progress import Quiet
from denoisebench.own.denoise import Request
from denoisebench.own.reading import read_view
from denoisebench.own.training import OwnPlanes, check_trainable
from denoisebench.own.unreferenced import noisy_folder, run_unreferenced
from denoisebench.plugins.lookup import parse_method, parse_methods
from denoisebench.results.store import Store
from denoisebench.training.weights import Shelf

SIDE, SIGMA = 96, 900.0
CLEAN = 20000 + 60000 * gaussian_filter(np.random.default_rng(0).standard_normal((SIDE, SIDE)), 6)


def capture(seed: int, clean: np.ndarray = CLEAN) -> np.ndarray:
    noisy = clean + SIGMA * np.random.default_rng(seed).standard_normal(clean.shape)
    return np.clip(noisy, 0, 65535).astype(np.uint16)


def save(path: Path, data: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, data)
    return path


def scores_of(out: Path) -> list[dict[str, str]]:
    with (out / "reference-free.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_files_are_views_and_sub_folders_are_captures(tmp_path: Path) -> None:
    for name in ("a.tif", "Zürich.tif", "c/1.tif", "c/2.tif", "empty/list.txt", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = noisy_folder(tmp_path)
    assert {view.name: len(view.captures) for view in found.views} == {"Zürich": 1, "a": 1, "c": 2}
    assert (found.several, list(found.left_out)) == (False, ["notes.txt", "empty/"])
    assert "3 views, 1 to 2 captures of each. Not read: notes.txt, empty/ (2 in all)." in found.text
    assert [view.name for view in noisy_folder(tmp_path, limit=2).views] == ["Zürich", "a"]
    (tmp_path / "c.tif").touch()
    with pytest.raises(UserError, match="several images named 'c'"):
        noisy_folder(tmp_path)


def test_a_pattern_names_captures(tmp_path: Path) -> None:
    for name in ("noisy/x_1_01.png", "noisy/x_1_02.png", "noisy/y_01.png", "noisy/y_02.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = noisy_folder(tmp_path, "{view}_{capture}")
    assert [view.name for view in found.views] == ["x_1", "y"]
    assert found.several
    for pattern, words in (("{view}", "name both parts"), ("{capture}-{view}", r"x_1_01.png does not fit")):
        with pytest.raises(UserError, match=words):
            noisy_folder(tmp_path, pattern)


def test_captures_of_one_view_are_read_together_if_they_are_alike(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{seed}.tif", capture(seed)) for seed in range(3)]
    found = read_view(paths)
    assert (found.axes, found.data.shape) == ("QYX", (3, SIDE, SIDE))
    np.testing.assert_array_equal(found.data[2], capture(2))
    with pytest.raises(UserError, match=r"o.tif is YX 96x95 uint16, and .*0.tif, which is to show the same view"):
        read_view([*paths, save(tmp_path / "o.tif", capture(0)[:, :95])])


def test_networks_get_captures_of_a_view_as_such() -> None:
    planes = [np.full((4, 4, 1), value, np.float32) for value in range(4)]
    data = OwnPlanes([planes[:2], planes[2:]])
    assert [data.captures(image) for image in data.images] == [2, 2]
    assert data.capture("1", 1)[0, 0, 0] == 3
    assert data.data_hash != OwnPlanes([[plane] for plane in planes]).data_hash
    check_trainable(parse_method("n2n"), several=True)
    for method, several in (("n2n", False), ("n2c", True)):
        with pytest.raises(UserError, match="must be told more than noisy images"):
            check_trainable(parse_method(method), several)


def test_captures_are_scored_against_each_other_and_the_same_call_computes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for view in range(2):
        clean = np.roll(CLEAN, 30 * view, axis=0)
        for seed in range(2):
            save(tmp_path / "mine" / f"v{view}" / f"{seed}.tif", capture(10 * view + seed, clean))
    request = Request(method=parse_method("nlm"), out=tmp_path / "out", shelf=Shelf([]), budget="2steps")
    folder, methods = noisy_folder(tmp_path / "mine"), parse_methods("nlm,n2n[network=dncnn],n2c", None)
    found = run_unreferenced(folder, methods, request, 512, Quiet())
    (ranking,) = found.rankings
    assert (found.failed, [method for method, _ in found.skipped], ranking.by) == ([], ["n2c"], "captures")
    assert {row.text for row in ranking.methods} == {"noisy input", "nlm", "n2n[network=dncnn]"}
    # One sentence for both views, with the number of the table.
    worst = next(row.checks for row in ranking.methods if row.text.startswith("n2n"))
    assert worst is not None
    assert [text.partition(": do")[0] for text in ranking.doubts if text.startswith("n2n")] == [
        f"n2n[network=dncnn] changed the means of 16x16 pixels by {worst.moved:.1f} times what noise explains"
    ]
    assert sum("What n2n[network=dncnn] removed is correlated" in text for text in ranking.doubts) == 1
    noisy = next(row.estimate for row in ranking.methods if row.text == "noisy input")
    # Black and white are near the ends of what each view holds.
    white = float(np.mean([np.ptp(np.percentile(np.roll(CLEAN, 30 * k, 0), (0.1, 99.9))) for k in range(2)]))
    assert noisy is not None
    assert noisy.psnr == pytest.approx(20 * np.log10(white / SIGMA), abs=1.0)
    results = sorted((tmp_path / "out" / "denoised" / "mine" / "nlm").rglob("*.tif"))
    assert [path.relative_to(path.parents[1]).as_posix() for path in results] == [
        "v0/0.tif", "v0/1.tif", "v1/0.tif", "v1/1.tif",
    ]  # fmt: skip
    assert tifffile.imread(results[0]).dtype == np.uint16

    monkeypatch.setattr("denoisebench.own.unreferenced.scene_of", lambda *given: pytest.fail("computed again"))
    again = run_unreferenced(folder, methods, request, 512, Quiet())
    assert [row.text for row in again.rankings[0].methods] == [row.text for row in ranking.methods]
    assert again.rankings[0].verdict == ranking.verdict


def test_estimates_alone_are_no_results_but_are_pointed_at(tmp_path: Path) -> None:
    (tmp_path / "reference-free.md").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=r"no cells/ in it\)\. Estimates without clean images are in .*free\.md\."):
        Store(tmp_path, create=False)


def test_captures_of_different_things_are_not_scored(tmp_path: Path) -> None:
    for seed in range(2):
        other = 20000 + 60000 * gaussian_filter(np.random.default_rng(7 + seed).standard_normal((SIDE, SIDE)), 6)
        save(tmp_path / "mine" / "day" / f"{seed}.tif", capture(seed, other))
    request = Request(method=parse_method("nlm"), out=tmp_path / "out", shelf=Shelf([]))
    found = run_unreferenced(noisy_folder(tmp_path / "mine"), parse_methods("nlm", None), request, 512, Quiet())
    assert not found.scores
    assert "capture 2 does not show what capture 1 shows" in found.reasons[0][1]


@pytest.mark.usefixtures("fresh_registry")
def test_the_command(command: Callable[..., Any], plugin_file: Any, tmp_path: Path) -> None:
    mine, out = tmp_path / "mine", tmp_path / "out"
    save(mine / "good.tif", capture(0))
    tied = gaussian_filter(np.random.default_rng(3).standard_normal((SIDE, SIDE)), 0.8)
    save(mine / "tied.tif", np.clip(CLEAN + 3000 * tied, 0, 65535).astype(np.uint16))
    (mine / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    toy = plugin_file("toy", "import scipy.ndimage as n\nreturn n.gaussian_filter(noisy, (2, 2, 0))")
    asked = ("run", "--noise", "real", "--datasets", mine, "--methods", "toy,n2c", "--plugin", toy, "--out", out)
    done = command(*asked)
    assert done.code == 1, "cut.png"
    assert "Traceback" not in done.err
    for words in (
        "taken as noisy images without clean ones: 3 views, 1 capture of each", "| toy ", "Take toy",
        "No score for 1 view (tied): its noise is not independent", "No score for 1 view (cut)",
        "Skipped: n2c: it must be told more than noisy images (clean images)", "there is no PSNR against them",
    ):  # fmt: skip
        assert words in done.out
    rows = {(row["view"], row["method"]): row for row in scores_of(out)}
    assert float(rows["good", "toy"]["estimated_psnr"]) > float(rows["good", "noisy input"]["estimated_psnr"]) + 3
    assert rows["tied", ""]["estimated_psnr"] == ""
    assert "not independent" in rows["tied", ""]["reason"]
    assert (out / "denoised" / "mine" / "toy" / "tied.tif").is_file()
    assert not (out / "scores.csv").exists(), "no PSNR is made up"
    (mine / "cut.png").unlink()
    assert command(*asked).code == 0
    for wrong in (
        ("--train-data", "samples_train"), ("--trainings", "2"), ("--recipe", "long"), ("--batch", "8"),
        ("--precision", "float32"), ("--repeats", "2"), ("--padding", "square"), ("--save-images", "all"),
        ("--format", "csv"), ("--threads", "3"), ("--weights", out),
    ):  # fmt: skip
        told = command(*asked, *wrong)
        assert (told.code, f"Drop {wrong[0]}, which would change nothing there" in told.err) == (2, True), wrong
    told = command("run", "--datasets", mine, "--captures", "{view}_{capture}", "--out", out)
    assert (told.code, "--captures is of folders of noisy images" in told.err) == (2, True)


def test_on_unusual_is_about_noisy_images_too(command: Callable[..., Any], tmp_path: Path) -> None:
    mine, out = tmp_path / "mine", tmp_path / "out"
    noisy = np.random.default_rng(0).normal(120, 20, (SIDE, SIDE, 4)).clip(0, 255).astype(np.uint8)
    mine.mkdir()
    Image.fromarray(noisy[..., 0]).save(mine / "gray.png")
    Image.fromarray(noisy).save(mine / "alpha.png")
    tifffile.imwrite(mine / "alpha.tiff", noisy, photometric="rgb", extrasamples=["unassalpha"])
    (mine / "alpha.tiff").rename(mine / "alpha2.tiff")
    (mine / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    asked = ("run", "--noise", "real", "--datasets", mine, "--methods", "nlm", "--out", out)
    stopped = command(*asked)
    assert (stopped.code, "--convert" in stopped.err) == (2, False), "run has no such option"
    for words in (
        "alpha.png is colour with alpha.", "alpha2.tiff is an image with an alpha channel.",
        "2 of 4 images cannot be used as they are; of --on-unusual, convert makes gray or RGB what can be and skip",
    ):  # fmt: skip
        assert words in stopped.err
    assert not out.exists(), "nothing was computed"
    skipped = command(*asked, "--on-unusual", "skip")
    assert (skipped.code, skipped.err.count("Traceback")) == (0, 0), skipped.err
    assert "1 view, 1 capture of each. Not read: alpha.png, alpha2.tiff, cut.png (3 in all)." in skipped.out
    made = command(*asked, "--on-unusual", "convert", "--workers", "2")
    assert (made.code, "Converted: alpha.png, alpha2.tiff (2 in all)." in made.out) == (1, True), "cut.png"
    found = np.asarray(Image.open(out / "denoised" / "mine" / "nlm" / "alpha.png"))
    assert (found.shape, found.std() < noisy[..., :3].std()) == ((SIDE, SIDE, 3), True)
    wrong = command(*asked, "--on-unusual", "konvert")
    assert (wrong.code, "Did you mean 'convert'" in wrong.err) == (2, True)
    for name in ("gray.png", "cut.png"):
        (mine / name).unlink()
    none_left = command(*asked, "--on-unusual", "skip")
    assert (none_left.code, "alpha.png is colour with alpha." in none_left.err) == (2, True)


def test_a_wrong_pattern_is_the_only_thing_that_is_said(command: Callable[..., Any], tmp_path: Path) -> None:
    save(tmp_path / "mine" / "a_1.tif", capture(0))
    for pattern, words in (("{views}_{capture}", "name both parts"), ("{view}-{capture}", "does not fit --captures")):
        asked = ("--noise", "real", "--datasets", tmp_path / "mine", "--captures", pattern, "--methods", "nlm")
        told = command("run", *asked)
        assert (told.code, words in told.err, told.err.count("Error:")) == (2, True, 1), told.err


def test_workers_of_noisy_images_are_checked(command: Callable[..., Any], tmp_path: Path) -> None:
    save(tmp_path / "mine" / "a.tif", capture(0))
    told = command("run", "--noise", "real", "--datasets", tmp_path / "mine", "--methods", "nlm", "--workers", "-1")
    assert (told.code, "workers" in told.err) == (2, True), told.err


@pytest.mark.usefixtures("fresh_registry")
def test_a_method_that_fails_is_named_with_its_file(
    command: Callable[..., Any], plugin_file: Any, tmp_path: Path
) -> None:
    save(tmp_path / "in" / "a.tif", capture(0))
    asked = ("--noise", "real", "--datasets", tmp_path / "in", "--methods", "toy", "--out", tmp_path / "out")
    ran = command("run", *asked, "--plugin", plugin_file("toy", "return noisy[1:]"))
    assert ran.code == 1, ran.err
    assert "toy on" in ran.out + ran.err
    assert "returned shape" in ran.out + ran.err


def test_pairs_stay_pairs(command: Callable[..., Any], tmp_path: Path) -> None:
    rng, folder = np.random.default_rng(0), tmp_path / "mine"
    folder.mkdir()
    for name in ("a_mean.JPG", "a_real.JPG"):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / name)
    out = tmp_path / "out"
    done = command("run", "--noise", "real", "--datasets", folder, "--methods", "nlm", "--out", out)
    assert done.code == 0, done.err
    assert (
        "those of 1 pair: noisy images such as a_real.JPG are scored against clean ones such as a_mean.JPG" in done.err
    )
    assert (out / "scores.csv").is_file()
    synthetic = command("run", "--datasets", folder, "--methods", "nlm", "--out", out)
    assert "holds real noisy captures, which go with --noise real only" in synthetic.err + synthetic.out
