"""What a result cost, from the records of its cells: parameters, training, seconds per image, and on what machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from denoisebench.results.store import StoredCell
from denoisebench.results.summary import training_seed


@dataclass(frozen=True)
class Cost:
    """What a result cost; None where the record does not tell, or nothing was trained.

    Parameters
    ----------
    parameters : int | None
        Of the network.
    training_images, training_seconds : int | None or float | None
        Crops that a training saw, and how long it took.
    seconds : float
        Per image, mean.
    multiply_adds : float | None
        Of the passes through the network, per pixel of an image, mean.
    memory : int | None
        Bytes that denoising took at its peak, the most of all images; on a GPU with the network, on a CPU without.
    device : str
        Torch device of the evaluation, e.g. cpu.
    machine : str
        Processor and cores of the evaluation.
    """

    parameters: int | None
    training_images: int | None
    training_seconds: float | None
    seconds: float
    multiply_adds: float | None
    memory: int | None
    device: str
    machine: str


def cost_of(cells: Sequence[StoredCell]) -> Cost:
    """The cost of one cell, or the mean over the trainings of a line."""
    records = [cell.about.get("training_record") or {} for cell in cells]
    images, seconds = (_mean(records, name) for name in ("images_seen", "seconds"))
    rows = [row for cell in cells for row in cell.rows.values()]
    adds = [row.multiply_adds for row in rows if row.multiply_adds is not None]
    return Cost(
        parameters_of(cells),
        None if images is None else round(images),
        seconds,
        fmean(row.seconds for row in rows),
        fmean(adds) if adds else None,
        max((row.memory for row in rows if row.memory is not None), default=None),
        ", ".join(dict.fromkeys(device_of(cell) for cell in cells)),
        ", ".join(dict.fromkeys(machine_of(cell) for cell in cells)),
    )


def parameters_of(cells: Sequence[StoredCell]) -> int | None:
    """Parameters of the network of one cell, or their mean over the trainings of a line."""
    mean = _mean([cell.about.get("training_record") or {} for cell in cells], "parameters")
    return None if mean is None else round(mean)


def _mean(records: Sequence[dict[str, Any]], name: str) -> float | None:
    values = [record[name] for record in records if type(record.get(name)) in (int, float)]
    return fmean(values) if values else None


def device_of(cell: StoredCell) -> str:
    """The torch device that a cell was computed on; '' where it is not stored."""
    return str(cell.identity.get("device") or "")


def machine_of(cell: StoredCell) -> str:
    """Processor and cores that a cell was computed on; '' where they are not stored."""
    machine = cell.about.get("machine")
    if not isinstance(machine, dict) or not machine.get("processor"):
        return ""
    cores, threads = (machine.get(name) for name in ("cores", "threads"))
    parts = [f"{cores} cores" if cores != 1 else "1 core"] if cores else []
    parts += [f"{threads} threads" if threads != 1 else "1 thread"] if threads else []
    return str(machine["processor"]) + (f" ({', '.join(parts)})" if parts else "")


def machine_notes(cells: Sequence[StoredCell]) -> list[str]:
    """The footnote of s/image: where the seconds were measured, with the methods of each where there are several."""
    places: dict[str, list[str]] = {}
    for cell in cells:
        machine, device = machine_of(cell), device_of(cell)
        if machine:
            methods = places.setdefault(f"{machine}{f', on {device}' if device else ''}", [])
            methods += [cell.about["text"]] * (cell.about["text"] not in methods)
    if not places:
        return []
    if len(places) == 1:
        return [f"s/image: seconds of denoising per image on {next(iter(places))}."]
    texts = [f"{', '.join(methods)} on {place}" for place, methods in places.items()]
    return [f"s/image: seconds of denoising per image, from different machines: {'; '.join(texts)}."]


def cost_columns(cells: Sequence[StoredCell]) -> dict[str, dict[str, object]]:
    """Columns of the cost for a frame, each by the key of the cell; seconds stand in the rows already."""
    columns: dict[str, dict[str, object]] = {}
    for cell in cells:
        cost = cost_of([cell])
        values = {
            "parameters": cost.parameters, "training_images": cost.training_images,
            "training_seconds": cost.training_seconds, "training_seed": training_seed(cell),
            "device": cost.device, "machine": cost.machine,
        }  # fmt: skip
        for name, value in values.items():
            columns.setdefault(name, {})[cell.key] = value
    return columns
