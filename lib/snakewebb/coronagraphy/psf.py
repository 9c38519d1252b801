"""The image of a point source beside a coronagraph."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.fft import next_fast_len
from scipy.interpolate import RectBivariateSpline
from scipy.ndimage import distance_transform_edt, map_coordinates, spline_filter

from snakewebb.errors import InputError
from snakewebb.io.headers import value
from snakewebb.io.tables import read_image
from snakewebb.references.pupil import CHARGE_DIFFUSION, DIAMETER, make_pupil, star_image
from snakewebb.wcs.sphere import ARCSEC

MOST_OVERSAMPLED = 100
BRIGHTEST = 1e20
"""More in a pixel is no image of a star."""


@dataclass(frozen=True)
class EffectivePsf:
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
    def from_array(cls, image: np.ndarray, oversample: int = 1) -> EffectivePsf:
        """Make a PSF from an image of a star at its middle, of any flux, without background.

        The image is normalised to all that is in it. One of few samples is resampled by its
        Fourier transform.

        Raises
        ------
        InputError
            It is not square, has a NaN, holds no light, or is brightest more than a pixel of the
            detector from its middle.
        """
        image = np.asarray(image, np.float64)
        if image.ndim != 2 or image.shape[0] != image.shape[1] or not image.shape[0] % 2:
            raise InputError(f"psf: has shape {image.shape}: give a square of odd size")
        if not (np.abs(image) < BRIGHTEST).all() or not image.sum() > 0:
            raise InputError("psf: has NaN, or no light: give an image of a star")
        row, column = np.unravel_index(np.argmax(image), image.shape)
        half = len(image) // 2
        if np.hypot(row - half, column - half) > oversample:
            raise InputError(
                f"psf: is brightest at {column}, {row}, not in the middle ({half}, {half}): give a "
                "star there"
            )
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
        return self._spline(*along), rows, columns

    @cached_property
    def _spline(self) -> RectBivariateSpline:
        samples = np.arange(len(self.image))
        return RectBivariateSpline(samples, samples, self.image, s=0)

    @cached_property
    def _coefficients(self) -> np.ndarray:
        return spline_filter(self.image, mode="mirror")

    def profile(self, radius: np.ndarray) -> np.ndarray:
        """Return the mean over position angles at distances from the star, pixels."""
        angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        half = len(self.image) // 2
        grid = (half + self.oversample * np.outer(f(angle), radius) for f in (np.sin, np.cos))
        return map_coordinates(self._coefficients, list(grid), prefilter=False).mean(axis=0)

    def drizzled(self, pixfrac: float = 1.0, pixel_scale_ratio: float = 1.0) -> EffectivePsf:
        """Return the PSF of a mosaic: convolved with the drop and with the output pixel.

        The mean over subpixel phases and position angles, so it is round. Fruchter & Hook 2002
        (PASP 114, 144).
        """
        n = len(self.image)
        size = next_fast_len(2 * n)
        frequency = np.fft.fftfreq(size, 1 / self.oversample)
        box = np.sinc(frequency * pixfrac) * np.sinc(frequency * pixel_scale_ratio)
        spectrum = np.fft.fft2(self.image, (size, size)) * box[:, None] * box
        smooth = EffectivePsf(np.fft.ifft2(spectrum).real[:n, :n], self.oversample)
        samples = np.arange(n // 2 + 1)
        profile = smooth.profile(samples / self.oversample)
        offset = np.arange(n) - n // 2
        image = np.interp(np.hypot(offset[:, None], offset), samples, profile, right=0.0)
        return EffectivePsf(image * pixel_scale_ratio**2, self.oversample * pixel_scale_ratio)

    @cached_property
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
) -> EffectivePsf:
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
    """
    x, pupil = make_pupil()
    step = x[1] - x[0]
    depth = distance_transform_edt(np.pad(pupil, 1) > 0.5)[1:-1, 1:-1] * step
    stop = pupil * np.clip(0.5 + (depth - margin) / step, 0, 1)
    pixel = pixel_scale / ARCSEC
    oversample = 2 * math.ceil(2 * pixel * DIAMETER / wavelength)
    half = size // 2 * oversample
    angle = np.arange(-half, half + 1) / oversample * pixel
    image = star_image(x, stop, angle, wavelength + bandwidth * np.linspace(-0.5, 0.5, 9))
    frequency = np.fft.fftfreq(len(image), 1 / oversample)
    pixels = np.sinc(frequency) * np.exp(-2 * (np.pi * CHARGE_DIFFUSION * frequency) ** 2)
    image = np.fft.ifft2(np.fft.fft2(image) * pixels[:, None] * pixels).real
    # By Parseval's theorem this is all of the light, on the stamp and off it.
    whole = 9 * (stop**2).sum() / (pixel * step) ** 2
    return EffectivePsf(image / whole, float(oversample))


def read_psf(path: str | Path) -> EffectivePsf:
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
        return EffectivePsf.from_array(array, int(oversample))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
