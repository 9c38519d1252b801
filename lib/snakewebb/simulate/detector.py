"""What the instruments do to light: filters, noise, bad pixels, cosmic rays."""

from dataclasses import dataclass, replace
from typing import NamedTuple
from zlib import crc32

import numpy as np

from snakewebb.io.dq import BITS, DO_NOT_USE, NON_SCIENCE


class Filter(NamedTuple):
    """A filter; the sky is a typical zodiacal and thermal background.

    Attributes
    ----------
    wavelength, bandwidth : float
        Micrometres.
    conversion : float
        Roughly PHOTMJSR, MJy/sr per DN/s.
    sky : float
        MJy/sr.
    """

    wavelength: float
    bandwidth: float
    conversion: float
    sky: float


FILTERS = {  # F335M and those that end in C are for coronagraphs, whose stops cost light
    "NIRCAM": {
        "F090W": Filter(0.901, 0.194, 3.3, 0.25),
        "F115W": Filter(1.154, 0.225, 3.0, 0.22),
        "F150W": Filter(1.501, 0.318, 2.1, 0.20),
        "F200W": Filter(1.990, 0.461, 1.6, 0.16),
        "F277W": Filter(2.786, 0.672, 0.42, 0.10),
        "F335M": Filter(3.365, 0.347, 5.0, 0.09),
        "F356W": Filter(3.563, 0.787, 0.37, 0.09),
        "F410M": Filter(4.092, 0.436, 0.75, 0.17),
        "F444W": Filter(4.421, 1.024, 0.40, 0.22),
    },
    "MIRI": {
        "F560W": Filter(5.645, 1.00, 0.55, 1.5),
        "F770W": Filter(7.639, 1.95, 0.29, 7.0),
        "F1000W": Filter(9.953, 1.80, 0.45, 25.0),
        "F1130W": Filter(11.309, 0.73, 1.0, 36.0),
        "F1140C": Filter(11.307, 0.604, 2.2, 36.0),
        "F1280W": Filter(12.810, 2.47, 0.50, 60.0),
        "F1500W": Filter(15.064, 2.92, 0.38, 95.0),
        "F1550C": Filter(15.514, 0.736, 2.5, 110.0),
        "F2300C": Filter(22.652, 4.649, 2.0, 400.0),
    },
    "NIRISS": {
        "F115W": Filter(1.150, 0.283, 0.26, 0.25),
        "F150W": Filter(1.494, 0.335, 0.22, 0.22),
        "F200W": Filter(1.993, 0.461, 0.18, 0.18),
        "F277W": Filter(2.764, 0.715, 0.17, 0.11),
        "F356W": Filter(3.593, 0.914, 0.17, 0.10),
        "F444W": Filter(4.427, 1.102, 0.26, 0.24),
    },
    "FGS": {"OPEN": Filter(2.5, 3.0, 0.06, 0.15)},  # it has no filters
}
GAIN = {"NIRCAM": 1.9, "MIRI": 3.1, "NIRISS": 1.6, "FGS": 1.7}
"""Electrons per DN."""
READ_NOISE = {"NIRCAM": 12.0, "MIRI": 16.0, "NIRISS": 12.0, "FGS": 12.0}
"""Of a whole exposure, electrons."""
FLAT_ERROR = 0.002
REFERENCE_BORDER = 4
COSMIC_RAY_MEDIAN = 30.0
"""Of the brightest pixel's height, in units of the local error."""
NOTICED = 1.0, 3.0
"""Height over its own error of a hit that ramp fitting noticed in part."""
NOISIER = 3.0, 15.0
"""Read noise of a noisy pixel, in units of the others'."""


@dataclass(frozen=True)
class CosmicRays:
    """Pixels struck.

    Attributes
    ----------
    x, y : (n,) int
    brightness : (n,) float32
        MJy/sr.
    significance : (n,) float32
        The same in units of what ERR would be without the hit.
    inflation : (n,) float32
        ERR over what it would be without the hit.
    """

    x: np.ndarray
    y: np.ndarray
    brightness: np.ndarray
    significance: np.ndarray
    inflation: np.ndarray


@dataclass(frozen=True)
class Flaws:
    """What belongs to a detector and is the same in all its exposures.

    Attributes
    ----------
    dq : (ny, nx) uint32
    flat : (ny, nx) float32
        The error left after flat-fielding, about 1.
    read_noise : (ny, nx) float32
        Electrons.
    """

    dq: np.ndarray
    flat: np.ndarray
    read_noise: np.ndarray


def make_flaws(
    instrument: str,
    detector: str,
    full_size: tuple[int, int],
    start: tuple[int, int],
    size: tuple[int, int],
    bad_fraction: float,
    seed: int,
    lit: np.ndarray | None = None,
) -> Flaws:
    """Make a detector's fixed flaws.

    Parameters
    ----------
    instrument, detector : str
    full_size, start, size : (x, y)
        Pixels of the whole detector; first pixel (1-based) and size of what is read out.
    bad_fraction : float
        Share of dead and hot pixels.
    seed : int
    lit : (ny, nx) bool, optional
        Pixels that see the sky; by default all, and of MIRI the imager's.

    Returns
    -------
    Flaws
    """
    rng = np.random.default_rng([seed, crc32(detector.encode())])
    nx, ny = size
    dq = np.zeros((ny, nx), np.uint32)
    lot = rng.random((ny, nx), np.float32)
    dq[lot < bad_fraction] = DO_NOT_USE | BITS["DEAD"]
    dq[lot < bad_fraction / 2] = DO_NOT_USE | BITS["HOT"]
    dq[lot > 1 - bad_fraction] = BITS["WARM"]
    x = np.arange(nx) + start[0] - 1
    y = np.arange(ny)[:, None] + start[1] - 1
    if lit is None and instrument == "MIRI":
        # only the imager's field and the Lyot coronagraph, upper left, see the sky
        lit = (x >= 359) | ((x < 280) & (y >= 740))
    if lit is not None:
        dq[~lit] |= DO_NOT_USE | NON_SCIENCE
    reference = np.minimum(x, full_size[0] - 1 - x) < REFERENCE_BORDER
    if instrument != "MIRI":
        reference = reference | (np.minimum(y, full_size[1] - 1 - y) < REFERENCE_BORDER)
    dq[np.broadcast_to(reference, dq.shape)] = DO_NOT_USE | BITS["REFERENCE_PIXEL"]
    flat = 1 + np.float32(FLAT_ERROR) * rng.standard_normal((ny, nx), np.float32)
    spread = np.exp(np.float32(0.1) * rng.standard_normal((ny, nx), np.float32))
    return Flaws(dq, flat, np.float32(READ_NOISE[instrument]) * spread)


def expose(
    rng: np.random.Generator,
    scene: np.ndarray,
    instrument: str,
    filter_name: str,
    exposure_time: float,
    flaws: Flaws,
    cosmic_ray_rate: float,
    inflating: float = 0.0,
) -> tuple[dict[str, np.ndarray], CosmicRays]:
    """Turn a noiseless image into the planes of a calibrated exposure.

    Parameters
    ----------
    rng : Generator
    scene : (ny, nx) float32
        Sources and sky, MJy/sr.
    instrument, filter_name : str
    exposure_time : float
        Seconds.
    flaws : Flaws
    cosmic_ray_rate : float
        Unnoticed cosmic rays a million pixels.
    inflating : float, optional
        Share of struck pixels whose errors grow with the hit, see `inflate`.

    Returns
    -------
    planes : dict
        data, err, dq, var_poisson, var_rnoise, var_flat. Variances are those of the noise added,
        computed from the noiseless image, but where hits inflate them. Bad pixels are NaN.
    cosmic_rays : CosmicRays
        Those on good pixels.
    """
    conversion = FILTERS[instrument][filter_name].conversion
    per_electron = np.float32(conversion / (GAIN[instrument] * exposure_time))
    counts = scene / per_electron
    data = rng.poisson(counts).astype(np.float32)
    data += flaws.read_noise * rng.standard_normal(scene.shape, np.float32)
    data *= flaws.flat * per_electron
    planes = {
        "data": data,
        "dq": flaws.dq.copy(),
        "var_poisson": counts * per_electron**2,
        "var_rnoise": (flaws.read_noise * per_electron) ** 2,
        "var_flat": scene**2 * np.float32(FLAT_ERROR**2),
    }
    planes["err"] = np.sqrt(planes["var_poisson"] + planes["var_rnoise"] + planes["var_flat"])
    planes["dq"][rng.random(scene.shape, np.float32) < 0.01] |= BITS["JUMP_DET"]

    bad = (flaws.dq & DO_NOT_USE) != 0
    rays = strike(rng, planes["err"], bad, cosmic_ray_rate)
    data[rays.y, rays.x] += rays.brightness
    if inflating:
        rays = inflate(rng, planes, rays, inflating)
    for name in ("data", "err", "var_poisson", "var_rnoise", "var_flat"):
        planes[name][bad] = np.nan
    return planes, rays


def strike(rng: np.random.Generator, err: np.ndarray, bad: np.ndarray, rate: float) -> CosmicRays:
    """Draw straight cosmic-ray tracks.

    Parameters
    ----------
    rng : Generator
    err : (ny, nx)
        MJy/sr.
    bad : (ny, nx) bool
        Pixels that record nothing.
    rate : float
        Tracks a million pixels.

    Returns
    -------
    CosmicRays
        Sorted by row and column; a pixel struck twice holds the sum.
    """
    ny, nx = err.shape
    n = rng.poisson(rate * err.size / 1e6)
    x, y, angle = rng.uniform(0, nx, n), rng.uniform(0, ny, n), rng.uniform(0, 2 * np.pi, n)
    length = rng.exponential(3.0, n) + 0.5
    height = COSMIC_RAY_MEDIAN * np.exp(rng.standard_normal(n))
    # energy is lost evenly on the way: points along the track, eight a pixel
    steps = np.ceil(length * 8).astype(int)
    track = np.repeat(np.arange(n), steps)
    way = (np.arange(steps.sum()) - np.repeat(np.cumsum(steps) - steps, steps) + 0.5) / 8
    xi = np.floor(x[track] + way * np.cos(angle[track])).astype(int)
    yi = np.floor(y[track] + way * np.sin(angle[track])).astype(int)
    inside = (xi >= 0) & (xi < nx) & (yi >= 0) & (yi < ny)
    pixel, where = np.unique(yi[inside] * nx + xi[inside], return_inverse=True)
    significance = np.bincount(where, (height / 8)[track][inside], len(pixel))
    y, x = np.divmod(pixel, nx)
    good = ~bad[y, x]
    y, x, significance = y[good], x[good], significance[good].astype(np.float32)
    return CosmicRays(x, y, significance * err[y, x], significance, np.ones_like(significance))


def inflate(
    rng: np.random.Generator, planes: dict[str, np.ndarray], rays: CosmicRays, share: float
) -> CosmicRays:
    """Make the errors of struck pixels grow with the hit, as ramp fitting does that sees a jump.

    A ramp that a jump splits tells less of the slope, and a slope in which some of the jump is
    left looks brighter. Of the hits chosen that exceed it, the height is one to three times the
    error (``NOTICED``); read noise and Poisson noise share what it grows by, in any proportion.

    Parameters
    ----------
    rng : Generator
    planes : dict
        See `expose`; changed in place.
    rays : CosmicRays
    share : float
        Of the struck pixels, chosen at random.

    Returns
    -------
    CosmicRays
    """
    number = len(rays.x)
    own = rays.significance / rng.uniform(*NOTICED, number)
    chosen = (rng.random(number) < share) & (own > 1)
    inflation = np.where(chosen, own, 1).astype(np.float32)
    where = rays.y, rays.x
    added = planes["err"][where] ** 2 * (inflation**2 - 1)
    read = rng.random(number, np.float32)
    planes["var_rnoise"][where] += read * added
    planes["var_poisson"][where] += (1 - read) * added
    planes["err"][where] *= inflation
    return replace(rays, inflation=inflation)


def with_noisy_pixels(flaws: Flaws, share: float, rng: np.random.Generator) -> Flaws:
    """Return a detector some of whose pixels have several times (``NOISIER``) the read noise."""
    noisy = rng.random(flaws.read_noise.shape, np.float32) < share
    low, high = map(float, np.log(NOISIER))
    factor = np.exp(rng.uniform(low, high, int(noisy.sum())))
    read_noise = flaws.read_noise.copy()
    read_noise[noisy] *= factor.astype(np.float32)
    return replace(flaws, read_noise=read_noise)
