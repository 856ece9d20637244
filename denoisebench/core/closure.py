"""The code that a number depends on: modules found by following imports, and one digest of what they define.

The closure of a module holds it and all that it imports, at the top or inside functions, as far as it belongs to the
package or to a user's plugin. The digest of a closure covers every definition, and what the names in it refer to. It
ignores import statements, docstrings, comments, layout, names of modules and places of files: definitions can be moved
to another module without changing it. Nothing is imported to compute it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from denoisebench.core.errors import UserError
from denoisebench.core.moved import new_names

PACKAGE = "denoisebench"
# Parts of a syntax tree that do not decide what the code does.
_IGNORED = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
_IMPORTERS = frozenset({"import_module", "__import__"})
_FILE_IMPORTERS = frozenset({"spec_from_file_location", "run_path", "run_module"})
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Import:
    """One imported name.

    Parameters
    ----------
    module : str
        Absolute name of the module.
    attribute : str
        What is taken from it; '' for the module itself, '*' for everything.
    bound : str
        The name it has here; '' if it has none.
    """

    module: str
    attribute: str
    bound: str

    @property
    def full(self) -> str:
        """Module and attribute as one dotted name."""
        return f"{self.module}.{self.attribute}" if self.attribute not in ("", "*") else self.module


@dataclass(frozen=True)
class Piece:
    """One statement at the top of a module: its canonical text, the names in it, and those that it binds."""

    text: str
    names: frozenset[str]
    binds: frozenset[str]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the text."""
        return _sha256(self.text)


@dataclass
class Module:
    """A Python file, parsed.

    Parameters
    ----------
    name : str
        Absolute dotted name.
    path : Path
        The file.
    """

    name: str
    path: Path
    imports: list[Import] = field(default_factory=list, init=False)
    #: What stands before a computed part in the names of modules that are imported; '' if nothing does.
    prefixes: list[str] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        source = self.path.read_bytes()
        self._tree = ast.parse(source, str(self.path))
        for node in _blocks(self._tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    bound = alias.asname or alias.name.partition(".")[0]
                    self.imports.append(Import(alias.name if alias.asname else bound, "", bound))
                    self.imports.append(Import(alias.name, "", ""))
            elif isinstance(node, ast.ImportFrom):
                origin = self._absolute(node.module or "", node.level)
                self.imports += [Import(origin, alias.name, alias.asname or alias.name) for alias in node.names]
        if any(name.encode() in source for name in _IMPORTERS | _FILE_IMPORTERS):
            for call in ast.walk(self._tree):
                if isinstance(call, ast.Call):
                    self._add_call(call)

    def _add_call(self, node: ast.Call) -> None:
        """Note an import by function, such as ``importlib.import_module("name")``."""
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if called in _FILE_IMPORTERS:
            self.prefixes.append("")
        if called not in _IMPORTERS or not node.args:
            return
        first = node.args[0]
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            bare = first.value.lstrip(".")
            self.imports.append(Import(self._absolute(bare, len(first.value) - len(bare)), "", ""))
            return
        start = first.values[0] if isinstance(first, ast.JoinedStr) else None
        known = isinstance(start, ast.Constant) and str(start.value).endswith(".")
        self.prefixes.append(str(start.value) if known and isinstance(start, ast.Constant) else "")

    def _absolute(self, name: str, level: int) -> str:
        if not level:
            return name
        parts = self.name.split(".")
        up = level - 1 if self.path.name == "__init__.py" else level
        return ".".join([*parts[: max(0, len(parts) - up)], *([name] if name else [])])

    @cached_property
    def pieces(self) -> list[Piece]:
        """The statements at the top, without imports and docstring."""
        found = []
        for statement in _statements(self._tree, self._tree.body):
            out: list[str] = []
            names: set[str] = set()
            _spell(statement, out, names)
            found.append(Piece("".join(out), frozenset(names), frozenset(_bound(statement))))
        return found

    @cached_property
    def definitions(self) -> dict[str, str]:
        """Digest of the statements that bind a name, by name."""
        texts: dict[str, list[str]] = {}
        for piece in self.pieces:
            for name in piece.binds:
                texts.setdefault(name, []).append(piece.digest)
        return {name: _sha256(" ".join(digests)) for name, digests in texts.items()}

    @cached_property
    def bindings(self) -> dict[str, list[Import]]:
        """Imports by the name they have here."""
        found: dict[str, list[Import]] = {}
        for one in self.imports:
            if one.bound:
                found.setdefault(one.bound, []).append(one)
        return found

    @cached_property
    def digest(self) -> str:
        """Digest of everything in this module."""
        return _sha256(" ".join(sorted(piece.digest for piece in self.pieces)))


class Code:
    """The modules of the package, and those of a user's plugin.

    Parameters
    ----------
    roots : sequence of Path
        Folders that hold the parts of the package.
    files : mapping of str to Path
        Files of the user's that were loaded under a name of their own.
    """

    def __init__(self, roots: Sequence[Path], files: Mapping[str, Path] | None = None) -> None:
        self._roots = roots
        self._files = dict(files or {})
        # A plugin's own package counts as the user's wherever it is installed.
        self._homes = {name.partition(".")[0] for name in self._files}
        self._modules: dict[str, Module] = {}
        self._tops: dict[str, tuple[list[Path], Path | None]] = {}
        self._places: dict[str, Path | None] = {}

    def with_files(self, files: Mapping[str, Path]) -> Code:
        """The same code, with some modules, or modules more, from files of their own."""
        other = Code(self._roots, files)
        other._modules = {name: module for name, module in self._modules.items() if name not in files}
        return other

    def closure(self, starts: Iterable[str], leave: Collection[str] = (), by_name: bool = True) -> set[str]:
        """Names of the modules that some modules depend on, their own included.

        Parameters
        ----------
        starts : iterable of str
            Absolute names.
        leave : collection of str
            Modules that are neither included nor followed.
        by_name : bool
            Also follow imports whose names are computed, to every module that they can reach.

        Raises
        ------
        UserError
            A module of the package is missing, or a name is computed from nothing that is known here.
        """
        found: set[str] = set()
        waiting = list(starts)
        for name in waiting:
            if self._place(name) is None:
                raise UserError(f"There is no module {name}.")
        while waiting:
            name = waiting.pop()
            if name in found or name in leave:
                continue
            found.add(name)
            module = self._module(name)
            if module is not None:
                waiting += self._imported(module)
                waiting += self._by_name(module) if by_name or not _of_package(name) else []
        return {name for name in found if self._file(name) is not None}

    def digest(self, names: Iterable[str], opaque: Collection[str] = ()) -> str:
        """One digest of some modules.

        Parameters
        ----------
        names : iterable of str
            As `closure` returns them.
        opaque : collection of str
            Modules of which only the names count that others take from them.
        """
        pieces: set[str] = set()
        for name in names:
            module = self._module(name)
            if module is None:
                path = self._file(name)
                assert path is not None
                pieces.add(hashlib.sha256(path.read_bytes()).hexdigest())
                continue
            stars = [f"*={self._target(module, one, opaque)}" for one in module.bindings.get("*", ())]
            for piece in module.pieces:
                meanings = [
                    f"{word}={meaning}"
                    for word in piece.names
                    for meaning in self._meanings(module, word, opaque, frozenset())
                ]
                pieces.add(_sha256("\n".join([piece.text, *sorted(meanings + stars)])))
        return _sha256(" ".join(sorted(pieces)))

    def submodules(self, package: str) -> list[str]:
        """Absolute names of the modules directly in a package."""
        folders = [root.joinpath(*package.split(".")[1:]) for root in self._roots]
        paths = [path for folder in folders for path in (*folder.glob("*.py"), *folder.glob("*/__init__.py"))]
        names = {path.parent.name if path.parent not in folders else path.stem for path in paths}
        return sorted(f"{package}.{name}" for name in names - {"__init__"})

    def outside(self, names: Iterable[str]) -> set[str]:
        """Top-level modules that some modules import and that are installed, the standard library excepted."""
        modules = [module for name in names if (module := self._module(name))]
        tops = {one.module.partition(".")[0] for module in modules for one in module.imports}
        mine = {PACKAGE, "", *sys.stdlib_module_names}
        return {top for top in tops - mine if self._place(top) is None}

    def _module(self, name: str) -> Module | None:
        """A module, parsed once; None for what is not written in Python."""
        if name not in self._modules:
            path = self._file(name)
            if path is None or path.suffix != ".py":
                return None
            module = self._modules[name] = Module(name, path)
            module.imports = [now for one in module.imports for now in self._now(module, one)]
        return self._modules[name]

    def _now(self, module: Module, one: Import) -> list[Import]:
        """An import by an old path of the package, as imports by the new ones."""
        if not _of_package(one.module) or (self._place(one.full) is not None and one.full != one.module):
            return [one]
        old = one.full if one.module == PACKAGE else one.module
        places = [f"{PACKAGE}.{name}" for name in new_names(old.removeprefix(f"{PACKAGE}."))]
        if places == [old] or (one.module != PACKAGE and self._defines(one.module, one.attribute)):
            return [one]
        if one.module == PACKAGE:
            return [Import(place, "", one.bound) for place in places]
        return [replace(one, module=place) for place in places if self._defines(place, one.attribute)] or [
            replace(one, module=place) for place in places
        ]

    def _defines(self, name: str, attribute: str) -> bool:
        module = self._module(name)
        return module is not None and attribute in module.definitions

    def _imported(self, module: Module) -> Iterator[str]:
        """Modules of the package or of the user that a module imports, with the packages around them."""
        for one in module.imports:
            ours = _of_package(one.module)
            if not ours and _of_package(module.name):
                continue
            if ours and self._place(one.module) is None:
                raise UserError(f"{module.path} imports {one.module}, which does not exist.")
            parts = one.full.split(".")
            for count in range(2 if ours else 1, len(parts) + 1):
                name = ".".join(parts[:count])
                if self._place(name) is not None:
                    yield name

    def _by_name(self, module: Module) -> Iterator[str]:
        """Modules that imports by a computed name can reach: those of a package, or for a user those beside it."""
        for prefix in module.prefixes:
            if _of_package(module.name):
                if not _of_package(prefix):
                    raise UserError(f"{module.path} imports a module whose name cannot be read off the code.")
                yield from self.submodules(prefix.rstrip("."))
                continue
            top = module.name.partition(".")[0]
            base = self._top(top)[0][0] if "." in module.name and self._top(top)[0] else module.path.parent
            for path in sorted(base.rglob("*.py") if base.name == top else base.glob("*.py")):
                parts = path.relative_to(base).with_suffix("").parts
                name = ".".join(([top] if base.name == top else []) + [part for part in parts if part != "__init__"])
                self._files.setdefault(name, path)
                yield name

    def _file(self, name: str) -> Path | None:
        """The file of a module; None for a mere folder, and for what is neither the package's nor the user's."""
        place = self._place(name)
        return place if place is not None and place.is_file() else None

    def _place(self, name: str) -> Path | None:
        """File or folder of a module of the package or of the user, else None."""
        if name in self._files:
            return self._files[name]
        if name not in self._places:
            self._places[name] = self._find(name)
        return self._places[name]

    def _find(self, name: str) -> Path | None:
        top, *rest = name.split(".")
        folders, file = (list(self._roots), None) if top == PACKAGE else self._top(top)
        if not rest:
            return file or (_in_folder(folders[0].parent, folders[0].name) if folders else None)
        places = (_in_folder(folder.joinpath(*rest[:-1]), rest[-1]) for folder in folders)
        return next((place for place in places if place is not None), None)

    def _top(self, top: str) -> tuple[list[Path], Path | None]:
        """Folders and file of a top-level module of the user's own; nothing for an installed one."""
        if top not in self._tops:
            self._tops[top] = _own_top(top, top in self._homes)
        return self._tops[top]

    def _meanings(self, module: Module, word: str, opaque: Collection[str], seen: frozenset[str]) -> list[str]:
        """What a name of a module refers to, as texts without the place of anything."""
        here = [module.definitions[word]] if word in module.definitions else []
        return here + [self._target(module, one, opaque, seen) for one in module.bindings.get(word, ())]

    def _target(self, module: Module, one: Import, opaque: Collection[str], seen: frozenset[str] = frozenset()) -> str:
        last = (one.attribute or one.module).rpartition(".")[2]
        if (_of_package(module.name) and not _of_package(one.module)) or self._place(one.module) is None:
            return one.full
        if one.module in opaque or one.full in opaque or one.module == PACKAGE == one.full:
            return last
        inner = self._module(one.full)
        if inner is not None:
            return f"module {inner.digest}"
        source = self._module(one.module)
        where = f"{one.module}:{one.attribute}"
        if source is None or where in seen:
            return last
        return " ".join(self._meanings(source, one.attribute, opaque, seen | {where})) or last


def _of_package(name: str) -> bool:
    return name == PACKAGE or name.startswith(f"{PACKAGE}.")


def _in_folder(folder: Path, name: str) -> Path | None:
    """The file or folder of a module in a folder, as an import would find it."""
    for path in (folder / name / "__init__.py", folder / f"{name}.py"):
        if path.is_file():
            return path
    compiled = next((path for path in folder.glob(f"{name}.*") if path.suffix in (".so", ".pyd")), None)
    return compiled or (folder / name if (folder / name).is_dir() else None)


def _own_top(top: str, home: bool) -> tuple[list[Path], Path | None]:
    if not top or top in sys.stdlib_module_names:
        return [], None
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return [], None
    if spec is None or (spec.origin is None and not spec.submodule_search_locations):
        return [], None
    folders = [Path(place) for place in spec.submodule_search_locations or ()]
    file = Path(spec.origin) if spec.origin is not None and spec.has_location else None
    places = [*folders, *([file] if file and not folders else [])]
    if not places or (not home and any(_installed(place.parent) for place in places)):
        return [], None
    return folders, file


def _installed(folder: Path) -> bool:
    """Whether a folder is one that packages are installed into, so that their versions say what they are."""
    return folder.name in ("site-packages", "dist-packages") or next(folder.glob("*.dist-info"), None) is not None


def _type_checking(statement: ast.AST) -> bool:
    """Whether this is ``if TYPE_CHECKING``, whose body never runs."""
    if not isinstance(statement, ast.If):
        return False
    return "TYPE_CHECKING" in (getattr(statement.test, "id", ""), getattr(statement.test, "attr", ""))


def _blocks(tree: ast.Module) -> Iterator[ast.AST]:
    """The statements of a file and the blocks they are in, without what only type checkers see."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        one = waiting.pop()
        yield one
        for part in ("orelse",) if _type_checking(one) else _BLOCKS:
            waiting += getattr(one, part, ())


def _statements(owner: ast.AST, body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a body that do something."""
    for number, statement in enumerate(body):
        if isinstance(statement, ast.Import | ast.ImportFrom):
            continue
        text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if number == 0 and text and isinstance(owner, _DOCUMENTED):
            continue
        if isinstance(statement, ast.If) and _type_checking(statement):
            yield from _statements(statement, statement.orelse)
        else:
            yield statement


def _spell(node: ast.AST, out: list[str], names: set[str]) -> None:
    """Append a canonical text of a node, equal in all versions of Python, and the names in it."""
    if isinstance(node, ast.Constant):
        out.append(f"{type(node.value).__name__} {node.value!r};")
        return
    if isinstance(node, ast.Name):
        names.add(node.id)
    out.append(f"{type(node).__name__}(")
    for part in node._fields:
        value = getattr(node, part, None)
        # Newer versions of Python have more fields, which are empty for older code.
        if value is None or value == [] or part in _IGNORED:
            continue
        out.append(f"{part}=")
        if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
            value = list(_statements(node, value))
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, ast.AST):
                _spell(one, out, names)
            else:
                out.append(repr(one))
            out.append(",")
    out.append(")")


def _bound(statement: ast.stmt) -> set[str]:
    """Names that a statement at the top of a module binds."""
    if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return {statement.name}
    found = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()
