"""Job skymatch: sky levels of a product's exposures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from snakewebb.astrometry.alignment import AlignmentResult
from snakewebb.io.bands import in_order
from snakewebb.jobs.options import options_of
from snakewebb.mosaicking.sky_overlaps import SkyOptions, SkyStatistics, overlap_statistics
from snakewebb.mosaicking.skymatch import match_sky
from snakewebb.wcs.exposure import open_exposures


def match_exposures(
    exposures: Sequence[str | Path],
    facts: str | Path,
    alignment: str | Path,
    target: str | Path,
    *,
    skylist: str | Path | None = None,
    step: Mapping[str, Any] = MappingProxyType({}),
    threads: int = 1,
) -> None:
    """Find the sky levels of a product's exposures.

    Parameters
    ----------
    exposures : sequence of paths
        All of the product, in association order.
    facts, alignment : path
        What `snakewebb.jobs.align.align_product` wrote.
    target : path
        To write: a `snakewebb.mosaicking.sky_levels.SkyResult`.
    skylist : path, optional
        See `match_sky`.
    step : mapping, optional
        Options of `match_sky` and `snakewebb.mosaicking.sky_overlaps.SkyOptions`.
    threads : int, optional
        The result does not depend on it.

    Raises
    ------
    InputError
        See `overlap_statistics` and `match_sky`.
    """
    layout = AlignmentResult.read(alignment).layout
    how = options_of(SkyOptions, step, others=["match_down"])
    with open_exposures(facts) as known:

        def measure(exposure: tuple[str, str | Path]) -> SkyStatistics:
            name, path = exposure
            return overlap_statistics(path, name, known(name).geometry, layout, how)

        tasks = zip(layout.placements, exposures, strict=True)
        measured = list(in_order(measure, tasks, threads))
    result = match_sky(
        measured,
        skymethod=how.skymethod,
        match_down=step.get("match_down", True),
        skylist=skylist or None,
    )
    replace(result, parameters=dict(step)).write(target)
