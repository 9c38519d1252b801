"""Where an image has the shape of a star."""

import numpy as np

from snakewebb.kernels.cache import njit


@njit("void(float32[:, ::1], float64[:, ::1], float32[:, ::1])", cache=True, nogil=True)
def convolve(image, kernel, out):
    """Convolve an image with a small kernel of odd sides, symmetric about its middle.

    Parameters
    ----------
    image : (ny, nx) float32
        Pixels beyond its edges are 0; NaN spreads.
    kernel : (m, n) float64
        What is 0 in it is left out.
    out : (ny, nx) float32
        The result.
    """
    ny, nx = image.shape
    up, left = kernel.shape[0] // 2, kernel.shape[1] // 2
    total = np.empty(nx)
    for row in range(ny):
        total[:] = 0.0
        for i in range(max(-up, -row), min(up + 1, ny - row)):
            for j in range(-left, left + 1):
                factor = kernel[up + i, left + j]
                if factor != 0.0 and abs(j) < nx:
                    # slices: indices that may be negative are not vectorized
                    target = total[max(-j, 0) : nx - max(j, 0)]
                    source = image[row + i, max(j, 0) : nx - max(-j, 0)]
                    for k in range(target.size):
                        target[k] += factor * source[k]
        for column in range(nx):
            out[row, column] = total[column]
