"""Bad pixels filled from their neighbours."""

import numpy as np
from numba import njit


@njit("int64(float64[:, ::1], boolean[:, ::1], int64)", cache=True, nogil=True)
def fill(image, known, half):
    """Give each pixel that is not known the median of the known ones round it, in place.

    In every pass all pixels with a known one within ``half`` rows and columns are filled, from
    those known before the pass; then they count as known. So no order of pixels matters, and wide
    gaps close from their rims.

    Parameters
    ----------
    image : (ny, nx) float64
    known : (ny, nx) bool
        All True afterwards, unless none is known.
    half : int
        Half the side of the box, at least 1.

    Returns
    -------
    int
        Pixels that stay unknown: all or none.
    """
    ny, nx = image.shape
    values = np.empty((2 * half + 1) ** 2)
    rows, columns = np.nonzero(~known)
    count = rows.size
    found = np.empty(count)
    while count:
        left, filled = 0, 0
        for n in range(count):
            j, i = rows[n], columns[n]
            size = 0
            for b in range(max(j - half, 0), min(j + half + 1, ny)):
                for a in range(max(i - half, 0), min(i + half + 1, nx)):
                    if known[b, a]:
                        values[size] = image[b, a]
                        size += 1
            if size:
                found[n] = np.median(values[:size])
                filled += 1
            else:
                found[n] = np.nan
        if filled == 0:
            return count
        for n in range(count):
            j, i = rows[n], columns[n]
            if np.isnan(found[n]):
                rows[left], columns[left] = j, i
                left += 1
            else:
                image[j, i] = found[n]
                known[j, i] = True
        count = left
    return 0
