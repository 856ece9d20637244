"""Entries of BibTeX as they are printed and copied."""

from __future__ import annotations

import re


def bibtex_entry(text: str) -> str:
    """An entry of BibTeX with each field on a line of its own; what is not a single entry is left as it is."""
    found = re.fullmatch(r"\s*@(\w+)\{([^,{}]+),(.*)\}\s*", text, re.DOTALL)
    if found is None:
        return text.strip() + "\n" if text.strip() else ""
    fields, depth, begun = [], 0, 0
    body = found[3]
    for place, letter in enumerate(body):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            fields.append(body[begun:place])
            begun = place + 1
    fields.append(body[begun:])
    shown = []
    for field in fields:
        name, equals, value = field.partition("=")
        if name.strip():
            shown.append(f"  {name.strip()} {equals} {' '.join(value.split())},")
    return f"@{found[1]}{{{found[2].strip()},\n" + "\n".join(shown) + "\n}\n"
