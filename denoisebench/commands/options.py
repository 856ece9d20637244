"""The options of the command line, and what becomes of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from denoisebench.core import limits
from denoisebench.core.errors import UserError
from denoisebench.experiment.build import DEFAULT_BUDGET, check_root

if TYPE_CHECKING:
    from denoisebench.audit.subject import Choice

# Options of `run` that an experiment file cannot hold.
_FLAGS = ("config", "plan", "literature")
DEFAULT_OUT = Path("denoisebench-results")
DEFAULT_WEIGHTS = Path("denoisebench-weights")


def read_config(context: typer.Context, value: Path | None) -> Path | None:
    """Make the options of an experiment file the defaults of the command line."""
    if value is not None:
        from denoisebench.experiment.file import read_experiment

        names = [name for parameter in context.command.params if (name := parameter.name) not in (None, *_FLAGS)]
        context.default_map = dict(read_experiment(value, [str(name) for name in names]).options)
    return value


Methods = Annotated[str, typer.Option(help="Methods, e.g. b2u,nbr2nbr or 'b2u[stride=2,eta=0],b2u'; all: each one.")]
Network = Annotated[
    str | None,
    typer.Option(help="Network of the learned methods that name none: dncnn, file.py:Class, ... ('list networks')."),
]
Noises = Annotated[
    str,
    typer.Option("--noise", help="Noise ids: gaussA, gaussA_B, poissonA, poissonA_B; real for data sets of captures."),
]
Datasets = Annotated[str, typer.Option(help="Test sets by name, or folders of images.")]
TrainData = Annotated[
    str, typer.Option(help="Training set or folder; auto: bsd400 if found, else the embedded photographs.")
]
BudgetText = Annotated[
    str | None,
    typer.Option(help=f"Training length: 300steps, 5epochs, 10min, or paper; {DEFAULT_BUDGET} if none is given."),
]
ImageBudget = Annotated[
    str | None,
    typer.Option(help="Length of a fit to a single image: 500steps, 2min or paper; --budget if none is given."),
]
WeightFolders = Annotated[
    list[Path] | None, typer.Option("--weights", help="Folder of trained networks, searched before the shipped ones.")
]
Batch = Annotated[int | None, typer.Option(min=1, max=limits.BATCH, help="Crops per training step (default 4).")]
Crop = Annotated[
    int | None, typer.Option(min=32, max=limits.CROP, help="Side of training crops (default 64; paper 128).")
]
LearningRate = Annotated[float | None, typer.Option(help="First learning rate (default 1e-3; paper 3e-4).")]
TrainingNoise = Annotated[
    str, typer.Option(help="fresh noise in every step, or one fixed noisy copy of each training image.")
]
Seed = Annotated[int, typer.Option(min=0, max=limits.SEED, help="Seed of noise, training and methods.")]
Precision = Annotated[
    str,
    typer.Option(help="Of passes through the network in training: float32, bfloat16, or auto: the faster one here."),
]
RecipeName = Annotated[
    str | None,
    typer.Option("--recipe", help="laptop (default), paper, or with changes: laptop[optimiser=adam,average=0]."),
]
Devices = Annotated[
    int, typer.Option(min=1, max=limits.DEVICES, help="Processes (GPUs) that share each training batch.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Out = Annotated[Path, typer.Option(help="Results folder; the same command again computes nothing.")]
Channels = Annotated[int, typer.Option(help="3 for colour, 1 for gray.")]
WeightsOut = Annotated[Path, typer.Option(help="Folder of weights, made if it does not exist.")]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", callback=read_config, is_eager=True, help="Experiment file (TOML); options win over it."),
]
Literature = Annotated[
    bool, typer.Option("--literature", help="Beside a table of the paper: values of other publications, marked.")
]
PluginFile = Annotated[
    list[Path] | None, typer.Option("--plugin", help="A Python file with one method, or a TOML file of a data set.")
]
ExecutorName = Annotated[
    str, typer.Option("--executor", help="serial, local or ray; auto: local for --workers or a limit, else serial.")
]
Workers = Annotated[
    int | None, typer.Option(max=limits.WORKERS, help="Processes on this machine; they give the same numbers.")
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, max=limits.THREADS, help="Torch threads of a task: OMP_NUM_THREADS, else the cores, up to 8."),
]
TimeLimit = Annotated[str | None, typer.Option("--time-limit", help="Longest time for an image: 30s, 10min, 2h.")]
MemoryLimit = Annotated[str | None, typer.Option(help="Most memory of a process: 800MB, 4GB.")]
Address = Annotated[str | None, typer.Option(help="Ray cluster; auto for the one of this machine.")]
DataRoot = Annotated[Path | None, typer.Option(help="Folder that holds the data sets.")]


def check_channels(channels: int) -> None:
    if channels not in (1, 3):
        raise UserError(f"--channels {channels}: allowed are 1 (gray) and 3 (colour).")


def make_choice(
    methods: str | None,
    noise: str | None,
    datasets: str | None,
    weights: list[Path] | None,
    device: str | None,
    data_root: Path | None,
) -> Choice:
    from denoisebench.audit.subject import Choice
    from denoisebench.data.dataset import data_roots
    from denoisebench.experiment import options
    from denoisebench.plugins import lookup
    from denoisebench.training.weights import Shelf, weights_folders

    check_root(data_root)
    roots = data_roots(data_root)
    return Choice(
        methods=lookup.split_list(methods) if methods else [],
        noises=[found.id for found in options.parse_noises(noise)] if noise else [],
        datasets=lookup.parse_datasets(datasets, roots) if datasets else [],
        roots=roots,
        shelf=Shelf(weights_folders(weights or [])),
        device=options.resolve_device(device) if device else None,
    )


def load_plugins(files: list[Path] | None) -> None:
    from denoisebench.plugins.registry import add_files

    add_files(files or [])
