"""The training loop: budgets, schedule, recipes, repeatability, interruption, records, crops and noise."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from denoisebench.core.errors import ContractError, TrainingFailed, UserError
from denoisebench.core.progress import Quiet
from denoisebench.networks import NETWORKS
from denoisebench.plugins.method import Batch, Info, LearnedMethod, Need
from denoisebench.plugins.registry import METHODS
from denoisebench.protocol.images import UIntImage
from denoisebench.protocol.noise import add_noise_batch, parse_noise
from denoisebench.training import loop as training
from denoisebench.training.checkpoint import load_checkpoint
from denoisebench.training.crops import DrawnCrops
from denoisebench.training.job import Trained, TrainingJob
from denoisebench.training.loop import _Run, learning_rate_factor
from denoisebench.training.recipe import PAPER, Budget, Recipe, parse_budget, recipe_from
from denoisebench.training.records import load_trained, record_of
from denoisebench.training.train import train

LEARNED = [name for name in METHODS.names() if issubclass(METHODS.get(name), LearnedMethod)]
Terms = tuple[torch.Tensor, dict[str, torch.Tensor]]


@dataclass
class Step:
    """What the loop handed to one step."""

    progress: float
    batch: Batch
    gain: float
    noisy: torch.Tensor
    clean: torch.Tensor
    second: torch.Tensor


@dataclass(frozen=True)
class Tiny(LearnedMethod):
    """One convolution, told everything; optionally does something special at some step."""

    steps: list[Step] = field(default_factory=list)
    at_step: Mapping[int, Callable[[torch.Tensor], Terms]] = field(default_factory=dict)
    always: Callable[[torch.Tensor], Terms] | None = None

    name = "tiny"
    info = Info(label="Tiny", needs=frozenset(Need))
    weight_decay = 0.1
    crop_multiple = 8

    def settings(self, training_only: bool = False) -> dict[str, Any]:
        return {"network": self.network}

    @property
    def text(self) -> str:
        return self.name

    def build(self, channels: int) -> nn.Module:
        return nn.Conv2d(channels, channels, 3, padding=1)

    def loss(self, network: nn.Module, batch: Batch, progress: float) -> Terms:
        gain = 1 + torch.rand((), generator=batch.generator).item()
        kept = [crop.clone() for crop in (batch.noisy, batch.clean, batch.second)]
        self.steps.append(Step(progress, batch, gain, *kept))
        loss = gain * (network(batch.noisy) - batch.second).square().mean()
        change = self.at_step.get(len(self.steps), self.always)
        return change(loss) if change else (loss, {})

    def diagnose(self, curve: Sequence[Mapping[str, float]]) -> list[str]:
        return [f"{len(curve)} points"]


class Cut(Tiny):
    gradient_norm = 0.3


def photos(count: int = 5, side: int = 40, channels: int = 1) -> list[UIntImage]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (side, side + 3 * i, channels), dtype=np.uint8) for i in range(count)]


def flats(values: Sequence[int], side: int = 32) -> list[UIntImage]:
    return [np.full((side, side, 1), value, np.uint8) for value in values]


def job_of(
    method: LearnedMethod, budget: str = "6steps", noise: str = "gauss25", channels: int = 1, **recipe: Any
) -> TrainingJob:
    whole = Recipe(parse_budget(budget), **{"batch": 2, "crop": 32, **recipe})
    return TrainingJob(method, parse_noise(noise), whole, channels, {"name": "photos"}, {"code": "abc"}, "cpu")


def run(folder: Path, method: LearnedMethod, images: Sequence[UIntImage] | None = None, **job: Any) -> Trained:
    images = photos() if images is None else images
    channels = images[0].shape[2]
    return train(job_of(method, channels=channels, **job), images, folder, "cpu", Quiet())


def steps_of(folder: Path, images: Sequence[UIntImage] | None = None, **job: Any) -> list[Step]:
    method = Tiny()
    run(folder, method, images, **job)
    return method.steps


def same_weights(first: Trained, second: Trained) -> bool:
    ours, theirs = first.network.state_dict(), second.network.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


# --- budgets ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("300", Budget(300, "steps")),
        ("300steps", Budget(300, "steps")),
        ("1 step", Budget(1, "steps")),
        ("5epochs", Budget(5, "epochs")),
        ("1 epoch", Budget(1, "epochs")),
        ("0.5 Epochs", Budget(0.5, "epochs")),
        ("2min", Budget(2, "minutes")),
        ("1minute", Budget(1, "minutes")),
        (" 2.5 minutes\n", Budget(2.5, "minutes")),
    ],
)
def test_budgets_are_read(text: str, expected: Budget) -> None:
    assert parse_budget(text) == expected


@pytest.mark.parametrize(
    "text", ["", "0", "0 epochs", "-5", "2.5", "2.5steps", "5 hours", "min", "1e3", "nan", "inf", "5steps 3", "½"]
)
def test_a_budget_that_cannot_be_read_is_a_user_error_with_the_allowed_forms(text: str) -> None:
    with pytest.raises(UserError, match=r"steps, epochs or min.*paper") as caught:
        parse_budget(text)
    assert repr(text) in str(caught.value)


@given(
    st.integers(1, 999_999).map(lambda n: Budget(n, "steps"))
    | st.builds(Budget, st.integers(1, 99_999).map(lambda n: n / 100), st.sampled_from(["epochs", "minutes"]))
)
@example(Budget(1, "minutes"))
def test_the_text_of_a_budget_reads_back(budget: Budget) -> None:
    assert parse_budget(budget.text) == budget


@pytest.mark.parametrize(
    "budget", [Budget(1_108_200, "steps"), Budget(1_000_001, "steps"), Budget(0.00001, "epochs")], ids=str
)
def test_the_text_of_a_very_long_or_short_budget_reads_back(budget: Budget) -> None:
    assert parse_budget(budget.text) == budget


@given(st.text("0123456789.se pochmintu-", max_size=12))
def test_any_text_is_a_budget_above_zero_or_a_user_error(text: str) -> None:
    try:
        budget = parse_budget(text)
    except UserError:
        return
    assert budget.amount > 0
    assert budget.unit in ("steps", "epochs", "minutes")


def test_a_number_beyond_all_bounds_is_a_user_error() -> None:
    with pytest.raises(UserError):
        parse_budget("9" * 400)


@pytest.mark.parametrize(
    ("text", "images", "batch", "steps"),
    [
        ("300", 400, 4, 300),
        ("1epoch", 400, 4, 100),
        ("5epochs", 10, 4, 10),
        ("0.5epochs", 400, 4, 50),
        ("0.001epochs", 10, 1, 1),
        ("3epochs", 2, 4, 3),
        ("100epochs", 44_328, 4, 1_108_200),
        ("2min", 10, 1, None),
    ],
)
def test_a_budget_becomes_steps(text: str, images: int, batch: int, steps: int | None) -> None:
    assert parse_budget(text).steps(images, batch) == steps


# --- learning rate ---


def test_the_learning_rate_is_halved_four_times_at_a_hundred_epochs() -> None:
    factors = [learning_rate_factor(epoch / 100) for epoch in range(1, 101)]
    assert factors == [1.0] * 19 + [0.5] * 20 + [0.25] * 20 + [0.125] * 20 + [0.0625] * 21


@pytest.mark.parametrize(
    ("steps", "factors"),
    [
        (1, [1 / 16]),
        (3, [1 / 2, 1 / 8, 1 / 16]),
        (5, [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 16]),
        (10, [1, 1 / 2, 1 / 2, 1 / 4, 1 / 4, 1 / 8, 1 / 8, 1 / 16, 1 / 16, 1 / 16]),
    ],
)
def test_tiny_budgets_follow_the_same_schedule(steps: int, factors: list[float]) -> None:
    assert [learning_rate_factor((step + 1) / steps) for step in range(steps)] == factors


@given(st.integers(1, 5000))
def test_the_rate_is_never_halved_before_a_fifth_and_never_rises(steps: int) -> None:
    factors = [learning_rate_factor((step + 1) / steps) for step in range(steps)]
    assert all(factors[step] == 1 for step in range(steps) if 5 * (step + 1) < steps)
    assert factors == sorted(factors, reverse=True)
    assert factors[-1] == 1 / 16


@pytest.mark.parametrize("schedule", ["halving", "cosine"])
def test_the_optimiser_uses_the_scheduled_rate(schedule: str, tmp_path: Path) -> None:
    trained = run(tmp_path, Tiny(), budget="10steps", lr=0.01, schedule=schedule)
    rates = [point["lr"] for point in trained.record["curve"]]
    assert rates == pytest.approx([0.01 * learning_rate_factor((step + 1) / 10, schedule) for step in range(10)])


@pytest.mark.parametrize("method", [Tiny(), Cut()], ids=["whole gradients", "gradients cut to 0.3"])
def test_the_weights_move_as_adam_with_coupled_weight_decay_moves_them(tmp_path: Path, method: Tiny) -> None:
    trained = run(tmp_path, method, budget="4steps", lr=0.05, seed=4)
    with torch.random.fork_rng():
        torch.manual_seed(4)
        network = method.build(1)
    optimiser = torch.optim.Adam(network.parameters(), weight_decay=0.1)
    for step in method.steps:
        optimiser.param_groups[0]["lr"] = 0.05 * learning_rate_factor(step.progress)
        optimiser.zero_grad()
        (step.gain * (network(step.noisy) - step.second).square().mean()).backward()
        length = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]).norm()
        for p in network.parameters():
            if method.gradient_norm is not None and length > method.gradient_norm:
                assert p.grad is not None
                p.grad *= method.gradient_norm / length
        optimiser.step()
    for ours, theirs in zip(trained.network.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


# --- recipes ---


def test_the_default_recipe_is_that_of_a_laptop() -> None:
    recipe = recipe_from("300steps", None, None, None, "fresh", 7)
    assert recipe == Recipe(
        Budget(300, "steps"), batch=4, crop=64, lr=1e-3, draws="fresh", seed=7, optimiser="muon", schedule="cosine",
        average=0.999,
    )  # fmt: skip
    assert recipe.text == "300 steps, 4x64², Muon"


def test_a_recipe_can_be_named_and_changed() -> None:
    changed = recipe_from("300steps", None, None, None, "fresh", 0, recipe="laptop[optimiser=adam, average=0.5,wide=4]")
    assert (changed.optimiser, changed.schedule, changed.average, changed.batch) == ("adam", "cosine", 0.5, 4)
    assert (changed.wide, changed.text) == (4, "300 steps, 4x64²/1x128²")
    assert recipe_from("300steps", None, None, None, "fresh", 0, recipe="long") == replace(
        recipe_from("300steps", None, None, None, "fresh", 0), wide=4
    )
    named = recipe_from("7steps", None, None, None, "fresh", 0, recipe="paper")
    assert named == replace(PAPER, budget=Budget(7, "steps"))
    mixed = recipe_from("paper", None, None, None, "fresh", 0, recipe="laptop")
    assert mixed == replace(recipe_from("7steps", None, None, None, "fresh", 0), budget=PAPER.budget)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("laptp", "Unknown recipe 'laptp'. Did you mean 'laptop'"),
        ("laptop[", "Unknown recipe"),
        ("laptop[optimiser=sgd]", "Unknown optimiser of a recipe 'sgd'.*adam, muon"),
        ("laptop[schedule=step]", "Unknown schedule of a recipe.*cosine, halving"),
        ("paper[average=1]", "average must be a number from 0"),
        ("paper[average=x]", "average must be a number from 0"),
        ("laptop[wide=-1]", "wide must be a whole number of steps, 0 for never, not '-1'"),
        ("laptop[wide=]", "wide must be a whole number"),
        ("paper[lr=1]", "Unknown part of a recipe 'lr'.*average, optimiser, schedule, wide"),
    ],
)
def test_a_recipe_that_does_not_parse_names_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        recipe_from("3", None, None, None, "fresh", 0, recipe=text)


def test_records_of_before_are_the_recipe_they_were_trained_by() -> None:
    values = asdict(PAPER)
    for new in ("optimiser", "schedule", "average", "wide"):
        del values[new]
    assert Recipe.from_record(values) == PAPER


def test_the_cosine_falls_from_one_to_zero() -> None:
    factors = [learning_rate_factor(progress, "cosine") for progress in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert factors == pytest.approx([1, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5, 0], abs=1e-12)


def test_the_average_of_the_weights_is_kept_as_the_network(tmp_path: Path) -> None:
    """Against the recursion, from the networks of trainings that stop after each step."""
    recipe: dict[str, Any] = {"optimiser": "muon", "schedule": "cosine", "average": 0.6}
    kept: list[dict[str, torch.Tensor]] = []

    class Spied(Tiny):
        def loss(self, network: nn.Module, batch: Batch, progress: float) -> Terms:
            kept.append({name: value.detach().clone() for name, value in network.state_dict().items()})
            return super().loss(network, batch, progress)

    trained = run(tmp_path / "a", Spied(), budget="6steps", **recipe)
    weights = [*kept[1:], None]
    average = dict(kept[0])
    for done, state in enumerate(weights):
        decay = min(0.6, (1 + done) / (10 + done))
        state = state or final_weights(tmp_path, recipe)
        average = {name: average[name] + (1 - decay) * (state[name] - average[name]) for name in average}
    for name, value in trained.network.state_dict().items():
        torch.testing.assert_close(value, average[name], rtol=1e-5, atol=1e-6)


def final_weights(folder: Path, recipe: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    return dict(run(folder / "last", Tiny(), budget="6steps", **{**recipe, "average": 0.0}).network.state_dict())


def test_the_paper_recipe_is_what_the_paper_states_and_can_be_changed() -> None:
    recipe = recipe_from("paper", None, None, None, "fresh", 0)
    assert recipe == PAPER
    assert recipe == Recipe(Budget(100, "epochs"), batch=4, crop=128, lr=3e-4)
    changed = recipe_from("paper", 2, 64, 1e-4, "fixed", 3)
    assert changed == Recipe(Budget(100, "epochs"), batch=2, crop=64, lr=1e-4, draws="fixed", seed=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budget": "soon"}, "Budget 'soon'"),
        ({"draws": "fixd"}, "Did you mean 'fixed'"),
        ({"crop": 50}, "--crop 50.*multiples of 32"),
        ({"lr": 0.0}, "--lr 0.*between 0 and 1"),
        ({"lr": -1e-3}, "--lr"),
        ({"lr": 1.0}, "--lr 1"),
        ({"lr": float("nan")}, "--lr nan"),
    ],
)
def test_a_recipe_that_is_not_allowed_is_a_user_error(change: dict[str, Any], message: str) -> None:
    allowed: dict[str, Any] = {"budget": "3", "batch": 1, "crop": 64, "lr": 1e-3, "draws": "fresh", "seed": 0}
    with pytest.raises(UserError, match=message):
        recipe_from(**{**allowed, **change})


# --- repeatability ---


def test_a_training_repeats_bit_for_bit(tmp_path: Path) -> None:
    first, second = (run(tmp_path / name, Tiny()) for name in "ab")
    assert same_weights(first, second)
    assert first.record["curve"] == second.record["curve"]


def test_a_training_does_not_depend_on_the_global_generators(tmp_path: Path) -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    first = run(tmp_path / "a", Tiny())
    state = torch.get_rng_state()
    torch.manual_seed(2)
    second = run(tmp_path / "b", Tiny())
    assert same_weights(first, second)
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("change", [{"seed": 1}, {"noise": "gauss30"}, {"lr": 2e-3}, {"draws": "fixed"}])
def test_what_is_in_the_recipe_changes_the_outcome_and_the_key(tmp_path: Path, change: dict[str, Any]) -> None:
    assert not same_weights(run(tmp_path / "a", Tiny()), run(tmp_path / "b", Tiny(), **change))
    assert job_of(Tiny()).key != job_of(Tiny(), **change).key


def test_a_finished_training_is_loaded_and_not_repeated(tmp_path: Path) -> None:
    first = run(tmp_path, Tiny())
    again = Tiny()
    second = run(tmp_path, again)
    assert again.steps == []
    assert same_weights(first, second)
    assert not second.network.training


# --- interruption ---


class Stopped(Exception):  # noqa: N818
    """Stands for a process that was ended."""


class StoppingAfter:
    """Progress that ends the training after so many steps."""

    several = True

    def __init__(self, steps: int) -> None:
        self._left = steps

    def say(self, text: str) -> None:
        pass

    @contextmanager
    def task(self, title: str) -> Iterator[StoppingAfter]:
        yield self

    def update(self, fraction: float, text: str = "") -> None:
        self._left -= 1
        if not self._left:
            raise Stopped


@pytest.fixture
def eager_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", -1.0)


@pytest.mark.usefixtures("eager_checkpoints")
@pytest.mark.parametrize("draws", ["fresh", "fixed"])
def test_a_stopped_training_goes_on_as_if_nothing_had_happened(tmp_path: Path, draws: str) -> None:
    job = job_of(Tiny(), noise="gauss5_50", draws=draws)
    for steps in (2, 3):
        with pytest.raises(Stopped):
            train(job, photos(), tmp_path, "cpu", StoppingAfter(steps))
    assert record_of(job, tmp_path) is None
    rest = Tiny()
    resumed = run(tmp_path, rest, noise="gauss5_50", draws=draws)
    assert [step.progress for step in rest.steps] == [1.0]
    whole = run(tmp_path / "whole", Tiny(), noise="gauss5_50", draws=draws)
    assert same_weights(resumed, whole)
    assert resumed.record["curve"] == whole.record["curve"]
    assert resumed.record["steps"] == 6
    assert not list(tmp_path.glob("*.ckpt*"))


@pytest.mark.usefixtures("eager_checkpoints")
def test_a_training_that_broke_inside_a_step_repeats_that_step(tmp_path: Path) -> None:
    def stop(loss: torch.Tensor) -> Terms:
        raise Stopped

    with pytest.raises(Stopped):
        run(tmp_path, Tiny(at_step={4: stop}))
    rest = Tiny()
    resumed = run(tmp_path, rest)
    assert [step.progress for step in rest.steps] == pytest.approx([4 / 6, 5 / 6, 1])
    assert same_weights(resumed, run(tmp_path / "whole", Tiny()))


@pytest.mark.usefixtures("eager_checkpoints")
def test_a_point_of_the_curve_survives_a_stop_in_its_middle(tmp_path: Path) -> None:
    job = job_of(Tiny(), budget="400steps", batch=1)
    with pytest.raises(Stopped):
        train(job, photos(), tmp_path, "cpu", StoppingAfter(201))
    resumed = run(tmp_path, Tiny(), budget="400steps", batch=1)
    whole = run(tmp_path / "whole", Tiny(), budget="400steps", batch=1)
    assert [point["step"] for point in whole.record["curve"]] == list(range(2, 401, 2))
    assert resumed.record["curve"] == whole.record["curve"]
    assert same_weights(resumed, whole)


@pytest.mark.usefixtures("eager_checkpoints")
@pytest.mark.parametrize("damage", [b"", b"no checkpoint", None], ids=["empty", "other", "cut"])
def test_a_damaged_checkpoint_only_costs_its_steps(tmp_path: Path, damage: bytes | None) -> None:
    job = job_of(Tiny())
    with pytest.raises(Stopped):
        train(job, photos(), tmp_path, "cpu", StoppingAfter(3))
    checkpoint = tmp_path / f"{job.stem}.ckpt"
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: len(content) // 2] if damage is None else damage)
    method = Tiny()
    trained = run(tmp_path, method)
    assert len(method.steps) == 6
    assert same_weights(trained, run(tmp_path / "whole", Tiny()))


def test_no_checkpoint_is_written_before_its_time(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(job_of(Tiny()), photos(), tmp_path, "cpu", StoppingAfter(3))
    assert list(tmp_path.iterdir()) == []


# --- failure ---


def spoilt(loss: torch.Tensor) -> Terms:
    return loss * float("nan"), {}


@pytest.mark.parametrize("step", [1, 4, 6])
def test_a_loss_that_is_not_finite_fails_the_training_and_names_the_step(tmp_path: Path, step: int) -> None:
    with pytest.raises(TrainingFailed, match=rf"tiny diverged.*not finite at step {step}$"):
        run(tmp_path, Tiny(at_step={step: spoilt}))
    assert not list(tmp_path.glob("*.safetensors")) + list(tmp_path.glob("*.json"))


def monitoring(**values: float) -> Callable[[torch.Tensor], Terms]:
    return lambda loss: (loss, {name: torch.tensor(value) for name, value in values.items()})


def test_outputs_that_leave_all_bounds_fail_the_training(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match=r"diverged: mean square 100 at step 20$"):
        run(tmp_path, Tiny(always=monitoring(fidelity=100.0, small=0.1)), budget="30steps")


@pytest.mark.usefixtures("eager_checkpoints")
def test_a_stop_does_not_hide_a_divergence(tmp_path: Path) -> None:
    method = Tiny(always=monitoring(fidelity=100.0))
    with pytest.raises(Stopped):
        train(job_of(method, budget="30steps"), photos(), tmp_path, "cpu", StoppingAfter(15))
    with pytest.raises(TrainingFailed, match=r"at step 20$"):
        run(tmp_path, method, budget="30steps")


def test_a_passing_excess_does_not_fail_the_training(tmp_path: Path) -> None:
    bounded = monitoring(fidelity=0.1)
    trained = run(
        tmp_path, Tiny(at_step={20: bounded, 39: bounded}, always=monitoring(fidelity=100.0)), budget="39steps"
    )
    assert trained.record["curve"][19]["fidelity"] == pytest.approx(0.1)


def test_a_training_that_explodes_near_its_end_fails_too(tmp_path: Path) -> None:
    late = {step: monitoring(fidelity=100.0) for step in (28, 29, 30)}
    with pytest.raises(TrainingFailed, match=r"diverged: mean square 100 at its end, step 30$"):
        run(tmp_path, Tiny(at_step=late, always=monitoring(fidelity=0.1)), budget="30steps")
    assert not list(tmp_path.glob("*.safetensors")) + list(tmp_path.glob("*.json"))


def infinite_gradient(loss: torch.Tensor) -> Terms:
    """A finite loss whose gradient is not: the square root of zero."""
    return loss + (0.0 * loss).sqrt(), {}


@pytest.mark.parametrize("step", [3, 6])
def test_weights_that_a_finite_loss_spoilt_are_never_stored(tmp_path: Path, step: int) -> None:
    with pytest.raises(TrainingFailed, match=r"not finite (at|after) step"):
        run(tmp_path, Tiny(at_step={step: infinite_gradient}))
    assert not list(tmp_path.glob("*.safetensors")) + list(tmp_path.glob("*.json"))


@pytest.mark.usefixtures("eager_checkpoints")
def test_a_spoilt_state_is_noticed_before_it_becomes_a_checkpoint(tmp_path: Path) -> None:
    # Points of the curve are 10 steps apart here; the checkpoint after step 3 is the first to see it.
    with pytest.raises(TrainingFailed, match="not finite after step 3"):
        run(tmp_path, Tiny(at_step={3: infinite_gradient}), budget="2000steps")
    kept = load_checkpoint(
        tmp_path / f"{job_of(Tiny(), budget='2000steps').stem}.ckpt",
        job_of(Tiny(), budget="2000steps").key,
        *(network := Tiny().build(1), torch.optim.Adam(network.parameters())),
    )
    assert kept is not None
    assert kept[1]["done"] == 2
    assert all(value.isfinite().all() for value in network.state_dict().values())


# --- stored networks that are not what was written ---


@pytest.mark.parametrize("which", ["record", "network", "foreign"])
def test_a_damaged_network_is_moved_aside_and_trained_again(tmp_path: Path, which: str) -> None:
    first, job = run(tmp_path, Tiny()), job_of(Tiny())
    record, network = (tmp_path / f"{job.stem}{end}" for end in (".json", ".safetensors"))
    if which == "record":
        record.write_text(record.read_text(encoding="utf-8").replace('"steps": 6', '"steps": 7'), encoding="utf-8")
    elif which == "network":
        damaged = bytearray(network.read_bytes())
        damaged[-1] ^= 1
        network.write_bytes(damaged)
    else:
        other = job_of(Tiny(), seed=5)
        run(tmp_path / "other", Tiny(), seed=5)
        for path in (record, network):
            path.write_bytes((tmp_path / "other" / f"{other.stem}{path.suffix}").read_bytes())
    said: list[str] = []
    assert record_of(job, tmp_path, said.append) is None
    assert len(said) == 1
    assert "trained again" in said[0]
    assert {path.name for path in (tmp_path / "damaged").iterdir()} == {record.name, network.name}
    assert same_weights(run(tmp_path, Tiny()), first)


@pytest.mark.usefixtures("eager_checkpoints")
def test_no_damaged_or_foreign_checkpoint_is_ever_read(tmp_path: Path) -> None:
    job = job_of(Tiny())
    with pytest.raises(Stopped):
        train(job, photos(), tmp_path, "cpu", StoppingAfter(3))
    path, rng = tmp_path / f"{job.stem}.ckpt", np.random.default_rng(0)
    whole = path.read_bytes()

    def read(owner: str) -> object:
        network = Tiny().build(1)
        return load_checkpoint(path, owner, network, torch.optim.Adam(network.parameters()))

    assert read(job.key) is not None
    assert read(job_of(Tiny(), seed=5).key) is None
    for number in range(200):
        data = bytearray(whole)
        if number % 2:
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        else:
            del data[rng.integers(len(data)) :]
        path.write_bytes(data)
        assert read(job.key) is None


@pytest.fixture
def _listening() -> Iterator[None]:
    """Ctrl-C is heard, even where the tests run in the background of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_listening")
def test_ctrl_c_saves_the_training_after_the_step_at_hand(tmp_path: Path) -> None:
    def press(loss: torch.Tensor) -> Terms:
        os.kill(os.getpid(), signal.SIGINT)
        return loss, {}

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Tiny(at_step={4: press}))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    rest = Tiny()
    resumed = run(tmp_path, rest)
    assert [step.progress for step in rest.steps] == pytest.approx([5 / 6, 1])
    assert same_weights(resumed, run(tmp_path / "whole", Tiny()))


@pytest.mark.usefixtures("_listening")
def test_ctrl_c_in_the_last_step_does_not_cost_the_network(tmp_path: Path) -> None:
    def press(loss: torch.Tensor) -> Terms:
        os.kill(os.getpid(), signal.SIGINT)
        return loss, {}

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Tiny(at_step={6: press}))
    rest = Tiny()
    resumed = run(tmp_path, rest)
    assert rest.steps == []
    assert same_weights(resumed, run(tmp_path / "whole", Tiny()))


def test_a_large_lambda_is_no_divergence(tmp_path: Path) -> None:
    trained = run(tmp_path, Tiny(always=monitoring(**{"lambda": 100.0, "blind": 0.1})), budget="30steps")
    assert trained.record["curve"][-1]["lambda"] == 100


def test_a_method_without_monitors_is_watched_by_its_loss(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match="diverged: mean square"):
        run(tmp_path, Tiny(always=lambda loss: (loss * 1e6, {})), budget="30steps")


# --- what is stored ---


def test_the_record_says_what_was_trained_and_how_it_went(tmp_path: Path) -> None:
    trained = run(tmp_path, Tiny(always=monitoring(blind=0.25)), noise="poisson30")
    job = job_of(Tiny(), noise="poisson30")
    record = record_of(job, tmp_path)
    assert record is not None
    assert record == trained.record
    stored = json.loads((tmp_path / f"{job.stem}.json").read_text(encoding="utf-8"))
    assert {name: stored[name] for name in stored if name not in ("format", "sha256")} == record
    assert record.items() >= job.identity.items()
    expected = {
        "method": "tiny",
        "settings": {"network": "unet"},
        "noise": "poisson30",
        "recipe": {name: value for name, value in asdict(job.recipe).items() if name != "wide"},
        "channels": 1,
        "data": {"name": "photos"},
        "code": {"code": "abc"},
        "device": "cpu",
        "budget": "6 steps, 2x32²",
        "steps": 6,
        "images_seen": 12,
        "parameters": 10,
        "warnings": ["6 points"],
    }
    assert {key: record[key] for key in expected} == expected
    assert record["seconds"] >= 0
    assert record["machine"]["threads"] == torch.get_num_threads()
    assert [point["step"] for point in record["curve"]] == [1, 2, 3, 4, 5, 6]
    assert record["curve"][-1].keys() == {"step", "progress", "lr", "loss", "blind"}
    assert record["curve"][-1]["progress"] == 1
    assert record["curve"][-1]["blind"] == 0.25


def test_the_curve_averages_long_trainings_to_two_hundred_points(tmp_path: Path) -> None:
    at_step = {step: monitoring(blind=float(step % 2)) for step in range(1, 601)}
    curve = run(tmp_path, Tiny(at_step=at_step), flats([0, 9]), budget="600steps", batch=1).record["curve"]
    assert [point["step"] for point in curve] == list(range(3, 601, 3))
    assert [point["blind"] for point in curve[:2]] == pytest.approx([2 / 3, 1 / 3])


def test_weights_are_safetensors_and_can_be_loaded_again(tmp_path: Path) -> None:
    trained = run(tmp_path, Tiny(), photos(channels=3))
    job = job_of(Tiny(), channels=3)
    stored = load_file(tmp_path / f"{job.stem}.safetensors")
    assert stored.keys() == trained.network.state_dict().keys()
    assert all(torch.equal(stored[name], value) for name, value in trained.network.state_dict().items())
    loaded = load_trained(job, tmp_path, "cpu")
    assert loaded is not None
    assert same_weights(loaded, trained)
    assert not loaded.network.training
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".safetensors"]


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_a_training_without_weights_or_record_is_none(tmp_path: Path, suffix: str) -> None:
    job = job_of(Tiny())
    assert record_of(job, tmp_path) is None
    run(tmp_path, Tiny())
    (tmp_path / f"{job.stem}{suffix}").unlink()
    assert record_of(job, tmp_path) is None
    assert load_trained(job, tmp_path, "cpu") is None


# --- crops ---


def test_an_epoch_visits_every_image_once_and_drops_the_incomplete_batch(tmp_path: Path) -> None:
    values = [0, 40, 80, 120, 160, 200, 240]
    steps = steps_of(tmp_path, flats(values), budget="3epochs")
    seen = [[round(crop.mean().item() * 255) for crop in step.clean] for step in steps]
    assert len(steps) == 9
    epochs = [[value for batch in seen[i : i + 3] for value in batch] for i in (0, 3, 6)]
    for epoch in epochs:
        assert len(set(epoch)) == 6
        assert set(epoch) <= set(values)
    assert epochs[0] != epochs[1] != epochs[2]


def test_fewer_images_than_a_batch_are_drawn_again_and_again(tmp_path: Path) -> None:
    steps = steps_of(tmp_path, flats([10, 250]), batch=5)
    assert {step.clean.shape for step in steps} == {(5, 1, 32, 32)}
    assert {round(crop.mean().item() * 255) for step in steps for crop in step.clean} == {10, 250}


def located(side: int) -> UIntImage:
    """An image whose pixels say where they are."""
    rows, columns = np.indices((side, side))
    return np.stack([rows, columns, 0 * rows], axis=-1).astype(np.uint8)


def test_crops_are_windows_of_the_image_up_to_its_last_row_and_column(tmp_path: Path) -> None:
    image = located(34)
    corners = set()
    for step in steps_of(tmp_path, [image], budget="120steps", batch=1):
        crop = (step.clean[0] * 255).round().byte().permute(1, 2, 0).numpy()
        top, left = int(crop[0, 0, 0]), int(crop[0, 0, 1])
        assert np.array_equal(crop, image[top : top + 32, left : left + 32])
        corners.add((top, left))
    assert corners == {(top, left) for top in range(3) for left in range(3)}


def test_images_smaller_than_the_crop_are_reflected(tmp_path: Path) -> None:
    small = photos(count=1, side=20)[0]
    wide = photos(count=1, side=60)[0][:9]
    for step in steps_of(tmp_path, [small, wide], batch=2):
        crops = (step.clean * 255).round().byte().numpy()[:, 0]
        whole = [np.pad(small[..., 0], ((0, 12), (0, 12)), mode="reflect")]
        whole += [np.pad(wide[:, left : left + 32, 0], ((0, 23), (0, 0)), mode="reflect") for left in range(29)]
        assert all(any(np.array_equal(crop, candidate) for candidate in whole) for crop in crops)


def test_a_crop_that_does_not_suit_the_method_is_a_user_error(tmp_path: Path) -> None:
    nbr2nbr: Any = METHODS.get("nbr2nbr")
    with pytest.raises(UserError, match=r"Crop 36 does not suit tiny.*multiples of 8"):
        run(tmp_path, Tiny(), crop=36)
    with pytest.raises(UserError, match=r"Crop 32 does not suit nbr2nbr.*multiples of 64"):
        run(tmp_path, nbr2nbr(), crop=32)


# --- noise ---


def test_fresh_noise_differs_in_every_step_and_copy(tmp_path: Path) -> None:
    steps = steps_of(tmp_path, flats([100]), batch=1)
    draws = [step.noisy for step in steps] + [step.second for step in steps]
    assert all(not torch.equal(a, b) for i, a in enumerate(draws) for b in draws[:i])


def test_fixed_noise_is_the_same_in_every_step_but_not_in_the_second_copy(tmp_path: Path) -> None:
    steps = steps_of(tmp_path, flats([100]), batch=1, draws="fixed", noise="gauss5_50")
    assert all(torch.equal(step.noisy, steps[0].noisy) for step in steps)
    assert all(torch.equal(step.second, steps[0].second) for step in steps)
    assert not torch.equal(steps[0].noisy, steps[0].second)
    assert len({step.batch.known.level.item() for step in steps}) == 1


def test_fixed_noise_stays_at_its_pixel_whatever_the_window(tmp_path: Path) -> None:
    whole = torch.full((3, 40, 40), torch.nan)
    for step in steps_of(tmp_path, [located(40)], budget="30steps", batch=1, draws="fixed"):
        top, left = (round(255 * step.clean[0, channel, 0, 0].item()) for channel in (0, 1))
        window = whole[:, top : top + 32, left : left + 32]
        known = ~window.isnan()
        assert torch.equal(window[known], step.noisy[0][known])
        window.copy_(step.noisy[0])
    noise = (whole - torch.from_numpy(located(40)).permute(2, 0, 1) / 255)[~whole.isnan()]
    assert noise.std().item() == pytest.approx(25 / 255, rel=0.06)


@pytest.mark.parametrize("draws", ["fresh", "fixed"])
@pytest.mark.parametrize(("noise", "low", "high"), [("gauss5_50", 5 / 255, 50 / 255), ("poisson5_50", 5, 50)])
def test_every_image_is_told_the_level_its_noise_was_drawn_with(
    tmp_path: Path, draws: str, noise: str, low: float, high: float
) -> None:
    levels = []
    for step in steps_of(tmp_path, flats([100] * 8), batch=4, draws=draws, noise=noise):
        known = step.batch.known
        assert known.level.shape == (4, 1, 1, 1)
        assert known.ranged
        assert known.family == noise.removesuffix("5_50")
        spread = (step.noisy - step.clean).std((1, 2, 3))
        told = known.level.flatten().to(spread.dtype)
        expected = told if known.family == "gauss" else (100 / 255 / told).sqrt()
        torch.testing.assert_close(spread, expected, rtol=0.12, atol=0)
        levels += told.tolist()
    assert low <= min(levels) < max(levels) <= high
    assert len(set(levels)) == (24 if draws == "fresh" else 8)


# --- every learned method ---


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks with few channels, for the methods that build their own of several."""
    for name, (text, place, arguments) in NETWORKS.items():
        if name != "dncnn":
            monkeypatch.setitem(NETWORKS, name, (text, place, {**arguments, "width": 4}))


def watched(name: str, steps: list[Batch]) -> LearnedMethod:
    """The method with one convolution for its network, unless it builds its own, noting the batches it is handed."""
    plugin: Any = METHODS.get(name)

    class Watched(plugin):  # type: ignore[misc]
        def build(self, channels: int) -> nn.Module:
            if plugin.build is not LearnedMethod.build:
                module: nn.Module = super().build(channels)
                return module
            return nn.Conv2d(channels, channels, 3, padding=1)

        def backward(self, network: nn.Module, batch: Batch, progress: float) -> Terms:
            steps.append(batch)
            terms: Terms = super().backward(network, batch, progress)
            return terms

    method = Watched()
    assert isinstance(method, LearnedMethod)
    return method


def ask(batch: Batch, need: Need) -> object:
    questions: dict[Need, Callable[[], object]] = {
        Need.CLEAN: lambda: batch.clean,
        Need.SECOND: lambda: batch.second,
        Need.FAMILY: lambda: batch.known.family,
        Need.LEVEL: lambda: batch.known.level,
        Need.RANGED: lambda: batch.known.ranged,
    }
    return questions[need]()


def able(noise: str) -> list[str]:
    """The learned methods that can do a noise; the others cannot train on it."""
    return [name for name in LEARNED if METHODS.get(name)().unsuitable(parse_noise(noise), 1) is None]


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("draws", ["fresh", "fixed"])
@pytest.mark.parametrize(
    ("name", "noise"), [(name, noise) for noise in ("gauss5_50", "poisson30") for name in able(noise)]
)
def test_a_method_reaches_what_it_declared_and_nothing_else(tmp_path: Path, name: str, noise: str, draws: str) -> None:
    batches: list[Batch] = []
    method = watched(name, batches)
    run(tmp_path, method, photos(side=64), budget="1step", noise=noise, crop=64, draws=draws)
    told = method.told(parse_noise(noise).family)
    assert told <= method.info.needs
    (batch,) = batches
    for need in Need:
        if need in told:
            ask(batch, need)
            continue
        with pytest.raises(ContractError, match=f"{name}.*{need.value}.*Need.{need.name}"):
            ask(batch, need)


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("name", LEARNED)
def test_nothing_undeclared_hides_in_a_batch(tmp_path: Path, name: str) -> None:
    batches: list[Batch] = []
    method = watched(name, batches)
    images = [np.full((64, 64, 1), 100, np.uint8)] * 2
    noise = "gauss25" if name in able("gauss25") else "poisson30"
    run(tmp_path, method, images, budget="1step", crop=64, noise=noise)
    told = method.told(parse_noise(noise).family)
    held = [*vars(batches[0]).values(), *vars(batches[0].known).values()]
    held += [value for mapping in held if isinstance(mapping, dict) for value in mapping.values()]
    crops = [value for value in held if isinstance(value, torch.Tensor) and value.shape == batches[0].noisy.shape]
    clean = [crop for crop in crops if (crop == 100 / 255).all()]
    assert len(clean) == (Need.CLEAN in told)
    assert len(crops) == 1 + len(told & {Need.CLEAN, Need.SECOND})


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("noise", ["gauss25", "poisson30"])
def test_all_methods_see_the_same_noisy_crops(tmp_path: Path, noise: str) -> None:
    seen: dict[str, list[torch.Tensor]] = {}
    for name in able(noise):
        batches: list[Batch] = []
        run(tmp_path, watched(name, batches), photos(side=80), budget="3steps", crop=64, noise=noise)
        seen[name] = [batch.noisy for batch in batches]
    assert len(seen) >= 5
    reference = seen["n2c"]
    assert all(
        torch.equal(ours, theirs) for crops in seen.values() for ours, theirs in zip(crops, reference, strict=True)
    )


@pytest.mark.usefixtures("eager_checkpoints", "narrow")
@pytest.mark.parametrize("name", LEARNED)
def test_every_method_goes_on_where_it_was_stopped(tmp_path: Path, name: str) -> None:
    recipe: dict[str, Any] = {"budget": "4steps", "crop": 64, "noise": "poisson5_50"}
    images = photos(side=64, channels=3)
    with pytest.raises(Stopped):
        train(job_of(watched(name, []), channels=3, **recipe), images, tmp_path, "cpu", StoppingAfter(2))
    rest: list[Batch] = []
    resumed = run(tmp_path, watched(name, rest), images, **recipe)
    assert len(rest) == 2
    assert same_weights(resumed, run(tmp_path / "whole", watched(name, []), images, **recipe))


@pytest.mark.usefixtures("eager_checkpoints", "narrow")
def test_the_laptop_recipe_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    """Its optimiser numbers the parameters otherwise than the network, and the average is a part of the state."""
    recipe: dict[str, Any] = {"optimiser": "muon", "schedule": "cosine", "average": 0.9, "budget": "5steps", "crop": 64}
    images = photos(side=64, channels=3)
    with pytest.raises(Stopped):
        train(job_of(watched("n2c", []), channels=3, **recipe), images, tmp_path, "cpu", StoppingAfter(3))
    rest: list[Batch] = []
    resumed = run(tmp_path, watched("n2c", rest), images, **recipe)
    assert len(rest) == 2
    assert same_weights(resumed, run(tmp_path / "whole", watched("n2c", []), images, **recipe))


# --- budgets in minutes ---


def slowly(loss: torch.Tensor) -> Terms:
    time.sleep(0.02)
    return loss, {}


def test_a_budget_in_minutes_ends_after_its_time(tmp_path: Path) -> None:
    method = Tiny(always=slowly)
    trained = run(tmp_path, method, budget="0.005min")
    assert trained.record["seconds"] >= 0.3
    assert trained.record["steps"] == len(method.steps) <= 15
    progress = [step.progress for step in method.steps]
    assert progress == sorted(progress)
    assert progress[0] > 0
    assert 0.5 < progress[-1] <= 1


def test_the_curve_of_a_budget_in_minutes_reaches_its_end(tmp_path: Path) -> None:
    trained = run(tmp_path, Tiny(always=slowly), budget="0.002min")
    assert trained.record["curve"][-1]["step"] == trained.record["steps"]


def test_a_loss_that_is_not_finite_fails_a_training_in_minutes_too(tmp_path: Path) -> None:
    def spoilt_slowly(loss: torch.Tensor) -> Terms:
        return spoilt(slowly(loss)[0])

    with pytest.raises(TrainingFailed):
        run(tmp_path, Tiny(always=spoilt_slowly), budget="0.002min")


# --- what a training seed decides ---


def seeded(seed: int, images: int = 20, batch: int = 2, draws: str = "fresh") -> DrawnCrops:
    pictures = [located(40) + np.uint8(number) for number in range(images)]
    recipe = Recipe(parse_budget("10steps"), batch=batch, crop=32, seed=seed, draws=draws)
    return DrawnCrops(pictures, recipe, parse_noise("gauss25"))


@pytest.mark.parametrize(("images", "batch"), [(20, 2), (3, 4)])
def test_the_seed_decides_which_images_are_taken(images: int, batch: int) -> None:
    orders = [[seeded(seed, images, batch)._choose(step) for step in range(10)] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    if images > batch:
        assert sorted(number for chosen in orders[0] for number in chosen) == list(range(images)), "an epoch"
        assert [seeded(0)._choose(step) for step in range(10, 20)] != orders[0], "another order in the next one"


def test_the_seed_decides_where_crops_are_cut() -> None:
    first, again, other = (seeded(seed, 1, 1) for seed in (0, 0, 1))
    crops = [[made.take(step, "cpu", frozenset())[0] for step in range(5)] for made in (first, again, other)]
    assert all(torch.equal(a, b) for a, b in zip(crops[0], crops[1], strict=True))  # type: ignore[arg-type]
    assert not all(torch.equal(a, b) for a, b in zip(crops[0], crops[2], strict=True))  # type: ignore[arg-type]


def test_wide_steps_have_fewer_and_larger_crops_where_images_are_large_enough() -> None:
    pictures = [located(70) + np.uint8(number) for number in range(8)]
    recipe = Recipe(parse_budget("10steps"), batch=4, crop=32, wide=3)
    made = DrawnCrops(pictures, recipe, parse_noise("gauss25"))
    shapes = [made.take(step, "cpu", frozenset())[0].shape for step in range(6)]  # type: ignore[union-attr]
    assert [(shape[0], shape[2], shape[3]) for shape in shapes] == [*[(4, 32, 32)] * 2, (1, 64, 64)] * 2
    small = DrawnCrops([picture[:40] for picture in pictures], recipe, parse_noise("gauss25"))
    assert {small.take(step, "cpu", frozenset())[0].shape[2] for step in range(6)} == {32}  # type: ignore[union-attr]
    assert replace(recipe, batch=2).wide_batch == 1
    assert replace(recipe, batch=8, devices=4).wide_batch == 4, "every process has one"


class Fails(Tiny):
    """Whose results leave all bounds on images of some size."""

    beyond = 32

    def denoise(self, network: Any, noisy: torch.Tensor, known: Any, generator: Any) -> torch.Tensor:
        result = noisy.clone()
        if noisy.shape[2] > self.beyond:
            result[:, :, -8, -8] = 30.0
        return result


def test_a_network_that_fails_on_images_larger_than_its_crops_is_called_so(tmp_path: Path) -> None:
    images = [located(96) for _ in range(3)]
    said = run(tmp_path / "a", Fails(), budget="2steps", images=images, crop=32).record["warnings"]
    assert len(said) == 2
    assert "on 3 of 3 training images, larger than crops, values lie beyond" in said[1]
    assert "--recipe long" in said[1]
    assert len(run(tmp_path / "b", Tiny(), budget="2steps", images=images, crop=32).record["warnings"]) == 1


def test_a_network_that_fails_on_crops_too_is_not_told_to_take_larger_ones(tmp_path: Path) -> None:
    class Worse(Fails):
        beyond = 0

    said = run(tmp_path, Worse(), budget="2steps", images=[located(96)] * 3, crop=32).record["warnings"]
    assert len(said) == 1


def test_a_training_is_kept_where_the_network_raises_on_whole_images(tmp_path: Path) -> None:
    class Raises(Fails):
        def denoise(self, network: Any, noisy: torch.Tensor, known: Any, generator: Any) -> torch.Tensor:
            if noisy.shape[2] > self.beyond:
                raise RuntimeError("too large")
            return super().denoise(network, noisy, known, generator)

    assert run(tmp_path, Raises(), budget="2steps", images=[located(96)] * 3, crop=32).record["steps"] == 2


def test_images_below_what_a_method_denoises_whole_are_not_looked_at(tmp_path: Path) -> None:
    class Coarse(Fails):
        info = replace(Tiny.info, multiple=128)

    said = run(tmp_path, Coarse(), budget="2steps", images=[located(96)] * 3, crop=32).record["warnings"]
    assert len(said) == 1


def test_the_seed_decides_the_noise_fresh_or_fixed() -> None:
    fixed = [seeded(seed, draws="fixed")._fixed_copy(0, copy)[0] for seed, copy in ((0, 0), (0, 0), (1, 0), (0, 1))]
    assert np.array_equal(fixed[0], fixed[1])
    assert not np.array_equal(fixed[0], fixed[2])
    assert not np.array_equal(fixed[0], fixed[3])

    def fresh(seed: int, purpose: str = "noise", step: int = 0) -> int:
        recipe = Recipe(parse_budget("10steps"), seed=seed)
        run = SimpleNamespace(job=SimpleNamespace(recipe=recipe), _done=step, device="cpu")
        return _Run._generator(run, purpose).initial_seed()  # type: ignore[arg-type]

    assert fresh(0) == fresh(0)
    assert len({fresh(0), fresh(1), fresh(0, "second"), fresh(0, "method"), fresh(0, step=1)}) == 5


def test_eight_bits_of_training_noise_are_rounded_to_the_nearest() -> None:
    clean = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    drawn = [
        add_noise_batch(clean, parse_noise(noise), torch.Generator().manual_seed(1))[0]
        for noise in ("gauss25-clip", "gauss25-uint8")
    ]
    error = 255 * (drawn[1] - drawn[0])
    assert float(error.abs().max()) <= 0.5 + 1e-4
    assert float(error.min()) < -0.4
    assert float(error.max()) > 0.4


def test_a_network_of_one_value_is_no_network(tmp_path: Path) -> None:
    class Dead(Tiny):
        def denoise(self, network: Any, noisy: torch.Tensor, known: Any, generator: Any) -> torch.Tensor:
            return torch.ones_like(noisy)

    with pytest.raises(TrainingFailed, match="collapsed: its output is one value for every pixel"):
        run(tmp_path, Dead(), budget="2steps")
    assert not list(tmp_path.glob("**/*.safetensors"))
