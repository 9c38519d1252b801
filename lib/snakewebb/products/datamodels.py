"""Exposures that are changed through the data models of stdatamodels.

That is slow, and done only where `snakewebb.products.exposure_file` cannot write a copy.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning
from stdatamodels import fits_support
from stdatamodels.jwst.datamodels import CubeModel, ImageModel

from snakewebb.errors import InputError
from snakewebb.io.atomic import replacing
from snakewebb.io.checksums import make_room, seal
from snakewebb.io.hdus import SUMS, forget_sums, open_copy, sound_hdu
from snakewebb.io.planes import Planes, invalidate, read_planes
from snakewebb.io.provenance import (
    ORIGIN,
    Provenance,
    cards,
    date,
    history,
    log_statuses,
    noted,
    plain,
)
from snakewebb.wcs.change import Pointing
from snakewebb.wcs.gwcs_library import corrected_wcs, moved_wcs, pixel_to_sky, sip_keywords
from snakewebb.wcs.sampling import corners
from snakewebb.wcs.sip import FITS_WCS
from snakewebb.wcs.sphere import s_region

ARRAYS = {
    "DQ": "dq",
    "SCI": "data",
    "ERR": "err",
    "VAR_POISSON": "var_poisson",
    "VAR_RNOISE": "var_rnoise",
    "VAR_FLAT": "var_flat",
}
"""Planes of an exposure and what the data models call them."""

REFERENCE = ("v2_ref", "v3_ref", "ra_ref", "dec_ref", "roll_ref", "v3yangle", "vparity")


def write_changed(
    source: str | Path,
    target: str | Path,
    change: Callable[[Planes], None],
    *,
    provenance: Provenance,
    metadata: Mapping[str, Mapping[str, Any]],
    pointing: Pointing,
    integrations: bool,
) -> None:
    """Write an exposure with other pixels, metadata and pointing.

    Parameters
    ----------
    source, target : path
        The exposure and the product to write.
    change, provenance, metadata, pointing, integrations
        See `snakewebb.products.exposure_file.rewrite`.
    """
    model = open_model(source, integrations=integrations)
    if model.dq is None:
        model.dq = np.zeros(model.data.shape, np.uint32)
    known = {name: getattr(model, array) for name, array in ARRAYS.items()}
    planes = {name: a for name, a in known.items() if np.shape(a) == model.data.shape}
    invalidate(planes)
    change(planes)
    for name, plane in planes.items():
        setattr(model, ARRAYS[name], plane)
    geometry = pointing.geometry
    moved = geometry is not None and any(geometry.pivot_shift)
    if moved:
        model.meta.wcs = moved_wcs(model.meta.wcs, geometry.pivot_shift)
    if pointing.correction is not None or moved:
        correct_pointing(model, pointing)
    elif geometry is not None:
        model.meta.wcsinfo.s_region = s_region(*geometry.corners())
    for node, values in plain({**metadata, "wcsinfo": pointing.wcsinfo}).items():
        _assign(getattr(model.meta, node), values)
    _assign(model.meta.cal_step, provenance.statuses)
    _note(model, provenance)
    with replacing(target) as file, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Card is too long", VerifyWarning)
        hdus = _header_list(model, target)
        make_room(hdu.header for hdu in hdus)
        hdus.writeto(file)
        seal(file)
    log_statuses(target, provenance.statuses)


def open_model(path: str | Path, *, integrations: bool = False) -> ImageModel | CubeModel:
    """Open an image or a cube as the data model it is, or an image as a cube of one integration."""
    read_planes(path, ())
    try:
        with open_copy(path, integrations=integrations) as hdus:
            forget_sums(hdus)
            if "ASDF" in hdus:
                hdus["ASDF"] = sound_hdu(path)
            kind = CubeModel if len(hdus["SCI"].shape) == 3 else ImageModel
            return kind(hdus)
    except InputError:
        raise
    except Exception as error:  # asdf's and the schema's complaints are of many kinds
        reason = (str(error).splitlines() or [repr(error)])[0]
        raise InputError(f"{path}: cannot be read ({reason}): fetch the file again") from error


def _assign(node: Any, values: Mapping[str, Any]) -> None:
    """Set metadata; the data model checks them against its schema."""
    for name, value in values.items():
        setattr(node, name, value)


def correct_pointing(model: ImageModel, pointing: Pointing) -> None:
    """Correct a model's gWCS, if there is a correction, and make S_REGION and FITS WCS follow."""
    correction, sip = pointing.correction, pointing.sip
    wcsinfo = model.meta.wcsinfo
    known = {name: wcsinfo.instance.get(name) for name in (*REFERENCE, "crpix1", "crpix2")}
    wcs = model.meta.wcs
    if correction is not None:
        wcs = model.meta.wcs = corrected_wcs(
            wcs, correction, known, moving_target=pointing.moving_target
        )
    wcsinfo.s_region = s_region(*corners(pixel_to_sky(wcs), model.data.shape[-2:]))
    for name in FITS_WCS:
        wcsinfo.instance.pop(name, None)
    if sip is not None:
        keywords = {key.lower(): value for key, value in sip_keywords(wcs, known, **sip).items()}
        # Not as attributes: the schema would be gone through for each of a hundred numbers.
        wcsinfo.instance.update((name, keywords[name]) for name in FITS_WCS if name in keywords)


def _note(model: ImageModel, provenance: Provenance) -> None:
    """Keep our own metadata, and a few of them as keywords and history of the FITS header."""
    notes = noted(provenance.notes)
    model.meta.snakewebb = notes
    extra = model.instance.setdefault("extra_fits", {}).setdefault("PRIMARY", {})
    extra.setdefault("header", []).extend(cards(notes))
    for unknown in model.instance["extra_fits"].values():
        unknown["header"] = [c for c in unknown.get("header", []) if c[0] not in SUMS]
    for entry in history(notes, provenance.statuses):
        model.add_history_entry(entry)


def _header_list(model: ImageModel | CubeModel, target: str | Path) -> fits.HDUList:
    """Return a model in FITS form, ready to be written as `target`."""
    model.meta.filename = Path(target).name
    model.on_save(None)
    model.meta.date = date()
    model.meta.origin = ORIGIN
    return fits_support.to_fits(model.instance, model.schema)
