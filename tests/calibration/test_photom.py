import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from snakewebb.calibration.photom import photom
from snakewebb.io.dq import DO_NOT_USE
from snakewebb.io.planes import INVALIDATED

FACTOR = 0.4567890123
POWERS = {"SCI": 1, "ERR": 1, "VAR_POISSON": 2, "VAR_RNOISE": 2, "VAR_FLAT": 2}


def rate(shape=(30, 40)):
    rng = np.random.default_rng(3)
    planes = {name: rng.uniform(0.5, 2.0, shape).astype(np.float32) for name in INVALIDATED}
    planes["DQ"] = rng.choice(np.array([0, 4, 1024], np.uint32), shape)
    planes["DQ"][..., 0, 0] |= DO_NOT_USE
    planes["VAR_FLAT"][..., 0, 1] = np.nan
    planes["SCI"][..., 0, 2] = np.inf
    return planes


@pytest.mark.parametrize("shape", [(30, 40), (3, 30, 40)])
@pytest.mark.parametrize("inverse", [False, True])
def test_units(shape, inverse):
    planes, before = rate(shape), rate(shape)
    photom(planes, FACTOR, inverse)
    bad = (before["DQ"] & DO_NOT_USE) != 0
    bad[..., 0, 1:3] = True
    factor = 1 / FACTOR if inverse else FACTOR
    for name, power in POWERS.items():
        expected = np.where(bad, np.nan, before[name].astype(float) * factor**power)
        assert_allclose(planes[name], expected, rtol=1e-6)
    assert_array_equal(planes["DQ"], before["DQ"] | np.where(bad, DO_NOT_USE, 0).astype(np.uint32))


def test_there_and_back():
    planes, before = rate(), rate()
    photom(planes, FACTOR)
    photom(planes, FACTOR, inverse=True)
    good = (planes["DQ"] & DO_NOT_USE) == 0
    for name in POWERS:
        assert_allclose(planes[name][good], before[name][good], rtol=1e-6)


def test_planes_that_are_not_there_are_not_made():
    planes = {"SCI": np.ones((3, 4), np.float32), "DQ": np.zeros((3, 4), np.uint32)}
    photom(planes, 2.0)
    assert planes.keys() == {"SCI", "DQ"}
    assert (planes["SCI"] == 2).all()
