"""Groups of peaks: what is between them, whose a pixel is, lost cores."""

import numpy as np

from snakewebb.kernels.cache import njit
from snakewebb.kernels.deblending import neighbours, watershed


@njit("void(float32[:, ::1], float64, boolean[:, ::1])", cache=True, nogil=True)
def losses(weight, share, out):
    """Mark the pixels that weigh less than a share of one that is up to two pixels away.

    Parameters
    ----------
    weight : (ny, nx) float32
    share : float
    out : (ny, nx) bool
        Filled; also True where there is no weight at all.
    """
    ny, nx = weight.shape
    line = np.empty(nx, np.float32)
    for i in range(ny):
        line[:] = 0.0
        for y in range(max(i - 2, 0), min(i + 3, ny)):
            for j in range(nx):
                line[j] = max(line[j], weight[y, j])
        for j in range(nx):
            highest = np.float32(0.0)
            for x in range(max(j - 2, 0), min(j + 3, nx)):
                highest = max(highest, line[x])
            out[i, j] = weight[i, j] <= np.float32(share) * highest


@njit(
    "void(float32[:, ::1], int64[:, ::1], float64, float64, float64[::1])", cache=True, nogil=True
)
def around(image, places, inner, outer, out):
    """Find the median of an image in rings about some pixels.

    Parameters
    ----------
    image : (ny, nx) float32
        NaN does not count.
    places : (n, 2) int64
        Rows and columns.
    inner, outer : float
        Radii.
    out : (n,) float64
        Filled; 0 where there is no pixel.
    """
    ny, nx = image.shape
    reach = int(np.ceil(outer))
    values = np.empty((2 * reach + 1) ** 2)
    for k in range(places.shape[0]):
        i, j = places[k]
        n = 0
        for y in range(max(i - reach, 0), min(i + reach + 1, ny)):
            for x in range(max(j - reach, 0), min(j + reach + 1, nx)):
                square = (y - i) ** 2 + (x - j) ** 2
                if inner * inner <= square < outer * outer and not np.isnan(image[y, x]):
                    values[n] = image[y, x]
                    n += 1
        out[k] = np.median(values[:n]) if n > 0 else 0.0


@njit("float64(float32[:, ::1], int64, int64, int64, int64)", cache=True, nogil=True)
def saddle(image, i, j, k, m):
    """Return the lowest value between two pixels, ends excluded; NaN does not count."""
    steps = max(abs(k - i), abs(m - j))
    lowest = np.inf
    for t in range(1, steps):
        y = int(np.floor(i + (k - i) * t / steps + 0.5))
        x = int(np.floor(j + (m - j) * t / steps + 0.5))
        value = np.float64(image[y, x])
        if not np.isnan(value):
            lowest = min(lowest, value)
    return lowest


@njit(
    "void(float32[:, ::1], int64[:, ::1], float64[::1], float64, boolean[::1])",
    cache=True,
    nogil=True,
)
def separate(image, places, depth, share, kept):
    """Keep the peaks that are parted from all brighter ones which are kept.

    Parameters
    ----------
    image : (ny, nx) float32
    places : (n, 2) int64
        Rows and columns of peaks, the brightest first.
    depth : (n,) float64
        As much lower the way to a brighter peak must be somewhere than the peak itself.
    share : float
        And by such a share of the peak.
    kept : (n,) bool
        Filled.
    """
    for k in range(places.shape[0]):
        i, j = places[k]
        value = np.float64(image[i, j])
        limit = value - max(depth[k], share * value)
        kept[k] = True
        for other in range(k):
            if kept[other] and saddle(image, i, j, places[other, 0], places[other, 1]) > limit:
                kept[k] = False
                break


@njit(
    "void(float32[:, ::1], boolean[:, ::1], int64[:, ::1], int32[:, ::1])", cache=True, nogil=True
)
def share_out(image, member, places, out):
    """Share out the pixels of connected sources among their peaks, by watershed.

    Parameters
    ----------
    image : (ny, nx) float32
        NaN is below all.
    member : (ny, nx) bool
        The pixels.
    places : (n, 2) int64
        Rows and columns of the peaks, among these.
    out : (ny, nx) int32
        Filled: from 1 in the order of the peaks, 0 elsewhere.
    """
    ny, nx = image.shape
    width = nx + 2
    values = np.full((ny + 2) * width, np.float32(-np.inf))
    inside = np.zeros((ny + 2) * width, np.bool_)
    labels = np.zeros((ny + 2) * width, np.int32)
    pixels = np.empty(np.sum(member), np.int64)
    k = 0
    for i in range(ny):
        for j in range(nx):
            if member[i, j]:
                pixel = (i + 1) * width + j + 1
                pixels[k] = pixel
                k += 1
                inside[pixel] = True
                if not np.isnan(image[i, j]):
                    values[pixel] = image[i, j]
    for k in range(places.shape[0]):
        labels[(places[k, 0] + 1) * width + places[k, 1] + 1] = k + 1
    watershed(values, pixels, inside, neighbours(width, 8), labels)
    for i in range(ny):
        for j in range(nx):
            out[i, j] = labels[(i + 1) * width + j + 1]
