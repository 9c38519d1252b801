"""Median of images that each cover a window of the output, and which of just two values counts."""

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


@njit("UniTuple(float32, 3)(float32[::1], int64)", cache=True, nogil=True)
def _medians(values, count):
    """Return the median of the first ``count`` values, that of all but the highest, and the range.

    They are three or more, and are reordered. The range is that of all but the highest one and the
    highest eighth.
    """
    middle = count // 2
    _select(values, count, middle)
    below = lowest = values[0]
    for k in range(1, middle):
        below, lowest = max(below, values[k]), min(lowest, values[k])
    upper = values[middle]
    between = np.float32(0.5 * (np.float64(below) + np.float64(upper)))
    top = count - 2 - count // 8
    if top > middle:
        _select(values, count, top)
    if count % 2:
        return upper, between, values[top] - lowest
    return between, below, values[top] - lowest


@njit(
    "void(float32[::1], int64[:, ::1], float64[::1], float32[:, ::1], float32[:, ::1], "
    "float32[:, ::1], float32[:, ::1])",
    cache=True,
    nogil=True,
)
def median_of_windows(values, windows, ranges, low, high, others, spread):
    """Take medians, pixel by pixel, of the images that cover a pixel and are not NaN there.

    Parameters
    ----------
    values : (size,) float32
        The images, one behind the other, each in C order.
    windows : (n, 5) int64
        Of each image: first and last (excluded) row and column of the result that it covers, and
        where it starts in ``values``.
    ranges : (n + 1,) float64
        The range that counts as 1, of 0, 1, … n values; see `snakewebb.mosaicking.median`.
    low, high : (ny, nx) float32
        The result: both are the median (of an even number of values the mean of the two central
        ones), but of just two values the lower and the higher. Of a single one, which nothing
        confirms, ``high`` is NaN; where there is none both are.
    others : (ny, nx) float32
        The result: the median of all values but the highest one; NaN where there are less than
        three.
    spread : (ny, nx) float32
        The result: the range of all values but the highest one and the highest eighth, over that of
        ``ranges``; 0 where there are less than three.
    """
    n = windows.shape[0]
    ny, nx = low.shape
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
            if count > 2:
                low[j, i], others[j, i], spread[j, i] = _medians(found, count)
                high[j, i], spread[j, i] = low[j, i], spread[j, i] / ranges[count]
                continue
            others[j, i], spread[j, i] = np.nan, 0.0
            if count == 2:
                low[j, i], high[j, i] = min(found[0], found[1]), max(found[0], found[1])
            else:
                low[j, i], high[j, i] = found[0] if count else np.nan, np.nan


REACH = 4
"""Rows and columns at which `choose_of_two` looks."""
RINGS = np.array(
    [
        [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)],
        [(-3, -3), (-4, 0), (-3, 3), (0, -4), (0, 4), (3, -3), (4, 0), (3, 3)],
    ]
)
"""Steps, rows first, to the pixels of two rings about one: points show on the small one, what is
several pixels wide on the large one."""


@njit("void(float32[:, ::1], float32[:, ::1], int64, float32[:, ::1])", cache=True, nogil=True)
def choose_of_two(low, high, top, out):
    """Choose, where there are just two values, the one that sticks out less from the sky around it.

    On each of ``RINGS`` the lower value sticks out by what it lies below all the higher values, the
    higher one by what it lies above all the lower ones. So a cosmic ray is told from a cold pixel
    or from the negative image of a star that subtraction of another exposure leaves, on slopes as
    well. Where neither sticks out more, as on a star, the lower one counts: cosmic rays add light.

    Parameters
    ----------
    low, high : (h, nx) float32
        Of `median_of_windows`. Pixels without ``high`` tell nothing of others.
    top : int
        The row of these that is the first of ``out``. ``REACH`` rows above and below those of
        ``out`` count, where they are there.
    out : (ny, nx) float32
        The result: ``low`` or ``high``.
    """
    height, nx = low.shape
    for j in range(out.shape[0]):
        for i in range(nx):
            a, b = low[top + j, i], high[top + j, i]
            out[j, i] = a
            if not b > a:
                continue
            below = above = 0.0
            for ring in RINGS:
                lowest, highest = np.float32(np.inf), np.float32(-np.inf)
                for dj, di in ring:
                    y, x = top + j + dj, i + di
                    if 0 <= y < height and 0 <= x < nx and not np.isnan(high[y, x]):
                        lowest, highest = min(lowest, high[y, x]), max(highest, low[y, x])
                if lowest < np.inf:
                    below += max(np.float64(lowest) - a, 0.0)
                    above += max(np.float64(b) - highest, 0.0)
            if below > above:
                out[j, i] = b
