"""Scores as a pandas table, for notebooks and statistics of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from denoisebench.reports.cost import cost_columns
from denoisebench.reports.render import scores_csv
from denoisebench.results.store import StoredCell

if TYPE_CHECKING:
    import pandas

#: Columns of numbers that may be empty.
_NUMBERS = ("level", "estimate", "parameters", "multiply_adds", "memory")


def frame_of(cells: Sequence[StoredCell]) -> pandas.DataFrame:
    """The scores of some cells, one line per (method, noise, data set, image, repeat).

    Parameters
    ----------
    cells : sequence of StoredCell
        The current ones of a results folder.

    Returns
    -------
    pandas.DataFrame
        Columns as in scores.csv: psnr in dB, ssim, seconds per image, level (sigma on the 0..1 scale, or lambda), and
        estimate, the level that a method found by itself.
        Beside them the cost of each: parameters, training_images (crops seen) and training_seconds of a trained
        network, training_seed, device and machine; multiply_adds per pixel of the image, and memory in bytes, see
        `denoisebench.evaluation.counting`. The level is missing where nobody knows it.
    """
    import io

    import pandas

    # An empty cell means "told nothing" or "not trained", not a missing value.
    frame = pandas.read_csv(
        io.StringIO(scores_csv(cells, quoted=False)), keep_default_na=False, na_values={name: [""] for name in _NUMBERS}
    )
    for name, values in cost_columns(cells).items():
        frame[name] = frame["cell"].map(values)
    return frame
