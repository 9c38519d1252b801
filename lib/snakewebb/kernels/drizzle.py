"""The square drizzle kernel.

Every input pixel becomes a quadrilateral on the output grid and gives to each output pixel in
proportion to the area they share (Fruchter & Hook 2002, PASP 114, 144). The areas are found once
and serve all planes of an exposure.

Areas come from Green's theorem. A quadrilateral lies in a block of output pixels, and the area of
it that is left of a line x = X, within one row of the block, is minus the sum over its edges of
the integral of max(X - x, 0) dy along the edge. On an edge from (xa, ya) to (xb, yb) with
xa ≤ xb, run through by τ from 0 to 1, that integral up to τ is

    (yb - ya) d (X - xa - d (xb - xa) / 2),    d = min(τ, the τ at which the edge crosses X),

so each edge needs two divisions and no branch, and loses no digits where it is nearly vertical or
level. Quadrilaterals larger than a block are cut into n×n that each fit one, and their areas added
up, since variances need the squares of whole ones.

The terms of an output pixel's sums come in an order that only the input sets, and from absolute
coordinates, whatever window of the output or rows of the input a call sees: any cutting of the
output into bands gives the same bits.
"""

import numpy as np

from snakewebb.kernels.cache import njit

CHUNK = 128  # pixels at a time: their work arrays stay in a core's nearest cache
# Blocks: their columns, and the rows done at once. What the compiler can unroll is fast: 3×3 at
# once, for pixels as large as the output's, and 4×4 in two halves.
SMALL = (0, 1, 2), (0, 1, 2)
LARGE = (0, 1, 2, 3), (0, 1)
MARGIN = 3  # rows and columns about the window that blocks may stick out by
SLACK = 0.001
NOISE = 1e-13  # areas are right to 1e-15; less than this is no overlap
TINY = 1e-200


@njit(cache=True, nogil=True)
def _meets(v0, v1, top, bottom):
    """Tell whether pixels between two rows of corners may touch output rows top to bottom."""
    low, high = np.inf, -np.inf
    for i in range(v0.size):
        # Written out, since min and max may take a NaN over a number.
        low = v0[i] if v0[i] < low else low
        low = v1[i] if v1[i] < low else low
        high = v0[i] if v0[i] > high else high
        high = v1[i] if v1[i] > high else high
    return low + 0.5 < bottom and high + 0.5 > top


@njit(cache=True, nogil=True)
def _corners(c0, c1, a, b, side, out):
    """Find one coordinate of the corners of the pixels' parts from (a, b) to (a, b) + side.

    ``c0`` and ``c1`` hold it at the corners of the pixels in two lattice rows; the parts are in
    units of the pixel's sides. Edges of output pixels come to lie on integers.
    """
    ea, eb = a + side, b + side
    p0, p1, p2, p3 = out[0], out[1], out[2], out[3]
    for i in range(c0.size - 1):
        below0 = (1.0 - a) * c0[i] + a * c0[i + 1]
        below1 = (1.0 - ea) * c0[i] + ea * c0[i + 1]
        above0 = (1.0 - a) * c1[i] + a * c1[i + 1]
        above1 = (1.0 - ea) * c1[i] + ea * c1[i + 1]
        p0[i] = (1.0 - b) * below0 + b * above0 + 0.5
        p1[i] = (1.0 - b) * below1 + b * above1 + 0.5
        p2[i] = (1.0 - eb) * below1 + eb * above1 + 0.5
        p3[i] = (1.0 - eb) * below0 + eb * above0 + 0.5


@njit(cache=True, nogil=True, error_model="numpy")
def _terms(x, y, n, weight, planes, j, start, sky, repeats, extents, terms):
    """Find what pixels add per unit of shared area; return the largest extent of a large one."""
    x0, x1, x2, x3 = x[0], x[1], x[2], x[3]
    y0, y1, y2, y3 = y[0], y[1], y[2], y[3]
    factor = terms[0]
    large = 0
    for i in range(n):
        drop = 0.5 * ((x2[i] - x0[i]) * (y3[i] - y1[i]) - (x3[i] - x1[i]) * (y2[i] - y0[i]))
        term = weight[start + i] / drop
        factor[i] = term if 0.0 < abs(term) < np.inf else 0.0
        wide = max(abs(x1[i] - x0[i]), abs(x2[i] - x3[i]))
        wide += max(abs(x3[i] - x0[i]), abs(x2[i] - x1[i]))
        high = max(abs(y1[i] - y0[i]), abs(y2[i] - y3[i]))
        high += max(abs(y3[i] - y0[i]), abs(y2[i] - y1[i]))
        extents[i] = max(wide, high) if factor[i] != 0.0 else 0.0
        large += extents[i] > len(SMALL[0]) - 1 - SLACK
    image, values = planes[0][j], terms[1]
    for i in range(n):
        values[i] = factor[i] * (image[start + i] - sky)
    for k in range(1, len(planes)):
        variance, values = planes[k][j], terms[k + 1]
        for i in range(n):
            values[i] = factor[i] * np.sqrt(variance[start + i])
    if len(planes) > 1:
        rnoise, poisson, flat, values = terms[2], terms[3], terms[4], terms[5]
        for i in range(n):
            a, b, c = rnoise[i] * rnoise[i], poisson[i] * poisson[i], flat[i] * flat[i]
            known = a == a or b == b or c == c
            total = (a if a == a else 0.0) + (b if b == b else 0.0)
            values[i] = total + repeats * (c if c == c else 0.0) if known else np.nan
    return extents[:n].max() if large else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _overlaps(x, y, n, columns, rows, col, row, area):
    """Find the areas that quadrilaterals share with the output pixels of their blocks.

    Parameters
    ----------
    x, y : (4, n…) float64
        Corners in order round; made relative to the block.
    n : int
        Number of quadrilaterals.
    columns, rows : tuple
        Of the block, and how many rows to do at once; only their lengths count.
    col, row : (n…) float64
        Column and row of each block's first pixel.
    area : (len(columns)², n…) float64
        Row by row; negative where the corners run clockwise.
    """
    for line, base in ((x, col), (y, row)):
        p0, p1, p2, p3 = line[0], line[1], line[2], line[3]
        for i in range(n):
            low = np.floor(min(p0[i], p1[i], p2[i], p3[i]))
            base[i] = low
            p0[i] -= low
            p1[i] -= low
            p2[i] -= low
            p3[i] -= low
    size = len(columns)
    area[: size * size] = 0.0
    for first in range(0, size, len(rows)):
        for edge in range(4):
            xs, ys = x[edge], y[edge]
            xe, ye = x[(edge + 1) % 4], y[(edge + 1) % 4]
            for i in range(n):
                back = xe[i] < xs[i]
                xa, xb = (xe[i], xs[i]) if back else (xs[i], xe[i])
                ya, yb = (ye[i], ys[i]) if back else (ys[i], ye[i])
                dx, dy = xb - xa, yb - ya
                half = 0.5 * dx
                per_x = 1.0 / (dx if dx > TINY else TINY)
                per_y = 1.0 / (dy if abs(dy) > TINY else TINY)
                scale = abs(dy) if back else -abs(dy)
                for r in range(len(rows)):
                    bottom = min(max((first + r - ya) * per_y, 0.0), 1.0)
                    top = min(max((first + r + 1 - ya) * per_y, 0.0), 1.0)
                    before = 0.0
                    for c in range(size):
                        to = c + 1 - xa
                        crossing = min(max(to * per_x, 0.0), 1.0) if c < size - 1 else 1.0
                        d, e = min(bottom, crossing), min(top, crossing)
                        left = e * (to - half * e) - d * (to - half * d)
                        area[(first + r) * size + c, i] += scale * (left - before)
                        before = left


@njit(cache=True, nogil=True)
def _add(area, terms, planes, n, columns, col, row, top, left, sums):
    """Add each pixel's terms times its areas to the window; the last term times their squares."""
    size = len(columns)
    for i in range(n):
        if terms[0, i] == 0.0:
            continue
        x, y = int(col[i]) - left, int(row[i]) - top
        if x < 0 or y < 0 or x > sums.shape[1] - size or y > sums.shape[0] - size:
            continue
        for r in range(size):
            line = sums[np.uint64(y + r)]
            for c in range(size):
                share = area[size * r + c, i]
                if abs(share) > NOISE:
                    for k in range(len(planes) + 1):
                        line[np.uint64(x + c), k] += share * terms[k, i]
                    if len(planes) > 1:
                        line[np.uint64(x + c), 5] += share * share * terms[5, i]


@njit(cache=True, nogil=True, error_model="numpy")
def drop_areas(u0, u1, v0, v1, pixfrac, extent, col, row):
    """Find the areas that drops of any size share with output pixels.

    Parameters
    ----------
    u0, u1, v0, v1 : (n + 1,) float64
        Output pixel coordinates of the corners of a row of input pixels.
    pixfrac : float
    extent : float
        No drop is larger, along either axis; output pixels. Of others parts are lost.
    col, row : (n…) float64
        Filled with column and row of the first pixel of each block; edges of output pixels lie on
        integers here.

    Returns
    -------
    (size², n) float64
        Row by row of the blocks; negative where the corners run clockwise.
    """
    n = u0.size - 1
    x = np.empty((4, n))
    y = np.empty((4, n))
    area = np.empty((16, n))
    near = 0.5 - 0.5 * pixfrac
    _corners(u0, u1, near, near, pixfrac, x)
    _corners(v0, v1, near, near, pixfrac, y)
    if extent <= len(SMALL[0]) - 1 - SLACK:
        _overlaps(x, y, n, *SMALL, col, row, area)
        return area[: len(SMALL[0]) ** 2]
    if extent <= len(LARGE[0]) - 1 - SLACK:
        _overlaps(x, y, n, *LARGE, col, row, area)
        return area
    for i in range(n):
        col[i] = np.floor(min(x[0, i], x[1, i], x[2, i], x[3, i]))
        row[i] = np.floor(min(y[0, i], y[1, i], y[2, i], y[3, i]))
    part_col = np.empty(n)
    part_row = np.empty(n)
    size = int(extent) + 2 + len(LARGE[0])
    whole = np.zeros((size * size, n))
    pieces = int(np.ceil(extent / (len(LARGE[0]) - 1 - SLACK)))
    side = pixfrac / pieces
    for b in range(pieces):
        for a in range(pieces):
            _corners(u0, u1, near + a * side, near + b * side, side, x)
            _corners(v0, v1, near + a * side, near + b * side, side, y)
            _overlaps(x, y, n, *LARGE, part_col, part_row, area)
            for i in range(n):
                left, bottom = part_col[i] - col[i], part_row[i] - row[i]
                if not (0 <= left <= size - 4 and 0 <= bottom <= size - 4):
                    continue
                first = int(bottom) * size + int(left)
                for r in range(4):
                    for c in range(4):
                        whole[first + r * size + c, i] += area[4 * r + c, i]
    return whole


@njit(cache=True, nogil=True)
def _add_whole(whole, terms, planes, n, col, row, top, left, sums):
    """Do as `_add` for large blocks, which may stick out of the window."""
    height, width = sums.shape[:2]
    size = int(np.sqrt(whole.shape[0]))
    for i in range(n):
        if terms[0, i] == 0.0:
            continue
        x, y = int(col[i]) - left, int(row[i]) - top
        for r in range(max(0, -y), min(size, height - y)):
            for c in range(max(0, -x), min(size, width - x)):
                share = whole[r * size + c, i]
                if abs(share) > NOISE:
                    cell = sums[y + r, x + c]
                    for k in range(len(planes) + 1):
                        cell[k] += share * terms[k, i]
                    if len(planes) > 1:
                        cell[5] += share * share * terms[5, i]


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
    sums : (h + 2 MARGIN, w + 2 MARGIN, 2 or 6) float64
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
    extents = np.empty(CHUNK)
    terms = np.empty((2 + len(planes), CHUNK))
    near = 0.5 - 0.5 * pixfrac
    for j in range(ny):
        for start in range(0, nx, CHUNK):
            n = min(CHUNK, nx - start)
            cut = slice(start, start + n + 1)
            u0, u1, v0, v1 = u[j, cut], u[j + 1, cut], v[j, cut], v[j + 1, cut]
            if not _meets(v0, v1, top, top + sums.shape[0]):
                continue
            _corners(u0, u1, near, near, pixfrac, x)
            _corners(v0, v1, near, near, pixfrac, y)
            extent = _terms(x, y, n, weight[j], planes, j, start, sky, repeats, extents, terms)
            if extent == 0.0:
                _overlaps(x, y, n, *SMALL, col, row, area)
                _add(area, terms, planes, n, SMALL[0], col, row, top, left, sums)
                continue
            if extent <= len(LARGE[0]) - 1 - SLACK:
                _overlaps(x, y, n, *LARGE, col, row, area)
                _add(area, terms, planes, n, LARGE[0], col, row, top, left, sums)
                continue
            whole = drop_areas(u0, u1, v0, v1, pixfrac, extent, col, row)
            _add_whole(whole, terms, planes, n, col, row, top, left, sums)
