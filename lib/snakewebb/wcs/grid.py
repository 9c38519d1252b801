"""The output grid of a mosaic and the way from an exposure's pixels to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import ArrayLike

from snakewebb.errors import InputError
from snakewebb.io.headers import value
from snakewebb.wcs.geometry import Geometry, Matrix
from snakewebb.wcs.sphere import from_plane, to_plane, unit_vectors

MAX_SPARSITY = 4.0
HARMLESS = 16e6
"""A grid of so few pixels is never refused."""


@dataclass(frozen=True)
class Grid:
    """A gnomonic (TAN) pixel grid.

    Attributes
    ----------
    crval : (RA, Dec)
        Degrees.
    crpix : (x, y)
        0-based pixel coordinates; FITS keywords are greater by one.
    cdelt : float
        Degrees per pixel, the same for both axes.
    pc : 2×2
        PC matrix, rows first.
    shape : (ny, nx)
        Pixels.
    pixel_scale_ratio : float
        Output over input pixel size.
    """

    crval: tuple[float, float]
    crpix: tuple[float, float]
    cdelt: float
    pc: Matrix
    shape: tuple[int, int]
    pixel_scale_ratio: float = 1.0

    def sky_to_pixel(self, ra: ArrayLike, dec: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Return 0-based pixel coordinates of RA, Dec in degrees."""
        xi, eta = to_plane(ra, dec, *self.crval)
        (a, b), (c, d) = self.pc
        scale = self.cdelt * 3600.0 * (a * d - b * c)
        x0, y0 = self.crpix
        return (d * xi - b * eta) / scale + x0, (a * eta - c * xi) / scale + y0

    def pixel_to_sky(self, x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Return RA and Dec in degrees of 0-based pixel coordinates."""
        (a, b), (c, d) = self.pc
        u, v = np.asarray(x) - self.crpix[0], np.asarray(y) - self.crpix[1]
        scale = self.cdelt * 3600.0
        return from_plane((a * u + b * v) * scale, (c * u + d * v) * scale, *self.crval)

    @property
    def pixel_area(self) -> float:
        """The nominal solid angle of a pixel, steradians."""
        (a, b), (c, d) = self.pc
        return float(np.radians(self.cdelt) ** 2 * abs(a * d - b * c))

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Grid:
        """Make a grid from what `to_dict` returned."""
        pairs = {name: tuple(values[name]) for name in ("crval", "crpix", "shape")}
        return cls(**{**values, **pairs, "pc": tuple(tuple(row) for row in values["pc"])})


def output_grid(
    geometries: Mapping[str, Geometry],
    *,
    pixel_scale_ratio: float = 1.0,
    pixel_scale: float | None = None,
    rotation: float | None = None,
    crval: tuple[float, float] | None = None,
    crpix: tuple[float, float] | None = None,
    output_shape: tuple[int, int] | None = None,
    max_megapixels: float | None = None,
) -> Grid:
    """Return the grid that holds all exposures, as the reference pipeline lays it out.

    Parameters
    ----------
    geometries : mapping
        Corrected geometry by exposure name, in association order: the first one sets the scale
        and the orientation.
    pixel_scale_ratio : float, optional
        Output over input pixel size.
    pixel_scale : float, optional
        Output pixel size in arcseconds; overrides the ratio.
    rotation : float, optional
        Position angle of the y axis, degrees; 0 is North up. By default the first exposure's.
    crval : (RA, Dec), optional
        Degrees; by default the middle of all corners.
    crpix : (x, y), optional
        0-based pixel of ``crval``; by default the lowest corner is at pixel 0.
    output_shape : (nx, ny), optional
        As jwst has it, x first; by default as large as the exposures need.
    max_megapixels : float, optional
        The largest grid allowed; by default 4 times the area that the exposures cover.

    Raises
    ------
    InputError
        The grid would be smaller than 2 pixels, or larger than allowed, or ``crval`` is no place on
        the sky.
    """
    first = next(iter(geometries.values()))
    corners = [geometry.corners() for geometry in geometries.values()]
    ra = np.concatenate([corner[0] for corner in corners])
    dec = np.concatenate([corner[1] for corner in corners])
    if crval is None:
        vectors = unit_vectors(ra, dec)
        x, y, z = (vectors.max(axis=0) + vectors.min(axis=0)) / 2
        crval = (
            float(np.degrees(np.arctan2(y, x)) % 360.0),
            float(np.degrees(np.arctan2(z, np.hypot(x, y)))),
        )
    elif not (abs(crval[0]) <= 360 and abs(crval[1]) <= 90):  # NaN is not
        raise InputError(f"crval: {tuple(crval)} is no place on the sky: give RA and Dec, degrees")
    else:
        crval = float(crval[0]) % 360.0, float(crval[1])
    if pixel_scale is None:
        cdelt = first.pixel_scale * pixel_scale_ratio
    else:
        cdelt = pixel_scale / 3600.0
        pixel_scale_ratio = cdelt / mean_pixel_side(first)
    if rotation is None:
        angle = np.radians(first.roll_ref - first.vparity * first.v3yangle)
    else:
        angle = np.radians(rotation)
    cos, sin, parity = float(np.cos(angle)), float(np.sin(angle)), first.vparity
    pc = ((parity * cos, sin), (-parity * sin, cos))
    bare = Grid(crval, (0.0, 0.0), float(cdelt), pc, (0, 0), float(pixel_scale_ratio))
    x, y = bare.sky_to_pixel(ra, dec)
    if np.isnan(x).any():
        far = [
            name
            for name, (a, d) in zip(geometries, corners, strict=True)
            if np.isnan(bare.sky_to_pixel(a, d)[0]).any()
        ]
        raise InputError(
            f"{far[0]}: lies more than 90 degrees off the tangent point: check its WCS, or crval"
        )
    x0, y0 = (-x.min(), -y.min()) if crpix is None else crpix
    offset = float(x0), float(y0)
    if output_shape is None:
        shape = (int(y.max() + offset[1] + 0.5), int(x.max() + offset[0] + 0.5))
    else:
        shape = (int(output_shape[1]), int(output_shape[0]))
    if min(shape) < 2:
        raise InputError(
            f"the mosaic would have {shape[1]}×{shape[0]} pixels: check pixel_scale, crpix, crval"
        )
    grid = Grid(bare.crval, offset, bare.cdelt, pc, shape, bare.pixel_scale_ratio)
    if output_shape is None:
        _refuse_sparse(grid, geometries, max_megapixels)
    return grid


def _refuse_sparse(grid: Grid, geometries: Mapping[str, Geometry], limit: float | None) -> None:
    """Raise where the grid is so large that a WCS must be wrong."""
    pixels = grid.shape[0] * grid.shape[1]
    if pixels <= (HARMLESS if limit is None else limit * 1e6):
        return
    from shapely import Polygon, union_all

    centers = np.array([grid.sky_to_pixel(*geometry.center()) for geometry in geometries.values()])
    if limit is None:
        outlines = (geometry.outline() for geometry in geometries.values())
        covered = union_all(
            [Polygon(np.column_stack(grid.sky_to_pixel(*o))) for o in outlines]
        ).area
        if pixels <= MAX_SPARSITY * covered:
            return
        limit = MAX_SPARSITY * covered / 1e6
    distance = np.hypot(*(centers - np.median(centers, axis=0)).T)
    name = list(geometries)[int(distance.argmax())]
    arcmin = distance.max() * grid.cdelt * 60
    raise InputError(
        f"{name}: lies {arcmin:.1f} arcmin from the middle of its product, whose mosaic would have "
        f"{pixels / 1e6:.0f} megapixels where {limit:.3g} are allowed: leave it out, or raise "
        "max_mosaic_megapixels"
    )


def mean_pixel_side(geometry: Geometry) -> float:
    """Return the square root of an exposure's mean pixel area, degrees."""
    ra, dec = geometry.outline()
    xi, eta = to_plane(ra, dec, *geometry.center())
    rho = np.hypot(xi, eta) * np.radians(1 / 3600.0)
    # From the tangent plane to Lambert's equal-area one, where the polygon's area is the sky's.
    shrink = 2 * np.sin(np.arctan(rho) / 2) / np.where(rho > 0, rho, 1)
    x, y = xi * shrink / 3600.0, eta * shrink / 3600.0
    area = 0.5 * abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))
    (x0, x1), (y0, y1) = geometry.bounding_box
    return float(np.sqrt(area / ((x1 - x0) * (y1 - y0))))


MAX_SIDE = 0.01
"""Degrees; no mosaic of JWST's has larger pixels."""


def header_grid(header: fits.Header, ratio: float, path: str | Path) -> Grid:
    """Return the grid that the WCS keywords of a mosaic describe.

    Parameters
    ----------
    header : Header
        Of SCI.
    ratio : float
        Mosaic pixel over detector pixel.
    path : path
        The mosaic, for messages.
    """
    names = ("CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CDELT1", "CDELT2")
    turn = [
        float(i == j) if (given := value(header, f"PC{i}_{j}", path)) is None else given
        for i in (1, 2)
        for j in (1, 2)
    ]
    known = [value(header, name, path) for name in names]
    kinds = value(header, "CTYPE1", path), value(header, "CTYPE2", path)
    if (
        kinds != ("RA---TAN", "DEC--TAN")
        or not all(is_within(number, -1e6, 1e6) for number in (*known, *turn))
        or not all(1e-9 < abs(side) < MAX_SIDE for side in known[4:])
        or not 0.99 < abs(turn[0] * turn[3] - turn[1] * turn[2]) < 1.01  # CDELT tells the scale
        or abs(known[3]) > 90
    ):
        raise InputError(f"{path}: has no TAN WCS in the header of SCI: give an _i2d file")
    x, y, ra, dec, east, north = known
    skew = north / east
    pc = ((turn[0], turn[1]), (turn[2] * skew, turn[3] * skew))
    shape = (header["NAXIS2"], header["NAXIS1"])
    return Grid((ra, dec), (x - 1, y - 1), east, pc, shape, ratio)


def is_within(given: Any, low: float, high: float) -> bool:
    """Return whether a header's value is a number in a range."""
    return isinstance(given, int | float) and not isinstance(given, bool) and low <= given <= high
