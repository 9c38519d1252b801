"""Colours of pictures."""

import numpy as np

from snakewebb.report.rgb_picture import NO_DATA, colours


def field(seed, light, gap=False):
    """Noise and a few bright squares of different light."""
    image = np.random.default_rng(seed).normal(5.0, 0.01, (60, 80)).astype(np.float32)
    for k, value in enumerate(light):
        image[10:20, 10 + 15 * k : 20 + 15 * k] += value
    image[:5] = np.nan
    if gap:
        image[40:] = np.nan
    return image


def test_what_is_brighter_in_red_is_red():
    blue, green, red = field(1, (4, 1, 2, 40)), field(2, (2, 2, 2, 40)), field(3, (1, 4, 2, 40))
    picture = colours([blue, green, red])
    assert picture.shape == (60, 80, 3)
    assert picture.min() >= 0
    assert picture.max() <= 1
    first, second, third, brightest = (picture[15, 15 + 15 * k] for k in range(4))
    assert first[2] > first[1] > first[0]
    assert second[0] > second[1] > second[2]
    assert np.ptp(third) < 0.05
    assert np.ptp(brightest) < 0.05
    assert brightest.mean() > third.mean()
    assert np.median(picture[30]) < 0.2
    assert np.all(picture[:5] == np.float32(NO_DATA))


def test_hue_does_not_depend_on_brightness():
    """That a bright star keeps its colour is what Lupton's stretch is for."""
    blue, red = field(1, (1, 10, 100, 3)), field(3, (3, 30, 300, 1))
    picture = colours([blue, (blue + red) / 2, red])
    ratios = [picture[15, 15 + 15 * k, 2] / picture[15, 15 + 15 * k, 0] for k in range(3)]
    assert np.ptp(ratios) < 0.1 * ratios[0]


def test_a_filter_without_data_leaves_grey():
    images = field(1, (1, 2), gap=True), field(2, (1, 2)), field(3, (1, 2))
    assert np.ptp(colours(images)[50:].mean(axis=(0, 1))) < 0.05
    nothing = np.full((4, 5), np.nan, np.float32)
    assert np.all(colours([nothing, nothing, nothing]) == np.float32(NO_DATA))


def test_two_filters_and_one():
    blue, red = field(1, (4, 1)), field(3, (1, 4))
    picture = colours([blue, red])
    assert picture[15, 15, 2] > picture[15, 15, 1] > picture[15, 15, 0]
    grey = colours([blue])
    assert np.ptp(grey, axis=-1).max() < 1e-6
