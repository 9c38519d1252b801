"""The telescope's pupil, and what it makes of a star."""

from collections.abc import Iterable
from functools import cache

import numpy as np

DIAMETER = 6.6
SEGMENT = 1.32
GAP = 0.007
STRUT = 0.11
CHARGE_DIFFUSION = 0.2
"""Gaussian blur by the detector, sigma in pixels."""


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
    X, Y = np.meshgrid(x, x)
    pupil = np.zeros((n, n))
    for center_x, center_y in segment_centers():
        u, v = X - center_x, Y - center_y
        edge = np.max(
            [np.abs(v), np.abs(np.sqrt(3) * u + v) / 2, np.abs(np.sqrt(3) * u - v) / 2], axis=0
        )
        pupil += np.clip(0.5 + (SEGMENT / 2 - edge) / step, 0, 1)
    for degrees in (90, 240, 300):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        across = np.clip(0.5 + (STRUT / 2 - np.abs(-s * X + c * Y)) / step, 0, 1)
        pupil *= 1 - across * (c * X + s * Y > 0)
    return x, pupil


def star_image(
    x: np.ndarray, pupil: np.ndarray, angle: np.ndarray, wavelengths: Iterable[float]
) -> np.ndarray:
    """Return the image of a star in the light of some wavelengths, in arbitrary units.

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
