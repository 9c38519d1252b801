"""Apertures on blank sky."""

import numpy as np

from snakewebb.kernels.cache import njit


@njit(
    "void(float32[:, ::1], float32[:, ::1], boolean[:, ::1], float64[::1], float64[::1], float64, "
    "float64, float64, float64[::1], float64, boolean[::1])",
    cache=True,
    nogil=True,
)
def find_blank(data, err, bad, x, y, radius, inner, outer, sky, limit, blank):
    """Find out where an aperture sees the sky alone.

    Parameters
    ----------
    data, err : (ny, nx) float32
    bad : (ny, nx) bool
        No such pixel is in a blank aperture, and at most half of its annulus are.
    x, y : (n,) float64
        0-based pixels.
    radius, inner, outer : float
        Of the aperture and of the annulus in which its sky is measured.
    sky : (n,) float64
    limit : float
        No square of three by three pixels with its middle in the aperture, or a pixel beyond, is
        brighter than this, in units of its error, were those of pixels independent.
    blank : (n,) bool
        Filled.
    """
    ny, nx = data.shape
    wide = radius + 1.0
    for k in range(x.size):
        blank[k] = False
        reach = int(np.ceil(outer))
        row, column = int(np.floor(y[k] + 0.5)), int(np.floor(x[k] + 0.5))
        if row <= reach or column <= reach or row >= ny - reach - 1 or column >= nx - reach - 1:
            continue
        if not np.isfinite(sky[k]):
            continue
        good = True
        known = 0
        lost = 0
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
                if not total <= limit * np.sqrt(variance):
                    good = False
                if not good:
                    break
            if not good:
                break
        blank[k] = good and lost <= known
