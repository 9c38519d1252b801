"""Velocity aberration about the guide star, against special relativity."""

import logging

import numpy as np
import pytest
from astropy.io import fits
from astropy.modeling import models

from snakewebb.errors import InputError
from snakewebb.io.headers import read_header
from snakewebb.simulate.apertures import Pointing, imaging_aperture, make_wcs, wcsinfo
from snakewebb.wcs.aberration import (
    APERTURE,
    BETWEEN,
    BETWEEN_GUIDERS,
    GUIDE_STAR,
    GUIDERS,
    REACH,
    aberration_of,
    attitude,
    guide_star_position,
    pivot_shift,
    shifted,
)
from snakewebb.wcs.geometry import Geometry
from snakewebb.wcs.sphere import mean_direction, to_plane, unit_vectors

STAR = 210.0, -655.0  # arcsec
INFO = {"v2_ref": 86.0, "v3_ref": -493.4, "roll_ref": 77.0, "ra_ref": 359.99, "dec_ref": -65.0}
MAS = 1e-3


def guided(star=STAR, mode="FINEGUIDE", scale=0.9999, info=INFO):
    ra, dec = attitude(info).forward(*map(np.float64, star))
    return {"GS_RA": float(ra), "GS_DEC": float(dec), "PCS_MODE": mode, "VA_SCALE": scale}


def axis_turn(axis, degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


def to_vectors(v2, v3):
    return unit_vectors(np.asarray(v2) / 3600, np.asarray(v3) / 3600)


def to_v2v3(vectors):
    x, y, z = np.moveaxis(vectors, -1, 0)
    return 3600 * np.degrees(np.arctan2(y, x)), 3600 * np.degrees(np.arctan2(z, np.hypot(x, y)))


def aberrated(n, beta):
    """Return apparent directions, of an observer with this velocity in units of that of light."""
    gamma = 1 / np.sqrt(1 - beta @ beta)
    along = n @ beta
    moved = n / gamma + beta * (1 + gamma / (gamma + 1) * along)[..., None]
    return moved / (1 + along)[..., None]


def rotation_between(start, end):
    axis = np.cross(start, end)
    sine, cosine = np.linalg.norm(axis), start @ end
    x, y, z = axis / sine
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + sine * cross + (1 - cosine) * cross @ cross


def info_of(turn, v2, v3):
    """Return the keywords of an aperture for the rotation that takes V2 and V3 to the sky."""
    a = turn @ axis_turn("z", v2 / 3600) @ axis_turn("y", -v3 / 3600)
    ra, dec = mean_direction(a[:, :1].T)
    b = axis_turn("y", dec) @ axis_turn("z", -ra) @ a
    roll = np.degrees(np.arctan2(b[1, 2], b[1, 1]))
    return {"v2_ref": v2, "v3_ref": v3, "roll_ref": roll, "ra_ref": ra, "dec_ref": dec}


@pytest.mark.parametrize("direction", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (-0.6, 0.5, 0.6)])
def test_stars_are_where_they_are(direction):
    """The sky seen from a moving telescope, whose attitude is that of its guide star."""
    beta = 1e-4 * np.array(direction) / np.linalg.norm(direction)
    physical = np.linalg.multi_dot(
        [axis_turn(*t) for t in (("z", 80.0), ("y", -40.0), ("x", -25.0))]
    )

    def seen(n):
        return to_v2v3(aberrated(n, beta) @ physical)

    guide = physical @ to_vectors(*STAR)
    at = seen(guide)
    estimated = rotation_between(physical @ to_vectors(*at), guide) @ physical
    header = dict(zip(("GS_RA", "GS_DEC"), mean_direction(guide[None]), strict=True))
    header["PCS_MODE"] = "TRACK"
    offsets = {}
    for detector in ("NRCALONG", "NRCBLONG", "MIRIMAGE"):
        aperture = imaging_aperture(detector)
        reference = aperture.v2_ref, aperture.v3_ref
        info = info_of(estimated, *reference)
        turn = attitude(info)
        along = unit_vectors(info["ra_ref"], info["dec_ref"]) @ beta
        header["VA_SCALE"] = float((1 + along) / np.sqrt(1 - beta @ beta))
        known = aberration_of(header, info, "a")
        assert known.pivot == GUIDE_STAR
        np.testing.assert_allclose((known.v2, known.v3), at, atol=1e-6)
        around = np.meshgrid(*([at - 60, at, at + 60] for at in reference))
        true = physical @ np.moveaxis(to_vectors(*around), -1, 0).reshape(3, -1)
        v2, v3 = seen(true.T)
        sky = turn.forward(known.scale * v2 + known.shift[0], known.scale * v3 + known.shift[1])
        truth = np.degrees(np.arctan2(true[1], true[0])), np.degrees(np.arcsin(true[2]))
        off = np.hypot(*to_plane(*sky, *mean_direction(true.T)) - np.array(
            to_plane(*truth, *mean_direction(true.T))
        ))  # fmt: skip
        assert off.max() < 0.2 * MAS
        theirs = aberration_of(header, info, "a", about_aperture=True)
        offsets[detector] = np.subtract(theirs.shift, known.shift)
    apart = np.linalg.norm(offsets["NRCALONG"] - offsets["NRCBLONG"])
    distance = np.subtract(*((imaging_aperture(d).v2_ref, imaging_aperture(d).v3_ref)
                             for d in ("NRCALONG", "NRCBLONG")))  # fmt: skip
    assert apart == pytest.approx(np.linalg.norm(distance) * abs(1 - header["VA_SCALE"]), rel=0.02)


def test_the_guide_star():
    np.testing.assert_allclose(guide_star_position(guided(), INFO, "a"), STAR, atol=1e-7)
    known = aberration_of(guided(), INFO, "a")
    assert (known.scale, known.pivot) == (0.9999, GUIDE_STAR)
    np.testing.assert_allclose(known.shift, 1e-4 * np.array(STAR), rtol=1e-9)


@pytest.mark.parametrize(
    "header",
    [
        guided(mode="COARSE"),
        guided() | {"PCS_MODE": None},
        guided() | {"GS_RA": None},
        guided() | {"GS_DEC": None},
        guided((206.4 + 106.1, -697.8 + 106.1)),
        guided((0.0, 0.0)),
        {"VA_SCALE": 0.9999},
    ],
)
def test_without_a_guide_star(header):
    known = aberration_of(header, INFO, "a")
    assert (known.v2, known.v3) == BETWEEN
    assert known.pivot == BETWEEN_GUIDERS


@pytest.mark.parametrize("mode", ["FINEGUIDE", "TRACK", "track"])
def test_guide_stars_up_to_the_edge_of_the_guiders(mode):
    for x, y in GUIDERS:
        star = x + 0.7 * REACH, y - 0.7 * REACH
        assert aberration_of(guided(star, mode), INFO, "a").pivot == GUIDE_STAR


def test_a_guide_star_that_cannot_be_is_told(caplog):
    assert aberration_of(guided() | {"GS_DEC": 200.0}, INFO, "a").pivot == BETWEEN_GUIDERS
    assert "a: GS_DEC is 200.0" in caplog.text


def test_scales(caplog):
    assert aberration_of(guided() | {"VA_SCALE": None}, INFO, "a").scale == 1.0
    assert "has no VA_SCALE" in caplog.text
    for scale in (0.0, 0.998, 1.1, "x", np.nan):
        with pytest.raises(InputError, match="a: VA_SCALE is"):
            aberration_of(guided(scale=scale), INFO, "a")


def test_the_aperture():
    known = aberration_of(guided(), INFO, "a", about_aperture=True)
    assert (known.v2, known.v3, known.pivot) == (86.0, -493.4, APERTURE)


def test_the_shift_from_one_pivot_to_the_other():
    """It is (VA - 1)·(reference point - guide star)."""
    expected = (0.9999 - 1) * np.subtract((86.0, -493.4), STAR)
    np.testing.assert_allclose(pivot_shift(guided(), INFO, "a"), expected, rtol=1e-9)
    coarse = (0.9999 - 1) * np.subtract((86.0, -493.4), BETWEEN)
    known = pivot_shift({"PCS_MODE": "COARSE", "VA_SCALE": 0.9999}, INFO, "a")
    np.testing.assert_allclose(known, coarse, rtol=1e-9)
    assert pivot_shift(guided() | {"SWB_VER": "0.1"}, INFO, "a") == (0.0, 0.0)  # decided already
    for missing in ("GS_RA", "GS_DEC", "PCS_MODE"):
        header = guided()
        del header[missing]
        assert pivot_shift(header, INFO, "a") == (0.0, 0.0)
    for scale in (None, 2.0, 1.0):
        assert pivot_shift(guided(scale=scale), INFO, "a") == (0.0, 0.0)


def geometry_of(wcs, info):
    x, y = np.linspace(-0.5, 2047.5, 9), np.linspace(-0.5, 2047.5, 9)
    ra, dec = wcs(*np.meshgrid(x, y), with_bounding_box=False)
    return Geometry((2048, 2048), x, y, np.mod(ra, 360.0), np.asarray(dec), 1e-5, **info)


def test_a_geometry_is_moved_to_the_other_pivot():
    aperture = imaging_aperture("NRCBLONG")
    info = wcsinfo(aperture, Pointing(0.01, 60.0, 77.0, aperture.v2_ref + 30, aperture.v3_ref))
    header = guided(info=info)
    wcs = make_wcs(aperture, info, start=aperture.start, size=aperture.size, va_scale=0.9999)
    steps = [(step.frame, step.transform) for step in wcs.pipeline]
    about_star = models.Shift((1 - 0.9999) * STAR[0]) & models.Shift((1 - 0.9999) * STAR[1])
    right = (models.Scale(0.9999) & models.Scale(0.9999)) | about_star
    known = geometry_of(wcs, info)
    moved = shifted(known, pivot_shift(header, info, "a"))
    wanted = geometry_of(type(wcs)([steps[0], (steps[1][0], right), *steps[2:]]), info)
    planes = [np.array(to_plane(g.ra, g.dec, *wanted.center())) for g in (moved, wanted, known)]
    np.testing.assert_allclose(planes[0], planes[1], rtol=0, atol=1e-6)
    assert np.hypot(*(planes[1] - planes[2])).min() > 10 * MAS
    same = shifted(known, (0.0, 0.0))
    np.testing.assert_allclose((same.ra, same.dec), (known.ra, known.dec), rtol=0, atol=1e-11)


def test_real_exposures_are_guided(real_data, caplog):
    caplog.set_level(logging.INFO)
    paths = sorted((real_data / "aumic_f356w").glob("*_calints.fits"))
    if not paths:
        pytest.skip("no such exposures here")
    names = {"v2_ref", "v3_ref", "roll_ref", "ra_ref", "dec_ref"}
    for path in paths:
        header = read_header(path)
        info = {name: header[name.upper()] for name in names}
        known = aberration_of(header, info, path)
        assert known.pivot == GUIDE_STAR
        assert min(np.hypot(known.v2 - x, known.v3 - y) for x, y in GUIDERS) < 75
        v1 = attitude(info).forward(np.float64(0), np.float64(0))
        at = fits.getval(path, "RA_V1", "SCI"), fits.getval(path, "DEC_V1", "SCI")
        assert np.hypot(*to_plane(*v1, *at)) < 1e-5
