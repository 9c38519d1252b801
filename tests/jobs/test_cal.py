"""What is written of a count rate: pixels by the formulae, planes, keywords and tree."""

import warnings

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal
from stdatamodels.jwst.datamodels import CubeModel, ImageModel

from agreement import header, is_consistent
from rates import (
    EXPMID,
    PLACE,
    write_area,
    write_distortion,
    write_flat,
    write_photom,
    write_rate,
)
from snakewebb.errors import InputError
from snakewebb.io.dq import BITS, DO_NOT_USE
from snakewebb.io.provenance import read_notes
from snakewebb.jobs.background import combine_backgrounds
from snakewebb.jobs.cal import calibrate_exposure, subtract_background

WHOLE = (1, 1, 60, 70)
ROWS = {
    "NIRCAM": {"filter": "F356W", "pupil": "CLEAR"},
    "MIRI": {"filter": "F1130W", "subarray": "GENERIC"},
    "NIRISS": {"filter": "F150W", "pupil": "CLEARP"},
    "FGS": {},
}
PHOTMJSR = 0.375
CORRECTION = 1 - float(np.float32(0.02)) * (EXPMID - 60000) / 365
FACTOR = PHOTMJSR / CORRECTION
NO_FLAT = BITS["NO_FLAT_FIELD"]
ORDER = ["PRIMARY", "SCI", "ERR", "DQ", "AREA", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT", "ASDF"]
NO_WCS = {"assign_wcs": {"skip": True}}
BAD_FLAT = (7, 8)


def spoil(model):
    model.data[PLACE[1] - 1 + BAD_FLAT[0], PLACE[0] - 1 + BAD_FLAT[1]] = 0


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    """Reference files by type, by instrument."""
    folder = tmp_path_factory.mktemp("references")
    made = {}
    for instrument, row in ROWS.items():
        times = {"timecoeff_linear": [{"t0": 60000.0, "lossperyear": 0.02}]}
        rows = [{**row, "photmjsr": PHOTMJSR}]
        made[instrument] = {
            "flat": write_flat(folder / f"{instrument}_flat.fits", instrument, WHOLE, change=spoil),
            "photom": write_photom(folder / f"{instrument}_photom.fits", instrument, rows, times),
            "area": write_area(folder / "area.fits", WHOLE),
        }
    made["NIRCAM"]["distortion"] = write_distortion(folder / "distortion.asdf")
    return made


def cut(path, name):
    return fits.getdata(path, name)[
        PLACE[1] - 1 : PLACE[1] - 1 + PLACE[3], PLACE[0] - 1 : PLACE[0] - 1 + PLACE[2]
    ]


def planes_of(path):
    with fits.open(path) as hdus:
        return {hdu.name: hdu.data.copy() for hdu in hdus if hdu.is_image and hdu.data is not None}


def expected_planes(rate, flat, factor=FACTOR):
    """IMAGE2, sections 4 and 5, written out."""
    before = {k: v.astype(float) for k, v in planes_of(rate).items()}
    f, e = cut(flat, "SCI").astype(float), cut(flat, "ERR").astype(float)
    none = f == 0
    f[none] = 1
    dq = planes_of(rate)["DQ"] | np.where(none, DO_NOT_USE | NO_FLAT, 0).astype(np.uint32)
    sci = before["SCI"] / f
    out = {
        "SCI": sci * factor,
        "VAR_POISSON": before["VAR_POISSON"] / f**2 * factor**2,
        "VAR_RNOISE": before["VAR_RNOISE"] / f**2 * factor**2,
        "VAR_FLAT": (sci * e / f) ** 2 * factor**2,
    }
    out["ERR"] = np.sqrt(out["VAR_POISSON"] + out["VAR_RNOISE"] + out["VAR_FLAT"])
    for plane in out.values():
        plane[(dq & DO_NOT_USE) != 0] = np.nan
    return {**out, "DQ": dq}


def assert_expected(path, expected):
    found = planes_of(path)
    for name, plane in expected.items():
        if name == "DQ":
            assert_array_equal(found[name], plane)
        else:
            assert_allclose(found[name], plane, rtol=1e-6)


@pytest.mark.parametrize("ints", [None, 1, 3])
@pytest.mark.parametrize("instrument", ROWS)
def test_a_count_rate_is_calibrated(tmp_path, references, instrument, ints):
    files = {k: v for k, v in references[instrument].items() if k != "distortion"}
    rate = write_rate(tmp_path / f"jw1_rate{'ints' if ints else ''}.fits", instrument, ints=ints)
    target = tmp_path / "jw1_cal.fits"
    calibrate_exposure(rate, target, references=files, step=NO_WCS)
    assert_expected(target, expected_planes(rate, files["flat"]))
    assert_array_equal(planes_of(target)["AREA"], cut(files["area"], "SCI"))
    order = [name for name in ORDER if name != "AREA"]
    order[4:4] = ["AREA", "INT_TIMES"] if ints else ["AREA"]
    with fits.open(target) as hdus:
        assert [hdu.name for hdu in hdus] == order
        hdus.verify("exception")
    assert is_consistent(target)


@pytest.fixture(scope="module")
def cal(tmp_path_factory, references):
    folder = tmp_path_factory.mktemp("cal")
    rate = write_rate(folder / "jw1_rate.fits")
    calibrate_exposure(
        rate,
        folder / "jw1_cal.fits",
        references=references["NIRCAM"],
        names={"flat": "crds://jwst_nircam_flat_0001.fits"},
        asn={"pool_name": "a_pool.csv", "table_name": "an_asn.json"},
    )
    return rate, folder / "jw1_cal.fits"


def test_headers_say_what_was_done(cal):
    rate, path = cal
    primary, sci = header(path), header(path, "SCI")
    assert {primary[f"S_{step}"] for step in ("WCS", "FLAT", "PHOTOM", "RAMP")} == {"COMPLETE"}
    assert "S_BKDSUB" not in primary
    assert primary["DATAMODL"] == "ImageModel"
    assert primary["FILENAME"] == "jw1_cal.fits"
    assert (primary["ASNPOOL"], primary["ASNTABLE"]) == ("a_pool.csv", "an_asn.json")
    assert primary["R_FLAT"] == "crds://jwst_nircam_flat_0001.fits"
    assert primary["R_PHOTOM"] == "NIRCAM_photom.fits"
    assert (primary["R_AREA"], primary["R_DISTOR"]) == ("area.fits", "distortion.asdf")
    assert primary["R_GAIN"] == header(rate)["R_GAIN"]
    assert "R_FILOFF" not in primary
    assert sci["BUNIT"] == header(path, "ERR")["BUNIT"] == "MJy/sr"
    assert_allclose(sci["PHOTMJSR"], FACTOR, rtol=1e-12)
    assert_allclose(sci["PHOTUJA2"], FACTOR * 23.504430539, rtol=1e-9)
    assert (sci["PIXAR_SR"], sci["PIXAR_A2"]) == (1.01e-13, 0.00404)
    assert sci["CTYPE1"].startswith("RA---TAN")


def test_keywords_stand_where_the_schema_has_them(cal):
    keys = list(header(cal[1]))
    order = ["FILTER", "EXP_TYPE", "SUBARRAY", "R_AREA", "R_DISTOR", "R_FLAT", "R_GAIN", "R_PHOTOM"]
    order += ["S_WCS", "S_FLAT", "S_PHOTOM", "S_RAMP"]
    assert [key for key in keys if key in order] == order
    keys = list(header(cal[1], "SCI"))
    order = ["BUNIT", "PHOTMJSR", "PHOTUJA2", "PIXAR_SR", "PIXAR_A2", "CRPIX1", "S_REGION"]
    assert [key for key in keys if key in order] == order


@pytest.mark.parametrize("trusting", [True, False])
def test_stdatamodels_opens_it_without_warning(cal, tmp_path, trusting):
    path = cal[1]
    if not trusting:  # once the tree's hash is wrong, headers and extensions are all read
        path = tmp_path / "jw1_cal.fits"
        with fits.open(cal[1]) as hdus:
            hdus[0].header["OBSERVTN"] = "007"
            hdus.writeto(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with ImageModel(path) as model:
            assert model.meta.bunit_data == model.meta.bunit_err == "MJy/sr"
            assert_allclose(model.meta.photometry.conversion_megajanskys, FACTOR, rtol=1e-12)
            assert model.meta.photometry.pixelarea_arcsecsq == 0.00404
            assert model.meta.ref_file.flat.name == "crds://jwst_nircam_flat_0001.fits"
            assert model.meta.cal_step.photom == "COMPLETE"
            assert model.area.shape == model.var_flat.shape == (PLACE[3], PLACE[2])
            assert model.meta.wcs.available_frames == ["detector", "v2v3", "v2v3vacorr", "world"]
            ra, dec = model.meta.wcs(20, 15)
            assert abs(ra - 53.16) < 0.05
            assert abs(dec + 27.79) < 0.05
            model.validate()


def test_notes_tell_the_factor_and_parameters(cal):
    notes = read_notes(cal[1])
    assert_allclose(notes["photom"]["time_correction"], CORRECTION, rtol=1e-12)
    assert notes["photom"]["photmjsr"] == PHOTMJSR
    assert notes["photom"]["parameters"] == {"apply_time_correction": True, "inverse": False}
    assert notes["flat_field"]["unknown_errors"] == 0
    assert "dva_pivot" in notes["assign_wcs"]
    assert notes["assign_wcs"]["parameters"]["sip_approx"] is True


def test_a_cube_opens_as_one(tmp_path, references):
    rate = write_rate(tmp_path / "jw1_rateints.fits", ints=2)
    target = tmp_path / "jw1_calints.fits"
    calibrate_exposure(rate, target, references=references["NIRCAM"])
    with CubeModel(target) as model:
        assert model.meta.model_type == "CubeModel"
        assert model.area.shape == (PLACE[3], PLACE[2])
        assert model.var_flat.shape == (2, PLACE[3], PLACE[2])
        assert model.int_times["integration_number"].tolist() == [1, 2]
        model.validate()


def test_steps_that_are_skipped_say_why(tmp_path, references, caplog):
    rate = write_rate(tmp_path / "jw1_rate.fits")
    target = tmp_path / "jw1_cal.fits"
    only = {"photom": references["NIRCAM"]["photom"]}
    calibrate_exposure(rate, target, references=only, step=NO_WCS)
    primary = header(target)
    assert (primary["S_WCS"], primary["S_FLAT"], primary["S_PHOTOM"]) == (
        "SKIPPED", "SKIPPED", "COMPLETE",
    )  # fmt: skip
    assert "flat_field is skipped: no FLAT file" in caplog.text
    assert "assign_wcs" not in caplog.text
    notes = read_notes(target)
    assert notes["flat_field"]["reason"] == "there is no FLAT reference file (N/A)"
    assert notes["assign_wcs"]["reason"] == "skip is set"
    found, before = planes_of(target), planes_of(rate)
    assert found.keys() == before.keys()
    assert_allclose(found["SCI"], before["SCI"].astype(float) * FACTOR, rtol=1e-6)
    sci = header(target, "SCI")
    assert (sci["PIXAR_SR"], sci["PIXAR_A2"]) == (1e-13, 0.004)


def test_without_photom_it_stays_in_counts(tmp_path, references):
    rate = write_rate(tmp_path / "jw1_rate.fits")
    target = tmp_path / "jw1_cal.fits"
    step = {**NO_WCS, "photom": {"skip": True}}
    calibrate_exposure(rate, target, references=references["NIRCAM"], step=step)
    assert_expected(target, expected_planes(rate, references["NIRCAM"]["flat"], 1.0))
    assert header(target, "SCI")["BUNIT"] == "DN/s"
    assert {"PHOTMJSR", "PIXAR_SR"}.isdisjoint(header(target, "SCI"))
    assert {"R_PHOTOM", "R_AREA"}.isdisjoint(header(target))


def test_niriss_cubes(tmp_path, references):
    """Images in MJy/sr, which jwst leaves in DN/s with interferometry (jwst#4485)."""
    files = references["NIRISS"]

    def ami(model):
        model.meta.exposure.type = "NIS_AMI"

    for change, unit, factor in ((None, "MJy/sr", FACTOR), (ami, "DN/s", 1.0)):
        rate = write_rate(tmp_path / "jw1_rateints.fits", "NIRISS", ints=2, change=change)
        target = tmp_path / "jw1_calints.fits"
        calibrate_exposure(rate, target, references=files, step=NO_WCS)
        assert_expected(target, expected_planes(rate, files["flat"], factor))
        assert header(target, "SCI")["BUNIT"] == unit
        assert header(target)["S_PHOTOM"] == ("COMPLETE" if change is None else "SKIPPED")
        assert header(target, "SCI")["PIXAR_SR"] == 1.01e-13
        assert "AREA" in planes_of(target)
    assert "stays in DN/s" in read_notes(target)["photom"]["reason"]


def test_a_rate_without_variances_keeps_its_errors(tmp_path, references):
    rate = write_rate(tmp_path / "jw1_rate.fits", variances=False)
    target = tmp_path / "jw1_cal.fits"
    calibrate_exposure(rate, target, references=references["NIRCAM"], step=NO_WCS)
    found, before = planes_of(target), planes_of(rate)
    assert found.keys() == {"SCI", "ERR", "DQ", "AREA", "VAR_FLAT"}
    f = cut(references["NIRCAM"]["flat"], "SCI").astype(float)
    f[BAD_FLAT] = np.nan
    expected = np.sqrt((before["ERR"] / f * FACTOR) ** 2 + found["VAR_FLAT"])
    assert_allclose(found["ERR"], expected, rtol=1e-6)


def test_units_and_flat_can_be_put_back(tmp_path, references):
    files = references["NIRCAM"]
    rate = write_rate(tmp_path / "jw1_rate.fits")
    cal, back = tmp_path / "jw1_cal.fits", tmp_path / "jw1_rate2.fits"
    calibrate_exposure(rate, cal, references=files, step=NO_WCS)
    inverse = {**NO_WCS, "flat_field": {"inverse": True}, "photom": {"inverse": True}}
    calibrate_exposure(cal, back, references=files, step=inverse)
    assert header(back, "SCI")["BUNIT"] == "DN/s"
    before, after = planes_of(rate), planes_of(back)
    good = (after["DQ"] & DO_NOT_USE) == 0
    assert good.sum() > 1000
    for name in ("SCI", "VAR_POISSON", "VAR_RNOISE"):
        assert_allclose(after[name][good], before[name][good], rtol=2e-6)


# --- background ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def background(tmp_path_factory):
    folder = tmp_path_factory.mktemp("background")
    paths = [write_rate(folder / f"jw2_{n}_rate.fits", place=WHOLE, seed=10 + n) for n in range(3)]
    target = folder / "sky_combinedbackground.fits"
    combine_backgrounds(paths, target)
    return target, paths


@pytest.mark.parametrize("ints", [None, 2])
def test_a_background_is_subtracted_first(tmp_path, references, background, ints):
    rate = write_rate(tmp_path / "jw1_rate.fits", ints=ints)
    target, bsub = tmp_path / "jw1_cal.fits", tmp_path / "jw1_bsub.fits"
    files = references["NIRCAM"]
    calibrate_exposure(rate, target, references=files, background=background[0], step=NO_WCS)
    subtract_background(rate, bsub, background=background[0])
    before, after = planes_of(rate), planes_of(bsub)
    sky = {name: cut(background[0], name).astype(float) for name in ("SCI", "ERR", "VAR_RNOISE")}
    good = (after["DQ"] & DO_NOT_USE) == 0
    assert good.mean() > 0.99
    for name, expected in (
        ("SCI", before["SCI"] - sky["SCI"]),
        ("ERR", np.sqrt(before["ERR"].astype(float) ** 2 + sky["ERR"] ** 2)),
        ("VAR_RNOISE", before["VAR_RNOISE"] + sky["VAR_RNOISE"]),
    ):
        assert_allclose(after[name][good], expected[good], rtol=1e-6)
    assert after.keys() == before.keys()
    primary = header(bsub)
    assert (primary["S_BKDSUB"], primary["FILENAME"]) == ("COMPLETE", "jw1_bsub.fits")
    assert {"S_FLAT", "R_FLAT", "S_WCS"}.isdisjoint(primary)
    assert header(bsub, "SCI")["BUNIT"] == "DN/s"
    assert is_consistent(bsub)
    assert header(target)["S_BKDSUB"] == "COMPLETE"
    assert_expected(target, expected_planes(bsub, files["flat"]))
    notes = read_notes(target)["bkg_subtract"]
    assert notes["exposures"] == ["jw2_0", "jw2_1", "jw2_2"]
    assert abs(notes["level"] - 1) < 0.02


def test_pixels_without_background_are_lost_and_told(tmp_path, references, background, caplog):
    lost = tmp_path / "lost_combinedbackground.fits"
    with fits.open(background[0]) as hdus:
        hdus["SCI"].data[PLACE[1] - 1 + 9, PLACE[0] - 1 + 9] = np.nan
        hdus["DQ"].data[PLACE[1] - 1 + 9, PLACE[0] - 1 + 9] = DO_NOT_USE
        hdus.writeto(lost)
    rate = write_rate(tmp_path / "jw1_rate.fits")
    target = tmp_path / "jw1_cal.fits"
    calibrate_exposure(rate, target, references=references["NIRCAM"], background=lost, step=NO_WCS)
    found = planes_of(target)
    assert np.isnan(found["SCI"][9, 9])
    assert found["DQ"][9, 9] & DO_NOT_USE
    assert "1 good pixels have no background" in caplog.text
    assert read_notes(target)["bkg_subtract"]["pixels_lost"] == 1


@pytest.mark.parametrize("how", ["skip", "series", "tsimage"])
def test_backgrounds_are_not_for_all(tmp_path, references, background, how):
    def change(model):
        if how == "series":
            model.meta.visit.tsovisit = True
        if how == "tsimage":
            model.meta.exposure.type = "NRC_TSIMAGE"

    rate = write_rate(tmp_path / "jw1_rateints.fits", ints=2, change=change)
    step = {**NO_WCS, "bkg_subtract": {"skip": how == "skip"}}
    target, files = tmp_path / "jw1_calints.fits", references["NIRCAM"]
    calibrate_exposure(rate, target, references=files, background=background[0], step=step)
    assert header(target)["S_BKDSUB"] == "SKIPPED"
    assert_expected(target, expected_planes(rate, files["flat"]))


def test_a_real_background_without_errors(tmp_path, real_data):
    """Values cannot be told from outliers if nothing is known of their errors."""
    folder = real_data / "references" / "test_rate"
    target = tmp_path / "sky_combinedbackground.fits"
    with pytest.raises(InputError, match="has neither errors nor variances"):
        combine_backgrounds([folder / "jw01000005001_testbg_mirimage.fits"], target)
    rate, cal = folder / "jw01000005001_test_mirimage_rate.fits", tmp_path / "jw1_cal.fits"
    calibrate_exposure(rate, cal, references={})
    assert_array_equal(planes_of(cal)["SCI"], planes_of(rate)["SCI"])


def test_one_integration_is_no_series(tmp_path, references, background):
    def change(model):
        model.meta.visit.tsovisit = True

    rate = write_rate(tmp_path / "jw1_rateints.fits", ints=1, change=change)
    target = tmp_path / "jw1_calints.fits"
    calibrate_exposure(rate, target, references={}, background=background[0])
    assert header(target)["S_BKDSUB"] == "COMPLETE"


# --- what is refused -----------------------------------------------------------------------------


def refused(words, rate, target, references, **how):
    with pytest.raises(InputError) as error:
        calibrate_exposure(
            rate, target, references=references, step=NO_WCS | how.pop("step", {}), **how
        )
    message = str(error.value)
    assert words in message
    assert "\n" not in message
    assert len(message) < 400
    assert not target.exists()


def test_exposures_that_are_no_count_rate(tmp_path, references, cal):
    files, target = references["NIRCAM"], tmp_path / "jw9_cal.fits"
    refused("is in MJy/sr, not DN/s: give a _rate", cal[1], target, files)
    inverse = {"photom": {"inverse": True}}
    refused("is in DN/s, not MJy/sr: give a _cal", cal[0], target, files, step=inverse)
    refused("is divided by a flat field already: set", cal[1], target, files, step=inverse)
    refused("has no SCI extension: give a _rate", files["photom"], target, files)
    empty = tmp_path / "empty_rateints.fits"
    with fits.open(write_rate(tmp_path / "full_rateints.fits", ints=2)) as hdus:
        for name in ("SCI", "ERR", "DQ", "VAR_POISSON", "VAR_RNOISE"):
            hdus[name].data = hdus[name].data[:0]
        hdus.writeto(empty)
    refused("SCI has 0 integrations: give a _rate", empty, target, files)
    cut_short = tmp_path / "cut_rate.fits"
    cut_short.write_bytes(cal[0].read_bytes()[:20000])
    refused("is cut short", cut_short, target, files)
    refused("there is no such file", tmp_path / "none_rate.fits", target, files)
    unitless = write_rate(tmp_path / "u_rate.fits")
    with fits.open(unitless, mode="update") as hdus:
        del hdus["SCI"].header["BUNIT"]
        hdus[0].header["S_PHOTOM"] = "COMPLETE"
    refused("is in MJy/sr, not DN/s", unitless, target, files)

    def flat(model):  # as that of interferometry is
        model.meta.cal_step.flat_field = "COMPLETE"

    flat_rate = write_rate(tmp_path / "f_rate.fits", change=flat)
    refused("is divided by a flat field already: give a _rate", flat_rate, target, files)


def test_reference_files_that_are_none(tmp_path, references, cal):
    files, target, rate = references["NIRCAM"], tmp_path / "jw9_cal.fits", cal[0]

    def lost(model):
        model.data[:] = np.nan

    nan = write_flat(tmp_path / "nan.fits", change=lost)
    small = write_flat(tmp_path / "small.fits", place=(11, 21, 40, 29))
    cut_short = tmp_path / "cut.fits"
    cut_short.write_bytes(files["flat"].read_bytes()[:12000])
    other = references["MIRI"]["photom"]
    for changed, words in (
        ({"flat": nan}, "has no good pixel where the exposure is: give a FLAT"),
        ({"flat": small}, "40 × 29 pixels at (11, 21), the exposure 40 × 30"),
        ({"flat": cut_short}, "is cut short: fetch it again"),
        ({"flat": files["photom"]}, "has no SCI extension: give a FLAT"),
        ({"photom": other}, "has no column pupil: give a PHOTOM"),
        ({"photom": files["flat"]}, "has no PHOTOM table"),
        ({"area": files["photom"]}, "has no SCI extension: give an AREA"),
        ({"area": tmp_path / "none.fits"}, "there is no such file"),
    ):
        refused(words, rate, target, files | changed)


def test_backgrounds_of_something_else(tmp_path, references, background, cal):
    files, target = {"flat": references["NIRCAM"]["flat"]}, tmp_path / "jw9_cal.fits"
    for words, change in (
        ("FILTER is F356W, in", lambda model: setattr(model.meta.instrument, "filter", "F444W")),
        ("DETECTOR is NRCALONG, in", lambda m: setattr(m.meta.instrument, "detector", "NRCBLONG")),
        ("PUPIL is CLEAR, in", lambda m: setattr(m.meta.instrument, "pupil", "F323N")),
    ):
        rate = write_rate(tmp_path / "jw9_rate.fits", change=change)
        refused(words, rate, target, files, background=background[0])
    rate = write_rate(tmp_path / "jw9_rate.fits", place=(30, 45, 40, 30))
    refused("give backgrounds that cover", rate, target, {}, background=background[0])
    rate = write_rate(tmp_path / "jw9_rate.fits")
    refused("has no notes of snakewebb", rate, target, files, background=background[1][0])
    refused("is no combined background", rate, target, files, background=cal[1])
    bsub = tmp_path / "jw8_bsub.fits"
    subtract_background(rate, bsub, background=background[0])
    refused("has no background any more", bsub, target, files, background=background[0])
    own = write_rate(tmp_path / "jw2_1_rate.fits")
    refused("is among its own background", own, target, files, background=background[0])


def test_options_that_there_are_not(cal, tmp_path, references):
    files, target = references["NIRCAM"], tmp_path / "jw9_cal.fits"
    refused("no option invert", cal[0], target, files, step={"flat_field": {"invert": True}})
