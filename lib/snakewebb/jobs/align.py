"""Job align: the alignment of a product's exposures, and their common grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from snakewebb.astrometry import assign_mtwcs as mtwcs
from snakewebb.astrometry.alignment import AlignmentResult, ExposureAlignment, Solution
from snakewebb.errors import InputError
from snakewebb.jobs.solve_field import solve
from snakewebb.wcs.exposure import Exposure, archive_exposures
from snakewebb.wcs.geometry import Correction
from snakewebb.wcs.grid import output_grid
from snakewebb.wcs.layout import lay_out


def align_product(
    facts: Sequence[str | Path],
    alignment: str | Path,
    archive: str | Path,
    *,
    refcat: str | Path | None = None,
    field: str | Path | None = None,
    step: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    max_megapixels: float | None = None,
) -> None:
    """Align a product's exposures and lay out the grid on which they are compared.

    Moving targets are brought to their mean position (assign_mtwcs), others are aligned by their
    stars (tweakreg).

    Parameters
    ----------
    facts : sequence of paths
        What `snakewebb.jobs.find_sources.describe_exposure` wrote of all exposures, in association
        order.
    alignment, archive : path
        To write: an `AlignmentResult`, and what is known of all exposures, see
        `snakewebb.wcs.exposure.archive_exposures`.
    refcat : path, optional
        Reference catalogue, if it is a file.
    field : path, optional
        What `snakewebb.jobs.solve_field.solve_field` wrote, if the product is one of a field; its
        exposures are aligned with those of the others then.
    step : mapping, optional
        ``tweakreg``, ``assign_mtwcs``: parameters of these steps; ``find_sources``: those that the
        sources were found with, for the record.
    max_megapixels : float, optional
        See `snakewebb.wcs.grid.output_grid`.

    Raises
    ------
    InputError
        Exposures do not belong together, or parameters contradict each other.
    """
    known = [Exposure.read(path) for path in facts]
    _check_alike(known)
    geometries = {exposure.name: exposure.geometry for exposure in known}
    groups = {exposure.name: exposure.header.group_id for exposure in known}
    moving = any(exposure.header.is_moving for exposure in known)
    name = "assign_mtwcs" if moving else "tweakreg"
    options = step.get(name, {})
    corrections: dict[str, Correction | None] = dict.fromkeys(groups)
    if options.get("skip"):
        skipped = ExposureAlignment(status="SKIPPED", reason="skip is set")
        solution = Solution(dict.fromkeys(groups, skipped))
    elif moving:
        exposures, corrections = mtwcs.assign_mtwcs(
            {e.name: (e.header.mt_ra, e.header.mt_dec) for e in known},
            {name: geometry.center() for name, geometry in geometries.items()},
        )
        solution = Solution(exposures)
    else:
        solution = Solution.read(field) if field else solve(known, options, refcat)
        solution = replace(solution, exposures={n: solution.exposures[n] for n in groups})
        corrections = {name: found.correction for name, found in solution.exposures.items()}
    aligned = {name: g.corrected(corrections[name]) for name, g in geometries.items()}
    grid = output_grid(aligned, max_megapixels=max_megapixels)
    layout = lay_out(aligned, groups, corrections, grid)
    archive_exposures(archive, known)
    AlignmentResult(
        step=name,
        parameters=dict(options) if moving else {**step.get("find_sources", {}), **options},
        layout=layout,
        **vars(solution),
    ).write(alignment)


def _check_alike(known: Sequence[Exposure]) -> None:
    """Raise where exposures of different kinds are in one product."""
    first = known[0]
    for other in known:
        for key in ("instrument", "filter", "pupil", "bunit"):
            theirs, own = getattr(other.header, key), getattr(first.header, key)
            if theirs != own:
                raise InputError(
                    f"{other.name}: its {key} is {theirs}, but that of {first.name} is {own}: "
                    "put them in products of their own"
                )
