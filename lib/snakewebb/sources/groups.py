"""Groups of connected peaks: which of them are sources, and what these are like.

In this order: what is no more than its surroundings is dropped, then what no valley parts from
brighter peaks; what is around a lost core is one saturated star; the rest is parted where the
narrow filter shows two.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from snakewebb.io.noise_correlation import UNCORRELATED
from snakewebb.kernels import detection, shapes
from snakewebb.kernels import groups as kernels
from snakewebb.kernels.centroids import windowed_centroids
from snakewebb.references.psf import PointSpread
from snakewebb.sources.peaks import Peaks, list_peaks, offsets, star_shape
from snakewebb.sources.saturated import saturated_cores, star_light
from snakewebb.sources.segmentation_map import Window
from snakewebb.sources.shapes import FWHM_TO_SIGMA
from snakewebb.sources.significance import SCALES, Maps, Significance

DEPTH = 3.5
"""As many errors deep is the valley between two sources."""
EXTENDED, DEEPER = 1.5, 1.5
"""What is wider than a star by the first is parted by a valley deeper by the second: noise makes
bumps of the light of galaxies."""
SHARE = 0.03
"""And such a share of the fainter one."""
RING = (1.5, 4.0)
"""Radii, in FWHM, between which the light around a source is looked at."""
NARROW = 5.0
"""The same for pairs that only the narrow filter parts, and the significance of each."""
NARROW_DEPTH = 2.0
NARROW_SHARE = 0.1
WIDEST_PAIR = 2.0
"""What is wider than a star by more is no such pair: those of equal stars are by 1.5."""
FAINTER = 0.15
"""The fainter one of such a pair has at least this share of the brighter one's peak."""
CLOSE = 0.6
"""Nearer to each other, in FWHM, sources of a group are not measured: they stay at their peaks."""
LOW_COVERAGE = 0.5
"""Weight, over that of most pixels, below which coverage is low."""
CERTAIN = 3.0
"""As many of its standard errors less counts the light around a source as a star's."""
LIKENESS = 1.0
"""Radius, in FWHM, in which it is seen whether a source is like a star."""
DESCRIBED = (
    *("x", "y", "significance", "amplitude", "error", "coverage", "weight", "sharpness"),
    "breadth",
    *("misfit", "halo", "rim", "saturated", "broad", "wide"),
)
"""What `Resolver.sources` tells of a source beside its segment."""
MISFIT, HALO, RIM = (DESCRIBED.index(name) for name in ("misfit", "halo", "rim"))


class Resolver:
    """Tells groups of connected peaks apart into sources.

    Parameters
    ----------
    peaks : Peaks
        By groups, from 1; see `Peaks.in_groups`.
    boxes : (n, 4) int
        Of the groups: first and end row, first and end column.
    known : int
        The first id that parts of groups can have.
    significance : Significance
    psf : PointSpread
    threshold : float
        Significance of the faintest sources.
    deblend : bool
        Whether groups are parted.
    """

    def __init__(
        self,
        peaks: Peaks,
        boxes: np.ndarray,
        known: int,
        significance: Significance,
        psf: PointSpread,
        threshold: float,
        deblend: bool,
    ):
        self._peaks, self._boxes, self._next = peaks, boxes, known
        self._psf, self._fwhm = psf, psf.fwhm
        self._peak = psf.image(psf.gaussian(psf.filter_fwhm)).max()
        self._threshold, self._deblend = threshold, deblend
        self.shape = star_shape(psf)  # of stars
        self._noise, self._significance = significance.correlation, significance
        self._low = LOW_COVERAGE * significance.typical_weight
        self._small = psf.cut(int(np.ceil(LIKENESS * psf.fwhm)) + 1)
        self._first = np.searchsorted(peaks.group, np.arange(1, len(boxes) + 2))

    def sources(self, window: Window, maps: Maps, ids: np.ndarray) -> np.ndarray:
        """Return the sources of a window, and give ids to the parts of groups in place.

        Parameters
        ----------
        window : Window
            Its members are groups, from 0.
        maps : Maps
        ids : (ny, nx) int32
            Groups, from 1.

        Returns
        -------
        (n, 30) float64
            Id, group and number in it, 0 for one that is whole; box; the sums of
            `snakewebb.kernels.shapes.measure`; variances of the flux, of x and y, and the
            covariance of these; ``DESCRIBED``.
        """
        corner = np.array([window.top, window.left])
        holes = saturated_cores(maps, ids, self._fwhm)
        pairs = self._narrow_peaks(maps, ids) if self._deblend else {}
        parents = window.members + 1
        places, own, group = self._apart(parents, maps, corner)
        first = np.searchsorted(group, np.arange(len(parents) + 1))
        # most are one peak, of which nothing more is to be told
        plain = np.diff(first) == 1
        plain &= [p not in holes and len(pairs.get(p, ())) < 2 for p in parents.tolist()]
        whole, alone = parents[plain], first[:-1][plain]
        boxes = self._boxes[whole - 1] - np.repeat(corner, 2)
        found = [np.column_stack([whole, whole, np.zeros_like(whole), boxes])]
        kept, peaks, cores = [places[alone]], [own[alone]], [None] * len(whole)
        for k in np.flatnonzero(~plain):
            parent, part = int(parents[k]), slice(first[k], first[k + 1])
            place, one, saturated = self._resolved(
                places[part], own[part], maps, pairs.get(parent), holes.get(parent, ())
            )
            found.append(self._labelled(parent, place, saturated, maps, ids, corner))
            kept.append(place)
            peaks.append(one)
            cores += saturated
        sources = np.concatenate(found)
        columns = self._described(np.concatenate(kept), Peaks.joined(peaks), cores, maps)
        columns[:, RIM] = _at_rim(maps, columns[:, :2], int(np.ceil(self._fwhm)))
        bad = maps.weight == 0
        sums = np.empty((len(sources), 8))
        planes = (maps.data, maps.err, bad)
        data, err, inner_bad = (np.ascontiguousarray(plane[maps.inner]) for plane in planes)
        shapes.measure(data, maps.star_flux, err, inner_bad, ids, sources, sums)
        # the neighbours of one that is not alone may be what the broad filter sees
        columns[:, -1] *= (sources[:, 2] == 0) | (columns[:, -2] > 0)
        image = np.where(bad, np.float32(np.nan), maps.data)
        self._place(maps, image, ids, sources, sums, columns)
        # as exact as they are the same in any window
        columns[:, :2] = (columns[:, :2] + corner[::-1]).round(8)
        variances = np.empty((len(sources), 1))
        noise = self._noise or UNCORRELATED
        place = noise.kernels, noise.step, *corner
        kernel = self._significance.kernels["star"]
        smoothed = maps.star_flux * np.float32(np.sum(kernel**2) ** 2)
        shapes.propagate(smoothed, err, inner_bad, ids, sources, sums, kernel, *place, variances)
        if self._noise is None:  # as in the reference pipeline
            variances[:, 0] = sums[:, 2]
        variances = np.column_stack([variances, self._spread(maps, image, columns, corner)])
        low = np.flatnonzero(columns[:, DESCRIBED.index("weight")] < self._low)
        columns[low, MISFIT] = self._misfits(maps, ids, sources[low], columns[low], corner)
        columns[low, HALO] = self._halos(maps, columns[low], corner)
        sources[:, 3:5] += window.top
        sources[:, 5:7] += window.left
        return np.column_stack([sources, sums, variances, columns])

    def _place(self, maps, image, ids, sources, sums, columns):
        """Measure positions; those that lead out of a source's own pixels stay at the peak."""
        # the peak of a wide one is where noise has put it; what has no light has no middle
        middle = sums[:, 3:5] + sources[:, [5, 3]]
        wide = (columns[:, -1] > 0) & np.isfinite(middle).all(axis=1)
        place = np.where(wide[:, None], middle, columns[:, :2])
        place += [maps.left, maps.top]
        for chosen, sigma in self._windows(columns):
            x, y = place[chosen].T.copy()
            windowed_centroids(image, sigma, x, y)
            place[chosen] = np.column_stack([x, y])
        place -= [maps.left, maps.top]
        column, row = np.rint(place).astype(int).T
        inside = (row >= 0) & (column >= 0) & (row < ids.shape[0]) & (column < ids.shape[1])
        inside[inside] = ids[row[inside], column[inside]] == sources[inside, 0]
        # nor do close pairs meet in their middle
        for one, other in KDTree(place).query_pairs(CLOSE * self._fwhm):
            inside[[one, other]] &= sources[one, 1] != sources[other, 1]
        columns[inside, :2] = place[inside]

    def _misfits(self, maps, ids, sources, columns, corner):
        """Return how little sources are like stars.

        The root of the power that a star leaves in the source's pixels, over its own there.
        """
        data, weight = maps.data[maps.inner], maps.weight[maps.inner]
        place = columns[:, :2] - corner[::-1]
        half, found = self._small.size // 2, np.zeros(len(columns))
        for k in range(len(columns)):
            column, row = np.rint(place[k]).astype(int)
            stamp = self._small.stamp(*(place[k] - [column, row]))
            y, x = np.indices(stamp.shape) + np.array([row - half, column - half])[:, None, None]
            near = np.hypot(x - place[k, 0], y - place[k, 1]) < LIKENESS * self._fwhm
            near &= (y >= 0) & (x >= 0) & (y < ids.shape[0]) & (x < ids.shape[1])
            y, x, stamp = y[near], x[near], stamp[near]
            own = (weight[y, x] > 0) & (ids[y, x] == sources[k, 0])
            value, star = data[y[own], x[own]].astype(float), stamp[own]
            power, light = np.sum(star**2), np.sum(value * star)
            if light > 0:
                found[k] = np.sqrt(np.sum((value * power / light - star) ** 2) / power)
        return found

    def _halos(self, maps, columns, corner):
        """Return the flux that stars would have by the light around sources, over their own.

        As far as it is certain, by its standard error times ``CERTAIN``.
        """
        found = np.zeros(len(columns))
        for k, (x, y) in enumerate(columns[:, :2] - corner[::-1]):
            flux, error = star_light((y, x, self._fwhm), maps, self._psf)
            own = columns[k, DESCRIBED.index("amplitude")] / self._peak
            found[k] = (flux - CERTAIN * error) / own
        return found

    def _spread(self, maps, image, columns, corner):
        """Return the variances of positions, see `position_variances`."""
        noise = self._noise or UNCORRELATED
        margin = np.array([maps.top, maps.left])
        x, y = (columns[:, :2] - (corner - margin)[::-1]).T.copy()
        out = np.empty((len(x), 3))
        place = noise.kernels, noise.step, *(corner - margin)
        for chosen, sigma in self._windows(columns):
            found = np.empty((chosen.sum(), 3))
            kernels.position_variances(image, maps.err, sigma, x[chosen], y[chosen], *place, found)
            out[chosen] = found
        return out

    def _windows(self, columns):
        """Return which sources are seen through which Gaussian window, its sigma."""
        wide = columns[:, DESCRIBED.index("wide")] > 0
        star = self._fwhm * FWHM_TO_SIGMA
        return (~wide, star), (wide, SCALES["broad"] * star)

    def _apart(self, parents, maps, corner):
        """Return the pixels of peaks that are parted from brighter ones, these, and their groups.

        Groups are counted from 0 in their order in the window.
        """
        first = self._first[parents - 1]
        number = self._first[parents] - first
        group = np.repeat(np.arange(len(parents)), number)
        start = np.cumsum(number) - number
        own = self._peaks[np.repeat(first - start, number) + np.arange(len(group))]
        places = np.column_stack([own.row, own.column]) - corner
        kept = np.zeros(len(group), bool)
        kept[start] = True
        if self._deblend:
            # not the bumps that noise makes of extended light
            level = np.empty(len(places))
            inner, outer = (radius * self._fwhm for radius in RING)
            kernels.around(maps.star, places, inner, outer, level)
            level[own.broad] *= self._more_of_flat_light(own[own.broad])
            kept |= own.significance - level / own.excess > self._threshold
            places, own, group = places[kept], own[kept], group[kept]
            depth = DEPTH * own.excess * _errors(maps.star_flux, maps.star, places)
            depth[own.breadth > EXTENDED * self.shape[1]] *= DEEPER
            kept = np.empty(len(places), bool)
            kernels.separate(maps.star_flux, places, group, depth, SHARE, kept)
        return places[kept], own[kept], group[kept]

    def _more_of_flat_light(self, peaks):
        """Return how many times as significant flat light is in the broad filter as in stars'."""
        seen = {
            name: 1 / np.sum(kernel**2) / self._significance.noise(peaks.row, peaks.column, name)
            for name, kernel in self._significance.kernels.items()
        }
        return seen["broad"] / seen["star"]

    def _resolved(self, places, own, maps, pairs, holes):
        """Return the pixels of a group's sources, their peaks, and the saturated core of each."""
        cores = [None] * len(places)
        for hole in sorted(holes, key=lambda hole: -len(hole[3])):
            distance = np.hypot(*(places - hole[:2]).T)
            near = np.flatnonzero(distance < hole[2] + 2 * self._fwhm)
            if len(near):
                brightest = near[np.argmax(own.amplitude[near])]
                cores[brightest] = cores[brightest] or hole
                left = np.setdiff1d(np.arange(len(places)), near[near != brightest])
                places, own, cores = places[left], own[left], [cores[k] for k in left]
        if self._deblend and pairs is not None and len(pairs) > 1:
            places, own, cores = self._parted(places, own, cores, maps, pairs)
        return places, own, cores

    def _parted(self, places, own, cores, maps, pairs):
        """Part the sources that are two in the narrow filter."""
        distance = np.hypot(*(pairs[:, None] - places[None]).transpose(2, 0, 1))
        whose = np.argmin(distance, axis=1)
        new_places, source, share, new_cores = [], [], [], []
        for k in range(len(places)):
            near = pairs[(whose == k) & (distance[:, k] < 2 * self._fwhm)]
            parts, shares = places[k : k + 1], [1.0]
            alone = own.broad[k] or own.breadth[k] > WIDEST_PAIR * self.shape[1]
            if cores[k] is None and not alone and len(near) > 1:
                value = maps.narrow_flux[near[:, 0], near[:, 1]].astype(float)
                depth = NARROW_DEPTH * own.excess[k] * _errors(maps.narrow_flux, maps.narrow, near)
                strong = value > np.maximum(depth, FAINTER * value.max())
                near, value = near[strong], value[strong]
                order = np.argsort(-value, kind="stable")
                near, value, depth = near[order], value[order], depth[strong][order]
                kept = np.empty(len(near), bool)
                alike = np.zeros(len(near), int)
                kernels.separate(maps.narrow_flux, near, alike, depth, NARROW_SHARE, kept)
                if kept.sum() > 1:
                    parts, shares = near[kept], value[kept] / value.max()
            new_places.append(parts)
            source += [k] * len(parts)
            share += list(shares)
            new_cores += [cores[k]] * len(parts)
        own = own[np.array(source)]
        own.significance, own.amplitude = own.significance * share, own.amplitude * share
        return np.concatenate(new_places), own, new_cores

    def _labelled(self, parent, places, cores, maps, ids, corner):
        """Return id, group, number and box of the sources of a group; give ids to parts."""
        box = self._boxes[parent - 1] - np.repeat(corner, 2)
        if len(places) == 1 and cores[0] is None:
            return np.array([[parent, parent, 0, *box]])
        inside = np.s_[box[0] : box[1], box[2] : box[3]]
        member = ids[inside] == parent
        parts = np.zeros(member.shape, np.int32)
        star = np.ascontiguousarray(maps.star_flux[inside])
        kernels.share_out(star, member, places - box[[0, 2]], parts)
        for k, core in enumerate(cores):
            if core is not None:
                parts[core[3] - box[0], core[4] - box[2]] = k + 1
                member[core[3] - box[0], core[4] - box[2]] = True
        first = self._next
        self._next += len(places)
        np.copyto(ids[inside], parts + np.int32(first - 1), where=member)
        boxes = np.empty((len(places), 6), int)
        detection.extents(parts, boxes)
        boxes = boxes[:, :4] + np.repeat(box[[0, 2]], 2)
        number = np.arange(len(places))
        return np.column_stack([first + number, np.full_like(number, parent), number + 1, boxes])

    def _described(self, places, own, cores, maps):
        """Return ``DESCRIBED`` of sources, positions in pixels of the window."""
        y, x = places.T
        weight = maps.weight[y + maps.top, x + maps.left]
        known = (own.significance, own.amplitude, own.error, own.coverage)
        saturated = np.array([core is not None for core in cores])
        flux, point = maps.star_flux, ~own.broad
        place = x + point * offsets(flux, y, x, 0, 1), y + point * offsets(flux, y, x, 1, 0)
        out = np.column_stack([*place, *known, weight, own.sharpness, own.breadth])
        nothing = np.zeros((len(y), 3))
        out = np.column_stack([out, nothing, saturated, own.broad, own.wide])
        for k in np.flatnonzero(saturated):
            out[k, :2] = cores[k][1], cores[k][0]
            amplitude = self._peak * star_light(cores[k][:3], maps, self._psf)[0]
            out[k, 3] = max(amplitude, out[k, 3])
        return out

    def _narrow_peaks(self, maps, ids):
        """Return the peaks of the narrow filter by group."""
        found = list_peaks(maps.narrow, NARROW, slice(0, len(ids)))
        group = ids[found[:, 0], found[:, 1]]
        good = (group > 0) & (maps.star[found[:, 0], found[:, 1]] > self._threshold)
        found, group = found[good], group[good]
        order = np.argsort(group, kind="stable")
        numbers, first = np.unique(group[order], return_index=True)
        return dict(zip(numbers.tolist(), np.split(found[order], first)[1:], strict=True))


def _at_rim(maps, place, reach):
    """Tell which places are so few pixels from one without data, or from the mosaic's edge."""
    lost = np.pad(maps.weight == 0, reach, constant_values=True)
    x, y = np.rint(place).astype(int).T + np.array([[maps.left], [maps.top]])
    steps = range(2 * reach + 1)
    return np.any([lost[y + dy, x + dx] for dy in steps for dx in steps], axis=0)


def _errors(flux, significance, places):
    """Return the errors of fluxes at some pixels."""
    y, x = places.T
    return np.abs(flux[y, x] / significance[y, x].astype(float))
