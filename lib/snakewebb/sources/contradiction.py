"""Whether the exposures of a mosaic contradict each other about its faint point-like sources.

Outlier detection leaves hits of cosmic rays that are faint in their exposure. In a mosaic of few
exposures they are as significant as faint stars, and undersampled stars are as sharp. But a star is
in all exposures that see its place, and a hit in one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snakewebb.io.bands import in_order
from snakewebb.io.planes import has_plane, map_plane
from snakewebb.kernels import contradiction as kernels
from snakewebb.sources.shapes import FWHM_TO_SIGMA

BRIGHTER = 3.0
"""By more of its standard errors than this a hit is brighter in its exposure than in others."""
WITHOUT = 4.0
"""What is as significant in the other exposures together is there."""
DIFFERENT = 0.2
"""Pixels see such a share more or less of an undersampled star, as it falls on them."""
WINDOW = 0.8
"""FWHM of the Gaussian window in which light is measured, over that of a star in the mosaic, which
is wider than in its exposures."""
RING = (2.5, 4.0)
"""Radii between which the sky is measured, FWHM."""


@dataclass(frozen=True)
class View:
    """An exposure that a mosaic is made of.

    Attributes
    ----------
    path : path
        With the planes SCI, NaN where it is bad, and ERR.
    to_pixels : callable
        Takes x and y (n,) of the mosaic, returns 0-based pixels (n, 2) of the exposure, x first.
    box : (x0, x1, y0, y1)
        What it may see of the mosaic, pixels.
    scale : float
        Side of the mosaic's pixels over its own.
    """

    path: str | Path
    to_pixels: Callable[[np.ndarray, np.ndarray], np.ndarray]
    box: tuple[float, float, float, float]
    scale: float


def in_one_alone(
    views: Sequence[View], x: np.ndarray, y: np.ndarray, fwhm: float, threads: int = 1
) -> np.ndarray:
    """Tell which sources one exposure sees and the others together don't.

    Parameters
    ----------
    views : sequence of View
        Of all exposures.
    x, y : (n,) float64
        Pixels of the mosaic.
    fwhm : float
        Of a star there.
    threads : int, optional
        The result does not depend on it.

    Returns
    -------
    (n,) bool
        False where fewer than two exposures see the place.
    """
    light, weight, best = np.zeros((3, len(x)))
    brightest, error = np.full((2, len(x)), np.nan)

    def measured(view):
        x0, x1, y0, y1 = view.box
        near = np.flatnonzero((x >= x0) & (x < x1) & (y >= y0) & (y < y1))
        return near, *_fluxes(view, x[near], y[near], fwhm * view.scale)

    for near, flux, flux_err in in_order(measured, views, threads):
        seen = np.isfinite(flux)
        near, flux, flux_err = near[seen], flux[seen], flux_err[seen]
        light[near] += flux / flux_err**2
        weight[near] += 1 / flux_err**2
        better = flux / flux_err > best[near]
        near, flux, flux_err = near[better], flux[better], flux_err[better]
        best[near], brightest[near], error[near] = flux / flux_err, flux, flux_err
    with np.errstate(divide="ignore", invalid="ignore"):
        # without the brightest; nothing but rounding is left where there is no other
        others = weight - 1 / error**2
        mean = (light - brightest / error**2) / others
        noise = np.sqrt(error**2 + 1 / others + (DIFFERENT * np.maximum(mean, 0)) ** 2)
        alone = (brightest - mean > BRIGHTER * noise) & (mean * np.sqrt(others) < WITHOUT)
    return alone & (others > 1e-6 * weight)


def _fluxes(view, x, y, fwhm):
    """Return fluxes of stars at some places, and their errors, NaN where too little is seen."""
    out = np.full((len(x), 2), np.nan)
    if len(x) and has_plane(view.path, "ERR"):
        planes = (map_plane(view.path, name) for name in ("SCI", "ERR"))
        words = (np.asarray(plane, ">f4", order="C").view(np.uint32) for plane in planes)
        places = np.ascontiguousarray(view.to_pixels(x, y), float)
        radii = (radius * fwhm for radius in RING)
        kernels.window_fluxes(*words, places, WINDOW * fwhm * FWHM_TO_SIGMA, *radii, out)
    return out.T
