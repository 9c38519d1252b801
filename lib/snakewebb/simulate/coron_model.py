"""What a coronagraphic observation is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from snakewebb.simulate import apertures, detector
from snakewebb.simulate.coronagraph import Coronagraph, Mask, Modes
from snakewebb.simulate.model import Frame, Observation

LYOT_FIELD = 29.0
QUADRANT_FIELD = 23.8
"""Sides of MIRI's coronagraphic fields, arcsec."""


class Optics(NamedTuple):
    """What the files of a coronagraph are called, and its mask."""

    mask: Mask
    exposure_type: str
    coronagraph: str
    subarray: str
    field: float | None


OPTICS = {
    "NRCA5_MASK335R": Optics(
        Mask("round", 0.63, 0.6), "NRC_CORON", "MASKA335R", "SUB320A335R", None
    ),
    "MIRIM_MASK1140": Optics(
        Mask("4qpm", 0.0, 0.27), "MIR_4QPM", "4QPM_1140", "MASK1140", QUADRANT_FIELD
    ),
    "MIRIM_MASK1550": Optics(
        Mask("4qpm", 0.0, 0.27), "MIR_4QPM", "4QPM_1550", "MASK1550", QUADRANT_FIELD
    ),
    "MIRIM_MASKLYOT": Optics(
        Mask("spot", 2.16, 0.2), "MIR_LYOT", "LYOT_2300", "MASKLYOT", LYOT_FIELD
    ),
}
"""By SIAF aperture."""
SMALL_GRIDS = {5: "5-POINT-SMALL-GRID", 9: "9-POINT-SMALL-GRID"}


class Companion(NamedTuple):
    """A companion: arcsec, degrees East of North, and its flux over the star's."""

    separation: float
    position_angle: float
    contrast: float


@dataclass(frozen=True)
class CoronagraphicObservation:
    """All that decides the simulated files.

    Attributes
    ----------
    aperture : str
        A key of ``OPTICS``.
    filter : str
        A key of ``detector.FILTERS`` of the instrument.
    dithers : tuple of (x, y)
        Of the reference star: offsets of the pointing along the detector's axes, arcsec.
    companions : tuple of Companion
    rolls : tuple of float
        Position angles of V3 of the science exposures, degrees.
    reference_roll : float
    integrations, reference_integrations : int
        In each exposure.
    integration_time, reference_integration_time : float
        Seconds.
    star_flux, reference_flux : float
        Jy.
    seed : int
    npix : int, optional
        Side of a square about the mask; the coronagraph's subarray by default.
    ra, dec, reference_ra, reference_dec : float
        Of the stars, degrees.
    acquisition_error : float
        Of each visit, milliarcsec, rms of either axis.
    jitter : float
        Of each integration, the same.
    wavefront, drift : float
        Rms of the static wavefront error and of its change between visits, nm.
    cosmic_ray_rate : float
        Unnoticed cosmic rays in a million pixels of an integration.
    bad_fraction : float
        Share of dead and hot pixels.
    va_scale : float
        Velocity-aberration scale.
    dva_pivot : str, optional
        As of `Observation`, but for the truth: stars are acquired, wherever the guide star is.
    program, number : int
        Program and number of the first observation; they decide the file names.
    """

    aperture: str
    filter: str
    dithers: tuple[tuple[float, float], ...]
    companions: tuple[Companion, ...] = ()
    rolls: tuple[float, ...] = (64.0, 74.0)
    reference_roll: float = 71.0
    integrations: int = 6
    reference_integrations: int = 3
    integration_time: float = 300.0
    reference_integration_time: float = 150.0
    star_flux: float = 0.7
    reference_flux: float = 1.4
    seed: int = 1
    npix: int | None = None
    ra: float = 311.2897
    dec: float = -31.3409
    reference_ra: float = 313.4
    reference_dec: float = -30.2
    acquisition_error: float = 10.0
    jitter: float = 1.0
    wavefront: float = 75.0
    drift: float = 8.0
    cosmic_ray_rate: float = 300.0
    bad_fraction: float = 0.002
    va_scale: float = 0.99995
    dva_pivot: str | None = None
    program: int = 1399
    number: int = 1

    @property
    def row(self) -> apertures.Aperture:
        """The aperture's place in the focal plane."""
        return apertures.apertures()[self.aperture]

    @property
    def product(self) -> str:
        """The association's product name."""
        instrument = self.row.instrument.lower()
        elements = [self.filter]
        if instrument == "nircam":
            elements.append("maskrnd")
        elements.append(f"sub{self.npix}" if self.npix else OPTICS[self.aperture].subarray)
        optics = "-".join(elements).lower()
        return f"jw{self.program:05d}-c1001_t001_{instrument}_{optics}"


@dataclass(frozen=True)
class Exposure:
    """One exposure with what the observer does not know of it.

    Attributes
    ----------
    name : str
        Root of the file name.
    exptype : str
        "science" or "psf".
    observation : Observation
        As if it were an image; for the metadata.
    frame : Frame
        As the observer believes it to be.
    start : float
        MJD.
    integrations : int
    time : float
        Of an integration, seconds.
    dither : (x, y)
        Of the pointing along the detector's axes, arcsec.
    star : (integrations, 2)
        Where the star falls, 0-based x and y.
    companions : (m, 2)
        Where the companions fall; they are painted at the mean pointing.
    flux : float
        Of the star, Jy.
    coefficients : (integrations, modes)
        Of the wavefront's change since the first integration of all, nm.
    """

    name: str
    exptype: str
    observation: Observation
    frame: Frame
    start: float
    integrations: int
    time: float
    dither: tuple[float, float]
    star: np.ndarray
    companions: np.ndarray
    flux: float
    coefficients: np.ndarray


class Telescope(NamedTuple):
    """What all exposures share: optics, shapes of the wavefront, its static part, flaws."""

    optics: Coronagraph
    modes: Modes
    static: np.ndarray
    flaws: detector.Flaws
