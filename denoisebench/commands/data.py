"""Data sets: ``denoisebench data where``, ``status``, ``fetch`` and ``manifest``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from denoisebench.commands.grouping import GroupedCommand, grouped
from denoisebench.commands.making import load_plugins
from denoisebench.commands.options import DataOptions, SourceOptions
from denoisebench.core.errors import UserError
from denoisebench.core.printing import document, line, message
from denoisebench.core.text import counted

data_app = typer.Typer(help="Find, check and fetch data sets.", no_args_is_help=True, rich_markup_mode=None)


@data_app.command("where", cls=GroupedCommand)
@grouped
def data_where(data: DataOptions) -> None:
    """Print the folders that are searched for data sets."""
    from denoisebench.data.dataset import cache_root, data_roots

    try:
        cache_root()
    except UserError as error:
        message(error)
    for root in data_roots(data.data_root):
        line(f"{root}{'' if root.is_dir() else '  (does not exist)'}")


@data_app.command("status", cls=GroupedCommand)
@grouped
def data_status(
    source: SourceOptions,
    names: Annotated[list[str] | None, typer.Argument(help="Data sets; all if none is named.")] = None,
) -> None:
    """Say which data sets are here, complete and unaltered.

    With a name also what the set is.
    """
    from denoisebench.commands import listing

    load_plugins(source.plugin)
    document(listing.data_status(names or [], source.data_root))


@data_app.command("fetch", cls=GroupedCommand)
@grouped
def data_fetch(
    name: Annotated[str, typer.Argument(help="A data set.")],
    data: DataOptions,
    plan: Annotated[bool, typer.Option("--plan", help="Only say source, size, licence, checksum and place.")] = False,
) -> None:
    """Download a data set from its official source.

    Every image is checked; the same command goes on where it was interrupted.
    """
    from denoisebench.commands.listing import fetch_dataset, fetch_facts
    from denoisebench.core.progress import for_stderr

    document(fetch_facts(name, data.data_root) if plan else fetch_dataset(name, data.data_root, for_stderr()))


@data_app.command("manifest", cls=GroupedCommand)
def data_manifest(
    folder: Annotated[Path, typer.Argument(help="A folder of images, or one with noisy/ and clean/ in it.")],
    name: Annotated[str | None, typer.Option(help="Name of the data set; that of the folder if none is given.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write NAME.toml; beside the folder if not given.")] = None,
) -> None:
    """Make a folder of images a data set.

    Writes NAME.toml, and a manifest with the SHA-256 of every image.
    """
    from denoisebench.plugins.dataset_template import write_dataset

    written = write_dataset(folder, name, out)
    document(
        f"Wrote {written.path} and {written.manifest} ({counted(written.count, 'image')}). Fill in its source and "
        f"licence, and try:\n  denoisebench {written.command}"
    )
