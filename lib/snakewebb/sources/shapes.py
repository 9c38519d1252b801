"""Moments and isophotal fluxes of segments."""

from __future__ import annotations

import math

import numpy as np

from snakewebb.kernels.photometry import frame_sky

FWHM_TO_SIGMA = 1 / (2 * math.sqrt(2 * math.log(2)))
THINNEST = 1 / 12
"""Variance of a pixel's own shape: that of a source is not less."""


def local_sky(data, blocked, box, width):
    """Return the sky level in a frame around a source."""
    top, bottom, left, right = box
    x, y = (left + right - 1) / 2, (top + bottom - 1) / 2
    return frame_sky(data, blocked, x, y, 1.5 * (right - left), 1.5 * (bottom - top), width)


def ordered_columns(rows, parents, segmentation):
    """Put sources in order, and give the segmentation its final labels."""
    ids, parent, part = rows[:, :3].T.astype(int)
    order = np.lexsort((part, parent, part > 0))
    label = np.empty(len(rows), np.uint32)
    label[order] = np.arange(1, len(rows) + 1)
    final = np.zeros(len(parents), np.uint32)
    of_parent = np.zeros(max(parent.max(), parents.max()) + 1, np.uint32)
    whole = part == 0
    of_parent[parent[whole]] = label[whole]
    final[:] = of_parent[parents]
    final[ids[~whole]] = label[~whole]
    segmentation.finish(final)

    rows = rows[order]
    box = rows[:, 3:7].astype(int)
    area, flux, _, x, y, xx, yy, xy, square, *covariance = rows[:, 7:].T
    xx, yy = xx.copy(), yy.copy()
    flat = xx * yy - xy**2 < 0
    xx[flat] = yy[flat] = np.nan
    while np.any(thin := xx * yy - xy**2 < THINNEST**2):
        xx[thin] += THINNEST
        yy[thin] += THINNEST
    middle, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    with np.errstate(invalid="ignore"):
        major, minor = np.sqrt(middle + half), np.sqrt(middle - half)
    return {
        "label": np.arange(1, len(rows) + 1),
        "xcentroid": x + box[:, 2],
        "ycentroid": y + box[:, 0],
        **dict(zip(("centroid_xx", "centroid_yy", "centroid_xy"), covariance, strict=True)),
        "isophotal_flux": flux,
        "isophotal_flux_err": np.sqrt(square),
        "isophotal_area": area,
        "semimajor_sigma": major,
        "semiminor_sigma": minor,
        "ellipticity": 1 - minor / major,
        "orientation": np.degrees(0.5 * np.arctan2(2 * xy, xx - yy)) % 360,
        "box": box,
    }
