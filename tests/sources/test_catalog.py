import dataclasses
import errno
import gzip

import asdf
import numpy as np
import pytest
from astropy import coordinates
from astropy import units as u
from astropy.io import fits
from astropy.modeling import models
from astropy.stats import SigmaClip
from astropy.table import QTable, Table
from gwcs import WCS, coordinate_frames
from hypothesis import given, settings
from hypothesis import strategies as st
from photutils.aperture import CircularAperture
from photutils.detection import DAOStarFinder
from scipy.ndimage import convolve
from stdatamodels.jwst.datamodels import ImageModel, SegmentationMapModel

from snakewebb.errors import InputError
from snakewebb.io.noise_correlation import UNCORRELATED, NoiseCorrelation
from snakewebb.jobs import source_catalog
from snakewebb.kernels.photometry import annulus_sky
from snakewebb.products.mosaic_file import grid_keywords
from snakewebb.references.photometry import aperture_parameters
from snakewebb.sources import catalog as step
from snakewebb.sources import catalog_file, photometry, segmentation_map
from snakewebb.sources import mosaic as mosaic_module
from snakewebb.sources.covariance import Covariance, read_covariance
from snakewebb.wcs.grid import Grid

SIZE = 160
SCALE = 0.031 / 3600
PIXEL_AREA = np.deg2rad(SCALE) ** 2
JANSKY = 1e6 * PIXEL_AREA
SIGMA = 2.0
SKY = 0.3
NOISE = 0.02
ROTATION = 30.0
NIRCAM = {
    "name": "NIRCAM",
    "filter": "F200W",
    "pupil": "CLEAR",
    "detector": "NRCA1",
    "subarray": "FULL",
}

COLUMNS = [
    "label",
    "xcentroid",
    "ycentroid",
    "xcentroid_err",
    "ycentroid_err",
    "sky_centroid",
    "ra_centroid_err",
    "dec_centroid_err",
    "aper_bkg_flux",
    "aper_bkg_flux_err",
    "aper30_flux",
    "aper30_flux_err",
    "aper50_flux",
    "aper50_flux_err",
    "aper70_flux",
    "aper70_flux_err",
    "aper_total_flux",
    "aper_total_flux_err",
    "aper30_abmag",
    "aper30_abmag_err",
    "aper50_abmag",
    "aper50_abmag_err",
    "aper70_abmag",
    "aper70_abmag_err",
    "aper_total_abmag",
    "aper_total_abmag_err",
    "aper30_vegamag",
    "aper30_vegamag_err",
    "aper50_vegamag",
    "aper50_vegamag_err",
    "aper70_vegamag",
    "aper70_vegamag_err",
    "aper_total_vegamag",
    "aper_total_vegamag_err",
    "CI_50_30",
    "CI_70_50",
    "CI_70_30",
    "is_extended",
    "sharpness",
    "roundness",
    "nn_label",
    "nn_dist",
    "isophotal_flux",
    "isophotal_flux_err",
    "isophotal_abmag",
    "isophotal_abmag_err",
    "isophotal_vegamag",
    "isophotal_vegamag_err",
    "isophotal_area",
    "semimajor_sigma",
    "semiminor_sigma",
    "ellipticity",
    "orientation",
    "sky_orientation",
    "sky_bbox_ll",
    "sky_bbox_ul",
    "sky_bbox_lr",
    "sky_bbox_ur",
]


SEGMENTATION = {"starfinder": "segmentation"}


def catalog_of(mosaic, **options):
    """Make jwst's catalogue; options by their names, as the configuration has them."""
    options = {"starfinder": "segmentation", **options}
    how = {field.name for field in dataclasses.fields(step.CatalogOptions)} & options.keys()
    others = {name: value for name, value in options.items() if name not in how}
    return step.source_catalog(
        mosaic, step.CatalogOptions(**{name: options[name] for name in how}), **others
    )


def radius(energy):
    """Radius that holds a percentage of a star, whose pixels are squares of even light."""
    return np.sqrt(-2 * (SIGMA**2 + 1 / 12) * np.log(1 - energy / 100))


def tangent_wcs(size, rotation=ROTATION):
    """East is to the left; North is `rotation` degrees anticlockwise of up."""
    angle = np.deg2rad(rotation)
    turn = [[-np.cos(angle), -np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    crpix = (size - 1) / 2
    transform = (
        models.Shift(-crpix) & models.Shift(-crpix)
        | models.AffineTransformation2D(turn)
        | models.Scale(SCALE) & models.Scale(SCALE)
        | models.Pix2Sky_TAN()
        | models.RotateNative2Celestial(150.1, 2.2, 180.0)
    )
    pixels = coordinate_frames.Frame2D(name="detector", unit=(u.pix, u.pix))
    sky = coordinate_frames.CelestialFrame(
        reference_frame=coordinates.ICRS(), name="world", unit=(u.deg, u.deg)
    )
    wcs = WCS(transform, input_frame=pixels, output_frame=sky)
    wcs.bounding_box = ((-0.5, size - 0.5), (-0.5, size - 0.5))
    return wcs


def tangent_grid(size, crpix=None):
    """What `tangent_wcs` is."""
    angle = np.deg2rad(ROTATION)
    pc = ((-np.cos(angle), -np.sin(angle)), (-np.sin(angle), np.cos(angle)))
    middle = ((size - 1) / 2, (size - 1) / 2)
    grid = Grid((150.1, 2.2), middle, SCALE, pc, (size, size), 1.0)
    if crpix is None:
        return grid
    return dataclasses.replace(grid, crval=grid.pixel_to_sky(*crpix), crpix=crpix)


def labels_of(catalog):
    return catalog.segmentation.rows(0, catalog.segmentation.shape[0])


def gaussian(x, y, flux, major=SIGMA, minor=SIGMA, angle=0.0, size=SIZE):
    """An elliptical Gaussian whose major axis is `angle` degrees anticlockwise of +x."""
    rows, columns = np.mgrid[:size, :size]
    cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    along = (columns - x) * cosine + (rows - y) * sine
    across = -(columns - x) * sine + (rows - y) * cosine
    shape = np.exp(-0.5 * ((along / major) ** 2 + (across / minor) ** 2))
    return flux * shape / (2 * np.pi * major * minor)


def make_mosaic(light=0.0, *, ratio=1.0, instrument=NIRCAM, seed=0, border=0):
    """A mosaic of `light` (MJy/sr) on sky and noise, with an empty border."""
    noise = np.random.default_rng(seed).normal(SKY, NOISE, (SIZE, SIZE))
    mask = np.ones((SIZE, SIZE), bool)
    mask[border : SIZE - border, border : SIZE - border] = False
    data = np.where(mask, np.nan, noise + light)
    err = np.where(mask, np.nan, NOISE)
    return mosaic_module.Mosaic(
        data=(data * JANSKY).astype(np.float32),
        err=(err * JANSKY).astype(np.float32),
        mask=mask,
        grid=dataclasses.replace(tangent_grid(SIZE), pixel_scale_ratio=ratio),
        instrument=instrument,
    )


def write_i2d(path, mosaic):
    model = ImageModel()
    model.data = (mosaic.data / JANSKY).astype(np.float32)
    model.err = (mosaic.err / JANSKY).astype(np.float32)
    model.wht = (~mosaic.mask).astype(np.float32)
    model.con = np.ones((1, SIZE, SIZE), np.int32)
    meta = model.meta
    meta.wcs = tangent_wcs(SIZE)
    for keyword, value in grid_keywords(mosaic.grid).items():
        if keyword != "RADESYS":
            setattr(meta.wcsinfo, keyword.lower(), value)
    meta.bunit_data = meta.bunit_err = "MJy/sr"
    meta.photometry.pixelarea_steradians = PIXEL_AREA
    meta.telescope = "JWST"
    meta.observation.date = "2024-01-02"
    for name in ("name", "filter", "pupil", "detector"):
        setattr(meta.instrument, name, mosaic.instrument[name])
    meta.subarray.name = mosaic.instrument["subarray"]
    meta.resample.pixel_scale_ratio = mosaic.grid.pixel_scale_ratio
    meta.cal_step.resample = "COMPLETE"
    model.save(str(path))
    return path


@pytest.fixture(scope="module")
def apcorr(tmp_path_factory):
    """Apertures of the Gaussian stars, among rows for something else."""
    rows = [
        (name, "CLEAR", energy / 100, radius(energy), 100 / energy, 8.0, 12.0)
        for name in ("F200W", "F115W")
        for energy in (20, 30, 50, 70, 80)
    ]
    names = ("filter", "pupil", "eefraction", "radius", "apcorr", "skyin", "skyout")
    kinds = ("S12", "S15", "f4", "f4", "f4", "f4", "f4")
    path = tmp_path_factory.mktemp("references") / "apcorr.fits"
    table = fits.BinTableHDU(np.array(rows, list(zip(names, kinds, strict=True))), name="APCORR")
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path)
    return path


@pytest.fixture(scope="module")
def abvegaoffset(tmp_path_factory):
    path = tmp_path_factory.mktemp("references") / "abvegaoffset.asdf"
    table = Table({"filter": ["F200W", "F115W"], "pupil": ["CLEAR"] * 2})
    table["abvega_offset"] = np.array([1.7, 0.8], np.float32)
    asdf.AsdfFile({"abvega_offset": table}).write_to(path)
    return path


@pytest.fixture(scope="module")
def stars():
    """Isolated stars: x, y and flux in MJy/sr × pixels."""
    x, y = (c.ravel() for c in np.meshgrid([30.3, 80.0, 129.6], [31.4, 79.2, 128.9]))
    return x, y, np.geomspace(10.0, 500.0, 9)


@pytest.fixture(scope="module")
def starfield(stars):
    return make_mosaic(sum(gaussian(*star) for star in zip(*stars, strict=True)), border=8)


@pytest.fixture(scope="module")
def catalog(starfield, apcorr, abvegaoffset):
    return catalog_of(starfield, apcorr=apcorr, abvegaoffset=abvegaoffset)


def by_position(table, x, y, within=0.3):
    """Rows of a catalogue in the order of true positions, each of which is there."""
    distance = np.hypot(
        table["xcentroid"] - np.asarray(x)[:, None], table["ycentroid"] - np.asarray(y)[:, None]
    )
    assert np.all(distance.min(axis=1) < within)
    return table[distance.argmin(axis=1)]


# --- truth ---------------------------------------------------------------------------------------


def test_isolated_stars_have_their_positions_and_fluxes(catalog, stars, starfield):
    x, y, flux = stars
    found = by_position(catalog.table, x, y)
    assert len(catalog.table) == len(x)
    assert catalog.status == {
        "status": "COMPLETE",
        "sources": 9,
        "apcorr": "apcorr.fits",
        "abvegaoffset": "abvegaoffset.asdf",
        "reason": "",
    }
    sky = found["sky_centroid"].separation(tangent_wcs(SIZE).pixel_to_world(x, y)).arcsec
    assert np.all(sky < 0.3 * 0.031)
    error = found["aper_total_flux_err"].to_value("Jy")
    difference = found["aper_total_flux"].to_value("Jy") - flux * JANSKY
    assert np.all(np.abs(difference) < 4 * error + 0.01 * flux * JANSKY)
    truth = 8.9 - 2.5 * np.log10(flux * JANSKY)
    np.testing.assert_allclose(found["aper_total_abmag"], truth, atol=0.15)
    np.testing.assert_allclose(found["aper_total_abmag"][flux > 50], truth[flux > 50], atol=0.02)
    np.testing.assert_allclose(found["aper_bkg_flux"].to_value("Jy"), SKY * JANSKY, rtol=0.03)
    for energy in (30, 50, 70):
        bright = found[flux > 50][f"aper{energy}_flux"].to_value("Jy")
        np.testing.assert_allclose(bright, energy / 100 * flux[flux > 50] * JANSKY, rtol=0.02)


def test_errors_are_those_of_the_pixels(catalog, stars):
    expected = NOISE * JANSKY * np.sqrt(np.pi) * radius(70)
    np.testing.assert_allclose(catalog.table["aper70_flux_err"].value, expected, rtol=1e-4)
    expected = NOISE * JANSKY * np.sqrt(catalog.table["isophotal_area"].value)
    np.testing.assert_allclose(catalog.table["isophotal_flux_err"].value, expected, rtol=1e-4)
    number = np.pi * (12**2 - 8**2)
    scatter = NOISE * JANSKY * np.sqrt(np.pi / (2 * number))
    np.testing.assert_allclose(catalog.table["aper_bkg_flux_err"].value, scatter, rtol=0.2)
    ratio = catalog.table["aper70_flux_err"] / catalog.table["aper70_flux"]
    expected = 2.5 / np.log(10) * ratio.value
    np.testing.assert_allclose(catalog.table["aper70_abmag_err"], expected)


BLUR = np.array([[0.3, 0.5, 0.1], [0.6, 1.0, 0.4], [0.0, 0.5, 0.2]])


MIDDLE = 0.6
"""Variance of a pixel over its squared ERR."""


def correlated(reach=2, step=50):
    """The covariance over ERR² of white noise that was convolved with `BLUR`, in cells."""
    padded = np.pad(BLUR, 2 * reach)
    rho = [
        [np.sum(padded * np.roll(padded, (i, j), (0, 1))) for j in range(-reach, reach + 1)]
        for i in range(-reach, reach + 1)
    ]
    kernel = (MIDDLE * np.array(rho) / np.sum(BLUR**2)).astype(np.float32)
    cells = -(-SIZE // step)
    return NoiseCorrelation(np.tile(kernel, (cells, cells, 1, 1)), step)


def test_errors_hold_where_noise_is_correlated(stars, apcorr):
    """Scatter over error, over realisations of the noise, of what is measured of stars."""
    light = sum(gaussian(x, y, 4 * flux) for x, y, flux in zip(*stars, strict=True))
    rng = np.random.default_rng(1)
    names = ("aper30_flux", "aper50_flux", "aper70_flux", "aper_total_flux", "isophotal_flux")
    names += ("aper_bkg_flux", "aper_total_abmag", "xcentroid", "ycentroid")
    values, errors = [], []
    for _ in range(60):
        white = rng.normal(0, NOISE / np.sqrt(np.sum(BLUR**2)), (SIZE, SIZE))
        noise = convolve(white, BLUR, mode="wrap")
        image = dataclasses.replace(
            make_mosaic(),
            data=((SKY + noise + light) * JANSKY).astype(np.float32),
            err=np.full((SIZE, SIZE), NOISE * JANSKY / np.sqrt(MIDDLE), np.float32),
            correlation=correlated(),
        )
        found = by_position(catalog_of(image, apcorr=apcorr).table, *stars[:2], within=1)
        assert found.meta["errors"] == "of ERR and NOISE_CORR"
        values.append([u.Quantity(found[name]).value for name in names])
        errors.append([u.Quantity(found[f"{name}_err"]).value for name in names])
    scatter = np.std(values, axis=0, ddof=1) / np.sqrt(np.mean(np.square(errors), axis=0))
    pulls = dict(zip(names, np.sqrt(np.mean(scatter**2, axis=1)), strict=True))
    # The edge of a segment is guessed from one noisy image, so its error is a little too large.
    assert 0.86 < pulls.pop("isophotal_flux") < 1.02
    assert all(0.92 < pull < 1.08 for pull in pulls.values()), pulls
    assert 0.75 < scatter.min() < scatter.max() < 1.3
    # Errors of positions on the sky are those in pixels, turned and scaled.
    side = tangent_grid(SIZE).cdelt * 3600
    squares = [found[f"{name}_err"].value ** 2 for name in ("ra_centroid", "dec_centroid")]
    expected = found["xcentroid_err"].value ** 2 + found["ycentroid_err"].value ** 2
    np.testing.assert_allclose(np.sum(squares, axis=0), side**2 * expected, rtol=1e-6)


def test_errors_of_apertures_are_those_of_the_covariance(starfield, monkeypatch):
    """The catalogue and what `Covariance` says of the same pixels, in windows of some rows."""
    monkeypatch.setattr(segmentation_map, "PIECE", 10 * SIZE)
    rng = np.random.default_rng(5)
    sigma = (NOISE * JANSKY * rng.uniform(0.5, 2, (SIZE, SIZE))).astype(np.float32)
    correlation = correlated()
    correlation.kernels[:] *= rng.uniform(0.5, 2, (*correlation.kernels.shape[:2], 1, 1))
    known = dataclasses.replace(starfield, err=sigma, correlation=correlation)
    radii, x, y = (2.3, 7.1), np.array([40.2, 77.7]), np.array([101.6, 49.5])
    apertures = {
        "aperture_ee": (1, 2), "aperture_radii": radii, "aperture_corrections": (1, 1),
        "bkg_aperture_inner_radius": 9.0, "bkg_aperture_outer_radius": 14.0,
    }  # fmt: skip
    found = photometry.photometry(known, x, y, apertures, 2.0)
    covariance = Covariance(sigma, known.correlation)
    for energy, size in zip((1, 2), radii, strict=True):
        for k in range(2):
            circle = (
                CircularAperture((x[k], y[k]), size).to_mask(method="exact").to_image(sigma.shape)
            )
            sky = np.pi * size**2 * found["aper_bkg_flux_err"][k]
            expected = np.hypot(covariance.error_of_sum(circle), sky)
            assert found[f"aper{energy}_flux_err"][k] == pytest.approx(expected, rel=1e-6)


def test_errors_of_sums_hold_that_of_the_place_of_the_aperture(starfield):
    """On a slope the sum changes by slope × area where the aperture moves by a pixel."""
    y, x = np.indices((SIZE, SIZE))
    image = (0.3 * x - 0.2 * y).astype(np.float32)
    apertures = {
        "aperture_ee": (1, 2), "aperture_radii": (3.0, 5.0), "aperture_corrections": (1, 2),
        "bkg_aperture_inner_radius": 9.0, "bkg_aperture_outer_radius": 14.0,
    }  # fmt: skip
    place = image, np.ones_like(image), np.array([40.2, 77.7]), np.array([101.6, 49.5]), apertures
    spread = np.array([[0.04, 0.09, 0.0], [0.04, 0.09, 0.05]])
    known, moved = (
        photometry.aperture_photometry(*place, correlation=correlated(), spread=each)
        for each in (None, spread)
    )
    square = 0.3**2 * spread[:, 0] - 2 * 0.3 * 0.2 * spread[:, 2] + 0.2**2 * spread[:, 1]
    for name, area in (("aper1", 9 * np.pi), ("aper2", 25 * np.pi), ("aper_total", 50 * np.pi)):
        added = moved[f"{name}_flux_err"] ** 2 - known[f"{name}_flux_err"] ** 2
        np.testing.assert_allclose(np.sqrt(added), area * np.sqrt(square), rtol=0.03)


def test_without_the_correlation_errors_are_those_of_err(catalog, starfield, apcorr):
    assert catalog.table.meta["errors"].startswith("of ERR, as if")
    bare = dataclasses.replace(starfield, err=np.full((SIZE, SIZE), np.nan, np.float32))
    assert catalog_of(bare, apcorr=apcorr).table.meta["errors"] == "none: the mosaic has no ERR"


def test_vega_magnitudes_are_offset(catalog):
    table = catalog.table
    for name in ("aper30", "aper50", "aper70", "aper_total", "isophotal"):
        offset = table[f"{name}_abmag"] - table[f"{name}_vegamag"]
        np.testing.assert_allclose(offset, 1.7, rtol=1e-6)
        np.testing.assert_array_equal(table[f"{name}_abmag_err"], table[f"{name}_vegamag_err"])
    assert table.meta["abvega_offset"] == pytest.approx(1.7)


def test_a_crowded_pair_is_deblended():
    light = gaussian(70, 80, 100) + gaussian(82, 80, 60) + gaussian(120, 120, 50)
    mosaic = make_mosaic(light)
    pair = by_position(catalog_of(mosaic).table, [70, 82], [80, 80])
    np.testing.assert_allclose(pair["nn_dist"].to_value("pix"), 12, atol=0.3)
    np.testing.assert_array_equal(pair["nn_label"], pair["label"][::-1])
    assert len(catalog_of(mosaic, deblend=False).table) == 2


def test_a_galaxy_is_extended_and_a_star_is_not(apcorr):
    mosaic = make_mosaic(gaussian(50, 50, 100) + gaussian(110, 110, 3000, 8.0, 7.0))
    table = catalog_of(mosaic, apcorr=apcorr, ci1_star_threshold=1.8, ci2_star_threshold=1.55).table
    star, galaxy = by_position(table, [50, 110], [50, 110])
    assert not star["is_extended"]
    assert galaxy["is_extended"]
    assert star["CI_50_30"] == pytest.approx(5 / 3, rel=0.02)
    assert star["CI_70_50"] == pytest.approx(7 / 5, rel=0.02)
    assert star["CI_70_30"] == pytest.approx(7 / 3, rel=0.02)
    assert star["sharpness"] > galaxy["sharpness"]
    for thresholds in ((9.0, 1.55), (1.8, 9.0)):
        ci1, ci2 = thresholds
        options = {"ci1_star_threshold": ci1, "ci2_star_threshold": ci2}
        assert not any(catalog_of(mosaic, apcorr=apcorr, **options).table["is_extended"])


@pytest.mark.parametrize("angle", [-50.0, 20.0])
def test_shape_and_position_angle(angle):
    mosaic = make_mosaic(gaussian(80, 80, 2000, 5.0, 2.5, angle))
    (source,) = catalog_of(mosaic).table
    orientation = source["orientation"].to_value("deg")
    assert abs((orientation - angle + 90) % 180 - 90) < 1
    assert source["semimajor_sigma"].to_value("pix") == pytest.approx(5.0, rel=0.1)
    assert source["ellipticity"] == pytest.approx(0.5, abs=0.03)
    step_along = np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))])
    centre = tangent_wcs(SIZE).pixel_to_world(80, 80)
    along = tangent_wcs(SIZE).pixel_to_world(*(80 + step_along))
    difference = source["sky_orientation"] - centre.position_angle(along)
    assert abs((difference.to_value("deg") + 90) % 180 - 90) < 1
    assert 0 <= source["sky_orientation"].to_value("deg") < 360


def test_north_is_known_where_the_reference_pixel_is_off_the_image():
    mosaic = make_mosaic(gaussian(80, 80, 2000, 5.0, 2.5, 20.0))
    aside = dataclasses.replace(mosaic, grid=tangent_grid(SIZE, (-3.0, 2.0 * SIZE)))
    angles = [catalog_of(m).table["sky_orientation"].value for m in (mosaic, aside)]
    np.testing.assert_allclose(*angles, atol=0.01)


def test_boxes_enclose_the_segments(catalog):
    # photutils 3.0 puts the upper and right corners one pixel too far out
    for source in catalog.table:
        rows, columns = np.nonzero(labels_of(catalog) == source["label"])
        edges = {
            "l": (columns.min() - 0.5, rows.min() - 0.5),
            "u": (columns.max() + 0.5, rows.max() + 0.5),
        }
        for name, x in (("l", edges["l"][0]), ("r", edges["u"][0])):
            for side in "lu":
                corner = tangent_wcs(SIZE).pixel_to_world(x, edges[side][1])
                assert source[f"sky_bbox_{side}{name}"].separation(corner).arcsec < 1e-6
        assert source["isophotal_area"].to_value("pix2") == len(rows)


def test_an_empty_border_holds_no_source():
    light = gaussian(80, 80, 50) + gaussian(10, 60, 300)
    mosaic = make_mosaic(light, border=8)
    found = catalog_of(mosaic)
    assert len(found.table) == 2
    assert not labels_of(found)[mosaic.mask].any()
    cut, whole = by_position(found.table, [10, 80], [60, 80], within=0.6)
    assert np.isnan(cut["aper70_flux"])
    assert np.isnan(cut["aper70_abmag"])
    assert np.isfinite(cut["aper_bkg_flux"])
    assert np.isfinite(whole["aper70_abmag"])


# --- the table -----------------------------------------------------------------------------------


def test_columns_and_units(catalog):
    assert catalog.table.colnames == COLUMNS
    units = {name: str(catalog.table[name].unit or "") for name in COLUMNS if "sky_" not in name}
    assert {name for name, unit in units.items() if unit == "Jy"} == {
        name for name in COLUMNS if "flux" in name
    }
    others = {name: unit for name, unit in units.items() if unit not in {"", "Jy"}}
    assert others == {
        "nn_dist": "pix",
        "isophotal_area": "pix2",
        "semimajor_sigma": "pix",
        "semiminor_sigma": "pix",
        "orientation": "deg",
        "ra_centroid_err": "arcsec",
        "dec_centroid_err": "arcsec",
    }
    assert catalog.table["sky_orientation"].unit == u.deg
    assert catalog.table["label"].dtype == catalog.table["nn_label"].dtype == np.int64
    assert catalog.table["is_extended"].dtype == bool
    assert all(catalog.table[name].info.description for name in COLUMNS)
    assert {"versions", "aperture_params", "abvega_offset"} <= catalog.table.meta.keys()


def test_names_follow_the_energies(starfield, apcorr):
    table = catalog_of(starfield, apcorr=apcorr, aperture_ee1=20, aperture_ee3=80).table
    assert {"aper20_flux", "aper80_vegamag_err", "CI_50_20", "CI_80_50", "CI_80_20"} <= set(
        table.colnames
    )
    assert table.meta["aperture_params"]["aperture_ee"] == [20, 50, 80]


@pytest.mark.parametrize("starfinder", ["dao", "iraf"])
def test_star_finders(starfinder, starfield, stars, apcorr):
    found = catalog_of(
        starfield, apcorr=apcorr, starfinder=starfinder, snr_threshold=20, roundlo=-1.0, roundhi=1.0
    )
    x, y, flux = (column[5:] for column in stars)
    bright = by_position(found.table, x, y)
    assert found.table.colnames == COLUMNS
    assert not labels_of(found).any()
    np.testing.assert_allclose(bright["aper_total_flux"].to_value("Jy"), flux * JANSKY, rtol=0.03)
    for name in ("isophotal_flux", "isophotal_vegamag", "isophotal_area", "sky_orientation"):
        assert np.all(np.isnan(found.table[name]))
    assert np.all(np.isnan(found.table["sky_bbox_ur"].ra))


def test_nothing_found():
    mosaic = make_mosaic(gaussian(80, 80, 10))
    assert len(catalog_of(mosaic).table) == 1
    found = catalog_of(mosaic, snr_threshold=50)
    assert len(found.table) == 0
    assert found.status["status"] == "COMPLETE"
    assert found.status["sources"] == 0
    assert "50 sigma" in found.status["reason"]
    assert found.segmentation.shape == mosaic.data.shape
    assert not labels_of(found).any()


def test_no_pixel_to_look_at():
    found = catalog_of(make_mosaic(border=SIZE // 2))
    assert found.status["sources"] == 0
    assert "no pixel" in found.status["reason"]


# --- reference files -----------------------------------------------------------------------------


def test_without_reference_files(starfield, stars):
    """Names are jwst's, and Vega magnitudes are not those of AB."""
    found = catalog_of(starfield)
    apertures = found.table.meta["aperture_params"]
    assert apertures["aperture_ee"] == [30, 50, 70]
    assert apertures["source"] == "model of the PSF, total fluxes within 2 %"
    assert found.status == {
        "status": "COMPLETE",
        "sources": len(stars[0]),
        "apcorr": apertures["source"],
        "abvegaoffset": "none: no Vega magnitudes",
        "reason": "",
    }
    table = found.table
    assert set(COLUMNS) <= set(table.colnames)
    np.testing.assert_allclose(
        table["aper_total_flux"], apertures["aperture_corrections"][2] * table["aper70_flux"]
    )
    assert np.all(np.isfinite(table["aper_total_abmag"]))
    assert np.all(np.isnan(table["aper_total_vegamag"]))


def test_without_a_known_psf_there_is_no_aperture_photometry(starfield):
    elsewhere = dataclasses.replace(starfield, instrument=NIRCAM | {"pupil": "WLP8"})
    found = catalog_of(elsewhere)
    assert found.status["status"] == "FAILED"
    assert found.status["reason"] == (
        "no aperture photometry: no PSF is known of NIRCAM F200W WLP8: give an APCORR reference "
        "file"
    )
    assert np.all(np.isnan(found.table["aper_total_flux"]))


def same_columns(found, catalog, without):
    """Check that two catalogues have the same numbers, but in some columns, where one has none."""
    assert found.table.colnames == catalog.table.colnames
    for name in catalog.table.colnames:
        column = found.table[name]
        if without(name):
            assert not np.any(column) if name == "is_extended" else np.all(np.isnan(column)), name
        elif "sky" in name and name != "sky_orientation":
            assert column.separation(catalog.table[name]).max() == 0
        else:
            np.testing.assert_array_equal(np.asarray(column), np.asarray(catalog.table[name]))


def test_a_missing_vega_offset_costs_the_vega_magnitudes_alone(tmp_path, stars, starfield):
    """As a mosaic of both guiders has it, whose DETECTOR is MULTIPLE."""
    table = Table({"detector": ["GUIDER1", "GUIDER2"], "abvega_offset": [0.5, 0.6]})
    path = tmp_path / "abvegaoffset.asdf"
    asdf.AsdfFile({"abvega_offset": table}).write_to(path)
    fgs = {"name": "FGS", "filter": None, "pupil": None, "detector": "MULTIPLE", "subarray": "FULL"}
    mosaic = dataclasses.replace(starfield, instrument=fgs)
    whole = catalog_of(
        dataclasses.replace(mosaic, instrument=fgs | {"detector": "GUIDER2"}), abvegaoffset=path
    )
    np.testing.assert_allclose(
        whole.table["aper70_abmag"] - whole.table["aper70_vegamag"], 0.6, atol=1e-12
    )
    found = catalog_of(mosaic, abvegaoffset=path)
    same_columns(found, whole, lambda name: "vegamag" in name)
    reason = "no Vega magnitudes: abvegaoffset.asdf: has no row for detector MULTIPLE"
    assert found.status["status"] == "COMPLETE"
    assert found.status["reason"] == reason
    assert found.table.meta["abvega_offset"] is None


def test_missing_apertures_cost_the_aperture_photometry_alone(
    starfield, apcorr, abvegaoffset, catalog
):
    elsewhere = dataclasses.replace(starfield, instrument=NIRCAM | {"pupil": "F162M"})
    found = catalog_of(elsewhere, apcorr=apcorr)
    measured = ("aper", "CI_", "is_extended")
    assert found.status["status"] == "FAILED"
    assert found.status["reason"] == (
        "no aperture photometry: apcorr.fits: has no row for filter F200W, pupil F162M"
    )
    for name in COLUMNS:
        if name.startswith(measured):
            column = found.table[name]
            assert not np.any(column) if name == "is_extended" else np.all(np.isnan(column)), name
    for name in (
        "label",
        "isophotal_flux",
        "isophotal_abmag",
        "sharpness",
        "nn_dist",
        "ellipticity",
    ):
        np.testing.assert_array_equal(found.table[name], catalog.table[name])
    np.testing.assert_array_equal(labels_of(found), labels_of(catalog))


def test_what_is_known_without_one_of_the_energies_is_catalogued(starfield, apcorr, abvegaoffset):
    references = {"apcorr": apcorr, "abvegaoffset": abvegaoffset}
    whole = catalog_of(starfield, **references)
    found = catalog_of(starfield, aperture_ee2=55, **references)
    assert found.status["status"] == "FAILED"
    assert found.status["reason"] == "apcorr.fits: 0 rows for 55 % encircled energy"
    assert found.table.meta["aperture_params"]["aperture_radii"][1] is None
    for name in ("aper30_flux", "aper70_abmag_err", "aper_total_vegamag", "CI_70_30"):
        np.testing.assert_array_equal(found.table[name], whole.table[name])
    for name in ("aper55_flux", "aper55_vegamag", "CI_55_30", "CI_70_55"):
        assert np.all(np.isnan(found.table[name]))
    assert not np.any(found.table["is_extended"])
    # The largest that is known is corrected to the total.
    largest = catalog_of(starfield, aperture_ee3=75, **references).table
    np.testing.assert_allclose(largest["aper_total_flux"], 2 * largest["aper50_flux"], rtol=1e-6)


def test_unusable_reference_files(tmp_path, apcorr, abvegaoffset):
    mosaic = make_mosaic()
    for wrong in (tmp_path / "none.fits", abvegaoffset):
        with pytest.raises(InputError):
            catalog_of(mosaic, apcorr=wrong)
    for wrong in (tmp_path / "none.asdf", apcorr):
        with pytest.raises(InputError, match="ABVEGAOFFSET"):
            catalog_of(mosaic, abvegaoffset=wrong)


@pytest.mark.parametrize("energies", [(50, 50, 70), (0, 50, 70), (30, 50, 100)])
def test_energies_must_increase(energies):
    names = ("aperture_ee1", "aperture_ee2", "aperture_ee3")
    with pytest.raises(InputError, match="aperture_ee"):
        catalog_of(make_mosaic(), **dict(zip(names, energies, strict=True)))


# --- parts ---------------------------------------------------------------------------------------


def test_no_light_has_no_magnitude():
    mag, err = photometry.magnitudes(np.array([1.0, 0.0, -1.0, np.nan]), np.array([0.1] * 4))
    assert mag[0] == pytest.approx(8.9)
    assert err[0] == pytest.approx(0.25 / np.log(10))
    assert np.all(np.isnan(mag[1:]))
    assert np.all(np.isnan(err[1:]))


def test_a_hole_in_a_bright_ring_has_a_negative_flux_and_no_magnitude(starfield, apcorr):
    rows, columns = np.mgrid[:SIZE, :SIZE]
    ring = np.hypot(columns - 80, rows - 80) > 7
    mosaic = make_mosaic(np.where(ring, 1.0, 0.0))
    apertures, _ = aperture_parameters(apcorr, NIRCAM, (30, 50, 70), 1.0)
    sums = photometry.aperture_photometry(
        mosaic.data, mosaic.err, np.array([80.0]), np.array([80.0]), apertures
    )
    assert sums["aper70_flux"][0] == pytest.approx(-np.pi * radius(70) ** 2 * JANSKY, rel=0.05)
    assert np.isnan(photometry.magnitudes(sums["aper70_flux"], sums["aper70_flux_err"])[0][0])


def test_local_sky_is_the_clipped_median_of_each_annulus():
    rng = np.random.default_rng(1)
    data = rng.normal(5.0, 1.0, (60, 60)).astype(np.float32)
    data[30, 20:40] += 100
    data[:6] = np.nan
    centres = np.array([[30.0, 30.0], [3.3, 8.9], [-1e6, -1e6], [31.6, 29.7]])
    sky, sky_err = np.empty((2, len(centres)))
    place = UNCORRELATED.kernels, UNCORRELATED.step, 0, 0
    annulus_sky(data, *np.ascontiguousarray(centres.T), 5.0, 10.0, *place, sky, sky_err)
    rows, columns = np.mgrid[:60, :60]
    for i in (0, 1, 3):
        distance = np.hypot(columns - centres[i, 0], rows - centres[i, 1])
        values = data[(distance < 10) & (distance >= 5)]
        values = SigmaClip(3.0)(values[np.isfinite(values)].astype(float), masked=False)
        assert sky[i] == pytest.approx(np.median(values))
        expected = np.sqrt(np.pi / (2 * len(values))) * np.std(values)
        assert sky_err[i] == pytest.approx(expected)
    assert np.isnan(sky[2])
    assert np.isnan(sky_err[2])


@pytest.mark.parametrize("fwhm", [2.0, 4.5])
def test_sharpness_and_roundness_are_daofinds(starfield, stars, fwhm):
    x, y, _ = stars
    data = starfield.data.astype(float) / JANSKY - SKY
    coordinates = np.round(np.column_stack([x, y]))
    found = DAOStarFinder(
        -1e3, fwhm, xycoords=coordinates, sharpness_range=None, roundness_range=None
    )(np.nan_to_num(data))
    sharpness, roundness = photometry.daofind_shape(starfield.data, x, y, fwhm)
    np.testing.assert_allclose(sharpness, found["sharpness"], rtol=1e-4)
    np.testing.assert_allclose(roundness, found["roundness1"], rtol=1e-3, atol=1e-5)


def test_shape_at_the_edge():
    data = np.zeros((20, 20))
    data[0, 0] = 1.0
    x, y = np.array([0.0, np.nan, 10.0]), np.array([0.0, 3.0, 10.0])
    sharpness, roundness = photometry.daofind_shape(data, x, y, 2.0)
    middle = np.zeros((20, 20))
    middle[10, 10] = 1.0
    expected = photometry.daofind_shape(middle, np.array([10.0]), np.array([10.0]), 2.0)
    assert sharpness[0] == pytest.approx(expected[0][0])
    assert roundness[0] == pytest.approx(expected[1][0], abs=1e-12)
    assert np.isnan(sharpness[1:]).all()
    assert np.isnan(roundness[1:]).all()


finite_or_nan = st.sampled_from([0.0, 1.0, 2.5, 4.0, 7.5, np.nan])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(finite_or_nan, finite_or_nan), min_size=1, max_size=6, unique=True))
def test_the_nearest_neighbour_is_the_nearest(centres):
    x, y = np.array(centres).T
    label = np.arange(len(x)) + 11
    nn_label, nn_dist = photometry.nearest_neighbour(label, x, y)
    for i in range(len(x)):
        distance = np.hypot(x - x[i], y - y[i])
        distance[i] = np.nan
        if np.all(np.isnan(distance)):
            assert nn_label[i] == -1
            assert np.isnan(nn_dist[i])
        else:
            assert nn_dist[i] == pytest.approx(np.nanmin(distance))
            assert distance[nn_label[i] - 11] == pytest.approx(nn_dist[i])


# --- files ---------------------------------------------------------------------------------------


def test_files_are_complete_and_readable(tmp_path, starfield, catalog, apcorr, abvegaoffset):
    i2d = write_i2d(tmp_path / "jw_i2d.fits", starfield)
    cat, segm = tmp_path / "jw_cat.ecsv", tmp_path / "jw_segm.fits"
    references = {"apcorr": apcorr, "abvegaoffset": abvegaoffset}
    status = source_catalog.make_catalog(i2d, (cat, segm), step=SEGMENTATION, **references)
    assert status == catalog.status
    others = {"jw_cat.fits", "jw_cat.reg"}
    assert {path.name for path in tmp_path.iterdir()} == {i2d.name, cat.name, segm.name, *others}

    table = QTable.read(cat)
    assert table.colnames == [*COLUMNS, "n_exposures"]
    assert (table["n_exposures"] == 1).all()
    assert table.meta["source_catalog"] == status
    assert table.meta["aperture_params"]["aperture_corrections"][1] == 2.0
    assert isinstance(table["sky_centroid"], coordinates.SkyCoord)
    assert table["sky_centroid"].separation(catalog.table["sky_centroid"]).arcsec.max() < 1e-4
    for name in COLUMNS:
        if not isinstance(table[name], coordinates.SkyCoord):
            # the file holds the pixels in MJy/sr, in single precision
            np.testing.assert_allclose(
                np.asarray(table[name]), np.asarray(catalog.table[name]), rtol=1e-3, atol=1e-4
            )
            assert table[name].unit == catalog.table[name].unit
            assert table[name].info.description == catalog.table[name].info.description

    with SegmentationMapModel(segm) as model:
        np.testing.assert_array_equal(model.data, labels_of(catalog))
        assert model.meta.wcs(3.0, 4.0) == pytest.approx(tangent_wcs(SIZE)(3.0, 4.0))
        assert model.meta.wcsinfo.crpix1 == (SIZE + 1) / 2
        assert model.meta.instrument.filter == "F200W"
        assert model.meta.cal_step.resample == "COMPLETE"
        assert model.meta.cal_step.source_catalog == "COMPLETE"
        assert model.meta.filename == model.meta.segmentation_map == segm.name
        assert model.meta.source_catalog == cat.name
        assert model.data.dtype == np.uint32


def test_an_empty_catalogue_is_readable(tmp_path, apcorr):
    i2d = write_i2d(tmp_path / "jw_i2d.fits", make_mosaic(instrument=NIRCAM | {"filter": "F070W"}))
    cat, segm = tmp_path / "jw_cat.ecsv", tmp_path / "jw_segm.fits"
    status = source_catalog.make_catalog(i2d, (cat, segm), apcorr=apcorr, step=SEGMENTATION)
    table = QTable.read(cat)
    assert table.colnames == [*COLUMNS, "n_exposures"]
    assert len(table) == 0
    assert table["aper30_flux"].unit == u.Jy
    assert table.meta["source_catalog"] == status
    assert status["status"] == "FAILED"
    assert "F070W" in status["reason"]
    assert "no source 3 sigma" in status["reason"]
    assert fits.getval(segm, "S_SRCCAT") == "FAILED"
    told = "".join(fits.getheader(segm)["HISTORY"])
    assert told == f"snakewebb: source_catalog FAILED: {status['reason']}"
    assert not fits.getdata(segm).any()


def test_a_failed_write_leaves_nothing_new(tmp_path, starfield, monkeypatch):
    i2d = write_i2d(tmp_path / "jw_i2d.fits", starfield)
    cat, segm = tmp_path / "jw_cat.ecsv", tmp_path / "jw_segm.fits"
    cat.write_text("old")

    def full(*_):
        raise OSError(errno.ENOSPC, "disc full")

    monkeypatch.setattr(catalog_file, "extension", full)
    with pytest.raises(OSError, match="disc full"):
        source_catalog.make_catalog(i2d, (cat, segm))
    assert cat.read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"jw_i2d.fits", cat.name}


def test_the_catalogue_is_written_as_fits_and_regions_too(tmp_path, starfield):
    i2d = write_i2d(tmp_path / "jw_i2d.fits", starfield)
    cat, segm = tmp_path / "jw_cat.ecsv", tmp_path / "jw_segm.fits"
    source_catalog.make_catalog(i2d, (cat, segm))
    table, other = QTable.read(cat), Table.read(tmp_path / "jw_cat.fits")
    np.testing.assert_array_equal(other["label"], table["label"])
    np.testing.assert_allclose(other["ra_centroid"], table["sky_centroid"].ra.deg, rtol=1e-12)
    assert {"ra_bbox_ll", "dec_bbox_ur", "n_exposures"} <= set(other.colnames)
    assert (tmp_path / "jw_cat.reg").read_text().count("circle(") == len(table) > 5


def test_a_mosaic_is_read_by_rows(tmp_path, starfield):
    path = write_i2d(tmp_path / "jw_i2d.fits", starfield)
    mosaic = mosaic_module.MosaicFile(path)
    assert mosaic.shape == starfield.shape
    pieces = [mosaic.rows(0, 70), mosaic.rows(70, SIZE)]
    for part, name in enumerate(("data", "err", "mask")):
        read = np.concatenate([piece[part] for piece in pieces])
        np.testing.assert_allclose(read, getattr(starfield, name), rtol=1e-6)
        assert read.dtype == (bool if name == "mask" else np.float32)
        assert read.dtype.isnative
    x, y = np.array([0.0, 100.0]), np.array([3.0, 159.0])
    np.testing.assert_allclose(mosaic.grid.pixel_to_sky(x, y), tangent_wcs(SIZE)(x, y))
    assert mosaic.instrument == NIRCAM
    assert mosaic.correlation is None


def test_errors_are_err_whatever_the_variance_of_a_pixel_is(tmp_path, starfield):
    path, known = write_i2d(tmp_path / "jw_i2d.fits", starfield), correlated()
    with fits.open(path, "append") as hdus:
        hdus.append(fits.ImageHDU((starfield.err / JANSKY) ** 2 / 4, name="VAR_PIXEL"))
        header = fits.Header([tuple(card) for card in known.cards()])
        hdus.append(fits.ImageHDU(known.kernels, header, "NOISE_CORR"))
    mosaic = mosaic_module.MosaicFile(path)
    np.testing.assert_allclose(mosaic.rows(20, 90)[1], starfield.err[20:90], rtol=1e-6)
    np.testing.assert_array_equal(mosaic.correlation.kernels, known.kernels)
    weights = np.zeros((SIZE, SIZE))
    weights[40, 30:32] = 1, -2
    expected = Covariance(starfield.err / np.float32(JANSKY), known).error_of_sum(weights)
    assert read_covariance(path).error_of_sum(weights) == pytest.approx(expected, rel=1e-6)


def test_pixels_without_weight_or_without_error_are_masked(tmp_path):
    mosaic = make_mosaic(gaussian(80, 80, 50))
    mosaic.mask[30, 31] = True
    mosaic.err[20, 21] = np.nan
    path = write_i2d(tmp_path / "jw_i2d.fits", mosaic)
    mask = mosaic_module.MosaicFile(path).rows(0, SIZE)[2]
    assert list(zip(*np.nonzero(mask), strict=True)) == [(20, 21), (30, 31)]


def test_a_mosaic_without_errors(tmp_path, starfield, stars):
    path = write_i2d(tmp_path / "jw_i2d.fits", starfield)
    with fits.open(path) as hdus:
        del hdus["ERR"]
        hdus.writeto(tmp_path / "bare.fits")
    found = catalog_of(mosaic_module.MosaicFile(tmp_path / "bare.fits"))
    assert len(found.table) == len(stars[0])
    assert np.all(np.isnan(found.table["aper50_flux_err"]))
    assert np.all(np.isnan(found.table["isophotal_flux_err"]))
    assert np.all(np.isfinite(found.table["isophotal_flux"]))
    assert np.all(np.isfinite(found.table["aper50_abmag"]))


@pytest.mark.parametrize(
    ("hdu", "keyword", "value", "words"),
    [
        ("SCI", "CRPIX1", None, "no TAN WCS"),
        ("SCI", "CRPIX1", "left", ""),
        ("SCI", "CRVAL2", 97.0, ""),
        ("SCI", "CDELT1", 0.0, ""),
        ("SCI", "PC1_1", 1e30, ""),
        ("SCI", "CTYPE1", "RA---SIN", "no TAN WCS"),
        ("WHT", "EXTNAME", "OTHER", "no 2-D WHT"),
        ("ASDF", "EXTNAME", "OTHER", "no ASDF"),
    ],
)
def test_unusable_mosaics(tmp_path, starfield, hdu, keyword, value, words):
    path = write_i2d(tmp_path / "jw_i2d.fits", starfield)
    with fits.open(path, mode="update") as hdus:
        if value is None:
            del hdus[hdu].header[keyword]
        else:
            hdus[hdu].header[keyword] = value
    with pytest.raises(InputError, match=rf"jw_i2d\.fits: .*{words}"):
        source_catalog.make_catalog(path, (tmp_path / "cat.ecsv", tmp_path / "segm.fits"))
    assert [left.name for left in tmp_path.iterdir()] == [path.name]


def with_header(path, hdu, keyword, value):
    with fits.open(path, mode="update") as hdus:
        if value is None:
            del hdus[hdu].header[keyword]
        else:
            hdus[hdu].header[keyword] = value


@pytest.mark.parametrize(
    ("hdu", "keyword", "value", "unit"),
    [
        ("SCI", "BUNIT", "DN/s", "DN/s"),
        ("ERR", "BUNIT", "DN/s", "DN/s"),
        ("SCI", "BUNIT", None, "an unknown unit"),
    ],
)
def test_a_mosaic_that_is_not_calibrated_has_sources_without_fluxes(
    tmp_path, starfield, hdu, keyword, value, unit
):
    path = write_i2d(tmp_path / "jw_i2d.fits", starfield)
    whole = catalog_of(mosaic_module.MosaicFile(path))
    with_header(path, hdu, keyword, value)
    found = catalog_of(mosaic_module.MosaicFile(path))
    fluxes = ("flux", "abmag", "vegamag")
    for name in COLUMNS:
        one, other = found.table[name], whole.table[name]
        if name.removesuffix("_err").rpartition("_")[2] in fluxes:
            assert np.all(np.isnan(one)), name
        elif "sky" in name and name != "sky_orientation":
            assert one.separation(other).arcsec.max() < 1e-3
        else:
            np.testing.assert_allclose(
                np.asarray(one), np.asarray(other), rtol=1e-3, atol=1e-3, err_msg=name
            )
    assert found.status["status"] == "FAILED"
    assert found.status["reason"] == f"no fluxes: the mosaic is in {unit}, not MJy/sr"


@pytest.mark.parametrize("value", [None, "large", 0.0, -1e-14, 1e30])
def test_the_area_of_a_pixel_is_that_of_the_wcs_where_the_header_has_none(
    tmp_path, starfield, value
):
    path = write_i2d(tmp_path / "jw_i2d.fits", starfield)
    known = mosaic_module.MosaicFile(path).rows(70, 90)[0]
    with_header(path, "SCI", "PIXAR_SR", value)
    np.testing.assert_allclose(mosaic_module.MosaicFile(path).rows(70, 90)[0], known, rtol=1e-6)


@pytest.mark.parametrize("value", [None, "one", 0.0, -1.0, 1e30])
def test_pixels_of_an_unknown_size_are_those_of_the_detector(tmp_path, starfield, value):
    path = write_i2d(tmp_path / "jw_i2d.fits", starfield)
    with_header(path, 0, "PXSCLRT", value)
    assert mosaic_module.MosaicFile(path).grid.pixel_scale_ratio == 1.0


@pytest.mark.parametrize("name", ["WHT", "ERR"])
def test_planes_of_another_shape_are_refused(tmp_path, starfield, name):
    path = write_i2d(tmp_path / "jw_i2d.fits", starfield)
    with fits.open(path) as hdus:
        hdus[name] = fits.ImageHDU(hdus[name].data[:-1], hdus[name].header)
        hdus.writeto(tmp_path / "cropped.fits")
    with pytest.raises(InputError, match=rf"cropped\.fits: {name} has shape \(159, 160\) but SCI"):
        mosaic_module.MosaicFile(tmp_path / "cropped.fits")


def test_no_mosaic(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        mosaic_module.MosaicFile(tmp_path / "none.fits")


@pytest.mark.filterwarnings("ignore:File may have been truncated")
@pytest.mark.parametrize("part", [0.2, 0.5, 0.99])
def test_a_file_cut_short(tmp_path, starfield, part):
    whole = write_i2d(tmp_path / "jw_i2d.fits", starfield).read_bytes()
    (tmp_path / "cut.fits").write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(InputError, match=r"cut\.fits"):
        source_catalog.make_catalog(
            tmp_path / "cut.fits", (tmp_path / "c.ecsv", tmp_path / "s.fits")
        )


def test_pixels_without_noise_have_no_error_and_no_trouble(starfield, catalog):
    """As programs write that set ERR to 0; light is measured all the same."""
    err = starfield.err.copy()
    err[: len(err) // 2] = 0
    found = catalog_of(dataclasses.replace(starfield, err=err)).table
    np.testing.assert_array_equal(found["isophotal_flux"], catalog.table["isophotal_flux"])
    inside = found["ycentroid"] < len(err) // 2 - 20
    assert inside.any()
    assert (found["isophotal_flux_err"][inside] == 0).all()
    assert (found["xcentroid_err"][inside] == 0).all()
    assert (found["isophotal_flux_err"][~inside] >= 0).all()


@pytest.mark.parametrize("number", range(3))
def test_real_mosaics(tmp_path, real_data, number):
    packed = sorted((real_data / "miri_i2d_orion").glob("*_i2d.fits"))[number]
    with pytest.raises(InputError, match="is compressed"):
        mosaic_module.MosaicFile(packed)
    path = tmp_path / packed.name
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    cat, segm = tmp_path / "cat.ecsv", tmp_path / "segm.fits"
    options = SEGMENTATION | {"bkg_boxsize": 20, "snr_threshold": 2.0, "npixels": 6}
    status = source_catalog.make_catalog(path, (cat, segm), step=options)
    table = QTable.read(cat)
    assert status["sources"] == len(table) > 10
    with SegmentationMapModel(segm) as model:
        ny, nx = model.data.shape
        np.testing.assert_array_equal(np.unique(model.data)[1:], table["label"])
        x, y = table["xcentroid"], table["ycentroid"]
        separation = model.meta.wcs.pixel_to_world(x, y).separation(table["sky_centroid"])
    assert np.all((x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5))
    assert separation.arcsec.max() < 1e-3
    assert np.all(table["isophotal_flux"] > 0)
    orion = coordinates.SkyCoord(83.83, -5.42, unit="deg")
    assert np.all(table["sky_centroid"].separation(orion) < 1 * u.arcmin)


def test_a_real_star_in_a_nebula_is_found(tmp_path, real_data):
    packed = min((real_data / "miri_i2d_orion").glob("*_i2d.fits"))
    path = tmp_path / packed.name
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    how = step.CatalogOptions(bkg_boxsize=25)
    table = step.source_catalog(mosaic_module.MosaicFile(path), how).table
    assert np.hypot(table["xcentroid"] - 48, table["ycentroid"] - 24).min() < 1
    assert len(table) < 10
