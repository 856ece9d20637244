"""Values on their way to another process, together with the plugin files that must be loaded there first."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from denoisebench.core.errors import ContractError, explain
from denoisebench.networks import allow_files, allowed_networks
from denoisebench.plugins.registry import METHODS


@dataclass(frozen=True)
class PluginPickle:
    """Pickled values. Methods of installed plugins are found again by module, those of files after loading the file.

    Parameters
    ----------
    plugins : tuple[Path, ...]
        Files of ``--plugin``, absolute.
    networks : tuple[Path, ...]
        Files of networks that the user named, absolute.
    data : bytes
        The pickle; made and read by this program only, never stored.
    """

    plugins: tuple[Path, ...]
    networks: tuple[Path, ...]
    data: bytes

    @classmethod
    def of(cls, value: Any) -> PluginPickle:
        """Pack a value, here.

        Raises
        ------
        ContractError
            It cannot be pickled.
        """
        try:
            data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise ContractError(f"its settings cannot be sent to another process: {explain(error)}") from error
        return cls(tuple(METHODS.files), allowed_networks(), data)

    def open(self) -> Any:
        """Unpack it, there."""
        for path in self.plugins:
            if path not in METHODS.files:
                METHODS.add_file(path)
        allow_files(self.networks)
        return pickle.loads(self.data)
