"""Job field_detection: the image in which the sources of a field are sought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from snakewebb.errors import InputError
from snakewebb.io.bands import cut_rows, in_order
from snakewebb.products.mosaic_file import FileOptions, write_i2d
from snakewebb.sources.detection_image import DetectionImage
from snakewebb.sources.mosaic import MosaicFile
from snakewebb.wcs.grid import Grid
from snakewebb.wcs.layout import Layout, Placement

BYTES = 100
"""Of a pixel, while rows are combined."""


def combine_mosaics(
    mosaics: Sequence[str | Path],
    target: str | Path,
    *,
    products: Sequence[str],
    bkg_boxsize: int = 1000,
    threads: int = 1,
) -> None:
    """Combine mosaics that lie on one grid into a detection image.

    Parameters
    ----------
    mosaics : sequence of paths
        The ``_i2d``.
    target : path
        The FITS file to write, with planes as an ``_i2d`` has them; without sky, WHT in arbitrary
        units.
    products : sequence of str
        Names of the mosaics.
    bkg_boxsize : int, optional
        Side of a mesh of the background, pixels.
    threads : int, optional
        The result does not depend on it.

    Raises
    ------
    InputError
        A mosaic cannot be used, or lies on another grid.
    """
    images = open_mosaics(mosaics, products)
    for image, product in zip(images, products, strict=True):
        if image.flaw:
            raise InputError(f"{product}: {image.flaw}: take it out of detection")
    combined = DetectionImage.of(images, bkg_boxsize, threads)
    grid = images[0].grid
    height, width = grid.shape
    jansky = np.float32(1e6 * grid.pixel_area)
    noise = combined.correlation(grid)
    reach = 0 if noise is None else noise.kernels.shape[-1] // 2
    alone = 1.0 if noise is None else float(np.median(noise.kernels[:, :, reach, reach]))

    def band(rows: slice) -> tuple[int, dict[str, np.ndarray | None]]:
        data, err, weight = combined.rows(rows.start, rows.stop)
        err /= jansky
        planes = {"sci": data / jansky, "err": err, "wht": weight, "var_pixel": alone * err**2}
        return rows.start, planes

    bands = cut_rows(height, BYTES * width, threads)
    box = np.array([(0, 0), (width - 1, 0), (width - 1, height - 1), (0, height - 1)], float)
    place = Placement("", None, (0, width, 0, height), box)
    write_i2d(
        target,
        Layout(grid, {name: replace(place, group=name) for name in products}),
        in_order(band, bands, threads),
        mosaics,
        FileOptions(),
        parameters={
            "pixfrac": images[0].pixfrac,
            "kernel": "square",
            "fillval": "NAN",
            "weight_type": "ivm",
            "products": list(products),
        },
        correlation=noise,
    )


def open_mosaics(mosaics: Sequence[str | Path], products: Sequence[str]) -> list[MosaicFile]:
    """Open mosaics that lie on one grid, and follow no moving target.

    Raises
    ------
    InputError
    """
    images = [MosaicFile(path) for path in mosaics]
    for image, product in zip(images, products, strict=True):
        if image.headers[0].get("TARGTYPE") == "MOVING":
            raise InputError(
                f"{product}: follows a moving target: take its product out of 'fields'"
            )
        if not _same(image.grid, images[0].grid):
            raise InputError(
                f"{product}: its mosaic lies on another grid than that of {products[0]}: remove "
                "both and run again"
            )
    return images


def _same(one: Grid, other: Grid) -> bool:
    """Return whether two grids are the same on the sky; detectors' pixels do not matter."""
    return replace(one, pixel_scale_ratio=1.0) == replace(other, pixel_scale_ratio=1.0)
