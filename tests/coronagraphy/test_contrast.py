"""Noise, throughput and point sources about a star."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import spline_filter
from scipy.stats import norm, t

from coronagraphs import SCALE, STAR, geometry
from naive import ring_statistics as naive_ring
from snakewebb.coronagraphy.combine import combiner
from snakewebb.coronagraphy.contrast import Contrast, measure_contrast
from snakewebb.coronagraphy.contrast_file import write_contrast
from snakewebb.coronagraphy.detection import detect
from snakewebb.coronagraphy.frame import Frame
from snakewebb.coronagraphy.injection import Reduction, companion_image, throughput
from snakewebb.coronagraphy.noise import (
    Rings,
    flux_at,
    flux_map,
    significance,
    small_sample_penalty,
)
from snakewebb.coronagraphy.noise_curve import Unmeasurable
from snakewebb.coronagraphy.psf import model_psf, read_psf
from snakewebb.coronagraphy.scene import Scene
from snakewebb.coronagraphy.star_brightness import StarBrightness
from snakewebb.errors import InputError
from snakewebb.kernels.noise import ring_statistics
from snakewebb.mosaicking.resample import Input
from snakewebb.references.filters import FILTERS
from snakewebb.simulate.coronagraph import Coronagraph, Mask
from snakewebb.simulate.detector import FILTERS as SIMULATED
from snakewebb.wcs.grid import output_grid
from snakewebb.wcs.pixel_map import PixelMap

SIZE = 120
WAVELENGTH = 3.365e-6
STAR_JANSKY = 2.0


@pytest.fixture(scope="module")
def psf():
    return model_psf(WAVELENGTH, 0.347e-6, SCALE, size=65)


class Observation:
    """Two rolls and a reference star: speckles that drift, noise, and companions."""

    rolls = (100.0, 110.0)
    centers = ((60.2, 59.6), (59.9, 59.8))

    def __init__(self, psf, companions=(), integrations=3, references=12, seed=1):
        rng = np.random.default_rng(seed)
        y, x = np.indices((SIZE, SIZE))
        r = np.hypot(x - 60, y - 60)
        speckle = psf.at((SIZE, SIZE), 60, 60)
        patterns = []
        for _ in range(5):
            field = np.fft.irfft2(np.fft.rfft2(rng.normal(size=r.shape)) * np.fft.rfft2(speckle))
            patterns.append(1e4 * field / field.std() * np.exp(-r / 12))
        star = 5e4 * np.exp(-r / 12)

        def images(number, noise=1.0):
            return np.array(
                [
                    star
                    + sum(0.1 * a * p for a, p in zip(rng.normal(1, 1, 5), patterns, strict=True))
                    + rng.normal(0, noise, r.shape)
                    for _ in range(number)
                ]
            )

        self.references = images(references)
        geometries = [
            geometry(roll, center, SIZE)
            for roll, center in zip(self.rolls, self.centers, strict=True)
        ]
        self.frames = [
            Frame.of_exposure(g, center) for g, center in zip(geometries, self.centers, strict=True)
        ]
        self.cubes = [images(integrations) for _ in self.rolls]
        for companion in companions:
            self.cubes = [
                cube + companion_image(cube.shape[1:], frame, psf, companion)
                for cube, frame in zip(self.cubes, self.frames, strict=True)
            ]
        self.grid = output_grid(dict(enumerate(geometries)), rotation=0.0)
        maps = [PixelMap(g, self.grid) for g in geometries]
        inputs = [Input("", {"SCI": None}, way) for way in maps for _ in range(integrations)]
        self.combine = combiner(inputs)

    def scene(self, psf, transmission=None):
        return Scene(self.cubes, self.frames, psf, self.grid, STAR, transmission)

    def subtract(self, cube, references, truncate):
        """Subtract the principal components of references, the textbook way."""
        centred = references.reshape(len(references), -1)
        centred = centred - centred.mean(axis=1, keepdims=True)
        values, vectors = np.linalg.eigh(centred @ centred.T)
        modes = (vectors / np.sqrt(values)).T[::-1][:truncate] @ centred
        target = cube.reshape(len(cube), -1)
        target = target - target.mean(axis=1, keepdims=True)
        return (target - target @ modes.T @ modes).reshape(cube.shape)

    def reduce(self, *truncate, adi=False):
        """Return the reduction with some numbers of modes, as `measure_contrast` takes it."""

        def reduction(cubes):
            images = []
            for number in truncate:
                residuals = []
                for k, cube in enumerate(cubes):
                    library = self.references
                    if adi:
                        library = np.concatenate((library, cubes[1 - k]))
                    residuals.append(self.subtract(cube, library, number))
                images.append(self.combine(residuals))
            return np.array(images)

        return Reduction(reduction)


COMPANIONS = ((1.0, 40.0, 2e-4), (2.2, 250.0, 3e-5))


@pytest.fixture(scope="module")
def observation(psf):
    return Observation(psf, COMPANIONS)


def measure(scene, observation, *truncate, reduce=None, star_jansky=STAR_JANSKY):
    return measure_contrast(
        reduce or observation.reduce(*truncate),
        observation.combine,
        scene,
        wavelength=WAVELENGTH,
        truncate=truncate,
        star_jansky=star_jansky,
    )


@pytest.fixture(scope="module")
def measured(observation, psf):
    return measure(observation.scene(psf), observation, 8, 3)


# --- frames and the PSF --------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(st.floats(0.1, 3), st.floats(0, 359.9), st.floats(0, 360), st.floats(40, 80))
def test_places_and_polar_coordinates_are_inverse(separation, pa, roll, x):
    frame = Frame.of_exposure(geometry(roll, (x, 61.0), SIZE), (x, 61.0))
    found = frame.polar(*frame.place(separation, pa))
    assert found[0] == pytest.approx(separation)
    assert (found[1] - pa + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)
    assert frame.pixel_scale == pytest.approx(SCALE, rel=1e-6)


def test_frames_of_exposures_and_their_mosaic_agree(observation):
    frame = Frame.of_grid(observation.grid, *STAR)
    maps = [
        PixelMap(geometry(roll, center, SIZE), observation.grid)
        for roll, center in zip(observation.rolls, observation.centers, strict=True)
    ]
    for other, way in zip(observation.frames, maps, strict=True):
        x, y = other.place(2.0, 30.0)
        u, v = way.lattice(np.array([x]), np.array([y]))
        assert (u.item(), v.item()) == pytest.approx(frame.place(2.0, 30.0), abs=1e-4)


def test_position_angles_are_east_of_north(observation):
    frame = Frame.of_grid(observation.grid, *STAR)
    x, y = frame.place(1.0, 90.0)
    ra, dec = observation.grid.pixel_to_sky(x, y)
    assert ra > STAR[0]
    assert dec == pytest.approx(STAR[1], abs=1e-7)


def test_the_model_measures_all_of_a_stars_light():
    shape, center = (320, 320), (90.0, 90.0)
    mask = Mask("round", 0.63, 0.6)
    optics = Coronagraph(mask, WAVELENGTH, 0.347e-6, shape, center, (SCALE, SCALE))
    model = model_psf(WAVELENGTH, 0.347e-6, SCALE, margin=mask.margin)
    for place in ((90.0, 90.0), (84.3, 92.6)):
        star = optics.image(place, masked=False)
        # The simulator's stop is sampled more coarsely, and so passes 2 % more.
        assert flux_at(star, model, *place) == pytest.approx(1.02, abs=0.01)


@pytest.mark.parametrize("place", [(30.0, 30.0), (30.5, 29.5), (30.27, 30.81)])
def test_a_star_keeps_its_flux_wherever_it_is(psf, place):
    image = psf.at((61, 61), *place)
    assert image.sum() == pytest.approx(psf.image.sum() / psf.oversample**2, abs=0.006)
    assert flux_at(3 * image, psf, *place) == pytest.approx(3)
    y, x = np.indices(image.shape)
    image /= image.sum()
    assert ((image * x).sum(), (image * y).sum()) == pytest.approx(place, abs=0.2)


def test_an_image_at_the_detectors_pixels_makes_a_psf(tmp_path, psf):
    image = psf.at((61, 61), 30, 30)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(7 * image)]).writeto(tmp_path / "psf.fits")
    found = read_psf(tmp_path / "psf.fits")
    for place in ((30.5, 30.5), (30.2, 29.7)):
        difference = image.sum() * found.at((61, 61), *place) - psf.at((61, 61), *place)
        assert np.abs(difference).max() < 0.005 * image.max()


@pytest.mark.parametrize("image", [np.ones((4, 4)), np.full((5, 5), np.nan), np.zeros((5, 5))])
def test_no_psf_without_light(tmp_path, image):
    fits.PrimaryHDU(image).writeto(tmp_path / "psf.fits")
    with pytest.raises(InputError, match=r"psf\.fits: .*: give"):
        read_psf(tmp_path / "psf.fits")


def test_the_psf_of_a_mosaic_is_that_of_drizzled_stars(observation, psf):
    ratios = []
    frame = Frame.of_grid(observation.grid, *STAR)
    drizzled = psf.drizzled()
    for k in range(24):
        separation, pa = 0.3 + 0.1 * k, 67.0 * k
        cubes = [
            np.tile(companion_image((SIZE, SIZE), f, psf, (separation, pa, 1.0)), (3, 1, 1))
            for f in observation.frames
        ]
        image = observation.combine(cubes)
        found = flux_at(image, drizzled, *frame.place(separation, pa))
        ratios.append(found * frame.jansky)
    assert np.mean(ratios) == pytest.approx(1, abs=0.01)
    assert np.std(ratios) < 0.03


def test_wavelengths_are_the_simulators():
    for instrument, filters in FILTERS.items():
        for name in filters.keys() & SIMULATED[instrument].keys():
            wavelength = SIMULATED[instrument][name].wavelength
            assert filters[name].wavelength == pytest.approx(1e-6 * wavelength, rel=1e-2)


# --- noise ---------------------------------------------------------------------------------------


def test_ring_statistics():
    rng = np.random.default_rng(3)
    image, good = rng.normal(5, 2, (40, 50)), rng.random((40, 50)) > 0.2
    x, y = rng.uniform(-2, 52, 60), rng.uniform(-2, 42, 60)
    for first in (0, 1, 2):
        out = np.empty(60), np.empty(60), np.empty(60, np.int64)
        ring_statistics(
            spline_filter(image, mode="mirror"), good, 24.3, 20.1, 2.5, x, y, first, *out
        )
        expected = naive_ring(image, good, (24.3, 20.1), 2.5, x, y, first)
        for found, truth in zip(out, expected, strict=True):
            np.testing.assert_allclose(found, truth, rtol=1e-8, atol=1e-9)


def test_penalty_for_few_elements():
    # The definition, by simulation at a rarity that can be simulated.
    rng = np.random.default_rng(5)
    for n in (4, 9):
        samples = rng.normal(size=(200_000, n))
        limit = small_sample_penalty(n, 2.0) * samples[:, 1:].std(axis=1, ddof=1)
        alarms = np.mean(samples[:, 0] - samples[:, 1:].mean(axis=1) > limit)
        assert alarms == pytest.approx(norm.sf(2.0), rel=0.05)
    assert small_sample_penalty(1e9) == pytest.approx(5)
    assert np.isnan(small_sample_penalty(2))
    # Mawet et al. 2014, figure 6: at 1 λ/D (6 elements) a tenfold worse contrast and more.
    assert 10 < small_sample_penalty(6) / 5 < 15


@settings(deadline=None, max_examples=50)
@given(st.integers(4, 500), st.floats(0.5, 7))
def test_significance_undoes_the_penalty(n, sigma):
    snr = small_sample_penalty(n, sigma) / np.sqrt(1 + 1 / (n - 1))
    assert significance(snr, n - 1) == pytest.approx(sigma, rel=1e-4)


def test_noise_is_that_of_the_image(psf):
    y, x = np.indices((201, 201))
    r = np.hypot(x - 100, y - 100)
    sigma = 1 + 9 * np.exp(-r / 20)
    profiles = []
    for seed in range(4):
        noise = np.random.default_rng(seed).normal(0, sigma)
        noise[150:, :80] = np.nan
        profiles.append(
            Rings(flux_map(noise, psf), (100, 100), psf.fwhm).noise(np.array([8.0, 30.0, 70.0]))
        )
    stamp = psf.at((31, 31), 15, 15)
    v, u = np.indices(stamp.shape)
    core = np.where(np.hypot(u - 15, v - 15) <= 1.5 * psf.fwhm, stamp, 0)
    expected = np.interp([8, 30, 70], np.arange(100), 1 + 9 * np.exp(-np.arange(100) / 20))
    expected = expected / np.sqrt((core**2).sum())
    mean = np.sqrt(np.mean([p[0] ** 2 for p in profiles], axis=0))
    np.testing.assert_allclose(mean, expected, rtol=0.1)
    assert profiles[0][1][0] == np.floor(2 * np.pi * 8 / psf.fwhm)
    assert profiles[0][1][2] < 0.95 * np.floor(2 * np.pi * 70 / psf.fwhm)


def test_snr_of_noise_follows_students_t(psf):
    noise = np.random.default_rng(8).normal(size=(161, 161))
    flux = flux_map(noise, psf)
    snr, n = Rings(flux, (80, 80), psf.fwhm).snr(flux)
    y, x = np.indices(snr.shape)
    r = np.hypot(x - 80, y - 80)
    for low, high in ((4, 20), (40, 70)):
        ring = (r > low) & (r < high)
        beyond = np.mean(np.abs(snr[ring]) > t.isf(0.025, n[ring] - 1))
        assert beyond == pytest.approx(0.05, abs=0.02)


def test_pure_noise_has_no_sources(psf):
    image = np.random.default_rng(2).normal(size=(161, 161))
    assert detect(image, (80, 80), psf).sources == []


def test_a_cosmic_ray_is_unlike_the_psf(psf):
    image = np.random.default_rng(4).normal(0, 0.1, (161, 161))
    image[100, 60] += 5
    image += 20 * psf.at(image.shape, 100.3, 85.6)
    star, ray = detect(image, (80, 80), psf).sources
    assert star.likeness > 0.95
    assert ray.likeness < 0.9


def test_sources_are_found_where_they_are(psf):
    image = np.random.default_rng(4).normal(0, 0.1, (161, 161))
    image[:, :5] = np.nan
    truth = [(100.3, 85.6, 60.0), (70.5, 120.2, 4.0), (81.0, 101.4, 20.0), (85.0, 62.0, 5.0)]
    for x, y, flux in truth:
        image += flux * psf.at(image.shape, x, y)
    found = detect(image, (80, 80), psf)
    assert len(found.sources) == len(truth)
    truth.sort(key=lambda source: -source[2])
    for x, y, flux in truth:
        source = min(found.sources, key=lambda s: np.hypot(s.x - x, s.y - y))
        assert np.hypot(source.x - x, source.y - y) < 0.05 + 1.5 / source.snr * psf.fwhm
        assert abs(source.flux - flux) < 3 * source.flux_err + 0.03 * flux
        assert source.snr == pytest.approx(source.flux / source.flux_err)
        assert source.significance > 5
        assert source.likeness > 0.8
    # A source does not hide another one on its ring.
    assert found.snr[86, 100] > 100
    assert np.nanmax(np.abs(found.residual[~found.mask])) < 6 * 0.33


def test_in_corners_there_is_no_telling(psf):
    image = np.random.default_rng(4).normal(0, 0.1, (161, 161))
    for place in ((150.0, 152.0), (130.0, 80.0)):
        image += 20 * psf.at(image.shape, *place)
    (found,) = detect(image, (80, 80), psf).sources
    assert np.hypot(found.x - 130, found.y - 80) < 0.1


# --- throughput and the curve --------------------------------------------------------------------


def test_all_flux_passes_where_nothing_is_subtracted(psf):
    observation = Observation(psf)
    places = [(0.5 + 0.4 * k, 77.0 * k, 1e-6) for k in range(5)]
    fractions = throughput(observation.combine, observation.scene(psf), places)
    np.testing.assert_allclose(fractions, 1, atol=0.06)


@pytest.mark.parametrize("adi", [False, True])
def test_calibrated_companions_have_their_flux(psf, adi):
    # At five separations; throughput from other position angles.
    observation = Observation(psf, seed=6)
    scene = observation.scene(psf)
    reduce = observation.reduce(8, adi=adi)
    lost = []
    for separation in (0.5, 0.8, 1.2, 1.8, 2.6):
        known = [(separation, pa, 1e-6) for pa in range(0, 360, 90)]
        true = [(separation, pa + 40, 1e-6) for pa in range(0, 360, 90)]
        through = throughput(reduce, scene, known).mean()
        assert throughput(reduce, scene, true).mean() / through == pytest.approx(1, abs=0.05)
        lost.append(1 - through)
    assert max(lost) > 0.03  # there was something to correct


def test_the_curve(measured):
    curve = measured.curve
    assert set(curve["truncate"]) == {8, 3}
    assert curve.meta["headline_truncate"] == 8
    assert curve.meta["quantity"] == "contrast"
    head = curve[curve["truncate"] == 8]
    assert (np.diff(head["separation"]) > 0).all()
    element = WAVELENGTH / 6.5 * 206264.8
    np.testing.assert_allclose(head["separation_ld"] * element, head["separation"], rtol=1e-6)
    np.testing.assert_allclose(head["contrast"], head["raw"] / head["throughput"], rtol=1e-6)
    np.testing.assert_allclose(head["limit"], head["contrast"] * STAR_JANSKY, rtol=1e-6)
    np.testing.assert_allclose(
        head["raw"], head["noise"] * small_sample_penalty(head["n"]) / STAR_JANSKY, rtol=1e-6
    )
    assert (head["before"] > head["raw"]).all()
    assert ((head["throughput"] > 0.3) & (head["throughput"] < 1.1)).all()
    shallow = curve[curve["truncate"] == 3]
    inner = head["separation"] < 1
    assert np.median(shallow["raw"][inner] / head["raw"][inner]) > 1.5
    assert head["separation"][-1] < SIZE * SCALE / 2 * 1.5


def test_five_sigma_is_five_sigma(psf, measured):
    # A companion at the limit is found with a significance of 5 on average.
    head = measured.curve[measured.curve["truncate"] == 8]
    found, expected = [], []
    for k, separation in enumerate((1.5, 1.75, 2.0, 2.5, 2.75, 3.0)):
        n = np.interp(separation, head["separation"], head["n"])
        expected.append(2 * small_sample_penalty(n) / np.sqrt(1 + 1 / (n - 1)))
        limit = float(np.interp(separation, head["separation"], head["limit"]))
        pa = 90.0 * k + 10
        observation = Observation(psf, [*COMPANIONS, (separation, pa, 2 * limit)])
        frame = Frame.of_grid(observation.grid, *STAR)
        sources = detect(observation.reduce(8)(observation.cubes)[0], frame.center, psf.drizzled())
        x, y = frame.place(separation, pa)
        near = [s.snr for s in sources.sources if np.hypot(s.x - x, s.y - y) < 1]
        found.append(near[0] if near else 0)
    assert np.mean(found) == pytest.approx(np.mean(expected), rel=0.12)


def test_companions_come_back(measured):
    sources = measured.sources
    assert len(sources) == len(COMPANIONS)
    for separation, pa, flux in COMPANIONS:
        row = sources[np.argmin(np.abs(sources["separation"] - separation))]
        assert row["separation"] == pytest.approx(separation, abs=0.01)
        assert row["pa"] == pytest.approx(pa, abs=0.5)
        assert row["flux"] == pytest.approx(flux, rel=0.05, abs=3 * row["flux_err"])
        assert row["contrast"] == pytest.approx(row["flux"] / STAR_JANSKY)
        assert row["snr"] == pytest.approx(row["contrast"] / row["contrast_err"])
        assert row["significance"] > 5
        assert row["likeness"] > 0.9
        angle = np.radians(pa)
        assert (row["ra"] - STAR[0]) * np.cos(np.radians(STAR[1])) * 3600 == pytest.approx(
            separation * np.sin(angle), abs=0.02
        )
        assert (row["dec"] - STAR[1]) * 3600 == pytest.approx(separation * np.cos(angle), abs=0.02)


def test_what_subtracts_itself_is_calibrated_where_it_is(psf):
    # A bright companion makes the other roll less useful than a second one of its flux would feel.
    companion = 0.6, 40.0, 1e-2
    observation = Observation(psf, [companion], seed=2, references=1)
    reduce = observation.reduce(20, adi=True)
    scene = observation.scene(psf)
    found = measure(scene, observation, 20, reduce=reduce).sources
    assert found["flux"][0] == pytest.approx(companion[2], rel=0.06)
    assert throughput(reduce, scene, [companion])[0, 0] > 1.2 * found["throughput"][0]


def test_without_the_stars_flux_limits_are_brightnesses(observation, psf, measured):
    bright = measure(observation.scene(psf), observation, 8, star_jansky=None)
    assert bright.curve["contrast"].unit == "MJy/sr"
    assert bright.sources["contrast"].unit == "MJy/sr"
    assert "brightness" in bright.curve.meta["quantity"]
    frame = Frame.of_grid(observation.grid, *STAR)
    np.testing.assert_allclose(
        bright.curve["contrast"],
        bright.curve["limit"] / frame.jansky * psf.drizzled().peak,
        rtol=1e-6,
    )
    head = measured.curve["truncate"] == 8
    np.testing.assert_allclose(bright.curve["limit"], measured.curve["limit"][head], rtol=1e-6)


def test_transmission_of_the_coronagraph(observation, psf, measured):
    y, x = np.indices((SIZE, SIZE))
    hole = np.clip(np.hypot(x - 60, y - 59.7) * SCALE / 2, 0, 1)
    seen = measure(observation.scene(psf, hole), observation, 8)
    head = measured.curve[measured.curve["truncate"] == 8]
    expected = np.clip(head["separation"] / 2, 0, 1)
    np.testing.assert_allclose(seen.curve["transmission"], expected, atol=0.02)
    np.testing.assert_allclose(
        seen.curve["contrast"] * seen.curve["transmission"], head["contrast"], rtol=1e-6
    )
    assert seen.sources["flux"][0] == pytest.approx(2 * measured.sources["flux"][0], rel=0.02)


@pytest.mark.parametrize(("value", "lacking"), [(np.nan, "data"), (np.inf, "data"), (0.0, "noise")])
def test_an_image_without_a_number_or_noise_tells_no_contrast(observation, psf, value, lacking):
    def nothing(cubes):
        return np.full((1, *observation.grid.shape), value)

    with pytest.raises(Unmeasurable, match=f"no ring about the star has {lacking}"):
        measure(observation.scene(psf), observation, 8, reduce=nothing)


def test_a_failed_contrast_is_in_the_history_of_the_map(tmp_path):
    unknown = Contrast.unknown((4, 5), [8])
    unknown.curve.meta["contrast"] = {"status": "FAILED", "reason": "no ring has data"}
    i2d = tmp_path / "i2d.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((4, 5)), name="SCI")]).writeto(i2d)
    names = [tmp_path / name for name in ("c.ecsv", "s.ecsv", "snr.fits")]
    write_contrast(unknown, i2d, *names)
    assert (
        str(fits.getheader(names[2])["HISTORY"]) == "snakewebb: contrast FAILED: no ring has data"
    )
    assert np.isnan(fits.getdata(names[2])).all()
    assert len(Table.read(names[0], format="ascii.ecsv")) == 0


def test_star_flux():
    assert StarBrightness(star_abmag=8.9).jansky() == pytest.approx(1)
    bright = StarBrightness(star_abmag=7.0).jansky()
    assert StarBrightness(star_vegamag=5.0).jansky(2.0) == bright
    assert StarBrightness(star_flux=3.0).jansky() == 3.0
    assert StarBrightness().jansky() is None
    with pytest.raises(InputError, match="more than one"):
        StarBrightness(star_flux=3.0, star_abmag=2.0).jansky()
    with pytest.raises(InputError, match="ABVEGAOFFSET"):
        StarBrightness(star_vegamag=3.0).jansky()


def test_products(tmp_path, measured):
    header = fits.Header({"CTYPE1": "RA---TAN", "CRVAL1": 150.0, "BUNIT": "MJy/sr"})
    fits.HDUList(
        [fits.PrimaryHDU(), fits.ImageHDU(np.zeros(measured.snr.shape), header, name="SCI")]
    ).writeto(tmp_path / "i2d.fits")
    names = [tmp_path / name for name in ("c.ecsv", "s.ecsv", "snr.fits")]
    write_contrast(measured, tmp_path / "i2d.fits", *names)
    curve, sources = (Table.read(name, format="ascii.ecsv") for name in names[:2])
    assert curve.meta["star_flux_Jy"] == STAR_JANSKY
    assert curve["separation"].unit == "arcsec"
    assert len(sources) == 2
    with fits.open(names[2]) as hdus:
        assert hdus["SNR"].header["CRVAL1"] == 150.0
        assert np.nanmax(hdus["SNR"].data) == pytest.approx(sources["snr"][0], rel=0.2)
    assert not list(tmp_path.glob(".*partial"))
