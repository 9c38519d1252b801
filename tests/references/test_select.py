"""Which PSFMASK is for an exposure."""

import gzip

import pytest
from astropy.io import fits

from snakewebb.errors import InputError
from snakewebb.io.fits_structure import first_header
from snakewebb.references.select import canonical, choose


@pytest.fixture
def exposure(tmp_path):
    cards = {"INSTRUME": "NIRCAM", "FILTER": "F335M", "CORONMSK": "MASKA335R", "TITLE": "x" * 60}
    fits.PrimaryHDU(header=fits.Header(cards | {f"K{k}": k for k in range(60)})).writeto(
        tmp_path / "a.fits"
    )
    return tmp_path / "a.fits"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("MASKA335R", "MASK335R"),
        ("mask335r", "MASK335R"),
        ("MASKBLWB", "MASKLWB"),
        ("MASKASWB", "MASKSWB"),
        ("4QPM_1140", "MASK1140"),
        ("MASK1140", "MASK1140"),
        ("LYOT_2300", "MASKLYOT"),
        ("F335M", "F335M"),
    ],
)
def test_masks_have_one_name(name, wanted):
    assert canonical(name) == wanted


@pytest.mark.parametrize(
    ("masks", "wanted"),
    [
        ({"F335M": "f", "MASK335R": "m", "F335M/MASKA335R": "both"}, "both"),
        ({"F335M": "f", "MASK335R/F335M": "both"}, "both"),
        ({"F335M": "f", "MASKA335R": "m"}, "m"),
        ({"F335M": "f", "MASK430R": "m"}, "f"),
        ({"F444W": "f", "F444W/MASK335R": "m"}, None),
        ({}, None),
    ],
)
def test_the_most_specific_is_chosen(exposure, masks, wanted):
    assert choose(masks, exposure) == wanted


def test_mistakes_are_told(exposure, tmp_path):
    with pytest.raises(InputError, match="'335R' is neither filter nor mask"):
        choose({"335R": "m"}, exposure)
    with pytest.raises(InputError, match="335 is neither filter nor mask"):
        choose({335: "m"}, exposure)
    (tmp_path / "b.fits").write_text("no FITS file")
    for name, words in (("b.fits", ".*: fetch it again"), ("absent.fits", "there is no such file")):
        with pytest.raises(InputError, match=f"{name}: {words}"):
            choose({"F335M": "m"}, tmp_path / name)


def test_headers_are_those_astropy_reads(exposure, tmp_path):
    packed = tmp_path / "a.fits.gz"
    packed.write_bytes(gzip.compress(exposure.read_bytes()))
    known = fits.getheader(exposure)
    for path in (exposure, packed):
        header = first_header(path)
        assert {key: header[key] for key in ("FILTER", "CORONMSK", "TITLE")} == {
            key: known[key] for key in ("FILTER", "CORONMSK", "TITLE")
        }
