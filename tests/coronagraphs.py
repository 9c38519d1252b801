"""Light of a star behind a coronagraph, for tests: speckles at known places, nothing else."""

import numpy as np


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
