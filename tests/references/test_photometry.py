"""Apertures and Vega offsets from reference files, right and wrong ones."""

import re

import asdf
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from broken import mutations
from snakewebb.errors import InputError
from snakewebb.references.photometry import MissingRow, aperture_parameters, vega_offset

ENERGIES = (30, 50, 70)
NIRCAM = {"name": "NIRCAM", "filter": "F200W", "pupil": "CLEAR"}


def columns():
    """The rows of three energies of two filters."""
    return {
        "filter": np.array(["F115W"] * 3 + ["F200W"] * 3),
        "pupil": np.array(["CLEAR"] * 6),
        "eefraction": np.array([0.3, 0.5, 0.7] * 2),
        "radius": np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        "apcorr": np.array([3.0, 2.0, 1.5] * 2),
        "skyin": np.full(6, 7.0),
        "skyout": np.full(6, 9.0),
    }


def write_apcorr(path, table):
    hdu = fits.table_to_hdu(table if isinstance(table, Table) else Table(table))
    hdu.name = "APCORR"
    hdu.writeto(path, overwrite=True)
    return path


def write_vega(path, **table):
    asdf.AsdfFile({"abvega_offset": Table(table)}).write_to(path)
    return path


def test_apertures_are_counted_in_detector_pixels(tmp_path):
    """Corrections on pixels of another size are tested with stars, in tests/sources."""
    table = columns() | {"filter": np.array(["F115W"] * 3 + ["UNKNOWN"] * 3)}
    path = write_apcorr(tmp_path / "apcorr.fits", table)
    assert aperture_parameters(path, NIRCAM | {"filter": "UNKNOWN"}, ENERGIES, 0.5) == (
        {
            "aperture_ee": [30, 50, 70],
            "aperture_radii": [8.0, 10.0, 12.0],
            "aperture_corrections": [3.0, 2.0, 1.5],
            "bkg_aperture_inner_radius": 14.0,
            "bkg_aperture_outer_radius": 18.0,
            "source": "apcorr.fits",
        },
        "",
    )


@pytest.mark.parametrize(
    ("instrument", "key"), [("MIRI", "subarray"), ("FGS", None), ("NIRISS", "pupil")]
)
def test_rows_are_chosen_by_instrument(tmp_path, instrument, key):
    table = Table(columns())
    table["filter"] = "F1"
    table["pupil"] = ["P1"] * 3 + ["P2"] * 3
    table["subarray"] = ["FULL"] * 3 + ["SUB128"] * 3
    if key is None:
        table = table["eefraction", "radius", "apcorr", "skyin", "skyout"][3:]
    path = write_apcorr(tmp_path / "apcorr.fits", table)
    known = {"name": instrument, "filter": "F1", "pupil": "P2", "subarray": "SUB128"}
    apertures, reason = aperture_parameters(path, known, ENERGIES, 1.0)
    assert apertures["aperture_radii"] == [4.0, 5.0, 6.0]
    assert reason == ""


@pytest.mark.parametrize(
    ("change", "instrument", "radii", "words"),
    [
        ({}, {"filter": "F444W"}, [None] * 3, "has no row for filter F444W, pupil CLEAR"),
        ({}, {"filter": None}, [None] * 3, "has no row for filter None, pupil CLEAR"),
        ({}, {"name": "NIRSPEC"}, [None] * 3, "is of no use for the instrument NIRSPEC"),
        ({"skyin": [7] * 5 + [8]}, {}, [None] * 3, "2 sky annuli, not one"),
        ({"eefraction": [0.3] * 6}, {}, [None] * 3, "3 rows for 30 % .*; .*0 rows for 50 %"),
        ({"eefraction": [0] * 4 + [0.5, 0.7]}, {}, [None, 5.0, 6.0], "0 rows for 30 %"),
        ({"eefraction": [np.nan] * 4 + [0.5, 0.7]}, {}, [None, 5.0, 6.0], "0 rows for 30 %"),
    ],
)
def test_what_is_not_in_the_file_is_unknown(tmp_path, change, instrument, radii, words):
    path = write_apcorr(tmp_path / "apcorr.fits", columns() | change)
    apertures, reason = aperture_parameters(path, NIRCAM | instrument, ENERGIES, 1.0)
    assert apertures["aperture_radii"] == radii
    assert [known is None for known in apertures["aperture_corrections"]] == [
        known is None for known in radii
    ]
    assert apertures["bkg_aperture_inner_radius"] == (7.0 if any(radii) else None)
    assert re.search(words, reason), reason


NONSENSE = (np.nan, np.inf, -np.inf, 1e30, -1.0, 0.0)


@pytest.mark.parametrize("name", ["radius", "apcorr", "skyin", "skyout"])
@pytest.mark.parametrize("value", NONSENSE)
def test_nonsense_of_this_filter_is_refused_that_of_others_is_not(tmp_path, name, value):
    table = columns()
    table[name][4] = value
    path = write_apcorr(tmp_path / "apcorr.fits", table)
    with pytest.raises(InputError, match=rf"fits: column {name} holds .* in row 5: give numbers"):
        aperture_parameters(path, NIRCAM, ENERGIES, 1.0)
    apertures, _ = aperture_parameters(path, NIRCAM | {"filter": "F115W"}, ENERGIES, 1.0)
    assert apertures["aperture_radii"] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"skyin": [9.0] * 6, "skyout": [7.0] * 6}, "annulus reaches from 9 to 7 pixels"),
        ({"skyin": [9.0] * 6}, "annulus reaches from 9 to 9 pixels"),
        ({"radius": ["1"] * 6}, "column radius does not hold numbers"),
        ({"radius": [True] * 6}, "column radius does not hold numbers"),
        ({"radius": [1j] * 6}, "column radius does not hold numbers"),
        ({"radius": np.ones((6, 2))}, r"column radius has shape \(6, 2\)"),
        ({"eefraction": [b"0.3"] * 6}, "column eefraction does not hold numbers"),
        ({"filter": np.arange(6)}, "column filter does not hold names"),
        ({"filter": np.full((6, 2), "F200W")}, "column filter does not hold names"),
    ],
)
def test_a_table_of_other_things_is_refused(tmp_path, change, words):
    path = write_apcorr(tmp_path / "apcorr.fits", columns() | change)
    with pytest.raises(InputError, match=rf"apcorr\.fits: .*{words}.*: ") as caught:
        aperture_parameters(path, NIRCAM, ENERGIES, 1.0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", columns())
def test_a_missing_column_is_told(tmp_path, name):
    table = Table(columns())
    table.remove_column(name)
    path = write_apcorr(tmp_path / "apcorr.fits", table)
    with pytest.raises(InputError, match=f"has no column {name}: give a reference file for NIRCAM"):
        aperture_parameters(path, NIRCAM, ENERGIES, 1.0)


def test_offsets(tmp_path):
    path = write_vega(
        tmp_path / "v.asdf",
        filter=["F115W", "F200W"],
        pupil=["CLEAR"] * 2,
        abvega_offset=[0.8, 1.7],
    )
    assert vega_offset(path, NIRCAM) == 1.7
    for other in ({"filter": "F444W"}, {"pupil": "GRISM"}, {"name": "NIRSPEC"}):
        with pytest.raises(MissingRow, match=r"^v\.asdf: "):
            vega_offset(path, NIRCAM | other)


@pytest.mark.parametrize(
    ("offsets", "error", "words"),
    [
        ([0.8, np.nan], MissingRow, "no number in row 2"),
        ([0.8, np.inf], InputError, "column abvega_offset holds inf in row 2: give numbers"),
        ([0.8, -1e30], InputError, r"column abvega_offset holds -1e\+30 in row 2: give numbers"),
        (["0.8", "1.7"], InputError, "does not hold numbers"),
        ([True, False], InputError, ""),
        ([[0.8, 1], [1.7, 1]], InputError, r"has shape \(2, 2\)"),
    ],
)
def test_offsets_that_are_none(tmp_path, offsets, error, words):
    path = write_vega(
        tmp_path / "v.asdf", filter=["F115W", "F200W"], pupil=["CLEAR"] * 2, abvega_offset=offsets
    )
    with pytest.raises(error, match=rf"v\.asdf: .*{words}"):
        vega_offset(path, NIRCAM)


def test_two_rows_for_one_filter_are_no_offset(tmp_path):
    path = write_vega(tmp_path / "v.asdf", filter=["F1", "F1"], abvega_offset=[0.8, 1.7])
    with pytest.raises(MissingRow, match="2 rows for one filter"):
        vega_offset(path, {"name": "MIRI", "filter": "F1"})


@pytest.mark.parametrize("column", ["filter", "pupil", "abvega_offset"])
def test_a_file_without_the_column_is_told(tmp_path, column):
    table = {"filter": ["F200W"], "pupil": ["CLEAR"], "abvega_offset": [1.7]}
    del table[column]
    path = write_vega(tmp_path / "v.asdf", **table)
    with pytest.raises(InputError, match=f"has no column {column}: give a reference file"):
        vega_offset(path, NIRCAM)


@pytest.mark.parametrize(
    ("name", "filtername", "pupil", "offset"),
    [
        ("nircam_abvega_offset.asdf", "F356W", "CLEAR", 2.82390),
        ("nircam_abvega_offset.asdf", "F444W", "F470N", 3.40766),
        ("jwst_miri_abvegaoffset_0001.asdf", "F770W", None, 4.38398),
    ],
)
def test_real_files(real_data, name, filtername, pupil, offset):
    instrument = {"name": "MIRI" if "miri" in name else "NIRCAM"}
    instrument |= {"filter": filtername, "pupil": pupil}
    assert vega_offset(real_data / "references" / name, instrument) == pytest.approx(offset)


@pytest.mark.filterwarnings("ignore")
def test_broken_files_are_read_or_refused_in_one_line(tmp_path):
    apcorr = write_apcorr(tmp_path / "apcorr.fits", columns())
    vega = write_vega(tmp_path / "v.asdf", filter=["F200W"], pupil=["CLEAR"], abvega_offset=[1.7])
    refused = []
    for path, read in (
        (apcorr, lambda: aperture_parameters(apcorr, NIRCAM, ENERGIES, 1.0)),
        (vega, lambda: vega_offset(vega, NIRCAM)),
    ):
        for mutant in mutations(path.read_bytes(), 150):
            path.write_bytes(mutant)
            try:
                read()
            except MissingRow:
                continue
            except InputError as error:
                refused.append(str(error))
    assert len(refused) > 100
    assert all(re.fullmatch(rf"{tmp_path}/(apcorr.fits|v.asdf): .*", line) for line in refused)
