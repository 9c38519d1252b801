"""The joint adjustment of rigid groups of exposures and of the stars they share."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import spsolve

from snakewebb.astrometry.matching import Affine
from snakewebb.astrometry.options import FIT_GEOMETRIES, Fitting


def adjust(
    points: np.ndarray,
    group: np.ndarray,
    star: np.ndarray,
    fits: list[Affine],
    how: Fitting,
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
    how : Fitting
        `fitgeometry`, `nclip` and `sigma` are used; clipping is by the rms of each group, and ends
        where it would cut the groups apart.
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
        if not _hangs_together(group[inside], star[inside], len(fits)):
            break
        used = inside
        fits = _step(points[used], group[used], star[used], weight[used], fits, how.fitgeometry)
    return fits, used


def residuals(
    points: np.ndarray,
    group: np.ndarray,
    star: np.ndarray,
    weight: np.ndarray,
    fits: list[Affine],
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
    corrected = apply_fits(fits, points, group)
    total = np.column_stack([np.bincount(star, c * weight) for c in corrected.T])[star]
    others = np.bincount(star, weight)[star] - weight
    others[others == 0] = np.nan
    target = (total - corrected * weight[:, np.newaxis]) / others[:, np.newaxis]
    return np.hypot(*(points - target).T), np.hypot(*(corrected - target).T)


def _linked(star, used):
    """Restrict to measurements of stars that have at least two."""
    return used & (np.bincount(star, used)[star] > 1)


def _hangs_together(group, star, n_groups):
    """Return whether all groups are tied to each other by measurements of common stars."""
    size = n_groups + star.max() + 1
    ties = coo_array((np.ones(len(group)), (group, n_groups + star)), (size, size))
    return len(set(connected_components(ties, directed=False)[1][:n_groups])) == 1


def apply_fits(fits, points, group):
    """Return points (n, 2) moved by the fits of their groups."""
    matrices = np.array([fit.matrix for fit in fits])[group]
    shifts = np.array([fit.shift for fit in fits])[group]
    return np.einsum("nij,nj->ni", matrices, points) + shifts


def _step(points, group, star, weight, fits, geometry):
    """Make one Gauss-Newton step of the adjustment; exact but for rotations."""
    x = apply_fits(fits, points, group)
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
