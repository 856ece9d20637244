"""The comparison table: means over rows of equal protocol, ranked as in the paper's Table 1.

A column is one (noise, test set, protocol fingerprint): rows of different fingerprints never share a mean. A line
is one method with its settings and its training; trainings that differ by their seed alone are one line, the mean and
standard deviation of theirs. Best and second best are marked as `denoisebench.reports.ranking` says. What scores
below the noisy input, or is the noisy input, has a footnote instead of a mark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from denoisebench.plugins.identity import is_registered_cell
from denoisebench.plugins.method import show_value
from denoisebench.reports.cost import machine_notes
from denoisebench.reports.ranking import over_different_images, ranked, rule
from denoisebench.reports.stale import stale_notes
from denoisebench.results.store import StoredCell
from denoisebench.results.summary import (
    Column,
    Line,
    Score,
    changed_settings,
    column_of,
    contents_of_columns,
    current,
    flag_notes,
    flag_of,
    levels_text,
    line_of,
    lines_named,
    method_of,
    noisy_cells,
    perfect_note,
    place_of,
    score_of,
    scoring_text,
)


@dataclass
class Table:
    """A table ready to be rendered.

    Parameters
    ----------
    columns, lines : list[Column] or list[Line]
        Headings, in order of appearance, columns of one noise beside each other.
    titles : dict[Column, str]
        Printed heading of a column.
    parts : dict[Column, tuple[str, str]]
        Printed names of its data set and its noise.
    scores : dict[tuple[Line, Column], Score]
        By (line, column); absent where there is no result.
    cells : dict[tuple[Line, Column], list[StoredCell]]
        Behind each score, one of every training.
    seconds : dict[Line, float]
        Mean denoising time per image of a line.
    registered : set[Column]
        Columns of registered data sets, not of a folder that is called like one.
    notes : list[str]
        Sentences below the table.
    machines : list[str]
        Those among them about its seconds, for tables without that column.
    """

    columns: list[Column] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    titles: dict[Column, str] = field(default_factory=dict)
    parts: dict[Column, tuple[str, str]] = field(default_factory=dict)
    scores: dict[tuple[Line, Column], Score] = field(default_factory=dict)
    cells: dict[tuple[Line, Column], list[StoredCell]] = field(default_factory=dict)
    seconds: dict[Line, float] = field(default_factory=dict)
    registered: set[Column] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    machines: list[str] = field(default_factory=list)

    @property
    def rule(self) -> str:
        """What the marks of best and second say."""
        return rule((score, self.cells[place]) for place, score in self.scores.items())


def build_table(cells: Sequence[StoredCell], notes: Sequence[str] = (), methods: Sequence[str] | None = None) -> Table:
    """Make the table of some stored cells.

    Parameters
    ----------
    cells : Sequence[StoredCell]
        With rows; several cells of one (line, column) are reduced to the newest, and a note says so.
    notes : Sequence[str]
        Sentences to add below.
    methods : Sequence[str] | None
        Only these, in this order: ``b2u[stride=2]``, or ``b2u`` for every ``b2u`` there is. They are ranked among
        themselves, and still compared with the noisy input.

    Raises
    ------
    UserError
        There is no such method.
    """
    chosen = current(cells)[0]
    left_out = _left_out(cells, chosen)
    chosen.sort(key=lambda cell: not cell.about["baseline"])
    noisy, every = noisy_cells(chosen), contents_of_columns(chosen)
    if methods is not None:
        chosen = _named(chosen, methods)
    table = Table()
    seconds: dict[Line, list[float]] = {}
    for cell in chosen:
        line, column = line_of(cell), column_of(cell)
        if line not in table.lines:
            table.lines.append(line)
        if column not in table.columns:
            table.columns.append(column)
            table.registered |= {column} if is_registered_cell(cell) else set()
            table.parts[column] = (cell.about["dataset_title"], cell.about["noise_title"])
            table.titles[column] = ", ".join(table.parts[column])
        table.cells.setdefault((line, column), []).append(cell)
        seconds.setdefault(line, []).extend(row.seconds for row in cell.rows.values())
    table.columns = in_groups(table.columns)
    table.scores = {
        place: replace(score_of(group), flag=flag_of(group, noisy.get(place[1]), every[place[1]]))
        for place, group in table.cells.items()
    }
    table.seconds = {line: fmean(values) for line, values in seconds.items()}
    _separate_protocols(table)
    for column in table.columns:
        groups = {line: table.cells[line, column] for line in table.lines if (line, column) in table.cells}
        marked = ranked({line: table.scores[line, column] for line in groups}, groups)
        table.scores |= {(line, column): score for line, score in marked.items()}
    table.machines = machine_notes(chosen)
    table.notes = [*_notes(table, chosen), *left_out, *notes]
    return table


def in_groups(columns: Sequence[Column], named: Sequence[str] = ()) -> list[Column]:
    """Columns of one noise beside each other; noises and data sets that are named come in that order."""
    noises = list(dict.fromkeys([*named, *(column.noise for column in columns)]))
    datasets = list(dict.fromkeys([*named, *(column.dataset for column in columns)]))
    return sorted(columns, key=lambda column: (noises.index(column.noise), datasets.index(column.dataset)))


def _named(cells: Sequence[StoredCell], names: Sequence[str]) -> list[StoredCell]:
    """The cells of the methods of these names, in their order."""
    lines = list(dict.fromkeys(line_of(cell) for cell in cells))
    wanted = [line for name in names for line in lines_named(lines, name)]
    return sorted((cell for cell in cells if line_of(cell) in wanted), key=lambda cell: wanted.index(line_of(cell)))


def _separate_protocols(table: Table) -> None:
    """Name the protocol in headings that would otherwise look alike."""
    titles = list(table.titles.values())
    for column, title in table.titles.items():
        if titles.count(title) > 1:
            table.titles[column] = f"{title} (protocol {column.protocol})"


def _notes(table: Table, cells: Sequence[StoredCell]) -> list[str]:
    protocols = {column_of(cell): cell.identity["protocol"] for cell in cells}
    scores: dict[Column, dict[Line, Score]] = {column: {} for column in table.columns}
    for (line, column), score in table.scores.items():
        scores[column][line] = score
    notes = []
    ways = {column: _way(protocols[column]) for column in table.columns}
    alike = len(set(ways.values())) == 1 and len(ways) > 1
    for column in table.columns:
        counts = sorted({score.rows for score in scores[column].values()})
        evaluations = " to ".join(map(str, counts if len(counts) < 3 else (counts[0], counts[-1])))
        ending = "" if counts == [1] else "s"
        way = "" if alike else f"{ways[column]}; "
        notes.append(
            f"{table.titles[column]}: mean of {evaluations} scored image{ending}; {way}protocol {column.protocol}."
        )
        several = sorted({score.trainings for score in scores[column].values()} - {1})
        if several:
            notes.append(
                f"{table.titles[column]}: ± is the standard deviation over {' or '.join(map(str, several))} trainings "
                "that differ in their seed."
            )
        lines = scores[column]
        notes += filter(None, (perfect_note(f"{x.label} on {table.titles[column]}", s) for x, s in lines.items()))
        if over_different_images(lines.values()):
            notes.append(
                f"{table.titles[column]}: means of PSNR are over different images where some equal their reference in "
                "one line only; such lines are not ranked by it."
            )
    notes += _level_notes(table)
    notes += [f"All columns: {next(iter(ways.values()))}."] if alike else []
    notes += flag_notes((line.method, table.titles[place], score) for (line, place), score in table.scores.items())
    notes += table.machines
    for cell in cells:
        tiles = {row.tile for row in cell.rows.values()} - {0}
        if tiles:
            count = sum(row.tile > 0 for row in cell.rows.values())
            sides = " or ".join(map(str, sorted(tiles)))
            notes.append(f"{cell.about['text']}: {count} large images were denoised in tiles of {sides} pixels.")
    notes += _warnings(cells)
    notes += stale_notes(cells)
    notes += _unnamed_settings(cells)
    return list(dict.fromkeys(notes))


def _warnings(cells: Sequence[StoredCell]) -> list[str]:
    """What is to be known of cells, each sentence once with the methods that it is about."""
    told: dict[str, dict[str, None]] = {}
    for cell in cells:
        for warning in cell.about["warnings"]:
            told.setdefault(warning, {})[str(cell.about["text"])] = None
    return [f"WARNING: {', '.join(methods)}: {warning}." for warning, methods in told.items()]


def _left_out(cells: Sequence[StoredCell], chosen: Sequence[StoredCell]) -> list[str]:
    """How many results of the same lines are older than those shown, and in what they differ; none or one sentence."""
    older = len(cells) - len(chosen)
    if not older:
        return []
    shown = {place_of(cell): _decided_by(cell) for cell in chosen}
    differing: set[str] = set()
    for cell in cells:
        newest, own = shown[place_of(cell)], _decided_by(cell)
        differing |= {part for part, value in own.items() if value != newest[part]}
    parts = [part for part in _decided_by(cells[0]) if part in differing]
    several = older > 1
    what = f", which {'differ' if several else 'differs'} in {' and '.join(parts)}," if parts else ""
    which = "older results of the same lines" if several else "older result of the same line"
    return [f"{older:,} {which}{what} {'are' if several else 'is'} left out."]


def _decided_by(cell: StoredCell) -> dict[str, Any]:
    """What decides a result and is not seen in the heading of its line or column, by its name."""
    code = cell.identity.get("code")
    code = dict(code) if isinstance(code, dict) else {"code": code}
    described = code.pop("data", None)
    return {
        "settings": cell.identity.get("settings"), "weights": cell.identity.get("training"), "code": code,
        "the file of the data set": described, "versions of libraries": cell.identity.get("versions"),
        "device": cell.identity.get("device"), "seed of the method": cell.identity.get("seed"),
    }  # fmt: skip


def _level_notes(table: Table) -> list[str]:
    """How the levels of ranged noise were drawn, and that they can be spread evenly."""
    texts: dict[Column, dict[str, list[str]]] = {}
    drawn = False
    for (line, column), cells in table.cells.items():
        if text := levels_text(cells[0]):
            texts.setdefault(column, {}).setdefault(text, []).append(line.title)
            drawn |= not cells[0].identity["protocol"]["draws"].startswith("stratified-")
    notes = []
    for column, said in texts.items():
        for text, labels in said.items():
            which = f" ({', '.join(labels)})" if len(said) > 1 else ""
            notes.append(f"{table.titles[column]}{which}: {text}.")
    return notes + ["--noise-draws stratified spreads the levels of a range evenly over the images."] * drawn


def _way(protocol: Mapping[str, Any]) -> str:
    """How noisy images were made and scored."""
    return f"noise draws {protocol['draws']}, padding {protocol['padding']}, {scoring_text(protocol)}"


def _unnamed_settings(cells: Sequence[StoredCell]) -> list[str]:
    """Where lines of one method differ in a setting, its value on those lines that do not name it."""
    methods: dict[str, dict[str, StoredCell]] = {}
    for cell in cells:
        methods.setdefault(method_of(cell), {})[line_of(cell).method] = cell
    notes = []
    for lines in methods.values():
        settings = {text: cell.identity.get("settings", {}) for text, cell in lines.items()}
        shown: dict[str, set[str]] = {}
        for text, cell in lines.items():
            named = changed_settings(cell)
            for name, value in settings[text].items():
                if name not in named and any(other.get(name) != value for other in settings.values()):
                    shown.setdefault(name, set()).add(show_value(value))
        if shown:
            values = ", ".join(f"{name}={' or '.join(sorted(texts))}" for name, texts in shown.items())
            label = next(iter(lines.values())).about["label"]
            notes.append(f"{label}: {values} where a line does not name it.")
    return notes
