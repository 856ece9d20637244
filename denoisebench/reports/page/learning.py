"""Learning curves of the networks behind a page's scores, from the records beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from denoisebench.core.errors import UserError
from denoisebench.core.text import plain
from denoisebench.reports.figures.curves import AXES, Curve, curves_of, heading, names, read_curves
from denoisebench.results.store import Store, StoredCell
from denoisebench.training.weights import Shelf, weights_folders


def learning_curves(store: Store, cells: Sequence[StoredCell]) -> tuple[list[dict[str, Any]], list[str]]:
    """Curves of the trainings of a results folder, and of the weights that its cells used and that can be found here.

    Parameters
    ----------
    store : Store
        The results folder.
    cells : Sequence[StoredCell]
        Its finished cells.

    Returns
    -------
    tuple[list[dict[str, Any]], list[str]]
        A panel for each noise and set of held-out images, and sentences about networks without a curve.
    """
    curves: list[Curve] = []
    said: list[str] = []
    if any(store.models.glob("*.json")):
        try:
            curves, said, damaged = read_curves([store.folder])
            said += damaged
        except UserError as error:
            said = [str(error)]
    for sha256 in dict.fromkeys(_weights_of(cells)):
        found = _of_weights(sha256)
        curves += found
        if not found:
            methods = ", ".join(dict.fromkeys(c.about["label"] for c in cells if _weights_of([c]) == [sha256]))
            said.append(f"{methods}: weights {sha256[:12]} are not at hand, or have no scores on held-out images.")
    return _panels(curves), [plain(text) for text in said]


def _panels(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    panels: dict[tuple[str, int, str], list[dict[str, Any]]] = {}
    for name, curve in zip(names(curves), curves, strict=True):
        along = {axis: curve.values(key) for axis, (key, _) in AXES.items()}
        noisy = min(curve.values("noisy"))
        panels.setdefault(curve.panel, []).append(
            {"name": plain(name), "label": plain(curve.label), "psnr": curve.psnr, "noisy": noisy, **along}
        )
    return [{"title": plain(heading(p)), "noise": plain(p[0]), "curves": lines} for p, lines in panels.items()]


def _weights_of(cells: Sequence[StoredCell]) -> list[str]:
    """SHA-256 of the weights that cells used."""
    trainings = (cell.identity.get("training") or {} for cell in cells)
    return [str(training["weights"]) for training in trainings if training.get("weights")]


def _of_weights(sha256: str) -> list[Curve]:
    try:
        weights = Shelf(weights_folders()).with_hash(sha256)
        return [] if weights is None else curves_of(weights.path.with_suffix(".json"))
    except UserError:
        return []
