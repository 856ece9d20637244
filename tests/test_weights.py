"""Weights: what is written is what is loaded, what was altered is refused, and a run uses what fits."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from denoisebench.core.errors import UserError
from denoisebench.core.files import CannotWrite, write_bytes
from denoisebench.data.dataset import AnyFolder
from denoisebench.execution.forecast import trained
from denoisebench.networks import build_network
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import LearnedMethod
from denoisebench.publishing.released import _b2u_names, _nbr_names
from denoisebench.results.store import Store
from denoisebench.training import weights as module
from denoisebench.training.weights import (
    SUMS,
    Shelf,
    Weights,
    read_folder,
    read_tensors,
    stem_of,
    verify_folder,
    write_weights,
)

pytestmark = pytest.mark.usefixtures("no_data", "fresh_registry", "nothing_shipped")


@pytest.fixture
def nothing_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "shipped_folder", lambda: None)


def learned(text: str) -> LearnedMethod:
    method = parse_method(text)
    assert isinstance(method, LearnedMethod)
    return method


def make(folder: Path, text: str = "n2c", noise: str = "gauss25", channels: int = 3, half: bool = False) -> Weights:
    method = learned(text)
    torch.manual_seed(3)
    record = {
        "method": method.name,
        "settings": method.settings(training_only=True),
        "noise": noise,
        "channels": channels,
        "summary": "a test",
    }
    tensors = method.build(channels).state_dict()
    return write_weights(folder, stem_of(method, noise, channels), tensors, record, half)


def test_names_tell_settings_apart_and_ignore_those_of_inference() -> None:
    assert stem_of(learned("b2u"), "gauss25", 3) == "b2u-gauss25-rgb"
    assert stem_of(learned("b2u[output=mid]"), "gauss25", 1) == "b2u-gauss25-gray"
    other = stem_of(learned("b2u[stride=2]"), "gauss25", 3)
    assert other.startswith("b2u-gauss25-rgb-")
    assert other != stem_of(learned("b2u[stride=8]"), "gauss25", 3)


@pytest.mark.parametrize("half", [False, True])
def test_what_is_written_is_what_is_loaded(tmp_path: Path, half: bool) -> None:
    make(tmp_path, half=half)
    found = Shelf([tmp_path]).find(learned("n2c"), "gauss25", 3)
    assert found is not None
    torch.manual_seed(3)
    original = build_network("unet", 3, 3).state_dict()
    loaded = found.load(learned("n2c"), 3, "cpu").state_dict()
    for name, value in original.items():
        expected = value.half().float() if half else value
        assert torch.equal(loaded[name], expected)
    assert found.path.stat().st_size == pytest.approx(1_102_371 * (2 if half else 4), rel=0.01)


def test_only_weights_of_exactly_these_settings_fit(tmp_path: Path) -> None:
    make(tmp_path, "b2u[stride=2]")
    shelf = Shelf([tmp_path])
    assert shelf.find(learned("b2u[stride=2,output=dn]"), "gauss25", 3) is not None
    assert shelf.find(learned("b2u"), "gauss25", 3) is None
    assert shelf.find(learned("b2u[stride=2]"), "gauss50", 3) is None
    assert shelf.find(learned("b2u[stride=2]"), "gauss25", 1) is None


def test_the_settings_of_the_record_decide_not_the_name_of_the_file(tmp_path: Path) -> None:
    """Names hold eight digits of the settings' hash, and files are copied and renamed."""
    plain, other = learned("b2u"), learned("b2u[stride=2]")
    record = {
        "method": "b2u",
        "settings": other.settings(training_only=True),
        "noise": "gauss25",
        "channels": 3,
        "summary": "a test",
    }
    write_weights(tmp_path, stem_of(plain, "gauss25", 3), {"a": torch.zeros(1)}, record, half=False)
    assert Shelf([tmp_path]).find(plain, "gauss25", 3) is None
    settings = plain.settings(training_only=True)
    write_weights(tmp_path, stem_of(plain, "gauss25", 3), {"a": torch.zeros(1)}, record | {"settings": settings}, False)
    assert Shelf([tmp_path]).find(plain, "gauss25", 3) is not None


def test_the_first_folder_wins(tmp_path: Path) -> None:
    first, second = make(tmp_path / "a"), make(tmp_path / "b", half=True)
    assert first.sha256 != second.sha256
    found = Shelf([tmp_path / "b", tmp_path / "a"]).find(learned("n2c"), "gauss25", 3)
    assert found is not None
    assert found.sha256 == second.sha256


def test_sums_are_those_of_sha256sum(tmp_path: Path) -> None:
    make(tmp_path)
    assert os.system(f"cd {tmp_path} && sha256sum --check --quiet {SUMS}") == 0


def test_a_network_with_values_that_are_not_finite_is_never_written(tmp_path: Path) -> None:
    record = {"method": "n2c", "settings": {}, "noise": "gauss25", "channels": 3, "summary": ""}
    # The last is finite, but not in half precision.
    for value, half in ((float("nan"), False), (float("inf"), False), (1e5, True)):
        with pytest.raises(UserError, match=r"not finite \(a\)"):
            write_weights(tmp_path, "x", {"a": torch.tensor([value])}, record, half)
    assert list(tmp_path.iterdir()) == []


def damage_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "one bit of the network": lambda folder: damage_byte(folder / "n2c-gauss25-rgb.safetensors"),
    "a cut network": lambda folder: (folder / "n2c-gauss25-rgb.safetensors").write_bytes(b""),
    "no network": lambda folder: (folder / "n2c-gauss25-rgb.safetensors").unlink(),
    "one bit of the record": lambda folder: damage_byte(folder / "n2c-gauss25-rgb.json"),
    "no record": lambda folder: (folder / "n2c-gauss25-rgb.json").unlink(),
    "foreign sums": lambda folder: (folder / SUMS).write_text("hello\n"),
    "a path in the sums": lambda folder: (folder / SUMS).write_text(f"{'0' * 64}  ../x.safetensors\n"),
}


def load_all(folder: Path) -> None:
    for weights in read_folder(folder).values():
        weights.load(learned("n2c"), 3, "cpu")


def test_no_damage_of_two_hundred_is_ever_loaded(tmp_path: Path) -> None:
    make(tmp_path / "w", half=True)
    make(tmp_path / "other", "n2n", half=False)
    rng = np.random.default_rng(0)
    for number in range(200):
        path = tmp_path / "w" / ("n2c-gauss25-rgb.safetensors", "n2c-gauss25-rgb.json", SUMS)[number % 3]
        whole = path.read_bytes()
        data = bytearray(whole)
        kind = number // 3 % 3
        if kind == 0:
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        elif kind == 1:
            del data[rng.integers(len(data)) :]
        else:
            data = bytearray((tmp_path / "other" / path.name.replace("n2c", "n2n")).read_bytes())
        path.write_bytes(data)
        try:
            load_all(tmp_path / "w")
            # Sums that were cut list no network any more, or lack their last line end.
            assert path.name == SUMS
            assert read_folder(tmp_path / "w") == {} or bytes(data) == whole[:-1]
        except UserError:
            pass
        path.write_bytes(whole)
    load_all(tmp_path / "w")


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_damage_is_refused(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    make(tmp_path)
    damage(tmp_path)
    with pytest.raises(UserError, match=r"altered|Cannot read|SHA-256"):
        load_all(tmp_path)


def test_verify_names_what_is_wrong(tmp_path: Path) -> None:
    for noise in ("gauss15", "gauss25", "gauss50"):
        make(tmp_path, noise=noise)
    assert {verdict for _, verdict in verify_folder(tmp_path)} == {"intact"}
    damage_byte(tmp_path / "n2c-gauss15-rgb.safetensors")
    (tmp_path / "n2c-gauss25-rgb.safetensors").unlink()
    (tmp_path / "stray.safetensors").touch()
    wrong = {name: verdict for name, verdict in verify_folder(tmp_path) if verdict != "intact"}
    assert wrong == {
        "n2c-gauss15-rgb.safetensors": "altered",
        "n2c-gauss25-rgb.safetensors": "missing",
        "stray.safetensors": f"not listed in {SUMS}",
    }


def test_weights_of_another_network_are_refused_by_name_and_shape(tmp_path: Path) -> None:
    weights = make(tmp_path, "n2c[network=unet_nbr]")
    with pytest.raises(UserError, match=r"up\.0\.bias is superfluous"):
        weights.load(learned("n2c"), 3, "cpu")
    with pytest.raises(UserError, match=r"expected \(48, 1, 3, 3\)"):
        weights.load(learned("n2c[network=unet_nbr]"), 1, "cpu")


# --- in a run ---


def test_a_run_uses_weights_that_fit_and_says_so(
    tmp_path: Path, command: Callable[..., Any], image_folder: Callable[..., Path]
) -> None:
    folder = image_folder("test")
    weights = make(tmp_path / "w")
    arguments = ("run", "--methods", "n2c", "--datasets", folder, "--weights", tmp_path / "w", "--out", tmp_path / "o")
    ran = command(*arguments)
    assert ran.code == 0, ran.err
    assert f"a test (weights {weights.sha256[:8]})" in ran.out
    assert "training it now" not in ran.err
    assert "0 to compute" in command(*arguments).err
    # Other weights are another cell, even with the same record.
    (tmp_path / "w" / SUMS).unlink()
    make(tmp_path / "w", half=True)
    assert "1 to compute" in command(*arguments).err


def test_options_of_training_override_weights(
    tmp_path: Path, command: Callable[..., Any], image_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "w")
    monkeypatch.setenv("DENOISEBENCH_WEIGHTS", str(tmp_path / "w"))
    arguments = ("run", "--methods", "n2c", "--datasets", image_folder("test"), "--out", tmp_path / "o")
    trained = command(*arguments, "--budget", "1step", "--crop", 32)
    assert "training it now, 1 step" in trained.err
    refused = command(*arguments, "--budget", "1step", "--weights", tmp_path / "w")
    assert refused.code == 2
    assert "drop one" in refused.err
    assert command(*arguments, "--weights", tmp_path).code == 2


def test_a_folder_without_weights_is_named_by_every_command(command: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    for words in (("score", tmp_path, "--out", tmp_path), ("verify", "--weights", tmp_path)):
        told = command("weights", *words)
        assert told.code == 2
        assert f"Folder {tmp_path} holds no weights (no SHA256SUMS in it)" in told.err.replace("\n", " ")


def test_train_list_verify_score(
    tmp_path: Path, command: Callable[..., Any], image_folder: Callable[..., Path]
) -> None:
    folder, out = image_folder("test"), tmp_path / "w"
    train = ("weights", "train", "--methods", "n2c,nbr2nbr", "--budget", "2steps", "--crop", 64, "--out", out)
    stopped = command(*train, "--train-data", folder, "--time-limit", 0)
    assert stopped.code == 1
    assert "stopped at the time limit, step 0/2" in stopped.err
    assert command(*train, "--train-data", folder).code == 0
    assert sorted(path.name for path in out.iterdir()) == [
        SUMS, "n2c-gauss25-rgb.json", "n2c-gauss25-rgb.safetensors",
        "nbr2nbr-gauss25-rgb.json", "nbr2nbr-gauss25-rgb.safetensors", "training",
    ]  # fmt: skip
    verified = command("weights", "verify", "--weights", out)
    assert (verified.code, verified.out.count("intact")) == (0, 4)
    results = tmp_path / "o"
    command("run", "--methods", "n2c", "--datasets", folder, "--weights", out, "--out", results)
    name = f"test#{AnyFolder(folder).data_hash[:8]}"
    assert f"n2c-gauss25-rgb on {name}: " in command("weights", "score", results, "--out", out).out
    record = json.loads((out / "n2c-gauss25-rgb.json").read_text())
    assert record["scores"][f"{name} gauss25"]["rows"] == 2
    listed = command("weights", "list", "--weights", out).out
    assert "2 steps, 4x64², Muon, " in listed
    assert f"{name} {record['scores'][f'{name} gauss25']['psnr']:.2f}" in listed
    assert command("weights", "verify", "--weights", out).code == 0
    again = command("run", "--methods", "n2c", "--datasets", folder, "--weights", out, "--out", results)
    assert "0 to compute" in again.err


def test_a_training_begins_with_the_methods_own_network(
    tmp_path: Path, command: Callable[..., Any], image_folder: Callable[..., Path]
) -> None:
    """At a rate of nearly zero nothing moves, so what comes out is what it began with."""
    folder, first, second = image_folder("test"), tmp_path / "first", tmp_path / "second"
    common = ("--methods", "n2c,nbr2nbr", "--crop", 64, "--train-data", folder, "--recipe", "laptop[average=0]")
    assert command("weights", "train", *common, "--noise", "gauss10", "--budget", "3steps", "--out", first).code == 0
    begun = ("--noise", "gauss20", "--budget", "2steps", "--lr", "1e-12", "--start", "gauss10", "--weights", first)
    assert command("weights", "train", *common, *begun, "--out", second).code == 0
    for method in ("n2c", "nbr2nbr"):
        before, after = (
            read_folder(place)[f"{method}-gauss{level}-rgb"] for place, level in ((first, 10), (second, 20))
        )
        old, new = (read_tensors(weights.path, weights.sha256) for weights in (before, after))
        for name, value in old.items():
            torch.testing.assert_close(new[name], value, atol=1e-3, rtol=1e-3)
        cost = {"weights": before.sha256, "noise": "gauss10", "images_seen": 12, "seconds": before.record["seconds"]}
        assert after.record["start"] == cost
        assert (after.record["steps"], after.record["images_seen"]) == (2, 20)
        assert after.record["seconds"] > before.record["seconds"]
        # What a step takes is told from the time of the steps alone.
        (timed,) = trained(after.record)
        assert timed.seconds == pytest.approx((after.record["seconds"] - before.record["seconds"]) / 2)
        assert "after 12 crops with gauss10" in after.record["summary"]
    sums = (second / SUMS).read_bytes()
    again = command("weights", "train", *common, *begun, "--out", second)
    assert (again.code, "train n2c" in again.err) == (0, False)
    assert (second / SUMS).read_bytes() == sums


def test_a_start_that_is_not_there_is_named(tmp_path: Path, command: Callable[..., Any]) -> None:
    asked = ("weights", "train", "--methods", "n2c", "--out", tmp_path / "w", "--start")
    missing = command(*asked, "gauss7")
    assert (missing.code, "--start gauss7: no network of n2c for 3 channels" in missing.err) == (2, True)
    unread = command(*asked, "loud")
    assert (unread.code, "loud" in unread.err, "Traceback" in unread.err) == (2, True, False)


def test_a_stop_between_two_files_leaves_a_folder_that_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = write_bytes
    first = make(tmp_path)
    tensors = {name: value + 1 for name, value in read_tensors(first.path, first.sha256).items()}
    for stop in range(5):
        left = stop

        def limited(path: Path, data: bytes) -> None:
            nonlocal left
            if left == 0:
                raise CannotWrite("stopped")
            left -= 1
            original(path, data)

        monkeypatch.setattr(module, "write_bytes", limited)
        record = {**first.record, "summary": f"another, {stop}"}
        said: list[str] = []
        with contextlib.suppress(CannotWrite):
            write_weights(tmp_path, first.path.stem, tensors, record, False, said.append)
        found = read_folder(tmp_path)
        for weights in found.values():
            read_tensors(weights.path, weights.sha256)
    assert [weights.record["summary"] for weights in found.values()] == ["another, 4"]


def test_two_exports_at_once_lose_no_entry(tmp_path: Path) -> None:
    first = make(tmp_path)
    tensors = read_tensors(first.path, first.sha256)
    names = [f"n2c-gauss{level}-rgb" for level in range(10, 16)]
    threads = [
        threading.Thread(target=write_weights, args=(tmp_path, name, tensors, first.record, False)) for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(read_folder(tmp_path)) == {first.path.stem, *names}
    assert {verdict for _, verdict in verify_folder(tmp_path)} == {"intact"}


def test_a_file_of_the_users_under_the_name_of_weights_is_kept(tmp_path: Path) -> None:
    place = tmp_path / "n2c-gauss25-rgb.safetensors"
    place.write_text("mine", encoding="utf-8")
    make(tmp_path)
    assert (tmp_path / "n2c-gauss25-rgb.kept-1.safetensors").read_text(encoding="utf-8") == "mine"
    assert set(read_folder(tmp_path)) == {"n2c-gauss25-rgb"}


@pytest.mark.parametrize("perfect", [1, 2])
def test_weights_are_readable_whatever_was_scored(
    perfect: int, tmp_path: Path, command: Callable[..., Any], image_folder: Callable[..., Path]
) -> None:
    """JSON has no infinity: the PSNR of an image that equals its reference must not make a record unreadable."""
    folder, out, results = image_folder("test"), tmp_path / "w", tmp_path / "o"
    method = ("--methods", "n2c[network=dncnn]")
    command("weights", "train", *method, "--budget", "1steps", "--crop", 32, "--train-data", folder, "--out", out)
    command("run", *method, "--datasets", folder, "--weights", out, "--out", results)
    for cell in Store(results).all():
        for pair in list(cell.rows)[:perfect]:
            cell.rows[pair] = cell.rows[pair]._replace(psnr=math.inf)
        cell.rows = {pair: row if row.psnr == math.inf else row._replace(psnr=21.5) for pair, row in cell.rows.items()}
        Store(results).write(cell)
    ran = command("weights", "score", results, "--out", out)
    assert ran.code == 0, ran.err
    assert f"2 rows, {perfect} of them equal to their reference and not in the dB" in ran.out
    (record,) = [json.loads(path.read_text(), parse_constant=pytest.fail) for path in out.glob("*.json")]
    (score,) = record["scores"].values()
    assert (score["psnr"], score["equal_to_reference"]) == ("inf" if perfect == 2 else 21.5, perfect)
    for arguments in (("list", "--weights"), ("verify", "--weights")):
        assert command("weights", *arguments, out).code == 0
    assert " inf" in command("weights", "list", "--weights", out).out or perfect == 1


def test_a_record_with_a_number_that_json_has_not_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a number that is not finite"):
        write_weights(tmp_path, "x", {"a": torch.zeros(1)}, {"half_loss_db": math.inf}, half=False)
    assert list(tmp_path.iterdir()) == []


# --- released checkpoints ---


def released(network: str, names: Iterator[tuple[str, str]], channels: int = 3) -> dict[str, torch.Tensor]:
    """A state dictionary as the released code writes it, with our tensors."""
    torch.manual_seed(5)
    state = build_network(network, channels, channels).state_dict()
    return {f"{theirs}.{kind}": state[f"{ours}.{kind}"] for theirs, ours in names for kind in ("weight", "bias")}


CHECKPOINTS = [("unet_b2u", _b2u_names, 1_102_371), ("unet_nbr", _nbr_names, 1_259_475)]


@pytest.mark.parametrize(("network", "names", "count"), CHECKPOINTS, ids=["b2u", "nbr2nbr"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_released_checkpoints_are_imported(
    tmp_path: Path, command: Callable[..., Any], network: str, names: Callable[[], Any], count: int, prefix: str
) -> None:
    state = released(network, names())
    assert sum(tensor.numel() for tensor in state.values()) == count
    torch.save({prefix + name: value for name, value in state.items()}, tmp_path / "epoch_100.pth")
    ran = command(
        "weights", "import", tmp_path / "epoch_100.pth", "--method", "b2u[stride=2]", "--noise", "gauss5_50",
        "--out", tmp_path / "w",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    method = learned(f"b2u[network={network},stride=2]")
    found = Shelf([tmp_path / "w"]).find(method, "gauss5_50", 3)
    assert found is not None
    torch.manual_seed(5)
    expected = build_network(network, 3, 3).eval()
    x = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(found.load(method, 3, "cpu")(x), expected(x))


class Payload:
    """Touches a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_a_checkpoint_that_would_run_code_is_refused_and_does_not_run(
    tmp_path: Path, command: Callable[..., Any]
) -> None:
    torch.save({"head.0.block.0.weight": Payload(tmp_path / "ran")}, tmp_path / "evil.pth")
    given = (
        "weights",
        "import",
        tmp_path / "evil.pth",
        "--method",
        "b2u",
        "--noise",
        "gauss25",
        "--out",
        tmp_path / "w",
    )
    ran = command(*given)
    assert ran.code == 2
    assert "nothing in it was run" in ran.err
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be read"),
        (b"hello", "refused|cannot be read"),
        ({"a": torch.zeros(1)}, "of neither network"),
        ([torch.zeros(1)], "not a state dictionary"),
        ({**released("unet_b2u", _b2u_names()), "extra": torch.zeros(1)}, "extra is superfluous"),
        ({k: v for k, v in released("unet_b2u", _b2u_names()).items() if "down_path.2" not in k}, "encoder.4.*missing"),
        ({**released("unet_b2u", _b2u_names()), "last.2.weight": torch.zeros(3, 5, 1, 1)}, r"last.weight is \(3, 5, 1"),
    ],
)
def test_checkpoints_that_do_not_fit_are_refused(
    tmp_path: Path, command: Callable[..., Any], content: object, said: str
) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    ran = command("weights", "import", path, "--method", "b2u", "--noise", "gauss25", "--out", tmp_path / "w")
    assert ran.code == 2, ran.err
    assert re.search(said, ran.err), ran.err


def test_what_half_precision_costs_is_measured_on_one_pass(
    tmp_path: Path, command: Callable[..., Any], image_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from denoisebench.evaluation.evaluate import evaluate
    from denoisebench.publishing import weights

    passes = []

    def counted(route: Any, *others: Any) -> Any:
        passes.append(route.method.passes)
        return evaluate(route, *others)

    folder = image_folder("train")
    monkeypatch.setattr(weights, "evaluate", counted)
    monkeypatch.setattr(weights, "_training_data", lambda record, experiment: AnyFolder(folder))
    train = ("weights", "train", "--methods", "r2r[passes=50]", "--budget", "1step", "--crop", 32)
    ran = command(*train, "--train-data", folder, "--out", tmp_path / "w")
    assert ran.code == 0, ran.err
    assert passes == [1, 1]
    assert isinstance(json.loads((tmp_path / "w" / "r2r-gauss25-rgb.json").read_text())["half_loss_db"], float)
