"""How many exposures are behind sources: what the planes CON of a mosaic say of their pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.table import QTable

from snakewebb.io.fits_structure import find
from snakewebb.io.planes import read_pixels

ROWS = 256
"""Of CON, that are in memory at a time, beside those that an aperture needs."""
RADIUS = 3.0
"""Pixels: the largest aperture that jwst has by itself."""


def add_exposures(table: QTable, mosaic: str | Path, name: str = "n_exposures") -> None:
    """Add a column with the number of exposures of a mosaic behind each source of a catalogue."""
    x, y = (np.asarray(table[axis], float) for axis in ("xcentroid", "ycentroid"))
    table[name] = count_exposures(mosaic, x, y)
    table[name].info.description = "Exposures of the source, 0 if not known"


def count_exposures(path: str | Path, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the number of exposures behind each source.

    That is the median over the pixels within `RADIUS` of it that have any exposure: no pixel that
    some exposure lost decides.

    Parameters
    ----------
    path : path
        The mosaic, whose CON has a bit for each exposure: (ny, nx), or 32 exposures a plane.
    x, y : (n,) arrays
        Centroids, 0-based pixels.

    Returns
    -------
    (n,) int64
        0 where nothing is known: the mosaic has no CON, or no exposure there.
    """
    number = np.zeros(len(x), np.int64)
    unit, found = find(path, "CON"), np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if unit is None:
        return number
    ny, nx = unit.shape[-2:]
    reach = int(RADIUS)
    steps = np.arange(-reach, reach + 1)
    down, right = (axis.ravel() for axis in np.meshgrid(steps, steps, indexing="ij"))
    within = np.hypot(down, right) <= RADIUS
    down, right = down[within], right[within]
    column = np.clip(np.rint(x[found]), 0, nx - 1).astype(int)
    row = np.clip(np.rint(y[found]), 0, ny - 1).astype(int)
    for piece in np.unique(row // ROWS):
        own = np.flatnonzero(row // ROWS == piece)
        low = max(row[own].min() - reach, 0)
        high = min(row[own].max() + reach + 1, ny)
        bits = read_pixels(path, unit, slice(low, high)).reshape(-1, high - low, nx)
        j, i = row[own, None] + down - low, column[own, None] + right
        inside = (j >= 0) & (j < high - low) & (i >= 0) & (i < nx)
        j, i = np.where(inside, j, 0), np.where(inside, i, 0)
        seen = np.zeros(j.shape, np.int64)
        for plane in bits:
            seen += np.bitwise_count(plane[j, i].astype(np.int32).view(np.uint32))
        seen[~inside] = 0
        # The lower of two middles of what is not 0, so that it is a number of exposures.
        seen.sort(axis=1)
        known = (seen > 0).sum(axis=1)
        number[found[own]] = seen[np.arange(len(own)), len(down) - known + (known - 1) // 2]
    return number
