"""Paired statistics: intervals that cover, tests that are corrected, and nothing compared across protocols."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from denoisebench.core.errors import UserError
from denoisebench.core.files import CannotWrite
from denoisebench.protocol.protocol import Protocol, Row
from denoisebench.reports import versus
from denoisebench.reports.cost import machine_notes
from denoisebench.reports.grid import plain_text
from denoisebench.reports.latex import latex
from denoisebench.reports.layout import Layout, grid_of
from denoisebench.reports.statistics import (
    Group,
    against,
    alike,
    clustered_interval,
    difference,
    groups_of,
    holm,
    paired_mean,
    signed_rank,
)
from denoisebench.reports.table import build_table
from denoisebench.reports.writers import markdown
from denoisebench.results.store import Store, StoredCell

Command = Callable[..., Any]


def cell(
    text: str,
    psnr: Sequence[Sequence[float]],
    *,
    seed: int | None = None,
    baseline: bool = False,
    written: str = "1",
    ssim: float = 0.8,
    machine: dict[str, Any] | None = None,
    told: Sequence[str] = (),
    **protocol: Any,
) -> StoredCell:
    """A cell with a row of values per image, one for each repeat."""
    settled = Protocol(
        protocol.pop("dataset", "kodak"), "hash", protocol.pop("noise", "gauss25"), "counter-0", **protocol
    )
    about = {
        "text": text, "label": text.partition("[")[0].upper(), "told": list(told), "baseline": baseline,
        "protocol": settled.fingerprint, "noise_title": "Gaussian σ=25", "dataset_title": "Kodak", "warnings": [],
        "training": "" if seed is None else "9 steps" + (f", seed {seed}" if seed else ""), "written": written,
        "machine": machine or {},
    }  # fmt: skip
    training = None if seed is None else {"recipe": {"seed": seed}}
    identity = {
        "method": text, "protocol": settled.described(), "training": training, "device": "cpu", "written": written,
    }  # fmt: skip
    rows = [Row(f"i{i}", k, v, ssim, 0.5, 0.1) for i, repeats in enumerate(psnr) for k, v in enumerate(repeats)]
    return StoredCell(identity, about, {(row.image, row.repeat): row for row in rows})


def only(cells: Sequence[StoredCell]) -> dict[str, Group]:
    (column,) = groups_of(cells).values()
    return {group.line.method: group for group in column}


# --- intervals ---


def coverage(clusters: Sequence[object], draw: Callable[[np.random.Generator], np.ndarray], tries: int = 500) -> float:
    """How often an interval holds the true mean, which is 0."""
    rng, held = np.random.default_rng(1), 0
    for _ in range(tries):
        interval = clustered_interval(draw(rng), clusters, resamples=499)
        assert interval is not None
        held += interval[0] <= 0 <= interval[1]
    return held / tries


def kodak(rng: np.random.Generator) -> np.ndarray:
    """24 images, 10 repeats of each: the images differ by far more than the repeats of one do."""
    return (rng.normal(0, 0.3, (24, 1)) + rng.normal(0, 0.05, (24, 10))).ravel()


def test_clustered_intervals_cover_and_naive_ones_do_not() -> None:
    images = np.repeat(np.arange(24), 10).tolist()
    assert coverage(images, kodak) == pytest.approx(0.95, abs=0.02)
    assert coverage(range(240), kodak, 100) < 0.6


def test_intervals_of_few_and_of_uneven_images_cover() -> None:
    sizes = [1, 1, 2, 3, 5, 8, 2, 4, 1, 6, 3, 2]
    images = np.repeat(np.arange(12), sizes).tolist()

    def draw(rng: np.random.Generator) -> np.ndarray:
        return np.repeat(rng.normal(0, 1, 12), sizes) + rng.normal(0, 0.1, sum(sizes))

    assert coverage(images, draw) > 0.92


def test_trainings_are_a_second_level() -> None:
    """Three trainings that differ by more than the images do: intervals of images alone miss the truth."""
    rng, held, blind, tries = np.random.default_rng(2), 0, 0, 250
    images = [str(image) for image in range(24)]
    for _ in range(tries):
        trained = rng.normal(0, 0.2, (3, 1)) + rng.normal(0, 0.2, (1, 24)) + rng.normal(0, 0.02, (3, 24))
        mean, interval = paired_mean(trained, np.zeros((1, 24)), images, together=False)
        assert interval is not None
        assert mean == pytest.approx(trained.mean())
        held += interval[0] <= 0 <= interval[1]
        alone = clustered_interval(trained.mean(axis=0), images, resamples=499)
        assert alone is not None
        blind += alone[0] <= 0 <= alone[1]
    assert held / tries > 0.93
    assert blind / tries < 0.7


def test_an_interval_is_known_where_it_can_be_computed_by_hand() -> None:
    assert clustered_interval([1.0, 1.0, 1.0], ["a", "b", "c"]) == (1.0, 1.0)
    assert clustered_interval([1.0, 2.0], ["a", "a"]) is None, "a single image has no interval"
    from scipy.stats import t

    values = np.random.default_rng(0).normal(3, 1, 40)
    low, high = clustered_interval(values, range(40)) or (0, 0)
    half = t.ppf(0.975, 39) * values.std(ddof=1) / np.sqrt(40)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)


def test_the_same_rows_give_the_same_interval() -> None:
    assert clustered_interval([1.0, 2.0, 4.0], "abc") == clustered_interval([1.0, 2.0, 4.0], "abc")


# --- tests ---


def test_holm_multiplies_by_what_is_left() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_signed_rank_leaves_out_what_is_equal() -> None:
    assert signed_rank(np.zeros(5)) == 1.0
    assert signed_rank(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.0])) == pytest.approx(2 / 2**6)


# --- pairs ---


def test_a_difference_is_of_the_same_noisy_images() -> None:
    groups = only([cell("a", [[31.0, 33.0], [30.0, 30.0]]), cell("b", [[30.0, 30.0], [31.0], [99.0]])])
    found = difference(groups["a"], groups["b"])
    assert found is not None
    assert (found.rows, found.images, found.missing) == (3, 2, 2)
    assert found.psnr == pytest.approx((1 + 3 - 1) / 3)
    assert found.won == 0.5


def test_an_equal_image_is_half_won() -> None:
    groups = only([cell("a", [[31.0], [30.0], [30.0], [29.0]]), cell("b", [[30.0], [30.0], [30.0], [30.0]])])
    found = difference(groups["a"], groups["b"])
    assert found is not None
    assert found.won == 0.5
    groups = only([cell("a", [[31.0], [30.0]]), cell("b", [[30.0], [30.0]])])
    found = difference(groups["a"], groups["b"])
    assert found is not None
    assert found.won == 0.75


def test_perfect_images_are_left_out_and_counted() -> None:
    groups = only([cell("a", [[np.inf], [31.0], [32.0]]), cell("b", [[30.0], [30.0], [30.0]])])
    found = difference(groups["a"], groups["b"])
    assert found is not None
    assert (found.psnr, found.left_out) == (1.5, 1)
    none = only([cell("a", [[np.inf]]), cell("b", [[30.0]])])
    grid = versus.grids(against(groups_of([*none["a"].cells, *none["b"].cells]), [], "b"), {none["a"].column: []})
    (block,) = grid[0].blocks
    assert [plain_text(text) for text in block.rows[0].cells[:3]] == ["A", "none", ""]


def test_trainings_of_the_same_seeds_are_pairs() -> None:
    levels = {"a": 31.0, "b": 30.0}
    shared = [
        cell(text, [[level + 5 * seed], [level + 5 * seed + 0.1]], seed=seed)
        for text, level in levels.items()
        for seed in (0, 1, 2)
    ]
    groups = only(shared)
    found = difference(groups["a"], groups["b"])
    assert found is not None
    assert found.psnr == pytest.approx(1.0)
    assert found.psnr_interval == pytest.approx((1.0, 1.0)), "5 dB from seed to seed are in both"
    other = only([*shared[:3], cell("b", [[30.0], [30.1]])])
    unpaired = difference(other["a"], other["b"])
    assert unpaired is not None
    assert unpaired.psnr_interval is not None
    assert unpaired.psnr_interval[0] < 0


def test_other_protocols_are_never_compared() -> None:
    cells = [cell("a", [[30.0], [31.0]]), cell("b", [[40.0], [41.0]], padding="square")]
    with pytest.raises(UserError, match="nothing to compare"):
        against(groups_of(cells), ["a"], "b")
    with pytest.raises(UserError, match="nothing to compare 'b' with: name another method"):
        against(groups_of(cells), ["b"], "b")
    one, other = (column[0] for column in groups_of(cells).values())
    with pytest.raises(ValueError, match="not comparable"):
        difference(one, other)


def test_a_wrong_name_is_answered_with_the_right_ones() -> None:
    with pytest.raises(UserError, match="Did you mean 'b2u'"):
        against(groups_of([cell("b2u", [[1.0]]), cell("a", [[1.0]])]), [], "b2v")


def test_what_cannot_be_told_apart_is_grouped() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(30, 2, 24)
    levels = {"best": 1.0, "twin": 1.0, "last": -1.0}
    cells = [cell(name, [[v] for v in base + shift + rng.normal(0, 0.1, 24)]) for name, shift in levels.items()]
    (column,) = groups_of(cells).values()
    assert [{group.line.method for group in run} for run in alike(column)] == [{"best", "twin"}]
    text = markdown(versus.grids(against(groups_of(cells), [], "best"), groups_of(cells))[0])
    assert "No detectable difference where every pair is compared: " in text
    assert "| yes" in text
    assert "| no " in text


def test_pairs_are_not_compared_where_there_are_thousands(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    cells = [cell(name, [[value] for value in rng.normal(30, 1, 8)]) for name in "abcd"]
    found = against(groups_of(cells), [], "a")
    every = "No detectable difference where every pair is compared"
    assert every in markdown(versus.grids(found, groups_of(cells))[0])
    monkeypatch.setattr(versus, "_MOST_PAIRS", 5)
    text = markdown(versus.grids(found, groups_of(cells))[0])
    assert every not in text
    assert "Other pairs are not compared, because there are so many here; name fewer methods or columns." in text


def test_few_images_detect_nothing_and_say_so() -> None:
    cells = [cell("a", [[31.0], [32.0]]), cell("b", [[30.0], [30.5]])]
    grid = versus.grids(against(groups_of(cells), [], "b"), groups_of(cells))[0]
    assert plain_text(grid.blocks[0].rows[0].cells[-1]) == "no"
    assert any("6 are needed" in plain_text(note) for note in grid.notes)


# --- printing ---


def test_names_are_escaped_in_every_format() -> None:
    cells = [cell("=a_<b>&|", [[31.0], [32.0]]), cell("b", [[30.0], [30.5]])]
    found = against(groups_of(cells), [], "b")
    grid = versus.grids(found, groups_of(cells))[0]
    assert r"=A\_&lt;B&gt;&amp;\|" in markdown(grid)
    assert r"=A\_$<$B$>$\&" in latex(grid)
    assert "'=a_<b>&|" in versus.csv_text(found)


def test_one_row_that_only_one_method_has_is_a_row() -> None:
    cells = [cell("a", [[31.0], [32.0]]), cell("b", [[30.0]])]
    grid = versus.grids(against(groups_of(cells), [], "b"), groups_of(cells))[0]
    assert "A: 1 row left out, which only one of the two has." in markdown(grid)


def test_the_machine_of_the_seconds_is_named() -> None:
    fast, slow = {"processor": "X9", "cores": 8}, {"processor": "Y1", "cores": 2, "threads": 1}
    assert machine_notes([cell("a", [[1.0]])]) == []
    assert machine_notes([cell("a", [[1.0]], machine=fast), cell("b", [[1.0]], machine=fast)]) == [
        "s/image: seconds of denoising per image on X9 (8 cores), on cpu."
    ]
    (note,) = machine_notes([cell("a", [[1.0]], machine=fast), cell("b", [[1.0]], machine=slow)])
    assert "a on X9 (8 cores), on cpu; b on Y1 (2 cores, 1 thread), on cpu" in note
    table = build_table([cell("a", [[1.0]], machine=fast)])
    assert "seconds of denoising" in markdown(grid_of(table, Layout(columns=["seconds"])))
    assert "seconds of denoising" not in markdown(grid_of(table, Layout(columns=["training"])))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    store = Store(folder)
    for made in (cell("a", [[31.0], [32.0], [33.0]]), cell("b", [[30.0], [31.5], [32.0]], told=["nothing"])):
        store.write(made)
    return folder


def test_the_command_compares_and_refuses_in_a_sentence(command: Command, results: Path, tmp_path: Path) -> None:
    ran = command("compare", results, "b", "a")
    assert (ran.code, ran.err) == (0, "")
    assert "| A " in ran.out
    assert "+0.83" in ran.out
    assert command("compare", results, "--reference", "b", "--format", "csv").out.startswith("noise,dataset,protocol")
    for arguments, words in (
        (["a"], "Name two methods"),
        (["a", "nope"], "Unknown method of this run 'nope'"),
        (["a", "b", "--format", "word"], "Allowed: csv, html, latex, markdown, md, tex, typst"),
        (["a", "b", "--noise", "gauss50"], "Unknown noise of this run"),
    ):
        ran = command("compare", results, *arguments)
        assert (ran.code, ran.out) == (2, "")
        assert words in ran.err
        assert ran.err.count("\n") == 1
    Store(tmp_path / "empty")
    assert command("compare", tmp_path / "empty", "a", "b").code == 2
    (results / "cells" / "ab.json").write_text("{", encoding="utf-8")
    for more in (("compare", results, "a", "nope"), ("report", results, "--methods", "nope")):
        ran = command(*more)
        assert ran.code == 2
        assert "Unknown method of this" in ran.err
        assert "ab.json is damaged" in ran.err, "it may be the one that was meant"


def test_a_report_adds_differences(command: Command, results: Path) -> None:
    ran = command("report", results, "--versus", "b")
    assert ran.code == 0
    assert "minus B" in ran.out
    assert command("report", results, "--versus", "c").code == 2
    refused = command("report", results, "--versus", "b", "--format", "csv")
    assert refused.code == 2
    assert f"compare {results} --reference b --format csv" in refused.err.replace("\n", " ")


def test_differences_are_printed_before_files_are_written(
    command: Command, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path, *_: Any) -> list[str]:
        raise CannotWrite(f"{folder} is read-only")

    monkeypatch.setattr("denoisebench.core.ownfiles.write_own", refuse)
    ran = command("report", results, "--versus", "b", "--table", "1")
    assert (ran.code, "minus B" in ran.out, "is read-only" in ran.err) == (2, True, True)
