"""The log beside denoised files: what was done to each, and how to know that it needs not be done again."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from denoisebench.core.errors import UserError
from denoisebench.core.files import file_sha256, read_text
from denoisebench.core.ownfiles import rewrite_own

FILE = "denoise-log.csv"


@dataclass(frozen=True)
class Entry:
    """One denoised file.

    Parameters
    ----------
    output : str
        Path of the result below the folder of the log.
    source : str
        The file that was denoised.
    shape, axes, dtype : str
        Of both.
    black, white, range : float or str
        Values that became 0 and 1, and why these.
    method, network, network_sha256 : str
        What denoised it, the network with how it is used; '' for a method without one.
    sigma : str
        Standard deviation of the noise in the values of the file, or how its variance grows with the signal; '' where
        the method takes the noise as it finds it.
    sigma_source : str
        'given', 'estimated', 'fitted' (noise that grows, not given), or 'guessed': an estimate that did not settle.
    planes, steps, tile : int
        Images in the file, steps of a fit to each, side of the tiles.
    seconds : float
        In the method and its network.
    notes : str
        What was converted, turned, filled.
    version, key, source_sha256, output_sha256 : str
        Version of the program; digest of all that decides the result; of the two files.
    """

    output: str
    source: str
    shape: str
    axes: str
    dtype: str
    black: float
    white: float
    range: str
    method: str
    network: str
    network_sha256: str
    sigma: str
    sigma_source: str
    planes: int
    steps: int
    tile: int
    seconds: float
    notes: str
    version: str
    key: str
    source_sha256: str
    output_sha256: str


def read_log(folder: Path) -> dict[str, Mapping[str, str]]:
    """The rows of a log by output; nothing where there is none, or it is not one."""
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(folder / FILE))))
    except (UserError, csv.Error):
        return {}
    names = [field.name for field in fields(Entry)]
    whole = [row for row in rows if all(isinstance(row.get(name), str) for name in names)]
    return {row["output"]: {name: row[name] for name in names} for row in whole}


def add_entry(folder: Path, entry: Entry) -> list[str]:
    """Write the log with one more row, or with another row of that output; returns what the user should know."""

    def log() -> bytes:
        rows = {**read_log(folder), entry.output: {name: str(value) for name, value in asdict(entry).items()}}
        text = io.StringIO()
        writer = csv.DictWriter(text, [field.name for field in fields(Entry)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[output] for output in sorted(rows))
        return text.getvalue().encode()

    # Another command may write into the same folder: between reading and writing it must not.
    return rewrite_own(folder, FILE, log)


def is_done(folder: Path, output: str, key: str) -> bool:
    """Whether a file is there as this very command wrote it."""
    row = read_log(folder).get(output)
    if row is None or row["key"] != key:
        return False
    try:
        return file_sha256(folder / output) == row["output_sha256"]
    except UserError:
        return False
