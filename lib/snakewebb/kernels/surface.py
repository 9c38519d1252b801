"""Splines through meshes, at all pixels."""

import numpy as np

from snakewebb.kernels.cache import njit

SPLINE = (
    "float64[:, ::1], int64[::1], float64[:, ::1], int64[::1], float64[:, ::1], int64, float64, "
    "float64"
)
"""Of `spline`: all but the last argument."""


@njit(
    "void(float64[:, ::1], int64, float64[::1], int64[::1], float64[:, ::1], int64, float64, "
    "float64, float64[::1], float32[::1])",
    cache=True,
    nogil=True,
)
def spline_row(coefficients, below, weights, below_x, weights_x, phase, low, high, line, out):
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
        part, place = out[first:end], (phase + first) % weights_x.shape[1]
        # of rows, which lie in one piece: so several pixels are done at a time
        of_a, of_b = weights_x[0, place:], weights_x[1, place:]
        of_c, of_d = weights_x[2, place:], weights_x[3, place:]
        for j in range(part.size):
            value = of_a[j] * a + of_b[j] * b
            value += of_c[j] * c + of_d[j] * d
            # what min and max do, but several pixels at a time
            value = low if value < low else value
            part[j] = high if value > high else value
        first = end


@njit(f"void({SPLINE}, float32[:, ::1])", cache=True, nogil=True)
def spline(coefficients, below_y, weights_y, below_x, weights_x, phase, low, high, out):
    """Evaluate a bicubic spline, and keep it within limits.

    Parameters
    ----------
    coefficients : (my, mx) float64
    below_y, below_x : (ny,), (nx,) int64
        First of the four coefficients that count for a row, a column.
    weights_y, weights_x : (ny, 4), (4, width) float64
        Those of columns for one after the other of those that the same four count for.
    phase : int
        Which of these the first column is.
    low, high : float
        Limits.
    out : (ny, nx) float32
    """
    line = np.empty(coefficients.shape[1])
    for i in range(out.shape[0]):
        k, weights, row = below_y[i], weights_y[i], out[i]
        spline_row(coefficients, k, weights, below_x, weights_x, phase, low, high, line, row)


@njit(f"void({SPLINE}, float32[:, ::1])", cache=True, nogil=True, error_model="numpy")
def divide(coefficients, below_y, weights_y, below_x, weights_x, phase, low, high, image):
    """Divide an image by a spline, in place; see `spline`."""
    line, row = np.empty(coefficients.shape[1]), np.empty(image.shape[1], np.float32)
    for i in range(image.shape[0]):
        k, weights = below_y[i], weights_y[i]
        spline_row(coefficients, k, weights, below_x, weights_x, phase, low, high, line, row)
        for j in range(row.size):
            image[i, j] /= row[j]


@njit(f"void({SPLINE}, float32[:, ::1], float32[:, ::1])", cache=True, nogil=True)
def subtract(coefficients, below_y, weights_y, below_x, weights_x, phase, low, high, data, weight):
    """Subtract a spline from an image, in place; see `spline`.

    Parameters
    ----------
    data, weight : (ny, nx) float32
        Changed: 0 where there is no data, that is, where they are infinite or NaN, or the weight
        is not above 0.
    """
    line, row = np.empty(coefficients.shape[1]), np.empty(data.shape[1], np.float32)
    for i in range(data.shape[0]):
        k, weights = below_y[i], weights_y[i]
        spline_row(coefficients, k, weights, below_x, weights_x, phase, low, high, line, row)
        values, kept = data[i], weight[i]
        for j in range(row.size):
            value, w = values[j], kept[j]
            good = (abs(value) < np.inf) & (w > np.float32(0)) & (w < np.inf)
            values[j] = value - row[j] if good else np.float32(0)
            kept[j] = w if good else np.float32(0)
