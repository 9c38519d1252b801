"""Detection of point sources beside the star."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates, maximum_filter, spline_filter

from snakewebb.coronagraphy.noise import CORE, NEIGHBOURS, Rings, flux_map, significance
from snakewebb.coronagraphy.psf import EffectivePsf

log = logging.getLogger(__name__)

MOST_SOURCES = 20


@dataclass(frozen=True)
class Source:
    """A point source: where it is (0-based pixels), its flux, how sure that is.

    ``likeness`` is the correlation of the image with the PSF there: near 1 for a point source, less
    for a cosmic ray or a streak.
    """

    x: float
    y: float
    flux: float
    flux_err: float
    snr: float
    significance: float
    likeness: float


@dataclass(frozen=True)
class Detections:
    """Point sources, and the image without them.

    Attributes
    ----------
    sources : list of Source
        In decreasing SNR. Fluxes are in the unit of the flux map, above the mean of the ring.
    snr : (ny, nx) float64
        Of each pixel against the ring without the sources.
    residual : (ny, nx) float64
        The flux map less the sources.
    mask : (ny, nx) bool
        True on the sources.
    """

    sources: list[Source]
    snr: np.ndarray
    residual: np.ndarray
    mask: np.ndarray


def detect(
    image: np.ndarray,
    center: tuple[float, float],
    psf: EffectivePsf,
    *,
    threshold: float = 5.0,
    most: int = MOST_SOURCES,
) -> Detections:
    """Find point sources, the brightest first, each in the image without those before it.

    Parameters
    ----------
    image : (ny, nx) array
        The star's light subtracted.
    center : (x, y)
        The star, 0-based pixels.
    psf : EffectivePsf
        Round, at the image's pixels.
    threshold : float
        Normal sigma of the rarity of a false alarm at one place, few places taken into account.
        Where less than half of the ring has data, as in corners, there is no telling.
    most : int
        The search ends with so many.
    """
    flux, fwhm = flux_map(image, psf), psf.fwhm
    residual, mask = flux.copy(), np.zeros(flux.shape, bool)
    y, x = np.indices(flux.shape)
    found: list[tuple[float, float, float]] = []
    radius = np.hypot(x - center[0], y - center[1])
    snr, n = Rings(residual, center, fwhm).snr(residual)
    others = np.floor(2 * np.pi * radius / fwhm) - (2 * NEIGHBOURS - 1)
    surrounded = n >= others / 2
    while len(found) < most:
        filled = np.where(np.isfinite(residual), residual, -np.inf)
        peaks = (filled == maximum_filter(filled, 3)) & ~mask & surrounded
        peaks &= significance(snr, n) >= threshold
        if not peaks.any():
            break
        row, column = np.unravel_index(np.argmax(np.where(peaks, snr, -np.inf)), snr.shape)
        u, v = _summit(residual, int(column), int(row))
        mask |= np.hypot(x - u, y - v) <= CORE * fwhm
        residual, height = without_source(residual, mask, center, psf, u, v)
        found.append((u, v, height))
        near = np.abs(radius - np.hypot(u - center[0], v - center[1])) < 3 * CORE * fwhm
        new = Rings(residual, center, fwhm, mask).snr(residual, near)
        snr, n = (np.where(near, *pair) for pair in zip(new, (snr, n), strict=True))
    sources = []
    for u, v, height in found:
        excess, error, others = _against_ring(Rings(residual, center, fwhm, mask), u, v)
        flux_ = height + excess
        sure = float(significance(flux_ / error, others))
        sources.append(Source(u, v, flux_, error, flux_ / error, sure, _likeness(image, psf, u, v)))
    sources.sort(key=lambda source: -source.snr)
    log.info("%d point sources above %g sigma", len(sources), threshold)
    snr, _ = Rings(residual, center, fwhm, mask).snr(flux)
    return Detections(sources, snr, residual, mask)


def _likeness(image: np.ndarray, psf: EffectivePsf, x: float, y: float) -> float:
    """Return the correlation of an image's pixels with those of a star at a place."""
    stamp, rows, columns = psf.stamp(image.shape, x, y)
    v, u = np.ogrid[rows, columns]
    cut = image[rows, columns]
    near = (np.hypot(u - x, v - y) <= CORE * psf.fwhm) & np.isfinite(cut)
    return float(np.corrcoef(cut[near], stamp[near])[0, 1])


def without_source(
    flux: np.ndarray,
    mask: np.ndarray,
    center: tuple[float, float],
    psf: EffectivePsf,
    x: float,
    y: float,
) -> tuple[np.ndarray, float]:
    """Return a flux map with a source subtracted, and the flux it had above its ring's mean."""
    height, *_ = _against_ring(Rings(flux, center, psf.fwhm, mask), x, y)
    return flux - height * flux_map(psf.at(flux.shape, x, y), psf), height


def _summit(flux: np.ndarray, column: int, row: int) -> tuple[float, float]:
    """Return where the spline through a map is highest, next to a pixel that is."""
    cut = np.s_[max(row - 6, 0) : row + 7, max(column - 6, 0) : column + 7]
    known = np.isfinite(flux[cut])
    coefficients = spline_filter(np.where(known, flux[cut], 0.0), mode="mirror")
    corner = np.array([cut[0].start, cut[1].start])
    place = np.array([row, column], float) - corner
    for step in (1.0, 0.5, 0.25):
        # The top of a parabola through three points of each axis.
        around = place[:, None, None] + step * np.eye(2)[:, :, None] * np.array((-1, 0, 1))
        low, middle, high = map_coordinates(coefficients, around, prefilter=False, mode="mirror").T
        bend = 2 * middle - low - high
        rise = np.divide(high - low, 2 * bend, out=np.zeros(2), where=bend > 0)
        place += step * np.clip(rise, -1, 1)
    y, x = place + corner
    return float(x), float(y)


def _against_ring(rings: Rings, x: float, y: float) -> tuple[float, float, int]:
    """Return the flux at a place above the mean of its ring, its error, and how many made these."""
    (mean,), (error,), (n,) = rings.around(np.array([x]), np.array([y]))
    return rings.at(x, y) - float(mean), float(error), int(n)
