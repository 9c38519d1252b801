"""Corrections of a gWCS written as YAML, against those that tweakwcs makes."""

import io

import asdf
import numpy as np
import pytest
from astropy.modeling import CompoundModel, models
from gwcs import WCS
from tweakwcs.correctors import JWSTWCSCorrector

from snakewebb.io.asdf_tree import AsdfTree
from snakewebb.simulate.apertures import Pointing, imaging_aperture, make_wcs, wcsinfo
from snakewebb.wcs.geometry import Correction, Geometry
from snakewebb.wcs.gwcs_library import corrected_wcs
from snakewebb.wcs.gwcs_yaml import (
    aberration_offsets,
    corrected_steps,
    is_correctable,
    moved_steps,
)
from snakewebb.wcs.sphere import to_plane

KEYS = ("v2_ref", "v3_ref", "roll_ref", "ra_ref", "dec_ref", "v3yangle", "vparity")
PLACE = "meta.wcs.steps"
TURNED = (1.0001, 2e-4), (-2e-4, 1.0001)


def simulated(detector, va_scale=0.99995):
    aperture = imaging_aperture(detector)
    pointing = Pointing(0.01, 60.0, 77.0, aperture.v2_ref + 30, aperture.v3_ref)
    info = wcsinfo(aperture, pointing)
    wcs = make_wcs(aperture, info, start=aperture.start, size=aperture.size, va_scale=va_scale)
    return wcs, {key: info[key] for key in KEYS}


def uncorrected(wcs):
    """Return a gWCS without its correction."""
    steps = [(step.frame, step.transform) for step in wcs.pipeline]
    at = wcs.available_frames.index("v2v3corr")
    steps[at - 1] = (steps[at - 1][0], steps[at][1])
    made = WCS([*steps[:at], *steps[at + 1 :]], name=wcs.name)
    made.bounding_box = wcs.bounding_box
    return made


def geometry_of(wcs, info):
    x, y = (np.linspace(-0.5, 2047.5, 33),) * 2
    ra, dec = wcs(*np.meshgrid(x, y), with_bounding_box=False)
    return Geometry((2048, 2048), x, y, np.mod(ra, 360.0), np.asarray(dec), 1e-5, **info)


def content(wcs, standard="1.6.0"):
    file = io.BytesIO()
    asdf.AsdfFile({"meta": {"wcs": wcs}}, version=standard).write_to(file)
    return file.getvalue()


def corrected(text, geometry, correction):
    steps = {PLACE: lambda steps: corrected_steps(steps, geometry, correction)}
    with asdf.open(io.BytesIO(AsdfTree(text).change(steps).to_bytes())) as file:
        return file["meta"]["wcs"]


def structure(model):
    if isinstance(model, CompoundModel):
        return model.name, model.op, structure(model.left), structure(model.right)
    return type(model).__name__, model.name, model.inputs, model.outputs


def assert_alike(made, expected, info, scale):
    """Compare two corrected gWCS to a millionth of a pixel, `scale` in arcsec."""
    assert made.available_frames == expected.available_frames
    assert made.bounding_box == expected.bounding_box
    at = made.available_frames.index("v2v3corr")
    models = [wcs.pipeline[at - 1].transform for wcs in (made, expected)]
    assert structure(models[0]) == structure(models[1])
    assert structure(models[0].inverse) == structure(models[1].inverse)
    assert repr(made.pipeline[at].frame) == repr(expected.pipeline[at].frame)
    x, y = np.meshgrid(np.linspace(-0.5, 2047.5, 9), np.linspace(-0.5, 2047.5, 9))
    for _ in range(2):
        sky = [wcs(x, y, with_bounding_box=False) for wcs in (made, expected)]
        plane = [to_plane(*map(np.asarray, s), info["ra_ref"], info["dec_ref"]) for s in sky]
        np.testing.assert_allclose(*plane, rtol=0, atol=1e-6 * scale)
        back = [wcs.invert(*sky[0], with_bounding_box=False) for wcs in (made, expected)]
        np.testing.assert_allclose(*back, rtol=0, atol=1e-6)
        # tweakwcs knows such a correction, and adds another to it
        correctors = [JWSTWCSCorrector(wcs, info) for wcs in (made, expected)]
        for corrector in correctors:
            corrector.set_correction([[1.0, 1e-4], [-1e-4, 1.0]], [0.1, -0.2])
        made, expected = (corrector.wcs for corrector in correctors)


@pytest.mark.parametrize("standard", ["1.5.0", "1.6.0"])
@pytest.mark.parametrize("detector", ["NRCALONG", "NRCB3", "NIS"])
def test_a_correction_is_that_of_tweakwcs(detector, standard):
    wcs, info = simulated(detector)
    geometry = geometry_of(wcs, info)
    text = content(wcs, standard)
    assert is_correctable(AsdfTree(text).node(PLACE), geometry)
    correction = Correction(0.03, 60.04, TURNED, (0.3, -1.2))
    made = corrected(text, geometry, correction)
    assert_alike(made, corrected_wcs(wcs, correction, info), info, 0.03)


def test_a_correction_of_real_exposures_is_that_of_tweakwcs(real_data):
    paths = sorted((real_data / "ceers_wcs").glob("*.asdf"))[::30]
    for path in paths:
        with asdf.open(path) as file:
            info = {key: file["wcsinfo"][key] for key in KEYS}
            wcs = uncorrected(file["wcs"])
            geometry = geometry_of(wcs, info)
            correction = Correction(geometry.ra[3, 4], geometry.dec[3, 4], TURNED, (0.3, -1.2))
            made = corrected(content(wcs, "1.5.0"), geometry, correction)
            assert_alike(made, corrected_wcs(wcs, correction, info), info, 0.03)
        # such files have a correction, and older tags, already
        assert not is_correctable(AsdfTree(path.read_bytes()).node("wcs.steps"), geometry)
    assert len(paths) == 4


def test_small_numbers_remain_numbers():
    wcs, info = simulated("NRCALONG")
    geometry = geometry_of(wcs, info)
    correction = Correction(
        info["ra_ref"] % 360, info["dec_ref"], ((1.0, 1e-5), (-1e-5, 1.0)), (1e-7, 0.0)
    )
    affine = corrected(content(wcs), geometry, correction).pipeline[2].transform["tp_affine"]
    np.testing.assert_allclose(affine.matrix, correction.matrix, rtol=0, atol=1e-12)


def test_what_cannot_be_corrected_is_known():
    wcs, info = simulated("NRCALONG")
    geometry = geometry_of(wcs, info)
    correction = Correction(0.03, 60.04, TURNED, (0.3, -1.2))
    once = corrected(content(wcs), geometry, correction)
    moved = corrected_wcs(wcs, correction, info, moving_target=True)
    plain = WCS([("detector", wcs.forward_transform), ("world", None)])
    for other in (once, moved, plain):
        assert not is_correctable(AsdfTree(content(other)).node(PLACE), geometry)
    elsewhere = geometry_of(wcs, info | {"roll_ref": info["roll_ref"] + 1e-6})
    assert not is_correctable(AsdfTree(content(wcs)).node(PLACE), elsewhere)
    assert not is_correctable(AsdfTree(content(wcs)).node("meta.none"), geometry)
    renamed = content(wcs).replace(b"v23tosky", b"v23there")
    assert not is_correctable(AsdfTree(renamed).node(PLACE), geometry)
    newer = content(wcs).replace(b"compose-1.4.0", b"compose-9.0.0")
    assert not is_correctable(AsdfTree(newer).node(PLACE), geometry)


def test_offsets_of_velocity_aberration():
    wcs, info = simulated("NRCALONG")
    steps = AsdfTree(content(wcs)).node(PLACE)
    theirs = [(1 - 0.99995) * info[name] for name in ("v2_ref", "v3_ref")]
    assert [float(node.value) for node in aberration_offsets(steps)] == pytest.approx(theirs)
    moved_steps(steps, (1e-7, -0.025))
    found = [float(node.value) for node in aberration_offsets(steps)]
    assert found == pytest.approx([theirs[0] + 1e-7, theirs[1] - 0.025], abs=1e-12)
    for other in (None, AsdfTree(content(models.Shift(3.0, name="dva_v2_shift"))).node("meta.wcs")):
        with pytest.raises(ValueError, match="another form"):
            aberration_offsets(other)
