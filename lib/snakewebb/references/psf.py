"""The image of a point source in a mosaic: the telescope's, the detector's and drizzle's part.

Without reference files: a filter's name tells its wavelengths; pupil, wavefront and detector are
those of `snakewebb.references.enclosed_energy`. It is meant for finding sources, not for fitting
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from snakewebb.references.detectors import CROSS_LENGTH, cross_of, detector_of
from snakewebb.references.filters import Filter, passband
from snakewebb.references.pupil import DIAMETER, optical_transfer

FGS = Filter(2.5e-6, 3.0e-6)
"""The guiders have no filters."""
REACH = 64
"""Detector pixels from the star to the edge of its image, and `MOST` pixels of a mosaic."""
LEAST, MOST = 16, 256
COLOURS = 5


@dataclass(frozen=True)
class PointSpread:
    """What a star of flux 1 adds to the pixels of a mosaic.

    Attributes
    ----------
    spectrum : (n, n / 2 + 1) float64
        Fourier transform of the image, sampled ``oversample`` times a pixel. It is real: the image
        is symmetric about the star.
    noise : (n, n / 2 + 1) float64
        Power spectrum of the mosaic's noise on the same frequencies, of mean 1 up to Nyquist's.
    oversample : int
    """

    spectrum: np.ndarray
    noise: np.ndarray
    oversample: int

    @property
    def size(self) -> int:
        """Side of the image in pixels."""
        return len(self.spectrum) // self.oversample

    @cached_property
    def frequencies(self) -> tuple[np.ndarray, np.ndarray]:
        """Cycles a pixel along y (n, 1) and x (1, n / 2 + 1)."""
        n = len(self.spectrum)
        step = 1 / self.oversample
        return np.fft.fftfreq(n, step)[:, None], np.fft.rfftfreq(n, step)[None, :]

    def image(self, transfer: np.ndarray | float = 1.0) -> np.ndarray:
        """Return the finely sampled image, the star at its middle, after some filter."""
        n = len(self.spectrum)
        fine = np.fft.irfft2(self.spectrum * transfer, s=(n, n))
        return np.fft.fftshift(fine) * self.oversample**2

    def stamp(self, dx: float, dy: float) -> np.ndarray:
        """Return the image in pixels, the star off the middle of pixel (size / 2, size / 2)."""
        fy, fx = self.frequencies
        n = len(self.spectrum)
        moved = self.spectrum * np.exp(-2j * np.pi * fy * dy) * np.exp(-2j * np.pi * fx * dx)
        fine = np.fft.irfft2(moved, s=(n, n))
        pixels = np.arange(-(n // 2), n - n // 2, self.oversample)
        return fine[pixels[:, None], pixels] * self.oversample**2

    def cut(self, reach: int) -> PointSpread:
        """Return the PSF out to some pixels along both axes."""
        half = min(reach * self.oversample, len(self.spectrum) // 2)
        middle = len(self.spectrum) // 2
        inner = slice(middle - half, middle + half)
        image = self.image()[inner, inner] / self.oversample**2
        spectrum = np.fft.rfft2(np.fft.ifftshift(image)).real
        return replace(self, spectrum=spectrum, noise=np.ones_like(spectrum))

    @cached_property
    def fwhm(self) -> float:
        """Full width at half maximum, pixels."""
        image = self.image()
        middle = len(image) // 2
        line = image[middle, middle:] / image[middle, middle]
        k = int(np.argmax(line < 0.5))
        return 2 * float(k - (0.5 - line[k]) / (line[k - 1] - line[k])) / self.oversample

    def encircled(self, radius: np.ndarray) -> np.ndarray:
        """Return the share of a star's light within circles about it; ``radius`` in pixels."""
        image = self.image() / self.oversample**2
        offset = (np.arange(len(image)) - len(image) // 2) / self.oversample
        distance = np.hypot(offset[:, None], offset).ravel()
        order = np.argsort(distance, kind="stable")
        return np.interp(radius, distance[order], np.cumsum(image.ravel()[order])).clip(0.1, 1)

    def gaussian(self, fwhm: float) -> np.ndarray:
        """Return the transfer function of a Gaussian kernel of sum 1."""
        fy, fx = self.frequencies
        return _blur(fwhm, fy) * _blur(fwhm, fx)

    def efficiency(self, fwhm: float) -> float:
        """Return what a Gaussian filter leaves of a star's signal to noise, in arbitrary units."""
        signal = self._sum(self.spectrum, fwhm)
        return signal / np.sqrt(self._covariance(fwhm, fwhm))

    def shared_noise(self, fwhm: float, other: float) -> float:
        """Return the correlation of the noise in two images, each after a Gaussian filter."""
        pairs = (fwhm, other), (fwhm, fwhm), (other, other)
        both, one, two = (self._covariance(*pair) for pair in pairs)
        return both / np.sqrt(one * two)

    def _covariance(self, fwhm, other):
        return self._sum(self.noise, fwhm, other, highest=0.5)

    def _sum(self, power, *widths, highest=np.inf):
        """Sum a plane of frequencies, both halves, after Gaussian filters along both axes."""
        fy, fx = (f.ravel() for f in self.frequencies)
        down, across = (
            np.prod([_blur(fwhm, f) for fwhm in widths], axis=0) * (np.abs(f) <= highest)
            for f in (fy, fx)
        )
        across *= np.where((fx == 0) | (fx == 0.5 * self.oversample), 1, 2)
        # einsum: a BLAS may round differently with another number of threads
        return float(np.einsum("i,i->", down, np.einsum("ij,j->i", power, across)))

    @cached_property
    def filter_fwhm(self) -> float:
        """FWHM in pixels of the narrowest Gaussian that finds stars within 1 % as well as the best.

        In the mosaic's correlated noise it is narrower than a star: drizzle has smoothed already.
        """
        widths = np.geomspace(0.25, 1.5, 48) * self.fwhm
        efficiencies = np.array([self.efficiency(width) for width in widths])
        return float(widths[np.argmax(efficiencies >= 0.99 * efficiencies.max())])

    def envelope(self, fwhm: float) -> np.ndarray:
        """Return how bright a star is in its spikes after a Gaussian filter, by distance.

        Returns
        -------
        (n,) float64
            The brightest there is at 0, 1, 2, … pixels from the star, or a pixel nearer or
            farther, over the brightest at the star.
        """
        image = self.image(self.gaussian(fwhm))
        n = len(image)
        offset = (np.arange(n) - n // 2) / self.oversample
        distance = np.hypot(offset[:, None], offset)
        rings = np.rint(distance).astype(int)
        brightest = np.zeros(rings.max() + 1)
        np.maximum.at(brightest, rings.ravel(), image.ravel())
        brightest = np.maximum(brightest[: n // 2 // self.oversample], 0.0) / image.max()
        padded = np.pad(brightest, 1, mode="edge")
        return np.max([padded[:-2], padded[1:-1], padded[2:]], axis=0)

    @cached_property
    def profile(self) -> np.ndarray:
        """The median of the image at 0, 1, 2, … pixels from the star, between its spikes."""
        image = self.image()
        n = len(image)
        offset = (np.arange(n) - n // 2) / self.oversample
        rings = np.rint(np.hypot(offset[:, None], offset)).astype(int)
        return np.array([np.median(image[rings == r]) for r in range(n // 2 // self.oversample)])


def _blur(fwhm, frequency):
    """Return the transfer function of a Gaussian along one axis."""
    sigma = fwhm / np.sqrt(8 * np.log(2))
    return np.exp(-2 * (np.pi * sigma * frequency) ** 2)


def filter_of(instrument: Mapping[str, str | None]) -> Filter | None:
    """Return the passband of a set-up, None if it is not known.

    Parameters
    ----------
    instrument : mapping
        ``name``, ``filter``, ``pupil``. Of two filters behind each other the narrower one counts.
    """
    name = str(instrument["name"])
    if name == "FGS":
        return FGS
    found = [passband(name, str(instrument[wheel])) for wheel in ("filter", "pupil")]
    return min(filter(None, found), key=lambda band: band.bandwidth, default=None)


def mosaic_psf(
    instrument: Mapping[str, str | None],
    pixel_scale: float,
    pixel_scale_ratio: float = 1.0,
    pixfrac: float = 1.0,
) -> PointSpread | None:
    """Compute what a star looks like in a mosaic, on average over positions within a pixel.

    Parameters
    ----------
    instrument : mapping
        See `filter_of`.
    pixel_scale : float
        Of the mosaic, arcsec.
    pixel_scale_ratio : float, optional
        Mosaic pixel over detector pixel.
    pixfrac : float, optional
        Of drizzle.

    Returns
    -------
    PointSpread or None
        None if the filter is not known. It has all light but what is scattered far.
    """
    band, name = filter_of(instrument), str(instrument["name"])
    if band is None:
        return None
    pixel = np.radians(pixel_scale / 3600)
    oversample = max(2, int(np.ceil(2 * pixel * DIAMETER / band.wavelength)))
    reach = int(np.clip(REACH / pixel_scale_ratio, LEAST, MOST))
    n = 2 * reach * oversample
    fy = np.fft.fftfreq(n, 1 / oversample)
    colours = band.wavelength + band.bandwidth * np.linspace(-0.45, 0.45, COLOURS)
    optics = optical_transfer(fy / pixel, fy[: n // 2 + 1] / pixel, colours)
    cross = cross_of(name, instrument["filter"])
    if cross:
        arm = 1 / (1 + (2 * np.pi * CROSS_LENGTH / pixel_scale * fy) ** 2)
        optics *= 1 - cross + cross / 2 * (arm[:, None] + arm[: n // 2 + 1])
    blur = detector_of(name, band).blur / pixel_scale
    return _sampled(optics, oversample, 1 / pixel_scale_ratio, pixfrac, blur)


def gaussian_psf(fwhm: float) -> PointSpread:
    """Return a PSF for mosaics of which nothing is known: a Gaussian, noise without correlation."""
    n = 4 * REACH
    flat = np.ones((n, n // 2 + 1))
    plain = PointSpread(flat, flat, 2)
    return replace(plain, spectrum=plain.gaussian(fwhm))


def _sampled(optics, oversample, detector, pixfrac, sigma):
    """Add the parts of the detector's pixel and blur, of drizzle's drop and the mosaic's pixel."""
    n = len(optics)
    fy = np.fft.fftfreq(n, 1 / oversample)
    drop = detector * max(pixfrac, 1e-3)

    def square(side, f):
        return np.sinc(side * f)[:, None] * np.sinc(side * f[: n // 2 + 1])

    blur = np.exp(-2 * (np.pi * sigma) ** 2 * (fy[:, None] ** 2 + fy[: n // 2 + 1] ** 2))
    spectrum = optics * blur * square(detector, fy) * square(drop, fy) * square(1, fy)
    # what is beyond Nyquist's frequency folds back
    power = np.sum(
        [(np.sinc(fy + k) * np.sinc(drop * (fy + k))) ** 2 for k in range(-3, 4)], axis=0
    )
    noise = power[:, None] * power[: n // 2 + 1]
    noise /= np.mean(power[np.abs(fy) <= 0.5]) ** 2
    return PointSpread(spectrum, noise, oversample)
