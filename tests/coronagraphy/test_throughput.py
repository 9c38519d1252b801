"""The plan of injections, and what is made of their throughput."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from coronagraphs import geometry
from snakewebb.coronagraphy.combine import combiner, reducer
from snakewebb.coronagraphy.klip import KlipOptions
from snakewebb.coronagraphy.noise_curve import NoiseCurve
from snakewebb.coronagraphy.reduction import Roll, reduction
from snakewebb.coronagraphy.throughput import (
    BRANCHES,
    LADDER,
    ThroughputCurve,
    injection_plan,
)
from snakewebb.mosaicking.resample import DrizzleOptions, Input, drizzle_band
from snakewebb.wcs.grid import output_grid
from snakewebb.wcs.pixel_map import PixelMap

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


# --- reductions ----------------------------------------------------------------------------------

SIZE, SCALE, CENTER = 40, 0.063, (19.7, 20.2)
RNG = np.random.default_rng(5)


@pytest.fixture(scope="module")
def inputs():
    """Integrations of two rolls, with other weights and bad pixels each."""
    geometries = [geometry(roll, CENTER, SIZE) for roll in (100.0, 110.0)]
    grid = output_grid(dict(enumerate(geometries)), rotation=0.0)
    made = []
    for known in geometries:
        way = PixelMap(known, grid)
        for k in range(3):
            variance = RNG.uniform(0.5, 2, (SIZE, SIZE)).astype(np.float32)
            variance[RNG.random((SIZE, SIZE)) < 0.05] = np.nan
            dq = (RNG.random((SIZE, SIZE)) < 0.05).astype(np.uint32)
            planes = {"SCI": None, "VAR_RNOISE": variance, "DQ": dq}
            made.append(Input(f"{k}", planes, way, measurement_time=10.0 + k))
    return made


@pytest.fixture(scope="module")
def cubes():
    cubes = [RNG.normal(100, 10, (3, SIZE, SIZE)) for _ in range(2)]
    cubes[0][1, :, :4] = np.nan
    cubes[1][:, 7, 7] = np.nan
    return cubes


@pytest.mark.parametrize("weight_type", ["ivm", "exptime", None])
def test_integrations_are_combined_as_if_each_was_drizzled(inputs, cubes, weight_type):
    how = DrizzleOptions(weight_type=weight_type, enable_err=False, enable_ctx=False)
    images = [image for cube in cubes for image in cube]
    filled = [
        replace(each, source={**each.source, "SCI": image.astype(np.float32)})
        for each, image in zip(inputs, images, strict=True)
    ]
    grid = inputs[0].pixel_map.grid
    expected = drizzle_band(filled, grid, slice(0, grid.shape[0]), how).sci
    assert 0 < np.isnan(expected).sum() < expected.size / 2
    found = combiner(inputs, how)(cubes)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "linear"),
    [
        ({"truncate": [3, 6]}, True),
        ({"truncate": 5, "annuli": 2, "inner_radius": 1.0}, True),
        ({"truncate": 5, "n_references": 6}, False),
        ({"truncate": 5, "symmetry": True}, False),
        ({"truncate": 5, "strategy": "ADI+RDI"}, False),
    ],
)
def test_what_a_companion_adds_is_found_without_reducing_again(inputs, options, linear):
    """Where nothing else depends on it; elsewhere the exposures are reduced once more."""
    cubes = [RNG.normal(100, 10, (3, SIZE, SIZE)) for _ in range(2)]
    references = RNG.normal(100, 10, (8, SIZE, SIZE))
    y, x = np.indices((SIZE, SIZE))
    mask = np.hypot(x - CENTER[0], y - CENTER[1]) > 3
    rolls = [Roll(angle, CENTER, references, mask=mask) for angle in (100.0, 110.0)]
    how = KlipOptions(outer_radius=50.0, **options)
    assert how.linear == linear
    added = [RNG.normal(0, 1, (SIZE, SIZE)) for _ in range(2)]
    reduce = reducer(reduction(rolls, how), combiner(inputs), linear=how.linear)
    before = reduce(cubes)
    brighter = [cube + image for cube, image in zip(cubes, added, strict=True)]
    expected = np.asarray(reduce(brighter), float) - before
    found = reduce.response(cubes)(added)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert (reduce.of_added is not None) == linear
