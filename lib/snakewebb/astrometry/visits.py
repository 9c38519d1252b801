"""What exposures that have too few stars inherit from the others of their visit.

All exposures of a visit hang on one guide star: their errors of pointing are the same, up to those
of guiding and of small movements.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from snakewebb.astrometry.matching import Affine, nearest_pairs
from snakewebb.astrometry.unknowns import Exposures

NEAR = 0.1
"""Arcsec, within which the stars of a detector are found once its attitude is known."""
LEAST = 3
"""Attitudes of a visit that tell what they have in common."""
LARGEST = 0.03
"""Arcsec: attitudes that differ by more, either axis, are not of one pointing."""
GUIDING = np.array([0.003, 0.003, np.radians(2.0 / 3600)])
"""Arcsec and radians, by which attitudes of a visit differ in any case."""


@dataclass(frozen=True)
class Inherited:
    """What is to be believed of a group that has no attitude of its own.

    Attributes
    ----------
    fit : Affine
        The mean correction of its visit.
    sigma : (3,)
        Standard deviation of its shift (arcsec) and roll (radians).
    n_found, n_possible : int
        How many of its sources are stars of the others then, and how many might be.
    """

    fit: Affine
    sigma: np.ndarray
    n_found: int
    n_possible: int


def pose_of(fit: Affine, about: np.ndarray) -> np.ndarray:
    """Return the shift (arcsec) and roll (radians) of a rigid map about a point, (3,)."""
    angle = np.arctan2(fit.matrix[1, 0] - fit.matrix[0, 1], np.trace(fit.matrix))
    return np.array([*(fit(about) - about), angle])


def map_of(pose: np.ndarray, about: np.ndarray) -> Affine:
    """Return the rigid map that has a shift and roll about a point."""
    c, s = np.cos(pose[2]), np.sin(pose[2])
    return Affine.about(about, np.array([[c, -s], [s, c]]), np.asarray(pose[:2]))


def inherited(
    attitudes: Mapping[int, Affine],
    lost: Collection[int],
    visits: Sequence[str | None],
    centres: np.ndarray,
) -> dict[int, tuple[Affine, np.ndarray]]:
    """Return what is to be believed of groups from the attitudes of their visit.

    Parameters
    ----------
    attitudes : mapping of group to Affine
        Corrections that were found, in one frame.
    lost : collection of int
        Groups without.
    visits : sequence of str or None
        Of each group.
    centres : (groups, 2)
        Where it looks, arcsec.

    Returns
    -------
    dict of group to (Affine, (3,) array)
        The mean correction, and the standard deviation of its shift (arcsec) and roll (radians);
        not of visits whose attitudes are too few or too different.
    """
    found = {}
    for g in lost:
        fellows = [k for k in attitudes if visits[k] == visits[g] and visits[g] is not None]
        if len(fellows) < LEAST:
            continue
        poses = np.array([pose_of(attitudes[k], centres[g]) for k in fellows])
        spread = poses.std(axis=0, ddof=1)
        if np.hypot(*spread[:2]) > np.sqrt(2) * LARGEST:
            continue
        sigma = np.maximum(spread * np.sqrt(1 + 1 / len(fellows)), GUIDING)
        found[g] = map_of(poses.mean(axis=0), centres[g]), sigma
    return found


def seen_again(
    sources: np.ndarray,
    stars: np.ndarray,
    seen: Exposures,
    half: np.ndarray,
    own: np.ndarray,
    others: np.ndarray,
) -> tuple[int, int]:
    """Return how many sources of a group are stars that others see, and how many might be.

    Parameters
    ----------
    sources : (n, 2)
        With the attitude that is believed, arcsec.
    stars : (k, 2)
        Those of the others.
    seen : Exposures
    half : (m,)
        Half the sides of their images, arcsec.
    own, others : arrays of int
        Which exposures are the group's, and the others'.
    """
    gap = np.linalg.norm(seen.centre[others][:, None] - seen.centre[own], axis=2)
    others = others[(gap <= np.sqrt(2) * (half[others][:, None] + half[own])).any(axis=1)]
    sources = sources[_inside(sources, seen, half, others)]
    stars = stars[_inside(stars, seen, half, own)]
    possible = min(len(sources), len(stars))
    return len(nearest_pairs(sources, stars, NEAR)[0]) if possible else 0, possible


def _inside(points, seen, half, exposures):
    """Return which points any of the exposures has in its image."""
    found = np.zeros(len(points), bool)
    for e in exposures:
        place = (points - seen.centre[e]) @ np.linalg.inv(seen.axes[e]).T
        found |= (np.abs(place) <= half[e]).all(axis=1)
    return found
