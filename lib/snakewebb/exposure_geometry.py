"""The geometry of an exposure, from its gWCS.

:mod:`snakewebb.wcs_tree` reads the gWCS. What it does not know, be it unusual or broken, is left to
gwcs, which then costs the job a second of imports.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from snakewebb.association import exposure_name
from snakewebb.errors import InputError
from snakewebb.fits_structure import find, read_tree
from snakewebb.geometry import Geometry, PixelToSky, unit_vectors
from snakewebb.grid import MAX_MAP_ERROR, Grid, PixelMap
from snakewebb.headers import facts
from snakewebb.wcs_tree import read_tree as read_gwcs

log = logging.getLogger(__name__)

FEWEST_NODES = 33
MOST_NODES = 513


def read_sky(path: str | Path) -> PixelToSky:
    """Return the map from an exposure's pixels to the sky.

    Raises
    ------
    InputError
        The file has no gWCS.
    """
    try:
        return read_gwcs(read_tree(path))
    except (AttributeError, KeyError, OSError, TypeError, ValueError):
        log.info("%s: its WCS is left to gwcs", path)
    from snakewebb.wcs import pixel_to_sky, read_wcs

    return pixel_to_sky(read_wcs(path))


def read_geometry(path: str | Path) -> dict[str, Any]:
    """Return an exposure's facts with its geometry; see `locate`."""
    return locate(path)[0]


def locate(path: str | Path) -> tuple[dict[str, Any], PixelToSky]:
    """Return an exposure's facts with its geometry, and the map from its pixels to the sky.

    Parameters
    ----------
    path : path
        A stage-2 exposure.

    Returns
    -------
    known : dict
        For JSON: what `snakewebb.exposure.facts` returns, the ``exposure``'s name, the number of
        its image's ``dimensions`` and its ``geometry``.
    sky : PixelToSky

    Raises
    ------
    InputError
        The file has no gWCS, or one that gives no finite sky positions.
    """
    known = {"exposure": exposure_name(path), **facts(path)}
    missing = [name for name, v in known["wcsinfo"].items() if not isinstance(v, int | float)]
    if missing:
        raise InputError(
            f"{path}: its header has no number for {', '.join(missing)} (wcsinfo): run assign_wcs "
            "on it"
        )
    image = find(path, "SCI").shape
    known["dimensions"], shape = len(image), image[-2:]
    sky = read_sky(path)
    known["geometry"] = geometry_of(sky, shape, known["wcsinfo"], str(path)).to_dict()
    return known, sky


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
        The gWCS gives positions that are not finite, or too rough for a spline.
    """
    (x0, x1), (y0, y1) = sky.bounding_box or (
        (-0.5, shape[1] - 0.5),
        (-0.5, shape[0] - 0.5),
    )
    nodes = FEWEST_NODES
    while nodes <= MOST_NODES:
        x, y = np.linspace(x0, x1, nodes), np.linspace(y0, y1, nodes)
        ra, dec = _lattice(sky, x, y)
        if not (np.isfinite(ra).all() and np.isfinite(dec).all()):
            raise InputError(
                f"{name}: its gWCS gives no finite sky positions: run assign_wcs again"
            )
        geometry = Geometry(
            shape=tuple(shape),
            x_nodes=x,
            y_nodes=y,
            ra=ra,
            dec=dec,
            pixel_scale=_pixel_scale(sky, wcsinfo, (x0 + x1) / 2, (y0 + y1) / 2),
            **{key: float(value) for key, value in wcsinfo.items() if key != "vparity"},
            vparity=int(wcsinfo["vparity"]),
        )
        if map_error(sky, geometry) <= MAX_MAP_ERROR:
            return geometry
        nodes = 2 * nodes - 1
    raise InputError(f"{name}: its gWCS is too rough to interpolate: check its distortion model")


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


def _pixel_scale(sky: PixelToSky, wcsinfo: dict[str, Any], x: float, y: float) -> float:
    """Return the pixel scale, degrees, where the reference point falls; else at (x, y)."""
    reference = sky.inverse(wcsinfo["ra_ref"], wcsinfo["dec_ref"])
    if np.isfinite(reference).all():
        x, y = map(float, reference)
    ra, dec = sky.forward(np.array([x, x + 1, x]), np.array([y, y, y + 1]))
    steps = np.diff(unit_vectors(np.asarray(ra), np.asarray(dec))[[1, 0, 2]], axis=0)
    sides = 2 * np.arcsin(np.linalg.norm(steps, axis=1) / 2)
    return float(np.degrees(np.sqrt(sides[0] * sides[1])))
