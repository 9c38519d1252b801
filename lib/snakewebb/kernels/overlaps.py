"""Areas that quadrilaterals share with pixels.

Areas come from Green's theorem. A quadrilateral lies in a block of output pixels, and the area of
it that is left of a line x = X, within one row of the block, is minus the sum over its edges of
the integral of max(X - x, 0) dy along the edge. On an edge from (xa, ya) to (xb, yb) with
xa ≤ xb, run through by τ from 0 to 1, that integral up to τ is

    (yb - ya) d (X - xa - d (xb - xa) / 2),    d = min(τ, the τ at which the edge crosses X),

so each edge needs two divisions and no branch, and loses no digits where it is nearly vertical or
level. Quadrilaterals larger than a block are cut into n×n that each fit one, and their areas added
up, since variances need the squares of whole ones.

Where pixels are as large as the output's and hardly turned, nearly all of them have one corner in
each of four output pixels that meet in a point. Its four parts are quadrilaterals between a corner,
that point and where two edges cross the lines through it: half the sum of two products each.
"""

import numpy as np

from snakewebb.kernels.cache import njit

# Blocks: their columns, and the rows done at once. What the compiler can unroll is fast: 3×3 at
# once, for pixels as large as the output's, and 4×4 in two halves.
SMALL = (0, 1, 2), (0, 1, 2)
LARGE = (0, 1, 2, 3), (0, 1)
SLACK = 0.001
NOISE = 1e-13  # areas are right to 1e-15; less than this is no overlap
TINY = 1e-200


@njit(cache=True, nogil=True)
def corners(c0, c1, a, b, side, out):
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
def overlaps(x, y, n, columns, rows, col, row, area):
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


@njit(cache=True, nogil=True, error_model="numpy")
def quarters(x, y, n, area, col, row, regular):
    """Find the areas of quadrilaterals with one corner in each of four output pixels.

    Parameters
    ----------
    x, y : (4, n…) float64
        Corners in order round.
    n : int
    area : (4, n…) float64
        Filled: lower left, lower right, upper left, upper right; signed as those of `overlaps`.
    col, row : (n…) float64
        Filled with column and row of the lower left pixel.
    regular : (n…) bool
        Filled: which quadrilaterals are so, and share more than ``NOISE`` with each pixel.
    """
    # The corners' order is that of the middle pixel: it begins lower left and runs anticlockwise.
    m = n // 2
    first = 0
    for k in range(1, 4):
        if x[k, m] + y[k, m] < x[first, m] + y[first, m]:
            first = k
    turn = (x[2, m] - x[0, m]) * (y[3, m] - y[1, m]) - (x[3, m] - x[1, m]) * (y[2, m] - y[0, m])
    step = 1 if turn > 0.0 else 3
    half = 0.5 if turn > 0.0 else -0.5
    k0, k1, k2, k3 = first, (first + step) % 4, (first + 2 * step) % 4, (first + 3 * step) % 4
    x0, x1, x2, x3 = x[k0], x[k1], x[k2], x[k3]
    y0, y1, y2, y3 = y[k0], y[k1], y[k2], y[k3]
    low_left, low_right, up_left, up_right = area[0], area[1], area[2], area[3]
    for i in range(n):
        # The point where the four pixels meet, and the corners from there.
        at_x, at_y = np.floor(min(x1[i], x2[i])), np.floor(min(y2[i], y3[i]))
        a0, a1, a2, a3 = x0[i] - at_x, x1[i] - at_x, x2[i] - at_x, x3[i] - at_x
        b0, b1, b2, b3 = y0[i] - at_y, y1[i] - at_y, y2[i] - at_y, y3[i] - at_y
        # Where the edges cross the lines through it: below, above, left, right.
        lower, upper, left, right = a1 - a0, a2 - a3, b3 - b0, b2 - b1
        across, along = 1.0 / (lower * upper), 1.0 / (left * right)
        below = b0 - (b1 - b0) * (a0 * (upper * across))
        above = b3 - (b2 - b3) * (a3 * (lower * across))
        before = a0 - (a3 - a0) * (b0 * (right * along))
        behind = a1 - (a2 - a1) * (b1 * (left * along))
        s00 = a0 * below + b0 * before
        s10 = -(a1 * below + b1 * behind)
        s01 = -(a3 * above + b3 * before)
        s11 = a2 * above + b2 * behind
        within = (max(a0, a3, b0, b1) <= 0.0) & (min(a0, a3, b0, b1) >= -1.0)
        within &= (min(a1, a2, b2, b3) >= 0.0) & (max(a1, a2, b2, b3) <= 1.0)
        regular[i] = within & (min(s00, s10, s01, s11) > 2.0 * NOISE)
        low_left[i], low_right[i] = half * s00, half * s10
        up_left[i], up_right[i] = half * s01, half * s11
        col[i], row[i] = at_x - 1.0, at_y - 1.0


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
    corners(u0, u1, near, near, pixfrac, x)
    corners(v0, v1, near, near, pixfrac, y)
    if extent <= len(SMALL[0]) - 1 - SLACK:
        overlaps(x, y, n, *SMALL, col, row, area)
        return area[: len(SMALL[0]) ** 2]
    if extent <= len(LARGE[0]) - 1 - SLACK:
        overlaps(x, y, n, *LARGE, col, row, area)
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
            corners(u0, u1, near + a * side, near + b * side, side, x)
            corners(v0, v1, near + a * side, near + b * side, side, y)
            overlaps(x, y, n, *LARGE, part_col, part_row, area)
            for i in range(n):
                left, bottom = part_col[i] - col[i], part_row[i] - row[i]
                if not (0 <= left <= size - 4 and 0 <= bottom <= size - 4):
                    continue
                first = int(bottom) * size + int(left)
                for r in range(4):
                    for c in range(4):
                        whole[first + r * size + c, i] += area[4 * r + c, i]
    return whole
