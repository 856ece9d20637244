"""How a network is trained: length, batch, crop, learning rate, precision; as text and from it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from denoisebench.core.errors import UserError, unknown
from denoisebench.core.provenance import cpu_has_bfloat16

PRECISIONS = ("float32", "bfloat16")
OPTIMISERS = ("adam", "muon")
SCHEDULES = ("halving", "cosine")
_RECIPE = re.compile(r"(\w+)(?:\[(.*)\])?")
_BUDGET = re.compile(r"(\d+(?:\.\d+)?)\s*(steps?|epochs?|min(?:utes?)?)?")


@dataclass(frozen=True)
class Budget:
    """How long to train: a number of steps, epochs or minutes."""

    amount: float
    unit: str

    @property
    def text(self) -> str:
        """As it is printed and stored; `parse_budget` reads it back."""
        unit = self.unit if self.amount != 1 else self.unit.rstrip("s")
        return f"{np.format_float_positional(self.amount, trim='-')} {unit}"

    def steps(self, images: int, batch: int) -> int | None:
        """Number of optimiser steps, or None for a budget in minutes."""
        if self.unit == "minutes":
            return None
        per_epoch = max(1, images // batch)
        return max(1, round(self.amount * (per_epoch if self.unit == "epochs" else 1)))


def parse_budget(text: str) -> Budget:
    """Read ``300``, ``300steps``, ``5epochs`` or ``2min``.

    Raises
    ------
    UserError
        Naming the text and the allowed forms.
    """
    match = _BUDGET.fullmatch(text.strip().lower())
    unit = {"s": "steps", "e": "epochs", "m": "minutes"}[((match and match[2]) or "steps")[0]]
    amount = float(match[1]) if match else 0.0
    if not 0 < amount < math.inf or (unit == "steps" and amount != int(amount)):
        raise UserError(
            f"Budget {text!r} cannot be read. Allowed: a number above 0 with steps, epochs or min, "
            "for example 300steps, 5epochs, 10min; or paper."
        )
    return Budget(amount, unit)


@dataclass(frozen=True)
class Recipe:
    """Everything about a training that is not the method, the noise or the images.

    The defaults of the fields are the recipe of records that do not name the field; see `LAPTOP` and `PAPER`.

    Parameters
    ----------
    budget : Budget
        Length.
    batch : int
        Crops per step.
    crop : int
        Side of a crop in pixels.
    lr : float
        First learning rate.
    draws : str
        'fresh' noise in every step, or one 'fixed' noisy copy of each image for the whole training.
    seed : int
        Of initialisation, crops and noise.
    precision : str
        'float32', or 'bfloat16' for the passes through the network (weights and losses stay float32).
    devices : int
        Processes that share each batch.
    optimiser : str
        'adam', or 'muon': see `denoisebench.training.optimiser`.
    schedule : str
        Of the learning rate: 'halving' at 20, 40, 60 and 80 % of the training, or 'cosine' down to zero.
    average : float
        Decay of the moving average of the weights that is kept as the network; 0 keeps the weights of the last step.
    wide : int
        Every so many steps crops are twice as wide and high, and a quarter as many; 0: never. In a crop of 64x64 the
        coarsest maps of a U-Net are all border. What only an inner pixel of them sees is not trained then, and can
        grow until a network fails on whole images.
    """

    budget: Budget
    batch: int = 1
    crop: int = 64
    lr: float = 1e-3
    draws: str = "fresh"
    seed: int = 0
    precision: str = "float32"
    devices: int = 1
    optimiser: str = "adam"
    schedule: str = "halving"
    average: float = 0.0
    wide: int = 0

    @cached_property
    def described(self) -> Mapping[str, Any]:
        """Its fields as they are stored; without `wide` where there is none, as in records of before."""
        return {name: value for name, value in asdict(self).items() if name != "wide" or value}

    @property
    def text(self) -> str:
        """One phrase for a table."""
        crops = f"{self.batch}x{self.crop}²"
        parts = [self.budget.text, f"{crops}/{self.wide_batch}x{2 * self.crop}²" if self.wide else crops]
        parts += [self.optimiser.capitalize()] if self.optimiser != "adam" else []
        parts += ["fixed noise"] if self.draws == "fixed" else []
        parts += [self.precision] if self.precision != "float32" else []
        parts += [f"{self.devices} devices"] if self.devices > 1 else []
        return ", ".join(parts)

    @property
    def wide_batch(self) -> int:
        """Crops of a wide step: as many pixels as in others if it can be, and at least one crop for each process."""
        return max(self.batch // 4 // self.devices, 1) * self.devices

    @classmethod
    def from_record(cls, values: Mapping[str, Any]) -> Recipe:
        """The recipe as a record of a training holds it.

        Raises
        ------
        TypeError, KeyError
            For a record that is not one of a training.
        """
        return cls(**{**values, "budget": Budget(**values["budget"])})


_ANY = Budget(1, "steps")
# What teaches a network most in the minutes that a laptop has; tuned once for all methods on held-out photographs.
_LAPTOP = Recipe(_ANY, batch=4, optimiser="muon", schedule="cosine", average=0.999)
#: By name; the budget is given apart.
RECIPES: Mapping[str, Recipe] = {
    "laptop": _LAPTOP,
    # For many thousand steps, after which small crops alone can leave networks that fail on whole images.
    "long": replace(_LAPTOP, wide=4),
    # 128x128 crops at 3e-4, as Blind2Unblind states.
    "paper": Recipe(_ANY, batch=4, crop=128, lr=3e-4),
}
PAPER_BUDGET = Budget(100, "epochs")
PAPER = replace(RECIPES["paper"], budget=PAPER_BUDGET)


def parse_recipe(text: str) -> Recipe:
    """Read ``laptop``, ``long``, ``paper`` or one of them with changes: ``laptop[optimiser=adam,average=0]``.

    Raises
    ------
    UserError
        Naming the part that cannot be read and what is allowed.
    """
    match = _RECIPE.fullmatch(text.strip())
    if match is None or match[1] not in RECIPES:
        raise unknown("recipe", text, RECIPES, "Changes go into brackets: laptop[optimiser=adam,average=0].")
    choices = {"optimiser": OPTIMISERS, "schedule": SCHEDULES}
    changes: dict[str, Any] = {}
    for part in filter(None, (match[2] or "").split(",")):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name in choices:
            if value not in choices[name]:
                raise unknown(f"{name} of a recipe", value, choices[name])
            changes[name] = value
        elif name == "average":
            try:
                changes[name] = float(value)
            except ValueError:
                changes[name] = math.nan
            if not 0 <= changes[name] < 1:
                raise UserError(f"Recipe {text!r}: average must be a number from 0 (none) to below 1, not {value!r}.")
        elif name == "wide":
            if not re.fullmatch("[0-9]{1,6}", value):
                raise UserError(f"Recipe {text!r}: wide must be a whole number of steps, 0 for never, not {value!r}.")
            changes[name] = int(value)
        else:
            raise unknown("part of a recipe", name, (*choices, "average", "wide"), "The rest has options of its own.")
    return replace(RECIPES[match[1]], **changes)


def usual_precision(device: str) -> str:
    """bfloat16 where the device has units for it, float32 elsewhere.

    On a processor with them the passes of the U-Net take half the time, without them several times as long.
    """
    return "bfloat16" if device.startswith("cuda") or cpu_has_bfloat16() else "float32"


def recipe_from(
    budget: str,
    batch: int | None,
    crop: int | None,
    lr: float | None,
    draws: str,
    seed: int,
    precision: str = "float32",
    devices: int = 1,
    recipe: str | None = None,
) -> Recipe:
    """The recipe of command-line values; None takes that of the named recipe.

    Parameters
    ----------
    budget : str
        A budget, or ``paper`` for the paper's recipe and 100 epochs.
    recipe : str or None
        See `parse_recipe`; None is ``paper`` for a budget of that name, else ``laptop``.

    Raises
    ------
    UserError
        For a value that is not allowed.
    """
    length = PAPER_BUDGET if budget == "paper" else parse_budget(budget)
    base = parse_recipe(recipe or ("paper" if budget == "paper" else "laptop"))
    if draws not in ("fresh", "fixed"):
        raise unknown("training noise", draws, ("fresh", "fixed"))
    if crop is not None and crop % 32:
        raise UserError(f"--crop {crop}: allowed are multiples of 32.")
    if lr is not None and not 0 < lr < 1:
        raise UserError(f"--lr {lr:g}: allowed are values between 0 and 1.")
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    batch = batch or max(base.batch, devices)
    if batch % devices:
        raise UserError(f"--batch {batch} cannot be shared by --devices {devices}; give a multiple of it.")
    return replace(
        base, budget=length, batch=batch, crop=crop or base.crop, lr=lr or base.lr, draws=draws, seed=seed,
        precision=precision, devices=devices,
    )  # fmt: skip
