"""The page as text: template, style and script in one file, and a policy that lets nothing else run or load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from markupsafe import Markup

from denoisebench.core.ownfiles import write_own
from denoisebench.reports import render
from denoisebench.reports.files import shortcomings
from denoisebench.reports.layout import Layout
from denoisebench.reports.page.content import LONGEST, page_content
from denoisebench.reports.page.learning import learning_curves
from denoisebench.reports.page.pictures import Album
from denoisebench.reports.page.shell import asset, policy, template
from denoisebench.reports.table import build_table
from denoisebench.results.store import Store, StoredCell, collection_paused
from denoisebench.results.summary import Column

NAME = "report.html"
_SCRIPTS = ("base.js", "table.js", "leaderboard.js", "charts.js", "images.js", "scores.js", "main.js")
#: A browser ends a script at these wherever they stand, and older ones a line.
_UNSAFE = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def write_page(
    store: Store,
    cells: Sequence[StoredCell],
    reference: str | None = None,
    albums: Mapping[Column, Album] | None = None,
    layout: Layout | None = None,
) -> list[str]:
    """Write ``report.html`` into a results folder; returns what `write_own` says.

    Parameters
    ----------
    store : Store
        The folder, as it was read.
    cells : Sequence[StoredCell]
        Its finished cells; none is no error.
    reference : str | None
        What methods are compared with; see `page_content`.
    albums : Mapping[Column, Album] | None
        Pictures of `make_albums`; None for a page without.
    layout : Layout | None
        See `page_content`.
    """
    with collection_paused():
        notes = shortcomings(store)
        content = page_content(store.folder.resolve().name, cells, notes, reference, albums, layout)
        content["curves"], content["unlearned"] = learning_curves(store, cells)
        return write_own(store.folder, {NAME: page(content, _plain_table(cells, notes, layout)).encode()})


def page(content: Mapping[str, Any], without_script: str = "") -> str:
    """The HTML of a page's content.

    Parameters
    ----------
    content : Mapping[str, Any]
        Of `page_content`.
    without_script : str
        HTML, already escaped, for readers without JavaScript.
    """
    style = asset("vendor/uPlot.min.css") + asset("assets/page.css")
    parts = "".join(asset(f"assets/{name}") for name in _SCRIPTS)
    script = asset("vendor/uPlot.iife.min.js") + f'(() => {{\n"use strict";\n{parts}}})();\n'
    return template("page.html.j2").render(
        title=content["title"],
        rule=content["rule"],
        policy=policy(style, script),
        style=Markup(style),
        script=Markup(script),
        data=Markup(_json(content)),
        without_script=Markup(without_script),
    )  # fmt: skip


def _plain_table(cells: Sequence[StoredCell], notes: Sequence[str], layout: Layout | None) -> str:
    table = build_table(cells, notes)
    return render.html(table, layout) if table.columns and len(table.lines) <= LONGEST else ""


def _json(content: Mapping[str, Any]) -> str:
    return orjson.dumps(content).decode().translate(_UNSAFE)
