"""Light of point-like sources in an exposure."""

import numpy as np

from snakewebb.kernels.background import sort
from snakewebb.kernels.cache import njit

SEEN = 0.6
"""Least share of the window that has data."""
LEAST_SKY = 20
"""Pixels of sky, at least."""


@njit("float64(uint32)", cache=True, nogil=True)
def native(word):
    """Return the number that the bytes of a big-endian one are."""
    low, high = (word & 0xFF) << 24 | (word & 0xFF00) << 8, word >> 8 & 0xFF00 | word >> 24
    return np.float64(np.uint32(low | high).view(np.float32))


@njit(
    "void(Array(uint32, 2, 'C', readonly=True), Array(uint32, 2, 'C', readonly=True), "
    "float64[:, ::1], float64, float64, float64, float64[:, ::1])",
    cache=True,
    nogil=True,
)
def window_fluxes(image, err, places, sigma, inner, outer, out):
    """Measure the light of stars through a Gaussian window.

    Parameters
    ----------
    image, err : (ny, nx) uint32
        As files have them, for few pixels are looked at: bytes of big-endian single precision.
        Pixels that are not finite are bad; errors are taken for independent.
    places : (n, 2) float64
        0-based pixels, x first.
    sigma : float
        Of the window, pixels.
    inner, outer : float
        Radii between which the median is the sky.
    out : (n, 2) float64
        Filled: what fits the window best in units of its peak, and its error; NaN where too little
        has data.
    """
    ny, nx = image.shape
    reach = int(np.ceil(outer)) + 1
    values = np.empty((2 * reach + 1) ** 2, np.float32)
    across = np.empty(2 * reach + 1)
    for k in range(places.shape[0]):
        out[k] = np.nan
        x, y = places[k]
        if not (-0.5 < x < nx - 0.5 and -0.5 < y < ny - 0.5):
            continue
        column, row = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
        whole = seen = light = power = variance = 0.0
        n = 0
        for t in range(across.size):
            across[t] = np.exp(-0.5 * ((column - reach + t - x) / sigma) ** 2)
        for i in range(row - reach, row + reach + 1):
            along = np.exp(-0.5 * ((i - y) / sigma) ** 2)
            for j in range(column - reach, column + reach + 1):
                square = (j - x) ** 2 + (i - y) ** 2
                if square >= outer * outer:
                    continue
                is_sky = square >= inner * inner
                window = 0.0 if is_sky else along * across[j - column + reach]
                whole += window
                if not (0 <= i < ny and 0 <= j < nx):
                    continue
                value, error = native(image[i, j]), native(err[i, j])
                if not (np.isfinite(value) and np.isfinite(error) and error > 0.0):
                    continue
                if is_sky:
                    values[n] = value
                    n += 1
                seen += window
                light += window * value
                power += window * window
                variance += (window * error) ** 2
        if n < LEAST_SKY or seen < SEEN * whole:
            continue
        part = values[:n]
        sort(part)
        light -= seen * 0.5 * (np.float64(part[(n - 1) // 2]) + np.float64(part[n // 2]))
        out[k, 0], out[k, 1] = light / power, np.sqrt(variance) / power
