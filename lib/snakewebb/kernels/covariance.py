"""Variances of weighted sums of pixels whose noise is correlated."""

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
    for i in range(height):
        row = min(max((top + i) // step, 0), my - 1)
        last_row = min(i + reach, height - 1)
        for j in range(width):
            if values[i, j] == 0.0:
                continue
            kernel = kernels[row, min(max((left + j) // step, 0), mx - 1)]
            near = 0.0
            for k in range(i, last_row + 1):
                first = j + 1 if k == i else max(j - reach, 0)
                for m in range(first, min(j + reach, width - 1) + 1):
                    near += values[k, m] * kernel[reach + k - i, reach + m - j]
            total += values[i, j] * (values[i, j] * kernel[reach, reach] + 2.0 * near)
    # Where cells differ, or by rounding, it might come out below.
    return 0.0 if total < 0.0 else total
