"""The catalogue of a mosaic: sources, their shapes and aperture photometry.

Detection, deblending, shapes and aperture sums are photutils'. Parameters, columns and units are
those of jwst's ``source_catalog`` step. Only the planes SCI, ERR and WHT of a mosaic are read.
"""

import io
import logging
import platform
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import asdf
import numpy as np
from astropy import units as u
from astropy.convolution import Gaussian2DKernel, convolve
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.stats import SigmaClip, gaussian_fwhm_to_sigma
from astropy.table import QTable, Table
from astropy.utils.exceptions import AstropyUserWarning
from gwcs import WCS
from photutils.aperture import CircularAnnulus, CircularAperture
from photutils.segmentation import SourceCatalog, SourceFinder
from photutils.utils import NoDetectionsWarning
from scipy.spatial import KDTree
from stdatamodels.jwst.datamodels import ImageModel, SegmentationMapModel

from snakewebb.bands import replacing
from snakewebb.dq import DO_NOT_USE
from snakewebb.errors import InputError
from snakewebb.exposure import open_fits
from snakewebb.sources import background, find_sources

log = logging.getLogger(__name__)

AB_ZERO_POINT = 8.9
SMOOTHED_ROWS = 512
KRON_PARAMS = (2.5, 1.4, 0.0)
DEFAULT_APERTURES = {
    "aperture_ee": [1, 2, 3],
    "aperture_radii": [1.0, 2.0, 3.0],
    "aperture_corrections": [1.0, 1.0, 1.0],
    "bkg_aperture_inner_radius": 5.0,
    "bkg_aperture_outer_radius": 10.0,
}
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
PACKAGES = ("numpy", "scipy", "astropy", "photutils", "gwcs")
APCORR_KEYS = {
    "NIRCAM": ("filter", "pupil"),
    "NIRISS": ("filter", "pupil"),
    "MIRI": ("filter", "subarray"),
    "FGS": (),
}
APCORR_VALUES = ("eefraction", "radius", "apcorr", "skyin", "skyout")
VEGA_KEYS = {
    "NIRCAM": ("filter", "pupil"),
    "NIRISS": ("filter", "pupil"),
    "MIRI": ("filter",),
    "FGS": ("detector",),
}


class MissingRow(Exception):  # noqa: N818 - an outcome, not an error of the user
    """A reference file has nothing for this mosaic."""


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
    wcs : gwcs.WCS
        0-based pixels to ICRS degrees.
    crpix : (x, y)
        0-based reference pixel, where the direction of North is taken.
    pixel_scale_ratio : float
        Mosaic pixel over detector pixel, linear.
    instrument : dict
        ``name``, ``filter``, ``pupil``, ``detector``, ``subarray``: what selects the rows of
        reference files.
    """

    data: np.ndarray
    err: np.ndarray
    mask: np.ndarray
    wcs: WCS
    crpix: tuple[float, float]
    pixel_scale_ratio: float
    instrument: dict[str, str | None]


@dataclass(frozen=True)
class Catalog:
    """A catalogue, its segmentation map and how the step ended.

    Attributes
    ----------
    table : QTable
        One row a source; no row where there are none.
    segmentation : ndarray of uint32, (ny, nx)
        Label of the source a pixel belongs to, 0 for none.
    status : dict
        ``status`` ("COMPLETE" or "SKIPPED"), ``sources`` (their number) and ``reason`` (why
        there are none, else "").
    """

    table: QTable
    segmentation: np.ndarray
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
    model = open_metadata(i2d)
    catalog = source_catalog(
        read_mosaic(i2d, model), apcorr=apcorr, abvegaoffset=abvegaoffset, **options
    )
    write_catalog(catalog, model, cat, segm)
    return catalog.status


def open_metadata(path: str | Path) -> ImageModel:
    """Open a product's metadata, gWCS too, without its pixels.

    stdatamodels reads every plane when it opens a file. Here each is replaced by one pixel.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    with open_fits(path) as hdus:
        try:
            return ImageModel(fits.HDUList([_without_pixels(hdu) for hdu in hdus]))
        except (OSError, ValueError, TypeError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{path}: cannot be read ({reason}): fetch the file again") from error


def _without_pixels(hdu):
    if not isinstance(hdu, fits.ImageHDU):
        return hdu.copy()
    header = hdu.header
    pixel = np.zeros((1,) * header["NAXIS"], dtype=fits.BITPIX2DTYPE[header["BITPIX"]])
    return fits.ImageHDU(pixel, header)


def read_mosaic(path: str | Path, model: ImageModel) -> Mosaic:
    """Read a mosaic, in Jy.

    Parameters
    ----------
    path : path
        The mosaic, in MJy/sr.
    model : ImageModel
        Its metadata, see `open_metadata`.

    Raises
    ------
    InputError
        SCI, WHT, the unit, the size of a pixel or the gWCS is missing or wrong.
    """
    meta = model.meta
    for unit in (meta.bunit_data, meta.bunit_err or "MJy/sr"):
        if unit != "MJy/sr":
            raise InputError(
                f"{path}: is in {unit}, not MJy/sr: give a mosaic of flux-calibrated exposures"
            )
    pixel_area = meta.photometry.pixelarea_steradians
    if not pixel_area:
        raise InputError(f"{path}: has no PIXAR_SR: give a mosaic of flux-calibrated exposures")
    if meta.wcs is None or meta.wcsinfo.crpix1 is None:
        raise InputError(f"{path}: has no gWCS or no CRPIX: give an _i2d file")
    ratio = meta.resample.pixel_scale_ratio
    if ratio is None:
        log.warning("%s: has no pixel_scale_ratio: apertures as for detector pixels", path)
    with open_fits(path) as hdus:
        mask = _plane(hdus, "WHT", path) == 0
        data = _plane(hdus, "SCI", path)
        err = _plane(hdus, "ERR", path) if "ERR" in hdus else None
    to_jansky = 1e6 * pixel_area
    data *= to_jansky
    if err is None:
        log.warning("%s: has no ERR: the catalogue is without errors", path)
        mask |= np.isnan(data)
        err = np.broadcast_to(np.float32(np.nan), data.shape)
    else:
        mask |= np.isnan(err)
        err *= to_jansky
    names = ("name", "filter", "pupil", "detector")
    return Mosaic(
        data=data,
        err=err,
        mask=mask,
        wcs=meta.wcs,
        crpix=(meta.wcsinfo.crpix1 - 1, meta.wcsinfo.crpix2 - 1),
        pixel_scale_ratio=ratio or 1.0,
        instrument={name: getattr(meta.instrument, name) for name in names}
        | {"subarray": meta.subarray.name},
    )


def _plane(hdus, name, path):
    if name not in hdus or len(hdus[name].shape) != 2:
        raise InputError(f"{path}: has no 2-D {name} extension: give an _i2d file")
    try:
        return np.ascontiguousarray(hdus[name].section[:], dtype=np.float32)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: {name} is cut short: fetch the file again") from error


def source_catalog(
    mosaic: Mosaic,
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
        segments NaN; ``segmentation`` takes `npixels` … `deblend`.

    Returns
    -------
    Catalog
        Without rows, and status COMPLETE, where nothing is found; without rows, and status
        SKIPPED, where a reference file has no row for this mosaic.

    Raises
    ------
    InputError
        A reference file cannot be read, or the encircled energies do not increase.
    """
    energies = (aperture_ee1, aperture_ee2, aperture_ee3)
    if not 0 < aperture_ee1 < aperture_ee2 < aperture_ee3 < 100:
        raise InputError(f"aperture_ee {energies}: not increasing within 1 to 99: change them")
    try:
        apertures = aperture_parameters(
            apcorr, mosaic.instrument, energies, mosaic.pixel_scale_ratio
        )
        offset = vega_offset(abvegaoffset, mosaic.instrument)
    except MissingRow as error:
        log.warning("no catalogue: %s", error)
        unknown = {"aperture_ee": list(energies)}
        return _catalog({}, mosaic, unknown, None, status="SKIPPED", reason=str(error))

    columns, segmentation = {}, None
    reason = f"no source {snr_threshold:g} sigma above the background"
    if not np.any(np.isfinite(mosaic.data) & ~mosaic.mask):
        reason = "no pixel with a value, an error and a weight"
    elif starfinder == "segmentation":
        columns, segmentation = segments(
            mosaic,
            snr_threshold=snr_threshold,
            bkg_boxsize=bkg_boxsize,
            kernel_fwhm=kernel_fwhm,
            npixels=npixels,
            connectivity=connectivity,
            nlevels=nlevels,
            contrast=contrast,
            multithresh_mode=multithresh_mode,
            localbkg_width=localbkg_width,
            apermask_method=apermask_method,
            kron_params=kron_params,
            deblend=deblend,
        )
    else:
        found = find_sources(
            mosaic.data,
            mosaic.mask * np.uint32(DO_NOT_USE),
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
        columns = {"label": found["id"], "xcentroid": found["x"], "ycentroid": found["y"]}
    if not len(columns.get("label", ())):
        log.warning("an empty catalogue: %s", reason)
        return _catalog({}, mosaic, apertures, offset, reason=reason)

    label, x, y = (np.asarray(columns[name]) for name in ("label", "xcentroid", "ycentroid"))
    columns["sky_centroid"] = _sky(mosaic.wcs, x, y)
    columns |= aperture_photometry(mosaic, x, y, apertures)
    columns |= concentration(columns, apertures, (ci1_star_threshold, ci2_star_threshold))
    columns["sharpness"], columns["roundness"] = daofind_shape(mosaic.data, x, y, kernel_fwhm)
    columns["nn_label"], columns["nn_dist"] = nearest_neighbour(label, x, y)
    if "orientation" in columns:
        columns["sky_orientation"] = (180.0 - _north(mosaic) + columns["orientation"]) % 360.0
    log.info("%d sources (%s, %g sigma)", len(label), starfinder, snr_threshold)
    return _catalog(columns, mosaic, apertures, offset, segmentation=segmentation)


def aperture_parameters(
    apcorr: str | Path | None,
    instrument: dict[str, str | None],
    energies: tuple[int, int, int],
    pixel_scale_ratio: float,
) -> dict[str, Any]:
    """Look up the apertures of some encircled energies.

    Parameters
    ----------
    apcorr : path or None
        APCORR reference file.
    instrument : dict
        See `Mosaic`.
    energies : (int, int, int)
        In percent.
    pixel_scale_ratio : float
        Mosaic pixel over detector pixel; the reference file counts detector pixels.

    Returns
    -------
    dict
        ``aperture_ee``, ``aperture_radii`` (mosaic pixels), ``aperture_corrections``,
        ``bkg_aperture_inner_radius`` and ``bkg_aperture_outer_radius``.

    Raises
    ------
    InputError
        The file cannot be read.
    MissingRow
        The file has no row, or more than one, for this instrument and an energy, or more than
        one sky annulus.
    """
    if apcorr is None:
        log.warning("no APCORR file: apertures of 1, 2 and 3 pixels without corrections")
        return DEFAULT_APERTURES
    with open_fits(apcorr) as hdus:
        if "APCORR" not in hdus:
            raise InputError(f"{apcorr}: has no APCORR table: give an APCORR reference file")
        table = Table(hdus["APCORR"].data)
    rows = _rows(table, apcorr, instrument, APCORR_KEYS, APCORR_VALUES)
    percent = np.round(100 * rows["eefraction"])
    matches = [rows[percent == energy] for energy in energies]
    for energy, match in zip(energies, matches, strict=True):
        if len(match) != 1:
            raise MissingRow(f"{apcorr}: {len(match)} rows for {energy} % encircled energy")
    sky = {(float(match["skyin"][0]), float(match["skyout"][0])) for match in matches}
    if len(sky) != 1:
        raise MissingRow(f"{apcorr}: more than one sky annulus for one filter")
    inner, outer = sky.pop()
    return {
        "aperture_ee": list(energies),
        "aperture_radii": [float(match["radius"][0]) / pixel_scale_ratio for match in matches],
        "aperture_corrections": [float(match["apcorr"][0]) for match in matches],
        "bkg_aperture_inner_radius": inner / pixel_scale_ratio,
        "bkg_aperture_outer_radius": outer / pixel_scale_ratio,
    }


def vega_offset(abvegaoffset: str | Path | None, instrument: dict[str, str | None]) -> float:
    """Look up AB magnitude minus Vega magnitude.

    Parameters
    ----------
    abvegaoffset : path or None
        ABVEGAOFFSET reference file.
    instrument : dict
        See `Mosaic`.

    Raises
    ------
    InputError
        The file cannot be read.
    MissingRow
        The file has no row, or more than one, for this instrument.
    """
    if abvegaoffset is None:
        log.warning("no ABVEGAOFFSET file: Vega magnitudes equal AB magnitudes")
        return 0.0
    try:
        with asdf.open(abvegaoffset, lazy_load=False, memmap=False) as tree:
            table = Table(tree["abvega_offset"])
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{abvegaoffset}: holds no table abvega_offset ({error}): "
            "give an ABVEGAOFFSET reference file"
        ) from error
    rows = _rows(table, abvegaoffset, instrument, VEGA_KEYS, ("abvega_offset",))
    if len(rows) > 1:
        raise MissingRow(f"{abvegaoffset}: {len(rows)} rows for one filter")
    return float(rows["abvega_offset"][0])


def _rows(table, path, instrument, keys_of, values):
    """Rows of a reference table for this instrument's set-up."""
    keys = keys_of.get(instrument["name"])
    if keys is None:
        raise MissingRow(f"{path}: is of no use for the instrument {instrument['name']}")
    missing = [name for name in (*keys, *values) if name not in table.colnames]
    if missing:
        raise InputError(
            f"{path}: has no column {', '.join(missing)}: "
            f"give a reference file for {instrument['name']} imaging"
        )
    chosen = np.ones(len(table), dtype=bool)
    for key in keys:
        chosen &= np.char.strip(np.asarray(table[key]).astype(str)) == str(instrument[key])
    if not chosen.any():
        wanted = ", ".join(f"{key} {instrument[key]}" for key in keys)
        raise MissingRow(f"{path}: has no row for {wanted or instrument['name']}")
    return table[chosen]


def segments(
    mosaic: Mosaic,
    *,
    snr_threshold: float,
    bkg_boxsize: int,
    kernel_fwhm: float,
    npixels: int,
    connectivity: int,
    nlevels: int,
    contrast: float,
    multithresh_mode: str,
    localbkg_width: int,
    apermask_method: str,
    kron_params: tuple[float, ...] | None,
    deblend: bool,
) -> tuple[dict[str, Any], np.ndarray | None]:
    """Find sources as connected pixels above a threshold, and measure these.

    Parameters
    ----------
    mosaic : Mosaic
        The image.
    snr_threshold, bkg_boxsize, …
        See `source_catalog`.

    Returns
    -------
    columns : dict
        The columns of the catalogue that come from the segments; none where nothing is found.
    segmentation : ndarray of uint32, (ny, nx), or None
        The segmentation map.
    """
    sky, threshold = background(mosaic.data, mosaic.mask, bkg_boxsize)
    threshold *= snr_threshold
    data = np.subtract(mosaic.data, sky, out=sky)
    smooth = _smooth(data, mosaic.mask, kernel_fwhm)
    finder = SourceFinder(
        npixels,
        connectivity=int(connectivity),
        deblend=deblend,
        n_levels=nlevels,
        contrast=contrast,
        mode=multithresh_mode,
        progress_bar=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoDetectionsWarning)
        found = finder(smooth, threshold, mask=mosaic.mask)
    del threshold
    if found is None:
        return {}, None
    shapes = SourceCatalog(
        data,
        found,
        convolved_data=smooth,
        error=mosaic.err,
        mask=mosaic.mask,
        local_bkg_width=localbkg_width,
        aperture_mask_method=apermask_method,
        kron_params=kron_params or KRON_PARAMS,
    )
    left, right = shapes.bbox_xmin - 0.5, shapes.bbox_xmax + 0.5
    bottom, top = shapes.bbox_ymin - 0.5, shapes.bbox_ymax + 0.5
    columns = {
        "label": shapes.labels,
        "xcentroid": shapes.x_centroid,
        "ycentroid": shapes.y_centroid,
        "isophotal_flux": shapes.segment_flux,
        "isophotal_flux_err": shapes.segment_flux_err,
        "isophotal_area": shapes.area.value,
        "semimajor_sigma": shapes.semimajor_axis.value,
        "semiminor_sigma": shapes.semiminor_axis.value,
        "ellipticity": shapes.ellipticity.value,
        "orientation": shapes.orientation.value,
        "sky_bbox_ll": _sky(mosaic.wcs, left, bottom),
        "sky_bbox_ul": _sky(mosaic.wcs, left, top),
        "sky_bbox_lr": _sky(mosaic.wcs, right, bottom),
        "sky_bbox_ur": _sky(mosaic.wcs, right, top),
    }
    return columns, found.data.view(np.uint32)


def _smooth(data, mask, fwhm):
    """Convolve with a Gaussian, interpolating over masked pixels.

    In pieces, since astropy's convolution takes four times the memory of its image.
    """
    kernel = Gaussian2DKernel(fwhm * gaussian_fwhm_to_sigma)
    margin = kernel.shape[0] // 2
    smooth = np.empty_like(data)
    for start in range(0, len(data), SMOOTHED_ROWS):
        stop = start + SMOOTHED_ROWS
        first = max(start - margin, 0)
        rows = slice(first, stop + margin)
        with warnings.catch_warnings():
            # gaps wider than the kernel stay NaN, which is meant
            warnings.simplefilter("ignore", AstropyUserWarning)
            piece = convolve(data[rows], kernel, mask=mask[rows])
        smooth[start:stop] = piece[start - first :][:SMOOTHED_ROWS]
    return smooth


def aperture_photometry(
    mosaic: Mosaic, x: np.ndarray, y: np.ndarray, apertures: dict[str, Any]
) -> dict[str, np.ndarray]:
    """Sum the light of sources in circles, less the sky in an annulus.

    Parameters
    ----------
    mosaic : Mosaic
        The image.
    x, y : ndarray, (n,)
        Centres in 0-based pixels; NaN gives NaN.
    apertures : dict
        See `aperture_parameters`.

    Returns
    -------
    dict
        ``aper_bkg_flux`` (sky of a pixel), ``aper{ee}_flux`` and ``aper_total_flux``, each with
        its ``_err``, in Jy. The errors of the fluxes leave that of the sky out.
    """
    # photutils takes no NaN centre; this one is off every image
    centres = np.nan_to_num(np.column_stack([x, y]), nan=-1e6)
    inner, outer = (apertures[f"bkg_aperture_{edge}_radius"] for edge in ("inner", "outer"))
    sky, sky_err = _annulus_sky(mosaic.data, CircularAnnulus(centres, inner, outer))
    columns = {"aper_bkg_flux": sky, "aper_bkg_flux_err": sky_err}
    radii = apertures["aperture_radii"]
    for energy, radius in zip(apertures["aperture_ee"], radii, strict=True):
        circle = CircularAperture(centres, radius)
        flux, flux_err = circle.do_photometry(mosaic.data, error=mosaic.err)
        columns[f"aper{energy}_flux"] = flux - sky * circle.area
        columns[f"aper{energy}_flux_err"] = flux_err
    correction = apertures["aperture_corrections"][-1]
    columns["aper_total_flux"] = correction * columns[f"aper{energy}_flux"]
    columns["aper_total_flux_err"] = correction * columns[f"aper{energy}_flux_err"]
    return columns


def _annulus_sky(data, annulus):
    """Return the clipped median in each annulus and its standard error."""
    masks = annulus.to_mask(method="center")
    values = np.full((len(masks), max(int(mask.data.sum()) for mask in masks)), np.nan)
    for row, mask in zip(values, masks, strict=True):
        inside = mask.get_values(data)
        row[: len(inside)] = inside
    with warnings.catch_warnings():
        # annuli off the image, or without a good pixel, give NaN
        warnings.simplefilter("ignore", AstropyUserWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        kept = SigmaClip(3.0)(values, axis=1, masked=False)
        number = np.isfinite(kept).sum(axis=1)
        sky_err = np.sqrt(np.pi / (2 * number)) * np.nanstd(kept, axis=1)
        return np.nanmedian(kept, axis=1), sky_err


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
        The three ``CI_…`` columns and ``is_extended``.
    """
    small, middle, large = apertures["aperture_ee"]
    indices = {}
    for wide, narrow in ((middle, small), (large, middle), (large, small)):
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = columns[f"aper{wide}_flux"] / columns[f"aper{narrow}_flux"]
        indices[f"CI_{wide}_{narrow}"] = ratio
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
    sigma = fwhm * gaussian_fwhm_to_sigma
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
    if len(good) > 1:
        centres = np.column_stack([x[good], y[good]])
        distance, index = KDTree(centres).query(centres, k=[2])
        nn_label[good], nn_dist[good] = label[good[index[:, 0]]], distance[:, 0]
    return nn_label, nn_dist


def _sky(wcs, x, y):
    # the gWCS ends at the edge of the image, where the corners of boxes are
    return SkyCoord(*wcs(x, y, with_bounding_box=False), unit="deg")


def _north(mosaic):
    """Angle from +x to North at the reference pixel, anticlockwise, in degrees."""
    x, y = mosaic.crpix
    ra, dec = mosaic.wcs(x, y, with_bounding_box=False)
    north = mosaic.wcs.invert(ra, dec + 1 / 3600, with_bounding_box=False)
    return np.degrees(np.arctan2(north[1] - y, north[0] - x))


def _catalog(
    columns, mosaic, apertures, offset, *, segmentation=None, status="COMPLETE", reason=""
):
    """Put the columns in order and add magnitudes and metadata; columns not given are NaN."""
    number = len(columns.get("label", ()))
    sums = ("isophotal", "aper_total", *(f"aper{energy}" for energy in apertures["aperture_ee"]))
    for name in sums:
        if f"{name}_flux" in columns:
            mag, mag_err = magnitudes(columns[f"{name}_flux"], columns[f"{name}_flux_err"])
            columns |= {f"{name}_abmag": mag, f"{name}_vegamag": mag - offset}
            columns |= {f"{name}_abmag_err": mag_err, f"{name}_vegamag_err": mag_err}

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
    outcome = {"status": status, "sources": number, "reason": reason}
    table.meta = {
        "versions": versions,
        "aperture_params": apertures,
        "abvega_offset": offset,
        "source_catalog": outcome,
    }
    if segmentation is None:
        segmentation = np.zeros(mosaic.data.shape, dtype=np.uint32)
    return Catalog(table, segmentation, outcome)


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


def write_catalog(catalog: Catalog, model: ImageModel, cat: str | Path, segm: str | Path) -> None:
    """Write a catalogue and its segmentation map.

    Neither file ever stands under its name half written.

    Parameters
    ----------
    catalog : Catalog
        What to write.
    model : ImageModel
        Metadata of the mosaic, for the segmentation map.
    cat, segm : path
        ECSV and FITS.
    """
    cat, segm = Path(cat), Path(segm)
    text = io.StringIO()
    catalog.table.write(text, format="ascii.ecsv")
    with (
        SegmentationMapModel(catalog.segmentation) as product,
        replacing(cat) as cat_file,
        replacing(segm) as segm_file,
    ):
        product.update(model, only="PRIMARY")
        meta = product.meta
        meta.wcs = model.meta.wcs
        meta.wcsinfo = model.meta.wcsinfo.instance
        meta.cal_step.source_catalog = catalog.status["status"]
        meta.snakewebb = {"source_catalog": catalog.status}
        meta.source_catalog = cat.name
        meta.segmentation_map = meta.filename = segm.name
        product.to_fits(segm_file)
        cat_file.write(text.getvalue().encode())
    log.info("wrote %s and %s", cat, segm)
