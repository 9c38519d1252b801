import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import naive
from snakewebb.mosaicking.clean_noise import NoiseCurve, excess_variance, neighbours_median
from snakewebb.mosaicking.outlier_detection import QUIETEST, _clean_noise
from snakewebb.mosaicking.surroundings import common_share

SHAPE = 200, 300


def sky(rng, shape=SHAPE):
    """The light of a few bright sources over a sky."""
    return 1.0 + rng.normal(0, 0.01, shape) + 100 * rng.random(shape) ** 40


@pytest.mark.parametrize(("read", "gain", "flat"), [(1, 0, 0), (1, 0.5, 0), (0.2, 3, 0.01)])
@pytest.mark.parametrize("subtracted", [0.0, 1.0])
def test_the_curve_is_that_of_the_noise(read, gain, flat, subtracted):
    rng = np.random.default_rng(1)
    flux = sky(rng)
    variance = read + gain * flux + flat * flux**2
    err = np.sqrt(variance)
    struck = rng.random(SHAPE) < 0.02
    err[struck] *= rng.uniform(1, 30, struck.sum())
    flux[rng.random(SHAPE) < 0.05] = np.nan
    curve = NoiseCurve.measure(np.float32(flux - subtracted), np.float32(err))
    test = np.array([0.97, 1.0, 1.1, 2.0, 10.0, 40.0])
    expected = read + gain * test + flat * test**2
    assert_allclose(curve(test - subtracted), expected, rtol=0.05)


def test_the_curve_goes_on_beyond_the_brightest():
    curve = NoiseCurve(np.array([0.0, 1.0, 3.0]), np.array([1.0, 2.0, 6.0]))
    assert_allclose(curve(np.array([-5.0, 0.0, 2.0, 3.0, 13.0])), [1, 1, 4, 6, 26])
    assert curve.least == 1
    flat = NoiseCurve(np.array([2.0]), np.array([5.0]))
    assert_allclose(flat(np.array([0.0, 9.0])), [5, 5])


def test_nothing_is_known_of_too_few_pixels():
    empty = NoiseCurve.measure(np.full((9, 9), np.nan), np.ones((9, 9)))
    assert empty.least == np.inf
    assert (empty(np.zeros(3)) == np.inf).all()
    assert NoiseCurve.measure(np.zeros((9, 9)), np.zeros((9, 9))).least == np.inf


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 2))
def test_noise_is_that_of_the_least(seed, number):
    rng = np.random.default_rng(seed)
    shape = 20, 30
    common = np.exp(0.3 * rng.normal(size=shape))
    variance = common.copy()
    others = [common * scale for scale in rng.uniform(0.2, 5, number)]
    for plane in (variance, *others):
        plane[rng.random(shape) < 0.03] *= 50
    err = np.sqrt(variance + 0.5)
    flux = rng.normal(size=shape)
    places = rng.choice(variance.size, 200, replace=False)
    planes = {"ERR": err, "VAR_RNOISE": variance, "DQ": None}
    curve = lambda x: 1.5 + 0 * x  # noqa: E731
    found = _clean_noise(planes, curve(flux.ravel()[places]), others, places)
    expected = naive.clean_noise(
        err.ravel(), variance.ravel(), [o.ravel() for o in others], curve, flux.ravel(), places
    )
    assert_allclose(found, expected, rtol=1e-6)


def test_no_pixel_is_taken_for_much_quieter_than_most():
    """Where others say so, a dead pixel's variance or a stray number is all they know."""
    variance = np.full((8, 8), 1.0)
    err = np.full((8, 8), 10.0)
    other = np.full((8, 8), 1.0)
    other[3, 3] = 1e-6
    planes = {"ERR": err, "VAR_RNOISE": variance, "DQ": None}
    found = _clean_noise(planes, np.full(2, 1.0), [other], np.array([27, 28]))
    assert_allclose(found, [QUIETEST, 1.0])


def test_what_others_lack_does_not_count():
    variance = np.full((8, 8), 2.0, np.float32)
    variance[3, 3] = 9
    for empty in (np.nan, 0.0, -1.0):
        other = np.full((8, 8), 4.0, np.float32)
        other[3, 3] = empty
        assert excess_variance(variance, [other], np.array([27, 28])) == pytest.approx([7, 0])
        nothing = np.full((8, 8), empty, np.float32)
        assert excess_variance(variance, [nothing], np.array([27])) == pytest.approx([7])


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_median_of_neighbours(seed):
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(7, 9)).astype(np.float32)
    image[rng.random(image.shape) < 0.3] = np.nan
    found = neighbours_median(image, np.arange(image.size)).reshape(image.shape)
    padded = np.pad(image, 2, mode="edge")
    for j, i in np.ndindex(image.shape):
        box = np.delete(padded[j : j + 5, i : i + 5].ravel(), 12)
        assert found[j, i] == pytest.approx(np.nanmedian(box), nan_ok=True)
    assert np.isnan(neighbours_median(np.full((5, 5), np.nan), np.array([12]))).all()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(-0.9, 3), st.floats(-5, 5))
def test_the_share_by_which_a_star_is_brighter(seed, share, sky_level):
    """Whatever the sky below it, and though some of its pixels are struck."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((5, 5)) - 2 + rng.uniform(-0.4, 0.4, (2, 1, 1))
    light = 50 * np.exp(-(x**2 + y**2) / rng.uniform(1, 4)).reshape(-1, 1)
    model, excess = light + 7, share * light + sky_level
    dark = np.argsort(light[:, 0])[:12]
    excess -= share * np.median(np.sort(light[dark, 0])[:12])
    excess[rng.choice(np.argsort(light[:, 0])[:20], 2, replace=False)] += 1000
    model[3], excess[5] = np.nan, np.nan
    found, error = common_share(model, excess)
    assert found[0] == pytest.approx(share, abs=0.05 + 0.1 * abs(share))
    assert 0 < error[0] < 0.2


def test_no_light_has_no_share():
    found, error = common_share(np.ones((24, 1)), np.arange(24.0)[:, None])
    assert found == 0
    assert error == 0
    found, error = common_share(np.full((24, 1), np.nan), np.ones((24, 1)))
    assert found == 0
    assert error == 0


def test_a_pixel_alone_has_no_share():
    """Nothing is darker, so that nobody knows the sky below it."""
    model, excess = np.full((2, 24, 1), np.nan)
    model[7], excess[7] = 50.0, 10.0
    found, error = common_share(model, excess)
    assert found == 0
    assert error == 0
