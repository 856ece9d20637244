"""Scoring must not be slower than scikit-image; run with ``pytest tests/benchmarks``."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from denoisebench.protocol.images import UIntImage
from denoisebench.protocol.metrics import psnr, ssim
from denoisebench.toolbox.estimation import estimate_sigma


@pytest.fixture(scope="module")
def pair() -> tuple[UIntImage, UIntImage]:
    rng = np.random.default_rng(0)
    clean = rng.integers(0, 256, (512, 768, 3), dtype=np.uint8)
    return np.clip(clean + rng.normal(0, 10, clean.shape), 0, 255).astype(np.uint8), clean


@pytest.mark.benchmark(group="psnr and ssim of 512x768x3")
def test_denoisebench(benchmark: BenchmarkFixture, pair: tuple[UIntImage, UIntImage]) -> None:
    benchmark(lambda: (psnr(*pair), ssim(*pair)))


@pytest.mark.benchmark(group="psnr and ssim of 512x768x3")
def test_scikit_image(benchmark: BenchmarkFixture, pair: tuple[UIntImage, UIntImage]) -> None:
    def score() -> tuple[float, float]:
        similarity = structural_similarity(
            *pair,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
            channel_axis=-1,
        )
        return float(peak_signal_noise_ratio(*pair)), float(similarity)

    benchmark(score)


def test_noise_level_estimator(benchmark: BenchmarkFixture) -> None:
    noisy = np.random.default_rng(0).standard_normal((512, 768, 3)).astype(np.float32)
    benchmark(estimate_sigma, noisy)
