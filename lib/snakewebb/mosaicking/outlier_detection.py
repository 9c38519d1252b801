"""Outliers: what one exposure sees and the others of the same sky don't, such as cosmic rays.

Each exposure is compared with the median of all, sampled where its pixels fall (Fruchter & Hook
2002, PASP 114, 144, section 4; JWST documentation, "outlier_detection"), and where it lies above
that with the median of the others. The medians are made in :mod:`snakewebb.mosaicking.median`. A
pixel is judged by the noise that it would have without a hit
(:mod:`snakewebb.mosaicking.clean_noise`), and what its surroundings explain is no outlier
(:mod:`snakewebb.mosaicking.surroundings`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from snakewebb.errors import InputError
from snakewebb.io.dq import BITS
from snakewebb.io.groups import reason_alone
from snakewebb.io.planes import Planes
from snakewebb.kernels.outlier_detection import blot, find_candidates
from snakewebb.mosaicking.clean_noise import NoiseCurve, excess_variance
from snakewebb.mosaicking.surroundings import Surroundings
from snakewebb.wcs.grid import mean_pixel_side
from snakewebb.wcs.pixel_map import PixelMap

log = logging.getLogger(__name__)

TILE_ROWS = 64
"""The coordinates of so many rows stay in the second-level cache."""
QUIETEST = 0.7
"""Noise of the quietest pixels over that of most."""
TOLERANCE = 1.2
"""Variance over what is expected, up to which it is a pixel's own."""
SHORT_RAMP = BITS["SATURATED"] | BITS["CHARGELOSS"]
"""Flags that tell why a pixel's errors are larger than those of others."""
MAS = 3.6e6
"""A degree."""
UNKNOWN_ALIGNMENT = 0.1
"""Pixels by which exposures may be off each other if nothing was measured."""
WORST_ALIGNMENT = 0.25
"""The same if more was measured: false matches tell nothing, and must not hide all there is."""


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
    others: Iterable[np.ndarray] = (),
    alignment_rms: float | None = None,
) -> np.ndarray:
    """Flag the pixels of an exposure that differ from the median of all.

    Parameters
    ----------
    planes : dict
        SCI and ERR of the exposure, DQ and VAR_RNOISE if it has them; see
        `snakewebb.io.planes.invalidate`.
    pixel_map : PixelMap
        From the exposure's pixels to the grid of the median.
    read_median : callable
        ``read_median(rows, columns)`` returns what `snakewebb.jobs.median.write_median` wrote
        there, float32.
    sky_level : float or None
        The sky in ``planes``, in their units, where it was matched and not subtracted.
    how : OutlierOptions, optional
    others : iterable of (ny, nx) float32, optional
        VAR_RNOISE of other exposures of the same pixels; ERR if this one has no VAR_RNOISE.
    alignment_rms : float, optional
        Of the exposure's stars against those of others, mas; if it was measured.

    Returns
    -------
    (ny, nx) bool

    Raises
    ------
    InputError
        ``snr`` or ``scale`` is not two numbers, or the exposure has no ERR.
    """
    snr = _two_numbers("snr", how.snr)
    scale = _two_numbers("scale", how.scale)
    sci, err = planes["SCI"], planes["ERR"]
    if err is None:
        raise InputError("outlier_detection: an exposure has no ERR: fetch it again, or set skip")
    if how.resample_data:
        medians = _Medians(pixel_map, read_median)
        models = medians.blotted()
        background = how.backg if sky_level is None else sky_level
    else:
        models = read_median(*map(slice, sci.shape))[:, :2].swapaxes(0, 1)
        models = np.ascontiguousarray(models, np.float32)
        background, snr, scale = 0.0, (snr[0], snr[0]), (0.0, 0.0)
    curve = NoiseCurve.measure(models[0], err)
    found = np.empty(sci.shape, bool)
    find_candidates(sci, err, models, background, QUIETEST * curve.least**0.5, min(snr), found)
    places = np.flatnonzero(found)
    value = sci.ravel()[places] - background
    around = Surroundings(models, places, value > models[0].ravel()[places])
    noise = _clean_noise(planes, curve(around.model), others, places)
    off = np.abs(value - around.model)
    some = np.flatnonzero(off > min(snr) * noise)
    places, around, noise, off = places[some], around.take(some), noise[some], off[some]
    steepness = around.steepness()
    first, second = (off > k * steepness + s * noise for k, s in zip(scale, snr, strict=True))
    if how.resample_data:
        misaligned = UNKNOWN_ALIGNMENT
        if alignment_rms is not None:
            measured = alignment_rms / MAS / mean_pixel_side(pixel_map.geometry)
            misaligned = min(measured, WORST_ALIGNMENT)
        some = np.flatnonzero(first | second)
        spread = medians.spread(places[some])
        off[some] -= around.take(some).explain(sci, noise[some], misaligned, spread)
        first, second = first & (off > snr[0] * noise), second & (off > snr[1] * noise)
    flagged = np.zeros(sci.shape, bool)
    flagged.ravel()[places[first]] = True
    flagged.ravel()[places] = second & around.near(flagged)
    log.info("%d pixels flagged, %.3f %%", flagged.sum(), 100 * flagged.mean())
    return flagged


def _clean_noise(
    planes: Planes, typical: np.ndarray, others: Iterable[np.ndarray], places: np.ndarray
) -> np.ndarray:
    """Return the noise that pixels would have if nothing had struck them.

    ``typical`` is the variance of most pixels of the same brightness.
    """
    own = planes["ERR"].ravel()[places].astype(float) ** 2
    variance = planes.get("VAR_RNOISE")
    if variance is None:
        variance, others = planes["ERR"] ** 2, (np.square(err, dtype=float) for err in others)
    clean = typical + excess_variance(variance, others, places)
    clean = np.maximum(clean, QUIETEST**2 * typical)
    inflated = own > TOLERANCE * clean
    if planes.get("DQ") is not None:
        inflated &= (planes["DQ"].ravel()[places] & np.uint32(SHORT_RAMP)) == 0
    return np.sqrt(np.where(inflated, clean, own))


def _two_numbers(name: str, text: str) -> tuple[float, float]:
    try:
        first, second = map(float, str(text).split())
    except ValueError:
        raise InputError(
            f"outlier_detection.{name}: {text!r} is not two numbers: write them as in '5.0 4.0'"
        ) from None
    return first, second


class _Medians:
    """What of the medians an exposure sees."""

    def __init__(
        self, pixel_map: PixelMap, read_median: Callable[[slice, slice], np.ndarray]
    ) -> None:
        self._map, self._read = pixel_map, read_median
        self._left, right, self._top, bottom = pixel_map.bounds()
        self._part = slice(self._top, bottom), slice(self._left, right)

    def blotted(self) -> np.ndarray:
        """Return the medians at the exposure's pixels, NaN outside its bounding box."""
        geometry, shape = self._map.geometry, self._map.grid.shape
        window = np.ascontiguousarray(self._read(*self._part)[:, :2], np.float32)
        models = np.empty((2, *geometry.shape), np.float32)
        columns, rows = (
            slice(max(int(np.ceil(low)), 0), min(int(np.floor(high)) + 1, n))
            for (low, high), n in zip(geometry.bounding_box, models.shape[:0:-1], strict=True)
        )
        for beside in (np.s_[: rows.start], np.s_[rows.stop :]):
            models[:, beside] = np.nan
        for beside in (np.s_[: columns.start], np.s_[columns.stop :]):
            models[:, :, beside] = np.nan
        x = np.arange(columns.start, columns.stop)
        for start in range(rows.start, rows.stop, TILE_ROWS):
            u, v = self._map.lattice(x, np.arange(start, min(start + TILE_ROWS, rows.stop)))
            blot(window, self._top, self._left, shape, u, v, start, columns.start, models)
        return models

    def spread(self, places: np.ndarray) -> np.ndarray:
        """Return how far the medians' values differ, at places where there is a median."""
        rows, columns = np.divmod(places, self._map.geometry.shape[1])
        u, v = self._map.points(columns, rows)
        x, y = u.astype(int), v.astype(int)
        dx, dy = u - x, v - y
        # Beyond the last pixel centre a mosaic goes on unchanged.
        ny, nx = self._map.grid.shape
        right, below = np.minimum(x + 1, nx - 1), np.minimum(y + 1, ny - 1)

        spread = self._read(*self._part)[:, 2]

        def at(y: np.ndarray, x: np.ndarray) -> np.ndarray:
            return spread[y - self._top, x - self._left].astype(float)

        upper = (1.0 - dx) * at(y, x) + dx * at(y, right)
        lower = (1.0 - dx) * at(below, x) + dx * at(below, right)
        return (1.0 - dy) * upper + dy * lower
