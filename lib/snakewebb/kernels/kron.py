"""Light in ellipses that grow with their sources."""

import numpy as np

from snakewebb.kernels.cache import njit
from snakewebb.kernels.covariance import quadratic_form


@njit(
    "boolean(float32[:, ::1], float32[:, ::1], uint32[:, ::1], uint32, int64, int64)",
    cache=True,
    nogil=True,
)
def is_own(image, weight, labels, label, i, j):
    """Return whether a pixel is a source's or nobody's, and has data."""
    ny, nx = image.shape
    if not (0 <= i < ny and 0 <= j < nx and weight[i, j] > 0.0):
        return False
    return labels[i, j] == label or labels[i, j] == 0


@njit(
    "void(float32[:, ::1], float32[:, ::1], float32[:, ::1], uint32[:, ::1], float64[:, ::1], "
    "float64, float64[::1], float64[::1], float32[:, :, :, ::1], int64, int64, int64, "
    "float64[:, ::1])",
    cache=True,
    nogil=True,
)
def kron(image, err, weight, labels, ellipses, reach, scale, least, kernels, step, top, left, out):
    """Sum up sources in ellipses of some times their first moment of radius.

    In place of a pixel of another source, or without data, counts the one opposite; if that is none
    of the source's either, the mean of the ellipse.

    Parameters
    ----------
    image, err, weight : (ny, nx) float32
        Without background; a pixel without weight has no data.
    labels : (ny, nx) uint32
        Whose a pixel is, 0 for nobody's.
    ellipses : (n, 6) float64
        Label, x, y, semimajor and semiminor axis (one standard deviation), and the angle of the
        first from +x, radians.
    reach : float
        How far the moment is taken, in units of the ellipse.
    scale : (n,) float64
        Size of the ellipse of the sum in units of the moment.
    least : (n,) float64
        The least such size, in units of the ellipse.
    kernels, step, top, left
        See `snakewebb.kernels.covariance.quadratic_form`; row and column are those of the image.
    out : (n, 3) float64
        Filled: sum, its error, and the semimajor axis in units of the ellipse's.

    Notes
    -----
    Kron 1980, ApJS 43, 305.
    """
    for k in range(ellipses.shape[0]):
        label = np.uint32(ellipses[k, 0])
        x, y, major, minor, angle = ellipses[k, 1:]
        out[k] = np.nan
        if not (major > 0.0 and minor > 0.0 and np.isfinite(x) and np.isfinite(y)):
            continue
        cosine, sine = np.cos(angle), np.sin(angle)
        moment = 0.0
        for again in range(2):
            limit = reach if again == 0 else max(min(scale[k] * moment, reach), least[k])
            half = int(np.ceil(limit * major)) + 1
            light = first = 0.0
            side = 2 * half + 2 if again == 1 else 1
            counts = np.zeros((side, side))
            missing = seen = 0.0
            for i in range(int(y) - half, int(y) + half + 2):
                for j in range(int(x) - half, int(x) + half + 2):
                    dx, dy = j - x, i - y
                    along = (dx * cosine + dy * sine) / major
                    across = (dy * cosine - dx * sine) / minor
                    square = along * along + across * across
                    if square > limit * limit:
                        continue
                    radius = np.sqrt(square)
                    row, column = i, j
                    if not is_own(image, weight, labels, label, row, column):
                        row = int(np.floor(2.0 * y - i + 0.5))
                        column = int(np.floor(2.0 * x - j + 0.5))
                        if not is_own(image, weight, labels, label, row, column):
                            missing += 1.0
                            continue
                    seen += 1.0
                    light += image[row, column]
                    first += radius * image[row, column]
                    if again == 1:
                        r, c = row - int(y) + half, column - int(x) + half
                        if 0 <= r < side and 0 <= c < side:
                            counts[r, c] += err[row, column]
            if again == 0:
                moment = first / light if light > 0.0 and first > 0.0 else 0.0
            elif seen > 0.0:
                # the missing pixels are like the mean of the others
                place = top + int(y) - half, left + int(x) - half
                out[k, 0] = light * (1.0 + missing / seen)
                out[k, 1] = np.sqrt(quadratic_form(counts, kernels, step, *place))
                out[k, 1] *= 1.0 + missing / seen
                out[k, 2] = limit
