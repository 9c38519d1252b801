from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal

import optics
from coronagraphs import speckles
from snakewebb.coronagraphy.point_symmetry import Fit, Undetermined
from snakewebb.coronagraphy.repair import repair_pixels
from snakewebb.coronagraphy.stack_refs import read_cube
from snakewebb.coronagraphy.star_search import (
    EMPTY,
    REACH,
    Sight,
    _best,
    _star,
    find_star,
    find_stars,
)
from snakewebb.simulate import coron_model, coronagraphy
from snakewebb.simulate.presets import preset

SHAPE = (120, 112)
STAR = np.array([55.3, 60.8])
EAST = np.array([1.0, 0.0])


def lost(star, guess, reason):
    """Assert that a star was not found, and is where the header says."""
    assert reason in star.reason
    assert "\n" not in star.reason
    assert_array_equal(star.center, guess)
    assert np.isnan(star.error).all()


# --- one exposure --------------------------------------------------------------------------------


@pytest.mark.parametrize("guess", [(55, 61), (55.5, 60.5), (56.9, 59.9), (54.2, 61.9)])
def test_the_star_is_found_from_any_guess_nearby(guess):
    star = find_star(speckles(SHAPE, STAR), guess)
    assert not star.reason
    assert_allclose(star.center, STAR, atol=2e-3)


def test_bad_pixels_do_not_move_the_star():
    image = speckles(SHAPE, STAR, seed=0)
    good = np.random.default_rng(0).random(SHAPE) > 0.06
    data, _, bad = repair_pixels(np.where(good, image, np.nan)[None], None)
    assert_array_equal(bad[0], ~good)
    star = find_star(data[0], (55, 61), good)
    assert_allclose(star.center, STAR, atol=1e-3)


def test_stars_of_other_telescopes():
    """Pupils, wavefronts, masks, companions and optics that the search was not made on."""
    stars, pulls = [], []
    for seed in range(700, 710):
        (sight,) = optics.observe(seed)
        star = find_star(sight.image, sight.mask)
        if star.reason:
            lost(star, sight.mask, "")
            continue
        stars.append(np.hypot(*(star.center - sight.star)))
        pulls.append((star.center - sight.star) / star.error)
    assert len(stars) >= 8
    assert np.median(stars) < 0.06
    assert max(stars) < 0.3
    assert 0.5 < 1.4826 * np.median(np.abs(pulls)) < 1.5
    assert np.abs(pulls).max() < 5


@pytest.mark.parametrize(
    ("seed", "offset", "reason"),
    [
        (926, (1, 2), "2.4 pixels from CRPIX"),  # starts judged by all of the light lead there
        (946, (1, 2), "as symmetric about"),
        (2178, (1, 2), "2.5 pixels from CRPIX"),
        (3163, (1, 2), "as about the place found"),
        (2127, (0, 0.5), "is uncertain by 0.12"),
        (2081, (0, 0.5), "is uncertain by 0.11"),
    ],
)
def test_a_quadrant_mask_draws_no_star_to_a_wrong_place(seed, offset, reason):
    kind = None if seed < 3000 else optics.QUADRANTS
    (sight,) = optics.observe(seed, offset, kind=kind)
    assert sight.kind == optics.QUADRANTS
    lost(find_star(sight.image, sight.mask), sight.mask, reason)


def test_the_error_of_a_star_that_smoothing_moves_covers_the_truth():
    (sight,) = optics.observe(941)
    star = find_star(sight.image, sight.mask)
    assert not star.reason
    assert (np.abs(star.center - sight.star) < 2 * star.error).all()


@pytest.mark.parametrize("kind", [optics.ROUND, optics.QUADRANTS, optics.SPOT])
def test_a_star_out_of_reach_is_not_found(kind):
    for seed in range(720, 723):
        (sight,) = optics.observe(seed, (4, 6), kind=kind)
        lost(find_star(sight.image, sight.mask), sight.mask, "")


def test_a_star_at_the_limit_is_not_found():
    offset = EAST * (REACH + 0.1)
    lost(find_star(speckles(SHAPE, STAR), STAR + offset), STAR + offset, "2.1 pixels from CRPIX")
    assert not find_star(speckles(SHAPE, STAR), STAR + offset - EAST * 0.2).reason


def test_no_star_is_found_where_there_is_none():
    rng = np.random.default_rng(3)
    guess = (55.4, 60.2)
    lost(find_star(np.full(SHAPE, 7.0), guess), guess, "no light")
    lost(find_star(rng.normal(size=SHAPE), guess), guess, "the light is")
    field = np.zeros(SHAPE)
    for x, y in rng.uniform(0, 110, (60, 2)):
        field += speckles(SHAPE, (x, y), count=1, reach=0.01) * rng.random()
    lost(find_star(field + rng.normal(size=SHAPE), guess), guess, "the light is")
    lost(find_star(speckles(SHAPE, STAR), (20.0, 60.0)), (20.0, 60.0), "20 pixels from the frame")
    nothing = np.zeros(SHAPE, bool)
    for good in (nothing, np.broadcast_to(np.arange(SHAPE[1]) < 50, SHAPE)):
        star = find_star(speckles(SHAPE, STAR), guess, good)
        lost(star, guess, "no pixels that are good on both sides")


def fit(x=50.0, y=50.0, quality=1.0, step=0.0):
    nothing = np.empty(0)
    return Fit(np.array([x, y]), quality, nothing, nothing, nothing, nothing, step)


class Light:
    """What `_best` and `_star` ask of the light: CRPIX at 50.2, 50 of a cut-out from 100, 200."""

    corner, guess = np.array([100, 200]), np.array([50.2, 50.0])

    def __init__(self, symmetry=0.9, error=(0.01, 0.01), rival=(51.0, 50.0)):
        self.half_pixels = lambda: (np.array([[rival, (52.0, 52.0)]]), np.array([[1.04, 1.06]]))
        self.symmetry = lambda fit: symmetry
        self.error = lambda fit: np.array(error)


@pytest.mark.parametrize(
    ("light", "fits", "reason"),
    [
        (Light(), [fit(52.3)], "the light is most symmetric about 152.3, 250.0, 2.1 pixels from"),
        (Light(), [fit(), fit(56.0, quality=0.5)], "about 156.0, 250.0, 5.8 pixels from CRPIX"),
        (Light(symmetry=0.1), [fit()], "the light is not symmetric about 150.0, 250.0: 0.10"),
        (Light(), [fit(), fit(51.0, quality=1.04)], "as symmetric about 150.0, 250.0 as about 151"),
    ],
)
def test_the_best_place_is_beyond_doubt(light, fits, reason):
    with pytest.raises(Undetermined) as caught:
        _best(light, fits)
    assert reason in str(caught.value)


def test_other_places_may_be_near_or_worse():
    best = fit()
    assert _best(Light(), [fit(50.1, quality=1.001), best, fit(53.0, quality=1.5)]) is best


@pytest.mark.parametrize(
    ("light", "last", "reason"),
    [
        (Light(), fit(52.27), "2.1 pixels from CRPIX"),
        (Light(), fit(step=0.1), "no place about 150.0, 250.0 is the most symmetric one"),
        (Light(), fit(50.4), "smoothed light has it at 150.00, 250.00, not at 150.40, 250.00"),
        (
            Light(rival=(50.0, 51.5)),
            fit(),
            "as symmetric about 150.0, 251.5 as about the place found",
        ),
        (Light(error=(0.03, 0.03)), fit(), "its place, 150.00, 250.00, is uncertain by 0.13"),
    ],
)
def test_the_last_place_is_beyond_doubt(light, last, reason):
    before = fit(52.0) if "CRPIX" in reason else fit()
    with pytest.raises(Undetermined) as caught:
        _star(light, before, last)
    assert reason in str(caught.value)


def test_the_error_grows_with_the_distance_from_the_mask():
    near, far = (_star(Light(), fit(x), fit(x)) for x in (50.2, 51.7))
    assert_array_equal(near.center, (150.2, 250.0))
    assert (near.error >= 0.03).all()
    assert (far.error > 1.5 * near.error).all()


def test_the_error_holds_what_smoothing_moves():
    assert (_star(Light(), fit(50.2), fit(50.4)).error > 0.2).all()


@pytest.mark.parametrize(("contrast", "separation"), [(4e-4, 0.75), (3e-3, 0.9)])
def test_a_companion_does_not_pass_for_the_star(contrast, separation):
    planet = coron_model.Companion(separation, 130.0, contrast)
    observation = replace(preset("nircam-coron", npix=96), companions=(planet,), integrations=1)
    telescope = coronagraphy.make_telescope(observation)
    exposures = coronagraphy.draw_exposures(observation, telescope.modes)
    for exposure in (next(exposures), next(exposures)):
        model, _ = coronagraphy.simulate(observation, telescope, exposure)
        data, _, bad = repair_pixels(model.data, model.dq)
        guess = [exposure.frame.wcsinfo[f"crpix{axis}"] - 1 for axis in (1, 2)]
        star = find_star(data[0], guess, ~bad[0])
        if star.reason and contrast > 1e-3:  # too bright to be sure
            lost(star, guess, "is uncertain by 0.1")
            continue
        assert not star.reason
        assert_allclose(star.center, exposure.star[0], atol=0.15)
        assert (np.abs(star.center - exposure.star[0]) < 3 * star.error).all()


# --- several exposures ---------------------------------------------------------------------------


def rolls(*places, guesses=((55.0, 61.0),) * 4):
    images = [speckles(SHAPE, place, seed=k) for k, place in enumerate(places)]
    guesses = guesses[: len(images)]
    names = [f"roll{k + 1}" for k in range(len(images))]
    return find_stars(map(Sight, images, guesses), names)


def test_rolls_that_agree_are_found():
    for star, place in zip(rolls(STAR, STAR + 0.4), (STAR, STAR + 0.4), strict=True):
        assert_allclose(star.center, place, atol=2e-3)


def test_two_rolls_that_contradict_each_other_are_both_lost():
    for star in rolls(STAR + EAST * 1.3, STAR - EAST * 0.9):
        lost(star, (55, 61), "roll1 at 56.60, 60.80, roll2 at 54.40, 60.80")


def test_of_three_rolls_one_may_be_wrong():
    one, two, three = rolls(STAR + EAST * 1.3, STAR - EAST * 0.9, STAR - EAST * 0.8 - 0.1)
    lost(one, (55, 61), "roll1 at 56.60, 60.80, roll2 at 54.40, 60.80, roll3 at 54.40, 60.70")
    assert not two.reason
    assert not three.reason


def test_one_rolls_wrong_crpix_does_not_move_its_star():
    moved = ((55.0, 61.0), (56.8, 61.0))
    assert not any(star.reason for star in rolls(STAR, STAR, guesses=moved))
    # Frames that were cut differently.
    shift = np.array([9.0, -4.0])
    stars = rolls(STAR, STAR + shift, guesses=((55.0, 61.0), (64.0, 57.0)))
    assert not any(star.reason for star in stars)


def test_an_exposure_without_pixels_is_no_contradiction():
    sights = [Sight(None, (55, 61)), Sight(speckles(SHAPE, STAR), (55, 61))]
    empty, star = find_stars(sights, ["a", "b"])
    lost(empty, (55, 61), EMPTY)
    assert_allclose(star.center, STAR, atol=2e-3)


# --- real data -----------------------------------------------------------------------------------


def test_stars_that_were_once_refused_or_misplaced(real_data):
    paths = sorted((real_data / "faults").glob("coron_star_*.fits"))
    assert len(paths) == 4
    for path in paths:
        header, image = fits.getheader(path), fits.getdata(path).astype(float)
        data, _, bad = repair_pixels(image[None], None)
        star = find_star(data[0], (header["GUESS_X"], header["GUESS_Y"]), ~bad[0])
        truth = np.array([header["STAR_X"], header["STAR_Y"]])
        assert not star.reason
        assert np.hypot(*(star.center - truth)) < 0.1
        assert (np.abs(star.center - truth) < 3 * star.error).all()


@pytest.mark.parametrize("guess", [(150, 174), (151, 173)])
def test_real_rolls_agree(real_data, guess):
    # The files were made so that the star is at 150, 174.
    sights = []
    for path in sorted((real_data / "aumic_f356w").glob("jw0118400[12]*_calints.fits")):
        planes = read_cube(path)
        data, _, bad = repair_pixels(planes.data, planes.dq)
        sights.append(Sight(data[0], guess, ~bad[0]))
    one, other = find_stars(sights, ["one", "other"])
    assert_allclose(one.center, other.center, atol=0.05)
    for star in (one, other):
        assert_allclose(star.center, (150, 174), atol=0.25)
