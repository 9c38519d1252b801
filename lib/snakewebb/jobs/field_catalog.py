"""Job field_catalog: one catalogue of the sources of a field, with the fluxes of all filters."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from snakewebb.io.provenance import read_notes
from snakewebb.jobs.field_detection import open_mosaics
from snakewebb.jobs.options import options_of
from snakewebb.references.filters import narrowest
from snakewebb.sources.catalog import CatalogOptions, source_catalog
from snakewebb.sources.catalog_file import write_catalog
from snakewebb.sources.exposure_counts import add_exposures
from snakewebb.sources.field_catalog import bands_of, field_catalog, radii_for
from snakewebb.sources.mosaic import MosaicFile


def catalog_field(
    detection: str | Path,
    mosaics: Sequence[str | Path],
    catalog: str | Path,
    segmentation: str | Path,
    *,
    products: Sequence[str],
    apcorr: Mapping[str, str | Path] = MappingProxyType({}),
    step: Mapping[str, Any] = MappingProxyType({}),
    threads: int = 1,
) -> dict[str, Any]:
    """Find the sources of a detection image and measure them in the mosaics of a field.

    Parameters
    ----------
    detection : path
        What `snakewebb.jobs.field_detection.combine_mosaics` wrote.
    mosaics : sequence of paths
        The ``_i2d`` of all products, on its grid.
    catalog, segmentation : path
        To write, see `snakewebb.sources.catalog_file.write_catalog`.
    products : sequence of str
        Names of the mosaics.
    apcorr : mapping of str to path, optional
        APCORR reference files by product.
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
        A mosaic or a reference file cannot be used.
    """
    how = options_of(CatalogOptions, step)
    image = MosaicFile(detection)
    images = dict(zip(products, open_mosaics(mosaics, products), strict=True))
    names = {product: narrowest(each.instrument) or "" for product, each in images.items()}
    bands = bands_of(images, apcorr, names)
    combined = read_notes(detection)["resample"]["products"]
    seen = [band for band in bands if band.product in combined]
    # A source is nowhere sharper than in the filter of the shortest wavelength.
    image.instrument, image.grid = seen[0].mosaic.instrument, seen[0].mosaic.grid
    image.pixfrac = seen[0].mosaic.pixfrac
    energies = how.aperture_ee1, how.aperture_ee2, how.aperture_ee3
    radii = radii_for(seen, energies)
    with tempfile.TemporaryFile(dir=Path(segmentation).parent) as scratch:
        found = source_catalog(image, how, scratch=scratch, threads=threads)
        doubts = [
            f"{product}: tweakreg failed for some exposures: its fluxes may be of other places"
            for product, each in images.items()
            if each.headers[0].get("S_TWKREG") == "FAILED"
        ]
        measured = field_catalog(found, bands, energies, radii, how.kernel_fwhm, doubts)
        paths = dict(zip(products, mosaics, strict=True))
        for band in bands:
            add_exposures(measured.table, paths[band.product], f"{band.name}_n_exposures")
        write_catalog(measured, image, catalog, segmentation)
    return measured.status
