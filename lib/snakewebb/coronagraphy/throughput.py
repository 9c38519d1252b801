"""What the reduction leaves of companions: of some that are injected, and of those that are found.

A source that was found is taken away from where it is: with other rolls as references, the share
that is subtracted of it falls as it gets brighter, so that a second one of its flux added to it
would come through too well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snakewebb.coronagraphy.detection import Detections
from snakewebb.coronagraphy.injection import Companion, Reduction, throughput
from snakewebb.coronagraphy.noise_curve import NoiseCurve
from snakewebb.coronagraphy.scene import Scene

LADDER = 8
BRANCHES = 5
"""Throughput is measured at so many separations, so many position angles each."""
GOLDEN = 137.508
"""Degrees from one separation's companions to those of the next: no two lie in a row."""
REMOVALS = 2
"""A found source is taken away so often, each time with the flux that the last gave."""
LEAST_KEPT = 0.2
"""Its flux is corrected by no more than this fraction before."""


@dataclass(frozen=True)
class ThroughputCurve:
    """What the subtraction of the star leaves of a companion's flux, by separation.

    Attributes
    ----------
    separation : (LADDER,) float64
        Arcsec.
    fractions : (LADDER, BRANCHES, T) float64
        For each position angle and number of modes.
    response : float
        What is found of its flux without the subtraction.
    """

    separation: np.ndarray
    fractions: np.ndarray
    response: float

    def at(self, separation: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and scatter over position angles at separations, for the k-th number."""
        passed, scatter = (
            np.interp(np.log(separation), np.log(self.separation), values)
            for values in (
                np.nanmean(self.fractions[..., k], axis=1),
                np.nanstd(self.fractions[..., k], axis=1, ddof=1),
            )
        )
        return passed, scatter


def injection_plan(curve: NoiseCurve, sigma: float) -> tuple[np.ndarray, list[Companion]]:
    """Return the separations at which companions are injected, and these, ``BRANCHES`` at each.

    They are ``sigma`` times as bright as the noise of the first image.
    """
    ladder = np.geomspace(curve.separation[0], curve.farthest, LADDER)
    fluxes = np.interp(ladder, curve.separation, curve.noise[1])
    return ladder, [
        (s, (GOLDEN * k + 360 / BRANCHES * branch) % 360, sigma * f)
        for k, (s, f) in enumerate(zip(ladder, fluxes, strict=True))
        for branch in range(BRANCHES)
    ]


def throughput_curve(
    reduce: Reduction, combine: Reduction, scene: Scene, curve: NoiseCurve, sigma: float
) -> ThroughputCurve:
    """Measure the throughput by companions of ``sigma`` times the noise.

    Parameters
    ----------
    reduce, combine : Reduction
        See `snakewebb.coronagraphy.contrast.measure_contrast`.
    scene : Scene
    curve : NoiseCurve
    sigma : float
    """
    ladder, companions = injection_plan(curve, sigma)
    combined = throughput(combine, scene, companions)
    fractions = throughput(reduce, scene, companions) / combined[:, None]
    response = float(np.nanmean(combined))
    return ThroughputCurve(ladder, fractions.reshape(LADDER, BRANCHES, -1), response)


def companion_throughput(
    reduce: Reduction, combine: Reduction, scene: Scene, detections: Detections
) -> tuple[np.ndarray, np.ndarray]:
    """Measure what is left of the sources that were found, by taking them away.

    Parameters
    ----------
    reduce, combine : Reduction
        See `snakewebb.coronagraphy.contrast.measure_contrast`.
    scene : Scene
    detections : Detections

    Returns
    -------
    kept, seen : (n,) float64
        Fractions of their fluxes with and without the subtraction of the star.
    """
    frame = scene.frame
    sources = [
        (*frame.polar(source.x, source.y), source.flux * frame.jansky)
        for source in detections.sources
    ]
    kept = seen = throughput(combine, scene, sources)
    for _ in range(REMOVALS if sources else 0):
        least = np.maximum(np.nan_to_num(kept, nan=1.0), LEAST_KEPT)
        taken = [(s, pa, -flux / part) for (s, pa, flux), part in zip(sources, least, strict=True)]
        kept = throughput(reduce, scene, taken)[:, 0]
    return kept, seen
