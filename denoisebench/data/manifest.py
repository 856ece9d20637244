"""Manifests: the list of a data set's images with sizes and SHA-256, read, written and made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from denoisebench.core.errors import UserError
from denoisebench.core.files import read_text, write_text
from denoisebench.protocol.images import image_id, pixel_hash, read_picture

MANIFEST_COLUMNS = ("file", "width", "height", "channels", "sha256", "pixels_sha256")


@dataclass(frozen=True)
class Entry:
    """One line of a manifest: file name, size, SHA-256 of the file and of its decoded pixels."""

    file: str
    width: int
    height: int
    channels: int
    sha256: str
    pixels: str

    @property
    def image(self) -> str:
        """The image's id: its file name without extension, with the folders before it."""
        return image_id(self.file)


def read_manifest(path: Path) -> list[Entry]:
    """Read a manifest (TSV with a header of `MANIFEST_COLUMNS`).

    Raises
    ------
    UserError
        The manifest is missing or damaged, or names an image twice.
    """
    columns = ", ".join(MANIFEST_COLUMNS)
    if not path.is_file():
        raise UserError(
            f"Manifest {path} does not exist; put it back beside what names it, or make it anew with data manifest."
        )
    try:
        lines = read_text(path).splitlines()
    except UserError as error:
        raise UserError(f"Manifest: {error}") from None
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    if not rows or tuple(rows[0]) != MANIFEST_COLUMNS:
        raise UserError(f"Manifest {path} is damaged: expected columns {columns}.")
    entries = []
    for row in rows[1:]:
        try:
            file, width, height, channels, sha256, pixels = row
            if not _listable(file):
                raise ValueError
            entries.append(Entry(file, int(width), int(height), int(channels), sha256, pixels))
        except ValueError:
            raise UserError(f"Manifest {path} is damaged in {row!r}: expected columns {columns}.") from None
    refuse_twins(entries, f"Manifest {path}")
    return entries


def _listable(file: str) -> bool:
    """Whether a path may stand in a manifest: below its folder on any system, and in one line and column."""
    return file.isprintable() and not set(file) & set("\\:") and not set(file.split("/")) & {"", ".", ".."}


def entry_of(path: Path) -> Entry:
    """The manifest entry of an image file."""
    return read_entry(path)[0]


def read_entry(path: Path) -> tuple[Entry, bool]:
    """The manifest entry of an image file, and whether its orientation turned it."""
    picture = read_picture(path)
    height, width, channels = picture.pixels.shape
    entry = Entry(path.name, width, height, channels, picture.sha256, pixel_hash(picture.pixels))
    return entry, picture.turned


def write_manifest(path: Path, entries: Sequence[Entry], comment: str = "") -> None:
    """Write a manifest that `read_manifest` reads.

    Raises
    ------
    UserError
        A file has a name that cannot stand in one, or the disk is full.
    """
    bad = next((entry.file for entry in entries if not _listable(entry.file) or entry.file.startswith("#")), None)
    if bad is not None:
        raise UserError(
            f"The file name {bad!r} cannot stand in a manifest (\\, :, # in front, line breaks); rename it."
        )
    lines = [f"# {line}" for line in comment.splitlines()] + ["\t".join(MANIFEST_COLUMNS)]
    lines += ["\t".join(map(str, (e.file, e.width, e.height, e.channels, e.sha256, e.pixels))) for e in entries]
    write_text(path, "\n".join(lines) + "\n")


def refuse_twins(entries: Sequence[Entry], where: str) -> None:
    """Raise a `UserError` if two entries have one id; ``where`` begins the sentence."""
    counts = Counter(entry.image for entry in entries)
    twice = next((image for image, count in counts.items() if count > 1), None)
    if twice is not None:
        raise UserError(f"{where} holds several images named {twice!r}; names must be unique.")
