"""What the figures of coronagraphy share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.axes import Axes

if TYPE_CHECKING:
    from astropy.table import Table

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")  # of Okabe and Ito
MARKERS = "oDs^vPX"
HEIGHT = 6.2  # inches


def read_table(path: str | Path) -> Table:
    """Read a table of contrast."""
    from astropy.table import Table

    return Table.read(path, format="ascii.ecsv")


def short(name: str) -> str:
    """Return program, visit and number of an exposure, which tell it from the others."""
    return "_".join(Path(name).name.split("_")[:3])


def cycle(values: Sequence[str]) -> list[str]:
    """Return a value for each of many, over and over."""
    return list(values) * 50


def add_grid(axes: Axes) -> None:
    """Draw a faint grid."""
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
