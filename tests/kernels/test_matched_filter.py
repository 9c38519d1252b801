"""Kernels of the matched filter are those of their naive twins."""

import numpy as np
import pytest

import naive
from snakewebb.kernels import groups, surface, wings
from snakewebb.kernels import matched_filter as kernels
from snakewebb.kernels.centroids import windowed_centroids
from snakewebb.sources.surface import _places


@pytest.fixture(params=range(3))
def rng(request):
    return np.random.default_rng(request.param)


def images(rng, shape=(23, 31)):
    image = rng.standard_normal(shape).astype(np.float32)
    err = rng.uniform(0.5, 2, shape).astype(np.float32)
    weight = rng.uniform(0, 2, shape).astype(np.float32)
    weight[rng.random(shape) < 0.3] = 0
    return image, err, weight


def places_in(rng, shape, number):
    every = rng.permutation(shape[0] * shape[1])[:number]
    return np.column_stack(np.divmod(every, shape[1]))


def test_describe(rng):
    image, err, weight = images(rng)
    weight[:7, :7] = 0
    kernel = np.array([0.1, 0.2, 0.4, 0.2, 0.1])
    places = np.vstack([[[0, 0], [3, 3], [22, 30]], places_in(rng, image.shape, 30)])
    out = np.empty((len(places), 4))
    kernels.describe(image, err, weight, kernel, places, out)
    expected = [naive.describe(image, err, weight, kernel, place) for place in places]
    np.testing.assert_allclose(out, expected, rtol=1e-6)


def test_heights(rng):
    image, narrow, _ = images(rng)
    image = np.abs(image) + np.float32(0.1)
    places = np.empty((300, 2), int)
    places = places[: kernels.peaks(image, np.float32(0), 0, 23, places)]
    gaps = rng.random(narrow.shape) < 0.3
    gaps[*places.T] = False
    narrow[gaps] = np.nan
    out = np.empty((len(places), 2))
    kernels.heights(image, narrow, places, out)
    expected = [naive.heights(image, narrow, *place) for place in places]
    np.testing.assert_allclose(out, expected, rtol=1e-5)


def test_around(rng):
    image, _, weight = images(rng)
    image[weight == 0] = np.nan
    places = places_in(rng, image.shape, 20)
    out = np.empty(20)
    groups.around(image, places, 2.5, 6.3, out)
    np.testing.assert_allclose(out, [naive.around(image, *p, 2.5, 6.3) for p in places], rtol=1e-6)


def test_separate(rng):
    image = np.abs(images(rng)[0])
    places = places_in(rng, image.shape, 25)
    places = places[np.argsort(-image[tuple(places.T)], kind="stable")]
    depth = rng.uniform(0, 1, 25)
    kept = np.empty(25, bool)
    group = np.repeat([0, 3, 4], [15, 7, 3])
    groups.separate(image, places, group, depth, 0.3, kept)
    for g in (0, 3, 4):
        own = group == g
        assert list(kept[own]) == naive.separate(image, places[own], depth[own], 0.3)
    assert 0 < kept.sum() < 25


def test_share_out(rng):
    """Of a smooth image: else of neighbours of two peaks either may be the one."""
    y, x = np.indices((23, 31))
    places = np.array([[5, 5], [17, 8], [4, 22], [15, 20], [10, 28]])
    image = sum(rng.uniform(1, 2) * np.exp(-np.hypot(x - j, y - i) / 3) for i, j in places).astype(
        np.float32
    )
    member = image > 0.1
    member[9, 6:12] = False
    out = np.empty(image.shape, np.int32)
    groups.share_out(image, member, places, out)
    expected = naive.share_out(image, member, places)
    np.testing.assert_array_equal(out > 0, expected > 0)
    assert np.mean(out == expected) > 0.97


def test_spline(rng):
    coefficients = rng.standard_normal((7, 8))
    (below_y, weights_y), (below_x, weights_x) = _places(10, 30), _places(8, 32)
    out = np.empty((30, 32), np.float32)
    repeated = weights_x[4:12].T.copy()  # from the middle of a mesh to that of the next
    arguments = coefficients, below_y, weights_y, below_x, repeated, 4, -0.5, 0.6
    surface.spline(*arguments, out)
    image = rng.standard_normal(out.shape).astype(np.float32)
    part = image.copy()
    surface.divide(*arguments, part)
    np.testing.assert_allclose(part, image / out, rtol=1e-6)
    weight = rng.uniform(0, 2, out.shape).astype(np.float32)
    weight[::3, ::5], weight[1, 2], image[5, 5], image[6, 7] = 0, np.nan, np.nan, np.inf
    less, kept = image.copy(), weight.copy()
    surface.subtract(*arguments, less, kept)
    with np.errstate(invalid="ignore"):
        good = np.isfinite(image) & (weight > 0)
    np.testing.assert_array_equal(less, np.where(good, image - out, 0))
    np.testing.assert_array_equal(kept, np.where(good, weight, 0))
    for i, j in places_in(rng, out.shape, 40):
        expected = naive.spline_at(
            coefficients, below_y[i], weights_y[i], below_x[j], weights_x[j], -0.5, 0.6
        )
        assert out[i, j] == pytest.approx(expected, rel=1e-5)


def test_position_variances(rng):
    y, x = np.indices((17, 18))
    image = np.exp(-(((x - 8.2) / 1.6) ** 2 + ((y - 7.7) / 2.0) ** 2) / 2)
    image += 0.2 * np.exp(-((x - 10) ** 2 + (y - 9) ** 2) / 2)
    err = rng.uniform(0.01, 0.03, image.shape)
    correlation = np.array([[0.05, 0.2, 0.1], [0.3, 1.0, 0.3], [0.1, 0.2, 0.05]], np.float32)
    place = np.array([8.4]), np.array([7.9])
    windowed_centroids(image.astype(np.float32), 1.5, *place)
    out = np.empty((1, 3))
    noise = correlation[None, None], 1 << 30, 0, 0
    planes = image.astype(np.float32), err.astype(np.float32)
    groups.position_variances(*planes, 1.5, *place, *noise, out)
    expected = naive.position_variances(image, err, 1.5, place[0][0], place[1][0], correlation)
    np.testing.assert_allclose(out[0], expected, rtol=0.03, atol=1e-8)


@pytest.mark.parametrize("symmetric", [True, False])
def test_in_wings(rng, symmetric):
    envelope = np.append(np.exp(-np.arange(4.0)), 0.02 * np.arange(1, 30.0) ** -1.5)
    x, y = rng.uniform(300, 390, (2, 60))
    amplitude = np.sort(10 ** rng.uniform(0, 4, 60))[::-1].copy()
    counterparts = np.column_stack([x, y, amplitude])[np.argsort(y)]
    kept, near = np.empty((2, 60), bool)
    rows, seen = np.argsort(y, kind="stable"), np.full((80, 80), symmetric)
    wide = rng.random(60) < 0.3
    peaks = x, y, amplitude, np.full(60, 1e-9), wide, rows, counterparts, seen, 8
    wings.in_wings(*peaks, envelope, 2.0, kept, near)
    farther = wings.CERTAIN_SPIKE if symmetric else wings.CERTAIN_RING
    constants = wings.CORE, wings.CERTAIN_RING, farther, wings.POSSIBLE, wings.LARGEST_SHARE
    constants += wings.COUNTERPART, wings.ALONG, wings.FALL
    peaks = np.column_stack([x, y, amplitude, wide])
    expected, expected_near = naive.in_wings(peaks, counterparts, envelope, 2.0, constants)
    assert list(kept) == expected
    assert list(near) == expected_near
    assert 2 < kept.sum() < 60
