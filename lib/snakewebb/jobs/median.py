"""Job median: the median of a product's exposures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from snakewebb.astrometry.alignment import AlignmentResult
from snakewebb.io.bands import cut_rows, in_order, write_rows
from snakewebb.jobs.options import options_of
from snakewebb.mosaicking.median import MedianOptions, chosen, median_band
from snakewebb.mosaicking.outlier_detection import reason_to_skip
from snakewebb.mosaicking.resample import band_inputs
from snakewebb.mosaicking.sky_levels import SkyResult, sky_in_pixels
from snakewebb.wcs.exposure import open_exposures

DRIZZLED = 120
"""Bytes a pixel of one exposure that is read and drizzled, see `snakewebb.mosaicking.resample`."""


def write_median(
    exposures: Sequence[str | Path],
    facts: str | Path,
    alignment: str | Path,
    target: str | Path,
    *,
    sky: str | Path | None = None,
    step: Mapping[str, Any] = MappingProxyType({}),
    threads: int = 1,
) -> None:
    """Write the median of all exposures, an image without pixels if there is nothing to compare.

    Parameters
    ----------
    exposures : sequence of paths
        All of the product, in association order.
    facts, alignment : path
        What `snakewebb.jobs.align.align_product` wrote.
    target : path
        FITS; `snakewebb.io.bands.read_window` reads it.
    sky : path, optional
        What `snakewebb.jobs.skymatch.match_exposures` wrote, if sky was matched.
    step : mapping, optional
        Options of `snakewebb.mosaicking.median.MedianOptions`.
    threads : int, optional
        The result does not depend on it.

    Raises
    ------
    InputError
        See `median_band`.
    """
    aligned = AlignmentResult.read(alignment)
    layout = aligned.layout
    skies = SkyResult.read(sky).exposures if sky else {}
    how = options_of(MedianOptions, step)
    with open_exposures(facts) as known:
        height, width = layout.grid.shape
        stacked = layout.columns_per_row()
        if not how.resample_data:
            # On the detector every exposure falls on every band.
            height, width = known(next(iter(layout.placements))).geometry.shape
            stacked = width * len(exposures)
        if reason_to_skip(aligned.groups, aligned.lost_target, resample_data=how.resample_data):
            height = 0

        def band(rows: slice) -> np.ndarray:
            reach = rows if how.resample_data else slice(0, layout.grid.shape[0])
            inputs = band_inputs(
                layout,
                exposures,
                known,
                reach,
                lambda exposure: sky_in_pixels(exposure.header, skies.get(exposure.name)),
            )
            found = [each for each in inputs if each is not None]
            typical = {each.name: known(each.name).typical_weights for each in found}
            return median_band(found, typical, layout.grid, rows, how)

        bands = cut_rows(height, 4 * (stacked + 4 * width) + DRIZZLED * width, threads)
        write_rows(target, (height, 3, width), chosen(in_order(band, bands, threads)))
