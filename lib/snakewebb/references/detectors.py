"""What detectors make of a star's image, and how wide it is in a filter. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from snakewebb.references.filters import Filter, narrowest, passband

APERTURE = 6.57
"""Diameter of a circle of about the telescope's resolution, metres."""


class Detector(NamedTuple):
    """What else a star's image depends on.

    Attributes
    ----------
    scale : float
        Arcsec a pixel.
    blur : float
        Sigma of what charges diffuse and pixels share, arcsec: those of STPSF 2 (its constants);
        MIRI's from the same stars as `CROSS`.
    error : float
        Of total fluxes, as a fraction: what is left of that fit, 1 % from 0.06 to 2 arcsec but for
        2 to 3 % of some filters, and how wavefronts vary from week to week; more where it hangs on
        the blur.
    """

    scale: float
    blur: float
    error: float = 0.02


DETECTORS = {
    "NIRCAM short": Detector(0.0311, 0.0062),
    "NIRCAM long": Detector(0.0629, 0.018),
    "NIRISS": Detector(0.0656, 0.0202, error=0.03),
    "FGS": Detector(0.0687, 0.07, error=0.05),
    "MIRI": Detector(0.1106, 0.060),
}
LONG = 2.4e-6
"""Where NIRCam's long channel begins, metres."""


def detector_of(instrument: str, band: Filter) -> Detector:
    """Return the detector that a filter is used with."""
    channel = {True: " long", False: " short"}[band.wavelength > LONG]
    return DETECTORS[instrument + channel if instrument == "NIRCAM" else instrument]


def star_fwhm(instrument: Mapping[str, str | None], pixel_scale: float) -> float | None:
    """Return the full width at half maximum of a star, with the pixel, in pixels.

    Within a seventh of what ``pars-tweakregstep`` files of CRDS have as ``kernel_fwhm``.

    Parameters
    ----------
    instrument : mapping
        See `snakewebb.references.filters.narrowest`.
    pixel_scale : float
        Arcsec.

    Returns
    -------
    float or None
        None if the filter is not known.
    """
    name = narrowest(instrument)
    band = passband(str(instrument["name"]), name) if name else None
    if band is None or instrument["name"] not in ("NIRCAM", "NIRISS", "MIRI"):
        return None
    blur = detector_of(str(instrument["name"]), band).blur
    diffraction = 1.02 * math.degrees(band.wavelength / APERTURE) * 3600
    square = diffraction**2 + 8 * math.log(2) * (pixel_scale**2 / 12 + blur**2)
    return math.sqrt(square) / pixel_scale
