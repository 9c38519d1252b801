"""How far a star's light reaches on a frame, and where other stars are in it.

Most of the light on a full frame of a coronagraph is of other stars. What fits the star's light to
a reference then looks only where the two are alike.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

log = logging.getLogger(__name__)

RING = 3.0
"""Width in pixels of the rings about the star that are looked at one by one."""
CLIP = 2.0
"""Standard deviations of a ring at which its light is clipped."""
ALIKE = 0.2
"""Correlation of two images of the star on a ring, below which there is more noise than light."""
UNLIKE = 5.0
"""Standard deviations of a ring by which two images of the star may differ."""
LEAST_PIXELS = 30
"""Of a ring, to say anything of its light."""


@dataclass(frozen=True)
class StarLight:
    """Where a star's light is on a frame much larger.

    Attributes
    ----------
    radius : float
        From the star to where its light is lost in noise, pixels.
    near : (ny, nx) bool
        Within that.
    alone : (ny, nx) bool
        And without other stars, of the target or a reference.
    """

    radius: float
    near: np.ndarray
    alone: np.ndarray


def find_light(
    image: np.ndarray,
    references: np.ndarray,
    center: tuple[float, float],
    groups: Sequence[Hashable] | None = None,
) -> StarLight | None:
    """Find where a star's light is on a frame, if that is at least twice as large.

    Parameters
    ----------
    image : (ny, nx) array
        The star; finite.
    references : (K, ny, nx) array
        Other images of it or of other stars, on it within a pixel or so. What is 0 throughout does
        not count.
    center : (x, y)
        The star, 0-based pixels.
    groups : sequence of K hashables, optional
        Which exposure each reference is from; their means are compared with the star. By default
        each is by itself.

    Returns
    -------
    StarLight or None
        None where the light reaches more than half the way to the farthest edge, or is not found.
    """
    names = np.unique(
        list(map(str, range(len(references)) if groups is None else groups)), return_inverse=True
    )[1]
    means = [references[names == name].mean(axis=0) for name in range(names.max(initial=-1) + 1)]
    means = [mean for mean in means if mean.any()]
    if not means:
        return None
    y, x = np.indices(image.shape)
    distance = np.hypot(x - center[0], y - center[1])
    rings = _Rings(distance)
    light = rings.light(image)
    alike = rings.correlation(light, rings.light(np.mean(means, axis=0)))
    first = np.flatnonzero((alike < ALIKE)[:-1] & (alike < ALIKE)[1:])
    radius = RING * (first[0] if first.size else len(alike))
    ny, nx = image.shape
    farthest = max(center[0], nx - 1 - center[0], center[1], ny - 1 - center[1])
    if not 0 < radius <= farthest / 2:
        return None
    near = distance <= radius
    alone = near.copy()
    for mean in means:
        alone &= ~rings.unlike(light, rings.light(mean))
    log.info(
        "the star's light reaches %.0f of %.0f pixels; other stars there: %.1f %%",
        radius,
        farthest,
        100 * (1 - alone.sum() / near.sum()),
    )
    return StarLight(float(radius), near, alone)


class _Rings:
    """Rings about a star, by pixels' distances from it."""

    def __init__(self, distance: np.ndarray) -> None:
        self.shape = distance.shape
        ring = np.floor(distance / RING).astype(int).ravel()
        order = np.argsort(ring, kind="stable")
        self.pixels = np.split(order, np.flatnonzero(np.diff(ring[order])) + 1)

    def light(self, image: np.ndarray) -> np.ndarray:
        """Return an image less the median of each ring, (n,)."""
        values = np.array(image, np.float64).ravel()
        for pixels in self.pixels:
            values[pixels] -= np.median(values[pixels])
        return values

    def correlation(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Return the correlation on each ring of what is clipped of two images; 0 if unknown."""
        found = []
        for pixels in self.pixels:
            a, b = _clipped(one[pixels]), _clipped(other[pixels])
            power = np.sqrt((a @ a) * (b @ b))
            found.append(a @ b / power if len(pixels) >= LEAST_PIXELS and power > 0 else 0.0)
        return np.array(found)

    def unlike(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Return True where, or beside where, images of stars of any brightness are unlike."""
        far = np.zeros(one.shape, bool)
        for pixels in self.pixels:
            a, b = _clipped(one[pixels]), _clipped(other[pixels])
            power = b @ b
            difference = one[pixels] - (a @ b / power if power > 0 else 0.0) * other[pixels]
            far[pixels] = np.abs(difference) > UNLIKE * _scatter(difference)
        padded = np.pad(far.reshape(self.shape), 1)
        return np.any(sliding_window_view(padded, (3, 3)), axis=(2, 3))


def _clipped(values: np.ndarray) -> np.ndarray:
    limit = CLIP * _scatter(values)
    return np.clip(values, -limit, limit)


def _scatter(values: np.ndarray) -> float:
    """Return the standard deviation of most of the values, about 0."""
    return 1.4826 * float(np.median(np.abs(values)))
