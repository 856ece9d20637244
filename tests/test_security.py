"""What comes from strangers is data: nothing in it runs, leaves its folder, or opens a connection."""

from __future__ import annotations

import ast
import hashlib
import json
import pickle
import re
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import denoisebench
from denoisebench import networks
from denoisebench.commands.run import file_options
from denoisebench.core.errors import UserError
from denoisebench.core.files import sealed
from denoisebench.data import fetch
from denoisebench.data.dataset import Archive
from denoisebench.data.manifest import MANIFEST_COLUMNS, read_manifest
from denoisebench.experiment.file import KEYS, read_experiment
from denoisebench.protocol.images import read_image
from denoisebench.protocol.protocol import Row
from denoisebench.publishing.weights import export
from denoisebench.reports import render
from denoisebench.reports.table import build_table
from denoisebench.results.store import Store, StoredCell
from denoisebench.training.weights import SUMS, read_folder, read_tensors

Command = Callable[..., Any]
ROOT = Path(__file__).parents[1]


class Payload:
    """Makes a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


# --- nothing is unpickled ---


def evil_files(folder: Path) -> list[Path]:
    """Files that look like weights and run code when somebody unpickles them."""
    folder.mkdir()
    payload = Payload(folder / "ran")
    torch.save({"a": payload}, folder / "zip.pth")
    torch.save({"a": payload}, folder / "old.pth", _use_new_zipfile_serialization=False)
    torch.save([torch.zeros(1), payload], folder / "zip.pt")
    torch.save(torch.nn.Linear(1, 1), folder / "module.pt")
    (folder / "bare.pth").write_bytes(pickle.dumps(payload))
    np.save(folder / "array.npy", np.array([payload], dtype=object), allow_pickle=True)
    return [path for path in folder.iterdir() if path.suffix]


def test_nothing_that_could_run_code_is_imported_as_weights(tmp_path: Path, command: Command) -> None:
    for path in evil_files(tmp_path / "evil"):
        ran = command("weights", "import", path, "--method", "b2u", "--noise", "gauss25", "--out", tmp_path / "w")
        assert ran.code == 2, path
        assert "Traceback" not in ran.err
        assert not (tmp_path / "evil" / "ran").exists(), path
        with pytest.raises(UserError, match="no safetensors"):
            read_tensors(path, hashlib.sha256(path.read_bytes()).hexdigest())
        with pytest.raises(UserError, match="allowed are the suffixes"):
            read_image(path)
    assert not (tmp_path / "evil" / "ran").exists()
    assert not (tmp_path / "w").exists()


def sources() -> list[Path]:
    return [path for name in ("denoisebench", "methods", "datasets") for path in (ROOT / name).rglob("*.py")]


def unsafe_call(call: ast.Call) -> str:
    """Why a call may run what it reads, or ''."""
    name = ast.unparse(call.func)
    options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if name.endswith("torch.load") and options.get("weights_only") != "True":
        return "torch.load without weights_only=True"
    if name in ("np.load", "numpy.load") and options.get("allow_pickle") != "False":
        return "np.load without allow_pickle=False"
    if name.split(".")[0] in ("pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"):
        return name
    return name if name in ("eval", "exec", "os.system", "yaml.load", "pandas.read_pickle") else ""


#: Messages between a run and the processes that it started itself; no file holds one.
BETWEEN_OWN_PROCESSES = ("parcel.py", "_worker.py")


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_line_of_the_package_unpickles(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    unsafe = {found for call in calls if (found := unsafe_call(call))}
    assert unsafe <= ({"pickle.loads", "pickle.dumps"} if path.name in BETWEEN_OWN_PROCESSES else set())


# --- nothing leaves its folder ---


@pytest.mark.parametrize(
    "name", ["../x.png", "/x.png", "a/../x.png", "a//x.png", "..\\x.png", "C:x.png", "..", ".", "", "a\0.png"]
)
def test_a_manifest_names_files_of_its_own_folder_only(name: str, tmp_path: Path) -> None:
    path = tmp_path / "m.tsv"
    path.write_text("\t".join(MANIFEST_COLUMNS) + f"\n{name}\t9\t9\t3\tab\tcd\n", encoding="utf-8")
    with pytest.raises(UserError, match="damaged"):
        read_manifest(path)


@pytest.mark.parametrize("name", ["../x.safetensors", "/x.safetensors", "a\\x.safetensors", "c:x.safetensors"])
def test_sums_name_files_of_their_own_folder_only(name: str, tmp_path: Path) -> None:
    (tmp_path / SUMS).write_text(f"{'0' * 64}  {name}\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 1 is not a SHA-256 and a file name"):
        read_folder(tmp_path)


def test_a_record_cannot_write_outside_nor_have_a_file_run(tmp_path: Path) -> None:
    from safetensors.torch import save

    ran = tmp_path / "ran"
    (tmp_path / "net.py").write_text(f"open({str(ran)!r}, 'w')\nclass Net: pass\n", encoding="utf-8")
    data = save({"a": torch.zeros(1)})
    (tmp_path / "x.safetensors").write_bytes(data)
    recipe = {"budget": {"amount": 1, "unit": "steps"}}
    record = {
        "method": "n2c", "settings": {"network": f"{tmp_path}/net.py:Net"}, "noise": "gauss25", "channels": 3,
        "recipe": recipe, "data": {"name": "samples_train", "sha256": ""},
        "network_sha256": hashlib.sha256(data).hexdigest(),
    }  # fmt: skip
    (tmp_path / "x.json").write_text(sealed(record, 2), encoding="utf-8")
    from denoisebench.core.progress import Quiet

    written = export(tmp_path / "x.json", tmp_path / "w", None, Quiet())
    assert written.path.parent == tmp_path / "w"
    assert not ran.exists()
    (tmp_path / "x.json").write_text(sealed({**record, "noise": "../../evil"}, 2), encoding="utf-8")
    with pytest.raises(UserError, match="evil"):
        export(tmp_path / "x.json", tmp_path / "w", None, Quiet())


@pytest.mark.parametrize("out", ["/tmp/x", "../x", "a/../../x", "~/x", "C:\\\\x", "\\\\\\\\server\\\\x"])
def test_an_experiment_file_writes_below_the_current_folder_only(out: str, tmp_path: Path) -> None:
    (tmp_path / "e.toml").write_text(f'out = "{out}"\n', encoding="utf-8")
    with pytest.raises(UserError, match="below the current one"):
        read_experiment(tmp_path / "e.toml", ["out"])


def test_an_experiment_file_writes_to_no_place_behind_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name, target in (("link", tmp_path), ("ring", Path("ring")), ("inside", Path("real"))):
        Path(name).symlink_to(target)
    Path("e.toml").write_text('out = "inside/x"\n', encoding="utf-8")
    assert read_experiment(Path("e.toml"), ["out"]).options == {"out": "inside/x"}
    for out in ("link", "link/deep/er", "ring/x", "inside/../../x"):
        Path("e.toml").write_text(f'out = "{out}"\n', encoding="utf-8")
        with pytest.raises(UserError, match="below the current one"):
            read_experiment(Path("e.toml"), ["out"])


def test_an_experiment_file_names_no_machine_and_takes_no_more_of_one() -> None:
    allowed = set(file_options())
    assert allowed >= KEYS
    assert allowed - KEYS == {
        "devices", "executor", "workers", "memory_limit", "address", "plugin",
        "data_root",
    }  # fmt: skip


@pytest.mark.parametrize("line", ['executor = "ray"', 'address = "10.0.0.1:6379"', 'data-root = "/"', "workers = 9"])
def test_an_experiment_file_sets_harmless_keys_only(line: str, tmp_path: Path, command: Command) -> None:
    (tmp_path / "e.toml").write_text(line, encoding="utf-8")
    ran = command("run", "--config", tmp_path / "e.toml", "--out", tmp_path / "o")
    assert ran.code == 2
    assert "on the command line as --" in ran.err
    assert not (tmp_path / "o").exists()


def test_an_audit_runs_no_network_that_only_a_stored_cell_names(
    tmp_path: Path, image_folder: Command, command: Command
) -> None:
    folder, net = image_folder(), tmp_path / "net.py"
    code = (
        "import torch\n\nclass Net(torch.nn.Conv2d):\n"
        "    def __init__(self, given, made):\n        super().__init__(given, made, 3, padding=1)\n"
    )
    net.write_text(code, encoding="utf-8")
    text = f"n2c[network={net}:Net]"
    common = ("--datasets", folder)
    ran = command(
        "run", "--methods", text, *common, "--out", tmp_path / "o", "--budget", "1step", "--crop", "32",
        "--train-data", folder,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    net.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n{code}", encoding="utf-8")
    # As another process would: nothing has been named yet.
    networks._ALLOWED.clear()
    audit = ("audit", tmp_path / "o", *common, "--detail", "rounding of the result")
    ran = command(*audit)
    assert (ran.code, "it is not run" in ran.err) == (1, True), ran.err
    assert not (tmp_path / "ran").exists()
    ran = command(*audit, "--methods", text)
    assert ran.code == 0, ran.err
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("line", ['plugin = "evil.py"', 'methods = ["b2u", "n2c[network=evil.py:Net]"]'])
def test_an_experiment_file_names_no_code(line: str, tmp_path: Path, command: Command) -> None:
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n", encoding="utf-8")
    (tmp_path / "e.toml").write_text(line.replace("evil.py", f"{tmp_path}/evil.py"), encoding="utf-8")
    ran = command("run", "--config", tmp_path / "e.toml", "--out", tmp_path / "o")
    assert ran.code == 2
    assert "on the command line" in ran.err
    assert not (tmp_path / "ran").exists()


def test_an_archive_member_that_unpacks_to_more_than_an_image_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "LARGEST_MEMBER", 1000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("set/huge.png", bytes(10**6))
    assert (tmp_path / "a.zip").stat().st_size < 2000
    (tmp_path / "out").mkdir()
    wanted = Archive("https://example.org/a.zip", None, "set/*.png", "1 MB")
    with pytest.raises(UserError, match="more than 1,000 bytes"):
        fetch._extract(tmp_path / "a.zip", wanted, None, tmp_path / "out")


def bomb(path: Path, side: int) -> None:
    """A PNG of side x side black pixels: 178 million of them in a few hundred kilobytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    packed = zlib.compress(bytes(10**6), 9)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b""))


@pytest.mark.parametrize("side", [13378, 60000])
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(side: int, tmp_path: Path) -> None:
    bomb(tmp_path / "bomb.png", side)
    with pytest.raises(UserError, match=r"more than 178,956,970 pixels.*bomb"):
        read_image(tmp_path / "bomb.png")


# --- nothing is injected into reports ---

NASTY = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[click](javascript:alert(1))", "![x](http://e/x)",
    "[x]: http://e", "a|b", "**99.99**", "`code`", "line\nbreak\n\n# head", "\x1b[31mred\x1b[0m", "&lt;b&gt;",
    "\\input{/etc/passwd}", "x % y", "$\\immediate\\write18{ls}$", "}\\end{tabular}", "\u202eevil", "_~^#&{}",
]  # fmt: skip


def named(text: str) -> StoredCell:
    protocol = {"dataset": text, "noise": text, "draws": text, "padding": text}
    about = {
        "text": text, "label": text, "told": [text], "baseline": False, "protocol": text, "noise_title": text,
        "dataset_title": text, "training": text, "warnings": [text], "written": text,
    }  # fmt: skip
    return StoredCell({"protocol": protocol}, about, {("i", 0): Row("i", 0, 30.0, 0.9, 0.1, 0.1)})


@pytest.mark.parametrize("text", NASTY)
def test_names_are_shown_in_tables_and_never_obeyed(text: str) -> None:
    table = build_table([named(text)])
    shown = render.markdown(table)
    rows = [line for line in shown.splitlines() if line.startswith("|")]
    assert len(rows) == 3, "one head, one rule, one line"
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}
    bare = shown.replace("**Best** and <u>second</u>", "").replace(r"\\", "").replace(r"\`", "").replace(r"\*", "")
    assert not set("<>`*") & set(bare)
    assert "](" not in bare
    assert not any(line.lstrip("- ").startswith("[") for line in bare.splitlines())
    assert all(c.isprintable() or c == "\n" for c in shown)
    lines, usual = (render.latex(build_table([named(one)])).splitlines() for one in (text, "plain"))
    assert len(lines) == len(usual)
    own = set(re.findall(r"\\([a-zA-Z]+)", "\n".join(usual))) | {"textbackslash", "allowbreak"}
    for line in lines:
        if not line.startswith("%"):
            commands = set(re.findall(r"\\([a-zA-Z]+)", line.replace(r"\\ ", "")))
            assert commands <= {"sigma", "lambda", "in", "times"} | own
            assert not re.search(r"(?<!\\)(?:\\\\)*%", line)


# --- nothing connects ---

WATCH = """
import os, sys
def watch(event, arguments):
    if event.startswith("socket.") and event != "socket.gethostname":
        print("CONNECTS", event, arguments, file=sys.stderr)
        os._exit(99)
sys.addaudithook(watch)
from denoisebench.cli import main
main()
"""


def test_a_run_opens_no_socket(tmp_path: Path, image_folder: Callable[..., Path]) -> None:
    pictures = image_folder(count=1, size=(64, 64))
    arguments = [
        "run", "--methods", "n2c,nlm", "--datasets", str(pictures), "--train-data", str(pictures), "--budget", "1steps",
        "--crop", "32", "--out", str(tmp_path / "o"),
    ]  # fmt: skip
    ran = subprocess.run([sys.executable, "-c", WATCH, *arguments], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "N2C" in ran.stdout


def test_offline_nothing_is_fetched(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENOISEBENCH_OFFLINE", "1")
    monkeypatch.setattr("socket.socket", None)
    ran = command("data", "fetch", "kodak", "--data-root", tmp_path)
    assert ran.code == 2
    assert "DENOISEBENCH_OFFLINE is set" in ran.err


# --- plugins run only when named ---


def test_a_plugin_runs_only_when_it_is_named(
    tmp_path: Path, command: Command, plugin_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "ran"
    path = plugin_file("toy")
    path.write_text(path.read_text(encoding="utf-8") + f"\nopen({str(mark)!r}, 'w')\n", encoding="utf-8")
    for place in ("methods", "datasets"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "toy.py").write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    for call in (("list", "methods"), ("run", "--plan", "--methods", "identity"), ("list", "datasets")):
        assert command(*call).code == 0
        assert not mark.exists()
    assert command("run", "--methods", "toy").code == 2
    assert not mark.exists()
    assert command("list", "methods", "--plugin", path).code == 0
    assert mark.exists()


def test_what_a_results_file_names_is_never_run(tmp_path: Path, command: Command) -> None:
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n", encoding="utf-8")
    cell = named("evil")
    text = f"evil[network={tmp_path}/evil.py:Net]"
    cell = replace(cell, identity={**cell.identity, "method": str(tmp_path / "evil.py")})
    cell.about.update(text=text, protocol="ab", written="2026")
    Store(tmp_path / "o").write(cell)
    ran = command("report", tmp_path / "o")
    assert ran.code == 0, ran.err
    assert not (tmp_path / "ran").exists()
    assert json.loads(next((tmp_path / "o" / "cells").glob("*.json")).read_text(encoding="utf-8"))
    assert denoisebench.__version__
