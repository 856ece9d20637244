"""What an image file says of itself, checked before anything decodes it: format, bits, samples, pages, orientation.

Decoders are lenient: they narrow 16 bits to 8, take the first of several pages, drop transparency, shift signed values.
So every format is looked at here first, and only what is an image of one page, 8 bits and one or three channels, with
nothing beside them, is handed on. The format follows from the name of the file, never from its content, which must
agree. Metadata does not reach a decoder at all: its size and its faults are no matter of the pixels.
"""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
import numpy.typing as npt

#: Pillow's name of the format, by suffix in lower case. No other decoder is ever started.
FORMATS: Mapping[str, str] = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF",
    ".ppm": "PPM", ".pgm": "PPM", ".webp": "WEBP",
}  # fmt: skip
# How files begin; the second list is for messages alone.
_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"), (b"\xff\xd8\xff", "JPEG"), (b"BM", "BMP"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"), (b"MM\0+", "TIFF"), (b"P1", "PPM"), (b"P2", "PPM"), (b"P3", "PPM"), (b"P4", "PPM"),
    (b"P5", "PPM"), (b"P6", "PPM"), (b"Pf", "PPM"), (b"PF", "PPM"), (b"P7", "PPM"),
)  # fmt: skip
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"%!PS", "PostScript"), (b"\xc5\xd0\xd3\xc6", "PostScript"), (b"%PDF", "PDF"), (b"GIF8", "GIF"),
    (b"\0\0\0\x0cjP", "JPEG 2000"), (b"8BPS", "Photoshop"), (b"v/1\x01", "OpenEXR"), (b"\x93NUMPY", "NumPy"),
    (b"\x89HDF", "HDF5"), (b"MATLAB", "MATLAB"), (b"\xd7\xcd\xc6\x9a", "WMF"), (b"SIMPLE", "FITS"),
)  # fmt: skip
_ORIENTATION, _XMP = 274, 700


class Unsuitable(Exception):  # noqa: N818 - reads as what is found
    """An intact image of a kind that is not allowed; the text is what it is and how to mend it."""


class Corrupt(Exception):  # noqa: N818 - as above
    """No image, or a damaged one."""


@dataclass(frozen=True)
class Header:
    """What is known of an image before it is decoded.

    Parameters
    ----------
    kind : str
        Pillow's name of the format.
    width, height : int
        As stored, before the image is turned.
    channels : int
        1 or 3; 0 where only the decoder will tell.
    orientation : int
        1 to 8, as EXIF counts: how the stored image is to be turned.
    data : bytes
        The file without what does not belong to the pixels.
    values : str
        The type of a value: ``uint8``, ``uint16`` or ``float32``; what is wider is narrowed to that.
    """

    kind: str
    width: int
    height: int
    channels: int
    orientation: int = 1
    data: bytes = field(default=b"", repr=False)
    values: str = "uint8"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the image as it is looked at."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def read_header(data: bytes, suffix: str, deep: bool = False) -> Header:
    """Check what a file says of itself.

    Parameters
    ----------
    data : bytes
        The whole file.
    suffix : str
        Of its name, in lower case; a key of `FORMATS`.
    deep : bool
        Whether PNG and TIFF may have 16 bits, and TIFF floats.

    Raises
    ------
    Unsuitable, Corrupt
    """
    kind, found = FORMATS[suffix], _kind_of(data)
    if found != kind:
        if found is not None:
            raise Unsuitable(f"its content is {found}, but the name says {kind}; rename it or convert it")
        raise Corrupt(f"it does not begin as {kind} does")
    try:
        return _DEEP_READERS[kind](data, True) if deep and kind in _DEEP_READERS else _READERS[kind](data)
    except (struct.error, IndexError, OverflowError):
        raise Corrupt("it is truncated") from None


def upright(pixels: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[np.uint8]:
    """A stored image (H, W, C) turned as its orientation says."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    # Rows run from the other end, and columns do; after transposing for 5 to 8.
    rows, columns = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return pixels[:: -1 if rows else 1, :: -1 if columns else 1]


def _kind_of(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        return "HEIF or a film"
    return next((kind for start, kind in (*_BEGINNINGS, *_OTHERS) if data.startswith(start)), None)


def _refuse_bits(bits: int, deep: bool = False) -> NoReturn:
    wanted = "8-bit gray" if bits == 1 else "8 or 16 bits per channel" if deep else "8 bits per channel"
    raise Unsuitable(f"it is a {bits}-bit image; convert it to {wanted}")


# --- PNG ---


def _png(data: bytes, deep: bool = False) -> Header:
    kept, orientation, first = [data[:8]], 1, None
    for name, chunk in _png_chunks(data):
        body = chunk[8:-4]
        if name == b"IHDR" and first is None:
            first = struct.unpack(">IIBBBBB", body)
            _check_png(first[2], first[3], deep)
        if first is None:
            raise Corrupt("its first chunk is not IHDR")
        if name == b"tRNS":
            raise Unsuitable("it has a transparent colour (chunk tRNS), which is an alpha channel; flatten it")
        if name == b"acTL":
            raise Unsuitable("it is animated (chunk acTL); save one frame as an image of its own")
        if name == b"eXIf":
            orientation = _exif_orientation(bytes(body))
        if name in (b"IHDR", b"IDAT", b"IEND"):
            kept.append(bytes(chunk))
        elif not name[0] & 0x20 and name != b"PLTE":  # a palette beside true colour is a suggestion for old screens
            raise Unsuitable(f"it needs the chunk {name.decode('latin-1')!r}, which is not of the PNG standard")
    assert first is not None
    channels, values = 1 if first[3] == 0 else 3, f"uint{first[2]}"
    return Header("PNG", first[0], first[1], channels, orientation, b"".join(kept), values)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Name and whole of every chunk up to the last one, their checksums compared."""
    view, at = memoryview(data), 8
    while True:
        size, name = struct.unpack_from(">I4s", data, at)
        chunk = view[at : at + 12 + size]
        if len(chunk) < 12 + size:
            raise Corrupt("it is truncated")
        if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
            raise Corrupt(f"the checksum of its chunk {name.decode('latin-1')!r} differs")
        yield name, chunk
        if name == b"IEND":
            return
        at += len(chunk)


def _check_png(bits: int, colour: int, deep: bool) -> None:
    if colour == 3:
        raise Unsuitable("it is a palette image (mode P); convert it to RGB")
    if colour in (4, 6):
        raise Unsuitable(f"it has an alpha channel (mode {'LA' if colour == 4 else 'RGBA'}); flatten it")
    if bits != 8 and not (deep and bits == 16):
        _refuse_bits(bits, deep)


# --- JPEG ---


def _jpeg(data: bytes) -> Header:
    kept, orientation, at = [data[:2]], 1, 2
    size: tuple[int, int, int] | None = None
    for marker, segment, end in _jpeg_segments(data):
        at = end
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            size = _jpeg_frame(segment)
        if marker == 0xE1 and segment[4:10] == b"Exif\0\0":
            orientation = _exif_orientation(segment[10:])
        # Of the application segments only JFIF and Adobe say how colours are stored.
        if not (0xE1 <= marker <= 0xED or marker in (0xEF, 0xFE)):
            kept.append(segment)
    if size is None:
        raise Corrupt("it has no frame before its first scan")
    return Header("JPEG", size[0], size[1], size[2], orientation, b"".join((*kept, data[at:])))


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Marker, whole and end of every segment before the first scan."""
    at = 2
    while True:
        if data[at] != 0xFF:
            raise Corrupt("it is damaged before its first scan")
        marker = data[at + 1]
        if marker == 0xD9:
            raise Corrupt("it ends before its first scan")
        if marker == 0xDA:
            return
        if marker == 0xFF:  # filling
            at += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # without content
            at += 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        segment = data[at : at + 2 + length]
        if length < 2 or len(segment) < 2 + length:
            raise Corrupt("it is truncated")
        at += 2 + length
        yield marker, segment, at


def _jpeg_frame(segment: bytes) -> tuple[int, int, int]:
    bits, height, width, samples = struct.unpack_from(">BHHB", segment, 4)
    if bits != 8:
        _refuse_bits(bits)
    if samples == 4:
        raise Unsuitable("it is a CMYK image; convert it to RGB")
    if samples not in (1, 3):
        raise Unsuitable(f"it has {samples} samples per pixel; convert it to gray or RGB")
    return width, height, samples


# --- TIFF, and EXIF, which is one ---

# Types of whole numbers.
_NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
# A hostile file can have directories without end, each overlapping the one before.
_MOST_PAGES, _MOST_TAGS = 1000, 100_000


@dataclass
class _Page:
    """Numbers and text of one directory of a TIFF file, and where the orientation and XMP stand."""

    numbers: dict[int, tuple[int, ...]] = field(default_factory=dict)
    description: str = ""
    #: Format and offset of every orientation, offset of every tag XMP.
    orientations: list[tuple[str, int]] = field(default_factory=list)
    xmp: list[int] = field(default_factory=list)

    def first(self, tag: int, default: int) -> int:
        return self.numbers.get(tag, (default,))[0]


def _tiff_pages(data: bytes) -> Iterator[_Page]:
    """The directories of a file, in the order of their chain."""
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    word, count_of, entry = ("Q", "Q", 20) if big else ("I", "H", 12)
    (at,) = struct.unpack_from(order + word, data, 8 if big else 4)
    seen: set[int] = set()
    left = _MOST_TAGS
    while at:
        if at in seen:
            raise Corrupt("its directories form a circle")
        seen.add(at)
        (count,) = struct.unpack_from(order + count_of, data, at)
        at += struct.calcsize(order + count_of)
        left -= count
        if at + count * entry > len(data) or left < 0:
            raise Corrupt("its directories are truncated or without end")
        page = _Page()
        for place in range(at, at + count * entry, entry):
            _tiff_entry(data, place, order, word, page)
        yield page
        (at,) = struct.unpack_from(order + word, data, at + count * entry)


def _tiff_entry(data: bytes, place: int, order: str, word: str, page: _Page) -> None:
    tag, kind, count = struct.unpack_from(f"{order}HH{word}", data, place)
    value = place + 4 + struct.calcsize(order + word)
    letter = _NUMBERS.get(kind)
    if tag == _XMP:
        page.xmp.append(place)
    if tag == 270:
        at = value if count <= struct.calcsize(order + word) else struct.unpack_from(order + word, data, value)[0]
        page.description = data[at : at + min(count, 1 << 20)].decode("latin-1")
    # What matters here are single numbers, or one per sample.
    if letter is None or not 0 < count <= 256:
        return
    inside = count * struct.calcsize(order + letter) <= struct.calcsize(order + word)
    at = value if inside else struct.unpack_from(order + word, data, value)[0]
    page.numbers[tag] = struct.unpack_from(f"{order}{count}{letter}", data, at)
    if tag == _ORIENTATION:
        page.orientations.append((order + letter, at))


def _exif_orientation(data: bytes) -> int:
    """The orientation in an EXIF block; damaged metadata is no damaged image."""
    data = data.removeprefix(b"Exif\0\0")
    if data[:2] not in (b"II", b"MM"):
        return 1
    try:
        return _valid(next(_tiff_pages(data), _Page()).first(_ORIENTATION, 1))
    except (struct.error, Corrupt):
        return 1


def neutral_exif(data: bytes) -> tuple[int, bytes]:
    """The orientation in an EXIF block, and the block with the orientation 1: for pixels that have been turned."""
    body = data.removeprefix(b"Exif\0\0")
    orientation = _exif_orientation(body)
    if orientation == 1:
        return 1, data
    neutral = bytearray(body)
    for letter, at in next(_tiff_pages(body)).orientations:
        struct.pack_into(letter, neutral, at, 1)
    return orientation, data[: len(data) - len(body)] + bytes(neutral)


def _valid(orientation: int) -> int:
    return orientation if 1 <= orientation <= 8 else 1


_SAMPLE_FORMATS = {2: "signed integers", 3: "floating-point values", 4: "values of no known type"}
_COLOURS = {
    3: "a palette image (mode P)", 4: "a transparency mask", 5: "a CMYK image", 6: "an uncompressed YCbCr image",
    8: "a CIE L*a*b* image", 9: "an ICC L*a*b* image", 32803: "a raw mosaic", 34892: "a raw image",
}  # fmt: skip


def _tiff(data: bytes, deep: bool = False) -> Header:
    pages = []
    for page in _tiff_pages(data):
        pages.append(page)
        if len(pages) > _MOST_PAGES:
            break
    if not pages:
        raise Corrupt("it holds no page")
    first = pages[0]
    # Smaller copies of the image, for previews, may follow it.
    whole = [page for page in pages if not (page.first(254, 0) & 1 or page.first(255, 1) == 2)]
    if first not in whole[:1]:
        raise Unsuitable("its first page is a preview of another one; save the image alone")
    if len(whole) > 1:
        count = f"more than {_MOST_PAGES}" if len(pages) > _MOST_PAGES else str(len(whole))
        raise Unsuitable(f"it has {count} pages; save each as an image of its own")
    values = _values_of(first, deep)
    width, height, channels = _check_tiff(first)
    if values != "uint8" and first.first(262, -1) not in (1, 2):
        raise Unsuitable("its zero is white or its colours are not RGB; save it as gray with black = 0, or as RGB")
    orientation = _valid(first.first(_ORIENTATION, 1))
    if first.orientations or first.xmp:
        # Some versions of Pillow turn a TIFF while they load it, and some by XMP as well; here all formats are alike.
        neutral = bytearray(data)
        for letter, at in first.orientations:
            struct.pack_into(letter, neutral, at, 1)
        for place in first.xmp:
            struct.pack_into("<H" if data[:2] == b"II" else ">H", neutral, place, _XMP + 1)
        data = bytes(neutral)
    return Header("TIFF", width, height, channels, orientation, data, values)


def _values_of(page: _Page, deep: bool) -> str:
    """The type of a page's values."""
    bits = page.numbers.get(258, (1,))
    if page.first(254, 0) & 4 or page.first(262, -1) == 4:
        raise Unsuitable("it has a transparency mask; flatten it")
    kinds = set(page.numbers.get(339, (1,))) - {1}
    if deep and kinds == {3} and set(bits) in ({16}, {32}, {64}):
        return "float32"
    if kinds:
        wanted = "unsigned 8 or 16 bits, or to floats" if deep else "unsigned 8 bits"
        raise Unsuitable(f"it holds {_SAMPLE_FORMATS.get(min(kinds), 'complex values')}; convert it to {wanted}")
    if set(bits) != {8} and not (deep and set(bits) == {16}):
        _refuse_bits(max(bits), deep)
    return f"uint{bits[0]}"


def _check_tiff(page: _Page) -> tuple[int, int, int]:
    """Width, height and channels of a page that is gray or RGB."""
    samples, colour = page.first(277, 1), page.first(262, -1)
    if page.numbers.get(338):
        raise Unsuitable(
            f"it has {len(page.numbers[338])} extra samples per pixel beside its colours (an alpha channel, say); "
            "flatten it"
        )
    jpeg = colour == 6 and page.first(259, 1) == 7
    channels = 1 if colour in (0, 1) else 3 if colour == 2 or jpeg else 0
    if not channels:
        raise Unsuitable(f"it is {_COLOURS.get(colour, 'of no known kind of colour')}; convert it to RGB")
    if samples != channels:
        raise Unsuitable(
            f"it has {samples} samples per pixel, and as {'gray' if channels == 1 else 'RGB'} it should have "
            f"{channels}; save it as gray or RGB"
        )
    if not (256 in page.numbers and 257 in page.numbers):
        raise Corrupt("its size is missing")
    width, height = page.first(256, 0), page.first(257, 0)
    _refuse_hidden_pages(page.description, width * height * samples)
    return width, height, channels


def _refuse_hidden_pages(description: str, values: int) -> None:
    """ImageJ and tifffile can store a stack behind a single directory, and say so in the description."""
    count = 1
    if description.startswith("ImageJ="):
        found = re.search(r"^images=(\d{1,9})\s*$", description, re.MULTILINE)
        count = int(found[1]) if found else 1
    elif description.startswith("{"):
        try:
            shape = json.loads(description.rstrip("\0"))["shape"]
            count = int(np.prod([int(side) for side in shape], dtype=np.float64)) // max(values, 1)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return
    if count > 1:
        raise Unsuitable(f"it has {count} pages, says its description; save each as an image of its own")


# --- BMP, portable maps, WebP ---


def _bmp(data: bytes) -> Header:
    (length,) = struct.unpack_from("<I", data, 14)
    width, height, _, bits = struct.unpack_from("<HHHH" if length == 12 else "<iiHH", data, 18)
    if bits not in (8, 24, 32):
        _refuse_bits(bits)
    if bits == 32 and length != 12 and struct.unpack_from("<I", data, 30) == (0,):
        (start,) = struct.unpack_from("<I", data, 10)
        # The format says that the fourth byte means nothing, and programs write an alpha channel there.
        fourth = set(data[start + 3 : start + 4 * abs(width * height) : 4])
        if len(fourth) > 1 or fourth - {0, 255}:
            raise Unsuitable("its fourth byte per pixel is in use (an alpha channel?); save it with 24 bits")
    return Header("BMP", abs(width), abs(height), 0, 1, data)


_SPACE = rb"(?:\s|#[^\n\r]*[\n\r])+"
_PORTABLE = re.compile(rb"P(\d)%b(\d{1,10})%b(\d{1,10})%b(\d{1,10})\s" % (_SPACE, _SPACE, _SPACE))


def _portable(data: bytes) -> Header:
    if data[:2] in (b"P1", b"P4"):
        _refuse_bits(1)
    if data[:2] in (b"Pf", b"PF"):
        raise Unsuitable("it holds floating-point values; convert it to 8 bits")
    if data[:2] == b"P7":
        raise Unsuitable("it is a PAM file; convert it to PPM or PGM")
    match = _PORTABLE.match(data[: 1 << 16])
    if match is None:
        raise Corrupt("its header is damaged")
    kind, width, height, white = map(int, match.groups())
    if white > 255:
        _refuse_bits(white.bit_length())
    if white != 255:
        raise Unsuitable(f"its largest value is {white}; scale it to 255")
    channels = 3 if kind in (3, 6) else 1
    if kind in (5, 6):
        missing = width * height * channels - (len(data) - match.end())
        if missing > 0:
            raise Corrupt(f"it is truncated by {missing:,} bytes")
        if missing < 0 and data[missing:].strip():
            raise Unsuitable(f"{-missing:,} bytes follow the image (several images in one file?); save it alone")
    return Header("PPM", width, height, channels, 1, data)


def _webp(data: bytes) -> Header:
    (length,) = struct.unpack_from("<I", data, 4)
    if length + 8 > len(data):
        raise Corrupt("it is truncated")
    at, orientation = 12, 1
    while at + 8 <= length + 8:
        name, size = struct.unpack_from("<4sI", data, at)
        body = data[at + 8 : at + 8 + size]
        if name in (b"ANIM", b"ANMF") or (name == b"VP8X" and body[0] & 2):
            raise Unsuitable("it is animated; save one frame as an image of its own")
        if name == b"ALPH" or (name == b"VP8X" and body[0] & 16) or (name == b"VP8L" and body[4] & 16):
            raise Unsuitable("it has an alpha channel (mode RGBA); flatten it")
        if name == b"EXIF":
            orientation = _exif_orientation(body)
        at += 8 + size + size % 2
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
            return Header("WEBP", image.width, image.height, 3, orientation, data)
    except Image.DecompressionBombError:
        raise Unsuitable("it says that it has more pixels than any image; cut it into smaller ones") from None


_READERS: Mapping[str, Callable[[bytes], Header]] = {
    "PNG": _png, "JPEG": _jpeg, "TIFF": _tiff, "BMP": _bmp, "PPM": _portable, "WEBP": _webp,
}  # fmt: skip
_DEEP_READERS: Mapping[str, Callable[[bytes, bool], Header]] = {"PNG": _png, "TIFF": _tiff}
