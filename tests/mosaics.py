"""Parts of made-up mosaics."""

import numpy as np

from snakewebb.wcs.grid import Grid

SIDE = 0.063
INSTRUMENT = {"name": "NIRCAM", "filter": "F356W", "pupil": "CLEAR", "detector": "NRCALONG"}


def make_grid(shape, angle=0.0, side=SIDE):
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    middle = (shape[1] / 2, shape[0] / 2)
    return Grid((10.0, -20.0), middle, side / 3600, ((-c, s), (s, c)), shape)


def add(image, x, y, light, covariance):
    """Add a Gaussian to an image."""
    half = int(8 * np.sqrt(np.max(covariance))) + 2
    top, left = max(int(y) - half, 0), max(int(x) - half, 0)
    cut = np.s_[top : int(y) + half, left : int(x) + half]
    v, u = np.indices(image.shape)[(slice(None), *cut)]
    d = np.stack((u - x, v - y), axis=-1)
    weight = np.einsum("...i,ij,...j", d, np.linalg.inv(covariance), d)
    image[cut] += light * np.exp(-0.5 * weight) / (2 * np.pi * np.sqrt(np.linalg.det(covariance)))
