"""What is around a pixel explains its difference from the model, and no more than that."""

import numpy as np
import pytest

from snakewebb.mosaicking.surroundings import SOURCE, SPREAD, Surroundings

N = 15
MIDDLE = N * (N // 2) + N // 2
QUIET = np.array([1e-6])


def explained(model, image=None, *, spread=0.0, noise=QUIET, error=0.0, above=True, place=MIDDLE):
    models = np.stack((model, model)).astype(np.float32)
    around = Surroundings(models, np.array([place]), np.array([above]))
    seen = np.float32(model if image is None else image)
    (found,) = around.explain(seen, noise, error, np.array([spread]))
    return found


def slope(step):
    return step * np.indices((N, N))[1].astype(float)


def star(height, fwhm=4.0):
    y, x = np.indices((N, N)) - N // 2
    return height * np.exp(-4 * np.log(2) * (x**2 + y**2) / fwhm**2)


@pytest.mark.parametrize("above", [True, False])
def test_slopes_at_the_error_of_the_alignment(above):
    assert explained(slope(10.0), error=0.0, above=above) == pytest.approx(0, abs=1e-4)
    assert explained(slope(10.0), error=0.2, above=above) == pytest.approx(2.0)
    # that of neighbours counts, too: a star beside the pixel
    image = star(100.0, 2.0)
    steps = np.abs(np.diff(image, axis=1)).max()
    assert explained(image, error=0.3, place=MIDDLE + 2) == pytest.approx(0.3 * steps)


def test_others_that_differ_explain_what_is_above_them():
    noise = np.array([0.5])
    assert explained(slope(10.0), spread=0.5, noise=noise) == 0
    found = explained(slope(10.0), spread=3.0, noise=noise)
    assert found == pytest.approx(SPREAD * 2.5)
    assert explained(slope(10.0), spread=3.0, noise=noise, above=False) == 0


def test_one_of_the_others_that_is_struck_explains_nothing():
    """By no more than what light there is can others differ."""
    assert explained(np.full((N, N), 7.0), spread=1000.0) == 0
    assert explained(slope(10.0), spread=1000.0) == pytest.approx(SOURCE * 40.0)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_brighter_star_is_off_in_proportion(share):
    """By its light, and by so much more of what its shape explains."""
    image, place = star(100.0), MIDDLE + 1
    light = image.flat[place] - image[5:10, 6:11].min()
    steps = np.abs(np.diff(image, axis=1)).max()
    found = explained(image, (1 + share) * image, error=2.0, place=place)
    assert found == pytest.approx((1 + share) * 2.0 * steps + share * light, rel=0.05)


def test_one_bright_neighbour_makes_no_star_brighter():
    image = star(100.0)
    struck = image.copy()
    struck.flat[MIDDLE + 1] += 500
    assert explained(image, struck) == pytest.approx(explained(image))
