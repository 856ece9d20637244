"""Errors that a user can mend: shown as one sentence, never as a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

#: Characters of a message that are shown.
_LONGEST = 500


class UserError(Exception):
    """A mistake in what the user gave: a name, a value, a file. Ends the program with exit code 2."""


class UserErrors(UserError):  # noqa: N818 - several of them
    """Several mistakes at once.

    Parameters
    ----------
    errors : sequence of UserError
        The mistakes, in the order in which they were found.
    """

    def __init__(self, errors: Sequence[UserError]) -> None:
        super().__init__("\n".join(map(str, errors)))
        self.errors = tuple(errors)

    def __reduce__(self) -> tuple[type[UserErrors], tuple[Sequence[UserError]]]:
        return type(self), (self.errors,)


class Mistakes:
    """Collects what is wrong with values that are read one after the other, so that all of it is told at once."""

    def __init__(self) -> None:
        self._found: list[UserError] = []

    def read(self, fallback: T, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a function returns; ``fallback``, and a mistake noted, if it raises a `UserError`."""
        try:
            return read(*args, **kwargs)
        except UserError as error:
            self.note(error)
            return fallback

    def note(self, error: UserError) -> None:
        """Add a mistake, once."""
        for one in error.errors if isinstance(error, UserErrors) else (error,):
            if str(one) not in map(str, self._found):
                self._found.append(one)

    def check(self) -> None:
        """Raise what was found, if anything was.

        Raises
        ------
        UserError
            The mistake, or `UserErrors` for several.
        """
        if self._found:
            raise self._found[0] if len(self._found) == 1 else UserErrors(self._found)


class ContractError(Exception):
    """A plugin broke the contract it declared. Fails its cell; other cells go on."""


class TrainingFailed(Exception):  # noqa: N818 - reads as an event, which is what it is
    """Training produced no usable network (NaN or divergence). Fails its cell; other cells go on."""


def reason_of(error: Exception) -> str:
    """What a library said, on one line; the kind of its exception where it said nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def explain(error: BaseException) -> str:
    """An exception as one phrase of bounded length, also one whose own text cannot be had."""
    try:
        text = " ".join(str(error).split())
    except BaseException:
        text = "its message cannot be shown"
    kind = type(error).__name__
    if isinstance(error, UserError | ContractError | TrainingFailed):  # a sentence by itself
        return text or kind
    return f"{kind}: {text if len(text) <= _LONGEST else text[:_LONGEST] + '...'}" if text else kind


def no_folder(path: Path, hint: str = "") -> UserError:
    """An error for a path where a folder is needed and none is."""
    what = f"{path} is a file, and a folder is needed" if path.exists() else f"Folder {path} does not exist"
    return UserError(f"{what}.{' ' + hint if hint else ''}")


def unknown(kind: str, name: object, known: Iterable[str], hint: str = "") -> UserError:
    """An error for what is no allowed name: nearest spelling first, then every allowed value."""
    names = sorted(known)
    folded: dict[str, list[str]] = {}
    for each in names:
        folded.setdefault(each.casefold(), []).append(each)
    given = name if isinstance(name, str) else ""
    close = difflib.get_close_matches(given.casefold(), folded, n=1, cutoff=0.5)
    # Of names that differ in capitals alone the one whose capitals are like those that were written.
    alike = difflib.get_close_matches(given, folded[close[0]], n=1, cutoff=0.0) if close else []
    guess = f" Did you mean {alike[0]!r}?" if alike else ""
    allowed = f" Allowed: {', '.join(names)}." if names else ""
    return UserError(f"Unknown {kind} {name!r}.{guess}{allowed}{' ' + hint if hint else ''}")
