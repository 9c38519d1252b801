"""Parameters of steps are those of the configuration, with its defaults."""

import dataclasses

import pytest

from scripts import SCHEMA
from snakewebb.coronagraphy.align_refs import AlignRefsOptions
from snakewebb.coronagraphy.klip import KlipOptions
from snakewebb.coronagraphy.outlier_detection import OutlierOptions
from snakewebb.coronagraphy.repair import RepairOptions
from snakewebb.coronagraphy.star_brightness import StarBrightness

USES = {
    OutlierOptions: ("outlier_detection", {"crfints"}, set()),
    RepairOptions: ("align_refs", {"repair"}, set()),
    AlignRefsOptions: ("align_refs", {"psfalign"}, set()),
    KlipOptions: ("klip", {"psfsub", "contrast"}, {"truncate"}),
    StarBrightness: ("contrast", {"contrast"}, set()),
}


@pytest.mark.parametrize("kind", USES)
def test_parameters_and_defaults_are_those_of_the_schema(kind):
    """Besides those that name the rules that use them, some that the plan hands on."""
    step, rules, others = USES[kind]
    known = SCHEMA["properties"]["steps"]["properties"][step]["properties"]
    expected = {
        name: value["default"]
        for name, value in known.items()
        if rules & set(value["rules"]) or name in others
    }
    assert {field.name: field.default for field in dataclasses.fields(kind)} == expected


def test_numbers_of_modes():
    assert KlipOptions(truncate=5).truncations == [5]
    assert KlipOptions(truncate=[7, 2]).truncations == [7, 2]
