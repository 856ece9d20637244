"""Python files given by the user: a plugin, a network."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from denoisebench.core.errors import ContractError, UserError, explain
from denoisebench.core.isolation import isolated
from denoisebench.core.text import file_part

#: By module, what a file did on import that no method may do.
FLAWS: dict[str, str] = {}
# Of the names of their modules.
_PREFIX = "denoisebench_"


def load_user_file(path: Path, kind: str) -> ModuleType:
    """Run a Python file and return its module.

    Parameters
    ----------
    path : Path
        The file.
    kind : str
        What it is to hold, for messages: 'Plugin', 'Network'.

    Raises
    ------
    UserError
        The file does not exist, is no Python file, or fails on import.
    """
    if path.is_dir():
        raise UserError(f"{kind} {path} is a folder; name the Python file in it.")
    if not path.is_file():
        raise UserError(f"{kind} file {path} does not exist.")
    module_name = _module_name(path, kind)
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{kind} file {path} is not a Python file (.py).")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(module_name)
    sys.modules[module_name] = module
    _import_torch_before(path)
    try:
        with isolated():
            spec.loader.exec_module(module)
    except ContractError as error:
        # Its functions work with what was put back; whoever uses them is told.
        FLAWS[module_name] = f"on import, {error}"
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        sys.modules.pop(module_name, None)
        if before is not None:
            sys.modules[module_name] = before
        raise UserError(
            f"{kind} file {path} fails on import: {explain(error)}{line_of(error)}{_beside(path, error)}"
        ) from error
    return module


def _beside(path: Path, error: BaseException) -> str:
    """What to do if the module that was not found lies beside the file."""
    name = error.name.partition(".")[0] if isinstance(error, ModuleNotFoundError) and error.name else ""
    if not name or not any((path.parent / place).exists() for place in (name, f"{name}.py")):
        return ""
    return (
        f". It lies beside the file, in a folder that Python does not search: add {path.parent.resolve()} to PYTHONPATH"
    )


def line_of(error: BaseException, module: str = _PREFIX) -> str:
    """Where in a file of the user an error was raised, as a part of a sentence; '' where none is in its traceback.

    Parameters
    ----------
    error : BaseException
        With its traceback.
    module : str
        What the name of the file's module begins with; of a file that is installed, that name.
    """
    steps = reversed(list(traceback.walk_tb(error.__traceback__)))
    for frame, number in steps:
        if str(frame.f_globals.get("__name__", "")).startswith(module):
            return f" ({Path(frame.f_code.co_filename).name}, line {number})"
    return ""


@contextlib.contextmanager
def loaded_again(module_name: str) -> Iterator[ModuleType | None]:
    """The module of a user's file as it is before any of its functions was called; None if it is no such module."""
    spec = getattr(sys.modules.get(module_name), "__spec__", None)
    if not module_name.startswith(_PREFIX) or spec is None or spec.origin is None:
        yield None
        return
    name = f"{module_name}_again"
    again = importlib.util.spec_from_file_location(name, spec.origin)
    assert again is not None
    assert again.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(again)
    try:
        with isolated():
            again.loader.exec_module(module)
        yield module
    finally:
        sys.modules.pop(name, None)


def _module_name(path: Path, kind: str) -> str:
    """The name in sys.modules, by which pickles find a class: no dots, the same in every process."""
    place = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:8]
    return f"{_PREFIX}{kind.lower()}_{file_part(path.stem)}_{place}".replace(".", "_")


def _import_torch_before(path: Path) -> None:
    """Have torch imported before a file that mentions it runs, so that what the file changes in it is noticed."""
    try:
        mentioned = b"torch" in path.read_bytes()
    except OSError:
        return
    if mentioned and "torch" not in sys.modules:
        with contextlib.suppress(ImportError):
            importlib.import_module("torch")
