"""The loop of per-image methods: budgets, seeds, checkpoints, failure; and what tables say of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from denoisebench.core.errors import TrainingFailed, UserError
from denoisebench.evaluation import fit as fitting
from denoisebench.evaluation.fit import FitRecipe, fit, fit_recipe, fit_text
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import Info, NoiseInfo, PerImageMethod
from denoisebench.protocol.images import FloatImage, pad
from denoisebench.training.collapse import collapsed
from denoisebench.training.recipe import Budget

NOTHING = NoiseInfo("toy", frozenset(), {})


@dataclass(frozen=True)
class Toy(PerImageMethod):
    """One convolution that learns the image, with a buffer and draws in every step."""

    name = "toy"
    info = Info(label="Toy", licence="x", multiple=4)
    steps, paper_steps = 5, 1000
    fail_at = 0
    sleep = 0.0

    def build(self, noisy: torch.Tensor) -> nn.Module:
        network = nn.Conv2d(noisy.shape[1], noisy.shape[1], 3, padding=1)
        network.register_buffer("seen", torch.zeros(()))
        return network

    def rate(self, progress: float) -> float:
        return 0.01 * (0.5 if progress > 0.5 else 1)

    def loss(self, network: nn.Module, noisy: torch.Tensor, known: NoiseInfo, progress: float) -> torch.Tensor:
        network.get_buffer("seen").add_(1)
        time.sleep(self.sleep)
        if self.fail_at and network.get_buffer("seen") >= self.fail_at:
            return noisy.new_tensor(float("nan")) * torch.Tensor(network(noisy)).sum()
        again: torch.Tensor = network(noisy + 0.1 * torch.randn_like(noisy))
        return (again - noisy).square().mean()

    def denoise(self, network: nn.Module, noisy: torch.Tensor, known: NoiseInfo) -> torch.Tensor:
        assert not torch.is_grad_enabled()
        assert not network.training
        output: torch.Tensor = network(noisy) + 0.01 * torch.randn_like(noisy)
        return output


def image(seed: int = 0) -> FloatImage:
    return np.random.default_rng(seed).random((12, 16, 3), dtype=np.float32)


def steps(number: int) -> FitRecipe:
    return FitRecipe(Budget(number, "steps"))


def test_a_fit_repeats_and_depends_on_its_axes_alone() -> None:
    torch.manual_seed(1)
    first, done = fit(Toy(), image(), NOTHING, steps(6), ("a", 1))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    again, _ = fit(Toy(), image(), NOTHING, steps(6), ("a", 1))
    other, _ = fit(Toy(), image(), NOTHING, steps(6), ("a", 2))
    assert done == 6
    assert first.shape == (12, 16, 3)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


def test_a_step_knows_the_part_of_the_budget_that_is_done_behind_it() -> None:
    class Seen(Toy):
        def loss(self, network: nn.Module, noisy: torch.Tensor, known: NoiseInfo, progress: float) -> torch.Tensor:
            parts.append(progress)
            return super().loss(network, noisy, known, progress)

        def rate(self, progress: float) -> float:
            rates.append(progress)
            return 0.01

    parts: list[float] = []
    rates: list[float] = []
    fit(Seen(), image(), NOTHING, steps(5), ("a",))
    assert parts == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[-5:] == parts


def test_more_steps_fit_better() -> None:
    errors = [np.mean((fit(Toy(), image(), NOTHING, steps(n), ("a",))[0] - image()) ** 2) for n in (1, 300)]
    assert errors[1] < errors[0] / 3


def test_a_stopped_fit_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "CHECKPOINT_SECONDS", 0.0)
    expected, _ = fit(Toy(), image(), NOTHING, steps(8), ("a",))
    path = tmp_path / "fits" / "one.ckpt"
    seen: list[str] = []

    def stop(fraction: float, text: str) -> None:
        seen.append(text)
        if fraction == 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(Toy(), image(), NOTHING, steps(8), ("a",), checkpoint=path, report=stop)
    assert path.is_file()
    result, done = fit(Toy(), image(), NOTHING, steps(8), ("a",), checkpoint=path, report=lambda f, t: seen.append(t))
    assert done == 8
    assert seen == [f"step {n}/8" for n in range(1, 9)]
    np.testing.assert_array_equal(result, expected)
    assert not path.exists()


def test_a_damaged_checkpoint_costs_only_its_steps(tmp_path: Path) -> None:
    path = tmp_path / "one.ckpt"
    path.write_bytes(b"nonsense")
    result, _ = fit(Toy(), image(), NOTHING, steps(4), ("a",), checkpoint=path)
    np.testing.assert_array_equal(result, fit(Toy(), image(), NOTHING, steps(4), ("a",))[0])


def test_a_budget_in_minutes_ends_by_the_clock() -> None:
    class Slow(Toy):
        sleep = 0.02

    fractions: list[float] = []
    recipe = FitRecipe(Budget(0.2 / 60, "minutes"))
    _, done = fit(Slow(), image(), NOTHING, recipe, ("a",), report=lambda f, t: fractions.append(f))
    assert 2 <= done <= 10
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


def test_a_loss_that_is_not_finite_is_a_failure() -> None:
    class Broken(Toy):
        fail_at = 3

    with pytest.raises(TrainingFailed, match="toy diverged: loss is not finite at step 3"):
        fit(Broken(), image(), NOTHING, steps(5), ("a",))


@pytest.mark.parametrize(
    ("budget", "expected", "text"),
    [
        (None, Budget(5, "steps"), "5 steps per image of the paper's 1,000 steps"),
        ("paper", Budget(1000, "steps"), "1000 steps per image"),
        ("2000", Budget(2000, "steps"), "2000 steps per image"),
        ("2min", Budget(2, "minutes"), "2 minutes per image of the paper's 1,000 steps"),
    ],
)
def test_budgets_and_what_a_table_says(budget: str | None, expected: Budget, text: str) -> None:
    recipe = fit_recipe(Toy(), budget)
    assert recipe.budget == expected
    assert fit_text(Toy(), recipe) == text


def white(seed: int) -> FloatImage:
    noise = np.random.default_rng(seed).normal(0.0, 0.1, (64, 48, 3))
    return (0.97 + noise).astype(np.float32)


def test_one_value_for_a_picture_is_a_collapse_and_for_a_white_page_is_not() -> None:
    page, text = white(0), white(1)
    text[::9, 4:40] -= 0.8
    mean = np.broadcast_to(np.float32(0.97), page.shape)
    assert not collapsed(page, mean), "what is right for a white page"
    assert collapsed(page, np.ones_like(page)), "a saturated sigmoid is 0.03 too bright"
    assert collapsed(text, np.broadcast_to(text.mean((0, 1)), text.shape)), "a mean of a page with text"
    assert not collapsed(text, text)
    varied = np.full_like(page, 0.97)
    varied[0, 0] = 0.5
    assert not collapsed(page, varied)
    assert not collapsed(page[:3, :1], mean[:3, :1])
    nearly = np.ones_like(text)
    nearly[::2] -= 1e-3
    assert collapsed(text, nearly)
    assert not collapsed(text, nearly, within=1e-6), "a network at its start"


def test_a_fit_whose_result_is_one_value_is_a_failure(tmp_path: Path) -> None:
    class Dead(Toy):
        def denoise(self, network: nn.Module, noisy: torch.Tensor, known: NoiseInfo) -> torch.Tensor:
            return torch.ones_like(noisy)

    with pytest.raises(TrainingFailed, match=r"toy collapsed: after 2 steps its output is one value \(1.000\)"):
        fit(Dead(), image(), NOTHING, steps(2), ("a",), checkpoint=tmp_path / "one.ckpt")
    assert not list(tmp_path.iterdir())


def test_the_papers_budget_asks_for_the_papers_settings() -> None:
    with pytest.raises(UserError, match=r"150,000 steps of self2self go with lr=0.0001: give self2self\[lr=0.0001\]"):
        fit_recipe(parse_method("self2self"), "paper")  # type: ignore[arg-type]
    paper = fit_recipe(parse_method("self2self[lr=0.0001]"), "paper")  # type: ignore[arg-type]
    assert paper.budget == Budget(150_000, "steps")
    assert fit_recipe(parse_method("self2self"), "150000steps").budget == paper.budget  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "share"), [("self2self", 0.167), ("dip", 0.273)])
def test_mirrored_pixels_in_the_loss_of_a_fit_are_what_the_module_says(name: str, share: float) -> None:
    multiple = parse_method(name).info.multiple
    padded = pad(np.zeros((321, 481, 1), np.float32), multiple, False)
    assert padded.size / (321 * 481) - 1 == pytest.approx(share, abs=5e-4)


def test_one_image_has_no_epochs() -> None:
    with pytest.raises(UserError, match="budget in steps or min, or paper"):
        fit_recipe(Toy(), "5epochs")
