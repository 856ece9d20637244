"""Trained networks as verified files: one safetensors file and one record each, listed in ``SHA256SUMS``.

A folder of weights holds ``METHOD-NOISE-rgb.safetensors`` (``gray`` for one channel; settings that differ from the
method's defaults add eight hex digits), the record of its training as JSON, and ``SHA256SUMS`` in the format of the
``sha256sum`` command. Nothing is unpickled, and nothing is loaded whose hash is not the listed one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from denoisebench.core.errors import UserError
from denoisebench.core.files import Damaged, file_sha256, make_folder, parse_json, read_bytes, read_text, write_bytes
from denoisebench.core.lazy import torch
from denoisebench.core.locks import locked
from denoisebench.core.ownfiles import keep_foreign
from denoisebench.core.places import package_places
from denoisebench.core.provenance import full_digest
from denoisebench.core.schema import RECORD, flaw
from denoisebench.core.systemfiles import own_entries
from denoisebench.core.text import file_part, unheard
from denoisebench.networks import placed
from denoisebench.plugins.method import LearnedMethod
from denoisebench.plugins.registry import METHODS
from denoisebench.protocol.images import CHANNEL_NAMES
from denoisebench.protocol.noise import REAL

WEIGHTS_VARIABLE = "DENOISEBENCH_WEIGHTS"
SUMS = "SHA256SUMS"
LARGEST_LIST = 2**24
#: A PSNR of which every image equals its reference; JSON has no infinity.
PERFECT = "inf"


@dataclass(frozen=True)
class Weights:
    """One trained network on disk.

    Parameters
    ----------
    path : Path
        The safetensors file.
    sha256 : str
        Its listed hash.
    record : Mapping[str, Any]
        Method, training settings, noise, channels, summary, and whatever its training recorded.
    """

    path: Path
    sha256: str
    record: Mapping[str, Any]

    @property
    def text(self) -> str:
        """One phrase for a table: how it was trained, and where it comes from."""
        origin = "shipped" if self.path.parent == shipped_folder() else f"weights {self.sha256[:8]}"
        return f"{self.record['summary']} ({origin})"

    def load(self, method: LearnedMethod, channels: int, device: str) -> torch.nn.Module:
        """The network, in evaluation mode and float32.

        Raises
        ------
        UserError
            The file is altered, or does not fit the method's network.
        """
        return network_from(method, channels, read_tensors(self.path, self.sha256), self.path.name, device)


def stem_of(method: LearnedMethod, noise: str, channels: int, data: str = "") -> str:
    """File name without extension, the same for every training of these settings; real noise is that of its data."""
    settings, usual = method.settings(training_only=True), type(method)().settings(training_only=True)
    extra = "" if settings == usual else f"-{full_digest(settings)[:8]}"
    source = f"-{file_part(data)}" if noise == REAL.id else ""
    return f"{file_part(method.name)}-{noise}{source}-{CHANNEL_NAMES.get(channels, f'{channels}ch')}{extra}"


def shipped_folder() -> Path | None:
    """The weights that come with the package, or None."""
    for root in package_places():
        for folder in (root / "shipped", root / "results" / "weights"):
            if (folder / SUMS).is_file():
                return folder
    return None


def weights_folders(explicit: Sequence[Path] = ()) -> list[Path]:
    """Folders searched for weights, in order: those given, DENOISEBENCH_WEIGHTS, the shipped one.

    Raises
    ------
    UserError
        A folder that was asked for holds no weights.
    """
    variable = os.environ.get(WEIGHTS_VARIABLE)
    folders = [*explicit, *([Path(variable)] if variable else [])]
    for folder in folders:
        _refuse_other(folder)
    shipped = shipped_folder()
    return [*folders, *([shipped] if shipped else [])]


def _refuse_other(folder: Path) -> None:
    if not (folder / SUMS).is_file():
        raise UserError(f"Folder {folder} holds no weights (no {SUMS} in it). `weights train --out` makes one.")


def settings_text(weights: Weights) -> str:
    """How to name, on the command line, the method that these weights belong to."""
    kind = METHODS.get(str(weights.record["method"]))
    try:
        return kind(**weights.record["settings"]).text
    except TypeError as error:
        raise UserError(f"The record of {weights.path} has settings that {kind.name} has not: {error}.") from None


class Shelf:
    """The weights of some folders, each read once, when first asked for.

    Parameters
    ----------
    folders : Sequence[Path]
        Searched in this order.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders

    @cached_property
    def _contents(self) -> list[dict[str, Weights]]:
        return [read_folder(folder) for folder in self._folders]

    def find(self, method: LearnedMethod, noise: str, channels: int, data: str = "") -> Weights | None:
        """The first weights trained with exactly these settings for this noise and channel count, or None.

        Of real noise they must have been trained on the data set named ``data``.
        """
        stem, settings = stem_of(method, noise, channels, data), method.settings(training_only=True)
        wanted = {"method": method.name, "noise": noise, "channels": channels, "settings": settings}
        for content in self._contents:
            weights = content.get(stem)
            if weights is not None and all(weights.record.get(key) == value for key, value in wanted.items()):
                return weights
        return None

    def all(self) -> list[Weights]:
        """Every weights, in the order in which folders are searched."""
        return [weights for content in self._contents for weights in content.values()]

    def with_hash(self, sha256: str) -> Weights | None:
        """The weights of that SHA-256, wherever they lie, or None."""
        return next((weights for weights in self.all() if weights.sha256 == sha256), None)


def read_folder(folder: Path) -> dict[str, Weights]:
    """Every weights of a folder by stem; records are checked against their hashes, the large files when loaded.

    Raises
    ------
    UserError
        ``SHA256SUMS`` or a record is missing, altered or unreadable.
    """
    sums = read_sums(folder)
    found = {}
    for name, sha256 in sums.items():
        if not name.endswith(".safetensors"):
            continue
        record = Path(name).stem + ".json"
        if record not in sums:
            raise UserError(f"{folder / SUMS} lists {name} but not its record {record}.")
        _verified(folder / record, sums[record])
        found[Path(name).stem] = Weights(folder / name, sha256, _read_record(folder / record))
    return found


def _read_record(path: Path) -> dict[str, Any]:
    """A record whose parts have the types that they are used as."""
    record = parse_json(path, read_text(path))
    found = flaw(record, RECORD, "its content")
    if found:
        raise UserError(f"Record {path} cannot be used: {found}.")
    return record


def read_sums(folder: Path) -> dict[str, str]:
    """Hash by file name, from ``SHA256SUMS``."""
    _refuse_other(folder)
    sums = {}
    text = read_text(folder / SUMS, LARGEST_LIST)
    for number, line in enumerate(text.splitlines(), 1):
        sha256, _, name = line.partition("  ")
        if len(sha256) != 64 or set(sha256) - set("0123456789abcdef") or not is_plain_name(name):
            raise UserError(f"{folder / SUMS}, line {number} is not a SHA-256 and a file name: {line!r}.")
        sums[name] = sha256
    return sums


def is_plain_name(name: str) -> bool:
    """Whether this names a file of the folder itself, on every system."""
    return bool(name) and name not in (".", "..") and not set(name) & set("/\\:\0") and name.isprintable()


def verify_folder(folder: Path) -> list[tuple[str, str]]:
    """(file, verdict) of every file that is listed or lies there; the verdict is 'intact' or says what is wrong."""
    sums = read_sums(folder)
    verdicts = []
    for name, sha256 in sorted(sums.items()):
        path = folder / name
        if not path.is_file():
            verdicts.append((name, "missing"))
        else:
            verdicts.append((name, "intact" if file_sha256(path) == sha256 else "altered"))
    others = {path.name for path in own_entries(folder) if path.suffix in (".safetensors", ".json")} - set(sums)
    return verdicts + [(name, f"not listed in {SUMS}") for name in sorted(others)]


def write_weights(
    folder: Path,
    stem: str,
    tensors: Mapping[str, torch.Tensor],
    record: Mapping[str, Any],
    half: bool,
    say: Callable[[str], None] = unheard,
) -> Weights:
    """Write one network and its record, and list both; each file appears whole, and what is listed is always there.

    Parameters
    ----------
    tensors : Mapping[str, torch.Tensor]
        The state of the network, float32.
    record : Mapping[str, Any]
        Needs method, settings, noise, channels and summary.
    half : bool
        Store float16.
    say : Callable[[str], None]
        Is told of files of somebody else's that have another name now.
    """
    from safetensors.torch import save

    make_folder(folder)
    kept = {name: (t.half() if half else t).contiguous().cpu() for name, t in tensors.items()}
    spoilt = [name for name, t in kept.items() if not t.isfinite().all()]
    if spoilt:
        raise UserError(f"The network {stem} holds values that are not finite ({spoilt[0]}); it is not written.")
    record = {**record, "stored_as": "float16" if half else "float32"}
    files = {f"{stem}.safetensors": save(kept), f"{stem}.json": _json(record)}
    sums = {name: _hash(data) for name, data in files.items()}
    with locked(folder):
        listed = read_sums(folder) if os.path.lexists(folder / SUMS) else {}
        # A stop between two files must leave every listed one as it is listed: what is replaced is taken off first.
        if any(listed.get(name, sha256) != sha256 for name, sha256 in sums.items()):
            _write_sums(folder, {name: sha256 for name, sha256 in listed.items() if name not in sums})
        for name, data in files.items():
            foreign = keep_foreign(folder / name, {sums[name], listed.get(name, "")})
            if foreign:
                say(foreign)
            write_bytes(folder / name, data)
        _write_sums(folder, listed | sums)
    return Weights(folder / f"{stem}.safetensors", sums[f"{stem}.safetensors"], record)


def _write_sums(folder: Path, sums: Mapping[str, str]) -> None:
    write_bytes(folder / SUMS, "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode())


def _json(record: Mapping[str, Any]) -> bytes:
    try:
        return (json.dumps(record, indent=1, allow_nan=False) + "\n").encode()
    except ValueError as error:
        raise UserError(
            f"The record of a network holds a number that is not finite ({error}); it is not written."
        ) from None


def read_tensors(path: Path, sha256: str) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file whose hash is the expected one, as float32."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return {name: tensor.float() for name, tensor in load(_verified(path, sha256)).items()}
    except SafetensorError as error:
        raise UserError(f"Weights {path} are no safetensors file: {error}.") from None


def network_from(
    method: LearnedMethod, channels: int, tensors: Mapping[str, torch.Tensor], source: str, device: str
) -> torch.nn.Module:
    """A method's network with these tensors, on a device, in evaluation mode.

    Raises
    ------
    UserError
        Names or shapes differ; says which.
    """
    network = method.build(channels)
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in tensors.items()}
    wrong = [f"{name} is missing" for name in sorted(expected) if name not in given]
    wrong += [f"{name} is superfluous" for name in sorted(given) if name not in expected]
    wrong += [
        f"{name} is {given[name]}, expected {shape}"
        for name, shape in expected.items()
        if given.get(name, shape) != shape
    ]
    if wrong:
        more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise UserError(
            f"Weights {source} do not fit the network of {method.text} for {channels} channels: "
            f"{'; '.join(wrong[:3])}{more}."
        )
    network.load_state_dict(dict(tensors))
    return placed(network, device).eval()


def _verified(path: Path, sha256: str) -> bytes:
    try:
        data = read_bytes(path)
    except Damaged as error:
        raise UserError(f"Cannot read weights: {error} {SUMS} lists it.") from None
    if _hash(data) != sha256:
        raise UserError(
            f"{path} is altered: its SHA-256 is {_hash(data)[:16]}..., {SUMS} lists {sha256[:16]}.... "
            "Get it again, or train anew with --budget."
        )
    return data


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
