"""What one exposure of a product sees: the mosaic's stars, and its sky at a lattice of places."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snakewebb.io.headers import exposure_header
from snakewebb.io.noise_correlation import UNCORRELATED
from snakewebb.io.planes import VARIANCES, has_plane, image_shape, read_planes, total_error
from snakewebb.kernels.photometry import annulus_sky
from snakewebb.kernels.sightings import measure_sky, measure_stars
from snakewebb.mosaicking.sky_overlaps import pixel_finder
from snakewebb.wcs.geometry import Geometry
from snakewebb.wcs.grid import Grid
from snakewebb.wcs.layout import Placement
from snakewebb.wcs.sphere import from_plane

ALONE = UNCORRELATED.kernels, UNCORRELATED.step, 0, 0
"""Of an exposure's pixels, whose noise is their own."""
BAND = 512
"""Rows of an exposure that are read at a time, besides what stars reach beyond."""
NARROWEST = 1.06
"""Standard deviation of the window under which centroids are measured, pixels, at least: the
phase of the pixels shows in a narrower one."""
SMALLEST = 2.5
"""Radius of the aperture, pixels, at least."""
HALF_BOX = 8
"""Pixels from the middle of a square in which the sky is measured to its edge."""
PHASES = 32
"""Places of a star within a pixel."""
PASSES = 50
STEP = 0.05
"""Arcsec over which the scale and orientation of an exposure are found."""


@dataclass(frozen=True)
class Sightings:
    """What an exposure sees.

    Attributes
    ----------
    star : (n,) int
        Which star.
    offset : (n, 2) float64
        By how much it is seen to the East and North of its place in the mosaic, mas.
    offset_err : (n, 2) float64
    flux, flux_err : (n,) float64
        In the aperture; in the exposure's unit, times the area of a pixel if that is an angle.
    place : (m,) int
        Which place of the lattice.
    sky : (m,) float64
        Less what is known of it and would be left out of the mosaic.
    noise : float
        Of a pixel, where the sky is measured.
    """

    star: np.ndarray
    offset: np.ndarray
    offset_err: np.ndarray
    flux: np.ndarray
    flux_err: np.ndarray
    place: np.ndarray
    sky: np.ndarray
    noise: float


@dataclass(frozen=True)
class Places:
    """Places on the sky.

    Attributes
    ----------
    index : (n,) int
        What they are called.
    ra, dec : (n,) float64
        Degrees.
    x, y : (n,) float64
        0-based pixels of the grid that exposures are laid out on.
    """

    index: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    x: np.ndarray
    y: np.ndarray

    @classmethod
    def on(cls, grid: Grid, ra: np.ndarray, dec: np.ndarray) -> Places:
        """Return places on a grid, called by their number."""
        return cls(np.arange(len(ra)), ra, dec, *grid.sky_to_pixel(ra, dec))

    def within(self, placement: Placement) -> Places:
        """Return those that an exposure may see."""
        x0, x1, y0, y1 = placement.bounds
        inside = (self.x >= x0) & (self.x < x1) & (self.y >= y0) & (self.y < y1)
        return Places(*(column[inside] for column in vars(self).values()))

    def chosen(self, index: np.ndarray) -> Places:
        """Return some of them."""
        return Places(*(column[index] for column in vars(self).values()))


def sampling_error(width: float, window: float) -> float:
    """Return by how much a centroid under a Gaussian window is off since pixels are wide, rms.

    Of a Gaussian star, at all phases; an axis at a time, since both are Gaussians. Under half a
    pixel wide a star's place within the pixel does not show (Anderson & King 2000, PASP 112, 1360).

    Parameters
    ----------
    width, window : float
        Standard deviations, pixels.
    """
    phase = (np.arange(PHASES) + 0.5) / PHASES - 0.5
    reach = math.ceil(4.0 * max(width, window)) + 1
    edges = np.arange(-reach, reach + 2)[:, None] - 0.5 - phase
    below = np.reshape([math.erf(e / (math.sqrt(2.0) * width)) for e in edges.flat], edges.shape)
    light, pixel = np.diff(below, axis=0), np.arange(-reach, reach + 1)[:, None]
    centroid = np.zeros(PHASES)
    for _ in range(PASSES):
        weight = np.exp(-0.5 * ((pixel - centroid) / window) ** 2) * light
        centroid = centroid + np.average(pixel - centroid, axis=0, weights=weight)
    return float(np.sqrt(np.mean((centroid - phase) ** 2)))


def look(
    path: str | Path,
    geometry: Geometry,
    stars: Places,
    lattice: Places,
    fwhm: float,
    optics: float | None = None,
) -> Sightings:
    """Measure stars and sky in an exposure.

    Pixels are read in bands of rows, and only of rows that something falls on.

    Parameters
    ----------
    path : path
        The ``_crf``.
    geometry : Geometry
        Its own, corrected.
    stars : Places
    lattice : Places
        Where the sky is measured.
    fwhm : float
        Of stars in the mosaic, arcsec; of no use without stars.
    optics : float, optional
        The same before pixels broaden them, where it is known: positions of undersampled stars
        have errors that pixels' noise does not tell.
    """
    to_pixels = pixel_finder(geometry)
    scale = 3600.0 * geometry.pixel_scale
    sigma = max(fwhm / 2.3548 / scale, NARROWEST)
    radius = max(1.5 * fwhm / scale, SMALLEST)
    inner, outer = 2.5 * radius, 4.0 * radius + 2.0
    stars, places = _on_image(stars, to_pixels, geometry, 0)
    lattice, where = _on_image(lattice, to_pixels, geometry, HALF_BOX)
    measured = np.full((len(places), 6), np.nan)
    level, noise = np.full((2, len(where)), np.nan)
    pad = int(np.ceil(max(outer, HALF_BOX, 4.0 * sigma))) + 2
    height = image_shape(path)[-2]
    for start in range(0, height, BAND):
        stop = min(start + BAND, height)
        here, there = (
            np.flatnonzero((y >= start - 0.5) & (y < stop - 0.5))
            for y in (places[:, 1], where[:, 1])
        )
        if not len(here) + len(there):
            continue
        first = max(start - pad, 0)
        image, err = _read(path, slice(first, min(stop + pad, height)), errors=bool(len(here)))
        x, y = (np.ascontiguousarray(c) for c in (places[here] - (0.0, first)).T)
        sky, sky_err = np.empty((2, len(here)))
        annulus_sky(image, x, y, inner, outer, *ALONE, sky, sky_err)
        values = np.empty((len(here), 6))
        measure_stars(image, err, x, y, sky, sky_err, sigma, radius, values)
        values[:, 3] += first
        measured[here] = values
        x, y = (np.ascontiguousarray(c) for c in (where[there] - (0.0, first)).T)
        levels, noises = np.empty((2, len(there)))
        measure_sky(image, x, y, HALF_BOX, levels, noises)
        level[there], noise[there] = levels, noises
    if optics and len(places):
        blurred = sampling_error(optics / 2.3548 / scale, sigma)
        measured[:, 4:6] = np.hypot(measured[:, 4:6], blurred)
    header = exposure_header(path)
    seen, known = np.isfinite(measured[:, 0]), np.isfinite(level)
    stars, measured = stars.chosen(seen), measured[seen]
    to_sky = _pixels_to_sky(stars, to_pixels)
    # Light of a pixel is its brightness times its area, where it is brightness that is told.
    per_angle = re.search(r"/ *\(?(sr|arcsec)", header.bunit or "")
    area = np.abs(np.linalg.det(to_sky)) if per_angle else np.ones(len(to_sky))
    return Sightings(
        star=stars.index,
        offset=np.einsum("nij,nj->ni", to_sky, measured[:, 2:4] - places[seen]),
        offset_err=np.sqrt(np.einsum("nij,nj->ni", to_sky**2, measured[:, 4:6] ** 2)),
        flux=measured[:, 0] * area,
        flux_err=measured[:, 1] * area,
        place=lattice.index[known],
        sky=level[known] - (header.remaining_sky or 0.0),
        noise=float(np.median(noise[known])) if known.any() else np.nan,
    )


def _pixels_to_sky(stars: Places, to_pixels: Callable) -> np.ndarray:
    """Return matrices (n, 2, 2) from pixels about stars to mas, to the East and North."""
    if not len(stars.ra):
        return np.empty((0, 2, 2))
    columns = []
    for east, north in ((STEP, 0.0), (0.0, STEP)):
        there, back = (
            to_pixels(*from_plane(sign * east, sign * north, stars.ra, stars.dec))
            for sign in (1.0, -1.0)
        )
        columns.append((there - back) / (2000.0 * STEP))
    return np.linalg.inv(np.stack(columns, axis=-1))


def _on_image(
    places: Places, to_pixels: Callable, geometry: Geometry, margin: float
) -> tuple[Places, np.ndarray]:
    """Return places that are on an exposure, within its bounding box, and their pixels (n, 2)."""
    if not len(places.ra):
        return places, np.empty((0, 2))
    pixels = to_pixels(places.ra, places.dec)
    (x0, x1), (y0, y1) = geometry.bounding_box
    x, y = pixels.T
    inside = (x > x0 + margin) & (x < x1 - margin) & (y > y0 + margin) & (y < y1 - margin)
    return places.chosen(inside), pixels[inside]


def _read(path: str | Path, rows: slice, errors: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return some rows of an exposure and of its errors, NaN where there are none."""
    wanted = ("ERR",) if has_plane(path, "ERR") else VARIANCES
    planes = read_planes(path, ("SCI", *(wanted if errors else ())), rows)
    image, err = planes["SCI"], planes.get("ERR")
    if err is None:
        err = total_error({name: planes.get(name) for name in VARIANCES})
    return image, np.full_like(image, np.nan) if err is None else err
