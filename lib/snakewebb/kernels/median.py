"""Median of images that each cover a window of the output, and which of just two values counts."""

import numpy as np

from snakewebb.kernels.cache import njit
from snakewebb.kernels.drizzle import MARGIN

COLUMNS = 128
"""Pixels of a row whose values are sorted at once; they stay in a core's nearest cache."""


@njit(cache=True, nogil=True)
def _sort(values, count):
    """Sort the first ``count`` values of each column, by the same exchanges in all of them.

    Batcher's merge exchange (Knuth, The Art of Computer Programming 3, 5.2.2, algorithm M).
    """
    top = 1
    while 2 * top < count:
        top *= 2
    p = top if count > 1 else 0
    while p > 0:
        q, r, d = top, 0, p
        while True:
            for k in range(count - d):
                if k & p == r:
                    one, other = values[k], values[k + d]
                    for i in range(COLUMNS):
                        a, b = one[i], other[i]
                        one[i] = a if a < b else b
                        other[i] = b if a < b else a
            if q == p:
                break
            d, q, r = q - p, q // 2, p
        p //= 2


@njit(
    "void(float64[:, :, ::1], int64, int64, float32, float32[:, ::1])",
    cache=True,
    nogil=True,
    error_model="numpy",
)
def weighted_means(sums, top, left, least, out):
    """Put the image of one exposure that was drizzled into a window, NaN where it weighs little.

    Parameters
    ----------
    sums : (h + 2 MARGIN, w + 2 MARGIN, 2) float64
        See `snakewebb.kernels.drizzle.drizzle_square`.
    top, left : int
        Where they lie in ``out``; columns beyond it are left out.
    least : float
        The least weight.
    out : (ny, nx) float32
    """
    for r in range(sums.shape[0] - 2 * MARGIN):
        line = out[top + r]
        for c in range(max(-left, 0), min(sums.shape[1] - 2 * MARGIN, line.size - left)):
            weight, total = sums[r + MARGIN, c + MARGIN]
            enough = (np.float32(weight) >= least) & (np.float32(weight) != np.float32(0.0))
            line[left + c] = total / weight if enough else np.nan


@njit(
    "void(float32[::1], int64[:, ::1], float64[::1], float32[:, ::1], float32[:, ::1], "
    "float32[:, ::1], float32[:, ::1])",
    cache=True,
    nogil=True,
    error_model="numpy",
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
    found = np.empty((max(n, 1), COLUMNS), np.float32)
    counts = np.empty(COLUMNS, np.int64)
    for j in range(ny):
        here = 0
        for k in range(n):
            y0, y1, x0, x1, offset = windows[k]
            if y0 <= j < y1:
                first[here], last[here] = x0, x1
                start[here] = offset + (j - y0) * (x1 - x0) - x0
                here += 1
        for left in range(0, nx, COLUMNS):
            right = min(left + COLUMNS, nx)
            count = 0
            counts[:] = 0
            for k in range(here):
                begin, end = max(first[k], left), min(last[k], right)
                if begin >= end:
                    continue
                line = found[count]
                if end - begin < COLUMNS:
                    line[:] = np.inf
                for i in range(begin, end):
                    value = values[start[k] + i]
                    line[i - left] = value if value == value else np.float32(np.inf)
                    counts[i - left] += value == value
                count += 1
            _sort(found, count)
            for i in range(left, right):
                m = counts[i - left]
                lowest = found[0, i - left]
                if m > 2:
                    below, upper = found[m // 2 - 1, i - left], found[m // 2, i - left]
                    between = np.float32(0.5 * (np.float64(below) + np.float64(upper)))
                    low[j, i] = upper if m % 2 else between
                    others[j, i] = between if m % 2 else below
                    high[j, i] = low[j, i]
                    spread[j, i] = (found[m - 2 - m // 8, i - left] - lowest) / ranges[m]
                    continue
                others[j, i], spread[j, i] = np.nan, 0.0
                low[j, i] = lowest if m > 0 else np.nan
                high[j, i] = found[1, i - left] if m == 2 else np.nan


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
