"""What is written beside the rows of a cell: labels, how its network was trained, on what it was computed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from denoisebench.core.errors import UserError
from denoisebench.core.text import counted
from denoisebench.data.dataset import DataSet, FolderSet, OwnFolder
from denoisebench.evaluation.fit import fit_text
from denoisebench.experiment.cells import Cell, Experiment
from denoisebench.experiment.preparation import FitToEachImage, TrainedNetwork
from denoisebench.experiment.revisions import PROTOCOL, code_digest
from denoisebench.plugins.identity import class_name
from denoisebench.plugins.method import Need
from denoisebench.plugins.registry import DATASETS
from denoisebench.training.records import training_text

#: When a cell was made or last asked for, by which the newest is known: texts sort as times do.
WRITTEN = "%Y-%m-%dT%H:%M:%S.%fZ"


def cell_labels(
    cell: Cell, record: Mapping[str, Any] | None, experiment: Experiment, written: datetime
) -> dict[str, Any]:
    """What explains the rows of a cell.

    Parameters
    ----------
    record : Mapping[str, Any] | None
        Of its network, if it has one.
    written : datetime
        Reports list cells in this order, so those of one run must differ.
    """
    method = cell.method
    found: dict[str, Any] = {
        "text": method.text,
        "changed": method.changed(),
        "label": method.info.label,
        "told": method.told_in_words(cell.noise),
        "baseline": method.info.baseline,
        "protocol": cell.protocol.fingerprint,
        "noise_title": cell.noise.title,
        "dataset_title": cell.dataset.title + (f" (first {limit})" if (limit := cell.protocol.limit) else ""),
        "dataset_class": class_name(cell.dataset),
        "training": "",
        "warnings": [cell.dataset.note.removesuffix(".")] if cell.dataset.note else [],
        "machine": {},
        "harness": [code_digest(PROTOCOL)],
        "written": written.strftime(WRITTEN),
    }
    if isinstance(cell.preparation, FitToEachImage):
        found["training"] = fit_text(cell.preparation.method, cell.preparation.recipe)
    if record is not None:
        given = cell.preparation.weights if isinstance(cell.preparation, TrainedNetwork) else None
        found["training"] = given.text if given else training_text(record)
        found["training_record"] = {
            name: record[name] for name in ("steps", "images_seen", "seconds", "parameters") if name in record
        }
        found["training_record"]["draws"] = record.get("recipe", {}).get("draws", "")
        found["warnings"] += record.get("warnings", [])
        training = _training_set(record, experiment)
        if isinstance(training, OwnFolder) and training.note:
            found["warnings"].append(f"training: {training.note.removesuffix('.')}")
        if shared := shared_images(training, cell.dataset):
            blind = cell.dataset.real and Need.CLEAN not in method.info.needs
            seen = ", not seeing their references" if blind else ""
            found["warnings"].append(f"trained on {counted(shared, 'image')} of the test set{seen}")
    return found


def shared_images(training: DataSet | None, test: DataSet) -> int:
    """How many images of a test set are images, captures or references of a training set, by their content."""
    if not isinstance(training, FolderSet) or not isinstance(test, FolderSet):
        return 0
    seen = frozenset().union(*training.hashes.values())
    return sum(bool(seen & mine) for mine in test.hashes.values())


def _training_set(record: Mapping[str, Any], experiment: Experiment) -> DataSet | None:
    """The images a network was trained on, if they are a data set of this machine: by their hash, not by the name."""
    name = record.get("data", {}).get("name")
    own = experiment.train_data
    if name not in DATASETS.names() and (own is None or own.name != name):
        return None
    try:
        found = experiment.training_data(name)
        return found if found.data_hash == record["data"].get("sha256") else None
    except UserError:
        return None
