"""Injected companions and the throughput."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from snakewebb.coronagraphy.frame import Frame
from snakewebb.coronagraphy.noise import flux_at
from snakewebb.coronagraphy.psf import PointSpread

Cubes = Sequence[np.ndarray]
Reduce = Callable[[Cubes], np.ndarray]


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
