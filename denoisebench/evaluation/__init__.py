"""One image through one method, and its scores; fits to single images; the check of a method's contract."""

from typing import Any


def __getattr__(name: str) -> Any:
    """Names that this package held when it was one module."""
    from denoisebench.core.moved import attribute

    return attribute(__name__, name)
