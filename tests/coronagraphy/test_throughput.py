"""The plan of injections, and what is made of their throughput."""

from itertools import pairwise

import numpy as np
import pytest

from snakewebb.coronagraphy.noise_curve import NoiseCurve
from snakewebb.coronagraphy.throughput import (
    BRANCHES,
    LADDER,
    ThroughputCurve,
    injection_plan,
)

SEPARATION = np.arange(0.2, 4.05, 0.1)
NOISE = np.array([9 / SEPARATION, 1 / SEPARATION, 2 / SEPARATION])
CURVE = NoiseCurve(SEPARATION, np.full(len(SEPARATION), 20.0), NOISE, 3.2)


def test_companions_are_as_bright_as_the_noise_asks_and_apart():
    ladder, companions = injection_plan(CURVE, 5.0)
    assert len(ladder) == LADDER
    assert (ladder[0], ladder[-1]) == pytest.approx((0.2, 3.2))
    assert len(companions) == LADDER * BRANCHES
    for k, (separation, _, flux) in enumerate(companions):
        assert separation == ladder[k // BRANCHES]
        assert flux == pytest.approx(5 * np.interp(separation, SEPARATION, NOISE[1]))
    pas = np.reshape([pa for _, pa, _ in companions], (LADDER, BRANCHES))
    assert ((pas >= 0) & (pas < 360)).all()
    for inner, outer in pairwise(pas):
        # None lies behind one of the next separation.
        apart = np.abs((inner[:, None] - outer + 180) % 360 - 180)
        assert apart.min() > 5


def test_throughput_between_and_beyond_what_was_measured():
    ladder = np.array([0.5, 2.0])
    fractions = np.array([[[0.4], [0.6], [np.nan]], [[0.8], [0.8], [0.8]]])
    curve = ThroughputCurve(ladder, fractions, 1.0)
    passed, scatter = curve.at(np.array([0.1, 0.5, 1.0, 2.0, 9.0]), 0)
    np.testing.assert_allclose(passed, [0.5, 0.5, 0.65, 0.8, 0.8])
    assert scatter[0] == scatter[1] == pytest.approx(np.std([0.4, 0.6], ddof=1))
