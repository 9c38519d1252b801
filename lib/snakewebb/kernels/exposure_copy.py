"""Pixels as FITS stores them."""

import numpy as np

from snakewebb.kernels.cache import njit


@njit("uint64(uint32[::1], uint32, uint32[::1])", cache=True, nogil=True)
def store(words, flipped, out):
    """Write words of 32 bits with their bytes in the order of FITS, and add them up.

    Parameters
    ----------
    words : (n,) uint32
        In the order of bytes of a little-endian machine.
    flipped : int
        Bits that are stored as their opposites.
    out : (n,) uint32
        The result.

    Returns
    -------
    int
        The sum of the words as they are stored. Of less than 2**32 words it is exact.
    """
    total = np.uint64(0)
    for k in range(words.size):
        word = words[k] ^ flipped
        total += word
        middle = ((word >> np.uint32(8)) & np.uint32(0xFF00)) | (
            (word << np.uint32(8)) & np.uint32(0xFF0000)
        )
        out[k] = (word >> np.uint32(24)) | middle | (word << np.uint32(24))
    return total
