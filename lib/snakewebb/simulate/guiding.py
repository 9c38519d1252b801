"""The sky seen from a moving telescope that is held by a guide star.

The telescope's attitude is such that the guide star is where the catalogue says; the light of all
else is aberrated: angles about the guide star are seen smaller or larger than they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from snakewebb.simulate import apertures
from snakewebb.wcs.sphere import unit_vectors

if TYPE_CHECKING:
    from gwcs import WCS

    from snakewebb.simulate.model import Observation

LIGHT = 299792.458
SPEED = 30.0
"""Of the telescope about the Sun, km/s."""
GUIDE_STAR = (188.0, -712.0)
"""Where FGS1 sees the guide star when the target is in the middle of the detectors; arcsec."""


def velocity(scale: float, ra: float, dec: float) -> np.ndarray:
    """Return a velocity (3,), km/s, that gives a velocity-aberration scale towards a position.

    It is that of the Earth or a little more; what is across the line of sight is half to the
    North and half to the East.
    """
    beta = SPEED / LIGHT
    a, d = np.radians(ra), np.radians(dec)
    east = np.array([-np.sin(a), np.cos(a), 0.0])
    north = np.array([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)])
    along = scale * np.sqrt(1 - beta**2) - 1
    across = np.sqrt(max(0.0, beta**2 - along**2) / 2)
    return LIGHT * (along * unit_vectors(ra, dec) + across * (east + north))


def aberration_scale(motion: np.ndarray, ra: float, dec: float) -> float:
    """Return the keyword VA_SCALE, true angle over seen angle, of a position.

    Source: JWST documentation, "set_velocity_aberration" (jwst-pipeline).
    """
    beta = motion / LIGHT
    return float((1 + beta @ unit_vectors(ra, dec)) / np.sqrt(1 - beta @ beta))


def aberrated(directions: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Return where moving at a velocity (km/s) sees unit vectors (…, 3): aberration of light."""
    beta = motion / LIGHT
    root = np.sqrt(1 - beta @ beta)
    along = directions @ beta
    seen = root * directions + (1 + along / (1 + root))[..., None] * beta
    return seen / (1 + along)[..., None]


@dataclass(frozen=True)
class Guiding:
    """What holds an exposure.

    Attributes
    ----------
    ra, dec : float
        The guide star, degrees.
    velocity : (3,)
        Of the telescope, ICRS, km/s.
    """

    ra: float
    dec: float
    velocity: np.ndarray

    @classmethod
    def of(cls, observation: Observation) -> Guiding:
        """Return what holds all exposures of an observation."""
        v2, v3 = apertures.middle_of(observation.detectors)
        pointing = apertures.Pointing(observation.ra, observation.dec, observation.roll, v2, v3)
        motion = velocity(observation.va_scale, observation.ra, observation.dec)
        return cls(*pointing.at(*GUIDE_STAR)[:2], motion)

    def keywords(self) -> dict[str, dict[str, Any]]:
        """Return the parts of an exposure's ``meta`` that tell of it."""
        names = ("velocity_x_bary", "velocity_y_bary", "velocity_z_bary")
        return {
            "guidestar": {"gs_ra": self.ra, "gs_dec": self.dec, "gs_pcs_mode": "FINEGUIDE"},
            "ephemeris": dict(zip(names, map(float, self.velocity), strict=True)),
        }


class GuidedSky:
    """Pixel to sky as it is: callable as the gWCS of an exposure that it is made from.

    The attitude that the observer believes in, of which ``pointing`` is one point, has the guide
    star's catalogue position where its aberrated light falls. So the true attitude is the believed
    one, turned along the great circle from the one to the other.
    """

    def __init__(self, wcs: WCS, pointing: apertures.Pointing, guiding: Guiding) -> None:
        self._to_telescope = wcs.get_transform("detector", "v2v3")
        star = unit_vectors(guiding.ra, guiding.dec)
        self._attitude = turn_between(star, aberrated(star, guiding.velocity)) @ pointing.attitude
        self._velocity = guiding.velocity

    def __call__(
        self, x: np.ndarray, y: np.ndarray, *, with_bounding_box: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return RA and Dec, degrees, of 0-based pixel coordinates; the box has no effect."""
        v2, v3 = self._to_telescope(x, y)
        seen = unit_vectors(v2 / 3600, v3 / 3600) @ self._attitude.T
        true = np.moveaxis(aberrated(seen, -self._velocity), -1, 0)
        ra = np.degrees(np.arctan2(true[1], true[0])) % 360
        return ra, np.degrees(np.arctan2(true[2], np.hypot(true[0], true[1])))


def turn_between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the rotation along a great circle (Rodrigues)."""
    x, y, z = np.cross(start, end)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + cross + cross @ cross / (1 + start @ end)
