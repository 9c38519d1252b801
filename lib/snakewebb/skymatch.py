"""Sky levels that make exposures agree where they overlap.

Two stages: `overlap_statistics` measures the sky of one exposure in its overlaps with others,
`match_sky` solves for the levels of all. Method, parameters and defaults are those of
jwst's ``skymatch`` step. All detectors of an exposure are a group, which has one level in common.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.polynomial.chebyshev import chebvander2d

from snakewebb.bands import in_order
from snakewebb.dq import bad_mask
from snakewebb.errors import InputError
from snakewebb.exposure import read_planes
from snakewebb.geometry import Geometry, to_plane
from snakewebb.groups import reason_alone
from snakewebb.headers import facts
from snakewebb.kernels import sky as kernels
from snakewebb.layout import Layout, Placement, open_facts
from snakewebb.tables import reading

log = logging.getLogger(__name__)

STATISTICS = {
    "mean": kernels.MEAN,
    "median": kernels.MEDIAN,
    "mode": kernels.MODE,
    "midpt": kernels.MIDPT,
}
METHODS = ("match", "global", "global+match", "local", "user")
DISTORTION_DEGREE = 7  # of the inverse: within 1e-4 pixels for NIRCam, NIRISS and MIRI
BRIGHTEST = 1e10
"""No sky is, in any unit."""
Record = dict[str, Any]


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
        Of the product, see `snakewebb.layout.open_facts`.
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


def overlap_statistics(
    path: str | Path,
    name: str,
    geometry: Geometry,
    layout: Layout,
    *,
    skymethod: str = "match",
    skystat: str = "mode",
    dqbits: str | int | None = "~DO_NOT_USE+NON_SCIENCE",
    lower: float | None = None,
    upper: float | None = None,
    nclip: int = 5,
    lsigma: float = 4.0,
    usigma: float = 4.0,
    binwidth: float = 0.1,
) -> Record:
    """Measure the sky of an exposure where it overlaps others.

    A pixel takes part in an overlap if its centre is in the exposure's bounding box and within
    the outline of the other's, whose points are joined by straight lines in the exposure's pixel
    frame. The overlap with a group is the union of those with its members.

    Parameters
    ----------
    path : path
        The exposure: a stage-2 image. Only SCI and DQ are read.
    name : str
        Its name in `layout`.
    geometry : Geometry
        The exposure's, not corrected.
    layout : Layout
        Of all exposures of the product.
    skymethod : str
        Decides what `match_sky` needs: overlaps, the sky of the whole exposure, or none of it.
    skystat : str
        What is called the sky level of clipped pixels: mean, median, mode (of a kernel estimate
        with a Gaussian of 4 bins) or midpt (the median of the histogram).
    dqbits : str, int or None
        DQ bits that do not matter.
    lower, upper : float, optional
        Limits of pixel values.
    nclip : int
        Clipping passes.
    lsigma, usigma : float
        Clipping limits below and above the mean, in standard deviations.
    binwidth : float
        Width of histogram bins in standard deviations.

    Returns
    -------
    dict
        For JSON. ``exposure``, ``group``; ``sky``: [level, npix] of the whole exposure or None
        where not needed; ``overlaps``: [level, npix] by group that has a pixel in common, whose
        level is None where no pixel is good; ``background``: the ``level`` and ``subtracted``
        that an earlier run left in the header, or None.

    Raises
    ------
    InputError
        The file cannot be read, or is no image of the geometry's shape; a parameter is wrong.
    """
    _check(skymethod in METHODS, "skymethod", skymethod, f"is none of {', '.join(METHODS)}")
    _check(skystat in STATISTICS, "skystat", skystat, f"is none of {', '.join(STATISTICS)}")
    for key, value in (("lsigma", lsigma), ("usigma", usigma), ("binwidth", binwidth)):
        _check(value > 0, key, value, "must be greater than 0")
    lower = -np.inf if lower is None else float(lower)
    upper = np.inf if upper is None else float(upper)
    _check(lower < upper, "lower", lower, f"must be less than upper ({upper})")

    own = layout.placements[name]
    record: Record = {
        "exposure": name,
        "group": own.group,
        "background": _background(path),
        "sky": None,
        "overlaps": {},
    }
    if skymethod == "user":
        return record
    image, corner = _good_pixels(path, geometry, bad_mask(dqbits))
    values = np.empty(image.size, np.float32)

    clipping = lower, upper, int(nclip), float(lsigma), float(usigma), float(binwidth)

    def sky_of(inside: np.ndarray) -> list:
        n = kernels.gather(image, inside, values)
        level, npix = kernels.sky_statistic(values[:n], STATISTICS[skystat], *clipping)
        return [float(level) if npix else None, int(npix)]

    if skymethod != "match":
        record["sky"] = sky_of(np.ones(image.shape, bool))
    if "match" in skymethod:
        to_pixels = pixel_finder(geometry.corrected(own.correction))
        for group, outlines in _neighbours(own, layout).items():
            inside = np.zeros(image.shape, bool)
            for points in outlines:
                outline = to_pixels(*layout.grid.pixel_to_sky(*points.T)) - corner
                kernels.fill_polygon(*np.ascontiguousarray(outline.T), inside)
            if inside.any():
                record["overlaps"][group] = sky_of(inside)
        log.info("%s: overlaps %d other groups", name, len(record["overlaps"]))
    return record


def _check(holds: bool, key: str, value: Any, trouble: str) -> None:
    if not holds:
        raise InputError(f"skymatch.{key}: {value!r} {trouble}: change it in the configuration")


def _background(path: str | Path) -> Record:
    known = facts(path)
    return {"level": known["sky_level"], "subtracted": known["sky_subtracted"]}


def _good_pixels(
    path: str | Path, geometry: Geometry, bad: int
) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the image within the bounding box, bad pixels NaN, and the (x, y) of its corner."""
    planes = read_planes(path, ("SCI", "DQ"))
    image, dq = planes["SCI"], planes["DQ"]
    if image.shape != geometry.shape:
        raise InputError(
            f"{path}: SCI has shape {image.shape} but the alignment was made for {geometry.shape}: "
            "give the same file to all steps"
        )
    if dq is not None:
        image[dq & np.uint32(bad) != 0] = np.nan
    (x0, x1), (y0, y1) = geometry.bounding_box
    column, row = max(int(np.ceil(x0)), 0), max(int(np.ceil(y0)), 0)
    box = image[row : int(np.floor(y1)) + 1, column : int(np.floor(x1)) + 1]
    return np.ascontiguousarray(box), (column, row)


def _neighbours(own: Placement, layout: Layout) -> dict[str, list[np.ndarray]]:
    """Return the outlines of exposures of other groups that may overlap one, by group."""
    found: dict[str, list[np.ndarray]] = {}
    for other in layout.placements.values():
        if other.group != own.group and other.meets(own):
            found.setdefault(other.group, []).append(other.outline)
    return found


def pixel_finder(geometry: Geometry) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return the way back from the sky to an exposure's pixels.

    An affine map from the tangent plane, corrected by a polynomial that is fitted to the nodes;
    beyond a tenth of the exposure's size from its edge, the correction goes on as a constant.

    Returns
    -------
    callable
        Takes RA and Dec (n,) in degrees, returns 0-based pixel coordinates (n, 2), x first.
        They are rounded to 1e-6, so that an outline that touches pixel centres does so on every
        machine.
    """
    origin = geometry.center()
    (x0, x1), (y0, y1) = geometry.bounding_box
    middle, half = np.array([x0 + x1, y0 + y1]) / 2, np.array([x1 - x0, y1 - y0]) / 2

    def plane(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        return np.column_stack((np.ones(len(ra)), *to_plane(ra, dec, *origin)))

    def basis(coarse: np.ndarray) -> np.ndarray:
        x, y = np.clip((coarse - middle) / half, -1.1, 1.1).T
        return chebvander2d(x, y, [DISTORTION_DEGREE] * 2)

    nodes = np.stack(np.meshgrid(geometry.x_nodes, geometry.y_nodes), axis=-1).reshape(-1, 2)
    flat = plane(geometry.ra.ravel(), geometry.dec.ravel())
    affine = _fit(flat, nodes)
    coarse = flat @ affine
    bend = _fit(basis(coarse), nodes - coarse)

    def to_pixels(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        coarse = plane(ra, dec) @ affine
        return np.round(coarse + basis(coarse) @ bend, 6)

    return to_pixels


def _fit(basis: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Fit values (n, k) with a basis (n, m): least squares, coefficients (m, k).

    By normal equations: the bases here are well conditioned, and a singular value decomposition
    takes half a second where processes share the cores.
    """
    normal = np.einsum("ij,ik->jk", basis, basis)
    return np.linalg.solve(normal, np.einsum("ij,ik->jk", basis, values))


def match_sky(
    statistics: Sequence[Record],
    *,
    skymethod: str = "match",
    match_down: bool = True,
    skylist: str | Path | None = None,
) -> Record:
    """Find the sky levels of all exposures of a product.

    ``match``: the levels solve, in the sense of least squares, one equation for each two groups
    that overlap: that the difference of their levels be that of their skies in the overlap, with
    the mean number of pixels as weight. In each subset of groups that is tied together by
    overlaps, the lowest (`match_down`) or highest level is 0. ``global``: the lowest sky of all.
    ``global+match``: as ``match``, then the lowest sky that is left anywhere is added to all.
    ``local``: each group its own, the lowest of its members. ``user``: from `skylist`.

    Parameters
    ----------
    statistics : sequence of dict
        What `overlap_statistics` returned, in association order, made with the same `skymethod`.
    skymethod : str
    match_down : bool
    skylist : path, optional
        Text file for ``user``: on each line a file or exposure name and a level. Lines of other
        exposures are ignored.

    Returns
    -------
    dict
        For JSON. ``skymethod``; ``exposures``: by name ``group``, ``level`` (the sky, None where
        there is none), ``delta`` (what of it is still in the pixels of the file), ``status``
        (COMPLETE, SKIPPED or FAILED) and ``reason`` (or ""). Of matching: ``subsets``: lists of
        groups that are tied together; ``pairs``: of each two overlapping groups ``groups``, the
        ``difference`` of their skies, its ``residual`` and ``npix``; ``rms`` of the residuals
        weighted by npix, None where there is no pair.

    Raises
    ------
    InputError
        An exposure's earlier background is inconsistent; the skylist cannot be read or lacks an
        exposure.
    """
    _check(skymethod in METHODS, "skymethod", skymethod, f"is none of {', '.join(METHODS)}")
    before = {record["exposure"]: _subtracted_before(record) for record in statistics}
    members: dict[str, list[Record]] = {}
    for record in statistics:
        members.setdefault(record["group"], []).append(record)
    tie = _match(members, match_down) if "match" in skymethod else _Tie()
    if skymethod == "user":
        levels = read_skylist(skylist, before)
        found = {name: (level - before[name], "COMPLETE", "") for name, level in levels.items()}
    else:
        by_group = _levels(members, tie, skymethod)
        found = {record["exposure"]: by_group[record["group"]] for record in statistics}
    exposures = {}
    for record in statistics:
        name, group = record["exposure"], record["group"]
        delta, status, reason = found[name]
        exposures[name] = {
            "group": group,
            "level": None if delta is None else before[name] + delta,
            "delta": delta,
            "status": status,
            "reason": reason,
        }
    result = {
        "skymethod": skymethod,
        "exposures": exposures,
        "subsets": tie.subsets,
        "pairs": tie.pairs,
        "rms": tie.rms,
    }
    _tell(result)
    return result


def _subtracted_before(record: Record) -> float:
    """Return the level that an earlier run took from an exposure's pixels."""
    name, background = record["exposure"], record["background"]
    level, subtracted = background["level"], background["subtracted"]
    if (level is None) != (subtracted is None):
        missing = "BKGLEVEL" if level is None else "BKGSUB"
        raise InputError(f"{name}: its header lacks {missing}: start from a fresh stage-2 file")
    return float(level) if subtracted else 0.0


@dataclass(frozen=True)
class _Tie:
    """Levels of groups that make their overlaps agree; see `match_sky`."""

    delta: dict[str, float] = field(default_factory=dict)  # only of groups tied to another
    touched: frozenset[str] = frozenset()  # groups with an overlap, its pixels good or not
    subsets: list[list[str]] = field(default_factory=list)
    pairs: list[Record] = field(default_factory=list)
    rms: float | None = None


def _match(members: Mapping[str, list[Record]], match_down: bool) -> _Tie:
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
            {"groups": list(p), "difference": float(d), "residual": float(r), "npix": float(n)}
            for p, d, r, n in zip(linked, difference, residual, npix, strict=True)
        ],
        rms=float(np.sqrt(np.average(residual**2, weights=npix))) if linked else None,
    )


def _overlaps(records: Iterable[Record]) -> dict[str, tuple[float, int]]:
    """Return level and number of pixels of a group in its overlap with each other group."""
    total: dict[str, tuple[float, int]] = {}
    for record in records:
        for group, (level, npix) in record["overlaps"].items():
            so_far, n = total.get(group, (0.0, 0))
            total[group] = (so_far + npix * (level or 0.0), n + npix)
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
    members: Mapping[str, list[Record]], tie: _Tie, skymethod: str
) -> dict[str, tuple[float | None, str, str]]:
    """Return level (or None), status and reason by group."""
    own = {group: _lowest(record["sky"] for record in members[group]) for group in members}
    no_pixel = (None, "FAILED", "it has no good pixel")
    if skymethod == "local":
        return {g: no_pixel if own[g] is None else (own[g], "COMPLETE", "") for g in members}
    base = 0.0
    if "global" in skymethod:
        known = [own[g] - tie.delta.get(g, 0.0) for g in members if own[g] is not None]
        if not known:
            return dict.fromkeys(members, (None, "FAILED", "no exposure has a good pixel"))
        base = min(known)
    levels = {}
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


def _lowest(skies: Iterable[Sequence | None]) -> float | None:
    return min((sky[0] for sky in skies if sky is not None and sky[1]), default=None)


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
            entry, level = words
            level = float(level)
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


def _tell(result: Record) -> None:
    for name, found in result["exposures"].items():
        if found["level"] is None:
            log.warning("%s: sky %s: %s", name, found["status"], found["reason"])
    levels = [e["level"] for e in result["exposures"].values() if e["level"] is not None]
    if levels:
        log.info("sky of %d exposures: %.6g to %.6g", len(levels), min(levels), max(levels))
    if result["pairs"]:
        log.info("skies in %d overlaps agree to %.3g (rms)", len(result["pairs"]), result["rms"])
    if len(result["subsets"]) > 1:
        log.warning("sky is matched only within each of %d subsets", len(result["subsets"]))
