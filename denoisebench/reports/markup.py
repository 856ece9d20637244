"""Text made safe for LaTeX, Markdown, HTML and plain tables."""

from __future__ import annotations

import html
import re

_TEX_SPECIAL = str.maketrans(
    {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "^": r"\^{}", "~": r"\~{}", "&": r"\&",
     "%": r"\%", "#": r"\#", "_": r"\_", "[": "{[}", "]": "{]}", "²": "$^2$",
     "σ": r"$\sigma$", "±": r"$\pm$", "λ": r"$\lambda$", "∈": r"$\in$", "<": "$<$", ">": "$>$", "×": r"$\times$"}
)  # fmt: skip
_MD_SPECIAL = str.maketrans({"\\": r"\\", "`": r"\`", "*": r"\*", "|": r"\|", "&": "&amp;", "<": "&lt;", ">": "&gt;"})
# A bracket is a link only before one of these, and the target of one only where a text begins.
_MD_LINK = re.compile(r"\]([(\[])")


def tex(text: str) -> str:
    """Text with the characters escaped that mean something to LaTeX, on one line."""
    return plain(text).translate(_TEX_SPECIAL)


def escaped(text: str) -> str:
    """Text that HTML shows as it is, on one line."""
    return html.escape(plain(text))


def md(text: str) -> str:
    """Text that Markdown and HTML show as it is, on one line; marks, links, tags and column bars are escaped."""
    shown = _MD_LINK.sub(r"]\\\1", plain(text).translate(_MD_SPECIAL))
    return "\\" + shown if shown.startswith("[") else shown


def plain(text: str) -> str:
    """Text on one line, without characters that steer a terminal or turn the direction of writing."""
    return " ".join("".join(c if c.isprintable() or c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text).split())
