"""Stars of a mosaic, and its PSF."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import least_squares

import naive
from mosaics import INSTRUMENT, SIDE, add, make_grid
from snakewebb.kernels import stars as kernels
from snakewebb.quality.stars import expected_fwhm, find_stars, psf_shape
from snakewebb.sources.mosaic import Mosaic

NOISE = 1e-10


def make_mosaic(
    covariance, *, stars=60, galaxies=40, shape=(600, 620), angle=0.0, seed=1, err=True
):
    """A mosaic of stars that are alike, galaxies that are not, and hot pixels; places of stars."""
    rng = np.random.default_rng(seed)
    data = np.full(shape, 3 * NOISE)
    cells = rng.permutation(np.argwhere(np.ones((shape[0] // 40, shape[1] // 40))))
    places = 40 * cells + 20 + rng.uniform(-4, 4, cells.shape)
    for y, x in places[:stars]:
        add(data, x, y, NOISE * 10 ** rng.uniform(2.2, 4), covariance)
    for y, x in places[stars : stars + galaxies]:
        wide = covariance * rng.uniform(1.7, 6)
        add(data, x, y, NOISE * 10 ** rng.uniform(3, 4.5), wide)
    data += NOISE * rng.standard_normal(shape)
    for y, x in places[stars + galaxies : stars + galaxies + 20].astype(int):
        data[y, x] += 300 * NOISE
    errors = np.full(shape, NOISE if err else np.nan, np.float32)
    grid = make_grid(shape, angle)
    mosaic = Mosaic(data.astype(np.float32), errors, np.zeros(shape, bool), grid, INSTRUMENT)
    return mosaic, places[:stars]


@pytest.mark.parametrize(
    ("fwhm", "ellipticity", "angle"), [(2.1, 0.0, 0.0), (2.0, 0.15, 30.0), (1.9, 0.25, -70.0)]
)
def test_stars_and_their_psf(fwhm, ellipticity, angle):
    # the major axis is at 25 degrees from x to y
    q, turn = 1 - ellipticity, np.radians(25.0)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    covariance = (fwhm / 2.3548) ** 2 * rotation @ np.diag([1 / q, q]) @ rotation.T
    mosaic, places = make_mosaic(covariance, angle=angle)
    stars = find_stars(mosaic)
    near = np.hypot(*(np.column_stack((stars.y, stars.x))[:, None] - places).T).min(axis=0)
    assert (near < 0.5).mean() > 0.93, "stars, and hardly anything else"
    assert 0.6 * len(places) < len(stars) < 1.05 * len(places)
    width, found, position_angle = psf_shape(stars)
    assert width == pytest.approx(fwhm * SIDE, rel=0.02)
    assert found == pytest.approx(ellipticity, abs=0.012)
    if ellipticity:
        across, up = mosaic.grid.pixel_to_sky(
            mosaic.grid.crpix[0] + np.cos(turn), mosaic.grid.crpix[1] + np.sin(turn)
        )
        east = (across - 10.0) * np.cos(np.radians(20))
        expected = np.degrees(np.arctan2(east, up + 20.0)) % 180
        assert abs((position_angle - expected + 90) % 180 - 90) < 4


def test_a_mosaic_without_errors_has_the_same_stars():
    covariance = np.eye(2) * 0.8
    stars, others = (find_stars(make_mosaic(covariance, err=err)[0]) for err in (True, False))
    assert abs(len(stars) - len(others)) <= 2
    assert_allclose(np.median(stars.fwhm), np.median(others.fwhm), rtol=0.01)


@pytest.mark.parametrize("value", [0.0, np.nan, 5.0])
def test_an_image_without_stars_has_none(value):
    shape = (300, 40)
    data = np.full(shape, value, np.float32)
    errors = np.full(shape, NOISE, np.float32)
    mosaic = Mosaic(data, errors, np.isnan(data), make_grid(shape), INSTRUMENT)
    assert len(find_stars(mosaic)) == 0


def test_errors_of_0_are_no_errors():
    mosaic, _ = make_mosaic(np.eye(2) * 0.8)
    mosaic.err[:300] = 0.0
    assert 10 < len(find_stars(mosaic)) < 50


def test_neither_noise_nor_galaxies_nor_hot_pixels_are_stars():
    assert len(find_stars(make_mosaic(np.eye(2) * 0.8, stars=0, galaxies=0)[0])) == 0
    galaxies = find_stars(make_mosaic(np.eye(2) * 0.8, stars=0, galaxies=60)[0])
    assert len(galaxies) < 12


def test_stars_do_not_depend_on_how_the_mosaic_is_read():
    mosaic, _ = make_mosaic(np.eye(2) * 0.8)
    stars = find_stars(mosaic)
    assert (np.diff(stars.y) >= 0).all()
    flipped = Mosaic(
        mosaic.data, mosaic.err, mosaic.mask, mosaic.grid, {**INSTRUMENT, "filter": None}
    )
    assert len(find_stars(flipped)) == pytest.approx(len(stars), abs=3), "the filter is not known"


@pytest.mark.parametrize(
    ("name", "filters", "side", "fwhm"),
    [
        ("NIRCAM", ("F115W", "CLEAR"), 0.031, 0.040),
        ("NIRCAM", ("F356W", "CLEAR"), 0.063, 0.116),
        ("NIRCAM", ("F150W2", "F162M"), 0.031, 0.055),
        ("NIRISS", ("CLEAR", "F150W"), 0.065, 0.062),
        ("MIRI", ("F1130W", None), 0.11, 0.375),
    ],
)
def test_the_expected_width_is_near_that_of_the_telescope(name, filters, side, fwhm):
    """JWST User Documentation, PSF FWHM of the detectors, which a mosaic widens."""
    instrument = {"name": name, "filter": filters[0], "pupil": filters[1]}
    found = expected_fwhm(instrument, side, 1.0)
    assert 0.9 * fwhm < found < 1.45 * np.hypot(fwhm, 0.6 * side)
    assert expected_fwhm({"name": "FGS", "filter": None, "pupil": None}, side, 1.0) is None


# --- kernels ------------------------------------------------------------------------------------


def field(seed, shape=(40, 50)):
    rng = np.random.default_rng(seed)
    data = rng.normal(1.0, 1.0, shape).astype(np.float32)
    for _ in range(6):
        add(data, rng.uniform(4, 46), rng.uniform(4, 36), 60.0, np.eye(2))
    data[10, 10] = data[10, 11] = 50.0
    return data, rng.uniform(0.5, 1.0, shape).astype(np.float32), rng.random(shape) < 0.01


def test_peaks_are_those_of_the_twin():
    for seed in range(5):
        data, err, bad = field(seed)
        level = np.array([1.0, 0.5])
        row, column = np.empty((2, 500), np.int64)
        light, snr = np.empty((2, 500))
        found = kernels.find_peaks(data, err, bad, level, 30, 4.0, 0, 40, row, column, light, snr)
        wanted = naive.peaks(data, err, bad, level, 30, 4.0)
        assert len(wanted) > 5
        assert_array_equal(np.column_stack((row, column))[:found], [w[:2] for w in wanted])
        assert_allclose(light[:found], [w[2] for w in wanted], rtol=1e-6)
        assert (snr[:found] > 4).all()


def test_peaks_that_stand_alone_are_those_of_the_twin():
    rng = np.random.default_rng(3)
    for _ in range(5):
        x, y = rng.uniform(0, 100, 60), np.sort(rng.uniform(0, 100, 60))
        light = 10 ** rng.uniform(0, 4, 60)
        alone = np.empty(60, bool)
        kernels.stand_alone(x, y, light, 8.0, 0.1, 20.0, 0.01, alone)
        assert_array_equal(alone, naive.stand_alone(x, y, light, 8.0, 0.1, 20.0, 0.01))
        assert 0 < alone.sum() < 60


def test_gaussians_are_those_of_another_least_squares_fit():
    rng = np.random.default_rng(4)
    for _ in range(10):
        data = np.zeros((21, 21), np.float32)
        covariance = np.array([[1.3, 0.4], [0.4, 0.8]]) * rng.uniform(0.6, 2)
        x, y = rng.uniform(9.6, 10.4, 2)
        add(data, x, y, 500.0, covariance)
        data += rng.normal(0, 1.0, data.shape).astype(np.float32) + 5
        fitted = np.empty((1, 6))
        ten = np.array([10])
        kernels.fit_gaussians(
            data, np.zeros(data.shape, bool), ten, ten, np.array([5.0]), 3.5, 2.0, fitted
        )
        v, u = np.indices(data.shape)
        inside = np.hypot(u - 10, v - 10) <= 3.5

        light = data[inside].astype(float) - 5

        def rest(p, u=u[inside], v=v[inside], light=light):
            dx, dy = u - p[1], v - p[2]
            inverse = np.linalg.inv([[p[3], p[4]], [p[4], p[5]]])
            power = inverse[0, 0] * dx**2 + 2 * inverse[0, 1] * dx * dy + inverse[1, 1] * dy**2
            return light - p[0] * np.exp(-0.5 * power)

        wanted = least_squares(rest, [80, x, y, *covariance.ravel()[[0, 1, 3]]], xtol=1e-12).x
        assert_allclose(fitted[0], wanted, rtol=2e-3, atol=2e-4)


def test_there_is_no_fit_where_pixels_are_missing():
    data = np.zeros((21, 21), np.float32)
    add(data, 10, 10, 500.0, np.eye(2))
    bad = np.zeros(data.shape, bool)
    bad[11, 12] = True
    row = np.array([10, 1, 10])
    fitted = np.empty((3, 6))
    sky = np.array([0.0, 0.0, np.nan])
    kernels.fit_gaussians(data, bad, row, row, sky, 3.0, 2.0, fitted)
    assert np.isnan(fitted).all()
