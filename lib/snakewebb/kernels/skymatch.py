"""Pixels within an outline, and the sky level of a set of pixels."""

import numpy as np

from snakewebb.kernels.cache import njit

MEAN, MEDIAN, MODE, MIDPT = range(4)
BINS = 4096  # in which a median is sought
LANES = 16  # independent partial sums, which a processor adds up at once
KERNEL = 4.0  # standard deviation of the mode's Gaussian kernel, bins
NEAR = 1e4  # standard deviations from the mean: squares about it are right to a part in 1e8
MOST_ORIGINS = 8


@njit("void(float64[::1], float64[::1], boolean[:, ::1])", cache=True, nogil=True)
def fill_polygon(x, y, inside):
    """Mark the pixels whose centres are inside a polygon.

    Even-odd rule, row by row. A centre exactly on the outline counts if the polygon is at its
    right or, on a horizontal edge, above it.

    Parameters
    ----------
    x, y : (n,) float64
        Vertices, 0-based pixel coordinates; the last one is joined to the first.
    inside : (ny, nx) bool
        Set to True inside, left alone elsewhere.
    """
    ny, nx = inside.shape
    n = x.size
    crossings = np.empty(n)
    first = max(int(np.ceil(max(y.min(), -1.0))), 0)
    last = min(int(np.floor(min(y.max(), float(ny)))), ny - 1)
    for row in range(first, last + 1):
        found = 0
        for i in range(n):
            k = i + 1 if i + 1 < n else 0
            if (y[i] <= row) != (y[k] <= row):
                crossing = x[i] + (row - y[i]) / (y[k] - y[i]) * (x[k] - x[i])
                at = found
                while at > 0 and crossings[at - 1] > crossing:
                    crossings[at] = crossings[at - 1]
                    at -= 1
                crossings[at] = crossing
                found += 1
        for i in range(0, found - 1, 2):
            start = int(np.ceil(min(max(crossings[i], 0.0), float(nx))))
            stop = int(np.ceil(min(max(crossings[i + 1], 0.0), float(nx))))
            inside[row, start:stop] = True


@njit("int64(float32[:, ::1], boolean[:, ::1], float32[::1])", cache=True, nogil=True)
def gather(image, inside, values):
    """Copy the finite pixels of an image that are inside, in order.

    Parameters
    ----------
    image : (ny, nx) float32
    inside : (ny, nx) bool
    values : (ny * nx,) float32
        Filled from its start.

    Returns
    -------
    int
        How many were copied.
    """
    n = 0
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            value = image[row, column]
            if inside[row, column] and np.isfinite(value):
                values[n] = value
                n += 1
    return n


@njit(
    "Tuple((int64, float64, float64))(float32[::1], float64, float64, float64)",
    cache=True,
    nogil=True,
)
def _moments_about(values, low, high, origin):
    """Return what `moments` does, by sums about an origin, float64."""
    number = np.zeros(LANES)
    total = np.zeros(LANES)
    square = np.zeros(LANES)
    whole = values.size - values.size % LANES
    for i in range(0, whole, LANES):
        for k in range(LANES):
            value = np.float64(values[i + k])
            one = 1.0 if (value >= low) & (value <= high) else 0.0
            distance = (value - origin) * one
            number[k] += one
            total[k] += distance
            square[k] += distance * distance
    for i in range(whole, values.size):
        value = np.float64(values[i])
        if (value >= low) & (value <= high):
            number[0] += 1.0
            total[0] += value - origin
            square[0] += (value - origin) ** 2
    n = number.sum()
    if n == 0.0:
        return 0, np.nan, np.nan
    mean = total.sum() / n
    variance = max(square.sum() - n * mean * mean, 0.0) / max(n - 1.0, 1.0)
    return int(n), origin + mean, np.sqrt(variance)


@njit(
    "Tuple((int64, float64, float64))(float32[::1], float64, float64, float64)",
    cache=True,
    nogil=True,
)
def moments(values, low, high, origin):
    """Return number, mean and standard deviation (n − 1) of the values from low to high.

    Parameters
    ----------
    values : (n,) float32
    low, high : float
        Limits, included.
    origin : float
        A value near the mean, which keeps the sum of squares exact. Where it was not near, as
        after a first pass with a pixel of 1e30, it is done again about what it gave.
    """
    n, mean, std = _moments_about(values, low, high, origin)
    for _ in range(MOST_ORIGINS):
        if n == 0 or np.abs(mean - origin) <= NEAR * std:
            break
        origin = mean
        n, mean, std = _moments_about(values, low, high, origin)
    return n, mean, std


@njit(
    "Tuple((float64, float64[::1], float64))(float32[::1], float64, float64, float64)",
    cache=True,
    nogil=True,
)
def histogram(values, low, high, width):
    """Count the values from low to high in bins of a width that begin at the lowest of them.

    Returns
    -------
    start : float64
        The lowest value.
    counts : (bins,) float64
        A single bin, wide enough for all, where the width is 0 or more than their range.
    width : float64
        Of the bins.
    """
    start = np.inf
    end = -np.inf
    for value in values:
        if (value >= low) & (value <= high):
            start = min(start, np.float64(value))
            end = max(end, np.float64(value))
    if not 0.0 < width <= end - start:
        return start, np.full(1, float(values.size)), end - start
    counts = np.zeros(int((end - start) / width) + 1)
    for value in values:
        if (value >= low) & (value <= high):
            counts[int((np.float64(value) - start) / width)] += 1.0
    return start, counts, width


@njit("float64(float64[::1])", cache=True, nogil=True)
def peak(counts):
    """Return where a histogram smoothed with a Gaussian is highest, in bins from its start.

    The kernel estimate of a mode (Parzen 1962, Annals of Mathematical Statistics 33, 1065).
    """
    reach = int(4 * KERNEL)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / KERNEL) ** 2)
    smooth = np.zeros(counts.size)
    for i in range(counts.size):
        for k in range(max(i - reach, 0), min(i + reach + 1, counts.size)):
            smooth[i] += counts[k] * kernel[k - i + reach]
    top = int(np.argmax(smooth))
    if top == 0 or top == counts.size - 1:
        return top + 0.5
    left = smooth[top] - smooth[top - 1]
    right = smooth[top] - smooth[top + 1]
    return top + 0.5 + (0.5 * (left - right) / (left + right) if left + right > 0.0 else 0.0)


@njit("float64(float64[::1])", cache=True, nogil=True)
def middle(counts):
    """Return where half of a histogram's counts are below, in bins from its start."""
    half = 0.5 * counts.sum()
    below = 0.0
    i = 0
    while below + counts[i] < half:
        below += counts[i]
        i += 1
    return i + (half - below) / counts[i]


@njit("float64(float32[::1], float64, float64, int64)", cache=True, nogil=True)
def median(values, low, high, n):
    """Return the median of the values from low to high, of which there are n.

    Values are counted in bins, and only those in the bins of the middle are sorted.
    """
    start, end = np.inf, -np.inf
    for value in values:
        if (value >= low) & (value <= high):
            start = min(start, np.float64(value))
            end = max(end, np.float64(value))
    if start == end:
        return start
    scale = BINS / (end - start)
    counts = np.zeros(BINS + 1, np.int64)
    for value in values:
        if (value >= low) & (value <= high):
            counts[int((np.float64(value) - start) * scale)] += 1
    first, below = 0, 0
    while below + counts[first] <= (n - 1) // 2:
        below += counts[first]
        first += 1
    last, inside = first, counts[first]
    while below + inside <= n // 2:
        last += 1
        inside += counts[last]
    middle_values = np.empty(inside)
    k = 0
    for value in values:
        if (value >= low) & (value <= high):
            place = int((np.float64(value) - start) * scale)
            if (place >= first) & (place <= last):
                middle_values[k] = value
                k += 1
    middle_values.sort()
    return 0.5 * (middle_values[(n - 1) // 2 - below] + middle_values[n // 2 - below])


@njit(
    "Tuple((float64, int64))(float32[::1], int64, float64, float64, int64, float64, float64, "
    "float64)",
    cache=True,
    nogil=True,
)
def sky_statistic(values, statistic, lower, upper, nclip, lsigma, usigma, binwidth):
    """Return the sky level of some pixels, and how many of them it is of.

    Parameters
    ----------
    values : (n,) float32
        Finite.
    statistic : int
        MEAN, MEDIAN, MODE or MIDPT of what is left after clipping.
    lower, upper : float
        Limits that clipping never exceeds, included; may be infinite.
    nclip : int
        Clipping passes.
    lsigma, usigma : float
        Limits below and above the mean, in standard deviations.
    binwidth : float
        Of the histogram for MODE and MIDPT, in standard deviations.

    Returns
    -------
    level : float64
        NaN where no pixel is left.
    npix : int
    """
    if values.size == 0:
        return np.nan, 0
    low, high = lower, upper
    n, mean, std = moments(values, low, high, np.float64(values[0]))
    for _ in range(nclip):
        before = low, high
        low = max(lower, mean - lsigma * std)
        high = min(upper, mean + usigma * std)
        if n == 0 or before == (low, high):
            break
        n, mean, std = moments(values, low, high, mean)
    if n == 0 or statistic == MEAN:
        return mean, n
    if statistic == MEDIAN:
        return median(values, low, high, n), n
    start, counts, width = histogram(values, low, high, binwidth * std)
    return start + width * (peak(counts) if statistic == MODE else middle(counts)), n
