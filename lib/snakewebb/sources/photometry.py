"""Photometry at positions: apertures, concentration, sharpness."""

from __future__ import annotations

from typing import Any

import numpy as np

from snakewebb.io.noise_correlation import UNCORRELATED, NoiseCorrelation
from snakewebb.kernels.photometry import annulus_sky, circle_errors, circle_sums, nearest
from snakewebb.sources.mosaic import Mosaic, MosaicFile
from snakewebb.sources.segmentation_map import fill_window, windows
from snakewebb.sources.shapes import FWHM_TO_SIGMA

AB_ZERO_POINT = 8.9
STEP = 0.125
"""Pixels by which a circle is moved to see how its sum changes."""
GRID = 1024
"""Parts of a pixel to which its centre is rounded for that: the same in all windows, to the bit."""


def photometry(
    mosaic: Mosaic | MosaicFile,
    x: np.ndarray,
    y: np.ndarray,
    apertures: dict[str, Any],
    fwhm: float,
    spread: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Measure sources at given positions, in windows about as large as a piece.

    Parameters
    ----------
    mosaic : Mosaic or MosaicFile
        The image.
    x, y : ndarray, (n,)
        Centres in 0-based pixels; NaN gives NaN.
    apertures : dict
        See `snakewebb.references.photometry.aperture_parameters`.
    fwhm : float
        See `daofind_shape`.
    spread : ndarray, (n, 3), optional
        See `aperture_photometry`.

    Returns
    -------
    dict
        The columns of `aperture_photometry`, ``sharpness`` and ``roundness``.
    """
    known = [*apertures["aperture_radii"], apertures["bkg_aperture_outer_radius"], 4 + 3 * fwhm]
    reach = int(np.ceil(max(filter(None, known)))) + 2
    centre = np.nan_to_num(np.column_stack([y, y, x, x])).astype(int)
    columns: dict[str, np.ndarray] = {}
    around = centre + np.array([-reach, reach, -reach, reach])
    for window in windows(around, mosaic.shape):
        shape = window.bottom - window.top, window.right - window.left
        data, err = np.empty(shape, np.float32), np.empty(shape, np.float32)
        fill_window(mosaic, window.top, slice(window.left, window.right), (data, err))
        here_x, here_y = x[window.members] - window.left, y[window.members] - window.top
        measured = aperture_photometry(
            data,
            err,
            here_x,
            here_y,
            apertures,
            correlation=mosaic.correlation,
            corner=(window.top, window.left),
            spread=None if spread is None else spread[window.members],
        )
        measured["sharpness"], measured["roundness"] = daofind_shape(data, here_x, here_y, fwhm)
        for name, values in measured.items():
            columns.setdefault(name, np.full(len(x), np.nan))[window.members] = values
    return columns


def aperture_photometry(
    data: np.ndarray,
    err: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    apertures: dict[str, Any],
    *,
    correlation: NoiseCorrelation | None = None,
    corner: tuple[int, int] = (0, 0),
    spread: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Sum the light of sources in circles, less the sky in an annulus.

    Parameters
    ----------
    data, err : ndarray of float32, (ny, nx)
        Image and its errors.
    x, y : ndarray, (n,)
        Centres in 0-based pixels; NaN gives NaN.
    apertures : dict
        See `snakewebb.references.photometry.aperture_parameters`.
    correlation : NoiseCorrelation, optional
        Of the noise, over `err`.
    corner : (row, column), optional
        Of the image's first pixel in the mosaic.
    spread : ndarray, (n, 3), optional
        Variances of x and of y and their covariance, of centres that were measured on the image.

    Returns
    -------
    dict
        ``aper_bkg_flux`` (sky of a pixel), ``aper{ee}_flux`` and ``aper_total_flux``, each with
        its ``_err``, in the unit of `data`. Without those whose aperture is not known. Without
        `correlation`, the errors of the fluxes leave that of the sky out, and the variance of a
        pixel on the edge counts by its area within, as in the reference pipeline.
    """
    radii, corrections = apertures["aperture_radii"], apertures["aperture_corrections"]
    if not any(radii):
        return {}
    sky, sky_err = np.empty((2, len(x)))
    inner, outer = (apertures[f"bkg_aperture_{edge}_radius"] for edge in ("inner", "outer"))
    noise = correlation or UNCORRELATED
    place = noise.kernels, noise.step, *corner
    annulus_sky(data, x, y, inner, outer, *place, sky, sky_err)
    columns = {"aper_bkg_flux": sky, "aper_bkg_flux_err": sky_err}
    for energy, radius, correction in zip(
        apertures["aperture_ee"], radii, corrections, strict=True
    ):
        if radius is None:
            continue
        flux, flux_err = np.empty((2, len(x)))
        circle_sums(data, err, x, y, radius, flux, flux_err)
        if correlation is not None:
            circle_errors(err, x, y, radius, *place, flux_err)
            flux_err = np.hypot(flux_err, sky_err * np.pi * radius**2)
            if spread is not None:
                flux_err = np.hypot(flux_err, _wander(data, x, y, radius, spread))
        columns[f"aper{energy}_flux"] = flux - sky * np.pi * radius**2
        columns[f"aper{energy}_flux_err"] = flux_err
        # That of the largest stays.
        columns["aper_total_flux"] = correction * columns[f"aper{energy}_flux"]
        columns["aper_total_flux_err"] = correction * flux_err
    return columns


def _wander(data, x, y, radius, spread):
    """Find the error of sums in circles that comes of their centres' errors.

    It is independent of that of the pixels within: what moves the centre is odd about it.
    """
    x, y = (np.rint(centre * GRID) / GRID for centre in (x, y))
    slopes = []
    for dx, dy in ((STEP, 0.0), (0.0, STEP)):
        above, below, unused = np.empty((3, len(x)))
        circle_sums(data, data, x + dx, y + dy, radius, above, unused)
        circle_sums(data, data, x - dx, y - dy, radius, below, unused)
        slopes.append((above - below) / (2 * STEP))
    across, up = slopes
    xx, yy, xy = spread.T
    square = across**2 * xx + 2 * across * up * xy + up**2 * yy
    return np.sqrt(np.maximum(np.nan_to_num(square), 0.0))


def magnitudes(flux: np.ndarray, flux_err: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Convert fluxes in Jy to AB magnitudes and their errors; NaN where there is no light."""
    light = np.where(flux > 0, flux, np.nan)
    return AB_ZERO_POINT - 2.5 * np.log10(light), 2.5 / np.log(10) * flux_err / light


def concentration(
    columns: dict[str, np.ndarray], apertures: dict[str, Any], thresholds: tuple[float, float]
) -> dict[str, np.ndarray]:
    """Compare the fluxes in the apertures.

    Parameters
    ----------
    columns : dict
        From `aperture_photometry`.
    apertures : dict
        See `snakewebb.references.photometry.aperture_parameters`.
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
