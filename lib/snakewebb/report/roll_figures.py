"""What is left of each exposure of a star after the subtraction, North up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from snakewebb.coronagraphy.star_position import StarPosition
from snakewebb.io.names import product_exposure
from snakewebb.io.planes import open_fits
from snakewebb.report.axes import short
from snakewebb.report.figures import PAGE_WIDTH, STYLE, heading, save
from snakewebb.report.subtraction_figures import (
    color_bar,
    median_image,
    noise_stretch,
    north_up,
    show,
)

MOST = 8
"""Exposures that are drawn."""
COLUMNS = 4
WORDS = "North up, East to the left; what turns with the roll is of the telescope, not of the sky"


def plot_rolls(
    subtracted: Sequence[str | Path], stars: Mapping[str, StarPosition], path: str | Path
) -> None:
    """Draw what is left of each exposure, all on one scale, North up and East to the left.

    What is on the sky is at one place in all of them; what turns with the roll is of the telescope.

    Parameters
    ----------
    subtracted : sequence of paths
        ``_psfsub`` of the target; of many, some are drawn, evenly.
    stars : mapping
        By exposure, from `snakewebb.coronagraphy.star_position.read_stars`.
    path : path
        The PNG to write.
    """
    some = subtracted[:: -(-len(subtracted) // MOST)]
    images, titles = [], []
    for file in some:
        star = stars[product_exposure(file)]
        with open_fits(file) as hdus:
            cube, header = np.array(hdus["SCI"].data, float), hdus["SCI"].header
        images.append(north_up(median_image(cube), header, star.sky, star.center))
        titles.append(f"{short(product_exposure(file))}, roll {star.roll:.1f}°")
    norm = noise_stretch(np.concatenate([image.ravel() for image, _ in images]))
    columns = min(len(images), COLUMNS)
    rows = -(-len(images) // columns)
    side = min((PAGE_WIDTH - 1.8) / columns - 0.35, 4.0)
    high = 1.1 + rows * (side + 0.5)
    page = (PAGE_WIDTH, high, PAGE_WIDTH, high)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PAGE_WIDTH, high))
        for k, ((image, half), title) in enumerate(zip(images, titles, strict=True)):
            left = 0.75 + (side + 0.35) * (k % columns)
            low = high - 0.95 - (side + 0.5) * (k // columns) - side
            axes = figure.add_axes(tuple(np.array((left, low, side, side)) / page))
            picture = show(axes, image, norm, (half, -half, -half, half))
            axes.plot(0, 0, "+", color="white", markersize=8)
            axes.set_title(title, loc="left", fontsize=8)
            if k % columns == 0:
                axes.set_ylabel("North (arcsec)")
            if k + columns >= len(images):
                axes.set_xlabel("East (arcsec)")
        edge = 0.75 + (side + 0.35) * columns
        box = np.array((edge, high - 0.95 - side, 0.14, side)) / page
        color_bar(figure, picture, figure.add_axes(tuple(box)), norm, header.get("BUNIT", ""))
        more = (
            f"{len(images)} of {len(subtracted)} exposures; "
            if len(images) < len(subtracted)
            else ""
        )
        heading(figure, "What is left in each roll (klip)", f"{more}{WORDS}")
        save(figure, path)
