"""Dead workers are noticed, children of plugins end with their limits, imports are not cut in half."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from denoisebench.core import limits
from denoisebench.core.descendants import MARK, descendants, end_marked
from denoisebench.core.limits import TimeLimit, limited

PAIR = ("im0", 0)
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_children_with_a_session_of_their_own_end_with_a_time_limit() -> None:
    before = subprocess.Popen(SLEEP)
    time.sleep(0.1)
    try:
        children = []

        def plugin() -> None:
            children.append(subprocess.Popen(SLEEP, start_new_session=True))
            time.sleep(30)

        with pytest.raises(TimeLimit, match="not done within"), limited(0.3, PAIR):
            plugin()
        assert not runs(children[0].pid)
        assert runs(before.pid), "what was started before is not the plugin's"
    finally:
        before.kill()
        before.wait()


def test_a_process_whose_parent_is_gone_is_found_by_its_mark() -> None:
    code = f"import subprocess as s; print(s.Popen({SLEEP!r}, start_new_session=True, stdout=s.DEVNULL).pid)"
    made = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, MARK: "m1"}, stdout=subprocess.PIPE, text=True, check=True
    )
    pid = int(made.stdout)
    assert runs(pid)
    assert pid not in [process.pid for process in descendants(os.getpid())] or sys.platform != "linux"
    end_marked({"m2"})
    assert runs(pid)
    end_marked({"m1"})
    assert not runs(pid)


def test_a_time_limit_waits_for_an_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_library.py").write_text("import time\ntime.sleep(0.5)\nwhole = True\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(limits, "AGAIN", 0.05)

    def plugin() -> None:
        import slow_library  # type: ignore[import-not-found]  # noqa: F401

        time.sleep(30)

    with pytest.raises(TimeLimit), limited(0.1, PAIR):
        plugin()
    assert sys.modules["slow_library"].whole
    del sys.modules["slow_library"]
    monkeypatch.setattr(limits, "IMPORT_SECONDS", 0.0)
    with pytest.raises(TimeLimit), limited(0.1, PAIR):
        plugin()
    assert "slow_library" not in sys.modules


@pytest.mark.skipif(not hasattr(signal, "SIGSEGV") or sys.platform == "win32", reason="signals of Unix")
def test_a_dead_worker_is_noticed_although_its_children_hold_its_pipes(
    command: Callable[..., Any],
    plugin_file: Callable[..., Path],
    image_folder: Callable[..., Path],
    tmp_path: Path,
) -> None:
    body = f"""
        import os, signal, subprocess
        for number in range(3, 64):
            if os.path.exists(f"/proc/self/fd/{{number}}"):
                os.set_inheritable(number, True)
        child = subprocess.Popen({SLEEP!r}, close_fds=False, start_new_session=True)
        with open({str(tmp_path / "pids")!r}, "a") as stream:
            print(child.pid, file=stream)
        os.kill(os.getpid(), signal.SIGSEGV)
    """
    start = time.monotonic()
    ran = command(
        "run", "--plugin", plugin_file("dies", body), "--methods", "dies", "--datasets", image_folder(count=1),
        "--out", tmp_path / "o", "--executor", "local", "--workers", 1,
    )  # fmt: skip
    assert ran.code == 1
    assert "ended by SIGSEGV at image im0" in ran.out
    assert time.monotonic() - start < 55, "the child sleeps for 60 s"
    assert not any(runs(int(pid)) for pid in (tmp_path / "pids").read_text(encoding="utf-8").split())
