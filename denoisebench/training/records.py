"""Finished trainings on disk: the network beside its record, checked against each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from denoisebench.core.files import Damaged, file_sha256, set_aside, unsealed
from denoisebench.core.provenance import full_digest
from denoisebench.networks import placed
from denoisebench.training.job import IDENTITY, OPTIONAL, Trained, TrainingJob
from denoisebench.training.recipe import Recipe

#: Of the records of trainings.
FORMAT = 2


def _unheard(text: str) -> None:
    pass


def record_of(job: TrainingJob, folder: Path, say: Callable[[str], None] = _unheard) -> dict[str, Any] | None:
    """The record of a finished training, or None if there is none; needs no torch.

    A damaged one, or that of another training, is moved into ``damaged/``; ``say`` is told so in one sentence.
    """
    path = folder / f"{job.stem}.json"
    network = path.with_suffix(".safetensors")
    if not path.is_file() or not network.is_file():
        return None
    try:
        return read_record(path, job.key)
    except Damaged as error:
        set_aside(network)
        say(f"{error} Moved into {set_aside(path).parent}; the network is trained again.")
        return None


def read_record(path: Path, key: str | None = None) -> dict[str, Any]:
    """The record beside a network, checked against its checksum, that of the network, and the key it should have.

    Raises
    ------
    Damaged
        Naming the file and what is wrong with it.
    """
    record = unsealed(path, (FORMAT,))
    del record["format"]
    identity = {name: record.get(name) for name in IDENTITY}
    identity |= {name: record[name] for name in OPTIONAL if name in record}
    if key is not None and full_digest(identity)[:16] != key:
        raise Damaged(f"{path} is damaged: it is the record of another training.")
    network = path.with_suffix(".safetensors")
    if file_sha256(network) != record.get("network_sha256"):
        raise Damaged(f"{network} is damaged: it does not have the checksum that its record lists.")
    return record


def load_trained(job: TrainingJob, folder: Path, device: str, say: Callable[[str], None] = _unheard) -> Trained | None:
    """The network of a finished training, or None if there is none; see `record_of`."""
    record = record_of(job, folder, say)
    if record is None:
        return None
    from safetensors.torch import load_file

    network = job.method.build(job.channels)
    network.load_state_dict(load_file(folder / f"{job.stem}.safetensors"))
    return Trained(placed(network, device).eval(), record)


def training_text(record: Mapping[str, Any]) -> str:
    """One phrase for a table: length, crops and data, and what differs from the usual recipe."""
    recipe = Recipe.from_record(record["recipe"])
    usual = Recipe(recipe.budget)
    data = record["data"]
    parts = [recipe.text, data["name"] + (f" ({data['extent']})" if data.get("extent") else "")]
    start = record.get("start")
    parts += [f"after {start['images_seen']:,} crops with {start['noise']}"] if start else []
    parts += [f"lr {recipe.lr:g}"] if recipe.lr != usual.lr else []
    parts += [f"seed {recipe.seed}"] if recipe.seed != usual.seed else []
    return ", ".join(parts)
