from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import naive
from snakewebb.io.noise_correlation import NoiseCorrelation
from snakewebb.jobs import i2d
from snakewebb.kernels.noise_correlation import add_pairs, add_totals
from snakewebb.kernels.photometry import overlap
from snakewebb.mosaicking import noise_correlation as module
from snakewebb.mosaicking.drizzle import usable
from snakewebb.mosaicking.noise_correlation import (
    Sample,
    cell_side,
    correlation_rows,
    finish,
    is_computed,
    reach_of_drops,
    sample_noise,
)
from snakewebb.mosaicking.resample import DrizzleOptions, Input, drizzle_band
from snakewebb.sources.covariance import Covariance
from snakewebb.wcs.geometry import Geometry
from snakewebb.wcs.grid import Grid, output_grid
from snakewebb.wcs.layout import lay_out
from snakewebb.wcs.pixel_map import PixelMap
from snakewebb.wcs.sphere import from_plane

SCALE = 0.06
DITHERS = [(0.0, (0.0, 0.0)), (0.3, (1.3, -2.7)), (1.7, (-4.2, 3.1)), (0.01, (3.5, 3.5))]


def geometry(angle=0.0, shift=(0.0, 0.0), size=12, distortion=1e-4):
    """Return where a slightly distorted exposure lies."""
    nodes = np.linspace(-0.5, size - 0.5, 9)
    a, b = np.meshgrid(nodes - size / 2, nodes - size / 2)
    a, b = a + distortion * a * b, b + distortion * a**2
    c, s = np.cos(angle), np.sin(angle)
    xi, eta = -(c * a - s * b + shift[0]) * SCALE, (s * a + c * b + shift[1]) * SCALE
    sky = from_plane(xi, eta, 53.0, -27.0)
    wcsinfo = 80.0, -490.0, 0.0, 53.0, -27.0, 0.0, -1
    return Geometry((size, size), nodes, nodes, *sky, SCALE / 3600, *wcsinfo)


def on_grid(poses, size, seed=1, scales=(1.0, 1.0, 2.0, 3.0), bad=0.0, **options):
    """Return a grid, and exposures of white noise on it whose variance varies from pixel to pixel.

    Each call with another seed has other noise, nothing else.
    """
    geometries = {str(k): geometry(*pose, size, 1e-5) for k, pose in enumerate(poses)}
    grid = output_grid(geometries, **options)
    fixed, rng, inputs = np.random.default_rng(0), np.random.default_rng(seed), []
    for (name, place), scale in zip(geometries.items(), scales, strict=False):
        rnoise = (scale * np.exp(0.1 * fixed.standard_normal((size, size)))) ** 2
        poisson = np.full_like(rnoise, 0.5 * scale**2)
        planes = {"VAR_RNOISE": rnoise, "VAR_POISSON": poisson, "VAR_FLAT": 0.1 * rnoise}
        noise = np.sqrt(sum(planes.values())) * rng.standard_normal((size, size))
        planes = {key: plane.astype("f4") for key, plane in planes.items()}
        dq = (fixed.random((size, size)) < bad).astype("u4")
        source = {"SCI": noise.astype("f4"), "DQ": dq, **planes}
        inputs.append(Input(name, source, PixelMap(place, grid)))
    return grid, inputs


def correlation_of(grid, inputs, how):
    samples = {each.name: sample_noise(each, how) for each in inputs}
    rows = range(-(-grid.shape[0] // cell_side(grid)))
    return finish(correlation_rows(inputs, grid, how, samples, rows), grid)


@settings(deadline=None, max_examples=12)
@given(
    angle=st.floats(-7, 7) | st.sampled_from([0.0, np.pi / 2, np.pi / 4]),
    shift=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
    ratio=st.sampled_from([0.6, 1.0, 1.4]),
    pixfrac=st.sampled_from([1.0, 0.6]),
    scales=st.tuples(st.floats(0.5, 3), st.floats(0.5, 3)),
    repeats=st.sampled_from([1.0, 2.0]),
    corner=st.tuples(st.integers(-3, 12), st.integers(-3, 12)),
)
def test_correlations_are_those_of_the_drizzle_coefficients(
    angle, shift, ratio, pixfrac, scales, repeats, corner
):
    geometries = {"a": geometry(), "b": geometry(angle, shift)}
    grid = output_grid(geometries, pixel_scale_ratio=ratio)
    reach = reach_of_drops(grid, DrizzleOptions(pixfrac=pixfrac))
    side = 4 + 2 * reach
    corners, rng = np.array([corner]), np.random.default_rng(7)
    totals = np.zeros((1, 9, side, side))
    placed, shares, weights, variances = [], [], [], []
    for place, scale in zip(geometries.values(), scales, strict=True):
        pixel_map = PixelMap(place, grid)
        ends = np.array([(cut.start, cut.stop) for cut in usable(place)]).ravel()
        placed.append((*pixel_map.spline(), pixel_map.inverse(), ends, pixfrac))
        planes = scale * rng.uniform(0.5, 1.5, (3, 5, 6)).astype("f4")  # they repeat
        sample = Sample(np.array([1 / planes[0], *planes]), 0.0)
        add_totals(*placed[-1], sample.planes, repeats, 0.0, corners, totals)
        here = [np.tile(plane.astype(float), (3, 2))[:12, :12] for plane in planes]
        weights.append(1 / here[0])
        variances.append(here)
        edges = np.arange(place.shape[0] + 1) - 0.5
        u, v = pixel_map.lattice(edges, edges)
        square = u - corner[0], v - corner[1], pixfrac
        shares.append(naive.shares(*square, weights[-1], (side, side)))
    assert_allclose(totals[0, 0], sum(each.sum(axis=(2, 3)) for each in shares), atol=1e-6)
    err = naive.mosaic_error(shares, variances, ratio)
    # Slivers of 1e-13 of a pixel have correlations, too, but those are rounding.
    assume(np.all((totals[:, 0] == 0) | (totals[:, 0] > 1e-6)))
    parts = totals[:, 2:8:2] / (ratio * np.maximum(totals[:, 3:8:2], 1e-30)) ** 2
    assert_allclose(np.sqrt(parts.sum(axis=1))[0], np.nan_to_num(err), rtol=1e-5)
    scale = np.where(err > 0, 1 / np.maximum(totals[:, 0] * err, 1e-30), 0.0)
    pairs = np.zeros((1, reach + 1, 2 * reach + 1))
    sigmas = []
    for where, (r, p, f), weight in zip(placed, variances, weights, strict=True):
        sigmas.append(np.sqrt(r + p + repeats * f))
        add_pairs(*where, (weight * sigmas[-1])[:5, :6].copy(), corners, scale, pairs)
    wanted = naive.noise_correlation(shares, weights, sigmas, err, reach)
    assert_allclose(pairs[0, :, reach:], np.nan_to_num(wanted)[reach:, reach:], atol=1e-5)
    assert_allclose(pairs[0, 1:, :reach], np.nan_to_num(wanted)[reach + 1 :, :reach], atol=1e-5)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 1000), step=st.sampled_from([2, 3, 64]))
def test_the_error_of_a_sum_is_that_of_all_pairs(seed, step):
    rng = np.random.default_rng(seed)
    weights = rng.normal(0, 1, (7, 9)) * (rng.random((7, 9)) < 0.7)
    weights[:2] = 0
    err = rng.uniform(0.5, 2, (7, 9)).astype("f4")
    cells = rng.uniform(-0.3, 0.3, (-(-7 // step), -(-9 // step), 3, 3))
    cells = (cells + cells[..., ::-1, ::-1]) / 2
    cells[..., 1, 1] = rng.uniform(0.4, 1, cells.shape[:2])
    correlation = NoiseCorrelation(cells.astype("f4"), step)
    total = 0.0
    for y, x, j, i in np.ndindex(7, 9, 7, 9):
        if abs(j - y) < 2 and abs(i - x) < 2:
            first = min((y, x), (j, i))  # its cell counts for the pair
            kernel = correlation.kernels[first[0] // step, first[1] // step]
            pair = weights[y, x] * weights[j, i] * err[y, x] * err[j, i]
            total += pair * kernel[1 + j - y, 1 + i - x]
    assume(total > 0.1)
    found = Covariance(err, correlation).error_of_sum(weights)
    assert found == pytest.approx(np.sqrt(total), rel=1e-5)


def test_a_sum_without_weights_or_with_unknown_noise():
    err = np.ones((5, 5), "f4")
    err[2, 2] = np.nan
    known = Covariance(err, NoiseCorrelation(np.ones((1, 1, 1, 1), "f4"), 64))
    weights = np.zeros((5, 5))
    assert known.error_of_sum(weights) == 0
    weights[0, 0] = -2
    assert known.error_of_sum(weights) == 2
    weights[2, 2] = 1
    assert np.isnan(known.error_of_sum(weights))


def test_a_variance_below_0_is_none():
    """Where cells differ, or a kernel is not of noise."""
    alike = Covariance(np.ones((1, 3), "f4"), NoiseCorrelation(np.ones((1, 1, 3, 3), "f4"), 64))
    assert alike.error_of_sum(np.array([[1.0, -2.0, 1.0]])) == 0


@pytest.mark.parametrize(
    ("poses", "options", "ratio", "bad"),
    [
        (DITHERS, {}, 1.0, 0.03),
        (DITHERS, {"pixfrac": 0.6, "weight_type": None}, 0.6, 0.0),
        (DITHERS[:1], {}, 0.5, 0.0),
        (DITHERS[1:2], {"pixfrac": 0.8}, 2.0, 0.0),
    ],
)
def test_errors_are_the_scatter_of_noise(poses, options, ratio, bad):
    """White noise drizzled again and again: its scatter over the error, of pixels and apertures."""
    how = DrizzleOptions(**options)
    grid, inputs = on_grid(poses, 100, bad=bad, pixel_scale_ratio=ratio)
    correlation = correlation_of(grid, inputs, how)
    ny, nx = grid.shape
    rng = np.random.default_rng(2)
    radii = np.repeat([1.0, 3.0], 30)
    x, y = np.array([[nx], [ny]]) * rng.uniform(0.3, 0.7, (2, radii.size))
    rows, columns = np.indices(grid.shape)
    circles = [
        np.vectorize(overlap)(columns - a, rows - b, r) for a, b, r in zip(x, y, radii, strict=True)
    ]
    inner = slice(ny // 4, -ny // 4), slice(nx // 4, -nx // 4)
    pixels, pulls = [], []
    for seed in range(60):
        grid, inputs = on_grid(poses, 100, seed, bad=bad, pixel_scale_ratio=ratio)
        band = drizzle_band(inputs, grid, slice(None), how)
        if seed == 0:
            variances = band.var_rnoise, band.var_poisson, band.var_flat
            covariance = Covariance(np.sqrt(np.nansum(variances, axis=0)), correlation)
            errors = [covariance.error_of_sum(circle) for circle in circles]
        pixels.append(np.mean(band.sci[inner] ** 2 / band.var_pixel[inner]))
        image = np.nan_to_num(band.sci)
        pulls.append([(image * circle).sum() for circle in circles] / np.array(errors))
    assert np.sqrt(np.mean(pixels)) == pytest.approx(1, abs=0.012)
    for radius in (1.0, 3.0):
        own = np.array(pulls)[:, radii == radius]
        assert np.sqrt(np.mean(own**2)) == pytest.approx(1, abs=0.06)


def test_errors_of_apertures_do_not_follow_the_phases_of_drops():
    """Which VAR_PIXEL does, in waves of 50 pixels here; the noise of apertures is even."""
    grid, inputs = on_grid([(0.0, (0.0, 0.0)), (0.0, (3.3, 2.4))], 200, pixel_scale_ratio=1.02)
    for each in inputs:
        for name in ("VAR_RNOISE", "VAR_POISSON", "VAR_FLAT"):
            each.source[name][:] = 1.0
    band = drizzle_band(inputs, grid, slice(None), DrizzleOptions())
    err = np.sqrt(band.var_rnoise + band.var_poisson + band.var_flat)
    covariance = Covariance(err, correlation_of(grid, inputs, DrizzleOptions()))
    rows, columns = np.indices(grid.shape)
    places = [(x, y) for x in range(40, 160, 7) for y in range(40, 160, 7)]
    errors = [covariance.error_of_sum(np.hypot(columns - x, rows - y) < 3.0) for x, y in places]
    pixels = np.sqrt([band.var_pixel[y, x] for x, y in places])
    assert np.std(pixels) > 0.06 * np.mean(pixels)
    assert np.std(errors) < 0.02 * np.mean(errors)


def test_rows_of_cells_make_no_difference():
    grid, inputs = on_grid(DITHERS, 200)
    how = DrizzleOptions()
    samples = {each.name: sample_noise(each, how) for each in inputs}
    number = -(-grid.shape[0] // cell_side(grid))
    assert number > 2
    whole = correlation_rows(inputs, grid, how, samples, range(number))
    for row in range(number):
        part = correlation_rows([None, *inputs], grid, how, samples, range(row, row + 1))
        assert_array_equal(part[0], whole[row])


@pytest.mark.parametrize("cells", [1, 2, 100])
def test_the_job_takes_the_exposures_that_fall_on_cells(cells, monkeypatch):
    """One above the other, and turned: its kernels are others."""
    monkeypatch.setattr(i2d, "CELLS", cells)
    poses = [(0.0, (0.0, 0.0)), (0.4, (0.0, 250.0)), (0.0, (0.0, 500.0))]
    grid, inputs = on_grid(poses, 150)
    how = DrizzleOptions()
    geometries = {each.name: each.pixel_map.geometry for each in inputs}
    layout = lay_out(geometries, dict.fromkeys(geometries, ""), dict.fromkeys(geometries), grid)

    def known(name):
        header = SimpleNamespace(measurement_time=1.0, exposure_time=1.0)
        return SimpleNamespace(name=name, geometry=geometries[name], header=header)

    sources = [each.source for each in inputs]
    found = i2d._noise_correlation(layout, sources, known, how, 1)
    assert_array_equal(found.kernels, correlation_of(grid, inputs, how).kernels)


def test_large_patches_one_by_one(monkeypatch):
    """Where a row of patches is too much for the memory the numbers are the same."""
    grid, inputs = on_grid(DITHERS, 60, pixel_scale_ratio=0.2)
    whole = correlation_of(grid, inputs, DrizzleOptions())
    assert 4 < whole.kernels.shape[-1] // 2 <= reach_of_drops(grid, DrizzleOptions())
    monkeypatch.setattr(module, "MEMORY", 1)
    assert_array_equal(correlation_of(grid, inputs, DrizzleOptions()).kernels, whole.kernels)


def test_exposures_that_weigh_nothing_add_nothing():
    grid, inputs = on_grid(DITHERS, 100)
    how = DrizzleOptions()
    alone = correlation_of(grid, inputs[:1], how)
    blind = {**inputs[1].source, "DQ": np.ones((100, 100), "u4")}
    dead = replace(inputs[1], source=blind)
    assert sample_noise(dead, how) is None
    assert_array_equal(correlation_of(grid, [inputs[0], dead], how).kernels, alone.kernels)
    assert finish(np.full((2, 3, 5, 5), np.nan), grid) is None


def test_a_sample_is_of_good_pixels():
    _, (exposure,) = on_grid(DITHERS[:1], 200)
    source, how = exposure.source, DrizzleOptions()
    names = "VAR_RNOISE", "VAR_POISSON", "VAR_FLAT"
    planes = np.array([1 / source["VAR_RNOISE"], *(source[name] for name in names)])
    source["DQ"][70:75, 64:128] = 1  # less good ones than the one on the left, more than the other
    source["DQ"][68:90, 128:192] = 1
    found = sample_noise(exposure, how)
    planes[0, 70:75, 64:128] = 0
    assert_array_equal(found.planes, planes[:, 68:132, 64:128])
    assert found.time == 0
    assert_allclose(
        found.noise(3)[0, 0], planes[0, 68, 64] * np.sqrt(planes[1:, 68, 64] @ [1, 1, 3])
    )
    # What is below 0 or infinite is not known, and nothing.
    odd = Sample(np.array([2, 4, -1, np.inf], "f4").reshape(4, 1, 1), 0.0)
    assert odd.noise(5) == 4
    # The middle is bad: the rest tells.
    source["DQ"][50:150] = 1
    del source["VAR_FLAT"]
    found = sample_noise(replace(exposure, exposure_time=9.0), replace(how, weight_type="exptime"))
    assert_array_equal(found.planes[0], np.where(np.arange(64) < 50, 9, 0)[:, None] * np.ones(64))
    assert np.isnan(found.planes[3]).all()
    assert found.time == 9
    sigma = np.sqrt(source["VAR_RNOISE"] + source["VAR_POISSON"])
    assert_allclose(found.noise(2)[:50, 0], 9 * sigma[:50, 0])


@pytest.mark.parametrize("ratio", [0.3, 0.5, 1.0])
def test_no_weights_have_a_variance_below_0(ratio):
    """Checkerboards, stripes and waves, of which next to nothing may be left."""
    grid, inputs = on_grid(DITHERS, 100, pixel_scale_ratio=ratio)
    kernels = correlation_of(grid, inputs, DrizzleOptions()).kernels
    reach = kernels.shape[-1] // 2
    padded = np.pad(kernels.astype(float), 2 * ((0, 0),) + 2 * ((12, 12),))
    spectrum = np.fft.fft2(np.fft.ifftshift(padded, axes=(2, 3)), axes=(2, 3)).real
    middle = kernels[..., reach, reach]
    assert (spectrum.min(axis=(2, 3)) > -1e-4 * middle).all()
    noise = Covariance(np.ones(grid.shape, "f4"), NoiseCorrelation(kernels, 64))
    y, x = np.indices(grid.shape)
    for board in (x + y, x, y, x // 2 + y // 2):
        error = noise.error_of_sum((-1.0) ** board)
        assert 0 <= error < 0.7 * noise.error_of_sum(np.ones(grid.shape))


def test_cells_without_an_exposure_have_what_is_next_to_them():
    cells = np.full((3, 4, 5, 5), np.nan)
    cells[1, 1] = cells[1, 3] = 0
    cells[1, 1, 2, 2] = cells[1, 3, 2, 2] = 1
    cells[1, 3, 2, 3] = cells[1, 3, 2, 1] = 0.25
    cells[1, 3, 1:4:2, 2] = 0.125
    found = finish(cells, Grid((0, 0), (0, 0), 1e-5, ((1, 0), (0, 1)), (150, 200)))
    assert found.kernels.shape == (3, 4, 3, 3)  # no correlation two pixels apart
    assert_array_equal(found.kernels[:, :2, 1, 2], 0)
    assert_array_equal(found.kernels[:, 3, 1, 2], 0.25)
    assert_array_equal(found.kernels[:, 3, 0, 1], 0.125)
    assert_array_equal(found.kernels[..., 1, 1], 1)


def test_kernels_without_a_correlation(caplog):
    grid, _ = on_grid(DITHERS[:1], 100)
    assert is_computed(grid, DrizzleOptions())
    assert not is_computed(grid, DrizzleOptions(kernel="gaussian"))
    assert not is_computed(grid, DrizzleOptions(pixfrac=0.0))
    assert not caplog.messages
    assert not is_computed(replace(grid, pixel_scale_ratio=0.02), DrizzleOptions())
    assert "drops reach too far" in caplog.text
