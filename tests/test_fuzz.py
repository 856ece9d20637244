"""Whatever text or file is given, the only error is the declared one. ``DENOISEBENCH_LONG=1``: 10,000 inputs each."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from denoisebench.core.errors import UserError
from denoisebench.core.files import Damaged, sealed
from denoisebench.data.manifest import MANIFEST_COLUMNS, read_manifest
from denoisebench.experiment import file as config
from denoisebench.experiment.file import read_experiment
from denoisebench.experiment.options import parse_repeats, parse_tile
from denoisebench.plugins.lookup import parse_method, parse_methods, split_list
from denoisebench.plugins.method import Method
from denoisebench.plugins.registry import METHODS
from denoisebench.protocol.noise import parse_noise
from denoisebench.reports.paper import published
from denoisebench.reports.render import latex, markdown, scores_csv
from denoisebench.reports.table import build_table
from denoisebench.results.store import Store, _cell_of, _content
from denoisebench.results.summary import current
from denoisebench.training.recipe import parse_budget
from denoisebench.training.weights import SUMS, read_folder, settings_text

LONG = os.environ.get("DENOISEBENCH_LONG") == "1"
many = settings(
    max_examples=10_000 if LONG else 2 * settings().max_examples,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
anything = st.text(max_size=30)
numbers = st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["1e999", "-0", "٣", "²", "0x1", "1_0", "00", "9" * 400]),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), anything),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(anything, inner, max_size=3)),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@many
@given(st.one_of(anything, st.builds("{}{}{}{}{}".format, st.sampled_from(["gauss", "poisson", "Gauss", ""]), numbers,
    st.sampled_from(["", "_", "-", "_-"]), st.one_of(st.just(""), numbers),
    st.sampled_from(["", "-clip", "-uint8", "-clip-uint8", "-x"]))))  # fmt: skip
def test_noise_texts(text: str) -> None:
    try:
        noise = parse_noise(text)
    except UserError:
        return
    assert parse_noise(noise.id) == noise
    assert noise.title


keys = st.sampled_from(["stride", "eta", "network", "passes", "sigma", "gamma", "output", "samples", "lambda_f", ""])
values = st.one_of(
    numbers, anything, st.sampled_from(["none", "true", "A", "exp", "unet", "dncnn", "x.py:Y", "nan", "inf"])
)
settings_texts = st.lists(st.builds("{}={}".format, keys, values), max_size=3).map(",".join)


@many
@given(st.one_of(anything, st.builds("{}[{}]".format, st.sampled_from([*METHODS.names(), "b3u", ""]), settings_texts)))
def test_bracket_settings(text: str) -> None:
    try:
        method = parse_method(text)
    except UserError:
        return
    assert isinstance(method, Method)
    assert parse_method(method.text) == method


@many
@given(
    st.one_of(anything, numbers, st.builds("{}{}".format, numbers, st.sampled_from(["steps", "min", " epochs", "x"])))
)
def test_lists_budgets_repeats_and_tiles(text: str) -> None:
    for parse in (split_list, parse_methods, parse_budget, parse_repeats, parse_tile):
        try:
            parse(text)
        except UserError:
            continue


toml_words = st.sampled_from(["true", "[1, 'a']", "{}"])
toml_values = st.one_of(numbers, anything.map(json.dumps), st.lists(anything, max_size=2).map(json.dumps), toml_words)
toml_keys = st.sampled_from(["methods", "noise", "title", "out", "plugin", "weights", "lr", "x", "a.b"])
toml_lines = st.builds("{} = {}".format, toml_keys, toml_values)
variants = st.one_of(toml_values, st.just('{a = "b2u"}'))
paper = st.builds("[paper]\ntable = {}\nvariants = {}".format, toml_values, variants)
toml = st.one_of(anything, st.lists(st.one_of(toml_lines, paper), max_size=4).map("\n".join))


@many
@given(st.one_of(toml.map(lambda text: text.encode("utf-8", "surrogatepass")), st.binary(max_size=40)))
def test_experiment_files(place: Path, data: bytes) -> None:
    path = place / "e.toml"
    path.write_bytes(data)
    try:
        found = read_experiment(path, ["methods", "noise", "out", "plugin", "weights", "lr"])
    except UserError:
        return
    assert isinstance(found.title, str)
    assert "plugin" not in found.options


@many
@given(anything)
def test_numbers_of_tables(text: str) -> None:
    with contextlib.suppress(UserError):
        assert config.table_file(text).is_file()


rows_of_text = st.lists(st.one_of(anything, numbers), min_size=4, max_size=7).map("\t".join)


@many
@given(st.lists(rows_of_text, max_size=3), st.booleans(), st.binary(max_size=5))
def test_manifests(place: Path, lines: list[str], headed: bool, tail: bytes) -> None:
    path = place / "m.tsv"
    head = ["\t".join(MANIFEST_COLUMNS)] if headed else []
    path.write_bytes("\n".join([*head, *lines]).encode("utf-8", "surrogatepass") + tail)
    try:
        for entry in read_manifest(path):
            assert not Path(entry.file).is_absolute()
            assert ".." not in Path(entry.file).parts
    except UserError:
        pass


def changed(base: Any) -> st.SearchStrategy[Any]:
    """A value in which parts are replaced, lost or added."""
    if isinstance(base, dict):
        parts = {key: st.one_of(st.just(value), changed(value)) for key, value in base.items()}
        fewer = st.fixed_dictionaries({}, optional=parts)
        more = st.builds(lambda a, b: {**a, **b}, fewer, st.dictionaries(anything, JSON, max_size=1))
        return st.one_of(st.fixed_dictionaries(parts), fewer, more, JSON)
    if isinstance(base, list):
        return st.one_of(st.lists(st.one_of(*map(changed, base)) if base else JSON, max_size=3), JSON)
    return st.one_of(st.just(base), JSON)


ROW = {"image": "im0", "repeat": 0, "psnr": 20.125, "ssim": 0.5, "seconds": 0.25, "level": 0.1, "steps": 0}
CELL: dict[str, Any] = {
    "identity": {
        "method": "toy",
        "protocol": {"dataset": "set", "noise": "gauss25", "draws": "counter-0", "padding": "side"},
        "training": {"weights": "ab"},
    },
    "about": {
        "text": "toy", "label": "Toy", "told": ["noise level"], "baseline": False, "protocol": "ab",
        "noise_title": "Gaussian", "dataset_title": "Set", "training": "", "warnings": ["hot"], "written": "2026",
        "training_record": {"draws": "fresh"},
    },
    "rows": [ROW, {**ROW, "repeat": 1}],
}  # fmt: skip


def dumped(value: Any) -> str:
    try:
        return sealed(value, 2)
    except (ValueError, TypeError):
        return json.dumps(value)


@many
@given(changed(CELL), st.booleans())
def test_result_files_of_somebody_who_knows_the_checksum(place: Path, data: Any, right_name: bool) -> None:
    from denoisebench.core.provenance import full_digest

    store, name = Store(place / "results"), "0123456789abcdef"
    if right_name and isinstance(data, dict):
        try:
            identity: Any = data.get("identity")
            name = full_digest(identity)[:16]
        except (UnicodeEncodeError, ValueError):
            return
    path = store.cells / f"{name}.json"
    path.write_text(dumped(data) if isinstance(data, dict) else json.dumps(data), encoding="utf-8")
    try:
        cells = store.all()
        if cells:
            chosen, _ = current(cells)
            table = build_table(chosen)
            for text in (markdown(table), latex(table), scores_csv(chosen)):
                text.encode()
        else:
            assert store.damaged or not data["rows"]
    finally:
        path.unlink()


@many
@given(st.binary(max_size=200), st.integers(0, 10**6), st.booleans())
def test_result_files_of_any_bytes(place: Path, noise: bytes, where: int, insert: bool) -> None:
    path, whole = place / "0123456789abcdef.json", sealed(CELL, 2).encode()
    where %= len(whole)
    data = whole[:where] + noise + whole[where + (0 if insert else len(noise)) :]
    path.write_bytes(data)
    if data == whole:
        return
    with pytest.raises(Damaged):
        _cell_of(path, _content(path))


RECORD: dict[str, Any] = {
    "method": "b2u", "settings": {"stride": 2, "network": "unet"}, "noise": "gauss25", "channels": 3,
    "summary": "a test", "warnings": ["w"], "scores": {"kodak gauss25": {"psnr": 30.0, "ssim": 0.8}},
    "data": {"name": "x"}, "recipe": {},
}  # fmt: skip


@many
@given(st.one_of(changed(RECORD).map(json.dumps).map(str.encode), st.binary(max_size=60)))
def test_records_of_weights_with_their_right_hash(place: Path, data: bytes) -> None:
    from denoisebench.commands import listing

    folder = place / "weights"
    folder.mkdir(exist_ok=True)
    (folder / "a.json").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    (folder / SUMS).write_text(f"{digest}  a.json\n{'0' * 64}  a.safetensors\n", encoding="utf-8")
    try:
        for weights in read_folder(folder).values():
            assert isinstance(weights.text, str)
            settings_text(weights)
        listing.weights_text([folder])
    except UserError:
        pass


@many
@given(st.one_of(anything, st.binary(max_size=60)))
def test_sums(place: Path, text: str | bytes) -> None:
    folder = place / "sums"
    folder.mkdir(exist_ok=True)
    (folder / SUMS).write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(UserError):
        read_folder(folder)


PUBLISHED = ["noise", "dataset", "psnr", "ssim", "flag"]


@many
@given(
    st.one_of(st.just(PUBLISHED), st.lists(anything, max_size=6)),
    st.lists(st.lists(st.one_of(anything, numbers, st.just("")), min_size=4, max_size=6), max_size=3),
    st.binary(max_size=4),
)
def test_rows_of_published_tables(place: Path, heads: list[str], rows: list[list[str]], tail: bytes) -> None:
    path = place / "table1.csv"
    text = io.StringIO()
    csv.writer(text).writerows([heads, *rows])
    path.write_bytes(text.getvalue().encode("utf-8", "surrogatepass") + tail)
    with contextlib.suppress(UserError):
        for row in published._rows(path):
            assert all(row[name] == "" or isinstance(float(row[name]), float) for name in ("psnr", "ssim"))
