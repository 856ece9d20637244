"""SIDD raw-RGB from MATLAB files of both versions with their true keys, trained on, scored and submitted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from denoisebench.core.errors import UserError
from denoisebench.data.dataset import DataSet
from denoisebench.data.matfiles import MatImage, mat_shapes, read_mat
from denoisebench.data.sidd_raw import RawBlocks, RawScenes
from denoisebench.plugins.lookup import find_dataset
from denoisebench.protocol.images import pack_bayer

SHAPE = (2, 3, 24, 28)
NOISY, CLEAN, BENCHMARK = "ValidationNoisyBlocksRaw", "ValidationGtBlocksRaw", "BenchmarkNoisyBlocksRaw"


def save73(path: Path, key: str, values: np.ndarray) -> None:
    """As MATLAB does: 512 bytes of text, then HDF5 with the axes the other way round."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset(key, data=values.T, chunks=True, compression="gzip")
    with path.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512))


@pytest.fixture
def blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The three files of blocks, small."""
    monkeypatch.setattr(RawBlocks, "shape", SHAPE)
    rng = np.random.default_rng(0)
    clean = np.broadcast_to(np.linspace(0.1, 0.5, SHAPE[3], dtype=np.float32), SHAPE).copy()
    folder = tmp_path / "sidd_raw"
    folder.mkdir()
    for key in (NOISY, BENCHMARK):
        savemat(
            folder / f"{key}.mat",
            {key: clean + 0.01 * rng.standard_normal(SHAPE).astype(np.float32)},
            do_compression=True,
        )
    savemat(folder / f"{CLEAN}.mat", {CLEAN: clean})
    return tmp_path


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """SIDD Medium with two scenes of two frames, in folders as they come."""
    rng = np.random.default_rng(1)
    for scene in ("0001", "0002"):
        for frame in ("010", "011"):
            folder = tmp_path / "SIDD_Medium_Raw" / "Data" / f"{scene}_001_S6_00100_00060_3200_L"
            clean = rng.uniform(0.1, 0.5, (72, 84)).astype(np.float32)
            save73(folder / f"{scene}_GT_RAW_{frame}.MAT", "x", clean)
            save73(folder / f"{scene}_NOISY_RAW_{frame}.MAT", "x", clean + np.float32(0.25))
    return tmp_path


def get(name: str, root: Path) -> DataSet:
    return find_dataset(name, [root])


def test_blocks_by_image_and_block(blocks: Path) -> None:
    data = get("sidd_raw_validation", blocks)
    data.verify()
    assert list(data.images) == ["00-00", "00-01", "00-02", "01-00", "01-01", "01-02"]
    stored = {key: loadmat(blocks / "sidd_raw" / f"{key}.mat")[key] for key in (NOISY, CLEAN)}
    np.testing.assert_array_equal(data.capture("01-02", 0), pack_bayer(stored[NOISY][1, 2][:, :, None]))
    np.testing.assert_array_equal(data.reference("01-02", 0), pack_bayer(stored[CLEAN][1, 2][:, :, None]))
    assert (data.channels, data.captures("00-00"), data.scoring) == (4, 1, "raw")


def test_the_true_sets_have_1280_blocks() -> None:
    data = get("sidd_raw_validation", Path("/nowhere"))
    assert len(data.images) == 1280 == RawBlocks.count
    assert RawBlocks.shape == (40, 32, 256, 256)


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_both_versions_read_alike(version: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(size=(2, 3, 4, 6)).astype(np.float32)
    path = tmp_path / "a.mat"
    savemat(path, {"blocks": values}) if version == "5" else save73(path, "blocks", values)
    np.testing.assert_array_equal(read_mat(path, "blocks"), values)
    assert mat_shapes(path) == {"blocks": (2, 3, 4, 6)}
    with pytest.raises(UserError, match=r"a\.mat has no key 'x'; it holds blocks"):
        read_mat(path, "x")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"a\.mat is truncated or no MATLAB file .* key blocks"):
        read_mat(path, "blocks")


def wrong_key(folder: Path) -> None:
    savemat(folder / f"{CLEAN}.mat", {"x": np.zeros(SHAPE, np.float32)})


def wrong_count(folder: Path) -> None:
    savemat(folder / f"{CLEAN}.mat", {CLEAN: np.zeros((2, 2, 24, 28), np.float32)})


def absent(folder: Path) -> None:
    (folder / f"{NOISY}.mat").unlink()


def no_mat(folder: Path) -> None:
    (folder / f"{NOISY}.mat").write_bytes(b"<html>not found</html>" * 20)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (wrong_key, rf"{CLEAN}\.mat holds no {CLEAN}, but x"),
        (wrong_count, rf"{CLEAN}\.mat: {CLEAN} holds 2x2x24x28 values instead of 2x3x24x28"),
        (absent, rf"needs .*{NOISY}\.mat, which is not there"),
        (no_mat, rf"{NOISY}\.mat is truncated or no MATLAB file"),
    ],
)
def test_damaged_files_are_named(harm: Callable[[Path], None], words: str, blocks: Path) -> None:
    harm(blocks / "sidd_raw")
    with pytest.raises(UserError, match=words):
        get("sidd_raw_validation", blocks).verify()


def test_a_file_cut_off_in_its_data_is_named_where_it_is_read(blocks: Path) -> None:
    path = blocks / "sidd_raw" / f"{NOISY}.mat"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=rf"{NOISY}\.mat is truncated .* its key {NOISY}"):
        get("sidd_raw_validation", blocks).capture("00-00", 0)


def test_frames_are_cut_out_as_matlab_has_them(scenes: Path) -> None:
    data = get("sidd_raw_medium", scenes)
    data.verify()
    assert isinstance(data, RawScenes)
    assert (list(data.images), data.captures("0001")) == (["0001", "0002"], 2)
    assert data.extent == "2 of 160 scenes"
    path = next((scenes / "SIDD_Medium_Raw").rglob("0001_NOISY_RAW_011.MAT"))
    whole = pack_bayer(read_mat(path, "x")[:, :, None])
    capture = data.capture("0001", 1)
    assert capture.shape == whole.shape == (36, 42, 4)
    np.testing.assert_array_equal(capture[4:20, 7:23], whole[4:20, 7:23])
    np.testing.assert_array_equal(capture[:, :], whole)
    np.testing.assert_array_equal(np.asarray(capture), whole)
    difference = capture[4:20, 7:23] - data.reference("0001", 1)[4:20, 7:23]
    np.testing.assert_allclose(difference, 0.25, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("key", r"0002_GT_RAW_010\.MAT has no key 'x'; it holds y"),
        ("size", r"0002_NOISY_RAW_010\.MAT and .*0002_GT_RAW_010\.MAT differ in size"),
        ("odd", r"0002_GT_RAW_010\.MAT: x is float32 \(71, 84\), not a mosaic of two even sides"),
        ("cut", r"0002_GT_RAW_010\.MAT is truncated or no MATLAB file .*key x"),
        ("gone", r"The reference .*0002_GT_RAW_010\.MAT of 0002_NOISY_RAW_010\.MAT is missing"),
        ("old", r"0002_GT_RAW_010\.MAT is no MATLAB 7\.3 file"),
    ],
)
def test_damaged_frames_are_named(change: str, words: str, scenes: Path) -> None:
    path = next((scenes / "SIDD_Medium_Raw").rglob("0002_GT_RAW_010.MAT"))
    if change == "cut":
        path.write_bytes(path.read_bytes()[:-300])
    else:
        path.unlink()
    zeros = np.zeros((71 if change == "odd" else 72, 82 if change == "size" else 84), np.float32)
    if change in ("key", "size", "odd"):
        save73(path, "y" if change == "key" else "x", zeros)
    if change == "old":
        savemat(path, {"x": zeros})
    with pytest.raises(UserError, match=words):
        get("sidd_raw_medium", scenes).verify()


def test_h5py_is_asked_for_by_name(scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "h5py", None)
    path = next((scenes / "SIDD_Medium_Raw").rglob("*.MAT"))
    with pytest.raises(UserError, match=r"needs the package h5py: pip install 'denoisebench\[raw\]'"):
        MatImage(path, "x")


def test_table_3_is_measured_where_it_can_be(command: Callable[..., Any], blocks: Path, scenes: Path) -> None:
    assert blocks == scenes
    out = blocks / "out"
    common = ("--budget", "2steps", "--crop", 32, "--data-root", blocks, "--out", out)
    ran = command("table", 3, "--methods", "n2c[network=dncnn],n2n[network=dncnn],nlm,r2r", *common)
    assert ran.code == 0, ran.err
    assert "sidd_raw_validation: 6 images, draws captures, padding side, scored as floats, not rounded" in ran.out
    assert ran.out.count("Not measured: SIDD Benchmark (raw): its references are not public") == 1
    n2c = next(line for line in ran.out.splitlines() if "| N2C" in line)
    # The published value, 50.60/0.991, is that of another network.
    assert ("50.60" in n2c, "50.60/0.991" in command("paper", 3).out) == (False, True)
    assert "2 of 160 scenes" in n2c
    assert len(list((out / "models").glob("*-real-raw-*.safetensors"))) == 2
    scored = (out / "scores.csv").read_text().splitlines()
    assert len(scored) == 1 + 6 * 4
    noisy = [float(line.split(",")[5]) for line in scored if line.startswith("identity,")]
    assert np.mean(noisy) == pytest.approx(40.0, abs=0.3), "sigma of 0.01 on a range of 1"


def test_a_submission_is_written_and_goes_on_where_it_was(
    command: Callable[..., Any],
    blocks: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from denoisebench.evaluation.evaluate import denoise
    from denoisebench.publishing import submission

    out, calls = blocks / "out", list[object]()

    def stopping(*arguments: Any) -> object:
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return denoise(*arguments)

    monkeypatch.setattr(submission, "denoise", stopping)
    order = ("submit", "--methods", "nlm", "--data-root", blocks, "--out", out)
    assert command(*order).code == 130
    ran = command(*order)
    assert ran.code == 0, ran.err
    assert len(calls) == 4 + 3, "three of six blocks were kept"
    path = Path(ran.out.strip())
    assert path.name == "SubmitRaw.mat"
    assert {p.name for p in path.parent.iterdir()} == {path.name, ".denoisebench-files.json"}
    found = loadmat(path, squeeze_me=True)
    assert found["DenoisedBlocksRaw"].shape == SHAPE
    assert found["DenoisedBlocksRaw"].dtype == np.float32
    noisy = loadmat(blocks / "sidd_raw" / f"{BENCHMARK}.mat")[BENCHMARK]
    assert 0 < np.abs(found["DenoisedBlocksRaw"] - noisy).mean() < 0.02
    assert found["TimeMPRaw"] > 0
    assert found["OptionalData"]["MethodName"] == "NLM"
    assert command(*order).code == 0
    assert len(calls) == 7


def test_nothing_is_submitted_where_no_server_is(command: Callable[..., Any]) -> None:
    ran = command("submit", "--methods", "nlm", "--datasets", "samples")
    assert ran.code == 2
    assert "'samples' has no server" in ran.err


# --- what a file holds is judged before it is used ---


@pytest.mark.parametrize("version", ["5", "7.3"])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda x: np.where(x > x.max() * 0.999, np.nan, x), r"holds [\d,]+ values of 4,032 that are NaN or infinite"),
        (lambda x: x * 1023, "reaches from .*; it should lie in 0..1"),
        (lambda x: (x * 100).astype(np.int16), "is of type int16; allowed are floats"),
    ],
)
def test_values_that_are_no_light_are_refused(
    version: str, spoil: Callable[[np.ndarray], np.ndarray], words: str, blocks: Path
) -> None:
    data = get("sidd_raw_validation", blocks)
    values = spoil(read_mat(blocks / "sidd_raw" / f"{NOISY}.mat", NOISY))
    if version == "5":
        savemat(blocks / "sidd_raw" / f"{NOISY}.mat", {NOISY: values})
    else:
        save73(blocks / "sidd_raw" / f"{NOISY}.mat", NOISY, values)
    with pytest.raises(UserError, match=words) as caught:
        data.capture("00-00", 0)
    assert f"{NOISY}.mat" in str(caught.value)
    assert data.load("00-00").shape == (12, 14, 4), "the references are intact"


def test_blocks_that_are_replaced_after_they_were_hashed_are_refused(blocks: Path) -> None:
    data = get("sidd_raw_validation", blocks)
    _ = data.data_hash
    savemat(blocks / "sidd_raw" / f"{NOISY}.mat", {NOISY: np.full(SHAPE, 0.5, np.float32)})
    with pytest.raises(UserError, match=f"{NOISY}.mat was changed while this run used it"):
        data.capture("00-00", 0)


def test_a_frame_with_nan_is_refused_where_it_is_read(scenes: Path) -> None:
    (path,) = scenes.rglob("0001_NOISY_RAW_010.MAT")
    values = np.full((72, 84), 0.5, np.float32)
    values[3, 5] = np.nan
    save73(path, "x", values)
    capture = get("sidd_raw_medium", scenes).capture("0001", 0)
    assert capture[4:10, 4:10].shape == (6, 6, 4)
    with pytest.raises(UserError, match=r"0001_NOISY_RAW_010.MAT: a part of x holds 1 values of 144 that are NaN"):
        _ = capture[0:6, 0:6]


def test_frames_of_whole_numbers_are_scaled_to_white(scenes: Path) -> None:
    (path,) = scenes.rglob("0001_NOISY_RAW_010.MAT")
    save73(path, "x", np.full((72, 84), 65535, np.uint16))
    assert np.asarray(get("sidd_raw_medium", scenes).capture("0001", 0)[0:4, 0:4]).max() == 1.0


def test_a_frame_that_is_replaced_in_the_middle_is_refused(scenes: Path) -> None:
    data = get("sidd_raw_medium", scenes)
    capture = data.capture("0001", 0)
    (path,) = scenes.rglob("0001_NOISY_RAW_010.MAT")
    save73(path, "x", np.full((72, 84), 0.25, np.float32))
    uses: tuple[Callable[[], object], ...] = (lambda: capture[0:4, 0:4], lambda: data.capture("0001", 0))
    for use in uses:
        with pytest.raises(UserError, match="was changed while this run used it"):
            use()


def lone_reference(scenes: Path) -> None:
    next(scenes.rglob("0001_NOISY_RAW_011.MAT")).unlink()


def twice(scenes: Path) -> None:
    save73(scenes / "SIDD_Medium_Raw" / "copy" / "0001_NOISY_RAW_010.MAT", "x", np.ones((72, 84), np.float32))


@pytest.mark.parametrize(
    ("harm", "words"),
    [(lone_reference, "0001_GT_RAW_011.MAT has no noisy frame beside it"), (twice, "one scene; keep one of them")],
)
def test_frames_that_are_no_pair_are_named(harm: Callable[[Path], None], words: str, scenes: Path) -> None:
    harm(scenes)
    with pytest.raises(UserError, match=words):
        _ = get("sidd_raw_medium", scenes).images


def test_files_of_a_mac_among_the_frames_are_nobodys(scenes: Path) -> None:
    (path,) = scenes.rglob("0001_NOISY_RAW_010.MAT")
    path.with_name(f"._{path.name}").touch()
    (path.parent / "__MACOSX").mkdir()
    (path.parent / "__MACOSX" / path.name).touch()
    assert get("sidd_raw_medium", scenes).captures("0001") == 2


def test_an_array_in_another_file_is_not_followed(tmp_path: Path) -> None:
    """HDF5 can point into other files, which nobody hashed."""
    save73(tmp_path / "secret.mat", "x", np.ones((4, 6)))
    with h5py.File(tmp_path / "link.mat", "w") as file:
        file["x"] = h5py.ExternalLink("secret.mat", "/x")
    with h5py.File(tmp_path / "virtual.mat", "w") as file:
        layout = h5py.VirtualLayout((6, 4), np.float64)
        layout[:] = h5py.VirtualSource(str(tmp_path / "secret.mat"), "x", (6, 4))
        file.create_virtual_dataset("x", layout)
    with h5py.File(tmp_path / "raw.mat", "w") as file:
        file.create_dataset("x", (6, 4), np.float64, external=[("secret.mat", 0, 192)])
    for name, words in (("link", "has no key 'x'"), ("virtual", "lies in other files"), ("raw", "lies in other files")):
        with pytest.raises(UserError, match=words):
            read_mat(tmp_path / f"{name}.mat", "x")
    assert mat_shapes(tmp_path / "link.mat") == {}
