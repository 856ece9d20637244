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

from denoisebench.core.errors import UserError, unknown
from denoisebench.core.systemfiles import own_entries
from denoisebench.data.dataset import FolderSet, OwnFolder, changed, remark, turned_remark
from denoisebench.data.manifest import Entry, entry_of, read_manifest
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
    some,
)


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
            data = image_bytes(path)
            if hashlib.sha256(data).hexdigest() != self._file_hashes[path]:
                raise changed(path)
            pixels = decode_image(data, path)
        if pixels.shape[2] != self.channels:
            raise UserError(
                f"Image {path} has {pixels.shape[2]} channels, but data set {self.name!r} has {self.channels}."
            )
        return pixels

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
        """Every capture has the size of its reference, by the headers of the files."""
        sizes = {path: _header(path).size for path in (view.reference, *view.captures)}
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


class AnyPairs(OwnFolder, PairSet):
    """Any folder with a sub-folder ``clean`` (or ``gt``) and one named ``noisy``: the user's own real noise.

    ``noisy`` holds one capture of each clean image under the same name, or several in a folder of that name. Names that
    differ by one word that says which is which (`NOISY_WORDS`, `CLEAN_WORDS`) belong together too.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        first = next(iter(self.views.values())).reference
        self.channels = int(decode_image(image_bytes(first), first).shape[2])
        self.paper_repeats = min(map(self.captures, self.images))

    @staticmethod
    def fits(path: Path) -> bool:
        """Whether a folder is laid out like this."""
        return bool(_folders(path, "noisy") and _folders(path, "clean", "gt"))

    @staticmethod
    def check_references(path: Path) -> None:
        """Raise `UserError` for a folder of captures without references: nothing can be scored on it."""
        if _folders(path, "noisy") and not _folders(path, "clean", "gt") and not image_files(path):
            raise UserError(
                f"Folder {path} holds noisy/ and neither clean/ nor gt/, so nothing can be scored on it; denoisebench "
                "rank and denoise take noisy images alone."
            )

    @cached_property
    def _places(self) -> tuple[Path, Path]:
        """The folders of captures and references."""
        noisy, clean = _folders(self.folder, "noisy"), _folders(self.folder, "clean", "gt")
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
        found += turned_remark([path.name for path in self._turned])
        counts = {image: self.captures(image) for image in self.images}
        if min(counts.values()) < max(counts.values()):
            most = max(counts, key=counts.__getitem__)
            found.append(
                f"Images have {min(counts.values())} to {counts[most]} captures ({most}: the most); as many are used "
                "of each as --repeats says, the first ones."
            )
        return found

    def verify(self) -> None:
        for view in self.views.values():
            self._verify_sizes(view)


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
            f"{len(lone)} captures have no clean image: {_names(captures[name] for name in sorted(lone))}. Add their "
            "references under the same names, or move them away."
        )
    return dict(sorted(pairs.items(), key=lambda pair: pair[1][1]))


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
        name = unicodedata.normalize("NFC", path.name) if path.is_dir() else image_id(path.name)
        if name in found:
            raise UserError(
                f"Folder {path.parent} holds several images named {name!r} ({found[name].name} and {path.name}); "
                "names must be unique."
            )
        found[name] = path
    return found


def _images_and_folders(folder: Path) -> list[Path]:
    """Image files and sub-folders, sorted; hidden files and those of a system are neither."""
    return sorted([*image_files(folder), *(path for path in own_entries(folder) if path.is_dir())])


def _folders(folder: Path, *names: str) -> list[Path]:
    """Sub-folders of these names, in any case."""
    return [path for path in own_entries(folder) if path.name.lower() in names and path.is_dir()]


def _names(paths: Iterable[Path]) -> str:
    return some([str(path) for path in paths])


def _header(path: Path) -> Header:
    return header_of(image_bytes(path), path)
