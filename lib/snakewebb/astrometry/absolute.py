"""The fit of exposures to a reference catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from snakewebb.astrometry.alignment import ReferenceFit
from snakewebb.astrometry.joining import MAS, Detections, column_names
from snakewebb.astrometry.matching import Affine, FitError, brightest_apart, match_and_fit, rms
from snakewebb.astrometry.options import AbsoluteMatching
from snakewebb.astrometry.reference import at_epoch, known_stars
from snakewebb.astrometry.rigid import apply_fits
from snakewebb.astrometry.unknowns import KnownStars
from snakewebb.wcs.sphere import to_plane

LEAST_ERROR = 1e-4
"""Arcsec: positions of no catalogue that does not tell its errors are better."""


@dataclass(frozen=True)
class References:
    """A reference catalogue on the plane of the exposures.

    Attributes
    ----------
    points : (n, 2)
        At the mean epoch of the exposures, arcsec.
    columns : dict of (n,) arrays
        See `snakewebb.astrometry.reference.known_stars`.
    plane : (ra0, dec0)
        Degrees.
    epoch : float or None
        Mean of the exposures', decimal year.
    """

    points: np.ndarray
    columns: Mapping[str, np.ndarray]
    plane: tuple[float, float]
    epoch: float | None

    @classmethod
    def of(
        cls, catalogue: Any, plane: tuple[float, float], epoch: float | None, all_count: bool
    ) -> References:
        """Return the entries of a catalogue that are on this side of the sky.

        Unless all count, by how well they are known, those of which the catalogue does not say how
        they move, as it does of others, are left out.
        """
        columns = {n: np.asarray(catalogue[n], float) for n in column_names(catalogue)}
        ra, dec = at_epoch(columns, epoch)
        points = np.column_stack(to_plane(ra, dec, *plane))
        near = np.isfinite(points).all(axis=1)
        if not all_count and epoch is not None and "ref_epoch" in columns:
            near &= np.isfinite(columns.get("pmra", 0.0) + columns.get("pmdec", 0.0))
        columns = {name: column[near] for name, column in columns.items()}
        return cls(points[near], columns, plane, epoch)

    def known(self, stars: np.ndarray, entries: np.ndarray, error: float) -> KnownStars:
        """Return what is known of stars that are entries of the catalogue.

        Parameters
        ----------
        stars, entries : (k,) int
            Numbers of detected stars, and of their entries.
        error : float
            Of positions whose error is not told, arcsec.
        """
        columns = {name: column[entries] for name, column in self.columns.items()}
        spread = np.full(len(entries), max(error, LEAST_ERROR))
        if "weight" in columns:
            counted = columns["weight"] > 0
            stars, spread, weight = stars[counted], spread[counted], columns["weight"][counted]
            columns = {name: column[counted] for name, column in columns.items()}
            spread = spread * np.sqrt(np.median(weight) / weight) if len(weight) else spread
        return KnownStars(stars, *known_stars(columns, self.plane, self.epoch, spread))


def fit_reference(
    detections: Detections,
    inside: np.ndarray,
    maps: list[Affine],
    references: References,
    how: AbsoluteMatching,
) -> tuple[ReferenceFit, Affine | None, tuple[np.ndarray, np.ndarray]]:
    """Fit the stars of an island to the reference catalogue.

    Parameters
    ----------
    detections : Detections
        Of an island of one group ``star`` is set: each is of a star of its own.
    inside : (exposures,) bool
        The island's.
    maps : list of Affine
        Of all exposures.
    references : References
    how : AbsoluteMatching

    Returns
    -------
    end : ReferenceFit
    fit : Affine or None
        To be applied after `maps`.
    stars, entries : (k,) int
        Numbers of the stars that were fitted, and of their entries.
    """
    nothing = np.zeros(0, int), np.zeros(0, int)
    rows = np.flatnonzero(inside[detections.exposure])
    if (detections.star[rows] < 0).all():
        detections.star[rows] = detections.star.max(initial=-1) + 1 + np.arange(len(rows))
    rows = rows[detections.star[rows] >= 0]
    numbers, star = np.unique(detections.star[rows], return_inverse=True)
    if not len(rows):
        return ReferenceFit("FAILED", "abs_refcat: no sources to match", 0), None, nothing
    corrected = apply_fits(maps, detections.points[rows], detections.exposure[rows])
    # Clipped measurements count only where a star has no others.
    used = detections.used[rows]
    count = np.where(np.bincount(star, used)[star] > 0, used, True)
    own = None
    if detections.weight is not None:
        own = np.bincount(star, count * detections.weight[rows])
        count = np.where(own[star] > 0, count * detections.weight[rows], count)
    total = np.bincount(star, count)
    points = np.column_stack([np.bincount(star, c * count) / total for c in corrected.T])
    flux = np.full(len(points), -np.inf)
    np.fmax.at(flux, star, detections.flux[rows])
    apart = brightest_apart(points, flux, how.separation)
    points, own = points[apart], None if own is None else own[apart]
    low, high = points.min(axis=0) - 2 * how.reach, points.max(axis=0) + 2 * how.reach
    near = np.flatnonzero(((references.points >= low) & (references.points <= high)).all(axis=1))
    weight = references.columns["weight"][near] if "weight" in references.columns else None
    places = references.points[near]
    try:
        fit, i, j, kept = match_and_fit(points, places, how, own, weight)
    except FitError as error:
        return ReferenceFit("FAILED", f"abs_refcat: {error}", len(near)), None, nothing
    residual = np.hypot(*(fit(points[i[kept]]) - places[j[kept]]).T)
    end = ReferenceFit("COMPLETE", "", len(near), int(kept.sum()), rms(residual) * MAS)
    return end, fit, (numbers[apart[i]], near[j])
