"""What strangers can name is shown, in every format, and never obeyed."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from denoisebench.core import printing
from denoisebench.core.text import ERRORS, counted, file_part, one_line, plain, readable
from denoisebench.data.dataset import AnyFolder
from denoisebench.reports.markup import csv_text, md, tex

STEERING = ["\x1b[31mred", "\x1b]0;title\x07", "a\rb", "a\nb", "\u202eevil", "\x9b31m", "\x7f", "a\u2028b"]


@pytest.mark.parametrize("text", STEERING)
def test_nothing_steers_a_terminal(text: str) -> None:
    for shown in (one_line(text), plain(text), csv_text(text), md(text), tex(text)):
        assert shown.isprintable()


@pytest.mark.parametrize("text", STEERING)
def test_every_line_that_is_printed_is_escaped(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    printing.line(text)
    printing.message(text)
    printing.document(f"{text.splitlines()[0]}\tsecond")
    found = capsys.readouterr()
    for stream in (found.out, found.err):
        assert all(c.isprintable() or c == "\n" for c in stream)
    assert found.err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=1+1", "'=1+1"), ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"), ("-x", "'-x"), ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "' =1"), ("＝1", "'＝1"), ("-inf", "'-inf"), ("-1+1", "'-1+1"),
        ("-0.25", "-0.25"), ("+1e-3", "+1e-3"), ("b2u[eta=0]", "b2u[eta=0]"), ("a=b", "a=b"), ("", ""),
    ],
)  # fmt: skip
def test_spreadsheets_take_names_for_text_and_numbers_for_numbers(text: str, shown: str) -> None:
    assert csv_text(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("__init__", r"\_\_init\_\_"), ("_a_b_", r"\_a_b\_"), ("~~x~~", r"\~\~x\~\~"), ("$x$", r"\$x\$"),
        ("bsd400_color", "bsd400_color"), ("# head", r"\# head"), ("- item", r"\- item"), ("1. item", r"1\. item"),
        ("-0.25", "-0.25"), ("<u>", "&lt;u&gt;"), ("1.5 dB", "1.5 dB"),
    ],
)  # fmt: skip
def test_markdown_shows_names_as_they_are(text: str, shown: str) -> None:
    assert md(text) == shown


def test_a_star_after_the_end_of_a_row_is_no_part_of_it() -> None:
    assert tex("*x") == "{*}x"
    assert tex("a|b*") == "a$|$b*"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_streams_show_what_they_can(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    printing.prepare_streams()
    printing.line("Gaussian σ∈[5,50], 中\udcff")
    sys.stdout.flush()
    assert raw.getvalue().splitlines() == [b"Gaussian sigma in [5,50], ?\\xff"]
    assert "σ".encode("ascii", ERRORS) == b"sigma"


def test_file_names_that_are_not_utf8_have_names_of_their_own(tmp_path: Path, command: Callable[..., Any]) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    for name in (b"\xff.png", b"\xfe.png", "ü.png".encode()):
        Image.new("RGB", (16, 16), (40, 90, 200)).save(folder / os.fsdecode(name))
    (folder / os.fsdecode(b"no image \xfd")).mkdir()
    data = AnyFolder(folder)
    assert data.name == r"caf\xe9"
    assert r"caf\xe9 also holds no image \xfd/" in data.note
    assert sorted(data.images) == [r"\xfe", r"\xff", "ü"]
    assert data.load(r"\xff").shape == (16, 16, 3)
    assert len(data.data_hash) == 64
    out = tmp_path / os.fsdecode(b"o\xff")
    assert command("run", "--methods", "identity", "--datasets", folder, "--out", out).code == 0
    assert r"\xfe" in (out / "scores.csv").read_text(encoding="utf-8")
    assert command("report", out).code == 0
    assert readable("\udcff") == r"\xff"


def test_every_name_has_a_part_of_a_file_name() -> None:
    for name in ("bsd400_color", "my set", "ü"):
        assert file_part(name) == name
    odd = ["2024-05-01 10:30:12", "2024-05-01 10/30/12", "m" * 230, "m" * 231, "a\nb", "..\\x", "\udcff", ""]
    parts = [file_part(name) for name in odd]
    assert len(set(parts)) == len(odd)
    for part in parts:
        assert part
        assert len(part) <= 100
        assert not set(part) & set('/\\:\n"')
        assert part.isascii()


def test_one_thing_is_no_things() -> None:
    assert [counted(number, "image") for number in (0, 1, 2, 12000)] == [
        "0 images",
        "1 image",
        "2 images",
        "12,000 images",
    ]
