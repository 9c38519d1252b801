"""Job solve_field: the exposures of several products, aligned with each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from snakewebb.astrometry.alignment import Solution
from snakewebb.astrometry.catalogs import reference_catalogue
from snakewebb.astrometry.joint import Frame
from snakewebb.astrometry.options import AbsoluteMatching, Matching, NoCatalogue
from snakewebb.astrometry.tweakreg import align
from snakewebb.errors import InputError
from snakewebb.jobs.options import option_names, options_of
from snakewebb.wcs.exposure import Exposure

OTHERS = {"skip", "abs_refcat", "placement_error"}
"""Options of the step that are not of how stars are matched."""


def solve_field(
    facts: Sequence[str | Path],
    solution: str | Path,
    *,
    refcat: str | Path | None = None,
    tweakreg: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Align the exposures of several products with each other.

    Parameters
    ----------
    facts : sequence of paths
        What `snakewebb.jobs.find_sources.describe_exposure` wrote of all exposures, product by
        product.
    solution : path
        To write: a `snakewebb.astrometry.alignment.Solution`.
    refcat : path, optional
        Reference catalogue, if it is a file.
    tweakreg : mapping, optional
        Step parameters.

    Raises
    ------
    InputError
        An exposure follows a moving target, or see `solve`.
    """
    known: dict[str, Exposure] = {}
    for path in facts:
        exposure = Exposure.read(path)
        if exposure.header.is_moving:
            raise InputError(
                f"{exposure.name}: follows a moving target: take its product out of 'fields'"
            )
        known.setdefault(exposure.name, exposure)
    solve(list(known.values()), tweakreg, refcat).write(solution)


def solve(
    known: Sequence[Exposure], options: Mapping[str, Any], refcat: str | Path | None = None
) -> Solution:
    """Align exposures by their stars (tweakreg).

    Parameters
    ----------
    known : sequence of Exposure
        With their sources, in order.
    options : mapping
        Step parameters.
    refcat : path, optional
        Reference catalogue, if it is a file.

    Raises
    ------
    InputError
        Parameters contradict each other, or the catalogue cannot be used.
    """
    reference: Any = None
    notes: dict[str, Any] = {}
    if name := options.get("abs_refcat"):
        epochs = [exposure.header.epoch for exposure in known]
        geometries = [exposure.geometry for exposure in known]
        try:
            reference, notes = reference_catalogue(name, refcat, geometries, epochs)
        except NoCatalogue as error:
            reference = error
    placement_error = options.get("placement_error", 2.0)
    found = align(
        {exposure.name: exposure.sources for exposure in known},
        groups_of(known),
        options_of(Matching, options, others=option_names(AbsoluteMatching, "abs_") | OTHERS),
        reference=reference,
        absolute=options_of(
            AbsoluteMatching, options, "abs_", others=option_names(Matching) | OTHERS
        ),
        frames={e.name: Frame.of(e, placement_error) for e in known},
    )
    return Solution(found.by_exposure(), found.islands, notes, found.network)


def groups_of(known: Sequence[Exposure]) -> dict[str, str]:
    """Return the group of each exposure; what associations call alike may be of several visits."""
    visits: dict[str, set[str | None]] = {}
    for exposure in known:
        visits.setdefault(exposure.header.group_id, set()).add(exposure.header.visit)
    return {
        e.name: e.header.group_id
        if len(visits[e.header.group_id]) < 2
        else f"{e.header.group_id} of visit {e.header.visit}"
        for e in known
    }
