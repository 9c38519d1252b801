import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from snakewebb.astrometry.assign_mtwcs import assign_mtwcs
from snakewebb.errors import InputError
from snakewebb.wcs.sphere import from_plane, to_plane, unit_vectors


def track(ra, dec, steps):
    """Positions, by exposure, of a target that moves by steps (arcsec East, North)."""
    positions = np.transpose(from_plane(*np.transpose(steps).astype(float), ra, dec))
    return {f"e{k}": (a, d) for k, (a, d) in enumerate(positions)}


steps = st.lists(st.tuples(*2 * [st.floats(-200, 200)]), min_size=1, max_size=5)


@settings(deadline=None, max_examples=50)
@given(st.floats(0, 359.999), st.floats(-89.5, 89.5), steps)
def test_the_target_comes_to_rest_at_its_mean(ra, dec, steps):
    known = track(ra, dec, steps)
    exposures, corrections = assign_mtwcs(known)
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
    _, corrections = assign_mtwcs(known)
    grid = np.array([(e, n) for e in (-60, 0, 60) for n in (-60, 0, 60)], float)
    for name, place in known.items():
        sky = from_plane(*grid.T, *place)
        moved = corrections[name].apply(*sky)
        center = corrections[name].apply(*(np.array(c) for c in place))
        around = np.transpose(to_plane(*moved, *(float(c) for c in center)))
        angle = np.linalg.norm(around, axis=1)
        assert_allclose(angle, np.linalg.norm(grid, axis=1), atol=1e-4)  # arcsec


def test_offsets_are_small_across_ra_zero():
    exposures, _ = assign_mtwcs({"a": (359.999, 0.0), "b": (0.001, 0.0)})
    assert min(exposures["a"].mt_avra, 360 - exposures["a"].mt_avra) < 1e-9
    assert_allclose(exposures["a"].offset, (3600, 0), atol=1e-3)
    assert_allclose(exposures["b"].offset, (-3600, 0), atol=1e-3)


@pytest.mark.parametrize("missing", [(None, 5.0), (5.0, None)])
def test_all_are_skipped_where_one_lacks_its_position(missing, caplog):
    known = track(10.0, 20.0, [(0, 0), (5, 5)])
    known["e1"] = missing
    exposures, corrections = assign_mtwcs(known)
    assert corrections == {"e0": None, "e1": None}
    assert {e.status for e in exposures.values()} == {"SKIPPED"}
    assert "no target position (MT_RA, MT_DEC) in e1" in exposures["e0"].reason
    assert "not aligned" in caplog.text


def test_a_position_on_the_other_side_of_the_sky():
    known = {**track(10.0, 20.0, [(0, 0), (5, 5)]), "far": (190.0, -19.0)}
    with pytest.raises(InputError, match=r"far: its target position .* is 90 degrees or more"):
        assign_mtwcs(known)
