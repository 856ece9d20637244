"""What there is: methods, data sets, noises and networks, as text for the command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from denoisebench.core.errors import UserError, unknown
from denoisebench.core.progress import Progress
from denoisebench.data.dataset import cache_root, data_roots
from denoisebench.networks import NETWORKS
from denoisebench.plugins.method import LearnedMethod, Method, PerImageMethod, show_value
from denoisebench.plugins.registry import DATASETS, METHODS
from denoisebench.protocol.images import CHANNEL_KINDS, some
from denoisebench.protocol.noise import EXAMPLES, FORMS, parse_noise
from denoisebench.reports.bibtex import bibtex_entry
from denoisebench.training.weights import read_folder, settings_text, weights_folders


def text_of(what: str) -> str:
    """A listing of 'methods', 'datasets', 'noises' or 'networks'."""
    kinds = {"methods": _methods, "datasets": _datasets, "noises": _noises, "networks": _networks}
    if what not in kinds:
        raise unknown("listing", what, kinds)
    return kinds[what]()


def _methods() -> str:
    lines = []
    classes, faults = METHODS.usable()
    for name, kind in classes.items():
        info = kind.info
        settings = ", ".join(f"{f.name}={show_value(f.default)}" for f in dataclasses.fields(kind))
        needs = ", ".join(sorted(need.value for need in info.needs)) or "nothing"
        lines.append(f"{name}  ({info.label}; {METHODS.origin(name)})")
        lines += [f"    {info.paper}"] if info.paper else []
        lines.append(f"    told: {needs}; {_way(kind)}")
        lines += [f"    settings: {settings}"] if settings else []
        lines.append(f"    licence: {info.licence}")
    return "\n".join([*lines, *_not_usable(faults)])


def _not_usable(faults: Sequence[str]) -> list[str]:
    return [f"Cannot be used: {fault}" for fault in faults]


def _way(kind: type[Method]) -> str:
    if issubclass(kind, PerImageMethod):
        return f"a fit to each image, {kind.steps:,} steps (paper {kind.paper_steps:,})"
    return "one training for all images" if issubclass(kind, LearnedMethod) else "no training"


def weights_text(folders: Sequence[Path]) -> str:
    """A listing of trained networks, folder by folder."""
    blocks = []
    for folder in weights_folders(folders):
        rows = []
        for stem, weights in sorted(read_folder(folder).items()):
            scores = weights.record.get("scores", {})
            scored = ", ".join(
                f"{where.split()[0]} {float(score['psnr']):.2f}" for where, score in sorted(scores.items())
            )
            rows.append((stem, settings_text(weights), str(weights.record["summary"]), scored))
        blocks.append(f"{folder}\n" + _columns(("file", "method", "training", "PSNR in dB"), rows))
    return "\n\n".join(blocks) or "No weights are shipped, and none were given with --weights."


def _datasets() -> str:
    rows = []
    classes, faults = DATASETS.usable()
    for name, kind in classes.items():
        count = getattr(kind, "count", "?")
        what = CHANNEL_KINDS[kind.channels] + (", real noise" if kind.real else "")
        rows.append((name, kind.title, str(count), what, str(kind.paper_repeats), kind.summary))
    note = (
        "Any folder of images is a data set too. Where they are, and whether intact: denoisebench data status;\n"
        "with a name also what there is to know of it."
    )
    table = _columns(("name", "title", "images", "kind", "paper repeats", "what it is"), rows)
    return "\n\n".join([table, note, *_not_usable(faults)])


def _noises() -> str:
    rows = [(text, parse_noise(text).title) for text in EXAMPLES.split(", ")]
    units = "sigma in 8-bit grey levels, lambda in photons at white, L in looks (speckle, variance x^2 / L)."
    return f"Forms: {FORMS}.\n{units}\n\n" + _columns(("example", "meaning"), rows)


def _networks() -> str:
    return _columns(("network", "what it is"), [(name, text) for name, (text, *_) in NETWORKS.items()])


def _columns(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    from tabulate import tabulate

    return str(tabulate(rows, heads, tablefmt="simple", disable_numparse=True))


def data_status(names: Sequence[str], data_root: Path | None) -> str:
    """One line per data set: present, partial, missing or damaged; with names also what it is, and what to do."""
    from denoisebench.data.fetch import status

    lines = []
    classes, faults = ({name: DATASETS.get(name) for name in names}, []) if names else DATASETS.usable()
    kinds = list(classes.values())
    for kind, found in zip(kinds, status(kinds, data_roots(data_root)), strict=True):
        where = f"  {found.folder}" if found.folder else ""
        count = f"{found.images:4} {f'of {found.expected:,} ' if found.state == 'partial' else ''}images"
        beside = f", and {len(found.others)} others in the folder" if found.others else ""
        lines.append(f"{found.state:8} {found.name:20} {count}{where}{beside}")
        if found.others and names:
            lines.append(f"         Not of this set: {some(found.others)}")
        # Without names this is an overview; the way to get a missing set is told when it is asked for.
        if found.message and (names or found.state == "damaged"):
            lines.append(f"         {found.message}")
        if names:
            lines += [f"         {text}" for text in (kind.summary, kind.description) if text]
            lines += [f"         Trap: {kind.traps}"] if kind.traps else []
    return "\n".join([*lines, *_not_usable(faults)])


def fetch_facts(name: str, data_root: Path | None) -> str:
    """What `fetch_dataset` would download, and from where."""
    from denoisebench.data.fetch import facts

    return facts(DATASETS.get(name), data_root or cache_root())


def fetch_dataset(name: str, data_root: Path | None, progress: Progress) -> str:
    """Fetch a data set into ``--data-root`` or the user cache, and say where it is."""
    from denoisebench.data.fetch import fetch

    root = data_root or cache_root()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"Cannot write to {root} ({error.strerror}). Choose a folder with --data-root.") from None
    return f"{name} is in {fetch(DATASETS.get(name), root, progress.say)}"


def bibtex_of(text: str) -> str:
    """BibTeX entries of the papers of methods, each once, and of this package; a comment for what has no paper.

    Parameters
    ----------
    text : str
        As ``--methods`` reads it.
    """
    from denoisebench import __version__
    from denoisebench.plugins.lookup import parse_methods, split_list

    named = split_list(text)
    entries: dict[str, None] = {}
    for method in parse_methods(text):
        if method.info.baseline and method.name not in named:
            continue
        entry = bibtex_entry(method.info.bibtex)
        entries[entry or f"% {method.name} ({method.info.label}): no paper of its own is known to denoisebench\n"] = (
            None
        )
    own = (
        "@software{denoisebench, title={denoisebench: a benchmark suite for self-supervised image denoisers}, "
        f"author={{{{The denoisebench developers}}}}, version={{{__version__}}}}}"
    )
    return "\n".join([*entries, bibtex_entry(own)])
