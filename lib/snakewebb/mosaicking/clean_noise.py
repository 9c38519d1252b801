"""The noise that pixels would have without what has struck them.

Ramp fitting sees many cosmic rays, and gives a pixel that was struck larger errors: as a jump
splits the ramp, and as what is left of it looks like light. A hit judged by such an error may be
none. What the error would be without is told by others: how noise grows with light by the exposure
itself, how read noise differs from pixel to pixel by exposures of the same detector.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

BULK = 60_000
"""So many pixels tell the noise where light is common."""
BULK_EDGES = np.array([0, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 7 / 8, 15 / 16, 31 / 32, 63 / 64])
TAIL = 1_000_000
"""Of so many pixels the brightest, beyond the last of these edges, tell it where light is rare."""
TAIL_EDGES = 1 - 0.5 ** np.arange(20)
FEWEST = 16
"""Fewer pixels have no median that counts."""


@dataclass(frozen=True)
class NoiseCurve:
    """How the variance of an exposure's pixels grows with light.

    Attributes
    ----------
    flux, variance : (n,) float64
        Straight lines join these points. The last one goes on; before the first nothing changes.
    """

    flux: np.ndarray
    variance: np.ndarray

    @classmethod
    def measure(cls, flux: np.ndarray, err: np.ndarray) -> NoiseCurve:
        """Take medians over ever rarer pixels, which do not see that a few are struck.

        Parameters
        ----------
        flux : (ny, nx)
            The light of pixels as others see it, NaN where they see none.
        err : (ny, nx)
            The errors of pixels; what is not above 0 is none.
        """
        x, y = _sample(flux, err, BULK)
        points = [*_medians(x, y, BULK_EDGES)]
        if points:
            rare = np.quantile(x, BULK_EDGES[-1])
            points += _medians(*_sample(flux, err, TAIL, rare), TAIL_EDGES)
        light, noise = np.reshape(points, (-1, 2)).T
        return cls(light, np.maximum.accumulate(noise**2))

    @property
    def least(self) -> float:
        """The variance of the darkest pixels; infinity if nothing was measured."""
        return float(self.variance[0]) if self.variance.size else np.inf

    def __call__(self, flux: np.ndarray) -> np.ndarray:
        """Return the variance of pixels of a flux; infinity if nothing was measured."""
        x, y = self.flux, self.variance
        if not x.size:
            return np.full(np.shape(flux), np.inf)
        slope = (y[-1] - y[-2]) / (x[-1] - x[-2]) if x.size > 1 and x[-1] > x[-2] else 0.0
        return np.interp(flux, x, y) + slope * np.maximum(flux - x[-1], 0.0)


def _sample(
    flux: np.ndarray, err: np.ndarray, number: int, least: float = -np.inf
) -> tuple[np.ndarray, np.ndarray]:
    """Return flux and error of those of about so many pixels that have both, and more flux."""
    step = flux.size // number + 1
    x, y = flux.ravel()[::step], err.ravel()[::step]
    known = (x > least) & (x < np.inf) & (y > 0)
    return x[known], y[known]


def _medians(x: np.ndarray, y: np.ndarray, edges: np.ndarray) -> Iterator[tuple[float, float]]:
    """Yield the medians of x and y of the pixels between quantiles of x."""
    order = np.argsort(x)
    for start, stop in pairwise((edges * x.size).astype(int)):
        if stop - start >= FEWEST:
            part = order[start:stop]
            yield float(np.median(x[part])), float(np.median(y[part]))


def excess_variance(
    variance: np.ndarray, others: Iterable[np.ndarray], places: np.ndarray
) -> np.ndarray:
    """Return by how much the variance of pixels exceeds that of most, without hits.

    Parameters
    ----------
    variance : (ny, nx)
        Of the read noise of an exposure.
    others : iterable of (ny, nx)
        The same of other exposures of the same pixels, perhaps of other lengths. What counts is
        the least, since few pixels are struck twice. Without others the median of a pixel's
        neighbours counts, so that a noisy pixel does not pass for one, either.
    places : (n,) int
        Of the pixels, in C order.

    Returns
    -------
    (n,) float64
    """
    sample = slice(None, None, variance.size // BULK + 1)
    own = variance.ravel()
    least, alone = own[places].astype(float), True
    for other in others:
        other, alone = other.ravel(), False
        pairs = own[sample] > 0, other[sample] > 0
        good = pairs[0] & pairs[1]
        if good.any():
            scaled = other[places] * np.median(own[sample][good] / other[sample][good])
            least = np.where(scaled > 0, np.fmin(least, scaled), least)
    if alone:
        least = np.fmin(least, neighbours_median(variance, places))
    known = own[sample][own[sample] > 0]
    typical = np.median(known) if known.size else 0.0
    return np.where(least > 0, least - typical, 0.0)


def neighbours_median(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the median of the 24 neighbours of pixels, NaN left out, at edges repeated."""
    ny, nx = image.shape
    y, x = np.divmod(places, nx)
    steps = np.arange(-2, 3)
    rows = np.clip(y[:, None, None] + steps[:, None], 0, ny - 1)
    columns = np.clip(x[:, None, None] + steps, 0, nx - 1)
    around = image[rows, columns].reshape(-1, steps.size**2)
    around = np.delete(around, steps.size**2 // 2, axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # none of them is a number
        return np.nanmedian(around, axis=1)
