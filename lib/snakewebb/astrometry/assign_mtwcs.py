"""Exposures of a moving target, brought to its mean position.

Each exposure's sky is shifted on the tangent plane at the mean position, so that the target comes
to rest there; see jwst's ``assign_mtwcs`` step.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from snakewebb.wcs.geometry import Correction
from snakewebb.wcs.sphere import to_plane, unit_vectors

log = logging.getLogger(__name__)

FARTHEST = 1.0
"""Degrees from what an exposure sees to its target; a parallel one looks a few arcmin beside it."""


def assign_mtwcs(
    known: Mapping[str, Mapping[str, Any]], centers: Mapping[str, tuple[float, float]]
) -> tuple[dict[str, dict[str, Any]], dict[str, Correction | None]]:
    """Bring the exposures of a moving target to its mean position.

    Parameters
    ----------
    known : mapping of exposure to facts
        With ``mt_ra`` and ``mt_dec``, degrees: where the target was.
    centers : mapping of exposure to (RA, Dec)
        Degrees: where it looks.

    Returns
    -------
    exposures : dict
        Of each its ``status`` (FAILED for all where the position of one is not known) and
        ``reason``; if COMPLETE also ``mt_avra`` and ``mt_avdec``, the mean position in degrees,
        and ``offset``, the shift to the East and North in mas.
    corrections : dict of str to Correction or None
    """
    lacking = [name for name, facts in known.items() if None in (facts["mt_ra"], facts["mt_dec"])]
    if lacking:
        return _failed(known, f"no target position (MT_RA, MT_DEC) in {', '.join(lacking)}")
    positions = np.array([(facts["mt_ra"], facts["mt_dec"]) for facts in known.values()])
    looks = unit_vectors(*np.transpose([centers[name] for name in known]))
    cosines = (unit_vectors(*positions.T) * looks).sum(axis=1)
    far = cosines < np.cos(np.radians(FARTHEST))  # where nothing is known headers may say 0, 0
    if far.any():
        names = ", ".join(name for name, is_far in zip(known, far, strict=True) if is_far)
        return _failed(
            known,
            f"the target position (MT_RA, MT_DEC) is more than {FARTHEST:g} degree from what is "
            f"seen in {names}",
        )
    x, y, z = unit_vectors(*positions.T).sum(axis=0)
    mean_ra = float(np.degrees(np.arctan2(y, x)) % 360)
    mean_dec = float(np.degrees(np.arctan2(z, np.hypot(x, y))))
    offsets = np.transpose(to_plane(*positions.T, mean_ra, mean_dec))
    if np.isnan(offsets).any():
        return _failed(known, "target positions (MT_RA, MT_DEC) lie on both sides of the sky")
    exposures, corrections = {}, {}
    for name, (east, north) in zip(known, offsets, strict=True):
        shift = (-float(east), -float(north))
        corrections[name] = Correction(mean_ra, mean_dec, ((1.0, 0.0), (0.0, 1.0)), shift)
        exposures[name] = {
            "status": "COMPLETE",
            "reason": "",
            "mt_avra": mean_ra,
            "mt_avdec": mean_dec,
            "offset": tuple(1000 * s for s in shift),
        }
        log.info("%s: shifted by %.3f, %.3f arcsec (East, North)", name, *shift)
    return exposures, corrections


def _failed(
    names: Iterable[str], reason: str
) -> tuple[dict[str, dict[str, Any]], dict[str, Correction | None]]:
    log.warning("moving target not aligned: %s", reason)
    exposures = {name: {"status": "FAILED", "reason": reason} for name in names}
    return exposures, dict.fromkeys(exposures)
