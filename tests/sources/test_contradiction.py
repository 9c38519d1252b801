"""Sources that one exposure sees and the others do not."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

import naive
from snakewebb.kernels import contradiction as kernels
from snakewebb.sources import matched_filter as step
from snakewebb.sources.contradiction import View, in_one_alone
from sources_fields import PSF, field

SIDE = 60
FWHM = PSF.fwhm
PLACES = np.array([[20.3, 19.6], [41.2, 40.8]])


def exposure(path, peaks, seed=0, lost=()):
    """Write an exposure of noise 1 with Gaussians of some peaks at `PLACES`."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((SIDE, SIDE))
    image = 5.0 + rng.standard_normal((SIDE, SIDE))
    sigma = FWHM / 2.3548
    for (px, py), peak in zip(PLACES, peaks, strict=True):
        image += peak * np.exp(-0.5 * ((x - px) ** 2 + (y - py) ** 2) / sigma**2)
    for px, py in lost:
        image[np.hypot(x - px, y - py) < 3 * FWHM] = np.nan
    planes = {"SCI": image, "ERR": np.ones_like(image)}
    units = [fits.ImageHDU(plane.astype(np.float32), name=name) for name, plane in planes.items()]
    fits.HDUList([fits.PrimaryHDU(), *units]).writeto(path)
    return View(path, lambda x, y: np.column_stack([x, y]), (0, SIDE, 0, SIDE), 1.0)


def alone(views):
    return in_one_alone(views, *PLACES.T, FWHM).tolist()


def test_what_one_of_four_exposures_sees_is_told_from_what_all_see(tmp_path):
    peaks = [(3, 0), (3, 12), (3, 0), (3, 0)]
    views = [exposure(tmp_path / f"{k}.fits", peak, k) for k, peak in enumerate(peaks)]
    assert alone(views) == [False, True]
    for threads in (1, 3):
        np.testing.assert_array_equal(in_one_alone(views, *PLACES.T, FWHM, threads), [False, True])


def test_what_was_there_in_half_of_the_exposures_stays(tmp_path):
    """A supernova, where exposures are years apart."""
    peaks = [(3, 6), (3, 6), (3, 0), (3, 0)]
    views = [exposure(tmp_path / f"{k}.fits", peak, k) for k, peak in enumerate(peaks)]
    assert alone(views) == [False, False]


def test_where_one_exposure_has_data_nothing_contradicts_it(tmp_path):
    views = [exposure(tmp_path / "0.fits", (12, 12))]
    views.append(exposure(tmp_path / "1.fits", (0, 0), 1, lost=[PLACES[1]]))
    assert alone(views) == [True, False]
    assert alone(views[:1]) == [False, False]
    assert alone([]) == [False, False]


def test_an_exposure_without_errors_does_not_count(tmp_path):
    views = [exposure(tmp_path / "0.fits", (12, 12)), exposure(tmp_path / "1.fits", (0, 0), 1)]
    with fits.open(tmp_path / "1.fits", mode="update") as hdus:
        del hdus["ERR"]
    assert alone(views) == [False, False]


def test_bright_stars_that_pixels_see_differently_stay(tmp_path):
    peaks = [(100, 100), (115, 100), (100, 85), (100, 100)]
    views = [exposure(tmp_path / f"{k}.fits", peak, k) for k, peak in enumerate(peaks)]
    assert alone(views) == [False, False]


def test_the_catalogue_leaves_them_out(tmp_path):
    """Four exposures on the mosaic's own pixels, a hit in one of them."""
    places = [(*place, 12.0) for place in PLACES]
    mosaic = field(places, SIDE, seed=3)
    peaks = [(9, 0), (9, 36), (9, 0), (9, 0)]
    views = [exposure(tmp_path / f"{k}.fits", peak, k) for k, peak in enumerate(peaks)]
    columns, _ = step.find_peaks(mosaic, PSF, 1000)
    assert len(columns["label"]) == 2
    columns, _ = step.find_peaks(replace(mosaic, views=views), PSF, 1000)
    (x,), (y,) = columns["xcentroid"], columns["ycentroid"]
    assert np.hypot(x - PLACES[0, 0], y - PLACES[0, 1]) < 1


@pytest.mark.parametrize("seed", range(3))
def test_the_kernel_is_its_naive_twin(seed):
    rng = np.random.default_rng(seed)
    image = rng.normal(3, 1, (40, 50)).astype(np.float32)
    err = rng.uniform(0.5, 2, image.shape).astype(np.float32)
    image[rng.random(image.shape) < 0.02] = np.nan
    err[5, 5], err[6, 6], err[20, 22] = 0, np.inf, np.nan
    places = np.column_stack([rng.uniform(-2, 52, 60), rng.uniform(-2, 42, 60)])
    sigma, inner, outer = 0.9, 3.5, 7.2
    out = np.empty((60, 2))
    words = [plane.astype(">f4").view(np.uint32) for plane in (image, err)]
    for each in words:
        each.flags.writeable = False
    kernels.window_fluxes(*words, places, sigma, inner, outer, out)
    assert 0 < np.isnan(out[:, 0]).sum() < 30
    for place, found in zip(places, out, strict=True):
        if np.isfinite(found[0]):
            twin = naive.window_flux(image, err, *place, sigma, inner, outer)
            np.testing.assert_allclose(found, twin, rtol=1e-5, atol=1e-6)


def test_numbers_of_other_machines_are_read():
    values = np.array([1.5, -2.25e-20, np.inf, 0.0, 3e38], np.float32)
    words = values.astype(">f4").view(np.uint32)
    np.testing.assert_array_equal([kernels.native(word) for word in words], values)
