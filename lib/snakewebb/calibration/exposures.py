"""Which exposures stage 2 takes, and which belong together.

Standard library only: the workflow asks when it parses the Snakefile.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from snakewebb.errors import InputError

IMAGING = {
    *(f"NRC_{kind}" for kind in ("IMAGE", "TACQ", "TACONFIRM", "CORON", "FOCUS", "TSIMAGE")),
    *(f"MIR_{kind}" for kind in ("IMAGE", "TACQ", "TACONFIRM", "LYOT", "4QPM", "CORONCAL")),
    *(f"NIS_{kind}" for kind in ("IMAGE", "AMI", "TACQ", "TACONFIRM", "FOCUS")),
    *(f"FGS_{kind}" for kind in ("IMAGE", "FOCUS")),
}
"""EXP_TYPE of exposures with a WCS, as jwst 3.0.0 has them."""
WITHOUT = {
    *(f"NRC_{kind}" for kind in ("DARK", "FLAT", "LED")),
    *(f"MIR_{kind}" for kind in ("DARKIMG", "FLATIMAGE", "FLATIMAGE-EXT")),
    *(f"NIS_{kind}" for kind in ("DARK", "LAMP")),
    *(f"FGS_{kind}" for kind in ("DARK", "INTFLAT", "SKYFLAT")),
}
"""EXP_TYPE of exposures that do not look at the sky."""
SETUP = ("INSTRUME", "DETECTOR", "FILTER", "PUPIL")
"""What a background has in common with an exposure that it is subtracted from."""


def setup_of(header: Mapping[str, str]) -> tuple[str, ...]:
    """Return what of an exposure is to be that of its background, by its header."""
    return tuple(header.get(key, "").strip().upper() for key in SETUP)


def check_setup(
    path: str | Path, header: Mapping[str, str], other: str | Path, wanted: Mapping[str, str]
) -> None:
    """Check that one exposure is of the same detector and filter as another.

    Parameters
    ----------
    path, other : path
        For the message.
    header, wanted : mapping
        Of these.

    Raises
    ------
    InputError
    """
    for key, ours, theirs in zip(SETUP, setup_of(header), setup_of(wanted), strict=True):
        if ours != theirs:
            raise InputError(
                f"{path}: {key} is {ours or 'missing'}, in {other} {theirs or 'missing'}: give "
                "backgrounds of the exposure's detector and filter"
            )
