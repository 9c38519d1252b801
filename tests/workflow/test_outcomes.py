"""What is told at the end of a run of products that are not as they should be."""

from types import SimpleNamespace

import pytest
from astropy.io import fits
from astropy.table import Table

from snakewebb.workflow.outcomes import outcomes

NAMES = [f"jw01234001001_02101_0000{n}_nrcalong" for n in range(1, 7)]
KEYS = {
    "tweakreg": "S_TWKREG", "skymatch": "S_SKYMAT", "outlier_detection": "S_OUTLIR",
    "align_psfs": "S_PSFALI", "klip": "S_KLIP", "flat_field": "S_FLAT",
}  # fmt: skip


@pytest.fixture
def plan():
    """Of two products, as much of it as is asked."""
    return SimpleNamespace(
        products={"field": None, "disc": None},
        files=lambda product, kind, exptype: [
            f"<results>/{product}/{name}_o001_{kind}.fits" for name in NAMES
        ],
    )


def write_ecsv(path, meta):
    path.parent.mkdir(parents=True, exist_ok=True)
    table = Table({"a": [1.0]}, meta=meta)
    table.write(path, format="ascii.ecsv", overwrite=True)


def write_exposure(path, **ends):
    """Write an exposure of steps that ended so: status, reason."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = fits.Header({KEYS[step]: status for step, (status, _) in ends.items()})
    header["HISTORY"] = "other"
    for step, (status, reason) in ends.items():
        header["HISTORY"] = f"snakewebb: {step} {status}: {reason}"
    fits.PrimaryHDU(header=header).writeto(path)


def test_nothing_is_said_of_what_is_not_there(plan, tmp_path):
    assert outcomes(plan, results=tmp_path / "none") == []


def test_a_line_each(plan, tmp_path):
    reason = "exposures have no errors, neither ERR nor variances, so nothing can be compared " * 2
    long, few = ("FAILED", reason.strip()), ("FAILED", "too few stars")
    good, alone = ("COMPLETE", "well"), ("SKIPPED", "no overlap")
    for k, name in enumerate(NAMES):
        write_exposure(
            tmp_path / "field" / f"{name}_o001_crf.fits",
            tweakreg=few if k else good,
            skymatch=alone if k == 1 else good,
            outlier_detection=long if k < 2 else good,
        )
        purpose = ("SKIPPED", "skip is set")
        write_exposure(tmp_path / "disc" / f"{name}_o001_crfints.fits", outlier_detection=purpose)
    # What the references say of their outliers stands in them.
    lost = {"align_psfs": ("FAILED", "not symmetric"), "outlier_detection": long}
    write_exposure(tmp_path / "disc" / f"{NAMES[0]}_o001_psfsub.fits", klip=alone, **lost)
    write_exposure(tmp_path / "disc" / f"{NAMES[0]}_o001_psfalign.fits", **lost)
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
    assert outcomes(plan, results=tmp_path) == [
        f"FAILED field outlier_detection: {reason.strip()} ({NAMES[0]}, {NAMES[1]})",
        f"FAILED field tweakreg: too few stars ({', '.join(NAMES[1:4])} and 2 more)",
        f"FAILED disc align_psfs: not symmetric ({NAMES[0]})",
        "FAILED disc contrast: no ring",
        "WARN field quality: max_pull: 3 > 2",
        "WARN field quality: sky_step: 0.5 > 0.2",
        f"SKIPPED field skymatch: no overlap ({NAMES[1]})",
        f"SKIPPED disc klip: no overlap ({NAMES[0]})",
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
        alone = {"skymatch": ("SKIPPED", "no overlap")}
        write_exposure(tmp_path / name / f"{NAMES[0]}_o001_crf.fits", **alone)
    write_ecsv(tmp_path / "fields" / "f" / "f_cat.ecsv", {"source_catalog": {"status": "FAILED"}})
    asked = "no Vega magnitudes: they need reference_files.abvegaoffset or crds"
    assert outcomes(plan, ["f"], tmp_path) == [
        "FAILED field f source_catalog: ",
        f"SKIPPED a, b, c and 1 more skymatch: no overlap ({NAMES[0]})",
        f"REFERENCE a, b, c and 1 more source_catalog: {asked}",
    ]


def test_a_contrast_curve_says_what_it_was_not_given(plan, tmp_path):
    meta = {"contrast": {"status": "COMPLETE", "reason": ""}, "star_flux_Jy": 0.7}
    meta |= {"coronagraph_transmission": "mask.fits", "psf": "psf.fits"}
    write_ecsv(tmp_path / "disc" / "disc_contrast.ecsv", meta)
    assert outcomes(plan, results=tmp_path) == []
    meta |= {"coronagraph_transmission": "not given: 1", "star_flux_Jy": None}
    write_ecsv(tmp_path / "disc" / "disc_contrast.ecsv", meta)
    assert outcomes(plan, results=tmp_path) == [
        "REFERENCE disc contrast: limits are in MJy/sr, not relative to the star: give "
        "contrast.star_flux",
        "REFERENCE disc contrast: losses by the coronagraph's mask are not in it: give "
        "reference_files.throughput",
    ]


def test_what_was_done_before_is_not_told(plan, tmp_path):
    """Steps of the archive, whose reasons are not ours to tell."""
    path = tmp_path / "field" / f"{NAMES[0]}_o001_crf.fits"
    path.parent.mkdir()
    header = fits.Header({"S_FLAT": "SKIPPED", "S_PHOTOM": "SKIPPED"})
    header["HISTORY"] = "snakewebb: photom SKIPPED: no file"
    fits.PrimaryHDU(header=header).writeto(path)
    assert outcomes(plan, results=tmp_path) == [f"SKIPPED field photom: no file ({NAMES[0]})"]


def test_a_complete_catalogue_that_lacks_something_is_to_be_warned_of(plan, tmp_path):
    status = {"status": "COMPLETE", "apcorr": "a.fits", "abvegaoffset": "v.asdf"}
    status |= {"reason": "no source"}
    write_ecsv(tmp_path / "field" / "field_cat.ecsv", {"source_catalog": status})
    assert outcomes(plan, results=tmp_path) == ["WARN field source_catalog: no source"]


def test_a_catalogue_with_its_files_says_nothing(plan, tmp_path):
    status = {"status": "COMPLETE", "apcorr": "crds://a.fits", "abvegaoffset": "v.asdf"}
    write_ecsv(tmp_path / "field" / "field_cat.ecsv", {"source_catalog": status | {"reason": ""}})
    assert outcomes(plan, results=tmp_path) == []


@pytest.mark.parametrize("content", ["", "{", "# %ECSV 1.0\n# ---\n# - {\n", "no table"])
def test_damaged_files_are_passed_over(plan, tmp_path, content):
    folder = tmp_path / "field"
    folder.mkdir()
    for name in ("field_cat.ecsv", f"{NAMES[0]}_o001_crf.fits"):
        (folder / name).write_text(content)
    assert outcomes(plan, results=tmp_path) == []
