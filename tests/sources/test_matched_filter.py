"""Detection by matched filters: what is found in small mosaics of known content."""

import dataclasses
import types

import numpy as np
import pytest
from scipy.signal import fftconvolve

import naive
from snakewebb.io.noise_correlation import NoiseCorrelation
from snakewebb.kernels import groups
from snakewebb.kernels import kron as kron_kernels
from snakewebb.kernels import matched_filter as kernels
from snakewebb.kernels import significance as blank_kernels
from snakewebb.references.psf import filter_of, gaussian_psf, mosaic_psf
from snakewebb.references.pupil import WIDE
from snakewebb.sources import background as background_module
from snakewebb.sources import matched_filter as step
from snakewebb.sources import segmentation_map
from snakewebb.sources.background import Background, NoPixel
from snakewebb.sources.catalog import CatalogOptions, source_catalog
from snakewebb.sources.groups import Resolver
from snakewebb.sources.peaks import Peaks, star_shape
from snakewebb.sources.segmentation_map import Segmentation
from snakewebb.sources.significance import Significance
from snakewebb.sources.surface import Surface
from sources_fields import FAINT, NIRCAM, PSF, SCALE, SIGMA, SKY, field, lattice, mosaic_of


def found(mosaic, **options):
    columns, segmentation = step.find_peaks(mosaic, PSF, 1000, **options)
    labels = segmentation.rows(0, mosaic.shape[0])
    assert_one_to_one(columns, labels)
    return columns, labels


def assert_one_to_one(columns, labels):
    numbers, _areas = np.unique(labels[labels > 0], return_counts=True)
    np.testing.assert_array_equal(numbers, columns["label"])
    if len(numbers):
        y, x = (np.rint(columns[name]).astype(int) for name in ("ycentroid", "xcentroid"))
        inside = (y >= 0) & (x >= 0) & (y < labels.shape[0]) & (x < labels.shape[1])
        np.testing.assert_array_equal(labels[y, x][inside], columns["label"][inside])


def nearest(columns, x, y):
    return np.hypot(columns["xcentroid"] - x, columns["ycentroid"] - y)


@pytest.mark.parametrize(
    ("snr", "least", "most"), [(3, 0, 0.15), (5, 0.35, 0.85), (7, 0.93, 1), (10, 0.99, 1)]
)
def test_isolated_stars_are_found_by_signal_to_noise(snr, least, most):
    places = lattice(22, snr, 420)
    columns, _ = found(field(places, 420))
    share = np.mean([nearest(columns, x, y).min() < 1.5 for x, y, _ in places])
    assert least <= share <= most
    extra = len(columns["label"]) - share * len(places)
    assert extra <= 3


def test_blank_sky_is_blank():
    columns, _labels = found(field([], 600))
    assert len(columns["label"]) <= 2


def test_positions_are_those_of_stars():
    places = lattice(30, 300)
    columns, _ = found(field(places))
    assert len(columns["label"]) == len(places)
    assert max(nearest(columns, x, y).min() for x, y, _ in places) < 0.02


def test_pairs_are_two_from_one_and_a_half_fwhm_on():
    rng = np.random.default_rng(5)
    places = []
    for x, y, snr in lattice(40, 40, 400):
        angle = rng.uniform(0, np.pi)
        dx, dy = 0.75 * PSF.fwhm * np.array([np.cos(angle), np.sin(angle)])
        places += [(x + dx, y + dy, snr), (x - dx, y - dy, snr)]
    columns, _ = found(field(places, 400))
    split = [nearest(columns, x, y).min() < 0.6 * PSF.fwhm for x, y, _ in places]
    assert np.mean(split) > 0.95
    assert len(columns["label"]) <= len(places)
    whole, _ = found(field(places, 400), deblend=False)
    assert len(whole["label"]) == len(places) // 2


def test_bright_stars_breed_no_sources():
    columns, _ = found(field([(60.3, 70.1, 1e4), (150.2, 130.8, 3e4)]))
    assert len(columns["label"]) == 2
    assert nearest(columns, 60.3, 70.1).min() < 0.05


def test_a_star_off_the_spikes_of_a_bright_one_is_found_and_flagged():
    columns, _ = found(field([(60.0, 100.0, 2e4), (78.0, 107.0, 60), (180.0, 20.0, 60)]))
    assert len(columns["label"]) == 3
    near = columns["near_bright_star"]
    assert near[np.argmin(nearest(columns, 78, 107))]
    assert not near[np.argmin(nearest(columns, 180, 20))]
    assert not near[np.argmin(nearest(columns, 60, 100))]


@pytest.mark.parametrize("radius", [1.2, 3.2, 6.2])
def test_a_saturated_star_is_one_source_and_flagged(radius):
    mosaic = field([(100.0, 90.0, 1e5), (30.0, 40.0, 50)])
    y, x = np.indices(mosaic.shape)
    hole = np.hypot(x - 100, y - 90) < radius
    data, weight = mosaic.data.copy(), mosaic.weight.copy()
    data[hole], weight[hole] = np.nan, 0
    columns, labels = found(mosaic_of(data, mosaic.err, weight, hole))
    assert len(columns["label"]) == 2
    core = np.argmin(nearest(columns, 100, 90))
    assert nearest(columns, 100, 90).min() < 0.5
    assert columns["saturated"][core]
    assert columns["saturated"].sum() == 1
    assert (labels[hole] == columns["label"][core]).all()


def test_a_saturated_star_is_told_where_weights_differ_from_pixel_to_pixel():
    mosaic = field([(100.0, 90.0, 1e5), (30.0, 40.0, 50)])
    y, x = np.indices(mosaic.shape)
    hole = np.hypot(x - 100, y - 90) < 2.2
    weight = np.random.default_rng(4).lognormal(0, 0.4, mosaic.shape).astype(np.float32)
    data = np.where(hole, np.nan, mosaic.data)
    weight[hole] = 0
    columns, _ = found(mosaic_of(data, mosaic.err, weight, hole))
    assert columns["saturated"].sum() == 1
    assert nearest(columns, 100, 90)[columns["saturated"]].min() < 0.5
    assert len(columns["label"]) == 2


@pytest.mark.parametrize("gap", [0, 3])
def test_where_some_exposures_have_lost_the_core_a_star_is_flagged(gap):
    """Beside a gap between detectors, too."""
    mosaic = field([(100.0, 90.0, 1e5), (30.0, 40.0, 50)])
    y, x = np.indices(mosaic.shape)
    weight = mosaic.weight.copy()
    weight[np.hypot(x - 100, y - 90) < 2.2] = 0.5
    weight[:, 105 : 105 + gap] = 0
    columns, _ = found(mosaic_of(mosaic.data, mosaic.err, weight))
    assert columns["saturated"].sum() == 1
    assert nearest(columns, 100, 90)[columns["saturated"]].min() < 0.1


@pytest.mark.parametrize("seed", [1, 2])
def test_a_star_at_a_step_of_coverage_is_where_it_is(seed):
    """Weights that differ by a fifth from pixel to pixel look like lost exposures there."""
    places = [(x, 99.5 + 0.5 * k, 1e4) for k, x in enumerate(range(20, 200, 20), -4)]
    mosaic = field(places)
    noise = np.random.default_rng(seed).lognormal(0, 0.15, mosaic.shape).astype(np.float32)
    weight = np.where(np.indices(mosaic.shape)[0] < 100, 0.5, 0.8) * noise
    columns, _ = found(mosaic_of(mosaic.data, mosaic.err, weight.astype(np.float32)))
    assert not columns["saturated"].any()
    assert max(nearest(columns, x, y).min() for x, y, _ in places) < 0.1


def test_the_edge_and_little_coverage_are_flagged():
    mosaic = field([(0.5, 60.0, 50), (100.0, 60.0, 50), (100.0, 185.0, 200)])
    weight = mosaic.weight.copy()
    weight[170:] = 0.2
    columns, _ = found(mosaic_of(mosaic.data, mosaic.err, weight))
    assert len(columns["label"]) == 3
    edge, _middle, low = (
        np.argmin(nearest(columns, x, y)) for x, y in ((0, 60), (100, 60), (100, 185))
    )
    np.testing.assert_array_equal(np.flatnonzero(columns["edge"]), [edge])
    np.testing.assert_array_equal(np.flatnonzero(columns["low_coverage"]), [low])


def test_noise_that_weight_tells_makes_no_sources():
    """A third of the mosaic is four times as noisy, as its weight says."""
    rng = np.random.default_rng(8)
    weight = np.ones((400, 400), np.float32)
    weight[:, 270:] = 1 / 16
    data = (SIGMA * rng.standard_normal(weight.shape) / np.sqrt(weight)).astype(np.float32)
    columns, _ = found(mosaic_of(data, SIGMA / np.sqrt(weight), weight))
    assert len(columns["label"]) <= 2


def test_cosmic_rays_are_no_sources():
    mosaic = field(lattice(50, 30))
    data = mosaic.data.copy()
    rng = np.random.default_rng(2)
    stars = lattice(50, 30)
    for _ in range(15):
        row, column = rng.integers(5, 195, 2)
        if min(np.hypot(column - x, row - y) for x, y, _ in stars) > 8:
            data[row, column] += 25 * SIGMA
    columns, _ = found(mosaic_of(data, mosaic.err))
    assert len(columns["label"]) == len(stars)


def test_a_galaxy_is_one_source():
    y, x = np.indices((200, 200))
    radius = np.hypot((x - 100.0) / 1.8, y - 95.0)
    light = 20 * SIGMA * np.exp(-radius / 7)
    data = light + SIGMA * np.random.default_rng(4).standard_normal(light.shape)
    columns, _labels = found(mosaic_of(data.astype(np.float32), SIGMA))
    assert len(columns["label"]) == 1
    assert nearest(columns, 100, 95).min() < 2
    assert columns["ellipticity"][0] > 0.25
    assert abs(columns["orientation"][0] % 180 - 90) > 80


def test_a_galaxy_too_faint_for_the_star_filter_is_found():
    y, x = np.indices((300, 300))
    light = 1.0 * SIGMA * np.exp(-((x - 150.0) ** 2 + (y - 140.0) ** 2) / (2 * 6.0**2))
    data = light + SIGMA * np.random.default_rng(4).standard_normal(light.shape)
    columns, _ = found(mosaic_of(data.astype(np.float32), SIGMA))
    assert nearest(columns, 150, 140).min() < 6


def test_the_result_depends_on_no_pieces_nor_threads(monkeypatch):
    mosaic = field([*lattice(17, 15), (100.0, 90.0, 20000.0), (30.5, 110.2, 500)])
    y, x = np.indices(mosaic.shape)
    hole = np.hypot(x - 100, y - 90) < 2.2
    data, weight = mosaic.data.copy(), mosaic.weight.copy()
    data[hole], weight[hole] = np.nan, 0
    mosaic = mosaic_of(data, mosaic.err, weight, hole)
    expected, labels = found(mosaic)
    for rows, threads in ((7, 1), (31, 2), (64, 3)):
        monkeypatch.setattr(segmentation_map, "PIECE", rows * mosaic.shape[1])
        columns, other = found(mosaic, threads=threads)
        np.testing.assert_array_equal(other, labels)
        for name, values in expected.items():
            np.testing.assert_array_equal(columns[name], values, err_msg=name)


def test_what_is_known_of_peaks_depends_on_no_pieces(monkeypatch):
    mosaic = field(lattice(17, 15, 100), 100)
    significance = Significance(mosaic, PSF.fwhm, PSF.filter_fwhm, 1000)
    tables = []
    for rows in (100, 5, 2):
        monkeypatch.setattr(segmentation_map, "PIECE", rows * 100)
        peaks, *_ = step._scan(significance, 4.6, Segmentation((100, 100)), 1)
        order = np.lexsort((peaks.column, peaks.row, peaks.broad))
        tables.append({name: values[order] for name, values in vars(peaks).items()})
        tables[-1].pop("group")  # of which those without a peak differ
    for table in tables[1:]:
        for name, values in tables[0].items():
            np.testing.assert_array_equal(table[name], values, err_msg=name)


def test_units_and_scale_of_weights_do_not_matter():
    mosaic = field(lattice(30, 20))
    expected, labels = found(mosaic)
    factor = np.float32(2.0**-40)
    other = mosaic_of(
        mosaic.data * factor, mosaic.err * factor, mosaic.weight * np.float32(2.0**20)
    )
    columns, same = found(other)
    np.testing.assert_array_equal(same, labels)
    np.testing.assert_allclose(columns["significance"], expected["significance"], rtol=1e-4)


def test_without_errors_sources_are_found_the_same():
    mosaic = field(lattice(30, 20))
    expected, _labels = found(mosaic)
    columns, _same = found(mosaic_of(mosaic.data, np.float32(np.nan)))
    assert len(columns["label"]) == len(expected["label"])


def test_nothing_but_nan():
    data = np.full((50, 60), np.nan, np.float32)
    with pytest.raises(NoPixel):
        step.find_peaks(mosaic_of(data, SIGMA, mask=np.ones(data.shape, bool)), PSF, 1000)


def test_a_few_good_pixels_are_no_trouble():
    data = np.full((50, 60), np.nan, np.float32)
    data[20:23, 30:34] = 1.0
    found(mosaic_of(data, SIGMA, mask=np.isnan(data)))


def test_constant_images_have_no_sources():
    columns, _ = found(mosaic_of(np.full((80, 70), 2.5, np.float32), SIGMA))
    assert not len(columns["label"])


def test_psf_of_a_mosaic():
    assert PSF.stamp(0, 0).sum() == pytest.approx(1 - WIDE, abs=1e-6)
    assert 2.0 < PSF.fwhm < 2.5
    assert 0.5 < PSF.filter_fwhm / PSF.fwhm < 1
    fine = mosaic_psf(NIRCAM, SCALE / 2, 0.5)
    assert fine.fwhm == pytest.approx(2 * PSF.fwhm, rel=0.15)
    envelope = PSF.envelope(PSF.filter_fwhm)
    assert envelope[0] == 1
    assert (np.diff(envelope) < 0.1).all()
    assert envelope[-1] < 1e-3
    assert gaussian_psf(3.0).fwhm == pytest.approx(3.0, rel=0.02)


def test_of_two_filters_the_narrower_counts():
    both = {"name": "NIRCAM", "filter": "F150W2", "pupil": "F162M"}
    assert filter_of(both).wavelength == pytest.approx(1.62e-6, rel=0.01)
    niriss = filter_of({"name": "NIRISS", "filter": "CLEAR", "pupil": "F150W"})
    assert niriss.wavelength == pytest.approx(1.5e-6, rel=0.01)
    assert filter_of({"name": "FGS", "filter": None, "pupil": None}) is not None
    assert filter_of({"name": "OTHER", "filter": "BLUE", "pupil": None}) is None


@pytest.mark.parametrize("seed", range(4))
def test_kernels_are_those_of_their_naive_twins(seed):
    rng = np.random.default_rng(seed)
    image = rng.standard_normal((23, 31)).astype(np.float32)
    weight = rng.uniform(0, 2, image.shape).astype(np.float32)
    weight[rng.random(image.shape) < 0.3] = 0
    kernel = np.array([0.1, 0.2, 0.4, 0.2, 0.1])
    out, flux = np.empty((2, 15, 31), np.float32)
    kernels.weighted(image, weight, kernel, 4, out, flux)
    expected = naive.weighted(image, weight, kernel)
    np.testing.assert_allclose(out, expected[0][4:19], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(flux, expected[1][4:19], rtol=1e-5, atol=1e-5)
    spots, near = np.array([[0, 0], [7, 30], [9, 9]]), np.zeros((15, 31), np.float32)
    kernels.weighted_near(image, weight, kernel, 4, 0, spots, near)
    for i, j in spots:
        part = slice(max(i - 2, 0), i + 3), slice(max(j - 2, 0), j + 3)
        np.testing.assert_allclose(near[part], out[part], rtol=1e-5, atol=1e-5)
    sources, good = rng.random(image.shape) < 0.02, weight > 0
    blank, limits = np.empty(image.shape, bool), np.array([1.0, 0.3])
    blank_kernels.blank(sources, good, 2, 16, 0.3, blank)
    np.testing.assert_array_equal(blank, naive.blank(sources, good, 2, 16, 0.3))
    before = sources.copy()
    blank_kernels.mark(image, limits, 16, sources)
    np.testing.assert_array_equal(sources, before | (image > np.repeat(limits, 16)[:31]))
    places = np.empty((400, 2), int)
    number = kernels.peaks(out, np.float32(0.5), 1, 14, places)
    assert [tuple(p) for p in places[:number]] == naive.filter_peaks(out, 0.5, 1, 14)
    i, j, k, m = 2, 3, 12, 25
    assert groups.saddle(out, i, j, k, m) == naive.saddle(out, i, j, k, m)
    lost = np.empty(weight.shape, bool)
    groups.losses(weight, 0.6, lost)
    np.testing.assert_array_equal(lost, naive.losses(weight, 0.6))
    mesh = np.empty((2, 3))
    good = weight > 0
    kernels.mesh_noise(image, good, 16, 1, mesh)
    level, noise, share = naive.mesh_noise(image[:, :16][good[:, :16]])
    np.testing.assert_allclose(mesh[0], [level, noise, share * good[:, :16].mean()], rtol=1e-5)


def test_surfaces_are_those_of_backgrounds():
    rng = np.random.default_rng(3)
    image = rng.standard_normal((128, 192)).astype(np.float32)
    image += np.linspace(0, 9, 192, dtype=np.float32)
    bad = np.zeros(image.shape, bool)
    for box in (32, 64, 500):
        sky = Background(lambda a, b: (image[a:b], bad[a:b]), image.shape, box, 1000)
        size = min(box, 128), min(box, 192)
        level, _, _, _ = background_module._meshes(
            lambda a, b: (image[a:b], bad[a:b]), image.shape, size, 1000, 1
        )
        surface = Surface(level, np.zeros(level.shape, bool), size, image.shape)
        np.testing.assert_allclose(surface.rows(0, 128), sky.level(0, 128), atol=2e-5)
        rows, columns = rng.integers(0, 128, 50), rng.integers(0, 192, 50)
        np.testing.assert_allclose(
            surface.at(rows, columns), surface.rows(0, 128)[rows, columns], rtol=1e-6
        )
        np.testing.assert_array_equal(
            surface.rows(40, 77, slice(13, 90)), surface.rows(0, 128)[40:77, 13:90]
        )


def test_kron_fluxes_are_total():
    """Of stars and of galaxies, beside others."""
    y, x = np.indices((300, 300))
    rng = np.random.default_rng(4)
    places = [(60.0, 60.0, 4.0, 0.5), (200.0, 70.0, 6.0, 1.0), (120.0, 210.0, 3.0, 0.7)]
    data = SIGMA * rng.standard_normal(x.shape) + SKY
    for cx, cy, size, ratio in places:
        light = 0.5 * np.exp(-np.hypot(x - cx, (y - cy) / ratio) / size)
        data += fftconvolve(light, PSF.stamp(0, 0)[1:, 1:], mode="same")
    stars = [(95.0, 62.0, 200), (250.0, 250.0, 300)]
    data += field(stars, 300, seed=2).data - SKY
    columns, _ = found(mosaic_of(data.astype(np.float32), SIGMA * 1.4))
    for cx, cy, size, ratio in places:
        k = np.argmin(nearest(columns, cx, cy))
        assert columns["kron_flux"][k] == pytest.approx(np.pi * size**2 * ratio, rel=0.08)
    k = np.argmin(nearest(columns, 250, 250))
    assert columns["kron_flux"][k] == pytest.approx(300 * FAINT, rel=0.03)
    assert 0 < columns["kron_flux_err"][k] < 0.03 * columns["kron_flux"][k]
    small, _ = found(mosaic_of(data.astype(np.float32), SIGMA * 1.4), kron_params=(1.0, 1.0))
    assert (small["kron_radius"] <= columns["kron_radius"]).all()


def test_kron_is_that_of_its_naive_twin():
    rng = np.random.default_rng(5)
    image = rng.uniform(0, 1, (40, 50)).astype(np.float32)
    image += 20 * np.exp(-((np.arange(50) - 24.3) ** 2) / 30).astype(np.float32)
    err = rng.uniform(0.1, 0.2, image.shape).astype(np.float32)
    weight = (rng.random(image.shape) > 0.1).astype(np.float32)
    labels = (rng.random(image.shape) > 0.9).astype(np.uint32) * 2
    ellipses = np.array([[1, 24.3, 18.8, 3.0, 1.7, 0.6], [2, 3.0, 4.0, 2.0, 2.0, 0.0]])
    correlation = np.array([[0.05, 0.2, 0.1], [0.3, 1.0, 0.3], [0.1, 0.2, 0.05]], np.float32)
    out, place = np.empty((2, 3)), (correlation[None, None], 1 << 30, 0, 0)
    scales, least = np.array([2.5, 0.0]), np.array([1.4, 3.5])
    kron_kernels.kron(image, err, weight, labels, ellipses, 6.0, scales, least, *place, out)
    expected = [
        naive.kron(image, err, weight, labels, *sizes, correlation)
        for sizes in zip(ellipses, [6.0, 6.0], scales, least, strict=True)
    ]
    np.testing.assert_allclose(out, expected, rtol=1e-5)


def test_the_catalogue_has_columns_for_it():
    how = CatalogOptions(starfinder="matched_filter")
    mosaic = field(lattice(40, 50))
    catalog = source_catalog(mosaic, how)
    plain = source_catalog(mosaic, CatalogOptions(starfinder="segmentation")).table.colnames
    assert catalog.table.colnames[: len(plain)] == plain
    more = catalog.table.colnames[len(plain) :]
    assert more[:5] == ["significance", "saturated", "near_bright_star", "edge", "low_coverage"]
    assert more[5:8] == ["kron_radius", "kron_flux", "kron_flux_err"]
    assert set(more[8:]) == {f"kron_{m}{e}" for m in ("abmag", "vegamag") for e in ("", "_err")}
    assert len(catalog.table) == catalog.status["sources"] == len(lattice(40, 50))
    assert catalog.table["edge"].dtype == bool
    empty = source_catalog(mosaic_of(np.zeros((60, 60), np.float32), SIGMA), how)
    assert empty.table.colnames == catalog.table.colnames
    assert not len(empty.table)
    assert "4.6 sigma" in empty.status["reason"]


def test_fluxes_without_a_unit_are_not_told():
    mosaic = dataclasses.replace(field(lattice(40, 50)), flaw="no fluxes: the mosaic is in DN")
    catalog = source_catalog(mosaic, CatalogOptions(starfinder="matched_filter"))
    assert catalog.status["status"] == "FAILED"
    assert np.isnan(catalog.table["kron_flux"]).all()
    assert np.isfinite(catalog.table["significance"]).all()


def test_the_threshold_and_the_meshes_are_the_users():
    mosaic = field(lattice(22, 6, 300), 300)
    counts = [
        len(
            source_catalog(
                mosaic, CatalogOptions(starfinder="matched_filter", snr_threshold=t)
            ).table
        )
        for t in (4, 5, 8)
    ]
    assert counts[0] > counts[1] > counts[2]
    tilted = dataclasses.replace(
        mosaic, data=mosaic.data + np.linspace(0, 0.3, 300, dtype=np.float32)
    )
    how = CatalogOptions(starfinder="matched_filter", bkg_boxsize=32)
    assert len(source_catalog(tilted, how).table) == pytest.approx(counts[1], rel=0.3)


@pytest.mark.parametrize(
    "unused",
    [
        {"npixels": 5},
        {"connectivity": 4},
        {"nlevels": 2},
        {"contrast": 0.5},
        {"localbkg_width": 9},
        {"multithresh_mode": "linear"},
        {"sigma_radius": 3.0},
        {"brightest": 1},
        {"minsep_fwhm": 4.0},
        {"peakmax": 1e-9},
    ],
)
def test_parameters_of_other_finders_have_no_effect(unused):
    mosaic = field(lattice(40, 50), 120)
    expected, got = (
        source_catalog(mosaic, CatalogOptions(starfinder="matched_filter", **options)).table
        for options in ({}, unused)
    )
    for name in expected.colnames:
        if not name.startswith("sky_"):
            np.testing.assert_array_equal(got[name], expected[name])


@pytest.mark.parametrize("error", [np.inf, 1e25])
def test_errors_of_any_size_spoil_no_source(error):
    mosaic = field(lattice(40, 50))
    err, weight = mosaic.err.copy(), mosaic.weight.copy()
    err[0, :5], weight[0, :3] = error, 0
    odd = dataclasses.replace(mosaic, err=err, weight=weight, mask=weight == 0)
    assert len(source_catalog(odd, CatalogOptions()).table) == len(lattice(40, 50))


def test_without_a_known_filter_kernel_fwhm_is_the_psf():
    mosaic = dataclasses.replace(
        field(lattice(40, 50)), instrument={"name": "OTHER", "filter": "BLUE", "pupil": None}
    )
    how = CatalogOptions(starfinder="matched_filter", kernel_fwhm=2.2)
    assert len(source_catalog(mosaic, how).table) == len(lattice(40, 50))


def correlated(shape, seed):
    """Noise as drizzle smooths it, of standard deviation SIGMA, and its correlation."""
    noise = np.random.default_rng(seed).standard_normal((shape[0] + 2, shape[1] + 2))
    line = np.array([0.5, 1.0, 0.5])
    for _ in range(2):
        noise = np.apply_along_axis(np.convolve, 0, noise, line, "valid").T
    power = np.convolve(line, line) / (line**2).sum()
    correlation = np.outer(power, power).astype(np.float32)
    return SIGMA * noise / (line**2).sum(), NoiseCorrelation(correlation[None, None], 1 << 30)


def test_errors_are_the_scatter():
    """Of positions and fluxes of stars and of galaxies, in correlated noise."""
    y, x = np.indices((220, 220))
    stars = [(sx + 0.3 * k, sy, 90.0) for k, (sx, sy, _) in enumerate(lattice(44, 90, 220)[:8])]
    galaxies = [(cx, cy) for cx in (132.0, 176.4) for cy in (88.2, 132.0, 176.0)]
    truth = field(stars, 220).data.astype(float) - field([], 220).data
    for cx, cy in galaxies:
        truth += 6 * SIGMA * np.exp(-(((x - cx) / 5) ** 2 + ((y - cy) / 4) ** 2) / 2)
    places = [place[:2] for place in stars] + galaxies
    names = ("xcentroid", "ycentroid", "isophotal_flux", "kron_flux")
    values, errors = [], []
    for seed in range(60):
        noise, correlation = correlated(truth.shape, seed)
        mosaic = mosaic_of((truth + noise + SKY).astype(np.float32), SIGMA)
        columns, _ = found(dataclasses.replace(mosaic, correlation=correlation))
        rows = [np.argmin(nearest(columns, *place)) for place in places]
        values.append([columns[name][rows] for name in names])
        told = (np.sqrt(columns["centroid_xx"]), np.sqrt(columns["centroid_yy"]))
        told += columns["isophotal_flux_err"], columns["kron_flux_err"]
        errors.append([each[rows] for each in told])
    scatter = 1.4826 * np.median(np.abs(values - np.median(values, axis=0)), axis=0)
    ratio = scatter / np.median(errors, axis=0)
    for kind in (slice(0, 8), slice(8, None)):
        x, y, isophotal, kron = ratio[:, kind].mean(axis=1)
        assert (x + y) / 2 == pytest.approx(1, abs=0.12)
        assert kron == pytest.approx(1, abs=0.15)
        # the broad filter's noise, too, decides which pixels are a galaxy's
        assert 0.9 < isophotal < 1.45


def single_exposures(mosaic, rows):
    """The first rows are seen by one exposure of four, twice as noisy."""
    weight, data = mosaic.weight.copy(), mosaic.data.copy()
    weight[:rows] = 0.25
    noise = np.random.default_rng(11).standard_normal((rows, data.shape[1]))
    data[:rows] += (np.sqrt(3) * SIGMA * noise).astype(np.float32)
    return data, np.broadcast_to(SIGMA / np.sqrt(weight), data.shape), weight


def test_where_one_exposure_sees_the_sky_stars_stay_and_cosmic_rays_go():
    stars = [(x, y, 120.0) for x, y, _ in lattice(40, 0, 400)]
    data, err, weight = single_exposures(field(stars, 400), 180)
    rng, rays = np.random.default_rng(2), 0
    for _ in range(60):
        row, column = rng.integers(8, 170, 2)
        if min(np.hypot(column - x, row - y) for x, y, _ in stars) > 9:
            rays += 1
            length = rng.integers(2, 6)
            dy, dx = rng.choice([-1, 0, 1], 2)
            for k in range(length):
                # as drizzle smooths it
                data[row + k * dy, column + k * dx : column + k * dx + 2] += 30 * SIGMA
    columns, _ = found(mosaic_of(data, err, weight))
    assert rays > 20
    kept = [nearest(columns, x, y).min() < 1 for x, y, _ in stars]
    assert np.mean(kept) > 0.95
    assert len(columns["label"]) <= sum(kept) + 0.15 * rays


def test_the_redness_of_noise_drops_no_stars():
    """Confusion or 1/f noise: the narrow filter then has less noise of its own."""
    rng = np.random.default_rng(6)
    places = lattice(30, 40, 300)
    mosaic = field(places, 300)
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(300), np.fft.rfftfreq(300), indexing="ij"))
    red = np.fft.rfft2(rng.standard_normal((300, 300))) / np.maximum(f, 0.01)
    red = np.fft.irfft2(red * np.exp(-2 * (np.pi * f * 2) ** 2))
    data = mosaic.data + (1.5 * SIGMA * red / red.std()).astype(np.float32)
    columns, _ = found(mosaic_of(data, SIGMA), threshold=4.0)
    assert np.mean([nearest(columns, x, y).min() < 1.5 for x, y, _ in places]) > 0.97


def test_a_cosmic_ray_has_no_wings():
    """Beside it, a star is a star."""
    mosaic = field([(100.0, 100.0, 40)])
    data = mosaic.data.copy()
    data[92, 96] += 3000 * SIGMA
    columns, _ = found(mosaic_of(data, mosaic.err))
    assert nearest(columns, 100, 100).min() < 0.5


def test_spikes_have_no_counterpart_beyond_the_mosaics_edge():
    for y in (100.0, 12.0):
        columns, _ = found(field([(100.0, y, 6e4)]))
        assert len(columns["label"]) == 1


def test_shapes_of_stars_are_as_they_are_measured():
    sharpness, breadth = star_shape(PSF)
    assert 0.4 < sharpness < 1
    assert 0.5 < breadth < 1.2


def test_errors_that_are_0_or_infinite_are_no_trouble():
    mosaic = field(lattice(30, 30))
    expected, _ = found(mosaic)
    err = np.array(mosaic.err)
    for value in (0.0, np.inf, np.nan):
        err[60:90, 60:90] = value
        columns, _ = found(mosaic_of(mosaic.data, err))
        assert np.isfinite(columns["significance"]).all()
        assert len(columns["label"]) == len(expected["label"])
    columns, _ = found(mosaic_of(mosaic.data, np.float32(0)))
    assert len(columns["label"]) == len(expected["label"])


def peaks_of(significance, excess):
    blank = {field.name: np.zeros(len(excess)) for field in dataclasses.fields(Peaks)}
    return Peaks(**blank | {"significance": np.array(significance), "excess": np.array(excess)})


def test_noise_over_that_of_blank_sky_is_1_at_peaks_of_noise():
    peaks = peaks_of([1.0, 1.2, 1.1, 20.0], [1.5, 1.5, 1.5, 3.0]).calibrated()
    np.testing.assert_allclose(peaks.excess, [1, 1, 1, 2])
    np.testing.assert_allclose(peaks.significance, [1.5, 1.8, 1.65, 30])


def test_what_only_the_broad_filter_sees_is_more_significant(monkeypatch):
    """Else noise, which two maps show, would make sources in both."""
    mosaic = field([], 420, seed=4)
    y, x = np.indices(mosaic.shape)
    data = mosaic.data.copy()
    for cx in range(40, 400, 60):
        for cy in range(40, 400, 60):
            data += 0.8 * SIGMA * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * 3.5**2))
    numbers = []
    for more in (0.0, 0.3, 3.0):
        monkeypatch.setattr(step, "BROAD", more)
        columns, _ = found(mosaic_of(data, mosaic.err))
        numbers.append(len(columns["label"]))
    assert numbers[0] > numbers[1] > numbers[2]


def test_light_of_a_star_beyond_the_edge_is_not_many_sources():
    columns, _ = found(field([(100.0, -3.0, 2e4), (60.0, 25.0, 60), (150.0, 140.0, 60)]))
    for x, y in ((60, 25), (150, 140)):
        assert nearest(columns, x, y).min() < 0.5
    assert len(columns["label"]) <= 2 + 2


def test_a_bright_star_at_the_edge_is_no_cosmic_ray():
    """One exposure sees it, and much of its light with one pixel: its halo tells what it is."""
    stars = [(100.2, 2.3, 900.0), (40.0, 150.0, 100.0)]
    data, err, weight = single_exposures(field(stars), 60)
    at = np.s_[1:4, 99:102]
    core = data[at].copy() - SKY
    core[[0, 0, 2, 2], [0, 2, 0, 2]] *= 0.4
    core[1, 1] *= 1.25
    data[at] = core + SKY
    columns, _ = found(mosaic_of(data, err, weight))
    assert nearest(columns, 100, 2).min() < 0.5
    assert len(columns["label"]) == 2
    data, err, weight = single_exposures(field(stars[1:]), 60)
    data[at] += core
    columns, _ = found(mosaic_of(data, err, weight))
    assert len(columns["label"]) == 1


def test_flat_light_is_as_significant_in_both_filters_as_is_told():
    """By it noise in the outskirts of galaxies is told from sources that the wide filter sees."""
    data = field([], 420, seed=2).data.copy()
    data[180:240, 180:240] += 3 * SIGMA
    significance = Significance(mosaic_of(data, SIGMA), PSF.fwhm, PSF.filter_fwhm, 1000)
    maps = significance.maps(0, 420)
    places = types.SimpleNamespace(row=np.array([210]), column=np.array([210]))
    told = Resolver._more_of_flat_light(types.SimpleNamespace(_significance=significance), places)
    middle = np.s_[200:220, 200:220]
    assert told[0] == pytest.approx(maps.broad[middle].mean() / maps.star[middle].mean(), rel=0.02)
    assert told[0] > 2


def test_kron_fluxes_of_faint_stars_are_their_fluxes():
    places = lattice(24, 8, 420)
    columns, _ = found(field(places, 420))
    distances = [nearest(columns, x, y) for x, y, _ in places]
    rows = [np.argmin(distance) for distance in distances if distance.min() < 1.5]
    share = columns["kron_flux"][rows] / (8 * FAINT)
    assert np.median(share) == pytest.approx(1, abs=0.05)
    pull = (share - np.median(share)) * 8 * FAINT / columns["kron_flux_err"][rows]
    assert np.sqrt(np.mean(pull**2)) == pytest.approx(1, abs=0.15)
