"""The page of a product of imaging: mosaic, catalogue, alignment, depth, outliers, steps."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from snakewebb.io.fits_structure import find
from snakewebb.io.planes import open_fits
from snakewebb.quality.quality_file import read_rows
from snakewebb.report.catalog_figures import plot_counts, plot_cutouts
from snakewebb.report.catalog_rows import read_catalog
from snakewebb.report.layers import (
    Layer,
    brightest,
    coverage,
    coverage_layer,
    depth_layer,
    residual_layer,
    source_layers,
)
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
from snakewebb.report.pictures import stretch
from snakewebb.report.scaling import block_average, block_means
from snakewebb.report.tiles import MOST_PIXELS, cut_tiles, reduction
from snakewebb.wcs.grid import header_grid
from snakewebb.wcs.sphere import ARCSEC

log = logging.getLogger(__name__)

SECTIONS = {
    "Catalogue": ("counts", "cutouts", "completeness"),
    "Alignment": ("alignment", "residuals", "placements"),
    "Depth": ("depth",),
    "Sky": ("sky", "backgrounds"),
    "Outliers": ("worst", "outliers"),
    "Quality": ("quality",),
    "Steps": ("status", "stage2_status"),
}
"""What is in a section, by the end of its file's name."""
SMALL = 6e5
"""Pixels of a picture in a report, of which a browser shows pages of 1.5 MB at most."""
SAMPLE = 1e6
"""Pixels that a stretch is found of."""
NUMBERS = {"depth": ("5σ depth", "{:.2f} mag"), "psf_fwhm": ("FWHM", "{:.3g}″")}


class _Mosaic:
    """A mosaic as it is shown."""

    def __init__(self, path: str | Path):
        self.path = path
        with open_fits(path) as hdus:
            self.primary, header = hdus[0].header, hdus["SCI"].header
            self.shape = hdus["SCI"].shape
        self.grid = header_grid(header, 1.0, path)

    @cached_property
    def image(self) -> tuple[np.ndarray, int]:
        """The finest scale, and pixels on a side of one of its."""
        factor = reduction(self.shape)
        return block_average(self.path, factor), factor

    def picture(self, layers: Iterable[Layer], most: float = MOST_PIXELS) -> str:
        """Return the HTML that shows it, in not more than so many pixels."""
        image, factor = self.image
        while image.size > most:
            image, factor = block_means(image, 2), 2 * factor
        every = max(1, math.isqrt(int(image.size / SAMPLE)))
        norm, _ = stretch(image[::every, ::every])
        return zoomable(cut_tiles(image, norm, factor), self.grid, layers)

    @property
    def area(self) -> float:
        """Square arcmin that have data."""
        pixels = math.prod(self.shape) * float(np.isfinite(self.image[0]).mean())
        return pixels * self.grid.pixel_area * (ARCSEC / 60.0) ** 2

    @property
    def facts(self) -> dict[str, str]:
        """What is said of it."""
        ny, nx = self.shape
        time = self.primary.get("EFFEXPTM")
        return {
            **subject(self.primary),
            "pixels": f"{nx} × {ny} of {math.sqrt(self.grid.pixel_area) * ARCSEC:.3g}″",
            "area": f"{self.area:.3g} arcmin²",
            "exposure time": "unknown" if time is None else f"{time:.0f} s",
        }


def plot_page(
    out: Any,
    *,
    exposures: Sequence[str | Path],
    figures: Sequence[str | Path],
    mosaic: str | Path | None = None,
    catalog: Sequence[str | Path] = (),
    quality: Sequence[str | Path] = (),
) -> None:
    """Write the page of a product; a part of it that fails stops no other.

    Parameters
    ----------
    out : namespace
        HTML to write: ``page``, and ``picture``, which has the picture alone, small enough for a
        report.
    exposures : sequence of paths
        All ``_crf``, of which the first headers are read.
    figures : sequence of paths
        PNG and HTML that are drawn already, named ``<product>_<name>``, see `SECTIONS`.
    mosaic : path, optional
        The ``_i2d``.
    catalog : sequence of paths, optional
        Its catalogue as ECSV and as FITS table.
    quality : sequence of paths, optional
        Metrics, exposures, depth and repeats, see `snakewebb.quality.quality_file.write_quality`.
    """
    name = Path(out.page).stem.removesuffix("_page")
    metrics = read_rows(quality[0]) if quality else []
    facts = {"exposures": str(len(exposures))}
    html = shown_all(name, figures)
    makers: list[Callable[[], Iterable[Layer | None]]] = []
    picture = small = ""
    if mosaic:
        seen = _Mosaic(mosaic)
        facts |= seen.facts
        if catalog:
            sources = read_catalog(catalog[1])
            facts["sources"] = str(len(sources))
            makers.append(lambda: source_layers(sources))
            html["counts"] = drawn_figure("counts", lambda to: plot_counts(sources, seen.area, to))
            html["cutouts"] = drawn_figure("cutouts", lambda to: plot_cutouts(mosaic, sources, to))
        if find(mosaic, "CON"):
            makers.append(lambda: [coverage_layer(*coverage(mosaic))])
        if quality:
            _, each, depth, repeats = quality
            makers.append(lambda: [depth_layer(depth, seen.grid)])
            makers.append(lambda: [residual_layer(repeats, read_rows(each), seen.grid)])
        layers = list(_layers(makers))
        picture = attempt("mosaic", lambda: seen.picture(layers))
        small = attempt("mosaic", lambda: seen.picture(map(brightest, layers), SMALL))
    said: dict[str, Any] = {
        "title": name,
        "facts": facts | _measured(metrics),
        "ends": product_ends(
            exposures,
            catalog[0] if catalog else None,
            quality=quality[0] if quality else None,
        ),
    }
    write_page(out.page, **said, picture=picture, sections=filled(SECTIONS, html))
    write_page(out.picture, **said, picture=small, sections=[])


def _layers(makers: Iterable[Callable[[], Iterable[Layer | None]]]) -> Iterator[Layer]:
    """Return those layers that can be made."""
    for make in makers:
        try:
            yield from (layer for layer in make() if layer)
        except Exception:
            log.exception("a layer of the page is left out")


def _measured(metrics: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return what is said of a mosaic first of all that was measured."""
    values = {row["metric"]: float(row["value"]) for row in metrics}
    known = {name: values[name] for name in NUMBERS if math.isfinite(values.get(name, math.nan))}
    return {NUMBERS[name][0]: NUMBERS[name][1].format(value) for name, value in known.items()}
