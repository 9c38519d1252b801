"""The catalogue beside its ECSV: FITS table, regions, and the exposures behind sources."""

import re

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import QTable, Table

from snakewebb.sources.catalog_tables import write_fits_table, write_regions
from snakewebb.sources.exposure_counts import RADIUS, count_exposures


def naive_count(con, x, y):
    """Return the lower median of the numbers of exposures that are not 0."""
    ny, nx = con.shape[-2:]
    centre_x, centre_y = min(max(round(x), 0), nx - 1), min(max(round(y), 0), ny - 1)
    seen = [
        sum(int(plane[j, i]).bit_count() for plane in con.astype(np.int64) & 0xFFFFFFFF)
        for j in range(ny)
        for i in range(nx)
        if np.hypot(i - centre_x, j - centre_y) <= RADIUS
    ]
    seen = sorted(number for number in seen if number)
    return seen[(len(seen) - 1) // 2] if seen else 0


@pytest.mark.parametrize("planes", [1, 3])
def test_exposures_behind_sources_are_counted(tmp_path, planes):
    rng = np.random.default_rng(planes)
    con = rng.integers(-(2**31), 2**31, (planes, 300, 40), dtype=np.int64).astype(np.int32)
    con[:, rng.random((300, 40)) < 0.4] = 0
    con[:, :20] = 0
    path = tmp_path / "i2d.fits"
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(con, name="CON")]
    fits.HDUList(hdus).writeto(path)
    x = np.append(rng.uniform(-0.4, 39.4, 60), [np.nan, 45.0, 3.0])
    y = np.append(rng.uniform(-0.4, 299.4, 60), [7.0, 255.0, 4.0])
    expected = [0 if np.isnan(a) else naive_count(con, a, b) for a, b in zip(x, y, strict=True)]
    np.testing.assert_array_equal(count_exposures(path, x, y), expected)
    assert expected[-3] == expected[-1] == 0
    assert max(expected) > 10


def test_without_con_nothing_is_known(tmp_path):
    fits.HDUList([fits.PrimaryHDU()]).writeto(tmp_path / "i2d.fits")
    assert count_exposures(tmp_path / "i2d.fits", np.ones(2), np.ones(2)).tolist() == [0, 0]
    assert count_exposures(tmp_path / "i2d.fits", np.ones(0), np.ones(0)).tolist() == []


def catalog(number=3):
    table = QTable()
    table["label"] = np.arange(1, number + 1)
    table["sky_centroid"] = SkyCoord(
        np.linspace(150, 151, number), np.full(number, -2.5), unit="deg"
    )
    table["aper_total_flux"] = u.Quantity(np.linspace(1e-7, 1e-6, number), u.Jy)
    table["semimajor_sigma"] = u.Quantity(np.full(number, 5.0), u.pix)
    table["is_extended"] = np.arange(number) % 2 == 1
    table.meta["source_catalog"] = {"status": "FAILED", "reason": "no fluxes: " + 20 * "because "}
    table.meta["aperture_params"] = {"aperture_radii": [1.0, None, None]}
    return table


@pytest.mark.parametrize("number", [0, 3])
def test_the_fits_table_has_no_mixins(tmp_path, number):
    table = catalog(number)
    write_fits_table(table, tmp_path / "cat.fits")
    header = fits.getheader(tmp_path / "cat.fits")
    assert header["S_SRCCAT"] == "FAILED"
    assert header["REASON"] == table.meta["source_catalog"]["reason"].strip()
    read = Table.read(tmp_path / "cat.fits")
    assert read.colnames == [
        *("label", "ra_centroid", "dec_centroid", "aper_total_flux", "semimajor_sigma"),
        "is_extended",
    ]
    assert read["ra_centroid"].unit == u.deg
    assert read["aper_total_flux"].unit == u.Jy
    np.testing.assert_array_equal(read["ra_centroid"], table["sky_centroid"].ra.deg)
    np.testing.assert_array_equal(read["aper_total_flux"], table["aper_total_flux"].value)
    np.testing.assert_array_equal(read["is_extended"], table["is_extended"])
    assert read["is_extended"].dtype == bool


def test_regions_are_circles_on_the_sky(tmp_path):
    write_regions(catalog(), tmp_path / "cat.reg", 0.03)
    lines = (tmp_path / "cat.reg").read_text().splitlines()
    assert lines[2] == "icrs"
    pattern = re.compile(r'circle\((\S+),(\S+),(\S+)"\) # color=(\w+) text=\{(\d)\}')
    rows = [pattern.fullmatch(line).groups() for line in lines[3:]]
    assert [float(row[0]) for row in rows] == [150.0, 150.5, 151.0]
    assert [row[2:] for row in rows] == [
        ("0.090", "cyan", "1"),
        ("0.450", "orange", "2"),
        ("0.090", "cyan", "3"),
    ]
