"""Everything in the repository that is made from stored rows: reports, pages, figures, tables in documents.

Usage, in the root of the checkout: python tools/renew_results.py [reports] [tables] [figures] [methods]

Nothing is measured. After new rows or new weights have come into results/:

- reports: score tables of every results folder, tables beside the paper's, the scores in the records of the shipped
  weights, and one page (report.html) of each folder of `PAGES`, without images, for those belong to others;
- tables: in README.md and docs/, what stands between a comment ``<!-- table: COMMAND -->`` and ``<!-- end -->``;
- figures: every ``denoisebench figure`` line of docs/gallery.md that writes to docs/figures, stored as WebP;
- methods: the figures of the pages of methods, see tools/method_figures.py (minutes).

Numbers in running text are not touched. tests/test_documents.py says when a table in a document is not that of its
rows.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from denoisebench.results.summary import FLAGS

ROOT = Path(__file__).resolve().parents[1]
#: Tables of the paper that a results folder is printed beside; '' for its own table alone.
REPORTS = {
    "results/gauss25": ("1",),
    "results/tables/table1": ("1",),
    "results/tables/table2": ("2",),
    "results/tables/table5to8": ("5", "6", "7", "8"),
    "results/tables/table6": ("6",),
    "results/quality": ("",),
    "results/levels": ("",),
    "results/anscombe": ("",),
}
PAGES = ("results/gauss25", "results/tables/table1", "results/tables/table2")
SCORES_OF_WEIGHTS = ("results/gauss25", "results/tables/table1", "results/tables/table2")
_TABLE = re.compile(r"(<!-- table: (denoisebench .+?) -->\n).*?(<!-- end -->)", re.DOTALL)
# What a reader of a table needs below it: what is printed, trainings, letters and symbols; not how it came about.
_NOTE = re.compile(rf"- (?:PSNR|SSIM|Trained|<sup>|[*{''.join(symbol for symbol, _ in FLAGS.values())}])")
_FIGURE = re.compile(r"^    (denoisebench figure .+ --out (docs/figures/\S+)\.png)$", re.MULTILINE)


def run(command: list[str]) -> str:
    """What a command of this program prints, run in the root of the checkout.

    Raises
    ------
    SystemExit
        It failed.
    """
    start = "import sys; from denoisebench.cli import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", start, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise SystemExit(f"{shlex.join(command)}: {ran.stderr}")
    return ran.stdout


def documents() -> Iterator[Path]:
    """The files that may hold tables of stored rows."""
    yield ROOT / "README.md"
    yield from sorted((ROOT / "docs").glob("*.md"))


def with_tables(text: str, run: Callable[[list[str]], str]) -> str:
    """A document with its tables made anew by the commands that stand before them.

    Parameters
    ----------
    text : str
        Markdown with pairs of comments.
    run : Callable
        What a command prints.
    """
    return _TABLE.sub(lambda found: found[1] + "\n" + shown(run(shlex.split(found[2]))) + "\n" + found[3], text)


def shown(printed: str) -> str:
    """The first table of what was printed and what a reader needs below it, without padding."""
    lines = printed.splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("|"))
    table, notes = [], []
    for line in lines[first:]:
        if line.startswith("**"):  # the title of the next table
            break
        if line.startswith("|"):
            table.append(re.sub(r"-{3,}", "---", re.sub(r" {2,}", " ", line)))
        elif _NOTE.match(line):
            notes.append(line)
    return "".join(f"{line}\n" for line in [*table, *([""] if notes else []), *notes])


def reports() -> None:
    """The tables and pages of results folders, and the scores in the records of weights."""
    for folder, numbers in REPORTS.items():
        for number in numbers:
            page = ["--html", "--images", "0"] if folder in PAGES and number == numbers[0] else []
            run(["denoisebench", "report", folder, *(["--table", number] if number else []), *page])
            print(folder, number)
    for folder in SCORES_OF_WEIGHTS:
        run(["denoisebench", "weights", "score", folder, "--out", "results/weights"])


def tables() -> None:
    """The tables in documents."""
    for path in documents():
        old = path.read_text(encoding="utf-8")
        new = with_tables(old, run)
        if new != old:
            path.write_text(new, encoding="utf-8")
            print(path.relative_to(ROOT))


def figures() -> None:
    """The figures of the gallery."""
    from PIL import Image

    for command, name in _FIGURE.findall((ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")):
        words = shlex.split(command)
        if not (ROOT / words[3]).exists():
            print(f"{name}: no folder {words[3]} here, so it stays as it is")
            continue
        run(words)
        drawn = (ROOT / name).with_suffix(".png")
        with Image.open(drawn) as image:
            image.convert("RGB").save(drawn.with_suffix(".webp"), lossless=True, quality=100, method=6)
        drawn.unlink()
        print(name)


def methods() -> None:
    """The figures of the pages of methods."""
    subprocess.run([sys.executable, str(ROOT / "tools" / "method_figures.py")], cwd=ROOT, check=True)


def main() -> None:
    """Do all or some of it."""
    parts = {"reports": reports, "tables": tables, "figures": figures, "methods": methods}
    asked = sys.argv[1:] or list(parts)
    if set(asked) - set(parts):
        raise SystemExit(f"Parts are {', '.join(parts)}.")
    for name in parts:
        if name in asked:
            parts[name]()


if __name__ == "__main__":
    main()
