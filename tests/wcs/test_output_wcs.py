"""The grid that a user gives, as ASDF or as a mosaic, against the gWCS in it."""

import gzip
import io
import subprocess
import sys

import asdf
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import ICRS
from astropy.io import fits
from astropy.modeling import models
from gwcs import WCS, FITSImagingWCSTransform, coordinate_frames

from snakewebb.errors import InputError
from snakewebb.io.asdf_tree import created, extension
from snakewebb.wcs.grid import Grid
from snakewebb.wcs.gwcs_library import pixel_to_sky
from snakewebb.wcs.gwcs_yaml import grid_wcs
from snakewebb.wcs.output_wcs import read_grid

SIDE = 1e-5
GRID = Grid((80.0, -30.0), (20.0, 10.0), SIDE, ((-0.8, 0.6), (0.6, 0.8)), (50, 100))
WORLD = coordinate_frames.CelestialFrame(name="world", reference_frame=ICRS(), unit=(u.deg, u.deg))
DETECTOR = coordinate_frames.Frame2D(name="detector")
DISTORTED = models.Mapping((0, 1, 0, 1)) | (
    models.Polynomial2D(2, c1_0=1.0, c2_0=1e-7) & models.Polynomial2D(2, c0_1=1.0)
)


def wcs_of(transform, box=None):
    wcs = WCS([(DETECTOR, transform), (WORLD, None)])
    wcs.bounding_box = box
    return wcs


def fits_like(projection=None, **more):
    values = {"crpix": GRID.crpix, "crval": GRID.crval, "cdelt": (SIDE, SIDE), "pc": GRID.pc} | more
    return FITSImagingWCSTransform(projection or models.Pix2Sky_TAN(), **values)


def chain(turn=None):
    """Return the same as older versions of jwst wrote it."""
    return (
        models.Shift(-20.0) & models.Shift(-10.0)
        | models.AffineTransformation2D(np.array(GRID.pc) * SIDE)
        | (turn or models.Identity(2))
        | models.Pix2Sky_TAN()
        | models.RotateNative2Celestial(80.0, -30.0, 180.0)
    )


def saved(path, wcs, **beside):
    asdf.AsdfFile({"wcs": wcs, **beside}).write_to(path)
    return path


def assert_same(found, shape=(50, 100)):
    x, y = np.array([0.0, 99.0, 50.0]), np.array([0.0, 49.0, 3.0])
    assert found.shape == shape
    np.testing.assert_allclose(found.pixel_to_sky(x, y), GRID.pixel_to_sky(x, y), atol=1e-12)
    np.testing.assert_allclose(found.crval, GRID.crval, atol=0)


@pytest.mark.parametrize(
    "transform", [fits_like(), chain(), chain(models.Rotation2D(0.0))], ids=("fits", "chain", "odd")
)
def test_forms_of_a_projection(tmp_path, transform):
    wcs = wcs_of(transform)
    path = saved(tmp_path / "grid.asdf", wcs, array_shape=[50, 100])
    found = read_grid(path, SIDE / 2)
    assert_same(found)
    assert found.pixel_scale_ratio == pytest.approx(2.0)
    x, y = np.meshgrid(np.linspace(0, 99, 5), np.linspace(0, 49, 5))
    theirs = pixel_to_sky(wcs).forward(x, y)
    np.testing.assert_allclose(found.sky_to_pixel(*theirs), (x, y), atol=1e-8)


@pytest.mark.parametrize(
    ("own", "beside", "box", "output_shape", "expected"),
    [
        ((50, 100), {"array_shape": [5, 6]}, (9.5, 8.5), (70, 60), (60, 70)),
        ((50, 100), {"array_shape": [5, 6]}, (9.5, 8.5), None, (50, 100)),
        (None, {"array_shape": [5, 6], "pixel_shape": [8, 7]}, (9.5, 8.5), None, (5, 6)),
        (None, {"pixel_shape": [8, 7]}, (9.5, 8.5), None, (7, 8)),
        (None, {}, (9.5, 8.5), None, (9, 10)),
        (None, {}, (9.4, 8.6), None, (9, 9)),
    ],
)  # fmt: skip
def test_the_shape_is_the_one_that_jwst_takes(tmp_path, own, beside, box, output_shape, expected):
    wcs = wcs_of(fits_like(), tuple((-0.5, end) for end in box))
    wcs.array_shape = own
    path = saved(tmp_path / "grid.asdf", wcs, **beside)
    assert_same(read_grid(path, SIDE, output_shape), expected)


@pytest.mark.parametrize("ra", [-280.0, 80.0, 440.0])
def test_right_ascensions_are_within_a_turn(tmp_path, ra):
    path = saved(
        tmp_path / "grid.asdf", wcs_of(fits_like(crval=(ra, -30.0))), array_shape=[50, 100]
    )
    assert_same(read_grid(path, SIDE))


def mosaic(path, content, shape=(50, 100)):
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros(shape, np.float32), name="SCI")])
    with io.BytesIO() as file:
        hdus.writeto(file)
        whole = file.getvalue() + extension(content)
    path.write_bytes(gzip.compress(whole) if path.suffix == ".gz" else whole)
    return path


@pytest.mark.parametrize("name", ["a_i2d.fits", "a_i2d.fits.gz", "grid"])
def test_mosaics(tmp_path, name):
    assert_same(read_grid(mosaic(tmp_path / name, created({"meta.wcs": grid_wcs(GRID)})), SIDE))


def test_real_mosaics(real_data):
    for path in sorted((real_data / "miri_i2d_orion").glob("*.fits")):
        found = read_grid(path, SIDE)
        with fits.open(path) as hdus:
            header = hdus["SCI"].header
            assert found.shape == hdus["SCI"].shape
        assert found.crval == pytest.approx((header["CRVAL1"], header["CRVAL2"]), abs=1e-12)
        assert found.crpix == pytest.approx((header["CRPIX1"] - 1, header["CRPIX2"] - 1), abs=1e-5)
        assert found.cdelt == pytest.approx(header["CDELT1"], rel=1e-6)


def wrong(**beside):
    return lambda path: saved(path, wcs_of(fits_like()), **({"array_shape": [50, 100]} | beside))


def of(wcs, *shape):
    return lambda path: saved(path, wcs, array_shape=list(shape) or [50, 100])


MISTAKES = {
    "text": (lambda path: path.write_text("hello"), "cannot be read (no ASDF file)"),
    "nothing": (lambda path: None, "cannot be read ("),
    "a folder": (lambda path: path.mkdir(), "cannot be read ("),
    "cut": (
        lambda path: path.write_bytes(saved(path, wcs_of(chain())).read_bytes()[:-900]),
        "cannot be read (",
    ),
    "another key": (lambda path: asdf.AsdfFile({"grid": 1}).write_to(path), "has no key 'wcs'"),
    "a number": (of(3), "holds no gWCS"),
    "a text": (of("wcs"), "holds no gWCS"),
    "no projection": (of(wcs_of(DISTORTED)), "no TAN projection"),
    "another projection": (
        of(wcs_of(fits_like(models.Pix2Sky_SIN())), 20000, 20000), "no plain TAN projection",
    ),
    "distorted": (of(wcs_of(DISTORTED | fits_like())), "no plain TAN projection"),
    "beyond the pole": (of(wcs_of(fits_like(crval=(80.0, -95.0)))), "no positions on the sky"),
    "nowhere": (of(wcs_of(fits_like(crval=(np.nan, -30.0)))), "no positions on the sky"),
    "infinitely far": (of(wcs_of(fits_like(crval=(np.inf, -30.0)))), "no positions on the sky"),
    "pixels of degrees": (of(wcs_of(fits_like(cdelt=(0.1, 0.1)))), "has pixels of 360 arcsec"),
    "pixels of nothing": (of(wcs_of(fits_like(cdelt=(0.0, 0.0)))), "has pixels of "),
    "pixels in a line": (of(wcs_of(fits_like(pc=np.ones((2, 2))))), "has pixels of "),
    "no shape": (wrong(array_shape=None), "has no shape"),
    "one side": (wrong(array_shape=[50]), "has shape [50]"),
    "three sides": (wrong(array_shape=[1, 50, 100]), "has shape [1, 50, 100]"),
    "sides of fractions": (wrong(array_shape=[50.5, 100]), "has shape [50.5, 100]"),
    "sides of nothing": (wrong(array_shape=[0, 100]), "has shape [0, 100]"),
    "sides below nothing": (wrong(array_shape=[-50, 100]), "has shape [-50, 100]"),
    "sides without end": (wrong(array_shape=[50, 10**9]), "has shape [50, 1000000000]"),
    "sides that are none": (wrong(array_shape="large"), "has shape 'large'"),
    "sides of truth": (wrong(array_shape=[True, True]), "has shape [True, True]"),
    "a cube": (
        lambda path: mosaic(path, created({"meta.wcs": grid_wcs(GRID)}), (3, 5, 6)),
        "has no image SCI",
    ),
    "a mosaic without gWCS": (lambda path: mosaic(path, created({})), "has no key 'meta.wcs'"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(tmp_path, mistake):
    make, words = MISTAKES[mistake]
    path = tmp_path / "grid.asdf"
    make(path)
    with pytest.raises(InputError) as caught:
        read_grid(path, SIDE)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert words in text
    assert "\n" not in text
    assert text.count(": ") >= 2


def test_keys_that_are_not_used_are_named(tmp_path, caplog):
    path = saved(
        tmp_path / "grid.asdf", wcs_of(fits_like()), array_shape=[50, 100], pixel_scale=0.1
    )
    with caplog.at_level("INFO"):
        read_grid(path, SIDE)
    assert "its pixel_scale is not used" in caplog.text


def test_gwcs_is_not_imported(tmp_path, repo):
    path = saved(tmp_path / "grid.asdf", wcs_of(fits_like()), array_shape=[50, 100])
    code = f"""
import sys
from snakewebb.wcs.output_wcs import read_grid
read_grid({str(path)!r}, 1e-5)
print(*{{"asdf", "astropy.modeling", "gwcs"}} & set(sys.modules))
"""
    environment = {"PYTHONPATH": str(repo / "lib")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
