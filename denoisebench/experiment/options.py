"""Single options read from text: noises, repeats, tiles, the device."""

from __future__ import annotations

from pathlib import Path

from denoisebench.core.errors import Mistakes, UserError, unknown
from denoisebench.core.limits import REPEATS, TILE, whole_number
from denoisebench.plugins.lookup import split_list
from denoisebench.protocol.noise import Noise, parse_noise


def parse_noises(text: str) -> list[Noise]:
    """Read a list of noise ids."""
    mistakes = Mistakes()
    noises = [noise for part in split_list(text) if (noise := mistakes.read(None, parse_noise, part)) is not None]
    mistakes.check()
    return list(dict.fromkeys(noises))


def parse_repeats(text: str) -> int | None:
    """Read ``--repeats``: a number from 1, or ``paper`` (None) for the paper's number of each set."""
    if text == "paper":
        return None
    return whole_number("--repeats", text, 1, REPEATS, ", or paper (10/3/20/50)")


def parse_tile(text: str) -> int | None:
    """Read ``--tile``: ``auto`` (None), ``none`` (0), or the side of a tile, a multiple of 32."""
    if text in ("auto", "none"):
        return None if text == "auto" else 0
    side = whole_number("--tile", text, 32, TILE, " that are multiples of 32, auto and none")
    if side % 32:
        raise UserError(f"--tile {text!r}: allowed are auto, none and multiples of 32 from 32.")
    return side


def resolve_device(text: str) -> str:
    """The kind of device for ``auto``, ``cpu``, ``cuda`` or ``mps``."""
    if text == "cpu":
        return text
    if text == "auto":
        # Asking torch costs seconds; without a device node or a Mac there is nothing to ask about.
        import sys

        if not Path("/dev/nvidiactl").exists() and sys.platform == "linux":
            return "cpu"
    elif text not in ("cuda", "mps"):
        raise unknown("device", text, ("auto", "cpu", "cuda", "mps"))
    from denoisebench.core.lazy import torch

    usable = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if text == "auto":
        return next((kind for kind, works in usable.items() if works), "cpu")
    if not usable[text]:
        raise UserError(f"Device {text!r} is not available to torch on this machine; use --device cpu.")
    return text
