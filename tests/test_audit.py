"""The audit, end to end: every line of a ledger against plain arithmetic, resuming, changes, mistakes."""

from __future__ import annotations

import csv
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from skimage.io import imread
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from denoisebench.audit import measure as audit_module
from denoisebench.audit.measure import Audit, Change, Effect, Ledger, _paired, _pooled, _redraw
from denoisebench.audit.subject import ReproducibleCell
from denoisebench.audit.toggles import parse_images, parse_retrain, parse_settings
from denoisebench.core.errors import UserError
from denoisebench.core.files import sealed
from denoisebench.core.provenance import full_digest
from denoisebench.data.manifest import entry_of, write_manifest
from denoisebench.evaluation.evaluate import denoise
from denoisebench.plugins.lookup import find_dataset
from denoisebench.plugins.method import Method
from denoisebench.plugins.registry import DATASETS
from denoisebench.protocol.draws import CounterDraws
from denoisebench.protocol.noise import add_noise, parse_noise
from denoisebench.protocol.seeds import generator_from
from denoisebench.reports import ledger as ledgers
from denoisebench.results.store import Store

Command = Callable[..., Any]
MakeFolder = Callable[..., Path]
MakePlugin = Callable[..., Path]

LEARNED = '''\
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from denoisebench.plugins.method import Info, LearnedMethod


@dataclass(frozen=True)
class Small(LearnedMethod):
    """One convolution, so that a training takes no time."""

    output: Literal["once", "twice"] = "once"
    gain: float = 1.0

    name = "small"
    info = Info(label="Small", licence="test", multiple=32)
    inference_only = frozenset({"output", "gain"})

    def build(self, channels):
        return torch.nn.Conv2d(channels, channels, 3, padding=1)

    def loss(self, network, batch, progress):
        return (network(batch.noisy) - batch.noisy).square().mean(), {}

    def denoise(self, network, noisy, known, generator):
        result = network(noisy) * self.gain
        return network(result) if self.output == "twice" else result
'''
SET = """\
from __future__ import annotations

from pathlib import Path

from denoisebench.data.dataset import FolderSet


class List(FolderSet):
    name = "{name}"
    title = "{name}"
    channels = 3
    folders = ("pictures",)
    manifest = Path(__file__).with_suffix(".tsv")
    shared = True
    count = {count}
"""


TWO_STEPS = (
    "--budget", "2steps", "--train-data", "samples_train", "--crop", "32", "--precision", "float32",
    "--recipe", "paper", "--batch", "1", "--lr", "1e-3",
)  # fmt: skip


def scores_of(out: Path) -> list[dict[str, str]]:
    """The lines of the method, without those of the noisy input."""
    with (out / "scores.csv").open(encoding="utf-8", newline="") as stream:
        return [row for row in csv.DictReader(stream) if row["method"] == "small"]


def lines(out: Path) -> list[dict[str, str]]:
    with (out / "audit" / "audit.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def line(out: Path, detail: str, alternative: str) -> dict[str, str]:
    found = [row for row in lines(out) if row["detail"] == detail and alternative in row["alternative"]]
    assert len(found) == 1, (detail, alternative, lines(out))
    return found[0]


def score(result: np.ndarray, clean: np.ndarray) -> tuple[float, float]:
    rounded = np.floor(np.clip(result.astype(np.float64) * 255 + 0.5, 0, 255)).astype(np.uint8)
    return peak_signal_noise_ratio(clean, rounded, data_range=255), structural_similarity(
        clean, rounded, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )


# --- a ledger, line by line ---


def test_every_effect_is_what_arithmetic_says(
    command: Command, image_folder: MakeFolder, plugin_file: MakePlugin, tmp_path: Path
) -> None:
    pictures, plugin, out = image_folder(count=3), plugin_file(), tmp_path / "out"
    common = ("--plugin", plugin, "--datasets", pictures)
    ran = command("run", "--methods", "toy[shift=0.1]", "--noise", "gauss25", "--out", out, *common)
    assert ran.code == 0, ran.err
    ran = command("audit", out, "--images", "all", *common)
    assert ran.code == 0, ran.err

    noise = parse_noise("gauss25")
    clean = {f"im{i}": imread(pictures / f"im{i}.png") for i in range(3)}
    noisy = {n: CounterDraws(0).draw("pictures", n, 0, image, noise).noisy for n, image in clean.items()}
    other = {n: CounterDraws(1).draw("pictures", n, 0, image, noise).noisy for n, image in clean.items()}
    shift = np.float32(0.1)
    base = np.array([score(noisy[n] + shift, clean[n]) for n in clean])

    def check(detail: str, alternative: str, scores: list[tuple[float, float]], how: str) -> None:
        found = line(out, detail, alternative)
        differences = np.array(scores) - base
        half = stats.sem(differences) * stats.t.ppf(0.975, 2)
        for column, key in enumerate(("psnr", "ssim")):
            assert float(found[key]) == pytest.approx(differences[:, column].mean(), abs=2e-6), (detail, key)
            assert float(found[f"{key}_interval"]) == pytest.approx(half[column], abs=2e-6), (detail, key)
        assert (found["how"], found["images"]) == (how, "3")

    again = line(out, "the run's own scores", "computed again")
    assert (float(again["psnr"]), float(again["ssim"]), again["note"]) == (0, 0, "equal")
    assert lines(out)[0] == again
    check("noise draws", "counter-1", [score(other[n] + shift, clean[n]) for n in clean], "re-denoised")
    clipped = {n: np.clip(image, 0, 1) for n, image in noisy.items()}
    check("noisy input", "clipped to [0, 1]", [score(clipped[n] + shift, clean[n]) for n in clean], "re-denoised")
    eight = {n: (np.rint(image * 255) / 255).astype(np.float32) for n, image in clipped.items()}
    check("noisy input", "rounded", [score(eight[n] + shift, clean[n]) for n in clean], "re-denoised")
    check("toy[shift]", "0", [score(noisy[n], clean[n]) for n in clean], "re-denoised")
    down = [np.floor(np.clip((noisy[n] + shift).astype(np.float64), 0, 1) * 255) / 255 for n in clean]
    check("rounding of the result", "down", [score(d, clean[n]) for d, n in zip(down, clean, strict=True)], "re-scored")
    pooled = 10 * np.log10(255**2 / np.mean(255**2 / 10 ** (base[:, 0] / 10))) - base[:, 0].mean()
    assert float(line(out, "averaging of PSNR", "mean squared")["psnr"]) == pytest.approx(pooled, abs=2e-6)
    assert not [row for row in lines(out) if row["detail"] in ("padding", "training noise", "list of test images")]
    assert "legacy draws are defined for" in line(out, "noise draws", "legacy")["note"]


def test_a_run_on_clipped_images_is_compared_with_the_same_draws_unclipped(
    command: Command, image_folder: MakeFolder, tmp_path: Path
) -> None:
    pictures, out = image_folder(count=2), tmp_path / "out"
    common = ("--datasets", pictures, "--methods", "identity")
    assert command("run", "--noise", "gauss50-clip", "--out", out, *common).code == 0
    assert command("audit", out, *common).code == 0
    differences = []
    for name in ("im0", "im1"):
        clean = imread(pictures / f"{name}.png")
        rng = generator_from("evaluation", 0, "pictures", name, 0, "gauss50-clip")
        drawn = add_noise(clean, parse_noise("gauss50"), rng).noisy
        assert drawn.min() < 0
        differences.append(np.subtract(score(drawn, clean), score(np.clip(drawn, 0, 1), clean)))
    found = line(out, "noisy input", "as drawn")
    assert float(found["psnr"]) == pytest.approx(np.mean(differences, axis=0)[0], abs=2e-6)
    assert lines(out)[0]["note"] == "equal"


def test_lists_of_the_same_images_are_compared_with_stored_scores(
    command: Command, image_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, out = image_folder(count=5), tmp_path / "out"
    for name, count in (("few", 3), ("many", 5)):
        (tmp_path / f"{name}.py").write_text(SET.format(name=name, count=count), encoding="utf-8")
        write_manifest(tmp_path / f"{name}.tsv", [entry_of(pictures / f"im{i}.png") for i in range(count)])

    def load(files: object) -> None:
        for name in ("few", "many"):
            DATASETS.add_file(tmp_path / f"{name}.py")

    for module in ("run", "audit"):
        monkeypatch.setattr(f"denoisebench.commands.{module}.load_plugins", load)
    common = ("--data-root", tmp_path)
    for name in ("few", "many"):
        ran = command("run", "--methods", "identity", "--datasets", name, "--out", out / name, *common)
        assert ran.code == 0, ran.err
        ran = command("audit", out / name, "--methods", "identity", "--images", "2", *common)
        assert ran.code == 0, ran.err
    noise = parse_noise("gauss25")
    for name, count, other, length in (("few", 3, "many", 5), ("many", 5, "few", 3)):
        scores = []
        for i in range(5):
            clean = imread(pictures / f"im{i}.png")
            scores.append(score(CounterDraws(0).draw(name, f"im{i}", 0, clean, noise).noisy, clean))
        expected = np.mean(scores[:length], axis=0) - np.mean(scores[:count], axis=0)
        found = line(out / name, "list of test images", other)
        assert float(found["psnr"]) == pytest.approx(expected[0], abs=2e-6)
        assert float(found["ssim"]) == pytest.approx(expected[1], abs=2e-6)
        assert (found["images"], found["psnr_interval"]) == (f"{count} to {length}", "")
        assert found["how"] == ("re-denoised" if name == "few" else "re-scored")


@pytest.fixture
def trained(command: Command, image_folder: MakeFolder, tmp_path: Path) -> tuple[Path, tuple[object, ...]]:
    """A run of a learned method trained for two steps, and the options that its audit needs."""
    plugin = tmp_path / "small.py"
    plugin.write_text(LEARNED, encoding="utf-8")
    pictures, out = image_folder(count=2, size=(32, 70)), tmp_path / "out"
    common = ("--plugin", plugin, "--datasets", pictures)
    ran = command("run", "--methods", "small", "--out", out, *TWO_STEPS, *common)
    assert ran.code == 0, ran.err
    return out, common


def test_a_trained_network_is_found_again_and_its_settings_are_tried(
    command: Command, trained: tuple[Path, tuple[object, ...]]
) -> None:
    out, common = trained
    before = {path: path.read_bytes() for path in (out / "models").iterdir()}
    ran = command("audit", out, "--setting", "gain=0.9", *common)
    assert ran.code == 0, ran.err
    assert line(out, "the run's own scores", "again")["note"] == "equal"
    assert float(line(out, "small[output]", "twice")["psnr"]) != 0
    assert float(line(out, "small[gain]", "0.9")["psnr"]) != 0
    assert float(line(out, "padding", "square")["psnr"]) != 0
    fixed = line(out, "training noise", "fixed")
    assert fixed["note"].startswith("not measured: needs training")
    assert (fixed["psnr"], fixed["how"]) == ("", "")

    ran = command("audit", out, "--setting", "gain=0.9", "--retrain", "noise", *common)
    assert ran.code == 0, ran.err
    fixed = line(out, "training noise", "fixed")
    assert fixed["how"] == "re-trained"
    other = out.with_name("fixed")
    ran = command("run", "--methods", "small", "--training-noise", "fixed", "--out", other, *TWO_STEPS, *common)
    assert ran.code == 0, ran.err
    for score in ("psnr", "ssim"):
        means = [np.mean([float(row[score]) for row in scores_of(folder)]) for folder in (out, other)]
        assert float(fixed[score]) == pytest.approx(means[1] - means[0], abs=2e-6)
        assert means[0] != means[1]
    assert line(out, "training seed", "1")["note"].startswith("not measured: needs training")
    (record,) = (out / "audit" / "models").glob("*.json")
    assert float(fixed["seconds"]) > json.loads(record.read_text(encoding="utf-8"))["seconds"] > 0
    assert {path: path.read_bytes() for path in (out / "models").iterdir()} == before


def test_padding_is_not_denoised_again_where_both_have_one_size(
    command: Command, trained: tuple[Path, tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, common = trained
    monkeypatch.setattr("denoisebench.audit.measure.padded_size", lambda *arguments: (96, 96))
    ran = command("audit", out, *common)
    assert ran.code == 0, ran.err
    found = line(out, "padding", "square")
    assert (found["psnr"], found["seconds"], found["note"]) == ("0.000000", "0.0000", "2 of 2 images unchanged")


@pytest.mark.slow
def test_the_real_command_audits_a_real_run(image_folder: MakeFolder, plugin_file: MakePlugin, tmp_path: Path) -> None:
    def real(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("denoisebench")), *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    common = ("--plugin", plugin_file(), "--datasets", image_folder())
    ran = real("run", "--methods", "toy[shift=0.02]", "--noise", "gauss5_50", "--out", "out", *common)
    assert ran.returncode == 0, ran.stderr
    ran = real("audit", "out", "--paper", *common)
    assert ran.returncode == 0, ran.stderr
    assert "**toy [shift=0.02] on pictures, Gaussian σ∈[5,50]**" in ran.stdout
    assert "re-denoised, equal" in ran.stdout
    assert "The paper has no value" in ran.stdout
    assert {"audit.md", "audit.csv", "audit.tex", "cells", ".denoisebench-files.json"} == {
        path.name for path in (tmp_path / "out/audit").iterdir()
    }
    ran = real("audit", "out", "--methods", "b2u", *common)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert ran.stderr.startswith("Error: Unknown method of this run 'b2u'.")


# --- stopping and going on ---


def test_a_stopped_audit_goes_on_and_a_finished_one_computes_nothing(
    command: Command,
    image_folder: MakeFolder,
    plugin_file: MakePlugin,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out"
    common = ("--plugin", plugin_file(), "--datasets", image_folder(count=3))
    assert command("run", "--methods", "toy", "--out", out, *common).code == 0
    calls: list[object] = []
    stop = 5

    def counted(*arguments: Any) -> Any:
        if len(calls) == stop:
            raise KeyboardInterrupt
        calls.append(arguments)
        return denoise(*arguments)

    monkeypatch.setattr(audit_module, "denoise", counted)
    ran = command("audit", out, *common)
    assert ran.code == 130
    assert "the same command goes on there" in ran.err
    assert not (out / "audit" / "audit.md").exists()
    stop = 10**6
    first = command("audit", out, *common)
    assert first.code == 0, first.err
    assert len(calls) == 5 * 3, "as run, another seed, clipped, 8 bits, the other mode: each image once"
    files = {path: path.stat().st_mtime_ns for path in (out / "audit" / "cells").iterdir()}
    second = command("audit", out, *common)
    assert len(calls) == 5 * 3
    assert second.out == first.out
    assert {path: path.stat().st_mtime_ns for path in (out / "audit" / "cells").iterdir()} == files


def test_a_larger_choice_of_images_holds_the_smaller(
    command: Command, image_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, common = tmp_path / "out", ("--datasets", image_folder(count=6), "--methods", "identity")
    assert command("run", "--out", out, *common).code == 0
    calls: list[object] = []

    def counted(*arguments: Any) -> Any:
        calls.append(arguments)
        return denoise(*arguments)

    monkeypatch.setattr(audit_module, "denoise", counted)
    for images, total in ((2, 8), (4, 16), ("all", 24), (3, 24)):
        assert command("audit", out, "--images", images, *common).code == 0
        assert len(calls) == total


def test_only_the_details_that_were_asked_for_are_measured(
    command: Command, image_folder: MakeFolder, plugin_file: MakePlugin, tmp_path: Path
) -> None:
    out, common = tmp_path / "out", ("--plugin", plugin_file(), "--datasets", image_folder())
    assert command("run", "--methods", "toy", "--out", out, *common).code == 0
    assert command("audit", out, *common).code == 0
    every = {(found["detail"], found["alternative"]): found for found in lines(out)}
    asked = ("--detail", "SSIM window", "--detail", "noisy input=clipped to [0, 1]")
    ran = command("audit", out, *asked, *common)
    assert ran.code == 0, ran.err
    again, *others = lines(out)
    assert again["detail"] == "the run's own scores"
    names = [(found["detail"], found["alternative"]) for found in others]
    assert names == [name for name in every if name[0] == "SSIM window" or name[1] == "clipped to [0, 1]"]
    assert [found["psnr"] for found in others] == [every[name]["psnr"] for name in names]
    assert "Did you mean 'noisy input'?" in error(command("audit", out, "--detail", "noisy inputs", *common))
    wrong = error(command("audit", out, "--detail", "noisy input=cut", *common))
    assert wrong.endswith("Allowed: noisy input=clipped to [0, 1], noisy input=clipped, rounded to 8 bits.")


def test_one_failing_alternative_costs_no_other_line(
    command: Command, image_folder: MakeFolder, plugin_file: MakePlugin, tmp_path: Path
) -> None:
    body = "if noisy.min() >= 0:\n    raise RuntimeError('no clipped images')\nreturn noisy"
    out, common = tmp_path / "out", ("--plugin", plugin_file(body=body), "--datasets", image_folder())
    assert command("run", "--methods", "toy", "--out", out, *common).code == 0
    ran = command("audit", out, *common)
    assert ran.code == 0
    assert line(out, "noisy input", "clipped to [0, 1]")["note"] == "failed: RuntimeError: no clipped images"
    assert line(out, "noise draws", "counter-1")["how"] == "re-denoised"


# --- what is not as it was ---


def stored_cells(out: Path) -> Mapping[Path, dict[str, Any]]:
    return {path: json.loads(path.read_text(encoding="utf-8")) for path in (out / "cells").iterdir()}


def rewrite(path: Path, data: dict[str, Any]) -> None:
    """Put a changed cell where it then belongs."""
    path.unlink()
    name = full_digest(data["identity"])[:16]
    content = {key: data[key] for key in ("identity", "about", "rows")}
    path.with_name(f"{name}.json").write_text(sealed(content, data["format"]), encoding="utf-8")


def test_changed_code_data_and_versions_are_said(command: Command, image_folder: MakeFolder, tmp_path: Path) -> None:
    pictures, out = image_folder(), tmp_path / "out"
    common = ("--datasets", pictures, "--methods", "identity")
    assert command("run", "--out", out, *common).code == 0
    for path, data in stored_cells(out).items():
        data["identity"]["code"] = {"evaluation": "0", "plugin": "0"}
        data["identity"]["versions"]["numpy"] = "1.0"
        data["identity"]["protocol"]["data_hash"] = "0"
        data["rows"][0]["psnr"] += 0.25
        data["rows"][1]["psnr"] -= 0.25
        rewrite(path, data)
    ran = command("audit", out, *common)
    assert ran.code == 0, ran.err
    for text in (
        "WARNING: scores are computed by version 1 of the protocol, the run's by a version before 1",
        "WARNING: the code of identity has changed since the run",
        "WARNING: the images of pictures are not those of the run",
        "it was 1.0",
        "WARNING: the run's own scores were not reproduced",
    ):
        assert text in ran.out
    assert float(lines(out)[0]["psnr"]) == pytest.approx(0, abs=1e-9), "differences that cancel are found too"
    assert "largest difference 0.25 dB" in lines(out)[0]["note"]


# --- mistakes ---


def error(ran: Any) -> str:
    assert ran.code == 2, (ran.out, ran.err)
    assert "Traceback" not in ran.err
    said = [text for text in ran.err.splitlines() if text.startswith("Error: ")]
    assert len(said) == 1, ran.err
    return cast(str, said[0])


def test_mistakes_are_one_sentence(
    command: Command, image_folder: MakeFolder, plugin_file: MakePlugin, tmp_path: Path
) -> None:
    pictures, plugin, out = image_folder(), plugin_file(), tmp_path / "out"
    data, method = ("--datasets", pictures), ("--plugin", plugin)
    assert "holds no results" in error(command("audit", tmp_path / "nothing"))
    (tmp_path / "empty" / "cells").mkdir(parents=True)
    assert "holds no finished results" in error(command("audit", tmp_path / "empty"))
    assert command("run", "--methods", "toy", "--out", out, *data, *method).code == 0
    assert "give its file with --plugin" in error(command("audit", out, *data))
    assert "say where it is with --datasets PATH" in error(command("audit", out, *method))
    assert "Did you mean 'toy'" in error(command("audit", out, "--methods", "toi", *data, *method))
    assert "Unknown noise of this run" in error(command("audit", out, "--noise", "gauss20", *data, *method))
    assert "Unknown data set of this run" in error(command("audit", out, "--datasets", "samples", *method))
    assert "--images '0'" in error(command("audit", out, "--images", "0", *data, *method))
    assert "cannot be read" in error(command("audit", out, "--setting", "passes", *data, *method))
    assert "needs no other training" in error(command("audit", out, "--setting", "passes=8", *data, *method))
    assert "Unknown part of --retrain" in error(command("audit", out, "--retrain", "all", *data, *method))
    (pictures / "im1.png").unlink()
    assert "scored 'im1'" in error(command("audit", out, *data, *method))
    for path in (out / "cells").iterdir():
        path.write_text("{", encoding="utf-8")
    assert "is damaged" in error(command("audit", out, *data, *method))


def test_a_network_that_is_gone_or_altered_is_named(command: Command, trained: tuple[Path, tuple[object, ...]]) -> None:
    out, common = trained
    (network,) = (out / "models").glob("*.safetensors")
    data = network.read_bytes()
    network.write_bytes(data[: len(data) // 2])
    assert "does not have the checksum" in error(command("audit", out, *common))
    network.unlink()
    assert "run it again" in error(command("audit", out, *common))
    (path,) = (p for p, cell in stored_cells(out).items() if cell["identity"]["method"] == "small")
    cell = json.loads(path.read_text(encoding="utf-8"))
    cell["identity"]["training"] = {"weights": "ab" * 32, "networks": "0"}
    rewrite(path, cell)
    assert "name the folder that the run had with --weights" in error(command("audit", out, *common))


@pytest.mark.parametrize(
    ("read", "text"),
    [(parse_images, "0"), (parse_images, "some"), (parse_retrain, "noise,"), (lambda t: parse_settings([t]), "=3")],
)
def test_options_that_cannot_be_read(read: Callable[[str], object], text: str) -> None:
    with pytest.raises(UserError):
        read(text)


# --- statistics and print ---


def test_intervals() -> None:
    values = [0.1, 0.4, -0.2, 0.3]
    change = _paired(values)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert change.mean == pytest.approx(np.mean(values))
    assert change.half == pytest.approx((high - low) / 2)
    assert _paired([0.1]) == Change(0.1, None)
    same = _pooled([30.0, 30.0, 30.0])
    assert (same.mean, same.half) == pytest.approx((0.0, 0.0))
    assert _pooled([20.0, 30.0]).mean == pytest.approx(-10 * math.log10((0.01 + 0.001) / 2) - 25)


def test_the_jackknife_interval_matches_the_spread_of_many_samples() -> None:
    rng = np.random.default_rng(0)
    samples = [_pooled(list(rng.normal(30, 1.5, 30))) for _ in range(400)]
    spread = float(np.std([sample.mean for sample in samples]))
    claimed = float(np.mean([sample.half or 0 for sample in samples])) / stats.t.ppf(0.975, 29)
    assert claimed == pytest.approx(spread, rel=0.15)


def test_the_yardstick_is_the_spread_of_a_mean_between_draws() -> None:
    rng = np.random.default_rng(0)
    draws = rng.normal(0, 0.3, (2, 5000))
    assert _redraw(list(draws[1] - draws[0]), 25) == pytest.approx(0.3 / 5, rel=0.05)
    assert _redraw([0.1], 1) is None


def ledger_of(method: str, psnr: float, *effects: Effect, training: str = "short") -> Ledger:
    about: dict[str, Any]
    about = {"text": method, "label": "B2U", "dataset_title": "Kodak", "noise_title": "σ", "training": training}
    about |= {"told": [], "baseline": False, "changed": {}}
    protocol = {"dataset": "kodak", "data_hash": find_dataset("kodak", ()).data_hash}
    stored = SimpleNamespace(about=about, identity={"protocol": protocol}, key="k")
    parts: dict[str, Any] = {"noise": parse_noise("gauss25"), "dataset": SimpleNamespace(name="kodak"), "changes": []}
    kind = cast(Method, SimpleNamespace(name=method.partition("[")[0], text=method))
    subject = ReproducibleCell(stored=cast(Any, stored), method=kind, device="cpu", fit=None, network=None, **parts)
    again = Effect("the run's own scores", "stored", "again", "", Change(0.0), Change(0.0), "2", "re-denoised", 1.0)
    return Ledger(subject, psnr, 0.8, 24, [again, *effects], True, 0.01)


def test_beside_the_paper_only_what_the_paper_may_do_counts() -> None:
    def effect(detail: str, name: str, db: float, paper: Any) -> Effect:
        return Effect(detail, "x", name, "", Change(db, 0.02), Change(0.0), "2", "re-scored", paper=paper)

    effects = [
        effect("a", "a1", 0.1, "open"),
        effect("a", "a2", 0.3, "open"),
        effect("b", "b1", -0.5, "open"),
        effect("c", "c1", 0.2, "yes"),
        effect("d", "d1", 3.0, "no"),
        effect("e", "e1", -0.05, "yes"),
        Effect("f", "x", "f1", "", note="not measured: no data"),
    ]
    table, said = ledgers.beside_paper(ledger_of("b2u", 31.27, *effects))
    assert [row[1] for row in table] == ["d1", "b1", "a2", "c1", "a1", "e1"]
    assert [row[4] for row in table] == ["no", "open", "open", "yes", "open", "yes"]
    assert "paper 32.27 / 0.880: a gap of +1.00 dB" in said[0]
    assert "their way gives +0.150 dB" in said[1]
    assert "at most 0.300 dB" in said[1]
    assert "at least 0.55 dB of 1.00" in said[2]
    one = "what is left is the training (short) and the method itself"
    # The ledger has a line that is larger than what is left, so it cannot say that no line of it is.
    other = ", or one marked no after all, if the row was made otherwise: d, d1 (+3.000 ± 0.020 dB)."
    assert said[2].endswith(one + other)
    fewer = [effect for effect in effects if effect.detail != "d"]
    assert ledgers.beside_paper(ledger_of("b2u", 31.27, *fewer))[1][2].endswith(f"{one}.")
    untrained = ledgers.beside_paper(ledger_of("bm3d", 30.87, *fewer, training=""))[1]
    assert untrained[2].endswith("marked yes or open: what is left is the method itself.")
    assert said[-1] == "f (f1): not measured: no data."
    below = ledgers.beside_paper(ledger_of("b2u", 33.27, *effects))[1]
    assert "their way gives +0.150 dB" in below[1]
    assert "at most 0.500 dB" in below[1]
    assert "at least 0.50 dB of 1.00" in below[2]
    assert below[2].endswith("the method itself."), "the line of +3 dB leads away from the paper"
    ablation = ledgers.beside_paper(ledger_of("b2u[eta=0]", 31.19, *effects))[1]
    assert "paper 32.19 / 0.877: a gap of +1.00 dB" in ablation[0]
    assert ledgers.beside_paper(ledger_of("b2u[output=mid]", 31.27))[0] == []
    assert ledgers.beside_paper(ledger_of("bm4d", 31.27))[0] == []


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (None, ""),
        (Change(0.0, 0.0), "0"),
        (Change(0.0, 0.5), "+0.000 ± 0.500"),
        (Change(-0.0214, 0.1), "-0.021 ± 0.100"),
        (Change(0.00004, 0.0002), "+4e-05 ± 2e-04"),
        (Change(1.5), "+1.500"),
    ],
)
def test_differences_are_printed_with_sign_and_interval(change: Change | None, text: str) -> None:
    assert ledgers.change_text(change, 3) == text


def test_every_format_has_the_same_lines() -> None:
    effect = Effect(
        "pad | ding", "a_b", "to one square", "x", Change(0.12345, 0.01), Change(0.5), "2", "re-scored", 2.0
    )
    found = Audit([ledger_of("b2u", 31.0, effect)], [("Mine on Kodak", "it broke")])
    text = ledgers.markdown(found, paper=True)
    assert r"pad \| ding" in text
    assert "+0.123 ± 0.010" in text
    assert "FAILED: Mine on Kodak: it broke" in text
    assert re.search(r"Beside the paper", text)
    assert r"pad $|$ ding & a\_b & to one square & +0.123 $\pm$ 0.010 & +0.5000 & 2" in ledgers.latex(found)
    assert "b2u,gauss25,kodak,pad | ding,a_b,to one square,x,0.123450,0.010000,0.50000000,,2" in ledgers.csv_text(found)
    assert len([part for part in ledgers.terminal(found, paper=True) if part]) == 4


def test_what_an_audit_stores_is_no_result_of_the_run(
    command: Command, image_folder: MakeFolder, tmp_path: Path
) -> None:
    out, common = tmp_path / "out", ("--datasets", image_folder(), "--methods", "identity")
    assert command("run", "--out", out, *common).code == 0
    before = command("report", out).out
    count = len(list(Store(out).all()))
    assert command("audit", out, *common).code == 0
    assert len(list(Store(out).all())) == count
    assert command("report", out).out == before


def test_images_that_equal_their_reference_make_no_effect_infinite(command: Command, tmp_path: Path) -> None:
    """A black image stays black under Poisson noise, and as it is under most alternatives."""
    (tmp_path / "dark").mkdir()
    for name, seed in (("a", None), ("b", 1), ("c", 2)):
        values = np.zeros((24, 24)) if seed is None else np.random.default_rng(seed).integers(40, 200, (24, 24))
        Image.fromarray(values.astype(np.uint8)).save(tmp_path / "dark" / f"{name}.png")
    out = tmp_path / "o"
    ran = command("run", "--methods", "nlm", "--noise", "poisson30", "--datasets", tmp_path / "dark", "--out", out)
    assert "inf/" not in ran.out
    assert "1 of 3 scored images equal their reference" in ran.out
    ran = command("audit", out, "--methods", "nlm", "--datasets", tmp_path / "dark", "--images", "all")
    assert ran.code == 0, ran.err
    for line in lines(out):
        assert not {"inf", "-inf", "nan"} & set(line.values()), line
    assert "1 of 3 stored images equal their reference and are in no mean of dB." in ran.out.replace("\n", " ")
