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
            shades = _shades(band, norm)
            for x, tile in _cut(shades):
                tiles.images[f"{zoom}/{x}/{-1 - y}"] = jpeg(tile)
        image = halve(image)
    return tiles


def halve(image: np.ndarray) -> np.ndarray:
    """Return means of 2 × 2 pixels: of those with data; NaN where none has."""
    ny, nx = image.shape
    image = np.pad(image, ((0, ny % 2), (0, nx % 2)), constant_values=np.nan)
    total = np.zeros((image.shape[0] // 2, image.shape[1] // 2), np.float32)
    number = np.zeros(total.shape, np.float32)
    for j in (0, 1):
        for i in (0, 1):
            part = image[j::2, i::2]
            good = np.isfinite(part)
            np.add(total, part, out=total, where=good)
            number += good
    return np.divide(total, number, out=np.full_like(total, np.nan), where=number > 0)


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


def _shades(image: np.ndarray, norm: Normalize) -> np.ndarray:
    """Return an image of bytes; what has data is not 0."""
    good = np.isfinite(image)
    scaled = np.asarray(norm(np.where(good, image, norm.vmin)), np.float32)
    np.clip(scaled, 0, 1, out=scaled)
    scaled *= 254
    scaled += 1
    scaled[~good] = 0
    return scaled.astype(np.uint8)


def _cut(band: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Return the tiles of a band of rows that have data, upside down as pictures are."""
    for x, left in enumerate(range(0, band.shape[1], SIDE)):
        part = band[:, left : left + SIDE]
        if part.any():
            tile = np.zeros((SIDE, SIDE), np.uint8)
            tile[SIDE - len(part) :, : part.shape[1]] = part[::-1]
            yield x, tile
