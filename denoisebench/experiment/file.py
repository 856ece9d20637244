"""Experiment files: the options of ``denoisebench run`` in TOML, and the published table they are set beside.

title = "Mine"
methods = ["b2u", "b2u[eta=0]"]     # an option of `run` (`KEYS`), lists for what commas separate
noise = ["gauss25"]
noise-draws = "legacy"

A file may come from a stranger, so it names data and numbers (`KEYS`) but no code, no machine and no place outside the
current folder: plugins, networks of one's own, executors and what they may take are given on the command line.

[paper]                             # optional: print a published table beside the measurements
table = 8
variants = {"eta=0" = "b2u[eta=0]", "eta=1" = "b2u"}
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from denoisebench.core.errors import UserError, unknown
from denoisebench.core.files import Damaged, read_text

#: Published tables that `denoisebench table` can measure.
TABLES = (1, 2, 3, 4, 5, 6, 7, 8)
#: Bytes of an experiment file.
LARGEST = 2**20
#: Options of ``denoisebench run`` that a file may set: what is computed, never by which code or on which machine.
KEYS = frozenset(
    [
        "methods",
        "network",
        "noise",
        "datasets",
        "captures",
        "on_unusual",
        "repeats",
        "limit",
        "weights",
        "train_data",
        "budget",
        "image_budget",
        "batch",
        "crop",
        "lr",
        "training_noise",
        "precision",
        "recipe",
        "noise_draws",
        "padding",
        "tile",
        "seed",
        "trainings",
        "device",
        "out",
        "save_images",
        "image_format",
        "threads",
        "time_limit",
    ]
)
_REPEATED = ("weights",)
# A network of one's own, network=file.py:Class.
_CODE = re.compile(r"\.py\s*:", re.IGNORECASE)


@dataclass(frozen=True)
class PaperPart:
    """Which published table, and which method each of its variants is; empty where methods go by their names."""

    table: int
    variants: Mapping[str, str]


@dataclass(frozen=True)
class ExperimentFile:
    """An experiment file, read.

    Parameters
    ----------
    path, title : Path or str
        Where it is, what it calls itself.
    options : Mapping[str, Any]
        Of ``denoisebench run``, by parameter name.
    paper : PaperPart | None
        The published table to print, or None.
    """

    path: Path
    title: str
    options: Mapping[str, Any]
    paper: PaperPart | None


def read_experiment(path: Path, allowed: Collection[str]) -> ExperimentFile:
    """Read an experiment file.

    Parameters
    ----------
    path : Path
        TOML file.
    allowed : Collection[str]
        Parameter names of ``denoisebench run``.

    Raises
    ------
    UserError
        The file is missing or no TOML, or a key or value is not allowed; names file and key.
    """
    try:
        data = tomllib.loads(read_text(path, LARGEST))
    except Damaged as error:
        raise UserError(f"Experiment file {error}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"Experiment file {path} is no TOML: {error}.") from None
    title, paper = data.pop("title", path.stem), data.pop("paper", None)
    if not isinstance(title, str):
        raise UserError(f"{path}: title must be text.")
    options = {}
    for key, value in data.items():
        name = key.replace("-", "_")
        if name in allowed and name not in KEYS:
            raise UserError(
                f"{path}: {key} cannot stand in an experiment file, which may be a stranger's; give it on the command "
                f"line as --{name.replace('_', '-')}."
            )
        if name not in allowed:
            keys = [option.replace("_", "-") for option in allowed if option in KEYS]
            raise unknown(f"key in {path}", key, [*keys, "title", "paper"])
        options[name] = _option(path, key, name, value)
    return ExperimentFile(path, title, options, None if paper is None else _paper(path, paper))


def _option(path: Path, key: str, name: str, value: Any) -> Any:
    values = value if isinstance(value, list) else [value]
    if not values or any(isinstance(item, bool) or not isinstance(item, str | int | float) for item in values):
        raise UserError(f"{path}: {key} must be text, a number, or a list of these.")
    texts = [str(item) for item in values]
    if any(_CODE.search(text) for text in [*texts, ",".join(texts)]):
        raise UserError(
            f"{path}: {key} names a Python file. An experiment file cannot have code run; give it on the command line."
        )
    if name == "out" and any(_leaves(text) for text in texts):
        raise UserError(f"{path}: out must be a folder below the current one; give any other with --out.")
    if name in _REPEATED:
        return [str(item) for item in values]
    return ",".join(map(str, values))


def _leaves(text: str) -> bool:
    """Whether a path lies outside the current folder, on any system, or behind a link that leads out of it."""
    place = PureWindowsPath(text)
    if place.anchor or text.startswith("~") or ".." in place.parts:
        return True
    try:
        return not Path(text).resolve().is_relative_to(Path.cwd().resolve())
    except (OSError, RuntimeError, ValueError):  # a circle of links, a name that no file can have
        return True


def _paper(path: Path, paper: Any) -> PaperPart:
    if not isinstance(paper, dict) or paper.get("table") not in TABLES or isinstance(paper["table"], bool):
        raise UserError(f"{path}: [paper] needs table = one of {', '.join(map(str, TABLES))}.")
    for key in paper:
        if key not in ("table", "variants"):
            raise unknown(f"key of [paper] in {path}", key, ("table", "variants"))
    variants = paper.get("variants", {})
    if not isinstance(variants, dict) or not all(isinstance(value, str) for value in variants.values()):
        raise UserError(f"{path}: [paper] variants must map names of the published table to methods.")
    return PaperPart(paper["table"], variants)


def table_file(text: str) -> Path:
    """The experiment file of a published table, by its number.

    Raises
    ------
    UserError
        There is no such table.
    """
    if not text.isdecimal() or int(text) not in TABLES:
        raise UserError(f"There is no table {text!r}. {_available()}")
    return Path(__file__).with_name("tables") / f"table{int(text)}.toml"


def _available() -> str:
    return f"Allowed: {', '.join(map(str, TABLES))}. Any experiment file: denoisebench run --config FILE."
