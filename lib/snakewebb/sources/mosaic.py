"""A mosaic whose sources are catalogued, in memory or read in rows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snakewebb.errors import InputError
from snakewebb.io.fits_structure import find, is_packed, read_tree
from snakewebb.io.headers import value
from snakewebb.io.noise_correlation import NoiseCorrelation, read_noise_correlation
from snakewebb.io.planes import fill_rows, open_fits, read_pixels
from snakewebb.kernels.significance import calibrate
from snakewebb.sources.contradiction import View
from snakewebb.wcs.grid import Grid, header_grid, is_within

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mosaic:
    """What a catalogue is measured on.

    Attributes
    ----------
    data, err : ndarray of float32, (ny, nx)
        Flux of a pixel and its error, in Jy; the sky may still be in `data`. `err` is ERR, all NaN
        where the mosaic has none.
    mask : ndarray of bool, (ny, nx)
        True where the mosaic has no weight, or no error though it has errors elsewhere.
    grid : Grid
        Where on the sky the pixels are; its pixel_scale_ratio is that over a detector pixel.
    instrument : dict
        ``name``, ``filter``, ``pupil``, ``detector``, ``subarray``: what selects the rows of
        reference files.
    flaw : str
        Why `data` is in an unknown unit instead; "" if it is not.
    correlation : NoiseCorrelation or None
        Of the noise of pixels, with `err`; None if it is not known.
    weight : ndarray of float32, (ny, nx), optional
        As drizzle has it: how the variance changes from pixel to pixel, in any unit.
    pixfrac : float
        Of drizzle.
    views : sequence of View
        Of the exposures that it is made of, if these are at hand.
    """

    data: np.ndarray
    err: np.ndarray
    mask: np.ndarray
    grid: Grid
    instrument: dict[str, str | None]
    flaw: str = ""
    correlation: NoiseCorrelation | None = None
    weight: np.ndarray | None = None
    pixfrac: float = 1.0
    views: Sequence[View] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return self.data.shape

    @property
    def has_errors(self) -> bool:
        """Whether the mosaic has errors."""
        return bool(np.isfinite(self.err).any())

    def rows(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return some rows of data, err and mask."""
        return self.data[start:stop], self.err[start:stop], self.mask[start:stop]

    def weights(self, start: int, stop: int) -> np.ndarray:
        """Return some rows of the weights; 1 where nothing is known of them."""
        if self.weight is None:
            return np.ones((stop - start, self.shape[1]), np.float32)
        return self.weight[start:stop]

    def fill(
        self, start: int, data: np.ndarray, err: np.ndarray, weight: np.ndarray | None = None
    ) -> None:
        """Fill arrays with rows of data, errors and weights, from a row on.

        Parameters
        ----------
        start : int
        data, err, weight : (rows, nx) float32
            Weights, if they are wanted, are 0 where the mask is True.
        """
        stop = start + len(data)
        data[:], err[:] = self.data[start:stop], self.err[start:stop]
        if weight is not None:
            weight[:] = np.where(self.mask[start:stop], 0, self.weights(start, stop))


class MosaicFile:
    """A mosaic in a file, as `Mosaic` has it.

    Parameters
    ----------
    path : path

    Attributes
    ----------
    views : sequence of View
        As `Mosaic` has them: none, unless they are given.
    headers : (primary, SCI)
    asdf : bytes
        The ASDF extension.

    Raises
    ------
    InputError
        SCI, WHT, the WCS or the ASDF extension is missing or wrong.
    """

    def __init__(self, path: str | Path):
        self._path = path
        with open_fits(path) as hdus:
            for name in ("SCI", "WHT"):
                if (unit := find(path, name)) is None or len(unit.shape) != 2:
                    raise InputError(f"{path}: has no 2-D {name} extension: give an _i2d file")
            if "ASDF" not in hdus:
                raise InputError(f"{path}: has no ASDF extension: give an _i2d file")
            if is_packed(path):
                raise InputError(f"{path}: is compressed: unpack it")
            names = ("SCI", "WHT", "ERR")
            planes = {name: hdus[name] for name in names if name in hdus}
            for name, plane in planes.items():
                if plane.shape != hdus["SCI"].shape:
                    raise InputError(
                        f"{path}: {name} has shape {plane.shape} but SCI {hdus['SCI'].shape}: "
                        "make the mosaic again"
                    )
            units = [value(hdus["SCI"].header, "BUNIT", path)]
            if "ERR" in planes:
                units.append(value(planes["ERR"].header, "BUNIT", path) or "MJy/sr")
            self._units = {name: find(path, name) for name in planes}
            self.headers = primary, header = hdus[0].header, hdus["SCI"].header
            self.shape = hdus["SCI"].shape
            self.asdf = read_tree(path)
        wrong = [unit or "an unknown unit" for unit in units if unit != "MJy/sr"]
        self.flaw = f"no fluxes: the mosaic is in {wrong[0]}, not MJy/sr" if wrong else ""
        ratio = value(primary, "PXSCLRT", path)
        if not is_within(ratio, 0.01, 100.0):
            log.warning("%s: has no pixel_scale_ratio: apertures as for detector pixels", path)
            ratio = 1.0
        self.correlation = read_noise_correlation(path) if self.has_errors else None
        if not self.has_errors:
            log.warning("%s: has no ERR: the catalogue is without errors", path)
        elif self.correlation is None:
            log.warning("%s: has no NOISE_CORR: errors are made of ERR alone", path)
        self.grid = header_grid(header, ratio, path)
        area = value(header, "PIXAR_SR", path)
        if not is_within(area, 0.5 * self.grid.pixel_area, 2.0 * self.grid.pixel_area):
            log.warning("%s: PIXAR_SR is %s: that of the WCS counts", path, area)
            area = self.grid.pixel_area
        self._to_jansky = 1.0 if self.flaw else 1e6 * area
        pixfrac = value(primary, "PIXFRAC", path)
        self.pixfrac = pixfrac if is_within(pixfrac, 0.0, 1.0) else 1.0
        keys = {"name": "INSTRUME", "filter": "FILTER", "pupil": "PUPIL", "detector": "DETECTOR"}
        keys |= {"subarray": "SUBARRAY"}
        self.instrument = {name: value(primary, key, path) for name, key in keys.items()}
        self.views: Sequence[View] = ()

    @property
    def has_errors(self) -> bool:
        """Whether the mosaic has errors."""
        return "ERR" in self._units

    def rows(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return some rows of data, err and mask, see `Mosaic`."""
        mask = self._read("WHT", start, stop) == 0
        data = self._read("SCI", start, stop)
        data *= self._to_jansky
        if self.has_errors:
            err = self._read("ERR", start, stop)
            mask |= np.isnan(err)
            err *= self._to_jansky
        else:
            mask |= np.isnan(data)
            err = np.full_like(data, np.nan)
        return data, err, mask

    def weights(self, start: int, stop: int) -> np.ndarray:
        """Return some rows of the weights, see `Mosaic`."""
        return self._read("WHT", start, stop)

    def fill(
        self, start: int, data: np.ndarray, err: np.ndarray, weight: np.ndarray | None = None
    ) -> None:
        """Fill arrays with some rows, see `Mosaic`."""
        planes = {"SCI": data, "ERR": err if self.has_errors else None, "WHT": weight}
        wanted = {name: plane for name, plane in planes.items() if plane is not None}
        units = [self._units[name] for name in wanted]
        fill_rows(self._path, units, start, [*wanted.values()])
        if not self.has_errors:
            err[:] = np.nan
        nothing = data[:0] if weight is None else weight
        calibrate(data, err, nothing, self._to_jansky, self.has_errors)

    def _read(self, name, start, stop):
        rows = read_pixels(self._path, self._units[name], slice(start, stop))
        return rows.astype(np.float32, copy=False)
