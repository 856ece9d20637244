"""One at a time: a lock that needs nothing of a file system but that a file is created once.

Locks of the operating system (flock) are missing on some file systems (Lustre, NFS without its daemon), and answer
differently from two machines on others. So a lock is a file with its owner's name in it, made exclusively. It is held
for milliseconds; one whose process is gone from this host, or that does not change for `STALE` seconds, is removed.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from denoisebench.core.files import CannotWrite, Damaged, read_text, temporary_beside

LOCK = ".denoisebench-lock"
#: Seconds between two looks, until a lock that does not change counts as left behind, until waiting ends.
PAUSE, STALE, PATIENCE = 0.02, 10.0, 20.0
_LARGEST = 1 << 16


@dataclass(frozen=True)
class Owner:
    """A run that holds something.

    Parameters
    ----------
    host : str
        Machine, boot and process namespace; processes can be looked up only on the same one.
    pid, started : int or float
        The process and when it began, because numbers are used again.
    run : str
        Differs between two runs of one process.
    """

    host: str
    pid: int
    started: float
    run: str

    @property
    def text(self) -> str:
        """As it is shown."""
        return f"process {self.pid} on {self.host.split('/')[0]}"


def this_process() -> Owner:
    """This run."""
    import psutil

    boot = Path("/proc/sys/kernel/random/boot_id")
    namespace = Path("/proc/self/ns/pid")
    parts = [platform.node(), boot.read_text().strip() if boot.is_file() else ""]
    with suppress(OSError):
        parts.append(os.readlink(namespace))
    return Owner("/".join(parts), os.getpid(), psutil.Process().create_time(), uuid.uuid4().hex)


def read_owner(path: Path) -> Owner | None:
    """The owner that a file names, or None if it names none."""
    try:
        values = json.loads(read_text(path, _LARGEST))
        owner = Owner(**values)
    except (Damaged, ValueError, TypeError, RecursionError):
        return None
    typed = isinstance(owner.host, str) and isinstance(owner.run, str) and type(owner.pid) is int
    typed = typed and isinstance(owner.started, int | float) and not isinstance(owner.started, bool)
    return owner if typed and 0 < owner.pid < 2**31 and math.isfinite(owner.started) else None


def write_owner(owner: Owner) -> str:
    """The text of a file that names an owner."""
    return json.dumps(asdict(owner))


def alive(owner: Owner) -> bool:
    """Whether a process of this host is still there."""
    import psutil

    try:
        process = psutil.Process(owner.pid)
        same = abs(process.create_time() - owner.started) < 1
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder.

    Raises
    ------
    CannotWrite
        The folder cannot be written to, or somebody else keeps its lock.
    """
    path, me = folder / LOCK, this_process()
    _acquire(path, me)
    try:
        yield
    finally:
        # One that was taken for left behind, while this process slept, is somebody else's now.
        if read_owner(path) == me:
            with suppress(OSError):
                path.unlink()


def _acquire(path: Path, me: Owner) -> None:
    begun = since = time.monotonic()
    seen: tuple[object, ...] | None = None
    while not _make(path, me):
        now, holder = time.monotonic(), read_owner(path)
        state = (*_state(path), holder)
        if state != seen:
            seen, since = state, now
        dead = holder is not None and holder.host == me.host and not alive(holder)
        if (dead or now - since > STALE) and not _break(path, holder):
            raise CannotWrite(_text(path, holder))
        if now - begun > PATIENCE:
            raise CannotWrite(_text(path, holder))
        time.sleep(PAUSE)


def _make(path: Path, me: Owner) -> bool:
    """Whether the lock is ours now."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return False
    except OSError as error:
        raise CannotWrite(
            f"Cannot lock {path.parent} ({error.strerror or error}). Make it writable, or choose another folder."
        ) from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(write_owner(me))
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise CannotWrite(
            f"Cannot lock {path.parent} ({error.strerror or error}). What was stored before is intact."
        ) from None
    return True


def _state(path: Path) -> tuple[object, ...]:
    """What changes when a lock changes hands."""
    try:
        found = path.lstat()
    except OSError:
        return ()
    return (found.st_ino, found.st_mtime_ns)


def _break(path: Path, holder: Owner | None) -> bool:
    """Whether a lock that was left behind is gone; only a file is ever removed."""
    aside = temporary_beside(path)
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return False
        if read_owner(path) != holder:
            return True
        path.rename(aside)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    with contextlib.suppress(OSError):
        aside.unlink()
    return True


def _text(path: Path, holder: Owner | None) -> str:
    who = f"{holder.text} keeps it" if holder else "it names no process of this program"
    return f"{path} locks this folder, and {who}. If no other run is under way there, remove it and try again."
