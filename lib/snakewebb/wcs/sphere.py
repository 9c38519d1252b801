"""The sphere: unit vectors, the tangent plane, S_REGION."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

ARCSEC = 180.0 / np.pi * 3600.0


def unit_vectors(ra: ArrayLike, dec: ArrayLike) -> np.ndarray:
    """Return unit vectors (…, 3) towards ``ra``, ``dec`` in degrees."""
    a, d = np.radians(ra), np.radians(dec)
    return np.stack((np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)), axis=-1)


def to_plane(
    ra: ArrayLike, dec: ArrayLike, ra0: float, dec0: float
) -> tuple[np.ndarray, np.ndarray]:
    """Project the sky on the tangent plane at (``ra0``, ``dec0``).

    Parameters
    ----------
    ra, dec : array or float
        Degrees. More than 90 degrees from the tangent point becomes NaN.
    ra0, dec0 : float
        The tangent point, degrees.

    Returns
    -------
    xi, eta : arrays
        Standard coordinates in arcseconds, to the East and to the North. Gnomonic projection,
        Calabretta & Greisen 2002 (A&A 395, 1077), section 5.1.3.
    """
    a, d, d0 = np.radians(np.subtract(ra, ra0)), np.radians(dec), np.radians(dec0)
    z = np.sin(d0) * np.sin(d) + np.cos(d0) * np.cos(d) * np.cos(a)
    z = np.where(z > 0, z, np.nan)
    xi = np.cos(d) * np.sin(a) / z
    eta = (np.cos(d0) * np.sin(d) - np.sin(d0) * np.cos(d) * np.cos(a)) / z
    return xi * ARCSEC, eta * ARCSEC


def from_plane(
    xi: ArrayLike, eta: ArrayLike, ra0: ArrayLike, dec0: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Return RA in [0, 360) and Dec in degrees of points on a tangent plane; see `to_plane`."""
    x, y, d0 = np.asarray(xi) / ARCSEC, np.asarray(eta) / ARCSEC, np.radians(dec0)
    ahead = np.cos(d0) - y * np.sin(d0)
    ra = ra0 + np.degrees(np.arctan2(x, ahead))
    dec = np.degrees(np.arctan2(np.sin(d0) + y * np.cos(d0), np.hypot(x, ahead)))
    ra = np.mod(ra, 360.0)
    return np.where(ra == 360.0, 0.0, ra), dec


def s_region(ra: ArrayLike, dec: ArrayLike) -> str:
    """Return the S_REGION text of a polygon with the given vertices in degrees."""
    vertices = np.column_stack((np.mod(ra, 360.0), dec)).ravel()
    return "POLYGON ICRS  " + " ".join(f"{value:.9f}" for value in vertices)


def mean_direction(vectors: np.ndarray) -> tuple[float, float]:
    """Return RA and Dec, degrees, of the mean of unit vectors."""
    x, y, z = vectors.sum(axis=0)
    return float(np.degrees(np.arctan2(y, x)) % 360), float(
        np.degrees(np.arctan2(z, np.hypot(x, y)))
    )
