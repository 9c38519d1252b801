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
from dataclasses import replace
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
from snakewebb.io.planes import INVALIDATED, Planes, left_out
from snakewebb.io.provenance import Provenance
from snakewebb.products.exposure_copy import write_copy
from snakewebb.wcs.aberration import aberration_of
from snakewebb.wcs.change import Pointing, correction_change, cutout_change
from snakewebb.wcs.geometry import Geometry
from snakewebb.wcs.gwcs_yaml import is_correctable

log = logging.getLogger(__name__)


def write_crf(
    source: str | Path | ExposureFile,
    target: str | Path,
    *,
    provenance: Provenance,
    pointing: Pointing = Pointing(),
    sky: Mapping[str, Any] | None = None,
    outliers: np.ndarray | None = None,
    asn: Mapping[str, Any] | None = None,
    integrations: bool = False,
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
    provenance : Provenance
        Of the steps ``tweakreg`` or ``assign_mtwcs``, ``skymatch``, ``outlier_detection``.
    pointing : Pointing, optional
        The geometry is read where there is neither one nor a correction.
    sky : mapping, optional
        ``level``, ``subtracted``, ``method`` for ``meta.background``. If ``subtracted``, the
        level is taken from the pixels, less what an earlier run took. A level of None changes
        nothing.
    outliers : array of bool, optional
        True where a pixel is hit by a cosmic ray; of the shape of the data.
    asn : mapping, optional
        ``pool_name``, ``table_name``, ``exptype`` for ``meta.asn``.
    integrations : bool, optional
        Whether an image becomes a cube of one integration.

    Raises
    ------
    InputError
        The source cannot be read.
    """
    source = opened(source)
    notes = dict(provenance.notes)
    if reasons := left_out(source.path):
        log.warning("%s: %s: done without", source, "; ".join(reasons))
        notes["left_out"] = reasons
    if outliers is not None:
        fraction = {"fraction": float(np.mean(outliers))}
        notes["outlier_detection"] = notes.get("outlier_detection", {}) | fraction
    metadata = {"asn": asn or {}}
    if pointing.geometry is None and pointing.correction is None:
        pointing = replace(pointing, geometry=geometry_of_any(source.path))
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
        provenance=replace(provenance, notes=notes),
        metadata=metadata,
        pointing=pointing,
        integrations=integrations,
    )


def rewrite(
    source: str | Path | ExposureFile,
    target: str | Path,
    change: Callable[[Planes], None],
    *,
    provenance: Provenance,
    metadata: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    pointing: Pointing = Pointing(),
    integrations: bool = False,
) -> None:
    """Write an exposure with other pixels, metadata and pointing.

    Parameters
    ----------
    source : path or ExposureFile
    target : path
        The product to write.
    change : callable
        Changes planes in which NaN and DO_NOT_USE agree: DQ, without flags if the exposure has
        none, and those of ``INVALIDATED`` that are there. It may add others of these.
    provenance : Provenance
    metadata : mapping, optional
        By node of ``meta``: names and values.
    pointing : Pointing, optional
    integrations : bool, optional
        Whether an image becomes a cube of one integration.
    """
    source = opened(source)
    geometry = pointing.geometry
    if geometry is not None and any(geometry.pivot_shift):
        known = aberration_of(read_header(source.path), vars(geometry), source.path)
        notes = {**provenance.notes, "assign_wcs": known.notes}
        provenance = replace(provenance, notes=notes)
    if _is_copyable(source, pointing):
        planes = source.valid_planes
        if integrations:
            ny, nx = planes["SCI"].shape[-2:]
            planes = {name: plane.reshape(-1, ny, nx) for name, plane in planes.items()}
        change(planes)
        wcs = None
        if pointing.corner is not None:  # the geometry is that of the whole frame
            shape, shift = planes["SCI"].shape[-2:], geometry.pivot_shift if geometry else (0, 0)
            wcs = cutout_change(pointing.corner, shape, str(source), shift)
        elif geometry is not None:
            header = header_of(source.path, find(source.path, "SCI"))
            crpix = header.get("CRPIX1"), header.get("CRPIX2")
            wcs = correction_change(geometry, pointing.correction, pointing.sip, crpix)
        write_copy(source, target, planes, provenance=provenance, metadata=metadata, wcs=wcs)
    else:
        from snakewebb.products.datamodels import (
            write_changed,  # stdatamodels and gwcs, a second of imports
        )

        write_changed(
            source.path,
            target,
            change,
            provenance=provenance,
            metadata=metadata,
            pointing=pointing,
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
        struck = np.flatnonzero(outliers)
        dq = planes["DQ"]
        np.put(dq, struck, dq.take(struck) | (DO_NOT_USE | OUTLIER))
        for name in INVALIDATED:
            if name in planes:
                np.put(planes[name], struck, np.nan)
    if sky:
        planes["SCI"] -= sky


def _is_copyable(source: ExposureFile, pointing: Pointing) -> bool:
    """Return whether a file, with its pointing corrected, can be written as a copy."""
    if pointing.moving_target or pointing.wcsinfo:
        return False
    if find(source.path, "SCI") is None or source.tree is None:
        return False
    if pointing.correction is None:
        return True
    steps, geometry = source.tree.node("meta.wcs.steps"), pointing.geometry
    return geometry is not None and is_correctable(steps, geometry)
