"""Background exposures, combined and subtracted.

The mean of several exposures of empty sky without what only one of them has. jwst (3.0.0:
``bkg_subtract``) clips by the standard deviation of the few values of a pixel, which a single
outlier among less than 8 never exceeds threefold; here a value is compared with its own error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from snakewebb.io.bands import row_bands
from snakewebb.io.dq import ALL, DO_NOT_USE
from snakewebb.io.planes import Planes, invalidate

MEASURED = ("VAR_POISSON", "VAR_RNOISE")
"""Variances of a count rate."""
MAD_TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


@dataclass(frozen=True)
class BackgroundOptions:
    """How background exposures are combined.

    Attributes
    ----------
    sigma : float
        A value that is so many times its error from the median is left out.
    maxiters : int or None
        How often at most; None until nothing changes.
    """

    sigma: float = 3.0
    maxiters: int | None = None


@dataclass(frozen=True)
class Stack:
    """The same pixels in several exposures or integrations, combined.

    Attributes
    ----------
    planes : dict
        SCI, ERR, DQ and those of ``MEASURED`` that all have, (ny, nx). A pixel without a value is
        NaN and DO_NOT_USE.
    used, rejected : int
        Values, of all pixels, that are in the means, and that were left out as outliers.
    """

    planes: Planes
    used: int
    rejected: int


def combine(
    planes: Planes,
    how: BackgroundOptions = BackgroundOptions(),
    sources: np.ndarray | None = None,
    levels: Sequence[float] | None = None,
) -> Stack:
    """Average exposures, or integrations, pixel by pixel, without outliers.

    What is flagged DO_NOT_USE or no number is not used. An outlier is further from the median than
    `sigma` times the larger of its error and 1.4826 times the median absolute deviation. Of two
    values the lower is taken for the median, since cosmic rays and stars only add light, and the
    error is that of their difference.

    Exposures are shifted to the mean of their levels first: else a mean would depend on which of
    them are in it. Where the response of a pixel is another than the mean, as far as its median
    over the mean level tells, that leaves a part of the shift, which adds to the error in
    quadrature; all of it at most.

    Variances are those of the mean. A flag stays that all values in a mean have; DO_NOT_USE comes
    where there is none.

    Parameters
    ----------
    planes : dict
        SCI, ERR, DQ, maybe VAR_POISSON and VAR_RNOISE, (n, ny, nx) each.
    how : BackgroundOptions, optional
    sources : (n, ny, nx) bool, optional
        Where there is a source: not used if there is another value without.
    levels : (n,) sequence of float, optional
        Of the sky in the exposures.
    """
    sci, err, dq = (planes[name] for name in ("SCI", "ERR", "DQ"))
    usable = np.isfinite(sci) & np.isfinite(err) & ((dq & DO_NOT_USE) == 0)
    if sources is not None:
        clear = usable & ~sources
        usable = np.where(clear.any(axis=0), clear, usable)
    level = np.zeros(len(sci)) if levels is None else np.asarray(levels, float)
    mean = float(level.mean())
    shifts = (mean - level).astype(np.float32)[:, None, None]
    sci = sci + shifts
    kept = _without_outliers(sci, err, usable, how, shifts, mean)
    number = kept.sum(axis=0)
    combined: Planes = {}
    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0: NaN
        combined["SCI"] = _total(sci, kept) / number
        combined["ERR"] = np.sqrt(_total(err**2, kept)) / number
        for name in MEASURED:
            if name in planes:
                combined[name] = _total(planes[name], kept) / number**2
    combined = {name: plane.astype(np.float32) for name, plane in combined.items()}
    none = number == 0
    flags = np.bitwise_and.reduce(np.where(kept | none, dq, np.uint32(ALL)), axis=0)
    flags[none] |= DO_NOT_USE
    combined["DQ"] = flags
    return Stack(combined, int(number.sum()), int(usable.sum() - number.sum()))


def subtract(planes: Planes, background: Planes) -> None:
    """Subtract a combined background from an exposure, in place.

    Its variances are added to those of the exposure, and its flags. Where it has no value, the
    exposure gets none, either.

    Parameters
    ----------
    planes : dict
        Of an image, or a cube of them.
    background : dict
        Planes of a `Stack`, on the same pixels.
    """
    added = {name: background[name] for name in MEASURED if name in background}
    if not added:
        added = {"VAR_RNOISE": background["ERR"] ** 2}
    for rows, band in row_bands(planes):
        with np.errstate(invalid="ignore", over="ignore"):  # see `invalidate`
            band["SCI"] -= background["SCI"][rows]
            if "ERR" in band:
                np.hypot(band["ERR"], background["ERR"][rows], out=band["ERR"])
            for name in added:
                if name in band:
                    band[name] += added[name][rows]
        band["DQ"] |= background["DQ"][rows]
        invalidate(band)


def _total(plane: np.ndarray, kept: np.ndarray) -> np.ndarray:
    return np.asarray(np.sum(plane, axis=0, where=kept, dtype=np.float64))


def _without_outliers(
    sci: np.ndarray,
    err: np.ndarray,
    usable: np.ndarray,
    how: BackgroundOptions,
    shifts: np.ndarray,
    level: float,
) -> np.ndarray:
    """Return which values are no outliers, (n, ny, nx); see `combine`."""
    number, *shape = sci.shape
    values, errors = (plane.reshape(number, -1) for plane in (sci, err))
    kept = usable.reshape(number, -1).copy()
    at = np.flatnonzero(kept.sum(axis=0) > 1)
    passes = 0
    while len(at) and (how.maxiters is None or passes < how.maxiters):
        inside, some = kept[:, at], values[:, at]
        centre, noise = _median(some, inside), errors[:, at] ** 2
        if level > 0 and shifts.any():
            noise += (shifts[:, 0] * np.clip(centre / np.float32(level) - 1, -1, 1)) ** 2
        off = _outliers(np.abs(some - centre), noise, inside, how.sigma)
        kept[:, at] = inside & ~off
        at = at[off.any(axis=0) & ((inside & ~off).sum(axis=0) > 1)]
        passes += 1
    return kept.reshape(number, *shape)


def _outliers(
    deviation: np.ndarray, noise: np.ndarray, inside: np.ndarray, sigma: float
) -> np.ndarray:
    """Return which values of columns deviate from their medians too much."""
    pair = inside.sum(axis=0) == 2
    both = np.sum(noise, axis=0, where=inside)
    width = np.sqrt(np.where(pair, both, noise))
    spread = MAD_TO_SIGMA * _median(deviation, inside)
    return inside & (deviation > sigma * np.maximum(width, spread))


def _median(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return the medians of columns of which some values count; the lower one of two."""
    ordered = np.sort(np.where(inside, values, np.inf), axis=0)
    number = inside.sum(axis=0)
    low = (number - 1) // 2
    high = np.where(number == 2, low, number // 2)
    lower, upper = (np.take_along_axis(ordered, at[None], axis=0)[0] for at in (low, high))
    return 0.5 * (lower + upper)
