"""Writing the file of a data set, and its manifest, for a folder of images."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from denoisebench.core.errors import UserError, no_folder
from denoisebench.core.files import CannotWrite, write_text
from denoisebench.data.captures import AnyPairs, NamedPairs, folder_set
from denoisebench.data.dataset import OwnFolder
from denoisebench.data.definition import NAME, is_built_in, parse
from denoisebench.data.manifest import write_manifest
from denoisebench.plugins.registry import DATASETS, TOML

#: Folder for manifests beside the files of data sets, where there is one.
MANIFESTS = "manifests"
_HEAD = "# What the keys mean, and which others there are: denoisebench/data/definition.py.\n"


@dataclass(frozen=True)
class Written:
    """The two files of a data set, the number of its images, and a command that uses it."""

    path: Path
    manifest: Path
    count: int
    command: str


def write_dataset(folder: Path, name: str | None = None, out: Path | None = None) -> Written:
    """Describe a folder of images as a data set: ``NAME.toml`` and its manifest.

    Parameters
    ----------
    folder : Path
        Images, all gray or all colour, or ``noisy`` and ``clean`` (or ``gt``) with files of equal names.
    name : str, optional
        Of the data set; that of the folder if not given.
    out : Path, optional
        Where the file goes; beside the folder if not given. The manifest goes beside it, or into ``manifests`` there.

    Raises
    ------
    UserError
        The folder is no data set, the name is taken or not allowed, or a file exists: nothing is overwritten.
    """
    if not folder.is_dir():
        raise no_folder(folder, "Give one that holds images.")
    # Not resolved: a link is called what the user calls it.
    folder = Path(os.path.abspath(folder))
    name = folder.name if name is None else name
    path, manifest = _places(name, folder.parent if out is None else out)
    found = folder_set(folder, None)
    if isinstance(found, NamedPairs):
        raise UserError(
            f"{found.advice} A manifest is made of pairs in two folders: move them to noisy/ and clean/ in {folder}."
        )
    if isinstance(found, AnyPairs) and found.scoring != "uint8":
        raise UserError(
            f"The pairs in {folder} have more than 8 bits, and a manifest lists 8-bit images; give the folder itself "
            "to --datasets."
        )
    found.verify()
    facts = _facts_of_pairs(found) if isinstance(found, AnyPairs) else _facts_of_images(found)
    table = {
        "title": name,
        **facts,
        "folders": list(dict.fromkeys([folder.name, name])),
        "manifest": manifest.relative_to(path.parent).as_posix(),
        "source": "its makers (not stated)",
        "licence": "not stated",
    }
    # JSON's texts, numbers and lists of them are TOML's too.
    text = _HEAD + "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in table.items())
    dataset = parse(path, text)([])
    dataset.folder = folder
    # Those of a folder of images are known already; hashing them takes its time.
    entries = dataset.found_entries() if isinstance(found, AnyPairs) else found.entries
    other = next((entry for entry in entries if entry.channels != dataset.channels), None)
    if other is not None:
        raise UserError(
            f"Image {folder / other.file} has {other.channels} channels and others {dataset.channels}; a data set is "
            "all gray or all colour."
        )
    write_manifest(manifest, entries, f"{name}: {len(entries)} files, made by denoisebench data manifest")
    try:
        write_text(path, text)
    except CannotWrite:
        manifest.unlink()
        raise
    return Written(path, manifest, facts["count"], _command(path, folder, isinstance(found, AnyPairs)))


def _places(name: str, place: Path) -> tuple[Path, Path]:
    """Where the file and the manifest go; an error if that cannot be."""
    if not NAME.fullmatch(name):
        raise UserError(f"Data set name {name!r} is not allowed: use letters, digits, _ and -. Choose one with --name.")
    if name in DATASETS.names():
        raise UserError(f"The data set name {name!r} is taken ({DATASETS.origin(name)}). Choose another with --name.")
    if not place.is_dir():
        raise no_folder(place, "Make it, or choose another one with --out.")
    path = place / f"{name}{TOML}"
    manifest = (place / MANIFESTS if (place / MANIFESTS).is_dir() else place) / f"{name}.tsv"
    for file in (path, manifest):
        if file.exists():
            raise UserError(f"File {file} exists, and nothing is overwritten. Choose another --name or --out.")
    return path, manifest


def _facts_of_images(found: OwnFolder) -> dict[str, Any]:
    count, what = len(found.entries), "gray" if found.channels == 1 else "colour"
    return {"summary": f"{count} {what} images.", "kind": "images", "channels": found.channels, "count": count}


def _facts_of_pairs(found: AnyPairs) -> dict[str, Any]:
    several = next((image for image in found.images if found.captures(image) > 1), None)
    if several is not None:
        raise UserError(
            f"Image {several!r} of {found.folder} has several captures; a manifest is made of pairs. Give the folder "
            "itself to --datasets to use it as it is."
        )
    count = len(found.images)
    facts: dict[str, Any] = {"summary": f"{count} pairs of a noisy and a clean image.", "kind": "pairs"}
    facts |= {"channels": found.channels, "count": count}
    return facts if (found.folder / "clean").is_dir() else {**facts, "clean-folder": "gt"}


def _command(path: Path, folder: Path, pairs: bool) -> str:
    """What to try next."""
    if is_built_in(path):
        return f"data status {path.stem}"
    words = ["run", "--plugin", str(path), *(["--noise", "real"] if pairs else []), "--datasets", path.stem]
    if path.parent.resolve() != folder.parent.resolve():
        words += ["--data-root", str(folder.parent)]
    return shlex.join(words)
