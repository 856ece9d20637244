"""A network for images of one's own, trained on nothing but these images: for methods that need no clean ones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from denoisebench.core.errors import UserError
from denoisebench.core.files import file_sha256
from denoisebench.core.lazy import torch
from denoisebench.core.progress import Progress
from denoisebench.data.dataset import DataSet
from denoisebench.experiment.preparation import training_job
from denoisebench.plugins.method import LearnedMethod, Method, Need
from denoisebench.protocol.images import AnyImage, FloatImage
from denoisebench.protocol.noise import REAL
from denoisebench.training.recipe import recipe_from, usual_precision
from denoisebench.training.train import train
from denoisebench.training.weights import network_from, read_tensors

#: Length of a training where none is given.
BUDGET = "5min"


class OwnPlanes(DataSet):
    """Noisy planes, each view with the captures that there are of it: one in most cases.

    Parameters
    ----------
    views : sequence of sequences of (H, W, C) float
        As networks will see them.
    """

    name, title, real, referenced = "own images", "own images", True, False

    def __init__(self, views: Sequence[Sequence[FloatImage]]) -> None:
        self._views, self.channels = views, views[0][0].shape[2]

    @property
    def images(self) -> Sequence[str]:
        return [str(number) for number in range(len(self._views))]

    def captures(self, image: str) -> int:
        return len(self._views[int(image)])

    def capture(self, image: str, index: int) -> AnyImage:
        return self._views[int(image)][index]

    def verify(self) -> None:
        """They were looked at when they were read."""

    @property
    def data_hash(self) -> str:
        digest = hashlib.sha256()
        for view in self._views:
            digest.update(f"{len(view)} captures".encode() if len(view) > 1 else b"")
            for plane in view:
                digest.update(str(plane.shape).encode() + np.ascontiguousarray(plane).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class OwnNetwork:
    """A network that was trained on the images themselves.

    Parameters
    ----------
    path : Path
        Its file.
    text : str
        How it was trained.
    sha256 : str
        Of the file.
    """

    path: Path
    text: str
    sha256: str

    def load(self, method: LearnedMethod, channels: int, device: str) -> torch.nn.Module:
        """The network, in evaluation mode."""
        return network_from(method, channels, read_tensors(self.path, self.sha256), self.path.name, device)


def untrainable(method: Method, several: bool = False) -> str | None:
    """Why a method does not learn from noisy images alone, or ``several`` captures of each view; None if it does."""
    reason = None if isinstance(method, LearnedMethod) else "has no network that is trained on several images"
    needed = method.told(REAL.family) - ({Need.SECOND} if several else set())
    if reason is None and needed:
        told = ", ".join(sorted(need.value for need in needed))
        reason = f"must be told more than noisy images ({told})"
    return reason


def check_trainable(method: Method, several: bool = False) -> None:
    """Raise `UserError` for a method that is `untrainable`."""
    reason = untrainable(method, several)
    if reason:
        raise UserError(
            f"--train self: method {method.text!r} {reason}. Take n2v, n2v2, structn2v, apbsn, noise2self, nbr2nbr, "
            "b2u, laine19_mu or sure[level=learned]; methods such as zsn2n are fitted to each image without --train."
        )


def train_on(
    views: Sequence[Sequence[FloatImage]],
    method: LearnedMethod,
    budget: str | None,
    seed: int,
    device: str,
    folder: Path,
    progress: Progress,
) -> OwnNetwork:
    """Train a network on noisy planes, or take the one that was; one that was stopped goes on.

    Parameters
    ----------
    views : sequence of sequences of (H, W, C) float
        All of one number of channels, captures of one view together.
    method : LearnedMethod
        One that `check_trainable` lets pass.
    budget : str or None
        Length.
    seed : int
        Of initialisation, crops and the method's draws.
    device : str
        Torch device.
    folder : Path
        Where it is kept, with its record.
    progress : Progress
        Where to show it.
    """
    data = OwnPlanes(views)
    recipe = recipe_from(budget or BUDGET, None, None, None, "fresh", seed, usual_precision(device))
    job = training_job(method, REAL, recipe, data, data.channels, device)
    train(job, data, folder, device, progress)
    text = f"trained on {sum(map(len, views))} of these images, {recipe.text}"
    path = folder / f"{job.stem}.safetensors"
    return OwnNetwork(path, text, file_sha256(path))
