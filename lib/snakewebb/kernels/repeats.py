"""Separations of pairs of stars that several exposures see."""

import numpy as np

from snakewebb.kernels.cache import njit


@njit(
    "int64(float64[::1], float64[::1], float64, float64, int64, int64[::1], int64[::1])",
    cache=True,
    nogil=True,
)
def pair_up(x, y, low, high, most, first, second):
    """Find pairs of points at distances from ``low`` to ``high``.

    Parameters
    ----------
    x, y : (n,) float64
        In order of y.
    low, high : float
    most : int
        Pairs that a point has with points after it, at most. Of more every so many-th in order of y
        is one, so that pairs lie in all directions.
    first, second : (m,) int64
        Filled.

    Returns
    -------
    int
        How many were filled.
    """
    found = 0
    for i in range(x.size):
        stop, count = i + 1, 0
        while stop < x.size and y[stop] - y[i] <= high:
            square = (x[stop] - x[i]) ** 2 + (y[stop] - y[i]) ** 2
            count += low * low <= square <= high * high
            stop += 1
        kept = min(count, most, first.size - found)
        share = count // 2
        for j in range(i + 1, stop):
            square = (x[j] - x[i]) ** 2 + (y[j] - y[i]) ** 2
            if low * low <= square <= high * high:
                share += kept
                if share >= count:
                    share -= count
                    first[found] = i
                    second[found] = j
                    found += 1
    return found


@njit(
    "void(int64[::1], int64[::1], float64[::1], float64[::1], int64[::1], int64[::1], "
    "float64[::1], float64[::1], float64[::1], int64[::1])",
    cache=True,
    nogil=True,
)
def pair_scatter(first, second, along_x, along_y, start, exposure, east, north, std, number):
    """Measure how far the separations of pairs of stars scatter over exposures that see both.

    Parameters
    ----------
    first, second : (m,) int64
        The stars of pairs.
    along_x, along_y : (m,) float64
        Unit vector from the first to the second.
    start : (n + 1,) int64
        Where the sightings of stars begin, and end.
    exposure : (k,) int64
        Of sightings, in order for each star.
    east, north : (k,) float64
        Where the star was seen.
    std : (m,) float64
        Filled with the standard deviation, n - 1 in the denominator; NaN for fewer than 2.
    number : (m,) int64
        Filled with the number of exposures that see both.
    """
    for pair in range(first.size):
        a, b = start[first[pair]], start[second[pair]]
        end_a, end_b = start[first[pair] + 1], start[second[pair] + 1]
        n = 0
        mean = 0.0
        squares = 0.0
        while a < end_a and b < end_b:
            if exposure[a] < exposure[b]:
                a += 1
            elif exposure[b] < exposure[a]:
                b += 1
            else:
                length = along_x[pair] * (east[b] - east[a])
                length += along_y[pair] * (north[b] - north[a])
                # Welford 1962 (Technometrics 4, 419)
                n += 1
                change = length - mean
                mean += change / n
                squares += change * (length - mean)
                a += 1
                b += 1
        number[pair] = n
        std[pair] = np.sqrt(squares / (n - 1)) if n > 1 else np.nan
