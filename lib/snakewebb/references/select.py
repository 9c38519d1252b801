"""Which PSFMASK reference file is for an observation.

Standard library only: the workflow asks when it parses the Snakefile.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from snakewebb.errors import InputError
from snakewebb.io.fits_structure import first_header


def canonical(name: str) -> str:
    """Return the one name of a coronagraph's mask, whichever of its names is given.

    NIRCam's masks are called after the module too (MASK335R, MASKA335R), MIRI's after the phase
    mask or the subarray (4QPM_1140, MASK1140; LYOT_2300, MASKLYOT).
    """
    name = re.sub(r"^MASK[AB](?=\d|LWB|SWB)", "MASK", name.strip().upper())
    return re.sub(r"^4QPM_", "MASK", name.replace("LYOT_2300", "MASKLYOT"))


def choose(masks: Mapping[str, str], path: str | Path) -> str | None:
    """Return the PSFMASK for an exposure; None if none is for it.

    Parameters
    ----------
    masks : mapping
        Files by filter, mask, or both: ``F335M``, ``MASK335R``, ``F335M/MASK335R``. What names
        both goes before a mask, that before a filter.
    path : path
        The exposure.

    Raises
    ------
    InputError
        A key is neither filter nor mask, or the exposure cannot be read.
    """
    known = {}
    for key, file in masks.items():
        parts = [canonical(part) for part in str(key).split("/")]
        if not all(re.fullmatch(r"F\d+\w+|MASK\w+", part) for part in parts) or len(parts) > 2:
            raise InputError(
                f"reference_files.psfmask: {key!r} is neither filter nor mask: write F335M, "
                "MASK335R or F335M/MASK335R"
            )
        known[frozenset(parts)] = file
    header = first_header(path)
    mask, band = (canonical(header.get(key, "")) for key in ("CORONMSK", "FILTER"))
    for wanted in ({mask, band}, {mask}, {band}):
        if frozenset(wanted) in known:
            return known[frozenset(wanted)]
    return None
