"""Which sources are parts of brighter ones: diffraction spikes, rings and halos of stars."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from snakewebb.kernels.wings import in_wings
from snakewebb.sources.peaks import Peaks

STEP = 8
"""Pixels."""
FARTHEST = 3.0
"""So many FWHM beyond where data end may be the middle of a star whose light is seen there."""
LIGHT = 2.0
"""What is wider than a star and fainter than as many times that light as it falls inwards is part
of it."""


def part_of_stars(
    sources: Mapping[str, np.ndarray],
    peaks: Peaks,
    seen: np.ndarray,
    threshold: float,
    envelope: np.ndarray,
    fwhm: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the sources that may be light of brighter ones.

    A star's image is brightest in its spikes, and symmetric about the star. A source that is as
    faint as a spike would be there and has a counterpart on the other side is one. So is one much
    fainter than a spike, or fainter and wider than a star.

    Parameters
    ----------
    sources : mapping of (n,)
        ``x``, ``y``, ``amplitude``, ``error``: see `snakewebb.sources.peaks.Peaks`; ``extended``,
        whether it is wider than a star; ``rim``, whether it is where data end; ``saturated``.
    peaks : Peaks
        What may be a counterpart.
    seen : (ny, nx) bool
        Where there is data, at every ``STEP`` rows and columns of the mosaic.
    threshold : float
        Significance of the faintest sources.
    envelope : (m,)
        See `snakewebb.references.psf.PointSpread.envelope`.
    fwhm : float
        Of a star, pixels.

    Returns
    -------
    part, near : (n,) bool
        Whether a source is part of a star; whether a star adds a tenth or more to it.
    """
    order = np.argsort(-sources["amplitude"], kind="stable")
    x, y, amplitude, error = (
        np.ascontiguousarray(sources[name][order]) for name in ("x", "y", "amplitude", "error")
    )
    narrow = peaks[~peaks.broad]
    narrow = narrow[np.argsort(narrow.row, kind="stable")]
    counterparts = np.column_stack([narrow.column, narrow.row, narrow.amplitude]).astype(float)
    kept, near = np.zeros((2, len(x)), bool)
    rows = np.argsort(y, kind="stable")
    wide = sources["extended"][order]
    places = x, y, amplitude, threshold * error, wide, rows, counterparts, seen, STEP
    in_wings(*places, envelope, fwhm, kept, near)
    part, bright = np.zeros((2, len(x)), bool)
    part[order], bright[order] = ~kept, near
    # what is brightest where data end, and wider than a star, has its middle elsewhere
    at_rim = (sources["rim"] > 0) & (sources["saturated"] == 0)
    part |= at_rim & sources["extended"]
    part[sources["extended"]] |= _of_stars_beyond(sources, at_rim, envelope, fwhm)
    return part, bright


def _of_stars_beyond(sources, at_rim, envelope, fwhm):
    """Tell which of the sources wider than stars are light of one whose middle is not seen.

    The middle of what is where data end may be beyond, nobody knows how far: the farther, the
    slower its light falls inwards.
    """
    falling = np.maximum.accumulate(envelope[::-1])[::-1]
    distances = np.arange(len(falling))
    beyond = range(int(FARTHEST * fwhm))
    falls = [np.interp(distances + d, distances, falling) / falling[d] for d in beyond]
    fall = np.max(falls, axis=0)
    wide = sources["extended"]
    x, y, amplitude = (sources[name][wide] for name in ("x", "y", "amplitude"))
    part = np.zeros(len(x), bool)
    for k in np.flatnonzero(at_rim):
        distance = np.hypot(x - sources["x"][k], y - sources["y"][k])
        light = sources["amplitude"][k] * np.interp(distance, distances, fall, right=0.0)
        part |= amplitude < np.minimum(LIGHT * light, sources["amplitude"][k])
    return part
