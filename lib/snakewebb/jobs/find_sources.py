"""Job find_sources: what later steps need of one exposure, its sources among it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from snakewebb.errors import InputError
from snakewebb.io.fits_structure import first_header
from snakewebb.io.planes import check_exposure, read_planes
from snakewebb.jobs.options import options_of
from snakewebb.mosaicking.weights import typical_weights
from snakewebb.references.detectors import star_fwhm
from snakewebb.sources.star_finders import FinderOptions, Sources, find_sources, refine, table_of
from snakewebb.wcs.cutout import cut_corner, is_part
from snakewebb.wcs.exposure import Exposure, locate
from snakewebb.wcs.geometry import PixelToSky

log = logging.getLogger(__name__)


def describe_exposure(
    exposure: str | Path,
    target: str | Path,
    *,
    catalog: str | Path | None = None,
    group_id: str = "",
    dva_pivot: str = "guide_star",
    step: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Find out what later steps need of an exposure: header, geometry, weights and sources.

    Parameters
    ----------
    exposure : path
        A stage-2 image.
    target : path
        The JSON to write.
    catalog : path, optional
        See `sources_of_exposure`.
    group_id : str, optional
        The group that the association gives it; by default that of its header.
    dva_pivot : str, optional
        See `snakewebb.wcs.exposure.locate`.
    step : mapping, optional
        Options of `snakewebb.sources.star_finders.FinderOptions`, and ``skip``. Without
        ``kernel_fwhm`` it is jwst's, or the width of stars in the filter, if that is more.

    Raises
    ------
    InputError
        A file cannot be used, or the exposure was cut out of another, whose gWCS it has.
    """
    check_exposure(exposure)
    known, sky = locate(exposure, dva_pivot)
    if is_part(sky.bounding_box, known.geometry.shape) and (corner := cut_corner(exposure)):
        raise InputError(
            f"{exposure}: is cut out of the frame of its gWCS at {corner[0]}, {corner[1]}: give "
            "the whole frame"
        )
    step = {"kernel_fwhm": None, **step}
    if step["kernel_fwhm"] is None:
        step["kernel_fwhm"] = _kernel_fwhm(exposure, known)
    how = None if step.get("skip") else options_of(FinderOptions, step, others=["skip"])
    found = replace(
        known,
        header=replace(known.header, group_id=group_id or known.header.group_id),
        typical_weights=typical_weights(exposure, known.header),
        sources=sources_of_exposure(exposure, known, sky, catalog, how),
    )
    found.write(target)


def _kernel_fwhm(exposure: str | Path, known: Exposure) -> float:
    """Return the width of the kernel with which stars of an exposure are found, pixels.

    For MIRI's filters jwst's own default is that much too narrow that stars are not sharp enough.
    """
    header = first_header(exposure)
    keys = {"name": "INSTRUME", "filter": "FILTER", "pupil": "PUPIL"}
    instrument = {name: header.get(key, "").strip() for name, key in keys.items()}
    width = star_fwhm(instrument, 3600.0 * known.geometry.pixel_scale)
    return max(FinderOptions.kernel_fwhm, width or 0.0)


def sources_of_exposure(
    path: str | Path,
    known: Exposure,
    sky: PixelToSky,
    catalog: str | Path | None = None,
    how: FinderOptions | None = FinderOptions(),
) -> Sources:
    """Return the sources by which an exposure is aligned, with their positions on the sky.

    Parameters
    ----------
    path : path
        Stage-2 exposure with a gWCS.
    known : Exposure
        What `snakewebb.wcs.exposure.locate` returns for it.
    sky : PixelToSky
        Likewise.
    catalog : path, optional
        Catalogue of the user's (`snakewebb.astrometry.catalogs.read_sources`) in place of a search.
    how : FinderOptions or None, optional
        None if no sources are needed. Nor are they for a moving target.

    Returns
    -------
    dict of (n,) arrays
        ``id``, ``x``, ``y``, ``flux``, ``RA``, ``DEC`` (degrees, by the uncorrected gWCS), and
        ``weight`` if `catalog` has it, or ``error`` (arcsec, of either coordinate) if they were
        measured and pixels have errors: the sources strictly inside the bounding box.

    Raises
    ------
    InputError
        A file cannot be used.
    """
    if known.dimensions != 2:
        raise InputError(f"{path}: is a cube of integrations: image3 needs images (_cal)")
    if how is None or known.header.is_moving:
        sources = table_of([], [], [])
    elif catalog:
        from snakewebb.astrometry.catalogs import read_sources

        given = read_sources(catalog)
        sources = table_of(given.pop("x"), given.pop("y"), given.pop("flux")) | given
        log.info("%d sources in %s", len(sources["id"]), catalog)
    else:
        planes = read_planes(path, ("SCI", "DQ", "ERR"))
        dq = np.zeros(planes["SCI"].shape, np.uint32) if planes["DQ"] is None else planes["DQ"]
        sources = find_sources(planes["SCI"], dq, how)
        refine(sources, planes["SCI"], dq, how.kernel_fwhm, planes["ERR"])
        if "error" in sources:
            sources["error"] *= 3600.0 * known.geometry.pixel_scale
    (x0, x1), (y0, y1) = known.geometry.bounding_box
    x, y = sources["x"], sources["y"]
    inside = (x > x0) & (x < x1) & (y > y0) & (y < y1)
    ra, dec = sky.forward(x[inside], y[inside])
    return {
        **{name: column[inside] for name, column in sources.items()},
        "RA": np.asarray(ra),
        "DEC": np.asarray(dec),
    }
