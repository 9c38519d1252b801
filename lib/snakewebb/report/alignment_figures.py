"""Figures of how references were aligned, and of their modes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from snakewebb.report.axes import COLORS, HEIGHT, MARKERS, add_grid, set_logarithmic, short
from snakewebb.report.figures import PAGE_WIDTH, STYLE, heading, save

SPREAD = 0.5
"""Modes, that eigenvalues of exposures are drawn beside each other by, at most."""
MOST_PAIRS = 4
"""Exposures drawn before and after."""


def plot_shifts(alignments: Mapping[str, Mapping[str, Sequence]], path: str | Path) -> None:
    """Plot by how much each reference was shifted onto each exposure's star.

    Parameters
    ----------
    alignments : mapping
        By exposure of the target what `snakewebb.coronagraphy.files.write_psfalign` notes:
        ``exposures``, ``shifts`` and ``shift_errors`` ((x, y), pixels), one a reference.
    path : path
        The PNG to write.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PAGE_WIDTH, HEIGHT - 0.8))
        count = len(alignments)
        limits = [_limits(a["shifts"]) for a in alignments.values()]
        span = 0.6 * max(float((high - low).max()) for low, high in limits) if limits else 1.0
        span = max(span, 0.006)
        for k, (name, notes) in enumerate(alignments.items()):
            width = 0.84 / count
            axes = figure.add_axes((0.075 + k * width, 0.11, width - 0.03, 0.7))
            shifts, errors = (_pairs(notes[key]) for key in ("shifts", "shift_errors"))
            exposures = list(notes["exposures"])
            for number, exposure in enumerate(dict.fromkeys(exposures)):
                chosen = np.array([e == exposure for e in exposures])
                axes.errorbar(
                    shifts[chosen, 0],
                    shifts[chosen, 1],
                    yerr=errors[chosen, 1],
                    xerr=errors[chosen, 0],
                    fmt=MARKERS[number // len(COLORS) % len(MARKERS)],
                    color=COLORS[number % len(COLORS)],
                    markersize=5,
                    linewidth=0.8,
                    label=short(exposure) if k == 0 else None,
                )
            middle = np.mean(limits[k], axis=0)
            axes.set_xlim(middle[0] - span, middle[0] + span)
            axes.set_ylim(middle[1] - span, middle[1] + span)
            axes.set_aspect("equal")
            axes.set_title(short(name), loc="left", fontsize=9)
            axes.set_xlabel("shift in x (pixels)")
            if k == 0:
                axes.set_ylabel("shift in y (pixels)")
            add_grid(axes)
        line = "no references of other stars"
        if alignments:
            if any(len(notes["exposures"]) for notes in alignments.values()):
                style = {"frameon": False, "fontsize": 7, "handletextpad": 0.2}
                figure.legend(loc="upper right", ncols=3, **style)
            total = [np.hypot(*_pairs(a["shift_errors"]).T) for a in alignments.values()]
            known = [error for error in np.concatenate(total) if np.isfinite(error)]
            line = f"median error {1000 * np.median(known):.2g} mpx" if known else "not shifted"
        heading(figure, "Shifts of the references (align_refs)", line)
        save(figure, path)


def plot_eigenvalues(
    spectra: Mapping[str, Sequence[np.ndarray]], truncate: Sequence[int], path: str | Path
) -> None:
    """Plot the references' eigenvalues, and where each ``truncate`` cuts.

    Parameters
    ----------
    spectra : mapping
        By exposure of the target, `snakewebb.coronagraphy.klip.Subtracted.eigenvalues`: one a zone.
    truncate : sequence of int
        The first is the headline.
    path : path
        The PNG to write.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PAGE_WIDTH, HEIGHT - 1.2))
        axes = figure.add_axes((0.085, 0.11, 0.88, 0.7))
        most = 1
        # Where all exposures have the same references their values all but coincide: each is drawn
        # a little beside the one before, with a mark of its own.
        for n, (name, zones) in enumerate(spectra.items()):
            color, marker = COLORS[n % len(COLORS)], MARKERS[n % len(MARKERS)]
            beside = (n + 0.5) / max(len(spectra), 1) - 0.5
            for k, values in enumerate(zones):
                values = np.asarray(values, float)
                if not values.size or not values[0] > 0:
                    continue
                most = max(most, len(values))
                axes.plot(
                    np.arange(1, len(values) + 1) + SPREAD * beside,
                    values / values[0],
                    marker=marker,
                    color=color,
                    markerfacecolor="none",
                    markersize=5,
                    linewidth=0.6,
                    alpha=1.0 if len(zones) == 1 else 0.4,
                    label=short(name) if k == 0 else None,
                )
        for k, number in enumerate(truncate):
            if number <= most:
                style = "-" if k == 0 else ":"
                axes.axvline(number + 0.5, color="0.4", linestyle=style, linewidth=1)
                axes.text(
                    number + 0.6, 1.0, f"truncate {number}", fontsize=8, rotation=90, va="top"
                )
        set_logarithmic(axes)
        axes.set_xlim(0.5, most + 1)
        axes.set_xlabel("mode")
        axes.set_ylabel("eigenvalue over the first one")
        add_grid(axes)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
        heading(
            figure,
            "Eigenvalues of the references (klip)",
            f"{most} modes; truncate {', '.join(map(str, truncate))}"
            + ("" if min(truncate, default=0) <= most else ": all are used"),
        )
        save(figure, path)


def _pairs(values: Sequence) -> np.ndarray:
    """Return (x, y) of each reference, (n, 2)."""
    return np.asarray(values, float).reshape(-1, 2)


def _limits(values: Sequence) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest x and y that are known; 0 if none is."""
    known = _pairs(values)
    known = known[np.isfinite(known).all(axis=1)]
    known = known if len(known) else np.zeros((1, 2))
    return known.min(axis=0), known.max(axis=0)
