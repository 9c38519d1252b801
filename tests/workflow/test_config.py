import pytest
import yaml

from snakewebb.errors import InputError
from snakewebb.workflow import config


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
        ({"reference_files": {"psfmask": {"F335M": 3}}}, "psfmask.F335M: 3 is not of type 'stri"),
        ({"reference_files": {"psfmask": {"F335M": 3}}}, "'string': see config/README.md"),
        ({"reference_files": {"apcorr": "a\nb"}}, r"apcorr: 'a\\nb' is not one line of text: "),
        ({"associations": ["a\nb"]}, r"associations: 'a\\nb' is not one line of text: "),
        ({"associations": "one.json"}, "associations: 'one.json'"),
        ({"steps": {"tweakreg": {"save_results": True}}}, "tweakreg.save_results: is a parameter"),
        ({"steps": {"klip": {"suffix": "x"}}}, "klip.suffix: is a parameter of jwst"),
        ({"steps": {"output_dir": "x"}}, "steps.output_dir: is a parameter of jwst"),
        ({"output_file": "x"}, "output_file: is a parameter of jwst that has no meaning here"),
        ({"products": {"x": {"steps": {"resample": {"pre_hooks": []}}}}}, "pre_hooks: is a para"),
        ({"steps": {"source_catalog": {"override_apcorr": "x"}}}, "reference_files names files"),
        ({"image2": {"flat_field": {"user_supplied_flat": "x"}}}, "reference_files names files"),
        ({"steps": {"skymatch": {"lower": 2, "upper": 1}}}, "lower: 2.0 is not below upper"),
        ({"steps": {"tweakreg": {"sharplo": 3}}}, "sharplo: 3.0 is not below sharphi"),
        ({"steps": {"source_catalog": {"aperture_ee2": 70}}}, "aperture_ee2: 70 is not below"),
        ({"steps": {"outlier_detection": {"snr": "5 nan"}}}, "snr: '5 nan'"),
        ({"steps": {"outlier_detection": {"scale": "x y"}}}, "scale: 'x y'"),
        ({"steps": {"resample": {"fillval": "1.2.3"}}}, "fillval: '1.2.3'"),
        ({"steps": {"resample": {"fillval": float("inf")}}}, "fillval: inf is no number"),
        ({"steps": {"resample": {"crval": [10, 91]}}}, "crval: 91"),
        ({"steps": {"skymatch": {"dqbits": -1}}}, "dqbits: -1"),
        ({"steps": {"klip": {"annuli": 10**400}}}, "klip.annuli: 1000"),
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


def numbers(schema, where=()):
    """Return the path and schema of each value that may be a number or a list of them."""
    for key, sub in schema["properties"].items():
        if "properties" in sub:
            yield from numbers(sub, (*where, key))
        elif any(word in f"{sub.get('type')} {sub.get('items')}" for word in ("number", "integer")):
            yield (*where, key), sub


def test_no_number_is_absurd(schema):
    """NaN passes every minimum and maximum, and some numbers no computation stands."""
    found = list(numbers(schema))
    assert len(found) > 75
    for where, sub in found:
        for value in (float("nan"), float("inf"), -float("inf"), 1e39, -1e39, 10**400):
            if where[-1] == "fillval" and value != value:
                continue
            for wrong in (value, [1, value], [value, 1]):
                with pytest.raises(InputError) as caught:
                    config._checked(wrong, sub, where[-1])
                assert str(caught.value).startswith(f"{where[-1]}: ")


def test_what_jwst_and_new_yaml_write(schema):
    """Text for nothing, numbers with an exponent alone, NaN as a number."""
    user = {
        "tweakreg": {"brightest": "None", "abs_refcat": "none", "sigma": "1e-3"},
        "skymatch": {"dqbits": "None", "lower": "none"},
        "resample": {"fillval": float("nan"), "output_shape": "None", "weight_type": "None"},
        "source_catalog": {"apermask_method": "none", "kron_params": ["1e0", 2]},
    }
    steps = config.complete({"steps": user}, schema)["steps"]
    assert steps["tweakreg"]["brightest"] is None
    assert steps["tweakreg"]["abs_refcat"] == ""
    assert steps["tweakreg"]["sigma"] == 0.001
    assert steps["skymatch"]["dqbits"] is steps["skymatch"]["lower"] is None
    assert steps["resample"]["fillval"] == "NAN"
    assert steps["resample"]["output_shape"] is steps["resample"]["weight_type"] is None
    assert steps["source_catalog"]["apermask_method"] == "none"
    assert steps["source_catalog"]["kron_params"] == [1.0, 2.0]


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
