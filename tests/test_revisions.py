"""What a result is keyed by: versions that are raised when numbers change, and the code that a user may change."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from denoisebench import networks
from denoisebench.core import errors, progress
from denoisebench.core.closure import Code
from denoisebench.core.errors import UserError
from denoisebench.core.places import package_places
from denoisebench.data import captures, definition, fmdd, sidd_raw
from denoisebench.data.dataset import AnyFolder
from denoisebench.experiment import revisions
from denoisebench.experiment.revisions import (
    PROTOCOL,
    PROTOCOL_VERSION,
    RECORD,
    TRAINING,
    Entry,
    code_digest,
    code_of,
    digests_of,
    entries,
    file_digest,
    modules_of,
    problems,
    shared_modules,
    with_entry,
    write,
)
from denoisebench.networks import NETWORKS, tiled
from denoisebench.plugins import method
from denoisebench.plugins.lookup import find_dataset, parse_method
from denoisebench.plugins.method import Info, PlainMethod
from denoisebench.plugins.registry import DATASETS, METHODS
from denoisebench.protocol import images, metrics, noise
from denoisebench.results.store import Store
from denoisebench.toolbox import vst
from denoisebench.training import crops, loop

ROOTS = package_places()
UNITS = (PROTOCOL, TRAINING)


def file_of(module: str) -> Path:
    """The file of a module of the package."""
    inside = Path(*module.split(".")[1:])
    places = [place for root in ROOTS for place in (root / inside / "__init__.py", root / f"{inside}.py")]
    return next(place for place in places if place.is_file())


class _Change(ast.NodeTransformer):
    """Change one constant, by number; docstrings and import statements are no constants."""

    def __init__(self, wanted: int) -> None:
        self.count, self._wanted = 0, wanted

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        return node if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        self.count += 1
        return ast.Constant("changed") if self.count == self._wanted else node


def changed(source: str) -> str:
    """A module with one constant changed, in the middle; or, where it has none, one statement more."""
    count = _Change(-1)
    count.visit(ast.parse(source))
    if not count.count:
        return source + "\nSTATEMENT = 1\n"
    return ast.unparse(ast.fix_missing_locations(_Change(1 + count.count // 2).visit(ast.parse(source))))


def digests_with(folder: Path, module: str, text: str, units: Sequence[str] = ()) -> dict[str, str]:
    """Digests of all units with another text of one module, in another place."""
    original = file_of(module)
    path = folder / original.name
    path.write_text(text, encoding="utf-8")
    return digests_of(units, code().with_files({module: path}))


@cache
def code() -> Code:
    return Code(ROOTS)


@cache
def now() -> dict[str, str]:
    return digests_of(code=code())


@cache
def closures() -> dict[str, set[str]]:
    return {unit: modules_of(unit) for unit in UNITS}


# --- the record ---


def test_the_code_is_what_the_record_says() -> None:
    lacking = problems(entries(), now())
    assert not lacking, "\n".join(lacking)


def test_the_record_stands_beside_the_code_and_reads_back_as_written(tmp_path: Path) -> None:
    assert RECORD.is_file()
    write(tmp_path / "again.toml", entries())
    assert (tmp_path / "again.toml").read_text(encoding="utf-8") == RECORD.read_text(encoding="utf-8")


def test_every_shipped_method_is_recorded() -> None:
    recorded = {entry.unit for entry in entries()}
    assert recorded >= {f"method {name}" for name in METHODS.names() if METHODS.origin(name) == "built in"}


FIRST = (Entry(PROTOCOL, PROTOCOL_VERSION, "a", "first version"), Entry("method toy", 1, "m", "first version"))


def test_a_changed_digest_asks_for_one_of_two_things() -> None:
    assert problems(FIRST, {PROTOCOL: "a", "method toy": "m"}) == []
    (text,) = problems(FIRST, {PROTOCOL: "b"})
    assert f'python -m {revisions.__name__} same "why no number changes" "protocol"' in text
    assert "raise PROTOCOL_VERSION in revisions.py and run: " in text
    (text,) = problems(FIRST, {"method toy": "n"})
    assert "raise" not in text
    assert f'python -m {revisions.__name__} changed "what changed" "method toy"' in text


def test_either_of_them_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(with_entry(FIRST, PROTOCOL, "b", "only renamed", False), {PROTOCOL: "b"}) == []
    assert problems(with_entry(FIRST, "method toy", "n", "another loss", True), {"method toy": "n"}) == []
    with pytest.raises(UserError, match="raise PROTOCOL_VERSION above"):
        with_entry(FIRST, PROTOCOL, "b", "another noise", True)
    monkeypatch.setitem(revisions._VERSIONS, PROTOCOL, PROTOCOL_VERSION + 1)
    assert len(problems(FIRST, {PROTOCOL: "a"})) == 1
    with pytest.raises(UserError, match="not recorded yet"):
        with_entry(FIRST, PROTOCOL, "b", "only renamed", False)
    assert problems(with_entry(FIRST, PROTOCOL, "b", "another noise", True), {PROTOCOL: "b"}) == []


@pytest.mark.parametrize("reason", ["", "renamed", "two\nlines of it"])
def test_a_reason_is_a_sentence(reason: str) -> None:
    with pytest.raises(UserError, match="one sentence"):
        with_entry(FIRST, PROTOCOL, "b", reason, False)


def test_a_new_method_need_not_be_recorded() -> None:
    assert problems(FIRST, {"method new": "x"}) == []


def test_results_are_kept_under_the_first_of_equal_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = type(parse_method("identity"))
    digest = revisions.plugin_digest(identity)
    unit, path = "method identity", tmp_path / "revisions.toml"
    record: tuple[Entry, ...] = (Entry(unit, 1, "older", "first version"), Entry(unit, 2, "old", "a change"))
    folder = AnyFolder.__new__(AnyFolder)

    def key(recorded: tuple[Entry, ...]) -> str:
        write(path, recorded)
        revisions.forget()
        monkeypatch.setattr(revisions, "RECORD", path)
        return code_of(parse_method("identity"), folder)["plugin"]

    try:
        assert key(record) == digest
        assert key(with_entry(record, unit, digest, "only renamed", False)) == "old"
        assert key(with_entry(record, unit, digest, "another change", True)) == digest
    finally:
        monkeypatch.undo()
        revisions.forget()


# --- what counts ---


def test_what_computes_a_number_is_in_its_closure() -> None:
    both = (captures, fmdd, images, method, networks, noise, sidd_raw)
    for unit in UNITS:
        assert {module.__name__ for module in both} <= closures()[unit], unit
        named = {f"{networks.__name__}.{place.partition('.')[0]}" for _, place, _ in NETWORKS.values()}
        assert named <= closures()[unit], unit
        shipped = {DATASETS.get(name).__module__ for name in DATASETS.names()} - {definition.__name__}
        assert {module for module in shipped if module.startswith("denoisebench.")} <= closures()[unit], unit
    assert {metrics.__name__, tiled.__name__} <= closures()[PROTOCOL]
    assert {loop.__name__, crops.__name__} <= closures()[TRAINING]


def test_what_shows_schedules_and_stores_is_in_none() -> None:
    names = {
        "cli",
        "runner",
        "claims",
        "results",
        "progress",
        "reports",
        "executors",
        "listing",
        "describe",
        "estimate",
    }
    for unit in UNITS:
        assert not {part for module in closures()[unit] for part in module.split(".")} & names, unit


@pytest.mark.slow
def test_one_changed_statement_in_any_module_changes_the_digest(tmp_path: Path) -> None:
    unseen = []
    for module in sorted(set().union(*closures().values())):
        text = changed(file_of(module).read_text(encoding="utf-8"))
        found = digests_with(tmp_path, module, text, UNITS)
        unseen += [(unit, module) for unit in UNITS if module in closures()[unit] and found[unit] == now()[unit]]
    assert not unseen


@pytest.mark.slow
def test_comments_docstrings_layout_and_place_change_no_digest(tmp_path: Path) -> None:
    for module in (
        method.__name__,
        tiled.__name__,
        captures.__name__,
        images.__name__,
        f"{METHODS.get('b2u').__module__}",
    ):
        tree = ast.parse(file_of(module).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
                node.body[0] = ast.Expr(ast.Constant("Other words."))
        text = "# A comment.\n" + ast.unparse(ast.fix_missing_locations(tree))
        assert digests_with(tmp_path, module, text) == now(), module


@pytest.mark.parametrize("name", ["loss.backward()", "network(noisy)"])
def test_the_base_of_all_methods_counts(name: str, tmp_path: Path) -> None:
    text = file_of(method.__name__).read_text(encoding="utf-8")
    assert name in text
    found = digests_with(tmp_path, method.__name__, text.replace(name, f"(0, {name})[1]"))
    assert all(found[unit] != now()[unit] for unit in UNITS)
    # Versions speak for what all methods share, so no method is blamed.
    assert {unit for unit in found if found[unit] != now()[unit]} == set(UNITS)


def test_a_tool_counts_for_the_methods_that_use_it(tmp_path: Path) -> None:
    text = file_of(vst.__name__).read_text(encoding="utf-8")
    found = digests_with(tmp_path, vst.__name__, changed(text))
    blamed = {unit for unit in found if found[unit] != now()[unit]}
    assert blamed == {"method anscombe_bm3d", "method bm3d", "method nlm", "method wnnm"}


def test_what_decides_no_number_does_not_count(tmp_path: Path) -> None:
    for module in (errors.__name__, progress.__name__):
        assert digests_with(tmp_path, module, file_of(module).read_text(encoding="utf-8") + "\nMORE = 1\n") == now()


def test_packages_beyond_numpy_and_torch_are_declared() -> None:
    """What a method imports, or its tools, is among the packages whose versions are in its key."""
    names = {"skimage": "scikit-image"}
    for name in METHODS.names():
        kind = METHODS.get(name)
        own = code().closure([kind.__module__], shared_modules(code())) if METHODS.origin(name) == "built in" else set()
        outside = {names.get(top, top) for top in code().outside(own)}
        assert outside <= {"numpy", "scipy", "torch", *kind.info.packages}, name


# --- what a user brings along ---


@dataclass(frozen=True)
class Own(PlainMethod):
    name = "own"
    info = Info(label="own", licence="test")


def test_how_the_level_of_real_noise_is_found_is_in_the_key_of_real_noise_alone() -> None:
    kodak, real = (find_dataset(name, []) for name in ("kodak", "sidd_srgb"))
    assert code_of(parse_method("nlm"), real)["levels"] == "flattest blocks"
    assert "levels" not in code_of(parse_method("nlm"), kodak)
    assert "levels" not in code_of(parse_method("b2u"), real)


def test_a_users_network_and_data_set_are_in_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    network, helper = tmp_path / "net.py", tmp_path / "net_helper.py"
    network.write_text("from net_helper import WIDTH\nclass Net:\n    width = WIDTH\n", encoding="utf-8")
    helper.write_text("WIDTH = 1\n", encoding="utf-8")
    found = parse_method(f"n2c[network={network}:Net]")
    folder = AnyFolder.__new__(AnyFolder)
    before = code_of(found, folder)
    assert before["network"] == file_digest(network)
    assert "data" not in before
    helper.write_text("WIDTH = 2\n", encoding="utf-8")
    revisions.forget()
    assert code_of(found, folder)["network"] != before["network"]

    class OwnFolder(AnyFolder):
        pass

    assert len(code_of(Own(), OwnFolder.__new__(OwnFolder))["data"]) == 64


TOML = """\
title = "Zoo"
summary = "Animals."
kind = "images"
channels = 3
count = 1
folders = ["zoo"]
source = "here"
licence = "CC0"
"""


def test_what_a_users_data_set_file_decides_is_in_the_key(tmp_path: Path) -> None:
    def key(text: str) -> str:
        return code_of(Own(), definition.parse(tmp_path / "zoo.toml", text)([]))["data"]

    first = key(TOML)
    assert len(first) == 64
    assert key(TOML.replace("channels = 3", "channels = 1")) != first
    assert key(TOML + 'glob = "*_HR.*"\n') != first
    assert key(TOML.replace("Animals", "Beasts").replace("here", "there")) == first


def test_results_of_shipped_data_sets_are_as_old_as_before_they_were_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = definition.built_in_files()
    assert len(files) >= 32
    for path in files:
        unit = f"data {path.stem}"
        recorded = [entry for entry in entries() if entry.unit == unit]
        dataset = definition.define(path)([tmp_path])
        assert ("data" in code_of(Own(), dataset)) is not any(
            (entry.version, entry.digest) == (1, now()[unit]) for entry in recorded
        ), path
    kodak = definition.define(next(path for path in files if path.stem == "kodak"))
    assert "data" not in code_of(Own(), kodak([]))
    found = definition.definition_of(kodak)
    assert found is not None
    altered = replace(found, deciding={**found.deciding, "channels": 1})
    monkeypatch.setattr(kodak, "definition", altered)
    revisions.forget()
    assert len(code_of(Own(), kodak([]))["data"]) == 64
    monkeypatch.undo()
    revisions.forget()


def test_a_changed_data_set_file_is_a_problem_and_a_new_one_is_not() -> None:
    recorded = (Entry("data toy", 1, "a", "first version"),)
    assert problems(recorded, {"data toy": "a", "data new": "x"}) == []
    (text,) = problems(recorded, {"data toy": "b"})
    assert "The code of data toy has changed" in text


@pytest.fixture
def helper_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugin_file: Callable[..., Path]) -> Iterator[Path]:
    """The folder of a plugin ``toy`` that takes its shift from a module beside it."""
    folder = tmp_path / "plug"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    path = plugin_file("toy", "import toy_helper\nreturn noisy * toy_helper.STRENGTH")
    path.rename(folder / "toy.py")
    (folder / "toy_helper.py").write_text("STRENGTH = 0.99\n", encoding="utf-8")
    yield folder
    sys.modules.pop("toy_helper", None)


def test_a_changed_helper_is_computed_anew_and_a_reworded_one_is_not(
    helper_plugin: Path, image_folder: Callable[..., Path], command: Callable[..., Any], tmp_path: Path
) -> None:
    order = ("run", "--plugin", helper_plugin / "toy.py", "--methods", "toy", "--datasets", image_folder(count=1))

    def row(out: str) -> str:
        sys.modules.pop("toy_helper", None)
        ran = command(*order, "--out", tmp_path / out)
        assert ran.code == 0, ran.err
        line = next(line for line in ran.out.splitlines() if line.startswith("| toy"))
        return str(line.rsplit("|", 2)[0])  # without the seconds

    first = row("out")
    (helper_plugin / "toy_helper.py").write_text("# words\nSTRENGTH = 0.99\n", encoding="utf-8")
    assert row("out") == first
    assert len(list((tmp_path / "out" / "cells").glob("*.json"))) == 2
    (helper_plugin / "toy_helper.py").write_text("STRENGTH = 0.5\n", encoding="utf-8")
    assert row("out") == row("fresh") != first


def test_a_run_writes_down_the_code_of_the_suite(
    image_folder: Callable[..., Path], command: Callable[..., Any], tmp_path: Path
) -> None:
    assert command("run", "--methods", "identity", "--datasets", image_folder(), "--out", tmp_path / "o").code == 0
    (cell,) = Store(tmp_path / "o", create=False).all()
    assert cell.about["harness"] == [code_digest(PROTOCOL)]
    assert cell.identity["code"]["protocol"] == PROTOCOL_VERSION


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("from denoisebench.vst import anscombe", "from denoisebench.toolbox.vst import anscombe"),
        ("from denoisebench import vst", "from denoisebench.toolbox import vst"),
        ("from denoisebench.noise import generator_from", "from denoisebench.protocol.seeds import generator_from"),
        ("from denoisebench.training import Budget", "from denoisebench.training.recipe import Budget"),
        ("from denoisebench.method import Info", "from denoisebench.plugins.method import Info"),
    ],
)
def test_an_old_import_path_is_the_new_one(old: str, new: str, tmp_path: Path) -> None:
    name = old.rpartition(" ")[2]
    digests = set()
    for number, line in enumerate((old, new, "from denoisebench.toolbox.masking import fill")):
        path = tmp_path / f"p{number}.py"
        path.write_text(f"{line}\ndef f(x):\n    return {name}(x)\n", encoding="utf-8")
        digests.add(file_digest(path))
    assert len(digests) == 2
