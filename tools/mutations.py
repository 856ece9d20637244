"""Small changes of what decides numbers, each of which a test must notice: ``python tools/mutations.py``.

`mutations.toml` lists them: a file, a text in it that occurs once, what stands there instead, and the tests that are to
fail. Each is made in a copy of the checkout, one at a time, and the tests are run. A change is killed if one fails that
passes without it, or they do not end in time, survives if they pass, and is broken if its text is gone, its tests
cannot run or fail anyway. Below 95 % killed, or with one broken, the exit code is 1.

The ends are kept in `results/mutations.tsv`, written as they come. A line there holds while change and tests stand in
the list as they were: what is new or altered runs, ``--again`` runs all.

    python tools/mutations.py                       # what has no end yet
    python tools/mutations.py --again               # all; half an hour on one core
    python tools/mutations.py --again seeding       # these kinds, or names
    python tools/mutations.py --list                # and how each ended
"""

from __future__ import annotations

import argparse
import compileall
import hashlib
import importlib.util
import multiprocessing
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn

# Imported before the processes of the tests are forked, which takes most of their time otherwise.
import hypothesis.strategies  # noqa: F401
import pytest
import scipy.ndimage  # noqa: F401
import torch  # noqa: F401
import typer.testing  # noqa: F401

ROOT = Path(__file__).resolve().parents[1]
LIST = Path(__file__).with_suffix(".toml")
ENDS = ROOT / "results" / "mutations.tsv"
GOAL = 0.95
SECONDS = 1200.0
# pytest's own exit codes: tests failed, none failed.
FAILED, PASSED = 1, 0


@dataclass(frozen=True)
class Mutation:
    """A change, and who is to notice it.

    Parameters
    ----------
    kind, name : str
        What it is about, and what it does.
    file : str
        Path in the checkout.
    old, new : str
        A text that occurs once in the file, and what takes its place.
    tests : str
        Arguments of pytest.
    """

    kind: str
    name: str
    file: str
    old: str
    new: str
    tests: str

    @property
    def digest(self) -> str:
        """Of the change and its tests; what was found of another one says nothing about this."""
        text = "\0".join((self.file, self.old, self.new, self.tests))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def mutations() -> list[Mutation]:
    """All that are listed."""
    listed = tomllib.loads(LIST.read_text(encoding="utf-8"))["mutation"]
    return [Mutation(**values) for values in listed]


def flaw(mutation: Mutation, root: Path) -> str:
    """Why a change cannot be made, or ''."""
    path = root / mutation.file
    if not path.is_file():
        return f"there is no {mutation.file}"
    count = path.read_text(encoding="utf-8").count(mutation.old)
    return "" if count == 1 else f"its text occurs {count} times in {mutation.file}"


def copy_of_checkout(folder: Path) -> None:
    """Every tracked file as it stands, without results that no listed test reads."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file() and "/cells/" not in name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)


class Tests:
    """Runs tests in a copy of the checkout.

    Parameters
    ----------
    folder : Path
        The copy.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._sound: dict[str, bool] = {}

    def run(self, arguments: Sequence[str]) -> tuple[int | None, str]:
        """pytest's exit code, None if the tests do not end in time, and the first test that failed."""
        fork = multiprocessing.get_context("fork")
        receiver, sender = fork.Pipe(duplex=False)
        child = fork.Process(target=_pytest, args=(arguments, self.folder, sender))
        child.start()
        child.join(SECONDS)
        if child.is_alive():
            os.killpg(child.pid or 0, signal.SIGKILL)
            return None, ""
        return child.exitcode, receiver.recv() if receiver.poll() else ""

    def sound(self, test: str) -> bool:
        """Whether a test passes in the copy as it is."""
        if test not in self._sound:
            self._sound[test] = self.run([test])[0] == PASSED
        return self._sound[test]


def _pytest(arguments: Sequence[str], folder: Path, sender: Connection) -> NoReturn:
    """In a process of its own: modules of others are there already, those of the copy are read anew."""

    class Failures:
        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.failed:
                sender.send(report.nodeid)

    os.setsid()
    # What tests begin themselves is to see the copy too.
    os.environ |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    with open(os.devnull, "w") as nowhere:
        for stream in (1, 2):
            os.dup2(nowhere.fileno(), stream)
    os._exit(int(pytest.main(["-q", "-x", "-n0", "-p", "no:cacheprovider", *arguments], [Failures()])))


def outcome(mutation: Mutation, tests: Tests) -> str:
    """'killed', 'survived' or what is broken; the copy is as before afterwards."""
    if reason := flaw(mutation, tests.folder):
        return f"broken: {reason}"
    path = tests.folder / mutation.file
    before = path.read_text(encoding="utf-8")
    # Bytecode of the text before could pass for that of this one.
    Path(importlib.util.cache_from_source(path)).unlink(missing_ok=True)
    try:
        path.write_text(before.replace(mutation.old, mutation.new), encoding="utf-8")
        code, failed = tests.run(shlex.split(mutation.tests))
    finally:
        path.write_text(before, encoding="utf-8")
    if code == FAILED and not tests.sound(failed):
        return f"broken: {failed} fails without it"
    ends = {FAILED: "killed", None: "killed", PASSED: "survived"}
    return ends.get(code, f"broken: pytest ended with exit code {code}")


def read_ends(path: Path) -> dict[str, tuple[str, str]]:
    """Digest and outcome by name."""
    lines = path.read_text(encoding="utf-8").splitlines()[1:] if path.is_file() else []
    return {name: (digest, end) for _, name, digest, end in (line.split("\t") for line in lines)}


def write_ends(path: Path, ends: dict[str, tuple[str, str]]) -> None:
    """In the order of the list, without what it no longer holds."""
    lines = [f"{m.kind}\t{m.name}\t" + "\t".join(ends[m.name]) for m in mutations() if m.name in ends]
    path.write_text("\n".join(["kind\tname\tdigest\tend", *lines, ""]), encoding="utf-8")


def run(wanted: Sequence[Mutation], path: Path) -> None:
    """Make each change and note its end."""
    with tempfile.TemporaryDirectory(prefix="mutations-") as place:
        tests = Tests(Path(place))
        copy_of_checkout(tests.folder)
        compileall.compile_dir(tests.folder, quiet=2)
        for number, mutation in enumerate(wanted, 1):
            start = time.monotonic()
            end = outcome(mutation, tests)
            write_ends(path, {**read_ends(path), mutation.name: (mutation.digest, end)})
            took = time.monotonic() - start
            print(f"{number}/{len(wanted)} {took:4.0f} s  {end:10} {mutation.kind}: {mutation.name}", flush=True)


def main() -> int:
    """Run what is asked for; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="kinds or names; all without")
    parser.add_argument("--again", action="store_true", help="also what has an end already")
    parser.add_argument("--list", action="store_true", help="only print them")
    parser.add_argument("--ends", type=Path, default=ENDS, help="another file to keep the ends in")
    asked = parser.parse_args()
    listed = [m for m in mutations() if not asked.names or m.kind in asked.names or m.name in asked.names]
    ends = read_ends(asked.ends)
    if not asked.list:
        run([m for m in listed if asked.again or ends.get(m.name, ("", ""))[0] != m.digest], asked.ends)
    ends = read_ends(asked.ends)
    found = [ends[m.name][1] if ends.get(m.name, ("", ""))[0] == m.digest else "not run" for m in listed]
    if asked.list:
        print("\n".join(f"{end:10} {m.kind}: {m.name}" for m, end in zip(listed, found, strict=True)))
    killed, survived = found.count("killed"), found.count("survived")
    share = 100 * killed / max(1, len(found))
    other = len(found) - killed - survived
    print(f"{killed} of {len(found)} killed ({share:.0f} %), {survived} survived, {other} broken or not run")
    return int(other > 0 or killed < GOAL * len(found))


if __name__ == "__main__":
    sys.exit(main())
