"""Networks by name, for any learned method: ``n2c[network=unet_nbr]``.

A network maps (N, C, H, W) to (N, C, H, W). One's own is ``network=file.py:Class``, a `torch.nn.Module` that is made
with the numbers of input and output channels. It may offer ``forward_at(x, offsets, stride)`` to compute only the
output pixels that a blind-spot method keeps; `forward_at` falls back to the full pass for one that does not. Its
attribute ``reach``, if it has one, allows large images to be computed in tiles (`denoisebench.networks.tiled`).

A file is run only after `allow_network`, which reading a method from the command line calls. Settings that come from a
results folder, a record of weights or an experiment file do not, so that a stranger's data cannot have code run.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from denoisebench.core.errors import UserError, unknown
from denoisebench.core.lazy import torch
from denoisebench.core.userfiles import load_user_file

# On a CPU more pixels per pass only spill the caches: 16 copies of 4x128x128 one by one take 6.3 s, by eights 6.8 s.
_CPU_PIXELS = 65536
# Activations of the U-Net that a gradient keeps, with room for what the passes need meanwhile.
_BYTES_PER_PIXEL = 8192

#: Name: description, class as module.Class of this package, its arguments.
NETWORKS: dict[str, tuple[str, str, dict[str, object]]] = {
    "unet": ("nearest upsampling, slope 0.1, He initialisation (Laine19)", "unet.UNet", {"init": "he"}),
    "unet_b2u": (
        "nearest upsampling, slope 0.1, PyTorch's default initialisation (B2U)",
        "unet.UNet",
        {"init": "default"},
    ),
    "unet_nbr": (
        "transposed convolutions, slope 0.2, He initialisation times 0.1 (NBR2NBR)",
        "unet.UNet",
        {"init": "small", "upsampling": "transposed", "slope": 0.2},
    ),
    "unet_n2v2": (
        "as unet, with blurred pooling and no skip from the input (N2V2)",
        "unet.UNet",
        {"init": "he", "pooling": "blur", "top_skip": False},
    ),
    "dncnn": ("17 convolutions that predict the noise, no batch normalisation (DnCNN)", "dncnn.DnCNN", {}),
    "blindspot": (
        "an output does not depend on its own pixel: four rotations (Laine19)",
        "blindspot.BlindSpotUNet",
        {},
    ),
    "dbsn": ("an output does not depend on its own pixel: dilated convolutions (DBSN)", "dbsn.DilatedBlindSpot", {}),
}
#: Networks whose output at a pixel does not depend on that pixel.
BLIND = ("blindspot", "dbsn")
#: Files of networks that the user named, resolved; no others are run.
_ALLOWED: set[Path] = set()


def check_network(name: str) -> None:
    """Raise a `UserError` unless there is a network of that name, or file of that path."""
    path = user_network(name)
    if path is not None and not path.is_file():
        raise UserError(f"Network file {path} does not exist.")
    if path is None and name not in NETWORKS:
        raise unknown("network", name, NETWORKS, "Or give your own as file.py:Class.")


def user_network(name: str) -> Path | None:
    """The file of a network given as ``file.py:Class``, None for one of `NETWORKS`."""
    path, colon, _ = name.rpartition(":")
    return Path(path).expanduser() if colon and path.endswith(".py") else None


def allow_network(name: str) -> None:
    """Let the file of a network ``file.py:Class`` be run in this process; only for what the user named himself."""
    path = user_network(name)
    if path is not None:
        _ALLOWED.add(path.resolve())


def allowed_networks() -> tuple[Path, ...]:
    """The files that may be run, for other processes of this run."""
    return tuple(sorted(_ALLOWED))


def allow_files(paths: Iterable[Path]) -> None:
    """Let the files be run that the process which started this one may run."""
    _ALLOWED.update(paths)


def build_network(name: str, in_channels: int, out_channels: int) -> torch.nn.Module:
    """A new network, initialised from torch's global generator.

    Raises
    ------
    UserError
        There is no such network, or it is a file that was not allowed (`allow_network`).
    """
    check_network(name)
    path = user_network(name)
    if path is not None:
        if path.resolve() not in _ALLOWED:
            raise UserError(
                f"Network {name!r} is a Python file that stored settings name, not you: it is not run. If you trust "
                f"it, name it on the command line, as in --methods 'n2c[network={name}]' (in Python: "
                "denoisebench.networks.allow_network)."
            )
        return _build_own(path, name.rpartition(":")[2], in_channels, out_channels)
    _, place, settings = NETWORKS[name]
    module, _, kind = place.partition(".")
    network = getattr(importlib.import_module(f"denoisebench.networks.{module}"), kind)
    return network(in_channels, out_channels, **settings)


def _build_own(path: Path, name: str, in_channels: int, out_channels: int) -> torch.nn.Module:
    kind = getattr(load_user_file(path, "Network"), name, None)
    if not (isinstance(kind, type) and issubclass(kind, torch.nn.Module)):
        raise UserError(f"Network file {path} has no torch.nn.Module named {name!r}.")
    try:
        return kind(in_channels, out_channels)
    except TypeError as error:
        raise UserError(
            f"Network {name} of {path} cannot be made from the numbers of input and output channels: {error}."
        ) from error


def part(network: torch.nn.Module, name: str) -> Any:
    """One network of a `torch.nn.ModuleDict`, for a method that builds several."""
    return network.get_submodule(name)


def placed(network: torch.nn.Module, device: str | torch.device) -> torch.nn.Module:
    """The network on a device, its weights in channels_last order."""
    # This order halves the time of a convolution on a CPU and feeds tensor cores on a GPU.
    # PyTorch's types leave memory_format out for modules.
    moved: torch.nn.Module = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def forward_at(
    network: torch.nn.Module, x: torch.Tensor, offsets: Sequence[tuple[int, int]], stride: int
) -> list[torch.Tensor]:
    """Outputs of stacked copies, each only at the pixels of its own offset.

    Parameters
    ----------
    network : torch.nn.Module
        Any network.
    x : torch.Tensor
        (K N, C, H, W); copy k of the batch is ``x[k N:(k + 1) N]``.
    offsets : Sequence[tuple[int, int]]
        K pairs (row, column), each below ``stride``.
    stride : int
        H and W are multiples of it.

    Returns
    -------
    list[torch.Tensor]
        K tensors (N, C, H / stride, W / stride): ``network(copy k)[:, :, row::stride, column::stride]``.
    """
    special = getattr(network, "forward_at", None)
    if special is not None:
        return list(special(x, offsets, stride))
    copies = network(x).chunk(len(offsets))
    return [copy[:, :, row::stride, column::stride] for copy, (row, column) in zip(copies, offsets, strict=True)]


def copies_per_pass(x: torch.Tensor, copies: int) -> int:
    """How many copies of a batch (N, C, H, W) to put into one pass with gradient, for speed and for memory."""
    pixels = x.shape[0] * x.shape[-2] * x.shape[-1]
    room = _CPU_PIXELS
    if x.device.type == "cuda":
        room = torch.cuda.mem_get_info(x.device)[0] // _BYTES_PER_PIXEL
    return max(1, min(copies, room // pixels))
