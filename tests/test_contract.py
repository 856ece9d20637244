"""Every shipped method keeps the contract, and a broken one is told which rule it breaks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from denoisebench.core.errors import UserError
from denoisebench.evaluation.contract import NOISES, Verdict, check
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.registry import METHODS
from denoisebench.protocol.noise import parse_noise

pytestmark = pytest.mark.usefixtures("fresh_registry")
MakePlugin = Callable[..., Path]
# Fifty passes or thousands of steps run the same lines again.
FASTER = {"r2r": "r2r[passes=3]", "self2self": "self2self[passes=3]", "wnnm": "wnnm[iterations=1]"}


def failures(text: str) -> list[Verdict]:
    return [verdict for verdict in check(text) if not verdict.passed]


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS.names())
def test_a_built_in_method_keeps_the_contract(name: str) -> None:
    verdicts = list(check(FASTER.get(name, name)))
    assert [f"{verdict.rule}: {verdict.detail}" for verdict in verdicts if not verdict.passed] == []
    for noise in NOISES:
        for kind, channels in (("colour", 3), ("gray", 1)):
            denoised = any(verdict.rule.startswith(f"{noise}, {kind}: denoises") for verdict in verdicts)
            assert denoised != bool(parse_method(name).unsuitable(parse_noise(noise), channels))


@pytest.mark.slow
def test_settings_are_checked_with_the_method() -> None:
    assert failures("b2u[stride=2,output=mid]") == []


@pytest.mark.parametrize(
    ("body", "rule", "words"),
    [
        ("noisy[0] = 0\nreturn noisy", "denoises", "read-only"),
        ("noisy.flags.writeable = True\nnoisy[0] = 0\nreturn noisy", "denoises", "changed in place"),
        ("return noisy * np.nan", "denoises", "not finite"),
        ("return 255 * noisy", "denoises", "white is 1.0, not 255"),
        ("noisy.mean()", "denoises", "returned nothing"),
        ("return noisy[1:]", "denoises", "shape"),
        ("return noisy[:, :, 0]", "denoises", "shape"),
        ("return noisy + np.random.default_rng().normal()", "denoises", "two calls with the same generator differ"),
        ("return noisy * known.level", "denoises", "Need.LEVEL"),
        ("raise KeyError('gone')", "denoises", "KeyError: 'gone' (toy.py, line 23)"),
        ("noisy *= 2\nreturn noisy", "denoises", "the noisy image may not be changed, begin with a copy"),
        ("raise SystemExit(3)", "denoises", "it tried to end the program (SystemExit: 3) (toy.py, line"),
    ],
)
def test_a_broken_denoiser_fails_every_denoising_rule_and_no_other(
    body: str, rule: str, words: str, plugin_file: MakePlugin
) -> None:
    METHODS.add_file(plugin_file("toy", body))
    broken = failures("toy")
    assert len(broken) == 2 * len(NOISES) + 1
    assert all(rule in verdict.rule and words in verdict.detail for verdict in broken)


@pytest.mark.parametrize(
    "body",
    [
        "KEPT.setdefault(noisy.shape, noisy.copy())\nreturn KEPT[noisy.shape]",
        "KEPT[noisy.shape] = KEPT.get(noisy.shape, noisy) * 0.5 + noisy * 0.5\nreturn KEPT[noisy.shape]",
        "return noisy * KEPT.setdefault(noisy.shape, noisy.mean())",
    ],
)
def test_a_denoiser_that_keeps_something_of_an_image_is_found(body: str, plugin_file: MakePlugin) -> None:
    path = plugin_file("toy", body)
    path.write_text(f"{path.read_text(encoding='utf-8')}\nKEPT = {{}}\n", encoding="utf-8")
    METHODS.add_file(path)
    broken = [verdict.rule for verdict in failures("toy") if "keep nothing from one image" in verdict.detail]
    assert len(broken) == 3, "in colour, in gray, and for packed raw images"


def test_seeded_randomness_is_allowed(plugin_file: MakePlugin) -> None:
    METHODS.add_file(plugin_file("toy", "return noisy + 0.01 * rng.standard_normal(noisy.shape)"))
    assert failures("toy") == []


@pytest.mark.parametrize(("kind", "default"), [("int", "2.5"), ("float", "'wide'"), ("float", "None")])
def test_a_default_of_another_type_than_declared_is_found(kind: str, default: str, tmp_path: Path) -> None:
    path = tmp_path / "toy.py"
    parts = {"decorator": "@dataclass(frozen=True)", "info": "label='Toy', licence='x'", "told": ""}
    text = dedent(PLAIN).format(**parts).replace("width: float = 1.0", f"width: {kind} = {default}")
    path.write_text(text, encoding="utf-8")
    METHODS.add_file(path)
    (broken,) = failures("toy")
    assert broken.rule.startswith("settings")
    assert "the default of 'width' is none of its values" in broken.detail


def test_a_default_that_reads_as_another_type_is_found(tmp_path: Path) -> None:
    path = tmp_path / "toy.py"
    parts = {"decorator": "@dataclass(frozen=True)", "info": "label='Toy', licence='x'", "told": ""}
    path.write_text(dedent(PLAIN).format(**parts).replace("width: float = 1.0", "width: float = '1'"), encoding="utf-8")
    METHODS.add_file(path)
    assert "the default of 'width' is '1', and width=1 reads as 1.0" in failures("toy")[0].detail


def test_a_setting_without_a_type_is_told_how_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "toy.py"
    parts = {"decorator": "@dataclass(frozen=True)", "info": "label='Toy', licence='x'", "told": ""}
    path.write_text(dedent(PLAIN).format(**parts).replace("width: float = 1.0", "width = 1.0"), encoding="utf-8")
    METHODS.add_file(path)
    with pytest.raises(UserError, match="'width' of toy is no setting: one is a field with a type, such as width: fl"):
        parse_method("toy[width=2]")


PLAIN = """
    from dataclasses import dataclass
    from denoisebench.plugins.method import Info, Need, PlainMethod

    {decorator}
    class Toy(PlainMethod):
        width: float = 1.0
        name = "toy"
        info = Info({info})

        {told}

        def denoise(self, noisy, known, rng):
            return noisy
"""


@pytest.mark.parametrize(
    ("change", "rule", "words"),
    [
        ({"decorator": ""}, "settings", "@dataclass(frozen=True)"),
        ({"info": "label='Toy'"}, "metadata", "lacks licence"),
        ({"told": "def told(self, family): return frozenset({Need.CLEAN})"}, "hooks", "told more than the needs"),
    ],
)
def test_a_broken_declaration_fails_its_own_rule(change: dict[str, str], rule: str, words: str, tmp_path: Path) -> None:
    parts = {"decorator": "@dataclass(frozen=True)", "info": "label='Toy', licence='x'", "told": ""} | change
    path = tmp_path / "toy.py"
    path.write_text(dedent(PLAIN).format(**parts), encoding="utf-8")
    METHODS.add_file(path)
    (broken,) = failures("toy")
    assert broken.rule.startswith(rule)
    assert words in broken.detail


def test_a_method_without_a_label_is_refused_on_import(tmp_path: Path) -> None:
    path = tmp_path / "toy.py"
    parts = {"decorator": "@dataclass(frozen=True)", "info": "label='', licence='x'", "told": ""}
    path.write_text(dedent(PLAIN).format(**parts), encoding="utf-8")
    with pytest.raises(UserError, match="the label of 1 to 400 characters"):
        METHODS.add_file(path)


def test_an_error_while_asking_whether_a_method_suits_is_a_verdict(tmp_path: Path) -> None:
    parts = {"decorator": "@dataclass(frozen=True)", "info": "label='Toy', licence='x'"}
    parts["told"] = "def unsuitable(self, noise, channels): return 1 / 0"
    path = tmp_path / "toy.py"
    path.write_text(dedent(PLAIN).format(**parts), encoding="utf-8")
    METHODS.add_file(path)
    broken = failures("toy")
    assert len(broken) == 2 * len(NOISES) + 1
    assert {verdict.detail for verdict in broken} == {"ZeroDivisionError: division by zero"}


def test_a_class_that_cannot_be_made_frozen_is_refused_on_import(tmp_path: Path) -> None:
    path = tmp_path / "toy.py"
    parts = {"decorator": "@dataclass", "info": "label='Toy', licence='x'", "told": ""}
    path.write_text(dedent(PLAIN).format(**parts), encoding="utf-8")
    with pytest.raises(UserError, match="cannot inherit non-frozen dataclass from a frozen one"):
        METHODS.add_file(path)


LEARNED = """
    from dataclasses import dataclass
    import torch
    from denoisebench.plugins.method import Info, LearnedMethod, Need

    @dataclass(frozen=True)
    class Toy(LearnedMethod):
        name = "toy"
        info = Info(label="Toy", licence="x", multiple=32)

        def build(self, channels):
            return {network}

        def loss(self, network, batch, progress):
            {loss}

        {more}
"""
CONVOLUTION = "torch.nn.Conv2d(channels, channels, 3, padding=1)"
GOOD_LOSS = "return (network(batch.noisy) - batch.noisy).square().mean(), {}"


@pytest.mark.parametrize(
    ("change", "rule", "words"),
    [
        ({}, "", ""),
        ({"loss": "return (network(batch.noisy) - batch.clean).square().mean(), {}"}, "loss", "Need.CLEAN"),
        ({"loss": "return (network(batch.noisy) - batch.second).square().mean(), {}"}, "loss", "Need.SECOND"),
        ({"loss": "return network(batch.noisy).mean() * batch.known.level, {}"}, "loss", "Need.LEVEL"),
        ({"loss": "return network(batch.noisy).mean() * float('nan'), {}"}, "loss", "nan"),
        ({"loss": "return (network(batch.noisy) - batch.noisy).square(), {}"}, "loss", "not a scalar tensor"),
        ({"loss": "return network(batch.noisy).mean()"}, "loss", "loss returned a tensor of shape (), not (loss"),
        ({"loss": "network(batch.noisy).mean()"}, "loss", "loss returned nothing, not (loss, monitors)"),
        ({"loss": "return network(batch.noisy).mean().detach(), {}"}, "loss", "of shape () without gradient, not a"),
        ({"loss": "return 0 * network(batch.noisy).mean(), {}"}, "loss and gradient", "gradient is zero everywhere"),
        (
            {"loss": "return network(batch.noisy + torch.rand(1)).square().mean(), {}"},
            "backward gives the gradient of loss", "draw only from batch.generator",
        ),
        (
            {"more": "def denoise(self, network, noisy, known, generator): return network(noisy)[0]"},
            "denoises", "not (N, C, H, W)",
        ),
        (
            {"more": "def denoise(self, network, noisy, known, generator): return network(noisy).numpy()"},
            "denoises", "returned a ndarray, not a tensor",
        ),
        (
            {"network": f"torch.nn.ModuleList([{CONVOLUTION}, {CONVOLUTION}])",
             "loss": "return network[0](batch.noisy).square().mean(), {}",
             "more": "def denoise(self, network, noisy, known, generator): return network[0](noisy)"},
            "loss and gradient", "no gradient for 1.weight",
        ),
        (
            {"more": "def denoise(self, network, noisy, known, generator): return noisy + torch.rand(())"},
            "denoises", "two calls with the same generator differ",
        ),
        (
            {"more": "def denoise(self, network, noisy, known, generator): return network(noisy)[..., :-1]"},
            "denoises", "shape",
        ),
        (
            {"more": "def backward(self, network, batch, progress):\n"
             "        loss, monitors = self.loss(network, batch, progress)\n"
             "        (1.001 * loss).backward()\n"
             "        return loss.detach(), monitors"},
            "backward gives the gradient of loss", "differ",
        ),
    ],
)  # fmt: skip
def test_a_broken_learned_method_fails_the_right_rule(
    change: dict[str, str], rule: str, words: str, tmp_path: Path
) -> None:
    parts = {"network": CONVOLUTION, "loss": GOOD_LOSS, "more": ""} | change
    path = tmp_path / "toy.py"
    path.write_text(dedent(LEARNED).format(**parts), encoding="utf-8")
    METHODS.add_file(path)
    broken = failures("toy")
    assert bool(broken) == bool(rule)
    assert all(rule in verdict.rule for verdict in broken)
    assert all(words in verdict.detail for verdict in broken if "backward" not in verdict.rule or "backward" in rule)


FITTED = """
    from denoisebench.plugins.method import Info, PerImageMethod

    class Toy(PerImageMethod):
        name = "toy"
        info = Info(label="Toy", licence="x")
        {more}
"""


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("paper_steps = 3", "its steps must be a whole number from 1; it is missing"),
        ("steps, paper_steps = '3', 3", "its steps must be a whole number from 1, not '3'"),
        ("steps, paper_steps = 3, 0", "its paper_steps must be a whole number from 1, not 0"),
        ("steps = paper_steps = 3; families = {'gauss'}", "its families must be a frozenset of texts"),
    ],
)
def test_attributes_that_are_missing_or_of_another_type_are_refused_on_import(
    more: str, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "toy.py"
    path.write_text(dedent(FITTED).format(more=more), encoding="utf-8")
    with pytest.raises(UserError, match=words):
        METHODS.add_file(path)
