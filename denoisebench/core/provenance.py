"""What a number depends on beyond the code: library versions and the machine. Nothing here imports what it names."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Installed versions; 'absent' where a package is not installed."""
    return {package: _version(package) for package in packages}


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def distribution_versions(modules: Iterable[str]) -> dict[str, str]:
    """Installed versions of the distributions that some top-level modules belong to, by module."""
    wanted = sorted(modules)
    known = packages_distributions() if wanted else {}
    return {module: " ".join(sorted(f"{name} {_version(name)}" for name in known.get(module, ()))) for module in wanted}


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
