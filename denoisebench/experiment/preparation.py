"""What a method needs before it can denoise the images of a cell: nothing, a network, a training, or a fit."""

from __future__ import annotations

from dataclasses import dataclass

from denoisebench.evaluation.fit import FitRecipe
from denoisebench.plugins.method import LearnedMethod, PerImageMethod
from denoisebench.training.job import TrainingJob
from denoisebench.training.weights import Weights


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
