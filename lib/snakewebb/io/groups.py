"""Groups of exposures: the detectors of one pointing, which the same numbers in headers tell."""

from __future__ import annotations

from collections.abc import Sequence


def reason_alone(groups: Sequence[str]) -> str | None:
    """Return why exposures of the given groups have no others beside them; None if they have."""
    if len(groups) < 2:
        return "there is one exposure only"
    if len(set(groups)) < 2:
        return "all exposures are of one group (the same visit and exposure numbers)"
    return None
