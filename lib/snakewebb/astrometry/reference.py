"""Stars of a reference catalogue: where they are at an epoch, and how well that is known.

Columns have the names and units of Gaia: mas, mas a year, the motion in RA with cos(Dec).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from snakewebb.wcs.sphere import to_plane

MOTIONS = ("pmra", "pmdec", "parallax")
PARAMETERS = ("ra", "dec", "parallax", "pmra", "pmdec")
"""In the order of Gaia's correlations."""
ERRORS = tuple(f"{name}_error" for name in PARAMETERS)
CORRELATIONS = tuple(f"{a}_{b}_corr" for a, b in combinations(PARAMETERS, 2))
UNKNOWN = {"pmra": 10.0, "pmdec": 10.0, "parallax": 2.0}
"""Standard deviations (mas, mas a year) of what is not told of a star: it moves as stars do."""
UNTOLD = {"pmra": 0.5, "pmdec": 0.5, "parallax": 0.5}
"""Of what is told without an error."""
LEAST = 1e-3
"""Standard deviation, mas and mas a year, than which none is less."""
SMALLEST = 1e-4
"""Eigenvalue of a matrix of correlations."""
DISTANCE = 1.01
"""Of the telescope from the Sun over that of the Earth."""


def observer(epoch: np.ndarray | float) -> np.ndarray:
    """Return where the telescope is from the Sun, (…, 3), ICRS, au, at decimal years.

    That of the Earth (Astronomical Almanac, low-precision formulae for the Sun: 0.01 degrees; less
    the precession of the equinox), and a hundredth more. The barycentre is up to 0.01 au beside
    the Sun.
    """
    days = (np.asarray(epoch, float) - 2000.0) * 365.25
    longitude = 280.460 + (0.9856474 - 50.29 / 3600 / 365.25) * days
    anomaly = np.radians(357.528 + 0.9856003 * days)
    ecliptic = np.radians(longitude + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    distance = 1.00014 - 0.01671 * np.cos(anomaly) - 0.00014 * np.cos(2 * anomaly)
    tilt = np.radians(23.439)
    sun = np.stack(
        (np.cos(ecliptic), np.cos(tilt) * np.sin(ecliptic), np.sin(tilt) * np.sin(ecliptic)), -1
    )
    return -DISTANCE * distance[..., None] * sun


def parallax_factors(ra: np.ndarray, dec: np.ndarray, epoch: np.ndarray | float) -> np.ndarray:
    """Return by how much a parallax moves stars to the East and North, (…, 2), in units of it."""
    a, d = np.radians(ra), np.radians(dec)
    x, y, z = np.moveaxis(observer(epoch), -1, 0)
    east = x * np.sin(a) - y * np.cos(a)
    north = x * np.cos(a) * np.sin(d) + y * np.sin(a) * np.sin(d) - z * np.cos(d)
    return np.stack(np.broadcast_arrays(east, north), -1)


def compass(ra: np.ndarray, dec: np.ndarray, ra0: float, dec0: float) -> np.ndarray:
    """Return what East and North at positions are on a tangent plane, (…, 2, 2), in columns."""
    step = 0.1 / 3600.0
    a, d = np.asarray(ra, float), np.asarray(dec, float)
    across = step / np.maximum(np.cos(np.radians(d)), 1e-6)
    sides = []
    for one, other in (((a + across, d), (a - across, d)), ((a, d + step), (a, d - step))):
        ends = (np.stack(to_plane(x, y, ra0, dec0), -1) for x, y in (one, other))
        sides.append(np.subtract(*ends) / (2 * 3600.0 * step))
    return np.stack(sides, -1)


def at_epoch(columns: Mapping[str, np.ndarray], epoch: float | None) -> tuple[np.ndarray, ...]:
    """Return RA and Dec, degrees, of a catalogue's stars at an epoch, as far as it tells.

    Parameters
    ----------
    columns : mapping of (n,) arrays
        ``RA``, ``DEC`` (degrees) and perhaps ``ref_epoch``, ``pmra``, ``pmdec``, ``parallax``.
    epoch : float or None
        Decimal year; None, or no ``ref_epoch``: positions are of the epoch, as they are seen.
    """
    ra, dec = (np.asarray(columns[name], float) for name in ("RA", "DEC"))
    if not _is_dated(columns, epoch):
        return ra, dec
    pmra, pmdec, parallax = _motions(columns)
    years = epoch - np.asarray(columns["ref_epoch"], float)
    move = np.stack((pmra, pmdec), -1) * years[:, None]
    move += parallax[:, None] * parallax_factors(ra, dec, epoch)
    east, north = move.T / 3.6e6
    return (ra + east / np.cos(np.radians(dec))) % 360.0, dec + north


def known_stars(
    columns: Mapping[str, np.ndarray],
    plane: tuple[float, float],
    epoch: float | None,
    error: float | np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return what a catalogue knows of its stars.

    Parameters
    ----------
    columns : mapping of (n,) arrays
        See `at_epoch`; and perhaps standard errors (``ra_error``) and correlations
        (``ra_dec_corr``). What is not told of a star is as it is among stars, not 0.
    plane : (ra0, dec0)
        The tangent point, degrees.
    epoch : float or None
        Of the result, decimal year.
    error : float or (n,) array
        Of positions whose error is not told, either axis, arcsec.

    Returns
    -------
    mean : (n, 5)
        East, North (arcsec), proper motions (arcsec a year), parallax (arcsec).
    covariance : (n, 5, 5)
    """
    ra, dec = (np.asarray(columns[name], float) for name in ("RA", "DEC"))
    n = len(ra)
    nothing = np.full(n, np.nan)
    dated = _is_dated(columns, epoch)
    sigma, told = np.empty((n, 5)), np.ones((n, 5), bool)
    sigma.T[:2] = 1000.0 * np.asarray(error)
    for k, name in enumerate(PARAMETERS):
        if name in UNKNOWN:
            # an error of what is not told, or of no epoch, is that of nothing
            told[:, k] = dated & np.isfinite(np.asarray(columns.get(name, nothing), float))
            sigma[:, k] = np.where(told[:, k], UNTOLD[name], UNKNOWN[name])
        given = np.asarray(columns.get(f"{name}_error", nothing), float)
        known = told[:, k] & np.isfinite(given)
        sigma[:, k] = np.where(known, np.maximum(given, LEAST), sigma[:, k])
    correlation = np.tile(np.eye(5), (n, 1, 1))
    for (i, a), (j, b) in combinations(enumerate(PARAMETERS), 2):
        given = np.asarray(columns.get(f"{a}_{b}_corr", nothing), float)
        given = np.where(told[:, i] & told[:, j], np.nan_to_num(given), 0.0)
        correlation[:, i, j] = correlation[:, j, i] = given
    # Correlations that cannot be true together are left out.
    correlation[np.linalg.eigvalsh(correlation)[:, 0] < SMALLEST] = np.eye(5)
    order = [0, 1, 3, 4, 2]  # positions, motions, parallax
    covariance = (correlation * sigma[:, :, None] * sigma[:, None, :])[:, order][:, :, order] / 1e6
    turn = np.zeros((n, 5, 5))
    turn[:, :2, :2] = turn[:, 2:4, 2:4] = compass(ra, dec, *plane)
    turn[:, 4, 4] = 1.0
    mean = np.zeros((n, 5))
    mean[:, :2] = np.stack(to_plane(ra, dec, *plane), -1)
    along = np.tile(np.eye(5), (n, 1, 1))
    if dated:
        own = np.stack(_motions(columns), -1) / 1000.0
        mean[:, 2:] = np.einsum("nij,nj->ni", turn[:, 2:, 2:], own)
        years = epoch - np.asarray(columns["ref_epoch"], float)
        along[:, 0, 2] = along[:, 1, 3] = years
    covariance = turn @ covariance @ turn.swapaxes(1, 2)
    mean = np.einsum("nij,nj->ni", along, mean)
    return mean, along @ covariance @ along.swapaxes(1, 2)


def _is_dated(columns, epoch):
    """Return whether positions and motions are of a time that is known as the other is."""
    return epoch is not None and "ref_epoch" in columns


def _motions(columns):
    """Return proper motions and parallaxes, 0 where they are not told."""
    n = len(columns["RA"])
    found = (np.asarray(columns.get(name, np.zeros(n)), float) for name in MOTIONS)
    return tuple(np.nan_to_num(column) for column in found)
