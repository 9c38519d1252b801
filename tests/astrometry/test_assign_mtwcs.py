import shutil
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from chain import image3
from snakewebb.astrometry.assign_mtwcs import assign_mtwcs
from snakewebb.io.dq import OUTLIER
from snakewebb.report.status import outlier_status
from snakewebb.simulate.observation import write
from snakewebb.simulate.presets import preset
from snakewebb.wcs.sphere import from_plane, to_plane, unit_vectors


def track(ra, dec, steps):
    """Positions, by exposure, of a target that moves by steps (arcsec East, North)."""
    positions = np.transpose(from_plane(*np.transpose(steps).astype(float), ra, dec))
    return {f"e{k}": (a, d) for k, (a, d) in enumerate(positions)}


def aligned(known, **centers):
    """What the step says of exposures that look at the target, or at the given places."""
    return assign_mtwcs(known, known | centers)


steps = st.lists(st.tuples(*2 * [st.floats(-200, 200)]), min_size=1, max_size=5)


@settings(deadline=None, max_examples=50)
@given(st.floats(0, 359.999), st.floats(-89.5, 89.5), steps)
def test_the_target_comes_to_rest_at_its_mean(ra, dec, steps):
    known = track(ra, dec, steps)
    exposures, corrections = aligned(known)
    mean = np.sum([unit_vectors(*place) for place in known.values()], axis=0)
    mean /= np.linalg.norm(mean)
    for name, place in known.items():
        rest = corrections[name].apply(*map(np.array, place))
        assert_allclose(unit_vectors(*rest), mean, atol=5e-12)  # a microarcsecond
        assert_allclose(rest, (exposures[name].mt_avra, exposures[name].mt_avdec), atol=1e-7)
        assert exposures[name].status == "COMPLETE"


@pytest.mark.parametrize(("ra", "dec"), [(0.0001, 0.0), (180.0, 89.0), (77.0, -45.0)])
def test_the_sky_around_the_target_keeps_its_shape(ra, dec):
    """A plain shift in RA, without cos(Dec), would squeeze the sky at high declination."""
    known = track(ra, dec, [(-30, 10), (40, -5), (5, 15)])
    _, corrections = aligned(known)
    grid = np.array([(e, n) for e in (-60, 0, 60) for n in (-60, 0, 60)], float)
    for name, place in known.items():
        sky = from_plane(*grid.T, *place)
        moved = corrections[name].apply(*sky)
        center = corrections[name].apply(*(np.array(c) for c in place))
        around = np.transpose(to_plane(*moved, *(float(c) for c in center)))
        angle = np.linalg.norm(around, axis=1)
        assert_allclose(angle, np.linalg.norm(grid, axis=1), atol=1e-4)  # arcsec


def test_offsets_are_small_across_ra_zero():
    exposures, _ = aligned({"a": (359.999, 0.0), "b": (0.001, 0.0)})
    assert min(exposures["a"].mt_avra, 360 - exposures["a"].mt_avra) < 1e-9
    assert_allclose(exposures["a"].offset, (3600, 0), atol=1e-3)
    assert_allclose(exposures["b"].offset, (-3600, 0), atol=1e-3)


@pytest.mark.parametrize("missing", [(None, 5.0), (5.0, None)])
def test_all_are_skipped_where_one_lacks_its_position(missing, caplog):
    known = track(10.0, 20.0, [(0, 0), (5, 5)])
    known["e1"] = missing
    exposures, corrections = assign_mtwcs(known, dict.fromkeys(known, (10.0, 20.0)))
    assert corrections == {"e0": None, "e1": None}
    assert {e.status for e in exposures.values()} == {"FAILED"}
    assert "no target position (MT_RA, MT_DEC) in e1" in exposures["e0"].reason
    assert "not aligned" in caplog.text


def test_a_position_beside_what_is_seen(caplog):
    """Headers of which nobody knew the target's place may say 0, 0."""
    known = track(180.0, 20.0, [(0, 0), (5, 5)])
    exposures, corrections = aligned(known, e1=(180.0, 21.1))
    assert corrections == {"e0": None, "e1": None}
    assert {e.status for e in exposures.values()} == {"FAILED"}
    assert exposures["e0"].reason.endswith("is more than 1 degree from what is seen in e1")
    assert "not aligned" in caplog.text
    exposures, _ = aligned(known, e1=(180.0, 20.9))  # a parallel exposure
    assert exposures["e1"].status == "COMPLETE"


def test_positions_on_both_sides_of_the_sky():
    known = {**track(10.0, 20.0, [(0, 0), (5, 5)]), "far": (190.0, -19.0)}
    exposures, _ = aligned(known)
    assert "both sides of the sky" in exposures["far"].reason


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """Two exposures of a bright target, 10 pixels apart on the sky."""
    field = replace(
        preset("nircam-moving", npix=96),
        motion=(2.0, -0.9),
        dithers=((0.0, 0.0), (0.3, 0.2)),
        pointing_error=0.0,
        roll_error=0.0,
        cosmic_ray_rate=0.0,
        target_flux=1e-5,
    )
    return sorted(write(field, tmp_path_factory.mktemp("moving")).parent.glob("*_cal.fits"))


def flagged(folder, paths, **options):
    """Make ``_crf``; return its primary header and how many pixels are flagged on the target."""
    image3(folder, paths, **options)
    with fits.open(sorted(folder.glob("*_crf.fits"))[0]) as hdus:
        target = hdus["DQ"].data[45:52, 45:52]  # the telescope follows it
        return hdus[0].header, np.count_nonzero(target & OUTLIER)


@pytest.mark.parametrize("position", [(0.0, 0.0), (None, None)])
def test_a_target_that_is_not_aligned_is_not_flagged(moving, tmp_path, position):
    paths = [tmp_path / path.name for path in moving]
    for source, path in zip(moving, paths, strict=True):
        shutil.copy(source, path)
    with fits.open(paths[1], mode="update") as hdus:
        hdus["SCI"].header["MT_RA"], hdus["SCI"].header["MT_DEC"] = position
    header, count = flagged(tmp_path / "out", paths)
    assert count == 0
    assert (header["S_MTWCS"], header["S_OUTLIR"]) == ("FAILED", "SKIPPED")
    assert "moving target, which is not aligned, would be" in outlier_status(header)["reason"]


def test_a_target_that_is_aligned_stays_and_stars_go(moving, tmp_path):
    header, count = flagged(tmp_path / "at rest", moving)
    assert (header["S_MTWCS"], header["S_OUTLIR"]) == ("COMPLETE", "COMPLETE")
    assert count == 0
    header, count = flagged(tmp_path / "of stars", moving, skip_mtwcs=True)
    assert (header["S_MTWCS"], header["S_OUTLIR"]) == ("SKIPPED", "COMPLETE")
    assert count > 3
