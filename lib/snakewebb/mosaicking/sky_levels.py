"""Sky levels in the units of an exposure's pixels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snakewebb.errors import InputError
from snakewebb.io.headers import facts


def sky_in_pixels(known: Mapping[str, Any], matched: Mapping[str, Any] | None) -> float | None:
    """Return the sky level in the pixels of a stage-2 exposure, in their units; None if unknown.

    Parameters
    ----------
    known : mapping
        The exposure's facts.
    matched : mapping or None
        What `snakewebb.mosaicking.skymatch.match_sky` found for it; without that, its header
        counts.
    """
    if matched and matched["delta"] is not None:
        return matched["delta"]
    return None if known["sky_subtracted"] else known["sky_level"]


def check_subtraction(name: str, before: bool | None, subtract: bool) -> None:
    """Raise where an earlier run treated an exposure's sky in the other way.

    Parameters
    ----------
    name : str
        The exposure.
    before : bool or None
        Whether an earlier run subtracted its sky; None if there was none.
    subtract : bool
        Whether this one is to.

    Raises
    ------
    InputError
    """
    if before is not None and before != subtract:
        did = "was" if before else "was not"
        raise InputError(
            f"{name}: its sky {did} subtracted by an earlier run but skymatch.subtract is "
            f"{subtract}: set it to {before} or start from a fresh stage-2 file"
        )


def remaining_sky(path: str | Path) -> float | None:
    """Return the sky level that is known but still in an exposure's pixels, in their units."""
    known = facts(path)
    return None if known["sky_subtracted"] else known["sky_level"]
