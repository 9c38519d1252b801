"""How much of a star's light a circle on a mosaic holds, without reference files.

The telescope's transfer function is the autocorrelation of its pupil, so that the share of light
within a circle is a sum over spatial frequencies: there is no image, no edge of one, and no light
is lost. It is that of a perfect telescope: what its mirrors scatter is not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.special import j1

from snakewebb.references.filters import Filter
from snakewebb.references.pupil import CHARGE_DIFFUSION, make_pupil

COLOURS = np.linspace(-0.45, 0.45, 5)
"""Of a passband, in units of its width."""
PARTS = 4
"""Rings of frequencies a sample of the pupil."""


@lru_cache(maxsize=1)
def _telescope() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return baselines (u, v), in metres, with v ≥ 0 half of them, and the transfer there."""
    x, pupil = make_pupil()
    n = 2 * len(x)
    power = np.abs(np.fft.rfft2(pupil, (n, n))) ** 2
    transfer = np.fft.irfft2(power, (n, n))[:, : n // 2]
    step = x[1] - x[0]
    u, v = np.fft.fftfreq(n, 1 / n)[:, None] * step, np.arange(n // 2) * step
    # of the half plane each but those on the axis counts for two
    twice = np.where(v > 0, 2.0, 1.0)
    seen = transfer > 1e-9 * transfer[0, 0]
    return (
        np.column_stack(
            (np.broadcast_to(u, seen.shape)[seen], np.broadcast_to(v, seen.shape)[seen])
        ),
        (transfer * twice / transfer[0, 0])[seen],
        np.array(step),
    )


def encircled_energy(
    band: Filter, radii: np.ndarray, pixels: Sequence[float], detector: float
) -> np.ndarray:
    """Return the share of a star's light within circles about it.

    Parameters
    ----------
    band : Filter
    radii : (n,)
        Arcsec.
    pixels : sequence of float
        Sides, in arcsec, of all squares that light is averaged over on its way into the sum: the
        detector's pixel, drizzle's drop, the mosaic's pixel, and this once more for the part of a
        pixel that is within the circle.
    detector : float
        Side of the detector's pixel, arcsec, over which charge diffuses.

    Returns
    -------
    (n,) float64

    Notes
    -----
    The Fourier transform of a circle of radius r is r J₁(2π r f) / f; see for instance Bracewell,
    *The Fourier Transform and Its Applications*.
    """
    baselines, transfer, step = _telescope()
    arcsec = np.radians(1 / 3600)
    length = np.hypot(*baselines.T)
    ring = np.rint(length / step * PARTS).astype(int)
    radii = np.asarray(radii, float)
    total = np.zeros(len(radii))
    for colour in band.wavelength + band.bandwidth * COLOURS:
        fy, fx = baselines.T * (arcsec / colour)  # cycles an arcsec
        blur = np.exp(-2 * (np.pi * CHARGE_DIFFUSION * detector) ** 2 * (fx**2 + fy**2))
        for side in pixels:
            blur *= np.sinc(side * fy) * np.sinc(side * fx)
        sums = np.bincount(ring, transfer * blur)
        f = np.arange(len(sums)) * (step / PARTS * arcsec / colour)
        f[0] = 1e-9
        circle = radii[:, None] * j1(2 * np.pi * radii[:, None] * f) / f
        total += circle @ sums * (step * arcsec / colour) ** 2
    return total / len(COLOURS)
