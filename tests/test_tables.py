"""Tables that fit: one grid, laid out for a page, a terminal or a web page, without a digit or a letter lost."""

from __future__ import annotations

import csv
import html
import io
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from denoisebench.core.errors import UserError
from denoisebench.experiment.file import PaperPart
from denoisebench.protocol.protocol import Protocol, Row
from denoisebench.reports import render, versus, writers
from denoisebench.reports.grid import Block, Grid, Head, Span, cell_of, plain_text
from denoisebench.reports.grid import Row as GridRow
from denoisebench.reports.latex import PAGES
from denoisebench.reports.layout import Layout, chosen_cells, grid_of, method_lines, split_label
from denoisebench.reports.paper import paper_table, printed
from denoisebench.reports.screen import Screen
from denoisebench.reports.statistics import against, groups_of
from denoisebench.reports.table import Table, build_table
from denoisebench.results.store import StoredCell

NASTY = '=50%_of & #1 {x} $y^2~ \\z | <b>[v]</b> *é* "q" // @u #let `c`'
NOISES = {"gauss25": "Gaussian σ=25", "gauss5_50": "Gaussian σ∈[5,50]", "poisson30": "Poisson λ=30"}


def stored(
    text: str,
    noise: str = "gauss25",
    dataset: str = "kodak",
    psnr: float = 30.0,
    *,
    told: Sequence[str] = (),
    training: str = "",
    baseline: bool = False,
    label: str = "",
    seed: int = 0,
) -> StoredCell:
    protocol = Protocol(dataset, "hash", noise, "counter-0")
    about: dict[str, Any] = {
        "text": text, "label": label or text.partition("[")[0].upper(), "told": list(told), "baseline": baseline,
        "protocol": protocol.fingerprint, "noise_title": NOISES.get(noise, noise), "dataset_title": dataset.upper(),
        "training": training, "warnings": [], "written": "2026-01-01T00:00:00Z", "dataset_class": "own",
        "training_record": {"parameters": 1234567, "images_seen": 28000, "seconds": 1000.0} if training else {},
    }  # fmt: skip
    identity = {
        "method": text.partition("[")[0], "settings": {}, "protocol": protocol.__dict__ | {},
        "training": {"recipe": {"seed": seed}}, "device": "cpu",
    }  # fmt: skip
    rows = [Row(f"im{index}", 0, psnr + index, 0.8, 0.5, 0.1) for index in range(8)]
    return StoredCell(identity, about, {(row.image, row.repeat): row for row in rows})


def many(names: Sequence[str] = ("identity", "bm3d", "b2u[mapper=random,visible=false]", "n2c")) -> list[StoredCell]:
    """Every method under every noise on three test sets."""
    cells = []
    for place, name in enumerate(names):
        for column, noise in enumerate(NOISES):
            for number, dataset in enumerate(("kodak", "bsd300", "set14")):
                told = (
                    ["clean images"] if name == "n2c" else ["noise level"] * (name == "bm3d" and noise == "poisson30")
                )
                training = "7000 steps, 4x64², Muon, bfloat16, bsd400_color (shipped)" if name[-1] in "]c" else ""
                psnr = 20 + 4 * place + column / 7 + number / 3
                cells.append(
                    stored(name, noise, dataset, psnr, told=told, training=training, baseline=name == "identity")
                )
    return cells


def shown(renderable: object, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), record=True, highlight=False)
    console.print(renderable)
    return console.export_text().splitlines()


def rows_of(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[part.strip() for part in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines if "---" not in line]


# --- one method is one line ---


def test_what_differs_between_columns_is_a_footnote_and_not_a_line() -> None:
    cells = [
        stored("nlm", told=["noise model"]),
        stored("nlm", "poisson30", told=["noise level", "noise model"]),
        stored("dbsn", training="1000 steps"),
        stored("dbsn", "poisson30", training="700 steps"),
        stored("b2u", training="300 steps"),
        stored("b2u", "poisson30", training="300 steps"),
    ]
    table = build_table(cells)
    rows = rows_of(render.markdown(table))
    assert [row[0] for row in rows] == ["Method", "NLM", "DBSN", "B2U"]
    assert rows[1][1:3] == ["differs", "none"]
    assert "<sup>a</sup>" in rows[1][3]
    assert "<sup>b</sup>" in rows[1][4]
    assert rows[2][1:3] == ["nothing", "differs"]
    assert rows[3][2] == "300 steps"
    text = render.text_of(table, "html")
    assert "<li><sup>b</sup> told noise level, noise model.</li>" in text
    narrow = plain_text(next(iter(grid_of(table, Layout(), ()).blocks)).rows[2].cells[0])
    assert narrow == "B2Ue", "its one training is a footnote of the name"


def test_two_trainings_in_one_column_stay_two_lines() -> None:
    cells = [
        stored("b2u", training="2 steps"),
        stored("b2u", training="3 steps"),
        stored("b2u", "poisson30", training="3 steps"),
        stored("b2u", "poisson30", "set14", told=["noise level"], training="3 steps"),
        stored("b2u", "gauss5_50", training="4 steps"),
    ]
    lines = method_lines(build_table(cells))
    assert [(line.first.training, len(line.places)) for line in lines] == [
        ("2 steps", 1),
        ("3 steps", 3),
        ("4 steps", 1),
    ]


def test_seconds_of_a_joined_line_are_the_mean_over_its_images() -> None:
    slow = stored("nlm", "poisson30", told=["noise level"])
    slow.rows.update({place: row._replace(seconds=1.5) for place, row in slow.rows.items()})
    rows = rows_of(render.markdown(build_table([stored("nlm"), slow])))
    assert [row[-1] for row in rows] == ["s/image", "1.00"]


# --- what is shown ---


def test_columns_methods_metric_labels_and_caption() -> None:
    layout = Layout(["kodak", "parameters", "device"], "psnr", {"n2c": "Supervised"}, "Mine | *yours*")
    table = build_table(chosen_cells(many(), layout), methods=["n2c", "bm3d"])
    rows = rows_of(render.markdown(table, layout))
    assert rows[0] == ["Method", *(f"KODAK, {noise}" for noise in NOISES.values()), "Parameters", "Device"]
    assert [row[0] for row in rows[1:]] == ["Supervised<sup>a</sup>", "BM3D"], "what is no column is a footnote"
    assert "<sup>a</sup> told clean images." in render.markdown(table, layout)
    assert rows[1][1] == "35.50"
    assert rows[1][4:] == ["1,234,567", "cpu"]
    assert rows[2][4] == ""
    assert render.markdown(table, layout).startswith(r"**Mine \| \*yours\***")
    one = Layout(["gauss25", "set14"], "ssim")
    assert len(build_table(chosen_cells(many(), one)).columns) == 1
    assert rows_of(render.markdown(build_table(chosen_cells(many(), one)), one))[1][1] == "0.800"


def test_noises_and_data_sets_come_in_the_order_in_which_columns_name_them() -> None:
    cells = [stored("b2u", noise, dataset) for noise in ("poisson30", "gauss25") for dataset in ("set14", "kodak")]

    def heads(*columns: str) -> list[str]:
        layout = Layout([*columns, "told"]) if columns else Layout()
        return rows_of(render.markdown(build_table(chosen_cells(cells, layout)), layout))[0][2:]

    two = ["Poisson λ=30", "Gaussian σ=25"]
    assert heads("gauss25", "kodak", "poisson30", "set14") == [
        f"{d}, {n}" for n in two[::-1] for d in ("KODAK", "SET14")
    ]
    assert heads("kodak", "set14") == [f"{d}, {n}" for n in two for d in ("KODAK", "SET14")]
    assert heads("kodak", "gauss25") == ["KODAK, Gaussian σ=25"]


def test_a_label_replaces_the_settings_only_where_it_was_given_with_them() -> None:
    assert split_label("b2u[stride=2,eta=0]=Ours = best") == ("b2u[stride=2,eta=0]", "Ours = best")
    for text in ("b2u", "b2u=", "=x", "b2u[a=1]"):
        with pytest.raises(UserError, match="such as b2u=Ours"):
            split_label(text)
    table = build_table([stored("b2u[stride=2]"), stored("b2u"), stored("b2u[eta=0]")])
    layout = Layout(labels={"b2u": "Ours", "b2u[eta=0]": "Without"})
    assert [row[0] for row in rows_of(render.markdown(table, layout))[1:]] == ["Ours [stride=2]", "Ours", "Without"]


def test_wrong_names_are_answered_with_the_right_ones() -> None:
    table = build_table(many())
    with pytest.raises(UserError, match="Did you mean 'parameters'"):
        chosen_cells(many(), Layout(["parameter"]))
    with pytest.raises(UserError, match="Unknown method of this table 'b3u'"):
        render.markdown(table, Layout(labels={"b3u": "x"}))
    with pytest.raises(UserError, match="Unknown metric 'mse'"):
        Layout(metric="mse")
    with pytest.raises(UserError, match="Did you mean 'n2c'"):
        build_table(many(), methods=["n2k"])


def test_a_method_that_is_not_shown_still_lends_its_noisy_input() -> None:
    cells = [stored("identity", psnr=20.0, baseline=True), stored("bad", psnr=19.0), stored("good", psnr=25.0)]
    table = build_table(cells, methods=["bad", "good"])
    assert [line.method for line in table.lines] == ["bad", "good"]
    assert [score.flag for score in table.scores.values()] == ["below", ""]


# --- terminals ---


@pytest.mark.parametrize("width", [60, 80, 100, 400])
def test_no_digit_is_lost_on_a_terminal_of_any_width(width: int) -> None:
    table = build_table(many())
    lines = shown(render.terminal(table), width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for score in table.scores.values():
        assert f"{score.psnr:.2f}/{score.ssim:.3f}" in text
    assert "…" not in text
    if width == 80:
        assert sum(line.split() == ["Method", "KODAK", "BSD300", "SET14", "s/image"] for line in lines) == 3
    for noise in NOISES.values():
        assert noise in text


def test_a_terminal_shows_best_and_second() -> None:
    console = Console(width=80, file=io.StringIO(), record=True, force_terminal=True)
    console.print(render.terminal(build_table([stored("a", psnr=31.0), stored("b"), stored("c", psnr=29.0)])))
    shown_text = console.export_text(styles=True)
    assert re.search(r"\x1b\[1m34\.50\x1b\[0m", shown_text)
    assert re.search(r"\x1b\[4m33\.50\x1b\[0m", shown_text)
    assert not re.search(r"\x1b\[[14]m32\.50", shown_text)


@pytest.mark.parametrize("width", [50, 80])
def test_what_stands_side_by_side_is_stacked_where_it_has_to_be(width: int) -> None:
    cells = [stored(name, psnr=level) for name, level in (("long_name_of_a_method", 31.0), ("b", 30.0))]
    (grid,) = versus.grids(against(groups_of(cells), [], "b"), groups_of(cells))
    lines = shown(Screen(grid), width)
    assert max(map(len, lines)) <= width
    joined = " ".join(lines)
    for text in ("+1.00", "+1.00 to +1.00", "+0.0000", "8 of 8"):
        assert text in joined


# --- every format ---


def nasty() -> Table:
    cells = [
        stored("a[mode=x_1,p=50]", training="1 step, 1x32², a&b", label=NASTY),
        stored("b", psnr=31.5, told=[NASTY]),
        stored("n2c", psnr=33.0, told=["clean images"], training=NASTY),
        stored("b", "gauss5_50", psnr=10.0),
        stored("identity", "gauss5_50", psnr=20.0, baseline=True),
    ]
    for one in cells[:2]:
        one.about["dataset_title"] = NASTY
    return build_table(cells, [f"FAILED: {NASTY}."])


def test_html_shows_every_text_as_it_is() -> None:
    text = render.text_of(nasty(), "html", Layout(caption=NASTY))
    tags = {tag.split()[0].strip("/") for tag in re.findall(r"<(/?[a-z]+[^>]*)>", text)}
    assert tags <= {"table", "caption", "thead", "tbody", "tr", "th", "td", "b", "u", "sup", "ul", "li", "p"}
    bare = html.unescape(re.sub(r"<[^>]*>", "", text))
    assert bare.count(" ".join(NASTY.split())) >= 4


def test_csv_has_a_line_per_score_and_no_formula() -> None:
    rows = list(csv.DictReader(io.StringIO(render.text_of(nasty(), "csv"))))
    assert {(row["noise"], row["method"], row["psnr"]) for row in rows} == {
        ("gauss25", "a[mode=x_1,p=50]", "33.5000"), ("gauss25", "b", "35.0000"), ("gauss25", "n2c", "36.5000"),
        ("gauss5_50", "identity", "23.5000"), ("gauss5_50", "b", "13.5000"),
    }  # fmt: skip
    by_method = {(row["method"], row["noise"]): row for row in rows}
    assert by_method["a[mode=x_1,p=50]", "gauss25"]["label"].startswith("'=50%")
    assert {row["flag"] for row in rows} == {"", "below"}
    assert by_method["b", "gauss25"]["psnr_mark"] == "best"


@cache
def kinds() -> Mapping[str, Callable[[str, str], str]]:
    """Every kind of table as a function of format and page."""
    cells = many()
    for one in cells:
        one.about["label"] = NASTY if one.about["text"] == "bm3d" else one.about["label"]
    measured = paper_table.paper_table(PaperPart(1, {}), "Table 1: all of it", cells, [NASTY], with_literature=True)
    few = [one for one in cells if one.identity["protocol"]["noise"] == "gauss25"]
    grids = versus.grids(against(groups_of(few), [], "n2c"), groups_of(few))
    everything = Layout(["told", "training", "seconds", "images", "parameters", "training-seconds", "device"])
    published: dict[str, Callable[[str, str], str]] = {
        f"paper {number}": lambda form, page, n=number: printed.text_of(  # type: ignore[misc]
            printed.printed_table(str(n)), form, page=page
        )
        for number in range(1, 9)
    }
    return {
        **published,
        "nasty": lambda form, page: render.text_of(nasty(), form, Layout(caption=NASTY), page),
        "many": lambda form, page: render.text_of(build_table(cells), form, page=page),
        "all columns": lambda form, page: render.text_of(build_table(cells), form, everything, page),
        "beside the paper": lambda form, page: paper_table.text_of(measured, form, page=page),
        "part": lambda form, page: paper_table.text_of(paper_table.measured_part(measured), form, page=page),
        "differences": lambda form, page: "\n".join(writers.write(grid, form, page) for grid in grids),
        "empty": lambda form, page: writers.write(Grid(cell_of("None"), [Block([Head("A")], [])]), form, page),
    }


#: Widths of text and of its columns: an article, and a paper of two columns.
_CLASSES = {
    "page": r"\documentclass{article}",
    "landscape": r"\documentclass{article}",
    "column": r"\documentclass[twocolumn]{article}\setlength{\textwidth}{496pt}\setlength{\columnsep}{22pt}",
    "wide": r"\documentclass[twocolumn]{article}\setlength{\textwidth}{496pt}\setlength{\columnsep}{22pt}",
}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here (Debian: texlive-latex-recommended)")
@pytest.mark.parametrize("page", PAGES)
def test_latex_of_every_table_compiles_and_fits(page: str, tmp_path: Path) -> None:
    found = kinds()
    # A page for each, and no room to float to another one.
    bodies = [f"\\typeout{{KIND {name}}}\n{make('latex', page)}\\clearpage" for name, make in found.items()]
    packages = r"\usepackage[utf8]{inputenc}\usepackage{array,booktabs,pdflscape}"
    source = "\n".join([_CLASSES[page], packages, r"\begin{document}", *bodies, r"\end{document}"])
    (tmp_path / "t.tex").write_text(source, encoding="utf-8")
    ran = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"],
        cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120,
    )  # fmt: skip
    kind, flaws = "", []
    for line in ran.stdout.splitlines():
        kind = line.removeprefix("KIND ") if line.startswith("KIND ") else kind
        if line.startswith("!") or "Overfull" in line or "too large" in line:
            flaws.append(f"{kind}: {line}")
    assert (ran.returncode, flaws) == (0, []), ran.stdout[-2000:]
    assert set(found) == {line.removeprefix("KIND ") for line in ran.stdout.splitlines() if line.startswith("KIND ")}


@pytest.mark.parametrize("page", PAGES)
def test_typst_of_every_table_compiles(page: str) -> None:
    typst = pytest.importorskip("typst", reason="no Typst here (pip install typst)")
    source = "\n#pagebreak()\n".join(make("typst", page) for make in kinds().values())
    preamble = "#set page(columns: 2)\n" if page in ("column", "wide") else ""
    pdf = typst.compile((preamble + source).encode(), format="pdf")
    assert pdf.startswith(b"%PDF")


def test_typst_holds_every_text_as_a_string() -> None:
    text = writers.write(
        Grid(cell_of(NASTY), [Block([Head(NASTY)], [GridRow([cell_of(Span(NASTY, "best"), " and ", "more")])])]),
        "typst",
    )
    assert r'strong("=50%_of & #1 {x} $y^2~ \\z | <b>[v]</b> *é* \"q\" // @u #let `c`")' in text
    assert 'text(" and ")' in text


def test_every_format_prints_every_digit() -> None:
    table = build_table(many())
    for form in ("markdown", "latex", "html", "typst"):
        text = render.text_of(table, form)
        for score in table.scores.values():
            assert f"{score.psnr:.2f}" in text, form
    with pytest.raises(UserError, match="Unknown format 'word'"):
        render.text_of(table, "word")


# --- commands ---


def test_the_commands_take_the_same_options(
    command: Callable[..., Any], image_folder: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "o"
    options = ("--label", "identity=Noisy | *one*", "--metric", "psnr", "--caption", "My table", "--format", "html")
    pictures = image_folder()
    ran = command("run", "--methods", "identity", "--datasets", pictures, "--out", out, *options)
    assert ran.code == 0, ran.err
    assert "<caption>My table</caption>" in ran.out
    assert "Noisy | *one*" in ran.out
    again = command("report", out, *options)
    assert (again.code, again.out) == (0, ran.out)
    assert command("report", out, "--columns", "seconds", "--format", "md").out.startswith("| Method")
    assert command("report", out, "--methods", "b2u").code == 2
    for bad in (("--metric", "x"), ("--columns", "x"), ("--label", "x=y"), ("--format", "x"), ("--page", "x")):
        ran = command("run", "--methods", "identity", "--datasets", pictures, "--out", tmp_path / "none", *bad)
        assert ran.code == 2
        assert "x" in ran.err
    assert not (tmp_path / "none").exists()
