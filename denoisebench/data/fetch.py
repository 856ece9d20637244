"""Fetching data sets from their official addresses, and saying which of them are on this machine."""

from __future__ import annotations

import fnmatch
import json
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal, TypeAlias

from denoisebench.core.errors import UserError
from denoisebench.core.files import file_sha256, read_text
from denoisebench.core.systemfiles import is_system_file, own_entries
from denoisebench.core.text import counted
from denoisebench.data.dataset import Archive, DataSet, FolderSet, MissingData

#: If it is set to anything but 0, nothing is ever fetched; no other command opens a connection anyway.
OFFLINE_VARIABLE = "DENOISEBENCH_OFFLINE"
#: Bytes of one member of an archive and of all that is taken out of it, entries of it, and bytes of a download.
LARGEST_MEMBER, LARGEST_TOTAL, MOST_MEMBERS, LARGEST_DOWNLOAD = 2**28, 2**32, 100_000, 2**32
_LARGEST_TAG = 2**16
#: Begins the names of what is on its way below a data root.
MARK = ".denoisebench-"
#: Receives one line of text at a time.
Progress = Callable[[str], None]
#: So often a download that breaks off is taken up again before the user has to.
ATTEMPTS = 3
# What came of an unfinished piece is lost when a connection breaks.
CHUNK = 1 << 13


def refuse_offline(what: str) -> None:
    """Raise a `UserError` if the environment forbids the network."""
    if os.environ.get(OFFLINE_VARIABLE, "") not in ("", "0"):
        raise UserError(f"{OFFLINE_VARIABLE} is set, so nothing is fetched (asked to {what}). Unset it to allow that.")


State: TypeAlias = Literal["present", "partial", "missing", "damaged"]


@dataclass(frozen=True)
class Status:
    """Whether a data set is on this machine, and where; ``message`` is empty for one without a flaw.

    A set that could not be checked image by image has its `DataSet.note` as the message. One that may be here in part
    (`expected` images are all of it), and is, has the state 'partial'. ``others`` are images in the folder of a shared
    set that are no part of it.
    """

    name: str
    title: str
    state: State
    message: str
    folder: Path | None
    images: int
    expected: int
    others: Sequence[str]
    licence: str
    source: str
    fetchable: bool


def status(kinds: Iterable[type[DataSet]], roots: Sequence[Path]) -> list[Status]:
    """The status of each data set; verifies those that are found. A missing or damaged set is no error here.

    Parameters
    ----------
    kinds : Iterable[type[DataSet]]
        Classes of data sets.
    roots : Sequence[Path]
        Folders to search, see `denoisebench.data.dataset.data_roots`.
    """
    return [_status(kind, roots) for kind in kinds]


def _status(kind: type[DataSet], roots: Sequence[Path]) -> Status:
    state: State = "present"
    folder, others = None, list[str]()
    images = expected = getattr(kind, "count", 0)
    try:
        dataset = kind(roots) if issubclass(kind, FolderSet) else kind()
        if isinstance(dataset, FolderSet):
            folder = dataset.folder
        dataset.verify()
        message, images = dataset.note, len(dataset.images)
        if isinstance(dataset, FolderSet) and dataset.shared:
            others = dataset.others
        if images < expected:
            state = "partial"
    except MissingData as error:
        state, message = "missing", str(error)
    except UserError as error:
        state, message = "damaged", str(error)
    fetchable = getattr(kind, "archive", None) is not None
    return Status(
        kind.name, kind.title, state, message, folder, images, expected, others, kind.licence, kind.source, fetchable
    )


def facts(kind: type[DataSet], root: Path) -> str:
    """What is known of a data set's download: size, licence, checksums, where it goes, what is to be done by hand."""
    archive = getattr(kind, "archive", None)
    every = getattr(kind, "manifest", None) is not None
    images = "every image is checked against the SHA-256 of its pixels" if every else "only the number of images"
    lines = [("images", f"{getattr(kind, 'count', '?')}, {kind.title}"), ("what", kind.summary), ("trap", kind.traps)]
    lines = [line for line in lines if line[1]] + [("source", kind.source)]
    if archive is None:
        lines.append(("download", "by hand"))
    else:
        lines += [("download", f"{archive.size}, {archive.url}")]
        if "{file}" not in archive.url:
            lines.append(("archive", f"SHA-256 {archive.sha256}" if archive.sha256 else "SHA-256 not known"))
    lines += [("check", images), ("licence", kind.licence)]
    folders, how = getattr(kind, "folders", ()), getattr(kind, "how", "")
    lines += [("goes to", str(root / folders[0]))] if folders else []
    lines += [("by hand", how)] if how else []
    return "\n".join([kind.name, *(f"  {name:8}  {text}" for name, text in lines)])


def fetch(kind: type[DataSet], root: Path, progress: Progress) -> Path:
    """Download a data set, check every image against the manifest, and put it below a root.

    Nothing appears in the final folder before all images passed. What came of a download that broke off is kept, and
    the next call goes on there, if the server can and the file is still the same.

    Parameters
    ----------
    kind : type[DataSet]
        A data set that declares an `Archive`.
    root : Path
        Where the set's folder is made.
    progress : Progress
        Called with what is being done.

    Returns
    -------
    Path
        The folder of the images.

    Raises
    ------
    UserError
        The set has to be got by hand, the download failed, or what came is not the set.
    """
    if not issubclass(kind, FolderSet) or kind.archive is None:
        folders, how = getattr(kind, "folders", ()), getattr(kind, "how", "")
        where = f" and put the files into {root / folders[0]}" if folders else ""
        raise UserError(
            f"Data set {kind.name!r} cannot be fetched; get it by hand from {kind.source}{where}."
            f"{' ' + how if how else ''} Licence: {kind.licence or 'not stated'}."
        )
    target = root / kind.folders[0]
    if target.is_dir() and any(own_entries(target)):
        _keep(kind, target)
        progress(f"{kind.name}: already in {target}, verified")
        return target
    progress(f"{kind.name}: {kind.archive.size} from {kind.archive.url} into {target}")
    progress(f"{kind.name}: licence: {kind.licence}")
    # Nobody else has files of such names below a root: they are gone on with, overwritten and removed.
    staging = root / f"{MARK}{target.name}.part"
    staging.mkdir(parents=True, exist_ok=True)
    if "{file}" in kind.archive.url:
        _fetch_files(kind, kind.archive, staging, progress)
    else:
        _fetch_archive(kind, kind.archive, staging, progress)
    _check(kind, kind.archive, staging)
    if target.is_dir():
        target.rmdir()
    os.replace(staging, target)
    checked = "every one as in the manifest" if kind.manifest else "their content not checked: no manifest is shipped"
    progress(f"{kind.name}: {counted(kind.count, 'image')} in {target}, {checked}")
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
    names = list(archive.files) or [entry.file for entry in _at(kind, staging).entries]
    for number, name in enumerate(names, start=1):
        # A file with its final name is whole: an earlier, interrupted run need not be repeated.
        if not (staging / name).is_file():
            progress(f"{name} ({number} of {len(names)})")
            _download(archive.url.format(file=name), staging / name, progress)


def _fetch_archive(kind: type[FolderSet], archive: Archive, staging: Path, progress: Progress) -> None:
    packed = staging.with_name(f"{MARK}{PurePosixPath(archive.url).name}")
    _download(archive.url, packed, progress, _Meter(_shown(packed), progress))
    try:
        digest = file_sha256(packed)
        if archive.sha256 is None:
            progress(
                f"{_shown(packed)}: its true SHA-256 is not known to this program (it is {digest}); "
                + ("each image is checked against the manifest instead" if kind.manifest else "images are counted")
            )
        elif digest != archive.sha256:
            raise UserError(
                f"The download of {archive.url} has SHA-256 {digest} instead of {archive.sha256}: damaged or "
                "replaced. It was deleted; try again."
            )
        wanted = {entry.image for entry in _at(kind, staging).entries} if kind.manifest else None
        _extract(packed, archive, wanted, staging)
    except UserError:
        shutil.rmtree(staging)
        raise
    finally:
        packed.unlink(missing_ok=True)


class _Meter:
    """What pooch takes for a progress bar: a line for every tenth of the download."""

    def __init__(self, name: str, progress: Progress) -> None:
        self.total = 0
        #: Bytes that an earlier call left.
        self.before = 0
        self._name, self._progress = name, progress
        self._done, self._tenths = 0, 0

    def update(self, amount: int) -> None:
        self._done = min(self._done + amount, self.total)
        whole = self.before + self.total
        tenths = 10 * (self.before + self._done) // whole if whole else 0
        if tenths > self._tenths:
            self._tenths = tenths
            self._progress(f"{self._name}: {10 * tenths} % of {whole / 1e6:.1f} MB")

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        """Nothing is open."""


def _download(url: str, path: Path, progress: Progress, meter: _Meter | None = None) -> None:
    """Download to PATH.part, renamed to PATH when all of it is there; goes on where an earlier call broke off."""
    refuse_offline(f"download {url}")
    part, tag = (path.with_name(path.name + ending) for ending in (".part", ".part.tag"))
    for left in reversed(range(ATTEMPTS)):
        try:
            _go_on(url, part, tag, progress, meter)
            break
        except UserError:
            for file in (part, tag):
                file.unlink(missing_ok=True)
            raise
        except OSError as error:  # every exception of requests is one
            status = getattr(getattr(error, "response", None), "status_code", 0)
            if status == 416 or not tag.is_file():
                part.unlink(missing_ok=True)
            size = part.stat().st_size if part.is_file() else 0
            if status != 416 and (left == 0 or 400 <= status < 500):
                kept = f" {size:,} bytes of it are kept, and the same command goes on there." if size else " Try again."
                raise UserError(f"The download of {url} failed ({error}).{kept}") from None
            progress(f"{_shown(path)}: broke off after {size:,} bytes ({error}); going on")
    os.replace(part, path)
    tag.unlink(missing_ok=True)


def _shown(path: Path) -> str:
    """The name of a file without what marks it as ours."""
    return path.name.removeprefix(MARK)


def _go_on(url: str, part: Path, tag: Path, progress: Progress, meter: _Meter | None) -> None:
    """Append to a partial file what is missing of it, or write it anew where server or file do not allow that."""
    import pooch

    known = _read_tag(tag, url)
    start = part.stat().st_size if known and part.is_file() else 0
    headers = {"Accept-Encoding": "identity"}
    if start and known:
        headers["Range"] = f"bytes={start}-"
        if known["validator"]:
            headers["If-Range"] = known["validator"]
    with part.open("ab" if start else "wb") as file:
        stream = _Bounded(file, start)

        def look(response: Any, *_: object, **__: object) -> None:
            """Before a byte is written: does the server continue the same file?"""
            if not response.ok or response.is_redirect:
                return
            total, goes_on = _total(response), response.status_code == 206
            stream.expect(total)
            if goes_on and known and total != known["total"]:
                tag.unlink()
                raise OSError(f"another file of {total:,} bytes is there now")
            if goes_on:
                progress(f"{_shown(part.with_suffix(''))}: going on after {start:,} of {total:,} bytes")
            else:
                stream.restart()
            if meter is not None:
                meter.before = start if goes_on else 0
            _write_tag(tag, url, response)

        options = {"timeout": 60, "headers": headers, "hooks": {"response": look}}
        pooch.HTTPDownloader(progressbar=meter or False, chunk_size=CHUNK, **options)(url, stream, None)
    total, size = (_read_tag(tag, url) or {"total": 0})["total"], part.stat().st_size
    if total and size > total:
        tag.unlink()
    if total and size != total:
        raise OSError(f"{size:,} bytes came instead of {total:,}")


class _Bounded:
    """A file that takes no more than a download may have, whatever length the server states, or none."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._size = file, size

    def write(self, data: bytes) -> int:
        self._size += len(data)
        if self._size > LARGEST_DOWNLOAD:
            raise UserError(f"The download goes on after {LARGEST_DOWNLOAD:,} bytes, the most that is fetched.")
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def expect(self, total: int) -> None:
        """Refuse what the server says is too long, before a byte of it."""
        if total > LARGEST_DOWNLOAD:
            raise UserError(f"The download is of {total:,} bytes; at most {LARGEST_DOWNLOAD:,} are fetched.")

    def restart(self) -> None:
        """Begin anew, as the server sends all of it."""
        self._file.truncate(0)
        self._size = 0


def _write_tag(tag: Path, url: str, response: Any) -> None:
    """Note what a partial file is a part of. A weak validator does not promise equal bytes."""
    texts = (response.headers.get(name, "") for name in ("ETag", "Last-Modified"))
    validator = next((text for text in texts if text and not text.startswith("W/")), "")
    about = {"url": url, "validator": validator, "total": _total(response)}
    tag.write_text(json.dumps(about), encoding="utf-8")


def _total(response: Any) -> int:
    """Bytes of the whole file; 0 if the server does not say."""
    whole = response.headers.get("Content-Range", "").rpartition("/")[2] or response.headers.get("Content-Length", "")
    return int(whole) if whole.isdecimal() else 0


def _read_tag(tag: Path, url: str) -> dict[str, Any] | None:
    """What is known of a partial file; None if nothing is, or it is of another address."""
    try:
        known: dict[str, Any] = json.loads(read_text(tag, _LARGEST_TAG))
        typed = type(known["total"]) is int and isinstance(known["validator"], str)
        return known if typed and known["url"] == url and known["total"] else None
    except (UserError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _extract(packed: Path, archive: Archive, wanted: Collection[str] | None, into: Path) -> None:
    """Write the members that match, each under its last name part alone, into a folder; ``wanted`` are image ids."""
    try:
        names: set[str] = set()
        members = _zip_members if zipfile.is_zipfile(packed) else _tar_members
        left = LARGEST_TOTAL
        with members(packed, archive.password) as found:
            for number, (name, plain, open_member) in enumerate(found):
                if number >= MOST_MEMBERS:
                    raise UserError(f"Archive {_shown(packed)} holds more than {MOST_MEMBERS:,} files; none is used.")
                _refuse_unsafe(name, plain, packed)
                path = PurePosixPath(name)
                chosen = fnmatch.fnmatch(name, archive.members) and (wanted is None or path.stem in wanted)
                chosen = chosen and not any(map(is_system_file, path.parts))
                stream = open_member() if chosen else None
                if stream is not None:
                    if path.name in names:
                        raise UserError(f"Archive {packed.name} holds several files named {path.name}; none is used.")
                    names.add(path.name)
                    with stream, (into / path.name).open("wb") as out:
                        left -= _copy(stream, out, name, packed, left)
    # zipfile raises RuntimeError for a wrong password and NotImplementedError for unknown compression.
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, zlib.error, KeyError, RuntimeError) as error:
        raise UserError(f"Archive {_shown(packed)} is damaged ({error}). It was deleted; try again.") from None


def _copy(stream: IO[bytes], out: IO[bytes], name: str, packed: Path, left: int) -> int:
    """Unpack one member; what it claims to hold need not be what comes out. Returns its bytes, at most ``left``."""
    size = 0
    while data := stream.read(1 << 20):
        size += len(data)
        if size > LARGEST_MEMBER:
            raise UserError(
                f"Archive {_shown(packed)} holds {name!r} of more than {LARGEST_MEMBER:,} bytes; no image is so large. "
                "Nothing of it is used."
            )
        if size > left:
            raise UserError(
                f"Archive {_shown(packed)} unpacks to more than {LARGEST_TOTAL:,} bytes; no data set is so large. "
                "Nothing of it is used."
            )
        out.write(data)
    return size


#: Name, whether it is a plain file or folder, and how to open it (None for a folder).
_Member = tuple[str, bool, Callable[[], IO[bytes] | None]]


@contextmanager
def _tar_members(packed: Path, password: str) -> Iterator[Iterator[_Member]]:
    with tarfile.open(packed) as tar:
        yield ((member.name, member.isfile() or member.isdir(), partial(tar.extractfile, member)) for member in tar)


@contextmanager
def _zip_members(packed: Path, password: str) -> Iterator[Iterator[_Member]]:
    with zipfile.ZipFile(packed) as archive:

        def opener(member: zipfile.ZipInfo) -> Callable[[], IO[bytes] | None]:
            return lambda: None if member.is_dir() else archive.open(member, pwd=password.encode() or None)

        yield (
            (member.filename, not stat.S_ISLNK(member.external_attr >> 16), opener(member))
            for member in archive.infolist()
        )


def _refuse_unsafe(text: str, plain: bool, packed: Path) -> None:
    name = PurePosixPath(text)
    outside = name.is_absolute() or ".." in name.parts or "\\" in text or ":" in text
    if outside or not plain:
        raise UserError(
            f"Archive {_shown(packed)} holds {text!r}, which leaves the target folder or is no plain "
            "file; nothing of it is used. Allowed are plain files below the archive's own folder."
        )
