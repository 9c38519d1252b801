"""Contrast about a star: noise, point sources, and what the subtraction of the PSF takes of them.

The flux of a point source at a place is that which fits the image best there: the image summed
with the core of the PSF as weight. Noise at a separation is the scatter of such fluxes at places a
resolution element apart on the ring. What the reduction lets pass is measured: sources are added to
the exposures, and these are reduced once more, in the same way.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from astropy.table import Table

from snakewebb.coronagraphy.contrast_tables import (
    CURVE_COLUMNS,
    SOURCE_COLUMNS,
    describe,
    limit_table,
    source_table,
)
from snakewebb.coronagraphy.detection import detect
from snakewebb.coronagraphy.injection import Reduction
from snakewebb.coronagraphy.noise_curve import noise_curve
from snakewebb.coronagraphy.scene import Scene
from snakewebb.coronagraphy.throughput import companion_throughput, throughput_curve
from snakewebb.wcs.sphere import ARCSEC

log = logging.getLogger(__name__)

TELESCOPE = 6.5
"""Diameter that λ/D refers to, metres; that of JWST's documents."""
SIGMA = 5.0
"""Of the contrast curve, and of detections."""


@dataclass(frozen=True)
class Contrast:
    """What a coronagraphic observation shows, and could have shown.

    Attributes
    ----------
    curve : Table
        A row for each separation and `truncate`.
    sources : Table
        A row for each point source.
    snr : (ny, nx) float32
        Of the image with the first `truncate`.
    """

    curve: Table
    sources: Table
    snr: np.ndarray

    @classmethod
    def unknown(cls, shape: tuple[int, int], truncate: Sequence[int]) -> Contrast:
        """Make one of which nothing is known: tables without rows, a map without numbers."""
        curve, sources = (
            Table({name: np.empty(0) for name in names})
            for names in (CURVE_COLUMNS, SOURCE_COLUMNS)
        )
        for table in (curve, sources):
            describe(table, {"sigma": SIGMA, "headline_truncate": int(truncate[0])}, True)
        return cls(curve, sources, np.full(shape, np.nan, np.float32))


def measure_contrast(
    reduce: Reduction,
    combine: Reduction,
    scene: Scene,
    *,
    wavelength: float,
    truncate: Sequence[int],
    star_jansky: float | None = None,
) -> Contrast:
    """Measure noise, throughput and point sources.

    Parameters
    ----------
    reduce : Reduction
        From the exposures' cubes to the combined image with the star's light subtracted, one for
        each of `truncate`: (T, ny, nx).
    combine : Reduction
        The same without the subtraction, see `snakewebb.coronagraphy.combine.combiner`: (ny, nx).
    scene : Scene
        Limits and contrasts are divided by its transmission.
    wavelength : float
        Metres.
    truncate : sequence of int
        The first is the headline.
    star_jansky : float, optional
        The star's flux without the mask. Without it limits are the brightness of a companion's
        central pixel in MJy/sr.

    Raises
    ------
    Unmeasurable
        See `snakewebb.coronagraphy.noise_curve.noise_curve`.
    """
    frame, psf = scene.frame, scene.image_psf
    images = np.asarray(reduce(scene.cubes), np.float64)
    detections = detect(images[0], frame.center, psf, threshold=SIGMA)
    element = wavelength / TELESCOPE * ARCSEC
    curve = noise_curve(scene, np.asarray(combine(scene.cubes)), images, detections, element)
    with _quiet():
        through = throughput_curve(reduce, combine, scene, curve, SIGMA)
        kept, seen = companion_throughput(reduce, combine, scene, detections)
    log.info("a companion's flux before the subtraction: %.4f of the truth", through.response)
    unit = star_jansky if star_jansky else frame.jansky / psf.peak
    limits = limit_table(scene, curve, through, truncate=truncate, element=element, unit=unit)
    sources = source_table(scene, detections, kept, seen, element=element, unit=unit)
    meta = {
        "quantity": "contrast" if star_jansky else "brightness of a companion's central pixel",
        "sigma": SIGMA,
        "star_flux_Jy": star_jansky,
        "wavelength_m": wavelength,
        "fwhm_arcsec": psf.fwhm * frame.pixel_scale,
        "star_xy": list(frame.center),
        "headline_truncate": int(truncate[0]),
        "response": through.response,
        "coronagraph_transmission": "not given: 1"
        if scene.transmission is None
        else "from the given map",
    }
    for table in (limits, sources):
        describe(table, meta, bool(star_jansky))
    return Contrast(limits, sources, detections.snr.astype(np.float32))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the reductions' messages, which were written once, from being repeated."""
    logger = logging.getLogger("snakewebb")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
