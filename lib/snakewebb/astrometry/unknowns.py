"""What an adjustment is about: exposures, measurements, and what is believed beforehand.

Positions are on a tangent plane, arcsec to the East and to the North.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Exposures:
    """What an adjustment knows of exposures, one row each.

    Attributes
    ----------
    pose, placement, noise : (m,) int
        Which attitude, placement and level of noise is theirs, numbered from 0.
    epoch : (m,) float
        Years from some time.
    centre : (m, 2)
        About which the detector turns.
    axes : (m, 2, 2)
        What a shift in V2 and in V3 is on the plane, in columns.
    parallax : (m, 2)
        By how much a parallax moves stars on the plane, in units of it.
    """

    pose: np.ndarray
    placement: np.ndarray
    noise: np.ndarray
    epoch: np.ndarray
    centre: np.ndarray
    axes: np.ndarray
    parallax: np.ndarray


@dataclass(frozen=True)
class Measurements:
    """Measured positions, one row each.

    Attributes
    ----------
    points : (n, 2)
        As the exposures' own WCS have them.
    variance : (n,)
        Of either axis, square arcsec, as far as it is known beforehand; see `Prior.scaled`.
    exposure, star : (n,) int
        Numbered from 0.
    """

    points: np.ndarray
    variance: np.ndarray
    exposure: np.ndarray
    star: np.ndarray


@dataclass(frozen=True)
class KnownStars:
    """Stars of a catalogue, as priors.

    Attributes
    ----------
    star : (k,) int
        Their numbers among the measured.
    mean : (k, 5)
        East, North (arcsec), proper motions (arcsec a year), parallax (arcsec), at epoch 0.
    covariance : (k, 5, 5)
    """

    star: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Prior:
    """What is believed before anything is measured.

    Attributes
    ----------
    pose_mean, pose_sigma : (p, 3)
        Shift (arcsec) and roll (radians, from East to North) of attitudes; of sigma 0: fixed.
    pivot : (p, 2)
        About which an attitude turns.
    placement_sigma : (q, 3)
        Of shifts (arcsec) and roll (radians) of detectors; their mean is 0.
    scaled : bool
        Whether variances of measurements are known but for a factor; else noise adds to them.
    stars : KnownStars, optional
    """

    pose_mean: np.ndarray
    pose_sigma: np.ndarray
    pivot: np.ndarray
    placement_sigma: np.ndarray
    scaled: bool = False
    stars: KnownStars = field(
        default_factory=lambda: KnownStars(np.zeros(0, int), np.zeros((0, 5)), np.zeros((0, 5, 5)))
    )


def maps(
    poses: np.ndarray, placements: np.ndarray, seen: Exposures, pivot: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the maps of exposures: first the detector is placed, then the attitude is turned.

    Returns
    -------
    matrices : (m, 2, 2)
    shifts : (m, 2)
    """
    pose, place = poses[seen.pose], placements[seen.placement]
    own, turn = _rotations(place[:, 2]), _rotations(pose[:, 2])
    moved = np.einsum("mij,mj->mi", seen.axes, place[:, :2])
    moved += seen.centre - np.einsum("mij,mj->mi", own, seen.centre)
    about = pivot[seen.pose]
    shift = pose[:, :2] + about + np.einsum("mij,mj->mi", turn, moved - about)
    return turn @ own, shift


def _rotations(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.moveaxis(np.array([[c, -s], [s, c]]), 2, 0)
