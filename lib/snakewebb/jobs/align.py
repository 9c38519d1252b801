"""Job align: the alignment of a product's exposures, and their common grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from snakewebb.astrometry import assign_mtwcs as mtwcs
from snakewebb.astrometry.alignment import AlignmentResult, ExposureAlignment, ReferenceFit
from snakewebb.astrometry.catalogs import reference_catalogue
from snakewebb.astrometry.joint import Frame
from snakewebb.astrometry.options import AbsoluteMatching, Matching, NoCatalogue
from snakewebb.astrometry.tweakreg import Alignment, align
from snakewebb.errors import InputError
from snakewebb.jobs.options import option_names, options_of
from snakewebb.wcs.exposure import Exposure, archive_exposures
from snakewebb.wcs.geometry import Correction
from snakewebb.wcs.grid import output_grid
from snakewebb.wcs.layout import lay_out

OTHERS = {
    "skip",
    "abs_refcat",
    "enforce_user_order",
    "expand_refcat",
    "adjustment",
    "placement_error",
}
"""Options of the step that are not of how stars are matched."""


def align_product(
    facts: Sequence[str | Path],
    alignment: str | Path,
    archive: str | Path,
    *,
    refcat: str | Path | None = None,
    tweakreg: Mapping[str, Any] = MappingProxyType({}),
    assign_mtwcs: Mapping[str, Any] = MappingProxyType({}),
    find_sources: Mapping[str, Any] = MappingProxyType({}),
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
    tweakreg, assign_mtwcs : mapping, optional
        Step parameters.
    find_sources : mapping, optional
        Parameters that the sources were found with; for the record.
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
    step, options = ("assign_mtwcs", assign_mtwcs) if moving else ("tweakreg", tweakreg)
    corrections: dict[str, Correction | None] = dict.fromkeys(groups)
    islands: tuple[ReferenceFit, ...] = ()
    network: tuple[Mapping[str, Any], ...] = ()
    notes: dict[str, Any] = {}
    if options.get("skip"):
        exposures = dict.fromkeys(groups, ExposureAlignment(status="SKIPPED", reason="skip is set"))
    elif moving:
        exposures, corrections = mtwcs.assign_mtwcs(
            {e.name: (e.header.mt_ra, e.header.mt_dec) for e in known},
            {name: geometry.center() for name, geometry in geometries.items()},
        )
    else:
        found, notes = _by_stars(known, groups, options, refcat)
        exposures, islands, network = found.by_exposure(), found.islands, found.network
        corrections = {name: exposure.correction for name, exposure in exposures.items()}
    aligned = {name: g.corrected(corrections[name]) for name, g in geometries.items()}
    grid = output_grid(aligned, max_megapixels=max_megapixels)
    layout = lay_out(aligned, groups, corrections, grid)
    archive_exposures(archive, known)
    AlignmentResult(
        step=step,
        parameters=dict(assign_mtwcs) if moving else {**find_sources, **tweakreg},
        exposures=exposures,
        islands=islands,
        reference=notes,
        layout=layout,
        network=network,
    ).write(alignment)


def _by_stars(
    known: Sequence[Exposure],
    groups: Mapping[str, str],
    options: Mapping[str, Any],
    refcat: str | Path | None,
) -> tuple[Alignment, dict[str, Any]]:
    """Align exposures by their stars; also return what is noted of the reference catalogue."""
    reference: Any = None
    notes: dict[str, Any] = {}
    rigid = options.get("adjustment") == "rigid"
    if name := options.get("abs_refcat"):
        epochs = {exposure.name: exposure.header.epoch for exposure in known}
        geometries = {exposure.name: exposure.geometry for exposure in known}
        try:
            reference, notes = reference_catalogue(name, refcat, geometries, epochs, moved=rigid)
        except NoCatalogue as error:
            reference = error
    placement_error = options.get("placement_error", 2.0)
    found = align(
        {exposure.name: exposure.sources for exposure in known},
        groups,
        options_of(Matching, options, others=option_names(AbsoluteMatching, "abs_") | OTHERS),
        enforce_user_order=options.get("enforce_user_order", False),
        expand_refcat=options.get("expand_refcat", False),
        reference=reference,
        absolute=options_of(
            AbsoluteMatching, options, "abs_", others=option_names(Matching) | OTHERS
        ),
        frames=None if rigid else {e.name: Frame.of(e, placement_error) for e in known},
    )
    return found, notes


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
