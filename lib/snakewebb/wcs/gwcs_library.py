"""World coordinate systems of exposures and mosaics, as gWCS objects.

gwcs and what it brings take a second to import: only jobs that write a gWCS import this module, or
read one that :mod:`snakewebb.wcs.gwcs_eval` does not understand. Everything else works from
:class:`snakewebb.wcs.geometry.Geometry`.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import asdf
import numpy as np
from astropy import coordinates
from astropy import units as u
from astropy.modeling import CompoundModel, models
from gwcs import WCS, FITSImagingWCSTransform, coordinate_frames
from stdatamodels import asdf_in_fits

from snakewebb.errors import InputError
from snakewebb.io.hdus import sound_hdu
from snakewebb.io.planes import open_fits
from snakewebb.startup import fast_yaml
from snakewebb.wcs import sip
from snakewebb.wcs.geometry import Correction, PixelToSky
from snakewebb.wcs.sphere import to_plane

log = logging.getLogger(__name__)

with fast_yaml():
    asdf.get_config().extensions  # noqa: B018 - read when they are first asked for


def read_wcs(path: str | Path) -> WCS:
    """Return the gWCS of an image, stored in a product's ASDF extension.

    Raises
    ------
    InputError
        There is none, or it does not lead from two pixel coordinates to RA and Dec.
    """
    with open_fits(path) as hdus:
        try:
            if "ASDF" in hdus:
                hdus["ASDF"] = sound_hdu(path)
            with _quiet(), asdf_in_fits.open(hdus) as tree:
                wcs = tree.tree.get("meta", {}).get("wcs")
        except Exception as error:  # of asdf, YAML, and of what makes objects of a tree
            raise InputError(f"{path}: its gWCS cannot be read: fetch it again") from error
    check_image_wcs(wcs, path)
    return wcs


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out warnings; asdf gives some for each object that it cannot make."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def check_image_wcs(wcs: Any, path: str | Path) -> None:
    """Raise where what a file has is no gWCS from two pixel coordinates to RA and Dec.

    Raises
    ------
    InputError
    """
    if not isinstance(wcs, WCS):
        raise InputError(
            f"{path}: holds no gWCS (meta.wcs): run assign_wcs on it, or fetch the _cal file"
        )
    try:
        frame, transform = wcs.output_frame, wcs.forward_transform
        numbers = transform.n_inputs, transform.n_outputs
    except Exception as error:  # of gwcs where steps don't fit together
        raise InputError(f"{path}: its gWCS leads nowhere: run assign_wcs again") from error
    if numbers != (2, 2):
        raise InputError(
            f"{path}: its gWCS leads from {numbers[0]} coordinates to {numbers[1]}: give one of "
            "an image"
        )
    if isinstance(frame, str | coordinate_frames.EmptyFrame):
        return
    if not (
        isinstance(frame, coordinate_frames.CelestialFrame)
        and isinstance(frame.reference_frame, coordinates.ICRS)
        and tuple(frame.axes_order) == (0, 1)
        and all(unit == u.deg for unit in frame.unit)
    ):
        raise InputError(
            f"{path}: its gWCS leads to {frame.name}, which is not RA and Dec, ICRS, in degrees: "
            "run assign_wcs again"
        )


def pixel_to_sky(wcs: WCS) -> PixelToSky:
    """Return the map that a gWCS of an image is."""
    box = wcs.bounding_box
    if box is not None:
        box = box.bounding_box(order="F")
        box = tuple(tuple(float(getattr(edge, "value", edge)) for edge in axis) for axis in box)
    try:
        wcs.backward_transform  # noqa: B018
        inverse = partial(wcs.invert, with_bounding_box=False)
    except NotImplementedError:
        inverse = None
    return PixelToSky(partial(wcs, with_bounding_box=False), inverse, box)


def corrected_wcs(
    wcs: WCS, correction: Correction, wcsinfo: dict[str, Any], *, moving_target: bool = False
) -> WCS:
    """Return a gWCS with a correction of its pointing built in.

    Parameters
    ----------
    wcs : gwcs.WCS
        As assign_wcs made it, or already corrected.
    correction : Correction
        From `snakewebb.astrometry.tweakreg` or `snakewebb.astrometry.assign_mtwcs`.
    wcsinfo : dict
        v2_ref, v3_ref (arcsec), roll_ref (deg).
    moving_target : bool, optional
        Append the correction as the frame ``moving_target``, as assign_mtwcs does, rather than
        inserting it as ``v2v3corr``, as tweakreg does. What has no V2 and V3, or a correction of
        another kind already, gets it as part of its last step.
    """
    box, pixel_shape = wcs.bounding_box, wcs.pixel_shape
    if not moving_target:
        from tweakwcs.correctors import JWSTWCSCorrector  # 0.1 s

        known = {name: float(wcsinfo[name]) for name in ("v2_ref", "v3_ref", "roll_ref")}
        try:
            corrector = JWSTWCSCorrector(wcs, known)
            plane = _in_telescope_plane(wcs, correction, known)
        except Exception as error:  # of tweakwcs where a gWCS is not as assign_wcs makes it
            log.info("the correction is put on the sky, as tweakwcs would not: %s", error)
        else:
            corrector.set_correction(*plane)
            return corrector.wcs
    to_tangent = (
        models.RotateCelestial2Native(correction.ra0, correction.dec0, 180.0) | models.Sky2Pix_TAN()
    )
    # The projection's x runs to the East for lon_pole 180, in degrees.
    affine = models.AffineTransformation2D(
        np.array(correction.matrix), np.array(correction.shift) / 3600.0
    )
    shifted = to_tangent | affine | to_tangent.inverse
    steps = [(step.frame, step.transform) for step in wcs.pipeline]
    last, _ = steps.pop()
    frame = last
    if moving_target:
        frame = coordinate_frames.CelestialFrame(
            name="moving_target",
            axes_names=("RA", "DEC"),
            axes_order=(0, 1),
            reference_frame=coordinates.ICRS(),
            unit=(u.deg, u.deg),
        )
    if frame is last or getattr(last, "name", last) == frame.name:
        last, before = steps.pop()
        shifted = before | shifted
    moved = WCS([*steps, (last, shifted), (frame, None)], name=wcs.name)
    moved.bounding_box = box
    moved.pixel_shape = pixel_shape
    return moved


def moved_wcs(wcs: WCS, shift: tuple[float, float]) -> WCS:
    """Return a gWCS with velocity aberration scaled about another point.

    Parameters
    ----------
    wcs : gwcs.WCS
        With the frame ``v2v3vacorr``.
    shift : (v2, v3)
        Arcsec, to be added there; see `snakewebb.wcs.aberration.pivot_shift`.
    """
    steps = [(step.frame, step.transform) for step in wcs.pipeline]
    at = wcs.available_frames.index("v2v3vacorr") - 1
    frame, transform = steps[at]
    steps[at] = frame, transform | (models.Shift(shift[0]) & models.Shift(shift[1]))
    moved = WCS(steps, name=wcs.name)
    moved.bounding_box, moved.pixel_shape = wcs.bounding_box, wcs.pixel_shape
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
    v2_ref, v3_ref = wcsinfo["v2_ref"] / 3600.0, wcsinfo["v3_ref"] / 3600.0
    skies = (ra, dec), correction.apply(np.asarray(ra), np.asarray(dec))
    planes = (np.asarray(sky_to_v2v3(*sky)) / 3600.0 for sky in skies)
    before, after = (turn @ to_plane(v2, v3, v2_ref, v3_ref) for v2, v3 in planes)
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
        Those of `snakewebb.wcs.sip.sip_keywords`.
    """
    return sip.sip_keywords(
        lambda x, y: wcs(*np.meshgrid(x, y), with_bounding_box=False),
        wcs.bounding_box.bounding_box(order="F"),
        (wcsinfo.get("crpix1"), wcsinfo.get("crpix2")),
        **options,
    )


def read_projection(
    path: str | Path, content: bytes, place: str
) -> tuple[PixelToSky, tuple[float, float] | None]:
    """Return the map that a gWCS is, and the RA and Dec, degrees, where it touches a plane.

    Parameters
    ----------
    path : path
        Of an ASDF file, or a FITS file with one.
    content : bytes
        The ASDF file.
    place : str
        Where it has the gWCS.

    Raises
    ------
    InputError
        There is none of an image.
    """
    if place == "wcs":
        try:
            with _quiet(), asdf.open(io.BytesIO(content), lazy_load=False) as file:
                wcs = file.tree["wcs"]
        except Exception as error:
            raise InputError(f"{path}: its gWCS cannot be read: save it again") from error
        check_image_wcs(wcs, path)
    else:
        wcs = read_wcs(path)
    crval = None
    transforms = [wcs.forward_transform]
    while transforms:
        model = transforms.pop()
        if isinstance(model, CompoundModel):
            transforms += [model.left, model.right]
        elif isinstance(model, FITSImagingWCSTransform):
            ra, dec = model.crval.value
            crval = float(ra), float(dec)
        elif isinstance(model, models.RotateNative2Celestial):
            crval = float(model.lon.value), float(model.lat.value)
    return pixel_to_sky(wcs), crval
