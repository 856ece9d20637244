"""A table as a figure: all texts are there with their marks, within the sheet, and none covers another."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from denoisebench.reports.figures import table
from denoisebench.reports.grid import Block, Grid, Head, Row, Span, cell_of


def small_grid(name: str = "B2U") -> Grid:
    heads = [
        Head("Method"),
        *(Head(data, "c", noise, role="score") for noise in ("σ=15", "σ=25") for data in ("Kodak", "Set14 (12)")),
        Head("s/image", "r", role="info"),
    ]
    score = cell_of(Span("31.20", "best"), "/", Span("0.839", "second"), Span("a", "raised"))
    rows = [Row([cell_of(name), score, cell_of("30.88"), score, cell_of(), cell_of("1.27")])] * 3
    note = cell_of(Span("a", "raised"), " trained 7000 steps, 4x64², on many photographs.")
    return Grid(cell_of("A title"), [Block(heads, rows)], notes=[note] * 2, remarks=[cell_of("machine")])


def words_of(figure: Any) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def xs(line: Line2D) -> list[float]:
    return [float(x) for x in np.asarray(line.get_xdata())]


def boxes(figure: Any) -> dict[str, Bbox]:
    """Where texts are, all that are not a space."""
    found = [text for text in figure.findobj(Text) if text.get_text().strip()]
    with warnings.catch_warnings():  # a letter that the font lacks
        warnings.simplefilter("ignore", UserWarning)
        figure.canvas.draw()
        return {f"{number} {text.get_text()}": text.get_window_extent() for number, text in enumerate(found)}


@pytest.mark.parametrize("width", [120.0, 237.0, 487.0])
@pytest.mark.parametrize("name", ["B2U", "a method with a long name, and settings", "<b>$x_1$</b> \\alpha & 図"])
def test_a_table_has_all_texts_in_its_sheet_and_none_over_another(width: float, name: str) -> None:
    figure = table.draw(small_grid(name), width)
    places = boxes(figure)
    for box in places.values():
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.width
        assert box.y0 >= 0
        assert box.y1 <= figure.bbox.height
    shrunk = [(text, Bbox.from_extents(b.x0 + 1, b.y0 + 3, b.x1 - 1, b.y1 - 3)) for text, b in places.items()]
    for (one, first), (other, second) in itertools.combinations(shrunk, 2):
        raised = {one.split(" ", 1)[1], other.split(" ", 1)[1]} & {"a"}
        assert raised or not first.overlaps(second), (one, other)


def test_a_table_has_every_cell_and_note_with_its_marks_and_no_remark() -> None:
    figure = table.draw(small_grid(), 487.0)
    words = words_of(figure)
    for expected in ("A title", "Method", "Kodak", "σ=25", "B2U", "30.88", "photographs."):
        assert expected in words
    assert "machine" not in words
    found = {text.get_text(): text for text in figure.findobj(Text)}
    assert found["31.20"].get_fontweight() == "bold"
    assert found["0.839"].get_fontweight() == "normal"
    assert float(found["a"].get_fontsize()) < float(found["B2U"].get_fontsize())
    width = figure.get_figwidth() * 72
    lines = [(xs(line)[0] * width, xs(line)[1] * width) for line in figure.findobj(Line2D)]
    box = found["0.839"].get_window_extent()
    scale = 72 / figure.dpi
    assert any(abs(a - box.x0 * scale) < 1 and abs(b - box.x1 * scale) < 1 for a, b in lines)


def test_a_table_is_as_wide_as_asked_and_stands_in_blocks_if_it_must() -> None:
    wide, narrow = (table.draw(small_grid(), width) for width in (487.0, 200.0))
    assert wide.get_figwidth() * 72 <= 487 + 12.01
    assert narrow.get_figwidth() * 72 <= 200 + 12.01
    assert narrow.get_figheight() > wide.get_figheight()
    assert words_of(narrow).count("Method") == 2 * words_of(wide).count("Method")


def test_words_are_broken_where_they_may_be_and_keep_their_marks() -> None:
    line = (Span("told noise level, "), Span("noise model", "best"), Span("a", "raised"))
    parts = list(table.wrapped(line, 60.0))
    assert len(parts) > 1
    assert all(table.size(part) <= 60 for part in parts)
    again = " ".join("".join(span.text for span in part) for part in parts)
    assert " ".join(again.split()) == "told noise level, noise modela"
    assert {span.mark for part in parts for span in part if span.text.strip() == "model"} == {"best"}
    assert list(table.wrapped((), 60.0)) == []
