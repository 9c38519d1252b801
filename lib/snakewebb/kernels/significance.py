"""A mosaic's planes as filters need them, and its sky without sources."""

import numpy as np

from snakewebb.kernels.cache import njit


@njit(
    "void(float32[:, ::1], float32[:, ::1], float32[:, ::1], float64, boolean)",
    cache=True,
    nogil=True,
)
def calibrate(data, err, weight, factor, has_errors):
    """Change the unit of data and errors, and take the weight from pixels without an error.

    Parameters
    ----------
    data, err : (ny, nx) float32
        Changed.
    weight : (ny, nx) float32
        Changed, if it has any rows.
    factor : float
        New units in an old one.
    has_errors : bool
        If there are none, pixels without data lose their weight.
    """
    factor = np.float32(factor)
    for i in range(data.shape[0]):
        values, errors = data[i], err[i]
        for j in range(values.size):
            values[j] *= factor
            errors[j] *= factor
        if weight.shape[0] > 0:
            known, weights = errors if has_errors else values, weight[i]
            for j in range(weights.size):
                weights[j] = np.float32(0) if np.isnan(known[j]) else weights[j]


@njit("void(float32[:, ::1], float64[::1], int64, boolean[:, ::1])", cache=True, nogil=True)
def mark(image, limits, width, out):
    """Mark pixels above the limit of their mesh.

    Parameters
    ----------
    image : (ny, nx) float32
    limits : (n,) float64
    width : int
        Of a mesh.
    out : (ny, nx) bool
        Set to True there.
    """
    for i in range(image.shape[0]):
        for k in range(limits.size):
            for j in range(k * width, min((k + 1) * width, image.shape[1])):
                out[i, j] |= image[i, j] > limits[k]


@njit(
    "void(boolean[:, ::1], boolean[:, ::1], int64, int64, float64, boolean[:, ::1])",
    cache=True,
    nogil=True,
)
def blank(sources, good, reach, width, least, out):
    """Mark the good pixels that are not near sources.

    Parameters
    ----------
    sources, good : (ny, nx) bool
    reach : int
        Half the side of the square about a pixel that has no source, without its middle.
    width : int
        Of a mesh.
    least : float
        All good pixels of a mesh are marked if a smaller share of them is left.
    out : (ny, nx) bool
        Filled.
    """
    ny, nx = good.shape
    line = np.empty(nx, np.bool_)
    for i in range(ny):
        line[:] = False
        for y in range(max(i - reach, 0), min(i + reach + 1, ny)):
            for j in range(nx):
                line[j] |= sources[y, j]
        row = out[i]
        last = -reach - 1
        for j in range(nx):
            last = j if line[j] else last
            row[j] = good[i, j] and j - last > reach
        last = nx + reach
        for j in range(nx - 1, -1, -1):
            last = j if line[j] else last
            row[j] = row[j] and last - j > reach
    for left in range(0, nx, width):
        right = min(left + width, nx)
        number = most = 0
        for i in range(ny):
            for j in range(left, right):
                number += out[i, j]
                most += good[i, j]
        if number < least * most:
            out[:, left:right] = good[:, left:right]
