"""Geometries of exposures, for tests."""

import numpy as np

from snakewebb.wcs.geometry import Geometry
from snakewebb.wcs.sphere import from_plane


def make_geometry(ra=10.0, dec=20.0, n=256, scale=0.06, nodes=9, **more):
    """Return the geometry of an undistorted exposure, North up, East left."""
    edge = np.linspace(-0.5, n - 0.5, nodes)
    x, y = np.meshgrid(edge - (n - 1) / 2, edge - (n - 1) / 2)
    values = {
        "v2_ref": 80.0, "v3_ref": -490.0, "roll_ref": 0.0, "ra_ref": ra, "dec_ref": dec,
        "v3yangle": 0.0, "vparity": -1, "pixel_scale": scale / 3600,
    } | more  # fmt: skip
    return Geometry((n, n), edge, edge, *from_plane(-x * scale, y * scale, ra, dec), **values)
