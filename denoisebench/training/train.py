"""Train a network, in this process or in several, or take the one that is stored."""

from __future__ import annotations

from pathlib import Path

from denoisebench.core.files import make_folder
from denoisebench.core.progress import Progress
from denoisebench.training.crops import TrainingImages
from denoisebench.training.heldout import HeldOut
from denoisebench.training.job import Trained, TrainingJob
from denoisebench.training.loop import ProcessGroup, train_here
from denoisebench.training.records import load_trained


def train(
    job: TrainingJob,
    images: TrainingImages,
    folder: Path,
    device: str,
    progress: Progress,
    until: float | None = None,
    heldout: HeldOut | None = None,
) -> Trained:
    """Train a network, or go on with one, and store it with its record.

    Parameters
    ----------
    job : TrainingJob
        What to train.
    images : TrainingImages
        (H, W, C) uint8, in the order of their data set; for real noise the data set itself.
    folder : Path
        Receives ``STEM.safetensors`` and ``STEM.json``; holds ``STEM.ckpt`` meanwhile.
    device : str
        Torch device.
    progress : Progress
        Where to show it.
    until : float | None
        Value of ``time.monotonic()`` at which to stop, or None.
    heldout : HeldOut | None
        Photographs on which the network is measured now and then, for the record; changes no number.

    Returns
    -------
    Trained
        The network in evaluation mode, and a record with settings, steps, seconds, curve and warnings.

    Raises
    ------
    TrainingFailed
        The loss became NaN or the outputs left all bounds.
    OutOfTime
        ``until`` was reached first; another call goes on from there.
    """
    finished = load_trained(job, folder, device)
    if finished is not None:
        return finished
    make_folder(folder)
    if job.recipe.devices > 1:
        from denoisebench.training.distributed import train_together

        train_together(job, images, folder, progress, until, heldout)
        finished = load_trained(job, folder, device)
        assert finished is not None
        return finished
    return train_here(job, images, folder, device, progress, until, ProcessGroup(), heldout)
