"""Job find_stars: where the stars of a coronagraphic product are."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from snakewebb.coronagraphy.repair import RepairOptions, repair_pixels
from snakewebb.coronagraphy.stack_refs import read_usable
from snakewebb.coronagraphy.star import find_star, reference_pixel, star_correction, star_position
from snakewebb.coronagraphy.star_position import StarPosition, write_stars
from snakewebb.errors import InputError
from snakewebb.io.names import product_exposure
from snakewebb.wcs.exposure import read_geometry
from snakewebb.wcs.geometry import Geometry

log = logging.getLogger(__name__)


def stars_of_product(
    exposures: Sequence[str | Path],
    target: str | Path,
    *,
    step: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Find the star in the exposures of a product, and write where it is.

    Parameters
    ----------
    exposures : sequence of paths
        ``_crfints`` of the science exposures.
    target : path
        The file to write, of `snakewebb.coronagraphy.star_position.write_stars`.
    step : mapping, optional
        Of `snakewebb.coronagraphy.repair.RepairOptions`.

    Raises
    ------
    InputError
        See `locate_stars`.
    """
    write_stars(target, locate_stars(exposures, RepairOptions(**step)))


def locate_stars(
    paths: Sequence[str | Path], options: RepairOptions = RepairOptions()
) -> dict[str, StarPosition]:
    """Find the star in the exposures of a product, and how to bring all to one place on the sky.

    Parameters
    ----------
    paths : sequence of paths
        ``_crfints`` of the science exposures.
    options : RepairOptions, optional

    Returns
    -------
    dict
        By exposure. The star's place on the sky is where the first exposure that shows it has it.

    Raises
    ------
    InputError
        An exposure has no gWCS or no CRPIX, or no exposure has a good pixel.
    """
    known = []
    for path in paths:
        cube, usable = read_usable(path, options.bad_bits)
        geometry = Geometry.from_dict(read_geometry(path)["geometry"])
        center, error, reason = reference_pixel(path), (math.nan, math.nan), "has no good pixel"
        if usable.any():
            data, _, bad = repair_pixels(cube.data, cube.dq, options=options)
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
        name: StarPosition(
            (float(center[0]), float(center[1])),
            (float(error[0]), float(error[1])),
            star_correction(geometry, center, *place),
            geometry.roll_ref,
            3600 * geometry.pixel_scale,
            reason,
        )
        for name, geometry, center, error, reason, _ in known
    }
