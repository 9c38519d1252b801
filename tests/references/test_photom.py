import logging
import math

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal

from rates import EXPMID, PLACE, write_area, write_photom
from snakewebb.errors import InputError
from snakewebb.references.photom import conversion_of, read_area
from snakewebb.references.subarrays import Subarray

NIRCAM = {"INSTRUME": "NIRCAM", "FILTER": "F356W", "PUPIL": "CLEAR", "SUBARRAY": "FULL"}
MIRI = {"INSTRUME": "MIRI", "FILTER": "F1140C", "SUBARRAY": "MASK1140"}
TIME = {"EXPMID": str(EXPMID)}
ROWS = [
    {"filter": "F356W", "pupil": "F323N", "photmjsr": 9.0},
    {"filter": "f356w ", "pupil": "CLEAR", "photmjsr": 0.375},
    {"filter": "F444W", "pupil": "CLEAR", "photmjsr": 8.0},
]
PLACED = Subarray(*PLACE)
T0 = 59750.0
LINEAR = {"t0": T0, "lossperyear": 0.02}
EXPONENTIAL = {"t0": T0, "amplitude": 0.25, "tau": 200.0, "const": 0.75}
POWER = {"t0": T0, "year1value": 0.95, "tsoft": 1.5, "alpha": -0.05}
T = EXPMID - T0


def f4(value):
    return float(np.float32(value))


def throughput(names):
    """IMAGE2 5.2, of what float32 makes of the coefficients."""
    found = 1.0
    if "linear" in names:
        found *= 1 - f4(0.02) * T / 365
    if "exponential" in names:
        found *= 0.25 * math.exp(-T / 200) + 0.75
    if "powerlaw" in names:
        found *= f4(0.95) * ((T + 1.5) / 366.5) ** f4(-0.05)
    return found


TABLES = {"linear": LINEAR, "exponential": EXPONENTIAL, "powerlaw": POWER}
DECOY = {"t0": 0.0, "lossperyear": 5.0, "amplitude": 7.0, "tau": 1.0, "const": 1.0,
         "year1value": 3.0, "tsoft": 1.0, "alpha": 1.0}  # fmt: skip


def timed(names, instrument="NIRCAM", rows=ROWS, at=1):
    return {
        f"timecoeff_{name}": [
            TABLES[name] if row == at else {key: DECOY[key] for key in TABLES[name]}
            for row in range(len(rows))
        ]
        for name in names
    }


def test_a_row_of_nircam(tmp_path):
    path = write_photom(tmp_path / "photom.fits", rows=ROWS)
    found = conversion_of(path, NIRCAM)
    assert found.mjsr == 0.375
    assert_allclose(found.microjanskys, 0.375 * 23.504430539, rtol=1e-9)
    assert found.notes["time_correction"] == 1
    assert found.notes["row"]["pupil"] == "CLEAR"


def test_a_row_of_nircam_by_subarray(tmp_path):
    rows = [
        {"filter": "F356W", "pupil": "CLEAR", "subarray": "SUB64P", "photmjsr": 3.0},
        {"filter": "F356W", "pupil": "CLEAR", "subarray": "FULL", "photmjsr": 0.25},
    ]
    path = tmp_path / "photom.fits"
    write_photom(path, rows=[{k: v for k, v in row.items() if k != "subarray"} for row in rows])
    with fits.open(path) as hdus:
        names = np.array([row["subarray"] for row in rows])
        columns = hdus["PHOTOM"].columns + fits.Column("subarray", "12A", array=names)
        table = fits.BinTableHDU.from_columns(columns, name="PHOTOM")
        fits.HDUList([hdus[0].copy(), table]).writeto(path, overwrite=True)
    assert conversion_of(path, NIRCAM).mjsr == 0.25
    with pytest.raises(InputError, match="no row for filter F356W, pupil CLEAR, subarray SUB400P"):
        conversion_of(path, NIRCAM | {"SUBARRAY": "SUB400P"})


@pytest.mark.parametrize(("subarray", "value"), [("MASK1140", 5.0), ("SUB64", 4.0)])
def test_a_row_of_miri_is_generic_where_there_is_no_other(tmp_path, subarray, value):
    rows = [
        {"filter": "F1140C", "subarray": "GENERIC", "photmjsr": 4.0},
        {"filter": "F1140C", "subarray": "MASK1140", "photmjsr": 5.0},
        {"filter": "F1130W", "subarray": "MASK1140", "photmjsr": 6.0},
    ]
    path = write_photom(tmp_path / "photom.fits", "MIRI", rows=rows)
    assert conversion_of(path, MIRI | {"SUBARRAY": subarray}).mjsr == value


def test_rows_of_niriss_and_fgs(tmp_path):
    niriss = write_photom(
        tmp_path / "nis.fits",
        "NIRISS",
        rows=[
            {"filter": "CLEAR", "pupil": "F150W", "photmjsr": 1.0},
            {"filter": "CLEAR", "pupil": "F200W", "photmjsr": 2.0},
        ],
    )
    header = {"INSTRUME": "NIRISS", "FILTER": "CLEAR", "PUPIL": "F200W"}
    assert conversion_of(niriss, header).mjsr == 2
    fgs = write_photom(tmp_path / "fgs.fits", "FGS", rows=[{"photmjsr": 3.0}, {"photmjsr": 4.0}])
    assert conversion_of(fgs, {"INSTRUME": "FGS"}).mjsr == 3


@pytest.mark.parametrize(
    "names", [["linear"], ["exponential"], ["powerlaw"], ["linear", "exponential", "powerlaw"]]
)
def test_the_factor_follows_the_throughput(tmp_path, names):
    path = write_photom(tmp_path / "photom.fits", rows=ROWS, times=timed(names))
    found = conversion_of(path, NIRCAM | TIME)
    assert_allclose(found.mjsr, 0.375 / throughput(names), rtol=1e-12)
    assert_allclose(found.notes["time_correction"], throughput(names), rtol=1e-12)
    assert abs(found.mjsr / 0.375 - 1) > 1e-3
    # Nothing is asked of the time where it does not matter.
    assert conversion_of(path, NIRCAM, apply_time_correction=False).mjsr == 0.375


def old_table(path, values, name="TIMECOEFF"):
    kinds = dict.fromkeys(values[0], "E")
    columns = [
        fits.Column(key, kind, array=np.array([row[key] for row in values]))
        for key, kind in kinds.items()
    ]
    with fits.open(path, mode="append") as hdus:
        hdus.append(fits.BinTableHDU.from_columns(columns, name=name))
    return path


@pytest.fixture
def old(tmp_path):
    """A MIRI file of before August 2025."""
    rows = [
        {"filter": "F2550W", "subarray": "FULL", "photmjsr": 1.0},
        {"filter": "F1140C", "subarray": "MASK1140", "photmjsr": 0.8},
    ]
    path = write_photom(tmp_path / "photom.fits", "MIRI", rows=rows)
    values = [
        {"amplitude": 3.0, "tau": 1.0, "t0": 1.0},
        {"amplitude": -0.2, "tau": 250.0, "t0": T0},
    ]
    return old_table(path, values)


def test_old_time_coefficients_are_added(old):
    found = conversion_of(old, MIRI | TIME)
    expected = f4(0.8) + f4(-0.2) * math.exp(-T / 250)
    assert_allclose(found.mjsr, expected, rtol=1e-12)
    assert_allclose(found.notes["time_correction"], f4(0.8) / expected, rtol=1e-12)
    assert "TIMECOEFF" in found.notes["time_table"]
    assert conversion_of(old, MIRI, apply_time_correction=False).mjsr == f4(0.8)


def test_new_time_coefficients_go_before_old_ones(tmp_path):
    path = write_photom(tmp_path / "photom.fits", rows=ROWS, times=timed(["linear"]))
    old_table(path, [{"amplitude": 3.0, "tau": 900.0, "t0": T0}] * 3)
    found = conversion_of(path, NIRCAM | TIME).mjsr
    assert_allclose(found, 0.375 / throughput(["linear"]), rtol=1e-12)


def test_a_row_without_amplitude_needs_no_time(tmp_path):
    path = write_photom(tmp_path / "photom.fits", rows=ROWS)
    old_table(path, [{"amplitude": 0.0, "tau": 0.0, "t0": 0.0}] * 3)
    assert conversion_of(path, NIRCAM).mjsr == 0.375


def refused(path, header, words, **how):
    with pytest.raises(InputError) as error:
        conversion_of(path, header, **how)
    message = str(error.value)
    assert words in message
    assert "\n" not in message
    assert message.startswith(str(path))


def test_what_is_no_row_is_told(tmp_path):
    path = write_photom(tmp_path / "photom.fits", rows=[*ROWS, {**ROWS[2], "photmjsr": 1.0}])
    refused(path, NIRCAM | {"FILTER": "F200W"}, "no row for filter F200W, pupil CLEAR: give a")
    refused(path, NIRCAM | {"FILTER": "F444W"}, "2 rows for filter F444W")
    refused(path, {"INSTRUME": "NIRCAM", "FILTER": "F356W"}, "pupil unknown")
    refused(path, {"INSTRUME": "NIRSPEC"}, "the exposure is of NIRSPEC")
    refused(path, MIRI, "has no column subarray: give a PHOTOM reference file for MIRI")
    empty = write_photom(tmp_path / "empty.fits", "FGS", rows=[])
    refused(empty, {"INSTRUME": "FGS"}, "has no")


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_factors_that_are_none(tmp_path, value):
    rows = [{**ROWS[1], "photmjsr": value}]
    path = write_photom(tmp_path / "photom.fits", rows=rows)
    refused(path, NIRCAM, "photmjsr" if not np.isfinite(value) else f"is {value:g} MJy/sr")


def test_a_time_dependence_that_cannot_be_true(tmp_path):
    path = write_photom(tmp_path / "photom.fits", rows=ROWS, times=timed(["linear"], at=0))
    refused(path, NIRCAM | TIME, "TIMECOEFF_LINEAR gives -")
    refused(path, NIRCAM, "needs the time of the exposure, whose EXPMID is missing")
    refused(path, NIRCAM | {"EXPMID": "noon"}, "whose EXPMID is noon")
    times = timed(["powerlaw", "exponential"])
    times["timecoeff_powerlaw"][1] = POWER | {"t0": 70000.0, "alpha": 0.5}
    path = write_photom(tmp_path / "power.fits", rows=ROWS, times=times)
    refused(path, NIRCAM | TIME, "TIMECOEFF_POWERLAW gives")
    times = timed(["exponential"])
    times["timecoeff_exponential"][1] = EXPONENTIAL | {"tau": 0.0}
    path = write_photom(tmp_path / "exponential.fits", rows=ROWS, times=times)
    refused(path, NIRCAM | TIME, "TIMECOEFF_EXPONENTIAL gives nan")


def test_rows_of_time_coefficients_are_those_of_photom(tmp_path):
    path = write_photom(tmp_path / "photom.fits", rows=ROWS, times=timed(["linear"]))
    with fits.open(path, mode="update") as hdus:
        hdus["TIMECOEFF_LINEAR"].data["pupil"][1] = "F405N"
    refused(path, NIRCAM | TIME, "the rows of TIMECOEFF_LINEAR are not those of PHOTOM")
    path = write_photom(tmp_path / "old.fits", rows=ROWS)
    old_table(path, [{"amplitude": 1.0, "tau": 1.0, "t0": T0}] * 2)
    refused(path, NIRCAM | TIME, "the rows of TIMECOEFF are not those of PHOTOM")


def test_a_file_that_is_no_photom(tmp_path):
    refused(write_area(tmp_path / "area.fits"), NIRCAM, "has no PHOTOM table: give a PHOTOM")
    path = tmp_path / "image.fits"
    image = fits.ImageHDU(np.ones((2, 2)), name="PHOTOM")
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(path)
    refused(path, NIRCAM, "has no PHOTOM table")
    cut = write_photom(tmp_path / "cut.fits", rows=ROWS)
    cut.write_bytes(cut.read_bytes()[:6000])
    refused(cut, NIRCAM, "is cut short")


@pytest.mark.parametrize("place", [PLACE, (1, 1, 100, 90), (6, 3, 80, 70)])
def test_an_area_is_cut_out_where_it_is(tmp_path, place):
    area = write_area(tmp_path / "area.fits", place=place)
    photom = write_photom(tmp_path / "photom.fits", rows=ROWS)
    found = read_area(area, photom, PLACED)
    y, x = PLACE[1] - place[1], PLACE[0] - place[0]
    whole = fits.getdata(area, "SCI")
    assert_array_equal(found.plane, whole[y : y + PLACE[3], x : x + PLACE[2]])
    assert (found.steradians, found.square_arcsec) == (1.01e-13, 0.00404)


def test_pixel_areas_of_photom_where_area_has_none(tmp_path):
    photom = write_photom(tmp_path / "photom.fits", rows=ROWS)
    for area in (None, write_area(tmp_path / "area.fits", pixar=False)):
        found = read_area(area, photom, PLACED)
        assert (found.steradians, found.square_arcsec) == (1.0e-13, 0.004)
        assert (found.plane is None) == (area is None)
    with fits.open(photom, mode="update") as hdus:
        hdus[0].header["PIXAR_SR"], hdus[0].header["PIXAR_A2"] = "unknown", -1.0
    found = read_area(None, photom, PLACED)
    assert found.steradians is found.square_arcsec is None


def test_an_area_that_does_not_cover_the_exposure(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    area = write_area(tmp_path / "area.fits", place=(12, 21, 40, 30))
    photom = write_photom(tmp_path / "photom.fits", rows=ROWS)
    with pytest.raises(InputError, match=r"at \(12, 21\), the exposure 40 × 30 .*: give an AREA"):
        read_area(area, photom, PLACED)
    with pytest.raises(InputError, match="has no SCI extension: give an AREA"):
        read_area(photom, photom, PLACED)


def test_a_real_photom(real_data):
    path = real_data / "references" / "jwst_nircam_photom_table.fits"
    found = conversion_of(path, NIRCAM | {"FILTER": "F277W"})
    assert found.mjsr == f4(1.4142135)
    assert read_area(None, path, PLACED).steradians == 1.2345
