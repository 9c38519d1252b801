"""How drizzling correlates the noise of a mosaic's pixels.

Drops fall on several pixels of the output, which so share their noise. With the shares a and the
weights w of input pixels i of variance σ², two output pixels p and q have the covariance
Σ (a w)_ip (a w)_iq σ_i² / (W_p W_q), W = Σ a w (Casertano et al. 2000, AJ 120, 2747, appendix, for
an even coverage). It changes from pixel to pixel with the phases of the drops; but the sum over q
does not, nor does ERR, so that neither do the errors of apertures. What counts in sums over many
pixels is the mean of covariance / (ERR_p ERR_q) by the lag q - p: in the middle of each cell of the
mosaic it is computed for all pixels of a patch, from where the exposures' pixels lie there, and how
pixels of these exposures weigh. A drop's pairs of pixels all count, as much as of it lies in the
patch: so the mean is positive semidefinite, as each drop's own pattern is.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from snakewebb.io.noise_correlation import NoiseCorrelation
from snakewebb.kernels.noise_correlation import add_pairs, add_totals
from snakewebb.mosaicking.drizzle import (
    POINT_PIXFRAC,
    UNUSED,
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
NEGLIGIBLE = 1e-5
"""Lags with no correlation above that are left out."""
MEMORY = 10_000_000
"""Bytes for the patches of some cells."""
SAMPLE = 64
"""Rows and columns of an exposure that tell how its pixels weigh."""


@dataclass(frozen=True)
class Sample:
    """How the pixels of an exposure weigh, and how noisy they are.

    Attributes
    ----------
    planes : (4, h, w) float32
        Weight, VAR_RNOISE, VAR_POISSON and VAR_FLAT of some of its pixels; NaN for a variance that
        it does not have.
    time : float
        See `snakewebb.mosaicking.drizzle.weights`.
    """

    planes: np.ndarray
    time: float

    def noise(self, repeats: int) -> np.ndarray:
        """Return weight times standard deviation of the pixels, see `Input.repeats`."""
        weight, rnoise, poisson, flat = np.maximum(np.nan_to_num(self.planes, posinf=0.0), 0.0)
        return weight.astype(float) * np.sqrt(rnoise + poisson + np.float64(repeats) * flat)


def cell_side(grid: Grid) -> int:
    """Return the side of a cell in output pixels."""
    return max(2 * round(CELL / 2 / grid.pixel_scale_ratio), PATCH[0])


def sample_noise(exposure: Input, how: DrizzleOptions) -> Sample | None:
    """Take a sample of an exposure's pixels; None if it has no variance, or no good pixel.

    Of the squares of pixels in its middle rows it is the one with the median number of good ones.
    """
    columns, rows = usable(exposure.pixel_map.geometry)
    middle = (rows.start + rows.stop) // 2
    some = slice(max(middle - SAMPLE // 2, rows.start), min(middle + SAMPLE // 2, rows.stop))
    for part in (some, rows):
        planes = read_part(exposure, part, columns)
        weight, time = weights(exposure, planes, how.weight_type, UNUSED)
        variances = [planes[name] for name in VARIANCES]
        if all(plane is None for plane in variances):
            return None
        starts = np.mgrid[tuple(slice(0, max(n - SAMPLE, 0) + 1, SAMPLE) for n in weight.shape)]
        squares = [np.s_[j : j + SAMPLE, i : i + SAMPLE] for j, i in starts.reshape(2, -1).T]
        good = np.array([np.count_nonzero(weight[square]) for square in squares])
        order = np.argsort(good, kind="stable")[np.count_nonzero(good == 0) :]
        if len(order):
            square = squares[order[len(order) // 2]]
            blank = np.full_like(weight, np.nan)
            found = [weight, *(blank if plane is None else plane for plane in variances)]
            return Sample(np.array([plane[square] for plane in found]), time)
    return None


def correlation_rows(
    inputs: Sequence[Input | None],
    grid: Grid,
    how: DrizzleOptions,
    samples: Mapping[str, Sample | None],
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
    samples : mapping
        By exposure name, what `sample_noise` found.
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
    corners = np.column_stack([column, row]) * step + (step - side) // 2 - reach
    side += 2 * reach
    exposures = []
    for each in inputs:
        if each and (sample := samples[each.name]):
            ends = np.array([(cut.start, cut.stop) for cut in usable(each.pixel_map.geometry)])
            spline, steps = each.pixel_map.spline()
            placed = spline, steps, each.pixel_map.inverse(), ends.ravel(), how.pixfrac
            exposures.append((placed, sample, each.repeats))
    correlations = np.empty((len(corners), 2 * reach + 1, 2 * reach + 1))
    at_once = max(MEMORY // (72 * side**2), 1)
    for start in range(0, len(corners), at_once):
        part = corners[start : start + at_once]
        totals = np.zeros((len(part), 9, side, side))
        for placed, sample, repeats in exposures:
            add_totals(*placed, sample.planes, float(repeats), sample.time, part, totals)
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = totals[:, 2:8:2] / (grid.pixel_scale_ratio * totals[:, 3:8:2]) ** 2
            scale = 1.0 / (totals[:, 0] * np.sqrt(np.nansum(parts, axis=1)))
        scale[~np.isfinite(scale)] = 0.0
        pairs = np.zeros((len(part), reach + 1, 2 * reach + 1))
        for placed, sample, repeats in exposures:
            add_pairs(*placed, sample.noise(repeats), part, scale, pairs)
        # A pixel and one above it is the same pair as that one and one below it.
        pairs[:, 0, :reach] = pairs[:, 0, :reach:-1]
        found = np.concatenate([pairs[:, :0:-1, ::-1], pairs], axis=1)
        found[found[:, reach, reach] == 0.0] = np.nan
        correlations[start : start + at_once] = found
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

    What is not known of a cell, as no exposure lies in its middle, is that of the next one; None if
    nothing is known at all. Lags without correlation are cut off.
    """
    if np.isnan(cells).all():
        return None
    while (unknown := np.isnan(cells)).any():
        padded = np.pad(cells, ((1, 1), (1, 1), (0, 0), (0, 0)), constant_values=np.nan)
        for neighbours in (
            padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:],
        ):  # fmt: skip
            cells = np.where(np.isnan(cells) & unknown, neighbours, cells)
    reach = cells.shape[-1] // 2
    lag = np.abs(np.arange(-reach, reach + 1))
    farthest = np.maximum(lag[:, None], lag)
    least = NEGLIGIBLE * cells[..., reach : reach + 1, reach : reach + 1]
    kept = int(farthest[(cells > least).any(axis=(0, 1))].max())
    inner = slice(reach - kept, reach + kept + 1)
    return NoiseCorrelation(cells[..., inner, inner].astype(np.float32), cell_side(grid))
