"""Groups of peaks: what is between them, whose a pixel is, lost cores, errors of positions."""

import numpy as np

from snakewebb.kernels.cache import njit
from snakewebb.kernels.centroids import REACH
from snakewebb.kernels.covariance import quadratic_form
from snakewebb.kernels.deblending import neighbours, watershed

GRID = 1024.0
"""Parts of a pixel to which a position is rounded: the same in all windows, to the bit."""


@njit(
    "void(float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], float32[::1])",
    cache=True,
    nogil=True,
)
def highest_of_five(a, b, c, d, e, out):
    """Find the highest of five numbers for each of `out`, or 0; NaN does not count."""
    for j in range(out.size):
        high = a[j] if a[j] > np.float32(0) else np.float32(0)
        high = b[j] if b[j] > high else high
        high = c[j] if c[j] > high else high
        high = d[j] if d[j] > high else high
        out[j] = e[j] if e[j] > high else high


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
    line, highest = np.zeros(nx + 4, np.float32), np.empty(nx, np.float32)
    share, last = np.float32(share), ny - 1
    for i in range(ny):
        first, second = weight[max(i - 2, 0)], weight[max(i - 1, 0)]
        fourth, fifth = weight[min(i + 1, last)], weight[min(i + 2, last)]
        highest_of_five(first, second, weight[i], fourth, fifth, line[2 : nx + 2])
        highest_of_five(line, line[1:], line[2:], line[3:], line[4:], highest)
        row, lost = weight[i], out[i]
        for j in range(nx):
            lost[j] = row[j] <= share * highest[j]


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
    "void(float32[:, ::1], int64[:, ::1], int64[::1], float64[::1], float64, boolean[::1])",
    cache=True,
    nogil=True,
)
def separate(image, places, group, depth, share, kept):
    """Keep the peaks that are parted from all brighter ones of their group which are kept.

    Parameters
    ----------
    image : (ny, nx) float32
    places : (n, 2) int64
        Rows and columns of peaks, by groups, the brightest first.
    group : (n,) int64
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
        for other in range(np.searchsorted(group, group[k]), k):
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


@njit(
    "void(float32[:, ::1], float32[:, ::1], float64, float64[::1], float64[::1], "
    "float32[:, :, :, ::1], int64, int64, int64, float64[:, ::1])",
    cache=True,
    nogil=True,
)
def position_variances(image, err, sigma, x, y, kernels, step, top, left, out):
    """Find the variances of windowed centroids, which are maxima of a Gaussian-filtered image.

    There the light under the window times the distance from its middle sums up to 0. Noise changes
    this sum by its own, and the position by that over the slope of the sum.

    Parameters
    ----------
    image, err : (ny, nx) float32
        Without background, NaN where there is nothing; and ERR. As in
        `snakewebb.kernels.centroids.windowed_centroids` the pixel opposite stands for a NaN one.
    sigma : float
        Of the window, pixels.
    x, y : (n,) float64
        The positions, 0-based.
    kernels, step, top, left
        See `snakewebb.kernels.covariance.quadratic_form`; row and column are those of the images.
    out : (n, 3) float64
        Filled: variances of x and y and their covariance; NaN where there is no maximum, or the
        noise is not known.
    """
    ny, nx = image.shape
    half = int(np.ceil(REACH * sigma))
    side = 2 * half + 1
    for k in range(x.size):
        out[k] = np.nan
        column, row = int(np.floor(x[k] + 0.5)), int(np.floor(y[k] + 0.5))
        cx, cy = np.rint((x[k] - column) * GRID) / GRID, np.rint((y[k] - row) * GRID) / GRID
        across, up = np.zeros((side, side)), np.zeros((side, side))
        xx = yy = xy = 0.0
        for i in range(side):
            for j in range(side):
                r, c = row + i - half, column + j - half
                dx, dy = j - half - cx, i - half - cy
                square = (dx * dx + dy * dy) / (sigma * sigma)
                if square > REACH * REACH:
                    continue
                # its own value, or that of the pixel opposite, which then counts the other way
                if not (0 <= r < ny and 0 <= c < nx) or np.isnan(image[r, c]):
                    r = row + int(np.floor(2.0 * cy - (i - half) + 0.5))
                    c = column + int(np.floor(2.0 * cx - (j - half) + 0.5))
                    if not (0 <= r < ny and 0 <= c < nx) or np.isnan(image[r, c]):
                        continue
                window = np.exp(-0.5 * square)
                light = window * image[r, c]
                xx += light * (1.0 - dx * dx / (sigma * sigma))
                yy += light * (1.0 - dy * dy / (sigma * sigma))
                xy -= light * dx * dy / (sigma * sigma)
                noise = window * np.float64(err[r, c])
                r, c = r - row + half, c - column + half
                if 0 <= r < side and 0 <= c < side:
                    across[r, c] += noise * dx
                    up[r, c] += noise * dy
        determinant = xx * yy - xy * xy
        if not (determinant > 0.0 and xx > 0.0):
            continue
        place = kernels, step, top + row - half, left + column - half
        a, b = quadratic_form(across, *place), quadratic_form(up, *place)
        both = (quadratic_form(across + up, *place) - a - b) / 2.0
        # the inverse of the slopes, on both sides
        out[k, 0] = (yy * yy * a - 2.0 * yy * xy * both + xy * xy * b) / determinant**2
        out[k, 1] = (xx * xx * b - 2.0 * xx * xy * both + xy * xy * a) / determinant**2
        out[k, 2] = ((xx * yy + xy * xy) * both - xy * yy * a - xx * xy * b) / determinant**2
