"""assign_wcs: what it writes, read by gwcs and held to the chain of jwst's documentation."""

import logging
import operator
from functools import reduce

import asdf
import numpy as np
import pytest
from astropy import units as u
from astropy import wcs as fits_wcs
from astropy.io import fits
from astropy.modeling import models
from gwcs import FITSImagingWCSTransform
from gwcs.geometry import CartesianToSpherical, SphericalToCartesian
from stdatamodels.jwst import datamodels

from agreement import is_consistent
from snakewebb.calibration.assign_wcs import WcsOptions, assign_wcs, image_box
from snakewebb.errors import InputError
from snakewebb.io.exposure_file import ExposureFile
from snakewebb.io.provenance import Provenance, read_notes
from snakewebb.products.exposure_file import write_copy
from snakewebb.references.distortion import read_distortion, read_filter_offset
from snakewebb.simulate.apertures import Pointing, imaging_aperture, make_wcs, wcsinfo
from snakewebb.wcs.aberration import BETWEEN
from snakewebb.wcs.exposure import locate
from snakewebb.wcs.gwcs_library import read_wcs
from snakewebb.wcs.sampling import read_sky
from snakewebb.wcs.sphere import to_plane

MICROARCSEC = 1e-6
KINDS = {"NRC": "NRC_IMAGE", "MIR": "MIR_IMAGE", "NIS": "NIS_IMAGE"}
REAL = {
    "jwst_miri_imager_distortion_flt9": "MIRIMAGE",
    "jwst_miri_distortion_0028": "MIRIMAGE",
    "jwst_nircam_distortion_0090": "NRCALONG",
    "jwst_nircam_distortion_0096": "NRCBLONG",
    "jwst_niriss_distortion_0010": "NIS",
    "niriss_ref_distortion": "NIS",
}
ROWS = [
    {"filter": "F356W", "pupil": "CLEAR", "column_offset": 0.35, "row_offset": -1.25},
    {"filter": "F444W", "pupil": "F470N", "column_offset": 2.252, "row_offset": 0.467},
    {"filter": "F410M", "pupil": "CLEAR", "column_offset": "N/A", "row_offset": "N/A"},
    {"filter": "F480M", "pupil": "CLEAR", "column_offset": 0.1, "row_offset": 0.1},
    {"filter": "F480M", "pupil": "CLEAR", "column_offset": 0.2, "row_offset": 0.1},
    {"filter": "F560W", "pupil": "N/A", "column_offset": -0.08, "row_offset": -0.06},
]
VA_SCALE = 0.9999


def write_rate(path, detector="NRCALONG", start=(1, 1), size=None, standard=None, **changes):
    """Write an exposure of stage 1; `changes` are keywords, None to leave one out."""
    aperture = imaging_aperture(detector)
    nx, ny = size or aperture.full_size
    instrument = {"NRC": "NIRCAM", "MIR": "MIRI", "NIS": "NIRISS"}[detector[:3]]
    info = wcsinfo(aperture, Pointing(150.01, -40.0, 77.0, aperture.v2_ref + 9, aperture.v3_ref))
    with asdf.config_context() as config:
        if standard:
            config.default_version = standard
        model = datamodels.ImageModel((ny, nx))
        model.dq = model.get_default("dq")
        model.meta.telescope = "JWST"
        model.meta.exposure.type = KINDS[detector[:3]]
        model.meta.instrument = {"name": instrument, "detector": detector}
        model.meta.instrument.filter = "F560W" if instrument == "MIRI" else "F356W"
        if instrument != "MIRI":
            model.meta.instrument.pupil = "CLEAR"
        model.meta.subarray = {"xstart": start[0], "ystart": start[1], "xsize": nx, "ysize": ny}
        model.meta.wcsinfo = info | {
            "crpix1": (nx + 1) / 2, "crpix2": (ny + 1) / 2, "cdelt1": 1e-5, "cdelt2": 1e-5,
            "pc1_1": -1.0, "pc1_2": 0.0, "pc2_1": 0.0, "pc2_2": 1.0, "wcsaxes": 2,
            "ctype1": "RA---TAN", "ctype2": "DEC--TAN", "crval1": 150.0, "crval2": -40.0,
            "s_region": "POLYGON ICRS  1 2 3 4 5 6 7 8",
        }  # fmt: skip
        model.meta.velocity_aberration.scale_factor = VA_SCALE
        model.save(path)
    if standard == "1.5.0":  # which stdatamodels writes but in part
        path.write_bytes(path.read_bytes().replace(b"core/ndarray-1.1.0", b"core/ndarray-1.0.0"))
    for key, value in changes.items():
        with fits.open(path, mode="update") as hdus:
            header = hdus["SCI"].header if key in hdus["SCI"].header else hdus[0].header
            if value is None:
                header.remove(key)
            else:
                header[key] = value
    return path


def write_asdf(path, standard="1.6.0", **tree):
    asdf.AsdfFile(tree, version=standard).write_to(path)
    return path


def write_distortion(path, detector="NRCALONG", standard="1.6.0", box=None):
    """Write a DISTORTION file with the model of SIAF."""
    aperture = imaging_aperture(detector)
    info = wcsinfo(aperture, Pointing(0, 0, 0, 0, 0))
    model = make_wcs(aperture, info, start=(1, 1), size=aperture.size, va_scale=1.0)
    model = model.pipeline[0].transform
    del model.bounding_box
    if box:
        model.bounding_box = box[::-1]
    return write_asdf(path, standard, model=model, meta={"reftype": "distortion"})


@pytest.fixture(scope="module")
def offsets(tmp_path_factory):
    return write_asdf(tmp_path_factory.mktemp("offsets") / "offsets.asdf", filters=ROWS)


@pytest.fixture(scope="module")
def distortion(tmp_path_factory):
    return write_distortion(tmp_path_factory.mktemp("distortion") / "distortion.asdf")


def assigned(rate, target, distortion, filteroffset=None, **options):
    """Write a copy of an exposure with a WCS; its notes."""
    exposure = ExposureFile(rate)
    change, notes = assign_wcs(exposure, distortion, filteroffset, WcsOptions(**options))
    write_copy(
        exposure,
        target,
        exposure.planes,
        provenance=Provenance({"assign_wcs": "COMPLETE"}, {"assign_wcs": notes}),
        wcs=change,
    )
    return notes


def rotation(axis, degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


def turned(info, v2, v3):
    """Return RA and Dec of V2 and V3, arcsec, by matrices."""
    a, d = np.radians(v2 / 3600), np.radians(v3 / 3600)
    vector = np.array([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
    angles = (
        ("z", info["RA_REF"]),
        ("y", -info["DEC_REF"]),
        ("x", -info["ROLL_REF"]),
        ("y", info["V3_REF"] / 3600),
        ("z", -info["V2_REF"] / 3600),
    )
    matrix = np.linalg.multi_dot([rotation(*angle) for angle in angles])
    x, y, z = np.tensordot(matrix, vector, 1)
    return np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y)))


def expected(rate, distortion, x, y, offset=(0.0, 0.0), pivot=None):
    """Return the sky by the closed form."""
    with fits.open(rate) as hdus:
        info, primary = hdus["SCI"].header, hdus[0].header
    with asdf.open(distortion) as file:
        x = x + primary.get("SUBSTRT1", 1) - 1 + offset[0]
        y = y + primary.get("SUBSTRT2", 1) - 1 + offset[1]
        v2, v3 = file["model"](x, y)
    scale = info.get("VA_SCALE", 1.0)
    pivot = pivot or (info["V2_REF"], info["V3_REF"])
    return turned(
        info, *(scale * v + (1 - scale) * at for v, at in zip((v2, v3), pivot, strict=True))
    )


def pixels(box, n=9):
    return np.meshgrid(*(np.linspace(*ends, n) for ends in box))


def separation(one, other):
    """Largest distance on the sky, arcsec."""
    xi, eta = to_plane(*one, np.ravel(other[0])[0], np.ravel(other[1])[0])
    xi0, eta0 = to_plane(*other, np.ravel(other[0])[0], np.ravel(other[1])[0])
    return np.hypot(xi - xi0, eta - eta0).max()


def assert_agree(target, sky, box):
    """Compare the gWCS in a file, as everyone reads it, with the sky at pixels of its box."""
    x, y = pixels(box)
    wcs = read_wcs(target)
    assert wcs.available_frames == ["detector", "v2v3", "v2v3vacorr", "world"]
    assert wcs.bounding_box.bounding_box(order="F") == box
    with datamodels.open(target) as model:
        theirs = model.meta.wcs(x, y, with_bounding_box=False)
        back = model.meta.wcs.invert(*theirs, with_bounding_box=False)
        assert model.meta.wcs.pipeline[1].transform.name in ("DVA_Correction", None)
        assert model.meta.wcs.pipeline[2].transform.name == "v23tosky"
        region = model.meta.wcsinfo.s_region
    assert separation(theirs, sky(x, y)) < MICROARCSEC
    known = read_sky(target)
    assert known.bounding_box == box
    assert separation(known.forward(x, y), sky(x, y)) < MICROARCSEC
    np.testing.assert_allclose(known.inverse(*theirs), back, atol=1e-6)
    (x0, x1), (y0, y1) = box
    corners = sky(np.array([x0, x0, x1, x1]), np.array([y0, y1, y1, y0]))
    numbers = " ".join(f"{v:.9f}" for v in np.column_stack(corners).ravel())
    assert region == fits.getheader(target, "SCI")["S_REGION"] == f"POLYGON ICRS  {numbers}"


def assert_sip(target, box, most=0.02):
    """Compare the FITS keywords with the gWCS, in pixels."""
    header = fits.getheader(target, "SCI")
    assert "PC1_1" not in header
    assert "CDELT1" not in header
    x, y = pixels(box)
    back = fits_wcs.WCS(header).all_world2pix(*read_wcs(target)(x, y, with_bounding_box=False), 0)
    assert np.abs(np.subtract(back, (x, y))).max() < most
    middle = read_wcs(target)(header["CRPIX1"] - 1, header["CRPIX2"] - 1)
    np.testing.assert_allclose((header["CRVAL1"], header["CRVAL2"]), middle, rtol=1e-12)


@pytest.mark.parametrize("standard", ["1.5.0", "1.6.0"])
@pytest.mark.parametrize("stored", ["1.5.0", "1.6.0"])
def test_a_full_frame(tmp_path, offsets, standard, stored):
    rate = write_rate(tmp_path / "a_rate.fits", standard=standard)
    distortion = write_distortion(tmp_path / "distortion.asdf", standard=stored)
    target = tmp_path / "a_cal.fits"
    notes = assigned(rate, target, distortion, offsets, dva_pivot="aperture")
    assert notes == {
        "dva_pivot": "aperture",
        "dva_v2v3": [imaging_aperture("NRCALONG").v2_ref, imaging_aperture("NRCALONG").v3_ref],
        "va_scale": VA_SCALE,
        "filter_offset": [0.35, -1.25],
    }
    box = (-0.5, 2047.5), (-0.5, 2047.5)
    assert_agree(target, lambda x, y: expected(rate, distortion, x, y, (0.35, -1.25)), box)
    assert_sip(target, box)
    assert fits.getheader(target)["SWB_DVA"] == "aperture"
    assert fits.getheader(target)["S_WCS"] == "COMPLETE"
    assert is_consistent(target)
    assert read_notes(target)["assign_wcs"] == notes
    locate(target)


@pytest.mark.parametrize("standard", ["1.5.0", "1.6.0"])
@pytest.mark.parametrize("stored", ["1.5.0", "1.6.0"])
def test_all_kinds_of_transforms(tmp_path, standard, stored):
    """A file is read by the standard of its time, so tags of a reference file change with it."""
    plane = models.Polynomial2D(1, c0_0=1e-3, c1_0=1.0), models.Polynomial2D(1, c0_1=1.0)
    parts = (
        models.Identity(2) | (models.Shift(3.0) & models.Scale(1e-4)),
        models.Mapping((0, 1)) / (models.Const1D(20.0) & models.Const1D(0.01)),
        models.Polynomial1D(1, c0=1.0, c1=2.0) & models.Polynomial1D(1, c0=0.0, c1=1.0),
        models.Mapping((0, 1, 0, 1)) | (plane[0] & plane[1]),
        models.AffineTransformation2D([[1.0, 0.1], [-0.1, 1.0]], [0.1, 0.2]),
        models.Pix2Sky_TAN() | models.RotateNative2Celestial(5.0, 6.0, 180.0),
        SphericalToCartesian(wrap_lon_at=180),
        models.RotationSequence3D([1.0, 2.0, 3.0], "zyx"),
        CartesianToSpherical(wrap_lon_at=180),
        models.Shift(90.0) & models.Shift(-490.0),
    )
    model = reduce(operator.or_, parts)
    model.inverse = models.Identity(2)
    distortion = write_asdf(tmp_path / "distortion.asdf", stored, model=model)
    rate = write_rate(tmp_path / "a_rate.fits", size=(32, 32), standard=standard)
    target = tmp_path / "a_cal.fits"
    assigned(rate, target, distortion, sip_approx=False)
    x, y = pixels(((-0.5, 31.5), (-0.5, 31.5)))
    with datamodels.open(target) as written:
        found = written.meta.wcs(x, y, with_bounding_box=False)
    assert separation(found, expected(rate, distortion, x, y, pivot=BETWEEN)) < MICROARCSEC
    known = read_sky(target)
    assert separation(known.forward(x, y), found) < MICROARCSEC


def test_other_kinds_are_refused(tmp_path):
    path = tmp_path / "distortion.asdf"
    rate = ExposureFile(write_rate(tmp_path / "a_rate.fits", size=(32, 32)))
    whole = {"crpix": (1, 1), "crval": (0, 0), "cdelt": (1, 1), "pc": [[1, 0], [0, 1]]}
    grid = FITSImagingWCSTransform(models.Pix2Sky_TAN(), **whole)
    for model in (grid, models.Shift(1 * u.pix) & models.Shift(2 * u.pix)):
        write_asdf(path, model=model)
        with pytest.raises(InputError, match="of an unknown kind"):
            assign_wcs(rate, path)


@pytest.mark.parametrize("name", REAL)
def test_real_distortions(tmp_path, real_data, name):
    detector, folder = REAL[name], real_data / "references"
    if not (folder / f"{name}.asdf").exists():
        pytest.skip("no such reference file here")
    rate = write_rate(tmp_path / "a_rate.fits", detector)
    offset = (0.0, 0.0)
    filteroffset = None
    if detector == "MIRIMAGE":
        filteroffset, offset = folder / "jwst_miri_filteroffset_full_flt9.asdf", (-0.08, -0.06)
    if detector == "NRCALONG":
        filteroffset, offset = folder / "jwst_nircam_filteroffset_0001.asdf", (-0.131, -0.489)
    distortion, target = folder / f"{name}.asdf", tmp_path / "a_cal.fits"
    assigned(rate, target, distortion, filteroffset, dva_pivot="aperture")
    nx, ny = imaging_aperture(detector).full_size
    box = (-0.5, nx - 0.5), (-0.5, ny - 0.5)
    assert_agree(target, lambda x, y: expected(rate, distortion, x, y, offset), box)
    assert_sip(target, box)


def test_real_filter_offsets_are_read(real_data):
    found = {
        path.name: read_filter_offset(path, "MIRI", "F560W", None)
        for path in (real_data / "references").glob("jwst_miri_filteroffset_*.asdf")
    }
    assert found.pop("jwst_miri_filteroffset_0005.asdf", (-0.08, -0.06)) == (-0.08, -0.06)
    assert all(np.hypot(*offset) < 3 for offset in found.values())


@pytest.mark.parametrize(
    ("start", "size", "known", "box"),
    [
        ((1, 1), (1032, 1024), None, ((-0.5, 1031.5), (-0.5, 1023.5))),
        ((1, 1), (1032, 1024), ((3.5, 1027.5), (-0.5, 1023.5)), ((3.5, 1027.5), (-0.5, 1023.5))),
        ((413, 51), (256, 256), None, ((-0.5, 255.5), (-0.5, 255.5))),
        ((413, 51), (256, 256), ((3.5, 1027.5), (-0.5, 1023.5)), ((-0.5, 255.5), (-0.5, 255.5))),
        ((1, 779), (72, 64), ((3.5, 1027.5), (-0.5, 1023.5)), ((3.5, 71.5), (-0.5, 63.5))),
        ((1, 1), (72, 64), ((3.5, 1027.5), (-0.5, 1023.5)), ((3.5, 71.5), (-0.5, 63.5))),
        ((993, 1), (40, 64), ((3.5, 1027.5), (-0.5, 1023.5)), ((-0.5, 35.5), (-0.5, 63.5))),
    ],
)
def test_bounding_boxes_of_subarrays(tmp_path, start, size, known, box):
    rate = write_rate(tmp_path / "a_rate.fits", "MIRIMAGE", start, size)
    distortion = write_distortion(tmp_path / "distortion.asdf", "MIRIMAGE", box=known)
    target = tmp_path / "a_cal.fits"
    assigned(rate, target, distortion, dva_pivot="aperture")
    assert_agree(target, lambda x, y: expected(rate, distortion, x, y), box)
    assert_sip(target, box)


def test_a_box_beside_the_image(tmp_path):
    rate = write_rate(tmp_path / "a_rate.fits", "MIRIMAGE", (1, 1), (4, 64))
    distortion = write_distortion(
        tmp_path / "distortion.asdf", "MIRIMAGE", box=((3.5, 1027.5), (-0.5, 1023.5))
    )
    with pytest.raises(InputError, match="bounding box has no pixel"):
        assign_wcs(ExposureFile(rate), distortion)


def test_boxes():
    full = (3.5, 1027.5), (-0.5, 1023.5)
    assert image_box(None, (4, 8), (30, 20)) == ((-0.5, 19.5), (-0.5, 29.5))
    assert image_box(full, (0, 1000), (64, 72)) == ((3.5, 71.5), (-0.5, 23.5))


def test_offsets_are_added(tmp_path, offsets):
    """A distortion that is shifted back by the offset gives the undisturbed one."""
    rate = write_rate(tmp_path / "a_rate.fits", start=(865, 5), size=(64, 48))
    plain = write_distortion(tmp_path / "distortion.asdf")
    with asdf.open(plain) as file:
        model = models.Shift(-0.35) & models.Shift(1.25) | file["model"]
    back = write_asdf(tmp_path / "back.asdf", model=model)
    x, y = pixels(((-0.5, 63.5), (-0.5, 47.5)))
    skies = []
    for number, files in enumerate([(plain, None), (back, offsets)]):
        assigned(rate, tmp_path / f"{number}_cal.fits", *files)
        skies.append(read_sky(tmp_path / f"{number}_cal.fits").forward(x, y))
    assert separation(*skies) < MICROARCSEC


@pytest.mark.parametrize(
    ("instrument", "filter_name", "pupil", "offset"),
    [
        ("NIRCAM", "F356W", "CLEAR", (0.35, -1.25)),
        ("NIRCAM", "F444W", "F470N", (2.252, 0.467)),
        ("NIRCAM", "F444W", "CLEAR", None),
        ("NIRCAM", "F560W", None, None),
        ("NIRCAM", "f356w", "CLEAR", None),
        ("NIRCAM", "F410M", "CLEAR", (0.0, 0.0)),
        ("MIRI", "F560W", None, (-0.08, -0.06)),
        ("MIRI", "F480M", None, (0.1, 0.1)),
        ("MIRI", "F770W", None, None),
    ],
)
def test_rows_of_filters(offsets, instrument, filter_name, pupil, offset):
    assert read_filter_offset(offsets, instrument, filter_name, pupil) == offset


def test_a_filter_without_offset_is_told(tmp_path, offsets, distortion, caplog):
    for filter_name, told in (("F444W", "no offset for F444W with CLEAR"), ("F410M", None)):
        rate = write_rate(tmp_path / f"{filter_name}_rate.fits", size=(32, 32), FILTER=filter_name)
        caplog.clear()
        _, notes = assign_wcs(ExposureFile(rate), distortion, offsets)
        assert notes["filter_offset"] == (None if told else [0.0, 0.0])
        assert [r.levelno for r in caplog.records if "offset" in r.message] == (
            [logging.WARNING] if told else []
        )
        assert (told or "") in caplog.text


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (None, "no list of filters"),
        ([3], "no list of filters"),
        ([{"filter": "F356W", "pupil": "CLEAR", "column_offset": "x", "row_offset": 0}], "'x' is"),
        (
            [{"filter": "F356W", "pupil": "CLEAR", "column_offset": 0, "row_offset": np.inf}],
            "inf is no offset",
        ),
        ([ROWS[0], ROWS[0]], "2 rows for F356W and CLEAR"),
    ],
)
def test_bad_filter_offsets(tmp_path, filters, message):
    path = write_asdf(tmp_path / "offsets.asdf", **{"filters": filters} if filters else {})
    with pytest.raises(InputError, match=message):
        read_filter_offset(path, "NIRCAM", "F356W", "CLEAR")


def test_bad_distortions(tmp_path):
    rate = ExposureFile(write_rate(tmp_path / "a_rate.fits", size=(32, 32)))
    path = tmp_path / "distortion.asdf"
    two = models.Shift(1.0) & models.Shift(2.0)
    aperture = imaging_aperture("NRCALONG")
    at = models.Shift(aperture.v2_ref) & models.Shift(aperture.v3_ref)
    bad = {
        "no ASDF file": b"SIMPLE  =",
        "broken ASDF tree": b"#ASDF 1.0.0\n%YAML 1.1\n--- [\n...\n",
        "has no model": {"wcs": two},
        "unknown kind": {"model": models.Gaussian2D()},
        "1 coordinates to 1": {"model": models.Shift(1.0)},
        "in an unknown way": {"model": {"forward": [two, two], "inputs": 3}},
        "elsewhere": {"model": models.Shift(np.nan) & models.Shift(2.0)},
        "puts the pixels": {"model": models.Shift(1e300) & models.Scale(1e300)},
        "puts the pixels of": {"model": models.Scale(1e-9) & models.Scale(1e-9) | at},
        "has them": {"model": models.Mapping((0, 0), n_inputs=2) | at},
        "that of the detector": {"model": models.Scale(0.06) & models.Scale(0.06)},
    }
    for message, content in bad.items():
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            write_asdf(path, **content)
        with pytest.raises(InputError, match=message) as raised:
            assign_wcs(rate, path)
        assert str(raised.value).startswith(str(path))
        assert "\n" not in str(raised.value)
    other = write_distortion(tmp_path / "miri.asdf", "MIRIMAGE")
    with pytest.raises(InputError, match="elsewhere than its detector"):
        assign_wcs(rate, other)
    with pytest.raises(InputError, match="cannot be read"):
        assign_wcs(rate, tmp_path / "missing.asdf")
    whole = write_distortion(path).read_bytes()
    path.write_bytes(whole[: whole.index(b"\xd3BLK") + 200])
    with pytest.raises(InputError, match="model cannot be read"):
        read_distortion(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"RA_REF": None}, "no RA_REF"),
        ({"RA_REF": None, "V3_REF": None}, "no RA_REF, V3_REF"),
        ({"ROLL_REF": "north"}, "ROLL_REF is 'north'"),
        ({"VA_SCALE": 2.0}, "VA_SCALE is 2.0"),
        ({"EXP_TYPE": "NRC_GRISM"}, "EXP_TYPE is NRC_GRISM"),
        ({"EXP_TYPE": None}, "EXP_TYPE is None"),
        ({"SUBSTRT1": None}, "no SUBSTRT1"),
        ({"SUBSTRT2": 0}, "SUBSTRT2 is 0"),
    ],
)
def test_bad_headers(tmp_path, distortion, changes, message):
    rate = write_rate(tmp_path / "a_rate.fits", size=(32, 32), **changes)
    with pytest.raises(InputError, match=message) as raised:
        assign_wcs(ExposureFile(rate), distortion)
    assert str(rate) in str(raised.value)


def test_an_exposure_without_tree(tmp_path, distortion):
    rate = write_rate(tmp_path / "a_rate.fits", size=(32, 32))
    with fits.open(rate, mode="update") as hdus:
        del hdus["ASDF"]
    with pytest.raises(InputError, match="no ASDF extension"):
        assign_wcs(ExposureFile(rate), distortion)


def test_types_without_wcs(tmp_path, distortion):
    rate = write_rate(tmp_path / "a_rate.fits", size=(32, 32), EXP_TYPE="NRC_LED")
    change, notes = assign_wcs(ExposureFile(rate), distortion)
    assert change is None
    assert notes == {"reason": "exposures of type NRC_LED have no WCS"}


def test_without_va_scale_nothing_is_scaled(tmp_path, distortion, caplog):
    rate = write_rate(tmp_path / "a_rate.fits", start=(865, 5), size=(64, 48), VA_SCALE=None)
    target = tmp_path / "a_cal.fits"
    assigned(rate, target, distortion)
    assert "has no VA_SCALE" in caplog.text
    box = (-0.5, 63.5), (-0.5, 47.5)
    assert_agree(target, lambda x, y: expected(rate, distortion, x, y), box)


def test_the_guide_star_is_the_pivot(tmp_path, distortion):
    star = 200.0, -680.0
    rate = write_rate(tmp_path / "a_rate.fits", start=(865, 5), size=(64, 48))
    ra, dec = turned(fits.getheader(rate, "SCI"), *map(np.array, star))
    with fits.open(rate, mode="update") as hdus:
        hdus[0].header.update({"GS_RA": float(ra), "GS_DEC": float(dec), "PCS_MODE": "FINEGUIDE"})
    target = tmp_path / "a_cal.fits"
    notes = assigned(rate, target, distortion)
    np.testing.assert_allclose(notes["dva_v2v3"], star, atol=1e-7)
    assert fits.getheader(target)["SWB_DVA"] == notes["dva_pivot"] == "guide star"
    box = (-0.5, 63.5), (-0.5, 47.5)
    assert_agree(target, lambda x, y: expected(rate, distortion, x, y, pivot=star), box)
    # what a file has already counts no more
    again = tmp_path / "again_cal.fits"
    assigned(target, again, distortion)
    assert_agree(again, lambda x, y: expected(rate, distortion, x, y, pivot=star), box)


def test_without_sip_old_keywords_stay(tmp_path, distortion):
    rate = write_rate(tmp_path / "a_rate.fits", size=(32, 32))
    target = tmp_path / "a_cal.fits"
    assigned(rate, target, distortion, sip_approx=False)
    before, after = (fits.getheader(path, "SCI") for path in (rate, target))
    for key in ("CTYPE1", "CRVAL1", "CRVAL2", "PC1_1", "CDELT1", "CRPIX1"):
        assert before[key] == after[key]
    assert "CD1_1" not in after
    assert before["S_REGION"] != after["S_REGION"]


def test_options():
    with pytest.raises(InputError, match="dva_pivot: 'v1': give guide_star or aperture"):
        WcsOptions(dva_pivot="v1")
    assert WcsOptions(sip_degree=3, sip_npoints=9).sip == {
        "max_pix_error": 0.01,
        "degree": 3,
        "max_inv_pix_error": 0.01,
        "inv_degree": None,
        "npoints": 9,
    }
