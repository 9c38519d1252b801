"""Sources as connected pixels above a threshold, in a mosaic of any size.

The mosaic is read in pieces of rows, twice. The first time, pixels above the threshold are
labelled, and labels that touch across a seam become one. The second time, windows that hold whole
sources are read, so that blends are parted and shapes measured on the same pixels wherever the
seams are: the results do not depend on the pieces. Labels in between are kept on disk.

Detection, deblending and shapes are those of photutils 3.0.
"""

from __future__ import annotations

import math
from typing import BinaryIO

import numpy as np

from snakewebb.io.bands import in_order
from snakewebb.io.noise_correlation import UNCORRELATED
from snakewebb.kernels import detection as kernels
from snakewebb.kernels import shapes
from snakewebb.sources.background import Background
from snakewebb.sources.deblending import Blends
from snakewebb.sources.segmentation_map import Image, Segmentation, piece_rows, read_window, windows
from snakewebb.sources.shapes import FWHM_TO_SIGMA, local_sky, ordered_columns
from snakewebb.sources.star_finders import FinderOptions


def find_segments(
    image: Image,
    background: Background,
    how: FinderOptions,
    *,
    scratch: BinaryIO | None = None,
    threads: int = 1,
) -> tuple[dict[str, np.ndarray], Segmentation]:
    """Find sources as connected pixels above a threshold, and measure these.

    Parameters
    ----------
    image : Image
    background : Background
        Of the image.
    how : FinderOptions
    scratch : binary file, optional
        See `Segmentation`.
    threads : int, optional
        The result does not depend on it.

    Returns
    -------
    columns : dict
        ``label`` (from 1; sources by their first pixels, then the parts of blends by those of the
        blends), ``xcentroid``, ``ycentroid``, the covariance of these in pixels squared as
        ``centroid_xx``, ``_yy`` and ``_xy``, ``isophotal_flux``, ``isophotal_flux_err``,
        ``isophotal_area``, ``semimajor_sigma``, ``semiminor_sigma``, ``ellipticity``,
        ``orientation`` (degrees), and ``box``: first and end row, first and end column.
    segmentation : Segmentation
    """
    segmentation = Segmentation(image.shape, scratch)
    kernel = gaussian(how.kernel_fwhm)
    boxes, parents = _detect(image, background, segmentation, kernel, how, threads)
    if not len(boxes):
        return {"label": np.empty(0, int)}, segmentation
    known = len(parents)
    share = how.contrast if how.deblend else 1.0
    blends = Blends(
        known, how.npixels, int(how.connectivity), how.nlevels, share, how.multithresh_mode
    )

    def seen(window):
        data, err, mask = read_window(image, window)
        columns = slice(window.left, window.right)
        sky = background.level(window.top, window.bottom, columns)
        data -= np.where(mask, np.float32(0), sky)
        bad = mask | ~np.isfinite(data)
        smoothed = np.empty_like(data)
        kernels.smooth(data, bad, kernel, 0, smoothed)
        return window, data, err, bad, smoothed

    noise = image.correlation or UNCORRELATED
    rows = []
    tasks = windows(_around(boxes, kernel.size // 2 + shapes.RIM, how.localbkg_width), image.shape)
    for window, data, err, bad, smoothed in in_order(seen, tasks, threads):
        ids = segmentation.window(window, parents)
        corner = np.array([window.top, window.top, window.left, window.left])
        sources = np.array(
            [
                source
                for parent in window.members + 1
                for source in blends.parts(parent, boxes[parent - 1, :4] - corner, smoothed, ids)
            ]
        )
        if ids.max() >= known:
            segmentation.put(window, ids, known)
        parents = np.append(parents, sources[sources[:, 2] > 0, 1].astype(np.int32))
        sums = np.empty((len(sources), 8))
        shapes.measure(data, smoothed, err, bad, ids, sources, sums)
        variances = np.empty((len(sources), 4))
        place = noise.kernels, noise.step, window.top, window.left
        shapes.propagate(smoothed, err, bad, ids, sources, sums, kernel, *place, variances)
        if image.correlation is None:  # as in the reference pipeline
            variances[:, 0] = sums[:, 2]
        if how.localbkg_width:
            blocked = bad | (ids > 0)
            levels = [local_sky(data, blocked, box, how.localbkg_width) for box in sources[:, 3:]]
            sums[:, 1] -= sums[:, 0] * levels
        sources[:, 3:] += corner
        rows.append(np.column_stack([sources, sums, variances]))
    return ordered_columns(np.concatenate(rows), parents, segmentation), segmentation


def gaussian(fwhm: float) -> np.ndarray:
    """Return one axis of the Gaussian kernel of a width, 8 standard deviations long."""
    sigma = fwhm * FWHM_TO_SIGMA
    half = math.ceil(8 * sigma) // 2
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    return kernel / kernel.sum()


def _detect(image, background, segmentation, kernel, how, threads):
    """Label connected pixels above the threshold; the ids of pixels go to the segmentation.

    Returns
    -------
    boxes : ndarray of int, (n, 6)
        Of the sources in the order of their first pixels, see `extents`; the last column is the
        first pixel's place in the image.
    parents : ndarray of int32
        Source (from 1; 0 for none) by the id of a pixel.
    """
    ny, nx = image.shape
    step, margin = piece_rows(image.shape), kernel.size // 2
    npixels, connectivity = how.npixels, int(how.connectivity)

    def label(start):
        stop = min(start + step, ny)
        first, last = max(start - margin, 0), min(stop + margin, ny)
        data, _, mask = image.rows(first, last)
        data = data - np.where(mask, np.float32(0), background.level(first, last))
        smoothed = np.empty((stop - start, nx), np.float32)
        kernels.smooth(data, mask | ~np.isfinite(data), kernel, start - first, smoothed)
        above = smoothed > np.float32(how.snr_threshold) * background.rms(start, stop)
        above &= ~mask[start - first : stop - first]
        labels = np.empty(above.shape, np.int32)
        number = kernels.connect(above, connectivity, labels)
        boxes = np.empty((number, 6), int)
        kernels.extents(labels, boxes)
        kept = boxes[:, 4] >= npixels
        kept |= (boxes[:, 0] == 0) & (start > 0) | (boxes[:, 1] == stop - start) & (stop < ny)
        return start, labels, boxes, kept

    found, joins, above_seam, total = [], [], None, 0
    for start, labels, boxes, kept in in_order(label, range(0, ny, step), threads):
        ids = np.zeros(len(boxes) + 1, np.int32)
        ids[1:][kept] = total + 1 + np.arange(kept.sum())
        kernels.look_up(labels, ids, labels)
        segmentation.write(start, labels)
        boxes = boxes[kept]
        boxes[:, :2] += start
        boxes[:, 5] += boxes[:, 0] * nx
        found.append(boxes)
        if above_seam is not None:
            joins += touching(above_seam, labels[0], connectivity)
        above_seam = labels[-1].copy()
        total += len(boxes)
    boxes, group = joined(np.concatenate(found), joins)
    large = np.flatnonzero(boxes[:, 4] >= npixels)
    large = large[np.argsort(boxes[large, 5])]
    rank = np.zeros(len(boxes), np.int32)
    rank[large] = np.arange(1, len(large) + 1)
    return boxes[large], np.concatenate([np.zeros(1, np.int32), rank[group]])


def touching(above, below, connectivity):
    """Return the pairs of ids that touch across a seam."""
    shifts = (-1, 0, 1) if connectivity == 8 else (0,)
    pairs = set()
    for shift in shifts:
        ends = above[max(shift, 0) : len(above) + min(shift, 0)]
        starts = below[max(-shift, 0) : len(below) - max(shift, 0)]
        both = (ends > 0) & (starts > 0)
        pairs.update(zip(ends[both].tolist(), starts[both].tolist(), strict=True))
    return sorted(pairs)


def joined(boxes, joins):
    """Make one of the boxes that are joined, and return which one each belongs to."""
    root = list(range(len(boxes)))

    def find(i):
        while root[i] != i:
            root[i] = i = root[root[i]]
        return i

    for one, other in joins:
        root[find(other - 1)] = find(one - 1)
    _, group = np.unique([find(i) for i in root], return_inverse=True)
    whole = np.empty((group.max(initial=-1) + 1, 6), int)
    whole[:, [0, 2, 5]] = np.iinfo(int).max
    whole[:, [1, 3, 4]] = 0
    for column, join in enumerate(
        (np.minimum, np.maximum, np.minimum, np.maximum, np.add, np.minimum)
    ):
        join.at(whole[:, column], group, boxes[:, column])
    return whole, group


def _around(boxes, margin, localbkg_width):
    """Return what must be seen to measure sources: boxes with margins."""
    sides = boxes[:, [1, 3]] - boxes[:, [0, 2]]
    margins = np.full_like(sides, margin)
    if localbkg_width:
        margins = np.maximum(margins, sides // 4 + localbkg_width + 2)
    y, x = margins.T
    return boxes[:, :4] + np.column_stack([-y, y, -x, x])
