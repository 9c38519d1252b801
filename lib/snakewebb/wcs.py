"""World coordinate systems of exposures and mosaics, as gWCS objects.

gwcs and what it brings take a second to import: only jobs that read or write a gWCS import this
module. Everything else works from :class:`snakewebb.geometry.Geometry`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asdf
import numpy as np
import yaml
from astropy import coordinates
from astropy import units as u
from astropy.modeling import CompoundModel, models
from gwcs import WCS, FITSImagingWCSTransform, coordinate_frames
from stdatamodels import asdf_in_fits

from snakewebb import sip
from snakewebb.association import exposure_name
from snakewebb.errors import InputError
from snakewebb.exposure import facts, open_fits
from snakewebb.geometry import Correction, Geometry, from_plane, to_plane, unit_vectors
from snakewebb.grid import Grid, PixelMap

MAX_MAP_ERROR = 1e-4
FEWEST_NODES = 33
MOST_NODES = 513

# asdf reads the manifests of all its types when it is first used, by a parser written in Python,
# which takes half a second. The same parser in C, where there is one, takes a tenth of that.
_SLOW = yaml.SafeLoader
yaml.SafeLoader = getattr(yaml, "CSafeLoader", _SLOW)
asdf.get_config().extensions  # noqa: B018
yaml.SafeLoader = _SLOW


def read_wcs(path: str | Path) -> WCS:
    """Return the gWCS stored in a product's ASDF extension.

    Raises
    ------
    InputError
        There is none.
    """
    wcs = None
    with open_fits(path) as hdus:
        try:
            if "ASDF" in hdus:
                with asdf_in_fits.open(hdus) as tree:
                    wcs = tree.tree.get("meta", {}).get("wcs")
        except KeyError as error:
            raise InputError(f"{path}: {str(error.args[0]).rstrip('.')}: fetch it again") from None
        except (AttributeError, OSError, TypeError, ValueError, yaml.YAMLError) as error:
            raise InputError(f"{path}: its gWCS cannot be read: fetch it again") from error
    if not isinstance(wcs, WCS):
        raise InputError(
            f"{path}: holds no gWCS (meta.wcs): run assign_wcs on it, or fetch the _cal file"
        )
    return wcs


def read_geometry(path: str | Path) -> dict[str, Any]:
    """Return an exposure's facts with its geometry, in a form that JSON can hold.

    Parameters
    ----------
    path : path
        A stage-2 exposure.

    Returns
    -------
    dict
        What `snakewebb.exposure.facts` returns, the ``exposure``'s name, the number of its image's
        ``dimensions`` and its ``geometry``.

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
    with open_fits(path) as hdus:
        known["dimensions"] = len(hdus["SCI"].shape)
        shape = hdus["SCI"].shape[-2:]
    known["geometry"] = geometry_of(read_wcs(path), shape, known["wcsinfo"], str(path)).to_dict()
    return known


def geometry_of(wcs: WCS, shape: tuple[int, int], wcsinfo: dict[str, Any], name: str) -> Geometry:
    """Evaluate a gWCS on as few nodes as a spline through them needs.

    The nodes are made denser until the spline is within 1e-4 pixels of the gWCS in the middle of
    the cells.

    Parameters
    ----------
    wcs : gwcs.WCS
        Pixels to ICRS.
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
    box = wcs.bounding_box
    if box is None:
        (x0, x1), (y0, y1) = (-0.5, shape[1] - 0.5), (-0.5, shape[0] - 0.5)
    else:
        (x0, x1), (y0, y1) = box.bounding_box(order="F")
        x0, x1, y0, y1 = (getattr(edge, "value", edge) for edge in (x0, x1, y0, y1))
    nodes = FEWEST_NODES
    while nodes <= MOST_NODES:
        x, y = np.linspace(x0, x1, nodes), np.linspace(y0, y1, nodes)
        ra, dec = _sky(wcs, x, y)
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
            pixel_scale=_pixel_scale(wcs, wcsinfo, (x0 + x1) / 2, (y0 + y1) / 2),
            **{key: float(value) for key, value in wcsinfo.items() if key != "vparity"},
            vparity=int(wcsinfo["vparity"]),
        )
        if map_error(wcs, geometry) <= MAX_MAP_ERROR:
            return geometry
        nodes = 2 * nodes - 1
    raise InputError(f"{name}: its gWCS is too rough to interpolate: check its distortion model")


def map_error(wcs: WCS, geometry: Geometry) -> float:
    """Return the largest error, in pixels, of the spline in the middle of a geometry's cells."""
    x = (geometry.x_nodes[:-1] + geometry.x_nodes[1:]) / 2
    y = (geometry.y_nodes[:-1] + geometry.y_nodes[1:]) / 2
    scale = geometry.pixel_scale
    local = Grid(geometry.center(), (0.0, 0.0), scale, ((1.0, 0.0), (0.0, 1.0)), (2, 2))
    u_spline, v_spline = PixelMap(geometry, local).lattice(x, y)
    u_true, v_true = local.sky_to_pixel(*_sky(wcs, x, y))
    return float(np.hypot(u_spline - u_true, v_spline - v_true).max())


def _sky(wcs: WCS, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return RA and Dec in degrees at the lattice of columns x and rows y."""
    sky = wcs(*np.meshgrid(x, y), with_bounding_box=False)
    return np.asarray(sky[0], float) % 360.0, np.asarray(sky[1], float)


def _pixel_scale(wcs: WCS, wcsinfo: dict[str, Any], x_middle: float, y_middle: float) -> float:
    """Return the pixel scale, degrees, where the reference point falls; else in the middle."""
    try:
        x, y = wcs.invert(wcsinfo["ra_ref"], wcsinfo["dec_ref"], with_bounding_box=False)
    except NotImplementedError:
        x = y = np.nan
    if not np.isfinite([x, y]).all():
        x, y = x_middle, y_middle
    ra, dec = wcs([x, x + 1, x], [y, y, y + 1], with_bounding_box=False)
    steps = np.diff(unit_vectors(np.asarray(ra), np.asarray(dec))[[1, 0, 2]], axis=0)
    sides = 2 * np.arcsin(np.linalg.norm(steps, axis=1) / 2)
    return float(np.degrees(np.sqrt(sides[0] * sides[1])))


def corrected_wcs(
    wcs: WCS, correction: Correction, wcsinfo: dict[str, Any], *, moving_target: bool = False
) -> WCS:
    """Return a gWCS with a correction of its pointing built in.

    Parameters
    ----------
    wcs : gwcs.WCS
        As assign_wcs made it, or already corrected.
    correction : Correction
        From `snakewebb.tweakreg` or `snakewebb.assign_mtwcs`.
    wcsinfo : dict
        v2_ref, v3_ref (arcsec), roll_ref (deg).
    moving_target : bool, optional
        Append the correction as the frame ``moving_target``, as assign_mtwcs does, rather than
        inserting it as ``v2v3corr``, as tweakreg does.
    """
    if not moving_target:
        from tweakwcs.correctors import JWSTWCSCorrector  # 0.1 s

        corrector = JWSTWCSCorrector(wcs, wcsinfo)
        corrector.set_correction(*_in_telescope_plane(wcs, correction, wcsinfo))
        return corrector.wcs
    box, pixel_shape = wcs.bounding_box, wcs.pixel_shape
    to_tangent = (
        models.RotateCelestial2Native(correction.ra0, correction.dec0, 180.0) | models.Sky2Pix_TAN()
    )
    # The projection's x runs to the East for lon_pole 180, in degrees.
    affine = models.AffineTransformation2D(
        np.array(correction.matrix), np.array(correction.shift) / 3600.0
    )
    shifted = to_tangent | affine | to_tangent.inverse
    frame = coordinate_frames.CelestialFrame(
        name="moving_target",
        axes_names=("RA", "DEC"),
        axes_order=(0, 1),
        reference_frame=coordinates.ICRS(),
        unit=(u.deg, u.deg),
    )
    steps = [(step.frame, step.transform) for step in wcs.pipeline]
    last, _ = steps.pop()
    if last.name == frame.name:
        last, before = steps.pop()
        shifted = before | shifted
    moved = WCS([*steps, (last, shifted), (frame, None)], name=wcs.name)
    moved.bounding_box = box
    moved.pixel_shape = pixel_shape
    return moved


def _in_telescope_plane(
    wcs: WCS, correction: Correction, wcsinfo: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the correction as an affine map (matrix, shift in arcsec) where v2v3corr holds one.

    That is the plane that touches (V2, V3) at the reference point, turned by roll_ref. Fitted to
    points all over the detector. tweakwcs could transfer it from plane to plane itself, but goes
    wrong for a WCS that has a v2v3corr already (version 0.9.3).
    """
    (x0, x1), (y0, y1) = wcs.bounding_box.bounding_box(order="F")
    x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(x0, x1, 5), np.linspace(y0, y1, 5)))
    frames = wcs.available_frames
    frame = next(name for name in ("v2v3corr", "v2v3vacorr", "v2v3") if name in frames)
    sky_to_v2v3 = wcs.get_transform(frames[-1], frame)
    ra, dec = wcs(x, y, with_bounding_box=False)
    roll = np.radians(wcsinfo["roll_ref"])
    turn = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    before, after = (
        turn
        @ to_plane(
            *(np.asarray(v) / 3600.0 for v in sky_to_v2v3(*sky)),
            wcsinfo["v2_ref"] / 3600.0,
            wcsinfo["v3_ref"] / 3600.0,
        )
        for sky in ((ra, dec), correction.apply(np.asarray(ra), np.asarray(dec)))
    )
    design = np.column_stack((*before, np.ones(x.size)))
    solution, *_ = np.linalg.lstsq(design, after.T)
    return solution[:2].T, solution[2]


def sip_keywords(wcs: WCS, wcsinfo: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Return FITS-SIP header keywords that approximate a gWCS.

    Parameters
    ----------
    wcs : gwcs.WCS
        An exposure's.
    wcsinfo : dict
        With ``crpix1`` and ``crpix2`` (1-based), where the header's reference pixel shall be.
    **options
        Those of `snakewebb.sip.sip_keywords`.
    """
    return sip.sip_keywords(
        lambda x, y: wcs(*np.meshgrid(x, y), with_bounding_box=False),
        wcs.bounding_box.bounding_box(order="F"),
        (wcsinfo.get("crpix1"), wcsinfo.get("crpix2")),
        **options,
    )


def grid_wcs(grid: Grid) -> WCS:
    """Return the gWCS of a mosaic's grid: pixels to ICRS, with inverse and bounding box."""
    transform = FITSImagingWCSTransform(
        models.Pix2Sky_TAN(),
        crpix=list(grid.crpix),
        crval=list(grid.crval),
        cdelt=[grid.cdelt, grid.cdelt],
        pc=np.array(grid.pc),
    )
    detector = coordinate_frames.Frame2D(
        name="detector", axes_names=("x", "y"), unit=(u.pix, u.pix)
    )
    world = coordinate_frames.CelestialFrame(
        name="world", reference_frame=coordinates.ICRS(), unit=(u.deg, u.deg)
    )
    wcs = WCS([(detector, transform), (world, None)])
    ny, nx = grid.shape
    wcs.bounding_box = ((-0.5, nx - 0.5), (-0.5, ny - 0.5))
    wcs.array_shape = grid.shape
    wcs.pixel_shape = (nx, ny)
    return wcs


def read_grid(path: str | Path, input_pixel_side: float) -> Grid:
    """Return the grid stored as ``output_wcs`` in an ASDF file.

    Parameters
    ----------
    path : path
        ASDF with ``wcs`` (a gWCS that is a TAN projection) and, unless that has a shape itself,
        ``array_shape`` (ny, nx) or ``pixel_shape`` (nx, ny). A mosaic's ``_i2d.fits`` serves too.
    input_pixel_side : float
        The exposures' pixel size, degrees, to which the grid's pixel_scale_ratio refers.

    Raises
    ------
    InputError
        The file holds no such WCS.
    """
    if str(path).endswith((".fits", ".fits.gz")):
        wcs = read_wcs(path)
        with open_fits(path) as hdus:
            tree = {"array_shape": hdus["SCI"].shape}
    else:
        try:
            with asdf.open(path, lazy_load=False) as file:
                tree = dict(file.tree)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: output_wcs cannot be read as ASDF: {error}") from error
        if "wcs" not in tree:
            raise InputError(f"{path}: output_wcs has no key 'wcs': save the gWCS under it")
        wcs = tree["wcs"]
    shape = tree.get("array_shape") or (tree.get("pixel_shape") or [])[::-1] or wcs.array_shape
    if not shape:
        raise InputError(f"{path}: output_wcs has no shape: add array_shape (ny, nx)")
    return _tan_grid(wcs, (int(shape[0]), int(shape[1])), input_pixel_side, str(path))


def _tan_grid(wcs: WCS, shape: tuple[int, int], input_pixel_side: float, path: str) -> Grid:
    """Return the TAN grid that a gWCS is, found from its tangent point and its values."""
    crval = None
    transforms = [wcs.forward_transform]
    while transforms and crval is None:
        model = transforms.pop()
        if isinstance(model, CompoundModel):
            transforms += [model.left, model.right]
        elif isinstance(model, FITSImagingWCSTransform):
            crval = tuple(map(float, model.crval.value))
        elif isinstance(model, models.RotateNative2Celestial):
            crval = (float(model.lon.value), float(model.lat.value))
    if crval is None:
        raise InputError(f"{path}: output_wcs is no TAN projection: make one with FITS-like WCS")
    x, y = (axis.ravel() for axis in np.meshgrid(*(np.linspace(0, n - 1, 5) for n in shape[::-1])))
    xi, eta = to_plane(*(np.asarray(c, float) for c in wcs(x, y, with_bounding_box=False)), *crval)
    design = np.column_stack((x, y, np.ones_like(x)))
    solution, *_ = np.linalg.lstsq(design, np.column_stack((xi, eta)) / 3600.0)
    cd = solution[:2].T
    cdelt = float(np.sqrt(abs(np.linalg.det(cd))))
    crpix = -np.linalg.solve(cd, solution[2])
    pc = tuple(tuple(map(float, row)) for row in cd / cdelt)
    grid = Grid(crval, tuple(map(float, crpix)), cdelt, pc, shape, cdelt / input_pixel_side)
    error = np.hypot(*np.subtract(grid.sky_to_pixel(*from_plane(xi, eta, *crval)), (x, y)))
    if not error.max() < MAX_MAP_ERROR:
        raise InputError(f"{path}: output_wcs is distorted, no plain TAN projection: simplify it")
    return grid
