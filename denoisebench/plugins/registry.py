"""Finding plugins without importing any of them by name.

A built-in plugin is a file in ``methods/`` or ``datasets/`` whose name is the plugin's name: Python, or TOML for a
data set without any logic. A third-party one is an entry point of the group ``denoisebench.methods`` or
``denoisebench.datasets``, or a file given by ``--plugin``. Names are known without importing or reading anything; a
plugin is loaded when it is asked for.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import pkgutil
import re
import threading
from collections.abc import Callable
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Generic, TypeVar

from denoisebench.core.errors import UserError, unknown
from denoisebench.core.files import file_sha256
from denoisebench.core.userfiles import load_user_file
from denoisebench.data.dataset import DataSet, FolderSet
from denoisebench.data.definition import define
from denoisebench.plugins.dataset_contract import data_set_flaw
from denoisebench.plugins.method import Info, LearnedMethod, Method, Need, PerImageMethod, PlainMethod, setting_flaw

#: In a list of methods, every method that it does not name itself.
ALL = "all"
#: What can be asked for on the command line, with settings in brackets behind it.
METHOD_NAME = r"[A-Za-z_][\w-]*"

T = TypeVar("T")
#: How the name of a data set's file ends.
TOML = ".toml"
#: Characters of a label; longer ones fit into no table.
LONGEST_LABEL = 400


class Registry(Generic[T]):
    """Plugins of one kind, by name.

    Parameters
    ----------
    kind : str
        'method' or 'data set', for messages.
    package : str
        The package whose modules are the built-in plugins.
    base : type[T]
        The class a plugin derives from.
    abstract : tuple[type, ...]
        Classes of the contract itself, never plugins.
    group : str | None
        Of the entry points of third parties; named like the package unless given.
    define : Callable[[Path], type[T]] | None
        Makes a class of a TOML file, for a kind of plugin that can be one.
    """

    def __init__(
        self,
        kind: str,
        package: str,
        base: type[T],
        abstract: tuple[type, ...],
        group: str | None = None,
        define: Callable[[Path], type[T]] | None = None,
    ) -> None:
        self.kind = kind
        self._package = package
        self._group = group or package
        self._base = base
        self._abstract = abstract
        self._define = define
        self._loaders: dict[str, Callable[[], type[T]]] | None = None
        self._origins: dict[str, str] = {}
        self._classes: dict[str, type[T]] = {}
        #: Plugin files that were loaded, absolute.
        self.files: list[Path] = []
        self._loaded: dict[Path, tuple[str, str]] = {}
        # Names that are half collected are none for other threads to see.
        self._lock = threading.RLock()

    def names(self) -> list[str]:
        """All known names, sorted."""
        return sorted(self._known())

    def origin(self, name: str) -> str:
        """Where a plugin comes from, for listings and messages."""
        self._known()
        return self._origins[name]

    def get(self, name: str) -> type[T]:
        """The class of that name, imported now if it was not yet.

        Raises
        ------
        UserError
            With the nearest name, if there is no such plugin, or with the reason why it does not import.
        """
        if name not in self._classes:
            loaders = self._known()
            if name not in loaders:
                raise unknown(self.kind, name, loaders)
            self._classes[name] = loaders[name]()
        return self._classes[name]

    def usable(self) -> tuple[dict[str, type[T]], list[str]]:
        """The classes by name, for who looks at all of them, and why each of the others cannot be used."""
        classes: dict[str, type[T]] = {}
        faults = []
        for name in self.names():
            try:
                classes[name] = self.get(name)
            except UserError as error:
                faults.append(str(error))
        return classes, faults

    def add_file(self, path: Path) -> str:
        """Load one plugin file given by the user and return the plugin's name; the same file again is no second one.

        Raises
        ------
        UserError
            There is no usable plugin in it, its name is taken, or it was loaded and has been changed since.
        """
        with self._lock:
            return self._added(path, path.resolve())

    def _added(self, path: Path, resolved: Path) -> str:
        if resolved in self.files:
            name, digest = self._loaded[resolved]
            if digest != file_sha256(resolved):
                raise UserError(f"Plugin file {path} was changed after it was loaded; start Python anew to use it.")
            return name
        if self._define is not None and path.suffix == TOML:
            plugin = self._define(path)
        else:
            plugin = self._only_plugin(load_user_file(path, "Plugin"), str(path))
        name = str(getattr(plugin, "name", ""))
        self._register(name, lambda: plugin, f"file {path}")
        self.files.append(resolved)
        self._loaded[resolved] = name, file_sha256(resolved)
        return name

    def _known(self) -> dict[str, Callable[[], type[T]]]:
        with self._lock:
            if self._loaders is None:
                self._loaders = {}
                try:
                    self._discover()
                except UserError:
                    self._loaders = None
                    self._origins.clear()
                    raise
            return self._loaders

    def _discover(self) -> None:
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__):
            if not module.name.startswith("_"):
                self._register(module.name, self._builtin(module.name), "built in")
        if self._define is not None:
            for path in sorted(path for place in package.__path__ for path in Path(place).glob(f"*{TOML}")):
                self._register(path.stem, partial(self._define, path), "built in")
        for point in entry_points(group=self._group):
            self._register(point.name, self._from_entry_point(point), f"entry point {point.value}")

    def _register(self, name: str, loader: Callable[[], type[T]], origin: str) -> None:
        loaders = self._known() if self._loaders is None else self._loaders
        if name in loaders:
            raise UserError(
                f"The {self.kind} name {name!r} is taken twice: {self._origins[name]} and {origin}. Rename one of them."
            )
        loaders[name] = loader
        self._origins[name] = origin

    def _builtin(self, name: str) -> Callable[[], type[T]]:
        def load() -> type[T]:
            plugin = self._only_plugin(importlib.import_module(f"{self._package}.{name}"), name)
            if getattr(plugin, "name", None) != name:
                raise UserError(f"The plugin file {name}.py must define a {self.kind} named {name!r}.")
            return plugin

        return load

    def _from_entry_point(self, point: EntryPoint) -> Callable[[], type[T]]:
        def load() -> type[T]:
            where = f"{point.name} (entry point {point.value})"
            try:
                plugin = self.check(point.load(), where)
            except UserError:
                raise
            except (Exception, SystemExit) as error:
                raise UserError(f"Plugin {where} fails on import: {type(error).__name__}: {error}") from error
            name = getattr(plugin, "name", None)
            if name != point.name:
                raise UserError(f"Plugin {where} must be a {self.kind} named {point.name!r}, not {name!r}.")
            return plugin

        return load

    def _only_plugin(self, module: ModuleType, where: str) -> type[T]:
        found = [
            value
            for value in vars(module).values()
            if inspect.isclass(value)
            and issubclass(value, self._base)
            and value not in self._abstract
            and value.__module__ == module.__name__
            and getattr(value, "name", None)
        ]
        if not found and self._base is Method and any(map(_is_data_set, vars(module).values())):
            raise UserError(
                f"Plugin {where} defines a data set, and a Python file given by --plugin a method: install its class "
                "as an entry point of denoisebench.datasets or put it into datasets/; `data manifest` writes a TOML."
            )
        if len(found) != 1:
            several = f": {', '.join(one.__name__ for one in found)}" if found else ""
            raise UserError(
                f"Plugin {where} must define exactly one {self.kind} (a subclass of denoisebench.{self._base.__name__} "
                f"with a name, such as name = {Path(where).stem!r}), not {len(found)}{several}."
            )
        return self.check(found[0], where)

    def check(self, plugin: object, where: str) -> type[T]:
        """The class of a plugin, if it has all that one declares.

        Raises
        ------
        UserError
            What is missing or not allowed; ``where`` says of which.
        """
        if not inspect.isclass(plugin) or not issubclass(plugin, self._base):
            raise UserError(f"Plugin {where} is not a subclass of denoisebench.{self._base.__name__}.")
        if issubclass(plugin, Method) and not isinstance(getattr(plugin, "info", None), Info):
            raise UserError(f"Method plugin {where} lacks its metadata: set `info = Info(label=...)`.")
        if issubclass(plugin, Method) and (not re.fullmatch(METHOD_NAME, str(plugin.name)) or plugin.name == ALL):
            raise UserError(
                f"Method plugin {where}: its name {plugin.name!r} is not allowed: a letter, then letters, digits, _ "
                f"and -, and not {ALL!r}, which means all methods."
            )
        if issubclass(plugin, Method) and (flaw := _info_flaw(plugin.info)):
            raise UserError(f"Method plugin {where}: {flaw}.")
        if issubclass(plugin, Method) and (flaw := _attribute_flaw(plugin)):
            raise UserError(f"Method plugin {where}: {flaw}.")
        if issubclass(plugin, DataSet) and (flaw := data_set_flaw(plugin)):
            raise UserError(f"Data set plugin {where}: {flaw}.")
        for setting in dataclasses.fields(plugin) if dataclasses.is_dataclass(plugin) else ():
            if setting.init and setting.default is dataclasses.MISSING:
                made = setting.default_factory is not dataclasses.MISSING
                instead = " that is no default_factory: a number, a text or None" if made else ""
                raise UserError(f"Method plugin {where}: its setting {setting.name!r} needs a default value{instead}.")
            problem = setting_flaw(setting.default) if setting.default is not dataclasses.MISSING else ""
            if problem:
                raise UserError(f"Method plugin {where}: the default of its setting {setting.name!r}, {problem}.")
        return plugin


def _is_data_set(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, DataSet) and value not in (DataSet, FolderSet)


def _info_flaw(info: Info) -> str:
    """What of the metadata is of another type than `Info` says, or ''."""
    texts = (info.label, info.paper, info.bibtex, info.licence)
    if not all(isinstance(text, str) for text in texts) or not info.label.strip() or len(info.label) > LONGEST_LABEL:
        return (
            f"label, paper, bibtex and licence of its Info must be texts, the label of 1 to {LONGEST_LABEL} characters"
        )
    if not isinstance(info.needs, frozenset) or not all(isinstance(need, Need) for need in info.needs):
        return "needs of its Info must be a frozenset of Need"
    if type(info.multiple) is not int or not 1 <= info.multiple <= 4096:
        return "multiple of its Info must be a whole number from 1 to 4096"
    if not isinstance(info.channels, tuple) or not all(type(count) is int for count in info.channels):
        return "channels of its Info must be a tuple of whole numbers"
    if not isinstance(info.packages, tuple) or not all(isinstance(package, str) for package in info.packages):
        return "packages of its Info must be a tuple of names"
    return ""


def _attribute_flaw(plugin: type[Method]) -> str:
    """What of the attributes that a method may set for itself is missing or of another type, or ''."""
    for name in ("families", "inference_only", "added_later"):
        value = getattr(plugin, name)
        if not isinstance(value, frozenset) or not all(isinstance(each, str) for each in value):
            return f"its {name} must be a frozenset of texts, not {value!r}"
    whole = {LearnedMethod: ("crop_multiple",), PerImageMethod: ("steps", "paper_steps")}
    for shape, names in whole.items():
        for name in names if issubclass(plugin, shape) else ():
            value = getattr(plugin, name, None)
            if type(value) is not int or value < 1:
                what = f", not {value!r}" if hasattr(plugin, name) else "; it is missing"
                return f"its {name} must be a whole number from 1{what}"
    return ""


_SHAPES = (Method, PlainMethod, LearnedMethod, PerImageMethod)
METHODS: Registry[Method] = Registry("method", "denoisebench.methods", Method, _SHAPES)
DATASETS: Registry[DataSet] = Registry(
    "data set", "denoisebench.datasets", DataSet, (DataSet, FolderSet), define=define
)
