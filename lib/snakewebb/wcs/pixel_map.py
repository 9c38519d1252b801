"""Maps from the pixels of one grid to those of another."""

from __future__ import annotations

import numpy as np

from snakewebb.kernels.pixel_map import bicubic_lattice
from snakewebb.wcs.geometry import Geometry
from snakewebb.wcs.grid import Grid

MAX_MAP_ERROR = 1e-4
"""Pixels by which a map of pixels may be wrong."""


class PixelMap:
    """The map from an exposure's pixels to those of an output grid, as a bicubic spline.

    Parameters
    ----------
    geometry : Geometry
        The exposure's, corrected.
    grid : Grid
        The output grid.

    Attributes
    ----------
    geometry : Geometry
    grid : Grid
    """

    def __init__(self, geometry: Geometry, grid: Grid):
        self.geometry = geometry
        self.grid = grid
        self._nodes = grid.sky_to_pixel(geometry.ra, geometry.dec)
        along_x = _slopes(geometry.x_nodes.size)
        along_y = _slopes(geometry.y_nodes.size)
        self._splines = [
            (f, f @ along_x.T, along_y @ f, along_y @ f @ along_x.T) for f in self._nodes
        ]

    def spline(self) -> tuple[np.ndarray, np.ndarray]:
        """Return what `snakewebb.kernels.pixel_map.bicubic_lattice` takes.

        Returns
        -------
        (2, 4, m, n) float64
            For column and row of the output: values, slopes and cross slopes.
        (4,) float64
            First node and node spacing of x, of y.
        """
        xn, yn = self.geometry.x_nodes, self.geometry.y_nodes
        return np.array(self._splines), np.array([xn[0], xn[1] - xn[0], yn[0], yn[1] - yn[0]])

    def inverse(self) -> np.ndarray:
        """Return the affine map, (2, 3), from output column, row and 1 to input column and row.

        It is right to a few pixels, by which the whole map is not linear.
        """
        x, y = np.meshgrid(self.geometry.x_nodes, self.geometry.y_nodes)
        u, v = self._nodes
        known = np.column_stack([u.ravel(), v.ravel(), np.ones(u.size)])
        return np.linalg.lstsq(known, np.column_stack([x.ravel(), y.ravel()]))[0].T.copy()

    def lattice(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Map the lattice of input columns ``x`` and rows ``y``.

        Parameters
        ----------
        x, y : (nx,), (ny,) array
            0-based input pixel coordinates: centres, corners or any other.

        Returns
        -------
        u, v : (ny, nx) float64
            0-based output pixel coordinates.
        """
        x = np.ascontiguousarray(x, float)
        y = np.ascontiguousarray(y, float)
        xn, yn = self.geometry.x_nodes, self.geometry.y_nodes
        steps = (xn[0], xn[1] - xn[0], yn[0], yn[1] - yn[0])
        results = []
        for spline in self._splines:
            out = np.empty((y.size, x.size))
            bicubic_lattice(*map(np.ascontiguousarray, spline), *steps, x, y, out)
            results.append(out)
        return results[0], results[1]

    def points(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Map single points as `lattice` does.

        Parameters
        ----------
        x, y : (n,) array
            0-based input pixel coordinates.

        Returns
        -------
        u, v : (n,) float64
            0-based output pixel coordinates.
        """
        (column, t), (row, s) = (
            _cells(nodes, points)
            for nodes, points in ((self.geometry.x_nodes, x), (self.geometry.y_nodes, y))
        )
        s2, s3 = s * s, s * s * s
        weights = 2.0 * s3 - 3.0 * s2 + 1.0, s3 - 2.0 * s2 + s, 3.0 * s2 - 2.0 * s3, s3 - s2

        def along(values: np.ndarray, slopes: np.ndarray, at: np.ndarray) -> np.ndarray:
            a, b, c, d = weights
            above = a * values[row, at] + b * slopes[row, at]
            return above + c * values[row + 1, at] + d * slopes[row + 1, at]

        results = []
        for f, fx, fy, fxy in self._splines:
            v0, s0 = along(f, fy, column), along(fx, fxy, column)
            rise, bend = along(f, fy, column + 1) - v0, along(fx, fxy, column + 1) - s0
            square, cube = 3.0 * rise - 3.0 * s0 - bend, 2.0 * s0 + bend - 2.0 * rise
            results.append(v0 + t * (s0 + t * (square + t * cube)))
        return results[0], results[1]

    def bounds(self) -> tuple[int, int, int, int]:
        """Return output columns and rows (x0, x1, y0, y1; ends excluded) the exposure may touch."""
        ny, nx = self.grid.shape
        u, v = self._nodes
        low_x, low_y = max(int(u.min()) - 1, 0), max(int(v.min()) - 1, 0)
        return (
            low_x,
            max(min(int(u.max()) + 3, nx), low_x),
            low_y,
            max(min(int(v.max()) + 3, ny), low_y),
        )

    def rows(self, start: int, stop: int) -> slice:
        """Return the input rows that may fall on output rows ``start`` to ``stop`` (excluded)."""
        v = self._nodes[1]
        y = self.geometry.y_nodes
        low = np.minimum(v[:-1].min(axis=1), v[1:].min(axis=1)) - 1.5
        high = np.maximum(v[:-1].max(axis=1), v[1:].max(axis=1)) + 1.5
        cells = np.flatnonzero((high > start - 0.5) & (low < stop - 0.5))
        if not cells.size:
            return slice(0, 0)
        first = int(np.floor(y[cells[0]] + 0.5))
        last = int(np.ceil(y[cells[-1] + 1] + 0.5))
        return slice(max(first, 0), min(last, self.geometry.shape[0]))


def _cells(nodes: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return in which cell between nodes each point is, and where in it, 0 to 1."""
    place = (points - nodes[0]) / (nodes[1] - nodes[0])
    cell = np.clip(np.floor(place).astype(int), 0, nodes.size - 2)
    return cell, place - cell


def _slopes(n: int) -> np.ndarray:
    """Return the matrix that takes n values to the slopes of their not-a-knot cubic spline.

    Unit spacing. De Boor, A Practical Guide to Splines (1978), chapter IV.
    """
    left = np.diag(np.full(n, 4.0)) + np.diag(np.ones(n - 1), 1) + np.diag(np.ones(n - 1), -1)
    right = 3.0 * (np.diag(np.ones(n - 1), 1) - np.diag(np.ones(n - 1), -1))
    left[0, :3] = 1.0, 2.0, 0.0
    right[0, :3] = -2.5, 2.0, 0.5
    left[-1, -3:] = 0.0, 2.0, 1.0
    right[-1, -3:] = -0.5, -2.0, 2.5
    return np.linalg.solve(left, right)
