"""What an image costs beside seconds: multiply-adds of the passes through a network, and memory at its peak."""

from __future__ import annotations

import copy
import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from denoisebench.core.lazy import torch

#: Ways into a network; see `denoisebench.networks`.
_WAYS = ("forward", "with_features", "forward_at")
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class MultiplyAdds:
    """Counts multiply-adds of convolutions and matrix products in whatever a learned method does with an image.

    Passes are noted as they happen, by their shapes, which costs no time; each shape is then gone through once by a
    copy of the network without numbers, as its layers are defined. So what a faster way to compute the same saves does
    not count, and the count is the same on every machine. Padding, the overlap of tiles and every masked copy count; a
    pass that needs its last layers at some pixels only counts them there. What a method computes beside these passes is
    counted as torch does it, for the first image of each size.

    Parameters
    ----------
    network : torch.nn.Module
        Of a learned method; of a `torch.nn.ModuleDict`, its parts.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        parts = isinstance(network, torch.nn.ModuleDict)
        self._units = list(network.values()) if parts else [network]  # type: ignore[operator]
        self._known: dict[object, int | None] = {}
        self._beside: dict[object, int] = {}

    @contextmanager
    def listening(self, size: object) -> Iterator[Callable[[], int | None]]:
        """Note what happens to an image of some size; the function it yields counts it, None where it cannot."""
        from torch.utils.flop_counter import FlopCounterMode

        noted: list[_Pass] = []
        seen = None if size in self._beside else FlopCounterMode(display=False)
        within = [0]
        with self._heard(noted, seen, within), seen or nullcontext():
            yield lambda: self._sum(noted, size)
        if seen is not None:
            self._beside[size] = int(seen.get_total_flops() - within[0]) // 2

    @contextmanager
    def _heard(self, noted: list[_Pass], seen: Any, within: list[int]) -> Iterator[None]:
        """Have every part of the network note its passes, and what ``seen`` counts in them."""
        inside = False

        def heard(number: int, way: str, original: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any) -> Any:
                nonlocal inside
                if inside:
                    return original(*arguments)
                shapes = tuple(_shape(x) if isinstance(x, torch.Tensor) else x for x in arguments)
                noted.append(_Pass(number, way, shapes))
                before = seen.get_total_flops() if seen else 0
                inside = True
                try:
                    return original(*arguments)
                finally:
                    inside = False
                    within[0] += seen.get_total_flops() - before if seen else 0

            return call

        try:
            for number, unit in enumerate(self._units):
                for way in _WAYS:
                    if hasattr(unit, way):
                        unit.__dict__[way] = heard(number, way, getattr(unit, way))
            yield
        finally:
            for unit in self._units:
                for way in _WAYS:
                    unit.__dict__.pop(way, None)

    def _sum(self, noted: list[_Pass], size: object) -> int | None:
        total = self._beside.get(size, 0)
        for one in noted:
            key = (one.unit, one.way, repr(one.arguments))
            if key not in self._known:
                self._known[key] = _counted(self._units[one.unit], one)
            count = self._known[key]
            if count is None:
                return None
            total += count
        return total


class _Pass(NamedTuple):
    """A call of a part of a network, its tensors replaced by their shapes."""

    unit: int
    way: str
    arguments: tuple[Any, ...]


class Costs:
    """Measures what the images of one cell cost; the harness asks for it in runs only.

    Parameters
    ----------
    network : torch.nn.Module or None
        Of a learned method.
    device : str
        Where it is.
    """

    def __init__(self, network: torch.nn.Module | None, device: str) -> None:
        self._counter = None if network is None else MultiplyAdds(network)
        self._device, self._first = device, True
        self._noted: list[Callable[[], int | None]] = []

    @contextmanager
    def measuring(self, size: object) -> Iterator[None]:
        """Measure what happens inside to an image of some size; `found` says afterwards what it was.

        On a CPU the memory of the first image only: where freed memory is kept, later ones take what that one had.
        """
        self._noted = [lambda: None, lambda: None]
        with ExitStack() as stack:
            if self._counter is not None:
                self._noted[0] = stack.enter_context(self._counter.listening(size))
            if self._first or self._device.startswith("cuda"):
                self._noted[1] = stack.enter_context(peak_memory(self._device))
            self._first = False
            yield

    def found(self) -> tuple[int | None, int | None]:
        """Multiply-adds and bytes of what was measured last, None for what could not be."""
        adds, memory = (ask() for ask in self._noted)
        return adds, memory


class _Shape(tuple[int, ...]):
    """Of a tensor that was an argument, with its type."""

    dtype: torch.dtype


def _shape(x: torch.Tensor) -> _Shape:
    found = _Shape(x.shape)
    found.dtype = x.dtype
    return found


def _counted(unit: torch.nn.Module, one: _Pass) -> int | None:
    """Multiply-adds of one pass; None for a network that needs numbers to be gone through."""
    from torch.utils.flop_counter import FlopCounterMode

    try:
        with torch.no_grad():
            empty = copy.deepcopy(unit).to("meta")
            arguments = [
                torch.empty(x, dtype=x.dtype, device="meta") if isinstance(x, _Shape) else x for x in one.arguments
            ]
            with FlopCounterMode(display=False) as counter:
                getattr(empty, one.way)(*arguments)
    except Exception:  # a network of one's own may raise anything where a tensor holds nothing
        return None
    return int(counter.get_total_flops()) // 2


@contextmanager
def peak_memory(device: str) -> Iterator[Callable[[], int | None]]:
    """Measure the memory that what happens inside takes at its peak; the function it yields tells it afterwards.

    On a GPU these are the bytes that torch has allocated there, network included. On Linux they are the growth of this
    process's resident set, for which freed memory is given back to the system first; elsewhere nothing is measured.
    """
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
        yield lambda: int(torch.cuda.max_memory_allocated(device))
        return
    before = _begin()
    found: list[int | None] = [None]
    yield lambda: found[0]
    peak = _status("VmHWM")
    if before is not None and peak is not None:
        found[0] = max(0, peak - before)


def _begin() -> int | None:
    """Start the system's own record of the largest resident set anew; the present one in bytes, None if it cannot."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        _CLEAR.write_text("5")
    except (OSError, AttributeError):
        return None
    return _status("VmRSS")


def _status(name: str) -> int | None:
    """A size from the status of this process, in bytes."""
    try:
        lines = _STATUS.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None
