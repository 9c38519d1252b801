"""Which detections are of one star."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from snakewebb.astrometry.matching import (
    Affine,
    FitError,
    brightest_apart,
    match_and_fit,
    nearest_pairs,
)
from snakewebb.astrometry.rigid import adjust, apply_fits, residuals
from snakewebb.errors import InputError
from snakewebb.wcs.sphere import mean_direction, to_plane, unit_vectors

log = logging.getLogger(__name__)

MAS = 1000.0  # in an arcsecond
BLOCK = 250
"""Stars that are looked through together."""


@dataclass
class Detections:
    """Sources of all exposures on the common tangent plane (arcsec), one row each."""

    points: np.ndarray  # uncorrected (n, 2)
    flux: np.ndarray
    weight: np.ndarray | None
    variance: np.ndarray  # of either coordinate, as far as it is known
    exposure: np.ndarray
    group: np.ndarray
    star: np.ndarray  # which star it is a measurement of; -1: none
    used: np.ndarray  # in the final fit
    before: np.ndarray  # see `residuals`
    after: np.ndarray
    rows: list[np.ndarray]  # of each group


def detections_of(catalogs, group_of, separation):
    """Gather the sources that may be matched; also return the tangent point."""
    columns = {
        key: np.concatenate([np.asarray(c[key], dtype=float) for c in catalogs.values()])
        for key in ("RA", "DEC", "flux")
    }
    filled = [c for c in catalogs.values() if len(c["RA"])]
    weighted = [c for c in filled if "weight" in column_names(c)]
    if weighted and len(weighted) < len(filled):
        log.warning("weights are not used: %d catalogues have none", len(filled) - len(weighted))
        weighted = []
    weight = (
        np.concatenate([np.asarray(c["weight"], float) for c in weighted]) if weighted else None
    )
    variance = np.zeros(len(columns["RA"]))
    if weight is not None:
        counted = weight > 0
        if counted.any():
            variance[counted] = np.median(weight[counted]) / weight[counted]
    elif all("error" in column_names(c) for c in filled):
        variance = np.concatenate([np.asarray(c["error"], float) for c in filled] or [[]]) ** 2
    exposure = np.repeat(np.arange(len(catalogs)), [len(c["RA"]) for c in catalogs.values()])
    ra0, dec0 = mean_direction(unit_vectors(columns["RA"], columns["DEC"]))
    points = np.column_stack(to_plane(columns["RA"], columns["DEC"], ra0, dec0))
    if not np.isfinite(points).all():
        name = list(catalogs)[exposure[np.argmin(np.isfinite(points).all(axis=1))]]
        raise InputError(
            f"{name}: its sources lie more than 90 degrees from the middle of the product: "
            "check its WCS and that it belongs to this association"
        )
    n_groups = group_of.max(initial=-1) + 1
    kept = [
        rows[brightest_apart(points[rows], columns["flux"][rows], separation)]
        for rows in _rows(group_of[exposure], n_groups)
    ]
    kept = np.sort(np.concatenate(kept))
    n = len(kept)
    group = group_of[exposure[kept]]
    detections = Detections(
        points[kept],
        columns["flux"][kept],
        None if weight is None else weight[kept],
        variance[kept],
        exposure[kept],
        group,
        star=np.full(n, -1),
        used=np.zeros(n, dtype=bool),
        before=np.full(n, np.nan),
        after=np.full(n, np.nan),
        rows=_rows(group, n_groups),
    )
    return detections, ra0, dec0


def _rows(group, n_groups):
    """Return the rows of each group."""
    order = np.argsort(group, kind="stable")
    return np.split(order, np.searchsorted(group[order], np.arange(1, n_groups)))


def align_relative(detections, how, candidates):
    """Align the groups that are candidates with each other, as far as they overlap.

    Returns the islands, {group: map} each with the group that is the frame first, and the
    (status, reason) of each of them. Fills ``star``, ``used``, ``before``, ``after``.
    """
    reasons = {
        g: f"only {len(detections.rows[g])} sources (minobj {how.needed})"
        for g in candidates
        if len(detections.rows[g]) < how.needed
    }
    waiting = [g for g in candidates if g not in reasons]
    ordered = how.enforce_user_order
    overlaps = None
    if not ordered:
        rows = [r if g in waiting else r[:0] for g, r in enumerate(detections.rows)]
        overlaps = overlap_counts([detections.points[r] for r in rows], how.reach)
    islands = []
    while len(waiting) > 1:
        start = waiting[0]
        if not ordered:
            counts = overlaps[np.ix_(waiting, waiting)]
            if not counts.any():
                break
            pair = np.unravel_index(np.argmax(counts), counts.shape)
            start = waiting[max(pair, key=lambda k: (counts[k].sum(), -k))]
        fits, failures = _join(detections, start, waiting, overlaps, how)
        reasons |= failures
        if len(fits) > 1:
            islands.append(_adjust_island(detections, fits, how))
        else:
            reasons.setdefault(start, next(iter(failures.values())))
        waiting = [g for g in waiting if g not in fits]
        if ordered:
            break
    frames = {min(island) for island in islands}
    tied = {g for island in islands for g in island}
    status = {}
    for g in candidates:
        if g in tied:
            status[g] = ("COMPLETE", "the others are aligned with it" if g in frames else "")
            continue
        islands.append({g: Affine()})
        if g in reasons:
            status[g] = ("FAILED", reasons[g])
        else:
            enough = " with enough sources" if reasons else ""
            status[g] = ("SKIPPED", f"no other exposure{enough} overlaps it")
    return islands, status


def overlap_counts(points: Sequence[np.ndarray], reach: float) -> np.ndarray:
    """Count how many sources of each two groups could match.

    Parameters
    ----------
    points : sequence of (n, 2) arrays
        One a group.
    reach : float
        Largest distance of a match before alignment.

    Returns
    -------
    (n_groups, n_groups) array of int
        Symmetric; 0 on the diagonal.
    """
    counts = np.zeros((len(points), len(points)), dtype=np.int32)
    filled = np.array([i for i, p in enumerate(points) if len(p)], dtype=int)
    trees = {i: KDTree(points[i]) for i in filled}
    low = np.array([trees[i].mins for i in filled]).reshape(-1, 2) - reach
    high = np.array([trees[i].maxes for i in filled]).reshape(-1, 2)
    for k, i in enumerate(filled):
        touching = ((low <= high[k]) & (low[k] <= high)).all(axis=1)
        for j in filled[np.flatnonzero(touching[k + 1 :]) + k + 1]:
            counts[i, j] = counts[j, i] = min(
                np.isfinite(trees[a].query(points[b], distance_upper_bound=reach)[0]).sum()
                for a, b in ((i, j), (j, i))
            )
    return counts


class _Stars:
    """A growing list of stars: the means of the positions measured so far.

    They are kept in blocks of what was appended together, with the boxes that these lie in, so that
    what is near is found without a look at all stars.
    """

    def __init__(self, capacity, n_appended):
        self._mean = np.zeros((capacity, 2))
        self._weight = np.zeros(capacity)
        self._n = self._blocks = 0
        most = capacity // BLOCK + n_appended
        self._start = np.zeros(most + 1, dtype=int)
        self._box = np.zeros((most, 4))  # of means and negative means, the largest

    def near(self, points, margin):
        """Return the numbers, positions and weights of the stars around some points."""
        low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
        touched = (self._box[: self._blocks] >= np.concatenate((low, -high))).all(axis=1)
        runs = [
            np.arange(self._start[k], self._start[k + 1]) for k in np.flatnonzero(touched).tolist()
        ]
        inside = np.concatenate(runs) if runs else np.zeros(0, dtype=int)
        mean = self._mean[inside]
        inside = inside[((mean >= low) & (mean <= high)).all(axis=1)]
        return inside, self._mean[inside], self._weight[inside]

    def measure(self, stars, points, weight):
        """Add measurements of known stars; those of weight 0 change nothing."""
        stars, points, weight = (values[weight > 0] for values in (stars, points, weight))
        self._weight[stars] += weight
        step = (points - self._mean[stars]) * weight[:, np.newaxis]
        self._mean[stars] += step / self._weight[stars, np.newaxis]
        block = np.searchsorted(self._start[: self._blocks], stars, side="right") - 1
        self._widen(block, stars)

    def append(self, points, weight):
        """Add new stars and return their numbers."""
        stars = np.arange(self._n, self._n + len(points))
        self._n += len(points)
        self._mean[stars], self._weight[stars] = points, weight
        for part in range(0, len(stars), BLOCK):
            own = stars[part : part + BLOCK]
            self._start[self._blocks : self._blocks + 2] = own[0], own[-1] + 1
            self._box[self._blocks] = -np.inf
            self._widen(np.full(len(own), self._blocks), own)
            self._blocks += 1
        return stars

    def _widen(self, block, stars):
        mean = self._mean[stars]
        np.maximum.at(self._box, block, np.column_stack((mean, -mean)))


def _join(detections, start, candidates, overlaps, how):
    """Join groups to a growing list of stars that begins with one group, and number the stars.

    Next is the group with the largest overlap with those already joined; one that fails is tried
    again once more has been joined that overlaps it. Without `overlaps` the order is that of the
    association. Returns the maps onto the first group and the reasons of failures, by group.
    """
    n_groups = len(detections.rows)
    stars = _Stars(len(detections.points), n_groups)
    weighted = detections.weight is not None
    weight = detections.weight if weighted else np.ones(len(detections.points))
    offset = detections.star.max(initial=-1) + 1
    rows = detections.rows[start]
    detections.star[rows] = offset + stars.append(detections.points[rows], weight[rows])
    fits, reasons = {start: Affine()}, {}
    waiting = np.isin(np.arange(n_groups), candidates)
    waiting[start] = False
    score = np.arange(n_groups, 0, -1) if overlaps is None else overlaps[start].astype(int)
    tried = np.zeros(n_groups, dtype=int)
    while (waiting & (score > tried)).any():
        group = int(np.argmax(np.where(waiting & (score > tried), score, 0)))
        tried[group] = score[group]
        rows = detections.rows[group]
        points = detections.points[rows]
        numbers, positions, sure = stars.near(points, 2 * how.reach)
        weights = (weight[rows], sure) if weighted else ()
        try:
            fit, i, j, kept = match_and_fit(points, positions, how, *weights)
        except FitError as error:
            reasons[group] = str(error)
            continue
        fits[group] = fit
        waiting[group] = False
        if overlaps is not None:
            score += overlaps[group]
        detections.star[rows[i]] = offset + numbers[j]
        stars.measure(numbers[j[kept]], fit(points[i[kept]]), weight[rows[i[kept]]])
        if how.expand_refcat or not how.enforce_user_order:
            new = np.setdiff1d(np.arange(len(rows)), i)
            detections.star[rows[new]] = offset + stars.append(fit(points[new]), weight[rows[new]])
    return fits, {group: reason for group, reason in reasons.items() if group not in fits}


def _adjust_island(detections, fits, how):
    """Adjust all groups of an island; the first in the association is the frame."""
    members = sorted(fits)
    frame = fits[members[0]].inverse()
    rows = np.concatenate([detections.rows[g] for g in members])
    rows = rows[detections.star[rows] >= 0]
    points, group = detections.points[rows], np.searchsorted(members, detections.group[rows])
    star = np.unique(detections.star[rows], return_inverse=True)[1]
    start = [Affine(), *(frame.after(fits[g]) for g in members[1:])]
    weight = np.ones(len(rows)) if detections.weight is None else detections.weight[rows]
    adjusted, used = adjust(points, group, star, start, how, weight)
    before, after = residuals(points, group, star, used * weight, adjusted)
    detections.used[rows], detections.before[rows], detections.after[rows] = used, before, after
    return dict(zip(members, adjusted, strict=True))


def adopt(detections, fits, tolerance):
    """Find which stars the sources of groups are that were not joined, by maps of exposures.

    A group's that are none become new stars, which the next ones may have, too.
    """
    inside = np.isin(detections.exposure, list(fits))
    number = np.searchsorted(sorted(fits), detections.exposure[inside])
    corrected = np.full_like(detections.points, np.nan)
    corrected[inside] = apply_fits(
        [fits[e] for e in sorted(fits)], detections.points[inside], number
    )
    own = np.flatnonzero(inside & (detections.star >= 0))
    new = [
        rows
        for rows in (rows[inside[rows]] for rows in detections.rows)
        if len(rows) and (detections.star[rows] < 0).all()
    ]
    if not new:
        return
    known, star = np.unique(detections.star[own], return_inverse=True)
    stars = _Stars(len(known) + sum(map(len, new)), len(new) + 1)
    stars.append(*mean_places(star, corrected[own]))
    offset = detections.star.max(initial=-1) + 1
    for rows in new:
        points = corrected[rows]
        numbers, positions, _ = stars.near(points, tolerance)
        i, j = nearest_pairs(points, positions, tolerance)
        number = np.full(len(rows), -1)
        number[i] = numbers[j]
        stars.measure(number[i], points[i], np.ones(len(i)))
        rest = number < 0
        number[rest] = stars.append(points[rest], np.ones(rest.sum()))
        is_known = number < len(known)
        detections.star[rows] = offset + number - len(known)
        detections.star[rows[is_known]] = known[number[is_known]]


def mean_places(star, points):
    """Return the mean place (k, 2) of each star and how many measurements it has."""
    count = np.bincount(star)
    return np.stack([np.bincount(star, c) / count for c in points.T], -1), count


def column_names(catalogue):
    """Return the names of columns of a table, or of a dictionary."""
    return getattr(catalogue, "colnames", catalogue)
