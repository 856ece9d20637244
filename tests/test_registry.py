"""Plugins are found without being imported, and named clearly when they cannot be used."""

from __future__ import annotations

import os
import pkgutil
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from denoisebench.core.errors import UserError
from denoisebench.data.dataset import DataSet
from denoisebench.plugins.method import Method
from denoisebench.plugins.registry import DATASETS, METHODS

pytestmark = pytest.mark.usefixtures("fresh_registry")
MakePlugin = Callable[..., Path]
MakeDistribution = Callable[[str, str], Path]

CLASS = """\
from denoisebench.plugins.method import Info, PlainMethod

class {name}(PlainMethod):
    name = "{name}"
    info = Info(label="{name}")
"""


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeDistribution]:
    """Install a package that has entry points and one module."""
    modules: list[str] = []
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def make(points: str, code: str) -> Path:
        module = f"fake_plugins_{len(modules)}"
        modules.append(module)
        info = site / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        text = points.replace("MODULE", module)
        (info / "entry_points.txt").write_text(f"[denoisebench.methods]\n{text}\n")
        (site / f"{module}.py").write_text(code)
        return site

    yield make
    for module in modules:
        sys.modules.pop(module, None)


def test_names_are_known_without_importing_a_plugin(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom denoisebench.plugins.registry import METHODS, DATASETS\n"
        "assert 'b2u' in METHODS.names() and 'kodak' in DATASETS.names()\n"
        "plugins = [m for m in sys.modules if m.startswith(('denoisebench.methods.', 'denoisebench.datasets.'))]\n"
        "assert not plugins, plugins\n"
        "METHODS.get('n2v')\n"
        "plugins = [m for m in sys.modules if m.startswith('denoisebench.methods.')]\n"
        "assert plugins == ['denoisebench.methods.n2v'], plugins\n"
        "assert 'torch' not in sys.modules\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_built_in_plugins_are_the_files_in_the_two_folders() -> None:
    root = Path(__file__).parents[1]
    assert METHODS.names() == sorted(path.stem for path in (root / "methods").glob("*.py"))
    files = (path for path in (root / "datasets").iterdir() if path.suffix in (".py", ".toml"))
    assert DATASETS.names() == sorted(path.stem for path in files)


@pytest.mark.parametrize("name", METHODS.names())
def test_every_built_in_method_loads_under_its_name(name: str) -> None:
    kind = METHODS.get(name)
    assert issubclass(kind, Method)
    assert kind.name == name
    assert METHODS.origin(name) == "built in"
    assert kind().text == name


@pytest.mark.parametrize("name", DATASETS.names())
def test_every_built_in_data_set_loads_under_its_name(name: str) -> None:
    kind = DATASETS.get(name)
    assert issubclass(kind, DataSet)
    assert kind.name == name
    assert kind.channels in (1, 3, 4)
    assert kind.source
    assert kind.licence


def test_built_in_plugins_never_import_each_other() -> None:
    root = Path(__file__).parents[1]
    for path in [*(root / "methods").glob("*.py"), *(root / "datasets").glob("*.py")]:
        text = path.read_text(encoding="utf-8")
        for word in (
            "denoisebench.methods",
            "denoisebench.datasets",
            "denoisebench.execution.runner",
            "denoisebench.cli",
        ):
            assert word not in text, f"{path} mentions {word}"


def test_an_unknown_name_is_answered_with_the_nearest_and_all() -> None:
    with pytest.raises(UserError, match=r"Unknown method 'b2v'\. Did you mean '(b2u|n2v)'\?.*Allowed: .*r2r"):
        METHODS.get("b2v")
    with pytest.raises(UserError, match=r"Unknown data set 'kodax'\. Did you mean 'kodak'\?"):
        DATASETS.get("kodax")


# --- files ---


@pytest.mark.parametrize(("written", "meant"), [("BM3D", "bm3d"), ("B2U", "b2u"), ("Nbr2Nbr", "nbr2nbr")])
def test_capital_letters_hide_no_name(written: str, meant: str) -> None:
    with pytest.raises(UserError, match=f"Did you mean '{meant}'"):
        METHODS.get(written)


def test_a_file_is_registered_under_the_methods_name(plugin_file: MakePlugin) -> None:
    path = plugin_file("toy")
    assert METHODS.add_file(path) == "toy"
    assert "toy" in METHODS.names()
    assert str(path) in METHODS.origin("toy")
    assert METHODS.get("toy")().text == "toy"


def test_a_name_is_given_only_once(plugin_file: MakePlugin, tmp_path: Path) -> None:
    path = plugin_file("toy")
    METHODS.add_file(path)
    copy = tmp_path / "copy.py"
    copy.write_text(path.read_text())
    with pytest.raises(UserError, match="'toy' is taken twice") as caught:
        METHODS.add_file(copy)
    assert str(path) in str(caught.value)
    assert str(copy) in str(caught.value)


def test_a_file_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    before = set(sys.modules)
    names = METHODS.names()
    path = tmp_path / "unlucky.py"
    path.write_text("1 / 0")
    with pytest.raises(UserError, match=r"unlucky\.py fails on import: ZeroDivisionError: division by zero"):
        METHODS.add_file(path)
    assert set(sys.modules) == before
    assert METHODS.names() == names


@pytest.mark.parametrize("name", ["my method", "a,b", "2fast", "b2u[x]", "all", "../up"])
def test_a_name_that_cannot_be_asked_for_is_refused(name: str, plugin_file: MakePlugin) -> None:
    path = plugin_file("toy")
    path.write_text(path.read_text().replace('"toy"', repr(name)))
    with pytest.raises(UserError, match=rf"{re.escape(repr(name))} is not allowed: a letter, then letters, digits"):
        METHODS.add_file(path)


def test_a_default_that_is_made_by_a_function_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "made.py"
    path.write_text(
        "from dataclasses import dataclass, field\nfrom denoisebench import Info, PlainMethod\n"
        "@dataclass(frozen=True)\nclass Made(PlainMethod):\n    widths: list = field(default_factory=lambda: [1])\n"
        "    name = 'made'\n    info = Info(label='Made')\n"
    )
    with pytest.raises(
        UserError, match="'widths' needs a default value that is no default_factory: a number, a text or None"
    ):
        METHODS.add_file(path)


def test_a_module_beside_a_plugin_is_not_searched_and_the_error_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import my_parts.layers")
    with pytest.raises(UserError, match=r"No module named 'my_parts' \(mine.py, line 1\)$"):
        METHODS.add_file(tmp_path / "mine.py")
    (tmp_path / "my_parts").mkdir()
    with pytest.raises(UserError, match=re.escape(f"does not search: add {tmp_path.resolve()} to PYTHONPATH")):
        METHODS.add_file(tmp_path / "mine.py")
    (tmp_path / "set.py").write_text("from denoisebench.data.dataset import DataSet\nclass S(DataSet):\n    name = 's'")
    with pytest.raises(UserError, match=r"defines a data set, and a Python file given by --plugin a method: install"):
        METHODS.add_file(tmp_path / "set.py")
    with pytest.raises(UserError, match="is a folder; name the Python file in it"):
        METHODS.add_file(tmp_path)


def test_a_data_set_file_is_registered_under_its_own_name(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    path = tmp_path / "rather_like_kodak.toml"
    shutil.copy(root / "datasets" / "kodak.toml", path)
    assert DATASETS.add_file(path) == path.stem
    assert DATASETS.get(path.stem).title == "Kodak"
    assert str(path) in DATASETS.origin(path.stem)
    with pytest.raises(UserError, match="'kodak' is taken twice: built in and file"):
        DATASETS.add_file(Path(shutil.copy(path, tmp_path / "kodak.toml")))
    with pytest.raises(UserError, match=r"Data set file .*absent\.toml cannot be read"):
        DATASETS.add_file(tmp_path / "absent.toml")


# --- entry points ---


def test_an_entry_point_is_found_and_imported_only_when_asked_for(distribution: MakeDistribution) -> None:
    distribution("guest = MODULE:guest", CLASS.format(name="guest"))
    assert "guest" in METHODS.names()
    assert "fake_plugins_0" not in sys.modules
    assert METHODS.origin("guest") == "entry point fake_plugins_0:guest"
    assert METHODS.get("guest").name == "guest"
    assert "fake_plugins_0" in sys.modules


@pytest.mark.parametrize(
    ("points", "code", "words"),
    [
        ("guest = MODULE:guest", "import not_there_at_all", "fails on import: ModuleNotFoundError"),
        ("guest = MODULE:absent", "", "fails on import: AttributeError"),
        ("guest = MODULE:guest", "guest = 3", "is not a subclass of denoisebench.Method"),
        ("guest = MODULE:guest", CLASS.format(name="guest").replace("info =", "other ="), "lacks its metadata"),
        ("guest = MODULE:other", CLASS.format(name="other"), "must be a method named 'guest', not 'other'"),
    ],
)
def test_a_broken_entry_point_is_one_clear_error_and_hurts_nobody_else(
    points: str, code: str, words: str, distribution: MakeDistribution
) -> None:
    distribution(points, code)
    assert METHODS.get("identity").name == "identity"
    with pytest.raises(UserError, match="guest") as caught:
        METHODS.get("guest")
    assert words in str(caught.value)


def test_a_broken_entry_point_stops_no_listing(
    distribution: MakeDistribution, command: Callable[..., Any], tmp_path: Path
) -> None:
    site = distribution("guest = MODULE:guest", "import not_there_at_all")
    points = site / "fake_plugins_0-1.0.dist-info" / "entry_points.txt"
    points.write_text(points.read_text() + "[denoisebench.datasets]\nplates = fake_plugins_0:plates\n")
    for asked, name, whole in (
        (("list", "methods"), "guest", "bm3d  (BM3D; built in)"),
        (("list", "datasets"), "plates", "kodak "),
        (("data", "status"), "plates", "kodak "),
    ):
        told = command(*asked)
        assert told.code == 0, told.err
        assert whole in told.out
        assert f"Cannot be used: Plugin {name} (entry point fake_plugins_0:{name}) fails on import" in told.out
    told = command("data", "status", "plates")
    assert (told.code, "fails on import: ModuleNotFoundError" in told.err) == (2, True)


def test_an_entry_point_may_not_take_a_built_in_name(distribution: MakeDistribution) -> None:
    distribution("b2u = MODULE:b2u", CLASS.format(name="b2u"))
    for _ in range(2):
        with pytest.raises(UserError, match="'b2u' is taken twice: built in and entry point fake_plugins_0:b2u"):
            METHODS.names()


def test_two_distributions_may_not_share_a_name(distribution: MakeDistribution) -> None:
    distribution("guest = MODULE:guest", CLASS.format(name="guest"))
    distribution("guest = MODULE:guest", CLASS.format(name="guest"))
    with pytest.raises(UserError, match="'guest' is taken twice"):
        METHODS.names()


def test_an_entry_point_method_runs_from_the_command_line(
    distribution: MakeDistribution, image_folder: Callable[..., Path], tmp_path: Path
) -> None:
    body = CLASS.format(name="guest") + "    def denoise(self, noisy, known, rng):\n        return noisy * 0.5\n"
    site = distribution("guest = MODULE:guest", body)
    result = subprocess.run(
        [sys.executable, "-m", "denoisebench", "run", "--methods", "guest", "--datasets", str(image_folder()),
         "--out", str(tmp_path / "o")],
        env={**os.environ, "PYTHONPATH": str(site)}, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "guest" in result.stdout


def test_threads_wait_until_all_names_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = pkgutil.iter_modules

    def slowly(path: Any) -> Iterator[pkgutil.ModuleInfo]:
        for module in listed(path):
            time.sleep(0.002)
            yield module

    monkeypatch.setattr(pkgutil, "iter_modules", slowly)
    expected = METHODS.names()
    METHODS._loaders = None
    METHODS._origins.clear()
    with ThreadPoolExecutor(3) as pool:
        names = list(pool.map(lambda _: METHODS.names(), range(3)))
    assert names == [expected] * 3
