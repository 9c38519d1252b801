"""The joint adjustment of attitudes, of the places of detectors, and of stars.

The attitude of each exposure (shift, roll) is shared by its detectors; the placement of each
detector and filter (shift in V2 and V3, roll) by all exposures, and it is drawn to where the
instrument's distortion has it by a Gaussian prior. Stars have a position; where it matters a proper
motion and a parallax; and where a catalogue knows them, that knowledge as a prior. Stars are
eliminated one by one from the normal equations, which are then those of attitudes and placements
alone (Schur complement; block adjustment of photographic plates: Eichhorn 1960, Astron. Nachr. 285,
233). Gauss-Newton steps with weights that fall where residuals are larger than noise makes them.

Positions are on a tangent plane, arcsec to the East and to the North.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from snakewebb.astrometry.equations import CORE, Equations, State
from snakewebb.astrometry.normal import Solved
from snakewebb.astrometry.unknowns import Exposures, Measurements, Prior

PASSES = 20
FIRST_NOISE = 0.002
"""Arcsec, before it is estimated."""
CLOSE = 0.01
"""Standard errors: a step that is no step, whatever a field's size makes of them."""


@dataclass(frozen=True)
class Adjustment:
    """The result of an adjustment.

    Attributes
    ----------
    poses, placements : (p, 3), (q, 3)
        See `Prior`.
    noise : sequence of float
        By level of noise, what adds to variances, square arcsec, or the factor of them.
    weight : (n,)
        Of each measurement, 1 where it is as good as its variance says, 0 where it stands alone.
    sigma : (n,)
        Standard error of each measurement, either coordinate, arcsec.
    residual : (n, 2)
        Measurement minus where all else has the star, arcsec.
    pull : (n,)
        Its length in units of its error.
    known_pull : (k,)
        The same of stars of the catalogue.
    chi_square, freedom : float
        The sum of the weighted squares, and what is expected.
    solved : Solved
        Of the normal equations of what is free.
    free : (3 p + 3 q,) bool
    """

    poses: np.ndarray
    placements: np.ndarray
    noise: np.ndarray
    weight: np.ndarray
    sigma: np.ndarray
    residual: np.ndarray
    pull: np.ndarray
    known_pull: np.ndarray
    chi_square: float
    freedom: float
    solved: Solved
    free: np.ndarray

    def covariance(self, index: np.ndarray) -> np.ndarray:
        """Return the covariance of parameters, those of poses before those of placements.

        Parameters
        ----------
        index : (k,) int
            Of one pose and any placements. What is fixed has none.
        """
        found = np.zeros((len(index), len(index)))
        known = self.free[index]
        numbers = (np.cumsum(self.free) - 1)[index[known]]
        found[np.ix_(known, known)] = self.solved.block(numbers)
        return found


def adjust(
    measured: Measurements, seen: Exposures, prior: Prior, start: np.ndarray | None = None
) -> Adjustment:
    """Adjust attitudes, placements and stars to measurements, all at once.

    Parameters
    ----------
    measured : Measurements
    seen : Exposures
    prior : Prior
    start : (p, 3), optional
        Attitudes to start from; by default the mean of their prior.
    """
    order = np.argsort(measured.star, kind="stable")
    sorted_ = Measurements(*(getattr(measured, name)[order] for name in vars(measured)))
    work = Equations(sorted_, seen, prior)
    state = State(
        np.array(prior.pose_mean if start is None else start, float),
        np.zeros_like(prior.placement_sigma),
        np.full(seen.noise.max(initial=0) + 1, FIRST_NOISE**2),
        work.tied.astype(float),
        np.ones(len(prior.stars.star)),
    )
    for _ in range(PASSES):
        residual, leverage = work.residuals(state)
        noise = work.noise(residual, leverage)
        pull = _pulls(residual, leverage, work.variance(noise))
        state = replace(state, noise=noise, weight=work.tied * _weights(pull))
        state = replace(state, known_weight=_weights(work.known_pulls(state)))
        solved, turned, placed, size = work.step(state)
        state = replace(state, poses=state.poses + turned, placements=state.placements + placed)
        if size < CLOSE:
            break
    residual, leverage = work.residuals(state)
    pull = _pulls(residual, leverage, work.variance(state.noise))
    squares = state.weight * (1 - leverage)
    back = np.argsort(order)
    return Adjustment(
        state.poses,
        state.placements,
        state.noise,
        state.weight[back],
        np.sqrt(work.variance(state.noise))[back],
        (residual / (1 - leverage)[:, None])[back],
        pull[back],
        work.known_pulls(state),
        float((squares * pull**2).sum()),
        max(2 * float(squares.sum()) - work.n_sparse, 0.0),
        solved,
        work.free,
    )


def _pulls(residual, leverage, variance):
    return np.hypot(*residual.T) / np.sqrt(variance * (1 - leverage))


def _weights(pull):
    """Return weights of what is so many errors off: heavy tails pull the less, the farther."""
    return np.minimum(1.0, (CORE / np.maximum(pull, CORE)) ** 2)
