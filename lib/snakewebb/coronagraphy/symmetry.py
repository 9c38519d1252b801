"""The part of an image that is symmetric about the star."""

from __future__ import annotations

import numpy as np

from snakewebb.coronagraphy.fourier import turn

RING = 3.0
"""Width in pixels of the rings that `symmetric_part` looks at one by one."""
CLIP = 2.0
"""Standard deviations of a ring at which its light is clipped before it is turned."""
LEAST_PIXELS = 8
"""Of a ring, to say anything of its light."""


def symmetric_part(image: np.ndarray, center: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Predict the light at each place from that on the other side of the star.

    Behind a good coronagraph errors of the wavefront make speckles that are nearly the same on
    both sides of the star: the Fourier transform of a phase, a real function, is Hermitian. So the
    image is turned by 180 degrees and fitted to itself, ring by ring. Before, it is clipped, for
    companions must not leave much of a hole on the other side.

    Parameters
    ----------
    image : (ny, nx) array
        A star's residual light; NaN where there are no data.
    center : (x, y)
        The star, 0-based pixels.

    Returns
    -------
    part : (ny, nx) float64
        The prediction; 0 where the other side is outside the frame.
    share : (ny, nx) float64
        By what the other side was multiplied, from 0 to 1.

    Notes
    -----
    Perrin et al. 2003 (ApJ 596, 702) on the symmetry of speckles, Ren et al. 2012 (ApJ 753, 99) on
    subtracting the turned image; the clipping is ours.
    """
    known = np.isfinite(image)
    y, x = np.indices(image.shape)
    ring = np.floor(np.hypot(x - center[0], y - center[1]) / RING).astype(int)
    light, share = np.zeros(image.shape), np.zeros(image.shape)
    order = np.argsort(ring[known], kind="stable")
    pixels = np.flatnonzero(known)[order]
    groups = np.split(pixels, np.flatnonzero(np.diff(ring.ravel()[pixels])) + 1)
    groups = [group for group in groups if len(group) >= LEAST_PIXELS]
    for group in groups:
        values = image.ravel()[group] - np.median(image.ravel()[group])
        limit = CLIP * 1.4826 * np.median(np.abs(values))
        light.ravel()[group] = np.clip(values, -limit, limit)
    other = turn(light[None], center)[0]
    for group in groups:
        here, there = light.ravel()[group], other.ravel()[group]
        power = there @ there
        share.ravel()[group] = np.clip(here @ there / power, 0, 1) if power > 0 else 0
    return share * other, share
