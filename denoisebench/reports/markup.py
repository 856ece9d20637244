"""Text made safe for LaTeX, Markdown, HTML, Typst, CSV and plain tables."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

from denoisebench.core.text import one_line, plain

_TEX_SPECIAL = str.maketrans(
    {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "^": r"\^{}", "~": r"\~{}", "&": r"\&",
     "%": r"\%", "#": r"\#", "_": r"\_", "[": "{[}", "]": "{]}", "²": "$^2$",
     "†": r"$^\dagger$", "‡": r"$^\ddagger$", "§": r"$^\S$", "¶": r"$^\P$", "‖": r"$^\|$",
     "|": "$|$", "\N{REPLACEMENT CHARACTER}": "?",
     "–": "--", "η": r"$\eta$", "→": r"$\rightarrow$", "−": "$-$", "µ": r"$\mu$", "°": r"$^\circ$",
     "σ": r"$\sigma$", "±": r"$\pm$", "λ": r"$\lambda$", "∈": r"$\in$", "<": "$<$", ">": "$>$", "×": r"$\times$"}
)  # fmt: skip

_MD_SPECIAL = str.maketrans(
    {"\\": r"\\", "`": r"\`", "*": r"\*", "|": r"\|", "~": r"\~", "$": r"\$", "&": "&amp;", "<": "&lt;", ">": "&gt;"}
)
# A bracket is a link only before one of these, and the target of one only where a text begins; an underscore between
# two letters or digits is one.
_MD_LINK = re.compile(r"\]([(\[])")
_MD_EMPHASIS = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
# Headings, lists and rules begin a line.
_MD_BLOCK = re.compile(r"(?:#{1,6}|[-+]|={1,}|-{2,})(?=\s|$)|\d{1,9}(?=[.)](?:\s|$))|\[")
# What a spreadsheet takes for a formula, in narrow and wide letters.
_FORMULA = tuple("=+-@＝＋－＠\t\r")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)


def tex(text: str) -> str:
    """Text with the characters escaped that mean something to LaTeX, on one line."""
    shown = plain(text).translate(_TEX_SPECIAL)
    # After the end of a row a star belongs to it.
    return "{*}" + shown[1:] if shown.startswith("*") else shown


def typst(text: str) -> str:
    """Text as a string of Typst, quotes included: nothing in it is markup or code."""
    return '"' + plain(text).replace("\\", r"\\").replace('"', r"\"") + '"'


def escaped(text: str) -> str:
    """Text that HTML shows as it is, on one line."""
    return html.escape(plain(text))


def md(text: str) -> str:
    """Text that Markdown and HTML show as it is, on one line; marks, links, tags and column bars are escaped."""
    shown = _MD_EMPHASIS.sub(r"\_", _MD_LINK.sub(r"]\\\1", plain(text).translate(_MD_SPECIAL)))
    block = _MD_BLOCK.match(shown)
    if block is None:
        return shown
    # Of a number the point behind it is escaped.
    place = block.end() if block[0].isdecimal() else 0
    return shown[:place] + "\\" + shown[place:]


def spaced(text: str, escape: Callable[[str], str]) -> str:
    """A piece of a sentence, escaped, with the spaces around it that `escape` drops."""
    inner = text.strip(" ")
    if not inner:
        return " " if text else ""
    return " " * text.startswith(" ") + escape(inner) + " " * text.endswith(" ")


def csv_text(text: str) -> str:
    """Text that a spreadsheet takes for text; numbers stay numbers."""
    shown = one_line(text)
    return f"'{shown}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(shown) else shown
