"""Wavelengths of the filters, and which of two filters behind each other counts."""

import re
from collections.abc import Mapping
from typing import NamedTuple


class Filter(NamedTuple):
    """A filter's pivot wavelength and bandwidth, metres."""

    wavelength: float
    bandwidth: float


_MICROMETRES = {
    "NIRCAM": {
        "F070W": (0.704, 0.128),
        "F090W": (0.901, 0.194),
        "F115W": (1.154, 0.225),
        "F140M": (1.404, 0.142),
        "F150W": (1.501, 0.318),
        "F150W2": (1.671, 1.227),
        "F162M": (1.626, 0.168),
        "F164N": (1.644, 0.020),
        "F182M": (1.845, 0.238),
        "F187N": (1.874, 0.024),
        "F200W": (1.990, 0.461),
        "F210M": (2.093, 0.205),
        "F212N": (2.120, 0.027),
        "F250M": (2.503, 0.181),
        "F277W": (2.786, 0.672),
        "F300M": (2.996, 0.318),
        "F322W2": (3.247, 1.339),
        "F323N": (3.237, 0.038),
        "F335M": (3.365, 0.347),
        "F356W": (3.563, 0.787),
        "F360M": (3.621, 0.372),
        "F405N": (4.055, 0.046),
        "F410M": (4.092, 0.436),
        "F430M": (4.280, 0.228),
        "F444W": (4.421, 1.024),
        "F460M": (4.624, 0.228),
        "F466N": (4.654, 0.054),
        "F470N": (4.707, 0.051),
        "F480M": (4.834, 0.303),
    },
    "NIRISS": {
        "F090W": (0.902, 0.204),
        "F115W": (1.150, 0.283),
        "F140M": (1.404, 0.142),
        "F150W": (1.494, 0.335),
        "F158M": (1.582, 0.196),
        "F200W": (1.993, 0.461),
        "F277W": (2.764, 0.715),
        "F356W": (3.593, 0.914),
        "F380M": (3.825, 0.205),
        "F430M": (4.285, 0.202),
        "F444W": (4.427, 1.102),
        "F480M": (4.815, 0.298),
    },
    "MIRI": {
        "F560W": (5.645, 1.00),
        "F770W": (7.639, 1.95),
        "F1000W": (9.953, 1.80),
        "F1130W": (11.309, 0.73),
        "F1280W": (12.810, 2.47),
        "F1500W": (15.064, 2.92),
        "F1800W": (17.984, 2.95),
        "F2100W": (20.795, 4.58),
        "F2550W": (25.365, 3.67),
        "F1065C": (10.575, 0.75),
        "F1140C": (11.30, 0.80),
        "F1550C": (15.50, 0.90),
        "F2300C": (22.75, 5.50),
    },
}
FILTERS = {
    instrument: {name: Filter(1e-6 * w, 1e-6 * b) for name, (w, b) in filters.items()}
    for instrument, filters in _MICROMETRES.items()
}
"""By instrument and name: pivot wavelength and bandwidth of JWST User Documentation
(jwst-docs.stsci.edu), "NIRCam Filters" and its like. MIRI's coronagraphs: nominal central
wavelength and width, Boccaletti et al. 2015 (PASP 127, 633); measured curves are up to a quarter
narrower, which hardly shows."""

NOMINAL_WIDTHS = {"W2": 0.45, "W": 0.22, "M": 0.1, "N": 0.01, "C": 0.08}
"""Typical bandwidths over wavelength, by the letters at the end of a filter's name."""

CLEAR = ("", "N/A", "CLEAR", "CLEARP")
"""What a wheel holds that changes no image."""
STOPS = {"NRC_CORON": 0.6, "MIR_4QPM": 0.27, "MIR_LYOT": 0.2}
"""Margins of Lyot stops by EXP_TYPE, metres: how far from the pupil's edges they let light pass.
A stand-in: those of `snakewebb.simulate`, not held to real stops or to STPSF. A real observation
deserves a PSF file."""


def passband(instrument: str, name: str) -> Filter | None:
    """Return a filter's wavelength and bandwidth; what its name says where it is not in `FILTERS`.

    The name of a filter of JWST is its wavelength in units of 10 nm, and a letter for its width.
    None if it has no such name.
    """
    known = FILTERS.get(instrument, {}).get(name)
    said = re.fullmatch(r"F(\d{3,4})(W2|W|M|N|C)", name)
    if known or not said:
        return known
    wavelength = 1e-8 * int(said[1])
    return Filter(wavelength, NOMINAL_WIDTHS[said[2]] * wavelength)


def narrowest(instrument: Mapping[str, str | None]) -> str | None:
    """Return the filter that makes the image of a star; None if it is not known.

    Parameters
    ----------
    instrument : mapping
        ``name``, ``filter``, ``pupil``. Of two filters behind each other it is the narrower one. A
        grism, a lens or a mask in the other wheel makes another image.
    """
    known = {}
    for wheel in ("filter", "pupil"):
        name = str(instrument.get(wheel) or "")
        band = passband(str(instrument["name"]), name)
        if band is not None:
            known[name] = band.bandwidth
        elif name not in CLEAR:
            return None
    return min(known, key=known.__getitem__, default=None)
