"""``import denoisebench as db``: light to import, typed, equal to the command line, and plain about mistakes."""

from __future__ import annotations

import doctest
import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

import denoisebench as db
from denoisebench import api
from denoisebench.commands.run import file_options
from denoisebench.core.errors import UserError
from denoisebench.evaluation.evaluate import Place, Route
from denoisebench.evaluation.evaluate import denoise as denoise_one
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import Info, LearnedMethod, Need, NoiseInfo, PlainMethod
from denoisebench.protocol.images import to_uint8
from denoisebench.protocol.noise import Draw, parse_noise

pytestmark = pytest.mark.usefixtures("no_data", "fresh_registry")
MakeFolder = Callable[..., Path]
MakePlugin = Callable[..., Path]
FACE = data.astronaut()[64:112, 160:208]
ROOT = Path(__file__).parents[1]


# --- importing ---


@pytest.mark.skipif("coverage" in sys.modules, reason="coverage has modules and costs of its own")
def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, denoisebench as db; dir(db); print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in ran.stdout.split()}
    assert not loaded & {"torch", "numpy", "scipy", "skimage", "pandas", "PIL", "typer", "rich"}
    assert len(ran.stdout.split()) < 150


@pytest.mark.parametrize(("name", "most"), [("denoisebench", 0.5), ("denoisebench.cli", 2.5)])
def test_an_import_costs_little_beside_that_of_numpy(name: str, most: float) -> None:
    """Seconds of the processor, the least of several new processes each."""

    def seconds(module: str) -> float:
        code = f"import time; start = time.process_time(); import {module}; print(time.process_time() - start)"
        runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, check=True) for _ in range(4)]
        return min(float(ran.stdout) for ran in runs)

    assert seconds(name) < most * seconds("numpy")


def test_a_plugin_author_and_the_lists_need_no_torch() -> None:
    code = (
        "import sys\n"
        "from denoisebench import Info, Need, PlainMethod, LearnedMethod, PerImageMethod, Batch, NoiseInfo\n"
        "import denoisebench as db; db.list_methods(), db.list_datasets(), db.psnr, db.run, db.denoise\n"
        "print('torch' in sys.modules, 'pandas' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False False\n"


def test_every_public_name_can_be_had_and_is_documented() -> None:
    assert "run" in dir(db)
    for name in dir(db):
        assert getattr(db, name).__doc__, name
    with pytest.raises(AttributeError):
        db.denoize  # type: ignore[attr-defined]  # noqa: B018


# --- examples ---


@pytest.mark.parametrize(
    "test", [test for test in doctest.DocTestFinder().find(api) if test.examples], ids=lambda test: str(test.name)
)
def test_the_examples_do_what_they_say(test: doctest.DocTest) -> None:
    result = doctest.DocTestRunner().run(test)
    assert result.attempted
    assert not result.failed


def test_every_public_function_has_an_example() -> None:
    shown = {test.name.rpartition(".")[2] for test in doctest.DocTestFinder().find(api) if test.examples}
    functions = {name for name in dir(db) if inspect.isfunction(getattr(db, name))}
    assert functions
    assert functions <= shown


# --- run ---


def test_run_takes_the_options_of_the_command_line() -> None:
    python = set(inspect.signature(db.run).parameters) - {"options", "progress"}
    # Folders of noisy images alone have no scores, which is what `run` returns here.
    assert python | set(api.RunOptions.__annotations__) == set(file_options()) - {"captures"}


def test_run_gives_the_scores_of_the_command_line_and_finds_them_stored(
    command: Callable[..., Any], image_folder: MakeFolder, plugin_file: MakePlugin, tmp_path: Path
) -> None:
    pictures, plugin = image_folder(), plugin_file(body="return 0.5 * noisy + 0.1 * rng.random(noisy.shape)")
    options = ("--noise", "gauss25,poisson30", "--datasets", pictures, "--repeats", 2, "--plugin", plugin)
    ran = command("run", "--methods", "toy", *options, "--out", tmp_path / "one")
    assert ran.code == 0, ran.err
    more: Any = {"noise": ["gauss25", "poisson30"], "datasets": [pictures], "repeats": 2, "plugin": [plugin]}
    results = db.run(["toy"], out=tmp_path / "two", **more)
    assert results.computed == 16
    assert not results.failed
    columns = ["method", "noise", "image", "repeat", "psnr", "ssim", "level", "cell"]
    expected = db.load_results(tmp_path / "one").to_dataframe()[columns]
    assert results.to_dataframe()[columns].equals(expected)
    assert (tmp_path / "two" / "scores.csv").is_file()
    again = db.run("toy", out=tmp_path / "one", **more)
    assert again.computed == 0
    assert again.to_dataframe()[columns].equals(expected)


def test_run_is_quiet_unless_asked(image_folder: MakeFolder, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pictures = image_folder(count=1)
    db.run("identity", datasets=pictures, out=tmp_path / "a")
    assert capfd.readouterr() == ("", "")
    db.run("identity", datasets=pictures, out=tmp_path / "b", progress=True)
    out, err = capfd.readouterr()
    assert not out
    assert "1 cell: 1 to compute (1 image" in err


def test_a_failed_cell_is_listed_warned_of_and_costs_no_other(
    image_folder: MakeFolder, plugin_file: MakePlugin, tmp_path: Path
) -> None:
    plugin = plugin_file(body="raise KeyError('no such <b>thing</b>')")
    with pytest.warns(RuntimeWarning, match="toy on pictures with gauss25 failed: KeyError"):
        results = db.run("toy", datasets=image_folder(), plugin=[plugin], out=tmp_path / "o")
    assert [title for title, _ in results.failed] == ["toy on pictures with gauss25"]
    assert set(results.to_dataframe().method) == {"identity"}
    page = results._repr_html_()
    assert "<table>" in page
    assert "FAILED: toy" in page
    assert "&lt;b&gt;thing" in page
    assert "<b>thing" not in page


def test_tables_have_three_forms(image_folder: MakeFolder, tmp_path: Path) -> None:
    results = db.run("nlm", datasets=image_folder(), out=tmp_path / "o")
    assert results.table().startswith("| Method")
    assert r"\toprule" in results.table("latex")
    assert results.table("html") == results._repr_html_()
    assert repr(results).endswith("2 cells, 4 scores)")
    with pytest.raises(db.UserError, match="Did you mean 'latex'"):
        results.table("latx")
    nothing: Any = None
    with pytest.raises(db.UserError, match=r"Unknown form of a table None\. Allowed: html, latex, markdown\."):
        results.table(nothing)


def test_what_has_no_scores_is_seen_in_a_notebook(
    image_folder: MakeFolder, plugin_file: MakePlugin, tmp_path: Path
) -> None:
    pictures = image_folder()
    results = db.run("nlm", "real", pictures, out=tmp_path / "o")
    assert repr(results).endswith("0 cells, 0 scores, 2 skipped)")
    with pytest.warns(RuntimeWarning, match="failed"):
        results = db.run("toy", datasets=pictures, plugin=[plugin_file(body="return 1 / 0")], out=tmp_path / "p")
    assert repr(results).endswith("1 cell, 2 scores, 1 failed)")


def test_run_takes_instances_of_classes_that_every_process_can_find(image_folder: MakeFolder, tmp_path: Path) -> None:
    blur = parse_method("nlm[patch=3]")
    results = db.run([blur, "identity"], datasets=image_folder(), out=tmp_path / "o")
    assert set(results.to_dataframe().method) == {"identity", blur.text}
    with pytest.raises(db.UserError, match=r"class Gain is known in this session alone.*plugin=\['gain.py'\].*'gain'"):
        db.run(Gain(), out=tmp_path / "o")


def test_threads_get_the_numbers_that_one_gets() -> None:
    """Two methods that draw from torch's own generator."""
    noisy, fitted = db.add_noise(FACE, "gauss25"), ("dip", "self2self")

    def denoised(method: str) -> Any:
        return db.denoise(noisy, method, image_budget="6steps", device="cpu")

    expected = [denoised(method) for method in fitted]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(denoised, fitted * 3))
    for number, result in enumerate(results):
        np.testing.assert_array_equal(result, expected[number % 2])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"methods": "nbr2nb"}, "Did you mean 'nbr2nbr'"),
        ({"methods": [3]}, "^methods: .*; int is none"),
        ({"methods": []}, "methods is empty"),
        ({"datasets": np.zeros((9, 9))}, "^datasets: give one text, or a list of texts; ndarray is none.$"),
        ({"noise": ["gauss-1"]}, "cannot be read"),
        ({"datasets": "nowhere"}, "Unknown data set 'nowhere'"),
        (
            {"datasets": Path("my/nowhere")},
            "^Data set 'my/nowhere': there is no folder /.*/my/nowhere; give a folder of im",
        ),
        ({"methods": b"nlm"}, "methods: .*; bytes is none"),
        ({"methods": db.PlainMethod}, "methods: .*; type is none"),
        ({"device": None}, "Unknown device 'None'. Allowed: auto, cpu"),
        ({"plugin": 3}, "--plugin 3 cannot be used; give a path, or a list of paths"),
        ({"data_root": 3}, "--data-root 3 cannot be used; give the path of a file or folder"),
        ({"lr": "a"}, "--lr 'a' cannot be used; give a number"),
        ({"save_images": True}, "--save-images True cannot be used; give a text or number"),
        ({"budgets": "3steps"}, "option of run 'budgets'.*'budget'"),
        ({"repeats": 0}, "whole numbers from 1"),
        ({"batch": 0}, "--batch '0': allowed are whole numbers from 1 to"),
        ({"crop": 16}, "--crop '16': allowed are whole numbers from 32 to"),
        ({"trainings": 1.5}, "--trainings '1.5'"),
        ({"tile": 33}, "multiples of 32"),
        ({"device": "gpu"}, "Unknown device"),
        ({"workers": 0}, "--workers 0"),
        ({"data_root": "nowhere"}, "--data-root nowhere"),
        ({"plugin": ["nowhere.py"]}, "does not exist"),
    ],
)
def test_mistakes_in_options_are_user_errors(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(db.UserError, match=words):
        db.run(**{"methods": "identity", "out": tmp_path / "o", **options})


def test_a_folder_without_results_or_with_a_damaged_file_is_a_user_error(
    image_folder: MakeFolder, tmp_path: Path
) -> None:
    with pytest.raises(db.UserError, match="holds no results"):
        db.load_results(tmp_path / "nothing")
    db.run("identity", datasets=image_folder(), out=tmp_path / "o")
    (cell,) = (tmp_path / "o" / "cells").glob("*.json")
    cell.write_text(cell.read_text(encoding="utf-8").replace("psnr", "psnx"), encoding="utf-8")
    with pytest.raises(db.UserError, match="damaged"):
        db.load_results(tmp_path / "o")


def test_a_plugin_file_is_loaded_once_and_not_used_when_it_was_changed(
    image_folder: MakeFolder, plugin_file: MakePlugin, tmp_path: Path
) -> None:
    plugin = plugin_file()
    more: dict[str, Any] = {"datasets": image_folder(count=1), "out": tmp_path / "o"}
    for _ in range(2):
        db.run("toy", plugin=[plugin], **more)
    plugin.write_text(plugin.read_text(encoding="utf-8").replace("self.shift", "0.1"), encoding="utf-8")
    with pytest.raises(db.UserError, match="changed after it was loaded"):
        db.run("toy", plugin=[plugin], **more)


# --- single images ---


class Gain(PlainMethod):
    """Remembers what it is told and whether it may write."""

    name = "gain"
    info = Info(label="Gain", needs=frozenset({Need.LEVEL}), multiple=8)
    seen: list[Any] = []  # noqa: RUF012

    def denoise(self, noisy: Any, known: NoiseInfo, rng: np.random.Generator) -> Any:
        self.seen.append((noisy.shape, known))
        return 0.5 * noisy.astype(np.float64)


@dataclass(frozen=True)
class Width(PlainMethod):
    """Has a setting."""

    width: float = 1.0
    name = "width"
    info = Info(label="Width")

    def denoise(self, noisy: Any, known: NoiseInfo, rng: np.random.Generator) -> Any:
        return noisy


class Bare(PlainMethod):
    """Declares nothing."""

    name = "bare"


@dataclass(frozen=True)
class Broken(PlainMethod):
    """Raises, or returns another shape."""

    result: str = ""
    name = "broken"
    info = Info(label="Broken")

    def denoise(self, noisy: Any, known: NoiseInfo, rng: np.random.Generator) -> Any:
        return {"flat": noisy[:, :, 0]}[self.result or "x"]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(20, 19), (20, 19, 1), (20, 19, 3)])
def test_denoise_takes_every_kind_of_image_and_returns_its_shape(shape: tuple[int, ...], kind: Any) -> None:
    image = np.random.default_rng(0).random(shape)
    given = image.astype(kind) if np.dtype(kind).kind == "f" else (image * np.iinfo(kind).max).astype(kind)
    before = given.copy()
    result = db.denoise(given, Gain(), "gauss25")
    assert result.shape == shape
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, 0.5 * image, atol=1e-2)
    np.testing.assert_array_equal(given, before)
    assert given.flags.writeable
    padded, known = Gain.seen[-1]
    assert padded[:2] == (24, 24)
    assert known.level == 25 / 255
    with pytest.raises(Exception, match="without declaring"):
        _ = known.family


@pytest.mark.parametrize("text", ["nlm", "bm3d[sigma=known]"])
def test_denoise_takes_the_route_of_evaluation(text: str) -> None:
    noise, noisy = parse_noise("gauss25"), db.add_noise(FACE, "gauss25", seed=3)
    route = Route(parse_method(text), None, noise)
    expected = denoise_one(route, Draw(noisy.copy(), 25 / 255), Place("", "", 0)).image
    np.testing.assert_array_equal(db.denoise(noisy, text, "gauss25"), expected.astype(np.float32))


def test_denoise_fits_a_network_to_an_image_repeatably() -> None:
    noisy = db.add_noise(FACE, "gauss25")
    first, again, other = (
        db.denoise(noisy, "zsn2n", image_budget="2steps", seed=seed, device="cpu") for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_denoise_with_a_trained_network_by_name_by_object_and_as_a_module() -> None:
    network = db.load_network("n2c-gauss25-rgb", device="cpu")
    noisy = db.add_noise(FACE, "gauss25")
    named = db.denoise(noisy, network.method, "gauss25", "n2c-gauss25-rgb", device="cpu")
    assert db.psnr(named, FACE) > db.psnr(noisy, FACE) + 5
    network.module.train()
    np.testing.assert_array_equal(db.denoise(noisy, network.method, network=network), named)
    np.testing.assert_array_equal(db.denoise(noisy, network.method, "gauss25", network.module), named)
    assert network.module.training, "left as it was"
    np.testing.assert_array_equal(db.denoise(noisy, network.method, "gauss25", device="cpu"), named)


def test_a_network_for_a_range_is_told_the_level_of_the_image() -> None:
    module: Any = None
    network = api.TrainedNetwork("x", "r2r", "gauss5_50", 3, {}, module)
    assert api._told("gauss25", network) == (parse_noise("gauss5_50"), 25 / 255)
    assert api._told("gauss60", network) == (parse_noise("gauss60"), 60 / 255)
    assert api._told("poisson30", network) == (parse_noise("poisson30"), 30)
    assert api._told(None, network) == (parse_noise("gauss5_50"), None)
    assert api._told(None, None) == (parse_noise("real"), None)


COLOUR = np.zeros((32, 32, 3), np.uint8)


@pytest.mark.parametrize(
    ("image", "more", "words"),
    [
        (COLOUR.astype(np.int64), {}, "type int64.*uint8, uint16 and float.*astype\\('uint8'\\) if white is 255"),
        (COLOUR > 0, {}, r"type bool.*Give image.astype\(float\)"),
        (
            np.zeros((4, 4, 4), np.uint8),
            {},
            r"shape \(4, 4, 4\).*\(H, W, 3\) for RGB.*alpha channel: image\[\.\.\., :3\]",
        ),
        (np.zeros((3, 5, 4), np.uint8), {}, r"shape \(3, 5, 4\).*image.transpose\(1, 2, 0\)"),
        (COLOUR[None], {}, "one image at a time"),
        (np.zeros((0, 4), np.uint8), {}, r"shape \(0, 4\).*It is empty"),
        ("face.png", {}, "'face.png' is no image; read the file first"),
        ([[1.0, 2.0], [3.0]], {}, "The image, a list, cannot be read as an array"),
        (torch.zeros(32, 32, requires_grad=True), {}, "The image, a Tensor, .*detach"),
        (np.ma.masked_less(np.zeros((32, 32)), 1), {}, "masked pixels; fill them first"),
        (Image.new("P", (32, 32)), {}, r"palette image .* give image.convert\('RGB'\)"),
        (COLOUR, {"seed": None}, "seed 'None': allowed are whole numbers"),
        (COLOUR, {"seed": -1}, "seed '-1'"),
        (COLOUR, {"image_budget": "3steps"}, "not fitted to each image; leave image_budget out"),
        (COLOUR, {"method": "zsn2n", "image_budget": 0}, "Budget '0' cannot be read"),
        (COLOUR, {"method": Width(width="wide")}, r"width\[width=wide\]: the value must be a finite number"),  # type: ignore[arg-type]  # a mistake
        (COLOUR, {"method": Width(width="2")}, "width: width='2' is no float"),  # type: ignore[arg-type]  # a mistake
        (COLOUR, {"method": Bare()}, r"class Bare lacks its metadata: set `info = Info\(label=...\)`"),
        (COLOUR, {"method": "b2u", "noise": None}, "Name the noise if you know it, such as noise='gauss25'"),
        (np.full((4, 4), np.nan), {}, "NaN"),
        (COLOUR.astype(float) + 128, {}, "white is 1.0, so divide it by 255"),
        (COLOUR, {"noise": None}, "must be told the noise level.*noise='gauss25'"),
        (COLOUR, {"noise": "gauss5_50"}, "must be told the noise level of the image"),
        (COLOUR, {"noise": "gaus25"}, "cannot be read"),
        (COLOUR, {"method": "nml"}, "Did you mean 'nlm'"),
        (COLOUR, {"network": "b2u-gauss25-rgb"}, "has no network"),
        (COLOUR, {"method": "n2c", "network": "b2u-gauss25"}, "Did you mean 'b2u-gauss25-rgb'.*weights train"),
        (COLOUR, {"method": "n2c", "network": "n2v-gauss25-rgb"}, "was trained as n2v"),
        (COLOUR[:, :, 0], {"method": "n2c", "network": "n2c-gauss25-rgb"}, "takes 3 channels; the image has 1"),
        (COLOUR, {"method": "n2c", "network": 3}, "network 3 cannot be used"),
        (COLOUR, {"method": "n2c", "noise": "gauss30"}, "n2c-gauss25-rgb.*weights train --methods 'n2c'.*gauss30"),
        (COLOUR, {"method": "zsn2n", "image_budget": "2epochs"}, "steps or min"),
        (COLOUR, {"method": Broken()}, "broken failed: KeyError: 'x'"),
        (COLOUR, {"method": Broken(result="flat")}, "failed: .*returned shape"),
    ],
)
def test_mistakes_about_an_image_are_user_errors(image: Any, more: dict[str, Any], words: str) -> None:
    with pytest.raises(db.UserError, match=words):
        db.denoise(image, **{"method": "bm3d[sigma=known]", "noise": "gauss25", "device": "cpu", **more})


# --- noise and scores ---


@pytest.mark.parametrize("noise", ["gauss25", "poisson30"])
def test_noise_does_not_depend_on_the_type_of_the_image(noise: str) -> None:
    drawn = db.add_noise(FACE, noise, seed=1)
    assert drawn.shape == FACE.shape
    assert not np.array_equal(drawn, db.add_noise(FACE, noise, seed=2))
    # Means of a Poisson variable that differ in the last bit give the same counts, mostly.
    for other in (FACE / 255, FACE.astype(np.uint16) * 257):
        assert np.mean(np.abs(db.add_noise(other, noise, seed=1) - drawn) > 1e-6) < 1e-3


def test_noise_has_the_declared_level_and_bad_images_are_refused() -> None:
    noisy = db.add_noise(np.full((100, 100), 0.5), "poisson30")
    assert noisy.std() == pytest.approx(np.sqrt(0.5 / 30), rel=0.03)
    for image, words in ((np.full((4, 4), 1.5), "from 0 to 1"), (np.full((4, 4), -0.1), "from 0 to 1")):
        with pytest.raises(db.UserError, match=words):
            db.add_noise(image, "poisson30")
    with pytest.raises(db.UserError, match="cannot be drawn"):
        db.add_noise(FACE, "real")


def test_scores_are_those_of_the_tables() -> None:
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    result = np.clip(db.add_noise(FACE, "gauss10"), -0.2, 1.2)
    rounded = to_uint8(result)
    assert db.psnr(result, FACE) == db.psnr(rounded, FACE)
    assert db.psnr(result, FACE) == pytest.approx(peak_signal_noise_ratio(FACE, rounded), abs=1e-9)
    expected = structural_similarity(
        FACE, rounded, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert db.ssim(result, FACE) == pytest.approx(expected, abs=1e-9)
    assert db.psnr(FACE[:, :, 0], FACE[:, :, 0]) == np.inf
    with pytest.raises(db.UserError, match=r"shape \(48, 48, 3\), the clean image \(48, 48\)"):
        db.psnr(FACE, FACE[:, :, 0])
    with pytest.raises(db.UserError, match="11 pixels"):
        db.ssim(FACE[:8], FACE[:8])


# --- types ---

SCRIPT = """\
import numpy as np
import denoisebench as db

results = db.run(["b2u"], noise="gauss25", datasets=["kodak"], repeats=2, workers=4)
reveal_type(results)
reveal_type(results.table())
noisy = db.add_noise(np.zeros((8, 8)), "gauss25", seed=1)
reveal_type(db.psnr(db.denoise(noisy, "b2u", "gauss25", db.load_network("b2u-gauss25-rgb")), noisy))
info = db.Info(label="Mine", needs=frozenset({db.Need.LEVEL}))
db.run("b2u", bugdet="3steps")
db.psnr("noisy.png")
db.denoize(noisy)
"""


@pytest.mark.slow
def test_a_type_checker_sees_the_public_names(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    # With the settings of the checkout, whose cache then serves.
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--no-pretty", str(script)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert '5: note: Revealed type is "denoisebench.api.Results"' in ran.stdout, ran.stdout + ran.stderr
    assert '6: note: Revealed type is "str"' in ran.stdout
    assert '8: note: Revealed type is "float"' in ran.stdout
    assert [line.split(":")[1] for line in ran.stdout.splitlines() if ": error" in line] == ["10", "11", "12"]


def test_a_learned_method_of_the_public_names_is_one() -> None:
    assert db.LearnedMethod is LearnedMethod
    assert db.UserError is UserError


NUMBER: Any = 25
SEVERAL: Any = ["nlm", "bm3d"]
CLASS: Any = list
MISSPELT: Any = {"dataset": "samples"}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: db.add_noise(COLOUR, NUMBER), "noise: give a text such as 'gauss25'; int is none"),
        (lambda: db.denoise(COLOUR, "nlm", noise=NUMBER), "noise: give a text such as 'gauss25'; int is none"),
        (lambda: db.denoise(COLOUR, SEVERAL), "method: give a text such as 'bm3d'; list is none"),
        (lambda: db.denoise(COLOUR, CLASS), "list without () is none"),
        (lambda: db.run("identity", limit=1, out=NUMBER), "out=25 is no folder"),
        (lambda: db.run("identity", limit=1, out=""), "out='' is no folder; give its path, or '.' for the current"),
        (lambda: db.run("identity", limit=1, plugin=[""]), "--plugin is empty"),
        (lambda: db.load_results(""), "folder='' is no folder"),
        (lambda: db.load_network("x", weights=[NUMBER]), "weights=25 is no folder"),
        (lambda: db.load_network("x", weights=NUMBER), "weights=25 is no folder"),
        (lambda: db.load_network(NUMBER), "Unknown trained network 25"),
        (lambda: db.add_noise(COLOUR, "gauss25", seed=NUMBER / 2), "seed '12.5': allowed are whole numbers from 0"),
        (lambda: db.psnr("a.png", COLOUR), "'a.png' is no image"),
        (lambda: db.load_network("x", weights="my/weights"), "Folder my/weights"),
        (lambda: db.run("identity", **MISSPELT), "Did you mean 'datasets'"),
    ],
)
def test_what_is_no_text_or_no_folder_is_refused_in_a_sentence(
    call: Callable[[], object], words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(db.UserError, match=re.escape(words)):
        call()
    assert list(tmp_path.iterdir()) == []
