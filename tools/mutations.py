"""Small changes of what decides numbers, each of which a test must notice: ``python tools/mutations.py``.

`mutations.toml` lists them: a file, a text in it that occurs once, what stands there instead, and the tests that are to
fail. Each is made in a copy of the checkout, one at a time, and the tests are run. A change is killed if they fail (or
do not end in time), survives if they pass, and is broken if they cannot run or its text is gone. Below 95 % killed, or
with one broken, the exit code is 1.

    python tools/mutations.py                       # all; half an hour or more on one core
    python tools/mutations.py seeding tables        # these kinds, or names
    python tools/mutations.py --part 1/4            # every fourth, from the first on
    python tools/mutations.py --list
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIST = Path(__file__).with_suffix(".toml")
GOAL = 0.95
SECONDS = 1800.0
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


def outcome(mutation: Mutation, folder: Path) -> str:
    """'killed', 'survived' or what is broken; the copy is as before afterwards."""
    if reason := flaw(mutation, folder):
        return f"broken: {reason}"
    path = folder / mutation.file
    before = path.read_text(encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *shlex.split(mutation.tests)]
    # Bytecode of the text before could pass for that of this one, written within the same second.
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        path.write_text(before.replace(mutation.old, mutation.new), encoding="utf-8")
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return "killed"
    finally:
        path.write_text(before, encoding="utf-8")
    if done.returncode == FAILED:
        return "killed"
    return "survived" if done.returncode == PASSED else f"broken: {done.stdout.strip().splitlines()[-1:]}"


def chosen(names: list[str], part: str) -> list[Mutation]:
    """Those of the named kinds or names, or of all every n-th."""
    found = [m for m in mutations() if not names or m.kind in names or m.name in names]
    first, _, step = part.partition("/")
    return found[int(first) - 1 :: int(step)]


def main() -> int:
    """Run what is asked for; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="kinds or names; all without")
    parser.add_argument("--part", default="1/1", metavar="I/N", help="every N-th, from the I-th on")
    parser.add_argument("--list", action="store_true", help="only print them")
    asked = parser.parse_args()
    wanted = chosen(asked.names, asked.part)
    if asked.list:
        print("\n".join(f"{m.kind:12} {m.name}" for m in wanted))
        return 0
    ends = []
    with tempfile.TemporaryDirectory(prefix="mutations-") as place:
        folder = Path(place)
        copy_of_checkout(folder)
        for mutation in wanted:
            ends.append(outcome(mutation, folder))
            print(f"{ends[-1]:10} {mutation.kind}: {mutation.name}", flush=True)
    killed, broken = ends.count("killed"), sum(end.startswith("broken") for end in ends)
    print(f"{killed} of {len(ends)} killed ({100 * killed / max(1, len(ends)):.0f} %), {broken} broken")
    return int(broken > 0 or killed < GOAL * len(ends))


if __name__ == "__main__":
    sys.exit(main())
