"""Companions injected into exposures, and what is found of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from snakewebb.coronagraphy.frame import Frame
from snakewebb.coronagraphy.noise import flux_at
from snakewebb.coronagraphy.psf import PointSpread
from snakewebb.coronagraphy.scene import Scene

Cubes = Sequence[np.ndarray]
Reduce = Callable[[Cubes], np.ndarray]
Companion = tuple[float, float, float]
"""Separation (arcsec), position angle (degrees East of North), flux (Jy)."""


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


def throughput(reduce: Reduce, scene: Scene, companions: Sequence[Companion]) -> np.ndarray:
    """Measure what fraction of a companion's flux is found in the reduced image.

    The reduction is done once for each companion, and once without.

    Parameters
    ----------
    reduce : callable
        Takes the exposures' cubes, returns the combined image (ny, nx) or several (…, ny, nx).
    scene : Scene
    companions : sequence of Companion

    Returns
    -------
    (len(companions), …) float64
    """
    before = np.asarray(reduce(scene.cubes), np.float64)
    fractions = np.empty((len(companions), *before.shape[:-2]))
    for k, (separation, pa, flux) in enumerate(companions):
        brighter = [
            inject(cube, frame, scene.psf, separation, pa, flux)
            for cube, frame in zip(scene.cubes, scene.frames, strict=True)
        ]
        change = np.asarray(reduce(brighter), np.float64) - before
        place = scene.frame.place(separation, pa)
        for index in np.ndindex(fractions.shape[1:]):
            found = flux_at(change[index], scene.image_psf, *place)
            fractions[(k, *index)] = found * scene.frame.jansky / flux
    return fractions
