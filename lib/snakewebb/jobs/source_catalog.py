"""Job source_catalog: the catalogue and the segmentation map of a mosaic."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from snakewebb.astrometry.alignment import AlignmentResult
from snakewebb.io.names import product_exposure
from snakewebb.jobs.options import options_of
from snakewebb.mosaicking.sky_overlaps import pixel_finder
from snakewebb.sources.catalog import CatalogOptions, source_catalog
from snakewebb.sources.catalog_file import write_catalog
from snakewebb.sources.contradiction import View
from snakewebb.sources.exposure_counts import add_exposures
from snakewebb.sources.mosaic import MosaicFile
from snakewebb.wcs.exposure import open_exposures
from snakewebb.wcs.grid import Grid


def make_catalog(
    mosaic: str | Path,
    out: Sequence[str | Path],
    *,
    made_of: Sequence[str | Path] = (),
    apcorr: str | Path | None = None,
    abvegaoffset: str | Path | None = None,
    names: Mapping[str, str] = MappingProxyType({}),
    step: Mapping[str, Any] = MappingProxyType({}),
    threads: int = 1,
) -> dict[str, Any]:
    """Make the catalogue and the segmentation map of a mosaic file.

    Parameters
    ----------
    mosaic : path
        The ``_i2d``.
    out : (path, path)
        The catalogue and the segmentation map to write, see
        `snakewebb.sources.catalog_file.write_catalog`.
    made_of : sequence of paths, optional
        What `snakewebb.jobs.align.align_product` wrote, facts and alignment, and all ``_crf``. With
        them ``matched_filter`` leaves out what one exposure sees and the others don't.
    apcorr, abvegaoffset : path, optional
        Reference files, see `source_catalog`.
    names : mapping, optional
        What the catalogue calls those that CRDS has chosen, by type; ``pars-source_catalog`` is the
        file that parameters are from.
    step : mapping, optional
        Options of `snakewebb.sources.catalog.CatalogOptions`.
    threads : int, optional
        The result does not depend on it.

    Returns
    -------
    dict
        The status, see `snakewebb.sources.catalog_file.Catalog`.

    Raises
    ------
    InputError
        The mosaic or a reference file cannot be used.
    """
    catalog, segmentation = out
    image = MosaicFile(mosaic)
    if made_of:
        image.views = views(image.grid, *made_of)
    with tempfile.TemporaryFile(dir=Path(segmentation).parent) as scratch:
        found = source_catalog(
            image,
            options_of(CatalogOptions, step),
            apcorr=apcorr,
            abvegaoffset=abvegaoffset,
            names=names,
            scratch=scratch,
            threads=threads,
        )
        add_exposures(found.table, mosaic)
        write_catalog(found, image, catalog, segmentation)
    return found.status


def views(
    grid: Grid, facts: str | Path, alignment: str | Path, *exposures: str | Path
) -> list[View]:
    """Return the exposures on the mosaic's grid; none where they follow a moving target."""
    result = AlignmentResult.read(alignment)
    if result.step == "assign_mtwcs":  # past which stars move
        return []
    with open_exposures(facts) as known:
        return [_view(path, known, result.layout, grid) for path in exposures]


def _view(path, known, layout, grid):
    name = product_exposure(path)
    geometry = known(name).geometry.corrected(layout.placements[name].correction)
    finder = pixel_finder(geometry)
    x, y = grid.sky_to_pixel(geometry.ra, geometry.dec)
    scale = np.degrees(np.sqrt(grid.pixel_area)) / geometry.pixel_scale
    box = (x.min(), x.max(), y.min(), y.max())
    return View(path, lambda x, y: finder(*grid.pixel_to_sky(x, y)), box, float(scale))
