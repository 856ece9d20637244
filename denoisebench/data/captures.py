"""Data sets of real noisy captures that are image files: a scene's captures beside its clean reference."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from denoisebench.core.errors import UserError, unknown
from denoisebench.core.files import file_sha256
from denoisebench.core.text import readable
from denoisebench.data.dataset import FolderSet, OwnFolder
from denoisebench.data.manifest import Entry, read_manifest
from denoisebench.protocol.images import AnyImage, list_images, read_image


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
        pixels = read_image(path)
        if pixels.shape[2] != self.channels:
            raise UserError(
                f"Image {path} has {pixels.shape[2]} channels, but data set {self.name!r} has {self.channels}."
            )
        return pixels

    @cached_property
    def entries(self) -> list[Entry]:
        """The manifest; nothing is hashed where none is shipped."""
        return read_manifest(self.manifest) if self.manifest is not None else []

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
        sizes = {path: _size(path) for path in (view.reference, *view.captures)}
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
                f"{image} {path.name} {file_sha256(path)}"
                for image, view in self.views.items()
                for path in (view.reference, *view.captures)
                if path.is_file()
            ]
        return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


class PairSet(CaptureSet):
    """Captures in one sub-folder, references in another; files that belong together share a part of their names."""

    noisy_folder: ClassVar[str] = "noisy"
    clean_folder: ClassVar[str] = "clean"

    def key(self, name: str) -> str:
        """The image id in a file name without extension."""
        return name

    def find_views(self) -> dict[str, View]:
        noisy, clean = self.folder / self.noisy_folder, self.folder / self.clean_folder
        references = {self.key(readable(path.stem)): path for path in list_images(clean)}
        captures: dict[str, list[Path]] = {}
        for path in list_images(noisy):
            captures.setdefault(self.key(readable(path.stem)), []).append(path)
        for image in captures.keys() ^ references.keys():
            lone = captures[image][0] if image in captures else references[image]
            other = clean if image in captures else noisy
            raise UserError(f"Image {lone} of data set {self.name!r} has no partner in {other}.")
        return {image: View(sorted(captures[image]), references[image]) for image in sorted(references)}

    def verify(self) -> None:
        super().verify()
        self._verify_count(len(self.views))


class AnyPairs(OwnFolder, PairSet):
    """Any folder with a sub-folder ``clean`` (or ``gt``) and one named ``noisy``: the user's own real noise.

    ``noisy`` holds one capture of each clean image under the same name, or several in a folder of that name.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.channels = int(read_image(next(iter(self.views.values())).reference).shape[2])
        self.paper_repeats = min(map(self.captures, self.images))

    @staticmethod
    def fits(path: Path) -> bool:
        """Whether a folder is laid out like this."""
        return (path / "noisy").is_dir() and any((path / name).is_dir() for name in ("clean", "gt"))

    def find_views(self) -> dict[str, View]:
        noisy = self.folder / "noisy"
        clean = next(self.folder / name for name in ("clean", "gt") if (self.folder / name).is_dir())
        # Without its own images list_images would find nothing in a folder of folders.
        single = {path.stem: path for path in list_images(noisy)} if any(map(Path.is_file, noisy.iterdir())) else {}
        views = {}
        for reference in list_images(clean):
            several = noisy / reference.stem
            if not several.is_dir() and reference.stem not in single:
                raise UserError(f"Image {reference} has no capture: neither {several}.* nor a folder {several}.")
            captures = list_images(several) if several.is_dir() else [single[reference.stem]]
            views[readable(reference.stem)] = View(captures, reference)
        return views

    def verify(self) -> None:
        for view in self.views.values():
            self._verify_sizes(view)


def _size(path: Path) -> tuple[int, int]:
    """Width and height, from the header."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.size
    except FileNotFoundError:
        raise UserError(f"Image {path} does not exist.") from None
    except Exception as error:  # Pillow raises many types on damaged files
        raise UserError(f"Image {path} is corrupt or no image ({error}); replace it.") from None
