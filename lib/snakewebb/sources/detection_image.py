"""The image in which the sources of a field are sought: mosaics of one grid, combined.

Each less its background, weighted by its inverse variance: of linear combinations the one in which
a source that is as bright in all of them stands out best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from snakewebb.errors import InputError
from snakewebb.io.noise_correlation import UNCORRELATED, NoiseCorrelation
from snakewebb.sources.background import Background, NoPixel
from snakewebb.sources.mosaic import Mosaic, MosaicFile
from snakewebb.sources.segmentation_map import piece_rows
from snakewebb.wcs.grid import Grid

SAMPLES = 1_000_000
"""About as many pixels of a mosaic tell how noisy it is."""


@dataclass(frozen=True)
class Layer:
    """A mosaic and what it counts.

    Attributes
    ----------
    mosaic : Mosaic | MosaicFile
    sky : Background
    noise : float
        Variance of a pixel, as it counts in sums of many, times its WHT: Jy².
    """

    mosaic: Mosaic | MosaicFile
    sky: Background
    noise: float

    @classmethod
    def of(cls, mosaic: Mosaic | MosaicFile, boxsize: int, threads: int = 1) -> Layer | None:
        """Measure sky and noise of a mosaic; None if it has no usable pixel.

        Parameters
        ----------
        mosaic : Mosaic | MosaicFile
        boxsize : int
            Side of a mesh of the background, pixels.
        threads : int, optional
            The result does not depend on it.
        """

        def rows(start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
            data, _, mask = mosaic.rows(start, stop)
            return data, mask

        try:
            sky = Background(rows, mosaic.shape, boxsize, piece_rows(mosaic.shape), threads)
        except NoPixel:
            return None
        noise = _noise(mosaic, sky)
        return cls(mosaic, sky, noise) if noise > 0 else None


def _noise(mosaic: Mosaic | MosaicFile, sky: Background) -> float:
    """Return the median of weight times variance, 0 where there is none.

    The variance is that of sums of many pixels, over their number: mosaics whose pixels are
    correlated more, or less, are weighted as what they are. Where an error is not known, the
    scatter of the sky counts.
    """
    ny, nx = mosaic.shape
    step = max(int(np.sqrt(ny * nx / SAMPLES)), 1)
    rows = piece_rows(mosaic.shape)
    found = []
    for start in range(0, ny, rows):
        stop = min(start + rows, ny)
        part = np.s_[-start % step :: step, ::step]
        data, err, mask = (plane[part] for plane in mosaic.rows(start, stop))
        weight = mosaic.weights(start, stop)[part]
        err = _filled(err, sky.rms(start, stop)[part])
        product = (weight.astype(float) * err**2)[np.isfinite(data) & ~mask]
        found.append(product[np.isfinite(product) & (product > 0)])
    products = np.concatenate(found)
    if not products.size:
        return 0.0
    pairs = 1.0
    if mosaic.correlation is not None:
        pairs = float(np.median(mosaic.correlation.kernels.sum(axis=(2, 3), dtype=float)))
    return float(np.median(products)) * pairs


def _filled(err: np.ndarray, rms: np.ndarray) -> np.ndarray:
    """Return errors, and the scatter of the sky where there are none."""
    return np.where(np.isfinite(err), err, rms)


@dataclass(frozen=True)
class DetectionImage:
    """What the combined image is made of."""

    layers: tuple[Layer, ...]

    @classmethod
    def of(
        cls, mosaics: Sequence[Mosaic | MosaicFile], boxsize: int, threads: int = 1
    ) -> DetectionImage:
        """Measure sky and noise of mosaics, see `Layer.of`.

        Raises
        ------
        InputError
            Not one of them has a usable pixel.
        """
        found = (Layer.of(mosaic, boxsize, threads) for mosaic in mosaics)
        layers = tuple(layer for layer in found if layer is not None)
        if not layers:
            raise InputError("no mosaic of the field has a pixel with a value and a weight")
        return cls(layers)

    @property
    def weights(self) -> list[float]:
        """What WHT is multiplied by; weights of single pixels are about 1 or less."""
        least = min(layer.noise for layer in self.layers)
        return [least / layer.noise for layer in self.layers]

    def rows(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return some rows of the image and its error, in Jy, and of its weight: float32.

        NaN and 0 where there is no data. The error is that of a pixel to which `correlation`
        belongs; of a mosaic without errors the scatter of the sky counts.
        """
        total, square, weight = np.zeros((3, stop - start, self.layers[0].mosaic.shape[1]))
        for layer, own, data, err in self._parts(start, stop):
            with np.errstate(invalid="ignore"):
                total += np.where(own > 0, own * (data - layer.sky.level(start, stop)), 0)
                square += np.where(own > 0, (own * err) ** 2, 0)
            weight += own
        with np.errstate(invalid="ignore", divide="ignore"):
            planes = total / weight, np.sqrt(square) / weight, weight
        data, err, weight = (plane.astype(np.float32) for plane in planes)
        return data, err, weight

    def _parts(self, start, stop):
        """Yield layers with weights, data and errors of some rows."""
        for layer, scale in zip(self.layers, self.weights, strict=True):
            data, err, mask = layer.mosaic.rows(start, stop)
            weight = layer.mosaic.weights(start, stop).astype(float) * scale
            good = np.isfinite(data) & ~mask & np.isfinite(weight) & (weight > 0)
            err = _filled(err, layer.sky.rms(start, stop))
            yield layer, np.where(good, weight, 0.0), data, err

    def correlation(self, grid: Grid) -> NoiseCorrelation | None:
        """Return how the noise of the image is correlated, None where that of no mosaic is known.

        In each cell it is the mean of the mosaics' by their parts of the variance there.
        """
        known = [layer.mosaic.correlation or UNCORRELATED for layer in self.layers]
        if all(layer.mosaic.correlation is None for layer in self.layers):
            return None
        step = min(each.step for each in known)
        reach = max(each.kernels.shape[-1] for each in known) // 2
        ny, nx = grid.shape
        y, x = (np.arange(0, side, step) + 0.5 * (step - 1) for side in (ny, nx))
        side = 2 * reach + 1
        kernels, sums = np.zeros((len(y), len(x), side, side)), np.zeros((len(y), len(x)))
        for row, middle in enumerate(y):
            # the row of pixels in the middle of the cells stands for them
            start = min(int(middle), ny - 1)
            parts = self._parts(start, start + 1)
            for each, (_, weight, _, err) in zip(known, parts, strict=True):
                with np.errstate(invalid="ignore"):
                    square = np.nan_to_num((weight * err.astype(float)) ** 2)[0]
                share = np.add.reduceat(square, np.arange(0, nx, step))
                near = each.kernels[_cells(each, middle, x)]
                edge = reach - near.shape[-1] // 2
                inner = slice(edge, side - edge)
                kernels[row, :, inner, inner] += share[:, None, None] * near
                sums[row] += share
        nothing = sums == 0
        kernels[nothing, reach, reach] = sums[nothing] = 1
        return NoiseCorrelation((kernels / sums[:, :, None, None]).astype(np.float32), step)


def _cells(noise: NoiseCorrelation, y: float, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return row and column of the cells that pixels of a row are in."""
    rows, columns = noise.kernels.shape[:2]
    column = np.floor((x + 0.5) / noise.step).astype(int).clip(0, columns - 1)
    row = min(int((y + 0.5) / noise.step), rows - 1)
    return np.full_like(column, row), column
