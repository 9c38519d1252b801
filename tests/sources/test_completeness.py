"""Stars added to a mosaic and found again."""

import dataclasses
import io

import numpy as np
import pytest
from scipy.special import ndtr

from snakewebb.references.detectors import cross_of, detector_of
from snakewebb.references.enclosed_energy import encircled_energy
from snakewebb.references.filters import FILTERS
from snakewebb.references.psf import mosaic_psf
from snakewebb.sources import completeness
from snakewebb.sources.catalog import CatalogOptions
from snakewebb.sources.completeness import Added, measure_completeness
from snakewebb.sources.matched_filter import SNR_THRESHOLD
from sources_fields import FAINT, PSF, field, lattice

HOW = CatalogOptions(starfinder="matched_filter")


@pytest.fixture(scope="module")
def table():
    return measure_completeness(field([], 500), HOW)


def test_bright_stars_are_found_and_faint_ones_are_not(table):
    share = np.asarray(table["completeness"])
    assert share[0] > 0.95
    assert share[-1] < 0.2
    assert table["number"].sum() > 150
    depth = [table.meta["completeness"][f"depth_{share}%"] for share in (95, 80, 50)]
    assert depth == sorted(depth)


def test_half_are_found_where_the_signal_to_noise_is_that_of_the_threshold(table):
    limit = 8.9 - 2.5 * np.log10(SNR_THRESHOLD * FAINT)
    assert table.meta["completeness"]["depth_50%"] == pytest.approx(limit, abs=0.3)


def test_a_higher_threshold_is_less_complete(table):
    other = measure_completeness(field([], 500), dataclasses.replace(HOW, snr_threshold=10.0))
    assert np.sum(other["completeness"] * other["number"]) < 0.8 * np.sum(
        table["completeness"] * table["number"]
    )


def test_the_seed_decides():
    mosaic = field([], 200)
    one, same, other = (measure_completeness(mosaic, HOW, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one["number"], same["number"])
    np.testing.assert_array_equal(one["completeness"], same["completeness"])
    assert list(one["number"]) != list(other["number"])


def test_stars_are_added_to_any_rows():
    mosaic = field([], 120)
    x, y, flux = np.array([2.3, 60.0, 119.4]), np.array([1.0, 59.6, 118.9]), np.ones(3)
    added = Added(mosaic, PSF, x, y, flux)
    whole = added.rows(0, 120)[0]
    parts = np.concatenate([added.rows(a, min(a + 7, 120))[0] for a in range(0, 120, 7)])
    np.testing.assert_array_equal(whole, parts)
    light = (whole - mosaic.data)[30:90, 30:90].sum(dtype=float)
    assert light == pytest.approx(1, abs=0.08)  # the rest is far from the star


def test_sources_that_were_there_are_not_counted():
    """A field so full that what is found is mostly what was there."""
    stars = lattice(6, 300, 200)
    full = measure_completeness(field(stars, 200), HOW)
    empty = measure_completeness(field([], 200), HOW)
    share = [np.average(t["completeness"], weights=t["number"]) for t in (full, empty)]
    assert share[0] < 0.7 * share[1]


def test_without_fluxes_there_is_nothing_to_measure():
    mosaic = dataclasses.replace(field([], 100), flaw="no fluxes: the mosaic is in DN/s")
    table = measure_completeness(mosaic, HOW)
    assert not len(table)
    assert "DN/s" in table.meta["completeness"]["reason"]


def test_without_data_too():
    mosaic = field([], 100)
    nothing = dataclasses.replace(
        mosaic, data=np.full_like(mosaic.data, np.nan), mask=np.ones(mosaic.shape, bool)
    )
    assert not len(measure_completeness(nothing, HOW))


def test_depths_are_those_of_the_truth():
    """However few stars there are, and where noise differs from place to place."""
    rng = np.random.default_rng(4)
    error = np.where(rng.random(400) < 0.5, 1e-8, 3e-8)
    for number in (400, 60):
        depths = []
        for _ in range(12):
            flux = 1e-8 * 100 ** rng.random(number)
            found = rng.random(number) < 0.97 * ndtr(flux / error[:number] - 4.8)
            depths.append(completeness._depths(flux, error[:number], found)["depth_50%"])
        truth = np.linspace(19, 30, 20001)
        share = 0.97 * ndtr(10 ** (0.4 * (8.9 - truth[:, None])) / error[:number] - 4.8)
        expected = truth[np.argmin(np.abs(share.mean(axis=1) - 0.5))]
        assert np.mean(depths) == pytest.approx(expected, abs=0.15)
        assert np.std(depths) < 0.1 * np.sqrt(400 / number)


def test_shares_that_are_not_reached_have_no_depth():
    flux, error = np.geomspace(1e-8, 1e-6, 200), np.full(200, 1e-8)
    assert set(completeness._depths(flux, error, np.zeros(200, bool)).values()) == {None}
    assert set(completeness._depths(flux, error, np.ones(200, bool)).values()) == {None}
    half = np.arange(200) % 2 == 0
    assert set(completeness._depths(flux, error, half).values()) == {None}


def test_small_mosaics_are_filled_again(table):
    small = measure_completeness(field([], 220), HOW)
    assert small["number"].sum() > 2.5 * 220**2 / (15 * PSF.fwhm) ** 2
    depth = small.meta["completeness"]["depth_50%"]
    assert depth == pytest.approx(table.meta["completeness"]["depth_50%"], abs=0.3)


def test_segmentations_are_kept_in_the_scratch():
    class Scratch(io.BytesIO):
        written = 0

        def write(self, part):
            self.written += memoryview(part).nbytes
            return super().write(part)

    scratch, mosaic = Scratch(), field([], 150)
    same = measure_completeness(mosaic, HOW, scratch=scratch)
    assert scratch.written >= 2 * 4 * 150**2
    expected = measure_completeness(mosaic, HOW)
    np.testing.assert_array_equal(same["completeness"], expected["completeness"])


def test_bright_stars_are_measured_as_bright_as_they_were_added(table):
    """Stars and aperture corrections are of one model of the telescope."""
    np.testing.assert_allclose(np.asarray(table["magnitude_bias"])[:4], 0, atol=0.02)
    assert (np.asarray(table["magnitude_scatter"])[1:3] < 0.2).all()


@pytest.mark.parametrize(
    ("instrument", "name"), [("NIRCAM", "F115W"), ("NIRISS", "F200W"), ("MIRI", "F770W")]
)
def test_light_in_circles_is_that_of_the_model_of_apertures(instrument, name):
    band, setup = FILTERS[instrument][name], {"name": instrument, "filter": name, "pupil": None}
    detector, radius = detector_of(instrument, band), np.array([3.0, 6.0, 12.0])
    psf = mosaic_psf(setup, detector.scale)
    # of the mosaic's pixels, once, and drizzle's drop
    expected = encircled_energy(
        radius * detector.scale, band, detector, cross=cross_of(instrument, name), smear=2.0
    )
    np.testing.assert_allclose(psf.encircled(radius), expected, atol=0.003)
