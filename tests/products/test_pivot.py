"""Exposures whose velocity aberration jwst has scaled about the aperture, in products."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from snakewebb.io.provenance import Provenance, read_notes
from snakewebb.products.exposure_file import write_crf
from snakewebb.simulate.observation import write
from snakewebb.simulate.presets import preset
from snakewebb.wcs.aberration import attitude
from snakewebb.wcs.change import Pointing
from snakewebb.wcs.exposure import Exposure, locate, read_geometry
from snakewebb.wcs.geometry import Correction
from snakewebb.wcs.gwcs_library import read_wcs
from snakewebb.wcs.sampling import read_sky
from snakewebb.wcs.sphere import to_plane

STAR = 20.0, -660.0
PROVENANCE = Provenance(
    {"tweakreg": "COMPLETE", "skymatch": "SKIPPED", "outlier_detection": "SKIPPED"}
)
MAS = 1e-3
TINY = 1e-4 * MAS
MATRIX = (1.0001, 2e-4), (-2e-4, 1.0001)


@pytest.fixture(scope="module")
def unguided(tmp_path_factory):
    """An exposure that does not tell its guide star."""
    folder = tmp_path_factory.mktemp("pivot")
    write(preset("nircam-f356w", npix=64), folder)
    return sorted(folder.glob("*_cal.fits"))[0]


@pytest.fixture
def cal(unguided, tmp_path):
    """The same, guided."""
    path = tmp_path / unguided.name
    path.write_bytes(unguided.read_bytes())
    ra, dec = attitude(vars(read_geometry(path))).forward(*map(np.float64, STAR))
    update(path, GS_RA=float(ra), GS_DEC=float(dec), PCS_MODE="FINEGUIDE")
    return path


def update(path, **keywords):
    with fits.open(path, mode="update") as hdus:
        hdus[0].header.update(keywords)


def moved(path):
    """Return by how much the pivot moves an exposure, V2 and V3, arcsec."""
    header = fits.getheader(path, "SCI")
    reference = header["V2_REF"], header["V3_REF"]
    return (header["VA_SCALE"] - 1) * np.subtract(reference, STAR)


def plane(sky, around):
    return np.array(to_plane(*map(np.asarray, sky), *around))


def pixels():
    return np.meshgrid(np.linspace(-0.5, 63.5, 33), np.linspace(-0.5, 63.5, 33))


def test_an_exposure_that_tells_no_guide_star_stays(unguided):
    known, sky = locate(unguided)
    assert known.geometry.pivot_shift == (0.0, 0.0)
    np.testing.assert_array_equal(sky.forward(*pixels()), read_sky(unguided).forward(*pixels()))


def test_an_exposure_is_read_about_its_guide_star(cal, tmp_path):
    known, sky = locate(cal)
    geometry, (x, y) = known.geometry, pixels()
    np.testing.assert_allclose(geometry.pivot_shift, moved(cal), atol=1e-9)
    turn = attitude(vars(geometry))
    v2, v3 = turn.inverse(*read_sky(cal).forward(x, y))
    expected = turn.forward(v2 + moved(cal)[0], v3 + moved(cal)[1])
    at = geometry.center()
    for found in (sky.forward(x, y), (geometry.ra, geometry.dec)):
        off = plane(found, at) - plane(expected, at)
        assert np.abs(off).max() < TINY
    assert np.hypot(*moved(cal)) > 5 * MAS
    np.testing.assert_allclose(sky.inverse(*expected), read_sky(cal).inverse(
        *read_sky(cal).forward(x, y)), atol=1e-7)  # fmt: skip
    known.write(tmp_path / "facts.json")
    assert Exposure.read(tmp_path / "facts.json").geometry.pivot_shift == geometry.pivot_shift


@pytest.mark.parametrize(
    ("corrected", "moving_target"), [(False, False), (True, False), (True, True)]
)
def test_products_say_where_they_are(cal, tmp_path, corrected, moving_target):
    geometry = read_geometry(cal)
    correction = None
    if corrected:
        ra, dec = geometry.center()
        correction = Correction(ra, dec, MATRIX, (0.02, -0.01))
    crf = tmp_path / "a_crf.fits"
    write_crf(
        cal,
        crf,
        provenance=PROVENANCE,
        pointing=Pointing(correction=correction, geometry=geometry, moving_target=moving_target),
    )
    right = geometry.corrected(correction)
    at = right.center()
    wanted = plane((right.ra, right.dec), at)
    x, y = pixels()
    wcs = read_wcs(crf)
    for sky in (wcs(x, y, with_bounding_box=False), read_sky(crf).forward(x, y)):
        assert np.abs(plane(sky, at) - wanted).max() < 0.01 * MAS
    header = fits.getheader(crf, "SCI")
    sip = WCS(header, fix=False).all_pix2world(x, y, 0)
    assert np.abs(plane(sip, at) - wanted).max() < 0.02 * right.pixel_scale * 3600
    region = np.array(header["S_REGION"].split()[2:], float).reshape(4, 2).T
    assert np.abs(plane(region, at) - plane(right.corners(), at)).max() < TINY * 100
    assert fits.getheader(crf)["SWB_DVA"] == "guide star"
    np.testing.assert_allclose(read_notes(crf)["assign_wcs"]["dva_v2v3"], STAR, atol=1e-6)
    # and not once more
    again = read_geometry(crf)
    assert again.pivot_shift == (0.0, 0.0)
    assert np.abs(plane((again.ra, again.dec), at) - wanted).max() < 0.01 * MAS


def test_it_stays_where_jwst_has_put_it_if_that_is_asked(cal, tmp_path):
    geometry = read_geometry(cal, "aperture")
    assert geometry.pivot_shift == (0.0, 0.0)
    moved = plane((geometry.ra, geometry.dec), geometry.center())
    there = read_geometry(cal)
    assert np.abs(plane((there.ra, there.dec), geometry.center()) - moved).min() > MAS
    crf = tmp_path / "a_crf.fits"
    write_crf(cal, crf, provenance=PROVENANCE, pointing=Pointing(geometry=geometry))
    assert "SWB_DVA" not in fits.getheader(crf)
    # and in what is made of it
    again = read_geometry(crf)
    assert np.abs(plane((again.ra, again.dec), geometry.center()) - moved).max() < 0.01 * MAS


def test_what_is_aligned_already_stays(cal, tmp_path):
    crf = tmp_path / "a_crf.fits"
    geometry = read_geometry(cal)
    correction = Correction(*geometry.center(), MATRIX, (0.02, -0.01))
    write_crf(
        cal, crf, provenance=PROVENANCE, pointing=Pointing(correction=correction, geometry=geometry)
    )
    with fits.open(crf, mode="update") as hdus:
        del hdus[0].header["SWB_*"]
    assert read_geometry(crf).pivot_shift == (0.0, 0.0)


def test_what_has_another_pivot_stays(cal, tmp_path):
    crf = tmp_path / "a_crf.fits"
    write_crf(cal, crf, provenance=PROVENANCE, pointing=Pointing(geometry=read_geometry(cal)))
    with fits.open(crf, mode="update") as hdus:
        del hdus[0].header["SWB_*"]
    assert read_geometry(crf).pivot_shift == (0.0, 0.0)


def test_a_cut_out_follows(cal, tmp_path):
    """As of tools that crop the image and leave the gWCS of the whole."""
    geometry = read_geometry(cal)
    crf = tmp_path / "a_crf.fits"
    with fits.open(cal, mode="update") as hdus:
        for hdu in hdus[1:]:
            if hdu.is_image and hdu.shape == (64, 64):
                hdu.data = hdu.data[8:40, 4:50]
    write_crf(cal, crf, provenance=PROVENANCE, pointing=Pointing(geometry=geometry, corner=(4, 8)))
    x, y = np.meshgrid(np.arange(46.0), np.arange(32.0))
    at = geometry.center()
    whole, part = locate(cal)[1], read_sky(crf)
    off = plane(part.forward(x, y), at) - plane(whole.forward(x + 4, y + 8), at)
    assert np.abs(off).max() < TINY
