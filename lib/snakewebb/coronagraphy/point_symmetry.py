"""The light about a star compared with itself turned by 180 degrees: where it is symmetric."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from snakewebb.coronagraphy.fourier import fourier_shift, turn

SEARCH = 6
"""Pixels from CRPIX, in x and y, within which it is looked for, to see that it is not elsewhere."""
RADIUS = 48
"""Pixels from CRPIX whose light is looked at."""
LEAST_RADIUS = 8
RIM = 2
"""Pixels that are spared between that light, turned about any place, and the frame's edge."""
RING = 3.0
"""Width in pixels of the rings that have a scatter of their own."""
STARTS = 3
TURNS = 12
"""Most iterations from one start."""
STEP = 0.5
"""Pixels that one iteration may move by."""
PRECISION = 1e-3
CLIP = 5.0
"""Standard deviations of its ring at which a difference between two sides no longer counts."""
EQUALITY = 1.25
"""Power of a ring's scatter that its weight falls with. 2 is best for noise; but wavefront errors
move faint speckles more than the bright light close to the mask."""
SECTORS, ZONES = 8, 4
"""Parts of the light that count as independent: of angle, and of radius with like information."""


class Undetermined(Exception):  # noqa: N818
    """The star's place is not determined; the message says why."""


@dataclass(frozen=True)
class Fit:
    """Differences between an image and itself turned about a center, in the pixels of its light.

    Attributes
    ----------
    center : (2,) float64
        On the cut-out.
    quality : float
        Mean over pixels of the log of their ring's scatter; the lower, the more symmetric.
    difference, weights : (n,) float64
    gradient : (2, n) float64
        Of the difference by the star's place.
    normal : (2, 2) float64
    step : float
        By how many pixels the last iteration moved the center, in x or y.
    """

    center: np.ndarray
    quality: float
    difference: np.ndarray
    weights: np.ndarray
    gradient: np.ndarray
    normal: np.ndarray
    step: float = 0.0


class Light:
    """The light about a guess, by rings.

    Attributes
    ----------
    corner : (2,) int
        Of the cut-out on the frame, (x, y).
    guess : (2,) float64
        On the cut-out.
    """

    def __init__(
        self,
        image: np.ndarray,
        guess: tuple[float, float],
        good: np.ndarray | None,
        smoothing: float = 0.0,
    ) -> None:
        from scipy.ndimage import gaussian_filter  # slow to import, and only this needs it

        pivot = np.round(guess).astype(int)
        edge = int(min(*pivot, *(np.array(image.shape[::-1]) - 1 - pivot)))
        half = min(edge, RADIUS + 2 * SEARCH + RIM)
        radius = half - 2 * SEARCH - RIM
        if radius < LEAST_RADIUS:
            raise Undetermined(f"CRPIX is {edge} pixels from the frame's edge")
        self.corner = pivot - half
        self.guess = np.asarray(guess, float) - self.corner
        cut = tuple(slice(low, low + 2 * half + 1) for low in self.corner[::-1])
        self.image = gaussian_filter(np.asarray(image[cut], np.float64), smoothing)
        self.good = np.ones(self.image.shape, bool) if good is None else good[cut]
        self._slope()
        y, x = np.indices(self.image.shape)
        distance = np.hypot(x - self.guess[0], y - self.guess[1])
        ring = np.floor(distance / RING).astype(int)
        rows, columns = np.nonzero(distance <= radius)
        order = np.argsort(ring[rows, columns], kind="stable")
        self.y, self.x = rows[order], columns[order]
        self.ring = ring[self.y, self.x]
        self.floor = 1e-5 * float(np.ptp(self.image[self.y, self.x]))
        if not self.floor > 0:
            raise Undetermined("there is no light")

    def _slope(self) -> None:
        """Set the derivatives by x and y of the interpolation that the image is turned by."""
        step = 0.05
        moved = fourier_shift(
            np.broadcast_to(self.image, (4, *self.image.shape)),
            np.array([(-step, 0), (step, 0), (0, -step), (0, step)]),
        )
        self.slopes = (moved[::2] - moved[1::2]) / (2 * step)

    def mend(self, center: np.ndarray) -> None:
        """Give bad pixels what stands on the other side: repaired ones ring when turned."""
        y, x = np.indices(self.image.shape)
        missing = ~self.good & self._good_turned(center, y, x)
        if not missing.any():
            return
        self.image = np.where(missing, turn(self.image[None], center)[0], self.image)
        self._slope()

    def _good_turned(self, center: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return whether the pixel nearest to where a pixel is turned to is good."""
        y, x = (
            np.rint(2 * c - places).astype(int)
            for c, places in zip(center[::-1], (y, x), strict=True)
        )
        size = len(self.good)
        inside = (x >= 0) & (x < size) & (y >= 0) & (y < size)
        return inside & self.good[np.clip(y, 0, size - 1), np.clip(x, 0, size - 1)]

    def starts(self) -> np.ndarray:
        """Return the places (n, 2) about which the light is most symmetric among half pixels."""
        places, quality = self.half_pixels()
        padded = np.pad(quality, 1, constant_values=np.inf)
        around = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).min(axis=(2, 3))
        lowest = quality <= around
        best = np.argsort(quality[lowest], kind="stable")[:STARTS]
        return places[lowest][best]

    def half_pixels(self) -> tuple[np.ndarray, np.ndarray]:
        """Return how symmetric the light is about each half pixel within the search.

        There the turned image needs no interpolation.

        Returns
        -------
        places : (n, n, 2) float64
        quality : (n, n) float64
            As that of a `Fit`.
        """
        bounds = _bounds(self.ring)
        values = np.where(self.good, self.image, np.nan)
        twice = np.round(2 * self.guess).astype(int)
        steps = np.arange(-2 * SEARCH, 2 * SEARCH + 1)
        columns = twice[0] + steps[:, None] - self.x
        rows = twice[1] + steps[:, None] - self.y
        image = values[self.y, self.x]
        quality = np.array(
            [self._quality(np.abs(image - values[row, columns]), bounds)[0] for row in rows]
        )
        x, y = np.meshgrid(*((twice + steps[:, None]) / 2).T)
        return np.stack((x, y), axis=-1), quality

    def refine(self, start: np.ndarray) -> Fit:
        """Return the fit that iterations from a start end in, or that at the search's limit."""
        center = start
        for _ in range(TURNS):
            fit = self.compare(center)
            step = np.linalg.solve(fit.normal, (fit.gradient * fit.weights) @ fit.difference)
            size = float(np.abs(step).max())
            center = center + step * min(1.0, STEP / size) if size else center
            if size < PRECISION or np.abs(center - self.guess).max() > SEARCH:
                break
        return replace(fit, center=center, step=size)

    def compare(self, center: np.ndarray) -> Fit:
        """Return how the image differs from itself turned about a center."""
        cube = np.concatenate((self.image[None], self.slopes))
        image, turned = cube[:, self.y, self.x], turn(cube, center)[:, self.y, self.x]
        difference = image[0] - turned[0]
        usable = self.good[self.y, self.x] & self._good_turned(center, self.y, self.x)
        sizes = np.where(usable, np.abs(difference), np.nan)
        bounds = _bounds(self.ring)
        quality, scatter = self._quality(sizes[None], bounds)
        spread = scatter[0][self.ring]
        weights = np.where(usable, np.maximum(1 - (difference / (CLIP * spread)) ** 2, 0) ** 2, 0)
        weights = weights / spread**EQUALITY
        gradient = turned[1:] - image[1:]  # minus twice that of the symmetric part
        return Fit(
            center,
            float(quality[0]),
            difference,
            weights,
            gradient,
            (gradient * weights) @ gradient.T,
        )

    def symmetry(self, fit: Fit) -> float:
        """Return the correlation on its rings of the light with itself turned.

        Variances are from medians, for a companion is most of the light of its ring.
        """
        image = self.image[self.y, self.x]
        differences, lights = 0.0, 0.0
        for first, last in pairwise(_bounds(self.ring)):
            used = np.flatnonzero(fit.weights[first:last]) + first
            if used.size:
                light = image[used] - fit.difference[used] / 2
                spread = np.median(np.abs(light - np.median(light)))
                differences += used.size * np.median(np.abs(fit.difference[used] / 2)) ** 2
                lights += used.size * spread**2
        total = lights + differences
        return float((lights - differences) / total) if total > 0 else 0.0

    def error(self, fit: Fit) -> np.ndarray:
        """Return the error (x, y) by which parts of the light disagree."""
        x, y = self.x - fit.center[0], self.y - fit.center[1]
        sector = np.floor(np.arctan2(y, x) / np.pi * SECTORS).astype(int) % SECTORS
        radius = np.hypot(x, y)
        outward = np.argsort(radius, kind="stable")
        information = np.cumsum((fit.weights * (fit.gradient**2).sum(axis=0))[outward])
        zone = np.empty(len(outward), int)
        zone[outward] = np.minimum(ZONES * information / information[-1], ZONES - 1)
        part = sector * ZONES + zone
        count = SECTORS * ZONES
        scores = np.array(
            [
                np.bincount(part, fit.weights * fit.difference * slope, minlength=count)
                for slope in fit.gradient
            ]
        )
        inverse = np.linalg.inv(fit.normal)
        covariance = inverse @ (scores @ scores.T) @ inverse * count / (count - 2)
        return np.sqrt(np.diag(covariance))

    def _quality(self, sizes: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean log of the rings' scatter, and the scatter of each ring.

        Parameters
        ----------
        sizes : (n, pixels) float64
            Of differences; NaN does not count.
        bounds : (rings + 1,) int
            Of the rings in the pixels.

        Returns
        -------
        quality : (n,) float64
            Infinite where no size is known.
        scatter : (n, rings) float64
        """
        scatter = np.full((len(sizes), len(bounds) - 1), self.floor)
        counts = np.zeros(scatter.shape, int)
        for ring, (first, last) in enumerate(pairwise(bounds)):
            ordered = np.sort(sizes[:, first:last], axis=1)  # NaN comes last
            counts[:, ring] = count = np.count_nonzero(~np.isnan(ordered), axis=1)
            middle = np.maximum(count - 1, 0)[:, None] // 2
            median = np.take_along_axis(ordered, middle, axis=1)[:, 0]
            scatter[:, ring] = np.fmax(1.4826 * median, self.floor)
        number = counts.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            quality = (counts * np.log(scatter)).sum(axis=1) / number
        return np.where(number > 0, quality, np.inf), scatter


def _bounds(ring: np.ndarray) -> np.ndarray:
    """Return where each ring begins in an ascending array of their numbers, and where it ends."""
    return np.searchsorted(ring, np.arange(ring[-1] + 2))
