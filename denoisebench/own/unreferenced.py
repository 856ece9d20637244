"""A run on noisy images that nobody has a clean copy of: networks trained on them, results, estimated scores.

There is no PSNR and no SSIM of such images. What is shown is the estimates of `denoisebench.own.risk`, where what they
assume holds, and elsewhere the reason why there is none.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from denoisebench.core.errors import Mistakes, UserError
from denoisebench.core.files import Damaged, file_sha256, make_folder, sealed, unsealed, write_text
from denoisebench.core.ownfiles import write_own
from denoisebench.core.progress import Progress
from denoisebench.core.provenance import full_digest
from denoisebench.core.systemfiles import own_entries
from denoisebench.core.text import counted, file_part, readable
from denoisebench.data.captures import noisy_place
from denoisebench.data.unusual import refusal
from denoisebench.own.batch import denoise_files
from denoisebench.own.denoise import Request, Runner, for_files
from denoisebench.own.rank import Ranked, Ranking, Scene, doubts, ranking_table, scene_of
from denoisebench.own.reading import CAPTURE_AXES, SUFFIXES, read_stack, read_view
from denoisebench.own.residual import Checks, worst
from denoisebench.own.risk import Estimate, combined
from denoisebench.own.stack import Stack, ToConvert
from denoisebench.own.training import untrainable
from denoisebench.plugins.method import LearnedMethod, Method
from denoisebench.protocol.images import image_id, some

#: Files of scores, beside those of a run.
STEM = "reference-free"
_FORMAT = 2
_COLUMNS = (
    "dataset", "view", "method", "by", "estimated_psnr", "low", "high", "correlation_removed", "means_moved",
    "resolution", "seconds", "reason",
)  # fmt: skip
_PLACES = re.compile(r"(\{view\}|\{capture\})")


@dataclass(frozen=True)
class View:
    """Files that show the same: captures, or a single one."""

    name: str
    captures: Sequence[Path]


@dataclass(frozen=True)
class NoisyFolder:
    """A folder of noisy images.

    Parameters
    ----------
    path : Path
        As it was given.
    name : str
        For tables and folders of results.
    views : sequence of View
        In order of their names.
    left_out : sequence of str
        Names of what lies in it and is not read.
    converted : sequence of str
        Names of what is made gray or RGB.
    """

    path: Path
    name: str
    views: Sequence[View]
    left_out: Sequence[str]
    converted: Sequence[str] = ()

    @property
    def several(self) -> bool:
        """Whether there are two captures or more of every view."""
        return min(len(view.captures) for view in self.views) > 1

    @property
    def text(self) -> str:
        """What it is taken for, as a sentence."""
        counts = sorted({len(view.captures) for view in self.views})
        several = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
        each = f"{several} capture{'s' if counts[-1] > 1 else ''}"
        also = f" Not read: {some(self.left_out)} ({len(self.left_out)} in all)." if self.left_out else ""
        if self.converted:
            also += f" Converted: {some(self.converted)} ({len(self.converted)} in all)."
        views = counted(len(self.views), "view")
        return f"Folder {self.path} is taken as noisy images without clean ones: {views}, {each} of each.{also}"


def noisy_folder(path: Path, pattern: str | None = None, limit: int | None = None) -> NoisyFolder:
    """What is in a folder of noisy images.

    Files directly in it are a view each, sub-folders are a view with its captures. Where the images lie in a sub-folder
    ``noisy`` or ``raw``, that one is looked at.

    Parameters
    ----------
    path : Path
        The folder.
    pattern : str or None
        File names without ending of several captures of a view: ``{view}_{capture}``.
    limit : int or None
        Only so many views.

    Raises
    ------
    UserError
        There is no image, or names do not fit the pattern.
    """
    place = noisy_place(path)
    inside = list(own_entries(place))
    files = [one for one in inside if not one.is_dir() and one.suffix.lower() in SUFFIXES]
    views: dict[str, list[Path]] = {}
    for file in files:
        views.setdefault(image_id(file.name) if pattern is None else _view_of(file, pattern), []).append(file)
    left = [one.name for one in inside if not one.is_dir() and one not in files]
    for folder in (one for one in inside if one.is_dir()):
        captures = [one for one in own_entries(folder) if not one.is_dir() and one.suffix.lower() in SUFFIXES]
        if captures:
            views.setdefault(readable(folder.name), []).extend(captures)
        else:
            left.append(f"{folder.name}/")
    if not views:
        raise UserError(f"Folder {place} holds no image ({', '.join(SUFFIXES)}).")
    twice = next((name for name, found in views.items() if pattern is None and _mixed(found)), None)
    if twice is not None:
        raise UserError(f"Folder {place} has several images named {twice!r}; give captures of one view a folder.")
    found = [View(name, views[name]) for name in sorted(views)][:limit]
    return NoisyFolder(path, readable(path.resolve().name), found, left)


def _mixed(files: Sequence[Path]) -> bool:
    """Whether files of one name are no captures of one folder: ``a.tif`` beside ``a.png`` or ``a/``."""
    return len({file.parent for file in files}) > 1 or (len({file.stem for file in files}) == 1 and len(files) > 1)


def _view_of(file: Path, pattern: str) -> str:
    parts = [
        {"{view}": "(?P<view>.+)", "{capture}": "(?:.+?)"}.get(part, re.escape(part)) for part in _PLACES.split(pattern)
    ]
    if _PLACES.findall(pattern).count("{view}") != 1 or "{capture}" not in pattern:
        raise UserError(f"--captures {pattern!r}: name both parts of a file name once, as in '{{view}}_{{capture}}'.")
    match = re.fullmatch("".join(parts), image_id(file.name))
    if match is None:
        raise UserError(f"The name of {file} does not fit --captures {pattern!r}.")
    return match["view"]


def usual_images(folder: NoisyFolder, unusual: str) -> NoisyFolder:
    """The folder with its palette, CMYK and alpha images converted, left out, or refused all at once.

    Parameters
    ----------
    folder : NoisyFolder
        The images; each is read.
    unusual : str
        One of `denoisebench.data.unusual.CHOICES`; with 'skip' what cannot be read at all is left out, too.

    Raises
    ------
    UserError
        There are such images and they are to stop the run, or nothing is left.
    """
    views, left, converted, errors = list[View](), list[str](), list[str](), list[UserError]()
    for view in folder.views:
        captures = []
        for path in view.captures:
            name, error = readable(path.relative_to(folder.path).as_posix()), _unreadable(path)
            # Damaged files are told of one by one, and cost the others nothing.
            if unusual != "convert" and (isinstance(error, ToConvert) or (error is not None and unusual == "skip")):
                errors.append(UserError(f"{path} is {error.what}.") if isinstance(error, ToConvert) else error)
                left.append(name)
                continue
            if isinstance(error, ToConvert) and _unreadable(path, convert=True) is None:
                converted.append(name)
            captures.append(path)
        views += [View(view.name, captures)] if captures else []
    if errors and (unusual == "stop" or not views):
        raise refusal(errors, [], sum(len(view.captures) for view in views), unusual)
    return replace(folder, views=views, left_out=[*folder.left_out, *left], converted=converted)


def _unreadable(path: Path, convert: bool = False) -> UserError | None:
    """Why a file cannot be read; None if it can be."""
    try:
        read_stack(path, None, convert)
    except UserError as error:
        return error
    return None


@dataclass
class Unreferenced:
    """What a run on a folder of noisy images found.

    Parameters
    ----------
    folder : NoisyFolder
        The images.
    rankings : list of Ranking
        One for each kind of estimate that could be had, over all views with it.
    scores : list of (str, Ranking)
        View, and what was estimated on it.
    reasons : list of (str, str)
        View, and why nothing could be estimated on it.
    skipped, failed : list of (str, str)
        Method, and why it did not run; file or method, and what went wrong.
    said : list of str
        What the user should know.
    """

    folder: NoisyFolder
    rankings: list[Ranking] = field(default_factory=list)
    scores: list[tuple[str, Ranking]] = field(default_factory=list)
    reasons: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def run_unreferenced(
    folder: NoisyFolder,
    methods: Sequence[Method],
    request: Request,
    side: int,
    progress: Progress,
    workers: int = 1,
) -> Unreferenced:
    """Denoise a folder of noisy images by some methods, and estimate how well each does.

    Networks are trained on the folder and on nothing else. Results go to ``denoised/FOLDER/METHOD`` below
    ``request.out``; estimates are kept there, so that the same call again computes nothing.

    Parameters
    ----------
    folder : NoisyFolder
        The images.
    methods : sequence of Method
        Whom to compare.
    request : Request
        How files are read and what methods get; its method, and whether it is trained, are set for each.
    side : int
        Of the piece in the middle of each view that is scored.
    progress : Progress
        Is told of every plane.
    workers : int
        Processes that share the files; results are the same.
    """
    outcome, runners = Unreferenced(folder), dict[str, _Scorer]()
    views = [view.captures for view in folder.views]
    files = [(path, path.relative_to(folder.path)) for paths in views for path in paths]
    for method in (one for one in methods if not one.info.baseline):
        learned = isinstance(method, LearnedMethod)
        reason = untrainable(method, folder.several) if learned else None
        if reason:
            outcome.skipped.append((method.text, f"it {reason}."))
            continue
        mine = replace(
            request, method=method, out=request.out / "denoised" / file_part(folder.name) / file_part(method.text),
            train=learned, budget=request.budget if learned else None,
        )  # fmt: skip
        done = denoise_files(files, mine, progress, views, workers)
        outcome.failed += [(f"{method.text} on {one.source}", one.reason) for one in done.problems]
        outcome.said += done.said
        if done.done or done.present:
            runners[method.text] = _Scorer(method, Runner(for_files(mine, files, views), views, progress), mine)
    with progress.task(f"score {folder.name}") as task:
        for number, view in enumerate(folder.views):
            _score(view, request, runners, side, outcome)
            task.update((number + 1) / len(folder.views), view.name)
    trained = any(scorer.request.train for scorer in runners.values())
    outcome.rankings = _over_views([ranking for _, ranking in outcome.scores], trained)
    return outcome


@dataclass(frozen=True)
class _Scorer:
    """A method and how it denoises."""

    method: Method
    runner: Runner
    request: Request


def _score(view: View, request: Request, scorers: Mapping[str, _Scorer], side: int, outcome: Unreferenced) -> None:
    """All methods on one view; what was estimated before is read back."""
    folder = request.out / STEM
    try:
        hashes = [file_sha256(path) for path in view.captures]
    except UserError as error:
        outcome.reasons.append((view.name, str(error)))
        return
    asked: list[_Scorer | None] = [None, *scorers.values()]
    paths = [folder / f"{_key(one, request, hashes, side)}.json" for one in asked]
    found = [_read(path) for path in paths]
    scene: Scene | None = None
    kept: list[dict[str, Any]] = []
    for scorer, path, known in zip(asked, paths, found, strict=True):
        if known is None:
            try:
                if scene is None:
                    scene = _scene(view, request, side)
                known = _written(scene, scene.score(*((scorer.method, scorer.runner) if scorer else (None, None))))
            except UserError as error:
                known = {"reason": str(error)}
            make_folder(folder)
            write_text(path, sealed(known, _FORMAT))
        kept.append(known)
    reason = next((one["reason"] for one in kept if "reason" in one), None)
    if reason is not None:
        outcome.reasons.append((view.name, reason))
        return
    rows = [_ranked(one) for one in kept]
    rows.sort(key=lambda row: row.estimate.mse if row.estimate is not None else math.inf)
    first = kept[0]
    told = doubts(first["by"], first["independent"], rows, first["uncertainty"])
    about = {"independent": first["independent"], "uncertainty": first["uncertainty"]}
    outcome.scores.append((view.name, Ranking(first["by"], first["noise"], rows, told, **about)))


def _scene(view: View, request: Request, side: int) -> Scene:
    stack: Stack = read_view(view.captures, request.axes, request.convert)
    letter = stack.axes[0] if len(view.captures) > 1 else None
    assert letter is None or letter in CAPTURE_AXES
    return scene_of(stack, request, letter, "auto", side)


def _key(scorer: _Scorer | None, request: Request, hashes: Sequence[str], side: int) -> str:
    asked = request if scorer is None else scorer.request
    name = "" if scorer is None else scorer.method.text
    return full_digest({"request": asked.key(" ".join(hashes), name), "side": side, "noisy": scorer is None})[:32]


def _written(scene: Scene, row: Ranked) -> dict[str, Any]:
    told: dict[str, Any] = {"by": scene.by, "noise": scene.noise.text, "independent": scene.independent}
    told |= {"uncertainty": scene.noise.uncertainty, "text": row.text, "problem": row.problem}
    checks = row.checks or Checks()
    # JSON has neither; of the three only a resolution can be infinite.
    told["checks"] = {
        part: "inf" if math.isinf(value) else None if math.isnan(value) else value
        for part, value in vars(checks).items()
    }
    if row.estimate is not None:
        one = row.estimate
        error = one.error if math.isfinite(one.error) else None
        told |= {"mse": one.mse, "error": error, "seconds": one.seconds, "blocks": [float(x) for x in one.blocks]}
        told["common"] = one.common
    return told


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return unsealed(path, (_FORMAT,))
    except Damaged:
        return None


def _ranked(told: Mapping[str, Any]) -> Ranked:
    estimate = None
    if "mse" in told:
        error = math.inf if told["error"] is None else float(told["error"])
        blocks = np.array(told["blocks"], np.float64)
        common = float(told.get("common", 0.0))
        estimate = Estimate(float(told["mse"]), error, blocks, float(told["seconds"]), common=common)
    checks = {part: math.nan if value is None else float(value) for part, value in told["checks"].items()}
    return Ranked(str(told["text"]), estimate, Checks(**checks), str(told["problem"]))


def _over_views(rankings: Sequence[Ranking], trained: bool) -> list[Ranking]:
    """One ranking for each kind of estimate: the mean error over the views, of methods that have one on all of them."""
    found = []
    for kind in dict.fromkeys(ranking.by for ranking in rankings):
        same = [ranking for ranking in rankings if ranking.by == kind]
        rows = []
        for text in dict.fromkeys(row.text for ranking in same for row in ranking.methods):
            mine = [row for ranking in same for row in ranking.methods if row.text == text]
            scored = [row.estimate for row in mine if row.estimate is not None]
            whole = len(scored) == len(same)
            problem = next((row.problem for row in mine if row.problem), "it has no score on some views")
            checks = worst([row.checks for row in mine if row.checks is not None])
            rows.append(Ranked(text, combined(scored) if whole else None, checks, "" if whole else problem))
        rows.sort(key=lambda row: row.estimate.mse if row.estimate is not None else math.inf)
        unclear = any(ranking.independent is None for ranking in same)
        told = doubts(kind, None if unclear else True, rows, max(ranking.uncertainty for ranking in same))
        if trained:
            told.append("Networks were trained on the very images they are scored on, which may flatter them a little.")
        noise = same[0].noise if len(same) == 1 else f"of {len(same)} views, each by itself"
        found.append(Ranking(kind, noise, rows, told))
    return found


def write_scores(outcomes: Sequence[Unreferenced], out: Path) -> list[str]:
    """Write ``reference-free.csv`` and ``.md``; returns what the user should know."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for outcome in outcomes:
        name = outcome.folder.name
        for view, ranking in outcome.scores:
            for row in ranking.methods:
                writer.writerow([name, view, row.text, *_numbers(ranking.by, row), row.problem])
        blank = [""] * (len(_COLUMNS) - 4)
        writer.writerows([name, view, "", *blank, reason] for view, reason in outcome.reasons)
        writer.writerows([name, "", method, *blank, reason] for method, reason in outcome.skipped)
    page = "\n\n".join(markdown(outcome) for outcome in outcomes) + "\n"
    return write_own(out, {f"{STEM}.csv": text.getvalue().encode(), f"{STEM}.md": page.encode()})


def _numbers(by: str, row: Ranked) -> list[str]:
    """All columns between the method and the reason."""
    if row.estimate is None:
        return [by, *[""] * (len(_COLUMNS) - 5)]
    one, checks = row.estimate, row.checks or Checks()
    measured = [*checks.removed, checks.resolution]
    told = ["" if math.isnan(value) else f"{value:.3f}" for value in measured]
    return [by, *(f"{value:.3f}" for value in (one.psnr, *one.interval)), *told, f"{one.seconds:.3f}"]


def markdown(outcome: Unreferenced) -> str:
    """What was found, as a table with its doubts, and what is not possible."""
    parts = [outcome.folder.text]
    for ranking in outcome.rankings:
        views = sum(one.by == ranking.by for _, one in outcome.scores)
        parts.append(
            f"Estimated by {ranking.by} on {views} of {counted(len(outcome.folder.views), 'view')}; "
            f"noise: {ranking.noise}"
        )
        parts.append(ranking_table(ranking))
        parts += [f"{row.text}: no score: {row.problem}" for row in ranking.methods if row.estimate is None]
        parts += [ranking.verdict, *(f"Doubt: {text}" for text in ranking.doubts)]
    reasons: dict[str, list[str]] = {}
    for view, reason in outcome.reasons:
        reasons.setdefault(reason, []).append(view)
    parts += [
        f"No score for {counted(len(views), 'view')} ({some(views)}): {reason}" for reason, views in reasons.items()
    ]
    parts += [f"Skipped: {method}: {reason}" for method, reason in outcome.skipped]
    parts.append(
        "Without clean images there is no PSNR against them and no SSIM, and none is shown: estimates are of the mean "
        "squared error, for methods on the same images alone."
    )
    return "\n\n".join(parts)


def folders_without_references(
    texts: Sequence[str], known: Sequence[str], pattern: str | None, limit: int | None, mistakes: Mistakes
) -> tuple[list[NoisyFolder], list[str]]:
    """Which of some data sets are folders of noisy images alone, and the others."""
    from denoisebench.data.captures import has_references

    folders: list[NoisyFolder] = []
    others = []
    for text in texts:
        path = Path(text).expanduser()
        if text in known or not path.is_dir() or mistakes.read(True, has_references, path):
            others.append(text)
            continue
        found = mistakes.read(None, noisy_folder, path, pattern, limit)
        if found is not None:
            folders.append(found)
    return folders, others
