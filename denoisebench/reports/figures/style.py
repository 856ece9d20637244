"""What all figures share: colours, panels, labels beside what they name, and how a file is written."""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from denoisebench.core.errors import UserError
from denoisebench.core.files import make_folder, write_bytes
from denoisebench.core.text import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".pdf", ".png", ".svg")
#: Okabe and Ito's colours for every kind of colour vision, without their yellow, which is invisible on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY, LIGHT = "#6E6E6E", "#D0D0D0"
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)))
#: Stands in the file, so that a figure is overwritten by a figure and nothing else is.
CREATOR = "denoisebench"
FONT = "DejaVu Sans"
_PNG_DPI = 200
#: Points of small print.
SMALL = 6.5
_SETTINGS: Any = {
    "font.family": FONT,
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    # A name that holds a dollar sign is no formula.
    "text.parse_math": False,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": CREATOR,
}


@dataclass(frozen=True)
class Look:
    """How one method is drawn in every panel of a figure."""

    colour: str
    marker: str
    dash: Any


def looks(names: Iterable[str]) -> dict[str, Look]:
    """A look for every name; where colours begin anew, dashes and markers change."""
    found = {}
    for number, name in enumerate(names):
        turn, place = divmod(number, len(COLOURS))
        found[name] = Look(COLOURS[place], MARKERS[(place + turn) % len(MARKERS)], DASHES[turn % len(DASHES)])
    return found


@contextmanager
def styled() -> Iterator[None]:
    """The settings of all figures, for the time of one."""
    import matplotlib

    with matplotlib.rc_context(_SETTINGS):
        yield


def panels(
    count: int, width: float = 3.4, height: float = 2.6, columns: int = 3, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of some panels, in rows of at most ``columns``; sizes in inches each."""
    from matplotlib.figure import Figure

    across = min(count, columns)
    down = math.ceil(count / across)
    figure = Figure(figsize=(width * across, height * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False, **options).ravel().tolist()
    for spare in axes[count:]:
        spare.remove()
    return figure, axes[:count]


def title(text: str, width: int = 60) -> str:
    """A text for a heading: on one line, without characters that steer, not longer than fits."""
    shown = plain(text)
    return shown if len(shown) <= width else shown[: width - 1] + "…"


def short(text: str) -> str:
    """A method's name beside its line."""
    return title(text, 28)


def number_text(value: float, _: object = None) -> str:
    """A number for a tick: 20k rather than 20000."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def log_axis(axes: Axes) -> None:
    """A logarithmic x axis with plain numbers, enough of them over a short range."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    wide = math.log10(high / low) if low > 0 else 3.0
    subs = (1.0,) if wide > 3.5 else (1.0, 3.0) if wide > 1.5 else (1.0, 2.0, 5.0)
    # Over less than a factor of three, 1, 2 and 5 would be a single tick.
    axes.xaxis.set_major_locator(LogLocator(subs=subs) if wide > 0.5 else MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(number_text))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Places as near as may be to those wanted, in the same order, at least ``gap`` apart."""
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    blocks: list[tuple[float, list[int]]] = []
    for place in order:
        # A block is a row of labels that touch; its centre is the mean of what they want.
        blocks.append((wanted[place], [place]))
        while len(blocks) > 1:
            (above, upper), (below, lower) = blocks[-1], blocks[-2]
            if above - below >= gap * (len(upper) + len(lower)) / 2:
                break
            members = lower + upper
            blocks[-2:] = [(sum(wanted[m] for m in members) / len(members), members)]
    found = [0.0] * len(wanted)
    for centre, members in blocks:
        for position, place in enumerate(members):
            found[place] = centre + gap * (position - (len(members) - 1) / 2)
    return found


def label_ends(axes: Axes, ends: Sequence[tuple[str, float, Look]], size: float = 7.5) -> None:
    """Names beside the right ends of lines, moved apart where they would touch.

    Parameters
    ----------
    axes : Axes
        With its limits settled; the names stand outside of it.
    ends : sequence of (str, float, Look)
        Name, height in data units, and look of each line.
    """
    low, high = axes.get_ylim()
    figure: Any = axes.figure
    inches = figure.get_size_inches()[1] / max(1, _rows(axes)) * 0.78
    gap = (high - low) * size * 1.25 / 72 / inches
    for (name, wanted, look), place in zip(ends, spread([end[1] for end in ends], gap), strict=True):
        moved = abs(place - wanted) > gap / 4
        axes.annotate(
            short(name), (1.0, wanted), (1.06 if moved else 1.02, place), xycoords=("axes fraction", "data"),
            textcoords=("axes fraction", "data"), color=look.colour, fontsize=size, va="center", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": look.colour, "lw": 0.5, "shrinkA": 0} if moved else None,
        )  # fmt: skip


def _rows(axes: Axes) -> int:
    spec = axes.get_subplotspec()
    return 1 if spec is None else int(spec.get_gridspec().nrows)


def note(figure: Figure, text: str) -> None:
    """Small print below a figure, in as many lines as its width asks for."""
    letters = int(figure.get_figwidth() * 72 / (0.56 * SMALL))
    figure.supxlabel(textwrap.fill(title(text, 400), letters), fontsize=SMALL, color=GREY)


def label_points(
    axes: Axes,
    points: Sequence[tuple[str, float, float, Look]],
    size: float = 7.5,
    others: Sequence[tuple[float, float]] = (),
) -> None:
    """Names beside points, each on the side where it covers least of them and of other points."""
    figure = axes.figure
    figure.canvas.draw()
    to_pixels, box = axes.transData.transform, axes.get_window_extent()
    places = [tuple(map(float, to_pixels((x, y)))) for _, x, y, _ in points]
    crowd = [*places, *(tuple(map(float, to_pixels(point))) for point in others)]
    unit = figure.dpi / 72
    taken = [(x - 3 * unit, y - 3 * unit, x + 3 * unit, y + 3 * unit) for x, y in crowd]
    for (name, x, y, look), (px, py) in sorted(zip(points, places, strict=True), key=lambda item: -item[1][1]):
        width, height = 0.62 * size * len(short(name)) * unit, 1.25 * size * unit
        choices = [
            (dx, dy, _box(px, py, dx * unit, dy * unit, width, height))
            for reach in (6, 14, 24, 34)
            for dx, dy in ((reach, 0), (-reach, 0), (0, reach), (0, -reach), (reach, reach), (reach, -reach),
                           (-reach, reach), (-reach, -reach))
        ]  # fmt: skip
        dx, dy, best = min(choices, key=lambda choice: _cost(choice, taken, box.extents))
        taken.append(best)
        far = math.hypot(dx, dy) > 12
        axes.annotate(
            short(name), (x, y), (dx, dy), textcoords="offset points", color=look.colour, fontsize=size,
            ha="left" if dx > 0 else "right" if dx < 0 else "center",
            va="center" if dy == 0 else "bottom" if dy > 0 else "top",
            arrowprops={"arrowstyle": "-", "color": look.colour, "lw": 0.5, "shrinkB": 3} if far else None,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.4}, zorder=2.5,
        )  # fmt: skip


_Box = tuple[float, float, float, float]


def _box(x: float, y: float, dx: float, dy: float, width: float, height: float) -> _Box:
    left = x + dx - (0 if dx > 0 else width if dx < 0 else width / 2)
    low = y + dy - (height / 2 if dy == 0 else 0 if dy > 0 else height)
    return left, low, left + width, low + height


def _cost(choice: tuple[float, float, _Box], taken: Sequence[_Box], frame: Sequence[float]) -> float:
    dx, dy, box = choice
    covered = sum(_shared(box, other) for other in taken)
    outside = sum(max(0.0, a) for a in (frame[0] - box[0], frame[1] - box[1], box[2] - frame[2], box[3] - frame[3]))
    return covered + 100 * outside + abs(dx) + abs(dy)


def _shared(one: _Box, other: _Box) -> float:
    across = min(one[2], other[2]) - max(one[0], other[0])
    up = min(one[3], other[3]) - max(one[1], other[1])
    return across * up if across > 0 and up > 0 else 0.0


def check_out(path: Path) -> Path:
    """A path that a figure may be written to, or a sentence.

    Raises
    ------
    UserError
        Another kind of file, or something that is not a figure of this program lies there.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"--out {path}: a figure ends in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}.")
    if path.exists():
        try:
            ours = path.is_file() and CREATOR.encode() in path.read_bytes()
        except OSError:
            ours = False
        if not ours:
            raise UserError(f"--out {path} exists and is not a figure of denoisebench; choose another name.")
    return path


def save(figure: Figure, path: Path) -> None:
    """Write a figure whole, without a date, so that the same figure is the same file.

    Raises
    ------
    CannotWrite
        The folder cannot be written to.
    """
    kind = path.suffix.lower()[1:]
    metadata = {
        "pdf": {"Creator": CREATOR, "Producer": CREATOR, "CreationDate": None},
        "png": {"Software": CREATOR},
        "svg": {"Creator": CREATOR, "Date": None},
    }[kind]
    stream = io.BytesIO()
    with styled(), warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box; that is no reason to say so three times.
        warnings.filterwarnings("ignore", message=".*[Gg]lyph")
        figure.savefig(stream, format=kind, dpi=_PNG_DPI, metadata=metadata)
    make_folder(path.parent)
    write_bytes(path, stream.getvalue())
