"""Every detail of the protocol that an audit toggles: as run, otherwise, who does it that way, and what it takes."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from denoisebench.audit.scorings import SCORINGS, SUITE, Scoring
from denoisebench.audit.subject import ReproducibleCell
from denoisebench.core.errors import UserError, explain, unknown
from denoisebench.core.limits import PAIRS, whole_number
from denoisebench.core.progress import duration
from denoisebench.data.dataset import DataSet, FolderSet
from denoisebench.experiment.cells import LEGACY_ORDER, Experiment, has_legacy_draws
from denoisebench.plugins.lookup import find_dataset
from denoisebench.plugins.method import LearnedMethod, Method, show_value
from denoisebench.plugins.registry import DATASETS
from denoisebench.protocol.draws import LegacyDraws
from denoisebench.protocol.noise import Noise
from denoisebench.protocol.protocol import PADDINGS
from denoisebench.protocol.seeds import seed_from
from denoisebench.training.job import TrainingJob
from denoisebench.training.recipe import Budget, Recipe

DEFAULT_IMAGES = "4"
RETRAIN = ("noise", "seed")
_AFTER = {"": "as drawn", "clip": "clipped to [0, 1]", "uint8": "clipped, rounded to 8 bits"}
_PADDED = {"side": "each side to a multiple", "square": "to one square"}
Pair = tuple[str, int]
#: Open where text and released code of the paper differ or do not say.
PaperDoes = Literal["yes", "no", "open"]


@dataclass(frozen=True)
class Setup:
    """Everything that decides a denoised image, beyond the stored cell it belongs to.

    Parameters
    ----------
    draws, after : str
        Source of noise, and what is done to a noisy image ('', 'clip', 'uint8').
    padding, settings : str or Mapping[str, Any]
        As `Protocol` and `Method` have them.
    dataset : str
        Where the images are from.
    training : str
        '' for the network of the run, else the key of another training.
    """

    draws: str
    after: str
    padding: str
    settings: Mapping[str, Any]
    dataset: str
    training: str = ""


@dataclass(frozen=True)
class Toggle:
    """One detail, as run and otherwise.

    Parameters
    ----------
    detail, run, alternative, source : str
        For the ledger.
    setup, scoring : Setup or Scoring
        What has to be computed.
    kind : {'paired', 'list', 'pooled'}
        How the effect is read off: 'paired' rows, another 'list' of images, or the mean error 'pooled'.
    pairs : Sequence[Pair] | None
        What to compute where that is not the images under audit.
    job : TrainingJob | None
        The training it needs.
    skip : str
        Why it is not measured, or ''.
    paper : PaperDoes
        Whether the Blind2Unblind paper does so, by its released tests.
    """

    detail: str
    run: str
    alternative: str
    source: str
    setup: Setup
    scoring: Scoring = SUITE
    kind: Literal["paired", "list", "pooled"] = "paired"
    pairs: Sequence[Pair] | None = None
    job: TrainingJob | None = None
    skip: str = ""
    paper: PaperDoes = "open"

    @property
    def name(self) -> str:
        """Detail and alternative, as `AuditRequest` takes them."""
        return f"{self.detail}={self.alternative}"


@dataclass(frozen=True)
class AuditRequest:
    """What to audit.

    Parameters
    ----------
    images : int | None
        How many per cell, None for all.
    settings : Sequence[tuple[str, str]]
        Further alternatives, as (name, text).
    retrain : Sequence[str]
        Members of `RETRAIN` that may be trained for.
    roots : Sequence[Path]
        Folders searched for data.
    details : Sequence[str]
        The only ones wanted, as ``detail`` or ``detail=alternative``; empty for all.
    """

    images: int | None = int(DEFAULT_IMAGES)
    settings: Sequence[tuple[str, str]] = ()
    retrain: Sequence[str] = ()
    roots: Sequence[Path] = ()
    details: Sequence[str] = ()


def parse_images(text: str) -> int | None:
    """Read ``--images``: a number from 1, or ``all`` (None)."""
    if text == "all":
        return None
    return whole_number("--images", text, 1, PAIRS, ", or all")


def parse_settings(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Read ``name=value`` texts."""
    found = []
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise UserError(f"--setting {text!r} cannot be read. Write name=value, for example passes=8.")
        found.append((name, value))
    return found


def parse_retrain(text: str | None) -> list[str]:
    """Read ``--retrain``: noise, seed or both."""
    parts = [part.strip() for part in text.split(",")] if text else []
    for part in parts:
        if part not in RETRAIN:
            raise unknown("part of --retrain", part, RETRAIN)
    return parts


def pairs_of(subject: ReproducibleCell, request: AuditRequest) -> list[Pair]:
    """The first stored repeat of some images: a random choice, always the same, a larger one holding the smaller."""
    first: dict[str, int] = {}
    for image, repeat in subject.stored.rows:
        first[image] = min(repeat, first.get(image, repeat))
    chosen = sorted(first, key=lambda image: seed_from("audit", image))[: request.images]
    return [(image, first[image]) for image in subject.dataset.images if image in chosen]


def as_run(subject: ReproducibleCell) -> Setup:
    """The setup of the stored scores."""
    protocol = subject.protocol
    return Setup(
        protocol["draws"], subject.noise.after, protocol["padding"], subject.method.settings(), subject.dataset.name
    )


# --- what there is to toggle ---


def toggles_of(subject: ReproducibleCell, request: AuditRequest, pairs: Sequence[Pair]) -> list[Toggle]:
    """Every detail there is to toggle on a cell, in the order of the ledger."""
    run = as_run(subject)
    found = [
        *_list_toggles(subject, run, request),
        *_draws_toggles(subject, run, request, pairs),
        *_input_toggles(subject, run),
        *_padding_toggles(subject, run),
        *_setting_toggles(subject, run, request),
    ]
    for scoring in SCORINGS:
        if not scoring.colour or subject.dataset.channels == 3:
            texts = (scoring.detail, scoring.run, scoring.alternative, scoring.source)
            found.append(Toggle(*texts, run, scoring, paper="no"))
    found.append(
        Toggle(
            "averaging of PSNR", "mean of the images' dB", "dB of the mean squared error", "one PSNR per data set",
            run, kind="pooled", paper="no",
        )
    )  # fmt: skip
    return found + _training_toggles(subject, run, request)


def select(toggles: Sequence[Toggle], details: Sequence[str]) -> list[Toggle]:
    """Those of some details, in the same order; all where none is named."""
    return [toggle for toggle in toggles if not details or {toggle.detail, toggle.name} & set(details)]


def check_details(toggles: Sequence[Toggle], details: Sequence[str]) -> None:
    """Raise `UserError` for a detail that none of the toggles has."""
    for text in details:
        detail = text.partition("=")[0]
        names = {toggle.detail for toggle in toggles}
        if detail in names and text != detail:
            names = {toggle.name for toggle in toggles if toggle.detail == detail}
        if text not in names:
            raise unknown("detail of the ledger", text, names)


def _list_toggles(subject: ReproducibleCell, run: Setup, request: AuditRequest) -> Iterator[Toggle]:
    """Other lists of the same images: a data set that holds all of these, or some of these and no other."""
    here = subject.dataset
    if not isinstance(here, FolderSet) or not {image for image, _ in subject.stored.rows} >= set(here.images):
        return
    own = {entry.pixels: entry.image for entry in here.entries}
    for name, kind in DATASETS.usable()[0].items():
        if name == here.name or not issubclass(kind, FolderSet) or kind.manifest is None:
            continue
        other = find_dataset(name, request.roots)
        assert isinstance(other, FolderSet)
        theirs = {entry.pixels: entry.image for entry in other.entries}
        shared = set(own) & set(theirs)
        if other.channels != here.channels or not shared or len(shared) < min(len(own), len(theirs)):
            continue
        extra = [image for pixels, image in theirs.items() if pixels not in own]
        skip = ""
        if request.images is not None and len(extra) > request.images:
            skip = f"{len(extra)} further images to denoise; give --images {len(extra)}"
        elif extra:
            skip = _missing(other)
        yield Toggle(
            "list of test images", f"{here.name} ({len(own)})", f"{other.name} ({len(theirs)})", other.source,
            replace(run, dataset=other.name), kind="list", pairs=[(image, 0) for image in extra], skip=skip,
        )  # fmt: skip


def _missing(dataset: DataSet) -> str:
    try:
        dataset.verify()
    except UserError as error:
        return str(error)
    return ""


def _draws_toggles(
    subject: ReproducibleCell, run: Setup, request: AuditRequest, pairs: Sequence[Pair]
) -> Iterator[Toggle]:
    if run.draws.startswith("counter-"):
        other = f"counter-{int(run.draws.partition('-')[2]) + 1}"
        setup = replace(run, draws=other)
        yield Toggle("noise draws", run.draws, f"{other}, another seed", "chance", setup, paper="no")
        if not has_legacy_draws(subject.dataset):
            skip = f"legacy draws are defined for {', '.join(LEGACY_ORDER)} only"
        elif subject.noise.family not in LegacyDraws.families:
            skip = f"legacy draws are defined for {' and '.join(LegacyDraws.families)} noise only"
        elif max(repeat for _, repeat in pairs) >= subject.dataset.paper_repeats:
            skip = f"legacy draws have {subject.dataset.paper_repeats} repeats"
        else:
            skip = next(filter(None, (_missing(find_dataset(name, request.roots)) for name in LEGACY_ORDER)), "")
        alternative = LegacyDraws.id
    else:
        skip, alternative = "", "counter-0"
    legacy = alternative == LegacyDraws.id
    yield Toggle(
        "noise draws", run.draws, alternative, "the released tests of NBR2NBR and B2U" if legacy else "chance",
        replace(run, draws=alternative), skip=skip, paper="yes" if legacy else "no",
    )  # fmt: skip


def _input_toggles(subject: ReproducibleCell, run: Setup) -> Iterator[Toggle]:
    sources = {
        "": "NBR2NBR, B2U, Laine19", "clip": "DIP, Noise2Self, Pixel2Pixel", "uint8": "noisy images kept as 8-bit files"
    }  # fmt: skip
    for after in _AFTER:
        if after != run.after:
            noise = replace(subject.noise, after=after)
            skip = _unsuitable(subject.method, noise, subject.dataset.channels)
            setup = replace(run, after=after)
            yield Toggle(
                "noisy input", _AFTER[run.after], _AFTER[after], sources[after], setup, skip=skip,
                paper="no" if after else "yes",
            )  # fmt: skip


def _unsuitable(method: Method, noise: Noise, channels: int) -> str:
    try:
        reason = method.unsuitable(noise, channels)
    except Exception as error:  # a plugin may raise anything
        reason = explain(error)
    return reason or ""


def _padding_toggles(subject: ReproducibleCell, run: Setup) -> Iterator[Toggle]:
    if subject.method.info.multiple == 1:
        return
    sources = {"side": "this suite", "square": "the released tests of NBR2NBR and B2U"}
    for padding in PADDINGS:
        if padding != run.padding:
            setup = replace(run, padding=padding)
            yield Toggle(
                "padding", _PADDED[run.padding], _PADDED[padding], sources[padding], setup,
                paper="yes" if padding == "square" else "no",
            )  # fmt: skip


def switchable(method: Method) -> frozenset[str]:
    """The settings that need no other training: of a learned method those it declares, of any other method all."""
    if isinstance(method, LearnedMethod):
        return method.inference_only
    return frozenset(setting.name for setting in dataclasses.fields(method))


def _setting_toggles(subject: ReproducibleCell, run: Setup, request: AuditRequest) -> Iterator[Toggle]:
    """Settings that need no other training: every other choice; for numbers the default, and what was asked for."""
    method = subject.method
    hints = typing.get_type_hints(type(method))
    for setting in dataclasses.fields(method):
        name = setting.name
        if name not in switchable(method):
            continue
        value = getattr(method, name)
        if typing.get_origin(hints[name]) is Literal:
            wanted: list[Any] = list(typing.get_args(hints[name]))
        else:
            wanted = [False, True] if hints[name] is bool else [setting.default]
        asked = [text for asked_name, text in request.settings if asked_name == name]
        texts = [show_value(choice) for choice in wanted if choice != value] + asked
        for text in dict.fromkeys(texts):
            yield _setting_toggle(subject, run, name, text)


def _setting_toggle(subject: ReproducibleCell, run: Setup, name: str, text: str) -> Toggle:
    method = subject.method
    texts = {key: show_value(value) for key, value in method.settings().items()}
    shown = (f"{method.name}[{name}]", texts[name], text, "a setting of the method")
    try:
        other = type(method).from_settings({**texts, name: text})
        skip = _unsuitable(other, subject.noise, subject.dataset.channels)
        return Toggle(*shown, replace(run, settings=other.settings()), skip=skip)
    except UserError as error:
        return Toggle(*shown, run, skip=str(error))


def _training_toggles(subject: ReproducibleCell, run: Setup, request: AuditRequest) -> list[Toggle]:
    if subject.network is None:
        return []
    record = subject.network.record
    cost = f"about {duration(record['seconds'])}" if "seconds" in record else "as long as the training"
    found = []
    for part in RETRAIN:
        job, reason = _other_job(subject, request, part)
        recipe = _recipe(record)
        before, other = (_part_text(one, part) for one in (recipe, job.recipe if job else None))
        if job is not None and part not in request.retrain:
            reason = f"needs training, {cost}: --retrain {part}"
        setup = replace(run, training=job.key) if job else run
        source = "R2R's gray data, noise added once" if part == "noise" else "chance"
        paper: PaperDoes = "open" if part == "seed" else "yes" if other == "fresh" else "no"
        found.append(Toggle(f"training {part}", before, other, source, setup, job=job, skip=reason, paper=paper))
    return found


def _part_text(recipe: Recipe | None, part: str) -> str:
    if recipe is None:
        return ""
    return recipe.draws if part == "noise" else str(recipe.seed)


def _recipe(record: Mapping[str, Any]) -> Recipe | None:
    try:
        recipe = Recipe.from_record(record["recipe"])
    except (KeyError, TypeError):
        return None
    # A training of so many minutes is repeated by its steps.
    return replace(recipe, budget=Budget(record["steps"], "steps")) if recipe.budget.unit == "minutes" else recipe


def _other_job(subject: ReproducibleCell, request: AuditRequest, part: str) -> tuple[TrainingJob | None, str]:
    """The training that differs in one part, or why there is none."""
    assert subject.network is not None
    assert isinstance(subject.method, LearnedMethod)
    record = subject.network.record
    recipe = _recipe(record)
    if recipe is None:
        return None, "the record of the network does not say how it was trained"
    name = record["data"]["name"]
    if name not in DATASETS.names():
        return None, f"the training images {name!r} are no data set of this machine"
    data = find_dataset(name, request.roots)
    reason = _missing(data)
    if not reason and data.data_hash != record["data"]["sha256"]:
        reason = f"the training images {name!r} are not those of the run"
    if reason:
        return None, reason
    other = {"fixed": "fresh", "fresh": "fixed"}[recipe.draws]
    changed = replace(recipe, draws=other) if part == "noise" else replace(recipe, seed=recipe.seed + 1)
    experiment = Experiment(
        [], [], [], changed, train_data=data, device=subject.device, roots=request.roots
    )  # fmt: skip
    return experiment.job(subject.method, subject.noise, subject.dataset.channels), ""
