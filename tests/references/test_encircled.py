"""The light within circles, against pictures of stars."""

import numpy as np
import pytest

from snakewebb.references.encircled import encircled_energy
from snakewebb.references.filters import Filter
from snakewebb.simulate.psf import make_psf
from snakewebb.simulate.references import energy_within, smoothed


@pytest.mark.parametrize(
    ("wavelength", "width", "scale"),
    [(1.154, 0.225, 0.031), (3.563, 0.787, 0.063), (7.639, 1.95, 0.11)],
)
def test_it_is_that_of_the_simulated_star(wavelength, width, scale):
    """Whose picture ends, so that what is within is more of what there is."""
    star = smoothed(make_psf(wavelength * 1e-6, width * 1e-6, scale), 3)
    pixels = np.array([1.0, 1.5, 2.0, 3.0, 5.0])
    truth = np.array([energy_within(star, r) for r in pixels])
    band = Filter(wavelength * 1e-6, width * 1e-6)
    found = encircled_energy(band, pixels * scale, [scale] * 4, scale)
    assert np.all(found < truth)
    assert found / truth == pytest.approx((found / truth).mean(), rel=6e-3)
    assert (found / truth).mean() > 0.97


def test_it_ends_with_all_of_the_light():
    band = Filter(2e-6, 0.4e-6)
    radii = np.array([1e-6, 0.01, 0.05, 0.2, 1.0, 3.0])
    found = encircled_energy(band, radii, [0.03], 0.03)
    assert np.all(np.diff(found) > 0)
    assert found[0] == pytest.approx(0, abs=1e-6)
    assert 0.97 < found[-1] < 1.01
    wide = encircled_energy(band, radii, [0.03, 0.1], 0.03)
    assert np.all(wide[1:4] < found[1:4]), "more squares spread the light"
    red = encircled_energy(Filter(4e-6, 0.8e-6), radii, [0.03], 0.03)
    assert np.all(red[1:4] < found[1:4])
