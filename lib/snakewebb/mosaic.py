"""The grid that a product is resampled to, from the parameters of the resample step."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from snakewebb.grid import Grid, mean_pixel_side, output_grid
from snakewebb.layout import Layout, lay_out, read_facts


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
    groups = {name: aligned[name].group for name in geometries}
    corrections = {name: aligned[name].correction for name in geometries}
    return lay_out(geometries, groups, corrections, grid)
