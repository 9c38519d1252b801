"""What exposures add to a mosaic, and the mosaic of their sums."""

import numpy as np

from snakewebb.kernels.cache import njit
from snakewebb.kernels.drizzle import CHUNK, MARGIN


@njit(
    "void(float64[:, :, ::1], int64, int64, float64, float64[:, :, ::1], uint32[:, ::1], uint32)",
    cache=True,
    nogil=True,
    error_model="numpy",
)
def add_exposure(sums, top, left, time, totals, context, bit):
    """Add one exposure's sums to the totals over all exposures.

    Parameters
    ----------
    sums : (h + 2 MARGIN, w + 2 MARGIN, 2 or 8) float64
        From `snakewebb.kernels.drizzle.drizzle_square`, of the image alone, or of it and its
        variances.
    top, left : int
        Where the window lies in ``totals``.
    time : float
        The exposure's weight for variances; 0 takes the inverse of its resampled VAR_RNOISE.
    totals : (2 or 9, H, W) float64
        Σ weight, Σ weight × image; for each variance, Σ u² × variance and Σ u, with u that weight
        for variances; and the sum of the sixth of ``sums``. Added to.
    context : (H, W) or (0, 0) uint32
        Gets ``bit`` where the exposure has weight.
    bit : uint32
    """
    height, width = sums.shape[0] - 2 * MARGIN, sums.shape[1] - 2 * MARGIN
    fields = 6 if totals.shape[0] > 2 else 2
    found = np.empty((fields, CHUNK))
    for r in range(height):
        for start in range(0, width, CHUNK):
            n = min(CHUNK, width - start)
            for c in range(n):
                cell = sums[r + MARGIN, start + c + MARGIN]
                for k in range(fields):
                    found[k, c] = cell[k]
            y, x = top + r, left + start
            weight = found[0, :n]
            total, image = totals[0, y, x : x + n], totals[1, y, x : x + n]
            for c in range(n):
                total[c] += weight[c]
                image[c] += found[1, c] if weight[c] != 0.0 else 0.0
            if context.size:
                flags = context[y, x : x + n]
                for c in range(n):
                    flags[c] |= bit if weight[c] != 0.0 else np.uint32(0)
            if fields == 2:
                continue
            exact = totals[8, y, x : x + n]
            for c in range(n):
                exact[c] += found[5, c] if weight[c] != 0.0 else 0.0
                inverse = 1.0 / (weight[c] * weight[c])
                for k in range(2, 5):
                    found[k, c] *= found[k, c] * inverse
                rnoise = found[2, c]
                u = 1.0 / rnoise if 0.0 < rnoise < np.inf else 0.0
                u = time if time != 0.0 else u
                found[1, c] = u if weight[c] != 0.0 else 0.0
            u = found[1]
            for k in range(3):
                variance = found[2 + k]
                upper, lower = totals[2 + 2 * k, y, x : x + n], totals[3 + 2 * k, y, x : x + n]
                for c in range(n):
                    known = variance[c] < np.inf
                    upper[c] += u[c] * u[c] * variance[c] if known else 0.0
                    lower[c] += u[c] if known else 0.0


@njit(
    "void(float64[:, :, ::1], float64, float64, float32[:, ::1], float32[:, ::1], "
    "float32[:, :, ::1])",
    cache=True,
    nogil=True,
    error_model="numpy",
)
def divide_totals(totals, fill, ratio, sci, wht, variances):
    """Make the mosaic out of the totals of all exposures.

    Parameters
    ----------
    totals : (2 or 9, H, W) float64
        See `add_exposure`.
    fill : float
        Value of the image where there is no weight.
    ratio : float
        Pixel scale ratio; variances are divided by its square.
    sci, wht : (H, W) float32
        Mean image and weight.
    variances : (4 or 0, H, W) float32
        Of the mean: VAR_RNOISE, VAR_POISSON and VAR_FLAT, NaN where no exposure has one; and that
        of ``sci``, NaN where some exposure has none, or no weight.
    """
    for r in range(sci.shape[0]):
        weight, image = totals[0, r], totals[1, r]
        for c in range(sci.shape[1]):
            wht[r, c] = weight[c]
            sci[r, c] = image[c] / weight[c] if weight[c] != 0.0 else fill
        if not variances.shape[0]:
            continue
        for k in range(3):
            upper, lower, variance = totals[2 + 2 * k, r], totals[3 + 2 * k, r], variances[k, r]
            for c in range(sci.shape[1]):
                norm = ratio * lower[c]
                variance[c] = upper[c] / (norm * norm) if norm > 0.0 else np.nan
        exact, variance = totals[8, r], variances[3, r]
        for c in range(sci.shape[1]):
            square = weight[c] * weight[c]
            variance[c] = exact[c] / square if weight[c] != 0.0 else np.nan
