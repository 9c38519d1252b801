"""What the surroundings of a pixel explain of its difference from a model of the sky.

A median of resampled exposures is smoother than each of them, which shows where stars are
undersampled; exposures are aligned to some accuracy; stars vary. None of this is a cosmic ray, and
all of it shows: in the shape of the model around a pixel, in how others differ among themselves,
and in the other pixels of the same star.
"""

from __future__ import annotations

import numpy as np

CROSS = (-1, 0), (1, 0), (0, -1), (0, 1)
SQUARE = tuple((down, right) for down in range(-1, 2) for right in range(-1, 2))
BOX = tuple((down, right) for down in range(-2, 3) for right in range(-2, 3))
"""Ways to neighbours: rows down, columns right."""
SHARPNESS = 1.4
"""How far an image may stand out of a model, in units of its curvature. Of the pixels of star cores
in simulated images of NIRCam in F115W (seed 21) half stand out by less than 0.3, nine in ten by
less than 0.7, and 99 % by less than 1.2 of 4 exposures, 1.7 of 2; slopes explain the rest."""
NOISE = 2.0
"""So many errors of curvature are noise."""
SPREAD = 6.0
"""So many of the standard deviations that others differ by an image may be off: of four exposures
three times the range of the other three, more than one that is among them by chance."""
SOURCE = 2.0
"""Others differ by no more than so many times the light that is there, or one of them is struck."""
VISIBLE = 3.0
"""So many errors of light make a source of which it can be said how it varies."""
SURE = 2.0
"""So many of its own errors a variation must exceed."""


class Surroundings:
    """Places on models of an image, and what is around.

    Parameters
    ----------
    models : (2, ny, nx) float32
        The first one counts where the image lies below it, the second one where it lies above.
    places : (n,) int
        In C order of an image.
    above : (n,) bool
        Whether the image lies above.

    Attributes
    ----------
    model : (n,) float64
        The one that counts, at the places themselves.
    """

    def __init__(self, models: np.ndarray, places: np.ndarray, above: np.ndarray) -> None:
        self._models, self._places, self._above = models, places, above
        self._y, self._x = np.divmod(places, models.shape[2])
        self._first = np.where(above, models[0].size, 0)
        self.model = self._at(0, 0)

    def take(self, chosen: np.ndarray) -> Surroundings:
        """Return some of the places."""
        return Surroundings(self._models, self._places[chosen], self._above[chosen])

    def near(self, marked: np.ndarray) -> np.ndarray:
        """Return which places are marked on an image, or are one of 8 neighbours of such a pixel.

        Parameters
        ----------
        marked : (ny, nx) bool
        """
        return np.any([self._seen(marked, *way) for way in SQUARE], axis=0)

    def steepness(self) -> np.ndarray:
        """Return the largest step of the model to one of 4 neighbours."""
        return np.abs(self._steps(0, 0)).max(axis=0)

    def explain(
        self, image: np.ndarray, noise: np.ndarray, alignment_error: float, spread: np.ndarray
    ) -> np.ndarray:
        """Return how far the image may be off the model without being struck.

        Parameters
        ----------
        image : (ny, nx)
        noise : (n,)
            Of its pixels.
        alignment_error : float
            Of the image, pixels.
        spread : (n,)
            How far what the second model is made of differs, as a standard deviation.

        Returns
        -------
        (n,) float64
        """
        box = np.array([self._at(*way) for way in BOX])
        steps = np.array([np.abs(self._steps(*way)).max(axis=0) for way in SQUARE])
        shape = np.maximum(self._sharpness(noise), alignment_error * steps.max(axis=0))
        shape += self._disagreement(spread - noise, np.nanmax(box, axis=0) - np.nanmin(box, axis=0))
        share, light = self._variation(image, noise, box)
        return (1 + share) * shape + share * light

    def _sharpness(self, noise: np.ndarray) -> np.ndarray:
        """Return by how much smoothing may have lowered peaks of the model, or filled troughs.

        That is half the variance of what smooths, times the curvature (the sum of the steps to 4
        neighbours), to first order. Higher orders, which the model does not show, are in
        ``SHARPNESS``.
        """
        curvature = self._steps(0, 0).sum(axis=0)
        outwards = np.where(self._above, -curvature, curvature)
        return SHARPNESS * np.maximum(outwards - NOISE * noise, 0.0)

    def _disagreement(self, spread: np.ndarray, light: np.ndarray) -> np.ndarray:
        """Return by how much the image may be above others since these differ among themselves.

        ``spread`` is theirs beyond noise.
        """
        allowed = np.minimum(SPREAD * np.maximum(spread, 0.0), SOURCE * light)
        return np.where(self._above, allowed, 0.0)

    def _variation(
        self, image: np.ndarray, noise: np.ndarray, box: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return by which share a source varies, and its light in the model.

        The 24 neighbours of a pixel tell: by how much the brighter half of them exceeds the model
        more than the darker half does, relative to the model's light. The median weighted by that
        light counts, so that no few of them that are struck decide.
        """
        sign = np.where(self._above, 1.0, -1.0)
        light = sign * self.model - np.nanmin(sign * box, axis=0)
        share = np.zeros(len(light))
        seen = np.flatnonzero(light > VISIBLE * noise)
        if seen.size:
            source, others = self.take(seen), np.arange(len(BOX)) != len(BOX) // 2
            model = box[:, seen]
            excess = np.array([source._seen(image, *way) for way in BOX], float) - model
            ratio, error = common_share(model[others], excess[others])
            share[seen] = np.maximum(sign[seen] * ratio - SURE * error * noise[seen], 0.0)
        return share, light

    def _at(self, down: int, right: int) -> np.ndarray:
        """Return the model that counts at neighbours."""
        return self._models.ravel().take(self._first + self._there(down, right)).astype(float)

    def _seen(self, image: np.ndarray, down: int, right: int) -> np.ndarray:
        """Return an image at neighbours."""
        return image.ravel().take(self._there(down, right))

    def _there(self, down: int, right: int) -> np.ndarray:
        """Return the places of neighbours; beyond the edges what is next to these."""
        ny, nx = self._models.shape[1:]
        y, x = np.clip(self._y + down, 0, ny - 1), np.clip(self._x + right, 0, nx - 1)
        return y * nx + x

    def _steps(self, down: int, right: int) -> np.ndarray:
        """Return the steps of the model from neighbours to their own 4; none to what is NaN."""
        here = self._at(down, right)
        return np.nan_to_num([self._at(down + y, right + x) - here for y, x in CROSS])


def common_share(model: np.ndarray, excess: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which share of a model's light some pixels exceed it by.

    Parameters
    ----------
    model, excess : (m, n) float64
        Of m pixels, n times. Where either is NaN none counts.

    Returns
    -------
    share, error : (n,) float64
        The median of shares, weighted by light, of the brighter half of the pixels; light and
        excess are over those of the darker half. Its error if that of a pixel is 1. Both are 0
        where there is no light.
    """
    good = np.isfinite(model) & np.isfinite(excess)
    number, half = good.sum(axis=0), good.sum(axis=0) // 2
    order = np.argsort(np.where(good, model, np.inf), axis=0)
    model, excess = (np.take_along_axis(np.where(good, a, 0.0), order, 0) for a in (model, excess))
    rank = np.arange(len(model))[:, None]
    dark, bright = rank < half, (rank >= half) & (rank < number)
    floor = np.where(dark, model, 0.0).sum(axis=0) / np.maximum(half, 1)
    sorted_ = np.sort(np.where(dark, excess, np.inf), axis=0)
    level = np.take_along_axis(sorted_, (half // 2)[None], 0)[0]
    weight = np.where(bright, np.maximum(model - floor, 0.0), 0.0)
    lit = weight > 0
    share = np.where(lit, excess - level, np.inf) / np.where(lit, weight, 1.0)
    order = np.argsort(share, axis=0)
    total = np.cumsum(np.take_along_axis(weight, order, 0), axis=0)
    middle = np.argmax(total >= total[-1] / 2, axis=0)
    found = np.take_along_axis(share, np.take_along_axis(order, middle[None], 0), 0)[0]
    power = (weight**2).sum(axis=0)
    known = (power > 0) & (half > 0)
    return np.where(known, found, 0.0), known / np.sqrt(np.where(known, power, 1.0))
