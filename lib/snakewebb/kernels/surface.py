"""Splines through meshes, at all pixels."""

import numpy as np

from snakewebb.kernels.cache import njit

SPLINE = (
    "float64[:, ::1], int64[::1], float64[:, ::1], int64[::1], float64[:, ::1], float64, float64"
)
"""Of `spline`: all but the last argument."""


@njit(
    "void(float64[:, ::1], int64, float64[::1], int64[::1], float64[:, ::1], float64, float64, "
    "float64[::1], float32[::1])",
    cache=True,
    nogil=True,
)
def spline_row(coefficients, below, weights, below_x, weights_x, low, high, line, out):
    """Evaluate a bicubic spline in a row, see `spline`; `line` has room for a row of meshes."""
    line[:] = 0.0
    for t in range(4):
        for k in range(line.size):
            line[k] += weights[t] * coefficients[below + t, k]
    first = 0
    while first < out.size:
        # as far as the same four coefficients count
        k = below_x[first]
        end = first + np.searchsorted(below_x[first:], k + 1)
        a, b, c, d = line[k], line[k + 1], line[k + 2], line[k + 3]
        for j in range(first, end):
            value = weights_x[0, j] * a + weights_x[1, j] * b
            value += weights_x[2, j] * c + weights_x[3, j] * d
            # what min and max do, but several pixels at a time
            value = low if value < low else value
            out[j] = high if value > high else value
        first = end


@njit(f"void({SPLINE}, float32[:, ::1])", cache=True, nogil=True)
def spline(coefficients, below_y, weights_y, below_x, weights_x, low, high, out):
    """Evaluate a bicubic spline, and keep it within limits.

    Parameters
    ----------
    coefficients : (my, mx) float64
    below_y, below_x : (ny,), (nx,) int64
        First of the four coefficients that count for a row, a column.
    weights_y, weights_x : (ny, 4), (4, nx) float64
    low, high : float
        Limits.
    out : (ny, nx) float32
    """
    line = np.empty(coefficients.shape[1])
    for i in range(out.shape[0]):
        spline_row(
            coefficients, below_y[i], weights_y[i], below_x, weights_x, low, high, line, out[i]
        )


@njit(f"void({SPLINE}, float32[:, ::1])", cache=True, nogil=True, error_model="numpy")
def divide(coefficients, below_y, weights_y, below_x, weights_x, low, high, image):
    """Divide an image by a spline, in place; see `spline`."""
    line, row = np.empty(coefficients.shape[1]), np.empty(image.shape[1], np.float32)
    for i in range(image.shape[0]):
        spline_row(coefficients, below_y[i], weights_y[i], below_x, weights_x, low, high, line, row)
        for j in range(row.size):
            image[i, j] /= row[j]


@njit(
    f"void({SPLINE}, float32[:, ::1], boolean[:, ::1], float32[:, ::1])",
    cache=True,
    nogil=True,
)
def subtract(coefficients, below_y, weights_y, below_x, weights_x, low, high, data, bad, weight):
    """Subtract a spline from an image, in place; see `spline`.

    Parameters
    ----------
    data, weight : (ny, nx) float32
        Changed: 0 where there is no data.
    bad : (ny, nx) bool
        Pixels without data, beside those that are infinite or NaN or have no weight above 0.
    """
    line, row = np.empty(coefficients.shape[1]), np.empty(data.shape[1], np.float32)
    for i in range(data.shape[0]):
        spline_row(coefficients, below_y[i], weights_y[i], below_x, weights_x, low, high, line, row)
        values, weights, without = data[i], weight[i], bad[i]
        for j in range(row.size):
            value, w = values[j], weights[j]
            good = abs(value) < np.inf and w > np.float32(0) and w < np.inf and not without[j]
            values[j] = value - row[j] if good else np.float32(0)
            weights[j] = w if good else np.float32(0)
