"""Covariances of output pixels, from the shares that input pixels have in them."""

import numpy as np

from snakewebb.kernels.cache import njit
from snakewebb.kernels.drizzle import MARGIN, drizzle_square
from snakewebb.kernels.overlaps import NOISE, drop_areas
from snakewebb.kernels.pixel_map import bicubic_lattice
from snakewebb.kernels.resample import add_exposure

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


@njit(cache=True, nogil=True, error_model="numpy")
def _extent(u, v, pixfrac):
    """Return the extent of the largest drop along either axis."""
    extent = 0.0
    for j in range(u.shape[0] - 1):
        for i in range(u.shape[1] - 1):
            wide = max(abs(u[j, i + 1] - u[j, i]), abs(u[j + 1, i + 1] - u[j + 1, i]))
            wide += max(abs(u[j + 1, i] - u[j, i]), abs(u[j + 1, i + 1] - u[j, i + 1]))
            high = max(abs(v[j, i + 1] - v[j, i]), abs(v[j + 1, i + 1] - v[j + 1, i]))
            high += max(abs(v[j + 1, i] - v[j, i]), abs(v[j + 1, i + 1] - v[j, i + 1]))
            extent = max(extent, pixfrac * max(wide, high))
    return extent


@njit(
    "void(float64[:, :, :, ::1], float64[::1], float64[:, ::1], int64[::1], float64, "
    "float32[:, :, ::1], float64, float64, int64[:, ::1], float64[:, :, :, ::1])",
    cache=True,
    nogil=True,
    error_model="numpy",
)
def add_totals(spline, steps, inverse, limits, pixfrac, sample, repeats, time, corners, totals):
    """Drizzle onto squares of the output what an exposure's pixels weigh, and their variances.

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
    sample : (4, h, w) float32
        Weight, VAR_RNOISE, VAR_POISSON and VAR_FLAT of pixels, which repeat all over the exposure.
    repeats, time : float
        See `snakewebb.kernels.drizzle.drizzle_square`, `snakewebb.kernels.resample.add_exposure`.
    corners : (n, 2) int64
        Column and row of the first pixel of each square.
    totals : (n, 9, side, side) float64
        See `snakewebb.kernels.resample.add_exposure`. Added to.
    """
    side = totals.shape[2]
    middle = (side - 1) / 2.0
    context = np.empty((0, 0), np.uint32)
    sums = np.empty((side + 2 * MARGIN, side + 2 * MARGIN, 8))
    for k in range(corners.shape[0]):
        left, bottom = corners[k]
        x0, x1, y0, y1 = _window(
            spline, steps, inverse, limits, left + middle, bottom + middle, float(side)
        )
        if x0 >= x1 or y0 >= y1:
            continue
        u, v = _lattice(spline, steps, np.arange(x0, x1 + 1) - 0.5, np.arange(y0, y1 + 1) - 0.5)
        # All at once, as if rows followed each other; what comes of their ends does not weigh.
        number = u.shape[1]
        here = np.zeros((4, 1, u.size - number), np.float32)
        for j in range(y1 - y0):
            for i in range(x1 - x0):
                y, x = (y0 + j) % sample.shape[1], (x0 + i) % sample.shape[2]
                for plane in range(4):
                    here[plane, 0, j * number + i] = sample[plane, y, x]
        here = here[:, :, :-1].copy()
        edges = np.empty((2, 2, u.size - number))
        edges[0, 0], edges[0, 1] = u[:-1].ravel(), u[1:].ravel()
        edges[1, 0], edges[1, 1] = v[:-1].ravel(), v[1:].ravel()
        # The image does not count.
        planes = here[0], here[1], here[2], here[3]
        sums[:] = 0.0
        drizzle_square(
            edges[0], edges[1], pixfrac, here[0], planes, 0.0, repeats, bottom, left, sums
        )
        add_exposure(sums, 0, 0, time, totals[k], context, np.uint32(0))


@njit(
    "void(float64[:, :, :, ::1], float64[::1], float64[:, ::1], int64[::1], float64, "
    "float64[:, ::1], int64[:, ::1], float64[:, :, ::1], float64[:, :, ::1])",
    cache=True,
    nogil=True,
    error_model="numpy",
)
def add_pairs(spline, steps, inverse, limits, pixfrac, noise, corners, scale, pairs):
    """Add up the covariances of output pixels by lag, of the noise of an exposure's pixels.

    Parameters
    ----------
    spline, steps, inverse, limits, pixfrac, corners
        See `add_totals`.
    noise : (h, w) float64
        Weight times standard deviation of pixels, which repeat all over the exposure.
    scale : (n, side, side) float64
        Of the pixels of each square, what noise that falls on them is multiplied by.
    pairs : (n, reach + 1, 2 reach + 1) float64
        Gets the mean product of two pixels' noise in the unit of ``scale``, the second 0 to reach
        rows above and -reach to reach columns beside the first. Only drops count that touch pixels
        which lie at least reach from the rim of the square, by the part that does; of these all
        pairs, so that the Fourier transform over lags is nowhere negative.
    """
    side, reach = scale.shape[1], pairs.shape[1] - 1
    middle = (side - 1) / 2.0
    rows = np.empty(side * side, np.int64)
    columns = np.empty(side * side, np.int64)
    shares = np.empty(side * side)
    for k in range(corners.shape[0]):
        left, bottom = corners[k]
        inner = scale[k, reach : side - reach, reach : side - reach]
        known = np.sum(inner > 0.0)
        x0, x1, y0, y1 = _window(
            spline, steps, inverse, limits, left + middle, bottom + middle, float(side)
        )
        if x0 >= x1 or y0 >= y1 or known == 0:
            continue
        u, v = _lattice(spline, steps, np.arange(x0, x1 + 1) - 0.5, np.arange(y0, y1 + 1) - 0.5)
        # All at once, as if rows followed each other; what comes of their ends is left out.
        u0, u1, v0, v1 = u[:-1].ravel(), u[1:].ravel(), v[:-1].ravel(), v[1:].ravel()
        col = np.empty(u0.size - 1)
        row = np.empty(u0.size - 1)
        areas = drop_areas(u0, u1, v0, v1, pixfrac, _extent(u, v, pixfrac), col, row)
        size = int(np.sqrt(areas.shape[0]))
        for i in range(col.size):
            at_x, at_y = int(col[i]) - left, int(row[i]) - bottom
            if min(at_x, at_y) <= reach - size or max(at_x, at_y) >= side - reach:
                continue
            y, x = np.divmod(i, u.shape[1])
            own = noise[(y0 + y) % noise.shape[0], (x0 + x) % noise.shape[1]]
            drop = areas[:, i].sum()
            if x == u.shape[1] - 1 or drop == 0.0 or own == 0.0:
                continue
            number = 0
            part = 0.0
            for r in range(max(0, -at_y), min(size, side - at_y)):
                for c in range(max(0, -at_x), min(size, side - at_x)):
                    share = areas[r * size + c, i] / drop
                    if abs(share * drop) > NOISE:
                        rows[number], columns[number] = at_y + r, at_x + c
                        shares[number] = share * own * scale[k, at_y + r, at_x + c]
                        number += 1
                        if reach <= at_y + r < side - reach and reach <= at_x + c < side - reach:
                            part += share
            if part == 0.0:
                continue
            for p in range(number):
                for q in range(p, number):
                    up, along = rows[q] - rows[p], columns[q] - columns[p]
                    if up <= reach and abs(along) <= reach:
                        pairs[k, up, reach + along] += part / known * shares[p] * shares[q]
