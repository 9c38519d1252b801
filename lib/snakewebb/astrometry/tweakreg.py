"""Relative and absolute alignment of exposures from their source catalogues.

The exposures of a group (the detectors of one pointing) have one attitude. Positions are compared
on one tangent plane, in arcseconds to the East and to the North. Groups that overlap are joined one
after another to a growing list of stars, which tells what each source is; then attitudes, the
placements of detectors that all groups share, and stars are adjusted at once
(`snakewebb.astrometry.network`). Where ``adjustment`` is ``rigid`` or ``fitgeometry`` more than a
shift and a roll, groups move as blocks instead, in one least-squares adjustment of all of them and
of all stars (generalized Procrustes analysis: Gower 1975, Psychometrika 40, 33). The first group
keeps its pointing, unless there is a reference catalogue. Parameters and defaults are those of
jwst's ``tweakreg`` step.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from snakewebb.astrometry.absolute import References, fit_reference
from snakewebb.astrometry.alignment import ExposureAlignment, ReferenceFit, Status
from snakewebb.astrometry.joining import MAS, align_relative, detections_of
from snakewebb.astrometry.joint import NETWORK_GEOMETRIES, Frame, Joint, Network, mean_epoch
from snakewebb.astrometry.matching import Affine
from snakewebb.astrometry.options import AbsoluteMatching, Matching, NoCatalogue
from snakewebb.io.groups import reason_alone
from snakewebb.wcs.geometry import Correction

log = logging.getLogger(__name__)

STANDS_OUT = 2.0
"""So many times larger than they should be are residuals of an exposure that is named."""
FEW = 5
"""Stars, of which no exposure is judged."""


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
    """

    group: str
    exposures: tuple[str, ...]
    island: int
    relative: Status
    absolute: Status
    reason: str

    @property
    def status(self) -> Status:
        """Return FAILED where anything that was asked for failed."""
        both = (self.relative, self.absolute)
        return next((s for s in ("FAILED", "COMPLETE") if s in both), "SKIPPED")


@dataclass(frozen=True)
class ExposureQuality:
    """Where an exposure is now, and how well it agrees with the others.

    Attributes
    ----------
    correction : Correction or None
        None: the pointing stays as it is.
    offset : (float, float)
        By how much the correction moves the middle of the group's sources to the East and North,
        mas.
    rotation : float
        By how much it turns them, from North to East, arcsec.
    n_sources, n_matches : int
        Sources that may be matched, and those used in the final fit.
    rms_before, rms_after : float or None
        Root mean square distance of the latter from where the other exposures see their stars,
        mas, with the measured and with the corrected positions.
    error : float or None
        Of the joint adjustment: the standard error of its middle, either axis, mas; with a
        reference catalogue on the sky, else among the exposures. None where it was to be fitted to
        a catalogue, and was not, or not by the joint adjustment.
    pull : float or None
        Likewise: the root mean square of residuals over their errors; 1 where all is well.
    """

    correction: Correction | None
    offset: tuple[float, float]
    rotation: float
    n_sources: int
    n_matches: int
    rms_before: float | None
    rms_after: float | None
    error: float | None = None
    pull: float | None = None

    @property
    def remark(self) -> str:
        """That the exposure stands out, or nothing."""
        if self.pull is None or self.pull < STANDS_OUT or self.n_matches < FEW:
            return ""
        return f"its residuals are {self.pull:.1f} times their errors"


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
    network : tuple of dict
        What the joint adjustments found besides, see `snakewebb.astrometry.joint.Joint.notes`;
        empty where groups are rigid.
    """

    groups: tuple[GroupAlignment, ...]
    exposures: dict[str, ExposureQuality]
    islands: tuple[ReferenceFit, ...]
    network: tuple[dict[str, Any], ...] = ()

    def by_exposure(self) -> dict[str, ExposureAlignment]:
        """Return how each exposure was aligned, in the order of the association."""
        group_of = {name: group for group in self.groups for name in group.exposures}
        return {
            name: ExposureAlignment(
                status=group_of[name].status,
                group=group_of[name].group,
                island=group_of[name].island,
                relative=group_of[name].relative,
                absolute=group_of[name].absolute,
                reason="; ".join(filter(None, (group_of[name].reason, quality.remark))),
                **vars(quality),
            )
            for name, quality in self.exposures.items()
        }


def align(
    catalogs: Mapping[str, Any],
    groups: Mapping[str, str],
    how: Matching = Matching(),
    *,
    reference: Any = None,
    absolute: AbsoluteMatching = AbsoluteMatching(),
    frames: Mapping[str, Frame] | None = None,
) -> Alignment:
    """Align the exposures of a product with each other and with a reference catalogue.

    Parameters
    ----------
    catalogs : mapping of exposure to catalogue
        In the order of the association: anything with columns ``RA``, ``DEC`` (degrees, by the
        exposure's own WCS) and ``flux``, and perhaps ``weight``, an inverse variance, or ``error``
        (arcsec). Weights count if all catalogues with sources have them.
    groups : mapping of exposure to group
        The exposures of a group have one attitude.
    how : Matching, optional
        How exposures are matched with each other.
    reference : catalogue with columns ``RA`` and ``DEC`` (degrees), NoCatalogue, or None
        To which the result is fitted: each island of tied groups as a whole. It may have a column
        ``weight``, that of a star's squared distance, and those of
        `snakewebb.astrometry.reference`. Or why there is none although one was asked for.
    absolute : AbsoluteMatching, optional
        How exposures are matched with it.
    frames : mapping of exposure to Frame, optional
        Without them groups are rigid, and the stars of `reference` are of the exposures' epoch.

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
    given = [frames[name] for name in names] if frames else []
    joins = bool(given) and how.adjustment == "network" and how.fitgeometry in NETWORK_GEOMETRIES
    optics = [frame.optics for frame in given] if joins else [""] * len(names)
    keys = list(zip(group_of.tolist(), optics, strict=True))
    units = sorted(set(keys))  # group by group, of which the first is the frame
    place = {key: unit for unit, key in enumerate(units)}
    unit_of = np.array([place[key] for key in keys], dtype=int)
    detections, *plane = detections_of(catalogs, unit_of, how.separation)
    # What sees the most stars of its attitude is matched, and the rest found by it.
    most: dict[int, int] = {}
    for unit, (g, _) in enumerate(units):
        if g not in most or len(detections.rows[unit]) > len(detections.rows[most[g]]):
            most[g] = unit
    tied, status_of = align_relative(detections, how, list(most.values()))
    islands = [{units[unit][0]: fit for unit, fit in island.items()} for island in tied]
    relative = {units[unit][0]: status for unit, status in status_of.items()}
    alone = reason_alone([groups[name] for name in names])
    if alone:
        relative = {0: ("SKIPPED", alone)}
    fits = {g: fit for island in islands for g, fit in island.items()}
    maps = [fits[g] for g in group_of]
    network = None
    joints: dict[int, Joint] = {}
    believed: dict[int, Any] = {}
    if joins:
        network = Network(given, group_of, plane, how.fitgeometry == "rshift")
        for k, island in enumerate(islands):
            if len(island) > 1:
                joints[k] = network.solve(detections, island, how.reach)
        believed = _inherit(network, detections, islands, joints, relative, how.needed)
        for k in {k for k, i in enumerate(islands) if believed.keys() & i.keys()}:
            own = {g: believed[g] for g in believed.keys() & islands[k].keys()}
            joints[k] = network.solve(detections, islands[k], how.reach, believed=own)
        for joint in joints.values():
            maps = _replaced(maps, joint)
    ends: list[ReferenceFit] = []
    told = joints
    along = None
    if isinstance(reference, NoCatalogue):
        ends = [ReferenceFit("FAILED", f"abs_refcat: {reference}", 0)] * len(islands)
        told = {}
    elif reference is not None:
        absolute.check("abs_")
        on_sky = network is not None and absolute.fitgeometry == "rshift"
        entries = References.of(reference, plane, mean_epoch(given), on_sky)
        onto: dict[int, Affine] = {}
        told = {}
        for k, island in enumerate(islands):
            inside = np.isin(group_of, list(island))
            end, fit, pairs = fit_reference(detections, inside, maps, entries, absolute)
            ends.append(end)
            if fit is None:
                continue
            onto[k] = fit
            if network and on_sky:
                turned = {g: fit.after(own) for g, own in island.items()}
                known = entries.known(*pairs, end.rms / MAS / np.sqrt(2))
                own = {g: (fit.after(m), s) for g, (m, s) in believed.items() if g in island}
                joints[k] = told[k] = network.solve(detections, turned, absolute.reach, known, own)
                maps = _replaced(maps, joints[k])
            else:
                maps = [fit.after(m) if own else m for m, own in zip(maps, inside, strict=True)]
        # Most of a pointing error is common to a visit: what cannot be fitted by itself goes along.
        along = max(onto, key=lambda k: ends[k].n_matches, default=None)
        if along is not None:
            lost = np.isin(
                group_of, [g for k, own in enumerate(islands) if k not in onto for g in own]
            )
            maps = [onto[along].after(m) if own else m for m, own in zip(maps, lost, strict=True)]
    island_of = {g: k for k, island in enumerate(islands) for g in island}
    results = []
    for g, (group, exposures) in enumerate(members.items()):
        status, reason = relative[g]
        absolute_status: Status = "SKIPPED"
        if ends:
            end = ends[island_of[g]]
            absolute_status = end.status
            reason = "; ".join(filter(None, (reason, end.reason)))
            if end.status == "FAILED" and along is not None:
                reason += f": goes with island {along}"
        results.append(
            GroupAlignment(group, tuple(exposures), island_of[g], status, absolute_status, reason)
        )
    quality = dict(zip(names, _quality(detections, maps, group_of, plane, joints), strict=True))
    errors = {names[e]: error for joint in told.values() for e, error in joint.errors.items()}
    quality = {name: replace(q, error=errors.get(name)) for name, q in quality.items()}
    _report(results, quality, ends)
    notes = tuple(joint.notes() for joint in joints.values())
    return Alignment(tuple(results), quality, tuple(ends), notes)


def _inherit(network, detections, islands, joints, relative, needed):
    """Give groups that failed to the island of their visit; return what is believed of them.

    What had stars enough to be aligned, and was not, is believed only if most of them are where
    its visit has them.
    """
    believed = {}
    for k in sorted(joints, key=lambda k: -len(islands[k])):
        lost = [g for g, (s, _) in relative.items() if s == "FAILED" and g not in believed]
        for g, found in network.inherited(detections, joints[k], lost).items():
            reason = relative[g][1]
            if found.n_possible >= needed and 2 * found.n_found < found.n_possible:
                share = f"{found.n_found} of {found.n_possible} stars"
                relative[g] = ("FAILED", f"{reason}; {share} are where its visit has them")
                continue
            for island in islands:
                island.pop(g, None)
            islands[k][g] = found.fit
            relative[g] = ("COMPLETE", f"{reason}: goes with its visit")
            believed[g] = found.fit, found.sigma
    kept = [k for k, island in enumerate(islands) if island]
    islands[:] = [islands[k] for k in kept]
    for number, k in enumerate(kept):
        if k in joints:
            joints[number] = joints.pop(k)
    return believed


def _replaced(maps, joint):
    """Return the maps of exposures with those of a joint adjustment in their place."""
    return [joint.maps.get(e, own) for e, own in enumerate(maps)]


def _quality(detections, maps, group_of, plane, joints):
    """Return the quality of each exposure."""
    n_exposures = len(maps)
    used, exposure = detections.used, detections.exposure
    n_sources = np.bincount(exposure, minlength=n_exposures).tolist()
    n_matches = np.bincount(exposure[used], minlength=n_exposures).tolist()
    before, after = (
        np.sqrt(np.bincount(exposure[used], distance[used] ** 2, n_exposures)).tolist()
        for distance in (detections.before, detections.after)
    )
    pulls = {e: value for joint in joints.values() for e, value in joint.pulls.items()}
    found = []
    group = group_of[exposure]
    n_groups = group_of.max(initial=-1) + 1
    count = np.maximum(np.bincount(group, minlength=n_groups), 1)
    middles = np.stack([np.bincount(group, c, n_groups) / count for c in detections.points.T], -1)
    for e, fit in enumerate(maps):
        centre = middles[group_of[e]]
        (a, b), (c, d) = fit.matrix.tolist()
        m, pull = n_matches[e], pulls.get(e, np.nan)
        moved = Correction(*plane, ((a, b), (c, d)), tuple(fit.shift.tolist()))
        found.append(
            ExposureQuality(
                correction=None if fit.is_identity() else moved,
                offset=tuple(((fit(centre) - centre) * MAS).tolist()),
                rotation=float(np.degrees(np.arctan2(b - c, a + d)) * 3600),
                n_sources=n_sources[e],
                n_matches=m,
                rms_before=before[e] / m**0.5 * MAS if m else None,
                rms_after=after[e] / m**0.5 * MAS if m else None,
                pull=pull if np.isfinite(pull) else None,
            )
        )
    return found


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
