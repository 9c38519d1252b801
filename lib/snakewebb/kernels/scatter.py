"""Local scatter round single pixels."""

import numpy as np
from numba import njit


@njit("void(float64[:, ::1], int64[::1], int64[::1], int64, float64[::1])", cache=True, nogil=True)
def local_scatter(deviations, rows, columns, half, out):
    """Take the median of what is neither 0 nor NaN in a box round each of some pixels.

    Parameters
    ----------
    deviations : (ny, nx) float64
        Not negative.
    rows, columns : (n,) int64
        The pixels; a pixel itself does not count.
    half : int
        Half the side of the box.
    out : (n,) float64
        NaN where nothing counts.
    """
    ny, nx = deviations.shape
    values = np.empty((2 * half + 1) ** 2)
    for n in range(rows.size):
        j, i = rows[n], columns[n]
        size = 0
        for b in range(max(j - half, 0), min(j + half + 1, ny)):
            for a in range(max(i - half, 0), min(i + half + 1, nx)):
                if deviations[b, a] > 0 and not (b == j and a == i):
                    values[size] = deviations[b, a]
                    size += 1
        out[n] = np.median(values[:size]) if size else np.nan
