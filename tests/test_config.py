"""Experiment files: what is read, what is refused, and the shipped ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from denoisebench.commands.run import file_options
from denoisebench.core.errors import UserError
from denoisebench.experiment.file import TABLES, read_experiment, table_file
from denoisebench.experiment.options import parse_noises
from denoisebench.plugins.lookup import parse_methods
from denoisebench.reports.paper.published import rows_of

ALLOWED = file_options()


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_options_are_texts_by_parameter_name(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        'title = "Mine"\nmethods = ["b2u[eta=0]", "n2v"]\nrepeats = 3\nlr = 1e-3\nnoise-draws = "legacy"\n'
        'weights = ["a", "b"]\n[paper]\ntable = 8\nvariants = {"eta=0" = "b2u[eta=0]"}\n',
    )
    found = read_experiment(path, ALLOWED)
    assert found.title == "Mine"
    assert found.options == {
        "methods": "b2u[eta=0],n2v", "repeats": "3", "lr": "0.001", "noise_draws": "legacy", "weights": ["a", "b"],
    }  # fmt: skip
    assert found.paper is not None
    assert (found.paper.table, found.paper.variants) == (8, {"eta=0": "b2u[eta=0]"})


def test_the_mark_that_windows_puts_before_a_text_is_no_part_of_it(tmp_path: Path) -> None:
    path = write(tmp_path, "\ufeffmethods = 'n2v'")
    assert read_experiment(path, ALLOWED).options == {"methods": "n2v"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("methods = [", "is no TOML"),
        ('method = "b2u"', "Unknown key in .*mine.toml 'method'. Did you mean 'methods'"),
        ("methods = true", "methods must be text, a number, or a list"),
        ("methods = []", "methods must be text"),
        ("methods = {a = 1}", "methods must be text"),
        ("title = 3", "title must be text"),
        ("paper = 3", "needs table = one of 1, 2, 3, 4, 5, 6, 7, 8"),
        ("[paper]\ntable = 9", "needs table = one of"),
        ("[paper]\ntable = true", "needs table = one of"),
        ("[paper]\ntable = 1\nvariant = 2", "Did you mean 'variants'"),
        ("[paper]\ntable = 5\nvariants = 3", "variants must map names"),
        ("\x00", "is no TOML"),
    ],
)
def test_a_mistake_names_file_and_key(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words) as caught:
        read_experiment(write(tmp_path, text), ALLOWED)
    assert "mine.toml" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.toml cannot be read"):
        read_experiment(tmp_path / "absent.toml", ALLOWED)


@pytest.mark.parametrize("number", TABLES)
def test_shipped_files_cover_their_published_table(number: int) -> None:
    found = read_experiment(table_file(str(number)), ALLOWED)
    assert found.title.startswith(f"Table {number}: ")
    assert found.paper is not None
    assert found.paper.table == number
    methods = {method.text for method in parse_methods(found.options["methods"])}
    rows = rows_of(f"table{number}.csv")
    assert set(found.paper.variants.values()) <= methods
    if number >= 5:
        assert set(found.paper.variants) == {row["variant"] for row in rows}
    assert len(parse_noises(found.options["noise"])) == len({row["noise"] for row in rows})
    assert len(found.options["datasets"].split(",")) == len({row["dataset"] for row in rows})


def test_other_tables_are_refused() -> None:
    for text, words in (("9", "no table '9'"), ("one", "no table 'one'")):
        with pytest.raises(UserError, match=words):
            table_file(text)
