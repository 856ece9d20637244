"""What the page says, as JSON: every text on one line, scores as packed numbers, nothing of HTML."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
import numpy.typing as npt

from denoisebench import __version__
from denoisebench.core.errors import UserError
from denoisebench.core.text import plain
from denoisebench.plugins.registry import METHODS
from denoisebench.reports import render
from denoisebench.reports.bibtex import bibtex_entry
from denoisebench.reports.cost import cost_of
from denoisebench.reports.layout import Layout, method_lines, title_of
from denoisebench.reports.page.pictures import Album, packed_albums
from denoisebench.reports.paper.published import beside
from denoisebench.reports.ranking import SUPERVISED
from denoisebench.reports.statistics import (
    FEWEST,
    Difference,
    Group,
    alike,
    corrected,
    difference,
    groups_of,
    named,
    pairwise,
    too_few,
)
from denoisebench.reports.table import Table, build_table
from denoisebench.results.store import StoredCell
from denoisebench.results.summary import FLAGS, Column, Line, line_of, scoring_text, training_seed

#: Images times comparisons whose intervals are made without being asked for: some ten seconds.
AFFORDABLE = 10_000
#: A table of more lines is not offered to be copied, nor shown without JavaScript.
LONGEST = 200
#: What two columns of one protocol may differ in.
_OF_THE_IMAGES = ("dataset", "data_hash", "noise", "limit")


def page_content(
    folder: str,
    cells: Sequence[StoredCell],
    notes: Sequence[str] = (),
    reference: str | None = None,
    albums: Mapping[Column, Album] | None = None,
    layout: Layout | None = None,
) -> dict[str, Any]:
    """Everything of the page but its learning curves.

    Parameters
    ----------
    folder : str
        Name of the results folder.
    cells : Sequence[StoredCell]
        The finished ones; none is no error.
    notes : Sequence[str]
        Sentences to add below the table.
    reference : str | None
        What methods are compared with at first; the best one where None. Comparisons with it are made however long
        they take.

    Raises
    ------
    UserError
        There are cells, and none is of the reference, or of a method that the layout names.
    """
    layout = layout or Layout()
    table = build_table(cells, notes)
    groups = groups_of(cells)
    titles = {line: plain(title_of(line, layout.labels)) for line in table.lines}
    rows = [list(dict.fromkeys(row.places.values())) for row in method_lines(table)]
    wanted = named(groups, [reference]) if reference and cells else []
    lines = {line: place for place, line in enumerate(table.lines)}
    columns = [_column(table, column, groups[column], lines, wanted) for column in table.columns]
    for column in columns:
        column["alike"] = [[titles[table.lines[place]] for place in run] for run in column["alike"]]
    for found in beside(table):
        column = columns[table.columns.index(found.column)]
        score = next(s for s in column["scores"] if s["line"] == lines[found.line])
        score["paper"] = {"psnr": found.paper.psnr, "ssim": found.paper.ssim, "odd": found.paper.odd}
    printed = {line.title: title for line, title in titles.items()}
    for place, album in packed_albums(albums or {}, printed).items():
        columns[table.columns.index(place)].update(pictures=album["pictures"], unpictured=album["said"])
    return {
        "folder": plain(folder),
        "title": plain(layout.caption or folder),
        "version": __version__,
        "rule": table.rule,
        "lines": _lines(table, titles),
        "rows": [[lines[line] for line in row] for row in rows],
        "columns": columns,
        "walls": _walls(table, cells),
        "notes": [plain(note) for note in table.notes],
        "flags": {name: [symbol, text] for name, (symbol, text) in FLAGS.items()},
        "missing": _missing(table, rows, titles, {line_of(cell) for cell in cells if cell.about["baseline"]}),
        "copies": _copies(table, layout),
        "citations": _citations(table),
        "curves": [],
        "unlearned": [],
    }


def _lines(table: Table, titles: Mapping[Line, str]) -> list[dict[str, Any]]:
    return [
        {
            "title": titles[line],
            "name": name,
            "label": plain(line.title),
            "method": plain(line.method),
            "told": plain(line.told),
            "training": plain(line.training),
            "helped": bool(SUPERVISED & set(line.told.split(", "))),
        }
        for line, name in zip(table.lines, _names(titles), strict=True)
    ]


def _names(titles: Mapping[Line, str]) -> list[str]:
    """The title of every line, with its training and what it is told where they tell it from another of that title."""
    groups: dict[str, list[Line]] = {}
    for line, title in titles.items():
        groups.setdefault(title, []).append(line)
    found = []
    for line, title in titles.items():
        twins = groups[title]
        parts = [line.training] if any(other.training != line.training for other in twins) else []
        parts += [f"told {line.told}"] if any(other.told != line.told for other in twins) else []
        found.append(plain(f"{title} ({'; '.join(parts)})") if parts else title)
    return found


# --- one column ---


def _column(
    table: Table, column: Column, groups: Sequence[Group], lines: Mapping[Line, int], wanted: Sequence[Line]
) -> dict[str, Any]:
    protocol = groups[0].cells[0].identity["protocol"]
    pairs = list(dict.fromkeys(pair for group in groups for cell in group.cells for pair in cell.rows))
    images = {image: place for place, image in enumerate(dict.fromkeys(image for image, _ in pairs))}
    differences, equals, said = _comparisons(groups, len(images), wanted)
    return {
        "title": plain(table.titles[column]),
        "dataset": plain(str(groups[0].cells[0].about["dataset_title"])),
        "noise": plain(str(groups[0].cells[0].about["noise_title"])),
        "protocol": {plain(str(name)): plain(str(value)) for name, value in protocol.items()},
        "fingerprint": column.protocol,
        "digest": column.digest,
        "scoring": scoring_text(protocol),
        "images": [plain(image) for image in images],
        "image": packed([images[image] for image, _ in pairs], "<u4"),
        "repeat": packed([repeat for _, repeat in pairs], "<u4"),
        "level": packed(_levels(groups, pairs), "<f4"),
        "scores": [_score(table, column, group, lines, pairs) for group in groups],
        "reference": _reference(table, column, groups, wanted),
        "differences": differences,
        "alike": [[lines[group.line] for group in run] for run in equals],
        "said": said,
        "pictures": [],
        "unpictured": ["There are no images in this page; report --html --images 1 makes one of each test set again."],
    }


def packed(values: npt.ArrayLike, kind: str) -> str:
    """Numbers in little-endian bytes, as base64."""
    return base64.b64encode(np.asarray(values, kind).tobytes()).decode()


def _levels(groups: Sequence[Group], pairs: Sequence[tuple[str, int]]) -> list[float]:
    levels: dict[tuple[str, int], float] = {}
    for group in groups:
        for cell in group.cells:
            levels.update((pair, row.level) for pair, row in cell.rows.items() if row.level is not None)
    return [levels.get(pair, math.nan) for pair in pairs]


def _score(
    table: Table, column: Column, group: Group, lines: Mapping[Line, int], pairs: Sequence[tuple[str, int]]
) -> dict[str, Any]:
    score, cost = table.scores[group.line, column], cost_of(group.cells)
    return {
        "line": lines[group.line],
        "baseline": group.baseline,
        "psnr": score.psnr if math.isfinite(score.psnr) else "inf",
        "ssim": score.ssim,
        "marks": [score.psnr_mark, score.ssim_mark],
        "flag": score.flag,
        "spread": score.spread,
        "trainings": score.trainings,
        "rows": score.rows,
        "parameters": cost.parameters,
        "multiply_adds": cost.multiply_adds,
        "memory": cost.memory,
        "training_images": cost.training_images,
        "training_seconds": cost.training_seconds,
        "seconds": cost.seconds,
        "device": plain(cost.device),
        "machine": plain(cost.machine),
        "paper": None,
        "of": {name: packed(_by_pair(group, name, pairs), "<f4") for name in ("psnr", "ssim", "seconds")},
        "cells": [_provenance(cell) for cell in group.cells],
    }


def _by_pair(group: Group, attribute: str, pairs: Sequence[tuple[str, int]]) -> npt.NDArray[np.float64]:
    """Mean over the trainings that have a row; NaN where none has."""
    rows = [[cell.rows.get(pair) for pair in pairs] for cell in group.cells]
    values = np.array([[math.nan if row is None else getattr(row, attribute) for row in part] for part in rows])
    have = ~np.isnan(values)
    counts = have.sum(axis=0)
    return np.where(counts, np.where(have, values, 0.0).sum(axis=0) / np.maximum(counts, 1), math.nan)


def _provenance(cell: StoredCell) -> dict[str, Any]:
    identity, about = cell.identity, cell.about
    code, versions, training = (identity.get(name) or {} for name in ("code", "versions", "training"))
    return {
        "key": cell.key,
        "written": plain(about["written"]),
        "seed": training_seed(cell),
        "code": ", ".join(f"{name} {str(value)[:12]}" for name, value in code.items()) if type(code) is dict else "",
        "versions": ", ".join(f"{k} {v}" for k, v in versions.items()) if type(versions) is dict else "",
        "weights": plain(str(training.get("weights") or "")),
        "warnings": [plain(text) for text in about["warnings"]],
    }


# --- comparisons ---


def _reference(table: Table, column: Column, groups: Sequence[Group], wanted: Sequence[Line]) -> int:
    """The place of the group that the others are compared with at first; -1 in an empty column."""

    def rank(place: int) -> tuple[bool, bool, bool, float]:
        group = groups[place]
        score = table.scores[group.line, column]
        psnr = score.psnr if math.isfinite(score.psnr) else -math.inf
        return group.line in wanted, score.psnr_mark == "best", not group.baseline, psnr

    return max(range(len(groups)), key=rank, default=-1)


def _comparisons(
    groups: Sequence[Group], images: int, wanted: Sequence[Line]
) -> tuple[list[list[Any]], list[list[Group]], list[str]]:
    """Differences by the places of both, the runs that cannot be told apart, and what was left out."""
    count = len(groups)
    if count * (count - 1) // 2 * images <= AFFORDABLE:
        found = pairwise(groups)
        if images < FEWEST:
            return _each_way(groups, found), [], [too_few(images)] if found else []
        return _each_way(groups, found), alike(groups, found), []
    places = [place for place, group in enumerate(groups) if group.line in wanted]
    families = [
        corrected([
            d for group in groups if group is not groups[place] and (d := difference(group, groups[place])) is not None
        ])
        for place in places
    ]  # fmt: skip
    said = f"{count} methods on {images} images: intervals between all of them would take long, so there are " + (
        "those to one method alone." if places else "none; report --html --versus METHOD makes those to one method."
    )
    return [_packed_difference(groups, d) for family in families for d in family], [], [said]


def _each_way(groups: Sequence[Group], found: Mapping[tuple[int, int], Difference]) -> list[list[Any]]:
    """Every method against every other, the p-values corrected within those against the same reference."""
    both = [d for one in found.values() for d in (one, one.reversed())]
    families = [[d for d in both if d.other is group] for group in groups]
    return [_packed_difference(groups, d) for family in families for d in corrected(family)]


def _packed_difference(groups: Sequence[Group], found: Difference) -> list[Any]:
    """Places of both, then what is in both, dB, its interval, SSIM, its interval, share won, p, detectable."""
    places = [next(i for i, group in enumerate(groups) if group is side) for side in (found.one, found.other)]
    psnr = None if math.isnan(found.psnr) else found.psnr
    return [
        *places, found.images, psnr, found.psnr_interval, found.ssim, found.ssim_interval, found.won, found.p_holm,
        found.detectable,
    ]  # fmt: skip


# --- the run as a whole ---


def _walls(table: Table, cells: Sequence[StoredCell]) -> list[dict[str, Any]]:
    """Columns by what is the same of their protocols; between two walls nothing is comparable."""
    protocols = {group.column: group.cells[0] for found in groups_of(cells).values() for group in found[:1]}
    walls: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for place, column in enumerate(table.columns):
        protocol = protocols[column].identity["protocol"]
        rest = tuple(sorted((str(k), str(v)) for k, v in protocol.items() if k not in _OF_THE_IMAGES))
        walls.setdefault(rest, []).append(place)
    return [
        {"said": ", ".join(f"{plain(name)} {plain(value)}" for name, value in rest), "columns": places}
        for rest, places in walls.items()
    ]


def _missing(
    table: Table, rows: Sequence[Sequence[Line]], titles: Mapping[Line, str], baselines: Set[Line]
) -> list[str]:
    """Sentences on what a reader may look for in vain."""
    if not table.columns:
        return ["This folder holds no finished results yet; the run that fills it can be started again."]
    said = []
    methods = sum(not baselines & set(row) for row in rows)
    if methods == 0:
        said.append("The noisy input is here and no method.")
    elif methods == 1:
        said.append("There is one method alone, so there is nothing to compare it with.")
    return said + _without_score(table, rows, titles)


def _without_score(table: Table, rows: Sequence[Sequence[Line]], titles: Mapping[Line, str]) -> list[str]:
    """Methods that lack the same scores in one sentence; a noise that lacks all its test sets is named alone."""
    lost: dict[str, list[Column]] = {}
    for row in rows:
        absent = [column for column in table.columns if all((line, column) not in table.scores for line in row)]
        lost.setdefault(titles[row[0]], absent)
    places: dict[str, list[str]] = {}
    for name, absent in lost.items():
        if absent:
            places.setdefault("; ".join(_places(table, absent)), []).append(name)
    said = []
    for where, names in places.items():
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        said.append(f"{', '.join(names[:5])}{more}: no score on {where}.")
    return said


def _places(table: Table, columns: Sequence[Column]) -> list[str]:
    """Names of columns, each noise by itself where all its columns are among them."""
    whole = {c.noise for c in columns} - {c.noise for c in table.columns if c not in columns}
    several = len(table.columns) > len({column.noise for column in table.columns})
    return list(
        dict.fromkeys(plain(table.parts[c][1] if several and c.noise in whole else table.titles[c]) for c in columns)
    )


def _copies(table: Table, layout: Layout) -> dict[str, str]:
    """The table as texts to be pasted; none of a table that nobody would paste."""
    if not table.columns or len(table.lines) > LONGEST:
        return {}
    forms = {"Markdown": "md", "LaTeX": "latex", "Typst": "typst", "CSV": "csv"}
    return {name: render.text_of(table, form, layout) for name, form in forms.items()}


def _citations(table: Table) -> list[dict[str, str]]:
    """BibTeX of the methods that are known here."""
    found: dict[str, str] = {}
    for line in table.lines:
        if line.name in METHODS.names():
            try:
                info = METHODS.get(line.name).info
            except UserError:  # a plugin that no longer imports
                continue
            if info.bibtex:
                found.setdefault(bibtex_entry(info.bibtex).strip(), plain(info.label))
    return [{"label": label, "bibtex": text} for text, label in found.items()]
