"""A picture that can be zoomed: tiles of an image at many scales, as text that a page can hold."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from matplotlib.colors import Normalize
from PIL import Image

from snakewebb.report.scaling import block_means, shades

SIDE = 256
"""Of a tile, pixels."""
MOST_PIXELS = 24e6
"""Of the finest scale: noise takes half a byte of a pixel, and the page 20 MB at most."""
QUALITY = 80
"""Of JPEG: what it loses is below the noise of the stretch."""


@dataclass(frozen=True)
class Tiles:
    """An image in tiles.

    Attributes
    ----------
    shape : (ny, nx)
        Of the finest scale, pixels.
    factor : int
        Pixels of the mosaic on a side of one of these.
    images : dict
        JPEG, base64, by ``zoom/x/y``. At zoom 0 a pixel is one of the finest scale, at -1 two, and
        so on; y is -1 for the lowest row of tiles and -2 above. A tile without data is not there.
    """

    shape: tuple[int, int]
    factor: int
    images: dict[str, str] = field(default_factory=dict)

    @property
    def zooms(self) -> int:
        """The coarsest scale: the image is one tile there."""
        return -max(0, math.ceil(math.log2(max(self.shape) / SIDE)))


def reduction(shape: tuple[int, int]) -> int:
    """Return how many pixels of a mosaic are on a side of one of the finest scale."""
    return max(1, math.ceil(math.sqrt(math.prod(shape) / MOST_PIXELS)))


def cut_tiles(image: np.ndarray, norm: Normalize, factor: int = 1) -> Tiles:
    """Cut an image into tiles.

    Parameters
    ----------
    image : (ny, nx) float32
        The finest scale; NaN where there is no data, which is black.
    norm : Normalize
        The stretch: pixels to 0 … 1.
    factor : int, optional
        See `Tiles`.
    """
    tiles = Tiles(image.shape, factor)
    for zoom in range(0, tiles.zooms - 1, -1):
        for y, start in enumerate(range(0, len(image), SIDE)):
            band = image[start : start + SIDE]
            for x, tile in _cut(shades(band, norm)):
                tiles.images[f"{zoom}/{x}/{-1 - y}"] = jpeg(tile)
        image = block_means(image, 2)
    return tiles


def jpeg(image: np.ndarray) -> str:
    """Return an image of bytes, its first row on top, as JPEG in base64."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=QUALITY)
    return base64.b64encode(file.getvalue()).decode()


def png(image: np.ndarray) -> str:
    """Return an image (ny, nx, 4) of bytes, its first row on top, as a URI of PNG."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=3)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _cut(band: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Return the tiles of a band of rows that have data, upside down as pictures are."""
    for x, left in enumerate(range(0, band.shape[1], SIDE)):
        part = band[:, left : left + SIDE]
        if part.any():
            tile = np.zeros((SIDE, SIDE), np.uint8)
            tile[SIDE - len(part) :, : part.shape[1]] = part[::-1]
            yield x, tile
