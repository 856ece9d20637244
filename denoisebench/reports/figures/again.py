"""The pictures of a comparison: one image of a run, as it was kept, or made again by every method that was scored."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from denoisebench.audit.again import Again, denoised_again
from denoisebench.audit.subject import CellFilter, subject_of
from denoisebench.core.errors import UserError, explain, unknown
from denoisebench.core.progress import for_stderr
from denoisebench.reports.figures.comparison import Crop, Picture, check_crop, clean_picture, scored
from denoisebench.reports.statistics import Group
from denoisebench.results.pictures import FOLDER, ROUNDING, are_kept, kept, scoring_of
from denoisebench.results.store import Store, StoredCell
from denoisebench.results.summary import Column, training_seed


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
    results: Path, groups: Mapping[Column, Sequence[Group]], choice: CellFilter, image: str | None, repeat: int,
    crops: Sequence[Crop] = (),
) -> Made:  # fmt: skip
    """One image as the methods of one column leave it, the first column that has the image.

    What the run has kept is read; the rest is denoised again.

    Parameters
    ----------
    results : Path
        The results folder, which holds networks that the run trained.
    groups : mapping
        What to choose from; see `denoisebench.reports.statistics.groups_of`.
    choice : CellFilter
        Where data and weights are.
    image : str, optional
        Its name; the one where stored scores differ most if None, of the kept ones if there are any.
    repeat : int
        Which noisy copy.
    crops : sequence of Crop
        What will be shown of it; checked as soon as its size is known.

    Raises
    ------
    UserError
        No column has that image, none of its pictures was kept or can be made again, or a crop leaves it.
    """
    column = _column(groups, image, repeat)
    name = image or kept_first(results, column, telling(column, repeat), repeat)[0]
    members = [group for group in column if not group.baseline and (name, repeat) in _cell(group).rows]
    if not members:
        raise UserError(f"No method of these results was scored on image {name!r}, noisy copy {repeat}.")
    store = Store(results, create=False)
    pictures: list[Picture] = []
    clean: Picture | None = None
    said: list[str] = []
    progress = for_stderr()
    for number, group in enumerate(members, 1):
        cell, changes = _cell(group), ""
        found = _as_kept(results, cell, name, repeat)
        if found is None:
            progress.say(f"[{number}/{len(members)}] {group.name} on {name}")
            try:
                subject = subject_of(cell, store, choice)
                found = denoised_again(subject, name, repeat)
            except Exception as error:  # a plugin may raise anything, and must not cost the others their pictures
                said.append(f"{group.name} is left out: {explain(error)}")
                continue
            changes = f" ({'; '.join(subject.changes)})" if subject.changes else ""
        if clean is None:
            clean = clean_picture(found.clean)
            for crop in crops:
                check_crop(crop, clean.image)
            pictures.append(scored("Noisy input", found.noisy, found.clean, scoring_of(cell)))
        pictures.append(Picture(group.name, found.result, found.psnr, found.ssim))
        if found.moved > ROUNDING:
            said.append(f"{group.name}: PSNR differs from the stored one by {found.moved:.3g} dB{changes}.")
    if clean is None:
        raise UserError(f"No method of these results can be run again. {' '.join(said)}")
    copy = f", copy {repeat}" if repeat else ""
    return Made(clean, pictures, f"{name}{copy} ({members[0].title})", said)


def _as_kept(results: Path, cell: StoredCell, image: str, repeat: int) -> Again | None:
    """What a run has kept of an image, if it is all there and has the stored score."""
    there = kept(results, cell, image, repeat)
    if there is None:
        return None
    row = cell.rows[image, repeat]
    return Again(there.clean, there.noisy, there.result, row.psnr, row.ssim, 0.0)


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


def kept_first(results: Path, column: Sequence[Group], names: Sequence[str], repeat: int) -> list[str]:
    """The same images, first those that a run has kept as every method leaves them."""
    if not (results / FOLDER).is_dir():
        return list(names)
    cells = [_cell(group) for group in column if not group.baseline]
    return sorted(names, key=lambda name: not all(are_kept(results, cell, name, repeat) for cell in cells))


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
