"""Job quality: how good a product is, from its own data."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from snakewebb.astrometry.alignment import AlignmentResult
from snakewebb.io.bands import in_order
from snakewebb.io.headers import exposure_header
from snakewebb.io.names import product_exposure
from snakewebb.jobs.options import options_of
from snakewebb.products.input_quality import header_numbers
from snakewebb.quality.assessment import Assessment, Evidence, assess
from snakewebb.quality.blank_sky import measure_blank_sky, standard_aperture
from snakewebb.quality.metrics import Thresholds
from snakewebb.quality.quality_file import write_quality
from snakewebb.quality.repeats import compare
from snakewebb.quality.sightings import Places, Sightings, look
from snakewebb.quality.stars import diffraction_fwhm, find_stars
from snakewebb.references.photometry import aperture_parameters
from snakewebb.sources.mosaic import MosaicFile
from snakewebb.wcs.exposure import open_exposures

log = logging.getLogger(__name__)

LATTICE = 64.0
"""Detector pixels between places where the skies of exposures are compared."""
ENERGIES = (30, 50, 70)


def measure_quality(
    out: Any,
    exposures: Sequence[str | Path],
    facts: str | Path,
    alignment: str | Path,
    mosaic: str | Path,
    *,
    apcorr: str | Path | None = None,
    step: Mapping[str, Any] = MappingProxyType({}),
    threads: int = 1,
) -> Assessment:
    """Measure how good a product is.

    Parameters
    ----------
    out : namespace
        Files to write: ``metrics`` and ``exposures`` (ECSV), ``depth`` (FITS) and ``repeats``
        (npz), see `snakewebb.quality.quality_file.write_quality`.
    exposures : sequence of paths
        All ``_crf`` of the product, in association order.
    facts, alignment : path
        What `snakewebb.jobs.align.align_product` wrote.
    mosaic : path
        The ``_i2d``.
    apcorr : path, optional
        See `snakewebb.sources.catalog.source_catalog`.
    step : mapping, optional
        ``thresholds``: those of `snakewebb.quality.metrics.Thresholds`; ``apertures``: the
        encircled energies of the catalogue's.
    threads : int, optional
        The result does not depend on it.

    Raises
    ------
    InputError
        The mosaic, an exposure or the reference file cannot be read.
    """
    result = AlignmentResult.read(alignment)
    layout, image = result.layout, MosaicFile(mosaic)
    moving = result.step == "assign_mtwcs"
    stars = find_stars(image)
    seen = Places.on(layout.grid, *((np.empty(0),) * 2 if moving else (stars.ra, stars.dec)))
    lattice = Places.on(layout.grid, *_lattice(image))
    fwhm = float(np.median(stars.fwhm)) if len(stars) else 0.0
    optics = diffraction_fwhm(image.instrument)
    files = {product_exposure(path): path for path in exposures}
    with open_exposures(facts) as known:

        def sightings(name: str) -> Sightings:
            placement = layout.placements[name]
            geometry = known(name).geometry.corrected(placement.correction)
            here, there = seen.within(placement), lattice.within(placement)
            return look(files[name], geometry, here, there, fwhm, optics)

        found = list(in_order(sightings, files, threads))
    energies = tuple(step.get("apertures", {}).values()) or ENERGIES
    apertures, lacking = aperture_parameters(
        apcorr, image.instrument, energies, image.grid.pixel_scale_ratio, image.pixfrac
    )
    if not lacking and standard_aperture(apertures) is None:
        lacking = "no aperture is known"
    unit = exposure_header(exposures[0]).bunit or ""
    evidence = Evidence(
        exposures=list(files),
        groups=[layout.placements[name].group for name in files],
        unit=unit,
        headers=header_numbers(exposures),
        moving=moving,
        stars=stars,
        repeats=compare(found),
        noises=np.array([each.noise for each in found]),
        blank=measure_blank_sky(image, apertures),
        has_errors=image.has_errors,
        flaw=image.flaw or lacking,
        grid=image.grid,
    )
    assessment = assess(evidence, options_of(Thresholds, step.get("thresholds", {})))
    write_quality(assessment, unit, out)
    return assessment


def _lattice(image: MosaicFile) -> tuple[np.ndarray, np.ndarray]:
    """Return places all over a mosaic, degrees."""
    ny, nx = image.shape
    step = LATTICE / image.grid.pixel_scale_ratio
    x, y = np.meshgrid(np.arange(step / 2, nx, step), np.arange(step / 2, ny, step))
    return image.grid.pixel_to_sky(x.ravel(), y.ravel())
