"""Job find_stars: where the stars of a coronagraphic product are."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from snakewebb.coronagraphy.repair import RepairOptions, repair_pixels
from snakewebb.coronagraphy.stack_refs import read_usable
from snakewebb.coronagraphy.star import reference_pixel, star_correction, star_position
from snakewebb.coronagraphy.star_position import StarPosition, write_stars
from snakewebb.coronagraphy.star_search import EMPTY, Sight, find_stars
from snakewebb.errors import InputError
from snakewebb.io.names import product_exposure
from snakewebb.wcs.exposure import read_geometry

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
    names = [product_exposure(path) for path in paths]
    geometries = [read_geometry(path) for path in paths]
    stars = find_stars((_sight(path, options) for path in paths), names)
    if all(star.reason == EMPTY for star in stars):
        raise InputError(f"{paths[0]}: no exposure has a good pixel: check their DQ")
    # What is brought together is the star, so one that was found says where.
    star, geometry = min(
        zip(stars, geometries, strict=True),
        key=lambda pair: (pair[0].reason != "", pair[0].reason == EMPTY),
    )
    place = star_position(geometry, star.center)
    located = {}
    for path, name, geometry, star in zip(paths, names, geometries, stars, strict=True):
        reason = star.reason
        if not reason:
            log.info("%s: star at %.3f, %.3f ± %.3f, %.3f", path, *star.center, *star.error)
        elif reason != EMPTY:
            reason = f"the star is taken to be at CRPIX: {reason}"
            log.warning("%s: %s", path, reason)
        located[name] = StarPosition(
            (float(star.center[0]), float(star.center[1])),
            (float(star.error[0]), float(star.error[1])),
            star_correction(geometry, star.center, *place),
            geometry.roll_ref,
            3600 * geometry.pixel_scale,
            reason,
        )
    return located


def _sight(path: str | Path, options: RepairOptions) -> Sight:
    """Return the mean of an exposure's integrations, repaired, as `find_stars` takes it."""
    guess = reference_pixel(path)
    cube, usable = read_usable(path, options.bad_bits)
    if not usable.any():
        return Sight(None, guess)
    data, _, bad = repair_pixels(cube.data, cube.dq, options=options)
    return Sight(data.mean(axis=0), guess, np.logical_not(bad.any(axis=0)))
