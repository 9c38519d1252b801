"""Noise about a star by separation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from snakewebb.coronagraphy.detection import Detections, without_source
from snakewebb.coronagraphy.noise import Rings, flux_map
from snakewebb.coronagraphy.scene import Scene

LEAST_PLACES = 3
"""On a ring, to say anything of its noise."""
WHOLE = 0.95
"""Part of the farthest of these rings that has to have data; beyond, its throughput holds."""


class Unmeasurable(Exception):  # noqa: N818 - an outcome, not an error of the user
    """The data do not tell a contrast; the message says why."""


@dataclass(frozen=True)
class NoiseCurve:
    """Noise on rings a resolution element apart.

    Attributes
    ----------
    separation : (m,) float64
        Arcsec.
    n : (m,) float64
        Resolution elements with data on the ring.
    noise : (1 + T, m) float64
        Scatter of point-source fluxes, Jy: before the subtraction, and in each image after it.
        NaN where there is none; in the first image after it there is.
    farthest : float
        The separation up to which rings are as good as whole.
    """

    separation: np.ndarray
    n: np.ndarray
    noise: np.ndarray
    farthest: float


def noise_curve(
    scene: Scene,
    before: np.ndarray,
    images: Iterable[np.ndarray],
    detections: Detections,
    element: float,
) -> NoiseCurve:
    """Measure the noise, from λ/D on as far as rings have data.

    Parameters
    ----------
    scene : Scene
    before : (ny, nx) array
        The combined image with the star's light.
    images : iterable of (ny, nx) arrays
        Those without it.
    detections : Detections
        Sources, which are taken off.
    element : float
        λ/D, arcsec.

    Raises
    ------
    Unmeasurable
        No ring about the star has data, or all have the same value in them.
    """
    frame, psf = scene.frame, scene.image_psf
    fwhm = psf.fwhm
    reach = np.hypot(*scene.grid.shape) * frame.pixel_scale
    separation = element * np.arange(1.0, reach / element)
    radius = separation / frame.pixel_scale
    places = np.floor(2 * np.pi * radius / fwhm)
    profiles = []
    for k, image in enumerate((before, *images)):
        flux = flux_map(image, psf)
        for source in detections.sources if k else ():
            flux, _ = without_source(flux, detections.mask, frame.center, psf, source.x, source.y)
        profiles.append(Rings(flux, frame.center, fwhm, detections.mask).noise(radius))
    noise = np.array([profile[0] for profile in profiles])
    noise[~(noise > 0)] = np.nan  # without any, no limit would be low enough
    n = profiles[1][1]
    # From where on, after there were data at all, less than half of a ring has them.
    last = np.flatnonzero(n < places / 2)
    last = last[last > np.argmax(n > places / 2)][:1]
    use = np.arange(len(n)) < (last[0] if last.size else len(n))
    use &= n >= LEAST_PLACES
    if not use.any():
        raise Unmeasurable("no ring about the star has data")
    use &= np.isfinite(noise[1])
    if not use.any():
        raise Unmeasurable("no ring about the star has noise")
    separation, n = separation[use], n[use]
    whole = separation[n > WHOLE * places[use]]
    return NoiseCurve(
        separation,
        n,
        noise[:, use] * frame.jansky,
        float(whole[-1] if whole.size else separation[0]),
    )
