"""What is told at the end of a run of products that are not as they should be."""

import json
from types import SimpleNamespace

import pytest
from astropy.io import fits
from astropy.table import Table

from snakewebb.workflow.outcomes import outcomes

NAMES = [f"jw01234001001_02101_0000{n}_nrcalong" for n in range(1, 7)]


@pytest.fixture
def plan():
    """Of two products, as much of it as is asked."""
    return SimpleNamespace(
        products={"field": None, "disc": None},
        files=lambda product, kind: [
            f"<results>/{product}/{name}_o001_{kind}.fits" for name in NAMES
        ],
    )


def write_ecsv(path, meta):
    path.parent.mkdir(parents=True, exist_ok=True)
    table = Table({"a": [1.0]}, meta=meta)
    table.write(path, format="ascii.ecsv", overwrite=True)


def write_json(folder, product, part, ends, **more):
    work = folder / product / "work"
    work.mkdir(parents=True, exist_ok=True)
    exposures = {
        name: {"status": status, "reason": reason}
        for name, (status, reason) in zip(NAMES, ends, strict=False)
    }
    (work / f"{product}_{part}.json").write_text(json.dumps({"exposures": exposures} | more))


def write_exposure(path, status, reason):
    header = fits.Header({"S_OUTLIR": status})
    line = f"snakewebb: outlier_detection {status}: {reason}"
    header["HISTORY"] = "other"
    header["HISTORY"] = line
    header["HISTORY"] = "snakewebb: skymatch FAILED: another"
    fits.PrimaryHDU(header=header).writeto(path)


def test_nothing_is_said_of_what_is_not_there(plan, tmp_path):
    assert outcomes(plan, tmp_path / "none") == []


def test_a_line_each(plan, tmp_path):
    good = ("COMPLETE", "")
    few = ("FAILED", "too few stars")
    write_json(tmp_path, "field", "alignment", [good, *[few] * 5], step="tweakreg")
    write_json(tmp_path, "field", "sky", [good, ("SKIPPED", "no overlap")])
    write_json(tmp_path, "disc", "sky", [("SKIPPED", "skip is set")] * 6)
    reason = "exposures have no errors, neither ERR nor variances, so nothing can be compared " * 2
    for name in NAMES[:2]:
        write_exposure(tmp_path / "field" / f"{name}_o001_crf.fits", "FAILED", reason.strip())
    write_exposure(tmp_path / "field" / f"{NAMES[2]}_o001_crf.fits", "COMPLETE", "well")
    status = {"status": "COMPLETE", "apcorr": "model of the PSF, total fluxes within 2 %"}
    status |= {"abvegaoffset": "none: no Vega magnitudes", "reason": ""}
    write_ecsv(tmp_path / "field" / "field_cat.ecsv", {"source_catalog": status})
    write_ecsv(
        tmp_path / "field" / "field_quality.ecsv",
        {"quality": {"status": "WARN", "warnings": ["max_pull: 3 > 2", "sky_step: 0.5 > 0.2"]}},
    )
    write_ecsv(
        tmp_path / "disc" / "disc_contrast.ecsv",
        {"contrast": {"status": "FAILED", "reason": "no ring"}, "psf": "x, approximate"},
    )
    assert outcomes(plan, tmp_path) == [
        f"FAILED field tweakreg: too few stars ({', '.join(NAMES[1:4])} and 2 more)",
        f"FAILED field outlier_detection: {reason.strip()} ({NAMES[0]}, {NAMES[1]})",
        "FAILED disc contrast: no ring",
        "WARN field quality: max_pull: 3 > 2",
        "WARN field quality: sky_step: 0.5 > 0.2",
        f"SKIPPED field skymatch: no overlap ({NAMES[1]})",
        "REFERENCE field source_catalog: model of the PSF, total fluxes within 2 %: "
        "reference_files.apcorr or crds replaces it",
        "REFERENCE field source_catalog: no Vega magnitudes: they need "
        "reference_files.abvegaoffset or crds",
        "REFERENCE disc contrast: fluxes rest on a model of the PSF that may be wrong by 30 %: "
        "give reference_files.psf",
    ]


def test_what_is_the_same_of_several_products_is_one_line(plan, tmp_path):
    plan.products = dict.fromkeys("abcd")
    status = {"status": "COMPLETE", "reason": "", "apcorr": "a.fits", "abvegaoffset": "none"}
    for name in plan.products:
        write_ecsv(tmp_path / name / f"{name}_cat.ecsv", {"source_catalog": status})
        write_json(tmp_path, name, "sky", [("SKIPPED", "no overlap")])
    asked = "no Vega magnitudes: they need reference_files.abvegaoffset or crds"
    assert outcomes(plan, tmp_path) == [
        f"SKIPPED a, b, c and 1 more skymatch: no overlap ({NAMES[0]})",
        f"REFERENCE a, b, c and 1 more source_catalog: {asked}",
    ]


def test_a_catalogue_with_its_files_says_nothing(plan, tmp_path):
    status = {"status": "COMPLETE", "apcorr": "crds://a.fits", "abvegaoffset": "v.asdf"}
    write_ecsv(tmp_path / "field" / "field_cat.ecsv", {"source_catalog": status | {"reason": ""}})
    assert outcomes(plan, tmp_path) == []


@pytest.mark.parametrize("content", ["", "{", "# %ECSV 1.0\n# ---\n# - {\n", "no table"])
def test_damaged_files_are_passed_over(plan, tmp_path, content):
    folder = tmp_path / "field"
    (folder / "work").mkdir(parents=True)
    for name in ("field_cat.ecsv", "work/field_sky.json", f"{NAMES[0]}_o001_crf.fits"):
        (folder / name).write_text(content)
    assert outcomes(plan, tmp_path) == []
