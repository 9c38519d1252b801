"""Errors of positions in correlated noise."""

import numpy as np

from snakewebb.kernels.cache import njit
from snakewebb.kernels.centroids import REACH
from snakewebb.kernels.covariance import quadratic_form

GRID = 1024.0
"""Parts of a pixel to which a position is rounded: the same in all windows, to the bit."""


@njit(
    "void(float32[:, ::1], float32[:, ::1], float64, float64[::1], float64[::1], "
    "float32[:, :, :, ::1], int64, int64, int64, float64[:, ::1])",
    cache=True,
    nogil=True,
)
def position_variances(image, err, sigma, x, y, kernels, step, top, left, out):
    """Find the variances of windowed centroids, which are maxima of a Gaussian-filtered image.

    There the light g under the window times the distance from its middle sums up to 0. Noise changes
    this sum by its own, and the position by that over the slope of the sum.

    Parameters
    ----------
    image, err : (ny, nx) float32
        Without background, NaN where there is nothing; and the standard deviation of each pixel. As
        in `snakewebb.kernels.centroids.windowed_centroids` the pixel opposite stands for a NaN one.
    sigma : float
        Of the window, pixels.
    x, y : (n,) float64
        The positions, 0-based.
    kernels, step, top, left
        See `snakewebb.kernels.covariance.quadratic_form`; row and column are those of the images.
    out : (n, 3) float64
        Filled: variances of x and y and their covariance; NaN where there is no maximum, or the
        noise is not known.
    """
    ny, nx = image.shape
    half = int(np.ceil(REACH * sigma))
    side = 2 * half + 1
    for k in range(x.size):
        out[k] = np.nan
        column, row = int(np.floor(x[k] + 0.5)), int(np.floor(y[k] + 0.5))
        cx, cy = np.rint((x[k] - column) * GRID) / GRID, np.rint((y[k] - row) * GRID) / GRID
        across, up = np.zeros((side, side)), np.zeros((side, side))
        xx = yy = xy = 0.0
        for i in range(side):
            for j in range(side):
                r, c = row + i - half, column + j - half
                dx, dy = j - half - cx, i - half - cy
                square = (dx * dx + dy * dy) / (sigma * sigma)
                if square > REACH * REACH:
                    continue
                # its own value, or that of the pixel opposite, which then counts the other way
                if not (0 <= r < ny and 0 <= c < nx) or np.isnan(image[r, c]):
                    r = row + int(np.floor(2.0 * cy - (i - half) + 0.5))
                    c = column + int(np.floor(2.0 * cx - (j - half) + 0.5))
                    if not (0 <= r < ny and 0 <= c < nx) or np.isnan(image[r, c]):
                        continue
                window = np.exp(-0.5 * square)
                light = window * image[r, c]
                xx += light * (1.0 - dx * dx / (sigma * sigma))
                yy += light * (1.0 - dy * dy / (sigma * sigma))
                xy -= light * dx * dy / (sigma * sigma)
                noise = window * np.float64(err[r, c])
                r, c = r - row + half, c - column + half
                if 0 <= r < side and 0 <= c < side:
                    across[r, c] += noise * dx
                    up[r, c] += noise * dy
        determinant = xx * yy - xy * xy
        if not (determinant > 0.0 and xx > 0.0):
            continue
        place = kernels, step, top + row - half, left + column - half
        a, b = quadratic_form(across, *place), quadratic_form(up, *place)
        both = (quadratic_form(across + up, *place) - a - b) / 2.0
        # the inverse of the slopes, on both sides
        out[k, 0] = (yy * yy * a - 2.0 * yy * xy * both + xy * xy * b) / determinant**2
        out[k, 1] = (xx * xx * b - 2.0 * xx * xy * both + xy * xy * a) / determinant**2
        out[k, 2] = ((xx * yy + xy * xy) * both - xy * yy * a - xx * xy * b) / determinant**2
