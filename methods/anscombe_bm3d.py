"""Anscombe+BM3D: Poisson counts, or real noise, made nearly Gaussian, filtered by BM3D, and inverted without bias.

    D = 2 sqrt(lambda y + 3/8),   xhat = inverse(BM3D(D, sigma 1)) / lambda

The exact unbiased inverse maps E[2 sqrt(Z + 3/8)], Z ~ Poisson(m), back to m (tabulated); the closed form approximates
it, D^2/4 + sqrt(3/2)/(4 D) - 11/(8 D^2) + 5 sqrt(3/2)/(8 D^3) - 1/8; the asymptotic one is D^2/4 - 1/8, 0.13 counts too
high at a mean of 0.5; the algebraic one, D^2/4 - 3/8, is biased: 1/4 of a count too low. The stabilised image is mapped
to [0.15, 0.85] before the filter. In colour CBM3D filters all channels together, or BM3D each by itself. Neither that
nor the inverse of the published rows is stated; the algebraic one and results truncated to 8 bits reproduce the row of
lambda 30, see docs/audit.md.

Real noise: a and b of Var(y) = a x + b are fitted to each plane, which goes through the generalised transform
(2/a) sqrt(a y + 3/8 a^2 + b) and its closed-form inverse, as the BM3D rows of FMDD's own benchmark do (there with the
fit of Foi et al.).

Shapes: y (H, W, C), 0..1 scale. Poisson or real noise. Told: the noise model and lambda, of real noise nothing; the
papers do not say how their lambda is known where it varies by image. Cost and filter: those of `bm3d`.

Sources: M. Makitalo, A. Foi, Optimal inversion of the Anscombe transformation in low-count Poisson image denoising,
IEEE TIP 2011; A closed-form approximation of the exact unbiased inverse of the Anscombe variance-stabilizing
transformation, IEEE TIP 2011.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from denoisebench.plugins.method import Info, Need, NoiseInfo, PlainMethod
from denoisebench.protocol.images import FloatImage
from denoisebench.protocol.noise import Noise
from denoisebench.toolbox.bm3d_filter import LICENCE, PACKAGES, Engine, bm3d_filter, check_threads, info_of
from denoisebench.toolbox.gaussian import denoise_counts
from denoisebench.toolbox.poisson_gaussian import denoise_stabilised, estimate_poisson_gaussian
from denoisebench.toolbox.vst import (
    inverse_anscombe,
    inverse_anscombe_algebraic,
    inverse_anscombe_asymptotic,
    inverse_anscombe_closed,
)

INVERSES = {
    "exact": inverse_anscombe,
    "closed": inverse_anscombe_closed,
    "asymptotic": inverse_anscombe_asymptotic,
    "algebraic": inverse_anscombe_algebraic,
}


@dataclass(frozen=True)
class AnscombeBM3D(PlainMethod):
    """BM3D between the Anscombe transform and its inverse.

    Parameters
    ----------
    inverse : {'exact', 'closed', 'asymptotic', 'algebraic'}
        Exact, closed form, asymptotic or algebraic. Mean PSNR of 256x256 crops of four Kodak images, by the package:

        lambda    exact   closed   asymptotic
             2   24.542   24.534       21.732
             5   26.823   26.819       26.461
            30   30.815   30.818       30.812
    colour : {'together', 'apart'}
        Filter the channels together (CBM3D) or apart.
    threads : int
        Processor threads of one image, 0: all cores; see `bm3d`.
    engine : {'torch', 'package'}
        The suite's own BM3D, or the authors' package (closed source, non-commercial use only).
    """

    inverse: Literal["exact", "closed", "asymptotic", "algebraic"] = "exact"
    colour: Literal["together", "apart"] = "together"
    threads: int = 1
    engine: Engine = "torch"

    name = "anscombe_bm3d"
    info = Info(
        label="Anscombe+BM3D",
        paper="M. Makitalo, A. Foi: Optimal inversion of the Anscombe transformation in low-count Poisson image "
        "denoising, IEEE Transactions on Image Processing, 2011",
        bibtex="""@article{makitalo2011optimal,
  author = {M{\\"a}kitalo, Markku and Foi, Alessandro},
  title = {Optimal Inversion of the {Anscombe} Transformation in Low-Count {Poisson} Image Denoising},
  journal = {IEEE Transactions on Image Processing},
  volume = {20},
  number = {1},
  pages = {99--109},
  year = {2011},
}""",
        licence=LICENCE,
        needs=frozenset({Need.FAMILY, Need.LEVEL}),
        packages=PACKAGES,
    )

    def __post_init__(self) -> None:
        check_threads(self.name, self.threads)
        object.__setattr__(self, "info", info_of(self.info, self.engine))

    def told(self, family: str) -> frozenset[Need]:
        """The noise model, and the level unless it has to be fitted."""
        return frozenset({Need.FAMILY}) if family == "real" else self.info.needs

    def unsuitable(self, noise: Noise, channels: int) -> str | None:
        """Gaussian noise needs no transform."""
        if noise.family == "gauss":
            return "takes Poisson or real noise; use bm3d"
        return super().unsuitable(noise, channels)

    def denoise(self, noisy: FloatImage, known: NoiseInfo, rng: np.random.Generator) -> FloatImage:
        through = partial(bm3d_filter, threads=self.threads, engine=self.engine)
        if known.family == "real":
            planes = [noisy[:, :, c : c + 1].astype(np.float64) for c in range(noisy.shape[2])]
            restored = [denoise_stabilised(y, estimate_poisson_gaussian(y[:, :, 0]), through) for y in planes]
            return np.concatenate(restored, axis=2).astype(np.float32)
        groups = [noisy] if self.colour == "together" else np.split(noisy, noisy.shape[2], axis=2)
        level, inverse = float(known.level), INVERSES[self.inverse]
        return np.concatenate([denoise_counts(y, level, through, inverse) for y in groups], axis=2).astype(np.float32)
