"""Apertures on blank sky."""

import numpy as np

from snakewebb.kernels.cache import njit


@njit(
    "void(float32[:, ::1], float32[:, ::1], boolean[:, ::1], float64[::1], float64[::1], float64, "
    "float64, float64, float64[::1], float64[::1], float64[::1])",
    cache=True,
    nogil=True,
)
def brightest_nine(data, err, bad, x, y, radius, inner, outer, sky, middle, brightest):
    """Find the brightest square of three by three pixels in apertures, which is a source, or noise.

    Brightness is that above the sky, in units of its error, were those of pixels independent.

    Parameters
    ----------
    data, err : (ny, nx) float32
    bad : (ny, nx) bool
        Apertures with such a pixel, or with one in more than half of their annulus, do not count.
    x, y : (n,) float64
        0-based pixels.
    radius, inner, outer : float
        Of the aperture and of the annulus in which its sky is measured.
    sky : (n,) float64
    middle, brightest : (n,) float64
        Filled: of the square in the middle, and of the brightest one with its middle in the
        aperture, or a pixel beyond. NaN for apertures that do not count.
    """
    ny, nx = data.shape
    wide = radius + 1.0
    for k in range(x.size):
        middle[k] = brightest[k] = np.nan
        reach = int(np.ceil(outer))
        row, column = int(np.floor(y[k] + 0.5)), int(np.floor(x[k] + 0.5))
        if row <= reach or column <= reach or row >= ny - reach - 1 or column >= nx - reach - 1:
            continue
        if not np.isfinite(sky[k]):
            continue
        good = True
        known = 0
        lost = 0
        most = -np.inf
        centre = np.nan
        for i in range(row - reach, row + reach + 1):
            for j in range(column - reach, column + reach + 1):
                square = (j - x[k]) ** 2 + (i - y[k]) ** 2
                if inner**2 <= square < outer**2:
                    if bad[i, j]:
                        lost += 1
                    else:
                        known += 1
                if square > wide**2:
                    continue
                total = 0.0
                variance = 0.0
                for u in range(i - 1, i + 2):
                    for v in range(j - 1, j + 2):
                        if bad[u, v]:
                            good = False
                        total += data[u, v] - sky[k]
                        variance += np.float64(err[u, v]) ** 2
                good = good and variance > 0.0
                if not good:
                    break
                brightness = total / np.sqrt(variance)
                most = max(most, brightness)
                if i == row and j == column:
                    centre = brightness
            if not good:
                break
        if good and lost <= known:
            middle[k] = centre
            brightest[k] = most
