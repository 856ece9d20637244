"""Where a difference comes from: each detail of the protocol toggled on a stored run, one at a time.

A *toggle* changes one detail and keeps everything else, the noise included. Every effect is paired: alternative minus
as run, on the same images. What is needed is a *setup* (how an image is made noisy, padded and denoised) and a scoring;
each image is denoised once per setup, and all scorings of the run's own setup share that one denoised image. Everything
computed is kept in ``audit/`` of the results folder, so that an audit that was stopped goes on where it was.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from denoisebench.audit import scorings
from denoisebench.audit.scorings import SUITE, Scoring
from denoisebench.audit.subject import ReproducibleCell
from denoisebench.audit.toggles import (
    AuditRequest,
    Pair,
    PaperDoes,
    Setup,
    Toggle,
    as_run,
    check_details,
    pairs_of,
    select,
    switchable,
    toggles_of,
)
from denoisebench.core.errors import explain, unknown
from denoisebench.core.lazy import torch
from denoisebench.core.progress import Progress, duration
from denoisebench.core.provenance import versions
from denoisebench.core.student import t_quantile
from denoisebench.core.text import counted
from denoisebench.data.dataset import DataSet, FolderSet
from denoisebench.evaluation.evaluate import Fitting, Place, Route, denoise
from denoisebench.experiment.revisions import PROTOCOL_VERSION, code_of, module_digest
from denoisebench.plugins.lookup import find_dataset
from denoisebench.plugins.method import LearnedMethod
from denoisebench.protocol.draws import Draws, LegacyDraws
from denoisebench.protocol.images import checked, padded_size
from denoisebench.protocol.metrics import finite
from denoisebench.protocol.noise import Noise
from denoisebench.protocol.protocol import Row
from denoisebench.results.store import Store, StoredCell
from denoisebench.training.crops import decoded
from denoisebench.training.job import TrainingJob
from denoisebench.training.records import record_of
from denoisebench.training.train import train

FOLDER = "audit"
SAVE_SECONDS = 1.0
#: Differences of floating-point arithmetic, dB and SSIM of one image: other libraries, other processors.
ROUNDING = (1e-3, 1e-5)


@dataclass(frozen=True)
class Change:
    """A mean difference, and half the width of its 95 % interval (None where there is none)."""

    mean: float
    half: float | None = None


@dataclass(frozen=True)
class Effect:
    """One line of a ledger; without changes where nothing was measured, and the note says why.

    Parameters
    ----------
    psnr, ssim : Change | None
        Alternative minus as run.
    images : str
        How many, as text.
    how : str
        Re-scored, re-denoised or re-trained.
    seconds : float
        What it cost.
    paper : PaperDoes
        See `Toggle`.
    """

    detail: str
    run: str
    alternative: str
    source: str
    psnr: Change | None = None
    ssim: Change | None = None
    images: str = ""
    how: str = ""
    seconds: float = 0.0
    note: str = ""
    paper: PaperDoes = "open"


@dataclass(frozen=True)
class Ledger:
    """What an audit found for one cell.

    Parameters
    ----------
    subject : ReproducibleCell
        The cell.
    psnr, ssim, rows : float or int
        Stored means over all rows of the cell.
    effects : Sequence[Effect]
        The first is the run itself, computed again.
    reproduced : bool
        Whether the stored scores came out again, up to `ROUNDING`.
    redraw : float | None
        How far another draw of the noise moves the mean of the audited images, in dB, one standard deviation.
    perfect : int
        Stored rows that equal their reference and are in no mean of PSNR.
    """

    subject: ReproducibleCell
    psnr: float
    ssim: float
    rows: int
    effects: Sequence[Effect]
    reproduced: bool
    redraw: float | None
    perfect: int = 0


@dataclass
class Audit:
    """All ledgers, and (title, reason) of what failed."""

    ledgers: list[Ledger] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Stream(Noise):
    """A noise drawn from the stream of another id, so that only what comes after the draw differs."""

    stream: str = ""

    @property
    def id(self) -> str:
        return self.stream


def audit(store: Store, cells: Sequence[ReproducibleCell], request: AuditRequest, progress: Progress) -> Audit:
    """Toggle every detail on every cell; what is stored already is not computed again.

    Parameters
    ----------
    store : Store
        Of the run; results go to its folder ``audit/``.
    cells : Sequence[ReproducibleCell]
        What to audit.
    request : AuditRequest
        How.

    Raises
    ------
    UserError
        No cell has a setting or a detail that was asked for; raised before any work starts.
    """
    _check_settings(cells, request)
    bench = _Bench(Store(store.folder / FOLDER), request.roots, progress)
    every = [(subject, pairs := pairs_of(subject, request), toggles_of(subject, request, pairs)) for subject in cells]
    check_details([toggle for *_, toggles in every for toggle in toggles], request.details)
    planned = [(subject, pairs, select(toggles, request.details)) for subject, pairs, toggles in every]
    _announce(planned, progress)
    found = Audit()
    for number, (subject, pairs, toggles) in enumerate(planned, 1):
        progress.say(
            f"[{number}/{len(planned)}] {subject.title}: {counted(len(pairs), 'image')}, "
            f"{counted(len(toggles), 'alternative')}"
        )
        try:
            found.ledgers.append(_ledger(bench, subject, pairs, toggles))
        except Exception as error:  # a plugin may raise anything, and must not cost the others their ledgers
            found.failed.append((subject.title, explain(error)))
            progress.say(f"FAILED: {subject.title}: {explain(error)}")
    return found


def _check_settings(cells: Sequence[ReproducibleCell], request: AuditRequest) -> None:
    for name, _ in request.settings:
        allowed = {setting for subject in cells for setting in switchable(subject.method)}
        if name not in allowed:
            raise unknown("setting that needs no other training", name, allowed, "Others need a run of their own.")


def _announce(planned: Sequence[tuple[ReproducibleCell, Sequence[Pair], Sequence[Toggle]]], progress: Progress) -> None:
    seconds, passes = 0.0, 0
    for subject, pairs, toggles in planned:
        rows = subject.stored.rows.values()
        setups = {repr(toggle.setup): toggle for toggle in toggles if not toggle.skip}
        count = len(pairs) + sum(
            len(pairs if toggle.pairs is None else toggle.pairs)
            for toggle in setups.values()
            if toggle.setup != as_run(subject)
        )
        passes += count
        seconds += count * sum(row.seconds for row in rows) / len(rows)
    progress.say(
        f"{counted(len(planned), 'cell')}, at most {counted(passes, 'image')} to denoise, about {duration(seconds)} "
        "at the speed of the run (--images for more or fewer; what is stored is not computed again)"
    )


# --- computing ---


class _Bench:
    """Computes rows and keeps them; every network is loaded or trained once."""

    def __init__(self, store: Store, roots: Sequence[Path], progress: Progress) -> None:
        self.store, self.roots, self._progress = store, roots, progress
        self._draws: dict[str, Draws] = {}
        self._network: tuple[str, torch.nn.Module] | None = None

    def rows(
        self,
        subject: ReproducibleCell,
        setup: Setup,
        scorings: Sequence[Scoring],
        pairs: Sequence[Pair],
        job: TrainingJob | None = None,
    ) -> dict[str, dict[Pair, Row]]:
        """Rows by scoring and pair; a row's seconds are those of the denoising for the suite's scoring, else its own.

        Parameters
        ----------
        setup, job : Setup or TrainingJob | None
            How to denoise, and the training that the setup needs.
        scorings : Sequence[Scoring]
            The first is the suite's own.
        """
        cells = {scoring.id: self._cell(subject, setup, scoring) for scoring in scorings}
        missing = [pair for pair in pairs if any(pair not in cell.rows for cell in cells.values())]
        saved = time.monotonic()
        with self._progress.task(subject.title) as task:
            try:
                for count, pair in enumerate(missing):
                    task.update(count / len(missing), f"{count}/{len(missing)}")
                    self._one(subject, setup, scorings, pair, cells, job)
                    if time.monotonic() - saved > SAVE_SECONDS:
                        self._write(cells)
                        saved = time.monotonic()
            finally:
                if missing:
                    self._write(cells)
        return {name: {pair: cell.rows[pair] for pair in pairs} for name, cell in cells.items()}

    def _write(self, cells: Mapping[str, StoredCell]) -> None:
        for cell in cells.values():
            if cell.rows:
                self.store.write(cell)

    def _cell(self, subject: ReproducibleCell, setup: Setup, scoring: Scoring) -> StoredCell:
        stored = subject.stored.identity
        images = self._dataset(subject, setup)
        code = {"scorings": module_digest(scorings.__name__), **code_of(subject.method, images)}
        cell = self.store.read(
            {
                "audited": subject.stored.key,
                "setup": asdict(setup),
                "scoring": scoring.id,
                "code": {"protocol": PROTOCOL_VERSION, **code},
                "versions": versions(stored["versions"]),
                "data": images.data_hash,
                "device": subject.device,
            }
        )
        cell.about = {"text": subject.title, "written": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
        return cell

    def _one(
        self,
        subject: ReproducibleCell,
        setup: Setup,
        scorings: Sequence[Scoring],
        pair: Pair,
        cells: Mapping[str, StoredCell],
        job: TrainingJob | None,
    ) -> None:
        """Denoise and score one image into the cells."""
        image, repeat = pair
        method = type(subject.method)(**setup.settings)
        network = self._network_of(subject, job)
        clean = checked(self._dataset(subject, setup).load(image), f"Image {image!r} of data set {setup.dataset!r}")
        noise = _Stream(**{**asdict(subject.noise), "after": setup.after}, stream=subject.noise.id)
        draw = self._source(setup, image, subject).draw(subject.dataset.name, image, repeat, clean, noise)
        fitting = None
        if subject.fit is not None:
            fitting = Fitting(subject.fit, self.store.folder / "fits" / cells[SUITE.id].key)
        # In the tiles of the run; an image that it did not have, in those that its size asks for.
        row = subject.stored.rows.get(pair) if setup.dataset == subject.dataset.name else None
        route = Route(
            method, network, noise, setup.padding, subject.seed, subject.device, fitting, row.tile if row else None
        )
        done = denoise(route, draw, Place(subject.dataset.name, image, repeat))
        for scoring in scorings:
            start = time.perf_counter()
            psnr, ssim = scoring.score(done.image, clean)
            seconds = time.perf_counter() - start + (done.seconds if scoring is SUITE else 0.0)
            cells[scoring.id].rows[pair] = Row(image, repeat, psnr, ssim, seconds, draw.level, done.steps, done.tile)

    def _dataset(self, subject: ReproducibleCell, setup: Setup) -> DataSet:
        """Where the images of a setup are from."""
        same = setup.dataset == subject.dataset.name
        return subject.dataset if same else find_dataset(setup.dataset, self.roots)

    def _source(self, setup: Setup, image: str, subject: ReproducibleCell) -> Draws:
        text = setup.draws
        if text == LegacyDraws.id and image not in subject.dataset.images:
            # The stream of the released tests has no place for images of another list.
            text = "counter-0"
        # Levels that are spread over the images of a set are not those of another set.
        key = f"{text} {subject.stored.key}" if text.startswith("stratified-") else text
        if key not in self._draws:
            self._draws[key] = subject.draws(text)
        return self._draws[key]

    def training_seconds(self, job: TrainingJob | None) -> float:
        """What a finished training took; 0 without one."""
        record = record_of(job, self.store.models) if job else None
        return float(record["seconds"]) if record else 0.0

    def _network_of(self, subject: ReproducibleCell, job: TrainingJob | None) -> torch.nn.Module | None:
        if subject.network is None:
            return None
        key = job.key if job else subject.network.sha256
        if self._network is None or self._network[0] != key:
            if job is None:
                assert isinstance(subject.method, LearnedMethod)
                network = subject.network.load(subject.method, subject.dataset.channels, subject.device)
            else:
                images = decoded(find_dataset(job.data["name"], self.roots), job.channels)
                network = train(job, images, self.store.models, subject.device, self._progress).network
            self._network = (key, network)
        return self._network[1]


# --- from rows to effects ---


def _ledger(bench: _Bench, subject: ReproducibleCell, pairs: Sequence[Pair], toggles: Sequence[Toggle]) -> Ledger:
    run = as_run(subject)
    scorings = [SUITE, *(t.scoring for t in toggles if t.setup == run and t.scoring is not SUITE)]
    base = bench.rows(subject, run, scorings, pairs)
    again, reproduced = _again(subject, base[SUITE.id])
    effects = [again]
    redraw: list[float] = []
    for toggle in toggles:
        try:
            effect, rows = _effect(bench, subject, toggle, pairs, base)
        except Exception as error:  # a plugin may raise anything, and must not cost the other lines
            effect, rows = _line(toggle, note=f"failed: {explain(error)}"), {}
        effects.append(effect)
        if rows and toggle.detail == "noise draws":
            redraw += _finite(_minus(rows[pair].psnr, base[SUITE.id][pair].psnr) for pair in pairs)
    stored = subject.stored.rows.values()
    return Ledger(
        subject, _mean(finite(row.psnr for row in stored)), _mean([row.ssim for row in stored]), len(stored), effects,
        reproduced, _redraw(redraw, len(pairs)), sum(not math.isfinite(row.psnr) for row in stored),
    )  # fmt: skip


def _redraw(differences: Sequence[float], images: int) -> float | None:
    """Standard deviation of a mean of so many images between draws: that of a difference has twice the variance."""
    if len(differences) < 2:
        return None
    return math.sqrt(_mean([d * d for d in differences]) / 2 / images)


def _again(subject: ReproducibleCell, rows: Mapping[Pair, Row]) -> tuple[Effect, bool]:
    """The run itself, computed again, and whether it came out the same."""
    stored = subject.stored.rows
    psnr = [_minus(row.psnr, stored[pair].psnr) for pair, row in rows.items()]
    ssim = [row.ssim - stored[pair].ssim for pair, row in rows.items()]
    largest = max(map(abs, psnr)), max(map(abs, ssim))
    note = "equal" if largest == (0, 0) else f"largest difference {largest[0]:.2g} dB, {largest[1]:.2g}"
    if not math.isfinite(largest[0]):
        note = f"equal to the reference in one of the two only: {counted(len(psnr) - len(_finite(psnr)), 'image')}"
    change = Change(_mean(_finite(psnr))) if _finite(psnr) else None
    effect = Effect(
        "the run's own scores", "stored", "computed again", "", change, Change(_mean(ssim)),
        str(len(rows)), "re-denoised", sum(row.seconds for row in rows.values()), note,
    )  # fmt: skip
    return effect, largest[0] <= ROUNDING[0] and largest[1] <= ROUNDING[1]


def _line(toggle: Toggle, **values: Any) -> Effect:
    return Effect(toggle.detail, toggle.run, toggle.alternative, toggle.source, paper=toggle.paper, **values)


def _effect(
    bench: _Bench,
    subject: ReproducibleCell,
    toggle: Toggle,
    pairs: Sequence[Pair],
    base: Mapping[str, Mapping[Pair, Row]],
) -> tuple[Effect, Mapping[Pair, Row]]:
    """A line of the ledger, and the rows it is from (empty where none were computed for it)."""
    if toggle.skip:
        return _line(toggle, note=f"not measured: {toggle.skip}"), {}
    suite = base[SUITE.id]
    if toggle.kind == "pooled":
        every = [subject.stored.rows[pair].psnr for pair in pairs_of(subject, AuditRequest(images=None))]
        return _line(
            toggle, psnr=_pooled(every), ssim=Change(0.0), images=str(len(every)), how="re-scored", note="stored scores"
        ), {}
    if toggle.kind == "list":
        return _other_list(bench, subject, toggle), {}
    if toggle.setup == as_run(subject):
        rows: Mapping[Pair, Row] = base[toggle.scoring.id]
        how = "re-scored"
    else:
        same = _untouched(subject, toggle, pairs)
        rows = bench.rows(subject, toggle.setup, [SUITE], [p for p in pairs if p not in same], toggle.job)[SUITE.id]
        rows = {pair: suite[pair]._replace(seconds=0.0) if pair in same else rows[pair] for pair in pairs}
        how = "re-trained" if toggle.job else "re-denoised"
    changed = [pair for pair in pairs if rows[pair].psnr != suite[pair].psnr or rows[pair].ssim != suite[pair].ssim]
    psnr = [_minus(rows[p].psnr, suite[p].psnr) for p in pairs]
    notes = (
        [f"{len(pairs) - len(changed)} of {counted(len(pairs), 'image')} unchanged"]
        if len(changed) < len(pairs)
        else []
    )
    if len(_finite(psnr)) < len(pairs):
        gone = len(pairs) - len(_finite(psnr))
        notes.append(f"{gone} of {len(pairs)} equal their reference in one of the two only and are not in the dB")
    effect = _line(
        toggle, psnr=_paired(_finite(psnr)) if _finite(psnr) else None,
        ssim=_paired([rows[p].ssim - suite[p].ssim for p in pairs]), images=str(len(pairs)), how=how,
        seconds=sum(row.seconds for row in rows.values()) + bench.training_seconds(toggle.job),
        note=", ".join(notes),
    )  # fmt: skip
    return effect, rows


def _untouched(subject: ReproducibleCell, toggle: Toggle, pairs: Sequence[Pair]) -> set[Pair]:
    """Images that a toggle leaves as they are, because both paddings have the same size."""
    run = as_run(subject)
    if toggle.setup != replace(run, padding=toggle.setup.padding):
        return set()
    multiple = subject.method.info.multiple
    shapes = {pair: subject.dataset.load(pair[0]).shape[:2] for pair in pairs}
    sizes = {
        pair: {padded_size(height, width, multiple, square) for square in (False, True)}
        for pair, (height, width) in shapes.items()
    }
    return {pair for pair, found in sizes.items() if len(found) == 1}


def _other_list(bench: _Bench, subject: ReproducibleCell, toggle: Toggle) -> Effect:
    """Another list of images: the stored scores of those in both, and the others denoised now."""
    here, other = subject.dataset, find_dataset(toggle.setup.dataset, bench.roots)
    assert isinstance(here, FolderSet)
    assert isinstance(other, FolderSet)
    wanted = {entry.pixels for entry in other.entries}
    by_image: dict[str, list[Row]] = {}
    for row in subject.stored.rows.values():
        by_image.setdefault(row.image, []).append(row)
    means = {
        image: (_mean(finite(row.psnr for row in rows)), _mean([row.ssim for row in rows]))
        for image, rows in by_image.items()
    }
    kept = [means[entry.image] for entry in here.entries if entry.pixels in wanted]
    extra = bench.rows(subject, toggle.setup, [SUITE], toggle.pairs or [])[SUITE.id]
    scores = [*kept, *((row.psnr, row.ssim) for row in extra.values())]
    psnr, ssim = (
        Change(_minus(*(_mean(finite(score[i] for score in part)) for part in (scores, means.values()))))
        for i in (0, 1)
    )
    return _line(
        toggle, psnr=psnr, ssim=ssim, images=f"{len(means)} to {len(scores)}",
        how="re-denoised" if extra else "re-scored", seconds=sum(row.seconds for row in extra.values()),
        note=f"stored scores, and {len(extra)} further images" if extra else "stored scores",
    )  # fmt: skip


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _finite(differences: Iterable[float]) -> list[float]:
    """Without those of images that equal their reference in one of the two only."""
    return [value for value in differences if math.isfinite(value)]


def _minus(one: float, other: float) -> float:
    """A difference of dB; two perfect images do not differ."""
    return 0.0 if one == other else one - other


def _paired(differences: Sequence[float]) -> Change:
    """Mean, and half the 95 % interval of the mean by Student's t."""
    mean = _mean(differences)
    return Change(mean, _interval(sum((d - mean) ** 2 for d in differences), len(differences)))


def _interval(squares: float, count: int) -> float | None:
    if count < 2:
        return None
    return t_quantile(0.975, count - 1) * math.sqrt(squares / (count - 1) / count)


def _pooled(values: Sequence[float]) -> Change:
    """PSNR of the mean squared error minus mean PSNR, with the interval of the jackknife over images.

    Images that equal their reference are in neither.
    """
    values = _finite(values)

    def effect(chosen: Sequence[float]) -> float:
        return -10 * math.log10(_mean([10 ** (-value / 10) for value in chosen])) - _mean(chosen)

    count = len(values)
    if count < 2 or not all(abs(value) < 1e6 for value in values):
        return Change(effect(values)) if count else Change(0.0)
    left_out = [effect([*values[:i], *values[i + 1 :]]) for i in range(count)]
    centre = _mean(left_out)
    squares = sum((value - centre) ** 2 for value in left_out) * (count - 1) ** 2
    return Change(effect(values), _interval(squares, count))
