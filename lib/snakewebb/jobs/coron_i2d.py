"""Job coron_i2d: the exposures of all rolls, without their star, in one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from snakewebb.coronagraphy.combine import integrations
from snakewebb.jobs.options import options_of, record_of
from snakewebb.mosaicking.resample import DrizzleOptions, drizzle_band, has_errors, tell_missing
from snakewebb.products.mosaic_file import FileOptions, write_i2d


def combine_exposures(
    exposures: Sequence[str | Path],
    target: str | Path,
    *,
    grid: Mapping[str, Any] = MappingProxyType({}),
    drizzle: Mapping[str, Any] = MappingProxyType({}),
    step: Mapping[str, Any] = MappingProxyType({}),
    crds: Mapping[str, str] = MappingProxyType({}),
    max_megapixels: float | None = None,
    asn: Mapping[str, Any] | None = None,
) -> None:
    """Drizzle the exposures of a target onto one grid.

    Parameters
    ----------
    exposures : sequence of paths
        ``_psfsub``.
    target : path
        The ``_i2d`` to write.
    grid, drizzle, step : mapping, optional
        Options of `snakewebb.wcs.grid.output_grid`, of
        `snakewebb.mosaicking.resample.DrizzleOptions` and of
        `snakewebb.products.mosaic_file.FileOptions`.
    crds : mapping, optional
        Files of CRDS that parameters are from, by step, for the metadata.
    max_megapixels : float, optional
        See `snakewebb.wcs.grid.output_grid`.
    asn : mapping, optional
        For ``meta.asn``.

    Raises
    ------
    InputError
        A file cannot be read, or no exposure has a good pixel.
    """
    layout, inputs = integrations(exposures, max_megapixels=max_megapixels, **grid)
    how = options_of(DrizzleOptions, drizzle)
    if not has_errors(each.source for each in inputs):
        how = replace(how, enable_err=False)
    tell_missing(exposures, how)
    band = drizzle_band(inputs, layout.grid, slice(0, layout.grid.shape[0]), how)
    write_i2d(
        target,
        layout,
        [(0, vars(band))],
        exposures,
        options_of(FileOptions, step),
        parameters={**record_of(how), **grid, **({"crds": dict(crds)} if crds else {})},
        asn=asn,
    )
