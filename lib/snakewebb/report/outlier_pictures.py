"""The exposure with the most outliers, before and after they were flagged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from snakewebb.io.dq import DO_NOT_USE, OUTLIER
from snakewebb.io.fits_structure import first_header
from snakewebb.io.planes import read_planes
from snakewebb.report.figures import PAGE_WIDTH, STYLE, heading, save
from snakewebb.report.pictures import canvas, panel, stretch

WINDOWS = 4
SIDE = 96
"""Of a window, pixels."""
FLAGGED = "#00b4d8"


def plot_worst(
    exposures: Sequence[str | Path], originals: Sequence[str | Path], path: str | Path
) -> None:
    """Draw where the worst exposure has the most outliers, before and after.

    Parameters
    ----------
    exposures : sequence of paths
        All ``_crf`` of a product, of which one is read.
    originals : sequence of paths
        What they were made of, whose flagged pixels still have values.
    path : path
        The PNG to write.
    """
    flagged = [float(first_header(file).get("SWB_OUTL", 0.0)) for file in exposures]
    worst = int(np.argmax(flagged))
    with matplotlib.rc_context(STYLE):
        if flagged[worst] <= 0:
            figure = Figure(figsize=(PAGE_WIDTH, 1.0))
            heading(figure, "Outliers, before and after", "no pixel is flagged")
            save(figure, path)
            return
        image = read_planes(originals[worst], ("SCI",))["SCI"]
        flags = read_planes(exposures[worst], ("DQ",))["DQ"]
        hit = flags & OUTLIER != 0
        image = np.where(hit | (flags & DO_NOT_USE == 0), image, np.nan)
        norm, _ = stretch(image[::4, ::4])
        paint = ListedColormap([FLAGGED])
        side = (PAGE_WIDTH - 0.3) / WINDOWS
        high = 2 * side + 0.85
        figure = Figure(figsize=(PAGE_WIDTH, high))
        name = Path(exposures[worst]).name.removesuffix(".fits")
        note = f"{name}: {100 * flagged[worst]:.2g} % flagged; where there are the most of them"
        heading(figure, "Outliers of the worst exposure, before and after", note)
        axes = canvas(figure)
        style: dict[str, Any] = {"color": "white", "va": "top", "fontsize": 8}
        box_style = {"facecolor": "black", "pad": 1.5}
        wide = side - 0.1
        for k, (row, column) in enumerate(_fullest(hit)):
            window = slice(row, row + SIDE), slice(column, column + SIDE)
            for j in (0, 1):
                left, low = 0.2 + side * k, high - 0.75 - side * (j + 1)
                box = (left, low, wide, wide)
                panel(axes, image[window], box, cmap="gray", norm=norm)
                if j:
                    spots = np.ma.masked_where(~hit[window], hit[window])
                    panel(axes, spots, box, cmap=paint, interpolation="nearest")
                where = f"{('before', 'after')[j]}, from x {column}, y {row}"
                axes.text(left + 0.02 * wide, low + 0.97 * wide, where, bbox=box_style, **style)
        save(figure, path)


def _fullest(hit: np.ndarray) -> list[tuple[int, int]]:
    """Return the first row and column of the windows with the most flagged pixels."""
    ny, nx = (max(1, length // SIDE) for length in hit.shape)
    some = hit[: ny * SIDE, : nx * SIDE]
    starts = (np.arange(0, length, SIDE) for length in some.shape)
    number = some.astype(np.int64)
    for axis, start in enumerate(starts):
        number = np.add.reduceat(number, start, axis=axis)
    order = np.argsort(-number, axis=None, kind="stable")[:WINDOWS]
    return [
        (int(k // number.shape[1]) * SIDE, int(k % number.shape[1]) * SIDE)
        for k in order
        if number.flat[k]
    ]
