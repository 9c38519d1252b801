import json

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord, SkyOffsetFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from geometries import make_geometry
from snakewebb.wcs.geometry import Correction, Geometry
from snakewebb.wcs.sphere import from_plane, to_plane

FIELD = st.tuples(st.floats(0, 360, exclude_max=True), st.floats(-89.5, 89.5))


@settings(deadline=None, max_examples=50)
@given(FIELD, st.floats(-2000, 2000), st.floats(-2000, 2000))
def test_plane_and_back(center, xi, eta):
    sky = from_plane(np.array([xi]), np.array([eta]), *center)
    back = to_plane(*sky, *center)
    np.testing.assert_allclose(back, [[xi], [eta]], atol=1e-7)
    assert 0 <= sky[0][0] < 360


def test_plane_agrees_with_astropy():
    center = SkyCoord(350.0 * u.deg, 40.0 * u.deg)
    sky = SkyCoord([350.2, 349.9] * u.deg, [40.1, 39.8] * u.deg)
    offset = sky.transform_to(SkyOffsetFrame(origin=center))
    expected = np.tan(offset.lon.rad), np.tan(offset.lat.rad) / np.cos(offset.lon.rad)
    xi, eta = to_plane(sky.ra.deg, sky.dec.deg, 350.0, 40.0)
    np.testing.assert_allclose((xi, eta), np.degrees(expected) * 3600, rtol=1e-9)


def test_far_side_of_the_sky_has_no_place_on_the_plane():
    assert np.isnan(to_plane(np.array([190.0]), np.array([0.0]), 10.0, 0.0)[0]).all()


@settings(deadline=None, max_examples=20)
@given(FIELD)
def test_shift_moves_by_its_length(center):
    correction = Correction(*center, ((1.0, 0.0), (0.0, 1.0)), (0.3, -0.4))
    ra, dec = correction.apply(np.array([center[0]]), np.array([center[1]]))
    xi, eta = to_plane(ra, dec, *center)
    np.testing.assert_allclose([xi[0], eta[0]], [0.3, -0.4], atol=1e-8)


def test_json_round_trips():
    geometry = make_geometry()
    back = Geometry.from_dict(json.loads(json.dumps(geometry.to_dict())))
    np.testing.assert_array_equal(back.ra, geometry.ra)
    assert back.shape == (256, 256)
    correction = Correction(1.0, 2.0, ((1.0, 0.1), (-0.1, 1.0)), (3.0, 4.0))
    assert Correction.from_dict(json.loads(json.dumps(correction.to_dict()))) == correction


def test_outline_goes_round():
    geometry = make_geometry()
    ra, dec = geometry.outline()
    xi, eta = to_plane(ra, dec, 10.0, 20.0)
    area = 0.5 * abs(np.sum(xi * np.roll(eta, -1) - eta * np.roll(xi, -1)))
    assert area == pytest.approx((256 * 0.06) ** 2, rel=1e-6)
    assert len(ra) == 4 * 8
    corner_xi = to_plane(*geometry.corners(), 10.0, 20.0)[0]
    np.testing.assert_allclose(np.abs(corner_xi), 128 * 0.06, rtol=1e-6)


def test_center_across_zero_hours():
    ra, dec = make_geometry(ra=0.0, dec=-30.0).center()
    assert min(ra, 360 - ra) < 1e-9
    assert dec == pytest.approx(-30.0)
