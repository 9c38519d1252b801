"""Exposures of a moving target, brought to its mean position.

Each exposure's sky is shifted on the tangent plane at the mean position, so that the target comes
to rest there; see jwst's ``assign_mtwcs`` step.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from snakewebb.errors import InputError
from snakewebb.wcs.geometry import Correction
from snakewebb.wcs.sphere import to_plane, unit_vectors

log = logging.getLogger(__name__)


def assign_mtwcs(
    known: Mapping[str, Mapping[str, Any]],
) -> tuple[dict[str, dict[str, Any]], dict[str, Correction | None]]:
    """Bring the exposures of a moving target to its mean position.

    Parameters
    ----------
    known : mapping of exposure to facts
        With ``mt_ra`` and ``mt_dec``, degrees: where the target was.

    Returns
    -------
    exposures : dict
        Of each its ``status`` (SKIPPED for all where one lacks its position) and ``reason``; if
        COMPLETE also ``mt_avra`` and ``mt_avdec``, the mean position in degrees, and ``offset``,
        the shift to the East and North in mas.
    corrections : dict of str to Correction or None

    Raises
    ------
    InputError
        A position is on the other side of the sky.
    """
    lacking = [name for name, facts in known.items() if None in (facts["mt_ra"], facts["mt_dec"])]
    if lacking:
        reason = f"no target position (MT_RA, MT_DEC) in {', '.join(lacking)}"
        log.warning("moving target not aligned: %s", reason)
        skipped = {name: {"status": "SKIPPED", "reason": reason} for name in known}
        return skipped, dict.fromkeys(known)
    positions = np.array([(facts["mt_ra"], facts["mt_dec"]) for facts in known.values()])
    x, y, z = unit_vectors(*positions.T).sum(axis=0)
    mean_ra = float(np.degrees(np.arctan2(y, x)) % 360)
    mean_dec = float(np.degrees(np.arctan2(z, np.hypot(x, y))))
    exposures, corrections = {}, {}
    for name, east, north in zip(known, *to_plane(*positions.T, mean_ra, mean_dec), strict=True):
        if np.isnan(east):
            raise InputError(
                f"{name}: its target position (MT_RA, MT_DEC) is 90 degrees or more from the mean: "
                "check its header and that it belongs to this association"
            )
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
