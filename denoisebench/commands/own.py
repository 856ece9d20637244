"""Images of the user's own, without a clean copy: ``denoisebench denoise``, ``diagnose`` and ``rank``."""

# Annotations are evaluated here as they are read, as in `options`.
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from denoisebench.commands.grouping import OptionGroup, grouped
from denoisebench.commands.making import load_plugins, make_device
from denoisebench.commands.options import Device, PluginOptions, WeightFolders
from denoisebench.commands.output import resumable, say_all, show_page
from denoisebench.core import limits
from denoisebench.core.errors import Mistakes, UserError, unknown
from denoisebench.core.printing import document, line, message
from denoisebench.core.text import counted

if TYPE_CHECKING:
    from denoisebench.own.batch import Outcome
    from denoisebench.own.denoise import Request
    from denoisebench.own.diagnose import Diagnosis
    from denoisebench.own.model import Detector
    from denoisebench.own.rank import Ranking
    from denoisebench.own.stack import Stack

CHANNELS = ("auto", "together", "apart")
#: What `rank --captures` says instead of an axis.
FILES = "FILES"
Images = Annotated[
    list[str], typer.Argument(help="Files, folders, or patterns such as 'stacks/*.tif'.", metavar="IMAGES...")
]


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadingOptions(OptionGroup):
    """What is in the files."""

    panel: ClassVar[str] = "Reading"

    axes: Annotated[
        str | None, typer.Option(help="A letter for each axis where a file does not say: ZYX, TCYX, YXS, ...")
    ] = None
    channels: Annotated[
        str, typer.Option(help="together, apart, or auto: RGB together, channels of a microscope apart.")
    ] = "auto"
    range: Annotated[
        str,
        typer.Option(
            "--range", help="Black and white: LO..HI, type, percentile (0.1 and 99.9 %), or auto: 0..255 for 8 bits."
        ),
    ] = "auto"
    nan: Annotated[str, typer.Option(help="NaN and infinite values: refuse, interpolate, or keep.")] = "refuse"
    convert: Annotated[
        bool, typer.Option("--convert", help="Make palette, CMYK and alpha images gray or RGB; else they are refused.")
    ] = False


@dataclass(frozen=True, kw_only=True, eq=False)
class DenoisingOptions(OptionGroup):
    """What denoises them."""

    panel: ClassVar[str] = "Denoising"

    method: Annotated[str, typer.Option(help="A method, e.g. b2u, nlm, 'zsn2n', 'bm3d' ('list methods').")] = "b2u"
    sigma: Annotated[
        float | None,
        typer.Option(help="Standard deviation of the noise, in the values of the files; estimated if not given."),
    ] = None
    noise: Annotated[
        str,
        typer.Option(
            "--noise",
            help="gauss: of one level; camera: growing with the signal, made one level before; auto: what is found.",
        ),
    ] = "auto"
    network: Annotated[
        str | None, typer.Option(help="Trained network by its name in 'weights list'; the one that fits if none.")
    ] = None
    weights: WeightFolders = None
    train: Annotated[
        str | None, typer.Option(help="self: train the network on these images alone (n2v, nbr2nbr, b2u, ...).")
    ] = None
    budget: Annotated[str | None, typer.Option(help="Length of that training: 300steps, 10min; 5min if none.")] = None
    image_budget: Annotated[
        str | None, typer.Option(help="Length of a fit to a single image: 500steps, 2min or paper.")
    ] = None
    tile: Annotated[
        str, typer.Option(help="Side of the tiles that networks get of large images: auto, none, or a number.")
    ] = "auto"
    seed: Annotated[int, typer.Option(min=0, max=limits.SEED, help="Seed of the method's own draws.")] = 0
    device: Device = "auto"
    workers: int = 1
    time_limit: Annotated[str | None, typer.Option(help="Longest time for a plane: 30s, 10min, 2h.")] = None


@dataclass(frozen=True, kw_only=True, eq=False)
class DetectorOptions(OptionGroup):
    """What is known of the camera or microscope."""

    panel: ClassVar[str] = "Camera or microscope, where its noise is known"

    gain: Annotated[
        float | None,
        typer.Option(help="Values of the files per count (photon, electron); the noise is not estimated then."),
    ] = None
    read_noise: Annotated[
        float | None, typer.Option(help="With --gain: standard deviation without light, in values; 0 if not given.")
    ] = None
    zero: Annotated[
        float | None, typer.Option(help="With --gain: value without light; what a camera raw file says, else 0.")
    ] = None


@dataclass(frozen=True, kw_only=True, eq=False)
class ResultOptions(OptionGroup):
    """Where results go."""

    panel: ClassVar[str] = "Output"

    out: Annotated[Path, typer.Option(help="Folder of the results; the same command again computes nothing.")] = Path(
        "denoised"
    )
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are there.")] = False


@dataclass(frozen=True, kw_only=True, eq=False)
class SharedDenoising(DenoisingOptions):
    """What denoises them, in one process or several."""

    workers: Annotated[
        int, typer.Option(min=1, max=limits.WORKERS, help="Processes that share the files; results are the same.")
    ] = 1


@grouped
def denoise(
    images: Images,
    reading: ReadingOptions,
    denoising: SharedDenoising,
    detector: DetectorOptions,
    results: ResultOptions,
    plugins: PluginOptions,
) -> None:
    """Denoise images of your own.

    Photographs, TIFF stacks, NumPy arrays; no clean image is needed. Results keep type, values, axes, metadata and
    name of their file; a log beside them says how each was made.
    """
    from denoisebench.core.memory import keep_freed_memory
    from denoisebench.core.progress import for_stderr
    from denoisebench.own.batch import denoise_files
    from denoisebench.own.denoise import check_range
    from denoisebench.own.reading import find_files
    from denoisebench.protocol.images import some

    keep_freed_memory()
    load_plugins(plugins.plugin)
    mistakes = Mistakes()
    found = mistakes.read(None, find_files, images)
    request = _request(reading, denoising, detector, results, mistakes)
    if request is not None:
        mistakes.read(None, check_range, request)
    mistakes.check()
    assert found is not None
    assert request is not None
    if found.left_out:
        message(f"Not read: {some(found.left_out)} ({len(found.left_out)} in all).")
    with resumable(f"What was computed is in {results.out}"):
        outcome = denoise_files(found.files, request, for_stderr(), workers=denoising.workers)
    _show(outcome, results.out)


@grouped
def diagnose(images: Images, reading: ReadingOptions, detector: DetectorOptions) -> None:
    """Say what noise your images have, and what removes it.

    Nothing is written.
    """
    from denoisebench.own.diagnose import diagnose as diagnose_one
    from denoisebench.own.reading import find_files, read_stack
    from denoisebench.own.scale import finite
    from denoisebench.own.stack import layout_of

    mistakes = Mistakes()
    _check_channels(reading, mistakes)
    found = mistakes.read(None, find_files, images)
    known = mistakes.read(None, _detector, detector)
    mistakes.check()
    assert found is not None

    def diagnosed(path: Path) -> Callable[[], None]:
        stack = finite(read_stack(path, reading.axes, reading.convert), reading.nan)[0]
        told = diagnose_one(stack, layout_of(stack, reading.channels), known)  # type: ignore[arg-type]
        return partial(_show_diagnosis, path, stack, told)

    _show_each([path for path, _ in found.files], diagnosed, "Not diagnosed")


def _show_diagnosis(path: Path, stack: "Stack", told: "Diagnosis") -> None:
    line(f"{path}: {stack.axes} {'x'.join(map(str, stack.data.shape))} {stack.data.dtype}")
    for text in (*told.facts, *(f"-> {text}" for text in told.advice)):
        line(f"  {text}")


def _show_each(paths: Sequence[Path], work: Callable[[Path], Callable[[], None]], failed: str) -> None:
    """Work on each file and show what came of it; exit code 1 if some failed, 2 if all did, 130 if it was stopped."""
    problems: list[tuple[str, str]] = []
    for number, path in enumerate(paths):
        try:
            show = work(path)
            if number:
                line("")
            show()
        except UserError as error:
            problems.append((str(path), str(error)))
        except KeyboardInterrupt:
            _show_problems(problems, failed)
            message(f"Stopped after {number} of {counted(len(paths), 'file')}; the same command begins anew.")
            raise typer.Exit(130) from None
    _show_problems(problems, failed)
    if problems:
        raise typer.Exit(1 if len(problems) < len(paths) else 2)


def _show_problems(problems: Sequence[tuple[str, str]], failed: str) -> None:
    for source, reason in problems:
        message(f"{failed}: {reason if source in reason else f'{source}: {reason}'}")


def _check_channels(reading: ReadingOptions, mistakes: Mistakes) -> None:
    if reading.channels not in CHANNELS:
        mistakes.note(unknown("value of --channels", reading.channels, CHANNELS))


@dataclass(frozen=True, kw_only=True, eq=False)
class RankingOptions(OptionGroup):
    """Who is compared, by what."""

    panel: ClassVar[str] = "Ranking"

    methods: Annotated[str, typer.Option(help="Methods to compare, e.g. nlm,nbr2nbr,'nlm[strength=1]'.")] = (
        "nlm,nbr2nbr,n2v,b2u"
    )
    by: Annotated[
        str,
        typer.Option(help="captures (of one view), pure (growing noise), sure (noise of one level), heldout, or auto."),
    ] = "auto"
    captures: Annotated[
        str | None,
        typer.Option(
            help="Axis of the file along which its planes are captures of one view, e.g. Z; files: each file is one."
        ),
    ] = None
    side: Annotated[int, typer.Option(min=64, max=8192, help="Side of the piece in the middle that is scored.")] = 512
    html: Annotated[
        Path | None,
        typer.Option(help="Also write one page with crops, what was removed, and the verdict: --html rank.html."),
    ] = None
    opened: Annotated[bool, typer.Option("--open", help="Show that page in a browser.")] = False


@dataclass(frozen=True, kw_only=True, eq=False)
class RankedDenoising(DenoisingOptions):
    """What is known of the noise, and networks."""

    method: str = "nlm"
    train: str | None = None
    budget: str | None = None


@grouped
def rank(
    images: Images,
    ranking: RankingOptions,
    reading: ReadingOptions,
    denoising: RankedDenoising,
    detector: DetectorOptions,
    plugins: PluginOptions,
) -> None:
    """Rank methods on your own images, without clean ones.

    Where that can be done; what speaks against it is said.

    `compare` is for methods of a results folder, whose images had clean copies.
    """
    from denoisebench.own.denoise import check_range
    from denoisebench.own.rank import rank_file
    from denoisebench.own.reading import find_files, read_view
    from denoisebench.own.risk import ESTIMATES
    from denoisebench.plugins.lookup import parse_methods
    from denoisebench.reports.page.rank import RankPage

    load_plugins(plugins.plugin)
    mistakes = Mistakes()
    found = mistakes.read(None, find_files, images)
    methods = mistakes.read([], parse_methods, ranking.methods, None)
    if ranking.by not in ("auto", *ESTIMATES):
        mistakes.note(unknown("value of --by", ranking.by, ("auto", *ESTIMATES)))
    if ranking.html is not None and ranking.html.suffix.lower() not in (".html", ".htm"):
        mistakes.note(UserError(f"--html {ranking.html}: give the page a name that ends in .html."))
    if ranking.opened and ranking.html is None:
        mistakes.note(UserError("--open is about the page that --html makes: give --html as well."))
    request = _request(reading, denoising, detector, ResultOptions(), mistakes)
    if request is not None:
        mistakes.read(None, check_range, request)
    mistakes.check()
    assert found is not None
    assert request is not None
    captures = None if ranking.captures is None else ranking.captures.upper()
    paths = [path for path, _ in found.files]
    if captures == FILES and len(paths) < 2:
        raise UserError("--captures files: name the files of all captures of the view, two at least; there is 1.")
    page = None if ranking.html is None else RankPage(ranking.html)
    # Captures that are files of their own are one view; else each file is.
    views = {paths[0]: paths} if captures == FILES else {path: [path] for path in paths}

    def ranked(path: Path) -> Callable[[], None]:
        stack = read_view(views[path], reading.axes, reading.convert)
        axis = stack.axes[0] if captures == FILES else captures
        told = rank_file(stack, methods, request, axis, ranking.by, ranking.side)
        if page is not None:
            page.add(str(path), told)
        return partial(_show_ranking, path, told)

    try:
        _show_each(list(views), ranked, "Not ranked")
    finally:
        # What failed has an exit code of its own, which ends this.
        if page is not None and page.sheets:
            line("")
            say_all(page.write())
            show_page(page.path, ranking.opened)


def _show_ranking(path: Path, told: "Ranking") -> None:
    from denoisebench.own.rank import ranking_table

    line(f"{path}: by {told.by}; noise: {told.noise}")
    document(ranking_table(told))
    for one in told.methods:
        if one.estimate is None:
            line(f"{one.text}: no score: {one.problem}")
    line(told.verdict)
    for text in told.doubts:
        line(f"  Doubt: {text}")


def _detector(options: DetectorOptions) -> "Detector | None":
    from denoisebench.own.model import Detector

    if options.gain is None:
        others = {"--read-noise": options.read_noise, "--zero": options.zero}
        given = [name for name, value in others.items() if value is not None]
        if given:
            raise UserError(f"Give --gain with {' and '.join(given)}: alone they do not say how the noise grows.")
        return None
    return Detector(options.gain, options.read_noise or 0.0, options.zero)


def _request(
    reading: ReadingOptions,
    denoising: DenoisingOptions,
    detector: DetectorOptions,
    results: ResultOptions,
    mistakes: Mistakes,
) -> "Request | None":
    from denoisebench.core.limits import parse_time_limit
    from denoisebench.experiment.options import parse_tile
    from denoisebench.own.denoise import Request
    from denoisebench.plugins.lookup import parse_method
    from denoisebench.training.weights import Shelf, weights_folders

    _check_channels(reading, mistakes)
    if denoising.train not in (None, "self"):
        mistakes.note(unknown("value of --train", str(denoising.train), ("self",)))
    method = mistakes.read(None, parse_method, denoising.method)
    folders = mistakes.read([], weights_folders, denoising.weights or [])
    limit = denoising.time_limit
    values: dict[str, Any] = {
        "sigma": denoising.sigma, "noise": denoising.noise, "range": reading.range, "axes": reading.axes,
        "detector": mistakes.read(None, _detector, detector),
        "channels": reading.channels,
        "nan": reading.nan, "convert": reading.convert, "overwrite": results.overwrite, "network": denoising.network,
        "train": denoising.train is not None, "budget": denoising.budget,
        "image_budget": denoising.image_budget, "seed": denoising.seed,
        "device": make_device(denoising.device, mistakes), "tile": mistakes.read(None, parse_tile, denoising.tile),
        "limit": None if limit is None else mistakes.read(None, parse_time_limit, limit),
    }  # fmt: skip
    return None if method is None else Request(method=method, out=results.out, shelf=Shelf(folders), **values)


def _show(outcome: "Outcome", out: Path) -> None:
    """What was done, and in one list what was not; exit code 1 if there is any."""
    from denoisebench.own.record import FILE

    for entry in outcome.done:
        word = "" if entry.sigma.startswith("variance") else "sigma "
        sigma = f", {word}{entry.sigma} ({entry.sigma_source})" if entry.sigma else ""
        notes = f"; {entry.notes}" if entry.notes else ""
        line(f"{entry.output}: {entry.shape} {entry.dtype}{sigma}, {entry.seconds:.1f} s{notes}")
    if outcome.present:
        count = len(outcome.present)
        line(f"{count} {'was' if count == 1 else 'were'} there already, made by this command.")
    say_all(outcome.said)
    if outcome.done:
        line(f"Log: {out / FILE}")
    _show_problems([(problem.source, problem.reason) for problem in outcome.problems], "Not denoised")
    if outcome.problems:
        nothing = not (outcome.done or outcome.present)
        raise typer.Exit(2 if nothing and all(problem.mistake for problem in outcome.problems) else 1)
