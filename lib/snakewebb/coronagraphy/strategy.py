"""Which exposures are references in coronagraphy.

Standard library only: the workflow asks before any job runs.
"""

from __future__ import annotations

from collections.abc import Sequence

from snakewebb.errors import InputError

STRATEGIES = ("RDI", "ADI", "ADI+RDI")
LEAST_ROTATION = 1.0
"""Degrees of roll between exposures that can be references for each other."""


def library(
    strategy: str, roll: float, references: Sequence[int], others: Sequence[tuple[int, float]]
) -> list[int]:
    """Return which images serve as references for an exposure.

    Parameters
    ----------
    strategy : {'RDI', 'ADI', 'ADI+RDI'}
        Other stars, the same star at other rolls, or both.
    roll : float
        The exposure's, degrees.
    references : sequence of int
        Indices of images of reference stars.
    others : sequence of (index, roll)
        Images of the target in other exposures.

    Raises
    ------
    InputError
        There are none, or there is no such strategy.
    """
    if strategy not in STRATEGIES:
        raise InputError(f"klip.strategy: {strategy!r} is unknown: one of {', '.join(STRATEGIES)}")
    rolled = [i for i, r in others if abs((r - roll + 180) % 360 - 180) >= LEAST_ROTATION]
    chosen = (rolled if "ADI" in strategy else []) + (list(references) if "RDI" in strategy else [])
    if not chosen:
        raise InputError(f"klip: no references for {strategy}: choose another klip.strategy")
    return chosen
