"""The numbers that README and documents print are those of stored rows: each comes out again, to the printed digit."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from denoisebench.results.store import Store, StoredCell
from denoisebench.results.summary import score_of
from denoisebench.toolbox.collaborative import COLOUR, GRAY

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
DOCUMENTS = [ROOT / "README.md", RESULTS / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
Rows = list[list[str]]


def tables(path: Path) -> Iterator[tuple[list[str], Rows]]:
    """Heads and rows of every table of a document, as plain text."""
    text = path.read_text(encoding="utf-8")
    for block in re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE):
        plain = re.sub(r"\*\*|</?u>|<sup>.*?</sup>|`", "", block)
        lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in plain.splitlines()]
        yield lines[0], lines[2:]


def table_of(name: str, *heads: str) -> Rows:
    """The rows of the table of a document whose first heads are these."""
    return next(rows for found, rows in tables(ROOT / name) if tuple(found[: len(heads)]) == heads)


def record(name: str) -> dict[str, Any]:
    """Of a shipped network."""
    found: dict[str, Any] = json.loads((RESULTS / "weights" / f"{name}.json").read_text(encoding="utf-8"))
    return found


def curve(name: str) -> Mapping[int, Mapping[str, float]]:
    """Held-out scores of a shipped network by step, those of the trainings that it went on from before them."""
    files = [RESULTS / "curves" / stage / f"{name}.json" for stage in ("first", "second")]
    stages = [json.loads(path.read_text(encoding="utf-8")) for path in files if path.exists()] + [record(name)]
    found: dict[int, Any] = {}
    before = 0
    for stage in stages:
        found |= {before + point["step"]: point for point in stage["heldout"]["points"]}
        before += stage["steps"]
    return {step: {**point, "steps": before} for step, point in found.items()}


def cells_of(folder: str) -> list[StoredCell]:
    """The cells of a results folder."""
    return Store(RESULTS / folder, create=False).all()


def at_lambda_30(cell: StoredCell) -> bool:
    protocol = cell.identity["protocol"]
    return (protocol["noise"], protocol["dataset"]) == ("poisson30", "set14")


def test_scores_are_those_of_stored_tables() -> None:
    """Whatever a document prints for a method under a noise stands in a line of that method in results/."""
    stored: dict[str, str] = {}
    for path in RESULTS.glob("**/table.md"):
        for _, rows in tables(path):
            for label, *cells in rows:
                stored[label] = stored.get(label, "") + " ".join(["", *cells, ""])
    checked = 0
    for path in DOCUMENTS:
        for heads, rows in tables(path):
            columns = [n for n, head in enumerate(heads) if re.search("[σλ]", head) and "Samples" not in head]
            for row in rows if heads[0] == "Method" else ():
                for value in filter(None, (row[n] for n in columns)):
                    score = rf" {re.escape(value.rstrip('¶‖'))}(?=[ /])"
                    assert re.search(score, stored[row[0]]), f"{path.name}: {row[0]} {value}"
                    checked += 1
    assert checked


# Line of a document, network, and its output.
METHODS = [
    ("N2C", "n2c", "psnr"), ("N2N", "n2n", "psnr"), ("NBR2NBR", "nbr2nbr", "psnr"), ("B2U, exp", "b2u", "exp"),
    ("B2U, dn", "b2u", "dn"), ("B2U, mid", "b2u", "mid"), ("N2V", "n2v", "psnr"),
    ("R2R, mean of 4 passes", "r2r", "4 passes"), ("R2R, 1 pass", "r2r", "1 pass"),
    ("Laine19-pme", "laine19_pme", "psnr"),
]  # fmt: skip


def test_learning_curves_are_those_of_the_shipped_networks() -> None:
    heads, rows = next(found for found in tables(ROOT / "docs" / "training.md") if found[0][0] == "method")
    steps = [int(head.split()[0]) for head in heads[1:-1]]
    known = {label: (name, output) for label, name, output in METHODS}
    assert {row[0] for row in rows} <= known.keys()
    for label, *values, seconds in rows:
        name, output = known[label]
        points = curve(f"{name}-gauss25-rgb")
        assert values == [f"{points[step][output]:.2f}" for step in steps], label
        assert steps[-1] == points[steps[-1]]["steps"]
        if seconds:
            assert abs(int(seconds) - points[steps[-1]]["seconds"]) <= 0.5, label


def crops(record: Mapping[str, Any]) -> str:
    """What a network saw before its training and in it."""
    before = record["start"]["images_seen"]
    return f"{before:,} + {record['images_seen'] - before:,}"


@pytest.mark.parametrize(
    ("first", "kind", "noises"),
    [
        ("sigma 5 to 50", "rgb", ["gauss5_50", "poisson5_50", "poisson30"]),
        ("sigma 15", "gray", ["gauss15", "gauss25", "gauss50"]),
    ],
)
def test_heldout_scores_of_other_noises_are_those_of_the_shipped_networks(
    first: str, kind: str, noises: Sequence[str]
) -> None:
    rows = table_of("docs/training.md", "", first)
    known = {label: (name, output) for label, name, output in METHODS} | {"noisy input": ("n2c", "noisy")}
    for label, *values in rows:
        if label == "crops, sigma 25 + this noise":
            for name, _ in (known[other] for other, *_ in rows if other in known):
                assert values == [crops(record(f"{name}-{noise}-{kind}")) for noise in noises], name
            continue
        name, output = known[label]
        for noise, value in zip(noises, values, strict=True):
            points = curve(f"{name}-{noise}-{kind}")
            # Of the first noise what the others began with.
            others = [record(f"{name}-{other}-{kind}").get("start", {}) for other in noises if other != noise]
            begun = {start["images_seen"] for start in others if start.get("noise") == noise}
            (at,) = [step for step, point in points.items() if point["images"] in begun] or [max(points)]
            assert value == f"{points[at][output]:.2f}", f"{label}, {noise}"


def test_the_ledger_is_the_stored_one() -> None:
    stored = {tuple(row) for _, rows in tables(RESULTS / "gauss25" / "audit" / "audit.md") for row in rows}
    ledgers = [t for t in tables(ROOT / "docs" / "audit.md") if t[0][0] == "Detail"]
    printed = [tuple(row) for heads, rows in ledgers for row in rows]
    assert printed
    assert [row for row in printed if row not in stored] == []


def test_the_table_of_other_libraries_is_that_of_its_rows() -> None:
    command = [sys.executable, "tools/peers.py", "table", "results/peers"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in ran.stdout.strip().splitlines()]
    assert table_of("docs/peers.md", "method", "library") == lines[2:]
    assert len(lines) > 4


def test_the_gap_of_anscombe_is_that_of_stored_rows() -> None:
    printed = {tuple(row) for row in table_of("docs/audit.md", "Anscombe+BM3D on Set14, lambda 30, one draw")}
    of = {cell.about["text"]: score_of([cell]) for cell in cells_of("anscombe") if at_lambda_30(cell)}
    algebraic = of["anscombe_bm3d[inverse=algebraic]"]
    one_draw = frozenset(next(cell.rows for cell in cells_of("anscombe") if at_lambda_30(cell)))
    exact = next(
        score_of([cell], on=one_draw)
        for cell in cells_of("tables/table1")
        if cell.about["text"] == "anscombe_bm3d" and at_lambda_30(cell)
    )
    with (RESULTS / "anscombe" / "audit" / "audit.csv").open(encoding="utf-8", newline="") as stream:
        cut = next(row for row in csv.DictReader(stream) if row["alternative"] == "down to 8 bits")
    expected = {
        "exact unbiased inverse, rounded to the nearest of 8 bits (run)": (exact.psnr, exact.ssim),
        "algebraic inverse": (algebraic.psnr, algebraic.ssim),
        "algebraic inverse, truncated to 8 bits": (
            algebraic.psnr + float(cut["psnr"]), algebraic.ssim + float(cut["ssim"]),
        ),
    }  # fmt: skip
    assert printed > {(name, f"{psnr:.2f}", f"{ssim:.3f}") for name, (psnr, ssim) in expected.items()}


def test_predicted_means_are_those_of_the_tool() -> None:
    command = [sys.executable, "tools/level_effect.py", "results/tables/table1", "results/levels"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in ran.stdout.splitlines()[2:]]
    methods, sets = {"bm3d": "CBM3D", "anscombe_bm3d": "Anscombe+BM3D"}, {"kodak": "Kodak", "bsd300": "BSD300"}
    noises = {"gauss5_50": "σ∈[5,50]", "poisson5_50": "λ∈[5,50]"}
    made: list[Any] = [
        [methods[method], f"{sets.get(data, 'Set14')}, {noises[noise]}", one, every, measured, paper]
        for method, data, noise, one, _, _, _, every, measured, paper in lines
        if method in methods
    ]
    assert sorted(table_of("results/README.md", "method", "data, noise")) == sorted(made)


def test_constants_of_bm3d_are_those_of_its_page() -> None:
    rows = {row[0]: row[1:] for row in table_of("docs/bm3d.md", "", "first stage")}

    def numbers(text: str) -> list[float]:
        return [float(found) for found in re.findall(r"\d+(?:\.\d+)?", text.replace("s^2", "s"))]

    for name, profile in (("gray", GRAY), ("colour", COLOUR)):
        for (constant, slope), text in zip(profile.similar, rows[f"tau, {name}"], strict=True):
            assert numbers(text) == [constant, slope]
    compared, first, second = rows["compared, f"], GRAY.compared[0], GRAY.compared[1]
    assert (numbers(compared[0]), numbers(compared[1])) == ([first], [second])
    assert COLOUR.compared == GRAY.compared
    sizes = [numbers(text) for text in rows["largest group"]]
    assert sizes == [[GRAY.groups[0]], [GRAY.groups[1], COLOUR.groups[1]]]
    alike = [numbers(text) for text in rows["equally similar, a"]]
    assert alike == [[GRAY.alike[0]], [GRAY.alike[1], COLOUR.alike[1]]]
    assert (COLOUR.groups[0], COLOUR.alike[0]) == (GRAY.groups[0], GRAY.alike[0])
    shrinkage = [numbers(text) for text in rows["shrinkage"]]
    assert shrinkage == [[GRAY.threshold], [GRAY.wiener[0], *COLOUR.wiener]]
    assert GRAY.threshold == COLOUR.threshold
    assert f"The Kaiser window has beta {GRAY.kaiser:g}." in (ROOT / "docs" / "bm3d.md").read_text(encoding="utf-8")
    assert COLOUR.kaiser == GRAY.kaiser
