"""The grid that a user gives as ``output_wcs``: a file with the gWCS of a gnomonic projection."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from snakewebb.errors import InputError
from snakewebb.io.asdf_tree import AsdfTree
from snakewebb.io.fits_structure import find
from snakewebb.wcs.geometry import PixelToSky
from snakewebb.wcs.grid import Grid
from snakewebb.wcs.gwcs_eval import read_tree, tangent_point
from snakewebb.wcs.gwcs_transforms import UnknownWCS
from snakewebb.wcs.pixel_map import MAX_MAP_ERROR
from snakewebb.wcs.sampling import read_asdf
from snakewebb.wcs.sphere import from_plane, to_plane

log = logging.getLogger(__name__)

MAX_SIDE = 100_000
"""Pixels of a side of a mosaic."""
PIXELS = 0.001, 60.0
"""Between these is a pixel's side, arcsec."""
BESIDE = ("array_shape", "pixel_shape")
UNUSED = ("pixel_scale", "pixel_area")
"""Keys beside the gWCS that jwst reads; the last two say what the gWCS says."""


class _Stored(NamedTuple):
    """What a file holds: a gWCS, its tangent point, and shapes (ny, nx), the first one to count."""

    sky: PixelToSky
    crval: Any
    shapes: list[Any]


def read_grid(
    path: str | Path, input_pixel_side: float, output_shape: Sequence[int] | None = None
) -> Grid:
    """Return the grid stored as ``output_wcs``.

    Parameters
    ----------
    path : path
        ASDF with ``wcs``, a gWCS that is a TAN projection. Its shape is the gWCS's own, or else
        ``array_shape`` (ny, nx) or ``pixel_shape`` (nx, ny) beside it, or what its bounding box
        ends at. A mosaic's ``_i2d.fits`` serves too.
    input_pixel_side : float
        The exposures' pixel size, degrees, to which the grid's pixel_scale_ratio refers.
    output_shape : (nx, ny), optional
        In place of the file's.

    Raises
    ------
    InputError
        The file holds no such gWCS.
    """
    sky, crval, shapes = _read(path)
    if output_shape is not None:
        shapes = [list(output_shape)[::-1], *shapes]
    if sky.bounding_box is not None:
        shapes.append([_end(high) for _, high in sky.bounding_box[::-1]])
    shape = next((shape for shape in shapes if shape is not None), None)
    if shape is None:
        raise InputError(
            f"{path}: output_wcs has no shape: add array_shape (ny, nx), or set output_shape"
        )
    if not _is_shape(shape):
        raise InputError(
            f"{path}: output_wcs has shape {shape!r:.60}: give two whole numbers from 2 to "
            f"{MAX_SIDE}"
        )
    return _tan_grid(sky, crval, tuple(shape), input_pixel_side, str(path))


def _read(path: str | Path) -> _Stored:
    """Read a file, by gwcs where it is stored in a way that only that knows."""
    content, place, size = _content(path)
    try:
        tree = AsdfTree(content)
        tree.check_blocks()
        if tree.node(place) is None:
            raise InputError(f"{path}: output_wcs has no key '{place}': save the gWCS under it")
        own, *beside = map(tree.value, (f"{place}.pixel_shape", *BESIDE, *UNUSED))
        try:
            sky, crval = read_tree(content, place), tangent_point(content, place)
        except UnknownWCS as error:
            log.info("%s: output_wcs is left to gwcs: %s", path, error)
            from snakewebb.wcs.gwcs_library import read_projection

            sky, crval = read_projection(path, content, place)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path}: output_wcs cannot be read ({error}): save it again") from error
    array_shape, pixel_shape, *others = beside
    for name, value in zip(UNUSED, others, strict=True):
        if value is not None:
            log.info("%s: its %s is not used: the gWCS tells", path, name)
    return _Stored(sky, crval, [size, _reversed(own), array_shape, _reversed(pixel_shape)])


def _content(path: str | Path) -> tuple[bytes, str, list[int] | None]:
    """Return an ASDF file, where it has the gWCS, and the shape of the image around it."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: output_wcs cannot be read ({error}): check the file") from error
    if not content.startswith((b"SIMPLE", b"\x1f\x8b")):  # or gzip
        return content, "wcs", None
    content = read_asdf(path)
    image = find(path, "SCI")
    if image is None or len(image.shape) != 2:
        raise InputError(f"{path}: output_wcs has no image SCI: give an _i2d, or an ASDF file")
    return content, "meta.wcs", list(image.shape)


def _reversed(shape: Any) -> Any:
    return shape[::-1] if isinstance(shape, list) else shape


def _end(edge: float) -> int | None:
    """Return how many pixels there are up to an edge."""
    return int(edge + 0.5) if 0 < edge < MAX_SIDE else None


def _is_shape(shape: Any) -> bool:
    return (
        isinstance(shape, list | tuple)
        and len(shape) == 2
        and all(type(side) is int and 2 <= side <= MAX_SIDE for side in shape)
    )


def _tan_grid(
    sky: PixelToSky, crval: Any, shape: tuple[int, int], input_pixel_side: float, path: str
) -> Grid:
    """Return the TAN grid that a gWCS is, found from its tangent point and its values."""
    if crval is None:
        raise InputError(f"{path}: output_wcs is no TAN projection: make one with FITS-like WCS")
    ra0, dec0 = crval
    x, y = (axis.ravel() for axis in np.meshgrid(*(np.linspace(0, n - 1, 5) for n in shape[::-1])))
    try:
        with np.errstate(all="ignore"):
            ra, dec = (np.asarray(c, float) for c in sky.forward(x, y))
            xi, eta = to_plane(ra, dec, ra0, dec0)
    except Exception as error:  # of what gwcs and astropy make of a gWCS that they could read
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{path}: output_wcs cannot be evaluated ({reason:.100}): save it again"
        ) from error
    if not (np.isfinite([xi, eta]).all() and abs(dec0) <= 90 and np.abs(dec).max() <= 90):
        raise InputError(f"{path}: output_wcs gives no positions on the sky: check its crval")
    design = np.column_stack((x, y, np.ones_like(x)))
    solution, *_ = np.linalg.lstsq(design, np.column_stack((xi, eta)) / 3600.0)
    cd = solution[:2].T
    cdelt = float(np.sqrt(abs(np.linalg.det(cd))))
    if not PIXELS[0] <= 3600 * cdelt <= PIXELS[1]:
        raise InputError(
            f"{path}: output_wcs has pixels of {3600 * cdelt:.3g} arcsec: check cdelt and pc"
        )
    x0, y0 = (-np.linalg.solve(cd, solution[2])).tolist()
    (a, b), (c, d) = (cd / cdelt).tolist()
    ratio = cdelt / input_pixel_side
    grid = Grid((ra0 % 360.0, dec0), (x0, y0), cdelt, ((a, b), (c, d)), shape, ratio)
    off = np.hypot(*np.subtract(grid.sky_to_pixel(*from_plane(xi, eta, ra0, dec0)), (x, y)))
    if not off.max() < MAX_MAP_ERROR:
        raise InputError(f"{path}: output_wcs is distorted, no plain TAN projection: simplify it")
    return grid
