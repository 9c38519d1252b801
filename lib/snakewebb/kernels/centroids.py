"""Positions of point-like sources."""

import numpy as np

from snakewebb.kernels.cache import njit

REACH = 4.0  # standard deviations of the window
PASSES = 50
CLOSE = 1e-5  # pixels


@njit(
    "Tuple((int64, int64, float64))(float32[:, ::1], int64, float64, float64)",
    cache=True,
    nogil=True,
)
def _window(image, half, x, y):
    """Return the first row and column of the window about a position, and the sky at its edge.

    That is NaN where the window is not within the image, or has no edge.
    """
    if not (np.isfinite(x) and np.isfinite(y)):
        return 0, 0, np.nan
    top, left = int(np.floor(y + 0.5)) - half, int(np.floor(x + 0.5)) - half
    bottom, right = top + 2 * half, left + 2 * half
    if top < 0 or left < 0 or bottom >= image.shape[0] or right >= image.shape[1]:
        return 0, 0, np.nan
    edge = np.empty(8 * half)
    for i in range(2 * half):
        edge[4 * i] = image[top, left + i]
        edge[4 * i + 1] = image[top + i, right]
        edge[4 * i + 2] = image[bottom, right - i]
        edge[4 * i + 3] = image[bottom - i, left]
    return top, left, np.nanmedian(edge)


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
    for k in range(x.size):
        top, left, sky = _window(image, half, x[k], y[k])
        if np.isnan(sky):
            continue
        bottom, right = top + 2 * half, left + 2 * half
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


@njit(
    "void(float32[:, ::1], float32[:, ::1], float64, float64[::1], float64[::1], float64[::1])",
    cache=True,
    nogil=True,
)
def centroid_errors(image, err, sigma, x, y, error):
    """Compute the standard errors of what `windowed_centroids` finds.

    Those that the noise of pixels makes, if it is not correlated: the error of the light's first
    moment under the window over what that moment changes by as the window moves. For a Gaussian as
    wide as the window the latter is half the light, and this the root of the mean of SExtractor's
    ERRX2WIN and ERRY2WIN; it is more for narrower sources and less for wider ones.

    Parameters
    ----------
    image, err : (ny, nx) float32
        With NaN where there is nothing; and the standard deviation of each pixel.
    sigma : float
        Of the window, pixels.
    x, y : (n,) float64
        The centroids, 0-based.
    error : (n,) float64
        Set to the error of either coordinate, pixels; NaN where there is none.
    """
    half = int(np.ceil(REACH * sigma))
    for k in range(x.size):
        error[k] = np.nan
        top, left, sky = _window(image, half, x[k], y[k])
        if np.isnan(sky):
            continue
        bottom, right = top + 2 * half, left + 2 * half
        slope = 0.0
        noise = 0.0
        for i in range(top, bottom + 1):
            for j in range(left, right + 1):
                square = (j - x[k]) ** 2 + (i - y[k]) ** 2
                if square <= (REACH * sigma) ** 2 and not np.isnan(image[i, j]):
                    window = np.exp(-0.5 * square / sigma**2)
                    slope += window * (image[i, j] - sky) * (1.0 - 0.5 * square / sigma**2)
                    if np.isfinite(err[i, j]):
                        noise += (window * err[i, j]) ** 2 * square
        if slope > 0.0 and noise > 0.0:
            error[k] = np.sqrt(0.5 * noise) / slope
