"""Job contrast: contrast curve, point sources and SNR map of a coronagraphic product."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from snakewebb.coronagraphy.combine import combiner, integrations, reducer
from snakewebb.coronagraphy.contrast import Contrast, measure_contrast
from snakewebb.coronagraphy.contrast_file import write_contrast
from snakewebb.coronagraphy.frame import Frame
from snakewebb.coronagraphy.klip import KlipOptions
from snakewebb.coronagraphy.noise_curve import Unmeasurable
from snakewebb.coronagraphy.psf import EffectivePsf, model_psf, read_psf
from snakewebb.coronagraphy.reduction import Target, read_target
from snakewebb.coronagraphy.repair import RepairOptions
from snakewebb.coronagraphy.scene import Scene
from snakewebb.coronagraphy.star_brightness import StarBrightness
from snakewebb.coronagraphy.star_position import StarPosition, read_stars
from snakewebb.io.names import product_exposure
from snakewebb.io.planes import open_fits
from snakewebb.jobs.options import options_of
from snakewebb.mosaicking.resample import DrizzleOptions
from snakewebb.references.filters import STOPS, Filter, passband
from snakewebb.references.images import read_throughput

log = logging.getLogger(__name__)

SIMULATED = "Simulated by snakewebb"
"""TITLE of files whose PSF the model has exactly."""
APPROXIMATE = "a model that was not held to real stops: approximate, fluxes may be off by 30 %"


@dataclass(frozen=True)
class ProductFiles:
    """The files of a product that its contrast is measured from.

    Attributes
    ----------
    exposures, references, subtracted : sequence of paths
        ``_crfints`` of the target, ``_psfalign`` of each or none, and the ``_psfsub`` that were
        combined.
    mosaic, stars : path
        The ``_i2d``, and what `snakewebb.jobs.find_stars.stars_of_product` wrote.
    psf, throughput, abvegaoffset : path, optional
        Reference files: an image of a star, of the coronagraph's throughput, ABVEGAOFFSET.
    """

    exposures: Sequence[str | Path]
    references: Sequence[str | Path]
    subtracted: Sequence[str | Path]
    mosaic: str | Path
    stars: str | Path
    psf: str | Path | None = None
    throughput: str | Path | None = None
    abvegaoffset: str | Path | None = None


@dataclass(frozen=True)
class ContrastFiles:
    """The files to write: the curve and the table of point sources (ECSV), the SNR map (FITS)."""

    curve: str | Path
    detections: str | Path
    snr: str | Path


@dataclass(frozen=True)
class ContrastOptions:
    """How a product was reduced, and how bright its star is.

    Attributes
    ----------
    klip, repair, star : mapping
        Of `snakewebb.coronagraphy.klip.KlipOptions`, `snakewebb.coronagraphy.repair.RepairOptions`
        and `snakewebb.coronagraphy.star_brightness.StarBrightness`.
    grid, drizzle : mapping
        Those of `snakewebb.wcs.grid.output_grid` and `snakewebb.mosaicking.resample.drizzle_band`.
    max_megapixels : float, optional
        See `snakewebb.wcs.grid.output_grid`.
    """

    klip: Mapping[str, Any] = field(default_factory=dict)
    repair: Mapping[str, Any] = field(default_factory=dict)
    star: Mapping[str, Any] = field(default_factory=dict)
    grid: Mapping[str, Any] = field(default_factory=dict)
    drizzle: Mapping[str, Any] = field(default_factory=dict)
    max_megapixels: float | None = None


def measure_product(files: ProductFiles, out: ContrastFiles, options: ContrastOptions) -> None:
    """Measure the contrast of a product by the reduction that it had, and write it.

    Raises
    ------
    InputError
        A file cannot be read, or does not fit.
    """
    stars = read_stars(files.stars)
    how = RepairOptions(**options.repair), KlipOptions(**options.klip)
    target = read_target(files.exposures, files.references, stars, *how)
    measured = product_contrast(target, files, stars, options)
    write_contrast(measured, files.mosaic, out.curve, out.detections, out.snr)


def product_contrast(
    target: Target,
    files: ProductFiles,
    stars: Mapping[str, StarPosition],
    options: ContrastOptions,
) -> Contrast:
    """Measure the contrast of a product by the reduction that it had.

    Parameters
    ----------
    target : Target
        Of `snakewebb.coronagraphy.reduction.read_target`, with all exposures.
    files : ProductFiles
    stars : mapping
        By exposure.
    options : ContrastOptions

    Returns
    -------
    Contrast
        ``meta["contrast"]`` of its tables tells the ``status``, and the ``reason`` why something
        is not known. They have no row, and the map no number, where the status is FAILED.

    Raises
    ------
    InputError
        A reference file does not fit.
    """
    subtracted = [path for path in files.subtracted if product_exposure(path) in target.exposures]
    layout, inputs = integrations(subtracted, max_megapixels=options.max_megapixels, **options.grid)
    exposures = [stars[product_exposure(path)] for path in subtracted]
    counts = np.cumsum([0, *(len(cube) for cube in target.cubes[:-1])])
    frames = [
        Frame.of_exposure(inputs[first].pixel_map.geometry, star.center)
        for first, star in zip(counts, exposures, strict=True)
    ]
    setup = _setup(subtracted[0])
    jansky, reason = _jansky(StarBrightness(**options.star), files.abvegaoffset, setup)
    transmission = read_throughput(files.throughput, target.cubes[0].shape[1:])
    status, origin = "COMPLETE", "none"
    try:
        band = _band(setup)
        image, origin = _psf(files.psf, setup, band, frames[0].pixel_scale)
        combine = combiner(inputs, options_of(DrizzleOptions, options.drizzle))
        measured = measure_contrast(
            reducer(target.subtract, combine, linear=target.options.linear),
            combine,
            Scene(
                target.cubes,
                frames,
                image,
                layout.grid,
                exposures[0].sky,
                transmission,
                options.drizzle.get("pixfrac", 1.0),
            ),
            wavelength=band.wavelength,
            truncate=target.options.truncations,
            star_jansky=jansky,
        )
    except (Unmeasurable, np.linalg.LinAlgError) as error:
        why = str(error)
        if isinstance(error, np.linalg.LinAlgError):
            log.exception("the contrast is not determined")
            why = f"a reduction is not determined ({error})"
        status, reason = "FAILED", "; ".join(filter(None, (why, reason)))
        measured = Contrast.unknown(layout.grid.shape, target.options.truncations)
    if reason:
        log.warning("contrast %s: %s", status, reason)
    for table in (measured.curve, measured.sources):
        table.meta["contrast"] = {"status": status, "reason": reason}
        table.meta["psf"] = origin
        if files.throughput:
            table.meta["coronagraph_transmission"] = Path(files.throughput).name
    return measured


def _setup(path: str | Path) -> dict[str, str]:
    """Return the keywords that tell with what an exposure was taken."""
    names = ("INSTRUME", "FILTER", "EXP_TYPE", "TITLE")
    with open_fits(path) as hdus:
        return {name: str(hdus[0].header.get(name, "")) for name in names}


def _band(setup: Mapping[str, str]) -> Filter:
    band = passband(setup["INSTRUME"], setup["FILTER"])
    if band is None:
        raise Unmeasurable(
            f"nothing is known of the filter {setup['FILTER']!r} of {setup['INSTRUME']!r}"
        )
    return band


def _psf(
    path: str | Path | None, setup: Mapping[str, str], band: Filter, pixel_scale: float
) -> tuple[EffectivePsf, str]:
    """Return the PSF, and where it is from."""
    if path:
        return read_psf(path), Path(path).name
    margin = STOPS.get(setup["EXP_TYPE"], 0.0)
    model = model_psf(band.wavelength, band.bandwidth, pixel_scale, margin=margin)
    if setup["TITLE"] == SIMULATED:
        return model, "the simulator's model"
    log.warning("the PSF is %s: give reference_files.psf", APPROXIMATE)
    return model, APPROXIMATE


def _jansky(
    star: StarBrightness, abvegaoffset: str | Path | None, setup: Mapping[str, str]
) -> tuple[float | None, str]:
    """Return the star's flux, Jy, and why it is not known."""
    offset = None
    if star.star_vegamag is not None:
        if not abvegaoffset:
            return None, "the star's flux is unknown: a Vega magnitude needs an ABVEGAOFFSET file"
        from snakewebb.references.photometry import MissingRow, vega_offset

        # As without the coronagraph, of whose pupil masks the file knows nothing.
        names = {"name": "INSTRUME", "filter": "FILTER"}
        row = {key: setup[name] for key, name in names.items()} | {"pupil": "CLEAR"}
        try:
            offset = vega_offset(abvegaoffset, row)
        except MissingRow as error:
            return None, f"the star's flux is unknown: {error}"
    return star.jansky(offset), ""
