"""Variances of weighted sums of pixels whose noise is correlated."""

import numpy as np

from snakewebb.kernels.cache import njit


@njit(
    "float64(float64[:, ::1], float32[:, :, :, ::1], int64, int64, int64)", cache=True, nogil=True
)
def quadratic_form(values, kernels, step, top, left):
    """Sum the products of all pairs of pixels times the covariance of their noise over ERR.

    Parameters
    ----------
    values : (h, w) float64
        For the variance of a sum: weights times ERR.
    kernels, step
        See `snakewebb.io.noise_correlation.NoiseCorrelation`.
    top, left : int
        Row and column of the first pixel in the mosaic.

    Returns
    -------
    float
        Not below 0; NaN if a value is.
    """
    height, width = values.shape
    my, mx, size, _ = kernels.shape
    reach = size // 2
    total = 0.0
    near = np.empty(width)
    for i in range(height):
        row = min(max((top + i) // step, 0), my - 1)
        near[:] = 0.0
        left_edge = 0
        while left_edge < width:
            # as far as the same kernel counts
            column = min(max((left + left_edge) // step, 0), mx - 1)
            edge = (column + 1) * step - left if column < mx - 1 else width
            edge = min(max(edge, left_edge + 1), width)
            for k in range(i, min(i + reach, height - 1) + 1):
                for lag in range(1 if k == i else -reach, reach + 1):
                    share = np.float64(kernels[row, column, reach + k - i, reach + lag])
                    for j in range(max(left_edge, -lag), min(edge, width - lag)):
                        near[j] += values[k, j + lag] * share
            variance = np.float64(kernels[row, column, reach, reach])
            for j in range(left_edge, edge):
                value = values[i, j]
                if value != 0.0:
                    total += value * (value * variance + 2.0 * near[j])
            left_edge = edge
    # Where cells differ, or by rounding, it might come out below.
    return 0.0 if total < 0.0 else total
