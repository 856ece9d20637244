"""Images for the page's comparer, kept or made again; without loss, and cut where they would be large."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from denoisebench.audit.subject import CellFilter
from denoisebench.core.errors import UserError
from denoisebench.core.text import plain
from denoisebench.protocol.images import FloatImage
from denoisebench.reports.figures.again import Made, kept_first, pictures_of, telling
from denoisebench.reports.figures.comparison import Crop, Picture, pixels_of, telling_crop
from denoisebench.reports.page.shell import ROOM, data_url
from denoisebench.reports.statistics import Group
from denoisebench.results.pictures import are_kept
from denoisebench.results.summary import Column

#: Without a number asked for: as many seconds of denoising, by the stored rows, and as many images of a test set.
PATIENCE, MOST = 30.0, 3
#: Sides of the squares that pictures are cut to until they fit; None leaves them whole.
_SIDES = (None, 384, 256, 192, 128)


@dataclass
class Album:
    """The pictures of one column, and why there are no more.

    Parameters
    ----------
    made : list[tuple[str, int, Made]]
        Image, repeat and its pictures.
    said : list[str]
        Sentences.
    """

    made: list[tuple[str, int, Made]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def make_albums(
    results: Path, groups: Mapping[Column, Sequence[Group]], choice: CellFilter, count: int | None
) -> dict[Column, Album]:
    """Images where the methods differ most, those first that the run kept; others are denoised again.

    Parameters
    ----------
    results : Path
        The results folder, which holds the networks that the run trained.
    groups : Mapping[Column, Sequence[Group]]
        See `denoisebench.reports.statistics.groups_of`.
    choice : CellFilter
        Where data and weights are.
    count : int | None
        Images per column; None for up to `MOST` as long as stored times say that all take at most `PATIENCE`.
    """
    albums = {column: Album() for column in groups}
    spent = 0.0
    for column, image, repeat, seconds in _turns(results, groups, MOST if count is None else count):
        album = albums[column]
        if count is None and spent + seconds > PATIENCE:
            if not album.made and not album.said:
                album.said.append(
                    f"An image takes all methods some {seconds:.0f} s, so none was made again; "
                    "report --html --images 1 makes one of each test set."
                )
            continue
        spent += seconds
        try:
            made = pictures_of(results, {column: groups[column]}, choice, image, repeat)
        except UserError as error:
            album.said.append(str(error))
            continue
        album.made.append((image, repeat, made))
        album.said += made.said
    return albums


def _turns(
    results: Path, groups: Mapping[Column, Sequence[Group]], count: int
) -> Iterator[tuple[Column, str, int, float]]:
    """Column, image, repeat and seconds to make it, the first image of every column before any second one."""
    images: dict[Column, tuple[Sequence[str], int, Sequence[Group]]] = {}
    for column, found in groups.items():
        methods = [group for group in found if not group.baseline]
        if methods:
            repeat = min(number for group in methods for _, number in group.cells[0].rows)
            images[column] = kept_first(results, methods, telling(methods, repeat), repeat), repeat, methods
    for turn in range(count):
        for column, (names, repeat, rated) in images.items():
            if turn < len(names):
                cells = [group.cells[0] for group in rated]
                absent = [cell for cell in cells if not are_kept(results, cell, names[turn], repeat)]
                rows = [cell.rows.get((names[turn], repeat)) for cell in absent]
                yield column, names[turn], repeat, sum(row.seconds for row in rows if row is not None)


def packed_albums(
    albums: Mapping[Column, Album], titles: Mapping[str, str] = MappingProxyType({})
) -> dict[Column, dict[str, Any]]:
    """The pictures as data URLs, all of a page cut to the largest square that leaves it small enough.

    Parameters
    ----------
    albums : Mapping[Column, Album]
        By column.
    titles : Mapping[str, str]
        Printed names of methods that have another one than their label.
    """
    found: dict[Column, dict[str, Any]] = {}
    for side in _SIDES:
        found = {
            column: {
                "pictures": [_packed(*one, side, titles) for one in album.made],
                "said": [plain(text) for text in album.said],
            }
            for column, album in albums.items()
        }
        size = sum(
            len(layer["url"]) for album in found.values() for one in album["pictures"] for layer in one["layers"]
        )
        if size <= ROOM:
            break
    return found


def _packed(image: str, repeat: int, made: Made, side: int | None, titles: Mapping[str, str]) -> dict[str, Any]:
    layers = [*made.pictures, made.clean]
    height, width = made.clean.image.shape[:2]
    crop = window([picture.image for picture in made.pictures[1:]], side)
    # A page need not hold what nobody can see; the whole image shows where the part lies.
    whole = None if crop[2:] == (width, height) else data_url(pixels_of(made.clean.image), lossless=False)
    return {
        "image": plain(image), "repeat": repeat, "size": [width, height], "crop": list(crop), "whole": whole,
        "layers": [_layer(picture, crop, titles.get(picture.name, picture.name)) for picture in layers],
    }  # fmt: skip


def window(results: Sequence[FloatImage], side: int | None) -> Crop:
    """A square around the place where results differ most, all of them where no side is given.

    Parameters
    ----------
    results : sequence of (H, W, C) float
        One or more.
    side : int | None
        Of the square; less where the image is smaller.
    """
    height, width = results[0].shape[:2]
    if side is None:
        return Crop(0, 0, width, height)
    wide, tall = min(side, width), min(side, height)
    around = telling_crop(results)
    x = min(max(around.x + around.width // 2 - wide // 2, 0), width - wide)
    y = min(max(around.y + around.height // 2 - tall // 2, 0), height - tall)
    return Crop(x, y, wide, tall)


def _layer(picture: Picture, crop: Crop, name: str) -> dict[str, Any]:
    part = picture.image[crop.y : crop.y + crop.height, crop.x : crop.x + crop.width]
    psnr = picture.psnr if picture.psnr is None or math.isfinite(picture.psnr) else "inf"
    return {"name": plain(name), "psnr": psnr, "ssim": picture.ssim, "url": data_url(pixels_of(part))}
