"""The paper's own tables, rebuilt from its published values, and what a bad line among these is told."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from denoisebench.core.errors import UserError
from denoisebench.reports.paper import printed, published
from denoisebench.reports.paper.printed import only, printed_table, text_of

GOLDEN = Path(__file__).with_name("golden") / "paper_table1.tex"
SUPERVISED = ("Baseline, N2C", "Baseline, N2N")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the published values, to be damaged."""
    found = published.published_folder()
    assert found is not None
    copy = tmp_path / "paper"
    shutil.copytree(found, copy)
    monkeypatch.setattr(published, "published_folder", lambda: copy)
    monkeypatch.setattr(printed, "published_folder", lambda: copy)
    return copy


def scores_of(text: str) -> list[list[str]]:
    """The cells of a LaTeX table, line by line, without the keys."""
    lines = [line for line in text.splitlines() if line.endswith(r"\\") and "/" in line]
    return [line.removesuffix(r" \\").split(" & ") for line in lines]


def test_table_1_is_rebuilt_in_latex_to_the_letter() -> None:
    assert text_of(printed_table("1"), "latex") == GOLDEN.read_text(encoding="utf-8")


def test_the_golden_file_holds_every_published_digit_in_its_place() -> None:
    lines = scores_of(GOLDEN.read_text(encoding="utf-8"))
    plain = [re.sub(r"\\textbf|\\underline|[{}$^*]", "", cell) for line in lines for cell in line[1:]]
    assert plain == [f"{row['psnr']}/{row['ssim']}" for row in published.rows_of("table1.csv")]
    assert [line[0].startswith(SUPERVISED) for line in lines].count(True) == 8


def test_the_golden_file_highlights_what_the_caption_says() -> None:
    """Group by group and column by column, from the file alone."""
    groups = GOLDEN.read_text(encoding="utf-8").split(r"\textit{")[1:]
    assert len(groups) == 4
    seen = {"textbf": 0, "underline": 0}
    for group in groups:
        lines = [line for line in scores_of(group) if not line[0].startswith(SUPERVISED)]
        for column in (1, 2, 3):
            cells = [line[column] for line in lines]
            values = [float(re.findall(r"\d+\.\d+", cell)[0]) for cell in cells]
            bold = [value for value, cell in zip(values, cells, strict=True) if "textbf" in cell]
            under = [value for value, cell in zip(values, cells, strict=True) if "underline" in cell]
            assert set(bold) == {max(values)}
            assert len(bold) == values.count(max(values))
            assert under == [sorted(values)[-2]] * (len(bold) == 1)
            seen = {"textbf": seen["textbf"] + len(bold), "underline": seen["underline"] + len(under)}
    text = GOLDEN.read_text(encoding="utf-8")
    assert seen == {"textbf": 13, "underline": 11}
    assert all(text.count(rf"\{mark}{{") == count for mark, count in seen.items())


@pytest.mark.parametrize(
    ("number", "lines", "columns"),
    [(1, 45, 3), (2, 9, 3), (3, 12, 2), (4, 10, 3), (5, 2, 4), (6, 4, 4), (7, 4, 4), (8, 4, 4)],
)
def test_all_eight_tables_have_the_papers_layout(number: int, lines: int, columns: int) -> None:
    table = printed_table(str(number))
    assert (len(table.lines), len(table.columns)) == (lines, columns)
    assert all(cell is not None for _, cells in table.lines for cell in cells)
    body = [line for line in text_of(table, "markdown").splitlines() if line.startswith("|")][2:]
    assert len(body) == lines
    rows = published.rows_of(f"table{number}.csv")
    found = list(csv.DictReader(io.StringIO(text_of(table, "csv"))))
    assert sorted((row["psnr"], row["ssim"]) for row in found) == sorted((row["psnr"], row["ssim"]) for row in rows)


def test_ablations_read_as_printed() -> None:
    text = text_of(printed_table("6"), "markdown")
    assert re.search(r"Gaussian σ = 25 +\| 30\.32/0\.831 +\| 30\.56/0\.839 +\| \\?- / - +\| 32\.27/0\.880", text)
    assert r"$\lambda_f = 40$" in text_of(printed_table("7"), "latex")
    assert text_of(printed_table("5"), "latex").count(r"\midrule") == 1


def test_a_part_of_a_table_has_only_the_methods_and_columns_that_are_named(command: Callable[..., Any]) -> None:
    ran = command("paper", 1, "--methods", "b2u,N2C", "--columns", "set14", "--metric", "psnr", "--label", "b2u=Mine")
    assert ran.code == 0, ran.err
    rows = [[part.strip() for part in line.split("|")[1:-1]] for line in ran.out.splitlines() if line.startswith("|")]
    assert rows[0] == ["Noise Type", "Method", "SET14"]
    assert rows[2:4] == [["Gaussian σ = 25", "Baseline, N2C [29]", "31.40"], ["Gaussian σ = 25", "Mine", "31.27"]]
    assert len(rows) == 2 + 8
    assert len(only(printed_table("6"), ["RM"]).columns) == 1
    for arguments, message in (
        (("1", "--methods", "b3u"), "Unknown method of table 1 'b3u'"),
        (("1", "--columns", "kodk"), "Did you mean 'kodak'"),
        (("1", "--label", "b2u"), "give a method and its printed name"),
        (("1", "--label", "b3u=x"), "Unknown method of table 1 'b3u'"),
        (("1", "--metric", "mse"), "Allowed: both, psnr, ssim"),
        (("1", "--page", "a4"), "Allowed: column, landscape, page, wide"),
    ):
        ran = command("paper", *arguments)
        assert ran.code == 2
        assert message in ran.err


def test_suspect_cells_are_kept_and_marked() -> None:
    text = text_of(printed_table("2"), "markdown")
    assert r"**25.57/0.868**\*" in text
    assert r"- \* Blind2Unblind, Gaussian σ = 50, Urban100: SUSPECT TYPO" in text
    text = text_of(printed_table("4"), "markdown")
    assert r"**34.03/0.916**\*" in text
    assert "Blind2Unblind, Two-Photon Mice: SSIM below BM3D" in text


def test_the_command_prints_every_format(command: Callable[..., Any]) -> None:
    ran = command("paper", 1, "--format", "latex")
    assert (ran.code, ran.out) == (0, GOLDEN.read_text(encoding="utf-8"))
    assert command("paper", 3).out.startswith("**Table 3. Quantitative")
    for arguments, message in ((("9",), "Allowed: 1, 2, 3"), (("1", "--format", "word"), "csv, html, latex, markdown")):
        ran = command("paper", *arguments)
        assert ran.code == 2
        assert message in ran.err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("32.43,0.884", "32.4x,0.884", r"table1\.csv, line 2: psnr '32\.4x' is no number from 0 to 100"),
        ("32.43,0.884", "32.43,1.884", r"line 2: ssim '1\.884' is no number from -1 to 1"),
        ("32.43,0.884", "nan,0.884", r"line 2: psnr 'nan' is no number"),
        ("32.43,0.884", "32.43", r"line 2: 12 values instead of 13 \(table, noise"),
        ("32.43,0.884", "32.43,0.884,7", r"line 2: 14 values instead of 13"),
        (",BSD300,31.05", ",Kodak,31.05", r"line 3: gaussian_sigma25, N2C, Kodak is in line 2 already"),
        ("1,gaussian_sigma25,2,N2N", "1,,2,N2N", r"line 5: noise is empty"),
        ("1,gaussian_sigma25,2,N2N", "7,gaussian_sigma25,2,N2N", r"line 5: table is '7' instead of 1"),
        (",psnr,", ",PSNR,", r"line 1: no column psnr\. It has table, noise"),
    ],
)
def test_a_bad_line_is_named_with_its_file_and_column(old: str, new: str, message: str, folder: Path) -> None:
    path = folder / "table1.csv"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError, match=message) as caught:
        printed_table("1")
    assert str(path) in str(caught.value)
    assert printed_table("2").number == 2


def test_a_bad_line_of_the_literature_is_named(folder: Path) -> None:
    path = folder / "literature.csv"
    text = path.read_text(encoding="utf-8")
    for old, new, message in (
        (",V,", ",A,", r"literature\.csv, line 2: evidence is 'A' instead of V or 2"),
        ("1,gaussian", "9,gaussian", r"line 2: table is '9' instead of 1 or 2"),
        ("29.25", "29,25", r"line 2: 11 values instead of 10"),
    ):
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        with pytest.raises(UserError, match=message):
            published.literature(1)


def test_a_file_that_is_no_table_is_named(folder: Path) -> None:
    (folder / "table1.csv").write_bytes(b"table,noise\n1,\xff\n")
    with pytest.raises(UserError, match=r"table1\.csv are no CSV file in UTF-8"):
        printed_table("1")
    (folder / "table2.csv").unlink()
    with pytest.raises(UserError, match=r"table2\.csv cannot be read"):
        printed_table("2")


def test_literature_needs_a_table(command: Callable[..., Any], tmp_path: Path) -> None:
    for arguments in (("run", "--literature"), ("report", tmp_path, "--literature")):
        ran = command(*arguments)
        assert ran.code == 2
        assert "--literature goes with a table" in ran.err
