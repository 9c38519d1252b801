"""Small mosaics with stars of known signal to noise."""

import numpy as np

from snakewebb.references.psf import mosaic_psf
from snakewebb.sources.mosaic import Mosaic
from snakewebb.wcs.grid import Grid

SCALE = 0.063
NIRCAM = {"name": "NIRCAM", "filter": "F356W", "pupil": "CLEAR", "detector": "NRCALONG"}
PSF = mosaic_psf(NIRCAM, SCALE)
SIGMA = 0.01
SKY = 0.3


def optimal(flux):
    """Signal to noise of stars in noise that is not correlated."""
    return flux * np.sqrt((PSF.stamp(0, 0) ** 2).sum()) / SIGMA


FAINT = 1 / optimal(1.0)
"""Flux of a star of signal to noise 1."""


def field(places, size=200, seed=1):
    """A mosaic with stars at (x, y, signal to noise)."""
    rng = np.random.default_rng(seed)
    half = PSF.size // 2
    image = np.zeros((size + 2 * PSF.size,) * 2)
    for x, y, snr in places:
        column, row = round(x), round(y)
        stamp = PSF.stamp(x - column, y - row) * snr * FAINT
        top, left = row + PSF.size - half, column + PSF.size - half
        image[top : top + PSF.size, left : left + PSF.size] += stamp
    image = image[PSF.size : -PSF.size, PSF.size : -PSF.size]
    data = image + SKY + SIGMA * rng.standard_normal(image.shape)
    return mosaic_of(data.astype(np.float32), np.sqrt(SIGMA**2 + np.maximum(image, 0) * 1e-6))


def mosaic_of(data, err, weight=None, mask=None):
    shape = data.shape
    grid = Grid((50.0, -20.0), (0.0, 0.0), SCALE / 3600, ((-1.0, 0.0), (0.0, 1.0)), shape)
    mask = np.zeros(shape, bool) if mask is None else mask
    weight = np.ones(shape, np.float32) if weight is None else weight
    err = np.broadcast_to(np.asarray(err, np.float32), shape)
    return Mosaic(data, err, mask, grid, NIRCAM, weight=weight)


def lattice(step_size, snr, size=200):
    axis = np.arange(step_size, size - step_size / 2, step_size)
    rng = np.random.default_rng(3)
    return [
        (x + rng.uniform(-0.5, 0.5), y + rng.uniform(-0.5, 0.5), snr) for x in axis for y in axis
    ]
