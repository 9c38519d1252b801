"""Statistics along rings about a star."""

import numpy as np

from snakewebb.kernels.cache import njit


@njit("void(float64, float64[::1])", cache=True, nogil=True, inline="always")
def cubic_weights(t, weights):
    """Weigh the four B-spline coefficients round a point, ``t`` after the second of them."""
    rest = 1.0 - t
    weights[0] = rest * rest * rest / 6.0
    weights[1] = 2.0 / 3.0 - t * t * (2.0 - t) / 2.0
    weights[2] = 2.0 / 3.0 - rest * rest * (2.0 - rest) / 2.0
    weights[3] = t * t * t / 6.0


@njit(
    "void(float64[:, ::1], boolean[:, ::1], float64, float64, float64, float64[::1], float64[::1], "
    "int64, float64[::1], float64[::1], int64[::1])",
    cache=True,
    nogil=True,
)
def ring_statistics(coefficients, good, x0, y0, spacing, x, y, first, mean, std, count):
    """Compare points with others at the same distance from the star, a resolution element apart.

    Parameters
    ----------
    coefficients : (ny, nx) float64
        Of the image's cubic B-spline (`scipy.ndimage.spline_filter`, mode mirror).
    good : (ny, nx) bool
        What may be compared with; that of the nearest pixel counts.
    x0, y0 : float
        The star, 0-based pixels.
    spacing : float
        Distance of neighbours along the ring, at least; pixels.
    x, y : (m,) float64
        The points.
    first : int
        0 to compare with all places, 1 to leave out the point's own, 2 its neighbours' too.
    mean, std : (m,) float64
        The results; std has n - 1 in the denominator. NaN if fewer than 2 places are good.
    count : (m,) int64
        How many places were good.
    """
    ny, nx = coefficients.shape
    weight_x = np.empty(4)
    weight_y = np.empty(4)
    for k in range(x.size):
        dx = x[k] - x0
        dy = y[k] - y0
        places = int(np.floor(2.0 * np.pi * np.hypot(dx, dy) / spacing))
        step = 2.0 * np.pi / max(places, 1)
        n = 0
        total = 0.0
        squares = 0.0
        for place in range(first, places - max(first - 1, 0)):
            c = np.cos(step * place)
            s = np.sin(step * place)
            u = x0 + c * dx - s * dy
            v = y0 + s * dx + c * dy
            i = int(np.floor(u))
            j = int(np.floor(v))
            if i < 1 or j < 1 or i > nx - 3 or j > ny - 3:
                continue
            if not good[int(np.floor(v + 0.5)), int(np.floor(u + 0.5))]:
                continue
            cubic_weights(u - i, weight_x)
            cubic_weights(v - j, weight_y)
            value = 0.0
            for row in range(4):
                along = 0.0
                for column in range(4):
                    along += weight_x[column] * coefficients[j - 1 + row, i - 1 + column]
                value += weight_y[row] * along
            # Welford 1962 (Technometrics 4, 419)
            n += 1
            change = value - total
            total += change / n
            squares += change * (value - total)
        count[k] = n
        mean[k] = total if n > 1 else np.nan
        std[k] = np.sqrt(squares / (n - 1)) if n > 1 else np.nan
