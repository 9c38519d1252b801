"""Plots of how a product's exposures were aligned, their sky matched and their outliers flagged.

Exposures are rows, in association order.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from snakewebb.report.exposure_status import ProductStatus, read_status, write_table
from snakewebb.report.figures import PAGE_WIDTH, STYLE, drawn, heading, save, shortened
from snakewebb.report.outlier_pictures import plot_worst
from snakewebb.report.placement_figures import plot_placements

RIGHT, BOTTOM, TOP = 0.4, 0.65, 0.85
ROW, LEAST, MOST = 0.24, 1.2, 5.8
LEAST_ERROR = 0.001  # mas; a logarithmic axis has no 0
NAME, CHARACTER = 0.16, 0.082
# A ring and a diamond that fits in; colours of Okabe and Ito, for all eyes.
MARKS = (
    {"marker": "o", "color": "#E69F00", "markerfacecolor": "none", "markeredgewidth": 1.6},
    {"marker": "D", "color": "#0072B2"},
)
ABSENT = {"FAILED": ("X", "#D55E00"), "SKIPPED": ("s", "0.6")}
NAMES = 50
"""Characters of a name."""
MANY = 200
"""Exposures whose lines would run into one."""


@dataclass(frozen=True)
class _Chart:
    """One or two numbers of each exposure.

    Attributes
    ----------
    title, subtitle, label : str
        Of the page, below that, and of the axis.
    series : mapping
        Numbers of each exposure, by what they are called.
    stems : (array, array), optional
        Ends of a line for each exposure.
    logarithmic : bool, optional
    """

    title: str
    subtitle: str
    label: str
    series: Mapping[str, np.ndarray]
    stems: tuple[np.ndarray, np.ndarray] | None = None
    logarithmic: bool = False


def plot_exposures(
    out: Any,
    *,
    alignment: str | Path,
    sky: str | Path | None = None,
    exposures: Sequence[str | Path],
    originals: Sequence[str | Path],
) -> None:
    """Draw what became of a product's exposures; a picture that fails stops no other.

    Parameters
    ----------
    out : namespace
        Files to write: ``alignment``, ``placements``, ``sky``, ``outliers``, ``worst`` (PNG) and
        ``status`` (HTML).
    alignment, sky, exposures
        See `snakewebb.report.exposure_status.read_status`.
    originals : sequence of paths
        What the exposures were made of.

    Raises
    ------
    InputError
        See `snakewebb.report.exposure_status.read_status`.
    """
    status = read_status(alignment, sky, exposures)
    for plot, path in (
        (plot_alignment, out.alignment),
        (plot_placements, out.placements),
        (plot_sky, out.sky),
        (plot_outliers, out.outliers),
        (write_table, out.status),
    ):
        with drawn(path):
            plot(status, path)
    with drawn(out.worst):
        plot_worst(exposures, originals, out.worst)


def plot_alignment(status: ProductStatus, path: str | Path) -> None:
    """Plot by how much each exposure was shifted, and how well its place is known since.

    For a moving target, the shift in either direction.

    Parameters
    ----------
    status : ProductStatus
    path : path
        The PNG to write.
    """
    step = status.alignment.step
    if step == "assign_mtwcs":
        east, north = (_values(status, step, "offset", axis) / 1000 for axis in (0, 1))
        series = {"to the East": east, "to the North": north}
        title, subtitle = "Shifts that bring the moving target to rest", ""
        _plot(status, step, path, _Chart(title, subtitle, "shift (arcsec)", series))
        return
    east, north, error, rms = (
        _values(status, step, key, axis)
        for key, axis in (("offset", 0), ("offset", 1), ("error", None), ("rms_after", None))
    )
    shift = np.hypot(east, north)
    subtitle = "; ".join(
        f"median over exposures {words} {np.nanmedian(values):.3g} mas"
        for words, values in (("of the error", error), ("of the scatter of stars", rms))
        if np.isfinite(values).any()
    )
    # That which the others are aligned with has neither.
    shift, error = (
        np.where(values > 0, np.maximum(values, LEAST_ERROR), np.nan) for values in (shift, error)
    )
    chart = _Chart(
        "The alignment",
        subtitle,
        "mas",
        {"shift": shift, "standard error of the shifted place, an axis": error},
        stems=(shift, error),
        logarithmic=True,
    )
    _plot(status, step, path, chart)


def plot_sky(status: ProductStatus, path: str | Path) -> None:
    """Plot the sky level of each exposure.

    Parameters
    ----------
    status : ProductStatus
    path : path
        The PNG to write.
    """
    subtitle = ""
    if status.sky:
        subtitle = f"method {status.sky.skymethod}"
        pairs = status.sky.pairs
        if pairs:
            weights = [pair.npix for pair in pairs]
            rms = np.sqrt(np.average([p.difference**2 for p in pairs], weights=weights))
            subtitle += (
                f"; rms difference in {len(pairs)} overlaps: {rms:.3g} {status.unit} before, "
                f"{status.sky.rms:.3g} after"
            )
    levels = _values(status, "skymatch", "level")
    label = f"sky level ({status.unit})"
    _plot(status, "skymatch", path, _Chart("Sky levels", subtitle, label, {"": levels}))


def plot_outliers(status: ProductStatus, path: str | Path) -> None:
    """Plot the fraction of pixels of each exposure that were flagged as outliers.

    Parameters
    ----------
    status : ProductStatus
    path : path
        The PNG to write.
    """
    step = "outlier_detection"
    percent = 100 * _values(status, step, "fraction")
    subtitle = ""
    if np.isfinite(percent).any():
        subtitle = f"median {np.nanmedian(percent):.3g} %, highest {np.nanmax(percent):.3g} %"
    label = "pixels flagged OUTLIER (%)"
    stems = (np.zeros(len(percent)), percent)
    _plot(status, step, path, _Chart("Flagged outliers", subtitle, label, {"": percent}, stems))


def _values(status: ProductStatus, step: str, key: str, index: int | None = None) -> np.ndarray:
    """Return a number of each exposure, NaN where it has none."""
    values = [steps[step].get(key) for steps in status.exposures.values()]
    if index is not None:
        values = [None if value is None else value[index] for value in values]
    numbers = np.array(values, float)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _plot(status: ProductStatus, step: str, path: str | Path, chart: _Chart) -> None:
    """Plot a chart, or say why there is none."""
    ends = [steps[step] for steps in status.exposures.values()]
    known = np.isfinite(list(chart.series.values())).any()
    height = float(np.clip(ROW * len(ends), LEAST, MOST)) if known else 0.0
    page = np.array((PAGE_WIDTH, BOTTOM + height + TOP))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(page[0], page[1]))
        heading(figure, f"{chart.title} ({step})", chart.subtitle if known else _why(ends))
        if known:
            names = [shortened(name, NAMES) for name in status.exposures]
            left = 0.4 + CHARACTER * max(map(len, names))
            box = np.array((left, BOTTOM, PAGE_WIDTH - left - RIGHT, height)) / (*page, *page)
            axes = figure.add_axes(box)
            _draw(axes, height, names, ends, chart)
            axes.set_xlabel(chart.label)
            if chart.logarithmic:
                _logarithmic(axes, list(chart.series.values()))
            if axes.get_legend_handles_labels()[0]:
                figure.legend(loc="upper right", ncols=4, frameon=False, handletextpad=0.2)
        save(figure, path)


def _draw(
    axes: Axes,
    height: float,
    names: Sequence[str],
    ends: Sequence[Mapping[str, Any]],
    chart: _Chart,
) -> None:
    """Draw exposures as rows; those whose step failed or was skipped have a mark on the left."""
    rows = np.arange(len(names))
    every = math.ceil(len(names) * NAME / height)
    edge = max(0.5, 0.008 * len(names))
    axes.set_ylim(len(names) - 1 + edge, -edge)
    # Ticks with labels and lines of their own would take longer.
    axes.set_yticks([])
    across = axes.get_yaxis_transform()
    axes.hlines(rows[::every], 0, 1, color="0.9", linewidth=0.8, transform=across, zorder=0.5)
    beside = across + ScaledTranslation(-9 / 72, 0, axes.figure.dpi_scale_trans)
    style: dict[str, Any] = {"fontsize": 9, "ha": "right", "va": "center_baseline"}
    for row in rows[::every]:
        axes.text(0, row, names[row], transform=beside, parse_math=False, **style)
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    size = float(np.clip(50 * height / len(names), 3, 7))
    if chart.stems and len(names) <= MANY:
        axes.hlines(rows, *chart.stems, color="0.7", linewidth=size / 6)
    marks = MARKS[-len(chart.series) :]
    for (name, values), mark in zip(chart.series.items(), marks, strict=True):
        scale = 1.5 if "markerfacecolor" in mark else 1
        axes.plot(values, rows, linestyle="", markersize=scale * size, label=name, **mark)
    for end, (marker, color) in ABSENT.items():
        absent = [row for row, own in enumerate(ends) if own["status"] == end]
        if absent:
            axes.plot(
                np.zeros(len(absent)),
                absent,
                marker,
                color=color,
                markersize=max(size, 5),
                label=f"{len(absent)} {end}",
                transform=axes.get_yaxis_transform(),
                clip_on=False,
            )


def _logarithmic(axes: Axes, values: Sequence[np.ndarray]) -> None:
    """Make the x axis logarithmic, with two of the numbers 1, 2, 5, 10 … on it at least."""
    low, high = np.nanmin(values) / 1.2, np.nanmax(values) * 1.2
    axes.set_xscale("log")
    axes.set_xlim(low, max(high, 6 * low))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _why(ends: Sequence[Mapping[str, Any]]) -> str:
    """Say how a step ended that has no numbers."""
    counts = Counter((end["status"], end["reason"]) for end in ends)
    return "; ".join(
        f"{status} for {number} of {len(ends)} exposures" + (f": {reason}" if reason else "")
        for (status, reason), number in counts.most_common(3)
    )
