"""A whole run: what is skipped, what fails, what is stored, and what is warned about."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pytest
from PIL import Image

from denoisebench.core.errors import UserError
from denoisebench.core.lazy import torch
from denoisebench.core.progress import Quiet
from denoisebench.data.dataset import AnyFolder
from denoisebench.evaluation import fit as fitting
from denoisebench.execution import cellprogress, saving
from denoisebench.execution.describe import shared_images
from denoisebench.execution.runner import run, train_only
from denoisebench.experiment.cells import Experiment
from denoisebench.experiment.options import parse_noises
from denoisebench.plugins.lookup import parse_method, parse_methods
from denoisebench.plugins.method import Batch, Info, LearnedMethod, NoiseInfo, PerImageMethod, PlainMethod
from denoisebench.protocol.images import FloatImage
from denoisebench.reports.table import build_table
from denoisebench.results.store import Store, StoredCell
from denoisebench.results.summary import current, training_seed
from denoisebench.training.recipe import Budget, Recipe

pytestmark = pytest.mark.usefixtures("no_data", "fresh_registry")
MakeFolder = Callable[..., Path]
CALLS: list[str] = []


class Listener(Quiet):
    """Keeps what is said and shown."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.tasks: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    @contextmanager
    def task(self, title: str) -> Iterator[Any]:
        self.tasks.append(title)
        with super().task(title) as task:
            yield task


@dataclass(frozen=True)
class ColourOnly(PlainMethod):
    name = "colour"
    info = Info(label="Colour", channels=(3,))

    def denoise(self, noisy: FloatImage, known: NoiseInfo, rng: np.random.Generator) -> FloatImage:
        CALLS.append("colour")
        return noisy


@dataclass(frozen=True)
class Fragile(PlainMethod):
    """Fails on the image whose turn is ``after``."""

    after: int = 0
    name = "fragile"
    info = Info(label="Fragile")

    def denoise(self, noisy: FloatImage, known: NoiseInfo, rng: np.random.Generator) -> FloatImage:
        CALLS.append("fragile")
        if len(CALLS) > self.after:
            raise RuntimeError("no\nmore")
        return noisy


@dataclass(frozen=True)
class Small(LearnedMethod):
    """One convolution."""

    scale: float = 1.0
    shown: str = "a"
    name = "small"
    info = Info(label="Small", multiple=32)
    inference_only = frozenset({"shown"})

    def build(self, channels: int) -> torch.nn.Module:
        return torch.nn.Conv2d(channels, channels, 3, padding=1)

    def loss(self, network: torch.nn.Module, batch: Batch, progress: float) -> Any:
        CALLS.append("loss")
        return self.scale * (network(batch.noisy) - batch.noisy).square().mean(), {}


@dataclass(frozen=True)
class Explodes(Small):
    name = "explodes"
    info = Info(label="Explodes", multiple=32)

    def loss(self, network: torch.nn.Module, batch: Batch, progress: float) -> Any:
        return network(batch.noisy).mean() * float("nan"), {}


@dataclass(frozen=True)
class Fitted(PerImageMethod):
    """One convolution per image; stops in the step whose turn is ``until``."""

    until: int = 1000
    name = "fitted"
    info = Info(label="Fitted")
    steps, paper_steps = 4, 4

    def build(self, noisy: torch.Tensor) -> torch.nn.Module:
        return torch.nn.Conv2d(noisy.shape[1], noisy.shape[1], 3, padding=1)

    def rate(self, progress: float) -> float:
        return 0.01

    def loss(self, network: torch.nn.Module, noisy: torch.Tensor, known: NoiseInfo, progress: float) -> torch.Tensor:
        CALLS.append("step")
        if len(CALLS) == self.until:
            raise KeyboardInterrupt
        loss: torch.Tensor = (network(noisy) - noisy).square().mean()
        return loss


@pytest.fixture(autouse=True)
def _empty() -> None:
    CALLS.clear()


@pytest.fixture
def base(image_folder: MakeFolder) -> Experiment:
    """identity on two pictures."""
    return Experiment(
        methods=parse_methods("identity"),
        noises=parse_noises("gauss25"),
        datasets=[AnyFolder(image_folder())],
        recipe=Recipe(Budget(2, "steps"), crop=32),
        train_data=AnyFolder(image_folder("training", size=(41, 40))),
    )


def identity() -> Any:
    return parse_method("identity")


# --- skipping and failing ---


def test_a_cell_that_does_not_suit_is_skipped_with_its_reason_and_the_rest_completes(
    base: Experiment, image_folder: MakeFolder, tmp_path: Path
) -> None:
    gray = AnyFolder(image_folder("gray", mode="L"))
    listener = Listener()
    experiment = replace(base, methods=[identity(), ColourOnly()], datasets=[gray, base.datasets[0]])
    outcome = run(experiment, Store(tmp_path), listener)
    assert outcome.skipped == [("colour on gray with gauss25", "takes images of 3 channels, not 1")]
    assert outcome.failed == []
    titles = [(cell.about["text"], cell.identity["protocol"]["dataset"]) for cell in outcome.cells]
    assert titles == [("identity", "gray"), ("identity", "pictures"), ("colour", "pictures")]
    assert CALLS == ["colour"] * 2
    assert "skipped: colour on gray with gauss25: takes images of 3 channels, not 1" in listener.lines


def test_a_failing_method_keeps_its_rows_and_the_rest_completes(
    base: Experiment, image_folder: MakeFolder, tmp_path: Path
) -> None:
    experiment = replace(base, methods=[Fragile(after=1), identity()], datasets=[AnyFolder(image_folder("a", count=3))])
    store = Store(tmp_path / "o")
    outcome = run(experiment, store, Quiet())
    ((title, reason),) = outcome.failed
    assert title == "fragile[after=1] on a with gauss25"
    assert reason.startswith("RuntimeError: no more at image im1, repeat 0 (traceback in ")
    assert outcome.computed == 1 + 3
    assert [len(cell.rows) for cell in outcome.cells] == [1, 3]
    assert {len(cell.rows) for cell in store.all()} == {1, 3}
    (trace,) = store.folder.glob("error-fragile-*.txt")
    assert 'raise RuntimeError("no\\nmore")' in trace.read_text(encoding="utf-8")


def test_a_failed_cell_goes_on_where_it_stopped(base: Experiment, tmp_path: Path) -> None:
    experiment = replace(base, methods=[Fragile(after=1)])
    first = run(experiment, Store(tmp_path / "o"), Quiet())
    CALLS.clear()
    second = run(experiment, Store(tmp_path / "o"), Quiet())
    assert (first.computed, second.computed) == (1, 1)
    assert CALLS == ["fragile"]
    assert second.failed == []
    assert list(second.cells[0].rows) == [("im0", 0), ("im1", 0)]


def test_a_training_that_diverges_fails_its_cell_only(base: Experiment, tmp_path: Path) -> None:
    store = Store(tmp_path / "o")
    outcome = run(replace(base, methods=[Explodes(), Small(), identity()]), store, Quiet())
    ((title, reason),) = outcome.failed
    assert title == "explodes on pictures with gauss25"
    assert "loss is not finite at step 1" in reason
    assert [cell.about["text"] for cell in outcome.cells] == ["small", "identity"]
    assert not list(store.folder.glob("error-*")), "a known failure needs no traceback"


def test_a_sentence_that_knows_no_image_is_told_with_it_and_ends_once(base: Experiment, tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise UserError("Nothing can be estimated.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Fragile, "denoise", refuse)
        outcome = run(replace(base, methods=[Fragile()]), Store(tmp_path / "o"), Quiet())
    ((title, reason),) = outcome.failed
    assert reason == "at image im0, repeat 0: Nothing can be estimated."
    assert outcome.notes == [f"FAILED: {title}: {reason}"]


def test_data_are_checked_before_any_work_starts(base: Experiment, tmp_path: Path) -> None:
    class Damaged(AnyFolder):
        def verify(self) -> None:
            raise UserError("Image x was altered")

    whole = base.datasets[0]
    assert isinstance(whole, AnyFolder)
    damaged = Damaged(whole.folder)
    damaged.name = "damaged"
    store = Store(tmp_path / "o")
    with pytest.raises(UserError, match="altered"):
        run(replace(base, datasets=[base.datasets[0], damaged]), store, Quiet())
    assert store.all() == []


def test_an_image_replaced_in_the_middle_is_never_stored_under_the_old_hash(base: Experiment, tmp_path: Path) -> None:
    """The data set was hashed; between two of its images somebody writes another picture there."""
    (data,) = base.datasets
    assert isinstance(data, AnyFolder)
    other = AnyFolder(shutil.copytree(data.folder, tmp_path / "other"))
    store = Store(tmp_path / "o")
    Image.open(data.folder / "im1.png").rotate(180).save(data.folder / "im1.png")
    outcome = run(replace(base, methods=[identity()], datasets=[data, other]), store, Quiet())
    ((title, reason),) = outcome.failed
    assert title == f"identity on {data.name} with gauss25"
    assert "im1.png was changed while this run used it" in reason
    stored = {cell.identity["protocol"]["dataset"]: cell for cell in store.all()}
    assert [image for image, _ in stored[data.name].rows] == ["im0"]
    assert [len(cell.rows) for cell in outcome.cells] == [1, 2], "another data set is not touched by that"
    again = run(replace(base, methods=[identity()], datasets=[AnyFolder(data.folder)]), store, Quiet())
    assert (len(again.cells[0].rows), again.failed) == (2, [])
    assert len(store.all()) == 3, "the new image has a new hash"


# --- storing and resuming ---


def test_a_stored_run_computes_nothing(base: Experiment, tmp_path: Path) -> None:
    experiment = replace(base, methods=[identity(), ColourOnly(), Small()])
    first = run(experiment, Store(tmp_path / "o"), Quiet())
    CALLS.clear()
    listener = Listener()
    second = run(experiment, Store(tmp_path / "o"), listener)
    assert (first.computed, second.computed) == (6, 0)
    assert CALLS == []
    assert listener.tasks == []
    assert first.cells == second.cells
    assert len(listener.lines) == 1
    assert "3 cells: 0 to compute, 3 stored or skipped" in listener.lines[0]


def test_what_a_run_finds_is_what_reports_show_then(base: Experiment, tmp_path: Path) -> None:
    """A plugin is changed, run, and changed back: the stored scores of before are the newest again."""
    experiment, store = replace(base, methods=[identity(), ColourOnly()]), Store(tmp_path / "o")
    first = run(experiment, store, Quiet()).cells[1]
    changed = StoredCell({**first.identity, "code": "of the change"}, {**first.about}, dict(first.rows))
    changed.about["written"] = f"{first.about['written']}, or later"
    store.write(changed)
    assert changed.key in {cell.key for cell in current(store.all())[0]}
    files = {path: path.read_bytes() for path in store.files()}
    outcome = run(experiment, store, Quiet())
    assert outcome.computed == 0
    assert {cell.key for cell in current(store.all())[0]} == {cell.key for cell in outcome.cells}
    touched = [path.stem for path in store.files() if files[path] != path.read_bytes()]
    assert touched == [first.key], "no other file is written"
    assert store.read(first.identity).rows == first.rows
    assert not list((store.folder / "claims").iterdir())
    files = {path: path.read_bytes() for path in store.files()}
    run(experiment, store, Quiet())
    assert files == {path: path.read_bytes() for path in store.files()}, "the newest one stays as it is"


def test_only_missing_repeats_are_computed(base: Experiment, tmp_path: Path) -> None:
    experiment = replace(base, methods=[ColourOnly()])
    run(experiment, Store(tmp_path / "o"), Quiet())
    before = run(experiment, Store(tmp_path / "o"), Quiet()).cells[0].rows
    outcome = run(replace(experiment, repeats=3), Store(tmp_path / "o"), Quiet())
    assert outcome.computed == 4
    assert list(outcome.cells[0].rows)[:2] == [("im0", 0), ("im1", 0)]
    assert {key: outcome.cells[0].rows[key] for key in before} == before
    assert len(list(Store(tmp_path / "o").all())) == 1


def test_rows_are_saved_while_a_cell_is_running(
    base: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "SAVE_SECONDS", 0.0)
    sizes: list[int] = []
    store = Store(tmp_path / "o")
    write = store.write

    def counted(cell: StoredCell) -> None:
        sizes.append(len(cell.rows))
        write(cell)

    monkeypatch.setattr(store, "write", counted)
    run(replace(base, repeats=2), store, Quiet())
    assert sizes == [1, 2, 3, 4, 4]


def test_an_interruption_is_passed_on_with_the_rows_stored(base: Experiment, tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Stop(PlainMethod):
        name = "stop"
        info = Info(label="Stop")

        def denoise(self, noisy: FloatImage, known: NoiseInfo, rng: np.random.Generator) -> FloatImage:
            CALLS.append("stop")
            if len(CALLS) == 2:
                raise KeyboardInterrupt
            return noisy

    store = Store(tmp_path / "o")
    with pytest.raises(KeyboardInterrupt):
        run(replace(base, methods=[Stop()]), store, Quiet())
    assert [list(cell.rows) for cell in store.all()] == [[("im0", 0)]]


# --- training ---


def test_trainings_are_announced_once_before_the_first_cell(
    base: Experiment, image_folder: MakeFolder, tmp_path: Path
) -> None:
    listener = Listener()
    experiment = replace(
        base,
        methods=[identity(), Small(), Small(shown="b"), Small(scale=2.0)],
        datasets=[base.datasets[0], AnyFolder(image_folder("more"))],
    )
    run(experiment, Store(tmp_path / "o"), listener)
    announced = [index for index, line in enumerate(listener.lines) if "training it now" in line]
    assert announced == [1, 2]
    assert "no trained network for small on gauss25: training it now, 2 steps, 1x32²" in listener.lines[1]
    assert "small[scale=2]" in listener.lines[2]
    assert "on training" in listener.lines[1]
    assert CALLS == ["loss"] * 4, "settings of inference share one training"
    assert sum(task.startswith("train") for task in listener.tasks) == 2


def test_the_table_can_tell_budget_and_training_set(base: Experiment, tmp_path: Path) -> None:
    outcome = run(replace(base, methods=[Small(), identity()]), Store(tmp_path / "o"), Quiet())
    small, plain = outcome.cells
    assert small.about["training"] == "2 steps, 1x32², training"
    assert small.about["training_record"]["steps"] == 2
    assert plain.about["training"] == ""
    assert small.about["told"] == []


def test_training_on_test_images_is_warned_about(base: Experiment, tmp_path: Path) -> None:
    clean = run(replace(base, methods=[Small()]), Store(tmp_path / "a"), Quiet())
    assert clean.cells[0].about["warnings"] == []
    mixed = run(replace(base, methods=[Small()], train_data=base.datasets[0]), Store(tmp_path / "b"), Quiet())
    assert mixed.cells[0].about["warnings"] == ["trained on 2 images of the test set"]


def test_shared_images_are_found_by_their_pixels(image_folder: MakeFolder, tmp_path: Path) -> None:
    one, other = image_folder("one"), image_folder("other", size=(50, 40))
    assert shared_images(AnyFolder(one), AnyFolder(other)) == 0
    (other / "renamed.png").write_bytes((one / "im1.png").read_bytes())
    assert shared_images(AnyFolder(one), AnyFolder(other)) == 1


def test_train_only_trains_learned_methods_and_collects_failures(base: Experiment, tmp_path: Path) -> None:
    store = Store(tmp_path / "o")
    experiment = replace(base, methods=[identity(), Explodes(), Small()], datasets=[])
    done, failed = train_only(experiment, 3, store, Quiet())
    assert list(done) == ["small on gauss25"]
    assert Path(done["small on gauss25"]).is_file()
    assert [title for title, _ in failed] == ["explodes on gauss25"]
    CALLS.clear()
    assert train_only(experiment, 3, store, Quiet())[0] == done
    assert CALLS == []


def test_train_only_leaves_out_what_does_not_suit_and_says_so(
    base: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(Quiet, "say", lambda self, text: said.append(text))
    experiment = replace(base, methods=[*parse_methods("gr2r"), Small()], datasets=[])
    done, failed = train_only(experiment, 3, Store(tmp_path / "o"), Quiet())
    assert (list(done), failed) == (["small on gauss25"], [])
    assert said[0].startswith("Not trained: gr2r on gauss25: it is for Poisson and gamma noise")
    with pytest.raises(UserError, match=r"Nothing to train: gr2r on gauss25: it is for Poisson and gamma noise"):
        train_only(replace(experiment, methods=parse_methods("gr2r")), 3, Store(tmp_path / "p"), Quiet())


def test_train_only_names_methods_without_a_network(
    base: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(Quiet, "say", lambda self, text: said.append(text))
    experiment = replace(base, methods=[identity(), *parse_methods("nlm,bm3d"), Small()], datasets=[])
    assert list(train_only(experiment, 3, Store(tmp_path / "o"), Quiet())[0]) == ["small on gauss25"]
    assert "Not trained, for they are no learned methods: nlm, bm3d." in said
    for none, names in (("nlm,bm3d", "nlm, bm3d"), ("identity", "identity")):
        alone = replace(experiment, methods=parse_methods(none))
        with pytest.raises(UserError, match=f"Nothing to train: none of {names} is a learned method"):
            train_only(alone, 3, Store(tmp_path / "p"), Quiet())


# --- known gaps ---


def test_two_learning_rates_are_two_lines_of_the_table(base: Experiment, tmp_path: Path) -> None:
    store = Store(tmp_path / "o")
    for rate in (1e-3, 1e-4):
        run(replace(base, methods=[Small()], recipe=replace(base.recipe, lr=rate)), store, Quiet())
    assert len(build_table(store.all()).lines) == 2


def test_several_trainings_are_one_line_with_their_spread(base: Experiment, tmp_path: Path) -> None:
    store = Store(tmp_path / "o")
    outcome = run(replace(base, methods=[Small(), identity()], trainings=3), store, Quiet())
    assert [training_seed(cell) for cell in outcome.cells] == [0, 1, 2, 0]
    assert len({cell.about["protocol"] for cell in outcome.cells}) == 1
    means = [fmean(row.psnr for row in cell.rows.values()) for cell in outcome.cells[:3]]
    table = build_table(store.all())
    ((line, _), score) = next(item for item in table.scores.items() if item[0][0].method == "small")
    assert score.trainings == 3
    assert score.psnr == pytest.approx(fmean(means))
    assert score.spread == pytest.approx(stdev(means))
    assert score.spread > 0
    assert "seed" not in line.training
    assert "± is the standard deviation over 3 trainings" in " ".join(table.notes)
    assert outcome.computed == 8
    assert run(replace(base, methods=[Small(), identity()], trainings=3), store, Quiet()).computed == 0


def test_an_error_while_planning_a_cell_fails_that_cell_only(base: Experiment, tmp_path: Path) -> None:
    class Confused(ColourOnly):
        def unsuitable(self, noise: Any, channels: int) -> str | None:
            raise RuntimeError("confused")

    outcome = run(replace(base, methods=[Confused(), identity()]), Store(tmp_path / "o"), Quiet())
    assert [cell.about["text"] for cell in outcome.cells] == ["identity"]


# --- fits to single images ---


def test_fits_foretell_their_time_and_record_their_steps(
    base: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cellprogress, "ETA_SECONDS", 0.0)
    log = Listener()
    outcome = run(replace(base, methods=[Fitted()]), Store(tmp_path), log)
    (cell,) = outcome.cells
    assert {row.steps for row in cell.rows.values()} == {4}
    assert cell.about["training"] == "4 steps per image"
    foretold = [line for line in log.lines if "per image like the first" in line]
    assert len(foretold) == 1
    assert "in all" in foretold[0]


def test_a_stopped_fit_goes_on_within_its_image(
    base: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "CHECKPOINT_SECONDS", 0.0)
    store = Store(tmp_path)
    whole = run(replace(base, methods=[Fitted()]), Store(tmp_path / "whole"), Listener()).cells[0].rows
    CALLS.clear()
    with pytest.raises(KeyboardInterrupt):
        run(replace(base, methods=[Fitted(until=7)]), store, Listener())
    assert len(list((tmp_path / "fits").iterdir())) == 1
    # The first image was done, and two of four steps of the second.
    rows = run(replace(base, methods=[Fitted(until=7)]), store, Listener()).cells[0].rows
    assert len(CALLS) == 7 + 2
    assert [row.psnr for row in rows.values()] == [row.psnr for row in whole.values()]
    assert not list((tmp_path / "fits").iterdir())
