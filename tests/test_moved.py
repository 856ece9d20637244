"""Old import paths of plugins still work, everywhere, and say where things are now."""

from __future__ import annotations

import importlib
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from denoisebench.core.moved import MOVED, PACKAGES
from denoisebench.core.places import package_places

PLUGIN = """\
from dataclasses import dataclass

from denoisebench.dataset import read_manifest
from denoisebench.errors import UserError
from denoisebench.lazy import torch
from denoisebench.method import Info, PlainMethod
from denoisebench.noise import generator_from
from denoisebench.vst import anscombe


@dataclass(frozen=True)
class Old(PlainMethod):
    name = "old"
    info = Info(label="old")

    def denoise(self, noisy, known, rng):
        return noisy + 0 * anscombe(noisy.clip(0))
"""


def fresh(name: str) -> Any:
    """A module, imported as in a new process."""
    for loaded in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
        del sys.modules[loaded]
    return importlib.import_module(name)


@pytest.mark.parametrize("old", sorted(MOVED))
def test_every_old_module_holds_the_same_objects_and_warns(old: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"^denoisebench.{old} has moved to denoisebench.{MOVED[old][0]}"):
        module = fresh(f"denoisebench.{old}")
    for place in MOVED[old]:
        new = importlib.import_module(f"denoisebench.{place}")
        every = [name for name, value in vars(new).items() if getattr(value, "__module__", "") == new.__name__]
        own = [name for name in every if not name.startswith("__")]
        assert own or place == "core.lazy"
        assert all(getattr(module, name) is getattr(new, name) for name in own)


@pytest.mark.parametrize("path", ["denoisebench.method", "denoisebench.plugins.method"])
def test_what_a_method_is_told_is_found_by_its_old_name_too(path: str) -> None:
    from denoisebench.plugins.method import NoiseInfo

    with pytest.warns(DeprecationWarning, match="NoiseInfo"):
        assert importlib.import_module(path).Known is NoiseInfo
    with pytest.raises(AttributeError, match="Unknown"):
        _ = importlib.import_module(path).Unknown


@pytest.mark.parametrize(
    ("old", "name", "new"),
    [
        ("method", "LearnedMethod", "plugins.method"),
        ("dataset", "Entry", "data.manifest"),
        ("noise", "generator_from", "protocol.seeds"),
        ("noise", "CounterDraws", "protocol.draws"),
        ("evaluation", "Protocol", "protocol.protocol"),
        ("evaluation", "Clock", "evaluation.evaluate"),
        ("experiment", "parse_method", "plugins.lookup"),
        ("results", "Store", "results.store"),
        ("executors", "Executor", "execution.executors"),
    ],
)
def test_a_name_is_found_where_it_was(old: str, name: str, new: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        found = getattr(importlib.import_module(f"denoisebench.{old}"), name)
    assert found is getattr(importlib.import_module(f"denoisebench.{new}"), name)


def test_a_name_of_a_module_that_is_a_package_now_warns_where_it_is_used() -> None:
    code = "from denoisebench.results import Store\nfrom denoisebench import vst, masking\n"
    run = subprocess.run(
        [sys.executable, "-W", "always::DeprecationWarning", "-c", code], capture_output=True, text=True, check=True
    )
    lines = {line for line in run.stderr.splitlines() if line.startswith("<string>")}
    assert {line.split(" has moved to ")[0].split(": ")[-1] for line in lines} == {
        "denoisebench.results.Store", "denoisebench.vst", "denoisebench.masking",
    }  # fmt: skip
    assert {line.split(":")[1] for line in lines} == {"1", "2"}


def test_new_places_are_modules_and_old_ones_are_not() -> None:
    here = package_places()[0]
    for places in [*MOVED.values(), *PACKAGES.values()]:
        for place in places:
            path = here / place.replace(".", "/")
            assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file(), place
    for old in MOVED:
        path = here / old.replace(".", "/")
        assert not path.with_suffix(".py").exists(), old
        assert not (path / "__init__.py").exists(), old


def test_nothing_of_the_package_itself_uses_an_old_path() -> None:
    code = "import denoisebench.cli, denoisebench.execution.runner, denoisebench.methods.b2u, denoisebench.methods.bm3d"
    subprocess.run([sys.executable, "-W", "error::DeprecationWarning:denoisebench", "-c", code], check=True)


@pytest.mark.parametrize("name", ["denoisebench.nonsense", "denoisebench.tests", "denoisebench.core.vst", "vst"])
def test_what_never_was_there_is_not_found(name: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=name.rpartition(".")[2]):
        importlib.import_module(name)


def test_a_name_that_a_package_never_held_is_not_found() -> None:
    package = importlib.import_module("denoisebench.results")
    with pytest.raises(AttributeError, match=r"'denoisebench.results' has no attribute 'nonsense'"):
        _ = package.nonsense


@pytest.mark.slow
def test_a_plugin_with_old_imports_runs_in_worker_processes(
    command: Callable[..., Any], image_folder: Callable[..., Path], tmp_path: Path
) -> None:
    plugin = tmp_path / "old.py"
    plugin.write_text(PLUGIN, encoding="utf-8")
    ran = command(
        "run", "--plugin", plugin, "--methods", "old", "--datasets", image_folder(), "--workers", "1",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "| old" in ran.out
