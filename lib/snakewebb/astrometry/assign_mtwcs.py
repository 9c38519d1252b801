"""Exposures of a moving target, brought to its mean position.

Each exposure's sky is shifted on the tangent plane at the mean position, so that the target comes
to rest there; see jwst's ``assign_mtwcs`` step.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np

from snakewebb.astrometry.alignment import ExposureAlignment
from snakewebb.wcs.geometry import Correction
from snakewebb.wcs.sphere import mean_direction, to_plane, unit_vectors

log = logging.getLogger(__name__)

FARTHEST = 1.0
"""Degrees from what an exposure sees to its target; a parallel one looks a few arcmin beside it."""


def assign_mtwcs(
    positions: Mapping[str, tuple[float | None, float | None]],
    centers: Mapping[str, tuple[float, float]],
) -> tuple[dict[str, ExposureAlignment], dict[str, Correction | None]]:
    """Bring the exposures of a moving target to its mean position.

    Parameters
    ----------
    positions : mapping of exposure to (RA, Dec)
        Where the target was, degrees; None where that is not known.
    centers : mapping of exposure to (RA, Dec)
        Degrees: where it looks.

    Returns
    -------
    exposures : dict of str to ExposureAlignment
        FAILED, all of them, where the position of one is not known.
    corrections : dict of str to Correction or None
    """
    lacking = [name for name, position in positions.items() if None in position]
    if lacking:
        return _failed(positions, f"no target position (MT_RA, MT_DEC) in {', '.join(lacking)}")
    places = np.array(list(positions.values()), float)
    looks = unit_vectors(*np.transpose([centers[name] for name in positions]))
    cosines = (unit_vectors(*places.T) * looks).sum(axis=1)
    far = cosines < np.cos(np.radians(FARTHEST))  # where nothing is known headers may say 0, 0
    if far.any():
        names = ", ".join(name for name, is_far in zip(positions, far, strict=True) if is_far)
        return _failed(
            positions,
            f"the target position (MT_RA, MT_DEC) is more than {FARTHEST:g} degree from what is "
            f"seen in {names}",
        )
    mean_ra, mean_dec = mean_direction(unit_vectors(*places.T))
    ra, dec = places.T
    offsets = np.transpose(to_plane(ra, dec, mean_ra, mean_dec))
    if np.isnan(offsets).any():
        return _failed(positions, "target positions (MT_RA, MT_DEC) lie on both sides of the sky")
    exposures: dict[str, ExposureAlignment] = {}
    corrections: dict[str, Correction | None] = {}
    for name, (east, north) in zip(positions, offsets, strict=True):
        shift = (-float(east), -float(north))
        corrections[name] = Correction(mean_ra, mean_dec, ((1.0, 0.0), (0.0, 1.0)), shift)
        offset = (1000 * shift[0], 1000 * shift[1])
        exposures[name] = ExposureAlignment(
            status="COMPLETE", reason="", offset=offset, mt_avra=mean_ra, mt_avdec=mean_dec
        )
        log.info("%s: shifted by %.3f, %.3f arcsec (East, North)", name, *shift)
    return exposures, corrections


def _failed(
    names: Mapping[str, object], reason: str
) -> tuple[dict[str, ExposureAlignment], dict[str, Correction | None]]:
    log.warning("moving target not aligned: %s", reason)
    failed = ExposureAlignment(status="FAILED", reason=reason)
    return dict.fromkeys(names, failed), dict.fromkeys(names)
