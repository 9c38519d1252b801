"""Job skymatch: sky levels of a product's exposures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from snakewebb.astrometry.alignment import AlignmentResult
from snakewebb.io.bands import in_order
from snakewebb.mosaicking.sky_overlaps import SkyStatistics, overlap_statistics
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
        Options of `match_sky` and `overlap_statistics`.
    threads : int, optional
        The result does not depend on it.

    Raises
    ------
    InputError
        See `overlap_statistics` and `match_sky`.
    """
    layout = AlignmentResult.read(alignment).layout
    statistic = dict(step)
    match_down = statistic.pop("match_down", True)
    method = {"skymethod": statistic.pop("skymethod", "match")}
    with open_exposures(facts) as known:

        def measure(exposure: tuple[str, str | Path]) -> SkyStatistics:
            name, path = exposure
            return overlap_statistics(
                path, name, known(name).geometry, layout, **method, **statistic
            )

        tasks = zip(layout.placements, exposures, strict=True)
        measured = list(in_order(measure, tasks, threads))
    result = match_sky(measured, **method, match_down=match_down, skylist=skylist or None)
    replace(result, parameters=dict(step)).write(target)
