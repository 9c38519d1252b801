"""The plan of a configuration: policy, without Snakemake."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from snakewebb.errors import InputError
from snakewebb.workflow.default_targets import default_targets
from snakewebb.workflow.plan import read_plan
from snakewebb.workflow.siblings import siblings
from workflow import REPO

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

SCHEMA = yaml.load((REPO / "config" / "schema.yaml").read_text(), LOADER)


@pytest.fixture
def make(tmp_path, monkeypatch):
    """A function: the plan of an image3 product ``x`` and a coron3 product ``y``."""
    monkeypatch.chdir(tmp_path)
    members = {
        "x": [("a_cal.fits", "science"), ("b_cal.fits", "science")],
        "y": [
            ("s_calints.fits", "science"),
            ("t_calints.fits", "science"),
            ("r_calints.fits", "psf"),
        ],
    }
    for name, kind, asn_id in (("x", "image3", "o001"), ("y", "coron3", "c1001")):
        listed = [{"expname": file, "exptype": exptype} for file, exptype in members[name]]
        product = {"name": name, "members": listed, "star_abmag": 5.0} if name == "y" else None
        product = product or {"name": name, "members": listed}
        table = {"asn_type": kind, "asn_id": asn_id, "products": [product]}
        Path(f"{name}.json").write_text(json.dumps(table))

    def plan(associations=("x.json", "y.json"), **config):
        return read_plan({"associations": list(associations), **config}, SCHEMA)

    return plan


def names(files):
    return {file.removeprefix("<results>/") for file in files}


IMAGES = {"a_o001_crf.fits", "b_o001_crf.fits"}
WORK = {"a_facts.json", "b_facts.json", "x_alignment.json", "x_facts.zip"}
QUALITY = {"x/x_quality.ecsv", "x/x_quality_exposures.ecsv", "x/x_depth.fits"}
QUALITY |= {"x/work/x_repeats.npz"}
QUALITY |= {f"x/plots/x_{name}" for name in ("quality.html", "residuals.png", "depth.png")}
PLOTS = {"alignment.png", "placements.png", "sky.png", "outliers.png", "worst.png"}
PLOTS |= {"status.html", "page.html", "picture.html"}
CATALOG = {"x/x_cat.ecsv", "x/x_cat.fits", "x/x_cat.reg", "x/x_segm.fits"}
CUBES = {"s_c1001_crfints.fits", "t_c1001_crfints.fits"}


def test_products_by_name_and_kind(make):
    plan = make()
    assert list(plan.products) == ["x", "y"]
    assert plan.of_kind(coronagraphic=True) == ["y"]
    assert plan.of_kind(coronagraphic=False) == ["x"]


def test_targets_of_an_image3_product(make):
    assert names(default_targets(make(["x.json"]))) == {
        *(f"x/{name}" for name in IMAGES),
        *(f"x/work/{name}" for name in WORK | {"x_sky.json", "x_median.fits"}),
        *(f"x/plots/x_{name}" for name in PLOTS | {"mosaic.png", "sources.png"}),
        "x/x_i2d.fits",
        *CATALOG,
        *QUALITY,
    }


@pytest.mark.parametrize(
    ("step", "without"),
    [
        ("skymatch", {"x/work/x_sky.json"}),
        ("outlier_detection", {"x/work/x_median.fits"}),
        ("source_catalog", {*CATALOG, "x/plots/x_sources.png"}),
        (
            "resample",
            {"x/x_i2d.fits", "x/plots/x_mosaic.png", "x/plots/x_sources.png"} | CATALOG | QUALITY,
        ),
        ("quality", QUALITY),
        ("tweakreg", set()),
    ],
)
def test_a_skipped_step_makes_nothing(make, step, without):
    whole, less = make(["x.json"]), make(["x.json"], steps={step: {"skip": True}})
    assert names(default_targets(whole)) - names(default_targets(less)) == without
    assert names(default_targets(less)) < names(default_targets(whole)) or not without


def test_exposures_are_rectified_on_demand(make):
    more = names(default_targets(make(["x.json"], exposure_i2d=True))) - names(
        default_targets(make(["x.json"]))
    )
    assert more == {"x/a_o001_i2d.fits", "x/b_o001_i2d.fits"}


def test_targets_of_a_coron3_product(make):
    plan = make(["y.json"], steps={"klip": {"truncate": [50, 5]}})
    plots = ("subtraction.png", "shifts.png", "eigenvalues.png", "coron_status.html", "mosaic.png")
    assert names(default_targets(plan)) == {
        *(f"y/{name}" for name in CUBES | {"r_c1001_crfints.fits"}),
        *("y/s_c1001_psfalign.fits", "y/t_c1001_psfalign.fits", "y/y_psfstack.fits"),
        *(f"y/{e}_c1001{modes}_psfsub.fits" for e in "st" for modes in ("", "_k5")),
        *("y/y_i2d.fits", "y/y_k5_i2d.fits", "y/work/y_stars.json"),
        *("y/y_contrast.ecsv", "y/y_detections.ecsv", "y/y_snr.fits"),
        *(f"y/plots/y_{name}" for name in (*plots, "contrast.png", "page.html", "picture.html")),
    }


def test_adi_needs_no_references(make):
    plan = make(["y.json"], steps={"klip": {"strategy": "ADI"}})
    assert not any("psfalign" in f or "psfstack" in f or "/r_" in f for f in default_targets(plan))
    assert names(plan.used_exposures("y")) == {"y/s_c1001_crfints.fits", "y/t_c1001_crfints.fits"}
    assert names(plan.other_rolls("y", "s", "c1001")) == {"y/t_c1001_crfints.fits"}
    assert make(["y.json"]).other_rolls("y", "s", "c1001") == []
    assert plan.aligned_reference("y", "s", "c1001") == plan.aligned_references("y") == []


def test_without_subtraction_there_is_no_contrast(make):
    plan = make(["y.json"], steps={"klip": {"skip": True}})
    assert not plan.has_contrast("y")
    assert plan.detections("y") == {}
    assert not any("contrast" in file or "snr" in file for file in default_targets(plan))


def test_numbers_of_modes(make):
    plan = make(steps={"klip": {"truncate": [50, 5]}})
    assert plan.truncations("y") == {"": 50, "_k5": 5}
    assert plan.klip_options("y", "")["truncate"] == 50
    assert plan.klip_options("y", "_k5")["truncate"] == 5
    assert plan.klip_options("y", "_k7")["truncate"] == 7
    assert plan.contrast_klip_options("y")["truncate"] == [50, 5]
    assert names(plan.subtracted("y", "_k5")) == {f"y/{e}_c1001_k5_psfsub.fits" for e in "st"}


def test_the_configuration_goes_before_the_association(make):
    assert make().star_brightness("y")["star_abmag"] == 5.0
    own = make(steps={"contrast": {"star_vegamag": 3.0}}).star_brightness("y")
    assert (own["star_vegamag"], own["star_abmag"]) == (3.0, None)


def test_a_product_has_steps_of_its_own(make):
    plan = make(
        steps={"resample": {"pixfrac": 0.9}},
        products={"x": {"steps": {"resample": {"pixfrac": 0.5}}}},
    )
    assert plan.options("x", "resample", "drizzle")["pixfrac"] == 0.5
    assert plan.options("y", "resample", "drizzle")["pixfrac"] == 0.9


def test_files_of_an_exposure(make):
    plan = make()
    assert plan.stage2_file("x", "a", "o001") == plan.stage2_file("x", "a") == "a_cal.fits"
    assert plan.stage2_file("y", "r", "c1001", ("science", "psf")) == "r_calints.fits"
    with pytest.raises(InputError, match="r is no exposure of y"):
        plan.stage2_file("y", "r", "c1001")
    assert plan.same_type("y", "s") == ["t_calints.fits"]
    assert plan.same_type("y", "r") == []
    with pytest.raises(InputError, match="c is no exposure of x"):
        plan.stage2_file("x", "c")
    with pytest.raises(InputError, match="files of x have the id o001"):
        plan.stage2_file("x", "a", "c1001")


@pytest.mark.parametrize("name", ["GAIADR3", "gaiadr2", "GAIAREFCAT", ""])
def test_a_service_is_no_file(make, name):
    assert make(steps={"tweakreg": {"abs_refcat": name}}).reference_catalog("x") is None
    assert make(steps={"tweakreg": {"abs_refcat": "a.ecsv"}}).reference_catalog("x") == "a.ecsv"


def test_sip_options(make):
    assert make(steps={"tweakreg": {"sip_approx": False}}).sip_options("x") is None
    options = make(steps={"tweakreg": {"sip_degree": 4}}).sip_options("x")
    assert options["degree"] == 4
    assert "approx" not in options


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"associations": ["x.json", "x.json"]}, "product x stands in the config 2 times"),
        ({"products": {"z": {}}}, "products.z: no association has this product: known are x, y"),
        ({"products": {"x": {}, "x_i2d.fits": {}}}, "given under two names"),
        ({"products": {"z": {"science": "none*.fits"}}}, "none.*: no file matches"),
    ],
)
def test_what_cannot_be_planned(make, config, message):
    with pytest.raises(InputError, match=message):
        make(**config)


def test_a_product_of_files(make):
    for name in ("c_cal.fits", "d_cal.fits"):
        Path(name).touch()
    plan = make([], products={"z": {"science": "*_cal.fits"}})
    assert plan.stage2_files("z") == ["c_cal.fits", "d_cal.fits"]
    assert "<results>/z/z_asn.json" in default_targets(plan)


def test_custom_catalogs(make):
    Path("cats.txt").write_text("a_cal.fits a.ecsv\nb_cal.fits\n")
    step = {"use_custom_catalogs": True, "catfile": "cats.txt"}
    plan = make(steps={"tweakreg": step})
    assert plan.custom_catalog("x", "a") == "a.ecsv"
    assert plan.custom_catalog("x", "b") is None
    assert plan.catalogs["y"] == {}


def test_planning_imports_nothing_heavy():
    program = (
        "import sys, snakewebb.workflow.plan, snakewebb.workflow.checks\n"
        "print({'numpy', 'astropy', 'asdf', 'numba', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(REPO / "lib")},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "set()", done.stderr


def test_the_pivot_of_velocity_aberration(make):
    assert make().dva_pivot("x") == "guide_star"
    own = {"x": {"image2": {"assign_wcs": {"dva_pivot": "aperture"}}}}
    plan = make(products=own)
    assert (plan.dva_pivot("x"), plan.dva_pivot("y")) == ("aperture", "guide_star")


def test_siblings_are_of_the_same_detector(make, tmp_path):
    names = [f"jw1_{n}_{detector}" for n in (1, 2, 3) for detector in ("nrca1", "nrca2")]
    table = {
        "asn_type": "image3",
        "asn_id": "o002",
        "products": [
            {
                "name": "z",
                "members": [{"expname": f"{n}_cal.fits", "exptype": "science"} for n in names],
            }
        ],
    }
    Path("z.json").write_text(json.dumps(table))
    plan = make(["x.json", "z.json"])
    found = [Path(path).name for path in siblings(plan, "z", "jw1_1_nrca2")]
    assert found == ["jw1_2_nrca2_cal.fits", "jw1_3_nrca2_cal.fits"]
    # Names that tell no detector: the exposure before and the one after.
    assert [Path(path).name for path in siblings(plan, "x", "a")] == ["b_cal.fits"]
    skipped = make(["x.json"], steps={"outlier_detection": {"skip": True}})
    assert siblings(skipped, "x", "a") == []
