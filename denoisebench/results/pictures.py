"""Pictures that a run keeps: clean, noisy and denoised images under ``images/`` of a results folder.

    images/kodak/gauss25-1f0c2a9b/clean/kodim01.png
    images/kodak/gauss25-1f0c2a9b/noisy/kodim01-0.png
    images/kodak/gauss25-1f0c2a9b/b2u[stride=2]-7b1d55e0/kodim01-0.png

Behind the noise stands the beginning of the protocol's fingerprint, behind the method that of the cell's key, so that
runs that differ in anything share a folder. A number counts noisy copies. PNG holds what 8-bit scoring scores, to the
bit; TIFF holds the floats of other sets, or of all where they are asked for.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from denoisebench.core.errors import UserError, unknown
from denoisebench.core.files import make_folder, read_bytes, write_bytes
from denoisebench.core.provenance import fingerprint
from denoisebench.core.text import file_part
from denoisebench.protocol.images import MOST_BYTES, AnyImage, FloatImage, decode_image, to_float, to_uint8
from denoisebench.protocol.metrics import SCORINGS, UINT8, Scoring
from denoisebench.protocol.noise import REAL
from denoisebench.results.store import StoredCell

FOLDER = "images"
KINDS = CLEAN, NOISY, RESULT = "clean", "noisy", "result"
PNG, TIFF = "png", "tiff"
FORMS = ("auto", PNG, TIFF)
_SUFFIXES = {PNG: ".png", TIFF: ".tif"}
#: Differences of floating-point arithmetic in dB: other libraries, other processors.
ROUNDING = 1e-3


@dataclass(frozen=True)
class Saving:
    """Which images of a run are kept.

    Parameters
    ----------
    count : int | None
        So many images of each test set, the first ones, with all their noisy copies; None for all.
    form : str
        'png', 'tiff', or 'auto': PNG where 8-bit images are scored, else TIFF.
    """

    count: int | None
    form: str = "auto"

    def form_of(self, scoring: Scoring, channels: int) -> str:
        """PNG or TIFF for the images of a test set; raises `UserError`."""
        fits = channels in (1, 3)
        if self.form == PNG and not fits:
            raise UserError(f"--image-format png: a PNG cannot hold {channels} channels; use tiff or auto.")
        return self.form if self.form != "auto" else PNG if fits and scoring is UINT8 else TIFF


def parse_saving(text: str, form: str = "auto") -> Saving:
    """What ``--save-images`` and ``--image-format`` say; raises `UserError`."""
    if form not in FORMS:
        raise unknown("format of images", form, FORMS)
    if text == "all":
        return Saving(None, form)
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 10**9):
        raise UserError(f"--save-images {text}: give a number of images from 1, such as 3, or all.")
    return Saving(int(text), form)


@dataclass(frozen=True)
class Place:
    """Where the pictures of one image of a cell are.

    Parameters
    ----------
    root : Path
        ``images`` of the results folder.
    protocol : Mapping[str, Any]
        Of the cell, as stored.
    method, key : str
        The method with its settings, and the cell's key.
    image, repeat : str, int
        The noisy image.
    """

    root: Path
    protocol: Mapping[str, Any]
    method: str
    key: str
    image: str
    repeat: int

    def path(self, kind: str, form: str) -> Path:
        """The file of one kind of picture."""
        noise = file_part(f"{self.protocol['noise']}-{fingerprint(self.protocol)[:8]}")
        folder = f"{file_part(self.method)}-{self.key[:8]}" if kind == RESULT else kind
        # A capture of real noise may have a reference of its own.
        single = kind == CLEAN and self.protocol["noise"] != REAL.id
        name = file_part(self.image) + ("" if single else f"-{self.repeat}") + _SUFFIXES[form]
        return self.root / file_part(str(self.protocol["dataset"])) / noise / folder / name

    def absent(self, kinds: Sequence[str], form: str) -> tuple[str, ...]:
        """The kinds whose files are not there."""
        return tuple(kind for kind in kinds if not self.path(kind, form).exists())

    def write(self, pictures: Mapping[str, bytes], form: str) -> None:
        """Write encoded pictures whole; a file that is there stays. Raises `CannotWrite`."""
        for kind in self.absent(list(pictures), form):
            path = self.path(kind, form)
            make_folder(path.parent)
            write_bytes(path, pictures[kind])


def place_of(results: Path, cell: StoredCell, image: str, repeat: int) -> Place:
    """Where the pictures of a stored cell are, if they were kept."""
    return Place(results / FOLDER, cell.identity["protocol"], str(cell.about["text"]), cell.key, image, repeat)


def encoded(image: AnyImage, form: str) -> bytes:
    """An image (H, W, C) as the bytes of a file, the same every time: rounded to 8 bits as scored, or float32."""
    stream = io.BytesIO()
    flat = image[:, :, 0] if image.shape[2] == 1 else image
    if form == PNG:
        from PIL import Image

        rounded = flat if flat.dtype == np.uint8 else to_uint8(to_float(flat))
        Image.fromarray(np.ascontiguousarray(rounded)).save(stream, "PNG")
        return stream.getvalue()
    import tifffile

    kind = "rgb" if image.shape[2] == 3 else "minisblack"
    floats = np.ascontiguousarray(to_float(flat))
    tifffile.imwrite(stream, floats, photometric=kind, planarconfig="contig", metadata=None, software=False)
    return stream.getvalue()


@dataclass(frozen=True)
class Kept:
    """The pictures of one image of a cell, read back.

    Parameters
    ----------
    clean, noisy, result : AnyImage or FloatImage
        (H, W, C); the clean image of the type it was scored in.
    """

    clean: AnyImage
    noisy: FloatImage
    result: FloatImage


def kept(results: Path, cell: StoredCell, image: str, repeat: int) -> Kept | None:
    """The pictures that a run has kept of a scored image, if they have the score that is stored.

    None where one is missing, cannot be read, or was altered: then the image has to be made again.
    """
    place, row = place_of(results, cell, image, repeat), cell.rows.get((image, repeat))
    if row is None:
        return None
    clean, noisy, result = (_read(place, kind) for kind in KINDS)
    if clean is None or noisy is None or result is None or not clean.shape == noisy.shape == result.shape:
        return None
    found = Kept(clean, to_float(noisy), to_float(result))
    psnr, _ = scoring_of(cell).score(found.result, clean)
    return found if psnr == row.psnr or abs(psnr - row.psnr) <= ROUNDING else None


def are_kept(results: Path, cell: StoredCell, image: str, repeat: int) -> bool:
    """Whether there are files under the names of all pictures of a scored image."""
    place = place_of(results, cell, image, repeat)
    return all(_file(place, kind) for kind in KINDS)


def scoring_of(cell: StoredCell) -> Scoring:
    """How a stored cell was scored."""
    rounding = cell.identity["protocol"]["rounding"]
    return next((scoring for scoring in SCORINGS.values() if scoring.rounding == rounding), UINT8)


def _file(place: Place, kind: str) -> tuple[Path, str] | None:
    """The file of a picture and its format, if there is one."""
    paths = [(place.path(kind, form), form) for form in (PNG, TIFF)]
    return next(((path, form) for path, form in paths if path.is_file()), None)


def _read(place: Place, kind: str) -> AnyImage | None:
    """A picture (H, W, C), or None if it is not there or is none."""
    found = _file(place, kind)
    if found is None:
        return None
    path, form = found
    try:
        data = read_bytes(path, MOST_BYTES)
        return decode_image(data, path) if form == PNG else _floats(data)
    except (UserError, ValueError):
        return None


def _floats(data: bytes) -> FloatImage:
    """The pixels of a TIFF of ours; raises `ValueError` for any other file."""
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            (page,) = file.pages
            if page.dtype != np.float32 or page.nbytes > len(data) or page.ndim not in (2, 3):
                raise ValueError("it was not written by this program")
            pixels = page.asarray()
    except Exception as error:  # tifffile raises many types on damaged files
        raise ValueError(str(error)) from None
    return pixels if pixels.ndim == 3 else pixels[:, :, None]
