"""Outliers: what one exposure sees and the others of the same sky don't, such as cosmic rays.

Each exposure is compared with the median of all, sampled where its pixels fall (Fruchter & Hook
2002, PASP 114, 144, section 4; JWST documentation, "outlier_detection"). The median is made a band
of rows at a time, and does not depend on how it is cut into bands.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from snakewebb.dq import bad_mask
from snakewebb.errors import InputError
from snakewebb.exposure import INVALIDATED, Planes, invalidate, read_planes
from snakewebb.grid import Grid, PixelMap, mean_pixel_side
from snakewebb.kernels.median import median_of_windows
from snakewebb.kernels.outliers import blot, flag
from snakewebb.resample import Input, drizzle_band

log = logging.getLogger(__name__)

TILE_ROWS = 64
"""The coordinates of so many rows stay in the second-level cache."""


Window = tuple[int, int, int, int]
"""First and last (excluded) row and column."""


def reason_to_skip(groups: Sequence[str], *, resample_data: bool = True) -> str | None:
    """Return why exposures of the given groups cannot be compared; None if they can.

    Groups are compared on the sky; exposures, if not `resample_data`, on the detector.
    """
    if len(groups) < 2:
        return "there is one exposure only"
    if resample_data and len(set(groups)) < 2:
        return "all exposures are of one group"
    return None


def median_band(
    exposures: Sequence[Input],
    typical: Mapping[str, Mapping[str, float]],
    grid: Grid,
    rows: slice,
    *,
    weight_type: str = "ivm",
    pixfrac: float = 1.0,
    kernel: str = "square",
    maskpt: float = 0.7,
    good_bits: str | int | None = "~DO_NOT_USE",
    resample_data: bool = True,
) -> np.ndarray:
    """Return some rows of the median of a product's exposures.

    An exposure is drizzled and held on no more than the part of the band that it covers, one at a
    time. The detectors of one group never overlap, so that the median of exposures is that of
    groups.

    Parameters
    ----------
    exposures : sequence of Input
        At least those that fall on the band.
    typical : mapping
        By exposure name, what `typical_weights` found.
    grid : Grid
        That of the inputs' pixel maps.
    rows : slice
        Output rows of the band; of the detector if not `resample_data`.
    weight_type, pixfrac, kernel, good_bits
        See `snakewebb.resample.drizzle_band`.
    maskpt : float, optional
        A pixel counts if it has at least this fraction of the exposure's typical weight.
    resample_data : bool, optional
        If False, the median is of the exposures as they are, pixel by pixel of the detector.

    Returns
    -------
    (h, nx) float32
        The median; of an even number of values the mean of the central ones, but of just two the
        smaller: one of two exposures has no majority against it, and cosmic rays add light. NaN
        where there is no value.

    Raises
    ------
    InputError
        See `drizzle_band`; or exposures to be compared on the detector differ in shape.
    """
    if not resample_data:
        return _detector_median(exposures, typical, rows, weight_type, maskpt, good_bits)
    start, stop, _ = rows.indices(grid.shape[0])
    bounds = [exposure.pixel_map.bounds() for exposure in exposures]
    windows = [(max(y0, start), min(y1, stop), x0, x1) for x0, x1, y0, y1 in bounds]
    pairs = zip(exposures, windows, strict=True)
    found = [(exposure, w) for exposure, w in pairs if w[0] < w[1] and w[2] < w[3]]
    drop = 0.0 if kernel == "point" else pixfrac

    def mosaic(exposure: Input, window: Window) -> np.ndarray:
        top, bottom, *columns = window
        cropped = _cropped(exposure, *columns)
        band = drizzle_band(
            [cropped],
            cropped.pixel_map.grid,
            slice(top, bottom),
            pixfrac=pixfrac,
            kernel=kernel,
            weight_type=weight_type,
            good_bits=good_bits,
            enable_err=False,
            enable_ctx=False,
        )
        weight = _spread(typical[exposure.name][weight_type], cropped.pixel_map, drop)
        band.sci[(band.wht < maskpt * weight) | (band.wht == 0)] = np.nan
        return band.sci

    return _median(
        (mosaic(exposure, window) for exposure, window in found),
        [(top - start, bottom - start, *columns) for _, (top, bottom, *columns) in found],
        (stop - start, grid.shape[1]),
    )


def _cropped(exposure: Input, left: int, right: int) -> Input:
    """Return an exposure on some columns of its grid."""
    grid = exposure.pixel_map.grid
    crpix = grid.crpix[0] - left, grid.crpix[1]
    part = replace(grid, crpix=crpix, shape=(grid.shape[0], right - left))
    return replace(exposure, pixel_map=PixelMap(exposure.pixel_map.geometry, part))


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
    weight_type: str,
    maskpt: float,
    good_bits: str | int | None,
) -> np.ndarray:
    """Return some detector rows of the median of exposures."""
    shape = exposures[0].pixel_map.geometry.shape
    for exposure in exposures:
        if exposure.pixel_map.geometry.shape != shape:
            raise InputError(
                f"{exposure.name}: has shape {exposure.pixel_map.geometry.shape}, but "
                f"{exposures[0].name} {shape}: set outlier_detection.resample_data to true"
            )

    def image(exposure: Input) -> np.ndarray:
        planes = read_planes(exposure.source, ("DQ", *INVALIDATED), rows)
        invalidate(planes)
        sci, dq, variance = (planes[name] for name in ("SCI", "DQ", "VAR_RNOISE"))
        if dq is not None:
            sci[(dq & np.uint32(bad_mask(good_bits))) != 0] = np.nan
        if weight_type == "ivm" and variance is not None:
            sci[variance * (maskpt * typical[exposure.name]["ivm"]) > 1] = np.nan
        return sci

    start, stop, _ = rows.indices(shape[0])
    window = 0, stop - start, 0, shape[1]
    return _median(map(image, exposures), [window] * len(exposures), (stop - start, shape[1]))


def _median(
    images: Iterable[np.ndarray], windows: Sequence[Window], shape: tuple[int, int]
) -> np.ndarray:
    """Return the median of images, taken one at a time, that each cover a window."""
    sizes = [(bottom - top) * (right - left) for top, bottom, left, right in windows]
    ends = np.cumsum(sizes, dtype=np.int64)
    values = np.empty(sum(sizes), np.float32)
    for image, size, end in zip(images, sizes, ends, strict=True):
        values[end - size : end] = image.ravel()
    table = np.column_stack((np.reshape(windows, (-1, 4)), ends - sizes)).astype(np.int64)
    median = np.empty(shape, np.float32)
    median_of_windows(values, table, median)
    return median


def flag_outliers(
    planes: Planes,
    pixel_map: PixelMap,
    read_median: Callable[[int, int], np.ndarray],
    sky_level: float | None,
    *,
    snr: str = "5.0 4.0",
    scale: str = "1.2 0.7",
    backg: float = 0.0,
    resample_data: bool = True,
) -> np.ndarray:
    """Flag the pixels of an exposure that differ from the median of all.

    Parameters
    ----------
    planes : dict
        SCI and ERR of the exposure; see `snakewebb.exposure.invalidate`.
    pixel_map : PixelMap
        From the exposure's pixels to the grid of the median.
    read_median : callable
        ``read_median(start, stop)`` returns rows start to stop (excluded) of what `median_band`
        made, (stop - start, nx) float32.
    sky_level : float or None
        The sky in ``planes``, in their units, where it was matched and not subtracted.
    snr : str, optional
        Two multiples of the error: for outliers that stand out, and for those next to them.
    scale : str, optional
        Two multiples of the median's steepness, in the same order, that are allowed for.
    backg : float, optional
        The sky if `sky_level` is None.
    resample_data : bool, optional
        Whether the median was made on the sky; if not, only the first number of `snr` counts, and
        no sky is taken off.

    Returns
    -------
    (ny, nx) bool

    Raises
    ------
    InputError
        `snr` or `scale` is not two numbers, or the exposure has no ERR.
    """
    snr1, snr2 = _two_numbers("snr", snr)
    scale1, scale2 = _two_numbers("scale", scale)
    sci, err = planes["SCI"], planes["ERR"]
    if err is None:
        raise InputError("outlier_detection: an exposure has no ERR: fetch it again, or set skip")
    if resample_data:
        model = _blotted(pixel_map, read_median)
        background = backg if sky_level is None else sky_level
        flagged = np.empty(sci.shape, bool)
        flag(sci, err, model, background, snr1, snr2, scale1, scale2, flagged)
    else:
        flagged = np.abs(sci - read_median(0, sci.shape[0])) > snr1 * np.nan_to_num(err)
    log.info("%d pixels flagged, %.3f %%", flagged.sum(), 100 * flagged.mean())
    return flagged


def _two_numbers(name: str, text: str) -> tuple[float, float]:
    try:
        first, second = map(float, str(text).split())
    except ValueError:
        raise InputError(
            f"outlier_detection.{name}: {text!r} is not two numbers: write them as in '5.0 4.0'"
        ) from None
    return first, second


def _blotted(pixel_map: PixelMap, read_median: Callable[[int, int], np.ndarray]) -> np.ndarray:
    """Return the median sampled at an exposure's pixels, NaN outside its bounding box."""
    left, right, top, bottom = pixel_map.bounds()
    window = np.ascontiguousarray(read_median(top, bottom)[:, left:right])
    model = np.full(pixel_map.geometry.shape, np.nan, np.float32)
    columns, rows = (
        slice(max(int(np.ceil(low)), 0), min(int(np.floor(high)) + 1, n))
        for (low, high), n in zip(pixel_map.geometry.bounding_box, model.shape[::-1], strict=True)
    )
    x = np.arange(columns.start, columns.stop)
    for start in range(rows.start, rows.stop, TILE_ROWS):
        stop = min(start + TILE_ROWS, rows.stop)
        u, v = pixel_map.lattice(x, np.arange(start, stop))
        tile = np.empty(u.shape, np.float32)
        blot(window, top, left, pixel_map.grid.shape, u, v, tile)
        model[start:stop, columns] = tile
    return model
