"""What a method needs before it can denoise the images of a cell: nothing, a network, a training, or a fit."""

from __future__ import annotations

from dataclasses import dataclass

from denoisebench.core.provenance import versions
from denoisebench.data.dataset import DataSet
from denoisebench.evaluation.fit import FitRecipe
from denoisebench.experiment.revisions import TRAINING, TRAINING_VERSION, code_digest, code_of
from denoisebench.plugins.method import LearnedMethod, PerImageMethod
from denoisebench.protocol.noise import Noise
from denoisebench.training.job import TrainingJob
from denoisebench.training.recipe import Recipe
from denoisebench.training.weights import Weights


def training_job(
    method: LearnedMethod,
    noise: Noise,
    recipe: Recipe,
    data: DataSet,
    channels: int,
    device: str,
    start: Weights | None = None,
) -> TrainingJob:
    """A training with what decides its outcome: code, versions of libraries and training images among it.

    Parameters
    ----------
    method, noise, recipe : LearnedMethod or Noise or Recipe
        What is trained.
    data : DataSet
        The training images.
    channels : int
        Of the network.
    device : str
        Kind of device.
    start : Weights or None
        What it begins with.
    """
    code = {"training": TRAINING_VERSION, **code_of(method, data), **versions(("torch", "numpy"))}
    described = {"name": data.name, "sha256": data.data_hash}
    described |= {"extent": data.extent} if data.extent else {}
    return TrainingJob(method, noise, recipe, channels, described, code, device, code_digest(TRAINING), start)


@dataclass(frozen=True)
class NothingToPrepare:
    """The method acts on an image as it is; so does one that is skipped because nothing suits it."""


@dataclass(frozen=True)
class NetworkToTrain:
    """A learned method whose network this run trains, or has trained.

    Parameters
    ----------
    job : TrainingJob
        The training.
    """

    job: TrainingJob


@dataclass(frozen=True)
class TrainedNetwork:
    """A learned method with weights from a file.

    Parameters
    ----------
    method : LearnedMethod
        The weights are loaded as this method: settings that matter for inference only may differ from theirs.
    weights : Weights
        The file and its record.
    """

    method: LearnedMethod
    weights: Weights


@dataclass(frozen=True)
class FitToEachImage:
    """A per-image method.

    Parameters
    ----------
    method : PerImageMethod
        The method that is fitted.
    recipe : FitRecipe
        How long, and in which precision.
    """

    method: PerImageMethod
    recipe: FitRecipe


Preparation = NothingToPrepare | NetworkToTrain | TrainedNetwork | FitToEachImage
