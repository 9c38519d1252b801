"""Sources as peaks of a matched-filtered mosaic of any size.

The mosaic is read in pieces of rows. First its background and noise are measured
(`snakewebb.sources.significance`). Then peaks of the significance are listed, and the pixels around
them labelled. After that, windows that hold whole groups of connected sources are read: peaks that
are not parted from brighter ones are dropped, close pairs are parted, pixels shared out, sources
measured (`snakewebb.sources.groups`). Last, sources in spikes and halos of brighter stars are
dropped (`snakewebb.sources.wings`). The results do not depend on the pieces.
"""

from __future__ import annotations

from typing import BinaryIO

import numpy as np

from snakewebb.io.bands import in_order
from snakewebb.kernels import detection
from snakewebb.references.psf import PointSpread
from snakewebb.sources.contradiction import in_one_alone
from snakewebb.sources.detection import joined, touching
from snakewebb.sources.groups import DESCRIBED, LOW_COVERAGE, RING, Resolver
from snakewebb.sources.kron import kron_fluxes
from snakewebb.sources.peaks import Peaks, shape_errors
from snakewebb.sources.segmentation_map import Image, Segmentation, piece_rows, windows
from snakewebb.sources.shapes import ordered_columns
from snakewebb.sources.significance import Significance
from snakewebb.sources.wings import STEP, part_of_stars

SNR_THRESHOLD = 4.6
"""Significance of the faintest source."""
BROAD = 0.3
"""As much more significant is a source that only the broad filter shows."""
FAINTEST = 3.0
"""Significance of peaks that can be the counterparts of spikes."""
LOWEST = 2.5
"""Significance of the faintest pixels of a source."""
LOWEST_BROAD = 3.5
"""The same of the broad filter."""
EDGE = 0.9
"""A source with less of the filter on pixels that have data is cut by an edge or a gap."""
SHARPNESS = (1.15, 3.0)
"""No source is sharper than stars on average times the first, for wavefronts and places in pixels
differ, and by as many standard errors as the second."""
MISFIT = (0.25, 2.5)
"""Likewise by how much sources are not like stars that only few exposures see; the second over
significance."""
NARROW = (0.1, 1.0)
"""And by how much less of them than of stars the broad filter sees."""
POINT = (0.15, 1.0)
"""No wider than a star is what the broad filter sees by no more than such a share more of, and by
as many standard errors."""
HALO, MORE = (0.3, 1.5), 1.5
"""What has as much light around it as a star, between these times that, may be by the last more
unlike one or narrower: in one exposure stars are as they fall on its pixels."""
CERTAIN = 20.0
"""So significant is no cosmic ray that outlier detection leaves where several exposures see it."""
EXTENDED = 1.5
"""What it sees as many times a star's more of may be a galaxy."""


def find_peaks(
    image: Image,
    psf: PointSpread,
    boxsize: int,
    threshold: float = SNR_THRESHOLD,
    *,
    deblend: bool = True,
    kron_params: tuple[float, ...] | None = None,
    scratch: BinaryIO | None = None,
    threads: int = 1,
) -> tuple[dict[str, np.ndarray], Segmentation]:
    """Find sources by matched filters, and measure these.

    Parameters
    ----------
    image : Image
    psf : PointSpread
        Of the image.
    boxsize : int
        Largest side of a mesh of the background in pixels.
    threshold : float, optional
        Significance of the faintest sources.
    deblend : bool, optional
        Whether connected sources are parted.
    kron_params : tuple of float, optional
        See `snakewebb.sources.kron.DEFAULT`.
    scratch : binary file, optional
        See `Segmentation`.
    threads : int, optional
        The result does not depend on it.

    Returns
    -------
    columns : dict
        See `snakewebb.sources.detection.find_segments`; and ``significance``, ``saturated``,
        ``near_bright_star``, ``edge``, ``low_coverage``, and those of
        `snakewebb.sources.kron.kron_fluxes`.
    segmentation : Segmentation
    """
    segmentation = Segmentation(image.shape, scratch)
    significance = Significance(image, psf.fwhm, psf.filter_fwhm, boxsize, threads)
    everything, boxes, parents, seen = _scan(significance, threshold, segmentation, threads)
    everything = everything.calibrated()
    limit = np.where(everything.broad, threshold + BROAD, threshold)
    peaks = everything[(everything.significance > limit) & (everything.group > 0)]
    groups = np.unique(peaks.group)
    if not len(groups):
        return {"label": np.empty(0, int)}, segmentation
    rank = np.zeros(len(boxes) + 1, np.int32)
    rank[groups] = np.arange(1, len(groups) + 1)
    parents, boxes = rank[parents], boxes[groups - 1, :4]
    peaks = peaks.in_groups(rank)
    resolver = Resolver(peaks, boxes, len(parents), significance, psf, threshold, deblend)

    def read(window):
        columns = slice(window.left, window.right)
        return window, significance.maps(window.top, window.bottom, columns, narrow=True)

    found = []
    known = len(parents)
    reach = int(np.ceil(RING[1] * psf.fwhm)) + 1
    around = boxes + np.array([-reach, reach, -reach, reach])
    for window, maps in in_order(read, windows(around, image.shape), threads):
        ids = segmentation.window(window, parents)
        sources = resolver.sources(window, maps, ids)
        if ids.max() >= known:
            segmentation.put(window, ids, known)
        parents = np.append(parents, sources[sources[:, 2] > 0, 1].astype(np.int32))
        found.append(sources)
    rows = np.concatenate(found)
    rows = rows[np.lexsort((rows[:, 2], rows[:, 1], rows[:, 2] > 0))]
    own = dict(zip(DESCRIBED, rows[:, 19:].T, strict=True))
    own["low"] = own["weight"] < LOW_COVERAGE * significance.typical_weight
    shape = resolver.shape
    own["extended"] = own["breadth"] > EXTENDED * shape[1]
    errors = shape_errors(psf)
    wrong = _noise(own, shape, errors, threshold) | _cosmic_rays(own, shape, errors)
    point = ~wrong & (own["broad"] == 0) & (own["saturated"] == 0)
    point &= own["significance"] < CERTAIN
    place = own["x"][point], own["y"][point]
    wrong[point] = in_one_alone(image.views, *place, psf.fwhm, threads)
    # which have no wings
    rows, own = rows[~wrong], {name: values[~wrong] for name, values in own.items()}
    part, own["near"] = part_of_stars(
        own, everything, seen, threshold, psf.envelope(psf.filter_fwhm), psf.fwhm
    )
    rows, own = rows[~part], {name: values[~part] for name, values in own.items()}
    if not len(rows):
        return {"label": np.empty(0, int)}, segmentation
    columns = ordered_columns(rows[:, :19], parents, segmentation)
    columns |= {"xcentroid": own["x"], "ycentroid": own["y"]}
    columns["significance"] = own["significance"]
    columns["saturated"] = own["saturated"] > 0
    columns["near_bright_star"] = own["near"]
    columns["edge"] = own["coverage"] < EDGE
    broadest = 1 + POINT[0] + POINT[1] * errors[1] / own["significance"]
    columns["point"] = (own["breadth"] < broadest * shape[1]) & (own["broad"] == 0)
    columns |= kron_fluxes(significance, segmentation, columns, psf, kron_params)
    columns["low_coverage"] = own["low"]
    return columns, segmentation


def _noise(own, shape, errors, threshold):
    """Tell which sources are not significant as far as they are like stars.

    The square of the significance is, but for a constant, twice the logarithm of how much likelier
    a star is than nothing. By the square of its standard errors a star is the less likely as the
    source is sharper than one, or the broad filter sees less of it.
    """
    sharper = (own["sharpness"] / shape[0] - 1) / errors[0]
    narrower = (1 - own["breadth"] / shape[1]) / errors[1]
    unlike = own["significance"] * np.maximum(sharper, narrower).clip(0)
    point = (own["broad"] == 0) & (own["saturated"] == 0)
    return point & (own["significance"] ** 2 < threshold**2 + unlike**2)


def _cosmic_rays(own, shape, errors):
    """Tell which sources are no image that the telescope makes.

    They are sharper than a star. Where many exposures see a place, others are found in these
    already; elsewhere so are those that are unlike a star and not larger, what has a star's halo
    by more.
    """
    sharpness, breadth = shape

    def limit(numbers):
        return numbers[0] + numbers[1] / own["significance"]

    error = errors[0] / own["significance"]
    sharp = own["sharpness"] > sharpness * (SHARPNESS[0] + SHARPNESS[1] * error)
    if_star = np.where((own["halo"] > HALO[0]) & (own["halo"] < HALO[1]), MORE, 1.0)
    unlike = (own["misfit"] > limit(MISFIT) * if_star) & ~own["extended"]
    narrow = own["breadth"] < breadth - limit(NARROW) * if_star
    return (sharp | own["low"] & (unlike | narrow)) & (own["saturated"] == 0)


def _scan(significance, threshold, segmentation, threads):
    """List peaks and label the pixels around them; the ids of pixels go to the segmentation.

    Returns
    -------
    peaks : Peaks
    boxes : ndarray of int, (n, 6)
        Of the groups of connected pixels that have peaks, see `extents`.
    parents : ndarray of int32
        Group (from 1; 0 for none) by the id of a pixel.
    seen : ndarray of bool
        See `part_of_stars`.
    """
    ny, nx = significance.shape
    step = piece_rows(significance.shape)

    def label(start):
        stop = min(start + step, ny)
        # the narrow filter's peak may be a pixel away, and its parabola is of the next ones
        first, last = max(start - 2, 0), min(stop + 2, ny)
        maps = significance.maps(first, last)
        own = slice(start - first, stop - first)
        above = (maps.star[own] > LOWEST) | (maps.broad[own] > LOWEST_BROAD)
        labels = np.empty(above.shape, np.int32)
        number = detection.connect(above, 8, labels)
        boxes = np.empty((number, 6), int)
        detection.extents(labels, boxes)
        peaks = Peaks.of(significance, maps, first, own, FAINTEST, threshold)
        peaks.group = labels[peaks.row - start, peaks.column].astype(int)
        kept = np.zeros(number + 1, bool)
        kept[peaks.group] = True
        kept[labels[0]] |= start > 0
        kept[labels[-1]] |= stop < ny
        kept[0] = False
        seen = maps.weight[maps.inner][own][-start % STEP :: STEP, ::STEP] > 0
        return start, labels, boxes, kept, peaks, seen

    found, joins, listed, lines, above_seam, total = [], [], [], [], None, 0
    for start, labels, boxes, kept, peaks, seen in in_order(label, range(0, ny, step), threads):
        ids = np.zeros(len(boxes) + 1, np.int32)
        ids[kept] = total + 1 + np.arange(kept.sum())
        detection.look_up(labels, ids, labels)
        segmentation.write(start, labels)
        peaks.group = ids[peaks.group].astype(int)
        listed.append(peaks)
        lines.append(seen)
        boxes = boxes[kept[1:]]
        boxes[:, :2] += start
        boxes[:, 5] += boxes[:, 0] * nx
        found.append(boxes)
        if above_seam is not None:
            joins += touching(above_seam, labels[0], 8)
        above_seam = labels[-1].copy()
        total += len(boxes)
    boxes, group = joined(np.concatenate(found), joins)
    order = np.argsort(boxes[:, 5])
    rank = np.zeros(len(boxes), np.int32)
    rank[order] = np.arange(1, len(boxes) + 1)
    parents = np.concatenate([np.zeros(1, np.int32), rank[group]])
    peaks = Peaks.joined(listed)
    peaks.group = parents[peaks.group].astype(int)
    return peaks, boxes[order], parents, np.concatenate(lines)
