"""The table of ratios in docs/speed.md, from the JSON of tests/benchmarks/test_bench_speed.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tabulate import tabulate


def main(path: Path) -> None:
    """Print one Markdown line per measured variant: seconds, ratio to the reference, share of the matmul peak."""
    groups: dict[str, dict[str, dict[str, Any]]] = {}
    for entry in json.loads(path.read_text(encoding="utf-8"))["benchmarks"]:
        groups.setdefault(entry["group"], {})[entry["name"].split("[")[0] + (entry.get("param") or "")] = entry
    rows = []
    for group, entries in groups.items():
        (reference,) = (entry for entry in entries.values() if str(entry["name"]).startswith("test_reference"))
        for entry in entries.values():
            if entry is reference:
                continue
            slow, quick = (e["stats"]["min"] for e in (reference, entry))
            precision = (entry["params"] or {}).get("precision", "float32")
            share = entry["extra_info"].get("share_of_peak")
            rows.append((group, precision, slow, quick, slow / quick, f"{share:.0%}" if share else ""))
    heads = ("work", "precision", "reference, s", "here, s", "ratio", "share of matmul peak")
    print(tabulate(rows, heads, tablefmt="github", floatfmt=("", "", ".2f", ".2f", ".1f", "")))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
