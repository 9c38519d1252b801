"""Where the stars of a product are: what find_stars writes and the jobs after it read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from snakewebb.io.records import read_record, write_record
from snakewebb.wcs.geometry import Correction

VERSION = 1
"""Of the format of the file."""


@dataclass(frozen=True)
class StarPosition:
    """Where the star is on an exposure, and how that is brought to its place on the sky.

    Attributes
    ----------
    center, error : (x, y)
        0-based pixels. Where no star was found, the place that the header has for it, and NaN.
    correction : Correction
        Of the pointing: it puts the star where the product's other exposures have it.
    roll : float
        Of the exposure, degrees.
    pixel_scale : float
        Arcsec.
    reason : str
        Why no star was found; empty if one was.
    """

    center: tuple[float, float]
    error: tuple[float, float]
    correction: Correction
    roll: float
    pixel_scale: float
    reason: str = ""

    @property
    def status(self) -> str:
        """COMPLETE, or FAILED where no star was found."""
        return "FAILED" if self.reason else "COMPLETE"

    @property
    def sky(self) -> tuple[float, float]:
        """RA and Dec, degrees, of the star's place."""
        return self.correction.ra0, self.correction.dec0

    def to_dict(self) -> dict[str, Any]:
        """Return a form that JSON can hold; without a reason if there is none."""
        values = asdict(self)
        return values if self.reason else {k: v for k, v in values.items() if k != "reason"}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> StarPosition:
        """Make one from what `to_dict` returned."""
        (x, y), (dx, dy) = values["center"], values["error"]
        correction = Correction.from_dict(values["correction"])
        return cls(**{**values, "center": (x, y), "error": (dx, dy), "correction": correction})


def write_stars(path: str | Path, stars: Mapping[str, StarPosition]) -> None:
    """Write where the star is, by exposure, as JSON."""
    known = {name: star.to_dict() for name, star in stars.items()}
    write_record(path, {"stars": known}, VERSION)


def read_stars(path: str | Path) -> dict[str, StarPosition]:
    """Read where the star is, by exposure.

    Raises
    ------
    InputError
        See `snakewebb.io.records.parse_record`.
    """
    known = read_record(path, VERSION)["stars"]
    return {name: StarPosition.from_dict(star) for name, star in known.items()}
