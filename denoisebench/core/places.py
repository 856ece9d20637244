"""Where the parts of the package are: all inside it in a wheel, some beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

import denoisebench


def package_places() -> list[Path]:
    """Folders that hold parts of the package: its own, and in a checkout the one around it."""
    here = Path(denoisebench.__file__).resolve().parent
    return [here] if (here / "methods").is_dir() else [here, here.parent]
