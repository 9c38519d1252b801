import logging
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from drizzle.resample import Drizzle
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import naive
from snakewebb.errors import InputError
from snakewebb.io.dq import DO_NOT_USE, NON_SCIENCE, OUTLIER
from snakewebb.mosaicking.drizzle import KERNELS
from snakewebb.mosaicking.resample import (
    DrizzleOptions,
    Input,
    band_inputs,
    drizzle_band,
    fill_value,
    tell_missing,
)
from snakewebb.wcs.geometry import Geometry
from snakewebb.wcs.grid import output_grid
from snakewebb.wcs.layout import lay_out
from snakewebb.wcs.pixel_map import PixelMap
from snakewebb.wcs.sphere import from_plane

SCALE = 0.06
PLANES = "sci", "wht", "con", "var_rnoise", "var_poisson", "var_flat", "var_pixel"
ALL = slice(None)


def drizzled(inputs, grid, rows, *, good_bits="~DO_NOT_USE+NON_SCIENCE", **options):
    return drizzle_band(inputs, grid, rows, DrizzleOptions(**options), good_bits=good_bits)


def geometry(angle=0.0, shift=(0.0, 0.0), ny=60, nx=70, margin=0):
    """Return where a slightly distorted exposure lies; its bounding box leaves a margin out."""
    x = np.linspace(margin - 0.5, nx - margin - 0.5, 9)
    y = np.linspace(margin - 0.5, ny - margin - 0.5, 8)
    a, b = np.meshgrid(x - nx / 2, y - ny / 2)
    a, b = a + 1e-5 * a * b, b + 1e-5 * a**2
    c, s = np.cos(angle), np.sin(angle)
    xi, eta = -(c * a - s * b + shift[0]) * SCALE, (s * a + c * b + shift[1]) * SCALE
    sky = from_plane(xi, eta, 53.0, -27.0)
    wcsinfo = 80.0, -490.0, 0.0, 53.0, -27.0, 0.0, -1
    return Geometry((ny, nx), x, y, *sky, SCALE / 3600, *wcsinfo)


def scene(seed, ny=60, nx=70):
    """Return the planes of an exposure with some flagged and some NaN pixels."""
    rng = np.random.default_rng(seed)
    planes = {
        "SCI": rng.normal(1, 0.2, (ny, nx)) + 300 * (rng.random((ny, nx)) > 0.99),
        "ERR": np.ones((ny, nx)),
        "VAR_RNOISE": rng.uniform(0.5, 1, (ny, nx)),
        "VAR_POISSON": rng.uniform(0.5, 2, (ny, nx)),
        "VAR_FLAT": rng.uniform(0, 0.1, (ny, nx)),
    }
    planes = {name: plane.astype("f4") for name, plane in planes.items()}
    planes["DQ"] = np.where(rng.random((ny, nx)) > 0.97, DO_NOT_USE, 0).astype("u4")
    planes["DQ"][rng.random((ny, nx)) > 0.97] |= OUTLIER
    planes["SCI"][rng.random((ny, nx)) > 0.97] = np.nan
    return planes


def mosaic(poses, planes=None, **options):
    """Return a grid and the exposures on it that lie at (angle, shift)."""
    geometries = {str(k): geometry(*pose) for k, pose in enumerate(poses)}
    grid = output_grid(geometries, rotation=20.0, **options)
    # A rim all round: the grid would cut off up to a pixel.
    crpix, shape = np.add(grid.crpix, 3), np.add(grid.shape, 6)
    grid = replace(grid, crpix=tuple(crpix), shape=tuple(map(int, shape)))
    planes = planes or [scene(k) for k in range(len(poses))]
    return grid, [
        Input(name, planes[int(name)], PixelMap(pose, grid), 0.1 * int(name), 100.0, 110.0)
        for name, pose in geometries.items()
    ]


DITHERS = [(0.0, (0.0, 0.0)), (0.3, (11.3, -7.7)), (1.7, (-20.2, 30.1)), (0.0, (3.5, 3.5))]


def by_library(inputs, grid, kernel="square", weight_type="ivm", pixfrac=1.0):
    """Drizzle as jwst does: all of the mosaic, exposure by exposure and plane by plane."""
    frame = {"kernel": kernel, "out_shape": grid.shape}
    result = Drizzle(fillval=np.nan, **frame)
    total, norm = np.zeros((2, 3, *grid.shape))
    for exposure in inputs:
        planes = exposure.source
        ny, nx = planes["SCI"].shape
        pixmap = np.dstack(exposure.pixel_map.lattice(np.arange(nx), np.arange(ny)))
        bad = (planes["DQ"] & (DO_NOT_USE | NON_SCIENCE) != 0) | np.isnan(planes["SCI"])
        weight = 1 / planes["VAR_RNOISE"] if weight_type == "ivm" else np.full((ny, nx), 100.0)
        options = {
            "exptime": 1.0,
            "pixmap": pixmap,
            "weight_map": np.where(bad, 0, weight),
            "pixel_scale_ratio": grid.pixel_scale_ratio,
            "pixfrac": pixfrac,
        }
        result.add_image(planes["SCI"] - exposure.sky, **options)
        variances = []
        for name in ("VAR_RNOISE", "VAR_POISSON", "VAR_FLAT"):
            drizzled = Drizzle(fillval=np.nan, disable_ctx=True, **frame)
            drizzled.add_image(np.sqrt(planes[name]), **options)
            variances.append(drizzled.out_img**2)
        u = 1 / variances[0] if weight_type == "ivm" else np.full(grid.shape, 100.0)
        hit = np.isfinite(variances[0])
        total[:, hit] += (np.array(variances) * u**2)[:, hit]
        norm[:, hit] += u[hit]
    with np.errstate(invalid="ignore"):
        return result, total / norm**2 / grid.pixel_scale_ratio**2


@pytest.mark.filterwarnings("ignore:.*not a flux-conserving kernel")
@pytest.mark.parametrize(
    ("kernel", "weight_type", "ratio", "pixfrac"),
    [
        ("square", "ivm", 1.0, 1.0),
        ("square", "exptime", 0.5, 0.8),
        ("square", "ivm", 1.7, 1.0),
        ("point", "ivm", 1.0, 1.0),
        ("turbo", "exptime", 0.8, 0.7),
        ("gaussian", "ivm", 1.0, 1.0),
    ],
)
def test_agrees_with_the_reference(kernel, weight_type, ratio, pixfrac):
    grid, inputs = mosaic(DITHERS, pixel_scale_ratio=ratio)
    band = drizzled(
        inputs, grid, ALL, kernel=kernel, weight_type=weight_type, pixfrac=pixfrac
    )  # fmt: skip
    theirs, variances = by_library(inputs, grid, kernel, weight_type, pixfrac)
    assert_allclose(band.wht, theirs.out_wht, rtol=1e-5, atol=1e-5 * theirs.out_wht.max())
    # The reference's corners are means of pixel centres: 1e-6 px off, which may miss a sliver.
    assert np.count_nonzero(band.con != theirs.out_ctx) <= 1
    solid = theirs.out_wht > 1e-2 * theirs.out_wht.max()
    assert_allclose(band.sci[solid], theirs.out_img[solid], rtol=1e-5, atol=5e-3)
    assert np.median(np.abs(band.sci / theirs.out_img - 1)[solid]) < 1e-6
    for name, wanted in zip(PLANES[3:6], variances, strict=True):
        found = getattr(band, name)
        assert_array_equal(np.isnan(found), band.wht == 0)
        assert_allclose(found[solid], wanted[solid], rtol=1e-4)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("ratio", [1.0, 0.7])
def test_bands_make_no_difference(kernel, ratio):
    grid, inputs = mosaic(DITHERS, pixel_scale_ratio=ratio)
    whole = drizzled(inputs, grid, ALL, kernel=kernel)
    assert np.isfinite(whole.sci).mean() > 0.3
    for bands in (2, 7):
        edges = np.linspace(0, grid.shape[0], bands + 1).astype(int).tolist()
        parts = [drizzled(inputs, grid, slice(*e), kernel=kernel) for e in pairwise(edges)]
        for name in PLANES if kernel == "square" else PLANES[:-1]:
            joined = np.concatenate([getattr(part, name) for part in parts], axis=-2)
            assert_array_equal(joined, getattr(whole, name))


def test_order_of_exposures_makes_little_difference():
    grid, inputs = mosaic(DITHERS)
    one, other = drizzled(inputs, grid, ALL), drizzled(inputs[::-1], grid, ALL)
    for name in ("sci", "wht", *PLANES[3:]):
        assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-6)
    for k in range(4):
        assert_array_equal(one.con[0] >> k & 1, other.con[0] >> (3 - k) & 1)


def test_surface_brightness_sky_and_weight():
    planes = [scene(k) for k in range(4)]
    for k, exposure in enumerate(planes):
        exposure["SCI"][np.isfinite(exposure["SCI"])] = 5.0 + 0.1 * k
        exposure["VAR_RNOISE"][:] = 0.5
    for ratio in (0.5, 1.0, 2.0):
        grid, inputs = mosaic(DITHERS, planes, pixel_scale_ratio=ratio)
        band = drizzled(inputs, grid, ALL)
        hit = band.wht > 0
        assert_allclose(band.sci[hit], 5.0, rtol=1e-6)
        assert np.isnan(band.sci[~hit]).all()
        assert_array_equal(hit, band.con[0] != 0)
        used = sum(((p["DQ"] & DO_NOT_USE) == 0) & np.isfinite(p["SCI"]) for p in planes).sum()
        assert band.wht.sum(dtype=float) == pytest.approx(2.0 * used, rel=1e-6)


def test_variance_of_the_mean():
    """Aligned exposures: the variance of a mean of n is that of one over n."""
    planes = [{**scene(0), "DQ": None} for _ in range(4)]
    for exposure in planes:
        exposure["SCI"] = np.ones((60, 70), "f4")
        for name, value in (("VAR_RNOISE", 0.5), ("VAR_POISSON", 0.25), ("VAR_FLAT", 0.125)):
            exposure[name] = np.full((60, 70), value, "f4")
    grid, inputs = mosaic([(0.0, (0.0, 0.0))] * 4, planes)
    band = drizzled(inputs, grid, ALL)
    hit = band.wht > 0
    for found, value in ((band.var_rnoise, 0.5), (band.var_poisson, 0.25), (band.var_flat, 0.125)):
        assert_allclose(found[hit], value / 4, rtol=1e-6)
        assert np.isnan(found[~hit]).all()


@settings(deadline=None, max_examples=15)
@given(
    ratio=st.sampled_from([0.3, 0.5, 1.0, 2.0]),
    pixfrac=st.sampled_from([1.0, 0.7]),
    weight_type=st.sampled_from(["ivm", None]),
    repeats=st.integers(1, 3),
    seed=st.integers(0, 100),
)
def test_variance_of_a_pixel_is_that_of_its_sum(ratio, pixfrac, weight_type, repeats, seed):
    """Of Σ a w s / Σ a w with independent s, by the drizzle coefficients of all exposures."""
    geometries = {
        str(k): geometry(*pose, 9, 8) for k, pose in enumerate([(0.1, (0, 0)), (1, (1, 2))])
    }
    grid = output_grid(geometries, pixel_scale_ratio=ratio)
    inputs, shares, variances = [], [], []
    for k, (name, place) in enumerate(geometries.items()):
        planes = scene(seed + k, 9, 8)
        pixel_map = PixelMap(place, grid)
        inputs.append(Input(name, planes, pixel_map, repeats=repeats))
        bad = (planes["DQ"] & (DO_NOT_USE | NON_SCIENCE) != 0) | np.isnan(planes["SCI"])
        weight = 1 / planes["VAR_RNOISE"] if weight_type == "ivm" else np.ones_like(bad, "f4")
        u, v = pixel_map.lattice(np.arange(9) - 0.5, np.arange(10) - 0.5)
        shares.append(naive.shares(u, v, pixfrac, np.where(bad, 0, weight), grid.shape))
        noise = planes["VAR_RNOISE"] + planes["VAR_POISSON"] + repeats * planes["VAR_FLAT"]
        variances.append(noise.astype(float))
    band = drizzled(inputs, grid, ALL, pixfrac=pixfrac, weight_type=weight_type)
    total = sum(share.sum(axis=(2, 3)) for share in shares)
    pairs = zip(shares, variances, strict=True)
    square = sum((share**2 * variance).sum(axis=(2, 3)) for share, variance in pairs)
    with np.errstate(invalid="ignore"):
        wanted = np.where(total > 0, square / total**2, np.nan)
    solid = (total > 1e-9) | (total == 0)
    assert_allclose(band.var_pixel[solid], wanted[solid], rtol=1e-5)


def test_a_pixel_whose_noise_is_not_known_has_no_variance():
    grid, inputs = mosaic(DITHERS[:2])
    known = drizzled(inputs, grid, ALL)
    inputs[0].source["VAR_FLAT"][:] = 0
    without = drizzled(inputs, grid, ALL)
    del inputs[0].source["VAR_FLAT"]
    assert_array_equal(drizzled(inputs, grid, ALL).var_pixel, without.var_pixel)
    assert np.nanmax(without.var_pixel - known.var_pixel) <= 0
    for name in ("VAR_RNOISE", "VAR_POISSON", "ERR"):
        del inputs[0].source[name]
    none = drizzled(inputs, grid, ALL, weight_type=None)
    assert_array_equal(np.isfinite(none.var_pixel), none.con[0] == 2)


def test_exposures_on_the_same_pixels_share_their_flat():
    geometries = {"a": geometry(), "b": geometry(0.0, (0.4, 0.0)), "c": geometry(0.0, (2.0, 0.0))}
    grid = output_grid(geometries)
    groups = dict.fromkeys(geometries, "")
    layout = lay_out(geometries, groups, dict.fromkeys(geometries), grid)

    def known(name):
        header = SimpleNamespace(measurement_time=1.0, exposure_time=1.0)
        return SimpleNamespace(name=name, geometry=geometries[name], header=header)

    inputs = band_inputs(layout, ["", "", ""], known, slice(0, 9), lambda exposure: None)
    assert [each.repeats for each in inputs] == [2, 2, 1]


def test_bad_pixels_are_never_used():
    grid, inputs = mosaic(DITHERS[:1])
    planes = inputs[0].source
    for name in ("SCI", "DQ"):
        planes[name][:] = 1 - (name == "DQ")
    spoilt = {
        (20, 20): ("DQ", DO_NOT_USE),
        (20, 30): ("DQ", NON_SCIENCE),
        (20, 40): ("ERR", np.nan),
        (30, 20): ("VAR_POISSON", np.nan),
        (30, 30): ("VAR_RNOISE", 0.0),
        (30, 40): ("VAR_RNOISE", -1.0),
        (40, 20): ("VAR_RNOISE", np.inf),
        (40, 30): ("SCI", np.nan),
        (20, 10): ("VAR_POISSON", np.inf),
        (30, 10): ("ERR", np.inf),
    }
    for at, (name, value) in spoilt.items():
        planes[name][at] = value
        planes["SCI"][at] = 1e6 if name != "SCI" else np.nan
    band = drizzled(inputs, grid, ALL)
    assert_allclose(band.sci[band.wht > 0], 1.0)
    for variance in (band.var_poisson, band.var_pixel):
        assert np.isfinite(variance[band.wht > 0]).all()
    # What good_bits lets pass is used, but never a pixel flagged DO_NOT_USE.
    planes["SCI"][20, 20] = 1e12
    band = drizzled(inputs, grid, ALL, good_bits=None, weight_type="exptime")
    assert 1e4 < np.nanmax(band.sci) <= 1e6


def test_an_outlier_flag_counts_if_asked_for():
    grid, inputs = mosaic(DITHERS[:1])
    every = drizzled(inputs, grid, ALL, weight_type=None)
    fewer = drizzled(inputs, grid, ALL, weight_type=None, good_bits=0)
    outliers = inputs[0].source["DQ"] == OUTLIER
    outliers &= np.isfinite(inputs[0].source["SCI"])
    lost = every.wht.sum(dtype=float) - fewer.wht.sum(dtype=float)
    assert lost == pytest.approx(outliers.sum(), rel=0.02)


def test_pixels_outside_the_bounding_box_are_never_used():
    grid, (exposure,) = mosaic(DITHERS[:1])
    exposure.source["SCI"][:] = 1.0
    exposure.source["DQ"][:] = 0
    inner = geometry(margin=4)
    exposure.source["SCI"][:4] = exposure.source["SCI"][:, -4:] = 1e6
    band = drizzled([replace(exposure, pixel_map=PixelMap(inner, grid))], grid, ALL)
    assert_allclose(band.sci[band.wht > 0], 1.0)
    weight = 1 / exposure.source["VAR_RNOISE"][4:-4, 4:-4]
    assert band.wht.sum(dtype=float) == pytest.approx(weight.sum(), rel=1e-5)


def test_context_of_many_exposures():
    grid, inputs = mosaic([(0.0, (0.0, 0.0))] * 40, [scene(0)] * 40)
    away = PixelMap(geometry(0.0, (500.0, 0.0)), grid)
    inputs = [replace(e, pixel_map=away) if k in {1, 33} else e for k, e in enumerate(inputs)]
    band = drizzled(inputs, grid, ALL)
    assert band.con.dtype == np.int32
    bits = [np.uint32(0xFFFFFFFF - 2), np.uint32(0xFF - 2)]
    for plane, expected in zip(band.con.view(np.uint32), bits, strict=True):
        assert_array_equal(np.unique(plane), [0, expected])
        assert_array_equal(plane != 0, band.wht > 0)


def test_a_file_is_read_where_it_falls_on_the_band(tmp_path, monkeypatch):
    grid, (exposure,) = mosaic([(-np.pi / 9, (0.0, 0.0))])
    hdus = [fits.ImageHDU(plane, name=name) for name, plane in exposure.source.items()]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(tmp_path / "a.fits")
    rows = slice(10, 14)
    expected = drizzled([exposure], grid, rows)
    read = []

    def read_planes(path, names, rows):
        read.append(rows)
        return original(path, names, rows)

    from snakewebb.mosaicking import drizzle

    original = drizzle.read_planes
    monkeypatch.setattr(drizzle, "read_planes", read_planes)
    found = drizzled([replace(exposure, source=tmp_path / "a.fits")], grid, rows)
    for name in PLANES:
        assert_array_equal(getattr(found, name), getattr(expected, name))
    assert len(read) == 1
    assert read[0].stop - read[0].start < 40


def test_only_what_is_asked_for():
    grid, inputs = mosaic(DITHERS)
    whole = drizzled(inputs, grid, ALL)
    bare = drizzled(inputs, grid, ALL, enable_err=False, enable_ctx=False)
    assert bare.con is bare.var_rnoise is bare.var_poisson is bare.var_flat is None
    assert bare.var_pixel is None
    assert_array_equal(bare.sci, whole.sci)
    assert_array_equal(bare.wht, whole.wht)


def test_rows_without_exposures():
    grid, inputs = mosaic(DITHERS[:1])
    away = [replace(inputs[0], pixel_map=PixelMap(geometry(0.0, (0.0, 5000.0)), grid))]
    band = drizzled(away, grid, slice(3, 9), fillval=-7)
    assert band.sci.shape == (6, grid.shape[1])
    assert (band.sci == -7).all()
    assert not band.wht.any()
    assert not band.con.any()
    assert np.isnan(band.var_flat).all()
    for exposures in (inputs, []):
        assert drizzled(exposures, grid, slice(5, 5)).sci.shape == (0, grid.shape[1])


def test_what_is_missing_is_told_once(tmp_path, caplog):
    """The job tells; bands, of which each reads all exposures, do not."""
    caplog.set_level(logging.WARNING)
    grid, inputs = mosaic(DITHERS[:3])
    del inputs[1].source["VAR_RNOISE"]
    for name in ("ERR", "VAR_RNOISE", "VAR_POISSON", "VAR_FLAT"):
        inputs[2].source.pop(name, None)
    paths = [tmp_path / f"{each.name}.fits" for each in inputs]
    for path, exposure in zip(paths, inputs, strict=True):
        hdus = [fits.ImageHDU(plane, name=name) for name, plane in exposure.source.items()]
        fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    drizzled(inputs, grid, ALL)
    assert not caplog.messages
    tell_missing(paths, DrizzleOptions())
    assert [message.split(": ")[0] for message in caplog.messages] == [
        f"{paths[1]} has no VAR_RNOISE",
        f"{paths[2]} has no VAR_RNOISE",
        f"{paths[2]} has no errors",
    ]
    caplog.clear()
    tell_missing(paths, DrizzleOptions(weight_type="exptime", enable_err=False))
    assert not caplog.messages


def test_missing_planes(caplog):
    caplog.set_level(logging.WARNING)
    grid, inputs = mosaic(DITHERS[:2])
    expected = drizzled(inputs, grid, ALL, weight_type="ivm")
    del inputs[0].source["VAR_FLAT"]
    found = drizzled(inputs, grid, ALL)
    assert_array_equal(found.sci, expected.sci)
    assert_array_equal(np.isfinite(found.var_flat), expected.con[0] & 2 != 0)
    only_second = drizzled(inputs[1:], grid, ALL)
    assert_array_equal(found.var_flat, only_second.var_flat)
    assert not caplog.messages
    del inputs[0].source["VAR_RNOISE"], inputs[1].source["VAR_RNOISE"]
    equal = drizzled(inputs, grid, ALL)
    unit = drizzled(inputs, grid, ALL, weight_type=None)
    for name in PLANES:
        assert_array_equal(getattr(equal, name), getattr(unit, name))
    assert np.isnan(equal.var_rnoise).all()
    assert np.isfinite(equal.var_poisson[equal.wht > 0]).all()


def test_weight_is_the_time():
    grid, inputs = mosaic(DITHERS[:1])
    measured = drizzled(inputs, grid, ALL, weight_type="exptime")
    fallback = [replace(inputs[0], measurement_time=None)]
    exposed = drizzled(fallback, grid, ALL, weight_type="exptime")
    assert_allclose(exposed.wht, 1.1 * measured.wht, rtol=1e-6)
    assert_allclose(exposed.sci, measured.sci, rtol=1e-6)
    timeless = [replace(fallback[0], exposure_time=None)]
    with pytest.raises(InputError, match="0: has neither a measurement nor an exposure time"):
        drizzled(timeless, grid, ALL, weight_type="exptime")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"kernel": "tophat"}, "kernel: 'tophat'"),
        ({"weight_type": "sky"}, "weight_type: 'sky'"),
        ({"pixfrac": 1.5}, "pixfrac: 1.5"),
        ({"fillval": "zero"}, "fillval: 'zero'"),
        ({"good_bits": "BAD"}, "BAD"),
    ],
)
def test_bad_parameters(option, message):
    grid, inputs = mosaic(DITHERS[:1])
    with pytest.raises(InputError, match=message):
        drizzled(inputs, grid, ALL, **option)


def test_a_cube_is_refused():
    grid, (exposure,) = mosaic(DITHERS[:1])
    cube = {"SCI": np.zeros((3, 60, 70), "f4")}
    with pytest.raises(InputError, match="0: SCI is not a 2-D image"):
        drizzled([replace(exposure, source=cube)], grid, ALL)


def test_planes_in_memory_may_be_of_any_kind():
    grid, (exposure,) = mosaic(DITHERS[:1])
    planes = {
        name: plane.astype(plane.dtype.newbyteorder(">")) for name, plane in exposure.source.items()
    }
    for plane in planes.values():
        plane.flags.writeable = False
    found = drizzled([replace(exposure, source=planes)], grid, ALL)
    assert_array_equal(found.sci, drizzled([exposure], grid, ALL).sci)


def test_fill_values():
    assert np.isnan([fill_value(text) for text in ("NAN", "nan", "INDEF", None, " ")]).all()
    assert fill_value("-1.5") == fill_value(-1.5) == -1.5


def test_drops_without_size_are_points():
    grid, inputs = mosaic(DITHERS[:1])
    points = drizzled(inputs, grid, ALL, kernel="point")
    assert_array_equal(drizzled(inputs, grid, ALL, pixfrac=0.0).sci, points.sci)
