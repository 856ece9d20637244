"""What every page of this program is made of: its files, a policy that lets nothing else run or load, its images."""

from __future__ import annotations

import base64
import hashlib
import io
from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from PIL import Image, features

#: All pictures of a page together, in characters.
ROOM = 2_200_000
_WHOLE = 360


def policy(style: str, script: str = "") -> str:
    """Nothing is loaded but images inside the page, nothing runs but this script, and no text becomes HTML.

    Parameters
    ----------
    style, script : str
        As they stand in the page; '' for a page without script.
    """
    scripts = f"'{_hash(script)}'" if script else "'none'"
    return "; ".join([
        "default-src 'none'", f"script-src {scripts}", f"style-src '{_hash(style)}'", "img-src data:",
        "base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'",
    ])  # fmt: skip


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def asset(name: str) -> str:
    """A file of the page by its name below this folder."""
    return resources.files("denoisebench.reports.page").joinpath(name).read_text(encoding="utf-8")


def template(name: str) -> Template:
    """A template, in which every text is escaped and what is missing is an error."""
    return _environment().get_template(name)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("denoisebench.reports.page", ""), autoescape=True, undefined=StrictUndefined
    )


def data_url(pixels: npt.NDArray[np.uint8], lossless: bool = True) -> str:
    """An image inside the page: WebP where Pillow can write it, else PNG; what is compared is never made with loss.

    Parameters
    ----------
    pixels : (H, W) or (H, W, 3) uint8
        The image.
    lossless : bool
        Whether all of it counts; else it is made small.
    """
    image = Image.fromarray(pixels)
    stream, kind = io.BytesIO(), "WEBP" if features.check("webp") else "PNG"
    if lossless:
        image.save(stream, kind, **({"lossless": True, "quality": 70} if kind == "WEBP" else {"optimize": True}))
    else:
        image.thumbnail((_WHOLE, _WHOLE))
        image.save(stream, kind, **({"quality": 75} if kind == "WEBP" else {}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"
