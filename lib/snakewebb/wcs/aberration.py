"""Velocity aberration: by which factor and about which point of the focal plane it scales angles.

The moving telescope sees angles between stars changed by a factor, the same in all directions to
what matters here. Its attitude is such that the guide star is where it should be; so positions are
right there, and go wrong with the distance from it. That is the pivot to scale about:

    v' = VA_SCALE · v + (1 - VA_SCALE) · pivot

jwst's assign_wcs takes each detector's own reference point instead (jwst issue 9400), which leaves
detectors shifted against each other by up to 17 mas within NIRCam, and 75 mas against the sky.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from snakewebb.io.headers import LIMITS, Header, credible, number, text
from snakewebb.wcs.geometry import Geometry, PixelToSky
from snakewebb.wcs.gwcs_transforms import TRANSFORMS, Transform, chain

log = logging.getLogger(__name__)

GUIDERS = ((206.4, -697.8), (22.9, -699.3))
"""V2 and V3 of the middle of the two guiders, arcsec (SIAF: FGS1_FULL, FGS2_FULL)."""
BETWEEN = (115.0, -698.0)
"""Between them: no guide star is more than about 160 arcsec away."""
REACH = 150.0
"""Arcsec, within which of a guider's middle a guide star is."""
GUIDING = ("FINEGUIDE", "TRACK")
"""Modes of the pointing control (PCS_MODE) in which the attitude is that of the guide star."""

GUIDE_STAR, BETWEEN_GUIDERS, APERTURE = "guide star", "guiders", "aperture"
"""What is the pivot, as ``SWB_DVA`` tells it: the second where the guide star is not known."""


@dataclass(frozen=True)
class Aberration:
    """How to take the velocity aberration off.

    Attributes
    ----------
    scale : float
        True angle over apparent angle (VA_SCALE).
    v2, v3 : float
        The pivot, arcsec.
    pivot : str
        Which one it is: ``GUIDE_STAR``, ``BETWEEN_GUIDERS`` or ``APERTURE``.
    """

    scale: float
    v2: float
    v3: float
    pivot: str

    @property
    def shift(self) -> tuple[float, float]:
        """V2 and V3, arcsec, that follow the scaling."""
        return (1.0 - self.scale) * self.v2, (1.0 - self.scale) * self.v3

    @property
    def notes(self) -> dict[str, Any]:
        """What is noted of it in a product."""
        return {"dva_pivot": self.pivot, "dva_v2v3": [self.v2, self.v3], "va_scale": self.scale}


def angles_of(wcsinfo: Mapping[str, float]) -> list[float]:
    """Return the angles, degrees, that turn V2 and V3 to the sky about the axes z, y, x, y, z.

    Parameters
    ----------
    wcsinfo : mapping
        v2_ref, v3_ref (arcsec), roll_ref, ra_ref, dec_ref (degrees).
    """
    return [
        wcsinfo["v2_ref"] / 3600.0,
        -wcsinfo["v3_ref"] / 3600.0,
        wcsinfo["roll_ref"],
        wcsinfo["dec_ref"],
        -wcsinfo["ra_ref"],
    ]


def attitude(wcsinfo: Mapping[str, float]) -> Transform:
    """Return the transform of V2 and V3, arcsec, to RA and Dec, degrees.

    Parameters
    ----------
    wcsinfo : mapping
        See `angles_of`. It is the same rotation whichever aperture's it is.
    """
    parts = (
        TRANSFORMS["concatenate"]([TRANSFORMS["scale"](1.0 / 3600.0)] * 2),
        TRANSFORMS["spherical_cartesian"]("spherical_to_cartesian", 180),
        TRANSFORMS["rotate_sequence_3d"](angles_of(wcsinfo), "zyxyz", "cartesian"),
        TRANSFORMS["spherical_cartesian"]("cartesian_to_spherical", 360),
    )
    return reduce(chain, parts)


def guide_star_position(
    header: Header, wcsinfo: Mapping[str, float], path: str | Path
) -> tuple[float, float] | None:
    """Return V2 and V3, arcsec, of the guide star; None where it does not set the attitude.

    Parameters
    ----------
    header : mapping
        Of the exposure, with GS_RA, GS_DEC, PCS_MODE.
    wcsinfo : mapping
        See `angles_of`.
    path : path
        The exposure, for messages.
    """
    ra, dec = (credible(header, key, path=path) for key in ("GS_RA", "GS_DEC"))
    mode = str(text(header, "PCS_MODE", path=path)).upper()
    if ra is None or dec is None or mode not in GUIDING:
        return None
    v2, v3 = map(float, attitude(wcsinfo).inverse(np.float64(ra), np.float64(dec)))
    if min(np.hypot(v2 - x, v3 - y) for x, y in GUIDERS) > REACH:
        return None
    return v2, v3


def aberration_of(
    header: Header, wcsinfo: Mapping[str, float], path: str | Path, *, about_aperture: bool = False
) -> Aberration:
    """Return how to take the velocity aberration off an exposure.

    Parameters
    ----------
    header, wcsinfo, path
        See `guide_star_position`; also VA_SCALE, without which nothing is scaled.
    about_aperture : bool, optional
        Whether the pivot is the aperture's reference point, as it is for jwst.

    Raises
    ------
    InputError
        VA_SCALE is there, but cannot be true.
    """
    scale = number(header, "VA_SCALE", *LIMITS["VA_SCALE"], path=path)
    if scale is None:
        log.warning("%s: has no VA_SCALE: velocity aberration is left in", path)
        scale = 1.0
    if about_aperture:
        return Aberration(scale, wcsinfo["v2_ref"], wcsinfo["v3_ref"], APERTURE)
    star = guide_star_position(header, wcsinfo, path)
    if star is None:
        log.info("%s: not guided by a known star: pivot between the guiders", path)
        return Aberration(scale, *BETWEEN, BETWEEN_GUIDERS)
    return Aberration(scale, *star, GUIDE_STAR)


def pivot_shift(
    header: Header, wcsinfo: Mapping[str, float], path: str | Path
) -> tuple[float, float]:
    """Return how far the pivot of jwst puts an exposure beside where the guide star puts it.

    Parameters
    ----------
    header, wcsinfo, path
        See `aberration_of`.

    Returns
    -------
    v2, v3 : float
        Arcsec, to be added after the aberration: (VA_SCALE - 1) · (reference point - guide star).
        Zero where snakewebb has made the exposure (SWB_VER), with the pivot that was asked for, or
        the header does not tell how it was guided, as all of the archive do.
    """
    mode = str(text(header, "PCS_MODE", path=path)).upper()
    told = mode not in GUIDING or {"GS_RA", "GS_DEC"} <= set(header)
    if "SWB_VER" in header or "PCS_MODE" not in header or not told:
        return 0.0, 0.0
    if credible(header, "VA_SCALE", path=path) is None:
        return 0.0, 0.0
    known, right = (
        aberration_of(header, wcsinfo, path, about_aperture=about).shift for about in (True, False)
    )
    return right[0] - known[0], right[1] - known[1]


def shifted(geometry: Geometry, shift: tuple[float, float]) -> Geometry:
    """Return a geometry moved in the focal plane.

    Parameters
    ----------
    geometry : Geometry
    shift : (v2, v3)
        Arcsec, such as `pivot_shift` tells.
    """
    ra, dec = _moved(attitude(vars(geometry)), geometry.ra, geometry.dec, *shift)
    return replace(geometry, ra=ra, dec=dec)


def shifted_sky(
    sky: PixelToSky, wcsinfo: Mapping[str, float], shift: tuple[float, float]
) -> PixelToSky:
    """Return a map from pixels to the sky that is moved likewise; see `shifted`."""
    turn, back = attitude(wcsinfo), sky.inverse

    def forward(x, y):
        return _moved(turn, *sky.forward(x, y), *shift)

    def inverse(ra, dec):
        return back(*_moved(turn, ra, dec, -shift[0], -shift[1]))

    return PixelToSky(forward, inverse if back else None, sky.bounding_box)


def _moved(turn: Transform, ra, dec, dv2: float, dv3: float):
    """Move places on the sky in V2 and V3, arcsec."""
    v2, v3 = turn.inverse(ra, dec)
    return turn.forward(v2 + dv2, v3 + dv3)
