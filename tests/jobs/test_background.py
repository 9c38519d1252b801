"""Background exposures, from files to a file."""

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal
from stdatamodels.jwst.datamodels import ImageModel

from agreement import header, is_consistent
from rates import write_rate
from snakewebb.calibration.background import combine
from snakewebb.errors import InputError
from snakewebb.io.dq import DO_NOT_USE
from snakewebb.io.provenance import read_notes
from snakewebb.jobs import background as job
from snakewebb.jobs.background import combine_backgrounds

PLACE = (11, 21, 200, 150)
NAMES = ("SCI", "ERR", "DQ", "VAR_POISSON", "VAR_RNOISE")
BAD = (3, 4)
"""A pixel that is bad in all rates."""


def planes_of(path):
    with fits.open(path) as hdus:
        return {name: hdus[name].data.copy() for name in NAMES if name in hdus}


def star(model, x, y, flux=5.0):
    """Something as wide as a star."""
    ny, nx = model.data.shape[-2:]
    gy, gx = np.mgrid[:ny, :nx]
    model.data += (flux * np.exp(-((gx - x) ** 2 + (gy - y) ** 2) / 8)).astype(np.float32)


def rates(folder, number=3, **how):
    how = {"place": PLACE, **how}
    return [write_rate(folder / f"jw{n}_rate.fits", seed=n, **how) for n in range(1, number + 1)]


def test_exposures_are_averaged(tmp_path):
    paths = rates(tmp_path)
    target = tmp_path / "sky_combinedbackground.fits"
    combine_backgrounds(paths, target)
    stack = {name: np.array([planes_of(path)[name] for path in paths]) for name in NAMES}
    found = planes_of(target)
    mean = stack["SCI"].mean(axis=0, dtype=float)
    few = np.abs(stack["SCI"] - mean).max(axis=0) < 0.05  # no outlier by chance
    assert few.mean() > 0.4
    assert_allclose(found["SCI"][few], mean[few], rtol=1e-5)
    for name in ("VAR_POISSON", "VAR_RNOISE"):
        expected = stack[name].sum(axis=0, dtype=float) / 9
        assert_allclose(found[name][few], expected[few], rtol=1e-5)
    assert found["DQ"][BAD] & DO_NOT_USE
    assert np.isnan(found["SCI"][BAD])
    notes = read_notes(target)["bkg_subtract"]
    assert notes["exposures"] == ["jw1", "jw2", "jw3"]
    assert notes["parameters"] == {"sigma": 3.0}
    assert notes["without_value"] == 1
    assert_allclose(notes["level"], np.nanmedian(found["SCI"]), rtol=1e-6)
    assert_allclose(notes["variance"], np.nanmedian(found["ERR"] ** 2), rtol=1e-5)
    assert np.ptp(notes["levels"]) < 0.01
    assert 0 <= notes["rejected"] < 0.02


def test_it_is_an_image_with_the_metadata_of_the_first(tmp_path):
    paths = rates(tmp_path, 2, ints=2)
    target = tmp_path / "sky_combinedbackground.fits"
    combine_backgrounds(paths, target)
    with fits.open(target) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", *NAMES, "ASDF"]
    with ImageModel(target) as model:
        assert model.meta.model_type == "ImageModel"
        assert model.meta.instrument.detector == "NRCALONG"
        assert model.meta.subarray.xsize == PLACE[2]
        assert model.data.shape == model.var_rnoise.shape == (PLACE[3], PLACE[2])
        model.validate()


def test_a_star_in_one_exposure_is_not_in_the_background(tmp_path):
    paths = [
        write_rate(
            tmp_path / f"jw{n}_rate.fits",
            place=PLACE,
            seed=n,
            change=lambda model, n=n: star(model, 50 + 60 * n, 70),
        )
        for n in range(2)
    ]
    target = tmp_path / "sky_combinedbackground.fits"
    combine_backgrounds(paths, target)
    sky = planes_of(target)["SCI"]
    for x in (50, 110):
        assert abs(np.nanmean(sky[66:75, x - 4 : x + 5]) - 1) < 0.03
    # The faint wings count, too: nothing is left of them around the star.
    assert abs(np.nanmedian(sky[60:81, 40:61]) - np.nanmedian(sky)) < 0.01


def test_what_is_masked_in_one_does_not_show(tmp_path):
    """Though the sky of exposures differs by many times their noise."""
    paths = [
        write_rate(
            tmp_path / f"jw{n}_rate.fits",
            place=PLACE,
            seed=n,
            sky=sky,
            change=lambda model, n=n: star(model, 40 + 60 * n, 70, flux=50.0),
        )
        for n, sky in enumerate((1.0, 2.0, 4.0))
    ]
    target = tmp_path / "sky_combinedbackground.fits"
    combine_backgrounds(paths, target)
    sky = planes_of(target)["SCI"]
    assert_allclose(np.nanmedian(sky), 7 / 3, atol=0.01)
    assert_allclose(read_notes(target)["bkg_subtract"]["levels"], (1, 2, 4), atol=0.01)
    for x in (40, 100, 160):
        assert abs(np.nanmedian(sky[60:81, x - 10 : x + 11]) - 7 / 3) < 0.02


def test_what_all_exposures_have_is_background(tmp_path):
    """Stray light, as of MIRI's coronagraphs."""
    paths = rates(tmp_path, 2, change=lambda model: star(model, 90, 70))
    target = tmp_path / "sky_combinedbackground.fits"
    combine_backgrounds(paths, target)
    assert_allclose(planes_of(target)["SCI"][70, 90], 6.0, rtol=0.05)


def test_the_only_exposure_keeps_its_stars_and_tells(tmp_path, caplog):
    paths = rates(tmp_path, 1, change=lambda model: star(model, 90, 70))
    target = tmp_path / "sky_combinedbackground.fits"
    combine_backgrounds(paths, target)
    assert_allclose(planes_of(target)["SCI"][70, 90], 6.0, rtol=0.05)
    assert "is the only background exposure: its sources, on " in caplog.text


def test_cubes_count_by_their_means(tmp_path):
    cube = write_rate(tmp_path / "jw1_rateints.fits", place=PLACE, ints=4)
    with fits.open(cube, mode="update") as hdus:
        hdus["SCI"].data[1, 30, 40] = 100  # a cosmic ray in an integration
    image = write_rate(tmp_path / "jw2_rate.fits", place=PLACE, seed=5)
    target = tmp_path / "sky_combinedbackground.fits"
    combine_backgrounds([cube, image], target)
    one, other = combine(planes_of(cube)).planes, planes_of(image)
    stack = {name: np.array([one[name], other[name]]) for name in NAMES}
    found, expected = planes_of(target), combine(stack).planes
    assert found["SCI"][30, 40] < 2
    good = np.isfinite(found["SCI"])
    assert np.isclose(found["SCI"][good], expected["SCI"][good], rtol=1e-5).mean() > 0.95
    assert np.median(found["VAR_RNOISE"][good] / expected["VAR_RNOISE"][good]) == 1


def test_parts_of_the_detector_are_put_where_they_are(tmp_path):
    places = [(11, 21, 100, 90), (31, 11, 100, 80)]
    paths = [
        write_rate(tmp_path / f"jw{n}_rate.fits", place=place, seed=n, sky=1.0)
        for n, place in enumerate(places)
    ]
    target = tmp_path / "sky_combinedbackground.fits"
    combine_backgrounds(paths, target)
    found = planes_of(target)
    first = header(target)
    assert [first[f"SUB{key}"] for key in ("STRT1", "STRT2", "SIZE1", "SIZE2")] == [
        11,
        11,
        120,
        100,
    ]
    assert found["SCI"].shape == (100, 120)
    one, other = (planes_of(path)["SCI"] for path in paths)
    # Where only one is, its level is that of both.
    levels = read_notes(target)["bkg_subtract"]["levels"]
    shift = 0.5 * (levels[1] - levels[0])
    assert 1e-5 < abs(shift) < 0.01
    assert_allclose(found["SCI"][50, :20], one[40, :20] + shift, rtol=1e-6)
    assert_allclose(found["SCI"][:10, 30:], other[:10, 10:] - shift, rtol=1e-6)
    near = 0.5 * (one[20:70, 30:90] + other[30:80, 10:70])
    assert np.mean(np.isclose(found["SCI"][30:80, 30:90], near, rtol=1e-5)) > 0.95
    assert np.isnan(found["SCI"][:10, :20]).all()
    assert (found["DQ"][:10, :20] == DO_NOT_USE).all()
    assert is_consistent(target)


def test_bands_make_no_difference(tmp_path, monkeypatch):
    paths = rates(tmp_path, 2)
    paths.append(write_rate(tmp_path / "jw3_rateints.fits", place=(11, 31, 200, 150), ints=2))
    whole, bands = tmp_path / "a_combinedbackground.fits", tmp_path / "b_combinedbackground.fits"
    combine_backgrounds(paths, whole)
    monkeypatch.setattr(job, "PIXEL", job.PIXEL * 1000)
    combine_backgrounds(paths, bands)
    for name, plane in planes_of(whole).items():
        assert_array_equal(planes_of(bands)[name], plane)


def test_errors_alone_do(tmp_path):
    paths = rates(tmp_path, 2, variances=False)
    target = tmp_path / "sky_combinedbackground.fits"
    combine_backgrounds(paths, target)
    found = planes_of(target)
    assert found.keys() == {"SCI", "ERR", "DQ"}
    before = [planes_of(path)["ERR"].astype(float) for path in paths]
    expected = np.hypot(*before) / 2
    assert np.nanmean(np.isclose(found["ERR"], expected, rtol=1e-5)) > 0.95


def test_an_exposure_given_twice_counts_once(tmp_path, caplog):
    paths = rates(tmp_path)
    target = tmp_path / "sky_combinedbackground.fits"
    combine_backgrounds([*paths, paths[0]], target)
    assert read_notes(target)["bkg_subtract"]["exposures"] == ["jw1", "jw2", "jw3"]
    assert "jw1_rate.fits: is given twice" in caplog.text


def refused(words, exposures, target, **how):
    with pytest.raises(InputError) as error:
        combine_backgrounds(exposures, target, **how)
    message = str(error.value)
    assert words in message
    assert "\n" not in message
    assert not target.exists()


def test_what_is_refused(tmp_path):
    paths, target = rates(tmp_path, 2), tmp_path / "sky_combinedbackground.fits"

    def other(model):
        model.meta.instrument.filter = "F444W"

    def calibrated(model):
        model.meta.bunit_data = "MJy/sr"

    def dead(model):
        model.dq[:] |= DO_NOT_USE

    def unsure(model):
        model.err[:] = model.var_poisson[:] = model.var_rnoise[:] = 0

    def made(change):
        return write_rate(tmp_path / "jw9_rate.fits", place=PLACE, change=change)

    refused("FILTER is F444W, in", [*paths, made(other)], target)
    refused("is in MJy/sr, not DN/s", [*paths, made(calibrated)], target)
    refused("has no good pixel: leave it out", [*paths, made(dead)], target)
    refused("has neither errors nor variances", [*paths, made(unsure)], target)
    refused("there is no background exposure: give one", [], target)
    refused("no option sigmas", paths, target, step={"sigmas": 2})
    with fits.open(paths[1], mode="update") as hdus:
        del hdus[0].header["SUBSTRT1"]
    refused("is no whole detector: mend its header", paths, target)
