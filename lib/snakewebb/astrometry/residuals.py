"""What is left of positions after an adjustment, by place on the detector, brightness and time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from snakewebb.astrometry.joining import MAS
from snakewebb.astrometry.network import Adjustment
from snakewebb.astrometry.unknowns import Exposures, Measurements

CELLS = 4
"""Of a detector's side."""
BINS = 8
"""Of brightness."""
FEWEST = 3
"""Positions of which there is a mean."""


def residual_notes(
    found: Adjustment,
    measured: Measurements,
    seen: Exposures,
    flux: np.ndarray,
    half: np.ndarray,
    middle: np.ndarray,
    names: Sequence[str],
) -> dict[str, Any]:
    """Return residuals in groups; all in mas, those of a group that is not too small.

    Parameters
    ----------
    found, measured, seen
        The adjustment and what it is of.
    flux : (n,)
        Of each measurement, in any unit.
    half : (m,)
        Half the side of an exposure's image, arcsec.
    middle : (m, 2)
        V2 and V3 of its reference point, arcsec.
    names : sequence of str
        Of placements.

    Returns
    -------
    dict
        ``cells``: by placement, lists of V2, V3 (arcsec), mean residual in V2 and V3, number;
        ``brightness``: lists of magnitude (-2.5 lg flux), root mean square of either coordinate,
        what the error leads to expect, number; ``epochs``: of each attitude its epoch, the same
        two, number.
    """
    used = (found.weight > 0.5) & (found.pull > 0)
    exposure, flux = measured.exposure[used], flux[used]
    # lengths as they would be if stars were known, whatever share of a star a measurement is
    length, sigma = found.pull[used] * found.sigma[used] * MAS, found.sigma[used] * MAS
    residual = found.residual[used]
    residual = residual * (length / np.hypot(*residual.T))[:, None]
    square, expected = length**2 / 2, sigma**2
    inverse = np.linalg.inv(seen.axes)[exposure]
    place, own = (
        np.einsum("nij,nj->ni", inverse, vectors)
        for vectors in (measured.points[used] - seen.centre[exposure], residual)
    )
    share = (place / half[exposure, None] + 1) / 2
    cell = np.clip(np.floor(share * CELLS), 0, CELLS - 1).astype(int) @ [CELLS, 1]
    place = place + middle[exposure]
    cells: dict[str, list[list[float]]] = {}
    for q in np.unique(seen.placement[exposure]):
        mine = seen.placement[exposure] == q
        cells[names[q]] = [
            [*place[own_cell].mean(axis=0).tolist(), *own[own_cell].mean(axis=0).tolist(), number]
            for k in np.unique(cell[mine])
            if (number := float((own_cell := mine & (cell == k)).sum())) >= FEWEST
        ]
    with np.errstate(divide="ignore", invalid="ignore"):
        magnitude = -2.5 * np.log10(flux)
    bright = np.isfinite(magnitude)
    edges = np.quantile(magnitude[bright], np.linspace(0, 1, BINS + 1)) if bright.any() else []
    brightness = [
        [float(np.median(magnitude[chosen])), *_rms(square, expected, chosen)]
        for low, high in pairwise(edges)
        if (chosen := bright & (magnitude >= low) & (magnitude <= high)).sum() >= FEWEST
    ]
    pose = seen.pose[exposure]
    n_poses = seen.pose.max(initial=-1) + 1
    counts = np.bincount(pose, minlength=n_poses)
    epoch = np.bincount(seen.pose, seen.epoch) / np.bincount(seen.pose)
    sums = [np.bincount(pose, values, n_poses) for values in (square, expected)]
    epochs = [
        [float(epoch[p]), *(float(np.sqrt(s[p] / counts[p])) for s in sums), int(counts[p])]
        for p in np.flatnonzero((counts >= FEWEST) & np.isfinite(epoch))
    ]
    return {"cells": cells, "brightness": brightness, "epochs": epochs}


def _rms(square, expected, chosen):
    return [
        float(np.sqrt(square[chosen].mean())),
        float(np.sqrt(expected[chosen].mean())),
        int(chosen.sum()),
    ]
