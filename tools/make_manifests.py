"""Make datasets/manifests/*.tsv from a folder that holds the data sets.

Usage: python tools/make_manifests.py DATA_ROOT [NAME ...]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from denoisebench.data.captures import CaptureSet
from denoisebench.data.dataset import FolderSet
from denoisebench.data.manifest import entry_of, write_manifest
from denoisebench.plugins.registry import DATASETS

NBR = "github.com/TaoHuang2018/Neighbor2Neighbor @ e66389ebef1e"
DNCNN = "github.com/cszn/DnCNN @ e93b27812d3f"
BSDS500 = "github.com/BIDS/BSDS500 @ a04b7c6c3a9f, BSDS500/data/images"
SKIMAGE = "scikit-image 0.26.0, skimage/data"
PROVENANCE = {
    "kodak": f"{NBR}, validation/Kodak",
    "bsd300": f"{NBR}, validation/BSD300/test; the same pixels as images/test of BSDS300-images.tgz",
    "set14": f"{NBR}, validation/Set14",
    "set14_14": f"{NBR}, validation/Set14; bridge and man: {DNCNN}, testsets/Set14",
    "set12": f"{DNCNN}, testsets/Set12",
    "bsd68": f"{DNCNN}, testsets/BSD68",
    "cbsd68": f"{BSDS500}/val, the 68 names of CBSD68 in github.com/cszn/FFDNet",
    "urban100_subset": "github.com/jbhuang0604/SelfExSR @ 8f6dd8c1d20c, data/Urban100/image_SRF_4",
    "bsd400": f"{DNCNN}, TrainingCodes/DnCNN_TrainingCodes_v1.0/data/Train400",
    "bsd400_color": f"{BSDS500}/train and {BSDS500}/test",
    "sidd_srgb": "github.com/Charlotte5622/Self-Supervised-Image-Denoising-Platform @ 46c1ccf4319d, media/preset/SIDD",
    "polyu": "github.com/Charlotte5622/Self-Supervised-Image-Denoising-Platform, media/preset/PolyU",
    "fmdd_bpae": "github.com/JRice15/self-supervised-poisson-gaussian @ 4c9bf8511944, dataset/smalldataset",
    "fmdd_pairs": "github.com/jason-lequyer/Noise2Fast @ 8b244699ee84; Confocal_FISH_3: "
    "github.com/ND-HowardGroup/Instant-Image-Denoising @ c885aee8adb6",
    "heldout": "github.com/EliSchwartz/imagenet-sample-images @ bc69043e2862",
    "samples": SKIMAGE,
    "samples_train": SKIMAGE,
}
#: Sets whose folder holds other images too.
FILES = {
    "heldout": (
        "n01494475_hammerhead.JPEG",
        "n01737021_water_snake.JPEG",
        "n01824575_coucal.JPEG",
        "n02018795_bustard.JPEG",
        "n02105162_malinois.JPEG",
        "n02129165_lion.JPEG",
        "n02281787_lycaenid.JPEG",
        "n02797295_barrow.JPEG",
        "n03047690_clog.JPEG",
        "n03404251_fur_coat.JPEG",
        "n03733131_maypole.JPEG",
        "n03887697_paper_towel.JPEG",
        "n04039381_racket.JPEG",
        "n04209239_shower_curtain.JPEG",
        "n04399382_teddy.JPEG",
        "n07583066_guacamole.JPEG",
    ),
    "samples": ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"),
    "samples_train": (
        "hubble_deep_field.jpg",
        "ihc.png",
        "motorcycle_left.png",
        "motorcycle_right.png",
        "retina.jpg",
    ),
}


class _Found(FolderSet):
    """Access to what a data set finds in its folder before it has a manifest."""

    def found(self, files: Sequence[str] | None) -> list[Path]:
        return sorted(
            (path for path in self._files() if files is None or path.name in files),
            key=lambda path: path.name,
        )


def make(name: str, root: Path) -> None:
    """Write the manifest of one data set, refusing a set that is not complete."""
    kind = DATASETS.get(name)
    if not issubclass(kind, FolderSet) or kind.manifest is None:
        return
    if issubclass(kind, CaptureSet):
        dataset = kind([root])
        files = [(path.relative_to(dataset.folder).as_posix(), path) for path in dataset._files()]
        comment = f"{kind.title}: {len(files)} files, source {kind.source}\nhashed from {PROVENANCE[name]}"
        write_manifest(kind.manifest, [replace(entry_of(path), file=file) for file, path in files], comment)
        print(f"{name}: {len(files)} files, {kind.manifest}")
        return
    paths = type("Found", (_Found, kind), {})([root]).found(FILES.get(name))
    if len(paths) != kind.count:
        raise SystemExit(f"{name}: {len(paths)} images found instead of {kind.count}")
    comment = f"{kind.title}: {kind.count} images, source {kind.source}\nhashed from {PROVENANCE[name]}"
    write_manifest(kind.manifest, [entry_of(path) for path in paths], comment)
    print(f"{name}: {len(paths)} images, {kind.manifest}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    for name in sys.argv[2:] or DATASETS.names():
        make(name, Path(sys.argv[1]))
