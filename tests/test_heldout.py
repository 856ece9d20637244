"""Photographs on which a training is measured: a mean that JSON can hold, whatever the network returns."""

from __future__ import annotations

import numpy as np

from denoisebench.training.heldout import HeldOut


def test_pieces_that_equal_their_reference_are_in_no_mean() -> None:
    pieces = [np.full((16, 16, 1), value, np.uint8) for value in (10, 20)]
    held = HeldOut({}, pieces)
    exact = np.stack(pieces) / np.float32(255)
    assert held._psnr(exact) is None
    off = exact.copy()
    off[1] += np.float32(1 / 255)
    assert held._psnr(off) == 48.1308, "the mean square error is 1"
