"""What exposures add to a mosaic, and the mosaic of their sums."""

import numpy as np

from snakewebb.kernels.cache import njit
from snakewebb.kernels.drizzle import MARGIN


@njit(
    "void(float64[:, :, ::1], int64, int64, float64, float64[:, :, ::1], uint32[:, ::1], uint32)",
    cache=True,
    nogil=True,
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
    totals : (H, W, 2 or 9) float64
        Σ weight, Σ weight × image; for each variance, Σ u² × variance and Σ u, with u that weight
        for variances; and the sum of the sixth of ``sums``. Added to.
    context : (H, W) or (0, 0) uint32
        Gets ``bit`` where the exposure has weight.
    bit : uint32
    """
    height, width = sums.shape[0] - 2 * MARGIN, sums.shape[1] - 2 * MARGIN
    for r in range(height):
        for c in range(width):
            cell = sums[r + MARGIN, c + MARGIN]
            weight = cell[0]
            if weight == 0.0:
                continue
            total = totals[top + r, left + c]
            total[0] += weight
            total[1] += cell[1]
            if context.size:
                context[top + r, left + c] |= bit
            if total.size == 2:
                continue
            total[8] += cell[5]
            rnoise = (cell[2] / weight) ** 2
            u = time
            if time == 0.0:
                u = 1.0 / rnoise if 0.0 < rnoise < np.inf else 0.0
            for k in range(3):
                variance = (cell[2 + k] / weight) ** 2
                if variance < np.inf:
                    total[2 + 2 * k] += u * u * variance
                    total[3 + 2 * k] += u


@njit(
    "void(float64[:, :, ::1], float64, float64, float32[:, ::1], float32[:, ::1], "
    "float32[:, :, ::1])",
    cache=True,
    nogil=True,
)
def divide_totals(totals, fill, ratio, sci, wht, variances):
    """Make the mosaic out of the totals of all exposures.

    Parameters
    ----------
    totals : (H, W, 2 or 9) float64
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
        for c in range(sci.shape[1]):
            total = totals[r, c]
            wht[r, c] = total[0]
            sci[r, c] = total[1] / total[0] if total[0] != 0.0 else fill
            if not variances.shape[0]:
                continue
            for k in range(3):
                norm = ratio * total[3 + 2 * k]
                variances[k, r, c] = total[2 + 2 * k] / norm**2 if norm > 0.0 else np.nan
            variances[3, r, c] = total[8] / total[0] ** 2 if total[0] != 0.0 else np.nan
