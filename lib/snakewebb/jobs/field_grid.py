"""Job field_grid: the one grid of all mosaics of a field."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from snakewebb.astrometry.alignment import AlignmentResult
from snakewebb.errors import InputError
from snakewebb.io.asdf_tree import created
from snakewebb.io.atomic import replacing
from snakewebb.wcs.exposure import open_exposures
from snakewebb.wcs.geometry import Geometry
from snakewebb.wcs.grid import Grid, output_grid
from snakewebb.wcs.gwcs_yaml import grid_wcs

log = logging.getLogger(__name__)


def lay_out_field(
    alignments: Sequence[str | Path],
    archives: Sequence[str | Path],
    grid: str | Path,
    *,
    products: Sequence[str],
    step: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write the grid that holds the exposures of several products.

    No pixel is read, so that no product waits for those of another.

    Parameters
    ----------
    alignments, archives : sequence of paths
        What `snakewebb.jobs.align.align_product` wrote, product by product. The first exposure of
        the first one sets scale and orientation, where the step does not.
    grid : path
        To write: an ASDF file as ``output_wcs`` takes it.
    products : sequence of str
        Their names.
    step : mapping, optional
        Options of `snakewebb.wcs.grid.output_grid`.

    Raises
    ------
    InputError
        A product does not overlap with the others, or see `snakewebb.wcs.grid.output_grid`.
    """
    geometries: dict[str, dict[str, Geometry]] = {}
    for product, alignment, archive in zip(products, alignments, archives, strict=True):
        placements = AlignmentResult.read(alignment).layout.placements
        with open_exposures(archive) as known:
            geometries[product] = {
                name: known(name).geometry.corrected(placement.correction)
                for name, placement in placements.items()
            }
    everything = {name: each for own in geometries.values() for name, each in own.items()}
    found = output_grid(everything, **step)
    _check_overlap(geometries, found)
    with replacing(grid) as file:
        file.write(created({"wcs": grid_wcs(found), "array_shape": list(found.shape)}))
    log.info("grid of %d × %d pixels, %.4g arcsec each", *found.shape[::-1], found.cdelt * 3600)


def _check_overlap(geometries: Mapping[str, Mapping[str, Geometry]], grid: Grid) -> None:
    """Raise where the products are not connected by what they see."""
    from shapely import Polygon, union_all

    areas = {
        product: union_all(
            [Polygon(np.column_stack(grid.sky_to_pixel(*each.outline()))) for each in own.values()]
        )
        for product, own in geometries.items()
    }
    first, *rest = areas
    together = [first]
    while near := [p for p in rest if any(areas[p].intersects(areas[q]) for q in together)]:
        together += near
        rest = [product for product in rest if product not in near]
    if rest:
        raise InputError(
            f"{rest[0]}: does not overlap with {' or '.join(together)}: take it out of their field"
        )
