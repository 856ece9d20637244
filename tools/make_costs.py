"""Make denoisebench/execution/costs.csv, what methods cost on a reference machine, from measured results.

Usage: python tools/make_costs.py results/gauss25 results/quality
       python tools/make_costs.py --add NEW-RESULTS

The scores of a results folder give seconds per image (per step for methods fitted to each image), its training
records, and those of the shipped weights, seconds per training step. Of several measurements of one size the fastest
counts: they were taken while other work ran. With --add the table keeps what it holds, for a folder of new methods.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

from denoisebench.data.dataset import data_roots
from denoisebench.execution.forecast import COSTS, COSTS_COLUMNS, TRAIN, Timed, measured, trained
from denoisebench.plugins.lookup import parse_datasets
from denoisebench.results.store import Store
from denoisebench.training.weights import read_folder, shipped_folder


def costs(folders: list[Path]) -> Iterator[Timed]:
    """What was measured in results folders."""
    for folder in folders:
        for cell in Store(folder, create=False).all():
            dataset = parse_datasets(cell.identity["protocol"]["dataset"], data_roots())[0]
            yield from measured(cell, dataset)


def of_weights() -> Iterator[Timed]:
    """What the trainings of the shipped weights took."""
    shipped = shipped_folder()
    for weights in read_folder(shipped).values() if shipped else ():
        yield from trained(weights.record)


def stored() -> Iterator[Timed]:
    """The table as it is."""
    with COSTS.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            yield Timed(row["name"], row["settings"], row["kind"], float(row["megapixels"]), float(row["seconds"]))


def main(folders: list[Path], add: bool) -> None:
    """Write the table."""
    best: dict[tuple[str, str, str, str], float] = {}
    for name, settings, kind, megapixels, seconds in [*costs(folders), *(stored() if add else of_weights())]:
        key = (name, "" if kind == TRAIN else settings, kind, f"{megapixels:.4g}")
        best[key] = min(seconds, best.get(key, seconds))
    with COSTS.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COSTS_COLUMNS)
        writer.writerows((*key, f"{seconds:.3g}") for key, seconds in sorted(best.items()))


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:] if argument != "--add"], "--add" in sys.argv)
