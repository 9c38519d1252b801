"""The figure of contrast."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from snakewebb.report.axes import COLORS, HEIGHT, add_grid, cycle, read_table, set_logarithmic
from snakewebb.report.figures import PAGE_WIDTH, STYLE, heading, save

if TYPE_CHECKING:
    from astropy.table import Table
ARCSECONDS = (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 15, 20)
ELEMENTS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 100)
"""Ticks of axes, arcsec and λ/D."""


def plot_contrast(path: str | Path, *, curve: str | Path, detections: str | Path) -> None:
    """Plot the contrast curve: before and after subtraction, for each ``truncate``.

    Parameters
    ----------
    path : path
        The PNG to write.
    curve, detections : path
        ``_contrast`` and ``_detections``, ECSV; see `snakewebb.coronagraphy.contrast`.
    """
    table, found = read_table(curve), read_table(detections)
    outcome = table.meta.get("contrast", {"reason": ""})
    if not len(table):
        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=(PAGE_WIDTH, 1.0))
            heading(figure, "Contrast", f"{outcome['status']}: {outcome['reason']}")
            save(figure, path)
        return
    relative = table["contrast"].unit is None
    head = table.meta["headline_truncate"]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PAGE_WIDTH, HEIGHT))
        axes = figure.add_axes((0.085, 0.1, 0.88, 0.7))
        rows = table[table["truncate"] == head]
        axes.plot(rows["separation"], rows["before"], color="0.6", label="before subtraction")
        for number, color in zip(dict.fromkeys(table["truncate"]), cycle(COLORS), strict=False):
            rows = table[table["truncate"] == number]
            wide = 2.0 if number == head else 1.1
            axes.plot(rows["separation"], rows["raw"], color=color, linestyle=":", linewidth=wide)
            label = f"truncate {number}"
            axes.plot(
                rows["separation"], rows["contrast"], color=color, linewidth=wide, label=label
            )
        axes.plot([], [], color="0.3", linestyle=":", label="losses in the subtraction ignored")
        if len(found):
            axes.errorbar(
                found["separation"],
                found["contrast"],
                found["contrast_err"],
                fmt="*",
                color="black",
                markersize=9,
                label="point sources",
            )
        set_logarithmic(axes)
        axes.set_xscale("log")
        low, high = float(table["separation"].min()), float(table["separation"].max())
        ticks = [tick for tick in ARCSECONDS if low <= tick <= high]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("separation (arcsec)")
        axes.set_ylabel(
            f"{table.meta['sigma']:g}σ contrast"
            if relative
            else f"{table.meta['sigma']:g}σ brightness of a companion's central pixel (MJy/sr)"
        )
        factor = float(rows["separation_ld"][0] / rows["separation"][0])
        scale: Any = (lambda x: x * factor, lambda x: x / factor)
        top = axes.secondary_xaxis("top", functions=scale)
        marks = [m for m in ELEMENTS if low <= m / factor <= high]
        top.set_xticks(marks, [str(mark) for mark in marks])
        top.minorticks_off()
        top.set_xlabel("λ/D")
        add_grid(axes)
        axes.legend(frameon=False, fontsize=9)
        lines = [f"throughput of the subtraction at {_spread(table[table['truncate'] == head])}"]
        if not relative:
            lines[0] += "; " + (outcome["reason"] or "the star's flux is not given")
        if "approximate" in table.meta.get("psf", ""):
            lines.append("APPROXIMATE: no PSF is given, fluxes may be off by 30 %")
        heading(figure, "Contrast", *lines)
        save(figure, path)


def _spread(rows: Table) -> str:
    texts = []
    for separation in (0.5, 1.0, 2.0):
        if rows["separation"][0] <= separation <= rows["separation"][-1]:
            value = np.interp(separation, rows["separation"], rows["throughput"])
            texts.append(f"{separation:g}″: {100 * value:.0f} %")
    return ", ".join(texts)
