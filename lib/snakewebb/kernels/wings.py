"""Peaks that belong to brighter stars."""

import numpy as np

from snakewebb.kernels.cache import njit

CORE = 8.0
"""How far the rings of a star reach, in FWHM."""
CERTAIN_RING, CERTAIN_SPIKE = 2.0, 0.4
"""What is fainter than as many spikes, among rings and farther out, is not told from them. Farther
out, too, the first counts for what is wider than a star, and where the mosaic ends on the star's
other side."""
POSSIBLE = 3.0
"""What is brighter than as many spikes is none: wavefronts differ from the mean."""
LARGEST_SHARE = 0.5
"""Nor is what is brighter than such a share of the star."""
COUNTERPART = 0.3
"""The least share of a peak's brightness that its counterpart has."""
ALONG = 0.2
"""By such a share of its distance a counterpart may be nearer or farther."""
FALL = -2.5
"""Beyond the envelope, a star's light falls as this power of distance."""


@njit(
    "void(float64[::1], float64[::1], float64[::1], float64[::1], boolean[::1], int64[::1], "
    "float64[:, ::1], boolean[:, ::1], int64, float64[::1], float64, boolean[::1], boolean[::1])",
    cache=True,
    nogil=True,
)
def in_wings(
    x, y, amplitude, faintest, wide, rows, counterparts, seen, step, envelope, fwhm, kept, near
):
    """Keep the peaks that are not in spikes, rings or halos of brighter ones that are kept.

    Parameters
    ----------
    x, y : (n,) float64
        Of peaks, the brightest first.
    amplitude, faintest : (n,) float64
        Of the peak; of the faintest source that counts there.
    wide : (n,) bool
        Whether it is wider than a star, as light in wings is.
    rows : (n,) int64
        Peaks in the order of y.
    counterparts : (m, 3) float64
        x, y and amplitude of all peaks, in the order of y.
    seen : (my, mx) bool
        Where there is data: at every so many rows and columns.
    step : int
        So many.
    envelope : (m,) float64
        Brightness of spikes at 0, 1, 2, … pixels from a star, over the star's.
    fwhm : float
    kept, near : (n,) bool
        Filled: whether the peak is one of its own, and whether a star adds a tenth to it.
    """
    kept[:] = True
    near[:] = False
    lowest = faintest.min() if faintest.size else 0.0
    last = envelope.size - 1
    heights, lines = counterparts[:, 1].copy(), y[rows]
    for star in range(x.size):
        if not kept[star]:
            continue
        reach = 0.0
        for r in range(last + 1):
            if POSSIBLE * envelope[r] * amplitude[star] > lowest:
                reach = r + 1.0
        if POSSIBLE * envelope[last] * amplitude[star] > lowest:
            reach = last * (POSSIBLE * envelope[last] * amplitude[star] / lowest) ** (-1.0 / FALL)
        if reach < 1.2 * fwhm:
            continue
        for k in range(np.searchsorted(lines, y[star] - reach), rows.size):
            peak = rows[k]
            if y[peak] > y[star] + reach:
                break
            distance = np.hypot(x[peak] - x[star], y[peak] - y[star])
            if peak <= star or not kept[peak] or distance > reach or distance < 1.2 * fwhm:
                continue
            if distance < last:
                below = int(distance)
                share = distance - below
                spike = (1.0 - share) * envelope[below] + share * envelope[below + 1]
            else:
                spike = envelope[last] * (distance / last) ** FALL
            spike *= amplitude[star]
            if spike > 0.1 * amplitude[peak]:
                near[peak] = True
            if amplitude[peak] > min(POSSIBLE * spike, LARGEST_SHARE * amplitude[star]):
                continue
            # where the other side is not seen, no counterpart tells spikes from sources
            column = int(2.0 * x[star] - x[peak]) // step
            row = int(2.0 * y[star] - y[peak]) // step
            inside = 0 <= row < seen.shape[0] and 0 <= column < seen.shape[1]
            symmetric = inside and seen[row, column]
            told = symmetric and distance >= CORE * fwhm and not wide[peak]
            certain = CERTAIN_SPIKE if told else CERTAIN_RING
            kept[peak] = amplitude[peak] > certain * spike
            if not kept[peak]:
                continue
            # along a spike noise decides where its peaks are
            ux, uy = (x[star] - x[peak]) / distance, (y[star] - y[peak]) / distance
            slack = max(1.5, 0.5 * fwhm) + 0.02 * distance
            farthest = (1.0 + ALONG) * distance + slack
            low, high = y[star] - farthest, y[star] + farthest
            for m in range(np.searchsorted(heights, low), heights.size):
                if counterparts[m, 1] > high:
                    break
                dx, dy = counterparts[m, 0] - x[star], counterparts[m, 1] - y[star]
                along, across = dx * ux + dy * uy, abs(dx * uy - dy * ux)
                share = counterparts[m, 2] / amplitude[peak]
                if (
                    across <= slack
                    and abs(along - distance) <= ALONG * distance
                    and COUNTERPART < share < 1.0 / COUNTERPART
                ):
                    kept[peak] = False
                    break
