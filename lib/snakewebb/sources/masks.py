"""Where an image has sources: for what is measured on empty sky."""

from __future__ import annotations

import numpy as np

from snakewebb.kernels.detection import connect, extents, smooth
from snakewebb.sources.background import Background, NoPixel
from snakewebb.sources.detection import gaussian

FWHM = 2.5
"""Of the Gaussian that the image is smoothed with, pixels."""
THRESHOLD = 3.0
"""In units of the rms of the smoothed image."""
LEAST = 10
"""Connected pixels of a source."""
BOX = 64
"""Side of a mesh of the background, pixels."""
GROWTH = 5
"""Pixels by which a mask is larger than what is seen of its source."""


def source_mask(image: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """Find where an image is brighter than its background, and around that.

    Noise is measured on the smoothed image, so that it need not be independent between pixels.

    Parameters
    ----------
    image : (ny, nx) float32
    bad : (ny, nx) bool
        Pixels that are not looked at.

    Returns
    -------
    (ny, nx) bool
    """
    ny, _ = image.shape
    smoothed = np.empty(image.shape, np.float32)
    bad = bad | ~np.isfinite(image)
    smooth(np.ascontiguousarray(image, np.float32), bad, gaussian(FWHM), 0, smoothed)
    try:
        sky = Background(lambda a, b: (smoothed[a:b], bad[a:b]), image.shape, BOX, ny)
    except NoPixel:
        return np.zeros(image.shape, bool)
    above = (smoothed - sky.level(0, ny) > np.float32(THRESHOLD) * sky.rms(0, ny)) & ~bad
    labels = np.empty(image.shape, np.int32)
    boxes = np.empty((connect(above, 8, labels), 6), np.int64)
    extents(labels, boxes)
    large = np.concatenate([[False], boxes[:, 4] >= LEAST])
    return grown(large[labels], GROWTH)


def grown(mask: np.ndarray, by: int) -> np.ndarray:
    """Return a mask with all pixels that are so near along both axes."""
    for _ in range(2):
        reach = 0
        while reach < by:  # shifts of what is grown already leave no gap
            step = min(reach + 1, by - reach)
            wider = mask.copy()
            wider[step:] |= mask[:-step]
            wider[:-step] |= mask[step:]
            mask, reach = wider, reach + step
        mask = np.ascontiguousarray(mask.T)
    return mask
