"""What an observation is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import Table

from snakewebb.simulate import apertures
from snakewebb.simulate.detector import FILTERS

if TYPE_CHECKING:
    from gwcs import WCS


def optical_elements(instrument: str, filter_name: str) -> tuple[str | None, str | None]:
    """Return what the keywords FILTER and PUPIL say for a filter; None if there is no keyword."""
    if instrument == "NIRCAM":
        return filter_name, "CLEAR"
    if instrument == "NIRISS":
        blue = FILTERS[instrument][filter_name].wavelength < 2.5
        return ("CLEAR", filter_name) if blue else (filter_name, "CLEARP")
    return (None if instrument == "FGS" else filter_name), None


@dataclass(frozen=True)
class Observation:
    """All that decides the simulated files.

    Attributes
    ----------
    detectors : tuple of str
        As in the keyword DETECTOR, all of one instrument; they expose together, as one group.
    filter : str
        A key of ``detector.FILTERS`` of the instrument.
    dithers : tuple of (x, y)
        Offsets of the pointing, arcsec, along the detector's axes; one exposure each.
    seed : int
    npix : int, optional
        Side of a central subarray; the whole detector by default.
    ra, dec, roll : float
        Where the middle of the detectors points and the position angle of V3 there, degrees.
    exposure_time : float
        Seconds.
    stars, galaxies : int
        How many fall on one detector, on average.
    sources : Table, optional
        A catalogue in place of the random one; columns as from `snakewebb.simulate.scene.catalog`.
    pointing_error : float
        Milliarcsec, rms of either axis; shared by the detectors of an exposure.
    roll_error : float
        Arcsec, rms.
    placement_error : float
        Milliarcsec, rms: by how much each detector is off its place along V2 and V3, and what a
        roll moves its sides by; the same in all exposures.
    sky : float, optional
        MJy/sr; that of the filter by default.
    sky_scatter : float
        Rms of the sky level from exposure to exposure, as a fraction.
    cosmic_ray_rate : float
        Unnoticed cosmic rays in a million pixels.
    inflating_rays : float
        Share of the pixels that they strike whose errors grow with the hit.
    bad_fraction : float
        Share of dead and hot pixels.
    noisy_fraction : float
        Share of pixels with several times the read noise, in all exposures of a detector.
    va_scale : float
        Velocity-aberration scale.
    dva_pivot : str, optional
        "guide_star": the sky is seen aberrated about the guide star, which is true; "aperture": as
        jwst's assign_wcs takes it, about each detector's reference point. By default the latter,
        and the files say nothing of the guide star and of the telescope's velocity.
    motion : (east, north)
        Of a moving target that the telescope follows, arcsec an hour; (0, 0) is a fixed target.
    target_flux : float
        Of the moving target, Jy.
    program, number, activity : int
        Program, observation and activity; they decide the file names.
    background : (east, north), optional
        Where exposures of the sky beside the field are, arcsec from it; with `_rate` only.
    is_background : bool
        Whether these are those exposures.
    wavefront : int, optional
        Seed of a wavefront as it is in flight (`snakewebb.simulate.wavefront`); by default the
        telescope is perfect.
    wcs : tuple of dict, optional
        In place of the SIAF's: for each exposure, (gWCS with bounding box, wcsinfo) by detector.
        ``dithers``, ``ra``, ``dec``, ``roll`` and ``npix`` have no effect then.
    """

    detectors: tuple[str, ...]
    filter: str
    dithers: tuple[tuple[float, float], ...]
    seed: int = 1
    npix: int | None = None
    ra: float = 53.16
    dec: float = -27.79
    roll: float = 47.0
    exposure_time: float = 1000.0
    stars: int = 300
    galaxies: int = 150
    sources: Table | None = None
    pointing_error: float = 0.0
    roll_error: float = 0.0
    placement_error: float = 0.0
    sky: float | None = None
    sky_scatter: float = 0.1
    cosmic_ray_rate: float = 300.0
    inflating_rays: float = 0.0
    bad_fraction: float = 0.002
    noisy_fraction: float = 0.0
    va_scale: float = 0.99995
    dva_pivot: str | None = None
    motion: tuple[float, float] = (0.0, 0.0)
    target_flux: float = 1e-5
    program: int = 1234
    number: int = 1
    activity: int = 1
    background: tuple[float, float] | None = None
    is_background: bool = False
    wavefront: int | None = None
    wcs: tuple[Mapping[str, tuple[WCS, dict[str, Any]]], ...] | None = None

    @property
    def instrument(self) -> str:
        """The instrument that has the detectors."""
        return apertures.imaging_aperture(self.detectors[0]).instrument

    @property
    def moving(self) -> bool:
        """Whether the target moves."""
        return any(self.motion)

    @property
    def product(self) -> str:
        """The association's product name."""
        elements = filter(None, optical_elements(self.instrument, self.filter))
        optics = "-".join(sorted(elements)).lower() or "clear"
        subarray = f"-sub{self.npix}" if self.npix else ""
        return (
            f"jw{self.program:05d}-o{self.number:03d}_t001_"
            f"{self.instrument.lower()}_{optics}{subarray}"
        )


@dataclass(frozen=True)
class Frame:
    """One detector in one exposure, as the observer believes it to be.

    ``sky`` is called as ``wcs`` is, and tells where pixels look but for errors of pointing.
    """

    exposure: int
    detector: str
    wcs: WCS
    wcsinfo: dict[str, Any]
    start: tuple[int, int]
    size: tuple[int, int]
    va_scale: float
    sky: Callable[..., tuple[np.ndarray, np.ndarray]]

    def corners(self) -> tuple[np.ndarray, np.ndarray]:
        """Return RA and Dec of the corners of the bounding box, degrees."""
        (x0, x1), (y0, y1) = self.wcs.bounding_box.bounding_box(order="F")
        return self.wcs(
            np.array([x0, x0, x1, x1]), np.array([y0, y1, y1, y0]), with_bounding_box=False
        )
