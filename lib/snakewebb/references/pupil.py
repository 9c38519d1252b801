"""The telescope's pupil, its wavefront as it is in flight, and what they make of a star."""

from collections.abc import Iterable
from functools import cache

import numpy as np

DIAMETER = 6.6
SEGMENT = 1.32
GAP = 0.007
STRUT = 0.11
CHARGE_DIFFUSION = 0.2
"""Gaussian blur by the simulator's detectors, sigma in pixels."""
WAVEFRONT = ((48e-9, 0.89), (53e-9, 0.19))
"""Errors of the wavefront that are typical in flight: rms and length of correlation, metres. These,
and `WIDE`, are fitted to the encircled energies of NIRCam that STScI's exposure time calculator has
("Encircled_Energy_SW_ETCv2", "_LW_": STPSF with a wavefront measured in flight). Together 72 nm;
Rigby et al. 2023 (PASP 135, 048001) have 61 +- 8 nm for NIRCam's short channel."""
WIDE = 0.012
"""Fraction that edges of segments and dust scatter farther than a few arcseconds."""


def segment_centers() -> np.ndarray:
    """Return x and y of the 18 segments' centres, (18, 2), metres, V3 upwards."""
    side = (SEGMENT + GAP) / np.sqrt(3)
    return np.array(
        [
            (1.5 * side * q, np.sqrt(3) * side * (r + q / 2))
            for q in range(-2, 3)
            for r in range(-2, 3)
            if (q, r) != (0, 0) and abs(q + r) <= 2
        ]
    )


@cache
def make_pupil(n: int = 384) -> tuple[np.ndarray, np.ndarray]:
    """Return sample positions (m) and transmission of JWST's pupil, V3 upwards."""
    x = (np.arange(n) - (n - 1) / 2) * (DIAMETER + 0.2) / n
    step = x[1] - x[0]
    pupil = np.zeros((n, n))
    reach = SEGMENT / np.sqrt(3) + step
    for center in segment_centers():
        first, last = np.searchsorted(x, [center - reach, center + reach])
        columns, rows = (slice(*ends) for ends in zip(first, last, strict=True))
        u, v = x[columns] - center[0], x[rows, None] - center[1]
        tilted = np.sqrt(3) * u
        edge = np.maximum(np.abs(tilted + v) / 2, np.abs(tilted - v) / 2)
        edge = np.maximum(np.abs(v), edge)
        pupil[rows, columns] += np.clip(0.5 + (SEGMENT / 2 - edge) / step, 0, 1)
    X, Y = x, x[:, None]
    for degrees in (90, 240, 300):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        across = np.clip(0.5 + (STRUT / 2 - np.abs(-s * X + c * Y)) / step, 0, 1)
        pupil *= 1 - across * (c * X + s * Y > 0)
    return x, pupil


@cache
def autocorrelation() -> tuple[float, np.ndarray]:
    """Return the optical transfer function of the pupil by baseline, without wavefront errors.

    Returns
    -------
    step : float
        From sample to sample, metres.
    transfer : (n, n) float64
        1 at the baseline 0, sample [n / 2, n / 2].
    """
    x, pupil = make_pupil()
    n = 2 * len(x)
    power = np.abs(np.fft.rfft2(pupil, s=(n, n))) ** 2
    transfer = np.fft.fftshift(np.fft.irfft2(power, s=(n, n)))
    return x[1] - x[0], transfer / transfer[n // 2, n // 2]


def wavefront_transfer(baseline: np.ndarray, wavelength: float) -> np.ndarray:
    """Return what wavefront errors and scattered light leave of the optical transfer function.

    Parameters
    ----------
    baseline : array
        Metres.
    wavelength : float
        Metres.

    Notes
    -----
    The mean over wavefronts of Gaussian errors: Goodman 1985, Statistical Optics, 8.3.
    """
    square = sum(sigma**2 * -np.expm1(-((baseline / length) ** 2)) for sigma, length in WAVEFRONT)
    return (1 - WIDE) * np.exp(-square * (2 * np.pi / wavelength) ** 2)


def optical_transfer(
    frequency: np.ndarray, half: np.ndarray, wavelengths: Iterable[float]
) -> np.ndarray:
    """Return the transfer function of the telescope in flight, the mean over wavelengths.

    Parameters
    ----------
    frequency, half : (n,), (m,)
        Cycles a radian along y and x.
    wavelengths : iterable of float
        Metres; each has the same share of photons.

    Returns
    -------
    (n, m) float64
    """
    step, pupil = autocorrelation()
    last = len(pupil) - 2

    def along(plane, baseline):
        place = (baseline / step + len(pupil) // 2).clip(0, last)
        below = place.astype(int)
        return plane[below] + (place - below)[:, None] * (plane[below + 1] - plane[below])

    found = []
    for wavelength in wavelengths:
        y, x = wavelength * frequency, wavelength * half
        transfer = along(along(pupil, y).T.copy(), x).T
        found.append(transfer * wavefront_transfer(np.hypot(y[:, None], x), wavelength))
    return np.mean(found, axis=0)


def star_image(
    x: np.ndarray, pupil: np.ndarray, angle: np.ndarray, wavelengths: Iterable[float]
) -> np.ndarray:
    """Return the image that a perfect telescope makes of a star, in arbitrary units.

    Parameters
    ----------
    x, pupil : (m,), (m, m)
        Sample positions in metres, and the transmission there.
    angle : (n,)
        Along both axes, from the star, radians.
    wavelengths : iterable of float
        Metres; each has the same share of photons.

    Returns
    -------
    (n, n) float64

    Notes
    -----
    Matrix Fourier transform: Soummer et al. 2007 (Optics Express 15, 15935).
    """
    image = np.zeros((len(angle), len(angle)))
    for wavelength in wavelengths:
        wave = np.exp(-2j * np.pi / wavelength * np.outer(angle, x))
        image += np.abs(wave @ pupil @ wave.T) ** 2 / wavelength**2
    return image
