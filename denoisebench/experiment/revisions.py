"""When numbers change: two versions, the record of the code under each, and what a plugin is keyed by.

A score is stored under `PROTOCOL_VERSION`, a trained network under `TRAINING_VERSION`, each beside the digest of its
plugin and its settings. The digest of the suite's own code is written down, but decides nothing: code can be rewritten
without losing results. So that nobody forgets to raise a version, ``revisions.toml`` lists every digest that the code
under a version has had, each with a reason why no number changed; `problems` says what is missing there. For shipped
methods it lists the digests that give the same numbers, and results are kept under the first of them.

    python -m denoisebench.experiment.revisions check
    python -m denoisebench.experiment.revisions same "one sentence: why no number changes" [UNIT ...]
    python -m denoisebench.experiment.revisions changed "one sentence: what changes the numbers" [UNIT ...]
"""

from __future__ import annotations

import inspect
import json
import sys
import tomllib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from denoisebench.core import (
    closure,
    errors,
    files,
    interrupts,
    lazy,
    limits,
    locks,
    memory,
    moved,
    ownfiles,
    places,
    printing,
    progress,
    provenance,
    userfiles,
)
from denoisebench.core.closure import PACKAGE, Code
from denoisebench.core.errors import UserError
from denoisebench.core.places import package_places
from denoisebench.core.provenance import distribution_versions, full_digest
from denoisebench.data import definition, fetch
from denoisebench.data.dataset import DataSet
from denoisebench.data.definition import built_in_files, define, definition_of, is_built_in
from denoisebench.evaluation import evaluate
from denoisebench.networks import user_network
from denoisebench.plugins import parcel, registry
from denoisebench.plugins.method import LearnedMethod, Method
from denoisebench.training import crops, train, weights

#: Raise it when the same method, network and settings would give other scores than before.
PROTOCOL_VERSION = 1
#: Raise it when the same training would give another network than before.
TRAINING_VERSION = 1

RECORD = Path(__file__).with_name("revisions.toml")
PROTOCOL, TRAINING = "protocol", "training"
_DATA = "data "
_VERSIONS = {PROTOCOL: PROTOCOL_VERSION, TRAINING: TRAINING_VERSION}
_METHODS, _DATASETS = f"{PACKAGE}.methods", f"{PACKAGE}.datasets"
# Where computing begins: one image to its score (fits included), and a training. Readers of images come with the data
# sets, which these modules are handed and do not import.
_STARTS: dict[str, Sequence[ModuleType]] = {
    PROTOCOL: (evaluate, weights, definition),
    TRAINING: (train, crops, definition),
}
# Modules that those import and that decide no number. What is forgotten here only makes the digests stricter.
_NOT_DECIDING: dict[ModuleType, str] = {
    closure: "reads code",
    errors: "words for the user",
    fetch: "downloads files, whose hashes are checked",
    files: "writes and reads values as they are",
    interrupts: "decides when a step ends, not what is in it",
    lazy: "imports torch later",
    limits: "ends what takes too long",
    locks: "decides who may write",
    memory: "returns memory to the system",
    moved: "finds old names of modules",
    ownfiles: "tells the program's files from the user's",
    parcel: "carries values to another process as they are",
    places: "finds files of the package",
    printing: "shows text",
    progress: "shows how far the work is",
    provenance: "describes",
    registry: "finds plugins, whose own digests are in the keys",
    userfiles: "runs files of the user, whose own digests are in the keys",
}


@dataclass(frozen=True)
class Entry:
    """One line of the record.

    Parameters
    ----------
    unit : str
        'protocol', 'training', 'method NAME', or 'data NAME' of a data set that is a TOML file.
    version : int
        Entries of equal unit and version stand for the same numbers.
    digest : str
        Of the code.
    reason : str
        Why no number changed since the entry before, or what did.
    """

    unit: str
    version: int
    digest: str
    reason: str


# --- what the keys are made of ---


def code_of(method: Method, dataset: DataSet) -> dict[str, str]:
    """Digests of the code that a user may write or change: the method's, and if they are own, network and data set.

    Two codes of a shipped method that are recorded to give the same numbers have the same digest here. How the level of
    real noise is found is a part of the key of real noise alone: other noise has the same numbers either way.
    """
    found = {"plugin": _first_recorded(f"method {method.name}", plugin_digest(type(method)))}
    network = user_network(method.network) if isinstance(method, LearnedMethod) else None
    if network is not None:
        found["network"] = file_digest(network)
    if dataset.real and (levels := getattr(method, "real_levels", "")):
        found["levels"] = levels
    data = _data_digest(type(dataset))
    return found if data is None else {**found, "data": data}


def _data_digest(kind: type[DataSet]) -> str | None:
    """Of a data set, if it is part of the key; results are older than the files of shipped ones in version 1."""
    found = definition_of(kind)
    if found is None:
        return None if _shipped(kind) else plugin_digest(kind)
    digest, unit = found.digest, f"{_DATA}{kind.name}"
    if not is_built_in(found.path):
        return digest
    return None if _in_version_1(unit, digest) else _first_recorded(unit, digest)


@cache
def _in_version_1(unit: str, digest: str) -> bool:
    return any((entry.unit, entry.version, entry.digest) == (unit, 1, digest) for entry in entries())


def plugin_digest(kind: type) -> str:
    """Digest of the code of a plugin class: its module, and all it imports beyond what every plugin shares."""
    if _shipped(kind):
        return module_digest(kind.__module__)
    return _users_digest(kind.__module__, inspect.getfile(kind))


def file_digest(path: Path) -> str:
    """Digest of a Python file of the user's, and of the modules of the user's that it imports."""
    return _users_digest(path.stem, str(path.resolve()))


@cache
def module_digest(module: str) -> str:
    """Digest of a module of the package, and of all that it imports beyond what every plugin shares."""
    return _digest_of_method(_code(), module, shared_modules())


@cache
def _users_digest(name: str, path: str) -> str:
    shared = shared_modules()
    code = _code().with_files({name: Path(path)})
    names = code.closure([name], shared)
    installed = code.outside(one for one in names if not one.startswith(f"{PACKAGE}."))
    return full_digest({"code": code.digest(names, shared), "packages": distribution_versions(installed)})


def _shipped(kind: type) -> bool:
    return kind.__module__.startswith(f"{PACKAGE}.")


@cache
def _first_recorded(unit: str, digest: str) -> str:
    """The first recorded digest that stands for the same numbers; the digest itself where it is not recorded."""
    own = [entry for entry in entries() if entry.unit == unit]
    version = next((entry.version for entry in own if entry.digest == digest), None)
    return next((entry.digest for entry in own if entry.version == version), digest)


# --- the suite's own code ---


@cache
def code_digest(unit: str) -> str:
    """Digest of the suite's own code behind a score (`PROTOCOL`) or a trained network (`TRAINING`)."""
    return digests_of((unit,))[unit]


def modules_of(unit: str, code: Code | None = None, by_name: bool = True) -> set[str]:
    """Names of the modules behind a score or a trained network.

    Parameters
    ----------
    unit : str
        `PROTOCOL` or `TRAINING`.
    code : Code, optional
        Another copy of the package than the one that runs.
    by_name : bool
        With the networks that are imported by name only.
    """
    code = code or _code()
    starts = [module.__name__ for module in _STARTS[unit]] + code.submodules(_DATASETS)
    return code.closure(starts, _left_out(), by_name)


def digests_of(units: Iterable[str] = (), code: Code | None = None) -> dict[str, str]:
    """Digests of units of the record.

    Parameters
    ----------
    units : iterable of str
        `PROTOCOL`, `TRAINING`, 'method NAME' or 'data NAME'; empty for all.
    code : Code, optional
        Another copy of the package than the one that runs.
    """
    code = code or _code()
    defined = {f"{_DATA}{path.stem}": path for path in built_in_files()}
    methods = {f"method {module.rpartition('.')[2]}": module for module in code.submodules(_METHODS)}
    wanted = tuple(units) or (*_STARTS, *methods, *defined)
    found = {unit: code.digest(modules_of(unit, code), _left_out()) for unit in wanted if unit in _STARTS}
    found |= {unit: _digest_of_file(defined[unit]) for unit in wanted if unit in defined}
    rest = [unit for unit in wanted if unit not in found]
    shared = shared_modules(code) if rest else frozenset()
    return found | {unit: _digest_of_method(code, methods[unit], shared) for unit in rest}


def _digest_of_file(path: Path) -> str:
    found = definition_of(define(path))
    assert found is not None
    return found.digest


def _digest_of_method(code: Code, module: str, shared: Collection[str]) -> str:
    return code.digest(code.closure([module], shared, by_name=False), shared)


def _left_out() -> set[str]:
    return {module.__name__ for module in _NOT_DECIDING}


@cache
def shared_modules(code: Code | None = None) -> frozenset[str]:
    """Modules that every plugin shares; the versions speak for them."""
    return frozenset(_left_out().union(*(modules_of(unit, code, by_name=False) for unit in _STARTS)))


@cache
def _code() -> Code:
    return Code(package_places())


def forget() -> None:
    """Read the code anew when it is asked for next."""
    for known in (
        module_digest,
        _users_digest,
        code_digest,
        shared_modules,
        _code,
        _first_recorded,
        _in_version_1,
        _read,
    ):
        known.cache_clear()


# --- the record ---


def entries() -> tuple[Entry, ...]:
    """The record; of each unit, oldest first."""
    return _read(RECORD)


@cache
def _read(path: Path) -> tuple[Entry, ...]:
    if not path.is_file():
        return ()
    return tuple(Entry(**values) for values in tomllib.loads(path.read_text(encoding="utf-8")).get("entry", ()))


def problems(recorded: Sequence[Entry], digests: dict[str, str]) -> list[str]:
    """What the record lacks, each with what to do about it.

    Parameters
    ----------
    recorded : sequence of Entry
        The record.
    digests : dict of str to str
        The code as it is, by unit (see `digests_of`).
    """
    command = f"python -m {__spec__.name if __spec__ else __name__}"
    found = []
    for unit, digest in digests.items():
        own = [entry for entry in recorded if entry.unit == unit]
        if not own and unit not in _VERSIONS:
            continue  # a new method: as long as nothing is recorded, every change of it gives it another key
        version = _VERSIONS.get(unit, own[-1].version if own else 0)
        if any(entry.digest == digest and entry.version == version for entry in own):
            continue
        if not any(entry.version == version for entry in own):
            found.append(f'{unit}, version {version} is not recorded; run: {command} changed "what changed" "{unit}"')
            continue
        raised = f"raise {unit.upper()}_VERSION in {Path(__file__).name} and " if unit in _VERSIONS else ""
        found.append(
            f"The code of {unit} has changed. If no number changes, run: "
            f'{command} same "why no number changes" "{unit}". '
            f'If numbers change, {raised}run: {command} changed "what changed" "{unit}".'
        )
    return found


def with_entry(
    recorded: Sequence[Entry], unit: str, digest: str, reason: str, numbers_change: bool
) -> tuple[Entry, ...]:
    """The record with one more entry.

    Raises
    ------
    UserError
        The version in the code does not agree with what is said of the numbers.
    """
    own = [entry for entry in recorded if entry.unit == unit]
    last = own[-1].version if own else 0
    version = _VERSIONS.get(unit, last + numbers_change)
    if numbers_change and version <= last:
        raise UserError(f"Numbers change, so raise {unit.upper()}_VERSION above {last} in {Path(__file__).name} first.")
    if not numbers_change and version != last:
        raise UserError(f"{unit}, version {version} is not recorded yet; say what changed with: changed.")
    if len(reason.split()) < 2 or not reason.isprintable():
        raise UserError(f"Reason {reason!r}: give one sentence in one line.")
    return (*recorded, Entry(unit, version, digest, reason))


def write(path: Path, recorded: Iterable[Entry]) -> None:
    """Write the record, unit by unit."""
    blocks = [f"# Written by: python -m {__spec__.name if __spec__ else __name__} same | changed"]
    for entry in sorted(recorded, key=lambda entry: entry.unit):
        values = (f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in vars(entry).items())
        blocks.append("\n".join(["[[entry]]", *values]))
    path.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """The command; see the head of this file."""
    digests = digests_of()
    recorded = entries()
    verb, reason, *units = [*arguments, "", ""][: max(2, len(arguments))]
    if verb not in ("check", "same", "changed"):
        print(__doc__, file=sys.stderr)
        return 2
    if verb != "check":
        known = {entry.unit for entry in recorded}
        open_units = [u for u, digest in digests.items() if u not in known or problems(recorded, {u: digest})]
        for unit in units or open_units:
            if unit not in digests:
                raise errors.unknown("unit", unit, digests)
            if unit in open_units:
                recorded = with_entry(recorded, unit, digests[unit], reason, verb == "changed")
        write(RECORD, recorded)
    lacking = problems(recorded, digests)
    print("\n".join(lacking) or "Every code is recorded.")
    return 1 if lacking else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
