"""Real WCS of a survey, whose detectors were aligned one by one: its deviations are recovered."""

import re

import asdf
import numpy as np
import pytest
from numpy.testing import assert_allclose

from snakewebb.astrometry.joint import WCSINFO, Frame, Network
from snakewebb.astrometry.options import AbsoluteMatching, Matching
from snakewebb.astrometry.tweakreg import align
from snakewebb.simulate import scene
from snakewebb.wcs.geometry import Correction
from snakewebb.wcs.sphere import from_plane, to_plane

PLANE = (214.83, 52.86)
SPOTS = np.array([(x, y) for x in (0.0, 1023.5, 2047.0) for y in (0.0, 1023.5, 2047.0)])
NOISE = 0.001  # arcsec


@pytest.fixture(scope="module")
def survey(real_data):
    """Stars where the published WCS see them, as the WCS before their alignment has them."""
    paths = sorted((real_data / "ceers_wcs").glob("*_0[28]201_*.asdf"))
    assert len(paths) == 60
    rng = np.random.default_rng(0)
    stars = from_plane(*rng.uniform(-240, 240, (2, 9000)), *PLANE)
    still = Correction(*PLANE, ((1.0, 0.0), (0.0, 1.0)), (0.0, 0.0))
    catalogs, groups, frames, deviations, corners = {}, {}, {}, {}, {}
    for path in paths:
        name = path.stem.removesuffix("_tweakreg")
        with asdf.open(path) as tree:
            wcs, wcsinfo = tree["wcs"], dict(tree["wcsinfo"])
            before = wcs.get_transform("detector", "v2v3vacorr")
            onto_sky = wcs.get_transform("v2v3corr", "world")
            index, x, y, _ = scene.locate(wcs, (2048, 2048), *stars, still, -8)
            x, y = np.array((x, y)) + rng.normal(0, NOISE / 0.03, (2, len(x)))
            ra, dec = onto_sky(*before(x, y))
            delivered, published = onto_sky(*before(*SPOTS.T)), wcs(*SPOTS.T)
        detector = name.rpartition("_")[2].upper()
        catalogs[name] = {"RA": ra, "DEC": dec, "flux": np.exp(-index / 2000.0)}
        groups[name] = re.sub(r"_nrc\w+$", "", name)
        half = 64.5 if detector.endswith("LONG") else 31.7
        optics = "LW" if detector.endswith("LONG") else "SW"
        place = {key: wcsinfo[key] for key in WCSINFO}
        frames[name] = Frame(detector, optics, "visit", 2022.48, place, half, 50.0)
        corners[name] = np.stack(to_plane(*delivered, *PLANE), -1)
        deviations[name] = np.stack(to_plane(*published, *PLANE), -1) - corners[name]
    reference = {"RA": stars[0], "DEC": stars[1]}
    return catalogs, groups, frames, corners, deviations, reference


def left_over(survey, alignment):
    """By how much corrected positions are off the published ones, mas: (exposures, 9, 2)."""
    _, _, _, corners, deviations, _ = survey
    off = []
    for name, corner in corners.items():
        sky = alignment.exposures[name].correction.apply(*from_plane(*corner.T, *PLANE))
        off.append(np.stack(to_plane(*sky, *PLANE), -1) - corner - deviations[name])
    return 1000 * np.array(off)


def test_published_placements_are_recovered(survey):
    catalogs, groups, frames, corners, deviations, reference = survey
    how = Matching(tolerance=0.4), AbsoluteMatching(tolerance=0.4)
    rigid = align(catalogs, groups, how[0], reference=reference, absolute=how[1])
    joint = align(catalogs, groups, how[0], reference=reference, absolute=how[1], frames=frames)
    assert {g.absolute for g in joint.groups} == {"COMPLETE"}
    before, after = left_over(survey, rigid), left_over(survey, joint)
    assert np.sqrt(np.mean(before**2)) > 15
    # Detectors that are aligned one by one scatter by 2 to 4 mas from exposure to exposure.
    assert np.sqrt(np.mean(after**2)) < 5
    # What placements are, by plain least squares of the deviations themselves.
    names = list(corners)
    numbers = np.unique(list(groups.values()), return_inverse=True)[1]
    network = Network(list(frames.values()), numbers, PLANE, True)
    n_poses, n_places = numbers.max() + 1, len(network.names)
    rows, right = [], []
    for e, name in enumerate(names):
        for corner, off in zip(corners[name], deviations[name], strict=True):
            row = np.zeros((2, 3 * n_poses + 3 * n_places))
            pose, place = 3 * numbers[e], 3 * (n_poses + network.seen.placement[e])
            row[:, pose : pose + 3] = [[1, 0, -corner[1]], [0, 1, corner[0]]]
            row[:, place : place + 2] = network.seen.axes[e]
            arm = corner - network.seen.centre[e]
            row[:, place + 2] = -arm[1], arm[0]
            rows.append(row)
            right.append(off)
    solution = np.linalg.lstsq(np.concatenate(rows), np.concatenate(right), rcond=1e-9)[0]
    wanted = 1000 * solution[3 * n_poses :].reshape(-1, 3)[:, :2]
    (notes,) = [own for own in joint.network if own["placements"]]
    found = np.array([(p["v2"], p["v3"]) for p in notes["placements"]])
    # A shift and a roll of all detectors are those of attitudes, too.
    place = np.array(
        [[frames[n].wcsinfo[k] for k in ("v2_ref", "v3_ref")] for n in names[:n_places]]
    )
    order = [network.names.index(frames[n].placement) for n in names[:n_places]]
    design = np.zeros((2 * n_places, 3))
    design[0::2, 0] = design[1::2, 1] = 1
    design[0::2, 2], design[1::2, 2] = place[:, 1], -place[:, 0]
    difference = (found[order] - wanted[order]).reshape(-1)
    difference -= design @ np.linalg.lstsq(design, difference)[0]
    assert_allclose(difference, 0, atol=3.0)
    spread = found[order].reshape(-1)
    spread = spread - design @ np.linalg.lstsq(design, spread)[0]
    assert spread.std() > 5


def test_published_detectors_scatter_by_more_than_noise(survey):
    """Their residuals are more than the noise of positions: they were moved one by one."""
    catalogs, groups, frames, *_ = survey
    joint = align(catalogs, groups, Matching(tolerance=0.4), frames=frames)
    assert {g.relative for g in joint.groups} == {"COMPLETE"}
    assert all(noise > 1.3 for noise in joint.network[0]["noise"].values())
