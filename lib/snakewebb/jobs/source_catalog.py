"""Job source_catalog: the catalogue and the segmentation map of a mosaic."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from snakewebb.sources.catalog import source_catalog
from snakewebb.sources.catalog_file import write_catalog
from snakewebb.sources.mosaic import MosaicFile


def make_catalog(
    i2d: str | Path,
    cat: str | Path,
    segm: str | Path,
    *,
    apcorr: str | Path | None = None,
    abvegaoffset: str | Path | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Make the catalogue and the segmentation map of a mosaic file.

    Parameters
    ----------
    i2d : path
        The mosaic.
    cat, segm : path
        The catalogue (ECSV) and the segmentation map (FITS) to write.
    apcorr, abvegaoffset : path, optional
        Reference files, see `source_catalog`.
    **options
        The other parameters of `source_catalog`.

    Returns
    -------
    dict
        The status, see `Catalog`.

    Raises
    ------
    InputError
        The mosaic or a reference file cannot be used.
    """
    mosaic = MosaicFile(i2d)
    with tempfile.TemporaryFile(dir=Path(segm).parent) as scratch:
        catalog = source_catalog(
            mosaic,
            apcorr=apcorr,
            abvegaoffset=abvegaoffset,
            scratch=scratch,
            **options,
        )
        write_catalog(catalog, mosaic, cat, segm)
    return catalog.status
