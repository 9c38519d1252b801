"""Job source_catalog: the catalogue and the segmentation map of a mosaic."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from snakewebb.jobs.options import options_of
from snakewebb.sources.catalog import CatalogOptions, source_catalog
from snakewebb.sources.catalog_file import write_catalog
from snakewebb.sources.exposure_counts import add_exposures
from snakewebb.sources.mosaic import MosaicFile


def make_catalog(
    mosaic: str | Path,
    catalog: str | Path,
    segmentation: str | Path,
    *,
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
    catalog, segmentation : path
        To write, see `snakewebb.sources.catalog_file.write_catalog`.
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
    image = MosaicFile(mosaic)
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
