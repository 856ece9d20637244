"""Code of plugins, kept apart from the process that it shares with all other methods.

What a research script changes for itself (default dtype, error state, current folder, seeds, ...) is as it was when its
call returns. Functions that it replaced are put back too, and the call counts as failed, since nobody can say which
numbers they had a part in by then. Costs about a tenth of a millisecond.
"""

from __future__ import annotations

import contextlib
import gc
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from denoisebench.core.errors import ContractError

#: Modules and classes that decide numbers of every method, watched as soon as they are imported.
WATCHED = (
    "builtins", "math", "random", "numpy", "numpy.linalg", "numpy.fft", "numpy.random", "scipy.fft", "scipy.ndimage",
    "scipy.signal", "skimage.metrics", "torch", "torch.linalg", "torch.fft", "torch.nn.functional", "torch:Tensor",
    "torch.nn:Module", "torch.nn:Conv2d", "torch.optim:Adam", "denoisebench.protocol.draws",
    "denoisebench.protocol.images", "denoisebench.protocol.metrics", "denoisebench.protocol.noise",
    "denoisebench.protocol.seeds", "denoisebench.evaluation.evaluate",
)  # fmt: skip
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGALRM") if hasattr(signal, name)]
# Parts of every class that decide nothing.
_NOT_WATCHED = frozenset({"__class__", "__doc__", "__dict__", "__weakref__", "__annotations__", "__module__"})
_ABSENT = object()
#: Held while the code of a plugin runs: generators, flags and functions are those of the process, not of a thread.
ALONE = threading.RLock()
_SMALLEST = float.fromhex("0x1p-1074")
_Names = tuple[Any, tuple[tuple[str, Any], ...]]
_originals: dict[str, _Names] = {}
#: Inference modes that switch off one that was left on; they end with the process.
_against: list[Any] = []
#: Copies of the standard descriptors, with which closed ones are opened again.
_spare: dict[int, int] = {}


@contextmanager
def isolated() -> Iterator[None]:
    """Have the process as it was when the block ends, however it ends.

    A process that was forked in the block and reaches its end goes no further. One thread is in such a block at a time.

    Raises
    ------
    ContractError
        The block replaced functions that all methods share.
    """
    with ALONE:
        process, before = os.getpid(), _State()
        try:
            yield
        finally:
            if os.getpid() != process:
                os._exit(1)
            before.restore()
            replaced = _put_back()
    if replaced:
        raise ContractError(f"it replaced {replaced}, which all methods share; it was put back")


class _State:
    """What can be asked for and set again."""

    def __init__(self) -> None:
        _watch()
        self._descriptors = [_place(number) for number in range(3)]
        self._folder = _folder()
        self._environment = dict(os.environ)
        self._filters = list(warnings.filters)
        self._showwarning = warnings.showwarning
        self._streams = sys.stdin, sys.stdout, sys.stderr
        self._hook = sys.excepthook
        self._recursion, self._collects = sys.getrecursionlimit(), gc.isenabled()
        self._umask = _umask()
        self._signals = [signal.getsignal(number) for number in _SIGNALS]
        self._errors, self._error_call = np.geterr(), np.geterrcall()
        self._random, self._legacy = random.getstate(), np.random.get_state()
        self._torch = _TorchState() if _torch() else None

    def restore(self) -> None:
        """Set what has changed."""
        for number, place in enumerate(self._descriptors):
            if place is not None and _place(number) != place and number in _spare:
                with contextlib.suppress(OSError):
                    os.dup2(_spare[number], number)
        if self._folder and _folder() != self._folder:
            with contextlib.suppress(OSError):
                os.chdir(self._folder)
        if dict(os.environ) != self._environment:
            _set_environment(self._environment)
        if list(warnings.filters) != self._filters:
            filters: Any = warnings.filters
            filters[:] = self._filters
            getattr(warnings, "_filters_mutated", lambda: None)()
        warnings.showwarning = self._showwarning
        sys.stdin, sys.stdout, sys.stderr = self._streams
        sys.excepthook = self._hook
        if sys.getrecursionlimit() != self._recursion:
            sys.setrecursionlimit(self._recursion)
        (gc.enable if self._collects else gc.disable)()
        os.umask(self._umask)
        self._restore_signals()
        np.seterr(**self._errors)
        np.seterrcall(self._error_call)
        random.setstate(self._random)
        np.random.set_state(self._legacy)
        if _torch():
            (self._torch or _TorchState(fresh=True)).restore()

    def _restore_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number, handler in zip(_SIGNALS, self._signals, strict=True):
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)


class _TorchState:
    """The same of torch; ``fresh`` for what it is right after its import."""

    def __init__(self, fresh: bool = False) -> None:
        torch = sys.modules["torch"]
        flags = _flags(torch)
        self._values = [default if fresh else get() for get, _, default in flags]
        self._device = None if fresh else torch.get_default_device()
        self._random = None if fresh else torch.get_rng_state()
        self._threads = None if fresh else torch.get_num_threads()

    def restore(self) -> None:
        torch = sys.modules["torch"]
        if torch.is_inference_mode_enabled() != self._values[0]:
            mode = torch.inference_mode(self._values[0])
            mode.__enter__()
            _against.append(mode)
        for (get, put, _), value in zip(_flags(torch)[1:], self._values[1:], strict=True):
            if get() != value:
                put(value)
        device = torch.get_default_device()
        wanted = self._device or torch.device("cpu")
        if device != wanted:
            torch.set_default_device(None if wanted.type == "cpu" else wanted)
        if self._random is not None:
            torch.set_rng_state(self._random)
        if self._threads is not None and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        if _SMALLEST * 1.0 == 0.0:
            torch.set_flush_denormal(False)


def _flags(torch: Any) -> list[tuple[Callable[[], Any], Callable[[Any], None], Any]]:
    """Getter, setter and default of what decides how torch computes; inference mode, which has no setter, first."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul

    def attribute(owner: Any, name: str, default: Any) -> tuple[Callable[[], Any], Callable[[Any], None], Any]:
        return lambda: getattr(owner, name), lambda value: setattr(owner, name, value), default

    def deterministic(value: tuple[bool, bool]) -> None:
        torch.use_deterministic_algorithms(value[0], warn_only=value[1])

    def asked() -> tuple[bool, bool]:
        enabled = torch.are_deterministic_algorithms_enabled()
        return enabled, torch.is_deterministic_algorithms_warn_only_enabled()

    flags: list[tuple[Callable[[], Any], Callable[[Any], None], Any]] = [
        (torch.is_inference_mode_enabled, lambda value: None, False),
        (torch.get_default_dtype, torch.set_default_dtype, torch.float32),
        (torch.is_grad_enabled, torch._C._set_grad_enabled, True),
        (torch.is_anomaly_enabled, torch.set_anomaly_enabled, False),
        (asked, deterministic, (False, False)),
        (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"),
        (torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled, True),
        attribute(cudnn, "enabled", True),
        attribute(cudnn, "benchmark", False),
        attribute(cudnn, "deterministic", False),
        attribute(cudnn, "allow_tf32", True),
        attribute(matmul, "allow_fp16_reduced_precision_reduction", True),
        attribute(matmul, "allow_bf16_reduced_precision_reduction", True),
        (torch._C._get_mkldnn_enabled, torch._C._set_mkldnn_enabled, True),
    ]
    for kind, usual in (("cpu", torch.bfloat16), ("cuda", torch.float16)):
        flags += [_autocast(torch, kind), _autocast_dtype(torch, kind, usual)]
    return flags


def _autocast(torch: Any, kind: str) -> tuple[Callable[[], Any], Callable[[Any], None], Any]:
    return lambda: torch.is_autocast_enabled(kind), lambda value: torch.set_autocast_enabled(kind, value), False


def _autocast_dtype(torch: Any, kind: str, usual: Any) -> tuple[Callable[[], Any], Callable[[Any], None], Any]:
    return lambda: torch.get_autocast_dtype(kind), lambda value: torch.set_autocast_dtype(kind, value), usual


# --- functions that all methods share ---


def _watch() -> None:
    """Note the functions of what has been imported by now."""
    for place in WATCHED:
        if place in _originals:
            continue
        module, _, name = place.partition(":")
        owner = sys.modules.get(module)
        if owner is None or getattr(getattr(owner, "__spec__", None), "_initializing", False):
            continue
        owner = getattr(owner, name) if name else owner
        own = vars(owner)
        if name:
            # What a class inherits can be replaced in the class itself.
            found = [(key, own.get(key, _ABSENT)) for key in dir(owner) if key not in _NOT_WATCHED]
            found = [(key, value) for key, value in found if value is _ABSENT or callable(value)]
        else:
            found = [(key, value) for key, value in own.items() if callable(value) and not key.startswith("_")]
        _originals[place] = (owner, tuple(found))


def _put_back() -> str:
    """Put originals back; the names of what had been replaced, or ''."""
    replaced = []
    for owner, pairs in _originals.values():
        names = vars(owner)
        for key, value in pairs:
            now = names.get(key, _ABSENT)
            if now is value or _from_same_package(owner, now):
                continue
            with contextlib.suppress(AttributeError, TypeError):
                if value is _ABSENT:
                    delattr(owner, key)
                else:
                    setattr(owner, key, value)
            replaced.append(f"{owner.__name__}.{key}")
    return ", ".join(replaced[:3]) + (f" and {len(replaced) - 3} more" if len(replaced) > 3 else "")


def _from_same_package(owner: Any, value: Any) -> bool:
    """Whether a library has replaced its own function, as torch does when it loads its compiler."""
    code = getattr(value, "__code__", None)
    top = sys.modules.get(getattr(owner, "__module__", owner.__name__).partition(".")[0])
    places = getattr(top, "__path__", ())
    return code is not None and any(code.co_filename.startswith(os.path.join(place, "")) for place in places)


# --- parts of the process ---


def _torch() -> bool:
    """Whether torch is there, and whole."""
    torch = sys.modules.get("torch")
    return hasattr(torch, "get_default_device") and hasattr(torch, "inference_mode")


def _place(number: int) -> tuple[int, int] | None:
    """What a descriptor leads to."""
    try:
        found = os.fstat(number)
        if number not in _spare:
            _spare[number] = os.dup(number)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return ""


def _umask() -> int:
    before = os.umask(0o077)
    os.umask(before)
    return before


def _set_environment(values: dict[str, str]) -> None:
    for name in set(os.environ) - set(values):
        del os.environ[name]
    for name, value in values.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
