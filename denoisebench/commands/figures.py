"""``denoisebench figure``: pictures of stored results, one command per kind."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from denoisebench.commands.compare import Datasets, Noise, Results, only_methods, stored_cells
from denoisebench.commands.grouping import GroupedCommand, grouped
from denoisebench.commands.making import load_plugins, make_filter
from denoisebench.commands.options import SourceOptions, WeightFolders
from denoisebench.core.errors import Mistakes, UserError
from denoisebench.core.printing import line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from denoisebench.reports.grid import Grid
    from denoisebench.reports.layout import Layout
    from denoisebench.reports.statistics import Group
    from denoisebench.results.store import StoredCell
    from denoisebench.results.summary import Column

app = typer.Typer(help="Draw figures of stored results: PDF, PNG or SVG.", no_args_is_help=True, rich_markup_mode=None)
Out = Annotated[Path, typer.Option("--out", help="File to write: NAME.pdf, .png or .svg.")]

Methods = Annotated[str | None, typer.Option("--methods", help="Only these methods, as in the table.")]


@app.command(cls=GroupedCommand)
def curves(
    folders: Annotated[
        list[Path], typer.Argument(help="Results folders, or folders of weights.", metavar="RESULTS_OR_WEIGHTS...")
    ],
    out: Out,
    against: Annotated[str, typer.Option("--x", help="steps, images or seconds.")] = "images",
    outputs: Annotated[bool, typer.Option("--outputs", help="Every output of a method, not its usual one.")] = False,
) -> None:
    """Learning curves on held-out photographs.

    PSNR against steps, images seen or seconds of training.
    """
    from denoisebench.reports.figures import curves as module

    _check(out)
    found, said, damaged = module.read_curves(folders, outputs)
    _write(module.draw(found, against), out, said, damaged)


@app.command(cls=GroupedCommand)
def pareto(
    results: Results,
    out: Out,
    against: Annotated[
        str,
        typer.Option(
            "--x",
            help="seconds (per image), parameters, multiply-adds (per pixel), memory, training-images or "
            "training-seconds.",
        ),
    ] = "seconds",
    methods: Methods = None,
    noise: Noise = None,
    datasets: Datasets = None,
) -> None:
    """Quality against cost.

    PSNR against seconds per image, parameters, or images or seconds of training.
    """
    from denoisebench.reports.figures import quality

    _check(out)
    groups, damaged = _groups(results, methods, noise, datasets)
    _write(quality.pareto(groups, against), out, damaged=damaged)


@app.command(cls=GroupedCommand)
def noise(results: Results, out: Out, methods: Methods = None, noises: Noise = None, datasets: Datasets = None) -> None:
    """PSNR against the level of the noise, a line per method."""
    from denoisebench.reports.figures import quality

    _check(out)
    groups, damaged = _groups(results, methods, noises, datasets)
    _write(quality.noise_levels(groups), out, damaged=damaged)


@app.command(cls=GroupedCommand)
def scatter(
    results: Results,
    one: Annotated[str, typer.Argument(help="Method on the x axis.")],
    other: Annotated[str, typer.Argument(help="Method on the y axis.")],
    out: Out,
    noise: Noise = None,
    datasets: Datasets = None,
) -> None:
    """PSNR image by image: one method against another."""
    from denoisebench.reports.figures import paired

    _check(out)
    groups, damaged = _groups(results, None, noise, datasets)
    _write(paired.scatter(groups, one, other), out, damaged=damaged)


@app.command(cls=GroupedCommand)
def forest(
    results: Results,
    out: Out,
    reference: Annotated[str, typer.Option(help="What the others are compared with.")],
    methods: Methods = None,
    noise: Noise = None,
    datasets: Datasets = None,
) -> None:
    """Mean differences to a reference, with intervals.

    On the same noisy images; intervals of 95 %.
    """
    from denoisebench.reports.figures import paired
    from denoisebench.reports.statistics import against

    _check(out)
    groups, damaged = _groups(results, None, noise, datasets)
    found = against(groups, _names(methods), reference)
    _write(paired.forest(found, groups), out, damaged=damaged)


@app.command(cls=GroupedCommand)
def table(
    results: Results,
    out: Out,
    methods: Annotated[str | None, typer.Option("--methods", help="Only these methods, in this order.")] = None,
    noise: Noise = None,
    datasets: Datasets = None,
    columns: Annotated[
        str | None, typer.Option(help="As of report: told, training, seconds, ..., and test sets or noises by name.")
    ] = None,
    metric: Annotated[str, typer.Option(help="psnr, ssim or both.")] = "both",
    label: Annotated[list[str] | None, typer.Option(help="Printed name of a method: b2u=Ours.")] = None,
    caption: Annotated[str, typer.Option(help="Title of the table.")] = "",
    page: Annotated[str, typer.Option(help="What it fits into: page, column, wide or landscape.")] = "wide",
    published: Annotated[
        str | None, typer.Option("--table", metavar="N", help="Beside this table of the paper (1 to 8).")
    ] = None,
) -> None:
    """The table of the results.

    Best bold, second underlined, footnotes below, as report prints it.
    """
    from denoisebench.commands.options import TableOptions
    from denoisebench.commands.output import layout_of
    from denoisebench.reports.figures import table as module
    from denoisebench.reports.files import flaws
    from denoisebench.reports.latex import page_of

    _check(out)
    layout = layout_of(TableOptions(columns=columns, metric=metric, label=label, caption=caption, page=page))
    store, cells = stored_cells(results, noise, datasets)
    names = _names(methods) or None
    with store.naming_damaged():
        grid = _grid(cells, names, layout) if published is None else _paper_grid(published, cells, names, layout)
    _write(module.draw(grid, page_of(page).width), out, damaged=flaws(store))


def _grid(cells: list[StoredCell], names: list[str] | None, layout: Layout) -> Grid:
    """The comparison table."""
    from denoisebench.reports.layout import NARROW, chosen_cells, grid_of
    from denoisebench.reports.table import build_table

    return grid_of(build_table(chosen_cells(cells, layout), methods=names), layout, NARROW)


def _paper_grid(number: str, cells: list[StoredCell], names: list[str] | None, layout: Layout) -> Grid:
    """A table of the paper beside what was measured, without the lines that were not."""
    from denoisebench.commands.run import experiment_file
    from denoisebench.experiment.file import table_file
    from denoisebench.reports.paper import paper_table

    asked = experiment_file(table_file(number))
    assert asked.paper is not None
    found = paper_table.paper_table(asked.paper, asked.title, only_methods(cells, names), [])
    return paper_table.grid_of(paper_table.measured_part(found), layout, wide=False)


@app.command(cls=GroupedCommand)
@grouped
def comparison(
    results: Results,
    out: Out,
    sources: SourceOptions,
    image: Annotated[
        str | None, typer.Option(help="An image of the test set; the one where the methods differ most if not given.")
    ] = None,
    repeat: Annotated[int, typer.Option(min=0, help="Which noisy copy of it.")] = 0,
    crop: Annotated[
        list[str] | None, typer.Option(help="x,y,width,height, several times if need be; chosen if not given.")
    ] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Show the errors of each crop below it.")] = False,
    methods: Methods = None,
    noise: Noise = None,
    datasets: Annotated[
        str | None, typer.Option("--datasets", help="The test set; a folder of one's own by its path.")
    ] = None,
    weights: WeightFolders = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps; that of the run if not given.")] = None,
) -> None:
    """One image as every method leaves it.

    Enlarged where the methods differ; denoised again from the stored networks.
    """
    from denoisebench.core.memory import keep_freed_memory
    from denoisebench.reports.figures import comparison as module
    from denoisebench.reports.figures.again import pictures_of

    _check(out)
    crops = [module.parse_crop(text) for text in crop or []]
    keep_freed_memory()
    load_plugins(sources.plugin)
    mistakes = Mistakes()
    choice = make_filter(None, None, datasets, weights, device, sources, mistakes)
    mistakes.check()
    groups, damaged = _groups(results, methods, noise, ",".join(found.name for found in choice.datasets) or None)
    made = pictures_of(results, groups, choice, image, repeat, crops)
    chosen = crops or [module.telling_crop([picture.image for picture in made.pictures[1:]])]
    _write(module.draw(made.clean, made.pictures, chosen, made.heading, errors), out, made.said, damaged)


def _names(methods: str | None) -> list[str]:
    from denoisebench.plugins.lookup import split_list

    return split_list(methods) if methods else []


def _groups(
    results: Path, methods: str | None, noise: str | None, datasets: str | None
) -> tuple[dict[Column, list[Group]], list[str]]:
    """The chosen lines by column, and sentences about damaged files."""
    from denoisebench.reports.files import flaws
    from denoisebench.reports.statistics import groups_of, named

    store, cells = stored_cells(results, noise, datasets)
    groups = groups_of(cells)
    if methods:
        with store.naming_damaged():
            lines = named(groups, _names(methods))
        groups = {column: [g for g in found if g.line in lines] for column, found in groups.items()}
        groups = {column: found for column, found in groups.items() if found}
    return groups, flaws(store)


def _check(out: Path) -> None:
    """Refuse a bad name before any work, and a missing library with its remedy."""
    from denoisebench.reports.figures.style import check_out

    check_out(out)
    # Files are written and no window is opened, so it does not matter which one is set, or whether it exists.
    os.environ["MPLBACKEND"] = "agg"
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UserError("Figures need matplotlib: pip install matplotlib.") from None


def _write(figure: Figure, out: Path, said: Sequence[str] = (), damaged: Sequence[str] = ()) -> None:
    """Write the figure and say what it lacks; as with a table, damaged results that are left out are a failure."""
    from denoisebench.commands.output import say_all
    from denoisebench.reports.figures.style import save

    save(figure, out)
    say_all([*said, *damaged])
    line(out)
    if damaged:
        raise typer.Exit(1)
