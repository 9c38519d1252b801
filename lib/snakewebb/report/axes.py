"""What the figures of coronagraphy share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.ticker import LogFormatterSciNotation

if TYPE_CHECKING:
    from astropy.table import Table

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")  # of Okabe and Ito
MARKERS = "oDs^vPX"
HEIGHT = 6.2  # inches
HIGH = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_POWER = re.compile(r"\$\\mathdefault\{(-?)(?:(.*?)\\times)?10\^\{(.*?)\}\}\$")


class PowersOfTen(LogFormatterSciNotation):
    """Letters that are high by themselves: mathematical text takes a quarter of a second."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Return what matplotlib's own labels say."""
        text = super().__call__(x, pos)
        if not (match := _POWER.fullmatch(text)):
            return text
        sign, number, power = match.groups()
        return f"{sign}{number + '×' if number else ''}10{power.translate(HIGH)}"


def set_logarithmic(axes: Axes) -> None:
    """Make the y axis logarithmic."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(PowersOfTen())
    axes.yaxis.set_minor_formatter(PowersOfTen())


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
