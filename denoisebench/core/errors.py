"""Errors that a user can mend: shown as one sentence, never as a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

#: Characters of a message that are shown.
_LONGEST = 500


class UserError(Exception):
    """A mistake in what the user gave: a name, a value, a file. Ends the program with exit code 2."""


class ContractError(Exception):
    """A plugin broke the contract it declared. Fails its cell; other cells go on."""


class TrainingFailed(Exception):  # noqa: N818 - reads as an event, which is what it is
    """Training produced no usable network (NaN or divergence). Fails its cell; other cells go on."""


def explain(error: BaseException) -> str:
    """An exception as one phrase of bounded length, also one whose own text cannot be had."""
    try:
        text = " ".join(str(error).split())
    except BaseException:
        text = "its message cannot be shown"
    kind = type(error).__name__
    return f"{kind}: {text if len(text) <= _LONGEST else text[:_LONGEST] + '...'}" if text else kind


def unknown(kind: str, name: str, known: Iterable[str], hint: str = "") -> UserError:
    """An error for a name that does not exist: nearest spelling first, then every allowed value."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    guess = f" Did you mean {close[0]!r}?" if close else ""
    allowed = f" Allowed: {', '.join(names)}." if names else ""
    return UserError(f"Unknown {kind} {name!r}.{guess}{allowed}{' ' + hint if hint else ''}")
