"""The background of an image, in sigma-clipped median meshes.

SExtractor's (Bertin & Arnouts 1996, A&AS 117, 393) with the choices of photutils' Background2D,
but an image of any size is read in pieces of rows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

from snakewebb.io.bands import in_order
from snakewebb.kernels.background import clipped, expand, fill, sort

log = logging.getLogger(__name__)

ENOUGH = 50_000_000
"""Of more pixels in a row of meshes, every second image row counts, or every third …"""

NEIGHBOURS = 10
GOOD_SHARE = 0.9
"""A mesh with fewer pixels left than this share is filled from its neighbours."""


class NoPixel(ValueError):  # noqa: N818 - an outcome, not an error of the user
    """An image has no pixel to measure a background on."""


Rows = Callable[[int, int], tuple[np.ndarray, np.ndarray]]


class Background:
    """A background and its rms, known at the meshes.

    Parameters
    ----------
    rows : callable
        Given the first row and the one after the last, returns these rows of the image as float32
        and of a mask: True where there is no sky to measure. NaN and infinite pixels don't count.
    shape : (ny, nx)
    boxsize : int
        Side of a mesh in pixels. Where no mesh has enough good pixels, one mesh covers the image.
    piece : int
        As many rows as may be read at once.
    threads : int, optional
        The result does not depend on it.

    Raises
    ------
    NoPixel
        The image has no usable pixel.
    """

    def __init__(
        self, rows: Rows, shape: tuple[int, int], boxsize: int, piece: int, threads: int = 1
    ):
        box = tuple(min(boxsize, size) for size in shape)
        level, rms, number, sampled = _meshes(rows, shape, box, piece, threads)
        if not number.any():
            raise NoPixel("Cannot compute a background: no usable pixel")
        few = number <= GOOD_SHARE * box[0] * box[1] / sampled
        if few.all():
            box = tuple(shape)
            level, rms, *_ = _meshes(rows, shape, box, piece, threads)
            few = np.zeros((1, 1), bool)
            log.info("no mesh of %d pixels is good enough: one background for the image", boxsize)
        self._columns = _spline(level.shape[1], box[1], shape[1]).T.copy()
        along = _spline(level.shape[0], box[0], shape[0])
        self._maps = []
        for mesh in (level, rms):
            mesh = median_filter(filled(mesh.astype(np.float32), few)).astype(np.float32)
            # einsum: a BLAS may round differently with another number of threads
            self._maps.append((np.einsum("ik,kl->il", along, mesh), mesh.min(), mesh.max()))

    def level(self, start: int, stop: int, columns: slice = slice(None)) -> np.ndarray:
        """Return some rows, or some columns of these, of the background: float32."""
        return self._expand(0, start, stop, columns)

    def rms(self, start: int, stop: int) -> np.ndarray:
        """Return some rows of its rms: float32."""
        return self._expand(1, start, stop, slice(None))

    def _expand(self, which, start, stop, columns):
        partial, low, high = self._maps[which]
        right = np.ascontiguousarray(self._columns[:, columns])
        out = np.empty((stop - start, right.shape[1]), np.float32)
        expand(partial[start:stop], right, low, high, out)
        return out


def _meshes(rows, shape, box, piece, threads):
    """Return median, standard deviation and number of the clipped pixels of each mesh.

    And of how many image rows one counts.
    """
    ny, nx = shape
    step = -(-min(box[0], ny) * nx // ENOUGH)
    edges = [*range(0, nx, box[1]), nx]

    def line(top):
        bottom = min(top + box[0], ny)
        values = [[] for _ in edges[1:]]
        for data, mask in _pieces(rows, top, bottom, piece, step):
            good = np.isfinite(data) & ~mask
            for i, (left, right) in enumerate(pairwise(edges)):
                values[i].append(data[:, left:right][good[:, left:right]])
        results = []
        for i in range(len(values)):
            pixels = np.concatenate(values[i])
            values[i] = None
            sort(pixels)
            number, median, _, std = clipped(pixels, 3.0, 5)
            results.append((median, std, number))
        return results

    results = list(in_order(line, range(0, ny, box[0]), threads))
    level, rms, number = np.moveaxis(np.array(results), 2, 0)
    return level, rms, number, step


def _pieces(rows, top, bottom, piece, step) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in range(top, bottom, piece):
        data, mask = rows(start, min(start + piece, bottom))
        first = -(start - top) % step
        yield data[first::step], mask[first::step]


def filled(mesh, few):
    """Fill in meshes from the ten nearest others, weighted by inverse distance.

    All others as far as the tenth count: which of them a search tree gives is arbitrary.
    """
    if not few.any():
        return mesh
    ny, nx = mesh.shape
    dy, dx = np.indices((2 * ny - 1, 2 * nx - 1)).reshape(2, -1) - [[ny - 1], [nx - 1]]
    order = np.argsort(dy**2 + dx**2, kind="stable")
    filled = mesh.copy()
    fill(mesh, few, dy[order], dx[order], NEIGHBOURS, filled)
    return filled


def median_filter(mesh):
    """Return the median of each mesh and its neighbours."""
    padded = np.pad(mesh, 1, constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    return np.nanmedian(around, axis=(2, 3))


def _spline(n, size, length):
    """Return the matrix that enlarges n meshes of a size to pixels by a cubic spline.

    What photutils does by zooming the map, axis by axis: a spline that is even about the map's
    edges (Unser 1999, IEEE Signal Processing Magazine 16(6), 22).
    """
    even = np.pad(np.eye(n), ((2, 2), (0, 0)), mode="symmetric") if n > 1 else np.ones((5, 1))
    coefficients = np.linalg.inv((even[1:-3] + 4 * even[2:-2] + even[3:-1]) / 6)
    place = (np.arange(min(n * size, length)) + 0.5) / size - 0.5
    below = np.floor(place).astype(int)
    rest = (place - below)[:, None]
    weights = (
        ((1 - rest) ** 3 / 6, -1),
        (2 / 3 - rest**2 * (2 - rest) / 2, 0),
        (2 / 3 - (1 - rest) ** 2 * (1 + rest) / 2, 1),
        (rest**3 / 6, 2),
    )
    return sum(weight * even[below + 2 + step] for weight, step in weights) @ coefficients
