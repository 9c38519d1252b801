"""Stars of a mosaic, by which it is judged: bright, alone, and as sharp as the sharpest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from snakewebb.io.noise_correlation import UNCORRELATED
from snakewebb.kernels.photometry import annulus_sky
from snakewebb.kernels.stars import find_peaks, fit_gaussians, stand_alone
from snakewebb.references.filters import passband
from snakewebb.sources.mosaic import Mosaic, MosaicFile

ALONE = UNCORRELATED.kernels, UNCORRELATED.step, 0, 0
"""Of pixels whose noise is their own; where they lie does not matter."""
TILE = 256
"""Side of the tiles in which the sky is levelled, and of each of which some stars are taken."""
MOST = 16
"""Stars of a tile: the brightest."""
LEAST_SNR = 20.0
APERTURE = 6.5
"""Of the telescope, metres."""
BROADENED = 0.75
"""Of a mosaic's PSF by the pixels of the detector and of the mosaic: a width in either's pixels."""
SHARP = 0.75, 1.5
"""The FWHM of stars is between these, in units of what optics and pixels make."""
CROWD = 0.04
"""Half the width, in the logarithm, of the crowd that the FWHM of stars make."""
ENOUGH = 0.3
"""So many stars there are for one of the other crowd, at least."""
SPREAD = 0.05, 0.15
"""By so much, at least and at most, the logarithm of a star's FWHM may be off that of most."""
ROUND = 0.35
"""The largest ellipticity of what is taken for a star."""
FEWEST = 3
FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))
"""Of a Gaussian, standard deviations."""


@dataclass(frozen=True)
class Stars:
    """Stars of a mosaic.

    Attributes
    ----------
    x, y : (n,) float64
        0-based pixels.
    ra, dec : (n,) float64
        Degrees.
    snr : (n,) float64
        Signal-to-noise ratio of the nine pixels about the peak.
    fwhm : (n,) float64
        Arcsec; the geometric mean of both axes of a Gaussian fitted to the core.
    shape : (n, 2) float64
        (NN - EE) / (NN + EE) and 2 NE / (NN + EE) of that Gaussian's covariance, North and East.
    """

    x: np.ndarray
    y: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    snr: np.ndarray
    fwhm: np.ndarray
    shape: np.ndarray

    def __len__(self) -> int:
        return len(self.x)


def find_stars(mosaic: Mosaic | MosaicFile) -> Stars:
    """Find the stars of a mosaic that stand alone, a few in each part of it.

    Peaks that no other one disturbs are fitted with Gaussians. Stars are those whose widths crowd
    together near what optics and pixels make; galaxies are wider, and cosmic rays sharper.

    Parameters
    ----------
    mosaic : Mosaic or MosaicFile
        Read in strips of rows, to which the result does not depend on.
    """
    side = 3600.0 * abs(mosaic.grid.cdelt)
    expected = expected_fwhm(mosaic.instrument, side, mosaic.grid.pixel_scale_ratio)
    width = (expected or 2.5 * side) / side
    radius = max(1.2 * width, 2.5)
    pad = int(np.ceil(max(8.0 * width, 16.0)))
    ny = mosaic.shape[0]
    found = []
    for start in range(0, ny, TILE):
        top, bottom = max(start - pad, 0), min(start + TILE + pad, ny)
        data, err, bad = mosaic.rows(top, bottom)
        if np.isnan(err).all():
            err = _noise(data, bad)
        bad = bad | ~np.isfinite(data) | ~np.isfinite(err)
        levels = _levels(data, bad, start - top)
        row, column, light, snr = _peaks(data, err, bad, levels)
        alone = np.zeros(len(row), bool)
        # Airy's first rings have a few hundredths of the light of a peak, spikes less.
        stand_alone(
            column.astype(float), row.astype(float), light, 4.0 * width, 0.1,
            float(pad) - 1.0, 0.01, alone,
        )  # fmt: skip
        own = alone & (row >= start - top) & (row < start - top + TILE)
        chosen = _brightest(np.flatnonzero(own), column, light)
        row, column, snr = row[chosen], column[chosen], snr[chosen]
        sky, error = np.empty((2, len(row)))
        x, y = column.astype(float), row.astype(float)
        annulus_sky(data, x, y, 3.0 * width, 6.0 * width, *ALONE, sky, error)
        fitted = np.empty((len(row), 6))
        fit_gaussians(data, bad, row, column, sky, radius, width, fitted)
        good = np.isfinite(fitted).all(axis=1)
        fitted[:, 2] += top
        found.append(np.column_stack((fitted, snr))[good])
    return _stars(mosaic, np.concatenate(found), expected)


def expected_fwhm(
    instrument: Mapping[str, str | None], side: float, pixel_scale_ratio: float
) -> float | None:
    """Return about how wide stars of a mosaic are, arcsec; None where the filter is not known.

    Parameters
    ----------
    instrument : mapping
        ``name``, ``filter``, ``pupil``.
    side : float
        Of the mosaic's pixels, arcsec.
    pixel_scale_ratio : float
        Mosaic pixel over detector pixel.
    """
    optics = diffraction_fwhm(instrument)
    if optics is None:
        return None
    return float(np.hypot(optics, BROADENED * side * np.hypot(1.0, 1.0 / pixel_scale_ratio)))


def diffraction_fwhm(instrument: Mapping[str, str | None]) -> float | None:
    """Return the FWHM of Airy's pattern, arcsec; None where the filter is not known."""
    for key in ("pupil", "filter"):
        band = passband(str(instrument["name"]), str(instrument.get(key)))
        if band:
            return float(1.03 * np.degrees(band.wavelength / APERTURE) * 3600.0)
    return None


def psf_shape(stars: Stars) -> tuple[float, float, float]:
    """Return the FWHM (arcsec), ellipticity and position angle (degrees) of a mosaic's PSF.

    Medians over its stars: noise makes each star elliptical, in all directions.
    """
    first, second = np.median(stars.shape, axis=0)
    size = float(np.hypot(first, second))
    ratio = float(np.sqrt((1.0 - size) / (1.0 + size)))
    angle = float(np.degrees(0.5 * np.arctan2(second, first)) % 180.0)
    return float(np.median(stars.fwhm)), 1.0 - ratio, angle


def _noise(data: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """Return errors in place of those that a mosaic does not have: of a scatter of all pixels."""
    good = data[~bad & np.isfinite(data)][::7]
    scatter = 1.4826 * np.median(np.abs(good - np.median(good))) if good.size else 1.0
    return np.full_like(data, scatter or 1.0)


def _levels(data: np.ndarray, bad: np.ndarray, first: int) -> np.ndarray:
    """Return the median of each tile of a strip, 0 where there is none."""
    values = np.where(bad, np.nan, data)[first : first + TILE : 4, ::4]
    levels = np.zeros(-(-data.shape[1] // TILE))
    for k in range(len(levels)):
        tile = values[:, k * TILE // 4 : (k + 1) * TILE // 4]
        good = tile[np.isfinite(tile)]
        levels[k] = np.median(good) if good.size else 0.0
    return levels


def _peaks(data, err, bad, levels):
    """Return row, column, light and signal-to-noise ratio of all peaks of a strip."""
    size = 4096
    while True:
        row, column = np.empty((2, size), np.int64)
        light, snr = np.empty((2, size))
        number = find_peaks(
            data, err, bad, levels, TILE, LEAST_SNR, 0, len(data), row, column, light, snr
        )
        if number < size:
            return tuple(column[:number].copy() for column in (row, column, light, snr))
        size *= 8


def _brightest(own: np.ndarray, column: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Return which peaks are the brightest of their tiles, in order."""
    tile = column[own] // TILE
    order = own[np.lexsort((own, -light[own], tile))]
    tile = column[order] // TILE
    rank = np.arange(len(order)) - np.searchsorted(tile, tile)
    return np.sort(order[rank < MOST])


def _stars(mosaic: Mosaic | MosaicFile, fitted: np.ndarray, expected: float | None) -> Stars:
    """Return those of fitted peaks that are stars."""
    _, x, y, xx, xy, yy, snr = fitted.T
    (a, b), (c, d) = mosaic.grid.pc
    side = 3600.0 * mosaic.grid.cdelt
    east = side**2 * (a * a * xx + 2 * a * b * xy + b * b * yy)
    north = side**2 * (c * c * xx + 2 * c * d * xy + d * d * yy)
    mixed = side**2 * (a * c * xx + (a * d + b * c) * xy + b * d * yy)
    fwhm = FWHM * (east * north - mixed**2) ** 0.25
    shape = np.column_stack((north - east, 2.0 * mixed)) / (north + east)[:, None]
    size = np.hypot(*shape.T)
    is_round = 1.0 - np.sqrt((1.0 - size) / (1.0 + size)) < ROUND
    chosen = is_round & _crowd(fwhm, is_round, expected)
    order = np.flatnonzero(chosen)
    order = order[np.lexsort((x[order], y[order]))]
    ra, dec = mosaic.grid.pixel_to_sky(x[order], y[order])
    return Stars(x[order], y[order], ra, dec, snr[order], fwhm[order], shape[order])


def _crowd(fwhm: np.ndarray, able: np.ndarray, expected: float | None) -> np.ndarray:
    """Return which widths crowd together as stars' do."""
    low, high = (expected * edge for edge in SHARP) if expected else (0.0, np.inf)
    able = able & (fwhm > low) & (fwhm < high)
    values = np.sort(np.log(fwhm[able]))
    if len(values) < FEWEST:
        return np.zeros(len(fwhm), bool)
    ends = np.searchsorted(values, values + 2.0 * CROWD, "right")
    number = ends - np.arange(len(values))
    # Of two crowds the sharper one are stars, be there more galaxies that are alike.
    first = int(np.argmax(number >= max(FEWEST, ENOUGH * number.max())))
    if number[first] < FEWEST:
        return np.zeros(len(fwhm), bool)
    near = values <= values[first] + 2.0 * CROWD
    best = first + int(np.argmax(np.where(near, number, 0)[first:]))
    crowd = values[best : ends[best]]
    middle = np.median(crowd)
    spread = np.clip(4.0 * 1.4826 * np.median(np.abs(crowd - middle)), *SPREAD)
    return able & (np.abs(np.log(fwhm) - middle) < spread)
