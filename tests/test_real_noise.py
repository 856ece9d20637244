"""Real noise: captures instead of draws, floats instead of 8 bits, and methods that are told nothing of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from denoisebench.core.errors import ContractError, UserError
from denoisebench.data.dataset import DataSet
from denoisebench.evaluation.evaluate import Route, evaluate
from denoisebench.experiment.cells import Experiment
from denoisebench.experiment.preparation import TrainedNetwork
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import LearnedMethod, Method, Need, known_of
from denoisebench.plugins.registry import METHODS
from denoisebench.protocol.draws import CounterDraws
from denoisebench.protocol.images import pack_bayer, to_float, to_uint8, unpack_bayer
from denoisebench.protocol.metrics import RAW, UINT8, psnr, ssim
from denoisebench.protocol.noise import REAL, parse_noise
from denoisebench.protocol.protocol import Protocol, Row
from denoisebench.reports.render import scores_csv
from denoisebench.results.store import Store, StoredCell
from denoisebench.training.job import TrainingJob
from denoisebench.training.loop import ProcessGroup, _Run
from denoisebench.training.recipe import Budget, Recipe

CAPTURES, SIDE = 3, 40


class Scene(DataSet):
    """Two views with three captures each, in memory; says what was looked at."""

    name = title = "scene"
    real = True
    training = "samples_train"
    data_hash = "0"
    images = ("a", "b")

    def __init__(self, channels: int = 4, kind: Any = np.float32, captures: int = CAPTURES) -> None:
        self.channels, self._captures = channels, captures
        self.scoring = "raw" if channels == 4 else "uint8"
        rng = np.random.default_rng(0)
        shape = (SIDE, SIDE, channels)
        largest = 1 if kind == np.float32 else np.iinfo(kind).max
        self.clean = {image: (largest * rng.uniform(0.1, 0.9, shape)).astype(kind) for image in self.images}
        self.noisy = {
            image: [
                np.clip(self.clean[image] + largest * 0.05 * rng.standard_normal(shape), 0, largest).astype(kind)
                for _ in range(captures)
            ]
            for image in self.images
        }
        self.looked: list[tuple[str, str, int]] = []

    def verify(self) -> None:
        pass

    def load(self, image: str) -> Any:
        return self.clean[image]

    def captures(self, image: str) -> int:
        return self._captures

    def capture(self, image: str, index: int) -> Any:
        self.looked.append(("capture", image, index))
        return self.noisy[image][index]

    def reference(self, image: str, index: int) -> Any:
        self.looked.append(("reference", image, index))
        return self.clean[image]


def rows_of(data: DataSet, method: str = "identity", repeats: int = 1) -> list[Row]:
    wanted = [(image, repeat) for repeat in range(repeats) for image in data.images]
    return list(evaluate(Route(parse_method(method), None, REAL), data, CounterDraws(0), wanted))


def experiment(data: DataSet, methods: list[Method], noise: str = "real", **changes: Any) -> Experiment:
    return Experiment(methods, [parse_noise(noise)], [data], Recipe(Budget(2, "steps"), crop=32), **changes)


def test_its_id_reads_back_and_has_no_level() -> None:
    assert parse_noise(" real") == REAL == parse_noise(REAL.id)
    assert (REAL.title, REAL.ranged, REAL.real) == ("real noise", True, True)
    assert not parse_noise("gauss25").real
    with pytest.raises(UserError, match="real25"):
        parse_noise("real25")


def test_packing_is_space_to_depth_and_back() -> None:
    mosaic = np.arange(6 * 8, dtype=np.uint16).reshape(6, 8, 1)
    planes = pack_bayer(mosaic)
    assert planes[1, 2].tolist() == [mosaic[r, c, 0] for r, c in ((2, 4), (2, 5), (3, 4), (3, 5))]
    expected = torch.nn.functional.pixel_unshuffle(torch.from_numpy(mosaic[None, None, :, :, 0].astype(np.float32)), 2)
    np.testing.assert_array_equal(planes, expected[0].permute(1, 2, 0).numpy())
    np.testing.assert_array_equal(unpack_bayer(planes), mosaic)
    assert unpack_bayer(planes).dtype == np.uint16


def test_raw_images_are_scored_as_floats_on_the_mosaic() -> None:
    rng = np.random.default_rng(1)
    clean = rng.uniform(0, 1, (20, 24, 4)).astype(np.float32)
    result = (clean + 0.01 * rng.standard_normal(clean.shape)).astype(np.float32)
    assert result.max() > 1
    a, b = (unpack_bayer(np.clip(image.astype(np.float64), 0, 1))[:, :, 0] for image in (result, clean))
    measured = RAW.score(result, clean)
    assert measured[0] == pytest.approx(-10 * np.log10(np.mean((a - b) ** 2)), abs=1e-12)
    expected = structural_similarity(
        255 * a, 255 * b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert measured[1] == pytest.approx(expected, abs=1e-12)
    assert measured[0] != UINT8.score(result[:, :, :3], clean[:, :, :3])[0]


def test_8_bit_scores_and_their_fingerprint_are_what_they_were() -> None:
    rng = np.random.default_rng(2)
    clean = rng.integers(0, 256, (16, 20, 3), dtype=np.uint8)
    result = (clean / 255 + 0.1 * rng.standard_normal(clean.shape)).astype(np.float32)
    rounded = np.floor(np.clip(result.astype(np.float64) * 255 + 0.5, 0, 255)).astype(np.uint8)
    assert UINT8.score(result, clean) == (psnr(rounded, clean), ssim(rounded, clean))
    assert Protocol("kodak", "h", "gauss25", "counter-0").fingerprint == "9f3bd4276a5b"


@pytest.mark.parametrize(("channels", "kind"), [(4, np.float32), (1, np.uint16), (3, np.uint8), (1, np.float32)])
def test_every_capture_is_scored_against_its_reference(channels: int, kind: type) -> None:
    data = Scene(channels, kind)
    rows = rows_of(data, repeats=CAPTURES)
    assert [(row.image, row.repeat) for row in rows] == [(image, k) for k in range(CAPTURES) for image in "ab"]
    for row in rows:
        noisy, clean = to_float(data.noisy[row.image][row.repeat]), to_float(data.clean[row.image])
        if channels == 4:
            error, peak = np.square(noisy.astype(np.float64) - clean).mean(), 1.0
        else:
            error, peak = np.square(to_uint8(noisy).astype(float) - to_uint8(clean)).mean(), 255.0
        assert row.psnr == pytest.approx(10 * np.log10(peak**2 / error), abs=1e-4)
        assert row.level is None


def test_a_capture_of_another_size_is_refused() -> None:
    data = Scene()
    data.noisy["b"][0] = data.noisy["b"][0][:-1]
    with pytest.raises(UserError, match=r"Capture 1 of image 'b' of data set 'scene' has the shape \(39, 40, 4\)"):
        rows_of(data)


def test_a_capture_of_another_type_than_its_reference_is_refused() -> None:
    data = Scene(1, np.uint8)
    data.noisy["a"][0] = data.noisy["a"][0].astype(np.uint16) * 16  # 12 bits in 16
    with pytest.raises(UserError, match=r"Capture 1 of image 'a' .* is uint16, its reference uint8, .* in one"):
        rows_of(data)
    data.noisy["a"][0] = to_float(data.noisy["b"][0])
    assert len(rows_of(data)) == 2


def test_an_unknown_level_is_empty_in_files_and_missing_in_frames(tmp_path: Path) -> None:
    from denoisebench.reports.frame import frame_of

    store, data = Store(tmp_path), Scene()
    cell = experiment(data, [parse_method("identity")]).cells()[0]
    about: dict[str, Any]
    about = {"text": "identity", "told": [], "training": "", "written": "1", "label": "i", "protocol": "p"}
    about |= {"baseline": True, "warnings": [], "noise_title": "real", "dataset_title": "Scene"}
    stored = StoredCell(dict(cell.identity), about)
    stored.rows.update({(row.image, row.repeat): row for row in rows_of(data)})
    store.write(stored)
    (path,) = store.cells.glob("*.json")
    assert json.loads(path.read_text())["rows"][0]["level"] is None
    again = store.read(cell.identity)
    assert again.rows == stored.rows
    assert ",,," in scores_csv([again])
    frame = frame_of([again])
    assert frame.level.isna().all()
    assert frame.told.tolist() == ["", ""]


def test_the_protocol_says_how_it_is_scored_and_depends_on_no_seed() -> None:
    protocols = [experiment(Scene(), [parse_method("identity")], seed=s).cells()[0].protocol for s in (0, 1)]
    assert protocols[0] == protocols[1]
    found = asdict(protocols[0])
    assert (found["noise"], found["draws"], found["rounding"]) == ("real", "captures", "clip01")
    assert "float" in found["metrics"]


@pytest.mark.parametrize(
    ("noise", "changes", "words"),
    [
        ("gauss25", {}, "holds real noisy captures, which go with --noise real only"),
        ("real", {"repeats": 4}, "holds 3 captures of image a, and --repeats asks for 4"),
    ],
)
def test_what_does_not_go_together_is_skipped(noise: str, changes: dict[str, Any], words: str) -> None:
    for cell in experiment(Scene(), [parse_method("identity"), parse_method("n2v")], noise, **changes).cells():
        assert cell.skip == words
        assert cell.job is None


def test_a_set_without_references_or_without_captures_is_skipped() -> None:
    hidden, clean = Scene(), Scene()
    hidden.referenced, clean.real = False, False
    skips = [experiment(data, [parse_method("identity")]).cells()[0].skip for data in (hidden, clean)]
    assert "denoisebench submit" in skips[0]
    assert "holds clean images only" in skips[1]
    assert not experiment(hidden, [parse_method("identity")], scored=False).cells()[0].skip


def test_training_data_must_go_with_the_noise() -> None:
    n2n, data, single = parse_method("n2n"), Scene(), Scene(captures=1)
    single.name = "single"
    (cell,) = experiment(data, [n2n], train_data=data).cells()
    assert cell.job is not None
    assert (cell.skip, cell.job.data["name"], cell.job.channels) == ("", "scene", 4)
    assert cell.job.stem.startswith("n2n-real-raw-")
    (cell,) = experiment(data, [n2n], train_data=single).cells()
    assert cell.skip == "needs two captures of one view, and single has views with only one"
    (cell,) = experiment(data, [n2n], train_data=Scene(1)).cells()
    assert cell.skip == "scene has 1 channels, scene 4"
    (cell,) = experiment(data, [n2n]).cells()
    assert "samples_train" in cell.skip or "captures" in cell.skip
    data.training = ""
    (cell,) = experiment(data, [n2n]).cells()
    assert cell.skip == "no training set of real captures is known for scene; name one with --train-data"
    with pytest.raises(UserError, match="leave it out"):
        Experiment([n2n], [REAL], [data], Recipe(Budget(1, "steps"), draws="fixed"))


TOLD_NOTHING = {
    "b2u",
    "n2v",
    "n2v2",
    "structn2v",
    "apbsn",
    "noise2fast",
    "noise2self",
    "nbr2nbr",
    "laine19_mu",
    "zsn2n",
    "self2self",
    "dip",
}
ESTIMATE = {"identity", "bm3d", "anscombe_bm3d", "nlm", "wnnm", "dbsn"}
TOLD_MORE = {"n2c", "n2n"}


@pytest.mark.parametrize("name", [n for n in METHODS.names() if METHODS.origin(n) == "built in"])
def test_who_takes_real_noise(name: str) -> None:
    method = parse_method(name)
    reason = method.unsuitable(REAL, 1)
    assert (reason is None) == (name in TOLD_NOTHING | ESTIMATE | TOLD_MORE), reason
    if reason is None:
        assert Need.LEVEL not in method.told("real")
        assert "noise model" not in method.told_in_words(REAL)
    assert METHODS.get(name).info.channels == (1, 3, 4)


def test_a_model_may_be_assumed() -> None:
    assumed = parse_method("laine19_pme[level=image,assume=poisson]")
    assert assumed.unsuitable(REAL, 4) is None
    assert assumed.told("real") == frozenset()
    assert "assume" in str(parse_method("laine19_pme[level=image]").unsuitable(REAL, 4))
    assert "level" in str(parse_method("laine19_pme[assume=gauss]").unsuitable(REAL, 4))


def test_the_mean_of_the_prior_is_the_network_without_the_pixel() -> None:
    both = [parse_method(f"laine19_pme[level=image,assume=gauss,output={o}]") for o in ("mean", "posterior")]
    assert both[0].settings(training_only=True) == both[1].settings(training_only=True)
    torch.manual_seed(0)
    assert isinstance(both[0], LearnedMethod)
    network, noisy = both[0].build(4), torch.rand(1, 4, 32, 32)
    results = []
    for method in both:
        assert isinstance(method, LearnedMethod)
        known = known_of(method, REAL, None)
        with torch.no_grad():
            results.append(method.denoise(network, noisy, known, torch.Generator()))
    with torch.no_grad():
        first: Any = both[0]
        mean, _ = first.prior(network, noisy)
    torch.testing.assert_close(results[0], mean)
    assert not torch.allclose(results[1], mean)


def batch_of(data: Scene, method: str, tmp_path: Path, batch: int = 4, step: int = 0) -> Any:
    found = parse_method(method)
    assert isinstance(found, LearnedMethod)
    recipe = Recipe(Budget(9, "steps"), batch=batch, crop=32)
    job = TrainingJob(found, REAL, recipe, data.channels, {"name": "scene", "sha256": "0"}, {}, "cpu")
    run = _Run(job, data, tmp_path / "x.ckpt", "cpu", ProcessGroup())
    run._done = step
    data.looked.clear()
    return run._batch()


def places(data: Scene, crops: torch.Tensor, of: str) -> list[tuple[str, int, int, int]]:
    """Where each crop was cut: view, capture, row, column."""
    found = []
    for crop in crops:
        target = crop.permute(1, 2, 0).numpy()
        for image in data.images:
            for index in range(CAPTURES if of == "capture" else 1):
                whole = to_float(data.noisy[image][index] if of == "capture" else data.clean[image])
                for top in range(SIDE - 31):
                    for left in range(SIDE - 31):
                        if np.array_equal(whole[top : top + 32, left : left + 32], target):
                            found.append((image, index, top, left))
    assert len(found) == len(crops)
    return found


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_two_captures_of_one_view_at_one_place(kind: type, tmp_path: Path) -> None:
    data = Scene(1, kind)
    batch = batch_of(data, "n2n", tmp_path)
    first, second = places(data, batch.noisy, "capture"), places(data, batch.second, "capture")
    for one, other in zip(first, second, strict=True):
        assert (one[0], one[2:]) == (other[0], other[2:])
        assert one[1] != other[1]
    assert {what for what, *_ in data.looked} == {"capture"}


def test_clean_crops_only_for_who_is_told(tmp_path: Path) -> None:
    data = Scene()
    batch = batch_of(data, "n2c", tmp_path)
    noisy, clean = places(data, batch.noisy, "capture"), places(data, batch.clean, "reference")
    assert [(p[0], p[2:]) for p in noisy] == [(p[0], p[2:]) for p in clean]
    batch = batch_of(data, "b2u[ramp_start=none]", tmp_path)
    assert places(data, batch.noisy, "capture") == noisy, "all methods see the same crops"
    assert {what for what, *_ in data.looked} == {"capture"}, "no reference is even loaded"
    assert batch.known.ranged
    for forbidden in ("clean", "second"):
        with pytest.raises(ContractError):
            getattr(batch, forbidden)
    with pytest.raises(ContractError):
        _ = batch.known.level


def test_an_epoch_takes_every_capture_once(tmp_path: Path) -> None:
    data, seen = Scene(1), []
    for step in range(3):
        batch_of(data, "n2v", tmp_path, batch=2, step=step)
        seen += [(image, index) for _, image, index in data.looked]
    assert sorted(seen) == [(image, index) for image in "ab" for index in range(CAPTURES)]


def test_small_captures_are_padded_for_their_crops(tmp_path: Path) -> None:
    data = Scene(1)
    for image in data.images:
        data.noisy[image] = [noisy[:20, :24] for noisy in data.noisy[image]]
    assert batch_of(data, "n2v", tmp_path).noisy.shape == (4, 1, 32, 32)


def test_weights_for_real_noise_fit_their_data_set_alone(tmp_path: Path) -> None:
    from denoisebench.training.weights import Shelf, stem_of, write_weights

    method = parse_method("n2v[network=dncnn]")
    assert isinstance(method, LearnedMethod)
    record = {
        "method": "n2v", "settings": method.settings(training_only=True), "noise": "real", "channels": 4,
        "summary": "2 steps", "data": {"name": "scene"},
    }  # fmt: skip
    stem = stem_of(method, "real", 4, "scene")
    assert stem.startswith("n2v-real-scene-raw-")
    write_weights(tmp_path, stem, method.build(4).state_dict(), record, half=False)
    shelf = Shelf([tmp_path])
    assert shelf.find(method, "real", 4, "scene") is not None
    assert shelf.find(method, "real", 4, "other") is None
    data = Scene()
    (cell,) = experiment(data, [method], train_data=data, shelf=shelf).cells()
    assert isinstance(cell.preparation, TrainedNetwork)


def test_a_released_network_for_real_noise_says_what_it_was_trained_on(tmp_path: Path) -> None:
    from denoisebench.networks import build_network
    from denoisebench.publishing.released import _b2u_names, import_released
    from denoisebench.training.weights import Shelf

    state = build_network("unet_b2u", 4, 4).state_dict()
    names = [(f"{b}.{kind}", f"{a}.{kind}") for a, b in _b2u_names() for kind in ("weight", "bias")]
    torch.save({theirs: state[ours] for ours, theirs in names}, tmp_path / "x.pth")
    method = parse_method("b2u[stride=4,network=unet_b2u]")
    assert isinstance(method, LearnedMethod)
    with pytest.raises(UserError, match="--train-data names"):
        import_released(tmp_path / "x.pth", method, "real", tmp_path / "w")
    import_released(tmp_path / "x.pth", method, "real", tmp_path / "w", "sidd_raw_medium")
    assert Shelf([tmp_path / "w"]).find(method, "real", 4, "sidd_raw_medium") is not None
