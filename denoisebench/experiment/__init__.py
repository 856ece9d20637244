"""From the text of an experiment to its cells."""

from typing import Any


def __getattr__(name: str) -> Any:
    """Names that this package held when it was one module."""
    from denoisebench.core.moved import attribute

    return attribute(__name__, name)
