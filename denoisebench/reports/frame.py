"""Scores as a pandas table, for notebooks and statistics of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from denoisebench.core.errors import UserError
from denoisebench.reports.cost import cost_columns
from denoisebench.reports.render import scores_csv
from denoisebench.results.store import Store
from denoisebench.results.summary import current

if TYPE_CHECKING:
    import pandas


def scores_frame(folder: Path | str) -> pandas.DataFrame:
    """The scores of a results folder, one line per (method, noise, data set, image, repeat).

    Parameters
    ----------
    folder : as given to ``--out``

    Returns
    -------
    Columns as in scores.csv: psnr in dB, ssim, seconds per image, level (sigma on the 0..1 scale, or lambda).
    Beside them the cost of each: parameters, training_images (crops seen) and training_seconds of a trained network,
    training_seed, device and machine.
    The level is missing where nobody knows it. Average only within one value of ``protocol``: rows of different
    protocols are not comparable.

    Raises
    ------
    UserError
        The folder holds no results, or a damaged file.

    Examples
    --------
    >>> scores = scores_frame("denoisebench-results")  # doctest: +SKIP
    >>> scores.groupby(["protocol", "method"]).psnr.mean()  # doctest: +SKIP
    """
    import io

    import pandas

    store = Store(Path(folder), create=False)
    cells, _ = current(store.all())
    if store.damaged:
        raise UserError(" ".join(store.damaged))
    # An empty cell means "told nothing" or "not trained", not a missing value.
    frame = pandas.read_csv(
        io.StringIO(scores_csv(cells, quoted=False)), keep_default_na=False, na_values={"level": [""]}
    )
    for name, values in cost_columns(cells).items():
        frame[name] = frame["cell"].map(values)
    return frame
