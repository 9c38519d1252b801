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
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import spsolve
from scipy.spatial import KDTree

from snakewebb import refcat
from snakewebb.errors import InputError
from snakewebb.geometry import Correction, Geometry, to_plane, unit_vectors
from snakewebb.groups import reason_alone
from snakewebb.matching import (
    FIT_GEOMETRIES,
    Affine,
    FitError,
    Matching,
    brightest_apart,
    match_and_fit,
    rms,
)

log = logging.getLogger(__name__)

Status = Literal["COMPLETE", "SKIPPED", "FAILED"]
MAS = 1000.0  # in an arcsecond
MARGIN = 0.005  # degrees around a product


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
class AbsoluteFit:
    """The fit of an island to the reference catalogue.

    Attributes
    ----------
    status : {"COMPLETE", "FAILED"}
    reason : str
    fit : Affine or None
    n_references, n_matches : int
        Catalogue entries around the island, and those used in the fit.
    rms : float or None
        Root mean square distance of these from the stars, mas.
    """

    status: Status
    reason: str
    fit: Affine | None
    n_references: int
    n_matches: int = 0
    rms: float | None = None


@dataclass(frozen=True)
class Alignment:
    """Corrections of all exposures of a product, and how good they are.

    Attributes
    ----------
    groups : tuple of GroupAlignment
        In the order of the association.
    exposures : dict of str to ExposureQuality
    islands : tuple of AbsoluteFit
        Empty without a reference catalogue.
    """

    groups: tuple[GroupAlignment, ...]
    exposures: dict[str, ExposureQuality]
    islands: tuple[AbsoluteFit, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold.

        ``exposures`` maps each exposure to the attributes of its group and its quality;
        ``islands`` lists the absolute fits.
        """
        exposures = {}
        for group in self.groups:
            for name in group.exposures:
                values = {**asdict(group), "status": group.status, **asdict(self.exposures[name])}
                del values["exposures"]
                exposures[name] = values
        islands = [{k: v for k, v in asdict(i).items() if k != "fit"} for i in self.islands]
        return {"exposures": exposures, "islands": islands}


def align(
    catalogs: Mapping[str, Any],
    groups: Mapping[str, str],
    *,
    minobj: int = 15,
    fitgeometry: str = "rshift",
    nclip: int = 3,
    sigma: float = 3.0,
    searchrad: float = 2.0,
    use2dhist: bool = True,
    separation: float = 1.0,
    tolerance: float = 0.7,
    xoffset: float = 0.0,
    yoffset: float = 0.0,
    enforce_user_order: bool = False,
    expand_refcat: bool = False,
    abs_refcat: Any = None,
    abs_minobj: int = 15,
    abs_fitgeometry: str = "rshift",
    abs_nclip: int = 3,
    abs_sigma: float = 3.0,
    abs_searchrad: float = 6.0,
    abs_use2dhist: bool = True,
    abs_separation: float = 1.0,
    abs_tolerance: float = 0.7,
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
    minobj, fitgeometry, nclip, sigma, searchrad, use2dhist, separation, tolerance : various
        See `snakewebb.matching.Matching`.
    xoffset, yoffset : float
        See `snakewebb.matching.Matching`.
    enforce_user_order : bool
        Join the groups in the order of the association, beginning with the first, instead of by
        overlap.
    expand_refcat : bool
        With `enforce_user_order`, whether sources that the first group lacks serve as references
        too. Without it they always do.
    abs_refcat : catalogue with columns ``RA`` and ``DEC`` (degrees), or None
        To which the result is fitted: each island of tied groups as a whole. If it has a column
        ``weight``, that is the weight of a star's squared distance.
    abs_minobj, abs_fitgeometry, abs_nclip, abs_sigma, abs_searchrad, abs_use2dhist : various
        As above, for this fit.
    abs_separation, abs_tolerance : float
        As above, for this fit.

    Raises
    ------
    InputError
        Parameters contradict each other, or the exposures are spread over half the sky.
    """
    how = Matching(
        minobj=minobj,
        fitgeometry=fitgeometry,
        nclip=nclip,
        sigma=sigma,
        searchrad=searchrad,
        use2dhist=use2dhist,
        separation=separation,
        tolerance=tolerance,
        xoffset=xoffset,
        yoffset=yoffset,
    )
    how.check()
    names = list(catalogs)
    members: dict[str, list[str]] = {}
    for name in names:
        members.setdefault(groups[name], []).append(name)
    number = {group: g for g, group in enumerate(members)}
    group_of = np.array([number[groups[name]] for name in names], dtype=int)
    detections, ra0, dec0 = _detections(catalogs, group_of, separation)
    islands, relative = _align_relative(detections, how, enforce_user_order, expand_refcat)
    alone = reason_alone([groups[name] for name in names])
    if alone:
        relative = {0: ("SKIPPED", alone)}

    absolute: list[AbsoluteFit] = []
    if abs_refcat is not None:
        abs_how = Matching(
            minobj=abs_minobj,
            fitgeometry=abs_fitgeometry,
            nclip=abs_nclip,
            sigma=abs_sigma,
            searchrad=abs_searchrad,
            use2dhist=abs_use2dhist,
            separation=abs_separation,
            tolerance=abs_tolerance,
        )
        abs_how.check("abs_")
        reference = np.column_stack(
            to_plane(np.asarray(abs_refcat["RA"]), np.asarray(abs_refcat["DEC"]), ra0, dec0)
        )
        near = np.isfinite(reference).all(axis=1)
        weight = abs_refcat["weight"][near] if "weight" in _names(abs_refcat) else None
        absolute = [
            _fit_absolute(detections, island, reference[near], weight, abs_how)
            for island in islands
        ]

    fits = {g: fit for island in islands for g, fit in island.items()}
    island_of = {g: number for number, island in enumerate(islands) for g in island}
    # Most of a pointing error is common to a visit: what cannot be fitted by itself goes along.
    along = max(
        (k for k, a in enumerate(absolute) if a.fit),
        key=lambda k: absolute[k].n_matches,
        default=None,
    )
    results = []
    for g, (group, exposures) in enumerate(members.items()):
        fit, (status, reason), absolute_status = fits[g], relative[g], "SKIPPED"
        if absolute:
            own = absolute[island_of[g]]
            absolute_status = own.status
            reason = "; ".join(filter(None, (reason, own.reason)))
            if own.fit:
                fit = own.fit.after(fit)
            elif along is not None:
                fit = absolute[along].fit.after(fit)
                reason += f": goes with island {along}"
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
    _report(results, quality, absolute)
    return Alignment(tuple(results), quality, tuple(absolute))


def reference_catalogue(
    name: str,
    path: str | Path | None,
    geometries: Mapping[str, Geometry],
    known: Mapping[str, Mapping[str, Any]],
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read the absolute reference catalogue, or fetch it for the sky around a product.

    Parameters
    ----------
    name : str
        The parameter ``abs_refcat``.
    path : path or None
        The file, if `name` is one; otherwise Gaia's stars at the mean epoch are fetched.
    geometries, known : mapping of exposure
        Geometry and facts (``epoch``).

    Returns
    -------
    columns, notes : dict
        See `snakewebb.refcat.read_reference`.

    Raises
    ------
    InputError
        The file or the service cannot be used.
    """
    if path:
        return refcat.read_reference(path)
    epochs = [facts["epoch"] for facts in known.values() if facts["epoch"] is not None]
    if not epochs:
        raise InputError(
            f"{next(iter(known))}: its header has no EXPMID, to which the stars of {name} must be "
            "moved: give a catalogue file of that epoch as abs_refcat"
        )
    corners = np.concatenate([unit_vectors(*g.corners()) for g in geometries.values()])
    centre = _middle(corners)
    radius = np.degrees(np.arccos(np.clip(corners @ unit_vectors(*centre), -1, 1).min())) + MARGIN
    stars = refcat.query_gaia(name, *centre, float(radius), float(np.mean(epochs)))
    return stars, {"file": name, "stars": len(stars["RA"])}


def _middle(vectors):
    """Return RA and Dec, degrees, of the mean of unit vectors."""
    x, y, z = vectors.sum(axis=0)
    return float(np.degrees(np.arctan2(y, x)) % 360), float(
        np.degrees(np.arctan2(z, np.hypot(x, y)))
    )


@dataclass
class _Detections:
    """Sources of all exposures on the common tangent plane (arcsec), one row each."""

    points: np.ndarray  # uncorrected (n, 2)
    flux: np.ndarray
    weight: np.ndarray | None
    exposure: np.ndarray
    group: np.ndarray
    star: np.ndarray  # which star it is a measurement of; -1: none
    used: np.ndarray  # in the final fit
    before: np.ndarray  # see `residuals`
    after: np.ndarray
    rows: list[np.ndarray]  # of each group


def _detections(catalogs, group_of, separation):
    """Gather the sources that may be matched; also return the tangent point."""
    columns = {
        key: np.concatenate([np.asarray(c[key], dtype=float) for c in catalogs.values()])
        for key in ("RA", "DEC", "flux")
    }
    filled = [c for c in catalogs.values() if len(c["RA"])]
    weighted = [c for c in filled if "weight" in _names(c)]
    if weighted and len(weighted) < len(filled):
        log.warning("weights are not used: %d catalogues have none", len(filled) - len(weighted))
        weighted = []
    weight = (
        np.concatenate([np.asarray(c["weight"], float) for c in weighted]) if weighted else None
    )
    exposure = np.repeat(np.arange(len(catalogs)), [len(c["RA"]) for c in catalogs.values()])
    ra0, dec0 = _middle(unit_vectors(columns["RA"], columns["DEC"]))
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
    detections = _Detections(
        points[kept],
        columns["flux"][kept],
        None if weight is None else weight[kept],
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


def _align_relative(detections, how, ordered, expand):
    """Align the groups with each other, as far as they overlap.

    Returns the islands, {group: map} each with the group that is the frame first, and the
    (status, reason) of every group. Fills ``star``, ``used``, ``before``, ``after``.
    """
    n_groups = len(detections.rows)
    reasons = {
        g: f"only {len(rows)} sources (minobj {how.needed})"
        for g, rows in enumerate(detections.rows)
        if len(rows) < how.needed
    }
    waiting = [g for g in range(n_groups) if g not in reasons]
    overlaps = None
    if not ordered:
        overlaps = overlap_counts([detections.points[r] for r in detections.rows], how.reach)
    islands = []
    while len(waiting) > 1:
        start = waiting[0]
        if not ordered:
            counts = overlaps[np.ix_(waiting, waiting)]
            if not counts.any():
                break
            pair = np.unravel_index(np.argmax(counts), counts.shape)
            start = waiting[max(pair, key=lambda k: (counts[k].sum(), -k))]
        fits, failures = _join(detections, start, waiting, overlaps, how, expand or not ordered)
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
    for g in range(n_groups):
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
    """A growing list of stars: the means of the positions measured so far."""

    def __init__(self, capacity):
        self._mean = np.zeros((capacity, 2))
        self._weight = np.zeros(capacity)
        self._n = 0

    def near(self, points, margin):
        """Return the numbers, positions and weights of the stars around some points."""
        mean = self._mean[: self._n]
        low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
        inside = np.flatnonzero(((mean >= low) & (mean <= high)).all(axis=1))
        return inside, mean[inside], self._weight[inside]

    def measure(self, stars, points, weight):
        """Add measurements of known stars; those of weight 0 change nothing."""
        stars, points, weight = (values[weight > 0] for values in (stars, points, weight))
        self._weight[stars] += weight
        step = (points - self._mean[stars]) * weight[:, np.newaxis]
        self._mean[stars] += step / self._weight[stars, np.newaxis]

    def append(self, points, weight):
        """Add new stars and return their numbers."""
        stars = np.arange(self._n, self._n + len(points))
        self._n += len(points)
        self._mean[stars], self._weight[stars] = points, weight
        return stars


def _join(detections, start, candidates, overlaps, how, expand):
    """Join groups to a growing list of stars that begins with one group, and number the stars.

    Next is the group with the largest overlap with those already joined; one that fails is tried
    again once more has been joined that overlaps it. Without `overlaps` the order is that of the
    association. Returns the maps onto the first group and the reasons of failures, by group.
    """
    n_groups = len(detections.rows)
    stars = _Stars(len(detections.points))
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
        if expand:
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


def adjust(
    points: np.ndarray,
    group: np.ndarray,
    star: np.ndarray,
    fits: Sequence[Affine],
    how: Matching,
    weight: np.ndarray,
) -> tuple[list[Affine], np.ndarray]:
    """Adjust the maps of all groups at once so that the measurements of each star agree.

    Minimizes the weighted sum of squared distances of the measurements from the mean of their
    star over the maps of all groups but the first (Gauss-Newton; the star means are eliminated).

    Parameters
    ----------
    points : (n, 2) array
        Measured positions.
    group, star : (n,) arrays of int
        Group and star of each, numbered from 0; group k has the map ``fits[k]``.
    fits : sequence of Affine
        Where to start.
    how : Matching
        `fitgeometry`, `nclip` and `sigma` are used; clipping is by the rms of each group.
    weight : (n,) array
        Of the squared distances; those of weight 0 take no part.

    Returns
    -------
    fits : list of Affine
    used : (n,) array of bool
        Measurements that took part: not clipped, of stars with at least two of these.
    """
    used = _linked(star, weight > 0)
    fits = _step(points[used], group[used], star[used], weight[used], fits, how.fitgeometry)
    for _ in range(how.nclip):
        _, residual = residuals(points, group, star, used * weight, fits)
        square = np.bincount(group[used], residual[used] ** 2 * weight[used], len(fits))
        total = np.bincount(group[used], weight[used], len(fits))
        limit = how.sigma * np.sqrt(square / total)
        inside = _linked(star, (weight > 0) & (residual <= limit[group]))
        enough = np.bincount(group[inside], minlength=len(fits)) >= FIT_GEOMETRIES[how.fitgeometry]
        if np.array_equal(inside, used) or not enough.all():
            break
        used = inside
        fits = _step(points[used], group[used], star[used], weight[used], fits, how.fitgeometry)
    return fits, used


def residuals(
    points: np.ndarray,
    group: np.ndarray,
    star: np.ndarray,
    weight: np.ndarray,
    fits: Sequence[Affine],
) -> tuple[np.ndarray, np.ndarray]:
    """Return how far each measurement is from the others of its star.

    Parameters
    ----------
    points, group, star, fits
        See `adjust`.
    weight : (n,) array
        In the mean of the others; 0 for those that are not used.

    Returns
    -------
    before, after : (n,) arrays
        Distance of the measured and of the corrected position from the mean of the other used
        corrected positions of the star; NaN where there is none.
    """
    corrected = _apply(fits, points, group)
    total = np.column_stack([np.bincount(star, c * weight) for c in corrected.T])[star]
    others = np.bincount(star, weight)[star] - weight
    others[others == 0] = np.nan
    target = (total - corrected * weight[:, np.newaxis]) / others[:, np.newaxis]
    return np.hypot(*(points - target).T), np.hypot(*(corrected - target).T)


def _linked(star, used):
    """Restrict to measurements of stars that have at least two."""
    return used & (np.bincount(star, used)[star] > 1)


def _apply(fits, points, group):
    matrices = np.array([fit.matrix for fit in fits])[group]
    shifts = np.array([fit.shift for fit in fits])[group]
    return np.einsum("nij,nj->ni", matrices, points) + shifts


def _step(points, group, star, weight, fits, geometry):
    """Make one Gauss-Newton step of the adjustment; exact but for rotations."""
    x = _apply(fits, points, group)
    centres = np.column_stack([np.bincount(group, c, len(fits)) for c in x.T])
    centres /= np.bincount(group, minlength=len(fits))[:, np.newaxis]
    e, n = (x - centres[group]).T
    one, nil = np.ones_like(e), np.zeros_like(e)
    # Derivatives of the East and of the North coordinate by each parameter.
    derivatives = [(one, nil), (nil, one)]
    if geometry == "general":
        derivatives += [(e, nil), (n, nil), (nil, e), (nil, n)]
    if geometry in ("rshift", "rscale"):
        derivatives += [(-n, e)]
    if geometry == "rscale":
        derivatives += [(e, n)]

    n_parameters = len(derivatives)
    rows = np.flatnonzero(group > 0)
    columns = (group[rows, np.newaxis] - 1) * n_parameters + np.arange(n_parameters)
    index = np.repeat(rows, n_parameters), columns.ravel()
    shape = len(x), (len(fits) - 1) * n_parameters
    number = np.unique(star, return_inverse=True)[1]
    members = csr_array((weight, (number, np.arange(len(x)))))
    share = 1 / members.sum(axis=1)
    normal, right = 0, 0
    for axis, derivative in enumerate(zip(*derivatives, strict=True)):
        design = csr_array((np.column_stack(derivative)[rows].ravel(), index), shape=shape)
        sums = members @ design
        mean = share * (members @ x[:, axis])
        scaled = design * weight[:, np.newaxis]
        normal += design.T @ scaled - sums.T @ (sums * share[:, np.newaxis])
        right += design.T @ (weight * (mean[number] - x[:, axis]))
    solution = spsolve(normal.tocsc(), right).reshape(-1, n_parameters)

    stepped = [fits[0]]
    for fit, centre, parameters in zip(fits[1:], centres[1:], solution, strict=True):
        step = Affine.about(centre, _matrix(parameters[2:], geometry), parameters[:2])
        stepped.append(step.after(fit))
    return stepped


def _matrix(parameters, geometry):
    """Return the matrix of a small change of a map."""
    if geometry == "general":
        return np.eye(2) + parameters.reshape(2, 2)
    rotation, scale = (*parameters, 0.0, 0.0)[:2]
    matrix = np.array([[1 + scale, -rotation], [rotation, 1 + scale]])
    return matrix / np.hypot(1, rotation) if geometry == "rshift" else matrix


def _names(catalogue):
    """Return the names of columns of a table, or of a dictionary."""
    return getattr(catalogue, "colnames", catalogue)


def _fit_absolute(detections, island, reference, weight, how):
    """Fit the stars of an island to the reference catalogue."""
    members = sorted(island)
    rows = np.concatenate([detections.rows[g] for g in members])
    star = np.arange(len(rows))
    if len(members) > 1:
        rows = rows[detections.star[rows] >= 0]
        star = np.unique(detections.star[rows], return_inverse=True)[1]
    if not len(rows):
        return AbsoluteFit("FAILED", "abs_refcat: no sources to match", None, 0)
    group = np.searchsorted(members, detections.group[rows])
    corrected = _apply([island[g] for g in members], detections.points[rows], group)
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
        return AbsoluteFit("FAILED", f"abs_refcat: {error}", None, len(near))
    residual = np.hypot(*(fit(points[i[kept]]) - near[j[kept]]).T)
    return AbsoluteFit("COMPLETE", "", fit, len(near), int(kept.sum()), rms(residual) * MAS)


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
        if fit.fit:
            log.info(
                "island %d: %d matches with the reference catalogue, rms %.2f mas",
                number,
                fit.n_matches,
                fit.rms,
            )
    n_islands = len({g.island for g in groups})
    if n_islands > 1:
        log.warning("the exposures form %d islands that share no stars", n_islands)
