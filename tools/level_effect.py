"""What columns of ranged levels, measured with fewer draws than the paper's, would show over all of its draws.

Usage: python tools/level_effect.py RESULTS LEVELS

RESULTS holds a method on a ranged noise and on a single level of it. LEVELS holds any method (identity is the cheapest)
on the ranged noise with all the paper's draws, of which only the levels are read:

    denoisebench run --methods identity --noise gauss5_50,poisson5_50 --datasets kodak,bsd300,set14 --repeats paper \
        --noise-draws legacy --out LEVELS

For each image, PSNR at its drawn level minus PSNR at the single level is fitted by s x + q x^2, where x is the decimal
logarithm of the ratio of levels, and the fit is averaged over the levels of all draws. A prediction, not a measurement.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tabulate import tabulate

from denoisebench.protocol.noise import Noise, parse_noise
from denoisebench.reports.paper.published import Key, published
from denoisebench.results.store import Store, StoredCell

FloatArray = npt.NDArray[np.float64]
HEADS = ("method", "data", "noise", "one draw", "s", "q", "rest", "all draws", "measured", "paper")


def first_draw(cell: StoredCell) -> StoredCell:
    """The cell with the first draw of each image alone."""
    return replace(cell, rows={place: row for place, row in cell.rows.items() if row.repeat == 0})


def ratios(cell: StoredCell, level: float) -> FloatArray:
    """Decimal logarithm of the level of each row over another."""
    return np.array([np.log10((row.level or level) / level) for row in cell.rows.values()])


def fit(ranged: StoredCell, single: StoredCell, level: float) -> tuple[FloatArray, float]:
    """s and q, and the standard deviation of what they leave."""
    alone = {row.image: row.psnr for row in single.rows.values()}
    x = ratios(ranged, level)
    y = np.array([row.psnr - alone[row.image] for row in ranged.rows.values()])
    terms = np.stack([x, x**2], axis=1)
    found = np.linalg.lstsq(terms, y, rcond=None)[0]
    return found, float(np.std(y - terms @ found, ddof=2))


def single_of(noise: Noise, cells: dict[tuple[str, str, str], StoredCell], method: str, data: str) -> Noise | None:
    """A measured single level of the same family."""
    for name, dataset, text in cells:
        other = parse_noise(text)
        if (name, dataset, other.family) == (method, data, noise.family) and not other.ranged:
            return other
    return None


def main(results: Path, levels: Path) -> None:
    """Print a line for each method, test set and ranged noise."""
    cells, whole = {}, {}
    for cell in Store(results, create=False).all():
        protocol = cell.identity["protocol"]
        place = cell.about["text"], protocol["dataset"], protocol["noise"]
        cells[place], whole[place] = first_draw(cell), cell
    draws = {
        (cell.identity["protocol"]["dataset"], cell.identity["protocol"]["noise"]): cell
        for cell in Store(levels, create=False).all()
    }
    lines = []
    for (method, data, text), cell in cells.items():
        noise = parse_noise(text)
        single = single_of(noise, cells, method, data) if noise.ranged else None
        if single is None or (data, text) not in draws:
            continue
        level = single.low / (255.0 if noise.family == "gauss" else 1.0)
        alone = cells[method, data, single.id]
        (s, q), rest = fit(cell, alone, level)
        x, images = ratios(draws[data, text], level), {row.image: row.psnr for row in alone.rows.values()}
        base = np.array([images[row.image] for row in draws[data, text].rows.values()])
        one = float(np.mean([row.psnr for row in cell.rows.values()]))
        paper = published().get(Key(method, text, data))
        numbers = [f"{value:.2f}" for value in (one, s, q, rest, float(np.mean(base + s * x + q * x**2)))]
        rows = whole[method, data, text].rows
        measured = f"{np.mean([row.psnr for row in rows.values()]):.2f}" if len(rows) > len(cell.rows) else ""
        lines.append([method, data, text, *numbers, measured, f"{paper.psnr:.2f}" if paper else ""])
    print(tabulate(sorted(lines), HEADS, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
