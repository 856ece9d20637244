"""A method that cannot be used because its own code fails before any image: its cell fails, and the others complete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from denoisebench.core.errors import ContractError, explain
from denoisebench.plugins.method import Info, Method, NoiseInfo, PlainMethod
from denoisebench.protocol.images import FloatImage


@dataclass(frozen=True)
class BrokenMethod(PlainMethod):
    """Stands for a method whose hooks raise.

    Parameters
    ----------
    given : str
        As it was named on the command line.
    reason : str
        One sentence.
    """

    given: str = ""
    reason: str = ""

    name: ClassVar[str] = "broken-method"
    info: ClassVar[Info] = Info(label="broken method")

    @property
    def text(self) -> str:
        return self.given

    def denoise(self, noisy: FloatImage, known: NoiseInfo, rng: np.random.Generator) -> FloatImage:
        """Nothing but the reason."""
        raise ContractError(self.reason)


def broken(method: Method, given: str, error: BaseException, hook: str = "a hook") -> BrokenMethod:
    """The stand-in of a method one of whose hooks raised something."""
    return BrokenMethod(given, f"{hook} of {type(method).__name__} raised {explain(error)}")


def usable(method: Method, given: str) -> Method:
    """A method, or its stand-in if what the suite asks of it before any image raises, or is no answer."""
    hook = "the text"
    try:
        if not isinstance(method.text, str):
            raise TypeError(f"it is a {type(method.text).__name__}")
        hook = "the hash or comparison"
        hash(method)
        if method != method:
            raise TypeError("it differs from itself")
        hook = "told()"
        for family in (*method.families, "real"):
            if not method.told(family) <= method.info.needs:
                raise TypeError("it is told more than the needs of its Info")
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return broken(method, given, error, hook)
    return method
