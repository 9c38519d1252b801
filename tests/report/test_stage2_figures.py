"""What the report says of stage 2: a page, and pictures of backgrounds."""

import re

import numpy as np
import pytest
from astropy.io import fits
from matplotlib.image import imread
from scipy import ndimage

from rates import write_flat, write_photom, write_rate
from snakewebb.io.dq import DO_NOT_USE
from snakewebb.jobs.background import combine_backgrounds
from snakewebb.jobs.cal import calibrate_exposure
from snakewebb.report.stage2_figures import _subtracted as subtracted
from snakewebb.report.stage2_figures import plot_backgrounds, write_status

PLACE = (11, 21, 200, 150)
ROW = {"filter": "F356W", "pupil": "CLEAR", "photmjsr": 0.375}


@pytest.fixture
def background(tmp_path):
    paths = [write_rate(tmp_path / f"sky{n}_rate.fits", seed=n, place=PLACE) for n in range(3)]
    combine_backgrounds(paths, tmp_path / "sky_combinedbackground.fits")
    return tmp_path / "sky_combinedbackground.fits"


def rows(page):
    """Return the texts in the cells of a table's rows."""
    body = page.split("<tbody>")[1]
    return [
        [re.sub("<[^>]*>", "", cell) for cell in re.findall("<td.*?</td>", row)]
        for row in body.split("<tr>")[1:]
    ]


def test_the_page_tells_what_was_done_with_which_files(tmp_path, background):
    references = {
        "flat": write_flat(tmp_path / "a_flat.fits", place=PLACE),
        "photom": write_photom(tmp_path / "a_photom.fits", rows=[ROW]),
    }
    cal, plain = tmp_path / "jw1_cal.fits", tmp_path / "jw2_cal.fits"
    names = {"flat": "crds://<flat>"}
    rate = write_rate(tmp_path / "jw1_rate.fits", place=PLACE)
    how = {"step": {"assign_wcs": {"skip": True}}}
    calibrate_exposure(rate, cal, references=references, names=names, background=background, **how)
    calibrate_exposure(rate, plain, references={"photom": references["photom"]}, **how)
    write_status([cal, plain], tmp_path / "status.html")
    page = (tmp_path / "status.html").read_text()
    first, second = rows(page)
    assert first[0] == "jw1"
    assert first[1:3] == ["COMPLETE", "3"]
    assert float(first[3]) == pytest.approx(1.0, abs=0.02)  # the level of the sky
    assert first[5] == "SKIPPED"
    assert first[8:13] == ["COMPLETE", "crds://&lt;flat&gt;", "COMPLETE", "a_photom.fits", "0.375"]
    assert first[13] == "assign_wcs: skip is set"
    assert second[:5] == ["jw2", "", "", "", ""]  # no background
    assert second[8:10] == ["SKIPPED", ""]
    assert "flat_field: there is no FLAT reference file" in second[13]
    assert '2 <span class="COMPLETE">COMPLETE</span>' in page.split("<b>photom</b>")[1][:60]


@pytest.mark.parametrize("ints", [None, 3])
def test_what_is_drawn_is_the_difference(tmp_path, background, ints):
    """Of a part of the background's detector; a pixel without a value warns nobody."""
    place = (31, 41, 60, 50)

    def dead(model):
        model.data[..., 7, 8], model.dq[..., 7, 8] = np.nan, DO_NOT_USE

    rate = write_rate(tmp_path / "jw1_rate.fits", place=place, ints=ints, sky=5.0, change=dead)
    before, after = subtracted(rate, background)
    with fits.open(rate) as hdus, fits.open(background) as sky:
        data = hdus["SCI"].data.reshape(-1, 50, 60)
        expected = data.mean(axis=0) - sky["SCI"].data[20:70, 20:80]
    good = np.isfinite(expected)
    assert 0.99 < good.mean() < 1
    np.testing.assert_allclose(after[good], expected[good], rtol=1e-5)
    assert np.isnan(before[7, 8])
    assert np.nanmedian(after) == pytest.approx(4.0, abs=0.02)


@pytest.mark.parametrize(("number", "panels"), [(1, 2), (3, 6), (6, 8)])
def test_pictures_before_and_after(tmp_path, background, number, panels):
    rates = [write_rate(tmp_path / f"jw{n}_rate.fits", place=PLACE, seed=n) for n in range(number)]
    path = tmp_path / "backgrounds.png"
    plot_backgrounds(path, exposures=rates, backgrounds=[background] * number)
    page = imread(path)[..., :3]
    # What is left where a square of 40 pixels has no white are the pictures.
    full = ndimage.binary_erosion((page < 0.99).any(axis=-1), np.ones((40, 40)))
    assert ndimage.label(full)[1] == panels
