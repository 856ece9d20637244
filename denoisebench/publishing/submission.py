"""Results on a test set whose references are not public, written as the file that its server takes."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np

from denoisebench.core.errors import UserError
from denoisebench.core.files import make_folder
from denoisebench.core.lazy import torch
from denoisebench.core.ownfiles import is_own, write_own
from denoisebench.core.progress import Progress
from denoisebench.core.resumable import resumable_array
from denoisebench.core.text import file_part
from denoisebench.evaluation.evaluate import Fitting, Place, Route, denoise
from denoisebench.execution.tasks import Bench
from denoisebench.experiment.cells import Cell, Experiment
from denoisebench.experiment.preparation import FitToEachImage, NetworkToTrain, NothingToPrepare, TrainedNetwork
from denoisebench.protocol.images import checked, to_float
from denoisebench.protocol.noise import Draw
from denoisebench.results.store import Store, StoredCell
from denoisebench.training.train import train

FILE = "SubmitRaw.mat"


def write_submissions(
    experiment: Experiment, store: Store, progress: Progress
) -> tuple[list[Path], list[tuple[str, str]]]:
    """Denoise every image of every cell and write one file per cell; a call that was stopped goes on where it was.

    Parameters
    ----------
    experiment : Experiment
        With ``scored=False``.
    store : Store
        Results folder; files go to ``submissions/METHOD-DATA-KEY/`` there.

    Returns
    -------
    tuple[list[Path], list[tuple[str, str]]]
        The files, and (title, reason) of the cells that cannot run.

    Raises
    ------
    UserError
        Data are missing or damaged, or no server takes results on one of the sets.
    """
    for dataset in experiment.datasets:
        if not dataset.submittable:
            raise UserError(f"Data set {dataset.name!r} has no server to send results to; use run.")
        dataset.verify()
    bench = Bench()
    written: list[Path] = []
    refused: list[tuple[str, str]] = []
    for cell in experiment.cells():
        if cell.skip or cell.method.info.baseline:
            refused += [(cell.title, cell.skip)] if cell.skip else []
            continue
        key = StoredCell(dict(cell.identity)).key
        folder = store.folder / "submissions" / f"{cell.method.name}-{file_part(cell.dataset.name)}-{key}"
        path = folder / FILE
        if not os.path.lexists(path):
            _write(cell, _network(cell, experiment, store, bench, progress), folder, key, progress)
        elif not is_own(path):
            raise UserError(
                f"{path} is not as this version of denoisebench wrote it. Move it away to have it made anew, or send "
                "it as it is."
            )
        written.append(path)
    return written, refused


def _network(
    cell: Cell, experiment: Experiment, store: Store, bench: Bench, progress: Progress
) -> torch.nn.Module | None:
    """The network of a cell, trained now if it is not stored; None for a method without one."""
    device = str(cell.identity["device"])
    match cell.preparation:
        case TrainedNetwork(method, weights):
            return weights.load(method, cell.dataset.channels, device)
        case NetworkToTrain(job):
            images = bench.training_images(experiment.training_data(job.data["name"]), job)
            return train(job, images, store.models, device, progress).network
        case FitToEachImage() | NothingToPrepare():
            return None


def _write(cell: Cell, network: torch.nn.Module | None, folder: Path, key: str, progress: Progress) -> None:
    from scipy.io import savemat

    make_folder(folder)
    images, dataset = list(cell.dataset.images), cell.dataset
    # Names that nobody else has: what lies there is gone on with, and removed at the end.
    parts = [folder / f".denoisebench-{key}-{what}.npy" for what in ("results", "seconds")]
    results = resumable_array(parts[0], (len(images), *dataset.capture(images[0], 0).shape), np.dtype(np.float32))
    seconds = resumable_array(parts[1], (len(images),), np.dtype(np.float64))
    fitting = Fitting(cell.preparation.recipe) if isinstance(cell.preparation, FitToEachImage) else None
    device = str(cell.identity["device"])
    route = Route(cell.method, network, cell.noise, cell.protocol.padding, cell.seed, device, fitting, cell.tile)
    with progress.task(f"denoise {cell.title}") as task:
        for number in np.flatnonzero(np.isnan(seconds)):
            image = images[number]
            noisy = checked(dataset.capture(image, 0), f"Image {image!r} of data set {dataset.name!r}")
            done = denoise(route, Draw(to_float(noisy), None), Place(dataset.name, image, 0))
            results[number] = done.image
            # Last, because it marks the image as done.
            seconds[number] = done.seconds
            task.update((number + 1) / len(images), f"{number + 1}/{len(images)}")
    contents = dataset.submission(np.asarray(results), float(np.sum(seconds)), cell.method.info.label)
    stream = io.BytesIO()
    savemat(stream, contents, do_compression=True)
    write_own(folder, {FILE: stream.getvalue()})
    del results, seconds
    for part in parts:
        part.unlink(missing_ok=True)
