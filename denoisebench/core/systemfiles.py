"""Files that systems leave in any folder and that belong to nobody's data: hidden ones, and a short list of others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

# Windows, macOS in archives and on foreign disks, Synology, Linux file systems; lower case.
_NAMES = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin"}
    | {"system volume information", "lost+found"}
)


def is_system_file(name: str) -> bool:
    """Whether a file or folder of that name is ignored everywhere: a name with a leading dot, or one of the list.

    ``._NAME`` is what macOS writes beside NAME on foreign disks and in archives; it has NAME's suffix, not its content.
    """
    return name.startswith(".") or name.lower() in _NAMES


def own_entries(folder: Path, pattern: str = "*") -> Iterator[Path]:
    """What lies in a folder under names that match, sorted, without what `is_system_file` names."""
    found = sorted(folder.glob(pattern), key=lambda path: path.name)
    return (path for path in found if not is_system_file(path.name))
