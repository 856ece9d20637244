"""Shapes of JSON: every wrong type is found at any depth, and named."""

from __future__ import annotations

from typing import Any

import pytest

from denoisebench.core.schema import ABOUT, COUNT, IDENTITY, RECORD, Number, flaw

PROTOCOL = {"dataset": "d", "noise": "gauss25", "draws": "counter-0", "padding": "side", "data_hash": "ab"}
RECIPE = {"budget": {"amount": 2, "unit": "steps"}, "batch": 1, "crop": 32, "lr": 0.001, "draws": "fresh", "seed": 0}
TRAINED = {"method": "n2c", "settings": {"network": "unet"}, "noise": "gauss25", "channels": 3, "summary": "s"}


@pytest.mark.parametrize(
    ("value", "shape", "text"),
    [
        (1, int, ""), (True, int, "it is no int"), (1, float, ""), (1e309, float, "it is no float"), ("a", str, ""),
        (None, (None, str), ""), (1, (None, str), "it is of no allowed kind"),
        ([1, "a"], [int], "an item of it is no int"),
        ({"a": 1}, {"a": int, "b?": str}, ""), ({"a": 1, "b": 2}, {"a": int, "b?": str}, "it.b is no str"),
        ({}, {"a": int}, "it.a is missing"), ({"x": {"y": []}}, {"x": {"y": dict}}, "it.x.y is no dict"),
        ({"x": 1, "y": "a"}, {"*": int}, "it.y is no int"),
        (1e308, Number(0, 1e9), "it is 1e+308, not from 0 to 1e+09"),
        (2**60, COUNT, "it is 1.15292e+18, not from 0 to 9.0072e+15"), (1.0, COUNT, "it is no whole number"),
    ],
)  # fmt: skip
def test_a_flaw_is_named(value: Any, shape: Any, text: str) -> None:
    assert flaw(value, shape) == text


def changed(value: dict[str, Any], path: str, new: Any) -> dict[str, Any]:
    first, _, rest = path.partition(".")
    return {**value, first: changed(value[first], rest, new) if rest else new}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("settings.network", ["unet"]), ("channels", True), ("channels", 10**30), ("recipe.seed", "0"),
        ("recipe.crop", 0),
        ("recipe.budget.amount", 1e308), ("recipe.budget", 3), ("data.sha256", None), ("warnings", "none"),
        ("scores", {"kodak gauss25": {"psnr": "30", "ssim": 0.9}}), ("scores", {"kodak": []}), ("seconds", -1),
    ],
)  # fmt: skip
def test_a_record_is_refused_whatever_is_wrong_in_it(path: str, value: Any) -> None:
    record = {**TRAINED, "recipe": RECIPE, "data": {"name": "d", "sha256": "ab"}}
    assert flaw(record, RECORD) == ""
    assert path.split(".")[-1] in flaw(changed(record, path, value), RECORD)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("protocol.noise", 25),
        ("protocol.rounding", None),
        ("training.recipe.seed", "x"),
        ("training", []),
        ("seed", "x"),
    ],
)
def test_an_identity_is_refused_whatever_is_wrong_in_it(path: str, value: Any) -> None:
    identity = {"method": "n2c", "settings": {}, "protocol": PROTOCOL, "training": {"recipe": RECIPE}, "seed": 0}
    assert flaw(identity, IDENTITY) == ""
    assert path.split(".")[-1] in flaw(changed(identity, path, value), IDENTITY)
    assert flaw({}, ABOUT) == "it.text is missing"
