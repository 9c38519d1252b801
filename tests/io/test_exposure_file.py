import numpy as np
import pytest
from astropy.io import fits

from snakewebb.io.dq import DO_NOT_USE
from snakewebb.io.exposure_file import ExposureFile, opened
from snakewebb.io.provenance import Provenance
from snakewebb.products.exposure_file import write_crf
from snakewebb.simulate.observation import write
from snakewebb.simulate.presets import preset


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exposure")
    return sorted(write(preset("nircam-f356w", npix=64), folder).parent.glob("*_cal.fits"))[0]


def without_errors(source, path, negative):
    """A copy with variances alone, of which one pixel's is negative."""
    with fits.open(source) as hdus:
        del hdus["ERR"]
        hdus["VAR_POISSON"].data[:] = 0
        hdus["VAR_FLAT"].data[:] = 0
        hdus["VAR_RNOISE"].data[negative] = -1e-6
        hdus.writeto(path)
    return path


def test_planes_and_tree_are_read_once(source):
    exposure = ExposureFile(source)
    assert exposure.planes is exposure.planes
    assert exposure.tree is exposure.tree
    assert exposure.measured()["SCI"] is exposure.planes["SCI"]
    assert opened(exposure) is exposure


def test_an_error_from_variances_makes_no_pixel_bad(source, tmp_path):
    path = without_errors(source, tmp_path / "a_cal.fits", (30, 31))
    exposure = ExposureFile(path)
    measured = exposure.measured()
    assert np.isfinite(measured["ERR"][np.isfinite(measured["SCI"])]).all()
    assert measured["ERR"][30, 31] == 0


def test_what_was_written_is_read_anew(source, tmp_path):
    """A sky that is subtracted is so once in each product of one opened exposure."""
    exposure = ExposureFile(source)
    sky = {"level": 0.5, "subtracted": True, "method": "match"}
    names = [tmp_path / f"{name}_crf.fits" for name in "ab"]
    for name in names:
        write_crf(exposure, name, provenance=Provenance({"skymatch": "COMPLETE"}), sky=sky)
    one, other = (fits.getdata(name) for name in names)
    np.testing.assert_array_equal(one, other)
    before, dq = fits.getdata(source, "SCI"), fits.getdata(source, "DQ")
    good = np.isfinite(before) & ((dq & DO_NOT_USE) == 0)
    np.testing.assert_allclose(one[good], before[good] - 0.5, atol=1e-6)
    assert [fits.getval(name, "FILENAME") for name in names] == ["a_crf.fits", "b_crf.fits"]
