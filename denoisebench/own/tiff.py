"""TIFF, OME-TIFF and ImageJ stacks: all pages, their axes, and the tags that go back into the result."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from denoisebench.core.errors import UserError
from denoisebench.data.deep import quiet_tifffile, said_of
from denoisebench.own.stack import Array, Stack, ToConvert, check_axes

if TYPE_CHECKING:
    import tifffile

# Bytes of an array that is kept in a file while it is worked on, not in memory.
_LARGE = 2**30
_LIMIT = 2**40
_ORIENTATION, _EXTRA = 274, 338
# Software, date, artist, copyright, ICC profile, what ImageJ keeps: copied as they are.
_COPIED = (305, 306, 315, 33432, 34675, 50838, 50839)
_IMAGEJ_VALUES = 50839
_ALPHA = (1, 2)


def read_tiff(path: Path, axes: str | None, convert: bool) -> Stack:
    """Read all pages of a TIFF file.

    Parameters
    ----------
    path : Path
        One image or one stack, of any number of axes; smaller copies of it are left out.
    axes : str or None
        Names of the axes, where the file's own are wrong or unknown.
    convert : bool
        Whether a palette is looked up, CMYK made RGB, and an alpha channel left out.

    Raises
    ------
    UserError
        It is damaged, holds several images, or what is in it would have to be converted.
    """
    import tifffile

    try:
        with quiet_tifffile(), tifffile.TiffFile(path) as tif:
            return _read(tif, path, axes, convert)
    except UserError:
        raise
    except Exception as error:  # tifffile raises many types on damaged files
        raise UserError(f"{path} cannot be read as TIFF {said_of(error)}") from None


def _check_room(size: int, path: Path) -> None:
    """Refuse to unpack into a temporary file that does not fit: writing to it would end the process."""
    place = tempfile.gettempdir()
    free = shutil.disk_usage(place).free
    if free < size:
        raise UserError(
            f"{path} takes {size / 2**30:.2g} GiB unpacked, and {place} has room for {free / 2**30:.2g}; name another "
            "folder in TMPDIR."
        )


def _read(tif: tifffile.TiffFile, path: Path, axes: str | None, convert: bool) -> Stack:
    series = [one for one in tif.series if not getattr(one.keyframe, "is_reduced", False)]
    if len(series) != 1:
        shapes = ", ".join("x".join(map(str, one.shape)) for one in series[:5])
        raise UserError(f"{path} holds {len(series)} images of {shapes}; save each as a file of its own.")
    (one,) = series
    pages = list(one.pages)
    places = [page.index for page in pages if page is not None and page.parent is tif]
    if len(places) < len(pages):
        raise UserError(f"{path} is one file of a set, or lacks pages; save the whole stack as one file.")
    if one.nbytes > _LIMIT:
        raise UserError(f"{path} says that it has {one.nbytes:,} bytes of pixels; that is refused.")
    _check_whole(tif, path)
    if one.nbytes > _LARGE and not (one.dataoffset is not None and one.keyframe.is_memmappable):
        _check_room(one.nbytes, path)
    data = one.asarray(out="memmap" if one.nbytes > _LARGE else None)
    named = one.axes if axes is None else check_axes(axes, data.shape, path)
    if not {"Y", "X"} <= set(named) or len(set(named)) < len(named):
        raise UserError(f"{path} has axes {named}; name them anew with --axes, such as --axes ZYX.")
    notes: list[str] = []
    data, named, converted = _converted(one.keyframe, data, named, path, convert, notes)
    data, turned = _upright(one.keyframe, data, named)
    notes += ["turned as the orientation in it says"] if turned else []
    in_order = places == list(range(len(tif.pages))) and not converted
    kept = _kept(tif, data, named if not in_order else "")
    if not in_order and (tif.is_ome or tif.is_imagej):
        notes.append("its description was written anew: axes are kept, other metadata in it are not")

    def write(target: Path, result: Array) -> None:
        import tifffile

        with quiet_tifffile(), tifffile.TiffWriter(target, **kept.how(result.nbytes)) as writer:
            writer.write(result, **kept.options)

    return Stack(path, data, named, write, path.suffix, notes)


def _check_whole(tif: tifffile.TiffFile, path: Path) -> None:
    """A segment that ends beyond the end of the file is read as zeros otherwise."""
    size = tif.filehandle.size
    for page in tif.pages:
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
            if offset + count > size:
                raise UserError(f"{path} is truncated: a page ends at byte {offset + count:,} of {size:,}.")


class _Kept:
    """What a written file has of the one that was read."""

    def __init__(self, big: bool, order: str, ome: bool, imagej: bool, options: dict[str, Any]) -> None:
        self._big, self._order, self._ome, self._imagej, self.options = big, order, ome, imagej, options

    def how(self, size: int) -> dict[str, Any]:
        """Arguments of a writer of so many bytes."""
        if self._imagej:
            return {"imagej": True}
        big = self._big or size > 2**32 - 2**25
        return {"bigtiff": big, "byteorder": self._order, "ome": self._ome}


def _kept(tif: tifffile.TiffFile, data: Array, axes: str) -> _Kept:
    """How to write the result; ``axes`` are named anew where the description of the file does not fit any more."""
    page = tif.pages.first
    options: dict[str, Any] = {}
    if not axes:
        # Word for word: OME-XML, ImageJ's description and every other stay true, as pages keep their order.
        options |= {"description": _raw(tif, page.tags.get(270)) or None, "metadata": None}
    else:
        options["metadata"] = {"axes": axes}
    kind = _name("PHOTOMETRIC", page.photometric)
    colour = kind if kind in ("RGB", "MINISWHITE") else "MINISBLACK"
    samples = page.samplesperpixel if page.samplesperpixel > 1 else 1
    if samples == 1:
        colour = "MINISBLACK" if colour == "RGB" else colour
    if axes:
        colour = "RGB" if axes.endswith("S") and data.shape[-1] == 3 else "MINISBLACK"
    options["photometric"] = colour
    if samples > 1 and not axes:
        options["planarconfig"] = page.planarconfig
        if colour != "RGB":
            options["extrasamples"] = tuple(page.extrasamples)
    if _name("COMPRESSION", page.compression) != "NONE":
        options["compression"] = "zlib"
    options["extratags"] = [tag for code in _COPIED if (tag := _tag(tif, page, code)) is not None]
    across, along, unit = (page.tags.get(code) for code in (282, 283, 296))
    if across is not None and along is not None:
        options["resolution"] = across.value, along.value
        options["resolutionunit"] = 1 if unit is None else int(unit.value)
    # Else tifffile writes its own.
    options |= {} if page.tags.get(305) is None else {"software": False}
    return _Kept(tif.is_bigtiff, tif.byteorder, tif.is_ome and bool(axes), tif.is_imagej and bool(axes), options)


def _name(what: str, value: int) -> str:
    """The name of a value of a tag."""
    import tifffile

    return str(getattr(tifffile, what)(value).name)


def _tag(tif: tifffile.TiffFile, page: tifffile.TiffPage, code: int) -> tuple[Any, ...] | None:
    """A tag as tifffile writes it, byte for byte."""
    tag = page.tags.get(code)
    if tag is None:
        return None
    if isinstance(tag.value, tuple | int | float) and code != _IMAGEJ_VALUES:
        return code, int(tag.dtype), tag.count, tag.value, True
    raw = _raw(tif, tag)
    return code, int(tag.dtype), len(raw), raw, True


def _raw(tif: tifffile.TiffFile, tag: tifffile.TiffTag | None) -> bytes:
    """The bytes of a tag, text without the zero at its end: not all of it is ASCII, as it should be."""
    if tag is None:
        return b""
    tif.filehandle.seek(tag.valueoffset)
    found = tif.filehandle.read(tag.valuebytecount)
    return found.rstrip(b"\0") if isinstance(tag.value, str) else found


def _converted(
    page: tifffile.TiffPage, data: Array, axes: str, path: Path, convert: bool, notes: list[str]
) -> tuple[Array, str, bool]:
    """Palette, CMYK and alpha made what methods know, if that was asked for; else an error names them."""
    kind = _name("PHOTOMETRIC", page.photometric)
    alpha = sum(int(extra) in _ALPHA for extra in page.extrasamples) if "S" in axes else 0
    what = {"PALETTE": "a palette image", "SEPARATED": "a CMYK image"}.get(kind, "an image with an alpha channel")
    if kind not in ("PALETTE", "SEPARATED") and not alpha:
        if kind not in ("MINISBLACK", "MINISWHITE", "RGB", "YCBCR", "CFA", "LINEAR_RAW"):
            raise UserError(f"{path} holds {kind} colours, which are not known here; save it as gray or RGB.")
        return data, axes, False
    if not convert:
        raise ToConvert(path, what)
    notes.append(f"it was {what}, and was converted")
    if kind == "PALETTE":
        return np.moveaxis(np.asarray(page.colormap)[:, data], 0, -1), axes + "S", True
    data = np.moveaxis(data, axes.index("S"), -1)
    axes = axes.replace("S", "") + "S"
    if kind == "SEPARATED":
        white = np.iinfo(data.dtype).max
        rest = white - data[..., :4].astype(np.int64)
        return np.round(rest[..., :3] * rest[..., 3:] / white).astype(data.dtype), axes, True
    data = data[..., : data.shape[-1] - alpha]
    return (data[..., 0], axes[:-1], True) if data.shape[-1] == 1 else (data, axes, True)


def _upright(page: tifffile.TiffPage, data: Array, axes: str) -> tuple[Array, bool]:
    """The array turned as the orientation of the file says."""
    tag = page.tags.get(_ORIENTATION)
    orientation = int(tag.value) if tag is not None and isinstance(tag.value, int) else 1
    if not 2 <= orientation <= 8:
        return data, False
    rows, columns = axes.index("Y"), axes.index("X")
    if orientation >= 5:
        data = np.swapaxes(data, rows, columns)
    if orientation in (3, 4, 7, 8):
        data = np.flip(data, rows)
    if orientation in (2, 3, 6, 7):
        data = np.flip(data, columns)
    return np.ascontiguousarray(data), True
