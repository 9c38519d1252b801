from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import naive
from snakewebb.astrometry import catalogs as catalogs_module
from snakewebb.astrometry import catalogs as refcat
from snakewebb.astrometry import rigid
from snakewebb.astrometry.alignment import AlignmentResult
from snakewebb.astrometry.joining import BLOCK, _Stars, overlap_counts
from snakewebb.astrometry.matching import Affine
from snakewebb.astrometry.options import AbsoluteMatching, Matching, NoCatalogue
from snakewebb.astrometry.rigid import adjust, residuals
from snakewebb.astrometry.tweakreg import align
from snakewebb.errors import InputError
from snakewebb.wcs.grid import Grid
from snakewebb.wcs.layout import Layout
from snakewebb.wcs.sphere import from_plane, to_plane

CENTRE = (0.01, 60.0)  # fields here straddle RA 0
TILE = 120.0  # arcsec


def rotation(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


@dataclass
class Sky:
    """Exposures of a star field, as their mispointed WCS see it.

    Errors are maps from true to believed positions on the plane at CENTRE (arcsec).
    """

    catalogs: dict
    errors: dict
    tiles: dict
    stars: np.ndarray

    def believed(self, name, points):
        return from_plane(*self.errors[name](points).T, *CENTRE)

    def misplaced(self, alignment, name):
        """By how much corners and middle of an exposure are off on the final sky, mas."""
        square = np.array([(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)]) * TILE / 2
        points = square + self.tiles[name]
        ra, dec = self.believed(name, points)
        correction = correction_of(alignment, name)
        if correction:
            ra, dec = correction.apply(ra, dec)
        return (np.column_stack(to_plane(ra, dec, *CENTRE)) - points) * 1000


def first_of(alignment, group):
    """What became of the first exposure of a group."""
    return alignment.exposures[group.exposures[0]]


def corrections(alignment):
    return [first_of(alignment, group).correction for group in alignment.groups]


def correction_of(alignment, name):
    return alignment.exposures[name].correction


def observe(
    tiles, *, seed=0, density=0.01, noise=0.0, error=0.08, turn=1e-4, groups=None, first_error=False
):
    """Observe a random field with exposures at some offsets (arcsec)."""
    rng = np.random.default_rng(seed)
    tiles = {f"e{k}": np.array(tile, float) for k, tile in enumerate(tiles)}
    groups = groups or {name: name for name in tiles}
    low = np.min(list(tiles.values()), axis=0) - TILE
    high = np.max(list(tiles.values()), axis=0) + TILE
    stars = rng.uniform(low, high, (int(np.prod(high - low) * density), 2))
    flux = 10 ** rng.uniform(0, 3, len(stars))
    errors = {}
    for k, (name, group) in enumerate((n, groups[n]) for n in tiles):
        matrix, shift = rotation(rng.normal(0, turn)), rng.normal(0, error, 2)
        if group not in errors:
            first = k == 0 and not first_error
            errors[group] = Affine() if first else Affine.about(tiles[name], matrix, shift)
    sky = Sky({}, {n: errors[groups[n]] for n in tiles}, tiles, stars)
    for name, tile in tiles.items():
        seen = np.flatnonzero(np.abs(stars - tile).max(axis=1) < TILE / 2)
        seen = rng.permutation(seen)
        points = stars[seen] + rng.normal(0, noise, (len(seen), 2))
        ra, dec = sky.believed(name, points)
        sky.catalogs[name] = {"RA": ra, "DEC": dec, "flux": flux[seen]}
    return sky, groups


def statuses(alignment):
    return [(g.relative, g.absolute) for g in alignment.groups]


DITHERS = [(0, 0), (4, -3), (-5, 2), (3, 6)]
MOSAIC = [(0, 0), (270, 90), (90, 0), (180, 0), (180, 90), (270, 0)]  # the first meets one


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31), st.sampled_from(["shift", "rshift"]))
def test_recovers_what_was_applied(seed, fitgeometry):
    sky, groups = observe(DITHERS, seed=seed, turn=1e-4 * (fitgeometry != "shift"))
    alignment = align(sky.catalogs, groups, Matching(fitgeometry=fitgeometry))
    assert statuses(alignment) == 4 * [("COMPLETE", "SKIPPED")]
    for name in sky.catalogs:
        assert_allclose(sky.misplaced(alignment, name), 0, atol=1e-3)
    assert corrections(alignment)[0] is None
    assert alignment.groups[0].reason == "the others are aligned with it"
    for g in alignment.groups[1:]:
        quality = alignment.exposures[g.exposures[0]]
        moved = sky.errors[g.exposures[0]]
        assert_allclose(quality.offset, -1000 * (moved(np.zeros(2))), atol=5)
        assert_allclose(quality.rotation, np.degrees(moved.matrix[1, 0]) * 3600, atol=1)
        assert quality.n_matches > 50
        assert quality.rms_before > 1e-3 > quality.rms_after


def test_the_first_exposure_is_the_frame_whatever_its_overlap():
    sky, groups = observe(MOSAIC, noise=0.003, first_error=True)
    alignment = align(sky.catalogs, groups)
    assert [g.status for g in alignment.groups] == 6 * ["COMPLETE"]
    assert [c is None for c in corrections(alignment)] == [True, *5 * [False]]
    assert {g.island for g in alignment.groups} == {0}
    first = sky.errors["e0"]
    for name, tile in sky.tiles.items():
        wanted = (first(tile) - tile) * 1000
        assert_allclose(sky.misplaced(alignment, name)[4], wanted, atol=10)


def test_large_roll_errors_are_taken_out_exactly():
    sky, groups = observe(MOSAIC, turn=3e-3)
    alignment = align(sky.catalogs, groups)
    for name in sky.catalogs:
        assert_allclose(sky.misplaced(alignment, name), 0, atol=1e-3)


def test_default_parameters_align_tiles_that_do_not_meet_the_first():
    sky, groups = observe([(90 * k, 0) for k in range(8)], noise=0.003, density=0.02)
    alignment = align(sky.catalogs, groups)
    assert [g.status for g in alignment.groups] == 8 * ["COMPLETE"]
    edges = [sky.misplaced(alignment, name) for name in sky.catalogs]
    for left, right in pairwise(edges):
        assert np.hypot(*(left[7] - right[1])) < 2  # mas, where two tiles meet


def test_a_joint_fit_leaves_smaller_seams_than_growth():
    tiles = [(90 * i, 90 * j) for i in range(4) for j in range(4)]
    sums = np.zeros(2)
    for seed in range(3):
        sky, groups = observe(tiles, noise=0.003, seed=seed)
        for k, nothing in enumerate((False, True)):
            with pytest.MonkeyPatch.context() as patch:
                if nothing:
                    patch.setattr(rigid, "_step", lambda p, g, s, w, fits, how: list(fits))
                alignment = align(sky.catalogs, groups)
            off = [sky.misplaced(alignment, f"e{n}") for n in range(16)]
            seams = [off[n][5] - off[n + 4][3] for n in range(12)]
            sums[k] += np.sum(np.square(seams))
    assert sums[0] < 0.8 * sums[1]


def test_detectors_of_a_group_move_rigidly():
    tiles = [(0, 0), (130, 0), (3, 5), (133, 5), (-4, 6), (126, 6)]
    groups = {f"e{k}": f"exposure{k // 2}" for k in range(6)}
    sky, groups = observe(tiles, groups=groups, noise=0.003)
    alignment = align(sky.catalogs, groups)
    assert [g.exposures for g in alignment.groups] == [("e0", "e1"), ("e2", "e3"), ("e4", "e5")]
    for name in sky.catalogs:
        assert np.abs(sky.misplaced(alignment, name)).max() < 5
    result = alignment.by_exposure()
    assert result["e2"].correction == result["e3"].correction
    assert result["e2"].n_matches != result["e3"].n_matches


def test_a_group_that_cannot_be_matched_does_not_stop_the_others(caplog):
    sky, groups = observe(DITHERS, noise=0.003)
    rng = np.random.default_rng(1)
    for key in ("RA", "DEC"):  # wrong stars
        column = sky.catalogs["e1"][key]
        sky.catalogs["e1"][key] = rng.uniform(column[column < 180].min(), column.max(), len(column))
    sky.catalogs["e1"]["RA"] %= 0.05
    sky.catalogs["e2"] = {key: column[:9] for key, column in sky.catalogs["e2"].items()}
    alignment = align(sky.catalogs, groups)
    assert [g.status for g in alignment.groups] == ["COMPLETE", "FAILED", "FAILED", "COMPLETE"]
    assert "minobj 15" in alignment.groups[1].reason
    assert alignment.groups[2].reason == "only 9 sources (minobj 15)"
    assert correction_of(alignment, "e1") is correction_of(alignment, "e2") is None
    assert np.abs(sky.misplaced(alignment, "e3")).max() < 5
    assert "e2: alignment FAILED: only 9 sources" in caplog.text


def test_a_rejected_fit_rejects_that_group_only():
    """The reference rejects the alignment of all when one moves too far."""
    sky, groups = observe(DITHERS, noise=0.003)
    far = sky.errors["e2"] = Affine(shift=np.array([4.5, 0.0]))
    points = far(
        np.column_stack(to_plane(sky.catalogs["e2"]["RA"], sky.catalogs["e2"]["DEC"], *CENTRE))
    )
    sky.catalogs["e2"]["RA"], sky.catalogs["e2"]["DEC"] = from_plane(*points.T, *CENTRE)
    alignment = align(sky.catalogs, groups, Matching(use2dhist=False, tolerance=0.7, minobj=8))
    assert [g.status for g in alignment.groups] == ["COMPLETE", "COMPLETE", "FAILED", "COMPLETE"]
    found = align(sky.catalogs, groups, Matching(searchrad=6.0))
    assert [g.status for g in found.groups] == 4 * ["COMPLETE"]


def test_islands_are_aligned_within_themselves(caplog):
    sky, groups = observe([(0, 0), (900, 0), (5, 4), (904, 6), (2000, 0)], noise=0.003)
    alignment = align(sky.catalogs, groups)
    assert statuses(alignment) == [*4 * [("COMPLETE", "SKIPPED")], ("SKIPPED", "SKIPPED")]
    assert [g.island for g in alignment.groups] in ([0, 1, 0, 1, 2], [1, 0, 1, 0, 2])
    assert [c is None for c in corrections(alignment)] == [True, True, False, False, True]
    assert alignment.groups[4].reason == "no other exposure overlaps it"
    assert "3 islands that share no stars" in caplog.text
    off = sky.misplaced(alignment, "e3")[4] - sky.misplaced(alignment, "e1")[4]
    assert np.abs(off).max() < 5


def test_the_order_of_the_association_can_be_enforced():
    tiles = [(0, 0), (80, 0), (160, 0)]
    sky, groups = observe(tiles, noise=0.003, density=0.03)
    alone = align(sky.catalogs, groups, Matching(enforce_user_order=True))
    assert [g.status for g in alone.groups] == ["COMPLETE", "COMPLETE", "FAILED"]
    grow = Matching(enforce_user_order=True, expand_refcat=True)
    grown = align(sky.catalogs, groups, grow)
    assert [g.status for g in grown.groups] == 3 * ["COMPLETE"]
    swapped = {name: sky.catalogs[name] for name in ("e0", "e2", "e1")}
    wrong = align(swapped, groups, grow)
    assert [g.status for g in wrong.groups] == ["COMPLETE", "FAILED", "COMPLETE"]


def test_a_tile_that_meets_two_in_few_stars_each_is_joined_by_both():
    sky, groups = observe([(-58, 0), (58, 0), (0, -40), (0, 100)], density=0.02, noise=0.003)
    points = [np.column_stack(to_plane(c["RA"], c["DEC"], *CENTRE)) for c in sky.catalogs.values()]
    common = overlap_counts(points, 0.5)[3]
    minobj = int(common.max()) + 1
    assert common.sum() > 1.5 * minobj
    alignment = align(sky.catalogs, groups, Matching(minobj=minobj))
    assert [g.status for g in alignment.groups] == 4 * ["COMPLETE"]


def test_one_group_or_none_with_stars():
    sky, groups = observe(DITHERS[:1])
    assert statuses(align(sky.catalogs, groups)) == [("SKIPPED", "SKIPPED")]
    empty = {key: np.zeros(0) for key in ("RA", "DEC", "flux")}
    two = align({"e0": empty, "e1": empty}, {"e0": "e0", "e1": "e1"}, reference=sky.catalogs["e0"])
    assert statuses(two) == 2 * [("FAILED", "FAILED")]
    assert two.groups[0].reason.startswith("only 0 sources (minobj 15); abs_refcat: no sources")
    assert corrections(two)[0] is None
    one = align({**sky.catalogs, "e1": empty}, {"e0": "e0", "e1": "e1"})
    assert statuses(one) == [("SKIPPED", "SKIPPED"), ("FAILED", "SKIPPED")]


def test_doubles_are_matched_to_the_right_star():
    """Faint companions, seen in some exposures only, neither match twice nor pull the fit."""
    sky, groups = observe(DITHERS, noise=0.003)
    rng = np.random.default_rng(2)
    for catalog in sky.catalogs.values():
        n = len(catalog["RA"])
        double = rng.random(n) < 0.4
        for key, step in (("RA", rng.uniform(1e-4, 3e-4, n)), ("DEC", rng.uniform(5e-5, 1e-4, n))):
            catalog[key] = np.concatenate([(catalog[key] + step)[double] % 360, catalog[key]])
        catalog["flux"] = np.concatenate([0.3 * catalog["flux"][double], catalog["flux"]])
    alignment = align(sky.catalogs, groups)
    for name in sky.catalogs:
        assert np.abs(sky.misplaced(alignment, name)).max() < 4


def test_the_result_does_not_depend_on_the_order_of_sources_or_joining():
    sky, groups = observe(DITHERS, noise=0.003)
    first = align(sky.catalogs, groups)
    rng = np.random.default_rng(0)
    mixed = {}
    for name, catalog in sky.catalogs.items():
        order = rng.permutation(len(catalog["RA"]))
        mixed[name] = {key: column[order] for key, column in catalog.items()}
    second = align(mixed, groups)
    for name in sky.catalogs:
        assert_allclose(sky.misplaced(first, name), sky.misplaced(second, name), atol=1e-6)
    ordered = align(sky.catalogs, groups, Matching(enforce_user_order=True, expand_refcat=True))
    for name in sky.catalogs:
        assert_allclose(sky.misplaced(first, name), sky.misplaced(ordered, name), atol=0.3)


@pytest.mark.parametrize("turn", [0.0, 3e-4])
def test_a_field_two_degrees_wide(turn):
    """One tangent plane serves the whole product: a degree from its middle nothing is lost."""
    rng = np.random.default_rng(0)
    catalogs, errors, spots = {}, {}, {}
    for k, (east, north) in enumerate([(-3600.0, -300.0), (0.0, 0.0), (3600.0, 300.0)]):
        middle = from_plane(east, north, *CENTRE)
        stars = rng.uniform(-60, 60, (60, 2))
        for m in range(2):
            error = Affine(rotation(rng.normal(0, turn) * m), rng.normal(0, 0.5, 2) * m)
            ra, dec = from_plane(*error(stars).T, *middle)
            name = f"e{k}{m}"
            catalogs[name] = {"RA": ra, "DEC": dec, "flux": np.ones(60)}
            errors[name], spots[name] = error, (middle, stars)
    geometry = "rshift" if turn else "shift"
    alignment = align(catalogs, {name: name for name in catalogs}, Matching(fitgeometry=geometry))
    assert [g.status for g in alignment.groups] == 6 * ["COMPLETE"]
    for name, catalog in catalogs.items():
        middle, stars = spots[name]
        correction = correction_of(alignment, name)
        sky = catalog["RA"], catalog["DEC"]
        found = to_plane(*(correction.apply(*sky) if correction else sky), *middle)
        assert_allclose(np.column_stack(found), stars, atol=2e-5)  # arcsec


def test_contradicting_parameters():
    sky, groups = observe(DITHERS[:2])
    with pytest.raises(InputError, match=r"separation: 0.9 arcsec is not larger than √2 × tol"):
        align(sky.catalogs, groups, Matching(separation=0.9))
    with pytest.raises(InputError, match=r"abs_separation: 0\.9"):
        align(
            sky.catalogs,
            groups,
            reference=sky.catalogs["e0"],
            absolute=AbsoluteMatching(separation=0.9),
        )


def test_exposures_all_over_the_sky():
    sky, groups = observe(DITHERS[:2])
    sky.catalogs["e1"]["RA"] = (sky.catalogs["e1"]["RA"] + 180) % 360
    sky.catalogs["e1"]["DEC"] = -sky.catalogs["e1"]["DEC"][:40]
    sky.catalogs["e1"] = {key: column[:40] for key, column in sky.catalogs["e1"].items()}
    with pytest.raises(
        InputError, match="e1: its sources lie more than 90 degrees from the middle"
    ):
        align(sky.catalogs, groups)


def test_json_holds_the_result(tmp_path):
    sky, groups = observe(DITHERS)
    alignment = align(sky.catalogs, groups, reference=true_catalogue(sky))
    grid = Grid((1.0, 2.0), (3.0, 4.0), 1e-5, ((-1.0, 0.0), (0.0, 1.0)), (5, 6))
    result = AlignmentResult(
        "tweakreg", {"minobj": 15}, alignment.by_exposure(), alignment.islands, {}, Layout(grid, {})
    )
    result.write(tmp_path / "alignment.json")
    found = AlignmentResult.read(tmp_path / "alignment.json")
    assert found == result
    assert list(found.exposures) == list(sky.catalogs)
    assert found.exposures["e1"].correction == correction_of(alignment, "e1")
    assert found.exposures["e1"].status == "COMPLETE"
    assert found.islands[0].n_matches > 50


def true_catalogue(sky, keep=slice(None)):
    ra, dec = from_plane(*sky.stars[keep].T, *CENTRE)
    return {"RA": ra, "DEC": dec}


def test_absolute_alignment_is_one_rigid_move():
    sky, groups = observe(MOSAIC, noise=0.003, first_error=True, error=0.5)
    alignment = align(sky.catalogs, groups, reference=true_catalogue(sky))
    assert statuses(alignment) == 6 * [("COMPLETE", "COMPLETE")]
    for name in sky.catalogs:
        assert np.abs(sky.misplaced(alignment, name)).max() < 8
    (fit,) = alignment.islands
    assert fit.n_matches > 100
    assert 1 < fit.rms < 5
    # relative alignment stays what it was
    alone = align(sky.catalogs, groups)
    differences = [
        sky.misplaced(alignment, name)[4] - sky.misplaced(alone, name)[4] for name in sky.catalogs
    ]
    assert np.ptp(differences, axis=0).max() > 1  # a rotation too
    shifted = align(
        sky.catalogs,
        groups,
        reference=true_catalogue(sky),
        absolute=AbsoluteMatching(fitgeometry="shift"),
    )
    differences = [
        sky.misplaced(shifted, name)[4] - sky.misplaced(alone, name)[4] for name in sky.catalogs
    ]
    assert np.ptp(differences, axis=0).max() < 1e-3


def test_a_single_exposure_can_be_aligned_absolutely():
    sky, groups = observe(DITHERS[:1], first_error=True, error=2.0)
    alignment = align(sky.catalogs, groups, reference=true_catalogue(sky))
    assert statuses(alignment) == [("SKIPPED", "COMPLETE")]
    assert alignment.groups[0].status == "COMPLETE"
    assert_allclose(sky.misplaced(alignment, "e0"), 0, atol=1e-3)


def test_absolute_failure_keeps_the_relative_alignment():
    sky, groups = observe(DITHERS, noise=0.003)
    alignment = align(sky.catalogs, groups, reference=true_catalogue(sky, slice(0, 5)))
    assert statuses(alignment) == 4 * [("COMPLETE", "FAILED")]
    assert alignment.groups[1].status == "FAILED"
    assert "references near by (minobj 15)" in alignment.groups[1].reason
    for name in sky.catalogs:
        assert np.abs(sky.misplaced(alignment, name)).max() < 5


def test_islands_are_fitted_each_and_the_rest_goes_along():
    sky, groups = observe(
        [(0, 0), (5, 4), (600, 0), (606, 5), (1300, 0), (1900, 0)], noise=0.003, first_error=True
    )
    common = np.array([0.4, -0.3])
    for name, error in sky.errors.items():
        sky.errors[name] = Affine(error.matrix, error.shift + common)
        points = np.column_stack(
            to_plane(sky.catalogs[name]["RA"], sky.catalogs[name]["DEC"], *CENTRE)
        )
        sky.catalogs[name]["RA"], sky.catalogs[name]["DEC"] = from_plane(
            *(points + common).T, *CENTRE
        )
    sky.catalogs["e5"] = {key: column[:9] for key, column in sky.catalogs["e5"].items()}
    alignment = align(
        sky.catalogs,
        groups,
        reference=true_catalogue(sky),
        absolute=AbsoluteMatching(fitgeometry="shift"),
    )
    assert statuses(alignment) == [
        *4 * [("COMPLETE", "COMPLETE")],
        ("SKIPPED", "COMPLETE"),
        ("FAILED", "FAILED"),
    ]
    for name in ("e0", "e1", "e2", "e3", "e4"):
        assert np.abs(sky.misplaced(alignment, name)[4]).max() < 5
    last = alignment.groups[5]
    assert "goes with island" in last.reason
    best = max(alignment.islands, key=lambda fit: fit.n_matches)
    frame = next(g for g in alignment.groups if alignment.islands[g.island] == best)
    assert_allclose(first_of(alignment, last).offset, first_of(alignment, frame).offset)


@pytest.mark.parametrize("seed", range(3))
def test_stars_near_are_those_of_all_stars(seed):
    """Whatever block they are in, and however far they were moved since they were appended."""
    rng = np.random.default_rng(seed)
    n = 3 * BLOCK
    stars, mean, weight = _Stars(4 * n, 4), np.zeros((0, 2)), np.zeros(0)
    for _ in range(4):
        points, own = rng.uniform(-100, 100, (n, 2)), rng.uniform(0.5, 2.0, n)
        assert_array_equal(stars.append(points, own), len(mean) + np.arange(n))
        mean, weight = np.concatenate((mean, points)), np.concatenate((weight, own))
        again = rng.permutation(len(mean))[:50]
        moved, much = mean[again] + rng.normal(0, 30, (50, 2)), rng.uniform(0, 5, 50)
        much[:5] = 0.0
        stars.measure(again, moved, much)
        total = weight[again] + much
        mean[again] += (moved - mean[again]) * (much / total)[:, None]
        weight[again] = total
        for _ in range(5):
            box = rng.uniform(-100, 100, 2) + rng.uniform(-10, 10, (4, 2))
            inside, places, sure = stars.near(box, 1.0)
            low, high = box.min(axis=0) - 1, box.max(axis=0) + 1
            near = np.flatnonzero(((mean >= low) & (mean <= high)).all(axis=1))
            assert_array_equal(inside, near)
            assert_allclose(places, mean[near])
            assert_allclose(sure, weight[near])


def test_overlaps_count_possible_matches():
    a = np.array([(0.0, 0.0), (10.0, 0.0), (20.0, 0.0)])
    counts = overlap_counts([a, a + 1.0, a[:1], a + 500, np.zeros((0, 2))], 2.0)
    assert_array_equal(counts, counts.T)
    assert_array_equal(counts[0], [0, 3, 1, 0, 0])


@pytest.mark.parametrize("fitgeometry", ["shift", "rshift", "rscale", "general"])
def test_no_maps_agree_better_than_the_adjusted(fitgeometry):
    rng = np.random.default_rng(3)
    n_groups, n_stars = 4, 25
    true = rng.uniform(-50, 50, (n_stars, 2))
    group, star = np.divmod(np.arange(n_groups * n_stars), n_stars)
    seen = rng.random(len(group)) < 0.7
    group, star = group[seen], star[seen]
    points = (
        true[star] + rng.normal(0, 0.05, (len(star), 2)) + np.array([0.3, -0.2]) * group[:, None]
    )
    how = Matching(fitgeometry=fitgeometry, nclip=0)
    fits, used = adjust(points, group, star, [Affine()] * n_groups, how, np.ones(len(star)))
    if fitgeometry in ("rshift", "rscale"):
        fits, used = adjust(points, group, star, fits, how, np.ones(len(star)))  # converged
    assert fits[0].is_identity()

    def cost(maps):
        full = np.array([np.column_stack([m.matrix, m.shift]) for m in maps])
        return naive.disagreement(points[used], group[used], star[used], full)

    best = cost(fits)
    for _ in range(40):
        k, matrix = rng.integers(1, n_groups), np.eye(2)
        if fitgeometry == "general":
            matrix = np.eye(2) + rng.normal(0, 1e-4, (2, 2))
        elif fitgeometry != "shift":
            matrix = rotation(rng.normal(0, 1e-4)) * (
                1 + rng.normal(0, 1e-4) * (fitgeometry == "rscale")
            )
        other = list(fits)
        other[k] = Affine(matrix, rng.normal(0, 0.002, 2)).after(fits[k])
        assert cost(other) > best


def test_adjusting_clips_outliers():
    rng = np.random.default_rng(4)
    true = rng.uniform(-50, 50, (30, 2))
    group, star = np.divmod(np.arange(90), 30)
    points = true[star] + rng.normal(0, 0.01, (90, 2))
    points[[5, 40, 75]] += 0.5
    fits, used = adjust(points, group, star, [Affine()] * 3, Matching(nclip=5), np.ones(90))
    assert not used[[5, 40, 75]].any()
    assert used.sum() > 75
    assert all(np.abs(fit.shift).max() < 0.02 for fit in fits)
    before, after = residuals(points, group, star, used, fits)
    assert np.isfinite(after[used]).all()
    assert after[used].max() < 0.05 < after[5]
    assert_allclose(before[group == 0], after[group == 0])


def test_adjusting_does_not_clip_what_ties_the_groups():
    """Two pairs of groups with 400 good stars each, and four bad ones between the pairs."""
    rng = np.random.default_rng(0)
    true = rng.uniform(-30, 30, (804, 2))
    star = np.concatenate((np.tile(np.arange(400), 2), np.tile(np.arange(400, 804), 2)))
    group = np.repeat([0, 1, 2, 3], [400, 400, 404, 404])
    group[group == 3] = np.where(star[group == 3] < 800, 3, 1)
    points = true[star] + rng.normal(0, 0.002, (len(star), 2))
    points[(star >= 800) & (group == 2)] += [(0.3, 0.0), (-0.3, 0.0), (0.0, 0.3), (0.0, -0.3)]
    fits, used = adjust(points, group, star, [Affine()] * 4, Matching(minobj=4), np.ones(len(star)))
    assert used[star >= 800].any()
    assert all(np.isfinite(fit.matrix).all() for fit in fits)
    for one, other in ((0, 1), (2, 3)):
        middle = np.zeros(2)
        assert_allclose(fits[one](middle), fits[other](middle), atol=0.02)


@pytest.mark.parametrize("fitgeometry", ["shift", "rshift", "rscale", "general"])
def test_a_weight_is_how_often_a_measurement_counts(fitgeometry):
    rng = np.random.default_rng(5)
    true = rng.uniform(-50, 50, (30, 2))
    group, star = np.divmod(np.arange(90), 30)
    points = true[star] + rng.normal(0, 0.01, (90, 2))
    points[[5, 40, 75]] += 0.5
    weight = rng.integers(0, 4, 90)
    often = np.repeat(np.arange(90), weight)
    how, start = Matching(fitgeometry=fitgeometry, nclip=3), [Affine()] * 3
    fits, used = adjust(points, group, star, start, how, weight.astype(float))
    # A star needs measurements in two groups: those of one alone would count when repeated.
    known = np.bincount(star, used)[star] > 1
    among = known[often]
    again = (values[often][among] for values in (points, group, star))
    repeated, kept = adjust(*again, start, replace(how, nclip=0), used[often][among].astype(float))
    assert_array_equal(kept, used[often][among])
    for fit, other in zip(fits, repeated, strict=True):
        assert_allclose(fit.matrix, other.matrix, atol=1e-7)
        assert_allclose(fit.shift, other.shift, atol=1e-5)
    assert not used[weight == 0].any()


def spoiled(catalog, share, offset, seed):
    """Move a share of the sources of a catalogue; return it with weights that say so."""
    rng = np.random.default_rng(seed)
    bad = rng.random(len(catalog["RA"])) < share
    moved = {**catalog, "DEC": catalog["DEC"] + bad * offset / 3600}
    return {**moved, "weight": np.where(bad, 1e-6, 1.0)}


def without_weight(catalog):
    return {key: column for key, column in catalog.items() if key != "weight"}


def test_weights_of_the_reference_catalogue_count():
    sky, groups = observe(DITHERS, noise=0.003, first_error=True)
    reference = spoiled(true_catalogue(sky), 0.4, 0.2, 1)
    alignment = align(sky.catalogs, groups, reference=reference, absolute=AbsoluteMatching(nclip=0))
    assert {status for _, status in statuses(alignment)} == {"COMPLETE"}
    for name in sky.catalogs:
        assert np.abs(sky.misplaced(alignment, name)[4]).max() < 3
    alignment = align(
        sky.catalogs,
        groups,
        reference=without_weight(reference),
        absolute=AbsoluteMatching(nclip=0),
    )
    assert np.abs(sky.misplaced(alignment, "e0")[4]).max() > 50


def test_weights_of_sources_count_among_exposures_and_against_the_reference():
    sky, groups = observe(DITHERS, noise=0.003, first_error=True)
    catalogs = {
        name: spoiled(catalog, 0.4, 0.2 * (-1) ** k, k)
        for k, (name, catalog) in enumerate(sky.catalogs.items())
    }
    reference = true_catalogue(sky)
    reference["weight"] = np.ones(len(reference["RA"]))
    for abs_refcat in (reference, without_weight(reference)):
        alignment = align(
            catalogs,
            groups,
            Matching(nclip=0),
            reference=abs_refcat,
            absolute=AbsoluteMatching(nclip=0),
        )
        assert statuses(alignment) == 4 * [("COMPLETE", "COMPLETE")]
        for name in sky.catalogs:
            assert np.abs(sky.misplaced(alignment, name)[4]).max() < 3
    plain = {name: without_weight(catalog) for name, catalog in catalogs.items()}
    alignment = align(
        plain, groups, Matching(nclip=0), reference=reference, absolute=AbsoluteMatching(nclip=0)
    )
    off = [sky.misplaced(alignment, name)[4] for name in sky.catalogs]
    assert np.abs(off).max() > 30
    # Weights of some exposures alone say nothing of the others.
    mixed = {**catalogs, "e1": plain["e1"]}
    again = align(
        mixed, groups, Matching(nclip=0), reference=reference, absolute=AbsoluteMatching(nclip=0)
    )
    assert_allclose([sky.misplaced(again, name)[4] for name in sky.catalogs], off)


def test_sources_of_weight_0_take_no_part():
    sky, groups = observe(DITHERS, noise=0.003)
    catalogs = {name: spoiled(catalog, 0.3, 0.2, 7) for name, catalog in sky.catalogs.items()}
    for catalog in catalogs.values():
        catalog["weight"][catalog["weight"] < 1] = 0.0
    alignment = align(catalogs, groups, reference=true_catalogue(sky))
    assert statuses(alignment) == 4 * [("COMPLETE", "COMPLETE")]
    for name in sky.catalogs:
        assert np.abs(sky.misplaced(alignment, name)[4]).max() < 3
        assert alignment.exposures[name].n_matches <= (catalogs[name]["weight"] > 0).sum()


def test_reference_catalogue_of_a_file(tmp_path):
    Table({"ra": [1.0], "dec": [2.0]}).write(tmp_path / "own.ecsv")
    columns, notes = catalogs_module.reference_catalogue("own.ecsv", tmp_path / "own.ecsv", [], [])
    assert columns["RA"][0] == 1.0
    assert notes["stars"] == 1


class Square:
    """As much of a geometry as is asked for."""

    def corners(self):
        return np.array([359.9, 0.1, 0.1, 359.9]), np.array([-0.1, -0.1, 0.1, 0.1])


def test_reference_catalogue_of_a_service(monkeypatch):
    asked = []

    def query(*args):
        asked.append(args)
        still = {key: np.zeros(3) for key in ("pmra", "pmdec", "parallax")}
        epoch = np.full(3, 2016.0)
        return {"RA": np.zeros(3), "DEC": np.zeros(3), **still, "ref_epoch": epoch}

    monkeypatch.setattr(refcat, "query_gaia", query)
    columns, notes = catalogs_module.reference_catalogue("GAIADR3", None, [Square()], [2023.0])
    assert notes == {"file": "GAIADR3", "stars": len(columns["RA"])}
    name, ra, dec, radius = asked[0]
    assert name == "GAIADR3"
    assert min(ra, 360 - ra) < 1e-9
    assert_allclose(dec, 0, atol=1e-9)
    assert np.hypot(0.1, 0.1) < radius < 0.15
    with pytest.raises(catalogs_module.NoCatalogue, match="no exposure has EXPMID"):
        catalogs_module.reference_catalogue("GAIADR3", None, [Square()], [None])


def test_without_the_catalogue_that_was_asked_for_the_relative_alignment_stays():
    sky, groups = observe(DITHERS)
    alone = align(sky.catalogs, groups)
    lacking = align(sky.catalogs, groups, reference=NoCatalogue("no epoch"))
    assert corrections(lacking) == corrections(alone)
    assert statuses(lacking) == 4 * [("COMPLETE", "FAILED")]
    assert all(g.status == "FAILED" and "abs_refcat: no epoch" in g.reason for g in lacking.groups)
    assert [(fit.status, fit.reason) for fit in lacking.islands] == [
        ("FAILED", "abs_refcat: no epoch")
    ]
