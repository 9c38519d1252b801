from itertools import pairwise

import numba
import numpy as np
import pytest
from astropy.io import fits
from drizzle.resample import Drizzle
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import naive
from snakewebb.kernels.drizzle import MARGIN, drizzle_square, weigh
from snakewebb.kernels.overlaps import drop_areas, quarters
from snakewebb.kernels.vectors import add_multiple

INNER = slice(MARGIN, -MARGIN)


def drizzle(u, v, weight, planes, shape, pixfrac=1.0, sky=0.0, repeats=1.0, top=0, left=0):
    """Return the kernel's sums over a window of the given shape."""
    sums = np.zeros((*np.add(shape, 2 * MARGIN), 2 * len(planes)))
    planes = tuple(np.asarray(plane, np.float32) for plane in planes)
    drizzle_square(
        u, v, pixfrac, np.asarray(weight, np.float32), planes, sky, repeats, top, left, sums
    )  # fmt: skip
    return sums[INNER, INNER]


def lattice(ny, nx, angle=0.0, scale=1.0, shear=0.0, shift=(0.0, 0.0), flip=False, bend=0.0):
    """Return corners of ny×nx pixels on an output grid: an affine map and some distortion."""
    y, x = np.mgrid[: ny + 1, : nx + 1] - 0.5
    x, y = x + bend * y**2, y + bend * x * y
    x, y = (-x if flip else x) + shear * y, y
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return c * x - s * y + shift[0], s * x + c * y + shift[1]


def centred(u, v, shape):
    """Move corners to the middle of a grid of the given shape."""
    return u - u.mean() + shape[1] / 2, v - v.mean() + shape[0] / 2


def scene(ny, nx, seed=1):
    """Return weights, some 0, an image with stars, and three variances."""
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0.5, 2, (ny, nx)) * (rng.random((ny, nx)) > 0.1)
    image = rng.normal(1, 0.1, (ny, nx)) + 500 * (rng.random((ny, nx)) > 0.98)
    return weight.astype("f4"), image.astype("f4"), *rng.random((3, ny, nx)).astype("f4")


@settings(deadline=None, max_examples=200)
@given(
    angle=st.floats(-7, 7)
    | st.sampled_from([0.0, 0.01, -0.1, np.pi / 2, 1.6, 3.1, np.pi / 4, 1e-9, -1e-13]),
    scale=st.floats(0.2, 4.0) | st.just(1.0),
    shear=st.floats(-0.8, 0.8) | st.just(0.0),
    shift=st.tuples(st.floats(-3, 3), st.floats(-3, 3)) | st.sampled_from([(0.0, 0.0), (0.5, 0.5)]),
    flip=st.booleans(),
    jitter=st.sampled_from([0.0, 1e-9, 1e-3, 0.15]),
    pixfrac=st.sampled_from([1.0, 0.6, 0.01]),
)
def test_square_agrees_with_clipped_polygons(angle, scale, shear, shift, flip, jitter, pixfrac):
    u, v = lattice(3, 4, angle, scale, shear, flip=flip)
    u, v = np.array([u, v]) + scale * np.random.default_rng(2).uniform(-jitter, jitter, (2, 4, 5))
    u, v = u - u.mean() + 4.0 + shift[0], v - v.mean() + 5.0 + shift[1]
    weight, image, *variances = scene(3, 4)
    shape = 9, 10
    found = drizzle(u, v, weight, (image, *variances), shape, pixfrac, repeats=3.0)
    wanted = naive.drizzle(u, v, pixfrac, weight, (image, *np.sqrt(variances)), shape)
    assert_allclose(found[..., :5], wanted, rtol=1e-6, atol=1e-8)
    rnoise, poisson, flat = variances
    noise = rnoise + poisson + 3.0 * flat
    shares = naive.shares(u, v, pixfrac, weight, shape)
    assert_allclose(found[..., 5], (shares**2 * noise).sum(axis=(2, 3)), rtol=1e-6, atol=1e-8)
    assert (found[wanted[..., 0] > 1e-8, 0] > 0).all()
    assert not found[wanted[..., 0] == 0].any()


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.7])
@pytest.mark.parametrize("pixfrac", [0.5, 1.0])
def test_weight_and_flux_are_conserved(scale, pixfrac):
    shape = int(110 * scale) + 20, int(170 * scale) + 20
    u, v = centred(*lattice(40, 150, 0.3, scale, bend=1e-4), shape)
    weight, image, *_ = scene(40, 150)
    sums = drizzle(u, v, weight, (image,), shape, pixfrac)
    assert_allclose(sums[..., 0].sum(), weight.sum(dtype=float), rtol=1e-12)
    assert_allclose(sums[..., 1].sum(), (image * weight.astype(float)).sum(), rtol=1e-12)


def test_weight_of_a_pixel_fades_with_the_part_of_it_on_the_grid():
    u, v = lattice(1, 1)
    for shift in (0.0, 0.25, 0.75):
        sums = drizzle(u + shift, v, np.ones((1, 1)), (np.ones((1, 1)),), (1, 1))
        assert sums[0, 0, 0] == pytest.approx(1 - shift)


def test_constant_image_stays_constant():
    u, v = centred(*lattice(40, 150, 0.4, 0.8, bend=1e-4), (90, 150))
    weight, *_ = scene(40, 150)
    planes = [np.full(weight.shape, value) for value in (7.0, 9.0, 16.0, 0.0)]
    sums = drizzle(u, v, weight, planes, (90, 150))
    for k, value in enumerate((7.0, 3.0, 4.0, 0.0)):
        assert_allclose(sums[..., k + 1], value * sums[..., 0], rtol=1e-12)


def test_sky_is_subtracted():
    u, v = centred(*lattice(5, 6, 0.4), (12, 12))
    weight, image, *_ = scene(5, 6)
    with_sky = drizzle(u, v, weight, (image,), (12, 12), sky=0.75)
    without = drizzle(u, v, weight, (image - np.float32(0.75),), (12, 12))
    assert_allclose(with_sky, without, atol=1e-6)


def test_an_unused_pixel_leaves_no_trace():
    u, v = centred(*lattice(6, 7, 0.4), (12, 12))
    weight, *planes = scene(6, 7)
    expected = drizzle(u, v, weight, planes, (12, 12))
    for plane in planes:
        plane[weight == 0] = np.nan
    assert_array_equal(drizzle(u, v, weight, planes, (12, 12)), expected)


def test_pixels_without_a_place_are_left_out():
    u, v = centred(*lattice(6, 300, 0.4), (140, 300))
    weight, image, *_ = scene(6, 300)
    v[3, 4] = np.nan
    u[5, 200] = np.inf
    without = weight.copy()
    without[2:4, 3:5] = without[4:6, 199:201] = 0
    found = drizzle(u, v, weight, (image,), (140, 300))
    u[np.isinf(u)] = v[np.isnan(v)] = 0.0
    assert_array_equal(found, drizzle(u, v, without, (image,), (140, 300)))


@pytest.mark.parametrize(("angle", "scale", "pixfrac"), [(0.3, 1.0, 1.0), (2.0, 2.6, 0.7)])
def test_bands_make_no_difference(angle, scale, pixfrac):
    """The same bits whatever the window and the input rows that a call sees."""
    shape = 300, 330
    u, v = centred(*lattice(150, 140, angle, scale / 2, bend=1e-4), shape)
    weight, *planes = scene(150, 140)
    whole = drizzle(u, v, weight, planes, shape, pixfrac)
    assert np.count_nonzero(whole[..., 0]) > 5000
    for edges in ([0, 150, 300], [0, 1, 2, 77, 130, 131, 233, 300]):
        for start, stop in pairwise(edges):
            near = np.flatnonzero((v.min(axis=1) < stop + 3) & (v.max(axis=1) > start - 4))
            first, last = (near[0], min(near[-1], 150)) if near.size else (0, 1)
            rows = slice(first, last)
            band = drizzle(
                u[first : last + 1], v[first : last + 1], weight[rows],
                [plane[rows] for plane in planes], (stop - start, 200), pixfrac, top=start, left=60,
            )  # fmt: skip
            assert_array_equal(band, whole[start:stop, 60:260])


@pytest.mark.parametrize("angle", [0.01, np.pi / 2 - 0.01, np.pi - 0.01, -np.pi / 2 + 0.01])
@pytest.mark.parametrize("flip", [False, True])
def test_areas_of_hardly_turned_pixels_are_those_of_all(angle, flip):
    u, v = lattice(1, 100, angle, 0.995, shift=(500.3, 500.4), flip=flip, bend=1e-6)
    x = np.array([u[0, :-1], u[0, 1:], u[1, 1:], u[1, :-1]]) + 0.5
    y = np.array([v[0, :-1], v[0, 1:], v[1, 1:], v[1, :-1]]) + 0.5
    area, col, row, regular = np.empty((4, 100)), *np.empty((2, 100)), np.empty(100, bool)
    quarters(x, y, 100, area, col, row, regular)
    assert 0.9 < regular.mean() < 1
    columns, rows = np.empty((2, 100))
    whole = drop_areas(u[0], u[1], v[0], v[1], 1.0, 1.5, columns, rows).reshape(3, 3, 100)
    assert_array_equal(columns[regular], col[regular])
    assert_array_equal(rows[regular], row[regular])
    assert_allclose(area[:, regular], whole[:2, :2, regular].reshape(4, -1), atol=1e-12)
    assert_allclose(whole[2, :, regular], 0, atol=1e-13)
    assert_allclose(whole[:, 2, regular], 0, atol=1e-13)


@pytest.mark.parametrize("number", [1, 4])
def test_a_multiple_is_added_to_a_cell_at_once(number):
    cells, terms = np.random.default_rng(3).random((2, 5, 7, 2 * number))
    planes = (cells[0],) * number

    @numba.njit
    def compiled(cells, terms, planes):
        add_multiple(cells, 9, 0.3, terms, 2, planes)

    found, wanted = cells.copy(), cells.copy()
    compiled(found, terms[0].copy(), planes)
    add_multiple(wanted, 9, 0.3, terms[0], 2, planes)
    assert_allclose(found, wanted, rtol=1e-15)
    assert (found != cells).sum() == 2 * number


@pytest.mark.parametrize("missing", [[], ["rnoise", "dq"], ["err", "poisson", "flat"]])
def test_pixels_weigh_nothing_that_are_bad_in_any_plane(missing):
    rng = np.random.default_rng(4)
    names = "sci", "err", "dq", "rnoise", "poisson", "flat"
    planes = {name: rng.uniform(0.5, 2, (30, 40)).astype("f4") for name in names}
    planes["dq"] = rng.integers(0, 8, (30, 40)).astype("u4")
    for name in set(names) - {"dq"}:
        planes[name][rng.random((30, 40)) < 0.05] = rng.choice([np.nan, np.inf, -np.inf])
    planes["rnoise"][:3] = [[0.0], [-1.0], [1e-39]]
    for same in (0.0, 3.0):
        given = {n: p for n, p in planes.items() if n not in missing}
        found = np.empty((30, 40), np.float32)
        stand_in = {"dq": np.zeros((30, 40), "u4")}
        every = [given.get(name, stand_in.get(name, planes["sci"])) for name in names]
        weigh(*every, np.uint32(5), np.float32(same), found)
        with np.errstate(divide="ignore", over="ignore"):
            wanted = np.full((30, 40), same, "f4") if same else np.float32(1) / every[3]
        bad = (every[2] & 5 != 0) | ~((wanted > 0) & (wanted < np.inf))
        bad |= ~np.isfinite([plane for k, plane in enumerate(every) if k != 2]).all(axis=0)
        assert_array_equal(found, np.where(bad, 0, wanted))
        assert (found > 0).mean() > 0.05


def means(c):
    """Return the means of each four neighbours."""
    return (c[1:, 1:] + c[:-1, 1:] + c[1:, :-1] + c[:-1, :-1]) / 4


def library(u, v, weight, image, shape, pixfrac=1.0):
    """Return what the drizzle library makes of corners: their means are its pixel map."""
    pixmap = np.dstack((means(u), means(v)))
    result = Drizzle(kernel="square", fillval=np.nan, out_shape=shape)
    result.add_image(image, exptime=1.0, pixmap=pixmap, weight_map=weight, pixfrac=pixfrac)
    return result


@pytest.mark.parametrize("pixfrac", [1.0, 0.6])
@pytest.mark.parametrize(
    ("angle", "scale", "flip"),
    [(0.02, 1.0, True), (0.8, 1.0, False), (-2.0, 0.5, False), (1.5, 2.5, True)],
)
def test_square_agrees_with_the_drizzle_library(angle, scale, flip, pixfrac):
    shape = int(120 * scale) + 60, int(120 * scale) + 60
    u, v = centred(*lattice(60, 90, angle, scale, flip=flip, bend=1e-6), shape)
    weight, image, *_ = scene(60, 90)
    sums = drizzle(u, v, weight, (image,), shape, pixfrac)
    theirs = library(u, v, weight, image, shape, pixfrac)
    hit = sums[..., 0] > 0
    assert_allclose(sums[..., 0], theirs.out_wht, rtol=1e-5, atol=2e-5)
    # Where a star's faint edge meets little else, 1e-5 is that of the star.
    solid = sums[..., 0] > 1e-2
    assert_allclose(sums[solid, 1] / sums[solid, 0], theirs.out_img[solid], rtol=1e-5, atol=5e-3)
    assert_array_equal(hit, theirs.out_ctx[0] != 0)


def test_square_agrees_with_drizzlepac(real_data):
    folder = real_data / "drizzle_truth"
    image = fits.getdata(folder / "test_drizzlepac_flt.fits", "SCI")
    weight = fits.getdata(folder / "test_drizzlepac_flt.fits", "DQ") == 0
    pixmap = fits.getdata(folder / "test_drizzlepac_pixmap.fits").astype(float)
    wanted = fits.getdata(folder / "reference_drizzlepac_square_drz_sci.fits")
    u, v = (means(np.pad(c, 1, "reflect", reflect_type="odd")) for c in np.moveaxis(pixmap, 2, 0))
    sums = drizzle(u, v, weight, (image,), wanted.shape)
    assert_allclose(sums[..., 1] / sums[..., 0], wanted, rtol=2e-5)
