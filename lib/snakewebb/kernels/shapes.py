"""Sums over the pixels of segments."""

import numpy as np

from snakewebb.kernels.cache import njit
from snakewebb.kernels.covariance import quadratic_form

RIM = 2  # pixels about a source that may become its own
FAR = 6.0  # standard deviations from the threshold that never are crossed


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


@njit("void(float64[:, ::1], float64[::1])", cache=True, nogil=True)
def _blur(image, kernel):
    """Convolve in place; the kernel's half is 0 along the rim."""
    m = kernel.size // 2
    height, width = image.shape
    line = np.empty(width)
    for i in range(height):
        line[:] = image[i]
        image[i] = 0.0
        for t in range(-m, m + 1):
            for j in range(max(0, -t), min(width, width - t)):
                image[i, j] += kernel[m + t] * line[j + t]
    rows = image.copy()
    for i in range(height):
        image[i] = 0.0
        for t in range(max(-m, -i), min(m, height - 1 - i) + 1):
            for j in range(width):
                image[i, j] += kernel[m + t] * rows[i + t, j]


@njit(cache=True, nogil=True)
def _near(ids, label, first_row, first, reach, out):
    """Mark the pixels of a box that are a source's, or so near to one of these."""
    ny, nx = ids.shape
    rows, columns = out.shape
    own = np.zeros((rows, columns), np.bool_)
    for r in range(rows):
        i = first_row + r
        if not 0 <= i < ny:
            continue
        for c in range(max(-first, 0), min(columns, nx - first)):
            if ids[i, first + c] == label:
                own[r, max(c - reach, 0) : c + reach + 1] = True
    out[:] = False
    for r in range(rows):
        for k in range(max(r - reach, 0), min(r + reach + 1, rows)):
            for c in range(columns):
                out[r, c] |= own[k, c]


@njit(cache=True, nogil=True)
def _touches(ids, i, j, label, reach):
    """Tell whether a pixel of a label is within some pixels of a pixel."""
    ny, nx = ids.shape
    for k in range(max(i - reach, 0), min(i + reach + 1, ny)):
        for m in range(max(j - reach, 0), min(j + reach + 1, nx)):
            if ids[k, m] == label:
                return True
    return False


@njit(cache=True, nogil=True)
def _threshold(smoothed, ids, source):
    """Return the least value of a source's pixels that touch the sky; infinite if none does."""
    label, _, _, first_row, end_row, first, end = source
    lowest = np.inf
    for i in range(first_row, end_row):
        for j in range(first, end):
            if ids[i, j] == label and smoothed[i, j] < lowest and _touches(ids, i, j, 0, 1):
                lowest = smoothed[i, j]
    return lowest


@njit(
    "void(float32[:, ::1], float32[:, ::1], boolean[:, ::1], int32[:, ::1], int64[:, ::1], "
    "float64[:, ::1], float64[::1], float32[:, :, :, ::1], int64, int64, int64, float64[:, ::1])",
    cache=True,
    nogil=True,
)
def propagate(smoothed, err, bad, ids, sources, sums, kernel, kernels, step, top, left, variances):
    """Find the variances of what `measure` measures.

    Noise adds to the pixels of a source, and decides which pixels near the threshold T are its
    own. The mean response of s H(s - T) to noise of standard deviation σ about s is
    Φ(z) + T φ(z) / σ, with z = (s - T) / σ and the normal distribution Φ and its density φ.

    Parameters
    ----------
    smoothed, err, bad, ids, sources, sums
        See `measure`.
    kernel : (2 m + 1,) float64
        With which `smoothed` was made, see `snakewebb.kernels.detection.smooth`.
    kernels, step, top, left
        See `snakewebb.kernels.covariance.quadratic_form`; row and column are those of the images.
    variances : (n, 4) or (n, 1) float64
        Filled: of the sum of the image, and of the centroid, if that is wanted: of x, of y, and
        their covariance. NaN where there is none.
    """
    positions = variances.shape[1] > 1
    ny, nx = smoothed.shape
    m = kernel.size // 2
    both = np.outer(kernel, kernel)
    for k in range(sources.shape[0]):
        label, _, _, first_row, end_row, first, end = sources[k]
        variances[k] = np.nan
        if np.isnan(sums[k, 3]):
            continue
        light = 0.0
        for i in range(first_row, end_row):
            for j in range(first, end):
                if ids[i, j] == label and smoothed[i, j] > 0.0:
                    light += smoothed[i, j]
        threshold = _threshold(smoothed, ids, sources[k])
        # Of a smoothed pixel's noise over its ERR.
        less = np.sqrt(quadratic_form(both, kernels, step, top + first_row, left + first))
        # What a pixel counts in the flux, in x and in y, by way of the smoothed image; and of that
        # in the flux directly.
        pad = m + RIM
        rows, columns = end_row - first_row + 2 * pad, end - first + 2 * pad
        flux = np.zeros((rows, columns))
        own = np.zeros((rows, columns))
        x = np.zeros((rows, columns))
        y = np.zeros((rows, columns))
        near = np.empty((rows, columns), np.bool_)
        _near(ids, label, first_row - pad, first - pad, RIM, near)
        for r in range(m, rows - m):
            for c in range(m, columns - m):
                i, j = first_row + r - pad, first + c - pad
                if not (0 <= i < ny and 0 <= j < nx) or bad[i, j]:
                    continue
                member = ids[i, j] == label
                if not member and not (ids[i, j] == 0 and near[r, c]):
                    continue
                sigma = less * err[i, j]
                shift = 0.0
                if sigma > 0.0 and threshold > 0.0:  # without noise nothing crosses the threshold
                    z = (smoothed[i, j] - threshold) / sigma
                    if abs(z) < FAR:
                        shift = threshold / sigma * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
                if member:
                    own[r, c] = 1.0
                gain = shift + own[r, c] * (smoothed[i, j] > 0.0)
                flux[r, c] = shift
                x[r, c] = gain * (c - pad - sums[k, 3]) / light
                y[r, c] = gain * (r - pad - sums[k, 4]) / light
        _blur(flux, kernel)
        if positions:
            _blur(x, kernel)
            _blur(y, kernel)
        flux += own
        for r in range(rows):
            for c in range(columns):
                i, j = first_row + r - pad, first + c - pad
                sigma = 0.0
                if 0 <= i < ny and 0 <= j < nx and not bad[i, j]:
                    sigma = err[i, j]
                flux[r, c] *= sigma
                x[r, c] *= sigma
                y[r, c] *= sigma
        place = kernels, step, top + first_row - pad, left + first - pad
        variances[k, 0] = quadratic_form(flux, *place)
        if not positions:
            continue
        variances[k, 1] = quadratic_form(x, *place)
        variances[k, 2] = quadratic_form(y, *place)
        joint = quadratic_form(x + y, *place)
        variances[k, 3] = (joint - variances[k, 1] - variances[k, 2]) / 2.0
