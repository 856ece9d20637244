"""Which images a name stands for: that of a data set of this package may also be the name of anybody's folder."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

from denoisebench.core.errors import UserError
from denoisebench.data.dataset import DataSet, FolderSet
from denoisebench.plugins.registry import DATASETS
from denoisebench.results.store import StoredCell


def class_name(dataset: DataSet) -> str:
    """The class of a data set, as it is stored with scores; one that is not registered may be called like one."""
    return ("" if is_registered(dataset) else "own ") + _name_of(type(dataset))


def is_registered(dataset: DataSet) -> bool:
    """Whether a data set is the registered one of its name, not a folder that is called like it."""
    return dataset.name in DATASETS.names() and type(dataset) is DATASETS.get(dataset.name)


def is_registered_cell(cell: StoredCell) -> bool:
    """Whether stored scores are of the registered data set of that name, and of all its images."""
    return cell.identity["protocol"].get("limit") is None and has_registered_images(cell)


def has_registered_images(cell: StoredCell) -> bool:
    """Whether stored scores are of images of the registered data set of that name, by its class and their hash."""
    protocol, about = cell.identity["protocol"], cell.about
    if protocol["dataset"] not in DATASETS.names():
        return False
    kind = DATASETS.get(protocol["dataset"])
    if "dataset_class" in about:
        same = about["dataset_class"] == _name_of(kind)
    else:  # earlier versions stored the title alone, and the title of a folder is its name
        same = about.get("dataset_title") == kind.title != kind.name
    return same and _listed_hash(cast(Any, kind)) in (None, protocol.get("data_hash"))


def set_name(cell: StoredCell) -> str:
    """The name of the data set of stored scores, with a part of its hash if it is not a registered one."""
    protocol = cell.identity["protocol"]
    name = str(protocol["dataset"])
    return name if is_registered_cell(cell) else f"{name}#{str(protocol.get('data_hash', ''))[:8]}"


def _name_of(kind: type[DataSet]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


@cache
def _listed_hash(kind: Any) -> str | None:
    """The hash of the images that a manifest lists, whether they are here or not; None for a set without one."""
    if not issubclass(kind, FolderSet) or kind.manifest is None:
        return None
    try:
        return str(kind([]).data_hash)
    except UserError:
        return None
