"""Defaults of options stand in dataclasses and in the configuration's schema: the same."""

from dataclasses import fields

import pytest
import yaml

from snakewebb.astrometry.options import AbsoluteMatching, Matching
from snakewebb.errors import InputError
from snakewebb.jobs.options import option_names, options_of
from snakewebb.jobs.solve_field import OTHERS
from snakewebb.mosaicking.median import MedianOptions
from snakewebb.mosaicking.outlier_detection import OutlierOptions
from snakewebb.mosaicking.resample import DrizzleOptions
from snakewebb.mosaicking.sky_overlaps import SkyOptions
from snakewebb.sources.catalog import CatalogOptions
from snakewebb.sources.star_finders import FinderOptions
from workflow import REPO

SCHEMA = yaml.safe_load((REPO / "config" / "schema.yaml").read_text())
STEPS = SCHEMA["properties"]["steps"]["properties"]
WITHOUT = {"abs_xoffset", "abs_yoffset"}
"""What the configuration has no name for."""


@pytest.mark.parametrize(
    ("kind", "step", "prefix"),
    [
        (FinderOptions, "tweakreg", ""),
        (Matching, "tweakreg", ""),
        (AbsoluteMatching, "tweakreg", "abs_"),
        (SkyOptions, "skymatch", ""),
        (MedianOptions, "outlier_detection", ""),
        (OutlierOptions, "outlier_detection", ""),
        (CatalogOptions, "source_catalog", ""),
        (DrizzleOptions, "resample", ""),
    ],
)
def test_defaults_are_those_of_the_schema(kind, step, prefix):
    options = STEPS[step]["properties"]
    names = {prefix + field.name for field in fields(kind)} - WITHOUT
    if kind is FinderOptions:
        names.remove("kernel_fwhm")  # by default it depends on the filter
    defaults = {name: options[name]["default"] for name in names}
    own = {name: getattr(kind(), name.removeprefix(prefix)) for name in names}
    assert own == defaults
    assert {n: type(v) for n, v in own.items()} == {n: type(v) for n, v in defaults.items()}
    assert options_of(kind, defaults, prefix) == kind()


@pytest.mark.parametrize(
    ("kinds", "step", "rule", "others"),
    [
        ([FinderOptions], "tweakreg", "find_sources", {"skip"}),
        ([SkyOptions], "skymatch", "skymatch", {"match_down"}),
        ([MedianOptions], "outlier_detection", "median", set()),
        ([OutlierOptions], "outlier_detection", "crf", set()),
        ([CatalogOptions], "source_catalog", "source_catalog", set()),
        ([DrizzleOptions], "resample", "drizzle", set()),
    ],
)
def test_no_option_of_a_rule_goes_unread(kinds, step, rule, others):
    options = STEPS[step]["properties"]
    given = {name for name, option in options.items() if rule in option.get("rules", ())}
    assert given == {field.name for kind in kinds for field in fields(kind)} | others


def test_no_option_of_align_goes_unread():
    options = STEPS["tweakreg"]["properties"]
    given = {name for name, option in options.items() if "align" in option.get("rules", ())}
    read = option_names(Matching) | option_names(AbsoluteMatching, "abs_") | OTHERS
    assert given == read - WITHOUT


def test_options_are_found_by_their_names():
    given = {"minobj": 4, "abs_minobj": 9}
    assert options_of(Matching, given, others=["abs_minobj"]) == Matching(minobj=4)
    absolute = options_of(AbsoluteMatching, given, "abs_", others=["minobj"])
    assert absolute == AbsoluteMatching(minobj=9)
    with pytest.raises(InputError, match=r"no option minobjs: known are .*minobj"):
        options_of(Matching, {"minobjs": 4})
