"""The functions behind ``import denoisebench as db``: experiments, single images, noise and scores in Python.

They do what the command line does, with the same names for options, and say nothing unless they are asked to. Every
mistake in what they are given raises `UserError`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np

from denoisebench.core.errors import ContractError, Mistakes, TrainingFailed, UserError, unknown
from denoisebench.core.lazy import torch
from denoisebench.core.limits import SEED, whole_number
from denoisebench.core.text import counted
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import LearnedMethod, Method, Need, PerImageMethod, setting_flaw, show_value
from denoisebench.plugins.registry import DATASETS, METHODS
from denoisebench.protocol.images import AnyImage, FloatImage, UIntImage, to_float, to_uint8
from denoisebench.protocol.noise import REAL, Draw, Noise, parse_noise

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas
    from numpy.typing import ArrayLike

    from denoisebench.evaluation.evaluate import Route
    from denoisebench.execution.executors import Executor
    from denoisebench.experiment.cells import Experiment
    from denoisebench.reports.table import Table
    from denoisebench.results.store import StoredCell
    from denoisebench.training.weights import Weights

#: One text with commas, or a list of texts.
Texts = str | Sequence[str]
_ALLOWED = "allowed are (H, W) and (H, W, 1) for gray and (H, W, 3) for RGB images"
_TYPES = "allowed are uint8, uint16 and float with white = 1.0"
#: White is 1.0 in float images, and no drawn noise changes the mean.
_LARGEST_MEAN = 2.0


class RunOptions(TypedDict, total=False):
    """The options of `run`, by their names on the command line; ``denoisebench run --help`` explains each.

    Parameters
    ----------
    network : str
        Network of the learned methods that name none.
    repeats : int or str
        Noise draws per image, or 'paper'.
    limit : int
        Images of each test set, the first ones.
    weights : sequence of str or Path
        Folders of trained networks, searched before the shipped ones.
    train_data : str or Path
        Training set or folder.
    budget, image_budget : str
        Length of a training and of a fit to one image: '300steps', '10min', 'paper'.
    batch, crop, lr, training_noise, precision, recipe, devices : int, float or str
        Of trainings.
    noise_draws, padding : str
        'counter', 'stratified' or 'legacy'; 'side' or 'square'.
    tile : int or str
        Side of the tiles that networks get of large images, 'auto' or 'none'.
    seed, trainings : int
        Seed of noise, training and methods; trainings of each learned method.
    device : str
        'auto', 'cpu', 'cuda' or 'mps'.
    executor, address : str
        Where the work is done: 'auto', 'serial', 'local' or 'ray'; a Ray cluster.
    workers, threads : int
        Processes, and torch threads of each.
    time_limit, memory_limit : str
        Per image ('10min') and per process ('4GB').
    plugin : sequence of str or Path
        Python files with one method each, and TOML files of data sets.
    data_root : str or Path
        Folder that holds the data sets.
    on_unusual : str
        Images of a folder that are not 8-bit gray or RGB: 'stop', 'skip' them, or 'convert' what can be.
    save_images : int or str
        Keep the images of so many images of each test set, or of 'all'; none if not given.
    image_format : str
        Of kept images: 'png', 'tiff' or 'auto'.
    """

    network: str | None
    repeats: int | str
    limit: int | None
    weights: Sequence[str | Path]
    train_data: str | Path
    budget: str | None
    image_budget: str | None
    batch: int | None
    crop: int | None
    lr: float | None
    training_noise: str
    precision: str
    recipe: str | None
    devices: int
    noise_draws: str
    padding: str
    tile: int | str
    seed: int
    trainings: int
    device: str
    executor: str
    workers: int | None
    threads: int | None
    time_limit: str | None
    memory_limit: str | None
    address: str | None
    plugin: Sequence[str | Path]
    data_root: str | Path | None
    on_unusual: str
    save_images: int | str | None
    image_format: str


class Results:
    """Scores of an experiment; a notebook shows them as a table.

    Made by `run` and `load_results`.

    Attributes
    ----------
    folder : Path
        Where they are stored.
    computed : int
        Rows that were computed now; the others were stored already.
    skipped, failed : sequence of (str, str)
        What has no scores, and why.
    """

    def __init__(
        self,
        folder: Path,
        cells: Sequence[StoredCell],
        computed: int = 0,
        skipped: Sequence[tuple[str, str]] = (),
        failed: Sequence[tuple[str, str]] = (),
        notes: Sequence[str] = (),
    ) -> None:
        from denoisebench.results.summary import current

        self.folder, self.computed, self.skipped, self.failed = folder, computed, list(skipped), list(failed)
        self._every, self._notes = list(cells), list(notes)
        self._cells = current(self._every)[0]

    def __repr__(self) -> str:
        rows = sum(len(cell.rows) for cell in self._cells)
        lacking = "".join(f", {len(cells)} {what}" for what in ("skipped", "failed") if (cells := getattr(self, what)))
        return f"Results({str(self.folder)!r}: {counted(len(self._cells), 'cell')}, {counted(rows, 'score')}{lacking})"

    def to_dataframe(self) -> pandas.DataFrame:
        """One row per method, noise, data set, image and repeat.

        Returns
        -------
        pandas.DataFrame
            Columns as in scores.csv, among them method, noise, dataset, image, repeat, psnr (dB), ssim and seconds.
            Average only within one value of ``protocol``: others are not comparable.
        """
        from denoisebench.reports.frame import frame_of

        return frame_of(self._cells)

    def table(self, form: str = "markdown") -> str:
        """The comparison table as text.

        Parameters
        ----------
        form : str
            'markdown', 'latex' or 'html'.

        Raises
        ------
        UserError
            There is no such form.
        """
        from denoisebench.reports import render

        forms = {"markdown": render.markdown, "latex": render.latex, "html": render.html}
        if form not in forms:
            raise unknown("form of a table", form, forms)
        return forms[form](self._table())

    def _table(self) -> Table:
        from denoisebench.reports.table import build_table

        return build_table(self._every, self._notes)

    def _repr_html_(self) -> str:
        return self.table("html")


def run(
    methods: Texts | Method | Sequence[str | Method] = ("b2u", "nbr2nbr"),
    noise: Texts = "gauss25",
    datasets: Texts | Path | Sequence[str | Path] = "samples",
    *,
    out: str | Path = "denoisebench-results",
    progress: bool = False,
    **options: Unpack[RunOptions],
) -> Results:
    """Run methods on noisy images and score the results, as ``denoisebench run`` does.

    What is stored in ``out`` is not computed again. A cell that fails costs no other cell its scores: it is listed in
    `Results.failed`, and a warning says so.

    Parameters
    ----------
    methods, noise, datasets : str or sequence of str
        As on the command line: one text with commas, or a list. A data set is also a folder of images, and a method an
        instance of a registered class.
    out : str or Path
        Results folder, made if it does not exist.
    progress : bool
        Report progress on standard error.
    **options
        The other options of the command, see `RunOptions`: ``repeats=3``, ``budget="300steps"``, ``workers=4``.

    Returns
    -------
    Results

    Raises
    ------
    UserError
        A value is not allowed, data are missing, or ``out`` cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skimage import data, io
    >>> import denoisebench as db
    >>> pictures = Path(tempfile.mkdtemp())
    >>> io.imsave(pictures / "face.png", data.astronaut()[64:112, 160:208], check_contrast=False)
    >>> results = db.run("nlm", noise=["gauss25"], datasets=pictures, out=pictures / "results")
    >>> scores = results.to_dataframe().set_index("method").psnr
    >>> bool(scores["nlm"] > scores["identity"] + 3)
    True
    >>> print(results.table().splitlines()[0].split("|")[1].strip())
    Method
    """
    from denoisebench.core.progress import Quiet, for_stderr
    from denoisebench.execution.runner import run as run_cells
    from denoisebench.reports.files import outdated, write_reports
    from denoisebench.results.store import Store

    allowed = list(RunOptions.__annotations__)
    for name in options:
        if name not in allowed:
            raise unknown("option of run", name, [*allowed, "methods", "noise", "datasets", "out", "progress"])
    given = {
        **options,
        "methods": _texts(methods, "methods"),
        "noise": _texts(noise, "noise"),
        "datasets": _texts(datasets, "datasets"),
    }
    experiment, executor = _planned(given)
    store = Store(_folder("out", out))
    outcome = run_cells(experiment, store, for_stderr() if progress else Quiet(), executor)
    said = [f"{title} failed: {reason}" for title, reason in outcome.failed]
    if outcome.cells and (outcome.computed or outdated(store)):
        said += write_reports(store)[1]
    for sentence in said:
        warnings.warn(sentence, RuntimeWarning, stacklevel=2)
    return Results(store.folder, outcome.cells, outcome.computed, outcome.skipped, outcome.failed, outcome.notes)


def _planned(given: Mapping[str, Any]) -> tuple[Experiment, Executor | None]:
    """Experiment and executor of the options of `run`."""
    from denoisebench.commands import making
    from denoisebench.commands.grouping import group_of
    from denoisebench.commands.options import (
        LimitedExecution,
        ProtocolOptions,
        RunSelection,
        RunTraining,
        SavingOptions,
        SourceOptions,
    )

    mistakes = Mistakes()
    sources = group_of(SourceOptions, given, mistakes)
    making.load_plugins(sources.plugin)
    execution = group_of(LimitedExecution, given, mistakes)
    device = making.make_device(execution.device, mistakes)
    executor = making.make_executor(execution, device, mistakes)
    experiment = making.make_experiment(
        group_of(RunSelection, given, mistakes), group_of(RunTraining, given, mistakes), sources, device,
        mistakes, group_of(ProtocolOptions, given, mistakes), group_of(SavingOptions, given, mistakes), shipped=True,
    )  # fmt: skip
    return experiment, executor


def load_results(folder: str | Path) -> Results:
    """Read a results folder, of `run` or of the command line.

    Parameters
    ----------
    folder : str or Path
        As given to ``out``.

    Returns
    -------
    Results

    Raises
    ------
    UserError
        The folder holds no results, or a damaged file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skimage import data, io
    >>> import denoisebench as db
    >>> pictures = Path(tempfile.mkdtemp())
    >>> io.imsave(pictures / "face.png", data.astronaut()[64:112, 160:208], check_contrast=False)
    >>> _ = db.run("identity", datasets=pictures, repeats=2, out=pictures / "results")
    >>> db.load_results(pictures / "results").to_dataframe().repeat.tolist()
    [0, 1]
    """
    from denoisebench.results.store import Store

    store = Store(_folder("folder", folder), create=False)
    cells = sorted(store.intact(), key=lambda cell: str(cell.about["written"]))
    if not cells:
        raise UserError(f"Folder {folder} holds no finished results.")
    return Results(store.folder, cells)


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network and what it was trained for.

    Made by `load_network`.

    Parameters
    ----------
    name : str
        Of its file, without the ending.
    method : str
        Method with the settings it was trained with, as on the command line.
    noise : str
        Noise it was trained for.
    channels : int
        3 for colour, 1 for gray.
    record : mapping
        All that its training recorded.
    module : torch.nn.Module
        The network, in evaluation mode.
    """

    name: str
    method: str
    noise: str
    channels: int
    record: Mapping[str, Any] = field(repr=False)
    module: torch.nn.Module = field(repr=False)


def load_network(name: str, *, weights: Sequence[str | Path] = (), device: str = "auto") -> TrainedNetwork:
    """Load a trained network by its name in ``denoisebench weights list``; a file that was altered is refused.

    Parameters
    ----------
    name : str
        Such as 'b2u-gauss25-rgb'.
    weights : sequence of str or Path
        Folders of trained networks, searched before DENOISEBENCH_WEIGHTS and the shipped ones.
    device : str
        'auto', 'cpu', 'cuda' or 'mps'.

    Returns
    -------
    TrainedNetwork

    Raises
    ------
    UserError
        There is no such network, or its file is damaged.

    Examples
    --------
    >>> import denoisebench as db
    >>> network = db.load_network("b2u-gauss25-rgb")
    >>> network.noise, network.channels, type(network.module).__name__
    ('gauss25', 3, 'UNet')
    """
    from denoisebench.experiment.options import resolve_device
    from denoisebench.training.weights import read_folder, weights_folders

    several = weights if isinstance(weights, list | tuple) else [weights]
    folders = [_folder("weights", one) for one in several]
    contents = [read_folder(folder) for folder in weights_folders(folders)]
    found = next((content[name] for content in contents if name in content), None)
    if found is None:
        known = sorted({stem for content in contents for stem in content})
        raise unknown("trained network", name, known, "`denoisebench weights train` makes others; give their folder.")
    return _trained(found, resolve_device(device))


def denoise(
    image: ArrayLike,
    method: str | Method,
    noise: str | None = None,
    network: str | TrainedNetwork | torch.nn.Module | None = None,
    *,
    image_budget: str | None = None,
    seed: int = 0,
    device: str = "auto",
) -> FloatImage:
    """Denoise one image, on the same way as `run`: padding, tiles, and what the method is told are the same.

    Parameters
    ----------
    image : array_like
        Noisy image, (H, W) or (H, W, 1) for gray, (H, W, 3) for RGB; uint8, uint16, or float with white = 1.0.
    method : str or Method
        As on the command line, ``"bm3d"`` or ``"b2u[output=mid]"``, or an instance of a method's class.
    noise : str or None
        Noise of the image, such as 'gauss25' (sigma in 8-bit units) or 'poisson30'; 'real' if nobody knows it. A method
        is told of it what it declares, and nothing else. None is the noise of a `TrainedNetwork`, else 'real'.
    network : str, TrainedNetwork, torch.nn.Module or None
        Of a learned method: a name for `load_network`, what that returned, or a network of one's own. None takes the
        trained one that fits method, noise and channels.
    image_budget : str or None
        Of a method that is fitted to each image: '500steps', '2min', 'paper'.
    seed : int
        Of the method's own draws.
    device : str
        'auto', 'cpu', 'cuda' or 'mps'.

    Returns
    -------
    ndarray of float32
        Same shape as the image, white = 1.0, neither clipped nor rounded.

    Raises
    ------
    UserError
        The image, the method or the noise cannot be used, no trained network fits, or the method fails.

    Examples
    --------
    >>> from skimage import data
    >>> import denoisebench as db
    >>> clean = data.camera()[100:148, 200:264]
    >>> noisy = db.add_noise(clean, "gauss25", seed=0)
    >>> result = db.denoise(noisy, "nlm", noise="gauss25")
    >>> result.shape, result.dtype
    ((48, 64), dtype('float32'))
    >>> db.psnr(result, clean) > db.psnr(noisy, clean) + 3
    True
    """
    from denoisebench.evaluation.evaluate import Fitting, Route
    from denoisebench.evaluation.fit import fit_recipe
    from denoisebench.experiment.options import resolve_device

    noisy = _image(image)
    found, seed = _method(method), _seed(seed)
    device = resolve_device(device)
    if isinstance(network, str):
        network = load_network(network, device=device)
    if network is not None and not isinstance(found, LearnedMethod):
        raise UserError(f"Method {found.text!r} has no network; leave network out.")
    told, level = _told(noise, network)
    channels = noisy.shape[2]
    _check_suitable(found, told, level, channels)
    module = None
    if isinstance(found, LearnedMethod):
        module = _module(found, network, told, channels, device)
        device = next((parameter.device.type for parameter in module.parameters()), device)
    if image_budget is not None and not isinstance(found, PerImageMethod):
        raise UserError(f"Method {found.text!r} is not fitted to each image; leave image_budget out.")
    budget = None if image_budget is None else str(image_budget)
    fitting = Fitting(fit_recipe(found, budget)) if isinstance(found, PerImageMethod) else None
    route = Route(found, module, told, seed=seed, device=device, fitting=fitting)
    done = _denoised(route, Draw(noisy, level))
    return np.ascontiguousarray(done, dtype=np.float32).reshape(np.shape(image))


def _denoised(route: Route, draw: Draw) -> FloatImage:
    """The denoised image, its network in evaluation mode meanwhile; whatever fails is a `UserError`."""
    from denoisebench.evaluation.evaluate import Place, denoise

    module, name = route.network, route.method.text
    was_training = module is not None and module.training
    try:
        if module is not None:
            module.eval()
        return denoise(route, draw, Place("", "", 0)).image
    except UserError:
        raise
    except (ContractError, TrainingFailed) as error:
        raise UserError(f"{name} failed: {error}") from error
    except Exception as error:  # a plugin may raise anything
        raise UserError(f"{name} failed: {type(error).__name__}: {error}") from error
    finally:
        if module is not None:
            module.train(was_training)


def add_noise(image: ArrayLike, noise: str, seed: int = 0) -> FloatImage:
    """Make an image noisy as the protocol does: neither clipped nor rounded, unless the noise says so.

    Parameters
    ----------
    image : array_like
        Clean image, (H, W), (H, W, 1) or (H, W, 3); uint8, uint16, or float in 0..1.
    noise : str
        Such as 'gauss25', 'gauss5_50', 'poisson30', 'gamma4' or 'gauss25-clip'.
    seed : int
        Equal seeds give equal noise.

    Returns
    -------
    ndarray of float32
        Same shape, white = 1.0.

    Raises
    ------
    UserError
        The image or the noise cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> import denoisebench as db
    >>> noisy = db.add_noise(np.full((64, 64), 128, np.uint8), "gauss25", seed=0)
    >>> bool(abs(255 * noisy.std() - 25) < 1)
    True
    """
    from denoisebench.protocol.draws import CounterDraws

    parsed = parse_noise(_text("noise", noise, "gauss25"))
    if parsed.real:
        raise UserError("The noise 'real' cannot be drawn, nobody knows its model; give one such as 'gauss25'.")
    array, _ = _checked(image)
    clean: AnyImage = array
    if array.dtype != np.uint8:
        if array.min() < 0 or (array.dtype.kind == "f" and array.max() > 1):
            raise UserError(f"A clean image has values from 0 to 1, not from {array.min():g} to {array.max():g}.")
        # In 8-bit units, which the protocol divides by 255.
        clean = array * 255.0 if array.dtype.kind == "f" else array * (255.0 / np.iinfo(array.dtype).max)
    return CounterDraws(_seed(seed)).draw("", "", 0, clean, parsed).noisy.reshape(np.shape(image))


def psnr(result: ArrayLike, clean: ArrayLike) -> float:
    """Peak signal-to-noise ratio of the tables: both images clipped and rounded to 8 bits, all pixels and channels.

    Parameters
    ----------
    result, clean : array_like
        Same shape, (H, W), (H, W, 1) or (H, W, 3); uint8, uint16, or float with white = 1.0.

    Returns
    -------
    float
        In dB; infinity for equal images.

    Raises
    ------
    UserError
        The images cannot be used or differ in shape.

    Examples
    --------
    >>> import numpy as np
    >>> import denoisebench as db
    >>> clean = np.zeros((16, 16), np.uint8)
    >>> round(db.psnr(clean + np.uint8(25), clean), 2)
    20.17
    """
    from denoisebench.protocol import metrics

    return metrics.psnr(*_rounded(result, clean))


def ssim(result: ArrayLike, clean: ArrayLike) -> float:
    """Structural similarity of the tables: 11x11 Gaussian window, inside positions only, mean over the channels.

    Parameters
    ----------
    result, clean : array_like
        As in `psnr`, at least 11 pixels on each side.

    Returns
    -------
    float

    Raises
    ------
    UserError
        The images cannot be used, are too small or differ in shape.

    Examples
    --------
    >>> from skimage import data
    >>> import denoisebench as db
    >>> clean = data.camera()[:32, :32]
    >>> db.ssim(clean, clean)
    1.0
    """
    from denoisebench.protocol import metrics

    return metrics.ssim(*_rounded(result, clean))


def list_methods() -> list[str]:
    """Names of all methods: built in, installed, and loaded from files.

    Returns
    -------
    list of str
        For `run` and `denoise`; ``denoisebench list methods`` says more about each.

    Examples
    --------
    >>> import denoisebench as db
    >>> "b2u" in db.list_methods()
    True
    """
    return METHODS.names()


def list_datasets() -> list[str]:
    """Names of all data sets, whether or not their images are on this machine.

    Returns
    -------
    list of str
        For `run`; ``denoisebench data status`` says where each is.

    Examples
    --------
    >>> import denoisebench as db
    >>> "samples" in db.list_datasets()
    True
    """
    return DATASETS.names()


# --- what is given, checked ---


def _folder(what: str, value: object) -> Path:
    if not isinstance(value, str | Path) or value == "":
        raise UserError(f"{what}={value!r} is no folder; give its path, or '.' for the current folder.")
    return Path(value)


def _text(what: str, value: object, example: str) -> str:
    if not isinstance(value, str):
        kind = value.__name__ + " without ()" if isinstance(value, type) else type(value).__name__
        raise UserError(f"{what}: give a text such as {example!r}; {kind} is none.")
    return value


def _texts(given: object, name: str) -> str:
    """One text of what is a text, a path, or a list of these."""
    parts = given if isinstance(given, Sequence) and not isinstance(given, str | bytes) else [given]
    if name == "methods":
        parts = [_registered(part) if isinstance(part, Method) else part for part in parts]
    for part in parts:
        if not isinstance(part, str | Path):
            raise UserError(f"{name}: give one text, or a list of texts; {type(part).__name__} is none.")
    if not parts:
        raise UserError(f"{name} is empty; name one at least, or leave it out for the default.")
    return ",".join(map(str, parts))


def _registered(method: Method) -> str:
    """The text of a method whose class can be found by its name, as by worker processes."""
    found = _method(method)
    if found.name not in METHODS.names() or METHODS.get(found.name) is not type(found):
        raise UserError(
            f"methods: the class {type(found).__name__} is known in this session alone; write it into a file, and give "
            f"plugin=['{found.name}.py'] and the text {found.text!r}. `denoise` takes it as it is."
        )
    return found.text


def _method(given: object) -> Method:
    """A method by its text, or an instance whose settings are of the types that its class declares."""
    if not isinstance(given, Method):
        return parse_method(_text("method", given, "bm3d"))
    METHODS.check(type(given), f"class {type(given).__name__}")
    changed = given.changed()
    if not any(map(setting_flaw, changed.values())):
        read = given.from_settings({name: show_value(value) for name, value in changed.items()})
        for name, value in changed.items():
            if getattr(read, name) != value:
                raise UserError(f"{given.name}: {name}={value!r} is no {type(getattr(read, name)).__name__}.")
    return given


def _seed(given: object) -> int:
    return whole_number("seed", str(given), 0, SEED)


def _array(given: ArrayLike) -> npt.NDArray[Any]:
    """What is given as an array; what NumPy would misread is refused."""
    if isinstance(given, str | Path):
        raise UserError(f"{str(given)!r} is no image; read the file first, such as with skimage.io.imread.")
    if getattr(given, "mode", None) == "P" and hasattr(given, "convert"):
        raise UserError("A palette image of Pillow holds no colours; give image.convert('RGB').")
    if np.ma.is_masked(given):
        raise UserError("The image is a masked array with masked pixels; fill them first: image.filled(0.5).")
    try:
        return np.asarray(given)
    except Exception as error:  # lists of unequal length; tensors that need a gradient, or are on a GPU
        raise UserError(f"The image, a {type(given).__name__}, cannot be read as an array: {error}") from error


def _type_remedy(array: npt.NDArray[Any]) -> str:
    if array.dtype.kind not in "iub":
        return ""
    if array.dtype.kind == "b":
        return " Give image.astype(float)."
    return " Give image.astype('uint8') if white is 255, image.astype('uint16') if it is 65535, else divide by white."


def _shape_remedy(shape: tuple[int, ...]) -> str:
    if 0 in shape:
        return " It is empty."
    if len(shape) == 3 and shape[0] in (1, 3):
        return " Move the channels to the end: image.transpose(1, 2, 0)."
    if len(shape) == 3 and shape[2] in (2, 4):
        return f" Leave out the alpha channel: image[..., :{shape[2] - 1}]."
    return " Give one image at a time." if len(shape) > 2 else ""


def _checked(given: ArrayLike) -> tuple[AnyImage, bool]:
    """An image as (H, W, C) of the type that was given, and whether that is float."""
    array = _array(given)
    if array.dtype not in (np.uint8, np.uint16) and array.dtype.kind != "f":
        raise UserError(f"An image of type {array.dtype} cannot be used; {_TYPES}.{_type_remedy(array)}")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3)) or not array.size:
        raise UserError(f"An image of shape {array.shape} cannot be used; {_ALLOWED}.{_shape_remedy(array.shape)}")
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise UserError(
                "The image holds values that are NaN or infinite; replace them first, such as with np.nan_to_num."
            )
        mean = array.mean(dtype=np.float64)
        if abs(mean) > _LARGEST_MEAN:
            raise UserError(
                f"The mean of the float image is {mean:g}; white is 1.0, so divide it by 255, or what white is in it."
            )
    return array.reshape(*array.shape[:2], -1), array.dtype.kind == "f"


def _image(given: ArrayLike) -> FloatImage:
    """An image as (H, W, C) float32 in memory of its own: what methods get is made read-only."""
    return np.array(to_float(_checked(given)[0]), dtype=np.float32, order="C")


def _rounded(result: ArrayLike, clean: ArrayLike) -> tuple[UIntImage, UIntImage]:
    arrays = [_array(image) for image in (result, clean)]
    if arrays[0].shape != arrays[1].shape:
        raise UserError(
            f"The result has the shape {arrays[0].shape}, the clean image {arrays[1].shape}; both must have the same."
        )
    first, second = (to_uint8(to_float(_checked(array)[0])) for array in arrays)
    return first, second


def _told(text: str | None, network: TrainedNetwork | torch.nn.Module | None) -> tuple[Noise, float | None]:
    """The noise of an image as methods are told of it, and its level, None where nobody knows it."""
    trained = parse_noise(network.noise) if isinstance(network, TrainedNetwork) else None
    noise = parse_noise(_text("noise", text, "gauss25")) if text is not None else trained or REAL
    level = None if noise.ranged else noise.low / 255.0 if noise.family == "gauss" else noise.low
    covered = trained and trained.family == noise.family and trained.low <= noise.low <= noise.high <= trained.high
    # A network for a range of levels is told, as in evaluation, the level of the image and that levels are ranged.
    return (trained, level) if trained and covered and trained.ranged else (noise, level)


def _check_suitable(method: Method, noise: Noise, level: float | None, channels: int) -> None:
    reason = method.unsuitable(noise, channels)
    if not reason and level is None and Need.LEVEL in method.told(noise.family):
        reason = "must be told the noise level of the image"
    if reason:
        hint = " Name the noise with its level, such as noise='gauss25'." if level is None else ""
        raise UserError(f"Method {method.text!r} cannot denoise this image: it {reason}.{hint}")


def _trained(weights: Weights, device: str) -> TrainedNetwork:
    from denoisebench.training.weights import settings_text

    text, channels = settings_text(weights), int(weights.record["channels"])
    method = parse_method(text)
    if not isinstance(method, LearnedMethod):
        raise UserError(f"The record of {weights.path} names {text!r}, which is no learned method.")
    module = weights.load(method, channels, device)
    return TrainedNetwork(weights.path.stem, text, str(weights.record["noise"]), channels, weights.record, module)


def _module(
    method: LearnedMethod,
    network: TrainedNetwork | torch.nn.Module | None,
    noise: Noise,
    channels: int,
    device: str,
) -> torch.nn.Module:
    """The network that a learned method is to use."""
    if network is None:
        network = _shelved(method, noise, channels, device)
    if not isinstance(network, TrainedNetwork):
        if not isinstance(network, torch.nn.Module):
            raise UserError(f"The network {network!r} cannot be used; give a name, or what load_network returned.")
        return network
    trained = parse_method(network.method)
    same = trained.settings(training_only=True) == method.settings(training_only=True)
    if trained.name != method.name or not same:
        raise UserError(f"The network {network.name} was trained as {network.method}, not as {method.text}.")
    if network.channels != channels:
        raise UserError(f"The network {network.name} takes {network.channels} channels; the image has {channels}.")
    return network.module


def _shelved(method: LearnedMethod, noise: Noise, channels: int, device: str) -> TrainedNetwork:
    """The trained network that fits, as in a run."""
    from denoisebench.training.weights import Shelf, read_folder, weights_folders

    folders = weights_folders()
    weights = Shelf(folders).find(method, noise.id, channels)
    if weights is not None:
        return _trained(weights, device)
    stems = sorted({stem for folder in folders for stem in read_folder(folder) if stem.startswith(f"{method.name}-")})
    kind = "gray" if channels == 1 else "colour"
    named = " Name the noise if you know it, such as noise='gauss25'." if noise.real else ""
    here = f"Trained networks of {method.name}: {', '.join(stems)}." if stems else "It has no trained networks here."
    raise UserError(
        f"No trained network of {method.text} for {noise.id} and {kind} images is known.{named} {here} Train one with "
        f"`denoisebench weights train --methods '{method.text}' --noise {noise.id if not noise.real else 'gauss25'} "
        f"--channels {channels}`, set DENOISEBENCH_WEIGHTS to its folder, or give another with network=."
    )
