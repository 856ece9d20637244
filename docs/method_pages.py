"""One Markdown page per method, made from its metadata and its docstrings."""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
from pathlib import Path

from denoisebench.plugins.method import LearnedMethod, Method, PerImageMethod, show_value
from denoisebench.plugins.registry import METHODS
from denoisebench.reports.bibtex import bibtex_entry

FIGURES = Path(__file__).parent / "figures" / "methods"
_COSTS = (
    (LearnedMethod, "one training, then one or more passes through a network"),
    (PerImageMethod, "a fit to each image"),
)


def write(folder: Path) -> None:
    """Write a page for each built-in method, and the list of them; pages that are as they should be stay untouched."""
    folder.mkdir(exist_ok=True)
    names = [name for name in METHODS.names() if METHODS.origin(name) == "built in"]
    pages = {f"{name}.md": page(METHODS.get(name)) for name in names}
    listed = "\n".join(names)
    tree = f"```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n"
    pages["index.md"] = f"# Methods\n\nOne page for each, made from the method's own file.\n\n{tree}"
    for path in folder.glob("*.md"):
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def page(kind: type[Method]) -> str:
    """The page of a method."""
    info = kind.info
    module = inspect.cleandoc(sys.modules[kind.__module__].__doc__ or "")
    title, _, rest = module.partition("\n")
    told = ", ".join(sorted(need.value for need in info.needs)) or "nothing"
    cost = next((text for base, text in _COSTS if issubclass(kind, base)), "seconds to minutes per image")
    facts = [f"- Told: {told}.", f"- Cost: {cost}.", f"- Licence: {info.licence}."]
    facts = [f"- Paper: {info.paper}."] * bool(info.paper) + facts
    parts = [f"# {info.label}", f"`--methods {kind.name}`. {title}", "\n".join(facts)]
    parts += [f"## How it works\n\n{rest}" if (rest := rest.strip("\n")) else "", _figure(kind)]
    fields = dataclasses.fields(kind)
    if fields:
        rows = [f"| `{field.name}` | {show_value(field.default)} | {_meaning(kind, field.name)} |" for field in fields]
        parts += ["## Settings", "| setting | default | meaning |\n|---|---|---|\n" + "\n".join(rows)]
    entry = bibtex_entry(info.bibtex)
    if entry:
        parts += ["## Citation", f"```text\n{entry}```"]
    return "\n\n".join(filter(None, parts)) + "\n"


def _figure(kind: type[Method]) -> str:
    """A piece of a photograph as the method leaves it, made by tools/method_figures.py, or why there is none."""
    scores = json.loads((FIGURES / "scores.json").read_text(encoding="utf-8"))
    if kind.name not in scores:
        if kind.name == "identity":
            return ""
        fitted = issubclass(kind, PerImageMethod)
        why = "a fit to each image takes minutes" if fitted else "no trained network of it is shipped"
        return f"There is no picture of its results here: {why}."
    noise, psnr = scores[kind.name]["noise"], scores[kind.name]["psnr"]
    pictures = {f"noisy, {scores[noise]['psnr']:.2f} dB": noise, f"{kind.info.label}, {psnr:.2f} dB": kind.name}
    heads = " | ".join([*pictures, "clean"])
    cells = " | ".join(f"![{name}](../figures/methods/{name}.webp)" for name in [*pictures.values(), "clean"])
    source = "192x192 pixels of chelsea.png of scikit-image, by Stéfan van der Walt, CC0"
    network = "; its shipped network" if issubclass(kind, LearnedMethod) else ""
    return f"## On an image\n\n| {heads} |\n|---|---|---|\n| {cells} |\n\n(`{noise}`{network}; {source}.)"


def _meaning(kind: type[Method], name: str) -> str:
    """What a setting is, from the section on parameters of the docstring of the class, or of one that it is made of."""
    return next(filter(None, (_described(base, name) for base in kind.__mro__)), "")


def _described(kind: type, name: str) -> str:
    lines = inspect.cleandoc(kind.__doc__ or "").splitlines()
    for place, line in enumerate(lines):
        names, colon, _ = line.partition(" : ")
        if colon and name in names.replace(",", " ").split():
            found = []
            for text in lines[place + 1 :]:
                if not text.startswith("    "):
                    break
                found.append(text.strip())
            return " ".join(found).replace("|", r"\|")
    return ""
