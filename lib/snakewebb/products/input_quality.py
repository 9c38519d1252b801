"""What the headers of a mosaic's exposures tell of their quality, and which of them stand out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from snakewebb.io.fits_structure import first_header
from snakewebb.io.names import product_exposure
from snakewebb.io.provenance import KEYWORDS

SIGMAS = 5.0
"""By so many standard deviations of the others an exposure stands out, by default."""
LEAST_SHARE = 0.2
"""A standard deviation is not taken for less than this share of the median."""
LEAST = {"alignment_rms": 1.0, "flagged": 0.001}
"""Nor for less than this, be the median 0: a milliarcsecond, one in a thousand pixels."""
FEWEST = 4
"""Exposures of which one can stand out."""
NUMBERS = {"alignment_rms": "tweakreg.rms_after", "flagged": "outlier_detection.fraction"}
"""What is read, and what `snakewebb.io.provenance` calls it: mas, and a fraction of pixels."""
WORDS = {
    "alignment_rms": "its stars are off by {value:.3g} mas, of others {median:.3g}",
    "flagged": "{percent:.3g} % of its pixels are flagged, of others {median_percent:.3g}",
}


def header_numbers(exposures: Sequence[str | Path]) -> dict[str, np.ndarray]:
    """Return what headers of ``_crf`` tell: ``alignment_rms`` and ``flagged``, NaN if they do not.

    Parameters
    ----------
    exposures : sequence of paths
    """
    found: dict[str, list[float]] = {name: [] for name in NUMBERS}
    for path in exposures:
        header = first_header(path)
        for name, step in NUMBERS.items():
            try:
                found[name].append(float(header.get(KEYWORDS[step][0], "nan")))
            except ValueError:
                found[name].append(np.nan)
    return {name: np.array(values, float) for name, values in found.items()}


def standing_out(values: np.ndarray, sigmas: float, floor: float | np.ndarray = 0.0) -> np.ndarray:
    """Return which numbers are off the median by more than some standard deviations of the others.

    Parameters
    ----------
    values : (n,) float64
        NaN where there is none.
    sigmas : float
    floor : float or (n,) array, optional
        A standard deviation, estimated by the median deviation, is not taken for less.
    """
    known = values[np.isfinite(values)]
    if len(known) < FEWEST:
        return np.zeros(len(values), bool)
    off = np.abs(values - np.median(known))
    width = np.maximum(1.4826 * np.nanmedian(off), floor)
    with np.errstate(invalid="ignore"):
        return off > sigmas * width


def outlying(numbers: dict[str, np.ndarray], sigmas: float = SIGMAS) -> list[str]:
    """Return for each exposure why it stands out by what its header tells, "" if it does not.

    Only exposures that are worse than others do.
    """
    reasons: list[list[str]] = [[] for _ in numbers["flagged"]]
    for name, values in numbers.items():
        known = values[np.isfinite(values)]
        median = float(np.median(known)) if len(known) else 0.0
        found = standing_out(values, sigmas, max(LEAST_SHARE * median, LEAST[name]))
        for k in np.flatnonzero(found & (values > median)):
            reasons[k].append(
                WORDS[name].format(
                    value=values[k], median=median, percent=100 * values[k],
                    median_percent=100 * median,
                )
            )  # fmt: skip
    return ["; ".join(each) for each in reasons]


def input_quality(exposures: Sequence[str | Path]) -> dict[str, Any]:
    """Return what is noted in a mosaic of its exposures' quality (``meta.snakewebb.quality``).

    Parameters
    ----------
    exposures : sequence of paths
        The ``_crf`` in the mosaic.

    Returns
    -------
    dict
        ``alignment_rms`` (mas) and ``flagged`` (fraction of pixels), one an exposure, None where
        its header does not tell; their medians; ``outlying``: by exposure, why it stands out.
    """
    numbers = header_numbers(exposures)
    notes: dict[str, Any] = {}
    for name, values in numbers.items():
        known = np.isfinite(values)
        if known.any():
            notes[name] = [float(v) if k else None for v, k in zip(values, known, strict=True)]
            notes[f"{name}_median"] = float(np.median(values[known]))
    reasons = outlying(numbers)
    notes["outlying"] = {
        product_exposure(path): reason
        for path, reason in zip(exposures, reasons, strict=True)
        if reason
    }
    return notes
