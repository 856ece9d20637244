"""What a plugin changes in the process reaches no other method."""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from denoisebench.core.errors import ContractError, UserError, explain
from denoisebench.core.isolation import isolated
from denoisebench.core.userfiles import load_user_file
from denoisebench.results.store import Store

#: Contexts that are kept from the garbage collector, which would leave them.
KEPT: list[object] = []


def enter_inference_mode() -> None:
    mode = torch.inference_mode()
    mode.__enter__()
    KEPT.append(mode)


CHANGES: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "dtype": (torch.get_default_dtype, lambda: torch.set_default_dtype(torch.float64)),
    "device": (torch.get_default_device, lambda: torch.set_default_device("meta")),
    "grad": (torch.is_grad_enabled, lambda: torch._C._set_grad_enabled(False)),
    "inference": (torch.is_inference_mode_enabled, enter_inference_mode),
    "autocast": (lambda: torch.is_autocast_enabled("cpu"), lambda: torch.autocast("cpu").__enter__()),
    "deterministic": (torch.are_deterministic_algorithms_enabled, lambda: torch.use_deterministic_algorithms(True)),
    "cudnn": (lambda: torch.backends.cudnn.benchmark, lambda: setattr(torch.backends.cudnn, "benchmark", True)),
    "matmul": (torch.get_float32_matmul_precision, lambda: torch.set_float32_matmul_precision("medium")),
    "threads": (torch.get_num_threads, lambda: torch.set_num_threads(torch.get_num_threads() + 1)),
    "denormal": (lambda: float((torch.tensor([1e-40]) * 1)[0]), lambda: torch.set_flush_denormal(True)),
    "torch random": (lambda: torch.get_rng_state().tolist(), lambda: torch.manual_seed(5)),
    "numpy random": (lambda: np.random.get_state(legacy=False)["state"]["key"].tolist(), lambda: np.random.seed(5)),
    "random": (random.getstate, lambda: random.seed(5)),
    "errstate": (np.geterr, lambda: np.seterr(all="raise")),
    "folder": (os.getcwd, lambda: os.chdir("/")),
    "umask": (lambda: [os.umask(os.umask(0o22))], lambda: os.umask(0o777)),
    "warnings": (lambda: list(warnings.filters), lambda: warnings.simplefilter("error")),
    "recursion": (sys.getrecursionlimit, lambda: sys.setrecursionlimit(5000)),
    "environment": (lambda: dict(os.environ), lambda: os.environ.update(OMP_NUM_THREADS="63", EVIL="1")),
    "stdout": (lambda: sys.stdout, lambda: setattr(sys, "stdout", None)),
    "stderr": (lambda: sys.stderr, lambda: setattr(sys, "stderr", open(os.devnull))),  # noqa: SIM115
    "descriptor": (lambda: os.fstat(2).st_ino, lambda: os.close(2)),
    "collector": (gc.isenabled, gc.disable),
    "interrupt": (lambda: signal.getsignal(signal.SIGINT), lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_a_block_changes_is_put_back(what: str) -> None:
    get, change = CHANGES[what]
    before = get()
    with isolated():
        change()
    assert get() == before

    def fails() -> None:
        with isolated():
            change()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert get() == before


def test_a_block_that_replaces_a_shared_function_fails() -> None:
    import torch.nn.functional as F

    for owner, name in ((np, "clip"), (np.linalg, "svd"), (F, "conv2d"), (torch.Tensor, "mean"), (torch, "sum")):
        original = getattr(owner, name)
        with pytest.raises(ContractError, match=rf"it replaced \S*{name}, which all methods share"), isolated():
            setattr(owner, name, lambda *a, **k: 0)
        assert getattr(owner, name) is original
    with isolated():
        pass


@pytest.mark.skipif("coverage" in sys.modules, reason="coverage has modules and costs of its own")
def test_it_costs_less_than_a_millisecond() -> None:
    took = []
    for _ in range(20):
        start = time.perf_counter()
        with isolated():
            pass
        took.append(time.perf_counter() - start)
    assert min(took) < 1e-3


def test_a_forked_process_goes_no_further() -> None:
    with isolated():
        child = os.fork()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def test_files_of_one_name_or_with_dots_have_modules_of_their_own(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "my.v1.py").write_text(f"where = {folder!r}\n", encoding="utf-8")
    one, two = (load_user_file(tmp_path / folder / "my.v1.py", "Plugin") for folder in ("a", "b"))
    assert (one.where, two.where) == ("a", "b")
    assert one.__name__ != two.__name__
    assert "." not in one.__name__ + two.__name__
    assert sys.modules[one.__name__] is one


class Silent(BaseException):
    def __str__(self) -> str:
        raise ValueError


def test_an_exception_without_a_text_is_named(tmp_path: Path) -> None:
    assert explain(Silent()) == "Silent: its message cannot be shown"
    assert len(explain(ValueError("x" * 10**6))) < 600
    assert explain(UserError("Image x is gone.")) == "Image x is gone."
    (tmp_path / "p.py").write_text("class Odd(BaseException): pass\nraise Odd('no')\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"fails on import: Odd: no"):
        load_user_file(tmp_path / "p.py", "Plugin")


HOOKS = {
    "told": "def told(self, family): raise Odd('told')",
    "words": "def told_in_words(self, noise): raise Odd('words')",
    "text": "text = property(lambda self: 1 / 0)",
    "hash": "def __hash__(self): raise Odd('hash')",
    "settings": "def settings(self, training_only=False): raise Odd('settings')",
    "silent": "def denoise(self, noisy, known, rng): raise Silent",
    "odd": "def denoise(self, noisy, known, rng): raise Odd('denoise')",
    "chdir": "def denoise(self, noisy, known, rng): os.chdir('/'); return noisy * 0.99",
    "stderr": "def denoise(self, noisy, known, rng): sys.stderr.close(); os.close(2); sys.stderr = None; return noisy",
    "fork": "def denoise(self, noisy, known, rng): os.fork(); return noisy",
    "patch": "def denoise(self, noisy, known, rng): np.mean = lambda *a, **k: 0; return noisy",
    "l" * 300: "def denoise(self, noisy, known, rng): raise Odd('long')",
}
FINE = {"chdir", "stderr", "fork"}
HOOKED = """
from dataclasses import dataclass
import os, sys
import numpy as np
from denoisebench.method import Info, PlainMethod

class Odd(BaseException): pass

class Silent(BaseException):
    def __str__(self): raise Odd

@dataclass(frozen=True)
class P(PlainMethod):
    name = "{name}"
    info = Info(label="{name}", licence="x")
    def denoise(self, noisy, known, rng): return noisy
    {hook}
"""


def test_each_fails_alone(
    command: Callable[..., Any], image_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = []
    for number, (name, hook) in enumerate(HOOKS.items()):
        path = tmp_path / str(number) / "my.method.py"
        path.parent.mkdir()
        path.write_text(HOOKED.format(name=name, hook=hook), encoding="utf-8")
        plugins += ["--plugin", path]
    monkeypatch.chdir(tmp_path)
    ran = command("run", *plugins, "--methods", ",".join(HOOKS), "--datasets", image_folder(), "--out", "o")
    assert ran.code == 1, ran.err
    assert "Traceback" not in ran.err
    failed = {line.split()[2]: line for line in ran.out.splitlines() if line.startswith("- FAILED")}
    assert set(failed) == set(HOOKS) - FINE
    for name, reason in {
        "told": "told() of P raised Odd: told", "text": "the text of P raised ZeroDivisionError",
        "words": "Odd: words", "silent": "Silent: its message cannot be shown",
        "patch": "it replaced numpy.mean, which all methods share", "l" * 300: "Odd: long",
    }.items():  # fmt: skip
        assert reason in failed[name]
    rows = {cell.about["text"]: len(cell.rows) for cell in Store(tmp_path / "o").all()}
    assert {name: rows[name] for name in (*FINE, "identity")} == dict.fromkeys((*FINE, "identity"), 2)


def test_settings_that_cannot_be_sent_fail_alone(
    command: Callable[..., Any], image_folder: Callable[..., Path], tmp_path: Path
) -> None:
    path = tmp_path / "stays.py"
    hook = "def __reduce__(self): raise TypeError('stays here')"
    path.write_text(HOOKED.format(name="stays", hook=hook), encoding="utf-8")
    ran = command(
        "run", "--plugin", path, "--methods", "stays", "--datasets", image_folder(count=1), "--workers", 1,
        "--executor", "local", "--out", tmp_path / "o",
    )  # fmt: skip
    assert ran.code == 1
    assert "its settings cannot be sent to another process: TypeError: stays here" in ran.out
    assert [cell.about["text"] for cell in Store(tmp_path / "o").all()] == ["identity"]
