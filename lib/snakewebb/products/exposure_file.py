"""Products made of one exposure: ``_crf`` and ``_crfints``, and what `rewrite` is called for.

Such a file is for the most part a copy of the exposure it is made of, and is written as one:
stdatamodels and gwcs would take longer to import than the job needs for all the rest. They are
left to write

- what has no ASDF tree, or one that is broken,
- moving targets, whose gWCS gets another kind of step,
- corrections of a gWCS that is corrected already, or not of the kind that assign_wcs makes.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning

from snakewebb.errors import InputError
from snakewebb.io.asdf_tree import AsdfTree, extension, fits_hash
from snakewebb.io.atomic import replacing
from snakewebb.io.dq import DO_NOT_USE, OUTLIER
from snakewebb.io.exposure_file import ExposureFile, opened
from snakewebb.io.fits_structure import find
from snakewebb.io.hdus import forget_sums, open_copy, unknown_cards
from snakewebb.io.headers import exposure_header, header_of, read_header
from snakewebb.io.planes import Planes, invalidate, left_out
from snakewebb.io.provenance import cards, date, history, log_statuses, noted, plain
from snakewebb.io.schema import attributes
from snakewebb.wcs.aberration import aberration_of
from snakewebb.wcs.change import WcsChange, correction_change, cutout_change
from snakewebb.wcs.geometry import Correction, Geometry
from snakewebb.wcs.gwcs_yaml import is_correctable

log = logging.getLogger(__name__)

MODELS = {2: "ImageModel", 3: "CubeModel"}
"""What an exposure is called in its header, by the dimensions of its image."""

CUBE = {"SCI": "data", "ERR": "err", "DQ": "dq"}
"""What every product has, and what the data models call it."""

Pointing = tuple[Correction | None, Geometry | None, Mapping[str, Any] | None]
"""A correction or none, the geometry it is one of, and options for SIP keywords."""


def write_crf(
    source: str | Path | ExposureFile,
    target: str | Path,
    *,
    statuses: Mapping[str, str],
    correction: Correction | None = None,
    geometry: Geometry | None = None,
    moving_target: bool = False,
    sip: Mapping[str, Any] | None = MappingProxyType({}),
    wcsinfo: Mapping[str, Any] | None = None,
    sky: Mapping[str, Any] | None = None,
    outliers: np.ndarray | None = None,
    asn: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    integrations: bool = False,
    corner: tuple[int, int] | None = None,
) -> None:
    """Write an exposure with what stage 3 found out about it.

    Everything else in the file is kept: other extensions, unknown keywords, history. What does not
    fit to the image (see `snakewebb.io.planes.left_out`) is left out, and noted.

    Parameters
    ----------
    source : path or ExposureFile
        A ``_cal`` (or ``_calints``).
    target : path
        The ``_crf`` (or ``_crfints``) to write.
    statuses : mapping
        COMPLETE, SKIPPED or FAILED by step: ``tweakreg`` or ``assign_mtwcs``, ``skymatch``,
        ``outlier_detection``.
    correction : Correction, optional
        Of the pointing. The gWCS, S_REGION and the FITS WCS keywords follow it.
    geometry : Geometry, optional
        The exposure's, uncorrected. S_REGION is made from it, corrected or not. Without it a
        correction takes longer to write; without a correction it is read.
    moving_target : bool, optional
        The correction follows a moving target; see `snakewebb.wcs.gwcs_library.corrected_wcs`.
    sip : mapping, optional
        Options of `snakewebb.wcs.sip.sip_keywords`; None to write no FITS WCS keywords where the
        correction makes the old ones wrong.
    wcsinfo : mapping, optional
        Other values for ``meta.wcsinfo``, such as ``mt_avra``.
    sky : mapping, optional
        ``level``, ``subtracted``, ``method`` for ``meta.background``. If ``subtracted``, the
        level is taken from the pixels, less what an earlier run took. A level of None changes
        nothing.
    outliers : array of bool, optional
        True where a pixel is hit by a cosmic ray; of the shape of the data.
    asn : mapping, optional
        ``pool_name``, ``table_name``, ``exptype`` for ``meta.asn``.
    provenance : mapping, optional
        For ``meta.snakewebb``; values that JSON can hold, or NumPy's. By step: numbers, and
        under ``reason`` why it failed or was skipped.
    integrations : bool, optional
        Whether an image becomes a cube of one integration.
    corner : (x, y), optional
        The pixel of its gWCS's frame that is the first of the image, if it was cut out of that;
        see `snakewebb.wcs.gwcs_yaml.cut_steps`.

    Raises
    ------
    InputError
        The source cannot be read.
    """
    source = opened(source)
    notes = noted(provenance or {})
    if reasons := left_out(source.path):
        log.warning("%s: %s: done without", source, "; ".join(reasons))
        notes["left_out"] = reasons
    if outliers is not None:
        fraction = {"fraction": float(np.mean(outliers))}
        notes["outlier_detection"] = notes.get("outlier_detection", {}) | fraction
    metadata = {"asn": asn or {}, "wcsinfo": wcsinfo or {}}
    if geometry is None and correction is None:
        geometry = _geometry(source.path)
    taken = 0.0
    if sky is not None and sky["level"] is not None:
        metadata["background"] = {name: sky[name] for name in ("level", "subtracted", "method")}
        if sky["subtracted"]:
            before = exposure_header(source.path)
            taken = sky["level"] - (before.sky_level or 0.0) * bool(before.sky_subtracted)
    rewrite(
        source,
        target,
        partial(_change, outliers=outliers, sky=taken),
        metadata=metadata,
        statuses=statuses,
        notes=notes,
        pointing=(correction, geometry, sip) if correction or geometry else None,
        moving_target=moving_target,
        integrations=integrations,
        corner=corner,
    )


def rewrite(
    source: str | Path | ExposureFile,
    target: str | Path,
    change: Callable[[Planes], None],
    *,
    statuses: Mapping[str, str],
    notes: Mapping[str, Any],
    metadata: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    pointing: Pointing | None = None,
    moving_target: bool = False,
    integrations: bool = False,
    corner: tuple[int, int] | None = None,
) -> None:
    """Write an exposure with other pixels, metadata and pointing.

    Parameters
    ----------
    source : path or ExposureFile
    target : path
        The product to write.
    change : callable
        Changes planes: DQ, without flags if the exposure has none, and those of ``INVALIDATED``
        that are there. It may add others of these.
    statuses : mapping
        By step.
    notes : mapping
        For ``meta.snakewebb``.
    metadata : mapping, optional
        By node of ``meta``: names and values.
    pointing : (Correction or None, Geometry or None, mapping or None), optional
        A correction, the uncorrected geometry, and options for SIP keywords; see `write_crf`.
    moving_target, integrations, corner
        See `write_crf`.
    """
    source = opened(source)
    correction, geometry, sip = pointing or (None, None, None)
    if geometry is not None and any(geometry.pivot_shift):
        known = aberration_of(read_header(source.path), vars(geometry), source.path)
        notes = {**notes, "assign_wcs": known.notes}
    said: dict = {"statuses": statuses, "notes": noted(notes), "metadata": plain(metadata)}
    special = moving_target or metadata.get("wcsinfo")
    if not special and _is_copyable(source, correction, geometry):
        planes = source.planes
        if integrations:
            ny, nx = planes["SCI"].shape[-2:]
            planes = {name: plane.reshape(-1, ny, nx) for name, plane in planes.items()}
        change(planes)
        wcs = None
        if corner is not None:  # the geometry is that of the whole frame
            shape, shift = planes["SCI"].shape[-2:], geometry.pivot_shift if geometry else (0, 0)
            wcs = cutout_change(corner, shape, str(source), shift)
        elif geometry is not None:
            wcs = correction_change(geometry, correction, sip, _reference_pixel(source))
        write_copy(source, target, planes, **said, wcs=wcs)
    else:
        from snakewebb.products.datamodels import (
            write_changed,  # stdatamodels and gwcs, a second of imports
        )

        write_changed(
            source.path,
            target,
            change,
            **said,
            correction=correction,
            geometry=geometry,
            moving_target=moving_target,
            sip=sip,
            integrations=integrations,
        )


def _geometry(path: str | Path) -> Geometry | None:
    """Return an exposure's geometry; None if it has no gWCS, which references can do without."""
    from snakewebb.wcs.exposure import read_geometry  # kernels, which copies don't need

    try:
        return read_geometry(path)
    except InputError as error:
        log.info("S_REGION stays as it is: %s", error)
        return None


def _change(planes: Planes, outliers: np.ndarray | None, sky: float) -> None:
    """Flag outliers and take the sky off, in place."""
    if outliers is not None:
        planes["DQ"][outliers] |= DO_NOT_USE | OUTLIER
    invalidate(planes)
    planes["SCI"] -= sky


def _is_copyable(
    source: ExposureFile, correction: Correction | None, geometry: Geometry | None
) -> bool:
    """Return whether a file, with its pointing corrected, can be written as a copy."""
    if find(source.path, "SCI") is None or source.tree is None:
        return False
    if correction is None:
        return True
    return geometry is not None and is_correctable(source.tree.node("meta.wcs.steps"), geometry)


def _reference_pixel(source: ExposureFile) -> tuple[float | None, float | None]:
    header = header_of(source.path, find(source.path, "SCI"))
    return header.get("CRPIX1"), header.get("CRPIX2")


def _hash(hdus: fits.HDUList) -> str:
    return fits_hash(str(hdu.header) for hdu in hdus if hdu.name != "ASDF")


def write_copy(
    source: str | Path | ExposureFile,
    target: str | Path,
    planes: Planes,
    *,
    statuses: Mapping[str, str],
    notes: Mapping[str, Any],
    metadata: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    wcs: WcsChange | None = None,
    whole: bool = True,
) -> None:
    """Write a copy of a product with other pixels, metadata and pointing.

    Where headers and tree disagree, because the headers were changed by others, the headers count.
    stdatamodels learns that from the hash of the headers in the tree, so there only a copy of a
    file whose hash is right gets one.

    Parameters
    ----------
    source : path or ExposureFile
        A product with DQ and an ASDF tree.
    target : path
        The one to write.
    planes : mapping
        Arrays by extension name.
    statuses, notes, metadata
        See `rewrite`.
    wcs : WcsChange, optional
        What of its WCS is new.
    whole : bool, optional
        If not, the copy has just these planes, of SCI, ERR and DQ, and what JWST's keywords say: no
        other extension, unknown keyword, history or gWCS.
    """
    notes, metadata = noted(notes), plain(metadata)
    model = MODELS[planes["SCI"].ndim]
    places = {"date": date(), "filename": Path(target).name, "model_type": model}
    for node, values in {**metadata, "cal_step": statuses}.items():
        places |= {f"{node}.{name}": value for name, value in values.items()}
    own = cards(notes)
    source = opened(source)
    tree = source.tree
    with warnings.catch_warnings(), open_copy(source.path) as hdus:
        warnings.filterwarnings("ignore", "Card is too long", VerifyWarning)
        agree = tree.value("_fits_hash") == _hash(hdus)
        agree &= hdus[0].header.get("DATAMODL") == model
        forget_sums(hdus)
        dropped = ["_fits_hash"] if whole else _strip(hdus, tree, planes)
        for name in planes:
            if name not in hdus:
                hdus.append(fits.ImageHDU(name=name))
                agree = False
            hdus[name].data = planes[name]
            hdus[name].update_header()
        changes: dict[str, Any] = {f"meta.{place}": value for place, value in places.items()}
        for known in attributes():
            if known.hdu == "PRIMARY" and known.name in changes:
                hdus[0].header[known.keyword] = (changes[known.name], known.comment)
        for keyword, value, comment in own:
            hdus[0].header[keyword] = (value, comment)
        for entry in history(notes, statuses):
            hdus[0].header.add_history(entry)
        changes["meta.snakewebb"] = notes
        changes |= _resized(tree, planes)
        if wcs is not None:
            _write_keywords(hdus["SCI"].header, wcs)
            dropped += [f"meta.wcsinfo.{name.lower()}" for name in wcs.forgotten]
            changes |= {f"meta.wcsinfo.{key.lower()}": v for key, v in wcs.keywords.items()}
            changes |= {} if wcs.wcs is None else {"meta.wcs": wcs.wcs}
            changes |= {} if wcs.steps is None else {"meta.wcs.steps": wcs.steps}
        unknown = unknown_cards(tree) if whole else {}
        changes |= {f"extra_fits.{name}.header": others for name, others in unknown.items()}
        if agree:
            ours = [keyword for keyword, *_ in own]
            others = [card for card in unknown.get("PRIMARY", []) if card[0] not in ours]
            changes["extra_fits.PRIMARY.header"] = [*others, *own]
            changes["_fits_hash"] = _hash(hdus)
        del hdus["ASDF"]
        with replacing(target) as file:
            try:
                hdus.writeto(file, output_verify="silentfix")
            except fits.VerifyError as error:
                reason = " ".join(str(error).split())
                raise InputError(f"{source}: cannot be copied ({reason:.120}): mend it") from error
            file.write(extension(tree.change(changes, dropped).to_bytes()))
    source.forget()
    log_statuses(target, statuses)


def _strip(hdus: fits.HDUList, tree: AsdfTree, planes: Planes) -> list[str]:
    """Leave the planes, and of the headers what JWST's schema knows.

    Returns the places in the tree of what does not stay.
    """
    for hdu in list(hdus[1:]):
        if hdu.name not in (*planes, "ASDF"):
            hdus.remove(hdu)
    for name, unknown in unknown_cards(tree).items():
        for keyword, *_ in unknown if name in hdus else []:
            hdus[name].header.remove(keyword, ignore_missing=True, remove_all=True)
    hdus[0].header.remove("HISTORY", ignore_missing=True, remove_all=True)
    kept = ("asdf_library", "history", "meta", *(CUBE[name] for name in planes))
    names = [name.value for name, _ in tree.node().value]
    return ["meta.wcs", "history.entries", *(name for name in names if name not in kept)]


def _resized(tree: AsdfTree, planes: Planes) -> dict[str, list[int]]:
    """Return what to change in a tree for the shapes of planes."""
    names = {name: CUBE.get(name, name.lower()) for name in planes}
    there = [key.value for key, _ in tree.node().value]
    return {
        f"{names[name]}.shape": list(plane.shape)
        for name, plane in planes.items()
        if names[name] in there
    }


def _write_keywords(header: fits.Header, wcs: WcsChange) -> None:
    """Put the keywords of a WCS into the header of an image, in the order of JWST's schema."""
    comments = {a.keyword: a.comment for a in attributes() if a.name.startswith("meta.wcsinfo.")}
    place = min((header.index(key) for key in comments if key in header), default=len(header))
    for key, comment in comments.items():
        if key in wcs.keywords and key not in header:
            header.insert(place, (key, wcs.keywords[key], comment))
        elif key in wcs.keywords:
            header[key] = (wcs.keywords[key], comment)
        if key in header:
            place = header.index(key) + 1
    for key in wcs.forgotten:
        if key not in wcs.keywords:
            header.remove(key, ignore_missing=True)
