"""Data sets that are only data: TOML files, read and checked, and the classes made of them.

A data set ``photos`` is the file ``photos.toml``:

    title = "Photographs"              # heading in tables
    summary = "Ten photographs."       # one sentence
    description = "..."                # optional, as are most keys below: what else a reader should know
    traps = "..."                      # what makes numbers on it wrong or not comparable
    kind = "images"                    # a key of `KINDS`
    channels = 3
    count = 10
    repeats = 1                        # draws of each image in the paper's protocol
    folders = ["photos", "Photos"]     # names the folder may have below a data root
    glob = "*_HR.*"                    # where the folder holds other images too
    manifest = "manifests/photos.tsv"  # beside this file
    source = "https://..."
    licence = "CC0"
    how = "..."                        # for those who have to get it by hand

    [download]
    address = "https://.../{file}"     # {file}: every file of the manifest, or of a list called files
    size = "about 1 MB"

Such a file may come from a stranger: it names data, not code, and no place outside the folders that are searched.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path, PurePosixPath
from typing import Any, cast

from denoisebench.core.errors import UserError, unknown
from denoisebench.core.files import Damaged, read_text
from denoisebench.core.places import package_places
from denoisebench.core.provenance import full_digest
from denoisebench.data.captures import PairSet
from denoisebench.data.dataset import Archive, DataSet, FolderSet
from denoisebench.data.fmdd import FMDDLeaveOneOut, FMDDTest, FMDDTrain
from denoisebench.data.sidd_raw import RawBlocks, RawScenes

#: Most bytes of such a file.
LARGEST = 2**20
#: What a data set may be called on the command line.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_TYPES = {str: "text", int: "a whole number", bool: "true or false", list: "a list of texts", dict: "a table"}


@dataclass(frozen=True)
class Key:
    """What the value of a key must be.

    Parameters
    ----------
    kind : type
        Of the value: str, int, bool, list (of texts) or dict.
    flaw : callable, optional
        Says what is wrong with a value of that type, as the end of a sentence; '' if nothing is.
    attribute : str, optional
        The class attribute that it becomes, if its name is another.
    """

    kind: type
    flaw: Callable[[Any], str] = lambda value: ""
    attribute: str = ""


@dataclass(frozen=True)
class Kind:
    """A class that a definition can be made of, and the keys that only it takes."""

    base: type[FolderSet]
    keys: Sequence[str] = ()


@dataclass(frozen=True)
class Definition:
    """The file that a class was made of, and what it says that decides pixels and ids of images."""

    path: Path
    deciding: Mapping[str, Any]

    @cached_property
    def digest(self) -> str:
        """Of what decides pixels and ids."""
        return full_digest(self.deciding)


def _empty(value: Any) -> str:
    return "" if value else "must not be empty"


def _up_to(most: int) -> Callable[[int], str]:
    return lambda value: "" if 0 < value <= most else f"must be from 1 to {most:,}"


def _outside(value: str) -> str:
    """Paths that could lie elsewhere than below the folder they belong to, on any system."""
    plain = value and not set(value) & set("\\:\0") and not set(value.split("/")) & {"", ".", ".."}
    return "" if plain else f"must be a path below its folder, without .. and :, not {value!r}"


def _all(flaw: Callable[[str], str]) -> Callable[[list[str]], str]:
    return lambda values: next((text for value in values if (text := flaw(value))), "") if values else _empty(values)


def _pattern(value: str) -> str:
    try:
        groups = re.compile(value).groups
    except re.error as error:
        return f"is no regular expression ({error})"
    return "" if groups == 1 else "must be a regular expression with one group (...), the image's id"


def _address(value: str) -> str:
    place = value.replace("{file}", "file")
    if not re.fullmatch(r"https?://[^\s{}]+", place):
        return "must begin with http:// or https:// and have no braces but {file}"
    return _outside(PurePosixPath(place).name)


_PROSE = ("title", "summary", "description", "traps", "source", "licence", "how", "size")
_DOWNLOAD: Mapping[str, Key] = {
    "address": Key(str, _address, "url"),
    "size": Key(str, _empty),
    "members": Key(str),
    "sha256": Key(str, lambda value: "" if re.fullmatch("[0-9a-f]{64}", value) else "must be 64 hexadecimal digits"),
    "password": Key(str),
    "files": Key(list, _all(_outside)),
}
_KEYS: Mapping[str, Key] = {
    "title": Key(str, _empty),
    "summary": Key(str, _empty),
    "description": Key(str),
    "traps": Key(str),
    "kind": Key(str),
    "folders": Key(list, _all(_outside)),
    "manifest": Key(str, _outside),
    "count": Key(int, _up_to(10**7)),
    "repeats": Key(int, _up_to(10_000), "paper_repeats"),
    "source": Key(str, _empty),
    "licence": Key(str, _empty),
    "how": Key(str),
    "training": Key(str),
    "download": Key(dict, attribute="archive"),
    # Of some kinds only, as `KINDS` says.
    "channels": Key(int, lambda value: "" if value in (1, 3) else "must be 1 (gray) or 3 (colour)"),
    "glob": Key(str, _empty),
    "package": Key(str, lambda value: "" if value.isidentifier() else "must be the name of an installed package"),
    "shared": Key(bool),
    "id": Key(str, _pattern, "id_pattern"),
    "noisy-folder": Key(str, _outside, "noisy_folder"),
    "clean-folder": Key(str, _outside, "clean_folder"),
    "noisy": Key(str, _outside),
    "clean": Key(str, _outside),
    "referenced": Key(bool),
}
#: What a definition may be: a folder of images, one of noisy and clean images, or a data set with a layout of its own.
KINDS: Mapping[str, Kind] = {
    "images": Kind(FolderSet, ("channels", "glob", "package", "shared")),
    "pairs": Kind(PairSet, ("channels", "id", "noisy-folder", "clean-folder")),
    "fmdd-test": Kind(FMDDTest),
    "fmdd-leave-one-out": Kind(FMDDLeaveOneOut),
    "fmdd-train": Kind(FMDDTrain),
    "sidd-raw-blocks": Kind(RawBlocks, ("noisy", "clean", "referenced")),
    "sidd-raw-frames": Kind(RawScenes),
}
_COMMON = [key for key in _KEYS if not any(key in kind.keys for kind in KINDS.values())]
# What decides pixels and ids of images; the rest is words, places, or in the hash of the data.
_DECIDING = ("channels", "glob", "id", "noisy-folder", "clean-folder", "noisy", "clean", "referenced")
# Every set has these, from its file or from its kind.
_NEEDED = ("title", "summary", "channels", "count", "folders", "source", "licence")


@cache
def define(path: Path) -> type[FolderSet]:
    """The class of a data set that is described by a TOML file; its name is that of the file.

    Parameters
    ----------
    path : Path
        The file. Unless it is one of the package, data are also searched for beside it.

    Raises
    ------
    UserError
        The file cannot be read, or a key or value is not allowed; names file and key.
    """
    try:
        return parse(path, read_text(path, LARGEST))
    except Damaged as error:
        raise UserError(f"Data set file {error}") from None


def parse(path: Path, text: str) -> type[FolderSet]:
    """`define` of a file with this text; the file itself is not looked at.

    Raises
    ------
    UserError
        As `define`.
    """
    if not NAME.fullmatch(path.stem):
        raise UserError(f"Data set name {path.stem!r} is not allowed: use letters, digits, _ and -.")
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"Data set file {path} is no TOML: {error}.") from None
    kind = table.pop("kind", None)
    if kind is None:
        raise UserError(f"{path}: kind is missing; it must be one of {', '.join(KINDS)}.")
    if not isinstance(kind, str):
        raise UserError(f"{path}: kind must be text, not {kind!r}.")
    if kind not in KINDS:
        raise unknown(f"kind of data set in {path}", kind, KINDS)
    allowed = [*_COMMON, *KINDS[kind].keys]
    _check(path, table, {key: _KEYS[key] for key in allowed}, f"key of a data set of kind {kind!r}")
    base = KINDS[kind].base
    missing = [key for key in _NEEDED if key not in table and not getattr(base, key, "")]
    if missing:
        raise UserError(f"{path}: {', '.join(missing)} missing; see the files of other data sets.")
    attributes = {_KEYS[key].attribute or key: _value(key, value) for key, value in table.items()}
    if "manifest" in table:
        attributes["manifest"] = path.parent / table["manifest"]
    if "download" in table:
        attributes["archive"] = _archive(path, table["download"], "manifest" in table)
    deciding = {"kind": kind, **{key: table[key] for key in _DECIDING if key in table}}
    return _made_class(path, base, {**attributes, "definition": Definition(path, deciding)})


def definition_of(kind: type[DataSet]) -> Definition | None:
    """What a class was made of; None for one that is written in Python."""
    return cast("Definition | None", vars(kind).get("definition"))


def built_in_files() -> list[Path]:
    """The files of the package's own data sets."""
    return sorted(path for place in package_places() for path in (place / "datasets").glob("*.toml"))


def _check(path: Path, table: Mapping[str, Any], keys: Mapping[str, Key], what: str) -> None:
    for key, value in table.items():
        if key not in keys:
            raise unknown(f"{what} in {path}", key, keys)
        kind = keys[key].kind
        if not _fits(value, kind):
            raise UserError(f"{path}: {key} must be {_TYPES[kind]}, not {value!r}.")
        texts = [value] if kind is str else value if kind is list else []
        if not all(" ".join(text.split()).isprintable() for text in texts):
            raise UserError(f"{path}: {key} holds characters that cannot be printed.")
        flaw = keys[key].flaw(value)
        if flaw:
            raise UserError(f"{path}: {key} {flaw}.")


def _fits(value: Any, kind: type) -> bool:
    if kind is list:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    # Not isinstance: true and false are whole numbers in Python.
    return type(value) is kind


def _value(key: str, value: Any) -> Any:
    """What a class holds: prose on one line, however it is broken in the file, and no lists that could change."""
    if key in _PROSE:
        return " ".join(value.split())
    return tuple(value) if isinstance(value, list) else value


def _archive(path: Path, table: Mapping[str, Any], listed: bool) -> Archive:
    _check(path, table, _DOWNLOAD, "key of [download]")
    missing = [key for key in ("address", "size") if key not in table]
    if missing:
        raise UserError(f"{path}: [download] lacks {' and '.join(missing)}.")
    single = "{file}" in table["address"]
    if single and not listed and not table.get("files"):
        raise UserError(f"{path}: [download] needs files, or the data set a manifest, for {{file}} in its address.")
    if not single and not table.get("members"):
        raise UserError(f"{path}: [download] needs members, a pattern for what to take out of the archive.")
    given = {_DOWNLOAD[key].attribute or key: _value(key, value) for key, value in table.items()}
    return Archive(**{"sha256": None, "members": "", **given})


def _made_class(path: Path, base: type[FolderSet], attributes: dict[str, Any]) -> type[FolderSet]:
    reference: Path | PurePosixPath = PurePosixPath("datasets", path.name) if is_built_in(path) else path.resolve()

    def reduce(self: FolderSet) -> tuple[Any, ...]:
        return _blank, (reference,), self.__dict__

    # A class that no module holds cannot be pickled by name, so its instances say which file it was made of.
    namespace: dict[str, Any] = {"name": path.stem, "__doc__": attributes["summary"], "__reduce__": reduce}
    if isinstance(reference, Path):

        def start(self: FolderSet, roots: Sequence[Path]) -> None:
            base.__init__(self, [*roots, path.resolve().parent])

        namespace["__init__"] = start
    return cast(type[FolderSet], type(path.stem, (base,), {**attributes, **namespace}))


@cache
def is_built_in(path: Path) -> bool:
    """Whether a file is in the package's own folder of data sets."""
    return path.resolve().parent in [place / "datasets" for place in package_places()]


def _blank(reference: Path | PurePosixPath) -> FolderSet:
    """An instance for pickle to fill, here or where this package is installed elsewhere.

    Parameters
    ----------
    reference : Path or PurePosixPath
        A file of the user's, or one of the package by its place there.
    """
    places = [reference] if isinstance(reference, Path) else [place / reference for place in package_places()]
    path = next((place for place in places if place.is_file()), places[0])
    kind = define(path)
    return kind.__new__(kind)
