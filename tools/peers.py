"""This suite beside CAREamics and deepinv: the same noisy images, the same noisy training images, equal wall time.

Usage: python tools/peers.py install PEERS         # PEERS/environment: both libraries with a torch that fits them
       python tools/peers.py measure PEERS [--minutes M] [--images N] [--trainings T] [--methods n2v]
       python tools/peers.py table PEERS

Gray, sigma 25. Everyone trains M minutes (2) on one thread on the 400 gray images of ``bsd400`` with one fixed noisy
copy of each, on crops of 64x64 in batches of 4, and denoises Set12 and BSD68 as the suite draws them (counter, seed 0);
N: so many images of each set, all if left out. T: so many trainings of each method of the other libraries, with other
seeds; the table has their mean and range. Methods keep the network, optimiser and rate that their library gives
them; for deepinv, whose losses come without those, Adam at 5e-4 and its U-Net of three scales. PSNR is of the result
rounded to 8 bits. Rows are in PEERS/rows.csv, trainings in PEERS/trainings.csv; what is there is not measured again.
Seconds are wall time: measure on a machine that does nothing else.

The part that runs inside PEERS/environment imports neither this suite nor its torch.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

PINNED = ("torch==2.11.0", "torchvision==0.26.0", "careamics==0.3.5", "deepinv==0.5", "ptwt")
ROWS = ("library", "version", "method", "seed", "dataset", "image", "psnr", "seconds")
TRAININGS = ("library", "version", "method", "seed", "steps", "seconds", "startup")
THEIRS = (("careamics", "n2v"), ("deepinv", "nbr2nbr"), ("deepinv", "r2r"), ("deepinv", "bm3d"))
OURS = ("n2v", "nbr2nbr", "r2r[passes=5]", "bm3d")
SETS, NOISE, SIGMA = ("set12", "bsd68"), "gauss25", 25.0
#: Widest image that BM3D gets: deepinv's takes 11 s for 256x256.
BM3D_SIDE = 256


def score(result: np.ndarray, clean: np.ndarray) -> float:
    """PSNR in dB of gray values 0 to 255, rounded to 8 bits."""
    rounded = np.clip(np.round(result.astype(np.float64)), 0, 255)
    return float(10 * np.log10(255.0**2 / np.mean((rounded - clean) ** 2)))


def append(path: Path, columns: tuple[str, ...], *values: object) -> None:
    """Add a line to a CSV file."""
    with path.open("a", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        if not stream.tell():
            writer.writerow(columns)
        writer.writerow(values)


def lines_of(path: Path) -> list[dict[str, str]]:
    """The lines of a CSV file; none if it is not there."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def images(folder: Path, limit: int | None) -> None:
    """Write the noisy images of both sides: test images with their references, and training images."""
    from denoisebench.plugins.lookup import find_dataset
    from denoisebench.protocol.draws import CounterDraws
    from denoisebench.protocol.images import to_channels
    from denoisebench.protocol.noise import parse_noise

    noise = parse_noise(NOISE)
    arrays: dict[str, Any] = {}
    for name in SETS:
        data = find_dataset(name, ())
        for image in data.images[:limit]:
            clean = np.asarray(to_channels(data.load(image), 1))
            noisy = CounterDraws().draw(name, image, 0, clean, noise).noisy
            arrays[f"{name}/{image}/clean"], arrays[f"{name}/{image}/noisy"] = clean[..., 0], 255 * noisy[..., 0]
    np.savez(folder / "test.npz", **arrays)
    data, rng = find_dataset("bsd400", ()), np.random.default_rng(0)
    train = [np.asarray(to_channels(data.load(image), 1))[..., 0] for image in data.images]
    copies: dict[str, Any] = {
        str(n): (image + rng.normal(0, SIGMA, image.shape)).astype(np.float32) for n, image in enumerate(train)
    }
    np.savez(folder / "train.npz", **copies)


def ours(folder: Path, minutes: float, limit: int | None) -> None:
    """Measure this suite by its own command."""
    results = folder / "ours"
    command = [
        sys.executable, "-m", "denoisebench", "run", "--methods", ",".join(OURS), "--noise", NOISE, "--datasets",
        ",".join(SETS), "--train-data", "bsd400", "--training-noise", "fixed", "--budget", f"{minutes:g}min",
        "--threads", "1", "--out", str(results), *(["--limit", str(limit)] if limit else []),
    ]  # fmt: skip
    subprocess.run(command, check=True)
    start = startup("import denoisebench; denoisebench.PlainMethod", sys.executable)
    copy_ours(folder, results, start)


def copy_ours(folder: Path, results: Path, start: float) -> None:
    """Bring the rows of a results folder into the form of the others."""
    import json

    from denoisebench import __version__

    for line in lines_of(results / "scores.csv"):
        if line["method"] != "identity":
            values = (line["method"], 0, line["dataset"], line["image"], line["psnr"], line["seconds"])
            append(folder / "rows.csv", ROWS, "denoisebench", __version__, *values)
    for path in (results / "models").glob("*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        made = (record["method"], 0, record["steps"], round(record["seconds"], 1), f"{start:.2f}")
        append(folder / "trainings.csv", TRAININGS, "denoisebench", __version__, *made)


def startup(code: str, python: str) -> float:
    """Seconds that a new process takes to import a library, the second time."""
    for _ in range(2):
        begun = time.perf_counter()
        subprocess.run([python, "-c", code], check=True, capture_output=True)
    return time.perf_counter() - begun


def theirs(folder: Path, library: str, method: str, seed: int, minutes: float) -> None:
    """Train and measure one method of another library; runs inside its environment."""
    from importlib.metadata import version

    import torch

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    with np.load(folder / "train.npz") as stored:
        train = [stored[name] for name in np.random.default_rng(seed).permutation(list(stored))]
    start = startup(f"import {library}", sys.executable)
    made: dict[tuple[str, str], Callable[..., tuple[Callable[[np.ndarray], np.ndarray], int, float]]] = {
        ("careamics", "n2v"): careamics_n2v,
        ("deepinv", "nbr2nbr"): deepinv_network,
        ("deepinv", "r2r"): deepinv_network,
        ("deepinv", "bm3d"): deepinv_bm3d,
    }
    denoise, steps, seconds = made[library, method](folder, train, 60 * minutes, method)
    values = (library, version(library), method, seed)
    append(folder / "trainings.csv", TRAININGS, *values, steps, round(seconds, 1), f"{start:.2f}")
    with np.load(folder / "test.npz") as test:
        for name in sorted({key.rpartition("/")[0] for key in test}):
            clean, noisy = test[f"{name}/clean"], test[f"{name}/noisy"].astype(np.float32)
            if method == "bm3d" and max(clean.shape) > BM3D_SIDE:
                continue
            begun = time.perf_counter()
            result = denoise(noisy)
            elapsed = time.perf_counter() - begun
            append(
                folder / "rows.csv", ROWS, *values, *name.split("/"), f"{score(result, clean):.4f}", f"{elapsed:.3f}"
            )


def careamics_n2v(
    folder: Path, train: list[np.ndarray], budget: float, method: str
) -> tuple[Callable[[np.ndarray], np.ndarray], int, float]:
    """N2V of CAREamics with its default network and optimiser, stopped by the clock."""
    from careamics import CAREamist
    from careamics.config.factories.n2v_factory import create_n2v_config
    from lightning.pytorch import Callback

    class Clock(Callback):  # type: ignore[misc]
        steps, begun, seconds = 0, 0.0, 0.0

        def on_train_batch_end(self, trainer: Any, *others: Any) -> None:
            self.begun = self.begun or time.perf_counter()
            self.steps += 1
            self.seconds = time.perf_counter() - self.begun
            if self.seconds > budget:
                trainer.should_stop = True

    clock = Clock()
    config = create_n2v_config("n2v", "array", "YX", [64, 64], 4, num_epochs=1000)
    mist = CAREamist(config, work_dir=folder / "careamics", callbacks=[clock], enable_progress_bar=False)
    mist.train(train_data=train)

    def denoise(noisy: np.ndarray) -> np.ndarray:
        high, wide = noisy.shape
        padded = np.pad(noisy, ((0, -high % 8), (0, -wide % 8)), mode="reflect")
        return np.asarray(mist.predict(padded, axes="YX", data_type="array")[0][0]).squeeze()[:high, :wide]

    return denoise, clock.steps, clock.seconds


def crops_of(train: list[np.ndarray]) -> Iterator[Any]:
    """Batches of four random 64x64 crops, white = 1."""
    import torch

    rng = np.random.default_rng(0)
    while True:
        batch = []
        for _ in range(4):
            image = train[rng.integers(len(train))]
            top, left = (rng.integers(side - 63) for side in image.shape)
            batch.append(image[top : top + 64, left : left + 64])
        yield torch.from_numpy(np.stack(batch)[:, None] / np.float32(255))


def deepinv_network(
    folder: Path, train: list[np.ndarray], budget: float, method: str
) -> tuple[Callable[[np.ndarray], np.ndarray], int, float]:
    """A U-Net of deepinv under its loss of Neighbor2Neighbor or R2R."""
    import deepinv
    import torch

    physics = deepinv.physics.Denoising(deepinv.physics.GaussianNoise(SIGMA / 255))
    loss: Any = deepinv.loss.Neighbor2Neighbor()
    if method == "r2r":
        loss = deepinv.loss.R2RLoss(noise_model=physics.noise_model)
    model = loss.adapt_model(deepinv.models.ArtifactRemoval(deepinv.models.UNet(1, 1, scales=3)))
    model.train()
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-4, weight_decay=1e-8)
    begun, steps, batches = time.perf_counter(), 0, crops_of(train)
    while time.perf_counter() - begun < budget:
        noisy = next(batches)
        optimiser.zero_grad()
        found = model(noisy, physics, update_parameters=True) if method == "r2r" else model(noisy, physics)
        loss(x_net=found, y=noisy, physics=physics, model=model).mean().backward()
        optimiser.step()
        steps += 1
    seconds = time.perf_counter() - begun
    model.eval()

    def denoise(noisy: np.ndarray) -> np.ndarray:
        image = torch.from_numpy(noisy / np.float32(255))[None, None]
        high, wide = image.shape[2:]
        padded = torch.nn.functional.pad(image, (0, -wide % 8, 0, -high % 8), mode="reflect")
        with torch.no_grad():
            return np.asarray(255 * model(padded, physics)[0, 0, :high, :wide])

    return denoise, steps, seconds


def deepinv_bm3d(
    folder: Path, train: list[np.ndarray], budget: float, method: str
) -> tuple[Callable[[np.ndarray], np.ndarray], int, float]:
    """The BM3D that deepinv wrote itself."""
    import deepinv
    import torch

    model = deepinv.models.BM3D(use_legacy=False)

    def denoise(noisy: np.ndarray) -> np.ndarray:
        image = torch.from_numpy(noisy / np.float32(255))[None, None]
        with torch.no_grad():
            return np.asarray(255 * model(image, SIGMA / 255)[0, 0])

    return denoise, 0, 0.0


def install(folder: Path) -> None:
    """Make the environment of the other libraries."""
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    subprocess.run([str(environment / "bin" / "python"), "-m", "pip", "install", *PINNED], check=True)


def measure(folder: Path, minutes: float, limit: int | None, trainings: int, methods: list[str]) -> None:
    """Measure what is missing."""
    if not (folder / "test.npz").is_file():
        images(folder, limit)
    known = {(line["library"], line["method"], int(line["seed"])) for line in lines_of(folder / "trainings.csv")}
    python = str(folder / "environment" / "bin" / "python")
    for library, method in THEIRS:
        for seed in range(1 if method == "bm3d" else trainings):
            if method in methods and (library, method, seed) not in known:
                work = [library, method, str(seed), f"{minutes:g}"]
                subprocess.run([python, __file__, "theirs", str(folder), *work], check=True)
    if not any(library == "denoisebench" for library, *_ in known):
        ours(folder, minutes, limit)


def means_of(rows: list[dict[str, str]]) -> str:
    """The mean PSNR over images, and from which training to which where there are several."""
    means = [
        float(np.mean([float(x["psnr"]) for x in rows if x["seed"] == seed]))
        for seed in sorted({x["seed"] for x in rows})
    ]
    if len(means) < 2:
        return f"{means[0]:.2f}" if means else ""
    return f"{np.mean(means):.2f} ({min(means):.2f} to {max(means):.2f})"


def table(folder: Path) -> str:
    """One line for each method of each library, over the images that all of a method have."""
    from tabulate import tabulate

    rows, trainings = lines_of(folder / "rows.csv"), lines_of(folder / "trainings.csv")
    plain = {line["method"]: line["method"].partition("[")[0] for line in rows}
    found = []
    for method in dict.fromkeys(plain.values()):
        mine = [line for line in rows if plain[line["method"]] == method]
        libraries = list(dict.fromkeys(line["library"] for line in mine))
        sets = [{(x["dataset"], x["image"]) for x in mine if x["library"] == library} for library in libraries]
        common = set.intersection(*sets)
        for library in libraries:
            kept = [x for x in mine if x["library"] == library and (x["dataset"], x["image"]) in common]
            scores = [means_of([x for x in kept if x["dataset"] == name]) for name in SETS]
            of = [x for x in trainings if x["library"] == library and x["method"] == method]
            steps = sum(int(x["steps"]) for x in of)
            step = f"{1000 * sum(float(x['seconds']) for x in of) / steps:.0f}" if steps else ""
            start = next((x["startup"] for x in trainings if x["library"] == library), "")
            seconds = np.mean([float(x["seconds"]) for x in kept])
            name = f"{library} {kept[0]['version']}"
            each = round(steps / len(of)) if steps else ""
            found.append(
                (method, name, len(common), *scores, len(of) if steps else "", each, step, f"{seconds:.2f}", start)
            )
    heads = ("method", "library", "images", "Set12", "BSD68", "trainings", "steps", "ms/step", "s/image", "import, s")
    return str(tabulate(found, heads, "github", disable_numparse=True))


def main() -> None:
    """Do what the first argument says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("install", "measure", "table", "theirs"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("of", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--images", type=int)
    parser.add_argument("--trainings", type=int, default=1)
    parser.add_argument("--methods", default="n2v,nbr2nbr,r2r,bm3d")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.what == "install":
        install(options.folder)
    elif options.what == "measure":
        measure(options.folder, options.minutes, options.images, options.trainings, options.methods.split(","))
    elif options.what == "theirs":
        library, method, seed, minutes = options.of
        theirs(options.folder, library, method, int(seed), float(minutes))
    else:
        print(table(options.folder))


if __name__ == "__main__":
    main()
