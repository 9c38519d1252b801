"""Exposures of a moving target, brought to its mean position.

Each exposure's sky is shifted on the tangent plane at the mean position, so that the target comes
to rest there; see jwst's ``assign_mtwcs`` step.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np

from snakewebb.astrometry.alignment import ExposureAlignment
from snakewebb.errors import InputError
from snakewebb.wcs.geometry import Correction
from snakewebb.wcs.sphere import to_plane, unit_vectors

log = logging.getLogger(__name__)


def assign_mtwcs(
    positions: Mapping[str, tuple[float | None, float | None]],
) -> tuple[dict[str, ExposureAlignment], dict[str, Correction | None]]:
    """Bring the exposures of a moving target to its mean position.

    Parameters
    ----------
    positions : mapping of exposure to (RA, Dec)
        Where the target was, degrees; None where that is not known.

    Returns
    -------
    exposures : dict of str to ExposureAlignment
        SKIPPED, all of them, where one lacks its position.
    corrections : dict of str to Correction or None

    Raises
    ------
    InputError
        A position is on the other side of the sky.
    """
    lacking = [name for name, position in positions.items() if None in position]
    if lacking:
        reason = f"no target position (MT_RA, MT_DEC) in {', '.join(lacking)}"
        log.warning("moving target not aligned: %s", reason)
        skipped = ExposureAlignment(status="SKIPPED", reason=reason)
        return dict.fromkeys(positions, skipped), dict.fromkeys(positions)
    places = np.array(list(positions.values()), float)
    x, y, z = unit_vectors(*places.T).sum(axis=0)
    mean_ra = float(np.degrees(np.arctan2(y, x)) % 360)
    mean_dec = float(np.degrees(np.arctan2(z, np.hypot(x, y))))
    ra, dec = places.T
    exposures: dict[str, ExposureAlignment] = {}
    corrections: dict[str, Correction | None] = {}
    moved = to_plane(ra, dec, mean_ra, mean_dec)
    for name, east, north in zip(positions, *moved, strict=True):
        if np.isnan(east):
            raise InputError(
                f"{name}: its target position (MT_RA, MT_DEC) is 90 degrees or more from the mean: "
                "check its header and that it belongs to this association"
            )
        shift = (-float(east), -float(north))
        corrections[name] = Correction(mean_ra, mean_dec, ((1.0, 0.0), (0.0, 1.0)), shift)
        offset = (1000 * shift[0], 1000 * shift[1])
        exposures[name] = ExposureAlignment(
            status="COMPLETE", reason="", offset=offset, mt_avra=mean_ra, mt_avdec=mean_dec
        )
        log.info("%s: shifted by %.3f, %.3f arcsec (East, North)", name, *shift)
    return exposures, corrections
