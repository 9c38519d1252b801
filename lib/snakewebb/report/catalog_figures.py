"""Figures of a catalogue: number counts, magnitudes against their errors, and cut-outs."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from snakewebb.io.planes import open_fits
from snakewebb.report.axes import add_grid, set_logarithmic
from snakewebb.report.catalog_rows import by_brightness
from snakewebb.report.figures import PAGE_WIDTH, STYLE, heading, save
from snakewebb.report.pictures import KINDS, canvas, panel, stretch

HEIGHT = 4.6  # inches
BIN = 0.5
"""Of number counts, magnitudes."""
POINTS = 20_000
"""Sources that are drawn as points, at most."""
CUTOUTS, COLUMNS = 12, 6
HALF = 12
"""Of a cut-out's side, pixels, at least."""
SIGMAS = 5.0
"""Of a source's major axis, that a cut-out shows on either side, if that is more."""
MOST_HALF = 200
SOME = 5.0
"""Signal to noise that a line is drawn at."""


def plot_counts(sources: np.ndarray, area: float, path: str | Path) -> None:
    """Plot number counts, and errors of magnitudes.

    Parameters
    ----------
    sources : structured array
        The catalogue as FITS table.
    area : float
        That the mosaic covers, square arcmin.
    path : path
        The PNG to write.
    """
    mag, error = sources["aper_total_abmag"], sources["aper_total_abmag_err"]
    extended = sources["is_extended"]
    known = np.isfinite(mag)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PAGE_WIDTH, HEIGHT if known.any() else 1.0))
        title = "Number counts, and magnitudes against their errors"
        if not known.any():
            heading(figure, title, f"none of {len(sources)} sources has a magnitude")
            save(figure, path)
            return
        heading(figure, title, f"{known.sum()} of {len(sources)} sources in {area:.3g} arcmin²")
        left, right = (figure.add_axes((x, 0.13, 0.4, 0.68)) for x in (0.075, 0.575))
        edges = np.arange(np.floor(mag[known].min() / BIN), np.ceil(mag[known].max() / BIN) + 2)
        edges = (edges - 0.5) * BIN
        for (kind, color), own in zip(KINDS.items(), (~extended, extended), strict=True):
            own = np.flatnonzero(own & known)
            number = np.histogram(mag[own], edges)[0] / (BIN * area)
            left.stairs(np.where(number > 0, number, np.nan), edges, color=color, linewidth=1.6)
            some = own[:: len(own) // POINTS + 1]
            right.plot(mag[some], error[some], ".", color=color, markersize=4, label=kind)
        left.set_ylabel("sources per arcmin² and magnitude")
        right.set_ylabel("error (mag)")
        limit = 2.5 / np.log(10) / SOME
        right.axhline(limit, color="0.4", linestyle="--", linewidth=1)
        right.text(0.01, limit, f" {SOME:g}σ", va="bottom", transform=right.get_yaxis_transform())
        for axes in (left, right):
            set_logarithmic(axes)
            axes.set_xlabel("total magnitude (aper_total_abmag)")
            add_grid(axes)
        # where nothing is: what is faint has large errors
        right.legend(frameon=False, loc="lower right")
        save(figure, path)


def plot_cutouts(i2d: str | Path, sources: np.ndarray, path: str | Path) -> None:
    """Draw the brightest sources, half of them extended, if there are as many.

    Parameters
    ----------
    i2d : path
        The mosaic.
    sources : structured array
        The catalogue as FITS table.
    path : path
        The PNG to write.
    """
    chosen = _choose(sources)
    with matplotlib.rc_context(STYLE), open_fits(i2d) as hdus:
        hdu = hdus["SCI"]
        side = (PAGE_WIDTH - 0.3) / COLUMNS
        rows = max(1, -(-len(chosen) // COLUMNS))
        high = rows * side + 0.8
        figure = Figure(figsize=(PAGE_WIDTH, high if len(chosen) else 1.0))
        note = "each with a size and a stretch of its own" if len(chosen) else "there is no source"
        heading(figure, "The brightest sources", note)
        axes = canvas(figure)
        for k, source in enumerate(sources[chosen]):
            image, half = _cut(hdu, source)
            left = 0.15 + side * (k % COLUMNS)
            low = high - 0.85 - side * (k // COLUMNS + 1) + 0.2
            box = (left + 0.15, low, side - 0.3, side - 0.3)
            panel(axes, image, box, cmap="gray", norm=stretch(image)[0])
            mag = source["aper_total_abmag"]
            words = f"{source['label']}" + (f": {mag:.2f} mag" if np.isfinite(mag) else "")
            axes.text(box[0], low + box[3] + 2 / 72, f"{words}, {2 * half + 1} px", fontsize=8)
        save(figure, path)


def _choose(sources: np.ndarray) -> np.ndarray:
    """Return the indices of sources to show."""
    order = by_brightness(sources)
    extended = sources["is_extended"][order]
    point, wide = order[~extended], order[extended]
    half = CUTOUTS // 2
    n_wide = min(len(wide), max(half, CUTOUTS - len(point)))
    return np.concatenate((point[: CUTOUTS - n_wide], wide[:n_wide]))


def _cut(hdu, source: np.void) -> tuple[np.ndarray, int]:
    """Return the pixels around a source, and half of their side."""
    wide = source["semimajor_sigma"]
    half = int(np.clip(SIGMAS * wide if np.isfinite(wide) else 0, HALF, MOST_HALF))
    ny, nx = hdu.shape
    x, y = (int(np.rint(source[name])) for name in ("xcentroid", "ycentroid"))
    image = np.full((2 * half + 1, 2 * half + 1), np.nan)
    low, high = max(y - half, 0), min(y + half + 1, ny)
    left, right = max(x - half, 0), min(x + half + 1, nx)
    image[low - y + half : high - y + half, left - x + half : right - x + half] = hdu.section[
        low:high, left:right
    ]
    return image, half
