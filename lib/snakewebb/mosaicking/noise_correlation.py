"""How drizzling correlates the noise of a mosaic's pixels.

Drops fall on several pixels of the output, which so share their noise. With the shares a and the
weights w of input pixels i of variance σ², two output pixels p and q have the covariance
Σ (a w)_ip (a w)_iq σ_i² / (W_p W_q), W = Σ a w (Casertano et al. 2000, AJ 120, 2747, appendix, for
an even coverage). It changes from pixel to pixel with the phases of the drops. What counts in sums
over many pixels is its mean by the lag q - p: in the middle of each cell of the mosaic it is
computed for all pixels of a patch, from where the exposures' pixels lie there.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence

import numpy as np

from snakewebb.io.dq import DO_NOT_USE, bad_mask
from snakewebb.io.noise_correlation import NoiseCorrelation
from snakewebb.kernels.noise_correlation import add_covariances, correlate
from snakewebb.mosaicking.drizzle import (
    POINT_PIXFRAC,
    VARIANCES,
    DrizzleOptions,
    Input,
    read_part,
    usable,
    weights,
)
from snakewebb.wcs.grid import Grid

log = logging.getLogger(__name__)

CELL = 96
"""Side of a cell in input pixels, about."""
PATCH = 8, 16
"""Side of a patch in output pixels, which are larger or smaller than those of the input."""
FARTHEST = 32
"""Pixels; where drops reach farther, no correlation is computed."""
NEGLIGIBLE = 1e-3
"""Lags with no correlation above that are left out."""
MEMORY = 10_000_000
"""Bytes for the patches of some cells."""
SAMPLE = 32
"""Rows of an exposure that tell how its pixels typically weigh."""


def cell_side(grid: Grid) -> int:
    """Return the side of a cell in output pixels."""
    return max(2 * round(CELL / 2 / grid.pixel_scale_ratio), PATCH[0])


def typical_noise(
    exposure: Input, how: DrizzleOptions, good_bits: str | int | None = "~DO_NOT_USE+NON_SCIENCE"
) -> tuple[float, float]:
    """Return the median weight and variance of an exposure's pixels that are used; 0, 0 of none.

    They are those of some rows in its middle, if one pixel there is good.

    Parameters
    ----------
    exposure : Input
    how : DrizzleOptions
    good_bits : str, int or None, optional
        See `snakewebb.mosaicking.resample.drizzle_band`.
    """
    bad_bits = bad_mask(good_bits) | DO_NOT_USE
    columns, rows = usable(exposure.pixel_map.geometry)
    middle = (rows.start + rows.stop) // 2
    sample = slice(max(middle - SAMPLE // 2, rows.start), min(middle + SAMPLE // 2, rows.stop))
    for part in (sample, rows):
        planes = read_part(exposure, part, columns)
        weight, _ = weights(exposure, planes, how.weight_type, bad_bits)
        good = weight > 0
        known = [planes[name] for name in VARIANCES if planes[name] is not None]
        if good.any() and known:
            variance = np.sum([plane[good] for plane in known], axis=0, dtype=float)
            return float(np.median(weight[good])), float(np.median(variance))
    return 0.0, 0.0


def correlation_rows(
    inputs: Sequence[Input | None],
    grid: Grid,
    how: DrizzleOptions,
    typical: Mapping[str, tuple[float, float]],
    rows: range,
) -> np.ndarray:
    """Find the correlations in some rows of cells.

    Parameters
    ----------
    inputs : sequence of Input
        All exposures that fall on the cells, in order; None for others.
    grid : Grid
        The mosaic's.
    how : DrizzleOptions
        With the square kernel.
    typical : mapping
        By exposure name, what `typical_noise` found.
    rows : range
        Of the cells.

    Returns
    -------
    (len(rows), mx, 2 L + 1, 2 L + 1) float64
        See `snakewebb.io.noise_correlation.NoiseCorrelation`; NaN where no exposure lies.

    Notes
    -----
    Memory: about 10 megabytes, or what a single patch needs.
    """
    step, reach = cell_side(grid), reach_of_drops(grid, how)
    side = int(np.clip(16 / grid.pixel_scale_ratio, *PATCH)) // 2 * 2
    side = max(side, 2 * reach)
    number = -(-grid.shape[1] // step)
    row, column = np.divmod(np.arange(rows.start * number, rows.stop * number), number)
    corners = np.column_stack([column, row]) * step + (step - side) // 2
    exposures = []
    for each in inputs:
        weight, variance = typical[each.name] if each else (0.0, 0.0)
        if each and weight > 0:
            ends = [(cut.start, cut.stop) for cut in usable(each.pixel_map.geometry)]
            placed = *each.pixel_map.spline(), each.pixel_map.inverse(), np.array(ends).ravel()
            exposures.append((*placed, how.pixfrac, weight, variance))
    correlations = np.empty((len(corners), 2 * reach + 1, 2 * reach + 1))
    lags = (reach + 1) * (2 * reach + 1)
    at_once = max(MEMORY // (8 * side**2 * lags), 1)
    for start in range(0, len(corners), at_once):
        part = corners[start : start + at_once]
        totals = np.zeros((len(part), side, side))
        covariances = np.zeros((len(part), side**2, reach + 1, 2 * reach + 1))
        for exposure in exposures:
            add_covariances(*exposure, part, totals, covariances)
        correlate(totals, covariances, correlations[start : start + at_once])
    return correlations.reshape(len(rows), number, *correlations.shape[1:])


def is_computed(grid: Grid, how: DrizzleOptions) -> bool:
    """Return whether correlations are computed: for the square kernel, if drops are not huge."""
    if how.kernel != "square" or how.pixfrac <= POINT_PIXFRAC:
        return False
    if reach_of_drops(grid, how) > FARTHEST:
        log.warning("drops reach too far for the correlation of noise to be of use")
        return False
    return True


def reach_of_drops(grid: Grid, how: DrizzleOptions) -> int:
    """Return the largest lag of pixels that a drop may fall on, however it is turned."""
    return math.floor(1.6 * how.pixfrac / grid.pixel_scale_ratio) + 1


def finish(cells: np.ndarray, grid: Grid) -> NoiseCorrelation | None:
    """Make of the correlations in all cells, from `correlation_rows`, those of a mosaic.

    Cells without an exposure in their middle get what is next to them; None if there is none at
    all. Lags without correlation are cut off.
    """
    if np.isnan(cells).all():
        return None
    while (empty := np.isnan(cells[..., 0, 0])).any():
        padded = np.pad(cells, ((1, 1), (1, 1), (0, 0), (0, 0)), constant_values=np.nan)
        for neighbours in (
            padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:],
        ):  # fmt: skip
            cells = np.where(np.isnan(cells) & empty[..., None, None], neighbours, cells)
    reach = cells.shape[-1] // 2
    lag = np.abs(np.arange(-reach, reach + 1))
    farthest = np.maximum(lag[:, None], lag)
    kept = int(farthest[(np.abs(cells) > NEGLIGIBLE).any(axis=(0, 1))].max())
    inner = slice(reach - kept, reach + kept + 1)
    return NoiseCorrelation(cells[..., inner, inner].astype(np.float32), cell_side(grid))
