"""Multiply-adds against numbers worked out by hand and against what torch really computes; memory at its peak."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.utils.flop_counter import FlopCounterMode

from denoisebench.core.lazy import torch
from denoisebench.core.provenance import machine
from denoisebench.data.dataset import AnyFolder
from denoisebench.evaluation.counting import Costs, MultiplyAdds, peak_memory
from denoisebench.evaluation.evaluate import Place, Route, denoise, evaluate
from denoisebench.networks import build_network, placed
from denoisebench.plugins.lookup import parse_method
from denoisebench.plugins.method import LearnedMethod
from denoisebench.protocol.draws import CounterDraws
from denoisebench.protocol.noise import Draw, parse_noise
from denoisebench.reports.cost import cost_of
from denoisebench.reports.figures import quality
from denoisebench.reports.frame import frame_of
from denoisebench.reports.statistics import groups_of
from denoisebench.results.store import Store, StoredCell

Command = Callable[..., Any]
GAUSS = parse_noise("gauss25")


def counted(network: torch.nn.Module, *shapes: Sequence[int]) -> int | None:
    counter = MultiplyAdds(network)
    with torch.inference_mode(), counter.listening(shapes) as total:
        for shape in shapes:
            network(torch.zeros(*shape))
    return total()


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (torch.nn.Conv2d(3, 5, 3, padding=1), 12 * 8 * 5 * 3 * 9),
        (torch.nn.Conv2d(4, 6, (1, 5), stride=2, groups=2), 6 * 2 * 6 * 2 * 5),
        (torch.nn.Conv2d(3, 2, 3, padding=2, dilation=2), 12 * 8 * 2 * 3 * 9),
        (torch.nn.ConvTranspose2d(3, 7, 2, stride=2), 12 * 8 * 3 * 7 * 4),
        (torch.nn.Linear(8, 10), 3 * 12 * 8 * 10),
        (torch.nn.ReLU(), 0),
    ],
)
def test_layers_count_as_worked_out_by_hand(layer: torch.nn.Module, expected: int) -> None:
    channels = getattr(layer, "in_channels", 3)
    assert counted(layer, (1, channels, 12, 8)) == expected
    assert counted(layer, (2, channels, 12, 8), (1, channels, 12, 8)) == 3 * expected


def test_the_unet_counts_as_its_layers_are_defined_though_it_computes_less() -> None:
    """Not as `denoisebench.networks.fast` does it, which folds the kernels behind an upsampling."""
    network = placed(build_network("unet", 3, 3), "cpu").eval()
    total = counted(network, (1, 3, 64, 96))
    assert total is not None
    layers = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert total == _by_outputs(network, layers, (1, 3, 64, 96))
    with FlopCounterMode(display=False) as computed, torch.inference_mode():
        network(torch.zeros(1, 3, 64, 96))
    assert computed.get_total_flops() // 2 < 0.9 * total


def _by_outputs(network: Any, layers: Sequence[torch.nn.Conv2d], shape: Sequence[int]) -> int:
    """Outputs of each convolution times its kernel, as hooks on plain layers see them."""
    found = []

    def hook(layer: Any, _: Any, output: torch.Tensor) -> None:
        found.append(output.numel() * layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1])

    handles = [layer.register_forward_hook(hook) for layer in layers]
    network.plain = True
    with torch.inference_mode():
        network(torch.zeros(*shape))
    network.plain = False
    for handle in handles:
        handle.remove()
    assert len(found) == len(layers)
    return sum(found)


def one_pass(text: str, network: torch.nn.Module | None = None, side: int = 32, **more: Any) -> int | None:
    method = parse_method(text)
    assert isinstance(method, LearnedMethod)
    network = (placed(method.build(3), "cpu") if network is None else network).eval()
    route = Route(method, network, GAUSS, costs=Costs(network, "cpu"), **more)
    noisy = np.random.default_rng(0).random((side, side, 3), np.float32)
    return denoise(route, Draw(noisy, 25 / 255), Place("", "", 0)).multiply_adds


@pytest.mark.parametrize(
    ("text", "passes"),
    [("n2c", 1), ("b2u", 1), ("b2u[output=dn]", 16), ("b2u[output=mid]", 17), ("b2u[output=mid,stride=2]", 5),
     ("r2r[passes=8]", 8)],
)  # fmt: skip
def test_every_pass_of_a_method_counts(text: str, passes: int) -> None:
    layer = torch.nn.Conv2d(3, 3, 3, padding=1)
    # Masked pixels are filled by a 3x3 mean of each channel.
    filled = 32 * 32 * 3 * 9 if passes in (5, 16, 17) else 0
    assert one_pass(text, layer) == passes * 32 * 32 * 3 * 3 * 9 + filled
    assert layer.forward.__func__ is torch.nn.Conv2d.forward, "it is left as it was"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "text", ["n2v", "nbr2nbr", "noise2self", "noisier2noise", "dbsn", "dbsn[student=none]", "laine19_mu", "laine19_pme",
             "pn2v", "b2u[network=dncnn]", "b2u[output=mid]"],
)  # fmt: skip
def test_methods_count_what_plain_layers_compute(text: str) -> None:
    """Whatever parts a method has and however it calls them: as much as torch sees where nothing is folded."""
    method = parse_method(text)
    assert isinstance(method, LearnedMethod)
    network = placed(method.build(3), "cpu").eval()
    for module in network.modules():
        if hasattr(module, "plain"):
            module.plain = True  # type: ignore[assignment]  # of a network of ours
    route = Route(method, network, GAUSS)
    noisy = np.random.default_rng(0).random((64, 64, 3), np.float32)
    with FlopCounterMode(display=False) as computed:
        denoise(route, Draw(noisy, 25 / 255), Place("", "", 0))
    found = one_pass(text, network, 64)
    assert found is not None
    assert found == computed.get_total_flops() // 2


def test_tiles_count_with_what_they_see_around_them() -> None:
    network = placed(build_network("unet", 3, 3), "cpu")
    whole, tiles = one_pass("n2c", network, 256, tile=0), one_pass("n2c", network, 256, tile=128)
    assert whole is not None
    assert tiles is not None
    assert tiles > whole


def test_a_network_that_looks_at_numbers_is_not_counted() -> None:
    class Looks(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * (2.0 if x.mean().item() > 0 else 1.0)

    network = Looks()
    assert counted(network, (1, 3, 16, 16)) is None
    assert "forward" not in network.__dict__


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is measured on Linux only")
def test_memory_is_what_was_taken_and_given_back_at_its_peak() -> None:
    for _ in range(2):  # what was freed before is no excuse
        with peak_memory("cpu") as peak:
            assert np.ones(10_000_000).sum() == 10_000_000  # 80 MB, freed at once
        found = peak()
        assert found is not None
        assert 79e6 < found < 95e6
    with peak_memory("cpu") as peak:
        pass
    assert (peak() or 0) < 5e6


def test_rows_hold_costs_and_only_the_first_image_its_memory(image_folder: Callable[..., Path]) -> None:
    dataset = AnyFolder(image_folder(count=2, size=(40, 33)))
    method = parse_method("n2c")
    network = torch.nn.Conv2d(3, 3, 3, padding=1)
    route = Route(method, network, GAUSS, costs=Costs(network, "cpu"))
    rows = list(evaluate(route, dataset, CounterDraws(0), [("im0", 0), ("im1", 0)]))
    # Padded to 64x64.
    assert [row.multiply_adds for row in rows] == [64 * 64 * 81 / (40 * 33)] * 2
    assert [row.memory is None for row in rows] == [not sys.platform.startswith("linux"), True]
    assert machine()["cores"] > 0


def test_a_run_stores_and_shows_them(command: Command, image_folder: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert command("run", "--methods", "b2u,nlm", "--datasets", image_folder(count=2), "--out", out).code == 0
    with (out / "scores.csv").open() as stream:
        rows = {row["method"]: row for row in csv.DictReader(stream)}
    assert (rows["nlm"]["multiply_adds"], rows["nlm"]["parameters"]) == ("", "")
    assert float(rows["b2u"]["multiply_adds"]) > 250_000
    assert int(rows["b2u"]["parameters"]) > 1_000_000
    shown = command("report", out, "--columns", "pictures,multiply-adds,memory,parameters").out
    assert "MACs/pixel" in shown
    assert "Memory, MB" in shown
    cells = Store(out, create=False).all()
    frame = frame_of(cells).groupby("method").first()
    assert frame.multiply_adds["b2u"] == pytest.approx(float(rows["b2u"]["multiply_adds"]))
    assert np.isnan(frame.multiply_adds["nlm"])


def test_cells_of_before_have_none(stored_cell: Callable[..., StoredCell], tmp_path: Path) -> None:
    cell = stored_cell("b2u", [30.0, 31.0])
    store = Store(tmp_path)
    store.write(cell)
    path = store.cells / f"{cell.key}.json"
    import json

    from denoisebench.core.files import sealed

    data = json.loads(path.read_text())
    for row in data["rows"]:
        del row["multiply_adds"], row["memory"]
    path.write_text(sealed({name: data[name] for name in ("identity", "about", "rows")}, data["format"]))
    (found,) = store.all()
    assert found.rows == cell.rows
    assert (cost_of([found]).multiply_adds, cost_of([found]).memory) == (None, None)
    with pytest.raises(Exception, match="multiply-adds per pixel"):
        quality.pareto(groups_of([found]), "multiply-adds")
