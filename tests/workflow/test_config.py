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
        ({"steps": {"source_catalog": {"apermask_method": "mask"}}}, "no meaning here"),
        ({"steps": {"tweakreg": {"sigma": "x"}}}, "sigma: a number from 0 to 1000, not 'x'"),
        ({"steps": {"tweakreg": {"minobj": 1.5}}}, "steps.tweakreg.minobj"),
        ({"steps": {"resample": {"pixfrac": 2}}}, "pixfrac: a number from 0 to 1, not 2: "),
        (
            {"steps": {"resample": {"kernel": "round"}}},
            "kernel: square, gaussian.* or lanczos3, not 'round'",
        ),
        ({"steps": {"resample": {"crpix": [1]}}}, "steps.resample.crpix"),
        ({"steps": []}, "steps: must hold keys"),
        ({"products": {"x": {"stps": {}}}}, "products.x.stps"),
        ({"products": {"x": {"steps": {"skymatch": {"nclp": 1}}}}}, "products.x.steps.skymatch"),
        ({"products": {"a": {}, 3: {}}}, "products: the name 3 is no text"),
        ({"steps": {"klip": {"truncate": []}}}, "steps.klip.truncate"),
        ({"steps": {"klip": {"truncate": [5, 5]}}}, "steps.klip.truncate"),
        (
            {"steps": {"klip": {"truncate": [5, -1]}}},
            "truncate: a whole number .* each once, not .5, -1.",
        ),
        ({"steps": {"klip": {"strategy": "SDI"}}}, "strategy: RDI, ADI or ADI.RDI, not 'SDI'"),
        ({"steps": {"contrast": {"star_flux": 0}}}, "steps.contrast.star_flux"),
        ({"reference_files": {"psfmask": {"F335M": 3}}}, "psfmask.F335M: a text, not 3"),
        ({"reference_files": {"psfmask": {"F335M": 3}}}, "not 3: see config/README.md"),
        ({"reference_files": {"apcorr": "a\nb"}}, r"apcorr: 'a\\nb' is not one line of text: "),
        ({"associations": ["a\nb"]}, r"associations: 'a\\nb' is not one line of text: "),
        ({"associations": "one.json"}, "associations: a list of texts, not 'one.json'"),
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
        (
            {"steps": {"outlier_detection": {"snr": "5 nan"}}},
            "snr: two numbers, like .5.0 4.0., not '5 nan'",
        ),
        (
            {"steps": {"outlier_detection": {"scale": "x y"}}},
            "scale: two numbers, like .1.2 0.7., not 'x y'",
        ),
        (
            {"steps": {"resample": {"fillval": "1.2.3"}}},
            "fillval: a number, NAN or INDEF, not '1.2.3'",
        ),
        ({"steps": {"resample": {"fillval": float("inf")}}}, "fillval: inf is no number"),
        (
            {"steps": {"resample": {"crval": [10, 91]}}},
            "a list of 2 numbers from -360 to 360 and from -90 to 90 or none, not .10, 91.",
        ),
        (
            {"steps": {"skymatch": {"dqbits": -1}}},
            "dqbits: names of DQ bits, like .* their sum or none, not -1",
        ),
        ({"exposure_i2d": "yes"}, "exposure_i2d: true or false, not 'yes'"),
        (
            {"steps": {"klip": {"annuli": 10**400}}},
            "klip.annuli: a whole number from 1 to 1000.*, not 1000",
        ),
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


def test_parameters_of_other_star_finders_are_not_used(schema):
    known = schema["properties"]["steps"]["properties"]["source_catalog"]["properties"]
    finders = known["starfinder"]["enum"]
    assert {each for p in known.values() for each in p.get("finders", ())} <= set(finders)
    used = {}
    for finder in finders:
        steps = {"source_catalog": {"starfinder": finder}}
        filled = config.complete({"steps": steps}, schema)["steps"]
        used[finder] = config.options(filled, schema, "source_catalog", "source_catalog").keys()
    assert "npixels" in used["segmentation"] - used["matched_filter"] - used["dao"]
    assert "kron_params" in used["matched_filter"] - used["segmentation"]
    assert "sharplo" in used["dao"] & used["iraf"] - used["segmentation"]
    common = {"snr_threshold", "bkg_boxsize", "kernel_fwhm", "aperture_ee1", "starfinder"}
    assert all(common <= names for names in used.values())


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
        "source_catalog": {"kron_params": ["1e0", 2]},
    }
    steps = config.complete({"steps": user}, schema)["steps"]
    assert steps["tweakreg"]["brightest"] is None
    assert steps["tweakreg"]["abs_refcat"] == ""
    assert steps["tweakreg"]["sigma"] == 0.001
    assert steps["skymatch"]["dqbits"] is steps["skymatch"]["lower"] is None
    assert steps["resample"]["fillval"] == "NAN"
    assert steps["resample"]["output_shape"] is steps["resample"]["weight_type"] is None
    assert steps["source_catalog"]["kron_params"] == [1.0, 2.0]


def test_what_the_command_line_gives_is_text(schema):
    step = {"skip": "TRUE", "minobj": "12", "abs_minobj": "7.0"}
    filled = config.complete({"exposure_i2d": "true", "steps": {"tweakreg": step}}, schema)
    assert filled["exposure_i2d"] is filled["steps"]["tweakreg"]["skip"] is True
    assert filled["steps"]["tweakreg"]["minobj"] == 12
    assert isinstance(filled["steps"]["tweakreg"]["abs_minobj"], int)
    assert config.complete({"max_mosaic_megapixels": "null"}, schema) == config.complete({}, schema)
    with pytest.raises(InputError, match=r"minobj: a whole number .*, not '1\.5'"):
        config.complete({"steps": {"tweakreg": {"minobj": "1.5"}}}, schema)


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
