"""Stored cells whose name means something else today: a default of their method has changed since."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from denoisebench.core.errors import UserError
from denoisebench.plugins.method import show_value
from denoisebench.plugins.registry import METHODS
from denoisebench.results.store import StoredCell
from denoisebench.results.summary import changed_settings, line_of, method_of


def stale_notes(cells: Iterable[StoredCell]) -> list[str]:
    """One sentence for each method that was run with defaults of before; run again, its line is another one."""
    names: dict[tuple[str, str], dict[str, None]] = {}
    for cell in cells:
        before, today = _moved(cell)
        if before:
            names.setdefault((_text(before), _text(today)), {})[line_of(cell).title] = None
    return [
        f"STALE: {', '.join(titles)}: run with {before}, which were the defaults then; today they are {today}"
        for (before, today), titles in names.items()
    ]


def _moved(cell: StoredCell) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings that a cell does not name and has otherwise than they are by default today, and these."""
    try:
        kind = METHODS.get(method_of(cell))
    except UserError:  # of a plugin that is not here
        return {}, {}
    if not dataclasses.is_dataclass(kind):
        return {}, {}
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    stored: Mapping[str, Any] = cell.identity.get("settings", {})
    named = changed_settings(cell)
    names = sorted(n for n in defaults.keys() & stored.keys() if n not in named and stored[n] != defaults[n])
    return {name: stored[name] for name in names}, {name: defaults[name] for name in names}


def _text(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={show_value(value)}" for name, value in settings.items())
