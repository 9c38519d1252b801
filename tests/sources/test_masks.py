import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.ndimage import maximum_filter

from snakewebb.sources.masks import GROWTH, grown, source_mask

SHAPE = (192, 256)


def noise(seed=0):
    return np.random.default_rng(seed).normal(5.0, 0.1, SHAPE).astype(np.float32)


def add(image, x, y, flux, sigma=2.0):
    gy, gx = np.indices(SHAPE)
    image += (flux * np.exp(-((gx - x) ** 2 + (gy - y) ** 2) / 2 / sigma**2)).astype(np.float32)


@pytest.mark.parametrize("by", [0, 1, 2, 3, 4, 5, 9])
def test_a_mask_grows_along_both_axes(by):
    mask = np.random.default_rng(by).random((20, 31)) < 0.02
    assert_array_equal(grown(mask, by), maximum_filter(mask, 2 * by + 1, mode="constant"))


def test_sources_are_masked_and_around_them():
    image, clean = noise(), noise()
    gradient = np.linspace(0, 0.1, SHAPE[1], dtype=np.float32)  # a sky that is not flat
    image += gradient
    for x, y, flux in ((40, 50, 50.0), (180, 120, 0.5)):
        add(image, x, y, flux)
    mask = source_mask(image, np.zeros(SHAPE, bool))
    assert mask[50, 40]
    assert mask[120, 180]
    left = image - clean - gradient
    assert left[~mask].max() < 0.1  # less than the noise of a pixel
    assert mask.mean() < 0.05


def test_noise_is_no_source():
    assert source_mask(noise(), np.zeros(SHAPE, bool)).mean() < 0.01


def test_bad_pixels_are_no_sources():
    image = noise()
    bad = np.zeros(SHAPE, bool)
    bad[20:30, 20:30] = True
    image[bad] = 1e6
    image[60, 60] = np.nan
    image[61, 60] = np.inf
    assert source_mask(image, bad).mean() < 0.01


def test_nothing_is_masked_where_nothing_is_known():
    assert not source_mask(noise(), np.ones(SHAPE, bool)).any()


def test_one_pixel_is_no_source():
    image = noise()
    image[100, 100] = 6.0
    mask = source_mask(image, np.zeros(SHAPE, bool))
    assert not mask[100 - GROWTH : 101 + GROWTH, 100 - GROWTH : 101 + GROWTH].any()
