"""Stars and sky of one exposure."""

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import ndtr

import naive
from geometries import make_geometry
from snakewebb.kernels import sightings as kernels
from snakewebb.quality import sightings
from snakewebb.quality.sightings import Places, look
from snakewebb.wcs.grid import Grid
from snakewebb.wcs.sphere import from_plane

SCALE, SIZE, SIGMA, NOISE = 0.06, 256, 0.9, 0.02
GRID = Grid((10.0, 20.0), (150.0, 150.0), SCALE / 3600, ((-1.0, 0.0), (0.0, 1.0)), (300, 300))
FWHM = 2.3548 * SIGMA * SCALE


def image_of_stars(x, y, light, sky=0.5, size=SIZE):
    """An image of Gaussian stars without noise."""
    v, u = np.indices((size, size))
    image = np.full((size, size), sky)
    for each in zip(x, y, light, strict=True):
        inside = np.s_[
            max(int(each[1]) - 10, 0) : int(each[1]) + 11,
            max(int(each[0]) - 10, 0) : int(each[0]) + 11,
        ]
        r2 = (u[inside] - each[0]) ** 2 + (v[inside] - each[1]) ** 2
        image[inside] += each[2] * np.exp(-0.5 * r2 / SIGMA**2) / (2 * np.pi * SIGMA**2)
    return image.astype(np.float32)


def star_image(x, y, light, sky=0.5, seed=1, size=SIZE):
    """An image of Gaussian stars with noise of known errors, and these."""
    image = image_of_stars(x, y, light, sky, size)
    err = NOISE * np.sqrt(1 + np.maximum(image - sky, 0))
    noise = err * np.random.default_rng(seed).standard_normal(image.shape)
    return (image + noise).astype(np.float32), err


def write(path, image, err=None, unit="MJy/sr", sky=None):
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(image, name="SCI")]
    hdus[1].header["BUNIT"] = unit
    if sky is not None:
        hdus[1].header["BKGLEVEL"], hdus[1].header["BKGSUB"] = sky, False
    if err is not None:
        hdus.append(fits.ImageHDU(err.astype(np.float32), name="ERR"))
    fits.HDUList(hdus).writeto(path)
    return path


@pytest.fixture
def scene():
    """Places of stars in pixels, and on the sky as an exposure without errors has them."""
    at = np.arange(14.0, SIZE - 14, 19)
    x, y = (
        c.ravel() + np.random.default_rng(5).uniform(-2, 2, c.size) for c in np.meshgrid(at, at)
    )
    middle = (SIZE - 1) / 2
    ra, dec = from_plane(-(x - middle) * SCALE, (y - middle) * SCALE, 10.0, 20.0)
    return x, y, Places.on(GRID, ra, dec)


NOWHERE = Places.on(GRID, np.empty(0), np.empty(0))


def test_offsets_fluxes_and_their_errors(tmp_path, scene):
    x, y, stars = scene
    light = np.geomspace(3.0, 30.0, len(x))
    image, err = star_image(x + 0.35, y - 0.2, light)
    seen = look(write(tmp_path / "a.fits", image, err), make_geometry(), stars, NOWHERE, FWHM)
    assert_array_equal(seen.star, np.arange(len(x)))
    # x is to the West, 60 mas a pixel
    expected = np.array([-0.35 * 60, -0.2 * 60])
    assert_allclose(np.median(seen.offset, axis=0), expected, atol=0.4)
    pull = (seen.offset - expected) / seen.offset_err
    assert np.std(pull) == pytest.approx(1.0, abs=0.1)
    clean = image_of_stars(x + 0.35, y - 0.2, light)
    exact = look(write(tmp_path / "b.fits", clean, err), make_geometry(), stars, NOWHERE, FWHM)
    pull = (seen.flux - exact.flux) / seen.flux_err
    assert np.std(pull) == pytest.approx(1.0, abs=0.12)
    inside = 1 - np.exp(-0.5 * (2.5 / SIGMA) ** 2)
    assert np.median(exact.flux / light) == pytest.approx(inside * (1000 * SCALE) ** 2, rel=0.02)


def test_sky_is_less_what_is_known_of_it(tmp_path):
    image, _ = star_image([60.0], [60.0], [30.0], sky=0.5)
    at = np.arange(20.0, 240, 40)
    x, y = (c.ravel() for c in np.meshgrid(at, at))
    lattice = Places.on(GRID, *from_plane(-(x - 127.5) * SCALE, (y - 127.5) * SCALE, 10.0, 20.0))
    seen = look(
        write(tmp_path / "a.fits", image, sky=0.375), make_geometry(), NOWHERE, lattice, 0.1
    )
    assert len(seen.star) == 0
    assert_array_equal(seen.place, np.arange(len(x)))
    assert_allclose(seen.sky, 0.125, atol=5 * 1.25 * NOISE / 17)
    assert seen.noise == pytest.approx(NOISE, rel=0.1)


@pytest.mark.parametrize("unit", ["MJy/sr", "DN/s"])
def test_light_counts_by_the_area_of_pixels_where_it_is_brightness(tmp_path, scene, unit):
    x, y, stars = scene
    image, err = star_image(x, y, np.full(len(x), 50.0))
    path = write(tmp_path / "a.fits", image, err, unit=unit)
    seen = look(path, make_geometry(), stars, NOWHERE, FWHM)
    wide = make_geometry(scale=2 * SCALE)
    middle = (SIZE - 1) / 2
    there = Places.on(
        GRID, *from_plane(-(x - middle) * 2 * SCALE, (y - middle) * 2 * SCALE, 10.0, 20.0)
    )
    same = look(path, wide, there, NOWHERE, 2 * FWHM)
    ratio = np.median(same.flux[np.isin(same.star, seen.star)]) / np.median(seen.flux)
    assert ratio == pytest.approx(4.0 if unit == "MJy/sr" else 1.0, rel=0.01)


def test_bad_pixels_edges_and_missing_errors(tmp_path, scene):
    x, y, stars = scene
    image, err = star_image(x, y, np.full(len(x), 50.0))
    image[int(y[30]), int(x[30]) + 1] = np.nan
    seen = look(write(tmp_path / "a.fits", image), make_geometry(), stars, NOWHERE, FWHM)
    assert 30 not in seen.star
    assert len(seen.star) == len(x) - 1
    assert np.isnan(seen.flux_err).all()
    assert np.isfinite(seen.offset).all()
    shifted = make_geometry(ra=10.0 + 0.5 * SIZE * SCALE / 3600)
    some = look(write(tmp_path / "b.fits", image, err), shifted, stars, NOWHERE, FWHM)
    assert len(some.star) < 0.7 * len(x), "the others are off the image, or no stars are there"
    nothing = look(tmp_path / "b.fits", make_geometry(ra=50.0), stars, stars, FWHM)
    assert len(nothing.star) == len(nothing.place) == 0
    assert np.isnan(nothing.noise)


def test_numbers_do_not_depend_on_how_an_exposure_is_read(tmp_path, scene, monkeypatch):
    x, y, stars = scene
    image, err = star_image(x, y, np.full(len(x), 20.0))
    path = write(tmp_path / "a.fits", image, err)
    whole = look(path, make_geometry(), stars, stars, FWHM)
    monkeypatch.setattr(sightings, "BAND", 37)
    parts = look(path, make_geometry(), stars, stars, FWHM)
    for name, values in vars(whole).items():
        assert_allclose(getattr(parts, name), values, rtol=1e-10, err_msg=name)


def test_places_within_an_exposure():
    from snakewebb.wcs.layout import lay_out

    geometry = make_geometry()
    (placement,) = lay_out({"a": geometry}, {"a": "g"}, {"a": None}, GRID).placements.values()
    ra, dec = GRID.pixel_to_sky(np.array([150.0, -200.0]), np.array([150.0, 150.0]))
    inside = Places.on(GRID, ra, dec).within(placement)
    assert_array_equal(inside.index, [0])


# --- kernels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [0.3, 0.5, 0.8])
def test_the_phase_of_pixels_shows_in_centroids_as_it_is_told(tmp_path, width):
    """Of stars that pixels add up, without noise."""
    at = np.arange(14.0, SIZE - 14, 12)
    x, y = (
        c.ravel() + np.random.default_rng(6).uniform(-0.5, 0.5, c.size) for c in np.meshgrid(at, at)
    )
    edges = np.arange(SIZE + 1) - 0.5
    across, up = (np.diff(ndtr((edges - c[:, None]) / width), axis=1) for c in (x, y))
    image = (1000.0 * up.T @ across).astype(np.float32)
    path = write(tmp_path / "a.fits", image, np.full_like(image, 1e-6))
    geometry = make_geometry()
    middle = (geometry.shape[1] - 1) / 2
    stars = Places.on(GRID, *from_plane(SCALE * (middle - x), SCALE * (y - middle), 10.0, 20.0))
    optics = 2.3548 * width * SCALE
    plain, told = (look(path, geometry, stars, NOWHERE, FWHM, w) for w in (None, optics))
    assert len(plain.star) == len(x)
    scatter = np.std(plain.offset)
    assert_allclose(told.offset_err, scatter, rtol=0.1, atol=0.01)
    assert np.max(plain.offset_err) < 0.1 * max(scatter, 0.01)


def test_a_star_is_measured_as_by_the_twin():
    rng = np.random.default_rng(2)
    for _ in range(2):
        x, y = 15 + rng.uniform(-0.5, 0.5, 2)
        image, err = star_image([x + 0.3], [y - 0.2], [20.0], seed=rng.integers(99), size=31)
        err = err.astype(np.float32)
        measured = np.empty((1, 6))
        a = np.array
        kernels.measure_stars(image, err, a([x]), a([y]), a([0.5]), a([0.01]), 1.06, 2.5, measured)
        share = naive.fine_circle(x, y, 2.5, image.shape)
        light = (share * (image - 0.5)).sum()
        noise = np.sqrt((share * err).ravel() @ (share * err).ravel() + (share.sum() * 0.01) ** 2)
        assert_allclose(measured[0, :2], [light, noise], rtol=1e-3)
        middle, error = naive.centroid(image, err, 0.5, x, y, 1.06, kernels.REACH)
        assert_allclose(measured[0, 2:4], middle, atol=1e-4)
        assert_allclose(measured[0, 4:], error, rtol=0.02)


def test_squares_of_sky_are_clipped_medians():
    image = np.random.default_rng(1).normal(2.0, 0.1, (60, 60)).astype(np.float32)
    image[30, 30] = 1e4
    image[:10] = np.nan
    level, noise = np.empty((2, 4))
    x, y = np.array([30.0, 30.0, 4.0, 30.0]), np.array([30.0, 11.0, 30.0, 90.0])
    kernels.measure_sky(image, x, y, 8, level, noise)
    values = np.sort(image[22:39, 22:39].ravel().astype(float))[:-1]
    for _ in range(10):
        values = values[np.abs(values - np.median(values)) <= 3 * values.std()]
    assert_allclose([level[0], noise[0]], [np.median(values), values.std()], rtol=1e-6)
    assert np.isfinite(level[1]), "10 of 17 rows are good"
    assert np.isfinite(level[2]), "13 of 17 columns are on the image"
    assert np.isnan(level[3])
