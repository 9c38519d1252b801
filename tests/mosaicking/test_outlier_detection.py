from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import maximum_filter

import naive
from geometries import make_geometry
from snakewebb.astrometry.alignment import AlignmentResult, ExposureAlignment
from snakewebb.errors import InputError
from snakewebb.io.dq import BITS, DO_NOT_USE
from snakewebb.io.planes import invalidate, read_planes
from snakewebb.kernels.median import choose_of_two, median_of_windows
from snakewebb.kernels.outlier_detection import blot, find_candidates
from snakewebb.mosaicking.median import MedianOptions, chosen, median_band, noise_range
from snakewebb.mosaicking.outlier_detection import (
    UNKNOWN_ALIGNMENT,
    WORST_ALIGNMENT,
    OutlierOptions,
    flag_outliers,
    reason_to_skip,
)
from snakewebb.mosaicking.resample import DrizzleOptions, Input, drizzle_band
from snakewebb.mosaicking.surroundings import Surroundings
from snakewebb.mosaicking.weights import typical_weights
from snakewebb.wcs.geometry import Correction
from snakewebb.wcs.grid import output_grid
from snakewebb.wcs.pixel_map import PixelMap

N = 80
SCALE = 0.06
CENTER = 10.0, 20.0
DITHERS = (0.0, 0.0, 0.0), (7.3, -4.6, 1.0), (-5.4, 3.8, -2.0), (2.7, 6.1, 0.0)  # x, y pixels; deg
SKIES = 3.0, 3.3, 2.6, 3.1
TIMES = SimpleNamespace(measurement_time=100.0, exposure_time=110.0)
STAR_FWHM = 2.3

# --- kernels -------------------------------------------------------------------------------------


RANGES = np.array([noise_range(number) for number in range(120)])


def run_median(images, windows, shape):
    pieces = [image[y0:y1, x0:x1] for image, (y0, y1, x0, x1) in zip(images, windows, strict=True)]
    starts = np.cumsum([0, *(piece.size for piece in pieces)])[:-1]
    table = [(*w, s) for w, s in zip(windows, starts, strict=True)]
    values = np.concatenate([np.zeros(0), *(piece.ravel() for piece in pieces)])
    found = np.empty((4, *shape), np.float32)
    table = np.array(table, np.int64).reshape(-1, 5)
    median_of_windows(values.astype(np.float32), table, RANGES, *found)
    return found


def choice(low, high):
    out = np.empty(low.shape, np.float32)
    choose_of_two(np.float32(low), np.float32(high), 0, out)
    return out


def covered(image, window):
    """An image that is NaN outside a window."""
    y0, y1, x0, x1 = window
    masked = np.full_like(image, np.nan)
    masked[y0:y1, x0:x1] = image[y0:y1, x0:x1]
    return masked


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 30), st.integers(0, 2**32 - 1))
def test_median_of_images_with_gaps(n, seed):
    rng = np.random.default_rng(seed)
    shape = 7, 9
    images = rng.normal(size=(n, *shape)).round(1).astype(np.float32)  # with ties
    images[rng.random(images.shape) < 0.3] = np.nan
    windows = [(*sorted(rng.integers(0, 8, 2)), *sorted(rng.integers(0, 10, 2))) for _ in range(n)]
    median = run_median(images, windows, shape)
    covering = [np.full(shape, np.nan), *map(covered, images, windows)]
    expected = naive.central_values(covering, RANGES)
    np.testing.assert_allclose(median, expected, rtol=1e-6)
    order = rng.permutation(n)
    shuffled = run_median(images[order], [windows[k] for k in order], shape)
    np.testing.assert_array_equal(shuffled, median)


def test_median_of_three_and_more_is_numpys():
    # of rows longer than what is sorted at once
    images = np.random.default_rng(1).normal(size=(26, 5, 300)).astype(np.float32)
    for n in (3, 4, 7, 8, 17, 26):
        median = run_median(images[:n], [(0, 5, 0, 300)] * n, (5, 300))
        np.testing.assert_array_equal(median[:2], [np.median(images[:n], axis=0)] * 2)
        others = np.sort(images[:n], axis=0)[:-1]
        np.testing.assert_array_equal(median[2], np.median(others, axis=0))
        spread = np.ptp(others[: n - 1 - n // 8], axis=0)
        np.testing.assert_allclose(median[3], spread / noise_range(n), rtol=1e-6)


@pytest.mark.parametrize("number", [3, 4, 8, 24, 60])
def test_the_range_of_noise(number):
    """Hardly exceeded by noise, and not by the hits of a few of many exposures either."""
    rng = np.random.default_rng(number)
    values = rng.standard_normal((number, 100, 100)).astype(np.float32)
    for struck in range(1 + number // 8):
        spread = run_median(values, [(0, 100, 0, 100)] * number, (100, 100))[3]
        assert np.quantile(spread, 0.95) < 2
        if not struck:
            assert 0.1 < (spread > 1).mean() < 0.2
        values[struck] += 1000


def test_median_of_many():
    images = np.random.default_rng(2).permutation(101 * 6).reshape(101, 2, 3).astype(np.float32)
    median = run_median(images, [(0, 2, 0, 3)] * 101, (2, 3))
    np.testing.assert_array_equal(median[:2], [np.median(images, axis=0)] * 2)


def pairs(seed, shape=(11, 12)):
    """Central values of two noisy images with gaps, outliers of both signs, and a third one."""
    rng = np.random.default_rng(seed)
    images = np.round(8 * rng.normal(size=(3, *shape))) / 8  # sums are exact, and there are ties
    images[rng.random(images.shape) < 0.05] += 20
    images[rng.random(images.shape) < 0.05] -= 20
    images[rng.random(images.shape) < 0.1] = np.nan
    images[2, :, : shape[1] // 2] = np.nan
    return naive.central_values(images, RANGES)[:2]


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_choice_of_two(seed):
    low, high = pairs(seed)
    out = choice(low, high)
    np.testing.assert_array_equal(out, naive.choose_of_two(low, high))
    np.testing.assert_array_equal(choice(low + 8, high + 8), out + 8)
    # Upside down the same is chosen, but for ties.
    higher = (out == high) & (high > low)
    np.testing.assert_array_equal(-choice(-high, -low)[higher], out[higher])


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 40), max_size=8))
def test_choice_does_not_depend_on_bands(seed, cuts):
    low, high = pairs(seed, (40, 9))
    others, spread = np.where(low < high, np.nan, low - 1), np.where(low < high, 0, 2)
    bands = np.split(np.stack((low, high, others, spread)).astype(np.float32), sorted(cuts), axis=1)
    out = np.concatenate(list(chosen(bands))).swapaxes(0, 1)
    median = choice(low, high)
    np.testing.assert_array_equal(out[0].view(np.uint32), median.view(np.uint32))
    np.testing.assert_array_equal(out[1], np.float32(np.where(np.isnan(others), median, others)))
    np.testing.assert_array_equal(out[2], spread)


def test_nothing_to_choose_from():
    assert not list(chosen([]))
    assert not list(chosen([np.empty((4, 0, 5), np.float32)]))


def of_two(first, second):
    return choice(np.minimum(first, second), np.maximum(first, second))


def blob(size, height):
    """A star's image of some FWHM in the middle of 25 x 25 pixels."""
    y, x = np.indices((25, 25)) - 12
    return height * np.exp(-4 * np.log(2) * (x**2 + y**2) / size**2)


@pytest.mark.parametrize("slope", [0.0, 3.0])
@pytest.mark.parametrize("height", [-300.0, -20.0, 20.0, 300.0])
def test_the_value_that_sticks_out_is_not_chosen(height, slope):
    rng = np.random.default_rng(1)
    sky = slope * np.indices((25, 25))[1] + rng.normal(size=(2, 25, 25))
    first, second = sky.copy()
    first[12, 12] += height
    first[12, 13] += height / 2
    assert of_two(first, second)[12, 12] == np.float32(second[12, 12])


@pytest.mark.parametrize("size", [2.0, 3.5, 6.0])
def test_a_negative_star_is_not_chosen(size):
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=(2, 25, 25))
    ghost = blob(size, 200.0)
    out = of_two(first - ghost, second)
    deep = ghost > 10
    assert (out == second.astype(np.float32))[deep].mean() > 0.95
    # and as little is a positive one that only one exposure has
    out = of_two(first + ghost, second)
    assert (out == second.astype(np.float32))[deep].mean() > 0.95


def test_a_disc_of_light_is_not_chosen():
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(2, 25, 25))
    y, x = np.indices((25, 25)) - 12
    disc = x**2 + y**2 < 10
    assert (of_two(first + 30 * disc, second) == second.astype(np.float32))[disc].all()


def test_on_a_star_the_lower_value_counts():
    star = blob(2.0, 1000.0)
    np.testing.assert_array_equal(of_two(0.9 * star, star), np.float32(0.9 * star))


def test_pixels_of_one_exposure_are_no_witnesses():
    low, high = np.zeros((9, 9)), np.full((9, 9), np.nan)
    low[4, 4], high[4, 4] = -50.0, 0.0
    assert choice(low, high)[4, 4] == -50
    high[4, 5] = 0.0
    assert choice(low, high)[4, 4] == 0


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_blot_is_bilinear(seed):
    rng = np.random.default_rng(seed)
    ny, nx = 8, 11
    mosaic = rng.normal(size=(ny, nx)).astype(np.float32)
    mosaic[rng.random(mosaic.shape) < 0.05] = np.nan
    u = rng.uniform(-1.5, nx + 1, (20, 20))
    v = rng.uniform(-1.5, ny + 1, (20, 20))
    u[:4] = rng.choice([0.0, -1e-9, 3.0, nx - 1, nx - 0.5, nx, np.nan], (4, 20))
    v[2:6] = rng.choice([0.0, -1e-9, 3.0, ny - 1, ny - 0.5, ny, np.nan], (4, 20))
    np.testing.assert_allclose(run_blot(mosaic, u, v), naive.blot(mosaic, u, v), 1e-5, 1e-6)


def run_blot(mosaic, u, v, top=0, left=0, shape=None):
    """Sample a mosaic and twice the same, somewhere in a larger image."""
    both = np.stack((mosaic, 2 * mosaic), axis=1)
    out = np.full((2, len(u) + 3, len(u[0]) + 5), 7, np.float32)
    blot(both, top, left, shape or mosaic.shape, u, v, 2, 4, out)
    samples = out[:, 2:-1, 4:-1].copy()
    np.testing.assert_array_equal(samples[1], 2 * samples[0])
    out[:, 2:-1, 4:-1] = 7
    assert (out == 7).all()
    return samples[0]


def test_blot_of_a_window_is_that_of_the_mosaic():
    rng = np.random.default_rng(3)
    mosaic = rng.normal(size=(30, 40)).astype(np.float32)
    u, v = rng.uniform(0, 40, (50, 50)), rng.uniform(0, 30, (50, 50))
    whole = run_blot(mosaic, u, v)
    part = run_blot(mosaic[10:, 15:], u, v, 10, 15, (30, 40))
    inside = (u >= 15) & (v >= 10)
    np.testing.assert_array_equal(part[inside], whole[inside])
    assert np.isnan(part[~inside]).all()
    assert not np.isnan(whole).any()


def scene(seed, shape=(12, 10)):
    rng = np.random.default_rng(seed)
    model = rng.normal(10, 1, shape).astype(np.float32)
    sci = (model + 0.5 + rng.normal(0, 4, shape)).astype(np.float32)
    err = rng.uniform(0.5, 1, shape).astype(np.float32)
    for plane in (sci, err, model):
        plane[rng.random(shape) < 0.08] = np.nan
    err[rng.random(shape) < 0.05] = 0
    return sci, err, model


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_candidates(seed):
    sci, err, lower = scene(seed)
    upper = lower - np.float32(0.5)
    found = np.empty(sci.shape, bool)
    find_candidates(sci, err, np.stack((lower, upper)), 0.5, 0.8, 4.0, found)
    expected = naive.candidates(sci, err, lower, upper, 0.5, 0.8, 4.0)
    np.testing.assert_array_equal(found, expected)
    assert not found[np.isnan(sci) | np.isnan(lower) | np.isnan(err)].any()


# --- synthetic exposures -------------------------------------------------------------------------


def placed(x, y, degrees, n=N):
    """A geometry moved by so many pixels and turned, and the way back from the plane."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix, shift = np.array([[c, -s], [s, c]]), np.array([-x, y]) * SCALE
    geometry = make_geometry(*CENTER, n=n).corrected(
        Correction(*CENTER, tuple(map(tuple, matrix)), tuple(shift))
    )

    def pixels(xi, eta):
        u = matrix.T @ (np.array([xi, eta]) - shift[:, None])
        return -u[0] / SCALE + (n - 1) / 2, u[1] / SCALE + (n - 1) / 2

    return geometry, pixels


def window_of(medians):
    return lambda rows, columns: np.ascontiguousarray(medians[rows, :, columns])


class Exposures:
    """A few stars on a sky, seen several times, and cosmic rays.

    ``fwhm`` is that of stars, pixels; ``varying`` the rms of their magnitudes' logarithm from
    exposure to exposure, ``lost`` by how many pixels the places of exposures are wrong. Errors of
    ``inflated`` rays grow until rays are of 1 to 3 errors.
    """

    def __init__(
        self, folder, dithers=DITHERS, skies=SKIES, seed=5, *,
        fwhm=STAR_FWHM, varying=0.0, lost=0.0, inflated=False,
    ):  # fmt: skip
        folder.mkdir(exist_ok=True)
        rng = np.random.default_rng(seed)
        others = np.random.default_rng(seed + 1)
        stars = rng.uniform(-2, 2, (2, 12))
        peaks = rng.uniform(5, 60, 12)
        y, x = np.indices((N, N))
        self.geometries, self.inputs, self.typical = {}, {}, {}
        self.paths, self.rays, self.cores = {}, {}, {}
        placements = [placed(*dither) for dither in dithers]
        names = [f"e{k}" for k in range(len(dithers))]
        self.grid = output_grid({n: g for n, (g, _) in zip(names, placements, strict=True)})
        for name, (geometry, pixels), sky in zip(names, placements, skies, strict=True):
            image, (core, near) = np.full((N, N), float(sky)), np.zeros((2, N, N), bool)
            factors = np.exp(varying * others.normal(size=12))
            slip = lost * others.normal(size=2)
            for xs, ys, peak in zip(*pixels(*stars), peaks * factors, strict=True):
                distance = np.hypot(x - xs - slip[0], y - ys - slip[1])
                image += peak * np.exp(-4 * np.log(2) * (distance / fwhm) ** 2)
                core |= distance < 1.5
                near |= distance < 3
            rnoise = 0.01 * np.exp(0.1 * rng.normal(size=(N, N)))
            poisson = 0.002 * image
            err = np.sqrt(rnoise + poisson)
            image += err * rng.normal(size=(N, N))
            dq = np.where(rng.random((N, N)) < 0.01, DO_NOT_USE, 0).astype(np.uint32)
            rays = np.zeros((N, N))
            # Beside a star a hit may hide in what the star's shape explains.
            hit = (rng.random((N, N)) < 0.005) & ~near & (dq == 0)
            rays[hit] = rng.uniform(10, 60, hit.sum())
            image += rays * err
            if inflated:
                rnoise[hit] += ((rays[hit] / others.uniform(1, 3, hit.sum())) ** 2 - 1) * err[
                    hit
                ] ** 2
                err = np.sqrt(rnoise + poisson)
            image[dq != 0] = np.nan
            path = folder / f"{name}_cal.fits"
            planes = {
                "SCI": image, "ERR": err, "VAR_RNOISE": rnoise, "VAR_POISSON": poisson
            }  # fmt: skip
            hdus = [fits.ImageHDU(p.astype(np.float32), name=n) for n, p in planes.items()]
            fits.HDUList([fits.PrimaryHDU(), *hdus, fits.ImageHDU(dq, name="DQ")]).writeto(path)
            self.geometries[name], self.paths[name] = geometry, path
            self.rays[name], self.cores[name] = rays, core
            self.typical[name] = typical_weights(path, TIMES)
            self.inputs[name] = Input(
                name, path, PixelMap(geometry, self.grid), sky, *vars(TIMES).values()
            )

    def chosen(self, *numbers):
        return [self.inputs[f"e{k}"] for k in numbers]

    def median(self, exposures, bands=1, **options):
        ny = self.grid.shape[0]
        rows = (slice(ny * b // bands, ny * (b + 1) // bands) for b in range(bands))
        made = (
            median_band(exposures, self.typical, self.grid, r, MedianOptions(**options))
            for r in rows
        )
        return np.concatenate(list(chosen(made)))

    def planes(self, name):
        planes = read_planes(self.paths[name], ("SCI", "ERR", "DQ", "VAR_RNOISE"))
        invalidate(planes)
        return planes

    def others(self, name, plane="VAR_RNOISE"):
        names = [other for other in self.paths if other != name]
        return [read_planes(self.paths[other], (plane,))[plane] for other in names[:2]]

    def flags(self, name, median, planes=None, others=None, **options):
        sky = options.pop("sky_level", self.inputs[name].sky)
        rms = options.pop("alignment_rms", 1.0)
        return flag_outliers(
            self.planes(name) if planes is None else planes,
            self.inputs[name].pixel_map,
            window_of(median),
            sky,
            OutlierOptions(**options),
            self.others(name) if others is None else others,
            rms,
        )

    def score(self, median, names):
        """Return flagged shares of cosmic rays and of star cores, and how many others."""
        found = {name: self.flags(name, median) for name in names}
        rays = np.concatenate([found[name][self.rays[name] > 0] for name in names])
        cores = np.concatenate([found[name][self.cores[name]] for name in names])
        others = sum((found[n] & (self.rays[n] == 0) & ~self.cores[n]).sum() for n in names)
        return rays.mean(), cores.mean(), others


@pytest.fixture(scope="module")
def exposures(tmp_path_factory):
    return Exposures(tmp_path_factory.mktemp("exposures"))


def test_typical_weight_of_good_pixels(tmp_path):
    rng = np.random.default_rng(1)
    variance = (0.01 * np.exp(0.05 * rng.normal(size=(60, 60)))).astype(np.float32)
    dq = np.zeros((60, 60), np.uint32)
    variance[:5], dq[:5] = 1e-6, DO_NOT_USE
    variance[5, :10], variance[6], variance[7] = 1e-5, 0, np.nan
    path = tmp_path / "a_cal.fits"

    def write(**planes):
        hdus = [fits.ImageHDU(plane, name=name) for name, plane in planes.items()]
        fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path, overwrite=True)
        return typical_weights(path, TIMES)

    found = write(SCI=np.zeros((60, 60), np.float32), DQ=dq, VAR_RNOISE=variance)
    assert found["ivm"] == pytest.approx(100, rel=0.01)
    assert found["exptime"] == 100
    dq[:] = DO_NOT_USE
    assert write(SCI=variance, DQ=dq, VAR_RNOISE=variance)["ivm"] == 0
    assert write(SCI=variance, DQ=dq)["ivm"] == 1
    assert (
        typical_weights(path, SimpleNamespace(measurement_time=None, exposure_time=7))["exptime"]
        == 7
    )


@pytest.mark.parametrize(
    ("ratio", "options"),
    [
        (1.0, {}),
        (1.0, {"weight_type": "exptime"}),
        (0.5, {}),
        (2.0, {}),
        (1.0, {"pixfrac": 0.6}),
        (0.5, {"pixfrac": 0.2}),
        (0.5, {"kernel": "point"}),
    ],
)
def test_threshold_is_that_of_the_whole_mosaic(exposures, ratio, options):
    """As the reference pipeline has it: maskpt times the mean weight where there is weight."""
    grid = output_grid(exposures.geometries, pixel_scale_ratio=ratio)
    group = [replace(exposures.inputs["e1"], pixel_map=PixelMap(exposures.geometries["e1"], grid))]
    how = DrizzleOptions(enable_err=False, **options)
    drizzled = drizzle_band(group, grid, slice(None), how, good_bits="~DO_NOT_USE")
    mean = drizzled.wht[drizzled.wht > 0].mean(dtype=float)
    for maskpt in (0.5, 0.9):
        median = median_band(
            group, exposures.typical, grid, slice(None), MedianOptions(maskpt=maskpt, **options)
        )[0]
        assert np.isnan(median[drizzled.wht < 0.9 * maskpt * mean]).all()
        assert not np.isnan(median[drizzled.wht > 1.1 * maskpt * mean]).any()


def test_median_is_that_of_whole_mosaics(exposures):
    images = []
    for name, exposure in exposures.inputs.items():
        how = DrizzleOptions(enable_err=False)
        band = drizzle_band([exposure], exposures.grid, slice(None), how, good_bits="~DO_NOT_USE")
        band.sci[band.wht < 0.7 * exposures.typical[name]["ivm"]] = np.nan
        images.append(band.sci)
    median = exposures.median(exposures.chosen(0, 1, 2, 3))[:, 0]
    np.testing.assert_allclose(median, naive.median_of_images(images), rtol=1e-5, equal_nan=True)
    assert np.isfinite(median).mean() > 0.9


@pytest.mark.parametrize("pixfrac", [1.0, 0.7])
def test_bands_do_not_matter(exposures, pixfrac):
    one, two, three, four = exposures.inputs.values()
    chosen = [one, two, three, four]
    whole = exposures.median(chosen, pixfrac=pixfrac)
    for bands in (2, 5, 17):
        cut = exposures.median(chosen, bands, pixfrac=pixfrac)
        np.testing.assert_array_equal(cut.view(np.uint32), whole.view(np.uint32))


def test_exposures_beside_the_band_are_not_needed(exposures):
    rows = slice(0, 5)
    chosen = exposures.chosen(0, 1, 2, 3)
    near = [g for g in chosen if g.pixel_map.bounds()[2] < rows.stop]
    assert len(near) < len(chosen)
    few, all_ = (median_band(g, exposures.typical, exposures.grid, rows) for g in (near, chosen))
    np.testing.assert_array_equal(few, all_)
    assert np.isnan(median_band([], {}, exposures.grid, rows)[:3]).all()


def test_an_exposure_without_a_good_pixel_does_not_count(exposures):
    bad = exposures.planes("e2") | {"VAR_RNOISE": None}
    bad["DQ"][:] = DO_NOT_USE
    chosen = exposures.chosen(0, 1, 2, 3)
    typical = exposures.typical | {"e2": {"ivm": 0.0}}
    chosen[2] = replace(chosen[2], source=bad)
    median = median_band(chosen, typical, exposures.grid, slice(None))
    expected = median_band(
        exposures.chosen(0, 1, 3), exposures.typical, exposures.grid, slice(None)
    )
    np.testing.assert_array_equal(median, expected)


def test_cosmic_rays_are_flagged_and_stars_are_not(exposures):
    names = list(exposures.inputs)
    median = exposures.median(exposures.chosen(0, 1, 2, 3))
    rays, cores, others = exposures.score(median, names)
    assert rays > 0.95  # some of the edge is seen by one exposure only
    assert cores < 0.002
    assert others <= 1


def test_hits_that_inflate_their_errors_are_flagged(tmp_path):
    struck = Exposures(tmp_path, inflated=True)
    median = struck.median(struck.chosen(0, 1, 2, 3))
    rays, cores, others = struck.score(median, struck.inputs)
    assert rays > 0.95
    assert cores < 0.002
    assert others <= 1
    # The same without a word of variances, and without another exposure of the detector.
    for name in struck.inputs:
        plain = read_planes(struck.paths[name], ("SCI", "ERR", "DQ"))
        invalidate(plain)
        hit = struck.rays[name] > 0
        for found in (
            struck.flags(name, median, planes=plain, others=struck.others(name, "ERR")),
            struck.flags(name, median, others=[]),
        ):
            assert found[hit].mean() > 0.85
            assert found[~hit].sum() <= 1


def test_a_short_ramp_keeps_its_error(exposures):
    median = exposures.median(exposures.chosen(0, 1, 2, 3))
    planes = exposures.planes("e1")
    hit = (exposures.rays["e1"] > 0) & exposures.flags("e1", median)
    planes["ERR"][hit] *= 60
    assert exposures.flags("e1", median, planes=planes)[hit].all()
    for name in ("SATURATED", "CHARGELOSS"):
        flagged = {**planes, "DQ": np.where(hit, BITS[name], planes["DQ"]).astype(np.uint32)}
        assert not exposures.flags("e1", median, planes=flagged)[hit].any()


def test_a_noisy_pixel_is_no_outlier_in_each_exposure(tmp_path):
    noisy = Exposures(tmp_path)
    rng = np.random.default_rng(7)
    some = (rng.random((N, N)) < 0.01) & ~np.any(list(noisy.cores.values()), axis=0)
    some &= ~np.any([rays > 0 for rays in noisy.rays.values()], axis=0)
    for path in noisy.paths.values():
        with fits.open(path, mode="update") as hdus:
            variance = 400 * hdus["VAR_RNOISE"].data[some]
            hdus["VAR_RNOISE"].data[some] = variance
            hdus["ERR"].data[some] = np.sqrt(variance)
            hdus["SCI"].data[some] += rng.normal(0, np.sqrt(variance)).astype(np.float32)
    median = noisy.median(noisy.chosen(0, 1, 2, 3))
    found = {name: noisy.flags(name, median) for name in noisy.inputs}
    assert not np.any([flags[some] for flags in found.values()])
    alone = [noisy.flags(name, median, others=[]) for name in noisy.inputs]
    assert np.mean([flags[some] for flags in alone]) > 0.3  # neighbours cannot tell


def test_two_of_four_that_are_struck_are_both_found(exposures):
    """The median of all lies halfway; of the others it does not."""
    median = exposures.median(exposures.chosen(0, 1, 2, 3))
    struck = median.copy()
    both = np.isfinite(median[:, 0]) & (median[:, 0] < 1)
    ny, nx = both.shape
    grid = both & (np.add.outer(np.arange(ny), np.arange(nx)) % 12 == 0)
    struck[:, 0][grid] += 50  # two of four values are 100 higher
    planes = exposures.planes("e0")
    planes["SCI"] += np.nan_to_num(blotted(exposures, "e0", 2 * (struck - median)[:, 0]))
    found = exposures.flags("e0", struck, planes=planes)
    assert found[planes["SCI"] > 50].mean() > 0.9


def blotted(exposures, name, image):
    out = np.full((2, N, N), np.nan, np.float32)
    u, v = exposures.inputs[name].pixel_map.lattice(np.arange(N), np.arange(N))
    blot(np.stack((image, image), axis=1), 0, 0, image.shape, u, v, 0, 0, out)
    return out[0]


@pytest.mark.parametrize(
    ("stars", "spared", "lost_otherwise"),
    [
        ({"fwhm": 1.3}, "_sharpness", 0.01),
        ({"fwhm": 3.5, "varying": 0.15, "number": 2}, "_variation", 0.01),
        ({"fwhm": 1.8, "lost": 0.18}, "_disagreement", 0.003),
    ],
)
def test_star_cores_are_spared(tmp_path, monkeypatch, stars, spared, lost_otherwise):
    """Undersampled stars, variable ones, and exposures that are not where they say."""
    stars = {"number": 4, **stars}
    number = stars.pop("number")
    made = [
        Exposures(tmp_path / str(seed), DITHERS[:number], SKIES[:number], seed, **stars)
        for seed in (5, 6)
    ]
    medians = [each.median(each.chosen(*range(number))) for each in made]

    def lost():
        return np.mean([e.score(m, e.inputs)[1] for e, m in zip(made, medians, strict=True)])

    assert lost() < 0.002
    for each, median in zip(made, medians, strict=True):
        assert each.score(median, each.inputs)[0] > 0.75  # the rest lies at edges

    nothing = {"_variation": (0.0, 0.0)}.get(spared, 0.0)
    monkeypatch.setattr(Surroundings, spared, lambda *_: nothing)
    assert lost() > lost_otherwise


@pytest.mark.parametrize("fwhm", [1.3, 2.3])
def test_a_strong_hit_on_a_star_is_found(tmp_path, fwhm):
    made = Exposures(tmp_path, fwhm=fwhm)
    median = made.median(made.chosen(0, 1, 2, 3))
    for name in made.inputs:
        planes = made.planes(name)
        brightness = planes["SCI"] - made.inputs[name].sky
        peaks = made.cores[name] & (brightness == maximum_filter(brightness, 5)) & (brightness > 4)
        planes["SCI"][peaks] += 4 * brightness[peaks]
        assert made.flags(name, median, planes=planes)[peaks].mean() > 0.7


@pytest.mark.parametrize(
    ("rms", "pixels"),
    [(6.0, 0.1), (0.0, 0.0), (None, UNKNOWN_ALIGNMENT), (500.0, WORST_ALIGNMENT)],
)
def test_the_alignment_explains_what_was_measured_of_it(exposures, monkeypatch, rms, pixels):
    """In mas, 60 of which are a pixel; false matches do not hide all there is."""
    told = []

    def explain(self, image, noise, error, spread):
        told.append(error)
        return 0 * noise

    monkeypatch.setattr(Surroundings, "explain", explain)
    median = exposures.median(exposures.chosen(0, 1, 2, 3))
    exposures.flags("e0", median, alignment_rms=rms)
    assert told == [pytest.approx(pixels, rel=1e-3)]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_flags_are_those_of_the_plain_rule(exposures, seed):
    """Where errors are as they should be, and nothing is explained by a pixel's surroundings."""
    rng = np.random.default_rng(seed)
    name, background = "e0", 0.5
    shape = exposures.grid.shape
    median = rng.normal(10, 1, shape).astype(np.float32)
    model = blotted(exposures, name, median)
    err = rng.uniform(0.95, 1.05, (N, N)).astype(np.float32)
    sci = np.float32(model + background + err * rng.normal(0, 4, (N, N)))
    sci[rng.random((N, N)) < 0.05] = np.nan
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Surroundings, "explain", lambda self, image, noise, error, _: 0 * noise)
        found = exposures.flags(
            name,
            np.stack((median, median, 0 * median), axis=1),
            planes={"SCI": sci, "ERR": err, "DQ": None},
            others=[],
            sky_level=background,
        )
    expected = naive.flag_outliers(sci, err, model, background, (5.0, 4.0), (1.2, 0.7))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("stricter", [{"snr": "7 6"}, {"snr": "5 5"}, {"scale": "3 2"}])
def test_stricter_thresholds_flag_no_more(exposures, stricter):
    median = exposures.median(exposures.chosen(0, 1, 2, 3))
    for name in exposures.inputs:
        loose, strict = exposures.flags(name, median), exposures.flags(name, median, **stricter)
        assert not (strict & ~loose).any()
        assert strict.any()


def test_two_exposures_suffice(exposures):
    """Where the mean of two values is taken, as in jwst, both are flagged or none is."""
    names = ["e0", "e3"]
    rays, cores, others = exposures.score(exposures.median(exposures.chosen(0, 3)), names)
    assert rays > 0.8  # the rest is where the two do not overlap
    assert cores < 0.01
    assert others <= 2


def test_sky_is_taken_off(exposures):
    median = exposures.median(exposures.chosen(0, 1, 2, 3))
    expected = exposures.flags("e1", median)
    by_parameter = exposures.flags("e1", median, sky_level=None, backg=SKIES[1])
    np.testing.assert_array_equal(by_parameter, expected)
    assert exposures.flags("e1", median, sky_level=0.0).mean() > 0.5
    both = exposures.flags("e1", median, backg=99.0)
    np.testing.assert_array_equal(both, expected)


def test_nothing_is_flagged_outside_the_bounding_box(exposures):
    geometry = exposures.geometries["e0"]
    inner = np.linspace(20, 60.5, 9)
    u, v = exposures.inputs["e0"].pixel_map.lattice(inner, inner)
    ra, dec = exposures.grid.pixel_to_sky(u, v)
    part = replace(geometry, x_nodes=inner, y_nodes=inner, ra=ra, dec=dec)
    planes = exposures.planes("e0")
    planes["SCI"] += 1000
    flagged = flag_outliers(
        planes,
        PixelMap(part, exposures.grid),
        window_of(exposures.median(exposures.chosen(0, 1, 2, 3))),
        SKIES[0],
    )
    expected = np.zeros((N, N), bool)
    expected[20:61, 20:61] = ~np.isnan(planes["SCI"][20:61, 20:61])
    np.testing.assert_array_equal(flagged, expected)


@pytest.mark.parametrize("bands", [1, 3])
def test_comparison_on_the_detector(tmp_path, bands):
    fixed = Exposures(tmp_path, [(0.0, 0.0, 0.0)] * 5, [3.0] * 5)
    chosen = fixed.chosen(0, 1, 2, 3, 4)
    median = fixed.median(chosen, bands, resample_data=False)
    assert median.shape == (N, 3, N)
    found = np.stack([fixed.flags(n, median, resample_data=False) for n in fixed.inputs])
    rays = np.stack(list(fixed.rays.values()))
    assert found[rays > 0].mean() > 0.98
    assert found[rays == 0].sum() <= 2
    few = fixed.flags("e0", median, resample_data=False, snr="1e9 0.1", scale="0 0")
    assert not few.any()


def test_weak_and_bad_pixels_do_not_count_on_the_detector(tmp_path):
    fixed = Exposures(tmp_path, [(0.0, 0.0, 0.0)] * 3, [3.0] * 3)
    for name in ("e0", "e1"):
        with fits.open(fixed.paths[name], mode="update") as hdus:
            hdus["SCI"].data[10, 10:12] = 1000
            hdus["DQ"].data[10, 10] = BITS["WARM"]
            hdus["DQ"].data[10, 11] = 0
            hdus["VAR_RNOISE"].data[10, 11] = 0.02
    chosen = fixed.chosen(0, 1, 2)
    options = {"resample_data": False, "good_bits": "0"}
    assert (fixed.median(chosen, **options)[10, 0, 10:12] < 10).all()
    assert fixed.median(chosen, resample_data=False)[10, 0, 10] == 1000
    assert fixed.median(chosen, **options, weight_type="exptime")[10, 0, 11] == 1000
    assert fixed.median(chosen, **options, maskpt=0.3)[10, 0, 11] == 1000


def test_comparison_on_the_detector_needs_equal_shapes(exposures):
    geometry = make_geometry(*CENTER, n=40)
    other = replace(exposures.inputs["e1"], pixel_map=PixelMap(geometry, exposures.grid))
    chosen = [exposures.inputs["e0"], other]
    with pytest.raises(InputError, match=r"e1: has shape .*resample_data"):
        exposures.median(chosen, resample_data=False)


@pytest.mark.parametrize(
    "options", [{"snr": "5.0"}, {"snr": "5 four"}, {"scale": "1 2 3"}, {"scale": ""}]
)
def test_parameters_must_be_two_numbers(exposures, options):
    median = np.zeros((exposures.grid.shape[0], 3, exposures.grid.shape[1]), np.float32)
    with pytest.raises(InputError, match=r"outlier_detection\.(snr|scale): .*not two numbers"):
        exposures.flags("e0", median, **options)


def test_an_exposure_without_errors(exposures):
    planes = {**exposures.planes("e0"), "ERR": None}
    with pytest.raises(InputError, match="no ERR"):
        flag_outliers(planes, exposures.inputs["e0"].pixel_map, lambda *window: None, 0.0)


def test_when_there_is_nothing_to_compare():
    assert reason_to_skip(["a"]) == "there is one exposure only"
    assert "of one group" in reason_to_skip(["a", "a"])
    assert reason_to_skip(["a", "a"], resample_data=False) is None
    assert reason_to_skip(["a", "b"]) is None


def result(step, status):
    end = ExposureAlignment(status=status, reason="no MT_RA")
    return AlignmentResult(step, {}, {"e0": end, "e1": end}, (), {}, None)


def test_what_moves_between_exposures_is_compared_if_it_is_aligned():
    lost = result("assign_mtwcs", "FAILED").lost_target
    assert "would be flagged: no MT_RA" in reason_to_skip(["a", "b"], lost)
    assert reason_to_skip(["a", "b"], lost, resample_data=False) is None  # the telescope follows it
    for step, status in (("tweakreg", "FAILED"), ("assign_mtwcs", "SKIPPED")):
        assert reason_to_skip(["a", "b"], result(step, status).lost_target) is None
