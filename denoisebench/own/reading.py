"""Which files a command is given, who reads each, and where its result goes."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from denoisebench.core.errors import Mistakes, UserError
from denoisebench.core.systemfiles import own_entries
from denoisebench.own import camera, czi, mrc
from denoisebench.own.stack import Stack
from denoisebench.protocol.imagefiles import FORMATS
from denoisebench.protocol.images import some

_TIFF, _NUMPY = (".tif", ".tiff"), (".npy", ".npz")
SUFFIXES = (*FORMATS, *_NUMPY, *camera.SUFFIXES, *mrc.SUFFIXES, *czi.SUFFIXES)
#: The axis of captures of one view that are files of their own: the first of these that the files have not.
CAPTURE_AXES = "QRIT"
_OTHERS: Mapping[str, str] = {
    ".nd2": "export it as OME-TIFF", ".lif": "export it as OME-TIFF",
    ".oib": "export it as OME-TIFF", ".oif": "export it as OME-TIFF", ".ims": "export it as OME-TIFF",
    ".dm3": "save it as TIFF", ".dm4": "save it as TIFF",
    ".fits": "save it as TIFF or .npy", ".dcm": "save it as TIFF", ".nii": "save it as TIFF or .npy",
    ".heic": "save it as PNG or TIFF", ".gif": "save it as PNG", ".jp2": "save it as PNG or TIFF",
}  # fmt: skip


def read_stack(path: Path, axes: str | None = None, convert: bool = False) -> Stack:
    """Read one file of the user's own.

    Parameters
    ----------
    path : Path
        Its ending says what it is: one of `SUFFIXES`.
    axes : str or None
        Names of the axes, such as ZYX; None for what the file says itself.
    convert : bool
        Whether palettes, CMYK and alpha channels may be converted.

    Raises
    ------
    UserError
        It cannot be read, or holds no image of numbers.
    """
    suffix = path.suffix.lower()
    if not path.is_file():
        raise UserError(f"{path} does not exist." if not os.path.lexists(path) else f"{path} is no regular file.")
    stack = _reader(path, suffix)(path, axes, convert)
    kind = stack.data.dtype
    if kind.kind not in "uif":
        raise UserError(f"{path} holds values of type {kind}; allowed are integers and floats.")
    if not stack.data.size:
        raise UserError(f"{path} is empty: its shape is {'x'.join(map(str, stack.data.shape))}.")
    return stack


def read_view(paths: Sequence[Path], axes: str | None = None, convert: bool = False) -> Stack:
    """Read the captures of one view as one stack, along a first axis that the files have not; one file as it is.

    Parameters
    ----------
    paths : sequence of Path
        Files of equal shape, type and axes.
    axes : str or None
        Names of the axes of each.
    convert : bool
        As in `read_stack`.

    Raises
    ------
    UserError
        One cannot be read, or they differ.
    """
    first, *others = stacks = [read_stack(path, axes, convert) for path in paths]
    for other in others:
        told = [f"{one.axes} {'x'.join(map(str, one.data.shape))} {one.data.dtype}" for one in (first, other)]
        if told[0] != told[1]:
            raise UserError(
                f"{other.path} is {told[1]}, and {first.path}, which is to show the same view, is {told[0]}."
            )
    if not others:
        return first
    letter = next(letter for letter in CAPTURE_AXES if letter not in first.axes)
    data = np.stack([one.data for one in stacks])
    notes = list(dict.fromkeys(note for one in stacks for note in one.notes))
    return replace(first, data=data, axes=letter + first.axes, notes=notes)


def _reader(path: Path, suffix: str) -> Callable[[Path, str | None, bool], Stack]:
    from denoisebench.own import arrays, picture, tiff

    if suffix in _TIFF:
        return tiff.read_tiff
    if suffix in _NUMPY:
        return lambda path, axes, convert: arrays.read_array(path, axes)
    if suffix in FORMATS:
        return picture.read_picture
    for suffixes, read in (
        (camera.SUFFIXES, camera.read_raw), (mrc.SUFFIXES, mrc.read_mrc), (czi.SUFFIXES, czi.read_czi),
    ):  # fmt: skip
        if suffix in suffixes:
            return read
    mend = _OTHERS.get(suffix, f"allowed are {', '.join(SUFFIXES)}")
    raise UserError(f"{path} cannot be read: {mend}.")


@dataclass(frozen=True)
class Found:
    """The files that texts of a command line name.

    Parameters
    ----------
    files : sequence of (Path, Path)
        Each file, and its path below the folder of results; without an ending of the result's own.
    left_out : sequence of str
        Names of what lies beside them in folders and is not read.
    """

    files: Sequence[tuple[Path, Path]]
    left_out: Sequence[str]


def find_files(given: Sequence[str]) -> Found:
    """Files, folders (what is directly in them) and patterns such as ``stacks/*.tif``.

    Parameters
    ----------
    given : sequence of str
        As on the command line.

    Raises
    ------
    UserError
        One of them names nothing.
    """
    mistakes = Mistakes()
    files: dict[Path, Path] = {}
    left: list[str] = []
    for text in given:
        for path in mistakes.read([], _named, text):
            if path.is_dir():
                inside = [one for one in own_entries(path) if not one.is_dir()]
                read = [one for one in inside if one.suffix.lower() in SUFFIXES]
                left += [one.name for one in inside if one not in read]
                if not read:
                    also = f"; it holds {some([one.name for one in inside])}" if inside else ""
                    mistakes.note(UserError(f"Folder {path} holds no image ({', '.join(SUFFIXES)}){also}."))
                files |= {one.absolute(): one for one in read}
            else:
                files[path.absolute()] = path
    mistakes.check()
    return Found(_targets(list(files.values())), left)


def _named(text: str) -> list[Path]:
    """The paths of one text; a name that exists is that, whatever characters it has."""
    if not text:
        raise UserError("One of the files is empty; name a file or a folder, or '.' for the current folder.")
    path = Path(text)
    if os.path.lexists(path):
        return [path]
    found = [Path(one) for one in sorted(glob.glob(text))] if glob.has_magic(text) else []
    if not found:
        raise UserError(f"{text} does not exist." if not glob.has_magic(text) else f"No file fits {text}.")
    return found


def _targets(files: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Results have the names of their files; where names are equal, also the folders in which the files differ."""
    if len({path.name for path in files}) == len(files):
        return [(path, Path(path.name)) for path in files]
    common = os.path.commonpath([path.absolute().parent for path in files])
    return [(path, path.absolute().relative_to(common)) for path in files]
