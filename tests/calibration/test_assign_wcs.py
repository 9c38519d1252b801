"""assign_wcs: what it writes, read by gwcs and held to the chain of jwst's documentation."""

import asdf
import numpy as np
import pytest
from astropy import wcs as fits_wcs
from astropy.io import fits
from stdatamodels.jwst import datamodels

from agreement import is_consistent
from snakewebb.calibration.assign_wcs import WcsOptions, assign_wcs
from snakewebb.io.exposure_file import ExposureFile
from snakewebb.io.provenance import read_notes
from snakewebb.products.exposure_file import write_copy
from snakewebb.simulate.apertures import Pointing, imaging_aperture, make_wcs, wcsinfo
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
        statuses={"assign_wcs": "COMPLETE"},
        notes={"assign_wcs": notes},
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
