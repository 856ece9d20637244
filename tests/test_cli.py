"""The command line, end to end: what a user types, sees and finds on disk."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Command = Callable[..., Any]
MakeFolder = Callable[..., Path]
MakePlugin = Callable[..., Path]

COLUMNS = ["method", "noise", "dataset", "image", "repeat", "psnr", "ssim", "seconds"]
HEAVY = ("torch", "pandas", "matplotlib")

LEARNED = '''\
from __future__ import annotations

from dataclasses import dataclass

import torch

from denoisebench.plugins.method import Info, LearnedMethod


@dataclass(frozen=True)
class Small(LearnedMethod):
    """One convolution, so that a training takes no time."""

    name = "small"
    info = Info(label="Small", licence="test", multiple=32)

    def build(self, channels):
        return torch.nn.Conv2d(channels, channels, 3, padding=1)

    def loss(self, network, batch, progress):
        return (network(batch.noisy) - batch.noisy).square().mean(), {}
'''


@pytest.fixture
def learned(tmp_path: Path) -> Path:
    """A learned method whose network is one convolution."""
    path = tmp_path / "small.py"
    path.write_text(LEARNED, encoding="utf-8")
    return path


def scores(folder: Path) -> list[dict[str, str]]:
    with (folder / "scores.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def cell_times(folder: Path) -> Mapping[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}


def real(arguments: list[str], cwd: Path, code: str = "") -> subprocess.CompletedProcess[str]:
    """The command, or Python code around it, in a process of its own."""
    environment = {**os.environ, "DENOISEBENCH_DATA": str(cwd / "none"), "XDG_CACHE_HOME": str(cwd / "none")}
    start = [sys.executable, "-c", code] if code else [str(Path(sys.executable).with_name("denoisebench"))]
    return subprocess.run([*start, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


# --- a run and its files ---


def test_python_m_is_the_command(tmp_path: Path) -> None:
    code = "import runpy; runpy.run_module('denoisebench', run_name='__main__', alter_sys=True)"
    said = real(["report", "none"], tmp_path, code)
    assert (said.returncode, said.stderr) == (2, "Error: Folder none holds no results (no cells/ in it).\n")


@pytest.mark.slow
def test_the_real_command_writes_table_and_scores_and_a_second_run_computes_nothing(
    image_folder: MakeFolder, plugin_file: MakePlugin, tmp_path: Path
) -> None:
    arguments = ["run", "--methods", "toy[shift=0.1],toy", "--plugin", str(plugin_file())]
    arguments += ["--noise", "gauss25,gauss5_50", "--datasets", str(image_folder()), "--repeats", "2", "--out", "out"]
    first = real(arguments, tmp_path)
    assert first.returncode == 0, first.stderr
    assert "Noisy input" in first.stdout
    assert "toy [shift=0.1]" in first.stdout
    assert "Gaussian σ=25" in first.stdout
    out = tmp_path / "out"
    assert {"scores.csv", "table.md", "table.tex", "cells"} <= {path.name for path in out.iterdir()}
    rows = scores(out)
    assert list(rows[0])[: len(COLUMNS)] == COLUMNS
    assert len(rows) == 3 * 2 * 2 * 2
    assert {row["method"] for row in rows} == {"identity", "toy[shift=0.1]", "toy"}
    assert {row["repeat"] for row in rows} == {"0", "1"}
    assert all(8 < float(row["psnr"]) < 60 and 0 < float(row["ssim"]) < 1 for row in rows)

    times = cell_times(out)
    probe = (
        "import sys\nfrom denoisebench.cli import main\n"
        "try:\n    main()\nfinally:\n"
        f"    print('HEAVY', [m for m in {HEAVY!r} if m in sys.modules])"
    )
    second = real(arguments, tmp_path, probe)
    assert second.returncode == 0, second.stderr
    assert "HEAVY []" in second.stdout, "a fully stored run must not wait for heavy imports"
    assert "0 to compute" in second.stderr
    assert cell_times(out) == times
    assert scores(out) == rows
    assert second.stdout.replace("HEAVY []\n", "") == first.stdout


def test_help_and_listings_start_without_heavy_imports(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom denoisebench.cli import main\n"
        "for words in (['--help'], ['run', '--help'], ['list', 'noises'], ['list', 'methods'], ['data', 'where']):\n"
        "    sys.argv = ['denoisebench', *words]\n"
        "    try:\n        main()\n    except SystemExit as end:\n        assert not end.code, words\n"
        f"    print('HEAVY', words, [m for m in {HEAVY!r} if m in sys.modules])"
    )
    result = real([], tmp_path, code)
    assert result.returncode == 0, result.stderr
    lines = [line for line in result.stdout.splitlines() if line.startswith("HEAVY")]
    assert len(lines) == 5
    assert all(line.endswith("[]") for line in lines), lines


def test_a_cached_run_in_this_process_leaves_everything_untouched(
    command: Command, image_folder: MakeFolder, tmp_path: Path
) -> None:
    arguments = ("run", "--methods", "identity", "--datasets", image_folder(), "--out", tmp_path / "out")
    first = command(*arguments)
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in (tmp_path / "out").rglob("*") if p.is_file()}
    second = command(*arguments)
    after = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert first.out == second.out
    assert before == after


def test_more_repeats_only_add_rows(command: Command, image_folder: MakeFolder, tmp_path: Path) -> None:
    arguments = ("run", "--methods", "identity", "--datasets", image_folder(), "--out", tmp_path / "out")
    command(*arguments)
    few = scores(tmp_path / "out")
    assert "4 images" not in command(*arguments, "--repeats", "3").out
    many = scores(tmp_path / "out")
    assert (len(few), len(many)) == (2, 6)
    assert many[:2] == few
    assert len(cell_times(tmp_path / "out")) == 1


def test_a_learned_method_is_trained_on_the_spot_and_says_so(
    command: Command, image_folder: MakeFolder, learned: Path, tmp_path: Path
) -> None:
    arguments: tuple[object, ...]
    arguments = ("run", "--plugin", learned, "--methods", "small", "--datasets", image_folder(), "--device", "cpu")
    arguments += ("--train-data", image_folder("training"), "--budget", "2steps", "--crop", "32")
    arguments += ("--out", tmp_path / "o", "--precision", "float32")
    first = command(*arguments)
    assert first.code == 0, first.err
    assert "no trained network for small on gauss25: training it now, 2 steps, 4x32², Muon" in first.err
    assert "on training" in first.err
    assert "--budget" in first.err
    assert "trained small on gauss25: 2 steps in" in first.err
    assert "| 2 steps, 4x32², Muon" in first.out
    assert {row["training"] for row in scores(tmp_path / "o")} == {"", "2 steps, 4x32², Muon, training"}
    models = {path.suffix: path.stat().st_mtime_ns for path in (tmp_path / "o" / "models").iterdir()}
    assert set(models) == {".json", ".safetensors"}
    second = command(*arguments)
    assert "training it now" not in second.err
    assert models == {path.suffix: path.stat().st_mtime_ns for path in (tmp_path / "o" / "models").iterdir()}
    longer = command(*arguments, "--budget", "3steps")
    assert "| 2 steps, 4x32², Muon" not in longer.out
    assert "| 3 steps, 4x32², Muon, training" in longer.out
    table = (tmp_path / "o" / "table.md").read_text(encoding="utf-8")
    assert "2 steps" in table
    assert "3 steps" in table


@pytest.mark.slow
def test_a_built_in_method_trains_and_runs_at_a_tiny_budget(
    command: Command, image_folder: MakeFolder, tmp_path: Path
) -> None:
    ran = command(
        "run", "--methods", "n2c,b2u[ramp_start=none]", "--datasets", image_folder(count=1), "--train-data",
        image_folder("training"), "--budget", "2steps", "--crop", "32", "--device", "cpu", "--out", tmp_path / "o",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert ran.err.count("training it now, 2 steps") == 2
    assert ran.out.count("2 steps, 4x32², Muon") == 2
    assert "clean images" in ran.out
    assert "single or ranged level" in ran.out


def test_train_prepares_what_run_then_finds(
    command: Command, image_folder: MakeFolder, learned: Path, tmp_path: Path
) -> None:
    common: tuple[object, ...]
    common = ("--plugin", learned, "--methods", "small", "--train-data", image_folder("training"), "--device", "cpu")
    common += ("--budget", "2steps", "--crop", "32", "--out", tmp_path / "o")
    trained = command("train", *common)
    assert trained.code == 0, trained.err
    path = Path(trained.out.strip().partition(": ")[2])
    assert path.is_file()
    ran = command("run", *common, "--datasets", image_folder())
    assert ran.code == 0, ran.err
    assert "training it now" not in ran.err


def test_training_without_a_learned_method_is_refused(command: Command, tmp_path: Path) -> None:
    for asked in (("train", "--methods", "identity"), ("weights", "train", "--methods", "nlm,bm3d")):
        ran = command(*asked, "--out", tmp_path / "o")
        assert ran.code == 2, asked
        assert "Nothing to train" in ran.err


# --- interruptions and failures ---


@pytest.mark.parametrize("arguments", [("list", "noises"), ("data", "status")])
def test_any_command_says_that_it_was_stopped(
    arguments: tuple[str, ...], command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from denoisebench.commands import listing

    def stopped(*_: Any) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(listing, "text_of", stopped)
    monkeypatch.setattr(listing, "data_status", stopped)
    ran = command(*arguments)
    assert (ran.code, ran.out, ran.err) == (130, "", "Stopped.\n")


# Ctrl-C while the command loads its modules, at the one of that number.
LOADING = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from denoisebench.__main__ import main
left = [int(sys.argv.pop(1))]
def count(event, arguments):
    if event == "import":
        left[0] -= 1
        if left[0] == 0:
            signal.raise_signal(signal.SIGINT)
sys.addaudithook(count)
sys.argv[0] = "denoisebench"
main()
"""


@pytest.mark.parametrize(
    ("modules", "words"),
    [
        *((number, words) for number in (1, 10, 60) for words in ("--help", "list methods", "methods")),
        (300, "list methods"),
    ],
)
def test_a_stop_while_modules_are_loaded_is_a_sentence(modules: int, words: str, tmp_path: Path) -> None:
    ran = real([str(modules), *words.split()], tmp_path, LOADING)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "Stopped.\n")


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_process_that_ignores_ctrl_c_goes_on_ignoring_it(tmp_path: Path) -> None:
    ran = real(["60", "version"], tmp_path, LOADING.replace("default_int_handler", "SIG_IGN"))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("denoisebench ")


def test_an_interrupted_run_keeps_its_rows_and_goes_on(
    command: Command, image_folder: MakeFolder, plugin_file: MakePlugin, tmp_path: Path
) -> None:
    body = f"""
        from pathlib import Path
        log = Path({str(tmp_path / "log")!r})
        text = log.read_text() if log.exists() else ""
        log.write_text(text + "x")
        if len(text) == 2:
            raise KeyboardInterrupt
        return noisy
    """
    arguments: tuple[object, ...]
    arguments = ("run", "--methods", "toy", "--plugin", plugin_file(body=body), "--datasets", image_folder(count=4))
    arguments += ("--out", tmp_path / "o")
    stopped = command(*arguments)
    assert stopped.code == 130
    assert "the same command goes on there" in stopped.err
    assert "Traceback" not in stopped.err
    resumed = command(*arguments)
    assert resumed.code == 0, resumed.err
    assert "1 to compute (2 images" in resumed.err
    assert "identity on" not in resumed.err
    assert (tmp_path / "log").read_text() == "x" * 5
    assert [row["image"] for row in scores(tmp_path / "o") if row["method"] == "toy"] == ["im0", "im1", "im2", "im3"]


def test_a_plugin_that_raises_fails_its_own_cell_only(
    command: Command, image_folder: MakeFolder, plugin_file: MakePlugin, tmp_path: Path
) -> None:
    broken = plugin_file("broken", "raise RuntimeError('out of\\nideas')")
    ran = command(
        "run", "--methods", "broken,toy", "--plugin", broken, "--plugin", plugin_file(),
        "--datasets", image_folder(), "--out", tmp_path / "o",
    )  # fmt: skip
    assert ran.code == 1
    assert "RuntimeError: out of ideas" in ran.err
    assert "Traceback" not in ran.err + ran.out
    assert {row["method"] for row in scores(tmp_path / "o")} == {"identity", "toy"}
    (trace,) = (tmp_path / "o").glob("error-broken-*.txt")
    assert "Traceback" in trace.read_text(encoding="utf-8")
    assert str(trace) in ran.err


def test_rows_computed_before_a_failure_reach_the_reports(
    command: Command, image_folder: MakeFolder, plugin_file: MakePlugin, tmp_path: Path
) -> None:
    folder = image_folder()
    command("run", "--methods", "identity", "--datasets", folder, "--out", tmp_path / "o")
    marker = tmp_path / "seen"
    body = f"""
        from pathlib import Path
        if Path({str(marker)!r}).exists():
            raise RuntimeError("enough")
        Path({str(marker)!r}).touch()
        return noisy
    """
    plugin = plugin_file(body=body)
    ran = command("run", "--methods", "toy", "--plugin", plugin, "--datasets", folder, "--out", tmp_path / "o")
    assert ran.code == 1
    assert [row["method"] for row in scores(tmp_path / "o")] == ["identity", "identity", "toy"]


def test_a_report_says_what_failed_until_it_does_not(
    command: Command, image_folder: MakeFolder, plugin_file: MakePlugin, tmp_path: Path
) -> None:
    out, sick = tmp_path / "o", tmp_path / "sick"
    sick.touch()
    body = f"""
        from pathlib import Path
        if Path({str(sick)!r}).exists():
            raise RuntimeError("no licence")
        return noisy
    """
    again = ("--methods", "identity,toy", "--plugin", plugin_file(body=body), "--datasets", image_folder())
    assert command("run", *again, "--out", out).code == 1
    told = command("report", out, "--html")
    assert told.code == 0
    assert "FAILED: toy on" in told.out
    for name in ("table.md", "table.tex", "report.html"):
        assert "no licence" in (out / name).read_text(encoding="utf-8"), name
    sick.unlink()
    assert command("run", *again, "--out", out).code == 0
    assert "FAILED" not in command("report", out).out
    assert "FAILED" not in (out / "table.md").read_text(encoding="utf-8")


def test_reports_left_behind_by_an_interruption_are_made_anew(
    command: Command, image_folder: MakeFolder, plugin_file: MakePlugin, tmp_path: Path
) -> None:
    folder, out = image_folder(), tmp_path / "o"
    command("run", "--methods", "identity", "--datasets", folder, "--out", out)
    toy, stop = plugin_file("toy"), plugin_file("stop", "raise KeyboardInterrupt")
    both = ("--plugin", toy, "--plugin", stop, "--datasets", folder, "--out", out)
    assert command("run", "--methods", "toy,stop", *both).code == 130
    ran = command("run", "--methods", "toy", *both)
    assert ran.code == 0
    assert "0 to compute" in ran.err
    assert {row["method"] for row in scores(out)} == {"identity", "toy"}


def test_report_makes_the_three_files_again_to_the_byte(
    command: Command, image_folder: MakeFolder, plugin_file: MakePlugin, tmp_path: Path
) -> None:
    out = tmp_path / "o"
    ran = command(
        "run", "--methods", "toy[shift=0.05],toy[count=2],toy", "--plugin", plugin_file(), "--noise",
        "gauss25,poisson30", "--datasets", image_folder(), "--out", out,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    names = ("scores.csv", "table.md", "table.tex")
    before = {name: (out / name).read_bytes() for name in names}
    assert ran.out.startswith(before["table.md"].decode()), "the files keep the order of the command"
    for name in names:
        (out / name).unlink()
    reported = command("report", out)
    assert reported.code == 0, reported.err
    assert {name: (out / name).read_bytes() for name in names} == before
    assert reported.out == before["table.md"].decode()


# --- unusual images that are fine ---


def test_odd_sizes_and_gray_folders_work(
    command: Command, image_folder: MakeFolder, learned: Path, tmp_path: Path
) -> None:
    odd = image_folder("odd", size=(45, 37))
    gray = image_folder("gray", size=(33, 41), mode="L")
    ran = command(
        "run", "--plugin", learned, "--methods", "small", "--datasets", f"{odd},{gray}", "--train-data",
        image_folder("training"), "--budget", "1step", "--crop", "32", "--device", "cpu", "--out", tmp_path / "o",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert ran.err.count("training it now") == 2
    rows = scores(tmp_path / "o")
    assert {(row["method"], row["dataset"]) for row in rows} == {
        (method, dataset) for method in ("identity", "small") for dataset in ("odd", "gray")
    }


def test_square_padding_is_a_protocol_of_its_own(command: Command, image_folder: MakeFolder, tmp_path: Path) -> None:
    arguments = ("run", "--methods", "identity", "--datasets", image_folder(), "--out", tmp_path / "o")
    command(*arguments)
    assert "padding square" in command(*arguments, "--padding", "square").out
    table = (tmp_path / "o" / "table.md").read_text(encoding="utf-8")
    assert table.splitlines()[0].count("(protocol ") == 2


# --- bad input: exit code 2, one sentence, no traceback ---


def bad_images(kind: str, folder: Path) -> None:
    path = folder / f"{kind}.png"
    rgb = np.full((40, 48, 3), 90, np.uint8)
    if kind == "corrupt":
        path.write_bytes(b"\x89PNG\r\n\x1a\n but not really")
    elif kind == "deep":
        Image.fromarray(np.full((40, 48), 1000, np.uint16)).save(path)
    elif kind == "palette":
        Image.fromarray(rgb).convert("P").save(path)
    elif kind == "alpha":
        Image.fromarray(rgb).convert("RGBA").save(path)
    elif kind == "tiny":
        Image.fromarray(rgb[:10]).save(path)
    elif kind == "gray":
        Image.fromarray(rgb[:, :, 0]).save(path)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("corrupt", "corrupt"),
        ("deep", "16-"),
        ("palette", "palette"),
        ("alpha", "alpha"),
        ("tiny", "at least 11"),
        ("gray", "mixes gray and colour"),
    ],
)
def test_a_bad_image_is_named(
    kind: str, words: str, command: Command, image_folder: MakeFolder, tmp_path: Path
) -> None:
    folder = image_folder()
    bad_images(kind, folder)
    ran = command("run", "--methods", "identity", "--datasets", folder, "--out", tmp_path / "o")
    # One image that cannot be used has a line of its own, before the one that counts them and says what may be done.
    unusual = kind != "gray"
    refused(ran, words, f"{kind}.png", *(["--on-unusual"] if unusual else []), errors=1 + unusual)
    assert not list(tmp_path.glob("o/cells/*"))


def refused(ran: Any, *words: str, errors: int = 1) -> None:
    assert ran.code == 2, ran.err
    assert "Traceback" not in ran.err
    assert ran.out == ""
    for word in words:
        assert word in ran.err
    found = [line for line in ran.err.splitlines() if line.startswith("Error: ")]
    assert len(found) == errors
    assert ran.err.strip().splitlines()[-errors:] == found


BAD_VALUES: dict[str, tuple[list[str], list[str]]] = {
    "unknown method": (["--methods", "b2uu"], ["'b2uu'", "Did you mean 'b2u'?", "nbr2nbr"]),
    "unknown setting": (["--methods", "b2u[strid=2]"], ["'strid'", "Did you mean 'stride'?", "lambda_f"]),
    "setting of a method without any": (["--methods", "identity[a=1]"], ["identity", "no settings", "a=1"]),
    "value that is not allowed": (["--methods", "b2u[stride=3]"], ["stride=3", "2, 4, 8"]),
    "value of another type": (["--methods", "b2u[eta=high]"], ["eta=high", "finite number"]),
    "value out of range": (["--methods", "b2u[ramp_start=1.5]"], ["ramp_start=1.5", "[0, 1)"]),
    "infinite value": (["--methods", "b2u[eta=inf]"], ["eta=inf"]),
    "setting without a value": (["--methods", "b2u[eta]"], ["'eta'", "key=value"]),
    "setting given twice": (["--methods", "b2u[eta=1,eta=2]"], ["'eta'", "twice"]),
    "unknown network": (["--methods", "b2u[network=unett]"], ["'unett'", "Did you mean 'unet'?"]),
    "unclosed bracket": (["--methods", "b2u[eta=1"], ["not closed", "b2u[eta=1"]),
    "bracket too many": (["--methods", "b2u]"], ["do not match", "b2u]"]),
    "nested brackets": (["--methods", "b2u[eta=[1]]"], ["do not match"]),
    "text after a bracket": (["--methods", "b2u[eta=1]x"], ["b2u[eta=1]x", "cannot be read"]),
    "empty entry": (["--methods", "b2u,,n2v"], ["empty entry", "b2u,,n2v"]),
    "no method at all": (["--methods", ""], ["empty entry"]),
    "no data set at all": (["--datasets", ""], ["empty entry"]),
    "noise that is no noise": (["--noise", "gauss-5"], ["'gauss-5'", "gaussA_B", "poissonA"]),
    "noise range upside down": (["--noise", "gauss50_5"], ["'gauss50_5'"]),
    "unknown data set": (["--datasets", "kodac"], ["'kodac'", "Did you mean 'kodak'?", "folder of images"]),
    "no repeats": (["--repeats", "0"], ["--repeats", "'0'", "paper"]),
    "repeats that are no number": (["--repeats", "x"], ["--repeats", "'x'"]),
    "repeats in superscript": (["--repeats", "²"], ["--repeats", "'²'"]),
    "budget that cannot be read": (["--budget", "foo"], ["'foo'", "300steps", "paper"]),
    "budget of nothing": (["--budget", "0steps"], ["'0steps'"]),
    "a million million repeats": (["--repeats", "100000000000"], ["--repeats", "10,000"]),
    "repeats of 5000 digits": (["--repeats", "9" * 5000], ["--repeats", "10,000"]),
    "budget of 300 digits": (["--budget", f"{'9' * 300}steps"], ["--budget", "1,000,000,000 steps"]),
    "budget of a lifetime": (["--budget", "9999999min"], ["--budget", "1,000,000 minutes"]),
    "image budget of 300 digits": (["--image-budget", f"{'9' * 300}"], ["--image-budget", "1,000,000,000 steps"]),
    "setting beyond all numbers": (["--methods", f"r2r[passes={'9' * 30}]"], ["whole number up to 2^53"]),
    "tile of 5000 digits": (["--tile", "9" * 5000], ["--tile", "65,536"]),
    "memory of 400 digits": (["--memory-limit", "9" * 400 + "GB"], ["--memory-limit", "4GB"]),
    "five thousand threads": (["--threads", "5000"], ["--threads", "256"]),
    "a million workers": (["--workers", "1000000"], ["--workers", "512"]),
    "a seed no library takes": (["--seed", "1" + "0" * 20], ["--seed", "9007199254740992"]),
    "a million trainings": (["--trainings", "1000000"], ["--trainings", "1000"]),
    "crop that does not fit": (["--crop", "50"], ["--crop 50", "multiples of 32"]),
    "learning rate out of range": (["--lr", "2"], ["--lr 2"]),
    "unknown training noise": (["--training-noise", "stale"], ["'stale'", "fixed, fresh"]),
    "unknown device": (["--device", "xpu"], ["'xpu'", "cpu", "cuda"]),
    "unknown draws": (["--noise-draws", "foo"], ["'foo'", "counter", "legacy"]),
    "unknown padding": (["--padding", "foo"], ["'foo'", "side", "square"]),
    "legacy draws of another set": (["--noise-draws", "legacy"], ["'pictures'", "kodak, bsd300, set14"]),
    "data root that is no folder": (["--data-root", "/nowhere"], ["--data-root /nowhere"]),
    "training data that do not exist": (["--train-data", "nosuchset"], ["'nosuchset'"]),
}


@pytest.mark.parametrize("case", BAD_VALUES)
def test_a_bad_value_is_named_with_what_is_allowed(
    case: str, command: Command, image_folder: MakeFolder, tmp_path: Path
) -> None:
    arguments, words = BAD_VALUES[case]
    given: dict[str, object] = {"--methods": "identity", "--datasets": image_folder(), "--out": tmp_path / "o"}
    given |= dict(zip(arguments[::2], arguments[1::2], strict=True))
    refused(command("run", *(part for pair in given.items() for part in pair)), *words)
    assert not (tmp_path / "o" / "table.md").exists()


@pytest.mark.parametrize("threads", ["5000", "9" * 5000])
def test_variables_are_bounded_too(
    threads: str, command: Command, image_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    ran = command("run", "--methods", "identity", "--datasets", image_folder(), "--out", tmp_path / "o")
    refused(ran, "OMP_NUM_THREADS", "1 to 256")


def test_without_a_home_folder_the_cache_is_not_searched(
    command: Command, image_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(*_: object, **__: object) -> Path:
        raise RuntimeError("could not determine the home directory")

    pictures = image_folder()
    monkeypatch.setattr("platformdirs.user_cache_path", nobody)
    monkeypatch.delenv("DENOISEBENCH_DATA")
    assert command("run", "--methods", "identity", "--datasets", pictures, "--out", tmp_path / "o").code == 0
    where = command("data", "where")
    assert (where.code, where.out) == (0, "")
    assert "no home folder" in where.err
    refused(command("run", "--methods", "identity", "--datasets", "kodak", "--out", tmp_path / "o"), "kodak", "home")
    refused(command("data", "fetch", "kodak"), "--data-root")


def test_an_empty_or_missing_folder_is_named(command: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    common = ("run", "--methods", "identity", "--out", tmp_path / "o", "--datasets")
    refused(command(*common, tmp_path / "empty"), str(tmp_path / "empty"), "holds no image")
    refused(command(*common, tmp_path / "absent"), str(tmp_path / "absent"), "folder of images")
    (tmp_path / "file.png").touch()
    refused(command(*common, tmp_path / "file.png"), "is a file")


def test_two_folders_of_one_name_are_refused(command: Command, image_folder: MakeFolder, tmp_path: Path) -> None:
    one, two = image_folder("a/same"), image_folder("b/same")
    ran = command("run", "--methods", "identity", "--datasets", f"{one},{two}", "--out", tmp_path / "o")
    refused(ran, "'same'", "rename")


def test_a_missing_data_set_tells_where_to_get_it_and_where_to_put_it(command: Command, tmp_path: Path) -> None:
    ran = command("run", "--methods", "identity", "--datasets", "kodak", "--out", tmp_path / "o")
    refused(
        ran, "http://r0k.us/graphics/kodak/", str(tmp_path / "no-data" / "kodak"), "--data-root", "data fetch kodak"
    )


def test_an_unwritable_results_folder_is_named(command: Command, image_folder: MakeFolder, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ran = command("run", "--methods", "identity", "--datasets", image_folder(), "--out", tmp_path / "file" / "o")
    refused(ran, str(tmp_path / "file" / "o"), "Choose a writable one", "--out")


def test_a_report_on_a_folder_without_results_is_refused(command: Command, tmp_path: Path) -> None:
    refused(command("report", tmp_path), str(tmp_path), "no results")
    (tmp_path / "cells").mkdir()
    refused(command("report", tmp_path), str(tmp_path), "no finished results")


def test_a_damaged_result_file_is_named_left_out_and_computed_again(
    command: Command, image_folder: MakeFolder, tmp_path: Path
) -> None:
    arguments = ("run", "--methods", "identity,nlm", "--datasets", image_folder(), "--out", tmp_path / "o")
    first = command(*arguments)
    cell = max((tmp_path / "o" / "cells").glob("*.json"), key=lambda path: '"nlm"' in path.read_text(encoding="utf-8"))
    damaged = cell.read_bytes()[:-40]
    cell.write_bytes(damaged)
    report = command("report", tmp_path / "o")
    assert report.code == 1
    assert "NLM" not in report.out
    assert f"WARNING: {cell} is damaged" in report.out.replace("\\", "")
    assert cell.read_bytes() == damaged, "a report changes no result"
    again = command(*arguments)
    assert again.code == 0
    assert f"{cell} is damaged" in again.err
    assert "computed again" in again.err
    assert (tmp_path / "o" / "cells" / "damaged" / cell.name).read_bytes() == damaged
    scores = [line.rpartition("|")[0].rpartition("|")[0] for line in first.out.splitlines()[:4]]
    assert [line.rpartition("|")[0].rpartition("|")[0] for line in again.out.splitlines()[:4]] == scores


# --- plugins given by file ---


BAD_PLUGINS = {
    "fails on import": ("import no_such_module_here\n", ["fails on import", "ModuleNotFoundError"]),
    "leaves on import": ("raise SystemExit(0)\n", ["fails on import", "SystemExit"]),
    "has a syntax error": ("def (:\n", ["fails on import", "SyntaxError"]),
    "holds no method": ("x = 1\n", ["exactly one method", "not 0"]),
    "holds two methods": (
        "from denoisebench.plugins.method import Info, PlainMethod\n"
        "class A(PlainMethod):\n    name = 'a'\n    info = Info(label='A')\n"
        "class B(PlainMethod):\n    name = 'b'\n    info = Info(label='B')\n",
        ["exactly one method", "not 2"],
    ),
    "has no metadata": (
        "from denoisebench.plugins.method import PlainMethod\nclass A(PlainMethod):\n    name = 'a'\n",
        ["lacks its metadata", "Info(label=...)"],
    ),
    "takes a name that is taken": (
        "from denoisebench.plugins.method import Info, PlainMethod\n"
        "class A(PlainMethod):\n    name = 'b2u'\n    info = Info(label='A')\n",
        ["'b2u'", "taken twice", "built in"],
    ),
    "has a setting without a default": (
        "from dataclasses import dataclass\nfrom denoisebench.plugins.method import Info, PlainMethod\n"
        "@dataclass(frozen=True)\nclass A(PlainMethod):\n"
        "    width: float\n    name = 'a'\n    info = Info(label='A')\n",
        ["'width'", "default"],
    ),
}


@pytest.mark.parametrize("case", BAD_PLUGINS)
@pytest.mark.parametrize("way", ["run", "check-method"])
def test_a_bad_plugin_file_is_named(case: str, way: str, command: Command, tmp_path: Path) -> None:
    text, words = BAD_PLUGINS[case]
    path = tmp_path / "plugin_under_test.py"
    path.write_text(text, encoding="utf-8")
    arguments = ("run", "--plugin", path, "--methods", "identity", "--out", tmp_path / "o")
    refused(command(*(arguments if way == "run" else ("check-method", path))), str(path), *words)


def test_a_plugin_file_that_does_not_exist_is_named(command: Command, tmp_path: Path) -> None:
    refused(command("run", "--plugin", tmp_path / "no.py"), str(tmp_path / "no.py"), "does not exist")
    refused(command("check-method", tmp_path / "no.py"), str(tmp_path / "no.py"), "does not exist")
    (tmp_path / "notes.txt").touch()
    refused(command("run", "--plugin", tmp_path / "notes.txt"), "notes.txt", "not a Python file")


def test_a_plugin_that_refuses_its_settings_is_quoted(
    command: Command, plugin_file: MakePlugin, image_folder: MakeFolder, tmp_path: Path
) -> None:
    path = plugin_file()
    refusal = "    def __post_init__(self):\n        if self.count > 3:\n            raise ValueError('at most 3')\n"
    path.write_text(path.read_text(encoding="utf-8") + "\n" + refusal, encoding="utf-8")
    arguments = ("run", "--plugin", path, "--datasets", image_folder(), "--out", tmp_path / "o", "--methods")
    assert command(*arguments, "toy[count=3]").code == 0
    refused(command(*arguments, "toy[count=4]"), "toy", "at most 3")


def test_a_plugin_may_build_on_a_built_in_method(command: Command, image_folder: MakeFolder, tmp_path: Path) -> None:
    path = tmp_path / "derived.py"
    path.write_text(
        "from dataclasses import dataclass\nfrom denoisebench.plugins.method import Info\n"
        "from denoisebench.methods.identity import Identity\n"
        "@dataclass(frozen=True)\nclass Derived(Identity):\n"
        "    name = 'derived'\n    info = Info(label='Derived', licence='x')\n",
        encoding="utf-8",
    )
    ran = command(
        "run", "--plugin", path, "--methods", "derived", "--datasets", image_folder(), "--out", tmp_path / "o"
    )
    assert ran.code == 0, ran.err
    assert "Derived" in ran.out


# --- experiment files and published tables ---


def test_an_experiment_file_gives_the_options_and_the_command_line_wins(
    command: Command, image_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.toml"
    folder = image_folder()
    path.write_text(
        f'methods = ["identity"]\nnoise = ["gauss15", "gauss50"]\ndatasets = ["{folder}"]\nrepeats = 2\nout = "o"\n',
        encoding="utf-8",
    )
    ran = command("run", "--config", path)
    assert ran.code == 0, ran.err
    assert "Gaussian σ=15" in ran.out
    assert "Gaussian σ=50" in ran.out
    assert "mean of 4 scored images" in ran.out
    one = command("run", "--config", path, "--noise", "gauss15", "--repeats", "1")
    assert "Gaussian σ=50" not in one.out
    planned = command("run", "--config", path, "--noise", "gauss15,gauss25", "--plan")
    assert planned.code == 0
    assert "4 images to denoise, 0 networks to train" in planned.out
    assert "stored" in planned.out
    path.write_text("repeets = 2", encoding="utf-8")
    refused(command("run", "--config", path), "repeets", "repeats")
    path.write_text('repeats = "many"', encoding="utf-8")
    refused(command("run", "--config", path), "many")


def test_a_published_table_without_data_stays_blank(command: Command, tmp_path: Path) -> None:
    for number, text in (("1", "| Gaussian σ=25     | N2C           | 32.43/0.884"), ("3", "SIDD Validation measured")):
        ran = command("table", number, "--out", tmp_path / number)
        assert ran.code == 1
        assert "put the files into" in ran.err
        assert text in ran.out
        assert "its data are not on this machine" in ran.out
        assert "no-data" not in ran.out
        lines = (tmp_path / number / f"paper-table{number}.csv").read_text(encoding="utf-8").splitlines()
        assert {line["psnr"] for line in csv.DictReader(lines)} == {""}
    refused(command("table", "9"), "no table", "1, 2, 3, 4, 5, 6, 7, 8")
    refused(command("table", "8", "--noise", "gauss"), "gauss")


def test_stored_scores_are_set_beside_a_published_table(
    command: Command, image_folder: MakeFolder, tmp_path: Path
) -> None:
    folder, out = image_folder("kodak"), tmp_path / "o"
    assert command("run", "--methods", "bm3d", "--datasets", folder, "--out", out).code == 0

    def measured(text: str) -> str:
        line = next(line for line in text.splitlines() if "| CBM3D" in line and "σ=25" in line)
        assert "31.87/0.868" in line
        return line.split("|")[4].strip()

    by_itself = command("report", out, "--table", "1", "--label", "bm3d=Ours")
    assert by_itself.code == 0, by_itself.err
    assert by_itself.out.startswith("Nothing that was measured stands in table 1 of the paper, which --whole prints.")
    assert "| Ours " in by_itself.out
    assert "31.87/0.868" not in by_itself.out
    blank = command("report", out, "--table", "1", "--whole")
    assert blank.code == 0, blank.err
    assert measured(blank.out) == ""
    from denoisebench.plugins.identity import class_name
    from denoisebench.plugins.lookup import find_dataset
    from denoisebench.results.store import Store, StoredCell

    # The same as if they were of the images of Kodak, which are not here.
    store, kodak = Store(out), find_dataset("kodak", ())
    for stored in store.all():
        protocol = {**stored.identity["protocol"], "data_hash": kodak.data_hash}
        about = {**stored.about, "dataset_class": class_name(kodak)}
        store.write(StoredCell({**stored.identity, "protocol": protocol}, about, stored.rows))
    ran = command("report", out, "--table", "1")
    assert ran.code == 0, ran.err
    assert float(measured(ran.out).partition("/")[0]) > 20
    assert {path.name for path in out.glob("paper-table1.*")} == {f"paper-table1.{e}" for e in ("md", "tex", "csv")}


# --- several mistakes at once ---


def mistakes_of(ran: Any) -> list[str]:
    assert ran.code == 2, ran.err
    assert "Traceback" not in ran.err
    return [line.removeprefix("Error: ") for line in ran.err.splitlines() if line.startswith("Error: ")]


def test_every_wrong_option_is_named_before_any_work(command: Command, tmp_path: Path) -> None:
    wrong = {
        "--methods": "b2uu,nlm,nbr", "--noise": "gouss,gauss25", "--datasets": "kodac", "--repeats": "none",
        "--lr": "7", "--crop": "50", "--recipe": "desktop", "--padding": "round", "--tile": "33", "--device": "tpu",
        "--time-limit": "soon", "--executor": "slurm",
    }  # fmt: skip
    ran = command("run", *(part for option in wrong.items() for part in option), "--out", tmp_path / "o")
    found = mistakes_of(ran)
    for text in ("b2uu", "nbr", "gouss", "kodac", "none", "7", "50", "desktop", "round", "33", "tpu", "soon", "slurm"):
        assert sum(text in line.partition("Allowed")[0].split("Did you")[0] for line in found) >= 1, text
    assert len(found) == 13
    assert not (tmp_path / "o").exists()


def test_options_that_cannot_be_read_are_named_together(command: Command) -> None:
    found = mistakes_of(command("run", "--batch", "x", "--crop", "3", "--no-such", "1", "--neither=2", "--plan"))
    assert [line.split(" (")[0] for line in found[:1]] == ["No such option: --no-such"]
    assert "No such option: --neither" in found
    assert any("'--batch'" in line for line in found)
    assert any("'--crop'" in line for line in found)
    assert len(found) == 4


def test_train_and_audit_name_every_wrong_option(command: Command, tmp_path: Path) -> None:
    found = mistakes_of(command("train", "--methods", "nn2n", "--channels", "2", "--budget", "long"))
    assert [next(word for word in ("nn2n", "--channels 2", "long") if word in line) for line in found] == [
        "--channels 2", "nn2n", "long",
    ]  # fmt: skip
    found = mistakes_of(command("audit", tmp_path, "--images", "0", "--setting", "passes", "--retrain", "all"))
    assert ["--images" in found[0], "--setting" in found[1], "--retrain" in found[2]] == [True] * 3


def test_help_shows_options_in_groups_and_the_version_has_an_option(command: Command) -> None:
    for words in (("run", "-h"), ("table", "--help")):
        text = command(*words).out
        titles = [line for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
        expected = ["What:", "Protocol:", "Training:", "Execution:", "Data and plugins:", "Output:"]
        assert [title for title in titles if title in expected] == expected
    assert command("--version").out == command("version").out


@pytest.mark.parametrize("group", [(), ("figure",), ("data",), ("weights",)])
def test_every_command_is_summed_up_in_one_whole_line(command: Command, group: tuple[str, ...]) -> None:
    listed = command(*group, "--help").out.partition("Commands:\n")[2].splitlines()
    assert len(listed) > 3
    for line in listed:
        assert line.endswith(".")
        assert not line.endswith("..."), line


def test_the_help_of_table_claims_no_default_that_a_table_has_of_its_own(command: Command) -> None:
    def shown(name: str, option: str) -> str:
        text = " ".join(command(name, "--help").out.split())
        return text.partition(f" {option} <")[2].partition(" --")[0].partition("[default: ")[2]

    for option, default in {"--methods": "b2u,nbr2nbr]", "--noise": "gauss25]", "--repeats": "1]"}.items():
        assert shown("run", option) == default
        assert shown("table", option) == "(the table's)]"
    assert shown("table", "--padding").startswith("side]")


# --- per-image methods ---


def test_a_budget_also_limits_fits_to_single_images(command: Command, image_folder: MakeFolder, tmp_path: Path) -> None:
    folder, out = image_folder(), tmp_path / "o"
    arguments = ("run", "--methods", "zsn2n", "--datasets", folder, "--out", out, "--budget", "2steps")
    ran = command(*arguments)
    assert ran.code == 0, ran.err
    assert "2 steps per image of the paper's 2,000 steps" in ran.out
    again = command(*arguments)
    assert "0 to compute" in again.err
    assert again.out == ran.out
    refused(command("run", "--methods", "zsn2n", "--image-budget", "5epochs"), "5epochs", "steps, min and paper")
    epochs = command("run", "--methods", "zsn2n,identity", "--datasets", folder, "--out", out, "--budget", "1epochs")
    assert epochs.code == 0
    assert "Skipped: zsn2n" in epochs.out
    assert "budget in steps or min, or paper" in epochs.out


def test_any_learned_method_takes_a_network_of_ones_own(
    command: Command, image_folder: MakeFolder, tmp_path: Path
) -> None:
    net = tmp_path / "net.py"
    net.write_text(
        "import torch\n\nclass Net(torch.nn.Conv2d):\n"
        "    def __init__(self, given, made):\n        super().__init__(given, made, 3, padding=1)\n",
        encoding="utf-8",
    )
    folder = image_folder()
    arguments: tuple[object, ...]
    arguments = ("run", "--methods", f"b2u[network={net}:Net],n2v[network=dncnn]", "--datasets", folder)
    arguments += ("--out", tmp_path / "o", "--budget", "1step", "--crop", "32", "--train-data", folder)
    ran = command(*arguments)
    assert ran.code == 0, ran.err
    assert "net.py:Net" in ran.out
    assert "0 to compute" in command(*arguments).err
    net.write_text(net.read_text(encoding="utf-8").replace("padding=1)", "padding=1, bias=True)"), encoding="utf-8")
    assert "1 to compute" in command(*arguments).err
    refused(command("run", "--methods", f"b2u[network={tmp_path}/no.py:Net]"), "no.py", "does not exist")


# --- new-method and check-method ---


@pytest.mark.parametrize("kind", ["plain", "learned", "fitted"])
def test_a_new_method_keeps_the_contract_and_runs(
    kind: str, command: Command, image_folder: MakeFolder, tmp_path: Path
) -> None:
    made = command("new-method", "my_try", "--kind", kind, "--folder", tmp_path)
    assert made.code == 0, made.err
    path = tmp_path / "my_try.py"
    assert str(path) in made.out
    checked = command("check-method", path)
    assert checked.code == 0, checked.out
    assert "FAIL" not in checked.out
    assert "my_try: keeps the contract" in checked.out
    if kind != "learned":
        ran = command(
            "run", "--plugin", path, "--methods", "my_try", "--datasets", image_folder(), "--out", tmp_path / "o",
            "--image-budget", "3steps",
        )  # fmt: skip
        assert ran.code == 0, ran.err
        assert "my_try" in ran.out
        assert ("3 steps per image of the paper's 300 steps" in ran.out) == (kind == "fitted")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("b2u", "taken"),
        ("Big", "lower-case"),
        ("a-b", "lower-case"),
        ("for", "it is a word of Python"),
        ("äh", "not allowed"),
        ("all", "it means all methods"),
        ("types", "in place of the module"),
        ("torch", "in place of the module"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(name: str, words: str, command: Command, tmp_path: Path) -> None:
    refused(command("new-method", name, "--folder", tmp_path), repr(name), words)
    assert not list(tmp_path.glob("*.py"))


@pytest.mark.parametrize("name", ["none", "_1a", "info", "true"])
def test_odd_but_allowed_names_give_a_file_that_loads(name: str, command: Command, tmp_path: Path) -> None:
    command("new-method", name, "--folder", tmp_path)
    listed = command("list", "methods", "--plugin", tmp_path / f"{name}.py")
    assert listed.code == 0, listed.err
    assert f"{name}  ({name}; file" in listed.out


def test_new_method_overwrites_nothing_and_names_bad_places(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("precious", encoding="utf-8")
    refused(command("new-method", "mine", "--folder", tmp_path), "mine.py", "exists already")
    assert (tmp_path / "mine.py").read_text(encoding="utf-8") == "precious"
    refused(command("new-method", "mine", "--folder", tmp_path / "absent"), "does not exist")
    refused(command("new-method", "other", "--kind", "deep", "--folder", tmp_path), "'deep'", "fitted, learned, plain")


def test_check_method_says_which_rule_is_broken(command: Command, plugin_file: MakePlugin) -> None:
    ran = command("check-method", plugin_file(body="return noisy * np.nan"))
    assert ran.code == 1
    assert "FAIL" in ran.out
    assert "not finite" in ran.out
    assert "PASS  metadata" in ran.out
    assert "toy: 13 rules broken" in ran.out
    assert ran.out.count("not finite") == 1, "the others have the same"


# --- the rest ---


def test_lists_name_what_there_is(command: Command, plugin_file: MakePlugin) -> None:
    methods = command("list", "methods", "--plugin", plugin_file()).out
    assert "b2u  (B2U; built in)" in methods
    assert "toy  (toy; file" in methods
    assert "shift=0, count=1, mode=a" in methods
    assert "told: clean images" in methods
    assert "The 24 photographs of the Kodak" in command("list", "datasets").out
    assert "gaussA_B" in command("list", "noises").out
    assert "unet_nbr" in command("list", "networks").out
    refused(command("list", "noise"), "'noise'", "Did you mean 'noises'?")


def test_data_where_and_status_point_to_the_folders(command: Command, tmp_path: Path) -> None:
    assert str(tmp_path / "no-data") in command("data", "where").out
    assert command("data", "where", "--data-root", tmp_path).out.strip() == str(tmp_path)
    status = command("data", "status", "samples", "kodak").out
    assert "samples" in status
    assert "http://r0k.us/graphics/kodak/" in status
    assert "24 colour PNG" in status
    assert 'Trap: "Kodak24" of FFDNet' in status
    assert "Trap" not in command("data", "status").out


def test_the_status_of_an_unknown_data_set_is_an_error(command: Command) -> None:
    ran = command("data", "status", "kodka")
    assert ran.code == 2
    assert "Did you mean 'kodak'" in ran.err


def test_version_is_printed(command: Command) -> None:
    from denoisebench import __version__

    assert command("version").out.strip() == f"denoisebench {__version__}"


def test_a_path_that_is_empty_is_not_the_current_folder(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in (
        ["run", "--methods", "nlm", "--limit", "1", "--out", ""], ["run", "--plugin", ""], ["report", ""],
        ["table", "1", "--out="], ["figure", "pareto", "", "--out", "f.png"], ["data", "manifest", ""],
        ["diagnose", ""], ["denoise", "", "--method", "nlm", "--out", "o"],
    ):  # fmt: skip
        ran = command(*arguments)
        assert ran.code == 2, arguments
        assert "is empty; name a file" in ran.err, arguments
    assert list(tmp_path.iterdir()) == []


def test_typer_mistakes_end_with_code_two(command: Command) -> None:
    for arguments in (["run", "--crop", "20"], ["run", "--nonsense"], ["nonsense"], ["run", "--seed", "x"]):
        ran = command(*arguments)
        assert ran.code == 2, arguments
        assert "Traceback" not in ran.err
