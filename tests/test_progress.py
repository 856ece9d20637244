"""Progress as plain lines, and times as people say them."""

from __future__ import annotations

import io
import sys

import pytest

from denoisebench.core.progress import PlainLog, Quiet, Terminal, duration, for_stderr


class Clock:
    """A clock that is moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("denoisebench.core.progress.time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (8.2, "8 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 0 min"),
        (7500, "2 h 5 min"),
        (100000, "27 h 46 min"),
    ],
)
def test_a_duration_is_said_as_people_do(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_log_has_a_line_now_and_then_with_the_time_left(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with PlainLog().task("train toy") as task:
        for step in range(101):
            task.update(step / 100, f"step {step}")
            clock.now += 1
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines[0] == "train toy:  15% after 15 s, 1 min 25 s left  step 15"
    assert lines[-1] == "train toy: 100% after 1 min 40 s  step 100"
    assert len(lines) == 7


def test_no_time_left_is_told_from_next_to_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with PlainLog().task("run") as task:
        task.update(0.0)
        clock.now += 16
        task.update(0.0001, "110/1288 images")
        clock.now += 16
        task.update(0.005)
    assert capsys.readouterr().err == "run:   0% after 16 s  110/1288 images\nrun:   0% after 32 s, 1 h 46 min left\n"


def test_the_time_left_does_not_count_what_was_there_before(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with PlainLog().task("train toy") as task:
        task.update(0.8)
        clock.now += 20
        task.update(0.9)
    assert capsys.readouterr().err == "train toy:  90% after 20 s, 20 s left\n"


def test_a_short_task_says_only_that_it_is_done(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with PlainLog().task("denoise") as task:
        task.update(0.5)
        task.update(1.0, "2/2")
    assert capsys.readouterr().err == "denoise: 100% after 0 s  2/2\n"


def test_messages_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    PlainLog().say("hello [bold]")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "hello [bold]\n")


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    quiet = Quiet()
    quiet.say("hello")
    with quiet.task("x") as task:
        task.update(1.0)
    assert capsys.readouterr() == ("", "")


def test_a_bar_is_drawn_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert isinstance(for_stderr(), PlainLog)
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    bar = for_stderr()
    assert isinstance(bar, Terminal)
    bar.say("training b2u[stride=2] now")
    with bar.task("denoise b2u[eta=0] on [/kodak]") as task:
        task.update(1.0, "24/24 mean 30.00 dB")
    assert "training b2u[stride=2] now" in screen.getvalue()
    assert "b2u[eta=0] on [/kodak]" in screen.getvalue()
