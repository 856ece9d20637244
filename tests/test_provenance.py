"""A digest follows what code does, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from denoisebench.core import provenance
from denoisebench.core.provenance import (
    EVALUATION,
    TRAINING,
    code_digest,
    fingerprint,
    full_digest,
    machine,
    plugin_digest,
    source_digest,
    versions,
)

SOURCE = '''"""Module."""

from denoisebench.plugins.method import Info


class A:
    """Class."""

    width: int = 1

    def f(self, x):
        """Function."""
        return x + 1  # one more
'''


def digest(tmp_path: Path, text: str, function=source_digest) -> str:  # type: ignore[no-untyped-def]
    path = tmp_path / f"plugin{len(list(tmp_path.iterdir()))}.py"
    path.write_text(text, encoding="utf-8")
    return str(function(path))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Module."""', '"""Another\n\nlong text."""'),
        ('"""Module."""', ""),
        ('    """Class."""\n', ""),
        ('"""Function."""', '"""f(x) = x + 1"""'),
        ("  # one more", ""),
        ("x + 1", "(x\n            + 1)"),
        ("\n\n\nclass", "\n# a comment\nclass"),
    ],
)
def test_words_and_layout_do_not_count(old: str, new: str, tmp_path: Path) -> None:
    assert old in SOURCE
    assert digest(tmp_path, SOURCE) == digest(tmp_path, SOURCE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x + 1", "x + 2"),
        ("x + 1", "1 + x"),
        ("width: int = 1", "width: int = 2"),
        ("width: int", "height: int"),
        ("def f", "def g"),
        ("import Info", "import Need"),
        ("return x + 1", 'return x + 1, "text"'),
    ],
)
def test_code_counts(old: str, new: str, tmp_path: Path) -> None:
    assert old in SOURCE
    assert digest(tmp_path, SOURCE) != digest(tmp_path, SOURCE.replace(old, new))


def test_a_text_that_is_no_docstring_counts(tmp_path: Path) -> None:
    one, other = (f'def f():\n    """Doc."""\n    x = "{word}"\n    return x\n' for word in ("a", "b"))
    assert digest(tmp_path, one) != digest(tmp_path, other)


@pytest.mark.parametrize(
    "line",
    [
        "from denoisebench.toolbox.vst import anscombe",
        "from denoisebench.toolbox import vst",
        "import denoisebench.toolbox.vst",
        "from denoisebench.vst import anscombe",
        "from denoisebench import vst",
        "from denoisebench.methods.identity import Identity",
        "from denoisebench.methods import identity",
    ],
)
def test_a_tool_from_the_package_is_part_of_the_plugins_digest(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "plugin.py"
    path.write_text(f"{line}\n", encoding="utf-8")
    before = plugin_digest(path)
    original = provenance.source_digest

    def changed(file: Path) -> str:
        return original(file) + ("changed" if file.stem in ("vst", "identity") else "")

    monkeypatch.setattr(provenance, "source_digest", changed)
    plugin_digest.cache_clear()
    code_digest.cache_clear()
    try:
        assert plugin_digest(path) != before
    finally:
        plugin_digest.cache_clear()
        code_digest.cache_clear()


def test_the_contract_is_no_part_of_a_plugins_digest(tmp_path: Path) -> None:
    one = digest(tmp_path, "from denoisebench.plugins.method import Info\n", plugin_digest)
    assert one != digest(tmp_path, "from denoisebench.plugins.method import Need\n", plugin_digest)
    text = "from denoisebench.plugins.method import Info\nimport numpy\nfrom os import path\nfrom . import x\n"
    assert len(digest(tmp_path, text, plugin_digest)) == 64


@pytest.mark.parametrize("modules", [EVALUATION, TRAINING])
def test_every_module_of_a_list_counts(modules: tuple[str, ...]) -> None:
    digests = {code_digest(modules), *(code_digest(tuple(m for m in modules if m != name)) for name in modules)}
    assert len(digests) == 1 + len(modules)


def test_versions_name_what_is_absent() -> None:
    found = versions(["numpy", "no-such-package-at-all"])
    assert found["no-such-package-at-all"] == "absent"
    assert found["numpy"][0].isdigit()


def test_digests_do_not_depend_on_the_order_of_keys() -> None:
    assert full_digest({"a": 1, "b": [1.0, "σ"]}) == full_digest({"b": [1.0, "σ"], "a": 1})
    assert full_digest({"a": 1}) != full_digest({"a": 1.5})
    assert full_digest({"a": None}) != full_digest({"a": "None"})
    assert fingerprint({"a": 1}) == full_digest({"a": 1})[:12]


def test_a_digest_is_the_same_on_every_machine() -> None:
    known = "23e3670f344f0d80aa554809716067510dfe7728e79d9bf9a80ccc9535361502"  # by hand: {"a":true,"b":[0.1,"σ"]}
    assert full_digest({"b": [0.1, "σ"], "a": True}) == known


def test_the_record_of_the_machine_names_python_and_processor() -> None:
    found = machine()
    assert set(found) == {"python", "platform", "processor", "cores"}
    assert found["cores"] >= 1
