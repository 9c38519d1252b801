"""A detection image, circles of one size, and the catalogue of all filters."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from scipy.ndimage import convolve

from mosaics import INSTRUMENT, make_grid
from snakewebb.errors import InputError
from snakewebb.io.noise_correlation import NoiseCorrelation
from snakewebb.quality.blank_sky import measure_blank_sky
from snakewebb.references.detectors import detector_of
from snakewebb.references.enclosed_energy import encircled_energy
from snakewebb.references.filters import narrowest
from snakewebb.references.photometry import aperture_parameters
from snakewebb.references.psf import filter_of
from snakewebb.simulate.psf import make_psf
from snakewebb.simulate.references import aperture_table, energy_within, smoothed
from snakewebb.sources.catalog import CatalogOptions, source_catalog
from snakewebb.sources.catalog_file import Catalog
from snakewebb.sources.common_apertures import common_apertures, own_radii
from snakewebb.sources.detection_image import DetectionImage
from snakewebb.sources.field_catalog import Band, bands_of, field_catalog, radii_for
from snakewebb.sources.mosaic import Mosaic
from snakewebb.sources.segmentation_map import Segmentation

SHAPE = (300, 280)
BLUE = {**INSTRUMENT, "filter": "F200W", "detector": "NRCA1", "subarray": "FULL"}
RED = {**INSTRUMENT, "filter": "F444W", "subarray": "FULL"}
SMEAR = np.outer([0.25, 0.5, 0.25], [0.25, 0.5, 0.25])
"""What correlates noise: of sum 1."""


def correlation_of(smear, step=64):
    """The correlation of white noise after a convolution."""
    side = 2 * smear.shape[0] - 1
    kernel = np.zeros((side, side))
    kernel[tuple(slice((side - n) // 2, (side + n) // 2) for n in smear.shape)] = smear
    kernel = convolve(kernel, smear, mode="constant")
    kernel /= kernel.max()
    cells = tuple(-(-n // step) for n in SHAPE)
    return NoiseCorrelation(np.tile(kernel.astype(np.float32), (*cells, 1, 1)), step)


def mosaic(rng, sigma, sky=0.0, smear=None, instrument=RED, weight=None, err=True, slope=0.0):
    """A mosaic of noise on a sky; sigma is the noise of what is smeared, in Jy."""
    noise = rng.normal(0, sigma, SHAPE)
    rms = sigma
    if smear is not None:
        noise = convolve(noise, smear, mode="wrap")
        rms = sigma * np.sqrt((smear**2).sum())
    level = sky + np.linspace(0, slope, SHAPE[1])
    weights = np.ones(SHAPE, np.float32) if weight is None else weight.astype(np.float32)
    errors = np.full(SHAPE, rms if err else np.nan, np.float32)
    return Mosaic(
        (noise + level).astype(np.float32),
        errors,
        weights == 0,
        make_grid(SHAPE),
        instrument,
        correlation=None if smear is None else correlation_of(smear),
        weight=weights * 7e5,
    )


def test_mosaics_count_by_their_noise():
    """That of sums: white pixels are as noisy as correlated ones that scatter by a third of it."""
    rng = np.random.default_rng(1)
    one = mosaic(rng, 2e-9, sky=3e-7, smear=SMEAR)
    two = mosaic(rng, 1e-9, sky=-1e-7)
    image = DetectionImage.of([one, two], 100)
    assert image.weights == pytest.approx([0.25, 1.0], rel=0.01)
    data, err, weight = image.rows(0, SHAPE[0])
    assert np.all(weight > 0)
    assert abs(np.median(data)) < 3e-10
    assert np.std(data) / np.median(err) == pytest.approx(1.0, abs=0.04)
    part, err_part, _ = image.rows(37, 60)
    assert np.array_equal(part, data[37:60])
    assert np.array_equal(err_part, err[37:60])
    noise = image.correlation(one.grid)
    assert noise.step == 64
    boxes = data[:288, :270].reshape(32, 9, 30, 9).sum(axis=(1, 3))
    kernel = noise.kernels[2, 2].astype(float)
    ones = np.ones((9, 9))
    predicted = np.sqrt(np.sum(ones * convolve(ones, kernel, mode="constant"))) * err[150, 150]
    assert boxes.std() / predicted == pytest.approx(1.0, abs=0.06)


def test_errors_and_correlation_count_by_their_product():
    """Half as large an ERR with covariances over it that are four times as large is the same."""
    rng = np.random.default_rng(9)
    one = mosaic(rng, 2e-9, smear=SMEAR)
    y, x = np.indices(SHAPE)
    for row, column in rng.uniform(10, 270, (30, 2)):
        one.data[:] += (1e-7 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 4)).astype("f4")
    noise = NoiseCorrelation(4 * one.correlation.kernels, 64)
    other = replace(one, err=one.err / 2, correlation=noise)
    for starfinder in ("matched_filter", "segmentation"):
        how = CatalogOptions(starfinder=starfinder, bkg_boxsize=100)
        found, same = (source_catalog(each, how).table for each in (one, other))
        assert len(found) > 20
        for name in found.colnames:
            if name.endswith("_err"):
                np.testing.assert_allclose(found[name], same[name], rtol=1e-4, err_msg=name)
    apertures, _ = aperture_parameters(None, RED, (30, 50, 70), 1.0)
    blank, alike = (measure_blank_sky(each, apertures) for each in (one, other))
    np.testing.assert_allclose(alike.error, blank.error, rtol=1e-4)
    images = [DetectionImage.of([each, mosaic(rng, 1e-9)], 100) for each in (one, other)]
    assert images[0].weights == pytest.approx(images[1].weights, rel=0.01)
    sums = [
        np.median(image.rows(0, 64)[1]) ** 2 * image.correlation(one.grid).kernels[1, 1].sum()
        for image in images
    ]
    assert sums[0] == pytest.approx(sums[1], rel=0.03)


def test_where_one_has_no_data_the_other_counts():
    rng = np.random.default_rng(2)
    half = np.ones(SHAPE)
    half[:, :140] = 0
    deep = mosaic(rng, 1e-9, sky=5e-7, weight=half, slope=1e-9)
    shallow = mosaic(rng, 3e-9, sky=1e-8)
    image = DetectionImage.of([deep, shallow], 100)
    data, err, weight = image.rows(0, SHAPE[0])
    assert np.std(data[:, :130]) == pytest.approx(3e-9, rel=0.03)
    assert np.std(data[:, 150:]) == pytest.approx(1e-9 * np.sqrt(0.9), rel=0.03)
    assert abs(np.median(data[:, :130]) - np.median(data[:, 150:])) < 1e-9, "no step in the sky"
    assert err[0, 0] == pytest.approx(3e-9, rel=1e-5)
    assert weight[0, 0] < 0.2 * weight[0, -1]
    assert image.correlation(deep.grid) is None
    nothing = mosaic(rng, 1e-9, weight=np.zeros(SHAPE))
    assert len(DetectionImage.of([deep, nothing], 100).layers) == 1
    with pytest.raises(InputError, match="no mosaic of the field has a pixel"):
        DetectionImage.of([nothing], 100)


def test_without_errors_the_scatter_of_the_sky_counts():
    rng = np.random.default_rng(3)
    image = DetectionImage.of([mosaic(rng, 2e-9, err=False), mosaic(rng, 1e-9)], 100)
    assert image.weights == pytest.approx([0.25, 1.0], rel=0.05)
    data, err, _ = image.rows(0, SHAPE[0])
    assert np.median(err) == pytest.approx(np.std(data), rel=0.05)
    assert np.isfinite(err).all()


@pytest.mark.parametrize(
    ("instrument", "name"),
    [
        (BLUE, "F200W"),
        ({"name": "NIRCAM", "filter": "F444W", "pupil": "F470N"}, "F470N"),
        ({"name": "NIRCAM", "filter": "F150W2", "pupil": "F164N"}, "F164N"),
        ({"name": "NIRISS", "filter": "CLEAR", "pupil": "F115W"}, "F115W"),
        ({"name": "MIRI", "filter": "F770W", "pupil": None}, "F770W"),
        ({"name": "FGS", "filter": None, "pupil": None}, ""),
    ],
)
def test_names_of_filters(instrument, name):
    assert (narrowest(instrument) or "") == name


@pytest.fixture(scope="module")
def apcorr(tmp_path_factory):
    """An APCORR file of the simulator's star in F444W, and that star."""
    star = make_psf(4.421e-6, 1.024e-6, 0.063)
    header = {"FILTER": "F444W", "PUPIL": "CLEAR", "INSTRUME": "NIRCAM"}
    table = aperture_table(star, header)
    path = tmp_path_factory.mktemp("apcorr") / "apcorr.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(table.as_array(), name="APCORR")]).writeto(
        path
    )
    return path, star, table


def test_corrections_of_a_file_hold_between_its_radii(apcorr):
    path, star, table = apcorr
    rng = np.random.default_rng(4)
    image = mosaic(rng, 1e-9)
    energies = (30, 50, 70)
    own = own_radii(image, energies, path)
    assert own == pytest.approx(table["radius"], rel=1e-6)
    found = common_apertures(image, energies, own, path)
    assert found.corrections == pytest.approx(table["apcorr"], rel=1e-6)
    assert found.annulus == pytest.approx((table["skyin"][0], table["skyout"][0]))
    assert found.source == "apcorr.fits"
    between = np.array([1.3, 1.8, 2.4])
    measured = smoothed(star, 3)
    y, x = np.indices((star.size, star.size)) - star.size // 2
    ring = smoothed(star, 2).stamp(star.size, 0.0, 0.0)
    ring = np.median(
        ring[(table["skyin"][0] < np.hypot(x, y)) & (np.hypot(x, y) < table["skyout"][0])]
    )
    truth = [1 / (energy_within(measured, r) - np.pi * r**2 * ring) for r in between]
    assert common_apertures(image, energies, between, path).corrections == pytest.approx(
        truth, rel=0.004
    )


def test_corrections_of_a_file_hold_on_smaller_pixels(apcorr):
    """Which spread a star less than those that the file is for: by 6 % of the flux of 50 %."""
    path, star, table = apcorr
    grid = replace(make_grid(SHAPE, side=0.063 / 2), pixel_scale_ratio=0.5)
    image = replace(mosaic(np.random.default_rng(4), 1e-9), grid=grid)
    n = len(star.image)
    f = np.fft.fftfreq(n, 1 / star.oversample)
    squares = np.sinc(f) * np.sinc(f / 2) ** 2  # drop, pixel, and part of a pixel
    spectrum = np.fft.rfft2(np.fft.ifftshift(star.image)) * squares[:, None] * squares[: n // 2 + 1]
    seen = replace(star, image=np.fft.fftshift(np.fft.irfft2(spectrum, s=(n, n))))
    inner, outer = table["skyin"][0], table["skyout"][0]
    around = [energy_within(seen, r) for r in (inner, outer)]
    plain = [energy_within(smoothed(star, 3), r) for r in (inner, outer)]
    assert around == pytest.approx(plain, rel=0.01)
    y, x = np.indices((star.size, star.size)) - star.size // 2
    ring = smoothed(star, 2).stamp(star.size, 0.0, 0.0)
    ring = np.median(ring[(inner < np.hypot(x, y)) & (np.hypot(x, y) < outer)])

    def truth(radii):
        return np.array([1 / (energy_within(seen, r) - np.pi * r**2 * ring) for r in radii])

    radii = np.array([1.3, 1.8, 2.6])  # of the detector's pixels
    found = common_apertures(image, (30, 50, 70), 2 * radii, path)
    assert found.annulus == pytest.approx((2 * inner, 2 * outer))
    assert found.corrections == pytest.approx(truth(radii), rel=0.006)
    own, _ = aperture_parameters(path, RED, (30, 50, 70), 0.5)
    assert own["aperture_radii"] == pytest.approx(2 * table["radius"], rel=1e-6)
    assert own["aperture_corrections"] == pytest.approx(truth(table["radius"]), rel=0.006)


def test_circles_do_not_reach_into_their_sky():
    """As those for MIRI's long filters do into the ring of NIRCam's short ones."""
    image = mosaic(np.random.default_rng(4), 1e-9, instrument=BLUE)
    own = own_radii(image, (30, 50, 70), None)
    plain = common_apertures(image, (30, 50, 70), own)
    wide = np.array([0.5, 0.8, 1.2]) * plain.annulus[1]
    found = common_apertures(image, (30, 50, 70), wide)
    assert found.annulus == pytest.approx((2.5 * wide[-1], 3.5 * wide[-1]))
    detector = detector_of("NIRCAM", filter_of(BLUE))
    inside = encircled_energy(wide * detector.scale, filter_of(BLUE), detector, smear=3)
    assert found.corrections == pytest.approx(1 / inside, rel=0.02)
    assert np.all(found.corrections * inside > 1), "light of the star in its sky"


def test_corrections_without_a_file():
    rng = np.random.default_rng(5)
    image = mosaic(rng, 1e-9)
    radii = own_radii(image, (30, 50, 70), None)
    found = common_apertures(image, (30, 50, 70), radii)
    assert found.source.startswith("model of the PSF")
    assert found.corrections == pytest.approx(1 / np.array([0.3, 0.5, 0.7]), rel=0.05)
    assert np.all(found.corrections > 1 / np.array([0.3, 0.5, 0.7])), "light of the star in its sky"
    unknown = mosaic(rng, 1e-9, instrument={**RED, "filter": "UNKNOWN", "pupil": "CLEAR"})
    assert own_radii(unknown, (30, 50, 70), None) is None
    assert np.isnan(common_apertures(unknown, (30, 50, 70), radii).corrections).all()


def stars(rng, instrument, flux, x, y, sigma):
    """A mosaic of stars of the model, of some fluxes."""
    band = filter_of(instrument)
    detector = detector_of(instrument["name"], band)
    ratio = 0.063 / detector.scale
    image = mosaic(rng, sigma, instrument=instrument, sky=1e-8)
    image = replace(image, grid=replace(image.grid, pixel_scale_ratio=ratio))
    # a pixel once: apertures add it again
    radii = np.linspace(0, 60, 1500)
    light = encircled_energy(radii * 0.063, band, detector, smear=1 + ratio**2)
    middle = (radii[1:] + radii[:-1]) / 2
    brightness = np.diff(light) / np.diff(np.pi * radii**2)
    rows, columns = np.indices(SHAPE)
    for total, column, row in zip(flux, x, y, strict=True):
        distance = np.hypot(rows - row, columns - column)
        image.data[:] += (total * np.interp(distance, middle, brightness, right=0)).astype("f4")
    return image


def test_fluxes_colours_and_limits():
    rng = np.random.default_rng(6)
    row, column = np.indices((5, 5)).reshape(2, -1) * 48 + 45
    x, y = column + rng.uniform(-0.5, 0.5, 25), row + rng.uniform(-0.5, 0.5, 25)
    blue, red = np.full(25, 3e-6), np.full(25, 1e-6)
    red[0] = 0.0
    mosaics = {
        "red": stars(rng, RED, red, x, y, 2e-10),
        "blue": stars(rng, BLUE, blue, x, y, 2e-10),
    }
    mosaics["blue"].data[y.astype(int)[24] - 20 :, x.astype(int)[24] - 20 :] = np.nan
    found = QTable({"label": np.arange(1, 26), "xcentroid": x, "ycentroid": y})
    found["xcentroid_err"] = found["ycentroid_err"] = np.full(25, 1e-3)
    found.meta = {"versions": {}}
    found["aper30_flux"] = np.ones(25)
    catalog = Catalog(
        found, Segmentation(SHAPE), {"status": "COMPLETE", "sources": 25, "reason": ""}
    )
    bands = bands_of(mosaics, {}, {"red": "F444W", "blue": "F200W"})
    assert [band.name for band in bands] == ["F200W", "F444W"]
    radii = radii_for(bands, (30, 50, 70))
    assert radii == pytest.approx(own_radii(mosaics["red"], (30, 50, 70), None))
    made = field_catalog(catalog, bands, (30, 50, 70), radii, 2.0)
    table = made.table
    assert "aper30_flux" not in table.colnames
    assert made.segmentation is catalog.segmentation
    inside = np.arange(1, 24)
    for energy in (30, 50, 70):
        for name, truth in (("F200W", 3e-6), ("F444W", 1e-6)):
            flux = table[f"{name}_aper{energy}_flux"].value[inside]
            assert np.median(flux) == pytest.approx(truth, rel=0.012)
    assert np.isnan(table["F200W_aper50_flux"][24])
    colour = table["F200W-F444W"]
    assert np.median(colour[inside]) == pytest.approx(-2.5 * np.log10(3), abs=0.005)
    assert np.isnan(colour[0])
    assert np.isnan(colour[24])
    limit = table["F444W_limit_abmag"]
    error = table["F444W_aper50_flux_err"].value[0]
    flux = max(table["F444W_aper50_flux"].value[0], 0)
    assert limit[0] == pytest.approx(8.9 - 2.5 * np.log10(flux + 3 * error))
    assert np.isnan(limit[1:]).all()
    assert table.meta["filters"]["F200W"]["product"] == "blue"


def test_filters_that_two_have_go_by_their_products():
    image = mosaic(np.random.default_rng(7), 1e-9)
    names = {"one": "F444W", "two": "F444W", "other": ""}
    bands = bands_of(dict.fromkeys(names, image), {"one": "a.fits"}, names)
    assert [band.name for band in bands] == ["one", "two", "other"]
    assert [band.apcorr for band in bands] == ["a.fits", None, None]


def test_a_mosaic_in_another_unit_has_no_fluxes():
    rng = np.random.default_rng(8)
    counts = replace(mosaic(rng, 1e-9), flaw="no fluxes: the mosaic is in DN/s, not MJy/sr")
    found = QTable({"label": [1], "xcentroid": [50.0], "ycentroid": [60.0]})
    found["xcentroid_err"] = found["ycentroid_err"] = [1e-3]
    found.meta = {"versions": {}}
    catalog = Catalog(
        found, Segmentation(SHAPE), {"status": "COMPLETE", "sources": 1, "reason": ""}
    )
    band = Band("F444W", "counts", 4.4, counts, None)
    made = field_catalog(catalog, [band], (30, 50, 70), np.array([1.0, 2.0, 3.0]), 2.0)
    assert made.status["status"] == "FAILED"
    assert "counts: no fluxes: the mosaic is in DN/s" in made.status["reason"]
    assert np.isnan(made.table["F444W_aper50_flux"].value).all()
    assert made.table.meta["filters"]["F444W"]["errors"] == "none"
