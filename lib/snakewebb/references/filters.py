"""Wavelengths of the filters that are used with coronagraphs."""

import re
from typing import NamedTuple


class Filter(NamedTuple):
    """A filter's pivot wavelength and bandwidth, metres."""

    wavelength: float
    bandwidth: float


_MICROMETRES = {
    "NIRCAM": {
        "F182M": (1.845, 0.238),
        "F187N": (1.874, 0.024),
        "F200W": (1.990, 0.461),
        "F210M": (2.093, 0.205),
        "F212N": (2.120, 0.027),
        "F250M": (2.503, 0.181),
        "F277W": (2.786, 0.672),
        "F300M": (2.996, 0.318),
        "F322W2": (3.247, 1.339),
        "F335M": (3.365, 0.347),
        "F356W": (3.563, 0.787),
        "F360M": (3.621, 0.372),
        "F410M": (4.092, 0.436),
        "F430M": (4.280, 0.228),
        "F444W": (4.421, 1.024),
        "F460M": (4.624, 0.228),
        "F480M": (4.834, 0.303),
    },
    "MIRI": {
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
"""By instrument and name. NIRCam: pivot wavelength and bandwidth of JWST User Documentation
(jwst-docs.stsci.edu), "NIRCam Filters". MIRI: nominal central wavelength and width, Boccaletti et
al. 2015 (PASP 127, 633); measured curves are up to a quarter narrower, which hardly shows."""

NOMINAL_WIDTHS = {"W2": 0.45, "W": 0.22, "M": 0.1, "N": 0.01, "C": 0.08}
"""Typical bandwidths over wavelength, by the letters at the end of a filter's name."""

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
