"""Make or renew datasets/manifests/NAME.tsv of data sets that have a file in datasets/ already.

Usage: python tools/make_manifests.py DATA_ROOT NAME ...

A renewed manifest keeps its list of files and its comments. For a new data set there is `denoisebench data manifest`.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from denoisebench.core.places import package_places
from denoisebench.data.dataset import FolderSet
from denoisebench.data.manifest import entry_of, read_manifest, write_manifest
from denoisebench.plugins.registry import DATASETS

MANIFESTS = package_places()[-1] / "datasets" / "manifests"


def make(name: str, root: Path) -> None:
    """Write the manifest of one data set."""
    kind = DATASETS.get(name)
    path = MANIFESTS / f"{name}.tsv"
    if not issubclass(kind, FolderSet):
        raise SystemExit(f"{name} is no folder of files")
    dataset = kind([root])
    if path.is_file():
        entries = [replace(entry_of(dataset._path(entry)), file=entry.file) for entry in read_manifest(path)]
        lines = path.read_text(encoding="utf-8").splitlines()
        comment = "\n".join(line.removeprefix("# ") for line in lines if line.startswith("#"))
    else:
        entries = sorted(dataset.found_entries(), key=lambda entry: entry.file)
        comment = f"{kind.title}: {len(entries)} files, source {kind.source}"
    write_manifest(path, entries, comment)
    print(f"{name}: {len(entries)} files, {path}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    for name in sys.argv[2:]:
        make(name, Path(sys.argv[1]))
