"""Who computes what, when several runs share one results folder.

A claim is a small file under ``claims/`` with the owner's host, process and start; the owner touches it every few
seconds. A claim whose process is gone from this host, or whose file nobody touched for a minute, is taken over. A lock
of the folder makes looking and taking a single action.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from denoisebench.core.files import CannotWrite, make_folder, set_aside, temporary_beside, write_text
from denoisebench.core.locks import Owner, alive, locked, read_owner, this_process, write_owner

#: Seconds between two signs of life, and without one until an owner counts as dead.
BEAT, STALE = 5.0, 60.0


class Claims:
    """The claims of one run on a results folder.

    Parameters
    ----------
    folder : Path
        ``claims/`` of the results folder, made when first needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: set[str] = set()
        self._end = threading.Event()
        self._beating: threading.Thread | None = None
        self._me: Owner | None = None
        # When a claim of another was last seen to change; a clock that is wrong cannot keep one alive.
        self._watched: dict[Path, tuple[int, float]] = {}

    def take(self, name: str) -> Owner | None:
        """Claim something; the living owner if another run has it, None if it is ours now."""
        self._me = self._me or this_process()
        make_folder(self._folder)
        path = self._path(name)
        with locked(self._folder):
            owner = self._owner(path)
            if owner is not None and owner != self._me:
                return owner
            if os.path.lexists(path) and not path.is_file():
                set_aside(path)
            write_text(path, write_owner(self._me))
        self._held.add(name)
        if self._beating is None:
            self._beating = threading.Thread(target=self._beat, name="claims", daemon=True)
            self._beating.start()
        return None

    def release(self, name: str) -> None:
        """Give up a claim; one that was taken over meanwhile is left to its new owner."""
        if name not in self._held:
            return
        self._held.discard(name)
        # What cannot be removed now is taken over when this process is gone.
        with suppress(CannotWrite, OSError), locked(self._folder):
            if read_owner(self._path(name)) == self._me:
                self._path(name).unlink(missing_ok=True)

    def ours(self, name: str) -> bool:
        """Whether a claim is still this run's: another machine may have taken it while this one slept."""
        return name in self._held and read_owner(self._path(name)) == self._me

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
        owner = read_owner(path)
        if owner is not None and owner.host == self._me.host:
            return owner if alive(owner) else None
        with suppress(OSError):
            # Both times are those of the file system, so clocks of two machines need not agree.
            clock = temporary_beside(path)
            clock.touch()
            now = clock.stat().st_mtime
            clock.unlink()
            touched = path.stat()
            if now - touched.st_mtime < STALE and not self._still(path, touched.st_mtime_ns):
                return owner or Owner("another machine", 0, 0.0, "")
        return None

    def _still(self, path: Path, touched: int) -> bool:
        """Whether a claim was not touched for a while by this run's own clock: its date may lie in the future."""
        now = time.monotonic()
        if self._watched.get(path, (None, 0.0))[0] != touched:
            self._watched[path] = (touched, now)
        return now - self._watched[path][1] > STALE

    def _beat(self) -> None:
        while not self._end.wait(BEAT):
            for name in list(self._held):
                with suppress(OSError):
                    os.utime(self._path(name))
