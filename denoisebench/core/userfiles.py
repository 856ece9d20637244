"""Python files given by the user: a plugin, a network."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from denoisebench.core.errors import UserError


def load_user_file(path: Path, kind: str) -> ModuleType:
    """Run a Python file and return its module.

    Parameters
    ----------
    path : the file
    kind : what it is to hold, for messages: 'Plugin', 'Network'

    Raises
    ------
    UserError
        The file does not exist, is no Python file, or fails on import.
    """
    if not path.is_file():
        raise UserError(f"{kind} file {path} does not exist.")
    # The contract's plugins are dataclasses, whose annotations are looked up through sys.modules.
    module_name = f"denoisebench_{kind.lower()}_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{kind} file {path} is not a Python file (.py).")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        raise UserError(f"{kind} file {path} fails on import: {type(error).__name__}: {error}") from error
    return module
