import gzip

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.errors import InputError
from snakewebb.io.headers import exposure_header
from snakewebb.io.planes import PLANES, invalidate, map_plane, read_planes


@pytest.fixture
def path(tmp_path):
    """A file with SCI, ERR, DQ and an empty VAR_FLAT."""
    rng = np.random.default_rng(1)
    sci = rng.normal(size=(40, 30)).astype(np.float32)
    hdus = fits.HDUList(
        [
            fits.PrimaryHDU(),
            fits.ImageHDU(sci, name="SCI"),
            fits.ImageHDU(np.abs(sci), name="ERR"),
            fits.ImageHDU(np.arange(1200, dtype=np.uint32).reshape(40, 30), name="DQ"),
            fits.ImageHDU(name="VAR_FLAT"),
        ]
    )
    hdus[0].header["TARGTYPE"] = "FIXED"
    hdus["SCI"].header["XPOSURE"] = 12.0
    file = tmp_path / "a_cal.fits"
    hdus.writeto(file)
    return file


def test_planes_are_native_and_whole(path):
    planes = read_planes(path)
    assert set(planes) == set(PLANES)
    assert planes["VAR_FLAT"] is None
    assert planes["AREA"] is None
    assert planes["SCI"].dtype == np.dtype("=f4")
    assert planes["SCI"].flags.c_contiguous
    assert planes["DQ"].dtype == np.dtype("=u4")
    np.testing.assert_array_equal(planes["DQ"].ravel(), np.arange(1200))


def test_rows_are_those_of_the_whole(path):
    whole, rows = read_planes(path), read_planes(path, rows=slice(7, 19))
    for name in ("SCI", "ERR", "DQ"):
        np.testing.assert_array_equal(rows[name], whole[name][7:19])
    assert read_planes(path, ("SCI",), slice(5, 5))["SCI"].shape == (0, 30)


def test_a_mapped_plane_is_that_of_the_file(path, tmp_path):
    expected = read_planes(path, ("ERR",))["ERR"]
    np.testing.assert_array_equal(map_plane(path, "ERR"), expected)
    assert isinstance(map_plane(path, "ERR"), np.memmap)
    packed = tmp_path / "b_cal.fits.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(map_plane(packed, "ERR"), expected)
    with fits.open(path) as hdus:
        other = fits.CompImageHDU(hdus["ERR"].data, None, "ERR", "GZIP_2", quantize_level=0)
        fits.HDUList([hdus[0], hdus["SCI"], other]).writeto(tmp_path / "c_cal.fits")
    np.testing.assert_array_equal(map_plane(tmp_path / "c_cal.fits", "ERR"), expected)


def test_a_file_is_read_anew_when_it_changed(path):
    before = read_planes(path, ("SCI",))["SCI"]
    with fits.open(path) as hdus:
        hdus.insert(1, fits.ImageHDU(np.zeros(3000)))
        hdus.writeto(path, overwrite=True)
    np.testing.assert_array_equal(read_planes(path, ("SCI",))["SCI"], before)


@pytest.mark.parametrize("kind", ["scaled", "doubles", "signed"])
def test_planes_read_however_they_are_stored(path, kind):
    expected = read_planes(path, ("SCI", "DQ"), slice(5, 9))
    with fits.open(path, mode="update") as hdus:
        if kind == "scaled":
            hdus["SCI"].data = np.round(100 * hdus["SCI"].data.astype(float)).astype(np.int16)
            hdus["SCI"].header["BSCALE"] = 0.01
        elif kind == "doubles":
            hdus["SCI"].data = hdus["SCI"].data.astype(float)
        else:
            hdus["DQ"].data = hdus["DQ"].data.astype(np.int32)
    found = read_planes(path, ("SCI", "DQ"), slice(5, 9))
    np.testing.assert_allclose(found["SCI"], expected["SCI"], atol=0.005)
    np.testing.assert_array_equal(found["DQ"], expected["DQ"])


def test_compressed_under_a_plain_name_reads(path):
    content = path.read_bytes()
    path.write_bytes(gzip.compress(content))
    assert read_planes(path, ("SCI",))["SCI"].shape == (40, 30)


def test_cubes_give_whole_planes(tmp_path):
    cube = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
    path = tmp_path / "a_calints.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(cube, name="SCI")]).writeto(path)
    np.testing.assert_array_equal(read_planes(path, ("SCI",), slice(1, 3))["SCI"], cube[:, 1:3])


def test_invalid_pixels_are_nan_and_flagged_everywhere():
    planes = {
        "SCI": np.array([1, np.nan, 3, 4], np.float32),
        "ERR": np.array([1, 1, np.nan, 1], np.float32),
        "VAR_POISSON": None,
        "DQ": np.array([4, 0, 0, 1], np.uint32),
    }
    invalidate(planes)
    np.testing.assert_array_equal(np.isnan(planes["SCI"]), [False, True, True, True])
    np.testing.assert_array_equal(np.isnan(planes["ERR"]), [False, True, True, True])
    np.testing.assert_array_equal(planes["DQ"], [4, 1, 1, 1])
    before = planes["SCI"].copy()
    invalidate(planes)
    np.testing.assert_array_equal(planes["SCI"], before)


def test_facts_are_found_in_either_header(path):
    known = exposure_header(path)
    assert known.target_type == "FIXED"
    assert known.exposure_time == 12.0
    assert known.group_id == "a_cal"
    fits.setval(path, "BKGLEVEL", value=0.5, ext=1)
    assert exposure_header(path).remaining_sky == 0.5
    fits.setval(path, "BKGSUB", value=True, ext=1)
    assert exposure_header(path).remaining_sky is None


def test_bad_files_are_told_in_one_line(path, tmp_path):
    content = path.read_bytes()
    (tmp_path / "text.fits").write_text("hello")
    (tmp_path / "short.fits").write_bytes(content[:9000])
    fits.PrimaryHDU().writeto(tmp_path / "empty.fits")
    fits.HDUList(
        [
            fits.PrimaryHDU(),
            fits.ImageHDU(np.zeros((4, 4)), name="SCI"),
            fits.ImageHDU(np.zeros((5, 4)), name="ERR"),
        ]
    ).writeto(tmp_path / "shapes.fits")
    for name, message in {
        "nowhere": "no such file",
        "text": "is no FITS file",
        "short": "cut short",
        "empty": "no SCI",
        "shapes": "ERR has shape",
    }.items():
        with pytest.raises(InputError, match=message) as error:
            read_planes(tmp_path / f"{name}.fits")
        assert "\n" not in str(error.value)
        assert f"{name}.fits" in str(error.value)
