"""Relative and absolute alignment of exposures from their source catalogues.

All exposures of a group (the detectors of one pointing) move together. Positions are compared on
one tangent plane, in arcseconds to the East and to the North. Groups that overlap are joined one
after another to a growing list of stars, which tells what each source is; then one least-squares
adjustment of all groups and all stars at once (a block adjustment, or generalized Procrustes
analysis: Gower 1975, Psychometrika 40, 33) gives the corrections. The first group keeps its
pointing. Parameters and defaults are those of jwst's ``tweakreg`` step.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from snakewebb.astrometry.alignment import ExposureAlignment, ReferenceFit, Status
from snakewebb.astrometry.joining import MAS, align_relative, column_names, detections_of
from snakewebb.astrometry.matching import Affine, FitError, brightest_apart, match_and_fit, rms
from snakewebb.astrometry.network import apply_fits
from snakewebb.astrometry.options import AbsoluteMatching, Matching
from snakewebb.io.groups import reason_alone
from snakewebb.wcs.geometry import Correction
from snakewebb.wcs.sphere import to_plane

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GroupAlignment:
    """What became of the exposures of a group.

    Attributes
    ----------
    group : str
    exposures : tuple of str
    island : int
        Groups of one island are tied to each other by common stars.
    relative, absolute : {"COMPLETE", "SKIPPED", "FAILED"}
        Alignment with the other groups, and with the reference catalogue.
    reason : str
        Why something was skipped or failed, or that the others are aligned with this group.
    correction : Correction or None
        None: the pointing stays as it is.
    offset : (float, float)
        By how much the correction moves the middle of the sources to the East and North, mas.
    rotation : float
        By how much it turns them, from North to East, arcsec.
    """

    group: str
    exposures: tuple[str, ...]
    island: int
    relative: Status
    absolute: Status
    reason: str
    correction: Correction | None
    offset: tuple[float, float]
    rotation: float

    @property
    def status(self) -> Status:
        """Return FAILED where anything that was asked for failed."""
        both = (self.relative, self.absolute)
        return next((s for s in ("FAILED", "COMPLETE") if s in both), "SKIPPED")


@dataclass(frozen=True)
class ExposureQuality:
    """How well an exposure agrees with the others.

    Attributes
    ----------
    n_sources, n_matches : int
        Sources that may be matched, and those used in the final fit.
    rms_before, rms_after : float or None
        Root mean square distance of the latter from where the other exposures see their stars,
        mas, with the measured and with the corrected positions.
    """

    n_sources: int
    n_matches: int
    rms_before: float | None
    rms_after: float | None


@dataclass(frozen=True)
class Alignment:
    """Corrections of all exposures of a product, and how good they are.

    Attributes
    ----------
    groups : tuple of GroupAlignment
        In the order of the association.
    exposures : dict of str to ExposureQuality
    islands : tuple of ReferenceFit
        Empty without a reference catalogue.
    """

    groups: tuple[GroupAlignment, ...]
    exposures: dict[str, ExposureQuality]
    islands: tuple[ReferenceFit, ...]

    def by_exposure(self) -> dict[str, ExposureAlignment]:
        """Return how each exposure was aligned, in the order of the association."""
        group_of = {name: group for group in self.groups for name in group.exposures}
        return {
            name: ExposureAlignment(
                status=group_of[name].status,
                **{key: value for key, value in vars(group_of[name]).items() if key != "exposures"},
                **vars(quality),
            )
            for name, quality in self.exposures.items()
        }


def align(
    catalogs: Mapping[str, Any],
    groups: Mapping[str, str],
    how: Matching = Matching(),
    *,
    enforce_user_order: bool = False,
    expand_refcat: bool = False,
    reference: Any = None,
    absolute: AbsoluteMatching = AbsoluteMatching(),
    lacking: str = "",
) -> Alignment:
    """Align the exposures of a product with each other and with a reference catalogue.

    Parameters
    ----------
    catalogs : mapping of exposure to catalogue
        In the order of the association: anything with columns ``RA``, ``DEC`` (degrees, by the
        exposure's own WCS) and ``flux``, and perhaps ``weight``, an inverse variance. Weights
        count if all catalogues with sources have them.
    groups : mapping of exposure to group
        The exposures of a group move together.
    how : Matching, optional
        How exposures are matched with each other.
    enforce_user_order : bool
        Join the groups in the order of the association, beginning with the first, instead of by
        overlap.
    expand_refcat : bool
        With `enforce_user_order`, whether sources that the first group lacks serve as references
        too. Without it they always do.
    reference : catalogue with columns ``RA`` and ``DEC`` (degrees), or None
        To which the result is fitted: each island of tied groups as a whole. If it has a column
        ``weight``, that is the weight of a star's squared distance.
    absolute : AbsoluteMatching, optional
        How exposures are matched with it.
    lacking : str, optional
        Why there is no `reference` although one was asked for: the absolute alignment is FAILED.

    Raises
    ------
    InputError
        Parameters contradict each other, or the exposures are spread over half the sky.
    """
    how.check()
    names = list(catalogs)
    members: dict[str, list[str]] = {}
    for name in names:
        members.setdefault(groups[name], []).append(name)
    number = {group: g for g, group in enumerate(members)}
    group_of = np.array([number[groups[name]] for name in names], dtype=int)
    detections, ra0, dec0 = detections_of(catalogs, group_of, how.separation)
    islands, relative = align_relative(detections, how, enforce_user_order, expand_refcat)
    alone = reason_alone([groups[name] for name in names])
    if alone:
        relative = {0: ("SKIPPED", alone)}

    ends: list[ReferenceFit] = []
    onto_reference: list[Affine | None] = []
    if lacking:
        ends = [ReferenceFit("FAILED", f"abs_refcat: {lacking}", 0)] * len(islands)
        onto_reference = [None] * len(islands)
    elif reference is not None:
        absolute.check("abs_")
        places = np.column_stack(
            to_plane(np.asarray(reference["RA"]), np.asarray(reference["DEC"]), ra0, dec0)
        )
        near = np.isfinite(places).all(axis=1)
        weight = reference["weight"][near] if "weight" in column_names(reference) else None
        for island in islands:
            end, fit = _fit_absolute(detections, island, places[near], weight, absolute)
            ends.append(end)
            onto_reference.append(fit)

    fits = {g: fit for island in islands for g, fit in island.items()}
    island_of = {g: number for number, island in enumerate(islands) for g in island}
    # Most of a pointing error is common to a visit: what cannot be fitted by itself goes along.
    along = max(
        (k for k, fit in enumerate(onto_reference) if fit),
        key=lambda k: ends[k].n_matches,
        default=None,
    )
    results = []
    for g, (group, exposures) in enumerate(members.items()):
        fit, (status, reason) = fits[g], relative[g]
        absolute_status: Status = "SKIPPED"
        if ends:
            own = ends[island_of[g]]
            absolute_status = own.status
            reason = "; ".join(filter(None, (reason, own.reason)))
            onto = onto_reference[island_of[g]]
            if onto is None and along is not None:
                onto = onto_reference[along]
                reason += f": goes with island {along}"
            if onto:
                fit = onto.after(fit)
        points = detections.points[detections.rows[g]]
        centre = points.mean(axis=0) if len(points) else np.zeros(2)
        (a, b), (c, d) = fit.matrix.tolist()
        result = GroupAlignment(
            group=group,
            exposures=tuple(exposures),
            island=island_of[g],
            relative=status,
            absolute=absolute_status,
            reason=reason,
            correction=None
            if fit.is_identity()
            else Correction(ra0, dec0, ((a, b), (c, d)), tuple(fit.shift.tolist())),
            offset=tuple(((fit(centre) - centre) * MAS).tolist()),
            rotation=float(np.degrees(np.arctan2(b - c, a + d)) * 3600),
        )
        results.append(result)
    quality = dict(zip(names, _quality(detections, len(names)), strict=True))
    _report(results, quality, ends)
    return Alignment(tuple(results), quality, tuple(ends))


def _fit_absolute(detections, island, reference, weight, how):
    """Fit the stars of an island to the reference catalogue; return its end, and the map."""
    members = sorted(island)
    rows = np.concatenate([detections.rows[g] for g in members])
    star = np.arange(len(rows))
    if len(members) > 1:
        rows = rows[detections.star[rows] >= 0]
        star = np.unique(detections.star[rows], return_inverse=True)[1]
    if not len(rows):
        return ReferenceFit("FAILED", "abs_refcat: no sources to match", 0), None
    group = np.searchsorted(members, detections.group[rows])
    corrected = apply_fits([island[g] for g in members], detections.points[rows], group)
    # Clipped measurements count only where a star has no others.
    used = detections.used[rows]
    count = np.where(np.bincount(star, used)[star] > 0, used, True)
    own = None
    if detections.weight is not None:
        own = np.bincount(star, count * detections.weight[rows])
        count = np.where(own[star] > 0, count * detections.weight[rows], count)
    points = np.column_stack([np.bincount(star, c * count) for c in corrected.T])
    points /= np.bincount(star, count)[:, np.newaxis]
    flux = np.full(len(points), -np.inf)
    np.fmax.at(flux, star, detections.flux[rows])
    apart = brightest_apart(points, flux, how.separation)
    points, own = points[apart], None if own is None else own[apart]
    low, high = points.min(axis=0) - 2 * how.reach, points.max(axis=0) + 2 * how.reach
    inside = ((reference >= low) & (reference <= high)).all(axis=1)
    near, weight = reference[inside], None if weight is None else np.asarray(weight)[inside]
    try:
        fit, i, j, kept = match_and_fit(points, near, how, own, weight)
    except FitError as error:
        return ReferenceFit("FAILED", f"abs_refcat: {error}", len(near)), None
    residual = np.hypot(*(fit(points[i[kept]]) - near[j[kept]]).T)
    end = ReferenceFit("COMPLETE", "", len(near), int(kept.sum()), rms(residual) * MAS)
    return end, fit


def _quality(detections, n_exposures):
    """Return the quality of each exposure."""
    used, exposure = detections.used, detections.exposure
    n_sources = np.bincount(exposure, minlength=n_exposures).tolist()
    n_matches = np.bincount(exposure[used], minlength=n_exposures).tolist()
    before, after = (
        np.sqrt(np.bincount(exposure[used], distance[used] ** 2, n_exposures)).tolist()
        for distance in (detections.before, detections.after)
    )
    return [
        ExposureQuality(n, m, b / m**0.5 * MAS, a / m**0.5 * MAS)
        if m
        else ExposureQuality(n, 0, None, None)
        for n, m, b, a in zip(n_sources, n_matches, before, after, strict=True)
    ]


def _report(groups, quality, absolute):
    for g in groups:
        if g.relative == "COMPLETE":
            for name in g.exposures:
                q = quality[name]
                log.info(
                    "%s: %d matches, rms %.2f mas before, %.2f mas after",
                    name,
                    q.n_matches,
                    q.rms_before or np.nan,
                    q.rms_after or np.nan,
                )
        if g.status == "FAILED":
            log.warning("%s: alignment FAILED: %s", g.group, g.reason)
    for number, fit in enumerate(absolute):
        if fit.status == "COMPLETE":
            log.info(
                "island %d: %d matches with the reference catalogue, rms %.2f mas",
                number,
                fit.n_matches,
                fit.rms,
            )
    n_islands = len({g.island for g in groups})
    if n_islands > 1:
        log.warning("the exposures form %d islands that share no stars", n_islands)
