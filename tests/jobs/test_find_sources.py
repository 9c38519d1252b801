"""The kernel with which stars are found, where nobody says which."""

import json
from dataclasses import replace

import pytest

from snakewebb.jobs.find_sources import describe_exposure
from snakewebb.simulate import observation
from snakewebb.simulate.presets import MIRI_FIELD, NIRCAM_FIELD

ONE = {"dithers": ((0.0, 0.0),), "npix": 320, "galaxies": 0, "cosmic_ray_rate": 0.0}


@pytest.mark.parametrize(
    ("field", "wider"),
    [
        (replace(MIRI_FIELD, filter="F1500W", stars=40, **ONE), True),
        (replace(NIRCAM_FIELD, stars=40, **ONE), False),
    ],
)
def test_stars_of_wide_filters_are_found(tmp_path, field, wider):
    """By default the kernel is jwst's, or as wide as a star."""
    observation.write(field, tmp_path)
    (exposure,) = tmp_path.glob("*_cal.fits")
    found = {}
    for kernel in (None, 2.5):
        step = {} if kernel is None else {"kernel_fwhm": kernel}
        describe_exposure(exposure, tmp_path / "facts.json", step=step)
        found[kernel] = json.loads((tmp_path / "facts.json").read_text())["sources"]
    if wider:
        assert len(found[None]["id"]) > 1.3 * len(found[2.5]["id"])
    else:
        assert found[None] == found[2.5]
