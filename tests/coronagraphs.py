"""Light of a star behind a coronagraph, for tests: speckles at known places, nothing else."""

import numpy as np

from snakewebb.wcs.geometry import Geometry
from snakewebb.wcs.sphere import from_plane

SCALE, STAR = 0.063, (150.0, -30.0)
"""Arcsec a pixel; RA and Dec of the star, degrees."""


def speckles(shape, center, *, seed=1, count=120, reach=16.0, width=1.7, drift=0.0, drift_seed=0):
    """Return point-symmetric Gaussian spots about (x, y), brightest close in."""
    rng = np.random.default_rng(seed)
    radius, angle = reach * np.sqrt(rng.random(count)), 2 * np.pi * rng.random(count)
    height = 100 * np.exp(-radius / 5) * rng.random(count)
    changes = 1 + drift * np.random.default_rng(drift_seed).standard_normal((2, count))
    y, x = np.indices(shape)
    image = np.zeros(shape)
    for r, a, h, change in zip(radius, angle, height, changes.T, strict=True):
        for sign, factor in zip((1, -1), change, strict=True):
            dx, dy = sign * r * np.cos(a), sign * r * np.sin(a)
            square = (x - center[0] - dx) ** 2 + (y - center[1] - dy) ** 2
            image += factor * h * np.exp(-square / (2 * width**2))
    return image


def geometry(roll, center, size):
    """Return the geometry of an exposure whose star is at a pixel and y axis at PA ``roll``."""
    nodes = np.linspace(-0.5, size - 0.5, 9)
    x, y = np.meshgrid(nodes, nodes)
    u, v = (x - center[0]) * SCALE, (y - center[1]) * SCALE
    c, s = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    ra, dec = from_plane(-u * c + v * s, u * s + v * c, *STAR)
    return Geometry((size, size), nodes, nodes, ra, dec, SCALE / 3600, 0, 0, roll, *STAR, 0.0, -1)
