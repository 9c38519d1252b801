import numpy as np
import pytest

from coronagraphs import speckles
from naive import local_scatter as naive_scatter
from naive import median_of_images
from snakewebb.coronagraphy import outlier_detection
from snakewebb.coronagraphy.outlier_detection import (
    OutlierOptions,
    comparable,
    flag_outliers,
    local_scatter,
    reason_to_skip,
    reference_image,
)
from snakewebb.errors import InputError

SHAPE = (96, 96)
MIDDLE = (47.5, 47.5)


def observed(count, *, dither=(0.0, 0.0), seed=0, drift=0.03, jitter=0.02):
    """Integrations with drifting speckles; ERR knows of photons only."""
    rng = np.random.default_rng([seed, 7])
    clean = np.array(
        [
            speckles(
                SHAPE,
                np.add(MIDDLE, dither) + jitter * rng.standard_normal(2),
                count=60,
                drift=drift,
                drift_seed=100 * seed + k,
            )
            for k in range(count)
        ]
    )
    clean *= 5
    err = np.sqrt(0.3**2 + 0.02 * clean)
    return (clean + err * rng.standard_normal(clean.shape)).astype(np.float32), err


def hit(data, err, *, low, high, seed=3, share=0.004):
    rng = np.random.default_rng(seed)
    truth = rng.random(data.shape) < share
    data[truth] += (rng.uniform(low, high, data.shape) * err)[truth]
    return truth


def scores(flagged, truth):
    return (flagged & truth).sum() / truth.sum(), (flagged & truth).sum() / flagged.sum()


@pytest.mark.parametrize(
    ("count", "low", "high", "recall"), [(6, 5, 10, 0.8), (6, 10, 50, 0.95), (3, 8, 50, 0.9)]
)
def test_cosmic_rays_are_found_and_speckles_are_not(count, low, high, recall):
    data, err = observed(count)
    truth = hit(data, err, low=low, high=high)
    flagged = flag_outliers(data, err, None)
    found, right = scores(flagged, truth)
    assert found > recall
    assert right > 0.95


def test_without_regard_to_the_scatter_speckles_would_be_flagged():
    data, err = observed(6, drift=0.15)
    plain = np.abs(data - np.median(data, axis=0)) > 5 * err
    assert plain.sum() > 40
    assert flag_outliers(data, err, None).sum() < plain.sum() / 10


def test_of_two_integrations_only_the_hit_one_is_flagged():
    data, err = observed(2)
    truth = hit(data, err, low=15, high=50)
    found, right = scores(flag_outliers(data, err, None), truth)
    assert found > 0.9
    assert right > 0.95


def test_a_single_integration_is_compared_with_other_exposures():
    data, err = observed(1)
    truth = hit(data, err, low=10, high=50)
    others = [(observed(1, seed=k, dither=(0.1 * k, -0.1))[0], None) for k in (1, 2, 3)]
    assert not flag_outliers(data, err, None).any()
    found, right = scores(flag_outliers(data, err, None, others), truth)
    assert found > 0.85
    assert right > 0.9


def test_enough_integrations_ask_nobody():
    data, err = observed(6)
    strange = [(np.full_like(data, 1e3), None)] * 3
    np.testing.assert_array_equal(
        flag_outliers(data, err, None, strange), flag_outliers(data, err, None)
    )


def test_bad_pixels_neither_count_nor_are_flagged_when_nan():
    data, err = observed(3, drift=0.0, jitter=0.0)
    dq = np.zeros(data.shape, np.uint32)
    data[:2, 20, 30] += 100
    dq[:2, 20, 30] = 1
    data[1, 5, 5] = np.nan
    flagged = flag_outliers(data, err, dq)
    assert not flagged[2, 20, 30]
    assert not flagged[1, 5, 5]
    assert flag_outliers(data, err, dq, options=OutlierOptions(good_bits=None))[2, 20, 30]


def test_comparable_exposures_share_star_and_roll():
    rolls, stars = [359.96, 10.0, 0.03, 0.0], ["a", "a", "a", "b"]
    assert comparable(rolls, stars, 0) == [2]
    assert comparable(rolls, stars, 1) == []


def test_reason_to_skip():
    assert "no other exposure" in reason_to_skip(1, 0)
    assert reason_to_skip(1, 2) is None
    assert reason_to_skip(2, 0) is None


def test_bad_parameters_are_named():
    data, err = observed(2, drift=0.0)
    with pytest.raises(InputError, match="snr"):
        flag_outliers(data, err, None, options=OutlierOptions(snr="five"))
    with pytest.raises(InputError, match="no ERR"):
        flag_outliers(data, None, None)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_reference_agrees_with_its_twin(count):
    rng = np.random.default_rng(count)
    stack = rng.normal(size=(count, 9, 11)).astype(np.float32)
    stack[rng.random(stack.shape) < 0.3] = np.nan
    np.testing.assert_array_equal(reference_image(stack), median_of_images(list(stack)))


def test_local_scatter_agrees_with_its_twin(monkeypatch):
    monkeypatch.setattr(outlier_detection, "AT_ONCE", 50)
    rng = np.random.default_rng(1)
    deviations = rng.exponential(size=(12, 15))
    deviations[rng.random(deviations.shape) < 0.3] = 0
    deviations[rng.random(deviations.shape) < 0.1] = np.nan
    rows, columns = (index.ravel() for index in np.indices(deviations.shape))
    expected = [naive_scatter(deviations, j, i, 2) for j, i in zip(rows, columns, strict=True)]
    np.testing.assert_array_equal(local_scatter(deviations, rows, columns, 2), expected)
