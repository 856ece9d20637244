"""One training loop for every learned method.

The optimiser, schedule and weight average of a recipe, random crops, synthetic noise or real captures. Every step draws
from generators derived from (seed, step), so all methods see the same crops and the same noise, and a training that
was stopped goes on exactly where it was. Training images stay in memory as they are stored (uint8).
"""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from denoisebench.checkpoint import load_checkpoint, save_checkpoint
from denoisebench.dataset import DataSet
from denoisebench.errors import TrainingFailed, UserError, unknown
from denoisebench.files import Damaged, file_sha256, make_folder, sealed, set_aside, unsealed, write_bytes, write_text
from denoisebench.heldout import POINTS, HeldOut
from denoisebench.images import CHANNEL_NAMES, AnyImage, UIntImage, checked, to_float
from denoisebench.interrupts import whole_step
from denoisebench.lazy import torch
from denoisebench.method import Batch, Known, LearnedMethod, Need
from denoisebench.noise import Noise, add_noise, add_noise_batch, generator_from, torch_generator_from
from denoisebench.progress import Progress
from denoisebench.provenance import cpu_has_bfloat16, full_digest, machine

#: What networks are trained on: clean images in the order of their data set, or a data set of real captures.
TrainingImages = Sequence[UIntImage] | DataSet
CHECKPOINT_SECONDS = 20.0
#: Of the records of trainings.
FORMAT = 2
PRECISIONS = ("float32", "bfloat16")
OPTIMISERS = ("adam", "muon")
SCHEDULES = ("halving", "cosine")
# Monitors are mean squares on the 0..1 scale; above this, for so many points of the curve on end, nothing is
# learned any more.
DIVERGED, PATIENCE, AT_END = 10.0, 20, 3
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
        'adam', or 'muon': see `denoisebench.optimiser`.
    schedule : str
        Of the learning rate: 'halving' at 20, 40, 60 and 80 % of the training, or 'cosine' down to zero.
    average : float
        Decay of the moving average of the weights that is kept as the network; 0 keeps the weights of the last step.
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

    @property
    def text(self) -> str:
        """One phrase for a table."""
        parts = [self.budget.text, f"{self.batch}x{self.crop}²"]
        parts += [self.optimiser.capitalize()] if self.optimiser != "adam" else []
        parts += ["fixed noise"] if self.draws == "fixed" else []
        parts += [self.precision] if self.precision != "float32" else []
        parts += [f"{self.devices} devices"] if self.devices > 1 else []
        return ", ".join(parts)

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
#: By name; the budget is given apart.
RECIPES: Mapping[str, Recipe] = {
    # What teaches a network most in the minutes that a laptop has; tuned once for all methods on held-out photographs.
    "laptop": Recipe(_ANY, batch=4, optimiser="muon", schedule="cosine", average=0.999),
    # 128x128 crops at 3e-4, as Blind2Unblind states.
    "paper": Recipe(_ANY, batch=4, crop=128, lr=3e-4),
}
PAPER_BUDGET = Budget(100, "epochs")
PAPER = replace(RECIPES["paper"], budget=PAPER_BUDGET)


def parse_recipe(text: str) -> Recipe:
    """Read ``laptop``, ``paper`` or one of them with changes: ``laptop[optimiser=adam,average=0]``.

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
        else:
            raise unknown("part of a recipe", name, (*choices, "average"), "The rest has options of its own.")
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


@dataclass(frozen=True)
class TrainingJob:
    """One training: what decides its outcome, and nothing else.

    Parameters
    ----------
    method, noise, recipe : what to train
    channels : of the images
    data : name and hash of the training images
    code : digests of the code that decides the outcome, versions of its libraries
    device : kind of device ('cpu', 'cuda', 'mps')
    """

    method: LearnedMethod
    noise: Noise
    recipe: Recipe
    channels: int
    data: Mapping[str, str]
    code: Mapping[str, Any]
    device: str

    @property
    def identity(self) -> dict[str, Any]:
        """The canonical description that the key is the hash of."""
        return {
            "method": self.method.name,
            "settings": self.method.settings(training_only=True),
            "noise": self.noise.id,
            "recipe": asdict(self.recipe),
            "channels": self.channels,
            "data": dict(self.data),
            "code": dict(self.code),
            "device": self.device,
        }

    @property
    def key(self) -> str:
        """Content address of the trained network."""
        return full_digest(self.identity)[:16]

    @property
    def stem(self) -> str:
        """File name without extension."""
        return f"{self.method.name}-{self.noise.id}-{CHANNEL_NAMES.get(self.channels, 'any')}-{self.key}"


#: What of a record is the training's identity.
IDENTITY = ("method", "settings", "noise", "recipe", "channels", "data", "code", "device")


@dataclass(frozen=True)
class Trained:
    """A trained network and its record (see `train`)."""

    network: torch.nn.Module
    record: Mapping[str, Any]


def _unheard(text: str) -> None:
    pass


def record_of(job: TrainingJob, folder: Path, say: Callable[[str], None] = _unheard) -> dict[str, Any] | None:
    """The record of a finished training, or None if there is none; needs no torch.

    A damaged one, or that of another training, is moved into ``damaged/``; ``say`` is told so in one sentence.
    """
    path = folder / f"{job.stem}.json"
    network = path.with_suffix(".safetensors")
    if not path.is_file() or not network.is_file():
        return None
    try:
        return read_record(path, job.key)
    except Damaged as error:
        set_aside(network)
        say(f"{error} Moved into {set_aside(path).parent}; the network is trained again.")
        return None


def read_record(path: Path, key: str | None = None) -> dict[str, Any]:
    """The record beside a network, checked against its checksum, that of the network, and the key it should have.

    Raises
    ------
    Damaged
        Naming the file and what is wrong with it.
    """
    record = unsealed(path, (FORMAT,))
    del record["format"]
    identity = {name: record.get(name) for name in IDENTITY}
    if key is not None and full_digest(identity)[:16] != key:
        raise Damaged(f"{path} is damaged: it is the record of another training.")
    network = path.with_suffix(".safetensors")
    if file_sha256(network) != record.get("network_sha256"):
        raise Damaged(f"{network} is damaged: it does not have the checksum that its record lists.")
    return record


def load_trained(job: TrainingJob, folder: Path, device: str, say: Callable[[str], None] = _unheard) -> Trained | None:
    """The network of a finished training, or None if there is none; see `record_of`."""
    record = record_of(job, folder, say)
    if record is None:
        return None
    from safetensors.torch import load_file

    network = job.method.build(job.channels)
    network.load_state_dict(load_file(folder / f"{job.stem}.safetensors"))
    return Trained(_placed(network, device).eval(), record)


class OutOfTime(Exception):  # noqa: N818 - nothing went wrong
    """A training was stopped at its time limit; its checkpoint is stored."""


def train(
    job: TrainingJob,
    images: TrainingImages,
    folder: Path,
    device: str,
    progress: Progress,
    until: float | None = None,
    heldout: HeldOut | None = None,
) -> Trained:
    """Train a network, or go on with one, and store it with its record.

    Parameters
    ----------
    job : what to train
    images : (H, W, C) uint8, in the order of their data set; for real noise the data set itself
    folder : receives ``STEM.safetensors`` and ``STEM.json``; holds ``STEM.ckpt`` meanwhile
    device : torch device
    progress : where to show it
    until : value of ``time.monotonic()`` at which to stop, or None
    heldout : photographs on which the network is measured now and then, for the record; changes no number

    Returns
    -------
    The network in evaluation mode, and a record with settings, steps, seconds, curve and warnings.

    Raises
    ------
    TrainingFailed
        The loss became NaN or the outputs left all bounds.
    OutOfTime
        ``until`` was reached first; another call goes on from there.
    """
    finished = load_trained(job, folder, device)
    if finished is not None:
        return finished
    make_folder(folder)
    if job.recipe.devices > 1:
        from denoisebench.parallel import train_together

        train_together(job, images, folder, progress, until, heldout)
        finished = load_trained(job, folder, device)
        assert finished is not None
        return finished
    return train_here(job, images, folder, device, progress, until, Team(), heldout)


class Team:
    """The processes that train one network together; this one is alone."""

    rank, size = 0, 1

    def average(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace each tensor by its mean over all processes."""

    def agree(self, values: Sequence[float]) -> Sequence[float]:
        """The values of the first process, everywhere."""
        return values


def train_here(
    job: TrainingJob,
    images: TrainingImages,
    folder: Path,
    device: str,
    progress: Progress,
    until: float | None,
    team: Team,
    heldout: HeldOut | None = None,
) -> Trained:
    """`train`, as one process of a team: each takes its share of every batch, the first one writes."""
    run = _Run(job, images, folder / f"{job.stem}.ckpt", device, team, heldout if team.rank == 0 else None)
    title = f"train {job.method.text} on {job.noise.id}"
    with progress.task(title) as task:
        while not run.finished:
            if run.out_of_time(until):
                run.save()
                raise OutOfTime(f"stopped at the time limit, {run.status}; the same command goes on there")
            with whole_step() as stopped:
                run.step()
            if stopped.asked:
                run.save()
                raise KeyboardInterrupt
            task.update(run.progress, run.status)
    return run.store(folder) if team.rank == 0 else Trained(run.network, {})


class _Run:
    """State of one training: network, optimiser, average, step, learning curve."""

    def __init__(
        self,
        job: TrainingJob,
        images: TrainingImages,
        checkpoint: Path,
        device: str,
        team: Team,
        heldout: HeldOut | None,
    ) -> None:
        self.job, self.device, self._checkpoint, self._team = job, device, checkpoint, team
        recipe = job.recipe
        side = job.method.crop_multiple
        if recipe.crop % side:
            raise UserError(
                f"Crop {recipe.crop} does not suit {job.method.name}: its crops must be multiples of {side}."
            )
        real = isinstance(images, DataSet)
        self._crops: _Crops = _Captures(images, recipe) if real else _Drawn(images, recipe, job.noise)  # type: ignore[arg-type]
        self._steps = recipe.budget.steps(self._crops.count, recipe.batch)
        self._done, self._seconds = 0, 0.0
        self._curve: list[dict[str, float]] = []
        self._heldout, self._passed = heldout, 0
        self._measured: list[dict[str, float | None]] = []
        self._sums: dict[str, torch.Tensor] = {}
        self._count = 0
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)
            self.network = _placed(job.method.build(job.channels), device).train()
        from denoisebench.optimiser import build_optimiser

        self._optimiser = build_optimiser(recipe.optimiser, self.network, recipe.lr, job.method.weight_decay)
        self._average = {n: p.detach().clone() for n, p in self.network.named_parameters()} if recipe.average else {}
        self._resume()
        self._saved = time.monotonic()

    @property
    def finished(self) -> bool:
        return self._done > 0 and self.progress >= 1

    @property
    def progress(self) -> float:
        """Finished part of the budget."""
        if self._steps is not None:
            return self._done / self._steps
        return min(1.0, self._seconds / (60 * self.job.recipe.budget.amount))

    def out_of_time(self, until: float | None) -> bool:
        """Whether the limit is reached, by the clock of the first process."""
        return until is not None and self._team.agree((float(time.monotonic() >= until),))[0] > 0

    @property
    def status(self) -> str:
        total = f"/{self._steps}" if self._steps else ""
        last = f" loss {self._curve[-1]['loss']:.4g}" if self._curve else ""
        return f"step {self._done}{total}{last}"

    def step(self) -> None:
        """One optimiser step; writes a checkpoint now and then."""
        start = time.monotonic()
        after = (self._done + 1) / self._steps if self._steps else max(self.progress, 1e-6)
        recipe = self.job.recipe
        rate = recipe.lr * learning_rate_factor(after, recipe.schedule)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        batch = self._batch()
        self._optimiser.zero_grad(set_to_none=True)
        kind, mixed = torch.device(self.device).type, recipe.precision == "bfloat16"
        with torch.autocast(kind, torch.bfloat16, enabled=mixed):
            loss, monitors = self.job.method.backward(self.network, batch, after)
        self._team.average([p.grad for p in self.network.parameters() if p.grad is not None])
        self._team.average([loss, *monitors.values()])
        if self.job.method.gradient_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.job.method.gradient_norm)
        self._optimiser.step()
        self._follow()
        self._done += 1
        # One clock for all: a budget in minutes ends everywhere after the same step.
        self._seconds = self._team.agree((self._seconds + time.monotonic() - start,))[0]
        self._watch(loss, monitors, after, rate)
        self._measure()
        if time.monotonic() - self._saved > CHECKPOINT_SECONDS and not self.finished:
            self.save()

    def _follow(self) -> None:
        """Move the average towards the weights; at first it forgets faster, so that the start leaves no trace."""
        decay = min(self.job.recipe.average, (1 + self._done) / (10 + self._done))
        with torch.no_grad():
            for name, parameter in self.network.named_parameters() if self._average else ():
                self._average[name].lerp_(parameter, 1 - decay)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """The network with the average as its weights."""
        parameters = dict(self.network.named_parameters())
        with torch.no_grad():
            kept = {name: parameters[name].detach().clone() for name in self._average}
            for name, value in self._average.items():
                parameters[name].copy_(value)
            try:
                yield
            finally:
                for name, value in kept.items():
                    parameters[name].copy_(value)

    def _measure(self) -> None:
        """A point of the held-out curve, where one is due; its time does not count."""
        passed = sum(point <= self.progress for point in POINTS)
        if self._heldout is None or passed <= self._passed:
            return
        self._passed = passed
        with self._averaged():
            scores = self._heldout.scores(self.job, self.network.eval(), self.device)
        self.network.train()
        images = self._done * self.job.recipe.batch
        self._measured.append({"step": self._done, "images": images, "seconds": round(self._seconds, 1), **scores})

    def _batch(self) -> Batch:
        job, method = self.job, self.job.method
        told = method.told(job.noise.family)
        clean, copies = self._crops.take(self._done, self.device, told)
        if not copies:
            assert clean is not None
            purposes = ("noise", "second")[: 1 + (Need.SECOND in told)]
            copies = [add_noise_batch(clean, job.noise, self._generator(purpose)) for purpose in purposes]
        own = slice(self._team.rank, None, self._team.size)
        noisy, level = copies[0][0][own], copies[0][1]
        values: dict[Need, Any] = {Need.SECOND: copies[-1][0][own]}
        values |= {} if clean is None else {Need.CLEAN: clean[own]}
        facts: dict[Need, Any] = {Need.FAMILY: job.noise.family, Need.RANGED: job.noise.ranged}
        known = Known(method.name, told, facts | ({} if level is None else {Need.LEVEL: level[own]}))
        layout = torch.channels_last if noisy.shape[1] > 1 else torch.contiguous_format
        noisy = noisy.contiguous(memory_format=layout)
        generator = self._generator("method" if self._team.rank == 0 else f"method of process {self._team.rank}")
        return Batch(noisy, known, generator, method.name, told, values)

    def _generator(self, purpose: str) -> torch.Generator:
        return torch_generator_from("training", self.job.recipe.seed, purpose, self._done, device=self.device)

    def _watch(self, loss: torch.Tensor, monitors: Mapping[str, torch.Tensor], progress: float, rate: float) -> None:
        for name, value in {"loss": loss, **monitors}.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value
        self._count += 1
        # A value is read off the device only when a point of the curve is due: about 200 points in all.
        due = max(1, (self._steps or 2000) // 200)
        if self._count < due and not self.finished:
            return
        point = {name: float(total) / self._count for name, total in self._sums.items()}
        self._sums, self._count = {}, 0
        self._curve.append({"step": self._done, "progress": progress, "lr": rate, **point})
        if not math.isfinite(point["loss"]):
            self._failed(f"loss is not finite at step {self._done}")
        if len(self._curve) >= PATIENCE and all(_excess(point) > DIVERGED for point in self._curve[-PATIENCE:]):
            self._failed(f"mean square {_excess(point):.3g} at step {self._done}")

    def save(self) -> None:
        """Write the checkpoint."""
        if self._team.rank:
            return
        # Between two points of the curve minutes can pass; a spoilt state is noticed here, and never written.
        if self._team.size == 1 and not self._finite():
            self._failed(f"weights are not finite after step {self._done}")
        values = {"done": self._done, "seconds": self._seconds, "curve": self._curve, "count": self._count}
        values |= {"measured": self._measured, "passed": self._passed}
        tensors = {f"sums.{name}": value for name, value in self._sums.items()}
        tensors |= {f"average.{name}": value for name, value in self._average.items()}
        save_checkpoint(self._checkpoint, self.job.key, self.network, self._optimiser, tensors, values)
        self._saved = time.monotonic()

    def _resume(self) -> None:
        state = load_checkpoint(self._checkpoint, self.job.key, self.network, self._optimiser)
        if state is None:
            return
        tensors, values = state
        for name, value in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "average":
                self._average[rest].copy_(value)
            else:
                self._sums[rest] = value.to(self.device)
        self._done, self._seconds, self._curve = values["done"], values["seconds"], values["curve"]
        self._count, self._measured, self._passed = values["count"], values["measured"], values["passed"]

    def store(self, folder: Path) -> Trained:
        """Write the network and its record, weights first, and drop the checkpoint.

        Raises
        ------
        TrainingFailed
            The last step left weights that are not finite, or outputs beyond all bounds.
        """
        from safetensors.torch import save

        job = self.job
        # What begins in the last tenth has no time for `PATIENCE` points; the first steps may swing.
        end = [_excess(point) for point in self._curve[-AT_END:]]
        if len(self._curve) >= PATIENCE and min(end) > DIVERGED:
            self._failed(f"mean square {end[-1]:.3g} at its end, step {self._done}")
        if not self._finite():
            self._failed(f"weights are not finite after step {self._done}")
        for name, parameter in self.network.named_parameters() if self._average else ():
            parameter.data.copy_(self._average[name])
        data = save({name: value.contiguous().cpu() for name, value in self.network.state_dict().items()})
        record: dict[str, Any] = {
            **job.identity,
            "budget": job.recipe.text,
            "steps": self._done,
            "images_seen": self._done * job.recipe.batch,
            "seconds": round(self._seconds, 3),
            "parameters": sum(p.numel() for p in self.network.parameters()),
            "warnings": job.method.diagnose(self._curve),
            "machine": {**machine(), "threads": torch.get_num_threads()},
            "curve": [
                {name: value if math.isfinite(value) else None for name, value in point.items()}
                for point in self._curve
            ],
            **({"heldout": {"data": self._heldout.described, "points": self._measured}} if self._heldout else {}),
            "network_sha256": hashlib.sha256(data).hexdigest(),
        }
        target = folder / f"{job.stem}.safetensors"
        write_bytes(target, data)
        write_text(target.with_suffix(".json"), sealed(record, FORMAT))
        self._checkpoint.unlink(missing_ok=True)
        return Trained(self.network.eval(), record)

    def _finite(self) -> bool:
        return all(bool(value.isfinite().all()) for value in self.network.state_dict().values())

    def _failed(self, reason: str) -> NoReturn:
        raise TrainingFailed(f"training of {self.job.method.text} diverged: {reason}")


def learning_rate_factor(progress: float, schedule: str = "halving") -> float:
    """What the learning rate is multiplied by.

    Parameters
    ----------
    progress : float
        (step + 1) / steps, in (0, 1].
    schedule : str
        'halving', the paper's: when 20, 40, 60 and 80 % of the training are reached; or 'cosine', down to zero.
    """
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return float(0.5 ** min(4, int(progress * 5 + 1e-9)))


def _excess(point: Mapping[str, float]) -> float:
    """The largest monitor of a point of the curve, or its loss if nothing is monitored."""
    monitors = [value for name, value in point.items() if name not in ("step", "progress", "lr", "loss", "lambda")]
    return max(monitors, default=point["loss"])


class _Crops:
    """Training images, and the crops of every step.

    Parameters
    ----------
    count : of what one epoch takes a crop of
    recipe : batch, crop and seed
    """

    def __init__(self, count: int, recipe: Recipe) -> None:
        self.count, self._recipe = count, recipe

    def take(
        self, step: int, device: str, told: frozenset[Need]
    ) -> tuple[torch.Tensor | None, list[tuple[torch.Tensor, torch.Tensor | None]]]:
        """What a method may be told of one step.

        Returns
        -------
        clean crops (N, C, H, W), None where no noise is drawn and nobody asked for them
        noisy crops with their levels (N, 1, 1, 1) or None: none if noise is still to be drawn, else as many as needed
        """
        raise NotImplementedError

    def _window(self, rng: np.random.Generator, image: AnyImage) -> tuple[slice, slice]:
        side = self._recipe.crop
        height, width = image.shape[:2]
        top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        return slice(top, top + side), slice(left, left + side)

    def _choose(self, step: int) -> list[int]:
        """Images of one step: a fresh permutation per epoch, incomplete batches dropped."""
        count, batch = self.count, self._recipe.batch
        if count < batch:
            rng = generator_from("choice", self._recipe.seed, step)
            return [int(i) for i in rng.integers(count, size=batch)]
        epoch, position = divmod(step, count // batch)
        order = generator_from("epoch", self._recipe.seed, epoch).permutation(count)
        return [int(i) for i in order[position * batch : (position + 1) * batch]]


class _Drawn(_Crops):
    """Clean images, whose noise is drawn."""

    def __init__(self, images: Sequence[UIntImage], recipe: Recipe, noise: Noise) -> None:
        super().__init__(len(images), recipe)
        self._noise = noise
        self._images = [_at_least(image, recipe.crop) for image in images]
        self._fixed: dict[tuple[int, int], tuple[np.ndarray, float]] = {}

    def take(
        self, step: int, device: str, told: frozenset[Need]
    ) -> tuple[torch.Tensor | None, list[tuple[torch.Tensor, torch.Tensor | None]]]:
        rng = generator_from("crops", self._recipe.seed, step)
        windows = [(index, self._window(rng, self._images[index])) for index in self._choose(step)]
        clean = np.stack([self._images[index][window] for index, window in windows])
        x = _to_tensor(clean, device).float() / 255
        if self._recipe.draws == "fresh":
            return x, []
        noisy: list[tuple[torch.Tensor, torch.Tensor | None]] = []
        for copy in range(1 + (Need.SECOND in told)):
            drawn = [self._fixed_copy(index, copy) for index, _ in windows]
            crops = np.stack([whole[window] for (whole, _), (_, window) in zip(drawn, windows, strict=True)])
            levels = torch.tensor([level for _, level in drawn], device=device).view(-1, 1, 1, 1)
            noisy.append((_to_tensor(crops, device), levels))
        return x, noisy

    def _fixed_copy(self, index: int, copy: int) -> tuple[np.ndarray, float]:
        if (index, copy) not in self._fixed:
            rng = generator_from("fixed", self._recipe.seed, self._noise.id, index, copy)
            draw = add_noise(self._images[index], self._noise, rng)
            assert draw.level is not None
            self._fixed[index, copy] = (draw.noisy, draw.level)
        return self._fixed[index, copy]


class _Captures(_Crops):
    """Real captures: one epoch takes a crop of each; references are looked at only for who is told clean images.

    Images are kept as they are loaded; a data set too large for that returns images that read only what is sliced.
    """

    def __init__(self, data: DataSet, recipe: Recipe) -> None:
        self._captures = [(image, index) for image in data.images for index in range(data.captures(image))]
        super().__init__(len(self._captures), recipe)
        self._data = data
        self._kept: dict[tuple[str, str, int], AnyImage] = {}

    def take(
        self, step: int, device: str, told: frozenset[Need]
    ) -> tuple[torch.Tensor | None, list[tuple[torch.Tensor, torch.Tensor | None]]]:
        rng = generator_from("crops", self._recipe.seed, step)
        clean, first, second = [], [], []
        for image, index in (self._captures[number] for number in self._choose(step)):
            noisy = self._get("capture", image, index)
            window = self._window(rng, noisy)
            first.append(to_float(noisy[window]))
            # Drawn for every method, so that all see the same crops.
            other = int(rng.integers(max(1, self._data.captures(image) - 1)))
            if Need.SECOND in told:
                second.append(to_float(self._get("capture", image, other + (other >= index))[window]))
            if Need.CLEAN in told:
                clean.append(to_float(self._get("reference", image, index)[window]))
        copies: list[tuple[torch.Tensor, torch.Tensor | None]] = [
            (_to_tensor(np.stack(crops), device), None) for crops in (first, second) if crops
        ]
        return _to_tensor(np.stack(clean), device) if clean else None, copies

    def _get(self, what: str, image: str, index: int) -> AnyImage:
        if (what, image, index) not in self._kept:
            found = getattr(self._data, what)(image, index)
            # What is read only where it is sliced checks what it reads.
            if isinstance(found, np.ndarray):
                checked(found, f"Image {image!r} of data set {self._data.name!r}, {what} {index + 1},")
            small = min(found.shape[:2]) < self._recipe.crop
            self._kept[what, image, index] = _at_least(found[:, :], self._recipe.crop) if small else found
        return self._kept[what, image, index]


def _at_least(image: AnyImage, side: int) -> AnyImage:
    missing = [max(0, side - size) for size in image.shape[:2]]
    return np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="reflect") if any(missing) else image


def _to_tensor(stack: np.ndarray, device: str) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(stack.transpose(0, 3, 1, 2))).to(device)


def _placed(network: torch.nn.Module, device: str) -> torch.nn.Module:
    # channels_last halves the time of a convolution on a CPU and feeds tensor cores on a GPU.
    return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
