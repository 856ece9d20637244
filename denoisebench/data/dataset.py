"""What a data set is: named images with a manifest against which the files on disk are checked."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from denoisebench.core.errors import UserError, unknown
from denoisebench.core.text import counted, readable
from denoisebench.data.manifest import Entry, entry_of, read_entry, read_manifest, refuse_twins
from denoisebench.data.unusual import check_choice, converted, refusal
from denoisebench.data.watched import watch
from denoisebench.protocol.images import (
    CHANNEL_KINDS,
    AnyImage,
    FloatImage,
    UIntImage,
    decode_image,
    header_of,
    image_bytes,
    image_id,
    left_out,
    list_images,
    named_images,
    pixel_hash,
    some,
    to_channels,
)

DATA_VARIABLE = "DENOISEBENCH_DATA"
# Classes that are made here keep to what they say; mistakes in those of plugins are told in a sentence.
_OURS = "denoisebench.data."


class MissingData(UserError):  # noqa: N818 - reads as the state it reports
    """A data set is not on this machine; says where to get it and where to put it."""


@dataclass(frozen=True)
class Archive:
    """Something `denoisebench data fetch` can download: address, SHA-256, and what to take out of it.

    ``members`` is a shell pattern for the wanted members of a tar or zip archive, ``password`` what its publisher says
    opens it. An address with ``{file}`` in it stands for single files instead: those of the manifest, or ``files``.
    """

    url: str
    sha256: str | None
    members: str
    size: str
    password: str = ""
    files: Sequence[str] = ()


def data_roots(explicit: Path | None = None) -> list[Path]:
    """Folders searched for data sets: ``--data-root`` alone if given, else DENOISEBENCH_DATA, user cache if any."""
    if explicit is not None:
        return [explicit]
    roots = [Path(os.environ[DATA_VARIABLE])] if os.environ.get(DATA_VARIABLE) else []
    with suppress(UserError):
        roots.append(cache_root())
    return roots


def cache_root() -> Path:
    """Where fetched data go.

    Raises
    ------
    UserError
        The user has no home folder, as in many containers.
    """
    from platformdirs import user_cache_path

    try:
        return user_cache_path("denoisebench") / "data"
    except (RuntimeError, KeyError, OSError):
        raise UserError(
            f"This user has no home folder, so there is no cache for data. Name a folder with --data-root or "
            f"{DATA_VARIABLE}."
        ) from None


def package_roots(package: str) -> list[Path]:
    """Folders of an installed package, found without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingData(f"The package {package!r}, which carries these images, is not installed.")
    return [Path(place) for place in spec.submodule_search_locations]


class DataSet:
    """Images by id, in a fixed order. Subclass this, or `FolderSet` for a folder with a manifest."""

    #: Name on the command line and in results.
    name: str
    #: Heading in tables.
    title: str
    #: One sentence: what it is.
    summary: str = ""
    #: What else there is to know of it, and what makes numbers on it wrong or not comparable.
    description: str = ""
    traps: str = ""
    #: 1, 3, or 4 for packed raw images.
    channels: int
    #: Repetitions of this test set in the paper's protocol (each image is drawn this many times).
    paper_repeats: int = 1
    #: Where the images come from and what may be done with them.
    source: str = ""
    licence: str = ""
    #: How results are scored, a key of `denoisebench.protocol.metrics.SCORINGS`.
    scoring: str = "uint8"
    #: Whether the set holds real noisy captures; it then goes with the noise ``real`` and with no other.
    real: bool = False
    #: Whether the references are public; if not, nothing can be scored here.
    referenced: bool = True
    #: Whether there is a server that takes results, as `submission` writes them.
    submittable: bool = False
    #: The data set whose captures networks are trained on for this one; '' if there is none by default.
    training: str = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.__module__.startswith(_OURS):
            watch(cls)

    @property
    def images(self) -> Sequence[str]:
        """Image ids in evaluation order, each once."""
        raise NotImplementedError

    def load(self, image: str) -> AnyImage:
        """The clean image, (H, W, channels) uint8; of a set of real captures also uint16, or float with white = 1.0."""
        raise NotImplementedError

    def captures(self, image: str) -> int:
        """How many real noisy captures there are of an image."""
        return 0

    def capture(self, image: str, index: int) -> AnyImage:
        """A real noisy capture, (H, W, channels) of a type that `load` may have; floats are not clipped."""
        raise NotImplementedError

    def reference(self, image: str, index: int) -> AnyImage:
        """What a capture is scored against, and the clean image of it for those who train on clean images."""
        return self.load(image)

    def submission(self, results: FloatImage, seconds: float, label: str) -> Mapping[str, Any]:
        """The arrays of the MATLAB file that the set's server takes.

        Parameters
        ----------
        results : FloatImage
            (images, H, W, channels), in the order of `images`, not clipped.
        seconds : float
            That denoising them took.
        label : str
            Of the method.
        """
        raise NotImplementedError

    def verify(self) -> None:
        """Raise a `UserError` unless the images on disk are exactly those of the set."""
        raise NotImplementedError

    @property
    def note(self) -> str:
        """What `verify` could not check, as a sentence to show with every result; empty if nothing."""
        return ""

    @property
    def advice(self) -> str:
        """What its user should know before a run, as a sentence that is said once; empty if nothing."""
        return ""

    @property
    def extent(self) -> str:
        """For a training set that may be partly here: how much of it is, for tables; empty if it is whole."""
        return ""

    @property
    def data_hash(self) -> str:
        """SHA-256 over ids and pixels: two equal hashes mean equal images."""
        raise NotImplementedError


class FolderSet(DataSet):
    """A data set that is a folder of image files, known by a manifest.

    Where the images lie differently, override `_files`, which lists the candidates.

    Parameters
    ----------
    roots : Sequence[Path]
        Folders to search for one of ``folders``.
    """

    #: Names the folder may have below a data root; the first is the one we ask for.
    folders: ClassVar[tuple[str, ...]]
    #: Manifest file; None if no list of the images could be made (then files are hashed as found).
    manifest: ClassVar[Path | None] = None
    #: The folder holds other things by right; only the images of the manifest are looked at.
    shared: ClassVar[bool] = False
    #: Number of images in the original set.
    count: ClassVar[int]
    #: Which images of the folder belong to the set, as a shell pattern; all of them where it fits none.
    glob: ClassVar[str] = "*"
    #: An installed package that carries the images; they are then found there, whatever the data roots are.
    package: ClassVar[str] = ""
    #: What to tell a user who has to get the set by hand.
    how: ClassVar[str] = ""
    archive: ClassVar[Archive | None] = None

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = package_roots(self.package) if self.package else list(roots)

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
        fetch = f" Or run: denoisebench data fetch {self.name}" if self.archive else ""
        raise MissingData(
            f"Data set {self.name!r} ({counted(self.count, 'image')}) is not on this machine. Looked for "
            f"{', '.join(map(str, places)) or 'nothing: there is no home folder'}. Get it from {self.source} "
            f"and put the files into {places[0] if places else self.folders[0] + ' of a folder of your own'}, "
            f"or name another root with --data-root or {DATA_VARIABLE}."
            f"{' ' + self.how if self.how else ''}{fetch}"
        )

    @cached_property
    def entries(self) -> list[Entry]:
        """The manifest, or one made from the files found where none is shipped."""
        if self.manifest is not None:
            return read_manifest(self.manifest)
        entries = self.found_entries()
        refuse_twins(entries, f"Folder {self.folder}")
        return entries

    @property
    def hashes(self) -> Mapping[str, frozenset[str]]:
        """By image, hashes of what it is made of; empty where a set is listed without being decoded."""
        return {entry.image: frozenset({entry.pixels} - {""}) for entry in self.entries}

    def found_entries(self) -> list[Entry]:
        """What a manifest of the files on this machine holds."""
        return [entry_of(path) for path in self._files()]

    @property
    def images(self) -> Sequence[str]:
        return [entry.image for entry in self.entries]

    def load(self, image: str) -> AnyImage:
        entry = self._entry(image)
        return to_channels(self._pixels(self._path(entry), entry), self.channels)

    def _pixels(self, path: Path, entry: Entry) -> UIntImage:
        """The pixels of an image, read in one go and compared with its entry: what is used is what was hashed.

        Only a file that is not byte for byte the listed one is decoded before it is known to be right.
        """
        data = image_bytes(path)
        listed = hashlib.sha256(data).hexdigest() == entry.sha256
        pixels = self._decoded(data, path)
        if not listed and entry.pixels and pixel_hash(pixels) != entry.pixels:
            raise self._another(path, pixels, entry)
        return pixels

    def _decoded(self, data: bytes, path: Path) -> UIntImage:
        """The pixels of a file of the set."""
        return decode_image(data, path)

    def _another(self, path: Path, pixels: UIntImage, entry: Entry) -> UserError:
        """What to say of a file that does not hold the pixels of its entry."""
        if self.manifest is None:
            return changed(path)
        height, width, channels = pixels.shape
        if (width, height, channels) != (entry.width, entry.height, entry.channels):
            return UserError(
                f"Image {path} has the wrong size for data set {self.name!r}: {width}x{height} with "
                f"{channels} channels instead of {entry.width}x{entry.height} with {entry.channels}. "
                "Another version of this set under the same name? Its numbers would not be comparable."
            )
        return UserError(
            f"Image {path} was altered: its pixels are not those of data set {self.name!r} (recompressed "
            f"or edited?). Replace it with the original from {self.source}"
        )

    def _entry(self, image: str) -> Entry:
        if image not in self._by_id:
            raise unknown(f"image of data set {self.name!r}", image, self._by_id)
        return self._by_id[image]

    @cached_property
    def _by_id(self) -> dict[str, Entry]:
        return {entry.image: entry for entry in self.entries}

    def _path(self, entry: Entry) -> Path:
        """The file of an entry; another extension of the same name will do (a PNG of a published JPEG)."""
        exact = self.folder / entry.file
        if exact.is_file() or entry.image not in self._found:
            return exact
        found = self._found[entry.image]
        if len(found) > 1:
            raise UserError(
                f"Data set {self.name!r} in {self.folder} has several files for its image {entry.image!r}, and none "
                f"named {entry.file}: {', '.join(path.name for path in found)}. Keep one of them."
            )
        return found[0]

    @cached_property
    def _found(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for path in self._files():
            found.setdefault(image_id(path.name), []).append(path)
        return found

    def _files(self) -> list[Path]:
        files = list_images(self.folder)
        return [path for path in files if fnmatchcase(path.name, self.glob)] or files

    @property
    def others(self) -> list[str]:
        """Image files of the folder that are no part of the set; only a `shared` one may have them."""
        wanted = {entry.image for entry in self.entries}
        return sorted(path.name for path in self._files() if image_id(path.name) not in wanted)

    def verify(self) -> None:
        files = self._files()
        if self.manifest is None:
            self._verify_count(len(files))
            return
        wanted = {entry.image for entry in self.entries}
        missing = sorted(wanted - {image_id(path.name) for path in files})
        if missing:
            raise UserError(
                f"Data set {self.name!r} in {self.folder} lacks {len(missing)} of {counted(len(wanted), 'image')}: "
                f"{some(missing)}. Get them from {self.source}"
            )
        extra = self.others
        if extra and not self.shared:
            raise UserError(
                f"Data set {self.name!r} in {self.folder} has {counted(len(extra), 'image')} too many: "
                f"{some(extra)}. Move them away, or give the folder itself to --datasets to use it as it is."
            )
        for entry in self.entries:
            self._verify(entry)

    @property
    def note(self) -> str:
        if self.manifest is not None:
            return ""
        return (
            f"Data set {self.name!r} is unverified: {len(self.entries)} of {counted(self.count, 'image')} found, "
            "their content not checked because no manifest of the original set is shipped."
        )

    def _verify_count(self, found: int) -> None:
        if found != self.count:
            raise UserError(
                f"Data set {self.name!r} in {self.folder} is incomplete or another version: {counted(found, 'image')} "
                f"instead of {self.count}. Get all of them from {self.source} or give the folder itself to "
                "--datasets to use it as it is."
            )

    def _verify(self, entry: Entry) -> None:
        path = self._path(entry)
        data = image_bytes(path)
        if hashlib.sha256(data).hexdigest() == entry.sha256:
            return
        pixels = decode_image(data, path)
        if pixel_hash(pixels) != entry.pixels:
            raise self._another(path, pixels, entry)

    @cached_property
    def data_hash(self) -> str:
        lines = [f"{entry.image} {entry.pixels}" for entry in self.entries]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class OwnFolder(FolderSet):
    """A folder of the user's own, as it is.

    Parameters
    ----------
    path : Path
        The folder; its name stands for the set in seeds and tables.
    """

    source = "the user's own folder"
    licence = "the user's own"

    def __init__(self, path: Path) -> None:
        super().__init__([path.parent])
        self.folder = path
        self.name = self.title = readable(path.resolve().name)

    @property
    def note(self) -> str:
        return readable(" ".join(self._remarks))

    @cached_property
    def _remarks(self) -> list[str]:
        """Sentences on what was not used of the folder, or not as it is stored."""
        return remark(self.folder, left_out(self.folder))


class AnyFolder(OwnFolder):
    """Any folder of images, all gray or all colour.

    Parameters
    ----------
    path : Path
        The folder.
    unusual : str or None
        One of `denoisebench.data.unusual.CHOICES`: what is done with images that are not 8-bit gray or RGB, or not of
        the kind that most of them are. None stops as well, and names no other way, for where there is none.
    """

    def __init__(self, path: Path, unusual: str | None = "stop") -> None:
        super().__init__(path)
        self._choice = unusual
        self._unusual = "stop" if unusual is None else check_choice(unusual)
        self._converted: dict[str, list[str]] = {}
        self._skipped: dict[str, str] = {}
        self._turned: list[str] = []
        self.channels = 0
        self.entries  # noqa: B018 - every file is read, so that a bad one is named here

    @property
    def advice(self) -> str:
        taken = f"The images of folder {self.folder} are taken as clean references: of noisy ones, scores mean nothing."
        return "\n".join([taken, *(f"Left out: {why}" for why in self._skipped.values())])

    @cached_property
    def entries(self) -> list[Entry]:
        found: list[Entry] = []
        errors: dict[str, UserError] = {}
        for file in named_images(self.folder):
            try:
                found.append(self._read(file))
            except UserError as error:
                errors[file.name] = error
        mixed = self._mixed(found) if self._unusual == "stop" else []
        if (errors and self._unusual != "skip") or mixed or not found:
            raise refusal([*errors.values()], mixed, len(found), self._choice)
        self._skipped = {name: str(error) for name, error in errors.items()}
        found = self._alike(found)
        refuse_twins(found, f"Folder {self.folder}")
        return found

    def _read(self, file: Path) -> Entry:
        """What a file holds, made usable if that was asked for."""
        if self._unusual != "convert":
            entry, turned = read_entry(file)
            self._turned += [file.name] if turned else []
            return entry
        data = image_bytes(file)
        pixels, what = converted(data, file)
        if what:
            self._converted.setdefault(what, []).append(file.name)
        else:
            self._turned += [file.name] if header_of(data, file).orientation != 1 else []
        height, width, channels = pixels.shape
        return Entry(file.name, width, height, channels, hashlib.sha256(data).hexdigest(), pixel_hash(pixels))

    def _alike(self, entries: list[Entry]) -> list[Entry]:
        """The images that are gray or colour like most of them; the others converted, left out, or refused."""
        gray, colour = ([entry for entry in entries if entry.channels == channels] for channels in (1, 3))
        self.channels = 1 if len(gray) > len(colour) else 3
        if not gray or not colour:
            return entries
        usual, others = (gray, colour) if self.channels == 1 else (colour, gray)
        kind = CHANNEL_KINDS[self.channels]
        if self._unusual == "skip":
            self._skipped |= {one.file: f"image {self.folder / one.file} is not {kind} as most are." for one in others}
            return usual
        self._converted[f"not {kind} as most"] = [one.file for one in others]
        return [self._as_most(entry) if entry in others else entry for entry in entries]

    def _mixed(self, entries: Sequence[Entry]) -> list[UserError]:
        """What to say of a folder of gray and colour images."""
        gray, colour = (next((e.file for e in entries if e.channels == channels), "") for channels in (1, 3))
        if not gray or not colour:
            return []
        ways = "split the folder or convert the files"
        ways = f"{ways}, or give --on-unusual convert or skip" if self._choice else ways
        return [
            UserError(
                f"Folder {self.folder} mixes gray and colour images (gray: {gray}; colour: {colour}). A data set is "
                f"all gray or all colour; {ways}."
            )
        ]

    def _as_most(self, entry: Entry) -> Entry:
        pixels = self._decoded(image_bytes(self.folder / entry.file), self.folder / entry.file)
        return replace(entry, channels=self.channels, pixels=pixel_hash(pixels))

    def _decoded(self, data: bytes, path: Path) -> UIntImage:
        if self._unusual != "convert":
            return super()._decoded(data, path)
        return to_channels(converted(data, path)[0], self.channels)

    @cached_property
    def _remarks(self) -> list[str]:
        said = [*super()._remarks, *turned_remark(self._turned)]
        if self._skipped:
            names = some(sorted(self._skipped))
            said.append(f"Of folder {self.folder}, {counted(len(self._skipped), 'image')} left out: {names}.")
        if self._converted:
            count = len({name for names in self._converted.values() for name in names})
            kinds = "; ".join(f"{what}: {some(names)}" for what, names in self._converted.items())
            said.append(f"Of folder {self.folder}, {counted(count, 'image')} converted ({kinds}).")
        return said

    def verify(self) -> None:
        """Nothing to check against: reading the entries has read every image."""


def changed(path: Path) -> UserError:
    """What to say of a file that is not what it was when the run began."""
    return UserError(
        f"File {path} was changed while this run used it, so nothing is scored on it; the same command again takes "
        "it as it is now."
    )


def remark(folder: Path, names: Sequence[str]) -> list[str]:
    """A sentence that names what lies beside images and was not used; nothing where there is nothing."""
    if not names:
        return []
    return [f"Folder {folder} also holds {some(names)} ({len(names)} in all), which is not used."]


def turned_remark(names: Sequence[str]) -> list[str]:
    """A sentence on images that are stored in another orientation than they are looked at."""
    if not names:
        return []
    return [f"Turned as the orientation in the metadata says: {counted(len(names), 'image')} ({some(names)})."]
