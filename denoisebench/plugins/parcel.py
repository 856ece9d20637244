"""Values on their way to another process, together with the plugin files that must be loaded there first."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from denoisebench.plugins.registry import METHODS


@dataclass(frozen=True)
class PluginPickle:
    """Pickled values. Methods of installed plugins are found again by module, those of files after loading the file.

    Parameters
    ----------
    plugins : files of ``--plugin``, absolute
    data : the pickle; made and read by this program only, never stored
    """

    plugins: tuple[Path, ...]
    data: bytes

    @classmethod
    def of(cls, value: Any) -> PluginPickle:
        """Pack a value, here."""
        return cls(tuple(METHODS.files), pickle.dumps(value, pickle.HIGHEST_PROTOCOL))

    def open(self) -> Any:
        """Unpack it, there."""
        for path in self.plugins:
            if path not in METHODS.files:
                METHODS.add_file(path)
        return pickle.loads(self.data)
