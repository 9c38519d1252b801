"""outlier_detection of coronagraphy: integrations compared with each other, on the detector.

There is a job for each exposure, reference or not, so it does without compiled kernels, which take
longer to load than NumPy takes to sort.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from snakewebb.errors import InputError
from snakewebb.io.dq import bad_mask
from snakewebb.io.headers import LIMITS, number, read_header, text

log = logging.getLogger(__name__)

FEW = 5
"""With fewer integrations, other exposures are asked too."""
HALF_BOX = 4
"""Half the side of the box round a pixel, in which the scatter is measured."""
TO_SIGMA = 1.4826
"""The standard deviation of a normal distribution over its median absolute value."""
AT_ONCE = 10_000
"""Pixels whose boxes are in memory together."""
REACH = 4
RINGS = np.array(
    [
        [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)],
        [(-3, -3), (-4, 0), (-3, 3), (0, -4), (0, 4), (3, -3), (4, 0), (3, 3)],
    ]
)
"""As in `snakewebb.kernels.median`, which is compiled."""
SAME_ROLL = 0.1
"""Degrees; a source stays on its pixel between exposures whose rolls differ by no more."""

Cube = tuple[np.ndarray, np.ndarray | None]


@dataclass(frozen=True, kw_only=True)
class OutlierOptions:
    """Parameters of the step outlier_detection for integrations.

    Attributes
    ----------
    skip : bool
        Whether nothing is flagged.
    good_bits : str, int or None
        Flags to ignore; a pixel with others does not enter the median.
    snr : str
        Multiples of the noise; only the first number counts.
    """

    skip: bool = False
    good_bits: str | int | None = "~DO_NOT_USE"
    snr: str = "5.0 4.0"


def flag_outliers(
    data: np.ndarray,
    err: np.ndarray,
    dq: np.ndarray | None,
    others: Sequence[Cube] = (),
    options: OutlierOptions = OutlierOptions(),
) -> np.ndarray:
    """Flag pixels that differ from the same pixel in other integrations.

    A pixel is an outlier where it is more than ``snr`` times its noise off the median over the
    integrations. Its noise is its error or, where that is more, the scatter about the median in
    the pixels round it: near the star the speckles change from one integration to the next.

    Parameters
    ----------
    data, err : (T, ny, nx)
        An exposure's integrations.
    dq : (T, ny, nx) uint32 or None
        Flags.
    others : sequence of (data, dq), optional
        Other exposures of the same star at the same roll, see `comparable`. They are asked too
        if there are fewer than ``FEW`` integrations; two are no majority, and one is none at all.
    options : OutlierOptions, optional

    Returns
    -------
    (T, ny, nx) bool

    Raises
    ------
    InputError
        ``snr`` is not made of numbers, or there is no `err`.
    """
    if err is None:
        raise InputError("outlier_detection: an exposure has no ERR: fetch it again, or set skip")
    try:
        threshold = float(options.snr.split()[0])
    except (ValueError, IndexError):
        raise InputError(
            f"outlier_detection.snr: {options.snr!r} is no number: write it as in '5.0 4.0'"
        ) from None
    own = _good(data, dq, options.good_bits)
    flagged = np.zeros(data.shape, bool)
    stacks = [own] if len(own) > 1 else []
    if len(own) < FEW and others:
        more = (_good(*other, options.good_bits) for other in others)
        stacks.append(np.concatenate([own, *more]))
    for stack in stacks:
        median = reference_image(stack)
        for k, image in enumerate(data):
            flagged[k] |= _deviating(image, err[k], median, threshold)
    log.info("%d pixels flagged, %.3f %%", flagged.sum(), 100 * flagged.mean())
    return flagged


def reference_image(stack: np.ndarray) -> np.ndarray:
    """Return the median over integrations (n, ny, nx) of what is not NaN; NaN where there is none.

    Of just two values it is the one that sticks out less from the pixels around it, as
    `snakewebb.kernels.median.choose_of_two` has it.
    """
    low, high, count = _central(stack)
    median = (low + high) / 2
    two = count == 2
    low, high = np.where(two, low, median), np.where(two, high, median)
    high[count < 2] = np.nan
    a, b = low[two].astype(np.float64), high[two].astype(np.float64)
    rows, columns = (index[:, None] + REACH for index in np.nonzero(two))
    lower, higher = (np.pad(image, REACH, constant_values=np.nan) for image in (low, high))
    below = above = np.zeros(len(a))
    for steps in RINGS:
        there = tuple(index + step for index, step in zip((rows, columns), steps.T, strict=True))
        known = ~np.isnan(higher[there])
        lowest = np.where(known, higher[there], np.inf).min(axis=1)
        highest = np.where(known, lower[there], -np.inf).max(axis=1)
        some = known.any(axis=1)
        below = below + np.where(some, np.maximum(lowest - a, 0), 0)
        above = above + np.where(some, np.maximum(b - highest, 0), 0)
    median[two] = np.where(below > above, b, a)
    return median


def local_scatter(
    deviations: np.ndarray, rows: np.ndarray, columns: np.ndarray, half: int
) -> np.ndarray:
    """Take the median of what is neither 0 nor NaN in a box round each of some pixels.

    Parameters
    ----------
    deviations : (ny, nx) float64
        Not negative.
    rows, columns : (n,) int
        The pixels; a pixel itself does not count.
    half : int
        Half the side of the box.

    Returns
    -------
    (n,) float64
        NaN where nothing counts.
    """
    known = np.where(deviations > 0, deviations, np.nan)
    around = sliding_window_view(
        np.pad(known, half, constant_values=np.nan), (2 * half + 1, 2 * half + 1)
    )
    scatter = np.empty(len(rows))
    for start in range(0, len(rows), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        boxes = around[rows[some], columns[some]]
        boxes[:, half, half] = np.nan
        scatter[some] = _median(boxes.reshape(len(boxes), -1).T)
    return scatter


def comparable(rolls: Sequence[float], stars: Sequence[str], index: int) -> list[int]:
    """Return the other exposures of the same star at the same roll.

    At another roll a companion would be on another pixel, and be taken for a cosmic ray.

    Parameters
    ----------
    rolls : sequence of float
        Of the exposures, degrees.
    stars : sequence of str
        Their targets' names.
    index : int
        The exposure in question.
    """
    return [
        k
        for k, (roll, star) in enumerate(zip(rolls, stars, strict=True))
        if k != index
        and star == stars[index]
        and abs((roll - rolls[index] + 180) % 360 - 180) <= SAME_ROLL
    ]


def neighbours(path: str | Path, others: Sequence[str | Path]) -> list[str | Path]:
    """Return those of other exposures that are of the same star at the same roll, from headers."""
    paths = [path, *others]
    known = []
    for each in paths:
        header = read_header(each)
        roll = number(header, "ROLL_REF", *LIMITS["ROLL_REF"], path=each)
        known.append((text(header, "TARGNAME", path=each) or "", roll or 0.0))
    stars, rolls = zip(*known, strict=True)
    return [paths[k] for k in comparable(rolls, stars, 0)]


def reason_to_skip(integrations: int, others: int) -> str | None:
    """Say why there is nothing to compare an exposure with; None if there is."""
    if integrations > 1 or others:
        return None
    return "one integration, and no other exposure of this star at this roll"


def _good(data: np.ndarray, dq: np.ndarray | None, good_bits: str | int | None) -> np.ndarray:
    """Return data, float32, NaN where they are bad."""
    bad = ~np.isfinite(data)
    if dq is not None:
        bad |= (dq & np.uint32(bad_mask(good_bits))) != 0
    return np.where(bad, np.float32(np.nan), data).astype(np.float32)


def _median(values: np.ndarray) -> np.ndarray:
    """Return the median along the first axis of what is not NaN, NaN where nothing is.

    NumPy's own is ten times slower, and warns.
    """
    low, high, _ = _central(values)
    return (low + high) / 2


def _central(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the two central values along the first axis, one twice of an odd number, and it."""
    ordered = np.sort(values, axis=0)  # NaN come last
    count = (~np.isnan(ordered)).sum(axis=0)
    low, high = (
        np.take_along_axis(ordered, index[None], axis=0)[0]
        for index in (np.maximum(count - 1, 0) // 2, count // 2)
    )
    return low, high, count


def _deviating(
    image: np.ndarray, err: np.ndarray, median: np.ndarray, threshold: float
) -> np.ndarray:
    """Return where an image is off the median by more than its noise allows."""
    noise = np.where(err > 0, err.astype(np.float64), np.inf)  # which may be off by anything
    difference = np.abs(image.astype(np.float64) - median)
    flagged = difference > threshold * noise
    deviations = difference / noise
    rows, columns = np.nonzero(flagged)
    scatter = local_scatter(deviations, rows, columns, HALF_BOX)
    limit = threshold * np.fmax(TO_SIGMA * scatter, 1.0)
    excused = deviations[rows, columns] <= limit
    flagged[rows[excused], columns[excused]] = False
    return flagged
