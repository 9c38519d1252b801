"""Sums over the pixels of segments."""

import numpy as np

from snakewebb.kernels.cache import njit


@njit(
    "void(float32[:, ::1], float32[:, ::1], float32[:, ::1], boolean[:, ::1], int32[:, ::1], "
    "int64[:, ::1], float64[:, ::1])",
    cache=True,
    nogil=True,
)
def measure(image, smoothed, err, bad, ids, sources, sums):
    """Sum up sources.

    Parameters
    ----------
    image, smoothed, err : (ny, nx) float32
        Negative pixels of `smoothed` do not count.
    bad : (ny, nx) bool
        Pixels without a value in `image`.
    ids : (ny, nx) int32
        Whose a pixel is.
    sources : (n, 7) int64
        Id, two numbers of no use here, first and end row, first and end column.
    sums : (n, 8) float64
        Filled: pixels with a value, sum of `image` and of the squares of `err` over these; x and y
        of the centroid of `smoothed` from the first column and row; its central second moments xx,
        yy and xy over its sum. NaN where there is none.
    """
    for k in range(sources.shape[0]):
        label, _, _, top, bottom, left, right = sources[k]
        number = total = square = light = x = y = 0.0
        for i in range(top, bottom):
            for j in range(left, right):
                if ids[i, j] == label:
                    if not bad[i, j]:
                        number += 1.0
                        total += image[i, j]
                        square += np.float64(err[i, j]) ** 2
                    if smoothed[i, j] > 0.0:
                        light += smoothed[i, j]
                        x += (j - left) * np.float64(smoothed[i, j])
                        y += (i - top) * np.float64(smoothed[i, j])
        sums[k] = np.nan
        if number > 0.0:
            sums[k, :3] = number, total, square
        if light == 0.0:
            continue
        x /= light
        y /= light
        xx = yy = xy = 0.0
        for i in range(top, bottom):
            for j in range(left, right):
                if ids[i, j] == label and smoothed[i, j] > 0.0:
                    share = smoothed[i, j] / light
                    dx, dy = j - left - x, i - top - y
                    xx += share * dx * dx
                    yy += share * dy * dy
                    xy += share * dx * dy
        sums[k, 3:] = x, y, xx, yy, xy
