"""Figures and page of a product's quality."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.image import imread

from snakewebb.products.input_quality import header_numbers
from snakewebb.quality.assessment import Evidence, assess
from snakewebb.quality.blank_sky import Apertures
from snakewebb.quality.metrics import Thresholds
from snakewebb.quality.quality_file import read_repeats, read_rows, write_quality
from snakewebb.quality.repeats import compare
from snakewebb.quality.sightings import Sightings
from snakewebb.quality.stars import Stars
from snakewebb.report.quality_figures import arrow_groups, cell_medians, plot_quality
from snakewebb.report.quality_status import quality_table
from snakewebb.wcs.grid import Grid
from snakewebb.wcs.sphere import from_plane

GRID = Grid((150.0, 2.0), (500.0, 400.0), 0.06 / 3600, ((-1.0, 0.0), (0.0, 1.0)), (800, 1000))


def make(folder, *, exposures=4, detectors=("nrcalong",), stars=60, shift=(0.0, 0.0)):
    """Write the files of a made-up product's quality; return their paths."""
    rng = np.random.default_rng(1)
    xi, eta = rng.uniform(-25, 25, (2, stars))
    ra, dec = from_plane(xi, eta, 150.0, 2.0)
    one = np.ones(stars)
    known = Stars(one, one, ra, dec, 90 * one, 0.14 * one, np.zeros((stars, 2)))
    names = [f"jw1_{k}_{detector}" for k in range(exposures) for detector in detectors]
    seen = []
    for k in range(len(names)):
        offset = rng.normal(0, 1, (stars, 2)) + (np.array(shift) if k == 0 else 0.0)
        flux = 100.0 + rng.standard_normal(stars)
        seen.append(
            Sightings(
                np.arange(stars), offset, np.ones((stars, 2)), flux, one, np.arange(50),
                0.01 * rng.standard_normal(50), 0.1,
            )
        )  # fmt: skip
    lattice = np.meshgrid(np.arange(5.0, 1000, 10), np.arange(5.0, 800, 10))
    x, y = (column.ravel() for column in lattice)
    blank = Apertures(x, y, rng.standard_normal(len(x)), 1e-9 * (1 + x / 1000), 10.0, 1.2)
    unknown = np.full(len(names), np.nan)
    headers = {"alignment_rms": np.full(len(names), 4.0), "flagged": unknown}
    evidence = Evidence(
        exposures=names, groups=[name.rpartition("_")[0] for name in names], unit="MJy/sr",
        headers={**header_numbers([]), **headers}, moving=False, stars=known,
        repeats=compare(seen), noises=np.full(len(names), 0.1), blank=blank, has_errors=True,
        flaw="", grid=GRID,
    )  # fmt: skip
    files = {"metrics": "q.ecsv", "exposures": "e.ecsv", "depth": "d.fits", "repeats": "r.npz"}
    paths = {key: folder / name for key, name in files.items()}
    assessment = assess(evidence, Thresholds())
    write_quality(assessment, "MJy/sr", SimpleNamespace(**paths))
    return paths


def draw(folder, paths):
    out = {"page": folder / "page.html", "residuals": folder / "a.png", "depth": folder / "b.png"}
    plot_quality(SimpleNamespace(**out), **paths)
    for path in (out["residuals"], out["depth"]):
        assert "could not be drawn" not in out["page"].read_text()
        assert imread(path).shape[1] <= 1320
    return out


def colored(picture, color):
    """Count the pixels of a colour."""
    return int((np.abs(np.round(255 * imread(picture)[..., :3]) - color) <= 3).all(axis=-1).sum())


def height(picture):
    return imread(picture).shape[0]


def test_page_and_pictures(tmp_path):
    paths = make(tmp_path, shift=(30.0, 0.0))
    out = draw(tmp_path, paths)
    page = out["page"].read_text()
    rows = [line for line in page.splitlines() if line.startswith("<tr><td")]
    statuses = [s for line in rows for s in ("WARN", "OK", "ABSENT") if f'"{s}"' in line]
    metrics, exposures = read_rows(paths["metrics"]), read_rows(paths["exposures"])
    assert len(rows) == len(metrics) + len(exposures)
    first = statuses[: len(metrics)]
    assert first == sorted(first, key=("WARN", "OK", "ABSENT").index)
    assert first.count("WARN") >= 3
    assert "is more than max_offset 5" in page
    # the exposure that was moved is named, with the reason
    assert [bool(row["outlying"]) for row in exposures] == [True, False, False, False]
    assert f"stands out: {exposures[0]['outlying']}" in page
    assert "jw1_0_nrcalong: its stars lie +" in page
    assert "--<" not in page
    for blue in ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167)):
        assert colored(out["residuals"], blue) > 50, "an exposure's arrows"


def test_many_sightings_become_medians_in_cells(tmp_path):
    ten = tuple(f"nrc{module}{k}" for module in "ab" for k in (1, 2, 3, 4, "long"))
    out = draw(tmp_path, make(tmp_path, exposures=3, detectors=ten, stars=300))
    assert colored(out["residuals"], (0, 0, 0)) > 100


@pytest.mark.parametrize(("exposures", "stars"), [(1, 60), (4, 0), (2, 3)])
def test_without_repeats_pictures_say_why(tmp_path, exposures, stars):
    out = draw(tmp_path, make(tmp_path, exposures=exposures, stars=stars))
    assert "ABSENT" in out["page"].read_text()
    if (exposures, stars) != (2, 3):
        assert height(out["residuals"]) < 200 < height(out["depth"])


def test_a_hundred_exposures(tmp_path):
    out = draw(tmp_path, make(tmp_path, exposures=100, stars=40))
    assert out["page"].read_text().count("jw1_") == 100


def test_texts_and_numbers_come_back(tmp_path):
    paths = make(tmp_path)
    rows = {row["metric"]: row for row in read_rows(paths["metrics"])}
    assert rows["detector_offset"]["status"] == "ABSENT"
    assert rows["detector_offset"]["reason"] == "every exposure is of one detector"
    assert rows["depth"]["reason"] == ""
    assert rows["depth"]["unit"] == "mag"
    assert rows["alignment_rms"]["value"] == 4.0
    assert np.isnan(rows["depth"]["threshold"])
    repeats = read_repeats(paths["repeats"])
    assert len(repeats["star"]) == 240


def test_the_table_is_safe_html():
    row = {"description": "a<b", "unit": "", "value": np.nan, "threshold": np.nan, "n": 0}
    row["error"] = np.nan
    table = quality_table([{**row, "status": "ABSENT", "reason": "x & y"}])
    assert "a&lt;b" in table
    assert "x &amp; y" in table
    assert "nan" not in table
    known = {**row, "value": 3.14159, "error": 0.1234, "unit": "mas", "status": "OK", "reason": ""}
    assert "<td>3.142 ± 0.12 mas</td>" in quality_table([known])


def test_of_many_exposures_arrows_are_of_detectors():
    few, many = [f"exposure {k}" for k in range(4)], ["nrcb1", "nrca1"] * 500
    groups, names = arrow_groups(few)
    assert [names[k] for k in groups] == few
    groups, names = arrow_groups(many)
    assert names == ["nrca1", "nrcb1"]
    assert [names[k] for k in groups] == many


def test_stars_that_lie_nowhere_do_not_keep_cells_from_growing():
    x = np.arange(2000.0)
    none = np.full(2000, np.nan)
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        cell_medians(x, none, np.zeros((2000, 2)), np.arange(2000), np.nan)
