import pytest
import yaml

from snakewebb import config
from snakewebb.errors import InputError


@pytest.fixture(scope="module")
def schema(repo):
    return yaml.safe_load((repo / "config" / "schema.yaml").read_text())


def test_reference_page_is_that_of_the_schema(repo, schema):
    assert (repo / "config" / "README.md").read_text() == config.reference(schema), "run make docs"


def test_defaults_are_filled_in(schema):
    steps = config.complete({}, schema)["steps"]
    assert steps["tweakreg"]["searchrad"] == 2.0
    assert steps["outlier_detection"]["snr"] == "5.0 4.0"
    assert not steps["source_catalog"]["skip"]


def test_order_of_keys_does_not_matter(schema):
    one = config.complete(
        {"exposure_i2d": True, "steps": {"tweakreg": {"sigma": 2, "minobj": 9}}}, schema
    )
    two = config.complete(
        {"steps": {"tweakreg": {"minobj": 9, "sigma": 2}}, "exposure_i2d": True}, schema
    )
    assert repr(one) == repr(two)


def test_a_product_overrides_single_values(schema):
    user = {
        "steps": {"tweakreg": {"minobj": 9}},
        "products": {"galaxy": {"steps": {"tweakreg": {"sigma": 2.0}}}},
    }
    filled = config.complete(user, schema)
    own = filled["products"]["galaxy"]["steps"]["tweakreg"]
    assert (own["minobj"], own["sigma"]) == (9, 2.0)
    assert filled["steps"]["tweakreg"]["sigma"] == 3.0


def test_a_product_has_reference_files_of_its_own(schema):
    user = {
        "reference_files": {"apcorr": "a.fits", "abvegaoffset": "b.asdf"},
        "products": {"galaxy": {"reference_files": {"apcorr": "c.fits"}}},
    }
    filled = config.complete(user, schema)
    own = filled["products"]["galaxy"]["reference_files"]
    assert (own["apcorr"], own["abvegaoffset"]) == ("c.fits", "b.asdf")
    assert filled["reference_files"]["apcorr"] == "a.fits"


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ({"asociations": []}, "asociations: unknown key: did you mean associations"),
        ({"steps": {"tweakrg": {}}}, "did you mean tweakreg"),
        ({"steps": {"tweakreg": {"serchrad": 1}}}, "did you mean searchrad"),
        ({"steps": {"tweakreg": {"in_memory": True}}}, "no meaning here"),
        ({"steps": {"tweakreg": {"sigma": "x"}}}, "steps.tweakreg.sigma: 'x'"),
        ({"steps": {"tweakreg": {"minobj": 1.5}}}, "steps.tweakreg.minobj"),
        ({"steps": {"resample": {"pixfrac": 2}}}, "maximum of 1"),
        ({"steps": {"resample": {"kernel": "round"}}}, "'round' is not one of"),
        ({"steps": {"resample": {"crpix": [1]}}}, "steps.resample.crpix"),
        ({"steps": []}, "steps: must hold keys"),
        ({"products": {"x": {"stps": {}}}}, "products.x.stps"),
        ({"products": {"x": {"steps": {"skymatch": {"nclp": 1}}}}}, "products.x.steps.skymatch"),
        ({"products": {"a": {}, 3: {}}}, "products: the name 3 is no text"),
        ({"steps": {"klip": {"truncate": []}}}, "steps.klip.truncate"),
        ({"steps": {"klip": {"truncate": [5, 5]}}}, "steps.klip.truncate"),
        ({"steps": {"klip": {"truncate": [5, -1]}}}, "steps.klip.truncate: -1"),
        ({"steps": {"klip": {"strategy": "SDI"}}}, "'SDI' is not one of"),
        ({"steps": {"contrast": {"star_flux": 0}}}, "steps.contrast.star_flux"),
        ({"reference_files": {"psfmask": {"F335M": 3}}}, "reference_files.psfmask.F335M: 3"),
        ({"associations": "one.json"}, "associations: 'one.json'"),
    ],
)
def test_mistakes_are_told_in_one_line(schema, user, message):
    with pytest.raises(InputError, match=message) as error:
        config.complete(user, schema)
    assert "\n" not in str(error.value)


def test_every_parameter_has_default_and_meaning(schema):
    for step in schema["properties"]["steps"]["properties"].values():
        for name, parameter in step["properties"].items():
            assert {"default", "description", "rules"} <= set(parameter), name
            config._checked(parameter["default"], parameter, name)


def test_options_are_those_of_a_rule(schema):
    steps = config.complete({}, schema)["steps"]
    flag = config.options(steps, schema, "outlier_detection", "crf")
    assert list(flag) == ["backg", "resample_data", "scale", "snr"]


def test_every_rule_says_how_much_memory_and_time_it_takes(repo):
    for path in (repo / "rules").glob("*.smk"):
        for rule in path.read_text().split("\nrule ")[1:]:
            if "localrule: True" not in rule:
                assert "        mem_mb=memory" in rule, rule.splitlines()[0]
                assert "        runtime=minutes" in rule, rule.splitlines()[0]
