"""Tables: what is averaged, what is marked, and that every format shows the same numbers."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from denoisebench.data.dataset import FolderSet
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import Need
from denoisebench.plugins.registry import DATASETS
from denoisebench.protocol.protocol import Protocol, Row
from denoisebench.reports.files import outdated, write_reports
from denoisebench.reports.layout import Layout
from denoisebench.reports.paper.published import Key, beside, published, published_folder
from denoisebench.reports.ranking import OF_ONE_IMAGE, RULE, told_apart
from denoisebench.reports.render import SCORE_COLUMNS, latex, markdown, scores_csv, terminal, terminal_beside
from denoisebench.reports.table import Table, build_table
from denoisebench.results.store import Store, StoredCell
from denoisebench.results.summary import FLAGS, Score, current, flag_notes


def cell(
    text: str,
    psnr: float | Sequence[float] = 30.0,
    ssim: float = 0.8,
    *,
    told: Sequence[Need] = (),
    baseline: bool = False,
    training: str = "",
    noise: str = "gauss25",
    dataset: str = "kodak",
    title: str = "",
    written: str = "2025-01-01T00:00:00Z",
    warnings: Sequence[str] = (),
    code: str = "1",
    settings: Mapping[str, Any] | None = None,
    **protocol: Any,
) -> StoredCell:
    values = [psnr] if isinstance(psnr, float | int) else list(psnr)
    rows = [Row(f"im{index}", 0, value, ssim, 0.5, 0.1) for index, value in enumerate(values)]
    registered = DATASETS.get(dataset) if dataset in DATASETS.names() else None
    images = registered([]).data_hash if registered and issubclass(registered, FolderSet) else "hash"
    data_hash = protocol.pop("data_hash", images)
    settled = Protocol(dataset, data_hash, noise, protocol.pop("draws", "counter-0"), **protocol)
    about: dict[str, Any] = {
        "text": text,
        "label": text.partition("[")[0].upper(),
        "told": [need.value for need in told],
        "baseline": baseline,
        "protocol": settled.fingerprint,
        "noise_title": f"Gaussian σ={noise[5:]}",
        "dataset_title": title or dataset.capitalize(),
        "dataset_class": f"{registered.__module__}.{registered.__qualname__}" if registered else "own",
        "training": training,
        "warnings": list(warnings),
        "written": written,
    }
    identity = {
        "method": text.partition("[")[0],
        "settings": settings or {},
        "protocol": settled.described(),
        "code": f"{code} {text}",
    }
    return StoredCell(identity, about, {(row.image, row.repeat): row for row in rows})


def marks(table: Table, what: str) -> dict[str, str]:
    return {line.method: getattr(score, f"{what}_mark") for (line, _), score in table.scores.items()}


def grid(text: str) -> list[list[str]]:
    """The cells of a Markdown table."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[part.strip() for part in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines if "---" not in line]


# --- ranking ---


def test_best_and_second_are_marked_among_methods_that_saw_no_clean_and_no_second_image() -> None:
    table = build_table(
        [
            cell("identity", 20.0, 0.3, baseline=True),
            cell("n2c", 50.0, 0.98, told=[Need.CLEAN]),
            cell("n2n", 40.0, 0.97, told=[Need.SECOND]),
            cell("a", 30.0, 0.7),
            cell("b", 32.0, 0.6, told=[Need.FAMILY, Need.LEVEL]),
            cell("c", 31.0, 0.8),
        ]
    )
    assert marks(table, "psnr") == {"identity": "", "n2c": "", "n2n": "", "a": "", "b": "best", "c": "second"}
    assert marks(table, "ssim") == {"identity": "", "n2c": "", "n2n": "", "a": "second", "b": "", "c": "best"}


def test_no_place_is_marked_that_images_cannot_tell_from_a_lower_one() -> None:
    first, low = [30.0, 31.0, 32.0, 33.0], [20.0, 21.0, 22.0, 23.0]
    # Better by 0.1 dB in the mean: on three of four images by 0.4, on one worse by 0.8.
    unsure = [29.6, 30.6, 31.6, 33.8]
    table = build_table([cell("a", first), cell("b", unsure), cell("c", low)])
    assert marks(table, "psnr") == {"a": "", "b": "", "c": ""}
    table = build_table([cell("top", [value + 1 for value in first]), cell("a", first), cell("b", unsure)])
    assert marks(table, "psnr") == {"top": "best", "a": "", "b": ""}
    sure = [value - 0.1 for value in first]
    table = build_table([cell("a", first), cell("b", sure), cell("c", low)])
    assert marks(table, "psnr") == {"a": "best", "b": "second", "c": ""}, "what is sure on every image is an order"


def test_a_best_mark_must_hold_against_every_lower_line() -> None:
    wild = [40.0, 20.0, 38.0, 18.0]
    table = build_table([cell("a", [30.0, 31.0, 32.0, 33.0]), cell("b", [29.9, 30.9, 31.9, 32.9]), cell("c", wild)])
    assert marks(table, "psnr") == {"a": "", "b": "", "c": ""}


def test_networks_of_different_trainings_have_no_order() -> None:
    long, short = "7000 steps, 4x64², own", "300 steps, 1x64², own"
    cells = [cell("a", 32.0, training=long), cell("b", 31.0, training=short), cell("bm3d", 30.0), cell("c", 29.0)]
    assert marks(build_table(cells), "psnr") == {"a": "", "b": "", "bm3d": "", "c": ""}
    cells[1] = cell("b", 31.0, training=f"{long} (shipped)")
    assert marks(build_table(cells), "psnr") == {"a": "best", "b": "second", "bm3d": "", "c": ""}
    fitted = cell("zsn2n", 31.0, training="2000 steps per image")
    fitted.identity["training"] = {"fit": {}}
    cells[1] = StoredCell(fitted.identity, fitted.about, fitted.rows)
    assert marks(build_table(cells), "psnr")["a"] == "best", "a fit to each image has a budget of its own kind"


@pytest.mark.parametrize(("mean", "mark"), [(0.30, ""), (0.34, "best")])
def test_a_place_takes_the_interval_of_students_t(mean: float, mark: str) -> None:
    """Of four differences with a standard deviation of 0.2 dB: 3.182 0.2 / 2 = 0.318 dB to each side."""
    step = 0.2 * (3 / 4) ** 0.5
    first = [30.0, 31.0, 32.0, 33.0]
    other = [value - mean + way * step for value, way in zip(first, (-1, -1, 1, 1), strict=True)]
    assert marks(build_table([cell("a", first), cell("b", other)]), "psnr")["a"] == mark


def test_trainings_that_overlap_have_no_order() -> None:
    def seeds(text: str, *levels: float, first: int = 0) -> list[StoredCell]:
        made = [cell(text, [level, level + 2]) for level in levels]
        return [
            StoredCell({**one.identity, "training": {"recipe": {"seed": first + seed}}}, one.about, one.rows)
            for seed, one in enumerate(made)
        ]

    apart = build_table(seeds("a", 30.0, 30.1, 30.2) + seeds("b", 28.0, 28.1, 28.2, first=5))
    assert marks(apart, "psnr") == {"a": "best", "b": "second"}
    overlap = build_table(seeds("a", 30.0, 30.5, 31.0) + seeds("b", 29.8, 30.3, 30.9, first=5))
    assert marks(overlap, "psnr") == {"a": "", "b": ""}
    # Trainings of one seed share their noise and their crops, so they are paired.
    paired = build_table(seeds("a", 30.0, 30.5, 31.0) + seeds("b", 29.8, 30.3, 30.79))
    assert marks(paired, "psnr") == {"a": "best", "b": "second"}


def test_repeats_of_one_image_are_one_image_and_no_common_image_is_no_order() -> None:
    a, b = cell("a", [30.0, 30.0]), cell("b", [29.0, 29.5])
    for one in (a, b):
        one.rows = {("im0", draw): row for draw, row in enumerate(one.rows.values())}
    assert told_apart([a], [b], "psnr"), "one image has no interval"
    c = cell("c", [29.0])
    c.rows = {("other", 0): next(iter(c.rows.values()))}
    assert not told_apart([a], [c], "psnr")


def test_marks_of_a_single_image_are_said_to_have_no_interval() -> None:
    alone = markdown(build_table([cell("a", 31.0), cell("b", 30.0)]))
    assert f"{RULE}{OF_ONE_IMAGE}." in alone
    for several in ([cell("a", [31.0, 31.1]), cell("b", [30.0, 30.2])], [cell("a", 31.0)]):
        assert f"{RULE}." in markdown(build_table(several))


def test_ssim_is_ranked_with_three_digits_and_psnr_with_two() -> None:
    table = build_table([cell("a", 30.004, 0.8011), cell("b", 30.001, 0.8024), cell("c", 29.99, 0.7966)])
    assert marks(table, "ssim") == {"a": "second", "b": "best", "c": ""}
    assert marks(table, "psnr") == {"a": "best", "b": "best", "c": "second"}


def test_trainings_are_averaged_over_the_images_that_all_of_them_have() -> None:
    made = []
    for seed, values in enumerate(([30.0, 32.0, 31.0], [40.0])):  # the second was stopped after an image
        one = cell("n2v", values, 0.5 + 0.4 * seed)
        made.append(StoredCell({**one.identity, "training": {"recipe": {"seed": seed}}}, one.about, one.rows))
    (score,) = build_table(made).scores.values()
    assert score.psnr == pytest.approx(35.0)
    assert score.ssim == pytest.approx(0.7)
    assert score.spread == pytest.approx(10 / 2**0.5), "of trainings, and not of images"
    assert (score.rows, score.trainings, score.flag) == (1, 2, "fewer")


def test_what_looks_equal_is_ranked_equal() -> None:
    table = build_table([cell("a", 30.001), cell("b", 29.996), cell("c", 29.0), cell("d", 28.0)])
    assert marks(table, "psnr") == {"a": "best", "b": "best", "c": "second", "d": ""}
    assert marks(table, "ssim") == {"a": "best", "b": "best", "c": "best", "d": "best"}


def test_a_single_competitor_is_not_called_best() -> None:
    table = build_table([cell("identity", baseline=True), cell("a"), cell("n2c", told=[Need.CLEAN])])
    assert set(marks(table, "psnr").values()) == {""}


def test_each_column_is_ranked_for_itself() -> None:
    cells = [cell("a", 30.0), cell("b", 29.0), cell("a", 25.0, noise="gauss50"), cell("b", 26.0, noise="gauss50")]
    table = build_table(cells)
    best = {(line.method, column.noise) for (line, column), s in table.scores.items() if s.psnr_mark == "best"}
    assert best == {("a", "gauss25"), ("b", "gauss50")}


def test_infinity_is_best_and_printed() -> None:
    table = build_table([cell("a", float("inf")), cell("b", 30.0)])
    assert marks(table, "psnr") == {"a": "best", "b": "second"}
    assert "**inf**" in markdown(table)


def test_images_that_equal_their_reference_are_in_no_mean() -> None:
    inf = float("inf")
    table = build_table([cell("a", [inf, 30.0, 32.0]), cell("b", [inf, 29.0, 31.0])])
    assert sorted(score.psnr for score in table.scores.values()) == [30.0, 31.0]
    assert marks(table, "psnr") == {"a": "best", "b": "second"}, "the same image is left out of both"
    text = markdown(table)
    assert "inf/" not in text
    for name in "ab":
        assert f"{name.upper()} on " in text or f"{name} on " in text
    assert text.count("1 of 3 scored images equal their reference; their PSNR is infinite and not in the mean.") == 2


def test_means_over_different_images_are_not_ranked() -> None:
    table = build_table([cell("a", [float("inf"), 20.0]), cell("b", [60.0, 20.0], ssim=0.5)])
    assert set(marks(table, "psnr").values()) == {""}, "a lost its best image from its mean"
    assert marks(table, "ssim")["a"] == "best"
    assert any("such lines are not ranked by it" in note for note in table.notes)


def test_a_spread_is_over_the_same_images_of_every_training() -> None:
    def seed(number: int, psnr: list[float]) -> StoredCell:
        made = cell("n2c", psnr)
        made.identity["training"] = {"recipe": {"seed": number}}
        return StoredCell(dict(made.identity), made.about, made.rows)

    table = build_table([seed(0, [float("inf"), 30.0]), seed(1, [70.0, 31.0])])
    (score,) = table.scores.values()
    assert (score.psnr, score.trainings, len(score.perfect)) == (30.5, 2, 1)
    assert score.spread == pytest.approx(0.7071, abs=1e-4)
    (only,) = build_table([seed(0, [float("inf")]), seed(1, [float("inf")])]).scores.values()
    assert (only.psnr, only.spread) == (float("inf"), 0.0)
    assert any("as none is left, it is infinite" in note for note in build_table([cell("a", float("inf"))]).notes)


# --- what is averaged ---


def test_a_score_is_the_mean_over_rows_not_over_pixels() -> None:
    table = build_table([cell("a", [30.0, 33.0, 36.0])])
    (score,) = table.scores.values()
    assert (score.psnr, score.rows) == (33.0, 3)
    assert "mean of 3 scored images" in table.notes[0]


@pytest.mark.parametrize(
    "change", [{"draws": "counter-1"}, {"padding": "square"}, {"rounding": "none"}, {"metrics": "other"}]
)
def test_rows_of_different_protocols_are_never_averaged(change: dict[str, Any]) -> None:
    table = build_table([cell("a", 30.0), cell("a", 34.0, **change)])
    assert len(table.columns) == 2
    assert sorted(score.psnr for score in table.scores.values()) == [30.0, 34.0]
    assert len(set(table.titles.values())) == 2
    assert all(column.protocol in table.titles[column] for column in table.columns)


def test_titles_stay_short_where_they_are_unambiguous() -> None:
    table = build_table([cell("a"), cell("a", noise="gauss50")])
    assert list(table.titles.values()) == ["Kodak, Gaussian σ=25", "Kodak, Gaussian σ=50"]


def test_lines_are_told_apart_by_settings_and_training() -> None:
    cells = [cell("a"), cell("a[x=1]"), cell("a", training="2 steps"), cell("a", training="3 steps")]
    assert len(build_table(cells).lines) == 4
    assert [row[0] for row in grid(markdown(build_table(cells)))] == ["Method", "A", "A [x=1]", "A", "A"]
    assert [row[2] for row in grid(markdown(build_table(cells)))[1:]] == ["none", "none", "2 steps", "3 steps"]


def test_older_results_of_a_line_are_left_out_with_a_note() -> None:
    old, new = cell("a", 20.0, code="1"), cell("a", 30.0, code="2", written="2025-06-01T00:00:00Z")
    for cells in ([old, new], [new, old]):
        table = build_table(cells)
        assert [score.psnr for score in table.scores.values()] == [30.0]
        assert table.notes[-1] == "1 older result of the same line, which differs in code, is left out."
        assert current(cells) == ([new], 1)
    assert not any("older" in note for note in build_table([new]).notes)


def test_a_folder_that_became_a_set_with_a_file_of_its_own_is_no_other_code(stored_cell: Any) -> None:
    was, now, third = stored_cell("a", [20.0]), stored_cell("a", [21.0]), stored_cell("b", [22.0])
    now.identity["code"] = {"plugin": "abc", "data": "def"}
    now.about["written"] += "1"
    table = build_table([was, now, third])
    assert table.notes[-1] == "1 older result of the same line, which differs in the file of the data set, is left out."
    now.identity["versions"] = {"numpy": "10"}
    (both,) = (note for note in build_table([was, now, third]).notes if "older" in note)
    assert "differs in the file of the data set and versions of libraries, is left out." in both


def test_the_baseline_comes_first_and_the_rest_in_order() -> None:
    table = build_table([cell("b"), cell("a"), cell("identity", baseline=True)])
    assert [line.method for line in table.lines] == ["identity", "b", "a"]


def test_a_missing_result_is_an_empty_place() -> None:
    table = build_table([cell("a"), cell("b"), cell("a", noise="gauss50")])
    rows = grid(markdown(table))
    assert rows[2][4] == ""
    assert rows[1][4] != ""


def test_a_mean_of_fewer_images_says_so_and_is_compared_on_what_both_lines_have() -> None:
    # Beside "easy", whose third image is an easy one, "good" has the lower mean, and is better on each that both have.
    cells = [cell("easy", [30.0, 30.1, 40.0]), cell("good", [31.0, 31.1]), cell("worse", [29.0, 29.1, 39.0])]
    table = build_table(cells)
    scores = {line.method: score for (line, _), score in table.scores.items()}
    assert scores["easy"].psnr > scores["good"].psnr == pytest.approx(31.05)
    assert {name: (score.psnr_mark, score.flag) for name, score in scores.items()} == {
        "easy": ("second", ""),
        "good": ("best", "fewer"),
        "worse": ("", ""),
    }
    (note,) = [text for text in table.notes if "¶" in text]
    assert note == "¶ good on Kodak, Gaussian σ=25: " + FLAGS["fewer"][1] + "."
    assert "**31.05**/**0.800**¶" in markdown(table)
    assert r"$^\P$" in latex(table)


def test_what_a_stopped_line_has_does_not_turn_the_order_of_complete_ones() -> None:
    # On the first two images "a" lies above "b", and on all of them well below it.
    complete = [cell("a", [31.0, 31.1, *[29.0] * 22]), cell("b", [30.0, 30.2, *[30.5] * 22])]
    assert marks(build_table(complete), "psnr") == {"a": "second", "b": "best"}
    low = build_table([*complete, cell("c", [10.0, 10.1])])
    assert marks(low, "psnr") == {"a": "second", "b": "best", "c": ""}


def test_one_image_of_several_marks_nothing() -> None:
    complete = [cell("a", [30.0] * 24), cell("b", [29.0] * 24)]
    for stopped in (40.0, 29.5, 10.0):
        assert set(marks(build_table([*complete, cell("c", stopped)]), "psnr").values()) == {""}


def test_as_many_other_images_are_images_that_lack() -> None:
    one, other = cell("a", [30.0, 31.0, 32.0]), cell("b", [29.0, 30.0, 31.0])
    del one.rows["im1", 0], other.rows["im2", 0]
    assert {score.flag for score in build_table([one, other]).scores.values()} == {"fewer"}


def test_a_line_that_is_not_shown_still_tells_that_images_lack() -> None:
    cells = [cell("identity", [20.0, 20.0, 20.0], baseline=True), cell("a", [30.0, 31.0])]
    (score,) = build_table(cells, methods=["a"]).scores.values()
    assert score.flag == "fewer"


def test_levels_are_told_of_each_number_of_images() -> None:
    table = build_table([cell("a", [30.0, 31.0], noise="gauss5_50"), cell("b", noise="gauss5_50")])
    assert [text for text in table.notes if "levels drawn" in text or "level drawn" in text] == [
        "Kodak, Gaussian σ=5_50 (A): 2 levels drawn, their mean 25.5, that of the range 27.5.",
        "Kodak, Gaussian σ=5_50 (B): 1 level drawn, its mean 25.5, that of the range 27.5.",
    ]


def test_notes_warn_of_unequal_numbers_and_of_trouble() -> None:
    table = build_table([cell("a", [30.0, 31.0]), cell("b", 30.0, warnings=["it parted"])], ["Skipped: x."])
    assert "mean of 1 to 2 scored images" in table.notes[0]
    assert "mean of 1 scored image; " in build_table([cell("a", 30.0)]).notes[0]
    assert "WARNING: b: it parted." in table.notes
    assert table.notes[-1] == "Skipped: x."
    alike = [cell("a", warnings=["it parted"]), cell("b", warnings=["late", "it parted"])]
    warned = [note for note in build_table(alike).notes if note.startswith("WARNING")]
    assert warned == ["WARNING: a, b: it parted.", "WARNING: b: late."]


def test_the_table_says_what_each_method_was_told() -> None:
    table = build_table([cell("a"), cell("b", told=[Need.FAMILY, Need.LEVEL])])
    assert [row[1] for row in grid(markdown(table))] == ["Told", "nothing", "noise model, noise level"]


def test_seconds_are_the_mean_over_all_rows_of_a_line() -> None:
    table = build_table([cell("a", [30.0, 31.0]), cell("a", noise="gauss50")])
    assert list(table.seconds.values()) == [0.5]


def test_a_score_of_other_defaults_is_called_stale() -> None:
    old = cell("b2u[eta=0]", settings={"stride": 2, "eta": 0, "lambda_f": 20, "gone": 1})
    old.about["changed"] = {"eta": 0}
    text = "B2U [eta=0]: run with stride=2, which were the defaults then; today they are stride=4"
    assert [note for note in build_table([old]).notes if note.startswith("STALE")] == [f"STALE: {text}"]
    new = cell("b2u[stride=2]", settings={"stride": 2, "eta": 1.0})
    new.about["changed"] = {"stride": 2}
    assert not [note for note in build_table([new, cell("mine")]).notes if note.startswith("STALE")]


# --- formats ---

NASTY = r"50%_of & #1 {x} $y^2~ \z | [v]"


def nasty() -> Table:
    return build_table(
        [
            cell("a[mode=x_1,p=50]", 30.0, training="1 step, 1x32², a&b", title=NASTY),
            cell("b", 31.5, title=NASTY, warnings=[NASTY + " [/b] [bold]"]),
            cell("n2c", 33.0, told=[Need.CLEAN], title=NASTY),
            cell("b", 30.0, noise="gauss50", title="Plain"),
        ],
        ["FAILED: x: KeyError: [/tmp/y] (traceback in [/z])."],
    )


def test_markdown_marks_and_escapes() -> None:
    text = markdown(nasty())
    rows = grid(text.partition("\n**Beside the paper")[0])
    assert {len(row) for row in rows} == {6}
    assert html.unescape(re.sub(r"\\(.)", r"\1", rows[0][3])) == f"{NASTY}, Gaussian σ=25"
    assert rows[1][3] == "<u>30.00</u>/**0.800**"
    assert rows[2][3] == "**31.50**/**0.800**"
    assert rows[3][3] == "33.00/0.800"
    assert text.endswith("\n")
    assert f"**Best** and <u>second</u> {RULE}{OF_ONE_IMAGE}." in text


def test_latex_is_well_formed() -> None:
    text = latex(nasty())
    code = [re.sub(r"(?<!\\)%.*", "", line) for line in text.splitlines()]
    bare = re.sub(r"\\[\\{}&%#_$]", "", "\n".join(code))
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert bare.count("$") % 2 == 0
    for begun in ("table", "tabular"):
        assert text.count(rf"\begin{{{begun}}}") == text.count(rf"\end{{{begun}}}") > 0
    outside = re.sub(r"\$[^$]*\$", "", bare)
    assert not set("^~#_|σλ∈×²") & set(outside.replace("|", "").replace(r"\^{}", "").replace(r"\~{}", ""))
    assert r"\textbf{31.50}/\textbf{0.800}" in text
    assert r"\underline{30.00}" in text


def test_latex_has_what_a_reader_needs_below_the_table_and_the_rest_in_comments() -> None:
    before, _, after = latex(below()).partition(r"\begin{tabular}")
    assert "% Kodak, Gaussian σ=25: mean of 2 scored images" in before
    assert r"$^\dagger$ worse on Kodak, Gaussian $\sigma$=25: below the noisy input" in after
    assert r"\textsuperscript{a} told noise model." in after
    assert "mean of 2 scored images" not in after


def test_the_terminal_shows_brackets_as_they_are() -> None:
    console = Console(width=240, record=True, file=io.StringIO())
    console.print(terminal(nasty()))
    shown = console.export_text()
    for text in ("A [mode=x_1,p=50]", "[v]", "KeyError: [/tmp/y]", "31.50/0.800", "[bold]"):
        assert text in shown


def test_scores_hold_one_line_per_row_with_enough_digits() -> None:
    cells = [cell("a[x=1,y=2]", [30.123456, float("inf")], told=[Need.FAMILY, Need.LEVEL]), cell("b", 20.0)]
    rows = list(csv.DictReader(io.StringIO(scores_csv(cells))))
    assert list(rows[0]) == list(SCORE_COLUMNS)
    assert [(row["method"], row["image"]) for row in rows] == [
        ("a[x=1,y=2]", "im0"),
        ("a[x=1,y=2]", "im1"),
        ("b", "im0"),
    ]
    assert [float(row["psnr"]) for row in rows] == [30.123456, float("inf"), 20.0]
    assert rows[0]["told"] == "noise model; noise level"
    assert rows[0]["cell"] == cells[0].key
    assert {row["noise"] for row in rows} == {"gauss25"}


def test_methods_of_one_printed_name_are_named_and_a_label_mends_it() -> None:
    mine, shipped = cell("mine"), cell("nlm")
    mine.about["label"] = "NLM"
    table = build_table([mine, shipped, cell("nlm[x=1]")])
    (said,) = [line for line in markdown(table).splitlines() if "same name" in line]
    assert said == "- WARNING: mine and nlm have the same name in print, NLM; --label mine=NAME tells them apart."
    assert "same name" not in markdown(table, Layout(labels={"mine": "Ours"}))
    assert "same name" not in markdown(build_table([cell("a", training="1 step"), cell("a", training="2 steps")]))


def test_a_column_that_is_named_twice_is_there_once() -> None:
    head = grid(markdown(build_table([cell("a")]), Layout(columns=["seconds", "told", "seconds"])))[0]
    assert head == ["Method", "Told", "Kodak, Gaussian σ=25", "s/image"]


# --- files ---


def test_the_files_show_everything_in_the_folder_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for stored in (cell("a", 20.0, code="0", written="2024-01-01T00:00:00Z"), cell("a"), cell("b", noise="gauss50")):
        store.write(stored)
    table, said = write_reports(store)
    assert said == []
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == markdown(table)
    assert (tmp_path / "table.tex").read_text(encoding="utf-8") == latex(table)
    with (tmp_path / "scores.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert sorted((row["method"], row["psnr"]) for row in rows) == [("a", "30.000000"), ("b", "30.000000")]


def test_reports_are_outdated_as_soon_as_a_cell_is_newer(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(cell("a"))
    assert outdated(store)
    write_reports(store)
    assert not outdated(store)
    store.write(cell("b"))
    assert outdated(store)
    write_reports(store)
    (tmp_path / "table.tex").unlink()
    assert outdated(store)


def test_scores_of_a_damaged_cell_stay_in_a_file_that_no_report_replaces(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for stored in (cell("a", 20.0), cell("b", 25.0)):
        store.write(stored)
    write_reports(store)
    before = (tmp_path / "scores.csv").read_bytes()
    path = store.cells / f"{cell('a').key}.json"
    path.write_bytes(path.read_bytes()[:100])
    said = write_reports(store)[1]
    what = "the scores of 1 result whose file is damaged or gone"
    assert said == [f"{tmp_path / 'scores.csv'} has {what}; it is now scores.kept-1.csv."]
    assert (tmp_path / "scores.kept-1.csv").read_bytes() == before
    assert "a," not in (tmp_path / "scores.csv").read_text(encoding="utf-8")
    assert write_reports(store)[1] == [], "what is kept once is not kept again"
    path.unlink()
    (store.cells / "copy.json").write_text("no cell", encoding="utf-8")
    assert write_reports(store)[1] == [], "a damaged file that no listed score is from costs nothing"


# --- beside the paper ---


@pytest.mark.parametrize(
    ("key", "psnr", "ssim"),
    [
        (Key("b2u", "gauss25", "kodak"), 32.27, 0.880),
        (Key("bm3d", "gauss25", "kodak"), 31.87, 0.868),
        # The package is what the paper took.
        (Key("bm3d[engine=package]", "gauss25", "kodak"), 31.87, 0.868),
        (Key("anscombe_bm3d", "poisson30", "kodak"), 30.53, 0.856),
        (Key("n2c", "gauss5_50", "bsd300"), 31.07, 0.866),
        (Key("b2u", "gauss15", "bsd68"), 31.44, 0.884),
        (Key("b2u[eta=0]", "gauss25", "kodak"), 32.19, 0.877),
        (Key("b2u[eta=2]", "gauss25", "kodak"), 32.32, 0.881),
        (Key("b2u[lambda_f=100]", "gauss25", "kodak"), 32.26, 0.879),
        (Key("b2u[mapper=random,visible=false]", "gauss25", "kodak"), 30.32, 0.831),
        (Key("b2u[revisible=B]", "gauss25", "kodak"), 31.37, 0.873),
    ],
)
def test_values_are_as_printed(key: Key, psnr: float, ssim: float) -> None:
    value = published()[key]
    assert (value.psnr, value.ssim) == (psnr, ssim)


def test_names_are_ours() -> None:
    methods, noises, datasets = ({key[i] for key in published()} for i in range(3))
    assert {parse_method(text).text for text in methods} == methods
    assert datasets <= set(DATASETS.names())
    assert noises == {"gauss15", "gauss25", "gauss50", "gauss5_50", "poisson30", "poisson5_50", "real"}


@pytest.mark.parametrize("text", ["b2u[mapper=random]", "b2u[output=mid]", "b2u[stride=4]", "r2r[passes=8]"])
def test_what_the_paper_did_not_print_is_blank(text: str) -> None:
    """No number of the method with other settings stands in; of random masks with V the paper has none at all."""
    assert beside(build_table([cell(text, 30.0), cell("n2c", 31.0, told=[Need.CLEAN])]))[0].line.method == "n2c"
    assert len(beside(build_table([cell(text, 30.0), cell("n2c", 31.0, told=[Need.CLEAN])]))) == 1


def test_suspect_cells_are_marked_and_kept() -> None:
    suspect = published()[Key("b2u", "gauss50", "urban100")]
    assert (suspect.ssim, suspect.odd) == (0.868, True)
    # A remark about the place in print is no doubt about the value.
    assert not published()[Key("b2u", "gauss25", "kodak")].odd


def test_every_table_is_kept_with_its_flags() -> None:
    folder = published_folder()
    assert folder is not None
    cells = {path.name: list(csv.DictReader(path.open(encoding="utf-8"))) for path in folder.glob("table*.csv")}
    assert [len(cells[f"table{n}.csv"]) for n in range(1, 9)] == [135, 27, 24, 30, 8, 16, 16, 16]


def test_differences_and_gaps() -> None:
    cells = [
        cell("n2c", 30.0, told=[Need.CLEAN]),
        cell("b2u", 29.5, 0.7),
        cell("mine", 31.0),
        cell("b2u", 25.0, noise="gauss30"),
    ]
    table = build_table(cells)
    rows = {(row.line.method, row.column.noise): row for row in beside(table)}
    assert set(rows) == {("n2c", "gauss25"), ("b2u", "gauss25")}
    b2u = rows["b2u", "gauss25"]
    assert b2u.score.psnr - b2u.paper.psnr == pytest.approx(29.5 - 32.27)
    assert b2u.gap == pytest.approx(-0.5)
    assert b2u.paper_gap == pytest.approx(32.27 - 32.43)
    text = markdown(table)
    assert "| 29.50/0.700 | 32.27/0.880 |        -2.77 |" in text
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    grid = terminal_beside(table)
    assert grid is not None
    console.print(grid)
    assert "32.27/0.880" in console.export_text()


@pytest.mark.parametrize("change", [{"data_hash": "other"}, {"dataset": "photographs"}])
def test_other_images_under_a_published_name_are_not_set_beside_the_paper(change: dict[str, Any]) -> None:
    assert beside(build_table([cell("b2u", 32.0)]))
    assert beside(build_table([cell("b2u", 32.0, **change)])) == []
    folder = cell("b2u", 32.0)
    folder.about["dataset_class"] = "denoisebench.data.dataset.AnyFolder"
    assert beside(build_table([folder])) == []
    # Earlier versions stored no class, and a folder's title is its name.
    del folder.about["dataset_class"]
    assert len(beside(build_table([folder]))) == 1
    folder.about["dataset_title"] = "kodak"
    assert beside(build_table([folder])) == []


def test_without_a_clean_trained_network_there_is_no_gap() -> None:
    (row,) = beside(build_table([cell("b2u", 29.5)]))
    assert (row.gap, row.paper_gap) == (None, None)


def test_nothing_published_nothing_shown() -> None:
    table = build_table([cell("mine", 30.0)])
    assert "paper" not in markdown(table).lower()
    assert terminal_beside(table) is None


def test_a_default_is_told_where_two_lines_differ_in_it() -> None:
    cells = [
        cell("b2u", settings={"stride": 4, "eta": 1.0, "network": "unet"}),
        cell("b2u[stride=2]", settings={"stride": 2, "eta": 1.0, "network": "unet"}),
        cell("n2v", settings={"ratio": 0.1}),
    ]
    expected = "B2U: stride=4 where a line does not name it."
    assert expected in build_table(cells).notes
    for one in cells:  # what newer versions store
        one.about["changed"] = {"stride": 2} if one.about["text"] == "b2u[stride=2]" else {}
    assert expected in build_table(cells).notes
    assert not any("does not name" in note for note in build_table([cells[0], cells[2]]).notes)


# --- scores that mislead ---


def below() -> Table:
    return build_table(
        [
            cell("identity", [20.0, 20.0], 0.3, baseline=True),
            cell("worse", [19.0, 20.5], 0.9, told=[Need.FAMILY]),
            cell("same", [20.04, 19.96], 0.3),
            cell("rough", [25.0, 25.0], 0.2),
            cell("good", [24.0, 24.0], 0.7),
        ]
    )


def test_a_method_below_its_input_or_equal_to_it_is_never_best() -> None:
    table = below()
    assert marks(table, "psnr") == {"identity": "", "worse": "", "same": "", "rough": "best", "good": "second"}
    assert marks(table, "ssim") == {"identity": "", "worse": "", "same": "", "rough": "", "good": "best"}
    flags = {line.method: score.flag for (line, _), score in table.scores.items()}
    assert flags == {"identity": "", "worse": "below", "same": "unchanged", "rough": "below in SSIM", "good": ""}
    nearly = build_table(
        [cell("identity", [20.0, 20.0], baseline=True), cell("a", [20.0, 20.06]), cell("b", [21.0, 21.0])]
    )
    assert {score.flag for score in nearly.scores.values()} == {""}, "0.06 dB on one image is a change"
    mixed = build_table(
        [
            cell("identity", [20.0] * 6, 0.3, baseline=True),
            cell("a", [19.9, 30.0, 29.0, 28.0, 29.0, 30.0]),
            cell("b", [21.0] * 6),
        ]
    )
    assert {line.method: score.flag for (line, _), score in mixed.scores.items()}["a"] == "some below"
    assert marks(mixed, "psnr") == {"identity": "", "a": "best", "b": "second"}
    assert any(note.startswith("‖ a on ") and "the mean hides images" in note for note in mixed.notes)
    alone = build_table([cell("worse", 19.0), cell("good", 24.0)])
    assert marks(alone, "psnr") == {"worse": "second", "good": "best"}, "without the noisy input nobody knows"


def test_a_footnote_names_methods_once_for_all_their_columns() -> None:
    short, sound = Score(30.0, 0.8, 24, flag="fewer"), Score(30.0, 0.8, 240)
    flagged = [("n2c", "A", short), ("b2u", "A", short), ("n2c", "B", short), ("b2u", "B", short), ("bm3d", "B", sound)]
    (note,) = flag_notes([*flagged, ("r2r", "C", short)])
    assert note.startswith("¶ n2c, b2u on A and on B; r2r on C: mean without some images or levels of its column")


@pytest.mark.parametrize(("levels", "flag"), [((0.1, 0.1), ""), ((0.1, 0.2), "fewer")])
def test_a_mean_without_some_draws_is_marked_where_their_level_is_another(levels: Sequence[float], flag: str) -> None:
    both, one = cell("both"), cell("one")
    (row,) = one.rows.values()
    one.rows["im0", 0] = row._replace(level=levels[0])
    both.rows.update({("im0", draw): row._replace(repeat=draw, level=level) for draw, level in enumerate(levels)})
    flags = {line.method: score.flag for (line, _), score in build_table([both, one]).scores.items()}
    assert flags == {"both": "", "one": flag}
    del one.rows["im0", 0]
    one.rows["im1", 0] = row._replace(image="im1", level=levels[0])
    flags = {line.method: score.flag for (line, _), score in build_table([both, one]).scores.items()}
    assert flags == {"both": "fewer", "one": "fewer"}


def test_the_footnote_of_a_misleading_score_is_in_every_format() -> None:
    table = below()
    text = markdown(table)
    assert "19.75/0.900†" in text
    assert "20.00/0.300‡" in text
    assert "- † worse on Kodak, Gaussian σ=25: below the noisy input in PSNR; not ranked." in text
    assert r"& 19.75/0.900$^\dagger$ &" in latex(table)
    console = Console(width=400, record=True, file=io.StringIO())
    console.print(terminal(table))
    shown = console.export_text()
    assert "19.75/0.900†" in shown
    assert "‡ same on Kodak" in shown


def test_beside_the_paper_a_misleading_score_has_its_footnote_too() -> None:
    from denoisebench.experiment.file import PaperPart
    from denoisebench.reports.paper import paper_table

    cells = [cell("identity", 30.0, baseline=True), cell("b2u", 29.0, ssim=0.9)]
    assert beside(build_table(cells))
    assert "29.00/0.900†" in markdown(build_table(cells)).partition("Beside the paper")[2]
    layout = paper_table.paper_table(PaperPart(1, {}), "T", cells)
    assert "29.00/0.900†" in paper_table.text_of(layout, "markdown")
    assert r"29.00/0.900$^\dagger$" in paper_table.text_of(layout, "latex")
    assert "† Blind2Unblind on Kodak" in paper_table.text_of(layout, "markdown")
