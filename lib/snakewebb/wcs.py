"""World coordinate systems of exposures and mosaics, as gWCS objects.

gwcs and what it brings take a second to import: only jobs that write a gWCS import this module, or
read one that :mod:`snakewebb.wcs_tree` does not understand. Everything else works from
:class:`snakewebb.geometry.Geometry`.
"""

from __future__ import annotations

from functools import partial
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
from snakewebb.errors import InputError
from snakewebb.exposure import open_fits
from snakewebb.geometry import Correction, PixelToSky, from_plane, to_plane
from snakewebb.grid import MAX_MAP_ERROR, Grid
from snakewebb.hdus import sound_hdu

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
                hdus["ASDF"] = sound_hdu(path)
                with asdf_in_fits.open(hdus) as tree:
                    wcs = tree.tree.get("meta", {}).get("wcs")
        except (AttributeError, KeyError, OSError, TypeError, ValueError, yaml.YAMLError) as error:
            raise InputError(f"{path}: its gWCS cannot be read: fetch it again") from error
    if not isinstance(wcs, WCS):
        raise InputError(
            f"{path}: holds no gWCS (meta.wcs): run assign_wcs on it, or fetch the _cal file"
        )
    return wcs


def pixel_to_sky(wcs: WCS) -> PixelToSky:
    """Return the map that a gWCS of an image is."""
    box = wcs.bounding_box
    if box is not None:
        box = box.bounding_box(order="F")
        box = tuple(tuple(float(getattr(edge, "value", edge)) for edge in axis) for axis in box)
    return PixelToSky(
        partial(wcs, with_bounding_box=False), partial(wcs.invert, with_bounding_box=False), box
    )


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
