"""Job find_stars: where the stars of a coronagraphic product are."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from snakewebb.coronagraphy.repair import repair as fixed
from snakewebb.coronagraphy.stack_refs import read_usable
from snakewebb.coronagraphy.star import find_star, reference_pixel, star_correction, star_position
from snakewebb.errors import InputError
from snakewebb.io.names import product_exposure
from snakewebb.wcs.exposure import read_geometry

log = logging.getLogger(__name__)


def locate_stars(paths: Sequence[str | Path], **options: Any) -> dict[str, dict[str, Any]]:
    """Find the star in the exposures of a product, and how to bring all to one place on the sky.

    Parameters
    ----------
    paths : sequence of paths
        ``_crfints`` of the science exposures.
    **options
        See `snakewebb.coronagraphy.repair.repair`.

    Returns
    -------
    dict
        For JSON, by exposure: ``center`` and its ``error`` (x, y; 0-based pixels), the
        ``correction`` of the pointing that puts the star where the first exposure has it, the
        ``roll`` (degrees) and the ``pixel_scale`` (arcsec). Where no star is found ``reason`` says
        why; the center is where the header says (CRPIX), and its error is NaN.

    Raises
    ------
    InputError
        An exposure has no gWCS or no CRPIX, or no exposure has a good pixel.
    """
    known = []
    for path in paths:
        cube, usable = read_usable(path, options.get("bad_bits", "DO_NOT_USE"))
        geometry = read_geometry(path)
        center, error, reason = reference_pixel(path), (math.nan, math.nan), "has no good pixel"
        if usable.any():
            data, _, bad = fixed(cube["SCI"], cube["DQ"], **options)
            try:
                center, error = find_star(data.mean(axis=0), center, ~bad.any(axis=0))
                reason = ""
                log.info("%s: star at %.3f, %.3f", path, *center)
            except (InputError, np.linalg.LinAlgError) as failure:
                reason = f"the star is taken to be at CRPIX: {failure}"
                log.warning("%s: %s", path, reason)
        known.append((product_exposure(path), geometry, center, error, reason, usable.any()))
    if not any(usable for *_, usable in known):
        raise InputError(f"{paths[0]}: no exposure has a good pixel: check their DQ")
    # What is brought together is the star, so one that was found says where.
    _, geometry, center, *_ = min(known, key=lambda exposure: (exposure[4] != "", not exposure[5]))
    place = star_position(geometry, center)
    return {
        name: {
            "center": list(map(float, center)),
            "error": list(map(float, error)),
            "correction": star_correction(geometry, center, *place).to_dict(),
            "roll": geometry.roll_ref,
            "pixel_scale": 3600 * geometry.pixel_scale,
            **({"reason": reason} if reason else {}),
        }
        for name, geometry, center, error, reason, _ in known
    }
