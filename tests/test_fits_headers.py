"""Headers as astropy reads them."""

import gzip

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.errors import InputError
from snakewebb.fits_headers import exposure_header, headers, image_shape, primary_header

CARDS = {
    "INSTRUME": "NIRCAM",
    "TITLE": "it's a / b",
    "BUNIT": "MJy/sr",
    "EMPTY": "",
    "YES": True,
    "N": 3,
    "X": -1.5e-7,
    **{f"K{k}": k for k in range(80)},
}


@pytest.fixture
def file(tmp_path):
    """An exposure with its image behind another one, a compressed image and a table."""
    rng = np.random.default_rng(1)
    hdus = [
        fits.PrimaryHDU(header=fits.Header(CARDS)),
        fits.ImageHDU(np.zeros((5, 7), "i2"), name="ERR"),
        fits.ImageHDU(np.zeros((2, 11, 13), "f4"), fits.Header({"N": 4}), name="SCI"),
        fits.CompImageHDU(rng.normal(size=(40, 30)).astype("f4"), name="DQ"),
        fits.BinTableHDU.from_columns([fits.Column("a", "PE()", array=[[1.0, 2.0], [3.0]])]),
    ]
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    return tmp_path / "a.fits"


@pytest.mark.parametrize("name", ["a.fits", "a.fits.gz", "packed.fits"])
def test_headers_are_those_astropy_reads(file, tmp_path, name):
    path = tmp_path / name
    if path != file:
        path.write_bytes(gzip.compress(file.read_bytes()))
    found = list(headers(path))
    with fits.open(file, disable_image_compression=True) as hdus:
        assert len(found) == len(hdus)
        for header, hdu in zip(found, hdus, strict=True):
            known = {key: hdu.header[key] for key in hdu.header}
            assert header.keys() == known.keys()
            texts = {k: "T" if v is True else v for k, v in known.items()}
            for key, value in texts.items():
                if isinstance(value, float):
                    assert float(header[key]) == value
                else:
                    assert header[key] == str(value).strip(), key
    assert [image_shape(header) for header in found] == [(), (5, 7), (2, 11, 13), (40, 30), ()]
    header = exposure_header(path)
    assert (header["INSTRUME"], header["N"], header["NAXIS"]) == ("NIRCAM", "4", "3")
    assert primary_header(path)["N"] == "3"


def spoiled(content, old, new):
    assert old in content
    return content.replace(old, new, 1)


AXIS = b"NAXIS1  =                    7"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda c: b"", "is no FITS file"),
        (lambda c: b"no FITS file", "is no FITS file"),
        (lambda c: c[:3000], "is no FITS file"),
        (lambda c: gzip.compress(c)[:200], "cannot be read"),
        (lambda c: b"\x1f\x8b" + c[2:], "cannot be read"),
        (lambda c: spoiled(c, b"'SCI     '", b"'SKY     '"), "has no SCI"),
        (lambda c: spoiled(c, AXIS, b"NAXIS1  =              9000000"), "has no SCI"),
        (lambda c: spoiled(c, AXIS, b"NAXIS1  =                   -7"), "has no SCI"),
        (lambda c: spoiled(c, AXIS, b"NAXIS1  =" + b"9" * 21), "cannot be read"),
        (lambda c: spoiled(c, AXIS, b"NAXIS1  =                   7."), "cannot be read"),
        (lambda c: spoiled(c, b"NAXIS2  =", b"NAXIS3  ="), "cannot be read"),
    ],
)
def test_what_is_no_exposure(file, spoil, words):
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(InputError) as caught:
        exposure_header(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert words in str(caught.value)


def test_files_that_are_none(tmp_path):
    for path in (tmp_path, tmp_path / "absent.fits"):
        with pytest.raises(InputError, match="cannot be read"):
            primary_header(path)


def test_odd_sizes_of_images():
    assert image_shape({"NAXIS": "2", "NAXIS1": "x", "NAXIS2": "3"}) == ()
    assert image_shape({"NAXIS": "2", "NAXIS1": "4"}) == ()
    assert image_shape({}) == ()
    assert image_shape({"XTENSION": "BINTABLE", "NAXIS": "1", "NAXIS1": "4"}) == ()
