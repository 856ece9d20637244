"""The page in a real browser: sorting, filtering, keyboard, no errors and no network.

Skipped where playwright (``pip install "denoisebench[browser]"``) or a Chromium (Debian: ``apt install chromium``) is
not installed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from denoisebench.reports.figures.again import Made
from denoisebench.reports.figures.comparison import Picture
from denoisebench.reports.page.build import page
from denoisebench.reports.page.content import page_content
from denoisebench.reports.page.pictures import Album
from denoisebench.reports.statistics import groups_of
from denoisebench.results.store import StoredCell

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow
Cell = Callable[..., StoredCell]
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium: playwright's own, or the system's."""
    with sync_api.sync_playwright() as driver:
        own = Path(driver.chromium.executable_path)
        found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        if not own.is_file() and found is None:
            pytest.skip("no Chromium is installed")
        browser = driver.chromium.launch(executable_path=None if own.is_file() else found)
        yield browser
        browser.close()


class Shown:
    """A page that is open, and everything it did that it must not do."""

    def __init__(self, view: Page, path: Path, timed: bool) -> None:
        self.view = view
        if timed:
            self.clock = view.context.new_cdp_session(view)
            self.clock.send("Performance.enable", {"timeDomain": "threadTicks"})
        self.faults: list[str] = []
        view.on("console", lambda said: self.faults.append(said.text))
        view.on("pageerror", lambda error: self.faults.append(str(error)))
        view.on("request", lambda asked: None if asked.url == path.as_uri() else self._asked(asked.url))
        view.goto(path.as_uri())

    def _asked(self, url: str) -> None:
        if not url.startswith("data:"):
            self.faults.append(f"asked for {url}")

    def column(self, host: str, place: int) -> list[str]:
        """Texts of a column of a table."""
        return self.view.locator(f"#{host} tbody tr > :nth-child({place})").all_inner_texts()

    def busy(self) -> float:
        """Seconds that the page's thread has computed; on a machine with nothing else to do, the time waited."""
        found = self.clock.send("Performance.getMetrics")["metrics"]
        return float(next(metric["value"] for metric in found if metric["name"] == "TaskDuration"))

    def names(self) -> list[str]:
        """Methods of the leaderboard from top to bottom."""
        return self.view.locator("#leaderboard-table .name").all_inner_texts()


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Shown]]:
    """Open the page of some cells; nothing may go wrong while it is looked at."""
    opened: list[Shown] = []

    def call(
        cells: list[StoredCell], content: dict[str, Any] | None = None, timed: bool = False, **options: Any
    ) -> Shown:
        path = tmp_path / f"page{len(opened)}.html"
        path.write_text(page(content or page_content("mine", cells)), encoding="utf-8")
        view = browser.new_context(
            viewport={"width": 1200, "height": 900}, reduced_motion="reduce", **options
        ).new_page()
        # Against a hang, on machines however busy.
        view.set_default_timeout(60_000)
        opened.append(Shown(view, path, timed))
        return opened[-1]

    yield call
    for shown in opened:
        assert shown.faults == []
        shown.view.context.close()


@pytest.fixture
def cells(stored_cell: Cell) -> list[StoredCell]:
    images = [f"im{number}" for number in range(12)]
    found = []
    for dataset, shift in (("kodak", 0.0), ("set14", 1.0)):
        base = shift + np.linspace(0, 2, 12) ** 2

        def make(text: str, level: float, base: Any = base, dataset: str = dataset, **options: Any) -> StoredCell:
            values = (level + base + 0.1 * np.sin(7 * level + np.arange(12))).tolist()
            return stored_cell(text, values, images=images, dataset=dataset, **options)

        found += [
            make("identity", 20, label="Noisy input", baseline=True),
            make("nlm", 28, label="NLM", told=["noise level"]),
            make("n2c", 31.5, label="N2C", told=["clean images"], training="9 steps", record={"parameters": 1100000}),
            make("b2u", 31, label="B2U", training="9 steps", record={"parameters": 1100000, "seconds": 4000.0}),
            make("evil", 15, label=EVIL),
        ]
    return found


def test_the_leaderboard_is_sorted_by_psnr_and_by_what_is_pressed(show: Any, cells: list[StoredCell]) -> None:
    shown = show(cells)
    assert shown.names() == ["N2C", "B2U", "NLM", "Noisy input", EVIL]
    head = shown.view.get_by_role("columnheader", name="PSNR, dB")
    assert head.get_attribute("aria-sort") == "descending"
    shown.view.locator("#leaderboard-table").get_by_role("button", name="PSNR, dB", exact=True).click()
    assert shown.names() == [EVIL, "Noisy input", "NLM", "B2U", "N2C"]
    assert head.get_attribute("aria-sort") == "ascending"
    shown.view.locator("#leaderboard-table").get_by_role("button", name="Training", exact=True).click()
    assert shown.names()[0] == "B2U", "lines without a training come last"


def test_what_was_not_measured_of_a_method_is_blank(show: Any, cells: list[StoredCell]) -> None:
    measured = [
        replace(cell, rows={key: row._replace(memory=577_000_000, multiply_adds=2e6) for key, row in cell.rows.items()})
        if cell.about["text"] == "n2c"
        else cell
        for cell in cells
    ]
    shown = show(measured)
    heads = shown.view.locator("#leaderboard-table thead th").all_inner_texts()
    for head, value in (("Memory", "577MB"), ("MACs/pixel", "2M")):
        place = next(number for number, text in enumerate(heads, 1) if head in text)
        texts = [text.strip() for text in shown.column("leaderboard-table", place)]
        assert texts == [value, "", "", "", ""], head


def test_the_keyboard_sorts_and_keeps_its_place(show: Any, cells: list[StoredCell]) -> None:
    shown = show(cells)
    shown.view.locator("#leaderboard-table").get_by_role("button", name="Method").focus()
    shown.view.keyboard.press("Enter")
    assert shown.names()[1:] == ["B2U", "N2C", "NLM", "Noisy input"]
    assert shown.view.evaluate("document.activeElement.textContent") == "Method"
    shown.view.keyboard.press("Tab")
    shown.view.keyboard.press("Space")
    assert shown.names()[0] == "N2C"


def test_tab_reaches_every_control_of_the_page(show: Any, cells: list[StoredCell]) -> None:
    shown = show(cells)
    wanted = shown.view.locator("button:visible:enabled, select:visible, input:visible, a:visible").count()
    reached = set()
    for _ in range(wanted + 30):
        shown.view.keyboard.press("Tab")
        reached.add(shown.view.evaluate(
            "(n => [...document.querySelectorAll('button, select, input, a')].indexOf(n))(document.activeElement)"
        ))  # fmt: skip
    assert len(reached - {-1}) >= wanted


def test_filters_leave_what_fits(show: Any, cells: list[StoredCell]) -> None:
    shown = show(cells)
    tools = shown.view.locator("#leaderboard-tools")
    tools.get_by_label("Filter").fill("n2")
    assert shown.names() == ["N2C"]
    tools.get_by_label("Filter").fill("nothing like it")
    assert "Nothing fits" in shown.view.locator("#leaderboard-table").inner_text()
    tools.get_by_label("Filter").fill("")
    tools.get_by_label("only methods").check()
    assert "N2C" not in shown.names()
    shown.view.locator("#scores-tools").get_by_label("Filter").fill("im1")
    assert shown.column("scores-table", 1) == ["im1", "im10", "im11"]


def test_another_test_set_and_another_reference_change_the_whole_page(show: Any, cells: list[StoredCell]) -> None:
    shown = show(cells)
    before = shown.column("scores-table", 2)
    shown.view.get_by_label("Test set and noise").select_option(label="Set14, gauss25")
    assert shown.view.locator("#leaderboard-head").inner_text() == "Set14, gauss25"
    assert shown.column("scores-table", 2) != before
    shown.view.get_by_label("Compare with").select_option(label="N2C")
    row = shown.view.locator("#leaderboard-table tr", has_text="B2U")
    assert row.locator(".difference > span").inner_text().startswith("−0.")
    assert row.locator("svg").get_attribute("aria-label").startswith("−0.")


#: How many pixels of a chart are not of the ground.
INKED = """(id) => {
  const canvas = document.querySelector(`#${id} canvas`);
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let count = 0;
  for (let at = 3; at < pixels.length; at += 4) count += pixels[at] > 0;
  return count;
}"""


def test_charts_are_drawn_and_follow_what_is_chosen(show: Any, cells: list[StoredCell]) -> None:
    content = page_content("mine", cells)
    along = {"images": [4.0, 40.0, 400.0], "steps": [1.0, 10.0, 100.0], "seconds": [2.0, 20.0, 200.0]}
    content["curves"] = [
        {"title": noise, "noise": noise, "curves": [
            {"name": name, "label": name, "psnr": [25.0, 26.0, top], "noisy": 20.0, **along} for name, top in tops
        ]}
        for noise, tops in (("poisson30", [("B2U", 29.0)]), ("gauss25", [("B2U", 27.0), ("N2C", 28.0)]))
    ]  # fmt: skip
    shown = show(cells, content)
    for chart in ("pareto-chart", "learning-chart", "scatter-chart"):
        assert shown.view.evaluate(INKED, chart) > 2000, chart
    assert shown.view.locator("#learning-title").inner_text() == "Learning curves: gauss25"
    shown.view.locator("#learning summary").click()
    assert shown.column("learning-table", 2) == ["27.00", "28.00"]
    shown.view.locator("#pareto").get_by_label("Against", exact=True).select_option(label="Parameters of the network")
    assert "parameters of the network" in (shown.view.locator("#pareto-chart").get_attribute("aria-label") or "")
    note = shown.view.locator("#scatter-note")
    assert note.inner_text().startswith("B2U minus N2C: −0.")
    shown.view.locator("#scatter").get_by_label("Across").select_option(label="NLM")
    means = [np.mean([row.psnr for row in cells[place].rows.values()]) for place in (1, 3)]
    assert note.inner_text().startswith(f"B2U minus NLM: +{means[1] - means[0]:.2f} dB")
    assert note.inner_text().endswith("higher on 12 of 12 images.")


def test_a_point_says_what_it_is(show: Any, cells: list[StoredCell]) -> None:
    shown = show(cells)
    chart = shown.view.locator("#scatter-chart")
    chart.scroll_into_view_if_needed()
    box = chart.locator(".u-over").bounding_box()
    assert box is not None
    tip, said = chart.locator(".tip"), set()
    # Along the diagonal, on the side of the better method.
    for place in range(5, 100, 3):
        share = place / 100
        shown.view.mouse.move(box["x"] + share * box["width"], box["y"] + (1 - share) * box["height"] + 35)
        shown.view.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        if tip.is_visible():
            said.add(tip.inner_text().partition(":")[0])
    assert {name for name in said if name.startswith("im")} == said
    assert len(said) > 3


@pytest.fixture
def pictured(cells: list[StoredCell]) -> dict[str, Any]:
    """A page with one image in flat colours: noisy red, NLM green, B2U blue, clean gray, the left half of B2U clean."""
    flat = {"Noisy input": (1, 0, 0), "NLM": (0, 1, 0), "B2U": (0, 0, 1), "Clean": (0.5, 0.5, 0.5)}
    images = {name: np.full((64, 96, 3), colour, np.float32) for name, colour in flat.items()}
    images["B2U"][:, :48] = 0.5
    made = [Picture(name, images[name], 20.0 + place, 0.5) for place, name in enumerate(("Noisy input", "NLM", "B2U"))]
    album = Album(
        [("im0", 0, Made(Picture("Clean", images["Clean"]), made, "im0", []))], ["N2C is left out: no network."]
    )
    return page_content("mine", cells, albums={next(iter(groups_of(cells))): album})


def pixel(shown: Shown, across: float, down: float = 0.5) -> list[int]:
    """Colour of the comparer's canvas at a share of its size."""
    found = shown.view.evaluate(
        """([across, down]) => {
          const canvas = document.getElementById("images-canvas");
          const x = Math.floor(across * canvas.width), y = Math.floor(down * canvas.height);
          const probe = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
          probe.drawImage(canvas, x, y, 1, 1, 0, 0, 1, 1);
          return [...probe.getImageData(0, 0, 1, 1).data.slice(0, 3)];
        }""",
        [across, down],
    )
    return list(found)


RED, GREEN, BLUE, GRAY = [255, 0, 0], [0, 255, 0], [0, 0, 255], [128, 128, 128]


def test_the_slider_parts_two_images(show: Any, cells: list[StoredCell], pictured: dict[str, Any]) -> None:
    shown = show(cells, pictured)
    shown.view.locator("#images-strip button").first.wait_for()
    assert (pixel(shown, 0.4), pixel(shown, 0.9)) == (RED, BLUE)
    slider = shown.view.get_by_label("Divide")
    slider.focus()
    slider.press("Home")
    assert (pixel(shown, 0.1), pixel(shown, 0.9)) == (GRAY, BLUE)
    slider.press("End")
    assert (pixel(shown, 0.1), pixel(shown, 0.9)) == (RED, RED)
    shown.view.locator("#images-canvas").scroll_into_view_if_needed()
    box = shown.view.locator("#images-canvas").bounding_box()
    assert box is not None
    shown.view.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 20)
    assert slider.input_value() == "750"
    assert (pixel(shown, 0.7), pixel(shown, 0.8)) == (RED, BLUE)


def test_methods_of_the_image_can_be_chosen_and_their_errors_seen(
    show: Any, cells: list[StoredCell], pictured: dict[str, Any]
) -> None:
    shown = show(cells, pictured)
    strip = shown.view.locator("#images-strip button")
    assert [text.partition("\n")[0] for text in strip.all_inner_texts()] == ["Noisy input", "NLM", "B2U", "Clean"]
    strip.nth(1).click()
    assert pixel(shown, 0.9) == GREEN
    assert strip.nth(1).get_attribute("aria-pressed") == "true"
    shown.view.locator("#images-tools").get_by_label("Left").select_option(label="B2U")
    assert pixel(shown, 0.1) == GRAY
    shown.view.locator("#images-tools").get_by_label("errors").check()
    assert pixel(shown, 0.1) == [0, 0, 4], "no error at all is dark"
    assert sum(pixel(shown, 0.9)) > 600
    assert "N2C is left out" in shown.view.locator("#images-note").inner_text()


def test_keys_zoom_and_move_the_image(show: Any, cells: list[StoredCell], pictured: dict[str, Any]) -> None:
    shown = show(cells, pictured)
    shown.view.locator("#images-strip button").first.wait_for()
    shown.view.get_by_label("Divide").press("Home")
    assert (pixel(shown, 0.45), pixel(shown, 0.55)) == (GRAY, BLUE)
    shown.view.locator("#images-canvas").focus()
    shown.view.keyboard.press("+")
    shown.view.keyboard.press("+")
    assert shown.view.locator("#images-zoom").inner_text() == "4×"
    for _ in range(8):
        shown.view.keyboard.press("ArrowRight")
    assert (pixel(shown, 0.05), pixel(shown, 0.95)) == (BLUE, BLUE)
    shown.view.keyboard.press("0")
    assert pixel(shown, 0.45) == GRAY
    shown.view.get_by_role("button", name="Zoom in").click()
    assert "zoom 2" in (shown.view.locator("#images-canvas").get_attribute("aria-label") or "")


def test_a_test_set_without_images_says_why(show: Any, cells: list[StoredCell], pictured: dict[str, Any]) -> None:
    shown = show(cells, pictured)
    shown.view.get_by_label("Test set and noise").select_option(label="Set14, gauss25")
    assert not shown.view.locator("#images-canvas").is_visible()
    assert "report --html --images 1" in shown.view.locator("#images-note").inner_text()


def test_labels_of_strangers_are_shown_as_they_are(show: Any, cells: list[StoredCell]) -> None:
    shown = show(cells)
    assert EVIL in shown.names()
    assert shown.view.locator("img").count() == 0
    assert (
        shown.view.locator("#leaderboard-table .flag").get_attribute("aria-label").startswith("below the noisy input")
    )


def test_warnings_stand_at_the_top(show: Any, cells: list[StoredCell]) -> None:
    content = page_content("mine", cells, ["WARNING: x.json is damaged.", "STALE: B2U: other defaults", "A remark."])
    shown = show(cells, content)
    assert shown.view.locator("#alerts .warning").all_inner_texts() == content["notes"][-3:-1]
    assert "A remark." in shown.view.locator("#notes-list").inner_text()


def test_a_warning_of_several_methods_stands_once(show: Any, stored_cell: Cell) -> None:
    shown = show(
        [stored_cell("a", [30, 31], warnings=["it parted"]), stored_cell("b", [29, 31], warnings=["it parted"])]
    )
    assert shown.view.locator("#leaderboard-notes .warning").all_inner_texts() == ["A, B: it parted."]


def test_protocols_are_parted_by_a_wall(show: Any, stored_cell: Cell) -> None:
    cells = [
        stored_cell("a", [30, 31]), stored_cell("b", [29, 31]), stored_cell("a", [30, 31], padding="square"),
    ]  # fmt: skip
    shown = show(cells)
    assert "2 protocols" in shown.view.locator("#alerts").inner_text()
    assert "Not comparable with the left: " in shown.view.locator("#overview-table").inner_text()
    assert shown.view.locator("#column optgroup").count() == 2
    assert shown.view.locator("#overview-table tbody tr").first.locator(".wall").count() == 1


def test_a_method_is_one_row_of_all_test_sets(show: Any, stored_cell: Cell) -> None:
    cells = [
        stored_cell("a", [30, 31], told=["noise level"]), stored_cell("a", [28, 29], noise="poisson30"),
        stored_cell("b", [30, 31], training="9 steps"), stored_cell("b", [26, 27], training="8 steps"),
    ]  # fmt: skip
    shown = show(cells)
    assert shown.column("overview-table", 1) == ["A", "B (9 steps)", "B (8 steps)"]
    assert shown.column("overview-table", 3) == ["28.50/0.800", "", ""]
    cell = shown.view.locator("#overview-table tbody tr").first.locator("td span").first
    assert cell.get_attribute("title") == "not trained; told noise level"


@pytest.mark.parametrize("kind", ["nothing", "one"])
def test_little_is_no_error(show: Any, stored_cell: Cell, kind: str) -> None:
    shown = show([] if kind == "nothing" else [stored_cell("a", [30])])
    text = shown.view.locator("#alerts").inner_text()
    assert ("no finished results" if kind == "nothing" else "one method alone") in text


def test_texts_are_copied(show: Any, cells: list[StoredCell]) -> None:
    shown = show(cells, permissions=["clipboard-read", "clipboard-write"])
    for name, part in (("Markdown", "| Method"), ("LaTeX", r"\toprule"), ("Typst", "table("), ("CSV", "method,label")):
        shown.view.get_by_role("button", name=name, exact=True).click()
        assert part in shown.view.evaluate("navigator.clipboard.readText()")
    shown.view.get_by_role("button", name="Copy BibTeX").click()
    assert "@inproceedings" in shown.view.evaluate("navigator.clipboard.readText()")


def test_what_may_not_be_copied_is_shown_to_be_copied_by_hand(show: Any, cells: list[StoredCell]) -> None:
    shown = show(cells)
    shown.view.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')); }")
    shown.view.get_by_role("button", name="LaTeX", exact=True).click()
    assert r"\toprule" in shown.view.locator("#copy-text").input_value()
    shown.view.get_by_role("button", name="Close").click()
    assert not shown.view.locator("#copy-dialog").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(show: Any, cells: list[StoredCell], scheme: str) -> None:
    shown = show(cells, color_scheme=scheme)
    for place in ("body", "#summary", "#leaderboard-table small", "#nav a", "#leaderboard-table .flag"):
        ratio = shown.view.evaluate(CONTRAST, place)
        assert ratio >= 4.5, f"{place}: {ratio}"


CONTRAST = """(place) => {
  const node = document.querySelector(place);
  const light = (text) => {
    const channels = text.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255);
    const [r, g, b] = channels.map((v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  let ground = node;
  while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
  const [a, b] = [light(getComputedStyle(node).color), light(getComputedStyle(ground).backgroundColor)];
  return (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
}"""


def test_a_phone_scrolls_tables_and_not_the_page(browser: Browser, show: Any, cells: list[StoredCell]) -> None:
    shown = show(cells)
    shown.view.set_viewport_size({"width": 360, "height": 740})
    # A drawing that has not yet followed its place, as for a frame after a phone is turned.
    wide = "nodes => nodes.map(node => node.style.setProperty('width', '570px', 'important')).length"
    assert shown.view.locator(".chart .u-wrap").evaluate_all(wide)
    assert shown.view.evaluate("document.documentElement.scrollWidth") <= 360
    assert shown.view.locator("#leaderboard-table .frame").evaluate("n => n.scrollWidth > n.clientWidth")


def test_no_name_however_long_widens_a_narrow_page(show: Any, stored_cell: Cell) -> None:
    long = "x" * 120
    images = [*(f"im{number}" for number in range(11)), long]
    options: dict[str, Any] = {"training": long, "images": images, "dataset": long, "noise": long}
    cells = [stored_cell(text, [30.0] * 12, **options) for text in (long, "b")]
    flat = np.full((64, 96, 3), 0.5, np.float32)
    layers = [Picture(name, flat, 20.0, 0.5) for name in ("Noisy input", long.upper())]
    made = Made(Picture("Clean", flat), layers, long, [])
    albums = {next(iter(groups_of(cells))): Album([(long, 0, made), ("im0", 0, made)], [f"{long} is left out."])}
    shown = show(cells, page_content(long, cells, albums=albums))
    shown.view.set_viewport_size({"width": 360, "height": 740})
    assert shown.view.locator("#images select").first.is_visible()
    assert shown.view.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize(("methods", "images"), [(10, 10_000), (1, 100_000)])
def test_a_hundred_thousand_rows_open_and_sort_in_a_second(
    show: Any, stored_cell: Cell, methods: int, images: int
) -> None:
    rng = np.random.default_rng(0)
    cells = [stored_cell(f"m{n}", rng.normal(30, 2, images).tolist()) for n in range(methods)]
    content = page_content("mine", cells)
    assert len(page(content)) < 6_000_000
    shown = show(cells, content, timed=True)
    assert shown.busy() < 1
    count = shown.view.locator("#scores-table .count")
    assert count.inner_text() == f"1 to 100 of {images:,}"
    begun = shown.busy()
    shown.view.locator("#scores-table").get_by_role("button", name="M0", exact=True).click()
    assert shown.busy() - begun < 1
    top = [float(text) for text in shown.column("scores-table", 2)]
    assert top == sorted(top, reverse=True)
    assert top[0] == pytest.approx(max(row.psnr for row in cells[0].rows.values()), abs=0.005)
    shown.view.locator("#scores-table").get_by_role("button", name="Next").click()
    assert count.inner_text() == f"101 to 200 of {images:,}"
