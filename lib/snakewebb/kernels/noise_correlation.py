"""Covariances of output pixels, from the shares that input pixels have in them."""

import numpy as np

from snakewebb.kernels.cache import njit
from snakewebb.kernels.drizzle import NOISE, drop_areas
from snakewebb.kernels.pixel_map import bicubic_lattice

PASSES = 4  # of Newton's method, from an affine map that is right to a few pixels
BEYOND = 8.0  # input pixels by which a patch's middle may lie outside an exposure, besides its own


@njit(cache=True, nogil=True)
def _lattice(spline, steps, x, y):
    """Map the lattice of columns and rows of an exposure to the output."""
    u = np.empty((y.size, x.size))
    v = np.empty((y.size, x.size))
    for k, out in ((0, u), (1, v)):
        f, fx, fy, fxy = spline[k, 0], spline[k, 1], spline[k, 2], spline[k, 3]
        bicubic_lattice(f, fx, fy, fxy, steps[0], steps[1], steps[2], steps[3], x, y, out)
    return u, v


@njit(cache=True, nogil=True, error_model="numpy")
def _window(spline, steps, inverse, limits, u0, v0, side):
    """Return which input columns and rows may touch a square of the output; ends excluded."""
    x = inverse[0, 0] * u0 + inverse[0, 1] * v0 + inverse[0, 2]
    y = inverse[1, 0] * u0 + inverse[1, 1] * v0 + inverse[1, 2]
    across = np.zeros(2)
    for _ in range(PASSES):
        u, v = _lattice(spline, steps, np.array([x, x + 1.0]), np.array([y, y + 1.0]))
        a, b = u[0, 1] - u[0, 0], u[1, 0] - u[0, 0]
        c, d = v[0, 1] - v[0, 0], v[1, 0] - v[0, 0]
        scale = 1.0 / (a * d - b * c)
        du, dv = u0 - u[0, 0], v0 - v[0, 0]
        x += scale * (d * du - b * dv)
        y += scale * (a * dv - c * du)
        half = side / 2.0 + max(abs(a) + abs(b), abs(c) + abs(d))
        across[0] = half * (abs(scale * d) + abs(scale * b))
        across[1] = half * (abs(scale * c) + abs(scale * a))
        if not (
            limits[0] - across[0] - BEYOND < x < limits[1] + across[0] + BEYOND
            and limits[2] - across[1] - BEYOND < y < limits[3] + across[1] + BEYOND
        ):
            return 0, 0, 0, 0
    return (
        max(int(np.floor(x - across[0])), limits[0]),
        min(int(np.ceil(x + across[0])) + 1, limits[1]),
        max(int(np.floor(y - across[1])), limits[2]),
        min(int(np.ceil(y + across[1])) + 1, limits[3]),
    )


@njit(
    "void(float64[:, :, :, ::1], float64[::1], float64[:, ::1], int64[::1], float64, float64, "
    "float64, int64[:, ::1], float64[:, :, ::1], float64[:, :, :, ::1])",
    cache=True,
    nogil=True,
    error_model="numpy",
)
def add_covariances(
    spline, steps, inverse, limits, pixfrac, weight, variance, corners, totals, covariances
):
    """Add what an exposure adds to the covariances of pixels in patches of the output.

    Parameters
    ----------
    spline, steps
        See `snakewebb.wcs.pixel_map.PixelMap.spline`.
    inverse : (2, 3) float64
        Affine map, about right, from output column, row and 1 to input column and row.
    limits : (4,) int64
        First and end column, first and end row of what is used of the exposure.
    pixfrac : float
        See `snakewebb.kernels.drizzle.drizzle_square`.
    weight, variance : float
        Of all the exposure's pixels.
    corners : (n, 2) int64
        Column and row of the first pixel of each patch.
    totals : (n, side, side) float64
        Gets Σ a w, see `snakewebb.mosaicking.resample.drizzle_band`.
    covariances : (n, side², reach + 1, 2 reach + 1) float64
        Gets Σ (a w)_p (a w)_q σ² of a pixel p and those, q, that lie 0 to reach rows above and
        -reach to reach columns beside it, in the patch; in the same row only those after p.
    """
    side, reach = totals.shape[1], covariances.shape[2] - 1
    rows = np.empty(side * side, np.int64)
    columns = np.empty(side * side, np.int64)
    shares = np.empty(side * side)
    for patch in range(corners.shape[0]):
        left, bottom = corners[patch]
        middle = (side - 1) / 2.0
        x0, x1, y0, y1 = _window(
            spline, steps, inverse, limits, left + middle, bottom + middle, float(side)
        )
        if x0 >= x1 or y0 >= y1:
            continue
        u, v = _lattice(spline, steps, np.arange(x0, x1 + 1) - 0.5, np.arange(y0, y1 + 1) - 0.5)
        extent = 0.0
        for j in range(y1 - y0):
            for i in range(x1 - x0):
                wide = max(abs(u[j, i + 1] - u[j, i]), abs(u[j + 1, i + 1] - u[j + 1, i]))
                wide += max(abs(u[j + 1, i] - u[j, i]), abs(u[j + 1, i + 1] - u[j, i + 1]))
                high = max(abs(v[j, i + 1] - v[j, i]), abs(v[j + 1, i + 1] - v[j + 1, i]))
                high += max(abs(v[j + 1, i] - v[j, i]), abs(v[j + 1, i + 1] - v[j, i + 1]))
                extent = max(extent, pixfrac * max(wide, high))
        # All at once, as if rows followed each other; what comes of their ends is left out.
        u0, u1, v0, v1 = u[:-1].ravel(), u[1:].ravel(), v[:-1].ravel(), v[1:].ravel()
        col = np.empty(u0.size - 1)
        row = np.empty(u0.size - 1)
        areas = drop_areas(u0, u1, v0, v1, pixfrac, extent, col, row)
        size = int(np.sqrt(areas.shape[0]))
        for i in range(col.size):
            drop = areas[:, i].sum()
            at_x, at_y = int(col[i]) - left, int(row[i]) - bottom
            if i % u.shape[1] == u.shape[1] - 1 or drop == 0.0:
                continue
            number = 0
            for r in range(max(0, -at_y), min(size, side - at_y)):
                for c in range(max(0, -at_x), min(size, side - at_x)):
                    share = areas[r * size + c, i]
                    if abs(share) > NOISE:
                        rows[number], columns[number] = at_y + r, at_x + c
                        shares[number] = weight * share / drop
                        number += 1
            for p in range(number):
                totals[patch, rows[p], columns[p]] += shares[p]
                own = covariances[patch, rows[p] * side + columns[p]]
                for q in range(p, number):
                    up, along = rows[q] - rows[p], columns[q] - columns[p]
                    if up <= reach and abs(along) <= reach:
                        own[up, reach + along] += shares[p] * shares[q] * variance


@njit("void(float64[:, :, ::1], float64[:, :, :, ::1], float64[:, :, ::1])", cache=True, nogil=True)
def correlate(totals, covariances, correlations):
    """Make correlations out of what all exposures add to covariances.

    Parameters
    ----------
    totals, covariances
        From `add_covariances`.
    correlations : (n, 2 reach + 1, 2 reach + 1) float64
        Filled: by lags in y and x, the mean covariance of pixels in a patch over the mean product
        of their standard deviations; NaN where no exposure lies.
    """
    side, reach = totals.shape[1], covariances.shape[2] - 1
    for patch in range(totals.shape[0]):
        total, covariance = totals[patch].ravel(), covariances[patch]
        for up in range(reach + 1):
            for along in range(-reach, reach + 1):
                joint = product = 0.0
                for r in range(side - up):
                    for c in range(max(0, -along), side - max(0, along)):
                        p, q = r * side + c, (r + up) * side + c + along
                        if total[p] == 0.0 or total[q] == 0.0:
                            continue
                        own, other = covariance[p, 0, reach], covariance[q, 0, reach]
                        joint += covariance[p, up, reach + along] / (total[p] * total[q])
                        product += np.sqrt(own * other) / (total[p] * total[q])
                if up == 0 and along < 0:
                    continue
                found = joint / product if product > 0.0 else np.nan
                correlations[patch, reach + up, reach + along] = found
                correlations[patch, reach - up, reach - along] = found
