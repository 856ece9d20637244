"""The comparison table laid out: one method is one line, and what differs between its columns is in footnotes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from denoisebench.core.errors import UserError, unknown
from denoisebench.reports.cost import Cost, cost_of
from denoisebench.reports.grid import Block, Cell, Grid, Head, Row, Span, cell_of, footnote_letter, marked_legend
from denoisebench.reports.table import Table, in_groups
from denoisebench.results.store import StoredCell
from denoisebench.results.summary import FLAGS, Column, Line, Score, column_of, flag_symbol

METRICS = ("both", "psnr", "ssim")
_METRIC_TITLES = {"both": "PSNR in dB / SSIM", "psnr": "PSNR in dB", "ssim": "SSIM"}
#: Columns about a line that can be asked for, and the heading of each.
INFO = {
    "told": "Told",
    "training": "Training",
    "seconds": "s/image",
    "images": "Images",
    "parameters": "Parameters",
    "multiply-adds": "MACs/pixel",
    "memory": "Memory, MB",
    "training-images": "Crops seen",
    "training-seconds": "Training, s",
    "device": "Device",
}
#: Where a page is wide, and where it is not: there the texts are footnotes.
WIDE, NARROW = ("told", "training", "seconds"), ("seconds",)
_TEXTS = ("told", "training")
_NOTHING = {"told": "nothing", "training": "none"}


@dataclass(frozen=True)
class Layout:
    """How a table is shown.

    Parameters
    ----------
    columns : Sequence[str] | None
        Names of `INFO`, noises and data sets; the usual ones for None.
    metric : str
        One of `METRICS`.
    labels : Mapping[str, str]
        Printed names of methods, by their text on the command line or their name without settings.
    caption : str
        Title of the table.
    """

    columns: Sequence[str] | None = None
    metric: str = "both"
    labels: Mapping[str, str] = field(default_factory=dict)
    caption: str = ""

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise unknown("metric", self.metric, METRICS)


@dataclass(frozen=True)
class MethodLine:
    """A printed line: the lines of a table that are of one method, at most one of them in a column."""

    first: Line
    places: Mapping[Column, Line]


def split_label(text: str) -> tuple[str, str]:
    """A method and its printed name from ``b2u[stride=2]=Ours``.

    Raises
    ------
    UserError
        There is no name behind an equals sign.
    """
    depth = 0
    for place, letter in enumerate(text):
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if letter == "=" and depth == 0 and place and text[place + 1 :].strip():
            return text[:place].strip(), text[place + 1 :].strip()
    raise UserError(f"--label {text}: give a method and its printed name, such as b2u=Ours.")


def method_lines(table: Table) -> list[MethodLine]:
    """The lines of a table, those of one method joined where no column has two of them."""
    by_method: dict[tuple[str, str], list[Line]] = {}
    for line in table.lines:
        by_method.setdefault((line.method, line.label), []).append(line)
    chosen: dict[Line, MethodLine] = {}
    for lines in by_method.values():
        for found in _joined(table, lines):
            chosen[found.first] = found
    return [chosen[line] for line in table.lines if line in chosen]


def _joined(table: Table, lines: Sequence[Line]) -> list[MethodLine]:
    everything = _one_line(table, lines)
    if everything is not None:
        return [everything]
    # Which of two trainings a third belongs to cannot be said, so only lines of the same one are joined.
    found: list[MethodLine] = []
    for training in dict.fromkeys(line.training for line in lines):
        same = [line for line in lines if line.training == training]
        joined = _one_line(table, same)
        found += [joined] if joined is not None else [MethodLine(x, _places(table, x)) for x in same]
    return found


def _one_line(table: Table, lines: Sequence[Line]) -> MethodLine | None:
    places: dict[Column, Line] = {}
    for line in lines:
        own = _places(table, line)
        if set(own) & set(places):
            return None
        places |= own
    return MethodLine(lines[0], places)


def _places(table: Table, line: Line) -> dict[Column, Line]:
    return {column: line for column in table.columns if (line, column) in table.scores}


def grid_of(table: Table, layout: Layout, usual: Sequence[str] = WIDE) -> Grid:
    """The table as a grid.

    Parameters
    ----------
    usual : Sequence[str]
        Columns about a line where the layout names none.

    Raises
    ------
    UserError
        The layout names a method that is not in the table.
    """
    info = list(usual) if layout.columns is None else list(dict.fromkeys(n for n in layout.columns if n in INFO))
    columns = in_groups(table.columns, layout.columns or ())
    lines = [line for line in method_lines(table) if any(column in line.places for column in columns)]
    for name in layout.labels:
        known = {text for line in table.lines for text in (line.method, line.name)}
        if name not in known:
            raise unknown("method of this table", name, known)
    notes = _Notes()
    common = {name: _common(lines, columns, name) for name in _TEXTS if name not in info}
    before, after = [n for n in info if n in _TEXTS], [n for n in info if n not in _TEXTS]
    rows = []
    for line in lines:
        marks = {name: notes.of(line, columns, name, name in info) for name in _TEXTS if not common.get(name)}
        title = cell_of(title_of(line.first, layout.labels), *_raised(m[None] for m in marks.values() if None in m))
        texts = [_fact(line, columns, name) for name in before]
        scores = [
            _score(table, line, column, layout, _raised(m[column] for m in marks.values() if column in m))
            for column in columns
        ]
        rows.append(Row([title, *texts, *scores, *(cell_of(_about(table, line, columns, name)) for name in after)]))
    heads = [
        Head("Method"),
        *(Head(INFO[name], role="info") for name in before),
        *_heads(table, columns),
        *(Head(INFO[name], "l" if name == "device" else "r", role="info") for name in after),
    ]
    said = [cell_of(text) for name in _TEXTS for text in [common.get(name, "")] if text]
    legend = marked_legend(
        f"{_METRIC_TITLES[layout.metric]}. ",
        f" {table.rule}.",
    )
    told = [note for note in table.notes if "seconds" in info or note not in table.machines]
    footnotes, remarks = split_notes([*told, *_namesakes([line.first for line in lines], layout.labels)])
    return Grid(
        cell_of(layout.caption), [Block(heads, rows)], notes=[legend, *said, *notes.sentences(), *footnotes],
        remarks=remarks,
    )  # fmt: skip


def _namesakes(lines: Iterable[Line], labels: Mapping[str, str]) -> list[str]:
    """Methods that are printed alike, such as a shipped one and a plugin that has its label."""
    names: dict[str, dict[str, None]] = {}
    for line in lines:
        names.setdefault(title_of(line, labels), {})[line.name] = None
    return [
        f"WARNING: {' and '.join(found)} have the same name in print, {title}; "
        f"--label {next(iter(found))}=NAME tells them apart."
        for title, found in names.items()
        if len(found) > 1
    ]


def split_notes(notes: Sequence[str]) -> tuple[list[Cell], list[Cell]]:
    """Sentences that a symbol in the table refers to, and the others."""
    symbols = tuple(f"{symbol} " for symbol in ("*", *(symbol for symbol, _ in FLAGS.values())))
    below = [cell_of(note) for note in notes if note.startswith(symbols)]
    return below, [cell_of(note) for note in notes if not note.startswith(symbols)]


def title_of(line: Line, labels: Mapping[str, str]) -> str:
    """The printed name of a line: an own one replaces the label, or label and settings if it is given with them."""
    if line.method in labels:
        return labels[line.method]
    return f"{labels.get(line.name, line.label)} {line.settings}".rstrip()


def chosen_cells(cells: Sequence[StoredCell], layout: Layout) -> list[StoredCell]:
    """The cells of the noises and data sets that a layout names among its columns; all if it names none.

    Raises
    ------
    UserError
        A column is neither one of `INFO` nor of these cells.
    """
    if layout.columns is None:
        return list(cells)
    places = [(column.noise, column.dataset) for column in map(column_of, cells)]
    have = [{place[part] for place in places} for part in (0, 1)]
    for name in layout.columns:
        if name not in {*INFO, *have[0], *have[1]}:
            raise unknown("column of this table", name, [*INFO, *have[0], *have[1]])
    wanted = [found & set(layout.columns) or found for found in have]
    return [cell for cell, place in zip(cells, places, strict=True) if place[0] in wanted[0] and place[1] in wanted[1]]


def _heads(table: Table, columns: Sequence[Column]) -> list[Head]:
    by_dataset = len({column.dataset for column in columns}) == 1 and len({column.noise for column in columns}) > 1
    heads = []
    for column in columns:
        dataset, noise = table.parts[column]
        full = table.titles[column]
        more = full.removeprefix(f"{dataset}, {noise}")
        group, text = (dataset, noise) if by_dataset else (noise, dataset)
        heads.append(Head(text + more, "c", group, full, "score"))
    return heads


def _score(table: Table, line: MethodLine, column: Column, layout: Layout, raised: Sequence[Span]) -> Cell:
    if column not in line.places:
        return cell_of()
    return cell_of(*score_spans(table.scores[line.places[column], column], layout.metric), *raised)


def score_spans(score: Score, metric: str = "both") -> list[Span]:
    """A score with its marks, and the symbol of its footnote."""
    spread = f" ± {score.spread:.2f}" if score.trainings > 1 else ""
    psnr = [Span(f"{score.psnr:.2f}", score.psnr_mark), Span(spread)]
    ssim = [Span(f"{score.ssim:.3f}", score.ssim_mark)]
    parts = {"both": [*psnr, Span("/"), *ssim], "psnr": psnr, "ssim": ssim}[metric]
    return [*parts, Span(flag_symbol(score))]


def _values(line: MethodLine, columns: Sequence[Column], name: str) -> dict[Column, str]:
    return {column: getattr(line.places[column], name) for column in columns if column in line.places}


def _fact(line: MethodLine, columns: Sequence[Column], name: str) -> Cell:
    values = set(_values(line, columns, name).values())
    return cell_of(values.pop() if len(values) == 1 else "differs")


def _common(lines: Sequence[MethodLine], columns: Sequence[Column], name: str) -> str:
    """What is so of every line that is told anything, or trained at all, as one sentence; '' where they differ."""
    values = {value for line in lines for value in _values(line, columns, name).values()} - {_NOTHING[name]}
    everything = {value for line in lines for value in _values(line, columns, name).values()}
    if name == "training" and len(values) == 1:
        return f"Trained networks: {values.pop()}."
    if name == "told" and everything == {_NOTHING["told"]}:
        return "No method is told anything but the noisy image."
    return ""


class _Notes:
    """Footnotes by their letters, in order of appearance."""

    def __init__(self) -> None:
        self.letters: dict[str, str] = {}

    def of(self, line: MethodLine, columns: Sequence[Column], name: str, shown: bool) -> dict[Column | None, str]:
        """The letters of a line by column, or by None where one is of the whole line."""
        values = _values(line, columns, name)
        if len(set(values.values())) == 1:
            (value,) = set(values.values())
            return {} if shown or value == _NOTHING[name] else {None: self._letter(name, value)}
        return {column: self._letter(name, value) for column, value in values.items()}

    def _letter(self, name: str, value: str) -> str:
        text = {
            "told": f"told {value}", "training": f"trained {value}" if value != "none" else "not trained"
        }[name]  # fmt: skip
        return self.letters.setdefault(text, footnote_letter(len(self.letters)))

    def sentences(self) -> list[Cell]:
        """The footnotes."""
        return [cell_of(Span(letter, "raised"), f" {text}.") for text, letter in self.letters.items()]


def _raised(letters: Iterable[str]) -> list[Span]:
    found = sorted(letters, key=lambda letter: (len(letter), letter))
    return [Span(",".join(found), "raised")] if found else []


def _about(table: Table, line: MethodLine, columns: Sequence[Column], name: str) -> str:
    cells = [cell for column in columns if column in line.places for cell in table.cells[line.places[column], column]]
    if name == "images":
        counts = sorted({table.scores[line.places[c], c].rows for c in columns if c in line.places})
        return " to ".join(map(str, counts if len(counts) < 2 else (counts[0], counts[-1])))
    return _COST[name](cost_of(cells))


def _number(value: float | None) -> str:
    return "" if value is None else f"{round(value):,}"


_COST: Mapping[str, Callable[[Cost], str]] = {
    "seconds": lambda cost: f"{cost.seconds:.2f}",
    "parameters": lambda cost: _number(cost.parameters),
    "multiply-adds": lambda cost: _number(cost.multiply_adds),
    "memory": lambda cost: _number(None if cost.memory is None else cost.memory / 1e6),
    "training-images": lambda cost: _number(cost.training_images),
    "training-seconds": lambda cost: _number(cost.training_seconds),
    "device": lambda cost: cost.device,
}
