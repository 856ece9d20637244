"""One training, what decides its outcome, and the network that comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from denoisebench.core.lazy import torch
from denoisebench.core.provenance import full_digest
from denoisebench.core.text import file_part
from denoisebench.plugins.method import LearnedMethod
from denoisebench.protocol.images import CHANNEL_NAMES
from denoisebench.protocol.noise import Noise
from denoisebench.training.recipe import Recipe
from denoisebench.training.weights import Weights


@dataclass(frozen=True)
class TrainingJob:
    """One training: what decides its outcome, and nothing else.

    Parameters
    ----------
    method, noise, recipe : LearnedMethod or Noise or Recipe
        What to train.
    channels : int
        Of the images.
    data : Mapping[str, str]
        Name and hash of the training images.
    code : Mapping[str, Any]
        Digests of the code that decides the outcome, versions of its libraries.
    device : str
        Kind of device ('cpu', 'cuda', 'mps').
    harness : str
        Digest of the suite's own code, for the record only.
    start : Weights or None
        Trained weights of the same network that it begins with; None for random ones.
    """

    method: LearnedMethod
    noise: Noise
    recipe: Recipe
    channels: int
    data: Mapping[str, str]
    code: Mapping[str, Any]
    device: str
    harness: str = ""
    start: Weights | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """The canonical description that the key is the hash of."""
        begun = {} if self.start is None else {"start": start_of(self.start)}
        return {
            "method": self.method.name,
            "settings": self.method.settings(training_only=True),
            "noise": self.noise.id,
            "recipe": dict(self.recipe.described),
            "channels": self.channels,
            "data": dict(self.data),
            "code": dict(self.code),
            "device": self.device,
            **begun,
        }

    @property
    def key(self) -> str:
        """Content address of the trained network."""
        return full_digest(self.identity)[:16]

    @property
    def stem(self) -> str:
        """File name without extension."""
        return f"{file_part(self.method.name)}-{self.noise.id}-{CHANNEL_NAMES.get(self.channels, 'any')}-{self.key}"


#: What of a record is the training's identity.
IDENTITY = ("method", "settings", "noise", "recipe", "channels", "data", "code", "device")
#: What it is only of some.
OPTIONAL = ("start",)


def start_of(weights: Weights) -> dict[str, Any]:
    """What a record says of the weights that a training began with; what they cost counts for it too."""
    record = weights.record
    return {
        "weights": weights.sha256,
        "noise": str(record["noise"]),
        "images_seen": int(record.get("images_seen", 0)),
        "seconds": float(record.get("seconds", 0.0)),
    }


def own_seconds(record: Mapping[str, Any]) -> float:
    """What the training of a record took itself, without what it began with: the time of its ``steps``."""
    return float(record["seconds"] - (record.get("start") or {}).get("seconds", 0.0))


@dataclass(frozen=True)
class Trained:
    """A trained network and its record (see `train`)."""

    network: torch.nn.Module
    record: Mapping[str, Any]
