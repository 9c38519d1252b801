"""Noise of a mosaic in apertures on blank sky, and the depth that follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from snakewebb.io.noise_correlation import UNCORRELATED
from snakewebb.kernels.blank_sky import brightest_nine
from snakewebb.kernels.photometry import annulus_sky, circle_errors, overlap
from snakewebb.quality.repeats import FEWEST, Number, scatter
from snakewebb.sources.mosaic import Mosaic, MosaicFile
from snakewebb.sources.photometry import AB_ZERO_POINT
from snakewebb.sources.segmentation_map import piece_rows
from snakewebb.wcs.grid import Grid

MOST = 20_000
"""Apertures, about."""
SAMPLE = 200
"""Apertures, at most, that tell how noisy their sky is."""
LIMIT = 4.0
"""Significance of nine pixels that makes an aperture not blank."""
CELLS = 48
"""Of the map of depth along the longer side, at most."""
DEPTH_SIGMA = 5.0


@dataclass(frozen=True)
class Apertures:
    """Apertures on blank sky.

    Attributes
    ----------
    x, y : (n,) float64
        0-based pixels, on a lattice.
    pull : (n,) float64
        Light less the sky in its annulus, over the error that the mosaic's errors predict.
    error : (n,) float64
        That error, in the mosaic's unit.
    shape : (rows, columns)
        Of the lattice, whose cells are ``step`` pixels wide.
    step : float
    correction : float
        Of an aperture's light to a star's total light.
    """

    x: np.ndarray
    y: np.ndarray
    pull: np.ndarray
    error: np.ndarray
    step: float
    correction: float


def standard_aperture(apertures: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return radius and correction of the largest known aperture, which total fluxes are from."""
    known = [
        pair
        for pair in zip(apertures["aperture_radii"], apertures["aperture_corrections"], strict=True)
        if None not in pair
    ]
    return known[-1] if known else None


def measure_blank_sky(mosaic: Mosaic | MosaicFile, apertures: Mapping[str, Any]) -> Apertures:
    """Measure the light in apertures where a mosaic shows nothing.

    Parameters
    ----------
    mosaic : Mosaic or MosaicFile
        Read in pieces of rows.
    apertures : mapping
        See `snakewebb.references.photometry.aperture_parameters`; the largest aperture is taken.
    """
    radius, correction = standard_aperture(apertures) or (3.0, 1.0)
    inner = apertures["bkg_aperture_inner_radius"] or 5.0
    outer = apertures["bkg_aperture_outer_radius"] or 10.0
    ny, nx = mosaic.shape
    step = max(outer, np.sqrt(ny * nx / MOST))
    pad = int(np.ceil(outer)) + 2
    rows = max(piece_rows(mosaic.shape) - 2 * pad, 1)
    lattice_y = np.arange(step / 2.0, ny - 0.5, step)
    lattice_x = np.arange(step / 2.0, nx - 0.5, step)
    weights = aperture_weights(radius)
    noise = mosaic.correlation or UNCORRELATED
    found = []
    for start in range(0, ny, rows):
        y = lattice_y[(lattice_y >= start - 0.5) & (lattice_y < start + rows - 0.5)]
        if not len(y):
            continue
        top = max(start - pad, 0)
        data, err, bad = mosaic.rows(top, min(start + rows + pad, ny))
        bad = bad | ~np.isfinite(data)
        # On the middle of a pixel, so that all apertures weigh pixels alike.
        x, y = (np.floor(grid.ravel() + 0.5) for grid in np.meshgrid(lattice_x, y - top))
        data = np.where(bad, np.float32(np.nan), data)
        sky, _ = skies = np.empty((2, len(x)))
        place = noise.kernels, noise.step, top, 0
        annulus_sky(data, x, y, inner, outer, *place, *skies)
        errors = np.where(np.isfinite(err), err, 0.0).astype(np.float32)
        told = errors if errors.any() else np.full_like(data, _spread(data))
        middle, brightest = np.empty((2, len(x)))
        brightest_nine(data, told, bad, x, y, radius, inner, outer, sky, middle, brightest)
        good = np.isfinite(brightest)
        x, y, sky = x[good], y[good], sky[good]
        light = _sums(data, x, y, sky, weights)
        error = np.empty(len(x))
        circle_errors(errors, x, y, radius, *place, error)
        # The variance of the sky over that of an aperture is the same everywhere, about.
        few = np.arange(0, len(x), len(x) // SAMPLE + 1)
        places, (wide, narrow) = (x[few], y[few]), np.empty((2, len(few)))
        for edge, of_edge in ((outer, wide), (inner, narrow)):
            circle_errors(errors, *places, edge, *place, of_edge)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = (wide**2 - narrow**2) / error[few] ** 2
        # The variance of a median is π/2 that of a mean.
        share = np.pi / 2.0 * (np.sum(weights) / (np.pi * (outer**2 - inner**2))) ** 2
        known = mean[np.isfinite(mean)]
        error *= np.sqrt(1.0 + share * (np.median(known) if len(known) else 0.0))
        found.append(np.column_stack((x, y + top, light, error, middle[good], brightest[good])))
    x, y, light, error, middle, brightest = np.concatenate(found or [np.empty((0, 6))]).T
    # Errors may be told wrongly: what noise is, the middles of apertures tell, most of them blank.
    blank = brightest <= LIMIT * scatter(middle - np.median(middle)) if len(x) else brightest > 0
    x, y, light, error = x[blank], y[blank], light[blank], error[blank]
    with np.errstate(divide="ignore", invalid="ignore"):
        pull = np.where(error > 0, light / error, np.nan)
    error = np.where(error > 0, error, np.nan)
    if not np.isfinite(error).any():
        error = np.full(len(error), scatter(light - np.median(light)) if len(light) else np.nan)
    return Apertures(x, y, pull, error, float(step), float(correction))


def aperture_weights(radius: float) -> np.ndarray:
    """Return how much of each pixel a circle about the middle one covers, (n, n)."""
    reach = int(np.ceil(radius + 0.5))
    steps = range(-reach, reach + 1)
    return np.array([[overlap(float(j), float(i), radius) for j in steps] for i in steps])


def noise_ratio(apertures: Apertures, has_errors: bool) -> Number:
    """Return the scatter of light in apertures over what the mosaic's errors predict."""
    known = apertures.pull[np.isfinite(apertures.pull)]
    if not has_errors:
        return Number(reason="the mosaic has no errors")
    if len(known) < FEWEST:
        return Number(reason=f"{len(known)} apertures on blank sky")
    return Number(scatter(known - np.median(known)), len(known))


def depth(apertures: Apertures, ratio: Number, flaw: str) -> tuple[Number, np.ndarray]:
    """Return the AB magnitude of a star of 5 sigma in the aperture: the median, and each.

    Parameters
    ----------
    apertures : Apertures
    ratio : Number
        From `noise_ratio`, by which errors are corrected if it is known.
    flaw : str
        Why light is in an unknown unit, else "".
    """
    factor = ratio.value if np.isfinite(ratio.value) else 1.0
    limit = DEPTH_SIGMA * apertures.correction * factor * apertures.error
    with np.errstate(divide="ignore", invalid="ignore"):
        each = AB_ZERO_POINT - 2.5 * np.log10(np.where(limit > 0, limit, np.nan))
    if flaw:
        return Number(reason=flaw), np.full(len(each), np.nan)
    known = each[np.isfinite(each)]
    if len(known) < FEWEST:
        return Number(reason=f"{len(known)} apertures on blank sky"), each
    return Number(float(np.median(known)), len(known)), each


def depth_map(apertures: Apertures, each: np.ndarray, grid: Grid) -> tuple[np.ndarray, Grid]:
    """Return the median depth in cells of a mosaic, NaN where none is known, and their grid.

    Parameters
    ----------
    apertures : Apertures
    each : (n,) float64
        From `depth`.
    grid : Grid
        The mosaic's.
    """
    ny, nx = grid.shape
    side = int(np.ceil(max(max(ny, nx) / CELLS, 2.0 * apertures.step)))
    shape = -(-ny // side), -(-nx // side)
    cell = (apertures.y // side * shape[1] + apertures.x // side).astype(int)
    known = np.isfinite(each)
    order = np.lexsort((each[known], cell[known]))
    cell, values = cell[known][order], each[known][order]
    image = np.full(shape, np.nan, np.float32)
    cells, first, count = np.unique(cell, return_index=True, return_counts=True)
    # The lower one of two in the middle.
    image.flat[cells] = values[first + (count - 1) // 2]
    x, y = grid.crpix
    corner = (x + 0.5) / side - 0.5, (y + 0.5) / side - 0.5
    ratio = grid.pixel_scale_ratio * side
    return image, Grid(grid.crval, corner, grid.cdelt * side, grid.pc, shape, ratio)


def _spread(data: np.ndarray) -> float:
    """Return the scatter of pixels."""
    good = data[np.isfinite(data)][::7]
    return scatter(good - np.median(good)) if good.size else 1.0


def _sums(
    data: np.ndarray, x: np.ndarray, y: np.ndarray, sky: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return the light in apertures."""
    row, column = y.astype(int), x.astype(int)
    reach = len(weights) // 2
    light = np.zeros(len(x))
    for i, j in np.argwhere(weights > 0):
        light += weights[i, j] * (data[row + i - reach, column + j - reach] - sky)
    return light
