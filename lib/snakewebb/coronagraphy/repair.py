"""Bad pixels of integrations, and their repair."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from snakewebb.errors import InputError
from snakewebb.io.dq import bad_mask

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RepairOptions:
    """Which pixels are bad, and how they are repaired.

    Attributes
    ----------
    bad_bits : str, int or None
        DQ flags that make a pixel bad.
    median_box_length : int
        Side of the box of neighbours; an even one counts as the next odd one, and less than 3 as
        3. Where a box holds no good pixel, its neighbours are filled first.
    """

    bad_bits: str | int | None = "DO_NOT_USE"
    median_box_length: int = 3


class Repaired(NamedTuple):
    """Integrations without bad pixels.

    Attributes
    ----------
    data, err : (n, ny, nx) float64
        Repaired in the same way; err is None where there was none.
    bad : (n, ny, nx) bool
        What was replaced.
    """

    data: np.ndarray
    err: np.ndarray | None
    bad: np.ndarray


def bad_pixels(data: np.ndarray, dq: np.ndarray | None, bad_bits: str | int | None) -> np.ndarray:
    """Return True where a pixel is not finite or has one of the ``bad_bits`` set in its DQ."""
    bad = ~np.isfinite(data)
    if dq is not None:
        bits = ~bad_mask(bad_bits) & 0xFFFFFFFF if bad_bits is not None else 0
        bad |= (dq & np.uint32(bits)) != 0
    return bad


def repair_pixels(
    data: np.ndarray,
    dq: np.ndarray | None,
    err: np.ndarray | None = None,
    options: RepairOptions = RepairOptions(),
) -> Repaired:
    """Replace bad pixels by the median of the good ones round them.

    Parameters
    ----------
    data, dq, err : (n, ny, nx)
        Not changed. Bad is a pixel that is not finite, in `err` neither, or flagged.
    options : RepairOptions, optional

    Raises
    ------
    InputError
        An integration has no good pixel.
    """
    bad = bad_pixels(data, dq, options.bad_bits)
    if err is not None:
        bad |= ~np.isfinite(err)
    half = max(options.median_box_length // 2, 1)
    cubes = [np.array(cube, np.float64, order="C") for cube in (data, err) if cube is not None]
    for cube in cubes:
        for k, image in enumerate(cube):
            if bad[k].all():
                raise InputError(f"integration {k + 1} has no good pixel: leave the exposure out")
            fill(image, ~bad[k], half)
    log.info("%d bad pixels repaired, %.2f %%", bad.sum(), 100 * bad.mean())
    return Repaired(cubes[0], cubes[1] if err is not None else None, bad)


def fill(image: np.ndarray, known: np.ndarray, half: int) -> None:
    """Give each pixel that is not known the median of the known ones round it, in place.

    In every pass all pixels with a known one within ``half`` rows and columns are filled, from
    those known before the pass; then they count as known. So no order of pixels matters, and wide
    gaps close from their rims.

    Parameters
    ----------
    image : (ny, nx) float64
    known : (ny, nx) bool
        At least one is.
    half : int
        Half the side of the box, at least 1.
    """
    side = 2 * half + 1
    holes = np.argwhere(~known)
    values = np.pad(np.where(known, image, np.nan), half, constant_values=np.nan)
    boxes = np.lib.stride_tricks.sliding_window_view(values, (side, side))
    while len(holes):
        around = np.sort(boxes[tuple(holes.T)].reshape(len(holes), -1), axis=1)  # NaN comes last
        number = np.count_nonzero(~np.isnan(around), axis=1)
        ready = number > 0
        lines, number = around[ready], number[ready]
        each = np.arange(len(lines))
        found = (lines[each, (number - 1) // 2] + lines[each, number // 2]) / 2
        rows, columns = holes[ready].T
        image[rows, columns] = values[rows + half, columns + half] = found
        holes = holes[~ready]
