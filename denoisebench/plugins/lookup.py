"""Plugins by the texts of the command line: methods with their settings, data sets, and the file of each."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from denoisebench.core.errors import Mistakes, UserError, explain, unknown
from denoisebench.core.isolation import isolated
from denoisebench.core.userfiles import FLAWS
from denoisebench.data.captures import folder_set
from denoisebench.data.dataset import DataSet, FolderSet, data_roots
from denoisebench.networks import allow_network, check_network
from denoisebench.plugins.broken import BrokenMethod, usable
from denoisebench.plugins.method import LearnedMethod, Method
from denoisebench.plugins.registry import ALL, DATASETS, METHOD_NAME, METHODS

_METHOD = re.compile(rf"({METHOD_NAME})(?:\[(.*)\])?", re.DOTALL)


def split_list(text: str) -> list[str]:
    """Split at commas that are not inside brackets: ``b2u[a=1,b=2],n2v`` has two parts."""
    parts, depth = [""], 0
    for character in text:
        depth += {"[": 1, "]": -1}.get(character, 0)
        if depth not in (0, 1):
            raise UserError(f"Brackets do not match in {text!r}. Write settings as name[key=value,key=value].")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    if depth:
        raise UserError(f"A bracket is not closed in {text!r}. Write settings as name[key=value,key=value].")
    parts = [part.strip() for part in parts]
    if not all(parts):
        raise UserError(f"There is an empty entry in {text!r}; separate names with single commas.")
    return parts


def parse_method(text: str, network: str | None = None) -> Method:
    """Read ``name`` or ``name[key=value,...]``.

    The text is the user's own: a network ``file.py:Class`` that its settings name may be run from now on.

    Parameters
    ----------
    text : str
        With or without settings.
    network : str | None
        Of a learned method that names none and has none of its own, such as a blind-spot network.
    """
    match = _METHOD.fullmatch(text)
    if match is None:
        raise UserError(f"Method {text!r} cannot be read. Write name or name[key=value,key=value].")
    name, inside = match.groups()
    settings = _read_settings(name, inside or "")
    plugin = METHODS.get(name)
    if network is not None and issubclass(plugin, LearnedMethod) and plugin.network == LearnedMethod.network:
        settings.setdefault("network", network)
    flaw = FLAWS.get(plugin.__module__)
    if flaw:
        return BrokenMethod(text, f"the file of {name!r}: {flaw}")
    try:
        with isolated():
            method = plugin.from_settings(settings)
            values = list(method.settings().values())
            method = usable(method, text)
    except (UserError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a plugin's own code, which must not cost the others their results
        return BrokenMethod(text, f"{name!r} fails on its settings: {explain(error)}")
    if isinstance(method, LearnedMethod):
        check_network(method.network)
    for value in values:
        if isinstance(value, str):
            allow_network(value)
    return method


def _read_settings(name: str, inside: str) -> dict[str, str]:
    """The settings within a bracket, as texts."""
    settings: dict[str, str] = {}
    for part in split_list(inside) if inside else []:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value:
            raise UserError(f"Setting {part!r} of {name} cannot be read. Write key=value.")
        if key in settings:
            raise UserError(f"Setting {key!r} of {name} is given twice.")
        settings[key] = value
    return settings


def parse_methods(text: str, network: str | None = None) -> list[Method]:
    """Read a list of methods; those that are in every table (the noisy input) come first.

    Parameters
    ----------
    text : str
        ``all`` stands for every method that the list does not name itself: ``all,r2r[passes=2]`` has R2R once.
    network : str | None
        See `parse_method`.
    """
    if network is not None:
        check_network(network)
    mistakes = Mistakes()
    parts = split_list(text)
    named = {match[1] for part in parts if (match := _METHOD.fullmatch(part))}
    if ALL not in METHODS.names():
        others = [name for name in METHODS.names() if name not in named]
        parts = [name for part in parts for name in (others if part == ALL else [part])]
    given = [method for part in parts if (method := mistakes.read(None, parse_method, part, network)) is not None]
    mistakes.check()
    baselines = [METHODS.get(name)() for name in METHODS.names() if is_baseline(name)]
    return list(dict.fromkeys([*baselines, *given]))


def is_baseline(name: str) -> bool:
    """Whether a built-in method belongs into every table."""
    return METHODS.origin(name) == "built in" and METHODS.get(name).info.baseline


def find_dataset(text: str, roots: Sequence[Path], unusual: str = "stop") -> DataSet:
    """A data set by name, or any folder of images by path.

    Parameters
    ----------
    text : str
        Name or path.
    roots : Sequence[Path]
        Where sets with names are searched.
    unusual : str
        What is done with images of a folder that cannot be used as they are, see
        `denoisebench.data.dataset.AnyFolder`.
    """
    if text in DATASETS.names():
        plugin = DATASETS.get(text)
        return plugin(list(roots) or data_roots()) if issubclass(plugin, FolderSet) else plugin()
    path = _path(text)
    if path.is_dir():
        return folder_set(path, unusual)
    if path.is_file():
        raise UserError(f"Data set {text!r} is a file; give the folder that holds the images.")
    if len(path.parts) > 1:
        raise UserError(
            f"Data set {text!r}: there is no folder {os.path.abspath(path)}; give a folder of images, or a name of "
            "`denoisebench list datasets`."
        )
    raise unknown("data set", text, DATASETS.names(), "Or give the path of a folder of images.")


def _path(text: str) -> Path:
    """A path with the user's home folder in it, if there is one."""
    try:
        return Path(text).expanduser()
    except (RuntimeError, KeyError):
        raise UserError(f"{text!r} begins with a home folder that is not known; give the whole path.") from None


def split_datasets(text: str) -> list[str]:
    """Split a list of data sets and folders at its commas; a folder whose path has commas of its own stays whole."""
    pieces, parts = text.split(","), []
    while pieces:
        lengths = range(len(pieces), 1, -1)
        long = (count for count in lengths if _is_folder(",".join(pieces[:count]).strip()))
        count = next(long, 1)
        parts.append(",".join(pieces[:count]).strip())
        del pieces[:count]
    if not all(parts):
        raise UserError(f"There is an empty entry in {text!r}; separate data sets with single commas.")
    return parts


def _is_folder(text: str) -> bool:
    try:
        return _path(text).is_dir()
    except (OSError, ValueError, UserError):
        return False


def parse_datasets(text: str, roots: Sequence[Path], unusual: str = "stop") -> list[DataSet]:
    """Read a list of data sets and folders, see `find_dataset`."""
    mistakes = Mistakes()
    parts = dict.fromkeys(split_datasets(text))
    found = [
        dataset for part in parts if (dataset := mistakes.read(None, find_dataset, part, roots, unusual)) is not None
    ]
    mistakes.check()
    names = [dataset.name for dataset in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"Two data sets are named {twice!r}; rename one of the folders.")
    return found
