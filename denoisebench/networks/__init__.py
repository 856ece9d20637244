"""Networks by name, for any learned method: ``n2c[network=unet_nbr]``.

A network maps (N, C, H, W) to (N, C, H, W). It may offer ``forward_at(x, offsets, stride)`` to compute only the
output pixels that a blind-spot method keeps; `forward_at` falls back to the full pass for one that does not.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from denoisebench.errors import unknown
from denoisebench.lazy import torch

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
    "dncnn": ("17 convolutions that predict the noise, no batch normalisation (DnCNN)", "dncnn.DnCNN", {}),
    "blindspot": (
        "an output does not depend on its own pixel: four rotations (Laine19)",
        "blindspot.BlindSpotUNet",
        {},
    ),
}
#: Networks whose output at a pixel does not depend on that pixel.
BLIND = ("blindspot",)


def check_network(name: str) -> None:
    """Raise a `UserError` unless there is a network of that name."""
    if name not in NETWORKS:
        raise unknown("network", name, NETWORKS)


def build_network(name: str, in_channels: int, out_channels: int) -> torch.nn.Module:
    """A new network, initialised from torch's global generator."""
    check_network(name)
    _, place, settings = NETWORKS[name]
    module, _, kind = place.partition(".")
    network = getattr(importlib.import_module(f"denoisebench.networks.{module}"), kind)
    return network(in_channels, out_channels, **settings)  # type: ignore[no-any-return]


def forward_at(
    network: torch.nn.Module, x: torch.Tensor, offsets: Sequence[tuple[int, int]], stride: int
) -> list[torch.Tensor]:
    """Outputs of stacked copies, each only at the pixels of its own offset.

    Parameters
    ----------
    network : any network
    x : (K N, C, H, W); copy k of the batch is ``x[k N:(k + 1) N]``
    offsets : K pairs (row, column), each below ``stride``
    stride : H and W are multiples of it

    Returns
    -------
    K tensors (N, C, H / stride, W / stride): ``network(copy k)[:, :, row::stride, column::stride]``
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
