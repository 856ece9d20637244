"""A file of the user's own as an array whose axes have names, and the planes of it that a method is given."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from denoisebench.core.errors import UserError

Array = npt.NDArray[Any]
#: Index of a plane in the array of its file.
Index = tuple[int | slice, ...]
Channels = Literal["auto", "together", "apart"]

#: Names of axes that hold the channels of a pixel: samples of a colour, or channels of a microscope.
CHANNEL_AXES = "SC"
_COLOURS = (3,)
_LETTERS = "one capital letter per axis, Y and X among them, S or C for channels, such as ZYX, TCYX or YXS"


class ToConvert(UserError):  # noqa: N818 - reads as what is to be done
    """A file that methods cannot take as it is, and that may be converted if somebody says so.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        What it is, such as a palette image.
    """

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path} is {what}; give --convert to have it made gray or RGB, or convert it yourself.")
        self.path, self.what = path, what

    def __reduce__(self) -> tuple[type[ToConvert], tuple[Path, str]]:
        return type(self), (self.path, self.what)


@dataclass(frozen=True)
class Stack:
    """What a file holds.

    Parameters
    ----------
    path : Path
        Where it was read.
    data : ndarray
        As stored, but upright: unsigned or signed integers, or floats.
    axes : str
        A letter for each axis of ``data``.
    write : callable
        Takes a path and data of the same shape and type, and writes a file like the one that was read.
    suffix : str
        Ending of what ``write`` makes.
    notes : sequence of str
        What the user should know, such as what was converted.
    levels : (float, float) or None
        Black and white of the camera, where the file says them.
    """

    path: Path
    data: Array
    axes: str
    write: Callable[[Path, Array], None]
    suffix: str
    notes: Sequence[str] = ()
    levels: tuple[float, float] | None = None


@dataclass(frozen=True)
class Layout:
    """How an array falls into planes.

    Parameters
    ----------
    axes : str
        Names of its axes.
    shape : tuple of int
        Their lengths.
    together : bool
        Whether the channels of a pixel are one image, or an image each.
    """

    axes: str
    shape: tuple[int, ...]
    together: bool
    _inside: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        channel = next((letter for letter in CHANNEL_AXES if letter in self.axes), "")
        object.__setattr__(self, "_inside", "YX" + (channel if self.together else ""))

    @property
    def inside(self) -> str:
        """The axes of a plane: Y, X, and that of the channels if they are together."""
        return self._inside

    @property
    def planes(self) -> list[Index]:
        """The index of every plane, in the order in which they are stored."""
        outside = [1 if letter in self._inside else side for letter, side in zip(self.axes, self.shape, strict=True)]
        return [
            tuple(slice(None) if letter in self._inside else at for letter, at in zip(self.axes, place, strict=True))
            for place in np.ndindex(*outside)
        ]

    def view(self, data: Array, index: Index) -> Array:
        """A plane of ``data`` as (H, W, C), in the memory of ``data``."""
        left = [letter for letter in self.axes if letter in self._inside]
        plane = data[index].transpose([left.index(letter) for letter in self._inside])
        return plane if plane.ndim == 3 else plane[:, :, None]

    @property
    def channels(self) -> int:
        """Of a plane."""
        return self.shape[self.axes.index(self._inside[2])] if len(self._inside) > 2 else 1

    def name(self, index: Index) -> str:
        """Which plane it is: 'Z 3, C 0'; '' of the only one."""
        named = zip(self.axes, index, self.shape, strict=True)
        return ", ".join(f"{letter} {at}" for letter, at, side in named if isinstance(at, int) and side > 1)


def layout_of(stack: Stack, channels: Channels) -> Layout:
    """The planes of a file: three samples of a colour are one image, channels of a microscope one each, unless said."""
    colour = "S" in stack.axes and stack.data.shape[stack.axes.index("S")] in _COLOURS
    together = colour if channels == "auto" else channels == "together"
    return Layout(stack.axes, stack.data.shape, together)


def check_axes(axes: str, shape: Sequence[int], path: Path) -> str:
    """Names of axes that were given by the user, if they fit an array.

    Raises
    ------
    UserError
        They are no names, or another number of them.
    """
    upper = axes.upper()
    if not upper.isascii() or not upper.isalpha() or len(set(upper)) < len(upper) or not {"Y", "X"} <= set(upper):
        raise UserError(f"--axes {axes!r} cannot be used; give {_LETTERS}.")
    if len(set(upper) & set(CHANNEL_AXES)) > 1:
        raise UserError(f"--axes {axes!r} has both S and C, and a pixel has one axis of channels; use another letter.")
    if len(upper) != len(shape):
        sides = "x".join(map(str, shape))
        raise UserError(f"{path} has {len(shape)} axes ({sides}), but --axes {axes} names {len(upper)}.")
    return upper


def need_package(name: str, extra: str, path: Path) -> Any:
    """A package that only files of one kind need.

    Parameters
    ----------
    name : str
        Of the module.
    extra : str
        Of the dependencies of this package that has it.
    path : Path
        The file, for the message.

    Raises
    ------
    UserError
        It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError(
            f"{path} needs the package {name.partition('.')[0]}, which is not installed: pip install "
            f'"denoisebench[{extra}]".'
        ) from None


def axes_asked(shape: Sequence[int], path: Path) -> UserError:
    """What to say where the axes are not known."""
    sides = "x".join(map(str, shape))
    return UserError(f"{path} has the shape {sides} and does not say what its axes are; give --axes: {_LETTERS}.")
