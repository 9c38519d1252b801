"""The zones of a frame that are reduced each on its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def zones(
    shape: tuple[int, int],
    center: tuple[float, float],
    *,
    annuli: int | Sequence[float],
    subsections: int,
    mask: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Divide a frame into the zones that are reduced each on its own.

    Parameters
    ----------
    shape : (ny, nx)
    center : (x, y)
        The star, 0-based pixels.
    annuli : int or sequence of float
        So many annuli of equal width from the star to the nearest edge of the frame, the last of
        which takes all beyond; or the radii of their edges, pixels, with nothing beyond.
    subsections : int
        Sectors of each annulus, counted from +x towards +y.
    mask : (ny, nx) bool, optional
        The search region.

    Returns
    -------
    list of arrays of int
        Flat indices of pixels; no zone is empty.
    """
    y, x = np.indices(shape)
    dx, dy = x - center[0], y - center[1]
    radius = np.hypot(dx, dy)
    if isinstance(annuli, int):
        ny, nx = shape
        reach = min(center[0], center[1], nx - 1 - center[0], ny - 1 - center[1])
        edges = np.append(np.linspace(0, reach, annuli + 1)[:-1], np.inf)
    else:
        edges = np.asarray(annuli, float)
    ring = np.digitize(radius, edges) - 1
    sector = np.floor(np.arctan2(dy, dx) / (2 * np.pi) % 1.0 * subsections).astype(int)
    label = ring * subsections + np.minimum(sector, subsections - 1)
    label[(ring < 0) | (ring >= len(edges) - 1)] = -1
    if mask is not None:
        label[~mask] = -1
    label = label.ravel()
    return [np.flatnonzero(label == k) for k in np.unique(label[label >= 0])]
