import json

import numpy as np
import pytest
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from geometries import make_geometry
from snakewebb.errors import InputError
from snakewebb.kernels.pixel_map import bicubic_lattice
from snakewebb.wcs.geometry import Correction
from snakewebb.wcs.grid import Grid, mean_pixel_side, output_grid
from snakewebb.wcs.layout import Layout, lay_out
from snakewebb.wcs.pixel_map import PixelMap


def header_of(grid):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval = grid.crval
    wcs.wcs.crpix = np.add(grid.crpix, 1)
    wcs.wcs.cdelt = grid.cdelt, grid.cdelt
    wcs.wcs.pc = grid.pc
    return wcs


@settings(deadline=None, max_examples=20)
@given(st.floats(0, 359), st.floats(-80, 80), st.floats(0, 360))
def test_grid_is_a_fits_tan_wcs(ra, dec, rotation):
    grid = output_grid({"a": make_geometry(ra, dec)}, rotation=rotation)
    x, y = np.array([3.0, 200.0, 17.5]), np.array([250.0, 1.0, 33.0])
    np.testing.assert_allclose(
        np.array(grid.pixel_to_sky(x, y)) - header_of(grid).all_pix2world(x, y, 0), 0, atol=1e-10
    )
    np.testing.assert_allclose(grid.sky_to_pixel(*grid.pixel_to_sky(x, y)), [x, y], atol=1e-8)


def test_grid_of_one_exposure_is_its_own_pixels():
    grid = output_grid({"a": make_geometry()})
    assert grid.shape == (256, 256)
    assert grid.cdelt * 3600 == pytest.approx(0.06)
    u, v = PixelMap(make_geometry(), grid).lattice(np.arange(256.0), np.arange(256.0))
    # The lowest corner is at pixel 0, not at the pixel's edge.
    np.testing.assert_allclose(u[0], np.arange(256) + 0.5, atol=1e-4)
    np.testing.assert_allclose(v[:, 0], np.arange(256) + 0.5, atol=1e-4)


def test_parameters_of_the_grid():
    exposures = {"a": make_geometry(roll_ref=33.0)}
    fine = output_grid(exposures, pixel_scale=0.03)
    assert fine.cdelt * 3600 == pytest.approx(0.03)
    assert fine.pixel_scale_ratio == pytest.approx(0.5, rel=1e-4)
    ratio = output_grid(exposures, pixel_scale_ratio=2.0)
    assert ratio.cdelt * 3600 == pytest.approx(0.12)
    north = output_grid(exposures, rotation=0.0)
    ra, dec = north.pixel_to_sky(np.array([50.0, 50.0, 51.0]), np.array([50.0, 60.0, 50.0]))
    assert ra[1] == pytest.approx(ra[0], abs=1e-6)
    assert dec[1] > dec[0]
    assert ra[2] < ra[0]
    placed = output_grid(exposures, crval=(10.001, 20.0), crpix=(7.0, 8.0), output_shape=(40, 30))
    assert placed.shape == (30, 40)
    np.testing.assert_allclose(placed.pixel_to_sky(7.0, 8.0), [10.001, 20.0])


@pytest.mark.parametrize("ra", [-349.999, 10.001])
def test_crval_is_written_within_a_turn(ra):
    grid = output_grid({"a": make_geometry()}, crval=(ra, 20.0))
    assert grid.crval == pytest.approx((10.001, 20.0), abs=1e-9)
    x, y = grid.sky_to_pixel(*make_geometry().corners())
    np.testing.assert_allclose((x.min(), y.min()), 0, atol=1e-6)


@pytest.mark.parametrize("crval", [(np.nan, 20.0), (10.0, -90.1), (361.0, 0.0), (10.0, np.inf)])
def test_a_crval_that_is_no_place(crval):
    with pytest.raises(InputError, match=r"^crval: .* is no place on the sky: give RA and Dec"):
        output_grid({"a": make_geometry()}, crval=crval)


def test_grid_holds_all_exposures():
    exposures = {"a": make_geometry(), "b": make_geometry(ra=10.003, dec=20.002)}
    grid = output_grid(exposures)
    for geometry in exposures.values():
        x, y = grid.sky_to_pixel(*geometry.corners())
        assert x.min() > -1e-6
        assert y.min() > -1e-6
        assert x.max() < grid.shape[1] + 0.5
        assert y.max() < grid.shape[0] + 0.5


def test_an_exposure_far_off_is_refused_by_name():
    exposures = {str(i): make_geometry(ra=10 + i * 1e-4) for i in range(5)}
    exposures["stray"] = make_geometry(ra=11.0, dec=20.5)
    with pytest.raises(InputError, match=r"^stray: lies .* arcmin from the middle"):
        output_grid(exposures)
    with pytest.raises(InputError, match=r"^stray: .* where 5 are allowed"):
        output_grid(exposures, max_megapixels=5)
    assert output_grid(exposures, max_megapixels=1e5).shape[0] > 20000
    with pytest.raises(InputError, match=r"^0: lies more than 90 degrees off"):
        output_grid(exposures, crval=(190.0, -20.0))


def test_a_grid_of_no_pixels_is_refused():
    with pytest.raises(InputError, match="check pixel_scale"):
        output_grid({"a": make_geometry()}, pixel_scale=100.0)


def test_mean_pixel_side():
    assert mean_pixel_side(make_geometry()) * 3600 == pytest.approx(0.06, rel=1e-6)


def test_spline_is_that_of_the_naive_twin():
    rng = np.random.default_rng(1)
    nodes = rng.normal(size=(7, 6))
    geometry = make_geometry(nodes=9)
    grid = output_grid({"a": geometry})
    x, y = np.linspace(-0.5, 255.5, 13), np.sort(rng.uniform(-0.5, 255.5, 11))
    u, v = PixelMap(geometry, grid).lattice(x, y)
    expected = naive.spline_through(geometry.x_nodes, geometry.y_nodes, nodes_of(geometry, grid))
    np.testing.assert_allclose(u, expected[0](y, x), atol=1e-9)
    np.testing.assert_allclose(v, expected[1](y, x), atol=1e-9)
    everywhere = (points.ravel() for points in np.meshgrid(x, y))
    np.testing.assert_array_equal(
        PixelMap(geometry, grid).points(*everywhere), (u.ravel(), v.ravel())
    )
    flat = np.empty((2, 3))
    zero = np.zeros_like(nodes)
    bicubic_lattice(np.full_like(nodes, 4.0), zero, zero, zero, 0, 1, 0, 1, x[:3], y[:2], flat)
    np.testing.assert_allclose(flat, 4.0)


def nodes_of(geometry, grid):
    return grid.sky_to_pixel(geometry.ra, geometry.dec)


def test_spline_goes_through_cubics_exactly():
    geometry = make_geometry()
    grid = Grid((10.0, 20.0), (0.0, 0.0), 1e-5, ((1.0, 0.0), (0.0, 1.0)), (10, 10))
    x, y = np.meshgrid(geometry.x_nodes, geometry.y_nodes)
    target_u, target_v = x + 1e-6 * x**3 - 2e-5 * x * y, y + 3e-7 * y**3 + 1e-8 * x**2 * y
    cubic = make_geometry()
    object.__setattr__(cubic, "ra", grid.pixel_to_sky(target_u, target_v)[0])
    object.__setattr__(cubic, "dec", grid.pixel_to_sky(target_u, target_v)[1])
    xs, ys = np.array([0.0, 100.3]), np.array([7.0, 200.9, 255.5])
    u, v = PixelMap(cubic, grid).lattice(xs, ys)
    x, y = np.meshgrid(xs, ys)
    np.testing.assert_allclose(u, x + 1e-6 * x**3 - 2e-5 * x * y, atol=1e-6)
    np.testing.assert_allclose(v, y + 3e-7 * y**3 + 1e-8 * x**2 * y, atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.floats(0, 360), st.integers(0, 300), st.integers(1, 60))
def test_rows_that_fall_on_a_band(rotation, start, n):
    geometry = make_geometry()
    grid = output_grid({"a": geometry}, rotation=rotation)
    pixel_map = PixelMap(geometry, grid)
    rows = pixel_map.rows(start, start + n)
    v = pixel_map.lattice(np.arange(256.0), np.arange(256.0))[1]
    touching = np.flatnonzero(((v > start - 1.5) & (v < start + n + 0.5)).any(axis=1))
    if touching.size:
        assert rows.start <= touching[0]
        assert rows.stop > touching[-1]
    assert rows.stop - rows.start <= 256


def test_layout_round_trips_and_knows_who_meets():
    geometries = {
        "a": make_geometry(),
        "b": make_geometry(ra=10.002),
        "c": make_geometry(ra=10.02),
    }
    correction = Correction(10.0, 20.0, ((1.0, 0.0), (0.0, 1.0)), (0.1, 0.0))
    grid = output_grid(geometries)
    corrections = {"a": None, "b": correction, "c": None}
    layout = lay_out(geometries, dict.fromkeys(geometries, "g"), corrections, grid)
    back = Layout.from_dict(json.loads(json.dumps(layout.to_dict())))
    assert back.grid == grid
    assert back.placements["b"].correction == correction
    a, b, c = back.placements.values()
    assert a.meets(b)
    assert b.meets(a)
    assert not a.meets(c)
    x, y = grid.sky_to_pixel(*geometries["a"].corners())
    assert a.outline[:, 0].min() == pytest.approx(x.min(), abs=1e-3)
    assert a.bounds[0] <= x.min()
    assert a.bounds[3] >= min(y.max(), grid.shape[0])
    assert a.meets_rows(0, 1)
    assert not a.meets_rows(a.bounds[3], a.bounds[3] + 1)
