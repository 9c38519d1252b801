"""Positions of point-like sources."""

import numpy as np

from snakewebb.kernels.cache import njit

REACH = 4.0  # standard deviations of the window
PASSES = 50
CLOSE = 1e-5  # pixels


@njit("void(float32[:, ::1], float64, float64[::1], float64[::1])", cache=True, nogil=True)
def windowed_centroids(image, sigma, x, y):
    """Move positions to the centroids of the light under a Gaussian window about themselves.

    Less noisy than plain moments, and without their dependence on the phase of the pixels; the
    "windowed positions" of SExtractor (Bertin & Arnouts 1996, A&AS 117, 393; user's manual).

    Parameters
    ----------
    image : (ny, nx) float32
        In place of a NaN pixel counts the one opposite. A source with the image's edge in its
        window stays where it is; so does one that would move by more than a pixel.
    sigma : float
        Of the window, pixels.
    x, y : (n,) float64
        0-based positions, changed in place.
    """
    half = int(np.ceil(REACH * sigma))
    edge = np.empty(8 * half)
    for k in range(x.size):
        if not (np.isfinite(x[k]) and np.isfinite(y[k])):
            continue
        column = int(np.floor(x[k] + 0.5))
        row = int(np.floor(y[k] + 0.5))
        top, bottom, left, right = row - half, row + half, column - half, column + half
        if top < 0 or left < 0 or bottom >= image.shape[0] or right >= image.shape[1]:
            continue
        for i in range(2 * half):
            edge[4 * i] = image[top, left + i]
            edge[4 * i + 1] = image[top + i, right]
            edge[4 * i + 2] = image[bottom, right - i]
            edge[4 * i + 3] = image[bottom - i, left]
        sky = np.nanmedian(edge)
        cx, cy = x[k], y[k]
        for _ in range(PASSES):
            light = 0.0
            dx = 0.0
            dy = 0.0
            for i in range(top, bottom + 1):
                for j in range(left, right + 1):
                    square = (j - cx) ** 2 + (i - cy) ** 2
                    value = image[i, j]
                    if np.isnan(value):
                        row = min(max(int(np.floor(2.0 * cy - i + 0.5)), top), bottom)
                        column = min(max(int(np.floor(2.0 * cx - j + 0.5)), left), right)
                        value = image[row, column]
                    if square <= (REACH * sigma) ** 2 and not np.isnan(value):
                        value = np.exp(-0.5 * square / sigma**2) * (value - sky)
                        light += value
                        dx += value * (j - cx)
                        dy += value * (i - cy)
            if light <= 0.0:
                cx = np.nan
                break
            # Under a window as wide as the source, its centroid is half way only.
            cx += 2.0 * dx / light
            cy += 2.0 * dy / light
            if (cx - x[k]) ** 2 + (cy - y[k]) ** 2 > 1.0:
                cx = np.nan
                break
            if 2.0 * (abs(dx) + abs(dy)) < CLOSE * light:
                break
        if not np.isnan(cx):
            x[k] = cx
            y[k] = cy
