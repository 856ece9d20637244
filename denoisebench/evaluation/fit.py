"""One loop for every method that is fitted on a single noisy image.

Adam with the method's learning rate, as many steps or minutes as the budget has, or fewer where the method ends it.
torch's generator is seeded by image, so results repeat; a long fit leaves a checkpoint and goes on from there.

The image comes padded by reflection to the method's multiple, and a loss over the whole of it counts the mirrored
pixels, with noise that is a copy of their originals': 17 % more pixels for 481x321 and a multiple of 32 (`self2self`),
27 % for 64 (`dip`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from denoisebench.core.errors import TrainingFailed, UserError
from denoisebench.core.interrupts import deferred_interrupts
from denoisebench.core.lazy import torch
from denoisebench.networks import placed
from denoisebench.plugins.method import NoiseInfo, PerImageMethod, returned_batch, show_value
from denoisebench.protocol.images import FloatImage
from denoisebench.protocol.seeds import generator_from
from denoisebench.training.checkpoint import load_checkpoint, save_checkpoint
from denoisebench.training.collapse import collapsed
from denoisebench.training.recipe import Budget, parse_budget

CHECKPOINT_SECONDS = 30.0
Report = Callable[[float, str], None]


@dataclass(frozen=True)
class FitRecipe:
    """How a method is fitted to each image.

    Parameters
    ----------
    budget : Budget
        Steps, or minutes.
    precision : str
        'float32', or 'bfloat16' for the passes through the network.
    """

    budget: Budget
    precision: str = "float32"


def fit_recipe(method: PerImageMethod, budget: str | None, precision: str = "float32") -> FitRecipe:
    """The recipe of command-line values; without a budget that of the method, ``paper`` for the paper's steps.

    Raises
    ------
    UserError
        The budget is in epochs: one image has none; or it is the paper's, which goes with other settings.
    """
    other = {name: value for name, value in method.paper_settings.items() if getattr(method, name) != value}
    if budget == "paper" and other:
        told = ",".join(f"{name}={show_value(value)}" for name, value in other.items())
        raise UserError(
            f"The paper's {method.paper_steps:,} steps of {method.name} go with {told}: give {method.name}[{told}], or "
            "a budget in steps."
        )
    if budget is None or budget == "paper":
        return FitRecipe(Budget(method.paper_steps if budget else method.steps, "steps"), precision)
    parsed = parse_budget(budget)
    if parsed.unit == "epochs":
        raise UserError(f"{method.name} is fitted to each image: give its budget in steps or min, or paper.")
    return FitRecipe(parsed, precision)


def fit_text(method: PerImageMethod, recipe: FitRecipe) -> str:
    """One phrase for a table, which says so when the paper's steps are not reached."""
    paper = method.paper_steps
    enough = recipe.budget.unit == "steps" and recipe.budget.amount >= paper
    parts = [f"{recipe.budget.text} per image"] + ([] if enough else [f"of the paper's {paper:,} steps"])
    return " ".join(parts) + (f", {recipe.precision}" if recipe.precision != "float32" else "")


def fit(
    method: PerImageMethod,
    noisy: FloatImage,
    known: NoiseInfo,
    recipe: FitRecipe,
    axes: Sequence[object],
    device: str = "cpu",
    checkpoint: Path | None = None,
    report: Report = lambda fraction, text: None,
) -> tuple[FloatImage, int]:
    """Fit a network to one image and denoise it.

    Parameters
    ----------
    method : PerImageMethod
        What to fit.
    noisy : FloatImage
        (H, W, C), padded.
    known, recipe : NoiseInfo or FitRecipe
        What it is told, how long.
    axes : Sequence[object]
        What the draws are seeded by.
    device : str
        Torch device.
    checkpoint : Path | None
        File to leave a long fit in, and to go on from.
    report : Report
        Is called after every step with the finished fraction and a short text.

    Returns
    -------
    tuple[FloatImage, int]
        (H, W, C), not clipped, and the number of steps.

    Raises
    ------
    TrainingFailed
        The loss is not finite, or the result is one value for every pixel.
    """
    image = torch.from_numpy(noisy.copy()).to(device).permute(2, 0, 1)[None]
    image = image.contiguous(memory_format=torch.channels_last if image.shape[1] > 1 else torch.contiguous_format)
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(int(generator_from(*axes).integers(2**63)))
        run = _Fit(method, image, known, recipe, checkpoint)
        while not run.finished:
            with deferred_interrupts() as stopped:
                run.step()
            if stopped.asked:
                run.save()
                raise KeyboardInterrupt
            report(run.progress, run.status)
        run.network.eval()
        with torch.no_grad():
            result = returned_batch(method, method.denoise(run.network, image, known))
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    output = np.asarray(result[0].permute(1, 2, 0).float().cpu().numpy())
    if collapsed(noisy, output):
        raise TrainingFailed(
            f"{method.text} collapsed: after {run.done} steps its output is one value ({output.mean():.3f}) for every "
            "pixel"
        )
    return output, run.done


class _Fit:
    """State of one fit: network, optimiser, step, time."""

    def __init__(
        self, method: PerImageMethod, image: torch.Tensor, known: NoiseInfo, recipe: FitRecipe, checkpoint: Path | None
    ) -> None:
        self._method, self._image, self._known, self._recipe = method, image, known, recipe
        self._steps = recipe.budget.steps(1, 1)
        self._checkpoint = checkpoint
        self.done, self._seconds = 0, 0.0
        self.network = placed(method.build(image), image.device).train()
        self._optimiser = torch.optim.Adam(self.network.parameters(), lr=method.rate(1e-6))
        self._resume()
        self._saved = time.monotonic()

    @property
    def progress(self) -> float:
        """Finished part of the budget."""
        if self._steps is not None:
            return self.done / self._steps
        return min(1.0, self._seconds / (60 * self._recipe.budget.amount))

    @property
    def finished(self) -> bool:
        return self.done > 0 and (self.progress >= 1 or self._method.finished(self.network))

    @property
    def status(self) -> str:
        return f"step {self.done}/{self._steps}" if self._steps else f"step {self.done}"

    def step(self) -> None:
        """One step of Adam; writes a checkpoint now and then."""
        start = time.monotonic()
        after = (self.done + 1) / self._steps if self._steps else max(self.progress, 1e-6)
        for group in self._optimiser.param_groups:
            group["lr"] = self._method.rate(after)
        self._optimiser.zero_grad(set_to_none=True)
        with torch.autocast(self._image.device.type, torch.bfloat16, enabled=self._recipe.precision == "bfloat16"):
            loss = self._method.loss(self.network, self._image, self._known, after)
        loss.backward()
        if not math.isfinite(loss.item()):
            raise TrainingFailed(f"{self._method.text} diverged: loss is not finite at step {self.done + 1}")
        self._optimiser.step()
        self.done += 1
        self._seconds += time.monotonic() - start
        if time.monotonic() - self._saved > CHECKPOINT_SECONDS:
            self.save()

    def save(self) -> None:
        """Write the checkpoint, if there is to be one."""
        path = self._checkpoint
        if path is None:
            return
        random = {f"random{number}": state for number, state in enumerate(self._random_states())}
        values = {"done": self.done, "seconds": self._seconds}
        save_checkpoint(path, path.name, self.network, self._optimiser, random, values)
        self._saved = time.monotonic()

    def _random_states(self) -> list[torch.Tensor]:
        states = [torch.get_rng_state()]
        return states + ([torch.cuda.get_rng_state()] if self._image.device.type == "cuda" else [])

    def _resume(self) -> None:
        if self._checkpoint is None:
            return
        state = load_checkpoint(self._checkpoint, self._checkpoint.name, self.network, self._optimiser)
        if state is None:
            return
        tensors, values = state
        self.done, self._seconds = values["done"], values["seconds"]
        # The first passes drew from the generator too, so it is set last.
        torch.set_rng_state(tensors["random0"])
        if "random1" in tensors:
            torch.cuda.set_rng_state(tensors["random1"])
