"""From text to cells, and what decides a cell's content address."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from denoisebench.core.errors import UserError
from denoisebench.data.dataset import AnyFolder, FolderSet
from denoisebench.experiment.cells import Experiment
from denoisebench.experiment.options import parse_noises, parse_repeats, resolve_device
from denoisebench.plugins.lookup import find_dataset, parse_datasets, parse_method, parse_methods, split_list
from denoisebench.plugins.method import LearnedMethod
from denoisebench.plugins.registry import METHODS
from denoisebench.protocol.draws import LegacyDraws
from denoisebench.protocol.noise import parse_noise
from denoisebench.results.store import StoredCell
from denoisebench.training.recipe import Budget, Recipe

pytestmark = pytest.mark.usefixtures("no_data", "fresh_registry")
MakeFolder = Callable[..., Path]
RECIPE = Recipe(Budget(2, "steps"), crop=32)


@pytest.fixture
def base(image_folder: MakeFolder) -> Experiment:
    """identity and b2u on two pictures, trained on a folder."""
    return Experiment(
        methods=parse_methods("b2u"),
        noises=[parse_noise("gauss25")],
        datasets=[AnyFolder(image_folder())],
        recipe=RECIPE,
        train_data=AnyFolder(image_folder("training", size=(40, 40))),
    )


def keys(experiment: Experiment) -> list[str]:
    return [StoredCell(dict(cell.identity)).key for cell in experiment.cells()]


# --- lists and brackets ---


def test_a_folder_whose_path_has_commas_or_brackets_is_one(
    tmp_path: Path, image_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a,b", "run[1", "c", "Experiment (3), 4 °C"):
        image_folder(name)
    for text, names in (
        ("a,b", ["a,b"]),
        ("run[1", ["run[1"]),
        ("c,a,b,samples", ["c", "a,b", "samples"]),
        ("Experiment (3), 4 °C , c", ["Experiment (3), 4 °C", "c"]),
    ):
        assert [dataset.name for dataset in parse_datasets(text, ())] == names
    with pytest.raises(UserError, match="empty entry"):
        parse_datasets("c,,a,b", ())


def test_an_unknown_home_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="give the whole path"):
        parse_datasets("~nobody-of-that-name/pictures", ())


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("b2u", ["b2u"]),
        ("b2u,n2v", ["b2u", "n2v"]),
        (" b2u , n2v ", ["b2u", "n2v"]),
        ("b2u[a=1,b=2],n2v", ["b2u[a=1,b=2]", "n2v"]),
        ("a[],b[x=1]", ["a[]", "b[x=1]"]),
    ],
)
def test_commas_split_only_outside_brackets(text: str, parts: list[str]) -> None:
    assert split_list(text) == parts


@pytest.mark.parametrize("text", ["", ",", "a,", ",a", "a,,b", "a[b=1", "a]", "]a[", "a[b[c]]", " , "])
def test_a_list_that_cannot_be_split_is_quoted(text: str) -> None:
    with pytest.raises(UserError, match=r"empty entry|match|not closed") as caught:
        split_list(text)
    assert repr(text) in str(caught.value)


names = st.text("abcxyz019_-", min_size=1, max_size=6)


@given(st.lists(st.tuples(names, st.lists(st.tuples(names, names), max_size=3)), min_size=1, max_size=4))
def test_any_list_joined_with_commas_is_split_into_its_parts(parts: list[Any]) -> None:
    texts = [name + (f"[{','.join('='.join(pair) for pair in pairs)}]" if pairs else "") for name, pairs in parts]
    assert split_list(",".join(texts)) == texts


# --- methods as text ---

positive = st.floats(0, 1e6, allow_nan=False)
b2u_settings = st.fixed_dictionaries(
    {},
    optional={
        "stride": st.sampled_from([2, 4, 8]),
        "eta": positive,
        "lambda_s": positive,
        "lambda_f": positive,
        "ramp_start": st.none() | st.floats(0, 1, exclude_max=True),
        "revisible": st.sampled_from("AB"),
        "mapper": st.sampled_from(["global", "random"]),
        "visible": st.booleans(),
        "output": st.sampled_from(["exp", "dn", "mid"]),
        "blend": st.none() | positive,
        "network": st.sampled_from(["unet", "unet_b2u", "unet_nbr"]),
    },
)


@given(b2u_settings)
def test_a_method_reads_back_from_its_own_text(settings: dict[str, Any]) -> None:
    method = replace(parse_method("b2u"), **settings)
    assert parse_method(method.text) == method


@given(b2u_settings, b2u_settings)
def test_different_settings_have_different_texts(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = (replace(parse_method("b2u"), **settings) for settings in (one, other))
    assert (first == second) == (first.text == second.text)


def test_text_holds_only_what_differs_from_the_defaults() -> None:
    stride = parse_method("b2u").settings()["stride"]
    assert parse_method("b2u[]").text == "b2u"
    assert parse_method(f"b2u[stride={stride},eta=1.0,ramp_end=0.50]").text == "b2u"
    assert parse_method("b2u[eta=0, stride=8]").text == "b2u[stride=8,eta=0]"
    assert parse_method("b2u[visible=false]").text == "b2u[visible=false]"


def test_the_baseline_is_in_every_list_once_and_first() -> None:
    assert [m.text for m in parse_methods("b2u")] == ["identity", "b2u"]
    assert [m.text for m in parse_methods("b2u,identity,b2u[eta=1],b2u")] == ["identity", "b2u"]
    every = [m.text for m in parse_methods("b2u[stride=8],all")]
    assert every[:2] == ["identity", "b2u[stride=8]"]
    assert sorted(text.partition("[")[0] for text in every) == METHODS.names()
    other = parse_methods("b2u,n2v[network=unet],n2c[network=unet_nbr],laine19_mu,bm3d", "dncnn")
    kept = ["n2v", "n2c[network=unet_nbr]", "laine19_mu", "bm3d"]
    assert [m.text for m in other] == ["identity", "b2u[network=dncnn]", *kept]
    with pytest.raises(UserError, match="Unknown network 'dnccn'"):
        parse_methods("bm3d", "dnccn")
    assert [m.text for m in parse_methods("n2v,b2u[stride=8],b2u")] == ["identity", "n2v", "b2u[stride=8]", "b2u"]


def test_a_noise_given_twice_in_two_spellings_is_one() -> None:
    assert [noise.id for noise in parse_noises("gauss25,gauss25.0,poisson30")] == ["gauss25", "poisson30"]


@pytest.mark.parametrize(("text", "count"), [("1", 1), ("20", 20), ("paper", None)])
def test_repeats_are_a_number_or_the_papers(text: str, count: int | None) -> None:
    assert parse_repeats(text) == count


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "x", "", "²", "Paper"])
def test_other_repeats_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="whole numbers from 1 to 10,000, or paper"):
        parse_repeats(text)


def test_devices_are_checked() -> None:
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") in ("cpu", "cuda", "mps")
    with pytest.raises(UserError, match="Allowed: auto, cpu, cuda, mps"):
        resolve_device("tpu")


# --- data sets ---


def test_a_data_set_is_a_name_or_a_folder(image_folder: MakeFolder) -> None:
    assert find_dataset("samples", ()).name == "samples"
    folder = find_dataset(str(image_folder("mine")), ())
    assert (folder.name, folder.channels, list(folder.images)) == ("mine", 3, ["im0", "im1"])


def test_a_data_set_given_twice_is_one_but_two_of_one_name_are_refused(image_folder: MakeFolder) -> None:
    one, two = image_folder("a/same"), image_folder("b/same")
    assert len(parse_datasets(f"{one},{one}", ())) == 1
    with pytest.raises(UserError, match="named 'same'"):
        parse_datasets(f"{one},{two}", ())


# --- cells ---


def test_cells_go_data_set_by_data_set_noise_by_noise_method_by_method(
    base: Experiment, image_folder: MakeFolder
) -> None:
    experiment = replace(
        base,
        methods=parse_methods("n2v,b2u"),
        noises=parse_noises("gauss25,poisson30"),
        datasets=[AnyFolder(image_folder("z")), AnyFolder(image_folder("a"))],
    )
    found = [(cell.dataset.name, cell.noise.id, cell.method.text) for cell in experiment.cells()]
    assert found == [
        (dataset, noise, method)
        for dataset in ("z", "a")
        for noise in ("gauss25", "poisson30")
        for method in ("identity", "n2v", "b2u")
    ]
    assert len(set(keys(experiment))) == len(found)


def test_repeats_are_wanted_repeat_by_repeat(base: Experiment) -> None:
    cell = replace(base, repeats=2).cells()[0]
    assert list(cell.wanted) == [("im0", 0), ("im1", 0), ("im0", 1), ("im1", 1)]


def test_paper_repeats_come_from_the_data_set(base: Experiment) -> None:
    base.datasets[0].paper_repeats = 3
    assert len(replace(base, repeats=None).cells()[0].wanted) == 6


def test_equal_experiments_have_equal_keys_and_repeats_do_not_matter(base: Experiment) -> None:
    assert keys(base) == keys(replace(base))
    assert keys(base) == keys(replace(base, repeats=7))


CHANGES: dict[str, Callable[[Experiment], Experiment]] = {
    "noise": lambda e: replace(e, noises=parse_noises("gauss26")),
    "clipping": lambda e: replace(e, noises=parse_noises("gauss25-clip")),
    "seed": lambda e: replace(e, seed=1),
    "padding": lambda e: replace(e, padding="square"),
    "budget": lambda e: replace(e, recipe=replace(RECIPE, budget=Budget(3, "steps"))),
    "batch": lambda e: replace(e, recipe=replace(RECIPE, batch=2)),
    "crop": lambda e: replace(e, recipe=replace(RECIPE, crop=64)),
    "learning rate": lambda e: replace(e, recipe=replace(RECIPE, lr=1e-4)),
    "training noise": lambda e: replace(e, recipe=replace(RECIPE, draws="fixed")),
    "training seed": lambda e: replace(e, recipe=replace(RECIPE, seed=1)),
    "device": lambda e: replace(e, device="cuda"),
    "setting": lambda e: replace(e, methods=parse_methods("b2u[eta=0]")),
    "output": lambda e: replace(e, methods=parse_methods("b2u[output=dn]")),
}
ONLY_LEARNED = {
    "budget", "batch", "crop", "learning rate", "training noise", "training seed", "device", "setting", "output",
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_decides_the_rows_changes_the_key_and_nothing_else_does(change: str, base: Experiment) -> None:
    identity, b2u = keys(base)
    new_identity, new_b2u = keys(CHANGES[change](base))
    assert b2u != new_b2u
    assert (identity == new_identity) == (change in ONLY_LEARNED)


def test_other_images_under_the_same_names_change_the_key(base: Experiment, image_folder: MakeFolder) -> None:
    other = AnyFolder(image_folder("elsewhere/pictures", size=(48, 41)))
    assert other.name == base.datasets[0].name
    assert not set(keys(base)) & set(keys(replace(base, datasets=[other])))


def test_other_training_images_change_only_learned_cells(base: Experiment, image_folder: MakeFolder) -> None:
    other = AnyFolder(image_folder("elsewhere/training", size=(40, 41)))
    identity, b2u = keys(base)
    new_identity, new_b2u = keys(replace(base, train_data=other))
    assert identity == new_identity
    assert b2u != new_b2u


def test_legacy_draws_change_the_key(base: Experiment) -> None:
    kodak = find_dataset("kodak", [])
    base = replace(base, methods=parse_methods("nlm"), datasets=[kodak])
    legacy = replace(base, draws="legacy")
    assert not set(keys(base)) & set(keys(legacy))
    assert legacy.cells()[0].protocol.draws == LegacyDraws.id


def test_settings_of_inference_share_one_training(base: Experiment) -> None:
    cells = replace(base, methods=parse_methods("b2u,b2u[output=mid],b2u[blend=3,output=mid],b2u[stride=8]")).cells()
    jobs = [cell.job.key for cell in cells if cell.job]
    assert len(jobs) == 4
    assert len(set(jobs[:3])) == 1
    assert jobs[3] != jobs[0]
    assert len({StoredCell(dict(cell.identity)).key for cell in cells}) == 5


def test_one_training_serves_all_test_sets_of_a_kind(base: Experiment, image_folder: MakeFolder) -> None:
    sets = [AnyFolder(image_folder("x")), AnyFolder(image_folder("y", size=(50, 50)))]
    sets.append(AnyFolder(image_folder("gray", mode="L")))
    jobs = [cell.job.key for cell in replace(base, datasets=sets).cells() if cell.job]
    assert jobs[0] == jobs[1] != jobs[2]


def test_a_plain_method_has_no_training(base: Experiment) -> None:
    identity, b2u = base.cells()
    assert identity.job is None
    assert identity.identity["training"] is None
    assert b2u.job is not None


def test_training_falls_back_to_the_embedded_images_and_names_them(base: Experiment, tmp_path: Path) -> None:
    auto = replace(base, train_data=None, roots=[tmp_path])
    job = auto.cells()[1].job
    assert job is not None
    assert job.data["name"] == "samples_train"
    assert job.identity["data"]["name"] == "samples_train"
    assert job.identity["data"]["sha256"] == find_dataset("samples_train", ()).data_hash


def test_training_takes_bsd400_where_it_is(base: Experiment, tmp_path: Path) -> None:
    gauss, anywhere = parse_noise("gauss25"), replace(base, train_data=None, roots=[tmp_path])
    found = {channels: anywhere.training_set(channels, gauss) for channels in (1, 3)}
    assert [data.name for data in found.values()] == ["samples_train", "samples_train"]
    for folder in ("bsd400", "bsd400_color"):
        data = find_dataset(folder, [tmp_path])
        assert isinstance(data, FolderSet)
        (tmp_path / data.folders[0]).mkdir(exist_ok=True)
    anywhere = replace(anywhere)  # one experiment looks for them once
    found = {channels: anywhere.training_set(channels, gauss) for channels in (1, 3)}
    assert [data.name for data in found.values()] == ["bsd400", "bsd400_color"]


def test_an_experiment_refuses_what_no_protocol_has(base: Experiment) -> None:
    for change in ({"draws": "dice"}, {"padding": "none"}, {"repeats": 0}, {"draws": "legacy"}):
        with pytest.raises(UserError):
            replace(base, **change)


def test_legacy_draws_have_gaussian_and_poisson_noise_only(base: Experiment) -> None:
    with pytest.raises(UserError, match="not for gamma4"):
        replace(base, noises=[parse_noise("gamma4")], datasets=[find_dataset("kodak", [])], draws="legacy")


def test_legacy_draws_hold_only_the_papers_repeats(base: Experiment) -> None:
    base.datasets[0].name = "kodak"
    with pytest.raises(UserError, match="not for the folder 'kodak'"):
        replace(base, draws="legacy", repeats=1)
    base = replace(base, datasets=[find_dataset("kodak", [])])
    assert replace(base, draws="legacy", repeats=10).repeats == 10
    with pytest.raises(UserError, match="hold 10 repeats of kodak, not 11"):
        replace(base, draws="legacy", repeats=11)


def test_an_unsuitable_cell_is_planned_with_its_reason(base: Experiment, image_folder: MakeFolder) -> None:
    method = parse_method("n2v")
    info = dataclasses.replace(method.info, channels=(3,))
    kind = type("OnlyColour", (type(method),), {"info": info, "__module__": type(method).__module__})
    only = kind()
    assert isinstance(only, LearnedMethod)
    gray = AnyFolder(image_folder("gray", mode="L"))
    cells = replace(base, methods=[only], datasets=[gray, base.datasets[0]]).cells()
    assert cells[0].skip == "takes images of 3 channels, not 1"
    assert cells[1].skip == ""
