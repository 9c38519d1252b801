"""Sky levels that make exposures agree where they overlap.

Two stages: :mod:`snakewebb.mosaicking.sky_overlaps` measures the sky of one exposure where it
overlaps others, `match_sky` solves for the levels of all. Method, parameters and defaults are
those of jwst's ``skymatch`` step. Detectors of an exposure are a group with one level in common.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from snakewebb.errors import InputError
from snakewebb.io.groups import reason_alone
from snakewebb.io.tables import reading
from snakewebb.mosaicking.sky_levels import ExposureSky, SkyPair, SkyResult
from snakewebb.mosaicking.sky_overlaps import METHODS, SkySample, SkyStatistics, check_option

log = logging.getLogger(__name__)
BRIGHTEST = 1e10
"""No sky is, in any unit."""
End = tuple[float | None, str, str]
"""What is still in the pixels, status and reason."""


def match_sky(
    statistics: Sequence[SkyStatistics],
    *,
    skymethod: str = "match",
    match_down: bool = True,
    skylist: str | Path | None = None,
) -> SkyResult:
    """Find the sky levels of all exposures of a product.

    ``match``: the levels solve, in the sense of least squares, one equation for each two groups
    that overlap: that the difference of their levels be that of their skies in the overlap, with
    the mean number of pixels as weight. In each subset of groups that is tied together by
    overlaps, the lowest (`match_down`) or highest level is 0. ``global``: the lowest sky of all.
    ``global+match``: as ``match``, then the lowest sky that is left anywhere is added to all.
    ``local``: each group its own, the lowest of its members. ``user``: from `skylist`.

    Parameters
    ----------
    statistics : sequence of SkyStatistics
        From `snakewebb.mosaicking.sky_overlaps.overlap_statistics`, in association order, made
        with the same `skymethod`.
    skymethod : str
    match_down : bool
    skylist : path, optional
        Text file for ``user``: on each line a file or exposure name and a level. Lines of other
        exposures are ignored.

    Returns
    -------
    SkyResult
        Without parameters.

    Raises
    ------
    InputError
        The skylist cannot be read or lacks an exposure.
    """
    check_option(skymethod in METHODS, "skymethod", skymethod, f"is none of {', '.join(METHODS)}")
    before = {found.name: found.before for found in statistics}
    members: dict[str, list[SkyStatistics]] = {}
    for found in statistics:
        members.setdefault(found.group, []).append(found)
    tie = _match(members, match_down) if "match" in skymethod else _Tie()
    ends: dict[str, End]
    if skymethod == "user":
        levels = read_skylist(skylist, before)
        ends = {name: (level - before[name], "COMPLETE", "") for name, level in levels.items()}
    else:
        by_group = _levels(members, tie, skymethod)
        ends = {found.name: by_group[found.group] for found in statistics}
    exposures = {}
    for found in statistics:
        delta, status, reason = ends[found.name]
        level = None if delta is None else found.before + delta
        exposures[found.name] = ExposureSky(found.group, level, delta, status, reason)
    result = SkyResult(skymethod, exposures, tie.subsets, tie.pairs, tie.rms)
    _tell(result)
    return result


@dataclass(frozen=True)
class _Tie:
    """Levels of groups that make their overlaps agree; see `match_sky`."""

    delta: dict[str, float] = field(default_factory=dict)  # only of groups tied to another
    touched: frozenset[str] = frozenset()  # groups with an overlap, its pixels good or not
    subsets: list[list[str]] = field(default_factory=list)
    pairs: list[SkyPair] = field(default_factory=list)
    rms: float | None = None


def _match(members: Mapping[str, list[SkyStatistics]], match_down: bool) -> _Tie:
    """Solve for the levels of groups that make their overlaps agree."""
    names = list(members)
    order = {group: k for k, group in enumerate(names)}
    sky = {(g, h): value for g in names for h, value in _overlaps(members[g]).items()}
    linked = [
        (g, h) for g, h in sky
        if order[g] < order[h] and sky[g, h][1] and sky.get((h, g), (0.0, 0))[1]
    ]  # fmt: skip
    i, j = np.array([(order[g], order[h]) for g, h in linked], int).reshape(-1, 2).T
    difference = np.array([sky[g, h][0] - sky[h, g][0] for g, h in linked])
    npix = np.array([(sky[g, h][1] + sky[h, g][1]) / 2 for g, h in linked])
    delta, subset = solve_differences(len(names), i, j, difference, npix)
    for number in np.unique(subset):
        tied = subset == number
        delta[tied] -= delta[tied].min() if match_down else delta[tied].max()
    residual = difference - (delta[i] - delta[j])
    return _Tie(
        delta={names[k]: float(delta[k]) for k in np.union1d(i, j)},
        touched=frozenset(group for pair in sky for group in pair),
        subsets=[[names[k] for k in np.flatnonzero(subset == n)] for n in np.unique(subset)],
        pairs=[
            SkyPair(p, float(d), float(r), float(n))
            for p, d, r, n in zip(linked, difference, residual, npix, strict=True)
        ],
        rms=float(np.sqrt(np.average(residual**2, weights=npix))) if linked else None,
    )


def _overlaps(records: Iterable[SkyStatistics]) -> dict[str, tuple[float, int]]:
    """Return level and number of pixels of a group in its overlap with each other group."""
    total: dict[str, tuple[float, int]] = {}
    for record in records:
        for group, sky in record.overlaps.items():
            so_far, n = total.get(group, (0.0, 0))
            total[group] = (so_far + sky.npix * (sky.level or 0.0), n + sky.npix)
    return {group: (so_far / max(n, 1), n) for group, (so_far, n) in total.items()}


def solve_differences(
    n: int, i: np.ndarray, j: np.ndarray, difference: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find n numbers from weighted differences of pairs of them, by least squares.

    Minimizes the sum of ``(weight * (d[i] - d[j] - difference))**2``. In each subset tied
    together by pairs the solution is free by a constant; here its first number is 0. The numbers
    are right to some rounding errors of what the equations leave as residuals, times the square
    of the ratio of the largest weight to the smallest; so are those of a pseudo-inverse.

    Parameters
    ----------
    n : int
    i, j : (m,) int
    difference, weight : (m,) float

    Returns
    -------
    numbers : (n,) float64
    subset : (n,) int
        In order of their first numbers.
    """
    # Imported here, since the jobs of `overlap_statistics` do without and save 0.2 s.
    from scipy.sparse import coo_array, csc_array, diags_array
    from scipy.sparse.csgraph import connected_components
    from scipy.sparse.linalg import splu

    subset = connected_components(coo_array((np.ones(len(i)), (i, j)), (n, n)), directed=False)[1]
    free = np.ones(n, bool)
    free[np.unique(subset, return_index=True)[1]] = False
    numbers = np.zeros(n)
    if not free.any():
        return numbers, subset
    rows = np.tile(np.arange(len(i)), 2)
    signs = np.repeat([1.0, -1.0], len(i))
    pairs = csc_array((signs, (rows, np.concatenate((i, j)))), (len(i), n))[:, free]
    normal = pairs.T @ diags_array((weight / weight.max()) ** 2) @ pairs
    factors = splu(csc_array(normal), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0)
    # Repeated on what is left, since squared weights of 1 beside 1e13 leave few digits right.
    for _ in range(8):
        left = difference - (numbers[i] - numbers[j])
        numbers[free] += factors.solve(pairs.T @ ((weight / weight.max()) ** 2 * left))
    return numbers, subset


def _levels(
    members: Mapping[str, list[SkyStatistics]], tie: _Tie, skymethod: str
) -> dict[str, End]:
    """Return level (or None), status and reason by group."""
    own = {group: _lowest(record.whole for record in members[group]) for group in members}
    levels: dict[str, End] = {}
    if skymethod == "local":
        no_pixel = (None, "FAILED", "it has no good pixel")
        return {g: no_pixel if sky is None else (sky, "COMPLETE", "") for g, sky in own.items()}
    base = 0.0
    if "global" in skymethod:
        known = [sky - tie.delta.get(g, 0.0) for g, sky in own.items() if sky is not None]
        if not known:
            return dict.fromkeys(members, (None, "FAILED", "no exposure has a good pixel"))
        base = min(known)
    alone = reason_alone([g for g, records in members.items() for _ in records])
    for g in members:
        status, trouble = "SKIPPED", alone or "no other exposure overlaps it"
        if g in tie.touched:
            status, trouble = "FAILED", "no overlap has good pixels on both sides"
        if g in tie.delta or skymethod == "global":
            levels[g] = (base + tie.delta.get(g, 0.0), "COMPLETE", "")
        elif skymethod == "global+match":
            levels[g] = (base, "COMPLETE", f"not matched: {trouble}")
        else:
            levels[g] = (None, status, trouble)
    return levels


def _lowest(skies: Iterable[SkySample | None]) -> float | None:
    return min((s.level for s in skies if s is not None and s.level is not None), default=None)


def read_skylist(path: str | Path | None, names: Collection[str]) -> dict[str, float]:
    """Read sky levels given by the user.

    Parameters
    ----------
    path : path
        Text file: on each line a name and a level, ``#`` begins a comment. The name is that of
        an exposure or of its file; folder, extension and product suffix (``_cal``) don't matter.
    names : collection of str
        The exposures; other lines are of no use, which is said once.

    Raises
    ------
    InputError
        The file cannot be read, or has none or more than one level of an exposure.
    """
    if path is None:
        raise InputError("skymatch.skylist: is not set: skymethod user needs it")
    with reading(path, "check skymatch.skylist"):
        lines = Path(path).read_text("utf-8-sig").splitlines()
    levels: dict[str, float] = {}
    unused = 0
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            entry, written = words
            level = float(written)
        except ValueError:
            entry, level = "", np.nan
        if not abs(level) < BRIGHTEST:
            raise InputError(f"{path}: line {number} is no name and sky level: mend it")
        stem = Path(entry).name.removesuffix(".fits")
        name = stem if stem in names else stem.rpartition("_")[0]
        if name in levels:
            raise InputError(f"{path}: line {number} has {name} again: keep one")
        if name in names:
            levels[name] = level
        else:
            unused += 1
    if unused:
        log.info("%s: lines of other exposures: %d", path, unused)
    missing = [name for name in names if name not in levels]
    if missing:
        others = f" and {len(missing) - 1} others" if len(missing) > 1 else ""
        raise InputError(f"{path}: has no level of {missing[0]}{others}: add a line for each")
    return levels


def _tell(result: SkyResult) -> None:
    for name, found in result.exposures.items():
        if found.level is None:
            log.warning("%s: sky %s: %s", name, found.status, found.reason)
    levels = [found.level for found in result.exposures.values() if found.level is not None]
    if levels:
        log.info("sky of %d exposures: %.6g to %.6g", len(levels), min(levels), max(levels))
    if result.pairs:
        log.info("skies in %d overlaps agree to %.3g (rms)", len(result.pairs), result.rms)
    if len(result.subsets) > 1:
        log.warning("sky is matched only within each of %d subsets", len(result.subsets))
