"""The catalogue of a mosaic: sources, their shapes and aperture photometry.

Parameters, columns and units are those of jwst's ``source_catalog`` step, the numbers those of
photutils, which it uses. A mosaic is read in pieces of rows, so that it may be of any size. Only
its planes SCI, ERR and WHT are read.
"""

from __future__ import annotations

import io
import logging
import platform
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import QTable

from snakewebb.asdf_text import BLOCK, changed, extension
from snakewebb.background import Background, NoPixel
from snakewebb.dq import DO_NOT_USE
from snakewebb.errors import InputError
from snakewebb.exposure import open_fits, read_pixels
from snakewebb.files import replacing
from snakewebb.fits_structure import find, is_packed, read_tree
from snakewebb.grid import Grid
from snakewebb.hdus import forget_sums
from snakewebb.headers import value
from snakewebb.kernels.apertures import annulus_sky, circle_sums, nearest
from snakewebb.notes import date, history, plain
from snakewebb.photometric_references import MissingRow, aperture_parameters, vega_offset
from snakewebb.segmentation import (
    FWHM_TO_SIGMA,
    Segmentation,
    find_segments,
    piece_rows,
    read_window,
    windows,
)

log = logging.getLogger(__name__)

AB_ZERO_POINT = 8.9
QUANTITIES = {"flux": "Flux", "abmag": "AB magnitude", "vegamag": "Vega magnitude"}
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
}
PACKAGES = ("numpy", "numba", "astropy")

SKY_KEYS = (
    *("WCSAXES", "CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CTYPE1", "CTYPE2", "CUNIT1", "CUNIT2"),
    *("CDELT1", "CDELT2", "PC1_1", "PC1_2", "PC2_1", "PC2_2", "S_REGION", "RADESYS"),
)
"""Keywords of SCI that a segmentation map has, too."""

OWN_PLANES = ("err", "con", "wht", "var_poisson", "var_rnoise", "var_flat", "hdrtab")
OWN_METADATA = (
    *("bunit_data", "bunit_err", "photometry", "pointing", "velocity_aberration", "ephemeris"),
    "snakewebb",
)
"""What of a mosaic's ASDF tree its segmentation map does not have."""


@dataclass(frozen=True)
class Mosaic:
    """What a catalogue is measured on.

    Attributes
    ----------
    data, err : ndarray of float32, (ny, nx)
        Flux of a pixel and its error, in Jy; the sky may still be in `data`. `err` is all NaN
        where the mosaic has no errors.
    mask : ndarray of bool, (ny, nx)
        True where the mosaic has no weight, or no error though it has errors elsewhere.
    grid : Grid
        Where on the sky the pixels are; its pixel_scale_ratio is that over a detector pixel.
    instrument : dict
        ``name``, ``filter``, ``pupil``, ``detector``, ``subarray``: what selects the rows of
        reference files.
    flaw : str
        Why `data` is in an unknown unit instead; "" if it is not.
    """

    data: np.ndarray
    err: np.ndarray
    mask: np.ndarray
    grid: Grid
    instrument: dict[str, str | None]
    flaw: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return self.data.shape

    def rows(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return some rows of data, err and mask."""
        return self.data[start:stop], self.err[start:stop], self.mask[start:stop]


class MosaicFile:
    """A mosaic in a file, as `Mosaic` has it.

    Parameters
    ----------
    path : path

    Attributes
    ----------
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
            planes = {name: hdus[name] for name in ("SCI", "WHT", "ERR") if name in hdus}
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
        wrong = [unit for unit in units if unit != "MJy/sr"]
        self.flaw = f"no fluxes: the mosaic is in {wrong[0]}, not MJy/sr" if wrong else ""
        ratio = value(primary, "PXSCLRT", path)
        if not _within(ratio, 0.01, 100.0):
            log.warning("%s: has no pixel_scale_ratio: apertures as for detector pixels", path)
            ratio = 1.0
        if "ERR" not in self._units:
            log.warning("%s: has no ERR: the catalogue is without errors", path)
        self.grid = header_grid(header, ratio, path)
        area = value(header, "PIXAR_SR", path)
        if not _within(area, 0.5 * self.grid.pixel_area, 2.0 * self.grid.pixel_area):
            log.warning("%s: PIXAR_SR is %s: that of the WCS counts", path, area)
            area = self.grid.pixel_area
        self._to_jansky = 1.0 if self.flaw else 1e6 * area
        keys = {"name": "INSTRUME", "filter": "FILTER", "pupil": "PUPIL", "detector": "DETECTOR"}
        keys |= {"subarray": "SUBARRAY"}
        self.instrument = {name: value(primary, key, path) for name, key in keys.items()}

    def rows(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return some rows of data, err and mask, see `Mosaic`."""
        mask = self._read("WHT", start, stop) == 0
        data = self._read("SCI", start, stop)
        data *= self._to_jansky
        if "ERR" in self._units:
            err = self._read("ERR", start, stop)
            mask |= np.isnan(err)
            err *= self._to_jansky
        else:
            mask |= np.isnan(data)
            err = np.full_like(data, np.nan)
        return data, err, mask

    def _read(self, name, start, stop):
        rows = read_pixels(self._path, self._units[name], slice(start, stop))
        return rows.astype(np.float32, copy=False)


MAX_SIDE = 0.01
"""Degrees; no mosaic of JWST's has larger pixels."""


def header_grid(header: fits.Header, ratio: float, path: str | Path) -> Grid:
    """Return the grid that the WCS keywords of a mosaic describe.

    Parameters
    ----------
    header : Header
        Of SCI.
    ratio : float
        Mosaic pixel over detector pixel.
    path : path
        The mosaic, for messages.
    """
    names = ("CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CDELT1", "CDELT2")
    turn = [
        float(i == j) if (given := value(header, f"PC{i}_{j}", path)) is None else given
        for i in (1, 2)
        for j in (1, 2)
    ]
    known = [value(header, name, path) for name in names]
    kinds = value(header, "CTYPE1", path), value(header, "CTYPE2", path)
    if (
        kinds != ("RA---TAN", "DEC--TAN")
        or not all(_within(number, -1e6, 1e6) for number in (*known, *turn))
        or not all(1e-9 < abs(side) < MAX_SIDE for side in known[4:])
        or turn[0] * turn[3] == turn[1] * turn[2]
        or abs(known[3]) > 90
    ):
        raise InputError(f"{path}: has no TAN WCS in the header of SCI: give an _i2d file")
    x, y, ra, dec, east, north = known
    skew = north / east
    pc = ((turn[0], turn[1]), (turn[2] * skew, turn[3] * skew))
    shape = (header["NAXIS2"], header["NAXIS1"])
    return Grid((ra, dec), (x - 1, y - 1), east, pc, shape, ratio)


def _within(given: Any, low: float, high: float) -> bool:
    """Return whether a header's value is a number in a range."""
    return isinstance(given, int | float) and not isinstance(given, bool) and low <= given <= high


@dataclass(frozen=True)
class Catalog:
    """A catalogue, its segmentation map and how the step ended.

    Attributes
    ----------
    table : QTable
        One row a source; no row where there are none.
    segmentation : Segmentation
        Label of the source a pixel belongs to, 0 for none.
    status : dict
        ``status`` (FAILED if what was asked for could not be measured, else COMPLETE),
        ``sources`` (their number) and ``reason`` (why there are none, or what of them is not
        known, else "").
    """

    table: QTable
    segmentation: Segmentation
    status: dict[str, Any]


def make_catalog(
    i2d: str | Path,
    cat: str | Path,
    segm: str | Path,
    *,
    apcorr: str | Path | None = None,
    abvegaoffset: str | Path | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Make the catalogue and the segmentation map of a mosaic file.

    Parameters
    ----------
    i2d : path
        The mosaic.
    cat, segm : path
        The catalogue (ECSV) and the segmentation map (FITS) to write.
    apcorr, abvegaoffset : path, optional
        Reference files, see `source_catalog`.
    **options
        The other parameters of `source_catalog`.

    Returns
    -------
    dict
        The status, see `Catalog`.

    Raises
    ------
    InputError
        The mosaic or a reference file cannot be used.
    """
    mosaic = MosaicFile(i2d)
    with tempfile.TemporaryFile(dir=Path(segm).parent) as scratch:
        catalog = source_catalog(
            mosaic,
            apcorr=apcorr,
            abvegaoffset=abvegaoffset,
            scratch=scratch,
            **options,
        )
        write_catalog(catalog, mosaic, cat, segm)
    return catalog.status


def source_catalog(
    mosaic: Mosaic | MosaicFile,
    *,
    apcorr: str | Path | None = None,
    abvegaoffset: str | Path | None = None,
    aperture_ee1: int = 30,
    aperture_ee2: int = 50,
    aperture_ee3: int = 70,
    ci1_star_threshold: float = 2.0,
    ci2_star_threshold: float = 1.8,
    starfinder: str = "segmentation",
    snr_threshold: float = 3.0,
    bkg_boxsize: int = 1000,
    kernel_fwhm: float = 2.0,
    minsep_fwhm: float = 0.0,
    sigma_radius: float = 1.5,
    sharplo: float = 0.5,
    sharphi: float = 2.0,
    roundlo: float = 0.0,
    roundhi: float = 0.2,
    brightest: int | None = 200,
    peakmax: float | None = None,
    npixels: int = 25,
    connectivity: int = 8,
    nlevels: int = 32,
    contrast: float = 0.001,
    multithresh_mode: str = "exponential",
    localbkg_width: int = 0,
    apermask_method: str = "correct",
    kron_params: tuple[float, ...] | None = None,
    deblend: bool = True,
    scratch: BinaryIO | None = None,
    threads: int = 1,
) -> Catalog:
    """Find the sources of a mosaic and measure them.

    Parameters
    ----------
    mosaic : Mosaic
        The image.
    apcorr : path, optional
        APCORR reference file (FITS): aperture radii and corrections. Without it the radii are 1, 2
        and 3 pixels, the sky annulus 5 to 10, and nothing is corrected.
    abvegaoffset : path, optional
        ABVEGAOFFSET reference file (ASDF). Without it Vega magnitudes equal AB magnitudes.
    aperture_ee1, aperture_ee2, aperture_ee3 : int
        Encircled energies of the apertures in percent, increasing.
    ci1_star_threshold, ci2_star_threshold : float
        A source is extended if its fluxes grow by more than the first from the first to the second
        aperture and by more than the second from there to the third.
    starfinder : {"segmentation", "dao", "iraf"}
        The algorithm; the other parameters are those of jwst's ``source_catalog``.
        `snr_threshold` is in units of the background rms, `kernel_fwhm` in pixels, `peakmax` in
        Jy. ``iraf`` and ``dao`` take `minsep_fwhm` … `peakmax` and leave the columns of
        segments NaN; ``segmentation`` takes `npixels` … `deblend`. `apermask_method` and
        `kron_params` change no column.
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
    energies = (aperture_ee1, aperture_ee2, aperture_ee3)
    if not 0 < aperture_ee1 < aperture_ee2 < aperture_ee3 < 100:
        raise InputError(f"aperture_ee {energies}: not increasing within 1 to 99: change them")
    apertures, reason = aperture_parameters(
        apcorr, mosaic.instrument, energies, mosaic.grid.pixel_scale_ratio
    )
    reasons = [mosaic.flaw, reason]
    status = "FAILED" if any(reasons) else "COMPLETE"
    offset = None
    try:
        offset = vega_offset(abvegaoffset, mosaic.instrument)
    except MissingRow as error:
        reasons.append(f"no Vega magnitudes: {error}")

    segmentation = Segmentation(mosaic.shape)
    columns, nothing = {}, f"no source {snr_threshold:g} sigma above the background"
    try:
        if starfinder == "segmentation":
            columns, segmentation = find_segments(
                mosaic,
                Background(
                    _sky_rows(mosaic), mosaic.shape, bkg_boxsize, piece_rows(mosaic.shape), threads
                ),
                snr_threshold=snr_threshold,
                kernel_fwhm=kernel_fwhm,
                npixels=npixels,
                connectivity=int(connectivity),
                nlevels=nlevels,
                contrast=contrast,
                multithresh_mode=multithresh_mode,
                localbkg_width=localbkg_width,
                deblend=deblend,
                scratch=scratch,
                threads=threads,
            )
        else:
            columns = _stars(
                mosaic,
                starfinder=starfinder,
                snr_threshold=snr_threshold,
                bkg_boxsize=bkg_boxsize,
                kernel_fwhm=kernel_fwhm,
                minsep_fwhm=minsep_fwhm,
                sigma_radius=sigma_radius,
                sharplo=sharplo,
                sharphi=sharphi,
                roundlo=roundlo,
                roundhi=roundhi,
                brightest=brightest,
                peakmax=peakmax,
            )
    except NoPixel:
        nothing = "no pixel with a value, an error and a weight"
    if not len(columns.get("label", ())):
        columns = {}
        reasons.append(nothing)
    outcome = {"status": status, "sources": len(columns.get("label", ()))}
    outcome["reason"] = "; ".join(filter(None, reasons))
    if outcome["reason"]:
        log.warning("the catalogue: %s", outcome["reason"])
    if not columns:
        return _catalog({}, mosaic, apertures, offset, outcome)

    label, x, y = (columns[name] for name in ("label", "xcentroid", "ycentroid"))
    columns["sky_centroid"] = _sky(mosaic.grid, x, y)
    columns |= photometry(mosaic, x, y, apertures, kernel_fwhm)
    columns |= concentration(columns, apertures, (ci1_star_threshold, ci2_star_threshold))
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
    log.info("%d sources (%s, %g sigma)", len(label), starfinder, snr_threshold)
    return _catalog(columns, mosaic, apertures, offset, outcome, segmentation)


def _sky_rows(mosaic):
    """Return what reads the rows of which a background is made."""

    def rows(start, stop):
        data, _, mask = mosaic.rows(start, stop)
        return data, mask

    return rows


def _stars(mosaic, **options):
    """Find sources by a star finder, on the whole mosaic at once."""
    from snakewebb.sources import find_sources

    data, _, mask = mosaic.rows(0, mosaic.shape[0])
    if not np.any(np.isfinite(data) & ~mask):
        raise NoPixel
    found = find_sources(data, mask * np.uint32(DO_NOT_USE), **options)
    names = {"label": "id", "xcentroid": "x", "ycentroid": "y"}
    return {name: np.asarray(found[column]) for name, column in names.items()}


def photometry(
    mosaic: Mosaic | MosaicFile,
    x: np.ndarray,
    y: np.ndarray,
    apertures: dict[str, Any],
    fwhm: float,
) -> dict[str, np.ndarray]:
    """Measure sources at given positions, in windows about as large as a piece.

    Parameters
    ----------
    mosaic : Mosaic or MosaicFile
        The image.
    x, y : ndarray, (n,)
        Centres in 0-based pixels; NaN gives NaN.
    apertures : dict
        See `aperture_parameters`.
    fwhm : float
        See `daofind_shape`.

    Returns
    -------
    dict
        The columns of `aperture_photometry`, ``sharpness`` and ``roundness``.
    """
    known = [*apertures["aperture_radii"], apertures["bkg_aperture_outer_radius"], 4 + 3 * fwhm]
    reach = int(np.ceil(max(filter(None, known)))) + 2
    centre = np.nan_to_num(np.column_stack([y, y, x, x])).astype(int)
    columns = {}
    around = centre + np.array([-reach, reach, -reach, reach])
    for window in windows(around, mosaic.shape):
        data, err, _ = read_window(mosaic, window)
        here_x, here_y = x[window.members] - window.left, y[window.members] - window.top
        measured = aperture_photometry(data, err, here_x, here_y, apertures)
        measured["sharpness"], measured["roundness"] = daofind_shape(data, here_x, here_y, fwhm)
        for name, values in measured.items():
            columns.setdefault(name, np.full(len(x), np.nan))[window.members] = values
    return columns


def aperture_photometry(
    data: np.ndarray, err: np.ndarray, x: np.ndarray, y: np.ndarray, apertures: dict[str, Any]
) -> dict[str, np.ndarray]:
    """Sum the light of sources in circles, less the sky in an annulus.

    Parameters
    ----------
    data, err : ndarray of float32, (ny, nx)
        Image and its errors.
    x, y : ndarray, (n,)
        Centres in 0-based pixels; NaN gives NaN.
    apertures : dict
        See `aperture_parameters`.

    Returns
    -------
    dict
        ``aper_bkg_flux`` (sky of a pixel), ``aper{ee}_flux`` and ``aper_total_flux``, each with
        its ``_err``, in the unit of `data`. The errors of the fluxes leave that of the sky out.
        Without those whose aperture is not known.
    """
    radii, corrections = apertures["aperture_radii"], apertures["aperture_corrections"]
    if not any(radii):
        return {}
    sky, sky_err = np.empty((2, len(x)))
    inner, outer = (apertures[f"bkg_aperture_{edge}_radius"] for edge in ("inner", "outer"))
    annulus_sky(data, x, y, inner, outer, sky, sky_err)
    columns = {"aper_bkg_flux": sky, "aper_bkg_flux_err": sky_err}
    for energy, radius, correction in zip(
        apertures["aperture_ee"], radii, corrections, strict=True
    ):
        if radius is None:
            continue
        flux, flux_err = np.empty((2, len(x)))
        circle_sums(data, err, x, y, radius, flux, flux_err)
        columns[f"aper{energy}_flux"] = flux - sky * np.pi * radius**2
        columns[f"aper{energy}_flux_err"] = flux_err
        # That of the largest stays.
        columns["aper_total_flux"] = correction * columns[f"aper{energy}_flux"]
        columns["aper_total_flux_err"] = correction * flux_err
    return columns


def magnitudes(flux: np.ndarray, flux_err: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Convert fluxes in Jy to AB magnitudes and their errors; NaN where there is no light."""
    light = np.where(flux > 0, flux, np.nan)
    return AB_ZERO_POINT - 2.5 * np.log10(light), 2.5 * np.log10(1 + flux_err / light)


def concentration(
    columns: dict[str, np.ndarray], apertures: dict[str, Any], thresholds: tuple[float, float]
) -> dict[str, np.ndarray]:
    """Compare the fluxes in the apertures.

    Parameters
    ----------
    columns : dict
        From `aperture_photometry`.
    apertures : dict
        See `aperture_parameters`.
    thresholds : (float, float)
        Star thresholds of the second over the first flux and of the third over the second.

    Returns
    -------
    dict
        The three ``CI_…`` columns and ``is_extended``, which is False if it is not known.
    """
    small, middle, large = apertures["aperture_ee"]
    unknown = np.full(len(columns["label"]), np.nan)
    indices = {}
    for wide, narrow in ((middle, small), (large, middle), (large, small)):
        above, below = (columns.get(f"aper{e}_flux", unknown) for e in (wide, narrow))
        with np.errstate(divide="ignore", invalid="ignore"):
            indices[f"CI_{wide}_{narrow}"] = above / below
    inner, outer = (indices[f"CI_{middle}_{small}"], indices[f"CI_{large}_{middle}"])
    return indices | {"is_extended": (inner > thresholds[0]) & (outer > thresholds[1])}


def daofind_shape(
    data: np.ndarray, x: np.ndarray, y: np.ndarray, fwhm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Measure how sharp and how round sources are, as DAOFIND does (Stetson 1987, PASP 99, 191).

    Parameters
    ----------
    data : ndarray, (ny, nx)
        Image; it may hold a smooth sky.
    x, y : ndarray, (n,)
        Centres in 0-based pixels, rounded to the nearest; NaN gives NaN.
    fwhm : float
        Of the Gaussian that is compared with the sources, in pixels.

    Returns
    -------
    sharpness, roundness : ndarray, (n,)
        Height of the central pixel over its surroundings, over the height of the fitted Gaussian;
        and twice the ratio of two- to four-fold symmetry. 0 is counted off the image.
    """
    sigma = fwhm * FWHM_TO_SIGMA
    radius = max(2.0, 1.5 * sigma)
    half = int(radius)
    offsets = np.arange(-half, half + 1)
    squared = offsets[:, None] ** 2 + offsets**2
    disc = squared <= radius**2
    gaussian = np.where(disc, np.exp(-0.5 * squared / sigma**2), 0.0)
    mean = gaussian.sum() / disc.sum()
    kernel = disc * (gaussian - mean) / (np.sum(gaussian**2) - gaussian.sum() * mean)

    cutouts = _cutouts(data, x, y, 2 * half)
    inner = np.lib.stride_tricks.sliding_window_view(cutouts, disc.shape, axis=(1, 2))
    fitted = np.einsum("nijkl,kl->nij", inner, kernel)
    cores = cutouts[:, half:-half, half:-half]
    peak = cores[:, half, half]
    surroundings = (np.sum(cores * disc, axis=(1, 2)) - peak) / (disc.sum() - 1)

    # +1 and -1 in alternate quadrants of a pinwheel, 0 in the middle
    quadrants = np.zeros(disc.shape)
    quadrants[:half, : half + 1] = quadrants[half + 1 :, half:] = 1.0
    quadrants[: half + 1, half + 1 :] = quadrants[half:, :half] = -1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        sharpness = (peak - surroundings) / fitted[:, half, half]
        two_fold = np.sum(fitted * quadrants, axis=(1, 2))
        return sharpness, 2 * two_fold / np.sum(np.abs(fitted * quadrants), axis=(1, 2))


def _cutouts(data, x, y, half):
    """Cut squares of 2 half + 1 pixels around positions, 0 off the image, NaN for NaN positions."""
    bad = ~(np.isfinite(x) & np.isfinite(y))
    offsets = np.arange(-half, half + 1)
    column, row = (
        np.ceil(np.where(bad, 0.0, centre) - 0.5).astype(int)[:, None] + offsets
        for centre in (x, y)
    )
    ny, nx = data.shape
    inside = ((row >= 0) & (row < ny))[:, :, None] & ((column >= 0) & (column < nx))[:, None, :]
    squares = data[row.clip(0, ny - 1)[:, :, None], column.clip(0, nx - 1)[:, None, :]]
    squares = np.where(inside, squares, 0).astype(np.float64)
    squares[bad] = np.nan
    return squares


def nearest_neighbour(
    label: np.ndarray, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest other source of each source.

    Parameters
    ----------
    label : ndarray of int, (n,)
        Of the sources.
    x, y : ndarray, (n,)
        Their centres.

    Returns
    -------
    nn_label : ndarray of int, (n,)
        The neighbour's label, -1 where there is none or a centre is NaN.
    nn_dist : ndarray, (n,)
        Its distance in pixels, NaN where there is none.
    """
    nn_label, nn_dist = np.full(len(label), -1), np.full(len(label), np.nan)
    good = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    good = good[np.argsort(y[good], kind="stable")]
    index = np.empty(len(good), int)
    nearest(x[good], y[good], index)
    if len(good) > 1:
        other = good[index]
        nn_label[good] = label[other]
        nn_dist[good] = np.hypot(x[other] - x[good], y[other] - y[good])
    return nn_label, nn_dist


def _sky(grid, x, y):
    return SkyCoord(*grid.pixel_to_sky(x, y), unit="deg")


def _north(grid):
    """Angle from +x to North at the reference pixel, anticlockwise, in degrees."""
    ra, dec = grid.crval
    x, y = grid.sky_to_pixel(ra, dec + 1 / 3600)
    return np.degrees(np.arctan2(y - grid.crpix[1], x - grid.crpix[0]))


def _catalog(columns, mosaic, apertures, offset, outcome, segmentation=None):
    """Put the columns in order and add magnitudes and metadata; columns not given are NaN."""
    number = outcome["sources"]
    sums = ("isophotal", "aper_total", *(f"aper{energy}" for energy in apertures["aperture_ee"]))
    for name in sums:
        if f"{name}_flux" in columns:
            mag, mag_err = magnitudes(columns[f"{name}_flux"], columns[f"{name}_flux_err"])
            columns |= {f"{name}_abmag": mag, f"{name}_abmag_err": mag_err}
            if offset is not None:
                columns |= {f"{name}_vegamag": mag - offset, f"{name}_vegamag_err": mag_err}

    nothing = np.full(number, np.nan)
    table = QTable()
    for name, (kind, description) in _layout(apertures["aperture_ee"]).items():
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
        "sky_centroid": ("sky", "Sky position of the centroid (ICRS)"),
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


def write_catalog(catalog: Catalog, mosaic: MosaicFile, cat: str | Path, segm: str | Path) -> None:
    """Write a catalogue and its segmentation map.

    Neither file ever stands under its name half written.

    Parameters
    ----------
    catalog : Catalog
        What to write.
    mosaic : MosaicFile
        The mosaic, of whose metadata the segmentation map has most.
    cat, segm : path
        ECSV and FITS.
    """
    cat, segm = Path(cat), Path(segm)
    primary, image, tree = _segmentation_hdus(catalog, mosaic, cat.name, segm.name)
    text = io.StringIO()
    catalog.table.write(text, format="ascii.ecsv")
    ny = mosaic.shape[0]
    step = piece_rows(mosaic.shape)
    with replacing(cat) as cat_file, replacing(segm) as segm_file:
        segm_file.write(primary.header.tostring().encode("ascii"))
        segm_file.write(image.tostring().encode("ascii"))
        for start in range(0, ny, step):
            labels = catalog.segmentation.rows(start, min(start + step, ny))
            # FITS has no unsigned integers: BZERO takes off half their range
            segm_file.write((labels ^ np.uint32(1 << 31)).astype(">u4"))
        segm_file.write(bytes(-segm_file.tell() % BLOCK))
        segm_file.write(extension(tree))
        cat_file.write(text.getvalue().encode())
    log.info("wrote %s and %s", cat, segm)


def _segmentation_hdus(catalog, mosaic, cat, segm):
    """Return the primary HDU of a segmentation map, the header of its image, and its ASDF file."""
    of_mosaic, of_sci = mosaic.headers
    cards = {
        "DATE": ("date", date(), ""),
        "FILENAME": ("filename", segm, ""),
        "DATAMODL": ("model_type", "SegmentationMapModel", ""),
        "S_SRCCAT": ("cal_step.source_catalog", catalog.status["status"], "Source Catalog"),
        "SCATFILE": ("source_catalog", cat, "Source catalog filename"),
        "SEGMFILE": ("segmentation_map", segm, "Segmentation map filename"),
    }
    primary = fits.PrimaryHDU(header=of_mosaic.copy())
    forget_sums([primary])
    for key, (_, given, comment) in cards.items():
        primary.header[key] = (
            given,
            primary.header.comments[key] if key in primary.header else comment,
        )
    ends = {"source_catalog": catalog.status["status"]}
    for line in history({"source_catalog": catalog.status}, ends):
        primary.header["HISTORY"] = line
    ny, nx = mosaic.shape
    image = fits.Header()
    image["XTENSION"] = ("IMAGE", "Image extension")
    image["BITPIX"], image["NAXIS"], image["NAXIS1"], image["NAXIS2"] = 32, 2, nx, ny
    image["PCOUNT"], image["GCOUNT"] = 0, 1
    image["BSCALE"], image["BZERO"] = 1, 1 << 31
    image["EXTNAME"] = "SCI"
    for key in SKY_KEYS:
        if key in of_sci:
            image.append(of_sci.cards[key])
    shape = {"datatype": "uint32", "shape": [ny, nx]}
    changes = {f"data.{name}": value for name, value in shape.items()}
    changes |= {f"meta.{place}": given for place, given, _ in cards.values()}
    changes["meta.snakewebb"] = plain({"source_catalog": catalog.status})
    dropped = ["_fits_hash", "extra_fits", *OWN_PLANES, *(f"meta.{name}" for name in OWN_METADATA)]
    return primary, image, changed(mosaic.asdf, changes, dropped)
