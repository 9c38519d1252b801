"""outlier_detection of coronagraphy: integrations compared with each other, on the detector."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from snakewebb.align_refs import bad_pixels
from snakewebb.dq import bad_mask
from snakewebb.errors import InputError
from snakewebb.exposure import open_fits
from snakewebb.kernels.median import median_of_windows
from snakewebb.kernels.scatter import local_scatter

log = logging.getLogger(__name__)

FEW = 5
"""With fewer integrations, other exposures are asked too."""
HALF_BOX = 4
"""Half the side of the box round a pixel, in which the scatter is measured."""
TO_SIGMA = 1.4826
"""The standard deviation of a normal distribution over its median absolute value."""
SAME_ROLL = 0.1
"""Degrees; a source stays on its pixel between exposures whose rolls differ by no more."""

Cube = tuple[np.ndarray, np.ndarray | None]


def flag_outliers(
    data: np.ndarray,
    err: np.ndarray,
    dq: np.ndarray | None,
    others: Sequence[Cube] = (),
    *,
    snr: str = "5.0 4.0",
    good_bits: str | int | None = "~DO_NOT_USE",
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
    snr : str, optional
        Multiples of the noise; only the first number counts.
    good_bits : str, int or None, optional
        Flags to ignore; a pixel with others does not enter the median.

    Returns
    -------
    (T, ny, nx) bool

    Raises
    ------
    InputError
        `snr` is not made of numbers, or there is no `err`.
    """
    if err is None:
        raise InputError("outlier_detection: an exposure has no ERR: fetch it again, or set skip")
    try:
        threshold = float(str(snr).split()[0])
    except (ValueError, IndexError):
        raise InputError(
            f"outlier_detection.snr: {snr!r} is no number: write it as in '5.0 4.0'"
        ) from None
    own = _good(data, dq, good_bits)
    flagged = np.zeros(data.shape, bool)
    stacks = [own] if len(own) > 1 else []
    if len(own) < FEW and others:
        stacks.append(np.concatenate([own, *(_good(*other, good_bits) for other in others)]))
    for stack in stacks:
        median = _median(stack)
        for k, image in enumerate(data):
            flagged[k] |= _deviating(image, err[k], median, threshold)
    log.info("%d pixels flagged, %.3f %%", flagged.sum(), 100 * flagged.mean())
    return flagged


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
        with open_fits(each) as hdus:
            header = {**hdus[0].header, **hdus["SCI"].header}
        known.append((header.get("TARGNAME", ""), header.get("ROLL_REF", 0.0)))
    stars, rolls = zip(*known, strict=True)
    return [paths[k] for k in comparable(rolls, stars, 0)]


def reason_to_skip(integrations: int, others: int) -> str | None:
    """Say why there is nothing to compare an exposure with; None if there is."""
    if integrations > 1 or others:
        return None
    return "one integration, and no other exposure of this star at this roll"


def _good(data: np.ndarray, dq: np.ndarray | None, good_bits: str | int | None) -> np.ndarray:
    """Return data, float32, NaN where they are bad."""
    bad = bad_pixels(data, None, None)
    if dq is not None:
        bad |= (dq & np.uint32(bad_mask(good_bits))) != 0
    return np.where(bad, np.float32(np.nan), data).astype(np.float32)


def _median(stack: np.ndarray) -> np.ndarray:
    """Return the median over integrations; of two the smaller value."""
    count, ny, nx = stack.shape
    windows = np.array([(0, ny, 0, nx, k * ny * nx) for k in range(count)], np.int64)
    median = np.empty((ny, nx), np.float32)
    median_of_windows(np.ascontiguousarray(stack).ravel(), windows, median)
    return median


def _deviating(
    image: np.ndarray, err: np.ndarray, median: np.ndarray, threshold: float
) -> np.ndarray:
    """Return where an image is off the median by more than its noise allows."""
    noise = np.nan_to_num(err.astype(np.float64))
    difference = np.abs(image.astype(np.float64) - median)
    flagged = difference > threshold * noise
    deviations = np.divide(difference, noise, out=np.full(image.shape, np.nan), where=noise > 0)
    rows, columns = map(np.ascontiguousarray, np.nonzero(flagged))
    scatter = np.empty(rows.size)
    local_scatter(deviations, rows, columns, HALF_BOX, scatter)
    limit = threshold * np.fmax(TO_SIGMA * scatter, 1.0)
    excused = deviations[rows, columns] <= limit
    flagged[rows[excused], columns[excused]] = False
    return flagged
