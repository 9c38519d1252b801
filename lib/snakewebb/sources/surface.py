"""Smooth maps through what is known at the meshes of an image."""

from __future__ import annotations

from copy import copy

import numpy as np

from snakewebb.kernels import surface as kernels
from snakewebb.sources.background import filled, median_filter


class Surface:
    """A cubic spline through medians of meshes and their neighbours, even about the edges.

    Parameters
    ----------
    mesh : (my, mx)
        Values.
    few : (my, mx) bool
        Where they are not known: these are filled in from the nearest.
    box : (int, int)
        Height and width of a mesh in pixels.
    shape : (ny, nx)
        Of the image.

    Notes
    -----
    Unser 1999, IEEE Signal Processing Magazine 16(6), 22. The same as the maps of
    `snakewebb.sources.background.Background`, but it takes the same time for any number of meshes.
    """

    def __init__(
        self, mesh: np.ndarray, few: np.ndarray, box: tuple[int, int], shape: tuple[int, int]
    ):
        mesh = median_filter(filled(mesh.astype(np.float32), few)).astype(float)
        self.median = float(np.median(mesh))
        self._low, self._high = mesh.min(), mesh.max()
        self._places = [_places(*sizes) for sizes in zip(box, shape, strict=True)]
        self._width = width = box[1]
        # columns repeat: those from the middle of a mesh on
        self._across = _places(width, 2 * width)[1][width // 2 :][:width].T.copy()
        for _ in range(2):
            mesh = np.linalg.solve(_values_of(len(mesh)), mesh)
            mesh = np.pad(mesh, ((2, 2), (0, 0)), mode="symmetric" if len(mesh) > 1 else "edge").T
        self._coefficients = np.ascontiguousarray(mesh)

    def __add__(self, other: Surface) -> Surface:
        """Return the sum with another one of the same meshes."""
        total = copy(self)
        total._coefficients = self._coefficients + other._coefficients
        total._low, total._high = self._low + other._low, self._high + other._high
        total.median = self.median + other.median
        return total

    def rows(self, start: int, stop: int, columns: slice = slice(None)) -> np.ndarray:
        """Return some rows, or some columns of these: float32."""
        spline = self._spline(start, stop, columns)
        out = np.empty((stop - start, len(spline[3])), np.float32)
        kernels.spline(*spline, out)
        return out

    def divide(
        self, image: np.ndarray, start: int, stop: int, columns: slice = slice(None)
    ) -> None:
        """Divide what is an image's part in some rows and columns, float32, by the map's."""
        kernels.divide(*self._spline(start, stop, columns), image)

    def subtract(
        self,
        data: np.ndarray,
        weight: np.ndarray,
        start: int,
        stop: int,
        columns: slice = slice(None),
    ) -> None:
        """Subtract it from a part of an image, see `snakewebb.kernels.surface.subtract`."""
        kernels.subtract(*self._spline(start, stop, columns), data, weight)

    def _spline(self, start, stop, columns):
        (below_y, weights_y), (below_x, _) = self._places
        return (
            self._coefficients,
            below_y[start:stop],
            weights_y[start:stop],
            below_x[columns],
            self._across,
            ((columns.start or 0) - self._width // 2) % self._width,
            self._low,
            self._high,
        )

    def at(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return the values at some pixels: float64, (n,)."""
        (below_y, weights_y), (below_x, weights_x) = self._places
        steps = np.arange(4)
        around = self._coefficients[
            (below_y[rows, None] + steps)[:, :, None], (below_x[columns, None] + steps)[:, None, :]
        ]
        values = np.einsum("nij,ni,nj->n", around, weights_y[rows], weights_x[columns])
        return values.clip(self._low, self._high)


def _values_of(n):
    """Return the matrix from a spline's coefficients to its values at n meshes."""
    padded = np.pad(np.eye(n), ((1, 1), (0, 0)), mode="symmetric" if n > 1 else "edge")
    return (padded[:-2] + 4 * padded[1:-1] + padded[2:]) / 6


def _places(size, length):
    """Return for each pixel the first of the four coefficients that count, and their weights."""
    place = (np.arange(length) + 0.5) / size - 0.5
    below = np.floor(place).astype(int)
    rest = place - below
    weights = np.column_stack(
        [
            (1 - rest) ** 3 / 6,
            2 / 3 - rest**2 * (2 - rest) / 2,
            2 / 3 - (1 - rest) ** 2 * (1 + rest) / 2,
            rest**3 / 6,
        ]
    )
    return below + 1, weights
