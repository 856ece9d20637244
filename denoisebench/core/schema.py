"""What parsed JSON must look like before anything else of this package sees it.

A shape is a type (``int`` and ``float`` without booleans, floats finite), a `Number` within bounds, a tuple of
alternatives, a frozenset of the texts allowed, a list of one shape for all its items, or a dictionary by key; a key
that ends with ``?`` may be missing, the key ``*`` stands for all others, and keys not named may have any value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Number:
    """A number from ``low`` to ``high``, a whole one if ``kind`` is int."""

    low: float
    high: float
    kind: type = float


#: What a count may be: exact in every reader of JSON.
COUNT = Number(0, 2**53, int)
SCALAR = (None, bool, int, float, str)


class Shape:
    """A shape with its check, which is made once: a report checks tens of thousands of values.

    Parameters
    ----------
    shape : Any
        As described above.
    """

    def __init__(self, shape: Any) -> None:
        self.check = _check_of(shape)


def flaw(value: Any, shape: Any, name: str = "it") -> str:
    """What is wrong with a value, as ``training.recipe.seed is no whole number``; '' if nothing is."""
    found = (shape if isinstance(shape, Shape) else Shape(shape)).check(value)
    if found is None:
        return ""
    *steps, text = found
    for step in steps:
        name = f"an item of {name}" if step == _ITEM else f"{name}.{step}"
    return f"{name} {text}"


# The keys down to what is wrong, then what that is. The name is put together for a flaw only.
_Found = tuple[str | int, ...] | None
_Check = Callable[[Any], _Found]
_ITEM = 0


def _check_of(shape: Any) -> _Check:
    """The check of a shape: None, or where the flaw is and what it is."""
    if isinstance(shape, tuple):
        return _alternatives(shape)
    if isinstance(shape, dict):
        return _object(shape)
    if isinstance(shape, list):
        return _list(shape[0])
    if isinstance(shape, frozenset):
        wrong = (f"is none of {', '.join(sorted(shape))}",)
        return lambda value: None if isinstance(value, str) and value in shape else wrong
    if isinstance(shape, Number):
        return _number(shape)
    if shape is None:
        return lambda value: None if value is None else ("is not null",)
    return _plain(shape)


def _plain(kind: type) -> _Check:
    wrong = (f"is no {kind.__name__}",)
    if kind is float:
        return lambda value: None if _is_float(value) else wrong
    return lambda value: None if type(value) is kind else wrong


def _is_float(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _number(shape: Number) -> _Check:
    kind = _plain(shape.kind)
    wrong = (f"is no {'whole ' if shape.kind is int else ''}number",)

    def check(value: Any) -> _Found:
        if kind(value) is not None:
            return wrong
        if shape.low <= value <= shape.high:
            return None
        return (f"is {value:g}, not from {shape.low:g} to {shape.high:g}",)

    return check


def _list(shape: Any) -> _Check:
    check = _check_of(shape)

    def check_all(value: Any) -> _Found:
        if type(value) is not list:
            return ("is no list",)
        for item in value:
            if (found := check(item)) is not None:
                return (_ITEM, *found)
        return None

    return check_all


def _alternatives(options: tuple[Any, ...]) -> _Check:
    if options == SCALAR:
        return _scalar
    checks = [_check_of(option) for option in options]

    def check(value: Any) -> _Found:
        # What is nearest to being right says what is wrong: the alternative of the same kind.
        nearest: _Found = None
        for one, option in zip(checks, options, strict=True):
            found = one(value)
            if found is None:
                return None
            if nearest is None and type(option) is type(value):
                nearest = found
        return nearest or ("is of no allowed kind",)

    return check


def _scalar(value: Any) -> _Found:
    kind = type(value)
    if kind is str or kind is int or value is None or kind is bool or (kind is float and math.isfinite(value)):
        return None
    return ("is of no allowed kind",)


def _object(shape: dict[str, Any]) -> _Check:
    named = [(key.removesuffix("?"), key.endswith("?"), _check_of(inner)) for key, inner in shape.items() if key != "*"]
    names = frozenset(name for name, _, _ in named)
    other = _check_of(shape["*"]) if "*" in shape else None

    def check(value: Any) -> _Found:
        if type(value) is not dict:
            return ("is no object",)
        for name, optional, one in named:
            if name not in value:
                if not optional:
                    return (name, "is missing")
            elif (found := one(value[name])) is not None:
                return (name, *found)
        if other is not None:
            for name, item in value.items():
                if name not in names and (found := other(item)) is not None:
                    return (name, *found)
        return None

    return check


_RECIPE = {
    "budget?": {"amount": Number(0, 1e15), "unit": str}, "batch?": Number(1, 2**20, int),
    "crop?": Number(1, 2**20, int), "lr?": float, "draws?": str, "seed?": int, "precision?": str, "devices?": COUNT,
    "optimiser?": str, "schedule?": str, "average?": float, "wide?": Number(0, 2**20, int),
}  # fmt: skip
_TRAINED = {
    "steps?": COUNT, "images_seen?": COUNT, "seconds?": Number(0, 1e12), "parameters?": COUNT, "draws?": str,
}  # fmt: skip
_DATA = {"name?": str, "sha256?": str, "extent?": str}
#: The record of weights, and of a training.
RECORD = Shape({
    "method": str, "settings": {"*": SCALAR}, "noise": str, "channels": Number(1, 1000, int), "summary": str,
    "recipe?": _RECIPE, "data?": _DATA, "warnings?": [str], "device?": str, "machine?": dict, "curve?": [dict],
    "start?": {"weights": str, "noise": str, "images_seen": COUNT, "seconds": Number(0, 1e12)},
    "scores?": {"*": {"psnr": (float, frozenset({"inf"})), "ssim": float}}, "stored_as?": str, **_TRAINED,
})  # fmt: skip
#: What decides the rows of a cell.
IDENTITY = Shape({
    "method?": str, "settings?": {"*": SCALAR}, "device?": str, "seed?": int,
    "protocol": {"dataset": str, "noise": str, "draws": str, "padding": str, "limit?": COUNT, "*": str},
    "training?": (None, {
        "method?": str, "recipe?": _RECIPE, "data?": _DATA, "weights?": str, "networks?": str,
        "fit?": {"budget?": {"amount": Number(0, 1e15), "unit": str}},
    }),
})  # fmt: skip
#: What explains them, as reports read it.
ABOUT = Shape({
    "text": str, "changed?": {"*": SCALAR}, "label": str, "told": [str], "baseline": bool, "protocol": str,
    "noise_title": str,
    "dataset_title": str, "dataset_class?": str, "training": str, "warnings": [str], "written": str,
    "machine?": dict, "machines?": [dict], "training_record?": _TRAINED,
})  # fmt: skip
