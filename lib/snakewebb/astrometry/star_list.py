"""The stars of exposures that are aligned with each other, as a reference catalogue for others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from snakewebb.wcs.sphere import from_plane, mean_direction, to_plane, unit_vectors

REACH = 0.1
"""Arcsec: farther from each other are no two detections of a star that does not move."""
UNTOLD = 0.01
"""Error of a position that has none, arcsec."""


def list_stars(
    places: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray | None]],
) -> dict[str, np.ndarray]:
    """Return the mean positions of what two exposures or more see; of one alone, all it sees.

    Parameters
    ----------
    places : sequence of (RA, Dec, error)
        Of the sources of each exposure: degrees, and arcsec of either coordinate or None.

    Returns
    -------
    dict of (n,) arrays
        ``RA``, ``DEC`` (degrees) and ``weight`` (arcsec⁻²). Left out are groups of detections that
        are wider than `REACH`, or hold two of one exposure: which is which is not known.
    """
    filled = [place for place in places if len(place[0])]
    if not filled:
        return {name: np.empty(0) for name in ("RA", "DEC", "weight")}
    ra, dec = (np.concatenate([np.asarray(place[k], float) for place in filled]) for k in (0, 1))
    error = np.concatenate(
        [np.full(len(r), UNTOLD) if e is None else np.asarray(e, float) for r, _, e in filled]
    )
    exposure = np.repeat(np.arange(len(filled)), [len(r) for r, *_ in filled])
    weight = np.where(error > 0, error, UNTOLD) ** -2.0
    centre = mean_direction(unit_vectors(ra, dec))
    points = np.column_stack(to_plane(ra, dec, *centre))
    pairs = KDTree(points).query_pairs(REACH, output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(ra), len(ra)))
    number, star = connected_components(links, directed=False)
    total = np.bincount(star, weight, minlength=number)
    mean = np.column_stack(
        [np.bincount(star, weight * along, minlength=number) / total for along in points.T]
    )
    off = np.hypot(*(points - mean[star]).T)
    width, seen = np.zeros(number), np.zeros(number, int)
    np.maximum.at(width, star, off)
    np.add.at(seen, star, 1)
    visits = np.unique(np.column_stack((star, exposure)), axis=0)[:, 0]
    exposures = np.bincount(visits, minlength=number)
    good = (width <= REACH) & (exposures == seen) & (seen >= min(2, len(filled)))
    east, north = mean[good].T
    ra, dec = from_plane(east, north, *centre)
    return {"RA": np.asarray(ra) % 360.0, "DEC": np.asarray(dec), "weight": total[good]}
