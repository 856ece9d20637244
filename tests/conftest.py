"""Shared fixtures: folders of tiny images, tiny plugins, and the command line run in this process."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

# Tests that run beside others share the cores with them; torch reads this when it is imported.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    _SHARE = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, _SHARE)))

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from denoisebench import cli, networks
from denoisebench.experiment import revisions
from denoisebench.plugins.registry import DATASETS, METHODS, Registry
from denoisebench.protocol.protocol import Protocol, Row
from denoisebench.results.store import Store, StoredCell

# That a machine is busy is no fault of the code. For a slow one: HYPOTHESIS_PROFILE=slow pytest.
# Tests that want more or fewer examples than others give them as a multiple of the profile's.
settings.register_profile("usual", deadline=None, max_examples=100)
settings.register_profile("slow", deadline=None, max_examples=12, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or "usual")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """As many processes as cores for the whole suite; a choice of files runs in this one, where it starts at once."""
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and config.getoption("capture") != "no"
    return min(os.cpu_count() or 1, 8) if whole else 0


PLAIN = '''\
"""A plugin for tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from denoisebench.plugins.method import Info, Need, PlainMethod


@dataclass(frozen=True)
class Toy(PlainMethod):
    shift: float = 0.0
    count: int = 1
    mode: Literal["a", "b"] = "a"

    name = "{name}"
    info = Info(label="{name}", licence="test")

    def denoise(self, noisy, known, rng):
{body}
'''


@dataclass(frozen=True)
class Ran:
    """What a command did: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


def write_image(path: Path, seed: int, size: tuple[int, int] = (48, 40), mode: str = "RGB") -> None:
    """Smooth pseudo-random picture of (width, height)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode).save(path)


@pytest.fixture
def image_folder(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder of images: name, count, size (width, height), Pillow mode."""

    def make(name: str = "pictures", count: int = 2, size: tuple[int, int] = (48, 40), mode: str = "RGB") -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for index in range(count):
            write_image(folder / f"im{index}.png", index, size, mode)
        return folder

    return make


@pytest.fixture
def plugin_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a plugin of one plain method whose ``denoise`` has the given body."""

    def make(name: str = "toy", body: str = "return noisy + self.shift") -> Path:
        path = tmp_path / f"{name}.py"
        path.write_text(PLAIN.format(name=name, body=indent(dedent(body), " " * 8)), encoding="utf-8")
        return path

    return make


def forget_plugins() -> None:
    """Bring both registries back to the state of a new process."""
    registries: tuple[Registry[Any], ...] = (METHODS, DATASETS)
    for registry in registries:
        registry._loaders = None
        registry._origins.clear()
        registry._classes.clear()
        registry.files.clear()
    networks._ALLOWED.clear()
    revisions.forget()


@pytest.fixture
def fresh_registry() -> object:
    """Registries without the plugins of other tests, before and after."""
    forget_plugins()
    yield
    forget_plugins()


@pytest.fixture
def no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data set on this machine but those inside installed packages."""
    monkeypatch.setenv("DENOISEBENCH_DATA", str(tmp_path / "no-data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no-cache"))


@pytest.fixture
def command(no_data: None, fresh_registry: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Run the command in this process, as a new process would."""
    # It changes the allocator for the rest of the process.
    monkeypatch.setattr("denoisebench.core.memory.keep_freed_memory", lambda: True)

    def call(*arguments: object) -> Ran:
        forget_plugins()
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "argv", ["denoisebench", *map(str, arguments)])
        code: object = 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                cli.main()
            except SystemExit as end:
                code = end.code or 0
        assert isinstance(code, int)
        return Ran(code, out.getvalue(), err.getvalue())

    return call


@pytest.fixture
def fitted_gain() -> Callable[[str, int], float]:
    """What a per-image method gains in dB on a 64x64 piece of a photograph at sigma 25, by method and steps."""
    from skimage.data import astronaut

    from denoisebench.evaluation.fit import FitRecipe, fit
    from denoisebench.plugins.lookup import parse_method
    from denoisebench.plugins.method import Need, NoiseInfo, PerImageMethod
    from denoisebench.training.recipe import Budget

    def gain(text: str, steps: int) -> float:
        clean = astronaut()[64:128, 176:240] / 255.0
        noisy = (clean + np.random.default_rng(0).normal(0, 25 / 255, clean.shape)).astype(np.float32)
        method = parse_method(text)
        assert isinstance(method, PerImageMethod)
        known = NoiseInfo(method.name, method.info.needs, {Need.FAMILY: "gauss", Need.LEVEL: 25 / 255})
        result, _ = fit(method, noisy, known, FitRecipe(Budget(steps, "steps")), ("test",))
        before, after = (float(np.mean((image - clean) ** 2)) for image in (noisy, result))
        return float(10 * np.log10(before / after))

    return gain


@pytest.fixture
def stored_cell() -> Callable[..., StoredCell]:
    """Make a finished cell without running anything: text, PSNR of every image, and what else should differ."""

    def make(
        text: str,
        psnr: Sequence[float],
        *,
        label: str = "",
        told: Sequence[str] = (),
        training: str = "",
        baseline: bool = False,
        dataset: str = "kodak",
        noise: str = "gauss25",
        repeats: int = 1,
        seed: int = 0,
        images: Sequence[str] = (),
        record: dict[str, Any] | None = None,
        warnings: Sequence[str] = (),
        seconds: float = 0.5,
        **protocol: Any,
    ) -> StoredCell:
        data_hash = protocol.pop("data_hash", "hash")
        settled = Protocol(dataset, data_hash, noise, protocol.pop("draws", "counter-0"), **protocol)
        about = {
            "text": text, "label": label or text.upper(), "told": list(told), "baseline": baseline,
            "protocol": settled.fingerprint, "noise_title": noise, "dataset_title": dataset.capitalize(),
            "dataset_class": "own", "training": training, "warnings": list(warnings), "written": f"2026-01-01 {text}",
            "machine": {"processor": "X9", "cores": 4}, "training_record": record or {},
        }  # fmt: skip
        trained = {"recipe": {"seed": seed}} if training else None
        identity = {
            "method": text.partition("[")[0], "settings": {}, "protocol": settled.described(),
            "training": trained, "device": "cpu", "versions": {"numpy": "9"}, "code": {"plugin": "abc"},
        }  # fmt: skip
        names = images or [f"im{number}" for number in range(len(psnr))]
        rows = [
            Row(name, repeat, value, 0.8, seconds, 0.1)
            for name, value in zip(names, psnr, strict=True)
            for repeat in range(repeats)
        ]
        return StoredCell(identity, about, {(row.image, row.repeat): row for row in rows})

    return make


@pytest.fixture
def stored_run(tmp_path: Path) -> Callable[..., Path]:
    """Write finished cells into a results folder."""

    def write(*cells: StoredCell, name: str = "results") -> Path:
        store = Store(tmp_path / name)
        for cell in cells:
            store.write(cell)
        return store.folder

    return write
