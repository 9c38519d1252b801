"""FITS-SIP keywords against the WCS that they approximate."""

import logging

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from snakewebb.simulate.apertures import Pointing, imaging_aperture, make_wcs, wcsinfo
from snakewebb.wcs.geometry import Geometry
from snakewebb.wcs.sip import FITS_WCS, sip_keywords, sky_of
from snakewebb.wcs.sphere import to_plane

BOX = (-0.5, 2047.5), (-0.5, 2047.5)
CRPIX = 1024.5, 1000.0


@pytest.fixture(scope="module", params=["NRCALONG", "NIS"])
def exposure(request):
    """A gWCS, and the geometry that is made of it."""
    aperture = imaging_aperture(request.param)
    info = wcsinfo(aperture, Pointing(359.99, -40.0, 77.0, aperture.v2_ref, aperture.v3_ref))
    wcs = make_wcs(aperture, info, start=aperture.start, size=aperture.size, va_scale=0.99995)
    names = ("v2_ref", "v3_ref", "roll_ref", "ra_ref", "dec_ref", "v3yangle", "vparity")
    x = y = np.linspace(*BOX[0], 33)
    ra, dec = wcs(*np.meshgrid(x, y))
    scale = 1.7e-5
    known = {name: info[name] for name in names}
    return wcs, Geometry((2048, 2048), x, y, np.asarray(ra), np.asarray(dec), scale, **known)


def errors(keywords, wcs):
    """Return the largest errors in pixels of a header's WCS, forward and inverse."""
    header = fits.Header(keywords)
    x, y = (axis.ravel() for axis in np.meshgrid(*(np.linspace(*ends, 31) for ends in BOX)))
    ra, dec = map(np.asarray, wcs(x, y))
    made = WCS(header, fix=False)
    crval = made.wcs.crval
    scale = 3600 * np.sqrt(abs(np.linalg.det(made.pixel_scale_matrix)))
    there = np.subtract(to_plane(*made.all_pix2world(x, y, 0), *crval), to_plane(ra, dec, *crval))
    u, v = made.wcs_world2pix(ra, dec, 0)
    du, dv = u - header["CRPIX1"] + 1, v - header["CRPIX2"] + 1
    terms = [(i, j) for i in range(7) for j in range(7) if f"AP_{i}_{j}" in header]
    u, v = (
        start + sum(header[f"{name}_{i}_{j}"] * du**i * dv**j for i, j in terms)
        for start, name in ((u, "AP"), (v, "BP"))
    )
    return np.hypot(*there).max() / scale, np.hypot(u - x, v - y).max()


@pytest.mark.parametrize(("error", "inverse"), [(0.01, 0.01), (0.5, 0.05), (1e-4, 2e-3)])
def test_errors_are_as_asked(exposure, error, inverse):
    wcs, geometry = exposure
    sky = sky_of(geometry)
    keywords = sip_keywords(sky, BOX, CRPIX, max_pix_error=error, max_inv_pix_error=inverse)
    there, back = errors(keywords, wcs)
    assert there < 1.2 * error
    # the inverse is one of the polynomials, and has their error too
    assert back < 1.2 * (error + inverse)
    degrees = keywords["A_ORDER"] - 1, keywords["AP_ORDER"] - 1
    less = sip_keywords(sky, BOX, CRPIX, degree=degrees[0], inv_degree=keywords["AP_ORDER"])
    assert errors(less, wcs)[0] > error
    less = sip_keywords(sky, BOX, CRPIX, degree=keywords["A_ORDER"], inv_degree=degrees[1])
    assert errors(less, wcs)[1] > inverse


def test_keywords_are_those_of_headers(exposure):
    keywords = sip_keywords(sky_of(exposure[1]), BOX, CRPIX, degree=6, inv_degree=6)
    assert {keyword.lower() for keyword in keywords} <= set(FITS_WCS)
    assert (keywords["CRPIX1"], keywords["CRPIX2"]) == CRPIX
    sky = exposure[0](CRPIX[0] - 1, CRPIX[1] - 1)
    np.testing.assert_allclose((keywords["CRVAL1"], keywords["CRVAL2"]), sky, atol=1e-9)
    assert keywords["CTYPE2"] == "DEC--TAN-SIP"
    assert all(type(value) in (int, float, str) for value in keywords.values())


def test_a_plain_projection_has_no_polynomials(exposure, caplog):
    with caplog.at_level(logging.WARNING):
        keywords = sip_keywords(sky_of(exposure[1]), BOX, (None, 1.0), degree=1)
    assert keywords["CTYPE1"] == "RA---TAN"
    assert not [key for key in keywords if key.startswith(("A_", "AP_", "PC"))]
    assert (keywords["CRPIX1"], keywords["CRPIX2"]) == (1024.5, 1024.5)
    assert "SIP keywords are off by up to" in caplog.text


def test_the_inverse_may_be_left_out(exposure):
    keywords = sip_keywords(sky_of(exposure[1]), BOX, CRPIX, max_inv_pix_error=0)
    assert "A_ORDER" in keywords
    assert not [key for key in keywords if key.startswith(("AP_", "BP_"))]


def test_crval_is_within_a_turn(exposure):
    sky = sky_of(exposure[1])

    def from_minus_180(x, y):
        ra, dec = sky(x, y)
        return (ra + 180) % 360 - 180, dec

    first, second = (sip_keywords(each, BOX, CRPIX) for each in (sky, from_minus_180))
    assert 359 < second["CRVAL1"] < 360
    assert first["CRVAL1"] == pytest.approx(second["CRVAL1"], abs=1e-10)
    assert first["CD1_1"] == pytest.approx(second["CD1_1"], rel=1e-9)


@pytest.mark.parametrize("error", [0.25, 0.01, 1e-3])
def test_the_fit_is_as_good_as_that_of_gwcs(exposure, error):
    wcs, geometry = exposure
    crpix = 1024.5, 1024.5
    ours = sip_keywords(sky_of(geometry), BOX, crpix, max_pix_error=error, max_inv_pix_error=error)
    theirs = dict(
        wcs.to_fits_sip(
            bounding_box=BOX, max_pix_error=error, max_inv_pix_error=error, npoints=12, crpix=crpix
        )
    )
    for key in ("CRPIX1", "CRPIX2", "CTYPE1", "CTYPE2", "A_ORDER", "B_ORDER"):
        assert ours[key] == theirs[key]
    np.testing.assert_allclose(
        [ours[f"CRVAL{axis}"] for axis in (1, 2)], [theirs[f"CRVAL{axis}"] for axis in (1, 2)]
    )
    x, y = (axis.ravel() for axis in np.meshgrid(*(np.linspace(*ends, 31) for ends in BOX)))
    crval, scale = (ours["CRVAL1"], ours["CRVAL2"]), geometry.pixel_scale * 3600
    expected = to_plane(*map(np.asarray, wcs(x, y)), *crval)
    off = []
    for keywords in (ours, theirs):
        sky = WCS(fits.Header(keywords), fix=False).all_pix2world(x, y, 0)
        off.append(np.hypot(*np.subtract(to_plane(*sky, *crval), expected)).max() / scale)
    assert off[0] < 1.1 * max(off[1], error / 10)
