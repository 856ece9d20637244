"""``denoisebench denoise``: values, files, logs, networks for other levels, what happens to what is wrong."""

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
from skimage.data import astronaut

from denoisebench.core.errors import UserError
from denoisebench.core.progress import Quiet
from denoisebench.own import batch, model
from denoisebench.own import denoise as own
from denoisebench.own.network import DARK, choose
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import LearnedMethod
from denoisebench.toolbox.poisson_gaussian import PoissonGaussian
from denoisebench.training.weights import Shelf, weights_folders

RNG = np.random.default_rng(0)
CLEAN = astronaut()[64:160, 160:256] / 255.0
SHIPPED = Shelf(weights_folders())
# Adds 1000 grey levels of a 16-bit file whose black is 0 and white 10000.
SHIFT = "return noisy + 0.1"


def log_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "denoise-log.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def run(files: list[Path], out: Path, method: str = "nlm", **options: Any) -> batch.Outcome:
    request = own.Request(method=parse_method(method), out=out, shelf=SHIPPED, **options)
    return batch.denoise_files([(path, Path(path.name)) for path in files], request, Quiet())


def psnr(image: np.ndarray, clean: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((np.clip(image, 0, 1) - clean) ** 2)))


@pytest.mark.usefixtures("fresh_registry")
def test_values_go_through_the_scale_and_back(command: Callable[..., Any], plugin_file: Any, tmp_path: Path) -> None:
    stack = RNG.integers(500, 9000, (3, 20, 24), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "s.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    np.save(tmp_path / "f.npy", stack[0].astype(np.float32))
    out, toy = tmp_path / "out", plugin_file("toy", SHIFT)
    asked = ("--method", "toy", "--plugin", toy, "--out", out, "--range", "0..10000")
    done = command("denoise", tmp_path / "s.tif", tmp_path / "f.npy", *asked)
    assert done.code == 0, done.err
    np.testing.assert_array_equal(tifffile.imread(out / "s.tif"), stack + 1000)
    np.testing.assert_allclose(np.load(out / "f.npy"), stack[0] + 1000.0, atol=0.01)
    assert np.load(out / "f.npy").dtype == np.float32
    rows = {row["output"]: row for row in log_of(out)}
    assert rows["s.tif"]["axes"] == "ZYX"
    assert (rows["s.tif"]["planes"], rows["s.tif"]["black"], rows["s.tif"]["range"]) == ("3", "0.0", "given")
    assert not [path for path in out.iterdir() if path.name.startswith(".denoisebench-") and path.suffix == ".npy"]

    written = (out / "s.tif").stat().st_mtime_ns
    same = command("denoise", tmp_path / "s.tif", tmp_path / "f.npy", *asked)
    assert (same.code, (out / "s.tif").stat().st_mtime_ns) == (0, written)
    assert "2 were there already" in same.out
    other = command("denoise", tmp_path / "s.tif", *asked[:-1], "0..20000")
    assert other.code == 2
    assert "s.tif is there already; give --overwrite" in other.err
    np.testing.assert_array_equal(tifffile.imread(out / "s.tif"), stack + 1000)
    assert command("denoise", tmp_path / "s.tif", *asked[:-1], "0..20000", "--overwrite").code == 0
    np.testing.assert_array_equal(tifffile.imread(out / "s.tif"), stack + 2000)
    assert len(log_of(out)) == 2


def test_everything_wrong_is_listed_and_the_rest_is_done(
    command: Callable[..., Any], plugin_file: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    noisy = RNG.random((20, 24)).astype(np.float32)
    holed = noisy.copy()
    holed[3, 4] = np.nan
    np.save(folder / "holed.npy", holed)
    np.save(folder / "constant.npy", np.full((20, 24), 7.0))
    np.save(folder / "good.npy", noisy)
    np.save(folder / "stack.npy", np.stack([noisy] * 4))
    tifffile.imwrite(folder / "cut.tif", noisy)
    (folder / "cut.tif").write_bytes((folder / "cut.tif").read_bytes()[:900])
    (folder / "scan.nd2").write_bytes(b"x")
    (folder / "tiny.npy").touch()
    out, toy = tmp_path / "out", plugin_file("toy", SHIFT)
    asked = ("--method", "toy", "--plugin", toy, "--out", out)
    done = command("denoise", folder, folder / "scan.nd2", *asked)
    assert done.code == 1
    for words in (
        "holed.npy: it holds 1 values of 480 that are NaN", "constant.npy: it is constant (every value is 7)",
        "stack.npy has the shape 4x20x24", "cut.tif", "scan.nd2 cannot be read: export it as OME-TIFF", "tiny.npy",
    ):  # fmt: skip
        assert words in done.err
    assert "Traceback" not in done.err
    assert [row["output"] for row in log_of(out)] == ["good.npy"]
    assert sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) == [
        "denoise-log.csv", "good.npy",
    ]  # fmt: skip
    kept = command("denoise", folder / "holed.npy", *asked, "--nan", "keep")
    assert "were interpolated for the method; the result has them as they were" in kept.out
    assert kept.code == 0
    assert np.isnan(np.load(out / "holed.npy")).sum() == 1
    assert command("denoise", folder / "holed.npy", *asked, "--nan", "interpolate", "--overwrite").code == 0
    assert np.isfinite(np.load(out / "holed.npy")).all()


@pytest.mark.usefixtures("fresh_registry")
def test_the_exit_code_says_whose_fault_it_is_whatever_the_words(
    command: Callable[..., Any], plugin_file: Any, tmp_path: Path
) -> None:
    """2: what was given cannot be denoised; 1: the method failed."""
    flat, good = tmp_path / "scan failed: again.npy", tmp_path / "good.npy"
    np.save(flat, np.full((20, 24), 7.0))
    np.save(good, RNG.random((20, 24)).astype(np.float32))
    asked = ("--method", "toy", "--plugin", plugin_file("toy", "return noisy[1:]"), "--out", tmp_path / "out")
    for files, code, words in (
        ((flat,), 2, "it is constant"), ((good,), 1, "returned shape"), ((flat, good), 1, "it is constant"),
    ):  # fmt: skip
        done = command("denoise", *files, *asked)
        assert done.code == code, done.err
        assert words in done.err


def test_mistakes_are_told_at_once_before_any_work(command: Callable[..., Any], tmp_path: Path) -> None:
    wrong = ("--method", "blur", "--range", "9..1", "--channels", "some", "--tile", "31", "--nan", "drop")
    told = command("denoise", tmp_path / "none.tif", *wrong, "--out", tmp_path / "out")
    assert told.code == 2
    for words in ("none.tif does not exist", "'blur'", "value of --channels 'some'", "--tile '31'"):
        assert words in told.err
    assert not (tmp_path / "out").exists()
    np.save(tmp_path / "a.npy", CLEAN)
    for option, value in (("--range", "9..1"), ("--nan", "drop"), ("--sigma", "-3")):
        told = command("denoise", tmp_path / "a.npy", "--method", "nlm", option, value, "--out", tmp_path / "out")
        assert told.code == 2
        assert option in told.err


@pytest.mark.usefixtures("fresh_registry")
def test_values_that_no_denoiser_gives_are_told(command: Callable[..., Any], plugin_file: Any, tmp_path: Path) -> None:
    # 8 bits cut them off: what lies in the file looks like white.
    planes = RNG.integers(0, 256, (3, 20, 24), dtype=np.uint8)
    planes[1, 0, 0] = 255
    planes[:, 5, 5] = (10, 255, 10)
    tifffile.imwrite(tmp_path / "s.tif", planes, imagej=True, metadata={"axes": "ZYX"})
    toy = plugin_file("toy", "return noisy + 40.0 * (noisy[5, 5] == 1.0) * (noisy == noisy.max())")
    done = command("denoise", tmp_path / "s.tif", "--method", "toy", "--plugin", toy, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert "WARNING: the method failed in a part of it in " in done.out
    assert "values lie beyond the noisy ones by up to 40 times their range" in log_of(tmp_path / "out")[0]["notes"]
    whole = command("denoise", tmp_path / "s.tif", "--method", "nlm", "--sigma", "9", "--out", tmp_path / "nlm")
    assert "WARNING" not in whole.out


def test_a_result_never_replaces_its_source(command: Callable[..., Any], plugin_file: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", CLEAN)
    before = (tmp_path / "a.npy").read_bytes()
    for more in ([], ["--overwrite"]):
        told = command(
            "denoise", tmp_path / "a.npy", "--method", "toy", "--plugin", plugin_file("toy"), "--out", tmp_path, *more
        )
        assert told.code == 2
        assert f"would replace it; --out must be another folder than {tmp_path}." in told.err.replace("\n", " ")
        assert (tmp_path / "a.npy").read_bytes() == before


def test_a_stopped_stack_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "s.npy", RNG.random((4, 20, 24)))
    calls: list[int] = []
    real = own._denoised

    def stopping(*args: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(own, "_denoised", stopping)
    with pytest.raises(KeyboardInterrupt):
        run([tmp_path / "s.npy"], tmp_path / "out", axes="ZYX")
    assert not (tmp_path / "out" / "s.npy").exists()
    assert len(run([tmp_path / "s.npy"], tmp_path / "out", axes="ZYX").done) == 1
    assert len(calls) == 5
    monkeypatch.setattr(own, "_denoised", real)
    run([tmp_path / "s.npy"], tmp_path / "whole", axes="ZYX")
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "s.npy"), np.load(tmp_path / "whole" / "s.npy"))


def test_sigma_is_in_the_values_of_the_file(tmp_path: Path) -> None:
    noisy = 1000 + 4000 * (CLEAN + 0.1 * RNG.standard_normal(CLEAN.shape))
    np.save(tmp_path / "n.npy", noisy.astype(np.float32))
    rows = run([tmp_path / "n.npy"], tmp_path / "estimated").done
    assert rows[0].sigma_source == "estimated"
    assert float(rows[0].sigma) == pytest.approx(400, rel=0.1)
    run([tmp_path / "n.npy"], tmp_path / "given", sigma=400.0)
    before, after = ((np.load(tmp_path / name) - 1000) / 4000 for name in ("n.npy", "given/n.npy"))
    assert psnr(after, CLEAN) > psnr(before, CLEAN) + 6
    weak = run([tmp_path / "n.npy"], tmp_path / "weak", sigma=1.0).done
    assert weak[0].sigma == "1"
    assert f"standard deviation of {float(rows[0].sigma):.3g} and" in weak[0].notes
    assert "--sigma is 1; it is meant in the values of the file" in weak[0].notes
    assert np.abs(np.load(tmp_path / "weak/n.npy") - noisy).max() < 20
    np.save(tmp_path / "tiny.npy", noisy[:8, :8].astype(np.float32))
    assert run([tmp_path / "tiny.npy"], tmp_path / "small", sigma=400.0).done[0].notes == ""


@pytest.mark.parametrize("name", ["nlm", "bm3d", "wnnm"])
def test_a_level_in_brackets_is_the_one_that_is_used(name: str, tmp_path: Path) -> None:
    noisy = np.clip(255 * CLEAN[:48, :48] + 20 * RNG.standard_normal((48, 48, 3)), 0, 255).round().astype(np.uint8)
    np.save(tmp_path / "n.npy", noisy)
    (row,) = run([tmp_path / "n.npy"], tmp_path / "in", f"{name}[sigma=6]").done
    run([tmp_path / "n.npy"], tmp_path / "by", name, sigma=6.0)
    run([tmp_path / "n.npy"], tmp_path / "found", name)
    in_brackets, by_option, found = (np.load(tmp_path / part / "n.npy") for part in ("in", "by", "found"))
    np.testing.assert_array_equal(in_brackets, by_option)
    assert np.abs(found.astype(float) - in_brackets).mean() > 3
    assert row.sigma == ""
    for options, said in (({"sigma": 9.0}, "--sigma"), ({"noise": "camera"}, "--noise camera")):
        with pytest.raises(UserError, match=f"says the noise level in brackets .* and {said} says another; drop one"):
            run([tmp_path / "n.npy"], tmp_path / "no", f"{name}[sigma=6]", **options)


@pytest.mark.parametrize("sigma", [10, 40])
def test_a_network_for_one_level_serves_others(tmp_path: Path, sigma: int) -> None:
    noisy = CLEAN + sigma / 255 * RNG.standard_normal(CLEAN.shape)
    np.save(tmp_path / "n.npy", noisy.astype(np.float32))
    gains = {}
    for factor in (1.0, 25 / sigma):
        out = tmp_path / f"out{factor}"
        options: dict[str, Any] = {"range": "0..1", "network": "nbr2nbr-gauss25-rgb"}
        row = run([tmp_path / "n.npy"], out, "nbr2nbr", sigma=25 / factor / 255, **options).done[0]
        gains[factor] = psnr(np.load(out / "n.npy"), CLEAN) - psnr(noisy, CLEAN)
        assert row.network.startswith("network nbr2nbr-gauss25-rgb")
        assert len(row.network_sha256) == 64
    assert gains[25 / sigma] > 4
    assert gains[25 / sigma] > gains[1.0] + 1


@pytest.mark.parametrize(("method", "channels"), [("nbr2nbr", 1), ("b2u", 3), ("n2v", 1)])
def test_a_dark_ground_keeps_its_brightness(tmp_path: Path, method: str, channels: int) -> None:
    """Networks return 0 with noise as 0.02 to 0.04 where they are given it at 0: a microscope's ground lies there."""
    noisy = (25 / 255 * np.random.default_rng(0).standard_normal((96, 96, channels))).astype(np.float32)
    np.save(tmp_path / "n.npy", noisy if channels == 3 else noisy[:, :, 0])
    run([tmp_path / "n.npy"], tmp_path / "out", method, sigma=25 / 255, range="0..1")
    assert np.load(tmp_path / "out" / "n.npy").mean() == pytest.approx(noisy.mean(), abs=0.005)


def test_which_network_is_chosen() -> None:
    method = parse_method("b2u")
    assert isinstance(method, LearnedMethod)
    single = "b2u-gauss25-rgb"
    colour = choose(method, 17 / 255, 3, SHIPPED, single)
    assert colour.repeat == 1
    assert colour.factor == pytest.approx(25 / 17)
    # Black is not where networks see it seldom, less so where the image is stretched.
    assert colour.shift == pytest.approx(DARK * 17 / 25)
    gray = choose(method, 25 / 255, 1, SHIPPED, single)
    assert gray.repeat == 3
    assert gray.factor == pytest.approx(1 / np.sqrt(3))
    # An image that is made darker goes to the middle of the range.
    assert gray.shift == pytest.approx((1 - gray.factor) / 2)
    assert choose(method, 25 / 255, 3, SHIPPED).weights.path.stem == single
    # A gray image gets the gray network of its level, where there is one.
    own = choose(method, 15 / 255, 1, SHIPPED)
    assert (own.weights.path.stem, own.repeat, own.factor, own.shift) == ("b2u-gauss15-gray", 1, 1, DARK)
    # Of a range of levels, none is scaled within it.
    ranged = choose(method, 17 / 255, 3, SHIPPED, "b2u-gauss5_50-rgb")
    assert ranged.factor == 1.0
    assert ranged.level == pytest.approx(17 / 255)
    # One level that is near is better than a range that holds it, and one that is not is worse.
    taken = {sigma: choose(method, sigma / 255, 3, SHIPPED).weights.path.stem for sigma in (5, 9, 11, 17, 40, 45)}
    assert [sigma for sigma, stem in taken.items() if stem == single] == [11, 17, 40]
    assert {stem for sigma, stem in taken.items() if sigma in (5, 9, 45)} == {"b2u-gauss5_50-rgb"}
    assert choose(method, 75 / 255, 3, SHIPPED, "b2u-gauss5_50-rgb").factor == pytest.approx(50 / 75)
    with pytest.raises(UserError, match=r"no trained network of b2u.stride=2.*nlm, bm3d or zsn2n"):
        choose(parse_method("b2u[stride=2]"), 0.1, 3, SHIPPED)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="n2v-gauss25-rgb does not fit b2u: give --method n2v with it"):
        choose(method, 0.1, 3, SHIPPED, "n2v-gauss25-rgb")
    fitting = "of b2u these fit: b2u-gauss25-rgb, b2u-gauss5_50-rgb"
    with pytest.raises(UserError, match=f"b2u-poisson30-rgb does not fit; {fitting}"):
        choose(method, 0.1, 3, SHIPPED, "b2u-poisson30-rgb")
    with pytest.raises(UserError, match=f"there is no network b2u-gaus25; {fitting}"):
        choose(method, 0.1, 3, SHIPPED, "b2u-gaus25")
    with pytest.raises(UserError, match="--sigma"):
        choose(method, 0.5 / 255, 3, SHIPPED, single)


def test_tiles_leave_no_seam(tmp_path: Path) -> None:
    noisy = np.clip(np.tile(CLEAN, (3, 2, 1)) + 0.1 * RNG.standard_normal((288, 192, 3)), 0, 1)
    np.save(tmp_path / "n.npy", noisy.astype(np.float32))
    rows = [run([tmp_path / "n.npy"], tmp_path / f"t{tile}", "n2n", sigma=0.1, tile=tile).done[0] for tile in (0, 64)]
    assert [row.tile for row in rows] == [0, 64]
    whole, tiled = (np.load(tmp_path / name / "n.npy") for name in ("t0", "t64"))
    assert np.abs(whole - tiled).max() < 1e-4


def test_a_photograph_of_8_bits_comes_back_as_one(tmp_path: Path) -> None:
    noisy = np.clip(255 * CLEAN + 20 * RNG.standard_normal(CLEAN.shape), 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(tmp_path / "p.jpg", quality=98)
    row = run([tmp_path / "p.jpg"], tmp_path / "out", sigma=20.0).done[0]
    assert (row.output, row.dtype, row.white) == ("p.png", "uint8", 255.0)
    result = np.asarray(Image.open(tmp_path / "out" / "p.png"))
    assert result.dtype == np.uint8
    assert psnr(result / 255, CLEAN) > psnr(noisy / 255, CLEAN) + 5


def test_noise_that_grows_with_the_signal_is_made_one_level_first(tmp_path: Path) -> None:
    signal = 60.0 * gaussian_filter(np.asarray(astronaut(), np.float64)[:, :, 1] / 255, 2) ** 2
    counts = 40 * RNG.poisson(signal) + 300 + 20 * RNG.standard_normal(signal.shape)
    tifffile.imwrite(tmp_path / "c.tif", np.round(counts).astype(np.uint16))
    clean, errors = 40 * signal + 300, {}
    for noise in ("auto", "gauss", "camera"):
        row = run([tmp_path / "c.tif"], tmp_path / noise, noise=noise).done[0]
        errors[noise] = float(np.mean((tifffile.imread(tmp_path / noise / "c.tif") - clean) ** 2))
        assert row.sigma_source == ("estimated" if noise == "gauss" else "fitted")
    assert errors["auto"] == errors["camera"] < 0.5 * errors["gauss"]
    np.save(tmp_path / "g.npy", CLEAN + 0.1 * RNG.standard_normal(CLEAN.shape))
    assert run([tmp_path / "g.npy"], tmp_path / "white").done[0].sigma_source == "estimated"
    with pytest.raises(UserError, match="--noise"):
        run([tmp_path / "g.npy"], tmp_path / "white", noise="poisson")
    with pytest.raises(UserError, match="drop one"):
        run([tmp_path / "g.npy"], tmp_path / "white", noise="camera", sigma=3.0)


def test_correlated_noise_is_left_to_who_measures_it(tmp_path: Path) -> None:
    """An estimate for white noise would find a part of it."""
    wide = np.random.default_rng(0).normal(size=(128, 132))
    shared = sum(wide[:, shift : shift + 128] for shift in range(5)) / 5**0.5
    clean = 120.0 + 40 * (np.arange(128) > 64) + np.zeros((128, 1))
    np.save(tmp_path / "grain.npy", clean + 15 * shared)

    def error(method: str, **options: Any) -> float:
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        assert run([tmp_path / "grain.npy"], out, method, range="0..255", **options).done
        return float(np.sqrt(np.mean((np.load(out / "grain.npy") - clean) ** 2)))

    assert error("bm3d[correlation=image]") < 5
    assert error("bm3d[correlation=1x5]", sigma=15.0) < 5
    assert error("bm3d[correlation=image]", sigma=15.0) < 5
    assert error("bm3d[correlation=image]", noise="camera") < 7
    assert error("bm3d") > 9


def counted(gain: float, read_noise: float, zero: float) -> tuple[np.ndarray, np.ndarray]:
    """A signal, and counts of it, in 16 bits."""
    signal = gaussian_filter(np.asarray(astronaut(), np.float64)[:, :, 1], 2) * 20
    rng = np.random.default_rng(5)
    noisy = gain * rng.poisson(signal / gain) + zero + read_noise * rng.standard_normal(signal.shape)
    return signal + zero, np.round(noisy).astype(np.uint16)


def test_a_gain_that_is_given_is_not_estimated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signal, noisy = counted(40, 20, 300)
    tifffile.imwrite(tmp_path / "c.tif", noisy)
    monkeypatch.setattr(model, "noise_growth", None)
    detector = model.Detector(40, 20, 300)
    (row,) = run([tmp_path / "c.tif"], tmp_path / "out", detector=detector).done
    assert (row.sigma, row.sigma_source, row.notes) == ("variance = 40 x value - 11600", "given", "")
    error = np.sqrt(np.mean((tifffile.imread(tmp_path / "out" / "c.tif") - signal) ** 2))
    assert error < 0.3 * np.sqrt(np.mean((noisy - signal) ** 2))
    # A method that is told no level gets noise of one level too, and one that transforms by itself is refused.
    tiny = run([tmp_path / "c.tif"], tmp_path / "tiny", "zsn2n", detector=detector, image_budget="1steps")
    assert tiny.done[0].sigma_source == "given"
    refused = run([tmp_path / "c.tif"], tmp_path / "bm3d", "anscombe_bm3d", detector=detector)
    assert "--gain makes its noise Gaussian" in refused.problems[0].reason
    assert "use bm3d" in refused.problems[0].reason
    own_network = run(
        [tmp_path / "c.tif"], tmp_path / "self", "n2v", detector=detector, train=True, budget="1steps"
    ).done[0]
    assert own_network.sigma_source == "given"


@pytest.mark.parametrize("counts", [0.5, 5.0, 50.0])
@pytest.mark.parametrize(("wrong", "seen"), [(1.0, ""), (16.0, "0.2"), (1 / 16, "4")])
def test_a_gain_that_cannot_be_is_doubted(tmp_path: Path, counts: float, wrong: float, seen: str) -> None:
    noisy = 40 * np.random.default_rng(3).poisson(np.linspace(0.5, 1.5, 128)[:, None] * np.full((1, 128), counts))
    tifffile.imwrite(tmp_path / "c.tif", (noisy + 7).astype(np.uint16))
    (row,) = run([tmp_path / "c.tif"], tmp_path / "out", detector=model.Detector(40 * wrong, zero=7.0)).done
    assert row.notes.startswith(f"the noise that is seen has {seen}" if seen else "")
    assert bool(row.notes) == bool(seen)


def test_the_line_of_a_detector_is_that_of_its_file(tmp_path: Path) -> None:
    assert model.Detector(2.0, 3.0, 100.0).line(None) == PoissonGaussian(2.0, 9.0 - 200.0)
    assert model.Detector(2.0).line(None) == PoissonGaussian(2.0, 0.0)
    assert model.Detector(2.0).line((512.0, 4095.0)) == PoissonGaussian(2.0, -1024.0)
    assert model.Detector(2.0, zero=0.0).line((512.0, 4095.0)) == PoissonGaussian(2.0, 0.0)
    samples = [np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64, 1)]
    (one,) = model.camera_from(PoissonGaussian(2.0, -191.0), samples, 100.0, 1100.0).channels
    # At black, 100, the variance is 9; at white, 1100, it is 2009; in units of 1000.
    assert one.offset * 1e6 == pytest.approx(9)
    assert (one.gain + one.offset) * 1e6 == pytest.approx(2009)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--gain", "0"), "--gain 0"), (("--gain", "nan"), "--gain nan"), (("--gain", "-2"), "above 0"),
        (("--gain", "2", "--read-noise", "-1"), "--read-noise -1"), (("--gain", "2", "--zero", "inf"), "--zero inf"),
        (("--zero", "100"), "Give --gain with --zero"), (("--gain", "2", "--sigma", "3"), "drop one"),
        (("--gain", "2", "--noise", "gauss"), "--noise gauss"), (("--gain", "2", "--zero", "900"), "--zero"),
    ],
)  # fmt: skip
def test_a_wrong_gain_is_refused_in_one_sentence(
    options: tuple[str, ...], words: str, command: Callable[..., Any], tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", counted(2, 3, 100)[1].astype(np.float32)[:96, :96] / 10)
    for name in ("denoise", "rank", "diagnose"):
        if name == "diagnose" and ({"--sigma", "--noise"} & set(options) or "900" in options):
            continue
        more: tuple[Any, ...] = ("--methods", "nlm") if name == "rank" else ()
        more += ("--method", "nlm", "--out", tmp_path / "out") if name == "denoise" else ()
        told = command(name, tmp_path / "a.npy", *more, *options)
        assert told.code == 2, told.out
        assert words in told.err
        assert "Traceback" not in told.err


def test_a_network_is_trained_on_the_images_themselves(tmp_path: Path) -> None:
    for name in ("a", "b"):
        noisy = CLEAN[:, :, 1] + 0.1 * RNG.standard_normal(CLEAN.shape[:2])
        np.save(tmp_path / f"{name}.npy", noisy.astype(np.float32))
    files = [tmp_path / "a.npy", tmp_path / "b.npy"]
    options: dict[str, Any] = {"train": True, "budget": "2steps", "range": "0..1"}
    rows = run(files, tmp_path / "out", "n2v", **options).done
    assert [row.output for row in rows] == ["a.npy", "b.npy"]
    assert rows[0].network.startswith("trained on 2 of these images, 2 steps")
    assert rows[0].network_sha256 == rows[1].network_sha256
    (network,) = (tmp_path / "out" / "models").glob("n2v-real-gray-*.safetensors")
    assert np.isfinite(np.load(tmp_path / "out" / "a.npy")).all()
    written = network.stat().st_mtime_ns
    assert run(files, tmp_path / "out", "n2v", **options).present == ["a.npy", "b.npy"]
    assert network.stat().st_mtime_ns == written
    # Other images, another network: what one would become depends on all.
    alone = run(files[:1], tmp_path / "alone", "n2v", **options).done
    assert alone[0].network_sha256 != rows[0].network_sha256
    for method, word in (("n2c", "clean images"), ("zsn2n", "no network"), ("r2r", "noise level")):
        with pytest.raises(UserError, match=rf"--train self.*{method}.*{word}"):
            run(files, tmp_path / "out", method, train=True)
    with pytest.raises(UserError, match="drop --sigma"):
        run(files, tmp_path / "out", "n2v", train=True, sigma=3.0)
    with pytest.raises(UserError, match="--train self with it"):
        run(files, tmp_path / "out", "n2v", budget="5min")
