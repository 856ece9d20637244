"""Who computes what, when several runs share one results folder.

A claim is a small file under ``claims/`` with the owner's host, process and start; the owner touches it every few
seconds. A claim whose process is gone from this host, or whose file nobody touched for a minute, is taken over. A lock
on one file makes looking and taking a single action; it is held for milliseconds only.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from denoisebench.core.files import make_folder, write_text

#: Seconds between two signs of life, and without one until an owner counts as dead.
BEAT, STALE = 5.0, 60.0


@dataclass(frozen=True)
class Owner:
    """A run that computes something.

    Parameters
    ----------
    host : machine, boot and process namespace; processes can be looked up only on the same one
    pid, started : the process and when it began, because numbers are used again
    run : differs between two runs of one process
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


class Claims:
    """The claims of one run on a results folder.

    Parameters
    ----------
    folder : ``claims/`` of the results folder, made when first needed
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: set[str] = set()
        self._end = threading.Event()
        self._beating: threading.Thread | None = None
        self._me: Owner | None = None

    def take(self, name: str) -> Owner | None:
        """Claim something; the living owner if another run has it, None if it is ours now."""
        from filelock import FileLock

        self._me = self._me or this_process()
        make_folder(self._folder)
        path = self._path(name)
        with FileLock(self._folder / ".lock"):
            owner = self._owner(path)
            if owner is not None and owner != self._me:
                return owner
            write_text(path, json.dumps(asdict(self._me)))
        self._held.add(name)
        if self._beating is None:
            self._beating = threading.Thread(target=self._beat, name="claims", daemon=True)
            self._beating.start()
        return None

    def release(self, name: str) -> None:
        """Give up a claim; one that was taken over meanwhile is left to its new owner."""
        from filelock import FileLock

        if name not in self._held:
            return
        self._held.discard(name)
        with FileLock(self._folder / ".lock"):
            if _read(self._path(name)) == self._me:
                self._path(name).unlink(missing_ok=True)

    def ours(self, name: str) -> bool:
        """Whether a claim is still this run's: another machine may have taken it while this one slept."""
        return name in self._held and _read(self._path(name)) == self._me

    def close(self) -> None:
        """Release everything."""
        self._end.set()
        for name in list(self._held):
            self.release(name)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _owner(self, path: Path) -> Owner | None:
        """The living owner of a claim."""
        assert self._me is not None
        owner = _read(path)
        if owner is not None and owner.host == self._me.host:
            return owner if _alive(owner) else None
        with suppress(OSError):
            # Both times are those of the file system, so clocks of two machines need not agree.
            clock = self._folder / f".clock-{self._me.run}"
            clock.touch()
            now = clock.stat().st_mtime
            clock.unlink()
            if now - path.stat().st_mtime < STALE:
                return owner or Owner("another machine", 0, 0.0, "")
        return None

    def _beat(self) -> None:
        while not self._end.wait(BEAT):
            for name in list(self._held):
                with suppress(OSError):
                    os.utime(self._path(name))


def _read(path: Path) -> Owner | None:
    try:
        return Owner(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _alive(owner: Owner) -> bool:
    import psutil

    try:
        process = psutil.Process(owner.pid)
        same = abs(process.create_time() - owner.started) < 1
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
