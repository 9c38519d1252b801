"""Stars and galaxies on the sky, and their picture on a detector."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from astropy.table import Table
from scipy.interpolate import RectBivariateSpline
from scipy.special import j0

from snakewebb.wcs.geometry import Correction
from snakewebb.wcs.sphere import from_plane, to_plane, unit_vectors

if TYPE_CHECKING:
    import gwcs
    from numpy.typing import ArrayLike

    from snakewebb.simulate.psf import Psf

SERSIC_INDICES = (1.0, 1.5, 2.5, 4.0)
SERSIC_CUT = 5.0
"""Sersic profiles end at this many half-light radii of the uncut profile."""


def random_catalog(
    rng: np.random.Generator,
    center: tuple[float, float],
    size: tuple[float, float],
    *,
    stars: int,
    galaxies: int,
    faintest: float,
    dynamic_range: float = 3000.0,
    slope: float = 0.6,
) -> Table:
    """Draw stars and galaxies uniformly on a rectangle of the sky.

    Parameters
    ----------
    rng : Generator
    center : (ra, dec)
        Degrees.
    size : (width, height)
        Of the rectangle on the tangent plane, arcsec.
    stars, galaxies : int
        How many.
    faintest : float
        Jy.
    dynamic_range : float
        Brightest over faintest flux.
    slope : float
        The number brighter than S goes as S**-slope.

    Returns
    -------
    Table
        As from `catalog`.
    """
    n = stars + galaxies
    xi, eta = ((rng.random(n) - 0.5) * side for side in size)
    ra, dec = from_plane(xi, eta, *center)
    u = rng.random(n) * (1 - dynamic_range**-slope)
    flux = faintest * (1 - u) ** (-1 / slope)
    is_galaxy = np.arange(n) >= stars
    flux[is_galaxy] *= 3
    radius = 0.12 * (flux / faintest) ** 0.2 * np.exp(0.3 * rng.standard_normal(n))
    return catalog(
        ra,
        dec,
        flux,
        type=np.where(is_galaxy, "galaxy", "star"),
        radius=np.where(is_galaxy, radius, 0.0),
        axis_ratio=np.where(is_galaxy, rng.uniform(0.25, 1.0, n), 1.0),
        position_angle=np.where(is_galaxy, rng.uniform(0.0, 180.0, n), 0.0),
        sersic=np.where(is_galaxy, rng.choice(SERSIC_INDICES, n), 0.0),
    )


def catalog(
    ra: ArrayLike,
    dec: ArrayLike,
    flux: ArrayLike,
    *,
    type: ArrayLike = "star",  # noqa: A002 - the column's name
    radius: ArrayLike = 0.0,
    axis_ratio: ArrayLike = 1.0,
    position_angle: ArrayLike = 0.0,
    sersic: ArrayLike = 0.0,
) -> Table:
    """Return a catalogue of given sources, stars by default.

    Parameters
    ----------
    ra, dec : (n,)
        Degrees.
    flux : (n,)
        Jy.
    type : (n,) or str
        "galaxy", or any other word for what is a point.
    radius : (n,) or float
        Half-light radius of a galaxy along the major axis, arcsec.
    axis_ratio, position_angle : (n,) or float
        Minor over major axis; angle of the major axis in degrees, East of North.
    sersic : (n,) or float
        One of ``SERSIC_INDICES``.

    Returns
    -------
    Table
        The arguments as columns with units, besides ``id`` and ``abmag``.
    """
    flux = np.asarray(flux, dtype=float)
    n = len(flux)
    columns = {
        "id": np.arange(1, n + 1),
        "ra": np.asarray(ra, dtype=float),
        "dec": np.asarray(dec, dtype=float),
        "flux": flux,
        "abmag": -2.5 * np.log10(flux / 3631),
        "type": np.broadcast_to(type, n),
        "radius": np.broadcast_to(radius, n),
        "axis_ratio": np.broadcast_to(axis_ratio, n),
        "position_angle": np.broadcast_to(position_angle, n),
        "sersic": np.broadcast_to(sersic, n),
    }
    units = {"ra": "deg", "dec": "deg", "flux": "Jy", "radius": "arcsec", "position_angle": "deg"}
    return Table(columns, units=units)


def locate(
    wcs: gwcs.WCS,
    shape: tuple[int, int],
    ra: np.ndarray,
    dec: np.ndarray,
    truth: Correction,
    margin: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Find where on a detector sources fall.

    Parameters
    ----------
    wcs : gwcs.WCS
        As believed.
    shape : (ny, nx)
    ra, dec : (n,)
        Degrees.
    truth : Correction
        From believed to true sky positions of the pixels; its tangent point is near the field.
    margin : float
        Sources farther than this from the detector (pixels) are left out.

    Returns
    -------
    index : (m,) int
        The sources near the detector.
    x, y : (m,)
        0-based pixel coordinates.
    jacobian : (m, 2, 2)
        d(xi, eta) / d(x, y), arcsec a pixel.
    """
    plane = (truth.ra0, truth.dec0)

    offsets = np.array([(0, 0), (0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5)])

    def forward(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the tangent-plane positions (n, 2) of pixels and their slopes (n, 2, 2)."""
        dx, dy = offsets[:, :, None].swapaxes(0, 1)
        sky = wcs(x + dx, y + dy, with_bounding_box=False)
        here, right, left, up, down = np.stack(to_plane(*truth.apply(*sky), *plane), axis=-1)
        return here, np.stack((right - left, up - down), axis=-1)

    ny, nx = shape
    middle = np.array([[(nx - 1) / 2], [(ny - 1) / 2]])
    target = np.stack(to_plane(np.asarray(ra), np.asarray(dec), *plane), axis=-1)
    here, jacobian = forward(*middle)
    x, y = np.linalg.solve(jacobian[0], (target - here).T) + middle
    # the linear guess is off by at most a few percent of the distance from the middle
    slack = margin + 0.05 * max(shape)
    near = np.abs(x - middle[0]) < nx / 2 + slack
    near &= np.abs(y - middle[1]) < ny / 2 + slack
    index = np.flatnonzero(near)
    x, y, target = x[index], y[index], target[index]
    for _ in range(4):
        here, jacobian = forward(x, y)
        step = np.linalg.solve(jacobian, (target - here)[..., None])[..., 0]
        x, y = x + step[:, 0], y + step[:, 1]
    inside = (x > -margin) & (x < nx - 1 + margin) & (y > -margin) & (y < ny - 1 + margin)
    return index[inside], x[inside], y[inside], jacobian[inside]


def pixel_area(wcs: gwcs.WCS, shape: tuple[int, int]) -> np.ndarray:
    """Return the solid angle of every pixel, (ny, nx) float32, steradians."""
    ny, nx = shape
    y, x = (np.linspace(-0.5, n - 0.5, 17) for n in shape)
    X, Y = np.meshgrid(x, y)

    def vector(dx: float, dy: float) -> np.ndarray:
        return unit_vectors(*wcs(X + dx, Y + dy, with_bounding_box=False))

    along_x = vector(0.5, 0) - vector(-0.5, 0)
    along_y = vector(0, 0.5) - vector(0, -0.5)
    nodes = np.linalg.norm(np.cross(along_x, along_y), axis=-1)
    scale = nodes.mean()
    spline = RectBivariateSpline(y, x, nodes / scale, s=0)
    return (spline(np.arange(ny), np.arange(nx)) * scale).astype(np.float32)


def paint(
    sources: Table,
    wcs: gwcs.WCS,
    area: np.ndarray,
    psf: Psf,
    truth: Correction,
) -> np.ndarray:
    """Paint a catalogue as a detector sees it, without noise.

    Parameters
    ----------
    sources : Table
        As from `catalog`.
    wcs : gwcs.WCS
        As believed.
    area : (ny, nx)
        Pixel solid angles, from `pixel_area`.
    psf : Psf
    truth : Correction
        From believed to true sky positions of the pixels; its tangent point is near the field.

    Returns
    -------
    (ny, nx) float32
        Surface brightness, MJy/sr.
    """
    image = np.zeros(area.shape, np.float32)
    index, x, y, jacobian = locate(
        wcs, area.shape, sources["ra"].data, sources["dec"].data, truth, psf.size / 2
    )
    for row, xc, yc, slopes in zip(sources[index], x, y, jacobian, strict=True):
        size = psf.size
        shape: np.ndarray | float = 1.0
        if row["type"] == "galaxy":
            ellipse = np.linalg.inv(slopes) @ _axes(row)
            reach = SERSIC_CUT * np.linalg.norm(ellipse, axis=0).max() + psf.size / 4
            size = max(psf.size, 2 ** int(np.ceil(np.log2(2 * reach))))
            ky, kx = psf.frequencies(size)
            u, v = (ellipse[0, i] * kx + ellipse[1, i] * ky for i in (0, 1))
            shape = _sersic(float(row["sersic"]), np.hypot(u, v))
        xi, yi = int(np.rint(xc)), int(np.rint(yc))
        stamp = psf.stamp(size, xc - xi, yc - yi, shape)
        _add(image, stamp * (row["flux"] * 1e-6), xi - size // 2, yi - size // 2)
    return image / area


def _axes(row: Table.Row) -> np.ndarray:
    """Return a galaxy's half-light semi-axes as columns (xi, eta), arcsec."""
    angle = np.radians(row["position_angle"])
    major = np.array([np.sin(angle), np.cos(angle)])
    minor = np.array([np.cos(angle), -np.sin(angle)]) * row["axis_ratio"]
    return np.stack((major, minor), axis=-1) * row["radius"]


def _sersic(index: float, k: np.ndarray) -> np.ndarray:
    """Return the Fourier transform of a round Sersic profile of flux 1; k per half-light radius."""
    grid, values = _sersic_table(index)
    return np.interp(k, grid, values)


@cache
def _sersic_table(index: float) -> tuple[np.ndarray, np.ndarray]:
    # Ciotti & Bertin 1999 (A&A 352, 447), eq. 18
    b = 2 * index - 1 / 3 + 4 / (405 * index) + 46 / (25515 * index**2)
    t = (np.arange(4000) + 0.5) / 4000
    r = SERSIC_CUT * t**4
    weight = np.exp(-b * r ** (1 / index)) * r * 4 * SERSIC_CUT * t**3
    grid = np.concatenate(([0.0], np.geomspace(0.02, 200, 500)))
    values = np.array([(weight * j0(k * r)).sum() for k in grid]) / weight.sum()
    return grid, values


def _add(image: np.ndarray, stamp: np.ndarray, x0: int, y0: int) -> None:
    """Add a stamp whose first pixel falls on [y0, x0], cutting off what is outside."""
    (ny, nx), (my, mx) = image.shape, stamp.shape
    rows = slice(max(y0, 0), min(y0 + my, ny))
    cols = slice(max(x0, 0), min(x0 + mx, nx))
    if rows.start < rows.stop and cols.start < cols.stop:
        image[rows, cols] += stamp[
            rows.start - y0 : rows.stop - y0, cols.start - x0 : cols.stop - x0
        ]
