"""The wheel carries everything, imports without the checkout, and leaves the name `datasets` alone."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[1]
# The checkout may be on the path of this very interpreter (an editable install).
WITHOUT_CHECKOUT = f"""
import sys
from pathlib import Path
sys.path[:] = [p for p in sys.path if p and Path(p).resolve() != Path({str(ROOT)!r})]
sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in repr(f).lower()]
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from the checkout, without network."""
    pytest.importorskip("hatchling")
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("no checkout around these tests")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, installed into a folder of its own."""
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--no-compile", "-q"]
    subprocess.run([*command, "--target", str(target), str(wheel)], check=True, capture_output=True, timeout=120)
    return target


def python(code: str, installed: Path, *more: Path) -> str:
    """Output of code that sees the installed wheel and not the checkout."""
    path = os.pathsep.join(map(str, (installed, *more)))
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_CHECKOUT + code],
        cwd=installed, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_wheel_holds_the_package_and_nothing_beside_it(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"denoisebench"}
    assert not [name for name in names if "__pycache__" in name or "/tests/" in name]
    for folder in ("methods", "datasets"):
        here = {path.name for path in (ROOT / folder).iterdir() if path.suffix in (".py", ".toml")}
        there = {
            name.split("/")[-1] for name in names if name.startswith(f"denoisebench/{folder}/") and name.count("/") == 2
        }
        assert here == there
        assert "__init__.py" not in there
    manifests = {path.name for path in (ROOT / "datasets" / "manifests").glob("*.tsv")}
    assert manifests == {name.split("/")[-1] for name in names if name.endswith(".tsv")}
    for folder, packed in (("paper", "paper"), ("weights", "shipped")):
        files = {path.name for path in (ROOT / "results" / folder).iterdir()}
        assert files == {name.split("/")[-1] for name in names if name.startswith(f"denoisebench/{packed}/")}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "denoisebench").rglob("*.py")}
    assert modules <= set(names)
    assert {"denoisebench/py.typed", "denoisebench/__init__.pyi"} <= set(names)


def test_licence_and_command_are_in_the_wheel(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    names = archive.namelist()
    assert any(name.endswith("licenses/LICENSE") for name in names)
    (points,) = (name for name in names if name.endswith("entry_points.txt"))
    assert "denoisebench = denoisebench.__main__:main" in archive.read(points).decode()


def test_plugins_and_manifests_are_found_in_the_installed_wheel(installed: Path) -> None:
    code = """
import denoisebench, denoisebench.methods.b2u, denoisebench.datasets.kodak_crops
from denoisebench.plugins.registry import DATASETS, METHODS
from denoisebench.data.manifest import read_manifest
for module in (denoisebench, denoisebench.methods.b2u, denoisebench.datasets.kodak_crops):
    print(Path(module.__file__).resolve())
print(DATASETS.get("kodak").manifest.resolve())
print(len(read_manifest(DATASETS.get("kodak").manifest)))
print(*METHODS.names(), *DATASETS.names())
"""
    *files, count, names = python(code, installed).splitlines()
    assert all(Path(file).is_relative_to(installed.resolve()) for file in files)
    assert count == "24"
    expected = [
        sorted(path.stem for path in (ROOT / folder).iterdir() if path.suffix in (".py", ".toml"))
        for folder in ("methods", "datasets")
    ]
    assert names.split() == [*expected[0], *expected[1]]


def test_the_installed_command_runs(installed: Path, tmp_path: Path) -> None:
    code = f"""
sys.argv = ["denoisebench", "run", "--methods", "identity", "--out", {str(tmp_path / "o")!r}]
from denoisebench.cli import main
main()
"""
    assert "Samples, Gaussian σ=25" in python(code, installed)
    assert (tmp_path / "o" / "scores.csv").is_file()


def test_the_name_datasets_is_not_ours(installed: Path) -> None:
    code = """
import importlib.util
import denoisebench.datasets.kodak_crops
for name in ("datasets", "methods"):
    spec = importlib.util.find_spec(name)
    places = [] if spec is None else [str(p) for p in spec.submodule_search_locations or [spec.origin]]
    print(name, [p for p in places if "denoisebench" in p or p.startswith(ROOT)])
""".replace("ROOT", repr(str(ROOT)))
    assert python(code, installed).splitlines() == ["datasets []", "methods []"]


def test_another_package_called_datasets_wins_even_from_a_checkout(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "__init__.py").write_text("name = 'theirs'\n", encoding="utf-8")
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.path.append({str(tmp_path)!r})\n"
        "import denoisebench.datasets.kodak_crops, datasets\nprint(datasets.name)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.stdout == "theirs\n", result.stderr


def test_the_wheel_holds_the_parts_of_the_page(wheel: Path) -> None:
    names = {name.removeprefix("denoisebench/reports/page/") for name in zipfile.ZipFile(wheel).namelist()}
    here = ROOT / "denoisebench" / "reports" / "page"
    parts = [path for path in here.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {path.relative_to(here).as_posix() for path in parts} <= names
    assert {"page.html.j2", "assets/page.css", "vendor/uPlot.LICENSE"} <= names
