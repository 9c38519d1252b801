"""What the exposures and the combined image of a scene have to do with each other."""

import numpy as np
import pytest

from snakewebb.coronagraphy.frame import Frame
from snakewebb.coronagraphy.psf import EffectivePsf
from snakewebb.coronagraphy.scene import Scene
from snakewebb.wcs.grid import Grid

STAR = (150.0, -30.0)
GRID = Grid(STAR, (40.0, 40.0), 0.2 / 3600, ((-1.0, 0.0), (0.0, 1.0)), (81, 81))
FRAMES = [
    Frame((20.0, 30.0), ((-10.0, 0.0), (0.0, 10.0))),
    Frame((24.0, 30.0), ((-10.0, 0.0), (0.0, 10.0))),
]


@pytest.fixture
def psf():
    y, x = np.indices((81, 81)) - 40
    return EffectivePsf.from_array(np.exp(-(x**2 + y**2) / 200), 8)


def test_the_combined_image_has_its_own_frame_and_psf(psf):
    scene = Scene([], FRAMES, psf, GRID, STAR)
    assert scene.frame.center == pytest.approx((40.0, 40.0))
    assert scene.frame.pixel_scale == pytest.approx(0.2)
    # Pixels are twice as large, which makes the star sharper in them, and wider on the sky.
    assert 0.5 < scene.image_psf.fwhm / psf.fwhm < 0.7


def test_transmission_is_a_mean_over_exposures_and_angles(psf):
    assert Scene([], FRAMES, psf, GRID, STAR).transmitted(1.0) == 1.0
    ramp = np.indices((61, 61))[1] / 60.0
    scene = Scene([], FRAMES, psf, GRID, STAR, ramp)
    assert scene.transmitted(1.0) == pytest.approx(22 / 60)
    assert scene.transmitted(1.0, [90.0]) == pytest.approx(12 / 60)
