"""Sky levels: kernels against their twins, levels against simulated truth."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from snakewebb.errors import InputError
from snakewebb.kernels import skymatch
from snakewebb.mosaicking.sky_levels import SkyResult, check_subtraction
from snakewebb.mosaicking.sky_overlaps import (
    STATISTICS,
    SkyOptions,
    SkySample,
    SkyStatistics,
    overlap_statistics,
    pixel_finder,
)
from snakewebb.mosaicking.skymatch import match_sky, read_skylist, solve_differences
from snakewebb.simulate.apertures import Pointing, imaging_aperture, make_wcs, wcsinfo
from snakewebb.wcs.geometry import Geometry
from snakewebb.wcs.grid import output_grid
from snakewebb.wcs.gwcs_library import pixel_to_sky
from snakewebb.wcs.layout import lay_out
from snakewebb.wcs.pixel_map import PixelMap
from snakewebb.wcs.sampling import geometry_of
from snakewebb.wcs.sphere import from_plane

NOISE = 0.02
SCALE = 0.06  # arcsec
ANYWHERE = st.floats(-10, 30)


# --- helpers ------------------------------------------------------------------------------------


def geometry(x=0.0, y=0.0, angle=0.0, shape=(96, 128), bend=0.0, trim=0.0):
    """An exposure x, y arcsec off RA 80, Dec -69, turned by an angle, bent by some pixels."""
    ny, nx = shape
    x_nodes = np.linspace(-0.5 + trim, nx - 0.5 - trim, 9)
    y_nodes = np.linspace(-0.5, ny - 0.5, 9)
    dx, dy = np.meshgrid((x_nodes - (nx - 1) / 2) / nx, (y_nodes - (ny - 1) / 2) / nx)
    u, v = nx * dx + 4 * bend * dx * dy, nx * dy + 4 * bend * dx**2 - 8 * bend * dy**3
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    ra, dec = from_plane(
        x + SCALE * (-cos * u + sin * v), y + SCALE * (sin * u + cos * v), 80.0, -69.0
    )
    return Geometry(
        shape=shape, x_nodes=x_nodes, y_nodes=y_nodes, ra=ra, dec=dec, pixel_scale=SCALE / 3600,
        v2_ref=0.0, v3_ref=0.0, roll_ref=0.0, ra_ref=80.0, dec_ref=-69.0, v3yangle=0.0, vparity=-1,
    )  # fmt: skip


def write(path, image, dq=None, **header):
    sci = fits.ImageHDU(image.astype(np.float32), name="SCI")
    flags = fits.ImageHDU(np.zeros(image.shape, np.uint32) if dq is None else dq, name="DQ")
    primary = fits.PrimaryHDU()
    primary.header.update(header)
    fits.HDUList([primary, sci, flags]).writeto(path)
    return path


def sky_image(rng, level, shape=(96, 128)):
    return rng.normal(level, NOISE, shape)


def overlaps_of(path, name, geometries, groups, **options):
    grid = output_grid(geometries, max_megapixels=1e6)
    layout = lay_out(geometries, groups, dict.fromkeys(geometries), grid)
    return overlap_statistics(path, name, geometries[name], layout, SkyOptions(**options))


def measure(tmp_path, geometries, images, groups=None, **options):
    """Write exposures and measure all of them."""
    groups = groups or {name: f"group of {name}" for name in geometries}
    records = []
    for name, image in images.items():
        path = tmp_path / f"{name}_cal.fits"
        if not path.exists():
            write(path, image)
        records.append(overlaps_of(path, name, geometries, groups, **options))
    return records


def levels(result):
    return {name: found.level for name, found in result.exposures.items()}


def statuses(result):
    return {name: found.status for name, found in result.exposures.items()}


def record(name, group=None, overlaps=None, own=None, before=0.0):
    overlaps = {g: SkySample(*found) for g, found in (overlaps or {}).items()}
    return SkyStatistics(name, group or name, before, own and SkySample(*own), overlaps)


# --- kernels ------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(ANYWHERE, ANYWHERE), min_size=3, max_size=8), st.booleans())
def test_fill_polygon_is_the_even_odd_rule(vertices, whole):
    x, y = np.array(vertices).T
    if whole:
        x, y = np.round(x), np.round(y)
    inside = np.zeros((18, 21), bool)
    skymatch.fill_polygon(np.ascontiguousarray(x), np.ascontiguousarray(y), inside)
    assert np.array_equal(inside, naive.inside_polygon(x, y, inside.shape))


def test_polygons_that_share_an_edge_share_no_pixel_and_leave_none_out():
    count = np.zeros((20, 20), int)
    for x, y in (
        ([-1, 8, 8, -1], [-1, -1, 21, 21]),
        ([8, 21, 21, 8], [-1, -1, 10, 10]),
        ([8, 21, 21, 8], [10, 10, 21, 21]),
    ):
        inside = np.zeros(count.shape, bool)
        skymatch.fill_polygon(np.array(x, float), np.array(y, float), inside)
        count += inside
    assert (count == 1).all()


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize(
    ("lower", "upper", "nclip", "lsigma", "usigma", "binwidth"),
    [
        (-np.inf, np.inf, 5, 4.0, 4.0, 0.1),
        (-np.inf, np.inf, 0, 4.0, 4.0, 0.3),
        (0.28, 0.4, 3, 2.0, 2.5, 0.1),
        (5e3, np.inf, 3, 2.0, 2.5, 0.1),
        (-np.inf, np.inf, 5, 4.0, 4.0, 50.0),
    ],
)
@pytest.mark.parametrize("n", [1, 2, 19, 2000])
def test_sky_statistic_is_its_twin(statistic, lower, upper, nclip, lsigma, usigma, binwidth, n):
    rng = np.random.default_rng(n)
    values = rng.normal(0.3, NOISE, n)
    values[::9] += rng.exponential(0.5, values[::9].size)
    values = values.astype(np.float32)
    options = lower, upper, nclip, lsigma, usigma, binwidth
    level, npix = skymatch.sky_statistic(values, STATISTICS[statistic], *options)
    expected, n_expected = naive.sky_statistic(values, statistic, *options)
    assert npix == n_expected
    np.testing.assert_allclose(level, expected, rtol=2e-7)


@given(
    values=st.lists(
        st.floats(-1e6, 1e6, width=32) | st.sampled_from([0.0, 1.0]), min_size=1, max_size=60
    ),
    limits=st.tuples(st.floats(-2, 0), st.floats(0.5, 2)) | st.just((-np.inf, np.inf)),
)
def test_median_is_numpys(values, limits):
    low, high = limits
    inside = [value for value in values if low <= value <= high]
    if inside:
        found = skymatch.median(np.array(values, np.float32), low, high, len(inside))
        assert found == np.median(inside)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_sky_statistic_of_special_pixels(statistic):
    def level(values):
        values = np.array(values, np.float32)
        return skymatch.sky_statistic(
            values, STATISTICS[statistic], -np.inf, np.inf, 5, 4.0, 4.0, 0.1
        )

    assert level([2.5] * 10) == (2.5, 10)
    assert level([])[1] == 0
    assert np.isnan(level([])[0])


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("garbage", [1e6, -1e10, 1e15, 1e20, -3e38])
@pytest.mark.parametrize("first", [True, False])
def test_pixels_of_any_size_do_not_spoil_the_sky(statistic, garbage, first):
    """Once they are clipped, nothing of them is left, no rounding error either."""
    values = np.random.default_rng(5).normal(0.3, NOISE, 1000).astype(np.float32)
    options = STATISTICS[statistic], -np.inf, np.inf, 5, 4.0, 4.0, 0.1
    more = np.full(5, garbage, np.float32)
    spoiled = np.concatenate((more, values) if first else (values, more))
    level, npix = skymatch.sky_statistic(spoiled, *options)
    expected, number = skymatch.sky_statistic(values, *options)
    assert npix == number
    np.testing.assert_allclose(level, expected, rtol=1e-6)


@settings(deadline=None, max_examples=15)
@given(st.permutations(range(40)), st.sampled_from(list(STATISTICS)))
def test_sky_statistic_does_not_depend_on_order(order, statistic):
    values = np.random.default_rng(5).normal(0.3, NOISE, 40).astype(np.float32)
    options = STATISTICS[statistic], -np.inf, np.inf, 5, 4.0, 4.0, 0.1
    a, b = (
        skymatch.sky_statistic(values, *options),
        skymatch.sky_statistic(values[list(order)], *options),
    )
    assert a[1] == b[1]
    np.testing.assert_allclose(a[0], b[0], rtol=1e-12)


@pytest.mark.parametrize(
    ("statistic", "bias", "scatter"),
    [("mode", 0.03, 0.012), ("median", 0.06, 0.006), ("midpt", 0.06, 0.006)],
)
def test_sky_of_an_image_with_sources_is_found(statistic, bias, scatter):
    """In units of the noise. jwst's mode scatters by 0.07 here and is off by its bins' width."""
    found = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        values = rng.normal(0.3, NOISE, 100_000)
        values[:10_000] += NOISE * 10 ** rng.uniform(-1.5, 2.5, 10_000)
        values = values.astype(np.float32)
        options = STATISTICS[statistic], -np.inf, np.inf, 5, 4.0, 4.0, 0.1
        found.append((skymatch.sky_statistic(values, *options)[0] - 0.3) / NOISE)
    assert abs(np.mean(found)) < bias
    assert np.std(found) < scatter


# --- overlaps -----------------------------------------------------------------------------------


@pytest.mark.parametrize("bend", [0.0, 1.0])
def test_pixel_finder_is_the_inverse_of_the_pixel_map(bend):
    here = geometry(1.0, 2.0, 20.0, bend=bend)
    grid = output_grid({"here": here})
    x, y = np.linspace(-0.5, 127.5, 20), np.linspace(-0.5, 95.5, 17)
    ra, dec = grid.pixel_to_sky(*PixelMap(here, grid).lattice(x, y))
    found = pixel_finder(here)(ra.ravel(), dec.ravel())
    expected = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_pixel_finder_far_outside_stays_far_outside():
    here = geometry(angle=35.0, bend=2.0)
    phase = np.linspace(0, 2 * np.pi, 400)
    for radius in (6.0, 60.0, 600.0):
        ra, dec = from_plane(radius * np.cos(phase), radius * np.sin(phase), 80.0, -69.0)
        away = np.hypot(*(pixel_finder(here)(ra, dec) - (63.5, 47.5)).T)
        np.testing.assert_allclose(away, radius / SCALE, rtol=0.1)


@pytest.mark.parametrize("detector", ["NRCA1", "NRCBLONG", "MIRIMAGE", "NIS"])
def test_pixel_finder_holds_for_real_detectors(detector):
    aperture = imaging_aperture(detector)
    info = wcsinfo(aperture, Pointing(80.0, -69.0, 40.0, aperture.v2_ref, aperture.v3_ref))
    wcs = make_wcs(aperture, info, start=(1, 1), size=aperture.full_size, va_scale=1.0)
    here = geometry_of(pixel_to_sky(wcs), tuple(aperture.full_size[::-1]), info, detector)
    found = pixel_finder(here)(here.ra.ravel(), here.dec.ravel())
    expected = np.stack(np.meshgrid(here.x_nodes, here.y_nodes), axis=-1).reshape(-1, 2)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    "others",
    [
        [{"x": 3.0, "y": 1.0}],
        [{"x": 3.0, "y": -2.0, "angle": 33.0}],
        [{"x": -2.0, "y": -3.0, "angle": 120.0, "shape": (40, 300)}],
        [{"x": -0.5, "y": 0.7, "angle": 7.0, "shape": (20, 30)}],
        [{"x": 3.0, "y": 1.0}, {"x": 4.0, "y": -1.0, "angle": 20.0}, {"x": -5.0, "y": 4.0}],
    ],
)
@pytest.mark.parametrize("trim", [0.0, 5.0])
def test_overlap_has_the_pixels_whose_centres_are_in_the_other(tmp_path, others, trim):
    """Without distortion straight edges stay straight, so each pixel can be asked by itself."""
    here = geometry(angle=15.0, trim=trim)
    geometries = {"here": here} | {f"other{k}": geometry(**o) for k, o in enumerate(others)}
    groups = {name: name[:5] for name in geometries}
    write(tmp_path / "here.fits", np.ones((96, 128)))
    found = overlaps_of(tmp_path / "here.fits", "here", geometries, groups, skystat="mean", nclip=0)

    column, row = np.meshgrid(np.arange(128.0), np.arange(96.0))
    cos, sin = np.cos(np.radians(15.0)), np.sin(np.radians(15.0))
    u, v = column - 63.5, row - 47.5
    xi, eta = SCALE * (-cos * u + sin * v), SCALE * (sin * u + cos * v)
    inside = np.zeros(column.shape, bool)
    for other in others:
        ny, nx = other.get("shape", (96, 128))
        angle = np.radians(other.get("angle", 0.0))
        dx, dy = (xi - other["x"]) / SCALE, (eta - other["y"]) / SCALE
        x = -np.cos(angle) * dx + np.sin(angle) * dy
        y = np.sin(angle) * dx + np.cos(angle) * dy
        inside |= (abs(x) < nx / 2) & (abs(y) < ny / 2)
    inside &= abs(u) < 64 - trim
    assert found.overlaps == {"other": SkySample(1.0, inside.sum())}


def test_overlap_of_a_bent_exposure_with_itself_is_all_of_it(tmp_path):
    bent = geometry(angle=50.0, bend=4.0)
    here, twin = geometry(angle=50.0, bend=4.0), bent
    [found, _] = measure(
        tmp_path,
        {"here": here, "twin": twin},
        dict.fromkeys(("here", "twin"), np.ones((96, 128))),
        skystat="mean", nclip=0,
    )  # fmt: skip
    assert found.overlaps == {"group of twin": SkySample(1.0, 96 * 128)}


def test_bad_pixels_do_not_count(tmp_path):
    rng = np.random.default_rng(0)
    image, dq = sky_image(rng, 1.0), np.zeros((96, 128), np.uint32)
    image[:10], dq[:10] = 50.0, 1
    image[10:20], dq[10:20] = 50.0, 512
    image[20:30] = np.nan
    image[30:40] = np.inf
    dq[40:50] = 4  # JUMP_DET does no harm
    write(tmp_path / "a.fits", image, dq)
    geometries = {"a": geometry(), "b": geometry()}
    options = {"skymethod": "global+match", "nclip": 0, "skystat": "mean"}
    found = overlaps_of(tmp_path / "a.fits", "a", geometries, {"a": "a", "b": "b"}, **options)
    assert found.whole == found.overlaps["b"]
    assert found.whole.npix == 56 * 128
    assert abs(found.whole.level - 1.0) < 5 * NOISE / np.sqrt(56 * 128)
    every = overlaps_of(
        tmp_path / "a.fits", "a", geometries, {"a": "a", "b": "b"}, **options, dqbits=None
    )
    assert every.whole.npix == 76 * 128


def test_only_what_the_method_needs_is_measured(tmp_path):
    geometries = {"a": geometry(), "b": geometry(1.0)}
    image = {"a": np.ones((96, 128))}
    for method, own, overlaps in (
        ("match", False, True), ("global", True, False), ("local", True, False),
        ("global+match", True, True), ("user", False, False),
    ):  # fmt: skip
        [found] = measure(tmp_path, geometries, image, skymethod=method)
        assert (found.whole is not None, bool(found.overlaps)) == (own, overlaps)


def test_exposures_far_away_are_no_neighbours(tmp_path):
    geometries = {f"e{k}": geometry(x=100.0 * k) for k in range(40)}
    [found] = measure(tmp_path, geometries, {"e3": np.ones((96, 128))})
    assert found.overlaps == {}


# --- levels -------------------------------------------------------------------------------------

PLACES = {
    "a": {},
    "b": {"x": 3.0, "y": 1.0, "angle": 12.0},
    "c": {"x": 1.0, "y": 3.5, "angle": -50.0},
    "d": {"x": 5.0, "y": 4.0},
}
TRUTH = {"a": 0.31, "b": 0.25, "c": 0.28, "d": 0.4}


def scene(rng, truth=TRUTH):
    """Exposures with noise and a source here and there."""
    images = {name: sky_image(rng, level) for name, level in truth.items()}
    for image in images.values():
        image[rng.integers(0, 96, 300), rng.integers(0, 128, 300)] += rng.exponential(1.0, 300)
    return images


@pytest.mark.parametrize("skystat", STATISTICS)
@pytest.mark.parametrize("match_down", [True, False])
def test_match_recovers_levels(tmp_path, skystat, match_down):
    geometries = {name: geometry(**place) for name, place in PLACES.items()}
    images = scene(np.random.default_rng(1))
    result = match_sky(
        measure(tmp_path, geometries, images, skystat=skystat), match_down=match_down
    )
    reference = min(TRUTH.values()) if match_down else max(TRUTH.values())
    for name, level in levels(result).items():
        assert abs(level - (TRUTH[name] - reference)) < 0.15 * NOISE
    assert levels(result)["b" if match_down else "d"] == 0.0
    assert set(statuses(result).values()) == {"COMPLETE"}
    assert 0 < result.rms < 0.1 * NOISE
    assert result.subsets == [[f"group of {name}" for name in PLACES]]
    result = replace(result, parameters={"skystat": skystat})
    result.write(tmp_path / "sky.json")
    assert SkyResult.read(tmp_path / "sky.json") == result


def test_global_match_and_local(tmp_path):
    geometries = {name: geometry(**place) for name, place in PLACES.items()}
    images = scene(np.random.default_rng(2))
    for method in ("global+match", "local"):
        result = match_sky(
            measure(tmp_path, geometries, images, skymethod=method), skymethod=method
        )
        for name, level in levels(result).items():
            assert abs(level - TRUTH[name]) < 0.15 * NOISE
    result = match_sky(
        measure(tmp_path, geometries, images, skymethod="global"), skymethod="global"
    )
    assert len(set(levels(result).values())) == 1
    assert abs(levels(result)["a"] - 0.25) < 0.15 * NOISE


def test_detectors_of_an_exposure_share_one_level(tmp_path):
    places = {"a1": {}, "a2": {"x": 8.0}, "b1": {"x": 2.0, "y": 2.0}, "b2": {"x": 10.0, "y": 2.0}}
    geometries = {name: geometry(**place) for name, place in places.items()}
    groups = {name: name[0] for name in places}
    images = scene(np.random.default_rng(3), {"a1": 0.3, "a2": 0.3, "b1": 0.35, "b2": 0.35})
    images["a2"][:] = np.nan
    records = measure(tmp_path, geometries, images, groups)
    assert set(records[0].overlaps) == {"b"}
    result = match_sky(records)
    found = levels(result)
    assert found["a1"] == found["a2"] == 0.0
    assert found["b1"] == found["b2"]
    assert abs(found["b1"] - 0.05) < 0.15 * NOISE
    assert set(statuses(result).values()) == {"COMPLETE"}
    [pair] = result.pairs
    assert pair.groups == ("a", "b")
    assert pair.residual == 0.0
    local = match_sky(
        measure(tmp_path, geometries, images, groups, skymethod="local"), skymethod="local"
    )
    assert levels(local)["b1"] == levels(local)["b2"] == min(
        r.whole.level for r in measure(tmp_path, geometries, images, groups, skymethod="local")
        if r.group == "b"
    )  # fmt: skip


def test_a_group_weighs_its_members_by_their_pixels():
    records = [
        record("a1", "a", {"b": [1.0, 100]}),
        record("a2", "a", {"b": [2.0, 300]}),
        record("a3", "a", {"b": [None, 0]}),
        record("b", "b", {"a": [5.0, 400]}),
    ]
    assert levels(match_sky(records)) == pytest.approx({"a1": 0, "a2": 0, "a3": 0, "b": 3.25})


def test_subsets_are_matched_each_within_itself():
    records = [
        record("a", overlaps={"b": [1.0, 10]}, own=[1.0, 10]),
        record("c", overlaps={"d": [7.0, 10]}, own=[7.0, 10]),
        record("b", overlaps={"a": [3.0, 10]}, own=[3.0, 10]),
        record("d", overlaps={"c": [7.5, 10]}, own=[7.5, 10]),
        record("e", own=[9.0, 10]),
    ]
    down = match_sky(records)
    assert levels(down) == pytest.approx({"a": 0, "b": 2, "c": 0, "d": 0.5, "e": None})
    assert down.subsets == [["a", "b"], ["c", "d"], ["e"]]
    assert statuses(down)["e"] == "SKIPPED"
    assert "no other exposure overlaps" in down.exposures["e"].reason
    up = match_sky(records, match_down=False)
    assert levels(up) == pytest.approx({"a": -2, "b": 0, "c": -0.5, "d": 0, "e": None})
    both = match_sky(records, skymethod="global+match")
    assert levels(both) == pytest.approx({"a": 1, "b": 3, "c": 1, "d": 1.5, "e": 1})
    both_up = match_sky(records, skymethod="global+match", match_down=False)
    assert levels(both_up) == pytest.approx({"a": 1, "b": 3, "c": 2.5, "d": 3, "e": 3})
    assert statuses(both)["e"] == "COMPLETE"
    assert "not matched" in both.exposures["e"].reason


@pytest.mark.parametrize("skymethod", ["match", "global", "global+match", "local"])
def test_all_bad_image(tmp_path, skymethod):
    geometries = {"a": geometry(), "b": geometry(1.0), "c": geometry(1.0, 1.0)}
    images = scene(np.random.default_rng(4), {"a": 0.3, "b": 0.3, "c": 0.4})
    images["b"][:] = np.nan
    result = match_sky(
        measure(tmp_path, geometries, images, skymethod=skymethod), skymethod=skymethod
    )
    found = statuses(result)
    assert found["a"] == found["c"] == "COMPLETE"
    assert found["b"] == ("COMPLETE" if "global" in skymethod else "FAILED")
    if "match" in skymethod:
        assert abs(levels(result)["c"] - levels(result)["a"] - 0.1) < 0.15 * NOISE
    if skymethod in ("match", "local"):
        assert levels(result)["b"] is None
        assert "good pixel" in result.exposures["b"].reason


def test_nothing_to_measure_at_all(tmp_path):
    geometries = {"a": geometry(), "b": geometry(1.0)}
    images = dict.fromkeys("ab", np.full((96, 128), np.nan))
    for method in ("match", "global", "global+match", "local"):
        result = match_sky(
            measure(tmp_path, geometries, images, skymethod=method), skymethod=method
        )
        assert statuses(result) == {"a": "FAILED", "b": "FAILED"}
        assert levels(result) == {"a": None, "b": None}
        assert result.rms is None


def test_one_exposure(tmp_path):
    images = {"a": sky_image(np.random.default_rng(5), 0.3)}
    result = match_sky(measure(tmp_path, {"a": geometry()}, images))
    assert statuses(result) == {"a": "SKIPPED"}
    assert levels(result) == {"a": None}
    own = match_sky(
        measure(tmp_path, {"a": geometry()}, images, skymethod="global+match"),
        skymethod="global+match",
    )
    assert abs(levels(own)["a"] - 0.3) < 0.15 * NOISE


# --- laws ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network():
    """Statistics of 12 exposures on a 4 by 3 pattern, neighbours tied with very uneven weights."""
    rng = np.random.default_rng(6)
    skies = rng.normal(1.0, 0.3, 12)
    records = [record(f"e{k}", own=[skies[k], 1000]) for k in range(12)]
    for i in range(12):
        for j in range(12):
            near = abs(i % 4 - j % 4) <= 1 and abs(i // 4 - j // 4) <= 1
            if near and i != j:
                npix = int(10 ** rng.uniform(0, 6.6))
                level = skies[i] + rng.normal(0, 0.01)
                records[i].overlaps[f"e{j}"] = SkySample(level, npix)
    return records


@settings(deadline=None, max_examples=15)
@given(st.permutations(range(12)), st.sampled_from(["match", "global+match"]))
def test_order_of_exposures_does_not_matter(network, order, skymethod):
    straight = match_sky(network, skymethod=skymethod)
    shuffled = match_sky([network[k] for k in order], skymethod=skymethod)
    assert levels(shuffled) == pytest.approx(levels(straight), abs=1e-10)
    assert shuffled.rms == pytest.approx(straight.rms, rel=1e-9)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 11), st.floats(-5, 5))
def test_a_constant_added_to_an_exposure_is_found(network, which, constant):
    shifted = list(network)
    moved = {g: SkySample(s.level + constant, s.npix) for g, s in network[which].overlaps.items()}
    shifted[which] = replace(network[which], overlaps=moved)
    before, after = levels(match_sky(network)), levels(match_sky(shifted))
    other = f"e{(which + 1) % 12}"
    gained = (after[f"e{which}"] - after[other]) - (before[f"e{which}"] - before[other])
    assert gained == pytest.approx(constant, abs=1e-9)


@settings(deadline=None, max_examples=8)
@given(st.floats(-0.2, 20).filter(lambda c: abs(c) > 0.05))
def test_a_constant_added_to_an_image_is_found(tmp_path_factory, constant):
    geometries = {name: geometry(**place) for name, place in PLACES.items()}
    images = scene(np.random.default_rng(7))
    images["c"] += constant
    tmp_path = tmp_path_factory.mktemp("constant")
    found = levels(match_sky(measure(tmp_path, geometries, images)))
    expected = TRUTH["c"] + constant - TRUTH["a"]
    assert abs(found["c"] - found["a"] - expected) < 0.15 * NOISE


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.tuples(st.integers(0, 7), st.integers(0, 7), st.floats(-1, 1), st.floats(0, 6.6)),
        max_size=20,
    )
)
def test_solution_is_right_but_for_rounding_however_uneven_the_weights(pairs):
    """A weak tie between strongly tied exposures feels the rounding of their residuals."""
    pairs = [(i, j, d, 10**w) for i, j, d, w in pairs if i != j]
    i, j, difference, weight = np.array(pairs).reshape(-1, 4).T
    i, j = i.astype(int), j.astype(int)
    found, subset = solve_differences(8, i, j, difference, weight)
    expected = naive.levels_from_differences(8, i, j, difference, weight)
    left = abs(difference - (expected[i] - expected[j])).max(initial=0.0)
    ratio = weight.max(initial=1.0) / weight.min(initial=weight.max(initial=1.0))
    error = found - expected
    for number in np.unique(subset):
        tied = error[subset == number]
        assert abs(tied - tied.mean()).max() <= 1e-14 + 20 * 2.2e-16 * ratio**2 * left


def test_solution_is_that_of_the_pseudo_inverse():
    rng = np.random.default_rng(9)
    i, j = np.array([(a, b) for a in range(12) for b in range(a) if (a - b) in (1, 4, 5)]).T
    difference, weight = rng.normal(0, 1, i.size), rng.uniform(1e5, 4e6, i.size)
    matrix = np.zeros((i.size, 12))
    matrix[np.arange(i.size), i], matrix[np.arange(i.size), j] = weight, -weight
    expected = np.linalg.pinv(matrix, rcond=1e-12) @ (weight * difference)
    found, subset = solve_differences(12, i, j, difference, weight)
    assert (subset == 0).all()
    np.testing.assert_allclose(found - found.mean(), expected, atol=1e-11)


def test_a_thousand_groups_are_solved_exactly():
    rng = np.random.default_rng(8)
    n = 1600
    i, j = np.array([(k, k + s) for k in range(n) for s in (1, 39, 40, 41) if k + s < n]).T
    truth = rng.normal(0, 1, n)
    found, subset = solve_differences(n, i, j, truth[i] - truth[j], rng.uniform(1, 4e6, i.size))
    assert (subset == 0).all()
    np.testing.assert_allclose(found, truth - truth[0], atol=1e-9)


# --- what an earlier run or the user says -------------------------------------------------------


def test_earlier_background(tmp_path):
    image = np.ones((96, 128))
    geometries, groups = {"a": geometry()}, {"a": "a"}
    path = write(tmp_path / "a.fits", image, BKGLEVEL=0.25, BKGSUB=True, BKGMETH="match")
    found = overlaps_of(path, "a", geometries, groups)
    assert found.before == 0.25


def test_level_is_the_whole_sky_and_delta_what_is_left_of_it():
    records = [
        record("a", overlaps={"b": [1.0, 10]}, before=0.2),
        record("b", overlaps={"a": [3.0, 10]}, before=0.5),
    ]
    found = match_sky(records).exposures
    assert (found["b"].level, found["b"].delta) == pytest.approx((2.5, 2.0))
    assert (found["a"].level, found["a"].delta) == pytest.approx((0.2, 0.0))
    fresh = [replace(r, before=0.0) for r in records]
    found = match_sky(fresh).exposures["b"]
    assert found.level == found.delta == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("level", "subtracted", "words"),
    [(0.2, None, "e1: .*BKGSUB.*fresh"), (None, False, "e1: .*BKGLEVEL.*fresh")],
)
def test_inconsistent_earlier_background(tmp_path, level, subtracted, words):
    header = {"BKGLEVEL": level, "BKGSUB": subtracted}
    header = {key: value for key, value in header.items() if value is not None}
    path = write(tmp_path / "a.fits", np.ones((96, 128)), **header)
    with pytest.raises(InputError, match=words):
        overlaps_of(path, "e1", {"e1": geometry()}, {"e1": "e1"})


def test_earlier_subtraction_must_be_the_same():
    for before, words in ((True, "was subtracted.*set it to True"), (False, "was not subtracted")):
        with pytest.raises(InputError, match=f"e1: .*{words}"):
            check_subtraction("e1", before, not before)
        check_subtraction("e1", before, before)
    check_subtraction("e1", None, True)


def test_a_skylist_of_an_editor_that_marks_its_bytes(tmp_path, caplog):
    path = tmp_path / "sky.txt"
    path.write_text("\ufeffa 0.25\r\nb 1\r\nc 2\r\n", "utf-8")
    with caplog.at_level("INFO"):
        assert read_skylist(path, ["a", "b"]) == {"a": 0.25, "b": 1.0}
    assert "lines of other exposures: 1" in caplog.text


def test_user_levels(tmp_path):
    path = tmp_path / "sky.txt"
    path.write_text(
        "# from my own fit\n/data/jw01_nrca1_cal.fits 0.25\n\njw01_nrca2  -1e-2 # dim\nother 3\n"
    )
    names = ["jw01_nrca1", "jw01_nrca2"]
    assert read_skylist(path, names) == {"jw01_nrca1": 0.25, "jw01_nrca2": -0.01}
    result = match_sky([record(n, "g") for n in names], skymethod="user", skylist=path)
    assert levels(result) == {"jw01_nrca1": 0.25, "jw01_nrca2": -0.01}
    assert set(statuses(result).values()) == {"COMPLETE"}
    assert result.subsets == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a_cal.fits 0.25\n", "no level of b"),
        ("a 0.25\nb 1\na_cal 1\n", "line 3 has a again"),
        ("a 0.25\nb\n", "line 2 is no name and sky level"),
        ("a 0.25\nb 1 2\n", "line 2 is no name and sky level"),
        *((f"a 0.25\nb {x}\n", "line 2 is no name and") for x in ("nan", "-inf", "1e30", "dim")),
        ("a 0.25\nb 1\n\xe9".encode("latin-1"), "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_bad_skylist(tmp_path, text, words):
    path = tmp_path / "sky.txt"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=rf"sky\.txt: .*{words}.*: "):
        read_skylist(path, ["a", "b"])
    with pytest.raises(InputError, match="skylist"):
        read_skylist(None, ["a", "b"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"skymethod": "best"},
        {"skystat": "max"},
        {"lsigma": 0},
        {"binwidth": 0.0},
        {"lower": 2, "upper": 1},
    ],
)
def test_wrong_parameters(tmp_path, wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        measure(tmp_path, {"a": geometry()}, {"a": np.ones((96, 128))}, **wrong)


def test_wrong_shape(tmp_path):
    with pytest.raises(InputError, match=r"a_cal\.fits: SCI has shape"):
        measure(tmp_path, {"a": geometry()}, {"a": np.ones((10, 10))})
