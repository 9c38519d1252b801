"""Matching of two lists of positions on a plane, and the linear map from one to the other.

Works in arcseconds. The offset comes from the two-dimensional histogram of all differences, the
matches are mutual nearest neighbours, the map is a clipped least-squares fit; matching and fit are
repeated until the matches stay the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.spatial import KDTree

from snakewebb.astrometry.options import FIT_GEOMETRIES, Fitting

STRETCH = 0.05
"""By more than this share no telescope's scale is off along any direction."""


@dataclass(frozen=True)
class Affine:
    """The linear map ``matrix @ u + shift`` of a plane (arcsec)."""

    matrix: np.ndarray = field(default_factory=lambda: np.eye(2))
    shift: np.ndarray = field(default_factory=lambda: np.zeros(2))

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Map points (…, 2)."""
        return np.einsum("ij,...j->...i", self.matrix, points) + self.shift

    @classmethod
    def about(cls, centre: np.ndarray, matrix: np.ndarray, shift: np.ndarray) -> Affine:
        """Return the map by `matrix` about a centre, then by `shift`."""
        return cls(matrix, centre + shift - matrix @ centre)

    def is_identity(self) -> bool:
        """Return whether nothing moves."""
        return np.array_equal(self.matrix, np.eye(2)) and not self.shift.any()

    def after(self, first: Affine) -> Affine:
        """Return the map that applies `first`, then this one."""
        return Affine(self.matrix @ first.matrix, self.matrix @ first.shift + self.shift)

    def inverse(self) -> Affine:
        """Return the map back."""
        matrix = np.linalg.inv(self.matrix)
        return Affine(matrix, -matrix @ self.shift)


class FitError(Exception):
    """Two lists of positions cannot be aligned; the message tells why."""


def brightest_apart(points: np.ndarray, flux: np.ndarray, separation: float) -> np.ndarray:
    """Return the indices of points that have no brighter one kept within `separation`.

    Parameters
    ----------
    points : (n, 2) array
    flux : (n,) array
        NaN is fainter than anything; among equals the first wins.
    separation : float

    Returns
    -------
    (m,) array of int
        Ascending.
    """
    order = np.argsort(-flux, kind="stable")
    kept = np.ones(len(points), dtype=bool)
    pairs = KDTree(points[order]).query_pairs(separation, output_type="ndarray")
    for brighter, fainter in pairs[np.argsort(pairs[:, 0], kind="stable")]:
        if kept[brighter]:
            kept[fainter] = False
    return np.sort(order[kept])


def find_offset(
    points: np.ndarray, reference: np.ndarray, searchrad: float, width: float
) -> np.ndarray:
    """Find the offset of one list of positions from another.

    The densest place among the differences of all pairs: the highest 3 by 3 cells of their
    two-dimensional histogram, then their mean, centred on itself.

    Parameters
    ----------
    points, reference : (n, 2) and (m, 2) arrays
    searchrad : float
        Largest offset in either coordinate.
    width : float
        Of a cell.

    Returns
    -------
    (2,) array
        `points` minus `reference`; 0 where no pair is near enough.
    """
    pairs = KDTree(points).sparse_distance_matrix(
        KDTree(reference), searchrad, p=np.inf, output_type="ndarray"
    )
    if not len(pairs):
        return np.zeros(2)
    differences = points[pairs["i"]] - reference[pairs["j"]]
    half = int(np.ceil(searchrad / width))
    edges = (np.arange(2 * half + 2) - half - 0.5) * width
    x, y = differences.T
    cells = np.pad(np.histogram2d(x, y, bins=[edges, edges])[0], 1)
    blocks = np.lib.stride_tricks.sliding_window_view(cells, (3, 3)).sum(axis=(2, 3))
    peak = np.unravel_index(np.argmax(blocks), blocks.shape)
    offset = (np.array(peak) - half) * width
    for _ in range(5):
        near = np.abs(differences - offset).max(axis=1) <= 1.5 * width
        offset = differences[near].mean(axis=0)
    return offset


def nearest_pairs(
    points: np.ndarray, reference: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of points and references that are each other's nearest.

    Parameters
    ----------
    points, reference : (n, 2) and (m, 2) arrays
    tolerance : float
        Largest distance.

    Returns
    -------
    i, j : (k,) arrays of int
        ``points[i]`` matches ``reference[j]``; no index occurs twice.
    """
    distance, j = KDTree(reference).query(points, distance_upper_bound=tolerance)
    i = np.flatnonzero(np.isfinite(distance))
    _, back = KDTree(points).query(reference[j[i]])
    i = i[back == i]
    return i, j[i]


def linear_fit(
    points: np.ndarray, reference: np.ndarray, geometry: str, weight: np.ndarray | None = None
) -> Affine:
    """Return the least-squares map of points onto their references.

    Parameters
    ----------
    points, reference : (n, 2) arrays
    geometry : {"shift", "rshift", "rscale", "general"}
    weight : (n,) array, optional
        Of the squared distances; positive.
    """
    centre, target = (np.average(p, axis=0, weights=weight) for p in (points, reference))
    u, x = points - centre, reference - target
    if weight is not None:
        u, x = (np.sqrt(weight)[:, np.newaxis] * p for p in (u, x))
    if geometry == "shift":
        matrix = np.eye(2)
    elif geometry == "general":
        matrix = np.linalg.lstsq(u, x, rcond=None)[0].T
    else:
        # In complex numbers a rotation with scaling is a product.
        z, w = u[:, 0] + 1j * u[:, 1], x[:, 0] + 1j * x[:, 1]
        factor = np.vdot(z, w) / np.vdot(z, z).real
        if geometry == "rshift":
            factor /= abs(factor)
        matrix = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return Affine.about(centre, matrix, target - centre)


def clipped_fit(
    points: np.ndarray,
    reference: np.ndarray,
    geometry: str,
    nclip: int,
    sigma: float,
    weight: np.ndarray | None = None,
) -> tuple[Affine, np.ndarray]:
    """Fit, leaving out pairs that lie off by more than `sigma` times the rms.

    Each pass judges all pairs anew, those of weight 0 excepted, which never count.

    Returns
    -------
    fit : Affine
    kept : (n,) array of bool
        The pairs used.
    """
    counted = np.ones(len(points), dtype=bool) if weight is None else weight > 0
    kept = counted

    def of(kept: np.ndarray) -> np.ndarray | None:
        return None if weight is None else weight[kept]

    fit = linear_fit(points[kept], reference[kept], geometry, of(kept))
    for _ in range(nclip):
        residual = np.hypot(*(fit(points) - reference).T)
        inside = counted & (residual <= sigma * rms(residual[kept], of(kept)))
        if np.count_nonzero(inside) < FIT_GEOMETRIES[geometry] or np.array_equal(inside, kept):
            break
        kept = inside
        fit = linear_fit(points[kept], reference[kept], geometry, of(kept))
    return fit, kept


def match_and_fit(
    points: np.ndarray,
    reference: np.ndarray,
    how: Fitting,
    weight: np.ndarray | None = None,
    reference_weight: np.ndarray | None = None,
) -> tuple[Affine, np.ndarray, np.ndarray, np.ndarray]:
    """Match two lists of positions and fit the map of the first onto the second.

    Parameters
    ----------
    points, reference : (n, 2) and (m, 2) arrays
    how : Fitting
    weight, reference_weight : (n,) and (m,) array, optional
        Inverse variances, not negative; they count in the fit, not in the search for matches.

    Returns
    -------
    fit : Affine
    i, j : (k,) arrays of int
        ``points[i]`` matches ``reference[j]``.
    kept : (k,) array of bool
        The matches used in the fit.

    Raises
    ------
    FitError
        Too few matches, chance matches, or a correction beyond the search radius or of a scale that
        no telescope has.
    """
    if min(len(points), len(reference)) < how.needed:
        raise FitError(
            f"{len(points)} sources and {len(reference)} references near by (minobj {how.needed})"
        )
    offset = np.array([how.xoffset, how.yoffset])
    if how.use2dhist:
        offset = find_offset(points, reference, how.searchrad, how.tolerance / 4)
    fit, before = Affine(shift=-offset), None
    for _ in range(10):
        i, j = nearest_pairs(fit(points), reference, how.tolerance)
        if len(i) < how.needed:
            raise FitError(f"{len(i)} matches (minobj {how.needed})")
        if before is not None and np.array_equal(i, before[0]) and np.array_equal(j, before[1]):
            break
        before = i, j
        own = _of_pairs(weight, i, reference_weight, j)
        if own is not None and np.count_nonzero(own) < FIT_GEOMETRIES[how.fitgeometry]:
            raise FitError(f"{np.count_nonzero(own)} of {len(i)} matches have a weight")
        fit, kept = clipped_fit(points[i], reference[j], how.fitgeometry, how.nclip, how.sigma, own)
    counted = slice(None) if own is None else own > 0
    residual = np.hypot(*(fit(points[i]) - reference[j]).T)[counted]
    # Chance pairs fill the disc of the tolerance evenly: their median is 0.7 of its radius.
    if np.median(residual) > how.tolerance / 3:
        raise FitError(
            f"{len(i)} matches scatter by {np.median(residual):.2f} arcsec, as chance pairs do"
        )
    stretch = np.linalg.svd(fit.matrix, compute_uv=False) - 1
    worst = stretch[np.argmax(np.abs(stretch))]
    if abs(worst) > STRETCH:
        raise FitError(
            f"the fit stretches the sky by {100 * worst:.0f} %: {len(i)} matches, near each other "
            "or along a line, do not determine it"
        )
    moved = np.hypot(*(fit(points) - points).T).max()
    if moved > 2 * how.reach:
        raise FitError(
            f"the fit moves sources by {moved:.1f} arcsec, more than twice searchrad + tolerance"
        )
    return fit, i, j, kept


def _of_pairs(weight, i, reference_weight, j):
    """Return the weights of pairs: variances are those of both ends together."""
    if weight is None:
        return None if reference_weight is None else reference_weight[j]
    if reference_weight is None:
        return weight[i]
    one, other = weight[i], reference_weight[j]
    both = (one > 0) & (other > 0)
    return np.divide(one * other, one + other, out=np.zeros(len(i)), where=both)


def rms(residual: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Return the root of the (weighted) mean square, NaN of nothing."""
    square = np.square(residual)
    return float(np.sqrt(np.average(square, weights=weight))) if len(residual) else np.nan
