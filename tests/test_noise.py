"""Synthetic noise: names, statistics, and who may repeat a draw."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from denoisebench.core.errors import UserError
from denoisebench.protocol.draws import CounterDraws, LegacyDraws, LegacySet
from denoisebench.protocol.noise import Noise, UIntImage, add_noise, add_noise_batch, parse_noise, speckle
from denoisebench.protocol.seeds import generator_from, seed_from, torch_generator_from


def uniform_image(value: int, shape: tuple[int, int, int] = (300, 300, 3)) -> UIntImage:
    return np.full(shape, value, np.uint8)


def ramp(shape: tuple[int, int, int] = (300, 300, 3)) -> UIntImage:
    return (np.arange(math.prod(shape)) % 256).reshape(shape).astype(np.uint8)


# --- names ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gauss25", Noise("gauss", 25, 25)),
        ("gauss5_50", Noise("gauss", 5, 50)),
        ("gauss12.5", Noise("gauss", 12.5, 12.5)),
        ("poisson30", Noise("poisson", 30, 30)),
        ("poisson5_50-clip", Noise("poisson", 5, 50, "clip")),
        ("gauss25-uint8", Noise("gauss", 25, 25, "uint8")),
        (" gauss25\n", Noise("gauss", 25, 25)),
        ("gamma4", Noise("gamma", 4, 4)),
        ("gamma1_10-uint8", Noise("gamma", 1, 10, "uint8")),
    ],
)
def test_ids_are_read(text: str, expected: Noise) -> None:
    assert parse_noise(text) == expected
    assert parse_noise(text).id == text.strip()


def test_equal_levels_have_one_id() -> None:
    assert parse_noise("gauss25.0").id == parse_noise("gauss025").id == "gauss25"


@given(
    family=st.sampled_from(["gauss", "poisson", "gamma"]),
    levels=st.lists(st.floats(1e-9, 255.0), min_size=1, max_size=2, unique=True).map(sorted),
    after=st.sampled_from(["", "clip", "uint8"]),
)
@example(family="gauss", levels=[1e-5], after="")
@example(family="poisson", levels=[1 / 3, 200.12345678901234], after="clip")
def test_id_reads_back_as_the_same_noise(family: str, levels: list[float], after: str) -> None:
    noise = Noise(family, levels[0], levels[-1], after)
    assert parse_noise(noise.id) == noise


GARBAGE = [
    "gauss-5",
    "gauss",
    "gauss50_5",
    "gauss0",
    "gauss0_5",
    "gauss5_5",
    "poisson5_5",
    "gauss1e3",
    "gauss256",
    "poisson1000001",
    "gamma",
    "gamma0",
    "gamma10_1",
    "gamma1000001",
    "gamma4_4",
    "gammaL",
    "gauss.5",
    "gauss5.",
    "gauss5_",
    "gauss_5",
    "gauss5_50_60",
    "gauss25-jpeg",
    "gauss25-clip-uint8",
    "Gauss25",
    "gauss25%",
    "gaussinf",
    "gaussnan",
    "poisson",
    "uniform5",
    "25",
    "gauss٣",
    "gauss+5",
    "gauss5,50",
]


@pytest.mark.parametrize("text", [*GARBAGE, "", "gauss 25", "gauss25\x00"])
def test_garbage_is_refused_by_name(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_noise(text)
    assert repr(text) in str(caught.value)


@given(st.text(max_size=12) | st.from_regex(r"(gauss|poisson|gamma)[-_.0-9e]{0,8}(-clip)?", fullmatch=True))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        noise = parse_noise(text)
    except UserError:
        return
    assert 0 < noise.low <= noise.high < math.inf
    assert parse_noise(noise.id) == noise


def test_titles() -> None:
    assert parse_noise("gauss25").title == "Gaussian σ=25"
    assert parse_noise("poisson5_50-clip").title == "Poisson λ∈[5,50] (clip)"
    assert parse_noise("gamma1_10").title == "Gamma L∈[1,10]"


def variance_of(noise: Noise, x: float, level: Any) -> Any:
    """Of noise of a level, as methods are told it, at a clean value."""
    return {"gauss": lambda: level**2, "poisson": lambda: x / level, "gamma": lambda: x**2 / level}[noise.family]()


# --- seeds ---


def test_seeds_are_the_same_on_every_machine() -> None:
    # The first 16 bytes of the SHA-256 of "kodak", 0x1f, "3", little endian.
    pinned = 151042949369860219456639719731313826433
    assert seed_from("kodak", 3) == pinned
    assert torch_generator_from("kodak", 3).initial_seed() == pinned % 2**63


def test_different_axes_give_different_seeds() -> None:
    axes = [("a", 1), ("a", 2), ("b", 1), ("a1",), ("a", 1, ""), ("1", "a")]
    assert len({seed_from(*each) for each in axes}) == len(axes)


def test_generators_repeat() -> None:
    assert generator_from("a", 1).random() == generator_from("a", 1).random()
    assert generator_from("a", 1).random() != generator_from("a", 2).random()


# --- evaluation draws ---


def test_counter_draws_do_not_depend_on_order() -> None:
    clean, noise = ramp((20, 30, 3)), parse_noise("gauss5_50")
    keys = list(itertools.product(["kodak", "set14"], ["a", "b"], [0, 1]))
    forward, backward = CounterDraws(0), CounterDraws(0)
    first = {key: forward.draw(*key, clean, noise) for key in keys}
    second = {key: backward.draw(*key, clean, noise) for key in reversed(keys)}
    for key in keys:
        assert np.array_equal(first[key].noisy, second[key].noisy)
        assert first[key].level == second[key].level


def test_counter_draws_differ_along_every_axis() -> None:
    clean = uniform_image(128, (20, 30, 3))
    gauss = parse_noise("gauss25")
    draws = [
        CounterDraws(0).draw("kodak", "a", 0, clean, gauss),
        CounterDraws(1).draw("kodak", "a", 0, clean, gauss),
        CounterDraws(0).draw("set14", "a", 0, clean, gauss),
        CounterDraws(0).draw("kodak", "b", 0, clean, gauss),
        CounterDraws(0).draw("kodak", "a", 1, clean, gauss),
        CounterDraws(0).draw("kodak", "a", 0, clean, parse_noise("gauss26")),
    ]
    residuals = [(draw.noisy - 128 / 255).ravel() for draw in draws]
    correlation = np.corrcoef(residuals) - np.eye(len(draws))
    assert np.abs(correlation).max() < 5 / math.sqrt(clean.size)
    assert CounterDraws(1).id != CounterDraws(0).id


def test_gauss25_has_20_17_decibels_on_any_image() -> None:
    for clean in (uniform_image(0), uniform_image(255), ramp()):
        draw = CounterDraws(0).draw("set", "image", 0, clean, parse_noise("gauss25"))
        error = np.mean((draw.noisy.astype(np.float64) - clean / 255) ** 2)
        # Standard error of the mean square is sqrt(2/n), 0.0118 dB for 270000 values.
        assert -10 * math.log10(error) == pytest.approx(20.172, abs=4 * 0.0118)
        assert draw.level == 25 / 255


@pytest.mark.parametrize("value", [10, 128, 255])
@pytest.mark.parametrize("level", [5, 30])
def test_poisson_variance_is_x_over_lambda(value: int, level: int) -> None:
    clean = uniform_image(value)
    noise = parse_noise(f"poisson{level}")
    draw = add_noise(clean, noise, np.random.default_rng(0))
    x, n = value / 255, clean.size
    noisy = draw.noisy.astype(np.float64)
    # Var(s^2) is (2 + 1/mean) / n relative for a Poisson variable.
    spread = math.sqrt((2 + 1 / (level * x)) / n)
    assert noisy.var() == pytest.approx(x / level, rel=4 * spread)
    assert noisy.mean() == pytest.approx(x, abs=4 * math.sqrt(x / level / n))
    np.testing.assert_allclose(noisy * level, np.rint(noisy * level), atol=1e-4)
    assert draw.level == level


def moments_of_gamma(looks: float, values: np.ndarray) -> None:
    """Mean 1, variance 1 / L, skewness 2 / sqrt(L), each within four standard errors."""
    count = values.size
    assert values.mean() == pytest.approx(1, abs=4 / math.sqrt(looks * count))
    centred = (values - 1) * math.sqrt(looks)
    # A mean of the k-th power has the variance (m_2k - m_k^2) / n, of moments of the standardised gamma law.
    fourth = 3 + 6 / looks
    assert (centred**2).mean() == pytest.approx(1, abs=4 * math.sqrt((fourth - 1) / count))
    third, sixth = 2 / math.sqrt(looks), 15 + 130 / looks + 120 / looks**2
    assert (centred**3).mean() == pytest.approx(third, abs=4 * math.sqrt((sixth - third**2) / count))


@pytest.mark.parametrize("value", [10, 128, 255])
@pytest.mark.parametrize("looks", [1, 4, 2.5])
def test_gamma_noise_is_multiplicative_with_the_moments_of_its_looks(value: int, looks: float) -> None:
    draw = add_noise(uniform_image(value), parse_noise(f"gamma{looks:g}"), np.random.default_rng(0))
    assert draw.level == looks
    assert draw.noisy.min() > 0
    moments_of_gamma(looks, draw.noisy.astype(np.float64) * 255 / value)


def test_gamma_noise_leaves_black_black_and_does_not_depend_on_the_image() -> None:
    rng = np.random.default_rng
    clean, noise = ramp(), parse_noise("gamma4")
    noisy = add_noise(clean, noise, rng(0)).noisy
    assert not noisy[clean == 0].any()
    factors = add_noise(uniform_image(255), noise, rng(0)).noisy
    np.testing.assert_allclose(noisy, factors * (clean / 255).astype(np.float32), rtol=1e-6)


@pytest.mark.parametrize("looks", [1.0, 4.0, 2.5])
def test_speckle_has_the_moments_of_its_looks(looks: float) -> None:
    drawn = speckle(torch.full((300_000,), looks, dtype=torch.float64), torch_generator_from("speckle", looks))
    moments_of_gamma(looks, drawn.numpy())


@pytest.mark.parametrize("text", ["gauss25", "gamma4"])
def test_noise_is_independent_between_channels(text: str) -> None:
    draw = add_noise(uniform_image(128), parse_noise(text), np.random.default_rng(0))
    correlation = np.corrcoef(draw.noisy.reshape(-1, 3).T) - np.eye(3)
    assert np.abs(correlation).max() < 5 / math.sqrt(300 * 300)


def test_nothing_is_clipped_unless_asked() -> None:
    for text, value in (("gauss25", 0), ("gauss25", 255), ("poisson30", 255), ("gamma4", 255)):
        noisy = add_noise(uniform_image(value), parse_noise(text), np.random.default_rng(0)).noisy
        outside = np.mean(noisy < 0) if value == 0 else np.mean(noisy > 1)
        assert outside > 0.4
        assert noisy.dtype == np.float32


@pytest.mark.parametrize("family", ["gauss25", "poisson30", "gamma4"])
def test_clip_and_uint8(family: str) -> None:
    clean = ramp()
    plain = add_noise(clean, parse_noise(family), np.random.default_rng(0)).noisy
    clipped = add_noise(clean, parse_noise(family + "-clip"), np.random.default_rng(0)).noisy
    rounded = add_noise(clean, parse_noise(family + "-uint8"), np.random.default_rng(0)).noisy
    assert np.array_equal(clipped, np.clip(plain, 0, 1))
    assert np.abs(rounded - clipped).max() <= 0.5 / 255 + 1e-6
    grey = rounded.astype(np.float64) * 255
    np.testing.assert_allclose(grey, np.rint(grey), atol=1e-4)
    assert not np.array_equal(rounded, clipped)


@pytest.mark.parametrize(("text", "unit"), [("gauss5_50", 1 / 255), ("poisson5_50", 1.0), ("gamma5_50", 1.0)])
def test_ranged_levels_are_uniform_and_true(text: str, unit: float) -> None:
    clean, noise = uniform_image(200, (40, 40, 3)), parse_noise(text)
    draws = [CounterDraws(0).draw("set", str(i), 0, clean, noise) for i in range(400)]
    levels = np.array([draw.level for draw in draws]) / unit
    assert levels.min() >= 5
    assert levels.max() <= 50
    # Kolmogorov's distance; 1.95/sqrt(n) is exceeded once in a thousand.
    distance = np.abs(np.sort(levels) - 5 - 45 * (np.arange(400) + 0.5) / 400).max() / 45
    assert distance < 1.95 / math.sqrt(400)
    variances = np.array([draw.noisy.astype(np.float64).var() for draw in draws])
    told = np.array([draw.level for draw in draws])
    expected = variance_of(noise, 200 / 255, told)
    ratio = variances / expected
    assert ratio.mean() == pytest.approx(1.0, abs=0.01)
    assert np.abs(ratio - 1).max() < 6 * math.sqrt(2.3 / clean.size)


# --- training draws ---


@pytest.mark.parametrize("text", ["gauss25", "gauss5_50", "poisson30", "poisson5_50", "gamma4", "gamma5_50"])
def test_batches_have_one_level_per_image_and_its_variance(text: str) -> None:
    noise = parse_noise(text)
    clean = torch.full((6, 3, 128, 128), 0.6)
    noisy, level = add_noise_batch(clean, noise, torch_generator_from("test", text))
    assert noisy.shape == clean.shape
    assert noisy.dtype == torch.float32
    assert level.shape == (6, 1, 1, 1)
    assert len(set(level.flatten().tolist())) == (6 if noise.ranged else 1)
    unit = 255 if noise.family == "gauss" else 1
    assert bool(((level * unit >= noise.low - 1e-4) & (level * unit <= noise.high + 1e-4)).all())
    expected = variance_of(noise, 0.6, level.flatten())
    residual = (noisy - clean).double()
    # Six standard errors of a variance of 49152 values, per image and per channel; gamma has 6 / L of kurtosis.
    spread = 2 + 6 / noise.low if noise.family == "gamma" else 2.4
    assert ((residual.var(dim=(1, 2, 3)) / expected - 1).abs() < 6 * math.sqrt(spread / 49152)).all()
    by_channel = residual.var(dim=(2, 3)) / expected[:, None]
    assert ((by_channel - 1).abs() < 6 * math.sqrt(spread / 16384)).all()
    # That of 4 looks has a standard error of 5.5e-4.
    assert residual.mean().abs() < (6 * 5.5e-4 if noise.family == "gamma" else 1e-3)


@pytest.mark.parametrize("text", ["gauss5_50", "poisson5_50", "gamma1_10"])
def test_batches_repeat_with_their_generator_and_do_not_touch_the_global_one(text: str) -> None:
    clean, noise = torch.rand(2, 3, 16, 16), parse_noise(text)
    before = torch.get_rng_state()
    first, _ = add_noise_batch(clean, noise, torch_generator_from("a"))
    second, _ = add_noise_batch(clean, noise, torch_generator_from("a"))
    other, _ = add_noise_batch(clean, noise, torch_generator_from("b"))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


def test_batches_are_clipped_and_rounded_only_when_asked() -> None:
    clean = torch.ones(2, 3, 32, 32)
    plain, _ = add_noise_batch(clean, parse_noise("gauss25"), torch_generator_from("a"))
    clipped, _ = add_noise_batch(clean, parse_noise("gauss25-clip"), torch_generator_from("a"))
    rounded, _ = add_noise_batch(clean, parse_noise("gauss25-uint8"), torch_generator_from("a"))
    assert plain.max() > 1.1
    assert torch.equal(clipped, plain.clamp(0, 1))
    assert torch.allclose(rounded * 255, (rounded * 255).round(), atol=1e-4)


# --- the legacy stream ---

IMAGES: dict[str, UIntImage] = {
    name: np.random.default_rng(index).integers(0, 256, shape, dtype=np.uint8)
    for index, (name, shape) in enumerate({"a": (5, 4, 3), "b": (3, 6, 3), "c": (4, 4, 1)}.items())
}
SETS = [
    LegacySet("first", 2, ["a", "b"], IMAGES.__getitem__),
    LegacySet("second", 3, ["c"], IMAGES.__getitem__),
]
ORDER = [("first", "a", 0), ("first", "b", 0), ("first", "a", 1), ("first", "b", 1)] + [
    ("second", "c", repeat) for repeat in range(3)
]


def replay_gauss25(x: np.ndarray) -> np.ndarray:
    return x + np.random.normal(size=x.shape) * (25 / 255)


def replay_gauss5_50(x: np.ndarray) -> np.ndarray:
    std = np.random.uniform(low=5 / 255, high=50 / 255, size=(1, 1, 1))
    return x + np.random.normal(size=x.shape) * std


def replay_poisson30(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.random.poisson(30.0 * x) / 30.0)


def replay_poisson5_50(x: np.ndarray) -> np.ndarray:
    lam = np.random.uniform(low=5, high=50, size=(1, 1, 1))
    return np.asarray(np.random.poisson(lam * x) / lam)


REPLAYS = {
    "gauss25": replay_gauss25,
    "gauss5_50": replay_gauss5_50,
    "poisson30": replay_poisson30,
    "poisson5_50": replay_poisson5_50,
}


def replay(add: Callable[[np.ndarray], np.ndarray]) -> dict[tuple[str, str, int], np.ndarray]:
    """The released tests, written out: one global stream, sets, then repeats, then images."""
    state = np.random.get_state()
    np.random.seed(101)
    noisy = {}
    for name, repeats, images in (("first", 2, ["a", "b"]), ("second", 3, ["c"])):
        for repeat in range(repeats):
            for image in images:
                x = np.array(IMAGES[image], dtype=np.float32) / 255.0
                noisy[name, image, repeat] = np.array(add(x), dtype=np.float32)
    np.random.set_state(state)
    return noisy


EXPECTED = {text: replay(add) for text, add in REPLAYS.items()}


@pytest.mark.parametrize("text", REPLAYS)
@pytest.mark.parametrize("order", ["forward", "backward", "every second", "twice"])
def test_legacy_draws_equal_a_literal_replay(text: str, order: str) -> None:
    keys = {"forward": ORDER, "backward": ORDER[::-1], "every second": ORDER[1::2], "twice": ORDER * 2}[order]
    expected, draws = EXPECTED[text], LegacyDraws(SETS)
    for key in keys:
        assert np.array_equal(draws.draw(*key, IMAGES[key[1]], parse_noise(text)).noisy, expected[key]), key


@given(st.lists(st.tuples(st.sampled_from(ORDER), st.sampled_from(sorted(REPLAYS))), max_size=12))
def test_legacy_draws_do_not_depend_on_order(requests: list[tuple[tuple[str, str, int], str]]) -> None:
    draws = LegacyDraws(SETS)
    for key, text in requests:
        assert np.array_equal(draws.draw(*key, IMAGES[key[1]], parse_noise(text)).noisy, EXPECTED[text][key])


def test_legacy_levels_are_those_drawn() -> None:
    first = LegacyDraws(SETS).draw("first", "a", 0, IMAGES["a"], parse_noise("poisson5_50"))
    assert first.level == np.random.RandomState(101).uniform(5, 50)


def test_legacy_draws_resume_at_the_nearest_known_repeat() -> None:
    loaded: list[str] = []

    def load(image: str) -> UIntImage:
        loaded.append(image)
        return IMAGES[image]

    draws = LegacyDraws([LegacySet("first", 10, ["a", "b"], load)])
    noise = parse_noise("gauss25")
    draws.draw("first", "b", 9, IMAGES["b"], noise)
    draws.draw("first", "a", 0, IMAGES["a"], noise)
    loaded.clear()
    draws.draw("first", "b", 8, IMAGES["b"], noise)
    assert loaded == ["a"]


@given(repeat=st.integers(2, 50))
def test_legacy_repeats_beyond_the_official_count_are_refused(repeat: int) -> None:
    with pytest.raises(UserError, match=f"hold 2 repeats of first; repeat {repeat + 1} does not exist"):
        LegacyDraws(SETS).draw("first", "a", repeat, IMAGES["a"], parse_noise("gauss25"))


def test_legacy_draws_refuse_other_sets_and_images() -> None:
    with pytest.raises(UserError, match="defined for first, second, not for 'third'"):
        LegacyDraws(SETS).draw("third", "a", 0, IMAGES["a"], parse_noise("gauss25"))
    with pytest.raises(UserError, match="first hold 2 images, but none called 'c'"):
        LegacyDraws(SETS).draw("first", "c", 0, IMAGES["c"], parse_noise("gauss25"))


def test_legacy_draws_refuse_noise_of_another_family() -> None:
    with pytest.raises(UserError, match="defined for gauss and poisson noise, not for gamma4"):
        LegacyDraws(SETS).draw("first", "a", 0, IMAGES["a"], parse_noise("gamma4"))


def test_legacy_draws_leave_the_global_stream_alone() -> None:
    before = np.random.get_state(legacy=False)["state"]["key"].copy()
    LegacyDraws(SETS).draw("first", "b", 1, IMAGES["b"], parse_noise("gauss25"))
    assert np.array_equal(before, np.random.get_state(legacy=False)["state"]["key"])
