"""What stage 2 did to exposures: a page with a row for each, and pictures of backgrounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from snakewebb.io.names import exposure_name
from snakewebb.io.planes import open_fits, read_planes
from snakewebb.io.provenance import read_notes
from snakewebb.references.subarrays import cut_out, subarray_of
from snakewebb.report.axes import short
from snakewebb.report.figures import PAGE_ASPECT, PAGE_WIDTH, STYLE, heading, save
from snakewebb.report.outcomes import STAGE2
from snakewebb.report.pictures import NO_DATA, stretch
from snakewebb.report.status import counts, number_cell, row, status_cell, write_page

COLUMNS = {
    "bkg_subtract": ("exposures", "level<br>DN/s", "rejected<br>%"),
    "assign_wcs": ("distortion", "pivot"),
    "flat_field": ("flat",),
    "photom": ("photom", "MJy/sr<br>per DN/s"),
}
MOST_ROWS = 4
"""Exposures in a picture."""


def write_status(exposures: Sequence[str | Path], path: str | Path) -> None:
    """Write a page with how the steps of stage 2 ended, and with which reference files.

    Parameters
    ----------
    exposures : sequence of paths
        ``_cal`` or ``_calints``; only headers and notes are read.
    path : path
        The HTML to write. It needs no other file.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    rows = []
    for file in exposures:
        name, notes = exposure_name(file), read_notes(file)
        with open_fits(file) as hdus:
            header, image = hdus[0].header, hdus["SCI"].header
            found[name] = {
                step: {"status": header[key], "reason": notes.get(step, {}).get("reason", "")}
                for step, key in STAGE2.items()
                if key in header
            }
            cells = _cells(found[name], notes, header, image)
        rows.append(row(name, cells, found[name]))
    write_page(counts(found), COLUMNS, rows, path)


def _cells(
    steps: Mapping[str, Mapping[str, Any]],
    notes: Mapping[str, Any],
    header: Mapping[str, Any],
    image: Mapping[str, Any],
) -> list[str]:
    background = notes.get("bkg_subtract", {})
    rejected = background.get("rejected")
    given = {
        "bkg_subtract": [
            number_cell(len(background.get("exposures", [])) or None, "d"),
            number_cell(background.get("level"), ".5g"),
            number_cell(None if rejected is None else 100 * rejected, ".2f"),
        ],
        "assign_wcs": [_text_cell(header.get("R_DISTOR")), _text_cell(header.get("SWB_DVA"))],
        "flat_field": [_text_cell(header.get("R_FLAT"))],
        "photom": [
            _text_cell(header.get("R_PHOTOM")),
            number_cell(image.get("PHOTMJSR"), ".5g"),
        ],
    }
    cells = []
    for step, own in given.items():
        cells.append(status_cell(steps[step]) if step in steps else '<td class="step"></td>')
        cells += own
    return cells


def _text_cell(text: str | None) -> str:
    return f'<td class="left">{escape(text or "")}</td>'


def plot_backgrounds(
    path: str | Path,
    *,
    exposures: Sequence[str | Path],
    backgrounds: Sequence[str | Path],
) -> None:
    """Draw exposures before and after the subtraction of their background.

    Parameters
    ----------
    path : path
        The PNG to write.
    exposures : sequence of paths
        ``_rate`` or ``_rateints``; the first four are drawn, cubes as the mean of integrations.
    backgrounds : sequence of paths
        The ``_combinedbackground`` of each.
    """
    shown = list(zip(exposures, backgrounds, strict=True))[:MOST_ROWS]
    columns = 2 * (1 + (len(shown) > 1))
    rows = -(-2 * len(shown) // columns)
    width = min(PAGE_WIDTH / columns - 1.0, (PAGE_WIDTH / PAGE_ASPECT - 0.9) / rows - 0.6)
    tall = 0.75 + rows * (width + 0.6)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PAGE_WIDTH, tall))
        for k, (exposure, background) in enumerate(shown):
            before, after = _subtracted(exposure, background)
            for side, image in enumerate((before, after)):
                column, line = (2 * k + side) % columns, (2 * k + side) // columns
                low = tall - 0.95 - width - line * (width + 0.6)
                box = np.array((0.3 + column * (width + 1.0), low, width, width))
                axes = figure.add_axes(tuple(box / (PAGE_WIDTH, tall, PAGE_WIDTH, tall)))
                axes.set_facecolor(NO_DATA)
                norm, ticks = stretch(image, 5)
                picture = axes.imshow(image, cmap="inferno", norm=norm, origin="lower")
                axes.set_xticks([])
                axes.set_yticks([])
                title = f"{short(str(exposure))}: before" if side == 0 else "after"
                axes.set_title(title, loc="left", fontsize=9)
                bar = figure.colorbar(picture, ax=axes, fraction=0.046, pad=0.02)
                bar.set_ticks(list(ticks), labels=[f"{tick:.6g}" for tick in ticks])
                bar.ax.tick_params(labelsize=8)
        more = f", {len(shown)} of {len(exposures)} exposures" if exposures[len(shown) :] else ""
        heading(figure, "Background subtracted (bkg_subtract)", f"DN/s{more}")
        save(figure, path)


def _subtracted(exposure: str | Path, background: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Return an exposure before and after its background is subtracted, (ny, nx)."""
    image = read_planes(exposure, ("SCI",))["SCI"]
    if image.ndim == 3:
        good = np.isfinite(image)
        with np.errstate(invalid="ignore"):  # 0 / 0: NaN, where no integration has a value
            image = np.sum(image, axis=0, where=good) / np.sum(good, axis=0)
    rows, columns = cut_out(background, subarray_of(exposure), "make it again")
    return image, image - read_planes(background, ("SCI",))["SCI"][rows, columns]
