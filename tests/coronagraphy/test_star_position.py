"""What find_stars writes, and the jobs after it read."""

import json
from dataclasses import replace

import numpy as np
import pytest

from snakewebb.coronagraphy.star_position import StarPosition, read_stars, write_stars
from snakewebb.errors import InputError
from snakewebb.wcs.geometry import Correction

STAR = StarPosition(
    (31.25, 30.1),
    (0.01, 0.02),
    Correction(150.0, -30.0, ((1.0, 0.0), (0.0, 1.0)), (0.1, -0.2)),
    roll=110.0,
    pixel_scale=0.063,
)


def test_what_is_written_is_read(tmp_path):
    stars = {"a": STAR, "b": replace(STAR, reason="has no good pixel")}
    write_stars(tmp_path / "stars.json", stars)
    assert read_stars(tmp_path / "stars.json") == stars
    assert [star.status for star in stars.values()] == ["COMPLETE", "FAILED"]
    assert STAR.sky == (150.0, -30.0)


def test_an_error_may_be_unknown(tmp_path):
    write_stars(tmp_path / "stars.json", {"a": replace(STAR, error=(np.nan, np.nan))})
    assert np.isnan(read_stars(tmp_path / "stars.json")["a"].error).all()


@pytest.mark.parametrize("change", [{"format": 0}, {"format": None}, {}])
def test_a_file_of_another_version_is_refused(tmp_path, change):
    path = tmp_path / "stars.json"
    write_stars(path, {"a": STAR})
    stars = json.loads(path.read_text())["stars"]
    path.write_text(json.dumps(change | {"stars": stars}))
    with pytest.raises(InputError, match=r"stars\.json: made by another version .*: remove it"):
        read_stars(path)
