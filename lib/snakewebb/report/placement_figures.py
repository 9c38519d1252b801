"""Figure of the joint adjustment: placements of detectors, and what is left of stars' positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from snakewebb.report.axes import COLORS, HEIGHT, add_grid
from snakewebb.report.exposure_status import ProductStatus
from snakewebb.report.figures import PAGE_WIDTH, STYLE, heading, save, shortened

NAMES = 26
"""Characters of a detector's and filter's name."""
ARROW = 18.0
"""Arcsec on the figure for a typical residual."""


def plot_placements(status: ProductStatus, path: str | Path) -> None:
    """Plot where detectors are beside where they should be, and residuals of the adjustment.

    Parameters
    ----------
    status : ProductStatus
        Of several islands that with the most stars is drawn.
    path : path
        The PNG to write.
    """
    network = status.alignment.network
    with matplotlib.rc_context(STYLE):
        if not network:
            figure = Figure(figsize=(PAGE_WIDTH, 1.0))
            line = "none: exposures were not adjusted jointly (tweakreg)"
            heading(figure, "Placements of detectors", line)
            save(figure, path)
            return
        notes = max(network, key=lambda own: own["freedom"])
        left = notes["residuals"]
        figure = Figure(figsize=(PAGE_WIDTH, HEIGHT + 0.6))
        chi = notes["chi_square"] / max(notes["freedom"], 1.0)
        noise = ", ".join(f"{name} {value:.2g} mas" for name, value in notes["noise"].items())
        line = f"χ² over degrees of freedom {chi:.3g}; noise of positions beside pixels': {noise}"
        if notes["reference_pull"]:
            line += f"; pull of the catalogue {notes['reference_pull']:.2g}"
        heading(figure, "Placements of detectors, and residuals of stars (tweakreg)", line)
        _draw_cells(figure.add_axes((0.065, 0.09, 0.42, 0.76)), left["cells"])
        _draw_placements(figure.add_axes((0.7, 0.55, 0.23, 0.3)), notes["placements"])
        below = [figure.add_axes((x, 0.09, 0.19, 0.33)) for x in (0.56, 0.79)]
        _draw_rms(below[0], left["brightness"], "instrumental magnitude", line=True)
        _draw_rms(below[1], left["epochs"], "year", line=False)
        years = [row[0] for row in left["epochs"]]
        if years:
            below[1].set_xlim(min(years) - 0.1, max(years) + 0.1)
            below[1].ticklabel_format(useOffset=False)
            below[1].locator_params(axis="x", nbins=4)
        below[0].set_ylabel("rms residual (mas)")
        if left["brightness"]:
            below[0].legend(frameon=False, fontsize=8)
        save(figure, path)


def _draw_cells(axes: Axes, cells: Mapping[str, Sequence[Sequence[float]]]) -> None:
    """Draw mean residuals as arrows, where they are in the focal plane."""
    filters = list(dict.fromkeys(name.partition(" ")[2] for name in cells))
    lengths = [np.hypot(dv2, dv3) for rows in cells.values() for _, _, dv2, dv3, _ in rows]
    typical = float(np.median(lengths)) if lengths else 1.0
    key = float(f"{2 * typical:.1g}") or 1.0
    scale = max(typical, 1e-6) / ARROW
    for k, optics in enumerate(filters):
        rows = [row for name in cells if name.partition(" ")[2] == optics for row in cells[name]]
        if not rows:
            continue
        v2, v3, dv2, dv3, _ = np.array(rows).T
        arrows = axes.quiver(
            v2,
            v3,
            dv2,
            dv3,
            color=COLORS[k % len(COLORS)],
            angles="xy",
            scale_units="xy",
            scale=scale,
            width=0.004,
        )
        axes.plot(v2, v3, ".", color=COLORS[k % len(COLORS)], markersize=3, label=optics)
        # The axes hold the heads of arrows, too.
        axes.update_datalim(np.column_stack((v2 + dv2 / scale, v3 + dv3 / scale)))
        if k == 0:
            axes.quiverkey(arrows, 0.85, 1.04, key, f"{key:g} mas", labelpos="E")
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.12)
    axes.set_xlabel("V2 (arcsec)")
    axes.set_ylabel("V3 (arcsec)")
    axes.set_title("mean residuals on the detectors", loc="left", fontsize=9)
    add_grid(axes)
    if lengths:
        axes.legend(frameon=False, fontsize=8, loc="lower right")


def _draw_placements(axes: Axes, placements: Sequence[Mapping[str, Any]]) -> None:
    """Draw placements with their errors over the spread that they were expected to have."""
    axes.set_title("placements, over those expected", loc="left", fontsize=9)
    add_grid(axes)
    if not placements:
        axes.set_yticks([])
        axes.set_xticks([])
        axes.text(0.5, 0.5, "none is adjusted", ha="center", transform=axes.transAxes)
        return
    rows = np.arange(len(placements))
    prior = np.array([p["prior"] for p in placements])
    error = [p["error"] for p in placements]
    axes.barh(rows, 2 * prior, left=-prior, height=0.8, color="0.9")
    for key, step, color in (("v2", -0.15, COLORS[0]), ("v3", 0.15, COLORS[1])):
        values = [p[key] for p in placements]
        axes.errorbar(
            values, rows + step, xerr=error, fmt="o", color=color, markersize=4, label=key.upper()
        )
    axes.set_yticks(rows, [shortened(p["name"], NAMES) for p in placements], fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("mas")
    style = {"frameon": False, "fontsize": 8, "handlelength": 0.6}
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), **style)


def _draw_rms(axes: Axes, rows: Sequence[Sequence[float]], label: str, *, line: bool) -> None:
    """Draw root mean squares, and what errors lead to expect."""
    add_grid(axes)
    axes.set_xlabel(label)
    if not rows:
        return
    x, found, expected, _ = np.array(rows).T
    axes.plot(x, expected, "-" if line else "_", color="0.5", markersize=9, label="expected")
    axes.plot(x, found, "o", color=COLORS[0], markersize=4, label="found")
    axes.set_ylim(0, 1.15 * max(found.max(), expected.max()))
