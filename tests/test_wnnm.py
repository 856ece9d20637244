"""WNNM: its parts against plain loops and full decompositions, and the whole on crops of real photographs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import skimage.data
import torch

from denoisebench.core.errors import UserError
from denoisebench.methods import wnnm
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import Need, NoiseInfo, PlainMethod
from denoisebench.protocol.images import FloatImage, UIntImage, to_uint8
from denoisebench.protocol.metrics import psnr
from denoisebench.protocol.noise import add_noise, parse_noise
from denoisebench.toolbox.estimation import estimate_sigma

Plane = npt.NDArray[np.float64]
EPS = float(np.finfo(np.float64).eps)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def camera(side: int = 64) -> UIntImage:
    return np.asarray(skimage.data.camera()[100 : 100 + side, 200 : 200 + side, None])


def face(side: int = 48) -> UIntImage:
    return np.asarray(skimage.data.astronaut()[60 : 60 + side, 170 : 170 + side])


def denoised(text: str, noisy: FloatImage, family: str, level: float | None) -> FloatImage:
    method = parse_method(text)
    assert isinstance(method, PlainMethod)
    known = NoiseInfo("wnnm", method.told(family), {Need.FAMILY: family, Need.LEVEL: level})
    noisy.flags.writeable = False
    return method.denoise(noisy, known, np.random.default_rng(0))


def literal_grids(
    rows: int, columns: int, constants: wnnm.Constants, iteration: int, iterations: int
) -> tuple[list[int], list[int]]:
    """That of the program in the dense iterations; before, one of 6 pixels, then 4, moved by half of that."""
    if iteration >= iterations - constants.dense:
        down, right, step = 0, 0, constants.step
    else:
        step = 6 if iteration < 6 else 4
        down, right = [(0, 0), (step // 2, step // 2), (0, step // 2), (step // 2, 0)][iteration // 2 % 4]
    return sorted({0, *range(down, rows, step), rows - 1}), sorted({0, *range(right, columns, step), columns - 1})


def literal(noisy: Plane, sigma: float, constants: wnnm.Constants, iterations: int) -> Plane:
    """The published steps one by one: loops over references and candidates, full decompositions."""
    p, reach = constants.patch, wnnm.RADIUS
    rows, columns = (side - p + 1 for side in noisy.shape)
    tops, lefts = list[int](), list[int]()
    estimate, groups = noisy, {}
    for iteration in range(iterations):
        estimate = estimate + 0.1 * (noisy - estimate)
        forms = iteration % 2 == 0 or iteration == iterations - constants.dense
        if forms:
            tops, lefts = literal_grids(rows, columns, constants, iteration, iterations)
        total, times = np.zeros_like(noisy), np.zeros_like(noisy)

        def at(image: Plane, i: int, j: int) -> Plane:
            return image[i : i + p, j : j + p].ravel()

        for top in tops:
            for left in lefts:
                reference = at(estimate, top, left)
                if forms:
                    near = [
                        (float(np.sum((reference - at(estimate, i, j)) ** 2)), i, j)
                        for i in range(max(0, top - reach), min(rows, top + reach + 1))
                        for j in range(max(0, left - reach), min(columns, left + reach + 1))
                    ]
                    groups[top, left] = sorted(near)[: constants.group - 10 * (iteration // 2 + 1)]
                members = groups[top, left]
                matrix = np.array([at(estimate, i, j) for _, i, j in members])
                level = sigma
                if iteration:
                    removed = np.mean((at(noisy, top, left) - reference) ** 2)
                    level = constants.factor * abs(sigma**2 - removed) ** 0.5
                u, s, v = np.linalg.svd(matrix - matrix.mean(0), full_matrices=False)
                x = np.sqrt(np.maximum(s**2 - len(members) * level**2, 0))
                for _ in range(3):
                    x = np.maximum(s - 2 * 2**0.5 * len(members) ** 0.5 * level**2 / (x + EPS), 0)
                for (_, i, j), patch in zip(members, (u * x) @ v + matrix.mean(0), strict=True):
                    total[i : i + p, j : j + p] += patch.reshape(p, p)
                    times[i : i + p, j : j + p] += 1
        estimate = total / times
    return np.asarray(estimate)


# --- parts ---


@pytest.mark.parametrize(
    ("sigma", "patch", "group", "iterations", "factor", "wide", "dense", "step"),
    [
        (1, 6, 70, 8, 0.54, (4, 4), 2, 2),
        (20, 6, 70, 8, 0.54, (4, 4), 2, 2),
        (20.1, 7, 90, 12, 0.56, (6, 6), 2, 2),
        (40, 7, 90, 12, 0.56, (6, 6), 2, 2),
        (40.1, 8, 120, 14, 0.58, (8, 6), 1, 3),
        (60, 8, 120, 14, 0.58, (8, 6), 1, 3),
        (60.1, 9, 140, 14, 0.58, (8, 8), 2, 3),
        (100, 9, 140, 14, 0.58, (8, 8), 2, 3),
    ],
)
def test_constants(
    sigma: float,
    patch: int,
    group: int,
    iterations: int,
    factor: float,
    wide: tuple[int, int],
    dense: int,
    step: int,
) -> None:
    found = wnnm.constants_for(sigma)
    assert found == wnnm.Constants(patch, group, iterations, factor, wide, dense)
    assert found.step == step
    assert max(wide) <= patch
    assert [found.group_at(i) for i in range(4)] == [group - 10, group - 10, group - 20, group - 20]
    assert found.group_at(iterations - 1) >= 30


def test_shrinkage_nears_its_closed_form(monkeypatch: pytest.MonkeyPatch) -> None:
    singular = torch.linspace(0, 40, 81, dtype=torch.float64)
    count, level = 70, 2.0
    weight = 2 * 2**0.5 * count**0.5 * level**2
    root = (singular + EPS) ** 2 - 4 * weight
    closed = torch.where(root < 0, 0.0, (singular - EPS + root.clamp(min=0).sqrt()) / 2)
    monkeypatch.setattr(wnnm, "REWEIGHTINGS", 300)
    torch.testing.assert_close(wnnm.shrunk(singular, count, torch.tensor(level)), closed, rtol=1e-6, atol=1e-6)
    monkeypatch.setattr(wnnm, "REWEIGHTINGS", 3)
    far = singular > 1.2 * (4 * weight) ** 0.5
    three = wnnm.shrunk(singular, count, torch.tensor(level))
    torch.testing.assert_close(three[far], closed[far], rtol=0.01, atol=0)
    # By hand, for 30: the first estimate is sqrt(900 - 280), the weight 94.6573 / estimate.
    x = 620**0.5
    for _ in range(3):
        x = 30 - 94.6573 / x
    assert float(three[60]) == pytest.approx(x, abs=1e-4)


@pytest.mark.parametrize("shape", [(5, 30, 36), (5, 36, 36), (5, 80, 49)])
def test_eigenvectors_do_what_a_decomposition_does(shape: tuple[int, int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(shape[0], shape[1], 3, generator=generator, dtype=torch.float64)
    matrices = 20 * basis @ torch.randn(shape[0], 3, shape[2], generator=generator, dtype=torch.float64)
    matrices += 5 * torch.randn(shape, generator=generator, dtype=torch.float64)
    levels = torch.linspace(3, 20, shape[0], dtype=torch.float64)
    u, s, v = torch.linalg.svd(matrices, full_matrices=False)
    expected = (u * wnnm.shrunk(s, shape[1], levels[:, None])[:, None]) @ v
    torch.testing.assert_close(wnnm.shrink(matrices, levels), expected)
    single = wnnm.shrink(matrices.float(), levels.float()).double()
    assert float((single - expected).abs().max()) < 0.1


@pytest.mark.parametrize("shape", [(50, 64), (64, 64), (100, 49)])
def test_where_few_singular_values_are_left_the_others_are_not_needed(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Matrices of 3, 16 and 30 large singular values: in the last two cases the others are looked for."""
    generator = torch.Generator().manual_seed(0)
    matrices = []
    for rank in (3, 16, 30):
        left, right = (torch.randn(side, rank, generator=generator, dtype=torch.float64) for side in shape)
        noise = torch.randn(shape, generator=generator, dtype=torch.float64)
        matrices.append(60 * left @ right.T + noise)
    stack, levels = torch.stack(matrices), torch.full((3,), 10.0, dtype=torch.float64)
    expected = wnnm.shrink(stack, levels)
    decomposed: list[int] = []
    full = torch.linalg.eigh

    def spy(gram: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        decomposed.append(len(gram) * (gram.shape[1] > wnnm.RANK))
        return full(gram)

    monkeypatch.setattr(torch.linalg, "eigh", spy)
    result = wnnm.shrink(stack, levels, few=True)
    assert decomposed == [0, 2]
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    single = wnnm.shrink(stack.float(), levels.float(), few=True).double()
    assert float((single - expected).abs().max()) < 1e-4 * float(expected.abs().max())


def test_leading_eigenvalues_of_a_matrix() -> None:
    generator = torch.Generator().manual_seed(0)
    turned = torch.linalg.qr(torch.randn(4, 60, 60, generator=generator, dtype=torch.float64)).Q
    true = 0.5 ** torch.arange(60, dtype=torch.float64)
    gram = turned * true @ turned.mT
    values, vectors = wnnm.leading(gram)
    torch.testing.assert_close(values.flip(1)[:, :10], true[:10].expand(4, -1), rtol=1e-4, atol=0)
    assert bool((values.flip(1) <= true[: wnnm.RANK] * (1 + 1e-9)).all())
    torch.testing.assert_close(vectors.mT @ vectors, torch.eye(wnnm.RANK, dtype=torch.float64).expand(4, -1, -1))


def test_first_groups_are_decomposed_in_full_and_later_ones_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    original = wnnm.aggregate

    def spy(*arguments: Any) -> torch.Tensor:
        asked.append(arguments[-1])
        return original(*arguments)

    monkeypatch.setattr(wnnm, "aggregate", spy)
    wnnm.wnnm(torch.rand(9, 9) * 255, 25.0, wnnm.Constants(6, 50, 5, 0.54, (4, 4), 1), 5)
    assert asked == [False, False, True, True, True]


def test_without_noise_matrices_stay() -> None:
    matrices = torch.randn(3, 40, 36, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(wnnm.shrink(matrices, torch.zeros(3, dtype=torch.float64)), matrices)


@pytest.mark.parametrize(("height", "width", "step"), [(40, 33, 2), (18, 47, 3), (12, 12, 1)])
def test_groups_are_the_nearest_patches(height: int, width: int, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wnnm, "RADIUS", 7)
    plane = torch.rand(height, width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    groups = wnnm.similar(plane, 5, step, 12)
    patches = wnnm.patches_of(plane, 5)
    rows, columns = height - 4, width - 4
    references = {(i, j) for i in {*range(0, rows, step), rows - 1} for j in {*range(0, columns, step), columns - 1}}
    assert {divmod(int(first), columns) for first in groups[:, 0]} == references
    assert len(groups) == len(references)
    for group in groups:
        i, j = divmod(int(group[0]), columns)
        near = torch.tensor([
            k * columns + m
            for k in range(max(0, i - 7), min(rows, i + 8))
            for m in range(max(0, j - 7), min(columns, j + 8))
        ])  # fmt: skip
        distances = (patches[near] - patches[group[0]]).square().sum(1)
        assert set(group.tolist()) == set(near[distances.argsort()[:12]].tolist())


def test_an_exact_copy_is_found() -> None:
    plane = torch.rand(60, 60, generator=torch.Generator().manual_seed(2))
    plane[30:36, 25:31] = plane[10:16, 4:10]
    group = next(group for group in wnnm.similar(plane, 6, 2, 20) if group[0] == 10 * 55 + 4)
    assert group[1] == 30 * 55 + 25


def test_a_window_of_few_patches_makes_small_groups() -> None:
    assert wnnm.similar(torch.rand(9, 10), 6, 2, 60).shape == (3 * 3, 4 * 5)
    assert wnnm.similar(torch.rand(6, 6), 6, 2, 60).tolist() == [[0]]


def test_patches_without_noise_go_back_to_their_places() -> None:
    plane = torch.from_numpy(camera(40)[:, :37, 0].astype(np.float32))
    groups = wnnm.similar(plane, 6, 2, 20)
    patches = wnnm.patches_of(plane, 6)
    torch.testing.assert_close(wnnm.aggregate(patches, groups, torch.zeros(len(groups)), 40, 37), plane)


@pytest.mark.parametrize("dense", [1, 2])
def test_whole_method_follows_the_published_steps(dense: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wnnm, "RADIUS", 6)
    noisy = camera(19)[:, :16, 0] + 25 * np.random.default_rng(0).standard_normal((19, 16))
    # The corner of the window holds 49 patches: groups of 40, 30, 20 and 10 fit.
    constants = wnnm.Constants(6, 50, 8, 0.54, (6, 4), dense)
    result = wnnm.wnnm(torch.from_numpy(noisy), 25.0, constants, 8).numpy()
    np.testing.assert_allclose(result, literal(noisy, 25.0, constants, 8), atol=1e-6)
    single = wnnm.wnnm(torch.from_numpy(noisy.astype(np.float32)), 25.0, constants, 4).numpy()
    result = wnnm.wnnm(torch.from_numpy(noisy), 25.0, constants, 4).numpy()
    assert float(np.abs(single - result).max()) < 1


# --- whole ---


@pytest.mark.slow
@pytest.mark.parametrize(
    ("noise", "iterations", "least"),
    [("gauss15", 2, 30.0), ("gauss25", 4, 27.9), ("gauss50", 4, 24.1), ("poisson30", 3, 27.5)],
)
def test_a_photograph_gets_as_good_as_it_was(noise: str, iterations: int, least: float) -> None:
    clean = camera()
    drawn = add_noise(clean, parse_noise(noise), np.random.default_rng(1))
    text = f"wnnm[sigma=known,iterations={iterations}]"
    result = denoised(text, drawn.noisy, parse_noise(noise).family, drawn.level)
    assert result.dtype == np.float32
    assert psnr(to_uint8(result), clean) > least


def test_sigma_is_estimated() -> None:
    noisy = add_noise(camera(), parse_noise("gauss25"), np.random.default_rng(1)).noisy
    estimated = denoised("wnnm[iterations=1]", noisy, "gauss", 99.0)
    known = denoised("wnnm[sigma=known,iterations=1]", noisy, "gauss", estimate_sigma(noisy))
    np.testing.assert_array_equal(estimated, known)


def test_colour_is_filtered_channel_by_channel_and_repeats() -> None:
    noisy = add_noise(face(), parse_noise("gauss25"), np.random.default_rng(1)).noisy
    text = "wnnm[sigma=known,iterations=1]"
    whole = denoised(text, noisy, "gauss", 25 / 255)
    for c in range(3):
        assert np.array_equal(denoised(text, noisy[:, :, c : c + 1].copy(), "gauss", 25 / 255)[:, :, 0], whole[:, :, c])


def test_without_noise_nothing_is_done() -> None:
    clean = (camera(32) / 255).astype(np.float32)
    np.testing.assert_array_equal(denoised("wnnm[sigma=known]", clean, "gauss", 0.0), clean)
    weak = denoised("wnnm[sigma=known,iterations=2]", clean, "gauss", 1e-4)
    np.testing.assert_allclose(weak, clean, atol=1e-3)


def test_a_flat_image_becomes_flat() -> None:
    noisy = (0.4 + 0.1 * np.random.default_rng(0).standard_normal((40, 40, 1))).astype(np.float32)
    result = denoised("wnnm[sigma=known,iterations=4]", noisy, "gauss", 0.1)
    assert float(result.std()) < 0.02
    assert float(result.mean()) == pytest.approx(float(noisy.mean()), abs=5e-3)


@pytest.mark.parametrize("shape", [(1, 1, 3), (4, 30, 1), (9, 6, 3)])
@pytest.mark.parametrize("sigma", [10, 25, 100])
def test_tiny_images_are_padded(shape: tuple[int, int, int], sigma: float) -> None:
    noisy = np.random.default_rng(0).random(shape).astype(np.float32)
    result = denoised("wnnm[sigma=known,iterations=3]", noisy, "gauss", sigma / 255)
    assert result.shape == shape
    assert np.isfinite(result).all()


def test_settings_are_checked() -> None:
    assert parse_method("wnnm[iterations=none]").text == "wnnm"
    with pytest.raises(UserError, match=r"wnnm\[iterations=0\]: the value must be"):
        parse_method("wnnm[iterations=0]")


def test_iterations_are_at_most_those_for_sigma() -> None:
    noisy = np.random.default_rng(0).random((12, 12, 1)).astype(np.float32)
    whole, more = (denoised(f"wnnm[sigma=known{text}]", noisy, "gauss", 0.05) for text in ("", ",iterations=99"))
    np.testing.assert_array_equal(whole, more)


def test_where_more_was_removed_than_the_noise_a_patch_still_has_a_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program takes the root of the modulus; a level of zero would leave such a patch as it is."""
    from denoisebench.methods import wnnm as module

    levels: list[torch.Tensor] = []
    references: list[torch.Tensor] = []

    def spy(
        patches: torch.Tensor, groups: torch.Tensor, level: torch.Tensor, height: int, width: int, few: bool
    ) -> torch.Tensor:
        levels.append(level)
        references.append(groups[:, 0])
        return torch.zeros(height, width)

    monkeypatch.setattr(module, "aggregate", spy)
    noisy = 100 + 10 * torch.randn(24, 24, generator=torch.Generator().manual_seed(0))
    constants = module.constants_for(10.0)
    module.wnnm(noisy, 10.0, constants, 2)
    removed = module.patches_of((1 - module.FEEDBACK) * noisy, constants.patch).square().mean(1)[references[1]]
    assert float(removed.min()) > 100
    torch.testing.assert_close(levels[1], constants.factor * (removed - 100).sqrt(), rtol=1e-4, atol=0)
