"""Wavefronts as they are in flight, one at a time: what the model of apertures is the mean of."""

from __future__ import annotations

from functools import cache

import numpy as np

from snakewebb.references.detectors import CROSS_LENGTH
from snakewebb.references.enclosed_energy import COLOURS
from snakewebb.references.filters import Filter
from snakewebb.references.pupil import DIAMETER, WAVEFRONT, WIDE, make_pupil
from snakewebb.simulate.psf import Psf

SIZE = 128
"""Side of the stamp, pixels."""


@cache
def optical_path(seed: int) -> np.ndarray:
    """Draw the errors of a wavefront on the samples of `make_pupil`, metres.

    Two Gaussian fields with the rms, over the pupil, and the correlation of `WAVEFRONT`.
    """
    x, pupil = make_pupil()
    rng = np.random.default_rng([seed, 61])
    n = 2 * len(x)  # the far edges are no neighbours
    f = np.fft.fftfreq(n, x[1] - x[0])
    square = f[:, None] ** 2 + f[: n // 2 + 1] ** 2
    path = np.zeros(pupil.shape)
    for sigma, length in WAVEFRONT:
        white = np.fft.rfft2(rng.standard_normal((n, n)))
        field = np.fft.irfft2(white * np.exp(-((np.pi * length) ** 2) * square / 2), s=(n, n))
        field = field[: len(x), : len(x)]
        field = field - np.average(field, weights=pupil)
        path += sigma * field / np.sqrt(np.average(field**2, weights=pupil))
    return path


@cache
def flight_psf(band: Filter, pixel_scale: float, seed: int, cross: float = 0.0) -> Psf:
    """Compute the PSF of a filter with a wavefront as in flight.

    Parameters
    ----------
    band : Filter
    pixel_scale : float
        Arcsec.
    seed : int
        Of the wavefront.
    cross : float, optional
        Fraction of light that MIRI's detector scatters along rows and columns.

    Returns
    -------
    Psf
        The mean of the image and that turned by half a circle, faded to nothing at the stamp's
        inscribed circle; the light beyond is lost.

    Notes
    -----
    Matrix Fourier transform: Soummer et al. 2007 (Optics Express 15, 15935). Its total is by
    Parseval's theorem.
    """
    pixel = np.radians(pixel_scale / 3600)
    oversample = max(2, int(np.ceil(2 * pixel * DIAMETER / band.wavelength)))
    n = SIZE * oversample
    x, pupil = make_pupil()
    angle = (np.arange(n) - n // 2) / oversample * pixel
    image = np.zeros((n, n))
    for colour in band.wavelength + band.bandwidth * np.linspace(-0.45, 0.45, COLOURS):
        wave = np.exp(-2j * np.pi / colour * np.outer(angle, x))
        light = pupil * np.exp(2j * np.pi / colour * optical_path(seed))
        image += np.abs(wave @ light @ wave.T) ** 2 / colour**2
    total = COLOURS * np.sum(pupil**2) / ((x[1] - x[0]) * (angle[1] - angle[0])) ** 2
    offset = angle / pixel
    r = np.hypot(offset[:, None], offset) / (SIZE / 2)
    image *= (1 - WIDE) / total * np.cos(np.clip((r - 0.8) / 0.2, 0, 1) * np.pi / 2) ** 2
    f = np.fft.fftfreq(n, 1 / oversample)
    arm = 1 / (1 + (2 * np.pi * CROSS_LENGTH / pixel_scale * f) ** 2)
    spread = 1 - cross + cross / 2 * (arm[:, None] + arm[: n // 2 + 1])
    spectrum = np.fft.rfft2(np.fft.ifftshift(image)).real * spread
    return Psf(SIZE, oversample, np.fft.fftshift(np.fft.irfft2(spectrum, s=(n, n))))
