"""Settings of a method, and that it is told what it declared and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from denoisebench.core.errors import ContractError, UserError
from denoisebench.core.lazy import torch
from denoisebench.core.provenance import full_digest
from denoisebench.plugins.method import (
    Batch,
    DisclosedFacts,
    Info,
    LearnedMethod,
    Need,
    NoiseInfo,
    PlainMethod,
    show_value,
)
from denoisebench.protocol.noise import parse_noise


@dataclass(frozen=True)
class Plain(PlainMethod):
    whole: int = 1
    real: float = 0.5
    switch: bool = False
    title: str = "x"
    choice: Literal["a", "b", 3] = "a"
    maybe: float | None = None
    maybe_choice: Literal[2, 4] | None = None

    name = "plain"
    info = Info(label="Plain", channels=(1,))


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("whole", "7", 7),
        ("whole", "-7", -7),
        ("real", "2", 2.0),
        ("real", "1e-3", 1e-3),
        ("switch", "true", True),
        ("switch", "YES", True),
        ("switch", "1", True),
        ("switch", "False", False),
        ("switch", "0", False),
        ("title", "any words", "any words"),
        ("choice", "b", "b"),
        ("choice", "3", 3),
        ("maybe", "none", None),
        ("maybe", "0.25", 0.25),
        ("maybe_choice", "4", 4),
        ("maybe_choice", "none", None),
    ],
)
def test_a_setting_is_read_by_its_type(key: str, text: str, value: Any) -> None:
    found = getattr(Plain.from_settings({key: text}), key)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("whole", "1.5", "whole number"),
        ("whole", "x", "whole number"),
        ("whole", "none", "whole number"),
        ("real", "x", "finite number"),
        ("real", "nan", "finite number"),
        ("real", "-inf", "finite number"),
        ("switch", "maybe", "true and false"),
        ("switch", "2", "true and false"),
        ("choice", "c", "a, b, 3"),
        ("choice", "A", "a, b, 3"),
        ("maybe", "x", "a finite number, or none."),
        ("maybe", "None", "a finite number, or none."),
        ("maybe_choice", "3", "2, 4"),
    ],
)
def test_a_value_of_another_type_is_quoted_with_what_is_allowed(key: str, text: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        Plain.from_settings({key: text})
    assert f"plain[{key}={text}]" in str(caught.value)
    assert words in str(caught.value)


def test_an_unknown_setting_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"Unknown setting of plain 'tittle'\. Did you mean 'title'\?"):
        Plain.from_settings({"tittle": "x"})


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "none"), (True, "true"), (False, "false"), (2.0, "2"), (0.1, "0.1"), (1e-8, "1e-08"), (3, "3"), ("a", "a")],
)
def test_values_are_shown_as_they_are_written(value: Any, text: str) -> None:
    assert show_value(value) == text


def test_values_that_differ_in_the_last_digit_are_shown_apart() -> None:
    assert show_value(0.1 + 0.2) != show_value(0.3)
    assert float(show_value(1 / 3)) == 1 / 3


def test_settings_for_training_leave_out_those_of_inference() -> None:
    @dataclass(frozen=True)
    class Learned(LearnedMethod):
        rate: float = 1.0
        output: str = "exp"
        name = "learned"
        info = Info(label="L")
        inference_only = frozenset({"output"})

    method = Learned.from_settings({"output": "dn"})
    assert method.settings() == {"network": "unet", "rate": 1.0, "output": "dn"}
    assert method.settings(training_only=True) == {"network": "unet", "rate": 1.0}
    assert method.text == "learned[output=dn]"


def test_a_whole_number_given_for_a_float_is_a_float_in_what_results_are_keyed_by() -> None:
    @dataclass(frozen=True)
    class Whole(PlainMethod):
        width: float = 1
        maybe: float | None = 2
        count: int = 3
        either: int | float = 4
        name = "whole"
        info = Info(label="W")

    given = Whole.from_settings({"width": "1", "maybe": "2", "count": "3", "either": "4"})
    kinds = [float, float, int, int]
    for method in (Whole(), given):
        assert [type(value) for value in method.settings().values()] == kinds
    assert full_digest(Whole().keyed_settings()) == full_digest(given.keyed_settings())


def test_methods_are_frozen_and_equal_by_value() -> None:
    assert Plain() == Plain.from_settings({"real": "0.5"})
    assert hash(Plain()) == hash(Plain())
    with pytest.raises(AttributeError):
        Plain().whole = 2  # type: ignore[misc]


def test_channels_that_a_method_does_not_take_have_a_reason() -> None:
    noise = parse_noise("gauss25")
    assert Plain().unsuitable(noise, 1) is None
    assert Plain().unsuitable(noise, 3) == "takes images of 1 channels, not 3"


@pytest.mark.parametrize("needs", [{Need.FAMILY}, {Need.LEVEL}, {Need.FAMILY, Need.LEVEL}])
def test_noise_of_which_a_method_knows_no_model_is_refused_where_it_is_told_of_it(needs: set[Need]) -> None:
    class Told(PlainMethod):
        name = "told"
        info = Info(label="Told", needs=frozenset(needs))

    class All(Told):
        families = frozenset({"gauss", "gamma"})

    gauss, gamma = parse_noise("gauss25"), parse_noise("gamma4")
    assert Told().unsuitable(gamma, 3) == "has no model of gamma noise, only of gauss and poisson"
    assert Told().unsuitable(gauss, 3) is None
    assert All().unsuitable(gamma, 3) is None
    assert "no model of poisson noise" in str(All().unsuitable(parse_noise("poisson30"), 3))


def test_a_method_that_is_told_nothing_of_the_noise_takes_any() -> None:
    assert Plain().unsuitable(parse_noise("gamma4"), 1) is None


# --- what is told ---

EVERYTHING: dict[Need, Any] = {
    Need.CLEAN: "clean",
    Need.SECOND: "second",
    Need.FAMILY: "gauss",
    Need.LEVEL: 0.1,
    Need.RANGED: True,
}
BATCH_NEEDS = {Need.CLEAN: "clean", Need.SECOND: "second"}
KNOWN_NEEDS = {Need.FAMILY: "family", Need.LEVEL: "level", Need.RANGED: "ranged"}


def batch(told: frozenset[Need]) -> Batch:
    known = NoiseInfo("toy", told, EVERYTHING)
    return Batch(torch.zeros(1, 1, 2, 2), known, torch.Generator(), "toy", told, EVERYTHING)


@pytest.mark.parametrize("need", list(Need))
def test_only_the_declared_need_can_be_read(need: Need) -> None:
    told = batch(frozenset({need}))
    for other in Need:
        owner, attribute = (told, BATCH_NEEDS[other]) if other in BATCH_NEEDS else (told.known, KNOWN_NEEDS[other])
        if other is need:
            assert getattr(owner, attribute) == EVERYTHING[other]
            continue
        with pytest.raises(ContractError) as caught:
            getattr(owner, attribute)
        assert "'toy'" in str(caught.value)
        assert repr(other.value) in str(caught.value)
        assert f"Need.{other.name}" in str(caught.value)


def test_what_is_not_told_is_not_even_held() -> None:
    secret = object()
    told = DisclosedFacts("toy", frozenset({Need.FAMILY}), {Need.CLEAN: secret, Need.FAMILY: "gauss"})
    assert secret not in vars(told)["_values"].values()
    assert all(value is not secret for value in vars(told).values())
