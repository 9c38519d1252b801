import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import naive
from snakewebb.astrometry.matching import (
    Affine,
    FitError,
    brightest_apart,
    clipped_fit,
    find_offset,
    linear_fit,
    match_and_fit,
    nearest_pairs,
)
from snakewebb.astrometry.options import FIT_GEOMETRIES, Matching
from snakewebb.errors import InputError


def rotation(angle, scale=1.0):
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s], [s, c]])


def stars(n, size=120.0, seed=0):
    return np.random.default_rng(seed).uniform(-size / 2, size / 2, (n, 2))


def some_map(geometry, rng):
    """Return a small map that a geometry allows, within the default search radius."""
    matrix = {
        "shift": np.eye(2),
        "rshift": rotation(rng.normal(0, 1e-3)),
        "rscale": rotation(rng.normal(0, 1e-3), 1 + rng.normal(0, 1e-3)),
        "general": np.eye(2) + rng.normal(0, 1e-3, (2, 2)),
    }[geometry]
    return Affine(matrix, np.clip(rng.normal(0, 0.5, 2), -1.9, 1.9))


def test_maps_compose_and_invert():
    rng = np.random.default_rng(0)
    a, b = (Affine(rng.normal(size=(2, 2)), rng.normal(size=2)) for _ in range(2))
    points = stars(5)
    assert_allclose(a.after(b)(points), a(b(points)))
    assert_allclose(a.inverse()(a(points)), points)
    about = Affine.about(points[0], a.matrix, np.array([1.0, 2.0]))
    assert_allclose(about(points[0]), points[0] + [1, 2])
    assert Affine().is_identity()
    assert not a.is_identity()


@pytest.mark.parametrize("geometry", FIT_GEOMETRIES)
@pytest.mark.parametrize("nclip", [0, 3])
def test_a_weight_is_how_often_a_pair_counts(geometry, nclip):
    rng = np.random.default_rng(7)
    points = stars(60, seed=3)
    reference = some_map(geometry, rng)(points) + rng.normal(0, 0.05, points.shape)
    reference[:5] += 1.0
    weight = rng.integers(0, 4, 60)
    often = np.repeat(np.arange(60), weight)
    fit, kept = clipped_fit(points, reference, geometry, nclip, 3.0, weight.astype(float))
    known, among = clipped_fit(points[often], reference[often], geometry, nclip, 3.0)
    assert_allclose(fit.matrix, known.matrix, atol=1e-12)
    assert_allclose(fit.shift, known.shift, atol=1e-12)
    assert_array_equal(kept[often], among)
    assert not kept[weight == 0].any()
    scaled, _ = clipped_fit(points, reference, geometry, nclip, 3.0, 1e20 * weight)
    assert_allclose(scaled.shift, fit.shift, atol=1e-12)


def test_references_of_weight_0_do_not_make_a_fit():
    points = stars(40, seed=2)
    reference = points + np.array([0.3, -0.2])
    weight = np.where(np.arange(40) < 20, 1.0, 0.0)
    reference[20:] += 0.4
    fit, _, j, kept = match_and_fit(points, reference, Matching(), weight)
    assert_allclose(fit.shift, [0.3, -0.2], atol=1e-3)
    assert_array_equal(weight[j] > 0, kept)
    with pytest.raises(FitError, match="1 of 40 matches have a weight"):
        match_and_fit(points, reference, Matching(), np.eye(40)[0])


@pytest.mark.parametrize("with_flux", [True, False])
def test_brightest_apart_is_the_naive(with_flux):
    rng = np.random.default_rng(1)
    points = stars(150, 12)
    flux = rng.uniform(1, 9, 150).round() if with_flux else np.full(150, np.nan)
    flux[::10] = np.nan
    kept = brightest_apart(points, flux, 1.0)
    assert_array_equal(kept, naive.brightest_apart(points, flux, 1.0))
    assert 20 < len(kept) < 120


def test_brightest_apart_of_nothing():
    assert len(brightest_apart(np.zeros((0, 2)), np.zeros(0), 1.0)) == 0


def test_nearest_pairs_are_the_naive():
    points, reference = stars(80, 12, 2), stars(90, 12, 3)
    i, j = nearest_pairs(points, reference, 0.7)
    assert list(zip(i, j, strict=True)) == naive.nearest_pairs(points, reference, 0.7)
    assert len(set(j)) == len(j) > 10  # no star matches twice


@pytest.mark.parametrize("searchrad", [2.0, 1.87, 3.3])
@pytest.mark.parametrize("offset", [(0.0, 0.0), (1.234, -0.777), (-1.8, 1.8)])
def test_offset_is_unbiased(searchrad, offset):
    """The index of a histogram's cell is no offset: a search radius that is no multiple of a cell
    must not shift the result."""
    rng = np.random.default_rng(4)
    reference = stars(200)
    points = reference + offset + rng.normal(0, 0.005, (200, 2))
    assert_allclose(find_offset(points, reference, searchrad, 0.175), offset, atol=0.01)


def test_offset_among_strangers():
    rng = np.random.default_rng(5)
    common = stars(40, seed=6)
    points = np.concatenate(
        [common + np.array([1.1, 0.6]) + rng.normal(0, 0.01, (40, 2)), stars(300, seed=7)]
    )
    reference = np.concatenate([stars(400, seed=8), common])
    assert_allclose(find_offset(points, reference, 2.0, 0.175), (1.1, 0.6), atol=0.03)


def test_offset_without_pairs():
    assert_array_equal(find_offset(stars(3), stars(3) + 500, 2.0, 0.1), 0)


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(sorted(FIT_GEOMETRIES)), st.integers(0, 2**31), st.integers(3, 40))
def test_fit_finds_the_map(geometry, seed, n):
    points = stars(n, seed=seed)
    applied = some_map(geometry, np.random.default_rng(seed))
    fit = linear_fit(points, applied(points), geometry)
    assert_allclose(fit.matrix, applied.matrix, atol=1e-9)
    assert_allclose(fit.shift, applied.shift, atol=1e-7)


@pytest.mark.parametrize("geometry", FIT_GEOMETRIES)
def test_no_map_of_a_geometry_fits_better(geometry):
    rng = np.random.default_rng(9)
    points = stars(12)
    reference = points + rng.normal(0, 1, points.shape)
    fit = linear_fit(points, reference, geometry)
    best = np.sum((fit(points) - reference) ** 2)
    for _ in range(30):
        other = some_map(geometry, rng).after(fit)
        assert np.sum((other(points) - reference) ** 2) > best


def test_clipping_judges_all_anew():
    """A pair that a first bad fit throws out may come back; an outlier may not."""
    rng = np.random.default_rng(10)
    points = stars(40)
    reference = points + rng.normal(0, 0.01, points.shape)
    reference[:3] += [(3.0, 0.0), (0.5, 0.5), (0.1, 0.0)]
    fit, kept = clipped_fit(points, reference, "shift", 10, 3.0)
    assert_array_equal(np.flatnonzero(~kept[:3]), [0, 1, 2])
    residual = np.hypot(*(fit(points) - reference).T)
    assert_array_equal(kept, residual <= 3 * np.sqrt(np.mean(residual[kept] ** 2)))
    assert_allclose(fit.shift, 0, atol=0.01)
    _, unclipped = clipped_fit(points, reference, "shift", 0, 3.0)
    assert unclipped.all()


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(sorted(FIT_GEOMETRIES)), st.integers(0, 2**31))
def test_matching_finds_the_map(geometry, seed):
    rng = np.random.default_rng(seed)
    truth = stars(120, seed=seed)
    truth = truth[brightest_apart(truth, np.zeros(120), 1.5)]
    applied = some_map(geometry, rng)
    order = rng.permutation(len(truth))
    points = applied.inverse()(truth[order])
    fit, i, j, _ = match_and_fit(points, truth, Matching(fitgeometry=geometry))
    assert len(i) == len(truth)
    assert_array_equal(order[i], j)
    assert_allclose(fit(points), truth[order], atol=1e-9)


def test_a_rotation_larger_than_the_tolerance_at_the_edge():
    """The first matches are near the middle only; matching again with their fit finds the rest."""
    truth = stars(150, 240.0)
    truth = truth[brightest_apart(truth, np.zeros(len(truth)), 3.0)]
    points = truth @ rotation(0.01)
    fit, i, _, _ = match_and_fit(points, truth, Matching())
    assert len(i) == len(truth)
    assert_allclose(fit(points), truth, atol=1e-9)


def test_given_offset():
    truth = stars(50)
    points = truth + np.array([5.0, -3.0])
    how = Matching(use2dhist=False, xoffset=5.0, yoffset=-3.0)
    fit, *_ = match_and_fit(points, truth, how)
    assert_allclose(fit.shift, (-5, 3), atol=1e-9)
    with pytest.raises(FitError, match="matches"):
        match_and_fit(points, truth, Matching(use2dhist=False))


def test_too_few_sources_and_matches():
    truth = stars(50)
    with pytest.raises(FitError, match=r"14 sources and 50 references near by \(minobj 15\)"):
        match_and_fit(truth[:14], truth, Matching())
    with pytest.raises(FitError, match=r"\d+ matches \(minobj 15\)"):
        match_and_fit(stars(20, seed=1), truth, Matching())
    with pytest.raises(FitError, match=r"minobj 2\)"):  # a rotation takes two
        match_and_fit(truth[:1], truth, Matching(minobj=1))


@pytest.mark.parametrize("n", [200, 3000])
@pytest.mark.parametrize("geometry", FIT_GEOMETRIES)
def test_chance_pairs_are_no_alignment(n, geometry):
    """In a crowded field any two lists have matches enough."""
    lists = [stars(n, 60, seed) for seed in (1, 2)]
    points, reference = (p[brightest_apart(p, np.zeros(n), 1.0)] for p in lists)
    with pytest.raises(FitError, match="as chance pairs do"):
        match_and_fit(points, reference, Matching(fitgeometry=geometry))


def test_a_fit_that_throws_sources_far_is_rejected():
    """A large scale from matches in one spot may not move the far side of the field."""
    rng = np.random.default_rng(3)
    spot = rng.uniform(0, 8, (30, 2)) * [1, 4]
    spot = spot[brightest_apart(spot, np.zeros(30), 1.0)]
    points = np.concatenate([spot * 1.02, [[4000.0, 0.0]]])
    with pytest.raises(FitError, match="moves sources by"):
        match_and_fit(points, spot, Matching(fitgeometry="rscale", minobj=8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"separation": 0.98, "tolerance": 0.7}, "abs_separation: 0.98 arcsec is not larger than"),
        ({"fitgeometry": "linear"}, "abs_fitgeometry: 'linear' is unknown: one of shift, rshift"),
    ],
)
def test_contradicting_parameters(change, message):
    with pytest.raises(InputError, match=message):
        Matching(**change).check("abs_")
    Matching().check()


@pytest.mark.parametrize("angle", [0, 45, 100])
@pytest.mark.parametrize("scatter", [0.0, 0.01])
def test_a_line_of_stars_does_not_tell_what_is_beside_it(angle, scatter):
    """A map without limits would take all of the sky to the line."""
    rng = np.random.default_rng(angle)
    along = np.array((np.cos(np.radians(angle)), np.sin(np.radians(angle))))
    line = np.linspace(-60, 60, 20)[:, None] * along
    moved = line + np.array((0.3, -0.2)) + rng.normal(scale=scatter, size=line.shape)
    with pytest.raises(FitError, match=r"the fit stretches the sky by .* along a line"):
        match_and_fit(moved, line, Matching(fitgeometry="general"))
    fit, *_ = match_and_fit(moved, line, Matching(fitgeometry="rshift"))
    assert_allclose(fit(np.zeros(2)), (-0.3, 0.2), atol=0.01)
