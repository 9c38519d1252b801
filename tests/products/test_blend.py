from pathlib import Path

import numpy as np
import pytest
import shapely
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal
from stdatamodels.jwst.datamodels import ImageModel

from snakewebb.errors import InputError
from snakewebb.io import make_schema_table, schema_table
from snakewebb.io.schema import attributes
from snakewebb.products import blend
from snakewebb.wcs.grid import Grid

GRID = Grid((53.0, -27.0), (100.0, 80.0), 1e-5, ((-1.0, 0.0), (0.0, 1.0)), (160, 200))
FULL = {
    "meta.observation.date": "2023-01-02",
    "meta.observation.time": "00:10:00.000",
    "meta.instrument.detector": "NRCA1",
    "meta.instrument.filter": "F200W",
    "meta.exposure.start_time": 60000.0,
    "meta.exposure.mid_time": 60000.5,
    "meta.exposure.end_time": 60001.0,
    "meta.exposure.exposure_time": 100.0,
    "meta.exposure.measurement_time": 95.0,
    "meta.exposure.duration": 110.0,
    "meta.observation.exposure_number": "1",
    "meta.cal_step.tweakreg": "COMPLETE",
}


def other(**values):
    """Return metadata of another exposure; names are those after the last dot."""
    names = {name.rpartition(".")[2]: name for name in FULL}
    return FULL | {names[key]: value for key, value in values.items()}


def corners(x0, y0, x1, y1):
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], float)


def in_pixels(region, grid=GRID):
    """Return the polygons of a region in pixels."""
    numbers = [np.array(text.split()[1:], float) for text in region.split("POLYGON")[1:]]
    return [np.column_stack(grid.sky_to_pixel(n[::2], n[1::2])) for n in numbers]


def test_values_follow_their_rules():
    rows = [
        FULL,
        other(detector="NRCA2", start_time=59999.0, mid_time=60002.0, end_time=60004.0),
        other(exposure_number="2", start_time=60000.5, mid_time=60002.5),
    ]
    blended = blend.blend(rows)
    assert blended["meta.instrument.detector"] == "MULTIPLE"
    assert blended["meta.instrument.filter"] == "F200W"
    assert blended["meta.exposure.start_time"] == 59999.0
    assert blended["meta.exposure.end_time"] == 60004.0
    assert blended["meta.exposure.mid_time"] == pytest.approx(60001.66666666667)
    assert blended["meta.observation.exposure_number"] == "1"


def test_date_and_time_are_those_of_one_exposure():
    before_midnight = other(date="2023-01-01", time="23:50:00.000")
    blended = blend.blend([FULL, before_midnight])
    assert blended["meta.observation.date"] == "2023-01-01"
    assert blended["meta.observation.time"] == "23:50:00.000"


def test_keywords_are_those_of_the_schema():
    """Otherwise: make docs."""
    assert Path(schema_table.__file__).read_text() == make_schema_table.module()


def test_what_blending_makes_is_in_the_schema():
    model = ImageModel()
    for attribute in attributes():
        made = {"multi": blend.MULTIPLE, "wheeltol": blend.OUTSIDE, "status": "FAILED"}
        if attribute.rule in made:
            model[attribute.name] = made[attribute.rule]  # or there is a warning


def test_every_rule_of_the_schema_is_known():
    assert {a.rule for a in attributes()} - {None} <= set(blend.RULES)
    assert {a.kind for a in attributes()} - {""} <= set(blend.KINDS)
    assert blend.RULES["wheeltol"](["within commanded tolerance", blend.OUTSIDE]) == blend.OUTSIDE
    keys = [(a.hdu, a.keyword) for a in attributes()]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (["COMPLETE", "FAILED", "SKIPPED"], "FAILED"),
        (["SKIPPED", "COMPLETE"], "COMPLETE"),
        (["SKIPPED", "SKIPPED"], "SKIPPED"),
    ],
)
def test_a_step_that_failed_anywhere_failed(statuses, expected):
    rows = [other(tweakreg=status) for status in statuses]
    assert blend.blend(rows)["meta.cal_step.tweakreg"] == expected
    assert sum(blend.status_counts(rows)["tweakreg"].values()) == len(rows)
    assert "skymatch" not in blend.status_counts(rows)


def test_exposure_times_are_summed_once_a_group():
    rows = [FULL, other(detector="NRCA2"), other(exposure_time=50.0)]
    totals = blend.exposure_totals(rows, ["a", "a", "b"])
    assert totals["meta.resample.pointings"] == 2
    assert totals["meta.exposure.exposure_time"] == 150.0
    assert totals["meta.exposure.effective_exposure_time"] == 150.0
    assert totals["meta.exposure.measurement_time"] == 190.0
    assert totals["meta.exposure.elapsed_exposure_time"] == totals["meta.exposure.duration"] == 220


def test_a_sum_with_a_missing_addend_is_none():
    bare = {k: v for k, v in FULL.items() if k != "meta.exposure.measurement_time"}
    totals = blend.exposure_totals([FULL, bare], ["a", "b"])
    assert totals["meta.exposure.measurement_time"] is None
    assert totals["meta.exposure.exposure_time"] == 200.0


def test_the_table_has_a_row_for_each_exposure_and_gaps_are_marked():
    rows = [
        {"meta.filename": "a.fits", "meta.exposure.nints": 1, "meta.hga_move": False},
        {"meta.filename": "longer.fits", "meta.exposure.nints": 2, "meta.hga_move": True},
        {"meta.exposure.start_time": 5.0, "meta.exposure.nints": 3, "meta.hga_move": True},
    ]
    table = blend.header_table(rows)
    assert table.dtype.names == ("FILENAME", "HGA_MOVE", "EXPSTART", "NINTS")
    assert_array_equal(table["FILENAME"], ["a.fits", "longer.fits", ""])
    assert_array_equal(table["EXPSTART"], [np.nan, np.nan, 5.0])
    assert_array_equal(table["NINTS"], [1, 2, 3])
    assert table["HGA_MOVE"].dtype == bool


def test_metadata_are_read_from_headers(tmp_path):
    model = ImageModel(data=np.ones((3, 3), np.float32))
    model.meta.exposure.start_time = 59005.0
    model.meta.exposure.start_time_mjd = 59006.0
    model.meta.program.title = "A title too long for one card of a FITS header " * 3
    model.meta.visit.tsovisit = False
    model.meta.bunit_data, model.meta.bunit_err = "MJy/sr", "DN/s"
    model.save(tmp_path / "a_crf.fits")
    values = blend.read_metadata(tmp_path / "a_crf.fits")
    assert values["meta.exposure.start_time"] == 59005.0
    assert values["meta.exposure.start_time_mjd"] == 59006.0
    assert values["meta.program.title"] == model.meta.program.title.strip()
    assert values["meta.visit.tsovisit"] is False
    assert values["meta.bunit_data"] == "MJy/sr"
    assert "meta.target.ra" not in values
    fits.PrimaryHDU().writeto(tmp_path / "empty.fits")
    with pytest.raises(InputError, match="no SCI"):
        blend.read_metadata(tmp_path / "empty.fits")


def test_the_region_is_the_union_within_the_frame():
    region = blend.union_region([corners(20, 20, 60, 50), corners(50, 40, 300, 90)], GRID)
    (found,) = in_pixels(region)
    expected = shapely.union(shapely.box(20, 20, 60, 50), shapely.box(50, 40, 199.5, 90))
    difference = shapely.symmetric_difference(shapely.Polygon(found), expected)
    assert difference.area < 0.05
    assert len(found) == 8


def test_a_region_in_parts_keeps_them_all():
    boxes = [(10, 10, 30, 30), (60, 60, 80, 80), (20, 10, 50, 30)]
    region = blend.union_region([corners(*box) for box in boxes], GRID)
    areas = sorted(shapely.Polygon(outline).area for outline in in_pixels(region))
    assert_allclose(areas, [400, 800], rtol=1e-4)


@pytest.mark.parametrize("parity", [-1.0, 1.0])
def test_regions_run_counterclockwise_on_the_sky(parity):
    grid = Grid((53.0, -27.0), (100.0, 80.0), 1e-5, ((parity, 0.0), (0.0, 1.0)), (160, 200))
    region = blend.union_region([corners(20, 20, 60, 50)], grid)
    ra, dec = np.array(region.split()[2:], float).reshape(-1, 2).T
    ra, dec = (ra - 53) * np.cos(np.radians(27)), dec + 27
    # With East to the left, the axes are (-ra, dec).
    assert shapely.LinearRing(np.column_stack((-ra, dec))).is_ccw


def test_a_region_outside_the_frame_is_none():
    assert blend.union_region([corners(300, 20, 400, 50)], GRID) is None
    assert blend.union_region([], GRID) is None
