"""Comparison of an exposure with the median mosaic: sampling it, and flagging what differs."""

import numpy as np

from snakewebb.kernels.cache import njit


@njit(
    "void(float32[:, ::1], int64, int64, UniTuple(int64, 2), float64[:, ::1], float64[:, ::1], "
    "float32[:, ::1])",
    cache=True,
    nogil=True,
)
def blot(mosaic, top, left, shape, u, v, out):
    """Sample a mosaic bilinearly.

    Parameters
    ----------
    mosaic : (h, w) float32
        A window of the mosaic.
    top, left : int
        Row and column of the mosaic that ``mosaic[0, 0]`` is.
    shape : (ny, nx)
        Of the whole mosaic.
    u, v : (m, n) float64
        Columns and rows of the mosaic to sample at, integers at pixel centres.
    out : (m, n) float32
        NaN outside 0 ≤ u < nx, 0 ≤ v < ny, or where one of the four pixels is NaN or outside the
        window. Beyond the last pixel centre the mosaic goes on unchanged.
    """
    ny, nx = shape
    h, w = mosaic.shape
    for j in range(out.shape[0]):
        for i in range(out.shape[1]):
            x, y = u[j, i], v[j, i]
            out[j, i] = np.nan
            if not (0.0 <= x < nx and 0.0 <= y < ny):
                continue
            col, row = int(x), int(y)
            dx, dy = x - col, y - row
            x0, x1 = col - left, min(col + 1, nx - 1) - left
            y0, y1 = row - top, min(row + 1, ny - 1) - top
            if x0 < 0 or x1 >= w or y0 < 0 or y1 >= h:
                continue
            upper = (1.0 - dx) * mosaic[y0, x0] + dx * mosaic[y0, x1]
            lower = (1.0 - dx) * mosaic[y1, x0] + dx * mosaic[y1, x1]
            out[j, i] = (1.0 - dy) * upper + dy * lower


@njit(
    "void(float32[:, ::1], float32[:, ::1], float32[:, ::1], float64, float64, float64, float64, "
    "float64, boolean[:, ::1])",
    cache=True,
    nogil=True,
)
def flag(sci, err, model, background, snr1, snr2, scale1, scale2, flagged):
    """Flag the pixels of an image that differ from a model of it.

    A pixel is flagged where |sci - model - background| exceeds scale2 times the model's
    steepness plus snr2 times the error, and it or one of its 8 neighbours exceeds the same with
    scale1 and snr1. The steepness is the largest difference of the model from its 4 neighbours.

    Parameters
    ----------
    sci, err, model : (ny, nx) float32
        A pixel that is NaN in ``sci`` or ``model`` is not flagged, nor is one whose ``err`` is not
        above 0: nothing tells how far it may be off.
    background, snr1, snr2, scale1, scale2 : float
    flagged : (ny, nx) bool
        The result.
    """
    ny, nx = sci.shape
    seed = np.empty((ny, nx), np.bool_)
    for j in range(ny):
        above, below = max(j - 1, 0), min(j + 1, ny - 1)
        for i in range(nx):
            center = np.float64(model[j, i])
            steepness = 0.0
            for neighbour in (
                model[above, i],
                model[below, i],
                model[j, max(i - 1, 0)],
                model[j, min(i + 1, nx - 1)],
            ):
                step = abs(center - neighbour)
                if step > steepness:  # never where it is NaN
                    steepness = step
            noise = np.float64(err[j, i])
            if not noise > 0.0:
                noise = np.inf
            difference = abs(sci[j, i] - center - background)
            seed[j, i] = difference > scale1 * steepness + snr1 * noise
            flagged[j, i] = difference > scale2 * steepness + snr2 * noise
    for j in range(ny):
        for i in range(nx):
            if flagged[j, i] and not seed[j, i]:
                near = seed[max(j - 1, 0) : j + 2, max(i - 1, 0) : i + 2]
                flagged[j, i] = near.any()
