"""How complete a catalogue is: stars are added to the mosaic, and sought as its sources were."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from astropy import units as u
from astropy.table import QTable

from snakewebb.references.psf import PointSpread
from snakewebb.sources.background import NoPixel
from snakewebb.sources.catalog import CatalogOptions, psf_of, source_catalog
from snakewebb.sources.catalog_file import Catalog
from snakewebb.sources.mosaic import Mosaic, MosaicFile
from snakewebb.sources.photometry import AB_ZERO_POINT
from snakewebb.sources.significance import Significance

log = logging.getLogger(__name__)

APART = 15.0
"""Distance of added stars, FWHM."""
MOST = 20_000
"""So many are added at most at a time."""
ENOUGH, ROUNDS = 1000, 5
"""Small mosaics are filled again until there have been so many, so often at most."""
FAINTEST, BRIGHTEST = 1.5, 60.0
"""Their range of fluxes, in errors of the filtered mosaic."""
BIN = 0.25
"""Magnitudes."""
MATCH = 0.7
"""Distance from an added star to its row, FWHM."""
REACH = 6.0
"""How far added stars reach, FWHM: the faint ones that are of interest are seen no farther."""
DEPTHS = (0.95, 0.8, 0.5)
COLUMNS = {
    "abmag": (None, "AB magnitude of added stars: middle of the bin"),
    "number": (None, "Added stars"),
    "completeness": (None, "Share of them that is in the catalogue"),
    "completeness_err": (None, "Standard error of that"),
    "magnitude_bias": (u.mag, "Median of aper_total_abmag minus the magnitude added"),
    "magnitude_scatter": (u.mag, "Half the width of the central 68 % of that"),
}


class Added:
    """A mosaic with stars added, read by rows as `snakewebb.sources.mosaic.Mosaic` is.

    Parameters
    ----------
    mosaic : Mosaic or MosaicFile
    psf : PointSpread
    x, y, flux : (n,)
        Pixels, sorted by y; Jy.
    """

    def __init__(
        self,
        mosaic: Mosaic | MosaicFile,
        psf: PointSpread,
        x: np.ndarray,
        y: np.ndarray,
        flux: np.ndarray,
    ):
        self._mosaic, self._y = mosaic, y
        small = psf.cut(int(np.ceil(REACH * psf.fwhm)))
        self._half = small.size // 2
        self._pixels = np.rint(np.column_stack([y, x])).astype(int)
        self._stamps = [
            (small.stamp(dx, dy) * f).astype(np.float32)
            for (dy, dx), f in zip(np.column_stack([y, x]) - self._pixels, flux, strict=True)
        ]
        self.shape, self.grid, self.instrument = mosaic.shape, mosaic.grid, mosaic.instrument
        self.flaw, self.pixfrac = mosaic.flaw, mosaic.pixfrac
        self.correlation, self.has_errors = mosaic.correlation, mosaic.has_errors
        self.views = ()  # which have no such stars

    def rows(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return some rows of data, err and mask."""
        data, err, mask = self._mosaic.rows(start, stop)
        data = data.copy()
        self._add(start, data)
        return data, err, mask

    def fill(
        self, start: int, data: np.ndarray, err: np.ndarray, weight: np.ndarray | None = None
    ) -> None:
        """Fill arrays with some rows, see `snakewebb.sources.mosaic.Mosaic`."""
        self._mosaic.fill(start, data, err, weight)
        self._add(start, data)

    def _add(self, start, data):
        stop = start + len(data)
        margin = self._half + 1
        first, last = np.searchsorted(self._y, [start - margin, stop + margin])
        for k in range(first, last):
            (top, left), stamp = self._pixels[k] - [start + self._half, self._half], self._stamps[k]
            height, width = stamp.shape
            rows = slice(max(-top, 0), min(height, len(data) - top))
            columns = slice(max(-left, 0), min(width, data.shape[1] - left))
            if rows.start < rows.stop and columns.start < columns.stop:
                place = data[top + rows.start :, left + columns.start :]
                part = stamp[rows, columns]
                place[: part.shape[0], : part.shape[1]] += part


def measure_completeness(
    mosaic: Mosaic | MosaicFile,
    how: CatalogOptions = CatalogOptions(),
    *,
    apcorr: str | Path | None = None,
    seed: int = 1,
    scratch: BinaryIO | None = None,
    threads: int = 1,
) -> QTable:
    """Add stars to a mosaic and see which of them are found, and how bright.

    Stars have the PSF of the mosaic (`snakewebb.references.psf`), no noise of their own, and
    positions that the seed decides, everywhere where there is data.

    Parameters
    ----------
    mosaic : Mosaic or MosaicFile
        Without added stars.
    how : CatalogOptions, optional
        How sources are sought.
    apcorr : path, optional
        See `snakewebb.sources.catalog.source_catalog`.
    seed : int, optional
    scratch : binary file, optional
        See `snakewebb.sources.catalog.source_catalog`.
    threads : int, optional
        The result does not depend on it.

    Returns
    -------
    QTable
        A row a bin of magnitude, ``COLUMNS``; in its metadata ``completeness``: seed, and the
        magnitudes at which 95, 80 and 50 % are found, None where they are not reached. Without
        rows where nothing can be measured, with the reason.

    Notes
    -----
    The depths are those of a model of all stars rather than of bins with few: of a signal to noise
    s the share t Φ((s - s₀) / w) is found, that of peaks above a threshold in Gaussian noise where
    t and w are 1. The likeliest t, s₀ and w count, and the mean over the stars' places.
    """
    if mosaic.flaw:
        return _table({}, {"reason": mosaic.flaw})
    psf = psf_of(mosaic, how.kernel_fwhm)
    try:
        significance = Significance(mosaic, psf.fwhm, psf.filter_fwhm, how.bkg_boxsize, threads)
    except NoPixel as reason:
        return _table({}, {"reason": str(reason)})
    options: dict[str, Any] = {"apcorr": apcorr, "scratch": scratch, "threads": threads}
    before = source_catalog(mosaic, how, **options)
    rng = np.random.default_rng(seed)
    rounds: list[tuple[np.ndarray, ...]] = []
    while len(rounds) < ROUNDS and sum(len(stars[0]) for stars in rounds) < ENOUGH:
        x, y, flux, error = _draw(significance, psf, rng)
        if not len(x):
            break
        after = source_catalog(Added(mosaic, psf, x, y, flux), how, **options)  # type: ignore[arg-type]
        row, hidden = (_found(each, x, y, psf.fwhm) for each in (after, before))
        row[hidden >= 0] = -1
        measured = np.full(len(x), np.nan)
        measured[row >= 0] = np.asarray(after.table["aper_total_abmag"])[row[row >= 0]]
        rounds.append((flux, error, row >= 0, measured))
    if not rounds:
        return _table({}, {"reason": "no star could be added: no data"})
    flux, error, found, measured = (np.concatenate(parts) for parts in zip(*rounds, strict=True))
    magnitude = AB_ZERO_POINT - 2.5 * np.log10(flux)
    columns = _binned(magnitude, found, measured - magnitude)
    log.info("%d stars added, %d found", len(flux), found.sum())
    depths = _depths(flux, error, found)
    return _table(columns, {"seed": seed, "reason": ""} | depths)


def _draw(significance, psf, rng):
    """Return positions, fluxes and their errors of stars, sorted by y."""
    step, (ny, nx) = APART * psf.fwhm, significance.shape
    y, x = (a.ravel() for a in np.mgrid[step / 2 : ny : step, step / 2 : nx : step])
    x, y = (a + step * rng.uniform(-0.25, 0.25, len(a)) for a in (x, y))
    share = rng.random(len(x))
    keep = (np.rint(x) < nx) & (np.rint(y) < ny)
    if keep.sum() > MOST:
        keep &= rng.random(len(x)) < MOST / keep.sum()
    x, y, share = x[keep], y[keep], share[keep]
    error = significance.flux_errors(np.rint(y).astype(int), np.rint(x).astype(int))
    good = np.isfinite(error)
    if not good.any():
        return (np.empty(0),) * 4
    error /= psf.image(psf.gaussian(psf.filter_fwhm)).max()
    order = np.flatnonzero(good)[np.argsort(y[good], kind="stable")]
    flux = np.median(error[good]) * FAINTEST * (BRIGHTEST / FAINTEST) ** share
    return x[order], y[order], flux[order], error[order]


def _found(catalog: Catalog, x, y, fwhm):
    """Return the row nearest to each place, -1 if none is near."""
    row = np.full(len(x), -1)
    if not len(catalog.table):
        return row
    there_x, there_y = (np.asarray(catalog.table[f"{name}centroid"]) for name in "xy")
    order = np.argsort(there_y, kind="stable")
    reach = MATCH * fwhm
    first, last = np.searchsorted(there_y[order], [y - reach, y + reach])
    for k in range(len(x)):
        near = order[first[k] : last[k]]
        if len(near):
            distance = np.hypot(there_x[near] - x[k], there_y[near] - y[k])
            if distance.min() <= reach:
                row[k] = near[np.argmin(distance)]
    return row


def _binned(magnitude, found, error):
    low = np.floor(magnitude.min() / BIN) * BIN
    which = ((magnitude - low) / BIN).astype(int)
    columns: dict[str, list[float]] = {name: [] for name in COLUMNS}
    for k in np.unique(which):
        chosen = which == k
        number, seen = int(chosen.sum()), int(found[chosen].sum())
        # Agresti & Coull's: not 0 where all or none are found
        share = (seen + 2) / (number + 4)
        errors = error[chosen & np.isfinite(error)]
        few = len(errors) < 3
        width = np.nan if few else np.diff(np.percentile(errors, [15.865, 84.135]))[0] / 2
        values = (
            *(low + (k + 0.5) * BIN, number, seen / number),
            *(np.sqrt(share * (1 - share) / (number + 4)), np.nan if few else np.median(errors)),
            width,
        )
        for name, value in zip(COLUMNS, values, strict=True):
            columns[name].append(value)
    return {name: np.array(values) for name, values in columns.items()}


def _depths(flux, error, found):
    """Return the magnitudes down to which some shares are found, see `measure_completeness`."""
    from scipy.optimize import brentq, minimize
    from scipy.special import expit, ndtr

    def share(parameters, flux):
        top, middle, width = parameters
        return expit(top) * ndtr((flux / error - middle) * np.exp(-width))

    def unlikelihood(parameters):
        p = share(parameters, flux).clip(1e-9, 1 - 1e-9)
        return -np.sum(np.log(np.where(found, p, 1 - p)))

    names = {each: f"depth_{each:.0%}" for each in DEPTHS}
    if not found.any():
        return dict.fromkeys(names.values())
    start = [3.0, np.quantile(flux[found] / error[found], 0.05), 0.0]
    best = minimize(unlikelihood, start, method="Nelder-Mead").x
    depths = {}
    for wanted, name in names.items():

        def excess(magnitude, wanted=wanted):
            return share(best, 10 ** (0.4 * (AB_ZERO_POINT - magnitude))).mean() - wanted

        ends = AB_ZERO_POINT - 2.5 * np.log10([flux.max(), flux.min()])
        crossed = excess(ends[0]) > 0 > excess(ends[1])
        depths[name] = round(float(brentq(excess, *ends)), 3) if crossed else None
    return depths


def _table(columns, meta):
    table = QTable()
    for name, (unit, description) in COLUMNS.items():
        values = np.asarray(columns.get(name, np.empty(0)), float)
        if name == "number":
            values = values.astype(int)
        table[name] = values if unit is None else u.Quantity(values, unit)
        table[name].info.description = description
        if name != "number":
            table[name].info.format = ".4f"
    table.meta = {"completeness": meta}
    return table
