import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable, Table
from numpy.testing import assert_allclose

from snakewebb import refcat
from snakewebb.errors import InputError
from snakewebb.geometry import to_plane

RA, DEC = np.array([0.001, 359.999, 12.5]), np.array([-89.0, 10.0, 20.5])
FORMATS = {"c.ecsv": "ascii.ecsv", "c.csv": "ascii.csv", "c.fits": "fits", "c.txt": "ascii.basic"}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("columns", [("RA", "DEC"), ("ra", "dec"), ("Ra", "Dec")])
def test_reference_in_any_format_and_case(tmp_path, name, columns):
    Table([RA, DEC, [1, 2, 3]], names=(*columns, "mag")).write(
        tmp_path / name, format=FORMATS[name]
    )
    table = refcat.read_reference(tmp_path / name)
    assert_allclose(table["RA"], RA)
    assert_allclose(table["DEC"], DEC)


@pytest.mark.parametrize("name", ["c.ecsv", "c.fits"])
def test_reference_from_a_source_catalogue(tmp_path, name):
    table = QTable({"label": [1, 2, 3], "sky_centroid": SkyCoord(RA, DEC, unit="deg")})
    table.write(tmp_path / name, format=FORMATS[name])
    table = refcat.read_reference(tmp_path / name)
    assert_allclose(table["RA"], RA)
    assert_allclose(table["DEC"], DEC)


def test_reference_units_and_holes(tmp_path):
    table = QTable({"RA": (RA / 15) * u.hourangle, "DEC": (DEC * 60) * u.arcmin})
    table["DEC"][1] = np.nan
    table.write(tmp_path / "c.ecsv")
    table = refcat.read_reference(tmp_path / "c.ecsv")
    assert_allclose(table["RA"], RA[[0, 2]])
    assert_allclose(table["DEC"], DEC[[0, 2]])


def test_masked_rows_are_left_out(tmp_path):
    (tmp_path / "c.csv").write_text("ra,dec\n1,2\n,3\n4,5\n")
    assert_allclose(refcat.read_reference(tmp_path / "c.csv")["RA"], [1, 4])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.csv", "x,y\n1,2\n", r"c\.csv: has no columns RA and DEC, only x, y: name"),
        ("c.csv", "RA,DEC\n01:02:03,2\n", r"c\.csv: column RA does not hold numbers"),
        ("c.ecsv", "not ecsv", r"c\.ecsv: cannot be read as a table"),
        ("c.fits", "not fits", r"c\.fits: cannot be read as a table"),
    ],
)
def test_a_bad_reference(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        refcat.read_reference(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_missing_reference(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        refcat.read_reference(tmp_path / "c.ecsv")


@pytest.mark.parametrize("names", refcat.POSITIONS)
def test_sources(tmp_path, names):
    table = Table([[1.0, np.nan, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]], names=(*names, "flux"))
    table.write(tmp_path / "c.ecsv")
    x, y, flux = refcat.read_sources(tmp_path / "c.ecsv")
    assert_allclose([x, y, flux], [[1, 3], [4, 6], [7, 9]])


def test_sources_without_positions(tmp_path):
    (tmp_path / "c.csv").write_text("RA,DEC\n1,2\n")
    with pytest.raises(InputError, match="has no columns x and y, only RA, DEC"):
        refcat.read_sources(tmp_path / "c.csv")


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


def test_gaia_stars_are_moved_to_the_epoch(monkeypatch):
    stars = Table(
        {"ra": [0.0, 10.0], "dec": [60.0, -30.0], "pmra": [-100.0, 0.0], "pmdec": [50.0, 0.0]}
    )
    stars["ref_epoch"] = 2016.0
    queries = fake_astroquery(monkeypatch, lambda: stars)
    table = refcat.query_gaia("gaiadr3", 1.0, 2.0, 0.1, 2024.0)
    assert "gaiadr3.gaia_source" in queries[0]
    east, north = to_plane(np.asarray(table["RA"]), np.asarray(table["DEC"]), 0.0, 60.0)
    assert_allclose([east[0], north[0]], [-0.8, 0.4], atol=1e-5)  # arcsec in 8 years
    assert 359 < table["RA"][0] < 360
    assert_allclose([table["RA"][1], table["DEC"][1]], [10, -30])


def test_gaia_does_not_answer(monkeypatch):
    def answer():
        raise ConnectionError("no route\nto host")

    fake_astroquery(monkeypatch, answer)
    with pytest.raises(InputError, match=r"GAIADR3 cannot be queried \(no route to host\): give a"):
        refcat.query_gaia("GAIADR3", 1.0, 2.0, 0.1, 2024.0)


def test_gaia_without_astroquery(monkeypatch):
    monkeypatch.setitem(sys.modules, "astroquery", None)
    monkeypatch.setitem(sys.modules, "astroquery.gaia", None)
    with pytest.raises(InputError, match="needs astroquery: install it, or give a catalogue file"):
        refcat.query_gaia("GAIAREFCAT", 1.0, 2.0, 0.1, 2024.0)


def test_an_unknown_service():
    with pytest.raises(InputError, match="GAIADR9 is not known: one of GAIAREFCAT"):
        refcat.query_gaia("GAIADR9", 1.0, 2.0, 0.1, 2024.0)
