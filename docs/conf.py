"""Sphinx: the documents of this folder, one page per method from its metadata, and the reference from docstrings."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import method_pages  # noqa: E402

import denoisebench  # noqa: E402

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "denoisebench"
author = "the denoisebench developers"
version = release = denoisebench.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "numpydoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"denoisebench {version}"
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
numpydoc_show_class_members = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
# Blocks of the documents show commands, tables and fragments of code.
highlight_language = "text"

# A link to what lies outside this folder: on GitHub it works, in these pages there is nothing behind it.
_OUTSIDE = re.compile(r"(?<!!)\[([^\]]+)\]\((\.\./[^)]+)\)")


def _only_documents(app: Sphinx, name: str, source: list[str]) -> None:
    """Show links that lead out of the documents as the path in the repository."""
    source[0] = _OUTSIDE.sub(lambda found: f"`{found[2].removeprefix('../')}`", source[0])


def setup(app: Sphinx) -> None:
    """Make the pages of the methods before they are read."""
    method_pages.write(HERE / "methods")
    app.connect("source-read", _only_documents)
