"""Data sets of real noisy captures that are image files: a scene's captures beside its clean reference."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from denoisebench.core.errors import UserError, unknown
from denoisebench.core.systemfiles import own_entries
from denoisebench.core.text import counted, readable
from denoisebench.data.brightness import share_of_brightness
from denoisebench.data.dataset import AnyFolder, FolderSet, OwnFolder, changed, remark, turned_remark
from denoisebench.data.deep import deep_pixels, stored_pixels
from denoisebench.data.manifest import Entry, entry_of, read_manifest
from denoisebench.data.unusual import refusal
from denoisebench.protocol.imagefiles import Header
from denoisebench.protocol.images import (
    AnyImage,
    decode_image,
    header_of,
    image_bytes,
    image_files,
    image_id,
    left_out,
    list_images,
    named_as_images,
    some,
    to_float,
)

# Share of the squared difference of capture and reference from which a user hears that brightness, not noise, is it.
_BRIGHTNESS = 0.5
# A range is told that is so many times as wide as that of all but a thousandth of the values at either end.
_FAR = 2


@dataclass(frozen=True)
class View:
    """One scene: the files of its captures, in order, and of its reference."""

    captures: Sequence[Path]
    reference: Path


class CaptureSet(FolderSet):
    """A folder with captures and references; subclasses say which files these are, in `find_views`.

    A manifest lists every file with its path below the folder.
    """

    real = True

    def find_views(self) -> dict[str, View]:
        """The scenes by image id, in evaluation order.

        Raises
        ------
        UserError
            Naming the folder or file that is missing.
        """
        raise NotImplementedError

    @cached_property
    def views(self) -> dict[str, View]:
        """The scenes by image id."""
        return self.find_views()

    @property
    def images(self) -> Sequence[str]:
        return list(self.views)

    def captures(self, image: str) -> int:
        return len(self._view(image).captures)

    def load(self, image: str) -> AnyImage:
        return self._read(self._view(image).reference)

    def capture(self, image: str, index: int) -> AnyImage:
        return self._read(self._view(image).captures[index])

    def _view(self, image: str) -> View:
        if image not in self.views:
            raise unknown(f"image of data set {self.name!r}", image, self.views)
        return self.views[image]

    def _read(self, path: Path) -> AnyImage:
        """The pixels of a file that is what it was when the set was hashed."""
        if self.manifest is not None:
            if path not in self._listed:
                raise UserError(f"Image {path} does not belong to data set {self.name!r}; move it away.")
            pixels = self._pixels(path, self._listed[path])
        else:
            pixels = self._decode(self._unchanged(path), path)
        self._verify_channels(path, pixels.shape[2])
        return pixels

    def _verify_channels(self, path: Path, channels: int) -> None:
        if channels != self.channels:
            raise UserError(f"Image {path} has {channels} channels, but data set {self.name!r} has {self.channels}.")

    def _unchanged(self, path: Path) -> bytes:
        """The content of a file, where no manifest lists it."""
        data = image_bytes(path)
        if hashlib.sha256(data).hexdigest() != self._file_hashes[path]:
            raise changed(path)
        return data

    def _decode(self, data: bytes, path: Path) -> AnyImage:
        """The pixels in the content of a file."""
        return decode_image(data, path)

    def _size(self, path: Path) -> tuple[int, int]:
        """Width and height of an image."""
        return _header(path).size

    @cached_property
    def _listed(self) -> dict[Path, Entry]:
        """The manifest by file."""
        return {self._path(entry): entry for entry in self.entries}

    @cached_property
    def _turned(self) -> list[Path]:
        """Files that are stored in another orientation than they are looked at."""
        return [path for path in self._files() if _header(path).orientation != 1]

    @cached_property
    def _file_hashes(self) -> dict[Path, str]:
        """SHA-256 of every file where no manifest lists them."""
        return {path: hashlib.sha256(image_bytes(path)).hexdigest() for path in self._files()}

    @cached_property
    def entries(self) -> list[Entry]:
        """The manifest; nothing is hashed where none is shipped."""
        return read_manifest(self.manifest) if self.manifest is not None else []

    @property
    def hashes(self) -> Mapping[str, frozenset[str]]:
        known = self._file_hashes if self.manifest is None else {p: entry.pixels for p, entry in self._listed.items()}
        return {
            image: frozenset(known[path] for path in (*view.captures, view.reference))
            for image, view in self.views.items()
        }

    def found_entries(self) -> list[Entry]:
        return [replace(entry_of(path), file=path.relative_to(self.folder).as_posix()) for path in self._files()]

    def _path(self, entry: Entry) -> Path:
        return self.folder / entry.file

    def _files(self) -> list[Path]:
        return sorted({path for view in self.views.values() for path in (*view.captures, view.reference)})

    def verify(self) -> None:
        for entry in self.entries:
            if not self._path(entry).is_file():
                raise UserError(
                    f"Data set {self.name!r} in {self.folder} lacks {entry.file}. Get it from {self.source}"
                )
            self._verify(entry)
        if self.manifest is None:
            for view in self.views.values():
                self._verify_sizes(view)

    def _verify_sizes(self, view: View) -> None:
        """Every capture has the size of its reference."""
        sizes = {path: self._size(path) for path in (view.reference, *view.captures)}
        first = sizes[view.reference]
        for path, size in sizes.items():
            if size != first:
                texts = [f"{width}x{height}" for width, height in (size, first)]
                raise UserError(f"Image {path} has {texts[0]} pixels, its reference {view.reference} has {texts[1]}.")

    @property
    def note(self) -> str:
        if self.manifest is not None:
            return ""
        return (
            f"Data set {self.name!r} is unverified: the number and the sizes of its files fit, their content is not "
            "checked because no manifest of the original set is shipped."
        )

    @cached_property
    def data_hash(self) -> str:
        if self.manifest is not None:
            lines = [f"{entry.file} {entry.pixels}" for entry in self.entries]
        else:
            lines = [
                f"{image} {path.name} {self._file_hashes[path]}{' upright' if path in self._turned else ''}"
                for image, view in self.views.items()
                for path in (view.reference, *view.captures)
            ]
        return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


class PairSet(CaptureSet):
    """Captures in one sub-folder, references in another; files that belong together share a part of their names."""

    noisy_folder: ClassVar[str] = "noisy"
    clean_folder: ClassVar[str] = "clean"
    #: A regular expression for file names without extension, whose group is the image id; else the name is the id.
    id_pattern: ClassVar[str] = "(.*)"

    def key(self, name: str) -> str:
        """The image id in a file name without extension."""
        match = re.fullmatch(self.id_pattern, name)
        return match[1] if match else name

    def find_views(self) -> dict[str, View]:
        noisy, clean = self.folder / self.noisy_folder, self.folder / self.clean_folder
        references = {self.key(image): path for image, path in _by_name(list_images(clean)).items()}
        captures: dict[str, list[Path]] = {}
        for image, path in _by_name(list_images(noisy)).items():
            captures.setdefault(self.key(image), []).append(path)
        if len(references) < len(list_images(clean)):
            raise UserError(f"Folder {clean} of data set {self.name!r} holds several references of one image.")
        for image in sorted(captures.keys() ^ references.keys()):
            lone = captures[image][0] if image in captures else references[image]
            other = clean if image in captures else noisy
            raise UserError(f"Image {lone} of data set {self.name!r} has no partner in {other}.")
        return {image: View(sorted(captures[image]), references[image]) for image in sorted(references)}

    def verify(self) -> None:
        super().verify()
        self._verify_count(len(self.views))


#: What the folders of captures and of references of a user's own pairs may be called, in any case; FMDD's are the last.
NOISY_FOLDERS, CLEAN_FOLDERS = ("noisy", "raw"), ("clean", "gt")


def folder_set(path: Path, unusual: str | None = "stop") -> OwnFolder:
    """The data set that a folder of the user's own is: pairs where it holds them, else clean images.

    Parameters
    ----------
    path : Path
        The folder.
    unusual : str or None
        See `denoisebench.data.dataset.AnyFolder`; pairs are taken as they are or not at all.

    Raises
    ------
    UserError
        It holds captures without references, or what is in it does not belong together.
    """
    if AnyPairs.fits(path):
        return AnyPairs(path)
    if noisy_place(path) != path and not named_as_images(path):
        raise UserError(
            f"Folder {path} holds {noisy_place(path).name}/ and neither clean/ nor gt/, so there is nothing to score "
            "results against; denoisebench rank and denoise, and run --noise real, take noisy images alone."
        )
    if NamedPairs.fits(path):
        return NamedPairs(path)
    _refuse_half_pairs(path)
    inside = [] if named_as_images(path) else [one for one in own_entries(path) if one.is_dir() and has_references(one)]
    if inside:
        raise UserError(
            f"Folder {path} holds {len(inside)} folders of pairs ({_names(inside)}); give one or all of them."
        )
    return AnyFolder(path, unusual)


def has_references(path: Path) -> bool:
    """Whether a folder of the user's own holds pairs of noisy and clean images."""
    return AnyPairs.fits(path) or NamedPairs.fits(path)


def noisy_place(path: Path) -> Path:
    """Where the captures of a folder without references are: its sub-folder ``noisy`` or ``raw``, or itself."""
    found = _folders(path, *NOISY_FOLDERS)
    return found[0] if len(found) == 1 and not _folders(path, *CLEAN_FOLDERS) else path


# The smallest value of an image, those that a thousandth of them lies below and above, and the largest.
_Ends = tuple[float, float, float, float]


@dataclass(frozen=True)
class _File:
    """What is known of a file of a pair without its pixels; ``ends`` of references beyond 8 bits alone."""

    sha256: str
    header: Header
    ends: _Ends | None


class OwnPairs(OwnFolder, CaptureSet):
    """Captures and references of the user's own: of 8 bits, or of 16 bits and floats, which are scored as floats.

    Values of those are on one scale, whatever their types. The smallest of all references is black, their largest is
    white, and PSNR is of that range.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        first = self._references[0]
        self.channels = self._known[first].header.channels or decode_image(image_bytes(first), first).shape[2]
        kinds = {self._one_kind("captures", self._captured), self._one_kind("clean images", self._references)}
        self._deep = kinds != {"uint8"}
        self.scoring = "raw" if self._deep else "uint8"
        self.paper_repeats = min(map(self.captures, self.images))

    def verify(self) -> None:
        for view in self.views.values():
            self._verify_sizes(view)
        for path, known in self._known.items():
            self._verify_channels(path, known.header.channels or self.channels)
        if self._deep:
            self._range  # noqa: B018 - a set without one is refused before anything is computed

    @property
    def _references(self) -> list[Path]:
        return [view.reference for view in self.views.values()]

    @property
    def _captured(self) -> list[Path]:
        return [path for view in self.views.values() for path in view.captures]

    @cached_property
    def _known(self) -> dict[Path, _File]:
        """Every file, read once; beyond 8 bits also decoded, so that a bad one is named before anything is done."""
        found: dict[Path, _File] = {}
        errors: list[UserError] = []
        references = set(self._references)
        for path in self._files():
            try:
                found[path] = _look(path, path in references)
            except UserError as error:
                errors.append(error)
        if errors:
            raise refusal(errors, [], len(found), None)
        return found

    def _one_kind(self, what: str, paths: Sequence[Path]) -> str:
        """The type of the values of some files; raises `UserError` unless it is one."""
        kinds: dict[str, list[str]] = {}
        for path in paths:
            kinds.setdefault(self._known[path].header.values, []).append(path.name)
        if len(kinds) > 1:
            told = "; ".join(
                f"{kind}: {counted(len(names), 'file')}, {some(names, 3)}" for kind, names in kinds.items()
            )
            raise UserError(
                f"The {what} of folder {self.folder} hold values of several types ({told}). All values of a set are on "
                f"one scale, so save all {what} with one type."
            )
        return next(iter(kinds))

    @cached_property
    def _range(self) -> tuple[float, float]:
        """Values of black and white, where they are not those of 8 bits."""
        black, white = min(one[0] for one in self._ends.values()), max(one[3] for one in self._ends.values())
        if black >= white:
            raise UserError(f"The clean images of {self.folder} are constant (every value is {black:g}).")
        return black, white

    @cached_property
    def _ends(self) -> dict[Path, _Ends]:
        """Of every reference."""
        return {
            path: self._known[path].ends or _ends_of(decode_image(self._unchanged(path), path))
            for path in self._references
        }

    def _decode(self, data: bytes, path: Path) -> AnyImage:
        if not self._deep:
            return super()._decode(data, path)
        black, white = self._range
        values = stored_pixels(data, path).astype(np.float64)
        values -= black
        values /= white - black
        return values.astype(np.float32)

    def _size(self, path: Path) -> tuple[int, int]:
        return self._known[path].header.size

    @cached_property
    def _turned(self) -> list[Path]:
        return [path for path, known in self._known.items() if known.header.orientation != 1]

    @cached_property
    def _file_hashes(self) -> dict[Path, str]:
        return {path: known.sha256 for path, known in self._known.items()}

    def _file_remarks(self) -> list[str]:
        """Sentences on turned files, on black and white, and on captures that are on another scale than references."""
        found = turned_remark([path.name for path in self._turned])
        return found + (self._range_remarks() if self._deep else []) + self._brightness_remark()

    def _range_remarks(self) -> list[str]:
        """What black and white are, and where they are the values of few pixels."""
        black, white = self._range
        said = [
            f"Values of {self.name} beyond 8 bits are taken as they are: black is {black:g} and white {white:g}, the "
            "least and the largest of all clean images."
        ]
        low, high = min(one[1] for one in self._ends.values()), max(one[2] for one in self._ends.values())
        if white - black <= _FAR * (high - low):
            return said
        odd, (least, *_, most) = max(self._ends.items(), key=lambda one: max(low - one[1][0], one[1][3] - high))
        return [
            *said,
            f"All but a few values of the clean images of {self.name} lie from {low:g} to {high:g}, and those of "
            f"{odd.name} reach from {least:g} to {most:g}: if these are hot or dead pixels, take them out, for they "
            "make every PSNR too high.",
        ]

    def _brightness_remark(self) -> list[str]:
        """A sentence where captures are not on the scale of their references; a few are looked at."""
        found: dict[float, str] = {}
        for place in {0, len(self.images) // 2, len(self.images) - 1}:
            view = self._view(self.images[place])
            files = (view.captures[0], view.reference)
            try:
                pixels = [self._read(path) for path in files]
            except UserError:
                continue  # scoring will say so
            if pixels[0].shape == pixels[1].shape:
                told = " and reference ".join(map(_brightness_of, files, pixels))
                found[share_of_brightness(*pixels)] = told
        if max(found, default=0.0) < _BRIGHTNESS:
            return []
        return [
            f"Capture {found[max(found)]} are not on one scale of brightness: that makes {max(found):.0%} of their "
            "squared difference, and counts as an error of every method. Bring them to one scale first, as by "
            "multiplying a short exposure."
        ]


def _brightness_of(path: Path, pixels: AnyImage) -> str:
    return f"{path.name} (mean {to_float(pixels).mean():.3f} of white)"


class NamedPairs(OwnPairs):
    """A folder, or the sub-folders of one, whose image files are noisy or clean as a word in their names says.

    So are PolyU (``..._real.JPG``, ``..._mean.JPG``), SIDD (``..._NOISY_SRGB_010.PNG``, ``..._GT_SRGB_010.PNG``) and
    pairs of FMDD where they were copied. Every image must have its partner: a folder of clean images is no such one.
    """

    @staticmethod
    def fits(path: Path) -> bool:
        """Whether every image in a folder belongs to a pair."""
        return bool(_pairs_by_name(path))

    def find_views(self) -> dict[str, View]:
        return {image: View([capture], clean) for image, (capture, clean) in _pairs_by_name(self.folder).items()}

    @property
    def advice(self) -> str:
        view = next(iter(self.views.values()))
        return (
            f"The file names in {self.folder} are those of {_pairs(len(self.views))}: noisy images such as "
            f"{view.captures[0].name} are scored against clean ones such as {view.reference.name}."
        )

    @cached_property
    def _remarks(self) -> list[str]:
        used = {path.parent for path in self._files()}
        beside = [] if self.folder in used else image_files(self.folder)
        names = [name for name in left_out(self.folder) if self.folder / name.rstrip("/") not in used]
        found = remark(self.folder, [path.name for path in beside] + names)
        for place in sorted(used - {self.folder}):
            found += remark(place, left_out(place))
        return found + self._file_remarks()


class AnyPairs(OwnPairs, PairSet):
    """Any folder with a sub-folder ``clean`` (or ``gt``) and one named ``noisy`` (or ``raw``): real noise of one's own.

    ``noisy`` holds one capture of each clean image under the same name, or several in a folder of that name. Names that
    differ by one word that says which is which (`NOISY_WORDS`, `CLEAN_WORDS`) belong together too.
    """

    @staticmethod
    def fits(path: Path) -> bool:
        """Whether a folder is laid out like this."""
        return bool(_folders(path, *NOISY_FOLDERS) and _folders(path, *CLEAN_FOLDERS))

    @cached_property
    def _places(self) -> tuple[Path, Path]:
        """The folders of captures and references."""
        noisy, clean = _folders(self.folder, *NOISY_FOLDERS), _folders(self.folder, *CLEAN_FOLDERS)
        for found in (noisy, clean):
            if len(found) > 1:
                raise UserError(f"Folder {self.folder} holds {_names(found)}; keep one of them.")
        return noisy[0], clean[0]

    def find_views(self) -> dict[str, View]:
        noisy, clean = self._places
        for place in (noisy, clean):
            if not _images_and_folders(place):
                list_images(place)  # says so
        captures, references = _by_name(_images_and_folders(noisy)), _by_name(_images_and_folders(clean))
        views = {}
        for image, (capture, reference) in _paired(captures, references).items():
            several = list_images(capture) if capture.is_dir() else [capture]
            alone = list_images(reference) if reference.is_dir() else [reference]
            if len(alone) > 1:
                raise UserError(f"Folder {reference} holds {len(alone)} images ({_names(alone)}); a reference is one.")
            views[image] = View(list(_by_name(several).values()), alone[0])
        return views

    @cached_property
    def _remarks(self) -> list[str]:
        paired = sorted({path for view in self.views.values() for path in (view.reference, *view.captures)})
        beside = [path.name for path in image_files(self.folder)]
        beside += [name for name in left_out(self.folder) if name.rstrip("/") not in {p.name for p in self._places}]
        found = remark(self.folder, beside)
        for place in self._places:
            # Folders in there hold captures.
            found += remark(place, [name for name in left_out(place) if not name.endswith("/")])
        for folder in sorted({path.parent for path in paired} - set(self._places)):
            found += remark(folder, left_out(folder))
        found += self._file_remarks()
        counts = {image: self.captures(image) for image in self.images}
        if min(counts.values()) < max(counts.values()):
            most = max(counts, key=counts.__getitem__)
            found.append(
                f"Images have {min(counts.values())} to {counts[most]} captures ({most}: the most); as many are used "
                "of each as --repeats says, the first ones."
            )
        return found


#: Words in a file name that tell a capture, and a reference, from its partner; any case, between _ - . or blanks.
NOISY_WORDS = frozenset({"noisy", "noise", "real", "n"})
CLEAN_WORDS = frozenset({"clean", "gt", "mean", "cl", "ref", "reference"})


def _paired(captures: Mapping[str, Path], references: Mapping[str, Path]) -> dict[str, tuple[Path, Path]]:
    """Capture and reference by image, the references in order; raises `UserError` for whatever has no one partner."""
    both = captures.keys() & references.keys()
    pairs = {name: (captures[name], references[name]) for name in both}
    lone = {name: _keys(name, NOISY_WORDS) for name in captures if name not in both}
    for name in [name for name in references if name not in both]:
        keys = _keys(name, CLEAN_WORDS)
        partners = [other for other, theirs in lone.items() if theirs & keys]
        if not partners:
            raise UserError(
                f"Image {references[name]} has no capture: there is neither an image nor a folder named {name} among "
                "the noisy ones."
            )
        if len(partners) > 1:
            raise UserError(
                f"Image {references[name]} may belong to {_names(captures[other] for other in partners)}; give the "
                "two that belong together the same name."
            )
        (partner,) = partners
        shared = sorted(lone.pop(partner) & keys, key=len)[-1]
        if shared in pairs:
            other, mine = pairs[shared][1], references[name]
            raise UserError(f"Images {other} and {mine} are both named {shared!r}; names must be unique.")
        pairs[shared] = (captures[partner], references[name])
    if lone:
        raise UserError(
            f"Without a clean image: {counted(len(lone), 'capture')} "
            f"({_names(captures[name] for name in sorted(lone))}). "
            "Add references under the same names, or move them away."
        )
    return dict(sorted(pairs.items(), key=lambda pair: pair[1][1]))


# Of the words of a reference those that nobody gives to a picture for another reason.
_PLAIN_WORDS = frozenset({"clean", "gt"})


def _pairs_by_name(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Capture and reference by image, in a folder or in its sub-folders; nothing unless every image has its partner."""
    if named_as_images(folder):
        return _pairs_in(folder)
    pairs: dict[str, tuple[Path, Path]] = {}
    for place in (path for path in own_entries(folder) if path.is_dir() and named_as_images(path)):
        inside = _pairs_in(place)
        if not inside:
            return {}
        pairs |= {f"{_folder_id(place)}/{image}": pair for image, pair in inside.items()}
    return pairs


def _pairs_in(folder: Path) -> dict[str, tuple[Path, Path]]:
    try:
        pairs = _paired(*_split(folder))
    except UserError:
        return {}
    return pairs if all(_sure(*pair) for pair in pairs.values()) else {}


def _split(folder: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Images by name: those that are not called clean, and those that are."""
    named = _by_name(named_as_images(folder))
    clean = {name: path for name, path in named.items() if _words(name) & CLEAN_WORDS}
    return {name: path for name, path in named.items() if name not in clean}, clean


def _sure(capture: Path, reference: Path) -> bool:
    return bool(_words(image_id(capture.name)) & NOISY_WORDS or _words(image_id(reference.name)) & _PLAIN_WORDS)


def _refuse_half_pairs(folder: Path) -> None:
    """Raise `UserError` where most images are pairs by their names, and others would make all of them clean ones."""
    captures, references = _split(folder)
    partners: dict[str, list[Path]] = {}
    for name, path in captures.items():
        for key in _keys(name, NOISY_WORDS):
            partners.setdefault(key, []).append(path)
    paired: set[Path] = set()
    for name, reference in references.items():
        found = [path for key in _keys(name, CLEAN_WORDS) for path in partners.get(key, ()) if _sure(path, reference)]
        paired |= {reference, *found} if found else set()
    others = [path for path in (*captures.values(), *references.values()) if path not in paired]
    if len(paired) > len(others):
        raise UserError(
            f"Folder {folder} holds pairs of noisy and clean images by their names, and {len(others)} that are none or "
            f"fit several ({_names(others or sorted(paired))}); move these away, or make folders noisy/ and clean/."
        )


def _pairs(count: int) -> str:
    return "1 pair" if count == 1 else f"{count} pairs"


def _words(name: str) -> set[str]:
    return {word.casefold() for word in re.findall(r"[^_\-. ]+", name)}


def _keys(name: str, words: frozenset[str]) -> set[str]:
    """A name, and what is left of it without one of the words."""
    keys = {name}
    for match in re.finditer(r"[^_\-. ]+", name):
        if match[0].casefold() in words:
            before, after = name[: match.start()], name[match.end() :]
            keys.add(before + after[1:] if before and after else before[:-1] or after[1:])
    return keys - {""}


def _by_name(paths: Iterable[Path]) -> dict[str, Path]:
    """Files and folders by image id; raises `UserError` for two of one name."""
    found: dict[str, Path] = {}
    for path in paths:
        name = _folder_id(path) if path.is_dir() else image_id(path.name)
        if name in found:
            raise UserError(
                f"Folder {path.parent} holds several images named {name!r} ({found[name].name} and {path.name}); "
                "names must be unique."
            )
        found[name] = path
    return found


def _folder_id(path: Path) -> str:
    return unicodedata.normalize("NFC", readable(path.name))


def _images_and_folders(folder: Path) -> list[Path]:
    """Image files and sub-folders, sorted; hidden files and those of a system are neither."""
    return sorted([*image_files(folder), *(path for path in own_entries(folder) if path.is_dir())])


def _folders(folder: Path, *names: str) -> list[Path]:
    """Sub-folders of these names, in any case."""
    return [path for path in own_entries(folder) if path.name.lower() in names and path.is_dir()]


def _names(paths: Iterable[Path]) -> str:
    return some([str(path) for path in paths])


def _look(path: Path, reference: bool) -> _File:
    data = image_bytes(path)
    header = header_of(data, path, deep=True)
    pixels = None if header.values == "uint8" else deep_pixels(header, path)
    ends = _ends_of(pixels) if pixels is not None and reference else None
    return _File(hashlib.sha256(data).hexdigest(), replace(header, data=b""), ends)


def _ends_of(pixels: AnyImage) -> _Ends:
    count, few = pixels.size, pixels.size // 1000
    low, high = np.partition(pixels, (few, count - 1 - few), axis=None)[[few, count - 1 - few]]
    return float(pixels.min()), float(low), float(high), float(pixels.max())


def _header(path: Path) -> Header:
    return header_of(image_bytes(path), path)
