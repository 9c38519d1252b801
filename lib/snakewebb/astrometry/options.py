"""How stars are matched. Standard library only: the workflow checks it before any job runs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from snakewebb.errors import InputError

GAIA = {"GAIAREFCAT": "gaiadr3", "GAIADR3": "gaiadr3", "GAIADR2": "gaiadr2"}
"""Tables of Gaia's archive, by what ``abs_refcat`` calls them."""
FIT_GEOMETRIES = {"shift": 1, "rshift": 2, "rscale": 2, "general": 3}
"""The smallest number of points that fixes the map."""


class NoCatalogue(Exception):  # noqa: N818 - an outcome, not an error of the user
    """There are no stars to align exposures to; the message tells why."""


def check_service(name: str) -> None:
    """Raise InputError where ``abs_refcat``, which is no file, names no catalogue of Gaia's."""
    if name.upper() not in GAIA:
        raise InputError(f"abs_refcat: {name} is not known: one of {', '.join(GAIA)}, or a file")


@dataclass(frozen=True)
class Fitting:
    """How two lists of positions are matched and fitted; arcseconds.

    Attributes
    ----------
    minobj : int
        Fewer matches are no alignment.
    fitgeometry : {"shift", "rshift", "rscale", "general"}
        Shift only; with rotation; with rotation and scale; any linear map.
    nclip, sigma : int, float
        Passes of clipping, and the limit in units of the rms.
    searchrad : float
        Largest pointing error in East and in North.
    use2dhist : bool
        Whether to search for the offset; otherwise it is (`xoffset`, `yoffset`), positions minus
        reference.
    separation : float
        Of sources closer than this the brightest is used.
    tolerance : float
        Largest distance of a match, once the offset is taken off.
    """

    minobj: int = 15
    fitgeometry: str = "rshift"
    nclip: int = 3
    sigma: float = 3.0
    searchrad: float = 2.0
    use2dhist: bool = True
    separation: float = 1.0
    tolerance: float = 0.7
    xoffset: float = 0.0
    yoffset: float = 0.0

    def check(self, prefix: str = "") -> None:
        """Raise InputError where parameters contradict each other."""
        if self.fitgeometry not in FIT_GEOMETRIES:
            raise InputError(
                f"{prefix}fitgeometry: {self.fitgeometry!r} is unknown: "
                f"one of {', '.join(FIT_GEOMETRIES)}"
            )
        if self.separation <= math.sqrt(2) * self.tolerance:
            raise InputError(
                f"{prefix}separation: {self.separation} arcsec is not larger than √2 × "
                f"{prefix}tolerance ({self.tolerance} arcsec): raise one or lower the other"
            )

    @property
    def needed(self) -> int:
        """The least number of matches."""
        return max(self.minobj, FIT_GEOMETRIES[self.fitgeometry])

    @property
    def reach(self) -> float:
        """How far apart the two positions of a star may be before alignment."""
        offset = self.searchrad if self.use2dhist else max(abs(self.xoffset), abs(self.yoffset))
        return offset + self.tolerance


@dataclass(frozen=True)
class Matching(Fitting):
    """How exposures are matched with each other.

    Attributes
    ----------
    enforce_user_order : bool
        Join them in the order of the association, beginning with the first, instead of by overlap.
    expand_refcat : bool
        With `enforce_user_order`, whether sources that the first lacks serve as references too.
        Without it they always do.
    adjustment : {"network", "rigid"}
        What is adjusted then: attitudes, placements of detectors and stars, or rigid groups.
    """

    enforce_user_order: bool = False
    expand_refcat: bool = False
    adjustment: str = "network"


@dataclass(frozen=True)
class AbsoluteMatching(Fitting):
    """How stars are matched with a reference catalogue: the pointing of the whole may be off."""

    searchrad: float = 6.0
