"""Job skymatch: sky levels of a product's exposures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from snakewebb.io.bands import in_order
from snakewebb.mosaicking.sky_overlaps import Record, overlap_statistics
from snakewebb.mosaicking.skymatch import match_sky
from snakewebb.wcs.exposure import open_facts
from snakewebb.wcs.layout import Layout


def match_exposures(
    sources: Sequence[str | Path],
    facts_file: str | Path,
    layout: Layout,
    *,
    skymethod: str = "match",
    match_down: bool = True,
    skylist: str | Path | None = None,
    threads: int = 1,
    **statistic: Any,
) -> Record:
    """Find the sky levels of a product's exposures from their files.

    Parameters
    ----------
    sources : sequence of paths
        All exposures, in the layout's order.
    facts_file : path
        Of the product, see `snakewebb.wcs.exposure.open_facts`.
    layout : Layout
        The product's.
    skymethod, match_down, skylist
        See `match_sky`.
    threads : int, optional
        The result does not depend on it.
    **statistic
        See `overlap_statistics`.

    Returns
    -------
    dict
        What `match_sky` returns.

    Raises
    ------
    InputError
        See `overlap_statistics` and `match_sky`.
    """
    with open_facts(facts_file) as facts:

        def measure(exposure: tuple[str, str | Path]) -> Record:
            name, path = exposure
            return overlap_statistics(
                path, name, facts(name)[1], layout, skymethod=skymethod, **statistic
            )

        tasks = zip(layout.placements, sources, strict=True)
        measured = list(in_order(measure, tasks, threads))
    return match_sky(measured, skymethod=skymethod, match_down=match_down, skylist=skylist)
