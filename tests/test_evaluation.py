"""One cell: identical noisy images for everyone, padding, cropping, scores, and plugins that misbehave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from denoisebench.core.errors import ContractError, UserError
from denoisebench.core.lazy import torch
from denoisebench.data.dataset import AnyFolder, DataSet
from denoisebench.evaluation.evaluate import Fitting, Route, evaluate
from denoisebench.evaluation.fit import FitRecipe
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import Info, LearnedMethod, Method, Need, NoiseInfo, PerImageMethod, PlainMethod
from denoisebench.protocol.draws import CounterDraws
from denoisebench.protocol.images import FloatImage, to_uint8
from denoisebench.protocol.metrics import psnr, ssim
from denoisebench.protocol.noise import REAL, parse_noise
from denoisebench.protocol.protocol import Protocol, Row
from denoisebench.training.recipe import Budget

pytestmark = pytest.mark.usefixtures("fresh_registry")
SEEN: list[FloatImage] = []
SHAPES: list[tuple[int, ...]] = []
OWN: list[float] = []


@dataclass(frozen=True)
class Spy(PlainMethod):
    """Remember the input and return a changed one."""

    gain: float = 1.0
    name = "spy"
    info = Info(label="Spy")

    def denoise(self, noisy: FloatImage, known: NoiseInfo, rng: np.random.Generator) -> FloatImage:
        SEEN.append(noisy.copy())
        rng.standard_normal(1000)
        np.random.default_rng().standard_normal(10)
        return self.gain * noisy


@dataclass(frozen=True)
class Network(LearnedMethod):
    """Remember the shape that reaches the network; draws from its generator."""

    name = "network"
    info = Info(label="N", multiple=32)

    def denoise(self, network: Any, noisy: torch.Tensor, known: NoiseInfo, generator: torch.Generator) -> torch.Tensor:
        SHAPES.append(tuple(noisy.shape))
        assert not torch.is_grad_enabled()
        return network(noisy) + 0.001 * torch.randn(noisy.shape, generator=generator)


@dataclass(frozen=True)
class Drawing(PlainMethod):
    """Keeps its first own draw."""

    name = "drawing"
    info = Info(label="D")

    def denoise(self, noisy: FloatImage, known: NoiseInfo, rng: np.random.Generator) -> FloatImage:
        OWN.append(float(rng.random()))
        return noisy


@dataclass(frozen=True)
class DrawingNetwork(LearnedMethod):
    """The same, with a generator of torch."""

    name = "drawingnetwork"
    info = Info(label="D")

    def denoise(self, network: Any, noisy: torch.Tensor, known: NoiseInfo, generator: torch.Generator) -> torch.Tensor:
        OWN.append(float(torch.rand((), generator=generator, dtype=torch.float64)))
        return noisy


@dataclass(frozen=True)
class DrawingFit(PerImageMethod):
    """The same, drawn while a network is made for the image."""

    name = "drawingfit"
    info = Info(label="D")
    steps = paper_steps = 1

    def build(self, noisy: torch.Tensor) -> torch.nn.Module:
        OWN.append(float(torch.rand((), dtype=torch.float64)))
        return torch.nn.Linear(1, 1)

    def rate(self, progress: float) -> float:
        return 0.0

    def loss(self, network: torch.nn.Module, noisy: torch.Tensor, known: NoiseInfo, progress: float) -> torch.Tensor:
        return sum((value.sum() for name, value in network.named_parameters() if name == "weight"), torch.zeros(()))

    def denoise(self, network: torch.nn.Module, noisy: torch.Tensor, known: NoiseInfo) -> torch.Tensor:
        return noisy


@pytest.fixture(autouse=True)
def _empty() -> None:
    SEEN.clear()
    SHAPES.clear()


@pytest.fixture
def pictures(image_folder: Callable[..., Path]) -> AnyFolder:
    return AnyFolder(image_folder(count=3))


def rows_of(method: Method, dataset: AnyFolder, wanted: list[tuple[str, int]], **more: Any) -> list[Row]:
    noise = parse_noise(more.pop("noise", "gauss25"))
    network = torch.nn.Identity() if isinstance(method, LearnedMethod) else None
    draws = CounterDraws(more.get("seed", 0))
    return list(evaluate(Route(method, network, noise, **more), dataset, draws, wanted))


def same(row: Row) -> Row:
    return row._replace(seconds=0.0)


ALL = [("im0", 0), ("im1", 0), ("im2", 0), ("im0", 1), ("im1", 1), ("im2", 1)]


# --- noise ---


@pytest.mark.parametrize("noise", ["gauss25", "gauss5_50", "poisson30", "poisson5_50"])
def test_every_method_sees_the_same_noisy_images_in_whatever_order(noise: str, pictures: AnyFolder) -> None:
    rows_of(Spy(), pictures, ALL, noise=noise)
    first = dict(zip(ALL, SEEN.copy(), strict=True))
    SEEN.clear()
    rows_of(parse_method("identity"), pictures, ALL, noise=noise)
    for pair in reversed(ALL):
        rows_of(Spy(gain=0.5), pictures, [pair], noise=noise)
    second = dict(zip(reversed(ALL), SEEN, strict=True))
    for pair in ALL:
        np.testing.assert_array_equal(first[pair], second[pair])


def test_no_two_noisy_images_share_their_noise(pictures: AnyFolder) -> None:
    rows_of(Spy(), pictures, ALL)
    rows_of(Spy(), pictures, ALL, seed=1)
    for other in ("gauss25.5", "gauss25-clip", "gauss25-uint8", "gauss25_50"):
        rows_of(Spy(), pictures, ALL, noise=other)
    clean = [pictures.load(image).astype(np.float64) / 255 for image, _ in ALL] * 6
    noise = [(seen - x).ravel() for seen, x in zip(SEEN, clean, strict=True)]
    correlation = np.corrcoef(noise)
    assert np.abs(correlation - np.eye(len(noise))).max() < 0.1


def test_the_noisy_image_is_neither_clipped_nor_quantised(pictures: AnyFolder) -> None:
    rows_of(Spy(), pictures, ALL, noise="gauss50")
    values = np.concatenate([image.ravel() for image in SEEN])
    assert values.min() < 0
    assert values.max() > 1
    assert np.abs(values * 255 - np.rint(values * 255)).max() > 0.4


def test_the_same_cell_gives_the_same_scores(pictures: AnyFolder) -> None:
    for method in (Spy(), Network()):
        assert [same(r) for r in rows_of(method, pictures, ALL)] == [same(r) for r in rows_of(method, pictures, ALL)]


@pytest.mark.parametrize("kind", [Drawing, DrawingNetwork, DrawingFit])
def test_a_methods_own_draws_depend_on_image_repeat_seed_and_noise_but_not_on_the_order(
    kind: type[Method], pictures: AnyFolder
) -> None:
    def drawn(order: list[tuple[str, int]], **more: Any) -> dict[tuple[str, int], float]:
        OWN.clear()
        rows_of(kind(), pictures, order, fitting=Fitting(FitRecipe(Budget(1, "steps"))), **more)
        return dict(zip(order, OWN, strict=True))

    forward = drawn(ALL)
    assert drawn(ALL[::-1]) == forward
    others = [drawn(ALL, seed=1), drawn(ALL, noise="gauss50"), drawn(ALL, noise="gauss25-clip")]
    every = [value for draws in (forward, *others) for value in draws.values()]
    assert len(set(every)) == 4 * len(ALL)


def test_every_capture_is_scored_against_its_own_reference() -> None:
    class Captures(DataSet):
        name = title = "captures"
        real, channels = True, 1
        images = ("a",)

        def capture(self, image: str, index: int) -> FloatImage:
            return np.full((16, 16, 1), 0.1 + 0.2 * index, np.float32)

        reference = capture

    route = Route(parse_method("identity"), None, REAL)
    rows = list(evaluate(route, Captures(), CounterDraws(0), [("a", 0), ("a", 1), ("a", 2)]))
    assert [row.psnr for row in rows] == [np.inf] * 3


def test_rows_come_in_the_order_asked_for_with_their_level(pictures: AnyFolder) -> None:
    rows = rows_of(Spy(), pictures, ALL[::-1], noise="poisson30")
    assert [(row.image, row.repeat) for row in rows] == ALL[::-1]
    assert {row.level for row in rows} == {30.0}
    assert {row.level for row in rows_of(Spy(), pictures, ALL)} == {25 / 255}
    levels = [float(row.level or 0) * 255 for row in rows_of(Spy(), pictures, ALL, noise="gauss5_50")]
    assert len(set(levels)) == 6
    assert all(5 <= level <= 50 for level in levels)


# --- scores ---


def test_scores_are_the_metrics_of_the_rounded_output(pictures: AnyFolder) -> None:
    rows = rows_of(Spy(gain=0.9), pictures, ALL)
    for row, seen in zip(rows, SEEN, strict=True):
        clean, result = pictures.load(row.image), to_uint8(0.9 * seen)
        assert row.psnr == psnr(result, clean)
        assert row.ssim == ssim(result, clean)
        assert row.seconds >= 0


def test_a_perfect_result_scores_infinity_and_one(pictures: AnyFolder) -> None:
    clean = {image: pictures.load(image) for image in pictures.images}

    @dataclass(frozen=True)
    class Oracle(PlainMethod):
        name = "oracle"
        info = Info(label="O")

        def denoise(self, noisy: FloatImage, known: NoiseInfo, rng: np.random.Generator) -> FloatImage:
            best = min(clean.values(), key=lambda x: float(np.abs(noisy - x / 255.0).mean()))
            return (best / 255.0).astype(np.float32)

    for row in rows_of(Oracle(), pictures, ALL):
        assert row.psnr == np.inf
        assert row.ssim == pytest.approx(1)


# --- padding ---


@pytest.mark.parametrize(
    ("size", "padding", "shape"),
    [
        ((48, 40), "side", (64, 64)),
        ((70, 40), "side", (64, 96)),
        ((70, 40), "square", (96, 96)),
        ((64, 32), "side", (32, 64)),
        ((64, 32), "square", (64, 64)),
        ((13, 11), "side", (32, 32)),
    ],
)
def test_the_padded_size_reaches_the_network_and_the_score_does_not_see_it(
    size: tuple[int, int], padding: str, shape: tuple[int, int], image_folder: Callable[..., Path]
) -> None:
    folder = AnyFolder(image_folder(count=1, size=size))
    (row,) = rows_of(Network(), folder, [("im0", 0)], padding=padding)
    assert len(SHAPES) == 1
    assert SHAPES[0] == (1, 3, *shape)
    plain = rows_of(parse_method("identity"), folder, [("im0", 0)])[0]
    assert row.psnr == pytest.approx(plain.psnr, abs=0.05)


def test_gray_images_have_one_channel(image_folder: Callable[..., Path]) -> None:
    folder = AnyFolder(image_folder(mode="L", count=1))
    rows_of(Network(), folder, [("im0", 0)])
    rows_of(Spy(), folder, [("im0", 0)])
    assert SHAPES == [(1, 1, 64, 64)]
    assert SEEN[0].shape == (40, 48, 1)


# --- plugins that misbehave ---


def plain(body: Callable[[FloatImage, NoiseInfo], Any], **info: Any) -> PlainMethod:
    @dataclass(frozen=True)
    class Bad(PlainMethod):
        name = "bad"

        def denoise(self, noisy: FloatImage, known: NoiseInfo, rng: np.random.Generator) -> Any:
            return body(noisy, known)

    Bad.info = Info(label="B", **info)
    return Bad()


def spoil(noisy: FloatImage, value: float) -> FloatImage:
    result = noisy.copy()
    result[3, 4, 0] = value
    return result


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (lambda noisy, known: None, "returned nothing"),
        (lambda noisy, known: noisy[:-1], "shape"),
        (lambda noisy, known: noisy[:, :, :1], "shape"),
        (lambda noisy, known: noisy[:, :, 0], "shape"),
        (lambda noisy, known: noisy[None], "shape"),
        (lambda noisy, known: spoil(noisy, np.nan), "not finite"),
        (lambda noisy, known: spoil(noisy, np.inf), "not finite"),
        (lambda noisy, known: noisy * known.level, "Need.LEVEL"),
        (lambda noisy, known: (known.family, noisy)[1], "Need.FAMILY"),
        (lambda noisy, known: (known.ranged, noisy)[1], "Need.RANGED"),
    ],
)
def test_a_broken_contract_is_named(
    body: Callable[[FloatImage, NoiseInfo], Any], words: str, pictures: AnyFolder
) -> None:
    with pytest.raises(ContractError, match="'bad'") as caught:
        rows_of(plain(body), pictures, ALL)
    assert words in str(caught.value)


def test_the_input_is_read_only(pictures: AnyFolder) -> None:
    def body(noisy: FloatImage, known: NoiseInfo) -> FloatImage:
        noisy *= 0.5
        return noisy

    for multiple in (1, 32):
        with pytest.raises(ValueError, match="read-only"):
            rows_of(plain(body, multiple=multiple), pictures, ALL)


def test_a_declared_need_is_told_with_its_value(pictures: AnyFolder) -> None:
    told: list[tuple[str, float, bool]] = []

    def body(noisy: FloatImage, known: NoiseInfo) -> FloatImage:
        told.append((known.family, known.level, known.ranged))
        return noisy

    method = plain(body, needs=frozenset({Need.FAMILY, Need.LEVEL, Need.RANGED}))
    rows_of(method, pictures, ALL[:1], noise="poisson30")
    row = rows_of(method, pictures, ALL[:1], noise="gauss5_50")[0]
    assert told == [("poisson", 30.0, False), ("gauss", row.level, True)]


def test_a_method_that_is_neither_kind_is_refused(pictures: AnyFolder) -> None:
    class Neither(Method):
        name = "neither"
        info = Info(label="N")

    with pytest.raises(ContractError, match="neither a PlainMethod, a LearnedMethod nor a PerImageMethod"):
        rows_of(Neither(), pictures, ALL)


# --- protocol ---


def test_the_fingerprint_changes_with_every_field_of_the_protocol() -> None:
    base = Protocol("set", "hash", "gauss25", "counter-0")
    prints = {base.fingerprint}
    for field in fields(Protocol):
        changed: dict[str, Any] = {field.name: 3 if field.name == "limit" else "other"}
        prints.add(replace(base, **changed).fingerprint)
    assert len(prints) == 1 + len(fields(Protocol))
    assert all(len(text) == 12 and int(text, 16) >= 0 for text in prints)
    assert replace(base).fingerprint == base.fingerprint


# --- the border of data sets: what they hold wrongly is not blamed on a method ---


class Captured(AnyFolder):
    """Real noise from memory: the images of a folder as floats, of which some values are spoilt."""

    real = True
    spoilt: tuple[str, float] = ("", 0.0)

    def captures(self, image: str) -> int:
        return 1

    def capture(self, image: str, index: int) -> FloatImage:
        return self._spoil("capture", image)

    def reference(self, image: str, index: int) -> FloatImage:
        return self._spoil("reference", image)

    def _spoil(self, what: str, image: str) -> FloatImage:
        values = self.load(image).astype(np.float32) / np.float32(255)
        if self.spoilt[0] == what:
            values[2, 3:5, 0] = self.spoilt[1]
        return values


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("what", "words"), [("capture", "^Capture 1 of image 'im0'"), ("reference", "^The reference of capture 1 of")]
)
def test_a_data_set_with_nan_is_refused_with_their_number(
    what: str, words: str, value: float, image_folder: Callable[..., Path]
) -> None:
    data = Captured(image_folder("pictures"))
    evaluated = evaluate(Route(Spy(), None, parse_noise("real")), data, CounterDraws(0), [("im0", 0)])
    assert next(evaluated).psnr == np.inf, "a capture that equals its reference"
    data.spoilt = (what, value)
    with pytest.raises(UserError, match=rf"{words}.* holds 2 values of 5,760 that are NaN or infinite"):
        next(evaluate(Route(Spy(), None, parse_noise("real")), data, CounterDraws(0), [("im0", 0)]))


def test_a_result_beyond_single_precision_is_not_finite(pictures: AnyFolder) -> None:
    method = plain(lambda noisy, known: noisy.astype(np.float64) + 1e200)
    with pytest.raises(ContractError, match="not finite"):
        rows_of(method, pictures, [("im0", 0)])
