"""The page by its content: what it holds, what it says is missing, and that nothing of a stranger's becomes markup."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import math
import re
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from denoisebench.audit.subject import CellFilter
from denoisebench.core.errors import UserError
from denoisebench.reports.figures import comparison
from denoisebench.reports.figures.again import Made
from denoisebench.reports.page import content as module
from denoisebench.reports.page import pictures
from denoisebench.reports.page.build import page
from denoisebench.reports.page.content import page_content
from denoisebench.reports.page.learning import learning_curves
from denoisebench.reports.statistics import against, groups_of
from denoisebench.results.store import Store, StoredCell
from denoisebench.training.weights import write_weights

Cell = Callable[..., StoredCell]
Command = Callable[..., Any]
EVIL = "</script><img src=x onerror=alert(1)>"


class Parts(HTMLParser):
    """The elements of a page and the texts of its scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": [], "title": []}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag
        if tag in self.raw:
            self.raw[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open in self.raw:
            self.raw[self._open][-1] += data

    @property
    def policy(self) -> dict[str, list[str]]:
        """The Content-Security-Policy by directive."""
        text = next(a["content"] for tag, a in self.tags if a.get("http-equiv") == "Content-Security-Policy")
        assert text is not None
        return {part.split()[0]: part.split()[1:] for part in text.split(";")}

    @property
    def data(self) -> Any:
        """What the script reads."""
        return json.loads(self.raw["script"][0])


def unpacked(text: str, kind: str = "<f4") -> Any:
    return np.frombuffer(base64.b64decode(text), kind)


def sha(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@pytest.fixture
def cells(stored_cell: Cell) -> list[StoredCell]:
    noisy = stored_cell("identity", [20.0] * 8, label="Noisy input", baseline=True)
    a = stored_cell("nlm", [28.0 + 0.1 * i for i in range(8)], told=["noise level"])
    b = stored_cell("b2u", [30.0 + 0.11 * i for i in range(8)], training="9 steps", record={"parameters": 1000})
    return [noisy, a, b]


def test_scores_intervals_and_costs_are_those_of_the_tables(cells: list[StoredCell]) -> None:
    found = page_content("mine", cells)
    (column,) = found["columns"]
    b2u = next(s for s in column["scores"] if found["lines"][s["line"]]["method"] == "b2u")
    assert b2u["psnr"] == pytest.approx(30.385)
    assert b2u["marks"] == ["best", "best"]
    assert b2u["parameters"] == 1000
    assert unpacked(b2u["of"]["psnr"]) == pytest.approx([30.0 + 0.11 * i for i in range(8)], abs=1e-5)
    names = [found["lines"][score["line"]]["method"] for score in column["scores"]]
    expected = against(groups_of(cells), ["b2u"], "nlm")[0]
    packed = next(d for d in column["differences"] if [names[d[0]], names[d[1]]] == ["b2u", "nlm"])
    assert packed[3] == pytest.approx(expected.psnr)
    assert packed[4] == pytest.approx(expected.psnr_interval)
    back = next(d for d in column["differences"] if [names[d[0]], names[d[1]]] == ["nlm", "b2u"])
    assert back[4] == pytest.approx([-packed[4][1], -packed[4][0]])


@pytest.mark.parametrize("reference", ["identity", "nlm", "b2u"])
def test_every_method_is_compared_with_every_other_as_compare_does(cells: list[StoredCell], reference: str) -> None:
    (column,) = page_content("mine", cells)["columns"]
    names = [group.line.method for group in groups_of(cells)[next(iter(groups_of(cells)))]]
    found = {names[d[0]]: d for d in column["differences"] if names[d[1]] == reference}
    for expected in against(groups_of(cells), [], reference):
        packed = found.pop(expected.one.line.method)
        assert packed[7:] == pytest.approx([expected.won, expected.p_holm, expected.detectable])
        assert packed[4] == pytest.approx(expected.psnr_interval)
    assert not found


def test_the_best_method_is_the_reference_unless_another_is_named(cells: list[StoredCell]) -> None:
    names = ["identity", "nlm", "b2u"]
    assert page_content("mine", cells)["columns"][0]["reference"] == names.index("b2u")
    assert page_content("mine", cells, reference="nlm")["columns"][0]["reference"] == names.index("nlm")
    with pytest.raises(UserError, match="bm3d"):
        page_content("mine", cells, reference="bm3d")


def test_intervals_that_take_long_are_made_for_a_named_reference_alone(
    cells: list[StoredCell], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AFFORDABLE", 8)
    (column,) = page_content("mine", cells)["columns"]
    assert column["differences"] == []
    assert "--versus" in column["said"][0]
    (column,) = page_content("mine", cells, reference="nlm")["columns"]
    assert {d[1] for d in column["differences"]} == {1}
    expected = against(groups_of(cells), [], "nlm")
    assert [d[8] for d in column["differences"]] == pytest.approx([d.p_holm for d in expected])


def test_citations_have_a_line_for_each_field(stored_cell: Cell) -> None:
    content = page_content("mine", [stored_cell(name, [30.0, 31.0]) for name in ("n2n", "n2v", "nlm")])
    entries = [entry["bibtex"] for entry in content["citations"]]
    assert len(entries) == 3
    for entry in entries:
        first, *fields, last = entry.splitlines()
        assert first.startswith("@")
        assert last == "}"
        assert len(fields) >= 4
        assert all(re.fullmatch(r"  \w+ = .+,", field) for field in fields), entry


def test_few_images_are_said_to_be_few_and_nothing_is_called_alike(stored_cell: Cell) -> None:
    (column,) = page_content("mine", [stored_cell("a", [30, 31, 32]), stored_cell("b", [20, 21, 22])])["columns"]
    assert column["said"] == ["With 3 images no test can find a difference; 6 are needed."]
    assert column["alike"] == []


def test_two_trainings_share_a_line_with_their_mean(stored_cell: Cell) -> None:
    seeds = [
        stored_cell("b2u", [v, v + 1], training="9 steps" + s, seed=n)
        for n, (v, s) in enumerate([(30, ""), (31, ", seed 1")])
    ]
    found = page_content("mine", seeds)
    (score,) = found["columns"][0]["scores"]
    assert unpacked(score["of"]["psnr"]).tolist() == [30.5, 31.5]
    assert [cell["seed"] for cell in score["cells"]] == [0, 1]
    assert score["spread"] == pytest.approx(math.sqrt(0.5))


def test_images_that_only_one_method_has_are_empty_for_the_other(stored_cell: Cell) -> None:
    cells = [stored_cell("a", [30, 31]), stored_cell("b", [32], images=["im1"])]
    (column,) = page_content("mine", cells)["columns"]
    assert column["images"] == ["im0", "im1"]
    first, second = (unpacked(score["of"]["psnr"]).tolist() for score in column["scores"])
    assert first == [30, 31]
    assert math.isnan(second[0])
    assert second[1] == 32


def test_paper_values_stand_beside_scores_of_the_registered_data_set(command: Command, tmp_path: Path) -> None:
    folder = Path(__file__).parents[1] / "results" / "gauss25"
    if not folder.is_dir():
        pytest.skip("no checkout around these tests")
    stored = [cell for cell in Store.look(folder).all() if cell.identity["protocol"]["dataset"] == "kodak"]
    found = page_content("gauss25", stored)
    papers = {found["lines"][s["line"]]["method"]: s["paper"] for s in found["columns"][0]["scores"]}
    assert papers["n2c"] == {"psnr": 32.43, "ssim": 0.884, "odd": False}
    assert papers["identity"] is None


# --- protocols ---


def test_a_wall_stands_between_protocols_and_none_between_data_sets(stored_cell: Cell) -> None:
    cells = [
        stored_cell("a", [30, 31]), stored_cell("a", [30, 31], dataset="set14"),
        stored_cell("a", [30, 31], padding="square"), stored_cell("a", [30, 31], draws="legacy-101", dataset="set14"),
        stored_cell("a", [30, 31], limit=2),
    ]  # fmt: skip
    walls = page_content("mine", cells)["walls"]
    # A part of a test set is other images under the same protocol.
    assert [wall["columns"] for wall in walls] == [[0, 2, 3], [1], [4]]
    assert "padding square" in walls[1]["said"]
    assert "draws legacy-101" in walls[2]["said"]
    assert "dataset" not in walls[0]["said"]


# --- what is missing ---


def test_no_results_make_a_page_that_says_so(command: Command, stored_run: Callable[..., Path]) -> None:
    folder = stored_run()
    ran = command("report", folder, "--html")
    assert ran.code == 0, ran.err
    data = Parts((folder / "report.html").read_text(encoding="utf-8")).data
    assert data["columns"] == []
    assert "no finished results" in data["missing"][0]


def test_a_single_method_is_said_to_be_alone(stored_cell: Cell) -> None:
    noisy = stored_cell("identity", [20.0, 21.0], baseline=True)
    assert "one method alone" in page_content("mine", [noisy, stored_cell("a", [30, 31])])["missing"][0]
    assert page_content("mine", [noisy, stored_cell("a", [30, 31]), stored_cell("b", [30, 31])])["missing"] == []


def test_the_noisy_input_without_a_method_is_said_to_be_that(stored_cell: Cell) -> None:
    assert "no method" in page_content("mine", [stored_cell("identity", [20.0], baseline=True)])["missing"][0]


def test_lines_of_one_title_are_named_by_what_tells_them_apart(stored_cell: Cell) -> None:
    cells = [
        stored_cell("a", [30], told=["noise level"]), stored_cell("a", [30], noise="poisson30"),
        stored_cell("b", [30], training="9 steps"), stored_cell("b", [30], training="8 steps"), stored_cell("c", [30]),
    ]  # fmt: skip
    found = page_content("mine", cells)
    names = [line["name"] for line in found["lines"]]
    assert names == ["A (told noise level)", "A (told nothing)", "B (9 steps)", "B (8 steps)", "C"]
    # In the view of all test sets A is one row, B has two in one test set.
    assert found["rows"] == [[0, 1], [2], [3], [4]]
    assert found["missing"] == ["B, C: no score on Kodak, poisson30."]


def test_scores_that_were_not_made_are_named(stored_cell: Cell) -> None:
    cells = [stored_cell("a", [30]), stored_cell("b", [30]), stored_cell("a", [30], dataset="set14")]
    assert page_content("mine", cells)["missing"] == ["B: no score on Set14, gauss25."]
    cells += [stored_cell("c", [30], noise="poisson30"), stored_cell("c", [30], noise="poisson30", dataset="set14")]
    assert page_content("mine", cells)["missing"] == [
        "A: no score on poisson30.",
        "B: no score on Set14, gauss25; poisson30.",
        "C: no score on gauss25.",
    ]


def test_warnings_and_footnotes_of_the_table_stand_on_the_page(stored_cell: Cell) -> None:
    noisy = stored_cell("identity", [20.0, 21.0], baseline=True)
    bad = stored_cell("bad", [10.0, 11.0], warnings=["training diverged"])
    found = page_content("mine", [noisy, bad], ["WARNING: x.json is damaged."])
    assert any("training diverged" in note for note in found["notes"])
    assert "WARNING: x.json is damaged." in found["notes"]
    assert [score["flag"] for score in found["columns"][0]["scores"]] == ["", "below"]
    assert found["columns"][0]["scores"][1]["cells"][0]["warnings"] == ["training diverged"]


def test_a_perfect_image_does_not_break_the_page(stored_cell: Cell) -> None:
    found = page_content("mine", [stored_cell("a", [math.inf, math.inf]), stored_cell("b", [30, math.inf])])
    assert found["columns"][0]["scores"][0]["psnr"] == "inf"
    data = Parts(page(found)).data
    assert unpacked(data["columns"][0]["scores"][0]["of"]["psnr"]).tolist() == [math.inf, math.inf]


# --- learning curves ---


def test_curves_of_weights_are_found_by_their_hash(
    stored_cell: Cell, stored_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "weights"
    record = {
        "method": "n2v", "settings": {}, "noise": "gauss25", "channels": 3, "summary": "9 steps", "recipe": {"seed": 0},
        "heldout": {
            "data": {"sha256": "a"},
            "points": [
                {"step": n, "images": 4 * n, "seconds": 2.0 * n, "noisy": 20.0, "psnr": 25.0 + n} for n in (1, 2)
            ],
        },
    }  # fmt: skip
    weights = write_weights(place, "n2v-gauss25-rgb", {"w": torch.zeros(1)}, record, half=False)
    monkeypatch.setenv("DENOISEBENCH_WEIGHTS", str(place))
    cells = [stored_cell("n2v", [30], training="9 steps"), stored_cell("b2u", [30], training="9 steps")]
    cells[0].identity["training"] = {"weights": weights.sha256}
    cells[1].identity["training"] = {"weights": "f" * 64}
    panels, said = learning_curves(Store(stored_run(*cells)), cells)
    (panel,) = panels
    assert panel["title"] == "Gaussian σ=25, colour"
    (curve,) = panel["curves"]
    assert (curve["name"], curve["psnr"], curve["images"], curve["seconds"]) == (
        "N2V",
        [26.0, 27.0],
        [4.0, 8.0],
        [2.0, 4.0],
    )
    assert said == ["B2U: weights ffffffffffff are not at hand, or have no scores on held-out images."]


def test_a_damaged_record_of_a_training_is_said_and_costs_no_page(
    cells: list[StoredCell], stored_run: Callable[..., Path], command: Command
) -> None:
    folder = stored_run(*cells)
    (folder / "models").mkdir()
    (folder / "models" / "x.json").write_text("{")
    assert command("report", folder, "--html").code == 0
    data = Parts((folder / "report.html").read_text(encoding="utf-8")).data
    assert data["curves"] == []
    assert "x.json" in data["unlearned"][0]


# --- images ---


def decoded(url: str) -> Any:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))


def test_images_are_made_again_and_kept_without_loss(command: Command, image_folder: Any, tmp_path: Path) -> None:
    folder, out = image_folder(count=2), tmp_path / "out"
    assert command("run", "--methods", "nlm,bm3d", "--datasets", folder, "--out", out).code == 0
    ran = command("report", out, "--html", "--images", "2", "--datasets", folder)
    assert ran.code == 0, ran.err
    (column,) = Parts((out / "report.html").read_text(encoding="utf-8")).data["columns"]
    assert column["unpictured"] == []
    assert sorted(one["image"] for one in column["pictures"]) == ["im0", "im1"]
    for one in column["pictures"]:
        assert [layer["name"] for layer in one["layers"]] == ["Noisy input", "NLM", "BM3D", "Clean"]
        assert one["whole"] is None
        with Image.open(folder / f"{one['image']}.png") as clean:
            assert np.array_equal(decoded(one["layers"][-1]["url"]), np.asarray(clean))
        place = column["images"].index(one["image"])
        for layer, score in zip(one["layers"], column["scores"], strict=False):
            assert layer["psnr"] == pytest.approx(unpacked(score["of"]["psnr"])[place], abs=1e-4)
            # What is shown is what was scored: 8 bits.
            error = (decoded(layer["url"]).astype(float) - decoded(one["layers"][-1]["url"])) / 255
            assert 10 * np.log10(1 / np.mean(error**2)) == pytest.approx(layer["psnr"], abs=1e-6)


def test_images_that_are_gone_cost_no_page(command: Command, image_folder: Any, tmp_path: Path) -> None:
    folder, out = image_folder(count=2), tmp_path / "out"
    assert command("run", "--methods", "nlm", "--datasets", folder, "--out", out).code == 0
    for arguments, words in (
        (["--images", "1"], "say where it is with --datasets"), (["--images", "0"], "no images in this page"),
    ):  # fmt: skip
        assert command("report", out, "--html", *arguments).code == 0
        (column,) = Parts((out / "report.html").read_text(encoding="utf-8")).data["columns"]
        assert column["pictures"] == []
        assert words in column["unpictured"][0]
    (folder / "im0.png").unlink()
    ran = command("report", out, "--html", "--images", "1", "--datasets", folder)
    assert (ran.code, "Traceback" in ran.err) == (0, False)


def test_images_that_take_long_are_made_only_on_demand(stored_cell: Cell) -> None:
    groups = groups_of([stored_cell("a", [30, 31], seconds=20.0), stored_cell("b", [30, 31], seconds=20.0)])
    (album,) = pictures.make_albums(Path("nowhere"), groups, CellFilter(), None).values()
    assert album.made == []
    assert "some 40 s" in album.said[0]


def test_every_test_set_has_its_first_image_before_any_has_a_second(stored_cell: Cell) -> None:
    groups = groups_of([stored_cell("a", [30, 31, 32], dataset=name) for name in ("kodak", "set14")])
    turns = [(column.dataset, seconds) for column, _, _, seconds in pictures._turns(Path("nowhere"), groups, 2)]
    assert turns == [("kodak", 0.5), ("set14", 0.5)] * 2


def album(side: int, names: Sequence[str] = ("A", "B")) -> pictures.Album:
    rng = np.random.default_rng(0)
    clean = np.full((side, side + 40, 3), 0.5, np.float32)
    made = [comparison.Picture("Noisy input", clean + rng.normal(0, 0.1, clean.shape).astype(np.float32), 20.0, 0.3)]
    for number, name in enumerate(names):
        result = clean.copy()
        # The methods differ in one corner.
        result[-40:, -40:] += 0.1 * number
        made.append(comparison.Picture(name, result, 30.0 + number, 0.8))
    return pictures.Album([("im0", 0, Made(comparison.Picture("Clean", clean), made, "im0", []))])


def test_pictures_are_cut_to_where_methods_differ_until_the_page_is_small(
    stored_cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    column = next(iter(groups_of([stored_cell("a", [30])])))
    whole = pictures.packed_albums({column: album(420)}, {"A": "Ours"})[column]["pictures"][0]
    assert [layer["name"] for layer in whole["layers"]] == ["Noisy input", "Ours", "B", "Clean"]
    assert (whole["crop"], whole["whole"]) == ([0, 0, 460, 420], None)
    monkeypatch.setattr(pictures, "ROOM", 400_000)
    part = pictures.packed_albums({column: album(420)})[column]["pictures"][0]
    x, y, wide, tall = part["crop"]
    assert (wide, tall) == (256, 256)
    assert (x + wide, y + tall) == (460, 420)
    assert decoded(part["layers"][0]["url"]).shape == (256, 256, 3)
    assert decoded(part["whole"]).shape[1] == 360
    monkeypatch.setattr(pictures, "ROOM", 0)
    assert pictures.packed_albums({column: album(420)})[column]["pictures"][0]["crop"][2:] == [128, 128]


# --- safety ---


def test_nothing_may_load_or_run_but_what_the_policy_hashes(cells: list[StoredCell]) -> None:
    parts = Parts(page(page_content("mine", cells)))
    policy = parts.policy
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == [sha(parts.raw["script"][1])]
    assert policy["style-src"] == [sha(parts.raw["style"][0])]
    assert policy["img-src"] == ["data:"]
    assert {"base-uri", "form-action", "require-trusted-types-for"} <= policy.keys()
    assert len(parts.raw["script"]) == 2
    for tag, attributes in parts.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        for name in ("src", "href", "srcset", "action"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, attributes)


def test_the_script_makes_no_html_of_text() -> None:
    folder = resources.files("denoisebench.reports.page").joinpath("assets")
    for file in folder.iterdir():
        text = file.read_text(encoding="utf-8")
        assert not re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|Function\(|fetch\(", text
        )


def test_labels_of_strangers_stay_text(stored_cell: Cell, stored_run: Callable[..., Path], command: Command) -> None:
    cells = [
        stored_cell("evil", [30, 31], label=EVIL, images=[EVIL, "=1+1"], warnings=[EVIL], training="=cmd()"),
        stored_cell("identity", [20, 21], images=[EVIL, "=1+1"], label="<b>\u202enoisy", baseline=True),
    ]
    for cell in cells:
        cell.about["dataset_title"] = EVIL
    folder = stored_run(*cells, name="a<b>&c")
    assert command("report", folder, "--html").code == 0
    text = (folder / "report.html").read_text(encoding="utf-8")
    parts = Parts(text)
    assert not [tag for tag, _ in parts.tags if tag == "img"]
    assert "\u202e" not in text
    data = parts.data
    assert EVIL in [line["title"] for line in data["lines"]]
    assert data["columns"][0]["images"] == [EVIL, "=1+1"]
    assert parts.raw["title"][0] == "a<b>&c · denoisebench"


def test_a_name_that_begins_like_a_formula_is_text_for_a_spreadsheet(stored_cell: Cell) -> None:
    found = page_content("mine", [stored_cell("=evil", [30, 31], training="@x")])
    row = next(csv.DictReader(io.StringIO(found["copies"]["CSV"])))
    assert (row["method"], row["training"]) == ("'=evil", "'@x")


def test_labels_caption_and_methods_of_the_command_are_those_of_the_page(
    cells: list[StoredCell], stored_run: Callable[..., Path], command: Command
) -> None:
    folder = stored_run(*cells, name="results2")
    arguments = ("--label", "b2u=Ours", "--caption", "My <table>", "--methods", "b2u")
    assert command("report", folder, "--html", *arguments).code == 0
    parts = Parts((folder / "report.html").read_text(encoding="utf-8"))
    assert parts.raw["title"] == ["My <table> · denoisebench"]
    assert [line["title"] for line in parts.data["lines"]] == ["Noisy input", "Ours"]
    assert "Ours" in parts.data["copies"]["LaTeX"]
    assert command("report", folder, "--html", "--methods", "b2u", "--versus", "nlm").code == 0
    data = Parts((folder / "report.html").read_text(encoding="utf-8")).data
    assert [line["title"] for line in data["lines"]] == ["Noisy input", "B2U", "NLM"]


def test_names_that_are_no_unicode_can_be_shown(stored_cell: Cell) -> None:
    found = page_content("mine\udcff", [stored_cell("a", [30], images=["im\udce9"])])
    assert Parts(page(found)).data["columns"][0]["images"] == ["im\\xe9"]


def test_a_reader_without_javascript_gets_the_table(
    cells: list[StoredCell], stored_run: Callable[..., Path], command: Command
) -> None:
    folder = stored_run(*cells)
    command("report", folder, "--html")
    text = (folder / "report.html").read_text(encoding="utf-8")
    shown = text.partition("<noscript>")[2].partition("</noscript>")[0]
    assert f"<b>{np.mean([30 + 0.11 * i for i in range(8)]):.2f}</b>/<b>0.800</b>" in shown


# --- the command ---


def test_the_page_is_made_twice_the_same(
    cells: list[StoredCell], stored_run: Callable[..., Path], command: Command
) -> None:
    folder = stored_run(*cells)
    ran = command("report", folder, "--html")
    first = (folder / "report.html").read_bytes()
    assert ran.out.rstrip().endswith(str(folder / "report.html"))
    assert command("report", folder, "--html").code == 0
    assert (folder / "report.html").read_bytes() == first


def test_a_page_of_somebody_else_is_kept(
    cells: list[StoredCell], stored_run: Callable[..., Path], command: Command
) -> None:
    folder = stored_run(*cells)
    (folder / "report.html").write_text("my own")
    ran = command("report", folder, "--html")
    assert "report.kept-1.html" in ran.err
    assert (folder / "report.kept-1.html").read_text() == "my own"


def test_open_shows_the_file_in_a_browser(
    cells: list[StoredCell], stored_run: Callable[..., Path], command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []

    def opened(url: str) -> bool:
        shown.append(url)
        return False

    monkeypatch.setattr("webbrowser.open", opened)
    folder = stored_run(*cells)
    ran = command("report", folder, "--html", "--open")
    assert ran.code == 0
    assert shown == [(folder / "report.html").as_uri()]
    assert "No browser was found" in ran.err
    ran = command("report", folder, "--open")
    assert ran.code == 2
    assert "--html" in ran.err


def test_the_bundled_chart_library_is_the_published_one_with_its_licence() -> None:
    vendor = resources.files("denoisebench.reports.page").joinpath("vendor")
    script = vendor.joinpath("uPlot.iife.min.js").read_bytes()
    assert hashlib.sha256(script).hexdigest() == "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"
    assert "MIT License" in vendor.joinpath("uPlot.LICENSE").read_text(encoding="utf-8")
    assert len(script) < 60_000
