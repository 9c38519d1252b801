"""The catalogue of a mosaic: sources, their shapes and aperture photometry.

Parameters, columns and units are those of jwst's ``source_catalog`` step, the numbers those of
photutils, which it uses. A mosaic is read in pieces of rows, so that it may be of any size. Only
its planes SCI, ERR, WHT and NOISE_CORR are read.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable

from snakewebb.errors import InputError
from snakewebb.io.dq import DO_NOT_USE
from snakewebb.references.photometry import MissingRow, aperture_parameters, vega_offset
from snakewebb.references.psf import PointSpread, gaussian_psf, mosaic_psf
from snakewebb.sources.background import Background, NoPixel
from snakewebb.sources.catalog_file import Catalog
from snakewebb.sources.detection import find_segments
from snakewebb.sources.matched_filter import SNR_THRESHOLD, find_peaks
from snakewebb.sources.mosaic import Mosaic, MosaicFile
from snakewebb.sources.photometry import concentration, magnitudes, nearest_neighbour, photometry
from snakewebb.sources.segmentation_map import Segmentation, piece_rows
from snakewebb.sources.star_finders import FinderOptions, find_sources

log = logging.getLogger(__name__)
QUANTITIES = {"flux": "Flux", "abmag": "AB magnitude", "vegamag": "Vega magnitude"}
THRESHOLDS = {"matched_filter": SNR_THRESHOLD}
"""Defaults of `snr_threshold` by star finder; else 3."""
KINDS = {  # dtype, unit and format of the columns
    "label": (np.int64, None, None),
    "flag": (bool, None, None),
    "position": (np.float64, None, ".4f"),
    "flux": (np.float64, u.Jy, ".6e"),
    "mag": (np.float64, None, ".6f"),
    "ratio": (np.float64, None, ".4f"),
    "shape": (np.float64, None, ".6f"),
    "length": (np.float64, u.pix, ".6f"),
    "area": (np.float64, u.pix**2, None),
    "angle": (np.float64, u.deg, ".6f"),
    "arc": (np.float64, u.arcsec, ".6f"),
}
FOUND_BY_FILTER = {
    "significance": ("ratio", "Peak of the matched-filtered mosaic over its noise"),
    "saturated": ("flag", "Exposures lost the source's core"),
    "near_bright_star": ("flag", "Spikes or halo of a star may add a tenth or more"),
    "edge": ("flag", "Cut by an edge or a gap"),
    "low_coverage": ("flag", "Weight below half of that of most pixels"),
    "kron_radius": ("length", "Semimajor axis of the ellipse of kron_flux"),
    **{
        f"kron_{suffix}{err}": (
            "flux" if suffix == "flux" else "mag",
            f"Error of kron_{suffix}"
            if err
            else f"{quantity} in an ellipse, corrected for the PSF",
        )
        for suffix, quantity in QUANTITIES.items()
        for err in ("", "_err")
    },
}
"""Columns that `matched_filter` has beside the others: kind and description."""
CORRELATION = "of ERR and NOISE_CORR"
NO_CORRELATION = "of ERR, as if the noise of pixels was not correlated"
NO_ERRORS = "none: the mosaic has no ERR"
PACKAGES = ("numpy", "numba", "astropy")


@dataclass(frozen=True, kw_only=True)
class CatalogOptions(FinderOptions):
    """How a catalogue is made; parameters are those of jwst's ``source_catalog``, and defaults.

    Those of `FinderOptions`, ``peakmax`` in Jy. ``iraf`` and ``dao`` leave the columns of segments
    NaN. ``matched_filter`` (see `snakewebb.sources.matched_filter`) uses `snr_threshold`,
    `bkg_boxsize` as the largest side of a mesh, `deblend`, and `kernel_fwhm` for mosaics of which
    no PSF is known; it has more columns. With any of them `kernel_fwhm` is that of the kernel of
    ``sharpness`` and ``roundness``, too.

    Attributes
    ----------
    snr_threshold : float, optional
        By default 4.6 for ``matched_filter``, else 3.
    aperture_ee1, aperture_ee2, aperture_ee3 : int
        Encircled energies of the apertures in percent, increasing.
    ci1_star_threshold, ci2_star_threshold : float
        A source is extended if its fluxes grow by more than the first from the first to the second
        aperture and by more than the second from there to the third.
    kron_params : tuple of float, optional
        Of ``matched_filter``, see `snakewebb.sources.kron.DEFAULT`.
    """

    starfinder: str = "matched_filter"
    snr_threshold: float | None = None
    kernel_fwhm: float = 2.0
    bkg_boxsize: int = 1000
    npixels: int = 25
    aperture_ee1: int = 30
    aperture_ee2: int = 50
    aperture_ee3: int = 70
    ci1_star_threshold: float = 2.0
    ci2_star_threshold: float = 1.8
    kron_params: tuple[float, ...] | None = None


def source_catalog(
    mosaic: Mosaic | MosaicFile,
    how: CatalogOptions = CatalogOptions(),
    *,
    apcorr: str | Path | None = None,
    abvegaoffset: str | Path | None = None,
    names: Mapping[str, str] = MappingProxyType({}),
    scratch: BinaryIO | None = None,
    threads: int = 1,
) -> Catalog:
    """Find the sources of a mosaic and measure them.

    Parameters
    ----------
    mosaic : Mosaic
        The image.
    how : CatalogOptions, optional
    apcorr : path, optional
        APCORR reference file (FITS): aperture radii and corrections. Without it they are those of a
        model of the PSF (`snakewebb.references.enclosed_energy`).
    abvegaoffset : path, optional
        ABVEGAOFFSET reference file (ASDF). Without it there are no Vega magnitudes.
    names : mapping, optional
        What the status calls these, and where else something is from, by type; by default the
        names of the files.
    scratch : binary file, optional
        Open for reading and writing, to keep 4 bytes a pixel in; by default in memory. The
        catalogue's segmentation reads from it.
    threads : int, optional
        The result does not depend on it.

    Returns
    -------
    Catalog
        Without rows where nothing is found. Where a reference file has no row for this mosaic,
        or where it is not in MJy/sr, the columns that need it are NaN.

    Raises
    ------
    InputError
        A reference file cannot be read, or the encircled energies do not increase.
    """
    if how.snr_threshold is None:
        how = replace(how, snr_threshold=THRESHOLDS.get(how.starfinder, 3.0))
    energies = first, second, third = how.aperture_ee1, how.aperture_ee2, how.aperture_ee3
    if not 0 < first < second < third < 100:
        raise InputError(f"aperture_ee {energies}: not increasing within 1 to 99: change them")
    apertures, reason = aperture_parameters(
        apcorr, mosaic.instrument, energies, mosaic.grid.pixel_scale_ratio, mosaic.pixfrac
    )
    reasons = [mosaic.flaw, reason]
    status = "FAILED" if any(reasons) else "COMPLETE"
    offset = None
    try:
        if abvegaoffset is not None:
            offset = vega_offset(abvegaoffset, mosaic.instrument)
    except MissingRow as error:
        reasons.append(f"no Vega magnitudes: {error}")

    segmentation = Segmentation(mosaic.shape)
    columns: dict[str, np.ndarray] = {}
    nothing = f"no source {how.snr_threshold:g} sigma above the background"
    try:
        if how.starfinder == "segmentation":
            columns, segmentation = find_segments(
                mosaic,
                Background(
                    _sky_rows(mosaic),
                    mosaic.shape,
                    how.bkg_boxsize,
                    piece_rows(mosaic.shape),
                    threads,
                ),
                how,
                scratch=scratch,
                threads=threads,
            )
        elif how.starfinder == "matched_filter":
            columns, segmentation = find_peaks(
                mosaic,
                psf_of(mosaic, how.kernel_fwhm),
                how.bkg_boxsize,
                how.snr_threshold,
                deblend=how.deblend,
                kron_params=how.kron_params,
                scratch=scratch,
                threads=threads,
            )
        else:
            columns = _stars(mosaic, how)
    except NoPixel:
        nothing = "no pixel with a value, an error and a weight"
    if not len(columns.get("label", ())):
        columns = {}
        reasons.append(nothing)
    outcome = {"status": status, "sources": len(columns.get("label", ()))}
    vega = "none: no Vega magnitudes" if offset is None else Path(abvegaoffset or "").name
    outcome |= {"apcorr": apertures["source"], "abvegaoffset": vega, **names}
    outcome["reason"] = "; ".join(filter(None, reasons))
    if outcome["reason"]:
        log.warning("the catalogue: %s", outcome["reason"])
    if not columns:
        return _catalog({}, mosaic, apertures, offset, outcome, how)

    label, x, y = (columns[name] for name in ("label", "xcentroid", "ycentroid"))
    columns["sky_centroid"] = _sky(mosaic.grid, x, y)
    spread = None
    if "centroid_xx" in columns:
        spread = np.column_stack([columns[f"centroid_{pair}"] for pair in ("xx", "yy", "xy")])
        columns |= _centroid_errors(mosaic.grid, spread)
    columns |= photometry(mosaic, x, y, apertures, how.kernel_fwhm, spread)
    columns |= concentration(columns, apertures, (how.ci1_star_threshold, how.ci2_star_threshold))
    columns["nn_label"], columns["nn_dist"] = nearest_neighbour(label, x, y)
    if "box" in columns:
        bottom, top, left, right = columns["box"].T - 0.5
        columns["sky_bbox_ll"] = _sky(mosaic.grid, left, bottom)
        columns["sky_bbox_ul"] = _sky(mosaic.grid, left, top)
        columns["sky_bbox_lr"] = _sky(mosaic.grid, right, bottom)
        columns["sky_bbox_ur"] = _sky(mosaic.grid, right, top)
        columns["sky_orientation"] = (180.0 - _north(mosaic.grid) + columns["orientation"]) % 360.0
    if mosaic.flaw:
        columns = {name: values for name, values in columns.items() if "_flux" not in name}
    log.info("%d sources (%s, %g sigma)", len(label), how.starfinder, how.snr_threshold)
    return _catalog(columns, mosaic, apertures, offset, outcome, how, segmentation)


def psf_of(mosaic: Mosaic | MosaicFile, fwhm: float) -> PointSpread:
    """Return the PSF that a mosaic shows; a Gaussian where its filter is not known.

    Parameters
    ----------
    mosaic : Mosaic or MosaicFile
    fwhm : float
        Of that Gaussian, pixels.
    """
    grid = mosaic.grid
    scale = np.degrees(np.sqrt(grid.pixel_area)) * 3600
    psf = mosaic_psf(mosaic.instrument, scale, grid.pixel_scale_ratio, mosaic.pixfrac)
    if psf is None:
        log.warning("no PSF is known of %s: a Gaussian of %g pixels", mosaic.instrument, fwhm)
        return gaussian_psf(fwhm)
    return psf


def _sky_rows(mosaic):
    """Return what reads the rows of which a background is made."""

    def rows(start, stop):
        data, _, mask = mosaic.rows(start, stop)
        return data, mask

    return rows


def _stars(mosaic, how):
    """Find sources by a star finder, on the whole mosaic at once."""
    data, _, mask = mosaic.rows(0, mosaic.shape[0])
    if not np.any(np.isfinite(data) & ~mask):
        raise NoPixel
    found = find_sources(data, mask * np.uint32(DO_NOT_USE), how)
    names = {"label": "id", "xcentroid": "x", "ycentroid": "y"}
    return {name: np.asarray(found[column]) for name, column in names.items()}


def _sky(grid, x, y):
    return SkyCoord(*grid.pixel_to_sky(x, y), unit="deg")


def _centroid_errors(grid, spread):
    """Return the errors of positions, in pixels and on the sky."""
    xx, yy, xy = spread.T
    side = 3600.0 * grid.cdelt
    (a, b), (c, d) = side * np.array(grid.pc)
    return {
        "xcentroid_err": np.sqrt(xx),
        "ycentroid_err": np.sqrt(yy),
        "ra_centroid_err": np.sqrt(a * a * xx + 2 * a * b * xy + b * b * yy),
        "dec_centroid_err": np.sqrt(c * c * xx + 2 * c * d * xy + d * d * yy),
    }


def _north(grid):
    """Angle from +x to North at the reference pixel, anticlockwise, in degrees."""
    ra, dec = grid.crval
    x, y = grid.sky_to_pixel(ra, dec + 1 / 3600)
    return np.degrees(np.arctan2(y - grid.crpix[1], x - grid.crpix[0]))


def _errors(mosaic):
    """Return what errors are made of."""
    if not mosaic.has_errors:
        return NO_ERRORS
    return NO_CORRELATION if mosaic.correlation is None else CORRELATION


def _catalog(columns, mosaic, apertures, offset, outcome, how, segmentation=None):
    """Put the columns in order and add magnitudes and metadata; columns not given are NaN."""
    number = outcome["sources"]
    sums = [*(f"aper{e}" for e in apertures["aperture_ee"]), "aper_total", "isophotal", "kron"]
    for name in sums:
        if f"{name}_flux" in columns:
            mag, mag_err = magnitudes(columns[f"{name}_flux"], columns[f"{name}_flux_err"])
            columns |= {f"{name}_abmag": mag, f"{name}_abmag_err": mag_err}
            if offset is not None:
                columns |= {f"{name}_vegamag": mag - offset, f"{name}_vegamag_err": mag_err}

    nothing = np.full(number, np.nan)
    table = QTable()
    layout = _layout(apertures["aperture_ee"])
    if how.starfinder == "matched_filter":
        layout |= FOUND_BY_FILTER
    for name, (kind, description) in layout.items():
        if kind == "sky":
            table[name] = columns.get(name, SkyCoord(nothing, nothing, unit="deg"))
        else:
            dtype, unit, form = KINDS[kind]
            values = np.asarray(columns.get(name, nothing)).astype(dtype)
            table[name] = values if unit is None else u.Quantity(values, unit)
            table[name].info.format = form
        table[name].info.description = description

    versions = {"Python": platform.python_version()} | {name: version(name) for name in PACKAGES}
    table.meta = {
        "versions": versions,
        "errors": _errors(mosaic),
        "aperture_params": apertures,
        "abvega_offset": offset,
        "source_catalog": outcome,
    }
    return Catalog(table, segmentation or Segmentation(mosaic.shape), outcome)


def _layout(energies):
    """Name, kind and description of the columns, in order."""
    layout = {
        "label": ("label", "Label of the source in the segmentation map"),
        "xcentroid": ("position", "X of the centroid (0-based pixels)"),
        "ycentroid": ("position", "Y of the centroid (0-based pixels)"),
        "xcentroid_err": ("position", "Error of xcentroid (pixels)"),
        "ycentroid_err": ("position", "Error of ycentroid (pixels)"),
        "sky_centroid": ("sky", "Sky position of the centroid (ICRS)"),
        "ra_centroid_err": ("arc", "Error of sky_centroid along right ascension, on the sky"),
        "dec_centroid_err": ("arc", "Error of sky_centroid along declination"),
        "aper_bkg_flux": ("flux", "Local sky of a pixel: clipped median in the annulus"),
        "aper_bkg_flux_err": ("flux", "Standard error of that median"),
    }
    for suffix, quantity in QUANTITIES.items():
        kind = "flux" if suffix == "flux" else "mag"
        for energy in energies:
            text = f"{quantity} in the aperture of {energy} in aperture_ee"
            layout[f"aper{energy}_{suffix}"] = (kind, text)
            layout[f"aper{energy}_{suffix}_err"] = (kind, f"Error of aper{energy}_{suffix}")
        text = f"{quantity} in the largest aperture, corrected to the total of a point source"
        layout[f"aper_total_{suffix}"] = (kind, text)
        layout[f"aper_total_{suffix}_err"] = (kind, f"Error of aper_total_{suffix}")
    small, middle, large = energies
    for wide, narrow in ((middle, small), (large, middle), (large, small)):
        text = f"Concentration index: aper{wide}_flux / aper{narrow}_flux"
        layout[f"CI_{wide}_{narrow}"] = ("ratio", text)
    layout |= {
        "is_extended": ("flag", "Both concentration indices are above the star thresholds"),
        "sharpness": ("shape", "DAOFIND sharpness"),
        "roundness": ("shape", "DAOFIND roundness (symmetry)"),
        "nn_label": ("label", "Label of the nearest other source, -1 for none"),
        "nn_dist": ("length", "Distance of the nearest other source"),
    }
    for suffix, quantity in QUANTITIES.items():
        kind = "flux" if suffix == "flux" else "mag"
        layout[f"isophotal_{suffix}"] = (kind, f"{quantity} in the segment")
        layout[f"isophotal_{suffix}_err"] = (kind, f"Error of isophotal_{suffix}")
    layout |= {
        "isophotal_area": ("area", "Area of the segment"),
        "semimajor_sigma": ("length", "Standard deviation along the major axis"),
        "semiminor_sigma": ("length", "Standard deviation along the minor axis"),
        "ellipticity": ("shape", "1 - semiminor_sigma / semimajor_sigma"),
        "orientation": ("angle", "Major axis from +X, anticlockwise"),
        "sky_orientation": ("angle", "Position angle of the major axis, from North to East"),
    }
    corners = {"ll": "lower left", "ul": "upper left", "lr": "lower right", "ur": "upper right"}
    for corner, text in corners.items():
        layout[f"sky_bbox_{corner}"] = ("sky", f"Sky position of the segment's {text} corner")
    return layout
