"""Job median: the median of a product's exposures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from snakewebb.io.bands import cut_rows, in_order
from snakewebb.io.planes import write_rows
from snakewebb.mosaicking.median import chosen, median_band
from snakewebb.mosaicking.outlier_detection import reason_to_skip
from snakewebb.mosaicking.resample import band_inputs
from snakewebb.mosaicking.sky_levels import sky_in_pixels
from snakewebb.wcs.exposure import open_facts
from snakewebb.wcs.layout import Layout

DRIZZLED = 120
"""Bytes a pixel of one exposure that is read and drizzled, see `snakewebb.mosaicking.resample`."""


def write_median(
    target: str | Path,
    alignment: Mapping[str, Any],
    sources: Sequence[str | Path],
    facts_file: str | Path,
    skies: Mapping[str, Mapping[str, Any]],
    *,
    threads: int = 1,
    resample_data: bool = True,
    **options: Any,
) -> None:
    """Write the median of all exposures, an image without pixels if there is nothing to compare.

    Parameters
    ----------
    target : path
        FITS; `snakewebb.io.bands.read_rows` reads it.
    alignment : mapping
        The product's, see `snakewebb.jobs.align.align_product`.
    sources : sequence of paths
        Its exposures, in the layout's order.
    facts_file : path
        Of the product, see `snakewebb.wcs.exposure.open_facts`.
    skies : mapping
        By exposure name what `snakewebb.mosaicking.skymatch.match_sky` found; empty if sky was not
        matched.
    threads : int, optional
        The result does not depend on it.
    resample_data, **options
        See `median_band`.

    Raises
    ------
    InputError
        See `median_band`.
    """
    layout = Layout.from_dict(alignment["layout"])
    with open_facts(facts_file) as facts:
        height, width = layout.grid.shape
        stacked = layout.columns_per_row()
        if not resample_data:
            # On the detector every exposure falls on every band.
            height, width = facts(next(iter(layout.placements)))[1].shape
            stacked = width * len(sources)
        if reason_to_skip(alignment, resample_data=resample_data):
            height = 0

        def band(rows: slice) -> np.ndarray:
            reach = rows if resample_data else slice(0, layout.grid.shape[0])
            inputs = band_inputs(
                layout,
                sources,
                facts,
                reach,
                lambda name, known: sky_in_pixels(known, skies.get(name)),
            )
            exposures = [exposure for exposure in inputs if exposure is not None]
            typical = {e.name: facts(e.name)[0]["typical_weights"] for e in exposures}
            return median_band(
                exposures, typical, layout.grid, rows, resample_data=resample_data, **options
            )

        bands = cut_rows(height, 4 * (stacked + 2 * width) + DRIZZLED * width, threads)
        write_rows(target, (height, width), chosen(in_order(band, bands, threads)))
