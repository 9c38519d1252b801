"""Frames of a coronagraphic product: pixels, the star, the sky's axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snakewebb.wcs.geometry import Geometry
from snakewebb.wcs.grid import Grid
from snakewebb.wcs.sphere import ARCSEC, to_plane


@dataclass(frozen=True)
class Frame:
    """Where a star is on an image, and where East and North are.

    Attributes
    ----------
    center : (x, y)
        The star, 0-based pixels.
    axes : 2×2
        Pixels an arcsecond; columns East and North, rows x and y.
    """

    center: tuple[float, float]
    axes: tuple[tuple[float, float], tuple[float, float]]

    @classmethod
    def of_exposure(cls, geometry: Geometry, center: tuple[float, float]) -> Frame:
        """Make the frame of an exposure whose star is at ``center``."""
        nodes = geometry.x_nodes, geometry.y_nodes
        x, y = (axis.ravel() for axis in np.meshgrid(*nodes))
        sky = to_plane(geometry.ra.ravel(), geometry.dec.ravel(), *geometry.center())
        u, v = x - center[0], y - center[1]
        # The linear terms at the star; the others are the distortion.
        design = np.column_stack((np.ones_like(u), u, v, u * u, u * v, v * v))
        solution, *_ = np.linalg.lstsq(design, np.column_stack(sky))
        return cls((float(center[0]), float(center[1])), _rows(np.linalg.inv(solution[1:3].T)))

    @classmethod
    def of_grid(cls, grid: Grid, ra: float, dec: float) -> Frame:
        """Make the frame of a mosaic's grid whose star is at ``ra``, ``dec`` (degrees)."""
        x, y = grid.sky_to_pixel(np.asarray(ra), np.asarray(dec))
        axes = np.linalg.inv(np.array(grid.pc) * grid.cdelt * 3600.0)
        return cls((float(x), float(y)), _rows(axes))

    @property
    def pixel_scale(self) -> float:
        """Arcseconds a pixel."""
        return float(abs(np.linalg.det(self.axes)) ** -0.5)

    @property
    def jansky(self) -> float:
        """Jy that 1 MJy/sr in one pixel is."""
        return 1e6 * (self.pixel_scale / ARCSEC) ** 2

    def place(self, separation: float, pa: float) -> tuple[float, float]:
        """Return the pixel (x, y) at a separation (arcsec) and position angle (degrees E of N)."""
        angle = np.radians(pa)
        offset = np.array(self.axes) @ (separation * np.array((np.sin(angle), np.cos(angle))))
        return float(self.center[0] + offset[0]), float(self.center[1] + offset[1])

    def polar(self, x: float, y: float) -> tuple[float, float]:
        """Return the separation (arcsec) and position angle (degrees in [0, 360)) of a pixel."""
        east, north = np.linalg.solve(self.axes, (x - self.center[0], y - self.center[1]))
        return float(np.hypot(east, north)), float(np.degrees(np.arctan2(east, north)) % 360)


def _rows(matrix: np.ndarray) -> tuple[tuple[float, float], tuple[float, float]]:
    (a, b), (c, d) = matrix.tolist()
    return (a, b), (c, d)
