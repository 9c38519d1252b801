"""Outliers: what one exposure sees and the others of the same sky don't, such as cosmic rays.

Each exposure is compared with the median of all, sampled where its pixels fall (Fruchter & Hook
2002, PASP 114, 144, section 4; JWST documentation, "outlier_detection"). The median is made in
:mod:`snakewebb.mosaicking.median`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from snakewebb.errors import InputError
from snakewebb.io.groups import reason_alone
from snakewebb.io.planes import Planes
from snakewebb.kernels.outlier_detection import blot, flag
from snakewebb.wcs.pixel_map import PixelMap

log = logging.getLogger(__name__)

TILE_ROWS = 64
"""The coordinates of so many rows stay in the second-level cache."""


@dataclass(frozen=True, kw_only=True)
class OutlierOptions:
    """How outliers are flagged, after jwst's ``outlier_detection``.

    Attributes
    ----------
    snr : str
        Two multiples of the error: for outliers that stand out, and for those next to them.
    scale : str
        Two multiples of the median's steepness, in the same order, that are allowed for.
    backg : float
        The sky where none was matched.
    resample_data : bool
        Whether the median was made on the sky; if not, only the first number of ``snr`` counts,
        and no sky is taken off.
    """

    snr: str = "5.0 4.0"
    scale: str = "1.2 0.7"
    backg: float = 0.0
    resample_data: bool = True


def reason_to_skip(
    groups: Sequence[str], lost_target: str = "", *, resample_data: bool = True
) -> str | None:
    """Return why exposures of the given groups cannot be compared; None if they can.

    Groups are compared on the sky; exposures, if not `resample_data`, on the detector. A moving
    target that was not brought to rest on the sky is nowhere in the median: all of it would be
    flagged. With ``assign_mtwcs.skip`` it is, as was asked for: of stars that makes a clean mosaic.

    Parameters
    ----------
    groups : sequence of str
        Of each exposure.
    lost_target : str, optional
        Why a moving target was not brought to rest.
    resample_data : bool, optional
    """
    if not resample_data and len(groups) > 1:
        return None
    if lost_target:
        return f"the moving target, which is not aligned, would be flagged: {lost_target}"
    return reason_alone(groups)


def flag_outliers(
    planes: Planes,
    pixel_map: PixelMap,
    read_median: Callable[[slice, slice], np.ndarray],
    sky_level: float | None,
    how: OutlierOptions = OutlierOptions(),
) -> np.ndarray:
    """Flag the pixels of an exposure that differ from the median of all.

    Parameters
    ----------
    planes : dict
        SCI and ERR of the exposure; see `snakewebb.io.planes.invalidate`.
    pixel_map : PixelMap
        From the exposure's pixels to the grid of the median.
    read_median : callable
        ``read_median(rows, columns)`` returns what `snakewebb.jobs.median.write_median` wrote
        there, float32.
    sky_level : float or None
        The sky in ``planes``, in their units, where it was matched and not subtracted.
    how : OutlierOptions, optional

    Returns
    -------
    (ny, nx) bool

    Raises
    ------
    InputError
        ``snr`` or ``scale`` is not two numbers, or the exposure has no ERR.
    """
    snr1, snr2 = _two_numbers("snr", how.snr)
    scale1, scale2 = _two_numbers("scale", how.scale)
    sci, err = planes["SCI"], planes["ERR"]
    if err is None:
        raise InputError("outlier_detection: an exposure has no ERR: fetch it again, or set skip")
    if how.resample_data:
        model = _blotted(pixel_map, read_median)
        background = how.backg if sky_level is None else sky_level
        flagged = np.empty(sci.shape, bool)
        flag(sci, err, model, background, snr1, snr2, scale1, scale2, flagged)
    else:
        noise = np.where(err > 0, err, np.float32(np.inf))
        flagged = np.abs(sci - read_median(*map(slice, sci.shape))) > snr1 * noise
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


def _blotted(pixel_map: PixelMap, read_median: Callable[[slice, slice], np.ndarray]) -> np.ndarray:
    """Return the median sampled at an exposure's pixels, NaN outside its bounding box."""
    left, right, top, bottom = pixel_map.bounds()
    window = np.ascontiguousarray(read_median(slice(top, bottom), slice(left, right)))
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
