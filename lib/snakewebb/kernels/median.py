"""Median of images that each cover a window of the output."""

import numpy as np

from snakewebb.kernels.cache import njit


@njit("void(float32[::1], int64, int64)", cache=True, nogil=True)
def _select(values, count, k):
    """Reorder so that none before ``values[k]`` is greater and none behind smaller.

    Hoare 1961, Algorithm 65: Find (CACM 4, 321).
    """
    low, high = 0, count - 1
    while low < high:
        pivot = values[k]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if j < k:
            low = i
        if k < i:
            high = j


@njit("float32(float32[::1], int64)", cache=True, nogil=True)
def _median(values, count):
    """Return the median of the first ``count`` values, which it reorders."""
    if count == 0:
        return np.float32(np.nan)
    if count == 2:
        return min(values[0], values[1])
    middle = count // 2
    _select(values, count, middle)
    if count % 2:
        return values[middle]
    below = values[0]
    for k in range(1, middle):
        below = max(below, values[k])
    return np.float32(0.5 * (np.float64(below) + np.float64(values[middle])))


@njit("void(float32[::1], int64[:, ::1], float32[:, ::1])", cache=True, nogil=True)
def median_of_windows(values, windows, out):
    """Take the median, pixel by pixel, of the images that cover a pixel and are not NaN there.

    Parameters
    ----------
    values : (size,) float32
        The images, one behind the other, each in C order.
    windows : (n, 5) int64
        Of each image: first and last (excluded) row and column of ``out`` that it covers, and
        where it starts in ``values``.
    out : (ny, nx) float32
        The median: of an even number of values the mean of the two central ones, but of just two
        the smaller; NaN where there is no value.
    """
    n = windows.shape[0]
    ny, nx = out.shape
    first = np.empty(n, np.int64)
    last = np.empty(n, np.int64)
    start = np.empty(n, np.int64)
    found = np.empty(n, np.float32)
    for j in range(ny):
        here = 0
        for k in range(n):
            y0, y1, x0, x1, offset = windows[k]
            if y0 <= j < y1:
                first[here], last[here] = x0, x1
                start[here] = offset + (j - y0) * (x1 - x0) - x0
                here += 1
        for i in range(nx):
            count = 0
            for k in range(here):
                if first[k] <= i < last[k]:
                    value = values[start[k] + i]
                    if not np.isnan(value):
                        found[count] = value
                        count += 1
            out[j, i] = _median(found, count)
