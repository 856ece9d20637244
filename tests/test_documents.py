"""What README and documents tell people to type: that the program would take it, and that the pages build."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main

from denoisebench.cli import app
from denoisebench.core.errors import UserError
from denoisebench.plugins.registry import METHODS

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Where commands stand as well, that nobody types to learn the program.
OTHERS = [ROOT / "CONTRIBUTING.md", ROOT / "results" / "README.md", *sorted((ROOT / "methods").glob("*.py"))]
# Files of the reader's own, which a callback would read.
_OWN = ("mine.toml",)


def typed(path: Path) -> Iterator[str]:
    """What a document tells people to type: indented lines with their continuations, and longer ones in backticks."""
    text = re.sub(r"\\\n +|\n {8,}(?=\S)", " ", path.read_text(encoding="utf-8"))
    yield from re.findall(r"^    (\S.*)$", text, re.MULTILINE)
    # A name and an option in running text are no command.
    yield from (line for line in re.findall(r"(?<!`)`([^`]+)`(?!`)", text) if len(line.split()) > 3 or "pytest" in line)


def commands() -> list[tuple[str, str]]:
    """Every command of the program."""
    found = []
    for path in (*DOCUMENTS, *OTHERS):
        for line in typed(path):
            begun = re.search(r"(?:^|&& )(denoisebench .*)", re.sub(r"\s+", " ", line))
            found += [(str(path.relative_to(ROOT)), begun[1])] if begun else []
    return found


def test_the_readme_has_commands() -> None:
    names = [name for name, _ in commands()]
    assert names.count("README.md") > 15
    assert names.count("docs/tutorial.md") > 15
    assert names.count("results/README.md") > 10
    assert "methods/noisier2noise.py" in names


@pytest.mark.parametrize(("document", "line"), commands())
def test_every_command_of_the_documents_is_taken(document: str, line: str) -> None:
    words = [word for word in shlex.split(line, comments=True) if word != "..."]
    assert not {"|", ">", "&"} & set(words), f"{document}: {line}: a shell reads this otherwise"
    command, arguments = typer.main.get_command(app), words[1:]
    while hasattr(command, "commands"):
        assert arguments, f"{document}: {line} names no command"
        name = arguments.pop(0)
        assert name in command.commands, f"{document}: {line}"
        command = command.commands[name]
    try:
        command.make_context(words[1], list(arguments))
    except UserError as error:
        if not any(own in str(error) for own in _OWN):
            pytest.fail(f"{document}: {line}: {error}")
    except typer.Exit:
        pass
    except Exception as error:
        if "..." in line and type(error).__name__ == "MissingParameter":
            return
        message = getattr(error, "format_message", lambda error=error: repr(error))()
        pytest.fail(f"{document}: {line}: {message}")


def test_every_test_and_script_that_is_named_is_there() -> None:
    checked = 0
    for path in (*DOCUMENTS, *OTHERS):
        for line in typed(path):
            for script in re.findall(r"python (tools/\S+)", line):
                assert (ROOT / script).is_file(), f"{path.name}: {line}"
            if not re.match(r"(?:[A-Z_]+=\S+ )*pytest\b", line):
                continue
            words = shlex.split(line.partition("&&")[0], comments=True)
            wanted = words[words.index("-k") + 1] if "-k" in words else ""
            for name in (word for word in words if word.startswith("tests/")):
                assert (ROOT / name).is_file(), f"{path.name}: {line}"
                text = (ROOT / name).read_text(encoding="utf-8")
                assert re.search(rf"def test_\w*{wanted}", text), f"{path.name}: {line}: nothing in {name}"
                checked += 1
    assert checked > 20


def test_links_between_documents_lead_somewhere() -> None:
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            generated = target.startswith("methods/") and path.parent.name == "docs"
            if "://" not in target and not generated:
                assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_every_document_is_in_the_list_of_pages() -> None:
    listed = re.findall(r"^[\w/-]+$", (ROOT / "docs" / "index.md").read_text(encoding="utf-8"), re.MULTILINE)
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    assert sorted(listed) == sorted([*pages, "methods/index"])


def test_every_method_has_a_page_with_its_picture_or_why_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    pages = importlib.import_module("method_pages")
    shown = 0
    for name in METHODS.names():
        if METHODS.origin(name) != "built in":
            continue
        text = pages.page(METHODS.get(name))
        pictures = re.findall(r"\]\(\.\./(figures/\S+)\)", text)
        assert all((ROOT / "docs" / picture).is_file() for picture in pictures), name
        assert pictures or "There is no picture" in text or name == "identity"
        shown += bool(pictures)
    assert shown >= 10


@pytest.fixture(scope="module")
def renew() -> ModuleType:
    """The script that makes tables of documents from stored rows."""
    spec = importlib.util.spec_from_file_location("renew_results", ROOT / "tools" / "renew_results.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_of_documents_are_those_of_the_stored_rows(
    renew: ModuleType, command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("gauss25", "tables/table1", "tables/table2"):
        shutil.copytree(ROOT / "results" / folder, tmp_path / "results" / folder)
    monkeypatch.chdir(tmp_path)

    def run(words: list[str]) -> str:
        ran = command(*words[1:])
        assert ran.code == 0, ran.err
        return str(ran.out)

    texts = {path.name: path.read_text(encoding="utf-8") for path in renew.documents()}
    stale = [name for name, text in texts.items() if renew.with_tables(text, run) != text]
    assert stale == [], "python tools/renew_results.py tables"
    assert sum(text.count("<!-- table: ") for text in texts.values()) > 4


@pytest.mark.slow
@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("sphinx", "myst_parser", "furo")),
    reason='no Sphinx here (pip install "denoisebench[docs]")',
)
def test_the_documents_build_without_a_warning(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "-d", str(tmp_path / "trees"), "docs", str(tmp_path / "out")],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "wang2022blind2unblind" in (tmp_path / "out" / "methods" / "b2u.html").read_text(encoding="utf-8")
