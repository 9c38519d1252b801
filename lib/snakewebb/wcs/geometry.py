"""Where an exposure's pixels fall on the sky.

An exposure's gWCS is evaluated once, on a coarse lattice of nodes; all later steps work from
these nodes, by closed formulae and splines, and need no WCS library.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from snakewebb.wcs.sphere import from_plane, mean_direction, to_plane, unit_vectors

Box = tuple[tuple[float, float], tuple[float, float]]
"""Ends in x and in y, pixels."""
Matrix = tuple[tuple[float, float], tuple[float, float]]
"""2×2, rows first."""


@dataclass(frozen=True)
class PixelToSky:
    """The map from an exposure's pixels to the sky.

    Attributes
    ----------
    forward : callable
        Takes 0-based pixel coordinates x and y, arrays, and returns RA and Dec, ICRS, degrees.
    inverse : callable or None
        The way back, as good as the file has it; None where it has none.
    bounding_box : ((x0, x1), (y0, y1)) or None
        The pixel coordinates within which it holds.
    """

    forward: Callable[..., tuple[np.ndarray, ...]]
    inverse: Callable[..., tuple[np.ndarray, ...]] | None
    bounding_box: Box | None


@dataclass(frozen=True)
class Correction:
    """A correction of an exposure's pointing: a linear map on a tangent plane.

    The sky is projected on the plane that touches it at (``ra0``, ``dec0``), in degrees; there
    ``u`` (arcsec; East, North) goes to ``matrix @ u + shift``, and back to the sky.
    """

    ra0: float
    dec0: float
    matrix: Matrix
    shift: tuple[float, float]

    def apply(self, ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return corrected RA and Dec, degrees."""
        xi, eta = to_plane(ra, dec, self.ra0, self.dec0)
        (a, b), (c, d) = self.matrix
        return from_plane(
            a * xi + b * eta + self.shift[0], c * xi + d * eta + self.shift[1], self.ra0, self.dec0
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Correction:
        """Make a correction from what `to_dict` returned."""
        (a, b), (c, d) = values["matrix"]
        east, north = values["shift"]
        return cls(values["ra0"], values["dec0"], ((a, b), (c, d)), (east, north))


@dataclass(frozen=True)
class Geometry:
    """Sky positions of a lattice of nodes that spans an exposure's bounding box.

    Attributes
    ----------
    shape : (ny, nx)
        Of the image, pixels.
    x_nodes, y_nodes : (n,), (m,) float64
        Uniform, from edge to edge of the bounding box; 0-based pixel coordinates.
    ra, dec : (m, n) float64
        ICRS, degrees.
    pixel_scale : float
        Degrees: the geometric mean of the two pixel sides at the reference point.
    v2_ref, v3_ref : float
        Arcseconds.
    roll_ref, ra_ref, dec_ref, v3yangle : float
        Degrees.
    vparity : int
    pivot_shift : (v2, v3)
        Arcseconds, by which it is off what the file says, so that velocity aberration is scaled
        about the guide star; see `snakewebb.wcs.aberration`.
    """

    shape: tuple[int, int]
    x_nodes: np.ndarray
    y_nodes: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    pixel_scale: float
    v2_ref: float
    v3_ref: float
    roll_ref: float
    ra_ref: float
    dec_ref: float
    v3yangle: float
    vparity: int
    pivot_shift: tuple[float, float] = (0.0, 0.0)

    @property
    def bounding_box(self) -> Box:
        """The pixel coordinates within which the WCS holds, ((x0, x1), (y0, y1))."""
        x, y = self.x_nodes, self.y_nodes
        return (float(x[0]), float(x[-1])), (float(y[0]), float(y[-1]))

    def corrected(self, correction: Correction | None) -> Geometry:
        """Return the geometry with a correction applied; None changes nothing."""
        if correction is None:
            return self
        ra, dec = correction.apply(self.ra, self.dec)
        return replace(self, ra=ra, dec=dec)

    def outline(self) -> tuple[np.ndarray, np.ndarray]:
        """Return RA and Dec of all nodes on the edge of the bounding box, in order round it."""
        m, n = self.ra.shape
        rows = np.concatenate(
            (np.zeros(n - 1), np.arange(m - 1), np.full(n - 1, m - 1), np.arange(m - 1, 0, -1))
        ).astype(int)
        cols = np.concatenate(
            (np.arange(n - 1), np.full(m - 1, n - 1), np.arange(n - 1, 0, -1), np.zeros(m - 1))
        ).astype(int)
        return self.ra[rows, cols], self.dec[rows, cols]

    def corners(self) -> tuple[np.ndarray, np.ndarray]:
        """Return RA and Dec, degrees, of the bounding box' corners; the vertices of S_REGION."""
        rows, cols = [0, -1, -1, 0], [0, 0, -1, -1]
        return self.ra[rows, cols], self.dec[rows, cols]

    def center(self) -> tuple[float, float]:
        """Return RA and Dec, degrees, of the middle of the corners."""
        return mean_direction(unit_vectors(*self.corners()))

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold."""
        values = asdict(self)
        for name in ("x_nodes", "y_nodes", "ra", "dec"):
            values[name] = values[name].tolist()
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Geometry:
        """Make a geometry from what `to_dict` returned."""
        arrays = {name: np.array(values[name]) for name in ("x_nodes", "y_nodes", "ra", "dec")}
        pairs = {name: tuple(values[name]) for name in ("shape", "pivot_shift") if name in values}
        made: dict[str, Any] = values | arrays | pairs
        return cls(**made)
