"""The pictures of a comparison: one image of a run, made again by every method that was scored on it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from denoisebench.audit.again import denoised_again
from denoisebench.audit.subject import CellFilter, subject_of
from denoisebench.audit.toggles import sentence
from denoisebench.core.errors import UserError, unknown
from denoisebench.core.progress import for_stderr
from denoisebench.protocol.metrics import SCORINGS
from denoisebench.reports.figures.comparison import Picture, clean_picture, scored
from denoisebench.reports.statistics import Group
from denoisebench.results.store import Store, StoredCell
from denoisebench.results.summary import Column, training_seed

#: Differences of floating-point arithmetic in dB: other libraries, other processors.
_ROUNDING = 1e-3


@dataclass(frozen=True)
class Made:
    """What a comparison shows.

    Parameters
    ----------
    clean : Picture
        The reference.
    pictures : Sequence[Picture]
        The noisy image, then the results.
    heading : str
        Image, test set and noise.
    said : Sequence[str]
        Sentences about what is missing or came out differently.
    """

    clean: Picture
    pictures: Sequence[Picture]
    heading: str
    said: Sequence[str]


def pictures_of(
    results: Path, groups: Mapping[Column, Sequence[Group]], choice: CellFilter, image: str | None, repeat: int
) -> Made:
    """Denoise one image again by the methods of one column, the first that has the image.

    Parameters
    ----------
    results : Path
        The results folder, which holds networks that the run trained.
    groups : mapping
        What to choose from; see `denoisebench.reports.statistics.groups_of`.
    choice : CellFilter
        Where data and weights are.
    image : str, optional
        Its name; the one where stored scores differ most if None.
    repeat : int
        Which noisy copy.

    Raises
    ------
    UserError
        No column has that image, or no method can be run again.
    """
    column = _column(groups, image, repeat)
    name = image or telling(column, repeat)[0]
    members = [group for group in column if not group.baseline and (name, repeat) in _cell(group).rows]
    if not members:
        raise UserError(f"No method of these results was scored on image {name!r}, noisy copy {repeat}.")
    store = Store(results, create=False)
    pictures: list[Picture] = []
    clean: Picture | None = None
    said: list[str] = []
    progress = for_stderr()
    for number, group in enumerate(members, 1):
        progress.say(f"[{number}/{len(members)}] {group.name} on {name}")
        try:
            subject = subject_of(_cell(group), store, choice)
            found = denoised_again(subject, name, repeat)
        except Exception as error:  # a plugin may raise anything, and must not cost the others their pictures
            said.append(f"{group.name} is left out: {sentence(error)}")
            continue
        if clean is None:
            clean = clean_picture(found.clean)
            pictures.append(scored("Noisy input", found.noisy, found.clean, SCORINGS[subject.dataset.scoring]))
        pictures.append(Picture(group.name, found.result, found.psnr, found.ssim))
        if found.moved > _ROUNDING:
            why = f" ({'; '.join(subject.changes)})" if subject.changes else ""
            said.append(f"{group.name}: PSNR differs from the stored one by {found.moved:.3g} dB{why}.")
    if clean is None:
        raise UserError(f"No method of these results can be run again. {' '.join(said)}")
    copy = f", copy {repeat}" if repeat else ""
    return Made(clean, pictures, f"{name}{copy} ({members[0].title})", said)


def _cell(group: Group) -> StoredCell:
    """The cell of the first seed."""
    return min(group.cells, key=training_seed)


def _column(groups: Mapping[Column, Sequence[Group]], image: str | None, repeat: int) -> Sequence[Group]:
    """The first column that has the image in a method's rows."""
    names: set[str] = set()
    for column in groups.values():
        scored = {name for g in column if not g.baseline for name, number in _cell(g).rows if number == repeat}
        if image in scored or (image is None and scored):
            return column
        names |= scored
    if image is None or not names:
        raise UserError(f"No method of these results was scored on a noisy copy {repeat}; give another --repeat.")
    raise unknown("image of this run", image, names)


def telling(column: Sequence[Group], repeat: int) -> list[str]:
    """The images that all methods have, those first where the stored PSNR differs most between them."""
    cells = [_cell(group) for group in column if not group.baseline]
    common = set.intersection(*({name for name, number in cell.rows if number == repeat} for cell in cells))
    images = sorted(common or {name for name, number in cells[0].rows if number == repeat})

    def spread(name: str) -> float:
        values = [cell.rows[name, repeat].psnr for cell in cells if (name, repeat) in cell.rows]
        finite = [value for value in values if math.isfinite(value)]
        return float(np.std(finite)) if finite else 0.0

    return sorted(images, key=spread, reverse=True)
