"""Contrast about a star: noise, point sources, and what the subtraction of the PSF takes of them.

The flux of a point source at a place is that which fits the image best there: the image summed
with the core of the PSF as weight. Noise at a separation is the scatter of such fluxes at places a
resolution element apart on the ring. What the reduction lets pass is measured: sources are added to
the exposures, and these are reduced once more, in the same way. A source that was found is taken
away from where it is: with other rolls as references, the share that is subtracted of it falls as
it gets brighter, so that a second one of its flux added to it would come through too well.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from astropy.table import Table
from scipy.ndimage import map_coordinates

from snakewebb.coronagraphy.contrast_tables import CURVE_COLUMNS, SOURCE_COLUMNS, describe
from snakewebb.coronagraphy.detection import Detections, detect, without_source
from snakewebb.coronagraphy.frame import Frame
from snakewebb.coronagraphy.injection import Cubes, Reduce, throughput
from snakewebb.coronagraphy.noise import Rings, flux_map, small_sample_penalty
from snakewebb.coronagraphy.psf import PointSpread
from snakewebb.wcs.grid import Grid
from snakewebb.wcs.sphere import ARCSEC

log = logging.getLogger(__name__)

TELESCOPE = 6.5
"""Diameter that λ/D refers to, metres; that of JWST's documents."""
SIGMA = 5.0
"""Of the contrast curve, and of detections."""
LADDER = 8
BRANCHES = 5
"""Throughput is measured at so many separations, so many position angles each."""
REMOVALS = 2
"""A found source is taken away so often, each time with the flux that the last gave."""
LEAST_KEPT = 0.2
"""Its flux is corrected by no more than this fraction before."""
WHOLE = 0.95
"""Part of the farthest of these rings that has to have data; beyond, its throughput holds."""
GOLDEN = 137.508
"""Degrees from one separation's companions to those of the next: no two lie in a row."""


class Unmeasurable(Exception):  # noqa: N818 - an outcome, not an error of the user
    """The data do not tell a contrast; the message says why."""


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
        tables = [
            Table({name: np.empty(0) for name in names})
            for names in (CURVE_COLUMNS, SOURCE_COLUMNS)
        ]
        for table in tables:
            describe(table, {"sigma": SIGMA, "headline_truncate": int(truncate[0])}, True)
        return cls(*tables, np.full(shape, np.nan, np.float32))


def measure_contrast(
    reduce: Reduce,
    combine: Callable[[Cubes], np.ndarray],
    cubes: Cubes,
    frames: Sequence[Frame],
    psf: PointSpread,
    grid: Grid,
    star: tuple[float, float],
    *,
    wavelength: float,
    truncate: Sequence[int],
    star_jansky: float | None = None,
    transmission: np.ndarray | None = None,
    pixfrac: float = 1.0,
) -> Contrast:
    """Measure noise, throughput and point sources.

    Parameters
    ----------
    reduce : callable
        From the exposures' cubes to the combined image with the star's light subtracted, one for
        each of `truncate`: (T, ny, nx).
    combine : callable
        The same without the subtraction, see `combiner`: (ny, nx).
    cubes : sequence of (n, ny, nx) arrays
        Exposures of the target, repaired, MJy/sr.
    frames : sequence of Frame
        Theirs.
    psf : PointSpread
        Of a companion, at their pixels.
    grid : Grid
        The combined image's.
    star : (RA, Dec)
        Degrees.
    wavelength : float
        Metres.
    truncate : sequence of int
        The first is the headline.
    star_jansky : float, optional
        The star's flux without the mask. Without it limits are the brightness of a companion's
        central pixel in MJy/sr.
    transmission : (ny, nx) array, optional
        Of the coronagraph, on the exposures' pixels, for an off-axis source. Limits and contrasts
        are divided by it.
    pixfrac : float, optional
        With which exposures are drizzled.

    Returns
    -------
    Contrast

    Raises
    ------
    Unmeasurable
        No ring about the star has data.
    """
    frame = Frame.of_grid(grid, *star)
    image_psf = psf.drizzled(pixfrac, frame.pixel_scale / frames[0].pixel_scale)
    fwhm = image_psf.fwhm
    images = np.asarray(reduce(cubes), np.float64)
    detections = detect(images[0], frame.center, image_psf, threshold=SIGMA)

    element = wavelength / TELESCOPE * ARCSEC
    reach = np.hypot(*grid.shape) * frame.pixel_scale
    separation = element * np.arange(1.0, reach / element)
    radius = separation / frame.pixel_scale
    places = np.floor(2 * np.pi * radius / fwhm)
    profiles = []
    for k, image in enumerate((np.asarray(combine(cubes)), *images)):
        flux = flux_map(image, image_psf)
        for source in detections.sources if k else ():
            flux, _ = without_source(
                flux, detections.mask, frame.center, image_psf, source.x, source.y
            )
        profiles.append(Rings(flux, frame.center, fwhm, detections.mask).noise(radius))
    n = profiles[1][1]
    last = np.flatnonzero(n < places / 2)
    last = last[last > np.argmax(n > places / 2)][:1]
    use = np.arange(len(n)) < (last[0] if last.size else len(n))
    use &= n >= 3
    if not use.any():
        raise Unmeasurable("no ring about the star has data")
    separation, n = separation[use], n[use]
    noise = np.array([profile[0][use] for profile in profiles]) * frame.jansky
    penalty = small_sample_penalty(n)

    whole = separation[n > WHOLE * places[use]]
    ladder = np.geomspace(separation[0], whole[-1] if whole.size else separation[0], LADDER)
    companions = [
        (s, (GOLDEN * k + 360 / BRANCHES * branch) % 360, SIGMA * f)
        for k, (s, f) in enumerate(
            zip(ladder, np.interp(ladder, separation, noise[1]), strict=True)
        )
        for branch in range(BRANCHES)
    ]
    sources = [
        (*frame.polar(source.x, source.y), source.flux * frame.jansky)
        for source in detections.sources
    ]
    setting = cubes, frames, psf, frame, image_psf
    with _quiet():
        combined, seen = (throughput(combine, *setting, each) for each in (companions, sources))
        fractions = throughput(reduce, *setting, companions) / combined[:, None]
        kept = seen
        for _ in range(REMOVALS if sources else 0):
            least = np.maximum(np.nan_to_num(kept, nan=1.0), LEAST_KEPT)
            places = [
                (s, pa, -flux / part) for (s, pa, flux), part in zip(sources, least, strict=True)
            ]
            kept = throughput(reduce, *setting, places)[:, 0]
    algorithm = fractions.reshape(LADDER, BRANCHES, len(truncate))
    response = float(np.nanmean(combined))
    log.info("a companion's flux before the subtraction: %.4f of the truth", response)

    through = np.array([np.mean(_transmission(transmission, frames, s)) for s in separation])
    unit = star_jansky if star_jansky else frame.jansky / image_psf.peak
    tables = []
    for k, number in enumerate(truncate):
        passed, scatter = (
            np.interp(np.log(separation), np.log(ladder), values)
            for values in (
                np.nanmean(algorithm[..., k], axis=1),
                np.nanstd(algorithm[..., k], axis=1, ddof=1),
            )
        )
        raw = penalty * noise[1 + k] / response
        with np.errstate(divide="ignore"):
            limit = raw / np.where(passed > 0, passed, np.nan) / through
        tables.append(
            {
                "truncate": np.full(len(separation), number),
                "separation": separation,
                "separation_ld": separation / element,
                "n": n,
                "noise": noise[1 + k] / response,
                "before": penalty * noise[0] / response / unit,
                "raw": raw / unit,
                "throughput": passed,
                "throughput_err": scatter,
                "transmission": through,
                "contrast": limit / unit,
                "limit": limit,
            }
        )
    meta = {
        "quantity": "contrast" if star_jansky else "brightness of a companion's central pixel",
        "sigma": SIGMA,
        "star_flux_Jy": star_jansky,
        "wavelength_m": wavelength,
        "fwhm_arcsec": fwhm * frame.pixel_scale,
        "star_xy": list(frame.center),
        "headline_truncate": int(truncate[0]),
        "response": response,
        "coronagraph_transmission": "from the given map"
        if transmission is not None
        else "not given: 1",
    }
    curve = Table({name: np.concatenate([t[name] for t in tables]) for name in CURVE_COLUMNS})
    describe(curve, meta, bool(star_jansky))
    found = _sources(
        detections,
        kept / seen,
        seen,
        frame,
        grid,
        element,
        unit,
        transmission,
        frames,
    )
    describe(found, meta, bool(star_jansky))
    return Contrast(curve, found, detections.snr.astype(np.float32))


def _sources(
    detections: Detections,
    algorithm: np.ndarray,
    response: np.ndarray,
    frame: Frame,
    grid: Grid,
    element: float,
    unit: float,
    transmission: np.ndarray | None,
    frames: Sequence[Frame],
) -> Table:
    """Return the table of point sources, brightnesses in units of ``unit`` Jy."""
    rows = []
    for source, passed, seen in zip(detections.sources, algorithm, response, strict=True):
        separation, pa = frame.polar(source.x, source.y)
        through = float(np.mean(_transmission(transmission, frames, separation, [pa])))
        scale = frame.jansky / (passed * seen * through)
        ra, dec = grid.pixel_to_sky(source.x, source.y)
        rows.append(
            {
                "separation": separation,
                "separation_ld": separation / element,
                "pa": pa,
                "contrast": source.flux * scale / unit,
                "contrast_err": source.flux_err * scale / unit,
                "flux": source.flux * scale,
                "flux_err": source.flux_err * scale,
                "snr": source.snr,
                "significance": source.significance,
                "likeness": source.likeness,
                "throughput": passed,
                "transmission": through,
                "x": source.x,
                "y": source.y,
                "ra": float(ra),
                "dec": float(dec),
            }
        )
    return Table({name: np.array([row[name] for row in rows], float) for name in SOURCE_COLUMNS})


def _transmission(
    image: np.ndarray | None,
    frames: Sequence[Frame],
    separation: float,
    pas: Sequence[float] = tuple(range(0, 360, 10)),
) -> np.ndarray:
    """Return a coronagraph's transmission at a separation, for each exposure and angle."""
    if image is None:
        return np.ones(1)
    places = np.array([frame.place(separation, pa) for frame in frames for pa in pas])
    return map_coordinates(image, places.T[::-1], order=1, mode="nearest")


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
