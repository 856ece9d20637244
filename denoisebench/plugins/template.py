"""A first plugin file for somebody's own method."""

from __future__ import annotations

import keyword
import sys
from pathlib import Path

from denoisebench.core.errors import UserError, no_folder, unknown
from denoisebench.core.files import write_text
from denoisebench.plugins.registry import ALL, METHODS

#: What plugins and this suite import; a file of that name in the current folder hides it from ``python -m``.
_IMPORTED = frozenset({"denoisebench", "numpy", "scipy", "torch", "skimage", "PIL", "bm3d", "sklearn"})

_PLAIN = '''"""{NAME}: say here what it does: formula, shapes, units, errors, source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from denoisebench import Info, NoiseInfo, PlainMethod


@dataclass(frozen=True)
class {CLASS}(PlainMethod):
    """Gaussian blur, a denoiser to start from. Fields are settings: {NAME}[width=2]."""

    width: float = 1.0

    name = "{NAME}"
    info = Info(label="{NAME}", paper="", licence="yours")

    def denoise(self, noisy: np.ndarray, known: NoiseInfo, rng: np.random.Generator) -> np.ndarray:
        return gaussian_filter(noisy, (self.width, self.width, 0))  # (H, W, C), white = 1.0
'''

_LEARNED = '''"""{NAME}: say here what it does: formula, shapes, units, errors, source."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from denoisebench import Batch, Info, LearnedMethod


@dataclass(frozen=True)
class {CLASS}(LearnedMethod):
    """Hide random pixels by zero, score only there. Fields are settings: {NAME}[hidden=0.1]."""

    hidden: float = 0.05

    name = "{NAME}"
    info = Info(label="{NAME}", paper="", licence="yours", multiple=32)

    def loss(self, network, batch: Batch, progress: float):
        y = batch.noisy  # (N, C, H, W), white = 1.0; batch.clean would raise: it was not declared
        draw = torch.rand(y.shape, generator=batch.generator, device=y.device, dtype=y.dtype)
        mask = draw < self.hidden
        squared = (network(y * ~mask) - y).square() * mask
        return squared.sum() / mask.sum().clamp(min=1), {{}}
'''


_FITTED = '''"""{NAME}: say here what it does: formula, shapes, units, errors, source."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from denoisebench import Info, NoiseInfo, PerImageMethod


@dataclass(frozen=True)
class {CLASS}(PerImageMethod):
    """Hide random pixels of the image by zero, score only there. Fields are settings: {NAME}[hidden=0.1]."""

    hidden: float = 0.05

    name = "{NAME}"
    info = Info(label="{NAME}", paper="", licence="yours", multiple=32)
    steps, paper_steps = 300, 300

    def build(self, noisy):
        from denoisebench.networks import build_network

        return build_network("unet", noisy.shape[1], noisy.shape[1])

    def rate(self, progress: float) -> float:
        return 1e-3

    def loss(self, network, noisy, known: NoiseInfo, progress: float):
        mask = torch.rand_like(noisy) < self.hidden  # (1, C, H, W), white = 1.0
        squared = (network(noisy * ~mask) - noisy).square() * mask
        return squared.sum() / mask.sum().clamp(min=1)
'''


def write_method(name: str, kind: str, folder: Path) -> Path:
    """Write ``NAME.py`` with a small method that runs at once.

    Parameters
    ----------
    name : str
        A Python name, not taken by another method.
    kind : str
        'plain', 'learned' or 'fitted'.
    folder : Path
        Where to write it.

    Returns
    -------
    Path
        Path of the file.

    Raises
    ------
    UserError
        The name or kind is not allowed, or the file exists.
    """
    templates = {"plain": _PLAIN, "learned": _LEARNED, "fitted": _FITTED}
    if kind not in templates:
        raise unknown("kind of method", kind, templates)
    if not (name.isidentifier() and name.isascii()) or not name.islower():
        raise UserError(f"Method name {name!r} is not allowed: use lower-case letters, digits and _.")
    if keyword.iskeyword(name) or name == ALL:
        meaning = "means all methods" if name == ALL else "is a word of Python"
        raise UserError(f"Method name {name!r} is not allowed: it {meaning}. Choose another.")
    if name in sys.stdlib_module_names or name in _IMPORTED:
        raise UserError(
            f"Method name {name!r} is not allowed: {name}.py would be imported in place of the module {name!r} by "
            "programs that are started beside it. Choose another."
        )
    if name in METHODS.names():
        raise UserError(f"The method name {name!r} is taken ({METHODS.origin(name)}). Choose another.")
    path = folder / f"{name}.py"
    if path.exists():
        raise UserError(f"File {path} exists already. Choose another name or folder.")
    if not folder.is_dir():
        raise no_folder(folder)
    class_name = "".join(part.capitalize() for part in name.split("_"))
    if not class_name.isidentifier() or keyword.iskeyword(class_name):
        class_name = f"Method{class_name}"
    write_text(path, templates[kind].format(NAME=name, CLASS=class_name))
    return path
