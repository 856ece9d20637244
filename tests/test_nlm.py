"""NLM: scikit-image's filter with an estimated or known level, on a real photograph."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.data import astronaut
from skimage.metrics import peak_signal_noise_ratio
from skimage.restoration import denoise_nl_means

from denoisebench.core.errors import UserError
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import Need, NoiseInfo, PlainMethod
from denoisebench.protocol.images import FloatImage

CLEAN = astronaut()[:192, 128:320] / 255.0
RNG = np.random.default_rng(0)


def denoised(text: str, noisy: FloatImage, **known: object) -> FloatImage:
    method = parse_method(text)
    assert isinstance(method, PlainMethod)
    values = {Need[name.upper()]: value for name, value in known.items()}
    return method.denoise(noisy, NoiseInfo("nlm", frozenset(values), values), RNG)


def psnr(image: FloatImage) -> float:
    return float(peak_signal_noise_ratio(CLEAN, np.clip(image, 0, 1).astype(np.float64), data_range=1))


@pytest.mark.parametrize("level", [15, 25, 50])
def test_gaussian_noise_goes(level: int) -> None:
    noisy = (CLEAN + RNG.normal(0, level / 255, CLEAN.shape)).astype(np.float32)
    result = denoised("nlm", noisy, family="gauss")
    assert psnr(result) > psnr(noisy) + 5
    known = denoised("nlm[sigma=known]", noisy, family="gauss", level=level / 255)
    assert abs(psnr(known) - psnr(result)) < 0.5
    oracle = denoise_nl_means(
        noisy.astype(np.float64), 5, 6, 0.6 * level / 255, fast_mode=True, sigma=level / 255, channel_axis=2
    )
    np.testing.assert_allclose(known, oracle, atol=1e-6)


def test_poisson_noise_goes_without_bias() -> None:
    noisy = (RNG.poisson(30 * CLEAN) / 30).astype(np.float32)
    result = denoised("nlm", noisy, family="poisson", level=30.0)
    assert psnr(result) > psnr(noisy) + 5
    assert float(result.mean()) == pytest.approx(float(CLEAN.mean()), rel=0.01)


def test_without_noise_nothing_is_done() -> None:
    flat = np.full((32, 32, 3), 0.5, np.float32)
    np.testing.assert_array_equal(denoised("nlm[sigma=known]", flat, family="gauss", level=0.0), flat)


def test_settings_are_checked() -> None:
    with pytest.raises(UserError, match="patch and distance must be at least 1"):
        parse_method("nlm[patch=0]")


def test_a_number_is_the_level() -> None:
    noisy = (CLEAN + 17 / 255 * RNG.standard_normal(CLEAN.shape)).astype(np.float32)
    np.testing.assert_array_equal(
        denoised("nlm[sigma=17]", noisy, family="real"),
        denoised("nlm[sigma=known]", noisy, family="gauss", level=17 / 255),
    )
    method = parse_method("nlm[sigma=17]")
    assert method.text == "nlm[sigma=17]"
    assert Need.LEVEL not in method.told("gauss")
    for text in ("0", "256", "-3", "nan", "some"):
        with pytest.raises(UserError, match="sigma"):
            parse_method(f"nlm[sigma={text}]")
    with pytest.raises(UserError, match="allowed values are estimate, known, or the value must be a finite number"):
        parse_method("nlm[sigma=some]")


def test_camera_noise_is_removed_and_not_returned_as_it_was() -> None:
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(0).standard_normal(CLEAN.shape), (0.7, 0.7, 0))
    noisy = (CLEAN + 20 / 255 * noise / noise.std()).astype(np.float32)
    values = {Need.FAMILY: "real"}
    known = NoiseInfo("nlm", frozenset(values), values)
    method = parse_method("nlm")
    assert isinstance(method, PlainMethod)
    assert psnr(method.denoise(noisy, known, RNG)) > psnr(noisy) + 2.5
    assert known.noted is not None
    assert 20 * 0.95 < 255 * known.noted < 20 * 1.25
