"""SIDD raw-RGB: Bayer mosaics of five phones, read from MATLAB files and packed into four channels.

    ValidationNoisyBlocksRaw.mat, ValidationGtBlocksRaw.mat, BenchmarkNoisyBlocksRaw.mat
        key = name of the file, (40 images, 32 blocks, 256, 256), 0..1
    Data/SCENE/NNNN_NOISY_RAW_010.MAT, NNNN_GT_RAW_010.MAT, and ..._011.MAT      key = x, 0..1, MATLAB 7.3

The phones have different Bayer patterns and the blocks do not say which, so channels are places in a 2x2
cell, not colours. Source: Abdelhamed, Lin, Brown, A High-Quality Denoising Dataset for Smartphone Cameras, CVPR
2018, https://www.eecs.yorku.ca/~kamel/sidd/.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from denoisebench.core.errors import UserError, unknown
from denoisebench.core.files import file_sha256
from denoisebench.core.systemfiles import is_system_file
from denoisebench.data.dataset import FolderSet, MissingData, changed
from denoisebench.data.manifest import Entry
from denoisebench.data.matfiles import MatImage, mat_shapes, read_mat
from denoisebench.protocol.images import AnyImage, FloatImage, pack_bayer, unpack_bayer

SOURCE = "https://www.eecs.yorku.ca/~kamel/sidd/"
LICENCE = "see the source page (its code: MIT)"
_FRAME = re.compile(r"(?P<scene>\d+)_NOISY_RAW_(?P<frame>\d+)\.mat", re.IGNORECASE)
_REFERENCE = re.compile(r"\d+_GT_RAW_\d+\.mat", re.IGNORECASE)
# Of a file too large to hash in every run, so much at three places.
_SAMPLE = 2**16


class RawSet(FolderSet):
    """What all sets of raw images share; no hashes of their files are known, so nothing is listed by them."""

    channels = 4
    scoring = "raw"
    real = True
    source = SOURCE
    licence = LICENCE

    @cached_property
    def entries(self) -> list[Entry]:
        return []


class RawBlocks(RawSet):
    """Blocks of 256x256 pixels in one MATLAB file, their references in another; an image is one block.

    Ids are ``IMAGE-BLOCK``, counted from zero.
    """

    submittable = True
    folders = ("sidd_raw", "SIDD_raw", "SIDD")
    count = 1280
    #: File names without extension, which are the keys too; no references where they are not public.
    noisy: ClassVar[str]
    clean: ClassVar[str] = ""
    #: Images, blocks, height and width.
    shape: ClassVar[tuple[int, int, int, int]] = (40, 32, 256, 256)

    @property
    def images(self) -> list[str]:
        count, blocks = self.shape[:2]
        return [f"{image:02d}-{block:02d}" for image in range(count) for block in range(blocks)]

    def captures(self, image: str) -> int:
        return 1

    def capture(self, image: str, index: int) -> AnyImage:
        return self._block(self.noisy, image)

    def load(self, image: str) -> AnyImage:
        if not self.clean:
            raise UserError(f"The references of data set {self.name!r} are not public.")
        return self._block(self.clean, image)

    def submission(self, results: FloatImage, seconds: float, label: str) -> Mapping[str, Any]:
        """Mosaics (40, 32, 256, 256) as single precision in 0..1, seconds per megapixel, and the method's name."""
        mosaics = np.stack([unpack_bayer(planes)[:, :, 0] for planes in results]).reshape(self.shape)
        return {
            "DenoisedBlocksRaw": np.clip(mosaics, 0.0, 1.0).astype(np.float32),
            "TimeMPRaw": seconds * 1024**2 / mosaics.size,
            "OptionalData": {"MethodName": label, "Authors": "", "PaperTitle": "", "Venue": ""},
        }

    def _block(self, key: str, image: str) -> AnyImage:
        position = self._positions.get(image)
        if position is None:
            raise unknown(f"image of data set {self.name!r}", image, self._positions)
        if key not in self._arrays:
            array = read_mat(self._file(key), key, self._file_hashes[key])
            self._check_shape(key, array.shape)
            self._check_range(key, array)
            self._arrays[key] = array
        return pack_bayer(self._arrays[key][position][:, :, None])

    @cached_property
    def _positions(self) -> dict[str, tuple[int, int]]:
        return {image: divmod(number, self.shape[1]) for number, image in enumerate(self.images)}

    @cached_property
    def _arrays(self) -> dict[str, npt.NDArray[np.float32]]:
        return {}

    @property
    def _keys(self) -> list[str]:
        return [self.noisy, *([self.clean] if self.clean else [])]

    def _file(self, key: str) -> Path:
        path = self.folder / f"{key}.mat"
        if not path.is_file():
            raise MissingData(
                f"Data set {self.name!r} needs {path}, which is not there. Get it from {self.source} "
                f"(for raw-RGB) and put it there."
            )
        return path

    def _check_shape(self, key: str, shape: tuple[int, ...]) -> None:
        if shape != self.shape:
            expected, found = ("x".join(map(str, sides)) for sides in (self.shape, shape))
            raise UserError(
                f"File {self._file(key)}: {key} holds {found} values instead of {expected} (images, blocks, height, "
                f"width): damaged or another version. Get it from {self.source}"
            )

    def _check_range(self, key: str, array: npt.NDArray[Any]) -> None:
        """White is 1.0, and noise reaches a little beyond; counts of a sensor would be scored as if they were light."""
        low, high = float(array.min()), float(array.max())
        if array.dtype.kind == "f" and not -1 <= low <= high <= 2:
            raise UserError(
                f"File {self._file(key)}: {key} reaches from {low:g} to {high:g}; it should lie in 0..1. Get it from "
                f"{self.source}"
            )

    def verify(self) -> None:
        for key in self._keys:
            shapes = mat_shapes(self._file(key))
            if key not in shapes:
                raise UserError(
                    f"File {self._file(key)} holds no {key}, but {', '.join(shapes) or 'nothing'}: is it renamed? "
                    f"Get it from {self.source}"
                )
            self._check_shape(key, shapes[key])

    @property
    def note(self) -> str:
        return (
            f"Data set {self.name!r} is unverified: the number and the size of its blocks fit, their content is not "
            "checked because no hash of the original files is shipped."
        )

    @cached_property
    def data_hash(self) -> str:
        return hashlib.sha256(" ".join(self._file_hashes.values()).encode()).hexdigest()

    @cached_property
    def _file_hashes(self) -> dict[str, str]:
        return {key: file_sha256(self._file(key)) for key in self._keys}


class RawScenes(RawSet):
    """Full frames of SIDD Medium, one view per scene with its two captures, each with a reference of its own.

    Frames are of 10 to 16 megapixels: nothing is read but what is cut out. MATLAB's order of axes is restored, so that
    rows are rows as in the blocks; the released code trains on transposed frames.
    """

    folders = ("sidd_raw_medium", "SIDD_Medium_Raw", "SIDD_Medium_Raw_Parts")
    count = 160
    how = "Unpack it as it is; scenes are found at any depth, and a part of them will do."

    @cached_property
    def _scenes(self) -> dict[str, list[tuple[Path, Path]]]:
        """Noisy and reference files by scene, frames in order."""
        scenes: dict[str, list[tuple[Path, Path]]] = {}
        files = [path for path in sorted(self.folder.rglob("*")) if path.suffix.lower() == ".mat" and self._ours(path)]
        frames: dict[tuple[str, str], Path] = {}
        every, used = set(files), set()
        for noisy in files:
            match = _FRAME.fullmatch(noisy.name)
            if match is None:
                continue
            twin = frames.setdefault((match["scene"], match["frame"]), noisy)
            if twin != noisy:
                raise UserError(f"Files {twin} and {noisy} are both {noisy.stem} of one scene; keep one of them.")
            clean = noisy.with_name(re.sub("NOISY", "GT", noisy.name, flags=re.IGNORECASE))
            if clean not in every:
                raise UserError(f"The reference {clean} of {noisy.name} is missing. Get it from {self.source}")
            used.add(clean)
            scenes.setdefault(match["scene"], []).append((noisy, clean))
        lone = [path for path in files if _REFERENCE.fullmatch(path.name) and path not in used]
        if lone:
            raise UserError(f"The reference {lone[0]} has no noisy frame beside it. Get it from {self.source}")
        if not scenes:
            raise UserError(f"Folder {self.folder} holds no NNNN_NOISY_RAW_NNN.MAT file. Get them from {self.source}")
        return scenes

    def _ours(self, path: Path) -> bool:
        """Whether a path below the folder is no system file, and in none of a system's folders."""
        return not any(map(is_system_file, path.relative_to(self.folder).parts))

    @property
    def images(self) -> list[str]:
        return list(self._scenes)

    def captures(self, image: str) -> int:
        return len(self._scenes[image])

    def capture(self, image: str, index: int) -> AnyImage:
        return self._mosaic(self._scenes[image][index][0])

    def reference(self, image: str, index: int) -> AnyImage:
        return self._mosaic(self._scenes[image][index][1])

    def load(self, image: str) -> AnyImage:
        return self.reference(image, 0)

    def verify(self) -> None:
        for frames in self._scenes.values():
            for noisy, clean in frames:
                shapes = [MatImage(path, "x").shape for path in (noisy, clean)]
                if shapes[0] != shapes[1]:
                    raise UserError(
                        f"{noisy} and {clean} differ in size: x is {shapes[0]} and {shapes[1]} when packed."
                    )

    @property
    def extent(self) -> str:
        return "" if len(self._scenes) == self.count else f"{len(self._scenes)} of {self.count} scenes"

    @property
    def note(self) -> str:
        here = self.extent or "all scenes"
        return f"Data set {self.name!r} is unverified: {here}, no hash of the original files is shipped."

    @property
    def data_hash(self) -> str:
        """SHA-256 over names, sizes, and samples of every file: all of it would be 10 GB in every run."""
        return self._hashes[0]

    @cached_property
    def _hashes(self) -> tuple[str, dict[Path, str]]:
        """`data_hash`, and the same of every single file."""
        whole, each = hashlib.sha256(), {}
        for path in (path for frames in self._scenes.values() for frame in frames for path in frame):
            sample = _sample(path)
            whole.update(sample)
            each[path] = hashlib.sha256(sample).hexdigest()
        return whole.hexdigest(), each

    def _mosaic(self, path: Path) -> AnyImage:
        """A file that is what it was when it was hashed, and stays so while it is in use."""
        if hashlib.sha256(_sample(path)).hexdigest() != self._hashes[1][path]:
            raise changed(path)
        first = _times(path)

        def unchanged() -> None:
            if _times(path) != first:
                raise changed(path)

        # It stands for an array: it is sliced, and has a shape and a type.
        return cast("AnyImage", MatImage(path, "x", unchanged))


def _sample(path: Path) -> bytes:
    """Name, size, and what stands at three places of a file."""
    try:
        size = path.stat().st_size
        parts = [f"{path.name} {size}".encode()]
        with path.open("rb") as stream:
            for start in (0, size // 2, max(0, size - _SAMPLE)):
                stream.seek(start)
                parts.append(stream.read(_SAMPLE))
    except OSError as error:
        raise UserError(f"File {path} cannot be read ({error.strerror or error}).") from None
    return b"".join(parts)


def _times(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
