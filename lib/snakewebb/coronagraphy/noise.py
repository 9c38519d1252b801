"""Fluxes, noise on rings and significance."""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import binary_dilation, map_coordinates, spline_filter
from scipy.signal import fftconvolve
from scipy.stats import norm, t

from snakewebb.coronagraphy.psf import EffectivePsf
from snakewebb.kernels.noise import ring_statistics

CORE = 1.5
"""Radius in units of the FWHM within which fluxes are measured and found sources masked."""
LEAST_CORE = 0.7
"""Fraction of the core, by its weight in the fit, that has to have data."""
NEIGHBOURS = 2
"""A source is not compared with its own light at the places next to it; see `ring_statistics`."""
PHASES = 8
"""Noise is averaged over so many sets of places on a ring."""


def flux_map(image: np.ndarray, psf: EffectivePsf) -> np.ndarray:
    """Return the flux of the point source that fits best, for each pixel as its place.

    Parameters
    ----------
    image : (ny, nx) array
        NaN where there are no data.
    psf : EffectivePsf
        Round; its core is fitted.

    Returns
    -------
    (ny, nx) float64
        In the image's unit times pixels; NaN where much of the PSF's core has no data.
    """
    kernel = _core(psf)
    good = np.isfinite(image)
    total = fftconvolve(np.where(good, image, 0.0).astype(np.float64), kernel, mode="same")
    squares = fftconvolve(good.astype(np.float64), kernel**2, mode="same")
    least = LEAST_CORE * (kernel**2).sum()
    return np.where(squares > least, total / np.maximum(squares, least), np.nan)


def flux_at(image: np.ndarray, psf: EffectivePsf, x: float, y: float) -> float:
    """Return the flux of the point source that fits best at a place; NaN if that has no data."""
    stamp, rows, columns = psf.stamp(image.shape, x, y)
    v, u = np.ogrid[rows, columns]
    cut = image[rows, columns]
    stamp = np.where(np.hypot(u - x, v - y) <= CORE * psf.fwhm, stamp, 0.0)
    good = np.isfinite(cut)
    squares = (stamp[good] ** 2).sum()
    if not squares > LEAST_CORE * (stamp**2).sum():
        return math.nan
    return float((stamp[good] * cut[good]).sum() / squares)


def _core(psf: EffectivePsf) -> np.ndarray:
    radius = CORE * psf.fwhm
    half = math.floor(radius)
    stamp, rows, columns = psf.stamp((2 * half + 1, 2 * half + 1), half, half)
    v, u = np.ogrid[rows, columns]
    return np.where(np.hypot(u - half, v - half) <= radius, stamp, 0.0)


def small_sample_penalty(n: np.ndarray, sigma: float = 5.0) -> np.ndarray:
    """Return by what the scatter of fluxes is multiplied to have false alarms as rare as ``sigma``.

    Parameters
    ----------
    n : array
        Resolution elements on the ring; NaN is returned for fewer than 3.
    sigma : float
        Of a normal distribution.

    Notes
    -----
    Mawet et al. 2014 (ApJ 792, 97): one of the n is tested against the others, of whose small
    number Student's t takes account.
    """
    others = np.asarray(n, float) - 1.0
    others = np.where(others < 2, np.nan, others)
    return t.isf(norm.sf(sigma), others - 1) * np.sqrt(1 + 1 / others)


def significance(snr: np.ndarray | float, others: np.ndarray | int) -> np.ndarray:
    """Return the normal sigma of the same false alarm probability as an SNR with few ``others``."""
    freedom = np.where(np.less(others, 2), np.nan, np.asarray(others, float) - 1)
    return norm.isf(t.sf(snr, freedom))


class Rings:
    """Fluxes on rings about a star, a resolution element apart.

    Parameters
    ----------
    flux : (ny, nx) array
        Of `flux_map`.
    center : (x, y)
        The star, 0-based pixels.
    fwhm : float
        The resolution element, pixels.
    mask : (ny, nx) bool, optional
        True to leave a pixel out.
    """

    def __init__(
        self,
        flux: np.ndarray,
        center: tuple[float, float],
        fwhm: float,
        mask: np.ndarray | None = None,
    ) -> None:
        known = np.isfinite(flux)
        # What was filled in matters to a cubic spline two pixels away.
        self.good = ~binary_dilation(~known, np.ones((5, 5)))
        if mask is not None:
            self.good &= ~mask
        self.coefficients = spline_filter(np.where(known, flux, 0.0), mode="mirror")
        self.center, self.fwhm = center, fwhm

    def noise(self, separations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Measure the scatter at separations, (m,) pixels.

        Returns
        -------
        noise : (m,) float64
            Sample standard deviation, as its mean square over sets of places; NaN for fewer than 2.
        n : (m,) float64
            Resolution elements with data, mean over sets.
        """
        radius = np.repeat(np.asarray(separations, float), PHASES)
        places = np.maximum(np.floor(2 * np.pi * radius / self.fwhm), 1)
        angle = 2 * np.pi / places * np.tile(np.arange(PHASES) / PHASES, len(separations))
        x = self.center[0] + radius * np.cos(angle)
        y = self.center[1] + radius * np.sin(angle)
        _, std, count = self._statistics(x, y, first=0)
        with np.errstate(invalid="ignore"):
            noise = np.sqrt(np.mean((std**2).reshape(-1, PHASES), axis=1))
        return noise, count.reshape(-1, PHASES).mean(axis=1)

    def snr(
        self, flux: np.ndarray, where: np.ndarray | bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return each pixel's flux, less the mean of those on its ring, over their scatter.

        Parameters
        ----------
        flux : (ny, nx) array
            Of `flux_map`.
        where : (ny, nx) bool, optional
            False not to compute a pixel.

        Returns
        -------
        snr : (ny, nx) float64
            With the factor of Mawet et al. 2014 for few places; Student's t with ``n - 1`` degrees
            of freedom if there is nothing but normal noise. NaN where fewer than 2 places have
            data.
        n : (ny, nx) int
            Places that the pixel was compared with.
        """
        shown = np.isfinite(flux) & where
        y, x = (index.astype(float) for index in np.nonzero(shown))
        snr, n = np.full(flux.shape, np.nan), np.zeros(flux.shape, int)
        mean, error, n[shown] = self.around(x, y)
        snr[shown] = (flux[shown] - mean) / error
        return snr, n

    def around(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return mean and error of what is compared with the flux at points, and their number."""
        mean, std, count = self._statistics(x, y, first=NEIGHBOURS)
        std = np.where(std > 0, std, np.nan)
        return mean, std * np.sqrt(1 + 1 / np.maximum(count, 1)), count

    def at(self, x: float, y: float) -> float:
        """Return the flux at a point."""
        return float(map_coordinates(self.coefficients, [[y], [x]], prefilter=False)[0])

    def _statistics(
        self, x: np.ndarray, y: np.ndarray, *, first: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        mean, std, count = np.empty(x.size), np.empty(x.size), np.empty(x.size, np.int64)
        setting = self.coefficients, self.good, *self.center, self.fwhm
        ring_statistics(*setting, x, y, first, mean, std, count)
        return mean, std, count
