"""Light and sky in apertures around positions."""

import numpy as np

from snakewebb.kernels.background import clipped
from snakewebb.kernels.cache import njit
from snakewebb.kernels.covariance import quadratic_form


@njit("float64(float64, float64, float64)", cache=True, nogil=True)
def quarter(x, y, radius):
    """Return the area of a circle about the origin between the axes and (x, y), with its sign."""
    sign = np.sign(x) * np.sign(y)
    x, y = min(abs(x), radius), min(abs(y), radius)
    if x * x + y * y <= radius * radius:
        return sign * x * y
    edge = np.sqrt(radius * radius - y * y)
    area = y * edge
    area += 0.5 * x * np.sqrt(radius * radius - x * x) - 0.5 * edge * y
    area += 0.5 * radius * radius * (np.arcsin(x / radius) - np.arcsin(edge / radius))
    return sign * area


@njit("float64(float64, float64, float64)", cache=True, nogil=True)
def overlap(x, y, radius):
    """Return the area of a pixel within a circle about the origin; (x, y) is its centre."""
    near = np.hypot(max(abs(x) - 0.5, 0.0), max(abs(y) - 0.5, 0.0))
    if near >= radius:
        return 0.0
    if np.hypot(abs(x) + 0.5, abs(y) + 0.5) <= radius:
        return 1.0
    return (
        quarter(x + 0.5, y + 0.5, radius)
        - quarter(x - 0.5, y + 0.5, radius)
        - quarter(x + 0.5, y - 0.5, radius)
        + quarter(x - 0.5, y - 0.5, radius)
    )


@njit(
    "void(float32[:, ::1], float32[:, ::1], float64[::1], float64[::1], float64, float64[::1], "
    "float64[::1])",
    cache=True,
    nogil=True,
)
def circle_sums(image, err, x, y, radius, flux, flux_err):
    """Sum images in circles, pixels on the edge by their area within.

    Parameters
    ----------
    image, err : (ny, nx) float32
    x, y : (n,) float64
        Centres in 0-based pixels.
    radius : float
    flux, flux_err : (n,) float64
        Filled with the sum of `image` and the root of the sum of squares of `err`; NaN for a
        centre that is NaN or a circle off the image.
    """
    ny, nx = image.shape
    for k in range(x.size):
        flux[k] = flux_err[k] = np.nan
        if not (np.isfinite(x[k]) and np.isfinite(y[k])):
            continue
        total = 0.0
        square = 0.0
        any_pixel = False
        for i in range(
            max(int(np.floor(y[k] - radius + 0.5)), 0), min(int(np.ceil(y[k] + radius + 0.5)), ny)
        ):
            for j in range(
                max(int(np.floor(x[k] - radius + 0.5)), 0),
                min(int(np.ceil(x[k] + radius + 0.5)), nx),
            ):
                area = overlap(j - x[k], i - y[k], radius)
                if area > 0.0:
                    any_pixel = True
                    total += area * image[i, j]
                    square += area * np.float64(err[i, j]) ** 2
        if any_pixel:
            flux[k] = total
            flux_err[k] = np.sqrt(square)


@njit(
    "void(float32[:, ::1], float64[::1], float64[::1], float64, float32[:, :, :, ::1], int64, "
    "int64, int64, float64[::1])",
    cache=True,
    nogil=True,
)
def circle_errors(err, x, y, radius, kernels, step, top, left, flux_err):
    """Find the errors of sums in circles, pixels on the edge by their area within.

    Parameters
    ----------
    err : (ny, nx) float32
        ERR of pixels.
    x, y : (n,) float64
        Centres in 0-based pixels.
    radius : float
    kernels, step, top, left
        See `snakewebb.kernels.covariance.quadratic_form`; row and column are those of `err`.
    flux_err : (n,) float64
        Filled; NaN for a centre that is NaN or a circle off the image.
    """
    ny, nx = err.shape
    for k in range(x.size):
        flux_err[k] = np.nan
        if not (np.isfinite(x[k]) and np.isfinite(y[k])):
            continue
        first_row = max(int(np.floor(y[k] - radius + 0.5)), 0)
        end_row = min(int(np.ceil(y[k] + radius + 0.5)), ny)
        first = max(int(np.floor(x[k] - radius + 0.5)), 0)
        end = min(int(np.ceil(x[k] + radius + 0.5)), nx)
        if first_row >= end_row or first >= end:
            continue
        values = np.zeros((end_row - first_row, end - first))
        for i in range(first_row, end_row):
            for j in range(first, end):
                area = overlap(j - x[k], i - y[k], radius)
                if area > 0.0:
                    values[i - first_row, j - first] = area * err[i, j]
        if np.any(values != 0.0):
            square = quadratic_form(values, kernels, step, top + first_row, left + first)
            flux_err[k] = np.sqrt(square)


@njit(
    "void(float32[:, ::1], float64[::1], float64[::1], float64, float64, float32[:, :, :, ::1], "
    "int64, int64, int64, float64[::1], float64[::1])",
    cache=True,
    nogil=True,
)
def annulus_sky(image, x, y, inner, outer, kernels, step, top, left, sky, sky_err):
    """Find the median of the pixels with their centres in rings, clipped at 3 sigma.

    Parameters
    ----------
    image : (ny, nx) float32
        Infinite and NaN pixels do not count.
    x, y : (n,) float64
        Centres in 0-based pixels.
    inner, outer : float
        Radii.
    kernels, step, top, left
        See `snakewebb.kernels.covariance.quadratic_form`; row and column are those of `image`.
    sky, sky_err : (n,) float64
        Filled with the median and its standard error; NaN without a pixel. The variance of the
        median of n normal values of variance σ² and correlations ρ is σ² Σ arcsin(ρ) / n² over all
        pairs: the values' signs have the covariances 2 arcsin(ρ) / π.
    """
    ny, nx = image.shape
    reach = int(np.ceil(outer)) + 1
    values = np.empty((2 * reach + 1) ** 2)
    used = np.empty((2 * reach + 1, 2 * reach + 1))
    angles = np.empty_like(kernels)
    middle = kernels.shape[2] // 2
    for cell in np.ndindex(kernels.shape[:2]):
        for lag in np.ndindex(kernels.shape[2:]):
            ratio = kernels[cell][lag] / kernels[cell][middle, middle]
            angles[cell][lag] = np.arcsin(min(max(ratio, -1.0), 1.0)) / (np.pi / 2)
    for k in range(x.size):
        sky[k] = sky_err[k] = np.nan
        if not (np.isfinite(x[k]) and np.isfinite(y[k])):
            continue
        n = 0
        used[:] = 0.0
        first_row, first = int(np.floor(y[k])) - reach, int(np.floor(x[k])) - reach
        for i in range(max(int(y[k] - outer), 0), min(int(np.ceil(y[k] + outer)) + 1, ny)):
            for j in range(max(int(x[k] - outer), 0), min(int(np.ceil(x[k] + outer)) + 1, nx)):
                square = (j - x[k]) ** 2 + (i - y[k]) ** 2
                if inner * inner <= square < outer * outer and np.isfinite(image[i, j]):
                    values[n] = image[i, j]
                    used[i - first_row, j - first] = 1.0
                    n += 1
        number, median, _, std = clipped(np.sort(values[:n]), 3.0, 5)
        if number > 0:
            pairs = quadratic_form(used, angles, step, top + first_row, left + first)
            sky[k] = median
            sky_err[k] = np.sqrt(np.pi / 2 * pairs / n / number) * std


@njit(
    "float64(float32[:, ::1], boolean[:, ::1], float64, float64, float64, float64, float64)",
    cache=True,
    nogil=True,
)
def frame_sky(image, bad, x, y, width, height, rim):
    """Estimate the sky in a rectangular frame, as SExtractor estimates it in a mesh.

    Bertin & Arnouts 1996, A&AS 117, 393, with the constants of photutils.

    Parameters
    ----------
    image : (ny, nx) float32
    bad : (ny, nx) bool
        Pixels that do not count.
    x, y : float
        Centre in 0-based pixels.
    width, height : float
        Of the hole.
    rim : float
        Width of the frame.

    Returns
    -------
    float
        0 from fewer than 10 pixels.
    """
    ny, nx = image.shape
    right, upper = width / 2 + rim, height / 2 + rim
    rows = range(max(int(y - upper), 0), min(int(np.ceil(y + upper)) + 1, ny))
    columns = range(max(int(x - right), 0), min(int(np.ceil(x + right)) + 1, nx))
    values = np.empty(max(len(rows) * len(columns), 0))
    n = 0
    for i in rows:
        for j in columns:
            dx, dy = abs(j - x), abs(i - y)
            hole = dx < width / 2 and dy < height / 2
            if dx < right and dy < upper and not hole and not bad[i, j]:
                values[n] = image[i, j]
                n += 1
    if n < 10:
        return 0.0
    _, median, mean, std = clipped(np.sort(values[:n]), 3.0, 20)
    if std == 0.0:
        return mean
    return 2.5 * median - 1.5 * mean if abs(mean - median) / std < 0.3 else median


@njit("void(float64[::1], float64[::1], int64[::1])", cache=True, nogil=True)
def nearest(x, y, index):
    """Find the nearest other point of each point.

    Parameters
    ----------
    x, y : (n,) float64
        In the order of y.
    index : (n,) int64
        Filled; -1 for a point alone.
    """
    for i in range(x.size):
        index[i] = -1
        best = np.inf
        for step in (-1, 1):
            k = i + step
            while 0 <= k < x.size and (y[k] - y[i]) ** 2 < best:
                square = (x[k] - x[i]) ** 2 + (y[k] - y[i]) ** 2
                if square < best:
                    best = square
                    index[i] = k
                k += step
