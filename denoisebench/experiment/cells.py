"""From the text of an experiment to its cells: what is to be run, and under which content address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from denoisebench.core import limits
from denoisebench.core.errors import Mistakes, UserError, unknown
from denoisebench.core.isolation import isolated
from denoisebench.core.provenance import versions
from denoisebench.core.text import counted
from denoisebench.data.dataset import DataSet, FolderSet, MissingData, OwnFolder
from denoisebench.evaluation.fit import fit_recipe
from denoisebench.experiment.preparation import (
    FitToEachImage,
    NetworkToTrain,
    NothingToPrepare,
    Preparation,
    TrainedNetwork,
    training_job,
)
from denoisebench.experiment.revisions import PROTOCOL_VERSION, code_of
from denoisebench.plugins.broken import broken
from denoisebench.plugins.identity import is_registered
from denoisebench.plugins.lookup import find_dataset
from denoisebench.plugins.method import LearnedMethod, Method, Need, PerImageMethod, PlainMethod
from denoisebench.protocol.draws import CounterDraws, Draws, LegacyDraws, LegacySet, StratifiedDraws
from denoisebench.protocol.metrics import SCORINGS
from denoisebench.protocol.noise import Noise
from denoisebench.protocol.protocol import PADDINGS, Protocol
from denoisebench.results.pictures import Saving
from denoisebench.training.job import TrainingJob
from denoisebench.training.recipe import Budget, Recipe, parse_budget
from denoisebench.training.weights import Shelf, Weights

DRAWS = ("counter", "legacy", "stratified")
#: Official order of the legacy stream.
LEGACY_ORDER = ("kodak", "bsd300", "set14")
#: Data set on which trainings are measured.
HELD_OUT = "heldout"
#: Training sets tried in turn under ``--train-data auto``; the last is inside scikit-image's wheel.
AUTO_TRAINING = {3: ("bsd400_color", "samples_train"), 1: ("bsd400", "samples_train")}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One (method with its settings, noise, test set): the unit of work, of storage and of resuming.

    Parameters
    ----------
    method, noise, dataset : Method or Noise or DataSet
        What is run.
    protocol : Protocol
        How it is scored.
    preparation : Preparation
        What the method needs first: nothing, a training, weights, or a fit to each image.
    seed : int
        Of the method's own draws while denoising.
    tile : int | None
        Side of the tiles for its network, see `denoisebench.evaluation.evaluate.Route`.
    wanted : Sequence[tuple[str, int]]
        (image, repeat) pairs.
    identity : Mapping[str, Any]
        Everything that decides the rows.
    skip : str
        Why this cell cannot run, or ''.
    """

    method: Method
    noise: Noise
    dataset: DataSet
    protocol: Protocol
    preparation: Preparation
    seed: int
    wanted: Sequence[tuple[str, int]]
    identity: Mapping[str, Any]
    skip: str = ""
    tile: int | None = None

    @property
    def job(self) -> TrainingJob | None:
        """The training that the cell waits for, if it needs one."""
        return self.preparation.job if isinstance(self.preparation, NetworkToTrain) else None

    @property
    def title(self) -> str:
        """One phrase for messages."""
        text = f"{self.method.text} on {self.dataset.name} with {self.noise.id}"
        seed = self.job.recipe.seed if self.job else self.seed
        return text if seed == self.seed else f"{text}, trained from seed {seed}"


@dataclass(frozen=True)
class _Prepared:
    """What a method needs under a noise, how that is written into the identity of a cell, and why it cannot run."""

    preparation: Preparation
    training: Mapping[str, Any] | None
    skip: str


@dataclass(frozen=True)
class Start:
    """Trainings begin with what the same method has learned from another noise, or in a shorter training.

    Parameters
    ----------
    noise : Noise
        Whose networks are taken.
    shelf : Shelf
        Where they are.
    """

    noise: Noise
    shelf: Shelf

    def of(self, method: LearnedMethod, channels: int) -> Weights:
        """The network that a method begins with; one of another method would bring what this one is not told.

        Raises
        ------
        UserError
            There is none.
        """
        found = self.shelf.find(method, self.noise.id, channels)
        if found is None:
            raise UserError(
                f"--start {self.noise.id}: no network of {method.text} for {channels} channels and that noise is among "
                "the shipped ones and those of --weights; `weights list` shows them."
            )
        return found


@dataclass(frozen=True)
class Experiment:
    """A whole experiment, as the command line gives it.

    Parameters
    ----------
    methods, noises, datasets : Sequence[Method] or Sequence[Noise] or Sequence[DataSet]
        Every combination is a cell.
    repeats : int | None
        Draws of noise per image; None for the paper's number of each set.
    recipe : Recipe
        Training of the learned methods.
    image_budget, image_precision : str | None or str
        Of the per-image methods, as `denoisebench.evaluation.fit.fit_recipe` reads them.
    train_data : DataSet | None
        The training images, or None to choose by `AUTO_TRAINING`.
    limit : int | None
        Images of each test set that are scored, the first ones; None for all.
    draws : str
        'counter', 'legacy' or 'stratified'.
    seed : int
        Of noise, training and methods.
    trainings : int
        Of each learned method that has no weights, from seeds ``seed``, ``seed + 1`` and so on.
    padding : str
        'side' or 'square'.
    device : str
        'cpu', 'cuda' or 'mps'.
    roots : Sequence[Path]
        Folders searched for data.
    tile : int | None
        Side of the tiles large images are denoised in, 0 for none, None to choose by size.
    shelf : Shelf | None
        Weights that are used where they fit; None to train every learned method by `recipe`.
    start : Start | None
        Trainings begin with trained networks.
    scored : bool
        Results are compared with references; not so for a file that is sent to a server.
    saving : Saving | None
        Which images are kept beside their scores.
    """

    methods: Sequence[Method]
    noises: Sequence[Noise]
    datasets: Sequence[DataSet]
    recipe: Recipe
    image_budget: str | None = None
    image_precision: str = "float32"
    repeats: int | None = 1
    train_data: DataSet | None = None
    limit: int | None = None
    draws: str = "counter"
    seed: int = 0
    trainings: int = 1
    padding: str = "side"
    device: str = "cpu"
    roots: Sequence[Path] = ()
    shelf: Shelf | None = None
    scored: bool = True
    tile: int | None = None
    start: Start | None = None
    saving: Saving | None = None
    # Every cell asks for them, and finding them reads manifests.
    _training_sets: dict[int | str, DataSet] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        mistakes = Mistakes()
        if self.draws not in DRAWS:
            mistakes.note(unknown("source of noise", self.draws, DRAWS))
        if self.padding not in PADDINGS:
            mistakes.note(unknown("padding", self.padding, PADDINGS))
        if self.repeats is not None and not 1 <= self.repeats <= limits.REPEATS:
            text = f"--repeats {self.repeats}: allowed are whole numbers from 1 to {limits.REPEATS:,}, or paper."
            mistakes.note(UserError(text))
        mistakes.read(None, _check_budget, "--budget", self.recipe.budget)
        if self.image_budget not in (None, "paper"):
            budget = mistakes.read(None, parse_budget, str(self.image_budget))
            if budget not in (None, self.recipe.budget):  # one option may give both
                mistakes.read(None, _check_budget, "--image-budget", budget)
        if self.recipe.draws == "fixed" and any(noise.real for noise in self.noises):
            text = "--training-noise fixed: the captures of real noise are what they are; leave it out."
            mistakes.note(UserError(text))
        if self.draws == "legacy":
            mistakes.read(None, self._check_legacy)
        mistakes.check()

    def _check_legacy(self) -> None:
        for noise in self.noises:
            if not noise.real:  # of which there are captures, and no draws
                LegacyDraws.check(noise)
        for dataset in self.datasets:
            if not has_legacy_draws(dataset):
                own = f"the folder {dataset.name!r}" if dataset.name in LEGACY_ORDER else repr(dataset.name)
                raise UserError(
                    f"Legacy draws are defined for the data sets {', '.join(LEGACY_ORDER)}, not for {own}. "
                    "Use --noise-draws counter there."
                )
            if (self.repeats or 0) > dataset.paper_repeats:
                raise UserError(
                    f"Legacy draws hold {dataset.paper_repeats} repeats of {dataset.name}, not {self.repeats}. "
                    "Lower --repeats or use --noise-draws counter."
                )

    def draws_source(self) -> Draws:
        """The source of evaluation noise."""
        if self.draws == "counter":
            return CounterDraws(self.seed)
        if self.draws == "stratified":
            return StratifiedDraws(self.seed, {found.name: self.scored_images(found) for found in self.datasets})
        sets = [find_dataset(name, self.roots) for name in LEGACY_ORDER]
        return LegacyDraws([LegacySet(s.name, s.paper_repeats, s.images, s.load) for s in sets])

    def scored_images(self, dataset: DataSet) -> Sequence[str]:
        """The images of a test set that are scored."""
        return tuple(dataset.images[: self.limit])

    def training_set(self, channels: int, noise: Noise, test: DataSet | None = None) -> DataSet:
        """The images that learned methods are trained on.

        Parameters
        ----------
        channels : int
            Of a set for synthetic noise.
        noise : Noise
            Real noise needs a set with captures.
        test : DataSet | None
            A test set of real captures may name the one that belongs to it.

        Raises
        ------
        UserError
            The set that was asked for does not go with the noise, or none is known.
        """
        if self.train_data is not None:
            if self.train_data.real != noise.real:
                raise UserError(f"--train-data {self.train_data.name} {_mismatch(noise, self.train_data)}.")
            return self.train_data
        if noise.real and (test is None or not test.training):
            known = f" for {test.name}" if test else ""
            own = f", such as these themselves: --train-data {test.folder}" if isinstance(test, OwnFolder) else ""
            raise UserError(f"no training set of real captures is known{known}; name one with --train-data{own}")
        key = test.training if noise.real and test is not None else channels
        if key not in self._training_sets:
            found = find_dataset(key, self.roots) if isinstance(key, str) else self._find_training_set(key)
            self._training_sets[key] = found
        return self._training_sets[key]

    def training_data(self, name: str) -> DataSet:
        """The training set of that name: the one given, or a built-in one."""
        own = self.train_data
        return own if own is not None and own.name == name else find_dataset(name, self.roots)

    def heldout(self, job: TrainingJob) -> DataSet | None:
        """The photographs that a training is measured on, if they are on this machine and of its kind."""
        if job.noise.real or job.channels not in (1, 3):
            return None
        found = find_dataset(HELD_OUT, self.roots)
        try:
            return found if isinstance(found, FolderSet) and found.folder else None
        except MissingData:
            return None

    def _find_training_set(self, channels: int) -> DataSet:
        *preferred, embedded = AUTO_TRAINING[channels]
        for name in preferred:
            candidate = find_dataset(name, self.roots)
            try:
                if isinstance(candidate, FolderSet) and candidate.folder:
                    return candidate
            except MissingData:
                continue
        return find_dataset(embedded, self.roots)

    def cells(self) -> list[Cell]:
        """Every cell, data set by data set, noise by noise, methods in the order given."""
        known: dict[tuple[int, str, int, str], list[_Prepared]] = {}
        cells = []
        for dataset in self.datasets:
            count = dataset.paper_repeats if self.repeats is None else self.repeats
            images = self.scored_images(dataset)
            if count * len(images) > limits.PAIRS:
                raise UserError(
                    f"--repeats {count}: data set {dataset.name!r} has {counted(len(images), 'image')}, and "
                    f"{limits.PAIRS:,} noisy images of one set are allowed."
                )
            wanted = [(image, repeat) for repeat in range(count) for image in images]
            for noise in self.noises:
                protocol = self._protocol(noise, dataset)
                described = protocol.described()
                unfit = _mismatch(noise, dataset, count, self.scored)
                for place, method in enumerate(self.methods):
                    # Networks for real noise belong to a test set, others serve all of them.
                    key = (place, noise.id, dataset.channels, dataset.name if dataset.real else "")
                    none = _Prepared(NothingToPrepare(), None, unfit)
                    common = (noise, dataset, protocol, described, wanted)
                    try:
                        if key not in known and not unfit:
                            # Methods of the package leave the process as it is; 10,000 cells are planned in 2 s.
                            shipped = type(method).__module__.startswith("denoisebench.")
                            with nullcontext() if shipped else isolated():
                                known[key] = self._prepared(method, noise, dataset)
                        every = [none] if unfit else known[key]
                        made = [self._cell(method, *common, prepared) for prepared in every]
                    except (UserError, KeyboardInterrupt):
                        raise
                    except BaseException as error:  # a plugin may raise anything, and must not cost others their rows
                        made = [self._cell(broken(method, method.text, error), *common, none)]
                    cells += made
        return cells

    def job(
        self, method: LearnedMethod, noise: Noise, channels: int, number: int = 0, test: DataSet | None = None
    ) -> TrainingJob:
        """The training a learned method needs for a noise and a channel count, the first one or a later one."""
        data = self.training_set(channels, noise, test)
        recipe = replace(self.recipe, seed=self.recipe.seed + number) if number else self.recipe
        start = self.start.of(method, channels) if self.start else None
        return training_job(method, noise, recipe, data, channels, self.device, start)

    def _protocol(self, noise: Noise, dataset: DataSet) -> Protocol:
        # Stratified levels are those of a range; everything else of that source is as the counter makes it.
        kind = "counter" if self.draws == "stratified" and not noise.ranged else self.draws
        draws_id = LegacyDraws.id if kind == "legacy" else f"{kind}-{self.seed}"
        limit = None if self.limit is None or self.limit >= len(dataset.images) else self.limit
        scoring = SCORINGS[dataset.scoring]
        return Protocol(
            dataset.name, dataset.data_hash, noise.id, "captures" if noise.real else draws_id, self.padding,
            scoring.rounding, scoring.metrics, limit,
        )  # fmt: skip

    def _prepared(self, method: Method, noise: Noise, dataset: DataSet) -> list[_Prepared]:
        """What a method needs, once for each of its trainings."""
        skip = reason_to_skip(method, noise, dataset.channels)
        try:
            first = self._preparation(method, noise, dataset, skip)
        except _Unsuited as error:
            return [_Prepared(NothingToPrepare(), None, str(error))]
        prepared = [_Prepared(first, _identity_of(first), skip)]
        if isinstance(first, NetworkToTrain) and isinstance(method, LearnedMethod) and not skip:
            for number in range(1, self.trainings):
                later = NetworkToTrain(self.job(method, noise, dataset.channels, number, dataset))
                prepared.append(_Prepared(later, _identity_of(later), skip))
        return prepared

    def _preparation(self, method: Method, noise: Noise, dataset: DataSet, skip: str) -> Preparation:
        if isinstance(method, LearnedMethod) and not (skip and noise.real):
            return self._network(method, noise, dataset)
        if isinstance(method, PerImageMethod):
            try:
                return FitToEachImage(method, fit_recipe(method, self.image_budget, self.image_precision))
            except UserError as error:
                raise _Unsuited(skip or str(error)) from None
        return NothingToPrepare()

    def _network(self, method: LearnedMethod, noise: Noise, dataset: DataSet) -> TrainedNetwork | NetworkToTrain:
        """The weights of a learned method that fit a test set, or else the training that it needs."""
        if not noise.real:
            weights = self.shelf.find(method, noise.id, dataset.channels) if self.shelf else None
            if weights:
                return TrainedNetwork(method, weights)
            return NetworkToTrain(self.job(method, noise, dataset.channels))
        try:
            # Real noise is that of its data set: a network is no use beyond it, and its images may not be here.
            data = self.training_set(dataset.channels, noise, dataset)
            weights = self.shelf.find(method, noise.id, dataset.channels, data.name) if self.shelf else None
            if weights and _trained_on(weights, data):
                return TrainedNetwork(method, weights)
            if data.channels != dataset.channels:
                raise UserError(f"{data.name} has {data.channels} channels, {dataset.name} {dataset.channels}")
            if Need.SECOND in method.told(noise.family) and min(map(data.captures, data.images)) < 2:
                raise UserError(f"needs two captures of one view, and {data.name} has views with only one")
            return NetworkToTrain(self.job(method, noise, dataset.channels, test=dataset))
        except UserError as error:
            raise _Unsuited(str(error)) from None

    def _cell(
        self,
        method: Method,
        noise: Noise,
        dataset: DataSet,
        protocol: Protocol,
        described: Mapping[str, Any],
        wanted: Sequence[tuple[str, int]],
        prepared: _Prepared,
    ) -> Cell:
        plain = isinstance(method, PlainMethod)
        identity = {
            "method": method.name,
            "settings": method.keyed_settings(),
            "protocol": dict(described),
            "training": prepared.training,
            "code": {"protocol": PROTOCOL_VERSION, **code_of(method, dataset)},
            "versions": versions(("numpy", "scipy", *(() if plain else ("torch",)), *method.info.packages)),
            "device": "cpu" if plain else self.device,
            "seed": self.seed,
        }
        method.told_in_words(noise)
        return Cell(
            method=method,
            noise=noise,
            dataset=dataset,
            protocol=protocol,
            preparation=prepared.preparation,
            seed=self.seed,
            wanted=wanted,
            identity=identity,
            skip=prepared.skip,
            tile=self.tile,
        )


def _check_budget(option: str, budget: Budget) -> None:
    """Raise a `UserError` for a training of more than a lifetime."""
    most = {"steps": limits.STEPS, "epochs": limits.EPOCHS, "minutes": limits.MINUTES}[budget.unit]
    if budget.amount > most:
        raise UserError(f"{option} of {budget.amount:.3g} {budget.unit}: allowed are at most {most:,} {budget.unit}.")


def has_legacy_draws(dataset: DataSet) -> bool:
    """Whether a data set is one of those that the released tests drew noise for, rather than called like one."""
    return dataset.name in LEGACY_ORDER and is_registered(dataset)


class _Unsuited(Exception):  # noqa: N818 - a reason to skip a cell
    """Nothing that this learned method could be trained on for real noise."""


def _identity_of(preparation: Preparation) -> Mapping[str, Any] | None:
    """What the identity of a cell says of its network or fit."""
    match preparation:
        case NetworkToTrain(job):
            return job.identity
        case TrainedNetwork(weights=weights):
            return {"weights": weights.sha256}
        case FitToEachImage(recipe=recipe):
            return {"fit": asdict(recipe)}
        case NothingToPrepare():
            return None


def _trained_on(weights: Weights, data: DataSet) -> bool:
    """Whether weights are of these images, not of others of one name, as far as record and data can tell."""
    listed = weights.record.get("data", {}).get("sha256")
    # Of a built-in set without a manifest a part may be here, or nothing.
    if not listed or (is_registered(data) and getattr(data, "manifest", None) is None):
        return True
    try:
        return bool(listed == data.data_hash)
    except UserError:
        return True


def _mismatch(noise: Noise, dataset: DataSet, count: int = 1, scored: bool = True) -> str:
    """Why a data set cannot be used with a noise, or ''."""
    if noise.real and not dataset.real:
        return (
            "holds clean images only; the noise 'real' needs captures beside references (folders noisy/ and clean/), "
            "or a folder of noisy images alone"
        )
    if dataset.real and not noise.real:
        return "holds real noisy captures, which go with --noise real only"
    if scored and not dataset.referenced:
        return "has no public references, so nothing can be scored here; denoisebench submit writes the file to send"
    fewest = min(dataset.images, key=dataset.captures) if noise.real else ""
    if noise.real and dataset.captures(fewest) < count:
        return f"holds {counted(dataset.captures(fewest), 'capture')} of image {fewest}, and --repeats asks for {count}"
    return ""


def reason_to_skip(method: Method, noise: Noise, channels: int) -> str:
    """Why a method cannot do a noise or a number of channels, or ''."""
    try:
        return method.unsuitable(noise, channels) or ""
    except Exception as error:  # a plugin may raise anything, and must not cost the others their results
        return f"its unsuitable() raised {type(error).__name__}: {error}"
