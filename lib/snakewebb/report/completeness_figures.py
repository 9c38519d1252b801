"""The figure of completeness."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from snakewebb.report.axes import COLORS, HEIGHT, add_grid, read_table
from snakewebb.report.figures import PAGE_WIDTH, STYLE, heading, save


def plot_completeness(completeness: str | Path, path: str | Path) -> None:
    """Plot which share of added stars is found, and how wrong their magnitudes are.

    Parameters
    ----------
    completeness : path
        The table, see `snakewebb.sources.completeness`.
    path : path
        The PNG to write.
    """
    table = read_table(completeness)
    meta = table.meta["completeness"]
    with matplotlib.rc_context(STYLE):
        if not len(table):
            figure = Figure(figsize=(PAGE_WIDTH, 1.0))
            heading(figure, "Completeness", meta["reason"])
            save(figure, path)
            return
        figure = Figure(figsize=(PAGE_WIDTH, HEIGHT))
        axes = figure.add_axes((0.085, 0.45, 0.88, 0.42))
        below = figure.add_axes((0.085, 0.1, 0.88, 0.3), sharex=axes)
        magnitude, share = (np.asarray(table[name]) for name in ("abmag", "completeness"))
        error = np.asarray(table["completeness_err"])
        axes.errorbar(magnitude, share, error, color=COLORS[0], marker="o", markersize=3)
        axes.set(ylabel="share found", ylim=(-0.03, 1.05))
        axes.tick_params(labelbottom=False)
        bias, scatter = (np.asarray(table[f"magnitude_{n}"]) for n in ("bias", "scatter"))
        below.errorbar(magnitude, bias, scatter, color=COLORS[1], marker="o", markersize=3)
        below.axhline(0, color="0.6", linewidth=0.8)
        below.set(xlabel="AB magnitude", ylabel="found minus added")
        for each in (axes, below):
            add_grid(each)
        known = [
            f"{name.removeprefix('depth_')} at {value:.2f} mag"
            for name, value in meta.items()
            if name.startswith("depth_") and value is not None
        ]
        heading(figure, "Completeness", f"of added stars: {', '.join(known) or 'no depth known'}")
        save(figure, path)
