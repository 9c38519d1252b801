"""The square drizzle kernel.

Every input pixel becomes a quadrilateral on the output grid and gives to each output pixel in
proportion to the area they share (Fruchter & Hook 2002, PASP 114, 144). The areas are found once
and serve all planes of an exposure.

The terms of an output pixel's sums come in an order that only the input sets, and from absolute
coordinates, whatever window of the output or rows of the input a call sees: any cutting of the
output into bands gives the same bits.
"""

import numpy as np

from snakewebb.kernels.cache import njit
from snakewebb.kernels.overlaps import (
    LARGE,
    NOISE,
    SLACK,
    SMALL,
    corners,
    drop_areas,
    overlaps,
    quarters,
)
from snakewebb.kernels.vectors import add_multiple

CHUNK = 128  # pixels at a time: their work arrays stay in a core's nearest cache
MARGIN = 3  # rows and columns about the window that blocks may stick out by


@njit(cache=True, nogil=True)
def _meets(v0, v1, top, bottom):
    """Tell whether pixels between two rows of corners may touch output rows top to bottom."""
    for v in (v0[0], v0[-1], v1[0], v1[-1]):
        if top < v + 0.5 < bottom:
            return True
    low, high = np.inf, -np.inf
    for i in range(v0.size):
        # Written out, since min and max may take a NaN over a number.
        low = v0[i] if v0[i] < low else low
        low = v1[i] if v1[i] < low else low
        high = v0[i] if v0[i] > high else high
        high = v1[i] if v1[i] > high else high
    return low + 0.5 < bottom and high + 0.5 > top


@njit(cache=True, nogil=True, error_model="numpy")
def _terms(x, y, n, weight, planes, j, start, sky, repeats, found, terms):
    """Find what pixels add per unit of shared area: 0 if they are not used."""
    x0, x1, x2, x3 = x[0], x[1], x[2], x[3]
    y0, y1, y2, y3 = y[0], y[1], y[2], y[3]
    factor = found[0]
    for i in range(n):
        drop = 0.5 * ((x2[i] - x0[i]) * (y3[i] - y1[i]) - (x3[i] - x1[i]) * (y2[i] - y0[i]))
        term = weight[start + i] / drop
        factor[i] = term if 0.0 < abs(term) < np.inf else 0.0
    image, values = planes[0][j], found[1]
    for i in range(n):
        value = factor[i] * (image[start + i] - sky)
        values[i] = value if factor[i] != 0.0 else 0.0
    for k in range(1, len(planes)):
        variance, values = planes[k][j], found[k + 1]
        for i in range(n):
            value = factor[i] * np.sqrt(variance[start + i])
            values[i] = value if factor[i] != 0.0 else 0.0
    if len(planes) > 1:
        rnoise, poisson, flat, values = found[2], found[3], found[4], found[5]
        for i in range(n):
            a, b, c = rnoise[i] * rnoise[i], poisson[i] * poisson[i], flat[i] * flat[i]
            known = a == a or b == b or c == c
            total = (a if a == a else 0.0) + (b if b == b else 0.0)
            values[i] = total + repeats * (c if c == c else 0.0) if known else np.nan
    for i in range(n):
        for k in range(len(planes) + 1):
            terms[i, k] = found[k, i]
        if len(planes) > 1:
            terms[i, 5] = found[5, i]


@njit(cache=True, nogil=True)
def _add_quarters(area, terms, planes, n, col, row, regular, top, left, sums):
    """Add the terms of regular pixels times their areas to the window."""
    height, width = sums.shape[:2]
    for i in range(n):
        if not regular[i]:
            continue
        x, y = int(col[i]) - left, int(row[i]) - top
        if x < 0 or y < 0 or x > width - 2 or y > height - 2:
            continue
        place = y * width + x
        add_multiple(sums, place, area[0, i], terms, i, planes)
        add_multiple(sums, place + 1, area[1, i], terms, i, planes)
        add_multiple(sums, place + width, area[2, i], terms, i, planes)
        add_multiple(sums, place + width + 1, area[3, i], terms, i, planes)


@njit(cache=True, nogil=True)
def _others(x, y, terms, n, regular, which, rest):
    """Copy corners of the pixels that are used and not regular, and tell which these are.

    Returns how many, and the largest extent.
    """
    number = 0
    largest = 0.0
    for i in range(n):
        if regular[i] or terms[i, 0] == 0.0:
            continue
        x0, x1, x2, x3 = x[0, i], x[1, i], x[2, i], x[3, i]
        y0, y1, y2, y3 = y[0, i], y[1, i], y[2, i], y[3, i]
        wide = max(abs(x1 - x0), abs(x2 - x3)) + max(abs(x3 - x0), abs(x2 - x1))
        high = max(abs(y1 - y0), abs(y2 - y3)) + max(abs(y3 - y0), abs(y2 - y1))
        largest = max(largest, wide, high)
        for k in range(4):
            rest[k, number], rest[4 + k, number] = x[k, i], y[k, i]
        which[number] = i
        number += 1
    return number, largest


@njit(cache=True, nogil=True)
def _add(area, terms, planes, which, n, columns, col, row, top, left, sums):
    """Add the terms of some pixels times their areas to the window."""
    size = len(columns)
    height, width = sums.shape[:2]
    for i in range(n):
        x, y = int(col[i]) - left, int(row[i]) - top
        if x < 0 or y < 0 or x > width - size or y > height - size:
            continue
        for r in range(size):
            for c in range(size):
                share = area[size * r + c, i]
                if abs(share) > NOISE:
                    add_multiple(sums, (y + r) * width + x + c, share, terms, which[i], planes)


@njit(cache=True, nogil=True)
def _add_whole(whole, terms, planes, n, regular, col, row, top, left, sums):
    """Do as `_add` for large blocks, which may stick out of the window; not of regular pixels."""
    height, width = sums.shape[:2]
    size = int(np.sqrt(whole.shape[0]))
    for i in range(n):
        if regular[i] or terms[i, 0] == 0.0:
            continue
        x, y = int(col[i]) - left, int(row[i]) - top
        for r in range(max(0, -y), min(size, height - y)):
            for c in range(max(0, -x), min(size, width - x)):
                share = whole[r * size + c, i]
                if abs(share) > NOISE:
                    add_multiple(sums, (y + r) * width + x + c, share, terms, i, planes)


@njit(
    "void(float32[:, ::1], float32[:, ::1], uint32[:, ::1], float32[:, ::1], float32[:, ::1], "
    "float32[:, ::1], uint32, float32, float32[:, ::1])",
    cache=True,
    nogil=True,
    error_model="numpy",
)
def weigh(sci, err, dq, rnoise, poisson, flat, bits, same, weight):
    """Find how pixels weigh: 0 if one is flagged, or not finite in some plane.

    Parameters
    ----------
    sci, err, dq, rnoise, poisson, flat : (ny, nx)
        Planes of an exposure. Another one may stand for one that is not there.
    bits : uint32
        Flags of pixels that are not used.
    same : float32
        The weight of all others; 0 takes 1 over ``rnoise``.
    weight : (ny, nx) float32
        Filled.
    """
    most = np.float32(np.inf)
    for j in range(weight.shape[0]):
        for i in range(weight.shape[1]):
            value = same if same != 0.0 else np.float32(1.0) / rnoise[j, i]
            good = (value > 0.0) & (value < most) & ((dq[j, i] & bits) == 0)
            good &= (abs(sci[j, i]) < most) & (abs(err[j, i]) < most)
            good &= (abs(rnoise[j, i]) < most) & (abs(poisson[j, i]) < most)
            good &= abs(flat[j, i]) < most
            weight[j, i] = value if good else np.float32(0.0)


@njit(
    [
        "void(float64[:, ::1], float64[:, ::1], float64, float32[:, ::1], "
        f"UniTuple(float32[:, ::1], {n}), float64, float64, int64, int64, float64[:, :, ::1])"
        for n in (1, 4)
    ],
    cache=True,
    nogil=True,
    error_model="numpy",
)
def drizzle_square(u, v, pixfrac, weight, planes, sky, repeats, top, left, sums):
    """Add rows of an exposure to sums over a window of the output.

    Parameters
    ----------
    u, v : (ny + 1, nx + 1) float64
        Output pixel coordinates (integers at pixel centres) of the corners of the input pixels.
        A pixel with a corner that is not finite is left out.
    pixfrac : float
        Side of the drop over that of the pixel, > 0.
    weight : (ny, nx) float32
        Pixels of weight 0 are left out whatever their values are.
    planes : tuple of (ny, nx) float32
        The image and, behind it, VAR_RNOISE, VAR_POISSON and VAR_FLAT or none.
    sky : float
        Subtracted from the image.
    repeats : float
        How many exposures share their errors of the flat field.
    top, left : int
        Output row and column of the window's first pixel.
    sums : (h + 2 MARGIN, w + 2 MARGIN, 2 or 8) float64
        For each pixel of the window, weight times shared area over the drop's area: summed alone,
        times the image, times the square root of each variance; and its square times the sum of
        the variances, VAR_FLAT ``repeats`` times, without those that are NaN or below 0; NaN if all
        are. Added to. What gathers in the margin means nothing.
    """
    ny, nx = weight.shape
    top -= MARGIN
    left -= MARGIN
    x = np.empty((4, CHUNK))
    y = np.empty((4, CHUNK))
    col = np.empty(CHUNK)
    row = np.empty(CHUNK)
    area = np.empty((16, CHUNK))
    regular = np.empty(CHUNK, np.bool_)
    which = np.empty(CHUNK, np.int64)
    rest = np.empty((8, CHUNK))
    found = np.empty((2 + len(planes), CHUNK))
    terms = np.zeros((CHUNK, 2 * len(planes)))
    near = 0.5 - 0.5 * pixfrac
    for j in range(ny):
        for start in range(0, nx, CHUNK):
            n = min(CHUNK, nx - start)
            cut = slice(start, start + n + 1)
            u0, u1, v0, v1 = u[j, cut], u[j + 1, cut], v[j, cut], v[j + 1, cut]
            if not _meets(v0, v1, top + MARGIN, top + sums.shape[0] - MARGIN):
                continue
            corners(u0, u1, near, near, pixfrac, x)
            corners(v0, v1, near, near, pixfrac, y)
            _terms(x, y, n, weight[j], planes, j, start, sky, repeats, found, terms)
            quarters(x, y, n, area, col, row, regular)
            _add_quarters(area, terms, planes, n, col, row, regular, top, left, sums)
            number, extent = _others(x, y, terms, n, regular, which, rest)
            if number == 0:
                continue
            if extent <= len(SMALL[0]) - 1 - SLACK:
                overlaps(rest[:4], rest[4:], number, *SMALL, col, row, area)
                _add(area, terms, planes, which, number, SMALL[0], col, row, top, left, sums)
            elif extent <= len(LARGE[0]) - 1 - SLACK:
                overlaps(rest[:4], rest[4:], number, *LARGE, col, row, area)
                _add(area, terms, planes, which, number, LARGE[0], col, row, top, left, sums)
            else:
                whole = drop_areas(u0, u1, v0, v1, pixfrac, extent, col, row)
                _add_whole(whole, terms, planes, n, regular, col, row, top, left, sums)
