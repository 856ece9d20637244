"""CZI files of Zeiss microscopes, read by Zeiss's own library (pylibCZIrw); results are OME-TIFF."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from denoisebench.core.errors import UserError, reason_of
from denoisebench.own.stack import Array, Stack, check_axes, need_package

SUFFIXES = (".czi",)
_STACKED = "TZC"
_LIMIT = 2**36
_TYPES = {
    "Gray8": np.uint8, "Gray16": np.uint16, "Gray32Float": np.float32, "Bgr24": np.uint8, "Bgr48": np.uint16,
}  # fmt: skip
_PIXEL_SIZE = re.compile(r'<Distance Id="([XYZ])">\s*<Value>([0-9.eE+-]+)\s*</Value>')


def read_czi(path: Path, axes: str | None, convert: bool) -> Stack:
    """Read all planes of one scene; tiles are put together.

    Parameters
    ----------
    path : Path
        The file.
    axes : str or None
        Names of the axes, where those of the file are not wanted.
    convert : bool
        Not used: nothing in it needs to be converted.

    Raises
    ------
    UserError
        It is damaged, holds several scenes or axes beyond T, Z and C, or pylibCZIrw is not installed.
    """
    czi = need_package("pylibCZIrw.czi", "czi", path)
    try:
        with czi.open_czi(str(path)) as document:
            data, named, sizes = _read(document, path)
    except UserError:
        raise
    except Exception as error:  # the library raises several types on damaged files
        raise UserError(f"{path} cannot be read as CZI ({reason_of(error)}).") from None
    if axes is not None:
        named = check_axes(axes, data.shape, path)
    note = "CZI, written as OME-TIFF: values, axes and pixel size are kept, other metadata are not"

    def write(target: Path, result: Array) -> None:
        import tifffile

        metadata: dict[str, Any] = {"axes": named}
        for letter, metres in sizes.items():
            metadata |= {f"PhysicalSize{letter}": float(f"{metres * 1e6:.9g}"), f"PhysicalSize{letter}Unit": "µm"}
        colour = "rgb" if named.endswith("S") else "minisblack"
        tifffile.imwrite(target, result, ome=True, photometric=colour, metadata=metadata)

    return Stack(path, data, named, write, ".ome.tif", [note])


def _read(document: Any, path: Path) -> tuple[Array, str, Mapping[str, float]]:
    """The array, its axes, and the size of a pixel in metres."""
    if len(document.scenes_bounding_rectangle) > 1:
        raise UserError(
            f"{path} holds {len(document.scenes_bounding_rectangle)} scenes; save each as a file of its own."
        )
    box: Mapping[str, tuple[int, int]] = document.total_bounding_box
    lengths = {letter: end - start for letter, (start, end) in box.items() if letter not in "XY"}
    beyond = [letter for letter, length in lengths.items() if letter not in _STACKED and length > 1]
    if beyond:
        raise UserError(f"{path} has the axes {', '.join(beyond)} beyond T, Z and C; export it as OME-TIFF.")
    kinds = set(document.pixel_types.values())
    if len(kinds) != 1 or not kinds <= _TYPES.keys():
        raise UserError(
            f"{path} holds pixels of the types {', '.join(sorted(kinds))}; allowed is one of {', '.join(_TYPES)}."
        )
    (kind,) = kinds
    stacked = [letter for letter in _STACKED if lengths.get(letter, 1) > 1]
    counts = tuple(lengths[letter] for letter in stacked)
    place = document.total_bounding_rectangle
    colours = 3 if kind.startswith("Bgr") else 1
    if int(np.prod(counts, dtype=np.int64)) * place.w * place.h * colours * 4 > _LIMIT:
        raise UserError(
            f"{path} has {'x'.join(map(str, (*counts, place.h, place.w)))} pixels; cut it into smaller files."
        )
    data = np.empty((*counts, place.h, place.w, colours), _TYPES[kind])
    starts = {letter: box[letter][0] for letter in lengths if letter in _STACKED}
    for index in np.ndindex(*counts):
        plane = starts | {letter: starts[letter] + at for letter, at in zip(stacked, index, strict=True)}
        # Blue comes first.
        data[index] = document.read(plane=plane)[:, :, ::-1]
    found = ((letter, float(value)) for letter, value in _PIXEL_SIZE.findall(document.raw_metadata))
    sizes = {letter: value for letter, value in found if value > 0}
    named = "".join(stacked) + "YX"
    return (data, named + "S", sizes) if colours > 1 else (data[..., 0], named, sizes)
