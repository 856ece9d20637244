"""Stored cells made runnable again: their method, noise, images and network, and what has changed since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from denoisebench.core.errors import UserError, unknown
from denoisebench.core.provenance import full_digest, versions
from denoisebench.core.systemfiles import own_entries
from denoisebench.data.dataset import DataSet
from denoisebench.evaluation.fit import FitRecipe
from denoisebench.experiment.cells import Experiment
from denoisebench.experiment.options import resolve_device
from denoisebench.experiment.revisions import PROTOCOL_VERSION, code_of
from denoisebench.plugins.identity import has_registered_images, is_registered
from denoisebench.plugins.lookup import find_dataset
from denoisebench.plugins.method import Method
from denoisebench.plugins.registry import METHODS
from denoisebench.protocol.draws import CounterDraws, Draws, LegacyDraws, StratifiedDraws
from denoisebench.protocol.noise import Noise, parse_noise
from denoisebench.results.store import Store, StoredCell
from denoisebench.results.summary import current, line_of, method_of
from denoisebench.training.recipe import Budget, Recipe
from denoisebench.training.records import read_record
from denoisebench.training.weights import Shelf, Weights


@dataclass(frozen=True)
class CellFilter:
    """Which cells of a results folder, and where their parts are.

    Parameters
    ----------
    methods, noises : Sequence[str]
        Texts as in the table; empty for all, then without the lines that are in every table.
    datasets : Sequence[DataSet]
        The only sets wanted, or empty for all; a folder of the user's own must be given here.
    roots : Sequence[Path]
        Folders searched for data.
    shelf : Shelf
        Weights.
    device : str | None
        Instead of that of the run, or None.
    """

    methods: Sequence[str] = ()
    noises: Sequence[str] = ()
    datasets: Sequence[DataSet] = ()
    roots: Sequence[Path] = ()
    shelf: Shelf = field(default_factory=lambda: Shelf([]))
    device: str | None = None


@dataclass(frozen=True)
class ReproducibleCell:
    """A stored cell with everything it takes to compute it again.

    Parameters
    ----------
    stored : StoredCell
        The cell.
    method, noise, dataset : Method or Noise or DataSet
        As run.
    device : str
        Torch device to use now.
    fit : FitRecipe | None
        Of a per-image method, else None.
    network : Weights | None
        Where the trained network is, or None.
    changes : Sequence[str]
        Sentences about what is not as it was when the cell was computed.
    roots : Sequence[Path]
        Folders searched for data.
    """

    stored: StoredCell
    method: Method
    noise: Noise
    dataset: DataSet
    device: str
    fit: FitRecipe | None
    network: Weights | None
    changes: Sequence[str]
    roots: Sequence[Path] = ()

    @property
    def protocol(self) -> Mapping[str, str]:
        """Draws, padding and the rest, as stored."""
        protocol: Mapping[str, str] = self.stored.identity["protocol"]
        return protocol

    def draws(self, text: str | None = None) -> Draws:
        """The noise that its images were given, or that another source gives them."""
        limit = self.stored.identity["protocol"].get("limit")
        return draws_of(self.protocol["draws"] if text is None else text, self.roots, self.dataset, limit)

    @property
    def title(self) -> str:
        """Method as in the table, data and noise."""
        about = self.stored.about
        return f"{line_of(self.stored).title} on {about['dataset_title']}, {about['noise_title']}"

    @property
    def seed(self) -> int:
        """Of the method's own draws."""
        return int(self.stored.identity["seed"])


def subjects(store: Store, choice: CellFilter) -> list[ReproducibleCell]:
    """The newest cell of every line and column that was chosen, ready to be computed again.

    Raises
    ------
    UserError
        Nothing is stored or chosen, or a plugin, data or a network is missing.
    """
    cells = current(sorted(store.intact(), key=lambda cell: str(cell.about["written"])))[0]
    if not cells:
        raise UserError(f"Folder {store.folder} holds no finished results.")
    chosen = _chosen(cells, choice)
    found = []
    for cell in chosen:
        try:
            found.append(subject_of(cell, store, choice))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            text = f"{cell.about['text']} on {cell.identity['protocol']['dataset']}"
            raise UserError(
                f"Cell {cell.key} ({text}) lacks what an audit needs ({type(error).__name__}: {error}); choose others "
                "with --methods, --noise and --datasets."
            ) from None
    return found


def draws_of(text: str, roots: Sequence[Path], dataset: DataSet, limit: int | None = None) -> Draws:
    """The source of noise that a protocol names, for the images of a data set or the first of them.

    Raises
    ------
    UserError
        It is none that can be drawn again.
    """
    kind, _, seed = text.partition("-")
    if kind == "counter" and seed.isdecimal() and len(seed) < 20:
        return CounterDraws(int(seed))
    if kind == "stratified" and seed.isdecimal() and len(seed) < 20:
        return StratifiedDraws(int(seed), {dataset.name: tuple(dataset.images[:limit])})
    if text == LegacyDraws.id:
        return Experiment([], [], [], Recipe(Budget(1, "steps")), draws="legacy", roots=roots).draws_source()
    raise UserError(f"The run drew its noise from {text!r}, which cannot be repeated.")


def _chosen(cells: Sequence[StoredCell], choice: CellFilter) -> list[StoredCell]:
    texts = {str(cell.about["text"]) for cell in cells}
    noises = {cell.identity["protocol"]["noise"] for cell in cells}
    sets = {cell.identity["protocol"]["dataset"] for cell in cells}
    for text in choice.methods:
        if text not in texts and text not in set(map(method_of, cells)):
            raise unknown("method of this run", text, texts)
    for text in choice.noises:
        if text not in noises:
            raise unknown("noise of this run", text, noises)
    for dataset in choice.datasets:
        if dataset.name not in sets:
            raise unknown("data set of this run", dataset.name, sets)
    found = [cell for cell in cells if _wanted(cell, choice)]
    if not found:
        raise UserError("No cell of this run is left by --methods, --noise and --datasets; drop one of them.")
    return found


def _wanted(cell: StoredCell, choice: CellFilter) -> bool:
    text, protocol = str(cell.about["text"]), cell.identity["protocol"]
    if choice.methods:
        method = text in choice.methods or method_of(cell) in choice.methods
    else:
        method = not cell.about["baseline"]
    noise = not choice.noises or protocol["noise"] in choice.noises
    given = [dataset for dataset in choice.datasets if dataset.name == protocol["dataset"]]
    # Under one name there may be a built-in set and a folder.
    alike = not choice.datasets or any(is_registered(dataset) == has_registered_images(cell) for dataset in given)
    return method and noise and alike


def subject_of(cell: StoredCell, store: Store, choice: CellFilter) -> ReproducibleCell:
    """A stored cell, ready to be computed again.

    Raises
    ------
    UserError
        Its plugin, data or network is missing.
    """
    identity = cell.identity
    name, protocol = str(identity["method"]), identity["protocol"]
    method = _method(name, identity["settings"], str(cell.about["text"]))
    dataset = _dataset(cell, choice)
    dataset.verify()
    lost = sorted({image for image, _ in cell.rows} - set(dataset.images))
    if lost:
        raise UserError(f"The run scored {lost[0]!r} of data set {dataset.name!r}, which is not in it any more.")
    network, fit = None, None
    training = identity["training"] or {}
    if "fit" in training:
        fit = FitRecipe(**{**training["fit"], "budget": Budget(**training["fit"]["budget"])})
    elif training:
        network = _network(cell, store, choice.shelf)
    device = choice.device or resolve_device(identity["device"])
    plain = not training
    changes = _changes(cell, method, dataset, "cpu" if plain else device)
    return ReproducibleCell(
        cell, method, parse_noise(protocol["noise"]), dataset, device, fit, network, changes, choice.roots
    )


def _method(name: str, settings: Mapping[str, Any], text: str) -> Method:
    if name not in METHODS.names():
        raise UserError(
            f"The run used the method {name!r}, which is not here; give its file with --plugin, or choose others with "
            f"--methods. Here are: {', '.join(METHODS.names())}."
        )
    try:
        return METHODS.get(name)(**settings)
    except (TypeError, ValueError) as error:
        raise UserError(f"Method {name!r} does not take the settings of {text} any more ({error}).") from None


def _dataset(cell: StoredCell, choice: CellFilter) -> DataSet:
    name = cell.identity["protocol"]["dataset"]
    given = {dataset.name: dataset for dataset in choice.datasets}
    if name in given:
        return given[name]
    if has_registered_images(cell):
        return find_dataset(name, choice.roots)
    raise UserError(f"The run used a folder of images called {name!r}; say where it is with --datasets PATH.")


def _network(cell: StoredCell, store: Store, shelf: Shelf) -> Weights:
    training, text = cell.identity["training"], cell.about["text"]
    if "weights" in training:
        weights = shelf.with_hash(training["weights"])
        if weights is None:
            raise UserError(
                f"The network of {text} (SHA-256 {training['weights'][:16]}...) is not among the shipped weights; "
                "name the folder that the run had with --weights."
            )
        return weights
    key = full_digest(training)[:16]
    path = next(own_entries(store.models, f"*-{key}.safetensors"), None)
    if path is None:
        raise UserError(f"The network of {text} (key {key}) is not in {store.models} any more; run it again.")
    record = read_record(path.with_suffix(".json"), key)
    return Weights(path, record["network_sha256"], record)


def _changes(cell: StoredCell, method: Method, dataset: DataSet, device: str) -> list[str]:
    """What decides a score and is not as it was."""
    identity = cell.identity
    changes = []
    was, now = identity["code"], code_of(method, dataset)
    version = was.get("protocol", "a version before 1")
    if version != PROTOCOL_VERSION:
        changes.append(f"scores are computed by version {PROTOCOL_VERSION} of the protocol, the run's by {version}")
    for part, name in (("plugin", method.name), ("network", "the network"), ("data", dataset.name)):
        if was.get(part) != now.get(part):
            changes.append(f"the code of {name} has changed since the run")
    if identity["protocol"]["data_hash"] != dataset.data_hash:
        changes.append(f"the images of {dataset.name} are not those of the run")
    for package, before in identity["versions"].items():
        installed = versions((package,))[package]
        if installed != before:
            changes.append(f"{package} is {installed}, it was {before}")
    if identity["device"] != device:
        changes.append(f"computed on {device}, the run on {identity['device']}")
    return changes
