import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from coronagraphs import speckles
from snakewebb.coronagraphy.align_refs import align
from snakewebb.coronagraphy.klip import KlipOptions, Library
from snakewebb.coronagraphy.reduction import Roll, reduction
from snakewebb.coronagraphy.star_light import StarLight, find_light

SHAPE = (150, 160)
STAR = (80.3, 74.6)
NOISE = 0.5


def field(seed, count=15, shape=SHAPE):
    """Other stars, one of them in the star's light."""
    rng = np.random.default_rng([seed, 11])
    x, y = rng.uniform(0, shape[1], count), rng.uniform(0, shape[0], count)
    angle = 2 * np.pi * rng.random()
    x[0], y[0] = STAR[0] + 14 * np.cos(angle), STAR[1] + 14 * np.sin(angle)
    v, u = np.indices(shape)
    heights = np.append(120.0, rng.uniform(50, 3000, count - 1))
    return sum(
        h * np.exp(-((u - a) ** 2 + (v - b) ** 2) / 4)
        for a, b, h in zip(x, y, heights, strict=True)
    )


def cube(count, *, stars=None, shift=(0.0, 0.0), drift=0.02, seed=0, shape=SHAPE):
    rng = np.random.default_rng([seed, 13])
    place = np.add(STAR, shift)
    light = [speckles(shape, place, count=80, drift=drift, drift_seed=k) for k in range(count)]
    light = np.array(light) + NOISE * rng.standard_normal((count, *shape))
    return light if stars is None else light + field(stars, shape=shape)


def distance(shape=SHAPE):
    y, x = np.indices(shape)
    return np.hypot(x - STAR[0], y - STAR[1])


TARGET = cube(3, stars=1, seed=1)
REFERENCES = cube(6, stars=2, seed=2)
GROUPS = list("aabbcc")


def test_the_light_of_a_star_ends_in_noise_and_other_stars_are_not_in_it():
    light = find_light(TARGET.mean(axis=0), REFERENCES, STAR, GROUPS)
    assert 15 <= light.radius <= 40
    assert_array_equal(light.near, distance() <= light.radius)
    assert not (light.alone & ~light.near).any()
    for stars in (1, 2):
        bright = (field(stars) > 50) & (distance() < 20)
        assert bright.sum() > 5
        assert not light.alone[bright].any()
    assert light.alone.sum() > 0.6 * light.near.sum()


def test_a_frame_full_of_light_is_taken_whole():
    shape = (60, 60)
    images = [speckles(shape, (30, 30), count=80, reach=25, seed=3) for _ in range(3)]
    images = np.array(images) + 0.1 * np.random.default_rng(1).normal(size=(3, *shape))
    assert find_light(images[0], images[1:], (30, 30)) is None


@pytest.mark.parametrize("images", [np.zeros((2, *SHAPE)), np.empty((0, *SHAPE))])
def test_without_light_there_is_nothing_to_find(images):
    assert find_light(TARGET[0], images, STAR) is None
    noise = np.random.default_rng(2).normal(size=(2, *SHAPE))
    assert find_light(noise[0], noise[1:], STAR) is None


def test_references_are_aligned_by_the_star_alone():
    step = (0.4, -0.3)
    references = cube(4, stars=2, shift=step, seed=3)
    err, dq = np.full(references.shape, NOISE), np.zeros(references.shape, np.uint32)
    image = TARGET.mean(axis=0)
    everywhere = align(image, references, err, dq, np.ones(SHAPE))
    assert np.isnan(everywhere.shift_errors).all() or np.abs(everywhere.shifts - step).max() > 0.3
    light = find_light(image, references, STAR)
    aligned = align(image, references, err, dq, light.alone)
    assert_allclose(aligned.shifts, np.tile(step, (4, 1)), atol=0.06)


def scatter(result, inner, outer):
    ring = (distance() >= inner) & (distance() < outer) & (field(1) < 1) & (field(2) < 1)
    return result.data.mean(axis=0)[ring].std()


def test_other_stars_are_not_fitted():
    light = find_light(TARGET.mean(axis=0), REFERENCES, STAR, GROUPS)
    options = {"groups": GROUPS, "center": STAR}
    (whole,) = Library(REFERENCES, **options).subtract(TARGET)
    (kept,) = Library(REFERENCES, **options, light=light).subtract(TARGET)
    (small,) = Library(REFERENCES, **options, mask=distance() < 12).subtract(TARGET)
    assert scatter(whole, 2, 10) > 3 * scatter(kept, 2, 10)
    assert scatter(kept, 2, 10) < 1.3 * scatter(small, 2, 10)
    assert kept.radius == light.radius
    assert whole.radius is None
    beyond = ~light.near
    median = np.median(TARGET[:, beyond], axis=1, keepdims=True)
    assert_allclose(kept.data[:, beyond], TARGET[:, beyond] - median)


def test_the_fit_is_that_of_least_squares_on_the_pixels_that_count():
    light = find_light(TARGET.mean(axis=0), REFERENCES, STAR, GROUPS)
    err = np.full(REFERENCES.shape, NOISE)
    noise = np.random.default_rng(5).uniform(0.3, 1, TARGET.shape)
    made = Library(REFERENCES, err, groups=GROUPS, center=STAR, light=light)
    (result,) = made.subtract(TARGET, noise)
    ones = np.ones((1, light.near.sum()))
    base = np.concatenate((ones, REFERENCES[:, light.near]))
    counted = light.alone[light.near]
    weights = np.linalg.pinv(base[:, counted].T)
    image = TARGET[:, light.near]
    expected = image - image[:, counted] @ weights.T @ base
    assert_allclose(result.data[:, light.near], expected, atol=1e-7 * np.abs(image).max())
    # Noise goes through the same matrix, the constant apart, which takes next to nothing.
    shown = np.flatnonzero(counted)[::7]
    modes = np.linalg.svd((base[1:] - base[1:, counted].mean(axis=1, keepdims=True))[:, counted])[2]
    variance = noise[:, light.near] ** 2
    part = np.eye(counted.sum()) - modes[:6].T @ modes[:6]
    own = np.einsum("pq,q->p", part**2, variance.mean(axis=0)[counted])
    taken = 1 - np.einsum("kp,kp->p", modes[:6], modes[:6])
    own += (variance[0] - variance.mean(axis=0))[counted] * (2 * taken - 1)
    index = np.searchsorted(np.flatnonzero(counted), shown)
    found = (result.err**2 - result.model_err**2)[0][light.near][shown]
    assert_allclose(found, own[index], rtol=1e-6)
    beyond = ~light.near
    assert_allclose(result.err[:, beyond], noise[:, beyond])
    assert not result.model_err[:, beyond].any()


def test_all_of_a_zone_counts_where_hardly_a_pixel_is_the_stars_alone():
    near = distance() < 20
    light = StarLight(20.0, near, near & (distance() < 1))
    (made,) = Library(REFERENCES, center=STAR, light=light).subtract(TARGET)
    (plain,) = Library(REFERENCES, center=STAR, mask=near).subtract(TARGET)
    assert_array_equal(made.data[:, near], plain.data[:, near])


@pytest.mark.parametrize("strategy", ["RDI", "ADI"])
def test_an_added_companion_changes_no_region(strategy):
    other = cube(3, stars=4, seed=4)
    references = REFERENCES if strategy == "RDI" else np.empty((0, *SHAPE))
    cubes = [TARGET, other]
    rolls = [Roll(angle, STAR, references) for angle in (0.0, 10.0)]
    groups = GROUPS[: len(references)]
    reduce = reduction(rolls, KlipOptions(strategy=strategy), groups)
    ((before,),) = reduce(cubes, only=[0])
    brighter = TARGET + 400 * (distance() < 3)
    ((after,),) = reduce([brighter, other], only=[0])
    assert before.radius == after.radius
    assert 15 <= before.radius <= 40
    beyond = ~(distance() <= before.radius)
    assert_array_equal(before.data[:, beyond], after.data[:, beyond])
    whole = reduction(rolls, KlipOptions(strategy=strategy, outer_radius=np.inf), groups)
    assert whole(cubes, only=[0])[0][0].radius is None
