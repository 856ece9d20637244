"""Released checkpoints of other programs, turned into weights without running what they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from denoisebench.core.errors import UserError
from denoisebench.core.files import file_sha256, open_regular
from denoisebench.core.lazy import torch
from denoisebench.core.text import unheard
from denoisebench.plugins.method import LearnedMethod
from denoisebench.protocol.noise import REAL, parse_noise
from denoisebench.training.weights import Weights, network_from, stem_of, write_weights


def import_released(
    path: Path, method: LearnedMethod, noise: str, folder: Path, data: str = "", say: Callable[[str], None] = unheard
) -> Weights:
    """Turn a ``.pth`` of the released Blind2Unblind or Neighbor2Neighbor code into weights.

    Parameters
    ----------
    path : Path
        A state dictionary; read without running anything that it may contain.
    method : LearnedMethod
        What it was trained as; its network becomes the one that the file holds.
    noise : str
        Id of the noise it was trained for.
    folder : Path
        Receives the weights.
    data : str
        For real noise, the name of the data set it was trained on.

    Raises
    ------
    UserError
        The file is no plain state dictionary, or of neither network.
    """
    state = _read_legacy(path)
    network, tensors = _renamed(state, path)
    channels = int(tensors["last.bias"].shape[0])
    method = replace(method, network=network)
    network_from(method, channels, tensors, path.name, "cpu")
    noise = parse_noise(noise).id
    if (noise == REAL.id) != bool(data):
        raise UserError("--train-data names what a network for --noise real was trained on; give both or none.")
    record: dict[str, Any] = {
        "method": method.name,
        "settings": method.settings(training_only=True),
        "noise": noise,
        "channels": channels,
        "summary": f"imported from {path.name}",
        "imported_sha256": file_sha256(path),
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
        **({"data": {"name": data}} if data else {}),
    }
    return write_weights(folder, stem_of(method, noise, channels, data), tensors, record, False, say)


def _read_legacy(path: Path) -> dict[str, torch.Tensor]:
    import pickle

    open_regular(path).close()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"{path} holds more than tensors, or is no checkpoint of PyTorch; it was refused, nothing in it was run. "
            "Save the state dictionary alone: torch.save(network.state_dict(), 'x.pth')."
        ) from None
    except Exception as error:  # the reader raises anything on bytes that are no checkpoint
        reason = (str(error).splitlines() or [""])[0]
        raise UserError(f"{path} cannot be read as a checkpoint of PyTorch: {type(error).__name__} {reason}") from None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f"{path} is not a state dictionary: names with tensors.")
    return {str(name).removeprefix("module."): tensor for name, tensor in state.items()}


def _renamed(state: Mapping[str, torch.Tensor], path: Path) -> tuple[str, dict[str, torch.Tensor]]:
    for network, names in (("unet_b2u", dict(_b2u_names())), ("unet_nbr", dict(_nbr_names()))):
        if next(iter(names)) + ".weight" in state:
            known = {
                f"{theirs}.{kind}": f"{ours}.{kind}" for theirs, ours in names.items() for kind in ("weight", "bias")
            }
            # A name that nobody knows is kept, so that the comparison with the network names it.
            return network, {known.get(name, name): tensor.float() for name, tensor in state.items()}
    raise UserError(
        f"{path} is of neither network that can be imported: Blind2Unblind's (head.0.block.0.weight, ...) or "
        f"Neighbor2Neighbor's (enc_conv0.weight, ...). It begins with {', '.join(list(state)[:3]) or 'nothing'}."
    )


def _b2u_names() -> Iterator[tuple[str, str]]:
    """Module names of the released Blind2Unblind network, and ours."""
    for level in range(7):
        yield (f"head.{level}.block.0" if level < 2 else f"down_path.{level - 2}.block.0"), f"encoder.{level}"
    for level in range(5):
        yield f"up_path.{level}.conv_1.block.0", f"decoder_a.{level}"
        yield f"up_path.{level}.conv_2.block.0", f"decoder_b.{level}"
    yield from (("last.0.block.0", "head.0"), ("last.1.block.0", "head.1"), ("last.2", "last"))


def _nbr_names() -> Iterator[tuple[str, str]]:
    """Module names of the released Neighbor2Neighbor network, and ours."""
    for level in range(7):
        yield f"enc_conv{level}", f"encoder.{level}"
    for level in range(5):
        yield f"up{5 - level}.deconv", f"up.{level}"
        yield f"dec_conv{5 - level}a", f"decoder_a.{level}"
        yield f"dec_conv{5 - level}b", f"decoder_b.{level}"
    yield from (("nin_a", "head.0"), ("nin_b", "head.1"), ("nin_c", "last"))
