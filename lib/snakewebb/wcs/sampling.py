"""The geometry of an exposure, from its gWCS.

:mod:`snakewebb.wcs.gwcs_eval` reads the gWCS. What it does not know, be it unusual or broken, is
left to gwcs, which then costs the job a second of imports.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from snakewebb.errors import InputError
from snakewebb.io.asdf_tree import AsdfTree
from snakewebb.io.fits_structure import read_tree
from snakewebb.wcs.geometry import Box, Geometry, PixelToSky
from snakewebb.wcs.grid import Grid
from snakewebb.wcs.gwcs_eval import read_tree as read_gwcs
from snakewebb.wcs.gwcs_transforms import UnknownWCS
from snakewebb.wcs.pixel_map import MAX_MAP_ERROR, PixelMap
from snakewebb.wcs.sphere import to_plane, unit_vectors

log = logging.getLogger(__name__)

FEWEST_NODES = 33
MOST_NODES = 513

MAX_REFERENCE_DISTANCE = 0.25
"""Degrees from the middle of an image to its reference point; JWST sees a third of a degree."""
MAX_BOX = 10_000
"""Pixels from the first one to the edge of a bounding box."""
MARGIN = 2048
"""Pixels beyond the bounding box where its distortion still means something."""
SCALES = 0.001, 10.0
"""Between these is a pixel's side, arcsec."""
MOST_STEPS, PRECISION = 30, 1e-6

NO_WCS = "holds no gWCS (meta.wcs): run assign_wcs on it, or fetch the _cal file"


def read_asdf(path: str | Path) -> bytes:
    """Return the ASDF file in a FITS file's extension.

    Raises
    ------
    InputError
        There is none.
    """
    content = read_tree(path)
    if not content:
        raise InputError(f"{path}: {NO_WCS}")
    return content


def read_sky(path: str | Path) -> PixelToSky:
    """Return the map from an exposure's pixels to the sky.

    Raises
    ------
    InputError
        The file has no gWCS of an image.
    """
    content = read_asdf(path)
    try:
        return read_gwcs(content)
    except UnknownWCS as error:
        log.info("%s: its WCS is left to gwcs: %s", path, error)
    try:
        AsdfTree(content).check_blocks()
    except ValueError as error:
        raise InputError(f"{path}: its gWCS cannot be read ({error}): fetch it again") from error
    from snakewebb.wcs.gwcs_library import pixel_to_sky, read_wcs

    return pixel_to_sky(read_wcs(path))


def geometry_of(
    sky: PixelToSky, shape: tuple[int, int], wcsinfo: dict[str, Any], name: str
) -> Geometry:
    """Evaluate a gWCS on as few nodes as a spline through them needs.

    The nodes are made denser until the spline is within 1e-4 pixels of the gWCS in the middle of
    the cells.

    Parameters
    ----------
    sky : PixelToSky
        Of the exposure.
    shape : (ny, nx)
        Of the image.
    wcsinfo : dict
        v2_ref, v3_ref, roll_ref, ra_ref, dec_ref, v3yangle, vparity.
    name : str
        The exposure, for messages.

    Raises
    ------
    InputError
        The gWCS cannot be evaluated, is folded, too rough for a spline, or has a bounding box or
        pixels that cannot be.
    """
    box = bounding_box(sky, shape)
    for (low, high), size in zip(box, shape[::-1], strict=True):
        touches = low < size - 0.5 and high > -0.5
        if not (touches and high - low > 1 and max(-low, high) < MAX_BOX):  # NaN is not
            raise InputError(
                f"{name}: the bounding box of its gWCS, {box}, is none of an image of {shape[1]} × "
                f"{shape[0]} pixels: run assign_wcs again"
            )
    try:
        with np.errstate(all="ignore"):
            return _nodes(sky, shape, wcsinfo, box, name)
    except InputError:
        raise
    except Exception as error:  # of what gwcs and astropy make of a gWCS that they could read
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{name}: its gWCS cannot be evaluated ({reason:.100}): run assign_wcs again"
        ) from error


def _nodes(
    sky: PixelToSky, shape: tuple[int, int], wcsinfo: dict[str, Any], box: Box, name: str
) -> Geometry:
    """Evaluate a gWCS within a bounding box; see `geometry_of`."""
    scale = _pixel_scale(sky, wcsinfo, box)
    if not SCALES[0] <= 3600 * scale <= SCALES[1]:
        raise InputError(
            f"{name}: its gWCS makes pixels of {3600 * scale:.3g} arcsec: run assign_wcs again"
        )
    reference: dict[str, Any] = {
        key: int(value) if key == "vparity" else float(value) for key, value in wcsinfo.items()
    }
    nodes = FEWEST_NODES
    while nodes <= MOST_NODES:
        x, y = (np.linspace(*ends, nodes) for ends in box)
        ra, dec = _lattice(sky, x, y)
        _check_lattice(ra, dec, name)
        geometry = Geometry(
            shape=shape,
            x_nodes=x,
            y_nodes=y,
            ra=ra,
            dec=dec,
            pixel_scale=scale,
            **reference,
        )
        if map_error(sky, geometry) <= MAX_MAP_ERROR:
            return geometry
        nodes = 2 * nodes - 1
    raise InputError(f"{name}: its gWCS is too rough to interpolate: check its distortion model")


def bounding_box(sky: PixelToSky, shape: tuple[int, int]) -> Box:
    """Return the bounding box of a gWCS; that of the image (ny, nx) where it has none."""
    return sky.bounding_box or ((-0.5, shape[1] - 0.5), (-0.5, shape[0] - 0.5))


def corners(sky: PixelToSky, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return RA and Dec of the corners of a bounding box; see `Geometry.corners`."""
    (x0, x1), (y0, y1) = bounding_box(sky, shape)
    ra, dec = sky.forward(np.array([x0, x0, x1, x1]), np.array([y0, y1, y1, y0]))
    return np.asarray(ra, float) % 360.0, np.asarray(dec, float)


def _check_lattice(ra: np.ndarray, dec: np.ndarray, name: str) -> None:
    """Raise where a lattice of nodes is not on the sky, or folded."""
    if not (np.isfinite(ra).all() and np.isfinite(dec).all()):
        raise InputError(f"{name}: its gWCS gives no finite sky positions: run assign_wcs again")
    rows, cols = len(dec) // 2, dec.shape[1] // 2
    plane = np.array(to_plane(ra, dec, ra[rows, cols], dec[rows, cols]))
    (a, b), (c, d) = np.diff(plane)[:, :-1], np.diff(plane, axis=1)[..., :-1]
    areas = a * d - b * c
    if not (np.all(areas > 0) or np.all(areas < 0)):
        raise InputError(f"{name}: its gWCS folds the image: check its distortion model")


def map_error(sky: PixelToSky, geometry: Geometry) -> float:
    """Return the largest error, in pixels, of the spline in the middle of a geometry's cells."""
    x = (geometry.x_nodes[:-1] + geometry.x_nodes[1:]) / 2
    y = (geometry.y_nodes[:-1] + geometry.y_nodes[1:]) / 2
    scale = geometry.pixel_scale
    local = Grid(geometry.center(), (0.0, 0.0), scale, ((1.0, 0.0), (0.0, 1.0)), (2, 2))
    u_spline, v_spline = PixelMap(geometry, local).lattice(x, y)
    u_true, v_true = local.sky_to_pixel(*_lattice(sky, x, y))
    return float(np.hypot(u_spline - u_true, v_spline - v_true).max())


def _lattice(sky: PixelToSky, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return RA and Dec in degrees at the lattice of columns x and rows y."""
    ra, dec = sky.forward(*np.meshgrid(x, y))
    return np.asarray(ra, float) % 360.0, np.asarray(dec, float)


def _pixel_scale(sky: PixelToSky, wcsinfo: dict[str, Any], box: Box) -> float:
    """Return the pixel scale, degrees, where the reference point falls.

    Where that is not near the image, the scale in the middle.
    """
    x, y = map(float, np.mean(box, axis=1))
    place = wcsinfo["ra_ref"], wcsinfo["dec_ref"]
    found = find_pixel(sky, *place, (x, y)) if sky.inverse is None else sky.inverse(*place)
    at = [float(c) for c in found]
    if all(low - MARGIN <= c <= high + MARGIN for c, (low, high) in zip(at, box, strict=True)):
        x, y = at
    ra, dec = sky.forward(np.array([x, x + 1, x]), np.array([y, y, y + 1]))
    steps = np.diff(unit_vectors(np.asarray(ra), np.asarray(dec))[[1, 0, 2]], axis=0)
    sides = 2 * np.arcsin(np.linalg.norm(steps, axis=1) / 2)
    return float(np.degrees(np.sqrt(sides[0] * sides[1])))


def find_pixel(
    sky: PixelToSky, ra: float, dec: float, start: tuple[float, float]
) -> tuple[float, float]:
    """Return the 0-based pixel that sees a position, from the way to the sky alone.

    Newton's method, to a millionth of a pixel; NaN where it does not come to an end.

    Parameters
    ----------
    sky : PixelToSky
        Its inverse is not used.
    ra, dec : float
        Degrees.
    start : (x, y)
        Where to begin.
    """
    at = np.array(start)
    for _ in range(MOST_STEPS):
        around = at[:, None] + [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
        alpha, delta = map(np.asarray, sky.forward(*around))
        plane = np.array(to_plane(alpha, delta, ra, dec))
        slopes = plane[:, 1:] - plane[:, :1]
        if not np.isfinite(plane).all() or not np.linalg.det(slopes):
            break
        step = np.linalg.solve(slopes, plane[:, 0])
        at = at - step
        if np.hypot(*step) < PRECISION:
            return float(at[0]), float(at[1])
    return np.nan, np.nan
