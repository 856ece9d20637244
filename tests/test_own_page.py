"""The page of a ranking without clean images: what it holds, and that no text of a stranger becomes markup."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from denoisebench.own.rank import INPUT, Ranked, Ranking
from denoisebench.own.residual import Checks
from denoisebench.own.risk import Estimate
from denoisebench.protocol.images import FloatImage
from denoisebench.reports.page.rank import RankPage, rank_page, sheet_of

EVIL = "</style><script>alert(1)</script><img src=x onerror=alert(1)>"
SIGMA = 0.05
CLEAN: FloatImage = np.tile(np.linspace(0.1, 0.4, 256, dtype=np.float32), (240, 1))[:, :, None]
NOISY: FloatImage = (CLEAN + SIGMA * np.random.default_rng(0).standard_normal(CLEAN.shape)).astype(np.float32)


def estimate(mse: float) -> Estimate:
    return Estimate(mse, 0.1 * mse, np.full(9, mse), 0.5)


def ranking(name: str = "nlm", doubt: str = "") -> Ranking:
    spot = CLEAN.copy()
    spot[100:110, 200:210] = 0
    rows = [
        Ranked(name, estimate(1e-4), Checks(0.01, 1.0), result=CLEAN),
        Ranked("hole", estimate(2e-4), Checks(0.3, 1.0), result=spot),
        Ranked(INPUT, estimate(SIGMA**2), Checks(), result=NOISY),
        Ranked("n2v", None, problem="there is no network"),
    ]
    return Ranking("sure", "sigma 5", rows, [doubt] if doubt else [], NOISY, SIGMA)


class Elements(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def pixels(url: str) -> np.ndarray:
    kind, data = url.split(",", 1)
    assert kind in ("data:image/webp;base64", "data:image/png;base64")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("L"), np.float64)


def test_it_shows_the_place_where_results_differ_and_what_was_removed() -> None:
    sheet = sheet_of("stack.tif", ranking())
    assert [one.method for one in sheet.shown] == ["nlm", "hole", INPUT]
    assert "192x192 pixels where results differ most, at (64, " in sheet.said
    best, hole, noisy = sheet.shown
    assert noisy.removed == ""
    # Four standard deviations on either side of gray: what the perfect result removed is the noise.
    removed = pixels(best.removed)
    assert removed.mean() == pytest.approx(127.5, abs=1)
    assert removed.std() == pytest.approx(255 / 8, rel=0.05)
    assert np.abs(pixels(hole.removed) - removed).max() > 50
    # Brightness is stretched alike.
    assert pixels(noisy.image).mean() == pytest.approx(pixels(best.image).mean(), abs=3)
    assert pixels(best.image).max() - pixels(best.image).min() > 100


def test_it_says_what_the_command_prints() -> None:
    text = rank_page([sheet_of("stack.tif", ranking(doubt="Captures may have moved."))])
    for words in (
        "stack.tif", "Scored by sure; noise: sigma 5", "Take nlm: it is best here", "Doubt: Captures may have moved.",
        "n2v: no score: there is no network", "Correlation of what it removed", "40.00 dB",
    ):  # fmt: skip
        assert words in text


def test_texts_of_strangers_stay_text_and_nothing_is_loaded_or_run() -> None:
    text = rank_page([sheet_of(EVIL, ranking(EVIL, EVIL))])
    found = Elements(text).found
    assert EVIL not in text
    assert not [tag for tag, _ in found if tag == "script"]
    policy = next(a["content"] for _, a in found if a.get("http-equiv") == "Content-Security-Policy")
    style = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    assert len(style) == 1
    assert policy is not None
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'; script-src 'none'" in policy
    assert {tag for tag, a in found if a.get("src")} == {"img"}
    for tag, attributes in found:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, attributes)


def test_many_files_have_room(tmp_path: Path) -> None:
    one = sheet_of("a.tif", ranking())
    assert sheet_of("b.tif", ranking(), one.size).shown
    left_out = sheet_of("b.tif", ranking(), one.size - 1)
    assert (left_out.shown, left_out.rows) == ((), one.rows)
    assert "no room for its pictures" in rank_page([one, left_out])
    page = RankPage(tmp_path / "new" / "rank.html")
    page.add("a.tif", ranking())
    assert page.write() == []
    page.path.write_text("mine")
    assert "is not as this program wrote it here" in page.write()[0]
    assert (tmp_path / "new" / "rank.kept-1.html").read_text() == "mine"


def test_the_command(command: Callable[..., Any], tmp_path: Path) -> None:
    np.save(tmp_path / "<b>.npy", NOISY[:128, :128, 0])
    np.save(tmp_path / "c.npy", np.full((99, 99), 3.0))
    out = tmp_path / "rank.html"
    asked = ("rank", tmp_path / "<b>.npy", tmp_path / "c.npy", "--methods", "nlm", "--range", "0..1")
    done = command(*asked, "--html", out)
    assert done.code == 1, "c.npy is constant"
    assert str(out) in done.out
    text = out.read_text(encoding="utf-8")
    assert "&lt;b&gt;.npy" in text
    assert "Take nlm" in text
    assert text.count("<img") == 3
    wrong = command(*asked, "--html", tmp_path / "page")
    assert (wrong.code, "ends in .html" in wrong.err) == (2, True)
    wrong = command(*asked, "--open")
    assert (wrong.code, "give --html as well" in wrong.err) == (2, True)
