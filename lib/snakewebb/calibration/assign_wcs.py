"""assign_wcs: the gWCS of an imaging exposure, and keywords that tell what it says.

After jwst's step of that name (jwst-pipeline.readthedocs.io), but for the pivot of the velocity
aberration (`snakewebb.wcs.aberration`) and the bounding box of subarrays.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snakewebb.calibration.exposures import IMAGING, WITHOUT
from snakewebb.errors import InputError
from snakewebb.io.exposure_file import ExposureFile
from snakewebb.io.headers import Header, exposure_header, number, read_header, text
from snakewebb.references.distortion import read_distortion, read_filter_offset
from snakewebb.references.subarrays import subarray_of
from snakewebb.wcs.aberration import aberration_of
from snakewebb.wcs.change import WcsChange
from snakewebb.wcs.geometry import Box, PixelToSky
from snakewebb.wcs.gwcs_eval import bounding_box, pixel_to_sky, transform_of
from snakewebb.wcs.gwcs_imaging import imaging_wcs
from snakewebb.wcs.gwcs_transforms import UnknownWCS
from snakewebb.wcs.sip import FITS_WCS, Lattice, sip_keywords
from snakewebb.wcs.sphere import s_region, to_plane

log = logging.getLogger(__name__)

REFERENCE_POINT = {
    "ra_ref": "RA_REF",
    "dec_ref": "DEC_REF",
    "roll_ref": "ROLL_REF",
    "v2_ref": "V2_REF",
    "v3_ref": "V3_REF",
}
FARTHEST = 0.1
"""Degrees from the reference point to a pixel; no detector has a diagonal of more than 0.06."""
SCALES = 0.001, 10.0
"""Between these is a pixel's side, arcsec."""
PIVOTS = ("guide_star", "aperture")


@dataclass(frozen=True)
class WcsOptions:
    """How a WCS is assigned.

    Attributes
    ----------
    sip_approx : bool
        Whether FITS WCS keywords with SIP polynomials are made.
    sip_max_pix_error, sip_degree, sip_max_inv_pix_error, sip_inv_degree, sip_npoints
        See `snakewebb.wcs.sip.sip_keywords`.
    dva_pivot : {"guide_star", "aperture"}
        What velocity aberration is scaled about; the second is jwst's.
    """

    sip_approx: bool = True
    sip_max_pix_error: float = 0.01
    sip_degree: int | None = None
    sip_max_inv_pix_error: float = 0.01
    sip_inv_degree: int | None = None
    sip_npoints: int = 12
    dva_pivot: str = "guide_star"

    def __post_init__(self) -> None:
        if self.dva_pivot not in PIVOTS:
            raise InputError(
                f"assign_wcs: dva_pivot: {self.dva_pivot!r:.40}: give {' or '.join(PIVOTS)}"
            )

    @property
    def sip(self) -> dict[str, Any]:
        """Options of `snakewebb.wcs.sip.sip_keywords`."""
        names = ("max_pix_error", "degree", "max_inv_pix_error", "inv_degree", "npoints")
        return {name: getattr(self, f"sip_{name}") for name in names}


def assign_wcs(
    exposure: ExposureFile,
    distortion: str | Path,
    filteroffset: str | Path | None = None,
    options: WcsOptions | None = None,
) -> tuple[WcsChange | None, dict[str, Any]]:
    """Return the WCS of an exposure.

    Parameters
    ----------
    exposure : ExposureFile
        A ``_rate`` or ``_rateints``, with an ASDF tree.
    distortion : path
        The DISTORTION reference file.
    filteroffset : path, optional
        The FILTEROFFSET reference file; None if there is none for it.
    options : WcsOptions, optional

    Returns
    -------
    change : WcsChange or None
        None if exposures of its type have no WCS: the step is SKIPPED.
    notes : dict
        For ``meta.snakewebb.assign_wcs``.

    Raises
    ------
    InputError
        A file cannot be read, or lacks what is needed.
    """
    options = options or WcsOptions()
    path = exposure.path
    header = read_header(path)
    kind = text(header, "EXP_TYPE", path=path)
    if kind in WITHOUT:
        return None, {"reason": f"exposures of type {kind} have no WCS"}
    if kind not in IMAGING:
        raise InputError(f"{path}: EXP_TYPE is {kind}, none of imaging: leave it out")
    if exposure.tree is None:
        raise InputError(f"{path}: has no ASDF extension that can be read: fetch it again")
    wcsinfo = _reference_point(path)
    place = subarray_of(path)
    corner, shape = (place.x - 1, place.y - 1), (place.ny, place.nx)
    model = read_distortion(distortion)
    aberration = aberration_of(
        header, wcsinfo, path, about_aperture=options.dva_pivot == "aperture"
    )
    offset = _filter_offset(filteroffset, header, path) if filteroffset else None
    shifts = [shift for shift in (corner, offset) if shift and any(shift)]
    try:
        known = transform_of(model, exposure.tree)
        if (known.inputs, known.outputs) != (2, 2):
            raise UnknownWCS(f"{known.inputs} coordinates to {known.outputs}")
        box = image_box(bounding_box(model, exposure.tree), corner, shape)
        wcs = imaging_wcs(model, box, shifts, aberration, wcsinfo, exposure.tree.standard)
        sky = pixel_to_sky(wcs, exposure.tree)
    except UnknownWCS as error:
        raise InputError(
            f"{distortion}: its model is of an unknown kind ({error}): give a DISTORTION file of "
            "an imaging mode"
        ) from error
    if any(low >= high for low, high in box):
        raise InputError(f"{distortion}: its bounding box has no pixel of {path}: give another")
    _check(sky, box, wcsinfo, distortion, path)
    keywords = {"S_REGION": _region(sky, box)}
    if options.sip_approx:
        crpix = [number(header, key, path=path) for key in ("CRPIX1", "CRPIX2")]
        keywords |= sip_keywords(_lattice(sky), box, crpix, **options.sip)
    notes = aberration.notes | {"filter_offset": None if offset is None else list(offset)}
    forgotten = [name.upper() for name in FITS_WCS] if options.sip_approx else []
    return WcsChange(keywords=keywords, forgotten=forgotten, wcs=wcs), notes


def image_box(known: Box | None, corner: tuple[int, int], shape: tuple[int, ...]) -> Box:
    """Return the bounding box of an image, ((x0, x1), (y0, y1)), in its own pixels.

    Parameters
    ----------
    known : ((x0, x1), (y0, y1)) or None
        That of the distortion, pixels of the full frame.
    corner : (x, y)
        The pixel of the full frame that is the image's first.
    shape : (ny, nx)
    """
    known = known or ((-np.inf, np.inf), (-np.inf, np.inf))
    x, y = (
        (float(max(low - first, -0.5)), float(min(high - first, size - 0.5)))
        for (low, high), first, size in zip(known, corner, shape[::-1], strict=True)
    )
    return x, y


def _reference_point(path: Path) -> dict[str, float]:
    """Return the place and roll of the aperture's reference point."""
    known = exposure_header(path).wcsinfo
    missing = [key for name, key in REFERENCE_POINT.items() if known[name] is None]
    if missing:
        raise InputError(
            f"{path}: its header has no {', '.join(missing)}: run set_telescope_pointing on it, or "
            "fetch it again"
        )
    return {name: known[name] for name in REFERENCE_POINT}


def _filter_offset(
    filteroffset: str | Path, header: Header, path: Path
) -> tuple[float, float] | None:
    instrument, name, pupil = (
        text(header, key, path=path) for key in ("INSTRUME", "FILTER", "PUPIL")
    )
    offset = read_filter_offset(filteroffset, instrument, name, pupil)
    if offset is None:
        log.warning(
            "%s: has no offset for %s, so %s may be off by up to 0.1 arcsec",
            filteroffset,
            name if instrument == "MIRI" else f"{name} with {pupil}",
            path,
        )
    return offset


def _lattice(sky: PixelToSky) -> Lattice:
    def lattice(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ra, dec = sky.forward(*np.meshgrid(x, y))
        return ra, dec

    return lattice


def _check(
    sky: PixelToSky, box: Box, wcsinfo: dict[str, float], distortion: str | Path, path: Path
) -> None:
    """Raise where a model puts pixels elsewhere than the detector has them."""
    with np.errstate(all="ignore"):
        x, y = (np.linspace(*ends, 9) for ends in box)
        ra, dec = _lattice(sky)(x, y)
        plane = np.array(to_plane(ra, dec, wcsinfo["ra_ref"], wcsinfo["dec_ref"]))
        across, along = (np.diff(plane, axis=axis)[:, :8, :8] for axis in (2, 1))
        sides = [(high - low) / 8 for low, high in box]
        area = (across[0] * along[1] - across[1] * along[0]) / np.prod(sides)
        scale = np.sqrt(np.abs(area))
        far = np.hypot(*plane).max() / 3600.0
    if not (far < FARTHEST and np.all((scale > SCALES[0]) & (scale < SCALES[1]))):  # NaN is not
        raise InputError(
            f"{distortion}: its model puts the pixels of {path} elsewhere than its detector has "
            "them: give that of the detector"
        )


def _region(sky: PixelToSky, box: Box) -> str:
    (x0, x1), (y0, y1) = box
    return s_region(*sky.forward(np.array([x0, x0, x1, x1]), np.array([y0, y1, y1, y0])))
