"""What parsed JSON must look like before anything else of this package sees it.

A shape is a type (``int`` and ``float`` without booleans, floats finite), a `Number` within bounds, a tuple of
alternatives, a frozenset of the texts allowed, a list of one shape for all its items, or a dictionary by key; a key
that ends with ``?`` may be missing, the key ``*`` stands for all others, and keys not named may have any value.
"""

from __future__ import annotations

import math
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


def flaw(value: Any, shape: Any, name: str = "it") -> str:
    """What is wrong with a value, as ``training.recipe.seed is no whole number``; '' if nothing is."""
    if isinstance(shape, tuple):
        found = [flaw(value, option, name) for option in shape]
        inner = next((text for text, option in zip(found, shape, strict=True) if _is(value, type(option))), "")
        return "" if "" in found else inner or f"{name} is of no allowed kind"
    if isinstance(shape, dict):
        return _object_flaw(value, shape, f"{name}.") if _is(value, dict) else f"{name} is no object"
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{name} is no list"
        return next((text for item in value if (text := flaw(item, shape[0], f"an item of {name}"))), "")
    if isinstance(shape, frozenset):
        return "" if isinstance(value, str) and value in shape else f"{name} is none of {', '.join(sorted(shape))}"
    if isinstance(shape, Number):
        return _number_flaw(value, shape, name)
    if shape is None:
        return "" if value is None else f"{name} is not null"
    return "" if _is(value, shape) else f"{name} is no {shape.__name__}"


def _is(value: Any, kind: type) -> bool:
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is kind


def _number_flaw(value: Any, shape: Number, name: str) -> str:
    if not _is(value, shape.kind):
        return f"{name} is no {'whole ' if shape.kind is int else ''}number"
    return "" if shape.low <= value <= shape.high else f"{name} is {value:g}, not from {shape.low:g} to {shape.high:g}"


def _object_flaw(value: dict[str, Any], shape: dict[str, Any], prefix: str) -> str:
    named = set()
    for key, inner in shape.items():
        if key == "*":
            continue
        bare = key.removesuffix("?")
        named.add(bare)
        if bare not in value:
            if not key.endswith("?"):
                return f"{prefix}{bare} is missing"
        elif text := flaw(value[bare], inner, f"{prefix}{bare}"):
            return text
    if "*" in shape:
        others = (item for item in value.items() if item[0] not in named)
        return next((text for key, item in others if (text := flaw(item, shape["*"], f"{prefix}{key}"))), "")
    return ""


_RECIPE = {
    "budget?": {"amount": Number(0, 1e15), "unit": str}, "batch?": Number(1, 2**20, int),
    "crop?": Number(1, 2**20, int), "lr?": float, "draws?": str, "seed?": int, "precision?": str, "devices?": COUNT,
    "optimiser?": str, "schedule?": str, "average?": float,
}  # fmt: skip
_TRAINED = {
    "steps?": COUNT, "images_seen?": COUNT, "seconds?": Number(0, 1e12), "parameters?": COUNT, "draws?": str,
}  # fmt: skip
_DATA = {"name?": str, "sha256?": str, "extent?": str}
#: The record of weights, and of a training.
RECORD = {
    "method": str, "settings": {"*": SCALAR}, "noise": str, "channels": Number(1, 1000, int), "summary": str,
    "recipe?": _RECIPE, "data?": _DATA, "warnings?": [str], "device?": str, "machine?": dict, "curve?": [dict],
    "start?": {"weights": str, "noise": str, "images_seen": COUNT, "seconds": Number(0, 1e12)},
    "scores?": {"*": {"psnr": (float, frozenset({"inf"})), "ssim": float}}, "stored_as?": str, **_TRAINED,
}  # fmt: skip
#: What decides the rows of a cell.
IDENTITY = {
    "method?": str, "settings?": {"*": SCALAR}, "device?": str, "seed?": int,
    "protocol": {"dataset": str, "noise": str, "draws": str, "padding": str, "limit?": COUNT, "*": str},
    "training?": (None, {
        "method?": str, "recipe?": _RECIPE, "data?": _DATA, "weights?": str, "networks?": str,
        "fit?": {"budget?": {"amount": Number(0, 1e15), "unit": str}},
    }),
}  # fmt: skip
#: What explains them, as reports read it.
ABOUT = {
    "text": str, "changed?": {"*": SCALAR}, "label": str, "told": [str], "baseline": bool, "protocol": str,
    "noise_title": str,
    "dataset_title": str, "dataset_class?": str, "training": str, "warnings": [str], "written": str,
    "machine?": dict, "machines?": [dict], "training_record?": _TRAINED,
}  # fmt: skip
