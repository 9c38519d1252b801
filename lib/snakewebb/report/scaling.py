"""A mosaic as it is shown: means of blocks of pixels, and shades of a stretch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.colors import Normalize

from snakewebb.io.planes import open_fits

BLOCK_ROWS = 256
"""Of a mosaic, however large, in memory at a time."""


def block_average(path: str | Path, factor: int) -> np.ndarray:
    """Return a mosaic in blocks of pixels.

    Parameters
    ----------
    path : path
        The mosaic.
    factor : int
        Pixels on a side of a block.

    Returns
    -------
    (ny, nx) float32
        Means over what has data: is neither NaN nor exactly 0, a common ``fillval``. NaN where
        nothing has. The last blocks may be cut.
    """
    with open_fits(path) as hdus:
        hdu = hdus["SCI"]
        ny, nx = hdu.shape
        image = np.empty((-(-ny // factor), -(-nx // factor)), np.float32)
        step = max(1, BLOCK_ROWS // factor)
        for first in range(0, len(image), step):
            rows = hdu.section[first * factor : (first + step) * factor].astype(np.float32)
            rows[rows == 0] = np.nan
            image[first : first + step] = block_means(rows, factor)
    return image


def block_means(image: np.ndarray, factor: int) -> np.ndarray:
    """Return means of blocks of pixels: of those with data; NaN where none has.

    Parameters
    ----------
    image : (ny, nx) float32
    factor : int
        Pixels on a side of a block. The last blocks may be cut.
    """
    if factor == 1:
        return np.where(np.isfinite(image), image, np.float32(np.nan))
    good = np.isfinite(image)
    total = _block_sums(np.where(good, image, np.float32(0)), factor, np.float32)
    number = _block_sums(good, factor, np.min_scalar_type(factor**2))
    return np.divide(total, number, out=np.full_like(total, np.nan), where=number > 0)


def _block_sums(image: np.ndarray, factor: int, kind: np.dtype | type) -> np.ndarray:
    """Return sums over blocks of pixels, as numbers of a kind."""
    for axis in (0, 1):
        image = np.moveaxis(image, axis, 0)
        sums = image[::factor].astype(kind)
        for start in range(1, factor):
            part = image[start::factor]
            sums[: len(part)] += part
        image = np.moveaxis(sums, 0, axis)
    return image


def shades(image: np.ndarray, norm: Normalize) -> np.ndarray:
    """Return an image of bytes: a stretch to 1 … 255, and 0 where there is no data.

    A shade is looked up by the upper half of a pixel's bits, which tell by how much it is above
    the lowest one to a part in 256: as much as a stretch that is linear or steeper there can show.
    To stretch each pixel takes ten times as long.

    Parameters
    ----------
    image : (ny, nx) float32
        Not finite where there is no data.
    norm : Normalize
        The stretch: pixels to 0 … 1. Its ends are known.
    """
    low = float(norm.vmin or 0.0)
    # Each number in the middle of those that share its upper half.
    numbers = ((np.arange(2**16, dtype=np.uint32) << 16) + 2**15).view(np.float32)
    table = np.zeros(2**16, np.uint8)
    known = np.isfinite(numbers)
    scaled = np.asarray(norm(numbers[known].astype(float) + low))
    table[known] = 1 + 254 * np.clip(scaled, 0, 1)
    return table[(np.ascontiguousarray(image, np.float32) - np.float32(low)).view(np.uint32) >> 16]
