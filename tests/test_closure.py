"""A digest follows what code does and what its names refer to, and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from denoisebench.core.closure import Code
from denoisebench.core.errors import UserError

START = "denoisebench.start"
SOURCE = '''\
"""Module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from denoisebench.tool import scale, unused

if TYPE_CHECKING:
    from denoisebench.nowhere import Thing

LIMIT = 3


class A:
    """Class."""

    width: int = 1

    def f(self, x):
        """Function."""
        from denoisebench.inner import shift

        y = "text"
        return np.abs(scale(x) + 1) + shift(x)  # one more
'''
FILES = {
    "start": SOURCE,
    "tool": "FACTOR = 2\ndef scale(x):\n    return FACTOR * x\ndef unused(x):\n    return x\n",
    "inner": "def shift(x):\n    return x + 1\n",
    "other": "def scale(x):\n    return -x\n",
}
Digest = Callable[..., str]


def write(folder: Path, files: dict[str, str]) -> Path:
    root = folder / "denoisebench"
    for name, text in files.items():
        path = root / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
    return root


@pytest.fixture
def digest(tmp_path: Path) -> Digest:
    """Digest of the closure of `START`, with some files of the package written otherwise."""

    def of(entry: str = START, opaque: tuple[str, ...] = (), **changed: str) -> str:
        root = write(tmp_path / str(len(list(tmp_path.iterdir()))), FILES | changed)
        code = Code([root])
        return code.digest(code.closure([entry], opaque), opaque)

    return of


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Module."""', ""),
        ('    """Class."""\n', ""),
        ('"""Function."""', '"""f(x) = x + 1"""'),
        ("  # one more", ""),
        ("scale(x) + 1)", "scale(x)\n            + 1)"),
        ("\n\n\nclass", "\n# a comment\nclass"),
        ("from __future__ import annotations\n", ""),
        ("import scale, unused", "import scale"),
        ("from denoisebench.nowhere import Thing", "from denoisebench.nowhere import Other"),
        ("import numpy as np\n\nfrom denoisebench.tool", "from denoisebench.tool"),
    ],
)
def test_words_layout_and_unused_imports_do_not_count(old: str, new: str, digest: Digest) -> None:
    assert SOURCE.count(old) == 1
    changed = SOURCE.replace(old, new)
    if "np" not in new and "numpy" in old:
        changed = changed.replace("        y =", "        import numpy as np\n\n        y =")
    assert digest() == digest(**{"start": changed})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("+ 1)", "+ 2)"),
        ("scale(x) + 1", "1 + scale(x)"),
        ("width: int = 1", "width: int = 1.0"),
        ("width: int = 1", "width: int = True"),
        ("width: int", "height: int"),
        ("LIMIT = 3", "LIMIT = 4"),
        ('y = "text"', 'y = "other"'),
        ("def f", "def g"),
        ("import numpy as np", "import torch as np"),
        ("from denoisebench.tool import scale, unused", "from denoisebench.other import scale"),
        ("import scale, unused", "import unused as scale"),
    ],
)
def test_code_and_what_its_names_refer_to_count(old: str, new: str, digest: Digest) -> None:
    assert SOURCE.count(old) == 1
    extra = "from denoisebench import tool, other\n"
    one, two = SOURCE + extra, SOURCE.replace(old, new) + extra
    assert digest(**{"start": one}) != digest(**{"start": two})


@pytest.mark.parametrize("name", ["tool", "inner"])
def test_every_imported_module_counts(name: str, digest: Digest) -> None:
    assert digest() != digest(**{name: FILES[name].replace("return ", "return -")})


def test_a_constant_behind_an_imported_function_counts(digest: Digest) -> None:
    assert digest() != digest(tool=FILES["tool"].replace("FACTOR = 2", "FACTOR = 3"))


def test_code_may_move(digest: Digest) -> None:
    moved = SOURCE.replace("denoisebench.tool", "denoisebench.rooms.tools").replace(
        "denoisebench.inner", ".rooms.inner"
    )
    moved = moved.replace("from .rooms", "from denoisebench.rooms")
    split = {"start": moved, "rooms/tools": FILES["tool"], "rooms/inner": FILES["inner"]}
    assert digest() == digest(**split)


def test_a_module_may_be_split(digest: Digest) -> None:
    factor, rest = FILES["tool"].split("\n", 1)
    again = SOURCE.replace("import scale, unused", "import scale")
    parts = {"start": again, "tool": f"from denoisebench.constants import FACTOR\n{rest}", "constants": factor}
    assert digest() == digest(**parts)
    assert digest() != digest(**(parts | {"constants": "FACTOR = 3"}))


def test_a_function_taken_through_another_module_is_the_same(digest: Digest) -> None:
    through = {"start": SOURCE.replace("denoisebench.tool", "denoisebench.door"), "door": "from .tool import *\n"}
    named = through | {"door": "from denoisebench.tool import scale, unused\n"}
    assert digest() == digest(**named)
    assert digest(**through) != digest(**(through | {"tool": FILES["tool"].replace("FACTOR * x", "x")}))


def test_a_missing_module_is_an_error(digest: Digest) -> None:
    with pytest.raises(UserError, match=r"start.py imports denoisebench.gone, which does not exist"):
        digest(**{"start": "from denoisebench.gone import x\n"})
    with pytest.raises(UserError, match=r"no module denoisebench\.never"):
        digest(entry="denoisebench.never")


def test_a_computed_name_reaches_all_it_can_or_is_an_error(digest: Digest) -> None:
    start = 'import importlib\ndef f(n):\n    return importlib.import_module(f"denoisebench.nets.{n}")\n'
    before = digest(**{"start": start, "nets/one": "A = 1", "nets/two": "B = 1"})
    assert before != digest(**{"start": start, "nets/one": "A = 1", "nets/two": "B = 2"})
    with pytest.raises(UserError, match="cannot be read off the code"):
        digest(**{"start": start.replace('f"denoisebench.nets.{n}"', "n")})


def test_packages_around_a_module_count(digest: Digest) -> None:
    start = "from denoisebench.room.tool import scale\ndef f(x):\n    return scale(x)\n"
    files = {"start": start, "room/tool": FILES["tool"]}
    plain = digest(**(files | {"room/__init__": '"""A room."""\n'}))
    assert plain == digest(**files)
    assert plain != digest(**(files | {"room/__init__": "import numpy\nnumpy.seterr(all='ignore')\n"}))


def test_relative_imports_are_followed(digest: Digest) -> None:
    files = {
        "start": "from denoisebench.room import deep\ndef f(x):\n    return deep.g(x)\n",
        "room/__init__": "",
        "room/deep": "from ..tool import scale\nfrom . import near\ndef g(x):\n    return scale(x) + near.h(x)\n",
        "room/near": "def h(x):\n    return x\n",
    }
    before = digest(**files)
    assert before != digest(**(files | {"tool": FILES["tool"].replace("FACTOR * x", "x")}))
    assert before != digest(**(files | {"room/near": "def h(x):\n    return 2 * x\n"}))


def test_only_names_taken_from_opaque_modules_count(digest: Digest) -> None:
    opaque = ("denoisebench.tool",)
    before = digest(opaque=opaque)
    assert before == digest(opaque=opaque, tool="def scale(x):\n    return 0\n")
    assert before != digest(opaque=opaque, **{"start": SOURCE.replace("scale", "scaled")})


# --- a user's own modules ---


def users_digest(path: Path, name: str = "") -> str:
    code = Code([], {name or path.stem: path})
    return code.digest(code.closure([name or path.stem]))


def write_at(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_helper_beside_a_plugin_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    plugin = write_at(tmp_path / "my_plugin.py", "import my_helper\ndef f(x):\n    return my_helper.STRENGTH * x\n")
    helper = write_at(tmp_path / "my_helper.py", "from my_deep import STRENGTH\n")
    deep = write_at(tmp_path / "my_deep.py", "STRENGTH = 0.99\n")
    before = users_digest(plugin)
    write_at(deep, "# a comment\nSTRENGTH = 0.99\n")
    assert users_digest(plugin) == before
    write_at(deep, "STRENGTH = 0.5\n")
    assert users_digest(plugin) != before
    write_at(helper, "STRENGTH = 0.99\n")
    assert users_digest(plugin) != before


def test_a_package_that_is_edited_in_place_counts_and_an_installed_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = write_at(tmp_path / "plugin.py", "from my_package.inner import f\ndef g(x):\n    return f(x)\n")
    digests = {}
    for place in ("checkout", "site-packages"):
        monkeypatch.syspath_prepend(str(tmp_path / place))
        write_at(tmp_path / place / "my_package" / "__init__.py", "")
        for result in ("x", "2 * x"):
            write_at(tmp_path / place / "my_package" / "inner.py", f"def f(x):\n    return {result}\n")
            digests[place, result] = users_digest(plugin)
    assert len({digest for (place, _), digest in digests.items() if place == "checkout"}) == 2
    assert len({digest for (place, _), digest in digests.items() if place == "site-packages"}) == 1


def test_a_plugins_own_package_counts_wherever_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site-packages" / "own_package"
    monkeypatch.syspath_prepend(str(folder.parent))
    write_at(folder / "__init__.py", "")
    plugin = write_at(folder / "plugin.py", "from . import tool\ndef g(x):\n    return tool.f(x)\n")
    tool = write_at(folder / "tool.py", "def f(x):\n    return x\n")
    before = users_digest(plugin, "own_package.plugin")
    write_at(tool, "def f(x):\n    return -x\n")
    assert users_digest(plugin, "own_package.plugin") != before


@pytest.mark.parametrize(
    "line",
    [
        'importlib.import_module("late_helper")',
        'importlib.import_module("late_" + name)',
        'importlib.util.spec_from_file_location("x", name)',
    ],
)
def test_a_module_that_is_imported_by_a_function_counts(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    plugin = write_at(tmp_path / "late.py", f"import importlib.util\ndef f(name):\n    return {line}\n")
    helper = write_at(tmp_path / "late_helper.py", "A = 1\n")
    before = users_digest(plugin)
    write_at(helper, "A = 2\n")
    assert users_digest(plugin) != before


def test_what_is_installed_is_named_and_the_standard_library_is_not(tmp_path: Path) -> None:
    plugin = write_at(
        tmp_path / "p.py", "import os.path\nimport numpy.linalg\nfrom scipy import ndimage\nimport absent_x\n"
    )
    code = Code([], {"p": plugin})
    assert code.outside(code.closure(["p"])) == {"numpy", "scipy", "absent_x"}


def test_nothing_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    plugin = write_at(tmp_path / "quiet.py", "import loud_helper\n")
    write_at(tmp_path / "loud_helper.py", "raise RuntimeError\n")
    assert users_digest(plugin)
    assert not {"quiet", "loud_helper"} & set(sys.modules)
