"""Job completeness: which share of stars is in the catalogue of a mosaic, by magnitude."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from snakewebb.io.atomic import replacing
from snakewebb.jobs.options import options_of
from snakewebb.sources.catalog import CatalogOptions
from snakewebb.sources.completeness import measure_completeness
from snakewebb.sources.mosaic import MosaicFile


def make_completeness(
    mosaic: str | Path,
    completeness: str | Path,
    *,
    apcorr: str | Path | None = None,
    step: Mapping[str, Any] = MappingProxyType({}),
    threads: int = 1,
) -> None:
    """Measure how complete the catalogue of a mosaic file is.

    Parameters
    ----------
    mosaic : path
        The ``_i2d``.
    completeness : path
        The table (ECSV) to write.
    apcorr : path, optional
        See `snakewebb.sources.catalog.source_catalog`.
    step : mapping, optional
        Options of `snakewebb.sources.catalog.CatalogOptions`.
    threads : int, optional
        The result does not depend on it.

    Raises
    ------
    InputError
        The mosaic or the reference file cannot be used.
    """
    image, how = MosaicFile(mosaic), options_of(CatalogOptions, step)
    with tempfile.TemporaryFile(dir=Path(completeness).parent) as scratch:
        table = measure_completeness(image, how, apcorr=apcorr, scratch=scratch, threads=threads)
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    with replacing(completeness) as file:
        file.write(text.getvalue().encode())
