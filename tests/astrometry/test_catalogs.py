import bz2
import gzip
import re
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import QTable, Table
from numpy.testing import assert_allclose

from broken import mutations
from snakewebb.astrometry import catalogs
from snakewebb.astrometry.reference import ERRORS
from snakewebb.errors import InputError

RA, DEC = np.array([0.001, 359.999, 12.5]), np.array([-89.0, 10.0, 20.5])
FORMATS = {
    "c.ecsv": "ascii.ecsv",
    "c.csv": "ascii.csv",
    "c.fits": "fits",
    "c.txt": "ascii.basic",
    "c.cat": "ascii.commented_header",
    "c.vot": "votable",
    "c.xml": "votable",
    "a.mrt": "ascii.mrt",
    "ecsv.cat": "ascii.ecsv",
}
PACKERS = {".gz": gzip.compress, ".bz2": bz2.compress}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("columns", [("RA", "DEC"), ("ra", "dec"), ("Ra", "Dec")])
def test_reference_in_any_format_and_case(tmp_path, name, columns):
    Table([RA, DEC, [1, 2, 3]], names=(*columns, "mag")).write(
        tmp_path / name, format=FORMATS[name]
    )
    table, notes = catalogs.read_reference(tmp_path / name)
    assert_allclose(table["RA"], RA)
    assert_allclose(table["DEC"], DEC)
    assert notes == {"file": name, "stars": 3, "left_out": 0, "unused": "mag"}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("end", PACKERS)
def test_packed_references(tmp_path, name, end):
    Table([RA, DEC], names=("RA", "DEC")).write(tmp_path / name, format=FORMATS[name])
    packed = tmp_path / f"{name}{end}"
    packed.write_bytes(PACKERS[end]((tmp_path / name).read_bytes()))
    assert_allclose(catalogs.read_reference(packed)[0]["RA"], RA)
    if (name, end) == ("c.fits", ".gz"):  # MAST's way: packed under the name of a FITS file
        packed.rename(tmp_path / "d.fits")
        assert_allclose(catalogs.read_reference(tmp_path / "d.fits")[0]["RA"], RA)


@pytest.mark.parametrize("name", ["c.ecsv", "c.fits"])
def test_reference_from_a_source_catalogue(tmp_path, name):
    table = QTable({"label": [1, 2, 3], "sky_centroid": SkyCoord(RA, DEC, unit="deg")})
    table.write(tmp_path / name, format=FORMATS[name])
    table, notes = catalogs.read_reference(tmp_path / name)
    assert_allclose(table["RA"], RA)
    assert_allclose(table["DEC"], DEC)
    assert notes["unused"] == "label"


def test_a_source_catalogue_of_another_frame_with_gaps(tmp_path):
    sky = SkyCoord(RA, DEC, unit="deg").galactic
    QTable({"sky_centroid": sky}).write(tmp_path / "c.ecsv")
    table, _ = catalogs.read_reference(tmp_path / "c.ecsv")
    assert_allclose(table["RA"], RA)
    QTable({"sky_centroid": SkyCoord(RA, [np.nan, 10.0, 20.5], unit="deg")}).write(
        tmp_path / "d.ecsv"
    )
    table, notes = catalogs.read_reference(tmp_path / "d.ecsv")
    assert_allclose(table["RA"], RA[1:])
    assert notes["left_out"] == 1
    QTable({"sky_centroid": ["here", "there"]}).write(tmp_path / "e.ecsv")
    with pytest.raises(InputError, match=r"e\.ecsv: .*: give sky positions as sky_centroid"):
        catalogs.read_reference(tmp_path / "e.ecsv")


def test_ra_and_dec_go_before_sky_centroid(tmp_path):
    table = QTable({"sky_centroid": SkyCoord(RA, DEC, unit="deg"), "Ra": RA + 1, "dec": DEC})
    table.write(tmp_path / "c.ecsv")
    table, notes = catalogs.read_reference(tmp_path / "c.ecsv")
    assert_allclose(table["RA"], RA + 1)
    assert notes["unused"] == "sky_centroid"


def test_reference_units_and_holes(tmp_path):
    table = QTable({"RA": (RA / 15) * u.hourangle, "DEC": (DEC * 60) * u.arcmin})
    table["DEC"][1] = np.nan
    table.write(tmp_path / "c.ecsv")
    table, _ = catalogs.read_reference(tmp_path / "c.ecsv")
    assert_allclose(table["RA"], RA[[0, 2]])
    assert_allclose(table["DEC"], DEC[[0, 2]])


@pytest.mark.filterwarnings("ignore::astropy.units.UnitsWarning")
@pytest.mark.parametrize("unit", ["deg", "degree", "degrees", "Degrees", "DEG"])
def test_degrees_however_they_are_spelt(tmp_path, unit):
    columns = [fits.Column("RA", "D", unit=unit, array=RA), fits.Column("DEC", "D", array=DEC)]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "c.fits")
    assert_allclose(catalogs.read_reference(tmp_path / "c.fits")[0]["RA"], RA)


@pytest.mark.filterwarnings("ignore::astropy.units.UnitsWarning")
@pytest.mark.parametrize("unit", ["h", "mag", "parsnips"])
def test_units_that_are_no_angle_are_refused(tmp_path, unit):
    columns = [fits.Column("RA", "D", unit=unit, array=RA), fits.Column("DEC", "D", array=DEC)]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "c.fits")
    with pytest.raises(InputError, match=f"column RA is in {unit}: give degrees"):
        catalogs.read_reference(tmp_path / "c.fits")


def test_weights(tmp_path):
    (tmp_path / "c.csv").write_text("ra,dec,Weight\n1,2,3\n4,5,0\n6,7,\n")
    table, notes = catalogs.read_reference(tmp_path / "c.csv")
    assert_allclose(table["weight"], [3, 0])
    assert_allclose(table["RA"], [1, 4])
    assert notes == {"file": "c.csv", "stars": 2, "left_out": 1, "unused": ""}


def test_an_empty_catalogue_is_no_mistake(tmp_path):
    (tmp_path / "c.csv").write_text("RA,DEC,weight\n")
    table, _ = catalogs.read_reference(tmp_path / "c.csv")
    assert [(name, len(column)) for name, column in table.items()] == [
        *(("RA", 0), ("DEC", 0), ("weight", 0))
    ]
    QTable({"sky_centroid": SkyCoord([], [], unit="deg")}).write(tmp_path / "c.ecsv")
    assert len(catalogs.read_reference(tmp_path / "c.ecsv")[0]["DEC"]) == 0


NONSENSE = {
    "RA of 999": ({"RA": [1.0, 999.0]}, "column RA holds 999 in row 2: give numbers from -360"),
    "infinite RA": ({"RA": [np.inf, 1.0]}, "column RA holds inf in row 1"),
    "Dec beyond a pole": (
        {"DEC": [-99.0, -99.0]},
        "column DEC holds -99 in row 1, and 1 more: give numbers from -90 to 90",
    ),
    "no weights": ({"weight": [np.nan] * 2}, "not one of its 2 rows has a position and a weight"),
    "all NaN": ({"RA": [np.nan] * 2}, "not one of its 2 rows has a position"),
    "two dimensions": ({"RA": [[1.0, 2.0]] * 2}, r"column RA has shape \(2, 2\)"),
    "boolean": ({"RA": [True, False]}, "column RA does not hold numbers"),
    "complex": ({"DEC": [1j, 1j]}, "column DEC does not hold numbers"),
    "text": ({"DEC": ["1.0", "2.0"]}, "column DEC does not hold numbers"),
    "a negative weight": ({"weight": [1.0, -1.0]}, "column weight holds -1 in row 2: give"),
    "an infinite weight": ({"weight": [1.0, np.inf]}, "column weight holds inf in row 2: give"),
    "RA twice": ({"ra": [1.0, 2.0]}, "has columns RA and ra: keep one"),
    "DEC in hours": ({"DEC": [1.0, 2.0] * u.h}, "column DEC is in h: give degrees"),
    "arcminutes": ({"DEC": [1.0, 9000.0] * u.arcmin}, "column DEC holds 150 in row 2"),
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense_is_refused(tmp_path, kind):
    change, words = NONSENSE[kind]
    table = QTable({"RA": [1.0, 2.0], "DEC": [3.0, 4.0], **change})
    table.write(tmp_path / "c.fits")
    with pytest.raises(InputError, match=rf"c\.fits: {words}") as caught:
        catalogs.read_reference(tmp_path / "c.fits")
    assert "\n" not in str(caught.value)


def test_very_many_columns_are_told_in_short(tmp_path):
    Table({"RA": [1.0], "DEC": [2.0], **{f"c{k}": [k] for k in range(60)}}).write(
        tmp_path / "c.ecsv"
    )
    _, notes = catalogs.read_reference(tmp_path / "c.ecsv")
    assert notes["unused"] == "c0, c1, c2, c3, c4, c5, c6, c7 and 52 more"


def test_masked_rows_are_left_out(tmp_path):
    (tmp_path / "c.csv").write_text("ra,dec\n1,2\n,3\n4,5\n")
    assert_allclose(catalogs.read_reference(tmp_path / "c.csv")[0]["RA"], [1, 4])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.csv", "x,y\n1,2\n", r"c\.csv: has no columns RA and DEC, only x, y: name"),
        ("c.csv", "RA,DEC\n01:02:03,2\n", r"c\.csv: column RA does not hold numbers"),
        ("c.ecsv", "not ecsv", r"c\.ecsv: cannot be read .*: give a table"),
        ("c.fits", "not fits", r"c\.fits: is no FITS file"),
    ],
)
def test_a_bad_reference(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        catalogs.read_reference(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_missing_reference(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        catalogs.read_reference(tmp_path / "c.ecsv")


@pytest.mark.parametrize("names", [*zip(*catalogs.AXES.values(), strict=True), ("x", "ycentroid")])
def test_sources(tmp_path, names):
    table = Table([[1.0, np.nan, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]], names=(*names, "flux"))
    table.write(tmp_path / "c.ecsv")
    found = catalogs.read_sources(tmp_path / "c.ecsv")
    assert_allclose([found[name] for name in ("x", "y", "flux")], [[1, 3], [4, 6], [7, 9]])
    assert "weight" not in found


def test_sources_with_weights_and_without_fluxes(tmp_path):
    (tmp_path / "c.csv").write_text("x,y,weight,id\n1,2,3,7\n4,5,,8\n6,7,0,9\n")
    found = catalogs.read_sources(tmp_path / "c.csv")
    assert_allclose([found[name] for name in ("x", "y", "weight")], [[1, 6], [2, 7], [3, 0]])
    assert np.isnan(found["flux"]).all()


def test_sources_without_positions(tmp_path):
    (tmp_path / "c.csv").write_text("RA,DEC\n1,2\n")
    with pytest.raises(InputError, match="has no columns x and y, only RA, DEC"):
        catalogs.read_sources(tmp_path / "c.csv")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": [1.0, np.inf]}, "column x holds inf in row 2"),
        ({"x": [1.0, 1e30]}, r"column x holds 1e\+30 in row 2: give numbers from -100000"),
        ({"y": ["1", "2"]}, "column y does not hold numbers"),
        ({"y": [True, False]}, "column y does not hold numbers"),
        ({"y": [[1.0, 2.0]] * 2}, r"column y has shape \(2, 2\)"),
        ({"flux": [1.0, -np.inf]}, "column flux holds -inf in row 2: give finite numbers"),
    ],
)
def test_sources_at_no_place_are_refused(tmp_path, change, words):
    Table({"x": [1.0, 2.0], "y": [3.0, 4.0], **change}).write(tmp_path / "c.fits")
    with pytest.raises(InputError, match=rf"c\.fits: {words}"):
        catalogs.read_sources(tmp_path / "c.fits")


def test_sources_of_an_empty_catalogue(tmp_path):
    (tmp_path / "c.csv").write_text("x,y,flux\n")
    assert all(len(column) == 0 for column in catalogs.read_sources(tmp_path / "c.csv").values())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["c.ecsv", "c.fits", "c.vot", "c.csv.gz"])
def test_broken_catalogues_are_read_or_refused_in_one_line(tmp_path, name):
    path = tmp_path / name
    table = Table({"RA": RA, "DEC": DEC, "x": [1.0, 2.0, 3.0], "y": [4.0, 5.0, 6.0]})
    table.write(tmp_path / "c.csv", format="ascii.csv")
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress((tmp_path / "c.csv").read_bytes(), mtime=0))
    else:
        table.write(path, format=FORMATS[name])
    refused = []
    for mutant in mutations(path.read_bytes(), 40):
        path.write_bytes(mutant)
        for read in (catalogs.read_reference, catalogs.read_sources):
            try:
                read(path)
            except InputError as error:
                refused.append(str(error))
    assert len(refused) > 10
    assert all(re.fullmatch(rf"{path}: .*", line) for line in refused)


def fake_astroquery(monkeypatch, answer):
    """Put a stand-in for Gaia's service in place; return the queries it gets."""
    queries = []

    def launch_job_async(query):
        queries.append(query)
        return SimpleNamespace(get_results=answer)

    module = ModuleType("astroquery.gaia")
    module.Gaia = SimpleNamespace(launch_job_async=launch_job_async)
    monkeypatch.setitem(sys.modules, "astroquery", ModuleType("astroquery"))
    monkeypatch.setitem(sys.modules, "astroquery.gaia", module)
    return queries


def gaia_table():
    """Two stars with a motion, and one that has none."""
    table = Table({"ra": [0.0, 10.0, 5.0], "dec": [60.0, -30.0, 0.0]})
    for name in catalogs.MOTION_COLUMNS:
        table[name] = np.ma.array([0.1, 0.2, 0.0], mask=[False, False, True])
    table["pmra"][:2], table["pmdec"][:2], table["parallax"][:2] = [-100.0, 0.0], [50.0, 0.0], 0.0
    table["ref_epoch"] = 2016.0
    return table


def test_gaia_stars_come_with_all_that_is_known_of_their_motion(monkeypatch):
    queries = fake_astroquery(monkeypatch, gaia_table)
    stars = catalogs.query_gaia("gaiadr3", 1.0, 2.0, 0.1)
    assert "gaiadr3.gaia_source" in queries[0]
    assert list(stars) == ["RA", "DEC", *catalogs.MOTION_COLUMNS]
    for name in catalogs.MOTION_COLUMNS:
        assert name in queries[0]
    assert_allclose(stars["pmra"], [-100.0, 0.0, np.nan])
    assert_allclose(stars["ra_dec_corr"], [0.1, 0.2, np.nan])


def test_a_users_catalogue_tells_how_its_stars_move(tmp_path, caplog):
    path = tmp_path / "own.ecsv"
    table = Table({"RA": [10.0, 11.0], "DEC": [60.0, 61.0], "PMRA": [50.0, np.nan]})
    table["pmdec"] = [3.0, 4.0] * u.arcsec / u.yr
    table["Ref_Epoch"] = 2016.0
    table["parallax"] = [1.0, np.nan]
    table["pmra_error"] = [0.1, 0.2]
    table["ra_pmra_corr"] = [0.3, -0.3]
    table["colour"] = "red"
    table.write(path)
    columns, notes = catalogs.read_reference(path)
    assert notes["unused"] == "colour"
    assert_allclose(columns["pmra"], [50.0, np.nan])
    assert_allclose(columns["pmdec"], [3000.0, 4000.0])
    assert_allclose(columns["ra_pmra_corr"], [0.3, -0.3])
    table.remove_column("Ref_Epoch")
    table.write(path, overwrite=True)
    columns, _ = catalogs.read_reference(path)
    assert "has no ref_epoch: its stars are taken as of the exposures' epoch" in caplog.text
    assert columns.keys() == {"RA", "DEC"}


def test_a_parallax_needs_an_epoch(tmp_path, caplog):
    table = Table({"RA": [10.0], "DEC": [60.0], "parallax": [5.0], "parallax_error": [0.1]})
    table.write(tmp_path / "own.ecsv")
    columns, _ = catalogs.read_reference(tmp_path / "own.ecsv")
    assert columns.keys() == {"RA", "DEC"}
    assert "has no ref_epoch" in caplog.text


def test_a_catalogue_as_gaias_archive_writes_it(tmp_path):
    """With units, without weights: none of its columns is taken for one."""
    table = Table({"source_id": [1, 2], "ra": [10.0, 11.0] * u.deg, "dec": [60.0, 61.0] * u.deg})
    table["ref_epoch"] = [2016.0, 2016.0] * u.yr
    for name in (*ERRORS, "pmra", "pmdec", "parallax"):
        unit = u.mas / u.yr if name.startswith("pm") else u.mas
        table[name] = [0.1, 7.0] * unit
    for name in ("c.ecsv", "c.fits", "c.vot"):
        table.write(tmp_path / name, format=FORMATS[name])
        columns, notes = catalogs.read_reference(tmp_path / name)
        assert columns.keys() == {"RA", "DEC", "ref_epoch", *ERRORS, "pmra", "pmdec", "parallax"}
        assert_allclose(columns["ra_error"], [0.1, 7.0])
        assert notes["unused"] == "source_id"


def test_a_catalogue_of_no_epoch_in_any_row(tmp_path, caplog):
    (tmp_path / "c.csv").write_text("RA,DEC,ref_epoch,pmra\n1,2,,3\n4,5,,6\n")
    with pytest.raises(InputError, match=r"its 2 rows has a position and a ref_epoch: fill that"):
        catalogs.read_reference(tmp_path / "c.csv")
    (tmp_path / "c.csv").write_text("RA,DEC,ref_epoch\n1,2,2016\n4,5,\n")
    assert catalogs.reference_catalogue("c", tmp_path / "c.csv", [], [None])[1]["left_out"] == 1
    assert "no exposure has EXPMID: its stars are not moved" in caplog.text


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("pmra_error", -1.0, r"column pmra_error has -1 in row 2, no number from 0 to 100000"),
        ("ra_dec_corr", 1.5, r"column ra_dec_corr has 1.5 in row 2, no number from -1 to 1"),
        ("pmra", 1e6, r"column pmra has 1e\+06 in row 2"),
        ("ref_epoch", 57388.0, r"column ref_epoch has 57388 in row 2, no number from 1800 to 2200"),
    ],
)
def test_motions_that_cannot_be_true(tmp_path, column, value, message):
    table = Table({"RA": [10.0, 11.0], "DEC": [60.0, 61.0], "ref_epoch": [2016.0, 2016.0]})
    table[column] = [2016.0 if column == "ref_epoch" else 0.5, value]
    table.write(tmp_path / "own.ecsv")
    with pytest.raises(InputError, match=message):
        catalogs.read_reference(tmp_path / "own.ecsv")


def test_a_motion_in_the_unit_of_something_else(tmp_path):
    table = Table({"RA": [10.0], "DEC": [60.0], "ref_epoch": [2016.0]})
    table["pmra"] = [1.0] * u.km / u.s
    table.write(tmp_path / "own.ecsv")
    with pytest.raises(InputError, match="column pmra is in km / s: give mas / yr"):
        catalogs.read_reference(tmp_path / "own.ecsv")


def test_gaia_does_not_answer(monkeypatch):
    def answer():
        raise ConnectionError("no route\nto host")

    fake_astroquery(monkeypatch, answer)
    with pytest.raises(InputError, match=r"GAIADR3 cannot be queried \(no route to host\): give a"):
        catalogs.query_gaia("GAIADR3", 1.0, 2.0, 0.1)


def test_gaia_without_astroquery(monkeypatch):
    monkeypatch.setitem(sys.modules, "astroquery", None)
    monkeypatch.setitem(sys.modules, "astroquery.gaia", None)
    with pytest.raises(InputError, match="needs astroquery: install it, or give a catalogue file"):
        catalogs.query_gaia("GAIAREFCAT", 1.0, 2.0, 0.1)


def test_an_unknown_service():
    with pytest.raises(InputError, match="GAIADR9 is not known: one of GAIAREFCAT"):
        catalogs.query_gaia("GAIADR9", 1.0, 2.0, 0.1)
