"""Kodak crops: pieces of Kodak photographs, cut out here."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path

from denoisebench.data.dataset import FolderSet
from denoisebench.data.manifest import Entry
from denoisebench.protocol.images import UIntImage

SIDE, EVERY = 128, 6


class KodakCrops(FolderSet):
    """4 crops of 128x128."""

    name = "kodak_crops"
    title = "Kodak crops"
    summary = "The central 128x128 pixels of every sixth Kodak photograph."
    description = (
        "kodim01, kodim07, kodim13 and kodim19, for methods that take minutes per image and for a first look at all of "
        "them. The photographs are those of `kodak`, at full size, and checked as such."
    )
    traps = (
        "65,536 pixels in all. Means over so few differ from those over the whole set, so compare methods within one "
        "table, not with printed values."
    )
    channels = 3
    source = "http://r0k.us/graphics/kodak/"
    licence = "unrestricted usage (Eastman Kodak Company), says the source page"
    folders = ("kodak", "Kodak")
    manifest = Path(__file__).with_name("manifests") / "kodak.tsv"
    shared = True
    count = 4
    how = "It is cut out of the data set kodak: denoisebench data fetch kodak."

    @cached_property
    def entries(self) -> list[Entry]:
        return super().entries[::EVERY]

    def load(self, image: str) -> UIntImage:
        whole = super().load(image)
        top, left = ((side - SIDE) // 2 for side in whole.shape[:2])
        return whole[top : top + SIDE, left : left + SIDE].copy()

    @cached_property
    def data_hash(self) -> str:
        return hashlib.sha256(f"{super().data_hash} centre {SIDE}".encode()).hexdigest()
