"""Connected pixels above a threshold: smoothing, blends, shapes."""

import numpy as np

from snakewebb.kernels.cache import njit


@njit(
    "void(float32[:, ::1], boolean[:, ::1], float64[::1], int64, float32[:, ::1])",
    cache=True,
    nogil=True,
)
def smooth(image, bad, kernel, top, out):
    """Convolve with a separable kernel, as if bad pixels had the weighted mean of the others.

    Parameters
    ----------
    image : (ny, nx) float32
        Counted as 0 beyond its edges.
    bad : (ny, nx) bool
        Pixels without a value.
    kernel : (2 m + 1,) float64
        Of sum 1, for both axes.
    top : int
        The image's row that is the first of `out`.
    out : (rows, nx) float32
        NaN where there are only bad pixels under the kernel.
    """
    ny, nx = image.shape
    m = kernel.size // 2
    light = np.zeros(nx + 2 * m)
    weight = np.ones(nx + 2 * m)
    light_2d = np.empty(nx)
    weight_2d = np.empty(nx)
    for i in range(out.shape[0]):
        light[m : m + nx] = 0.0
        weight[m : m + nx] = 0.0
        for t in range(kernel.size):
            row = top + i + t - m
            factor = kernel[t]
            if 0 <= row < ny:
                for j in range(nx):
                    good = 0.0 if bad[row, j] else factor
                    light[m + j] += 0.0 if bad[row, j] else factor * image[row, j]
                    weight[m + j] += good
            else:
                for j in range(nx):
                    weight[m + j] += factor
        light_2d[:] = 0.0
        weight_2d[:] = 0.0
        for t in range(kernel.size):
            factor = kernel[t]
            for j in range(nx):
                light_2d[j] += factor * light[j + t]
                weight_2d[j] += factor * weight[j + t]
        for j in range(nx):
            out[i, j] = light_2d[j] / weight_2d[j] if weight_2d[j] > 0.0 else np.nan


@njit("int64(boolean[:, ::1], int64, int32[:, ::1])", cache=True, nogil=True)
def connect(above, connectivity, labels):
    """Label the connected parts of an image.

    Parameters
    ----------
    above : (ny, nx) bool
        What is labelled.
    connectivity : int
        8, or 4 for pixels that touch along their edges.
    labels : (ny, nx) int32
        Filled: from 1 in the order of first pixels; 0 for none.

    Returns
    -------
    int
        The highest label.
    """
    ny, nx = above.shape
    root = np.zeros(ny * nx // 2 + 2, np.int32)
    found = 0
    for i in range(ny):
        for j in range(nx):
            labels[i, j] = 0
            if not above[i, j]:
                continue
            mine = 0
            for di, dj in ((0, -1), (-1, 0), (-1, -1), (-1, 1)):
                k = j + dj
                if i + di < 0 or k < 0 or k >= nx or (di * dj != 0 and connectivity == 4):
                    continue
                other = labels[i + di, k]
                if other == 0:
                    continue
                while root[other] != other:
                    root[other] = root[root[other]]
                    other = root[other]
                if mine == 0:
                    mine = other
                elif mine < other:
                    root[other] = mine
                elif other < mine:
                    root[mine] = other
                    mine = other
            if mine == 0:
                found += 1
                root[found] = mine = found
            labels[i, j] = mine
    number = 0
    for k in range(1, found + 1):
        if root[k] == k:
            number += 1
            root[k] = number
        else:
            root[k] = root[root[k]]
    for i in range(ny):
        for j in range(nx):
            labels[i, j] = root[labels[i, j]]
    return number


@njit("void(int32[:, ::1], int64[:, ::1])", cache=True, nogil=True)
def extents(labels, boxes):
    """Find the box, area and first pixel of each label.

    Parameters
    ----------
    labels : (ny, nx) int32
        From 1; 0 for none.
    boxes : (n, 6) int64
        Filled: first row, end row, first column, end column, number of pixels, and the column of
        the first pixel of the first row.
    """
    boxes[:, 4] = 0
    for i in range(labels.shape[0]):
        for j in range(labels.shape[1]):
            if labels[i, j] > 0:
                box = boxes[labels[i, j] - 1]
                if box[4] == 0:
                    box[0], box[1], box[2], box[3], box[5] = i, i + 1, j, j + 1, j
                box[1] = i + 1
                box[2] = min(box[2], j)
                box[3] = max(box[3], j + 1)
                box[4] += 1


LOOK_UP = "void(int32[:, ::1], {0}[::1], {0}[:, ::1])"


@njit([LOOK_UP.format("int32"), LOOK_UP.format("uint32")], cache=True, nogil=True)
def look_up(ids, lookup, out):
    """Write down what ids stand for.

    Parameters
    ----------
    ids : (ny, nx) int32
        At least 0.
    lookup : (n,) int32 or uint32
    out : (ny, nx) int32 or uint32
        Filled; it may share the memory of `ids`.
    """
    for i in range(ids.shape[0]):
        for j in range(ids.shape[1]):
            out[i, j] = lookup[ids[i, j]]
