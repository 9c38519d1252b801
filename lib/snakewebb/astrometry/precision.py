"""How well an adjustment tells where exposures are, and what of that is common to all."""

from __future__ import annotations

import numpy as np

from snakewebb.astrometry.joining import MAS
from snakewebb.astrometry.network import Adjustment
from snakewebb.astrometry.unknowns import Exposures


def pivots(seen: Exposures, n_poses: int) -> np.ndarray:
    """Return the mean of the middles of the exposures of each attitude, (n_poses, 2)."""
    count = np.bincount(seen.pose, minlength=n_poses)[:, None]
    return np.stack([np.bincount(seen.pose, c, n_poses) for c in seen.centre.T], -1) / count


def common_motion(seen: Exposures, half: np.ndarray, n_places: int, frame: int) -> np.ndarray:
    """Return what placements do to the exposures of an attitude as a whole, (3, n_places).

    That is the shift and the roll about its pivot that fit best what they do to corners.
    """
    first = np.flatnonzero(seen.pose == frame)
    pivot = seen.centre[first].mean(axis=0)
    moves, places = [], []
    for e in first:
        for corner in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
            arm = half[e] * seen.axes[e] @ corner
            moves.append(_turning(seen.centre[e] + arm - pivot))
            place = np.zeros((2, n_places))
            column = 3 * seen.placement[e]
            place[:, column : column + 2] = seen.axes[e]
            place[:, column + 2] = -arm[1], arm[0]
            places.append(place)
    return np.linalg.pinv(np.concatenate(moves)) @ np.concatenate(places)


def _turning(arm: np.ndarray) -> np.ndarray:
    """Return what a shift and a roll do to a point at some distance from the pivot."""
    return np.array([[1.0, 0.0, -arm[1]], [0.0, 1.0, arm[0]]])


def standard_errors(
    found: Adjustment, seen: Exposures, common: np.ndarray | None, frame: int | None
) -> np.ndarray:
    """Return the standard error of each exposure's centre, mas, either axis.

    If something is common to all, which no relative adjustment finds, it is that beside it.
    """
    pivot = pivots(seen, len(found.poses))
    n_poses, n_places = found.poses.size, found.placements.size
    errors = np.zeros(len(seen.pose))
    for e, (pose, place) in enumerate(zip(seen.pose, seen.placement, strict=True)):
        slope = np.zeros((2, 3 + n_places))
        slope[:, :3] = _turning(seen.centre[e] - pivot[pose])
        if common is not None:
            slope[:, 3:] = -_turning(seen.centre[e] - pivot[frame]) @ common
        slope[:, 3 + 3 * place : 5 + 3 * place] += seen.axes[e]
        index = np.concatenate((3 * pose + np.arange(3), n_poses + np.arange(n_places)))
        covariance = slope @ found.covariance(index) @ slope.T
        errors[e] = np.sqrt(max(np.trace(covariance), 0.0) / 2) * MAS
    return errors
