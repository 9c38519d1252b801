"""The equations of an adjustment: residuals, weights, and the normal equations without stars."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.sparse import bsr_array, csr_array, dia_array

from snakewebb.astrometry.normal import Solved
from snakewebb.astrometry.unknowns import Exposures, Measurements, Prior, maps

MOTION = 0.005
"""Arcsec a year: proper motions of stars that no catalogue knows, either axis."""
PARALLAX = 0.001
"""Arcsec: theirs."""
SPAN = 0.02
"""Years within which stars do not move by as much as matters."""
CORE = 3.0
"""Residuals in units of their error, as lengths, above which they weigh less."""
LEAST_NOISE = 1e-5
"""Arcsec: no position is better."""
CHUNK = 100_000
"""Measurements whose equations are in memory at a time."""
TURN = np.array([[0.0, -1.0], [1.0, 0.0]])


@dataclass(frozen=True)
class State:
    """What is believed now.

    Attributes
    ----------
    poses, placements : (p, 3), (q, 3)
        See `snakewebb.astrometry.unknowns.Prior`.
    noise : (levels,)
        Square arcsec that add to variances, or the factor of these.
    weight, known_weight : (n,), (k,)
        Of measurements and of stars of the catalogue, 0 to 1.
    """

    poses: np.ndarray
    placements: np.ndarray
    noise: np.ndarray
    weight: np.ndarray
    known_weight: np.ndarray


@dataclass(frozen=True)
class _Run:
    """Measurements of some whole stars, with 2 parameters each or with 5."""

    size: int
    rows: np.ndarray
    numbers: np.ndarray  # of the stars
    index: np.ndarray  # of each measurement's star among these
    slope: np.ndarray  # (rows, 2, size): what the parameters do to its position


class Equations:
    """Those of measurements that are sorted by star; what stays from step to step is kept.

    Attributes
    ----------
    tied : (n,) bool
        Measurements of stars that others have measured too, or a catalogue knows.
    free : (3 p + 3 q,) bool
        Which parameters are not fixed: poses, then placements.
    n_sparse : int
        How many of the poses'.
    """

    def __init__(self, measured: Measurements, seen: Exposures, prior: Prior) -> None:
        self._measured, self._seen, self._prior = measured, seen, prior
        n, known = measured.star.max(initial=-1) + 1, prior.stars
        epoch = seen.epoch[measured.exposure]
        first, last = np.full(n, np.inf), np.full(n, -np.inf)
        np.minimum.at(first, measured.star, epoch)
        np.maximum.at(last, measured.star, epoch)
        self._of_known = np.full(n, -1)
        self._of_known[known.star] = np.arange(len(known.star))
        is_known = self._of_known >= 0
        self.tied = (is_known | (np.bincount(measured.star, minlength=n) > 1))[measured.star]
        self._precision = np.linalg.inv(known.covariance)
        sigma = np.concatenate((prior.pose_sigma.ravel(), prior.placement_sigma.ravel()))
        self.free = sigma > 0
        self._believed = sigma[self.free] ** -2.0
        self.n_sparse = int(np.count_nonzero(self.free[: prior.pose_sigma.size]))
        self._runs = list(self._cut(is_known | (last - first > SPAN), epoch))

    def _cut(self, moving: np.ndarray, epoch: np.ndarray) -> Iterator[_Run]:
        """Cut the measurements into runs, those of moving stars apart."""
        star = self._measured.star
        for size, which in ((2, ~moving), (5, moving)):
            rows = np.flatnonzero(which[star] & self.tied)
            starts = np.flatnonzero(np.diff(star[rows], prepend=-1))
            cuts = starts[np.unique(starts // CHUNK, return_index=True)[1]]
            for run in np.split(rows, cuts[1:]) if len(rows) else []:
                numbers, index = np.unique(star[run], return_inverse=True)
                slope = np.zeros((len(run), 2, size))
                slope[:, 0, 0] = slope[:, 1, 1] = 1.0
                if size == 5:
                    slope[:, 0, 2] = slope[:, 1, 3] = epoch[run]
                    slope[:, :, 4] = self._seen.parallax[self._measured.exposure[run]]
                yield _Run(size, run, numbers, index, slope)

    def corrected(self, state: State) -> np.ndarray:
        """Return positions (n, 2) as they are believed now."""
        matrix, shift = maps(state.poses, state.placements, self._seen, self._prior.pivot)
        rows = self._measured.exposure
        return np.einsum("nij,nj->ni", matrix[rows], self._measured.points) + shift[rows]

    def variance(self, noise: np.ndarray) -> np.ndarray:
        """Return the variance of each measurement, either axis."""
        own, known = noise[self._seen.noise[self._measured.exposure]], self._measured.variance
        return np.maximum(known * own if self._prior.scaled else known + own, LEAST_NOISE**2)

    def _stars(
        self, run: _Run, points: np.ndarray, precision: np.ndarray, state: State
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the normal equations of stars: their matrices, and their solutions."""
        size = run.size
        members = csr_array((np.ones(len(run.rows)), (run.index, np.arange(len(run.rows)))))
        own = precision[run.rows]
        squares = np.einsum("n,nai,naj->nij", own, run.slope, run.slope).reshape(len(own), -1)
        matrix = (members @ squares).reshape(-1, size, size)
        right = members @ np.einsum("n,nai,na->ni", own, run.slope, points[run.rows])
        if size == 5:
            which = self._of_known[run.numbers]
            matrix[which < 0, 2:, 2:] += np.diag([MOTION**-2, MOTION**-2, PARALLAX**-2])
            known = np.flatnonzero(which >= 0)
            which = which[known]
            prior = self._precision[which] * state.known_weight[which, None, None]
            matrix[known] += prior
            right[known] += np.einsum("nij,nj->ni", prior, self._prior.stars.mean[which])
        return matrix, np.linalg.solve(matrix, right[..., None])[..., 0]

    def residuals(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        """Return measurements minus stars (n, 2), and the share (n,) that each has in its star."""
        points, precision = self.corrected(state), state.weight / self.variance(state.noise)
        residual, leverage = np.zeros_like(points), np.zeros(len(points))
        for run in self._runs:
            matrix, stars = self._stars(run, points, precision, state)
            model = np.einsum("nai,ni->na", run.slope, stars[run.index])
            residual[run.rows] = points[run.rows] - model
            inverse = np.linalg.inv(matrix)[run.index]
            spread = np.einsum("nai,nij,naj->n", run.slope, inverse, run.slope) / 2
            leverage[run.rows] = precision[run.rows] * spread
        return residual, np.minimum(leverage, 0.95)

    def known_pulls(self, state: State) -> np.ndarray:
        """Return how far stars are from where the catalogue has them, in units of the error.

        At the mean epoch of their measurements; lengths, (k,).
        """
        known = self._prior.stars
        found = np.zeros(len(known.star))
        if not len(found):
            return found
        points, precision = self.corrected(state), state.weight / self.variance(state.noise)
        for run in self._runs:
            which = self._of_known[run.numbers]
            if not (which >= 0).any():
                continue
            own = precision[run.rows]
            total = np.bincount(run.index, own)
            point, slope = (
                np.stack([np.bincount(run.index, own * c) for c in flat.T], -1) / total[:, None]
                for flat in (points[run.rows], run.slope.reshape(len(own), -1))
            )
            chosen = which >= 0
            which, slope = which[chosen], slope[chosen].reshape(-1, 2, run.size)
            off = point[chosen] - np.einsum("nai,ni->na", slope, known.mean[which])
            error = slope @ known.covariance[which] @ slope.swapaxes(1, 2)
            error += np.eye(2) / total[chosen, None, None]
            found[which] = np.sqrt(np.einsum("na,nab,nb->n", off, np.linalg.inv(error), off))
        return found

    def noise(self, residual: np.ndarray, leverage: np.ndarray) -> np.ndarray:
        """Estimate levels of noise from what is not far off the middle of the residuals.

        Squares of lengths are 2 ln 2 in the median and, below CORE, a little less than 2 in the
        mean; less what the attitudes have taken from them.
        """
        level = self._seen.noise[self._measured.exposure]
        found = np.full(self._seen.noise.max(initial=0) + 1, LEAST_NOISE**2)
        square = np.sum(residual**2, axis=1) / (1 - leverage)
        spare = 2 * (self.tied * (1 - leverage)).sum()
        taken = max(1 - self.n_sparse / spare, 0.1) if spare else 1.0
        cut = np.exp(-(CORE**2) / 2)
        mean = 2 - CORE**2 * cut / (1 - cut)
        for k in range(len(found)):
            own = self.tied & (level == k)
            if not own.any():
                continue
            variance, q = self._measured.variance[own], square[own] / taken
            middle = _level(q, variance, np.median, 2 * np.log(2), self._prior.scaled)
            limit = variance * middle if self._prior.scaled else variance + middle
            inside = q <= CORE**2 * limit
            found[k] = _level(q[inside], variance[inside], np.mean, mean, self._prior.scaled)
        return found

    def step(self, state: State) -> tuple[Solved, np.ndarray, np.ndarray, float]:
        """Make one step.

        Returns
        -------
        solved : Solved
            The factored normal equations.
        poses, placements : (p, 3), (q, 3)
            What they gain.
        size : float
            Root mean square of this in units of its standard errors: in the directions in which
            these are independent of each other.
        """
        prior, free = self._prior, self.free
        points, precision = self.corrected(state), state.weight / self.variance(state.noise)
        number = np.full(free.size, -1)
        number[free] = np.arange(len(self._believed))
        shape = len(self._believed), len(self._believed)
        normal = csr_array(dia_array((self._believed[None], [0]), shape))
        off = np.concatenate(((prior.pose_mean - state.poses).ravel(), -state.placements.ravel()))
        right = off[free] * self._believed
        for run in self._runs:
            matrix, stars = self._stars(run, points, precision, state)
            root = np.sqrt(precision[run.rows])[:, None]
            off = points[run.rows] - np.einsum("nai,ni->na", run.slope, stars[run.index])
            jacobian = self._jacobian(run, points, root, state, number)
            known = _whitened(run, matrix, root) @ jacobian
            normal = normal + (jacobian.T @ jacobian - known.T @ known)
            right = right - jacobian.T @ (off * root).reshape(-1)
        solved = Solved.of(normal, self.n_sparse)
        gain = np.zeros(free.size)
        gain[free] = solved.solve(right)
        size = float(np.sqrt(np.maximum(right @ gain[free], 0.0) / max(len(right), 1)))
        n_poses = state.poses.size
        return solved, gain[:n_poses].reshape(-1, 3), gain[n_poses:].reshape(-1, 3), size

    def _jacobian(
        self, run: _Run, points: np.ndarray, root: np.ndarray, state: State, number: np.ndarray
    ) -> csr_array:
        """Return the derivatives of weighted positions by what is free, East and North in turn."""
        exposure = self._measured.exposure[run.rows]
        pose, place = self._seen.pose[exposure], self._seen.placement[exposure]
        design = np.zeros((len(run.rows), 2, 6))
        design[:, 0, 0] = design[:, 1, 1] = 1.0
        arm = points[run.rows] - self._prior.pivot[pose] - state.poses[pose, :2]
        design[:, :, 2] = arm @ TURN.T
        design[:, :, 3:5] = self._seen.axes[exposure]
        design[:, :, 5] = (self._measured.points[run.rows] - self._seen.centre[exposure]) @ TURN.T
        design *= root[:, :, None]
        first = np.column_stack((3 * pose, self._prior.pose_sigma.size + 3 * place))
        columns = number[(first[:, :, None] + np.arange(3)).reshape(-1, 6)]
        columns = np.broadcast_to(columns[:, None], design.shape)
        used = columns >= 0
        pointer = np.concatenate(([0], np.cumsum(used.sum(axis=2).ravel())))
        shape = 2 * len(run.rows), len(self._believed)
        return csr_array((design[used], columns[used], pointer), shape)


def _whitened(run, matrix, root):
    """Return what takes weighted positions to stars in units of their errors."""
    size, n, n_stars = run.size, len(run.rows), len(run.numbers)
    columns = np.broadcast_to(size * run.index[:, None, None] + np.arange(size), run.slope.shape)
    slope = (run.slope * root[:, :, None]).reshape(-1)
    pointer = np.arange(0, 2 * n * size + 1, size)
    stars = csr_array((slope, columns.reshape(-1), pointer), (2 * n, size * n_stars))
    half = np.linalg.inv(np.linalg.cholesky(matrix))
    blocks = (half, np.arange(n_stars), np.arange(n_stars + 1))
    return csr_array(bsr_array(blocks, (size * n_stars, size * n_stars)) @ stars.T)


def _level(square, variance, middle, wanted, scaled):
    """Return the noise that brings the middle of squares over variances to what is wanted."""
    if scaled:
        return max(float(middle(square / variance)) / wanted, LEAST_NOISE**2)

    def excess(added):
        return float(middle(square / (variance + added))) - wanted

    low, high = LEAST_NOISE**2, float(square.max()) / wanted + 2 * LEAST_NOISE**2
    if excess(low) <= 0:
        return low
    return float(brentq(excess, low, high, rtol=1e-6))
