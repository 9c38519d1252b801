"""Segments that hold several sources, taken apart."""

from __future__ import annotations

import numpy as np

from snakewebb.kernels import deblending
from snakewebb.kernels import detection as kernels


class Blends:
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
            number = deblending.deblend(
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
