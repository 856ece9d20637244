"""Data sets written in Python: what goes wrong in their code, or is no answer, becomes a sentence that names them."""

from __future__ import annotations

import functools
import inspect
import reprlib
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from denoisebench.core.errors import ContractError, TrainingFailed, UserError, explain
from denoisebench.core.userfiles import line_of


def watch(kind: type) -> None:
    """Let what a class of data sets defines itself answer only as `denoisebench.data.dataset.DataSet` says."""
    for name, flaw in _ANSWERS.items():
        own = vars(kind).get(name)
        if isinstance(own, property) and own.fget is not None:
            setattr(kind, name, own.getter(_told(kind, name, own.fget, flaw)))
        elif isinstance(own, cached_property):
            own.func = _told(kind, name, own.func, flaw)
        elif inspect.isfunction(own):
            setattr(kind, name, _told(kind, name, own, flaw))


def constants_flaw(kind: type) -> str:
    """What is wrong with an answer that a class of data sets holds as a constant, or ''."""
    for name in _CONSTANTS:
        own = inspect.getattr_static(kind, name)
        if not isinstance(own, property | cached_property) and (wrong := _ANSWERS[name](None, own)):
            return f"its {name} {wrong}"
    return ""


def _told(kind: type, name: str, function: Callable[..., Any], flaw: Callable[[Any, Any], str]) -> Callable[..., Any]:
    @functools.wraps(function)
    def answered(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            answer = function(self, *args, **kwargs)
        except (UserError, ContractError, TrainingFailed, MemoryError):
            raise
        except (Exception, SystemExit) as error:
            raise UserError(
                f"{_what(self, name, args)} raised {explain(error)}{line_of(error, kind.__module__)}."
            ) from error
        wrong = flaw(self, answer)
        if wrong:
            raise UserError(f"{_what(self, name, args)} {wrong}.")
        return answer

    return answered


def _what(dataset: Any, name: str, args: Sequence[Any]) -> str:
    shown = name if name in _CONSTANTS else f"{name}({', '.join(map(repr, args))})"
    return f"Data set {getattr(dataset, 'name', type(dataset).__name__)!r}: its {shown}"


def _nothing(dataset: Any, answer: Any) -> str:
    return ""


def _names(dataset: Any, answer: Any) -> str:
    if not isinstance(answer, list | tuple) or not all(isinstance(name, str) for name in answer):
        return f"must be a list or tuple of texts, the ids of the images, not {_short(answer)}"
    if not answer:
        return "are none; a data set has one at least"
    odd = next((name for name in answer if not name or not name.isprintable()), None)
    if odd is not None:
        return f"hold {odd!r}, which cannot be printed"
    if len(set(answer)) < len(answer):
        twice = next(name for place, name in enumerate(answer) if name in answer[:place])
        return f"hold {twice!r} several times; ids must be unique"
    return ""


def _text(dataset: Any, answer: Any) -> str:
    return "" if isinstance(answer, str) else f"must be a text, not {_short(answer)}"


def _hash(dataset: Any, answer: Any) -> str:
    return "" if isinstance(answer, str) and answer else f"must be a text that is not empty, not {_short(answer)}"


def _count(dataset: Any, answer: Any) -> str:
    whole = isinstance(answer, int | np.integer) and answer >= 0
    return "" if whole else f"must be a whole number from 0, not {_short(answer)}"


def _image(dataset: Any, answer: Any) -> str:
    channels = dataset.channels
    types = "uint8, uint16, or floats with white = 1.0" if dataset.real else "uint8"
    wanted = f"must be an array (height, width, {channels}) of {types}"
    if not isinstance(answer, np.ndarray):
        return f"{wanted}, not {_short(answer)}"
    fits = answer.dtype.kind in "uf" if dataset.real else answer.dtype == np.uint8
    if answer.ndim != 3 or answer.shape[2] != channels or not fits:
        return f"{wanted}, not {answer.dtype} of shape {'x'.join(map(str, answer.shape)) or 'a single value'}"
    return ""


def _short(answer: Any) -> str:
    if isinstance(answer, str | int | float | list | tuple | None):
        return reprlib.repr(answer)
    return f"a {type(answer).__name__}"


_CONSTANTS = ("images", "note", "advice", "extent", "data_hash")
# What a data set is asked, and what is wrong with an answer, as the end of a sentence.
_ANSWERS: dict[str, Callable[[Any, Any], str]] = {
    "__init__": _nothing,
    "images": _names,
    "load": _image,
    "captures": _count,
    "capture": _image,
    "reference": _image,
    "submission": _nothing,
    "verify": _nothing,
    "note": _text,
    "advice": _text,
    "extent": _text,
    "data_hash": _hash,
}
