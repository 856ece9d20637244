"""Several runs on one results folder: what this one may compute, and what it waits for."""

from __future__ import annotations

import time
from collections.abc import Callable

from denoisebench.core.locks import Owner
from denoisebench.execution.claims import Claims

# How often we look whether another run has finished what it claimed.
POLL_SECONDS = 1.0


class Sharing:
    """Claims work for this run and remembers what others have.

    Parameters
    ----------
    claims : Claims
        Of this run on the results folder.
    taken : callable
        Is told, once, of work that another run has claimed: its title and the owner.
    """

    def __init__(self, claims: Claims, taken: Callable[[str, Owner], None]) -> None:
        self._claims, self._taken = claims, taken
        self._elsewhere: dict[str, float] = {}

    @property
    def waiting(self) -> bool:
        """Whether another run has something that we wait for."""
        return bool(self._elsewhere)

    def claim(self, name: str, title: str) -> bool:
        """Whether something is ours to compute; what another run has is looked at every `POLL_SECONDS` only."""
        if time.monotonic() < self._elsewhere.get(name, 0.0):
            return False
        owner = self._claims.take(name)
        if owner is None:
            self._elsewhere.pop(name, None)
            return True
        if name not in self._elsewhere:
            self._taken(title, owner)
        self._elsewhere[name] = time.monotonic() + POLL_SECONDS
        return False

    def release(self, name: str) -> None:
        """Give up a claim."""
        self._claims.release(name)

    def close(self) -> None:
        """Give up every claim."""
        self._claims.close()
