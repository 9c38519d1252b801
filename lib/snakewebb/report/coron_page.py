"""The page of a product of coronagraphy: the image without the star, contrast, each roll, steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from snakewebb.coronagraphy.star_position import read_stars
from snakewebb.io.names import exposure_suffix
from snakewebb.io.planes import open_fits
from snakewebb.report.axes import read_table
from snakewebb.report.layers import Layer, picture_layer
from snakewebb.report.outcomes import product_ends
from snakewebb.report.page import (
    attempt,
    drawn_figure,
    filled,
    shown_all,
    subject,
    write_page,
    zoomable,
)
from snakewebb.report.roll_figures import plot_rolls
from snakewebb.report.subtraction_figures import noise_stretch, north_up
from snakewebb.report.tiles import cut_tiles
from snakewebb.wcs.grid import Grid

SECTIONS = {
    "Contrast": ("contrast",),
    "Rolls": ("rolls", "subtraction"),
    "References": ("shifts", "eigenvalues"),
    "Steps": ("coron_status", "stage2_status"),
}
"""What is in a section, by the end of its file's name."""
DETECTED, RADIUS = "#56B4E9", 16
STAR = {"color": "#E69F00", "radius": 4, "shown": True}
SNR_ENDS = -5.0, 15.0


def plot_coron_page(
    out: Any,
    *,
    stars: str | Path,
    exposures: Sequence[str | Path],
    figures: Sequence[str | Path],
    mosaic: str | Path | None = None,
    detections: str | Path | None = None,
    snr: str | Path | None = None,
) -> None:
    """Write the page of a product; a part of it that fails stops no other.

    Parameters
    ----------
    out : namespace
        HTML to write: ``page``, and ``picture``, which has the picture alone, small enough for a
        report.
    stars : path
        What `snakewebb.jobs.find_stars.stars_of_product` wrote.
    exposures : sequence of paths
        ``_psfsub`` of the target, and ``_crfints`` and ``_psfalign``, as far as there are any.
    figures : sequence of paths
        PNG and HTML that are drawn already, named ``<product>_<name>``, see `SECTIONS`.
    mosaic : path, optional
        The combined image, ``_i2d``.
    detections, snr : path, optional
        The table of point sources, ECSV, and the SNR map.
    """
    name = Path(out.page).stem.removesuffix("_page")
    known = read_stars(stars)
    subtracted = [path for path in exposures if exposure_suffix(path) == "psfsub"]
    star = next(iter(known.values())).sky
    html = shown_all(name, figures)
    html["rolls"] = drawn_figure("rolls", lambda to: plot_rolls(subtracted, known, to))
    facts, picture = {"exposures": str(len(subtracted))}, ""
    found = read_table(detections) if detections else None
    if found is not None:
        facts["point sources"] = str(len(found))
    if mosaic:
        with open_fits(mosaic) as hdus:
            facts |= subject(hdus[0].header)
        picture = attempt("mosaic", lambda: _picture(mosaic, star, found, snr))
    ends = product_ends(exposures, detections=detections)
    said: dict[str, Any] = {"title": name, "facts": facts, "ends": ends, "picture": picture}
    write_page(out.page, **said, sections=filled(SECTIONS, html))
    write_page(out.picture, **said, sections=[])


def _picture(
    mosaic: str | Path, star: tuple[float, float], found: Any, snr: str | Path | None
) -> str:
    """Return the HTML that shows the combined image, North up."""
    image, half = _turned(mosaic, "SCI", star)
    grid = _grid(image.shape, half, star)
    layers: list[Layer] = [
        {"kind": "circles", "name": "the star", "rows": [[*grid.crpix, "the star"]], **STAR}
    ]
    layers += [] if found is None else [_detected(found, grid)]
    if snr:
        turned, half = _turned(snr, "SNR", star)
        corner = (-0.5, -0.5, half / (turned.shape[0] / 2) / (3600.0 * grid.cdelt))
        name = f"signal to noise: {SNR_ENDS[0]:g} … {SNR_ENDS[1]:g}"
        layers.append(picture_layer(turned, SNR_ENDS, corner, name))
    return zoomable(cut_tiles(image.astype(np.float32), noise_stretch(image)), grid, layers)


def _turned(path: str | Path, plane: str, star: tuple[float, float]) -> tuple[np.ndarray, float]:
    with open_fits(path) as hdus:
        return north_up(np.array(hdus[plane].data, float), hdus[plane].header, star)


def _grid(shape: tuple[int, int], half: float, star: tuple[float, float]) -> Grid:
    """Return the grid of an image with North up, East to the left, and the star in its middle."""
    n = shape[0]
    middle = (n // 2, n // 2)
    return Grid(star, middle, half / (n / 2) / 3600.0, ((-1.0, 0.0), (0.0, 1.0)), shape)


def _detected(found: Any, grid: Grid) -> Layer:
    """Return a layer of point sources."""
    rows = []
    for number, source in enumerate(found, 1):
        angle = math.radians(source["pa"])
        scale = source["separation"] / (3600.0 * grid.cdelt)
        x, y = (
            grid.crpix[k] + scale * v for k, v in enumerate((-math.sin(angle), math.cos(angle)))
        )
        words = "{separation:.2f}″, PA {pa:.0f}°<br>SNR {snr:.1f}".format(**source)
        rows.append([round(x, 2), round(y, 2), f"<b>{number}</b> {words}"])
    name = f"{len(rows)} point sources"
    style = {"color": DETECTED, "radius": RADIUS, "shown": True}
    return {"kind": "circles", "name": name, "rows": rows, **style}
