"""Fetching data sets from their official addresses, and saying which of them are on this machine."""

from __future__ import annotations

import fnmatch
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from denoisebench.dataset import Archive, DataSet, FolderSet, MissingData, file_hash
from denoisebench.errors import UserError
from denoisebench.registry import DATASETS

#: If it is set to anything but 0, nothing is ever fetched; no other command opens a connection anyway.
OFFLINE_VARIABLE = "DENOISEBENCH_OFFLINE"
LARGEST_MEMBER = 2**28
#: Receives one line of text at a time.
Progress = Callable[[str], None]


def refuse_offline(what: str) -> None:
    """Raise a `UserError` if the environment forbids the network."""
    if os.environ.get(OFFLINE_VARIABLE, "") not in ("", "0"):
        raise UserError(f"{OFFLINE_VARIABLE} is set, so nothing is fetched (asked to {what}). Unset it to allow that.")


@dataclass(frozen=True)
class Status:
    """Whether a data set is on this machine, and where; ``message`` is empty for one without a flaw.

    A set that is present but could not be checked image by image has its `DataSet.note` as the message.
    """

    name: str
    title: str
    state: Literal["present", "missing", "damaged"]
    message: str
    folder: Path | None
    images: int
    licence: str
    source: str
    fetchable: bool


def status(names: Iterable[str], roots: Sequence[Path]) -> list[Status]:
    """The status of each named data set; verifies those that are found.

    Parameters
    ----------
    names : names of data sets (see `DATASETS`)
    roots : folders to search, see `denoisebench.dataset.data_roots`

    Raises
    ------
    UserError
        A name is unknown; a missing or damaged set is no error here.
    """
    return [_status(DATASETS.get(name), roots) for name in names]


def _status(kind: type[DataSet], roots: Sequence[Path]) -> Status:
    state: Literal["present", "missing", "damaged"] = "present"
    folder = None
    images = getattr(kind, "count", 0)
    try:
        dataset = kind(roots) if issubclass(kind, FolderSet) else kind()
        if isinstance(dataset, FolderSet):
            folder = dataset.folder
        dataset.verify()
        message, images = dataset.note, len(dataset.images)
    except MissingData as error:
        state, message = "missing", str(error)
    except UserError as error:
        state, message = "damaged", str(error)
    fetchable = getattr(kind, "archive", None) is not None
    return Status(kind.name, kind.title, state, message, folder, images, kind.licence, kind.source, fetchable)


def fetch(kind: type[DataSet], root: Path, progress: Progress) -> Path:
    """Download a data set, check every image against the manifest, and put it below a root.

    Nothing appears in the final folder before all images passed; a download that was cut off starts again.

    Parameters
    ----------
    kind : a data set that declares an `Archive`
    root : where the set's folder is made
    progress : called with what is being done

    Returns
    -------
    the folder of the images

    Raises
    ------
    UserError
        The set has to be got by hand, the download failed, or what came is not the set.
    """
    if not issubclass(kind, FolderSet) or kind.archive is None:
        where = f" and put the files into {root / kind.folders[0]}" if issubclass(kind, FolderSet) else ""
        how = f" {kind.how}" if issubclass(kind, FolderSet) and kind.how else ""
        raise UserError(f"Data set {kind.name!r} cannot be fetched; get it by hand from {kind.source}{where}.{how}")
    target = root / kind.folders[0]
    if target.is_dir() and any(target.iterdir()):
        _keep(kind, target)
        progress(f"{kind.name}: already in {target}, verified")
        return target
    progress(f"{kind.name}: {kind.archive.size} from {kind.archive.url} into {target}")
    progress(f"{kind.name}: licence: {kind.licence}")
    staging = root / f"{target.name}.part"
    staging.mkdir(parents=True, exist_ok=True)
    if "{file}" in kind.archive.url:
        _fetch_files(kind, kind.archive, staging, progress)
    else:
        _fetch_archive(kind.archive, staging, progress)
    _check(kind, kind.archive, staging)
    if target.is_dir():
        target.rmdir()
    os.replace(staging, target)
    progress(f"{kind.name}: {kind.count} images in {target}, every one as in the manifest")
    return target


def _at(kind: type[FolderSet], folder: Path) -> FolderSet:
    dataset = kind([folder.parent])
    dataset.folder = folder
    return dataset


def _keep(kind: type[FolderSet], target: Path) -> None:
    try:
        _at(kind, target).verify()
    except UserError as error:
        raise UserError(
            f"Folder {target} is in the way of fetching data set {kind.name!r}: {error} "
            "Move the folder away and fetch again."
        ) from None


def _check(kind: type[FolderSet], archive: Archive, staging: Path) -> None:
    try:
        _at(kind, staging).verify()
    except UserError as error:
        shutil.rmtree(staging)
        raise UserError(
            f"What {archive.url} sent is not data set {kind.name!r}: {error} The download was deleted; try "
            f"again, or get the set by hand from {kind.source}"
        ) from None


def _fetch_files(kind: type[FolderSet], archive: Archive, staging: Path, progress: Progress) -> None:
    entries = _at(kind, staging).entries
    for number, entry in enumerate(entries, start=1):
        # A file with its final name is whole: an earlier, interrupted run need not be repeated.
        if not (staging / entry.file).is_file():
            progress(f"{entry.file} ({number} of {len(entries)})")
            _download(archive.url.format(file=entry.file), staging / entry.file)


def _fetch_archive(archive: Archive, staging: Path, progress: Progress) -> None:
    packed = staging.with_name(PurePosixPath(archive.url).name)
    try:
        _download(archive.url, packed, _Meter(packed.name, progress))
        digest = file_hash(packed)
        if archive.sha256 is None:
            progress(
                f"{packed.name}: its true SHA-256 is not known to this program (it is {digest}); "
                "each image is checked against the manifest instead"
            )
        elif digest != archive.sha256:
            raise UserError(
                f"The download of {archive.url} has SHA-256 {digest} instead of {archive.sha256}: damaged or "
                "replaced. It was deleted; try again."
            )
        _extract(packed, archive.members, staging)
    except UserError:
        shutil.rmtree(staging)
        raise
    finally:
        packed.unlink(missing_ok=True)


class _Meter:
    """What pooch takes for a progress bar: a line for every tenth of the download."""

    def __init__(self, name: str, progress: Progress) -> None:
        self.total = 0
        self._name, self._progress = name, progress
        self._done, self._tenths = 0, 0

    def update(self, amount: int) -> None:
        self._done = min(self._done + amount, self.total)
        tenths = 10 * self._done // self.total if self.total else 0
        if tenths > self._tenths:
            self._tenths = tenths
            self._progress(f"{self._name}: {10 * tenths} % of {self.total / 1e6:.1f} MB")

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        """Nothing is open."""


def _download(url: str, path: Path, meter: _Meter | None = None) -> None:
    """Download to PATH.part, renamed to PATH when all of it is there."""
    refuse_offline(f"download {url}")
    import pooch

    part = path.with_name(path.name + ".part")
    try:
        pooch.HTTPDownloader(progressbar=meter or False, chunk_size=1 << 16, timeout=60)(url, str(part), None)
    except OSError as error:  # every exception of requests is one
        part.unlink(missing_ok=True)
        raise UserError(f"The download of {url} failed ({error}). Try again.") from None
    os.replace(part, path)


def _extract(packed: Path, members: str, into: Path) -> None:
    """Write the members that match, each under its last name part alone, into a folder."""
    try:
        with tarfile.open(packed) as tar:
            for member in tar:
                _refuse_unsafe(member, packed)
                stream = tar.extractfile(member) if fnmatch.fnmatch(member.name, members) else None
                if member.size > LARGEST_MEMBER:
                    raise UserError(
                        f"Archive {packed.name} holds {member.name!r} of {member.size:,} bytes; no image is larger "
                        f"than {LARGEST_MEMBER:,}. Nothing of it is used."
                    )
                if stream is not None:
                    with stream, (into / PurePosixPath(member.name).name).open("wb") as out:
                        shutil.copyfileobj(stream, out)
    except (tarfile.TarError, EOFError, OSError, zlib.error, KeyError) as error:
        raise UserError(f"Archive {packed.name} is damaged ({error}). It was deleted; try again.") from None


def _refuse_unsafe(member: tarfile.TarInfo, packed: Path) -> None:
    name = PurePosixPath(member.name)
    outside = name.is_absolute() or ".." in name.parts or "\\" in member.name or ":" in member.name
    if outside or not (member.isfile() or member.isdir()):
        raise UserError(
            f"Archive {packed.name} holds {member.name!r}, which leaves the target folder or is no plain "
            "file; nothing of it is used. Allowed are plain files below the archive's own folder."
        )
