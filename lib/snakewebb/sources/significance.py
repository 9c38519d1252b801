"""How significant a source at each place of a mosaic would be: matched filtering.

A mosaic less its background is filtered by Gaussians: one that finds stars best, one for what is
larger, and one so narrow that close pairs stay two. The background is then measured again without
what these filters see. Pixels count by their weight (WHT), which
tells how noise changes from pixel to pixel, at gaps and edges, but neither its size nor how
neighbours are correlated: so each filtered map is divided by its own noise on blank sky, which
varies slowly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snakewebb.io.bands import in_order
from snakewebb.kernels import matched_filter as kernels
from snakewebb.kernels import significance as blank_kernels
from snakewebb.sources.background import NoPixel
from snakewebb.sources.segmentation_map import BAND, Image, fill_window, piece_rows
from snakewebb.sources.shapes import FWHM_TO_SIGMA
from snakewebb.sources.surface import Surface

SCALES = {"star": 1.0, "broad": 3.5, "narrow": 0.4}
"""Widths of the filters in units of that for stars."""
MESH = 50.0
"""Side of a mesh of background and noise in units of a star's FWHM."""
LEAST_MARGIN = 10
"""Pixels around a source that are seen with it."""
LINES = 0.4
"""Share of the rows of a mesh that are filtered to measure the noise."""
SKY_SAMPLES = 8000
SAMPLES = 2500
"""As many pixels of a mesh are looked at, at least, to measure the background, and again without
sources."""
MAP_SAMPLES = 600
"""And of the filtered maps, whose neighbours tell the same."""
WEIGHT_SAMPLES = 300
"""And of weights and errors, which have little noise."""
MASKED = {"star": 3.0, "broad": 4.0}
"""Significance of sources that sky and noise shall not see, as they are measured in a mesh."""
AROUND = 2.5
"""Nor what is so near these, in FWHM."""
LEAST_BLANK = 0.1
"""A mesh where less is left is taken as a whole."""
LEAST_SHARE = 0.3
"""A mesh of fewer blank pixels has no noise of its own."""


@dataclass(frozen=True)
class Maps:
    """A part of a mosaic and how significant sources in it are.

    Attributes
    ----------
    data : (ny, nx) float32
        Less the background; anything where there is no weight.
    err : (ny, nx) float32
    weight : (ny, nx) float32
        0 where there is no data.
    star, broad, narrow : (rows, nx) float32
        Significances by filter, of the part without the margins of the others.
    star_flux, narrow_flux : (rows, nx) float32
        What is divided by its error there.
    top, left : int
        First row and column of these in the other planes.

    Of the filters that find sources, ``broad`` is there, of those that part these ``narrow`` and
    the fluxes; the others have no pixel.
    """

    data: np.ndarray
    err: np.ndarray
    weight: np.ndarray
    star: np.ndarray
    broad: np.ndarray
    narrow: np.ndarray
    star_flux: np.ndarray
    narrow_flux: np.ndarray
    top: int
    left: int

    @property
    def inner(self) -> tuple[slice, slice]:
        """The part of the other planes that the significances are of."""
        ny, nx = self.star.shape
        return slice(self.top, self.top + ny), slice(self.left, self.left + nx)


class Significance:
    """The significance of sources in an image of any size.

    Parameters
    ----------
    image : Image
    fwhm : float
        Of a star, pixels.
    filter_fwhm : float
        Of the Gaussian that finds stars.
    boxsize : int
        Largest side of a mesh in pixels.
    threads : int, optional
        The result does not depend on it.

    Raises
    ------
    NoPixel
        The image has no usable pixel.
    """

    def __init__(
        self, image: Image, fwhm: float, filter_fwhm: float, boxsize: int, threads: int = 1
    ):
        self._image, self._threads = image, threads
        self.shape, self.correlation = image.shape, image.correlation
        self.kernels = {name: kernel(scale * filter_fwhm) for name, scale in SCALES.items()}
        self.margin = max(LEAST_MARGIN, *(each.size // 2 for each in self.kernels.values()))
        side = min(max(round(MESH * fwhm), 32), boxsize)
        self._box = min(side, image.shape[0]), min(side, image.shape[1])
        self._sky, self._variance, weight = self._measure(self._unfiltered, 1.0)
        self.typical_weight = weight[0].median
        self._reach = int(np.ceil(AROUND * fwhm))
        *self._noise, (more, _) = self._measure(self._filtered, LINES)
        self._sky[0] += more

    def maps(
        self,
        start: int,
        stop: int,
        columns: slice = slice(None),
        *,
        narrow: bool = False,
    ) -> Maps:
        """Return what is known of some rows, or some columns of these.

        Either by the filters that find sources, or by those that part these.
        """
        left, right, _ = columns.indices(self._image.shape[1])
        data, err, weight, margin, before = self._planes(start, stop, left, right)
        own = slice(before, before + right - left)
        names = "star", "broad", "narrow", "star_flux", "narrow_flux"
        found = dict.fromkeys(names, np.empty((0, 0), np.float32))
        for name, (_, noise) in zip(self.kernels, self._noise, strict=True):
            if name == ("broad" if narrow else "narrow"):
                continue
            out = np.empty((stop - start, data.shape[1]), np.float32)
            flux = np.empty((len(out) * narrow, data.shape[1]), np.float32)
            kernels.weighted(data, weight, self.kernels[name], margin, out, flux)
            out, flux = (np.ascontiguousarray(plane[:, own]) for plane in (out, flux))
            noise.divide(out, start, stop, slice(left, right))
            found[name] = out
            if narrow:
                found[f"{name}_flux"] = flux
        return Maps(data, err, weight, **found, top=margin, left=before)

    def planes(self, start: int, stop: int, columns: slice) -> tuple[np.ndarray, ...]:
        """Return data less background, errors and weights of a part, see `Maps`."""
        left, right, _ = columns.indices(self.shape[1])
        *planes, top, before = self._planes(start, stop, left, right)
        own = slice(top, top + stop - start), slice(before, before + right - left)
        return tuple(np.ascontiguousarray(plane[own]) for plane in planes)

    def noise(self, rows: np.ndarray, columns: np.ndarray, name: str) -> np.ndarray:
        """Return by what the sums of one of the filters are divided at some pixels: (n,)."""
        return self._noise[list(self.kernels).index(name)][1].at(rows, columns)

    def flux_errors(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return the error of the filtered image (its weighted mean) at some pixels: (n,).

        NaN where there is no data.
        """
        ny, nx = self.shape
        out = np.full(len(rows), np.nan)
        step = piece_rows(self.shape)
        for start in range(0, ny, step):
            here = np.flatnonzero((rows >= start) & (rows < min(start + step, ny)))
            *planes, top, left = self._planes(start, min(start + step, ny), 0, nx)
            places = np.column_stack([rows[here] - start + top, columns[here] + left])
            described = np.empty((len(here), 4))
            kernels.describe(*planes, self.kernels["star"], places, described)
            good = planes[2][places[:, 0], places[:, 1]] > 0
            out[here] = np.where(good, described[:, 1], np.nan)
        return out * self.noise(rows, columns, "star")

    def variance(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return what weight times squared error is on blank sky about some pixels."""
        return self._variance[0].at(rows, columns)

    def _unfiltered(self, start, stop):
        shape = stop - start, self.shape[1]
        data, err, weight = (np.empty(shape, np.float32) for _ in range(3))
        fill_window(self._image, start, slice(None), (data, err, weight))
        good = np.isfinite(data) & (weight != 0)
        yield data, good, self._step(SKY_SAMPLES, 1.0)
        step = self._step(WEIGHT_SAMPLES, 1.0)
        err, weight, good = (np.ascontiguousarray(plane[::step]) for plane in (err, weight, good))
        # errors may be infinite, or too large for single precision
        with np.errstate(over="ignore", invalid="ignore"):
            product = weight * err**2
        if not np.isfinite(product[good]).any():
            product = np.ones_like(err)
        yield product, good & np.isfinite(product), step
        yield weight, good, step

    def _planes(self, start, stop, left, right):
        """Return data less background, errors and weights with margins, and these margins."""
        ny, nx = self._image.shape
        first, last = max(start - self.margin, 0), min(stop + self.margin, ny)
        inner, outer = max(left - self.margin, 0), min(right + self.margin, nx)
        planes = tuple(np.empty((last - first, outer - inner), np.float32) for _ in range(3))
        for top in range(first, last, BAND):
            bottom = min(top + BAND, last)
            own = tuple(plane[top - first : bottom - first] for plane in planes)
            fill_window(self._image, top, slice(inner, outer), own)
            self._sky[0].subtract(own[0], own[2], top, bottom, slice(inner, outer))
        return *planes, start - first, left - inner

    def _filtered(self, start, stop):
        nx = self._image.shape[1]
        data, _, weight, margin, _ = self._planes(start, stop, 0, nx)
        rows = slice(margin, margin + stop - start)
        good = weight[rows] > 0
        maps = {name: np.empty(good.shape, np.float32) for name in self.kernels}
        for name, out in maps.items():
            kernels.weighted(data, weight, self.kernels[name], margin, out, out[:0])
        blank = self._blank(maps, good)
        step = self._step(MAP_SAMPLES)
        thin = np.ascontiguousarray(blank[::step])
        for out in maps.values():
            yield np.ascontiguousarray(out[::step]), thin, step
        step = self._step(SAMPLES)
        yield *(np.ascontiguousarray(plane[::step]) for plane in (data[rows], blank)), step

    def _blank(self, maps, good):
        """Tell which good pixels are not near sources; all of a mesh that is full of these."""
        width, step = self._box[1], self._step(MAP_SAMPLES)
        found = np.empty((-(-good.shape[1] // width), 3))
        sources, thin = np.zeros(good.shape, bool), np.ascontiguousarray(good[::step])
        for name, limit in MASKED.items():
            kernels.mesh_noise(np.ascontiguousarray(maps[name][::step]), thin, width, step, found)
            level, noise, _ = found.T
            blank_kernels.mark(maps[name], level + limit * noise, width, sources)
        blank = np.empty(good.shape, bool)
        blank_kernels.blank(sources, good, self._reach, width, LEAST_BLANK, blank)
        return blank

    def _step(self, samples, share=LINES):
        """Return which rows and columns count: every so many."""
        height, width = self._box
        return max(int(np.sqrt(share * height * width / samples)), 1)

    def _measure(self, images, share):
        """Return level and noise, as surfaces, of each of the images that a function gives.

        It gives every so many rows, with that number, of a share of the rows of each mesh.
        """
        ny, nx = self._image.shape
        height, width = self._box

        def part(start):
            rows = min(height, ny - start)
            own = max(round(share * rows), 1)
            return start + (rows - own) // 2, start + (rows - own) // 2 + own

        def line(start):
            found = []
            for image, good, step in images(*part(start)):
                found.append(np.empty((-(-nx // width), 3)))
                kernels.mesh_noise(image, good, width, step, found[-1])
            return found

        meshes = np.array(list(in_order(line, range(0, ny, height), self._threads)))
        surfaces = []
        for level, noise, kept in np.moveaxis(meshes, (1, 3), (0, 1)):
            known = np.isfinite(level)
            if not known.any():
                raise NoPixel("Cannot measure the noise: no usable pixel")
            few = ~(known & (kept > min(LEAST_SHARE, kept.max() / 2)))
            noise = np.where(noise > 0, noise, 1)
            pair = [
                Surface(np.where(few, 0, mesh), few, self._box, (ny, nx)) for mesh in (level, noise)
            ]
            surfaces.append(pair)
        return surfaces


def kernel(fwhm: float) -> np.ndarray:
    """Return one axis of a Gaussian kernel of sum 1, cut where it is below a thousandth."""
    sigma = fwhm * FWHM_TO_SIGMA
    half = max(int(np.ceil(3.7 * sigma)), 1)
    values = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    return values / values.sum()
