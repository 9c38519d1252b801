"""Which part of a detector an array covers, and how to cut it out of another.

Pixels of a detector are counted from 1 in the science frame, in which all arrays of stage 2 are.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from snakewebb.errors import InputError
from snakewebb.io.headers import number, read_header
from snakewebb.io.planes import image_shape

FULL_FRAMES = ((2048, 2048), (1024, 1032))
"""Shapes of whole detectors: those of Teledyne, that of MIRI's imager."""
LARGEST = 10_000


class Subarray(NamedTuple):
    """A rectangle on a detector.

    Attributes
    ----------
    x, y : int
        Its first pixel, from 1.
    nx, ny : int
        Its size.
    """

    x: int
    y: int
    nx: int
    ny: int

    def __str__(self) -> str:
        return f"{self.nx} × {self.ny} pixels at ({self.x}, {self.y})"

    def window(self, inner: Subarray) -> tuple[slice, slice] | None:
        """Return the rows and columns of this one that are another; None if it reaches beyond."""
        x, y = inner.x - self.x, inner.y - self.y
        if min(x, y) < 0 or x + inner.nx > self.nx or y + inner.ny > self.ny:
            return None
        return slice(y, y + inner.ny), slice(x, x + inner.nx)

    def intersection(self, other: Subarray) -> Subarray:
        """Return the part that both have; its size is not above 0 if there is none."""
        x, y = max(self.x, other.x), max(self.y, other.y)
        right = min(self.x + self.nx, other.x + other.nx)
        top = min(self.y + self.ny, other.y + other.ny)
        return Subarray(x, y, right - x, top - y)

    def union(self, other: Subarray) -> Subarray:
        """Return the smallest one that holds both."""
        x, y = min(self.x, other.x), min(self.y, other.y)
        right = max(self.x + self.nx, other.x + other.nx)
        top = max(self.y + self.ny, other.y + other.ny)
        return Subarray(x, y, right - x, top - y)


def subarray_of(path: str | Path) -> Subarray:
    """Return where on its detector the image of a file is.

    The size is that of the image. A header without corner is that of a whole detector.

    Raises
    ------
    InputError
        The file has no image, or one that is no whole detector and nothing tells where it is.
    """
    ny, nx = image_shape(path)[-2:]
    header = read_header(path)
    corner = [number(header, key, 1, LARGEST, path=path) for key in ("SUBSTRT1", "SUBSTRT2")]
    if None in corner:
        if (ny, nx) not in FULL_FRAMES:
            raise InputError(
                f"{path}: has no SUBSTRT1 and SUBSTRT2, and with {nx} × {ny} pixels is no whole "
                "detector: mend its header"
            )
        corner = [1, 1]
    x, y = corner
    return Subarray(int(x), int(y), nx, ny)


def cut_out(path: str | Path, inner: Subarray, remedy: str) -> tuple[slice, slice]:
    """Return the rows and columns of a reference file's image that cover a part of the detector.

    Raises
    ------
    InputError
        They do not cover all of it; see `subarray_of`.
    """
    outer = subarray_of(path)
    window = outer.window(inner)
    if window is None:
        raise InputError(f"{path}: has {outer}, the exposure {inner}: {remedy}")
    return window
