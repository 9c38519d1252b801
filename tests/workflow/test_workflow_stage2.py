"""From count rates to a mosaic in one run, and what runs again after a change."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits

from snakewebb.io.provenance import read_notes
from snakewebb.simulate.presets import preset
from snakewebb.simulate.stage2 import write
from workflow import REPO, another, planned, snakemake, table

SCHEMA = yaml.safe_load((REPO / "config" / "schema.yaml").read_text())["properties"]
STAGE2 = {"background", "cal", "bsub", "quick_look"}
ROWS = table("Stage 2")
REFUSED = (("assign_wcs", "skip"), ("photom", "inverse"))
"""What no count rate of a product of stage 3 can have: nothing is planned then."""


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """An exposure of two detectors, and one beside it; the association of stage 3."""
    folder = tmp_path_factory.mktemp("rates")
    modules = replace(preset("nircam-modules", npix=160), stars=40, background=(0.0, 400.0))
    return write(replace(modules, dithers=modules.dithers[:1]), folder)


@pytest.fixture(scope="module")
def config(field):
    folder = field.parent
    return {
        "associations": sorted(map(str, folder.glob("*-o001_*_asn.json"))),
        "reference_files": {"crds": {"path": str(folder / "crds"), "context": "jwst_0001.pmap"}},
        "image2": {"resample": {"skip": False}, "save_bsub": True},
        "steps": {"source_catalog": {"skip": True}},
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory, config):
    folder = tmp_path_factory.mktemp("stage2")
    snakemake(folder, **config)
    return folder / "results"


@pytest.fixture(scope="module")
def plan(results):
    """A function: the jobs that would run now."""
    return lambda config, **changes: planned(results.parent, **{**config, **changes})


def exposures(jobs, rule):
    """Return the exposures that jobs of a rule are for."""
    return {name for job in jobs if job[0] == rule for name in job[1:] if "_nrc" in name}


def test_nothing_is_planned_after_the_run(plan, config):
    assert plan(config) == set()


def test_exposures_come_back_as_they_were_simulated(results, field):
    """But for the background, which was subtracted."""
    made = sorted((results / "exposures").glob("*_cal.fits"))
    assert len(made) == 2
    for path in made:
        with fits.open(path) as cal, fits.open(field.parent / "truth" / path.name) as truth:
            # What the background lacks is lost.
            good = np.isfinite(cal["SCI"].data) & np.isfinite(truth["SCI"].data)
            assert good.mean() > 0.97
            difference = (cal["SCI"].data - truth["SCI"].data)[good]
            level, error = np.median(difference), np.median(cal["ERR"].data[good])
            assert level == pytest.approx(-np.median(truth["SCI"].data[good]), rel=0.2)
            # What is left is the noise of the background, but for its sources.
            assert 1.4826 * np.median(abs(difference - level)) < error
            assert cal[0].header["R_FLAT"].startswith("crds://jwst_nircam_flat_")
            assert cal[0].header["S_BKDSUB"] == "COMPLETE"
            assert cal["SCI"].header["BUNIT"] == "MJy/sr"


def test_products_of_stage_2(results):
    for kind in ("bsub", "i2d", "cal"):
        assert len(list((results / "exposures").glob(f"*_{kind}.fits"))) == 2
    with fits.open(next((results / "exposures").glob("*_bsub.fits"))) as bsub:
        assert bsub["SCI"].header["BUNIT"] == "DN/s"
        assert "S_FLAT" not in bsub[0].header
    with fits.open(next((results / "exposures").glob("*_i2d.fits"))) as mosaic:
        assert mosaic[0].header["S_RESAMP"] == "COMPLETE"
        assert "HDRTAB" not in mosaic
    notes = read_notes(next((results / "exposures").glob("*_cal.fits")))
    assert len(notes["bkg_subtract"]["exposures"]) == 1
    (product,) = [path for path in results.glob("*/plots") if path.parent.name != "exposures"]
    assert len(list(product.glob("*stage2_status.html"))) == 1
    assert len(list(product.glob("*backgrounds.png"))) == 1


@pytest.mark.parametrize(("section", "keys", "rules"), ROWS, ids=lambda value: str(value)[:40])
def test_parameters(plan, config, field, section, keys, rules):
    part = SCHEMA["image2"]["properties"]
    inside = part[section]["properties"] if section in part else part
    if section == "reference_files":
        files = field.parent / "references"
        values = {key: [str(p) for p in files.glob(f"*_{key}_*")] for key in keys}
        change = {"reference_files": {**config["reference_files"], **values}}
    else:
        values = {}
        for key in [key for key in keys if (section, key) not in REFUSED]:
            default = config["image2"].get(section, {}).get(key, inside[key].get("default"))
            values[key] = another(key, {**inside[key], "default": default})
        image2 = {**config["image2"]}
        image2 |= {section: {**image2.get(section, {}), **values}} if section in part else values
        change = {"image2": image2}
    jobs = plan(config, **change)
    assert {job[0] for job in jobs} & STAGE2 == set(rules)
    assert ("find_sources" in {job[0] for job in jobs}) == ("cal" in rules)


def test_every_parameter_is_in_the_table():
    listed = [(section, key) for section, keys, _ in ROWS for key in keys]
    assert len(listed) == len(set(listed))
    for step, schema in SCHEMA["image2"]["properties"].items():
        known = {key for section, key in listed if section == step}
        assert known == set(schema.get("properties", ())), step


def test_a_flat_of_one_detector(plan, config, field, tmp_path):
    flats = sorted((field.parent / "references").glob("*_flat_*"))
    a, b = [path for path in flats if "nrc" in fits.getval(path, "DETECTOR").lower()]
    other = shutil.copy(b, tmp_path / "other_flat.fits")
    given = {fits.getval(a, "DETECTOR"): str(a), fits.getval(b, "DETECTOR"): str(other)}
    with_old = {"crds": config["reference_files"]["crds"], "flat": {**given, "NRCALONG": str(a)}}
    jobs = plan(config, reference_files=with_old)
    # A file that is CRDS's own is called otherwise if it is given by path.
    detector = fits.getval(b, "DETECTOR").lower()
    assert {name.rpartition("_")[2] for name in exposures(jobs, "cal")} >= {detector}
    in_place = {**config["reference_files"], "flat": {fits.getval(b, "DETECTOR"): str(other)}}
    jobs = plan(config, reference_files=in_place)
    assert {name.rpartition("_")[2] for name in exposures(jobs, "cal")} == {detector}
    assert exposures(jobs, "find_sources") == exposures(jobs, "quick_look")
    assert not any(job[0] == "background" for job in jobs)


def test_a_context_that_chooses_the_same(plan, config, field, tmp_path):
    """Only what is chosen counts, not what the context is called."""
    cache = field.parent / "crds"
    (cache / "mappings/jwst/jwst_0002.pmap").write_text(
        (cache / "mappings/jwst/jwst_0001.pmap").read_text()
    )
    files = {"crds": {"path": str(cache), "context": "jwst_0002.pmap"}}
    assert plan(config, reference_files=files) == set()


def test_a_background_less(plan, config, field):
    first = next(p for p in config["associations"] if "image2" in p)
    content = json.loads(Path(first).read_text())
    (product,) = content["products"]
    product["members"] = [m for m in product["members"] if m["exptype"] == "science"]
    other = field.parent / "one_less_image2_asn.json"
    other.write_text(json.dumps(content))
    associations = [str(other) if p == first else p for p in config["associations"]]
    jobs = plan(config, associations=associations)
    assert exposures(jobs, "cal") == exposures(jobs, "find_sources") == {product["name"]}
    assert not any(job[0] == "background" for job in jobs)
    other.unlink()
