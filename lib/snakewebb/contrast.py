"""Contrast about a star: noise, point sources, and what the subtraction of the PSF takes of them.

The flux of a point source at a place is that which fits the image best there: the image summed
with the core of the PSF as weight. Noise at a separation is the scatter of such fluxes at places a
resolution element apart on the ring. What the reduction lets pass is measured: sources are added to
the exposures, and these are reduced once more, in the same way. A source that was found is taken
away from where it is: with other rolls as references, the share that is subtracted of it falls as
it gets brighter, so that a second one of its flux added to it would come through too well.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table
from scipy.fft import next_fast_len
from scipy.ndimage import (
    binary_dilation,
    distance_transform_edt,
    map_coordinates,
    maximum_filter,
    spline_filter,
)
from scipy.signal import fftconvolve
from scipy.stats import norm, t

from snakewebb.errors import InputError
from snakewebb.exposure import open_fits
from snakewebb.files import replacing, write_ecsv
from snakewebb.geometry import ARCSEC, Geometry, to_plane
from snakewebb.grid import Grid
from snakewebb.headers import value
from snakewebb.kernels.rings import ring_statistics
from snakewebb.klip import Subtracted
from snakewebb.notes import history
from snakewebb.psf import CHARGE_DIFFUSION, DIAMETER, make_pupil
from snakewebb.resample import Input, drizzle_band
from snakewebb.tables import read_image

log = logging.getLogger(__name__)

TELESCOPE = 6.5
"""Diameter that λ/D refers to, metres; that of JWST's documents."""
AB_ZERO_POINT = 8.9
CORE = 1.5
"""Radius in units of the FWHM within which fluxes are measured and found sources masked."""
LEAST_CORE = 0.7
"""Fraction of the core, by its weight in the fit, that has to have data."""
MOST_SOURCES = 20
MOST_OVERSAMPLED = 100
BRIGHTEST = 1e20
"""More in a pixel is no image of a star."""
SIGMA = 5.0
"""Of the contrast curve, and of detections."""
LADDER = 8
BRANCHES = 5
"""Throughput is measured at so many separations, so many position angles each."""
REMOVALS = 2
"""A found source is taken away so often, each time with the flux that the last gave."""
LEAST_KEPT = 0.2
"""Its flux is corrected by no more than this fraction before."""
WHOLE = 0.95
"""Part of the farthest of these rings that has to have data; beyond, its throughput holds."""
GOLDEN = 137.508
"""Degrees from one separation's companions to those of the next: no two lie in a row."""
NEIGHBOURS = 2
"""A source is not compared with its own light at the places next to it; see `ring_statistics`."""
PHASES = 8
"""Noise is averaged over so many sets of places on a ring."""

SOURCE_COLUMNS = (
    *("separation", "separation_ld", "pa", "contrast", "contrast_err", "flux", "flux_err", "snr"),
    *("significance", "likeness", "throughput", "transmission", "x", "y", "ra", "dec"),
)
BRIGHTNESSES = ("before", "raw", "contrast", "contrast_err")
"""Columns in units of the star's flux or, where that is not known, in MJy/sr."""
DESCRIPTIONS = {
    "truncate": ("", "principal components subtracted"),
    "separation": ("arcsec", "from the star"),
    "separation_ld": ("", "in units of wavelength over 6.5 m"),
    "n": ("", "resolution elements on the ring"),
    "noise": ("Jy", "scatter of point-source fluxes on the ring"),
    "before": ("", "5-sigma limit before the subtraction of the star's light"),
    "raw": ("", "5-sigma limit, losses in the subtraction ignored"),
    "throughput": ("", "fraction of a companion's flux that the subtraction leaves"),
    "throughput_err": ("", "its scatter over position angles"),
    "transmission": ("", "of the coronagraph"),
    "contrast": ("", "corrected for throughput and transmission; of the curve, the 5-sigma limit"),
    "contrast_err": ("", "noise of the ring, corrected alike"),
    "limit": ("Jy", "5-sigma limit corrected for throughput and transmission"),
    "pa": ("deg", "position angle, East of North"),
    "flux": ("Jy", "corrected for throughput and transmission"),
    "flux_err": ("Jy", "noise of the ring, corrected alike"),
    "snr": ("", "flux over noise of the ring, with the factor for few places"),
    "significance": ("", "normal sigma of the same false alarm probability at one place"),
    "likeness": ("", "correlation with the PSF; less for cosmic rays and streaks than for sources"),
    "x": ("pix", "0-based"),
    "y": ("pix", "0-based"),
    "ra": ("deg", "ICRS"),
    "dec": ("deg", "ICRS"),
}

CURVE_COLUMNS = (
    *("truncate", "separation", "separation_ld", "n", "noise", "before", "raw", "throughput"),
    *("throughput_err", "transmission", "contrast", "limit"),
)
FLUXES = (1e-9, 1e7)
"""Jy; that of no star is beyond."""

Cubes = Sequence[np.ndarray]
Reduce = Callable[[Cubes], np.ndarray]


class Unmeasurable(Exception):  # noqa: N818 - an outcome, not an error of the user
    """The data do not tell a contrast; the message says why."""


@dataclass(frozen=True)
class Frame:
    """Where a star is on an image, and where East and North are.

    Attributes
    ----------
    center : (x, y)
        The star, 0-based pixels.
    axes : 2×2
        Pixels an arcsecond; columns East and North, rows x and y.
    """

    center: tuple[float, float]
    axes: tuple[tuple[float, float], tuple[float, float]]

    @classmethod
    def of_exposure(cls, geometry: Geometry, center: tuple[float, float]) -> Frame:
        """Make the frame of an exposure whose star is at ``center``."""
        nodes = geometry.x_nodes, geometry.y_nodes
        x, y = (axis.ravel() for axis in np.meshgrid(*nodes))
        sky = to_plane(geometry.ra.ravel(), geometry.dec.ravel(), *geometry.center())
        u, v = x - center[0], y - center[1]
        # The linear terms at the star; the others are the distortion.
        design = np.column_stack((np.ones_like(u), u, v, u * u, u * v, v * v))
        solution, *_ = np.linalg.lstsq(design, np.column_stack(sky))
        return cls(tuple(map(float, center)), _rows(np.linalg.inv(solution[1:3].T)))

    @classmethod
    def of_grid(cls, grid: Grid, ra: float, dec: float) -> Frame:
        """Make the frame of a mosaic's grid whose star is at ``ra``, ``dec`` (degrees)."""
        center = grid.sky_to_pixel(np.float64(ra), np.float64(dec))
        return cls(
            tuple(map(float, center)), _rows(np.linalg.inv(np.array(grid.pc) * grid.cdelt * 3600.0))
        )

    @property
    def pixel_scale(self) -> float:
        """Arcseconds a pixel."""
        return float(abs(np.linalg.det(self.axes)) ** -0.5)

    @property
    def jansky(self) -> float:
        """Jy that 1 MJy/sr in one pixel is."""
        return 1e6 * (self.pixel_scale / ARCSEC) ** 2

    def place(self, separation: float, pa: float) -> tuple[float, float]:
        """Return the pixel (x, y) at a separation (arcsec) and position angle (degrees E of N)."""
        angle = np.radians(pa)
        offset = np.array(self.axes) @ (separation * np.array((np.sin(angle), np.cos(angle))))
        return float(self.center[0] + offset[0]), float(self.center[1] + offset[1])

    def polar(self, x: float, y: float) -> tuple[float, float]:
        """Return the separation (arcsec) and position angle (degrees in [0, 360)) of a pixel."""
        east, north = np.linalg.solve(self.axes, (x - self.center[0], y - self.center[1]))
        return float(np.hypot(east, north)), float(np.degrees(np.arctan2(east, north)) % 360)


def _rows(matrix: np.ndarray) -> tuple[tuple[float, float], tuple[float, float]]:
    return tuple(tuple(map(float, row)) for row in matrix)


# --- the point-spread function -------------------------------------------------------------------


@dataclass(frozen=True)
class PointSpread:
    """An effective PSF: what fraction of a star's flux a pixel holds, by its place to the star.

    Attributes
    ----------
    image : (n, n) float64
        Samples; n is odd and the star in the middle.
    oversample : float
        Samples a pixel. ``image.sum()`` is ``oversample`` squared if all of the flux is in it.

    Notes
    -----
    Anderson & King 2000 (PASP 112, 1360).
    """

    image: np.ndarray
    oversample: float

    @classmethod
    def from_array(cls, image: np.ndarray, oversample: int = 1) -> PointSpread:
        """Make a PSF from an image of a star at its middle, of any flux, without background.

        The image is normalised to all that is in it. One of few samples is resampled by its
        Fourier transform.

        Raises
        ------
        InputError
            It is not square, has a NaN, or holds no light.
        """
        image = np.asarray(image, np.float64)
        if image.ndim != 2 or image.shape[0] != image.shape[1] or not image.shape[0] % 2:
            raise InputError(f"psf: has shape {image.shape}: give a square of odd size")
        if not (np.abs(image) < BRIGHTEST).all() or not image.sum() > 0:
            raise InputError("psf: has NaN, or no light: give an image of a star")
        if oversample < 4:
            factor = math.ceil(4 / oversample)
            image, oversample = _upsampled(image, factor), oversample * factor
        return cls(image * oversample**2 / image.sum(), float(oversample))

    def at(self, shape: tuple[int, int], x: float, y: float) -> np.ndarray:
        """Return a star of flux 1 at (x, y), 0-based pixels, on an image of some shape."""
        stamp, rows, columns = self.stamp(shape, x, y)
        image = np.zeros(shape)
        image[rows, columns] = stamp
        return image

    def stamp(self, shape: tuple[int, int], x: float, y: float) -> tuple[np.ndarray, slice, slice]:
        """Return the part of `at` that is not 0, and its rows and columns."""
        half = len(self.image) // 2
        reach = half / self.oversample
        rows, columns = (
            slice(max(math.ceil(c - reach), 0), max(min(math.floor(c + reach) + 1, n), 0))
            for c, n in ((y, shape[0]), (x, shape[1]))
        )
        along = [
            (np.arange(part.start, part.stop) - c) * self.oversample + half
            for part, c in ((rows, y), (columns, x))
        ]
        grid = np.meshgrid(*along, indexing="ij")
        return map_coordinates(self._coefficients, grid, prefilter=False), rows, columns

    @property
    def _coefficients(self) -> np.ndarray:
        if "spline" not in self.__dict__:
            self.__dict__["spline"] = spline_filter(self.image, mode="mirror")
        return self.__dict__["spline"]

    def profile(self, radius: np.ndarray) -> np.ndarray:
        """Return the mean over position angles at distances from the star, pixels."""
        angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        half = len(self.image) // 2
        grid = (half + self.oversample * np.outer(f(angle), radius) for f in (np.sin, np.cos))
        return map_coordinates(self._coefficients, list(grid), prefilter=False).mean(axis=0)

    def drizzled(self, pixfrac: float = 1.0, pixel_scale_ratio: float = 1.0) -> PointSpread:
        """Return the PSF of a mosaic: convolved with the drop and with the output pixel.

        The mean over subpixel phases and position angles, so it is round. Fruchter & Hook 2002
        (PASP 114, 144).
        """
        n = len(self.image)
        size = next_fast_len(2 * n)
        frequency = np.fft.fftfreq(size, 1 / self.oversample)
        box = np.sinc(frequency * pixfrac) * np.sinc(frequency * pixel_scale_ratio)
        spectrum = np.fft.fft2(self.image, (size, size)) * box[:, None] * box
        smooth = PointSpread(np.fft.ifft2(spectrum).real[:n, :n], self.oversample)
        samples = np.arange(n // 2 + 1)
        profile = smooth.profile(samples / self.oversample)
        offset = np.arange(n) - n // 2
        image = np.interp(np.hypot(offset[:, None], offset), samples, profile, right=0.0)
        return PointSpread(image * pixel_scale_ratio**2, self.oversample * pixel_scale_ratio)

    @property
    def fwhm(self) -> float:
        """Full width at half maximum of the profile, pixels."""
        radius = np.arange(0, len(self.image) / 2, 0.02) / self.oversample
        profile = self.profile(radius)
        outer = int(np.argmax(profile < profile[0] / 2))
        part = (profile[outer - 1] - profile[0] / 2) / (profile[outer - 1] - profile[outer])
        return float(2 * (radius[outer - 1] + part * (radius[outer] - radius[outer - 1])))

    @property
    def peak(self) -> float:
        """The fraction of the flux in a pixel that has the star in its middle."""
        return float(self.image[len(self.image) // 2, len(self.image) // 2])


def _upsampled(image: np.ndarray, factor: int) -> np.ndarray:
    """Return an image with ``factor`` times the samples, interpolated by its Fourier transform."""
    half = len(image) // 2
    size = len(image) * factor
    waves = np.arange(-half, half + 1)
    places = np.arange(-half * factor, half * factor + 1) / size
    matrix = np.exp(2j * np.pi * np.outer(places, waves))
    spectrum = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image))) / image.size
    return (matrix @ spectrum @ matrix.T).real


def model_psf(
    wavelength: float,
    bandwidth: float,
    pixel_scale: float,
    *,
    margin: float = 0.0,
    size: int = 101,
) -> PointSpread:
    """Compute the PSF of JWST's segmented pupil, behind a Lyot stop but beside the mask.

    Parameters
    ----------
    wavelength, bandwidth : float
        Metres.
    pixel_scale : float
        Arcsec.
    margin : float, optional
        The stop passes what is farther than this from all edges of the pupil, metres.
    size : int, optional
        Side, pixels, odd. What light falls outside, some per cent, is not in the PSF.

    Notes
    -----
    Matrix Fourier transform: Soummer et al. 2007 (Optics Express 15, 15935).
    """
    x, pupil = make_pupil()
    step = x[1] - x[0]
    depth = distance_transform_edt(np.pad(pupil, 1) > 0.5)[1:-1, 1:-1] * step
    stop = pupil * np.clip(0.5 + (depth - margin) / step, 0, 1)
    pixel = pixel_scale / ARCSEC
    oversample = 2 * math.ceil(2 * pixel * DIAMETER / wavelength)
    half = size // 2 * oversample
    angle = np.arange(-half, half + 1) / oversample * pixel
    image = np.zeros((2 * half + 1, 2 * half + 1))
    for colour in wavelength + bandwidth * np.linspace(-0.5, 0.5, 9):
        wave = np.exp(-2j * np.pi / colour * np.outer(angle, x))
        image += np.abs(wave @ stop @ wave.T) ** 2 / colour**2
    frequency = np.fft.fftfreq(len(image), 1 / oversample)
    pixels = np.sinc(frequency) * np.exp(-2 * (np.pi * CHARGE_DIFFUSION * frequency) ** 2)
    image = np.fft.ifft2(np.fft.fft2(image) * pixels[:, None] * pixels).real
    # By Parseval's theorem this is all of the light, on the stamp and off it.
    whole = 9 * (stop**2).sum() / (pixel * step) ** 2
    return PointSpread(image / whole, float(oversample))


def read_psf(path: str | Path) -> PointSpread:
    """Read an image of a star, or of the PSF that a model gives.

    The first image of the file, with the star in the middle of a square of an odd number of
    pixels; ``OVERSAMP`` (default 1) of them, in its header, make one of the detector's.

    Raises
    ------
    InputError
        The file cannot be read or is no such image.
    """
    array, header = read_image(path, "give an image of a star")
    oversample = value(header, "OVERSAMP", path)
    oversample = 1 if oversample is None else oversample
    if oversample not in range(1, MOST_OVERSAMPLED + 1):
        raise InputError(
            f"{path}: OVERSAMP is {oversample!r}: give a whole number from 1 to {MOST_OVERSAMPLED}"
        )
    try:
        return PointSpread.from_array(array, int(oversample))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


# --- fluxes and noise ----------------------------------------------------------------------------


def flux_map(image: np.ndarray, psf: PointSpread) -> np.ndarray:
    """Return the flux of the point source that fits best, for each pixel as its place.

    Parameters
    ----------
    image : (ny, nx) array
        NaN where there are no data.
    psf : PointSpread
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


def flux_at(image: np.ndarray, psf: PointSpread, x: float, y: float) -> float:
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


def _core(psf: PointSpread) -> np.ndarray:
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


def significance(snr: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the normal sigma of the same false alarm probability as an SNR with few ``others``."""
    freedom = np.where(others < 2, np.nan, np.asarray(others, float) - 1)
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


# --- point sources -------------------------------------------------------------------------------


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
    psf: PointSpread,
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
    psf : PointSpread
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
        residual, height = _without(residual, mask, center, psf, u, v)
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


def _likeness(image: np.ndarray, psf: PointSpread, x: float, y: float) -> float:
    """Return the correlation of an image's pixels with those of a star at a place."""
    stamp, rows, columns = psf.stamp(image.shape, x, y)
    v, u = np.ogrid[rows, columns]
    cut = image[rows, columns]
    near = (np.hypot(u - x, v - y) <= CORE * psf.fwhm) & np.isfinite(cut)
    return float(np.corrcoef(cut[near], stamp[near])[0, 1])


def _without(
    flux: np.ndarray,
    mask: np.ndarray,
    center: tuple[float, float],
    psf: PointSpread,
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


# --- throughput ----------------------------------------------------------------------------------


def inject(
    cube: np.ndarray, frame: Frame, psf: PointSpread, separation: float, pa: float, flux: float
) -> np.ndarray:
    """Return an exposure with a companion added to all of its integrations.

    Parameters
    ----------
    cube : (n, ny, nx) array
        MJy/sr.
    frame : Frame
        The exposure's.
    psf : PointSpread
        At the exposure's pixels.
    separation, pa : float
        Arcsec; degrees East of North.
    flux : float
        Jy.
    """
    stamp, rows, columns = psf.stamp(cube.shape[1:], *frame.place(separation, pa))
    brighter = np.array(cube, np.float64)
    brighter[:, rows, columns] += flux / frame.jansky * stamp
    return brighter


def throughput(
    reduce: Reduce,
    cubes: Cubes,
    frames: Sequence[Frame],
    psf: PointSpread,
    image_frame: Frame,
    image_psf: PointSpread,
    places: Sequence[tuple[float, float, float]],
) -> np.ndarray:
    """Measure what fraction of a companion's flux is found in the reduced image.

    The reduction is done once for each companion, and once without.

    Parameters
    ----------
    reduce : callable
        Takes the exposures' cubes, returns the combined image (ny, nx) or several (…, ny, nx).
    cubes : sequence of (n, ny, nx) arrays
        Exposures of the target, MJy/sr.
    frames : sequence of Frame
        Theirs.
    psf : PointSpread
        At their pixels.
    image_frame, image_psf : Frame, PointSpread
        Those of the combined image.
    places : sequence of (separation, pa, flux)
        Of the companions; arcsec, degrees East of North, Jy.

    Returns
    -------
    (len(places), …) float64
    """
    before = np.asarray(reduce(cubes), np.float64)
    fractions = np.empty((len(places), *before.shape[:-2]))
    for k, (separation, pa, flux) in enumerate(places):
        brighter = [
            inject(cube, frame, psf, separation, pa, flux)
            for cube, frame in zip(cubes, frames, strict=True)
        ]
        change = np.asarray(reduce(brighter), np.float64) - before
        place = image_frame.place(separation, pa)
        for index in np.ndindex(fractions.shape[1:]):
            found = flux_at(change[index], image_psf, *place)
            fractions[(k, *index)] = found * image_frame.jansky / flux
    return fractions


# --- the contrast curve --------------------------------------------------------------------------


def combiner(inputs: Sequence[Input], **parameters: Any) -> Callable[[Cubes], np.ndarray]:
    """Return the combination of exposures into one image, as the resample step makes it.

    Parameters
    ----------
    inputs : sequence of Input
        All integrations of all exposures, in order, with their planes in memory; SCI is ignored.
    **parameters
        Of `snakewebb.resample.drizzle_band`: ``pixfrac``, ``kernel``, ``weight_type``, …

    Returns
    -------
    callable
        Takes a cube (n, ny, nx) an exposure, returns the image.
    """
    rows = slice(0, inputs[0].pixel_map.grid.shape[0])
    weights = [
        {name: plane for name, plane in each.source.items() if name != "SCI" and plane is not None}
        for each in inputs
    ]
    if not any("VAR_RNOISE" in planes for planes in weights):
        parameters |= {"weight_type": None}
    parameters |= {"enable_err": False, "enable_ctx": False, "fillval": "NAN"}

    def combine(cubes: Cubes) -> np.ndarray:
        images = (image for cube in cubes for image in cube)
        filled = [
            replace(each, source={"SCI": image, **planes})
            for each, planes, image in zip(inputs, weights, images, strict=True)
        ]
        return drizzle_band(filled, inputs[0].pixel_map.grid, rows, **parameters).sci

    return combine


def reducer(
    subtract: Callable[[Cubes], Sequence[Sequence[Subtracted]]],
    combine: Callable[[Cubes], np.ndarray],
) -> Reduce:
    """Return the reduction that a product had, from its exposures to its combined images.

    Parameters
    ----------
    subtract : callable
        Of `snakewebb.coron.reduction`.
    combine : callable
        Of `combiner`.
    """

    def reduce(cubes: Cubes) -> np.ndarray:
        by_truncate = zip(*subtract(cubes), strict=True)
        return np.array([combine([part.data for part in parts]) for parts in by_truncate])

    return reduce


@dataclass(frozen=True)
class Contrast:
    """What a coronagraphic observation shows, and could have shown.

    Attributes
    ----------
    curve : Table
        A row for each separation and `truncate`.
    sources : Table
        A row for each point source.
    snr : (ny, nx) float32
        Of the image with the first `truncate`.
    """

    curve: Table
    sources: Table
    snr: np.ndarray

    @classmethod
    def unknown(cls, shape: tuple[int, int], truncate: Sequence[int]) -> Contrast:
        """Make one of which nothing is known: tables without rows, a map without numbers."""
        tables = [
            Table({name: np.empty(0) for name in names})
            for names in (CURVE_COLUMNS, SOURCE_COLUMNS)
        ]
        for table in tables:
            _describe(table, {"sigma": SIGMA, "headline_truncate": int(truncate[0])}, True)
        return cls(*tables, np.full(shape, np.nan, np.float32))


def star_flux(
    *,
    abmag: float | None = None,
    vegamag: float | None = None,
    jansky: float | None = None,
    vega_offset: float | None = None,
) -> float | None:
    """Return the star's flux in Jy from one of three; None if none is given.

    Parameters
    ----------
    abmag, vegamag, jansky : float, optional
        In the observation's filter.
    vega_offset : float, optional
        AB less Vega magnitude, of the ABVEGAOFFSET reference file.

    Raises
    ------
    InputError
        More than one is given, a Vega magnitude without the offset, or what no star has.
    """
    if sum(value is not None for value in (abmag, vegamag, jansky)) > 1:
        raise InputError("star: more than one of abmag, vegamag and jansky: give one")
    if vegamag is not None:
        if vega_offset is None:
            raise InputError(
                "star: a Vega magnitude needs an ABVEGAOFFSET file: give reference_files."
                "abvegaoffset, or abmag"
            )
        abmag = vegamag + vega_offset
    if abmag is not None:
        exponent = -0.4 * (abmag - AB_ZERO_POINT)
        jansky = 10**exponent if abs(exponent) < 300 else np.nan
    low, high = FLUXES
    if jansky is not None and not low <= jansky <= high:
        given = jansky if abmag is None else abmag
        raise InputError(f"star: {given:g} is no brightness: give {low:g} to {high:g} Jy, or AB")
    return jansky


def measure_contrast(
    reduce: Reduce,
    combine: Callable[[Cubes], np.ndarray],
    cubes: Cubes,
    frames: Sequence[Frame],
    psf: PointSpread,
    grid: Grid,
    star: tuple[float, float],
    *,
    wavelength: float,
    truncate: Sequence[int],
    star_jansky: float | None = None,
    transmission: np.ndarray | None = None,
    pixfrac: float = 1.0,
) -> Contrast:
    """Measure noise, throughput and point sources.

    Parameters
    ----------
    reduce : callable
        From the exposures' cubes to the combined image with the star's light subtracted, one for
        each of `truncate`: (T, ny, nx).
    combine : callable
        The same without the subtraction, see `combiner`: (ny, nx).
    cubes : sequence of (n, ny, nx) arrays
        Exposures of the target, repaired, MJy/sr.
    frames : sequence of Frame
        Theirs.
    psf : PointSpread
        Of a companion, at their pixels.
    grid : Grid
        The combined image's.
    star : (RA, Dec)
        Degrees.
    wavelength : float
        Metres.
    truncate : sequence of int
        The first is the headline.
    star_jansky : float, optional
        The star's flux without the mask. Without it limits are the brightness of a companion's
        central pixel in MJy/sr.
    transmission : (ny, nx) array, optional
        Of the coronagraph, on the exposures' pixels, for an off-axis source. Limits and contrasts
        are divided by it.
    pixfrac : float, optional
        With which exposures are drizzled.

    Returns
    -------
    Contrast

    Raises
    ------
    Unmeasurable
        No ring about the star has data.
    """
    frame = Frame.of_grid(grid, *star)
    image_psf = psf.drizzled(pixfrac, frame.pixel_scale / frames[0].pixel_scale)
    fwhm = image_psf.fwhm
    images = np.asarray(reduce(cubes), np.float64)
    detections = detect(images[0], frame.center, image_psf, threshold=SIGMA)

    element = wavelength / TELESCOPE * ARCSEC
    reach = np.hypot(*grid.shape) * frame.pixel_scale
    separation = element * np.arange(1.0, reach / element)
    radius = separation / frame.pixel_scale
    places = np.floor(2 * np.pi * radius / fwhm)
    profiles = []
    for k, image in enumerate((np.asarray(combine(cubes)), *images)):
        flux = flux_map(image, image_psf)
        for source in detections.sources if k else ():
            flux, _ = _without(flux, detections.mask, frame.center, image_psf, source.x, source.y)
        profiles.append(Rings(flux, frame.center, fwhm, detections.mask).noise(radius))
    n = profiles[1][1]
    last = np.flatnonzero(n < places / 2)
    last = last[last > np.argmax(n > places / 2)][:1]
    use = np.arange(len(n)) < (last[0] if last.size else len(n))
    use &= n >= 3
    if not use.any():
        raise Unmeasurable("no ring about the star has data")
    separation, n = separation[use], n[use]
    noise = np.array([profile[0][use] for profile in profiles]) * frame.jansky
    penalty = small_sample_penalty(n)

    whole = separation[n > WHOLE * places[use]]
    ladder = np.geomspace(separation[0], whole[-1] if whole.size else separation[0], LADDER)
    companions = [
        (s, (GOLDEN * k + 360 / BRANCHES * branch) % 360, SIGMA * f)
        for k, (s, f) in enumerate(
            zip(ladder, np.interp(ladder, separation, noise[1]), strict=True)
        )
        for branch in range(BRANCHES)
    ]
    sources = [
        (*frame.polar(source.x, source.y), source.flux * frame.jansky)
        for source in detections.sources
    ]
    setting = cubes, frames, psf, frame, image_psf
    with _quiet():
        combined, seen = (throughput(combine, *setting, each) for each in (companions, sources))
        fractions = throughput(reduce, *setting, companions) / combined[:, None]
        kept = seen
        for _ in range(REMOVALS if sources else 0):
            least = np.maximum(np.nan_to_num(kept, nan=1.0), LEAST_KEPT)
            places = [
                (s, pa, -flux / part) for (s, pa, flux), part in zip(sources, least, strict=True)
            ]
            kept = throughput(reduce, *setting, places)[:, 0]
    algorithm = fractions.reshape(LADDER, BRANCHES, len(truncate))
    response = float(np.nanmean(combined))
    log.info("a companion's flux before the subtraction: %.4f of the truth", response)

    through = np.array([np.mean(_transmission(transmission, frames, s)) for s in separation])
    unit = star_jansky if star_jansky else frame.jansky / image_psf.peak
    tables = []
    for k, number in enumerate(truncate):
        passed, scatter = (
            np.interp(np.log(separation), np.log(ladder), values)
            for values in (
                np.nanmean(algorithm[..., k], axis=1),
                np.nanstd(algorithm[..., k], axis=1, ddof=1),
            )
        )
        raw = penalty * noise[1 + k] / response
        with np.errstate(divide="ignore"):
            limit = raw / np.where(passed > 0, passed, np.nan) / through
        tables.append(
            {
                "truncate": np.full(len(separation), number),
                "separation": separation,
                "separation_ld": separation / element,
                "n": n,
                "noise": noise[1 + k] / response,
                "before": penalty * noise[0] / response / unit,
                "raw": raw / unit,
                "throughput": passed,
                "throughput_err": scatter,
                "transmission": through,
                "contrast": limit / unit,
                "limit": limit,
            }
        )
    meta = {
        "quantity": "contrast" if star_jansky else "brightness of a companion's central pixel",
        "sigma": SIGMA,
        "star_flux_Jy": star_jansky,
        "wavelength_m": wavelength,
        "fwhm_arcsec": fwhm * frame.pixel_scale,
        "star_xy": list(frame.center),
        "headline_truncate": int(truncate[0]),
        "response": response,
        "coronagraph_transmission": "from the given map"
        if transmission is not None
        else "not given: 1",
    }
    curve = Table({name: np.concatenate([t[name] for t in tables]) for name in CURVE_COLUMNS})
    _describe(curve, meta, bool(star_jansky))
    found = _sources(
        detections,
        kept / seen,
        seen,
        frame,
        grid,
        element,
        unit,
        transmission,
        frames,
    )
    _describe(found, meta, bool(star_jansky))
    return Contrast(curve, found, detections.snr.astype(np.float32))


def _sources(
    detections: Detections,
    algorithm: np.ndarray,
    response: np.ndarray,
    frame: Frame,
    grid: Grid,
    element: float,
    unit: float,
    transmission: np.ndarray | None,
    frames: Sequence[Frame],
) -> Table:
    """Return the table of point sources, brightnesses in units of ``unit`` Jy."""
    rows = []
    for source, passed, seen in zip(detections.sources, algorithm, response, strict=True):
        separation, pa = frame.polar(source.x, source.y)
        through = float(np.mean(_transmission(transmission, frames, separation, [pa])))
        scale = frame.jansky / (passed * seen * through)
        ra, dec = grid.pixel_to_sky(source.x, source.y)
        rows.append(
            {
                "separation": separation,
                "separation_ld": separation / element,
                "pa": pa,
                "contrast": source.flux * scale / unit,
                "contrast_err": source.flux_err * scale / unit,
                "flux": source.flux * scale,
                "flux_err": source.flux_err * scale,
                "snr": source.snr,
                "significance": source.significance,
                "likeness": source.likeness,
                "throughput": passed,
                "transmission": through,
                "x": source.x,
                "y": source.y,
                "ra": float(ra),
                "dec": float(dec),
            }
        )
    return Table({name: np.array([row[name] for row in rows], float) for name in SOURCE_COLUMNS})


def _transmission(
    image: np.ndarray | None,
    frames: Sequence[Frame],
    separation: float,
    pas: Sequence[float] = tuple(range(0, 360, 10)),
) -> np.ndarray:
    """Return a coronagraph's transmission at a separation, for each exposure and angle."""
    if image is None:
        return np.ones(1)
    places = np.array([frame.place(separation, pa) for frame in frames for pa in pas])
    return map_coordinates(image, places.T[::-1], order=1, mode="nearest")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the reductions' messages, which were written once, from being repeated."""
    logger = logging.getLogger("snakewebb")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _describe(table: Table, meta: Mapping[str, Any], relative: bool) -> None:
    """Give a table's columns units and descriptions."""
    table.meta.update(meta)
    for name, column in table.columns.items():
        unit, column.description = DESCRIPTIONS[name]
        column.unit = "MJy/sr" if name in BRIGHTNESSES and not relative else unit or None
        column.format = "d" if name == "truncate" else ".6g" if name not in "radec" else ".8f"


def write_contrast(
    contrast: Contrast,
    i2d: str | Path,
    curve: str | Path,
    sources: str | Path,
    snr: str | Path,
) -> None:
    """Write the contrast curve and the sources (ECSV) and the SNR map (FITS).

    Parameters
    ----------
    contrast : Contrast
    i2d : path
        The combined image, whose WCS the map gets.
    curve, sources, snr : path
        The files to write.
    """
    for table, path in ((contrast.curve, curve), (contrast.sources, sources)):
        write_ecsv(path, table)
    with open_fits(i2d) as hdus:
        primary, header = hdus[0].header.copy(), hdus["SCI"].header.copy()
    header["BUNIT"] = ("", "signal-to-noise ratio")
    primary["FILENAME"] = Path(snr).name
    outcome = contrast.curve.meta.get("contrast", {"status": "COMPLETE"})
    for line in history({"contrast": outcome}, {"contrast": outcome["status"]}):
        primary["HISTORY"] = line
    image = fits.ImageHDU(contrast.snr, header, name="SNR")
    with replacing(snr) as file:
        fits.HDUList([fits.PrimaryHDU(header=primary), image]).writeto(file)
    log.info("wrote %s, %s and %s", curve, sources, snr)
