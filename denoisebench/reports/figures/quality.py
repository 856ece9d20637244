"""Quality against what it costs, and against the level of the noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from denoisebench.core.errors import UserError, unknown
from denoisebench.plugins.method import Need
from denoisebench.protocol.noise import Noise, parse_noise
from denoisebench.reports.cost import Cost, cost_of
from denoisebench.reports.figures import style
from denoisebench.reports.statistics import Group
from denoisebench.results.summary import Column, score_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: What quality is set against, and the label of the axis.
COSTS = {
    "seconds": "Seconds per image",
    "parameters": "Parameters of the network",
    "multiply-adds": "Multiply-adds per pixel",
    "memory": "Memory at its peak, MB",
    "training-images": "Training crops seen",
    "training-seconds": "Training time, seconds",
}
#: Levels of a range are averaged over so many parts of it.
_BINS = 6
_LEVELS = {
    "gauss": "Noise level σ, 8-bit units",
    "poisson": "Peak λ (fewer photons: more noise)",
    "gamma": "Looks L (fewer looks: more noise)",
}


def names_of(groups: Mapping[Column, Sequence[Group]]) -> list[str]:
    """Every method once, in order of appearance; it has the same look in every panel."""
    return list(dict.fromkeys(group.name for column in groups.values() for group in column))


# --- quality against cost ---


@dataclass(frozen=True)
class _Point:
    group: Group
    cost: float
    psnr: float

    @property
    def helped(self) -> bool:
        """Whether the method saw clean images or second noisy copies."""
        told = self.group.cells[0].about["told"]
        return Need.CLEAN.value in told or Need.SECOND.value in told


def pareto(groups: Mapping[Column, Sequence[Group]], against: str = "seconds") -> Figure:
    """Mean PSNR against a cost, a panel per column, with the line of those that nobody beats in both.

    Raises
    ------
    UserError
        There is no such cost, or nothing to draw.
    """
    if against not in COSTS:
        raise unknown("cost", against, COSTS)
    columns = {column: points for column, g in groups.items() if (points := _points(g, against))}
    if not columns:
        raise UserError(f"No method of these results has a finite PSNR and {COSTS[against].lower()}.")
    look = style.looks(names_of(groups))
    with style.styled():
        figure, axes = style.panels(len(columns))
        for panel, (column, points) in zip(axes, columns.items(), strict=True):
            _pareto_panel(panel, points, look, COSTS[against])
            panel.set_title(style.title(groups[column][0].title), loc="left")
        machines = {cost_of(p.group.cells).machine for points in columns.values() for p in points} - {""}
        said = [f"seconds measured on {'; '.join(sorted(machines))}"] if against == "seconds" and machines else []
        if any(point.helped for points in columns.values() for point in points):
            said.append("hollow: trained on clean images or second noisy copies")
        if said:
            style.note(figure, "; ".join(said))
        for panel, points in zip(axes, columns.values(), strict=True):
            style.label_points(panel, [(p.group.name, _shown(p, points), p.psnr, look[p.group.name]) for p in points])
    return figure


def _points(column: Sequence[Group], against: str) -> list[_Point]:
    found = []
    for group in column:
        psnr, cost = score_of(group.cells).psnr, _cost(cost_of(group.cells), against)
        if not group.baseline and math.isfinite(psnr) and cost is not None:
            found.append(_Point(group, cost, psnr))
    return found


def _cost(cost: Cost, against: str) -> float | None:
    """One of `COSTS`; 0 where nothing is trained, None where it was not measured."""
    measured = {
        "seconds": cost.seconds,
        "multiply-adds": cost.multiply_adds,
        "memory": None if cost.memory is None else cost.memory / 1e6,
    }
    if against in measured:
        return measured[against]
    values = {
        "parameters": cost.parameters,
        "training-images": cost.training_images,
        "training-seconds": cost.training_seconds,
    }
    return float(values[against] or 0)


def _shown(point: _Point, points: Sequence[_Point]) -> float:
    """Where a point stands: nothing has no place on a logarithmic axis, so it gets one at the left."""
    least = min((p.cost for p in points if p.cost > 0), default=1.0)
    return point.cost if point.cost > 0 else least / 4


def _pareto_panel(panel: Axes, points: Sequence[_Point], look: Mapping[str, style.Look], text: str) -> None:
    places = [_shown(point, points) for point in points]
    for point, x in zip(points, places, strict=True):
        chosen = look[point.group.name]
        panel.plot(
            [x], [point.psnr], color=chosen.colour, marker=chosen.marker, linestyle="none", markersize=5, zorder=3,
            fillstyle="none" if point.helped else "full", markeredgewidth=1.2,
        )  # fmt: skip
    front = [
        (x, p.psnr)
        for p, x in sorted(zip(points, places, strict=True), key=lambda item: (item[1], -item[0].psnr))
        if not any(q.cost <= p.cost and q.psnr >= p.psnr and (q.cost, q.psnr) != (p.cost, p.psnr) for q in points)
    ]
    panel.plot(*zip(*front, strict=True), color=style.LIGHT, drawstyle="steps-post", zorder=1, linewidth=1.2)
    low, high = min(places), max(places)
    panel.set_xlim(low / 2.5, high * 4)
    style.log_axis(panel)
    if any(point.cost <= 0 for point in points):
        ticks = [tick for tick in panel.get_xticks() if 1.5 * low < tick <= high * 4]
        panel.set_xticks([low, *ticks], ["none", *map(style.number_text, ticks)])
    values = [point.psnr for point in points]
    margin = 0.15 * (max(values) - min(values)) or 0.5
    panel.set_ylim(min(values) - margin, max(values) + margin)
    panel.grid(axis="y")
    panel.set_xlabel(text)
    panel.set_ylabel("PSNR, dB")


# --- quality against the level ---


@dataclass(frozen=True)
class _Series:
    """One method along the levels of one family: a mean per level, and single images of ranged noises."""

    means: Sequence[tuple[float, float]]
    singles: Sequence[tuple[float, float]]


def noise_levels(groups: Mapping[Column, Sequence[Group]]) -> Figure:
    """Mean PSNR against the level, a panel per test set and family of noise.

    A noise of one level is a point. The images of a ranged noise are dots at the levels drawn, and their means over
    parts of the range a line.

    Raises
    ------
    UserError
        Nobody knows a level, as with real noise.
    """
    panels: dict[tuple[str, ...], dict[str, _Series]] = {}
    titles: dict[tuple[str, ...], str] = {}
    for column in groups.values():
        for group in column:
            noise = _noise_of(group)
            if noise is None:
                continue
            protocol = group.cells[0].identity["protocol"]
            # All but the noise must be equal, or the levels of a line are not comparable.
            key = (noise.family, str(noise.after), *(f"{k}={v}" for k, v in sorted(protocol.items()) if k != "noise"))
            titles[key] = str(group.cells[0].about["dataset_title"])
            new = _series(group, noise)
            old = panels.setdefault(key, {}).get(group.name, _Series([], []))
            panels[key][group.name] = _Series([*old.means, *new.means], [*old.singles, *new.singles])
    panels = {key: found for key, found in panels.items() if any(len(s.means) > 1 for s in found.values())}
    if not panels:
        raise UserError(
            "These results hold no method at two noise levels of one test set; run several levels (--noise "
            "gauss15,gauss25,gauss50) or a range (--noise gauss5_50)."
        )
    look = style.looks(names_of(groups))
    with style.styled():
        figure, axes = style.panels(len(panels), 3.9, 2.8, 2)
        for panel, (key, found) in zip(axes, panels.items(), strict=True):
            _noise_panel(panel, found, look)
            panel.set_title(style.title(titles[key]), loc="left")
            panel.set_xlabel(_LEVELS[key[0]])
    return figure


def _noise_of(group: Group) -> Noise | None:
    try:
        noise = parse_noise(str(group.column.noise))
    except UserError:  # of a version to come, or of a stranger
        return None
    return None if noise.real else noise


def _series(group: Group, noise: Noise) -> _Series:
    scale = 255.0 if noise.family == "gauss" else 1.0
    rows = [row for cell in group.cells for row in cell.rows.values() if math.isfinite(row.psnr)]
    if not noise.ranged:
        return _Series([(noise.low, fmean(row.psnr for row in rows))] if rows else [], [])
    singles = [(row.level * scale, row.psnr) for row in rows if row.level is not None]
    width = (noise.high - noise.low) / _BINS
    parts: dict[int, list[tuple[float, float]]] = {}
    for level, psnr in singles:
        parts.setdefault(min(int((level - noise.low) / width), _BINS - 1), []).append((level, psnr))
    means = [(fmean(x for x, _ in part), fmean(y for _, y in part)) for part in parts.values()]
    return _Series(means, singles)


def _noise_panel(panel: Axes, found: Mapping[str, _Series], look: Mapping[str, style.Look]) -> None:
    ends, right = [], 0.0
    for name, series in found.items():
        chosen = look[name]
        if series.singles:
            xs, ys = zip(*series.singles, strict=True)
            panel.plot(xs, ys, color=chosen.colour, marker=".", linestyle="none", markersize=2.5, alpha=0.3)
            right = max(right, *xs)
        means = sorted(series.means)
        xs, ys = zip(*means, strict=True)
        panel.plot(
            xs, ys, color=chosen.colour, linestyle=chosen.dash, marker=chosen.marker, label=name, zorder=3,
            clip_on=False,
        )  # fmt: skip
        ends.append((name, ys[-1], chosen))
        right = max(right, xs[-1])
    panel.set_xlim(right=right)
    panel.grid(axis="y")
    panel.set_ylabel("PSNR, dB")
    style.label_ends(panel, ends)
