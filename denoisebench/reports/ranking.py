"""Which scores of a column are marked best and second.

Methods compete that saw neither a clean image nor a second noisy copy, PSNR and SSIM apart, with the digits that are
printed. A place is marked where the line that has it can be told from every lower one: the 95 % interval of their
difference, over images and over trainings where there are several, excludes zero, and two networks had one training
(budget, crops, recipe, data). A network of 300 steps and one of 7000 say nothing of their methods.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, stdev
from typing import Literal

from denoisebench.core.student import t_quantile
from denoisebench.plugins.method import Need
from denoisebench.results.store import StoredCell
from denoisebench.results.summary import Line, Place, Score, score_of, shared_rows, training_seed

RULE = (
    "among methods that saw neither a clean image nor a second noisy copy, where the 95 % interval of the difference "
    "to every lower one excludes zero; none between networks of different trainings"
)
#: Follows `RULE` where a marked score is of one image, which has no interval.
OF_ONE_IMAGE = "; the order of a single image is that of this image alone, without an interval"
#: Who is told one of these does not compete, as in the caption of the Blind2Unblind paper's Table 1.
SUPERVISED = frozenset({Need.CLEAN.value, Need.SECOND.value})
SHIPPED = " (shipped)"
_DIGITS = {"psnr": 2, "ssim": 3}
_Attribute = Literal["psnr", "ssim"]


def competes(cell: StoredCell) -> bool:
    """Whether a cell's method is ranked: not the noisy input, and told no clean or second image."""
    return not (cell.about["baseline"] or SUPERVISED & set(cell.about["told"]))


def ranked(scores: Mapping[Line, Score], trainings: Mapping[Line, Sequence[StoredCell]]) -> dict[Line, Score]:
    """The scores of one column with their marks.

    Parameters
    ----------
    scores : Mapping[Line, Score]
        Of the column, their flags set.
    trainings : Mapping[Line, Sequence[StoredCell]]
        The cells behind each score.
    """
    found = dict(scores)
    present = [line for line in scores if competes(trainings[line][0])]
    if len(present) < 2:
        return found
    unlike = over_different_images(scores[line] for line in present)
    for line, mark in _marks("ssim", present, scores, trainings).items():
        found[line] = replace(found[line], ssim_mark=mark)
    for line, mark in {} if unlike else _marks("psnr", present, scores, trainings).items():
        found[line] = replace(found[line], psnr_mark=mark)
    return found


def rule(scores: Iterable[tuple[Score, Sequence[StoredCell]]]) -> str:
    """What the marks of a table say.

    Parameters
    ----------
    scores : Iterable[tuple[Score, Sequence[StoredCell]]]
        Of the table, each with the trainings behind it.
    """
    marked = (cells for score, cells in scores if score.psnr_mark or score.ssim_mark)
    alone = any(len(_images(place for cell in cells for place in cell.rows)) == 1 for cells in marked)
    return RULE + OF_ONE_IMAGE * alone


def over_different_images(scores: Iterable[Score]) -> bool:
    """Whether finite means of PSNR are over different images, because some equal their reference in one line only."""
    return len({score.perfect for score in scores if math.isfinite(score.psnr)}) > 1


def _marks(
    attribute: _Attribute,
    present: Sequence[Line],
    scores: Mapping[Line, Score],
    trainings: Mapping[Line, Sequence[StoredCell]],
) -> dict[Line, Place]:
    sound = ("", "fewer", "some below")
    rankable = (*sound, "below in SSIM") if attribute == "psnr" else sound
    left = [line for line in present if scores[line].flag in rankable]
    rows = {line: shared_rows(trainings[line]) for line in left}
    alike = len(set(rows.values())) == 1

    def above(one: Line, other: Line) -> float:
        """How much a printed mean is above another, on the images that both lines have; NaN if they share none."""
        pair = [scores[one], scores[other]]
        if not alike and rows[one] != rows[other]:
            common = rows[one] & rows[other]
            if not common:
                return math.nan
            pair = [score_of(trainings[line], common) for line in (one, other)]
        first, second = (round(getattr(score, attribute), _DIGITS[attribute]) for score in pair)
        return 0.0 if first == second else first - second

    def apart(one: Line, other: Line) -> bool:
        return one_budget(trainings[one][0], trainings[other][0]) and told_apart(
            trainings[one], trainings[other], attribute
        )

    found: dict[Line, Place] = {}
    marks: tuple[Place, ...] = ("best", "second")
    for mark in marks:
        here = [one for one in left if all(above(one, other) >= 0 for other in left)]
        lower = [line for line in left if line not in here]
        if not here or not all(above(one, other) > 0 and apart(one, other) for one in here for other in lower):
            break
        found |= dict.fromkeys(here, mark)
        left = lower
    return found


def one_budget(one: StoredCell, other: StoredCell) -> bool:
    """Whether two methods had the same training, or one of them none; a fit to each image has its method's own."""
    texts = [_training(cell) for cell in (one, other)]
    return "" in texts or texts[0] == texts[1]


def _training(cell: StoredCell) -> str:
    """The training of a network in words; empty for what is not trained for all images."""
    fitted = "fit" in (cell.identity.get("training") or {})
    return (
        ""
        if fitted
        else str(cell.about["training"]).removesuffix(f", seed {training_seed(cell)}").removesuffix(SHIPPED)
    )


def told_apart(one: Sequence[StoredCell], other: Sequence[StoredCell], attribute: _Attribute) -> bool:
    """Whether the interval of a mean difference excludes zero.

    The difference is taken image by image, on what all trainings of both have, repeats averaged. Its variance over
    images and that over trainings add up, each widened by Student's t of its own number. A single image of single
    trainings has no interval and says what it says; one of several images tells nothing apart.

    Parameters
    ----------
    one, other : Sequence[StoredCell]
        The trainings of two lines of one column.
    attribute : {'psnr', 'ssim'}
        Which score.
    """
    sides = [sorted(cells, key=training_seed) for cells in (one, other)]
    common = shared_rows([*one, *other])
    if not common or len(_images(common)) == 1 < max(len(_images(cell.rows)) for cell in (*one, *other)):
        return False
    values = [[{place: getattr(cell.rows[place], attribute) for place in common} for cell in cells] for cells in sides]
    finite = sorted(p for p in common if all(math.isfinite(part[p]) for side in values for part in side))
    images: dict[str, list[float]] = {}
    for place in finite:
        first, second = (fmean(part[place] for part in side) for side in values)
        images.setdefault(place[0], []).append(first - second)
    differences = [fmean(part) for part in images.values()]
    if not differences:
        return True
    means = [[fmean(part[place] for place in finite) for part in side] for side in values]
    if len(means[0]) > 1 and [*map(training_seed, sides[0])] == [*map(training_seed, sides[1])]:
        means = [[first - second for first, second in zip(*means, strict=True)]]
    half = math.hypot(*map(_half, [differences, *means]))
    return abs(fmean(differences)) > half


def _images(rows: Iterable[tuple[str, int]]) -> set[str]:
    return {image for image, _ in rows}


def _half(values: Sequence[float]) -> float:
    """Half the 95 % interval of a mean; 0 for a single value."""
    count = len(values)
    return t_quantile(0.975, count - 1) * stdev(values) / math.sqrt(count) if count > 1 else 0.0
