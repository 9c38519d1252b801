"""The joint adjustment, against a dense twin and against the truth."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array, random_array

import naive
from snakewebb.astrometry.absolute import References
from snakewebb.astrometry.equations import Equations, State
from snakewebb.astrometry.joining import align_relative, detections_of
from snakewebb.astrometry.joint import Frame, Network
from snakewebb.astrometry.network import adjust
from snakewebb.astrometry.normal import Solved
from snakewebb.astrometry.options import AbsoluteMatching, Matching, NoCatalogue
from snakewebb.astrometry.reference import (
    at_epoch,
    compass,
    known_stars,
    observer,
    parallax_factors,
)
from snakewebb.astrometry.tweakreg import align
from snakewebb.astrometry.unknowns import Exposures, KnownStars, Measurements, Prior, maps
from snakewebb.simulate.alignment_scores import (
    between_detectors,
    errors_of,
    gaia,
    places,
    relative,
    rms,
    without_rigid,
)
from snakewebb.simulate.apertures import imaging_aperture
from snakewebb.simulate.detections import NIRCAM, Survey, observe
from snakewebb.wcs.aberration import attitude
from snakewebb.wcs.sphere import to_plane

# --- the adjustment -----------------------------------------------------------------------------


def network(seed, *, known=0, epochs=1, n_stars=14, outliers=0, noise=1e-3):
    """A few exposures of two detectors with small errors; measurements, exposures, prior, truth."""
    rng = np.random.default_rng(seed)
    pose, placement = np.divmod(np.arange(8), 2)
    turns = rng.uniform(0, 2 * np.pi, 4)[pose]
    axes = np.moveaxis([[np.cos(turns), np.sin(turns)], [-np.sin(turns), np.cos(turns)]], 2, 0)
    seen = Exposures(
        pose=pose,
        placement=placement,
        noise=np.zeros(8, int),
        epoch=0.7 * (pose % epochs) - 0.2 * (epochs > 1),
        centre=rng.uniform(-3, 3, (8, 2)),
        axes=axes,
        parallax=rng.uniform(-1, 1, (4, 2))[pose % epochs],
    )
    pivot = np.stack([seen.centre[pose == k].mean(axis=0) for k in range(4)])
    prior = Prior(
        pose_mean=np.zeros((4, 3)),
        pose_sigma=np.tile([2.0, 2.0, 0.1], (4, 1)),
        pivot=pivot,
        placement_sigma=np.tile([0.002, 0.002, 1e-4], (2, 1)),
    )
    true = (
        rng.normal(0, 1, (4, 3)) * [0.08, 0.08, 2e-4],
        rng.normal(0, 1, (2, 3)) * [2e-3, 2e-3, 1e-4],
    )
    stars = np.zeros((n_stars, 5))
    stars[:, :2] = rng.uniform(-30, 30, (n_stars, 2))
    if epochs > 1:
        stars[:, 2:] = rng.normal(0, 1, (n_stars, 3)) * [0.005, 0.005, 0.001]
    if known:
        covariance = np.tile(np.diag([1e-3, 1e-3, 1e-3, 1e-3, 5e-4]) ** 2, (known, 1, 1))
        covariance[:, 0, 2] = covariance[:, 2, 0] = 0.5e-6
        mean = stars[:known] + rng.multivariate_normal(np.zeros(5), covariance[0], known)
        prior = replace(prior, stars=KnownStars(np.arange(known), mean, covariance))
    else:
        prior.pose_sigma[0] = 0.0
        true[0][0] = 0.0
    exposure, star = np.divmod(np.arange(8 * n_stars), n_stars)
    chosen = rng.random(len(star)) < 0.8
    exposure, star = exposure[chosen], np.unique(star[chosen], return_inverse=True)[1]
    matrix, shift = maps(*true, seen, pivot)
    model = stars[star, :2] + seen.epoch[exposure, None] * stars[star, 2:4]
    model += stars[star, 4:] * seen.parallax[exposure]
    points = model + noise * rng.standard_normal((len(star), 2))
    points[:outliers] += 0.3
    points = np.linalg.solve(matrix[exposure], (points - shift[exposure])[..., None])[..., 0]
    variance = np.full(len(star), noise**2 / 2)
    return Measurements(points, variance, exposure, star), seen, prior, true


@pytest.mark.parametrize(("known", "epochs"), [(0, 1), (0, 2), (5, 2), (14, 1)])
def test_a_step_is_that_of_a_dense_twin(known, epochs):
    measured, seen, prior, _ = network(3, known=known, epochs=epochs)
    order = np.argsort(measured.star, kind="stable")
    measured = Measurements(*(getattr(measured, name)[order] for name in vars(measured)))
    rng = np.random.default_rng(0)
    state = State(
        poses=rng.normal(0, 1e-4, (4, 3)) * (prior.pose_sigma > 0),
        placements=rng.normal(0, 1e-5, (2, 3)),
        noise=np.array([3e-7]),
        weight=rng.uniform(0.1, 1.0, len(measured.star)),
        known_weight=np.ones(known),
    )
    equations = Equations(measured, seen, prior)
    solved, turned, placed, size = equations.step(state)
    gain, covariance = naive.network_step(
        measured,
        seen,
        prior,
        state.poses,
        state.placements,
        state.weight / (measured.variance + 3e-7),
    )
    spread = np.sqrt(np.diag(covariance))
    move = gain[equations.free]
    precision = np.linalg.inv(covariance[np.ix_(equations.free, equations.free)])
    assert_allclose(size, np.sqrt(move @ precision @ move / len(move)), rtol=0.02)
    off = np.concatenate((turned.ravel(), placed.ravel())) - gain
    assert (np.abs(off) <= 0.02 * (spread + np.abs(gain)) + 1e-12).all()
    free = np.flatnonzero(equations.free)
    for pose in range(known == 0, 4):
        index = np.concatenate((3 * pose + np.arange(3), 12 + np.arange(6)))
        own = covariance[np.ix_(index, index)]
        size = np.sqrt(np.outer(np.diag(own), np.diag(own)))
        found = solved.block(np.searchsorted(free, index))
        assert_allclose(found / size, own / size, atol=1e-2)


def test_outliers_pull_little():
    measured, seen, prior, true = network(3, n_stars=60)
    spoiled, *_ = network(3, n_stars=60, outliers=6)
    clean, found = adjust(measured, seen, prior), adjust(spoiled, seen, prior)
    assert (found.weight[:6] < 0.1).all()
    assert (found.weight[6:] > 0.2).all()
    assert_allclose(found.poses[:, :2], clean.poses[:, :2], atol=3e-4)
    assert_allclose(found.poses[:, :2], true[0][:, :2], atol=1e-2)


@pytest.mark.parametrize("scaled", [False, True])
def test_noise_is_estimated(scaled):
    levels = []
    for seed in range(4):
        measured, seen, prior, _ = network(seed, n_stars=200)
        levels.append(adjust(measured, seen, replace(prior, scaled=scaled)).noise[0])
    # variances of 0.5e-6 of 1e-6: half is told, and a factor of 2 is what lacks
    assert_allclose(np.mean(levels), 2.0 if scaled else 5e-7, rtol=0.1)


def test_a_star_far_from_where_the_catalogue_has_it_pulls_little():
    measured, seen, prior, _ = network(3, n_stars=60, known=20)
    mean = prior.stars.mean.copy()
    mean[3, 0] += 0.05
    wrong = replace(prior, stars=replace(prior.stars, mean=mean))
    one, two = adjust(measured, seen, prior), adjust(measured, seen, wrong)
    assert two.known_pull[3] > 10
    assert np.delete(two.known_pull, 3).max() < 4
    assert_allclose(two.poses[:, :2], one.poses[:, :2], atol=2e-4)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1000), st.floats(-np.pi, np.pi), st.floats(-100, 100), st.floats(-100, 100))
def test_a_turned_and_shifted_sky_is_adjusted_likewise(seed, angle, east, north):
    measured, seen, prior, _ = network(seed, epochs=2)
    c, s = np.cos(angle), np.sin(angle)
    turn, shift = np.array([[c, -s], [s, c]]), np.array([east, north])
    other = replace(measured, points=measured.points @ turn.T + shift)
    others = replace(
        seen,
        centre=seen.centre @ turn.T + shift,
        axes=turn @ seen.axes,
        parallax=seen.parallax @ turn.T,
    )
    one = adjust(measured, seen, prior)
    two = adjust(other, others, replace(prior, pivot=prior.pivot @ turn.T + shift))
    assert_allclose(two.placements, one.placements, atol=5e-6)
    assert_allclose(two.poses[:, :2], one.poses[:, :2] @ turn.T, atol=5e-6)
    assert_allclose(two.noise, one.noise, rtol=2e-2)
    assert_allclose(two.chi_square, one.chi_square, rtol=2e-2)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1000))
def test_the_order_of_measurements_and_exposures_does_not_matter(seed):
    measured, seen, prior, _ = network(seed, known=4, epochs=2, outliers=2)
    one = adjust(measured, seen, prior)
    rng = np.random.default_rng(seed)
    rows, exposures = rng.permutation(len(measured.star)), rng.permutation(8)
    other = Measurements(*(getattr(measured, name)[rows] for name in vars(measured)))
    other = replace(other, exposure=np.argsort(exposures)[other.exposure])
    others = Exposures(*(getattr(seen, name)[exposures] for name in vars(seen)))
    two = adjust(other, others, prior)
    assert_allclose(two.poses, one.poses, atol=1e-9)
    assert_allclose(two.placements, one.placements, atol=1e-9)
    assert_allclose(two.weight, one.weight[rows], atol=1e-6)


def test_what_is_not_measured_stays_where_it_is_believed():
    measured, seen, prior, _ = network(1)
    kept = seen.placement[measured.exposure] == 0
    measured = Measurements(*(getattr(measured, name)[kept] for name in vars(measured)))
    measured = replace(measured, star=np.unique(measured.star, return_inverse=True)[1])
    found = adjust(measured, seen, prior)
    assert_allclose(found.placements[1], 0, atol=1e-15)
    spread = np.sqrt(np.diag(found.covariance(12 + np.arange(6))))
    assert_allclose(spread[3:], prior.placement_sigma[1])
    assert (spread[:2] < prior.placement_sigma[0, :2]).all()


def test_nothing_to_adjust():
    measured, seen, prior, _ = network(1)
    nothing = Measurements(*(getattr(measured, name)[:0] for name in vars(measured)))
    found = adjust(nothing, seen, prior)
    assert not found.poses.any()
    assert not found.placements.any()


@pytest.mark.parametrize(("n", "m"), [(30, 4), (200, 6), (0, 3), (50, 0)])
def test_entries_of_the_inverse(n, m):
    rng = np.random.default_rng(n)
    slopes = random_array((3 * (n + m), n + m), density=0.05, rng=rng, format="csr")
    matrix = csr_array(slopes.T @ slopes + 0.1 * csr_array(np.eye(n + m)))
    solved, inverse = Solved.of(matrix, n), np.linalg.inv(matrix.toarray())
    right = rng.normal(size=n + m)
    assert_allclose(solved.solve(right), inverse @ right, atol=1e-9)
    dense = matrix.toarray()
    for i in range(0, n, 5):
        j = np.flatnonzero(dense[i, :n])[-1]
        index = np.unique([i, j, *range(n, n + m)])
        assert_allclose(solved.block(index), inverse[np.ix_(index, index)], atol=1e-8)


# --- stars of a catalogue -----------------------------------------------------------------------


def test_the_telescope_goes_round_the_sun():
    from astropy.coordinates import get_body_barycentric
    from astropy.time import Time

    for year in (2022.5, 2023.9, 2024.99):
        earth, sun = (
            get_body_barycentric(body, Time(year, format="jyear")).xyz.to_value("au")
            for body in ("earth", "sun")
        )
        assert_allclose(observer(year), 1.01 * (earth - sun), atol=3e-4)


def test_stars_are_where_astropy_has_them():
    from astropy import units as u
    from astropy.coordinates import Distance, SkyCoord
    from astropy.time import Time

    star = {
        "RA": np.array([53.0]),
        "DEC": np.array([-60.0]),
        "ref_epoch": np.array([2016.0]),
        "pmra": np.array([120.0]),
        "pmdec": np.array([-70.0]),
        "parallax": np.array([40.0]),
    }
    ra, dec = at_epoch(star, 2023.2)
    there = SkyCoord(
        star["RA"] * u.deg,
        star["DEC"] * u.deg,
        distance=Distance(parallax=40 * u.mas),
        pm_ra_cosdec=star["pmra"] * u.mas / u.yr,
        pm_dec=star["pmdec"] * u.mas / u.yr,
        obstime=Time(2016.0, format="jyear"),
    ).apply_space_motion(Time(2023.2, format="jyear"))
    seen = there.cartesian.xyz.to_value("au").ravel() - observer(2023.2)
    x, y, z = seen / np.linalg.norm(seen)
    wanted = np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arcsin(z))
    assert_allclose((ra[0] - wanted[0]) * 1.8e6, 0, atol=0.1)  # mas
    assert_allclose((dec[0] - wanted[1]) * 3.6e6, 0, atol=0.1)


def test_what_is_not_told_of_a_star_is_not_zero():
    star = {"RA": np.full(3, 10.0), "DEC": np.full(3, 70.0), "ref_epoch": np.full(3, 2016.0)}
    star |= {"pmra": np.array([1.0, 1.0, np.nan]), "pmdec": np.array([1.0, 1.0, np.nan])}
    star |= {"pmra_error": np.array([0.1, np.nan, np.nan]), "ra_error": np.array([0.2, 0.2, 0.2])}
    mean, covariance = known_stars(star, (10.5, 70.0), 2024.0, 0.005)
    spread = 1000 * np.sqrt(covariance[:, range(5), range(5)])
    assert_allclose(spread[:, 0], np.hypot(0.2, [0.8, 4.0, 80.0]), rtol=0.01)
    assert_allclose(spread[:, 1], np.hypot(5.0, [4.0, 4.0, 80.0]), rtol=0.01)
    assert_allclose(mean[:2, 2], 1e-3, rtol=0.02)
    assert_allclose(mean[2, 2:], 0)
    assert_allclose(np.linalg.det(compass(star["RA"], star["DEC"], 10.5, 70.0)), 1, atol=1e-4)
    plain = {"RA": np.array([10.0]), "DEC": np.array([70.0])}
    _, covariance = known_stars(plain, (10.5, 70.0), 2024.0, 0.005)
    assert_allclose(1000 * np.sqrt(np.diag(covariance[0])), [5, 5, 10, 10, 2], rtol=1e-4)


def test_an_error_without_a_motion_tells_nothing():
    star = {"RA": np.full(2, 10.0), "DEC": np.full(2, 0.0), "ref_epoch": np.full(2, 2016.0)}
    star |= {"pmra": np.array([np.nan, 3.0]), "pmra_error": np.full(2, 0.1)}
    star |= {"ra_pmra_corr": np.full(2, 0.9), "ra_error": np.full(2, 1.0)}
    _, covariance = known_stars(star, (10.0, 0.0), 2016.0, 0.005)
    assert_allclose(1000 * np.sqrt(covariance[:, 2, 2]), [10.0, 0.1], rtol=1e-6)
    assert_allclose(1e6 * covariance[:, 0, 2], [0.0, 0.09], atol=1e-9)


def test_a_motion_needs_an_epoch():
    star = {"RA": np.array([10.0]), "DEC": np.array([0.0])}
    star |= {name: np.array([50.0]) for name in ("pmra", "pmdec", "parallax")}
    star |= {f"{name}_error": np.array([0.1]) for name in ("pmra", "pmdec", "parallax")}
    for columns, epoch in ((star, 2022.0), (star | {"ref_epoch": np.array([2016.0])}, None)):
        mean, covariance = known_stars(columns, (10.0, 0.0), epoch, 0.005)
        assert not mean.any()
        assert_allclose(1000 * np.sqrt(np.diag(covariance[0])), [5, 5, 10, 10, 2], rtol=1e-4)


def test_correlations_are_gaias():
    star = {"RA": np.array([10.0]), "DEC": np.array([0.0]), "ref_epoch": np.array([2016.0])}
    star |= {f"{n}_error": np.array([1.0]) for n in ("ra", "dec", "parallax", "pmra", "pmdec")}
    star |= {name: np.zeros(1) for name in ("pmra", "pmdec", "parallax")}
    star |= {"ra_pmra_corr": np.array([0.4]), "parallax_pmdec_corr": np.array([-0.3])}
    _, covariance = known_stars(star, (10.0, 0.0), 2018.0, 1.0)
    # 2 years on: variance of RA 1 + 2·2·0.4 + 4
    assert_allclose(1e6 * covariance[0, 0, 0], 6.6, rtol=1e-6)
    assert_allclose(1e6 * covariance[0, 3, 4], -0.3, rtol=1e-6)


def test_errors_and_correlations_that_cannot_be_true():
    star = {"RA": np.full(2, 10.0), "DEC": np.full(2, 0.0), "ref_epoch": np.full(2, 2016.0)}
    star |= {f"{n}_error": np.array([0.0, 1.0]) for n in ("ra", "dec", "pmra", "pmdec", "parallax")}
    star |= {name: np.zeros(2) for name in ("pmra", "pmdec", "parallax")}
    star |= {f"{n}_corr": np.full(2, v) for n, v in (("ra_dec", 1.0), ("ra_pmra", -1.0))}
    _, covariance = known_stars(star, (10.0, 0.0), 2018.0, 1.0)
    assert (np.linalg.eigvalsh(covariance) > 0).all()
    assert_allclose(1e6 * covariance[1, :2, :2], [[5.0, 0.0], [0.0, 5.0]], atol=1e-6)
    assert np.isfinite(np.linalg.inv(covariance)).all()


# --- exposures ----------------------------------------------------------------------------------

DITHERS = ((0, 0), (6, 4), (-5, 7), (30, -20), (-40, 25), (62, 3))
TWO_EPOCHS = {
    "dithers": tuple((d, k) for k in (0, 1) for d in DITHERS),
    "epochs": ((2022.6, 47.0, 0.99991), (2023.1, 227.0, 1.00009)),
}


ONE_VISIT = {"dithers": tuple((d, 0) for d in DITHERS), "detectors": NIRCAM[:5]}


def test_detectors_are_found_where_they_are():
    seen = observe(Survey(**TWO_EPOCHS, outliers=0.02))
    rigid = align(seen.catalogs, seen.groups)
    joint = align(seen.catalogs, seen.groups, frames=seen.frames)
    assert between_detectors(seen, rigid) > 1.0
    assert between_detectors(seen, joint) < 0.06
    assert relative(seen, joint) < 0.25
    (notes,) = joint.network
    assert 0.9 < notes["chi_square"] / notes["freedom"] < 1.2
    assert_allclose(list(notes["noise"].values()), 0.3, rtol=0.25)
    assert len(notes["placements"]) == 10
    for note in notes["placements"]:
        true = 1000 * seen.placements[note["name"].split()[0]]
        assert np.hypot(note["v2"] - true[0], note["v3"] - true[1]) < 4 * note["error"]
    assert all(q.error < 0.5 and 0.8 < q.pull < 1.4 for q in joint.exposures.values())


def test_a_detector_without_stars_changes_nothing_for_the_others():
    seen = observe(Survey(dithers=tuple((d, 0) for d in DITHERS)))
    whole = align(seen.catalogs, seen.groups, frames=seen.frames)
    lost = "e00002_nrcb3"
    empty = {key: column[:0] for key, column in seen.catalogs[lost].items()}
    less = align({**seen.catalogs, lost: empty}, seen.groups, frames=seen.frames)
    alone = {name: c for name, c in seen.catalogs.items() if name != lost}
    without = align(
        alone,
        {name: seen.groups[name] for name in alone},
        frames={name: seen.frames[name] for name in alone},
    )
    for name in alone:
        one, two = less.exposures[name], without.exposures[name]
        assert_allclose(one.offset, two.offset, atol=1e-3)
        assert_allclose(one.rotation, two.rotation, atol=1e-5)
    names = list(seen.catalogs)
    gained = errors_of(seen, less) - errors_of(seen, whole)
    assert np.abs(gained[names.index(lost)]).max() < 0.3  # it goes with its exposure, placed
    assert less.groups[2].relative == "COMPLETE"


def test_rigid_groups_by_name():
    seen = observe(Survey(dithers=tuple((d, 0) for d in DITHERS)))
    for geometry in ("rscale", "general"):
        how = Matching(fitgeometry=geometry)
        rigid = align(seen.catalogs, seen.groups, how)
        joint = align(seen.catalogs, seen.groups, how, frames=seen.frames)
        assert joint == rigid
        assert not joint.network
    shift = align(seen.catalogs, seen.groups, Matching(fitgeometry="shift"), frames=seen.frames)
    turned = [q.rotation for name, q in shift.exposures.items() if name.startswith("e00003")]
    placed = [p["roll"] for p in shift.network[0]["placements"]]
    assert_allclose(np.diff(np.sort(turned)), np.diff(np.sort([-r for r in placed])), atol=1e-3)
    frames = {name: replace(frame, placement_error=0.0) for name, frame in seen.frames.items()}
    fixed = align(seen.catalogs, seen.groups, frames=frames)
    for group in fixed.groups:
        assert len({fixed.exposures[name].correction for name in group.exposures}) == 1
    assert fixed.network[0]["placements"] == []


@pytest.mark.parametrize("geometry", ["rscale", "general", "shift"])
def test_rigid_groups_go_where_the_stars_of_a_catalogue_have_moved(geometry):
    """60 mas in six years, whatever is fitted; those that move nobody knows where do not count."""
    seen = observe(Survey(**ONE_VISIT, motion=0.5))
    stars = {key: seen.stars[key] for key in ("RA", "DEC", "pmra", "pmdec", "parallax")}
    stars["pmra"] = stars["pmra"] + 10.0
    seen.stars["pmra"] += 10.0
    moved = observe(Survey(**ONE_VISIT, motion=0.5), seen.stars)
    stars |= {"ref_epoch": np.full(len(stars["RA"]), 2016.0)}
    lost = np.arange(len(stars["RA"])) % 2 == 0
    stars["pmra"] = np.where(lost, np.nan, stars["pmra"])
    how, absolute = Matching(), AbsoluteMatching(searchrad=1.0, fitgeometry=geometry)
    if geometry != "shift":
        how = Matching(fitgeometry=geometry)
    found = align(
        moved.catalogs,
        moved.groups,
        replace(how, adjustment="rigid") if geometry == "general" else how,
        reference=stars,
        absolute=absolute,
        frames=moved.frames,
    )
    assert {g.absolute for g in found.groups} == {"COMPLETE"}
    assert np.abs(errors_of(moved, found)[:, 0].mean(axis=0)).max() < 3.0
    # what is not fitted to the sky by the joint adjustment claims no error there
    assert {q.error for q in found.exposures.values()} == {None}


def test_what_is_not_on_the_sky_claims_no_error_there():
    seen = observe(Survey(**ONE_VISIT))
    stars = gaia(seen, np.random.default_rng(0))
    few = {key: column[:3] for key, column in stars.items()}
    for reference in (few, NoCatalogue("no epoch")):
        found = align(seen.catalogs, seen.groups, reference=reference, frames=seen.frames)
        assert {g.absolute for g in found.groups} == {"FAILED"}
        assert {q.error for q in found.exposures.values()} == {None}
        assert relative(seen, found) < 0.2


def test_the_first_attitude_is_the_frame_whatever_sees_its_most_stars():
    """In a field: the first exposures are of the long detector, the most stars of the short ones,
    but for the second attitude.
    """
    seen = observe(Survey(dithers=tuple((d, 0) for d in DITHERS[:4]), detectors=NIRCAM[:5]))
    long = [name for name in seen.catalogs if name.endswith("long")]
    names = [*long, *(name for name in seen.catalogs if name not in long)]
    catalogs = {name: seen.catalogs[name] for name in names}
    for name in names:
        second = seen.groups[name] == "group00001"
        if (name in long) != second:
            catalogs[name] = {key: column[:40] for key, column in catalogs[name].items()}
    groups = {name: seen.groups[name] for name in names}
    frames = {name: seen.frames[name] for name in names}
    for how in (Matching(), Matching(enforce_user_order=True, expand_refcat=True)):
        found = align(catalogs, groups, how, frames=frames)
        assert [g.relative for g in found.groups] == 4 * ["COMPLETE"]
        assert [g.reason for g in found.groups] == ["the others are aligned with it", "", "", ""]
        first = [q for n, q in found.exposures.items() if groups[n] == "group00000"]
        assert np.abs(np.mean([q.offset for q in first], axis=0)).max() < 1.5


def test_what_sees_the_most_stars_of_an_attitude_is_matched():
    """Either the long or the short detectors have few stars."""
    seen = observe(Survey(**ONE_VISIT))
    for starved_ones, kept in ((True, 5), (False, 2)):
        catalogs = {
            name: {key: c[:kept] for key, c in own.items()}
            if name.endswith("long") == starved_ones
            else own
            for name, own in seen.catalogs.items()
        }
        found = align(catalogs, seen.groups, frames=seen.frames)
        assert {g.relative for g in found.groups} == {"COMPLETE"}
        assert between_detectors(seen, found) < 2.0


def test_islands_of_a_network_are_each_their_own():
    """Attitudes 0, 2, 4 and 1, 3, 5; the first of each keeps its pointing as a whole."""
    far = [((dx + 2000 * (k % 2), dy), 0) for k, (dx, dy) in enumerate(DITHERS)]
    seen = observe(Survey(dithers=tuple(far), detectors=NIRCAM[:5], density=0.02))
    found = align(seen.catalogs, seen.groups, frames=seen.frames)
    assert [g.island for g in found.groups] in ([0, 1] * 3, [1, 0] * 3)
    errors, points = errors_of(seen, found), places(seen)
    group = np.array(list(seen.groups.values()))
    for k in range(2):
        own = np.isin(group, [f"group{g:05d}" for g in range(k, 6, 2)])
        assert rms(without_rigid(errors[own], points[own])) < 0.2
        first = [q for n, q in found.exposures.items() if seen.groups[n] == f"group{k:05d}"]
        assert np.abs(np.mean([q.offset for q in first], axis=0)).max() < 0.3


def test_an_exposure_is_where_its_attitude_and_its_placement_have_it():
    seen = observe(Survey(**ONE_VISIT))
    groups = np.unique(list(seen.groups.values()), return_inverse=True)[1]
    frames = list(seen.frames.values())
    detections, *plane = detections_of(seen.catalogs, groups, 1.0)
    how = Matching()
    (island,), _ = align_relative(detections, how, list(range(6)))
    made = Network(frames, groups, plane, True)
    joint = made.solve(detections, island, how.reach)
    placed = {p.name: np.array([p.v2, p.v3]) / 1000 for p in joint.placements}
    for e, frame in enumerate(frames):
        middle = made.seen.centre[e]
        moved = middle + made.seen.axes[e] @ placed[frame.placement]
        assert_allclose(joint.maps[e](middle), joint.attitudes[groups[e]](moved), atol=1e-5)


def common(seen, names, n_common, rng):
    """Keep of exposures' stars `n_common` that all see."""
    shared = set.intersection(*(set(seen.catalogs[name]["star"].tolist()) for name in names))
    chosen = rng.permutation(sorted(shared))[:n_common]
    kept = {}
    for name in names:
        own = np.isin(seen.catalogs[name]["star"], chosen)
        kept[name] = {key: column[own] for key, column in seen.catalogs[name].items()}
    return kept


@pytest.mark.parametrize("n_common", [3, 5, 10, 30])
def test_with_few_stars_it_is_no_worse_than_rigid_groups(n_common):
    squares = np.zeros(2)
    for seed in range(12):
        survey = Survey(
            dithers=tuple((d, 0) for d in ((0, 0), (3, 2), (-2, 4), (5, -3))),
            detectors=("NRCA1", "NRCA3"),
            density=0.02,
            seed=seed,
        )
        seen = observe(survey)
        rng = np.random.default_rng(seed)
        catalogs = {}
        for detector in ("nrca1", "nrca3"):
            names = [name for name in seen.catalogs if name.endswith(detector)]
            catalogs |= common(seen, names, n_common, rng)
        catalogs = {name: catalogs[name] for name in seen.catalogs}
        how = Matching(minobj=3, separation=0.2, tolerance=0.1)
        for k, frames in enumerate((None, seen.frames)):
            alignment = align(catalogs, seen.groups, how, frames=frames)
            assert [g.relative for g in alignment.groups] == 4 * ["COMPLETE"]
            squares[k] += relative(seen, alignment) ** 2
    assert squares[1] <= 1.02 * squares[0]


def test_exposures_are_where_the_catalogue_says():
    pulls, squares = [], []
    for seed in range(6):
        seen = observe(Survey(**TWO_EPOCHS, seed=seed, outliers=0.02))
        stars = gaia(seen, np.random.default_rng(seed))
        found = align(
            seen.catalogs,
            seen.groups,
            reference=stars,
            frames=seen.frames,
            absolute=AbsoluteMatching(searchrad=1.0),
        )
        assert {g.absolute for g in found.groups} == {"COMPLETE"}
        errors = errors_of(seen, found)[:, 0]
        told = np.array([q.error for q in found.exposures.values()])
        pulls.append(errors / told[:, None])
        squares.append(errors)
        assert 0.8 < found.network[-1]["reference_pull"] < 1.25
    assert 0.6 < rms(pulls) < 1.5  # exposures of a seed have most of their errors in common
    assert rms(squares) < 0.5


def test_five_good_stars_are_enough():
    seen = observe(Survey(dithers=tuple((d, 0) for d in DITHERS)))
    stars = gaia(seen, np.random.default_rng(0))
    measured = np.unique(np.concatenate([c["star"] for c in seen.catalogs.values()]))
    bright = np.flatnonzero(seen.stars["magnitude"] < 21.0)
    chosen = np.random.default_rng(4).permutation(np.flatnonzero(np.isin(bright, measured)))[:5]
    five = {key: column[chosen] for key, column in stars.items()}
    found = align(
        seen.catalogs,
        seen.groups,
        reference=five,
        frames=seen.frames,
        absolute=AbsoluteMatching(minobj=5, searchrad=1.0),
    )
    assert {g.absolute for g in found.groups} == {"COMPLETE"}
    told = [q.error for q in found.exposures.values()]
    assert 0.5 < np.median(told) < 2.0
    assert rms(errors_of(seen, found)[:, 0]) < 3 * np.median(told)


def test_stars_of_which_a_catalogue_does_not_know_how_they_move_pull_little():
    """Half the entries have neither motion nor parallax, and stars are off by 30 mas since."""
    seen = observe(Survey(dithers=tuple((d, 0) for d in DITHERS)))
    stars = gaia(seen, np.random.default_rng(0))
    lost = np.arange(len(stars["RA"])) % 2 == 0
    for key in ("pmra", "pmdec", "parallax"):
        stars[key] = np.where(lost, np.nan, stars[key])
        stars[f"{key}_error"] = np.where(lost, np.nan, stars[f"{key}_error"])
    few = {key: column[~lost] for key, column in stars.items()}
    how = {"frames": seen.frames, "absolute": AbsoluteMatching(searchrad=1.0)}
    all_of_them = align(seen.catalogs, seen.groups, reference=stars, **how)
    half = align(seen.catalogs, seen.groups, reference=few, **how)
    assert rms(errors_of(seen, all_of_them) - errors_of(seen, half)) < 0.3
    assert rms(errors_of(seen, all_of_them)) < 1.0


def test_weights_of_a_users_catalogues_count():
    seen = observe(Survey(**ONE_VISIT))
    rng, catalogs = np.random.default_rng(0), {}
    for name, catalog in seen.catalogs.items():
        bad = rng.random(len(catalog["RA"])) < 0.5
        off = bad * rng.normal(0, 6.0, len(bad)) / 3.6e6
        weight = np.where(bad, 0.01, 1.0)
        weight[:3] = 0.0
        columns = {key: catalog[key] for key in ("RA", "DEC", "flux")}
        catalogs[name] = columns | {"DEC": columns["DEC"] + off, "weight": weight}
    found = align(catalogs, seen.groups, frames=seen.frames)
    unweighted = {
        name: {key: c for key, c in catalog.items() if key != "weight"}
        for name, catalog in catalogs.items()
    }
    plain = align(unweighted, seen.groups, frames=seen.frames)
    assert relative(seen, found) < 0.8 * relative(seen, plain) < 0.5
    assert {g.relative for g in found.groups} == {"COMPLETE"}


def test_most_weights_may_be_0():
    seen = observe(Survey(**ONE_VISIT))
    catalogs = {}
    for name, catalog in seen.catalogs.items():
        weight = np.where(np.arange(len(catalog["RA"])) < 40, 4.0, 0.0)
        catalogs[name] = {key: catalog[key] for key in ("RA", "DEC", "flux")} | {"weight": weight}
    found = align(catalogs, seen.groups, frames=seen.frames)
    assert {g.relative for g in found.groups} == {"COMPLETE"}
    assert relative(seen, found) < 0.5
    nothing = {name: c | {"weight": np.zeros(len(c["RA"]))} for name, c in catalogs.items()}
    found = align(nothing, seen.groups, frames=seen.frames)
    assert {g.relative for g in found.groups} == {"FAILED"}


def test_weights_of_a_catalogue_count_in_the_joint_fit():
    """Of entries without errors: half are off and weigh little, a few are far off and nothing."""
    seen = observe(Survey(**ONE_VISIT, motion=0.0))
    n = len(seen.stars["RA"])
    rng = np.random.default_rng(0)
    kind = rng.permutation(np.arange(n) % 10)
    off = np.where(kind < 5, rng.normal(8.0, 4.0, n), 0.0) + np.where(kind == 9, 60.0, 0.0)
    stars = {"RA": seen.stars["RA"], "DEC": seen.stars["DEC"] + off / 3.6e6}
    stars["weight"] = np.where(kind < 5, 1e-4, np.where(kind == 9, 0.0, 7.0))
    absolute = AbsoluteMatching(searchrad=1.0)
    how = {"reference": stars, "absolute": absolute, "frames": seen.frames}
    found = align(seen.catalogs, seen.groups, **how)
    assert np.abs(errors_of(seen, found)[:, 0].mean(axis=0)).max() < 0.6
    # a unit of weights is as good as another
    scaled = stars | {"weight": 1e-3 * stars["weight"]}
    again = align(seen.catalogs, seen.groups, **how | {"reference": scaled})
    assert_allclose(errors_of(seen, again), errors_of(seen, found), atol=1e-3)
    told = [[q.error for q in a.exposures.values()] for a in (found, again)]
    assert_allclose(told[0], told[1], rtol=1e-3)


def test_a_weight_is_an_inverse_variance():
    star = {"RA": np.full(4, 10.0), "DEC": np.zeros(4), "weight": np.array([1.0, 4.0, 0.0, 9.0])}
    entries = References.of(star, (10.0, 0.0), None, True)
    known = entries.known(np.arange(4), np.arange(4), 0.006)
    assert_array_equal(known.star, [0, 1, 3])
    assert_allclose(np.sqrt(known.covariance[:, 0, 0]), [0.012, 0.006, 0.004])
    assert_allclose(np.sqrt(known.covariance[:, 1, 1]), [0.012, 0.006, 0.004])


def starved(seen, group, number):
    """Leave the exposures of a group so many stars together."""
    left, catalogs = number, dict(seen.catalogs)
    for name, own in seen.groups.items():
        if own == group:
            keep = min(left, 2)
            catalogs[name] = {key: column[:keep] for key, column in catalogs[name].items()}
            left -= keep
    return catalogs


@pytest.mark.parametrize("number", [0, 1, 4])
def test_an_exposure_with_few_stars_goes_with_its_visit(number):
    """Two visits; the second one is 100 mas off the first as a whole."""
    off, told = [], []
    for seed in range(4):
        survey = Survey(**TWO_EPOCHS, detectors=NIRCAM[:5], guiding=4.0, pointing=100.0, seed=seed)
        seen = observe(survey)
        catalogs = starved(seen, "group00008", number)
        found = align(catalogs, seen.groups, frames=seen.frames)
        assert [g.relative for g in found.groups] == 12 * ["COMPLETE"]
        assert {g.island for g in found.groups} == {0}
        assert f"only {number} sources (minobj 15): goes with its visit" in found.groups[8].reason
        errors, points = errors_of(seen, found), places(seen)
        own = np.array([g == "group00008" for g in seen.groups.values()])
        assert rms(without_rigid(errors[~own], points[~own])) < 0.3
        off.append(without_rigid(errors, points)[own, 0].mean(axis=0))
        told.append([q.error for n, q in found.exposures.items() if seen.groups[n] == "group00008"])
    assert rms(off) < (2.5 if number == 4 else 12.0)
    assert 0.4 < rms(off) / rms(told) < 2.5


def test_what_has_stars_enough_elsewhere_does_not_go_with_its_visit():
    """Another guide star: 8 arcsec off, beyond the search radius, with all its stars."""
    seen = observe(Survey(**ONE_VISIT, guiding=4.0))
    lost = [name for name, group in seen.groups.items() if group == "group00003"]
    away = dict(seen.catalogs)
    for name in lost:
        away[name] = away[name] | {"DEC": away[name]["DEC"] + 8.0 / 3600}
    found = align(away, seen.groups, frames=seen.frames)
    assert found.groups[3].relative == "FAILED"
    assert "stars are where its visit has them" in found.groups[3].reason
    assert {found.exposures[name].correction for name in lost} == {None}
    # sources too few to tell, none of them a star, say nothing
    junk = starved(seen, "group00003", 6)
    for name in lost:
        junk[name] = junk[name] | {"DEC": junk[name]["DEC"] + 1.0 / 3600}
    found = align(junk, seen.groups, frames=seen.frames)
    assert found.groups[3].relative == "COMPLETE"
    # nor do stars too few in the common part of the sky to be aligned, where they should be
    strip = dict(seen.catalogs)
    for name in lost:
        others = [seen.catalogs[n]["star"] for n in seen.catalogs if n not in lost]
        own = strip[name]["star"]
        kept = ~np.isin(own, np.concatenate(others))
        kept[np.flatnonzero(~kept)[:2]] = True
        strip[name] = {key: column[kept] for key, column in strip[name].items()}
    found = align(strip, seen.groups, frames=seen.frames)
    assert found.groups[3].relative == "COMPLETE"
    assert found.groups[3].reason.endswith("goes with its visit")


def test_the_first_exposure_with_few_stars_is_not_the_frame():
    seen = observe(Survey(**ONE_VISIT, guiding=4.0))
    found = align(starved(seen, "group00000", 3), seen.groups, frames=seen.frames)
    assert {g.relative for g in found.groups} == {"COMPLETE"}
    second = [q for n, q in found.exposures.items() if seen.groups[n] == "group00001"]
    assert np.abs(np.mean([q.offset for q in second], axis=0)).max() < 1.5


def test_exposures_of_a_visit_that_point_anywhere_tell_nothing_of_each_other():
    seen = observe(Survey(**ONE_VISIT))
    catalogs = starved(seen, "group00003", 4)
    found = align(catalogs, seen.groups, frames=seen.frames)
    assert found.groups[3].relative == "FAILED"
    assert found.groups[3].reason == "only 4 sources (minobj 15)"
    assert all(found.exposures[name].correction is None for name in found.groups[3].exposures)
    frames = {name: replace(frame, visit=None) for name, frame in seen.frames.items()}
    near = observe(Survey(**ONE_VISIT, guiding=4.0))
    lost = align(starved(near, "group00003", 4), near.groups, frames=frames)
    assert lost.groups[3].relative == "FAILED"


def test_what_goes_with_its_visit_is_fitted_to_the_catalogue_with_it():
    survey = Survey(**ONE_VISIT, guiding=4.0, pointing=100.0)
    seen = observe(survey)
    stars = gaia(seen, np.random.default_rng(0))
    found = align(
        starved(seen, "group00003", 4),
        seen.groups,
        reference=stars,
        absolute=AbsoluteMatching(searchrad=1.0),
        frames=seen.frames,
    )
    assert {(g.relative, g.absolute) for g in found.groups} == {("COMPLETE", "COMPLETE")}
    own = np.array([g == "group00003" for g in seen.groups.values()])
    off = errors_of(seen, found)[:, 0]
    assert rms(off[~own]) < 0.6
    assert rms(off[own].mean(axis=0)) < 8.0


def test_residuals_by_place_brightness_and_epoch():
    seen = observe(Survey(**TWO_EPOCHS))
    bent = {}
    for name, catalog in seen.catalogs.items():
        east = 3.6e6 * (catalog["RA"] - catalog["RA"].mean()) * np.cos(np.radians(-27.79))
        off = 1e-4 * np.abs(east) / 3.6e6 if name.endswith("nrcblong") else 0.0
        bent[name] = catalog | {"DEC": catalog["DEC"] + off}  # up to 6 mas at the sides
    for catalogs, whole in ((seen.catalogs, True), (bent, False)):
        found = align(catalogs, seen.groups, frames=seen.frames)
        left = found.network[0]["residuals"]
        assert len(left["cells"]) == 10
        assert all(len(rows) > 12 for name, rows in left["cells"].items() if "LONG" in name)
        largest = max(np.hypot(*row[2:4]) for row in left["cells"]["NRCBLONG F356W CLEAR"])
        assert largest < 0.15 if whole else largest > 0.5
        if whole:
            magnitude, rms_found, expected, number = np.array(left["brightness"]).T
            assert (np.diff(magnitude) > 0).all()
            assert_allclose(rms_found[:4], expected[:4], rtol=0.2)
            assert rms_found[-1] > 3 * rms_found[0]
            epochs = np.array(left["epochs"])
            assert_allclose(np.unique(epochs[:, 0]), [2022.6, 2023.1])
            assert number.sum() <= sum(len(c["RA"]) for c in catalogs.values()) + 8


def test_an_exposure_that_stands_out_is_named(caplog):
    seen = observe(Survey(dithers=tuple((d, 0) for d in DITHERS), detectors=NIRCAM[:5]))
    rng, name = np.random.default_rng(0), "e00003_nrca2"
    bad = seen.catalogs[name]
    bad["DEC"] = bad["DEC"] + rng.normal(0, 4, len(bad["DEC"])) / 3.6e6
    found = align(seen.catalogs, seen.groups, frames=seen.frames).by_exposure()
    assert "its residuals are" in found[name].reason
    assert not any("residuals" in e.reason for n, e in found.items() if n != name)


def test_frames_need_no_epoch():
    seen = observe(Survey(dithers=tuple((d, 0) for d in DITHERS[:3]), detectors=NIRCAM[:2]))
    frames = {name: replace(frame, epoch=None) for name, frame in seen.frames.items()}
    made = Network(list(frames.values()), np.zeros(len(frames), int), (53.16, -27.79), True)
    assert made.epoch is None
    assert between_detectors(seen, align(seen.catalogs, seen.groups, frames=frames)) < 0.2
    assert not made.seen.parallax.any()  # nobody knows which way
    assert isinstance(next(iter(frames.values())), Frame)


def test_axes_are_those_of_the_attitude():
    seen = observe(Survey(dithers=(((0, 0), 0),), ra=120.0, dec=80.0))
    frames = list(seen.frames.values())
    made = Network(frames, np.zeros(len(frames), int), (119.0, 80.1), True)
    for frame, axes in zip(frames, made.seen.axes, strict=True):
        row = imaging_aperture(frame.detector)
        turn = attitude(frame.wcsinfo)
        v2, v3 = row.v2_ref + np.array([0.5, -0.5, 0, 0]), row.v3_ref + np.array([0, 0, 0.5, -0.5])
        ra, dec = turn.forward(v2, v3)
        x, y = to_plane(ra, dec, 119.0, 80.1)
        assert_allclose(axes, [[x[0] - x[1], x[2] - x[3]], [y[0] - y[1], y[2] - y[3]]], atol=2e-5)


def test_parallax_factors_follow_the_year():
    year = np.linspace(2022, 2023, 13)
    factors = parallax_factors(np.full(13, 10.0), np.full(13, -80.0), year)
    assert np.hypot(*factors.T).max() < 1.04
    assert_allclose(factors[0], factors[-1], atol=0.02)
