"""Every mutation of the list can be made and names tests that exist; tools/mutations.py runs them."""

from __future__ import annotations

import dataclasses
import importlib.util
import shlex
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """The script as a module."""
    import sys

    spec = importlib.util.spec_from_file_location("mutations_tool", ROOT / "tools" / "mutations.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_mutation_can_be_made_and_has_tests(tool: ModuleType) -> None:
    listed = tool.mutations()
    assert len(listed) >= 50
    assert [flaw for m in listed if (flaw := tool.flaw(m, ROOT))] == []
    assert [name for name, count in Counter(m.name for m in listed).items() if count > 1] == []
    for mutation in listed:
        assert mutation.old != mutation.new
        files = [part for part in shlex.split(mutation.tests) if part.endswith(".py")]
        assert files
        assert all((ROOT / file).is_file() for file in files), mutation.name


def test_a_mutation_is_undone_and_told_by_the_exit_code(tool: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("A = 1\n")
    (tmp_path / "test_a.py").write_text("from code_a import A\n\n\ndef test_a():\n    assert A == 1\n")
    (tmp_path / "code_a.py").write_text("A = 1\nB = 2\n")
    made = [
        tool.Mutation("x", "x", "code_a.py", old, old.replace("1", "3").replace("2", "4"), "test_a.py") for old in "12"
    ]
    tests = tool.Tests(tmp_path)
    assert [tool.outcome(one, tests) for one in made] == ["killed", "survived"]
    assert (tmp_path / "code_a.py").read_text() == "A = 1\nB = 2\n"
    unknown = tool.Mutation("x", "x", "code_a.py", "C", "D", "test_a.py")
    assert tool.outcome(unknown, tests).startswith("broken: its text")
    gone = tool.Mutation("x", "x", "code_a.py", "A = 1", "A = 3", "missing.py")
    assert tool.outcome(gone, tests) == "broken: pytest ended with exit code 4"
    (tmp_path / "test_a.py").write_text("def test_a():\n    assert False\n")
    failing = tool.Mutation("x", "x", "code_a.py", "A = 1", "A = 3", "test_a.py")
    assert tool.outcome(failing, tool.Tests(tmp_path)) == "broken: test_a.py::test_a fails without it"


def test_an_end_holds_for_the_change_as_it_was(tool: ModuleType, tmp_path: Path) -> None:
    one, other = tool.mutations()[:2]
    path = tmp_path / "ends.tsv"
    tool.write_ends(path, {other.name: (other.digest, "survived"), one.name: (one.digest, "killed"), "gone": ("", "")})
    assert tool.read_ends(path) == {one.name: (one.digest, "killed"), other.name: (other.digest, "survived")}
    assert dataclasses.replace(one, new="1").digest != one.digest
    assert dataclasses.replace(one, kind="1").digest == one.digest


def test_nearly_all_mutations_are_killed(tool: ModuleType) -> None:
    """As the list stands now; a new line counts when it has been run."""
    listed, ends = tool.mutations(), tool.read_ends(tool.ENDS)
    killed = [m for m in listed if ends.get(m.name) == (m.digest, "killed")]
    assert len(killed) >= tool.GOAL * len(listed), "python tools/mutations.py"
