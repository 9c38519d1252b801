"""Stars and sky in one exposure."""

import numpy as np

from snakewebb.kernels.background import clipped
from snakewebb.kernels.cache import njit
from snakewebb.kernels.photometry import overlap

REACH = 3.5  # standard deviations of the window
PASSES = 50
STRIDE = 1.5
CLOSE = 1e-5  # pixels


@njit(
    "void(float32[:, ::1], float32[:, ::1], float64[::1], float64[::1], float64[::1], "
    "float64[::1], float64, float64, float64[:, ::1])",
    cache=True,
    nogil=True,
)
def measure_stars(image, err, x, y, sky, sky_err, sigma, radius, measured):
    """Measure the light of stars in circles, and their centroids under a Gaussian window.

    The window is that of `snakewebb.kernels.centroids.windowed_centroids`. A centroid's error
    follows from the errors of pixels: its equation, the sum of w (x - c) I = 0, is linear for small
    errors of I.

    Parameters
    ----------
    image, err : (ny, nx) float32
        NaN pixels are bad; errors are taken for independent.
    x, y : (n,) float64
        About where the stars are, 0-based pixels.
    sky, sky_err : (n,) float64
        Of a pixel.
    sigma : float
        Of the window, pixels.
    radius : float
        Of the circles, which are about the given places; pixels on the edge count by their area
        within.
    measured : (n, 6) float64
        Filled: light less the sky, its error, x, y and their errors. NaN where a pixel of the
        circle is bad or off the image; the centroid also where it is more than two pixels off, or
        has a bad pixel in its window.
    """
    ny, nx = image.shape
    for k in range(x.size):
        measured[k, :] = np.nan
        if not (np.isfinite(x[k]) and np.isfinite(y[k]) and np.isfinite(sky[k])):
            continue
        half = int(np.ceil(radius + 0.5))
        row, column = int(np.floor(y[k] + 0.5)), int(np.floor(x[k] + 0.5))
        if row < half or column < half or row >= ny - half or column >= nx - half:
            continue
        light = 0.0
        area = 0.0
        square = 0.0
        for i in range(row - half, row + half + 1):
            for j in range(column - half, column + half + 1):
                share = overlap(j - x[k], i - y[k], radius)
                if share > 0.0:
                    light += share * image[i, j]
                    area += share
                    square += (share * np.float64(err[i, j])) ** 2
        light -= area * sky[k]
        if not np.isfinite(light):
            continue
        measured[k, 0] = light
        measured[k, 1] = np.sqrt(square + (area * sky_err[k]) ** 2)

        window = int(np.ceil(REACH * sigma)) + 1
        if row < window or column < window or row >= ny - window or column >= nx - window:
            continue
        cx, cy = x[k], y[k]
        settled = False
        for _ in range(PASSES):
            total = 0.0
            dx = 0.0
            dy = 0.0
            for i in range(row - window, row + window + 1):
                for j in range(column - window, column + window + 1):
                    square = (j - cx) ** 2 + (i - cy) ** 2
                    if square <= (REACH * sigma) ** 2:
                        value = np.exp(-0.5 * square / sigma**2) * (image[i, j] - sky[k])
                        total += value
                        dx += value * (j - cx)
                        dy += value * (i - cy)
            if not total > 0.0:
                break
            # The centroid is half way only under a window as wide as the source, and all the way
            # of a source that is far narrower: twice the step would never settle there.
            cx += STRIDE * dx / total
            cy += STRIDE * dy / total
            if not (cx - x[k]) ** 2 + (cy - y[k]) ** 2 <= 4.0:
                break
            if STRIDE * (abs(dx) + abs(dy)) < CLOSE * total:
                settled = True
                break
        if not settled:
            continue
        slope_x = 0.0
        slope_y = 0.0
        noise_x = 0.0
        noise_y = 0.0
        for i in range(row - window, row + window + 1):
            for j in range(column - window, column + window + 1):
                square = (j - cx) ** 2 + (i - cy) ** 2
                if square <= (REACH * sigma) ** 2:
                    weight = np.exp(-0.5 * square / sigma**2)
                    value = weight * (image[i, j] - sky[k])
                    slope_x += value * (1.0 - ((j - cx) / sigma) ** 2)
                    slope_y += value * (1.0 - ((i - cy) / sigma) ** 2)
                    noise_x += (weight * (j - cx) * np.float64(err[i, j])) ** 2
                    noise_y += (weight * (i - cy) * np.float64(err[i, j])) ** 2
        if slope_x > 0.0 and slope_y > 0.0:
            measured[k, 2] = cx
            measured[k, 3] = cy
            measured[k, 4] = np.sqrt(noise_x) / slope_x
            measured[k, 5] = np.sqrt(noise_y) / slope_y


@njit(
    "void(float32[:, ::1], float64[::1], float64[::1], int64, float64[::1], float64[::1])",
    cache=True,
    nogil=True,
)
def measure_sky(image, x, y, half, level, noise):
    """Find the median of squares about places, clipped at 3 sigma, and the noise of their pixels.

    Parameters
    ----------
    image : (ny, nx) float32
    x, y : (n,) float64
        0-based pixels.
    half : int
        Pixels from the middle of a square to its edge.
    level, noise : (n,) float64
        Filled; NaN where less than half of the square is on the image and good.
    """
    ny, nx = image.shape
    values = np.empty((2 * half + 1) ** 2)
    for k in range(x.size):
        level[k] = noise[k] = np.nan
        row, column = int(np.floor(y[k] + 0.5)), int(np.floor(x[k] + 0.5))
        n = 0
        for i in range(max(row - half, 0), min(row + half + 1, ny)):
            for j in range(max(column - half, 0), min(column + half + 1, nx)):
                if np.isfinite(image[i, j]):
                    values[n] = image[i, j]
                    n += 1
        if 2 * n >= values.size:
            _, median, _, std = clipped(np.sort(values[:n]), 3.0, 10)
            level[k] = median
            noise[k] = std
