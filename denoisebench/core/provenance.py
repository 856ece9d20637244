"""What a number depends on: source code, library versions, machine. Nothing here imports what it names."""

from __future__ import annotations

import ast
import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from denoisebench.core.moved import new_names
from denoisebench.core.places import package_places

# Modules whose code decides a score, or a trained network; the rest can change without making results stale.
EVALUATION = (
    "protocol/noise", "protocol/seeds", "protocol/draws", "protocol/images", "protocol/metrics", "protocol/protocol",
    "evaluation/evaluate",
)  # fmt: skip
NETWORKS = ("networks", "networks/unet", "networks/fast", "networks/blindspot", "networks/dncnn")
TRAINING = (
    "protocol/noise",
    "protocol/seeds",
    "training/recipe",
    "training/job",
    "training/records",
    "training/crops",
    "training/loop",
    "training/train",
    "training/distributed",
    "training/optimiser",
    *NETWORKS,
)
FITTING = ("evaluation/fit",)
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
# What a plugin imports from here is the contract, or is in one of the two lists already.
_CONTRACT = {
    "plugins/method",
    "data/dataset",
    "data/manifest",
    "core/errors",
    "core/lazy",
    *EVALUATION,
    *TRAINING,
    *FITTING,
}


@cache
def source_digest(path: Path) -> str:
    """SHA-256 of a Python file's code: comments, docstrings and layout do not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


@cache
def code_digest(modules: tuple[str, ...]) -> str:
    """One digest for some modules of the package, named as `EVALUATION` does."""
    paths = [path for name in modules if (path := _file_of(name)) is not None]
    return hashlib.sha256("".join(map(source_digest, paths)).encode()).hexdigest()


def _file_of(module: str) -> Path | None:
    """The file of a module of the package, wherever the package has its parts (``methods/`` may lie beside it)."""
    for root in package_places():
        for path in (root / f"{module}.py", root / module / "__init__.py"):
            if path.is_file():
                return path
    return None


@cache
def plugin_digest(path: Path) -> str:
    """Digest of a plugin file and of the tools it takes from the package (a transform, and what that one takes)."""
    tools: set[str] = set()
    unread = [path]
    while unread:
        found = _imported(unread.pop()) - _CONTRACT - tools
        tools |= found
        unread += [file for name in found if (file := _file_of(name)) is not None]
    return hashlib.sha256((source_digest(path) + code_digest(tuple(sorted(tools)))).encode()).hexdigest()


def _imported(path: Path) -> set[str]:
    """Modules of the package that a file imports, named as `EVALUATION` does."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            # The second form is a module in ``from denoisebench.toolbox import vst``, and mostly no file at all.
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    ours = {name.split(".", 1)[1] for name in names if name.startswith("denoisebench.")}
    return {new.replace(".", "/") for name in ours for new in new_names(name)}


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Installed versions; 'absent' where a package is not installed."""
    return {package: _version(package) for package in packages}


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def machine() -> dict[str, Any]:
    """What the numbers were computed on, for the record only."""
    import os

    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
    }


@cache
def cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 numbers (AVX512-BF16, AMX, or Arm's BF16), as Linux tells."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return False
    lines = info.read_text(encoding="utf-8", errors="replace").lower().splitlines()
    flags = next((line for line in lines if line.startswith(("flags", "features"))), "")
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(flags.split()))


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def fingerprint(values: Mapping[str, Any]) -> str:
    """First 12 hex digits of the SHA-256 of a canonical JSON text."""
    return full_digest(values)[:12]


def full_digest(values: Mapping[str, Any]) -> str:
    """SHA-256 of a canonical JSON text: sorted keys, no spaces, floats by repr."""
    return hashlib.sha256(_CANONICAL.encode(values).encode()).hexdigest()
