"""What stage 2 makes: policy, without Snakemake."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits

from snakewebb.errors import InputError
from snakewebb.io.asdf_tree import created
from snakewebb.workflow.associations import write_association
from snakewebb.workflow.checks import check_plan, remarks
from snakewebb.workflow.default_targets import default_targets
from snakewebb.workflow.plan import read_plan
from workflow import REPO

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
SCHEMA = yaml.load((REPO / "config" / "schema.yaml").read_text(), LOADER)
SETUP = {"INSTRUME": "MIRI", "DETECTOR": "MIRIMAGE", "FILTER": "F770W", "EXP_TYPE": "MIR_IMAGE"}
STAR = {"CRPIX1": 1.0, "CRPIX2": 1.5}
REFERENCES = dict.fromkeys(("distortion", "filteroffset", "flat", "photom", "area"), "N/A")
GIVEN = {**REFERENCES, "distortion": "d.asdf"}


def rate(name, **header):
    """Write an exposure of 2 × 2 pixels, or of two integrations if its name says so."""
    primary = fits.PrimaryHDU()
    primary.header.update({**SETUP, **header})
    Path(name).parent.mkdir(exist_ok=True)
    shape = (2, 2, 2) if "ints" in name else (2, 2)
    fits.HDUList([primary, fits.ImageHDU(np.ones(shape, "f4"), name="SCI")]).writeto(name)
    return name


def association(name, products, **more):
    listed = [
        {"name": key, "members": [{"expname": e, "exptype": t} for e, t in members]}
        for key, members in products.items()
    ]
    table = {"asn_id": "o001", "asn_pool": "pool", "products": listed, **more}
    Path(name).write_text(json.dumps(table))
    return name


@pytest.fixture
def make(tmp_path, monkeypatch):
    """A function: the plan of a configuration, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    Path("d.asdf").write_bytes(created({}))
    return lambda **config: read_plan({"reference_files": GIVEN, **config}, SCHEMA)


LEVEL3 = ("l3.json", {"x": [("a_cal.fits", "science"), ("b_cal.fits", "science")]})


def test_a_missing_cal_is_made_of_the_rate_beside_it(make):
    rate("a_rate.fits")
    Path("b_cal.fits").touch()
    plan = make(associations=[association(*LEVEL3, asn_type="image3")])
    assert plan.stage2_files("x") == ["<results>/exposures/a_cal.fits", "b_cal.fits"]
    assert plan.stage2.rate_file("a", "cal") == "a_rate.fits"
    assert plan.products["x"].members[0].source == "a_rate.fits"
    assert "<results>/exposures/a_cal.fits" not in default_targets(plan)  # but for the mosaic


def test_a_cal_that_is_there_is_not_made(make):
    rate("a_rate.fits")
    for name in ("a_cal.fits", "b_cal.fits"):
        Path(name).touch()
    plan = make(associations=[association(*LEVEL3, asn_type="image3")])
    assert plan.stage2_files("x") == ["a_cal.fits", "b_cal.fits"]
    assert plan.stage2.exposures == {}


def test_level_2_and_level_3_in_one_list(make):
    for name in ("a", "b", "sky1", "sky2"):
        rate(f"{name}_rate.fits")
    sky = [(f"sky{n}_rate.fits", "background") for n in (1, 2)]
    level2 = association(
        "l2.json",
        {
            "a": [("a_rate.fits", "science"), *sky],
            "b": [("b_rate.fits", "Science"), *sky, ("i_rate.fits", "imprint")],
        },
        asn_type="image2",
    )
    plan = make(associations=[level2, association(*LEVEL3, asn_type="image3")])
    check_plan(plan)
    stage2 = plan.stage2
    assert list(stage2.exposures) == ["a_cal", "b_cal"]
    assert plan.stage2_files("x") == [f"<results>/exposures/{n}_cal.fits" for n in "ab"]
    background = stage2.background_file("a", "cal")
    assert background == stage2.background_file("b", "cal")  # made once for both
    name = background.removeprefix("<results>/exposures/").removesuffix("_combinedbackground.fits")
    assert stage2.background_set(name) == ["sky1_rate.fits", "sky2_rate.fits"]
    assert stage2.background_options(name) == {"maxiters": None, "sigma": 3.0}
    assert stage2.asn_metadata("a", "cal") == {"pool_name": "pool", "table_name": "l2.json"}
    assert set(default_targets(plan)) > {f"<results>/exposures/{n}_cal.fits" for n in "ab"}
    assert remarks(plan) == ["associations hold what is not used: exptype imprint (1)"]


def test_an_association_of_stage_2_counts_before_a_file(make):
    rate("a_rate.fits")
    for name in ("a_cal.fits", "b_cal.fits"):
        Path(name).touch()
    level2 = association("l2.json", {"a": [("a_rate.fits", "science")]}, asn_type="image2")
    plan = make(associations=[level2, association(*LEVEL3, asn_type="image3")])
    assert plan.stage2_files("x") == ["<results>/exposures/a_cal.fits", "b_cal.fits"]


def test_plain_forms_of_level_2(make):
    rate("p/a_rate.fits")
    rate("b_rateints.fits")
    plain = association(
        "l2.json",
        {"p/a_rate": [("p/a_rate.fits", "science")]},
        asn_type="None",
        asn_rule="DMSLevel2bBase",
    )
    plan = make(associations=[plain, "b_rateints.fits"])
    assert list(plan.stage2.exposures) == ["a_cal", "b_calints"]
    assert default_targets(plan) == [
        "<results>/exposures/a_cal.fits",
        "<results>/exposures/b_calints.fits",
        "<results>/exposures/plots/exposures_stage2_status.html",
    ]
    assert plan.stage2.asn_metadata("b", "calints") == {"pool_name": "none", "table_name": "none"}


def test_files_without_an_association(make):
    for name, filter_name in (("a", "F770W"), ("b", "F1000W"), ("s1", "F770W"), ("s2", "F1000W")):
        rate(f"{name}_rate.fits", FILTER=filter_name)
    plan = make(products={"x": {"science": "[ab]_rate.fits", "background": "s?_rate.fits"}})
    stage2 = plan.stage2
    assert stage2.backgrounds("a", "cal") == ["s1_rate.fits"]
    assert stage2.backgrounds("b", "cal") == ["s2_rate.fits"]
    assert plan.stage2_files("x") == [f"<results>/exposures/{n}_cal.fits" for n in "ab"]
    assert {m.exptype for m in plan.products["x"].members} == {"science"}
    write_association("x_asn.json", "x", plan.listed_files("x"))
    (table,) = json.loads(Path("x_asn.json").read_text())["products"]
    assert [m["expname"] for m in table["members"]] == [f"../exposures/{n}_cal.fits" for n in "ab"]


def test_a_background_of_no_such_filter_is_told(make):
    rate("a_rate.fits")
    rate("s_rate.fits", FILTER="F560W")
    plan = make(products={"x": {"science": "a_rate.fits", "background": "s_rate.fits"}})
    with pytest.raises(
        InputError, match=r"a_rate.fits: no background exposure is of MIRI MIRIMAGE F7"
    ):
        check_plan(plan)
    skip = {"bkg_subtract": {"skip": True}}
    plan = make(
        image2=skip, products={"x": {"science": "a_rate.fits", "background": "s_rate.fits"}}
    )
    assert plan.stage2.background_file("a", "cal") is None


def test_exposures_are_the_background_of_each_other(make):
    for name, filter_name in (*((n, "F770W") for n in "abc"), ("d", "F560W")):
        rate(f"{name}_rate.fits", FILTER=filter_name)
    products = {"x": {"science": "[abc]_rate.fits", "background": "self"}}
    plan = make(products=products)
    check_plan(plan)
    assert plan.stage2.backgrounds("a", "cal") == ["b_rate.fits", "c_rate.fits"]
    assert plan.stage2.backgrounds("b", "cal") == ["a_rate.fits", "c_rate.fits"]
    files = {plan.stage2.background_file(name, "cal") for name in "abc"}
    assert len(files) == 3
    assert remarks(plan) == []
    assert plan.stage2.rates_with_background("x") == [f"{n}_rate.fits" for n in "abc"]
    with pytest.raises(
        InputError, match=r"d_rate.fits: is a background of its own product, with 0"
    ):
        check_plan(make(products={"x": {"science": "*_rate.fits", "background": "self"}}))
    with pytest.raises(InputError, match=r"is made for x and y, whose image2"):
        make(products={**products, "y": {"science": "a_rate.fits"}})


def test_backgrounds_of_its_own_and_of_its_product(make):
    for name in "abcs":
        rate(f"{name}_rate.fits")
    members = [("a_rate.fits", "science"), ("s_rate.fits", "background")]
    level2 = association("l2.json", {"a": members}, asn_type="image2")
    level3 = association(*LEVEL3, asn_type="image3")
    with pytest.raises(InputError, match=r"products.x.background: self: a has .* \(l2.json\)"):
        make(associations=[level2, level3], products={"x": {"background": "self"}})


def test_an_exposure_is_no_background_of_itself(make):
    for name in "as":
        rate(f"{name}_rate.fits")
    sky = [("a_rate.fits", "background"), ("s_rate.fits", "background")]
    level2 = association("l2.json", {"a": [("a_rate.fits", "science"), *sky]}, asn_type="image2")
    plan = make(associations=[level2])
    assert plan.stage2.backgrounds("a", "cal") == ["s_rate.fits"]
    assert remarks(plan) == ["a: left out of its own backgrounds (1 exposures)"]


def test_coronagraphy_starts_from_rateints(make):
    for name in ("s", "r"):
        rate(f"{name}_rateints.fits", EXP_TYPE="MIR_4QPM", CORONMSK="4QPM_1140", **STAR)
    plan = make(products={"y": {"science": "s_rateints.fits", "psf": "r_rateints.fits"}})
    check_plan(plan)
    assert plan.of_kind(coronagraphic=True) == ["y"]
    wanted = [f"<results>/exposures/{name}_calints.fits" for name in "sr"]
    assert [member.path for member in plan.products["y"].members] == wanted


def test_time_series_keep_their_background(make):
    rate("s_rate.fits")
    rate("t_rateints.fits", TSOVISIT=True)
    rate("u_rateints.fits")
    level2 = {n: [(f"{n}_rateints.fits", "science"), ("s_rate.fits", "background")] for n in "tu"}
    plan = make(associations=[association("l2.json", level2, asn_type="image2")])
    assert plan.stage2.background_file("t", "calints") is None
    assert plan.stage2.background_file("u", "calints")


@pytest.mark.parametrize(
    ("wanted", "made"),
    [
        ({"save_bsub": True}, {"a_bsub", "t_bsubints"}),
        ({"resample": {"skip": False}}, {"a_i2d"}),
        ({}, set()),
    ],
)
def test_products_on_request(make, wanted, made):
    for name in ("a_rate", "s_rate", "t_rateints"):
        rate(f"{name}.fits")
    sky = ("s_rate.fits", "background")
    level2 = {"a": [("a_rate.fits", "science"), sky], "t": [("t_rateints.fits", "science"), sky]}
    plan = make(associations=[association("l2.json", level2, asn_type="image2")], image2=wanted)
    always = {"a_cal", "t_calints"}
    files = {f"<results>/exposures/{n}.fits" for n in always | made}
    plots = "<results>/exposures/plots/exposures"
    assert set(default_targets(plan)) == {
        *files,
        f"{plots}_stage2_status.html",
        f"{plots}_backgrounds.png",
    }


def test_no_bsub_without_a_background(make):
    rate("a_rate.fits")
    with pytest.raises(InputError, match="a_bsub: has no background: there is no such file of it"):
        make(associations=["a_rate.fits"]).stage2.subtracted_background("a", "bsub")


def test_parameters_by_product_and_by_exposure(make):
    for name in ("a_rate", "b_rate"):
        rate(f"{name}.fits")
    other = {"photom": {"skip": True}}
    products = {
        "x": {"science": ["a_rate.fits", "b_rate.fits"], "image2": other},
        "a": {"image2": {"flat_field": {"skip": True}}},
    }
    stage2 = make(products=products).stage2
    options = {name: stage2.options(name, "cal", "cal") for name in "ab"}
    assert options["b"]["photom"] == {
        "apply_time_correction": True,
        "inverse": False,
        "skip": True,
    }
    assert options["a"]["flat_field"]["skip"]
    assert not options["a"]["photom"]["skip"]
    assert list(options["a"]) == ["assign_wcs", "flat_field", "photom"]
    assert stage2.options("a", "cal", "background") == {
        "bkg_subtract": {"maxiters": None, "sigma": 3.0}
    }


def test_products_that_differ_in_an_exposure_they_share(make):
    rate("a_rate.fits")
    products = {
        "x": {"science": "a_rate.fits", "image2": {"photom": {"skip": True}}},
        "y": {"science": "a_rate.fits", "steps": {"resample": {"skip": True}}},
    }
    with pytest.raises(InputError, match=r"a: is made for x and y, whose image2 or reference_fil"):
        make(products=products)
    assert make(products={**products, "a": {}}).stage2.exposures


def test_one_exposure_made_in_two_ways(make):
    for name in ("a_rate", "s_rate", "p/a_rate"):
        rate(f"{name}.fits")
    one = association("1.json", {"a": [("a_rate.fits", "science")]}, asn_type="image2")
    for members in (
        [("a_rate.fits", "science"), ("s_rate.fits", "background")],
        [("p/a_rate.fits", "science")],
    ):
        two = association("2.json", {"a": members}, asn_type="image2")
        with pytest.raises(InputError, match=r"a_cal: is to be made in two ways, of .*1.json"):
            make(associations=[one, two])
    # The same in two associations is no contradiction.
    two = association("2.json", {"a": [("a_rate.fits", "science")]}, asn_type="image2")
    assert list(make(associations=[one, two]).stage2.exposures) == ["a_cal"]


def test_reference_files_of_an_exposure(make):
    rate("a_rate.fits")
    plan = make(associations=["a_rate.fits"])
    assert plan.stage2.references("a", "cal") == {"distortion": "d.asdf"}
    assert plan.stage2.reference_names("a", "cal") == {"distortion": "d.asdf"}
    plan = make(associations=["a_rate.fits"], image2={"assign_wcs": {"skip": True}})
    assert plan.stage2.references("a", "cal") == {}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"S_PHOTOM": "COMPLETE"}, "is calibrated: give the _rate"),
        ({"EXP_TYPE": "MIR_MRS"}, "EXP_TYPE is MIR_MRS: give exposures of imaging or coronagraphy"),
    ],
)
def test_what_cannot_be_calibrated_is_told_at_the_start(make, header, message):
    rate("a_rate.fits", **header)
    with pytest.raises(InputError, match=message):
        check_plan(make(associations=["a_rate.fits"]))


def test_files_that_are_missing_are_told_at_the_start(make):
    with pytest.raises(InputError, match=r"a_rate.fits: there is no such file"):
        check_plan(make(associations=["a_rate.fits"]))
    rate("a_rate.fits")
    members = [("a_rate.fits", "science"), ("s_rate.fits", "background")]
    level2 = association("l2.json", {"a": members}, asn_type="image2")
    with pytest.raises(InputError, match=r"s_rate.fits: there is no such file"):
        check_plan(make(associations=[level2]))


def test_no_product_is_called_as_the_folder_of_exposures(make):
    rate("a_rate.fits")
    with pytest.raises(InputError, match="product exposures: is what the folder"):
        make(products={"exposures": {"science": "a_rate.fits"}})
