"""Seeds and generators derived from named axes, so that no draw depends on the order of others."""

from __future__ import annotations

import hashlib

import numpy as np

from denoisebench.core.lazy import torch


def seed_from(*axes: object) -> int:
    """128-bit seed from named axes; equal axes give equal seeds on every machine."""
    text = "\x1f".join(str(axis) for axis in axes)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")


def generator_from(*axes: object) -> np.random.Generator:
    """A numpy generator of its own for the named axes."""
    return np.random.Generator(np.random.Philox(key=seed_from(*axes)))


def torch_generator_from(*axes: object, device: str = "cpu") -> torch.Generator:
    """A torch generator of its own for the named axes."""
    generator = torch.Generator(device=device)
    generator.manual_seed(seed_from(*axes) % 2**63)
    return generator
