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
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from snakewebb.errors import InputError
from snakewebb.io.dq import DO_NOT_USE, OUTLIER
from snakewebb.io.exposure_file import ExposureFile, opened
from snakewebb.io.fits_structure import find
from snakewebb.io.headers import exposure_header, header_of, read_header
from snakewebb.io.planes import Planes, invalidate, left_out
from snakewebb.io.provenance import noted, plain
from snakewebb.products.exposure_copy import write_copy
from snakewebb.wcs.aberration import aberration_of
from snakewebb.wcs.change import correction_change, cutout_change
from snakewebb.wcs.geometry import Correction, Geometry
from snakewebb.wcs.gwcs_yaml import is_correctable

log = logging.getLogger(__name__)

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
        geometry = geometry_of_any(source.path)
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
            header = header_of(source.path, find(source.path, "SCI"))
            crpix = header.get("CRPIX1"), header.get("CRPIX2")
            wcs = correction_change(geometry, correction, sip, crpix)
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


def geometry_of_any(path: str | Path, dva_pivot: str = "guide_star") -> Geometry | None:
    """Return an exposure's geometry; None if it has no gWCS, which references can do without."""
    from snakewebb.wcs.exposure import read_geometry  # kernels, which copies don't need

    try:
        return read_geometry(path, dva_pivot)
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
