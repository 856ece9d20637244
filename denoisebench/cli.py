"""The command line: reads arguments, calls the rooms below, turns mistakes into one sentence and exit code 2."""

from __future__ import annotations

import atexit
import inspect
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from denoisebench import __version__
from denoisebench.commands import compare, figures
from denoisebench.core.errors import UserError

if TYPE_CHECKING:
    from denoisebench.audit.measure import Audit
    from denoisebench.audit.subject import Choice
    from denoisebench.execution.executors import Executor
    from denoisebench.experiment.cells import Experiment
    from denoisebench.experiment.file import ExperimentFile
    from denoisebench.results.store import Store

DEFAULT_BUDGET = "600steps"
# Options of `run` that an experiment file cannot hold.
_FLAGS = ("config", "plan", "literature")
DEFAULT_OUT = Path("denoisebench-results")
DEFAULT_WEIGHTS = Path("denoisebench-weights")

app = typer.Typer(
    help="Compare self-supervised image denoisers on identical noisy images under one declared protocol.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Find, check and fetch data sets.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")
weights_app = typer.Typer(help="Trained networks as verified files.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(weights_app, name="weights")
app.command()(compare.compare)
app.add_typer(figures.app, name="figure")


def _read_config(context: typer.Context, value: Path | None) -> Path | None:
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
Batch = Annotated[int | None, typer.Option(min=1, help="Crops per training step (default 4).")]
Crop = Annotated[int | None, typer.Option(min=32, help="Side of training crops (default 64; paper 128).")]
LearningRate = Annotated[float | None, typer.Option(help="First learning rate (default 1e-3; paper 3e-4).")]
TrainingNoise = Annotated[
    str, typer.Option(help="fresh noise in every step, or one fixed noisy copy of each training image.")
]
Seed = Annotated[int, typer.Option(help="Seed of noise, training and methods.")]
Precision = Annotated[
    str,
    typer.Option(help="Of passes through the network in training: float32, bfloat16, or auto: the faster one here."),
]
RecipeName = Annotated[
    str | None,
    typer.Option("--recipe", help="laptop (default), paper, or with changes: laptop[optimiser=adam,average=0]."),
]
Devices = Annotated[int, typer.Option(min=1, help="Processes (GPUs) that share each training batch.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Out = Annotated[Path, typer.Option(help="Results folder; the same command again computes nothing.")]
Channels = Annotated[int, typer.Option(help="3 for colour, 1 for gray.")]
WeightsOut = Annotated[Path, typer.Option(help="Folder of weights, made if it does not exist.")]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", callback=_read_config, is_eager=True, help="Experiment file (TOML); options win over it."),
]
Literature = Annotated[
    bool, typer.Option("--literature", help="Beside a table of the paper: values of other publications, marked.")
]
PluginFile = Annotated[list[Path] | None, typer.Option("--plugin", help="A Python file with one method.")]
ExecutorName = Annotated[
    str, typer.Option("--executor", help="serial, local or ray; auto: local for --workers or a limit, else serial.")
]
Workers = Annotated[int | None, typer.Option(help="Processes on this machine; they give the same numbers.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Torch threads of a task: OMP_NUM_THREADS, else the cores, up to 8.")
]
TimeLimit = Annotated[str | None, typer.Option("--time-limit", help="Longest time for an image: 30s, 10min, 2h.")]
MemoryLimit = Annotated[str | None, typer.Option(help="Most memory of a process: 800MB, 4GB.")]
Address = Annotated[str | None, typer.Option(help="Ray cluster; auto for the one of this machine.")]
DataRoot = Annotated[Path | None, typer.Option(help="Folder that holds the data sets.")]


@app.callback()
def _root() -> None:
    pass


@app.command()
def version() -> None:
    """Print the version."""
    print(f"denoisebench {__version__}")


@app.command()
def run(
    config: ConfigFile = None,
    methods: Methods = "b2u,nbr2nbr",
    network: Network = None,
    noise: Noises = "gauss25",
    datasets: Datasets = "samples",
    repeats: Annotated[str, typer.Option(help="Noise draws (or captures) per image, or paper (10/3/20/50).")] = "1",
    weights: WeightFolders = None,
    train_data: TrainData = "auto",
    budget: BudgetText = None,
    image_budget: ImageBudget = None,
    batch: Batch = None,
    crop: Crop = None,
    lr: LearningRate = None,
    training_noise: TrainingNoise = "fresh",
    precision: Precision = "auto",
    recipe: RecipeName = None,
    devices: Devices = 1,
    noise_draws: Annotated[str, typer.Option(help="counter, or legacy (the released tests' stream).")] = "counter",
    padding: Annotated[str, typer.Option(help="side, or square as in the released tests.")] = "side",
    tile: Annotated[
        str, typer.Option(help="Side of the tiles that networks get of large images: auto, none, or a number.")
    ] = "auto",
    seed: Seed = 0,
    trainings: Annotated[
        int, typer.Option(min=1, help="Trainings of each learned method, from seeds one apart; shown as mean ± spread.")
    ] = 1,
    device: Device = "auto",
    out: Out = DEFAULT_OUT,
    executor: ExecutorName = "auto",
    workers: Workers = None,
    threads: Threads = None,
    time_limit: TimeLimit = None,
    memory_limit: MemoryLimit = None,
    address: Address = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would be computed.")] = False,
    literature: Literature = False,
    plugin: PluginFile = None,
    data_root: DataRoot = None,
) -> None:
    """Run methods on test sets with synthetic or real noise and print a table.

    Learned methods use trained networks that fit; any option of training makes them train anew.
    """
    from denoisebench.core.memory import keep_freed_memory
    from denoisebench.core.progress import for_stderr
    from denoisebench.execution.runner import run as run_cells
    from denoisebench.reports.files import outdated, write_reports
    from denoisebench.results.store import Store

    keep_freed_memory()
    _load_plugins(plugin)
    training = _Training(
        budget, batch, crop, lr, train_data, training_noise, precision, devices, seed, trainings, recipe
    )
    experiment = _experiment(
        methods, noise, datasets, training, data_root, device,
        repeats=repeats, draws=noise_draws, padding=padding, weights=weights or [], image_budget=image_budget,
        tile=tile, network=network,
    )  # fmt: skip
    asked = _published(config)
    if literature and (asked is None or asked.paper is None):
        raise UserError("--literature goes with a table of the paper: denoisebench table N --literature.")
    absent: list[str] = []
    if plan:
        _print_plan(experiment, out)
        return
    if asked is not None and asked.paper is not None:
        experiment, absent = _present(experiment)
    where = _executor(executor, workers, threads, time_limit, memory_limit, address, experiment.device)
    store = Store(out)
    try:
        outcome = run_cells(experiment, store, for_stderr(), where)
    except KeyboardInterrupt:
        print(f"Stopped. What was computed is in {out}; the same command goes on there.", file=sys.stderr)
        raise typer.Exit(130) from None
    if outcome.cells or absent:
        if outcome.cells and (outcome.computed or outdated(store)):
            write_reports(store)
        notes = absent + [f"Skipped: {title}: {reason}." for title, reason in outcome.skipped]
        notes += [f"FAILED: {title}: {reason}." for title, reason in outcome.failed]
        if asked is None or asked.paper is None:
            _print_table(outcome.cells, notes)
            print(f"\nScores, table.md and table.tex: {out}")
        else:
            _print_paper_table(asked, outcome.cells, notes, store, literature)
    if outcome.failed or not outcome.cells:
        for title, reason in [*outcome.failed, *outcome.skipped]:
            print(f"{title}: {reason}", file=sys.stderr)
        raise typer.Exit(1)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def table(context: typer.Context, which: Annotated[str, typer.Argument(help="1 to 8.", metavar="N")]) -> None:
    """Measure a table of the Blind2Unblind paper and print it beside the published values; takes the options of run.

    What is stored is not computed again, trained networks are used where they fit, and cells that were not measured
    stay blank: --methods, --noise, --datasets and --repeats choose a part, --plan shows what would be computed.
    """
    from denoisebench.experiment.file import table_file

    code = app(["run", "--config", str(table_file(which)), *context.args], standalone_mode=False)
    if code:
        raise typer.Exit(code)


@app.command()
def paper(
    which: Annotated[str, typer.Argument(help="1 to 8.", metavar="N")],
    form: Annotated[str, typer.Option("--format", help="markdown, latex or csv.")] = "markdown",
) -> None:
    """Print a table of the Blind2Unblind paper as it is published, best bold, second underlined; measures nothing."""
    from denoisebench.reports.paper.printed import printed_table, text_of

    print(text_of(printed_table(which), form), end="")


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A results folder.")],
    published: Annotated[
        str | None, typer.Option("--table", metavar="N", help="Set it beside this table of the paper (1 to 8).")
    ] = None,
    literature: Literature = False,
    versus: Annotated[
        str | None, typer.Option(help="Add paired differences of every method to this one, with intervals.")
    ] = None,
) -> None:
    """Make scores.csv, table.md and table.tex of a results folder anew, and print the table."""
    from denoisebench.experiment.file import table_file
    from denoisebench.reports.files import flaws, write_reports
    from denoisebench.results.store import Store

    if literature and not published:
        raise UserError("--literature goes with a table of the paper: give --table N as well.")
    store = Store(folder, create=False)
    cells = store.all()
    if not cells:
        raise UserError(" ".join([f"Folder {folder} holds no finished results.", *store.damaged]))
    cells.sort(key=lambda cell: str(cell.about["written"]))
    differences = compare.differences(cells, [], versus) if versus else ""
    write_reports(store)
    notes = flaws(store)
    asked = _published(table_file(published) if published else None)
    if asked is None:
        _print_table(cells, notes)
    else:
        _print_paper_table(asked, cells, notes, store, literature)
    if differences:
        print()
        compare.show(differences)
    if store.damaged:
        raise typer.Exit(1)


@app.command()
def audit(
    results: Annotated[Path, typer.Argument(help="A results folder.", metavar="RUN")],
    methods: Annotated[str | None, typer.Option(help="Only these methods of the run; all if none is named.")] = None,
    noise: Annotated[str | None, typer.Option("--noise", help="Only these noises of the run.")] = None,
    datasets: Annotated[
        str | None, typer.Option(help="Only these test sets of the run; a folder of one's own by its path.")
    ] = None,
    images: Annotated[str, typer.Option(help="Images per test set, the same for every detail, or all.")] = "4",
    setting: Annotated[
        list[str] | None, typer.Option(help="Try this too: a setting that acts on a trained network, name=value.")
    ] = None,
    detail: Annotated[
        list[str] | None, typer.Option(help="Only this line of the ledger: a detail, or detail=alternative.")
    ] = None,
    retrain: Annotated[
        str | None, typer.Option(help="Train anew with the other training noise, another seed: noise,seed.")
    ] = None,
    paper: Annotated[bool, typer.Option("--paper", help="Set the effects beside the gap to the paper.")] = False,
    weights: WeightFolders = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps; that of the run if not given.")] = None,
    plugin: PluginFile = None,
    data_root: DataRoot = None,
) -> None:
    """Say where a difference comes from: toggle each detail of the protocol on a finished run, one at a time.

    Scores are computed again from images denoised again; what is stored in audit/ is not computed twice.
    """
    from denoisebench.audit.measure import FOLDER
    from denoisebench.audit.measure import audit as audit_cells
    from denoisebench.audit.subject import subjects
    from denoisebench.audit.toggles import Order, parse_images, parse_retrain, parse_settings
    from denoisebench.core.memory import keep_freed_memory
    from denoisebench.core.progress import for_stderr
    from denoisebench.reports.ledger import write_ledgers
    from denoisebench.results.store import Store

    keep_freed_memory()
    _load_plugins(plugin)
    choice = _choice(methods, noise, datasets, weights, device, data_root)
    order = Order(
        parse_images(images), parse_settings(setting or []), parse_retrain(retrain), choice.roots, detail or []
    )
    store = Store(results, create=False)
    try:
        found = audit_cells(store, subjects(store, choice), order, for_stderr())
    except KeyboardInterrupt:
        print(f"Stopped. What was computed is in {results / FOLDER}; the same command goes on there.", file=sys.stderr)
        raise typer.Exit(130) from None
    write_ledgers(found, results / FOLDER, paper)
    _print_ledgers(found, paper)
    print(f"\naudit.md, audit.csv and audit.tex: {results / FOLDER}")
    if found.failed:
        raise typer.Exit(1)


@app.command()
def train(
    methods: Methods,
    network: Network = None,
    noise: Noises = "gauss25",
    channels: Channels = 3,
    train_data: TrainData = "auto",
    budget: BudgetText = None,
    batch: Batch = None,
    crop: Crop = None,
    lr: LearningRate = None,
    training_noise: TrainingNoise = "fresh",
    precision: Precision = "auto",
    recipe: RecipeName = None,
    devices: Devices = 1,
    seed: Seed = 0,
    device: Device = "auto",
    executor: ExecutorName = "auto",
    workers: Workers = None,
    threads: Threads = None,
    address: Address = None,
    out: Out = DEFAULT_OUT,
    plugin: PluginFile = None,
    data_root: DataRoot = None,
) -> None:
    """Train learned methods into a results folder; `run` with the same settings then finds them there."""
    from denoisebench.core.progress import for_stderr
    from denoisebench.execution.runner import train_only
    from denoisebench.results.store import Store

    _check_channels(channels)
    _load_plugins(plugin)
    training = _Training(budget, batch, crop, lr, train_data, training_noise, precision, devices, seed, recipe=recipe)
    experiment = _experiment(methods, noise, None, training, data_root, device, network=network)
    where = _executor(executor, workers, threads, None, None, address, experiment.device)
    store = Store(out)
    try:
        done, failed = train_only(experiment, channels, store, for_stderr(), executor=where)
    except KeyboardInterrupt:
        print(f"Stopped. The checkpoint is in {out}; the same command goes on there.", file=sys.stderr)
        raise typer.Exit(130) from None
    for title, path in done.items():
        print(f"{title}: {path}")
    for title, reason in failed:
        print(f"FAILED: {title}: {reason}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)
    if not done:
        raise UserError(f"Nothing to train: none of {methods!r} is a learned method.")


@app.command()
def submit(
    methods: Methods,
    datasets: Datasets = "sidd_raw_benchmark",
    weights: WeightFolders = None,
    train_data: TrainData = "auto",
    budget: BudgetText = None,
    image_budget: ImageBudget = None,
    batch: Batch = None,
    crop: Crop = None,
    lr: LearningRate = None,
    precision: Precision = "auto",
    recipe: RecipeName = None,
    devices: Devices = 1,
    seed: Seed = 0,
    device: Device = "auto",
    out: Out = DEFAULT_OUT,
    plugin: PluginFile = None,
    data_root: DataRoot = None,
) -> None:
    """Denoise a test set without public references and write the file that its server takes."""
    from denoisebench.core.progress import for_stderr
    from denoisebench.publishing.submission import write_submissions
    from denoisebench.results.store import Store

    _load_plugins(plugin)
    training = _Training(budget, batch, crop, lr, train_data, "fresh", precision, devices, seed, recipe=recipe)
    experiment = _experiment(
        methods, "real", datasets, training, data_root, device, weights=weights or [], image_budget=image_budget
    )
    try:
        written, refused = write_submissions(replace(experiment, scored=False), Store(out), for_stderr())
    except KeyboardInterrupt:
        print(f"Stopped. What was computed is in {out}; the same command goes on there.", file=sys.stderr)
        raise typer.Exit(130) from None
    print("\n".join(map(str, written)))
    for title, reason in refused:
        print(f"{title}: {reason}", file=sys.stderr)
    if not written:
        raise typer.Exit(1)


@app.command("list")
def list_command(
    what: Annotated[str, typer.Argument(help="methods, datasets, noises or networks")] = "methods",
    plugin: PluginFile = None,
) -> None:
    """List methods, data sets, noises or networks."""
    from denoisebench import listing

    _load_plugins(plugin)
    print(listing.text_of(what))


@app.command("new-method")
def new_method(
    name: Annotated[str, typer.Argument(help="Name of the method and of its file.")],
    kind: Annotated[
        str, typer.Option(help="plain (acts on one image), learned (a trained network) or fitted (to each image).")
    ] = "plain",
    folder: Annotated[Path, typer.Option(help="Where to write NAME.py.")] = Path("."),
) -> None:
    """Write one small plugin file that runs at once."""
    from denoisebench.plugins.template import write_method

    path = write_method(name, kind, folder)
    print(f"Wrote {path}. Try:\n  denoisebench check-method {path}")
    print(f"  denoisebench run --plugin {path} --methods {name} --noise gauss25")


@app.command("check-method")
def check_method(
    method: Annotated[str, typer.Argument(help="A method name (with settings) or a plugin file.")],
) -> None:
    """Check that a method keeps the contract, with a verdict per rule."""
    from denoisebench.evaluation.contract import check

    if method.endswith(".py") or Path(method).is_file():
        from denoisebench.plugins.registry import METHODS

        method = METHODS.add_file(Path(method))
    failures = 0
    for verdict in check(method):
        failures += not verdict.passed
        detail = f": {verdict.detail}" if verdict.detail else ""
        print(f"{'PASS' if verdict.passed else 'FAIL'}  {verdict.rule}{detail}")
    print(f"{method}: {'keeps the contract' if not failures else f'{failures} rules broken'}")
    if failures:
        raise typer.Exit(1)


@data_app.command("where")
def data_where(data_root: DataRoot = None) -> None:
    """Print the folders that are searched for data sets."""
    from denoisebench.data.dataset import data_roots

    for root in data_roots(data_root):
        print(f"{root}{'' if root.is_dir() else '  (does not exist)'}")


@data_app.command("status")
def data_status(
    names: Annotated[list[str] | None, typer.Argument(help="Data sets; all if none is named.")] = None,
    data_root: DataRoot = None,
) -> None:
    """Say of each data set whether it is here, complete and unaltered."""
    from denoisebench import listing

    print(listing.data_status(names or [], data_root))


@data_app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(help="A data set.")],
    plan: Annotated[bool, typer.Option("--plan", help="Only say source, size, licence, checksum and place.")] = False,
    data_root: DataRoot = None,
) -> None:
    """Download a data set from its official source and check every image; goes on where it was interrupted."""
    from denoisebench.core.progress import for_stderr
    from denoisebench.listing import fetch_dataset, fetch_facts

    print(fetch_facts(name, data_root) if plan else fetch_dataset(name, data_root, for_stderr()))


@weights_app.command("list")
def weights_list(weights: WeightFolders = None) -> None:
    """List trained networks: what for, how trained, scores."""
    from denoisebench import listing

    print(listing.weights_text(weights or []))


@weights_app.command("verify")
def weights_verify(weights: WeightFolders = None) -> None:
    """Compare every file with its listed SHA-256."""
    from denoisebench.weights import verify_folder, weights_folders

    bad = 0
    for folder in weights_folders(weights or []):
        for name, verdict in verify_folder(folder):
            bad += verdict != "intact"
            print(f"{verdict:>8}  {folder / name}")
    if bad:
        raise typer.Exit(1)


@weights_app.command("train")
def weights_train(
    methods: Methods,
    network: Network = None,
    noise: Noises = "gauss25",
    channels: Channels = 3,
    train_data: TrainData = "auto",
    budget: BudgetText = None,
    batch: Batch = None,
    crop: Crop = None,
    lr: LearningRate = None,
    training_noise: TrainingNoise = "fresh",
    precision: Precision = "auto",
    recipe: RecipeName = None,
    devices: Devices = 1,
    seed: Seed = 0,
    device: Device = "auto",
    time_limit: Annotated[float | None, typer.Option(help="Minutes for all of them; a later call goes on.")] = None,
    out: WeightsOut = DEFAULT_WEIGHTS,
    plugin: PluginFile = None,
    data_root: DataRoot = None,
) -> None:
    """Train networks one after the other and write them as weights; noise by noise, methods in the order given."""
    from denoisebench.core.memory import keep_freed_memory
    from denoisebench.core.progress import for_stderr
    from denoisebench.publishing.weights import train_weights

    keep_freed_memory()
    _load_plugins(plugin)
    training = _Training(budget, batch, crop, lr, train_data, training_noise, precision, devices, seed, recipe=recipe)
    experiment = _experiment(methods, noise, None, training, data_root, device, network=network)
    _check_channels(channels)
    limit = None if time_limit is None else 60 * time_limit
    try:
        done, unfinished = train_weights(experiment, channels, out, limit, for_stderr())
    except KeyboardInterrupt:
        print(f"Stopped. Checkpoints are in {out}; the same command goes on there.", file=sys.stderr)
        raise typer.Exit(130) from None
    for title, weights in done.items():
        print(f"{title}: {weights.path}")
    for title, reason in unfinished:
        print(f"not finished: {title}: {reason}", file=sys.stderr)
    if unfinished:
        raise typer.Exit(1)


@weights_app.command("export")
def weights_export(
    results: Annotated[Path, typer.Argument(help="A results folder with trained networks in models/.")],
    out: WeightsOut = DEFAULT_WEIGHTS,
    plugin: PluginFile = None,
    data_root: DataRoot = None,
) -> None:
    """Turn the finished trainings of a results folder into weights."""
    from denoisebench.core.progress import for_stderr
    from denoisebench.publishing.weights import export

    _load_plugins(plugin)
    records = sorted((results / "models").glob("*.json"))
    if not records:
        raise UserError(f"Folder {results} holds no finished trainings (no models/*.json in it).")
    experiment = _experiment("identity", "gauss25", None, _Training(), data_root, "cpu")
    for record in records:
        print(export(record, out, experiment, for_stderr()).path)


@weights_app.command("score")
def weights_score(
    results: Annotated[Path, typer.Argument(help="A results folder made with these weights.")],
    out: WeightsOut = DEFAULT_WEIGHTS,
) -> None:
    """Copy the mean scores of a results folder into the records of the weights that made them."""
    from denoisebench.publishing.weights import record_scores

    said = record_scores(out, results)
    if not said:
        raise UserError(f"No score in {results} was made with weights of {out}.")
    print("\n".join(said))


@weights_app.command("import")
def weights_import(
    file: Annotated[Path, typer.Argument(help="A .pth of the released Blind2Unblind or Neighbor2Neighbor code.")],
    method: Annotated[str, typer.Option(help="What it was trained as, e.g. 'b2u[stride=4]'.")],
    noise: Annotated[str, typer.Option(help="Noise id it was trained for.")],
    train_data: Annotated[str, typer.Option(help="For --noise real: the data set it was trained on.")] = "",
    out: WeightsOut = DEFAULT_WEIGHTS,
) -> None:
    """Turn a released checkpoint into weights, without unpickling anything but tensors."""
    from denoisebench.plugins.lookup import parse_method
    from denoisebench.plugins.method import LearnedMethod
    from denoisebench.publishing.released import import_released
    from denoisebench.weights import settings_text

    found = parse_method(method)
    if not isinstance(found, LearnedMethod):
        raise UserError(f"Method {method!r} is not trained, so it has no weights.")
    weights = import_released(file, found, noise, out, train_data)
    print(f"{weights.path}\nUse it with --weights {out} --methods '{settings_text(weights)}'.")


def _check_channels(channels: int) -> None:
    if channels not in (1, 3):
        raise UserError(f"--channels {channels}: allowed are 1 (gray) and 3 (colour).")


@dataclass(frozen=True)
class _Training:
    """The options of training, as given."""

    budget: str | None = None
    batch: int | None = None
    crop: int | None = None
    lr: float | None = None
    data: str = "auto"
    noise: str = "fresh"
    precision: str = "auto"
    devices: int = 1
    seed: int = 0
    trainings: int = 1
    recipe: str | None = None


def _experiment(
    methods: str,
    noise: str,
    datasets: str | None,
    training: _Training,
    data_root: Path | None,
    device: str,
    repeats: str = "1",
    draws: str = "counter",
    padding: str = "side",
    weights: list[Path] | None = None,
    image_budget: str | None = None,
    tile: str = "auto",
    network: str | None = None,
) -> Experiment:
    from denoisebench.data.dataset import data_roots
    from denoisebench.experiment import options
    from denoisebench.experiment.cells import Experiment
    from denoisebench.plugins import lookup
    from denoisebench.training import parse_budget, recipe_from, usual_precision
    from denoisebench.weights import Shelf, weights_folders

    _check_root(data_root)
    roots = data_roots(data_root)
    device = options.resolve_device(device)
    own = weights is None or replace(training, seed=0) != _Training()
    if own and weights:
        raise UserError("--weights names trained networks, and the options of training ask for new ones; drop one.")
    if image_budget not in (None, "paper") and parse_budget(str(image_budget)).unit == "epochs":
        raise UserError(f"--image-budget {image_budget}: one image has no epochs; allowed are steps, min and paper.")
    return Experiment(
        methods=lookup.parse_methods(methods, network),
        noises=options.parse_noises(noise),
        datasets=lookup.parse_datasets(datasets, roots) if datasets is not None else [],
        recipe=recipe_from(
            training.budget or DEFAULT_BUDGET,
            training.batch,
            training.crop,
            training.lr,
            training.noise,
            training.seed,
            usual_precision(device) if training.precision == "auto" else training.precision,
            training.devices,
            training.recipe,
        ),
        image_budget=image_budget or training.budget,
        image_precision="float32" if training.precision == "auto" else training.precision,
        repeats=options.parse_repeats(repeats),
        train_data=None if training.data == "auto" else lookup.find_dataset(training.data, roots),
        draws=draws,
        seed=training.seed,
        trainings=training.trainings,
        padding=padding,
        tile=options.parse_tile(tile),
        device=device,
        roots=roots,
        shelf=None if own else Shelf(weights_folders(weights or [])),
    )


def _choice(
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
    from denoisebench.weights import Shelf, weights_folders

    _check_root(data_root)
    roots = data_roots(data_root)
    return Choice(
        methods=lookup.split_list(methods) if methods else [],
        noises=[found.id for found in options.parse_noises(noise)] if noise else [],
        datasets=lookup.parse_datasets(datasets, roots) if datasets else [],
        roots=roots,
        shelf=Shelf(weights_folders(weights or [])),
        device=options.resolve_device(device) if device else None,
    )


def _check_root(data_root: Path | None) -> None:
    if data_root is not None and not data_root.is_dir():
        raise UserError(f"--data-root {data_root} is not a folder.")


def _executor(
    name: str,
    workers: int | None,
    threads: int | None,
    time_limit: str | None,
    memory_limit: str | None,
    address: str | None,
    device: str,
) -> Executor:
    from denoisebench.core.limits import parse_memory_limit, parse_time_limit
    from denoisebench.execution.executors import Options, default_threads, make_executor

    options = Options(
        device=device,
        threads=threads or default_threads(),
        workers=workers,
        time_limit=None if time_limit is None else parse_time_limit(time_limit),
        memory_limit=None if memory_limit is None else parse_memory_limit(memory_limit),
        address=address,
    )
    return make_executor(name, options)


def _published(config: Path | None) -> ExperimentFile | None:
    from denoisebench.experiment.file import read_experiment

    names = list(inspect.signature(run).parameters)
    return None if config is None else read_experiment(config, names)


def _present(experiment: Experiment) -> tuple[Experiment, list[str]]:
    """The experiment without the data sets that are not here, whose columns stay blank, and why each is not."""
    from denoisebench.data.dataset import MissingData

    present, reasons = [], []
    for dataset in experiment.datasets:
        try:
            dataset.verify()
            if not dataset.referenced:
                raise UserError("its references are not public; denoisebench submit writes the file for its server.")
            present.append(dataset)
        except MissingData as error:
            print(f"Not measured: {dataset.title}: {error}", file=sys.stderr)
            reasons.append(
                f"Not measured: {dataset.title}: its data are not on this machine, see denoisebench data status "
                f"{dataset.name}"
            )
        except UserError as error:
            reasons.append(f"Not measured: {dataset.title}: {error}")
    return replace(experiment, datasets=present), reasons


def _print_plan(experiment: Experiment, out: Path) -> None:
    from tabulate import tabulate

    from denoisebench.execution.forecast import plan_lines
    from denoisebench.results.store import Store

    heads, rows, notes = plan_lines(experiment, Store(out))
    print(
        tabulate(
            rows,
            heads,
            tablefmt="simple" if sys.stdout.isatty() else "github",
            disable_numparse=True,
            colalign=["left"] * 3 + ["right"] * 3,
        )
    )
    print("\n" + "\n".join(notes))


def _print_paper_table(asked: ExperimentFile, cells: list, notes: list[str], store: Store, literature: bool) -> None:  # type: ignore[type-arg]
    from denoisebench.core.files import write_text
    from denoisebench.reports.paper import paper_table

    assert asked.paper is not None
    table = paper_table.paper_table(asked.paper, asked.title, cells, notes, literature)
    stem = f"paper-table{table.number}"
    for ending, text in (
        ("md", paper_table.markdown(table)),
        ("tex", paper_table.latex(table)),
        ("csv", paper_table.csv_text(table)),
    ):
        write_text(store.folder / f"{stem}.{ending}", text)
    if sys.stdout.isatty():
        from rich.console import Console

        Console().print(paper_table.terminal(table))
    else:
        print(paper_table.markdown(table), end="")
    print(f"\nAlso as {stem}.md, .tex and .csv in {store.folder}")


def _load_plugins(files: list[Path] | None) -> None:
    from denoisebench.plugins.registry import METHODS

    for path in files or []:
        METHODS.add_file(path)


def _print_table(cells: list, notes: list[str]) -> None:  # type: ignore[type-arg]
    from denoisebench.reports import render
    from denoisebench.reports.table import build_table

    table = build_table(cells, notes)
    if sys.stdout.isatty():
        from rich.console import Console

        console, other = Console(), render.terminal_beside(table)
        console.print(render.terminal(table), *([other] if other else []))
    else:
        print(render.markdown(table), end="")


def _print_ledgers(found: Audit, paper: bool) -> None:
    from denoisebench.reports import ledger as ledgers

    if not sys.stdout.isatty():
        print(ledgers.markdown(found, paper), end="")
        return
    from rich.console import Console

    Console().print(*ledgers.terminal(found, paper), sep="\n")


def main() -> None:
    """Entry point of the `denoisebench` command."""
    # Once everything is done and said, Ctrl-C has nothing to stop.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    try:
        code = app(standalone_mode=False)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        code = 2
    except typer.Abort:
        print("Stopped. The same command goes on where it was.", file=sys.stderr)
        code = 130
    except Exception as error:
        # A mistake on the command line, of a class that typer carries under names that change.
        show = getattr(error, "show", None)
        if show is None:
            raise
        show()
        code = getattr(error, "exit_code", 2)
    if code:
        raise SystemExit(code)


if __name__ == "__main__":
    main()
