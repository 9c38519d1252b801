"""Segments taken apart: levels, markers, watershed."""

import numpy as np

from snakewebb.kernels.cache import njit

MOST_MARKERS = 200
"""Blends of more are parted at linear levels."""


@njit("int64[::1](int64, int64)", cache=True, nogil=True)
def neighbours(width, connectivity):
    """Return the steps to a pixel's neighbours in a flat image, the nearest ones first."""
    return np.array([-width, -1, 1, width, -width - 1, -width + 1, width - 1, width + 1])[
        :connectivity
    ]


@njit(
    "int64(float32[::1], int64[::1], int64, float32, int64, int64[::1], int32[::1], int64[::1])",
    cache=True,
    nogil=True,
)
def components(values, pixels, number, threshold, npixels, steps, labels, stack):
    """Label the connected parts of a source that are above a threshold.

    Parameters
    ----------
    values : (n,) float32
        Flat image with a border, below every threshold outside the source.
    pixels : (m,) int64
        The source's pixels in order, of which the first `number` count.
    threshold : float32
    npixels : int
        Parts of fewer pixels are left out.
    steps : int64
        From `neighbours`.
    labels : (n,) int32
        Set at `pixels`: from 1 in order of their first pixels; 0 for none.
    stack : (m,) int64
        Room.

    Returns
    -------
    int
        How many parts there are.
    """
    for k in range(number):
        labels[pixels[k]] = 0
    found = 0
    for k in range(number):
        first = pixels[k]
        if labels[first] != 0 or not values[first] > threshold:
            continue
        found += 1
        labels[first] = found
        stack[0] = first
        size = 1
        at = 0
        while at < size:
            for step in steps:
                other = stack[at] + step
                if labels[other] == 0 and values[other] > threshold:
                    labels[other] = found
                    stack[size] = other
                    size += 1
            at += 1
        if size < npixels:
            for k2 in range(size):
                labels[stack[k2]] = -1
            found -= 1
    for k in range(number):
        labels[pixels[k]] = max(labels[pixels[k]], 0)
    return found


@njit(
    "int64(float32[::1], int64[::1], float32[::1], int64, int64[::1], int32[::1])",
    cache=True,
    nogil=True,
)
def find_markers(values, pixels, thresholds, npixels, steps, markers):
    """Mark the parts into which a source falls at rising thresholds.

    A part is replaced by those into which it falls itself. The multi-thresholding of SExtractor
    (Bertin & Arnouts 1996, A&AS 117, 393) as photutils has it.

    Parameters
    ----------
    values, pixels, npixels, steps
        See `components`.
    thresholds : (levels,) float32
        Rising.
    markers : (n,) int32
        Set to 0 for none, else from 1 in the order of first pixels.

    Returns
    -------
    int
        How many there are; 0 if the source does not fall apart.
    """
    labels = np.zeros(values.size, np.int32)
    stack = np.empty(pixels.size, np.int64)
    left = pixels.copy()
    number = pixels.size
    found = 0
    for threshold in thresholds:
        above = 0
        for k in range(number):
            if values[left[k]] > threshold:
                left[above] = left[k]
                above += 1
            else:
                labels[left[k]] = 0
        number = above
        parts = components(values, left, number, threshold, npixels, steps, labels, stack)
        if parts < 2:
            continue
        children = np.zeros(found + 1, np.int64)
        counted = np.zeros(parts + 1, np.bool_)
        for k in range(number):
            part = labels[left[k]]
            if part > 0 and not counted[part]:
                counted[part] = True
                children[markers[left[k]]] += 1
        if found > 0:
            children[0] = 0
            if children.max() < 2:
                continue
        kept = np.zeros(found + 1, np.int32)
        new = np.zeros(parts + 1, np.int32)
        total = 0
        for pixel in pixels:
            old = markers[pixel]
            if children[old] >= 2:
                part = labels[pixel]
                if part > 0 and new[part] == 0:
                    total += 1
                    new[part] = total
                markers[pixel] = new[part]
            elif old > 0:
                if kept[old] == 0:
                    total += 1
                    kept[old] = total
                markers[pixel] = kept[old]
        found = total
    return found


@njit("void(float64[::1], int64[::1], int64[::1], int64)", cache=True, nogil=True)
def sift_up(value, age, index, at):
    """Bring a heap's entry to its place, the greatest value at the top; of equals, the oldest."""
    while at > 0:
        parent = (at - 1) // 2
        if value[parent] > value[at] or (value[parent] == value[at] and age[parent] <= age[at]):
            break
        value[parent], value[at] = value[at], value[parent]
        age[parent], age[at] = age[at], age[parent]
        index[parent], index[at] = index[at], index[parent]
        at = parent


@njit("void(float64[::1], int64[::1], int64[::1], int64)", cache=True, nogil=True)
def sift_down(value, age, index, size):
    """Bring the top of a heap to its place, see `sift_up`."""
    at = 0
    while True:
        best = at
        for child in (2 * at + 1, 2 * at + 2):
            if child < size and (
                value[child] > value[best]
                or (value[child] == value[best] and age[child] < age[best])
            ):
                best = child
        if best == at:
            break
        value[best], value[at] = value[at], value[best]
        age[best], age[at] = age[at], age[best]
        index[best], index[at] = index[at], index[best]
        at = best


@njit(
    "void(float32[::1], int64[::1], boolean[::1], int64[::1], int32[::1])", cache=True, nogil=True
)
def watershed(values, pixels, inside, steps, labels):
    """Spread labels over a source, from the brightest pixels down.

    Priority flooding (Meyer 1991; Barnes, Lehman & Mulla 2014).

    Parameters
    ----------
    values, pixels, steps
        See `components`.
    inside : (n,) bool
        True at `pixels`.
    labels : (n,) int32
        0 where there is none yet.
    """
    value = np.empty(pixels.size)
    age = np.empty(pixels.size, np.int64)
    index = np.empty(pixels.size, np.int64)
    size = 0
    for pixel in pixels:
        if labels[pixel] > 0:
            for step in steps:
                if inside[pixel + step] and labels[pixel + step] == 0:
                    value[size], age[size], index[size] = values[pixel], 0, pixel
                    size += 1
                    sift_up(value, age, index, size - 1)
                    break
    now = 0
    while size > 0:
        pixel = index[0]
        size -= 1
        value[0], age[0], index[0] = value[size], age[size], index[size]
        sift_down(value, age, index, size)
        for step in steps:
            other = pixel + step
            if inside[other] and labels[other] == 0:
                labels[other] = labels[pixel]
                now += 1
                value[size], age[size], index[size] = values[other], now, other
                size += 1
                sift_up(value, age, index, size - 1)


@njit(
    "int64(float32[:, :], boolean[:, ::1], float32[::1], int64, int64, float64, boolean, "
    "int32[:, ::1])",
    cache=True,
    nogil=True,
)
def deblend(image, member, thresholds, npixels, connectivity, contrast, linear, out):
    """Part a blend of sources.

    The algorithm of photutils' ``deblend_sources``: markers by multiple thresholds, watershed
    from them, the faintest taken away as long as one has less than a share of the light.

    Parameters
    ----------
    image : (ny, nx) float32
        Smoothed image around the source.
    member : (ny, nx) bool
        The source's pixels.
    thresholds : (levels,) float32
        Rising.
    npixels, connectivity : int
        Of a source.
    contrast : float
        The smallest share.
    linear : bool
        Whether the levels are linear, so that any number of markers will do.
    out : (ny, nx) int32
        Set to 1, 2, … in the members of the parts, if there are some.

    Returns
    -------
    int
        The number of parts: 0 for one that isn't parted, -1 if it falls into too many.
    """
    ny, nx = image.shape
    width = nx + 2
    values = np.full((ny + 2) * width, np.float32(-np.inf))
    inside = np.zeros((ny + 2) * width, np.bool_)
    labels = np.zeros((ny + 2) * width, np.int32)
    pixels = np.empty(np.sum(member), np.int64)
    k = 0
    for i in range(ny):
        for j in range(nx):
            if member[i, j]:
                pixel = (i + 1) * width + j + 1
                pixels[k] = pixel
                k += 1
                values[pixel] = image[i, j]
                inside[pixel] = True
    steps = neighbours(width, connectivity)
    found = find_markers(values, pixels, thresholds, npixels, steps, labels)
    if found < 2:
        return 0
    if found > MOST_MARKERS and not linear:
        return -1
    left = found
    gone = np.zeros(found + 1, np.bool_)
    gone[0] = True
    while True:
        watershed(values, pixels, inside, steps, labels)
        light = np.zeros(found + 1)
        for pixel in pixels:
            light[labels[pixel]] += values[pixel]
        total = light.sum()
        faintest = 0
        for label in range(1, found + 1):
            if not gone[label] and (faintest == 0 or light[label] < light[faintest]):
                faintest = label
        some = False
        for label in range(1, found + 1):
            some |= not gone[label] and light[label] / total < contrast
        if left == 1 or not some:
            break
        gone[faintest] = True
        left -= 1
        for pixel in pixels:
            if labels[pixel] == faintest:
                labels[pixel] = 0
    if left == 1:
        return 0
    new = np.zeros(found + 1, np.int32)
    total_kept = 0
    for label in range(1, found + 1):
        if not gone[label]:
            total_kept += 1
            new[label] = total_kept
    for i in range(ny):
        for j in range(nx):
            if member[i, j]:
                out[i, j] = new[labels[(i + 1) * width + j + 1]]
    return left
