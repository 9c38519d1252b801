import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import naive
from coronagraphs import speckles
from snakewebb.coronagraphy.align_refs import align
from snakewebb.coronagraphy.fourier import fourier_shift, shift_flags, shift_variance, turn
from snakewebb.coronagraphy.klip import Library
from snakewebb.coronagraphy.registration import Template
from snakewebb.coronagraphy.repair import RepairOptions, fill, repair_pixels
from snakewebb.coronagraphy.star import disc
from snakewebb.errors import InputError
from snakewebb.io.dq import DO_NOT_USE, OUTLIER

SHAPE = (120, 112)
STAR = np.array([55.3, 60.8])
shifts = st.floats(-3, 3)


# --- repair --------------------------------------------------------------------------------------


@pytest.mark.parametrize("half", [1, 2])
def test_fill_agrees_with_its_twin(half):
    rng = np.random.default_rng(half)
    image = rng.normal(size=(20, 23))
    known = rng.random(image.shape) > 0.4
    known[5:14, 8:17] = False
    expected = naive.fill(image, known, half)
    fill(image, known, half)
    assert_array_equal(image, expected)


def test_pixels_at_the_frames_edges_are_repaired():
    x = np.arange(SHAPE[1], dtype=float) + np.zeros(SHAPE)
    plane = 7 + 0.01 * x
    data = plane[None].copy()
    data[0, 0] = data[0, :, 0] = data[0, -1] = data[0, :, -1] = np.nan
    repaired, _, bad = repair_pixels(data, np.zeros(data.shape, np.uint32))
    assert bad.sum() == 2 * sum(SHAPE) - 4
    assert_allclose(repaired[0], plane, atol=0.02)


def test_nan_is_bad_without_a_flag_and_flags_are_bad_with_a_value():
    data, err = np.ones((1, 9, 9)), np.full((1, 9, 9), 0.1)
    dq = np.zeros(data.shape, np.uint32)
    data[0, 2, 2], err[0, 4, 4] = np.nan, np.nan
    data[0, 6, 6], dq[0, 6, 6] = 1e9, DO_NOT_USE
    data[0, 7, 2], dq[0, 7, 2] = 5, OUTLIER
    repaired, errors, bad = repair_pixels(data, dq, err)
    assert list(zip(*np.nonzero(bad[0]), strict=True)) == [(2, 2), (4, 4), (6, 6)]
    assert repaired[0, 7, 2] == 5
    assert np.delete(repaired.ravel(), 7 * 9 + 2).max() == 1
    assert_array_equal(errors, 0.1)
    repaired, _, bad = repair_pixels(data, dq, options=RepairOptions(bad_bits="OUTLIER"))
    assert repaired[0, 6, 6] == 1e9
    assert repaired[0, 7, 2] == 1
    assert not repair_pixels(data, dq, options=RepairOptions(bad_bits=None)).bad[0, 6, 6]


def test_a_gap_wider_than_the_box_is_closed_and_the_input_kept():
    data = np.full((1, 30, 30), 4.0)
    data[0, 5:25, 5:25] = np.nan
    repaired, _, _ = repair_pixels(data, None, options=RepairOptions(median_box_length=0))
    assert_array_equal(repaired, 4.0)
    assert np.isnan(data).sum() == 400


def test_an_integration_without_a_good_pixel_is_named():
    data = np.ones((2, 5, 5))
    data[1] = np.nan
    with pytest.raises(InputError, match="integration 2"):
        repair_pixels(data, None)


# --- shifts --------------------------------------------------------------------------------------


def gaussian(center, shape=SHAPE, width=1.8):
    y, x = np.indices(shape)
    return np.exp(-((x - center[0]) ** 2 + (y - center[1]) ** 2) / (2 * width**2))


@given(dx=shifts, dy=shifts)
@settings(deadline=None, max_examples=10)
def test_a_star_is_where_it_was_shifted_to(dx, dy):
    moved = fourier_shift(gaussian(STAR)[None], np.array([[dx, dy]]))[0]
    assert_allclose(moved, gaussian(STAR + np.array([dx, dy])), atol=1e-6)


@given(dx=shifts, dy=shifts)
@settings(deadline=None, max_examples=10)
def test_a_shift_can_be_undone(dx, dy):
    image = 5 + gaussian(STAR)
    there = fourier_shift(image[None], np.array([[dx, dy]]))
    assert_allclose(fourier_shift(there, np.array([[-dx, -dy]]))[0], image, atol=1e-6)


@pytest.mark.parametrize("center", [(30.3, 34.8), (33.0, 31.0)])
def test_a_turned_star_is_on_the_other_side(center):
    y, x = np.indices((64, 66))

    def star(u, v):
        return np.exp(-((x - u) ** 2 + (y - v) ** 2) / 8)

    turned = turn(star(22.4, 25.1)[None], center)[0]
    there = star(2 * center[0] - 22.4, 2 * center[1] - 25.1)
    np.testing.assert_allclose(turned, there, atol=1e-4)


def test_nothing_wraps_round_or_rings():
    slope = 10.0 + np.arange(SHAPE[1]) + np.zeros(SHAPE)
    moved = fourier_shift(slope[None], np.array([[0.5, 0.0]]))[0]
    assert np.abs(moved - (slope - 0.5))[:, 3:-3].max() < 0.1
    periodic = np.fft.ifft(
        np.fft.fft(slope) * np.exp(-2j * np.pi * np.fft.fftfreq(SHAPE[1]) * 0.5)
    ).real
    assert np.abs(periodic - (slope - 0.5))[:, 3:-3].max() > 5
    edge = gaussian((SHAPE[1] - 2, 60), width=1.5)
    assert np.abs(fourier_shift(edge[None], np.array([[2.3, 0.0]]))[0, :, :20]).max() < 1e-3


def test_variance_is_that_of_shifted_noise():
    rng = np.random.default_rng(2)
    sigma = 1 + 3 * gaussian((20, 20), (40, 44), 4)
    noise = sigma * rng.standard_normal((1500, 40, 44))
    step = np.array([0.37, -0.21])
    measured = fourier_shift(noise, np.tile(step, (1500, 1))).var(axis=0)
    expected = shift_variance(sigma[None] ** 2, step[None])[0]
    inner = np.s_[10:-10, 10:-10]
    ratio = (measured / expected)[inner]
    assert abs(ratio.mean() - 1) < 0.01
    assert ratio.std() < 0.06
    spike = np.zeros((1, 40, 44))
    spike[0, 20, 20] = 1
    assert shift_variance(spike, step[None]).min() >= 0


@pytest.mark.parametrize("step", [(0.0, 0.0), (0.4, -1.3), (2.0, 0.005), (-0.995, 3.2)])
def test_flags_move_with_the_pixels(step):
    rng = np.random.default_rng(4)
    dq = (2 ** rng.integers(0, 32, (14, 17)) * (rng.random((14, 17)) < 0.1)).astype(np.uint32)
    moved = shift_flags(dq[None], np.array([step]))[0]
    assert_array_equal(moved, naive.moved_flags(dq, step, DO_NOT_USE))


# --- fits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [(0.13, -0.42), (-3.7, 2.4)])
def test_shift_brightness_and_sky_are_recovered(step):
    target = speckles(SHAPE, STAR)
    image = 0.2 * speckles(SHAPE, STAR + step) + 30
    found = Template(target, disc(SHAPE, STAR)).offset(image)
    assert_allclose(found.shift, step, atol=1e-5)
    assert_allclose(found.beta, 0.2, rtol=1e-5)
    assert found.residual < 1e-4


def test_offset_agrees_with_a_general_fit():
    rng = np.random.default_rng(5)
    target = speckles(SHAPE, STAR)
    image = 0.7 * speckles(SHAPE, STAR + np.array([0.2, 0.1]), drift=0.1) + rng.normal(size=SHAPE)
    mask = disc(SHAPE, STAR) * (0.5 + 0.5 * rng.random(SHAPE))
    found = Template(target, mask).offset(image)
    expected = naive.offset(target, image, mask)
    assert_allclose([*found.shift, found.beta], expected[:3], atol=2e-5)


def test_errors_of_shifts_are_those_seen():
    pulls = []
    for seed in range(25):
        rng = np.random.default_rng(seed)
        target = speckles(SHAPE, STAR) + 0.3 * rng.normal(size=SHAPE)
        image = speckles(SHAPE, STAR + np.array([0.2, -0.3])) + 3 * rng.normal(size=SHAPE)
        found = Template(target, disc(SHAPE, STAR)).offset(image)
        pulls.append((found.shift - (0.2, -0.3)) / found.error)
    assert 0.7 < np.std(pulls) < 1.4


def test_align_brings_references_onto_the_target():
    rng = np.random.default_rng(6)
    steps = np.array([[0.3, -0.2], [-1.2, 0.7]])
    refs = np.array([0.5 * speckles(SHAPE, STAR + step) for step in steps])
    err = np.full(refs.shape, 0.01)
    refs += err * rng.normal(size=refs.shape)
    dq = np.zeros(refs.shape, np.uint32)
    refs[0, 60, 58], dq[0, 60, 58] = np.nan, DO_NOT_USE
    repaired, errors, bad = repair_pixels(refs, dq, err)
    target = speckles(SHAPE, STAR)
    aligned = align(target, repaired, errors, dq, disc(SHAPE, STAR), bad=bad)
    assert_allclose(aligned.shifts, steps, atol=1e-3)
    assert (np.abs(aligned.shifts - steps) < 5 * aligned.shift_errors + 1e-4).all()
    assert_allclose(aligned.beta, 0.5, rtol=1e-3)
    difference = aligned.data - 0.5 * target
    # the repaired pixel is wrong, and its neighbours with it
    difference[0, 45:75, 43:73] = 0
    assert np.abs(difference[:, 4:-4, 4:-4]).max() < 0.1
    assert_allclose(aligned.err[1, 5:-5, 5:-5], 0.01, rtol=1e-3)
    assert aligned.dq[0, 60, 58] & DO_NOT_USE
    assert (aligned.dq[1, :-1, 2:] == 0).all()
    assert (aligned.dq[1, :, 0] == DO_NOT_USE).all()
    assert (aligned.dq[1, -1] == DO_NOT_USE).all()


def two_references():
    """One like the target and one without light, their errors and flags."""
    data = np.array([speckles(SHAPE, STAR + 0.3), np.zeros(SHAPE)])
    data[1] += np.random.default_rng(3).normal(size=SHAPE)
    return data, np.ones(data.shape), np.zeros(data.shape, np.uint32)


def test_a_reference_that_cannot_be_aligned_is_left_out(caplog):
    data, err, dq = two_references()
    aligned = align(speckles(SHAPE, STAR), data, err, dq, disc(SHAPE, STAR))
    assert_allclose(aligned.shifts[0], 0.3, atol=1e-3)
    assert not aligned.reason
    assert not aligned.data[1].any()
    assert (aligned.dq[1] == DO_NOT_USE).all()
    for numbers in (aligned.shifts, aligned.shift_errors, aligned.beta, aligned.residual):
        assert np.isnan(numbers[1]).all()
    assert "not aligned, left out: 2" in caplog.text
    # Nothing of it is subtracted.
    target = speckles(SHAPE, STAR, drift=0.1)[None]
    (both,) = Library(aligned.data, aligned.err).subtract(target, np.ones(target.shape))
    (alone,) = Library(aligned.data[:1], aligned.err[:1]).subtract(target)
    assert both.modes == alone.modes == [1]
    assert_allclose(both.data, alone.data, atol=1e-9)
    assert np.isfinite(both.err).all()


@pytest.mark.parametrize("mask", [np.ones(SHAPE), np.zeros(SHAPE)])
def test_references_stay_as_they_are_where_none_can_be_aligned(mask):
    data, err, dq = (plane[1:] for plane in two_references())
    target = speckles(SHAPE, STAR) * (mask.any() - 0.5)  # not even of the same sign
    aligned = align(target, data, err, dq, mask)
    assert "no reference's light is like" in aligned.reason
    assert_array_equal(aligned.data, data)
    assert not aligned.shifts.any()


def test_an_image_of_nothing_is_no_obstacle():
    zeros = np.zeros((1, *SHAPE))
    aligned = align(zeros[0], zeros, zeros, zeros.astype(np.uint32), np.ones(SHAPE))
    assert aligned.reason


def test_a_fit_at_the_limit_of_its_search_is_none():
    data, err, dq = two_references()
    data[1] = speckles(SHAPE, STAR + 12)
    aligned = align(speckles(SHAPE, STAR), data, err, dq, disc(SHAPE, STAR))
    assert np.isnan(aligned.shifts).tolist() == [[False, False], [True, True]]


def test_a_bad_pixel_of_the_target_has_no_say():
    target, image = speckles(SHAPE, STAR), speckles(SHAPE, STAR + np.array([0.2, 0.1]))
    image[61, 55] += 300
    good = np.ones(SHAPE, bool)
    good[61, 55] = False
    template = Template(target, disc(SHAPE, STAR))
    assert np.abs(template.offset(image).shift - (0.2, 0.1)).max() > 1e-3
    assert_allclose(template.offset(image, good).shift, (0.2, 0.1), atol=1e-5)


def test_shapes_and_masks_are_checked():
    cube = np.ones((1, *SHAPE))
    with pytest.raises(InputError, match="one subarray"):
        align(np.ones((3, 3)), cube, cube, cube.astype(np.uint32), np.ones(SHAPE))
    with pytest.raises(InputError, match="no pixel"):
        Template(np.ones(SHAPE), np.zeros(SHAPE))
