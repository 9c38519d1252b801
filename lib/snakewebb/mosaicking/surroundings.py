"""What the surroundings of a pixel explain of its difference from a model of the sky.

A median of resampled exposures is smoother than each of them, which shows where stars are
undersampled; exposures are aligned to some accuracy; stars vary. None of this is a cosmic ray, and
all of it shows in the shape of the model around a pixel, or in the other pixels of the same star.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CROSS = (-1, 0), (1, 0), (0, -1), (0, 1)
SQUARE = tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1))
BOX = tuple((down, right) for down in range(-2, 3) for right in range(-2, 3))
import os
Q=float(os.environ.get('Q','2'))
SHARPNESS = float(os.environ.get('CURV','1.4'))
"""How far an image may stand out of a model, in units of its curvature. In undersampled images
(F115W of NIRCam) stars of 4 exposures stand out by up to 1.1, of 2 by up to 1.4 times that."""
VISIBLE = 3.0
"""So many errors the light of a star must reach, if its variation is to matter."""
SURE = 2.0
"""So many of its own errors a variation must exceed."""


class Surroundings:
    """Places on two models of an image, each seen on one of these, and what is around.

    Parameters
    ----------
    models : (2, ny, nx) float32
    places : (n,) int
        In C order of an image.
    above : (n,) bool
        The image lies above the second model there; if not, below the first.

    Attributes
    ----------
    model : (n,) float64
        The one that counts, at the places themselves.
    """

    def __init__(self, models: np.ndarray, places: np.ndarray, above: np.ndarray) -> None:
        self._models, self._level = models, above.astype(np.intp)
        self._sign = np.where(above, 1.0, -1.0)
        self._y, self._x = np.divmod(places, models.shape[2])
        self.model = self._at((0, 0))

    def take(self, chosen: np.ndarray) -> Surroundings:
        """Return some of the places."""
        places = self._y * self._models.shape[2] + self._x
        return Surroundings(self._models, places[chosen], self._level[chosen] == 1)

    def steepness(self, reach: int = 0) -> np.ndarray:
        """Return the largest step of the model to one of 4 neighbours.

        Parameters
        ----------
        reach : int, optional
            If 1, the largest of those of the 8 neighbours, too.
        """
        steps = [np.abs(self._steps(way)) for way in (SQUARE if reach else SQUARE[4:5])]
        return np.max(steps, axis=(0, 1))

    def sharpness(self, noise) -> np.ndarray:
        """Return how far the image may stand out of the model where that is curved.

        An image that is smoothed loses half the variance of what smooths it, times its curvature
        (the sum of the steps to 4 neighbours), to first order. Higher orders, which the model does
        not show, are ``SHARPNESS``.
        """
        return SHARPNESS * np.maximum(-self._sign * self._steps((0, 0)).sum(axis=0) - Q*noise, 0.0)

    def variation(self, image: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return by which share sources are brighter in the image, and their light in the model.

        That is told by the 24 neighbours of a pixel: by how much the brighter half exceeds the
        model more than the darker half does, relative to the model's light. It is a median weighted
        by that light, so that no few other pixels that are struck decide.

        Parameters
        ----------
        image : (ny, nx)
        noise : (n,)
            Of a pixel.

        Returns
        -------
        share : (n,) float64
            In the sense of the pixel's own difference; 0 where none is sure, or no source.
        light : (n,) float64
            Of the pixel over the darkest of its neighbours.
        """
        model = np.array([self._at(way) for way in BOX])
        light = self._sign * self.model - np.nanmin(self._sign * model, axis=0)
        share = np.zeros(len(light))
        seen = np.flatnonzero(light > VISIBLE * noise)
        if seen.size:
            others = self.take(seen)
            excess = np.array([others._at(way, image) for way in BOX]) - model[:, seen]
            neighbours = np.arange(len(BOX)) != len(BOX) // 2
            ratio, error = _common_share(model[neighbours][:, seen], excess[neighbours])
            share[seen] = np.maximum(others._sign * ratio - SURE * error * noise[seen], 0.0)
        return share, light

    def _at(self, way: Sequence[int], image: np.ndarray | None = None) -> np.ndarray:
        """Return the model, or an image, at neighbours; at edges what is next to these."""
        ny, nx = self._models.shape[1:]
        y, x = np.clip(self._y + way[0], 0, ny - 1), np.clip(self._x + way[1], 0, nx - 1)
        return (self._models[self._level, y, x] if image is None else image[y, x]).astype(float)

    def _steps(self, way: Sequence[int]) -> np.ndarray:
        """Return the steps of the model from neighbours to their own 4; none to what is NaN."""
        here = self._at(way)
        return np.nan_to_num([self._at((way[0] + y, way[1] + x)) - here for y, x in CROSS])


def _common_share(model: np.ndarray, excess: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which share of the model's light the excess is, and its error per error of a pixel."""
    good = np.isfinite(model) & np.isfinite(excess)
    order = np.argsort(np.where(good, model, np.inf), axis=0)
    model, excess = (np.take_along_axis(np.where(good, a, 0.0), order, 0) for a in (model, excess))
    number = good.sum(axis=0)
    rank = np.arange(len(model))[:, None]
    dark, bright = rank < number // 2, (rank >= number // 2) & (rank < number)
    count = np.maximum(number // 2, 1)
    base = np.where(dark, model, 0.0).sum(axis=0) / count
    level = np.take_along_axis(np.sort(np.where(dark, excess, np.inf), axis=0), (count // 2)[None], 0)[0]
    weight = np.where(bright, np.maximum(model - base, 0.0), 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(weight > 0, (excess - level) / weight, np.inf)
        order = np.argsort(ratio, axis=0)
        total = np.cumsum(np.take_along_axis(weight, order, 0), axis=0)
        middle = np.argmax(total >= total[-1] / 2, axis=0)
        share = np.take_along_axis(np.take_along_axis(ratio, order, 0), middle[None], 0)[0]
        error = 1.0 / np.sqrt((weight**2).sum(axis=0))
    known = np.isfinite(share) & np.isfinite(error)
    return np.where(known, share, 0.0), np.where(known, error, 0.0)
