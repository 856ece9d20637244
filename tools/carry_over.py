"""Key stored cells anew that were keyed by lists of modules, before protocol and training had versions.

Usage: python tools/carry_over.py check CHECKED RESULTS [RESULTS ...] [--seconds S] [--methods NAME,...]
       python tools/carry_over.py write CHECKED RESULTS [RESULTS ...]

``check`` computes one row of every old cell again, the one that was fastest, with the code, the libraries and as many
threads as stand beside it, trains the network again where it was trained for the run, and appends to the file CHECKED
whether every digit is the same. Rows, or rows with their training, that took longer than S seconds are left out.
The last digits of a network's output depend on the instruction set: where a row differs, another call with
ONEDNN_MAX_CPU_ISA=AVX2 in the environment tries again as a processor without AVX-512 computes.

``write`` gives a cell its new key if a row of a cell of that method, computed by the same old code, was reproduced and
none differed. Rows are left as they are; beside them stands what the key was and what was recomputed.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch

from denoisebench.audit import scorings
from denoisebench.core.files import sealed
from denoisebench.core.progress import Quiet
from denoisebench.core.provenance import versions
from denoisebench.data.dataset import data_roots
from denoisebench.evaluation.evaluate import Fitting, Route, evaluate
from denoisebench.evaluation.fit import FitRecipe
from denoisebench.experiment.cells import Experiment
from denoisebench.experiment.revisions import PROTOCOL_VERSION, TRAINING_VERSION, code_of, module_digest
from denoisebench.plugins.lookup import find_dataset
from denoisebench.plugins.method import LearnedMethod, Method
from denoisebench.plugins.registry import METHODS
from denoisebench.protocol.draws import CounterDraws, Draws, LegacyDraws
from denoisebench.protocol.noise import parse_noise
from denoisebench.protocol.protocol import Row
from denoisebench.results.store import FORMAT, Store, StoredCell
from denoisebench.training.crops import decoded
from denoisebench.training.job import TrainingJob
from denoisebench.training.recipe import Budget, Recipe
from denoisebench.training.train import train
from denoisebench.training.weights import Shelf, shipped_folder

INSTRUCTIONS = "ONEDNN_MAX_CPU_ISA"


def method_of(cell: StoredCell) -> Method:
    """The method of a cell, with its settings."""
    return METHODS.get(str(cell.identity["method"]))(**cell.identity["settings"])


def job_of(cell: StoredCell, code: Mapping[str, Any]) -> TrainingJob:
    """The training that a cell's identity describes."""
    method, identity = method_of(cell), cell.identity["training"]
    assert isinstance(method, LearnedMethod)
    recipe, noise = Recipe.from_record(identity["recipe"]), parse_noise(identity["noise"])
    return TrainingJob(method, noise, recipe, identity["channels"], identity["data"], code, identity["device"])


def new_identity(cell: StoredCell) -> dict[str, Any]:
    """The identity that the same cell has now."""
    identity, method = dict(cell.identity), method_of(cell)
    dataset = find_dataset(identity["protocol"]["dataset"], data_roots())
    # SSIM is computed with scipy, whose version was not written down: rows are reproduced with this one.
    identity["versions"] = {**identity["versions"], **versions(("scipy",))}
    identity["code"] = {"protocol": PROTOCOL_VERSION, **code_of(method, dataset)}
    training = identity["training"] or {}
    if "weights" in training:
        identity["training"] = {"weights": training["weights"]}
    elif "fit" in training:
        identity["training"] = {"fit": training["fit"]}
    elif training:
        data = find_dataset(training["data"]["name"], data_roots())
        libraries = {name: training["code"][name] for name in ("torch", "numpy")}
        code = {"training": TRAINING_VERSION, **code_of(method, data), **libraries}
        identity["training"] = job_of(cell, code).identity
    return identity


@cache
def draws_of(text: str) -> Draws:
    """A source of noise by its id; one for all cells, because a long stream remembers where it is."""
    if text == LegacyDraws.id:
        return Experiment([], [], [], Recipe(Budget(1, "steps")), draws="legacy", roots=data_roots()).draws_source()
    return CounterDraws(int(text.partition("-")[2]))


def computed_again(cell: StoredCell, row: Row) -> Row:
    """One row of a cell, from nothing."""
    identity, method = cell.identity, method_of(cell)
    protocol, training = identity["protocol"], identity["training"] or {}
    # Threads were not always written down; as many as cores were the default, and they change the last digits.
    machine = cell.about["machine"]
    torch.set_num_threads(machine.get("threads") or machine["cores"])
    dataset = find_dataset(protocol["dataset"], data_roots())
    draws = draws_of(protocol["draws"])
    with tempfile.TemporaryDirectory() as folder:
        network = fitting = None
        if "weights" in training:
            shipped = shipped_folder()
            weights = Shelf([shipped] if shipped else []).with_hash(training["weights"])
            assert weights is not None
            assert isinstance(method, LearnedMethod)
            network = weights.load(method, dataset.channels, identity["device"])
        elif "fit" in training:
            fitting = Fitting(FitRecipe(**{**training["fit"], "budget": Budget(**training["fit"]["budget"])}))
        elif training:
            job = job_of(cell, training["code"])
            images = decoded(find_dataset(job.data["name"], data_roots()), job.channels)
            network = train(job, images, Path(folder), job.device, Quiet()).network
        route = Route(
            method, network, parse_noise(protocol["noise"]), protocol["padding"], identity["seed"],
            identity["device"], fitting,
        )  # fmt: skip
        return next(evaluate(route, dataset, draws, [(row.image, row.repeat)]))


def numbers(row: Row) -> dict[str, Any]:
    """Of a row what must not change."""
    return {name: value for name, value in row._asdict().items() if name != "seconds"}


def old_cells(folder: Path) -> Iterator[StoredCell]:
    """Cells of a results folder whose keys are of the old kind, but for methods that have other settings by now."""
    for cell in Store(folder, create=False).all():
        if "protocol" in cell.identity["code"]:
            continue
        if cell.identity["settings"].keys() == method_of(cell).settings().keys():
            yield cell
        else:
            print(f"{folder}: {cell.about['text']} ({cell.key}) is left as it is: its settings have changed")


def code_then(cell: StoredCell) -> str:
    """Method and digests of the code that computed a cell."""
    code, training = cell.identity["code"], cell.identity["training"] or {}
    parts = [cell.identity["method"], code["evaluation"], code["plugin"], training.get("networks", "")]
    trained = training.get("code", "")
    return json.dumps([*parts, trained if isinstance(trained, str) else trained["training"]])


def check(cell: StoredCell, most: float) -> dict[str, Any] | None:
    """What came of computing a row again; None where that takes too long."""
    training = cell.about.get("training_record", {}) if "recipe" in (cell.identity["training"] or {}) else {}
    row = min(cell.rows.values(), key=lambda row: row.seconds)
    if row.seconds + training.get("seconds", 0) > most:
        return None
    now = versions(cell.identity["versions"])
    if now != cell.identity["versions"]:
        return None
    start = time.perf_counter()
    again = computed_again(cell, row)
    return {
        "cell": cell.key, "code": code_then(cell), "title": cell.about["text"], "image": row.image,
        "instructions": os.environ.get(INSTRUCTIONS, ""),
        "trained": bool(training), "was": numbers(row), "is": numbers(again),
        "same": numbers(row) == numbers(again), "seconds": round(time.perf_counter() - start, 1),
    }  # fmt: skip


def carry_over(cell: StoredCell, checked: list[dict[str, Any]], folder: Path) -> bool:
    """Key a cell anew, if rows computed by its code were reproduced."""
    tried = {one["cell"] for one in checked if one["code"] == code_then(cell)}
    same = {one["cell"]: one for one in checked if one["same"] and one["cell"] in tried}
    if not tried or tried != same.keys():
        return False
    again = f"{len(same)} rows of other cells of this method and code"
    if cell.key in same:
        own = same[cell.key]
        again = f"image {own['image']} of this cell" + (", network trained anew" if own["trained"] else "")
        again += f", {INSTRUCTIONS}={own['instructions']}" if own.get("instructions") else ""
    about = {**cell.about, "carried_over": f"key was {cell.key}; computed again, every digit the same: {again}"}
    new, store = StoredCell(new_identity(cell), about, cell.rows), Store(folder, create=False)
    # Two runs by different code may have computed the same rows: the first one is kept, if every digit agrees.
    there = store.read(new.identity)
    if any(numbers(row) != numbers(cell.rows.get(pair, row)) for pair, row in there.rows.items()):
        return False
    if not there.rows or there.about["written"] > cell.about["written"]:
        store.write(new)
    elif not there.rows.keys() >= cell.rows.keys():
        return False
    if new.key != cell.key:
        (folder / "cells" / f"{cell.key}.json").unlink()
    return True


def carry_audit(folder: Path, keys: Mapping[str, str]) -> int:
    """Key the cells of an audit anew, those of audited cells that were."""
    count = 0
    for path in sorted((folder / "audit" / "cells").glob("*.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        identity = data["identity"]
        if identity["audited"] not in keys:
            continue
        audited = json.loads((folder / "cells" / f"{keys[identity['audited']]}.json").read_text(encoding="utf-8"))
        code = {**audited["identity"]["code"], "scorings": module_digest(scorings.__name__)}
        identity |= {"audited": keys[identity["audited"]], "code": code}
        new = StoredCell(identity)
        content = {name: data[name] for name in ("identity", "about", "rows")}
        (path.parent / f"{new.key}.json").write_text(sealed(content, FORMAT), encoding="utf-8")
        path.unlink()
        count += 1
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("verb", choices=("check", "write"))
    parser.add_argument("checked", type=Path)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--methods", default="")
    given = parser.parse_args()
    lines = given.checked.read_text(encoding="utf-8").splitlines() if given.checked.is_file() else []
    checked = [json.loads(line) for line in lines]
    now = os.environ.get(INSTRUCTIONS, "")
    done = {one["cell"] for one in checked if one["same"] or one.get("instructions", "") == now}
    wanted = set(filter(None, given.methods.split(",")))
    for folder in given.results:
        keys = {}
        for cell in list(old_cells(folder)):
            if given.verb == "write":
                if carry_over(cell, checked, folder):
                    keys[cell.key] = StoredCell(new_identity(cell)).key
                else:
                    title = f"{folder}: {cell.about['text']} ({cell.key})"
                    print(f"{title} is left as it is: no row of its code was reproduced")
            elif cell.key not in done and (not wanted or cell.identity["method"] in wanted):
                result = check(cell, given.seconds)
                if result is not None:
                    verdict = "same" if result["same"] else "DIFFERS"
                    print(verdict, folder, result["title"], result["seconds"], flush=True)
                    with given.checked.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(result) + "\n")
        if given.verb == "write":
            print(f"{folder}: {len(keys)} cells keyed anew, {carry_audit(folder, keys)} of an audit")


if __name__ == "__main__":
    main()
