"""Pixels as FITS stores them."""

import numpy as np
import pytest

from snakewebb.kernels.exposure_copy import store


@pytest.mark.parametrize("flipped", [0, 1 << 31])
@pytest.mark.parametrize("size", [0, 1, 1001])
def test_words_are_stored_and_summed(size, flipped):
    words = np.random.default_rng(size).integers(0, 2**32, size, np.uint32)
    out = np.zeros(size + 1, np.uint32)
    total = store(words, flipped, out)
    stored = words ^ np.uint32(flipped)
    np.testing.assert_array_equal(out.view(">u4")[:-1], stored)
    assert total == sum(map(int, stored))
    assert out[-1] == 0
