"""What exposures that see the same stars and sky say of each other."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import naive
from snakewebb.kernels import repeats as kernels
from snakewebb.quality.repeats import (
    by_exposure,
    compare,
    detector_scatter,
    deviations,
    number_of,
    rms_beyond,
    separation_scatter,
)
from snakewebb.quality.sightings import Sightings
from snakewebb.wcs.sphere import from_plane

RNG = np.random.default_rng(8)
XI, ETA = RNG.uniform(-40, 40, (2, 400))
RA, DEC = from_plane(XI, ETA, 150.0, 2.0)


def sightings(offsets, *, error=1.0, gains=None, skies=None, stars=400, share=1.0, seed=3):
    """What exposures see that are off by known offsets, with noise of known errors."""
    rng = np.random.default_rng(seed)
    found = []
    for k, offset in enumerate(offsets):
        star = np.flatnonzero(rng.random(stars) < share)
        errors = error * np.exp(rng.normal(0, 0.3, (len(star), 1))) * np.ones(2)
        seen = np.asarray(offset) + errors * rng.standard_normal((len(star), 2))
        light = 100.0 * (gains[k] if gains else 1.0)
        flux = light + rng.standard_normal(len(star))
        sky = (skies[k] if skies else 0.0) + 0.01 * rng.standard_normal(200)
        found.append(
            Sightings(star, seen, errors, flux, np.ones(len(star)), np.arange(200), sky, noise=0.1)
        )
    return found


def test_noise_alone_has_pulls_of_one_and_no_offsets():
    repeats = compare(sightings([(0, 0)] * 4))
    assert number_of(repeats.star, repeats.pull, "").value == pytest.approx(1.0, abs=0.05)
    assert number_of(repeats.star, repeats.flux_pull, "").value == pytest.approx(1.0, abs=0.06)
    assert number_of(repeats.star, repeats.flux, "").value == pytest.approx(0.01, rel=0.07)
    own = by_exposure(repeats, 4)
    assert rms_beyond(np.ravel(own.offset), np.ravel(own.offset_err), "").value < 0.06
    assert_array_equal(own.stars, 400)
    assert_allclose(own.position_rms, 1.0, rtol=0.15)


@pytest.mark.parametrize("number", [2, 3, 12])
def test_the_scatter_of_offsets_is_that_of_one_exposure(number):
    """Over many draws: the mean of squares is the variance, be there two exposures or twelve."""
    squares = []
    for seed in range(40):
        offsets = np.random.default_rng(seed).normal(0, 5.0, (number, 2))
        own = by_exposure(compare(sightings(offsets, error=0.5, stars=60, seed=seed)), number)
        squares.append(rms_beyond(np.ravel(own.offset), np.ravel(own.offset_err), "").value ** 2)
    assert np.sqrt(np.mean(squares)) == pytest.approx(5.0, rel=0.12)


def test_gains_and_skies_of_exposures():
    gains, skies = [1.0, 1.0, 1.03, 1.0], [0.0, 0.02, -0.01, 0.0]
    repeats = compare(sightings([(0, 0)] * 4, gains=gains, skies=skies))
    own = by_exposure(repeats, 4)
    factor = np.sqrt(4 / 3)
    assert_allclose(own.flux, factor * (np.array(gains) / np.mean(gains) - 1), atol=0.002)
    expected = factor * (np.array(skies) - np.mean(skies))
    assert_allclose(own.sky, expected, atol=5e-3)
    found = rms_beyond(own.sky, own.sky_err, "")
    assert found.n == 4
    assert found.value == pytest.approx(np.std(skies, ddof=1), rel=0.1)


def test_detectors_of_an_exposure():
    """Offsets between exposures are not offsets between their detectors."""
    between = np.random.default_rng(1).normal(0, 30.0, (6, 2))
    within = np.random.default_rng(2).normal(0, 4.0, (6, 4, 2))
    groups = [f"g{k}" for k in range(6) for _ in range(4)]
    offsets = (between[:, None] + within).reshape(-1, 2)
    own = by_exposure(compare(sightings(offsets)), 24)
    found = detector_scatter(own, groups, "")
    assert found.value == pytest.approx(np.sqrt(np.mean(np.var(within, axis=1, ddof=1))), rel=0.1)
    alone = detector_scatter(own, [f"g{k}" for k in range(24)], "one detector")
    assert np.isnan(alone.value)
    assert alone.reason == "one detector"


@pytest.mark.parametrize("number", [2, 4, 9])
def test_separations_scatter_as_positions_do(number):
    """A pair's separation has the variance of both its stars, be there few exposures or many."""
    repeats = compare(sightings([(9 * k, -4 * k) for k in range(number)], error=2.0, share=0.8))
    error = 2.0 * np.exp(0.3**2)
    for nominal, found in separation_scatter(repeats, RA, DEC, "").items():
        assert found.n > 400, nominal
        assert found.value == pytest.approx(np.sqrt(2) * error, rel=0.1)


def test_a_wrong_scale_shows_in_wide_separations():
    """An exposure 1e-3 too wide, of two: separations differ by that, their scatter by 1/√2."""
    wide = Sightings(
        np.arange(400), 1.0 * np.column_stack((XI, ETA)), np.full((400, 2), 0.01), np.ones(400),
        np.ones(400), np.empty(0, int), np.empty(0), np.nan,
    )  # fmt: skip
    right = Sightings(**{**vars(wide), "offset": np.zeros((400, 2))})
    found = separation_scatter(compare([wide, right]), RA, DEC, "")
    median = (1 - 2 / 9) ** 1.5
    for nominal, number in found.items():
        expected = nominal / np.sqrt(2) / median
        assert number.value == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(("stars", "exposures"), [(12, 4), (60, 2), (60, 9)])
def test_numbers_are_off_by_as_much_as_their_errors_tell(stars, exposures):
    """Of few stars as well: errors over the scatter of numbers from draw to draw."""
    found = []
    for seed in range(150):
        repeats = compare(sightings([(0, 0)] * exposures, stars=stars, seed=seed))
        numbers = (
            number_of(repeats.star, repeats.pull, ""),
            number_of(repeats.star, repeats.flux_pull, ""),
        )
        found.append([(number.value, number.error) for number in numbers])
    values, errors = np.moveaxis(found, -1, 0)
    assert_allclose(errors.mean(axis=0) / values.std(axis=0), 1.0, atol=0.3)


@pytest.mark.parametrize("stars", [20, 80])
def test_separations_are_off_by_as_much_as_their_errors_tell(stars):
    found = []
    for seed in range(100):
        repeats = compare(sightings([(0, 0)] * 4, stars=stars, seed=seed))
        number = separation_scatter(repeats, RA, DEC, "")[20]
        found.append((number.value, number.error))
    values, errors = np.transpose(found)
    assert 0.7 < errors.mean() / values.std() < 1.7


def test_pairs_of_few_stars_say_nothing():
    """Five pairs, but of four stars."""
    xi, eta = np.array([0.0, 4.0, 0.0, 4.0]), np.array([0.0, 0.0, 4.0, 4.0])
    ra, dec = from_plane(xi, eta, 150.0, 2.0)
    repeats = compare(sightings([(0, 0)] * 4, stars=4))
    number = separation_scatter(repeats, ra, dec, "")[5]
    assert number.reason == "6 pairs of 4 stars that two exposures see"
    assert np.isnan(number.value)


def test_the_order_of_exposures_does_not_matter():
    seen = sightings([(0, 1), (2, 0), (-1, -1)], share=0.7)
    one, other = compare(seen), compare(seen[::-1])
    for nominal, number in separation_scatter(one, RA, DEC, "").items():
        assert number.value == pytest.approx(
            separation_scatter(other, RA, DEC, "")[nominal].value, rel=1e-9
        )
    assert_allclose(by_exposure(one, 3).offset, by_exposure(other, 3).offset[::-1], rtol=1e-9)


def test_one_exposure_and_no_star_say_nothing():
    for seen in (sightings([(0, 0)]), sightings([(0, 0)] * 3, stars=0)):
        repeats = compare(seen)
        assert len(repeats.star) == 0
        own = by_exposure(repeats, len(seen))
        assert np.isnan(own.offset).all()
        assert rms_beyond(np.ravel(own.offset), np.ravel(own.offset_err), "none").reason == "none"
        for number in separation_scatter(repeats, RA, DEC, "few").values():
            assert np.isnan(number.value)
            assert number.reason == "few"


def test_without_errors_there_are_differences_but_no_pulls():
    seen = [Sightings(**{**vars(s), "flux_err": np.full(400, np.nan),
                         "offset_err": np.full((400, 2), np.nan)})
            for s in sightings([(0, 0)] * 3)]  # fmt: skip
    repeats = compare(seen)
    assert np.isnan(repeats.pull).all()
    assert np.isnan(repeats.flux_pull).all()
    assert number_of(repeats.star, repeats.flux, "").value == pytest.approx(0.01, rel=0.1)


def test_deviations_by_hand():
    key = np.array([0, 1, 0, 2, 1, 1])
    values = np.array([1.0, 5.0, 3.0, 9.0, 7.0, np.nan])
    errors = np.array([1.0, 1.0, 1.0, 1.0, 2.0, 1.0])
    scaled, pull, mean = deviations(key, values, errors)
    assert_allclose(mean[[0, 1]], [2.0, (5 + 7 / 4) / 1.25])
    assert_allclose(scaled[[0, 2]], np.array([-1, 1]) * np.sqrt(2))
    # the difference of two, over its error
    assert_allclose(np.abs(pull[[1, 4]]), 2 / np.sqrt(5))
    assert np.isnan(scaled[[3, 5]]).all()


# --- kernels ------------------------------------------------------------------------------------


def test_pairs_are_those_of_the_twin():
    rng = np.random.default_rng(4)
    x, y = rng.uniform(0, 50, 80), np.sort(rng.uniform(0, 50, 80))
    first, second = np.empty((2, 5000), np.int64)
    number = kernels.pair_up(x, y, 6.0, 9.0, 5000, first, second)
    distance = np.hypot(x[:, None] - x, y[:, None] - y)
    wanted = np.argwhere(np.triu((distance >= 6) & (distance <= 9)))
    assert_array_equal(np.column_stack((first, second))[:number], wanted)
    few = kernels.pair_up(x, y, 6.0, 9.0, 2, first, second)
    assert np.bincount(first[:few]).max() == 2
    assert kernels.pair_up(x, y, 6.0, 9.0, 5000, first[:7], second[:7]) == 7


def test_pairs_of_a_crowd_lie_in_all_directions():
    """Or separations would tell of scale and distortion along one axis alone."""
    rng = np.random.default_rng(4)
    x, y = rng.uniform(0, 200, 4000), np.sort(rng.uniform(0, 200, 4000))
    first, second = np.empty((2, 20 * len(x)), np.int64)
    number = kernels.pair_up(x, y, 26.0, 34.0, 20, first, second)
    first, second = first[:number], second[:number]
    assert np.bincount(first).max() == 20
    across, up = (c[second] - c[first] for c in (x, y))
    inside = (x[first] > 34) & (x[first] < 166) & (y[first] < 166)
    assert np.mean(up[inside] ** 2) == pytest.approx(np.mean(across[inside] ** 2), rel=0.05)


def test_scatter_of_pairs_is_that_of_the_twin():
    rng = np.random.default_rng(5)
    star = np.repeat(np.arange(10), 6)
    exposure = np.tile(np.arange(6), 10)
    kept = rng.random(60) < 0.6
    star, exposure = star[kept], exposure[kept].astype(np.int64)
    seen = rng.normal(0, 3, (len(star), 2))
    start = np.searchsorted(star, np.arange(11)).astype(np.int64)
    first, second = (c.astype(np.int64) for c in np.triu_indices(10, 1))
    angle = rng.uniform(0, 6, len(first))
    along = np.column_stack((np.cos(angle), np.sin(angle)))
    std, number = np.empty(len(first)), np.empty(len(first), np.int64)
    columns = (np.ascontiguousarray(c) for c in (*along.T,))
    kernels.pair_scatter(
        first, second, *columns, start, exposure, *np.ascontiguousarray(seen.T), std, number
    )
    wanted = naive.pair_scatter(zip(first, second, along, strict=True), star, exposure, seen)
    assert_allclose(std, [w[0] for w in wanted], rtol=1e-9)
    assert_array_equal(number, [w[1] for w in wanted])
