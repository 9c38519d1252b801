"""The star behind a coronagraph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from snakewebb.coronagraphy.fourier import turn
from snakewebb.coronagraphy.registration import Template
from snakewebb.errors import InputError
from snakewebb.io.fits_structure import find
from snakewebb.io.headers import number, read_header
from snakewebb.wcs.geometry import Correction, Geometry
from snakewebb.wcs.grid import Grid
from snakewebb.wcs.pixel_map import PixelMap
from snakewebb.wcs.sphere import to_plane

REACH = 3
"""Pixels round the mask's place within which the star is looked for."""
UNLIKE = 5.0
"""Standard deviations of a ring at which two sides of a star differ by more than its speckles."""
RING = 3.0
"""Width in pixels of the rings that are looked at one by one."""
REFITS = 5


def disc(shape: tuple[int, int], center: tuple[float, float]) -> np.ndarray:
    """Return the mask that is used where there is no PSFMASK: 1 close to the star, 0 elsewhere.

    Its radius is a sixth of the frame's shorter side: on a NIRCam subarray 3.3 arcsec.
    """
    y, x = np.indices(shape)
    radius = min(shape) / 6
    return (np.hypot(x - center[0], y - center[1]) <= radius).astype(np.float64)


def find_star(
    image: np.ndarray, guess: tuple[float, float], good: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Find the star behind a coronagraph: the point about which its light is most symmetric.

    The image is turned by 180 degrees about the guess and fitted to itself; half the shift is the
    star's distance from the guess. The diffraction of a real pupil mask is point-symmetric
    whatever the pupil looks like; what asymmetry a wavefront error adds shows up in the error.
    A companion has nothing like it on the other side: where the two sides are most unlike, about
    the guess and then about each fit's star, both are left out.

    Parameters
    ----------
    image : (ny, nx) array
        Finite.
    guess : (x, y)
        0-based pixels, right to some `REACH`: where the mask is (CRPIX).
    good : (ny, nx) bool, optional
        False to leave a pixel out.

    Returns
    -------
    center, error : (2,) float64
        (x, y), 0-based pixels. Coma of the telescope moves all exposures alike, by up to 0.1
        pixels in simulations, and is not in the error.

    Raises
    ------
    InputError
        No star is found.
    """
    pivot = np.round(guess).astype(int)
    half = int(min(*pivot, *(np.array(image.shape[::-1]) - 1 - pivot)))
    cut = np.s_[pivot[1] - half : pivot[1] + half + 1, pivot[0] - half : pivot[0] + half + 1]
    square = np.asarray(image, np.float64)[cut]
    usable = np.ones(square.shape, bool) if good is None else good[cut] & good[cut][::-1, ::-1]
    mask = disc(image.shape, (pivot[0], pivot[1]))[cut]
    center, seen = np.array([half, half], float), []
    for _ in range(REFITS):
        turned = turn(square[None], center)[0]
        alike = usable & ~_unlike(square - turned, center)
        if any((alike == before).all() for before in seen):
            break
        seen.append(alike)
        # Left out here, a companion would still be matched at other shifts.
        clean = np.where(alike, square, np.minimum(square, turned))
        offset = Template(clean[::-1, ::-1], mask, 2 * REACH).offset(clean, alike)
        center = half + offset.shift / 2
    if np.abs(center - half).max() > REACH + 1:
        raise InputError(
            f"align_refs: no star within {REACH} pixels of {pivot[0]}, {pivot[1]}: check CRPIX"
        )
    return pivot + offset.shift / 2, offset.error / 2


def _unlike(difference: np.ndarray, center: np.ndarray) -> np.ndarray:
    """Return True, on both sides, where an image less itself turned is far off on its ring."""
    y, x = np.indices(difference.shape)
    ring = np.floor(np.hypot(x - center[0], y - center[1]) / RING).astype(int)
    sizes = np.abs(difference)
    typical = np.array([np.median(sizes[ring == number]) for number in range(ring.max() + 1)])
    far = np.pad(sizes > UNLIKE * 1.4826 * typical[ring], 1)
    return sliding_window_view(far, (3, 3)).any(axis=(2, 3))  # and the pixels next to them


def star_position(geometry: Geometry, center: tuple[float, float]) -> tuple[float, float]:
    """Return RA and Dec, degrees, of a place on the detector, (x, y) 0-based pixels."""
    local = Grid(
        geometry.center(), (0.0, 0.0), geometry.pixel_scale, ((1.0, 0.0), (0.0, 1.0)), (2, 2)
    )
    u, v = PixelMap(geometry, local).lattice(np.array([center[0]]), np.array([center[1]]))
    ra, dec = local.pixel_to_sky(u, v)
    return float(np.ravel(ra)[0]), float(np.ravel(dec)[0])


def star_correction(
    geometry: Geometry, center: tuple[float, float], ra: float, dec: float
) -> Correction:
    """Return the correction of the pointing that puts a star in its place on the sky.

    No pixel is resampled: the frame is centred by its WCS, so errors of neighbouring pixels stay
    independent, and rolls combined by WCS turn about the star.

    Parameters
    ----------
    geometry : Geometry
        The exposure's.
    center : (x, y)
        Where the star is, 0-based pixels; see `snakewebb.coronagraphy.star.find_star`.
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
