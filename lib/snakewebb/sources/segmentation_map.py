"""Images in windows, and the segmentation map."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import numpy as np

from snakewebb.io.noise_correlation import NoiseCorrelation
from snakewebb.kernels.detection import look_up
from snakewebb.sources.contradiction import View

PIECE = 2_000_000
"""Pixels of a piece."""
BAND = 32
"""Rows that are read at a time: a processor's cache holds them until they are in place."""


class Image(Protocol):
    """What sources are sought in; see `snakewebb.sources.mosaic.Mosaic`."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    def rows(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return some rows of data, errors and mask."""

    def fill(
        self, start: int, data: np.ndarray, err: np.ndarray, weight: np.ndarray | None = None
    ) -> None:
        """Fill arrays with rows of data, errors and weights, see `Mosaic.fill`."""

    @property
    def correlation(self) -> NoiseCorrelation | None:
        """How the noise of pixels is correlated; None if it is not known."""

    @property
    def views(self) -> Sequence[View]:
        """Exposures that it is made of."""


@dataclass(frozen=True)
class Window:
    """A part of an image that holds some sources and what is around them.

    Attributes
    ----------
    members : ndarray of int
        Which sources.
    top, bottom, left, right : int
        Its first row and column, and those behind its last ones.
    """

    members: np.ndarray
    top: int
    bottom: int
    left: int
    right: int


def piece_rows(shape: tuple[int, int]) -> int:
    """Return how many rows make a piece."""
    return max(PIECE // shape[1], 1)


def windows(boxes: np.ndarray, shape: tuple[int, int]) -> Iterator[Window]:
    """Share out sources to windows about as large as a piece.

    Parameters
    ----------
    boxes : ndarray of int, (n, 4)
        First and end row, first and end column of what must be seen of each source. A source
        higher than a piece has a window of its own; others share whole rows.
    shape : (ny, nx)
        Of the image.
    """
    ny, nx = shape
    rows = piece_rows(shape)
    top, bottom, left, right = boxes.clip(0, np.array([ny, ny, nx, nx])).T
    high = bottom - top > rows
    order = np.flatnonzero(~high)
    order = order[np.argsort(top[order], kind="stable")]
    for members in np.split(order, np.flatnonzero(np.diff(top[order] // rows)) + 1):
        if len(members):
            yield Window(members, int(top[members[0]]), int(bottom[members].max()), 0, nx)
    for i in np.flatnonzero(high):
        yield Window(np.array([i]), *map(int, (top[i], bottom[i], left[i], right[i])))


def read_window(image: Image, window: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return data, errors and mask of a window."""
    height, width = window.bottom - window.top, window.right - window.left
    shape = height, width
    planes = np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty(shape, bool)
    for start in range(window.top, window.bottom, BAND):
        stop = min(start + BAND, window.bottom)
        for plane, part in zip(planes, image.rows(start, stop), strict=True):
            plane[start - window.top : stop - window.top] = part[:, window.left : window.right]
    return planes


def fill_window(image: Image, top: int, columns: slice, planes: Sequence[np.ndarray]) -> None:
    """Fill arrays with some columns of rows of data, errors and maybe weights, see `Image`.

    Parameters
    ----------
    image : Image
    top : int
        The first row.
    columns : slice
    planes : sequence of (rows, columns) float32
    """
    height, width = planes[0].shape
    whole = width == image.shape[1]
    room = () if whole else np.empty((len(planes), BAND, image.shape[1]), np.float32)
    for start in range(0, height, BAND):
        parts = [plane[start : start + BAND] for plane in planes]
        rows = parts if whole else [plane[: len(parts[0])] for plane in room]
        image.fill(top + start, *rows)
        if not whole:
            for part, plane in zip(parts, rows, strict=True):
                part[:] = plane[:, columns]


class Segmentation:
    """A segmentation map, read by rows.

    Parameters
    ----------
    shape : (ny, nx)
    scratch : binary file, optional
        Open for reading and writing, to keep 4 bytes a pixel in; by default in memory.
    """

    def __init__(self, shape: tuple[int, int], scratch: BinaryIO | None = None):
        self.shape = tuple(shape)
        self._file = io.BytesIO() if scratch is None else scratch
        self._labels = np.zeros(1, np.uint32)

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Return labels of sources, 0 for none: uint32, (stop - start, nx)."""
        return self._looked_up(start, stop, self._labels)

    def stored_rows(self, start: int, stop: int) -> np.ndarray:
        """Return them as FITS stores them, which has no unsigned integers: less 2**31."""
        stored = (self._labels ^ np.uint32(1 << 31)).astype(">u4")
        return self._looked_up(start, stop, stored.view(np.uint32))

    def _looked_up(self, start, stop, lookup):
        """Return what the ids in some rows stand for, int32 or uint32."""
        out = np.empty((stop - start, self.shape[1]), lookup.dtype)
        if len(lookup) == 1:  # there are no sources
            out[:] = lookup[0]
            return out
        for first in range(0, len(out), BAND):
            part = out[first : first + BAND]
            ids = part.view(np.int32)
            self._read(start + first, ids)
            look_up(ids, lookup, part)
        return out

    def finish(self, labels: np.ndarray) -> None:
        """Say what label each id stands for."""
        self._labels = labels

    def _read(self, start, out):
        self._file.seek(4 * self.shape[1] * start)
        self._file.readinto(out)

    def write(self, start: int, ids: np.ndarray) -> None:
        """Write some rows of ids: int32, (rows, nx)."""
        self._file.seek(4 * self.shape[1] * start)
        self._file.write(ids.data)

    def window(self, window: Window, lookup: np.ndarray | None = None) -> np.ndarray:
        """Look up what the ids in a window stand for; by default, their labels."""
        lookup = self._labels if lookup is None else lookup
        if window.right - window.left == self.shape[1]:
            return self._looked_up(window.top, window.bottom, lookup)
        out = np.empty((window.bottom - window.top, window.right - window.left), lookup.dtype)
        for start in range(window.top, window.bottom, BAND):
            found = self._looked_up(start, min(start + BAND, window.bottom), lookup)
            place = start - window.top
            out[place : place + BAND] = found[:, window.left : window.right]
        return out

    def put(self, window: Window, ids: np.ndarray, lowest: int) -> None:
        """Write the ids in a window that are not less than the lowest."""
        for start in range(window.top, window.bottom, BAND):
            new = ids[start - window.top :][:BAND]
            wanted = new >= lowest
            if not wanted.any():
                continue
            old = np.empty((len(new), self.shape[1]), np.int32)
            self._read(start, old)
            np.copyto(old[:, window.left : window.right], new, where=wanted)
            self.write(start, old)
