"""Reference files and parameters that a CRDS cache has for products of stage 3."""

import json

import pytest
import yaml
from astropy.io import fits

from crds_caches import CONTEXT, rmap, write_cache
from snakewebb.errors import InputError
from snakewebb.references.crds import CrdsCache
from snakewebb.references.parameters import read_parameters, tuned
from snakewebb.workflow.checks import remarks
from snakewebb.workflow.plan import read_plan
from workflow import REPO

OPTICS = ("META.EXPOSURE.TYPE", "META.INSTRUMENT.FILTER", "META.INSTRUMENT.PUPIL")
HEADER = {
    "INSTRUME": "NIRCAM",
    "DETECTOR": "NRCALONG",
    "FILTER": "F356W",
    "PUPIL": "CLEAR",
    "EXP_TYPE": "NRC_IMAGE",
    "DATE-OBS": "2023-01-01",
    "TIME-OBS": "00:00:00",
}


def pars(parameters, steps=(), tag="!<tag:stsci.edu:stpipe/step_config-1.0.0>"):
    """The text of a file of parameters, as stpipe writes them."""
    tree = {"class": "jwst.Step", "name": "step", "parameters": parameters}
    tree["steps"] = [{"class": "x", "name": n, "parameters": p} for n, p in dict(steps).items()]
    text = yaml.safe_dump({"history": {"extensions": []}, **tree})
    head = "#ASDF 1.0.0\n#ASDF_STANDARD 1.5.0\n%YAML 1.1\n%TAG ! tag:stsci.edu:asdf/\n"
    return f"{head}--- !core/asdf-1.1.0\n{text}...\n".encode()


def rules(reftype, number, parkey=OPTICS, key="('NRC_IMAGE', 'F356W', 'CLEAR')", end="asdf"):
    name = f"jwst_nircam_{reftype}_{number:04d}.{end}"
    row = f"{key} : UseAfter({{'2022-01-01 00:00:00' : {name!r}}}),"
    return rmap(parkey, row, reftype)


def make_cache(folder, numbers=(1, 1, 1), absent=(), **files):
    tweakreg, outliers, apcorr = numbers
    one = ("META.EXPOSURE.TYPE",)
    key = "('NRC_IMAGE',)"
    rmaps = {
        "apcorr": rules("apcorr", apcorr, one, key, "fits"),
        "abvegaoffset": "N/A",
        "pars-tweakregstep": rules("pars-tweakregstep", tweakreg),
        "pars-outlierdetectionstep": rules("pars-outlierdetectionstep", outliers),
        "pars-image3pipeline": rules("pars-image3pipeline", 1, one, key),
        "pars-skymatchstep": "N/A",
    }
    content = {
        f"jwst_nircam_apcorr_{apcorr:04d}.fits": b"",
        f"jwst_nircam_pars-tweakregstep_{tweakreg:04d}.asdf": pars(
            {"kernel_fwhm": 2.3, "snr_threshold": 7.0, "catalog_format": "ecsv", "sigma": "None"}
            | {"sigma": 2.5}
        ),
        f"jwst_nircam_pars-outlierdetectionstep_{outliers:04d}.asdf": pars({"snr": "6.0 5.0"}),
        "jwst_nircam_pars-image3pipeline_0001.asdf": pars(
            {"save_results": True}, {"tweakreg": {"kernel_fwhm": 2.4}, "cube_build": {"skip": True}}
        ),
    }
    content |= files
    return write_cache(folder, rmaps, {n: c for n, c in content.items() if n not in absent})


@pytest.fixture
def plan_of(tmp_path):
    """Return a function that makes a plan of two products, with a cache and a configuration."""

    def make(cache, config=(), context=CONTEXT, header=HEADER):
        members = []
        for number in (1, 2):
            path = tmp_path / f"jw01_0000{number}_nrcalong_cal.fits"
            primary = fits.PrimaryHDU()
            primary.header.update(header)
            fits.HDUList([primary, fits.ImageHDU(name="SCI")]).writeto(path, overwrite=True)
            members.append({"expname": path.name, "exptype": "science"})
        asn = tmp_path / "asn.json"
        asn.write_text(
            json.dumps(
                {
                    "asn_type": "image3",
                    "asn_id": "o001",
                    "products": [{"name": "field", "members": members}],
                }
            )
        )
        given = {"associations": [str(asn)], **dict(config)}
        files = {"crds": {"path": str(cache), "context": context}} | given.get(
            "reference_files", {}
        )
        schema = yaml.safe_load((REPO / "config" / "schema.yaml").read_text())
        return read_plan(given | {"reference_files": files}, schema)

    return make


def test_the_user_goes_before_crds_and_that_before_defaults(tmp_path, plan_of):
    cache = make_cache(tmp_path / "crds")
    plan = plan_of(cache)
    steps = plan.steps("field")
    assert steps["tweakreg"]["kernel_fwhm"] == 2.4  # of the pipeline's file, as in jwst
    assert steps["tweakreg"]["sigma"] == 2.5
    assert steps["tweakreg"]["snr_threshold"] == 7.0
    assert steps["outlier_detection"]["snr"] == "6.0 5.0"
    assert steps["tweakreg"]["nclip"] == 3
    own = {
        "steps": {"tweakreg": {"kernel_fwhm": 3.0, "snr_threshold": 9.0}},
        "products": {"field_i2d": {"steps": {"tweakreg": {"snr_threshold": 8.0}}}},
    }
    steps = plan_of(cache, own).steps("field")
    assert steps["tweakreg"]["kernel_fwhm"] == 3.0
    assert steps["tweakreg"]["snr_threshold"] == 8.0
    assert steps["tweakreg"]["sigma"] == 2.5


def test_products_name_what_they_are_made_with(tmp_path, plan_of):
    plan = plan_of(make_cache(tmp_path / "crds"))
    assert plan.references("field", ("apcorr", "abvegaoffset")) == {
        "apcorr": str(tmp_path / "crds/references/jwst/nircam/jwst_nircam_apcorr_0001.fits")
    }
    assert plan.reference_names("field", ("apcorr", "abvegaoffset", "pars-source_catalog")) == {
        "apcorr": "crds://jwst_nircam_apcorr_0001.fits"
    }
    assert plan.mosaic_options("field", "grid")["crds"] == {
        "tweakreg": "crds://jwst_nircam_pars-tweakregstep_0001.asdf, "
        "crds://jwst_nircam_pars-image3pipeline_0001.asdf",
        "outlier_detection": "crds://jwst_nircam_pars-outlierdetectionstep_0001.asdf",
    }
    assert remarks(plan) == []


def asked(plan):
    """All that rules of stage 3 ask of a plan that CRDS has a part in."""
    steps = {
        "tweakreg": ("find_sources", "align", "crf"),
        "skymatch": ("skymatch", "crf"),
        "outlier_detection": ("median", "crf"),
        "resample": ("drizzle", "grid", "i2d"),
        "source_catalog": ("source_catalog", "quality"),
    }
    found = {
        (step, rule): plan.options("field", step, rule)
        for step, rules in steps.items()
        for rule in rules
    }
    names = ("apcorr", "abvegaoffset", "pars-source_catalog")
    found["files"] = {
        path.rpartition("/")[2] for path in plan.references("field", names[:2]).values()
    }
    return found | {
        "names": plan.reference_names("field", names),
        "mosaic": plan.mosaic_options("field", "grid")["crds"],
    }


def test_what_is_made_again_is_what_is_chosen_otherwise(tmp_path, plan_of):
    first = asked(plan_of(make_cache(tmp_path / "a")))
    assert asked(plan_of(make_cache(tmp_path / "b"))) == first
    changes = {(2, 1, 1): {"mosaic"}, (1, 2, 1): {"mosaic"}, (1, 1, 2): {"files", "names"}}
    for number, (numbers, changed) in enumerate(changes.items()):
        other = asked(plan_of(make_cache(tmp_path / str(number), numbers)))
        assert {key for key in first if first[key] != other[key]} == changed
    other = make_cache(
        tmp_path / "c",
        **{"jwst_nircam_pars-outlierdetectionstep_0001.asdf": pars({"snr": "4.0 3.0"})},
    )
    different = asked(plan_of(other))
    assert {key for key in first if first[key] != different[key]} == {("outlier_detection", "crf")}


@pytest.mark.parametrize("given", ["my_apcorr.fits", "N/A"])
def test_a_file_that_is_given_replaces_that_of_crds(tmp_path, plan_of, given):
    plan = plan_of(make_cache(tmp_path / "crds"), {"reference_files": {"apcorr": given}})
    expected = {} if given == "N/A" else {"apcorr": given}
    assert plan.references("field", ("apcorr",)) == expected
    assert plan.reference_names("field", ("apcorr",)) == {}


def test_what_a_cache_lacks_is_told_and_done_without(tmp_path, plan_of):
    absent = ("jwst_nircam_apcorr_0001.fits", "jwst_nircam_pars-tweakregstep_0001.asdf")
    plan = plan_of(make_cache(tmp_path / "crds", absent=absent))
    assert plan.references("field", ("apcorr",)) == {}
    assert plan.steps("field")["tweakreg"]["sigma"] == 3.0
    told = remarks(plan)
    assert len(told) == 2
    assert "field: apcorr: crds:" in told[0]
    assert "lacks jwst_nircam_apcorr_0001.fits" in told[0]
    assert "lacks jwst_nircam_pars-tweakregstep_0001.asdf" in told[1]


def test_without_a_cache_nothing_is_asked(plan_of, monkeypatch):
    monkeypatch.setattr(CrdsCache, "best", lambda *_: pytest.fail("asked"))
    plan = plan_of("", {"reference_files": {"crds": {}}})
    assert plan.steps("field")["tweakreg"]["sigma"] == 3.0
    assert plan.reference_names("field", ("apcorr",)) == {}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pars({"sigma": "many"}), "sigma: .*'many'.*parameters of crds://jwst_nircam_pars-tweak"),
        (b"SIMPLE  = ", "pars-tweakregstep_0001.asdf: holds no parameters of a step: fetch it"),
        (b"#ASDF\n--- [", "pars-tweakregstep_0001.asdf: holds no parameters of a step: fetch it"),
        (b"--- {parameters: 3}", "holds no parameters of a step"),
        (b"--- {steps: [3]}", "holds no parameters of a step"),
        (b"--- " + b"[" * 20_000, "holds no parameters of a step"),
    ],
)
def test_a_file_of_parameters_that_cannot_be(tmp_path, plan_of, content, words):
    name = "jwst_nircam_pars-tweakregstep_0001.asdf"
    cache = make_cache(tmp_path / "crds", **{name: content})
    with pytest.raises(InputError, match=words):
        plan_of(cache)


def test_the_finder_of_jwst_is_tuned_not_ours(tmp_path, plan_of):
    parameters = {"snr_threshold": 3.5, "kernel_fwhm": 2.2, "npixels": 9}
    cache = make_cache(tmp_path / "crds")
    (cache / "references/jwst/nircam/jwst_nircam_pars-image3pipeline_0001.asdf").write_bytes(
        pars({}, {"source_catalog": {**parameters, "starfinder": "segmentation"}})
    )
    of = {finder: {"source_catalog": {"starfinder": finder}} for finder in ("segmentation", "dao")}
    for steps in of.values():
        found = plan_of(cache, {"steps": steps}).steps("field")["source_catalog"]
        assert found.items() >= parameters.items()
    found = plan_of(cache).steps("field")["source_catalog"]
    assert found["starfinder"] == "matched_filter"
    assert (found["snr_threshold"], found["kernel_fwhm"], found["npixels"]) == (None, 2.0, 9)


def test_real_files_of_parameters(tmp_path):
    """As stpipe wrote them in 2019, with the class among the parameters."""
    path = tmp_path / "jwst_miri_pars-tweakreg_0001.asdf"
    path.write_bytes(pars({"class": "jwst.tweakreg.TweakRegStep", "name": "t", "brightest": 100}))
    assert read_parameters(path) == ({"brightest": 100}, {})


def test_rules_of_crds_choose_parameters_by_filter(real_data):
    """Of the operational context jwst_0676, whose files are not there."""
    crds = CrdsCache(real_data / "references" / "crds_mappings", "jwst_0676.pmap")
    found = tuned(HEADER, "image3", crds)
    assert found.parameters == {}
    (remark,) = found.remarks
    assert "lacks jwst_nircam_pars-tweakregstep_" in remark
