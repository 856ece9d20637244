"""What a data set is: named images with a manifest against which the files on disk are checked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from denoisebench.errors import UserError
from denoisebench.images import UIntImage, list_images, pixel_hash, read_image, to_channels

DATA_VARIABLE = "DENOISEBENCH_DATA"
MANIFEST_COLUMNS = ("file", "width", "height", "channels", "sha256", "pixels_sha256")


class MissingData(UserError):
    """A data set is not on this machine; says where to get it and where to put it."""


@dataclass(frozen=True)
class Entry:
    """One line of a manifest: file name, size, SHA-256 of the file and of its decoded pixels."""

    file: str
    width: int
    height: int
    channels: int
    sha256: str
    pixels: str


@dataclass(frozen=True)
class Archive:
    """Something `denoisebench data fetch` can download: address, SHA-256, and what to take out of it."""

    url: str
    sha256: str | None
    members: str
    size: str


def data_roots(explicit: Path | None = None) -> list[Path]:
    """Folders searched for data sets: ``--data-root`` alone if given, else DENOISEBENCH_DATA, user cache."""
    if explicit is not None:
        return [explicit]
    roots = [Path(os.environ[DATA_VARIABLE])] if os.environ.get(DATA_VARIABLE) else []
    return [*roots, cache_root()]


def cache_root() -> Path:
    """Where fetched data go."""
    from platformdirs import user_cache_path

    return user_cache_path("denoisebench") / "data"


def read_manifest(path: Path) -> list[Entry]:
    """Read a manifest (TSV with a header of `MANIFEST_COLUMNS`)."""
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    if not rows or tuple(rows[0]) != MANIFEST_COLUMNS or any(len(row) != 6 for row in rows):
        raise UserError(f"Manifest {path} is damaged: expected columns {', '.join(MANIFEST_COLUMNS)}.")
    return [Entry(f, int(w), int(h), int(c), s, p) for f, w, h, c, s, p in rows[1:]]


class DataSet:
    """Images by id, in a fixed order. Subclass this, or `FolderSet` for a folder with a manifest."""

    #: Name on the command line and in results.
    name: str
    #: Heading in tables.
    title: str
    #: 1 or 3.
    channels: int
    #: Repetitions of this test set in the paper's protocol (each image is drawn this many times).
    paper_repeats: int = 1
    #: Where the images come from and what may be done with them.
    source: str = ""
    licence: str = ""

    @property
    def images(self) -> Sequence[str]:
        """Image ids in evaluation order."""
        raise NotImplementedError

    def load(self, image: str) -> UIntImage:
        """The clean image, (H, W, channels) uint8."""
        raise NotImplementedError

    def verify(self) -> None:
        """Raise a `UserError` unless the images on disk are exactly those of the set."""
        raise NotImplementedError

    @property
    def data_hash(self) -> str:
        """SHA-256 over ids and pixels: two equal hashes mean equal images."""
        raise NotImplementedError


class FolderSet(DataSet):
    """A data set that is a folder of image files, known by a manifest.

    Parameters
    ----------
    roots : folders to search for one of ``folders``
    """

    #: Names the folder may have below a data root; the first is the one we ask for.
    folders: ClassVar[tuple[str, ...]]
    #: Manifest file; None if no list of the images could be made (then files are hashed as found).
    manifest: ClassVar[Path | None] = None
    #: Number of images in the original set.
    count: ClassVar[int]
    #: What to tell a user who has to get the set by hand.
    how: ClassVar[str] = ""
    archive: ClassVar[Archive | None] = None

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = list(roots)

    @cached_property
    def folder(self) -> Path:
        """The folder on this machine.

        Raises
        ------
        MissingData
            Naming every place that was searched, the source, and the command that fetches it.
        """
        places = [root / name for root in self._roots for name in self.folders]
        for place in places:
            if place.is_dir():
                return place
        fetch = f" Run: denoisebench data fetch {self.name}." if self.archive else ""
        raise MissingData(
            f"Data set {self.name!r} ({self.count} images) is not on this machine. Looked for "
            f"{', '.join(map(str, places))}. Get it from {self.source}{' ' + self.how if self.how else ''} "
            f"and put the files into {places[0]}, or name another root with --data-root or "
            f"{DATA_VARIABLE}.{fetch}"
        )

    @cached_property
    def entries(self) -> list[Entry]:
        """The manifest, or one made from the files found where none is shipped."""
        if self.manifest is not None:
            return read_manifest(self.manifest)
        return [entry_of(path) for path in list_images(self.folder)]

    @property
    def images(self) -> Sequence[str]:
        return [Path(entry.file).stem for entry in self.entries]

    def load(self, image: str) -> UIntImage:
        entry = next(entry for entry in self.entries if Path(entry.file).stem == image)
        return to_channels(read_image(self._path(entry)), self.channels)

    def _path(self, entry: Entry) -> Path:
        """The file of an entry; another extension of the same name will do (a PNG of a published JPEG)."""
        exact = self.folder / entry.file
        if exact.is_file():
            return exact
        others = [path for path in self._files() if path.stem == exact.stem]
        return others[0] if others else exact

    def _files(self) -> list[Path]:
        return list_images(self.folder)

    def verify(self) -> None:
        stems = {Path(entry.file).stem for entry in self.entries}
        files = self._files()
        missing = sorted(stems - {path.stem for path in files})
        if missing:
            raise UserError(
                f"Data set {self.name!r} in {self.folder} lacks {len(missing)} of {len(stems)} images: "
                f"{_some(missing)}. Get them from {self.source}"
            )
        extra = sorted(path.name for path in files if path.stem not in stems)
        if extra:
            raise UserError(
                f"Data set {self.name!r} in {self.folder} has {len(extra)} images that do not belong to it: "
                f"{_some(extra)}. Move them away, or give the folder itself to --datasets to use it as it is."
            )
        for entry in self.entries:
            self._verify(entry)

    def _verify(self, entry: Entry) -> None:
        path = self._path(entry)
        if hashlib.sha256(path.read_bytes()).hexdigest() == entry.sha256:
            return
        pixels = read_image(path)
        height, width, channels = pixels.shape
        if (width, height, channels) != (entry.width, entry.height, entry.channels):
            raise UserError(
                f"Image {path} has the wrong size for data set {self.name!r}: {width}x{height} with "
                f"{channels} channels instead of {entry.width}x{entry.height} with {entry.channels}. "
                "Another version of this set under the same name? Its numbers would not be comparable."
            )
        if pixel_hash(pixels) != entry.pixels:
            raise UserError(
                f"Image {path} was altered: its pixels are not those of data set {self.name!r} (recompressed "
                f"or edited?). Replace it with the original from {self.source}"
            )

    @cached_property
    def data_hash(self) -> str:
        lines = [f"{Path(entry.file).stem} {entry.pixels}" for entry in self.entries]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class AnyFolder(FolderSet):
    """Any folder of images, all gray or all colour, used as it is.

    Parameters
    ----------
    path : the folder; its name stands for the set in seeds and tables
    """

    source = "the user's own folder"
    licence = "the user's own"

    def __init__(self, path: Path) -> None:
        super().__init__([path.parent])
        self.folder = path
        self.name = self.title = path.resolve().name
        counts = {entry.channels for entry in self.entries}
        if len(counts) > 1:
            gray = next(entry.file for entry in self.entries if entry.channels == 1)
            colour = next(entry.file for entry in self.entries if entry.channels == 3)
            raise UserError(
                f"Folder {path} mixes gray and colour images (gray: {gray}; colour: {colour}). "
                "A data set is all gray or all colour; split the folder or convert the files."
            )
        self.channels = counts.pop()
        stems = [Path(entry.file).stem for entry in self.entries]
        twice = next((stem for stem in stems if stems.count(stem) > 1), None)
        if twice is not None:
            raise UserError(f"Folder {path} holds several images named {twice!r}; names must be unique.")

    def verify(self) -> None:
        """Nothing to check against: reading the entries has read every image."""


def entry_of(path: Path) -> Entry:
    """The manifest entry of an image file."""
    pixels = read_image(path)
    height, width, channels = pixels.shape
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Entry(path.name, width, height, channels, sha256, pixel_hash(pixels))


def write_manifest(path: Path, entries: Sequence[Entry], comment: str = "") -> None:
    """Write a manifest that `read_manifest` reads."""
    lines = [f"# {line}" for line in comment.splitlines()] + ["\t".join(MANIFEST_COLUMNS)]
    lines += ["\t".join(map(str, (e.file, e.width, e.height, e.channels, e.sha256, e.pixels))) for e in entries]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _some(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
