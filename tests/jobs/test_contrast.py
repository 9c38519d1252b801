"""The files that contrast reads, right and wrong ones, and what it does without them."""

import dataclasses
from types import SimpleNamespace

import asdf
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from numpy.testing import assert_array_equal

from snakewebb.coronagraphy.contrast import Contrast
from snakewebb.coronagraphy.contrast_tables import CURVE_COLUMNS, DESCRIPTIONS
from snakewebb.coronagraphy.frame import Frame
from snakewebb.coronagraphy.klip import KlipOptions
from snakewebb.coronagraphy.psf import read_psf
from snakewebb.coronagraphy.reduction import Target
from snakewebb.coronagraphy.star_brightness import StarBrightness
from snakewebb.coronagraphy.star_position import StarPosition
from snakewebb.errors import InputError
from snakewebb.jobs import contrast
from snakewebb.references import images
from snakewebb.references.filters import FILTERS, passband
from snakewebb.references.images import read_psfmask
from snakewebb.wcs.geometry import Correction

SHAPE = (7, 9)


def write_image(path, image, name="SCI", **header):
    hdu = fits.ImageHDU(np.asarray(image), fits.Header(header), name=name)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)
    return path


def read_throughput(path, shape):
    return images.read_throughput(path, shape)


@pytest.fixture
def ramp():
    return np.linspace(0, 1, 63).reshape(SHAPE)


@pytest.mark.parametrize("read", [read_psfmask, read_throughput])
def test_shares_are_read(tmp_path, ramp, read):
    assert_array_equal(read(write_image(tmp_path / "m.fits", ramp), SHAPE), ramp)
    ramp[2, 3] = np.nan
    masked = read(write_image(tmp_path / "m.fits", ramp), SHAPE)
    assert masked[2, 3] == 0
    assert_array_equal(masked[3:], ramp[3:])
    assert_array_equal(read(write_image(tmp_path / "m.fits", np.ones(SHAPE, int)), SHAPE), 1.0)


@pytest.mark.parametrize("read", [read_psfmask, read_throughput])
@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e30, -1.0, 1.5])
def test_shares_out_of_range_are_refused(tmp_path, ramp, read, value):
    ramp[4, 4] = value
    with pytest.raises(InputError, match=r"m\.fits: its image reaches from .* not 0 to 1: give"):
        read(write_image(tmp_path / "m.fits", ramp), SHAPE)


@pytest.mark.parametrize("read", [read_psfmask, read_throughput])
@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.ones((7, 8)), r"has shape \(7, 8\), the exposures \(7, 9\)"),
        (np.ones((1, 7, 9)), r"has shape \(1, 7, 9\)"),
        (np.ones(63), r"has shape \(63,\)"),
        (np.zeros(SHAPE), "is 0 everywhere"),
        (np.full(SHAPE, np.nan), "is 0 everywhere"),
    ],
)
def test_other_images_are_refused(tmp_path, read, image, words):
    with pytest.raises(InputError, match=rf"m\.fits: .*{words}.*: give"):
        read(write_image(tmp_path / "m.fits", image), SHAPE)


@pytest.mark.parametrize("read", [read_psfmask, read_throughput, lambda path, _: read_psf(path)])
@pytest.mark.parametrize("content", ["nothing", "a table", "text", "cut"])
def test_what_is_no_image_is_refused(tmp_path, ramp, read, content):
    path = tmp_path / "m.fits"
    table = fits.table_to_hdu(Table({"SCI": [1.0]}))
    table.name = "SCI"
    others = {"nothing": [], "a table": [table], "cut": [fits.ImageHDU(ramp, name="SCI")]}
    fits.HDUList([fits.PrimaryHDU(), *others.get(content, [])]).writeto(path)
    if content == "text":
        path.write_text("hello")
    if content == "cut":
        path.write_bytes(path.read_bytes()[:5800])
    with pytest.raises(InputError, match=r"m\.fits: ") as caught:
        read(path, SHAPE)
    assert "\n" not in str(caught.value)


def test_psf_files(tmp_path):
    star = np.exp(-(np.hypot(*(np.indices((21, 21)) - 10)) ** 2) / 8)
    path = tmp_path / "psf.fits"
    psf = read_psf(write_image(path, 3 * star, "PSF", OVERSAMP=4))
    assert psf.oversample == 4
    np.testing.assert_allclose(psf.image, 16 * star / star.sum())
    for oversample in (0, -1, 4.5, "four", 1e30, 1000):
        with pytest.raises(InputError, match=r"psf\.fits: OVERSAMP is .*: give a whole number"):
            read_psf(write_image(path, star, OVERSAMP=oversample))
    for value in (np.nan, np.inf, 1e30, 1e308):
        star[3, 3] = value
        with pytest.raises(InputError, match=r"psf\.fits: psf: has NaN, or no light"):
            read_psf(write_image(path, star, OVERSAMP=4))
    for image in (np.ones((20, 20)), np.ones((21, 19)), np.zeros((21, 21)), -np.ones((21, 21))):
        with pytest.raises(InputError, match=r"psf\.fits: psf: has "):
            read_psf(write_image(path, image, OVERSAMP=4))
    y, x = np.indices((21, 21))
    beside = np.exp(-((x - 16) ** 2 + (y - 8) ** 2) / 8)
    for image, place in ((beside, "16, 8"), (np.ones((21, 21)), "0, 0")):
        with pytest.raises(InputError, match=rf"psf\.fits: psf: is brightest at {place}, not"):
            read_psf(write_image(path, image, OVERSAMP=4))
    assert read_psf(write_image(path, np.roll(beside, (2, -3), (0, 1)), OVERSAMP=4)).fwhm > 0


NONSENSE = [np.nan, np.inf, -np.inf, 1e30, -1e30, 99.0]


@pytest.mark.parametrize("value", NONSENSE)
def test_magnitudes_of_no_star_are_refused(value):
    with pytest.raises(InputError, match="is no brightness: give"):
        StarBrightness(star_abmag=value).jansky()
    with pytest.raises(InputError, match="is no brightness: give"):
        StarBrightness(star_vegamag=value).jansky(1.0)


@pytest.mark.parametrize("value", [*NONSENSE[:-1], 0.0, -1.0])
def test_fluxes_of_no_star_are_refused(value):
    with pytest.raises(InputError, match="is no brightness: give 1e-09 to"):
        StarBrightness(star_flux=value).jansky()


def test_filters_that_are_not_in_the_table_have_the_wavelength_of_their_name():
    for instrument, filters in FILTERS.items():
        for name, known in filters.items():
            assert passband(instrument, name) is known
            said = passband("", name)
            # Nominal ones are up to 6 % off, of the widest filters 12 %.
            off = 0.12 if name.endswith("W2") else 0.06
            assert said.wavelength == pytest.approx(known.wavelength, rel=off)
            assert 0.3 < said.bandwidth / known.bandwidth < 3.5
    assert passband("OTHER", "F070W").wavelength == pytest.approx(0.70e-6)
    for name in ("", "CLEAR", "F1", "MASK335R"):
        assert passband("NIRCAM", name) is None


def test_a_vega_magnitude_without_its_offset_leaves_the_flux_unknown(tmp_path):
    path = tmp_path / "v.asdf"
    table = Table({"filter": ["F335M"], "pupil": ["CLEAR"], "abvega_offset": [1.5]})
    asdf.AsdfFile({"abvega_offset": table}).write_to(path)
    setup, star = {"INSTRUME": "NIRCAM", "FILTER": "F335M"}, StarBrightness(star_vegamag=6.0)
    jansky, reason = contrast._jansky(star, path, setup)
    assert jansky == pytest.approx(10 ** (-0.4 * (7.5 - 8.9)))
    assert reason == ""
    for file, words in (
        (None, "needs an ABVEGAOFFSET file"),
        (path, "has no row for filter F444W"),
    ):
        jansky, reason = contrast._jansky(star, file, setup | {"FILTER": "F444W"})
        assert jansky is None
        assert reason.startswith("the star's flux is unknown: ")
        assert words in reason
    assert contrast._jansky(StarBrightness(), None, setup) == (None, "")


def measured(monkeypatch, band, **star):
    """Measure the contrast of a product of nothing in a filter."""
    setup = {"INSTRUME": "NIRCAM", "FILTER": band, "EXP_TYPE": "", "TITLE": contrast.SIMULATED}
    layout = SimpleNamespace(grid=SimpleNamespace(shape=(5, 6)))
    inputs = [SimpleNamespace(pixel_map=SimpleNamespace(geometry=None))]
    monkeypatch.setattr(contrast, "integrations", lambda paths, **grid: (layout, inputs))
    monkeypatch.setattr(contrast, "product_exposure", lambda path: "a")
    monkeypatch.setattr(contrast, "_setup", lambda path: setup)
    monkeypatch.setattr(contrast, "combiner", lambda *args: None)
    frame = Frame((3.0, 3.0), ((16.0, 0.0), (0.0, 16.0)))
    monkeypatch.setattr(Frame, "of_exposure", classmethod(lambda cls, *args: frame))
    klip = KlipOptions(truncate=[50, 10])
    cubes = [np.zeros((1, *SHAPE))]
    target = Target(["a"], [], cubes, [], [], klip, lambda *cubes: [])
    correction = Correction(1.0, 2.0, ((1.0, 0.0), (0.0, 1.0)), (0.0, 0.0))
    stars = {"a": StarPosition((3.0, 3.0), (0.1, 0.1), correction, 0.0, 0.063)}
    files = contrast.ProductFiles([], [], ["a"], "", "")
    return contrast.product_contrast(target, files, stars, contrast.ContrastOptions(star=star))


def test_what_cannot_be_measured_is_told(monkeypatch, caplog):
    """An unknown filter, and a star whose Vega magnitude says nothing without its offset."""
    found = measured(monkeypatch, "CLEAR", star_vegamag=6.0)
    reason = (
        "nothing is known of the filter 'CLEAR' of 'NIRCAM'; "
        "the star's flux is unknown: a Vega magnitude needs an ABVEGAOFFSET file"
    )
    for table in (found.curve, found.sources):
        assert table.meta["contrast"] == {"status": "FAILED", "reason": reason}
        assert len(table) == 0
    assert found.snr.shape == (5, 6)
    assert f"contrast FAILED: {reason}" in caplog.text


def test_what_the_numbers_do_not_determine_is_told(monkeypatch, caplog):
    def singular(*args, **options):
        raise np.linalg.LinAlgError("Matrix is not positive definite")

    monkeypatch.setattr(contrast, "measure_contrast", singular)
    found = measured(monkeypatch, "F335M")
    assert found.curve.meta["contrast"] == {
        "status": "FAILED",
        "reason": "a reduction is not determined (Matrix is not positive definite)",
    }
    assert len(found.curve) == len(found.sources) == 0
    assert "Traceback" in caplog.text


def test_a_contrast_that_is_not_known_is_written(tmp_path):
    unknown = Contrast.unknown((5, 6), [50, 10])
    assert unknown.curve.colnames == list(CURVE_COLUMNS)
    assert {*unknown.curve.colnames, *unknown.sources.colnames} == {*DESCRIPTIONS}
    assert np.isnan(unknown.snr).all()
    assert unknown.snr.shape == (5, 6)
    for field in dataclasses.fields(unknown)[:2]:
        table = getattr(unknown, field.name)
        table.write(tmp_path / "t.ecsv", format="ascii.ecsv", overwrite=True)
        again = Table.read(tmp_path / "t.ecsv", format="ascii.ecsv")
        assert again["separation"].unit == "arcsec"
        assert again.meta["headline_truncate"] == 50
