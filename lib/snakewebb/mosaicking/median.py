"""The median of a product's exposures.

It is made a band of rows at a time, and does not depend on how it is cut into bands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import NormalDist

import numpy as np

from snakewebb.errors import InputError
from snakewebb.io.dq import DO_NOT_USE, bad_mask
from snakewebb.io.planes import INVALIDATED, invalidate, read_planes
from snakewebb.kernels.median import REACH, choose_of_two, median_of_windows, weighted_means
from snakewebb.mosaicking.drizzle import (
    POINT_PIXFRAC,
    Input,
    check_options,
    drizzle_exposure,
    reach_of,
    read_exposure,
    weights,
)
from snakewebb.wcs.grid import Grid, mean_pixel_side
from snakewebb.wcs.pixel_map import PixelMap

Window = tuple[int, int, int, int]
"""First and last (excluded) row and column."""


@dataclass(frozen=True, kw_only=True)
class MedianOptions:
    """How the median is taken, after jwst's ``outlier_detection``.

    Attributes
    ----------
    weight_type, pixfrac, kernel, good_bits
        See `snakewebb.mosaicking.resample.drizzle_band`.
    maskpt : float
        A pixel counts if it has at least this fraction of the exposure's typical weight.
    resample_data : bool
        If False, the median is of the exposures as they are, pixel by pixel of the detector.
    """

    weight_type: str = "ivm"
    pixfrac: float = 1.0
    kernel: str = "square"
    maskpt: float = 0.7
    good_bits: str | int | None = "~DO_NOT_USE"
    resample_data: bool = True


def median_band(
    exposures: Sequence[Input],
    typical: Mapping[str, Mapping[str, float]],
    grid: Grid,
    rows: slice,
    how: MedianOptions = MedianOptions(),
) -> np.ndarray:
    """Return some rows of the median of a product's exposures, not yet chosen of just two values.

    An exposure is drizzled and held on no more than the part of the band that it covers, one at a
    time. The detectors of one group never overlap, so that the median of exposures is that of
    groups.

    Parameters
    ----------
    exposures : sequence of Input
        At least those that fall on the band.
    typical : mapping
        By exposure name, what `snakewebb.mosaicking.weights.typical_weights` found.
    grid : Grid
        That of the inputs' pixel maps.
    rows : slice
        Output rows of the band; of the detector if not ``how.resample_data``.
    how : MedianOptions, optional

    Returns
    -------
    (4, h, nx) float32
        Twice the median; but of just two values, of which neither has a majority against it, the
        lower and the higher one. Then the median of all values but the highest, and a standard
        deviation that tells how far they differ: their range, without the highest eighth, over
        `noise_range`. See `snakewebb.kernels.median.median_of_windows`, and `chosen`.

    Raises
    ------
    InputError
        See `drizzle_band`; or exposures to be compared on the detector differ in shape.
    """
    if not how.resample_data:
        return _detector_median(exposures, typical, rows, how)
    check_options(how.kernel, how.weight_type, how.pixfrac)
    start, stop, _ = rows.indices(grid.shape[0])
    bounds = [exposure.pixel_map.bounds() for exposure in exposures]
    windows = [(max(y0, start), min(y1, stop), x0, x1) for x0, x1, y0, y1 in bounds]
    pairs = zip(exposures, windows, strict=True)
    found = [(exposure, w) for exposure, w in pairs if w[0] < w[1] and w[2] < w[3]]
    drop = 0.0 if how.kernel == "point" else how.pixfrac
    kernel = "point" if how.pixfrac <= POINT_PIXFRAC else how.kernel
    bad_bits = bad_mask(how.good_bits) | DO_NOT_USE

    def fill(exposure: Input, window: Window, out: np.ndarray) -> None:
        top, bottom, first, _ = window
        out[:] = np.nan
        found = read_exposure(exposure, top, bottom, reach_of(kernel, grid))
        if found is None:
            return
        planes, x, y = found
        weight, _ = weights(exposure, planes, how.weight_type, bad_bits)
        expected = _spread(typical[exposure.name][how.weight_type], exposure.pixel_map, drop)
        least = np.float32(how.maskpt * expected)
        for sums, row, column in drizzle_exposure(
            exposure, [planes["SCI"]], weight, x, y, (top, bottom), kernel, how.pixfrac
        ):
            weighted_means(sums, row - top, column - first, least, out)

    return _median(found, (start, 0), (stop - start, grid.shape[1]), fill)


def chosen(bands: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Choose one of just two values, in bands of rows that follow one another.

    What is around a pixel decides, in its own band and the next ones, so rows wait until those are
    there.

    Parameters
    ----------
    bands : iterable of (4, h, nx) float32
        Of `median_band`, without gaps.

    Yields
    ------
    (h, 3, nx) float32
        The median (see `snakewebb.kernels.median.choose_of_two`), that of all values but the
        highest, and how far these differ, row by row, in bands of other heights. Of two values
        both medians are the one that was chosen, and they differ by 0.
    """
    kept, done = None, 0
    for band in chain(bands, [None]):
        if band is not None:
            kept = band if kept is None else np.concatenate((kept, band), axis=1)
        if kept is None:
            return
        stop = kept.shape[1] - (REACH if band is not None else 0)
        if stop > done:
            median = np.empty((stop - done, kept.shape[2]), np.float32)
            choose_of_two(kept[0], kept[1], done, median)
            others, spread = kept[2:, done:stop]
            yield np.stack((median, np.where(np.isnan(others), median, others), spread), axis=1)
            kept = kept[:, max(stop - REACH, 0) :]
            done = min(stop, REACH)


def noise_range(number: int) -> float:
    """Return the range that noise hardly exceeds, between the lowest value and a high one.

    Of Gaussian values of standard deviation 1, the high one is the highest but one, and but an
    eighth of all: few of many are struck. The mean of the range is that of its ends (Blom 1958,
    Statistical Estimates and Transformed Beta-Variables), to which its standard deviation is added
    (David & Johnson 1954, Biometrika 41, 228); one in six is greater.

    Parameters
    ----------
    number : int
        Of values; infinity for fewer than three.
    """
    if number < 3:
        return np.inf
    normal, ranks = NormalDist(), (1, number - 1 - number // 8)
    bottom, top = (normal.inv_cdf((rank - 0.375) / (number + 0.25)) for rank in ranks)
    p, q = (rank / (number + 1) for rank in ranks)
    a, b = (normal.pdf(normal.inv_cdf(share)) for share in (p, q))
    variance = p * (1 - p) / a**2 + q * (1 - q) / b**2 - 2 * p * (1 - q) / (a * b)
    return top - bottom + float(np.sqrt(variance / (number + 2)))


def _spread(weight: float, pixel_map: PixelMap, pixfrac: float) -> float:
    """Return the mean weight of the output pixels that input pixels of equal weight reach.

    The weight of an input pixel is spread over its area, s² output pixels, and lies on those that
    its drop touches: all of them, if drops of side s pixfrac leave no gap of an output pixel.
    """
    side = mean_pixel_side(pixel_map.geometry) / pixel_map.grid.cdelt
    return weight / min(side, 1 + pixfrac * side) ** 2


def _detector_median(
    exposures: Sequence[Input],
    typical: Mapping[str, Mapping[str, float]],
    rows: slice,
    how: MedianOptions,
) -> np.ndarray:
    """Return some detector rows of the median of exposures."""
    shape = exposures[0].pixel_map.geometry.shape
    for exposure in exposures:
        if exposure.pixel_map.geometry.shape != shape:
            raise InputError(
                f"{exposure.name}: has shape {exposure.pixel_map.geometry.shape}, but "
                f"{exposures[0].name} {shape}: set outlier_detection.resample_data to true"
            )

    def fill(exposure: Input, window: Window, out: np.ndarray) -> None:
        assert not isinstance(exposure.source, dict)  # a product's exposures are files
        planes = read_planes(exposure.source, ("DQ", *INVALIDATED), rows)
        invalidate(planes)
        sci, dq, variance = (planes[name] for name in ("SCI", "DQ", "VAR_RNOISE"))
        if dq is not None:
            sci[(dq & np.uint32(bad_mask(how.good_bits))) != 0] = np.nan
        if how.weight_type == "ivm" and variance is not None:
            sci[variance * (how.maskpt * typical[exposure.name]["ivm"]) > 1] = np.nan
        out[:] = sci

    start, stop, _ = rows.indices(shape[0])
    window = start, stop, 0, shape[1]
    found = [(exposure, window) for exposure in exposures]
    return _median(found, (start, 0), (stop - start, shape[1]), fill)


def _median(
    exposures: Sequence[tuple[Input, Window]],
    corner: tuple[int, int],
    shape: tuple[int, int],
    fill: Callable[[Input, Window, np.ndarray], None],
) -> np.ndarray:
    """Return the medians of exposures that each cover a window, filled one at a time."""
    windows = [window for _, window in exposures]
    table = np.empty((len(windows), 5), np.int64)
    table[:, :4] = np.reshape(windows, (-1, 4)) - np.repeat(corner, 2)
    sizes = [(bottom - top) * (right - left) for top, bottom, left, right in windows]
    ends = np.cumsum(sizes, dtype=np.int64)
    table[:, 4] = ends - sizes
    values = np.empty(sum(sizes), np.float32)
    for (exposure, window), size, end in zip(exposures, sizes, ends, strict=True):
        height = window[1] - window[0]
        fill(exposure, window, values[end - size : end].reshape(height, -1))
    medians = np.empty((4, *shape), np.float32)
    ranges = np.array([noise_range(number) for number in range(len(windows) + 1)])
    median_of_windows(values, table, ranges, *medians)
    return medians
