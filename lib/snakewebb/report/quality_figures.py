"""Figures of what repeated stars and blank sky say of a product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from snakewebb.io.planes import open_fits
from snakewebb.quality.quality_file import read_repeats, read_rows
from snakewebb.quality.repeats import BRIGHT
from snakewebb.report.axes import COLORS, MARKERS, add_grid
from snakewebb.report.figures import PAGE_WIDTH, STYLE, drawn, heading, save
from snakewebb.report.quality_status import write_quality_page
from snakewebb.wcs.sphere import mean_direction, to_plane, unit_vectors

HEIGHT = 6.4  # inches
ARROWS = 500
"""Of residuals, at most; more are averaged in cells."""
PALETTE = (*COLORS, "#000000", "#8c8c8c", "#7a4a1e", "#b8b000")
"""Of detectors: NIRCam has ten."""
DETECTORS = 12
"""With names of their own in a legend."""
MANY = 100
"""Exposures; more are not told apart."""
ENOUGH = 40
"""Sightings of bright stars, if the others are not to be drawn."""
POINTS = 20_000
"""Sightings of stars that are drawn as points, at most."""

SEPARATIONS = (
    {
        "separation_rms_5": "separations of stars 5″ apart scatter by {:.3g} mas",
        "separation_rms_20": "20″ apart by {:.3g} mas",
        "separation_rms_60": "60″ apart by {:.3g} mas",
    },
    {
        "exposure_offset": "exposures off each other by {:.2g} mas an axis",
        "detector_offset": "detectors of one by {:.2g} mas",
        "position_pull": "positions scatter by {:.3g} errors",
    },
)
DEPTHS = (
    {
        "depth": "5σ depth {:.2f} AB mag (median)",
        "noise_ratio": "noise {:.3g} times the predicted",
        "psf_fwhm": "FWHM {:.3g}″",
        "psf_ellipticity": "ellipticity {:.2g}",
    },
    {
        "flux_repeatability": "fluxes of bright stars repeat to {:.2g} mag",
        "flux_pull": "fluxes scatter by {:.3g} errors",
    },
)
"""What is said above the pictures, in two lines each."""


def plot_quality(
    out: Any,
    *,
    metrics: str | Path,
    exposures: str | Path,
    depth: str | Path,
    repeats: str | Path,
) -> None:
    """Draw what repeated stars and blank sky say of a product; a picture that fails stops no other.

    Parameters
    ----------
    out : namespace
        To write: ``residuals`` and ``depth`` (PNG), ``page`` (HTML).
    metrics, exposures, depth, repeats : path
        See `snakewebb.quality.quality_file.write_quality`.
    """
    table, each = read_rows(metrics), read_rows(exposures)
    with drawn(out.page):
        write_quality_page(table, each, out.page)
    numbers = {row["metric"]: row for row in table}
    known = read_repeats(repeats)
    with drawn(out.residuals):
        plot_residuals(known, each, numbers, out.residuals)
    with drawn(out.depth):
        plot_depth(depth, known, numbers, out.depth)


def plot_residuals(
    repeats: Mapping[str, np.ndarray],
    exposures: Sequence[Mapping[str, Any]],
    numbers: Mapping[str, Mapping[str, Any]],
    path: str | Path,
) -> None:
    """Draw where exposures see stars off the mean of all that see them.

    Parameters
    ----------
    repeats : mapping
        From `snakewebb.quality.quality_file.read_repeats`.
    exposures : sequence of mappings
        A row an exposure: ``exposure``, ``offset_east``, ``offset_north``, ``offset_err``.
    numbers : mapping
        Rows of the metrics by their name.
    path : path
        The PNG to write.
    """
    offset = repeats["offset"]
    seen = np.isfinite(offset).all(axis=1)
    line, more = (_words(numbers, words) for words in SEPARATIONS)
    with matplotlib.rc_context(STYLE):
        if not seen.any():
            figure = Figure(figsize=(PAGE_WIDTH, 1.2))
            heading(figure, "Repeated stars", numbers["separation_rms_20"]["reason"])
            save(figure, path)
            return
        figure = Figure(figsize=(PAGE_WIDTH, HEIGHT))
        heading(figure, "Repeated stars", line, more)
        labels = exposure_labels([str(row["exposure"]) for row in exposures])
        names = list(dict.fromkeys(labels))
        color = {name: PALETTE[k % len(PALETTE)] for k, name in enumerate(names)}
        axes = figure.add_axes((0.075, 0.09, 0.5, 0.74))
        _draw_vectors(axes, repeats, labels, color)
        axes = figure.add_axes((0.665, 0.2, 0.315, 0.63))
        _draw_offsets(axes, exposures, np.array(labels), color)
        save(figure, path)


def plot_depth(
    depth: str | Path,
    repeats: Mapping[str, np.ndarray],
    numbers: Mapping[str, Mapping[str, Any]],
    path: str | Path,
) -> None:
    """Draw the map of depth, and how well fluxes repeat.

    Parameters
    ----------
    depth : path
        The map.
    repeats, numbers
        See `plot_residuals`.
    path : path
        The PNG to write.
    """
    with open_fits(depth) as hdus:
        image, header = np.array(hdus["SCI"].data, float), hdus["SCI"].header
    line, more = (_words(numbers, words) for words in DEPTHS)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PAGE_WIDTH, HEIGHT))
        heading(figure, "Depth and errors", line, more)
        axes = figure.add_axes((0.075, 0.07, 0.43, 0.76))
        if np.isfinite(image).any():
            axes.set_facecolor("0.82")
            side = 60.0 * abs(header["CDELT1"])
            height, width = image.shape
            shown = axes.imshow(
                image,
                origin="lower",
                cmap="viridis",
                extent=(0, width * side, 0, height * side),
                interpolation="nearest",
                vmin=float(np.nanpercentile(image, 1)) - 0.01,
                vmax=float(np.nanmax(image)) + 0.01,
            )
            axes.set_xlabel("mosaic's x (arcmin)")
            axes.set_ylabel("mosaic's y (arcmin)")
            bar = figure.colorbar(shown, ax=axes, shrink=0.8, pad=0.02)
            bar.set_label("5σ depth (AB mag)")
        else:
            axes.set_axis_off()
            axes.text(0.0, 0.9, f"no depth: {numbers['depth']['reason']}", wrap=True)
        _draw_fluxes(figure.add_axes((0.62, 0.09, 0.36, 0.74)), repeats, numbers)
        save(figure, path)


def _words(numbers: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]) -> str:
    """Say what was measured, in a line."""
    words = []
    for name, form in names.items():
        row = numbers[name]
        if np.isfinite(row["value"]):
            mark = " (WARN)" if row["status"] == "WARN" else ""
            words.append(form.format(row["value"]) + mark)
    return "; ".join(words)


def exposure_labels(exposures: Sequence[str]) -> list[str]:
    """Return what exposures have a colour for: detectors, or themselves if there is one."""
    detectors = [name.rpartition("_")[2] for name in exposures]
    alone = len(set(detectors)) == 1 and len(exposures) <= DETECTORS
    return [f"exposure {k + 1}" for k in range(len(exposures))] if alone else detectors


def arrow_groups(labels: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Return whose residuals are drawn: those of exposures, or, of many, those of detectors.

    Parameters
    ----------
    labels : sequence of str
        Of `exposure_labels`.

    Returns
    -------
    groups : (n,) int
        The number of the group of each exposure.
    names : list of str
        The label of each group.
    """
    if len(labels) <= MANY:
        return np.arange(len(labels)), list(labels)
    names, groups = np.unique(labels, return_inverse=True)
    return groups, names.tolist()


def told_sightings(repeats: Mapping[str, np.ndarray]) -> tuple[np.ndarray, str]:
    """Return which sightings of stars are told, and of which stars: of bright ones, if enough.

    Their noise hides nothing.
    """
    seen = np.isfinite(repeats["offset"]).all(axis=1)
    bright = seen & (repeats["snr"] > BRIGHT)
    return (bright, "bright stars") if bright.sum() >= ENOUGH else (seen, "stars")


def _draw_vectors(
    axes: Axes, repeats: Mapping[str, np.ndarray], labels: Sequence[str], color: Mapping[str, str]
) -> None:
    """Draw residuals on the sky as arrows, North up and East to the left."""
    seen, stars = told_sightings(repeats)
    star, exposure, offset = (repeats[name][seen] for name in ("star", "exposure", "offset"))
    groups, names = arrow_groups(labels)
    group = groups[exposure]
    ra, dec = repeats["ra"], repeats["dec"]
    xi, eta = to_plane(ra, dec, *mean_direction(unit_vectors(ra, dec)))
    x, y = xi[star] / 60.0, eta[star] / 60.0
    span = max(float(np.ptp(x)), float(np.ptp(y)), 1e-3)
    what = f"of {stars} in each {'exposure' if len(names) == len(labels) else 'detector'}"
    if len(x) > ARROWS:
        x, y, offset, group, cells = cell_medians(x, y, offset, group, span)
        what = f"{what}, medians in cells of {60 * cells:.2g}″"
    size = np.hypot(*offset.T)
    scale = max(float(np.percentile(size, 90)), 1e-3)
    per_arcmin = 0.06 * span / scale
    axes.quiver(
        x,
        y,
        offset[:, 0] * per_arcmin,
        offset[:, 1] * per_arcmin,
        color=[color[names[k]] for k in group],
        angles="xy",
        scale_units="xy",
        scale=1.0,
        width=0.0022,
        headwidth=3.5,
        headlength=4.0,
        headaxislength=3.6,
    )
    middle = (x.min() + x.max()) / 2, (y.min() + y.max()) / 2
    half = 0.58 * span
    axes.set_xlim(middle[0] + half, middle[0] - half)
    axes.set_ylim(middle[1] - half, middle[1] + half)
    axes.set_aspect("equal", adjustable="box")
    length = float(f"{scale:.1g}")
    low = axes.get_ylim()[0]
    right = axes.get_xlim()[0]
    place = right - 0.05 * span, low + 0.06 * span
    axes.quiver(
        *place, -length * per_arcmin, 0.0, angles="xy", scale_units="xy", scale=1.0,
        width=0.004, color="0.1",
    )  # fmt: skip
    axes.text(place[0], place[1] + 0.02 * span, f"{length:g} mas", fontsize=9)
    axes.set_title(f"residuals {what}", loc="left", fontsize=9)
    axes.set_xlabel("to the East (arcmin)")
    axes.set_ylabel("to the North (arcmin)")
    add_grid(axes)


def cell_medians(
    x: np.ndarray, y: np.ndarray, offset: np.ndarray, group: np.ndarray, span: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]:
    """Return medians of residuals in cells, of each group, and the side of cells."""
    side = span / 24.0
    while True:
        keys = np.column_stack((group, np.floor(x / side), np.floor(y / side))).astype(int)
        cells, index = np.unique(keys, axis=0, return_inverse=True)
        if len(cells) <= ARROWS or not side <= span:
            break
        side *= 1.3
    order = np.argsort(index.ravel(), kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(index.ravel()[order])) + 1)
    medians = np.array(
        [[*np.median(offset[part], axis=0), x[part].mean(), y[part].mean()] for part in parts]
    )
    return medians[:, 2], medians[:, 3], medians[:, :2], cells[:, 0], side


def _draw_offsets(
    axes: Axes, exposures: Sequence[Mapping[str, Any]], labels: np.ndarray, color: Mapping
) -> None:
    """Draw the median offset of each exposure."""
    east, north, error = (
        np.array([row[name] for row in exposures], float)
        for name in ("offset_east", "offset_north", "offset_err")
    )
    known = np.isfinite(east) & np.isfinite(north)
    axes.set_title("median offset of each exposure", loc="left", fontsize=9)
    for k, name in enumerate(color):
        own = known & (labels == name)
        axes.errorbar(
            east[own],
            north[own],
            xerr=error[own] if len(exposures) <= MANY else None,
            yerr=error[own] if len(exposures) <= MANY else None,
            fmt=MARKERS[k // len(PALETTE) % len(MARKERS)],
            color=color[name],
            markersize=4 if len(exposures) <= MANY else 2,
            linewidth=0.7,
            label=name,
        )
    reach = 1.0
    if known.any():
        reach = 1.15 * float(np.max(np.abs(np.append(east[known], north[known])))) + float(
            np.max(error[known])
        )
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.axvline(0, color="0.6", linewidth=0.8)
    axes.set_xlim(reach, -reach)
    axes.set_ylim(-reach, reach)
    axes.set_aspect("equal", adjustable="box")
    axes.set_xlabel("to the East (mas)")
    axes.set_ylabel("to the North (mas)")
    add_grid(axes)
    if 1 < len(color) <= DETECTORS:
        axes.legend(
            frameon=False, fontsize=8, ncols=4, loc="upper left", bbox_to_anchor=(-0.16, -0.14),
            handletextpad=0.1, columnspacing=0.8,
        )  # fmt: skip


def _draw_fluxes(
    axes: Axes, repeats: Mapping[str, np.ndarray], numbers: Mapping[str, Mapping[str, Any]]
) -> None:
    """Draw how far fluxes are off the mean, against their signal-to-noise ratio."""
    snr, flux = repeats["snr"], np.abs(repeats["flux"])
    known = np.flatnonzero(np.isfinite(snr) & np.isfinite(flux) & (snr > 0) & (flux > 0))
    if not len(known):
        axes.set_axis_off()
        reason = numbers["flux_repeatability"]["reason"]
        axes.text(0.0, 0.9, f"fluxes are not repeated: {reason}", fontsize=9, wrap=True)
        return
    axes.set_title("fluxes of stars off their means", loc="left", fontsize=9)
    known = known[:: len(known) // POINTS + 1]
    axes.plot(snr[known], flux[known], ".", color=COLORS[0], markersize=3, alpha=0.5)
    order = np.argsort(snr[known])
    edges = np.array_split(order, max(min(len(order) // 25, 12), 1))
    middles = [np.median(snr[known][part]) for part in edges]
    rms = [1.4826 * np.median(flux[known][part]) for part in edges]
    axes.plot(middles, rms, "o-", color=COLORS[1], markersize=5, label="scatter")
    line = np.array([snr[known].min(), snr[known].max()])
    axes.plot(line, 1.0 / line, "--", color="0.2", linewidth=1, label="expected of errors")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(max(float(np.percentile(flux[known], 2)), 1e-6), 1.3 * float(flux[known].max()))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("signal-to-noise ratio in one exposure")
    axes.set_ylabel("relative difference")
    axes.legend(frameon=False, fontsize=9, loc="upper right")
    add_grid(axes)
