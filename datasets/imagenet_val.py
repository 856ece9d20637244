"""ImageNet validation photographs: any folder, of which the images of middling size are taken."""

from __future__ import annotations

import hashlib
import io
from functools import cached_property
from pathlib import Path

import numpy as np

from denoisebench.core.errors import UserError
from denoisebench.core.files import file_sha256
from denoisebench.data.dataset import FolderSet, changed
from denoisebench.data.manifest import Entry, read_manifest
from denoisebench.protocol.imagefiles import FORMATS
from denoisebench.protocol.images import UIntImage, decode_image, image_bytes, to_channels

SMALLEST, LARGEST = 256, 512


class ImageNetVal(FolderSet):
    """Training images with both sides in 256..512, as many as the folder holds."""

    name = "imagenet_val"
    title = "ImageNet validation"
    summary = "The training images of the papers: ImageNet validation photographs of middling size."
    description = (
        "Any folder of images is taken; those with both sides in 256..512 are kept and converted to RGB, as the tools "
        "of Neighbor2Neighbor and Blind2Unblind do. From ILSVRC2012_img_val (50,000 images) that leaves 44,328. Those "
        "of `heldout`, which trainings are measured on, are left out by name. No manifest is shipped: whatever the "
        "folder holds is used, and tables say how many images that is."
    )
    traps = (
        "The papers save the kept images again as JPEG of quality 100, here they are read from the originals; of "
        "ImageNet's training photographs a sample has other images under a similar name."
    )
    channels = 3
    source = "https://image-net.org (ILSVRC2012_img_val)"
    licence = "non-commercial research use, after registration"
    folders = ("imagenet_val", "ILSVRC2012_img_val", "imagenet_sample")
    count = 44_328
    how = (
        "Register there, download ILSVRC2012_img_val.tar (6.3 GB) and unpack its 50,000 JPEG files; those that "
        "fit are picked here. A folder of other photographs of that size will do for training."
    )

    @cached_property
    def entries(self) -> list[Entry]:
        """The images of fitting size, known by their headers: 50,000 files are not decoded to be listed."""
        from PIL import Image

        found = []
        kept_back = {entry.file for entry in read_manifest(Path(__file__).with_name("manifests") / "heldout.tsv")}
        for path in self._files():
            if path.name in kept_back:
                continue
            try:
                with Image.open(path, formats=sorted(set(FORMATS.values()))) as image:
                    width, height = image.size
                    turned = image.getexif().get(274, 1) != 1
            except Exception as error:  # Pillow raises many types on damaged files
                raise UserError(f"Image {path} is corrupt or no image ({error}); replace it.") from None
            if min(width, height) >= SMALLEST and max(width, height) <= LARGEST:
                found.append(Entry(path.name, width, height, 3, "", ""))
                self._turned += [found[-1].image] if turned else []
        if not found:
            raise UserError(f"Folder {self.folder} holds no image with both sides in {SMALLEST}..{LARGEST} pixels.")
        return found

    def load(self, image: str) -> UIntImage:
        entry = self._entry(image)
        path = self._path(entry)
        data = image_bytes(path)
        if hashlib.sha256(data).hexdigest() != self._file_hashes[image]:
            raise changed(path)
        if path.suffix.lower() in (".jpg", ".jpeg") and (converted := _from_cmyk(data)) is not None:
            return converted
        return to_channels(decode_image(data, path), 3)

    def verify(self) -> None:
        """Only that there are images: the set is whatever the folder holds."""
        _ = self.entries

    @cached_property
    def data_hash(self) -> str:
        """SHA-256 over ids and files (not pixels: that would decode every image before training)."""
        hashes = self._file_hashes
        lines = [f"{image} {hashes[image]}{' upright' if image in self._turned else ''}" for image in hashes]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @cached_property
    def _turned(self) -> list[str]:
        """Images that are stored in another orientation than they are looked at."""
        return []

    @cached_property
    def _file_hashes(self) -> dict[str, str]:
        return {entry.image: file_sha256(self._path(entry)) for entry in self.entries}


def _from_cmyk(data: bytes) -> UIntImage | None:
    """A CMYK photograph as RGB, as Pillow converts it; None for any other file. ImageNet has a few."""
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as opened:
            return np.asarray(ImageOps.exif_transpose(opened).convert("RGB")) if opened.mode == "CMYK" else None
    except Exception:  # whatever is wrong with it is said by the reader of all other files
        return None
