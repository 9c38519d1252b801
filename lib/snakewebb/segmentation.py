"""Sources as connected pixels above a threshold, in a mosaic of any size.

The mosaic is read in pieces of rows, twice. The first time, pixels above the threshold are
labelled, and labels that touch across a seam become one. The second time, windows that hold whole
sources are read, so that blends are parted and shapes measured on the same pixels wherever the
seams are: the results do not depend on the pieces. Labels in between are kept on disk.

Detection, deblending and shapes are those of photutils 3.0.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import numpy as np

from snakewebb.background import Background
from snakewebb.bands import in_order
from snakewebb.kernels import segments as kernels
from snakewebb.kernels.apertures import frame_sky

PIECE = 4_000_000
"""Pixels of a piece."""

FWHM_TO_SIGMA = 1 / (2 * math.sqrt(2 * math.log(2)))
THINNEST = 1 / 12
"""Variance of a pixel's own shape: that of a source is not less."""


class Image(Protocol):
    """What sources are sought in; see `snakewebb.source_catalog.Mosaic`."""

    shape: tuple[int, int]

    def rows(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return some rows of data, errors and mask."""


@dataclass(frozen=True)
class Window:
    """A part of an image that holds some sources and what is around them.

    Attributes
    ----------
    members : ndarray of int
        Which sources.
    top, bottom, left, right : int
        Its first row and column, and those behind its last ones.
    """

    members: np.ndarray
    top: int
    bottom: int
    left: int
    right: int


def piece_rows(shape: tuple[int, int]) -> int:
    """Return how many rows make a piece."""
    return max(PIECE // shape[1], 1)


def windows(boxes: np.ndarray, shape: tuple[int, int]) -> Iterator[Window]:
    """Share out sources to windows about as large as a piece.

    Parameters
    ----------
    boxes : ndarray of int, (n, 4)
        First and end row, first and end column of what must be seen of each source. A source
        higher than a piece has a window of its own; others share whole rows.
    shape : (ny, nx)
        Of the image.
    """
    ny, nx = shape
    rows = piece_rows(shape)
    top, bottom, left, right = boxes.clip(0, np.array([ny, ny, nx, nx])).T
    high = bottom - top > rows
    order = np.flatnonzero(~high)
    order = order[np.argsort(top[order], kind="stable")]
    for members in np.split(order, np.flatnonzero(np.diff(top[order] // rows)) + 1):
        if len(members):
            yield Window(members, int(top[members[0]]), int(bottom[members].max()), 0, nx)
    for i in np.flatnonzero(high):
        yield Window(np.array([i]), *map(int, (top[i], bottom[i], left[i], right[i])))


def read_window(image: Image, window: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return data, errors and mask of a window."""
    height, width = window.bottom - window.top, window.right - window.left
    planes = tuple(np.empty((height, width), dtype) for dtype in (np.float32, np.float32, bool))
    rows = piece_rows(image.shape)
    for start in range(window.top, window.bottom, rows):
        stop = min(start + rows, window.bottom)
        for plane, part in zip(planes, image.rows(start, stop), strict=True):
            plane[start - window.top : stop - window.top] = part[:, window.left : window.right]
    return planes


class Segmentation:
    """A segmentation map, read by rows.

    Parameters
    ----------
    shape : (ny, nx)
    scratch : binary file, optional
        Open for reading and writing, to keep 4 bytes a pixel in; by default in memory.
    """

    def __init__(self, shape: tuple[int, int], scratch: BinaryIO | None = None):
        self.shape = tuple(shape)
        self._file = io.BytesIO() if scratch is None else scratch
        self._final = None

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Return labels of sources, 0 for none: uint32, (stop - start, nx)."""
        if self._final is None:
            return np.zeros((stop - start, self.shape[1]), np.uint32)
        return self._final[self._read(start, stop)]

    def finish(self, labels: np.ndarray) -> None:
        """Say what label each id stands for."""
        self._final = labels

    def _read(self, start, stop):
        out = np.empty((stop - start, self.shape[1]), np.int32)
        self._file.seek(4 * self.shape[1] * start)
        self._file.readinto(out)
        return out

    def write(self, start: int, ids: np.ndarray) -> None:
        """Write some rows of ids: int32, (rows, nx)."""
        self._file.seek(4 * self.shape[1] * start)
        self._file.write(ids)

    def window(self, window: Window, lookup: np.ndarray) -> np.ndarray:
        """Look up what the ids in a window stand for."""
        out = np.empty((window.bottom - window.top, window.right - window.left), lookup.dtype)
        for start, stop in self._chunks(window):
            ids = self._read(start, stop)[:, window.left : window.right]
            out[start - window.top : stop - window.top] = lookup[ids]
        return out

    def put(self, window: Window, ids: np.ndarray, lowest: int) -> None:
        """Write the ids in a window that are not less than the lowest."""
        for start, stop in self._chunks(window):
            new = ids[start - window.top : stop - window.top]
            old = self._read(start, stop)
            np.copyto(old[:, window.left : window.right], new, where=new >= lowest)
            self.write(start, old)

    def _chunks(self, window):
        rows = piece_rows(self.shape)
        for start in range(window.top, window.bottom, rows):
            yield start, min(start + rows, window.bottom)


def find_segments(
    image: Image,
    background: Background,
    *,
    snr_threshold: float,
    kernel_fwhm: float,
    npixels: int,
    connectivity: int,
    nlevels: int,
    contrast: float,
    multithresh_mode: str,
    localbkg_width: int,
    deblend: bool,
    scratch: BinaryIO | None = None,
    threads: int = 1,
) -> tuple[dict[str, np.ndarray], Segmentation]:
    """Find sources as connected pixels above a threshold, and measure these.

    Parameters
    ----------
    image : Image
    background : Background
        Of the image.
    snr_threshold, kernel_fwhm, …
        See `snakewebb.source_catalog.source_catalog`.
    scratch : binary file, optional
        See `Segmentation`.
    threads : int, optional
        The result does not depend on it.

    Returns
    -------
    columns : dict
        ``label`` (from 1; sources by their first pixels, then the parts of blends by those of the
        blends), ``xcentroid``, ``ycentroid``, ``isophotal_flux``, ``isophotal_flux_err``,
        ``isophotal_area``, ``semimajor_sigma``, ``semiminor_sigma``, ``ellipticity``,
        ``orientation`` (degrees), and ``box``: first and end row, first and end column.
    segmentation : Segmentation
    """
    segmentation = Segmentation(image.shape, scratch)
    kernel = gaussian(kernel_fwhm)
    boxes, parents = _detect(
        image, background, segmentation, kernel, snr_threshold, npixels, connectivity, threads
    )
    if not len(boxes):
        return {"label": np.empty(0, int)}, segmentation
    known = len(parents)
    share = contrast if deblend else 1.0
    blends = _Blends(known, npixels, connectivity, nlevels, share, multithresh_mode)

    def seen(window):
        data, err, mask = read_window(image, window)
        columns = slice(window.left, window.right)
        sky = background.level(window.top, window.bottom, columns)
        data -= np.where(mask, np.float32(0), sky)
        bad = mask | ~np.isfinite(data)
        smoothed = np.empty_like(data)
        kernels.smooth(data, bad, kernel, 0, smoothed)
        return window, data, err, bad, smoothed

    rows = []
    tasks = windows(_around(boxes, kernel.size // 2, localbkg_width), image.shape)
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
        kernels.measure(data, smoothed, err, bad, ids, sources, sums)
        if localbkg_width:
            blocked = bad | (ids > 0)
            levels = [_local_sky(data, blocked, box, localbkg_width) for box in sources[:, 3:]]
            sums[:, 1] -= sums[:, 0] * levels
        sources[:, 3:] += corner
        rows.append(np.column_stack([sources, sums]))
    return _columns(np.concatenate(rows), parents, segmentation), segmentation


def gaussian(fwhm: float) -> np.ndarray:
    """Return one axis of the Gaussian kernel of a width, 8 standard deviations long."""
    sigma = fwhm * FWHM_TO_SIGMA
    half = math.ceil(8 * sigma) // 2
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    return kernel / kernel.sum()


# --- detection -----------------------------------------------------------------------------------


def _detect(image, background, segmentation, kernel, snr_threshold, npixels, connectivity, threads):
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

    def label(start):
        stop = min(start + step, ny)
        first, last = max(start - margin, 0), min(stop + margin, ny)
        data, _, mask = image.rows(first, last)
        data = data - np.where(mask, np.float32(0), background.level(first, last))
        smoothed = np.empty((stop - start, nx), np.float32)
        kernels.smooth(data, mask | ~np.isfinite(data), kernel, start - first, smoothed)
        above = smoothed > np.float32(snr_threshold) * background.rms(start, stop)
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
        labels = ids[labels]
        segmentation.write(start, labels)
        boxes = boxes[kept]
        boxes[:, :2] += start
        boxes[:, 5] += boxes[:, 0] * nx
        found.append(boxes)
        if above_seam is not None:
            joins += _touching(above_seam, labels[0], connectivity)
        above_seam = labels[-1].copy()
        total += len(boxes)
    boxes, group = _joined(np.concatenate(found), joins)
    large = np.flatnonzero(boxes[:, 4] >= npixels)
    large = large[np.argsort(boxes[large, 5])]
    rank = np.zeros(len(boxes), np.int32)
    rank[large] = np.arange(1, len(large) + 1)
    return boxes[large], np.concatenate([np.zeros(1, np.int32), rank[group]])


def _touching(above, below, connectivity):
    """Return the pairs of ids that touch across a seam."""
    shifts = (-1, 0, 1) if connectivity == 8 else (0,)
    pairs = set()
    for shift in shifts:
        ends = above[max(shift, 0) : len(above) + min(shift, 0)]
        starts = below[max(-shift, 0) : len(below) - max(shift, 0)]
        both = (ends > 0) & (starts > 0)
        pairs.update(zip(ends[both].tolist(), starts[both].tolist(), strict=True))
    return sorted(pairs)


def _joined(boxes, joins):
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


# --- blends --------------------------------------------------------------------------------------


class _Blends:
    """Parts blends, and gives ids to the parts."""

    def __init__(self, first, npixels, connectivity, nlevels, contrast, mode):
        self._next = first
        self._npixels = npixels
        self._connectivity = connectivity
        self._nlevels = nlevels
        self._contrast = contrast
        self._mode = mode

    def parts(self, parent, box, smoothed, ids):
        """Return id, parent, number and box of the parts of a source; 0 for one that is whole.

        The ids of parts are put in place of the parent's.
        """
        inside = np.s_[box[0] : box[1], box[2] : box[3]]
        member = ids[inside] == parent
        parts = np.zeros(member.shape, np.int32)
        number = 0
        if self._contrast < 1 and np.count_nonzero(member) >= 2 * self._npixels:
            number = self._part(smoothed[inside], member, parts)
        if not number:
            return [(parent, parent, 0, *box)]
        first = self._next
        self._next += number
        np.copyto(ids[inside], parts + np.int32(first - 1), where=member)
        boxes = np.empty((number, 6), int)
        kernels.extents(parts, boxes)
        corner = np.repeat(box[[0, 2]], 2)
        return [(first + k, parent, k + 1, *part) for k, part in enumerate(boxes[:, :4] + corner)]

    def _part(self, image, member, parts):
        values = image[member]
        low, high = values.min(), values.max()
        if low == high:
            return 0
        mode = "linear" if self._mode == "exponential" and low <= 0 else self._mode
        number = -1
        while number < 0:
            levels = _levels(low, high, self._nlevels, mode)
            linear = mode == "linear"
            number = kernels.deblend(
                image,
                member,
                levels,
                self._npixels,
                self._connectivity,
                self._contrast,
                linear,
                parts,
            )
            mode = "linear"
        return number


def _levels(low, high, number, mode):
    """Return thresholds between the lowest and the highest pixel of a source, float32."""
    levels = np.linspace(low, high, number + 2)
    if mode == "exponential":
        levels = low * (high / low) ** ((levels - low) / (high - low))
    elif mode == "sinh":
        shares = (levels - low) / (high - low)
        levels = low + np.sinh(4 * shares) / np.sinh(4.0) * (high - low)
    return levels[1:-1].astype(np.float32)


# --- shapes --------------------------------------------------------------------------------------


def _local_sky(data, blocked, box, width):
    """Return the sky level in a frame around a source."""
    top, bottom, left, right = box
    x, y = (left + right - 1) / 2, (top + bottom - 1) / 2
    return frame_sky(data, blocked, x, y, 1.5 * (right - left), 1.5 * (bottom - top), width)


def _columns(rows, parents, segmentation):
    """Put sources in order, and give the segmentation its final labels."""
    ids, parent, part = rows[:, :3].T.astype(int)
    order = np.lexsort((part, parent, part > 0))
    label = np.empty(len(rows), np.uint32)
    label[order] = np.arange(1, len(rows) + 1)
    final = np.zeros(len(parents), np.uint32)
    of_parent = np.zeros(parent.max() + 1, np.uint32)
    whole = part == 0
    of_parent[parent[whole]] = label[whole]
    final[:] = of_parent[parents]
    final[ids[~whole]] = label[~whole]
    segmentation.finish(final)

    rows = rows[order]
    box = rows[:, 3:7].astype(int)
    area, flux, square, x, y, xx, yy, xy = rows[:, 7:].T
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
        "isophotal_flux": flux,
        "isophotal_flux_err": np.sqrt(square),
        "isophotal_area": area,
        "semimajor_sigma": major,
        "semiminor_sigma": minor,
        "ellipticity": 1 - minor / major,
        "orientation": np.degrees(0.5 * np.arctan2(2 * xy, xx - yy)) % 360,
        "box": box,
    }
