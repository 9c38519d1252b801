"""Splines through meshes, at all pixels."""

import numpy as np

from snakewebb.kernels.cache import njit


@njit(
    "void(float64[:, ::1], int64[::1], float64[:, ::1], int64[::1], float64[:, ::1], float64, "
    "float64, float32[:, ::1])",
    cache=True,
    nogil=True,
)
def spline(coefficients, below_y, weights_y, below_x, weights_x, low, high, out):
    """Evaluate a bicubic spline, and keep it within limits.

    Parameters
    ----------
    coefficients : (my, mx) float64
    below_y, below_x : (ny,), (nx,) int64
        First of the four coefficients that count for a row, a column.
    weights_y, weights_x : (ny, 4), (nx, 4) float64
    low, high : float
        Limits.
    out : (ny, nx) float32
    """
    line = np.empty(coefficients.shape[1])
    for i in range(out.shape[0]):
        line[:] = 0.0
        for t in range(4):
            for k in range(line.size):
                line[k] += weights_y[i, t] * coefficients[below_y[i] + t, k]
        for j in range(out.shape[1]):
            k = below_x[j]
            value = weights_x[j, 0] * line[k] + weights_x[j, 1] * line[k + 1]
            value += weights_x[j, 2] * line[k + 2] + weights_x[j, 3] * line[k + 3]
            out[i, j] = min(max(value, low), high)
