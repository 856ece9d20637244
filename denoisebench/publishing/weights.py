"""Making weights: trainings, results of other programs, and stored scores, turned into files that ship."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

from denoisebench.core.errors import UserError
from denoisebench.core.files import file_sha256, parse_json, read_text
from denoisebench.core.lazy import torch
from denoisebench.core.progress import Progress
from denoisebench.core.provenance import fingerprint
from denoisebench.core.text import counted, unheard
from denoisebench.data.dataset import DataSet, FolderSet, MissingData
from denoisebench.evaluation.evaluate import Route, evaluate
from denoisebench.execution.runner import train_only
from denoisebench.experiment.cells import Experiment
from denoisebench.networks import user_network
from denoisebench.plugins.identity import set_name
from denoisebench.plugins.lookup import find_dataset
from denoisebench.plugins.method import LearnedMethod
from denoisebench.plugins.registry import DATASETS, METHODS
from denoisebench.protocol.draws import CounterDraws
from denoisebench.protocol.metrics import finite
from denoisebench.protocol.noise import parse_noise
from denoisebench.results.store import Store
from denoisebench.training.records import read_record, training_text
from denoisebench.training.weights import (
    PERFECT,
    Weights,
    network_from,
    read_folder,
    read_tensors,
    stem_of,
    write_weights,
)

# Half precision is stored where it costs less than this, in dB, on a few training photographs.
HALF_LIMIT = 0.01
HALF_IMAGES = 4


def train_weights(
    experiment: Experiment, channels: int, folder: Path, limit: float | None, progress: Progress
) -> tuple[dict[str, Weights], list[tuple[str, str]]]:
    """Train every learned method of an experiment for its noises, one after the other, and write their weights.

    Parameters
    ----------
    folder : Path
        Receives the weights; checkpoints and full records stay under ``training/`` there.
    limit : float | None
        Seconds for all of it, or None; what is not finished then goes on with the next call.

    Returns
    -------
    tuple[dict[str, Weights], list[tuple[str, str]]]
        Weights by title, and (title, reason) of what is not finished.
    """
    until = None if limit is None else time.monotonic() + limit
    done, unfinished = train_only(experiment, channels, Store(folder / "training"), progress, until)
    records = {title: Path(path).with_suffix(".json") for title, path in done.items()}
    return {title: export(record, folder, experiment, progress) for title, record in records.items()}, unfinished


def export(record_file: Path, folder: Path, experiment: Experiment | None, progress: Progress) -> Weights:
    """Turn a finished training of a results folder into weights.

    Parameters
    ----------
    record_file : Path
        ``models/STEM.json`` beside ``STEM.safetensors``.
    folder : Path
        Receives the weights.
    experiment : Experiment | None
        Knows where data are; without it, or without the training set, float32 is stored.
    """
    try:
        record = _record(record_file)
        method = _method_of(record)
        channels, noise = int(record["channels"]), parse_noise(record["noise"]).id
        summary = training_text(record)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{record_file} is not the record of a training: {error!r}.") from None
    source = record_file.with_suffix(".safetensors")
    tensors = read_tensors(source, file_sha256(source))
    loss = half_loss(method, channels, tensors, record, experiment)
    half = loss is not None and loss < HALF_LIMIT
    # JSON has no infinity.
    loss = loss if loss is not None and math.isfinite(loss) else None
    stem = stem_of(method, noise, channels, str(record["data"]["name"]))
    progress.say(
        f"{stem}: {summary}, stored as float16 (costs {loss:+.4f} dB)" if half else f"{stem}: {summary}, as float32"
    )
    return write_weights(
        folder, stem, tensors, {**record, "summary": summary, "half_loss_db": loss}, half, progress.say
    )


def _record(path: Path) -> dict[str, Any]:
    """The record of a training; one without a checksum, of an earlier version, is believed."""
    source = path.with_suffix(".safetensors")
    if not source.is_file():
        raise UserError(f"The network {source} that {path.name} belongs to is missing.")
    text = read_text(path)
    if text.startswith('{\n "method"'):
        return parse_json(path, text)
    record = read_record(path)
    # It is the hash of the file in the results folder; weights have a list of hashes of their own.
    del record["network_sha256"]
    return record


def half_loss(
    method: LearnedMethod,
    channels: int,
    tensors: Mapping[str, torch.Tensor],
    record: Mapping[str, Any],
    experiment: Experiment | None,
) -> float | None:
    """What rounding to float16 costs in PSNR, in dB, on the first training photographs; None without them."""
    dataset = _training_data(record, experiment)
    # Captures may be whole frames of a sensor, too large for a network on this machine; and a record must not have a
    # file run that nobody named.
    if dataset is None or dataset.real or user_network(method.network) is not None:
        return None
    noise = parse_noise(record["noise"])
    wanted = [(image, 0) for image in islice(dataset.images, HALF_IMAGES)]
    if not all(tensor.half().isfinite().all() for tensor in tensors.values()):
        return math.inf
    # The first output that a training is measured by: one pass of a method that averages many.
    quick = next(iter(method.outputs().values()))
    means = []
    for kept in (tensors, {name: tensor.half().float() for name, tensor in tensors.items()}):
        network = network_from(method, channels, kept, "under test", "cpu")
        rows = evaluate(Route(quick, network, noise), dataset, CounterDraws(0), wanted)
        means.append([row.psnr for row in rows])
    # An image that equals its reference either way costs nothing; one that does so only before rounding, everything.
    pairs = [(before, after) for before, after in zip(*means, strict=True) if math.isfinite(min(before, after))]
    return fmean(before for before, _ in pairs) - fmean(after for _, after in pairs) if pairs else 0.0


def record_scores(folder: Path, results: Path, say: Callable[[str], None] = unheard) -> list[str]:
    """Copy the mean scores that results hold for weights of a folder into their records.

    Returns
    -------
    list[str]
        One sentence per score.
    """
    said = []
    by_hash = {weights.sha256: weights for weights in read_folder(folder).values()}
    scores: dict[str, dict[str, Any]] = {}
    store = Store(results, create=False)
    for cell in store.intact():
        training = cell.identity.get("training") or {}
        weights = by_hash.get(training.get("weights", ""))
        if weights is None:
            continue
        rows, protocol = list(cell.rows.values()), cell.identity["protocol"]
        psnr, perfect = fmean(finite(row.psnr for row in rows)), sum(math.isinf(row.psnr) for row in rows)
        score = {
            "method": cell.about["text"],
            "psnr": round(psnr, 4) if math.isfinite(psnr) else PERFECT,
            "ssim": round(fmean(row.ssim for row in rows), 5),
            "rows": len(rows),
            "protocol": fingerprint(protocol),
            **({"equal_to_reference": perfect} if perfect else {}),
        }
        scores.setdefault(weights.sha256, {})[f"{set_name(cell)} {protocol['noise']}"] = score
        where = f"{weights.path.stem} on {set_name(cell)}"
        equal = f", {perfect} of them equal to their reference and not in the dB" if perfect else ""
        said.append(f"{where}: {psnr:.2f} dB, {score['ssim']:.3f}, {counted(len(rows), 'row')}{equal}")
    for sha256, found in scores.items():
        weights = by_hash[sha256]
        record = {**weights.record, "scores": {**weights.record.get("scores", {}), **found}}
        tensors = read_tensors(weights.path, sha256)
        write_weights(folder, weights.path.stem, tensors, record, weights.record["stored_as"] == "float16", say)
    return said


def _method_of(record: Mapping[str, Any]) -> LearnedMethod:
    kind = METHODS.get(record["method"])
    if not issubclass(kind, LearnedMethod):
        raise UserError(f"Method {record['method']!r} of the record is not trained.")
    return kind(**record["settings"])


def _training_data(record: Mapping[str, Any], experiment: Experiment | None) -> DataSet | None:
    data = record.get("data", {})
    if experiment is None or data.get("name") not in DATASETS.names():
        return None
    try:
        dataset = find_dataset(data["name"], experiment.roots)
        # Its hash comes from the manifest; only the folder says that the images are here.
        here = dataset.folder if isinstance(dataset, FolderSet) else None
        return dataset if here is not None and dataset.data_hash == data["sha256"] else None
    except MissingData:
        return None
