"""One band of the median of a product's exposures, from files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from snakewebb.exposure import sky_in_pixels
from snakewebb.layout import Layout, band_rows, read_facts
from snakewebb.outlier_detection import median_band, reason_to_skip
from snakewebb.resample import band_inputs


def product_median(
    layout: Layout,
    sources: Sequence[str | Path],
    geometry_files: Sequence[str | Path],
    skies: Mapping[str, Mapping[str, Any]],
    band: int,
    bands: int,
    *,
    resample_data: bool = True,
    **options: Any,
) -> tuple[np.ndarray, int]:
    """Return one of several bands of the median of all exposures, and its first row.

    The band is empty where there is nothing to compare an exposure with.

    Parameters
    ----------
    layout : Layout
        The product's.
    sources, geometry_files : sequence of paths
        Of its exposures, in its order.
    skies : mapping
        By exposure name what `snakewebb.skymatch.match_sky` found; empty if sky was not matched.
    band, bands : int
        Which one, of how many.
    resample_data, **options
        See `snakewebb.outlier_detection.median_band`.
    """
    groups = [placement.group for placement in layout.placements.values()]
    if reason_to_skip(groups, resample_data=resample_data):
        return np.full((0, layout.grid.shape[1]), np.nan, np.float32), 0
    height = layout.grid.shape[0]
    if not resample_data:
        height = read_facts(geometry_files[0])[1].shape[0]
    rows = band_rows(height, band, bands)
    # On the detector every exposure falls on every band.
    reach = rows if resample_data else slice(0, layout.grid.shape[0])
    inputs = band_inputs(
        layout,
        sources,
        geometry_files,
        reach,
        lambda name, facts: sky_in_pixels(facts, skies.get(name)),
    )
    exposures, typical = [], {}
    for exposure, path in zip(inputs, geometry_files, strict=True):
        if exposure is not None:
            exposures.append(exposure)
            typical[exposure.name] = read_facts(path)[0]["typical_weights"]
    median = median_band(
        exposures, typical, layout.grid, rows, resample_data=resample_data, **options
    )
    return median, rows.start
