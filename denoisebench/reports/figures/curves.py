"""PSNR on held-out photographs along a training: who learns how fast, from the records of the networks."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from denoisebench.core.errors import UserError, unknown
from denoisebench.core.files import Damaged, parse_json, read_text, unsealed
from denoisebench.plugins.registry import METHODS
from denoisebench.reports.figures import style
from denoisebench.training.records import FORMAT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What a training is measured against: key of a point, and the label of the axis.
AXES = {
    "steps": ("step", "Training steps"),
    "images": ("images", "Training crops seen"),
    "seconds": ("seconds", "Training time, seconds"),
}
_PLACES = ("step", "images", "seconds", "noisy")


@dataclass(frozen=True)
class Curve:
    """One training, and one of its outputs.

    Parameters
    ----------
    label, output : str
        Name of the method, and of the output where it has several.
    panel : tuple[str, int, str]
        Noise, channels and held-out images: what must be equal to be compared.
    training : str
        How it was trained.
    seed : int
        Of the training.
    points : Sequence[Mapping[str, float]]
        As recorded.
    begun : tuple[int, float] | None
        Crops and seconds of the training with the same noise that it went on from; None where it began anew.
    """

    label: str
    output: str
    panel: tuple[str, int, str]
    training: str
    seed: int
    points: Sequence[Mapping[str, float]]
    begun: tuple[int, float] | None = None

    def goes_on_from(self, other: Curve) -> bool:
        """Whether it began with the network that the other one ended with, by its crops and seconds."""
        mine = (self.label, self.output, self.panel, self.seed)
        if self.begun is None or mine != (other.label, other.output, other.panel, other.seed):
            return False
        last = other.points[-1]
        # The seconds of a point are rounded to tenths.
        return last["images"] == self.begun[0] and abs(last["seconds"] - self.begun[1]) < 0.1

    def values(self, name: str) -> list[float]:
        """One column of the points."""
        return [float(point[name]) for point in self.points]

    @property
    def psnr(self) -> list[float]:
        """PSNR of the output at every point."""
        column = self.output or "psnr"
        if column not in self.points[0]:
            column = next(value for value in self.points[0] if value not in _PLACES)
        return self.values(column)


def read_curves(folders: Sequence[Path], every_output: bool = False) -> tuple[list[Curve], list[str], list[str]]:
    """The curves of results folders and folders of weights.

    Parameters
    ----------
    folders : sequence of Path
        Results folders (``models/*.json``), or folders with records of networks.
    every_output : bool
        Also the outputs that the method does not score by default.

    Returns
    -------
    tuple[list[Curve], list[str], list[str]]
        Curves in the order of the files, sentences about records that have none, and about damaged ones.

    Raises
    ------
    UserError
        A folder holds no records, or none has a measurement.
    """
    curves: list[Curve] = []
    said: list[str] = []
    damaged: list[str] = []
    for folder in folders:
        place = folder / "models" if (folder / "models").is_dir() else folder
        files = sorted(path for path in place.glob("*.json") if path.is_file() and not path.name.startswith("."))
        if not files:
            raise UserError(f"Folder {folder} holds no records of trained networks (neither models/*.json nor *.json).")
        for path in files:
            try:
                found = curves_of(path, every_output)
            except Damaged as error:
                damaged.append(f"{error} It is left out.")
                continue
            curves += found
            if not found:
                said.append(f"{path.name} has no scores on held-out images, as trainings of older versions.")
    if not curves:
        raise UserError(
            " ".join(["No training here was measured on held-out images.", *said, *damaged, "Train anew to get them."])
        )
    return joined(curves), said, damaged


def joined(curves: Sequence[Curve]) -> list[Curve]:
    """One curve for a training and the one that it went on from, where both are there."""
    found, used = list(curves), set()
    for place in range(len(found)):
        # What it went on from may have gone on from another one.
        while (origin := next((i for i, one in enumerate(curves) if found[place].goes_on_from(one)), None)) is not None:
            first = curves[origin]
            before = first.points[-1]["step"]
            points = [*first.points, *({**point, "step": before + point["step"]} for point in found[place].points)]
            found[place] = replace(found[place], points=points, begun=first.begun)
            used.add(origin)
    return [curve for place, curve in enumerate(found) if place not in used]


def curves_of(path: Path, every_output: bool = False) -> list[Curve]:
    """The curves in the record of one network; none of a training that was not measured.

    Raises
    ------
    Damaged
        The record is not what a training writes.
    """
    text = read_text(path)
    sealed = text.startswith('{\n "format"')
    record = unsealed(path, (FORMAT,)) if sealed else parse_json(path, text)
    points = (record.get("heldout") or {}).get("points") if isinstance(record.get("heldout"), dict) else None
    if not points:
        return []
    try:
        if not _sound(points):
            raise TypeError
        label, output = _naming(record, [name for name in points[0] if name not in _PLACES])
        recipe = record.get("recipe", {})
        panel = (str(record["noise"]), int(record["channels"]), str(record["heldout"]["data"]["sha256"]))
        seed = int(recipe.get("seed", 0))
        start = record.get("start") or {}
        begun = (int(start["images_seen"]), float(start["seconds"])) if start.get("noise") == panel[0] else None
    except (KeyError, TypeError, AttributeError, ValueError, IndexError):
        raise Damaged(f"{path} is damaged: its scores on held-out images are not what a training writes.") from None
    training = str(record.get("summary") or record.get("budget") or "")
    outputs = [name for name in points[0] if name not in _PLACES]
    chosen = outputs if every_output else [output]
    return [Curve(label, name if len(outputs) > 1 else "", panel, training, seed, points, begun) for name in chosen]


def _sound(points: Any) -> bool:
    """Whether points are numbers under the same names."""
    if not isinstance(points, list) or not all(isinstance(point, dict) for point in points):
        return False
    names = points[0].keys()
    numbers = all(type(value) in (int, float) for point in points for value in point.values())
    return numbers and {*_PLACES} < names and all(point.keys() == names for point in points)


def _naming(record: Mapping[str, Any], outputs: Sequence[str]) -> tuple[str, str]:
    """The method's name, and the output that it scores by default: the one a setting names, else the last."""
    name, settings = str(record["method"]), dict(record["settings"])
    label, default = name, outputs[-1]
    if name in METHODS.names():
        kind = METHODS.get(name)
        try:
            method = kind(**settings)
        except (TypeError, ValueError):
            return f"{kind.info.label} {settings}", default
        label = f"{kind.info.label} {method.text.removeprefix(name)}".rstrip()
        named = [value for value in method.settings().values() if value in outputs]
        default = str(named[0]) if named else default
    return label, default


def draw(curves: Sequence[Curve], against: str = "images") -> Figure:
    """PSNR against steps, images or seconds; a panel per noise and set of held-out images, a line per method.

    Raises
    ------
    UserError
        There is no such axis.
    """
    if against not in AXES:
        raise unknown("axis", against, AXES)
    key, text = AXES[against]
    kinds = list(dict.fromkeys(curve.panel for curve in curves))
    called = names(curves)
    look = style.looks(dict.fromkeys(called))
    with style.styled():
        figure, axes = style.panels(len(kinds), 4.6, 3.0, 2)
        for panel, kind in zip(axes, kinds, strict=True):
            ends: dict[str, list[float]] = {}
            noisy: set[float] = set()
            for name, curve in zip(called, curves, strict=True):
                if curve.panel != kind:
                    continue
                values, chosen = curve.psnr, look[name]
                panel.plot(
                    curve.values(key), values, color=chosen.colour, linestyle=chosen.dash, marker=chosen.marker,
                    markersize=3, label=name, clip_on=False, zorder=3,
                )  # fmt: skip
                ends.setdefault(name, []).append(values[-1])
                noisy.update(curve.values("noisy"))
            style.log_axis(panel)
            panel.set_xlim(right=max(max(curve.values(key)) for curve in curves if curve.panel == kind))
            panel.grid(axis="y")
            panel.set_xlabel(text)
            panel.set_ylabel("PSNR on held-out photographs, dB")
            panel.set_title(style.title(heading(kind)), loc="left")
            panel.text(
                0.99, 0.02, f"noisy input {min(noisy):.2f} dB", transform=panel.transAxes, ha="right", va="bottom",
                color=style.GREY, fontsize=7,
            )  # fmt: skip
            style.label_ends(panel, [(name, sum(v) / len(v), look[name]) for name, v in ends.items()])
    return figure


def heading(panel: tuple[str, int, str]) -> str:
    """Noise and channels in words."""
    from denoisebench.protocol.noise import parse_noise

    noise, channels, _ = panel
    with contextlib.suppress(UserError):  # of a version to come, or of a stranger
        noise = parse_noise(noise).title
    return f"{noise}, {'gray' if channels == 1 else 'colour'}"


def names(curves: Sequence[Curve]) -> list[str]:
    """A name per curve, with its output, and its training where that tells two of a panel apart; seeds share one."""
    plain = [curve.label + (f" ({curve.output})" if curve.output else "") for curve in curves]
    trainings: dict[object, set[str]] = {}
    said = [curve.training.removesuffix(f", seed {curve.seed}") for curve in curves]
    places = [(curve.panel, name) for curve, name in zip(curves, plain, strict=True)]
    for place, training in zip(places, said, strict=True):
        trainings.setdefault(place, set()).add(training)
    return [
        f"{place[1]}, {training}" if len(trainings[place]) > 1 else place[1]
        for place, training in zip(places, said, strict=True)
    ]
