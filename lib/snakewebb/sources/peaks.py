"""Peaks of a filtered mosaic, and what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from snakewebb.kernels import matched_filter
from snakewebb.references.psf import PointSpread
from snakewebb.sources.significance import SCALES, Maps, Significance, kernel

PHASES = 4
"""As many places in a pixel along each axis are tried."""
WIDER = 2.0
NOISE = 3.5
"""Most peaks of less significance are noise."""


@dataclass
class Peaks:
    """Peaks of the significance, and what is known of them, each (n,).

    Attributes
    ----------
    row, column : int
    significance : float64
        With the photon noise of the source itself.
    excess : float64
        Noise there over that of blank sky.
    amplitude, error : float64
        Of the filtered image, and what blank sky's noise adds to it.
    coverage : float64
        Share of the broad filter that has data.
    sharpness : float64
        Height in the narrow filter over that in this one, both as if noise was not correlated: so
        it is a matter of the source's shape alone.
    breadth : float64
        The same of the broad filter.
    broad : bool
        Whether it is a peak of the broad filter.
    wide : bool
        Whether it is more significant in the broad filter, by ``WIDER`` at least: noise makes few
        stars so.
    group : int
        Which connected pixels it belongs to.
    """

    row: np.ndarray
    column: np.ndarray
    significance: np.ndarray
    excess: np.ndarray
    amplitude: np.ndarray
    error: np.ndarray
    coverage: np.ndarray
    sharpness: np.ndarray
    breadth: np.ndarray
    broad: np.ndarray
    wide: np.ndarray
    group: np.ndarray

    def __getitem__(self, chosen: np.ndarray | slice) -> Peaks:
        return Peaks(**{name: values[chosen] for name, values in vars(self).items()})

    @classmethod
    def of(
        cls,
        significance: Significance,
        maps: Maps,
        first: int,
        rows: slice,
        threshold: float,
        least: float = 0.0,
    ) -> Peaks:
        """List the peaks in some rows of a part of a mosaic that begins at row `first`.

        Coverage and sharpness are NaN of those that are less significant than the last number.
        """
        parts = []
        for name, image in (("star", maps.star), ("broad", maps.broad)):
            places = list_peaks(image, threshold, rows)
            number = len(places)
            out = np.empty((number, 4))
            kernel = significance.kernels[name]
            shift = np.array([maps.top, maps.left])
            matched_filter.describe(maps.data, maps.err, maps.weight, kernel, places + shift, out)
            row, column = places.T
            amplitude, error, variance, _ = out.T
            noise, broad_noise = (
                significance.noise(row + first, column, each) for each in (name, "broad")
            )
            error *= noise
            blank = significance.variance(row + first, column)
            with np.errstate(divide="ignore", invalid="ignore"):
                excess = np.sqrt(variance / blank)
            # errors may be 0, or not known
            excess = np.where((excess > 0) & np.isfinite(excess), excess, 1)
            shape, values = np.empty((number, 2)), image[row, column].astype(float)
            matched_filter.heights(image, image, places, shape)
            gain = shape[:, 0].copy()
            bright = gain * values > least
            coverage, sharp = np.full((2, number), np.nan)
            coverage[bright], sharp[bright] = _seen(significance, maps, image, places[bright])
            parts.append(
                cls(
                    row=row + first,
                    column=column,
                    significance=gain * values / excess,
                    excess=excess,
                    amplitude=gain * amplitude,
                    error=error,
                    coverage=coverage,
                    sharpness=sharp / (gain * values * noise),
                    breadth=maps.broad[row, column] * broad_noise / (gain * values * noise),
                    broad=np.full(number, name == "broad"),
                    wide=(maps.broad[row, column] >= values + WIDER) | (name == "broad"),
                    group=np.zeros(number, int),
                )
            )
        return cls.joined(parts)

    @classmethod
    def joined(cls, parts: Sequence[Peaks]) -> Peaks:
        """Make one list of several."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})

    def calibrated(self) -> Peaks:
        """Return the peaks with noise over that of blank sky as it is at peaks of noise."""
        faint = self.significance * self.excess < NOISE
        typical = np.median(self.excess[faint]) if faint.any() else 1.0
        excess = np.maximum(self.excess / typical, 1)
        return replace(self, excess=excess, significance=self.significance * self.excess / excess)

    def in_groups(self, rank: np.ndarray) -> Peaks:
        """Return the peaks by groups that are numbered anew: stars first, bright ones first."""
        group = rank[self.group].astype(int)
        order = np.lexsort((self.column, self.row, -self.significance, self.broad, group))
        peaks = self[order]
        peaks.group = group[order]
        return peaks


def _seen(significance, maps, image, places):
    """Return coverage and height in the narrow filter at peaks of an image, see `Peaks`."""
    corner, kernels = (maps.top, maps.left), significance.kernels
    described, shape = np.empty((len(places), 4)), np.empty((len(places), 2))
    planes = maps.data, maps.err, maps.weight
    matched_filter.describe(*planes, kernels["broad"], places + corner, described)
    narrow = np.empty_like(image)
    planes = maps.data, maps.weight
    matched_filter.weighted_near(*planes, kernels["narrow"], *corner, places, narrow)
    matched_filter.heights(image, narrow, places, shape)
    return described[:, 3], shape[:, 1]


def list_peaks(image: np.ndarray, threshold: float, rows: slice) -> np.ndarray:
    """Return rows and columns of the peaks in some rows of an image: (n, 2)."""
    room = 1000
    while True:
        found = np.empty((room, 2), int)
        room = matched_filter.peaks(image, np.float32(threshold), rows.start, rows.stop, found)
        if room <= len(found):
            return found[:room]


def offsets(image, y, x, dy, dx):
    """Return by how much peaks are off their pixels along an axis, by parabolas."""
    ny, nx = image.shape
    before, after = (
        image[(y + k * dy).clip(0, ny - 1), (x + k * dx).clip(0, nx - 1)].astype(float)
        for k in (-1, 1)
    )
    curvature = 2.0 * image[y, x] - before - after
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(((after - before) / (2.0 * curvature)).clip(-0.49, 0.49))


def star_shape(psf: PointSpread) -> tuple[float, float]:
    """Return sharpness and breadth of stars without noise, see `Peaks`.

    As they are measured, on average over places in a pixel: peaks are higher than parabolas tell.
    """
    kernels = [kernel(scale * psf.filter_fwhm) for scale in SCALES.values()]
    small = psf.cut(2 * max(map(len, kernels)))
    offsets = (np.arange(PHASES) + 0.5) / PHASES - 0.5
    found = []
    for dy, dx in ((dy, dx) for dy in offsets for dx in offsets):
        image = small.stamp(dx, dy).astype(np.float32)
        weight, maps = np.ones_like(image), np.empty((3, 2, *image.shape), np.float32)
        for each, (out, flux) in zip(kernels, maps, strict=True):
            matched_filter.weighted(image, weight, each, 0, out, flux)
        star, broad, narrow = maps[:, 0]
        row, column = np.unravel_index(np.argmax(star), star.shape)
        out = np.empty((1, 2))
        matched_filter.heights(star, narrow, np.array([[row, column]]), out)
        gain, sharp = out[0]
        found.append(np.array([sharp, broad[row, column]]) / (gain * star[row, column]))
    sharpness, breadth = np.mean(found, axis=0)
    return float(sharpness), float(breadth)


def shape_errors(psf: PointSpread) -> tuple[float, float]:
    """Return the relative errors of sharpness and breadth of a star of significance 1.

    Of the ratio of two filtered images, which share much of their noise.
    """
    widths = [scale * psf.filter_fwhm for scale in SCALES.values()]
    star, broad, narrow = (psf.efficiency(width) for width in widths)
    found = []
    for other, width in ((narrow, widths[2]), (broad, widths[1])):
        gain = other / star
        common = psf.shared_noise(widths[0], width)
        found.append(float(np.sqrt(1 + 1 / gain**2 - 2 * common / gain)))
    return found[0], found[1]
