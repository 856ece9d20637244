"""Two processes train what one process trains with the same batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from denoisebench.core.errors import UserError
from denoisebench.core.progress import Quiet
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import LearnedMethod
from denoisebench.protocol.noise import parse_noise
from denoisebench.training.job import Trained, TrainingJob
from denoisebench.training.loop import OutOfTime
from denoisebench.training.recipe import Budget, Recipe, recipe_from
from denoisebench.training.train import train

pytestmark = [pytest.mark.usefixtures("no_data", "fresh_registry"), pytest.mark.slow]
IMAGES = [np.random.default_rng(i).integers(0, 256, (48, 40, 3), dtype=np.uint8) for i in range(5)]


def job(method: str, devices: int, noise: str = "gauss5_50", steps: int = 4, draws: str = "fresh") -> TrainingJob:
    learned = parse_method(method)
    assert isinstance(learned, LearnedMethod)
    recipe = Recipe(Budget(steps, "steps"), batch=4, crop=32, draws=draws, devices=devices)
    return TrainingJob(learned, parse_noise(noise), recipe, 3, {"name": "toy", "sha256": "0"}, {}, "cpu")


def trained(folder: Path, *arguments: Any, **settings: Any) -> Trained:
    return train(job(*arguments, **settings), IMAGES, folder, "cpu", Quiet())


@pytest.mark.parametrize(("method", "draws"), [("n2c", "fresh"), ("b2u[masks=none]", "fresh"), ("n2n", "fixed")])
def test_two_processes_follow_the_curve_of_one(tmp_path: Path, method: str, draws: str) -> None:
    one = trained(tmp_path / "1", method, 1, draws=draws)
    two = trained(tmp_path / "2", method, 2, draws=draws)
    assert len(one.record["curve"]) == 4
    for mine, theirs in zip(two.record["curve"], one.record["curve"], strict=True):
        assert mine == pytest.approx(theirs, rel=1e-4)
    # Adam's first steps follow the sign of a gradient, so single weights near a zero gradient may differ.
    weights = [torch.cat([p.detach().flatten() for p in t.network.parameters()]) for t in (one, two)]
    assert float((weights[0] - weights[1]).norm() / weights[0].norm()) < 1e-4


def test_a_stopped_training_goes_on_with_all_processes(tmp_path: Path) -> None:
    with pytest.raises(OutOfTime, match="step 0/4"):
        train(job("n2c", 2), IMAGES, tmp_path / "a", "cpu", Quiet(), until=0.0)
    resumed, straight = trained(tmp_path / "a", "n2c", 2), trained(tmp_path / "b", "n2c", 2)
    for name, value in straight.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[name], value)


def test_a_mistake_is_reported_by_the_parent(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="multiples of 64"):
        trained(tmp_path, "nbr2nbr", 2)


def test_a_batch_must_be_divisible() -> None:
    assert recipe_from("3steps", None, None, None, "fresh", 0, devices=8).batch == 8
    with pytest.raises(UserError, match="--batch 3 cannot be shared by --devices 2"):
        recipe_from("3steps", 3, None, None, "fresh", 0, devices=2)


def test_by_the_command(tmp_path: Path, command: Callable[..., Any], image_folder: Callable[..., Path]) -> None:
    ran = command(
        "train", "--methods", "n2c", "--budget", "2steps", "--crop", 32, "--devices", 2, "--batch", 2,
        "--train-data", image_folder("pictures"), "--out", tmp_path / "o",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert list((tmp_path / "o" / "models").glob("n2c-*.safetensors"))
