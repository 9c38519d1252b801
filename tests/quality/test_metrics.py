"""Numbers against thresholds."""

import numpy as np
import pytest
import yaml

from snakewebb.quality.metrics import METRICS, Thresholds, judge
from snakewebb.quality.repeats import Number
from workflow import REPO

GOOD = {name: Number(0.0, 10) for name in METRICS} | {"depth": Number(28.0, 10)}
KEYS = {name: key for name, (_, key, _) in METRICS.items() if key}


def by_name(numbers=GOOD, outlying=(), **thresholds):
    found = judge(numbers, Thresholds(**thresholds), "MJy/sr", outlying)
    assert [metric.name for metric in found] == list(METRICS)
    return {metric.name: metric for metric in found}


def test_good_numbers_are_ok():
    assert {metric.status for metric in by_name().values()} == {"OK"}
    assert by_name()["sky_step"].unit == "MJy/sr"


@pytest.mark.parametrize("name", sorted(set(KEYS) - {"outlying_exposures"}))
def test_each_threshold_marks_what_is_beyond_it_and_says_why(name):
    key = KEYS[name]
    least = key.startswith("min_")
    inside, beyond = (1.1, 0.9) if least else (0.9, 1.1)
    for factor, status in ((inside, "OK"), (1.0, "OK"), (beyond, "WARN")):
        found = by_name({**GOOD, name: Number(0.25 * factor, 7)}, **{key: 0.25})[name]
        assert found.status == status
        assert (found.value, found.n, found.threshold) == (0.25 * factor, 7, 0.25)
        assert bool(found.reason) == (status == "WARN")
        if found.reason:
            word = "less" if least else "more"
            assert found.reason == f"{0.25 * factor:.4g} is {word} than {key} 0.25"
    assert (
        by_name({**GOOD, name: Number(1e9 if not least else -1e9, 7)}, **{key: None})[name].status
        == "OK"
    )


def test_a_threshold_is_passed_by_more_than_the_error():
    for value, status in ((4.0, "OK"), (5.9, "OK"), (6.1, "WARN")):
        number = Number(value, 9, error=1.0)
        found = by_name({**GOOD, "separation_rms_5": number}, max_separation_rms=5.0)
        assert found["separation_rms_5"].status == status
        assert found["separation_rms_5"].error == 1.0
    assert found["separation_rms_5"].reason == "6.1 ± 1 is more than max_separation_rms 5"
    deep = by_name({**GOOD, "depth": Number(27.5, 9, error=0.6)}, min_depth=28.0)["depth"]
    assert deep.status == "OK"


def test_exposures_that_stand_out_are_named():
    numbers = {**GOOD, "outlying_exposures": Number(2.0, 9)}
    found = by_name(numbers, outlying=["a: its sky", "b: its stars"])["outlying_exposures"]
    assert (found.status, found.reason) == ("WARN", "a: its sky; b: its stars")


def test_what_could_not_be_measured_is_absent_and_says_why():
    found = by_name({name: Number(reason="why") for name in METRICS})
    for metric in found.values():
        assert (metric.status, metric.reason) == ("ABSENT", "why")
        assert np.isnan(metric.value)


def test_defaults_are_those_of_the_configuration():
    schema = yaml.safe_load((REPO / "config" / "schema.yaml").read_text())
    keys = schema["properties"]["steps"]["properties"]["quality"]["properties"]
    defaults = {name: key["default"] for name, key in keys.items() if key["rules"]}
    assert defaults == vars(Thresholds())
