"""The star behind a coronagraph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from snakewebb.errors import InputError
from snakewebb.io.fits_structure import find
from snakewebb.io.headers import number, read_header
from snakewebb.wcs.geometry import Correction, Geometry
from snakewebb.wcs.grid import Grid
from snakewebb.wcs.pixel_map import PixelMap
from snakewebb.wcs.sphere import to_plane


def disc(shape: tuple[int, int], center: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the mask that is used where there is no PSFMASK: 1 close to the star, 0 elsewhere.

    Its radius is a sixth of the frame's shorter side: on a NIRCam subarray 3.3 arcsec.
    """
    y, x = np.indices(shape)
    radius = min(shape) / 6
    return (np.hypot(x - center[0], y - center[1]) <= radius).astype(np.float64)


def star_position(geometry: Geometry, center: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Return RA and Dec, degrees, of a place on the detector, (x, y) 0-based pixels."""
    local = Grid(
        geometry.center(), (0.0, 0.0), geometry.pixel_scale, ((1.0, 0.0), (0.0, 1.0)), (2, 2)
    )
    u, v = PixelMap(geometry, local).lattice(np.array([center[0]]), np.array([center[1]]))
    ra, dec = local.pixel_to_sky(u, v)
    return float(np.ravel(ra)[0]), float(np.ravel(dec)[0])


def star_correction(
    geometry: Geometry, center: Sequence[float] | np.ndarray, ra: float, dec: float
) -> Correction:
    """Return the correction of the pointing that puts a star in its place on the sky.

    No pixel is resampled: the frame is centred by its WCS, so errors of neighbouring pixels stay
    independent, and rolls combined by WCS turn about the star.

    Parameters
    ----------
    geometry : Geometry
        The exposure's.
    center : (x, y)
        Where the star is, 0-based pixels; see `snakewebb.coronagraphy.star_search.find_star`.
    ra, dec : float
        Where it belongs, degrees: the same for all exposures of it.
    """
    xi, eta = to_plane(*star_position(geometry, center), ra, dec)
    return Correction(ra, dec, ((1.0, 0.0), (0.0, 1.0)), (-float(xi), -float(eta)))


def reference_pixel(path: str | Path) -> tuple[float, float]:
    """Return where a header says that the star is, (x, y), 0-based pixels: CRPIX.

    Raises
    ------
    InputError
        It says nothing, or that it is beside the frame.
    """
    header, (ny, nx) = read_header(path), find(path, "SCI").shape[-2:]
    x, y = (
        number(header, key, 0.5, n + 0.5, path=path) for key, n in (("CRPIX1", nx), ("CRPIX2", ny))
    )
    if x is None or y is None:
        raise InputError(f"{path}: has no CRPIX1 and CRPIX2, where the star is: add them")
    return x - 1, y - 1
