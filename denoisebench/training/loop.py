"""One training loop for every learned method.

The optimiser, schedule and weight average of a recipe, random crops, synthetic noise or real captures. Every step draws
from generators derived from (seed, step), so all methods see the same crops and the same noise, and a training that
was stopped goes on exactly where it was. Training images stay in memory as they are stored (uint8).
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from denoisebench.core.errors import TrainingFailed, UserError
from denoisebench.core.files import sealed, write_bytes, write_text
from denoisebench.core.interrupts import deferred_interrupts
from denoisebench.core.lazy import torch
from denoisebench.core.progress import Progress
from denoisebench.core.provenance import machine
from denoisebench.data.dataset import DataSet
from denoisebench.networks import placed
from denoisebench.plugins.method import Batch, Need, known_of
from denoisebench.protocol.images import BEYOND, FloatImage, overshoot
from denoisebench.protocol.noise import add_noise_batch
from denoisebench.protocol.seeds import torch_generator_from
from denoisebench.training.checkpoint import load_checkpoint, save_checkpoint
from denoisebench.training.collapse import collapsed
from denoisebench.training.crops import CapturedCrops, Crops, DrawnCrops, TrainingImages
from denoisebench.training.heldout import POINTS, HeldOut
from denoisebench.training.job import Trained, TrainingJob
from denoisebench.training.records import FORMAT

CHECKPOINT_SECONDS = 20.0
# Monitors are mean squares on the 0..1 scale; above this, for so many points of the curve on end, nothing is
# learned any more.
DIVERGED, PATIENCE, AT_END = 10.0, 20, 3
# So many training images are denoised at the end, of each the middle up to this side.
_LOOKED_AT, _LARGE = 16, 256


class OutOfTime(Exception):  # noqa: N818 - nothing went wrong
    """A training was stopped at its time limit; its checkpoint is stored."""


class ProcessGroup:
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
    team: ProcessGroup,
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
            with deferred_interrupts() as stopped:
                run.step()
            if stopped.asked:
                run.save()
                raise KeyboardInterrupt
            task.update(run.progress, run.status)
    # A stop in here would cost the steps since the last checkpoint.
    with deferred_interrupts() as stopped:
        trained = run.store(folder) if team.rank == 0 else Trained(run.network, {})
    if stopped.asked:
        raise KeyboardInterrupt
    return trained


class _Run:
    """State of one training: network, optimiser, average, step, learning curve."""

    def __init__(
        self,
        job: TrainingJob,
        images: TrainingImages,
        checkpoint: Path,
        device: str,
        team: ProcessGroup,
        heldout: HeldOut | None = None,
    ) -> None:
        self.job, self.device, self._checkpoint, self._team = job, device, checkpoint, team
        recipe = job.recipe
        side = job.method.crop_multiple
        if recipe.crop % side:
            raise UserError(
                f"Crop {recipe.crop} does not suit {job.method.name}: its crops must be multiples of {side}."
            )
        self._crops: Crops
        if isinstance(images, DataSet):
            self._crops = CapturedCrops(images, recipe)
        else:
            self._crops = DrawnCrops(images, recipe, job.noise)
        self._steps = recipe.budget.steps(self._crops.count, recipe.batch)
        self._done, self._seconds = 0, 0.0
        before = job.identity.get("start", {})
        self._images_before, self._seconds_before = before.get("images_seen", 0), before.get("seconds", 0.0)
        self._curve: list[dict[str, float]] = []
        self._heldout, self._passed = heldout, 0
        self._measured: list[dict[str, float | None]] = []
        self._sums: dict[str, torch.Tensor] = {}
        self._count = 0
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)
            start = job.start
            begun = start.load(job.method, job.channels, device) if start else job.method.build(job.channels)
            self.network = placed(begun, device).train()
        from denoisebench.training.optimiser import build_optimiser

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
        cost = {"images": self._images, "seconds": round(self._seconds_before + self._seconds, 1)}
        self._measured.append({"step": self._done, **cost, **scores})

    @property
    def _images(self) -> int:
        """Crops seen so far, those of the start included."""
        return int(self._images_before + self._done * self.job.recipe.batch)

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
        known = known_of(method, job.noise, None if level is None else level[own])
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
            The last step left weights that are not finite, outputs beyond all bounds, or one value for every pixel.
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
        if self._constant():
            raise TrainingFailed(f"training of {job.method.text} collapsed: its output is one value for every pixel")
        data = save({name: value.contiguous().cpu() for name, value in self.network.state_dict().items()})
        record: dict[str, Any] = {
            **job.identity,
            "harness": job.harness,
            "budget": job.recipe.text,
            "steps": self._done,
            "images_seen": self._images,
            "seconds": round(self._seconds_before + self._seconds, 3),
            "parameters": sum(p.numel() for p in self.network.parameters()),
            "warnings": job.method.diagnose(self._curve) + self._look(),
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

    def _constant(self) -> bool:
        """Whether the network gives one value for all pixels of every crop of a batch, which is not noise alone."""
        batch = self._batch()
        network = self.network.eval()
        with torch.no_grad():
            result = self.job.method.denoise(network, batch.noisy, batch.known, self._generator("collapse")).float()
        seen, given = (images.permute(0, 2, 3, 1).flatten(0, 1).cpu().numpy() for images in (batch.noisy, result))
        # After few steps of a small rate a network that learns may still vary by less than a level.
        return collapsed(seen, given, within=1e-6)

    def _look(self) -> list[str]:
        """What `_failures` says; a plugin that raises here says it again where it is used, and keeps its training."""
        try:
            return self._failures()
        except Exception:
            return []

    def _failures(self) -> list[str]:
        """Whether the network fails on images larger than its crops, but not on crops; a sentence or none."""
        count, side = self._crops.count, self.job.recipe.crop
        found = []
        for number in range(0, count, -(-count // _LOOKED_AT)):
            noisy, level = self._crops.whole(number)
            if max(noisy.shape[:2]) > side:
                beyond = self._beyond(noisy, level, _LARGE)
                crops_too = beyond > BEYOND and self._beyond(noisy, level, side) > BEYOND
                found.append(0.0 if crops_too else beyond)
        failed = [value for value in found if value > BEYOND]
        if not failed:
            return []
        return [
            f"on {len(failed)} of {len(found)} training images, larger than crops, values lie beyond those of the "
            f"noisy image by up to {max(failed):.2g} times their range, so parts of images will be destroyed; train "
            "with larger crops now and then: --recipe long"
        ]

    def _beyond(self, noisy: FloatImage, level: float | None, most: int) -> float:
        """How far the result leaves the values of the middle of a noisy image, up to ``most`` pixels wide and high."""
        method = next(iter(self.job.method.outputs().values()))
        multiple = method.info.multiple
        sides = [min(size, most) // multiple * multiple for size in noisy.shape[:2]]
        if 0 in sides:  # as images are denoised they would be padded, which is nothing to judge a network by
            return 0.0
        top, left = ((size - side) // 2 for size, side in zip(noisy.shape[:2], sides, strict=True))
        piece = np.ascontiguousarray(noisy[top : top + sides[0], left : left + sides[1]].transpose(2, 0, 1))[None]
        told = None if level is None else torch.full((1, 1, 1, 1), level, device=self.device)
        known = known_of(method, self.job.noise, told)
        with torch.no_grad():
            given = torch.from_numpy(piece).to(self.device)
            result = method.denoise(self.network, given, known, self._generator("failures"))
        return overshoot(result.float().cpu().numpy(), piece)

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
        'halving', the paper's: when 20, 40, 60 and 80 % of the training are reached (by the released scripts one epoch
        earlier); or 'cosine', down to zero.
    """
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return float(0.5 ** min(4, int(progress * 5 + 1e-9)))


def _excess(point: Mapping[str, float]) -> float:
    """The largest monitor of a point of the curve, or its loss if nothing is monitored."""
    monitors = [value for name, value in point.items() if name not in ("step", "progress", "lr", "loss", "lambda")]
    return max(monitors, default=point["loss"])
