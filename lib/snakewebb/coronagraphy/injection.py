"""Companions injected into exposures, and what is found of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from snakewebb.coronagraphy.frame import Frame
from snakewebb.coronagraphy.noise import flux_at
from snakewebb.coronagraphy.psf import EffectivePsf
from snakewebb.coronagraphy.scene import Scene

Cubes = Sequence[np.ndarray]
Companion = tuple[float, float, float]
"""Separation (arcsec), position angle (degrees East of North), flux (Jy)."""


@dataclass(frozen=True)
class Reduction:
    """The way from exposures to their combined image, or to several.

    Attributes
    ----------
    whole : callable
        Takes the exposures' cubes (n, ny, nx), returns the image (ny, nx) or images (…, ny, nx).
    of_added : callable, optional
        Takes images (ny, nx), one for each exposure, that are added to all of its integrations;
        returns by how much that changes the result. Where the reduction is linear.
    """

    whole: Callable[[Cubes], np.ndarray]
    of_added: Callable[[Sequence[np.ndarray]], np.ndarray] | None = None

    def __call__(self, cubes: Cubes) -> np.ndarray:
        """Reduce exposures."""
        return self.whole(cubes)

    def response(self, cubes: Cubes) -> Callable[[Sequence[np.ndarray]], np.ndarray]:
        """Return `of_added`, or what finds the same by reducing exposures with and without."""
        if self.of_added is not None:
            return self.of_added
        before = np.asarray(self.whole(cubes), np.float64)

        def change(added: Sequence[np.ndarray]) -> np.ndarray:
            brighter = [cube + image for cube, image in zip(cubes, added, strict=True)]
            return np.asarray(self.whole(brighter), np.float64) - before

        return change


def companion_image(
    shape: tuple[int, int], frame: Frame, psf: EffectivePsf, companion: Companion
) -> np.ndarray:
    """Return a companion on an exposure, (ny, nx) float64, MJy/sr.

    Parameters
    ----------
    shape : (ny, nx)
    frame : Frame
        The exposure's.
    psf : EffectivePsf
        At the exposure's pixels.
    companion : Companion
    """
    separation, pa, flux = companion
    return psf.at(shape, *frame.place(separation, pa)) * (flux / frame.jansky)


def throughput(reduce: Reduction, scene: Scene, companions: Sequence[Companion]) -> np.ndarray:
    """Measure what fraction of a companion's flux is found in the reduced image.

    Parameters
    ----------
    reduce : Reduction
    scene : Scene
    companions : sequence of Companion
        One at a time is added.

    Returns
    -------
    (len(companions), …) float64
    """
    response = reduce.response(scene.cubes)
    fractions = []
    for companion in companions:
        separation, pa, flux = companion
        change = response(
            [
                companion_image(cube.shape[1:], frame, scene.psf, companion)
                for cube, frame in zip(scene.cubes, scene.frames, strict=True)
            ]
        )
        place = scene.frame.place(separation, pa)
        images = change.reshape(-1, *change.shape[-2:])
        found = [flux_at(image, scene.image_psf, *place) for image in images]
        fractions.append(np.reshape(found, change.shape[:-2]) * scene.frame.jansky / flux)
    return np.array(fractions, np.float64)
