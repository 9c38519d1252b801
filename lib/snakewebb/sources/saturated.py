"""Saturated stars: cores that some or all exposures have lost, within light that is a star's."""

from __future__ import annotations

import numpy as np

from snakewebb.kernels import detection
from snakewebb.kernels import groups as kernels
from snakewebb.references.psf import PointSpread
from snakewebb.sources.masks import grown
from snakewebb.sources.significance import Maps

LOST = 0.6
"""A pixel of less weight than this share of that of one near by has lost exposures."""
CORE_RIM = 30.0
"""Significance of what is around a saturated core."""
WINGS = 6.0
"""Pixels from a saturated core in which its star's light is measured."""
CORE_RIM_OF_PART = 300.0
"""The same where some exposures are not lost."""
LARGEST = 12.0
"""Side of the largest saturated core, FWHM."""

Core = tuple[float, float, float, np.ndarray, np.ndarray]
"""Row, column and radius, and the rows and columns of its pixels; all without margins."""


def saturated_cores(maps: Maps, ids: np.ndarray, fwhm: float) -> dict[int, list[Core]]:
    """Find the saturated cores of a window.

    Parameters
    ----------
    maps : Maps
    ids : (ny, nx) int32
        Groups of connected pixels, from 1.
    fwhm : float
        Of a star, pixels.

    Returns
    -------
    dict
        Cores by the group that is around them.
    """
    bad = np.empty(maps.weight.shape, bool)
    kernels.losses(maps.weight, LOST, bad)
    found: dict[int, list[Core]] = {}
    known = np.zeros(ids.shape, bool)
    # Where weights differ much from pixel to pixel all that is low is connected: what is lost
    # altogether counts by itself, too.
    for mask in (bad, maps.weight == 0):
        for group, core in _cores(np.ascontiguousarray(mask[maps.inner]), maps, ids, fwhm):
            _, _, _, y, x = core
            if not known[y, x].any():
                found.setdefault(group, []).append(core)
                known[y, x] = True
    return found


def _cores(bad, maps, ids, fwhm):
    """Yield the groups around those connected parts of a mask that are cores, and these."""
    ny, nx = ids.shape
    weight = maps.weight[maps.inner]
    labels = np.empty(bad.shape, np.int32)
    boxes = np.empty((detection.connect(bad, 8, labels), 6), int)
    detection.extents(labels, boxes)
    side = np.maximum(boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2])
    first = maps.star[boxes[:, 0], np.maximum(boxes[:, 5] - 1, 0)]
    for k in np.flatnonzero((side <= LARGEST * fwhm) & (first > CORE_RIM / 3)):
        top, bottom, left, right = boxes[k, :4] + np.array([-1, 1, -1, 1])
        if top < 0 or left < 0 or bottom > ny or right > nx:
            continue
        here = labels[top:bottom, left:right] == k + 1
        around = grown(here, 1) & ~here
        rim = maps.star[top:bottom, left:right][around]
        group = ids[top:bottom, left:right][around]
        lost = (weight[top:bottom, left:right][here] == 0).any()
        bright = np.median(np.nan_to_num(rim)) > (CORE_RIM if lost else CORE_RIM_OF_PART)
        if not bright or (group != group[0]).any():
            continue
        if not lost:
            # Weights that differ from pixel to pixel are as low at a step of coverage: on one side.
            share = weight[top:bottom, left:right][here].mean()
            typical = np.median(weight[top:bottom, left:right][around])
            if share > LOST * typical or not _has_peak(maps.star_flux, labels, k + 1, boxes[k]):
                continue
        y, x = np.nonzero(here)
        radius = max(y.max() - y.min(), x.max() - x.min()) / 2 + 1
        core = (float(y.mean() + top), float(x.mean() + left), float(radius), y + top, x + left)
        yield int(group[0]), core


def _has_peak(image, labels, label, box):
    """Tell whether the brightest pixel of a core and as far around as it is large is in it."""
    ny, nx = image.shape
    top, bottom, left, right = box[:4]
    reach = max(bottom - top, right - left)
    around = (
        slice(max(top - reach, 0), min(bottom + reach, ny)),
        slice(max(left - reach, 0), min(right + reach, nx)),
    )
    return labels[around].flat[np.nanargmax(image[around])] == label


def star_light(
    core: tuple[float, float, float], maps: Maps, psf: PointSpread
) -> tuple[float, float]:
    """Return the flux of a star by its wings, and the error of that; 0 where none are seen.

    Parameters
    ----------
    core : (row, column, radius)
        What is not looked at, without margins.
    maps : Maps
    psf : PointSpread
    """
    row, column, radius = core[0] + maps.top, core[1] + maps.left, core[2]
    outer = int(radius + WINGS) + 1
    rows, columns = (slice(max(int(at) - outer, 0), int(at) + outer + 1) for at in (row, column))
    data, weight = maps.data[rows, columns], maps.weight[rows, columns]
    y, x = np.indices(data.shape)
    distance = np.hypot(y + rows.start - row, x + columns.start - column)
    ring = (weight > 0) & (distance > radius + 1) & (distance < radius + WINGS)
    if not ring.any():
        return 0.0, 0.0
    fluxes = data[ring] / np.interp(distance[ring], np.arange(len(psf.profile)), psf.profile)
    flux = np.median(fluxes)
    # of a median of normal values, by their median deviation
    return float(flux), float(1.858 * np.median(np.abs(fluxes - flux)) / np.sqrt(len(fluxes)))
