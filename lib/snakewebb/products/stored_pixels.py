"""Pixels as a FITS file stores them, with their check sum."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from snakewebb.io.checksums import PIECE
from snakewebb.kernels.exposure_copy import store

SIGN = 1 << 31
"""What FITS, which has no unsigned integers, adds to them."""


def stored_pieces(plane: np.ndarray) -> Iterator[tuple[memoryview, int]]:
    """Yield pixels as they are to be written, piece by piece, each with the sum of its words.

    Parameters
    ----------
    plane : (..., nx) array of float32, int32 or uint32
        Native and C-contiguous.

    Yields
    ------
    data : memoryview
        To be written before the next piece is asked for, which takes the same memory.
    total : int
    """
    words, flipped = plane.ravel().view(np.uint32), SIGN if plane.dtype.kind == "u" else 0
    out = np.empty(min(PIECE // 4, words.size), np.uint32)
    for start in range(0, words.size, PIECE // 4):
        piece = words[start : start + PIECE // 4]
        total = int(store(piece, flipped, out))
        yield out[: piece.size].data, total
