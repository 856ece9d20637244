"""A published table beside measurements: layout, verdicts, and blanks where nothing was measured."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from rich.console import Console

from denoisebench.core.errors import UserError
from denoisebench.data.dataset import FolderSet
from denoisebench.experiment.file import PaperPart
from denoisebench.plugins.lookup import find_dataset
from denoisebench.plugins.registry import DATASETS
from denoisebench.protocol.protocol import Row
from denoisebench.reports.grid import plain_text
from denoisebench.reports.layout import Layout
from denoisebench.reports.paper import paper_table as tables
from denoisebench.reports.paper.paper_table import (
    Entry,
    PaperTable,
    check_columns,
    grid_of,
    measured_part,
    notes_of,
    paper_table,
)
from denoisebench.results.store import StoredCell
from denoisebench.results.summary import Score


def cell(text: str, noise: str, dataset: str, psnr: float, written: str = "1", **about: Any) -> StoredCell:
    kind = DATASETS.get(dataset)
    known = issubclass(kind, FolderSet) and kind.manifest is not None
    images = find_dataset(dataset, ()).data_hash if known else "hash"
    protocol = {"noise": noise, "dataset": dataset, "data_hash": images, "draws": "legacy", "padding": "side"}
    facts = {
        "text": text, "label": text, "training": "", "told": [], "protocol": "abc", "written": written,
        "dataset_class": f"{kind.__module__}.{kind.__qualname__}", **about,
    }  # fmt: skip
    rows = {("a", 0): Row("a", 0, psnr - 1, 0.8, 1.0, 0.1), ("b", 0): Row("b", 0, psnr + 1, 0.9, 1.0, 0.1)}
    return StoredCell({"method": text.partition("[")[0], "protocol": protocol, "cell": text + written}, facts, rows)


def grid(table: PaperTable) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the layout, as one wide table."""
    found = grid_of(table)
    (block,) = found.blocks
    rows = [[row.section, *map(plain_text, row.cells)] for row in block.rows]
    return [found.section, *(head.flat or head.text for head in block.heads)], rows


def entry(table: PaperTable, noise: str, method: str, dataset: str) -> Entry:
    (found,) = [e for e in table.entries if (e.noise, e.method, e.dataset) == (noise, method, dataset)]
    return found


def test_every_published_cell_has_its_place_and_none_a_measurement() -> None:
    table = paper_table(PaperPart(1, {}), "Table 1", [])
    assert len(table.entries) == 135
    assert all(not e.measured and e.verdict == "" and e.difference is None for e in table.entries)
    heads, rows = grid(table)
    assert heads[:5] == ["Noise", "Method", "Kodak paper", "Kodak measured", "Kodak diff"]
    assert len(rows) == 45
    ours = next(row for row in rows if row[1] == "Blind2Unblind")
    blank = ["", ""]
    assert ours[2:] == ["32.27/0.880", *blank, "30.87/0.872", *blank, "31.27/0.864", *blank, ""]
    lines = list(csv.DictReader(io.StringIO(tables.csv_text(table))))
    assert len(lines) == 135
    assert {line["psnr"] for line in lines} == {""}


@pytest.mark.parametrize(
    ("psnr", "verdict", "difference"),
    [
        (32.27, "=", "+0.00"),
        (32.37, "=", "+0.10"),
        (32.38, ">", "+0.11"),
        (32.17, "=", "-0.10"),
        (32.164, "<", "-0.11"),
        # Of unrounded values the difference would be 0.104, and ">".
        (32.374, "=", "+0.10"),
    ],
)
def test_verdicts_count_printed_digits(psnr: float, verdict: str, difference: str) -> None:
    table = paper_table(PaperPart(1, {}), "T", [cell("b2u", "gauss25", "kodak", psnr, training="300 steps")])
    found = entry(table, "gaussian_sigma25", "Blind2Unblind", "Kodak")
    assert found.verdict == verdict
    row = next(row for row in grid(table)[1] if row[1] == "Blind2Unblind")
    assert row[3:5] == [f"{psnr:.2f}/0.850", f"{difference} {verdict}"]
    assert row[-1] == "300 steps"


def test_names_of_both_sides_are_matched() -> None:
    cells = [
        cell("anscombe_bm3d", "poisson30", "set14_14", 30.0),
        cell("b2u[eta=0]", "gauss25", "kodak", 30.0),
        cell("b2u", "gauss25", "kodak", 31.0),
    ]
    table = paper_table(PaperPart(1, {}), "T", cells)
    assert entry(table, "poisson_lambda30", "Anscombe+BM3D", "Set14").ours == "anscombe_bm3d"
    assert entry(table, "gaussian_sigma25", "Blind2Unblind", "Kodak").ours == "b2u"
    real = paper_table(
        PaperPart(4, {}), "T", [cell("laine19_pme[level=image,assume=gauss]", "real", "fmdd_fish", 30.0)]
    )
    found = "Laine19-pme (Gaussian) (laine19_pme[level=image,assume=gauss])"
    assert found in {row[1] for row in grid(real)[1]}


@pytest.mark.parametrize("text", ["r2r[passes=8]", "b2u[eta=0]", "b2u[output=mid]"])
def test_a_method_with_other_settings_is_not_the_papers(text: str) -> None:
    label = {"r2r": "R2R", "b2u": "Blind2Unblind"}[text.partition("[")[0]]
    table = paper_table(PaperPart(1, {}), "T", [cell(text, "gauss25", "kodak", 31.0, label=label)])
    assert not entry(table, "gaussian_sigma25", label, "Kodak").measured
    (own,) = [e for e in table.entries if e.measured]
    assert (own.method, own.psnr, own.verdict) == (f"{label} [{text.partition('[')[2]}", None, "")


def test_the_newest_measurement_counts() -> None:
    cells = [cell("b2u", "gauss25", "kodak", 31.0, written="2"), cell("b2u", "gauss25", "kodak", 20.0, written="1")]
    found = entry(paper_table(PaperPart(1, {}), "T", cells), "gaussian_sigma25", "Blind2Unblind", "Kodak")
    assert found.score is not None
    assert found.score == Score(found.score.psnr, found.score.ssim, 2)
    assert (found.score.psnr, found.score.ssim) == pytest.approx((31.0, 0.85))


def test_of_several_trainings_the_newest_stands_in_the_row() -> None:
    old = cell("b2u", "gauss25", "kodak", 20.0, written="1", training="300 steps")
    new = cell("b2u", "gauss25", "kodak", 31.0, written="2", training="7000 steps")
    for cells in ([old, new], [new, old]):
        found = entry(paper_table(PaperPart(1, {}), "T", cells), "gaussian_sigma25", "Blind2Unblind", "Kodak")
        assert found.measured == [new]


def test_a_folder_that_is_called_like_a_data_set_fills_no_column_of_the_paper() -> None:
    true, folder = cell("b2u", "gauss25", "kodak", 32.0), cell("b2u", "gauss25", "kodak", 20.0, written="2")
    folder.identity["protocol"]["data_hash"] = "deadbeef" * 8
    table = paper_table(PaperPart(1, {}), "t", [true, folder])
    score = entry(table, "gaussian_sigma25", "Blind2Unblind", "Kodak").score
    assert score is not None
    assert score.psnr == 32.0
    assert any("b2u, gauss25, kodak#deadbeef" in note for note in table.notes)
    alone = paper_table(PaperPart(1, {}), "t", [folder])
    assert entry(alone, "gaussian_sigma25", "Blind2Unblind", "Kodak").score is None


def test_a_line_that_was_stopped_is_marked_beside_the_paper_too() -> None:
    whole, stopped = cell("n2c", "gauss25", "kodak", 32.0), cell("b2u", "gauss25", "kodak", 32.0)
    del stopped.rows["b", 0]
    table = paper_table(PaperPart(1, {}), "t", [whole, stopped])
    flags = {e.method: e.flagged for e in table.entries if e.measured}
    assert flags == {"N2C": "", "Blind2Unblind": "fewer"}
    assert any(note.startswith("¶ Blind2Unblind on Kodak") for note in notes_of(table))


def test_variants_are_methods_with_settings() -> None:
    part = PaperPart(6, {"RM+V": "b2u[mapper=random]", "GM+V": "b2u"})
    table = paper_table(part, "T", [cell("b2u[mapper=random]", "gauss25", "kodak", 25.0)])
    found = entry(table, "gaussian_sigma25", "RM+V", "Kodak")
    # The paper prints no number there: it did not converge.
    assert (found.psnr, found.difference, found.verdict) == (None, None, "")
    assert found.score is not None
    assert found.score == Score(25.0, found.score.ssim, 2)
    assert found.score.ssim == pytest.approx(0.85)
    assert entry(table, "gaussian_sigma25", "GM+V", "Kodak").measured == ()
    assert entry(table, "gaussian_sigma25", "GM", "Kodak").measured == ()
    with pytest.raises(UserError, match="Table 6 has no variant GX"):
        paper_table(PaperPart(6, {"GX": "b2u"}), "T", [])


def test_a_method_that_the_paper_does_not_have_gets_a_line_of_its_own() -> None:
    cells = [
        cell("mine[k=3]", "gauss25", "kodak", 33.0, label="Mine"),
        cell("mine[k=4]", "gauss25", "kodak", 32.0, label="Mine"),
        cell("b2u", "gauss25", "set14", 30.0),
        cell("b2u", "gauss25", "set14_14", 29.0),
        cell("b2u", "gauss33", "kodak", 28.0),
    ]
    table = paper_table(PaperPart(1, {}), "T", cells)
    rows = [row for row in grid(table)[1] if row[0] == "Gaussian σ=25"]
    assert [row[1] for row in rows[-3:]] == ["Blind2Unblind", "Mine [k=3]", "Mine [k=4]"]
    assert rows[-2][2:5] == ["", "33.00/0.850", ""]
    assert rows[-3][9:10] == ["30.00/0.850"]
    assert len(grid(table)[1]) == 47
    assert "Not in the paper: Mine [k=3], Mine [k=4]" in tables.notes_of(table)
    outside = "b2u, gauss25, set14_14; b2u, gauss33, kodak"
    assert f"Measured, but no column or line of this table: {outside}" in tables.notes_of(table)
    lines = [line for line in csv.DictReader(io.StringIO(tables.csv_text(table))) if line["ours"] == "mine[k=3]"]
    assert [(line["method"], line["paper_psnr"], line["psnr"]) for line in lines] == [("Mine [k=3]", "", "33.0000")]


def test_the_levels_that_a_range_of_them_drew_are_said() -> None:
    gauss, poisson = (cell("b2u", noise, "kodak", 30.0) for noise in ("gauss5_50", "poisson5_50"))
    poisson.rows = {(image, draw): Row(image, draw, 30.0, 0.9, 1.0, 20.0 + draw) for image in "ab" for draw in (0, 1)}
    notes = tables.notes_of(paper_table(PaperPart(1, {}), "T", [gauss, poisson, cell("b2u", "gauss25", "kodak", 30.0)]))
    assert "kodak, Gaussian σ∈[5,50]: 2 levels drawn, their mean 25.5, that of the range 27.5" in notes
    assert "kodak, Poisson λ∈[5,50]: 4 levels drawn, their mean 20.5, that of the range 27.5" in notes
    (measured,) = [note for note in notes if note.startswith("kodak: ")]
    assert [text.partition(",")[0] for text in measured.split(" or ")] == ["kodak: 2 images", "2 images (4 noisy)"]
    assert not [note for note in notes if "σ=25" in note]


def test_odd_published_cells_are_marked_and_explained() -> None:
    table = paper_table(PaperPart(1, {}), "T", [])
    text = tables.text_of(table, "markdown")
    assert r"30.38/0.826\*" in text
    assert r"\* DBSN, Kodak, BSD300, Set14, Gaussian σ∈[5,50]: odd:" in text


def test_latex_has_a_rule_between_noises_and_escapes_names() -> None:
    table = paper_table(PaperPart(1, {}), "Table 1", [cell("r2r[passes=8]", "gauss25", "kodak", 31.0, label="R2R")])
    text = tables.text_of(table, "latex", page="landscape")
    assert [text.count(rf"\textit{{{noise}") for noise in ("Gaussian", "Poisson")] == [2, 2]
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 1 + text.count("(continued)")
    assert r"R2R {[}passes=8{]} & " in text
    assert "N2C & 32.43/0.884" in text
    assert text.count("32.43/0.884") == text.count("31.00/0.850") == 1


def test_literature_stands_in_its_noise_and_is_marked_by_its_evidence() -> None:
    cells = [cell("zsn2n", "gauss25", "kodak", 28.0), cell("b2u", "gauss25", "kodak", 31.0)]
    table = paper_table(PaperPart(1, {}), "T", cells, with_literature=True)
    heads, rows = grid(table)
    assert heads[2] == "Kodak published"
    assert not any("14 images" in head for head in heads)
    names = [row[1] for row in rows if row[0] == "Gaussian σ=25"]
    assert names[11:14] == ["Blind2Unblind", "ZS-N2N [V]", "Prompt-SID [V]"]
    assert "DIP [2]" in names
    row = rows[12]
    assert row[2:5] == ["29.25/0.779", "28.00/0.850", ""]
    assert next(row for row in rows if row[1].startswith("NBR2NBR, run again by"))[8] == "31.2"
    text = tables.text_of(table, "markdown")
    assert "None of them was measured here" in text
    assert "huaqlili/Prompt-SID @ 50b3014" in text
    assert "Laine19-pme, level known (Laine et al.) [V] 31.25" in text
    lines = list(csv.DictReader(io.StringIO(tables.csv_text(table))))
    found = {line["evidence"] for line in lines if line["noise"] == "gaussian_sigma25"}
    assert found == {"", "V", "2"}
    (measured,) = [line for line in lines if line["method"] == "ZS-N2N" and line["psnr"]]
    assert (measured["psnr"], measured["difference"], measured["verdict"]) == ("28.0000", "", "")


def test_literature_is_left_out_unless_it_is_asked_for() -> None:
    assert {entry.evidence for entry in paper_table(PaperPart(1, {}), "T", []).entries} == {""}
    assert "[V]" not in tables.text_of(paper_table(PaperPart(1, {}), "T", []), "markdown")
    with_it = paper_table(PaperPart(5, {"L_A": "b2u"}), "T", [], with_literature=True)
    assert [entry.noise for entry in with_it.entries][:2] == ["gaussian_sigma25", "gaussian_sigma25"]
    assert len(with_it.entries) == 8


def test_the_terminal_shows_the_same_numbers_published_above_measured() -> None:
    table = paper_table(PaperPart(1, {}), "T [1]", [cell("r2r", "gauss25", "kodak", 31.0, training="30 steps")])
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(tables.terminal(table))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    assert "T [1]" in lines[0]
    at = next(number for number, line in enumerate(lines) if "32.25/0.880" in line)
    assert lines[at].startswith("R2R")
    assert "31.00/0.850 -1.25 <" in lines[at + 1]
    assert any("(a) trained 30 steps." in line for line in lines)
    for row in grid(table)[1]:
        assert all(any(text in line for line in lines) for text in row[2:-1:3])
    assert sum(line == "Gaussian σ=25" for line in lines) == 1


def test_columns_are_checked_before_anything_is_computed() -> None:
    part = PaperPart(1, {})
    for name in ("kodak", "Kodak", "training"):
        check_columns(part, Layout(columns=[name]), ["kodak"])
    for name in ("set14", "seconds", "gauss25"):
        with pytest.raises(UserError, match=f"Unknown column of table 1 '{name}'.*Allowed: Kodak, kodak, training"):
            check_columns(part, Layout(columns=[name]), ["kodak"])
    check_columns(part, Layout(columns=["set14"]), ["a folder of one's own"])


def test_a_part_is_printed_as_that_part_and_the_rest_is_named() -> None:
    cells = [cell("b2u", "gauss25", "kodak", 31.0), cell("n2c", "poisson30", "kodak", 30.0)]
    part = measured_part(paper_table(PaperPart(1, {}), "T", cells))
    heads, rows = grid(part)
    assert [head for head in heads if "paper" in head] == ["Kodak paper"]
    assert [(row[0], row[1]) for row in rows] == [("Gaussian σ=25", "Blind2Unblind"), ("Poisson λ=30", "N2C")]
    assert part.left_out.startswith("Not measured, so left out: BSD300; Set14; Gaussian σ=25 (N2C, N2N, ")
    assert "Gaussian σ∈[5,50]; Poisson λ=30 (N2N" in part.left_out
    assert part.left_out in tables.text_of(part, "markdown").replace("\\", "")
    nothing = paper_table(PaperPart(1, {}), "T", [])
    assert measured_part(nothing) is nothing
    known = paper_table(PaperPart(1, {}), "T", cells, with_literature=True)
    kept = {(e.noise, e.evidence) for e in measured_part(known).entries}
    assert {noise for noise, _ in kept} == {"gaussian_sigma25", "poisson_lambda30"}
    assert ("gaussian_sigma25", "V") in kept
