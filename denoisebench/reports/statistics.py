"""Two methods on the same noisy images: paired differences, their intervals, and who cannot be told apart.

The unit is the image. Repeats of one image share its content, so they are kept together: the bootstrap resamples
images, never rows. Where a method was trained from several seeds, the trainings are a second level; docs/statistics.md
says what follows from it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from denoisebench.core.errors import UserError
from denoisebench.core.student import t_quantile
from denoisebench.core.text import counted
from denoisebench.results.store import StoredCell
from denoisebench.results.summary import Column, Line, column_of, current, line_of, lines_named, training_seed

Floats: TypeAlias = npt.NDArray[np.float64]
Pair: TypeAlias = tuple[str, int]
Interval: TypeAlias = tuple[float, float]
Pairing: TypeAlias = tuple[int, int]

LEVEL = 0.95
RESAMPLES = 9999
SIGNIFICANCE = 1 - LEVEL
#: Of fewer images the signed-rank test finds nothing, whatever they show.
FEWEST = 6


@dataclass(frozen=True)
class Group:
    """The trainings of one line in one column: what is compared.

    Parameters
    ----------
    line, column : Line or Column
        Where it stands in the table.
    title : str
        Heading of the column.
    cells : Sequence[StoredCell]
        One per training.
    """

    line: Line
    column: Column
    title: str
    cells: Sequence[StoredCell]

    @property
    def name(self) -> str:
        """The label, with the settings in brackets when they are not the defaults."""
        return self.line.title

    @property
    def baseline(self) -> bool:
        """Whether it is the noisy input itself."""
        return bool(self.cells[0].about["baseline"])


@dataclass(frozen=True)
class Difference:
    """A method minus a reference, on the noisy images that both have.

    Parameters
    ----------
    one, other : Group
        The method and the reference.
    psnr, ssim : float
        Mean difference over images and trainings, in dB and SSIM; PSNR is NaN where no difference is finite.
    psnr_interval, ssim_interval : Interval | None
        95 % interval of that mean; None for a single image.
    images, rows : int
        How many are in both.
    won : float
        Share of images on which the method has the higher PSNR, equal ones as a half.
    p : float
        Wilcoxon signed-rank test on the differences of the images.
    p_holm : float
        The same, corrected for the other comparisons of the column.
    left_out : int
        Rows of infinite PSNR, which are in no difference of dB.
    missing : int
        Rows that only one of the two has.
    """

    one: Group
    other: Group
    psnr: float
    ssim: float
    psnr_interval: Interval | None
    ssim_interval: Interval | None
    images: int
    rows: int
    won: float
    p: float
    p_holm: float = 1.0
    left_out: int = 0
    missing: int = 0

    @property
    def detectable(self) -> bool:
        """Whether the interval excludes zero and the corrected test agrees."""
        interval = self.psnr_interval
        return interval is not None and not interval[0] <= 0 <= interval[1] and self.p_holm < SIGNIFICANCE

    def reversed(self) -> Difference:
        """The same comparison seen from the reference."""
        return replace(
            self, one=self.other, other=self.one, psnr=-self.psnr, ssim=-self.ssim, won=1 - self.won,
            psnr_interval=_negative(self.psnr_interval), ssim_interval=_negative(self.ssim_interval),
        )  # fmt: skip


def _negative(interval: Interval | None) -> Interval | None:
    return None if interval is None else (-interval[1], -interval[0])


# --- what is compared ---


def groups_of(cells: Sequence[StoredCell]) -> dict[Column, list[Group]]:
    """The newest cells by column and line, in the order of the table."""
    chosen = current(cells)[0]
    chosen.sort(key=lambda cell: not cell.about["baseline"])
    found: dict[tuple[Column, Line], list[StoredCell]] = {}
    for cell in chosen:
        found.setdefault((column_of(cell), line_of(cell)), []).append(cell)
    groups: dict[Column, list[Group]] = {}
    titles = {column: _title(found[column, line][0]) for column, line in found}
    several = [title for title in titles.values() if list(titles.values()).count(title) > 1]
    for (column, line), trainings in found.items():
        title = titles[column] + (f" (protocol {column.protocol})" if titles[column] in several else "")
        groups.setdefault(column, []).append(Group(line, column, title, trainings))
    return groups


def _title(cell: StoredCell) -> str:
    return f"{cell.about['dataset_title']}, {cell.about['noise_title']}"


def named(groups: Mapping[Column, Sequence[Group]], names: Sequence[str]) -> list[Line]:
    """The lines of the methods of these names: ``b2u[stride=2]``, or ``b2u`` for every ``b2u`` there is.

    Raises
    ------
    UserError
        No line has that name.
    """
    lines = list(dict.fromkeys(group.line for column in groups.values() for group in column))
    found: list[Line] = []
    for name in names:
        found += lines_named(lines, name)
    return list(dict.fromkeys(found))


def against(groups: Mapping[Column, Sequence[Group]], names: Sequence[str], reference: str) -> list[Difference]:
    """Every named method minus the reference, column by column; all other methods where none is named.

    Of a reference that was trained in several ways the newest one counts.

    Raises
    ------
    UserError
        A name is unknown, or no column has both a method and the reference.
    """
    references = named(groups, [reference])
    wanted = named(groups, names) if names else None
    found: list[Difference] = []
    for column in groups.values():
        others = [group for group in column if group.line in references]
        if not others:
            continue
        other = max(others, key=lambda group: max(str(cell.about["written"]) for cell in group.cells))
        ones = [g for g in column if g is not other and (wanted is None or g.line in wanted)]
        found += corrected([d for one in ones if (d := difference(one, other)) is not None])
    if not found:
        if {*names} == {reference}:
            raise UserError(f"There is nothing to compare {reference!r} with: name another method than the reference.")
        raise UserError(
            f"No noisy image of this folder was scored for {reference!r} and for another method under one protocol, so "
            "there is nothing to compare; `denoisebench run --methods` with both makes such rows."
        )
    return found


# --- numbers ---


def difference(one: Group, other: Group) -> Difference | None:
    """``one`` minus ``other`` on the (image, repeat) pairs that every training of both has; None if there are none.

    Raises
    ------
    ValueError
        The two are of different protocols.
    """
    if one.column != other.column:
        raise ValueError(f"rows of {one.column} and {other.column} are not comparable")
    have = [cell.rows.keys() for cell in (*one.cells, *other.cells)]
    pairs = sorted(set.intersection(*map(set, have)))
    if not pairs:
        return None
    missing = len(set.union(*map(set, have))) - len(pairs)
    ssim = [_levels(group, "ssim", pairs) for group in (one, other)]
    levels = [_levels(group, "psnr", pairs) for group in (one, other)]
    finite = np.flatnonzero(np.isfinite(levels[0]).all(axis=0) & np.isfinite(levels[1]).all(axis=0))
    rated = [pairs[place] for place in finite]
    seeds = [[training_seed(cell) for cell in group.cells] for group in (one, other)]
    together = len(seeds[0]) > 1 and sorted(seeds[0]) == sorted(seeds[1])
    mean, interval, won, p = math.nan, None, 0.5, 1.0
    if rated:
        clusters = [image for image, _ in rated]
        mean, interval = paired_mean(levels[0][:, finite], levels[1][:, finite], clusters, together)
        by_image, _ = _cluster_means((levels[0].mean(axis=0) - levels[1].mean(axis=0))[finite], clusters)
        won = float(np.mean((by_image > 0) + 0.5 * (by_image == 0)))
        p = signed_rank(by_image)
    ssim_mean, ssim_interval = paired_mean(ssim[0], ssim[1], [image for image, _ in pairs], together)
    images = len({image for image, _ in pairs})
    return Difference(
        one, other, mean, ssim_mean, interval, ssim_interval, images, len(pairs), won, p, p,
        len(pairs) - len(rated), missing,
    )  # fmt: skip


def _levels(group: Group, attribute: str, pairs: Sequence[Pair]) -> Floats:
    """Scores by training (in the order of their seeds) and pair."""
    cells = sorted(group.cells, key=training_seed)
    return np.array([[getattr(cell.rows[pair], attribute) for pair in pairs] for cell in cells], float)


def paired_mean(one: Floats, other: Floats, clusters: Sequence[str], together: bool) -> tuple[float, Interval | None]:
    """Mean of ``one - other`` and its interval.

    Parameters
    ----------
    one, other : ndarray
        (trainings, rows); the two may differ in their number of trainings.
    clusters : sequence of str
        The image of every row.
    together : bool
        Training t of the one and training t of the other come from one seed, which makes a pair of them.
    """
    rows = one.mean(axis=0) - other.mean(axis=0)
    sides = [one - other] if together else [one, other]
    effects = [side.mean(axis=1) - side.mean() for side in sides if len(side) > 1]
    return float(rows.mean()), clustered_interval(rows, clusters, effects)


def clustered_interval(
    values: npt.ArrayLike,
    clusters: Sequence[object],
    trainings: Sequence[npt.ArrayLike] = (),
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """Percentile bootstrap interval of the mean of rows, with whole clusters (images) resampled.

    Parameters
    ----------
    values : array_like
        One value per row.
    clusters : sequence
        The cluster of every row.
    trainings : sequence of array_like
        Deviations of the trainings' means, one array per set of trainings, each resampled on its own.
    level, resamples, seed : float, int, int
        Of the bootstrap.

    Returns
    -------
    Interval | None
        Lower and upper end; None for a single cluster.

    Notes
    -----
    The percentile interval of n units is too short for small n: by sqrt((n - 1) / n), and by the quantile of the normal
    where that of Student's t is due. All deviations are therefore widened by both factors before they are resampled
    (Hesterberg, What Teachers Should Know About the Bootstrap, 2015, calls this the expanded percentile interval).
    """
    from scipy.stats import bootstrap

    rows = np.asarray(values, float)
    means, counts = _cluster_means(rows, clusters)
    if len(means) < 2:
        return None
    mean = float(rows.mean())
    # Clusters of different sizes weigh in the mean by their rows.
    deviations = (means - mean) * counts / counts.mean()
    parts = [_widened(np.asarray(part, float), level) for part in (deviations, *trainings)]
    found = bootstrap(
        parts, _sum_of_means, n_resamples=resamples, batch=999, vectorized=True, confidence_level=level,
        method="percentile", rng=np.random.default_rng(seed),
    )  # fmt: skip
    low, high = found.confidence_interval
    return mean + float(low), mean + float(high)


def _sum_of_means(*parts: Floats, axis: int = -1) -> Floats:
    return np.asarray(sum(part.mean(axis=axis) for part in parts))


def _widened(deviations: Floats, level: float) -> Floats:
    count, tail = len(deviations), (1 + level) / 2
    return deviations * math.sqrt(count / (count - 1)) * (t_quantile(tail, count - 1) / NormalDist().inv_cdf(tail))


def _cluster_means(values: Floats, clusters: Sequence[object]) -> tuple[Floats, Floats]:
    """Mean and size of every cluster, in order of appearance."""
    places = {cluster: place for place, cluster in enumerate(dict.fromkeys(clusters))}
    index = np.array([places[cluster] for cluster in clusters])
    counts = np.bincount(index).astype(float)
    return np.bincount(index, weights=values) / counts, counts


def signed_rank(differences: Floats) -> float:
    """Two-sided p-value of the Wilcoxon signed-rank test; 1 where nothing differs."""
    from scipy.stats import wilcoxon

    moved = differences[differences != 0]
    return float(wilcoxon(moved).pvalue) if len(moved) else 1.0


def too_few(images: int) -> str:
    """What is to be said of a comparison on fewer images than `FEWEST`."""
    return f"With {counted(images, 'image')} no test can find a difference; {FEWEST} are needed."


def holm(p: Sequence[float]) -> list[float]:
    """Holm's correction of several p-values: each says what it would say of the whole family."""
    order = np.argsort(p)
    steps = np.asarray(p, float)[order] * (len(p) - np.arange(len(p)))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(value) for value in corrected]


def corrected(differences: Sequence[Difference]) -> list[Difference]:
    """The comparisons of one family, each with its p-value corrected for the others."""
    values = holm([d.p for d in differences])
    return [replace(d, p_holm=value) for d, value in zip(differences, values, strict=True)]


def pairwise(column: Sequence[Group]) -> dict[Pairing, Difference]:
    """Every two groups of a column that share a row, by their places: the later one minus the earlier one."""
    pairings = [(i, j) for i in range(len(column)) for j in range(i)]
    return {pair: d for pair in pairings if (d := difference(column[pair[0]], column[pair[1]])) is not None}


def alike(column: Sequence[Group], pairs: Mapping[Pairing, Difference] | None = None) -> list[list[Group]]:
    """Methods between which no difference is detectable: runs of the ranking by PSNR, longest first, two or more.

    Every pair of a column is compared, corrected for all of them. Groups may overlap: A and B, B and C, not A and C.

    Parameters
    ----------
    column : Sequence[Group]
        The groups of one column.
    pairs : Mapping[Pairing, Difference] | None
        What `pairwise` found, if it is known already.
    """
    found = pairwise(column) if pairs is None else pairs
    apart = {frozenset(pair) for pair, d in zip(found, corrected(list(found.values())), strict=True) if d.detectable}
    indices = [(i, j) for i in range(len(column)) for j in range(i)]
    # What shares no row was not compared.
    apart |= {frozenset(pair) for pair in indices if pair not in found}
    ranking = sorted(range(len(column)), key=lambda place: -_mean_psnr(column[place]))
    runs: list[list[int]] = []
    for start in range(len(ranking)):
        end = start + 1
        while end < len(ranking) and all(frozenset((ranking[end], i)) not in apart for i in ranking[start:end]):
            end += 1
        if end - start > 1 and not (runs and set(ranking[start:end]) <= set(runs[-1])):
            runs.append(ranking[start:end])
    return [[column[place] for place in run] for run in runs]


def _mean_psnr(group: Group) -> float:
    return float(np.mean([np.mean([row.psnr for row in cell.rows.values()]) for cell in group.cells]))
