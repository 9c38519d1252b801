"""Jobs i2d and quick_look: the mosaic of a product, or of one exposure; its grid, its pixels."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from snakewebb.astrometry.alignment import AlignmentResult
from snakewebb.errors import InputError
from snakewebb.io.bands import cut_rows, in_order
from snakewebb.io.headers import exposure_header
from snakewebb.io.names import product_exposure
from snakewebb.io.noise_correlation import NoiseCorrelation
from snakewebb.jobs.options import options_of, record_of
from snakewebb.mosaicking.noise_correlation import (
    Sample,
    cell_side,
    correlation_rows,
    finish,
    is_computed,
    sample_noise,
)
from snakewebb.mosaicking.resample import (
    DrizzleOptions,
    band_inputs,
    drizzle_band,
    has_errors,
    tell_missing,
)
from snakewebb.products.mosaic_file import FileOptions, write_i2d
from snakewebb.wcs.exposure import Exposures, locate, open_exposures
from snakewebb.wcs.grid import mean_pixel_side, output_grid
from snakewebb.wcs.layout import Layout, lay_out
from snakewebb.wcs.output_wcs import read_grid

log = logging.getLogger(__name__)

DRIZZLED = 220
"""Bytes a pixel of a band, see `snakewebb.mosaicking.resample.drizzle_band`."""

CELLS = 8
"""Rows of cells of the noise's correlation that are computed at a time."""


def write_mosaic(
    exposures: Sequence[str | Path],
    facts: str | Path,
    alignment: str | Path,
    target: str | Path,
    *,
    output_wcs: str | Path | None = None,
    step: Mapping[str, Any] = MappingProxyType({}),
    asn: Mapping[str, Any] | None = None,
    threads: int = 1,
) -> None:
    """Resample exposures, corrected for pointing and sky, into a mosaic file.

    Parameters
    ----------
    exposures : sequence of paths
        ``_crf``, in association order: all of the product, or only some.
    facts, alignment : path
        What `snakewebb.jobs.align.align_product` wrote.
    target : path
        The ``_i2d`` to write.
    output_wcs : path, optional
        See `output_layout`.
    step : mapping, optional
        ``grid`` and ``max_megapixels``: options of `snakewebb.wcs.grid.output_grid`; ``drizzle``:
        of `snakewebb.mosaicking.resample.DrizzleOptions`; ``i2d``: of
        `snakewebb.products.mosaic_file.FileOptions`; ``crds``: files of CRDS that parameters are
        from, by step, for the metadata.
    asn : mapping, optional
        For ``meta.asn``.
    threads : int, optional
        The result does not depend on it.

    Raises
    ------
    InputError
        See `output_layout` and `snakewebb.mosaicking.resample.drizzle_band`.
    """
    grid = step.get("grid", {})
    with open_exposures(facts) as known:
        layout = output_layout(
            alignment,
            known,
            [product_exposure(path) for path in exposures],
            output_wcs=output_wcs,
            max_megapixels=step.get("max_megapixels"),
            **grid,
        )
        _resample(
            target,
            layout,
            exposures,
            known,
            {**step, "grid": {**grid, "output_wcs": str(output_wcs or "")}},
            asn=asn,
            threads=threads,
        )


def rectify_exposure(
    exposure: str | Path,
    target: str | Path,
    *,
    step: Mapping[str, Any] = MappingProxyType({}),
    asn: Mapping[str, Any] | None = None,
) -> None:
    """Resample one calibrated exposure, as it is, for a quick look.

    Parameters
    ----------
    exposure, target : path
        The ``_cal`` and the ``_i2d`` to write.
    step, asn
        See `write_mosaic`.

    Raises
    ------
    InputError
        See `snakewebb.wcs.exposure.locate` and `snakewebb.wcs.grid.output_grid`.
    """
    found = locate(exposure)[0]
    geometries = {found.name: found.geometry}
    grid = output_grid(geometries, **step.get("grid", {}))
    layout = lay_out(geometries, {found.name: found.header.group_id}, {found.name: None}, grid)
    step = {**step, "i2d": {"blendheaders": False, **step.get("i2d", {})}}
    _resample(target, layout, [exposure], lambda name: found, step, asn=asn)


def _resample(
    target: str | Path,
    layout: Layout,
    exposures: Sequence[str | Path],
    known: Exposures,
    step: Mapping[str, Any],
    *,
    asn: Mapping[str, Any] | None,
    threads: int = 1,
) -> None:
    """Resample exposures that are laid out into a mosaic file; see `write_mosaic`."""
    files = dict(zip(layout.placements, exposures, strict=True))
    sky = cache(lambda name: exposure_header(files[name]).remaining_sky)
    height, width = layout.grid.shape
    how = options_of(DrizzleOptions, step.get("drizzle", {}))
    if not has_errors(exposures):
        how = replace(how, enable_err=False)
    tell_missing(exposures, how)

    def band(rows: slice) -> tuple[int, dict[str, np.ndarray | None]]:
        inputs = band_inputs(layout, exposures, known, rows, lambda exposure: sky(exposure.name))
        return rows.start, vars(drizzle_band(inputs, layout.grid, rows, how))

    form = options_of(FileOptions, step.get("i2d", {}))
    correlation = None
    if form.report_noise and how.enable_err:
        correlation = _noise_correlation(layout, exposures, known, how, threads)
    context = 4 * (len(exposures) // 32 + 1)
    bands = cut_rows(height, (DRIZZLED + context) * width, threads)
    write_i2d(
        target,
        layout,
        in_order(band, bands, threads),
        exposures,
        form,
        parameters={
            **record_of(how),
            **step.get("grid", {}),
            **({"crds": dict(step["crds"])} if step.get("crds") else {}),
        },
        correlation=correlation,
        asn=asn,
    )


def _noise_correlation(
    layout: Layout,
    exposures: Sequence[str | Path],
    known: Exposures,
    how: DrizzleOptions,
    threads: int,
) -> NoiseCorrelation | None:
    """Find how the noise of the mosaic's pixels is correlated, rows of cells at a time."""
    grid = layout.grid
    if not is_computed(grid, how):
        return None
    height, step = grid.shape[0], cell_side(grid)
    files = dict(zip(layout.placements, exposures, strict=True))

    def sample(name: str) -> Sample | None:
        alone = Layout(grid, {name: layout.placements[name]})
        (exposure,) = band_inputs(alone, [files[name]], known, slice(0, height), lambda _: None)
        return sample_noise(exposure, how) if exposure else None

    samples = dict(zip(files, in_order(sample, files, threads), strict=True))

    def some(rows: range) -> np.ndarray:
        band = slice(rows.start * step, rows.stop * step)
        inputs = band_inputs(layout, exposures, known, band, lambda _: None)
        return correlation_rows(inputs, grid, how, samples, rows)

    number = -(-height // step)
    bands = [range(start, min(start + CELLS, number)) for start in range(0, number, CELLS)]
    return finish(np.concatenate(list(in_order(some, bands, threads))), grid)


def output_layout(
    alignment: str | Path,
    known: Exposures,
    names: Sequence[str],
    *,
    output_wcs: str | Path | None = None,
    **parameters: Any,
) -> Layout:
    """Place a product's exposures on its output grid.

    Parameters
    ----------
    alignment : path
        What `snakewebb.jobs.align.align_product` wrote.
    known : callable
        See `snakewebb.wcs.exposure.open_exposures`.
    names : sequence of str
        The exposures that are resampled.
    output_wcs : path, optional
        File with the grid to use; overrides the parameters but for ``output_shape``.
    **parameters
        Of `snakewebb.wcs.grid.output_grid`.

    Raises
    ------
    InputError
        The exposures do not fall on the grid, or it cannot be made.
    """
    aligned = AlignmentResult.read(alignment).layout.placements
    geometries = {}
    for name in names:
        geometries[name] = known(name).geometry.corrected(aligned[name].correction)
    if output_wcs:
        side = mean_pixel_side(next(iter(geometries.values())))
        grid = read_grid(output_wcs, side, parameters.get("output_shape"))
    else:
        grid = output_grid(geometries, **parameters)
    for name, geometry in geometries.items():
        if not np.isfinite(grid.sky_to_pixel(geometry.ra, geometry.dec)).all():
            raise InputError(f"{name}: lies off the output grid: check output_wcs and crval")
    groups = {name: aligned[name].group for name in geometries}
    corrections = {name: aligned[name].correction for name in geometries}
    layout = lay_out(geometries, groups, corrections, grid)
    windows = [placement.bounds for placement in layout.placements.values()]
    if not any(x0 < x1 and y0 < y1 for x0, x1, y0, y1 in windows):
        raise InputError(
            "no exposure falls on the output grid: check output_wcs, crval, crpix, output_shape, "
            "or take the product out of its field"
        )
    log.info("mosaic of %d × %d pixels, %.4g arcsec each", *grid.shape[::-1], grid.cdelt * 3600)
    return layout
