"""Old import paths: what stood flat in ``denoisebench`` in version 0.1 is still found there, with a DeprecationWarning.

The package installs this finder when it is imported, so in every process that computes. It goes with version 0.3.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.abc import Loader

    _Base = Loader
else:
    _Base = object

#: Old module, and where its names are now; both without ``denoisebench.``.
MOVED: dict[str, tuple[str, ...]] = {
    **{name: (f"core.{name}",) for name in ("errors", "files", "interrupts", "lazy", "limits", "memory", "progress")},
    **{name: (f"core.{name}",) for name in ("provenance", "userfiles")},
    "images": ("protocol.images",),
    "metrics": ("protocol.metrics",),
    "noise": ("protocol.noise", "protocol.seeds", "protocol.draws"),
    "dataset": ("data.dataset", "data.manifest"),
    **{name: (f"data.{name}",) for name in ("captures", "fetch", "fmdd", "matfiles", "sidd_raw")},
    "method": ("plugins.method",),
    "parcel": ("plugins.parcel",),
    "registry": ("plugins.registry",),
    "scaffold": ("plugins.template",),
    **{name: (f"toolbox.{name}",) for name in ("bm3d_filter", "covariance", "estimation", "gaussian", "masking")},
    **{name: (f"toolbox.{name}",) for name in ("poisson_gaussian", "vst")},
    "checkpoint": ("training.checkpoint",),
    "parallel": ("training.distributed",),
    "weights": ("training.weights",),
    "contract": ("evaluation.contract",),
    "fitting": ("evaluation.fit",),
    "config": ("experiment.file",),
    "claims": ("execution.claims",),
    "describe": ("execution.describe", "training.records"),
    "estimate": ("execution.forecast",),
    "executors": ("execution.executors",),
    **{f"executors.{name}": (f"execution.executors.{name}",) for name in ("local", "ray", "serial")},
    "runner": ("execution.runner", "execution.plan", "execution.scheduler"),
    "tasks": ("execution.tasks", "training.crops"),
    **{name: (f"audit.{name}",) for name in ("scorings", "subject", "toggles")},
    "listing": ("commands.listing",),
    "publish": ("publishing.weights", "publishing.released"),
    "submission": ("publishing.submission",),
    **{f"reports.{name}": (f"reports.paper.{name}",) for name in ("paper_table", "printed", "published")},
}
#: The same for modules whose name is that of a package now.
PACKAGES: dict[str, tuple[str, ...]] = {
    "audit": ("audit.measure",),
    "evaluation": ("evaluation.evaluate", "protocol.protocol"),
    "experiment": ("experiment.cells", "experiment.options", "plugins.lookup"),
    "results": ("results.store",),
    "training": tuple(f"training.{name}" for name in ("recipe", "job", "records", "crops", "loop", "train")),
}
_ROOT = "denoisebench."


def new_names(name: str) -> tuple[str, ...]:
    """Where a module is now, by its name without ``denoisebench.``; the name itself if it has not moved."""
    return MOVED.get(name) or PACKAGES.get(name) or (name,)


def install() -> None:
    """Let Python ask here first: a folder that an older version left behind must not be taken for a package."""
    sys.meta_path.insert(0, _Finder)


class _Finder:
    """Knows the old names, and nothing else."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """How to import a module by its old name; None if it never was one."""
        old = name.removeprefix(_ROOT)
        if old == name or old not in MOVED:
            return None
        return ModuleSpec(name, _Loader(MOVED[old]), is_package=old == "executors")


class _Loader(_Base):
    """Makes a module that holds the names of those that took its place."""

    def __init__(self, places: Sequence[str]) -> None:
        self._places = [f"{_ROOT}{place}" for place in places]

    def create_module(self, spec: ModuleSpec) -> None:
        """Python's usual module will do."""

    def exec_module(self, module: ModuleType) -> None:
        _warn(module.__name__, self._places)
        for place in reversed(self._places):
            names = vars(importlib.import_module(place))
            vars(module).update({name: value for name, value in names.items() if not name.startswith("__")})
        # Names that have changed as well.
        vars(module)["__getattr__"] = partial(_find, module.__name__, self._places)


def _find(module: str, places: Sequence[str], name: str) -> Any:
    for place in places if not name.startswith("__") else ():
        found = getattr(importlib.import_module(place), name, None)
        if found is not None:
            return found
    raise AttributeError(f"module {module!r} has no attribute {name!r}")


def names_of(package: str) -> Callable[[str], Any]:
    """A ``__getattr__`` for a package that has the name of an old module: it finds what that module held."""

    def find(name: str) -> Any:
        # Python asks for a submodule's name as well, before it imports one.
        if not name.startswith("__") and importlib.util.find_spec(f"{package}.{name}") is None:
            for place in (f"{_ROOT}{place}" for place in PACKAGES[package.removeprefix(_ROOT)]):
                module = importlib.import_module(place)
                if hasattr(module, name):
                    _warn(f"{package}.{name}", [place])
                    return getattr(module, name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find


def _warn(old: str, new: Sequence[str]) -> None:
    text = f"{old} has moved to {', '.join(new)}; the old import path goes with denoisebench 0.3."
    warnings.warn(text, DeprecationWarning, stacklevel=3)
