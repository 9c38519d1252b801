"""Matched filtering: weighted sums under a kernel, their peaks, and what is known at these."""

import numpy as np

from snakewebb.kernels.background import sort
from snakewebb.kernels.cache import njit

ZERO, NAN = np.float32(0), np.float32(np.nan)


@njit("int64(float32[:, ::1], int64, int64)", cache=True, nogil=True)
def gaps(weight, i, j):
    """Count the neighbours of a pixel that have no weight, or are beyond the edges."""
    ny, nx = weight.shape
    number = 0
    for di in range(-1, 2):
        for dj in range(-1, 2):
            y, x = i + di, j + dj
            if (di != 0 or dj != 0) and not (0 <= y < ny and 0 <= x < nx and weight[y, x] > 0.0):
                number += 1
    return number


@njit(
    "void(float32[:, ::1], float32[:, ::1], float64[::1], int64, float32[:, ::1], float32[:, ::1])",
    cache=True,
    nogil=True,
    error_model="numpy",
)
def weighted(image, weight, kernel, top, out, flux):
    """Fit a source to each place: its flux, and that over its error, if weights are 1 / variances.

    The sum of kernel, weight and image over that of the kernel's square and weight, or its root.

    Parameters
    ----------
    image, weight : (ny, nx) float32
        The image is finite where the weight is 0.
    kernel : (2 m + 1,) float64
        For both axes, symmetric.
    top : int
        The image's row that is the first of `out`.
    out, flux : (rows, nx) float32
        NaN where the pixel and four or more of its neighbours have no weight. The flux may have no
        rows: then it is not wanted.
    """
    ny, nx = image.shape
    m = kernel.size // 2
    half = kernel[m:].astype(np.float32)
    square = half * half
    # as many rows of image times weight as the kernel has, which take turns
    products = np.empty((kernel.size, nx), np.float32)
    nothing = np.zeros(nx, np.float32)
    light = np.zeros(nx + 2 * m, np.float32)
    power = np.zeros(nx + 2 * m, np.float32)
    unwanted = np.empty(nx, np.float32)
    known = max(top - m, 0)
    for i in range(out.shape[0]):
        middle = top + i
        while known < min(middle + m + 1, ny):
            line, values, weights = products[known % kernel.size], image[known], weight[known]
            for j in range(nx):
                line[j] = weights[j] * values[j]
            known += 1
        # what is above and below counts the same, and so do left and right
        sums, norms = light[m : m + nx], power[m : m + nx]
        line, weights = products[middle % kernel.size], weight[middle]
        for j in range(nx):
            sums[j] = half[0] * line[j]
            norms[j] = square[0] * weights[j]
        for t in range(1, m + 1):
            factor, factor_2 = half[t], square[t]
            above, above_w = nothing, nothing
            if middle >= t:
                above, above_w = products[(middle - t) % kernel.size], weight[middle - t]
            below, below_w = nothing, nothing
            if middle + t < ny:
                below, below_w = products[(middle + t) % kernel.size], weight[middle + t]
            for j in range(nx):
                sums[j] += factor * (above[j] + below[j])
                norms[j] += factor_2 * (above_w[j] + below_w[j])
        light_2d, power_2d = out[i], flux[i] if flux.shape[0] > 0 else unwanted
        for j in range(nx):
            light_2d[j] = half[0] * sums[j]
            power_2d[j] = square[0] * norms[j]
        for t in range(1, m + 1):
            factor, factor_2 = half[t], square[t]
            left, right = light[m - t : m - t + nx], light[m + t : m + t + nx]
            left_w, right_w = power[m - t : m - t + nx], power[m + t : m + t + nx]
            for j in range(nx):
                light_2d[j] += factor * (left[j] + right[j])
                power_2d[j] += factor_2 * (left_w[j] + right_w[j])
        without = 0
        for j in range(nx):
            total, norm = light_2d[j], power_2d[j]
            light_2d[j] = total / np.sqrt(norm) if norm > ZERO else NAN
            power_2d[j] = total / norm if norm > ZERO else NAN
            without += weights[j] <= ZERO
        if without > 0:
            for j in range(nx):
                if weights[j] <= ZERO and gaps(weight, middle, j) > 3:
                    light_2d[j] = power_2d[j] = NAN


@njit(
    "void(float32[:, ::1], float32[:, ::1], float64[::1], int64, int64, int64[:, ::1], "
    "float32[:, ::1])",
    cache=True,
    nogil=True,
)
def weighted_near(image, weight, kernel, top, left, places, out):
    """Fit sources to the pixels of some places and those that are up to two away.

    Parameters
    ----------
    image, weight, kernel
        See `weighted`.
    top, left : int
        The image's row and column that are the first of `out`.
    places : (n, 2) int64
        Rows and columns in `out`.
    out : (rows, columns) float32
        Fluxes over their errors are filled in there.
    """
    ny, nx = image.shape
    m = kernel.size // 2
    for k in range(places.shape[0]):
        for i in range(max(places[k, 0] - 2, 0), min(places[k, 0] + 3, out.shape[0])):
            for j in range(max(places[k, 1] - 2, 0), min(places[k, 1] + 3, out.shape[1])):
                light = power = 0.0
                for y in range(max(top + i - m, 0), min(top + i + m + 1, ny)):
                    for x in range(max(left + j - m, 0), min(left + j + m + 1, nx)):
                        factor = kernel[y - top - i + m] * kernel[x - left - j + m]
                        light += factor * weight[y, x] * image[y, x]
                        power += factor * factor * weight[y, x]
                out[i, j] = light / np.sqrt(power) if power > 0.0 else np.nan
                if weight[top + i, left + j] <= ZERO and gaps(weight, top + i, left + j) > 3:
                    out[i, j] = np.nan


@njit(
    "void(float32[:, ::1], boolean[:, ::1], int64, int64, float64[:, ::1])", cache=True, nogil=True
)
def mesh_noise(image, good, width, step, out):
    """Describe the meshes of some rows: level and noise of what is not clipped as a source.

    The noise is that of the values below the median, which sources don't reach; the level is the
    mode, as SExtractor estimates it (Bertin & Arnouts 1996, A&AS 117, 393), or the median if these
    are far apart.

    Parameters
    ----------
    image : (height, nx) float32
        Rows of one row of meshes.
    good : (height, nx) bool
        Pixels that count, of finite value.
    width : int
        Of a mesh.
    step : int
        Every such column counts.
    out : (n, 3) float64
        Filled: level and noise, NaN where no pixel counts; and the share of pixels that
        are not clipped.
    """
    height, nx = image.shape
    values = np.empty(height * ((width - 1) // step + 1), np.float32)
    for k in range(out.shape[0]):
        n = 0
        seen = 0
        for i in range(height):
            for j in range(k * width, min((k + 1) * width, nx), step):
                seen += 1
                if good[i, j]:
                    values[n] = image[i, j]
                    n += 1
        out[k, 0] = out[k, 1] = np.nan
        out[k, 2] = 0.0
        if n < 2:
            continue
        part = values[:n]
        sort(part)
        high = n
        for _ in range(10):
            level = 0.5 * (np.float64(part[(high - 1) // 2]) + np.float64(part[high // 2]))
            low = np.searchsorted(part[:high], level)
            square = 0.0
            for i in range(low):
                square += (part[i] - level) ** 2
            noise = np.sqrt(square / max(low, 1))
            # a wild value among the low ones
            first = np.searchsorted(part[:high], level - 5.0 * noise)
            if 0 < first < low:
                square = 0.0
                for i in range(first, low):
                    square += (part[i] - level) ** 2
                noise = np.sqrt(square / (low - first))
            last = np.searchsorted(part[:n], level + 3.0 * noise, side="right")
            if last >= high:
                break
            high = last
        mean = 0.0
        for i in range(high):
            mean += part[i]
        mean /= high
        if abs(mean - level) < 0.3 * noise:
            level = 2.5 * level - 1.5 * mean
        out[k, 0], out[k, 1], out[k, 2] = level, noise, high / seen


@njit("int64(float32[:, ::1], float32, int64, int64, int64[:, ::1])", cache=True, nogil=True)
def peaks(image, threshold, first, last, found):
    """List the pixels that are not less than their neighbours, of equal ones the first.

    Parameters
    ----------
    image : (ny, nx) float32
        NaN is below all.
    threshold : float32
        Peaks are above.
    first, last : int
        Rows in which peaks are sought, the last one excluded; neighbours may be beyond.
    found : (m, 2) int64
        Filled with rows and columns, as far as there is room.

    Returns
    -------
    int
        How many there are.
    """
    ny, nx = image.shape
    number = 0
    for i in range(first, last):
        for j in range(nx):
            value = image[i, j]
            if not value > threshold:
                continue
            highest = True
            for di in range(-1, 2):
                for dj in range(-1, 2):
                    y, x = i + di, j + dj
                    if (di != 0 or dj != 0) and 0 <= y < ny and 0 <= x < nx:
                        before = di < 0 or (di == 0 and dj < 0)
                        other = image[y, x]
                        highest &= not (other >= value if before else other > value)
            if highest:
                if number < found.shape[0]:
                    found[number, 0] = i
                    found[number, 1] = j
                number += 1
    return number


@njit(
    "void(float32[:, ::1], float32[:, ::1], float32[:, ::1], float64[::1], int64[:, ::1], "
    "float64[:, ::1])",
    cache=True,
    nogil=True,
)
def describe(image, err, weight, kernel, places, out):
    """Tell what is under the kernel at some places.

    Parameters
    ----------
    image, err, weight : (ny, nx) float32
        As for `weighted`.
    kernel : (2 m + 1,) float64
    places : (n, 2) int64
        Rows and columns.
    out : (n, 4) float64
        Filled: the weighted mean of the image under the kernel; what `weighted` divides by, over
        the sum of kernel and weight; the weighted mean of weight and variance under the kernel's
        square; and the share of the kernel where there is any weight.
    """
    ny, nx = image.shape
    m = kernel.size // 2
    for k in range(places.shape[0]):
        light = total = power = variance = covered = whole = 0.0
        for di in range(-m, m + 1):
            for dj in range(-m, m + 1):
                factor = kernel[di + m] * kernel[dj + m]
                whole += factor
                y, x = places[k, 0] + di, places[k, 1] + dj
                if 0 <= y < ny and 0 <= x < nx and weight[y, x] > 0.0:
                    w = np.float64(weight[y, x])
                    covered += factor
                    light += factor * w * image[y, x]
                    total += factor * w
                    power += factor * factor * w
                    variance += factor * factor * w * w * np.float64(err[y, x]) ** 2
        out[k] = np.nan
        out[k, 3] = covered / whole
        if total > 0.0:
            out[k, 0] = light / total
            out[k, 1] = np.sqrt(power) / total
            out[k, 2] = variance / power


@njit("float64(float32[:, ::1], int64, int64)", cache=True, nogil=True)
def gain(image, i, j):
    """Return by how much a peak is higher than its pixel, by parabolas along both axes."""
    value = np.float64(image[i, j])
    total = 0.0
    for di, dj in ((0, 1), (1, 0)):
        if i >= di and j >= dj and i + di < image.shape[0] and j + dj < image.shape[1]:
            below = np.float64(image[i - di, j - dj])
            above = np.float64(image[i + di, j + dj])
            if 2.0 * value > below + above and value >= max(below, above):
                total += (above - below) ** 2 / (8.0 * (2.0 * value - below - above))
    return total


@njit(
    "void(float32[:, ::1], float32[:, ::1], int64[:, ::1], float64[:, ::1])",
    cache=True,
    nogil=True,
)
def heights(image, narrow, places, out):
    """Measure peaks between the pixels.

    Parameters
    ----------
    image, narrow : (ny, nx) float32
        NaN is below all; no peak is.
    places : (n, 2) int64
        Rows and columns of peaks of `image`.
    out : (n, 2) float64
        Filled: the height of `image` at its peak over that at the pixel; and the height of `narrow`
        at its own peak in the pixel or its neighbours. See `gain`.
    """
    ny, nx = image.shape
    for k in range(places.shape[0]):
        i, j = places[k]
        out[k, 0] = 1.0 + gain(image, i, j) / np.float64(image[i, j])
        top, left = i, j
        for y in range(max(i - 1, 0), min(i + 2, ny)):
            for x in range(max(j - 1, 0), min(j + 2, nx)):
                if narrow[y, x] > narrow[top, left]:
                    top, left = y, x
        out[k, 1] = np.float64(narrow[top, left]) + gain(narrow, top, left)
