"""The options of the command line and of experiment files, in groups of what they are about.

Annotations are evaluated here as they are read (no ``from __future__ import annotations``): evaluating their texts
later takes longer than all the rest of the start of the program.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from denoisebench.commands.grouping import OptionGroup
from denoisebench.core import limits

DEFAULT_BUDGET = "600steps"
DEFAULT_OUT = Path("denoisebench-results")
DEFAULT_WEIGHTS = Path("denoisebench-weights")

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.", rich_help_panel="Execution")]
Out = Annotated[
    Path, typer.Option(help="Results folder; the same command again computes nothing.", rich_help_panel="Output")
]
Channels = Annotated[int, typer.Option(help="3 for colour, 1 for gray.", rich_help_panel="What")]
Datasets = Annotated[str, typer.Option(help="Test sets by name, or folders of images.")]
Literature = Annotated[
    bool,
    typer.Option(
        "--literature",
        help="Beside a table of the paper: values of other publications, marked.",
        rich_help_panel="Table",
    ),
]
Methods = Annotated[str, typer.Option(help="Methods, e.g. b2u,nbr2nbr or 'b2u[stride=2,eta=0],b2u'; all: each one.")]
WeightFolders = Annotated[
    list[Path] | None, typer.Option("--weights", help="Folder of trained networks, searched before the shipped ones.")
]
WeightsOut = Annotated[
    Path, typer.Option(help="Folder of weights, made if it does not exist.", rich_help_panel="Output")
]


@dataclass(frozen=True, kw_only=True, eq=False)
class Selection(OptionGroup):
    """Which methods, under which noises, on which test sets."""

    panel: ClassVar[str] = "What"

    methods: Methods
    network: str | None = None
    noise: str = "gauss25"
    datasets: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class NoiseSelection(Selection):
    """Methods and noises."""

    network: Annotated[
        str | None,
        typer.Option(
            help="Network of the learned methods that name none: dncnn, file.py:Class, ... ('list networks')."
        ),
    ] = None
    noise: Annotated[
        str,
        typer.Option(
            "--noise",
            help="Noise ids: gaussA, gaussA_B, poissonA, poissonA_B, gammaA, gammaA_B; real for data sets of captures.",
        ),
    ] = "gauss25"


@dataclass(frozen=True, kw_only=True, eq=False)
class RunSelection(NoiseSelection):
    """Methods, noises and test sets of a run."""

    methods: Methods = "b2u,nbr2nbr"
    datasets: Datasets = "samples"
    captures: Annotated[
        str | None,
        typer.Option(
            help="Folders of noisy images alone: names of several captures of a view, '{view}_{capture}'; "
            "else those in a sub-folder are."
        ),
    ] = None


@dataclass(frozen=True, kw_only=True, eq=False)
class SubmitSelection(Selection):
    """Methods and test sets without public references."""

    noise: str = "real"
    datasets: Datasets = "sidd_raw_benchmark"


@dataclass(frozen=True, kw_only=True, eq=False)
class ProtocolOptions(OptionGroup):
    """How noisy images are made and scored."""

    panel: ClassVar[str] = "Protocol"

    repeats: Annotated[str, typer.Option(help="Noise draws (or captures) per image, or paper (10/3/20/50).")] = "1"
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Only so many images of each test set, the first ones."),
    ] = None
    noise_draws: Annotated[
        str,
        typer.Option(
            help="counter, stratified (levels of a range spread evenly over the images), or legacy (the released "
            "tests' stream)."
        ),
    ] = "counter"
    padding: Annotated[str, typer.Option(help="side, or square as in the released tests.")] = "side"
    tile: Annotated[
        str, typer.Option(help="Side of the tiles that networks get of large images: auto, none, or a number.")
    ] = "auto"


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingOptions(OptionGroup):
    """How networks are trained, and which trained ones are used."""

    panel: ClassVar[str] = "Training"

    weights: list[Path] | None = None
    train_data: Annotated[
        str,
        typer.Option(
            help="Training set or folder; auto: bsd400 (bsd400_color) if found, else the embedded photographs."
        ),
    ] = "auto"
    budget: Annotated[
        str | None,
        typer.Option(help=f"Training length: 300steps, 5epochs, 10min, or paper; {DEFAULT_BUDGET} if none is given."),
    ] = None
    image_budget: str | None = None
    batch: Annotated[int | None, typer.Option(min=1, max=limits.BATCH, help="Crops per training step (default 4).")] = (
        None
    )
    crop: Annotated[
        int | None, typer.Option(min=32, max=limits.CROP, help="Side of training crops (default 64; paper 128).")
    ] = None
    lr: Annotated[float | None, typer.Option(help="First learning rate (default 1e-3; paper 3e-4).")] = None
    training_noise: str = "fresh"
    precision: Annotated[
        str,
        typer.Option(
            help="Of passes through the network in training: float32, bfloat16, or auto: the faster one here."
        ),
    ] = "auto"
    start: str | None = None
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe", help="laptop (default), long, paper, or with changes: laptop[optimiser=adam,average=0]."
        ),
    ] = None
    devices: Annotated[
        int, typer.Option(min=1, max=limits.DEVICES, help="Processes (GPUs) that share each training batch.")
    ] = 1
    seed: Annotated[int, typer.Option(min=0, max=limits.SEED, help="Seed of noise, training and methods.")] = 0
    trainings: int = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkTraining(TrainingOptions):
    """Trainings for synthetic noise."""

    training_noise: Annotated[
        str, typer.Option(help="fresh noise in every step, or one fixed noisy copy of each training image.")
    ] = "fresh"


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightsTraining(NetworkTraining):
    """Trainings whose networks are kept."""

    weights: WeightFolders = None
    start: Annotated[
        str | None,
        typer.Option(help="Begin with each method's own trained network for this noise, e.g. gauss25; else at random."),
    ] = None


@dataclass(frozen=True, kw_only=True, eq=False)
class SubmitTraining(TrainingOptions):
    """Trainings for real noise, or weights, and fits to single images."""

    weights: WeightFolders = None
    image_budget: Annotated[
        str | None,
        typer.Option(help="Length of a fit to a single image: 500steps, 2min or paper; --budget if none is given."),
    ] = None


@dataclass(frozen=True, kw_only=True, eq=False)
class RunTraining(SubmitTraining, NetworkTraining):
    """Everything about the trainings of a run."""

    trainings: Annotated[
        int,
        typer.Option(
            min=1,
            max=limits.TRAININGS,
            help="Trainings of each learned method, from seeds one apart; shown as mean ± spread.",
        ),
    ] = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class ExecutionOptions(OptionGroup):
    """Where tasks run."""

    panel: ClassVar[str] = "Execution"

    device: Device = "auto"
    executor: Annotated[
        str, typer.Option("--executor", help="serial, local or ray; auto: local for --workers or a limit, else serial.")
    ] = "auto"
    workers: Annotated[
        int | None, typer.Option(max=limits.WORKERS, help="Processes on this machine; they give the same numbers.")
    ] = None
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, max=limits.THREADS, help="Torch threads of a task: OMP_NUM_THREADS, else the cores, up to 8."
        ),
    ] = None
    time_limit: str | None = None
    memory_limit: str | None = None
    address: Annotated[str | None, typer.Option(help="Ray cluster; auto for the one of this machine.")] = None


@dataclass(frozen=True, kw_only=True, eq=False)
class LimitedExecution(ExecutionOptions):
    """Where tasks run, and what they may use."""

    time_limit: Annotated[
        str | None, typer.Option("--time-limit", help="Longest time for an image: 30s, 10min, 2h.")
    ] = None
    memory_limit: Annotated[str | None, typer.Option(help="Most memory of a process: 800MB, 4GB.")] = None


@dataclass(frozen=True, kw_only=True, eq=False)
class PluginOptions(OptionGroup):
    """Methods and data sets of one's own."""

    panel: ClassVar[str] = "Data and plugins"

    plugin: Annotated[
        list[Path] | None, typer.Option("--plugin", help="A Python file with one method, or a TOML file of a data set.")
    ] = None


@dataclass(frozen=True, kw_only=True, eq=False)
class DataOptions(OptionGroup):
    """Where data are."""

    panel: ClassVar[str] = "Data and plugins"

    data_root: Annotated[Path | None, typer.Option(help="Folder that holds the data sets.")] = None


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceOptions(PluginOptions, DataOptions):
    """Where data and methods of one's own are."""

    on_unusual: Annotated[
        str,
        typer.Option(
            help="Images of a folder of one's own that are not 8-bit gray or RGB: stop, skip them, or convert what can "
            "be."
        ),
    ] = "stop"


@dataclass(frozen=True, kw_only=True, eq=False)
class SavingOptions(OptionGroup):
    """Which images of a run are kept."""

    panel: ClassVar[str] = "Output"

    save_images: Annotated[
        str | None,
        typer.Option(help="Keep the denoised, noisy and clean images of so many images of each test set, or of all."),
    ] = None
    image_format: Annotated[
        str, typer.Option(help="Of kept images: png, tiff (floats), or auto: PNG where 8-bit images are scored.")
    ] = "auto"


@dataclass(frozen=True, kw_only=True, eq=False)
class OutputOptions(SavingOptions):
    """What a run writes and shows."""

    out: Out = DEFAULT_OUT
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would be computed.")] = False
    literature: Literature = False


@dataclass(frozen=True, kw_only=True, eq=False)
class TableOptions(OptionGroup):
    """How a table is printed."""

    panel: ClassVar[str] = "Table"

    columns: Annotated[
        str | None,
        typer.Option(
            help="Only these: told, training, seconds, images, parameters, multiply-adds, memory, "
            "training-images, training-seconds, device, and test sets or noises by name, in that order; of a table "
            "of the paper: training, and its test sets."
        ),
    ] = None
    metric: Annotated[str, typer.Option(help="psnr, ssim or both.")] = "both"
    label: Annotated[
        list[str] | None, typer.Option(help="Printed name of a method: b2u=Ours, or 'b2u[stride=2]=Ours, fast'.")
    ] = None
    caption: Annotated[str, typer.Option(help="Title of the table.")] = ""
    form: Annotated[
        str | None,
        typer.Option("--format", help="md, latex, csv, html or typst; what suits the terminal if none is given."),
    ] = None
    page: Annotated[
        str,
        typer.Option(help="LaTeX and Typst: page, column (of two), wide (table*: both of them) or landscape."),
    ] = "page"
    whole: Annotated[bool, typer.Option("--whole", help="A table of the paper with what was not measured, too.")] = (
        False
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class PageOptions(OptionGroup):
    """One page of HTML."""

    panel: ClassVar[str] = "One page"

    html: Annotated[
        bool, typer.Option("--html", help="Also make report.html: one page to sort, filter and look at, offline.")
    ] = False
    opened: Annotated[bool, typer.Option("--open", help="Show it in a browser.")] = False
    images: Annotated[
        int | None,
        typer.Option(
            min=0, help="Images of each test set in it, denoised again; up to 3 within half a minute if not given."
        ),
    ] = None
    datasets: Annotated[
        str | None, typer.Option("--datasets", help="Folders of images of one's own that the run used, for --images.")
    ] = None
    weights: WeightFolders = None
