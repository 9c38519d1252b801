"""FITS WCS keywords that approximate an exposure's WCS: a gnomonic projection with SIP polynomials.

The convention is that of Shupe et al. 2005 (ASP Conf. Ser. 347, 491). Parameters have the meaning
that they have in `gwcs.WCS.to_fits_sip`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from snakewebb.wcs.geometry import Box, Geometry
from snakewebb.wcs.sphere import to_plane

log = logging.getLogger(__name__)

MOST = 6
"""The highest degree of a polynomial that JWST's headers have keywords for."""

FITS_WCS = (
    "wcsaxes",
    *(f"{n}{axis}" for n in ("crpix", "crval", "ctype", "cunit", "cdelt") for axis in (1, 2)),
    *(f"{matrix}{i}_{j}" for matrix in ("pc", "cd") for i in (1, 2) for j in (1, 2)),
    *(f"{n}_order" for n in ("a", "b", "ap", "bp")),
    *(
        f"{n}_{i}_{j}"
        for n in ("a", "b", "ap", "bp")
        for i in range(MOST + 1)
        for j in range(MOST + 1 - i)
    ),
)
"""The attributes of ``meta.wcsinfo`` that make up a FITS WCS. Of the coefficients, JWST's schema
does not have those of constant and linear terms."""

Lattice = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Tells RA and Dec, degrees, at each crossing of 0-based columns and rows."""


def sky_of(geometry: Geometry) -> Lattice:
    """Return the spline through a geometry's nodes."""
    from snakewebb.wcs.grid import Grid
    from snakewebb.wcs.pixel_map import PixelMap  # numba, which few users of this module need

    east_north = ((1.0, 0.0), (0.0, 1.0))
    grid = Grid(geometry.center(), (0.0, 0.0), geometry.pixel_scale, east_north, (2, 2))
    pixel_map = PixelMap(geometry, grid)
    return lambda x, y: grid.pixel_to_sky(*pixel_map.lattice(x, y))


def sip_keywords(
    sky: Lattice,
    bounding_box: Box,
    crpix: Sequence[float | None],
    *,
    max_pix_error: float = 0.01,
    degree: int | None = None,
    max_inv_pix_error: float = 0.01,
    inv_degree: int | None = None,
    npoints: int = 12,
) -> dict[str, Any]:
    """Return FITS-SIP header keywords that approximate a WCS.

    Parameters
    ----------
    sky : callable
        The WCS.
    bounding_box : ((x0, x1), (y0, y1))
        Where to approximate it.
    crpix : (x, y)
        The reference pixel, 1-based; the middle of the box if there is a None.
    max_pix_error, max_inv_pix_error : float, optional
        The degree is as low as these errors, in pixels, allow.
    degree, inv_degree : int, optional
        Of the polynomials, if it is to be another.
    npoints : int, optional
        The polynomials are fitted to so many columns and rows.

    Returns
    -------
    dict
        Values by FITS keyword. If a polynomial of degree 1 will do, it is a plain TAN projection.
    """
    if None in crpix:
        crpix = [float(np.round(np.mean(ends), 1)) + 1 for ends in bounding_box]
    middle = np.subtract(crpix, 1.0)
    crval = [float(c[0, 0]) for c in sky(*(np.array([at]) for at in middle))]
    crval[0] %= 360.0
    x, y = (np.linspace(*ends, npoints) for ends in bounding_box)
    pixels = np.column_stack([c.ravel() for c in np.meshgrid(x - middle[0], y - middle[1])])
    plane = np.column_stack([c.ravel() for c in to_plane(*sky(x, y), *crval)]) / 3600.0
    scale = np.sqrt(abs(np.linalg.det(np.linalg.lstsq(pixels, plane)[0])))
    terms = _fit(pixels, plane / scale, 1, degree, max_pix_error, "SIP")
    cd = scale * np.column_stack((terms.pop((1, 0)), terms.pop((0, 1))))
    keywords: dict[str, Any] = {"WCSAXES": 2}
    for axis, name in enumerate(("RA---TAN", "DEC--TAN")):
        keywords |= {f"CRPIX{axis + 1}": float(crpix[axis]), f"CRVAL{axis + 1}": crval[axis]}
        keywords |= {f"CTYPE{axis + 1}": name, f"CUNIT{axis + 1}": "deg"}
    matrix = {f"{i + 1}_{j + 1}": float(cd[i, j]) for i in range(2) for j in range(2)}
    keywords |= {f"CD{place}": value for place, value in matrix.items()}
    if not terms:
        return keywords
    keywords |= {f"CTYPE{axis}": keywords[f"CTYPE{axis}"] + "-SIP" for axis in (1, 2)}
    to_pixels = np.linalg.inv(cd)
    polynomials = {("A", "B"): {power: scale * to_pixels @ term for power, term in terms.items()}}
    if max_inv_pix_error:
        linear = plane @ to_pixels.T
        inverse = _fit(linear, pixels - linear, 2, inv_degree, max_inv_pix_error, "inverse SIP")
        polynomials["AP", "BP"] = inverse
    for names, polynomial in polynomials.items():
        for axis, name in enumerate(names):
            keywords[f"{name}_ORDER"] = max(map(sum, polynomial), default=1)
            for (i, j), term in polynomial.items():
                keywords[f"{name}_{i}_{j}"] = float(term[axis])
    return keywords


def _fit(
    points: np.ndarray,
    values: np.ndarray,
    lowest: int,
    degree: int | None,
    max_error: float,
    name: str,
) -> dict[tuple[int, int], np.ndarray]:
    """Return the coefficients of two polynomials by the powers of x and y.

    Both `points` and `values` are (n, 2). Terms below the degree `lowest` are left out: SIP has no
    constant ones, and no keywords of JWST for linear ones of the inverse.
    """
    size = np.abs(points).max()
    x, y = points.T / size
    best, least = {}, np.inf
    for highest in range(lowest, MOST + 1) if degree is None else [degree]:
        powers = [
            (i, j) for i in range(highest + 1) for j in range(highest + 1 - i) if lowest <= i + j
        ]
        design = np.column_stack([np.empty((x.size, 0)), *(x**i * y**j for i, j in powers)])
        solution, *_ = np.linalg.lstsq(design, values)
        error = np.hypot(*(values - design @ solution).T).max()
        if error >= least:
            break
        least = error
        best = {p: term / size ** sum(p) for p, term in zip(powers, solution, strict=True)}
        if error <= max_error:
            break
    if least > max_error:
        log.warning("the %s keywords are off by up to %.3g pixels", name, least)
    return best
