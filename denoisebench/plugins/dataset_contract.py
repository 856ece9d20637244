"""What the class of a data set must declare before it is asked for anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from denoisebench.data.dataset import DataSet, FolderSet
from denoisebench.data.definition import NAME
from denoisebench.data.watched import constants_flaw
from denoisebench.protocol.images import CHANNEL_KINDS
from denoisebench.protocol.metrics import SCORINGS

#: What every data set answers itself, and one of captures as well.
_ANSWERS, _OF_CAPTURES = ("images", "load", "verify", "data_hash"), ("captures", "capture")


def data_set_flaw(plugin: type[DataSet]) -> str:
    """What of the attributes and methods of a data set is missing or of another type, or ''."""
    attributes = _FOLDER if issubclass(plugin, FolderSet) else _ATTRIBUTES
    missing = [name for name in attributes if not hasattr(plugin, name)]
    asked = (*_ANSWERS, *_OF_CAPTURES) if plugin.real else _ANSWERS
    missing += [name for name in asked if getattr(plugin, name) is getattr(DataSet, name)]
    if missing:
        return f"it lacks {', '.join(missing)}"
    for name, (fits, wanted) in attributes.items():
        value = getattr(plugin, name)
        if not fits(value):
            return f"its {name} must be {wanted}, not {value!r}"
    return constants_flaw(plugin)


def _texts(value: Any) -> bool:
    return isinstance(value, tuple | list) and bool(value) and all(isinstance(text, str) and text for text in value)


_Rule = tuple[Callable[[Any], bool], str]
_TEXT: _Rule = (lambda value: isinstance(value, str), "a text")
_YES_OR_NO: _Rule = (lambda value: isinstance(value, bool), "True or False")
_NUMBER: _Rule = (lambda value: type(value) is int and value > 0, "a whole number from 1")
_ATTRIBUTES: Mapping[str, _Rule] = {
    "name": (lambda value: isinstance(value, str) and bool(NAME.fullmatch(value)), "of letters, digits, _ and -"),
    "title": (lambda value: isinstance(value, str) and bool(value.strip()), "a text that is not empty"),
    **dict.fromkeys(("summary", "description", "traps", "source", "licence", "training"), _TEXT),
    **dict.fromkeys(("real", "referenced", "submittable"), _YES_OR_NO),
    "channels": (lambda value: value in tuple(CHANNEL_KINDS), f"one of {', '.join(map(str, CHANNEL_KINDS))}"),
    "paper_repeats": _NUMBER,
    "scoring": (lambda value: value in tuple(SCORINGS), f"one of {', '.join(SCORINGS)}"),
}
_FOLDER: Mapping[str, _Rule] = {
    **_ATTRIBUTES,
    "count": _NUMBER,
    "folders": (_texts, "a tuple of texts, names that the folder may have"),
}
