"""What there is, and methods of one's own: ``denoisebench list``, ``new-method``, ``check-method``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from denoisebench.commands.grouping import grouped
from denoisebench.commands.making import load_plugins
from denoisebench.commands.options import PluginOptions
from denoisebench.core.printing import document, line
from denoisebench.core.text import counted


@grouped
def list_command(
    plugins: PluginOptions,
    what: Annotated[str, typer.Argument(help="methods, datasets, noises or networks")] = "methods",
) -> None:
    """List methods, data sets, noises or networks."""
    from denoisebench.commands import listing

    load_plugins(plugins.plugin)
    document(listing.text_of(what))


@grouped
def cite(
    plugins: PluginOptions,
    methods: Annotated[str, typer.Argument(help="Methods, e.g. b2u,nbr2nbr; all: each one.")],
) -> None:
    """Print BibTeX for methods and for this package."""
    from denoisebench.commands import listing

    load_plugins(plugins.plugin)
    document(listing.bibtex_of(methods), end="")


def new_method(
    name: Annotated[str, typer.Argument(help="Name of the method and of its file.")],
    kind: Annotated[
        str, typer.Option(help="plain (acts on one image), learned (a trained network) or fitted (to each image).")
    ] = "plain",
    folder: Annotated[Path, typer.Option(help="Where to write NAME.py.")] = Path("."),
) -> None:
    """Write one small plugin file that runs at once."""
    from denoisebench.plugins.template import write_method

    path = write_method(name, kind, folder)
    line(f"Wrote {path}. Try:")
    line(f"  denoisebench check-method {path}")
    line(f"  denoisebench run --plugin {path} --methods {name} --noise gauss25")


def check_method(
    method: Annotated[str, typer.Argument(help="A method name (with settings) or a plugin file.")],
) -> None:
    """Check that a method keeps the contract, rule by rule."""
    from denoisebench.evaluation.contract import check

    if method.endswith(".py") or Path(method).is_file():
        from denoisebench.plugins.registry import METHODS

        method = METHODS.add_file(Path(method))
    failures, told = 0, ""
    for verdict in check(method):
        failures += not verdict.passed
        detail = f": {'the same' if verdict.detail == told else verdict.detail}" if verdict.detail else ""
        told = verdict.detail or told
        line(f"{'PASS' if verdict.passed else 'FAIL'}  {verdict.rule}{detail}")
    line(f"{method}: {counted(failures, 'rule') + ' broken' if failures else 'keeps the contract'}")
    if failures:
        raise typer.Exit(1)
