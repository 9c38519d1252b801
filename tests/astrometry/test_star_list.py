"""Stars of aligned exposures."""

import numpy as np
import pytest

from snakewebb.astrometry.star_list import REACH, list_stars
from snakewebb.wcs.sphere import to_plane

ARCSEC = 1 / 3600


def detections(ra, dec, rng, error):
    """What an exposure sees of stars."""
    off = rng.normal(0, error, (2, len(ra))) * ARCSEC
    return ra + off[0] / np.cos(np.radians(dec)), dec + off[1], np.full(len(ra), error)


def test_means_are_better_than_what_they_are_of():
    rng = np.random.default_rng(1)
    row, column = np.indices((15, 15)).reshape(2, -1) * 2.0
    dec = -27.8 + row * ARCSEC
    ra = (359.9995 + column * ARCSEC / np.cos(np.radians(dec))) % 360
    errors = (0.004, 0.004, 0.004, 0.02)
    found = list_stars([detections(ra, dec, rng, error) for error in errors])
    assert len(found["RA"]) == 225
    east, north = to_plane(found["RA"], found["DEC"], 0.003, -27.796)
    points = np.column_stack(to_plane(ra, dec, 0.003, -27.796))
    off = points[:, None] - np.column_stack((east, north))
    off = off[np.arange(225), np.argmin((off**2).sum(axis=-1), axis=1)]
    best = np.sum([e**-2 for e in errors]) ** -0.5
    assert np.std(off) == pytest.approx(best, rel=0.1)
    assert found["weight"] == pytest.approx(best**-2)


def test_what_is_not_sure_is_left_out():
    rng = np.random.default_rng(2)
    alone = np.array([10.0, 10.001]), np.array([20.0, 20.0])
    one = (*alone, None)
    assert len(list_stars([one])["RA"]) == 2, "one exposure has no second"
    other = (alone[0][:1], alone[1][:1], np.array([0.0]))
    found = list_stars([one, other])
    assert found["RA"] == pytest.approx([10.0])
    close = np.array([10.0, 10.0]), np.array([20.0, 20.0 + 0.5 * REACH * ARCSEC])
    assert not len(list_stars([(*close, None), detections(*close, rng, 1e-4)])["RA"]), "two of one"
    chain = [
        (np.array([10.0]), np.array([20.0 + k * 0.9 * REACH * ARCSEC]), None) for k in range(4)
    ]
    assert not len(list_stars(chain)["RA"]), "wider than reach"
    nothing = (np.empty(0), np.empty(0), None)
    assert len(list_stars([nothing, one])["RA"]) == 2
    assert set(list_stars([nothing])) == {"RA", "DEC", "weight"}
    assert set(list_stars([])) == {"RA", "DEC", "weight"}
