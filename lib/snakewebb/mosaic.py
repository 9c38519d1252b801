"""The grid that a product is resampled to, from the parameters of the resample step."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from snakewebb.errors import InputError
from snakewebb.grid import Grid, mean_pixel_side, output_grid
from snakewebb.layout import Layout, lay_out, read_facts

log = logging.getLogger(__name__)


def output_layout(
    alignment: str | Path,
    geometry_files: Sequence[str | Path],
    *,
    output_wcs: str | Path | None = None,
    **parameters: Any,
) -> Layout:
    """Place a product's exposures on its output grid.

    Parameters
    ----------
    alignment : path
        What `snakewebb.alignment.align_product` found, as JSON.
    geometry_files : sequence of paths
        Of the exposures that are resampled; some or all of the aligned ones.
    output_wcs : path, optional
        File with the grid to use; overrides the parameters.
    **parameters
        Of `snakewebb.grid.output_grid`.

    Raises
    ------
    InputError
        The exposures do not fall on the grid, or it cannot be made.
    """
    aligned = Layout.from_dict(json.loads(Path(alignment).read_text())["layout"]).placements
    geometries = {}
    for path in geometry_files:
        facts, geometry = read_facts(path)
        geometries[facts["exposure"]] = geometry.corrected(aligned[facts["exposure"]].correction)
    if output_wcs:
        from snakewebb.wcs import read_grid

        grid: Grid = read_grid(output_wcs, mean_pixel_side(next(iter(geometries.values()))))
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
            "no exposure falls on the output grid: check output_wcs, crval, crpix, output_shape"
        )
    log.info("mosaic of %d × %d pixels, %.4g arcsec each", *grid.shape[::-1], grid.cdelt * 3600)
    return layout
