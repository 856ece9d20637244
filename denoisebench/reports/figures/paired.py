"""Two methods image by image, and paired differences with their intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from denoisebench.core.errors import UserError
from denoisebench.core.text import counted
from denoisebench.reports.figures import style
from denoisebench.reports.figures.quality import names_of
from denoisebench.reports.statistics import Difference, Floats, Group, difference, named
from denoisebench.reports.versus import interval_text
from denoisebench.results.summary import Column

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Images whose names stand beside their points in a scatter plot: those furthest from the diagonal.
_NAMED = 3


def scatter(groups: Mapping[Column, Sequence[Group]], one: str, other: str) -> Figure:
    """PSNR of every image, ``one`` on the x axis against ``other`` on the y axis; a panel per column with both.

    Raises
    ------
    UserError
        A name is unknown, or no column has both.
    """
    lines = [named(groups, [name]) for name in (one, other)]
    pairs: list[tuple[Group, Group]] = []
    for column in groups.values():
        first, second = ([group for group in column if group.line in wanted] for wanted in lines)
        pairs += [(a, b) for a in first for b in second if a is not b]
    found = [(a, b, d) for a, b in pairs if (d := difference(b, a)) is not None and math.isfinite(d.psnr)]
    if not found:
        if one == other:
            raise UserError(f"There is nothing to compare {one!r} with: name two methods.")
        raise UserError(f"No test set of these results was scored for both {one!r} and {other!r} under one protocol.")
    with style.styled():
        figure, axes = style.panels(len(found), 3.2, 3.2)
        for panel, (a, b, d) in zip(axes, found, strict=True):
            _scatter_panel(panel, a, b, d)
        for panel, (a, b, _) in zip(axes, found, strict=True):
            _name_images(panel, a, b)
    return figure


def _scatter_panel(panel: Axes, a: Group, b: Group, found: Difference) -> None:
    images, xs, ys = _points(a, b)
    colour = np.where(ys >= xs, style.COLOURS[0], style.COLOURS[1])
    panel.scatter(xs, ys, s=14, c=colour.tolist(), alpha=0.75, linewidths=0, zorder=3)
    low, high = min(xs.min(), ys.min()), max(xs.max(), ys.max())
    margin = 0.08 * (high - low) or 0.5
    ends = (low - margin, high + margin)
    panel.plot(ends, ends, color=style.GREY, linewidth=0.7, zorder=1)
    panel.set_xlim(ends)
    panel.set_ylim(ends)
    panel.grid()
    panel.set_xlabel(f"{style.short(a.name)}, PSNR in dB")
    panel.set_ylabel(f"{style.short(b.name)}, PSNR in dB")
    panel.set_title(style.title(a.title, 40), loc="left")
    text = f"{style.short(b.name)} minus {style.short(a.name)}:\n{found.psnr:+.2f} dB"
    text += f"  [{interval_text(found.psnr_interval, 2)}]" if found.psnr_interval else ""
    panel.text(
        0.03, 0.97, f"{text}\nhigher on {found.won * len(images):g} of {counted(len(images), 'image')}",
        transform=panel.transAxes, va="top", fontsize=7,
    )  # fmt: skip


def _name_images(panel: Axes, a: Group, b: Group) -> None:
    """Names beside the images that differ most."""
    images, xs, ys = _points(a, b)
    look = style.Look(style.GREY, "", "-")
    far = sorted(range(len(images)), key=lambda place: -abs(ys[place] - xs[place]))[:_NAMED]
    style.label_points(
        panel, [(images[place], float(xs[place]), float(ys[place]), look) for place in far], 6.5,
        list(zip(xs.tolist(), ys.tolist(), strict=True)),
    )  # fmt: skip


def _points(a: Group, b: Group) -> tuple[list[str], Floats, Floats]:
    """Images that both have, and the PSNR of each."""
    x, y = _by_image(a), _by_image(b)
    images = [image for image in x if image in y and math.isfinite(x[image]) and math.isfinite(y[image])]
    return images, np.array([x[image] for image in images]), np.array([y[image] for image in images])


def _by_image(group: Group) -> dict[str, float]:
    """Mean PSNR of every image over repeats and trainings."""
    values: dict[str, list[float]] = {}
    for cell in group.cells:
        for row in cell.rows.values():
            values.setdefault(row.image, []).append(row.psnr)
    return {image: float(np.mean(found)) for image, found in values.items()}


def forest(differences: Sequence[Difference], groups: Mapping[Column, Sequence[Group]]) -> Figure:
    """Mean differences to the reference with their 95 % intervals, a panel per column.

    The noisy input is left out, for its distance would hide all others.

    Raises
    ------
    UserError
        Nothing is left to draw.
    """
    columns: dict[Column, list[Difference]] = {}
    for found in differences:
        if not found.one.baseline and math.isfinite(found.psnr):
            columns.setdefault(found.one.column, []).append(found)
    if not columns:
        raise UserError("There is no method beside the reference and the noisy input, so there is nothing to draw.")
    look = style.looks(names_of(groups))
    most = max(map(len, columns.values()))
    with style.styled():
        figure, axes = style.panels(len(columns), 4.0, 0.75 + 0.24 * most, 2)
        for panel, lines in zip(axes, columns.values(), strict=True):
            _forest_panel(panel, sorted(lines, key=lambda d: d.psnr), look)
        style.note(figure, "bars: 95 % intervals, bootstrap over images; hollow: no detectable difference")
    return figure


def _forest_panel(panel: Axes, lines: Sequence[Difference], look: Mapping[str, style.Look]) -> None:
    for place, found in enumerate(lines):
        colour = look[found.one.name].colour if found.detectable else style.GREY
        if found.psnr_interval is not None:
            panel.plot(found.psnr_interval, (place, place), color=colour, linewidth=1.6, solid_capstyle="butt")
        panel.plot(
            [found.psnr], [place], color=colour, marker="o", markersize=4.5,
            fillstyle="full" if found.detectable else "none",
        )  # fmt: skip
        text = f"{found.psnr:+.2f}"
        text += f"  [{interval_text(found.psnr_interval, 2)}]" if found.psnr_interval else ""
        panel.text(1.02, place, text, transform=panel.get_yaxis_transform(), va="center", fontsize=7)
    panel.axvline(0, color=style.GREY, linewidth=0.7, zorder=0)
    panel.set_yticks(range(len(lines)), [style.short(found.one.name) for found in lines])
    panel.set_ylim(-0.6, len(lines) - 0.4)
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)
    panel.grid(axis="x")
    other = style.short(lines[0].other.name)
    panel.set_xlabel(f"PSNR minus that of {other}, dB")
    panel.set_title(style.title(lines[0].other.title), loc="left")
