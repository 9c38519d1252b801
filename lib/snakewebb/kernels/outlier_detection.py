"""Comparison of an exposure with the median mosaic: sampling it, and flagging what differs."""

import numpy as np

from snakewebb.kernels.cache import njit


@njit(
    "void(float32[:, :, ::1], int64, int64, UniTuple(int64, 2), float64[:, ::1], float64[:, ::1], "
    "int64, int64, float32[:, :, ::1])",
    cache=True,
    nogil=True,
)
def blot(mosaics, top, left, shape, u, v, row, column, out):
    """Sample two mosaics bilinearly.

    Parameters
    ----------
    mosaics : (h, 2, w) float32
        A window of the mosaics.
    top, left : int
        Row and column of the mosaics where the window begins.
    shape : (ny, nx)
        Of a whole mosaic.
    u, v : (k, m) float64
        Columns and rows of the mosaics to sample at, integers at pixel centres.
    row, column : int
        Where in ``out`` the first sample belongs.
    out : (2, rows, columns) float32
        Gets the samples; NaN outside 0 ≤ u < nx, 0 ≤ v < ny, or where one of the four pixels is
        NaN or outside the window. Beyond the last pixel centre a mosaic goes on unchanged.
    """
    ny, nx = shape
    h, _, w = mosaics.shape
    for j in range(u.shape[0]):
        for i in range(u.shape[1]):
            x, y = u[j, i], v[j, i]
            inside = 0.0 <= x < nx and 0.0 <= y < ny
            if inside:
                left_of, above = int(x), int(y)
                dx, dy = x - left_of, y - above
                x0, x1 = left_of - left, min(left_of + 1, nx - 1) - left
                y0, y1 = above - top, min(above + 1, ny - 1) - top
                inside = x0 >= 0 and x1 < w and y0 >= 0 and y1 < h
            if not inside:
                out[0, row + j, column + i] = out[1, row + j, column + i] = np.nan
                continue
            # Unsigned, or each would be asked whether it counts from the end.
            i0, i1, j0, j1 = np.uint64(x0), np.uint64(x1), np.uint64(y0), np.uint64(y1)
            for k in range(2):
                upper = (1.0 - dx) * mosaics[j0, k, i0] + dx * mosaics[j0, k, i1]
                lower = (1.0 - dx) * mosaics[j1, k, i0] + dx * mosaics[j1, k, i1]
                out[k, row + j, column + i] = (1.0 - dy) * upper + dy * lower


@njit(
    "void(float32[:, ::1], float32[:, ::1], float32[:, :, ::1], float64, float64, float64, "
    "boolean[:, ::1])",
    cache=True,
    nogil=True,
)
def find_candidates(sci, err, models, background, most, snr, found):
    """Find the pixels of an image that may lie below one model of it or above another.

    Parameters
    ----------
    sci, err : (ny, nx) float32
    models : (2, ny, nx) float32
        A pixel that is NaN in these or in ``sci`` is not found, nor is one
        whose ``err`` is not above 0: nothing tells how far it may be off.
    background : float
        To be added to the models.
    most : float
        Up to this an error counts.
    snr : float
        So many errors a pixel that is found lies below the first model or above the second.
    found : (ny, nx) bool
        The result.
    """
    ny, nx = sci.shape
    for j in range(ny):
        for i in range(nx):
            value, noise = sci[j, i] - background, np.float64(err[j, i])
            off = max(models[0, j, i] - value, value - models[1, j, i])
            found[j, i] = noise > 0.0 and off > snr * min(noise, most)
