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
from snakewebb.io.asdf_tree import changed, extension, fits_hash, read_node, read_value
from snakewebb.io.atomic import replacing
from snakewebb.io.dq import DO_NOT_USE, OUTLIER
from snakewebb.io.fits_structure import find
from snakewebb.io.hdus import SUMS, forget_sums, open_copy, sound_tree
from snakewebb.io.headers import exposure_header
from snakewebb.io.planes import INVALIDATED, Planes, invalidate, left_out, read_planes
from snakewebb.io.provenance import cards, date, history, log_statuses, noted, plain
from snakewebb.io.schema import attributes
from snakewebb.wcs.geometry import Correction, Geometry
from snakewebb.wcs.gwcs_yaml import corrected_steps, cut_steps, is_correctable
from snakewebb.wcs.sip import FITS_WCS, sip_keywords, sky_of
from snakewebb.wcs.sphere import s_region

log = logging.getLogger(__name__)

MODELS = {2: "ImageModel", 3: "CubeModel"}
"""What an exposure is called in its header, by the dimensions of its image."""

CUBE = {"SCI": "data", "ERR": "err", "DQ": "dq"}
"""What every product has, and what the data models call it."""

Pointing = tuple[Correction | None, Geometry | None, Mapping[str, Any] | None]
"""A correction or none, the geometry it is one of, and options for SIP keywords."""


def write_crf(
    source: str | Path,
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
    source, target : path
        A ``_cal`` (or ``_calints``) and the ``_crf`` (or ``_crfints``) to write.
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
    notes = noted(provenance or {})
    if reasons := left_out(source):
        notes["left_out"] = reasons
    if outliers is not None:
        fraction = {"fraction": float(np.mean(outliers))}
        notes["outlier_detection"] = notes.get("outlier_detection", {}) | fraction
    metadata = {"asn": asn or {}, "wcsinfo": wcsinfo or {}}
    if geometry is None and correction is None:
        geometry = _geometry(source)
    taken = 0.0
    if sky is not None and sky["level"] is not None:
        metadata["background"] = {name: sky[name] for name in ("level", "subtracted", "method")}
        if sky["subtracted"]:
            before = exposure_header(source)
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
    source: str | Path,
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
    source, target : path
        The exposure and the product to write.
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
    said = {"statuses": statuses, "notes": noted(notes), "metadata": plain(metadata)}
    special = moving_target or metadata.get("wcsinfo")
    if not special and _is_copyable(source, pointing):
        known = read_planes(source, ("DQ", *INVALIDATED))
        planes = {name: plane for name, plane in known.items() if plane is not None}
        planes.setdefault("DQ", np.zeros(planes["SCI"].shape, np.uint32))
        if integrations:
            ny, nx = planes["SCI"].shape[-2:]
            planes = {name: plane.reshape(-1, ny, nx) for name, plane in planes.items()}
        change(planes)
        write_copy(source, target, planes, **said, pointing=pointing, corner=corner)
    else:
        from snakewebb.products.datamodels import (
            write_changed,  # stdatamodels and gwcs, a second of imports
        )

        correction, geometry, sip = pointing or (None, None, None)
        write_changed(
            source,
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


def _is_copyable(path: str | Path, pointing: Pointing | None) -> bool:
    """Return whether a file, with its pointing corrected, can be written as a copy."""
    if find(path, "SCI") is None or find(path, "ASDF") is None:
        return False
    try:
        steps = read_node(sound_tree(path), "meta.wcs.steps")
    except ValueError:
        return False
    correction, geometry, _ = pointing or (None, None, None)
    if correction is None:
        return True
    return geometry is not None and is_correctable(steps, geometry)


def _hash(hdus: fits.HDUList) -> str:
    return fits_hash(str(hdu.header) for hdu in hdus if hdu.name != "ASDF")


def write_copy(
    source: str | Path,
    target: str | Path,
    planes: Planes,
    *,
    statuses: Mapping[str, str],
    notes: Mapping[str, Any],
    metadata: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    pointing: Pointing | None = None,
    corner: tuple[int, int] | None = None,
    whole: bool = True,
) -> None:
    """Write a copy of a product with other pixels, metadata and pointing.

    Where headers and tree disagree, because the headers were changed by others, the headers count.
    stdatamodels learns that from the hash of the headers in the tree, so there only a copy of a
    file whose hash is right gets one.

    Parameters
    ----------
    source, target : path
        A product with DQ and an ASDF tree, and the one to write.
    planes : mapping
        Arrays by extension name.
    statuses, notes, metadata, pointing, corner
        See `rewrite`; there is a pointing or a corner.
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
    tree = sound_tree(source)
    with warnings.catch_warnings(), open_copy(source) as hdus:
        warnings.filterwarnings("ignore", "Card is too long", VerifyWarning)
        agree = read_value(tree, "_fits_hash") == _hash(hdus)
        agree &= hdus[0].header.get("DATAMODL") == model
        forget_sums(hdus)
        dropped = ["_fits_hash"] if whole else _strip(hdus, tree, planes)
        for name in planes:
            if name not in hdus:
                hdus.append(fits.ImageHDU(name=name))
                agree = False
            hdus[name].data = planes[name]
            hdus[name].update_header()
        changes = {f"meta.{place}": value for place, value in places.items()}
        for known in attributes():
            if known.hdu == "PRIMARY" and known.name in changes:
                hdus[0].header[known.keyword] = (changes[known.name], known.comment)
        for keyword, value, comment in own:
            hdus[0].header[keyword] = (value, comment)
        for entry in history(notes, statuses):
            hdus[0].header.add_history(entry)
        changes["meta.snakewebb"] = notes
        changes |= _resized(tree, planes)
        if corner is not None:  # the geometry is that of the whole frame
            shape = planes["SCI"].shape[-2:]
            changes["meta.wcs.steps"] = partial(_cut, corner=corner, shape=shape, name=source)
        elif pointing is not None:
            if pointing[0] is not None:
                dropped += [f"meta.wcsinfo.{name}" for name in FITS_WCS]
            changes |= _point(hdus["SCI"].header, *pointing)
        unknown = _unknown(tree) if whole else {}
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
            file.write(extension(changed(tree, changes, dropped)))
    log_statuses(target, statuses)


def _strip(hdus: fits.HDUList, tree: bytes, planes: Planes) -> list[str]:
    """Leave the planes, and of the headers what JWST's schema knows.

    Returns the places in the tree of what does not stay.
    """
    for hdu in list(hdus[1:]):
        if hdu.name not in (*planes, "ASDF"):
            hdus.remove(hdu)
    for name, unknown in _unknown(tree).items():
        for keyword, *_ in unknown if name in hdus else []:
            hdus[name].header.remove(keyword, ignore_missing=True, remove_all=True)
    hdus[0].header.remove("HISTORY", ignore_missing=True, remove_all=True)
    kept = ("asdf_library", "history", "meta", *(CUBE[name] for name in planes))
    names = [name.value for name, _ in read_node(tree, "").value]
    return ["meta.wcs", "history.entries", *(name for name in names if name not in kept)]


def _cut(steps: Any, corner: tuple[int, int], shape: tuple[int, int], name: str | Path) -> Any:
    """Return the gWCS of a part of a frame or, with a warning, of the whole."""
    try:
        return cut_steps(steps, corner, shape)
    except ValueError as error:
        log.warning("%s: keeps the gWCS of the frame that it was cut out of (%s)", name, error)
        return steps


def _unknown(tree: bytes) -> dict[str, list]:
    """Return the cards that are not in JWST's schema, by extension, as stdatamodels keeps them.

    Without check sums, see `snakewebb.io.hdus.forget_sums`.
    """
    found = read_value(tree, "extra_fits") or {}
    cards = {name: unknown["header"] for name, unknown in found.items() if "header" in unknown}
    return {name: [card for card in kept if card[0] not in SUMS] for name, kept in cards.items()}


def _resized(tree: bytes, planes: Planes) -> dict[str, list[int]]:
    """Return what to change in a tree for the shapes of planes."""
    names = {name: CUBE.get(name, name.lower()) for name in planes}
    there = [key.value for key, _ in read_node(tree, "").value]
    return {
        f"{names[name]}.shape": list(plane.shape)
        for name, plane in planes.items()
        if names[name] in there
    }


def _point(
    header: fits.Header,
    correction: Correction | None,
    geometry: Geometry,
    sip: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Correct the keywords that tell an image's pointing, and return what to change in the tree."""
    corrected = geometry.corrected(correction)
    keywords: dict[str, Any] = {"S_REGION": s_region(*corrected.corners())}
    if correction is not None and sip is not None:
        crpix = header.get("CRPIX1"), header.get("CRPIX2")
        keywords |= sip_keywords(sky_of(corrected), corrected.bounding_box, crpix, **sip)
    comments = {a.keyword: a.comment for a in attributes() if a.name.startswith("meta.wcsinfo.")}
    place = min((header.index(key) for key in comments if key in header), default=len(header))
    for key, comment in comments.items():
        if key in keywords and key not in header:
            header.insert(place, (key, keywords[key], comment))
        elif key in keywords:
            header[key] = (keywords[key], comment)
        if key in header:
            place = header.index(key) + 1
    changes = {f"meta.wcsinfo.{key.lower()}": value for key, value in keywords.items()}
    if correction is None:
        return changes
    for key in map(str.upper, FITS_WCS):
        if key not in keywords:
            header.remove(key, ignore_missing=True)
    changes["meta.wcs.steps"] = lambda steps: corrected_steps(steps, geometry, correction)
    return changes
