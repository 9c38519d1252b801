"""Job find_stars: where the stars of a coronagraphic product are."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from snakewebb.coronagraphy.reduction import _sight
from snakewebb.coronagraphy.star import star_correction, star_position
from snakewebb.coronagraphy.star_search import EMPTY, find_stars
from snakewebb.errors import InputError
from snakewebb.io.names import product_exposure
from snakewebb.wcs.exposure import read_geometry
from snakewebb.wcs.geometry import Geometry

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
    names = [product_exposure(path) for path in paths]
    geometries = [Geometry.from_dict(read_geometry(path)["geometry"]) for path in paths]
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
        located[name] = {
            "center": star.center.tolist(),
            "error": star.error.tolist(),
            "correction": star_correction(geometry, star.center, *place).to_dict(),
            "roll": geometry.roll_ref,
            "pixel_scale": 3600 * geometry.pixel_scale,
        }
        if star.reason == EMPTY:
            located[name]["reason"] = EMPTY
        elif star.reason:
            located[name]["reason"] = f"the star is taken to be at CRPIX: {star.reason}"
            log.warning("%s: %s", path, located[name]["reason"])
        else:
            log.info("%s: star at %.3f, %.3f ± %.3f, %.3f", path, *star.center, *star.error)
    return located
