"""One training shared by several processes, each with a part of every batch (gloo on CPUs, NCCL on GPUs).

Every process holds the whole network and draws the crops and the noise of the whole batch, then keeps its share;
after each backward pass the gradients are averaged. So a training by two processes sees the same numbers as one
process with the same batch, up to the order of summation, and a method may call its network as often as it likes,
which wrappers around the network do not allow. Only draws of the method itself (N2V's masks) differ.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from denoisebench.core.errors import TrainingFailed, UserError
from denoisebench.core.files import CannotWrite
from denoisebench.core.progress import Progress, Quiet, for_stderr
from denoisebench.plugins.parcel import PluginPickle
from denoisebench.training.crops import TrainingImages
from denoisebench.training.heldout import HeldOut
from denoisebench.training.job import TrainingJob
from denoisebench.training.loop import OutOfTime, ProcessGroup, train_here

# What ends a training early, by its own account.
_OUTCOMES = (OutOfTime, TrainingFailed, CannotWrite, UserError)


class Processes(ProcessGroup):
    """Processes joined by torch.distributed."""

    def __init__(self, device: str) -> None:
        self.rank, self.size, self._device = dist.get_rank(), dist.get_world_size(), device

    def average(self, tensors: Sequence[torch.Tensor]) -> None:
        # One message for all: gradients are many and mostly small.
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.size
        for tensor, part in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view(tensor.shape))

    def agree(self, values: Sequence[float]) -> Sequence[float]:
        shared = torch.tensor(values, dtype=torch.float64, device=self._device)
        dist.broadcast(shared, 0)
        return shared.tolist()


def train_together(
    job: TrainingJob,
    images: TrainingImages,
    folder: Path,
    progress: Progress,
    until: float | None,
    heldout: HeldOut | None = None,
) -> None:
    """Train with ``job.recipe.devices`` processes; the result is stored in ``folder``, as `train` does.

    Raises
    ------
    TrainingFailed, OutOfTime, UserError
        As `train`; UserError also if there are not that many devices.
    """
    count = job.recipe.devices
    if job.device == "cuda" and torch.cuda.device_count() < count:
        raise UserError(f"--devices {count}: this machine has {torch.cuda.device_count()} CUDA devices.")
    if job.device not in ("cpu", "cuda"):
        raise UserError(f"--devices {count} works on cpu and cuda, not on {job.device}.")
    # One thread each would waste a machine, all threads each would have them wait for one another.
    threads = max(1, torch.get_num_threads() // count)
    with tempfile.TemporaryDirectory() as place:
        loud = not isinstance(progress, Quiet)
        arguments = (count, place, PluginPickle.of(job), images, folder, loud, until, threads, heldout)
        outcome = Path(place) / "outcome"
        try:
            spawn(_work, arguments, nprocs=count)
        except Exception:
            # When the first process ends early, the others lose their connection; its reason is the one to tell.
            if not outcome.is_file():
                raise
        if outcome.is_file():
            name, _, reason = outcome.read_text(encoding="utf-8").partition(":")
            raise next(kind for kind in _OUTCOMES if kind.__name__ == name)(reason)


def _work(
    rank: int,
    count: int,
    place: str,
    parcel: PluginPickle,
    images: TrainingImages,
    folder: Path,
    loud: bool,
    until: float | None,
    threads: int,
    heldout: HeldOut | None,
) -> None:
    from denoisebench.core.memory import keep_freed_memory

    keep_freed_memory()
    torch.set_num_threads(threads)
    job: TrainingJob = parcel.open()
    device = f"cuda:{rank}" if job.device == "cuda" else job.device
    backend = "nccl" if job.device == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=f"file://{place}/meeting", rank=rank, world_size=count)
    # One that ends at once, over a mistake, would break the connections the others are still making.
    dist.barrier()
    progress = for_stderr() if loud and rank == 0 else Quiet()
    try:
        train_here(job, images, folder, device, progress, until, Processes(device), heldout)
    except (OutOfTime, TrainingFailed, UserError) as error:
        if rank == 0:
            kind = next(kind for kind in _OUTCOMES if isinstance(error, kind))
            (Path(place) / "outcome").write_text(f"{kind.__name__}:{error}", encoding="utf-8")
    finally:
        dist.destroy_process_group()
