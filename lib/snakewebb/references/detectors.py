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
CROSS = {"F560W": 0.14, "F770W": 0.09, "F1000W": 0.020, "F1130W": 0.003, "F1280W": 0.004}
"""Fraction of light in the cross that MIRI's detector scatters along rows and columns, and
`CROSS_LENGTH`, arcsec, over which it falls by e: F560W as in the stars of the LMC that Melinder
stacked (github.com/jensmelinder/miripsfs), the others by the ratios of amplitudes that STPSF 2 has
(stpsf.detectors, after Gaspar et al. 2021, PASP 133, 014504)."""
CROSS_LENGTH = 1.4
LONG = 2.4e-6
"""Where NIRCam's long channel begins, metres."""


def detector_of(instrument: str, band: Filter) -> Detector:
    """Return the detector that a filter is used with."""
    channel = {True: " long", False: " short"}[band.wavelength > LONG]
    return DETECTORS[instrument + channel if instrument == "NIRCAM" else instrument]


def cross_of(instrument: str, name: str | None) -> float:
    """Return the fraction of light that a filter has in the cross, see `CROSS`."""
    return CROSS.get(name or "", 0.0) if instrument == "MIRI" else 0.0


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
