"""The state of an unfinished training in one file: tensors as safetensors, values as JSON, behind a checksum.

Nothing is pickled. A file that is damaged, or belongs to another training, is no checkpoint: the training begins anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from denoisebench.core.files import Damaged, make_folder, read_bytes, write_bytes
from denoisebench.core.lazy import torch

_HEAD = b"denoisebench checkpoint "


def save_checkpoint(
    path: Path,
    owner: str,
    network: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    tensors: Mapping[str, torch.Tensor],
    values: Mapping[str, Any],
) -> None:
    """Write network, optimiser and what else makes up the state.

    Parameters
    ----------
    owner : str
        What the state belongs to; `load_checkpoint` reads it for no other.
    tensors, values : Mapping[str, torch.Tensor] or Mapping[str, Any]
        The rest; values must be what JSON can hold.

    Raises
    ------
    CannotWrite
        The old checkpoint, if there was one, is untouched.
    """
    from safetensors.torch import save

    parts = {f"network.{name}": value for name, value in network.state_dict().items()}
    adam = optimiser.state_dict()
    for number, state in adam["state"].items():
        parts |= {f"optimiser.{number}.{name}": value for name, value in state.items()}
    parts |= {f"own.{name}": value for name, value in tensors.items()}
    whole = {name: value.detach().contiguous().cpu() for name, value in parts.items()}
    text = json.dumps({"values": dict(values), "groups": adam["param_groups"]})
    data = save(whole, {"state": text})
    make_folder(path.parent)
    write_bytes(path, _HEAD + _digest(owner, data) + b"\n" + data)


def load_checkpoint(
    path: Path, owner: str, network: torch.nn.Module, optimiser: torch.optim.Optimizer
) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
    """Put network and optimiser back into their state.

    Returns
    -------
    tuple[dict[str, torch.Tensor], dict[str, Any]] | None
        The other tensors (on the CPU) and values, or None if there is no intact checkpoint of that owner.
    """
    try:
        head, _, data = read_bytes(path).partition(b"\n")
    except Damaged:
        return None
    if head != _HEAD + _digest(owner, data):
        return None
    before = {name: value.clone() for name, value in network.state_dict().items()}, optimiser.state_dict()
    try:
        return _restored(data, network, optimiser)
    except Exception:  # whoever knows how sums are made can seal anything; what is no state is no checkpoint
        network.load_state_dict(before[0])
        optimiser.load_state_dict(before[1])
        return None


def _restored(
    data: bytes, network: torch.nn.Module, optimiser: torch.optim.Optimizer
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """`load_checkpoint` of what has the right sum."""
    from safetensors.torch import load

    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    state = json.loads(header["__metadata__"]["state"])
    parts: dict[str, dict[str, torch.Tensor]] = {"network": {}, "optimiser": {}, "own": {}}
    for name, value in load(data).items():
        kind, _, rest = name.partition(".")
        parts[kind][rest] = value
    network.load_state_dict(parts["network"])
    # Numbered as the optimiser has them in its groups, which need not be the order of the network.
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in parts["optimiser"].items():
        number, _, kind = name.partition(".")
        like = parameters[int(number)]
        # In the parameter's own memory order, as it was: sums over another order differ in the last bit.
        kept = torch.empty_like(like, dtype=value.dtype).copy_(value) if value.shape == like.shape else value
        moments.setdefault(int(number), {})[kind] = kept
    optimiser.load_state_dict({"state": moments, "param_groups": state["groups"]})
    return parts["own"], state["values"]


def _digest(owner: str, data: bytes) -> bytes:
    return hashlib.sha256(owner.encode() + b"\n" + data).hexdigest().encode()
