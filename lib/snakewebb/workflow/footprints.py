"""Which exposures show one part of the sky. Standard library only."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Header = Mapping[str, str]

AT_ONCE = re.compile(r"(jw\d{11}_\w{5}_\d{5})_")
"""What exposures that all detectors take at once have in common in their names."""


@dataclass(frozen=True)
class Footprint:
    """Where an exposure is on the sky.

    Attributes
    ----------
    center : (x, y, z)
        A unit vector.
    radius : float
        Of a circle that holds it, radians.
    """

    center: tuple[float, float, float]
    radius: float

    @classmethod
    def of(cls, header: Header) -> Footprint | None:
        """Return that of an exposure; None if its header does not tell, or it follows a target."""
        if header.get("TARGTYPE", "").strip() == "MOVING":
            return None
        kind, *words = header.get("S_REGION", "").split() or [""]
        try:
            numbers = [float(word) for word in words if word != "ICRS"]
        except ValueError:
            return None
        if kind != "POLYGON" or len(numbers) < 6 or not all(map(math.isfinite, numbers)):
            return None
        corners = [_vector(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=False)]
        total = [sum(axis) for axis in zip(*corners, strict=True)]
        length = math.hypot(*total)
        x, y, z = (value / length for value in total)
        return cls((x, y, z), max(math.dist((x, y, z), corner) for corner in corners))

    def touches(self, other: Footprint) -> bool:
        """Return whether the two circles do."""
        return math.dist(self.center, other.center) <= self.radius + other.radius


def place_name(headers: Iterable[Header]) -> str:
    """Return the mean place of exposures as in IAU names, as *j0955+6940*; empty if unknown."""
    centers = [place.center for header in headers if (place := Footprint.of(header))]
    if not centers:
        return ""
    x, y, z = (sum(axis) for axis in zip(*centers, strict=True))
    minutes = int(math.degrees(math.atan2(y, x)) % 360 * 4)
    arcmin = int(abs(math.degrees(math.atan2(z, math.hypot(x, y)))) * 60)
    ra, dec = (f"{n // 60:02}{n % 60:02}" for n in (minutes, arcmin))
    return f"j{ra}{'-' if z < 0 else '+'}{dec}"


def together(paths: Sequence[str], headers: Mapping[str, Header]) -> list[list[str]]:
    """Return exposures in groups that show separate parts of the sky.

    Together are those whose footprints touch, through others too, those that all detectors took at
    once, and those of which it is not known where they are.

    Parameters
    ----------
    paths : sequence of path
    headers : mapping
        By path.
    """
    groups: list[dict[str, Footprint | None]] = []
    for path in paths:
        own, apart = {path: Footprint.of(headers[path])}, []
        for group in groups:
            if any(_beside(path, own[path], *other) for other in group.items()):
                own |= group
            else:
                apart.append(group)
        groups = [*apart, own]
    return sorted(map(sorted, groups))


def _beside(path: str, place: Footprint | None, other: str, its: Footprint | None) -> bool:
    """Return whether two exposures belong together."""
    once, then = (AT_ONCE.match(os.path.basename(file)) for file in (path, other))
    at_once = once and then and once[1] == then[1]
    return not place or not its or bool(at_once) or place.touches(its)


def _vector(ra: float, dec: float) -> tuple[float, float, float]:
    """Return the unit vector to a place, degrees."""
    a, d = math.radians(ra), math.radians(dec)
    return math.cos(d) * math.cos(a), math.cos(d) * math.sin(a), math.sin(d)
