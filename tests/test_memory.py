"""Reuse of freed memory."""

from __future__ import annotations

import platform
import sys

import pytest

from denoisebench.core.memory import keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_it_takes_effect_with_glibc() -> None:
    assert keep_freed_memory()


def test_it_does_nothing_on_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
