"""Noise in apertures on blank sky, and depth."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mosaics import INSTRUMENT, add, make_grid
from snakewebb.kernels.blank_sky import brightest_nine
from snakewebb.quality.blank_sky import (
    aperture_weights,
    depth,
    depth_map,
    measure_blank_sky,
    noise_ratio,
    standard_aperture,
)
from snakewebb.sources.mosaic import Mosaic

NOISE = 2e-10
SHAPE = 500, 700
RADIUS = 3.0
APERTURES = {
    "aperture_ee": [30, 50, 70],
    "aperture_radii": [1.0, 2.0, RADIUS],
    "aperture_corrections": [1.0, 1.0, 1.4],
    "bkg_aperture_inner_radius": 5.0,
    "bkg_aperture_outer_radius": 10.0,
}


def make_mosaic(told=1.0, seed=1, sources=0, gradient=0.0, noise=NOISE):
    """A mosaic of white noise whose errors are told wrongly by a factor."""
    rng = np.random.default_rng(seed)
    data = np.full(SHAPE, 5e-9) + gradient * np.arange(SHAPE[1])
    for _ in range(sources):
        add(data, *rng.uniform(10, 490, 2), NOISE * 10 ** rng.uniform(1.5, 4), np.eye(2) * 2)
    data += noise * rng.standard_normal(SHAPE)
    err = np.broadcast_to(np.float32(NOISE / told), SHAPE).copy()
    mask = np.zeros(SHAPE, bool)
    return Mosaic(data.astype(np.float32), err, mask, make_grid(SHAPE), INSTRUMENT)


@pytest.mark.parametrize("told", [1.0, 0.7, 1.5])
def test_noise_over_what_errors_predict(told):
    found = noise_ratio(measure_blank_sky(make_mosaic(told), APERTURES), has_errors=True)
    assert found.n > 2500
    assert found.value == pytest.approx(told, rel=0.04)


@pytest.mark.parametrize(("sources", "gradient"), [(0, 0.0), (250, 0.0), (0, 0.1 * NOISE)])
@pytest.mark.parametrize("told", [1.0, 0.7])
def test_depth_is_that_of_the_noise_not_of_the_errors(told, sources, gradient):
    apertures = measure_blank_sky(make_mosaic(told, 2, sources, gradient), APERTURES)
    found, each = depth(apertures, noise_ratio(apertures, True), "")
    weights = aperture_weights(RADIUS)
    annulus = np.pi * (10.0**2 - 5.0**2)
    square = np.sum(weights**2) + weights.sum() ** 2 * np.pi / 2 / annulus
    expected = 8.9 - 2.5 * np.log10(5 * 1.4 * NOISE * np.sqrt(square))
    assert found.value == pytest.approx(expected, abs=0.06)
    assert_allclose(each, found.value, atol=0.06)


def test_a_deep_half_is_deeper_on_the_map():
    mosaic = make_mosaic()
    left = mosaic.data[:, :350]
    left[:] = left.mean() + 0.5 * (left - left.mean())
    mosaic.err[:, :350] *= 0.5
    apertures = measure_blank_sky(mosaic, APERTURES)
    _, each = depth(apertures, noise_ratio(apertures, True), "")
    image, grid = depth_map(apertures, each, mosaic.grid)
    step = np.nanmedian(image[:, : image.shape[1] // 2 - 1]) - np.nanmedian(
        image[:, image.shape[1] // 2 + 1 :]
    )
    assert step == pytest.approx(2.5 * np.log10(2), abs=0.02)
    assert max(image.shape) <= 48
    # the map's pixels are where they should be on the sky
    side = round(grid.cdelt / mosaic.grid.cdelt)
    corner = grid.pixel_to_sky(-0.5, -0.5)
    assert_allclose(corner, mosaic.grid.pixel_to_sky(-0.5, -0.5), atol=1e-9)
    assert_allclose(grid.pixel_to_sky(0.5, 0.5), mosaic.grid.pixel_to_sky(side - 0.5, side - 0.5))


def test_sources_are_not_blank():
    mosaic = make_mosaic(sources=400)
    apertures = measure_blank_sky(mosaic, APERTURES)
    clean = measure_blank_sky(make_mosaic(), APERTURES)
    assert 0.3 * len(clean.x) < len(apertures.x) < 0.9 * len(clean.x)
    assert noise_ratio(apertures, True).value == pytest.approx(1.0, abs=0.07)


def test_without_errors_depth_is_of_the_scatter():
    mosaic = make_mosaic()
    mosaic.err[:] = np.nan
    apertures = measure_blank_sky(mosaic, APERTURES)
    ratio = noise_ratio(apertures, has_errors=False)
    assert ratio.reason == "the mosaic has no errors"
    known = measure_blank_sky(make_mosaic(), APERTURES)
    expected, _ = depth(known, noise_ratio(known, True), "")
    assert depth(apertures, ratio, "")[0].value == pytest.approx(expected.value, abs=0.06)


def test_where_errors_are_0_nothing_is_known():
    mosaic = make_mosaic()
    mosaic.err[:, :350] = 0.0
    apertures = measure_blank_sky(mosaic, APERTURES)
    assert apertures.x.min() > 340
    assert noise_ratio(apertures, True).value == pytest.approx(1.0, rel=0.06)


def test_nothing_is_known_where_there_is_nothing():
    mosaic = make_mosaic()
    mosaic.mask[:] = True
    apertures = measure_blank_sky(mosaic, APERTURES)
    assert len(apertures.x) == 0
    ratio = noise_ratio(apertures, True)
    found, each = depth(apertures, ratio, "")
    assert ratio.reason == found.reason == "0 apertures on blank sky"
    image, _ = depth_map(apertures, each, mosaic.grid)
    assert np.isnan(image).all()
    flaw, _ = depth(measure_blank_sky(make_mosaic(), APERTURES), ratio, "in DN/s")
    assert flaw.reason == "in DN/s"


def test_the_standard_aperture_is_the_largest_that_is_known():
    assert standard_aperture(APERTURES) == (3.0, 1.4)
    some = {**APERTURES, "aperture_radii": [1.0, 2.0, None]}
    assert standard_aperture(some) == (2.0, 1.0)
    none = {**APERTURES, "aperture_radii": [None] * 3}
    assert standard_aperture(none) is None


def test_numbers_do_not_depend_on_pieces(monkeypatch):
    from snakewebb.sources import segmentation_map

    mosaic = make_mosaic(sources=100)
    whole = measure_blank_sky(mosaic, APERTURES)
    monkeypatch.setattr(segmentation_map, "PIECE", 60 * SHAPE[1])
    parts = measure_blank_sky(mosaic, APERTURES)
    for name in ("x", "y", "pull", "error"):
        assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-6)


def test_weights_cover_the_circle():
    for radius in (0.7, 2.5, 3.3):
        assert aperture_weights(radius).sum() == pytest.approx(np.pi * radius**2)


def test_blank_apertures_are_those_of_the_twin():
    rng = np.random.default_rng(3)
    data = rng.standard_normal((60, 60)).astype(np.float32)
    add(data, 30, 30, 60.0, np.eye(2))
    err = np.ones(data.shape, np.float32)
    bad = rng.random(data.shape) < 0.003
    bad[50:] = True
    x, y = (c.ravel().astype(float) for c in np.meshgrid(np.arange(0, 60, 2), np.arange(0, 60, 2)))
    sky = np.where(np.arange(len(x)) % 9 == 4, np.nan, 0.1)
    middle, brightest = np.empty((2, len(x)))
    brightest_nine(data, err, bad, x, y, 2.5, 4.0, 7.0, sky, middle, brightest)
    wanted = np.full((len(x), 2), np.nan)
    v, u = np.indices(data.shape)
    nine = np.lib.stride_tricks.sliding_window_view(np.pad(data, 1), (3, 3)).sum(axis=(2, 3)) / 3
    dirty = np.lib.stride_tricks.sliding_window_view(np.pad(bad, 1), (3, 3)).any(axis=(2, 3))
    for k, (a, b) in enumerate(zip(x, y, strict=True)):
        r = np.hypot(u - a, v - b)
        ring, here = (r >= 4) & (r < 7), r <= 3.5
        inside = 7 < a < 52 and 7 < b < 52 and np.isfinite(sky[k])
        if inside and not dirty[here].any() and bad[ring].mean() <= 0.5:
            wanted[k] = nine[int(b), int(a)] - 3 * sky[k], nine[here].max() - 3 * sky[k]
    assert_allclose(np.column_stack((middle, brightest)), wanted, rtol=1e-5, atol=1e-5)
    assert 0.05 < np.isfinite(brightest).mean() < 0.9
