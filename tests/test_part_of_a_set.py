"""Parts of a test set: the first images of it, and levels of a range that are spread over few of them."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from denoisebench.commands.listing import bibtex_of
from denoisebench.core.errors import UserError
from denoisebench.protocol.draws import CounterDraws, StratifiedDraws
from denoisebench.protocol.noise import parse_noise
from denoisebench.protocol.protocol import Protocol
from denoisebench.reports.bibtex import bibtex_entry

Command = Callable[..., Any]
MakeFolder = Callable[..., Path]

CLEAN = np.full((16, 16, 3), 128, np.uint8)


def levels(draws: StratifiedDraws, noise: str, repeat: int = 0) -> list[float]:
    scale = 255.0 if noise.startswith("gauss") else 1.0
    made = (draws.draw("set", image, repeat, CLEAN, parse_noise(noise)) for image in draws.images["set"])
    return [draw.level * scale for draw in made if draw.level is not None]


@pytest.mark.parametrize("noise", ["gauss5_50", "poisson5_50"])
@pytest.mark.parametrize("count", [1, 3, 12])
def test_stratified_levels_are_spread_evenly_and_their_mean_is_that_of_the_range(noise: str, count: int) -> None:
    draws = StratifiedDraws(3, {"set": [f"i{index}" for index in range(count)]})
    found = levels(draws, noise)
    width = 45 / count
    assert sorted(found) == pytest.approx([5 + width * (k + 0.5) for k in range(count)])
    assert np.mean(found) == pytest.approx(27.5)
    if count == 12:
        assert found != sorted(found)
        assert levels(draws, noise, repeat=1) != found, "another order in every repeat"
        assert levels(StratifiedDraws(4, draws.images), noise) != found


def test_a_stratified_draw_has_the_level_it_says_and_other_noise_is_as_ever() -> None:
    draws = StratifiedDraws(0, {"set": ["a", "b"]})
    draw = draws.draw("set", "a", 0, np.full((128, 128, 3), 128, np.uint8), parse_noise("gauss5_50"))
    assert draw.level is not None
    assert np.std(draw.noisy) == pytest.approx(draw.level, rel=0.02)
    for text in ("gauss25", "poisson30"):
        noise = parse_noise(text)
        same = CounterDraws(0).draw("set", "a", 0, CLEAN, noise)
        assert np.array_equal(draws.draw("set", "a", 0, CLEAN, noise).noisy, same.noisy)


def test_a_protocol_without_a_limit_is_that_of_before() -> None:
    protocol = Protocol("kodak", "hash", "gauss25", "counter-0")
    assert set(protocol.described()) == {
        "dataset", "data_hash", "noise", "draws", "padding", "rounding", "metrics"
    }  # fmt: skip
    limited = Protocol("kodak", "hash", "gauss25", "counter-0", limit=4)
    assert limited.described()["limit"] == 4
    assert limited.fingerprint != protocol.fingerprint


def test_a_limit_is_in_the_key_and_in_the_table(command: Command, image_folder: MakeFolder, tmp_path: Path) -> None:
    pictures, out = image_folder(count=3), tmp_path / "o"
    common = ("run", "--methods", "identity", "--datasets", pictures, "--noise", "gauss5_50,gauss25", "--out", out)
    part = command(*common, "--limit", "2", "--noise-draws", "stratified")
    assert part.code == 0, part.err
    assert "pictures (first 2), Gaussian σ=25" in part.out
    assert "2 levels drawn, their mean 27.5, that of the range 27.5." in part.out
    assert "--noise-draws stratified spreads" not in part.out
    whole = command(*common, "--limit", "3")
    assert whole.code == 0, whole.err
    assert "(first" not in whole.out, "all images are no part"
    assert "--noise-draws stratified spreads the levels" in whole.out
    stored = [json.loads(path.read_text(encoding="utf-8")) for path in (out / "cells").iterdir()]
    protocols = [cell["identity"]["protocol"] for cell in stored]
    assert sorted((p["noise"], p["draws"], p.get("limit", 0)) for p in protocols) == [
        ("gauss25", "counter-0", 0), ("gauss25", "counter-0", 2),
        ("gauss5_50", "counter-0", 0), ("gauss5_50", "stratified-0", 2),
    ]  # fmt: skip
    with (out / "scores.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2 * 2 + 2 * 3
    shared = [row for row in rows if row["noise"] == "gauss25"]
    assert len({(row["image"], row["psnr"]) for row in shared}) == 3, "the same noise, whatever the limit"
    again = command(*common, "--limit", "2", "--noise-draws", "stratified")
    assert "0 to compute" in again.err
    assert again.out == part.out
    refused = command(*common, "--limit", "0")
    assert refused.code == 2


def test_a_part_of_a_set_is_never_set_beside_the_paper() -> None:
    from denoisebench.plugins.identity import has_registered_images, is_registered_cell
    from denoisebench.results.store import StoredCell

    protocol = {"dataset": "real_set", "noise": "gauss25"}
    about = {"dataset_class": "x"}
    cell = StoredCell({"protocol": {**protocol, "dataset": "samples", "limit": 2}}, about, {})
    assert not is_registered_cell(cell)
    from denoisebench.plugins.registry import DATASETS

    kind = DATASETS.get("kodak")
    whole = {"dataset": "kodak", "noise": "gauss25", "data_hash": kind([]).data_hash}  # type: ignore[call-arg]
    known = {"dataset_class": f"{kind.__module__}.{kind.__qualname__}"}
    assert is_registered_cell(StoredCell({"protocol": whole}, known, {}))
    part = StoredCell({"protocol": {**whole, "limit": 4}}, known, {})
    assert has_registered_images(part)
    assert not is_registered_cell(part)


# --- citations ---


def test_every_method_has_an_entry_that_is_balanced_and_has_the_usual_fields() -> None:
    text = bibtex_of("all")
    entries = [entry for entry in text.split("\n\n") if entry.startswith("@")]
    assert len(entries) == len({re.match(r"@\w+\{([^,]+),", entry)[1] for entry in entries}) > 15  # type: ignore[index]
    for entry in entries:
        assert entry.count("{") == entry.count("}")
        for field in ("title", "author"):
            assert re.search(rf"^  {field} = ", entry, re.MULTILINE), entry
    assert entries[-1].startswith("@software{denoisebench,")


def test_a_shared_paper_is_cited_once_and_its_absence_is_said(command: Command) -> None:
    ran = command("cite", "laine19_mu,laine19_pme,n2c,b2u[stride=2]")
    assert ran.code == 0, ran.err
    assert ran.out.count("@") == 3
    assert "% n2c (N2C): no paper of its own" in ran.out
    assert "wang2022blind2unblind" in ran.out
    assert "Did you mean 'b2u'" in command("cite", "b2x").err
    with pytest.raises(UserError):
        bibtex_of("b2x")
    assert bibtex_entry("not BibTeX") == "not BibTeX\n"
    assert bibtex_entry("@misc{a, title={x, y}, year=2020}") == "@misc{a,\n  title = {x, y},\n  year = 2020,\n}\n"


# --- completion ---


def test_a_shell_completes_names_of_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from denoisebench.cli import app

    for name, value in (("COMP_WORDS", "denoisebench pap"), ("COMP_CWORD", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("_DENOISEBENCH_COMPLETE", "complete_bash")
    with pytest.raises(SystemExit):
        app(prog_name="denoisebench")
    assert capsys.readouterr().out.split() == ["paper"]
